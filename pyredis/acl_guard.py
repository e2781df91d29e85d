"""Access control at work: which session is whom, and what it may do.

Judging is `acl_rules`; here are the places where somebody is judged, and what follows.

* Before a command runs or is queued (``gates.permitted``). A session whose user may do
  everything has no such gate: `Session.restricted` tells, and is found anew for all sessions
  whenever users change.
* When EXEC runs what was queued: the rights may have changed since.
* When a script calls a command: scripts have the rights of whoever runs them.
* When a blocked client's command runs again; that passes through the gates, too.

Whoever loses rights that are already in use loses the connection: clients of users that are
gone, and subscribers to channels that their user may no longer hear. Commands need no such
care, since each is judged when it comes.

A session whose ``user`` is None (the link to a primary) may do all. Every other name that
a session has is that of an existing user.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from pyredis.acl import DEFAULT, AclError
from pyredis.acl_log import AclLog
from pyredis.acl_rules import Denial
from pyredis.acl_user import User
from pyredis.commands.clients import client_line
from pyredis.config_types import encode
from pyredis.resp import Error

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.engine import Engine
    from pyredis.session import Session

_AT_EXEC: Final = (
    "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC "
    "call. This command is no longer allowed for the following reason: "
)
_AT_EXEC_REASONS: Final = {
    "command": "no permission to execute the command or subcommand",
    "key": "no permission to touch the specified keys",
    "channel": "no permission to access one of the channels used as arguments",
}
_TWO_SOURCES: Final = (
    "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path "
    "is invalid. This setup is very likely to lead to configuration errors and security holes, "
    "please define either an ACL file or declare users directly in your redis.conf, but not both."
)


class Files(Protocol):
    """The disk, as far as an ACL file needs it. Both may raise OSError."""

    def read(self, path: str) -> bytes:
        """The content of a file."""
        ...

    def replace(self, path: str, content: bytes) -> None:
        """Another content for a file, all or nothing."""
        ...


def denial_text(
    user: bytes, denial: Denial, entry: Entry, argv: Sequence[bytes], verbose: bool = False
) -> bytes:
    """What is said about a denial; ``verbose`` names the key or channel."""
    if denial.reason == "command":
        return b"User %b has no permissions to run the '%b' command" % (user, entry.name.encode())
    what = denial.reason.encode()
    if verbose:
        return b"User %b has no permissions to access the '%b' %b" % (user, argv[denial.at], what)
    return b"No permissions to access a %b" % what


class Guard:
    """Applies the users of `engine.acl` to its sessions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._acl = engine.acl
        self.log = AclLog()
        self._files: Files | None = None

    # Who a session is

    def greet(self, session: Session) -> None:
        """Make a session what it is at first: the default user, authenticated if that is open."""
        session.user = DEFAULT
        session.authenticated = self._acl.open
        session.restricted = self._restricts(session)

    def login(self, session: Session, command: str, name: bytes, password: bytes) -> bool:
        """Make a session that user's; False, and an entry in the log, if the password is wrong.

        ``command`` is the one that was used for it.
        """
        engine = self._engine
        if not self._acl.authenticate(name, password):
            context = "multi" if engine.ks.unit.depth else "toplevel"
            if context == "toplevel":
                session.last_command = engine.table.entries[command]
            self._record(session, "auth", context, command.encode(), name)
            return False
        session.user = name
        session.authenticated = True
        session.restricted = self._restricts(session)
        engine.refresh(session)
        return True

    def _restricts(self, session: Session) -> bool:
        return session.user is not None and not self._acl.users[session.user].unrestricted

    # What it may do

    def denies(self, session: Session, entry: Entry, argv: Sequence[bytes]) -> Denial | None:
        """Why a session may not run this request, None if it may. Nothing is logged."""
        if not session.restricted or session.user is None:
            return None
        return self._acl.users[session.user].denies(entry, argv)

    def refusal(self, session: Session, entry: Entry, argv: Sequence[bytes]) -> Error | None:
        """The error for a request that may not run or be queued; it goes to the log."""
        denial = self.denies(session, entry, argv)
        if denial is None:
            return None
        session.last_command = entry
        context = "toplevel" if session.multi is None else "multi"
        return Error(b"NOPERM " + self._logged(session, denial, entry, argv, context))

    def refusal_at_exec(
        self, session: Session, entry: Entry, argv: Sequence[bytes]
    ) -> Error | None:
        """The error for a queued request that may no longer run; it goes to the log."""
        denial = self.denies(session, entry, argv)
        if denial is None:
            return None
        self._logged(session, denial, entry, argv, "multi")
        return Error(_AT_EXEC + _AT_EXEC_REASONS[denial.reason])

    def refusal_in_script(
        self, session: Session, entry: Entry, argv: Sequence[bytes]
    ) -> Error | None:
        """The error for a request that a script makes without right; it goes to the log."""
        denial = self.denies(session, entry, argv)
        if denial is None:
            return None
        text = self._logged(session, denial, entry, argv, "lua")
        return Error(b"ERR ACL failure in script: " + text)

    def may_read_all_keys(self, session: Session, entry: Entry, argv: Sequence[bytes]) -> bool:
        """Whether a request may read keys that are not among its arguments (SORT GET)."""
        if not session.restricted or session.user is None:
            return True
        return self._acl.users[session.user].allows_with_all_keys(entry, argv)

    def _logged(
        self,
        session: Session,
        denial: Denial,
        entry: Entry,
        argv: Sequence[bytes],
        context: str,
    ) -> bytes:
        """Note a denial; returns its text."""
        assert session.user is not None
        what = entry.name.encode() if denial.reason == "command" else argv[denial.at]
        self._record(session, denial.reason, context, what, session.user)
        return denial_text(session.user, denial, entry, argv)

    def _record(
        self, session: Session, reason: str, context: str, what: bytes, user: bytes
    ) -> None:
        engine = self._engine
        engine.stats.denied[reason] += 1
        client = client_line(engine.ctx, session)
        limit = engine.config.acllog_max_len
        self.log.add(engine.now_ms, reason, context, what, user, client, limit)

    # Changes of users

    def install(self, users: Iterable[User]) -> None:
        """Let these users take the places of those of their names."""
        for user in users:
            old = self._acl.users.get(user.name)
            self._acl.users[user.name] = user
            if old is not None:
                self._kill_unheard({user.name: old})
        self._refresh()

    def remove(self, names: Iterable[bytes]) -> int:
        """Delete users and end their clients; returns how many users there were."""
        gone = [name for name in dict.fromkeys(names) if self._acl.users.pop(name, None)]
        self._kill_homeless()
        self._refresh()
        return len(gone)

    def _replace_all(self, users: dict[bytes, User]) -> None:
        old, self._acl.users = self._acl.users, users
        self._kill_homeless()
        self._kill_unheard(old)
        self._refresh()

    def _kill_homeless(self) -> None:
        for session in list(self._engine.sessions.values()):
            if session.user is not None and session.user not in self._acl.users:
                self._kill(session)

    def _kill_unheard(self, old: dict[bytes, User]) -> None:
        """End subscribers whose user has lost rights to channels, if theirs are among these."""
        users = self._acl.users
        narrowed = {name for name in old if name in users and _narrowed(old[name], users[name])}
        for session in list(self._engine.sessions.values()) if narrowed else ():
            if session.user in narrowed and not _may_hear(users[session.user], session):
                self._kill(session)

    def _kill(self, session: Session) -> None:
        session.user, session.authenticated = DEFAULT, False
        self._engine.kill(session)

    def _refresh(self) -> None:
        for session in self._engine.sessions.values():
            session.restricted = self._restricts(session)
        self._engine.refresh_all()

    def follow_password(self) -> None:
        """Give the default user the password of the directive ``requirepass``."""
        password = encode(self._engine.config.requirepass)
        self.install([self._acl.default_with_password(password)])

    # Files

    def start(self, files: Files) -> None:
        """Load the users that configuration file or ACL file define. Raises AclError."""
        self._files = files
        config, log = self._engine.config, self._engine.log
        if config.aclfile and config.users:
            raise AclError(_TWO_SOURCES)
        try:
            users, warnings = self._acl.configured(config.users)
        except AclError as error:
            log("warning", str(error))
            raise AclError("Critical error while loading ACLs. Exiting.") from error
        for warning in warnings:
            log("notice", warning)
        self.install(users)
        if config.aclfile:
            try:
                self.load()
            except AclError as error:
                raise AclError(f"Aborting Redis startup because of ACL errors: {error}") from error

    def load(self) -> None:
        """ACL LOAD: the users of the ACL file instead of the present. Raises AclError."""
        files, path = self._disk()
        try:
            text = files.read(path)
        except OSError as error:
            reason = f"Error loading ACLs, opening file '{path}': {error.strerror}"
            raise AclError(reason) from error
        self._replace_all(self._acl.parsed(path, text))

    def save(self) -> None:
        """ACL SAVE: the present users into the ACL file. Raises AclError."""
        files, path = self._disk()
        try:
            files.replace(path, self._acl.file_text())
        except OSError as error:
            self._engine.log("warning", f"Writing the ACL file for ACL SAVE: {error.strerror}")
            raise AclError(
                "There was an error trying to save the ACLs. Please check the server logs for "
                "more information"
            ) from error

    def _disk(self) -> tuple[Files, str]:
        path = self._engine.config.aclfile
        if not path or self._files is None:
            raise AclError(
                "This Redis instance is not configured to use an ACL file. You may want to "
                "specify users via the ACL SETUSER command and then issue a CONFIG REWRITE "
                "(assuming you have a Redis configuration file set) in order to store users in "
                "the Redis configuration."
            )
        return self._files, path


def _narrowed(old: User, new: User) -> bool:
    """Whether a user has lost the right to some channels. Patterns are compared as words."""
    before, after = old.channel_rights(), new.channel_rights()
    if after is None:
        return False
    return before is None or not before <= after


def _may_hear(user: User, session: Session) -> bool:
    """Whether the user still has the right to all that a session has subscribed to."""
    channels = (*session.channels, *session.shard_channels)
    return all(map(user.may_subscribe, channels)) and all(
        user.may_subscribe(pattern, is_pattern=True) for pattern in session.patterns
    )
