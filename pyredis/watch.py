"""WATCH: optimistic locking of keys until EXEC.

A session that watches a key is in the key's set of watchers; a change of the key spoils
the session's transaction (``dirty_exec`` becomes "cas"). What counts as a change is
subtle for keys past their time: such a key is as good as none, so its deletion is no
change for somebody who watched it in that state. That is the flag kept with each watched
key.

Source: redis.io, "Transactions".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyredis.keyspace import Database
    from pyredis.session import Session


class Watches:
    """Who watches what. ``on_change`` is told when the first watcher comes or the last goes."""

    __slots__ = ("_on_change", "sessions")

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.sessions: set[Session] = set()

    def watch(self, session: Session, key: bytes) -> None:
        """Note the key; a change before EXEC makes EXEC fail."""
        db = session.db
        if (db, key) in session.watching:
            return
        session.watching[db, key] = db.is_expired(key)
        db.watched.setdefault(key, set()).add(session)
        if not self.sessions:
            self.sessions.add(session)
            self._on_change()
        else:
            self.sessions.add(session)

    def unwatch(self, session: Session) -> None:
        """Forget all keys the session watches."""
        if not session.watching:
            return
        for db, key in session.watching:
            watchers = db.watched[key]
            watchers.discard(session)
            if not watchers:
                del db.watched[key]
        session.watching.clear()
        self.sessions.discard(session)
        if not self.sessions:
            self._on_change()

    def touch(self, db: Database, key: bytes) -> None:
        """A watched key has changed."""
        gone = key not in db.data
        for session in db.watched[key]:
            if gone and session.watching[db, key]:
                session.watching[db, key] = False  # it was as good as gone when watched
            else:
                _spoil(session)

    def touch_all(self, db: Database, gained: Database | None = None) -> None:
        """All of a database is about to vanish, or be replaced by ``gained``."""
        for key, sessions in db.watched.items():
            had = key in db.data
            gets = gained is not None and key in gained.data
            gets_expired = gained is not None and gets and gained.is_expired(key)
            if not had and not gets:
                continue
            for session in sessions:
                if session.watching[db, key]:
                    if not gets or gets_expired:
                        session.watching[db, key] = gets
                        continue
                elif not had and gets_expired:
                    session.watching[db, key] = True
                    continue
                _spoil(session)


def _spoil(session: Session) -> None:
    session.dirty_exec = session.dirty_exec or "cas"
