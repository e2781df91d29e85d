"""Memory: what the server uses, and where it is.

``used_memory`` is what the server has taken since its start, as Redis' figure is that without the
program: the interpreter and this program's code are in ``used_memory_rss`` only. It is the sum of

    the command table with its counters   ``startup_bytes``: what an empty server uses
    keys and values, and their TTLs       ``account.py``
    clients                               ``client_memory.py``
    scripts, functions and their Lua states
    keys tracked for clients
    what other parts report               ``reporters``: the backlog ...
    what is sent or written when it can   ``not_counted``: the buffers of replicas, of the AOF

The last is no reason to evict keys: it grows by evicting, as the DELs go to the replicas and into
the AOF.

With ``maxmemory`` the account of keys and values is kept. Without, nobody keeps it, since every
write would pay for it. Then the data of a small server are weighed whenever the figure is asked
for, so that a limit set on top of it leaves just the room that it promises. Of more than
_LOOKS_MAX keys and elements nobody would wait for that, and what the process has *grown* by
since its start stands for the sum: its private memory, that is resident pages less those backed by
files. The two agree within a few percent while data grow. CPython does not know how many bytes
of its arenas are alive, so the process gives memory back later than the account says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from pyredis.account import EXPIRY_BYTES, KEY_BYTES, counted_bytes, object_bytes

if TYPE_CHECKING:
    from pyredis.engine import Engine

_REFRESH_MS: Final = 100
_LOOKS_MAX: Final = 10_000  # take about a millisecond
_TRACKED_BYTES: Final = 200  # a key in the tracking table, about


class Reading(NamedTuple):
    """What the server uses, what its process holds for that, and what of it is resident."""

    used: int
    held: int
    resident: int


class MemoryMeter:
    """The server's own use: at the start, now, and at its peak."""

    __slots__ = (
        "_engine",
        "_fixed_bytes",
        "_private_bytes",
        "_program_bytes",
        "_refresh_ms",
        "not_counted",
        "peak_bytes",
        "reporters",
        "startup_bytes",
    )

    def __init__(self, engine: Engine) -> None:
        """What the process has now is the program's."""
        self._engine = engine
        self.startup_bytes = self.peak_bytes = 0
        # Other parts of the server append what tells how many bytes they hold.
        self.reporters: list[Callable[[], int]] = []
        self.not_counted: list[Callable[[], int]] = []
        self._fixed_bytes = 0
        self._refresh_ms = -_REFRESH_MS
        self._program_bytes = self._private_bytes = engine.host.memory().private_bytes

    def begin(self) -> None:
        """Start-up is over, no data are loaded yet: what comes from now on is the server's."""
        self._program_bytes = self._private_bytes = self._engine.host.memory().private_bytes
        parts = [(each, each.latency, each.children) for each in self._engine.table.all()]
        self.startup_bytes = sum(object_bytes(part) for entry in parts for part in entry)
        self.peak_bytes = max(self.peak_bytes, self.startup_bytes)

    def used_bytes(self) -> int:
        """What the server uses now. Remembers the peak."""
        return self.read().used

    def sample(self) -> None:
        """A job of the cron: keep the peak up to date. There is none unless the process grows."""
        private_bytes = self._engine.host.memory().private_bytes
        if private_bytes > self._private_bytes:
            self._private_bytes = private_bytes
            self.read()

    def read(self) -> Reading:
        """Measure. O(clients + databases + changed keys), and up to _LOOKS_MAX keys."""
        engine = self._engine
        use = engine.host.memory()
        self._refresh_ms = -_REFRESH_MS
        others = self._other_bytes(engine.client_memory.measure_all()) + self.not_counted_bytes()
        grown = self.startup_bytes + max(0, use.private_bytes - self._program_bytes)
        data = self._data_bytes()
        if data is None:
            tables = sum(each.bytes for each in _tables(engine))
            used = max(grown, others + tables)
        else:
            used = others + data
        self.peak_bytes = max(self.peak_bytes, used)
        return Reading(used, max(used, grown), use.resident_bytes)

    def not_counted_bytes(self) -> int:
        """mem_not_counted_for_evict."""
        return self._engine.aof.feed.buffered_bytes + sum(report() for report in self.not_counted)

    def excess_bytes(self, limit: int) -> int:
        """How much more than ``limit`` is used, without what is not counted; less than 0 if not.

        O(changed keys); what is no data is looked at ten times a second. The account has to be
        complete.
        """
        data = self._data_bytes()
        assert data is not None
        return data + self._other_bytes(self._engine.client_memory.total) - limit

    def _data_bytes(self) -> int | None:
        """Keys, values and TTLs; None if they are too many to be weighed now."""
        engine = self._engine
        if engine.account.complete:
            data: int | None = engine.account.settled_bytes()
        else:
            data = counted_bytes(engine.ks.dbs, _LOOKS_MAX)
        if data is None:
            return None
        return data + sum([len(db.expires) for db in engine.ks.dbs]) * EXPIRY_BYTES

    def _other_bytes(self, clients: int) -> int:
        """What is no data, with so much for clients."""
        engine = self._engine
        if engine.now_ms - self._refresh_ms >= _REFRESH_MS:
            self._refresh_ms = engine.now_ms
            self._fixed_bytes = (
                self.startup_bytes
                + _scripts_bytes(engine)
                + len(engine.tracking.keys) * _TRACKED_BYTES
                + sum(report() for report in self.reporters)
            )
        return self._fixed_bytes + clients


class Tables(NamedTuple):
    """What a database takes beside names and values."""

    db: int
    main_bytes: int
    expires_bytes: int

    @property
    def bytes(self) -> int:
        """Both tables."""
        return self.main_bytes + self.expires_bytes


class Overview(NamedTuple):
    """Where the memory is, in bytes: for INFO and for MEMORY STATS and DOCTOR."""

    used: int
    held: int
    resident: int
    peak: int
    startup: int
    clients: int
    replicas: int
    backlog: int
    aof_buffer: int
    scripts: int
    tables: tuple[Tables, ...]
    keys: int

    @property
    def overhead(self) -> int:
        """All that is no data: clients, replicas, scripts, tables, what there is at the start."""
        others = self.clients + self.replicas + self.backlog + self.aof_buffer + self.scripts
        return self.startup + others + self.tables_bytes

    @property
    def tables_bytes(self) -> int:
        """The tables of all databases."""
        return sum(each.bytes for each in self.tables)

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
        return ratio(self.resident, self.used)


def ratio(part: int, whole: int) -> float:
    """0.0 for a part of nothing."""
    return part / whole if whole > 0 else 0.0


def percent(part: int, whole: int) -> float:
    """0.0 for a part of nothing."""
    return 100 * part / whole if whole > 0 else 0.0


def overview(engine: Engine) -> Overview:
    """Measure everything. O(clients + databases)."""
    reading = engine.memory.read()
    clients = replicas = 0
    for session in engine.sessions.values():
        if session.kind == "replica":
            replicas += session.memory_bytes()
        else:
            clients += session.memory_bytes()
    return Overview(
        used=reading.used,
        held=reading.held,
        resident=reading.resident,
        peak=engine.memory.peak_bytes,
        startup=engine.memory.startup_bytes,
        clients=clients,
        replicas=replicas,
        backlog=engine.replication.primary.backlog_bytes,
        aof_buffer=engine.aof.feed.buffered_bytes,
        scripts=_scripts_bytes(engine),
        tables=_tables(engine),
        keys=sum(len(db.data) for db in engine.ks.dbs),
    )


def _tables(engine: Engine) -> tuple[Tables, ...]:
    return tuple(
        Tables(db.index, len(db.data) * KEY_BYTES, len(db.expires) * EXPIRY_BYTES)
        for db in engine.ks.dbs
        if db.data
    )


def _scripts_bytes(engine: Engine) -> int:
    """Scripts, functions and their Lua states."""
    scripting = engine.scripting
    return (
        scripting.eval_vm_bytes
        + scripting.function_vm_bytes
        + scripting.scripts_bytes
        + scripting.functions_bytes
    )
