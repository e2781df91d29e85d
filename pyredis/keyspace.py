"""The data: numbered databases of keys, each with a value and perhaps a time to live.

Representation. A database is a dict from key to value and a second, sparse one from key
to expiry time. Values are what CPython handles fastest for each type:

* strings are ``bytes``; a string that APPEND, SETRANGE or SETBIT changed is a
  ``bytearray`` (those then cost what they touch, and the encoding is ``raw``); a number
  that INCR made is an ``int``;
* other types are small objects from ``pyredis.types``.

Idle times and LFU counters would cost a Redis object header a key. Python has no room
for that beside a ``bytes``, so they live in an array of 32-bit words indexed by the
key's hash, at least four words for every key. Two keys that share a word look as fresh as the
fresher of them; never staler. Growing the array is ``words + words``: every key finds
its own word in the upper half too.

LFU counters are wanted more exact: a key that came by one from a much used neighbour would
stay for long. So they stand in two such arrays, at places that differ, and the lower one
counts: a count-min sketch (Cormode and Muthukrishnan) with two rows. A new key starts
with what it finds, if that is more than a new key's counter, lest a neighbour lose its own.

Expiry is lazy: a look-up that meets a key past its time deletes it first, as a unit of
its own inside the running one. The active cycle is ``expire.py``'s.

RANDOMKEY, SCAN and sampling go through a ``KeyIndex``, built at first use.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pyredis.resp import Error
from pyredis.types.deadlines import Deadlines
from pyredis.types.hashes import Hash
from pyredis.types.index import KeyIndex
from pyredis.unit import Argv, Unit

if TYPE_CHECKING:
    from pyredis.ports import Rng

Value = Any
T = TypeVar("T")

WRONGTYPE: Final = "WRONGTYPE Operation against a key holding the wrong kind of value"
STRING_TYPES: Final = frozenset((bytes, bytearray, int))

# How a look-up marks the key as used.
TOUCH_LRU, TOUCH_LFU, TOUCH_NOT = 0, 1, 2

LFU_INIT: Final = 5
_WORDS_MIN: Final = 65536
_CONTENTS: Final = (
    *("data", "expires", "keys", "expires_index", "expires_cursor", "ttl_mean_ms", "volatile"),
    *("_words", "_more_words", "_mask", "_words_limit", "ledger"),
)
_LFU_MINUTES: Final = 0xFFFF


def type_name(value: Value) -> bytes:
    """What TYPE says of a value."""
    if type(value) in STRING_TYPES:
        return b"string"
    name: bytes = value.type_name
    return name


class Database:
    """One numbered database. All methods are O(1) unless they say otherwise.

    ``data`` and ``expires`` may be read directly; writing goes through the methods,
    which keep index, expiries, waiters and watchers in step. Only the value of a key that
    ``write`` has just found may be replaced in ``data`` itself.
    """

    __slots__ = (
        "_mask",
        "_more_words",
        "_words",
        "_words_limit",
        "data",
        "expires",
        "expires_cursor",
        "expires_index",
        "index",
        "keys",
        "ks",
        "ledger",
        "ttl_mean_ms",
        "volatile",
        "waiting",
        "watched",
    )

    def __init__(self, ks: Keyspace, index: int) -> None:
        self.ks = ks
        self.index = index
        self.data: dict[bytes, Value] = {}
        self.expires: dict[bytes, int] = {}
        self.keys: KeyIndex | None = None
        self.expires_index: KeyIndex | None = None
        self.watched: dict[bytes, set[Any]] = {}
        self.waiting: dict[bytes, dict[Any, None]] = {}
        self.expires_cursor = 0  # where the active expire cycle goes on
        self.ttl_mean_ms = 0.0  # its running estimate, 0 while no key has a TTL
        # Hashes with fields that have a TTL, and no later than when to look at them. What was
        # written over may still be listed, until its time comes.
        self.volatile = Deadlines()
        self.ledger: Any = None  # what the data weigh, while somebody keeps account.py's account
        self._reset_words()

    # Look-up

    def read(self, key: bytes) -> Value | None:
        """The value for a command that reads; counts a hit or a miss, marks the key used."""
        ks = self.ks
        value = self.data.get(key)
        if value is None or (key in self.expires and self._gone(key)):
            ks.misses += 1
            if ks.observed:
                ks.unit.changes.append((self, key, "keymiss"))
                ks.after = True
            return None
        ks.hits += 1
        if ks.touch_mode:
            self._touch(key)
        else:
            self._words[hash(key) & self._mask] = ks.lru_clock
        return value

    def write(self, key: bytes) -> Value | None:
        """The value for a command that writes: as ``read``, without the counting.

        On a writable replica the writer finds keys past their time deleted, not only hidden.
        """
        value = self.data.get(key)
        if value is None:
            return None
        if key in self.expires and self._gone(key):
            if self.ks.on_expiry is not None and key in self.data:
                self.delete_expired(key)
            return None
        if self.ks.touch_mode:
            self._touch(key)
        else:
            self._words[hash(key) & self._mask] = self.ks.lru_clock
        return value

    def look(self, key: bytes) -> Value | None:
        """The value for a command that asks about the key: ``read``, but it is not marked used."""
        ks = self.ks
        value = self.peek(key)
        if value is None:
            ks.misses += 1
            if ks.observed:
                ks.unit.changes.append((self, key, "keymiss"))
                ks.after = True
            return None
        ks.hits += 1
        return value

    def peek(self, key: bytes) -> Value | None:
        """The value, leaving no trace but the deletion of an expired key."""
        value = self.data.get(key)
        if value is None or (key in self.expires and self._gone(key)):
            return None
        return value

    def read_as(self, key: bytes, kind: type[T]) -> T | None:
        """``read``, raising WRONGTYPE for a value of another type."""
        value = self.read(key)
        if value is None or type(value) is kind:
            return value
        raise Error(WRONGTYPE)

    def write_as(self, key: bytes, kind: type[T]) -> T | None:
        """``write``, raising WRONGTYPE for a value of another type."""
        value = self.write(key)
        if value is None or type(value) is kind:
            return value
        raise Error(WRONGTYPE)

    def obtain(self, key: bytes, kind: type[T]) -> T:
        """The value of that type, put in place empty when the key is missing.

        The caller fills it before anything can fail: no empty value may stay behind.
        """
        value = self.write_as(key, kind)
        if value is None:
            value = kind()
            self.put(key, value)
        return value

    def read_string(self, key: bytes) -> bytes | bytearray | None:
        """``read`` for strings, with numbers in their decimal form."""
        return _as_bytes(self.read(key))

    def write_string(self, key: bytes) -> bytes | bytearray | None:
        """``write`` for strings, with numbers in their decimal form."""
        return _as_bytes(self.write(key))

    # Change

    def put(self, key: bytes, value: Value) -> None:
        """Set the value; a TTL stays. The caller says ``changed`` with its event.

        An LFU counter stays too: the look-up before has counted this use.
        """
        data = self.data
        if key in self.expires and self._gone(key) and key in data:
            self.delete_expired(key)  # hidden on a replica, but a new value needs the place
        if key not in data:
            data[key] = value
            self._added(key)
        else:
            data[key] = value
            if not self.ks.touch_mode:
                self._words[hash(key) & self._mask] = self.ks.lru_clock

    def replace(self, key: bytes, value: Value) -> None:
        """Set the value and drop the TTL, as SET does. For an old key this counts as its use."""
        if self.ks.touch_mode and key in self.data:
            self._touch(key)
        gone = self.data.get(key) if self.waiting and key in self.waiting else None
        self.put(key, value)
        if key in self.expires:
            self._drop_expiry(key)
        if gone is not None and type_name(gone) == b"stream":
            self.signal(key)  # a consumer group's readers learn that their stream is gone

    def store(self, key: bytes, value: Value, event: str) -> None:
        """``replace`` and ``changed`` in one, for SET: the hot path does one look-up."""
        ks = self.ks
        if ks.observed or ks.touch_mode or key in self.expires:
            self.replace(key, value)
            self.changed(key, event)
            return
        data = self.data
        size = len(data)
        data[key] = value
        if len(data) != size:
            self._added(key)
        elif self.waiting and key in self.waiting:
            self.signal(key)
        self._words[hash(key) & self._mask] = ks.lru_clock
        ks.dirty += 1

    def replace_all(self, pairs: tuple[bytes, ...], event: str) -> None:
        """``replace`` and ``changed`` for keys and values in turn, O(n). What MSET does."""
        ks = self.ks
        turns = iter(pairs)
        if (
            ks.observed
            or ks.touch_mode
            or (self.expires and not self.expires.keys().isdisjoint(pairs[::2]))
            or (self.waiting and not self.waiting.keys().isdisjoint(pairs[::2]))
        ):
            for key, value in zip(turns, turns, strict=True):
                self.replace(key, value)
                self.changed(key, event)
            return
        data = self.data
        before = len(data)
        words, mask, clock = self._words, self._mask, ks.lru_clock
        for key, value in zip(turns, turns, strict=False):  # callers pass pairs
            data[key] = value
            words[hash(key) & mask] = clock
        if len(data) != before:
            # New keys stand at the end of the dict, in the order of their coming.
            for key in reversed(list(islice(reversed(data), len(data) - before))):
                self._added(key)
        ks.dirty += len(pairs) // 2

    def remove(self, key: bytes) -> Value | None:
        """Take the key out and return its value, None if it was missing. TTL goes too.

        No expiry check: callers look the key up first.
        """
        value = self.data.pop(key, None)
        if value is None:
            return None
        if key in self.expires:
            self._drop_expiry(key)
        if key in self.volatile.when:
            self.volatile.discard(key)
        if self.keys is not None:
            self.keys.discard(key)
        if key in self.waiting:
            self.signal(key)  # a consumer group's readers learn that the key is gone
        return value

    def changed(self, key: bytes, event: str, count: int = 1) -> None:
        """Record that ``key`` was modified, ``count`` elements of it, under ``event``.

        With ``count`` 0 only the event is new (the "del" behind an "lpop"), and by itself
        nothing to propagate (an LTRIM that cut nothing off).
        """
        ks = self.ks
        ks.dirty += count
        if ks.observed:
            ks.unit.changes.append((self, key, event))
            ks.after = True

    def changed_unseen(self, key: bytes, count: int = 1) -> None:
        """Record a modification that has no event and is none to watchers.

        Redis treats what happens inside a consumer group so.
        """
        self.ks.dirty += count

    def signal(self, key: bytes) -> None:
        """Let clients blocked on ``key`` look again once the running command is over."""
        if key in self.waiting:
            self.ks.ready[(self, key)] = None
            self.ks.after = True

    # Time to live

    def expiry(self, key: bytes) -> int | None:
        """Absolute expiry time in ms, None without a TTL."""
        return self.expires.get(key)

    def set_expiry(self, key: bytes, when_ms: int) -> None:
        """Give an existing key an absolute expiry time in ms."""
        if self.expires_index is not None and key not in self.expires:
            self.expires_index.add(key)
        self.expires[key] = when_ms
        ks = self.ks
        if ks.on_expiry is not None and not ks.ignore_expiry:
            ks.on_expiry(self, key, when_ms)

    def persist(self, key: bytes) -> bool:
        """Take the TTL away; False if there was none."""
        if key not in self.expires:
            return False
        self._drop_expiry(key)
        return True

    def schedule(self, key: bytes, value: Value) -> None:
        """Have the active expire cycle see to the fields of a hash, if some have a TTL.

        For whoever gives a field an earlier time than it had, or a key a ready-made value.
        """
        if type(value) is Hash and value.deadlines is not None:
            next_ms = value.deadlines.next_ms()
            listed_ms = self.volatile.when.get(key)
            if next_ms is not None and (listed_ms is None or next_ms < listed_ms):
                self.volatile.set(key, next_ms)

    def delete_expired(self, key: bytes) -> None:
        """Delete a key past its time: event, counter, and a DEL (UNLINK) to propagate.

        No change in the sense of ``ks.dirty``: time did it, no command.
        """
        ks = self.ks
        value = self.remove(key)
        if ks.lazy_expire_unlink:
            ks.free(value)
        ks.expired += 1
        if ks.observed:
            ks.unit.changes.append((self, key, "expired"))
            ks.after = True
        if ks.feeds:
            ks.propagate(self.index, ks.expire_argv(key), implied=True)

    def _gone(self, key: bytes) -> bool:
        """Whether a key that has a TTL is past it; deletes it if this server may."""
        ks = self.ks
        if self.expires[key] > ks.now_ms or ks.ignore_expiry:
            return False
        if ks.may_expire:
            self.delete_expired(key)
        return True

    def is_expired(self, key: bytes) -> bool:
        """Whether the key is past its time, without deleting it."""
        when_ms = self.expires.get(key)
        return when_ms is not None and when_ms <= self.ks.now_ms

    def _drop_expiry(self, key: bytes) -> None:
        del self.expires[key]
        if self.expires_index is not None:
            self.expires_index.discard(key)

    # Iteration

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """The next keys for SCAN and the cursor to go on with. First use costs O(n)."""
        return self.indexed().scan(cursor, count)

    def random_key(self, rng: Rng) -> bytes | None:
        """A live key, each equally likely. First use costs O(n)."""
        keys = self.indexed()
        for _ in range(100):
            key = keys.sample(rng)
            if key is None or key not in self.expires or not self._gone(key):
                return key
        return key  # so many misses happen only where expired keys may not be deleted

    def indexed(self) -> KeyIndex:
        """The index over all keys. First use costs O(n)."""
        if self.keys is None:
            self.keys = KeyIndex(self.data)
        return self.keys

    def expiring(self) -> KeyIndex:
        """The index over keys with a TTL. First use costs O(n)."""
        if self.expires_index is None:
            self.expires_index = KeyIndex(self.expires)
        return self.expires_index

    def live_keys(self) -> Iterable[bytes]:
        """All keys that are not past their time; a copy, O(n)."""
        now_ms = self.ks.now_ms
        if not self.expires or self.ks.ignore_expiry:
            return list(self.data)
        expires = self.expires
        return [key for key in self.data if key not in expires or expires[key] > now_ms]

    def clear(self) -> tuple[dict[bytes, Value], dict[bytes, int]]:
        """Empty the database; returns the old dicts so that they can be freed slowly."""
        old = self.data, self.expires
        self.data, self.expires = {}, {}
        self.keys = self.expires_index = None
        self.expires_cursor = 0
        self.ttl_mean_ms = 0.0
        self.volatile = Deadlines()
        self._reset_words()
        for key in self.waiting:
            if key in old[0]:
                self.signal(key)
        return old

    def adopt(
        self, data: dict[bytes, Value], expires: dict[bytes, int]
    ) -> tuple[dict[bytes, Value], dict[bytes, int]]:
        """Hold these keys in place of what is here; returns the old dicts, as ``clear`` does.

        The dicts become the database's own. All keys count as just used.
        """
        old = self.clear()
        self.data, self.expires = data, expires
        while len(data) > self._words_limit:
            self._grow_words()
        self.forget_use()
        for key, value in data.items():
            if type(value) is Hash:
                self.schedule(key, value)
        for key in self.waiting:
            if key in data:
                self.signal(key)
        return old

    def exchange(self, other: Database) -> None:
        """SWAPDB: the contents change places; watchers and waiters stay with the number."""
        for name in _CONTENTS:
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, theirs)
            setattr(other, name, mine)
        for db in (self, other):
            for key in db.waiting:
                db.signal(key)

    # Use marks

    def idle_seconds(self, key: bytes) -> int:
        """Seconds since the key was last used."""
        return max(0, self.ks.lru_clock - self._words[hash(key) & self._mask])

    def set_idle_seconds(self, key: bytes, idle_s: int) -> None:
        """RESTORE's IDLETIME."""
        self._words[hash(key) & self._mask] = max(0, self.ks.lru_clock - idle_s)

    def frequency(self, key: bytes) -> int:
        """The LFU counter, 0 to 255, after the decay that is due."""
        return self.use_ranks((hash(key),))[0]

    def set_frequency(self, key: bytes, counter: int) -> None:
        """RESTORE's FREQ."""
        number, mask = hash(key), self._mask
        word = self.ks.minutes << 8 | counter
        self._words[number & mask] = self._more_words[number >> 32 & mask] = word

    def use_mark(self, key: bytes) -> int:
        """The key's idle clock or use counter, to be handed on when it gets another name."""
        return self.use_ranks((hash(key),))[0]

    def set_use_mark(self, key: bytes, mark: int) -> None:
        """Give a key the mark it had elsewhere."""
        if self.ks.lfu:
            self.set_frequency(key, mark)
        else:
            self._words[hash(key) & self._mask] = mark

    def _decayed(self, word: int) -> int:
        ks = self.ks
        elapsed = (ks.minutes - (word >> 8)) & _LFU_MINUTES
        periods = elapsed // ks.lfu_decay_time if ks.lfu_decay_time else 0
        return max(0, (word & 0xFF) - periods)

    def use_ranks(self, numbers: Iterable[int]) -> list[int]:
        """What grows with how recently, or under an LFU policy how often, keys were used.

        The keys are given by their hashes.
        """
        words, mask = self._words, self._mask
        if not self.ks.lfu:
            return [words[number & mask] for number in numbers]
        more_words, minutes = self._more_words, self.ks.minutes
        ranks = []
        for number in numbers:
            one, two = words[number & mask], more_words[number >> 32 & mask]
            if one >> 8 == two >> 8 == minutes:
                ranks.append((one if one < two else two) & 0xFF)
            else:
                ranks.append(min(self._decayed(one), self._decayed(two)))
        return ranks

    def _touch(self, key: bytes) -> None:
        ks = self.ks
        if ks.touch_mode == TOUCH_NOT:
            return
        number, mask, minutes = hash(key), self._mask, ks.minutes
        words, more_words = self._words, self._more_words
        at, also_at = number & mask, number >> 32 & mask
        one, two = words[at], more_words[also_at]
        if not one >> 8 == two >> 8 == minutes:
            one = minutes << 8 | self._decayed(one)
            two = minutes << 8 | self._decayed(two)
            words[at], more_words[also_at] = one, two
        lower = one if one < two else two
        counter = lower & 0xFF
        # Morris counter: the larger it is, the rarer it grows.
        base = counter - LFU_INIT if counter > LFU_INIT else 0
        if counter < 255 and ks.rng.random() < 1.0 / (base * ks.lfu_log_factor + 1):
            if one == lower:
                words[at] = lower + 1
            if two == lower:
                more_words[also_at] = lower + 1

    def _begin_counter(self, key: bytes) -> None:
        """Give a key the counter of a new one, where its words do not have more."""
        number, mask, time = hash(key), self._mask, self.ks.minutes << 8
        words = self._words
        for at in (number & mask, number >> 32 & mask):
            words[at] = time | max(LFU_INIT, self._decayed(words[at]))
            words = self._more_words

    def _added(self, key: bytes) -> None:
        ks = self.ks
        if self.keys is not None:
            self.keys.add(key)
        if len(self.data) > self._words_limit:
            self._grow_words()
        if ks.lfu:
            self._begin_counter(key)
        else:
            self._words[hash(key) & self._mask] = ks.lru_clock
        if self.waiting and key in self.waiting:
            self.signal(key)
        if ks.observed:
            ks.unit.changes.append((self, key, "new"))
            ks.after = True

    def _reset_words(self) -> None:
        self._words = array("I", (0,))
        self._more_words = array("I", (0,))  # as large under an LFU policy
        self._mask = 0
        self._words_limit = 0

    def _grow_words(self) -> None:
        if self._mask == 0:
            self._words = array("I", bytes(4 * _WORDS_MIN))
        else:
            self._words += self._words
        if self.ks.lfu:
            self._more_words = self._more_words + self._more_words if self._mask else self._words[:]
        self._mask = len(self._words) - 1
        self._words_limit = len(self._words) // 4

    def forget_use(self) -> None:
        """Every key counts as used now: the meaning of the words has changed with the policy."""
        word = self.ks.minutes << 8 | LFU_INIT if self.ks.lfu else self.ks.lru_clock
        self._words = array("I", [word]) * len(self._words)
        self._more_words = self._words[:] if self.ks.lfu else array("I", (0,))

    def _check(self) -> None:
        """Assert the invariants that every method keeps."""
        assert self.expires.keys() <= self.data.keys()
        if self.keys is not None:
            self.keys._check(self.data.keys())
        if self.expires_index is not None:
            self.expires_index._check(self.expires.keys())
        for value in self.data.values():
            if type(value) not in STRING_TYPES and not getattr(value, "may_be_empty", False):
                assert len(value) > 0, "an empty container stayed behind"
        self.volatile._check()
        for key, value in self.data.items():
            if type(value) is Hash and value.deadlines:
                next_ms = value.deadlines.next_ms()
                assert next_ms is not None
                assert self.volatile.when[key] <= next_ms, "fields that nobody will expire"


def _drop(value: Value) -> None:
    """Free a value at once: by forgetting it."""


def _as_bytes(value: Value | None) -> bytes | bytearray | None:
    kind = type(value)
    if kind is bytes or kind is bytearray or value is None:
        return value
    if kind is int:
        return b"%d" % value
    raise Error(WRONGTYPE)


class Keyspace:
    """All databases of a server and what they share: the time, counters, the open unit."""

    __slots__ = (
        "after",
        "dbs",
        "dirty",
        "expired",
        "expired_fields",
        "feeds",
        "free",
        "hits",
        "ignore_expiry",
        "lazy_expire_unlink",
        "lfu",
        "lfu_decay_time",
        "lfu_log_factor",
        "lru_clock",
        "may_expire",
        "minutes",
        "misses",
        "now_ms",
        "observed",
        "on_expiry",
        "ready",
        "rng",
        "touch_mode",
        "unit",
    )

    def __init__(self, count: int, rng: Rng) -> None:
        self.rng = rng
        self.now_ms = 0
        self.lru_clock = 0  # seconds
        self.minutes = 0  # the LFU clock, 16 bits
        self.touch_mode = TOUCH_LRU
        self.lfu = False  # the policy is LFU, even while touch_mode is TOUCH_NOT
        self.lfu_log_factor = 10
        self.lfu_decay_time = 1
        self.may_expire = True  # False on a replica, while loading and while writes are paused
        self.ignore_expiry = False  # while the primary's stream or the AOF is run
        self.lazy_expire_unlink = False
        # Told of each TTL that is not the primary's doing, on a replica that clients write to.
        self.on_expiry: Callable[[Database, bytes, int], None] | None = None
        self.free: Callable[[Value], None] = _drop  # what frees large values slowly
        self.hits = self.misses = self.expired = self.expired_fields = 0
        self.dirty = 0  # changes so far; never falls
        self.observed = False  # somebody derives something from changes
        self.feeds = False  # somebody consumes commands
        self.after = False  # there is work to do once the running command is over
        self.ready: dict[tuple[Database, bytes], None] = {}
        self.unit = Unit()
        self.dbs = [Database(self, index) for index in range(count)]

    @property
    def touch_mode_usual(self) -> int:
        """What the policy makes of a use of a key."""
        return TOUCH_LFU if self.lfu else TOUCH_LRU

    def set_time(self, now_ms: int) -> None:
        """Fix the time for what follows. Once a batch, not once a call."""
        if now_ms == self.now_ms:
            return
        self.now_ms = now_ms
        self.lru_clock = now_ms // 1000 & 0xFFFFFFFF
        self.minutes = now_ms // 60_000 & _LFU_MINUTES

    def propagate(self, db_index: int, argv: Argv, implied: bool = False, only: str = "") -> None:
        """Say what is to be executed elsewhere, in place of the running request.

        ``implied`` commands come in addition to it (the DEL of an expired key). ``only`` names
        the one kind of feed that is to get it.
        """
        if self.feeds:
            unit = self.unit
            unit.commands.append((db_index, argv))
            if only:
                unit.limit(len(unit.commands) - 1, only)
            if implied:
                unit.implied.add(len(unit.commands) - 1)
            else:
                unit.explicit = True
        self.after = True

    def tidy(self, steps: int) -> None:
        """Close gaps in the indexes of keys, looking at so many places of each."""
        for db in self.dbs:
            if db.keys is not None:
                db.keys.tidy(steps)
            if db.expires_index is not None:
                db.expires_index.tidy(steps)

    def expire_argv(self, key: bytes) -> Argv:
        """How the deletion of an expired key is told to others."""
        return (b"UNLINK" if self.lazy_expire_unlink else b"DEL", key)

    @contextlib.contextmanager
    def hushed(self) -> Any:
        """Look-ups inside neither mark keys as used nor count (debugging commands)."""
        saved = self.touch_mode, self.hits, self.misses
        self.touch_mode = TOUCH_NOT
        try:
            yield
        finally:
            self.touch_mode, self.hits, self.misses = saved

    def _check(self) -> None:
        for db in self.dbs:
            db._check()
