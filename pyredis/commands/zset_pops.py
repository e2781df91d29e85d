"""Popping from either end of a sorted set, at once or after waiting for one.

The *highest* end is that of the highest scores. A pop that had to choose a key, or to wait, is
told to the AOF and the replicas as the ZPOPMIN or ZPOPMAX of what it found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pyredis.commands.args import (
    INT64_MAX,
    integer_in,
    positive,
    syntax_error,
    timeout_deadline_ms,
)
from pyredis.commands.registry import Group, counted, first, span
from pyredis.commands.zsets import removed, with_scores
from pyredis.context import Context
from pyredis.keyspace import WRONGTYPE, Database
from pyredis.resp import NULL_ARRAY, Error, Reply
from pyredis.session import Block
from pyredis.types.zset import Entry, ZSet

command = Group("sorted-set", acl="sortedset")

_POP: Final = {False: b"ZPOPMIN", True: b"ZPOPMAX"}
_POPPED: Final = {False: "zpopmin", True: "zpopmax"}


@command(
    "ZPOPMIN",
    arity=-2,
    flags="write fast",
    keys=first("RW access delete"),
    since="5.0.0",
    complexity="O(log(N)*M) with N being the number of elements in the sorted set, and M being "
    "the number of elements popped.",
    usage="key [count]",
)
def zpopmin(ctx: Context, key: bytes, count: bytes | None = None, *more: bytes) -> Reply:
    """Removes and returns the members with the lowest scores, lowest first."""
    if count is not None:
        return _pop_many(ctx, key, count, more, highest=False)
    db = ctx.db
    zset = db.write(key)
    if type(zset) is not ZSet:
        if zset is None:
            return []
        raise Error(WRONGTYPE)
    [(score, member)] = zset.pop_min()
    db.changed(key, "zpopmin")
    if not zset.scores:
        db.remove(key)
        db.changed(key, "del", 0)
    return [member, score]


@command(
    "ZPOPMAX",
    arity=-2,
    flags="write fast",
    keys=first("RW access delete"),
    since="5.0.0",
    complexity="O(log(N)*M) with N being the number of elements in the sorted set, and M being "
    "the number of elements popped.",
    usage="key [count]",
)
def zpopmax(ctx: Context, key: bytes, count: bytes | None = None, *more: bytes) -> Reply:
    """Removes and returns the members with the highest scores, highest first."""
    if count is not None:
        return _pop_many(ctx, key, count, more, highest=True)
    zset = ctx.db.write_as(key, ZSet)
    if zset is None:
        return []
    [(score, member)] = _pop(ctx.db, key, zset, True, 1)
    return [member, score]


def _pop_many(
    ctx: Context, key: bytes, count: bytes, more: tuple[bytes, ...], highest: bool
) -> Reply:
    """ZPOPMIN and ZPOPMAX with a count."""
    if more:
        syntax_error()
    number = positive(count)
    zset = ctx.db.write_as(key, ZSet)
    if zset is None or number == 0:
        return []
    return with_scores(ctx, _pop(ctx.db, key, zset, highest, number))


def _pop(db: Database, key: bytes, zset: ZSet, highest: bool, count: int) -> list[Entry]:
    """Take up to `count` >= 1 entries from one end, the outermost first."""
    entries = zset.pop_max(count) if highest else zset.pop_min(count)
    removed(db, key, zset, _POPPED[highest], len(entries))
    return entries


@command(
    "ZMPOP",
    arity=-4,
    flags="write movablekeys",
    keys=counted("RW access delete", at=1),
    since="7.0.0",
    complexity="O(K) + O(M*log(N)) where K is the number of provided keys, N being the number "
    "of elements in the sorted set, and M being the number of elements popped.",
    usage="numkeys key [key ...] <MIN | MAX> [COUNT count]",
)
def zmpop(ctx: Context, *args: bytes) -> Reply:
    """Removes and returns entries from one end of the first of several sets that has any."""
    keys, highest, count = _multi_pop_args(args)
    return _pop_first(ctx, keys, highest, count) or NULL_ARRAY


@command(
    "BZMPOP",
    arity=-5,
    flags="write blocking movablekeys",
    keys=counted("RW access delete", at=2),
    since="7.0.0",
    complexity="O(K) + O(M*log(N)) where K is the number of provided keys, N being the number "
    "of elements in the sorted set, and M being the number of elements popped.",
    usage="timeout:double numkeys key [key ...] <MIN | MAX> [COUNT count]",
)
def bzmpop(ctx: Context, timeout: bytes, *args: bytes) -> Reply:
    """Removes and returns entries of the first set that has any; waits while none has."""
    keys, highest, count = _multi_pop_args(args)
    deadline_ms = timeout_deadline_ms(ctx, timeout)
    popped = _pop_first(ctx, keys, highest, count)
    return popped or Block(keys, deadline_ms, NULL_ARRAY, ZSet)


def _multi_pop_args(args: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], bool, int]:
    """Keys, end (True: the highest) and count of ZMPOP and BZMPOP, from numkeys on."""
    key_count = integer_in(args[0], 1, INT64_MAX, "ERR numkeys should be greater than 0")
    if key_count + 1 >= len(args):
        syntax_error()
    where = args[key_count + 1].upper()
    if where != b"MIN" and where != b"MAX":
        syntax_error()
    options = args[key_count + 2 :]
    count = 1
    if options:
        if options[0].upper() != b"COUNT" or len(options) == 1:
            syntax_error()
        count = integer_in(options[1], 1, INT64_MAX, "ERR count should be greater than 0")
        if len(options) > 2:
            syntax_error()
    return args[1 : key_count + 1], where == b"MAX", count


def _pop_first(ctx: Context, keys: Sequence[bytes], highest: bool, count: int) -> Reply:
    """Pop from the first set there is; None if there is none."""
    for key in keys:
        zset = ctx.db.write_as(key, ZSet)
        if zset is not None:
            entries = _pop(ctx.db, key, zset, highest, count)
            ctx.propagate(_POP[highest], key, b"%d" % len(entries))
            return [key, [[member, score] for score, member in entries]]
    return None


@command(
    "BZPOPMIN",
    arity=-3,
    flags="write blocking fast",
    keys=span("RW access delete", last=-2),
    since="5.0.0",
    complexity="O(log(N)) with N being the number of elements in the sorted set.",
    usage="key [key ...] timeout:double",
    history=[("6.0.0", "The timeout may have a fraction.")],
)
def bzpopmin(ctx: Context, *args: bytes) -> Reply:
    """Removes and returns the entry with the lowest score of the first set that has any.

    Waits while none has.
    """
    return _await_one(ctx, args, highest=False)


@command(
    "BZPOPMAX",
    arity=-3,
    flags="write blocking fast",
    keys=span("RW access delete", last=-2),
    since="5.0.0",
    complexity="O(log(N)) with N being the number of elements in the sorted set.",
    usage="key [key ...] timeout:double",
    history=[("6.0.0", "The timeout may have a fraction.")],
)
def bzpopmax(ctx: Context, *args: bytes) -> Reply:
    """Removes and returns the entry with the highest score of the first set that has any.

    Waits while none has.
    """
    return _await_one(ctx, args, highest=True)


def _await_one(ctx: Context, args: tuple[bytes, ...], highest: bool) -> Reply:
    """Pop one entry from the first set there is, or wait for one of the keys."""
    keys = args[:-1]
    deadline_ms = timeout_deadline_ms(ctx, args[-1])
    for key in keys:
        zset = ctx.db.write_as(key, ZSet)
        if zset is not None:
            [(score, member)] = _pop(ctx.db, key, zset, highest, 1)
            ctx.propagate(_POP[highest], key)
            return [key, member, score]
    return Block(keys, deadline_ms, NULL_ARRAY, ZSet)
