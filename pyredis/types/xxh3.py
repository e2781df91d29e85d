"""XXH3: the 64-bit hash of Yann Collet's xxHash family that DIGEST shows, with seed 0.

Short inputs (up to 240 bytes) are mixed in 16-byte pieces, by one of four recipes. Longer ones
run through eight *accumulators* of 64 bits. A *stripe* is 64 bytes, a lane of 8 bytes for each
accumulator; lanes are mixed with a *secret*, 192 bytes that are part of the algorithm, of which
each stripe uses a window 8 bytes further on. After 16 stripes (a *block*) the accumulators are
scrambled, and at the end merged into one number.

What happens to an accumulator within a block is addition only: for each stripe its neighbour's
lane, and the product of the two halves of (lane xor secret). So a block can be done sum by sum
instead of stripe by stripe, and that is what makes it fast enough in Python: the xor for the
whole block is one operation on large integers, a sum of products is one `sum(map(mul, ...))`,
and only one reduction to 64 bits is left for each accumulator. About 20 us a KiB.

Source: the xxHash specification, XXH3 chapter. Nothing is left out but seeds and own secrets.
"""

from __future__ import annotations

from operator import mul
from struct import Struct
from typing import Final

_MASK: Final = (1 << 64) - 1

_PRIME32_1: Final = 0x9E3779B1
_PRIME32_2: Final = 0x85EBCA77
_PRIME32_3: Final = 0xC2B2AE3D
_PRIME64_1: Final = 0x9E3779B185EBCA87
_PRIME64_2: Final = 0xC2B2AE3D27D4EB4F
_PRIME64_3: Final = 0x165667B19E3779F9
_PRIME64_4: Final = 0x85EBCA77C2B2AE63
_PRIME64_5: Final = 0x27D4EB2F165667C5
_PRIME_MX1: Final = 0x165667919E3779F9
_PRIME_MX2: Final = 0x9FB21C651E98DF25

_SECRET: Final = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)

_STRIPE_BYTES: Final = 64
_STRIPES: Final = 16  # in a block
_BLOCK_BYTES: Final = _STRIPE_BYTES * _STRIPES
_START: Final = (
    *(_PRIME32_3, _PRIME64_1, _PRIME64_2, _PRIME64_3),
    *(_PRIME64_4, _PRIME32_2, _PRIME64_5, _PRIME32_1),
)


def _read(data: bytes | bytearray, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _windows(first: int, count: int) -> int:
    """The secret's windows for so many stripes, one behind the other, as a number."""
    windows = (_SECRET[at : at + _STRIPE_BYTES] for at in range(first, first + 8 * count, 8))
    return int.from_bytes(b"".join(windows), "little")


_WINDOWS: Final = tuple(_windows(0, count) for count in range(_STRIPES + 1))
_LAST_WINDOW: Final = _windows(len(_SECRET) - _STRIPE_BYTES - 7, 1)
_SCRAMBLE: Final = tuple(
    _read(_SECRET, at) for at in range(len(_SECRET) - _STRIPE_BYTES, len(_SECRET), 8)
)
_LANES: Final = tuple(Struct(f"<{8 * count}Q") for count in range(_STRIPES + 1))
_HALVES: Final = tuple(Struct(f"<{16 * count}I") for count in range(_STRIPES + 1))


def xxh3_64(data: bytes | bytearray) -> int:
    """The hash of the data, 0 to 2**64 - 1. O(n)."""
    size = len(data)
    if size > 240:
        return _long(data)
    if size > 128:
        return _of_129_to_240(data)
    if size > 16:
        return _of_17_to_128(data)
    if size > 8:
        low = _read(data, 0) ^ _read(_SECRET, 24) ^ _read(_SECRET, 32)
        high = _read(data, size - 8) ^ _read(_SECRET, 40) ^ _read(_SECRET, 48)
        swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
        return _avalanche(size + swapped + high + _fold(low, high))
    if size > 3:
        words = _read(data, size - 4, 4) + (_read(data, 0, 4) << 32)
        return _strong_avalanche(words ^ _read(_SECRET, 8) ^ _read(_SECRET, 16), size)
    if size:
        word = data[0] << 16 | data[size >> 1] << 24 | data[-1] | size << 8
        return _old_avalanche(word ^ _read(_SECRET, 0, 4) ^ _read(_SECRET, 4, 4))
    return _old_avalanche(_read(_SECRET, 56) ^ _read(_SECRET, 64))


# Mixing


def _fold(a: int, b: int) -> int:
    """The halves of a product of 128 bits, put together."""
    product = a * b
    return (product & _MASK) ^ (product >> 64)


def _avalanche(value: int) -> int:
    value &= _MASK
    value ^= value >> 37
    value = value * _PRIME_MX1 & _MASK
    return value ^ (value >> 32)


def _old_avalanche(value: int) -> int:
    """XXH64's."""
    value ^= value >> 33
    value = value * _PRIME64_2 & _MASK
    value ^= value >> 29
    value = value * _PRIME64_3 & _MASK
    return value ^ (value >> 32)


def _strong_avalanche(value: int, size: int) -> int:
    value ^= (value << 49 | value >> 15) & _MASK ^ (value << 24 | value >> 40) & _MASK
    value = value * _PRIME_MX2 & _MASK
    value ^= (value >> 35) + size
    value = value * _PRIME_MX2 & _MASK
    return value ^ (value >> 28)


def _mix(data: bytes | bytearray, at: int, secret_at: int) -> int:
    """16 bytes with 16 of the secret."""
    return _fold(
        _read(data, at) ^ _read(_SECRET, secret_at),
        _read(data, at + 8) ^ _read(_SECRET, secret_at + 8),
    )


def _of_17_to_128(data: bytes | bytearray) -> int:
    """Pieces from both ends, towards the middle."""
    size = len(data)
    total = size * _PRIME64_1
    for pair in range((size - 1) // 32 + 1):
        total += _mix(data, 16 * pair, 32 * pair)
        total += _mix(data, size - 16 * (pair + 1), 32 * pair + 16)
    return _avalanche(total)


def _of_129_to_240(data: bytes | bytearray) -> int:
    size = len(data)
    total = size * _PRIME64_1
    for piece in range(8):
        total += _mix(data, 16 * piece, 16 * piece)
    total = _avalanche(total)
    for piece in range(8, size // 16):
        total += _mix(data, 16 * piece, 16 * (piece - 8) + 3)
    total += _mix(data, size - 16, 136 - 17)
    return _avalanche(total)


# Long inputs


def _long(data: bytes | bytearray) -> int:
    size = len(data)
    sums = list(_START)
    full = (size - 1) // _BLOCK_BYTES * _BLOCK_BYTES
    for at in range(0, full, _BLOCK_BYTES):
        _add(sums, data[at : at + _BLOCK_BYTES], _STRIPES, _WINDOWS[_STRIPES])
        for lane, secret in enumerate(_SCRAMBLE):
            value = sums[lane] & _MASK
            sums[lane] = (value ^ (value >> 47) ^ secret) * _PRIME32_1 & _MASK
    stripes = (size - 1 - full) // _STRIPE_BYTES
    _add(sums, data[full : full + stripes * _STRIPE_BYTES], stripes, _WINDOWS[stripes])
    _add(sums, data[-_STRIPE_BYTES:], 1, _LAST_WINDOW)
    total = size * _PRIME64_1
    for lane in range(0, 8, 2):
        total += _fold(
            sums[lane] & _MASK ^ _read(_SECRET, 11 + 8 * lane),
            sums[lane + 1] & _MASK ^ _read(_SECRET, 19 + 8 * lane),
        )
    return _avalanche(total)


def _add(sums: list[int], stripes: bytes | bytearray, count: int, windows: int) -> None:
    """Add so many stripes to the accumulators, which may outgrow their 64 bits."""
    lanes = _LANES[count].unpack(stripes)
    keys = int.from_bytes(stripes, "little") ^ windows
    halves = _HALVES[count].unpack(keys.to_bytes(len(stripes), "little"))
    for lane in range(8):
        sums[lane ^ 1] += sum(lanes[lane::8])
        sums[lane] += sum(map(mul, halves[2 * lane :: 16], halves[2 * lane + 1 :: 16]))
