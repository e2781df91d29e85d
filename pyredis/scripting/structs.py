"""The ``struct`` library: numbers and strings to bytes and back, by a format.

A format is a row of options. ``<`` and ``>`` choose the byte order, ``!n`` an alignment (fields
then stand at multiples of their size, up to n); the others are fields:

    b B  h H  l L  T     integers of 1, 2, 8 and 8 bytes, signed or not; T is size_t
    in In                an integer of n bytes (4 without n)
    f d                  floats
    s                    a string up to and with its NUL
    cn                   n bytes; c0 packs a whole string, and unpacks as many bytes as the
                         number before it says
    x                    a byte of padding

Problems come back as (None, message), for Lua to raise.

Source: Roberto Ierusalimschy, struct library for Lua 5.1, and what Redis' copy does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from pyredis.scripting.arithmetic import as_number, bad_argument, type_name

_SIZES: Final = {
    "b": 1, "B": 1, "h": 2, "H": 2, "l": 8, "L": 8, "T": 8, "f": 4, "d": 8, "x": 1,
}  # fmt: skip
_INT_BYTES_MAX: Final = 32
_INT_MAX: Final = 2**31 - 1
_WORD: Final = 2**64 - 1


class StructError(Exception):
    """A problem with a format or with what it is applied to; the text is for the script."""


def _argument(at: int, name: str, problem: str) -> StructError:
    return StructError(f"bad argument #{at} to '{name}' ({problem})")


def _text(value: Any) -> bytes | None:
    """A string; numbers count, printed as Lua prints them. None for anything else."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return b"%.14g" % value
    return None


class _Format:
    """The fields of a format, one after the other: option, size, padding before it."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.at = 0
        self.big = False
        self.alignment = 1

    def _number(self, default: int) -> int:
        start = self.at
        while self.at < len(self.text) and self.text[self.at].isdigit():
            self.at += 1
        if self.at == start:
            return default
        value = int(self.text[start : self.at])
        if value > _INT_MAX:
            raise StructError("integral size overflow")
        return value

    def _size(self, option: str) -> int:
        if option == "c":
            return self._number(1)
        if option in "iI":
            size = self._number(4)
            if size > _INT_BYTES_MAX:
                raise StructError(f"integral size {size} is larger than limit of {_INT_BYTES_MAX}")
            return size
        return _SIZES.get(option, 0)

    def _control(self, option: str) -> None:
        if option == "<":
            self.big = False
        elif option == ">":
            self.big = True
        elif option == "!":
            alignment = self._number(8)
            if alignment == 0 or alignment & (alignment - 1):
                raise StructError(f"alignment {alignment} is not a power of 2")
            self.alignment = alignment
        elif option != " " and self.name != "size":  # size overlooks what it does not know
            raise _argument(1, self.name, f"invalid format option '{option}'")

    def _padding(self, size: int, option: str, total: int) -> int:
        if size == 0 or option in "csx":
            return 0
        size = min(size, self.alignment)
        return (size - (total & (size - 1))) & (size - 1) if size > 1 else 0

    def fields(self, position: list[int]) -> Iterator[tuple[str, int]]:
        """Options with their sizes; moves ``position[0]`` over the padding before each."""
        while self.at < len(self.text):
            option = self.text[self.at]
            self.at += 1
            size = self._size(option)
            position[0] += self._padding(size, option, position[0])
            if option in _SIZES or option in "iIcs":
                yield option, size
            else:
                self._control(option)


def _format(args: tuple[Any, ...], name: str) -> _Format:
    text = _text(args[0]) if args else None
    if text is None:
        raise StructError(str(bad_argument(1, name, "string", args)[1], "latin-1"))
    return _Format(text.split(b"\0", 1)[0].decode("latin-1"), name)


def _packed(option: str, size: int, big: bool, number: int | float) -> bytes:
    if option in "fd":
        order = ">" if big else "<"
        try:
            return struct.pack(order + option, number)
        except OverflowError:
            return struct.pack(order + option, float("inf") if number > 0 else float("-inf"))
    finite = number == number and abs(number) != float("inf")
    word = int(number) & _WORD if finite else 1 << 63
    raw = word.to_bytes(8, "little")[:size].ljust(size, b"\0")
    return raw[::-1] if big else raw


def _pack(*args: Any) -> bytes:
    form = _format(args, "pack")
    out = bytearray()
    position = [0]
    given = 1
    for option, size in form.fields(position):
        out += bytes(position[0] - len(out))
        if option == "x":
            out += b"\0"
        elif option in "cs":
            given += 1
            value = _text(args[given - 1]) if given <= len(args) else None
            if value is None:
                got = type_name(args[given - 1]) if given <= len(args) else "no value"
                raise _argument(given, "pack", f"string expected, got {got}")
            if size == 0 and option == "c":
                size = len(value)
            if option == "s":
                out += value + b"\0"
            elif len(value) < size:
                raise _argument(given + 1, "pack", "string too short")
            else:
                out += value[:size]
        else:
            given += 1
            number = as_number(args[given - 1]) if given <= len(args) else None
            if number is None:
                got = type_name(args[given - 1]) if given <= len(args) else "nil"
                raise _argument(given, "pack", f"number expected, got {got}")
            out += _packed(option, size, form.big, number)
        position[0] = len(out)
    return bytes(out)


def _unpacked(option: str, raw: bytes, big: bool) -> int | float:
    if option in "fd":
        value: float = struct.unpack((">" if big else "<") + option, raw)[0]
        return value
    if big:
        raw = raw[::-1]
    number = int.from_bytes(raw[:8], "little")
    if option.islower():
        # Signed integers of up to eight bytes are extended, longer ones cut.
        bits = 8 * min(len(raw), 8)
        if bits and number >> (bits - 1):
            number -= 1 << bits
    return number if abs(number) < 2**63 else float(number)


def _unpack(*args: Any) -> tuple[Any, ...]:
    form = _format(args, "unpack")
    data = _text(args[1]) if len(args) > 1 else None
    if data is None:
        raise StructError(str(bad_argument(2, "unpack", "string", args)[1], "latin-1"))
    start = 1 if len(args) < 3 or args[2] is None else as_number(args[2])
    if start is None:
        raise _argument(3, "unpack", f"number expected, got {type_name(args[2])}")
    position = [int(start) - 1]
    if position[0] == -1:
        raise _argument(3, "unpack", "offset must be 1 or greater")
    values: list[Any] = []
    for option, size in form.fields(position):
        at = position[0]
        if at < 0 or at + size > len(data):
            raise _argument(2, "unpack", "data string too short")
        if option == "x":
            pass
        elif option == "s":
            end = data.find(b"\0", at)
            if end < 0:
                raise StructError("unfinished string in data")
            values.append(data[at:end])
            size = end + 1 - at
        elif option == "c":
            if size == 0:
                if not values or type(values[-1]) not in (int, float):
                    raise StructError("format 'c0' needs a previous size")
                size = int(values.pop())
                if size < 0 or at + size > len(data):
                    raise _argument(2, "unpack", "data string too short")
            values.append(data[at : at + size])
        else:
            values.append(_unpacked(option, data[at : at + size], form.big))
        position[0] = at + size
    return *values, position[0] + 1


def _size(*args: Any) -> int:
    form = _format(args, "size")
    position = [0]
    for option, size in form.fields(position):
        if option == "s" or (option == "c" and size == 0):
            shown = "c0" if option == "c" else "s"
            raise _argument(1, "size", f"option '{shown}' has no fixed size")
        position[0] += size
    return position[0]


def _guarded(work: Any) -> Any:
    def call(*args: Any) -> Any:
        try:
            return work(*args)
        except StructError as error:
            return None, str(error).encode("latin-1")

    return call


pack, unpack, size = _guarded(_pack), _guarded(_unpack), _guarded(_size)
