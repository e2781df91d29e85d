"""What a handler sees of the world: the session it serves, the data, and the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyredis.config import Config
    from pyredis.engine import Engine
    from pyredis.keyspace import Database, Keyspace
    from pyredis.ports import Rng
    from pyredis.session import Session


class Context:
    """One a server, pointed at the running session by the engine.

    ``db`` is the session's selected database. ``config`` holds the settings as
    attributes (``ctx.config.hash_max_listpack_entries``). ``argv`` is the whole request;
    only handlers of subcommands may rely on it.
    """

    __slots__ = ("argv", "config", "db", "engine", "ks", "rng", "secrets", "session")

    def __init__(self, engine: Engine, config: Config, ks: Keyspace, rng: Rng) -> None:
        self.engine = engine
        self.config = config
        self.ks = ks
        self.rng = rng
        self.db: Database = ks.dbs[0]
        self.session: Session
        self.argv: list[bytes] = []
        self.secrets: frozenset[int] = frozenset()

    @property
    def now_ms(self) -> int:
        """Unix time in ms, the same for a whole unit of execution."""
        return self.ks.now_ms

    @property
    def resp3(self) -> bool:
        """Whether the client speaks RESP3: for the few replies that differ in shape."""
        return self.session.resp3

    def propagate(self, *argv: bytes, only: str = "") -> None:
        """Replicas and the AOF get this command instead of the request. May be called often.

        ``only`` is "aof" or "replicas" where the other is to get nothing.
        """
        if self.ks.feeds:
            self.ks.propagate(self.db.index, argv, only=only)

    def propagate_nothing(self) -> None:
        """Replicas and the AOF get nothing for this request, though it counted as a change."""
        if self.ks.feeds:
            self.ks.unit.explicit = True
            self.ks.after = True  # so that the mark is taken off again

    def redact(self, *positions: int) -> None:
        """Keep arguments (the command's name is 0) out of MONITOR and the slow log."""
        self.secrets = self.secrets.union(positions)
        self.ks.after = True
