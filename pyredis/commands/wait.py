"""WAIT and WAITAOF: until enough others have what the client has written.

Of every client it is known where the replication stream stood behind its last write. The
replicas are asked how far they are, and whenever one answers, the clients that wait look again.
The reply is the number of confirmations, when there are enough or when the time is over. It
promises nothing: a replica that has confirmed can still be lost.
"""

from __future__ import annotations

from pyredis.commands.args import INT64_MAX, integer, integer_in, positive
from pyredis.commands.registry import Group
from pyredis.context import Context
from pyredis.resp import Error, Reply
from pyredis.session import Block

command = Group("generic", acl="connection")

_TIPS = "request_policy:all_shards response_policy:agg_min"


@command(
    "WAIT",
    arity=3,
    flags="blocking",
    tips=_TIPS,
    since="3.0.0",
    complexity="O(1)",
    usage="numreplicas timeout",
)
def wait(ctx: Context, numreplicas: bytes, timeout: bytes) -> Reply:
    """Waits until so many replicas have received what the client wrote; tells how many have."""
    node = ctx.engine.replication
    if node.address is not None:
        raise Error(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis "
            "4.0 if a replica is configured to be writable (which is not the default) writes to "
            "replicas are just local and are not propagated."
        )
    wanted = integer(numreplicas)
    deadline_ms = _deadline_ms(ctx, timeout)
    offset = _write_offset(ctx)
    confirmed = node.primary.count_acked(offset)
    if confirmed >= wanted:
        return confirmed
    if ctx.session.blocked is None:
        node.want_acks()
    return Block((), deadline_ms, lambda: node.primary.count_acked(offset), on_ack=True)


@command(
    "WAITAOF",
    arity=4,
    flags="blocking",
    tips=_TIPS,
    since="7.2.0",
    complexity="O(1)",
    usage="numlocal numreplicas timeout",
)
def waitaof(ctx: Context, numlocal: bytes, numreplicas: bytes, timeout: bytes) -> Reply:
    """Waits until what the client wrote is on disk, here and on so many replicas."""
    node = ctx.engine.replication
    local = integer_in(numlocal, 0, 1)
    replicas = positive(numreplicas)
    deadline_ms = _deadline_ms(ctx, timeout)
    if node.address is not None:
        raise Error(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to "
            "replicas are just local and are not propagated."
        )
    if local and not ctx.config.appendonly:
        raise Error("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.")
    offset = _write_offset(ctx)

    def confirmed() -> list[int]:
        synced = node.fsynced_offset()
        here = synced is not None and synced >= offset
        return [int(here), node.primary.count_fsynced(offset)]

    here, there = confirmed()
    if here >= local and there >= replicas:
        return [here, there]
    if ctx.session.blocked is None:
        node.want_acks()
    return Block((), deadline_ms, confirmed, on_ack=True)


def _write_offset(ctx: Context) -> int:
    """Where the stream stands behind the client's last write.

    Inside a transaction or script that has written, it is not known yet, and nobody has got it.
    """
    if ctx.ks.unit.commands:
        return ctx.engine.replication.history.offset + 1
    return ctx.session.write_offset


def _deadline_ms(ctx: Context, arg: bytes) -> int:
    """When to give up, given a timeout in ms; 0 for never."""
    timeout_ms = integer(arg, "ERR timeout is not an integer or out of range")
    if timeout_ms < 0:
        raise Error("ERR timeout is negative")
    if timeout_ms > INT64_MAX - ctx.now_ms:
        raise Error("ERR timeout is out of range")
    return ctx.now_ms + timeout_ms if timeout_ms else 0
