"""Hashes.

The commands look keys up, say what changed, and shape replies; `pyredis.types.hashes` keeps
fields and encoding. A missing key is an empty hash everywhere. Numbers are kept as the text
that Redis would print.

HINCRBYFLOAT is told to others as the HSET of its result, so that nobody rounds differently, or
as an HSETEX that keeps the field's TTL, where there is one.

TTLs of fields are set in ``hash_ttl.py``. Here it matters which of them are past
(`pyredis.field_expiry`): commands that name a field remove it then, those that list the hash
pass it by. HSET and HDEL need not look: they write over the field, or remove it, and count it
as one that was there, as in Redis.
"""

from __future__ import annotations

from typing import Final

from pyredis.commands.args import (
    INT64_MAX,
    INT64_MIN,
    NOT_FLOAT,
    integer,
    integer_in,
    syntax_error,
)
from pyredis.commands.registry import Group, first
from pyredis.commands.scanning import parse_cursor, parse_scan, scan_reply
from pyredis.context import Context
from pyredis.field_expiry import living, sampled, settle, visible
from pyredis.keyspace import WRONGTYPE
from pyredis.limits import elements_wanted
from pyredis.resp import OK, Error, Reply
from pyredis.types.doubles import add_long_doubles, format_long_double, parse_long_double
from pyredis.types.hashes import Hash

command = Group("hash", acl="hash")

_PAIRS_MAX: Final = INT64_MAX // 2


@command(
    "HSET",
    arity=-4,
    flags="write denyoom fast",
    keys=first("RW update"),
    since="2.0.0",
    complexity="O(1) for each field/value pair added, so O(N) to add N field/value pairs when "
    "the command is called with multiple field/value pairs.",
    usage="key field value [field value ...]",
    history=[("4.0.0", "Takes several pairs of `field` and `value`.")],
)
def hset(ctx: Context, key: bytes, field: bytes, content: bytes, *more: bytes) -> Reply:
    """Sets fields of a hash, and returns how many of them are new."""
    if len(more) & 1:
        raise Error("ERR wrong number of arguments for 'hset' command")
    db = ctx.db
    value = db.write(key)
    if value is None:
        value = Hash()
        db.put(key, value)
    elif type(value) is not Hash:
        raise Error(WRONGTYPE)
    if more:
        added: int = value.update((field, content, *more), ctx.config)
        db.changed(key, "hset", 1 + len(more) // 2)
        return added
    new = value.set(field, content, ctx.config)
    db.changed(key, "hset")
    return 1 if new else 0


@command(
    "HMSET",
    arity=-4,
    flags="write denyoom fast",
    keys=first("RW update"),
    since="2.0.0",
    complexity="O(N) where N is the number of fields being set.",
    usage="key field value [field value ...]",
    deprecated="`HSET` with multiple field-value pairs",
    deprecated_since="4.0.0",
)
def hmset(ctx: Context, key: bytes, *pairs: bytes) -> Reply:
    """Sets fields of a hash."""
    if len(pairs) & 1:
        raise Error("ERR wrong number of arguments for 'hmset' command")
    ctx.db.obtain(key, Hash).update(pairs, ctx.config)
    ctx.db.changed(key, "hset", len(pairs) // 2)
    return OK


@command(
    "HSETNX",
    arity=4,
    flags="write denyoom fast",
    keys=first("RW insert"),
    since="2.0.0",
    complexity="O(1)",
    usage="key field value",
)
def hsetnx(ctx: Context, key: bytes, field: bytes, content: bytes) -> Reply:
    """Sets a field of a hash unless the field exists."""
    value = ctx.db.write_as(key, Hash)
    if value is not None and visible(ctx.db, key, value, field) is not None:
        return 0
    ctx.db.obtain(key, Hash).set(field, content, ctx.config)
    ctx.db.changed(key, "hset")
    return 1


@command(
    "HGET",
    arity=3,
    flags="readonly fast",
    keys=first("RO access"),
    since="2.0.0",
    complexity="O(1)",
    usage="key field",
)
def hget(ctx: Context, key: bytes, field: bytes) -> Reply:
    """Returns the value of a field."""
    value = ctx.db.read(key)
    if value is None:
        return None
    if type(value) is not Hash:
        raise Error(WRONGTYPE)
    if value.deadlines is not None:
        return visible(ctx.db, key, value, field)
    return value.fields.get(field)


@command(
    "HMGET",
    arity=-3,
    flags="readonly fast",
    keys=first("RO access"),
    since="2.0.0",
    complexity="O(N) where N is the number of fields being requested.",
    usage="key field [field ...]",
)
def hmget(ctx: Context, key: bytes, *fields: bytes) -> Reply:
    """Returns the values of several fields, null for those that do not exist."""
    value = ctx.db.read_as(key, Hash)
    if value is None:
        return [None] * len(fields)
    past = settle(ctx.db, key, value, fields)
    if past:
        return [None if field in past else value.fields.get(field) for field in fields]
    return list(map(value.fields.get, fields))


@command(
    "HGETALL",
    arity=2,
    flags="readonly",
    keys=first("RO access"),
    tips="nondeterministic_output_order",
    since="2.0.0",
    complexity="O(N) where N is the size of the hash.",
    usage="key",
)
def hgetall(ctx: Context, key: bytes) -> Reply:
    """Returns all fields with their values."""
    value = ctx.db.read_as(key, Hash)
    # A copy: inside MULTI the reply is encoded after later commands have run.
    return {} if value is None else dict(living(ctx.db, value))


@command(
    "HDEL",
    arity=-3,
    flags="write fast",
    keys=first("RW delete"),
    since="2.0.0",
    complexity="O(N) where N is the number of fields to be removed.",
    usage="key field [field ...]",
    history=[("2.4.0", "Takes several `field` arguments.")],
)
def hdel(ctx: Context, key: bytes, *fields: bytes) -> Reply:
    """Removes fields from a hash; an emptied hash is deleted."""
    db = ctx.db
    value = db.write_as(key, Hash)
    if value is None:
        return 0
    removed = sum(map(value.remove, fields))
    if removed:
        db.changed(key, "hdel", removed)
        if not value.fields:
            db.remove(key)
            db.changed(key, "del", 0)
    return removed


@command(
    "HLEN",
    arity=2,
    flags="readonly fast",
    keys=first("RO"),
    since="2.0.0",
    complexity="O(1)",
    usage="key",
)
def hlen(ctx: Context, key: bytes) -> Reply:
    """Returns the number of fields of a hash."""
    value = ctx.db.read_as(key, Hash)
    return 0 if value is None else len(value.fields)


@command(
    "HSTRLEN",
    arity=3,
    flags="readonly fast",
    keys=first("RO"),
    since="3.2.0",
    complexity="O(1)",
    usage="key field",
)
def hstrlen(ctx: Context, key: bytes, field: bytes) -> Reply:
    """Returns the length of a field's value, 0 if there is none."""
    value = ctx.db.read_as(key, Hash)
    return 0 if value is None else len(visible(ctx.db, key, value, field) or b"")


@command(
    "HEXISTS",
    arity=3,
    flags="readonly fast",
    keys=first("RO"),
    since="2.0.0",
    complexity="O(1)",
    usage="key field",
)
def hexists(ctx: Context, key: bytes, field: bytes) -> Reply:
    """Tells whether a hash has a field."""
    value = ctx.db.read_as(key, Hash)
    return 1 if value is not None and visible(ctx.db, key, value, field) is not None else 0


@command(
    "HKEYS",
    arity=2,
    flags="readonly",
    keys=first("RO access"),
    tips="nondeterministic_output_order",
    since="2.0.0",
    complexity="O(N) where N is the size of the hash.",
    usage="key",
)
def hkeys(ctx: Context, key: bytes) -> Reply:
    """Returns all fields of a hash."""
    value = ctx.db.read_as(key, Hash)
    return [] if value is None else list(living(ctx.db, value))


@command(
    "HVALS",
    arity=2,
    flags="readonly",
    keys=first("RO access"),
    tips="nondeterministic_output_order",
    since="2.0.0",
    complexity="O(N) where N is the size of the hash.",
    usage="key",
)
def hvals(ctx: Context, key: bytes) -> Reply:
    """Returns all values of a hash."""
    value = ctx.db.read_as(key, Hash)
    return [] if value is None else list(living(ctx.db, value).values())


@command(
    "HINCRBY",
    arity=4,
    flags="write denyoom fast",
    keys=first("RW access update"),
    since="2.0.0",
    complexity="O(1)",
    usage="key field increment",
)
def hincrby(ctx: Context, key: bytes, field: bytes, increment: bytes) -> Reply:
    """Adds to the integer in a field, starting from 0."""
    by = integer(increment)
    db = ctx.db
    value = db.write_as(key, Hash)
    if value is None or value.deadlines is None:
        old = None if value is None else value.fields.get(field)
    else:
        old = visible(db, key, value, field)
    total = by if old is None else by + integer(old, "ERR hash value is not an integer")
    if not INT64_MIN <= total <= INT64_MAX:
        raise Error("ERR increment or decrement would overflow")
    db.obtain(key, Hash).set(field, b"%d" % total, ctx.config, keep_deadline=True)
    db.changed(key, "hincrby")
    return total


@command(
    "HINCRBYFLOAT",
    arity=4,
    flags="write denyoom fast",
    keys=first("RW access update"),
    since="2.6.0",
    complexity="O(1)",
    usage="key field increment:double",
)
def hincrbyfloat(ctx: Context, key: bytes, field: bytes, increment: bytes) -> Reply:
    """Adds to the number in a field, starting from 0; computes as a C long double."""
    try:
        total = parse_long_double(increment)
    except ValueError:
        raise Error(NOT_FLOAT) from None
    if not total.finite:
        raise Error("ERR value is NaN or Infinity")
    db = ctx.db
    value = db.write_as(key, Hash)
    old = None if value is None else visible(db, key, value, field)
    if old is not None:
        try:
            total = add_long_doubles(parse_long_double(old), total)
        except ValueError:
            raise Error("ERR hash value is not a float") from None
        except OverflowError:
            raise Error("ERR increment would produce NaN or Infinity") from None
    text = format_long_double(total)
    value = db.obtain(key, Hash)
    value.set(field, text, ctx.config, keep_deadline=True)
    if value.deadline(field) is None:
        ctx.propagate(b"HSET", key, field, text)
    else:
        ctx.propagate(b"HSETEX", key, b"KEEPTTL", b"FIELDS", b"1", field, text)
    db.changed(key, "hincrbyfloat")
    return text


@command(
    "HRANDFIELD",
    arity=-2,
    flags="readonly",
    keys=first("RO access"),
    tips="nondeterministic_output",
    since="6.2.0",
    complexity="O(N) where N is the number of fields returned",
    usage="key [count [WITHVALUES]]",
)
def hrandfield(ctx: Context, key: bytes, count: bytes | None = None, *more: bytes) -> Reply:
    """Returns one or several fields of a hash, picked at random, perhaps with their values.

    A positive count asks for different fields, a negative one for independent picks.
    """
    if count is None:
        value = _sampled(ctx, key)
        return None if value is None else value.sample(ctx.rng)
    number = integer_in(count, -INT64_MAX, INT64_MAX)
    if len(more) > 1 or (more and more[0].upper() != b"WITHVALUES"):
        syntax_error()
    if more and not -_PAIRS_MAX <= number <= _PAIRS_MAX:
        raise Error("ERR value is out of range")
    value = _sampled(ctx, key)
    if value is None:
        return []
    if number < 0:
        picked = value.sample_many(ctx.rng, elements_wanted(ctx.engine, ctx.session, -number))
    else:
        picked = value.sample_distinct(ctx.rng, number)
    if not more:
        return picked
    if ctx.resp3:
        return [[field, value.fields[field]] for field in picked]
    return _flat(value, picked)


def _sampled(ctx: Context, key: bytes) -> Hash | None:
    """The hash to draw from, None if there is nothing to draw."""
    value = ctx.db.read_as(key, Hash)
    return None if value is None else sampled(ctx.db, key, value)


def _flat(value: Hash, fields: list[bytes]) -> list[bytes]:
    """Each field, followed by its value."""
    values = value.fields
    return [text for field in fields for text in (field, values[field])]


@command(
    "HSCAN",
    arity=-3,
    flags="readonly",
    keys=first("RO access"),
    tips="nondeterministic_output",
    since="2.8.0",
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command "
    "calls for the cursor to return back to 0. N is the number of elements inside the collection.",
    usage="key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
)
def hscan(ctx: Context, key: bytes, cursor: bytes, *args: bytes) -> Reply:
    """Returns some fields of a hash with their values, and the cursor that asks for the next.

    With NOVALUES only the fields.
    """
    start = parse_cursor(cursor)
    value = ctx.db.read_as(key, Hash)
    if value is None:
        return scan_reply(0, [])
    options = parse_scan(args, allow_type=False, allow_novalues=True)
    after, page = value.scan(start, options.count)
    alive = living(ctx.db, value)
    if alive is not value.fields:
        page = [field for field in page if field in alive]
    if options.match is not None:
        page = list(filter(options.match, page))
    return scan_reply(after, _flat(value, page) if options.values else page)
