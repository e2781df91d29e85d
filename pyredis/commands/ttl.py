"""Times to live.

Whatever form the time comes in, it is kept as an absolute Unix time in milliseconds and told
to replicas and the AOF as such (PEXPIREAT), so that it means the same there and later. A time
in the past deletes the key at once, which is told as a deletion.
"""

from __future__ import annotations

from typing import Final

from pyredis.commands.args import INT64_MAX, INT64_MIN, c_string, integer
from pyredis.commands.registry import Group, first
from pyredis.context import Context
from pyredis.resp import Error, Reply

command = Group("generic", acl="keyspace")

_HISTORY = [("7.0.0", "Takes the conditions `NX`, `XX`, `GT` and `LT`.")]
_MISSING_HISTORY = [("2.8.0", "Replies -2 for a missing key.")]
_CONDITIONS: Final = frozenset((b"NX", b"XX", b"GT", b"LT"))


@command(
    "EXPIRE",
    arity=-3,
    flags="write fast",
    keys=first("RW update"),
    since="1.0.0",
    complexity="O(1)",
    usage="key seconds [NX|XX|GT|LT]",
    history=_HISTORY,
)
def expire(ctx: Context, key: bytes, seconds: bytes, *conditions: bytes) -> Reply:
    """Lets a key live for so many seconds from now on."""
    return _expire(ctx, "expire", key, seconds, conditions, ctx.now_ms, 1000)


@command(
    "PEXPIRE",
    arity=-3,
    flags="write fast",
    keys=first("RW update"),
    since="2.6.0",
    complexity="O(1)",
    usage="key milliseconds [NX|XX|GT|LT]",
    history=_HISTORY,
)
def pexpire(ctx: Context, key: bytes, milliseconds: bytes, *conditions: bytes) -> Reply:
    """Lets a key live for so many milliseconds from now on."""
    return _expire(ctx, "pexpire", key, milliseconds, conditions, ctx.now_ms, 1)


@command(
    "EXPIREAT",
    arity=-3,
    flags="write fast",
    keys=first("RW update"),
    since="1.2.0",
    complexity="O(1)",
    usage="key unix-time-seconds [NX|XX|GT|LT]",
    history=_HISTORY,
)
def expireat(ctx: Context, key: bytes, when: bytes, *conditions: bytes) -> Reply:
    """Lets a key live until a Unix time in seconds."""
    return _expire(ctx, "expireat", key, when, conditions, 0, 1000)


@command(
    "PEXPIREAT",
    arity=-3,
    flags="write fast",
    keys=first("RW update"),
    since="2.6.0",
    complexity="O(1)",
    usage="key unix-time-milliseconds [NX|XX|GT|LT]",
    history=_HISTORY,
)
def pexpireat(ctx: Context, key: bytes, when: bytes, *conditions: bytes) -> Reply:
    """Lets a key live until a Unix time in milliseconds."""
    return _expire(ctx, "pexpireat", key, when, conditions, 0, 1)


def _expire(
    ctx: Context,
    name: str,
    key: bytes,
    arg: bytes,
    conditions: tuple[bytes, ...],
    base_ms: int,
    unit_ms: int,
) -> int:
    """1 if the key got its new time (or was deleted, the time being past), else 0."""
    wanted = _conditions(conditions) if conditions else frozenset()
    when_ms = integer(arg) * unit_ms
    if not INT64_MIN <= when_ms <= INT64_MAX - base_ms:
        raise Error(f"ERR invalid expire time in '{name}' command")
    when_ms += base_ms
    db = ctx.db
    if db.write(key) is None:
        return 0
    if wanted and not _holds(wanted, db.expiry(key), when_ms):
        return 0
    ks = ctx.ks
    if when_ms <= ks.now_ms and ks.may_expire and not ks.ignore_expiry:
        value = db.remove(key)
        if ks.lazy_expire_unlink:
            ks.free(value)
        db.changed(key, "del")
        ctx.propagate(*ks.expire_argv(key))
        return 1
    db.set_expiry(key, when_ms)
    db.changed(key, "expire")
    ctx.propagate(b"PEXPIREAT", key, b"%d" % when_ms, *conditions)
    return 1


def _conditions(args: tuple[bytes, ...]) -> frozenset[bytes]:
    """The conditions asked for; raises for unknown and for contradicting ones."""
    for arg in args:
        if arg.upper() not in _CONDITIONS:
            raise Error(b"ERR Unsupported option " + c_string(arg))
    wanted = frozenset(arg.upper() for arg in args)
    if b"NX" in wanted and len(wanted) > 1:
        raise Error("ERR NX and XX, GT or LT options at the same time are not compatible")
    if {b"GT", b"LT"} <= wanted:
        raise Error("ERR GT and LT options at the same time are not compatible")
    return wanted


def _holds(wanted: frozenset[bytes], now_ms: int | None, new_ms: int) -> bool:
    """Whether an expiry may be replaced. No expiry is later than every other."""
    if b"NX" in wanted and now_ms is not None:
        return False
    if b"XX" in wanted and now_ms is None:
        return False
    if b"GT" in wanted and (now_ms is None or new_ms <= now_ms):
        return False
    return not (b"LT" in wanted and now_ms is not None and new_ms >= now_ms)


@command(
    "TTL",
    arity=2,
    flags="readonly fast",
    keys=first("RO access"),
    tips="nondeterministic_output",
    since="1.0.0",
    complexity="O(1)",
    usage="key",
    history=_MISSING_HISTORY,
)
def ttl(ctx: Context, key: bytes) -> Reply:
    """Tells how many seconds a key has left to live."""
    left_ms = _left_ms(ctx, key)
    return (left_ms + 500) // 1000 if left_ms >= 0 else left_ms


@command(
    "PTTL",
    arity=2,
    flags="readonly fast",
    keys=first("RO access"),
    tips="nondeterministic_output",
    since="2.6.0",
    complexity="O(1)",
    usage="key",
    history=_MISSING_HISTORY,
)
def pttl(ctx: Context, key: bytes) -> Reply:
    """Tells how many milliseconds a key has left to live."""
    return _left_ms(ctx, key)


@command(
    "EXPIRETIME",
    arity=2,
    flags="readonly fast",
    keys=first("RO access"),
    since="7.0.0",
    complexity="O(1)",
    usage="key",
)
def expiretime(ctx: Context, key: bytes) -> Reply:
    """Tells the Unix time in seconds until which a key lives."""
    when_ms = _when_ms(ctx, key)
    return (when_ms + 500) // 1000 if when_ms >= 0 else when_ms


@command(
    "PEXPIRETIME",
    arity=2,
    flags="readonly fast",
    keys=first("RO access"),
    since="7.0.0",
    complexity="O(1)",
    usage="key",
)
def pexpiretime(ctx: Context, key: bytes) -> Reply:
    """Tells the Unix time in milliseconds until which a key lives."""
    return _when_ms(ctx, key)


def _when_ms(ctx: Context, key: bytes) -> int:
    """When the key expires; -1 for never, -2 for no such key."""
    db = ctx.db
    if db.look(key) is None:
        return -2
    when_ms = db.expiry(key)
    return -1 if when_ms is None else when_ms


def _left_ms(ctx: Context, key: bytes) -> int:
    when_ms = _when_ms(ctx, key)
    return max(0, when_ms - ctx.now_ms) if when_ms >= 0 else when_ms


@command(
    "PERSIST",
    arity=2,
    flags="write fast",
    keys=first("RW update"),
    since="2.2.0",
    complexity="O(1)",
    usage="key",
)
def persist(ctx: Context, key: bytes) -> Reply:
    """Lets a key live for ever again; tells whether that changed anything."""
    db = ctx.db
    if db.write(key) is None or not db.persist(key):
        return 0
    db.changed(key, "persist")
    return 1
