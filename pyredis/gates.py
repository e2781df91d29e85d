"""Admission: what may keep a known, well-formed command from running now.

A gate is a function ``gate(engine, session, entry, argv)`` that returns None to let the
command pass, or the reply that it gets instead (an ``Error`` counts as rejected and
spoils an open MULTI). Order matters and is Redis': authentication, whether the command
may be in a transaction at all, the rights of the user, then what concerns the whole
server (memory, persistence, roles: ``engine.gates``), the mode of the session, pauses,
at last the queue of MULTI.

EXEC is as heavy as what it will run: a gate that judges by flags asks ``flags_of``.

A gate that does not apply now is not in the session's tuple, so a plain session on a
healthy server pays one truth test of an empty tuple.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pyredis.resp import NO_REPLY, QUEUED, Error
from pyredis.session import REPLY_ON, Block, Session
from pyredis.tracking import Mode

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.engine import Engine

_SHOWN_BYTES = 128
"""How much of a request error texts repeat."""

_SUBSCRIBED = frozenset(
    "PING SUBSCRIBE SSUBSCRIBE PSUBSCRIBE UNSUBSCRIBE SUNSUBSCRIBE PUNSUBSCRIBE QUIT RESET".split()
)
_NOT_QUEUED = frozenset("EXEC DISCARD MULTI WATCH QUIT RESET".split())
_WRITING: Final = frozenset(("write", "may_replicate"))
_TOUCHING: Final = _WRITING | {"readonly"}

MISCONF: Final = (
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to "
    "disk. Commands that may modify the data set are disabled, because this instance is "
    "configured to report errors during writes if RDB snapshotting fails "
    "(stop-writes-on-bgsave-error option). Please check the Redis logs for details about the "
    "RDB error."
)

READONLY: Final = "READONLY You can't write against a read only replica."
NOREPLICAS: Final = "NOREPLICAS Not enough good replicas to write."
MASTERDOWN: Final = (
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
)

POSTPONED: Final = Block((), 0, NO_REPLY)
"""Instead of a reply: the request is put off until no pause holds it any more."""


def require_auth(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """Only AUTH, HELLO, QUIT and RESET before the password, as long as there is one."""
    if "no_auth" in entry.spec.flags:
        return None
    return Error("NOAUTH Authentication required.")


def forbid_in_multi(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """Some commands cannot be part of a transaction."""
    if "no_multi" in entry.spec.flags:
        return Error("ERR Command not allowed inside a transaction")
    return None


def permitted(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """The ACL rules of the session's user have to allow the command, its keys and channels."""
    return engine.guard.refusal(session, entry, argv)


def script_busy(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """While a script has been running for too long, little else than ending it is possible."""
    return None if "allow_busy" in entry.spec.flags else engine.scripting.busy_error()


def loading(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """While data are being loaded there are none to work with."""
    if all("loading" in each.spec.flags for each, _ in requests_of(session, entry, argv)):
        return None
    return Error("LOADING Redis is loading the dataset in memory")


def streamed_to(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """Replicas and monitors are sent a stream and may not touch keys."""
    if flags_of(engine, session, entry, argv) & _TOUCHING:
        return Error("ERR Replica can't interact with the keyspace")
    return None


def unsaved(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """Saving has failed, so data must not change; PING is to tell of it, too."""
    if "write" in flags_of(engine, session, entry, argv) or entry.spec.name == "PING":
        return Error(MISCONF)
    return None


def unlogged(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """The append-only file cannot be written, so data must not change; PING is to tell of it."""
    if "write" in flags_of(engine, session, entry, argv) or entry.spec.name == "PING":
        return Error(f"MISCONF Errors writing to the AOF file: {engine.aof.write_problem}")
    return None


def few_replicas(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """Too few good replicas are there to hold a copy of what would be written."""
    if "write" in flags_of(engine, session, entry, argv):
        return Error(NOREPLICAS)
    return None


def read_only(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """A replica's data are its primary's."""
    if "write" in flags_of(engine, session, entry, argv):
        if engine.config.close_on_replica_write:
            engine.close(session)
        return Error(READONLY)
    return None


def link_down(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """A replica that has lost its primary does not show what may be out of date."""
    flags_of_each = engine.scripting.flags_of
    if all("stale" in flags_of_each(*each) for each in requests_of(session, entry, argv)):
        return None
    return Error(MASTERDOWN)


def undurable(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """Our primary's writes come while our disk fails: end, unless data in memory are worth it.

    See ``replica-ignore-disk-write-errors``; the log is told either way.
    """
    if "write" not in entry.spec.flags:
        return None
    if engine.config.replica_ignore_disk_write_errors:
        engine.replication.tell_of_disk()
        return None
    engine.log("warning", "Replica was unable to write command to disk.")
    engine.fall(1)
    engine.close(session, "now")
    return NO_REPLY


def loading_aside(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """New data come while the old ones are served: what would spoil either has to wait."""
    if "no_async_loading" in flags_of(engine, session, entry, argv):
        return Error("LOADING Redis is loading the dataset in memory")
    return None


def subscribed_resp2(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """Under RESP2 a subscriber's connection carries messages, so few commands are allowed."""
    if entry.spec.name in _SUBSCRIBED:
        return None
    return Error(
        f"ERR Can't execute '{entry.name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / "
        "PING / QUIT / RESET are allowed in this context"
    )


def paused(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """CLIENT PAUSE: the command waits, whole, until the pause ends."""
    flags = flags_of(engine, session, entry, argv)
    return POSTPONED if engine.pause.holds(flags) else None


def queue_in_multi(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """Inside MULTI commands are queued; EXEC, DISCARD and a few more still run."""
    if session.multi is None or entry.spec.name in _NOT_QUEUED:
        return None
    if not session.dirty_exec:  # else EXEC will run nothing of it
        session.multi.append((entry, argv))
        session.multi_bytes += sum(map(len, argv))
    return QUEUED


def always(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """Passes everything; its presence keeps a session off the hot path."""
    return None


SERVER_GATES: Final = (unsaved, unlogged, few_replicas, read_only, link_down, loading_aside)
"""The order of those in ``Engine.gates``; what is not named here comes first (memory)."""


def requests_of(
    session: Session, entry: Entry, argv: list[bytes]
) -> list[tuple[Entry, list[bytes]]]:
    """What is about to run: the request, with EXEC all queued ones too. O(queued) then."""
    if session.multi and entry.spec.name == "EXEC":
        return [(entry, argv), *session.multi]
    return [(entry, argv)]


def flags_of(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> frozenset[str]:
    """The flags of a request; for EXEC those of all queued ones too. O(queued) then."""
    flags = engine.scripting.flags_of(entry, argv)
    if session.multi and entry.spec.name == "EXEC":
        return flags.union(*(engine.scripting.flags_of(*queued) for queued in session.multi))
    return flags


def gates_for(engine: Engine, session: Session) -> tuple[Any, ...]:
    """The gates that apply to a session in its present mode, in order."""
    found: list[Any] = []
    if session.inner:
        if session.from_primary and (unsaved in engine.gates or unlogged in engine.gates):
            found.append(undurable)
        if session.multi is not None:
            found.append(queue_in_multi)
        if not found and session.from_primary and engine.monitors:
            found.append(always)
        return tuple(found)
    if not session.authenticated and not engine.acl.open:
        found.append(require_auth)
    if session.multi is not None:
        found.append(forbid_in_multi)
    if session.restricted:
        found.append(permitted)
    found.extend(engine.gates)
    if not session.resp3 and (session.channels or session.patterns or session.shard_channels):
        found.append(subscribed_resp2)
    if engine.saver.loading is not None:
        found.append(loading)
    if engine.scripting.busy:
        found.append(script_busy)
    if session.monitor or session.kind == "replica":
        found.append(streamed_to)
    if engine.pause.active:
        found.append(paused)
    if session.multi is not None:
        found.append(queue_in_multi)
    remembering = session.tracker is not None and session.tracker.mode is not Mode.BCAST
    silent = session.reply_mode != REPLY_ON
    if not found and (engine.monitors or session.no_touch or silent or remembering):
        found.append(always)
    return tuple(found)


class Pause:
    """CLIENT PAUSE and the pauses that failovers ask for, each with its own end."""

    __slots__ = ("reasons",)

    def __init__(self) -> None:
        self.reasons: dict[str, tuple[int, bool]] = {}

    @property
    def active(self) -> bool:
        """Whether any pause is set."""
        return bool(self.reasons)

    @property
    def pauses_writes(self) -> bool:
        """Whether data must not change by itself either: no expiry, no eviction."""
        return bool(self.reasons)

    def set(self, reason: str, until_ms: int, all_commands: bool) -> None:
        """Pause for a reason. A second pause for it never shortens or weakens the first."""
        before = self.reasons.get(reason)
        if before is not None:
            until_ms = max(until_ms, before[0])
            all_commands = all_commands or before[1]
        self.reasons[reason] = (until_ms, all_commands)

    def clear(self, reason: str) -> None:
        """End the pause for that reason."""
        self.reasons.pop(reason, None)

    def end_ms(self) -> int | None:
        """The next time at which a pause ends."""
        return min((until for until, _ in self.reasons.values()), default=None)

    def expire(self, now_ms: int) -> bool:
        """Drop the pauses that are over; True if one was."""
        over = [reason for reason, (until, _) in self.reasons.items() if until <= now_ms]
        for reason in over:
            del self.reasons[reason]
        return bool(over)

    def holds(self, flags: frozenset[str]) -> bool:
        """Whether a request with these flags has to wait. In write mode, whatever may write waits.

        As in Redis no command is exempt: under a full pause even CLIENT UNPAUSE waits,
        and inside MULTI a write waits before it is queued.
        """
        if any(all_commands for _, all_commands in self.reasons.values()):
            return True
        return bool(self.reasons) and not _WRITING.isdisjoint(flags)


def misfit(entry: Entry | None, argv: list[bytes]) -> Error | None:
    """What is wrong with a request whatever the state: its name or its number of arguments.

    ``entry`` is what ``Table.find`` says of it: for an unknown subcommand, the container.
    """
    if entry is None:
        return _unknown_command(argv)
    if entry.children and len(argv) > 1:
        shown = _shown(argv[1], _SHOWN_BYTES)
        container = entry.spec.name.encode()
        return Error(b"ERR unknown subcommand '%b'. Try %b HELP." % (shown, container))
    if not entry.arity_min <= len(argv) <= entry.arity_max:
        return Error(f"ERR wrong number of arguments for '{entry.name}' command")
    return None


def _shown(data: bytes, limit: int) -> bytes:
    """Bytes as C's string functions print them: up to a NUL."""
    return data[:limit].split(b"\0", 1)[0]


def _unknown_command(argv: list[bytes]) -> Error:
    """Redis' error for a name that is no command, with the beginning of the arguments."""
    text = b""
    for arg in argv[1:]:
        if len(text) >= _SHOWN_BYTES:
            break
        text += b"'%b' " % _shown(arg, _SHOWN_BYTES - len(text))
    name = _shown(argv[0], _SHOWN_BYTES)
    return Error(b"ERR unknown command '%b', with args beginning with: %b" % (name, text))
