"""OBJECT: how a value is represented and how it has been used.

Encodings are a compatibility label: what Redis would use for such a value. Containers know
theirs. For strings it follows from the value, since Redis picks it when the value is set: a
64-bit number is an `int`, up to 44 bytes fit into one allocation with their header (`embstr`),
others are `raw`, as are all that were changed in place.

Reference counts are 1, but for the numbers 0 to 9999, which Redis keeps ready once and for all
keys (unless eviction needs a use mark for each key, which a shared object cannot have).
"""

from __future__ import annotations

from typing import Final

from pyredis.commands.args import canonical_integer
from pyredis.commands.help import help_reply
from pyredis.commands.registry import Group, first
from pyredis.config import Config
from pyredis.context import Context
from pyredis.keyspace import Value
from pyredis.resp import Error, Reply

command = Group("generic", acl="keyspace")

EMBSTR_MAX_BYTES: Final = 44
_SHARED_COUNT: Final = 10_000
_SHARED_REFERENCES: Final = (1 << 31) - 1

_SWITCHING: Final = (
    "Please note that when switching between policies at runtime LRU and LFU data will take "
    "some time to adjust."
)


@command(
    "OBJECT",
    arity=-2,
    acl="",
    since="2.2.3",
    complexity="Depends on subcommand.",
)
def object_(ctx: Context) -> Reply:
    """Tells about the inside of values."""
    raise Error("ERR wrong number of arguments for 'object' command")


@command(
    "OBJECT ENCODING",
    arity=3,
    flags="readonly",
    keys=first("RO", at=2),
    tips="nondeterministic_output",
    since="2.2.3",
    complexity="O(1)",
    usage="key",
)
def object_encoding(ctx: Context, key: bytes) -> Reply:
    """Names the representation of the value at a key."""
    value = _look(ctx, key)
    return None if value is None else encoding_name(value, ctx.config)


@command(
    "OBJECT REFCOUNT",
    arity=3,
    flags="readonly",
    keys=first("RO", at=2),
    tips="nondeterministic_output",
    since="2.2.3",
    complexity="O(1)",
    usage="key",
)
def object_refcount(ctx: Context, key: bytes) -> Reply:
    """Counts the references to the value at a key."""
    value = _look(ctx, key)
    return None if value is None else reference_count(value, ctx.config)


@command(
    "OBJECT IDLETIME",
    arity=3,
    flags="readonly",
    keys=first("RO", at=2),
    tips="nondeterministic_output",
    since="2.2.3",
    complexity="O(1)",
    usage="key",
)
def object_idletime(ctx: Context, key: bytes) -> Reply:
    """Tells for how many seconds a key has not been used."""
    if _look(ctx, key) is None:
        return None
    if ctx.ks.lfu:
        raise Error(f"ERR An LFU maxmemory policy is selected, idle time not tracked. {_SWITCHING}")
    return ctx.db.idle_seconds(key)


@command(
    "OBJECT FREQ",
    arity=3,
    flags="readonly",
    keys=first("RO", at=2),
    tips="nondeterministic_output",
    since="4.0.0",
    complexity="O(1)",
    usage="key",
)
def object_freq(ctx: Context, key: bytes) -> Reply:
    """Tells how often a key is used, on a logarithmic scale from 0 to 255."""
    if _look(ctx, key) is None:
        return None
    if not ctx.ks.lfu:
        raise Error(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
            f"{_SWITCHING}"
        )
    return ctx.db.frequency(key)


@command(
    "OBJECT HELP",
    arity=2,
    flags="loading stale",
    since="6.2.0",
    complexity="O(1)",
)
def object_help(ctx: Context) -> Reply:
    """Explains the subcommands."""
    return help_reply(ctx, "OBJECT")


def _look(ctx: Context, key: bytes) -> Value | None:
    """The value; a hit or a miss, but no use of the key and no event."""
    value = ctx.db.peek(key)
    if value is None:
        ctx.ks.misses += 1
    else:
        ctx.ks.hits += 1
    return value


def encoding_name(value: Value, config: Config) -> bytes:
    """What OBJECT ENCODING says of a value. Nothing changes."""
    kind = type(value)
    if kind is bytes:
        if canonical_integer(value) is not None:
            return b"int"
        return b"embstr" if len(value) <= EMBSTR_MAX_BYTES else b"raw"
    if kind is int:
        return b"int"
    if kind is bytearray:
        return b"raw"
    name: bytes = value.encoding(config)
    return name


def reference_count(value: Value, config: Config) -> int:
    """What OBJECT REFCOUNT says of a value."""
    number = value if type(value) is int else None
    if type(value) is bytes:
        number = canonical_integer(value)
    policy = config.maxmemory_policy
    shares = not config.maxmemory or not policy.endswith(("lru", "lfu"))
    if shares and number is not None and 0 <= number < _SHARED_COUNT:
        return _SHARED_REFERENCES
    return 1
