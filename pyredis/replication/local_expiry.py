"""Keys with a time to live that were made on a writable replica: they expire here.

A replica leaves expiry to its primary, which knows nothing of what clients write to a writable
replica (``replica-read-only no``). Such keys would stay for ever, hidden but there. So the replica
remembers which TTLs were given here and not by its primary, and deletes these keys itself when
their time has come. What the primary does to a key of the same name meanwhile is seen then: only
what is past its time goes.

A due key costs O(log n), and a turn of the cron handles a bounded number of them.

Model: Redis' ``rememberSlaveKeyWithExpire`` and ``expireSlaveKeys``. It looks at a random sample of
the keys again and again; a queue ordered by time finds them without looking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyredis.types.deadlines import Deadlines

if TYPE_CHECKING:
    from pyredis.engine import Engine
    from pyredis.keyspace import Database

_TURN_MAX: Final = 200  # keys of a database deleted in one turn


class LocalExpiry:
    """The TTLs given here while this server is a writable replica."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queues: dict[int, Deadlines] = {}
        engine.replaced.append(self.forget)

    def __len__(self) -> int:
        """How many keys are remembered: INFO's slave_expires_tracked_keys."""
        return sum(map(len, self._queues.values()))

    def follow(self) -> None:
        """The part of this server or its settings have changed."""
        engine = self._engine
        writable = engine.role == "replica" and not engine.config.replica_read_only
        engine.ks.on_expiry = self._remember if writable else None
        if engine.role == "master":
            self.forget()  # all keys expire here now

    def forget(self) -> None:
        """The keys are gone, or are seen to otherwise."""
        self._queues.clear()

    def turn(self) -> None:
        """Delete the keys whose time has come."""
        engine = self._engine
        if not self._queues or not engine.expire.enabled or engine.pause.active:
            return
        now_ms = engine.now_ms
        for index, queue in list(self._queues.items()):
            db = engine.ks.dbs[index]
            for key in queue.due(now_ms, _TURN_MAX):
                when_ms = db.expires.get(key)
                if when_ms is None:
                    continue
                if when_ms > now_ms:
                    queue.set(key, when_ms)
                    continue
                db.delete_expired(key)
                if engine.ks.after:
                    engine.close_unit()
            if not queue:
                del self._queues[index]

    def _remember(self, db: Database, key: bytes, when_ms: int) -> None:
        queue = self._queues.get(db.index)
        if queue is None:
            queue = self._queues[db.index] = Deadlines()
        queue.set(key, when_ms)
