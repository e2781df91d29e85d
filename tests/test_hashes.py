"""Hash beside a dict, then the commands beside a real server."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pyredis.types.hashes import Hash
from tests.support import EngineClient, Listener, Twin, new_client


@dataclass
class Limits:
    hash_max_listpack_entries: int = 6
    hash_max_listpack_value: int = 4


LIMITS = Limits()
fields = st.integers(0, 15).map(lambda number: b"f%d" % number)
values = st.sampled_from([b"", b"v", b"1234"])
seeds = st.integers(0, 99)


class HashBesideDict(RuleBasedStateMachine):
    """Every method, with a walk of SCAN under way all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.hash = Hash()
        self.twin: dict[bytes, bytes] = {}
        self.deadlines: dict[bytes, int] = {}
        self.hashtable = False
        self.cursor = 0
        self.owed: set[bytes] = set()

    @rule(field=fields, value=values, keep=st.booleans())
    def set(self, field: bytes, value: bytes, keep: bool) -> None:
        new = self.hash.set(field, value, LIMITS, keep_deadline=keep)
        assert new == (field not in self.twin)
        self.twin[field] = value
        if not keep:
            self.deadlines.pop(field, None)

    @rule(field=fields, when_ms=st.integers(1, 9))
    def set_deadline(self, field: bytes, when_ms: int) -> None:
        if field in self.twin:
            self.hash.set_deadline(field, when_ms)
            self.deadlines[field] = when_ms

    @rule(field=fields)
    def persist(self, field: bytes) -> None:
        assert self.hash.persist(field) == (self.deadlines.pop(field, None) is not None)

    @rule(pairs=st.lists(st.tuples(fields, values), min_size=1, max_size=5))
    def update(self, pairs: list[tuple[bytes, bytes]]) -> None:
        flat = [text for pair in pairs for text in pair]
        assert self.hash.update(flat, LIMITS) == len(dict(pairs).keys() - self.twin.keys())
        self.twin.update(pairs)
        for field, _ in pairs:
            self.deadlines.pop(field, None)

    @rule(field=fields)
    def remove(self, field: bytes) -> None:
        assert self.hash.remove(field) == (field in self.twin)
        self.twin.pop(field, None)
        self.deadlines.pop(field, None)
        self.owed.discard(field)

    @precondition(lambda self: self.twin)
    @rule(seed=seeds, count=st.integers(0, 20))
    def sample(self, seed: int, count: int) -> None:
        rng = random.Random(seed)
        assert self.hash.sample(rng) in self.twin
        picked = self.hash.sample_many(rng, count)
        assert len(picked) == count
        assert set(picked) <= self.twin.keys()
        picked = self.hash.sample_distinct(rng, count)
        assert len(set(picked)) == len(picked) == min(count, len(self.twin))

    @rule(count=st.integers(1, 4))
    def scan(self, count: int) -> None:
        if self.cursor == 0:
            self.owed = set(self.twin)
        self.cursor, page = self.hash.scan(self.cursor, count)
        self.owed -= set(page)
        assert self.cursor or not self.owed, "a field that was there all the time is missing"

    @rule()
    def copy(self) -> None:
        self.hash, old = self.hash.copy(), self.hash
        old.set(b"another", b"value", LIMITS)
        old.set_deadline(b"another", 1)
        self.cursor = 0

    @invariant()
    def holds(self) -> None:
        self.hash._check()
        assert list(self.hash.fields.items()) == list(self.twin.items()), "the order is kept"
        assert len(self.hash) == len(self.twin)
        assert {
            field: when_ms for field in self.twin if (when_ms := self.hash.deadline(field))
        } == self.deadlines
        assert self.hash.hashtable >= self.hashtable, "the encoding only grows"
        self.hashtable = self.hash.hashtable
        assert self.hashtable or len(self.twin) <= 6


HashBesideDict.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True
)
TestHashBesideDict = HashBesideDict.TestCase


def test_encoding_by_content() -> None:
    six = {b"f%d" % number: b"1234" for number in range(6)}
    assert Hash.of(six, LIMITS).encoding(LIMITS) == b"listpack"
    for more in ({b"more": b""}, {b"f0": b"12345"}, {b"field": b""}):
        grown = Hash.of(six if b"more" in more else {}, LIMITS)
        assert grown.encoding(LIMITS) == b"listpack"
        for field, value in more.items():
            grown.set(field, value, LIMITS)
        assert grown.encoding(LIMITS) == b"hashtable"
        assert Hash.of(grown.fields, LIMITS).encoding(LIMITS) == b"hashtable"


# Commands


def feed(client: EngineClient) -> list[tuple[bytes, ...]]:
    """A list that will hold what is propagated from now on."""
    argvs: list[tuple[bytes, ...]] = []
    client.engine.feeds.append(Listener(lambda unit: argvs.extend(argv for _, argv in unit)))
    client.engine.observe()
    return argvs


def both_versions(twin: Twin) -> Iterator[int]:
    """Yields once in RESP2, once in RESP3."""
    yield 2
    twin.real("HELLO", 3)
    twin.ours.session.resp3 = True
    yield 3


def test_set_and_get(twin: Twin) -> None:
    twin("HSET", "h", "a", 1)
    twin("HSET", "h", "a", 2, "b", 3, "c", "")
    twin("HMSET", "h", "b", 4, "d", 5)
    twin("HSETNX", "h", "a", 9)
    twin("HSETNX", "h", "e", 9)
    twin("HSETNX", "new", "e", 9)
    twin("HGET", "h", "a")
    twin("HGET", "h", "z")
    twin("HMGET", "h", "a", "z", "c")
    twin("HSTRLEN", "h", "a")
    twin("HSTRLEN", "h", "z")
    twin("HEXISTS", "h", "a")
    twin("HEXISTS", "h", "z")
    twin("HLEN", "h")
    for _ in both_versions(twin):
        for name in ("HGETALL", "HKEYS", "HVALS"):
            twin(name, "h")
            twin(name, "missing")
        twin("HSCAN", "h", 0, "COUNT", 1)
        twin("HSCAN", "h", 0, "MATCH", "[a-c]")
        twin("HSCAN", "missing", 0)
    twin("HDEL", "h", "a", "a", "z")
    twin("HDEL", "h", "b", "c", "d", "e", "f")
    assert twin.ours.session.db.peek(b"h") is None


def test_missing_keys(twin: Twin) -> None:
    for name in ("HGET", "HMGET", "HSTRLEN", "HEXISTS", "HDEL"):
        twin(name, "missing", "a")
    twin("HLEN", "missing")


def test_random_fields(twin: Twin) -> None:
    for _ in both_versions(twin):
        for count in (0, 2, -2):
            twin("HRANDFIELD", "missing", count)
            twin("HRANDFIELD", "missing", count, "WITHVALUES")
        twin("HRANDFIELD", "missing")
        twin("HSET", "h", "a", 1)
        twin("HRANDFIELD", "h")
        for count in (0, 1, 5, -3):
            twin("HRANDFIELD", "h", count)
            twin("HRANDFIELD", "h", count, "withvalues")
        twin("HSET", "more", "a", 1, "b", 2, "c", 3)
        twin("HRANDFIELD", "more", 3, "WITHVALUES")


@pytest.mark.parametrize("size", [3, 100, 700])
def test_random_fields_of_larger_hashes(client: EngineClient, size: int) -> None:
    content = {b"f%d" % number: b"v%d" % number for number in range(size)}
    client("HSET", "h", *[text for pair in content.items() for text in pair])
    for count in (1, size // 2, size - 1, -2 * size):
        flat = client("HRANDFIELD", "h", count, "WITHVALUES")
        picked = dict(zip(flat[::2], flat[1::2], strict=True))
        assert picked.items() <= content.items()
        assert len(flat) == 2 * abs(count)
        assert count < 0 or len(picked) == count


WRONG = [
    ("HSET", "k", "a", 1),
    ("HSET", "k", "a", 1, "b"),
    ("HMSET", "k", "a", 1),
    ("HMSET", "k", "a", 1, "b"),
    ("HSETNX", "k", "a", 1),
    ("HGET", "k", "a"),
    ("HMGET", "k", "a"),
    ("HGETALL", "k"),
    ("HDEL", "k", "a"),
    ("HLEN", "k"),
    ("HSTRLEN", "k", "a"),
    ("HEXISTS", "k", "a"),
    ("HKEYS", "k"),
    ("HVALS", "k"),
    ("HINCRBY", "k", "a", 1),
    ("HINCRBY", "k", "a", "x"),
    ("HINCRBYFLOAT", "k", "a", 1),
    ("HINCRBYFLOAT", "k", "a", "x"),
    ("HINCRBYFLOAT", "k", "a", "inf"),
    ("HRANDFIELD", "k"),
    ("HRANDFIELD", "k", 0),
    ("HRANDFIELD", "k", "x", "FOO"),
    ("HRANDFIELD", "k", 1, "FOO"),
    ("HRANDFIELD", "k", 1, "WITHVALUES", "FOO"),
    ("HRANDFIELD", "k", -(2**63)),
    ("HRANDFIELD", "k", 1 - 2**63, "WITHVALUES"),
    ("HRANDFIELD", "k", 2**62, "WITHVALUES"),
    ("HSCAN", "k", 0),
    ("HSCAN", "k", 0, "COUNT", 0),
    ("HSCAN", "k", "x"),
]


@pytest.mark.parametrize("request_", WRONG, ids=lambda argv: " ".join(map(str, argv)))
def test_wrong_type_and_wrong_arguments(twin: Twin, request_: tuple[Any, ...]) -> None:
    twin(*request_)
    twin("SET", "k", "text")
    twin(*request_)


def test_increments(twin: Twin) -> None:
    for field, by in [("n", 5), ("n", -7), ("n", 2**63 - 1), ("n", 10), ("x", "1.5"), ("x", "")]:
        twin("HINCRBY", "h", field, by)
    twin("HSET", "h", "text", "abc", "blank", " 1", "zeros", "007", "large", 2**63)
    for field in ("text", "blank", "zeros", "large", "n"):
        twin("HINCRBY", "h", field, 1)
        twin("HINCRBYFLOAT", "h", field, 1)
    twin("HGETALL", "h")


@pytest.mark.parametrize(
    "by", ["0.1", "-3", "5.0e3", "1e17", "3.0e-5", "0x10", "1e400", "nan", "inf", "-inf", " 1"]
)
def test_float_increments(twin: Twin, by: str) -> None:
    twin("HSET", "h", "inf", "inf", "f", "10.5")
    for field in ("f", "new", "inf"):
        twin("HINCRBYFLOAT", "h", field, by)
        twin("HINCRBYFLOAT", "h", field, "0.2")
    twin("HMGET", "h", "f", "new", "inf")


def encoding(client: EngineClient, key: str) -> bytes:
    value = client.session.db.peek(key.encode())
    return value.encoding(client.engine.config)


def test_encodings_follow_the_configuration() -> None:
    client = new_client(hash_max_listpack_entries=3, hash_max_listpack_value=5)
    client("HSET", "h", "a", 1, "b", 2, "c", 12345)
    assert encoding(client, "h") == b"listpack"
    client("HINCRBY", "h", "c", 10**6)
    assert encoding(client, "h") == b"hashtable"
    client("HDEL", "h", "a", "b")
    client("HSET", "h", "c", "")
    assert encoding(client, "h") == b"hashtable"
    client("HSET", "hinted", *["a", 1] * 4)
    assert encoding(client, "hinted") == b"hashtable"


def test_scan_of_a_large_hash(client: EngineClient) -> None:
    content = {b"f%d" % number: b"v%d" % number for number in range(600)}
    client("HMSET", "h", *[text for pair in content.items() for text in pair])
    found: dict[bytes, bytes] = {}
    cursor, calls = b"0", 0
    while calls == 0 or cursor != b"0":
        cursor, flat = client("HSCAN", "h", cursor, "COUNT", 50, "MATCH", "f*")
        found.update(zip(flat[::2], flat[1::2], strict=True))
        calls += 1
    assert (found, calls) == (content, 12)


def test_replies_inside_a_transaction_do_not_change_afterwards(client: EngineClient) -> None:
    client("HSET", "h", "a", 1)
    reply = client.engine.table.by_token[b"HGETALL"].handler(client.engine.ctx, b"h")
    client("HSET", "h", "b", 2)
    assert reply == {b"a": b"1"}


def test_what_is_propagated(client: EngineClient) -> None:
    argvs = feed(client)
    client("HSET", "h", "a", "1.5")
    client("HINCRBYFLOAT", "h", "a", "0.1")
    client("HINCRBYFLOAT", "h", "a", "x")
    client("HSETNX", "h", "a", 1)
    client("HINCRBY", "h", "n", 1)
    client("HDEL", "h", "z")
    client("HDEL", "h", "a")
    assert argvs == [
        (b"HSET", b"h", b"a", b"1.5"),
        (b"HSET", b"h", b"a", b"1.6"),
        (b"HINCRBY", b"h", b"n", b"1"),
        (b"HDEL", b"h", b"a"),
    ]


def test_what_counts_as_a_change(client: EngineClient) -> None:
    ks = client.engine.ks
    for request_, dirty in [
        ("HSET h a 1 b 2", 2),
        ("HSET h a 1 b 2", 2),
        ("HDEL h a b c", 2),
        ("HMSET h a 1", 1),
        ("HINCRBY h a 0", 1),
        ("HINCRBYFLOAT h a 1", 1),
        ("HSETNX h a 1", 0),
        ("HSETNX h q 1", 1),
    ]:
        before = ks.dirty
        client(*request_.split())
        assert ks.dirty - before == dirty, request_
