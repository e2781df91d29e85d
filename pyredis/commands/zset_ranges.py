"""Sorted sets by ranges: of ranks, of scores, of members with equal scores.

All commands here are one idea. The two ends of a range are parsed first, for a wrong one is an
error even if the key is missing, into a *finder*: a function from a sorted set to the interval
of ranks, counted from the lowest entry, that lie in the range. Finding takes O(log n). What is
read, counted or removed then is a slice, so only what is wanted is ever touched; LIMIT cuts the
interval before.

ZRANGE in its present form can do what ZREVRANGE, ZRANGEBYSCORE, ZRANGEBYLEX and their reverse
forms do. Those accept the same options, but for what their names have settled already.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from pyredis.commands.args import integer, syntax_error
from pyredis.commands.registry import Group, first
from pyredis.commands.zsets import removed, store, with_scores
from pyredis.context import Context
from pyredis.resp import Error, Reply
from pyredis.types.zset import Entry, ZSet, parse_lex_bound, parse_score_bound

command = Group("sorted-set", acl="sortedset")

Finder = Callable[[ZSet], tuple[int, int]]

_NO_LIMIT: Final = -1
_RANGE_COST: Final = (
    "O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements returned."
)
_LIMITED_COST: Final = (
    "O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements being returned. If M is constant (e.g. always asking for the first 10 elements "
    "with LIMIT), you can consider it O(log(N))."
)
_REMOVAL_COST: Final = (
    "O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements removed by the operation."
)


class By(Enum):
    """What the ends of a range are."""

    RANK = 0
    SCORE = 1
    LEX = 2


class Query(NamedTuple):
    """What is asked of a range, besides its ends."""

    by: By
    reverse: bool
    offset: int
    limit: int  # negative for no limit
    scored: bool


# Ends of ranges


def rank_interval(start: int, stop: int, length: int) -> tuple[int, int]:
    """The half-open interval within 0 .. length of two inclusive, perhaps negative, indices."""
    if start < 0:
        start = max(0, start + length)
    if stop < 0:
        stop += length
    return start, max(start, min(stop + 1, length))


def by_rank(first_index: bytes, last_index: bytes, reverse: bool = False) -> Finder:
    """Finds ranks; with `reverse` they count from the highest entry. Raises for no integers."""
    start, stop = integer(first_index), integer(last_index)

    def find(zset: ZSet) -> tuple[int, int]:
        length = len(zset)
        low, high = rank_interval(start, stop, length)
        return (max(0, length - high), max(0, length - low)) if reverse else (low, high)

    return find


def by_score(low: bytes, high: bytes) -> Finder:
    """Finds scores; raises for bounds that are none."""
    try:
        bounds = *parse_score_bound(low), *parse_score_bound(high)
    except ValueError:
        raise Error("ERR min or max is not a float") from None
    return lambda zset: zset.score_bounds(*bounds)


def by_lex(low: bytes, high: bytes) -> Finder:
    """Finds members, supposing that all scores are equal; raises for bounds that are none."""
    try:
        bounds = parse_lex_bound(low), parse_lex_bound(high)
    except ValueError:
        raise Error("ERR min or max not valid string range item") from None
    return lambda zset: zset.lex_bounds(*bounds)


def _finder(query: Query, start: bytes, stop: bytes) -> Finder:
    """The finder for two ends as written: a reverse range names its high end first."""
    if query.by is By.RANK:
        return by_rank(start, stop, query.reverse)
    low, high = (stop, start) if query.reverse else (start, stop)
    return by_score(low, high) if query.by is By.SCORE else by_lex(low, high)


# Options


def _parse(
    options: tuple[bytes, ...],
    by: By | None = None,
    reverse: bool | None = None,
    stores: bool = False,
) -> Query:
    """The options behind the ends. None for `by` or `reverse` means: an option may tell."""
    offset, limit = 0, _NO_LIMIT
    scored = False
    at = 0
    while at < len(options):
        word = options[at].upper()
        if word == b"WITHSCORES" and not stores:
            scored = True
        elif word == b"LIMIT" and at + 2 < len(options):
            offset, limit = integer(options[at + 1]), integer(options[at + 2])
            at += 2
        elif word == b"REV" and reverse is None:
            reverse = True
        elif word == b"BYLEX" and by is None:
            by = By.LEX
        elif word == b"BYSCORE" and by is None:
            by = By.SCORE
        else:
            syntax_error()
        at += 1
    by = by or By.RANK
    if limit != _NO_LIMIT and by is By.RANK:
        raise Error(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
        )
    if scored and by is By.LEX:
        raise Error("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
    return Query(by, bool(reverse), offset, limit, scored)


# Reading


def _select(zset: ZSet, query: Query, find: Finder) -> list[Entry]:
    """The entries in the range, in the order asked for. O(log n + k) for k of them."""
    start, stop = find(zset)
    if query.by is not By.RANK and (query.offset or query.limit >= 0):
        start, stop = _cut(start, stop, query)
    entries = zset.order[start:stop]
    if query.reverse:
        entries.reverse()
    return entries


def _cut(start: int, stop: int, query: Query) -> tuple[int, int]:
    """What LIMIT leaves of an interval; nothing for a negative offset."""
    offset, limit = query.offset, query.limit
    if offset < 0:
        return start, start
    if query.reverse:
        stop = max(start, stop - offset)
        return (start if limit < 0 else max(start, stop - limit)), stop
    start = min(stop, start + offset)
    return start, (stop if limit < 0 else min(stop, start + limit))


def _range(ctx: Context, key: bytes, start: bytes, stop: bytes, query: Query) -> Reply:
    """The reply of all commands that read a range."""
    find = _finder(query, start, stop)
    zset = ctx.db.read_as(key, ZSet)
    if zset is None:
        return []
    entries = _select(zset, query, find)
    return with_scores(ctx, entries) if query.scored else [member for _, member in entries]


@command(
    "ZRANGE",
    arity=-4,
    flags="readonly",
    keys=first("RO access"),
    since="1.2.0",
    complexity=_RANGE_COST,
    usage="key start:string stop:string [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
    history=[("6.2.0", "Takes the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.")],
)
def zrange(ctx: Context, key: bytes, start: bytes, stop: bytes, *options: bytes) -> Reply:
    """Returns the members within a range of ranks, of scores or of members."""
    if options:
        return _range(ctx, key, start, stop, _parse(options))
    low, high = integer(start), integer(stop)
    zset = ctx.db.read_as(key, ZSet)
    if zset is None:
        return []
    low, high = rank_interval(low, high, len(zset.scores))
    return [member for _, member in zset.order[low:high]]


@command(
    "ZREVRANGE",
    arity=-4,
    flags="readonly",
    keys=first("RO access"),
    since="1.2.0",
    complexity=_RANGE_COST,
    usage="key start stop [WITHSCORES]",
    deprecated="`ZRANGE` with the `REV` argument",
    deprecated_since="6.2.0",
)
def zrevrange(ctx: Context, key: bytes, start: bytes, stop: bytes, *options: bytes) -> Reply:
    """Returns the members within a range of ranks, counted from the highest score."""
    return _range(ctx, key, start, stop, _parse(options, By.RANK, reverse=True))


@command(
    "ZRANGEBYSCORE",
    arity=-4,
    flags="readonly",
    keys=first("RO access"),
    since="1.0.5",
    complexity=_LIMITED_COST,
    usage="key min:double max:double [WITHSCORES] [LIMIT offset count]",
    history=[("2.0.0", "Takes the `WITHSCORES` option.")],
    deprecated="`ZRANGE` with the `BYSCORE` argument",
    deprecated_since="6.2.0",
)
def zrangebyscore(ctx: Context, key: bytes, low: bytes, high: bytes, *options: bytes) -> Reply:
    """Returns the members within a range of scores."""
    return _range(ctx, key, low, high, _parse(options, By.SCORE, reverse=False))


@command(
    "ZREVRANGEBYSCORE",
    arity=-4,
    flags="readonly",
    keys=first("RO access"),
    since="2.2.0",
    complexity=_LIMITED_COST,
    usage="key max:double min:double [WITHSCORES] [LIMIT offset count]",
    history=[("2.1.6", "`min` and `max` can exclude their own score.")],
    deprecated="`ZRANGE` with the `REV` and `BYSCORE` arguments",
    deprecated_since="6.2.0",
)
def zrevrangebyscore(ctx: Context, key: bytes, high: bytes, low: bytes, *options: bytes) -> Reply:
    """Returns the members within a range of scores, the highest first."""
    return _range(ctx, key, high, low, _parse(options, By.SCORE, reverse=True))


@command(
    "ZRANGEBYLEX",
    arity=-4,
    flags="readonly",
    keys=first("RO access"),
    since="2.8.9",
    complexity=_LIMITED_COST,
    usage="key min max [LIMIT offset count]",
    deprecated="`ZRANGE` with the `BYLEX` argument",
    deprecated_since="6.2.0",
)
def zrangebylex(ctx: Context, key: bytes, low: bytes, high: bytes, *options: bytes) -> Reply:
    """Returns the members between two others, of a set whose scores are all equal."""
    return _range(ctx, key, low, high, _parse(options, By.LEX, reverse=False))


@command(
    "ZREVRANGEBYLEX",
    arity=-4,
    flags="readonly",
    keys=first("RO access"),
    since="2.8.9",
    complexity=_LIMITED_COST,
    usage="key max min [LIMIT offset count]",
    deprecated="`ZRANGE` with the `REV` and `BYLEX` arguments",
    deprecated_since="6.2.0",
)
def zrevrangebylex(ctx: Context, key: bytes, high: bytes, low: bytes, *options: bytes) -> Reply:
    """Returns the members between two others, of a set with equal scores, the last first."""
    return _range(ctx, key, high, low, _parse(options, By.LEX, reverse=True))


@command(
    "ZRANGESTORE",
    arity=-5,
    flags="write denyoom",
    keys=first("OW update") + first("RO access", at=2),
    since="6.2.0",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the "
    "number of elements stored into the destination key.",
    usage="dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
)
def zrangestore(
    ctx: Context, destination: bytes, source: bytes, start: bytes, stop: bytes, *options: bytes
) -> Reply:
    """Stores the entries within a range, and returns their number."""
    query = _parse(options, stores=True)
    find = _finder(query, start, stop)
    zset = ctx.db.read_as(source, ZSet)
    entries = [] if zset is None else _select(zset, query, find)
    return store(ctx, destination, ((member, score) for score, member in entries), "zrangestore")


# Counting


def _count(ctx: Context, key: bytes, find: Finder) -> int:
    """How many entries are in the range. O(log n)."""
    zset = ctx.db.read_as(key, ZSet)
    if zset is None:
        return 0
    start, stop = find(zset)
    return stop - start


@command(
    "ZCOUNT",
    arity=4,
    flags="readonly fast",
    keys=first("RO access"),
    since="2.0.0",
    complexity="O(log(N)) with N being the number of elements in the sorted set.",
    usage="key min:double max:double",
)
def zcount(ctx: Context, key: bytes, low: bytes, high: bytes) -> Reply:
    """Counts the members within a range of scores."""
    return _count(ctx, key, by_score(low, high))


@command(
    "ZLEXCOUNT",
    arity=4,
    flags="readonly fast",
    keys=first("RO access"),
    since="2.8.9",
    complexity="O(log(N)) with N being the number of elements in the sorted set.",
    usage="key min max",
)
def zlexcount(ctx: Context, key: bytes, low: bytes, high: bytes) -> Reply:
    """Counts the members between two others, of a set whose scores are all equal."""
    return _count(ctx, key, by_lex(low, high))


# Removing


def _remove(ctx: Context, key: bytes, find: Finder, event: str) -> int:
    """Remove the entries in the range; returns how many there were."""
    zset = ctx.db.write_as(key, ZSet)
    if zset is None:
        return 0
    count = len(zset.remove_rank_range(*find(zset)))
    if count:
        removed(ctx.db, key, zset, event, count)
    return count


@command(
    "ZREMRANGEBYRANK",
    arity=4,
    flags="write",
    keys=first("RW delete"),
    since="2.0.0",
    complexity=_REMOVAL_COST,
    usage="key start stop",
)
def zremrangebyrank(ctx: Context, key: bytes, start: bytes, stop: bytes) -> Reply:
    """Removes the members within a range of ranks; returns how many there were."""
    return _remove(ctx, key, by_rank(start, stop), "zremrangebyrank")


@command(
    "ZREMRANGEBYSCORE",
    arity=4,
    flags="write",
    keys=first("RW delete"),
    since="1.2.0",
    complexity=_REMOVAL_COST,
    usage="key min:double max:double",
)
def zremrangebyscore(ctx: Context, key: bytes, low: bytes, high: bytes) -> Reply:
    """Removes the members within a range of scores; returns how many there were."""
    return _remove(ctx, key, by_score(low, high), "zremrangebyscore")


@command(
    "ZREMRANGEBYLEX",
    arity=4,
    flags="write",
    keys=first("RW delete"),
    since="2.8.9",
    complexity=_REMOVAL_COST,
    usage="key min max",
)
def zremrangebylex(ctx: Context, key: bytes, low: bytes, high: bytes) -> Reply:
    """Removes the members between two others; returns how many there were."""
    return _remove(ctx, key, by_lex(low, high), "zremrangebylex")
