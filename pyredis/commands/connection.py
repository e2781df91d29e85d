"""Connections: who the client is, which protocol it speaks, which database it sees.

Who may be whom is asked of `engine.guard`. Passwords are kept out of MONITOR and the slow log.
"""

from __future__ import annotations

from typing import Final

from pyredis.acl import DEFAULT
from pyredis.commands.args import INT64_MAX, INT64_MIN, integer_in, syntax_error
from pyredis.commands.registry import Group
from pyredis.context import Context
from pyredis.resp import OK, PONG, Error, Reply, Simple
from pyredis.session import REPLY_ON, REPLY_SKIP
from pyredis.version import REDIS_VERSION

command = Group("connection", acl="connection")

INT32_MIN: Final = -(1 << 31)
INT32_MAX: Final = (1 << 31) - 1

_WRONG_PASSWORD: Final = "WRONGPASS invalid username-password pair or user is disabled."
_NO_PASSWORD: Final = (
    "ERR AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?"
)
_HELLO_FIRST_AUTH: Final = (
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
    "<proto> AUTH <user> <pass> option can be used to authenticate the client and select the "
    "RESP protocol version at the same time"
)


@command(
    "PING",
    arity=-1,
    flags="fast",
    tips="request_policy:all_shards response_policy:all_succeeded",
    since="1.0.0",
    complexity="O(1)",
    usage="[message]",
)
def ping(ctx: Context, *message: bytes) -> Reply:
    """Answers, with the given message if there is one."""
    if len(message) > 1:
        raise Error("ERR wrong number of arguments for 'ping' command")
    session = ctx.session
    if not session.resp3 and session.kind == "pubsub":
        return [b"pong", *(message or (b"",))]
    return message[0] if message else PONG


@command(
    "ECHO",
    arity=2,
    flags="loading stale fast",
    since="1.0.0",
    complexity="O(1)",
    usage="message",
)
def echo(ctx: Context, message: bytes) -> Reply:
    """Returns its argument."""
    return message


@command(
    "AUTH",
    arity=-2,
    flags="noscript loading stale fast no_auth allow_busy",
    since="1.0.0",
    complexity="O(N) where N is the number of passwords defined for the user",
    usage="[username] password",
    history=[("6.0.0", "Takes a `username` too, for ACLs.")],
)
def auth(ctx: Context, *credentials: bytes) -> Reply:
    """Proves who the client is."""
    if len(credentials) > 2:
        syntax_error()
    ctx.redact(1, 2)
    if len(credentials) == 1:
        if ctx.engine.acl.default.nopass:
            raise Error(_NO_PASSWORD)
        credentials = (DEFAULT, *credentials)
    if not ctx.engine.guard.login(ctx.session, "AUTH", *credentials):
        raise Error(_WRONG_PASSWORD)
    return OK


@command(
    "HELLO",
    arity=-1,
    flags="noscript loading stale fast no_auth allow_busy",
    since="6.0.0",
    complexity="O(1)",
    usage="[protover [AUTH username password] [SETNAME clientname]]",
    history=[("6.2.0", "Without `protover` it only reports on the connection.")],
)
def hello(ctx: Context, protover: bytes | None = None, *options: bytes) -> Reply:
    """Greets the server: chooses a protocol version, authenticates and names the client.

    Options are all read before any takes effect, so a failing HELLO changes nothing.
    """
    session = ctx.session
    version = 0
    if protover is not None:
        complaint = "ERR Protocol version is not an integer or out of range"
        version = integer_in(protover, INT64_MIN, INT64_MAX, complaint)
        if version not in (2, 3):
            raise Error("NOPROTO unsupported protocol version")
    user: tuple[bytes, ...] = ()
    name: bytes | None = None
    at = 0
    while at < len(options):
        option, left = options[at].upper(), len(options) - at - 1
        if option == b"AUTH" and left >= 2:
            ctx.redact(at + 3, at + 4)
            user = options[at + 1 : at + 3]
            at += 3
        elif option == b"SETNAME" and left >= 1:
            name = check_name(options[at + 1], "Client names")
            at += 2
        else:
            shown = options[at].decode("utf-8", "surrogateescape")
            raise Error(f"ERR Syntax error in HELLO option '{shown}'")
    login = ctx.engine.guard.login
    if user and not login(session, "HELLO", *user):
        raise Error(_WRONG_PASSWORD)
    if not session.authenticated:
        raise Error(_HELLO_FIRST_AUTH)
    if name is not None:
        session.name = name
    if version:
        session.resp3 = version == 3
        ctx.engine.refresh(session)
    return {
        b"server": b"redis",
        b"version": REDIS_VERSION.encode(),
        b"proto": 3 if session.resp3 else 2,
        b"id": session.id,
        b"mode": ctx.engine.mode.encode(),
        b"role": ctx.engine.role.encode(),
        b"modules": [],
    }


def check_name(name: bytes, what: str) -> bytes:
    """The name of a client or of its library, which CLIENT LIST must be able to show."""
    if any(not 0x21 <= char <= 0x7E for char in name):
        raise Error(f"ERR {what} cannot contain spaces, newlines or special characters.")
    return name


@command(
    "QUIT",
    arity=-1,
    flags="noscript loading stale fast no_auth allow_busy",
    since="1.0.0",
    complexity="O(1)",
    deprecated="just closing the connection",
    deprecated_since="7.2.0",
)
def quit_(ctx: Context, *ignored: bytes) -> Reply:
    """Closes the connection once all replies are sent."""
    ctx.engine.close(ctx.session)
    return OK


@command(
    "RESET",
    arity=1,
    flags="noscript loading stale fast no_auth allow_busy",
    since="6.2.0",
    complexity="O(1)",
)
def reset(ctx: Context) -> Reply:
    """Makes the connection as if it had just been opened."""
    session, engine = ctx.session, ctx.engine
    if session.monitor:
        session.monitor = False
        del engine.monitors[session]
    engine.discard(session)
    engine.pubsub.forget(session)
    engine.untrack(session)
    session.db = ctx.db = ctx.ks.dbs[0]
    session.resp3 = False
    session.name = b""
    engine.guard.greet(session)
    if session.reply_mode != REPLY_SKIP:  # the reply to be skipped is this one
        session.reply_mode = REPLY_ON
    session.no_touch = session.no_evict = False
    engine.refresh_all()
    return Simple(b"RESET")


@command(
    "SELECT",
    arity=2,
    flags="loading stale fast",
    since="1.0.0",
    complexity="O(1)",
    usage="index",
)
def select(ctx: Context, index: bytes) -> Reply:
    """Chooses the database that the connection works on."""
    number = integer_in(index, INT32_MIN, INT32_MAX)
    if ctx.config.cluster_enabled and number != 0:
        raise Error("ERR SELECT is not allowed in cluster mode")
    if not 0 <= number < len(ctx.ks.dbs):
        raise Error("ERR DB index is out of range")
    ctx.session.db = ctx.db = ctx.ks.dbs[number]
    return OK
