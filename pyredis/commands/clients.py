"""CLIENT, the window on all connections, and MONITOR, the window on all commands.

CLIENT LIST has the fields of Redis in their order. Where our machinery differs the
nearest true number stands: there is no reply buffer of fixed size, so ``rbs`` and
``rbp`` tell what lies ready in this batch, as ``obl`` does; ``oll`` and ``omem`` tell
what the connection could not take yet.

A client that kills another one ends it on the spot: it leaves all queues and channels,
and receives nothing more. One that kills itself still gets its reply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from pyredis.commands.args import INT64_MAX, integer, integer_in, subcommand_error, syntax_error
from pyredis.commands.connection import check_name
from pyredis.commands.help import help_reply
from pyredis.commands.registry import Group
from pyredis.context import Context
from pyredis.resp import NO_REPLY, OK, Error, Reply, Verbatim, encode_command
from pyredis.session import REPLY_OFF, REPLY_ON, REPLY_SKIP_NEXT, Session
from pyredis.tracking import Mode

command = Group("connection", acl="connection")

# The classes of clients by the words for them; the values are those of Session.kind.
_KINDS: Final = {
    b"normal": "normal",
    b"slave": "replica",
    b"replica": "replica",
    b"pubsub": "pubsub",
    b"master": "master",
}
_BY_COMMAND: Final = "client"  # the reason of a pause that CLIENT PAUSE asked for


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _kind(word: bytes) -> str:
    kind = _KINDS.get(word.lower())
    if kind is None:
        raise Error(f"ERR Unknown client type '{_text(word)}'")
    return kind


@command("CLIENT", arity=-2, acl="", since="2.4.0", complexity="Depends on subcommand.")
def client(ctx: Context) -> Reply:
    """Shows and steers the connections of clients."""
    raise Error("ERR wrong number of arguments for 'client' command")


# What CLIENT LIST shows


def _flags(session: Session) -> str:
    tracker = session.tracker
    marks = {
        "O": session.monitor,
        "S": session.kind == "replica" and not session.monitor,
        "M": session.from_primary,
        "P": session.kind == "pubsub",
        "x": session.multi is not None,
        "b": session.blocked is not None,
        "t": tracker is not None,
        "R": tracker is not None and tracker.broken,
        "B": tracker is not None and tracker.mode is Mode.BCAST,
        "d": session.dirty_exec == "cas",
        "c": session.closing == "reply",
        "A": session.closing == "now",
        "U": session.address.unix,
        "e": session.no_evict,
        "T": session.no_touch,
    }
    return "".join(mark for mark, holds in marks.items() if holds) or "N"


def client_line(ctx: Context, session: Session) -> bytes:
    """What CLIENT LIST says of one client, without the line's end."""
    argv: list[bytes] = []
    if session is ctx.session:
        argv = ctx.argv
    elif session.blocked is not None:
        argv = session.blocked.argv
    running_bytes = 0  # the request itself is still in the buffer, in Redis' eyes
    if session is ctx.session and argv:
        running_bytes = len(encode_command(argv))
    ready_bytes = session.output_bytes()
    fields: dict[str, object] = {
        "id": session.id,
        "addr": session.address.peer,
        "laddr": session.address.local,
        "fd": session.address.fd,
        "name": _text(session.name),
        "age": (ctx.now_ms - session.created_ms) // 1000,
        "idle": (ctx.now_ms - session.last_ms) // 1000,
        "flags": _flags(session),
        "db": session.db.index,
        "sub": len(session.channels),
        "psub": len(session.patterns),
        "ssub": len(session.shard_channels),
        "multi": -1 if session.multi is None else len(session.multi),
        "watch": len(session.watching),
        "qbuf": session.reader.held_bytes + running_bytes,
        "qbuf-free": session.reader.free_bytes,
        "argv-mem": sum(map(len, argv)),
        "multi-mem": session.multi_bytes,
        "rbs": ready_bytes,
        "rbp": ready_bytes,
        "obl": ready_bytes,
        "oll": session.unsent_pieces,
        "omem": session.unsent_bytes,
        "tot-mem": session.memory_bytes(),
        "events": "rw" if session.unsent_bytes else "r",
        "cmd": session.last_command.name if session.last_command else "NULL",
        "user": "(superuser)" if session.user is None else _text(session.user),
        "redir": session.tracker.redirect if session.tracker is not None else -1,
        "resp": 3 if session.resp3 else 2,
        "lib-name": _text(session.lib_name),
        "lib-ver": _text(session.lib_ver),
    }
    line = " ".join(f"{name}={value}" for name, value in fields.items())
    return line.encode("utf-8", "surrogateescape")


@command(
    "CLIENT LIST",
    arity=-2,
    flags="admin noscript loading stale",
    tips="nondeterministic_output",
    since="2.4.0",
    complexity="O(N) where N is the number of client connections",
    usage="[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
    history=[
        ("2.8.12", "Shows the unique `id` of a client."),
        ("5.0.0", "Can be limited to a `TYPE`."),
        ("6.0.0", "Shows the `user`."),
        ("6.2.0", "Shows `argv-mem`, `tot-mem`, `laddr` and `redir`; can be limited by `ID`."),
        ("7.0.0", "Shows `resp`, `multi-mem`, `rbs` and `rbp`."),
        ("7.0.3", "Shows `ssub`."),
        ("7.2.0", "Shows `lib-name` and `lib-ver`."),
        ("7.4.0", "Shows `watch`."),
    ],
)
def client_list(ctx: Context, *options: bytes) -> Reply:
    """Returns a line about each connection, or about some of them."""
    sessions = ctx.engine.sessions
    word = options[0].upper() if options else b""
    chosen: Iterable[Session]
    if not options:
        chosen = sessions.values()
    elif word == b"TYPE" and len(options) == 2:
        kind = _kind(options[1])
        chosen = [session for session in sessions.values() if session.kind == kind]
    elif word == b"ID" and len(options) > 1:
        numbers = [integer(option, "ERR Invalid client ID") for option in options[1:]]
        chosen = [sessions[number] for number in numbers if number in sessions]
    else:
        syntax_error()
    return Verbatim(b"".join(client_line(ctx, session) + b"\n" for session in chosen))


@command(
    "CLIENT INFO",
    arity=2,
    flags="noscript loading stale",
    tips="nondeterministic_output",
    since="6.2.0",
    complexity="O(1)",
)
def client_info(ctx: Context) -> Reply:
    """Returns the line of CLIENT LIST about this connection."""
    return Verbatim(client_line(ctx, ctx.session) + b"\n")


# The client's own name and modes


@command("CLIENT ID", arity=2, flags="noscript loading stale", since="5.0.0", complexity="O(1)")
def client_id(ctx: Context) -> Reply:
    """Returns the number of this connection, never used before or after."""
    return ctx.session.id


@command(
    "CLIENT GETNAME", arity=2, flags="noscript loading stale", since="2.6.9", complexity="O(1)"
)
def client_getname(ctx: Context) -> Reply:
    """Returns the name that the connection was given."""
    return ctx.session.name or None


@command(
    "CLIENT SETNAME",
    arity=3,
    flags="noscript loading stale",
    tips="request_policy:all_nodes response_policy:all_succeeded",
    since="2.6.9",
    complexity="O(1)",
    usage="connection-name",
)
def client_setname(ctx: Context, name: bytes) -> Reply:
    """Gives the connection a name to be shown by; an empty one takes it away."""
    ctx.session.name = check_name(name, "Client names")
    return OK


@command(
    "CLIENT SETINFO",
    arity=4,
    flags="noscript loading stale",
    tips="request_policy:all_nodes response_policy:all_succeeded",
    since="7.2.0",
    complexity="O(1)",
    usage="<LIB-NAME libname | LIB-VER libver>",
)
def client_setinfo(ctx: Context, attribute: bytes, value: bytes) -> Reply:
    """Records which client library is at work, and its version."""
    word = attribute.lower()
    if word not in (b"lib-name", b"lib-ver"):
        raise Error(f"ERR Unrecognized option '{_text(attribute)}'")
    check_name(value, _text(word))
    if word == b"lib-name":
        ctx.session.lib_name = value
    else:
        ctx.session.lib_ver = value
    return OK


def _on(word: bytes) -> bool:
    if word.upper() not in (b"ON", b"OFF"):
        syntax_error()
    return word.upper() == b"ON"


@command(
    "CLIENT NO-EVICT",
    arity=3,
    flags="admin noscript loading stale",
    since="7.0.0",
    complexity="O(1)",
    usage="<ON | OFF>",
)
def client_no_evict(ctx: Context, enabled: bytes) -> Reply:
    """Protects this connection when clients are closed to save memory."""
    ctx.session.no_evict = _on(enabled)
    return OK


@command(
    "CLIENT NO-TOUCH",
    arity=3,
    flags="noscript loading stale",
    since="7.2.0",
    complexity="O(1)",
    usage="<ON | OFF>",
)
def client_no_touch(ctx: Context, enabled: bytes) -> Reply:
    """Has the commands of this connection not count as uses of keys (LRU and LFU)."""
    ctx.session.no_touch = _on(enabled)
    ctx.engine.refresh(ctx.session)
    return OK


@command(
    "CLIENT REPLY",
    arity=3,
    flags="noscript loading stale",
    since="3.2.0",
    complexity="O(1)",
    usage="<ON | OFF | SKIP>",
)
def client_reply(ctx: Context, mode: bytes) -> Reply:
    """Turns replies on or off, or skips the next one. Only ON is answered."""
    session = ctx.session
    word = mode.upper()
    if word == b"ON":
        session.reply_mode = REPLY_ON
    elif word == b"OFF":
        session.reply_mode = REPLY_OFF
    elif word != b"SKIP":
        syntax_error()
    elif session.reply_mode != REPLY_OFF:
        session.reply_mode = REPLY_SKIP_NEXT
    ctx.engine.refresh(session)
    return OK if word == b"ON" else NO_REPLY


# What one client does to others

Test = Callable[[Session], bool]


@command(
    "CLIENT KILL",
    arity=-3,
    flags="admin noscript loading stale",
    since="2.4.0",
    complexity="O(N) where N is the number of client connections",
    usage="filter=<old-format=ip:port | new-format=<[ID client-id] | "
    "[TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] | [USER username] | [ADDR addr=ip:port] | "
    "[LADDR laddr=ip:port] | [SKIPME yes/no] | [MAXAGE maxage] [[ID client-id] | "
    "[TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] | [USER username] | [ADDR ip:port] | "
    "[LADDR ip:port] | [SKIPME yes/no] | [MAXAGE maxage] ...]>>",
    history=[
        ("2.8.12", "Takes filters, by which it kills any number of clients."),
        ("2.8.12", "Can filter by `ID` and `TYPE`."),
        ("3.2.0", "Knows the `TYPE` `MASTER`."),
        ("5.0.0", "Knows the `TYPE` `REPLICA`, formerly `slave`."),
        ("6.2.0", "Can filter by `LADDR`."),
        ("7.4.0", "Can filter by `MAXAGE`."),
    ],
)
def client_kill(ctx: Context, *filters: bytes) -> Reply:
    """Closes the connections that pass all filters."""
    if len(filters) == 1:
        address = _text(filters[0])
        if not _kill(ctx, [lambda session: session.address.peer == address]):
            raise Error("ERR No such client")
        return OK
    tests, skip_me = _kill_tests(ctx, filters)
    if skip_me:
        tests.append(lambda session: session is not ctx.session)
    return _kill(ctx, tests)


def _kill(ctx: Context, tests: list[Test]) -> int:
    found = [
        session for session in ctx.engine.sessions.values() if all(test(session) for test in tests)
    ]
    for session in found:
        ctx.engine.kill(session)
    return len(found)


def _kill_tests(ctx: Context, filters: tuple[bytes, ...]) -> tuple[list[Test], bool]:
    """The filters as functions, and whether the caller is spared. The last of a kind holds."""
    tests: dict[bytes, Test] = {}
    skip_me = True
    if len(filters) % 2:
        # Redis reads from the left: what comes before the odd word is judged first.
        _kill_tests(ctx, filters[:-1])
        syntax_error()
    for word, value in zip(filters[::2], filters[1::2], strict=True):
        name = word.upper()
        if name == b"SKIPME":
            if value.upper() not in (b"YES", b"NO"):
                syntax_error()
            skip_me = value.upper() == b"YES"
        else:
            tests[name] = _kill_test(ctx, name, value)
    return list(tests.values()), skip_me


def _kill_test(ctx: Context, name: bytes, value: bytes) -> Test:
    if name == b"ID":
        number = integer_in(value, 1, INT64_MAX, "ERR client-id should be greater than 0")
        return lambda session: session.id == number
    if name == b"TYPE":
        kind = _kind(value)
        return lambda session: session.kind == kind
    if name == b"ADDR":
        peer = _text(value)
        return lambda session: session.address.peer == peer
    if name == b"LADDR":
        local = _text(value)
        return lambda session: session.address.local == local
    if name == b"MAXAGE":
        age_s = integer(value, "ERR maxage is not an integer or out of range")
        if age_s <= 0:
            raise Error("ERR maxage should be greater than 0")
        return lambda session: (ctx.now_ms - session.created_ms) // 1000 >= age_s
    if name == b"USER":
        if value not in ctx.engine.acl.users:
            raise Error(f"ERR No such user '{_text(value)}'")
        return lambda session: session.user == value
    syntax_error()


@command(
    "CLIENT UNBLOCK",
    arity=-3,
    flags="admin noscript loading stale",
    since="5.0.0",
    complexity="O(log N) where N is the number of client connections",
    usage="client-id [TIMEOUT | ERROR]",
)
def client_unblock(ctx: Context, number: bytes, *reason: bytes) -> Reply:
    """Ends another client's blocking command, as if time were up or with an error."""
    if len(reason) > 1:
        subcommand_error(ctx)
    word = reason[0].upper() if reason else b"TIMEOUT"
    if word not in (b"TIMEOUT", b"ERROR"):
        raise Error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    session = ctx.engine.sessions.get(integer(number))
    if session is None or session.postponed:
        return 0
    if word == b"ERROR":
        error = "UNBLOCKED client unblocked via CLIENT UNBLOCK"
        return int(ctx.engine.serving.unblock(session, error=error))
    return int(ctx.engine.serving.unblock(session))


@command(
    "CLIENT PAUSE",
    arity=-3,
    flags="admin noscript loading stale",
    since="3.0.0",
    complexity="O(1)",
    usage="timeout [WRITE | ALL]",
    history=[("6.2.0", "Takes a mode, `WRITE` or `ALL`.")],
)
def client_pause(ctx: Context, timeout: bytes, *mode: bytes) -> Reply:
    """Holds up commands of all clients, or only writes, for a number of milliseconds."""
    if len(mode) > 1:
        subcommand_error(ctx)
    word = mode[0].upper() if mode else b"ALL"
    if word not in (b"WRITE", b"ALL"):
        raise Error("ERR CLIENT PAUSE mode must be WRITE or ALL")
    duration_ms = integer(timeout, "ERR timeout is not an integer or out of range")
    if duration_ms < 0:
        raise Error("ERR timeout is negative")
    if duration_ms > INT64_MAX - ctx.now_ms:
        raise Error("ERR timeout is out of range")
    if duration_ms:  # what ends at once holds up nothing, not even the rest of this input
        ctx.engine.serving.set_pause(_BY_COMMAND, ctx.now_ms + duration_ms, word == b"ALL")
    return OK


@command(
    "CLIENT UNPAUSE",
    arity=2,
    flags="admin noscript loading stale",
    since="6.2.0",
    complexity="O(N) Where N is the number of paused clients",
)
def client_unpause(ctx: Context) -> Reply:
    """Ends a pause before its time."""
    ctx.engine.serving.lift_pause(_BY_COMMAND)
    return OK


@command("CLIENT HELP", arity=2, flags="loading stale", since="5.0.0", complexity="O(1)")
def client_help(ctx: Context) -> Reply:
    """Describes the subcommands."""
    return help_reply(ctx, "CLIENT")


@command(
    "MONITOR",
    arity=1,
    flags="admin noscript loading stale",
    acl="",
    group="server",
    since="1.0.0",
    complexity="",
)
def monitor(ctx: Context) -> Reply:
    """Has a line about every command that the server runs sent to this client."""
    session, engine = ctx.session, ctx.engine
    if ctx.ks.unit.depth:
        raise Error("ERR MONITOR isn't allowed for DENY BLOCKING client")
    if session.listens:
        return NO_REPLY
    session.monitor = True
    engine.monitors[session] = None
    engine.refresh_all()
    return OK
