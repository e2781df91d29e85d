"""A replica of ours, as we see it: how far it has come, and what it has said of itself.

These are the phases that a session goes through once it has asked to be a replica:

    WAIT_START   it needs a full copy, and no snapshot that it could use has begun
    WAIT_END     its snapshot is being made; its history begins at the offset of that instant
    SEND         the file is being sent (a snapshot to disk); streamed ones have gone already
    ONLINE       it gets the stream

What the stream brings between the snapshot's instant and ONLINE is *held* for it: a list of
the same bytes objects that are in the backlog, so it costs references. ``primary.py`` moves it
from phase to phase.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pyredis.persistence.saver import ALL

if TYPE_CHECKING:
    from pyredis.session import Session


class Phase(enum.Enum):
    """How far a replica has come; the values are for INFO."""

    NONE = ""
    WAIT_START = "wait_bgsave (start)"
    WAIT_END = "wait_bgsave (end)"
    SEND = "send_bulk"
    ONLINE = "online"

    @property
    def shown(self) -> str:
        """Redis' word for it."""
        return self.value.partition(" ")[0]


class Downstream:
    """What a session is as a replica of ours."""

    __slots__ = (
        "acked_ms",
        "acked_offset",
        "announced_host",
        "by_stream",
        "capabilities",
        "fsynced_offset",
        "heard",
        "held",
        "held_bytes",
        "old",
        "phase",
        "port",
        "rdb_only",
        "session",
        "since_ms",
        "starts_on_ack",
        "wants",
    )

    def __init__(self, session: Session, now_ms: int) -> None:
        self.session = session
        self.phase = Phase.NONE
        self.port = 0  # that it listens on
        self.announced_host = ""
        self.capabilities: set[str] = set()
        self.old = False  # it said SYNC, so it knows no offsets and never acknowledges
        self.rdb_only = False  # a tool that wants the snapshot and no more
        self.wants = ALL  # parts of it
        self.by_stream = False  # its snapshot comes through the pipe
        self.acked_offset = 0
        self.fsynced_offset = 0
        self.acked_ms = now_ms
        self.since_ms = now_ms
        self.starts_on_ack = False
        self.heard = False  # it has acknowledged, so it has the snapshot
        self.held: list[bytes] = []
        self.held_bytes = 0

    @property
    def online(self) -> bool:
        """Whether it gets the stream."""
        return self.phase is Phase.ONLINE

    @property
    def attached(self) -> bool:
        """Whether it has asked to be a replica."""
        return self.phase is not Phase.NONE

    @property
    def host(self) -> str:
        """Where it can be reached: what it has announced, or where it comes from."""
        host = self.announced_host or self.session.address.peer.rpartition(":")[0]
        return host.strip("[]")

    @property
    def name(self) -> str:
        """For the log."""
        return f"{self.host}:{self.port or '<unknown-replica-port>'}"

    def lag_s(self, now_ms: int) -> int:
        """Seconds since it has last acknowledged something."""
        return max(0, now_ms // 1000 - self.acked_ms // 1000)
