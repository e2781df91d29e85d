"""What Redis leaves undefined, and what is compared instead. The one place that says so.

    order        members of sets and hashes, key names: compared sorted
    chance       random members and keys: compared by number, type, and being distinct
    cursors      SCAN: the elements of a complete scan sorted; of a partial one, the shape
    time         what depends on when a command ran: compared within ``SLACK_MS``
    identity     ids, addresses, times, memory: only the type is compared

Where the order follows from the encoding (a listpack keeps insertion order, an intset is
sorted), ``exact`` says so, and the dataset at the end of a sequence is compared exactly.
Commands that leave chance in the data are in ``SCATTERING``: the generator deletes the key
right behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from compat.replies import items

SLACK_MS: Final = 2500
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


def exact(encoding: bytes) -> bool:
    """Whether elements of a value encoded so have a defined order."""
    return encoding in (b"listpack", b"ziplist", b"intset")


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


def _pairs(flat: list[Any]) -> list[Any]:
    return sorted(zip(flat[::2], flat[1::2], strict=False), key=repr)


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


_SECONDS: Final = (SLACK_MS + 999) // 1000
_RULES: Final[dict[bytes, Same]] = {
    **dict.fromkeys(b"SMEMBERS SUNION SINTER SDIFF HKEYS HVALS KEYS".split(), _unordered),
    b"HGETALL": _unordered_pairs,
    **dict.fromkeys(b"SPOP SRANDMEMBER HRANDFIELD ZRANDMEMBER RANDOMKEY".split(), _random),
    b"SCAN": _scan(_unordered),
    b"SSCAN": _scan(_unordered),
    b"HSCAN": _scan(_unordered_pairs),
    b"ZSCAN": _scan(_unordered_pairs),
    **dict.fromkeys([b"TTL", b"EXPIRETIME", b"OBJECT IDLETIME"], _near(_SECONDS)),
    **dict.fromkeys([b"PTTL", b"PEXPIRETIME"], _near(SLACK_MS)),
    **dict.fromkeys([b"PUBSUB CHANNELS", b"PUBSUB SHARDCHANNELS"], _unordered),
    **dict.fromkeys([b"CLIENT ID", b"CLIENT LIST", b"CLIENT INFO", b"TIME", b"INFO"], _type_only),
    **dict.fromkeys([b"MEMORY USAGE", b"LOLWUT"], _type_only),
    b"HELLO": _shape,
    b"COMMAND COUNT": _type_only,
}
