"""The differences between the reference and this server, each with its reason.

The reference is Redis 7.0.15, unless another is asked for. We follow Redis 7.2 and later, so
replies differ where Redis itself changed: such a row says up to which version it holds, and a
later reference has to agree with us. Every row tells what it covers as narrowly as it can; what
no row covers is a bug. Fewer than twenty rows.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from compat.replies import is_error, items
from compat.undefined import name, same

Version = tuple[int, int]


@dataclass(frozen=True)
class Row:
    """``covers`` is asked with a request, the reply of the reference, and ours.

    ``ends``: the data differ from then on, so the rest of the sequence is not compared.
    ``since``, ``before``: the versions that differ, from one up to another that agrees with us.
    """

    title: str
    reason: str
    covers: Callable[[list[bytes], Any, Any], bool]
    ends: bool = False
    since: Version = (0, 0)
    before: Version = (99, 0)


OLDEST: Final[Version] = (7, 0)


def explain(argv: list[bytes], expected: Any, got: Any, version: Version = OLDEST) -> Row | None:
    """The row that covers a difference to a reference of that version, None if there is none."""
    return next(
        (
            row
            for row in ROWS
            if row.since <= version < row.before and row.covers(argv, expected, got)
        ),
        None,
    )


def _encoding(argv: list[bytes], expected: Any, got: Any) -> bool:
    return name(argv) == b"OBJECT ENCODING" and (expected, got) in (
        (b"quicklist", b"listpack"),
        (b"hashtable", b"listpack"),
        (b"listpack", b"skiplist"),
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


_DIGITS: Final = 12  # of a coordinate behind the point


def _read_doubles(reply: Any, digits: int | None = None) -> Any:
    elements = items(reply)
    if elements is not None:
        read = [_read_doubles(element, digits) for element in elements]
        return read if type(reply) is list else (reply[0], read)
    text = reply[1] if type(reply) is tuple and reply[0] == "," else reply
    if type(text) is bytes:
        try:
            number = float(text)
            return (",", repr(number if digits is None else round(number, digits)).encode())
        except ValueError:
            pass
    return reply


def _coordinates(argv: list[bytes], expected: Any, got: Any) -> bool:
    return name(argv)[:3] == b"GEO" and same(
        argv, _read_doubles(expected, _DIGITS), _read_doubles(got, _DIGITS)
    )


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


def _lag(argv: list[bytes], expected: Any, got: Any) -> bool:
    return name(argv) in (b"XINFO GROUPS", b"XINFO STREAM") and same(
        argv, _without(expected, _LAG), _without(got, (*_LAG, *_ACTIVITY))
    )


def _activity(argv: list[bytes], expected: Any, got: Any) -> bool:
    return name(argv) in (b"XINFO CONSUMERS", b"XINFO STREAM") and same(
        argv, expected, _without(got, _ACTIVITY)
    )


_ACTIVITY: Final = (b"inactive", b"active-time")
_LAG: Final = (b"lag",)


def _without(reply: Any, names: Sequence[bytes]) -> Any:
    """The reply without the fields of those names."""
    elements = items(reply)
    if elements is None:
        return reply
    kept: list[Any] = []
    for element in elements:
        if kept and type(kept[-1]) is bytes and kept[-1] in names:
            kept.pop()
        else:
            kept.append(_without(element, names))
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
        named = re.sub(rb"^User .* has no", b"This user has no", got)
        return bool(expected == re.sub(rb"'([^\0]*)\0.*'", rb"'\1'", named, flags=re.DOTALL))
    theirs, ours = _error_text(argv, expected), _error_text(argv, got)
    if theirs.startswith(_BAD_RULE):  # 7.2 shows a selector from its beginning
        return ours.startswith(_BAD_RULE)
    return (
        theirs.startswith((b"NOPERM ", b"EXECABORT ", b"ERR The user executing "))
        and (b"NOPERM " in ours or ours.startswith(b"ERR ACL failure in script: "))
        and _refused(theirs) == _refused(ours)
    )


_BAD_RULE: Final = b"ERR Error in ACL SETUSER modifier '("


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


def sent(
    argv: list[bytes], data: dict[bytes, Any], queued: bool, version: Version = OLDEST
) -> bool:
    """False for the few requests that would set us and a reference of that version apart.

    7.2 added WITHSCORE to ZRANK and ZREVRANK, which 7.0 refuses for their arity: that spoils a
    transaction, and no rights are looked at. Since 7.2 XREADGROUP, XCLAIM and XAUTOCLAIM make their
    consumer even if they find nothing for it, and XSETID minds what was deleted.
    """
    if version >= (8, 0) and (
        (argv[:1] and argv[0].upper() == b"AUTH") or b"AUTH" in map(bytes.upper, argv)
    ):
        return False  # 8.0.2 may keep the refusal back for good
    if version >= (7, 2):
        return not _from_the_end(argv)
    if _newer_arity(argv) or _refused_later(argv):
        return False
    word = argv[0].upper() if argv else b""
    if word == b"COMMAND" and argv[1:2] and argv[1].upper().startswith(b"GETKEYS"):
        # 7.2 takes a command without arguments
        overwrites = b"SINTERSTORE" in map(bytes.upper, argv)  # which 7.0 calls an update
        return len(argv) > 3 and not _newer_arity(argv[2:]) and not overwrites
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


def _from_the_end(argv: list[bytes]) -> bool:
    """A negative offset: later versions count from the end of a skip list, and only there."""
    words = [arg.upper() for arg in argv]
    return (
        argv[:1] != []
        and words[0][:1] == b"Z"
        and any(
            word == b"LIMIT" and offset[:1] == b"-" for word, offset in itertools.pairwise(words)
        )
    )


def _refused_later(argv: list[bytes]) -> bool:
    """What later versions refuse, whatever the data: 7.0 lets it be, or looks at the key first."""
    word = argv[0].upper() if argv else b""
    if word in (b"SCAN", b"SSCAN", b"HSCAN", b"ZSCAN"):
        return not all(map(bytes.isdigit, argv[1 + (word != b"SCAN") :][:1]))
    if [word, *map(bytes.upper, argv[1:2])] == [b"ACL", b"SETUSER"]:
        return _NESTED.search(b" ".join(argv[3:])) is not None
    if word in (b"BITCOUNT", b"BITPOS"):
        numbers = argv[2 + (word == b"BITPOS") :]
        if len(numbers) == 3 and numbers[2].upper() in (b"BIT", b"BYTE"):
            numbers.pop()
        right = len(numbers) == 2 or (word == b"BITPOS" and len(numbers) == 1)
        return bool(numbers) and not (right and all(map(_INTEGER.fullmatch, numbers)))
    return word == b"CONFIG" and b"maxmemory-samples" in map(bytes.lower, argv)


_NESTED: Final = re.compile(rb"(^| )\([^)]* \(")
_INTEGER: Final = re.compile(rb"-?(0|[1-9]\d{0,17})")


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
    before=(7, 2),
)
SERVED_CHANGES: Final = Row(
    "counters and misses of clients that waited",
    "7.2 runs the command of a served client again, with its look-ups and changes; 7.0 did not",
    lambda argv, expected, got: False,
    before=(7, 2),
)
"""The judge leaves out these counters, and keymiss events, in a sequence with a wait."""

POPS_TOLD: Final = Row(
    "what replicas are told of SPOP and RESTORE",
    "7.0 sends an SREM for each member, later versions one for 1024 of them; and UNLINK instead "
    "of DEL where the old value is to be freed slowly",
    lambda argv, expected, got: False,
    before=(7, 2),
)
PLACES_TOLD: Final = Row(
    "what replicas are told of XREADGROUP",
    "7.4 adds where the group stands and how much it has read, which 7.0 leaves out",
    lambda argv, expected, got: False,
    before=(7, 4),
)
"""Both are matters of the stream for replicas, see ``propagation.py``."""

ROWS: Final = (
    MESSAGES_LAST,
    SERVED_CHANGES,
    POPS_TOLD,
    PLACES_TOLD,
    Row("HELP", "the lines of help are our own words", _help),
    Row(
        "encodings of lists, sets and sorted sets",
        "7.2 stores short lists and short sets of strings as listpacks, and makes a skip list of a "
        "sorted set when it is given too many members, even if it has them",
        _encoding,
        before=(7, 2),
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
        before=(7, 2),
    ),
    Row(
        "unbalanced XREAD and XREADGROUP",
        "7.2 names the command and the special id in the error",
        _unbalanced,
        before=(7, 2),
    ),
    Row(
        "a group or its stream that is deleted while a client waits in it",
        "7.2 runs the command again, whose error is the usual one",
        _gone_group,
        before=(7, 2),
    ),
    Row(
        "activity of consumers in XINFO CONSUMERS and XINFO STREAM",
        "7.2 adds inactive and active-time",
        _activity,
        before=(7, 2),
    ),
    Row(
        "lag in XINFO GROUPS and XINFO STREAM",
        "later versions count what was deleted or trimmed behind a group's place",
        _lag,
        before=(8, 0),
    ),
    Row(
        "timeouts beyond 64 bits",
        "7.2 says out of range where 7.0 let them overflow",
        _far_timeout,
        before=(7, 2),
    ),
    Row(
        "ACL GETUSER, ACL LIST, ACL DRYRUN, and what a user is refused",
        "7.2 shows sanitize-payload and the rules for commands as given, and names the user",
        _users,
        before=(7, 2),
    ),
    Row(
        "a client that waits while its user loses the right to the command or the key",
        "7.2 runs the command again when the key is there, and so looks at the rights again",
        _lost_right,
        ends=True,
        before=(7, 2),
    ),
    Row(
        "a wait for several streams that end up with entries at once",
        "7.2 runs the command again, which reads all of them; 7.0 replies with the first",
        _other_streams,
        ends=True,
        before=(7, 2),
    ),
    Row(
        "text of coordinates",
        "8.0 prints the shortest digits that read back, others twenty significant ones",
        _coordinates,
        since=(8, 0),
    ),
    Row(
        "text of doubles",
        "7.2 prints the shortest digits that read back, 7.0 seventeen",
        _scores,
        before=(7, 2),
    ),
)
