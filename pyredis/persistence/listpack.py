"""Listpacks: small collections in one block of memory, and that block in the RDB file.

    total bytes (4), number of entries (2; 65535 for "count them"), entries..., 0xFF

An entry is a head, data, and the length of both once more, for those who walk backwards.
A string that spells a 64-bit number is kept as one. Heads:

    0nnnnnnn                     number from 0 to 127
    10llllll                     string of up to 63 bytes
    110nnnnn nnnnnnnn            number of 13 bits
    1110llll llllllll            string of up to 4095 bytes
    F0 + 4 bytes                 string, length little-endian
    F1, F2, F3, F4               number of 16, 24, 32, 64 bits, little-endian

The length behind comes in groups of seven bits, the highest first; all but the first have
the top bit set.

Both directions cost O(bytes), in steps of a fraction of a microsecond an entry: the common
entries (short strings, numbers up to 127) are put together from tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

Entry = bytes | int

HEADER_BYTES: Final = 6
_END: Final = 0xFF
_COUNT_UNKNOWN: Final = 0xFFFF
_DIGITS_MAX: Final = 20
_INT64_MAX: Final = (1 << 63) - 1
_INT64_MIN: Final = -(1 << 63)

_SHORT_HEADS: Final = tuple(bytes((0x80 | size,)) for size in range(64))
_BACKS: Final = tuple(bytes((size,)) for size in range(128))
_SMALL: Final = tuple(bytes((number, 1)) for number in range(128))
_TEXT_STEPS: Final = tuple(
    (head & 63) + 2 if head & 0xC0 == 0x80 else 0 for head in range(256)
)  # the size of a short text with all that belongs to it, by its head
_WIDTHS: Final = {0xF1: 2, 0xF2: 3, 0xF3: 4, 0xF4: 8}


def encode(entries: Iterable[Entry]) -> bytes:
    """The listpack of these entries."""
    return pack(encode_entries(entries))


def pack(encoded: list[bytes]) -> bytes:
    """The listpack of entries that ``encode_entry`` has encoded."""
    body = b"".join(encoded)
    count = min(len(encoded), _COUNT_UNKNOWN)
    size = HEADER_BYTES + len(body) + 1
    return b"%b%b%b\xff" % (size.to_bytes(4, "little"), count.to_bytes(2, "little"), body)


def encode_entries(entries: Iterable[Entry]) -> list[bytes]:
    """Each entry by itself. The most common kind, a short text, is done here."""
    encoded: list[bytes] = []
    append = encoded.append
    heads, backs = _SHORT_HEADS, _BACKS
    for entry in entries:
        if type(entry) is bytes and entry[:1] > b"9" and len(entry) < 64:
            size = len(entry)
            append(heads[size] + entry + backs[size + 1])
        else:
            append(encode_entry(entry))
    return encoded


def encode_entry(entry: Entry) -> bytes:
    """One entry: a string, or a number (the same as the string that spells it)."""
    if isinstance(entry, int):
        return _encode_integer(entry)
    size = len(entry)
    if size <= _DIGITS_MAX and (entry.isdigit() or entry[:1] == b"-"):
        number = _integer(entry)
        if number is not None:
            return _encode_integer(number)
    if size < 64:
        return _SHORT_HEADS[size] + entry + _BACKS[size + 1]
    if size < 4096:
        head = (0xE000 | size).to_bytes(2, "big")
    else:
        head = b"\xf0" + size.to_bytes(4, "little")
    return b"%b%b%b" % (head, entry, _back(len(head) + size))


def _integer(text: bytes) -> int | None:
    """The 64-bit number that a text spells exactly as it would be printed, else None."""
    try:
        number = int(text)
    except ValueError:
        return None
    if _INT64_MIN <= number <= _INT64_MAX and b"%d" % number == text:
        return number
    return None


def _encode_integer(number: int) -> bytes:
    if 0 <= number < 128:
        return _SMALL[number]
    if -4096 <= number < 4096:
        return (0xC000 | (number & 0x1FFF)).to_bytes(2, "big") + b"\2"
    magnitude = number if number >= 0 else ~number
    if magnitude < 1 << 15:
        return b"\xf1" + number.to_bytes(2, "little", signed=True) + b"\3"
    if magnitude < 1 << 23:
        return b"\xf2" + number.to_bytes(3, "little", signed=True) + b"\4"
    if magnitude < 1 << 31:
        return b"\xf3" + number.to_bytes(4, "little", signed=True) + b"\5"
    return b"\xf4" + number.to_bytes(8, "little", signed=True) + b"\x09"


def _back(size: int) -> bytes:
    """An entry's length as it stands behind the entry."""
    if size < 128:
        return _BACKS[size]
    shifts = range(7 * (back_bytes(size) - 1), -1, -7)
    first, *others = (size >> shift & 127 for shift in shifts)
    return bytes((first, *(group | 0x80 for group in others)))


def back_bytes(size: int) -> int:
    """How many bytes the length of an entry takes behind it.

    Those whose bits are all set take one more than they need: so Redis has it.
    """
    if size < 128:
        return 1
    if size < 16383:
        return 2
    if size < 2097151:
        return 3
    return 4 if size < 268435455 else 5


def decode(data: bytes) -> list[bytes]:
    """The entries, numbers in their decimal form. Raises ValueError for a damaged listpack."""
    return cast(list[bytes], decode_entries(data, spells=True))


def texts(entries: list[Entry]) -> list[bytes]:
    """Entries with the numbers among them in their decimal form."""
    if int in map(type, entries):
        return [b"%d" % entry if isinstance(entry, int) else entry for entry in entries]
    return cast(list[bytes], entries)


def decode_entries(data: bytes, spells: bool = False) -> list[Entry]:
    """The entries, numbers as such, or if ``spells`` in their decimal form. Raises ValueError."""
    last = len(data) - 1
    if last < HEADER_BYTES or int.from_bytes(data[:4], "little") != len(data) or data[last] != _END:
        raise ValueError("listpack with a wrong header or end")
    entries: list[Entry] = []
    append = entries.append
    steps = _TEXT_STEPS
    pos = HEADER_BYTES
    while pos < last:
        head = data[pos]
        if step := steps[head]:
            start = pos + 1
            pos += step
            append(data[start : pos - 1])
        elif head < 0x80:
            append(b"%d" % head if spells else head)
            pos += 2
        elif head < 0xE0:
            number = (head & 31) << 8 | data[pos + 1]
            if number >= 4096:
                number -= 8192
            append(b"%d" % number if spells else number)
            pos += 3
        elif head < 0xF1:
            if head < 0xF0:
                start = pos + 2
                stop = start + ((head & 15) << 8 | data[pos + 1])
            else:
                start = pos + 5
                stop = start + int.from_bytes(data[pos + 1 : start], "little")
            append(data[start:stop])
            pos = stop + back_bytes(stop - pos)
        else:
            width = _WIDTHS.get(head)
            if width is None:
                raise ValueError("listpack with an entry of unknown kind")
            stop = pos + 1 + width
            number = int.from_bytes(data[pos + 1 : stop], "little", signed=True)
            append(b"%d" % number if spells else number)
            pos = stop + 1
    count = int.from_bytes(data[4:HEADER_BYTES], "little")
    if pos != last or count not in (len(entries), _COUNT_UNKNOWN):
        raise ValueError("listpack whose entries do not add up")
    return entries
