"""Unions, intersections and differences of sorted sets.

A *source* is an input with its weight. Plain sets are sources too: each of their members has the
score 1. What comes out is a dict from member to score, sorted only when it is replied or stored.

Three rules keep infinities from becoming NaN, as in Redis:

    1. A product of weight and score that is NaN (0 * inf) starts a sum, minimum or maximum as 0.
    2. A sum that is NaN (inf - inf) is 0.
    3. An intersection does not apply rule 1 to the second and later sources: a NaN among them
       makes a sum 0 by rule 2, and loses against any minimum or maximum.

Unions and intersections take the smaller sources first, so an intersection has to look up the
members of the smallest one only. The order also decides how sums of fractions are rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from pyredis.commands.args import INT64_MAX, double, integer, integer_in, syntax_error
from pyredis.commands.registry import Group, counted, first
from pyredis.commands.zsets import store, with_scores
from pyredis.context import Context
from pyredis.keyspace import WRONGTYPE
from pyredis.resp import Error, Reply
from pyredis.types.sets import Set
from pyredis.types.zset import ZSet

command = Group("sorted-set", acl="sortedset")

Combine = Callable[[float, float], float]

_WEIGHTED: Final = frozenset((b"WEIGHTS", b"AGGREGATE"))
_SCORED: Final = frozenset((b"WITHSCORES",))
_LIMITED: Final = frozenset((b"LIMIT",))

_UNION_COST: Final = (
    "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being "
    "the number of elements in the resulting sorted set."
)
_INTER_COST: Final = (
    "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the "
    "number of input sorted sets and M being the number of elements in the resulting sorted set."
)
_DIFF_COST: Final = (
    "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N "
    "is the size of the first set, and K is the size of the result set."
)


# Algebra


@dataclass(slots=True)
class Source:
    """An input: a sorted set's dict of scores, or a set's dict of members; and a weight."""

    held: dict[bytes, float] | dict[bytes, None]
    weight: float = 1.0

    def pairs(self) -> Iterable[tuple[bytes, float]]:
        """Members with their weighted scores, NaN replaced by 0 (rule 1). O(n)."""
        weight = self.weight
        for member, score in self.held.items():
            product = weight if score is None else weight * score
            yield member, 0.0 if product != product else product

    def score(self, member: bytes) -> float | None:
        """The weighted score, perhaps NaN; None for a stranger. O(1)."""
        if member not in self.held:
            return None
        score = self.held[member]
        return self.weight if score is None else self.weight * score


def add(a: float, b: float) -> float:
    """The sum, 0 for NaN (rule 2)."""
    total = a + b
    return 0.0 if total != total else total


# The built-in min and max keep their first argument unless the second is really better, so
# they prefer it to NaN.
_COMBINES: Final[dict[bytes, Combine]] = {b"SUM": add, b"MIN": min, b"MAX": max}


def _smallest_first(sources: list[Source]) -> list[Source]:
    return sorted(sources, key=lambda source: len(source.held))


def union(sources: list[Source], combine: Combine) -> dict[bytes, float]:
    """The members of any source, scores combined. O(n) for all members together."""
    result: dict[bytes, float] = {}
    for source in _smallest_first(sources):
        if not result:
            result.update(source.pairs())
            continue
        for member, score in source.pairs():
            old = result.get(member)
            result[member] = score if old is None else combine(old, score)
    return result


def intersection(sources: list[Source], combine: Combine) -> Iterator[tuple[bytes, float]]:
    """Yields the members that all sources have, scores combined.

    O(n * k) for n members of the smallest of k sources; stopping early saves the rest.
    """
    smallest, *others = _smallest_first(sources)
    for member, total in smallest.pairs():
        for other in others:
            score = other.score(member)
            if score is None:
                break
            total = combine(total, score)
        else:
            yield member, total


def difference(sources: list[Source]) -> dict[bytes, float]:
    """The members of the first source that no other has.

    Of each other source and what is left, the smaller one is walked: O(all members) at worst.
    """
    kept = dict(sources[0].pairs())
    for source in sources[1:]:
        other = source.held
        if len(other) < len(kept):
            for member in other:
                kept.pop(member, None)
        else:
            kept = {member: score for member, score in kept.items() if member not in other}
    return kept


# Arguments and replies


class Request(NamedTuple):
    """A parsed command."""

    sources: list[Source]
    combine: Combine
    scored: bool
    limit: int  # 0 for none


def _parse(ctx: Context, name: str, args: tuple[bytes, ...], allowed: frozenset[bytes]) -> Request:
    """The arguments from numkeys on. Keys are looked up before the options are read."""
    count = integer(args[0])
    if count < 1:
        raise Error(f"ERR at least 1 input key is needed for '{name}' command")
    if count > len(args) - 1:
        syntax_error()
    sources = [_source(ctx, key) for key in args[1 : count + 1]]
    combine: Combine = add
    scored, limit = False, 0
    at = count + 1
    while at < len(args):
        word, left = args[at].upper(), len(args) - at - 1
        at += 1
        if word not in allowed:
            syntax_error()
        if word == b"WITHSCORES":
            scored = True
        elif word == b"WEIGHTS" and left >= count:
            for source, weight in zip(sources, args[at : at + count], strict=True):
                source.weight = double(weight, "ERR weight value is not a float")
            at += count
        elif word == b"AGGREGATE" and left >= 1 and args[at].upper() in _COMBINES:
            combine = _COMBINES[args[at].upper()]
            at += 1
        elif word == b"LIMIT" and left >= 1:
            limit = integer_in(args[at], 0, INT64_MAX, "ERR LIMIT can't be negative")
            at += 1
        else:
            syntax_error()
    return Request(sources, combine, scored, limit)


def _source(ctx: Context, key: bytes) -> Source:
    value = ctx.db.read(key)
    if value is None:
        return Source({})
    if type(value) is ZSet:
        return Source(value.scores)
    if type(value) is Set:
        return Source(value.members)
    raise Error(WRONGTYPE)


def _reply(ctx: Context, request: Request, result: dict[bytes, float]) -> Reply:
    """The members from the lowest score to the highest."""
    entries = sorted(zip(result.values(), result, strict=True))
    return with_scores(ctx, entries) if request.scored else [member for _, member in entries]


# Commands


@command(
    "ZUNION",
    arity=-3,
    flags="readonly movablekeys",
    keys=counted("RO access", at=1),
    since="6.2.0",
    complexity=_UNION_COST,
    usage="numkeys key [key ...] [WEIGHTS weight [weight ...]] "
    "[AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
)
def zunion(ctx: Context, *args: bytes) -> Reply:
    """Returns the members that any of several sorted sets has."""
    request = _parse(ctx, "zunion", args, _WEIGHTED | _SCORED)
    return _reply(ctx, request, union(request.sources, request.combine))


@command(
    "ZINTER",
    arity=-3,
    flags="readonly movablekeys",
    keys=counted("RO access", at=1),
    since="6.2.0",
    complexity=_INTER_COST,
    usage="numkeys key [key ...] [WEIGHTS weight [weight ...]] "
    "[AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
)
def zinter(ctx: Context, *args: bytes) -> Reply:
    """Returns the members that all of several sorted sets have."""
    request = _parse(ctx, "zinter", args, _WEIGHTED | _SCORED)
    return _reply(ctx, request, dict(intersection(request.sources, request.combine)))


@command(
    "ZDIFF",
    arity=-3,
    flags="readonly movablekeys",
    keys=counted("RO access", at=1),
    since="6.2.0",
    complexity=_DIFF_COST,
    usage="numkeys key [key ...] [WITHSCORES]",
)
def zdiff(ctx: Context, *args: bytes) -> Reply:
    """Returns the members that the first of several sorted sets has and no other."""
    request = _parse(ctx, "zdiff", args, _SCORED)
    return _reply(ctx, request, difference(request.sources))


@command(
    "ZUNIONSTORE",
    arity=-4,
    flags="write denyoom movablekeys",
    keys=first("OW update") + counted("RO access", at=2),
    since="2.0.0",
    complexity="O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, "
    "and M being the number of elements in the resulting sorted set.",
    usage="destination numkeys key [key ...] [WEIGHTS weight [weight ...]] "
    "[AGGREGATE <SUM | MIN | MAX>]",
)
def zunionstore(ctx: Context, destination: bytes, *args: bytes) -> Reply:
    """Stores what any of several sorted sets has, and returns the number of members."""
    request = _parse(ctx, "zunionstore", args, _WEIGHTED)
    result = union(request.sources, request.combine)
    return store(ctx, destination, result, "zunionstore")


@command(
    "ZINTERSTORE",
    arity=-4,
    flags="write denyoom movablekeys",
    keys=first("OW update") + counted("RO access", at=2),
    since="2.0.0",
    complexity=_INTER_COST,
    usage="destination numkeys key [key ...] [WEIGHTS weight [weight ...]] "
    "[AGGREGATE <SUM | MIN | MAX>]",
)
def zinterstore(ctx: Context, destination: bytes, *args: bytes) -> Reply:
    """Stores what all of several sorted sets have, and returns the number of members."""
    request = _parse(ctx, "zinterstore", args, _WEIGHTED)
    result = intersection(request.sources, request.combine)
    return store(ctx, destination, result, "zinterstore")


@command(
    "ZDIFFSTORE",
    arity=-4,
    flags="write denyoom movablekeys",
    keys=first("OW update") + counted("RO access", at=2),
    since="6.2.0",
    complexity=_DIFF_COST,
    usage="destination numkeys key [key ...]",
)
def zdiffstore(ctx: Context, destination: bytes, *args: bytes) -> Reply:
    """Stores what the first of several sorted sets has and no other; returns the number."""
    request = _parse(ctx, "zdiffstore", args, frozenset())
    return store(ctx, destination, difference(request.sources), "zdiffstore")


@command(
    "ZINTERCARD",
    arity=-3,
    flags="readonly movablekeys",
    keys=counted("RO access", at=1),
    since="7.0.0",
    complexity="O(N*K) worst case with N being the smallest input sorted set, K being the "
    "number of input sorted sets.",
    usage="numkeys key [key ...] [LIMIT limit]",
)
def zintercard(ctx: Context, *args: bytes) -> Reply:
    """Returns how many members all of several sorted sets have, counting up to a limit."""
    request = _parse(ctx, "zintercard", args, _LIMITED)
    common = intersection(request.sources, request.combine)
    return sum(1 for _ in islice(common, request.limit or None))
