"""HyperLogLog: about how many different elements were seen, in at most 12 kB.

An element is hashed (MurmurHash64A). The low 14 bits of the hash choose one of 16384 *registers*;
the *rank* of the rest is the place of its lowest bit that is set, 1 for the last bit. A register
keeps the highest rank it was shown: n different elements in it make a rank of about log2(n)
likely. Two counts of different sets merge by taking the higher register of each pair.

Sources: Flajolet et al., "HyperLogLog" (2007); the estimate from all registers together is that
of Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017), without tables
or corrections. The standard error is 0.81 %.

The value is a string, whose bytes Redis shares with its replicas, files and users, so here they
are exactly the same:

    "HYLL"  encoding (0 dense, 1 sparse)  3 bytes unused  count, 8 bytes  registers

The count is little-endian and holds the last estimate; its highest bit says that it is stale.
Dense registers have 6 bits each, the first in the lowest bits of the first byte. Sparse ones are
runs of equal registers, in opcodes:

    00nnnnnn           ZERO   n + 1 registers of 0
    01nnnnnn nnnnnnnn  XZERO  n + 1 registers of 0
    1vvvvvnn           VAL    n + 1 registers of v + 1

A sparse value becomes dense, for good, when a rank passes 32 or it would grow beyond a limit.
How runs split and join in Redis is part of the format, since the bytes show it.

Python's way. Reversing the bytes makes dense registers base64, so `binascii` packs and unpacks
them in C. Unpacked registers are one byte each with the top bit free, so the higher one of all
pairs comes from a few operations on two integers of 16 kB. The walk to a register in a sparse
value skips blocks of one-byte opcodes with a regular expression and a sum.

Departures: sparse registers must be exactly 16384, where Redis 7.0 lets VALs follow; an XZERO cut
in half is corrupt; and an infinite estimate is the highest integer.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from math import inf, sqrt
from struct import Struct
from typing import Final, NamedTuple

Bytes = bytes | bytearray

HEADER_BYTES: Final = 16
REGISTERS: Final = 1 << 14
COUNT_MAX: Final = (1 << 63) - 1
_INDEX_BITS: Final = 14
_RANK_MAX: Final = 64 - _INDEX_BITS + 1
_DENSE_BYTES: Final = HEADER_BYTES + REGISTERS * 6 // 8
_DENSE, _SPARSE = 0, 1
_MAGIC: Final = b"HYLL"
_EMPTY: Final = b"HYLL\x01\0\0\0" + bytes(8) + b"\x7f\xff"
_STALE: Final = 0x80
_STALE_AT: Final = 15

_ZERO_MAX: Final = 64  # registers in a ZERO
_VAL_MAX: Final = 32  # the highest rank in a VAL
_VAL_RANKS: Final = bytes(range(_VAL_MAX + 1))
_VAL_RUN_MAX: Final = 4
_JOINS: Final = 5  # so many opcodes are looked at for equal neighbours after a change

_ONE_BYTE_SPANS: Final = bytes(
    (op & 3) + 1 if op & 0x80 else 0 if op & 0x40 else op + 1 for op in range(256)
)
"""How many registers each opcode stands for; 0 for XZERO, where the next byte counts too."""
_BLOCK_BYTES: Final = 32
_BLOCK: Final = re.compile(rb"[^\x40-\x7f]{%d}" % _BLOCK_BYTES)
_RUNS: Final = tuple(
    bytes([(op >> 2 & 31) + 1 if op & 0x80 else 0]) * span
    for op, span in enumerate(_ONE_BYTE_SPANS)
)
_OPCODE: Final = re.compile(rb"[^\x40-\x7f]|[\x40-\x7f].", re.DOTALL)

_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_FROM_BASE64: Final = bytes(max(_BASE64.find(char), 0) for char in range(256))
_TO_BASE64: Final = _BASE64 * 4
_TOP_BITS: Final = int.from_bytes(b"\x80" * REGISTERS, "little")
_NOT_ZERO: Final = re.compile(rb"[^\0]")

_SEED: Final = 0xADC83B19
_M: Final = 0xC6A4A7935BD1E995
_R: Final = 47
_MASK: Final = (1 << 64) - 1
_WORDS: Final = Struct("<Q").iter_unpack

_ALPHA: Final = 0.721347520444481703680  # 1 / (2 ln 2)


class Corrupt(ValueError):
    """The header is right but the registers are not."""


# The value as a whole


def empty() -> bytearray:
    """Returns a new value without elements."""
    return bytearray(_EMPTY)


def is_valid(value: Bytes) -> bool:
    """Returns whether the header is right, and for a dense value the length. O(1)."""
    if len(value) < HEADER_BYTES or value[:4] != _MAGIC:
        return False
    return value[4] == _SPARSE or (value[4] == _DENSE and len(value) == _DENSE_BYTES)


def is_sparse(value: Bytes) -> bool:
    """Returns whether the registers are encoded as runs."""
    return value[4] == _SPARSE


def known_count(value: Bytes) -> int | None:
    """Returns the estimate that the value carries, None when it is stale."""
    if value[_STALE_AT] & _STALE:
        return None
    return int.from_bytes(value[8:HEADER_BYTES], "little")


def remember_count(value: bytearray, count: int) -> None:
    """Stores an estimate in the value."""
    value[8:HEADER_BYTES] = count.to_bytes(8, "little")


def forget_count(value: bytearray) -> None:
    """Marks the stored estimate as stale."""
    value[_STALE_AT] |= _STALE


# Adding


def place_of(element: Bytes) -> tuple[int, int]:
    """Returns the register that an element belongs to and its rank there. O(length)."""
    size = len(element)
    h = _SEED ^ (size * _M & _MASK)
    if size >= 8:
        for (k,) in _WORDS(element[: size & -8]):
            k = k * _M & _MASK
            h = (h ^ (k ^ k >> _R) * _M & _MASK) * _M & _MASK
    if size & 7:
        h = (h ^ int.from_bytes(element[size & -8 :], "little")) * _M & _MASK
    h = (h ^ h >> _R) * _M & _MASK
    h ^= h >> _R
    rest = h >> _INDEX_BITS | 1 << (_RANK_MAX - 1)
    return h & (REGISTERS - 1), (rest & -rest).bit_length()


def add(value: bytearray, element: Bytes, sparse_max_bytes: int) -> bool:
    """Adds an element; returns whether a register grew. O(1) dense, O(length) sparse.

    The caller sees to the stored count. Raises Corrupt.
    """
    index, rank = place_of(element)
    if value[4] == _DENSE:
        return _set_dense(value, index, rank)
    return _set_sparse(value, index, rank, sparse_max_bytes, _BEGIN)[0]


def _set_dense(value: bytearray, index: int, rank: int) -> bool:
    """Raises one register to a rank; returns whether it was lower."""
    at = HEADER_BYTES + (index * 6 >> 3)
    shift = index * 6 & 7
    word = int.from_bytes(value[at : at + 2], "little")
    old = word >> shift & 63
    if old >= rank:
        return False
    word ^= (old ^ rank) << shift
    value[at] = word & 0xFF
    if shift > 2:  # the register goes on in the next byte
        value[at + 1] = word >> 8
    return True


class _Spot(NamedTuple):
    """Where an opcode begins in the value, and the first register it stands for."""

    at: int
    first: int


_BEGIN: Final = _Spot(HEADER_BYTES, 0)


def _set_sparse(
    value: bytearray, index: int, rank: int, max_bytes: int, start: _Spot
) -> tuple[bool, _Spot]:
    """Raises one register to a rank, perhaps making the value dense; returns whether it was lower.

    Returns too where the walk to a later register may start, as this one does at `start`.
    Raises Corrupt.
    """
    if rank > _VAL_MAX:
        return _set_promoted(value, index, rank), _BEGIN
    # 1. Find the opcode of the register, and the one before it.
    before, previous, (at, first), size, span = _locate(value, index, start)
    if at == start.at > HEADER_BYTES:
        # An opcode at the start of the walk has one before it too, but it was not passed.
        before, previous, (at, first), size, span = _locate(value, index, _BEGIN)
    op = value[at]
    old = (op >> 2 & 31) + 1 if op & 0x80 else 0
    if old >= rank:
        return False, before
    # 2. Replace it by the run in front, the register, and the run behind.
    grown = bytes((0x80 | (rank - 1) << 2,))
    if span > 1:
        grown = _run(old, index - first) + grown + _run(old, first + span - 1 - index)
        if len(grown) > size and len(value) + len(grown) - size > max_bytes:
            return _set_promoted(value, index, rank), _BEGIN
    value[at : at + size] = grown
    # 3. Join neighbours of the same rank, as far as that can be needed.
    _join(value, previous.at)
    return True, before


def _locate(
    value: bytearray, index: int, start: _Spot
) -> tuple[_Spot, _Spot, _Spot, int, int]:
    """Returns where a register's opcode is, its bytes and span; first, the two spots before it.

    Those are the start itself where there are none behind it. Raises Corrupt.
    """
    before = previous = start
    at, first = start
    end = len(value)
    spans = _ONE_BYTE_SPANS
    block_at = at  # where it is worth trying to skip a block
    while at < end:
        if at >= block_at:
            block = _BLOCK.match(value, at)
            if block is not None:
                beyond = first + sum(block[0].translate(spans))
                if beyond <= index:
                    at, first = block.end(), beyond
                    previous = _Spot(at - 1, first - spans[value[at - 1]])
                    before = _Spot(at - 2, previous.first - spans[value[at - 2]])
                    block_at = at
                    continue
            block_at = at + _BLOCK_BYTES
        size, span = 1, spans[value[at]]
        if not span:
            if at + 1 == end:
                break
            size, span = 2, ((value[at] & 63) << 8 | value[at + 1]) + 1
        if first + span > index:
            return before, previous, _Spot(at, first), size, span
        before, previous = previous, _Spot(at, first)
        at += size
        first += span
    raise Corrupt


def _set_promoted(value: bytearray, index: int, rank: int) -> bool:
    make_dense(value)
    return _set_dense(value, index, rank)


def _run(rank: int, length: int) -> bytes:
    """Returns the opcode for a run of registers that is part of an older one; b"" for none."""
    if not length:
        return b""
    if rank:
        return bytes((0x80 | (rank - 1) << 2 | (length - 1),))
    if length <= _ZERO_MAX:
        return bytes((length - 1,))
    return bytes((0x40 | (length - 1) >> 8, (length - 1) & 0xFF))


def _join(value: bytearray, at: int) -> None:
    """Joins VALs of one rank, from an opcode on."""
    for _ in range(_JOINS):
        if at >= len(value):
            return
        op = value[at]
        if op & 0x80 and at + 1 < len(value):
            following = value[at + 1]
            # Equal but for the lengths: both VALs, of the same rank.
            if (op ^ following) < 4:
                length = (op & 3) + (following & 3) + 2
                if length <= _VAL_RUN_MAX:
                    value[at : at + 2] = bytes((op & 0xFC | (length - 1),))
                    continue
        at += 1 if op & 0xC0 != 0x40 else 2


# All registers


def registers(value: Bytes) -> bytes:
    """Returns the registers, a byte each. O(1), as it were: always 16384. Raises Corrupt."""
    if value[4] == _DENSE:
        return b2a_base64(value[: HEADER_BYTES - 1 : -1], newline=False).translate(_FROM_BASE64)[
            ::-1
        ]
    runs = []
    at, end = HEADER_BYTES, len(value)
    while at < end:
        op = value[at]
        at += 1
        if op & 0xC0 != 0x40:
            runs.append(_RUNS[op])
        elif at < end:
            runs.append(bytes(((op & 63) << 8 | value[at]) + 1))
            at += 1
    found = b"".join(runs)
    if len(found) != REGISTERS or at != end:
        raise Corrupt
    return found


def higher(a: bytes, b: bytes) -> bytes:
    """Returns the higher register of each pair."""
    x, y = int.from_bytes(a, "little"), int.from_bytes(b, "little")
    # With the top bit of each byte set in x, subtracting y borrows from that bit only, and it
    # stays where x >= y. Less itself shifted down, it becomes a mask of the bits below.
    keep = (x | _TOP_BITS) - y & _TOP_BITS
    keep -= keep >> 7
    return (y ^ (x ^ y) & keep).to_bytes(REGISTERS, "little")


def make_dense(value: bytearray) -> bool:
    """Changes the encoding of a sparse value; returns whether it was one. Raises Corrupt."""
    if value[4] == _DENSE:
        return False
    _store_dense(value, registers(value))
    return True


def _store_dense(value: bytearray, new: bytes) -> None:
    value[4] = _DENSE
    value[HEADER_BYTES:] = a2b_base64(new[::-1].translate(_TO_BASE64))[::-1]


def raise_to(value: bytearray, new: bytes, sparse_max_bytes: int) -> None:
    """Gives the value these registers, none of which may be lower than its own. Raises Corrupt.

    A sparse value ends up with the bytes, and the encoding, that raising one register after
    another gives in Redis. Each step starts from where the last one was: O(length + registers).
    """
    if is_sparse(value) and not new.translate(None, _VAL_RANKS):
        start = _BEGIN
        for found in _NOT_ZERO.finditer(_difference(new, registers(value))):
            index = found.start()
            _, start = _set_sparse(value, index, new[index], sparse_max_bytes, start)
            if not is_sparse(value):
                break
        else:
            return
    _store_dense(value, new)


def _difference(a: bytes, b: bytes) -> bytes:
    """Returns bytes that are zero where both are equal."""
    x = int.from_bytes(a, "little") ^ int.from_bytes(b, "little")
    return x.to_bytes(REGISTERS, "little")


def describe(value: Bytes) -> bytes:
    """Returns the opcodes of a sparse value in words: z:length, Z:length, v:rank,length."""
    words = []
    for found in _OPCODE.finditer(value, HEADER_BYTES):
        op, size = found[0][0], len(found[0])
        if op & 0x80:
            words.append(b"v:%d,%d" % ((op >> 2 & 31) + 1, (op & 3) + 1))
        elif size == 1:
            words.append(b"z:%d" % (op + 1))
        else:
            words.append(b"Z:%d" % (((op & 63) << 8 | found[0][1]) + 1))
    return b" ".join(words)


# Estimate


def estimate(all_registers: bytes) -> int:
    """Returns how many different elements these registers have seen, about."""
    seen = all_registers.translate(None, b"\0")
    left = len(seen)
    counts = [REGISTERS - left]
    while left:
        counts.append(seen.count(len(counts)))
        left -= counts[-1]
    counts += [0] * (_RANK_MAX + 1 - len(counts))
    z = REGISTERS * _tau((REGISTERS - counts[_RANK_MAX]) / REGISTERS)
    for rank in range(_RANK_MAX - 1, 0, -1):
        z = (z + counts[rank]) * 0.5
    z += REGISTERS * _sigma(counts[0] / REGISTERS)
    if not z:
        return COUNT_MAX  # no hash sets all registers so high, but somebody's SET can
    return min(int(_ALPHA * REGISTERS * REGISTERS / z + 0.5), COUNT_MAX)


def _tau(x: float) -> float:
    """Ertl's tau, for the share of registers below the highest rank."""
    if x in (0.0, 1.0):
        return 0.0
    y, z, before = 1.0, 1.0 - x, inf
    while z != before:
        x = sqrt(x)
        before = z
        y *= 0.5
        z -= (1.0 - x) ** 2 * y
    return z / 3.0


def _sigma(x: float) -> float:
    """Ertl's sigma, for the share of registers that are still 0."""
    if x == 1.0:
        return inf
    y, z, before = 1.0, x, inf
    while z != before:
        x *= x
        before = z
        z += x * y
        y += y
    return z
