"""Saving the data: SAVE, BGSAVE, LASTSAVE. The rules are in ``pyredis.persistence.saver``."""

from __future__ import annotations

from pyredis.commands.args import syntax_error
from pyredis.commands.registry import Group
from pyredis.context import Context
from pyredis.resp import OK, Reply, Simple

command = Group("server")


@command(
    "SAVE",
    arity=1,
    flags="admin noscript no_async_loading no_multi",
    since="1.0.0",
    complexity="O(N) where N is the total number of keys in all databases",
)
def save(ctx: Context) -> Reply:
    """Writes all data to the RDB file; nobody is served meanwhile."""
    ctx.engine.saver.save()
    return OK


@command(
    "BGSAVE",
    arity=-1,
    flags="admin noscript no_async_loading",
    since="1.0.0",
    complexity="O(1)",
    usage="[SCHEDULE]",
    history=[("3.2.2", "Takes `SCHEDULE`.")],
)
def bgsave(ctx: Context, *option: bytes) -> Reply:
    """Has a child process write all data to the RDB file.

    SCHEDULE puts the save off while another kind of child is at work; a save that is in
    progress is an error with it, too.
    """
    if len(option) > 1 or (option and option[0].upper() != b"SCHEDULE"):
        syntax_error()
    in_transaction = ctx.ks.unit.depth > 0
    said = ctx.engine.saver.save_in_background(in_transaction, may_wait=bool(option))
    return Simple(said.encode())


@command(
    "BGREWRITEAOF",
    arity=1,
    flags="admin noscript no_async_loading",
    since="1.0.0",
    complexity="O(1)",
)
def bgrewriteaof(ctx: Context) -> Reply:
    """Has a child process write the append-only file anew, as short as it can be."""
    in_transaction = ctx.ks.unit.depth > 0
    return Simple(ctx.engine.aof.rewrite_now(in_transaction).encode())


@command(
    "LASTSAVE",
    arity=1,
    flags="loading stale fast",
    acl="admin dangerous",
    tips="nondeterministic_output",
    since="1.0.0",
    complexity="O(1)",
)
def lastsave(ctx: Context) -> Reply:
    """Returns when data were saved last, or the server's start, as Unix time in seconds."""
    return ctx.engine.saver.last_save_s
