"""Arithmetic that Lua 5.1 lacks: 32-bit operations, floats in bytes, and Redis' dice.

The functions are called from Lua. None raises: a problem is the second of two values.

Numbers arrive as ints when they are whole, as floats otherwise; numeric strings count as
numbers, as everywhere in Lua. Bit operations wrap their arguments to 32 bits, rounding half to
even, and their results are signed (BitOp's semantics).

The dice are the 48-bit linear congruential generator of the C library's lrand48, which Redis
carries along so that math.random is alike on all platforms.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, Final

Number = int | float
Failure = tuple[None, bytes]

_WORD: Final = 0xFFFFFFFF
_SIGN: Final = 0x80000000
_EXACT: Final = 2.0**51  # beyond it BitOp's conversion depends on the bits of a double


def as_number(value: Any) -> Number | None:
    """The number a Lua value stands for, None when it is none."""
    kind = type(value)
    if kind is int or kind is float:
        number: Number = value
        return number
    if kind is bytes:
        try:
            return float(value) if b"_" not in value else None
        except ValueError:
            try:
                return float.fromhex(value.decode("latin-1"))
            except (ValueError, OverflowError):
                return None
    return None


def type_name(value: Any) -> str:
    """What Lua's type() says of a value that came to Python."""
    if value is None:
        return "nil"
    kind = type(value)
    if kind is int or kind is float:
        return "number"
    if kind is bytes:
        return "string"
    if kind is bool:
        return "boolean"
    name = kind.__name__
    return {"_LuaTable": "table", "_LuaFunction": "function", "_LuaThread": "thread"}.get(
        name, "userdata"
    )


def bad_argument(at: int, name: str, expected: str, args: tuple[Any, ...]) -> Failure:
    """The message for an argument of the wrong type, as luaL_argerror words it."""
    got = type_name(args[at - 1]) if at <= len(args) else "no value"
    return None, f"bad argument #{at} to '{name}' ({expected} expected, got {got})".encode()


# Bits


def wrap(number: Number) -> int:
    """To 32 bits, unsigned. A double too large for an exact answer gets BitOp's own."""
    if type(number) is int and -(1 << 51) <= number <= 1 << 51:
        return number & _WORD
    if -_EXACT < number < _EXACT:
        return round(number) & _WORD
    # Adding 2**52 + 2**51 leaves the integer in the low bits, while there is one.
    low: int = struct.unpack("<Q", struct.pack("<d", float(number) + 6755399441055744.0))[0]
    return low & _WORD


def signed(word: int) -> int:
    """32 bits read as a signed integer."""
    return word - (1 << 32) if word & _SIGN else word


def _operation(name: str, count: int, work: Callable[..., int]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        words = []
        for at in range(count):
            number = as_number(args[at]) if at < len(args) else None
            if number is None:
                return bad_argument(at + 1, name, "number", args)
            words.append(wrap(number))
        return signed(work(*words) & _WORD)

    return call


def _folding(name: str, work: Callable[[int, int], int]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        if not args:
            return bad_argument(1, name, "number", args)
        total = -1
        for at, arg in enumerate(args):
            number = as_number(arg)
            if number is None:
                return bad_argument(at + 1, name, "number", args)
            total = work(total, wrap(number)) if at else wrap(number)
        return signed(total & _WORD)

    return call


def _tohex(*args: Any) -> Any:
    number = as_number(args[0]) if args else None
    if number is None:
        return bad_argument(1, "tohex", "number", args)
    digits = 8
    if len(args) > 1:
        width = as_number(args[1])
        if width is None:
            return bad_argument(2, "tohex", "number", args)
        digits = signed(wrap(width))
    text = b"%08x" % wrap(number)
    if digits < 0:
        text = text.upper()
    return text[8 - min(abs(digits), 8) :]


def _rotate(word: int, by: int) -> int:
    by &= 31
    return word << by | word >> (32 - by)


BIT_OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "tobit": _operation("tobit", 1, lambda a: a),
    "bnot": _operation("bnot", 1, lambda a: ~a),
    "band": _folding("band", lambda a, b: a & b),
    "bor": _folding("bor", lambda a, b: a | b),
    "bxor": _folding("bxor", lambda a, b: a ^ b),
    "lshift": _operation("lshift", 2, lambda a, n: a << (n & 31)),
    "rshift": _operation("rshift", 2, lambda a, n: a >> (n & 31)),
    "arshift": _operation("arshift", 2, lambda a, n: signed(a) >> (n & 31)),
    "rol": _operation("rol", 2, _rotate),
    "ror": _operation("ror", 2, lambda a, n: _rotate(a, -n)),
    "bswap": _operation("bswap", 1, lambda a: int.from_bytes(a.to_bytes(4, "little"), "big")),
    "tohex": _tohex,
}


# Floats


def pack_double(number: Number) -> bytes:
    """A float in MessagePack's form: in four bytes where those hold it, else in eight."""
    value = float(number)
    try:
        short = struct.pack(">f", value)
        if struct.unpack(">f", short)[0] == value:
            return b"\xca" + short
    except OverflowError:
        pass  # too large for four bytes
    if math.isnan(value):
        return b"\xcb\xff\xf8\x00\x00\x00\x00\x00\x00"
    return b"\xcb" + struct.pack(">d", value)


def unpack_double(raw: bytes) -> float:
    """Four or eight bytes as the float they are."""
    value: float = struct.unpack(">f" if len(raw) == 4 else ">d", raw)[0]
    return value


# Chance


class Dice:
    """lrand48: X' = X * 25214903917 + 11 modulo 2**48, of which the upper 31 bits are used."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = 0x1234ABCD330E

    def seed(self, number: Number) -> None:
        """srand48, for whatever a script passes as a seed."""
        whole = int(number) if math.isfinite(number) else 0
        self.state = (whole & _WORD) << 16 | 0x330E

    def random31(self) -> int:
        """The next 31 bits."""
        self.state = (self.state * 0x5DEECE66D + 0xB) & 0xFFFFFFFFFFFF
        return self.state >> 17
