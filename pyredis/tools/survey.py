"""What is in an RDB file: counts and sizes, gathered from the reader's events. Pure.

Sizes are those of the records in the file, names and expiries included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from pyredis.keyspace import Value
from pyredis.persistence.rdb import (
    Aux,
    Event,
    FunctionCode,
    Header,
    Key,
    ModuleAux,
    SelectDb,
)

FORMS: Final = {
    0: "string",
    1: "list",
    2: "set",
    3: "zset (scores as text)",
    4: "hash",
    5: "zset",
    6: "module (first format)",
    7: "module",
    9: "hash as zipmap",
    10: "list as ziplist",
    11: "set as intset",
    12: "zset as ziplist",
    13: "hash as ziplist",
    14: "list as quicklist of ziplists",
    15: "stream",
    16: "hash as listpack",
    17: "zset as listpack",
    18: "list as quicklist of listpacks",
    19: "stream (2)",
    20: "set as listpack",
    21: "stream (3)",
    24: "hash with field TTLs",
    25: "hash with field TTLs as listpack",
}
"""The types of values, by their number in the file."""

_REDIS: Final = {
    1: "1.0", 2: "1.2", 3: "2.2", 4: "2.4", 5: "2.5", 6: "2.6", 7: "3.2", 8: "4.0", 9: "5.0",
    10: "7.0", 11: "7.2", 12: "7.4",
}  # fmt: skip


def first_release(version: int) -> str:
    """The first Redis that wrote this version of the format."""
    return _REDIS.get(version, "?")


def type_name(value: Value | None, kind: int = 0) -> str:
    """The type of a value as TYPE says it; "module", "empty" for what is no value here."""
    if value is None:
        return "module" if kind in (6, 7) else "empty"
    if isinstance(value, (bytes, bytearray, int)):
        return "string"
    name: bytes = value.type_name
    return name.decode()


def elements(value: Value | None) -> int:
    """How many elements a value has; the length of a string."""
    if value is None:
        return 0
    if isinstance(value, int):
        return len(str(value))
    return len(value)


class Survey:
    """Counts what a reader with details says."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.version = 0
        self.aux: dict[bytes, bytes] = {}
        self.functions = 0
        self.modules: list[int] = []
        self.db = 0
        self.keys = 0
        self.expires = 0
        self.expired = 0
        self.field_ttls = 0
        self.last_key: bytes | None = None
        self.keys_by_db: Counter[int] = Counter()
        self.expires_by_db: Counter[int] = Counter()
        self.keys_by_type: Counter[str] = Counter()
        self.bytes_by_type: Counter[str] = Counter()
        self.elements_by_type: Counter[str] = Counter()
        self.keys_by_form: Counter[int] = Counter()
        self.bytes_by_form: Counter[int] = Counter()
        self.largest: tuple[int, bytes] = (0, b"")

    def take(self, events: Iterable[Event]) -> None:
        """Count these."""
        for event in events:
            if isinstance(event, Key):
                self._key(event)
            elif isinstance(event, SelectDb):
                self.db = event.number
            elif isinstance(event, Aux):
                self.aux[event.name] = event.value
            elif isinstance(event, FunctionCode):
                self.functions += 1
            elif isinstance(event, ModuleAux):
                self.modules.append(event.module_id)
            elif isinstance(event, Header):
                self.version = event.version

    def _key(self, key: Key) -> None:
        name = type_name(key.value, key.kind)
        size = key.size_bytes
        self.last_key = key.name
        self.keys += 1
        self.keys_by_db[self.db] += 1
        self.keys_by_type[name] += 1
        self.bytes_by_type[name] += size
        self.elements_by_type[name] += elements(key.value)
        self.keys_by_form[key.kind] += 1
        self.bytes_by_form[key.kind] += size
        self.largest = max(self.largest, (size, key.name))
        self.field_ttls += key.kind in (24, 25)
        if key.expiry_ms is not None:
            self.expires += 1
            self.expires_by_db[self.db] += 1
            self.expired += key.expiry_ms < self.now_ms


def module_name(module_id: int) -> str:
    """The name of a module's type: nine characters of six bits before a version of ten."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "".join(letters[module_id >> shift & 63] for shift in range(58, 9, -6))
