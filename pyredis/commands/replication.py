"""Who follows whom, on a node that follows nobody and whom nobody follows.

REPLICAOF NO ONE finds its wish fulfilled, and FAILOVER no replica to hand over to: both are
Redis' own answers in this case. To follow another server is not part of this version, and said
so.
"""

from __future__ import annotations

from typing import Final

from pyredis.commands.args import integer, syntax_error
from pyredis.commands.registry import Group
from pyredis.context import Context
from pyredis.resp import OK, Error, Reply

command = Group("server")

_PORT_MAX: Final = 65535


@command(
    "REPLICAOF",
    arity=3,
    flags="admin noscript stale no_async_loading",
    since="5.0.0",
    complexity="O(1)",
    usage="<host port | NO ONE>",
)
@command(
    "SLAVEOF",
    arity=3,
    flags="admin noscript stale no_async_loading",
    since="1.0.0",
    complexity="O(1)",
    usage="<host port | NO ONE>",
    deprecated="`REPLICAOF`",
    deprecated_since="5.0.0",
)
def replicaof(ctx: Context, host: bytes, port: bytes) -> Reply:
    """Makes the server a replica of another, or with NO ONE a primary."""
    if host.upper() == b"NO" and port.upper() == b"ONE":
        return OK
    if not 0 <= integer(port, "ERR Invalid master port") <= _PORT_MAX:
        raise Error("ERR Invalid master port")
    raise Error("ERR replication is not part of this version of pyredis-server")


@command(
    "FAILOVER",
    arity=-1,
    flags="admin noscript stale",
    since="6.2.0",
    complexity="O(1)",
    usage="[TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]",
)
def failover(ctx: Context, *options: bytes) -> Reply:
    """Hands the part of the primary over to a replica."""
    words = list(options)
    given: set[bytes] = set()
    while words:
        word = words.pop(0).upper()
        if word in given or word not in (b"TO", b"TIMEOUT", b"ABORT", b"FORCE"):
            syntax_error()
        if len(words) < {b"TO": 2, b"TIMEOUT": 1}.get(word, 0):
            syntax_error()
        given.add(word)
        if word == b"TO":
            integer(words[1])
            del words[:2]
        elif word == b"TIMEOUT" and integer(words.pop(0)) <= 0:
            raise Error("ERR FAILOVER timeout must be greater than 0")
    if b"ABORT" in given:
        if len(options) > 1:
            syntax_error()
        raise Error("ERR No failover in progress.")
    raise Error("ERR FAILOVER requires connected replicas.")
