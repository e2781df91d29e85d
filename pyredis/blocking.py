"""Clients that wait: first come, first served, each key with its own queue.

A handler that finds nothing returns a ``Block``. The session then stands in the queue of
every key it named. When such a key comes into being, and the unit that made it is over,
the queue is walked from its head and each client's command simply runs again: it either
gets something (and leaves all its queues) or stays where it was, with its place kept.

A deadline ends the wait with the reply the handler gave for it. Deadlines are a heap;
entries of clients served meanwhile are skipped when they surface.

Source: redis.io, BLPOP, "Serving blocking operations".
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from pyredis.session import Block, Blocked, Session

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.keyspace import Database, Keyspace


class Waiters:
    """Who waits for what, in one server."""

    __slots__ = ("_heap", "blocked", "ks")

    def __init__(self, ks: Keyspace) -> None:
        self.ks = ks
        self.blocked: dict[Session, None] = {}
        self._heap: list[tuple[int, int, Session, Blocked]] = []

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
        if block.deadline_ms:
            heapq.heappush(self._heap, (block.deadline_ms, session.id, session, state))

    def release(self, session: Session) -> Blocked | None:
        """Take the session out of all queues; returns what it waited for."""
        state = session.blocked
        if state is None:
            return None
        session.blocked = None
        self.blocked.pop(session, None)
        waiting = state.db.waiting
        for key in state.block.keys:
            queue = waiting.get(key)
            if queue is not None:
                queue.pop(session, None)
                if not queue:
                    del waiting[key]
        return state

    def queue(self, db: Database, key: bytes) -> list[Session]:
        """Who waits for a key, in order."""
        return list(db.waiting.get(key, ()))

    def may_serve(self, session: Session, value: Any) -> bool:
        """Whether running the command again can have an outcome, given the key's value."""
        state = session.blocked
        if state is None:
            return False
        block = state.block
        if value is None:
            return block.on_removal
        return block.kind is None or type(value) is block.kind or block.on_removal

    def next_deadline_ms(self) -> int | None:
        """When the next wait ends, None if no wait has an end."""
        heap = self._heap
        while heap and heap[0][2].blocked is not heap[0][3]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def expired(self, now_ms: int) -> list[Session]:
        """The sessions whose deadline has come, in the order of their deadlines."""
        due: list[Session] = []
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            _, _, session, state = heapq.heappop(heap)
            if session.blocked is state:
                due.append(session)
        return due

    @property
    def key_count(self) -> int:
        """Number of distinct keys somebody waits for."""
        return sum(len(db.waiting) for db in self.ks.dbs)
