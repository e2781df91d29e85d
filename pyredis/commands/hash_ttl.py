"""Times to live of hash fields.

The commands mirror those of keys (``ttl.py``), but each takes several fields, behind the word
FIELDS and their number, and replies an array with a number for each: -2 where there is no such
field (or no such key), otherwise what became of it.

As with keys, a time is kept as Unix time in ms and told to others as such (HPEXPIREAT, with the
fields it took hold of). A time that has come deletes the field at once, which is told as an HDEL.
Time ends with 2**46 ms, in the year 4199: Redis packs it into fewer bits than a key's.

HGETEX, HSETEX and HGETDEL join getting or setting fields with a change of their TTL. Setting a
field does away with its TTL unless KEEPTTL says otherwise.

Departure from Redis, which leaves it to chance whether a field past its time is still there:
here HEXPIRE and HPERSIST find none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from pyredis.commands.args import INT32_MAX, INT64_MAX, c_string, integer, integer_in
from pyredis.commands.registry import Group, first
from pyredis.context import Context
from pyredis.field_expiry import settle
from pyredis.resp import Error, Reply
from pyredis.types.hashes import Hash

command = Group("hash", acl="hash")

TIME_MAX_MS: Final = (1 << 46) - 1

NO_FIELD: Final = -2
NO_TTL: Final = -1
UNMET: Final = 0
DONE: Final = 1
DELETED: Final = 2

_CONDITIONS: Final = frozenset((b"NX", b"XX", b"GT", b"LT"))
_TIMED: Final = frozenset((b"EX", b"PX", b"EXAT", b"PXAT"))
_COMPLEXITY: Final = "O(N) where N is the number of specified fields"
_FIELDS_USAGE: Final = "FIELDS numfields field [field ...]"

_NO_FIELDS: Final = "ERR Mandatory argument FIELDS is missing or not at the right position"
_MISMATCH: Final = "ERR The `numfields` parameter must match the number of arguments"
_NOT_POSITIVE: Final = "ERR Number of fields must be a positive integer"
_NOT_ABOVE_0: Final = "ERR Parameter `numFields` should be greater than 0"
_NEGATIVE_TIME: Final = "ERR invalid expire time, must be >= 0"


# Helpers


def _fields(args: Sequence[bytes], error: str = _NOT_POSITIVE) -> Sequence[bytes]:
    """The fields in ``FIELDS numfields field ...``; ``error`` is for a bad number."""
    if len(args) < 2 or args[0].upper() != b"FIELDS":
        raise Error(_NO_FIELDS)
    if integer_in(args[1], 1, INT64_MAX, error) != len(args) - 2:
        raise Error(_MISMATCH)
    return args[2:]


def _time_ms(arg: bytes, base_ms: int, unit_ms: int, name: str) -> int:
    """A time as Unix time in ms; raises for negative ones and those beyond the end of time."""
    time = integer(arg)
    if time < 0:
        raise Error(_NEGATIVE_TIME)
    if time * unit_ms > TIME_MAX_MS - base_ms:
        raise Error(f"ERR invalid expire time in '{name}' command")
    return time * unit_ms + base_ms


def _option_ms(ctx: Context, option: bytes, arg: bytes, name: str) -> int:
    """The Unix time in ms that EX, PX, EXAT or PXAT mean."""
    base_ms = 0 if option.endswith(b"AT") else ctx.now_ms
    return _time_ms(arg, base_ms, 1 if option[:1] == b"P" else 1000, name)


class _Outcome:
    """What a command does to the deadlines of a hash, field by field, and then tells."""

    def __init__(self, ctx: Context, key: bytes, value: Hash) -> None:
        self.ctx = ctx
        self.key = key
        self.value = value
        self.updated: list[bytes] = []
        self.deleted: list[bytes] = []

    def set(self, field: bytes, when_ms: int) -> int:
        """Give a field that exists a deadline; delete it if that is past. Returns the reply."""
        ks = self.ctx.ks
        if when_ms <= ks.now_ms and ks.may_expire and not ks.ignore_expiry:
            self.value.remove(field)
            self.deleted.append(field)
            self.ctx.propagate(b"HDEL", self.key, field)
            ks.expired_fields += 1
            return DELETED
        self.value.set_deadline(field, when_ms)
        self.updated.append(field)
        return DONE

    def persist(self, field: bytes) -> int:
        """Take a field's deadline away. Returns the reply."""
        if not self.value.persist(field):
            return NO_TTL
        self.updated.append(field)
        return DONE

    def tell(self, event: str, counts: bool = True) -> None:
        """Announce the changes, ``event`` for those that left the field in place.

        They are no changes of their own, if not ``counts``: another was counted for each.
        """
        db, key = self.ctx.db, self.key
        if self.deleted:
            db.changed(key, "hdel", len(self.deleted) if counts else 0)
            if not self.value.fields:
                db.remove(key)
                db.changed(key, "del", 0)
        elif self.updated:
            db.schedule(key, self.value)
            db.changed(key, event, len(self.updated) if counts else 0)


# Setting


@command(
    "HEXPIRE",
    arity=-6,
    flags="write fast",
    keys=first("RW update"),
    since="7.4.0",
    complexity=_COMPLEXITY,
    usage=f"key seconds [NX|XX|GT|LT] {_FIELDS_USAGE}",
)
def hexpire(ctx: Context, key: bytes, seconds: bytes, *args: bytes) -> Reply:
    """Lets fields of a hash live for so many seconds from now on."""
    return _expire(ctx, "hexpire", key, seconds, args, ctx.now_ms, 1000)


@command(
    "HPEXPIRE",
    arity=-6,
    flags="write fast",
    keys=first("RW update"),
    since="7.4.0",
    complexity=_COMPLEXITY,
    usage=f"key milliseconds [NX|XX|GT|LT] {_FIELDS_USAGE}",
)
def hpexpire(ctx: Context, key: bytes, milliseconds: bytes, *args: bytes) -> Reply:
    """Lets fields of a hash live for so many milliseconds from now on."""
    return _expire(ctx, "hpexpire", key, milliseconds, args, ctx.now_ms, 1)


@command(
    "HEXPIREAT",
    arity=-6,
    flags="write fast",
    keys=first("RW update"),
    since="7.4.0",
    complexity=_COMPLEXITY,
    usage=f"key unix-time-seconds [NX|XX|GT|LT] {_FIELDS_USAGE}",
)
def hexpireat(ctx: Context, key: bytes, when: bytes, *args: bytes) -> Reply:
    """Lets fields of a hash live until a Unix time in seconds."""
    return _expire(ctx, "hexpireat", key, when, args, 0, 1000)


@command(
    "HPEXPIREAT",
    arity=-6,
    flags="write fast",
    keys=first("RW update"),
    since="7.4.0",
    complexity=_COMPLEXITY,
    usage=f"key unix-time-milliseconds [NX|XX|GT|LT] {_FIELDS_USAGE}",
)
def hpexpireat(ctx: Context, key: bytes, when: bytes, *args: bytes) -> Reply:
    """Lets fields of a hash live until a Unix time in milliseconds."""
    return _expire(ctx, "hpexpireat", key, when, args, 0, 1)


def _expire(
    ctx: Context,
    name: str,
    key: bytes,
    arg: bytes,
    args: tuple[bytes, ...],
    base_ms: int,
    unit_ms: int,
) -> list[Reply]:
    """For each field NO_FIELD, UNMET, DONE or DELETED."""
    value = ctx.db.write_as(key, Hash)
    when_ms = _time_ms(arg, base_ms, unit_ms, name)
    condition = args[0].upper() if args[0].upper() in _CONDITIONS else b""
    fields = _fields(args[bool(condition) :], _NOT_ABOVE_0)
    if value is None:
        return [NO_FIELD] * len(fields)
    past = settle(ctx.db, key, value, fields)
    value.expect_deadlines()
    outcome = _Outcome(ctx, key, value)
    replies: list[Reply] = []
    for field in fields:
        if field not in value.fields or field in past:
            replies.append(NO_FIELD)
        elif condition and not _holds(condition, value.deadline(field), when_ms):
            replies.append(UNMET)
        else:
            replies.append(outcome.set(field, when_ms))
    if outcome.updated:
        count = b"%d" % len(outcome.updated)
        at_ms = b"%d" % when_ms
        conditions = (condition,) * bool(condition)
        ctx.propagate(b"HPEXPIREAT", key, at_ms, *conditions, b"FIELDS", count, *outcome.updated)
    outcome.tell("hexpire")
    return replies


def _holds(condition: bytes, old_ms: int | None, new_ms: int) -> bool:
    """Whether a deadline may be replaced. None is later than every other."""
    if condition == b"NX":
        return old_ms is None
    if condition == b"XX":
        return old_ms is not None
    if condition == b"GT":
        return old_ms is not None and new_ms > old_ms
    return old_ms is None or new_ms < old_ms


@command(
    "HPERSIST",
    arity=-5,
    flags="write fast",
    keys=first("RW update"),
    since="7.4.0",
    complexity=_COMPLEXITY,
    usage=f"key {_FIELDS_USAGE}",
)
def hpersist(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Lets fields of a hash live for ever again."""
    value = ctx.db.write_as(key, Hash)
    fields = _fields(args)
    if value is None:
        return [NO_FIELD] * len(fields)
    past = settle(ctx.db, key, value, fields)
    outcome = _Outcome(ctx, key, value)
    replies: list[Reply] = [
        outcome.persist(field) if field in value.fields and field not in past else NO_FIELD
        for field in fields
    ]
    outcome.tell("hpersist")
    return replies


# Asking


@command(
    "HTTL",
    arity=-5,
    flags="readonly fast",
    keys=first("RO access"),
    tips="nondeterministic_output",
    since="7.4.0",
    complexity=_COMPLEXITY,
    usage=f"key {_FIELDS_USAGE}",
)
def httl(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Tells how many seconds fields have left to live, rounded up."""
    return _ask(ctx, key, args, lambda when_ms: (when_ms - ctx.now_ms + 999) // 1000)


@command(
    "HPTTL",
    arity=-5,
    flags="readonly fast",
    keys=first("RO access"),
    tips="nondeterministic_output",
    since="7.4.0",
    complexity=_COMPLEXITY,
    usage=f"key {_FIELDS_USAGE}",
)
def hpttl(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Tells how many milliseconds fields have left to live."""
    return _ask(ctx, key, args, lambda when_ms: when_ms - ctx.now_ms)


@command(
    "HEXPIRETIME",
    arity=-5,
    flags="readonly fast",
    keys=first("RO access"),
    since="7.4.0",
    complexity=_COMPLEXITY,
    usage=f"key {_FIELDS_USAGE}",
)
def hexpiretime(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Tells the Unix time in seconds until which fields live, rounded up."""
    return _ask(ctx, key, args, lambda when_ms: (when_ms + 999) // 1000)


@command(
    "HPEXPIRETIME",
    arity=-5,
    flags="readonly fast",
    keys=first("RO access"),
    since="7.4.0",
    complexity=_COMPLEXITY,
    usage=f"key {_FIELDS_USAGE}",
)
def hpexpiretime(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Tells the Unix time in milliseconds until which fields live."""
    return _ask(ctx, key, args, lambda when_ms: when_ms)


def _ask(
    ctx: Context, key: bytes, args: tuple[bytes, ...], show: Callable[[int], int]
) -> list[Reply]:
    """For each field what ``show`` makes of its deadline, or NO_FIELD or NO_TTL."""
    value = ctx.db.read_as(key, Hash)
    fields = _fields(args)
    if value is None:
        return [NO_FIELD] * len(fields)
    replies: list[Reply] = []
    for field in fields:
        when_ms = value.deadline(field)
        if when_ms is None:
            replies.append(NO_TTL if field in value.fields else NO_FIELD)
        elif when_ms <= ctx.now_ms and not ctx.ks.ignore_expiry:
            replies.append(NO_FIELD)
        else:
            replies.append(show(when_ms))
    return replies


# Getting and setting


@command(
    "HGETEX",
    arity=-5,
    flags="write fast",
    keys=first("RW access update"),
    since="8.0.0",
    complexity=_COMPLEXITY,
    usage="key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|"
    f"PERSIST] {_FIELDS_USAGE}",
)
def hgetex(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Returns the values of fields and sets or removes their TTLs."""
    db = ctx.db
    value = db.write_as(key, Hash)
    option = args[0].upper()
    when_ms = None
    if option in _TIMED:
        when_ms = _option_ms(ctx, option, args[1], "hgetex")
        fields = _fields(args[2:])
    else:
        fields = _fields(args[1:] if option == b"PERSIST" else args)
    if value is None:
        return [None] * len(fields)
    past = settle(db, key, value, fields)
    if when_ms is not None:
        value.expect_deadlines()
    outcome = _Outcome(ctx, key, value)
    replies: list[Reply] = []
    for field in fields:
        content = None if field in past else value.fields.get(field)
        replies.append(content)
        if content is not None:
            if when_ms is not None:
                outcome.set(field, when_ms)
            elif option == b"PERSIST":
                outcome.persist(field)
    if outcome.updated:
        told = (b"FIELDS", b"%d" % len(outcome.updated), *outcome.updated)
        if when_ms is None:
            ctx.propagate(b"HPERSIST", key, *told)
        else:
            ctx.propagate(b"HPEXPIREAT", key, b"%d" % when_ms, *told)
    outcome.tell("hpersist" if when_ms is None else "hexpire")
    return replies


@command(
    "HGETDEL",
    arity=-5,
    flags="write fast",
    keys=first("RW access delete"),
    since="8.0.0",
    complexity=_COMPLEXITY,
    usage=f"key {_FIELDS_USAGE}",
)
def hgetdel(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Returns the values of fields and deletes them; an emptied hash is deleted."""
    db = ctx.db
    value = db.write_as(key, Hash)
    fields = _fields(args)
    if value is None:
        return [None] * len(fields)
    past = settle(db, key, value, fields)
    replies: list[Reply] = []
    deleted = 0
    for field in fields:
        content = None if field in past else value.fields.get(field)
        replies.append(content)
        if content is not None:
            value.remove(field)
            deleted += 1
    if deleted:
        db.changed(key, "hdel", deleted)
        ctx.propagate(b"HDEL", key, *fields)
        if not value.fields:
            db.remove(key)
            db.changed(key, "del", 0)
    return replies


@command(
    "HSETEX",
    arity=-6,
    flags="write denyoom fast",
    keys=first("RW update"),
    since="8.0.0",
    complexity="O(N) where N is the number of fields being set.",
    usage="key [FNX|FXX] [EX seconds|PX milliseconds|EXAT unix-time-seconds|"
    "PXAT unix-time-milliseconds|KEEPTTL] FIELDS numfields field value [field value ...]",
)
def hsetex(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Sets fields of a hash with a TTL for all of them; 1 if they were set, 0 if not.

    FNX asks that none of the fields exists, FXX that all do.
    """
    wanted = _parse_hsetex(ctx, args)
    db = ctx.db
    value = db.write_as(key, Hash)
    fields, contents = wanted.pairs[::2], wanted.pairs[1::2]
    past: frozenset[bytes] = frozenset()
    if value is not None and (wanted.condition or wanted.lifetime == b"KEEPTTL"):
        past = settle(db, key, value, fields)
    if wanted.condition:
        found = 0
        if value is not None:
            found = sum(field in value.fields and field not in past for field in fields)
        if found != (len(fields) if wanted.condition == b"FXX" else 0):
            return 0
    value = db.obtain(key, Hash)
    keeps = wanted.lifetime != b""  # a new deadline takes the old one's place anyway
    for field, content in zip(fields, contents, strict=True):
        value.set(field, content, ctx.config, keep_deadline=keeps)
    db.changed(key, "hset", len(fields))
    if wanted.when_ms is None:
        return 1
    value.expect_deadlines()
    outcome = _Outcome(ctx, key, value)
    for field in dict.fromkeys(fields):
        outcome.set(field, wanted.when_ms)
    if outcome.updated:
        at_ms = b"%d" % wanted.when_ms
        ctx.propagate(b"HSETEX", key, *wanted.told, b"PXAT", at_ms, *args[wanted.fields_at :])
    outcome.tell("hexpire", counts=False)
    return 1


class _HSetEx(NamedTuple):
    """The arguments of HSETEX. ``told`` is the condition as replicas are to get it."""

    condition: bytes
    lifetime: bytes
    when_ms: int | None
    fields_at: int
    pairs: Sequence[bytes]

    @property
    def told(self) -> tuple[bytes, ...]:
        return (self.condition,) * bool(self.condition)


def _parse_hsetex(ctx: Context, args: Sequence[bytes]) -> _HSetEx:
    """Reads the arguments; raises the error of the first that makes no sense."""
    condition = lifetime = b""
    when_ms = None
    at = 0
    while at < len(args):
        word = args[at].upper()
        if word == b"FIELDS":
            if at + 3 >= len(args):
                break
            count = integer_in(args[at + 1], 1, INT32_MAX, "ERR invalid number of fields")
            pairs = args[at + 2 :]
            if len(pairs) != 2 * count:
                break
            return _HSetEx(condition, lifetime, when_ms, at, pairs)
        if word in (b"FNX", b"FXX"):
            if condition:
                raise Error("ERR Only one of FXX or FNX arguments can be specified")
            condition = word
        elif word in _TIMED or word == b"KEEPTTL":
            if lifetime:
                raise Error(
                    "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
                )
            lifetime = word
            if word != b"KEEPTTL":
                at += 1
                if at == len(args):
                    raise Error("ERR missing expire time")
                when_ms = _option_ms(ctx, word, args[at], "hsetex")
        else:
            raise Error(b"ERR unknown argument: " + c_string(args[at]))
        at += 1
    raise Error("ERR wrong number of arguments for 'hsetex' command")
