"""ACL rules: what they mean, how they are printed, and how a request is judged by them.

*Rules* are words that take effect from left to right: ``+get``, ``-@dangerous``,
``~cache:*``, ``%R~log:*``, ``&news.*`` ... A *selector* is the sum of some rules: it allows
some commands on some keys and channels. Every rule leaves a state from which rules can be
printed that lead to the same state. For keys and channels these are the patterns in order.
For commands they are the rules themselves, since ``-@set +sadd`` differs from ``+sadd -@set``;
a rule for a command takes the place of earlier ones for it and for its subcommands, ``+@all``
and ``-@all`` the place of all.

A selector keeps the *set* of the names it allows, so that asking is one look-up. Sets are made
from the command table; as that does not change, ``+@all`` needs no mark of its own but for
printing.

Who may use a key depends on what is done to it: read (a command's key spec says *access*),
write (*insert*, *update* or *delete*), or neither, as in EXISTS, for which any pattern
serves. A pattern as argument (PSUBSCRIBE) is not matched: the very same must be in the list.

Source: redis.io, "ACL" and "ACL SETUSER". Judging is linear in patterns times keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from pyredis.glob import compile_glob
from pyredis.keyspecs import KeyArg, find_keys
from pyredis.quoting import quote

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry, Table

CATEGORIES: Final = (
    *("keyspace", "read", "write"),
    *("set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream"),
    *("pubsub", "admin", "fast", "slow", "blocking", "dangerous"),
    *("connection", "transaction", "scripting"),
)
"""All categories, in the order ACL CAT names them."""

READ: Final = 1
WRITE: Final = 2
_BOTH: Final = READ | WRITE
_NEEDS: Final = {"access": READ, "insert": WRITE, "update": WRITE, "delete": WRITE}
_PREFIXES: Final = {READ: b"%R~", WRITE: b"%W~", _BOTH: b"~"}

# Where channels stand: from the first argument to the last or only there; are they patterns?
_CHANNELS: Final = {
    "SUBSCRIBE": (True, False),
    "SSUBSCRIBE": (True, False),
    "PSUBSCRIBE": (True, True),
    "PUBLISH": (False, False),
    "SPUBLISH": (False, False),
}
_SPACE: Final = re.compile(rb"[\0 \t-\r]")

UNKNOWN_COMMAND: Final = "Unknown command or category name in ACL"
SYNTAX: Final = "Syntax error"
_FIRST_ARG_OF_SUBCOMMAND: Final = "Allowing first-arg of a subcommand is not supported"
_AFTER_ALL: Final = (
    "Adding a pattern after the * pattern (or the '{0}' flag) is not valid and does not have "
    "any effect. Try '{1}' to start with an empty list of {2}"
)
_AFTER_ALL_KEYS: Final = _AFTER_ALL.format("allkeys", "resetkeys", "patterns")
_AFTER_ALL_CHANNELS: Final = _AFTER_ALL.format("allchannels", "resetchannels", "channels")


class RuleError(ValueError):
    """A rule makes no sense; the message is the reason that Redis gives."""


class Denial(NamedTuple):
    """Why a request is refused, and which of its arguments (0 is the name) is the reason."""

    reason: str  # "command", "key" or "channel"; in this order the later one tells more
    at: int


def has_space(text: bytes) -> bool:
    """Whether a name or pattern holds what separates words: blanks, or a NUL byte."""
    return _SPACE.search(text) is not None


def quoted_word(word: bytes) -> bytes:
    """The word between quotes if a line that is split by the rules of quoting needs them."""
    return quote(word) if not word or b'"' in word or b"'" in word else word


class Vocabulary:
    """The commands that rules can name, derived from a command table."""

    def __init__(self, table: Table) -> None:
        self.by_name: dict[bytes, Entry] = {e.name.encode(): e for e in table.all()}
        self.all = frozenset(entry.spec.name for entry in table.all())
        self.categories: dict[bytes, frozenset[str]] = {
            category.encode(): self._covered(table, category) for category in CATEGORIES
        }

    @staticmethod
    def _covered(table: Table, category: str) -> frozenset[str]:
        """What a rule for a category changes: its commands, with all subcommands of each."""
        return frozenset(
            name
            for entry in table.all()
            if category in entry.spec.categories
            for name in family(entry)
        )

    @classmethod
    def of(cls, table: Table) -> Vocabulary:
        """The vocabulary of a table, made once."""
        memo = table.memo
        if "acl" not in memo:
            memo["acl"] = cls(table)
        found = memo["acl"]
        assert isinstance(found, cls)
        return found


def family(entry: Entry) -> list[str]:
    """A command's name and those of its subcommands."""
    return [entry.spec.name, *(child.spec.name for child in entry.children.values())]


class KeyPattern(NamedTuple):
    """Keys that may be read, written, or both."""

    permission: int
    matches: Callable[[bytes], bool]


class KeyNeed(NamedTuple):
    """A key of a request and what the request does to it."""

    at: int
    permission: int


def key_needs(entry: Entry, argv: Sequence[bytes]) -> list[KeyNeed]:
    """The keys of a request, in order."""
    return [KeyNeed(key.at, _permission(key)) for key in find_keys(entry.spec, argv)]


def _permission(key: KeyArg) -> int:
    need = 0
    for flag in key.flags:
        need |= _NEEDS.get(flag, 0)
    return need


class Selector:
    """Commands, keys and channels that go together. Allows nothing at first."""

    __slots__ = (
        "_vocabulary",
        "all_channels",
        "all_keys",
        "channels",
        "commands",
        "first_args",
        "future",
        "keys",
        "rules",
    )

    def __init__(self, vocabulary: Vocabulary, all_channels: bool = False) -> None:
        self._vocabulary = vocabulary
        self.commands: set[str] = set()
        self.first_args: dict[str, list[bytes]] = {}  # allowed for commands that are not
        self.future = False  # the base of the command rules: +@all
        self.rules: list[bytes] = []  # what came after the base
        self.all_keys = False
        self.keys: dict[bytes, KeyPattern] = {}
        self.all_channels = all_channels
        self.channels: dict[bytes, Callable[[bytes], bool]] = {}

    def copy(self) -> Selector:
        """The same rights, to be changed independently."""
        twin = Selector(self._vocabulary, self.all_channels)
        twin.commands = set(self.commands)
        twin.first_args = {name: list(args) for name, args in self.first_args.items()}
        twin.future = self.future
        twin.rules = list(self.rules)
        twin.all_keys = self.all_keys
        twin.keys = dict(self.keys)
        twin.channels = dict(self.channels)
        return twin

    # Rules

    def apply(self, rule: bytes) -> None:
        """Change the rights by one rule. Raises RuleError, then nothing has changed."""
        word = rule.lower()
        if word in (b"allkeys", b"~*", b"resetkeys"):
            self.all_keys = word != b"resetkeys"
            self.keys.clear()
        elif word in (b"allchannels", b"&*", b"resetchannels"):
            self.all_channels = word != b"resetchannels"
            self.channels.clear()
        elif word in (b"allcommands", b"+@all", b"nocommands", b"-@all"):
            self.future = word in (b"allcommands", b"+@all")
            self.commands = set(self._vocabulary.all) if self.future else set()
            self.rules.clear()
            self.first_args.clear()
        elif rule[:1] in (b"~", b"%"):
            self._add_keys(rule)
        elif rule[:1] == b"&":
            self._add_channels(rule[1:])
        elif rule[:1] in (b"+", b"-"):
            self._change_commands(rule[:1] == b"+", word[1:])
        else:
            raise RuleError(SYNTAX)

    def _add_keys(self, rule: bytes) -> None:
        if self.all_keys:
            raise RuleError(_AFTER_ALL_KEYS)
        permission, pattern = _BOTH, rule[1:]
        if rule[:1] == b"%":
            letters, _, pattern = pattern.partition(b"~")
            letters = letters.upper()
            if letters not in (b"R", b"W", b"RW", b"WR"):
                raise RuleError(SYNTAX)
            permission = READ * (b"R" in letters) | WRITE * (b"W" in letters)
        if has_space(pattern):
            raise RuleError(SYNTAX)
        known = self.keys.get(pattern)
        if known is None:
            self.keys[pattern] = KeyPattern(permission, compile_glob(pattern))
        else:
            self.keys[pattern] = known._replace(permission=known.permission | permission)

    def _add_channels(self, pattern: bytes) -> None:
        if self.all_channels:
            raise RuleError(_AFTER_ALL_CHANNELS)
        if has_space(pattern):
            raise RuleError(SYNTAX)
        self.channels.setdefault(pattern, compile_glob(pattern))

    def _change_commands(self, allow: bool, name: bytes) -> None:
        if name[:1] == b"@":
            names = self._vocabulary.categories.get(name[1:])
            if names is None:
                raise RuleError(UNKNOWN_COMMAND)
            self._set(allow, names)
        elif name in self._vocabulary.by_name:
            self._set(allow, family(self._vocabulary.by_name[name]))
        elif allow and b"|" in name:
            self._allow_first_arg(name)
        else:
            raise RuleError(UNKNOWN_COMMAND)
        self._note(b"+" if allow else b"-", name)

    def _set(self, allow: bool, names: Iterable[str]) -> None:
        if allow:
            self.commands.update(names)
        else:
            self.commands.difference_update(names)
        for name in names:
            self.first_args.pop(name, None)

    def _allow_first_arg(self, rule: bytes) -> None:
        """``+select|0``: an otherwise forbidden command with this very first argument."""
        name, _, argument = rule.rpartition(b"|")
        entry = self._vocabulary.by_name.get(name)
        if entry is None:
            raise RuleError(UNKNOWN_COMMAND)
        if " " in entry.spec.name:
            raise RuleError(_FIRST_ARG_OF_SUBCOMMAND)
        if not argument:
            raise RuleError(SYNTAX)
        if entry.children:
            raise RuleError(UNKNOWN_COMMAND)
        allowed = self.first_args.setdefault(entry.spec.name, [])
        if argument not in allowed:
            allowed.append(argument)

    def _note(self, sign: bytes, name: bytes) -> None:
        """Keep the rule for printing, instead of those that it overrides entirely."""
        self.rules = [
            rule for rule in self.rules if rule[1:] != name and not rule[1:].startswith(name + b"|")
        ]
        self.rules.append(sign + name)

    # Printing

    def describe_commands(self) -> bytes:
        """The rules for commands."""
        return b" ".join([b"+@all" if self.future else b"-@all", *self.rules])

    def describe_keys(self) -> bytes:
        """The rules for keys, none if no key is allowed."""
        if self.all_keys:
            return b"~*"
        return b" ".join(
            _PREFIXES[keys.permission] + pattern for pattern, keys in self.keys.items()
        )

    def describe_channels(self) -> bytes:
        """The rules for channels, none if no channel is allowed."""
        if self.all_channels:
            return b"&*"
        return b" ".join(b"&" + pattern for pattern in self.channels)

    def describe(self) -> bytes:
        """Rules that make an empty selector into this one."""
        reset = b"" if self.all_channels else b"resetchannels"
        parts = (self.describe_keys(), reset, self.describe_channels(), self.describe_commands())
        return b" ".join(filter(None, parts))

    # Judging

    @property
    def unrestricted(self) -> bool:
        """Whether it allows every request."""
        return (
            self.all_keys and self.all_channels and len(self.commands) == len(self._vocabulary.all)
        )

    def denies(
        self, entry: Entry, argv: Sequence[bytes], needs: Sequence[KeyNeed]
    ) -> Denial | None:
        """What of a request is not allowed, None if all of it is. ``needs`` are its keys."""
        name = entry.spec.name
        if name not in self.commands and "no_auth" not in entry.spec.flags:
            allowed = self.first_args.get(name, ())
            if len(argv) < 2 or argv[1].lower() not in allowed:
                return Denial("command", 0)
        if not self.all_keys:
            for at, permission in needs:
                if not self._allows_key(argv[at], permission):
                    return Denial("key", at)
        if not self.all_channels and name in _CHANNELS:
            several, are_patterns = _CHANNELS[name]
            for at in range(1, len(argv) if several else 2):
                if not self.allows_channel(argv[at], are_patterns):
                    return Denial("channel", at)
        return None

    def _allows_key(self, key: bytes, permission: int) -> bool:
        return any(
            keys.permission & permission == permission and keys.matches(key)
            for keys in self.keys.values()
        )

    def allows_channel(self, channel: bytes, is_pattern: bool) -> bool:
        """Whether a channel may be used. A pattern must be in the list as it is."""
        if self.all_channels:
            return True
        if is_pattern:
            return channel in self.channels
        return any(matches(channel) for matches in self.channels.values())

    def allows_all_keys(self, permission: int) -> bool:
        """Whether whatever key may be used so, also one that is not in the request."""
        if self.all_keys:
            return True
        star = self.keys.get(b"*")
        return star is not None and star.permission & permission == permission
