"""Reading arguments: one function for each kind, each with Redis' own error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn

from pyredis.resp import Error
from pyredis.types.doubles import parse_double

if TYPE_CHECKING:
    from pyredis.context import Context

INT64_MIN: Final = -(1 << 63)
INT32_MAX: Final = (1 << 31) - 1
INT64_MAX: Final = (1 << 63) - 1
NOT_INTEGER: Final = "ERR value is not an integer or out of range"
NOT_FLOAT: Final = "ERR value is not a valid float"
OUT_OF_RANGE: Final = "ERR index out of range"
SYNTAX: Final = "ERR syntax error"
NO_SUCH_KEY: Final = "ERR no such key"

_DIGITS_MAX: Final = 20
# Decimal without sign, spaces or zeros in front: what Redis itself would have printed.
_CANONICAL: Final = re.compile(rb"(?:0|-?[1-9][0-9]{0,18})\Z")


def syntax_error() -> NoReturn:
    """Raise the error for options that make no sense."""
    raise Error(SYNTAX)


def c_string(arg: bytes) -> bytes:
    """An argument as error texts show it: they are made by C's printf, up to a NUL."""
    return arg.split(b"\0", 1)[0]


def subcommand_error(ctx: Context) -> NoReturn:
    """Raise the error for a subcommand with arguments that its arity lets through."""
    container, word = (arg[:128].decode("utf-8", "surrogateescape") for arg in ctx.argv[:2])
    raise Error(
        f"ERR unknown subcommand or wrong number of arguments for '{word}'. "
        f"Try {container.upper()} HELP."
    )


def integer(arg: bytes | bytearray, error: str = NOT_INTEGER) -> int:
    """A signed 64-bit integer; raises ``error`` for anything else."""
    if len(arg) <= _DIGITS_MAX:
        try:
            value = int(arg)
        except ValueError:
            raise Error(error) from None
        # int() is more generous (blanks, signs, zeros in front): printing tells.
        if b"%d" % value == arg and INT64_MIN <= value <= INT64_MAX:
            return value
    raise Error(error)


def integer_in(arg: bytes, low: int, high: int, error: str | None = None) -> int:
    """An integer between bounds; outside them raises ``error`` or the usual range error."""
    value = integer(arg, error or NOT_INTEGER)
    if low <= value <= high:
        return value
    raise Error(error or f"ERR value is out of range, value must between {low} and {high}")


def positive(arg: bytes) -> int:
    """A count that may be 0 but not negative."""
    return integer_in(arg, 0, INT64_MAX, "ERR value is out of range, must be positive")


def double(arg: bytes, error: str = NOT_FLOAT) -> float:
    """A double as Redis reads scores; raises ``error`` for anything else, NaN included."""
    try:
        return parse_double(arg)
    except ValueError:
        raise Error(error) from None


def canonical_integer(value: bytes | bytearray) -> int | None:
    """The number a string is stored as (OBJECT ENCODING int), None if it is no such string."""
    if len(value) <= _DIGITS_MAX and _CANONICAL.match(value):
        number = int(value)
        if INT64_MIN <= number <= INT64_MAX:
            return number
    return None


def timeout_deadline_ms(ctx: Context, arg: bytes) -> int:
    """When a blocking command given this timeout in seconds gives up; 0 for never."""
    seconds = double(arg, "ERR timeout is not a float or out of range")
    if seconds <= -0.001:
        raise Error("ERR timeout is negative")
    if seconds * 1000 > INT64_MAX - ctx.now_ms:
        raise Error("ERR timeout is out of range")
    if seconds <= 0:
        return 0
    whole_ms = -int(-seconds * 1000 // 1)  # rounded up, so that it never ends early
    return ctx.now_ms + whole_ms


def key_count(argv_left: int, arg: bytes) -> int:
    """A numkeys argument: at least 1, and no more keys than arguments are left."""
    count = integer(arg, "ERR numkeys should be greater than 0")
    if count <= 0:
        raise Error("ERR numkeys should be greater than 0")
    if count > argv_left:
        raise Error(SYNTAX)
    return count
