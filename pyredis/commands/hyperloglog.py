"""HyperLogLogs: counting different elements without keeping them.

The values are strings, with the format and all arithmetic in ``pyredis.types.hll``. A value that
was counted carries the result until it changes, so PFCOUNT of one key writes: it is propagated
and touches watched keys, but there is no event and the command is not refused like a write.
"""

from __future__ import annotations

from typing import Final

from pyredis.commands.args import c_string
from pyredis.commands.registry import Group, first, span
from pyredis.commands.strings import editable
from pyredis.context import Context
from pyredis.keyspace import STRING_TYPES, WRONGTYPE, Value
from pyredis.resp import OK, Error, Reply, Simple
from pyredis.types import hll

command = Group("hyperloglog", acl="hyperloglog")

_NOT_HLL: Final = "WRONGTYPE Key is not a valid HyperLogLog string value."
_CORRUPT: Final = "INVALIDOBJ Corrupted HLL object detected"
_TEST_ELEMENTS: Final = 10_000
_TEST_SPARSE_MAX_BYTES: Final = 3000
_TEST_ERROR_MAX: Final = 6 * 1.04 / hll.REGISTERS**0.5


def _checked(value: Value | None) -> bytes | bytearray | None:
    """A value just looked up, None when there is none; raises WRONGTYPE for no HyperLogLog."""
    if value is None:
        return None
    if type(value) not in STRING_TYPES:
        raise Error(WRONGTYPE)
    if type(value) is int or not hll.is_valid(value):
        raise Error(_NOT_HLL)
    found: bytes | bytearray = value
    return found


def _registers(value: bytes | bytearray) -> bytes:
    try:
        return hll.registers(value)
    except hll.Corrupt:
        raise Error(_CORRUPT) from None


def _created(ctx: Context, key: bytes) -> bytearray:
    value = hll.empty()
    ctx.db.put(key, value)
    return value


@command(
    "PFADD",
    arity=-2,
    flags="write denyoom fast",
    keys=first("RW insert"),
    since="2.8.9",
    complexity="O(1) to add every element.",
    usage="key [element [element ...]]",
)
def pfadd(ctx: Context, key: bytes, *elements: bytes) -> Reply:
    """Adds elements to a HyperLogLog, and makes it if need be.

    Returns 1 when a register changed or the key is new, else 0.
    """
    db = ctx.db
    old = _checked(db.write(key))
    value = _created(ctx, key) if old is None else editable(db, key, old)
    limit = ctx.config.hll_sparse_max_bytes
    try:
        count = sum([hll.add(value, element, limit) for element in elements])
    except hll.Corrupt:
        raise Error(_CORRUPT) from None
    if old is None:
        count += 1
    if not count:
        return 0
    hll.forget_count(value)
    db.changed(key, "pfadd", count)
    return 1


@command(
    "PFCOUNT",
    arity=-2,
    flags="readonly may_replicate",
    keys=span("RW access"),
    since="2.8.9",
    complexity="O(1) with a very small average constant time when called with a single key. "
    "O(N) with N being the number of keys, and much bigger constant times, when called with "
    "multiple keys.",
    usage="key [key ...]",
)
def pfcount(ctx: Context, key: bytes, *others: bytes) -> Reply:
    """Estimates how many different elements one HyperLogLog has seen, or several together."""
    db = ctx.db
    if others:
        return hll.estimate(_merged(ctx, (key, *others))[0])
    old = _checked(db.read(key))
    if old is None:
        return 0
    value = editable(db, key, old)
    count = hll.known_count(value)
    if count is None:
        count = hll.estimate(_registers(value))
        hll.remember_count(value, count)
        db.changed(key, "pfcount")
    return count


@command(
    "PFMERGE",
    arity=-2,
    flags="write denyoom",
    keys=first("RW access insert") + span("RO access", at=2),
    since="2.8.9",
    complexity="O(N) to merge N HyperLogLogs, but with high constant times.",
    usage="destkey [sourcekey [sourcekey ...]]",
)
def pfmerge(ctx: Context, destkey: bytes, *sourcekeys: bytes) -> Reply:
    """Adds to a HyperLogLog all that others have seen, and makes it if need be."""
    db = ctx.db
    merged, any_dense = _merged(ctx, (destkey, *sourcekeys))
    old = _checked(db.write(destkey))
    value = _created(ctx, destkey) if old is None else editable(db, destkey, old)
    if any_dense:
        hll.make_dense(value)
    hll.raise_to(value, merged, ctx.config.hll_sparse_max_bytes)
    hll.forget_count(value)
    db.changed(destkey, "pfadd")
    return OK


def _merged(ctx: Context, keys: tuple[bytes, ...]) -> tuple[bytes, bool]:
    """The highest of each register, 0 where there is no value; and whether any value is dense.

    Keys are looked up and merged one by one, as the first that fails ends it.
    """
    merged, any_dense = bytes(hll.REGISTERS), False
    for key in keys:
        value = _checked(ctx.db.read(key))
        if value is not None:
            any_dense |= not hll.is_sparse(value)
            merged = hll.higher(merged, _registers(value))
    return merged, any_dense


# For tests of the server


@command(
    "PFDEBUG",
    arity=3,
    flags="write denyoom admin",
    keys=first("RW access", at=2),
    internal=True,
    since="2.8.9",
    complexity="N/A",
    usage="subcommand key",
)
def pfdebug(ctx: Context, subcommand: bytes, key: bytes) -> Reply:
    """Shows the inside of a HyperLogLog, or makes it dense.

    GETREG replies all registers and makes the value dense, DECODE the opcodes of a sparse one,
    ENCODING its encoding; TODENSE replies whether it was sparse.
    """
    old = _checked(ctx.db.write(key))
    if old is None:
        raise Error("ERR The specified key does not exist")
    value = editable(ctx.db, key, old)
    word = subcommand.upper()
    if word == b"GETREG":
        _make_dense(ctx, value, subcommand, key)
        return list(hll.registers(value))
    if word == b"DECODE":
        if not hll.is_sparse(value):
            raise Error("ERR HLL encoding is not sparse")
        return hll.describe(value)
    if word == b"ENCODING":
        return Simple(b"sparse" if hll.is_sparse(value) else b"dense")
    if word == b"TODENSE":
        return 1 if _make_dense(ctx, value, subcommand, key) else 0
    raise Error(b"ERR Unknown PFDEBUG subcommand '%b'" % c_string(subcommand))


def _make_dense(ctx: Context, value: bytearray, subcommand: bytes, key: bytes) -> bool:
    """Make it dense; that is propagated, but it is no change of the data."""
    try:
        done = hll.make_dense(value)
    except hll.Corrupt:
        raise Error(_CORRUPT) from None
    if done:
        ctx.ks.dirty += 1
        ctx.propagate(b"PFDEBUG", subcommand, key)
    return done


@command(
    "PFSELFTEST",
    arity=1,
    flags="admin",
    internal=True,
    since="2.8.9",
    complexity="N/A",
)
def pfselftest(ctx: Context) -> Reply:
    """Tests the encodings of HyperLogLogs and the precision of the estimate.

    Adds the same elements to a sparse value, to a dense one and to plain registers, which have
    to stay equal, and compares estimates with the true number at each power of two.
    """
    seed = ctx.rng.getrandbits(64)
    plain = bytearray(hll.REGISTERS)
    sparse, dense = hll.empty(), hll.empty()
    hll.make_dense(dense)
    for number in range(1, _TEST_ELEMENTS + 1):
        element = b"%d:%d" % (seed, number)
        index, rank = hll.place_of(element)
        plain[index] = max(plain[index], rank)
        hll.add(sparse, element, _TEST_SPARSE_MAX_BYTES)
        hll.add(dense, element, 0)
        if number & (number - 1) and number != _TEST_ELEMENTS:
            continue
        for name, value in (("sparse", sparse), ("dense", dense)):
            if hll.registers(value) != plain:
                raise Error(f"TESTFAILED {name} registers are wrong after {number} elements")
        count = hll.estimate(bytes(plain))
        if abs(count - number) > max(1, _TEST_ERROR_MAX * number):
            raise Error(f"TESTFAILED {number} elements are estimated as {count}")
    return OK
