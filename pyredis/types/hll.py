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
value skips chunks with regular expressions and sums.

Departures: sparse registers must be exactly 16384, where Redis 7.0 lets VALs follow; an XZERO cut
in half is corrupt; and an infinite estimate is the highest integer.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from math import inf, sqrt
from struct import Struct
from typing import Final

Bytes = bytes | bytearray

HEADER_BYTES: Final = 16
REGISTERS: Final = 1 << 14
COUNT_MAX: Final = (1 << 63) - 1
_INDEX_BITS: Final = 14
_RANK_MAX: Final = 64 - _INDEX_BITS + 1
_DENSE_BYTES: Final = HEADER_BYTES + REGISTERS * 6 // 8
_SPARSE_BYTES_MAX: Final = HEADER_BYTES + REGISTERS * 2  # all of them XZEROs of one
_DENSE, _SPARSE = 0, 1
_MAGIC: Final = b"HYLL"
_NO_REGISTERS: Final = b"\x7f\xff"
_EMPTY: Final = b"HYLL\x01\0\0\0" + bytes(8) + _NO_REGISTERS
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
_XZERO: Final = re.compile(rb"([\x40-\x7f].)", re.DOTALL)
"""Found where it is: from the beginning of any opcode on, its first byte is no other opcode's."""
_XZERO_BASE: Final = 0x4000 - 1
_CHUNK_BYTES: Final = 32
_RUNS: Final = tuple(
    bytes([(op >> 2 & 31) + 1 if op & 0x80 else 0]) * (span or REGISTERS + 1)
    for op, span in enumerate(_ONE_BYTE_SPANS)
)
"""The registers of each opcode; too many for half an XZERO."""
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
    h = _SEED ^ size * _M  # cut to 64 bits only where more of them would matter
    if size >= 8:
        for (k,) in _WORDS(element[: size & -8]):
            k = k * _M & _MASK
            h = ((h ^ (k ^ k >> _R) * _M) & _MASK) * _M
    if size & 7:
        h = (h & _MASK ^ int.from_bytes(element[size & -8 :], "little")) * _M
    h &= _MASK
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
    if shift <= 2:
        old = value[at] >> shift & 63
        if old >= rank:
            return False
        value[at] ^= (old ^ rank) << shift
        return True
    old = (value[at] | value[at + 1] << 8) >> shift & 63
    if old >= rank:
        return False
    changes = (old ^ rank) << shift
    value[at] ^= changes & 0xFF
    value[at + 1] ^= changes >> 8
    return True


_Spot = tuple[int, int]
"""Where an opcode begins in the value, and the first register it stands for."""

_BEGIN: Final[_Spot] = (HEADER_BYTES, 0)


def _set_sparse(
    value: bytearray, index: int, rank: int, max_bytes: int, start: _Spot
) -> tuple[bool, _Spot]:
    """Raises one register to a rank, perhaps making the value dense; returns whether it was lower.

    Returns too where the walk to a later register may start, as this one did at `start`.
    Raises Corrupt.
    """
    if rank > _VAL_MAX:
        return _set_promoted(value, index, rank), _BEGIN
    # 1. Find the opcode of the register, and the one before it.
    start, previous, at, size, first, span = _locate(value, index, start)
    op = value[at]
    old = (op >> 2 & 31) + 1 if op & 0x80 else 0
    if old >= rank:
        return False, start
    # 2. Replace it by the run in front, the register, and the run behind.
    grown = bytes((0x80 | (rank - 1) << 2,))
    if span > 1:
        grown = _run(old, index - first) + grown + _run(old, first + span - 1 - index)
        if len(grown) > size and len(value) + len(grown) - size > max_bytes:
            return _set_promoted(value, index, rank), _BEGIN
    value[at : at + size] = grown
    # 3. Join neighbours of the same rank, as far as that can be needed.
    _join(value, previous)
    return True, start


def _locate(value: bytearray, index: int, start: _Spot) -> tuple[_Spot, int, int, int, int, int]:
    """Returns what there is to know of the opcode of a register.

    That is a spot to start from for later registers, where the opcode before begins, where this
    one does, its bytes, its first register and its span. Raises Corrupt.

    Chunks are skipped; the walk then begins a whole chunk early. So the opcode before is passed
    too, and what a change may touch lies behind the start.
    """
    spans = _ONE_BYTE_SPANS
    at, first = start
    while True:
        chunk = value[at : at + _CHUNK_BYTES]
        if len(chunk) < _CHUNK_BYTES:
            break
        beyond = first
        ones: Bytes = chunk
        xzeros = _XZERO.findall(chunk)
        if xzeros:
            ones = _XZERO.sub(b"", chunk)
            beyond += sum(_span_of_xzero(xzero) for xzero in xzeros)
        beyond += sum(ones.translate(spans))
        if beyond > index:
            break
        start = at, first
        # The first byte of an XZERO may be left over at the end.
        at += _CHUNK_BYTES - (ones[-1:].translate(spans) == b"\0")
        first = beyond
    previous, first = start
    at = previous
    end = len(value)
    while at < end:
        size, span = 1, spans[value[at]]
        if not span:
            if at + 1 == end:
                break
            size, span = 2, _span_of_xzero(value[at : at + 2])
        if first + span > index:
            return start, previous, at, size, first, span
        previous = at
        at += size
        first += span
    raise Corrupt


def _span_of_xzero(opcode: Bytes) -> int:
    return int.from_bytes(opcode, "big") - _XZERO_BASE


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
        reverse = b2a_base64(value[: HEADER_BYTES - 1 : -1], newline=False)
        return reverse.translate(_FROM_BASE64)[::-1]
    if len(value) > _SPARSE_BYTES_MAX:
        raise Corrupt
    runs: list[bytes] = []
    zeros = 0
    for number, part in enumerate(_XZERO.split(value[HEADER_BYTES:])):
        if number & 1:
            span = _span_of_xzero(part)
            zeros += span
            if zeros > REGISTERS:  # before a string made for that takes all memory
                raise Corrupt
            runs.append(bytes(span))
        else:
            runs += map(_RUNS.__getitem__, part)
    found = b"".join(runs)
    if len(found) != REGISTERS:
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
    if not is_sparse(value) or new.translate(None, _VAL_RANKS):
        _store_dense(value, new)
    elif value[HEADER_BYTES:] == _NO_REGISTERS:
        _store_sparse(value, new, sparse_max_bytes)
    else:
        start = _BEGIN
        for found in _NOT_ZERO.finditer(_difference(new, registers(value))):
            index = found.start()
            _, start = _set_sparse(value, index, new[index], sparse_max_bytes, start)
            if not is_sparse(value):
                _store_dense(value, new)
                return


def _store_sparse(value: bytearray, new: bytes, max_bytes: int) -> None:
    """Gives an empty value these registers: the same steps, all at the end of what is there."""
    opcodes = bytearray()
    done, left = 0, 2  # registers, and bytes for the zeros behind them
    for found in _NOT_ZERO.finditer(new):
        index = found.start()
        zeros = _run(0, index - done)
        rest = len(_run(0, REGISTERS - 1 - index))
        added = len(zeros) + 1 + rest
        if added > left and HEADER_BYTES + len(opcodes) + added > max_bytes:
            _store_dense(value, new)
            return
        op = 0x80 | (new[index] - 1) << 2
        if not zeros and opcodes and op <= opcodes[-1] < op + _VAL_RUN_MAX - 1:
            opcodes[-1] += 1
        else:
            opcodes += zeros
            opcodes.append(op)
        done, left = index + 1, rest
    value[HEADER_BYTES:] = opcodes + _run(0, REGISTERS - done)


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
