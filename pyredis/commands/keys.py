"""Keys, whatever they hold: existence, names, copies, iteration.

A value is moved between names and databases by reference; COPY alone duplicates it, with the
`copy` method that every type has. What a look-up leaves behind differs, and clients can see
it (INFO's hits and misses, OBJECT IDLETIME): questions about a key (EXISTS, TYPE) count as
hits or misses but not as use, TOUCH is a use, DEL is neither.

TTLs are in ``ttl.py``, whole databases in ``databases.py``.
"""

from __future__ import annotations

from typing import Final

from pyredis.commands.args import NO_SUCH_KEY, integer_in, syntax_error
from pyredis.commands.registry import Group, first, span
from pyredis.commands.scanning import parse_cursor, parse_scan, scan_reply
from pyredis.context import Context
from pyredis.glob import compile_glob
from pyredis.keyspace import Database, Value, type_name
from pyredis.resp import OK, Error, Reply, Simple

command = Group("generic", acl="keyspace")

SAME_OBJECT: Final = "ERR source and destination objects are the same"
DB_OUT_OF_RANGE: Final = "ERR DB index is out of range"
INT_MIN: Final = -(1 << 31)
INT_MAX: Final = (1 << 31) - 1

_NO_TYPE: Final = Simple(b"none")
_MANY = "request_policy:multi_shard response_policy:agg_sum"


@command(
    "DEL",
    arity=-2,
    flags="write",
    keys=span("RM delete"),
    tips=_MANY,
    since="1.0.0",
    complexity="O(N) where N is the number of keys that will be removed. When a key to remove "
    "holds a value other than a string, the individual complexity for this key is O(M) where M "
    "is the number of elements in the list, set, sorted set or hash. Removing a single key that "
    "holds a string value is O(1).",
    usage="key [key ...]",
)
def del_(ctx: Context, *keys: bytes) -> Reply:
    """Deletes keys and tells how many there were."""
    return _delete(ctx, keys, lazy=ctx.config.lazyfree_lazy_user_del)


@command(
    "UNLINK",
    arity=-2,
    flags="write fast",
    keys=span("RM delete"),
    tips=_MANY,
    since="4.0.0",
    complexity="O(1) for each key removed regardless of its size. Then the command does O(N) "
    "work in a different thread in order to reclaim memory, where N is the number of allocations "
    "the deleted objects where composed of.",
    usage="key [key ...]",
)
def unlink(ctx: Context, *keys: bytes) -> Reply:
    """Deletes keys at once and frees their values later."""
    return _delete(ctx, keys, lazy=True)


def _delete(ctx: Context, keys: tuple[bytes, ...], *, lazy: bool) -> int:
    db = ctx.db
    deleted = 0
    for key in keys:
        if db.peek(key) is not None:
            value = db.remove(key)
            if lazy:
                ctx.ks.free(value)
            db.changed(key, "del")
            deleted += 1
    return deleted


@command(
    "EXISTS",
    arity=-2,
    flags="readonly fast",
    keys=span("RO"),
    tips=_MANY,
    since="1.0.0",
    complexity="O(N) where N is the number of keys to check.",
    usage="key [key ...]",
    history=[("3.0.3", "Takes more than one `key`.")],
)
def exists(ctx: Context, *keys: bytes) -> Reply:
    """Counts which of the keys exist, a repeated one as often as it is named."""
    look = ctx.db.look
    return sum(look(key) is not None for key in keys)


@command(
    "TYPE",
    arity=2,
    flags="readonly fast",
    keys=first("RO"),
    since="1.0.0",
    complexity="O(1)",
    usage="key",
)
def type_(ctx: Context, key: bytes) -> Reply:
    """Names the type of the value at a key, or none."""
    value = ctx.db.look(key)
    return _NO_TYPE if value is None else Simple(type_name(value))


@command(
    "TOUCH",
    arity=-2,
    flags="readonly fast",
    keys=span("RO"),
    tips=_MANY,
    since="3.2.1",
    complexity="O(N) where N is the number of keys that will be touched.",
    usage="key [key ...]",
)
def touch(ctx: Context, *keys: bytes) -> Reply:
    """Marks keys as just used and tells how many exist."""
    read = ctx.db.read
    return sum(read(key) is not None for key in keys)


@command(
    "KEYS",
    arity=2,
    flags="readonly",
    acl="keyspace dangerous",
    tips="request_policy:all_shards nondeterministic_output_order",
    since="1.0.0",
    complexity="O(N) with N being the number of keys in the database, under the assumption that "
    "the key names in the database and the given pattern have limited length.",
    usage="pattern",
)
def keys_(ctx: Context, pattern: bytes) -> Reply:
    """Lists all keys whose names match a pattern."""
    keys = ctx.db.live_keys()
    if pattern == b"*":
        return list(keys)
    return list(filter(compile_glob(pattern), keys))


@command(
    "SCAN",
    arity=-2,
    flags="readonly",
    tips="nondeterministic_output request_policy:special response_policy:special",
    since="2.8.0",
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command "
    "calls for the cursor to return back to 0. N is the number of elements inside the collection.",
    usage="cursor [MATCH pattern] [COUNT count] [TYPE type]",
    history=[("6.0.0", "Filters by `TYPE`.")],
)
def scan(ctx: Context, cursor: bytes, *args: bytes) -> Reply:
    """Walks through the keys of the database, a page a call."""
    at = parse_cursor(cursor)
    options = parse_scan(args, allow_type=True)
    db = ctx.db
    at, page = db.scan(at, options.count)
    if options.match is not None:
        page = list(filter(options.match, page))
    if options.type is not None:
        looked_up = [(key, db.look(key)) for key in page]
        page = [
            key
            for key, value in looked_up
            if value is not None and type_name(value) == options.type
        ]
    elif db.expires:
        page = [key for key in page if key not in db.expires or db.peek(key) is not None]
    ctx.ks.unit.part()
    return scan_reply(at, page)


@command(
    "RANDOMKEY",
    arity=1,
    flags="readonly",
    tips="request_policy:all_shards response_policy:special nondeterministic_output",
    since="1.0.0",
    complexity="O(1)",
)
def randomkey(ctx: Context) -> Reply:
    """Picks a key by lot."""
    key = ctx.db.random_key(ctx.rng)
    ctx.ks.unit.part()
    return key


@command(
    "RENAME",
    arity=3,
    flags="write",
    keys=first("RW access delete") + first("OW update", at=2),
    since="1.0.0",
    complexity="O(1)",
    usage="key newkey",
)
def rename(ctx: Context, key: bytes, newkey: bytes) -> Reply:
    """Gives a value another key, replacing what that key held."""
    _rename(ctx, key, newkey, replace=True)
    return OK


@command(
    "RENAMENX",
    arity=3,
    flags="write fast",
    keys=first("RW access delete") + first("OW insert", at=2),
    since="1.0.0",
    complexity="O(1)",
    usage="key newkey",
    history=[("3.2.0", "Equal names are no error any more.")],
)
def renamenx(ctx: Context, key: bytes, newkey: bytes) -> Reply:
    """Gives a value another key unless that one exists."""
    return int(_rename(ctx, key, newkey, replace=False))


def _rename(ctx: Context, key: bytes, newkey: bytes, *, replace: bool) -> bool:
    """False if nothing was renamed because ``newkey`` exists. Raises if ``key`` does not."""
    db = ctx.db
    if db.write(key) is None:
        raise Error(NO_SUCH_KEY)
    if key == newkey:
        return False
    if db.write(newkey) is not None:
        if not replace:
            return False
        _displace(ctx, db, newkey)
    _carry(db, key, db, newkey)
    db.changed(key, "rename_from")
    db.changed(newkey, "rename_to", 0)
    return True


@command(
    "COPY",
    arity=-3,
    flags="write denyoom",
    keys=first("RO access") + first("OW update", at=2),
    since="6.2.0",
    complexity="O(N) worst case for collections, where N is the number of nested items. "
    "O(1) for string values.",
    usage="source destination [DB destination-db] [REPLACE]",
)
def copy(ctx: Context, source: bytes, destination: bytes, *options: bytes) -> Reply:
    """Copies a value to another key, perhaps in another database; tells whether it did."""
    db = target = ctx.db
    replace = False
    words = iter(options)
    for word in words:
        option = word.upper()
        if option == b"REPLACE":
            replace = True
        elif option == b"DB" and (index := next(words, None)) is not None:
            target = database(ctx, index)
        else:
            syntax_error()
    if target is db and source == destination:
        raise Error(SAME_OBJECT)
    value = db.read(source)
    if value is None:
        return 0
    expiry_ms = db.expiry(source)
    if target.write(destination) is not None:
        if not replace:
            return 0
        _displace(ctx, target, destination)
    target.put(destination, twin := duplicate(value))
    target.schedule(destination, twin)
    if expiry_ms is not None:
        target.set_expiry(destination, expiry_ms)
    target.changed(destination, "copy_to")
    return 1


@command(
    "MOVE",
    arity=3,
    flags="write fast",
    keys=first("RW access update"),
    since="1.0.0",
    complexity="O(1)",
    usage="key db",
)
def move(ctx: Context, key: bytes, db: bytes) -> Reply:
    """Moves a key to another database unless it exists there; tells whether it did."""
    source = ctx.db
    target = database(ctx, db)
    if target is source:
        raise Error(SAME_OBJECT)
    if source.write(key) is None or target.write(key) is not None:
        return 0
    _carry(source, key, target, key)
    source.changed(key, "move_from")
    target.changed(key, "move_to", 0)
    return 1


def database(ctx: Context, arg: bytes) -> Database:
    """The database of that number; raises for what is no number of one."""
    index = integer_in(arg, INT_MIN, INT_MAX)
    if not 0 <= index < len(ctx.ks.dbs):
        raise Error(DB_OUT_OF_RANGE)
    return ctx.ks.dbs[index]


def duplicate(value: Value) -> Value:
    """A value that shares nothing changeable with the given one. O(n)."""
    kind = type(value)
    if kind is bytes or kind is int:
        return value
    if kind is bytearray:
        return bytearray(value)
    return value.copy()


def _displace(ctx: Context, db: Database, key: bytes) -> None:
    """Remove what stands where another value is about to go. No event tells of it."""
    value = db.remove(key)
    if ctx.config.lazyfree_lazy_server_del:
        ctx.ks.free(value)


def _carry(source: Database, key: bytes, target: Database, newkey: bytes) -> None:
    """Take a value with its TTL and use mark to a free place."""
    expiry_ms = source.expiry(key)
    mark = source.use_mark(key)
    value = source.remove(key)
    target.put(newkey, value)
    target.schedule(newkey, value)
    target.set_use_mark(newkey, mark)
    if expiry_ms is not None:
        target.set_expiry(newkey, expiry_ms)
