"""The users of one server: who they are, and the texts they are kept in.

There is always a user named ``default``: connections begin as it, and ``requirepass`` is
another way to give it its password. Users are replaced, never changed in place: rules work
on a copy, which takes the place of the old user if all of them made sense. So a rejected
ACL SETUSER has no effect, and whoever compares old and new rights has both.

Two texts hold users: lines of the configuration file, quoted like every line there, and the
ACL file, whose words are separated by single spaces and quote nothing. One server uses only
one of them. Files are read whole before anything of them counts.

Source: redis.io, "ACL". All of this is pure; sessions are the business of `acl_guard`, the
disk that of whoever hands the texts over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pyredis.acl_rules import UNKNOWN_COMMAND, RuleError, Vocabulary, has_space, quoted_word
from pyredis.acl_user import UnmatchedParenthesis, User, merge_selectors
from pyredis.config_types import ConfigError, decode, encode

if TYPE_CHECKING:
    from pyredis.commands.registry import Table
    from pyredis.config import Config

DEFAULT: Final = b"default"
_UNCHANGED: Final = (
    "WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
)


class AclError(Exception):
    """Users cannot be made or loaded; the message tells why, as Redis puts it."""


class Acl:
    """The users of one server, by name. At first only ``default``, who may do all."""

    def __init__(self, table: Table, config: Config) -> None:
        self.vocabulary = Vocabulary.of(table)
        self._config = config
        self.users: dict[bytes, User] = {DEFAULT: self._default_user()}

    @property
    def default(self) -> User:
        """The user that connections begin as."""
        return self.users[DEFAULT]

    @property
    def open(self) -> bool:
        """Whether connections may begin without a password."""
        return self.default.nopass and self.default.enabled

    def names(self) -> list[bytes]:
        """All names, sorted."""
        return sorted(self.users)

    @property
    def _all_channels(self) -> bool:
        return self._config.acl_pubsub_default == "allchannels"

    def _new_user(self, name: bytes) -> User:
        return User(name, self.vocabulary, self._all_channels)

    def _default_user(self) -> User:
        user = self._new_user(DEFAULT)
        for rule in (b"+@all", b"~*", b"&*", b"on", b"nopass"):
            user.apply(rule)
        return user

    def authenticate(self, name: bytes, password: bytes) -> bool:
        """Whether this is the user's password, and the user enabled."""
        user = self.users.get(name)
        return user is not None and user.accepts(password)

    # Changes

    def changed_user(self, name: bytes, rules: Sequence[bytes]) -> User:
        """What the user, be it a new one, becomes by the rules. Raises AclError."""
        if has_space(name):
            raise AclError("Usernames can't contain spaces or null characters")
        known = self.users.get(name)
        user = self._new_user(name) if known is None else known.copy(self._all_channels)
        try:
            merged = merge_selectors(rules)
        except UnmatchedParenthesis as error:
            raise AclError(str(error)) from error
        for rule in merged:
            try:
                user.apply(rule)
            except RuleError as error:
                shown = decode(rule.partition(b"\0")[0])
                raise AclError(f"Error in ACL SETUSER modifier '{shown}': {error}") from error
        return user

    def default_with_password(self, password: bytes) -> User:
        """The user ``default`` with no password but this one; with none if it is empty."""
        user = self.default.copy(self._all_channels)
        user.apply(b"resetpass")
        user.apply(b">" + password if password else b"nopass")
        return user

    # Users in the configuration file

    def configured(self, lines: Sequence[Sequence[str]]) -> tuple[list[User], list[str]]:
        """The users that the lines define, and warnings. Raises AclError.

        Unlike elsewhere they begin without any rights, the user ``default`` too.
        """
        users: list[User] = []
        warnings: list[str] = []
        for words in lines:
            name, *rules = map(encode, words)
            if has_space(name):
                raise AclError("Spaces not allowed in ACL usernames")
            user = self._new_user(name)
            for rule in merge_selectors(rules):
                try:
                    user.apply(rule)
                except RuleError as error:
                    raise AclError(
                        f"Error loading ACL rule '{decode(rule)}' for the user named "
                        f"'{decode(name)}': {error}"
                    ) from error
            if not user.enabled:
                warnings.append(
                    f"The user '{decode(name)}' is disabled (there is no 'on' modifier in the "
                    "user description). Make sure this is not a configuration error."
                )
            users.append(user)
        return users, warnings

    def config_lines(self) -> list[str]:
        """The lines for CONFIG REWRITE."""
        return [
            decode(b" ".join(map(quoted_word, self.users[name].describe().split(b" "))))
            for name in self.names()
        ]

    # The ACL file

    def file_text(self) -> bytes:
        """The content of an ACL file with all users."""
        return b"".join(self.users[name].describe() + b"\n" for name in self.names())

    def parsed(self, path: str, text: bytes) -> dict[bytes, User]:
        """The users of an ACL file's content. Raises AclError with all that is wrong in it."""
        users: dict[bytes, User] = {}
        wrong: list[str] = []
        for number, line in enumerate(text.split(b"\n"), 1):
            line = line.strip(b" \t\r\n")
            if line:
                self._parse_line(f"{path}:{number}", number, line, users, wrong)
        if wrong:
            raise AclError(" ".join([*wrong, _UNCHANGED]))
        users.setdefault(DEFAULT, self._default_user())
        return users

    def _parse_line(
        self, place: str, number: int, line: bytes, users: dict[bytes, User], wrong: list[str]
    ) -> None:
        words = line.split(b" ")
        if words[0] != b"user" or len(words) < 2:
            wrong.append(f"{place} should start with user keyword followed by the username.")
            return
        name = words[1]
        if has_space(name):
            wrong.append(f"'{place}: username '{decode(name)}' contains invalid characters.")
            return
        if name in users:
            wrong.append(f"WARNING: Duplicate user '{decode(name)}' found on line {number}.")
            return
        user = users[name] = self._new_user(name)
        try:
            rules = merge_selectors(words[2:])
        except UnmatchedParenthesis:
            wrong.append(f"{place}: Unmatched parenthesis in selector definition.")
            return
        told = False
        for rule in (rule.strip(b"\t\r\n") for rule in rules):
            try:
                user.apply(rule)
            except RuleError as error:
                if str(error) == UNKNOWN_COMMAND:
                    wrong.append(f"{place}: Error in applying operation '{decode(rule)}': {error}.")
                elif not told:  # what follows may only follow from this
                    wrong.append(f"{place}: {error}.")
                    told = True


def check_config_user(table: Table, config: Config, words: Sequence[str]) -> None:
    """Raise ConfigError if the words of a ``user`` line are no rules.

    Commands are not looked at: whether they exist shows when the server starts.
    """
    user = User(b"", Vocabulary.of(table), config.acl_pubsub_default == "allchannels")
    rules = [encode(word) for word in words[1:]]
    try:
        for rule in merge_selectors(rules):
            _try_rule(user, rule)
    except UnmatchedParenthesis as error:
        raise ConfigError(f"Error in user declaration '{words[0]}': {error}") from error


def _try_rule(user: User, rule: bytes) -> None:
    try:
        user.apply(rule)
    except RuleError as error:
        if str(error) != UNKNOWN_COMMAND:
            raise ConfigError(f"Error in user declaration '{decode(rule)}': {error}") from error
