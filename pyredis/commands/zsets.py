"""Sorted sets, member by member: adding, removing, scores and ranks.

The data structure is ``pyredis.types.zset``. Its ends are popped by ``zset_pops``, its ranges
read by ``zset_ranges``, unions and the like are made by ``zset_algebra``. Words: a *member* has
a *score*; an *entry* is (score, member).

Scores are replied as floats where RESP3 has doubles, and the codec prints them. Long RESP2
replies carry them as text already (``with_scores``), since an array of nothing but byte strings
is encoded in one go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from pyredis.commands.args import (
    INT64_MAX,
    double,
    integer_in,
    syntax_error,
)
from pyredis.commands.registry import Group, first
from pyredis.commands.scanning import parse_cursor, parse_scan, scan_reply
from pyredis.context import Context
from pyredis.keyspace import WRONGTYPE, Database
from pyredis.limits import elements_wanted
from pyredis.resp import NULL_ARRAY, Error, Reply
from pyredis.types.doubles import format_double, format_scan_score, parse_double
from pyredis.types.zset import NEW, SAME, Entry, ZSet

command = Group("sorted-set", acl="sortedset")

_OPTIONS: Final = frozenset((b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"))
_NAN: Final = "ERR resulting score is not a number (NaN)"
_SCORED_PICKS_MAX: Final = INT64_MAX // 2


# Shared with the other modules of sorted sets


def with_scores(ctx: Context, entries: Iterable[Entry]) -> list[Reply]:
    """The reply to WITHSCORES: pairs in RESP3, all in one flat array in RESP2."""
    if ctx.resp3:
        return [[member, score] for score, member in entries]
    return [part for score, member in entries for part in (member, format_double(score))]


def store(
    ctx: Context,
    key: bytes,
    pairs: Mapping[bytes, float] | Iterable[tuple[bytes, float]],
    event: str,
) -> int:
    """Put a set of these members in place of whatever is there; returns its size.

    An empty result only deletes what is there.
    """
    db, config = ctx.db, ctx.config
    zset = ZSet.of(pairs, config.zset_max_listpack_entries, config.zset_max_listpack_value)
    if zset.scores:
        db.replace(key, zset)
        db.changed(key, event)
    elif db.remove(key) is not None:  # one past its time too, which is no expiry
        db.changed(key, "del")
    return len(zset.scores)


def removed(db: Database, key: bytes, zset: ZSet, event: str, count: int) -> None:
    """Record that so many members left the set, and delete the key with the last of them."""
    db.changed(key, event, count)
    if not zset.scores:
        db.remove(key)
        db.changed(key, "del", 0)


# Add


class _Terms(NamedTuple):
    """The conditions under which ZADD touches a member."""

    nx: bool
    xx: bool
    gt: bool
    lt: bool

    def admit(self, old: float | None, new: float) -> bool:
        """Tells whether a member may go from the old score (None: it is not there) to the new."""
        if old is None:
            return not self.xx
        return not (self.nx or (self.gt and new <= old) or (self.lt and new >= old))


_ANY: Final = _Terms(False, False, False, False)


@command(
    "ZADD",
    arity=-4,
    flags="write denyoom fast",
    keys=first("RW update"),
    since="1.2.0",
    complexity="O(log(N)) for each item added, where N is the number of elements in the sorted "
    "set.",
    usage="key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
    history=[
        ("2.4.0", "Takes several pairs."),
        ("3.0.2", "Takes the `XX`, `NX`, `CH` and `INCR` options."),
        ("6.2.0", "Takes the `GT` and `LT` options."),
    ],
)
def zadd(ctx: Context, key: bytes, score: bytes, member: bytes, *more: bytes) -> Reply:
    """Adds members to a sorted set, or gives them other scores.

    Returns how many are new; with CH, how many are new or have changed; with INCR, the new
    score, or null when the options did not let it change.
    """
    if more:
        return _add(ctx, key, (score, member, *more))
    try:
        number = parse_double(score)
    except ValueError:
        return _add(ctx, key, (score, member))
    db = ctx.db
    zset = db.write(key)
    if type(zset) is not ZSet:
        if zset is not None:
            raise Error(WRONGTYPE)
        zset = _create(ctx, key, member, 1)
    elif not zset.skiplist:
        _outgrow(ctx, zset, member)
    done = zset.add(member, number)
    if done:
        db.changed(key, "zadd")
        return 1 if done == NEW else 0
    return 0


@command(
    "ZINCRBY",
    arity=4,
    flags="write denyoom fast",
    keys=first("RW access update"),
    since="1.2.0",
    complexity="O(log(N)) where N is the number of elements in the sorted set.",
    usage="key increment member",
)
def zincrby(ctx: Context, key: bytes, increment: bytes, member: bytes) -> Reply:
    """Adds to the score of a member, which starts from 0, and returns the sum."""
    try:
        by = parse_double(increment)
    except ValueError:
        # Redis looks for ZADD's options here too; what is none of them is no number.
        return _add(ctx, key, (increment, member), always_incr=True)
    zset = ctx.db.write_as(key, ZSet)
    if zset is None:
        zset = _create(ctx, key, member, 1)
    return _increment(ctx, key, zset, _ANY, member, by)


def _add(ctx: Context, key: bytes, args: Sequence[bytes], always_incr: bool = False) -> Reply:
    """ZADD with everything, given what stands behind the key."""
    at = 0
    while at < len(args) and args[at].upper() in _OPTIONS:
        at += 1
    options = {arg.upper() for arg in args[:at]}
    terms = _Terms(*(word in options for word in (b"NX", b"XX", b"GT", b"LT")))
    incr = always_incr or b"INCR" in options
    members = args[at + 1 :: 2]
    if not members or (len(args) - at) % 2:
        syntax_error()
    if terms.nx and terms.xx:
        raise Error("ERR XX and NX options at the same time are not compatible")
    if terms.nx + terms.gt + terms.lt > 1:
        raise Error("ERR GT, LT, and/or NX options at the same time are not compatible")
    if incr and len(members) > 1:
        raise Error("ERR INCR option supports a single increment-element pair")
    scores = list(map(double, args[at::2]))

    zset = ctx.db.write_as(key, ZSet)
    if zset is None:
        if terms.xx:
            return None if incr else 0
        zset = _create(ctx, key, members[0], len(members))
    if incr:
        return _increment(ctx, key, zset, terms, members[0], scores[0])
    added, moved = _set_scores(ctx, zset, terms, members, scores)
    if added or moved:
        ctx.db.changed(key, "zadd", added + moved)
    return added + moved if b"CH" in options else added


def _create(ctx: Context, key: bytes, member: bytes, count: int) -> ZSet:
    """Put a new set at the key, which is missing. The caller fills it at once."""
    zset = ZSet()
    config = ctx.config
    if count > config.zset_max_listpack_entries or len(member) > config.zset_max_listpack_value:
        zset.skiplist = True
    ctx.db.put(key, zset)
    return zset


def _increment(
    ctx: Context, key: bytes, zset: ZSet, terms: _Terms, member: bytes, by: float
) -> float | None:
    """Add to one score; returns the sum, None when the terms do not admit it."""
    old = zset.scores.get(member)
    if old is not None and terms.nx:
        return None
    score = by if old is None else old + by
    if score != score:
        raise Error(_NAN)
    if not terms.admit(old, score):
        return None
    _outgrow(ctx, zset, member)
    if zset.add(member, score):
        ctx.db.changed(key, "zincr")
    return score


def _set_scores(
    ctx: Context, zset: ZSet, terms: _Terms, members: Sequence[bytes], scores: Sequence[float]
) -> tuple[int, int]:
    """Set scores where the terms admit it; returns how many members are new and how many moved."""
    added = moved = 0
    conditional = any(terms)
    add, held = zset.add, zset.scores
    if len(members) > ctx.config.zset_max_listpack_entries:
        zset.skiplist = True  # as in Redis since 7.2, even if it has them all
    for member, score in zip(members, scores, strict=True):
        if conditional and not terms.admit(held.get(member), score):
            continue
        if not zset.skiplist:
            _outgrow(ctx, zset, member)
        done = add(member, score)
        if done == NEW:
            added += 1
        elif done != SAME:
            moved += 1
    return added, moved


def _outgrow(ctx: Context, zset: ZSet, member: bytes) -> None:
    """Convert the set as Redis does, before a member that it cannot take in its small form."""
    if zset.skiplist:
        return
    config = ctx.config
    entries_max = config.zset_max_listpack_entries
    if member not in zset.scores or not entries_max:
        zset.outgrow(member, entries_max, config.zset_max_listpack_value)


# Remove


@command(
    "ZREM",
    arity=-3,
    flags="write fast",
    keys=first("RW delete"),
    since="1.2.0",
    complexity="O(M*log(N)) with N being the number of elements in the sorted set and M the "
    "number of elements to be removed.",
    usage="key member [member ...]",
    history=[("2.4.0", "Takes several members.")],
)
def zrem(ctx: Context, key: bytes, *members: bytes) -> Reply:
    """Removes members from a sorted set; returns how many were there."""
    zset = ctx.db.write_as(key, ZSet)
    if zset is None:
        return 0
    count = sum(map(zset.remove, members))
    if count:
        removed(ctx.db, key, zset, "zrem", count)
    return count


# Read


@command(
    "ZCARD",
    arity=2,
    flags="readonly fast",
    keys=first("RO"),
    since="1.2.0",
    complexity="O(1)",
    usage="key",
)
def zcard(ctx: Context, key: bytes) -> Reply:
    """Returns the number of members of a sorted set."""
    zset = ctx.db.read_as(key, ZSet)
    return 0 if zset is None else len(zset.scores)


@command(
    "ZSCORE",
    arity=3,
    flags="readonly fast",
    keys=first("RO access"),
    since="1.2.0",
    complexity="O(1)",
    usage="key member",
)
def zscore(ctx: Context, key: bytes, member: bytes) -> Reply:
    """Returns the score of a member, null for a stranger."""
    zset = ctx.db.read_as(key, ZSet)
    return None if zset is None else zset.scores.get(member)


@command(
    "ZMSCORE",
    arity=-3,
    flags="readonly fast",
    keys=first("RO access"),
    since="6.2.0",
    complexity="O(N) where N is the number of members being requested.",
    usage="key member [member ...]",
)
def zmscore(ctx: Context, key: bytes, *members: bytes) -> Reply:
    """Returns the scores of several members, null for each stranger."""
    zset = ctx.db.read_as(key, ZSet)
    return [None] * len(members) if zset is None else list(map(zset.scores.get, members))


@command(
    "ZRANK",
    arity=-3,
    flags="readonly fast",
    keys=first("RO access"),
    since="2.0.0",
    complexity="O(log(N))",
    usage="key member [WITHSCORE]",
    history=[("7.2.0", "Takes the `WITHSCORE` option.")],
)
def zrank(ctx: Context, key: bytes, member: bytes, *options: bytes) -> Reply:
    """Returns how many members come before this one, counted from the lowest score."""
    return _rank(ctx, "zrank", key, member, options)


@command(
    "ZREVRANK",
    arity=-3,
    flags="readonly fast",
    keys=first("RO access"),
    since="2.0.0",
    complexity="O(log(N))",
    usage="key member [WITHSCORE]",
    history=[("7.2.0", "Takes the `WITHSCORE` option.")],
)
def zrevrank(ctx: Context, key: bytes, member: bytes, *options: bytes) -> Reply:
    """Returns how many members come before this one, counted from the highest score."""
    return _rank(ctx, "zrevrank", key, member, options)


def _rank(ctx: Context, name: str, key: bytes, member: bytes, options: tuple[bytes, ...]) -> Reply:
    """The rank, with WITHSCORE also the score; null for a stranger."""
    if len(options) > 1:
        raise Error(f"ERR wrong number of arguments for '{name}' command")
    if options and options[0].upper() != b"WITHSCORE":
        syntax_error()
    zset = ctx.db.read_as(key, ZSet)
    rank = None if zset is None else zset.rank(member)
    if zset is None or rank is None:
        return NULL_ARRAY if options else None
    if name == "zrevrank":
        rank = len(zset.scores) - 1 - rank
    return [rank, zset.scores[member]] if options else rank


@command(
    "ZRANDMEMBER",
    arity=-2,
    flags="readonly",
    keys=first("RO access"),
    tips="nondeterministic_output",
    since="6.2.0",
    complexity="O(N) where N is the number of elements returned",
    usage="key [count [WITHSCORES]]",
)
def zrandmember(ctx: Context, key: bytes, count: bytes | None = None, *options: bytes) -> Reply:
    """Returns one or several members of a sorted set, picked at random.

    A positive count asks for different members, a negative one for independent picks.
    """
    if count is None:
        zset = ctx.db.read_as(key, ZSet)
        return None if zset is None else zset.sample(ctx.rng)[1]
    number = integer_in(count, -INT64_MAX, INT64_MAX)
    if options:
        if len(options) > 1 or options[0].upper() != b"WITHSCORES":
            syntax_error()
        if abs(number) > _SCORED_PICKS_MAX:
            raise Error("ERR value is out of range")
    zset = ctx.db.read_as(key, ZSet)
    if zset is None:
        return []
    if number < 0:
        entries = zset.sample_many(ctx.rng, elements_wanted(ctx.engine, ctx.session, -number))
    else:
        entries = zset.sample_distinct(ctx.rng, number)
        if number >= len(zset):
            entries.reverse()  # Redis lists a whole set from the highest down
    return with_scores(ctx, entries) if options else [member for _, member in entries]


@command(
    "ZSCAN",
    arity=-3,
    flags="readonly",
    keys=first("RO access"),
    tips="nondeterministic_output",
    since="2.8.0",
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command "
    "calls for the cursor to return back to 0. N is the number of elements inside the "
    "collection.",
    usage="key cursor [MATCH pattern] [COUNT count]",
)
def zscan(ctx: Context, key: bytes, cursor: bytes, *options: bytes) -> Reply:
    """Returns a page of members and scores, and the cursor to go on with."""
    place = parse_cursor(cursor)
    zset = ctx.db.read_as(key, ZSet)
    if zset is None:
        return scan_reply(0, [])
    chosen = parse_scan(options, allow_type=False)
    place, entries = zset.scan(place, chosen.count)
    if chosen.match is not None:
        match = chosen.match
        entries = [entry for entry in entries if match(entry[1])]
    text = format_scan_score if zset.skiplist else format_double
    return scan_reply(place, [part for score, member in entries for part in (member, text(score))])
