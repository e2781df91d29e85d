"""Replication's commands: those for people, and those that servers say to each other.

What they do is in ``pyredis.replication``: who follows whom in ``node``, what replicas are sent in
``primary``, FAILOVER in ``failover``.
"""

from __future__ import annotations

from typing import Final

from pyredis.commands.args import INT64_MAX, integer, integer_in, syntax_error
from pyredis.commands.clients import client_line
from pyredis.commands.registry import Group
from pyredis.context import Context
from pyredis.quoting import split_args
from pyredis.resp import NO_REPLY, OK, Error, Reply, Simple

command = Group("server")

_PORT_MAX: Final = 65535


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


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
    node = ctx.engine.replication
    if ctx.engine.mode == "cluster":
        raise Error("ERR REPLICAOF not allowed in cluster mode.")
    if node.failover.active:
        raise Error("ERR REPLICAOF not allowed while failing over.")
    who = _shown(ctx)
    if host.upper() == b"NO" and port.upper() == b"ONE":
        if node.address is not None:
            node.unfollow()
            ctx.engine.log("notice", f"MASTER MODE enabled (user request from {who})")
        return OK
    if ctx.session.listens:
        raise Error("ERR Command is not valid when client is a replica.")
    number = integer_in(port, 0, _PORT_MAX, "ERR Invalid master port")
    address = (_text(host), number)
    if node.address is not None and (node.address[0].lower(), node.address[1]) == (
        address[0].lower(),
        number,
    ):
        ctx.engine.log(
            "notice",
            "REPLICAOF would result into synchronization with the master we are already "
            "connected with. No operation performed.",
        )
        return Simple(b"OK Already connected to specified master")
    node.follow(*address)
    ctx.engine.log("notice", f"REPLICAOF {address[0]}:{number} enabled (user request from {who})")
    return OK


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
    if ctx.engine.mode == "cluster":
        raise Error("ERR FAILOVER not allowed in cluster mode.")
    words = list(options)
    target: tuple[str, int] | None = None
    timeout_ms: int | None = None
    given: set[bytes] = set()
    while words:
        word = words.pop(0).upper()
        if word in given or word not in (b"TO", b"TIMEOUT", b"ABORT", b"FORCE"):
            syntax_error()
        if len(words) < {b"TO": 2, b"TIMEOUT": 1}.get(word, 0):
            syntax_error()
        given.add(word)
        if word == b"TO":
            target = (_text(words[0]), integer(words[1]))
            del words[:2]
        elif word == b"TIMEOUT":
            timeout_ms = integer(words.pop(0))
            if timeout_ms <= 0:
                raise Error("ERR FAILOVER timeout must be greater than 0")
    node = ctx.engine.replication
    if b"ABORT" in given:
        if len(options) > 1:
            syntax_error()
        node.failover.abort()
    else:
        node.failover.start(target, b"FORCE" in given, timeout_ms)
    return OK


@command(
    "ROLE",
    arity=1,
    flags="noscript loading stale fast",
    acl="admin dangerous",
    since="2.8.12",
    complexity="O(1)",
)
def role(ctx: Context) -> Reply:
    """Tells the part this server plays in replication, and with whom."""
    return ctx.engine.replication.describe()


@command(
    "REPLCONF",
    arity=-1,
    flags="admin noscript loading stale allow_busy",
    since="3.0.0",
    complexity="O(1)",
    internal=True,
)
def replconf(ctx: Context, *args: bytes) -> Reply:
    """Is said by a replica about itself, and by a primary that asks for an offset."""
    if len(args) % 2:
        syntax_error()
    session = ctx.session
    node = ctx.engine.replication
    downstream = node.primary.downstream(session)
    pairs = dict(zip((word.lower() for word in args[::2]), args[1::2], strict=True))
    for option, value in zip(args[::2], args[1::2], strict=True):
        word = option.lower()
        if word == b"listening-port":
            downstream.port = integer(value)
        elif word == b"ip-address":
            if len(value) > 255:
                raise Error(
                    b"ERR REPLCONF ip-address provided by replica instance is too long: %d bytes"
                    % len(value)
                )
            downstream.announced_host = _text(value)
        elif word == b"capa":
            downstream.capabilities.add(_text(value).lower())
        elif word == b"ack":
            if not downstream.attached:
                return NO_REPLY
            if value.isdigit():
                fsynced = pairs.get(b"fack", b"")
                node.primary.acknowledge(
                    session, int(value), int(fsynced) if fsynced.isdigit() else None
                )
            return NO_REPLY
        elif word == b"fack":
            continue  # it comes with ACK
        elif word == b"getack":
            if session.from_primary:
                node.acknowledge()
            return NO_REPLY
        elif word == b"rdb-only":
            downstream.rdb_only = integer_in(value, 0, 1) == 1
        elif word == b"rdb-filter-only":
            try:
                parts = split_args(value)
            except ValueError:
                raise Error("ERR Missing rdb-filter-only values") from None
            for part in parts:
                if part.lower() != b"functions":
                    raise Error(b"ERR Unsupported rdb-filter-only option: %b" % part)
            downstream.wants = frozenset(part.decode().lower() for part in parts)
        elif word == b"version":
            continue  # a newer replica tells what it is; nothing here depends on that
        else:
            raise Error(b"ERR Unrecognized REPLCONF option: %b" % option)
    return OK


@command(
    "PSYNC",
    arity=-3,
    flags="admin noscript no_async_loading no_multi",
    since="2.8.0",
    complexity="",
    usage="replicationid offset",
)
def psync(ctx: Context, replid: bytes, offset: bytes, *option: bytes) -> Reply:
    """Makes the client a replica: it gets what it misses, or a copy of all data, and the stream."""
    node = ctx.engine.replication
    if ctx.session.listens:
        return NO_REPLY
    name = _text(replid)
    if option and option[0].upper() == b"FAILOVER":
        if node.address is None:
            raise Error("ERR PSYNC FAILOVER can't be sent to a master.")
        if name.lower() != node.history.replid:
            raise Error("ERR PSYNC FAILOVER replid must match my replid.")
        ctx.engine.log("notice", f"Failover request received for replid {name}.")
        node.unfollow()
        ctx.engine.log("notice", f"MASTER MODE enabled (failover request from {_shown(ctx)})")
    _check_link(ctx)
    try:
        number = integer_in(offset, -INT64_MAX - 1, INT64_MAX)
    except Error:
        asker = node.primary.downstream(ctx.session).name
        ctx.engine.log(
            "warning", f"Replica {asker} asks for synchronization but with a wrong offset"
        )
        raise
    return node.primary.psync(ctx.session, name, number)


@command(
    "SYNC",
    arity=1,
    flags="admin noscript no_async_loading no_multi",
    since="1.0.0",
    complexity="",
)
def sync(ctx: Context) -> Reply:
    """Makes the client a replica in the manner of old: a copy of all data, then the stream."""
    if ctx.session.listens:
        return NO_REPLY
    _check_link(ctx)
    return ctx.engine.replication.primary.psync(ctx.session, "?", -1, old=True)


def _shown(ctx: Context) -> str:
    """The client as the log has it."""
    line = client_line(ctx, ctx.session)
    return "'" + line.decode("utf-8", "surrogateescape") + "'"


def _check_link(ctx: Context) -> None:
    node = ctx.engine.replication
    if node.failover.active:
        raise Error("NOMASTERLINK Can't SYNC while failing over")
    if node.address is not None and not node.link_up:
        raise Error("NOMASTERLINK Can't SYNC while not connected with my master")
