"""The keyspace against a dumb twin, and its promises one by one."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pyredis.keyspace import TOUCH_LFU, TOUCH_NOT, Database, Keyspace, type_name
from pyredis.resp import Error
from pyredis.types.lists import List
from pyredis.types.streams import Stream

keys = st.integers(0, 12).map(lambda n: b"k%d" % n)
numbers = st.integers(0, 1)
ways = st.sampled_from(["put", "replace", "store", "replace_all"])


class KeyspaceTwin(RuleBasedStateMachine):
    """The twin: for each database a dict from key to (value, expiry time or None)."""

    def __init__(self) -> None:
        super().__init__()
        self.ks = Keyspace(2, random.Random(1))
        self.now_ms = 1_700_000_000_000
        self.ks.set_time(self.now_ms)
        self.twin: list[dict[bytes, tuple[bytes, int | None]]] = [{}, {}]
        self.count = 0

    def alive(self, number: int) -> dict[bytes, bytes]:
        return {
            key: value
            for key, (value, when_ms) in self.twin[number].items()
            if when_ms is None or when_ms > self.now_ms
        }

    @rule(number=numbers, key=keys, how=ways)
    def put(self, number: int, key: bytes, how: str) -> None:
        self.count += 1
        value = b"%d" % self.count
        db = self.ks.dbs[number]
        when_ms = self.twin[number][key][1] if key in self.alive(number) and how == "put" else None
        match how:
            case "put":
                db.put(key, value)
            case "replace":
                db.replace(key, value)
            case "store":
                db.store(key, value, "set")
            case _:
                db.replace_all((key, b"", key, value), "set")
        self.twin[number][key] = value, when_ms

    @rule(observed=st.booleans())
    def watch(self, observed: bool) -> None:
        self.ks.observed = observed

    @rule(number=numbers, key=keys)
    def remove(self, number: int, key: bytes) -> None:
        db = self.ks.dbs[number]
        if db.peek(key) is not None:
            assert db.remove(key) == self.alive(number)[key]
        self.twin[number].pop(key, None)

    @rule(number=numbers, key=keys, ttl_ms=st.integers(1, 50))
    def expire(self, number: int, key: bytes, ttl_ms: int) -> None:
        if self.ks.dbs[number].write(key) is not None:
            self.ks.dbs[number].set_expiry(key, self.now_ms + ttl_ms)
            self.twin[number][key] = self.twin[number][key][0], self.now_ms + ttl_ms

    @rule(number=numbers, key=keys)
    def persist(self, number: int, key: bytes) -> None:
        db = self.ks.dbs[number]
        if db.write(key) is not None:
            value, when_ms = self.twin[number][key]
            assert db.persist(key) == (when_ms is not None)
            self.twin[number][key] = value, None

    @rule(passed_ms=st.integers(1, 30))
    def wait(self, passed_ms: int) -> None:
        self.now_ms += passed_ms
        self.ks.set_time(self.now_ms)

    @rule(number=numbers, key=keys)
    def read(self, number: int, key: bytes) -> None:
        db, expected = self.ks.dbs[number], self.alive(number).get(key)
        hits, misses = self.ks.hits, self.ks.misses
        assert db.read(key) == db.look(key) == db.write(key) == db.peek(key) == expected
        found = 2 * (expected is not None)
        assert (self.ks.hits, self.ks.misses) == (hits + found, misses + 2 - found)
        if expected is not None:
            assert db.expiry(key) == self.twin[number][key][1]

    @rule(number=numbers, count=st.integers(1, 5))
    def scan(self, number: int, count: int) -> None:
        db, cursor = self.ks.dbs[number], 0
        seen: set[bytes] = set()
        while True:
            cursor, page = db.scan(cursor, count)
            seen.update(key for key in page if db.peek(key) is not None)
            if not cursor:
                break
        assert seen == set(self.alive(number))

    @rule(number=numbers)
    def random_key(self, number: int) -> None:
        key = self.ks.dbs[number].random_key(self.ks.rng)
        assert key in self.alive(number) if self.alive(number) else key is None

    @rule(number=numbers)
    def sample_expiring(self, number: int) -> None:
        db = self.ks.dbs[number]
        key = db.expiring().sample(self.ks.rng)
        assert key in db.expires if db.expires else key is None

    @rule(number=numbers)
    def clear(self, number: int) -> None:
        data, expires = self.ks.dbs[number].clear()
        assert data.keys() >= self.alive(number).keys()
        assert expires.keys() <= data.keys()
        self.twin[number].clear()

    @rule()
    def exchange(self) -> None:
        self.ks.dbs[0].exchange(self.ks.dbs[1])
        self.twin.reverse()

    @precondition(lambda self: self.ks.may_expire)
    @rule(number=numbers)
    def expire_all(self, number: int) -> None:
        db = self.ks.dbs[number]
        for key in [key for key in db.expires if db.is_expired(key)]:
            db.delete_expired(key)
        assert set(db.data) == set(self.alive(number))

    @rule(may_expire=st.booleans())
    def change_role(self, may_expire: bool) -> None:
        self.ks.may_expire = may_expire

    @invariant()
    def agrees(self) -> None:
        self.ks._check()
        for number, db in enumerate(self.ks.dbs):
            assert set(db.live_keys()) == set(self.alive(number))


KeyspaceTwin.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestKeyspaceTwin = KeyspaceTwin.TestCase


@pytest.fixture
def db() -> Database:
    """A database at a fixed time."""
    ks = Keyspace(1, random.Random(1))
    ks.set_time(1_700_000_000_000)
    return ks.dbs[0]


def _pass(db: Database, duration_ms: int) -> None:
    db.ks.set_time(db.ks.now_ms + duration_ms)


def test_types(db: Database) -> None:
    for value in (b"", bytearray(), 7):
        db.put(b"a", value)
        assert type_name(value) == b"string"
        with pytest.raises(Error):
            db.read_as(b"a", List)
        with pytest.raises(Error):
            db.obtain(b"a", List)
    assert db.read_string(b"a") == b"7"
    assert db.obtain(b"l", List) is db.read_as(b"l", List)
    with pytest.raises(Error):
        db.read_string(b"l")


def test_idle_time_survives_growth(db: Database) -> None:
    db.put(b"old", b"")
    _pass(db, 100_000)
    for n in range(40_000):
        db.put(b"%d" % n, b"")
    # A shared word may make a key look fresher, so ask for many: hardly any shares one.
    assert db.idle_seconds(b"old") in (0, 100)
    _pass(db, 50_000)
    idle = [db.idle_seconds(b"%d" % n) for n in range(40_000)]
    assert set(idle) == {50}
    db.read(b"7")
    assert db.idle_seconds(b"7") == 0
    db.set_idle_seconds(b"7", 33)
    assert db.idle_seconds(b"7") == 33
    db.look(b"7")
    assert db.idle_seconds(b"7") == 33


def test_use_counter(db: Database) -> None:
    ks = db.ks
    ks.lfu, ks.touch_mode = True, TOUCH_LFU
    db.forget_use()
    db.put(b"a", b"")
    assert db.frequency(b"a") == 5
    db.put(b"a", b"")
    assert db.frequency(b"a") == 5  # the look-up before a write counts, not the write
    db.replace(b"a", b"")
    assert db.frequency(b"a") == 6
    for _ in range(3000):
        db.read(b"a")
    grown = db.frequency(b"a")
    assert 15 < grown < 60
    _pass(db, 2 * 60_000)
    assert db.frequency(b"a") == grown - 2
    ks.lfu_decay_time = 0
    assert db.frequency(b"a") == grown
    db.set_frequency(b"a", 255)
    db.read(b"a")
    assert db.frequency(b"a") == 255


def test_use_marks_can_be_left_alone(db: Database) -> None:
    db.put(b"a", b"")
    _pass(db, 10_000)
    db.ks.touch_mode = TOUCH_NOT
    for look_up in (db.read, db.write, db.peek):
        look_up(b"a")
    db.put(b"a", b"")
    db.replace(b"a", b"")
    assert db.idle_seconds(b"a") == 10
    db.put(b"b", b"")
    assert db.idle_seconds(b"b") == 0  # a new key was not idle before it was there


def test_hushed(db: Database) -> None:
    db.put(b"a", b"")
    _pass(db, 10_000)
    with db.ks.hushed():
        db.read(b"a")
        db.read(b"x")
    assert (db.ks.hits, db.ks.misses, db.idle_seconds(b"a")) == (0, 0, 10)


def test_changes_are_recorded_only_for_observers(db: Database) -> None:
    ks = db.ks
    db.put(b"a", b"")
    db.changed(b"a", "set", 2)
    assert (ks.dirty, ks.after, ks.unit.changes) == (2, False, [])
    ks.observed = ks.feeds = True
    db.put(b"b", b"")
    db.changed(b"b", "set")
    db.set_expiry(b"a", ks.now_ms + 1)
    _pass(db, 1)
    db.read(b"a")
    assert [event for _, _, event in ks.unit.changes] == [*("new", "set", "expired", "keymiss")]
    assert ks.unit.commands == [(0, (b"DEL", b"a"))]
    assert (ks.dirty, ks.expired, ks.after) == (3, 1, True)


def test_who_waits_for_a_key_is_told(db: Database) -> None:
    db.waiting[b"a"] = {}
    ready = db.ks.ready

    def told() -> bool:
        found = (db, b"a") in ready
        ready.clear()
        return found

    db.put(b"b", b"")
    assert not told()
    db.put(b"a", b"")
    assert told()
    db.put(b"a", b"")
    assert not told()
    db.replace(b"a", 7)
    assert not told(), "Redis tells nobody of another value, unless a stream is gone"
    db.put(b"a", Stream())
    db.replace(b"a", 7)
    assert told()
    db.store(b"a", 7, "set")
    assert told()
    db.put(b"a", Stream())
    db.replace_all((b"a", b"b"), "set")
    assert told()
    db.remove(b"a")
    assert told()
    db.put(b"a", b"")
    told()
    db.clear()
    assert told()


def test_a_replica_hides_expired_keys(db: Database) -> None:
    db.ks.may_expire = False
    db.put(b"a", b"old")
    db.set_expiry(b"a", db.ks.now_ms)
    assert db.read(b"a") is None
    assert b"a" in db.data
    db.ks.ignore_expiry = True
    assert db.read(b"a") == b"old"
    db.ks.ignore_expiry = False
    db.put(b"a", b"new")
    assert (db.read(b"a"), db.expiry(b"a")) == (b"new", None)
