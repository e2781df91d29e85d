"""Admission: what may keep a known, well-formed command from running now.

A gate is a function ``gate(engine, session, entry, argv)`` that returns None to let the
command pass, or the reply that it gets instead (an ``Error`` counts as rejected and
spoils an open MULTI). Order matters and is Redis': authentication, then what concerns
the whole server (memory, persistence, roles: ``engine.gates``), then the mode of the
session, at last the queue of MULTI.

A gate that does not apply now is not in the session's tuple, so a plain session on a
healthy server pays one truth test of an empty tuple.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyredis.resp import NO_REPLY, QUEUED, Error
from pyredis.session import REPLY_ON, Block, Session

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.engine import Engine

_SUBSCRIBED = frozenset(
    "PING SUBSCRIBE SSUBSCRIBE PSUBSCRIBE UNSUBSCRIBE SUNSUBSCRIBE PUNSUBSCRIBE QUIT RESET".split()
)
_NOT_QUEUED = frozenset("EXEC DISCARD MULTI WATCH QUIT RESET".split())


def require_auth(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """Only AUTH, HELLO, QUIT and RESET before the password."""
    if session.authenticated or "no_auth" in entry.spec.flags:
        return None
    return Error("NOAUTH Authentication required.")


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
    if engine.pause.holds(entry, session, argv, engine.now_ms):
        return Block((), 0, NO_REPLY)
    return None


def queue_in_multi(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """Inside MULTI commands are queued; EXEC, DISCARD and a few more still run."""
    if session.multi is None or entry.spec.name in _NOT_QUEUED:
        return None
    if "no_multi" in entry.spec.flags:
        return Error("ERR Command not allowed inside a transaction")
    if not session.dirty_exec == "error":
        session.multi.append((entry, argv))
        session.multi_bytes += sum(map(len, argv))
    return QUEUED


def always(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """Passes everything; its presence keeps a session off the hot path."""
    return None


def gates_for(engine: Engine, session: Session) -> tuple[Any, ...]:
    """The gates that apply to a session in its present mode, in order."""
    found: list[Any] = []
    if not session.authenticated:
        found.append(require_auth)
    found.extend(engine.gates)
    if not session.resp3 and (
        session.channels or session.patterns or session.shard_channels
    ):
        found.append(subscribed_resp2)
    if session.multi is not None:
        found.append(queue_in_multi)
    if engine.pause.active:
        found.append(paused)
    if not found and (
        engine.monitors
        or session.no_touch
        or session.reply_mode != REPLY_ON
    ):
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

    def holds(self, entry: Entry, session: Session, argv: list[bytes], now_ms: int) -> bool:
        """Whether this command has to wait. In write mode, whatever may write waits."""
        if not self.reasons or entry.spec.name == "CLIENT UNPAUSE":
            return False
        if any(all_commands for _, all_commands in self.reasons.values()):
            return True
        name = entry.spec.name
        if name == "EXEC":
            queued = session.multi or ()
            return any(_may_write(each) for each, _ in queued)
        if session.multi is not None:
            return False  # only queued, so nothing happens yet
        return _may_write(entry)


def _may_write(entry: Entry) -> bool:
    return entry.write or "may_replicate" in entry.spec.flags
