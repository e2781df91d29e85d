"""Lengths and strings: what every RDB record is made of.

A length announces its own size in the first two bits:

    00llllll                     0 to 63
    01llllll llllllll            0 to 16383
    10000000 4 bytes             32 bits, big-endian (like the two above)
    10000001 8 bytes             64 bits, big-endian
    11eeeeee                     not a length: the string that follows is encoded as e says

A string is a length and so many bytes, or one of the encodings: 0, 1, 2 for a decimal
number kept as a little-endian integer of 8, 16, 32 bits; 3 for an LZF string (compressed
length, length, data).

``Source`` reads; it raises ``Short`` when the data end too early, which to a reader of a
stream means "come again with more", and ``ValueError`` for what can never become right.

``Encoder`` writes. It tries to compress strings of more than 20 bytes, as Redis does. Here a
try costs about as much as everything else a string needs, so it remembers how tries fared:
after a failure it lets one string pass, after the next two, then four, up to 64, and a success
sets it back to trying each. So data that never compress cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from struct import Struct
from struct import error as StructError
from typing import Final

from anycrc import Model

from pyredis.persistence.lzf import compress, decompress

HEADS: Final = tuple(bytes((size,)) for size in range(64))
"""The lengths that take one byte."""
COMPRESSIBLE_BYTES: Final = 21
"""Shorter strings are not compressed."""

_INTEGER_DIGITS_MAX: Final = 11
_LZF: Final = 0xC3
_PAUSE_MAX: Final = 64
_TEXTS: Final = tuple(b"%d" % number for number in range(-128, 128))
_BATCH: Final = 1024
_LENGTH_MAX: Final = 1 << 32

_UINT32: Final = Struct(">I")
_UINT64: Final = Struct(">Q")
_INT16: Final = Struct("<h")
_INT32: Final = Struct("<i")
_DOUBLE: Final = Struct("<d")

_crc_model: Final = Model("CRC64-REDIS")


def crc64(data: bytes | memoryview, crc: int = 0) -> int:
    """Redis' checksum of data, or of the data behind those that ``crc`` stands for."""
    result: int = _crc_model.calc(data, crc)
    return result


class Short(Exception):
    """The data end before the record does."""

    def __init__(self, needed: int) -> None:
        """``needed`` is a number of bytes below which trying again is useless."""
        super().__init__("unexpected end of data")
        self.needed = needed


# Writing


def encode_length(length: int) -> bytes:
    """A length in the fewest bytes."""
    if length < 64:
        return HEADS[length]
    if length < 1 << 14:
        return (0x4000 | length).to_bytes(2, "big")
    if length < _LENGTH_MAX:
        return b"\x80" + _UINT32.pack(length)
    return b"\x81" + _UINT64.pack(length)


def encode_integer(number: int) -> bytes:
    """A string that spells a number, which may be of any size."""
    if -128 <= number < 128:
        return bytes((0xC0, number & 0xFF))
    if -(1 << 15) <= number < 1 << 15:
        return b"\xc1" + _INT16.pack(number)
    if -(1 << 31) <= number < 1 << 31:
        return b"\xc2" + _INT32.pack(number)
    text = b"%d" % number
    return HEADS[len(text)] + text


encode_double: Final[Callable[[float], bytes]] = _DOUBLE.pack
"""A double as eight bytes."""


class _Heads(dict[int, bytes]):
    """Lengths by what they tell: those of one byte are at hand, others are made on demand."""

    def __missing__(self, length: int) -> bytes:
        return encode_length(length)


_HEAD_OF: Final = _Heads(enumerate(HEADS))


class Encoder:
    """Encodes strings. One for each file, as it learns whether compression pays."""

    __slots__ = ("_compresses", "_pause", "_skip")

    def __init__(self, compresses: bool) -> None:
        self._compresses = compresses
        self._pause = 0  # how many strings were let pass after the last failure
        self._skip = 0  # how many of them are still to come

    def string(self, text: bytes) -> bytes:
        """One string."""
        size = len(text)
        if size < COMPRESSIBLE_BYTES:
            if size <= _INTEGER_DIGITS_MAX and (text.isdigit() or text[:1] == b"-"):
                number = _integer(text)
                if number is not None:
                    return encode_integer(number)
            return HEADS[size] + text
        if self._compresses:
            packed = self._compressed(text)
            if packed is not None:
                return packed
        return encode_length(size) + text

    def strings(self, texts: Iterable[bytes]) -> Iterator[bytes]:
        """Many strings one behind the other, in pieces."""
        source = iter(texts)
        string = self.string
        while batch := list(islice(source, _BATCH)):
            if any(map(bytes.isdigit, batch)):
                yield b"".join(map(string, batch))
            else:
                yield self.interleaved([b""] * len(batch), batch)

    def interleaved(self, leads: Sequence[bytes], texts: Sequence[bytes]) -> bytes:
        """Many strings, each with what stands in front of it.

        Numbers are written as they are spelled, which any reader takes. No Python code runs
        for a single string, unless it is long enough to be compressed.
        """
        sizes = list(map(len, texts))
        parts: list[bytes] = [b""] * (3 * len(sizes))
        parts[0::3] = leads
        parts[1::3] = map(_HEAD_OF.__getitem__, sizes)
        parts[2::3] = texts
        if self._compresses and max(sizes, default=0) >= COMPRESSIBLE_BYTES:
            for at, size in enumerate(sizes):
                if size >= COMPRESSIBLE_BYTES and (packed := self._compressed(texts[at])):
                    parts[3 * at + 1 : 3 * at + 3] = (b"", packed)
        return b"".join(parts)

    def _compressed(self, text: bytes) -> bytes | None:
        if self._skip:
            self._skip -= 1
            return None
        size = len(text)
        packed = compress(text, size - 4)
        if packed is None:
            self._skip = self._pause = min(_PAUSE_MAX, self._pause * 2 or 1)
            return None
        self._pause = 0
        return b"\xc3" + encode_length(len(packed)) + encode_length(size) + packed


def _integer(text: bytes) -> int | None:
    """The 32-bit number that a text spells exactly as it would be printed, else None."""
    try:
        number = int(text)
    except ValueError:
        return None
    if -(1 << 31) <= number < 1 << 31 and b"%d" % number == text:
        return number
    return None


# Reading


class Source:
    """Data and a place in them, from which everything is read on."""

    __slots__ = ("data", "pos")

    def __init__(self, data: bytes, pos: int = 0) -> None:
        self.data = data
        self.pos = pos

    def need(self, size: int) -> None:
        """Raises Short unless so many bytes are left."""
        if self.pos + size > len(self.data):
            raise Short(self.pos + size)

    def take(self, size: int) -> bytes:
        """The next bytes."""
        pos = self.pos
        end = pos + size
        if end > len(self.data):
            raise Short(end)
        self.pos = end
        return self.data[pos:end]

    def byte(self) -> int:
        """The next byte as a number."""
        pos = self.pos
        if pos >= len(self.data):
            raise Short(pos + 1)
        self.pos = pos + 1
        return self.data[pos]

    def double(self) -> float:
        """A double of eight bytes."""
        number: float = _DOUBLE.unpack(self.take(8))[0]
        return number

    def length(self) -> int:
        """A length. Raises ValueError where an encoded string stands."""
        data, pos = self.data, self.pos
        try:
            first = data[pos]
            if first < 64:
                self.pos = pos + 1
                return first
            if first < 0x80:
                length = (first & 63) << 8 | data[pos + 1]
                self.pos = pos + 2
                return length
        except IndexError:
            raise Short(len(data) + 1) from None
        if first >= 0xC0:
            raise ValueError("a length was expected, found an encoded string")
        self.pos = pos + 1
        if first == 0x80:
            return int.from_bytes(self.take(4), "big")
        if first == 0x81:
            return int.from_bytes(self.take(8), "big")
        raise ValueError(f"unknown encoding of a length: {first}")

    def count(self, size_min: int = 1) -> int:
        """The number of things that follow, each of so many bytes at least.

        Asks for all of them at once, so that a false number costs nothing.
        """
        count = self.length()
        self.need(count * size_min)
        return count

    def string(self) -> bytes:
        """A string; numbers in their decimal form."""
        value = self.value()
        return b"%d" % value if isinstance(value, int) else value

    def value(self) -> bytes | int:
        """A string, as a number if that is how it is kept."""
        data, pos = self.data, self.pos
        try:
            first = data[pos]
            if first < 0x80:
                if first < 64:
                    start = pos + 1
                    end = start + first
                else:
                    start = pos + 2
                    end = start + ((first & 63) << 8 | data[pos + 1])
                if end > len(data):
                    raise Short(end)
                self.pos = end
                return data[start:end]
        except IndexError:
            raise Short(len(data) + 1) from None
        if first < 0xC0:
            return self.take(self.length())
        self.pos = pos + 1
        if first == _LZF:
            packed_size = self.length()
            size = self.length()
            return decompress(self.take(packed_size), size)
        if first == 0xC0:
            number = self.byte()
            return number - 256 if number > 127 else number
        if first == 0xC1:
            return int.from_bytes(self.take(2), "little", signed=True)
        if first == 0xC2:
            return int.from_bytes(self.take(4), "little", signed=True)
        raise ValueError(f"unknown encoding of a string: {first & 63}")

    def strings(self, count: int) -> list[bytes]:
        """So many strings. O(bytes)."""
        self.need(count)
        found: list[bytes] = []
        append = found.append
        data, pos, size = self.data, self.pos, len(self.data)
        try:
            for _ in range(count):
                first = data[pos]
                if first < 64:
                    end = pos + 1 + first
                    append(data[pos + 1 : end])
                    pos = end
                elif first == 0xC0:
                    append(_TEXTS[data[pos + 1] ^ 0x80])
                    pos += 2
                else:
                    self.pos = pos
                    append(self.string())
                    pos = self.pos
        except IndexError:
            raise Short(pos + 1) from None
        if pos > size:
            raise Short(pos)
        self.pos = pos
        return found

    def scored(self, count: int) -> tuple[list[bytes], list[float]]:
        """So many strings, each with a double behind it: both apart. O(bytes)."""
        self.need(count * 9)
        found: list[bytes] = []
        numbers: list[float] = []
        append, append_number = found.append, numbers.append
        data, pos = self.data, self.pos
        double_at = _DOUBLE.unpack_from
        try:
            for _ in range(count):
                first = data[pos]
                if first < 64:
                    end = pos + 1 + first
                    append(data[pos + 1 : end])
                else:
                    self.pos = pos
                    append(self.string())
                    end = self.pos
                append_number(double_at(data, end)[0])
                pos = end + 8
        except (IndexError, StructError):
            raise Short(pos + 9) from None
        self.pos = pos
        return found, numbers
