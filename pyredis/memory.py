"""Memory: what the server uses, and where it is.

With ``maxmemory`` the server uses what its own account says:

    what the process had at the start        the interpreter and this program
    keys and values, and their TTLs          ``account.py``
    clients                                  ``client_memory.py``
    scripts, functions and their Lua states
    keys tracked for clients
    what other parts report                  ``reporters``: the backlog, buffers of the AOF ...

Of these, what ``not_counted`` reports is no reason to evict keys: it grows by evicting, as the
DELs go into the AOF and to the replicas.

Without ``maxmemory`` nobody keeps that account, since every write would pay for it, and the
server uses what the process does: its private memory, resident pages less those backed by
files. The two agree within a few percent while data grow. CPython does not know how many
bytes of its arenas are alive, so the process gives memory back later than the account says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from pyredis.account import EXPIRY_BYTES, KEY_BYTES

if TYPE_CHECKING:
    from pyredis.engine import Engine

_REFRESH_MS: Final = 100
_TRACKED_BYTES: Final = 200  # a key in the tracking table, about


class MemoryMeter:
    """The server's own use: at the start, now, and at its peak."""

    __slots__ = (
        "_engine",
        "_fixed_bytes",
        "_refresh_ms",
        "not_counted",
        "peak_bytes",
        "reporters",
        "startup_bytes",
    )

    def __init__(self, engine: Engine) -> None:
        """What the process has now is what the server has started with."""
        self._engine = engine
        self.startup_bytes = engine.host.memory().private_bytes
        self.peak_bytes = self.startup_bytes
        # Other parts of the server append what tells how many bytes they hold.
        self.reporters: list[Callable[[], int]] = []
        self.not_counted: list[Callable[[], int]] = []
        self._fixed_bytes = 0
        self._refresh_ms = -_REFRESH_MS

    def used_bytes(self) -> int:
        """What the server uses now. Remembers the peak."""
        return self.read()[0]

    def sample(self) -> None:
        """A job of the cron: keep the peak up to date."""
        self.read()

    def read(self) -> tuple[int, int]:
        """What the server uses, and how much of the process is resident."""
        use = self._engine.host.memory()
        used = use.private_bytes
        if self._engine.account.complete:
            self._refresh_ms = -_REFRESH_MS
            used = self._data_bytes() + self._other_bytes() + self.not_counted_bytes()
        self.peak_bytes = max(self.peak_bytes, used)
        return used, use.resident_bytes

    def not_counted_bytes(self) -> int:
        """mem_not_counted_for_evict."""
        return sum(report() for report in self.not_counted)

    def excess_bytes(self, limit: int) -> int:
        """How much more than ``limit`` is used, without what is not counted; less than 0 if not.

        O(changed keys); what is no data is looked at ten times a second.
        """
        return self._data_bytes() + self._other_bytes() - limit

    def _data_bytes(self) -> int:
        """Keys, values and TTLs. The account has to be complete."""
        engine = self._engine
        expires = sum([len(db.expires) for db in engine.ks.dbs])
        return engine.account.settled_bytes() + expires * EXPIRY_BYTES

    def _other_bytes(self) -> int:
        engine = self._engine
        if engine.now_ms - self._refresh_ms >= _REFRESH_MS:
            self._refresh_ms = engine.now_ms
            scripting = engine.scripting
            self._fixed_bytes = (
                self.startup_bytes
                + scripting.eval_vm_bytes
                + scripting.function_vm_bytes
                + scripting.scripts_bytes
                + scripting.functions_bytes
                + len(engine.tracking.keys) * _TRACKED_BYTES
                + sum(report() for report in self.reporters)
            )
        return self._fixed_bytes + engine.client_memory.total


class Tables(NamedTuple):
    """What a database takes beside names and values."""

    db: int
    main_bytes: int
    expires_bytes: int


class Overview(NamedTuple):
    """Where the memory is, in bytes: for INFO and for MEMORY STATS and DOCTOR."""

    used: int
    resident: int
    peak: int
    startup: int
    clients: int
    replicas: int
    backlog: int
    tables: tuple[Tables, ...]
    keys: int

    @property
    def overhead(self) -> int:
        """All that is no data: the interpreter, clients, replicas, tables."""
        others = self.clients + self.replicas + self.backlog
        return self.startup + others + self.tables_bytes

    @property
    def tables_bytes(self) -> int:
        """The tables of all databases."""
        return sum(each.main_bytes + each.expires_bytes for each in self.tables)

    @property
    def dataset(self) -> int:
        """The rest: names and values of keys."""
        return max(0, self.used - self.overhead)

    @property
    def dataset_percent(self) -> float:
        """How much of what came since the start is data."""
        return percent(self.dataset, self.used - self.startup)

    @property
    def fragmentation(self) -> float:
        """Resident to used."""
        return self.resident / self.used if self.used else 0.0


def percent(part: int, whole: int) -> float:
    """0.0 for a part of nothing."""
    return 100 * part / whole if whole > 0 else 0.0


def overview(engine: Engine) -> Overview:
    """Measure everything. O(clients + databases)."""
    used, resident = engine.memory.read()
    clients = replicas = 0
    for session in engine.sessions.values():
        if session.kind == "replica":
            replicas += session.memory_bytes()
        else:
            clients += session.memory_bytes()
    return Overview(
        used=used,
        resident=resident,
        peak=engine.memory.peak_bytes,
        startup=engine.memory.startup_bytes,
        clients=clients,
        replicas=replicas,
        backlog=engine.replication.primary.backlog_bytes,
        tables=tuple(
            Tables(db.index, len(db.data) * KEY_BYTES, len(db.expires) * EXPIRY_BYTES)
            for db in engine.ks.dbs
            if db.data
        ),
        keys=sum(len(db.data) for db in engine.ks.dbs),
    )
