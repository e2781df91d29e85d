"""Which arguments of a request are keys.

The one answer for COMMAND GETKEYS, ACL rules, client tracking and cluster redirects. Every
command says in its *key specs* where keys stand: where to begin (a position, or behind a
keyword) and how to go on (a range with a step, or a count read from the request). Each spec
carries flags that tell what happens to its keys.

Some specs say of themselves that they do not suffice: ``unknown`` places (the STORE of SORT
can stand anywhere), ``incomplete`` ranges (MIGRATE KEYS), ``variable_flags`` (SET reads only
if it says GET). Those few commands have a *finder* here, a function of the request. So does,
in effect, every command whose count of keys is 0 or too large: it has no keys then, and
whether that is an error its flag ``no_mandatory_keys`` tells.

``legacy_range`` is the triple (first, last, step) that clients used before there were key
specs, and ``movable`` says when it does not tell all.

Source: redis.io, "Command key specifications". All is linear in the number of arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pyredis.commands.registry import KeySpec, Spec

_NUMBER: Final = re.compile(rb"[ \t-\r]*[+-]?\d{1,18}")
NOT_KEY: Final = "not_key"
_UNKNOWN: Final = "unknown"


class KeyArg(NamedTuple):
    """A key of a request: its place in the arguments (0 is the name) and what is done to it."""

    at: int
    flags: tuple[str, ...]


class _Insufficient(Exception):
    """The specs cannot tell the keys of this request."""


def has_keys(spec: Spec) -> bool:
    """Whether requests of this command can have keys at all."""
    return any(NOT_KEY not in key.flags for key in spec.keys)


def find_keys(spec: Spec, argv: Sequence[bytes]) -> list[KeyArg]:
    """The keys of a request, in the order of the specs.

    Empty if there are none, which includes requests too short or too odd to tell. Channels of
    sharded pub/sub, which stand in specs so that a cluster can route them, are no keys.
    """
    finder = FINDERS.get(spec.name)
    if finder is not None and any("variable_flags" in key.flags for key in spec.keys):
        return finder(argv)
    try:
        return _by_specs(spec, argv)
    except _Insufficient:
        return finder(argv) if finder is not None else []


def _by_specs(spec: Spec, argv: Sequence[bytes]) -> list[KeyArg]:
    found: list[KeyArg] = []
    for key in spec.keys:
        if NOT_KEY in key.flags:
            continue
        if _UNKNOWN in (key.begin[0], key.find[0]):
            raise _Insufficient
        begin = _begin(key, argv)
        if begin is not None:
            if "incomplete" in key.flags:
                raise _Insufficient
            found += [KeyArg(at, key.flags) for at in _places(key, begin, argv)]
    return found


def _begin(key: KeySpec, argv: Sequence[bytes]) -> int | None:
    """Where the keys of a spec begin; None if the keyword is missing."""
    if key.begin[0] == "index":
        begin: int = key.begin[1]
        return begin
    _, keyword, start = key.begin
    word = keyword.encode()
    # A keyword that ends the request has nothing behind it and does not count.
    places = range(start, len(argv) - 1) if start > 0 else range(len(argv) + start, 1, -1)
    for at in places:
        if 0 < at < len(argv) and argv[at].upper() == word:
            return at + 1
    return None


def _places(key: KeySpec, begin: int, argv: Sequence[bytes]) -> range:
    """Where the keys of a spec stand. Raises _Insufficient where that is outside the request."""
    if key.find[0] == "range":
        _, last, step, limit = key.find
        if last >= 0:
            end = begin + last
        elif limit > 1:
            end = begin + (len(argv) - begin) // limit + last
        else:
            end = len(argv) + last
    else:
        _, numkeys_at, first_at, step = key.find
        count = _count(argv, begin + numkeys_at)
        begin += first_at
        end = begin + (count - 1) * step
    if not 0 < begin <= end < len(argv):
        raise _Insufficient
    return range(begin, end + 1, step)


def _count(argv: Sequence[bytes], at: int) -> int:
    """The number there, read as far as it is one: "2.5" names two keys, as in Redis."""
    found = _NUMBER.match(argv[at]) if at < len(argv) else None
    if found is None:
        raise _Insufficient
    return int(found[0])


# Finders

_READ: Final = ("RO", "access")
_STORE: Final = ("OW", "update")
_TAKE: Final = ("RW", "access", "delete")
_CHANGE: Final = ("RW", "access", "update")


def _words(argv: Sequence[bytes], start: int) -> list[bytes]:
    return [arg.upper() for arg in argv[start:]]


def _set_keys(argv: Sequence[bytes]) -> list[KeyArg]:
    return [KeyArg(1, _CHANGE if b"GET" in _words(argv, 3) else _STORE)]


def _bitfield_keys(argv: Sequence[bytes]) -> list[KeyArg]:
    at, words = 0, _words(argv, 2)
    while at < len(words):
        if words[at] == b"GET" and at + 2 < len(words):
            at += 3
        elif words[at] == b"OVERFLOW" and at + 1 < len(words):
            at += 2
        else:
            return [KeyArg(1, _CHANGE)]
    return [KeyArg(1, _READ)]


_SORT_VALUES: Final = {b"BY": 1, b"GET": 1, b"LIMIT": 2}


def _sort_keys(argv: Sequence[bytes]) -> list[KeyArg]:
    found = [KeyArg(1, _READ)]
    at = 2
    while at < len(argv):
        word = argv[at].upper()
        if word == b"STORE" and at + 1 < len(argv):
            found[1:] = [KeyArg(at + 1, _STORE)]  # the last one counts
        at += 1 + _SORT_VALUES.get(word, 0)
    return found


def _sort_ro_keys(argv: Sequence[bytes]) -> list[KeyArg]:
    return [KeyArg(1, _READ)]


_MIGRATE_VALUES: Final = {b"AUTH": 1, b"AUTH2": 2}


def _migrate_keys(argv: Sequence[bytes]) -> list[KeyArg]:
    at = 6
    while at < len(argv):
        word = argv[at].upper()
        if word == b"KEYS":
            # They stand in place of the first key, which must then be empty.
            places = range(at + 1, len(argv)) if not argv[3] else ()
            return [KeyArg(place, _TAKE) for place in places]
        at += 1 + _MIGRATE_VALUES.get(word, 0)
    return [KeyArg(3, _TAKE)]


FINDERS: Final[Mapping[str, Callable[[Sequence[bytes]], list[KeyArg]]]] = {
    "SET": _set_keys,
    "BITFIELD": _bitfield_keys,
    "SORT": _sort_keys,
    "SORT_RO": _sort_ro_keys,
    "MIGRATE": _migrate_keys,
}


# The older description


def legacy_range(spec: Spec) -> tuple[int, int, int]:
    """First, last and step of the keys that stand at fixed places; zeros if there are none."""
    return _legacy(spec)[0]


def movable(spec: Spec) -> bool:
    """Whether there are keys outside of ``legacy_range`` (COMMAND's flag ``movablekeys``)."""
    return _legacy(spec)[1]


def _legacy(spec: Spec) -> tuple[tuple[int, int, int], bool]:
    """Ranges that follow each other without a gap count as one; others are movable."""
    fixed = [key for key in spec.keys if key.begin[0] == "index" and key.find[0] == "range"]
    moved = any("incomplete" in key.flags for key in fixed) or len(fixed) < len(spec.keys)
    if len(spec.keys) == 1 and fixed:
        begin, (_, last, step, _limit) = fixed[0].begin[1], fixed[0].find
        return (begin, last if last < 0 else begin + last, step), moved
    first = end = 0
    for key in fixed:
        begin, (_, last, step, _limit) = key.begin[1], key.find
        if step != 1 or (first and begin != end + 1):
            moved = True
            continue
        first = first or begin
        end = last if last < 0 else begin + last
    return ((first, end, 1) if first else (0, 0, 0)), moved
