"""Fields past their time: what commands see of them, and how they go.

The reference server is 7.0 and has none. What is expected follows Redis' own tests of 7.4.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pyredis.digest import ZERO, value_digest
from pyredis.expire import PAGE_FIELDS
from tests.observe import Observer
from tests.support import EngineClient, Listener, new_client
from tests.test_expire import TickingClock


@pytest.fixture
def half_past(client: EngineClient) -> EngineClient:
    """A client of a server with the hash `h`, of which `a` and `b` are past; `c` lives on."""
    client("HSET", "h", "a", 1, "b", 2, "c", 3)
    client("HPEXPIRE", "h", 10, "FIELDS", 2, "a", "b")
    client("HPEXPIRE", "h", 10_000, "FIELDS", 1, "c")
    client.clock.advance(10)
    return client


NAMING = {
    "HGET h a": None,
    "HMGET h a x": [None, None],
    "HEXISTS h a": 0,
    "HSTRLEN h a": 0,
    "HINCRBY h a 5": 5,
    "HINCRBYFLOAT h a 5": b"5",
    "HSETNX h a 5": 1,
    "HEXPIRE h 10 FIELDS 1 a": [-2],
    "HPERSIST h FIELDS 1 a": [-2],
    "HGETEX h EX 10 FIELDS 1 a": [None],
    "HGETDEL h FIELDS 1 a": [None],
    "HSETEX h FXX FIELDS 1 a 1": 0,
}
LISTING = {
    "HGETALL h": [b"c", b"3"],
    "HKEYS h": [b"c"],
    "HVALS h": [b"3"],
    "HSCAN h 0": [b"0", [b"c", b"3"]],
    "HSCAN h 0 NOVALUES": [b"0", [b"c"]],
    "HTTL h FIELDS 3 a b c": [-2, -2, 10],
}


@pytest.mark.parametrize("request_", NAMING)
def test_naming_a_field_removes_it(half_past: EngineClient, request_: str) -> None:
    client = half_past
    observer = Observer(client)
    assert client(*request_.split()) == NAMING[request_]
    assert observer.events()[0] == "0:h hexpired"
    assert [told for told in observer.propagated() if "MULTI" not in told][:1] == ["0:HDEL h a"]
    assert client("HTTL", "h", "FIELDS", 1, "a") in ([-2], [-1])
    assert client.engine.ks.expired_fields == 1
    client.engine.ks._check()


@pytest.mark.parametrize("request_", LISTING)
def test_listing_passes_by(half_past: EngineClient, request_: str) -> None:
    client = half_past
    observer = Observer(client)
    assert client(*request_.split()) == LISTING[request_]
    assert (observer.events(), observer.propagated()) == ([], [])
    assert client("HLEN", "h") == 3


def test_writing_over_and_deleting_do_not_look(half_past: EngineClient) -> None:
    client = half_past
    tell = Observer(client).after
    assert tell("HSET", "h", "a", 5) == (["0:h hset"], ["0:HSET h a 5"])
    assert client("HDEL", "h", "b") == 1
    assert client("HSET", "h", "a", 6) == 0
    assert client("HGETALL", "h") == [b"a", b"6", b"c", b"3"]


def test_one_event_for_several_fields(half_past: EngineClient) -> None:
    tell = Observer(half_past).after
    assert tell("HMGET", "h", "a", "c", "b", "a") == (
        ["0:h hexpired"],
        ["0:MULTI", "0:HDEL h a", "0:HDEL h b", "0:EXEC"],
    )


def test_the_last_field_takes_the_hash_along(half_past: EngineClient) -> None:
    client = half_past
    client.clock.advance(10_000)
    assert (client("EXISTS", "h"), client("HLEN", "h")) == (1, 3)
    tell = Observer(client).after
    tell("HGET", "h", "a"), tell("HGET", "h", "b")
    assert tell("HGET", "h", "c") == (["0:h hexpired", "0:h del"], ["0:HDEL h c"])
    assert client("EXISTS", "h") == 0
    assert client("HINCRBY", "h", "c", 1) == 1
    assert client("HTTL", "h", "FIELDS", 1, "c") == [-1]


def test_hrandfield_removes_them_first(half_past: EngineClient) -> None:
    client = half_past
    assert client("HRANDFIELD", "h", 5, "WITHVALUES") == [b"c", b"3"]
    assert (client("HLEN", "h"), client.engine.ks.expired_fields) == (1, 2)
    client.clock.advance(10_000)
    assert client("HRANDFIELD", "h") is None
    assert client("EXISTS", "h") == 0


def test_sort_by_a_field(client: EngineClient) -> None:
    client("RPUSH", "l", 1, 2)
    client("HSET", "h1", "a", 9)
    client("HSET", "h2", "a", 5)
    client("HPEXPIRE", "h2", 10, "FIELDS", 1, "a")
    get = ("SORT_RO", "l", "BY", "h*->a", "GET", "#", "GET", "h*->a")
    assert client(*get) == [b"2", b"5", b"1", b"9"]
    client("HPEXPIRE", "h1", 10, "FIELDS", 1, "a")
    client.clock.advance(10)
    assert client(*get) == [b"1", None, b"2", None]
    assert client("EXISTS", "h1", "h2") == 0


def test_watch_learns_of_it(half_past: EngineClient) -> None:
    client, other = half_past, half_past.another()
    client("WATCH", "h")
    other("HGET", "h", "a")
    client("MULTI")
    client("PING")
    assert client("EXEC") != [b"PONG"]


# Replicas


def test_a_replica_only_hides_them(half_past: EngineClient) -> None:
    client = half_past
    client.engine.ks.may_expire = False
    observer = Observer(client)
    for request_, expected in LISTING.items():
        assert client(*request_.split()) == expected
    for request_ in ("HGET h a", "HMGET h a x", "HEXISTS h a", "HSTRLEN h a"):
        assert client(*request_.split()) == NAMING[request_]
    assert client("HRANDFIELD", "h", 5) == [b"c"]
    client.engine.cron()
    assert (observer.events(), observer.propagated()) == ([], [])
    assert client("HLEN", "h") == 3


def test_what_the_primary_sends_is_done_as_if_time_stood_still(half_past: EngineClient) -> None:
    client = half_past
    ks = client.engine.ks
    ks.may_expire, ks.ignore_expiry = False, True
    client("HINCRBY", "h", "a", 1)
    client("HPEXPIREAT", "h", 1, "FIELDS", 1, "b")
    assert client("HPEXPIRETIME", "h", "FIELDS", 2, "a", "b") == [1_700_000_000_010, 1]
    assert client("HGET", "h", "a") == b"2"


# The active cycle


def test_the_cycle_removes_what_nobody_asks_for(client: EngineClient) -> None:
    for key in ("h1", "h2"):
        client("HSET", key, "a", 1, "b", 2)
    client("HPEXPIRE", "h1", 10, "FIELDS", 2, "a", "b")
    client("HPEXPIRE", "h2", 20, "FIELDS", 1, "a")
    observer = Observer(client)
    client.tick(10)
    client.engine.cron()
    assert observer.events() == ["0:h1 hexpired", "0:h1 del"]
    assert observer.propagated() == ["0:HDEL h1 a", "0:HDEL h1 b"]
    client.tick(10)
    client.engine.cron()
    assert observer.events() == ["0:h2 hexpired"]
    assert observer.propagated() == ["0:HDEL h2 a"]
    assert client("HLEN", "h2") == 1
    assert client.engine.ks.expired_fields == 3
    assert b"expired_subkeys:3" in client("INFO", "stats")


def test_it_asks_again_before_it_acts(client: EngineClient) -> None:
    """Deadlines that were moved, fields and hashes that are gone, other values: no events."""
    client("HSET", "later", "a", 1)
    client("HSET", "gone", "a", 1, "b", 1)
    client("HSET", "string", "a", 1)
    for key in ("later", "gone", "string"):
        client("HPEXPIRE", key, 10, "FIELDS", 1, "a")
    client("HPEXPIRE", "later", 20, "FIELDS", 1, "a")
    client("HDEL", "gone", "a")
    client("SET", "string", 1)
    assert b"subexpiry=1" in client("INFO", "keyspace")
    observer = Observer(client)
    client.tick(10)
    client.engine.cron()
    assert observer.events() == []
    client.tick(10)
    client.engine.cron()
    assert observer.events() == ["0:later hexpired", "0:later del"]
    assert not client.engine.ks.dbs[0].volatile.when


def test_its_time_is_bounded(client: EngineClient) -> None:
    """Out of time it stops after a page of fields; fast cycles go on."""
    count = 20 * PAGE_FIELDS
    for n in range(0, count, 100):
        names = [f"f{n + more}" for more in range(100)]
        client("HSET", "h", *[text for name in names for text in (name, 1)])
        client("HPEXPIRE", "h", 10, "FIELDS", 100, *names)
    length = client("HLEN", "h")
    client.tick(10)
    expire = client.engine.expire
    expire.clock = TickingClock(10_000)
    expire.run("slow", 10, 1)
    assert 0 < client.engine.ks.expired_fields < length
    assert client.engine.ks.expired_fields % PAGE_FIELDS == 0
    assert expire.pressed
    client.engine.ks._check()
    for _ in range(40):
        expire.run("slow", 10, 1)
    assert client("EXISTS", "h") == 0
    assert not expire.pressed


def test_flushing_forgets_them(client: EngineClient) -> None:
    client("HSETEX", "h", "PX", 10, "FIELDS", 1, "a", 1)
    client("FLUSHALL")
    assert not client.engine.ks.dbs[0].volatile.when
    client("HSET", "h", "a", 1)
    client.tick(10)
    client.engine.cron()
    assert client("HGET", "h", "a") == b"1"


# What else knows of them


def test_digest_and_memory(client: EngineClient) -> None:
    client("HSET", "h", "a", 1)
    client("HSET", "g", "a", 1)
    assert client("MEMORY", "USAGE", "h") == client("MEMORY", "USAGE", "g")
    client("HEXPIRE", "h", 10, "FIELDS", 1, "a")
    assert client("MEMORY", "USAGE", "h") > client("MEMORY", "USAGE", "g")
    db = client.engine.ks.dbs[0]
    digests = {value_digest(ZERO, db, key, db.data[key]) for key in (b"h", b"g")}
    assert len(digests) == 2


fields = st.sampled_from("abc")
spans_ms = st.integers(0, 20)


class FieldsBesideDict(RuleBasedStateMachine):
    """Commands against a dict of fields, with a replica that is told of all changes."""

    def __init__(self) -> None:
        super().__init__()
        self.client = new_client()
        self.replica = new_client()
        ks = self.replica.engine.ks
        ks.may_expire, ks.ignore_expiry = False, True
        self.client.engine.feeds.append(Listener(self.tell))
        self.client.engine.observe()
        self.values: dict[str, int] = {}
        self.ends_ms: dict[str, int] = {}

    def tell(self, commands: list[tuple[int, tuple[bytes, ...]]]) -> None:
        for _, argv in commands:
            assert not str(self.replica(*argv)).startswith("b'ERR"), argv

    def settle(self) -> None:
        now_ms = self.client.clock.now_ms()
        for field, when_ms in list(self.ends_ms.items()):
            if when_ms <= now_ms:
                del self.ends_ms[field], self.values[field]

    def do(self, *args: object) -> Any:
        self.settle()
        return self.client(*args)

    @rule(field=fields, number=st.integers(0, 9))
    def hset(self, field: str, number: int) -> None:
        self.do("HSET", "h", field, number)
        self.values[field] = number
        self.ends_ms.pop(field, None)

    @rule(field=fields)
    def hsetnx(self, field: str) -> None:
        self.settle()
        assert self.do("HSETNX", "h", field, 7) == (field not in self.values)
        self.values.setdefault(field, 7)

    @rule(field=fields)
    def hincrby(self, field: str) -> None:
        self.values[field] = self.do("HINCRBY", "h", field, 1)
        assert self.do("HINCRBYFLOAT", "h", field, 1) == b"%d" % (self.values[field] + 1)
        self.values[field] += 1

    @rule(field=fields)
    def hdel(self, field: str) -> None:
        self.do("HDEL", "h", field)
        self.values.pop(field, None)
        self.ends_ms.pop(field, None)

    @rule(field=fields)
    def hgetdel(self, field: str) -> None:
        value = self.do("HGETDEL", "h", "FIELDS", 1, field)[0]
        assert value == (b"%d" % self.values[field] if field in self.values else None)
        self.values.pop(field, None)
        self.ends_ms.pop(field, None)

    @rule(field=fields, span_ms=spans_ms)
    def hpexpire(self, field: str, span_ms: int) -> None:
        reply = self.do("HPEXPIRE", "h", span_ms, "FIELDS", 1, field)
        assert reply == [-2 if field not in self.values else 1 if span_ms else 2]
        if field in self.values:
            self.ends_ms[field] = self.client.clock.now_ms() + span_ms

    @rule(field=fields)
    def hpersist(self, field: str) -> None:
        self.settle()
        expected = -2 if field not in self.values else 1 if field in self.ends_ms else -1
        assert self.do("HPERSIST", "h", "FIELDS", 1, field) == [expected]
        self.ends_ms.pop(field, None)

    @rule(pair=st.lists(fields, min_size=2, max_size=2, unique=True), span_ms=spans_ms,
          condition=st.sampled_from(["", "FNX", "FXX"]))  # fmt: skip
    def hsetex(self, pair: list[str], span_ms: int, condition: str) -> None:
        self.settle()
        found = sum(field in self.values for field in pair)
        allowed = condition == "" or found == (2 if condition == "FXX" else 0)
        options = (*condition.split(), "PX", span_ms, "FIELDS", 2)
        reply = self.do("HSETEX", "h", *options, pair[0], 1, pair[1], 2)
        assert reply == allowed
        if allowed:
            self.values.update(zip(pair, (1, 2), strict=True))
            self.ends_ms.update(dict.fromkeys(pair, self.client.clock.now_ms() + span_ms))

    @rule()
    def copy(self) -> None:
        self.client("COPY", "h", "k", "REPLACE")

    @rule(span_ms=spans_ms, with_cron=st.booleans())
    def wait(self, span_ms: int, with_cron: bool) -> None:
        self.client.clock.advance(span_ms)
        self.client.tick()
        if with_cron:
            self.client.engine.cron()

    @invariant()
    def holds(self) -> None:
        self.settle()
        self.client.engine.ks._check()
        flat = self.client("HGETALL", "h")
        shown = dict(zip(flat[::2], map(int, flat[1::2]), strict=True))
        assert shown == {field.encode(): value for field, value in self.values.items()}
        ours, theirs = (each.engine.ks.dbs[0].data for each in (self.client, self.replica))
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            assert value.fields == theirs[key].fields
            for field in value.fields:
                assert value.deadline(field) == theirs[key].deadline(field)


FieldsBesideDict.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, derandomize=True
)
TestFieldsBesideDict = FieldsBesideDict.TestCase
