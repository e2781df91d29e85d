"""The differences between Redis 7.0.15, the reference, and this server, each with its reason.

We follow Redis 7.2 and later, so replies differ where Redis itself changed. Every row tells
what it covers as narrowly as it can; what no row covers is a bug. Fewer than twenty rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from compat.replies import is_error, items
from compat.undefined import name, same


@dataclass(frozen=True)
class Row:
    """``covers`` is asked with a request, the reply of the reference, and ours.

    ``ends``: the data differ from then on, so the rest of the sequence is not compared.
    """

    title: str
    reason: str
    covers: Callable[[list[bytes], Any, Any], bool]
    ends: bool = False


def explain(argv: list[bytes], expected: Any, got: Any) -> Row | None:
    """The row that covers a difference, None if there is none."""
    return next((row for row in ROWS if row.covers(argv, expected, got)), None)


def _encoding(argv: list[bytes], expected: Any, got: Any) -> bool:
    return name(argv) == b"OBJECT ENCODING" and (expected, got) in (
        (b"quicklist", b"listpack"),
        (b"hashtable", b"listpack"),
    )


def _integral_float(argv: list[bytes], expected: Any, got: Any) -> bool:
    texts: list[Any] = [b"embstr", b"int"]
    return name(argv) == b"OBJECT ENCODING" and [expected, got] == texts


def _stale_range(argv: list[bytes], expected: Any, got: Any) -> bool:
    error = ("-", b"ERR One or more scores can't be converted into double")
    return name(argv) in (b"SORT", b"SORT_RO") and expected == error and not is_error(got)


def _far_timeout(argv: list[bytes], expected: Any, got: Any) -> bool:
    texts = b"ERR timeout is negative", b"ERR timeout is out of range"
    return is_error(expected) and is_error(got) and (expected[1], got[1]) == texts


def _scores(argv: list[bytes], expected: Any, got: Any) -> bool:
    """Equal but for the text of doubles."""
    word = name(argv)
    if word[:1] not in (b"Z", b"B", b"H") and word not in (b"OBJECT ENCODING", *_SCRIPTS):
        return False
    return same(argv, _read_doubles(expected), _read_doubles(got))


_SCRIPTS: Final = (b"EVAL", b"EVALSHA", b"EVAL_RO", b"EVALSHA_RO", b"FCALL", b"FCALL_RO")


def _read_doubles(reply: Any) -> Any:
    elements = items(reply)
    if elements is not None:
        read = [_read_doubles(element) for element in elements]
        return read if type(reply) is list else (reply[0], read)
    text = reply[1] if type(reply) is tuple and reply[0] == "," else reply
    if type(text) is bytes:
        try:
            return (",", repr(float(text)).encode())
        except ValueError:
            pass
    return reply


def _hello(argv: list[bytes], expected: Any, got: Any) -> bool:
    return (
        name(argv) == b"HELLO"
        and is_error(expected)
        and is_error(got)
        and expected[1].startswith(b"WRONGPASS")
        and got[1].startswith(b"ERR ")
    )


def _unbalanced(argv: list[bytes], expected: Any, got: Any) -> bool:
    return (
        is_error(expected)
        and is_error(got)
        and expected[1].startswith(b"ERR Unbalanced XREAD list of streams")
        and got[1].startswith(b"ERR Unbalanced 'xread")
    )


def _activity(argv: list[bytes], expected: Any, got: Any) -> bool:
    return name(argv) in (b"XINFO CONSUMERS", b"XINFO STREAM") and same(
        argv, expected, _without_activity(got)
    )


def _without_activity(reply: Any) -> Any:
    """The reply without the fields that 7.2 added."""
    elements = items(reply)
    if elements is None:
        return reply
    kept: list[Any] = []
    for element in elements:
        if kept and type(kept[-1]) is bytes and kept[-1] in (b"inactive", b"active-time"):
            kept.pop()
        else:
            kept.append(_without_activity(element))
    return kept if type(reply) is list else (reply[0], kept)


def _gone_group(argv: list[bytes], expected: Any, got: Any) -> bool:
    return (
        name(argv) == b"XREADGROUP"
        and is_error(got)
        and got[1].startswith(b"NOGROUP No such key")
        and is_error(expected)
        and expected[1]
        in (
            b"NOGROUP the consumer group this client was blocked on no longer exists",
            b"UNBLOCKED the stream key no longer exists",
        )
    )


def _users(argv: list[bytes], expected: Any, got: Any) -> bool:
    """The same but for what 7.2 words otherwise, or adds."""
    if name(argv) in (b"ACL GETUSER", b"ACL LIST") and not is_error(expected):
        return bool(_without_rules(expected) == _without_rules(got))
    if name(argv) == b"ACL DRYRUN" and type(expected) is type(got) is bytes:
        return bool(expected == re.sub(rb"^User .* has no", b"This user has no", got))
    theirs, ours = _error_text(argv, expected), _error_text(argv, got)
    return (
        theirs.startswith((b"NOPERM ", b"EXECABORT ", b"ERR The user executing "))
        and b"NOPERM " in ours
        and _refused(theirs) == _refused(ours)
    )


def _error_text(argv: list[bytes], reply: Any) -> bytes:
    """The text of an error; a script may have caught it and return its text."""
    if is_error(reply):
        text: bytes = reply[1]
        return text
    return reply if type(reply) is bytes and name(argv) in _SCRIPTS else b""


def _lost_right(argv: list[bytes], expected: Any, got: Any) -> bool:
    return (
        name(argv) in _WAITING
        and is_error(got)
        and got[1].startswith(b"NOPERM ")
        and not is_error(expected)
    )


_WAITING: Final = (
    *(b"BLPOP", b"BRPOP", b"BLMPOP", b"BLMOVE", b"BRPOPLPUSH", b"BZPOPMIN", b"BZPOPMAX"),
    *(b"BZMPOP", b"XREAD", b"XREADGROUP"),
)


def _other_streams(argv: list[bytes], expected: Any, got: Any) -> bool:
    if name(argv) not in (b"XREAD", b"XREADGROUP") or b"BLOCK" not in map(bytes.upper, argv):
        return False
    some, all_of_them = items(expected), items(got)
    if not some or not all_of_them or len(some) >= len(all_of_them):
        return False
    return all(each in all_of_them for each in some)


def _refused(text: bytes) -> bytes | None:
    """What a user was refused: a command, by its name, or some key, or some channel."""
    found = re.search(rb"run (?:the '.*'|this) (command)|(channel)|(key)", text)
    return found and next(filter(None, found.groups()))


def _without_rules(reply: Any) -> Any:
    """A user as ACL GETUSER or LIST shows it, without sanitize-payload and rules for commands."""
    elements = items(reply)
    if elements is None:
        if type(reply) is not bytes or not reply.startswith(b"user "):
            return reply
        words = re.split(rb"[ ()]+", reply)
        return [word for word in words if word != b"sanitize-payload" and word[:1] not in b"+-"]
    kept: list[Any] = []
    for each in elements:
        if kept and kept[-1] == b"commands":
            kept.append(b"")
        elif each != b"sanitize-payload":
            kept.append(_without_rules(each))
    return kept if type(reply) is list else (reply[0], kept)


def sent(argv: list[bytes], data: dict[bytes, Any], queued: bool) -> bool:
    """False for the few requests that would set both servers apart.

    7.2 added WITHSCORE to ZRANK and ZREVRANK, which 7.0 refuses for their arity: that spoils a
    transaction, and no rights are looked at. Since 7.2 XREADGROUP, XCLAIM and XAUTOCLAIM make their
    consumer even if they find nothing for it, and XSETID minds what was deleted.
    """
    if _newer_arity(argv):
        return False
    word = argv[0].upper() if argv else b""
    if word == b"COMMAND" and argv[1:2] and argv[1].upper().startswith(b"GETKEYS"):
        # 7.2 takes a command without arguments
        return len(argv) > 3 and not _newer_arity(argv[2:])
    if word == b"ACL" and _newer_arity(argv[3:]):
        return False
    if word == b"ACL" and argv[1:2] and argv[1].upper() == b"SETUSER":
        # 7.0 crashes when a subscriber takes its own channels away
        return {b"reset", b"resetchannels"}.isdisjoint(map(bytes.lower, argv))
    if word in (b"XCLAIM", b"XAUTOCLAIM") and len(argv) > 3:
        return not queued and _has_consumer(data, argv[1], argv[2], argv[3])
    if word == b"XREADGROUP" and len(argv) > 5:
        return not queued and all(_has_consumer(data, key, argv[2], argv[3]) for key in argv[5:])
    if word == b"XSETID" and len(argv) > 1:
        return not queued and not getattr(data.get(argv[1]), "max_deleted_id", 0)
    return True


def _has_consumer(data: dict[bytes, Any], key: bytes, group: bytes, consumer: bytes) -> bool:
    """False if there is such a group, but no such consumer in it yet."""
    found = getattr(data.get(key), "groups", {}).get(group)
    return found is None or consumer in found.consumers


def _newer_arity(argv: list[bytes]) -> bool:
    return argv[0].upper() in (b"ZRANK", b"ZREVRANK") and len(argv) > 3 if argv else False


def _help(argv: list[bytes], expected: Any, got: Any) -> bool:
    shapes = type(expected) is list and type(got) is list and expected[:1] == got[:1]
    return shapes and argv[-1].upper() == b"HELP"


MESSAGES_LAST: Final = Row(
    "order of a reply and of messages to the same client",
    "7.2 sends pushes that a command causes for its own client behind the reply, 7.0 before "
    "or inside it; the judge sorts them",
    lambda argv, expected, got: False,
)
SERVED_CHANGES: Final = Row(
    "counters and misses of clients that waited",
    "7.2 runs the command of a served client again, with its look-ups and changes; 7.0 did not",
    lambda argv, expected, got: False,
)
"""The judge leaves out these counters, and keymiss events, in a sequence with a wait."""

POPS_TOLD: Final = Row(
    "what replicas are told of SPOP and RESTORE",
    "7.0 sends an SREM for each member, later versions one for 1024 of them; and UNLINK instead "
    "of DEL where the old value is to be freed slowly",
    lambda argv, expected, got: False,
)
PLACES_TOLD: Final = Row(
    "what replicas are told of XREADGROUP",
    "7.4 adds where the group stands and how much it has read, which 7.0 leaves out",
    lambda argv, expected, got: False,
)
"""Both are matters of the stream for replicas, see ``propagation.py``."""

ROWS: Final = (
    MESSAGES_LAST,
    SERVED_CHANGES,
    POPS_TOLD,
    PLACES_TOLD,
    Row("HELP", "the lines of help are our own words", _help),
    Row(
        "list and set encodings",
        "7.2 stores short lists and short sets of strings as listpacks",
        _encoding,
    ),
    Row(
        "encoding of what INCRBYFLOAT leaves",
        "Redis keeps an integral result as text until it is set anew; the encoding of a string "
        "follows from its value here",
        _integral_float,
    ),
    Row(
        "SORT behind a number that was out of range",
        "Redis takes the error number that an earlier command left for one of its own",
        _stale_range,
        ends=True,
    ),
    Row(
        "HELLO with a wrong password and a wrong option",
        "7.2 reads all options before it looks at the password",
        _hello,
    ),
    Row(
        "unbalanced XREAD and XREADGROUP",
        "7.2 names the command and the special id in the error",
        _unbalanced,
    ),
    Row(
        "a group or its stream that is deleted while a client waits in it",
        "7.2 runs the command again, whose error is the usual one",
        _gone_group,
    ),
    Row(
        "activity of consumers in XINFO CONSUMERS and XINFO STREAM",
        "7.2 adds inactive and active-time",
        _activity,
    ),
    Row(
        "timeouts beyond 64 bits",
        "7.2 says out of range where 7.0 let them overflow",
        _far_timeout,
    ),
    Row(
        "ACL GETUSER, ACL LIST, ACL DRYRUN, and what a user is refused",
        "7.2 shows sanitize-payload and the rules for commands as given, and names the user",
        _users,
    ),
    Row(
        "a client that waits while its user loses the right to the command or the key",
        "7.2 runs the command again when the key is there, and so looks at the rights again",
        _lost_right,
        ends=True,
    ),
    Row(
        "a wait for several streams that end up with entries at once",
        "7.2 runs the command again, which reads all of them; 7.0 replies with the first",
        _other_streams,
        ends=True,
    ),
    Row(
        "text of doubles",
        "7.2 prints the shortest digits that read back, 7.0 seventeen",
        _scores,
    ),
)
