"""Whole databases: their size, their end, their exchange.

Emptying a database replaces its dicts by new ones, which takes no time; freeing the old
ones takes long, and is left to ``lazyfree.py``. With ASYNC nobody waits for the end of that, with
SYNC the client does, but not the server: others are served meanwhile. Only inside a transaction or
script, and for commands that come from elsewhere, SYNC frees on the spot. Both commands are
propagated even if there was nothing to delete: a replica might hold something.
"""

from __future__ import annotations

from collections.abc import Iterable

from pyredis.commands.args import integer_in, syntax_error
from pyredis.commands.keys import DB_OUT_OF_RANGE, INT_MAX, INT_MIN
from pyredis.commands.registry import Group
from pyredis.context import Context
from pyredis.keyspace import Database
from pyredis.resp import OK, Error, Reply
from pyredis.session import Block

command = Group("server", acl="keyspace dangerous")

_FLUSH_TIPS = "request_policy:all_shards response_policy:all_succeeded"
_FLUSH_HISTORY = [
    ("4.0.0", "Can free memory in the background (`ASYNC`)."),
    ("6.2.0", "Can be told not to (`SYNC`)."),
]


@command(
    "DBSIZE",
    arity=1,
    flags="readonly fast",
    acl="keyspace",
    tips="request_policy:all_shards response_policy:agg_sum",
    since="1.0.0",
    complexity="O(1)",
)
def dbsize(ctx: Context) -> Reply:
    """Counts the keys of the database, those included that are expired but not yet deleted."""
    return len(ctx.db.data)


@command(
    "FLUSHDB",
    arity=-1,
    flags="write",
    tips=_FLUSH_TIPS,
    since="1.0.0",
    complexity="O(N) where N is the number of keys in the selected database",
    usage="[ASYNC|SYNC]",
    history=_FLUSH_HISTORY,
)
def flushdb(ctx: Context, *mode: bytes) -> Reply:
    """Deletes all keys of the database."""
    reply = _flush(ctx, [ctx.db], mode)
    ctx.propagate(b"FLUSHDB", *mode)
    return reply


@command(
    "FLUSHALL",
    arity=-1,
    flags="write",
    tips=_FLUSH_TIPS,
    since="1.0.0",
    complexity="O(N) where N is the total number of keys in all databases",
    usage="[ASYNC|SYNC]",
    history=_FLUSH_HISTORY,
)
def flushall(ctx: Context, *mode: bytes) -> Reply:
    """Deletes all keys of all databases."""
    reply = _flush(ctx, ctx.ks.dbs, mode)
    ctx.engine.saver.flushed()
    ctx.propagate(b"FLUSHALL", *mode)
    return reply


def _lazy(ctx: Context, mode: tuple[bytes, ...]) -> bool:
    if not mode:
        return ctx.config.lazyfree_lazy_user_flush
    word = mode[0].upper()
    if len(mode) > 1 or word not in (b"ASYNC", b"SYNC"):
        syntax_error()
    return word == b"ASYNC"


def _flush(ctx: Context, dbs: Iterable[Database], mode: tuple[bytes, ...]) -> Reply:
    """Empty databases; the reply to the client, which may have to wait for it."""
    lazy = _lazy(ctx, mode)
    session, lazyfree = ctx.session, ctx.engine.lazyfree
    waits = not (lazy or ctx.ks.unit.depth or session.inner or session.from_primary)
    flush(ctx, dbs, lazy=lazy or waits)
    if not waits:
        return OK
    lazyfree.run()  # mostly that is enough
    if lazyfree.done == lazyfree.taken:
        return OK
    lazyfree.awaited = True
    return Block((), 0, OK, freed=lazyfree.taken)


def flush(ctx: Context, dbs: Iterable[Database], *, lazy: bool) -> None:
    """Empty databases: counts every key as a change, spoils transactions that watch one.

    Clients that track keys are told to forget all.
    """
    for db in dbs:
        ctx.engine.watches.touch_all(db)
        ctx.ks.dirty += len(db.data)
        data, _ = db.clear()
        if lazy:
            ctx.engine.lazyfree.add_database(data)
    ctx.engine.tracking.flush()


@command(
    "SWAPDB",
    arity=3,
    flags="write fast",
    since="4.0.0",
    complexity="O(N) where N is the count of clients watching or blocking on keys from both "
    "databases.",
    usage="index1 index2",
)
def swapdb(ctx: Context, index1: bytes, index2: bytes) -> Reply:
    """Exchanges the contents of two databases; clients stay with their numbers."""
    one = integer_in(index1, INT_MIN, INT_MAX, "ERR invalid first DB index")
    other = integer_in(index2, INT_MIN, INT_MAX, "ERR invalid second DB index")
    dbs = ctx.ks.dbs
    if not (0 <= one < len(dbs) and 0 <= other < len(dbs)):
        raise Error(DB_OUT_OF_RANGE)
    if one != other:
        ctx.engine.watches.touch_all(dbs[one], dbs[other])
        ctx.engine.watches.touch_all(dbs[other], dbs[one])
        dbs[one].exchange(dbs[other])
    ctx.ks.dirty += 1
    ctx.propagate(b"SWAPDB", index1, index2)
    return OK
