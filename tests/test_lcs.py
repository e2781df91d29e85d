"""Longest common subsequence: the bit-parallel rows beside the plain table."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from pyredis.types.lcs import Run, lcs_length, lcs_runs

texts = st.lists(st.sampled_from(b"abc"), max_size=20).map(bytes)


def table_of(a: bytes, b: bytes) -> list[list[int]]:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            if x == y:
                table[i + 1][j + 1] = table[i][j] + 1
            else:
                table[i + 1][j + 1] = max(table[i][j + 1], table[i + 1][j])
    return table


def walk_back(a: bytes, b: bytes) -> list[Run]:
    """The choice among equally long subsequences, cell by cell."""
    table, i, j = table_of(a, b), len(a), len(b)
    runs: list[Run] = []
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            if runs and (runs[-1].start_a, runs[-1].start_b) == (i + 1, j + 1):
                runs[-1] = Run(i, j, runs[-1].size + 1)
            else:
                runs.append(Run(i, j, 1))
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return runs


@given(texts, texts)
@example(b"", b"")
@example(b"ohmytext", b"mynewtext")
def test_same_length_and_same_runs_as_the_table(a: bytes, b: bytes) -> None:
    assert lcs_length(a, b) == table_of(a, b)[-1][-1]
    assert lcs_runs(a, b) == walk_back(a, b)


def test_long_strings_take_either_side_as_rows() -> None:
    a, b = b"abc" * 20_000, b"xbx"
    assert lcs_length(a, b) == lcs_length(b, a) == 1
    assert lcs_runs(a, b) == [Run(59_998, 1, 1)]
    assert lcs_runs(b, a) == [Run(1, 1, 1)]  # a tie moves along b
    assert lcs_runs(bytearray(a[:3000]), bytearray(a[:3000])) == [Run(0, 0, 3000)]
