"""One user: credentials, and the selectors that hold the rights.

A user has any number of passwords, of which only hashes are kept, or the mark *nopass*: then
every password is right. The first selector, the root, is what rules outside of parentheses
change; each rule in parentheses adds another one. A request is allowed if one selector allows
all of it: rights of several selectors never add up.

Inside of parentheses quotes have a meaning. Departure from Redis: a pattern with a quote in
it is therefore printed quoted there, so that what is printed can be read back.

Source: redis.io, "ACL" and "ACL SETUSER".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pyredis.acl_rules import (
    READ,
    Denial,
    KeyNeed,
    RuleError,
    Selector,
    Vocabulary,
    key_needs,
    quoted_word,
)
from pyredis.quoting import split_args

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry

_HASH: Final = re.compile(rb"[0-9a-f]{64}\Z")
_BAD_HASH: Final = (
    "The password hash must be exactly 64 characters and contain only lowercase hexadecimal "
    "characters"
)
_NO_SUCH_PASSWORD: Final = "The password you are trying to remove from the user does not exist"
_WEIGHTS: Final = {"command": 1, "key": 2, "channel": 3}


class UnmatchedParenthesis(RuleError):
    """A selector begins and does not end; the message is that of ACL SETUSER."""


def hash_password(password: bytes) -> bytes:
    """What is kept of a password: its SHA-256 in hexadecimal."""
    return hashlib.sha256(password).hexdigest().encode()


class User:
    """A user: credentials and selectors. At first disabled, without password and rights."""

    __slots__ = (
        "_all_channels",
        "_vocabulary",
        "enabled",
        "name",
        "nopass",
        "passwords",
        "sanitize_payload",
        "selectors",
        "unrestricted",
    )

    def __init__(self, name: bytes, vocabulary: Vocabulary, all_channels: bool = False) -> None:
        """``all_channels``: what selectors allow before any rule (acl-pubsub-default)."""
        self.name = name
        self._vocabulary = vocabulary
        self._all_channels = all_channels
        self.enabled = False
        self.nopass = False  # any password will do
        self.passwords: dict[bytes, None] = {}  # their hashes
        self.sanitize_payload = True  # RESTORE has to look closely
        self.selectors = [Selector(vocabulary, all_channels)]
        self.unrestricted = False  # nothing has to be checked for this user

    def copy(self, all_channels: bool) -> User:
        """The same user, to be changed independently."""
        twin = User(self.name, self._vocabulary, all_channels)
        twin.enabled, twin.nopass = self.enabled, self.nopass
        twin.passwords = dict(self.passwords)
        twin.sanitize_payload = self.sanitize_payload
        twin.selectors = [selector.copy() for selector in self.selectors]
        twin.unrestricted = self.unrestricted
        return twin

    # Rules

    def apply(self, rule: bytes) -> None:
        """Change the user by one rule. Raises RuleError, then nothing has changed."""
        if not rule:
            return
        word = rule.lower()
        if word in (b"on", b"off"):
            self.enabled = word == b"on"
        elif word in (b"nopass", b"resetpass"):
            self.nopass = word == b"nopass"
            self.passwords.clear()
        elif word in (b"sanitize-payload", b"skip-sanitize-payload"):
            self.sanitize_payload = word == b"sanitize-payload"
        elif rule[:1] in (b">", b"#", b"<", b"!"):
            self._change_password(rule[:1], rule[1:])
        elif rule[:1] == b"(" and rule[-1:] == b")":
            self.selectors.append(self._new_selector(rule[1:-1]))
        elif word == b"clearselectors":
            del self.selectors[1:]
        elif word == b"reset":
            fresh = User(self.name, self._vocabulary, self._all_channels)
            self.enabled, self.nopass = fresh.enabled, fresh.nopass
            self.passwords = fresh.passwords
            self.sanitize_payload = fresh.sanitize_payload
            self.selectors = fresh.selectors
        else:
            self.selectors[0].apply(rule)
        self.unrestricted = any(selector.unrestricted for selector in self.selectors)

    def _change_password(self, sign: bytes, text: bytes) -> None:
        if sign in b"#!" and not _HASH.match(text):
            raise RuleError(_BAD_HASH)
        hashed = text if sign in b"#!" else hash_password(text)
        if sign in b">#":
            self.passwords[hashed] = None
            self.nopass = False
        elif hashed in self.passwords:
            del self.passwords[hashed]
        else:
            raise RuleError(_NO_SUCH_PASSWORD)

    def _new_selector(self, text: bytes) -> Selector:
        selector = Selector(self._vocabulary, self._all_channels)
        try:
            rules = split_args(text)
        except ValueError:
            rules = []  # as in Redis: quotes that do not match leave a selector of no use
        for rule in rules:
            selector.apply(rule)
        return selector

    # Printing

    def flags(self) -> list[bytes]:
        """The words for what is on or off."""
        flags = [b"on" if self.enabled else b"off"]
        if self.nopass:
            flags.append(b"nopass")
        flags.append(b"sanitize-payload" if self.sanitize_payload else b"skip-sanitize-payload")
        return flags

    def rules(self) -> list[bytes]:
        """Rules that make a new user into this one; each other selector is one of them."""
        root, *others = self.selectors
        return [
            *self.flags(),
            *(b"#" + hashed for hashed in self.passwords),
            *root.describe().split(b" "),
            *(
                b"(" + b" ".join(map(quoted_word, selector.describe().split(b" "))) + b")"
                for selector in others
            ),
        ]

    def describe(self) -> bytes:
        """The line that ACL LIST prints and ACL files hold."""
        return b" ".join([b"user", self.name, *self.rules()])

    # Judging

    def accepts(self, password: bytes) -> bool:
        """Whether somebody with this password is this user. Takes as long for any password."""
        if not self.enabled:
            return False
        hashed = hash_password(password)
        found = [hmac.compare_digest(hashed, own) for own in self.passwords]
        return self.nopass or any(found)

    def denies(self, entry: Entry, argv: Sequence[bytes]) -> Denial | None:
        """Why a well-formed request is not allowed, None if it is.

        Of the reasons that selectors have, the one that came furthest is told.
        """
        if self.unrestricted:
            return None
        needs: Sequence[KeyNeed] | None = None  # found only for who asks
        told = Denial("command", 0)
        for selector in self.selectors:
            if needs is None and not selector.all_keys:
                needs = key_needs(entry, argv)
            denial = selector.denies(entry, argv, needs or ())
            if denial is None:
                return None
            told = max(told, denial, key=lambda each: (_WEIGHTS[each.reason], each.at))
        return told

    def allows_with_all_keys(
        self, entry: Entry, argv: Sequence[bytes], permission: int = READ
    ) -> bool:
        """Whether a selector allows the request and, beyond it, the use of any key at all."""
        if self.unrestricted:
            return True
        needs = key_needs(entry, argv)
        return any(
            selector.denies(entry, argv, needs) is None and selector.allows_all_keys(permission)
            for selector in self.selectors
        )

    def channel_rights(self) -> frozenset[bytes] | None:
        """The patterns of channels that any selector allows, None if one allows all."""
        if any(selector.all_channels for selector in self.selectors):
            return None
        return frozenset(pattern for selector in self.selectors for pattern in selector.channels)

    def may_subscribe(self, channel: bytes, is_pattern: bool = False) -> bool:
        """Whether any selector allows a channel, or a pattern of channels."""
        return any(selector.allows_channel(channel, is_pattern) for selector in self.selectors)


def merge_selectors(rules: Sequence[bytes]) -> list[bytes]:
    """The rules with those between parentheses joined to one, which may turn out to be wrong.

    Raises UnmatchedParenthesis for one that nobody closes.
    """
    merged: list[bytes] = []
    opened: list[bytes] = []
    for rule in rules:
        if not (opened or rule[:1] == b"("):
            merged.append(rule)
            continue
        opened.append(rule)
        if rule[-1:] == b")":
            merged.append(b" ".join(opened))
            opened = []
    if opened:
        shown = opened[0].decode("utf-8", "surrogateescape")
        raise UnmatchedParenthesis(f"Unmatched parenthesis in acl selector starting at '{shown}'.")
    return merged
