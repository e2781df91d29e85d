"""WAIT and WAITAOF on a node that has no replicas.

Both wait until enough others have confirmed what the client wrote before, and reply with the
number of confirmations when there are enough, or when the time is over. Without replicas
nobody ever confirms: asked for nobody, they reply at once; asked for more, they wait in vain.
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
    tips=_TIPS,
    since="3.0.0",
    complexity="O(1)",
    usage="numreplicas timeout",
)
def wait(ctx: Context, numreplicas: bytes, timeout: bytes) -> Reply:
    """Waits until so many replicas have received what the client wrote; tells how many have."""
    wanted = integer(numreplicas)
    deadline_ms = _deadline_ms(ctx, timeout)
    confirmed = 0
    return confirmed if wanted <= confirmed else Block((), deadline_ms, confirmed)


@command(
    "WAITAOF",
    arity=4,
    flags="noscript",
    tips=_TIPS,
    since="7.2.0",
    complexity="O(1)",
    usage="numlocal numreplicas timeout",
)
def waitaof(ctx: Context, numlocal: bytes, numreplicas: bytes, timeout: bytes) -> Reply:
    """Waits until what the client wrote is on disk, here and on so many replicas."""
    local = integer_in(numlocal, 0, 1)
    replicas = positive(numreplicas)
    deadline_ms = _deadline_ms(ctx, timeout)
    if local and not ctx.config.appendonly:
        raise Error("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.")
    confirmed = [0, 0]
    return Block((), deadline_ms, confirmed) if local or replicas else confirmed


def _deadline_ms(ctx: Context, arg: bytes) -> int:
    """When to give up, given a timeout in ms; 0 for never."""
    timeout_ms = integer(arg, "ERR timeout is not an integer or out of range")
    if timeout_ms < 0:
        raise Error("ERR timeout is negative")
    if timeout_ms > INT64_MAX - ctx.now_ms:
        raise Error("ERR timeout is out of range")
    return ctx.now_ms + timeout_ms if timeout_ms else 0
