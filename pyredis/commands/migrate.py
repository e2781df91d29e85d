"""MIGRATE: keys move to another server, value by value.

The target gets, in one go, AUTH, SELECT and a RESTORE for each key, and answers them one by
one. A key is deleted here when its own RESTORE was confirmed; an error or a silence in the
midst leaves the rest where they are. All the time this server serves nobody else, as in Redis:
nobody may see or change a key that is on the move. Redis keeps the connection for ten seconds;
here each MIGRATE has its own.

As in Redis, a target that refuses the password or the database may still have restored keys
that are kept here.
"""

from __future__ import annotations

from typing import Final

from pyredis.commands.args import integer, syntax_error
from pyredis.commands.registry import Group, KeySpec, first
from pyredis.context import Context
from pyredis.persistence import payload as payloads
from pyredis.resp import OK, Error, Reply, Simple, encode_command

command = Group("generic", acl="keyspace dangerous")

_TIMEOUT_DEFAULT_MS: Final = 1000
_KEYS: Final = KeySpec(
    ("RW", "access", "delete", "incomplete"), ("keyword", "KEYS", -2), ("range", -1, 1, 0)
)
_ONE_KEY_ONLY: Final = (
    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string"
)


@command(
    "MIGRATE",
    arity=-6,
    flags="write",
    keys=(*first("RW access delete", at=3), _KEYS),
    tips="nondeterministic_output",
    since="2.6.0",
    complexity="This command actually executes a DUMP+DEL in the source instance, and a RESTORE in "
    "the target instance. See the pages of these commands for time complexity. Also an O(N) data "
    "transfer between the two instances is performed.",
    usage='host port <key | ""> destination-db timeout [COPY] [REPLACE] '
    "[AUTH password | AUTH2 username password] [KEYS key [key ...]]",
    history=[
        ("3.0.0", "Takes `COPY` and `REPLACE`."),
        ("3.0.6", "Moves several keys with `KEYS`."),
        ("4.0.7", "Takes a password with `AUTH`."),
        ("6.0.0", "Takes a user and a password with `AUTH2`."),
    ],
)
def migrate(
    ctx: Context,
    host: bytes,
    port: bytes,
    key: bytes,
    destination_db: bytes,
    timeout: bytes,
    *options: bytes,
) -> Reply:
    """Moves keys to another server."""
    copies, replaces = False, False
    keys: list[bytes] = [key]
    login: list[bytes] = []
    at = 0
    while at < len(options):
        word, left = options[at].upper(), len(options) - at - 1
        if word == b"COPY":
            copies = True
        elif word == b"REPLACE":
            replaces = True
        elif word in (b"AUTH", b"AUTH2") and left >= (count := 1 + (word == b"AUTH2")):
            login = list(options[at + 1 : at + 1 + count])
            ctx.redact(*range(at + 7, at + 7 + count))
            at += count
        elif word == b"KEYS":
            if key:
                raise Error(_ONE_KEY_ONLY)
            keys = list(options[at + 1 :])
            break
        else:
            syntax_error()
        at += 1
    timeout_ms = integer(timeout)
    db_number = integer(destination_db)
    found = [(name, value) for name in keys if (value := ctx.db.read(name)) is not None]
    if not found:
        return Simple(b"NOKEY")

    requests = [[b"AUTH", *login]] if login else []
    requests.append([b"SELECT", b"%d" % db_number])
    before = len(requests)
    ending = [b"REPLACE"] if replaces else []
    for name, value in found:
        expiry_ms = ctx.db.expiry(name)
        ttl_ms = 0 if expiry_ms is None else max(1, expiry_ms - ctx.now_ms)
        dumped = payloads.dump(value, ctx.config.rdb_version, ctx.config.rdbcompression)
        requests.append([b"RESTORE", name, b"%d" % ttl_ms, dumped, *ending])

    answers = _ask(ctx, host, port, requests, timeout_ms if timeout_ms > 0 else _TIMEOUT_DEFAULT_MS)
    denied = next((line for line in answers[:before] if line.startswith(b"-")), None)
    lines = answers[before:]
    refused = denied or next((line for line in lines if line.startswith(b"-")), None)
    if not copies and denied is None:
        pairs = zip(found, lines, strict=False)
        _delete(ctx, [name for (name, _), line in pairs if not line.startswith(b"-")])
    if refused is not None:
        raise Error(b"ERR Target instance replied with error: " + refused[1:])
    if len(answers) < len(requests):
        raise Error("IOERR error or timeout reading to target instance")
    return OK


def _ask(
    ctx: Context, host: bytes, port: bytes, requests: list[list[bytes]], timeout_ms: int
) -> list[bytes]:
    """The first line of each answer, without its end; fewer if no more came in time.

    Raises Error when the target cannot be reached.
    """
    name = host.decode("utf-8", "surrogateescape")
    lines: list[bytes] = []
    try:
        line = ctx.engine.host.dial(name, int(port) if port.isdigit() else 0, timeout_ms)
    except LookupError:
        raise Error("IOERR error or timeout connecting to the client") from None
    except (OSError, OverflowError):
        raise Error("IOERR error or timeout writing to target instance") from None
    try:
        line.send(b"".join(map(encode_command, requests)))
    except OSError:
        line.close()
        raise Error("IOERR error or timeout writing to target instance") from None
    try:
        while len(lines) < len(requests):
            lines.append(line.read_line())
    except OSError:
        pass
    finally:
        line.close()
    return lines


def _delete(ctx: Context, keys: list[bytes]) -> None:
    """Delete what has moved. A key that was named twice is gone already."""
    deleted = []
    for key in keys:
        if ctx.db.peek(key) is not None:
            ctx.db.remove(key)
            ctx.db.changed(key, "del")
            deleted.append(key)
    if deleted:
        ctx.propagate(b"DEL", *deleted)
