"""LZF: Marc Lehmann's small and fast compression, the one that RDB files use for strings.

The compressed form is a row of two kinds of instructions:

    000lllll  data...            copy the l+1 bytes that follow (1 to 32)
    LLLooooo  oooooooo           copy L+2 bytes (3 to 8) from o+1 bytes back in the output
    111ooooo  llllllll oooooooo  the same with l+9 bytes (9 to 264)

so a copy reaches back up to 8192 bytes. It may overlap with what it writes: one byte back and
264 long repeats a byte 264 times.

Compression is greedy: a dict knows where each group of three bytes was last seen; if the
next three are there, the match is taken as long as it gets. A Python step a byte is slow,
so, as LZ4 does, the steps grow longer the longer nothing has matched. Matches are measured by
exclusive-or of two integers made of the bytes: the lowest bit set is the first difference.

Cost: decompression O(instructions + output); compression O(input).
"""

from __future__ import annotations

from typing import Final

_REACH: Final = 8192
_MATCH_MAX: Final = 264
_LITERALS_MAX: Final = 32
_LONG: Final = 0xE0
_LENGTHS: Final = tuple((control >> 5) + 2 for control in range(256))
_REACHES: Final = tuple(((control & 31) << 8) + 1 for control in range(256))
_SMALL_BYTES: Final = 2048
_PATIENCE: Final = 4  # after 2**_PATIENCE misses in a row the steps grow by one
_PROBE: Final = 16


def decompress(data: bytes, size: int) -> bytes:
    """The original, of ``size`` bytes. Raises ValueError for what is no LZF or has another size."""
    # Small pieces are put together faster as bytes, which for large ones would be O(n * n).
    out: bytes | bytearray = b"" if size <= _SMALL_BYTES else bytearray()
    at = 0
    end = len(data)
    lengths, reaches = _LENGTHS, _REACHES
    try:
        while at < end:
            control = data[at]
            if control < _LITERALS_MAX:
                start = at + 1
                at = start + control + 1
                out += data[start:at]
                if at >= end:
                    break
                control = data[at]
                if control < _LITERALS_MAX:
                    continue
            length = lengths[control]
            if control >= _LONG:
                at += 1
                length += data[at]
            back = reaches[control] + data[at + 1]
            at += 2
            start = len(out) - back
            if start < 0:
                raise ValueError("compressed string refers to what is before it")
            if length <= back:
                out += out[start : start + length]
            else:
                out += (out[start:] * (length // back + 1))[:length]
            if start > size:  # longer than it should be: no need to see how much
                break
    except IndexError:
        raise ValueError("compressed string ends early") from None
    if at != end or len(out) != size:
        raise ValueError("compressed string has another size than it says")
    return bytes(out)


def compress(data: bytes, size_max: int) -> bytes | None:
    """The compressed form, None if it would take more than ``size_max`` bytes."""
    out = bytearray()
    seen: dict[bytes, int] = {}
    at = plain = 0  # data[plain:at] is still to be copied as it is
    misses = 0
    last = len(data) - 3
    from_bytes = int.from_bytes
    while at <= last:
        group = data[at : at + 3]
        found = seen.get(group)
        seen[group] = at
        if found is None or at - found > _REACH:
            at += 1 + (misses >> _PATIENCE)
            misses += 1
            if at - plain + len(out) > size_max:
                return None
            continue
        misses = 0
        there = data[at : at + _PROBE]
        here = data[found : found + len(there)]
        if here == there:
            length = _match(data, found, at)
        else:
            differ = from_bytes(here, "little") ^ from_bytes(there, "little")
            length = ((differ & -differ).bit_length() - 1) >> 3
        count = at - plain
        if 0 < count <= _LITERALS_MAX:
            out.append(count - 1)
            out += data[plain:at]
        elif count:
            _copy(out, data, plain, at)
        back = at - found - 1
        if length < 9:
            out.append(length - 2 << 5 | back >> 8)
        else:
            out.append(0xE0 | back >> 8)
            out.append(length - 9)
        out.append(back & 0xFF)
        # What begins at the match's second byte and near its end may well come again.
        seen[data[at + 1 : at + 4]] = at + 1
        at += length
        seen[data[at - 2 : at + 1]] = at - 2
        plain = at
    _copy(out, data, plain, len(data))
    return bytes(out) if len(out) <= size_max else None


def _match(data: bytes, early: int, late: int) -> int:
    """How many bytes from two places on are equal, at most what one instruction can copy."""
    there = data[late : late + _MATCH_MAX]
    here = data[early : early + len(there)]
    if here == there:
        return len(there)
    differ = int.from_bytes(here, "little") ^ int.from_bytes(there, "little")
    return ((differ & -differ).bit_length() - 1) >> 3


def _copy(out: bytearray, data: bytes, start: int, stop: int) -> None:
    for at in range(start, stop, _LITERALS_MAX):
        run = data[at : min(stop, at + _LITERALS_MAX)]
        out.append(len(run) - 1)
        out += run
