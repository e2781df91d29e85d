"""The longest common subsequence of two strings, and where it lies in them.

Textbook dynamic programming fills a table L whose cell (i, j) is the length of the answer for
the first i bytes of ``a`` and the first j of ``b``: N*M cells, each the larger of its neighbours
to the left and above, or one more than the diagonal one where the bytes are equal. Cell by cell
that is hopeless in Python. But neighbours differ by 0 or 1, so a row is a bit vector, and a whole
row follows from the one above in four operations on integers (Crochemore, Iliopoulos, Pinzon and
Reid 2001; Hyyrö 2004)::

    ones  = row & match[c]              match[c]: where the other string has this row's byte c
    total = row + ones                  each carry runs from a match to the next zero
    row   = total | (row - ones)        a zero at j: the length grows from j to j + 1

The number of zeros in the last row is the length of the answer. Rows run over the shorter string,
so that Python loops least: O(min) steps of O(max / 30) machine words each.

Several subsequences may be equally long. Redis takes the one found by walking back from the
last cell: diagonally where the bytes are equal, else to i - 1 if L(i-1, j) > L(i, j-1), else to
j - 1. When bytes differ the cell is the larger of these two, so the question is whether
L(i, j-1) < L(i, j), which is one bit a cell. With rows over ``a`` it is the zero in the row; with
rows over ``b`` it says that the cell grew against the row above: that is where a carry went.

The walk moves along a row until it may leave it. ``stops`` has, for each row, the bits where it
may, so one row costs the walk a mask and a ``bit_length``, however long the other string is.
Memory: hardly more than a bit a cell, against the four bytes of Redis' table.
"""

from __future__ import annotations

from typing import NamedTuple

Text = bytes | bytearray


class Run(NamedTuple):
    """A stretch of matching bytes: where it starts in either string, and how long it is."""

    start_a: int
    start_b: int
    size: int


def lcs_length(a: Text, b: Text) -> int:
    """Returns the length of the longest common subsequence."""
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    full = (1 << len(long)) - 1
    match = _matches(short, long)
    row = full
    for byte in short:
        ones = row & match[byte]
        row = ((row + ones) | (row - ones)) & full
    return len(long) - row.bit_count()


def lcs_runs(a: Text, b: Text) -> list[Run]:
    """Returns the subsequence that Redis chooses, as maximal runs, the last one first."""
    rows_over_a = len(a) <= len(b)
    short, long = (a, b) if rows_over_a else (b, a)
    stops = _stops(short, long, rows_over_a)
    runs: list[Run] = []
    row, column, size = len(short), len(long), 0

    def close_run() -> None:
        start_a, start_b = (row, column) if rows_over_a else (column, row)
        runs.append(Run(start_a, start_b, size))

    while row and column:
        stop = (stops.pop() & ((1 << column) - 1)).bit_length()
        if size and (stop < column or short[row - 1] != long[column - 1]):
            close_run()
            size = 0
        column = stop
        if column and short[row - 1] == long[column - 1]:
            column -= 1
            size += 1
        row -= 1
    if size:
        close_run()
    return runs


def _matches(short: Text, long: Text) -> dict[int, int]:
    """Returns for each byte of ``short`` where ``long`` has it: bit j for position j."""
    backwards = long[::-1]
    found = {}
    for byte in set(short):
        digits = bytearray(b"0" * 256)
        digits[byte] = 0x31
        found[byte] = int(backwards.translate(digits) or b"0", 2)
    return found


def _stops(short: Text, long: Text, rows_over_a: bool) -> list[int]:
    """Returns for each row the bits of the columns in which the walk back ends its way along it."""
    full = (1 << len(long)) - 1
    match = _matches(short, long)
    row = full
    stops = []
    for byte in short:
        equal = match[byte]
        ones = row & equal
        total = row + ones
        if rows_over_a:
            row = (total | (row - ones)) & full
            stops.append((row ^ full) | equal)
        else:
            grown = (total ^ row ^ ones) >> 1
            row = (total | (row - ones)) & full
            stops.append((grown ^ full) | equal)
    return stops
