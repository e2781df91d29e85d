"""Sets.

The commands look keys up, say what changed, and shape replies; `pyredis.types.sets` does the
rest. A missing key is an empty set everywhere. The algebra checks the types of all keys first.

SPOP depends on chance, so others are told what it removed: SREM, or DEL (UNLINK) for all.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from pyredis.commands.args import INT64_MAX, integer_in, positive, syntax_error
from pyredis.commands.registry import Group, counted, first, span
from pyredis.commands.scanning import parse_cursor, parse_scan, scan_reply
from pyredis.context import Context
from pyredis.keyspace import WRONGTYPE
from pyredis.limits import elements_wanted
from pyredis.resp import Error, Reply, SetReply
from pyredis.types.sets import Set, difference, intersection, union

command = Group("set", acl="set")

_SREM_MAX: Final = 1024  # members in one propagated SREM


@command(
    "SADD",
    arity=-3,
    flags="write denyoom fast",
    keys=first("RW insert"),
    since="1.0.0",
    complexity="O(1) for each element added, so O(N) to add N elements when the command is "
    "called with multiple arguments.",
    usage="key member [member ...]",
    history=[("2.4.0", "Takes several `member` arguments.")],
)
def sadd(ctx: Context, key: bytes, *members: bytes) -> Reply:
    """Adds members to a set, which is made if it does not exist."""
    db = ctx.db
    value = db.write(key)
    if value is None:
        value = Set()
        db.put(key, value)
    elif type(value) is not Set:
        raise Error(WRONGTYPE)
    added: int = value.add(members, ctx.config)
    if added:
        db.changed(key, "sadd", added)
    return added


@command(
    "SREM",
    arity=-3,
    flags="write fast",
    keys=first("RW delete"),
    since="1.0.0",
    complexity="O(N) where N is the number of members to be removed.",
    usage="key member [member ...]",
    history=[("2.4.0", "Takes several `member` arguments.")],
)
def srem(ctx: Context, key: bytes, *members: bytes) -> Reply:
    """Removes members from a set; an emptied set is deleted."""
    value = ctx.db.write_as(key, Set)
    if value is None:
        return 0
    removed = sum(map(value.remove, members))
    if removed:
        _left(ctx, key, value, "srem", removed)
    return removed


def _left(ctx: Context, key: bytes, value: Set, event: str, count: int) -> None:
    """Members have left the set: tell, and delete the key if they were the last."""
    ctx.db.changed(key, event, count)
    if not value.members:
        ctx.db.remove(key)
        ctx.db.changed(key, "del", 0)


@command(
    "SMEMBERS",
    arity=2,
    flags="readonly",
    keys=first("RO access"),
    tips="nondeterministic_output_order",
    since="1.0.0",
    complexity="O(N) where N is the set cardinality.",
    usage="key",
)
def smembers(ctx: Context, key: bytes) -> Reply:
    """Returns all members of a set."""
    value = ctx.db.read_as(key, Set)
    return SetReply() if value is None else SetReply(value.listing())


@command(
    "SISMEMBER",
    arity=3,
    flags="readonly fast",
    keys=first("RO"),
    since="1.0.0",
    complexity="O(1)",
    usage="key member",
)
def sismember(ctx: Context, key: bytes, member: bytes) -> Reply:
    """Tells whether a set has a member."""
    value = ctx.db.read_as(key, Set)
    return 1 if value is not None and member in value.members else 0


@command(
    "SMISMEMBER",
    arity=-3,
    flags="readonly fast",
    keys=first("RO access"),
    since="6.2.0",
    complexity="O(N) where N is the number of elements being checked for membership",
    usage="key member [member ...]",
)
def smismember(ctx: Context, key: bytes, *members: bytes) -> Reply:
    """Tells for each of several members whether a set has it."""
    value = ctx.db.read_as(key, Set)
    if value is None:
        return [0] * len(members)
    held = value.members
    return [1 if member in held else 0 for member in members]


@command(
    "SCARD",
    arity=2,
    flags="readonly fast",
    keys=first("RO"),
    since="1.0.0",
    complexity="O(1)",
    usage="key",
)
def scard(ctx: Context, key: bytes) -> Reply:
    """Returns the number of members of a set."""
    value = ctx.db.read_as(key, Set)
    return 0 if value is None else len(value.members)


@command(
    "SMOVE",
    arity=4,
    flags="write fast",
    keys=first("RW access delete") + first("RW insert", at=2),
    since="1.0.0",
    complexity="O(1)",
    usage="source destination member",
)
def smove(ctx: Context, source: bytes, destination: bytes, member: bytes) -> Reply:
    """Takes a member out of one set and adds it to another."""
    db = ctx.db
    giver, taker = db.write(source), db.write(destination)
    if giver is None:
        return 0
    if type(giver) is not Set or (taker is not None and type(taker) is not Set):
        raise Error(WRONGTYPE)
    if giver is taker:
        return 1 if member in giver.members else 0
    if not giver.remove(member):
        return 0
    _left(ctx, source, giver, "srem", 1)
    if db.obtain(destination, Set).add((member,), ctx.config):
        db.changed(destination, "sadd")
    return 1


@command(
    "SPOP",
    arity=-2,
    flags="write fast",
    keys=first("RW access delete"),
    tips="nondeterministic_output",
    since="1.0.0",
    complexity="Without the count argument O(1), otherwise O(N) where N is the value of the "
    "passed count.",
    usage="key [count]",
    history=[("3.2.0", "Takes the `count` argument.")],
)
def spop(ctx: Context, key: bytes, count: bytes | None = None, *more: bytes) -> Reply:
    """Removes and returns one or several members of a set, picked at random."""
    if count is not None:
        if more:
            syntax_error()
        return _pop_many(ctx, key, positive(count))
    db = ctx.db
    value = db.write(key)
    if value is None:
        return None
    if type(value) is not Set:
        raise Error(WRONGTYPE)
    member = value.pop(ctx.rng)
    db.changed(key, "spop")
    if not value.members:
        db.remove(key)
        db.changed(key, "del", 0)
    ctx.propagate(b"SREM", key, member)
    return member


def _pop_many(ctx: Context, key: bytes, count: int) -> Reply:
    value = ctx.db.write_as(key, Set)
    if value is None or count == 0:
        return SetReply()
    if count < len(value.members):
        popped = value.pop_many(ctx.rng, count)
        for at in range(0, count, _SREM_MAX):
            ctx.propagate(b"SREM", key, *popped[at : at + _SREM_MAX])
        ctx.db.changed(key, "spop", count)
        return SetReply(popped)
    popped = value.listing()
    ctx.ks.hits += 1  # Redis takes them all by its SUNION, which reads
    ctx.db.changed(key, "spop", len(popped))
    ctx.db.remove(key)
    ctx.db.changed(key, "del", 0)
    ctx.propagate(b"UNLINK" if ctx.config.lazyfree_lazy_server_del else b"DEL", key)
    return SetReply(popped)


@command(
    "SRANDMEMBER",
    arity=-2,
    flags="readonly",
    keys=first("RO access"),
    tips="nondeterministic_output",
    since="1.0.0",
    complexity="Without the count argument O(1), otherwise O(N) where N is the absolute value "
    "of the passed count.",
    usage="key [count]",
    history=[("2.6.0", "Takes the `count` argument.")],
)
def srandmember(ctx: Context, key: bytes, count: bytes | None = None, *more: bytes) -> Reply:
    """Returns one or several members of a set, picked at random.

    A positive count asks for different members, a negative one for independent picks.
    """
    if more:
        syntax_error()
    if count is None:
        value = ctx.db.read_as(key, Set)
        return None if value is None else value.sample(ctx.rng)
    number = integer_in(count, -INT64_MAX, INT64_MAX)
    value = ctx.db.read_as(key, Set)
    if value is None:
        return []
    if number < 0:
        return value.sample_many(ctx.rng, elements_wanted(ctx.engine, ctx.session, -number))
    return value.sample_distinct(ctx.rng, number)


def _sets(ctx: Context, keys: tuple[bytes, ...]) -> list[Set]:
    """The sets at these keys, new empty ones for keys that are missing."""
    read_as = ctx.db.read_as
    found = [read_as(key, Set) for key in keys]
    return [Set() if value is None else value for value in found]


def _store(ctx: Context, key: bytes, result: Set, event: str) -> int:
    """Put a result in place of whatever is there; an empty one only deletes that."""
    db = ctx.db
    if result.members:
        db.replace(key, result)
        db.changed(key, event)
    elif db.remove(key) is not None:  # one past its time too, which is no expiry
        db.changed(key, "del")
    return len(result.members)


@command(
    "SINTER",
    arity=-2,
    flags="readonly",
    keys=span("RO access"),
    tips="nondeterministic_output_order",
    since="1.0.0",
    complexity="O(N*M) worst case where N is the cardinality of the smallest set and M is the "
    "number of sets.",
    usage="key [key ...]",
)
def sinter(ctx: Context, *keys: bytes) -> Reply:
    """Returns the members that all of several sets have."""
    return SetReply(intersection(_sets(ctx, keys)))


@command(
    "SINTERSTORE",
    arity=-3,
    flags="write denyoom",
    keys=first("OW update") + span("RO access", at=2),
    since="1.0.0",
    complexity="O(N*M) worst case where N is the cardinality of the smallest set and M is the "
    "number of sets.",
    usage="destination key [key ...]",
)
def sinterstore(ctx: Context, destination: bytes, *keys: bytes) -> Reply:
    """Stores the members that all of several sets have, and returns their number."""
    result = Set.of(intersection(_sets(ctx, keys)), ctx.config)
    return _store(ctx, destination, result, "sinterstore")


@command(
    "SINTERCARD",
    arity=-3,
    flags="readonly movablekeys",
    keys=counted("RO access", at=1),
    since="7.0.0",
    complexity="O(N*M) worst case where N is the cardinality of the smallest set and M is the "
    "number of sets.",
    usage="numkeys key [key ...] [LIMIT limit]",
)
def sintercard(ctx: Context, numkeys: bytes, *args: bytes) -> Reply:
    """Returns how many members all of several sets have, counting up to a limit."""
    count = integer_in(numkeys, 1, INT64_MAX, "ERR numkeys should be greater than 0")
    if count > len(args):
        raise Error("ERR Number of keys can't be greater than number of args")
    limit = 0
    for at in range(count, len(args), 2):
        if args[at].upper() != b"LIMIT" or at + 1 == len(args):
            syntax_error()
        limit = integer_in(args[at + 1], 0, INT64_MAX, "ERR LIMIT can't be negative")
    common = intersection(_sets(ctx, args[:count]))
    return len(list(islice(common, limit or None)))


@command(
    "SUNION",
    arity=-2,
    flags="readonly",
    keys=span("RO access"),
    tips="nondeterministic_output_order",
    since="1.0.0",
    complexity="O(N) where N is the total number of elements in all given sets.",
    usage="key [key ...]",
)
def sunion(ctx: Context, *keys: bytes) -> Reply:
    """Returns the members that any of several sets has."""
    return SetReply(union(_sets(ctx, keys)))


@command(
    "SUNIONSTORE",
    arity=-3,
    flags="write denyoom",
    keys=first("OW update") + span("RO access", at=2),
    since="1.0.0",
    complexity="O(N) where N is the total number of elements in all given sets.",
    usage="destination key [key ...]",
)
def sunionstore(ctx: Context, destination: bytes, *keys: bytes) -> Reply:
    """Stores the members that any of several sets has, and returns their number."""
    result = Set.of(union(_sets(ctx, keys)), ctx.config)
    return _store(ctx, destination, result, "sunionstore")


@command(
    "SDIFF",
    arity=-2,
    flags="readonly",
    keys=span("RO access"),
    tips="nondeterministic_output_order",
    since="1.0.0",
    complexity="O(N) where N is the total number of elements in all given sets.",
    usage="key [key ...]",
)
def sdiff(ctx: Context, *keys: bytes) -> Reply:
    """Returns the members of the first set that none of the others has."""
    minuend, *others = _sets(ctx, keys)
    return SetReply(difference(minuend, others))


@command(
    "SDIFFSTORE",
    arity=-3,
    flags="write denyoom",
    keys=first("OW update") + span("RO access", at=2),
    since="1.0.0",
    complexity="O(N) where N is the total number of elements in all given sets.",
    usage="destination key [key ...]",
)
def sdiffstore(ctx: Context, destination: bytes, *keys: bytes) -> Reply:
    """Stores the members of the first set that none of the others has; returns their number."""
    minuend, *others = _sets(ctx, keys)
    result = Set.of(difference(minuend, others), ctx.config)
    return _store(ctx, destination, result, "sdiffstore")


@command(
    "SSCAN",
    arity=-3,
    flags="readonly",
    keys=first("RO access"),
    tips="nondeterministic_output",
    since="2.8.0",
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command "
    "calls for the cursor to return back to 0. N is the number of elements inside the collection.",
    usage="key cursor [MATCH pattern] [COUNT count]",
)
def sscan(ctx: Context, key: bytes, cursor: bytes, *args: bytes) -> Reply:
    """Returns some members of a set, and the cursor that asks for the next."""
    start = parse_cursor(cursor)
    value = ctx.db.read_as(key, Set)
    if value is None:
        return scan_reply(0, [])
    options = parse_scan(args, allow_type=False)
    after, page = value.scan(start, options.count)
    return scan_reply(after, page if options.match is None else list(filter(options.match, page)))
