"""Bitmaps: strings addressed by bits.

Bit 0 is the most significant bit of the first byte, and behind its end a string goes on with
zeros for ever. Nothing here loops over bits or bytes in Python:

* counting, combining and searching take pieces of ``_PIECE_BYTES`` as integers, whose
  ``bit_count``, ``&``, ``|``, ``^`` and ``bit_length`` run in C. Pieces keep the integers in the
  processor's cache and the transient memory small, whatever the size of the string. A piece
  read little-endian grows at its end, so that the zeros behind a shorter string come by
  themselves; read big-endian its leading bit is the first one of the string;
* a bit field of up to 64 bits touches at most nine bytes: cut them out, shift, mask.

What SETBIT and BITFIELD change is a ``bytearray`` from then on (see ``strings.py``), so they cost
what they touch. The same writes that change nothing in a string of sufficient length are no
modification: no event, nothing propagated.

Departures: OVERFLOW SAT brings a SET far below a signed field's range to the minimum, where the
64-bit difference that Redis tests wraps around and it stores the maximum; and ``#n`` beyond 64
bits is an error rather than some other place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, reduce
from operator import and_, or_, xor
from typing import Final, NamedTuple

from pyredis.commands.args import INT64_MAX, canonical_integer, integer, syntax_error
from pyredis.commands.registry import Group, first, span
from pyredis.commands.strings import editable
from pyredis.context import Context
from pyredis.resp import Error, Reply

command = Group("bitmap", acl="bitmap")

Bytes = bytes | bytearray

_PIECE_BYTES: Final = 1 << 16
_BLANK: Final = {1: bytes(_PIECE_BYTES), 0: b"\xff" * _PIECE_BYTES}
"""For each bit to look for, a piece in which it is not found."""
_INVERTED: Final = bytes(range(255, -1, -1))

_UINT64_MAX: Final = (1 << 64) - 1

_BAD_OFFSET: Final = "ERR bit offset is not an integer or out of range"
_BAD_BIT: Final = "ERR bit is not an integer or out of range"
_BAD_TYPE: Final = (
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported "
    "but i64 is."
)


# Helpers


def _bit_offset(ctx: Context, arg: bytes, width: int = 0) -> int:
    """Where a bit or a field starts; ``#3`` counts fields of ``width`` bits, if that is given."""
    counted = width > 0 and arg[:1] == b"#"
    offset = integer(arg[1:] if counted else arg, _BAD_OFFSET)
    if counted:
        offset *= width
    if offset < 0 or offset >> 3 >= ctx.config.proto_max_bulk_len:
        raise Error(_BAD_OFFSET)
    return offset


def _editable_to(ctx: Context, key: bytes, bit_last: int) -> tuple[bytearray, bool]:
    """The string at ``key``, made long enough to have that bit; and whether it had to grow."""
    old = ctx.db.write_string(key)
    buffer = editable(ctx.db, key, old)
    missing = (bit_last >> 3) + 1 - len(buffer)
    if missing <= 0:
        return buffer, False
    buffer += bytes(missing)
    return buffer, True


class _BitRange(NamedTuple):
    """Bits ``first`` to ``last``, both included; empty when ``first`` is larger."""

    first: int
    last: int


class _Part(NamedTuple):
    """START, END and BYTE or BIT as given. Without an END it reaches to the last byte."""

    start: int = 0
    end: int | None = None
    by_bits: bool = False

    def within(self, size: int) -> _BitRange:
        """The bits selected in a string of ``size`` bytes.

        Negative positions count from the end, and what lies outside is cut off.
        """
        total = size * 8 if self.by_bits else size
        low, high = self.start, total - 1 if self.end is None else self.end
        if low < 0:
            low = max(low + total, 0)
        if high < 0:
            high = max(high + total, 0)
        high = min(high, total - 1)
        return _BitRange(low, high) if self.by_bits else _BitRange(low * 8, high * 8 + 7)


def _is_bit(unit: bytes | None) -> bool:
    """Whether positions are to count bits; raises a syntax error for no such unit."""
    word = b"BYTE" if unit is None else unit.upper()
    if word not in (b"BYTE", b"BIT"):
        syntax_error()
    return word == b"BIT"


def _count(value: Bytes, bits: _BitRange) -> int:
    """The number of ones among these bits, O(n): all in their bytes but those at the edges."""
    low, high = bits.first >> 3, bits.last >> 3
    total = 0
    with memoryview(value) as view:
        for at in range(low, high + 1, _PIECE_BYTES):
            piece = view[at : min(at + _PIECE_BYTES, high + 1)]
            total += int.from_bytes(piece, "little").bit_count()
    before = value[low] >> (8 - (bits.first & 7))
    behind = value[high] & (0x7F >> (bits.last & 7))
    return total - before.bit_count() - behind.bit_count()


def _find(value: Bytes, bit: int, bits: _BitRange) -> int:
    """The first of these bits that is ``bit``, -1 if there is none, O(n)."""
    low, high = bits.first >> 3, bits.last >> 3
    for at in range(low, high + 1, _PIECE_BYTES):
        piece = value[at : min(at + _PIECE_BYTES, high + 1)]
        if _BLANK[bit].startswith(piece):
            continue
        found = int.from_bytes(piece if bit else piece.translate(_INVERTED), "big")
        size = 8 * len(piece)
        if at == low:
            found &= (1 << (size - (bits.first & 7))) - 1
        if at + len(piece) > high:
            outside = 7 - (bits.last & 7)
            found = found >> outside << outside
        if found:
            return 8 * at + size - found.bit_length()
    return -1


# Single bits


@command(
    "SETBIT",
    arity=4,
    flags="write denyoom",
    keys=first("RW access update"),
    since="2.2.0",
    complexity="O(1)",
    usage="key offset value:integer",
)
def setbit(ctx: Context, key: bytes, offset: bytes, value: bytes) -> Reply:
    """Sets or clears one bit of a string, which grows if need be; returns the bit it was."""
    position = _bit_offset(ctx, offset)
    if value not in (b"0", b"1"):
        raise Error(_BAD_BIT)
    buffer, grown = _editable_to(ctx, key, position)
    at, mask = position >> 3, 0x80 >> (position & 7)
    old = 1 if buffer[at] & mask else 0
    if old != (value == b"1"):
        buffer[at] ^= mask
    elif not grown:
        return old
    ctx.db.changed(key, "setbit")
    return old


@command(
    "GETBIT",
    arity=3,
    flags="readonly fast",
    keys=first("RO access"),
    since="2.2.0",
    complexity="O(1)",
    usage="key offset",
)
def getbit(ctx: Context, key: bytes, offset: bytes) -> Reply:
    """Returns one bit of a string, 0 behind its end."""
    position = _bit_offset(ctx, offset)
    value = ctx.db.read_string(key)
    at = position >> 3
    if value is None or at >= len(value):
        return 0
    return value[at] >> (7 - (position & 7)) & 1


# Whole strings


@command(
    "BITCOUNT",
    arity=-2,
    flags="readonly",
    keys=first("RO access"),
    since="2.6.0",
    complexity="O(N)",
    usage="key [start end [BYTE|BIT]]",
    history=[("7.0.0", "Added `BYTE|BIT`.")],
)
def bitcount(
    ctx: Context,
    key: bytes,
    start: bytes | None = None,
    end: bytes | None = None,
    unit: bytes | None = None,
    *rest: bytes,
) -> Reply:
    """Counts the ones in a string or a part of it."""
    part = _Part()
    if start is not None:
        if end is None or rest:
            syntax_error()
        part = _Part(integer(start), integer(end), _is_bit(unit))
    value = ctx.db.read_string(key)
    low, high = part.start, part.end
    if value is None or (low < 0 and high is not None and high < low):
        return 0
    bits = part.within(len(value))
    return _count(value, bits) if bits.first <= bits.last else 0


@command(
    "BITPOS",
    arity=-3,
    flags="readonly",
    keys=first("RO access"),
    since="2.8.7",
    complexity="O(N)",
    usage="key bit [start [end [BYTE|BIT]]]",
    history=[("7.0.0", "Added `BYTE|BIT`.")],
)
def bitpos(
    ctx: Context,
    key: bytes,
    bit: bytes,
    start: bytes | None = None,
    end: bytes | None = None,
    unit: bytes | None = None,
    *rest: bytes,
) -> Reply:
    """Finds the first bit that is 0 or 1; -1 if there is none.

    Without an end the zeros behind the string count, so that a zero is always found.
    """
    wanted = integer(bit)
    if wanted not in (0, 1):
        raise Error("ERR The bit argument must be 1 or 0.")
    if rest:
        syntax_error()
    low = 0 if start is None else integer(start)
    by_bits = _is_bit(unit)  # before the end is looked at
    part = _Part(low, None if end is None else integer(end), by_bits)
    value = ctx.db.read_string(key)
    if value is None:
        return -1 if wanted else 0
    bits = part.within(len(value))
    if bits.first > bits.last:
        return -1
    found = _find(value, wanted, bits)
    return 8 * len(value) if found < 0 and not wanted and end is None else found


# Each takes the same piece of all strings, as numbers.


def _difference(numbers: Iterator[int]) -> int:
    """What the first has and no other."""
    first = next(numbers)
    return first & ~reduce(or_, numbers)


def _other_difference(numbers: Iterator[int]) -> int:
    """What others have and the first has not."""
    first = next(numbers)
    return reduce(or_, numbers) & ~first


def _and_or(numbers: Iterator[int]) -> int:
    """What the first has and some other, too."""
    first = next(numbers)
    return first & reduce(or_, numbers)


def _exactly_one(numbers: Iterator[int]) -> int:
    once = twice = 0
    for number in numbers:
        twice |= once & number
        once |= number
    return once ^ twice


_OPERATIONS: Final[dict[bytes, Callable[[Iterator[int]], int]]] = {
    b"AND": partial(reduce, and_),
    b"OR": partial(reduce, or_),
    b"XOR": partial(reduce, xor),
    b"DIFF": _difference,
    b"DIFF1": _other_difference,
    b"ANDOR": _and_or,
    b"ONE": _exactly_one,
}
_WITH_OTHERS: Final = frozenset((b"DIFF", b"DIFF1", b"ANDOR"))


@command(
    "BITOP",
    arity=-4,
    flags="write denyoom",
    keys=first("OW update", at=2) + span("RO access", at=3),
    since="2.6.0",
    complexity="O(N)",
    usage="<AND|OR|XOR|NOT|DIFF|DIFF1|ANDOR|ONE> destkey key [key ...]",
    history=[("8.2.0", "Added the operations `DIFF`, `DIFF1`, `ANDOR` and `ONE`.")],
)
def bitop(ctx: Context, operation: bytes, destination: bytes, *keys: bytes) -> Reply:
    """Combines strings bit by bit into a new one, as long as the longest; returns its length.

    An empty result deletes the destination.
    """
    name = operation.upper()
    if name != b"NOT" and name not in _OPERATIONS:
        syntax_error()
    if name == b"NOT" and len(keys) != 1:
        raise Error("ERR BITOP NOT must be called with a single source key.")
    if name in _WITH_OTHERS and len(keys) < 2:
        raise Error(b"ERR BITOP %b must be called with at least two source keys." % name)
    db = ctx.db
    values = [db.read_string(key) or b"" for key in keys]
    size = max(map(len, values))
    if not size:
        if db.remove(destination) is not None:  # even one past its time is deleted, not expired
            db.changed(destination, "del")
        return 0
    if name == b"NOT":
        result = bytearray(values[0].translate(_INVERTED))
    else:
        result = _combine(name, values, size)
    db.replace(destination, result)
    db.changed(destination, "set")
    return size


def _combine(name: bytes, values: list[Bytes], size: int) -> bytearray:
    combined = _OPERATIONS[name]
    pieces = []
    for at in range(0, size, _PIECE_BYTES):
        end = min(at + _PIECE_BYTES, size)
        numbers = (int.from_bytes(value[at:end], "little") for value in values)
        pieces.append(combined(numbers).to_bytes(end - at, "little"))
    return bytearray().join(pieces)


# Bit fields


class _Field(NamedTuple):
    """A place in a string that holds a number of ``width`` bits."""

    signed: bool
    width: int
    offset: int

    @property
    def last(self) -> int:
        """Its last bit."""
        return self.offset + self.width - 1

    def bounds(self) -> tuple[int, int]:
        """The least and the largest number that fit."""
        if self.signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, (1 << self.width) - 1

    def wrap(self, number: int) -> int:
        """The number that its lowest bits make."""
        number &= (1 << self.width) - 1
        if self.signed and number >> (self.width - 1):
            number -= 1 << self.width
        return number

    def load(self, value: Bytes) -> int:
        """The number in the string, taking zeros for what lies behind its end."""
        low, high = self.offset >> 3, self.last >> 3
        piece = value[low : high + 1]
        bits = int.from_bytes(piece, "big") << 8 * (high + 1 - low - len(piece))
        return self.wrap(bits >> (7 - (self.last & 7)))

    def store(self, buffer: bytearray, number: int) -> None:
        """Put a number that fits into the buffer, which is long enough."""
        low, high = self.offset >> 3, self.last >> 3
        shift = 7 - (self.last & 7)
        ones = (1 << self.width) - 1
        bits = int.from_bytes(buffer[low : high + 1], "big") & ~(ones << shift)
        bits |= (number & ones) << shift
        buffer[low : high + 1] = bits.to_bytes(high + 1 - low, "big")


class _Step(NamedTuple):
    """One operation of BITFIELD: GET, SET or INCRBY, with the overflow mode it runs under."""

    operation: bytes
    field: _Field
    operand: int
    overflow: bytes


_ARGUMENTS: Final = {b"GET": 2, b"SET": 3, b"INCRBY": 3, b"OVERFLOW": 1}
_OVERFLOWS: Final = frozenset((b"WRAP", b"SAT", b"FAIL"))


def _field(ctx: Context, kind: bytes, offset: bytes) -> _Field:
    """A field from a type such as i16 or u8 and its offset. Raises the errors for these."""
    width = canonical_integer(kind[1:])
    signed = kind[:1] == b"i"
    if not (signed or kind[:1] == b"u") or width is None or not 1 <= width <= 63 + signed:
        raise Error(_BAD_TYPE)
    return _Field(signed, width, _bit_offset(ctx, offset, width))


def _parse_steps(ctx: Context, words: tuple[bytes, ...]) -> list[_Step]:
    """The operations, each with the last OVERFLOW before it. Raises the first error met."""
    steps = []
    overflow = b"WRAP"
    at = 0
    while at < len(words):
        operation = words[at].upper()
        count = _ARGUMENTS.get(operation)
        if count is None or at + count >= len(words):
            syntax_error()
        if operation == b"OVERFLOW":
            overflow = words[at + 1].upper()
            if overflow not in _OVERFLOWS:
                raise Error("ERR Invalid OVERFLOW type specified")
        else:
            field = _field(ctx, words[at + 1], words[at + 2])
            operand = integer(words[at + 3]) if count == 3 else 0
            steps.append(_Step(operation, field, operand, overflow))
        at += 1 + count
    return steps


def _fitted(step: _Step, number: int) -> int | None:
    """The number as its field can hold it, by the overflow mode; None when it fails."""
    low, high = step.field.bounds()
    if low <= number <= high:
        return number
    if step.overflow == b"SAT":
        # Redis' distance to the bound is a 64-bit number: what SET wants so far below is above.
        beyond = step.operation == b"SET" and step.field.signed and high - number > INT64_MAX
        return low if number < low and not beyond else high
    return step.field.wrap(number) if step.overflow == b"WRAP" else None


@command(
    "BITFIELD",
    arity=-2,
    flags="write denyoom",
    keys=first("RW access update variable_flags"),
    since="3.2.0",
    complexity="O(1) for each subcommand specified",
    usage="key [GET encoding offset|[OVERFLOW <WRAP|SAT|FAIL>] "
    "<SET encoding offset value:integer|INCRBY encoding offset increment> "
    "[GET encoding offset|[OVERFLOW <WRAP|SAT|FAIL>] "
    "<SET encoding offset value:integer|INCRBY encoding offset increment> ...]]",
)
def bitfield(ctx: Context, key: bytes, *words: bytes) -> Reply:
    """Reads, sets and increments integers of any width inside a string.

    One reply an operation: the number read, the one replaced (SET), the sum (INCRBY), or null
    where OVERFLOW FAIL prevented a write. A write makes the string long enough even then.
    """
    steps = _parse_steps(ctx, words)
    ends = [step.field.last for step in steps if step.operation != b"GET"]
    if not ends:
        return _load_all(ctx, key, steps)
    buffer, grown = _editable_to(ctx, key, max(ends))
    replies: list[int | None] = []
    changes = 0
    for step in steps:
        old = step.field.load(buffer)
        if step.operation == b"GET":
            replies.append(old)
            continue
        if step.operation == b"INCRBY":
            new = _fitted(step, old + step.operand)
        else:
            # SET takes a negative number for an unsigned field as its 64 bits: a large one.
            operand = step.operand if step.field.signed else step.operand & _UINT64_MAX
            new = _fitted(step, operand)
        if new is None:
            replies.append(None)
            continue
        replies.append(new if step.operation == b"INCRBY" else old)
        if grown or new != old:
            step.field.store(buffer, new)
            changes += 1
    if changes:
        ctx.db.changed(key, "setbit", changes)
    return replies


def _load_all(ctx: Context, key: bytes, steps: list[_Step]) -> list[int]:
    value = ctx.db.read_string(key) or b""
    return [step.field.load(value) for step in steps]


@command(
    "BITFIELD_RO",
    arity=-2,
    flags="readonly fast",
    keys=first("RO access"),
    since="6.0.0",
    complexity="O(1) for each subcommand specified",
    usage="key [GET encoding offset [GET encoding offset ...]]",
)
def bitfield_ro(ctx: Context, key: bytes, *words: bytes) -> Reply:
    """Reads integers of any width inside a string: BITFIELD for replicas."""
    steps = _parse_steps(ctx, words)
    if any(step.operation != b"GET" for step in steps):
        raise Error("ERR BITFIELD_RO only supports the GET subcommand")
    return _load_all(ctx, key, steps)
