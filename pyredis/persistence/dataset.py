"""A dataset on its way into the server: nothing is changed before all of it is there.

A ``Loader`` collects what a reader says into plain dicts. Only when the end has come, with
the right checksum, ``install`` puts them in place of what the databases hold, which is a
matter of assignments. Whatever goes wrong before leaves the old data as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pyredis.persistence.rdb import (
    Aux,
    FunctionCode,
    Key,
    ModuleAux,
    RdbError,
    Run,
    SelectDb,
)
from pyredis.persistence.reader import Reader
from pyredis.persistence.values import Limits

if TYPE_CHECKING:
    from pyredis.keyspace import Database, Keyspace, Value

NEVER: Final = -(1 << 63)


class Contents:
    """What a database is to hold. ``idle_s`` and ``frequencies`` may lack any key."""

    __slots__ = ("data", "expires", "frequencies", "idle_s")

    def __init__(self) -> None:
        self.data: dict[bytes, Value] = {}
        self.expires: dict[bytes, int] = {}
        self.idle_s: dict[bytes, int] = {}
        self.frequencies: dict[bytes, int] = {}


class Dataset:
    """Databases by number, and what goes with them."""

    __slots__ = ("aux", "dbs", "expired_keys", "functions", "skipped_keys")

    def __init__(self) -> None:
        self.aux: dict[bytes, bytes] = {}
        self.functions: list[bytes] = []
        self.dbs: dict[int, Contents] = {}
        self.expired_keys: list[tuple[int, bytes]] = []  # left out because their time was over
        self.skipped_keys: list[bytes] = []  # left out because they held nothing

    @property
    def keys(self) -> int:
        """How many keys there are."""
        return sum(len(contents.data) for contents in self.dbs.values())

    @property
    def expired(self) -> int:
        """How many keys were left out because their time was over."""
        return len(self.expired_keys)

    def install(self, ks: Keyspace) -> list[dict[bytes, Value]]:
        """Put this in place of all data, which are returned. The dicts are taken over, not copied.

        There must be as many databases as the loader was told.
        """
        empty = Contents()
        replaced: list[dict[bytes, Value]] = []
        for db in ks.dbs:
            contents = self.dbs.get(db.index, empty)
            if contents is empty:
                replaced.append(db.clear()[0])
                continue
            replaced.append(db.adopt(contents.data, contents.expires)[0])
            self._mark(ks, db, contents)
        return replaced

    def clash(self, ks: Keyspace) -> bytes | None:
        """A key that is here and in the databases, if there is any."""
        for db in ks.dbs:
            if db.index in self.dbs:
                for key in self.dbs[db.index].data.keys() & db.data.keys():
                    return key
        return None

    def merge(self, ks: Keyspace) -> None:
        """Add this to all data; of two keys of the same name this one stays. O(keys)."""
        for db in ks.dbs:
            contents = self.dbs.get(db.index)
            if contents is None:
                continue
            for key, value in contents.data.items():
                db.replace(key, value)
                db.schedule(key, value)
            for key, expiry_ms in contents.expires.items():
                db.set_expiry(key, expiry_ms)
            self._mark(ks, db, contents)

    def _mark(self, ks: Keyspace, db: Database, contents: Contents) -> None:
        """Give keys the marks of use that the eviction policy of now goes by."""
        if ks.lfu:
            for key, frequency in contents.frequencies.items():
                db.set_frequency(key, frequency)
        else:
            for key, idle_s in contents.idle_s.items():
                db.set_idle_seconds(key, idle_s)


class Loader:
    """Builds a dataset from a file in chunks. Feed it, then ask for ``finish``."""

    __slots__ = ("_contents", "_count", "_dataset", "_drop_before_ms", "_index", "reader")

    def __init__(
        self, limits: Limits, databases: int, drop_before_ms: int = NEVER, checks: bool = True
    ) -> None:
        """Keys that expire before ``drop_before_ms`` are left out (a replica keeps them all)."""
        self.reader = Reader(limits, checks)
        self._count = databases
        self._drop_before_ms = drop_before_ms
        self._dataset = Dataset()
        self._contents = self._select(SelectDb(0))

    @property
    def dataset(self) -> Dataset:
        """What has been read so far. It is not to be installed before ``finish``."""
        return self._dataset

    def feed(self, chunk: bytes) -> None:
        """Takes more of the file. Raises RdbError for what cannot be loaded."""
        for event in self.reader.feed(chunk):
            self._take(event)

    def finish(self) -> Dataset:
        """The dataset, once the file is over. Raises RdbError if its end is missing."""
        for event in self.reader.finish():
            self._take(event)
        if not self.reader.done:
            self.reader.finish()
        return self._dataset

    def _take(self, event: object) -> None:
        if isinstance(event, Run):
            self._add_run(event)
        elif isinstance(event, Key):
            self._add(event)
        elif isinstance(event, SelectDb):
            self._contents = self._select(event)
        elif isinstance(event, Aux):
            self._dataset.aux[event.name] = event.value
        elif isinstance(event, FunctionCode):
            self._dataset.functions.append(event.code)
        elif isinstance(event, ModuleAux):
            raise RdbError("data of a module that is not here", event.offset)

    def _select(self, found: SelectDb) -> Contents:
        number, offset = found
        if number >= self._count:
            raise RdbError(f"database {number}, while there are only {self._count}", offset)
        self._index = number
        return self._dataset.dbs.setdefault(number, Contents())

    def _add_run(self, run: Run) -> None:
        values, expires, offset = run
        if expires and min(expires.values()) < self._drop_before_ms:
            for name, when_ms in list(expires.items()):
                if when_ms < self._drop_before_ms:
                    del expires[name], values[name]
                    self._dataset.expired_keys.append((self._index, name))
        data = self._contents.data
        if not data.keys().isdisjoint(values):
            twice = next(iter(data.keys() & values.keys()))
            raise RdbError("key that is there twice", offset, twice)
        data.update(values)
        self._contents.expires.update(expires)

    def _add(self, found: Key) -> None:
        name, value, expiry_ms, idle_s, frequency = found[:5]
        contents = self._contents
        if value is None:
            self._dataset.skipped_keys.append(name)
            return
        if expiry_ms is not None:
            if expiry_ms < self._drop_before_ms:
                self._dataset.expired_keys.append((self._index, name))
                return
            contents.expires[name] = expiry_ms
        data = contents.data
        if name in data:
            raise RdbError("key that is there twice", found.offset, name)
        data[name] = value
        if idle_s is not None:
            contents.idle_s[name] = idle_s
        if frequency is not None:
            contents.frequencies[name] = frequency


def load(
    chunks: Iterable[bytes], limits: Limits, databases: int, drop_before_ms: int = NEVER
) -> Dataset:
    """The dataset in a file that comes in chunks. Raises RdbError."""
    loader = Loader(limits, databases, drop_before_ms)
    for chunk in chunks:
        loader.feed(chunk)
    return loader.finish()
