"""What Redis leaves undefined, and what is compared instead. The one place that says so.

    order        members of sets and hashes, key names: compared sorted
    chance       random members and keys: compared by number, type, and being distinct
    cursors      SCAN: the elements of a complete scan sorted; of a partial one, the shape
    time         what depends on when a command ran: compared within ``SLACK_MS``
    identity     ids, addresses, times, memory: only the type is compared
    some effects are not asked for at all, see ``specified``

Where the order follows from the encoding (a listpack keeps insertion order, an intset is
sorted), ``exact`` says so, and the dataset at the end of a sequence is compared exactly.
Commands that leave chance in the data are in ``SCATTERING``: the generator deletes the key
right behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from compat.replies import is_error, is_message, items
from pyredis.config import Config
from pyredis.persistence.payload import dump, restore
from pyredis.types.hashes import Hash
from pyredis.types.sets import Set
from pyredis.types.streams import Stream

SLACK_MS: Final = 2500
_LEAVING: Final = (b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE")
_JOINING: Final = (b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE")
SCATTERING: Final = frozenset((b"SPOP",))

Same = Callable[[list[bytes], Any, Any], bool]


def same(argv: list[bytes], expected: Any, got: Any) -> bool:
    """Whether two replies to a command are equal as far as Redis defines them."""
    if expected == got:
        return True
    rule = _RULES.get(name(argv))
    return rule is not None and rule(argv, expected, got)


def name(argv: list[bytes]) -> bytes:
    """The command of a request in capitals, with its subcommand if it has any."""
    word = argv[0].upper()
    if word in _CONTAINERS and len(argv) > 1:
        return word + b" " + argv[1].upper()
    return word


def specified(argv: list[bytes], data: dict[bytes, Any], gone: bool, queued: bool) -> bool:
    """Whether Redis defines what a command does to these data. The others are not sent.

    A range by name over different scores is another one with each encoding. RANDOMKEY and SCAN
    delete the keys past their time that they happen to meet; ``gone`` tells that there are any.
    RESTORE replaces such a key unseen by who watched it in that state.
    SORT BY nosort leaves a set in whatever order it has; with ALPHA and BY, equal weights leave
    the order open, which must not be stored.
    In a transaction (``queued``) nobody knows the data yet, so none of them is sent there.
    """
    word = argv[0].upper() if argv else b""
    if word in (b"RANDOMKEY", b"SCAN", b"RESTORE", b"RESTORE-ASKING"):
        return not gone and not queued
    if word in (b"SORT", b"SORT_RO"):
        words = [arg.upper() for arg in argv]
        open_order = b"ALPHA" in words and b"BY" in words
        if open_order and (b"STORE" in words or (b"GET" in words and b"LIMIT" in words)):
            return False
        if _nosort(words, argv):
            return not queued and getattr(data.get(argv[1]), "type_name", b"") != b"set"
    if word == b"XADD" and b"*" in argv[2:]:  # an id made of the time
        return False
    if word in _LEAVING or (
        word == b"CLIENT" and [each.upper() for each in argv[1:2]] == [b"REPLY"]
    ):
        return not queued  # no reply inside EXEC's breaks the protocol
    if word in _JOINING:  # several replies to one queued command break the frame of EXEC's
        return not queued or len(argv) <= 2
    key = _lex_key(word, argv)
    if key is None:
        return True
    order = getattr(data.get(key), "order", None)
    return not queued and (not order or order[0][0] == order[-1][0])


def _nosort(words: list[bytes], argv: list[bytes]) -> bool:
    """Whether a SORT says BY with a pattern that cannot vary, be it one of several."""
    return any(
        word == b"BY" and b"*" not in pattern
        for word, pattern in zip(words[2:-1], argv[3:], strict=True)
    )


def _lex_key(word: bytes, argv: list[bytes]) -> bytes | None:
    """The key of a range by name; None for any other command."""
    if word in (b"ZRANGE", b"ZRANGESTORE"):
        if not any(arg.upper() == b"BYLEX" for arg in argv):
            return None
        at = 1 if word == b"ZRANGE" else 2
    elif word[:1] == b"Z" and b"LEX" in word:
        at = 1
    else:
        return None
    return argv[at] if len(argv) > at else None


def hits_counted(argv: list[bytes]) -> bool:
    """False for a scan by type, which looks at as many keys as it likes."""
    return argv[0].upper() != b"SCAN" if argv else True


def settle(argv: list[bytes], replies: list[Any]) -> list[Any]:
    """Several top-level replies to one command in the order that counts.

    Leaving all channels names them in any order; so come the copies of a message that several
    patterns match.
    """
    if argv[0].upper() in _LEAVING and len(argv) == 1:
        parts = [items(reply) or [reply, None, None] for reply in replies]
        names = sorted((part[1] for part in parts), key=repr)
        return [[part[0], each, *part[2:]] for part, each in zip(parts, names, strict=True)]
    messages = sorted(filter(is_message, replies), key=repr)
    return [reply for reply in replies if not is_message(reply)] + messages


def same_events(expected: list[bytes], got: list[bytes]) -> bool:
    """Whether events agree, where misses may come in any order (SORT of a set looks up many)."""
    if expected == got:
        return True
    one, other = ([e for e in each if b"keymiss" not in e] for each in (expected, got))
    return one == other and sorted(expected) == sorted(got)


def exact(encoding: bytes, words: set[bytes]) -> bool:
    """Whether elements of a value encoded so have a defined order.

    Not where a set may have been stored from others, which had none: ``words`` are the commands
    of the sequence.
    """
    stored = not words.isdisjoint((b"SUNIONSTORE", b"SINTERSTORE", b"SDIFFSTORE"))
    return encoding in (b"ziplist", b"intset") or (encoding == b"listpack" and not stored)


_CONTAINERS: Final = frozenset(
    b"ACL CLIENT COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB SCRIPT SLOWLOG "
    b"XGROUP XINFO".split()
)


def _sign(reply: Any) -> Any:
    """The type of a reply."""
    if type(reply) is tuple:
        return reply[0]
    return type(reply)


def _unordered(argv: list[bytes], expected: Any, got: Any) -> bool:
    first, second = items(expected), items(got)
    if first is None or second is None or _sign(expected) != _sign(got):
        return False
    return sorted(first, key=repr) == sorted(second, key=repr)


def _unordered_pairs(argv: list[bytes], expected: Any, got: Any) -> bool:
    first, second = items(expected), items(got)
    if first is None or second is None or _sign(expected) != _sign(got):
        return False
    return _pairs(first) == _pairs(second)


def _fields(argv: list[bytes], expected: Any, got: Any) -> bool:
    bare = b"NOVALUES" in map(bytes.upper, argv)
    return (_unordered if bare else _unordered_pairs)(argv, expected, got)


def _pairs(flat: list[Any]) -> list[Any]:
    return sorted(zip(flat[::2], flat[1::2], strict=False), key=repr)


def unordered_maps(argv: list[bytes], reply: Any) -> Any:
    """A reply with its maps and sets sorted: a Lua table has no order.

    To a client of RESP2 a script's map is a flat array. XINFO's are told by the names in them;
    other commands with maps have rules of their own.
    """
    elements = items(reply)
    if elements is None:
        return reply
    settled = [unordered_maps(argv, each) for each in elements]
    if type(reply) is list:
        named = all(type(each) is bytes for each in settled[::2])
        flat = name(argv).startswith(b"XINFO ") and len(settled) % 2 == 0 and named
        return _in_order(settled) if flat else settled
    return reply[0], sorted(settled, key=repr) if reply[0] == "~" else _in_order(settled)


def _in_order(flat: list[Any]) -> list[Any]:
    return [each for pair in _pairs(flat) for each in pair]


def _shape(argv: list[bytes], expected: Any, got: Any) -> bool:
    """Same types, same number of elements, all the way down."""
    first, second = items(expected), items(got)
    if first is None or second is None:
        if first is not second or _sign(expected) != _sign(got):
            return False
        return not (type(expected) is tuple and expected[0] == "-")
    return (
        _sign(expected) == _sign(got)
        and len(first) == len(second)
        and all(_shape(argv, one, other) for one, other in zip(first, second, strict=True))
    )


def _random(argv: list[bytes], expected: Any, got: Any) -> bool:
    """As many of them; all different if the count is positive; all of them, if that many."""
    if not _shape(argv, expected, got):
        return False
    elements = items(got)
    if elements is None or len(argv) < 3 or argv[2][:1] == b"-":
        return True
    members = [repr(element) for element in elements]
    if len(argv) > 3:  # WITHVALUES, WITHSCORES: flat in RESP2
        members = members[::2] if not items(elements[0] if elements else None) else members
    return len(set(members)) == len(members)


def _near_deep(argv: list[bytes], expected: Any, got: Any) -> bool:
    """The same but for times: large numbers and what stands behind a name in ``_AGES``."""
    first, second = items(expected), items(got)
    if first is None or second is None:
        if type(expected) is int and type(got) is int:
            late = min(expected, got) > _LARGE and abs(expected - got) < SLACK_MS
            return late or expected == got
        return bool(expected == got)
    if _sign(expected) != _sign(got) or len(first) != len(second):
        return False
    before = None
    for one, other in zip(first, second, strict=True):
        aged = before in _AGES and type(one) is int and type(other) is int
        if not (abs(one - other) < SLACK_MS if aged else _near_deep(argv, one, other)):
            return False
        before = one if type(one) is bytes else None
    return True


def _pending(argv: list[bytes], expected: Any, got: Any) -> bool:
    """XPENDING with a range: id, consumer, idle time, deliveries."""
    if type(expected) is not list or type(got) is not list or len(expected) != len(got):
        return False
    for one, other in zip(expected, got, strict=True):
        if not (type(one) is list and type(other) is list and len(one) == len(other) == 4):
            return False
        if one[:2] + one[3:] != other[:2] + other[3:] or abs(one[2] - other[2]) > SLACK_MS:
            return False
    return True


_LARGE: Final = 10**9
_AGES: Final = (b"idle", b"inactive", b"seen-time", b"active-time")


def _sort(argv: list[bytes], expected: Any, got: Any) -> bool:
    """Equal weights that are texts leave the order open."""
    words = [arg.upper() for arg in argv]
    if b"BY" not in words or b"ALPHA" not in words:
        return False
    rule = _shape if b"LIMIT" in words or b"GET" in words else _unordered
    return rule(argv, expected, got)


def _scan(same_elements: Same) -> Same:
    def rule(argv: list[bytes], expected: Any, got: Any) -> bool:
        if not (type(expected) is list and type(got) is list and len(expected) == len(got) == 2):
            return False
        at = 2 if name(argv) != b"SCAN" else 1
        if argv[at] == expected[0] == got[0] == b"0":
            return same_elements(argv, expected[1], got[1])
        return type(got[0]) is bytes and type(got[1]) is list

    return rule


def _near(slack: int) -> Same:
    def rule(argv: list[bytes], expected: Any, got: Any) -> bool:
        if type(expected) is not int or type(got) is not int:
            return False
        return abs(expected - got) <= slack and expected >= 0 and got >= 0

    return rule


def _type_only(argv: list[bytes], expected: Any, got: Any) -> bool:
    return _sign(expected) == _sign(got) and not (type(got) is tuple and got[0] == "-")


def _unordered_deep(argv: list[bytes], expected: Any, got: Any) -> bool:
    """The same elements in any order, all the way down."""
    return repr(_sorted(expected)) == repr(_sorted(got))


def _sorted(reply: Any) -> Any:
    elements = items(reply)
    if elements is None:
        return reply
    found = sorted(map(_sorted, elements), key=repr)
    return found if type(reply) is list else (reply[0], found)


def _dump(argv: list[bytes], expected: Any, got: Any) -> bool:
    """The same type and value; compressed or not, and elements of hash tables in any order."""
    if type(expected) is not bytes or type(got) is not bytes:
        return False
    kinds = {expected[0], got[0]}
    if len(kinds) > 1 and not (kinds <= _SETS or kinds <= _STREAMS):
        return False
    values = [_restored(payload) for payload in (expected, got)]
    return bool(values[0] == values[1])


_SETS: Final = {2, 20}
"""As a hash table, and as the listpack that 7.2 has."""

_STREAMS: Final = {19, 21}
"""As 7.0 writes them, and with the consumers' activity that 7.2 adds."""


def _restored(payload: bytes) -> Any:
    """What a payload of DUMP holds, comparable."""
    value = restore(payload, Config())
    if isinstance(value, Set):
        return sorted(map(bytes, value.listing()))
    if isinstance(value, Hash):
        return sorted((bytes(name), bytes(text)) for name, text in value.fields.items())
    if isinstance(value, Stream):  # with the times of deliveries
        return len(dump(value, 10, False))
    return dump(value, 10, False)


def _greeting(argv: list[bytes], expected: Any, got: Any) -> bool:
    """HELLO: each server has its own name, version, ids and modules."""
    first, second = items(expected), items(got)
    if not first or not second or is_error(got) or _sign(expected) != _sign(got):
        return False
    return first[::2] == second[::2] and all(
        each in _OWN or one == other
        for each, one, other in zip(first[::2], first[1::2], second[1::2], strict=True)
    )


_OWN: Final = (b"server", b"version", b"id", b"modules")
_LOG_OWN: Final = (b"age-seconds", b"client-info")
_LOG_NEWER: Final = (b"entry-id", b"timestamp-created", b"timestamp-last-updated")


def _log(argv: list[bytes], expected: Any, got: Any) -> bool:
    """Entries of the same kind, spelling apart.

    The times, and the line about the client, are each server's own.
    """
    if type(expected) is not list or type(got) is not list:
        return False
    return [_entry(each) for each in expected] == [_entry(each) for each in got]


def _entry(entry: Any) -> list[Any]:
    flat = items(entry) or []
    pairs = zip(flat[::2], flat[1::2], strict=True)
    kept = [pair for pair in pairs if pair[0] not in (*_LOG_OWN, *_LOG_NEWER)]
    return [(name, text.upper() if name == b"object" else text) for name, text in kept]


_SECONDS: Final = (SLACK_MS + 999) // 1000
_RULES: Final[dict[bytes, Same]] = {
    **dict.fromkeys(b"SMEMBERS SUNION SINTER SDIFF HKEYS HVALS KEYS".split(), _unordered),
    b"HGETALL": _unordered_pairs,
    **dict.fromkeys(b"SPOP SRANDMEMBER HRANDFIELD ZRANDMEMBER RANDOMKEY".split(), _random),
    b"XPENDING": _pending,
    b"XINFO STREAM": _near_deep,
    b"XINFO CONSUMERS": _near_deep,
    b"SORT": _sort,
    b"SORT_RO": _sort,
    b"SCAN": _scan(_unordered),
    b"SSCAN": _scan(_unordered),
    b"HSCAN": _scan(_fields),
    b"ZSCAN": _scan(_unordered_pairs),
    **dict.fromkeys([b"TTL", b"EXPIRETIME"], _near(_SECONDS)),
    **dict.fromkeys([b"PTTL", b"PEXPIRETIME"], _near(SLACK_MS)),
    **dict.fromkeys([b"PUBSUB CHANNELS", b"PUBSUB SHARDCHANNELS"], _unordered),
    **dict.fromkeys([b"CLIENT ID", b"CLIENT INFO", b"TIME", b"INFO"], _type_only),
    # Numbers share their objects, so some are idle for long; a queued request refers to its words.
    # After a change of policy the counter of uses is what the idle clock has left there.
    **dict.fromkeys([b"OBJECT IDLETIME", b"OBJECT REFCOUNT", b"OBJECT FREQ"], _type_only),
    **dict.fromkeys(
        [b"MEMORY USAGE", b"LOLWUT", b"FUNCTION DUMP", b"FUNCTION STATS", b"ACL GENPASS"],
        _type_only,
    ),
    b"CLIENT LIST": _type_only,
    b"DUMP": _dump,
    b"CONFIG GET": _unordered_pairs,
    b"FUNCTION LIST": _unordered_deep,
    b"ACL CAT": _unordered,
    b"ACL LOG": _log,
    b"HELLO": _greeting,
    b"COMMAND COUNT": _type_only,
}
