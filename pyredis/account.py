"""The server's own account of its data: what every key and value weighs, in bytes.

Source of the figures: CPython 3.11's object layouts, and its allocator's units of 16 bytes.

    a string      33 + length (bytes), 32 (int), what it has reserved (bytearray)
    a collection  its *frame*: the object and its tables with whatever room they have left,
                  asked of ``sys.getsizeof``, and a constant for each element's own tuples,
                  floats and the like; and its *payload*: the bytes of its elements
    a key         its name, and KEY_BYTES for its share of the database's tables
    a TTL         EXPIRY_BYTES for the share of the second table and the time

Tables of databases are not counted as they are. A dict grows by doubling, and when keys come
and go at a constant number it is rebuilt at three to six times their number. Counted so, one
insertion more could cost a third of all keys their place. A key's share is a constant instead,
in the middle of what was measured.

Frame and payload are found in O(1): collections keep their payload themselves (``weight.py``).

Keeping the account. A server without ``maxmemory`` keeps none, and pays nothing. With it, the
databases become ``Accounted``: the same object under a subclass whose writing methods also keep a
``Ledger``. A string is weighed where it is put. A collection changes under the hands of
its command, so its key is only marked *dirty*, and weighed again by ``settle``, once for all
changes of a batch. ``sizes`` remembers what it was entered with.

    ledger.bytes == what ``recount`` finds, after ``settle``

While none is kept, ``counted_bytes`` weighs the data of a small server whenever it is asked to.

Beginning the account. A million keys cannot be weighed at once, so the *census* walks over a
list of the keys that there were, in slices. Differences are entered from the first moment on,
so the census has to enter each value as it was then. What changes meanwhile is *touched*: the
first change notes what the value had weighed, and that is entered when the walk comes by. For
collections it is nothing: they enter whole, when settled or when walked over, whatever is first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pyredis.keyspace import STRING_TYPES, Database
from pyredis.types.hashes import Hash
from pyredis.types.lists import List
from pyredis.types.sets import Set
from pyredis.types.streams import Stream
from pyredis.types.weight import UNIT_BYTES, weight, weights
from pyredis.types.zset import ZSet

if TYPE_CHECKING:
    from pyredis.keyspace import Keyspace, Value
    from pyredis.ports import Clock
    from pyredis.types.deadlines import Deadlines

KEY_BYTES: Final = 88  # 64 in the dict, 24 in the array of use marks
EXPIRY_BYTES: Final = 96
NO_LIMIT: Final = 1 << 62

_INT_BYTES: Final = 32
_ZSET_ENTRY_BYTES: Final = 64 + 32  # a tuple and a float
_BLOCK_SLOT_BYTES: Final = 9  # of a SortedList's lists, which are not full
_DEADLINE_BYTES: Final = 64 + 8 + 32  # the heap's tuple and slot, and the time
_CENSUS_KEYS: Final = 500  # weighed between two looks at the clock
_PLAIN: Final = frozenset((bytes, int, type(None)))  # weighed where they are put


def object_bytes(thing: object) -> int:
    """The size of one object without what it refers to."""
    return -(-sys.getsizeof(thing) // UNIT_BYTES) * UNIT_BYTES


def string_bytes(value: bytes | bytearray | int) -> int:
    """What a string value takes."""
    if type(value) is bytes:
        return weight(value)
    return _INT_BYTES if type(value) is int else object_bytes(value)


def frame_bytes(value: Value) -> int:
    """What a collection takes beside its elements' own bytes. O(1), O(groups) for a stream."""
    size = object_bytes(value)
    if isinstance(value, List):
        return size + object_bytes(value.items)
    if isinstance(value, Hash):
        return size + object_bytes(value.fields) + _index(value.index) + _deadlines(value.deadlines)
    if isinstance(value, Set):
        return size + object_bytes(value.members) + _index(value.index)
    if isinstance(value, ZSet):
        size += object_bytes(value.scores) + len(value.scores) * _ZSET_ENTRY_BYTES
        order = value.order
        size += object_bytes(order)
        if not isinstance(order, list):
            size += len(order) * _BLOCK_SLOT_BYTES
        return size + _index(value.index)
    assert isinstance(value, Stream)
    return size + value.groups_bytes()


def value_bytes(value: Value, samples: int = 0) -> int:
    """What a value takes. O(1) where its payload is kept.

    Otherwise O(n), or O(samples) unless that is 0: the mean of so many elements stands for all.
    """
    if type(value) in STRING_TYPES:
        return string_bytes(value)
    payload: int | None = value.payload
    if payload is None:
        payload = _sampled(value, samples) if 0 < samples < len(value) else value.elements_bytes()
    return frame_bytes(value) + payload


def key_bytes(db: Database, key: bytes) -> int:
    """What a key takes beside its value."""
    return weight(key) + KEY_BYTES + (EXPIRY_BYTES if key in db.expires else 0)


def _weigh(value: Value) -> int:
    """What a value takes; a collection keeps its payload from then on."""
    if type(value) is not bytearray and value.payload is None:
        value.payload = value.elements_bytes()
    return value_bytes(value)


def _sampled(value: Value, samples: int) -> int:
    """The payload of a collection, from its first elements."""
    count = len(value)
    if isinstance(value, Stream):
        seen, found = 0, 0
        for node in value.nodes:
            taken = min(samples - seen, len(node.ids))
            found += node.payload_of(0, taken)
            seen += taken
            if seen >= samples:
                break
        return found * count // seen + sum(node.frame_bytes() for node in value.nodes)
    parts: tuple[Iterable[bytes], ...]
    if isinstance(value, Hash):
        parts = (value.fields, value.fields.values())
    elif isinstance(value, List):
        parts = (value.items,)
    else:
        parts = (value.members if isinstance(value, Set) else value.scores,)
    return sum(weights(islice(part, samples)) for part in parts) * count // samples


def _deadlines(deadlines: Deadlines | None) -> int:
    """Both its parts, each time once; the names belong to the fields."""
    if deadlines is None:
        return 0
    size = object_bytes(deadlines) + object_bytes(deadlines.when)
    return size + len(deadlines.when) * _DEADLINE_BYTES


def _index(index: Any) -> int:
    if index is None:
        return 0
    return object_bytes(index) + object_bytes(index.order) + object_bytes(index.stale)


class Ledger:
    """The account of one database's contents.

    When ``bytes`` passes ``soft``, the end of the batch looks at the server's limit. It may pass
    ``hard`` only with the keyspace's flag ``after`` raised.
    """

    __slots__ = ("bytes", "dirty", "hard", "pending", "sizes", "soft", "touched")

    def __init__(self) -> None:
        """The account of nothing."""
        self.bytes = 0
        self.soft = self.hard = NO_LIMIT
        self.sizes: dict[bytes, int] = {}  # what values were entered with that change in place
        self.dirty: set[bytes] = set()
        self.pending: list[bytes] | None = None  # what the census still has to walk over
        self.touched: dict[bytes, int] = {}

    def replaced(self, key: bytes, old: Value | None, new: Value) -> None:
        """A key has got a value, in place of an old one or (None) newly."""
        added = weight(key) + KEY_BYTES if old is None else -self.leaves(key, old)
        if type(new) in _PLAIN:
            added += string_bytes(new)
        else:
            self.dirty.add(key)
        if self.pending is not None and old is None:
            self.touched.setdefault(key, 0)
        self.bytes += added

    def removed(self, key: bytes, old: Value) -> None:
        """A key is gone."""
        self.bytes -= self.leaves(key, old) + weight(key) + KEY_BYTES

    def leaves(self, key: bytes, old: Value) -> int:
        """What an old value is to be taken out with; it is forgotten."""
        if type(old) in _PLAIN:
            size = string_bytes(old)
            if self.pending is not None:
                self.touched.setdefault(key, size)
            return size
        if self.pending is not None:
            self.touched.setdefault(key, 0)
        return self.sizes.pop(key, 0)

    def settle(self, data: dict[bytes, Value]) -> None:
        """Weigh what has changed in place."""
        dirty, sizes = self.dirty, self.sizes
        for key in dirty:
            value = data.get(key)
            if type(value) in _PLAIN:
                continue  # gone since, or written over
            size = _weigh(value)
            self.bytes += size - sizes.get(key, 0)
            sizes[key] = size
            if self.pending is not None:
                self.touched.setdefault(key, 0)
        dirty.clear()

    def begin(self, data: dict[bytes, Value]) -> None:
        """Start a census: the account is of these data from now on, once they are weighed."""
        self.bytes = 0
        self.sizes = {}
        self.dirty = set()
        self.touched = {}
        self.pending = list(data) if data else None

    def walk(self, data: dict[bytes, Value], count: int) -> None:
        """Weigh the next so many keys of the census."""
        pending, touched, sizes = self.pending, self.touched, self.sizes
        assert pending is not None
        page = pending[-count:]
        del pending[-count:]
        total = weights(page) + len(page) * KEY_BYTES
        for key in page:
            if key in touched:
                total += touched[key]
                continue
            value = data[key]
            if type(value) is bytes:
                total += weight(value)
            elif type(value) is int:
                total += _INT_BYTES
            elif key not in sizes:
                sizes[key] = _weigh(value)
                total += sizes[key]
        self.bytes += total
        if not pending:
            self.pending = None
            self.touched = {}


class Accounted(Database):
    """A database that keeps its ledger. Made of a plain one, and turned back, in place."""

    __slots__ = ()

    def store(self, key: bytes, value: Value, event: str) -> None:
        """As in ``Database``; a string in place of a string is spelled out."""
        ks = self.ks
        ledger: Ledger = self.ledger
        old = self.data.get(key)
        if (
            (old is not None and type(old) is not bytes)
            or ks.observed
            or ks.touch_mode
            or ledger.pending is not None
            or key in self.expires
            or self.waiting
        ):
            self.replace(key, value)
            self.changed(key, event)
            return
        self.data[key] = value
        if old is None:
            # Twice ``weight``, without the calls.
            size, more = len(key), len(value)
            ledger.bytes += KEY_BYTES + (size + 48 & -16 if size > 1 else 0)
            ledger.bytes += more + 48 & -16 if more > 1 else 0
            self._added(key)
        else:
            if len(old) != len(value):
                ledger.bytes += weight(value) - weight(old)
            self._words[hash(key) & self._mask] = ks.lru_clock
        if ledger.bytes > ledger.hard:
            ks.after = True
        ks.dirty += 1

    def replace_all(self, pairs: tuple[bytes, ...], event: str) -> None:
        """As in ``Database``."""
        turns = iter(pairs)
        for key, value in zip(turns, turns, strict=True):
            self.store(key, value, event)

    def put(self, key: bytes, value: Value) -> None:
        """As in ``Database``."""
        if key in self.expires and self._gone(key) and key in self.data:
            self.remove(key)
        ledger: Ledger = self.ledger
        ledger.replaced(key, self.data.get(key), value)
        Database.put(self, key, value)
        if ledger.bytes > ledger.hard:
            self.ks.after = True

    def remove(self, key: bytes) -> Value | None:
        """As in ``Database``."""
        value = Database.remove(self, key)
        if value is not None:
            self.ledger.removed(key, value)
        return value

    def changed(self, key: bytes, event: str, count: int = 1) -> None:
        """As in ``Database``."""
        Database.changed(self, key, event, count)
        if type(self.data.get(key)) not in _PLAIN:
            self.ledger.dirty.add(key)
            if type(self.data[key]) is bytearray:  # grows by more than a request brings
                self.settle()

    def changed_unseen(self, key: bytes, count: int = 1) -> None:
        """As in ``Database``."""
        Database.changed_unseen(self, key, count)
        self.ledger.dirty.add(key)

    def clear(self) -> tuple[dict[bytes, Value], dict[bytes, int]]:
        """As in ``Database``."""
        old = Database.clear(self)
        self.ledger.begin(self.data)
        return old

    def adopt(
        self, data: dict[bytes, Value], expires: dict[bytes, int]
    ) -> tuple[dict[bytes, Value], dict[bytes, int]]:
        """As in ``Database``; the new contents are weighed in a census."""
        old = Database.adopt(self, data, expires)
        self.ledger.begin(self.data)
        return old

    def evict(
        self, victims: Iterable[tuple[bytes, int]], free: Callable[[Value], None] | None = None
    ) -> tuple[int, int]:
        """Delete keys, quickly; returns how many there were, and how many bytes they took.

        With each comes its place in the index of all keys, if it has not moved since; taken out
        there, it leaves the index nothing to tidy. ``free`` is called with the values.
        """
        data, expires, waiting, volatile = self.data, self.expires, self.waiting, self.volatile.when
        keys, ledger = self.keys, self.ledger
        order = keys.order if keys is not None else []
        count = freed = expired = 0
        plain = ledger.pending is None  # strings need no more than their weight
        for key, place in victims:
            value = data.pop(key, None)
            if value is None:
                continue  # drawn twice
            if keys is not None:
                if 0 <= place < len(order) and order[place] == key:
                    keys.cut(place)
                else:
                    keys.discard(key)
            if expires and key in expires:
                self._drop_expiry(key)
                expired += 1
            if volatile and key in volatile:
                self.volatile.discard(key)
            if waiting and key in waiting:
                self.signal(key)
            if plain and type(value) is bytes:
                size = len(value)
                freed += size + 48 & -16 if size > 1 else 0
            else:
                freed += ledger.leaves(key, value)
                if free is not None:
                    free(value)
            freed += weight(key) + KEY_BYTES
            count += 1
        ledger.bytes -= freed
        return count, freed + expired * EXPIRY_BYTES

    def settle(self) -> None:
        """Weigh what has changed in place. O(changed keys)."""
        ledger: Ledger = self.ledger
        ledger.settle(self.data)
        if ledger.bytes > ledger.hard:
            self.ks.after = True


class Account:
    """The account of all databases of a server."""

    __slots__ = ("_active", "_clock", "_ks", "kept")

    def __init__(self, ks: Keyspace, clock: Clock) -> None:
        """Keeps nothing yet."""
        self._ks = ks
        self._active: list[Database] = []  # those with keys
        self._clock = clock
        self.kept = False

    def keep(self) -> None:
        """Begin the account; ``census`` has to be called until it is done."""
        if not self.kept:
            self.kept = True
            for db in self._ks.dbs:
                db.ledger = Ledger()
                db.__class__ = Accounted
                db.ledger.begin(db.data)

    def drop(self) -> None:
        """End the account."""
        self.kept = False
        self._active = []
        for db in self._ks.dbs:
            db.__class__ = Database
            db.ledger = None

    @property
    def complete(self) -> bool:
        """Whether the account is kept and no census is under way."""
        return self.kept and all(db.ledger.pending is None for db in self._ks.dbs)

    def census(self, budget_ns: int) -> bool:
        """Weigh keys for about that long; returns whether all are weighed."""
        end_ns = self._clock.steady_ns() + budget_ns
        for db in self._ks.dbs:
            while db.ledger.pending is not None:
                db.ledger.walk(db.data, _CENSUS_KEYS)
                if self._clock.steady_ns() > end_ns:
                    return self.complete
        return True

    def settled_bytes(self) -> int:
        """What keys and values weigh now, without TTLs. O(databases + changed keys)."""
        total = 0
        for db in self._ks.dbs:
            ledger = db.ledger
            if ledger.dirty:
                ledger.settle(db.data)
            total += ledger.bytes
        return total

    def allow(self, soft_bytes: int, hard_bytes: int) -> None:
        """Set how much more data may come until the limit is looked at again.

        After ``soft_bytes`` at the end of the batch (``grown``), after ``hard_bytes`` at once. The
        first key of an empty database counts as too much, since only others are kept in sight.
        """
        dbs = self._ks.dbs
        self._active = [db for db in dbs if db.data]
        share_bytes = soft_bytes // (len(self._active) or 1)
        for db in dbs:
            ledger = db.ledger
            ledger.soft = ledger.hard = ledger.bytes
            if db.data:
                ledger.soft += share_bytes
                ledger.hard += hard_bytes

    def grown(self) -> bool:
        """Whether a database has grown by more than was allowed. O(databases + changed keys)."""
        found = False
        for db in self._active:
            ledger = db.ledger
            if ledger.dirty:
                ledger.settle(db.data)
            if ledger.bytes > ledger.soft:
                found = True
        return found

    def _check(self) -> None:
        """Assert that the account is what a count from scratch finds.

        Tables that only a look has built (SSCAN) are entered with the next write.
        """
        assert self.complete
        for db in self._ks.dbs:
            ledger: Ledger = db.ledger
            ledger.dirty.update(
                key for key, value in db.data.items() if getattr(value, "index", None) is not None
            )
            ledger.settle(db.data)
            assert ledger.bytes == recount(db, lambda value: value.elements_bytes())
            assert ledger.sizes.keys() == {
                key for key, value in db.data.items() if type(value) not in _PLAIN
            }


def counted_bytes(dbs: Sequence[Database], looks_max: int) -> int | None:
    """What all keys and values weigh, TTLs left out, where nobody keeps an account.

    None if more than so many keys and elements would have to be looked at.
    """
    looks = sum([len(db.data) for db in dbs])
    if looks > looks_max:
        return None
    total = looks * KEY_BYTES
    for db in dbs:
        plain = [value for value in db.data.values() if type(value) is bytes]
        total += weights(db.data) + weights(plain)
        if len(plain) == len(db.data):
            continue
        for value in db.data.values():
            if type(value) in STRING_TYPES:
                total += string_bytes(value) if type(value) is not bytes else 0
                continue
            if value.payload is None:
                looks += len(value)
                if looks > looks_max:
                    return None
            total += value_bytes(value)
    return total


def recount(db: Database, payload: Callable[[Value], int]) -> int:
    """What all keys and values weigh, TTLs left out, from scratch. O(all elements)."""
    total = 0
    for key, value in db.data.items():
        total += weight(key) + KEY_BYTES
        if type(value) in STRING_TYPES:
            total += string_bytes(value)
        else:
            total += frame_bytes(value) + payload(value)
    return total
