"""Strings, if: deleting by value, digests to compare by, and setting many keys at once.

Comparing before writing makes a lock or an optimistic update one command: SET key new IFEQ old
(in ``strings.py``), DELEX key IFEQ token. For large values a digest stands in for the value,
IFDEQ and IFDNE: 64 bits of XXH3 in hexadecimal, which clients can compute themselves.

What was done is told to others without its condition: it was met here, and meets no other data
elsewhere.
"""

from __future__ import annotations

from typing import Final

from pyredis.commands.args import integer_in
from pyredis.commands.registry import Group, KeySpec, first
from pyredis.commands.strings import (
    COMPARISONS,
    SET_LIFETIMES,
    as_reply,
    compare,
    digest_of,
    expiry_ms,
    parse_options,
    put_until,
)
from pyredis.context import Context
from pyredis.keyspace import STRING_TYPES
from pyredis.resp import Error, Reply

command = Group("string", acl="string")

_NUMKEYS_MAX: Final = (1 << 31) - 1


@command(
    "DIGEST",
    arity=2,
    flags="readonly fast",
    keys=first("RO access"),
    since="8.4.0",
    complexity="O(N) where N is the length of the string value.",
    usage="key",
)
def digest(ctx: Context, key: bytes) -> Reply:
    """Returns the XXH3 hash of a string, 16 hexadecimal digits."""
    value = as_reply(ctx.db.read(key))
    return None if value is None else digest_of(value)


@command(
    "DELEX",
    arity=-2,
    flags="write fast",
    keys=first("RW delete"),
    since="8.4.0",
    complexity="O(1) for IFEQ/IFNE, O(N) for IFDEQ/IFDNE where N is the length of the string "
    "value.",
    usage="key [IFEQ ifeq-value|IFNE ifne-value|IFDEQ ifdeq-digest|IFDNE ifdne-digest]",
)
def delex(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Deletes a key, perhaps only if its string compares as asked; 1 if it was deleted."""
    if args and len(args) != 2:
        raise Error("ERR wrong number of arguments for 'delex' command")
    db = ctx.db
    value = db.write(key) if args else db.peek(key)
    if value is None:
        return 0
    if args:
        condition, operand = args[0].upper(), args[1]
        if type(value) not in STRING_TYPES:
            raise Error("ERR Key should be of string type if conditions are specified")
        if condition not in COMPARISONS:
            raise Error("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE")
        if not compare(as_reply(value) or b"", condition, operand):
            return 0
    db.remove(key)
    lazily = ctx.config.lazyfree_lazy_user_del
    if lazily:
        ctx.ks.free(value)
    db.changed(key, "del")
    ctx.propagate(b"DEL", key)
    return 1


@command(
    "MSETEX",
    arity=-4,
    flags="write denyoom movablekeys",
    keys=(KeySpec(("OW", "update"), ("index", 1), ("keynum", 0, 1, 2)),),
    tips="request_policy:multi_shard response_policy:all_succeeded",
    since="8.4.0",
    complexity="O(N) where N is the number of keys to set.",
    usage="numkeys key value [key value ...] [NX|XX] [EX seconds|PX milliseconds|"
    "EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]",
)
def msetex(ctx: Context, numkeys: bytes, *args: bytes) -> Reply:
    """Sets several strings with one expiry time, or none of them; 1 if they were set.

    NX asks that none of the keys exists, XX that all do.
    """
    count = integer_in(numkeys, 1, _NUMKEYS_MAX, "ERR invalid numkeys value")
    if 2 * count > len(args):
        raise Error("ERR wrong number of key-value pairs")
    pairs = args[: 2 * count]
    condition, _, _, lifetime, amount = parse_options(
        args[2 * count :], SET_LIFETIMES, compares=False
    )
    when_ms = 0 if amount is None else expiry_ms(ctx, lifetime, amount, "msetex")
    db = ctx.db
    keys = pairs[::2]
    if condition:
        wanted = condition == b"XX"
        if any((db.write(key) is not None) is not wanted for key in keys):
            return 0
    for key, value in zip(keys, pairs[1::2], strict=True):
        if when_ms:
            put_until(ctx, key, value, when_ms)
            continue
        if lifetime:
            db.put(key, value)
        else:
            db.replace(key, value)
        db.changed(key, "set")
    told = (b"PXAT", b"%d" % when_ms) if when_ms else (lifetime,) * bool(lifetime)
    ctx.propagate(b"MSETEX", numkeys, *pairs, *told)
    return 1
