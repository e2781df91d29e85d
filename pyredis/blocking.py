"""Clients that wait: first come, first served, each key with its own queue.

A handler that finds nothing returns a ``Block``. The session then stands in the queue of
every key it named. When such a key comes into being, and the unit that made it is over,
the queue is walked from its head and each client's command simply runs again: it either
gets something (and leaves all its queues) or stays where it was, with its place kept.

A deadline ends the wait with the reply the handler gave for it. Deadlines are a heap. The
entry of a client that was served goes stale and is skipped when it surfaces; when most are
stale the heap is built anew, so a worker that calls BLPOP with a timeout of an hour a
thousand times a second does not fill it. An *alarm* is a time at which a command runs again
though no key has changed; it has a heap of its own, and goes stale likewise.

A client held up by CLIENT PAUSE is parked here too, without keys: it is
*postponed*, not blocked, and nothing but the end of the pause ends that.

Source: redis.io, BLPOP, "Serving blocking operations".
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from pyredis.session import Block, Blocked, Session

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.keyspace import Database, Keyspace

_STALE_MIN: Final = 64  # below this the heap is not worth tidying


class Waiters:
    """Who waits for what, in one server."""

    __slots__ = ("_alarms", "_heap", "_next", "_stale", "_unkeyed", "blocked", "ks")

    def __init__(self, ks: Keyspace) -> None:
        self.ks = ks
        self.blocked: dict[Session, None] = {}
        self._heap: list[tuple[int, int, Session, Blocked]] = []
        self._alarms: list[tuple[int, int, Session, Blocked]] = []
        self._next = 0  # numbers heap entries: equal deadlines are met in order of arrival
        self._stale = 0  # entries of clients that wait no longer
        self._unkeyed = 0  # clients that are to be woken by a key's removal too

    def block(
        self, session: Session, block: Block, entry: Entry, argv: list[bytes], since_ns: int
    ) -> None:
        """Park the session: at the end of each key's queue, with its deadline."""
        if block.argv is not None:
            argv = list(block.argv)
        state = Blocked(block, entry, argv, session.db, since_ns)
        session.blocked = state
        self.blocked[session] = None
        for key in block.keys:
            session.db.waiting.setdefault(key, {})[session] = None
        self._unkeyed += block.on_removal
        if block.deadline_ms:
            heapq.heappush(self._heap, (block.deadline_ms, self._next, session, state))
            self._next += 1
        self.set_alarm(session, block.again_ms)

    def set_alarm(self, session: Session, again_ms: int) -> None:
        """Have a session that waits try again at that time, unless it is 0."""
        if again_ms and session.blocked is not None:
            heapq.heappush(self._alarms, (again_ms, self._next, session, session.blocked))
            self._next += 1

    def alarmed(self, now_ms: int) -> list[Session]:
        """The sessions whose alarm has come, in order, each once. They have no alarm any more."""
        due: dict[Session, None] = {}
        alarms = self._alarms
        while alarms and alarms[0][0] <= now_ms:
            _, _, session, state = heapq.heappop(alarms)
            if session.blocked is state:
                due[session] = None
        return list(due)

    def release(self, session: Session) -> Blocked | None:
        """Take the session out of all queues; returns what it waited for, None if nothing."""
        state = session.blocked
        if state is None:
            return None
        session.blocked = None
        del self.blocked[session]
        waiting = state.db.waiting
        for key in set(state.block.keys):
            queue = waiting[key]
            del queue[session]
            if not queue:
                del waiting[key]
        self._unkeyed -= state.block.on_removal
        if state.block.deadline_ms:
            self._stale += 1
            if self._stale > _STALE_MIN and self._stale * 2 > len(self._heap):
                self._heap = [item for item in self._heap if item[2].blocked is item[3]]
                heapq.heapify(self._heap)
                self._stale = 0
        return state

    def queue(self, db: Database, key: bytes) -> Iterator[Session]:
        """Who waits for a key, in order, while those served leave the queue.

        As long as the head is served each time, which is the rule, no copy is made.
        """
        waiting = db.waiting
        while queue := waiting.get(key):
            head = next(iter(queue))
            yield head
            if head in waiting.get(key, ()):
                yield from list(queue)[1:]
                return

    def none_served_by(self, value: Any) -> bool:
        """Whether a key with this value cannot end anybody's wait: it is missing."""
        return value is None and not self._unkeyed

    def may_serve(self, session: Session, value: Any) -> bool:
        """Whether running the command again can have an outcome, given the key's value.

        A client that is being closed gets nothing more: what it took would be lost.
        """
        state = session.blocked
        if state is None or session.closing:
            return False
        block = state.block
        if value is None:
            return block.on_removal
        return block.kind is None or type(value) is block.kind or block.on_removal

    def next_deadline_ms(self) -> int | None:
        """When the next wait ends or a command is to be tried again, None if never."""
        self._skip_stale()
        alarms = self._alarms
        while alarms and alarms[0][2].blocked is not alarms[0][3]:
            heapq.heappop(alarms)
        return min((heap[0][0] for heap in (self._heap, alarms) if heap), default=None)

    def expired(self, now_ms: int) -> list[Session]:
        """The sessions whose deadline has come, in the order of their deadlines.

        They are to be released at once.
        """
        due: list[Session] = []
        self._skip_stale()
        while self._heap and self._heap[0][0] <= now_ms:
            due.append(heapq.heappop(self._heap)[2])
            self._stale -= 1  # which its release will count again
            self._skip_stale()
        return due

    def _skip_stale(self) -> None:
        heap = self._heap
        while heap and heap[0][2].blocked is not heap[0][3]:
            heapq.heappop(heap)
            self._stale -= 1

    # For INFO

    @property
    def key_count(self) -> int:
        """Number of distinct keys somebody waits for."""
        return sum(len(db.waiting) for db in self.ks.dbs)

    def _states(self) -> list[Blocked]:
        return [session.blocked for session in self.blocked if session.blocked is not None]

    def _check(self) -> None:
        """Assert that sessions, queues and heap agree."""
        for session in self.blocked:
            state = session.blocked
            assert state is not None
            for key in state.block.keys:
                assert session in state.db.waiting[key]
        for db in self.ks.dbs:
            for key, queue in db.waiting.items():
                assert queue, "an empty queue stayed behind"
                for session in queue:
                    assert session.blocked is not None
                    assert key in session.blocked.block.keys
        live = [item for item in self._heap if item[2].blocked is item[3]]
        assert len(live) + self._stale == len(self._heap)
        assert len(live) == sum(1 for state in self._states() if state.block.deadline_ms)
        assert self._unkeyed == sum(state.block.on_removal for state in self._states())
