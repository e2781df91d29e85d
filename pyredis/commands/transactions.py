"""Transactions: MULTI queues, EXEC runs the queue as one unit, WATCH makes it conditional.

Queueing itself is a gate (``gates.queue_in_multi``), and so is refusing what may not be
queued; EXEC asks once more whether the user has the right to it. EXEC holds the unit of
effects open, so that all its commands reach the AOF and the replicas together, and blocked
clients are served only after the last of them.

Each reply is encoded as soon as its command has run: a later command may change a value
that a reply refers to, or even (HELLO) the protocol.

Source: redis.io, "Transactions".
"""

from __future__ import annotations

from pyredis.commands.registry import Group, span
from pyredis.context import Context
from pyredis.resp import NULL_ARRAY, OK, Error, Reply, Wire, encode_into

command = Group("transactions", acl="transaction")


@command(
    "MULTI",
    arity=1,
    flags="noscript loading stale fast allow_busy",
    since="1.2.0",
    complexity="O(1)",
)
def multi(ctx: Context) -> Reply:
    """Starts a transaction: what follows is queued until EXEC."""
    session = ctx.session
    if session.multi is not None:
        raise Error("ERR MULTI calls can not be nested")
    session.multi = []
    ctx.engine.refresh(session)
    return OK


@command(
    "EXEC",
    arity=1,
    flags="noscript loading stale skip_slowlog",
    since="1.2.0",
    complexity="Depends on commands in the transaction",
)
def exec_(ctx: Context) -> Reply:
    """Runs the queued commands and returns their replies, or null if a watched key changed."""
    session, engine, unit = ctx.session, ctx.engine, ctx.ks.unit
    queue = session.multi
    if queue is None:
        raise Error("ERR EXEC without MULTI")
    verdict = session.dirty_exec or ("cas" if _watched_expired(ctx) else "")
    engine.discard(session)
    if verdict == "error":
        raise Error("EXECABORT Transaction discarded because of previous errors.")
    if verdict == "cas":
        return NULL_ARRAY
    reply = Wire([b"*%d\r\n" % len(queue)])
    unit.time_us = 0
    unit.depth += 1
    try:
        for entry, argv in queue:
            problem = None
            if session.restricted:
                problem = engine.guard.refusal_at_exec(session, entry, argv)
            if problem is None:
                encode_into(reply, engine.call(session, entry, argv), session.resp3)
            else:
                engine.stats.count_error(problem)
                encode_into(reply, problem, session.resp3)
    finally:
        unit.depth -= 1
    return reply


def _watched_expired(ctx: Context) -> bool:
    """Whether time has taken a watched key, though nobody has noticed by deleting it."""
    return any(
        not expired_before and db.is_expired(key)
        for (db, key), expired_before in ctx.session.watching.items()
    )


@command(
    "DISCARD",
    arity=1,
    flags="noscript loading stale fast allow_busy",
    since="2.0.0",
    complexity="O(N), when N is the number of queued commands",
)
def discard(ctx: Context) -> Reply:
    """Drops the queued commands and the watched keys."""
    if ctx.session.multi is None:
        raise Error("ERR DISCARD without MULTI")
    ctx.engine.discard(ctx.session)
    return OK


@command(
    "WATCH",
    arity=-2,
    flags="noscript loading stale fast allow_busy",
    keys=span("RO"),
    since="2.2.0",
    complexity="O(1) for every key.",
    usage="key [key ...]",
)
def watch(ctx: Context, *keys: bytes) -> Reply:
    """Makes the next EXEC depend on these keys staying as they are."""
    session = ctx.session
    if session.multi is not None:
        raise Error("ERR WATCH inside MULTI is not allowed")
    if not session.dirty_exec:  # else EXEC fails whatever else is watched
        for key in keys:
            ctx.engine.watches.watch(session, key)
    return OK


@command(
    "UNWATCH",
    arity=1,
    flags="noscript loading stale fast allow_busy",
    since="2.2.0",
    complexity="O(1)",
)
def unwatch(ctx: Context) -> Reply:
    """Forgets all watched keys."""
    ctx.engine.watches.unwatch(ctx.session)
    ctx.session.dirty_exec = ""
    return OK
