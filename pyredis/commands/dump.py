"""DUMP and RESTORE: values that travel as bytes, between servers of any make.

The bytes are a value in the RDB format, the version of that format, and a checksum. They are
written in the version that ``rdb-version`` names, and read in all versions up to Redis 7.4's. A
payload is taken apart completely before anything changes, so a damaged one, or one made to do
harm, has no other effect than an error.
"""

from __future__ import annotations

from typing import Final

from pyredis.commands.args import integer, syntax_error
from pyredis.commands.registry import Group, first
from pyredis.context import Context
from pyredis.persistence import payload as payloads
from pyredis.persistence.rdb import RdbError
from pyredis.resp import OK, Error, Reply

command = Group("generic", acl="keyspace")

_BUSY_KEY: Final = "BUSYKEY Target key name already exists."
_NOT_GENUINE: Final = "ERR DUMP payload version or checksum are wrong"
_BAD_FORMAT: Final = "ERR Bad data format"

_COMPLEXITY: Final = (
    "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where "
    "N is the number of Redis objects composing the value and M their average size. For small "
    "string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). "
    "However for sorted set values the complexity is O(N*M*log(N)) because inserting values into "
    "sorted sets is O(log(N))."
)
_HISTORY: Final = [
    ("3.0.0", "Replaces an existing key with `REPLACE`."),
    ("5.0.0", "Takes the TTL as a point in time with `ABSTTL`."),
    ("5.0.0", "Restores marks of use with `IDLETIME` and `FREQ`."),
]
_USAGE: Final = "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]"


@command(
    "DUMP",
    arity=2,
    flags="readonly",
    keys=first("RO access"),
    tips="nondeterministic_output",
    since="2.6.0",
    complexity="O(1) to access the key and additional O(N*M) to serialize it, where N is the "
    "number of Redis objects composing the value and M their average size. For small string "
    "values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1).",
    usage="key",
)
def dump(ctx: Context, key: bytes) -> Reply:
    """Serializes the value at a key."""
    value = ctx.db.read(key)
    if value is None:
        return None
    return payloads.dump(value, ctx.config.rdb_version, ctx.config.rdbcompression)


@command(
    "RESTORE",
    arity=-4,
    flags="write denyoom",
    keys=first("OW update"),
    acl="keyspace dangerous",
    since="2.6.0",
    complexity=_COMPLEXITY,
    usage=_USAGE,
    history=_HISTORY,
)
def restore(ctx: Context, key: bytes, ttl: bytes, payload: bytes, *options: bytes) -> Reply:
    """Makes a key of a serialized value."""
    return _restore(ctx, b"RESTORE", key, ttl, payload, options)


def _restore(
    ctx: Context, name: bytes, key: bytes, ttl: bytes, payload: bytes, options: tuple[bytes, ...]
) -> Reply:
    replace = absolute = False
    idle_s = frequency = None
    words = iter(options)
    for word in words:
        option = word.upper()
        if option == b"REPLACE":
            replace = True
        elif option == b"ABSTTL":
            absolute = True
        elif option == b"IDLETIME" and frequency is None and (arg := next(words, None)) is not None:
            idle_s = integer(arg)
            if idle_s < 0:
                raise Error("ERR Invalid IDLETIME value, must be >= 0")
        elif option == b"FREQ" and idle_s is None and (arg := next(words, None)) is not None:
            frequency = integer(arg)
            if not 0 <= frequency <= 255:
                raise Error("ERR Invalid FREQ value, must be >= 0 and <= 255")
        else:
            syntax_error()
    db = ctx.db
    if not replace and db.write(key) is not None:
        raise Error(_BUSY_KEY)
    expiry_ms = integer(ttl)
    if expiry_ms < 0:
        raise Error("ERR Invalid TTL value, must be >= 0")
    if not payloads.is_genuine(payload, checks=not ctx.engine.switches.checksums_ignored):
        raise Error(_NOT_GENUINE)
    try:
        value = payloads.restore(payload, ctx.config)
    except RdbError as error:
        ctx.engine.log("warning", f"RESTORE: {error}")
        raise Error(_BAD_FORMAT) from None
    if value is None:
        raise Error(_BAD_FORMAT)

    old = db.remove(key) if replace else None
    if old is not None and ctx.config.lazyfree_lazy_server_del:
        ctx.ks.free(old)
    if expiry_ms and not absolute:
        expiry_ms += ctx.now_ms
    if expiry_ms and expiry_ms <= ctx.now_ms and ctx.ks.may_expire and not ctx.ks.ignore_expiry:
        if old is not None:
            ctx.propagate(b"UNLINK" if ctx.config.lazyfree_lazy_server_del else b"DEL", key)
            db.changed(key, "del")
        return OK
    db.put(key, value)
    db.schedule(key, value)
    if expiry_ms:
        db.set_expiry(key, expiry_ms)
        if not absolute:
            at_ms = b"%d" % expiry_ms
            ctx.propagate(name, key, at_ms, payload, *options, b"ABSTTL")
    if ctx.ks.lfu:
        if frequency is not None:
            db.set_frequency(key, frequency)
    elif idle_s is not None:
        db.set_idle_seconds(key, idle_s)
    db.changed(key, "restore")
    return OK


@command(
    "RESTORE-ASKING",
    arity=-4,
    flags="write denyoom asking",
    keys=first("OW update"),
    since="3.0.0",
    complexity=_COMPLEXITY,
    usage=_USAGE,
    history=_HISTORY,
    group="server",
    internal=True,
    acl="keyspace dangerous",
)
def restore_asking(ctx: Context, key: bytes, ttl: bytes, payload: bytes, *options: bytes) -> Reply:
    """Makes a key of a serialized value while its slot is being moved here."""
    return _restore(ctx, b"RESTORE-ASKING", key, ttl, payload, options)
