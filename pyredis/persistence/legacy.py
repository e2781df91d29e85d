"""What came before listpacks, and intsets: blocks of memory that old RDB files hold.

ziplist     total bytes (4), offset of the last entry (4), number of entries (2; 65535 for
            "count them"), entries..., 0xFF. An entry is the previous entry's length (one
            byte, or 0xFE and four), a head, and data:

                00llllll                  string of up to 63 bytes
                01llllll llllllll         string of up to 16383 bytes
                10000000 + 4 bytes        string, length big-endian
                C0, D0, E0, F0, FE        number of 16, 32, 64, 24, 8 bits, little-endian
                1111nnnn                  the number n-1, from 0 to 12

zipmap      number of pairs (1; 254 for "count them"), then for each pair: key length, key,
            value length, unused bytes (1), value, unused bytes...; 0xFF. Lengths from 254 on
            take five bytes, 0xFE and four.

intset      bytes a number (4), how many (4), numbers in order, all little-endian

Only intsets are still written.
"""

from __future__ import annotations

from struct import calcsize, pack, unpack_from
from typing import Final

_ZIPLIST_HEADER_BYTES: Final = 10
_COUNT_UNKNOWN: Final = 0xFFFF
_PAIRS_UNKNOWN: Final = 254
_LONG: Final = 0xFE
_END: Final = 0xFF
_ZIPLIST_WIDTHS: Final = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}

_INTSET_HEAD: Final = "<II"
_INTSET_HEADER_BYTES: Final = calcsize(_INTSET_HEAD)
_CODES: Final = {2: "h", 4: "i", 8: "q"}


def decode_ziplist(data: bytes) -> list[bytes]:
    """The entries, numbers in their decimal form. Raises ValueError for a damaged one."""
    last = len(data) - 1
    if (
        last < _ZIPLIST_HEADER_BYTES
        or int.from_bytes(data[:4], "little") != len(data)
        or data[last] != _END
    ):
        raise ValueError("ziplist with a wrong header or end")
    entries: list[bytes] = []
    append = entries.append
    pos = _ZIPLIST_HEADER_BYTES
    previous = 0
    start = pos
    while pos < last:
        start = pos
        behind = data[pos]
        pos += 1
        if behind == _LONG:
            behind = int.from_bytes(data[pos : pos + 4], "little")
            pos += 4
        if behind != previous or pos >= last:
            raise ValueError("ziplist whose entries do not add up")
        head = data[pos]
        pos += 1
        if head < 0xC0:
            if head < 0x40:
                size = head
            elif head < 0x80:
                size = (head & 63) << 8 | data[pos]
                pos += 1
            elif head == 0x80:
                size = int.from_bytes(data[pos : pos + 4], "big")
                pos += 4
            else:
                raise ValueError("ziplist with an entry of unknown kind")
            append(data[pos : pos + size])
        elif 0xF1 <= head <= 0xFD:
            size = 0
            append(b"%d" % (head - 0xF1))
        else:
            width = _ZIPLIST_WIDTHS.get(head)
            if width is None:
                raise ValueError("ziplist with an entry of unknown kind")
            size = width
            append(b"%d" % int.from_bytes(data[pos : pos + size], "little", signed=True))
        pos += size
        previous = pos - start
    count = int.from_bytes(data[8:_ZIPLIST_HEADER_BYTES], "little")
    if pos != last or count not in (len(entries), _COUNT_UNKNOWN):
        raise ValueError("ziplist whose entries do not add up")
    if int.from_bytes(data[4:8], "little") != start:
        raise ValueError("ziplist that says its last entry is elsewhere")
    return entries


def decode_zipmap(data: bytes) -> list[bytes]:
    """Keys and values in turn. Raises ValueError for a damaged zipmap."""
    last = len(data) - 1
    if last < 2 or data[last] != _END:
        raise ValueError("zipmap with a wrong end, or empty")
    found: list[bytes] = []
    pos = 1
    while pos < last:
        for unused_follows in (False, True):
            size = data[pos] if pos < last else _END
            pos += 1
            if size == _END:
                raise ValueError("zipmap that ends within a pair")
            if size == _LONG:
                size = int.from_bytes(data[pos : pos + 4], "little")
                pos += 4
            unused = 0
            if unused_follows:
                unused = data[pos] if pos < last else 0
                pos += 1
            found.append(data[pos : pos + size])
            pos += size + unused
    if pos != last or data[0] not in (len(found) // 2, _PAIRS_UNKNOWN, _END):
        raise ValueError("zipmap whose pairs do not add up")
    return found


def decode_intset(data: bytes) -> tuple[int, ...]:
    """The numbers in ascending order. Raises ValueError for a damaged intset."""
    if len(data) < _INTSET_HEADER_BYTES:
        raise ValueError("intset without a header")
    width, count = unpack_from(_INTSET_HEAD, data)
    if width not in _CODES or len(data) != _INTSET_HEADER_BYTES + width * count:
        raise ValueError("intset with a wrong header")
    numbers: tuple[int, ...] = unpack_from(f"<{count}{_CODES[width]}", data, _INTSET_HEADER_BYTES)
    if any(map(int.__ge__, numbers, numbers[1:])):
        raise ValueError("intset out of order")
    return numbers


def encode_intset(numbers: list[int]) -> bytes:
    """The intset of these different 64-bit numbers."""
    ordered = sorted(numbers)
    widest = max(~ordered[0] if ordered[0] < 0 else ordered[0], ~ordered[-1], ordered[-1])
    width = 2 if widest < 1 << 15 else 4 if widest < 1 << 31 else 8
    count = len(ordered)
    return pack(f"{_INTSET_HEAD}{count}{_CODES[width]}", width, count, *ordered)
