"""What clients take, and closing the largest of them when that is too much.

A client's size (its buffers, arguments, queued commands, subscriptions) is measured when it has
been active, and of every client about once a second; the sum is kept. That happens only while
``maxmemory`` or ``maxmemory-clients`` asks for it. A large request counts as the client's until it
has run, and what could be sent at the end of a batch does not count any more.

``maxmemory-clients`` limits the sum, in bytes or as a share of maxmemory. Beyond it, clients are
closed, from the largest on, until it is kept. Sizes are compared by powers of two, from 32 kB
on and up to 8 GB; within such a bucket the client goes first that came into it first. Clients
that said CLIENT NO-EVICT ON stay, but count. Links to replicas and to a primary neither stay nor
count.

Source: Redis' redis.conf, "maxmemory-clients"; the bounds are Redis'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyredis.commands.clients import client_line
from pyredis.session import Session

if TYPE_CHECKING:
    from pyredis.engine import Engine

NOTABLE_BYTES: Final = 16 * 1024  # an unfinished request that makes its client be measured anew
LIMIT_MIN: Final = 128 * 1024  # a lower one would leave no client to set it right

_BUCKET_MIN: Final = 15
_BUCKET_MAX: Final = 33
_COUNTED: Final = ("normal", "pubsub")
_SHARE_MIN: Final = 5  # clients looked at in each turn of the cron


def bucket(size_bytes: int) -> int:
    """The power of two that stands for a size when clients are compared."""
    return max(_BUCKET_MIN, min(size_bytes.bit_length(), _BUCKET_MAX))


def limit_of(setting: int, maxmemory: int) -> int:
    """The limit in bytes, 0 for none. A negative setting is a percentage of maxmemory."""
    if setting == 0 or (setting < 0 and not maxmemory):
        return 0
    return max(LIMIT_MIN, setting if setting > 0 else maxmemory * -setting // 100)


class ClientMemory:
    """The sizes of a server's clients."""

    __slots__ = ("_engine", "_sweep", "limit_bytes", "on", "sizes", "stale", "total")

    def __init__(self, engine: Engine) -> None:
        """Measures nothing until ``follow`` finds a reason."""
        self._engine = engine
        self.on = False
        self.limit_bytes = 0
        self.sizes: dict[Session, int] = {}  # within a bucket in the order of their coming
        self.total = 0
        self.stale: dict[Session, None] = {}  # was active since it was measured
        self._sweep: list[Session] = []

    def follow(self) -> None:
        """Apply maxmemory-clients and maxmemory: at start, and whenever they have been set."""
        config = self._engine.config
        self.limit_bytes = limit_of(config.maxmemory_clients, config.maxmemory)
        before, self.on = self.on, bool(self.limit_bytes or config.maxmemory)
        if self.on != before:
            self.sizes, self.stale, self.total = {}, {}, 0
            for session in self._engine.sessions.values() if self.on else ():
                self.measure(session)

    def measure(self, session: Session, more_bytes: int = 0) -> None:
        """Bring the size of a client up to date; it has so much more than it knows of."""
        if session.closing == "now" or session.kind not in _COUNTED:
            self.forget(session)
            return
        before = self.sizes.get(session, 0)
        size = session.memory_bytes() + more_bytes
        if before and bucket(before) != bucket(size):
            del self.sizes[session]
        self.sizes[session] = size
        self.total += size - before

    def measure_all(self) -> int:
        """What all clients take now. O(clients)."""
        sessions = self._engine.sessions.values()
        if not self.on:
            return sum([each.memory_bytes() for each in sessions if each.kind in _COUNTED])
        for session in sessions:
            self.measure(session)
        return self.total

    def forget(self, session: Session) -> None:
        """The client is gone."""
        self.total -= self.sizes.pop(session, 0)
        self.stale.pop(session, None)

    def bears(self, session: Session, argv: list[bytes]) -> bool:
        """Whether a client may run the request that has come, or goes (now) for its size."""
        size = sum(map(len, argv))
        if size >= NOTABLE_BYTES:
            self.measure(session, size)
            self.stale[session] = None
            if self.total >= self.limit_bytes:
                self._evict()
        return not session.closing

    def measure_stale(self) -> None:
        """Measure who was active."""
        stale, self.stale = self.stale, {}
        for session in stale:
            self.measure(session)

    def turn(self) -> None:
        """What is due between batches: measure who was active, keep the limit."""
        if self.stale:
            self.measure_stale()
        if 0 < self.limit_bytes <= self.total:
            self._evict()

    def tick(self) -> None:
        """A job of the cron: measure the next clients."""
        if not self.on:
            return
        engine = self._engine
        if not self._sweep:
            self._sweep = list(engine.sessions.values())
        share = max(_SHARE_MIN, len(engine.sessions) // engine.config.hz)
        for session in self._sweep[-share:]:
            self.measure(session)
        del self._sweep[-share:]
        self.turn()

    def _evict(self) -> None:
        engine = self._engine
        order = [session for session in self.sizes if not session.no_evict]
        order.sort(key=lambda session: -bucket(self.sizes[session]))
        for session in order:
            engine.ctx.session, engine.ctx.argv = session, []
            line = client_line(engine.ctx, session).decode("utf-8", "replace")
            engine.log("notice", f"Evicting client: {line}")
            engine.stats.evicted_clients += 1
            engine.kill(session)
            self.forget(session)
            if self.total < self.limit_bytes:
                return
        engine.log("warning", "Over client maxmemory after evicting all evictable clients")
