"""Memory: what a value takes in CPython, what the server takes of the machine.

A value's size (MEMORY USAGE) is an estimate in bytes, put together from what
``sys.getsizeof`` says of each object, rounded up to the 16 bytes that the allocator deals in:

    bytes       33 + length                          float  24
    int         28 and up                            tuple  a sorted set's entry (score, member): 56
    dict        its whole table: per key 24 for the entry and 1 to 8 in the index, and
                whatever room it has left
    list        8 a slot, with the room left;        deque  8 a slot, in blocks of 64
    an object   its header and slots

plus what it refers to. Elements of a collection are sampled: the mean size of the first few
times their number. A key adds its own name, its share of the database's table and, with a TTL,
that of the second table and an int.

The server's size (``used_memory``) is the private memory of the process: its resident pages
less those backed by files. CPython does not know how many bytes of its arenas are alive, so
free room inside them counts as used, and the number follows deletions only as far as whole
arenas or large blocks go back. Its growth includes what the interpreter took for itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pyredis.keyspace import STRING_TYPES
from pyredis.types.hashes import Hash
from pyredis.types.lists import List
from pyredis.types.sets import Set
from pyredis.types.zset import ZSet

if TYPE_CHECKING:
    from pyredis.engine import Engine
    from pyredis.host import Host
    from pyredis.keyspace import Database, Value
    from pyredis.types.deadlines import Deadlines

SAMPLES_DEFAULT: Final = 5
_UNIT_BYTES: Final = 16
_SLOT_BYTES: Final = 8
_FLOAT_BYTES: Final = 24
_TIME_BYTES: Final = 32  # an int that holds a Unix time in ms


def object_bytes(thing: object) -> int:
    """The size of one object without what it refers to."""
    return -(-sys.getsizeof(thing) // _UNIT_BYTES) * _UNIT_BYTES


def value_bytes(value: Value, samples: int = SAMPLES_DEFAULT) -> int:
    """What a value takes, about. O(samples); 0 looks at all elements."""
    size = object_bytes(value)
    if type(value) in STRING_TYPES:
        return size
    if isinstance(value, List):
        return size + object_bytes(value.items) + _elements(value.items, len(value), samples)
    if isinstance(value, Set):
        return (
            size
            + object_bytes(value.members)
            + _index(value.index)
            + _elements(value.members, len(value), samples)
        )
    if isinstance(value, Hash):
        fields = value.fields
        return (
            size
            + object_bytes(fields)
            + _index(value.index)
            + _deadlines(value.deadlines)
            + _elements(fields, len(fields), samples)
            + _elements(fields.values(), len(fields), samples)
        )
    if isinstance(value, ZSet):
        entry_bytes = object_bytes((0.0, b"")) + _FLOAT_BYTES
        count = len(value)
        return (
            size
            + object_bytes(value.scores)
            + object_bytes(value.order)
            + (0 if isinstance(value.order, list) else count * _SLOT_BYTES)
            + _index(value.index)
            + count * entry_bytes
            + _elements(value.scores, count, samples)
        )
    nested: int = value.memory_bytes(samples)
    return nested


def key_bytes(db: Database, key: bytes) -> int:
    """What a key takes beside its value."""
    size = object_bytes(key) + _share(db.data)
    if key in db.expires:
        size += _share(db.expires) + _TIME_BYTES
    return size


def _share(table: dict[Any, Any]) -> int:
    return object_bytes(table) // len(table)


def _elements(elements: Iterable[Any], count: int, samples: int) -> int:
    """The sizes of all elements, estimated from the first few."""
    if not count:
        return 0
    seen = min(samples, count) if samples else count
    return sum(map(object_bytes, islice(elements, seen))) * count // seen


def _deadlines(deadlines: Deadlines | None) -> int:
    """Both its parts, each time once; the names belong to the fields."""
    if deadlines is None:
        return 0
    entry_bytes = object_bytes((0, b"")) + _SLOT_BYTES + _TIME_BYTES
    return object_bytes(deadlines) + object_bytes(deadlines.when) + len(deadlines) * entry_bytes


def _index(index: Any) -> int:
    if index is None:
        return 0
    return object_bytes(index) + object_bytes(index.order) + object_bytes(index.stale)


class MemoryMeter:
    """The server's own use: at the start, now, and at its peak."""

    __slots__ = ("_host", "peak_bytes", "startup_bytes")

    def __init__(self, host: Host) -> None:
        self._host = host
        self.startup_bytes = host.memory().private_bytes
        self.peak_bytes = self.startup_bytes

    def used_bytes(self) -> int:
        """What the server uses now. Remembers the peak."""
        return self.read()[0]

    def sample(self) -> None:
        """A job of the cron: keep the peak up to date."""
        self.read()

    def read(self) -> tuple[int, int]:
        """What the server uses, and how much of the process is resident."""
        use = self._host.memory()
        self.peak_bytes = max(self.peak_bytes, use.private_bytes)
        return use.private_bytes, use.resident_bytes


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
    tables: tuple[Tables, ...]
    keys: int

    @property
    def overhead(self) -> int:
        """All that is no data: the interpreter, clients, tables."""
        tables = sum(each.main_bytes + each.expires_bytes for each in self.tables)
        return self.startup + self.clients + tables

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
    return Overview(
        used=used,
        resident=resident,
        peak=engine.memory.peak_bytes,
        startup=engine.memory.startup_bytes,
        clients=sum(session.memory_bytes() for session in engine.sessions.values()),
        tables=tuple(
            Tables(db.index, object_bytes(db.data), object_bytes(db.expires))
            for db in engine.ks.dbs
            if db.data
        ),
        keys=sum(len(db.data) for db in engine.ks.dbs),
    )
