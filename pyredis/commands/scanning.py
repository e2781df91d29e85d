"""What SCAN, SSCAN, HSCAN and ZSCAN share: the cursor, the options, the shape of the reply.

The order of checks is Redis': first the cursor, then the key and its type, then the options.
So the options of a scan over a missing key are never looked at: call `parse_scan` only when
there is something to scan.

A plain number below 0 is no cursor. What is not spelled as a plain 64-bit number is read as C's
strtoull reads it, hence the odd cases: blanks and a sign may come first, -05 is the largest
cursor but four, and what follows a NUL byte is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pyredis.commands.args import canonical_integer, integer, syntax_error
from pyredis.glob import compile_glob
from pyredis.resp import Error, Reply

COUNT_DEFAULT: Final = 10

_NUMBER: Final = re.compile(rb"[ \t-\r]*([+-]?)([0-9]+)")
_CURSOR_MAX: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """The options of one call; ``match`` and ``type`` are None where everything passes."""

    count: int
    match: Callable[[bytes], bool] | None
    type: bytes | None  # in small letters
    values: bool = True  # HSCAN: with the values of the fields


def parse_cursor(arg: bytes) -> int:
    """A cursor, 0 to 2**64 - 1; raises the error for anything else."""
    plain = canonical_integer(arg)
    if plain is not None and plain < 0:
        raise Error("ERR invalid cursor")
    number = _NUMBER.fullmatch(arg.partition(b"\0")[0])
    if number is not None and len(number[2].lstrip(b"0")) <= 20:
        value = int(number[2])
        if value <= _CURSOR_MAX:
            return -value & _CURSOR_MAX if number[1] == b"-" else value
    raise Error("ERR invalid cursor")


def parse_scan(
    args: Sequence[bytes], allow_type: bool, allow_novalues: bool = False
) -> ScanOptions:
    """The options behind the cursor: MATCH pattern, COUNT count, and if allowed others.

    The last of several counts. Raises a syntax error for others and for a count below 1.
    """
    count = COUNT_DEFAULT
    match: Callable[[bytes], bool] | None = None
    kind: bytes | None = None
    values = True
    if not args:
        return ScanOptions(count, match, kind)
    rest = iter(args)
    for arg in rest:
        word = arg.upper()
        if word == b"NOVALUES" and allow_novalues:
            values = False
            continue
        value = next(rest, None)
        if value is None:
            syntax_error()
        if word == b"COUNT":
            count = integer(value)
            if count < 1:
                syntax_error()
        elif word == b"MATCH":
            match = None if value == b"*" else compile_glob(value)
        elif word == b"TYPE" and allow_type:
            kind = value.lower()
        else:
            syntax_error()
    return ScanOptions(count, match, kind, values)


def scan_reply(cursor: int, items: Sequence[Any]) -> Reply:
    """The two-part reply: where to go on (0 when done) and what was found."""
    return [b"%d" % cursor, items if type(items) is list else list(items)]
