"""Set beside Python's own, then the commands beside a real server."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pyredis.types.sets import (
    HASHTABLE,
    INTSET,
    LISTPACK,
    Set,
    difference,
    intersection,
    is_integer,
    union,
)
from tests.support import EngineClient, Listener, Twin, new_client


@dataclass
class Limits:
    set_max_intset_entries: int = 8
    set_max_listpack_entries: int = 5
    set_max_listpack_value: int = 4


LIMITS = Limits()
integers = st.integers(-20, 20).map(lambda number: b"%d" % number)
strings = st.sampled_from([b"", b"a", b"b", b"-0", b"01", b"long", b"longer"])
members = st.lists(integers | strings, min_size=1, max_size=12)
seeds = st.integers(0, 99)


class SetBesideSet(RuleBasedStateMachine):
    """Every method, with a walk of SCAN under way all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.set = Set()
        self.twin: set[bytes] = set()
        self.form = INTSET
        self.cursor = 0
        self.owed: set[bytes] = set()

    @rule(added=st.lists(integers, min_size=1, max_size=6) | members)
    def add(self, added: list[bytes]) -> None:
        assert self.set.add(added, LIMITS) == len(set(added) - self.twin)
        self.twin.update(added)

    @rule(member=integers | strings)
    def remove(self, member: bytes) -> None:
        assert self.set.remove(member) == (member in self.twin)
        self.forget({member})

    @precondition(lambda self: self.twin)
    @rule(seed=seeds, count=st.integers(0, 9))
    def pop(self, seed: int, count: int) -> None:
        popped = self.set.pop_many(random.Random(seed), count)
        assert len(set(popped)) == len(popped) == min(count, len(self.twin))
        assert set(popped) <= self.twin
        self.forget(set(popped))

    @precondition(lambda self: self.twin)
    @rule(seed=seeds, count=st.integers(0, 12))
    def sample(self, seed: int, count: int) -> None:
        rng = random.Random(seed)
        assert self.set.sample(rng) in self.twin
        picked = self.set.sample_many(rng, count)
        assert len(picked) == count
        assert set(picked) <= self.twin
        picked = self.set.sample_distinct(rng, count)
        assert len(set(picked)) == len(picked) == min(count, len(self.twin))
        assert set(picked) <= self.twin

    @rule(count=st.integers(1, 4))
    def scan(self, count: int) -> None:
        if self.cursor == 0:
            self.owed = set(self.twin)
        self.cursor, page = self.set.scan(self.cursor, count)
        assert set(page) <= self.twin
        self.owed -= set(page)
        assert self.cursor or not self.owed, "a member that was there all the time is missing"

    @rule()
    def copy(self) -> None:
        self.set, old = self.set.copy(), self.set
        old.add([b"another"], LIMITS)
        self.cursor = 0

    def forget(self, gone: set[bytes]) -> None:
        self.twin -= gone
        self.owed -= gone

    @invariant()
    def holds(self) -> None:
        self.set._check()
        assert sorted(self.set.listing()) == sorted(self.twin)
        assert len(self.set) == len(self.twin)
        assert self.set.form >= self.form, "the form only grows"
        self.form = self.set.form
        if self.form == INTSET:
            assert self.set.listing() == sorted(self.twin, key=int)
            assert len(self.twin) <= 8
        elif self.form == LISTPACK:
            assert len(self.twin) <= 5
            assert max(map(len, self.twin), default=0) <= 4


SetBesideSet.TestCase.settings = settings(
    max_examples=80, stateful_step_count=30, deadline=None, derandomize=True
)
TestSetBesideSet = SetBesideSet.TestCase


def made(*added: object) -> Set:
    return Set.of([str(member).encode() for member in added], LIMITS)


def test_integers_of_an_intset_are_in_shortest_form_and_fit_64_bits() -> None:
    for number in (0, 7, -1, 2**63 - 1, -(2**63)):
        assert is_integer(b"%d" % number)
    for text in (b"", b"-0", b"+1", b"01", b"1 ", b" 1", b"1\n", b"1.0", b"x"):
        assert not is_integer(text)
    assert not is_integer(b"%d" % 2**63)
    assert not is_integer(b"%d" % (-(2**63) - 1))


@pytest.mark.parametrize(
    ("added", "form"),
    [
        (range(8), INTSET),
        (range(9), HASHTABLE),
        ("abcde", LISTPACK),
        ("abcdef", HASHTABLE),
        (["a", *range(4)], LISTPACK),
        (["a", *range(5)], HASHTABLE),
        (["longer"], HASHTABLE),
    ],
)
def test_form_by_content(added: Any, form: int) -> None:
    assert made(*added).form == form
    one_by_one = Set()
    for member in added:
        one_by_one.add([str(member).encode()], LIMITS)
    assert one_by_one.form == form
    if form < HASHTABLE:
        assert one_by_one.listing() == made(*added).listing()


def test_many_arguments_choose_the_form_at_once_even_if_they_repeat() -> None:
    repeats = Set()
    repeats.add([b"1"] * 9, LIMITS)
    assert repeats.form == HASHTABLE
    held = made(1, 2)
    held.add([b"1"] * 9, LIMITS)
    assert held.form == HASHTABLE
    no_intsets = Set()
    no_intsets.add([b"1"], Limits(set_max_intset_entries=0))
    assert no_intsets.form == LISTPACK


def test_an_intset_that_becomes_a_listpack_keeps_numeric_order_in_front() -> None:
    mixed = made(30, 4, 100)
    mixed.add([b"x", b"-5"], LIMITS)
    assert (mixed.form, mixed.listing()) == (LISTPACK, [b"4", b"30", b"100", b"x", b"-5"])
    long_number = made(12345)
    long_number.add([b"x"], LIMITS)
    assert long_number.form == HASHTABLE


@pytest.mark.parametrize("size", [3, 40])
@pytest.mark.parametrize("way", ["pop", "sample", "sample_many", "sample_distinct"])
def test_chance_is_fair(size: int, way: str) -> None:
    rng = random.Random(5)
    numbers = made(*range(size))
    counts: Counter[bytes] = Counter()
    draws = 400 * size if way != "sample_distinct" else 200 * size
    for _ in range(draws):
        if way == "pop":
            popped = numbers.pop(rng)
            numbers.add([popped], LIMITS)
            counts[popped] += 1
        elif way == "sample":
            counts[numbers.sample(rng)] += 1
        else:
            counts.update(getattr(numbers, way)(rng, 1 if way == "sample_many" else 2))
    chi_square = sum((counts[member] - 400) ** 2 / 400 for member in numbers.members)
    assert chi_square < {3: 13.8, 40: 72.1}[size], "beyond the 99.9% quantile"


def test_algebra_beside_python_sets() -> None:
    rng = random.Random(11)
    for _ in range(200):
        sets = [made(*rng.sample(range(30), rng.randrange(20))) for _ in range(rng.randint(1, 5))]
        first, *others = plain = [set(each.members) for each in sets]
        assert sorted(intersection(sets)) == sorted(first.intersection(*others))
        assert sorted(union(sets)) == sorted(set().union(*plain))
        assert sorted(difference(sets[0], sets[1:])) == sorted(first.difference(*others))


# Commands


def encoding(client: EngineClient, key: str) -> bytes:
    value = client.session.db.peek(key.encode())
    return value.encoding(client.engine.config)


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


def test_add_and_remove(twin: Twin) -> None:
    twin("SADD", "s", "a", "b", "a")
    twin("SADD", "s", "b", "c")
    twin("SCARD", "s")
    twin("SISMEMBER", "s", "a")
    twin("SISMEMBER", "s", "z")
    twin("SMISMEMBER", "s", "a", "z", "c")
    twin("SREM", "s", "a", "a", "z")
    twin.unordered("SMEMBERS", "s")
    twin("SREM", "s", "b", "c", "d")
    twin("SMEMBERS", "s")
    twin.ours("SCARD", "s")
    assert twin.ours.session.db.peek(b"s") is None


def test_an_intset_is_listed_in_numeric_order(twin: Twin) -> None:
    twin("SADD", "numbers", 10, 9, -3, 2**63 - 1, -(2**63))
    twin("SMEMBERS", "numbers")
    twin("SSCAN", "numbers", 0)
    twin("SSCAN", "numbers", 0, "MATCH", "*9*", "COUNT", 1)
    twin("SRANDMEMBER", "numbers", 9)
    twin("SUNION", "numbers", "missing")
    twin("SDIFF", "numbers")
    twin("SINTER", "numbers")
    twin("SPOP", "numbers", 9)


def test_missing_keys_and_empty_replies(twin: Twin) -> None:
    for version in both_versions(twin):
        for name in ("SMEMBERS", "SCARD", "SPOP", "SRANDMEMBER", "SINTER", "SUNION", "SDIFF"):
            twin(name, "missing")
        for count in (0, 3, -3):
            twin("SRANDMEMBER", "missing", count)
        twin("SPOP", "missing", 0)
        twin("SPOP", "missing", 3)
        twin("SMISMEMBER", "missing", "a", "b")
        twin("SREM", "missing", "a")
        twin("SMOVE", "missing", "other", "a")
        twin("SSCAN", "missing", 0)
        key = f"s{version}"
        twin("SADD", key, "one")
        twin("SPOP", key, 0)
        twin("SRANDMEMBER", key, 0)
        twin("SRANDMEMBER", key, -2)
        twin("SRANDMEMBER", key, 5)
        twin("SMEMBERS", key)
        twin("SSCAN", key, 0, "MATCH", "o*")
        twin("SPOP", key, 5)


ONE_KEY = [
    ("SADD", "k", "a"),
    ("SREM", "k", "a"),
    ("SMEMBERS", "k"),
    ("SISMEMBER", "k", "a"),
    ("SMISMEMBER", "k", "a"),
    ("SCARD", "k"),
    ("SPOP", "k"),
    ("SPOP", "k", 0),
    ("SPOP", "k", "x"),
    ("SRANDMEMBER", "k"),
    ("SRANDMEMBER", "k", 0),
    ("SSCAN", "k", 0),
    ("SSCAN", "k", 0, "FOO"),
    ("SINTER", "missing", "k"),
    ("SUNION", "missing", "k"),
    ("SDIFF", "missing", "k"),
    ("SINTERSTORE", "to", "missing", "k"),
    ("SUNIONSTORE", "to", "missing", "k"),
    ("SDIFFSTORE", "to", "missing", "k"),
    ("SINTERCARD", 2, "missing", "k"),
    ("SINTERCARD", 1, "k", "LIMIT", -2),
    ("SMOVE", "k", "s", "a"),
    ("SMOVE", "s", "k", "nothing"),
    ("SMOVE", "missing", "k", "a"),
]


@pytest.mark.parametrize("request_", ONE_KEY, ids=lambda argv: " ".join(map(str, argv)))
def test_wrong_type(twin: Twin, request_: tuple[Any, ...]) -> None:
    twin("SET", "k", "text")
    twin("SADD", "s", "a")
    twin(*request_)


@pytest.mark.parametrize(
    "request_",
    [
        ("SPOP", "s", -1),
        ("SPOP", "s", "x"),
        ("SPOP", "s", 1, 2),
        ("SRANDMEMBER", "s", "x"),
        ("SRANDMEMBER", "s", 1, 2),
        ("SRANDMEMBER", "s", -(2**63)),
        ("SRANDMEMBER", "s", 2**63),
        ("SINTERCARD", 0, "s"),
        ("SINTERCARD", -1, "s"),
        ("SINTERCARD", "x", "s"),
        ("SINTERCARD", 2, "s"),
        ("SINTERCARD", 1, "s", "LIMIT"),
        ("SINTERCARD", 1, "s", "FOO", 1),
        ("SINTERCARD", 1, "s", "LIMIT", -1),
        ("SINTERCARD", 1, "s", "LIMIT", "x"),
        ("SINTERCARD", 1, "s", "s"),
        ("SADD", "s"),
        ("SMOVE", "s", "t"),
    ],
    ids=lambda argv: " ".join(map(str, argv)),
)
def test_errors(twin: Twin, request_: tuple[Any, ...]) -> None:
    twin("SADD", "s", "a", "b")
    twin(*request_)


def test_move(twin: Twin) -> None:
    twin("SADD", "from", "a", "b")
    twin("SADD", "to", "b")
    for member in ("z", "a", "b", "a"):
        twin("SMOVE", "from", "to", member)
    twin.unordered("SMEMBERS", "to")
    assert twin.ours.session.db.peek(b"from") is None
    twin("SMOVE", "to", "to", "a")
    twin("SMOVE", "to", "to", "z")
    twin("SMOVE", "to", "new", "a")
    twin("SMEMBERS", "new")


def test_algebra(twin: Twin) -> None:
    twin("SADD", "a", 1, 2, 3, 4, 5, 6)
    twin("SADD", "b", 2, 4, 6, 8)
    twin("SADD", "c", "x", 4, 6, "y")
    for _ in both_versions(twin):
        for keys in (["a"], ["a", "b"], ["c", "a", "b"], ["a", "missing"], ["c", "c"]):
            for name in ("SINTER", "SUNION", "SDIFF"):
                twin.unordered(name, *keys)
                twin(name + "STORE", "to", *keys)
                twin.unordered("SMEMBERS", "to")
            twin("SINTERCARD", len(keys), *keys)
            for limit in (0, 1, 9):
                twin("SINTERCARD", len(keys), *keys, "limit", limit)


def test_stored_results_take_the_smallest_encoding_and_drop_what_was_there(
    client: EngineClient,
) -> None:
    client("SADD", "numbers", *range(3))
    client("SADD", "mixed", 1, 2, "x")
    client("SET", "to", "text")
    db = client.session.db
    db.set_expiry(b"to", client.clock.now_ms() + 1000)
    assert client("SINTERSTORE", "to", "mixed", "numbers") == 2
    assert (encoding(client, "to"), db.expiry(b"to")) == (b"intset", None)
    assert client("SUNIONSTORE", "to", "mixed", "numbers") == 4
    assert encoding(client, "to") == b"listpack"
    client("SADD", "many", *range(600))
    assert client("SUNIONSTORE", "to", "to", "many") == 601
    assert encoding(client, "to") == b"hashtable"
    assert client("SDIFFSTORE", "to", "to", "to") == 0
    assert db.peek(b"to") is None
    db._check()


def test_encodings_follow_the_configuration() -> None:
    client = new_client(set_max_intset_entries=3, set_max_listpack_entries=2)
    client("SADD", "s", 1, 2, 3)
    assert encoding(client, "s") == b"intset"
    client("SREM", "s", 2, 3)
    client("SADD", "s", "x")
    assert encoding(client, "s") == b"listpack"
    client("SADD", "s", "y")
    assert encoding(client, "s") == b"hashtable"
    client("SREM", "s", "x", "y")
    assert encoding(client, "s") == b"hashtable"
    client("SADD", "hinted", *["a"] * 3)
    assert encoding(client, "hinted") == b"hashtable"


@pytest.mark.parametrize("size", [3, 100, 700])
def test_random_picks(client: EngineClient, size: int) -> None:
    names = {b"m%d" % number for number in range(size)}
    client("SADD", "s", *names)
    assert client("SRANDMEMBER", "s") in names
    for count in (1, size // 2, size - 1):
        picked = client("SRANDMEMBER", "s", count)
        assert len(set(picked)) == len(picked) == count
        assert set(picked) <= names
    assert set(client("SRANDMEMBER", "s", size + 1)) == names
    picked = client("SRANDMEMBER", "s", -4 * size)
    assert len(picked) == 4 * size
    assert len(set(picked)) < len(picked)
    assert client("SCARD", "s") == size
    popped = client("SPOP", "s", size - 1)
    last = client("SPOP", "s")
    assert {*popped, last} == names
    assert client("SCARD", "s") == 0
    client.session.db._check()


def test_scan_of_a_large_set(client: EngineClient) -> None:
    names = {b"m%d" % number for number in range(1000)}
    client("SADD", "s", *names)
    found: list[bytes] = []
    cursor, calls = b"0", 0
    while calls == 0 or cursor != b"0":
        cursor, page = client("SSCAN", "s", cursor, "COUNT", 30)
        assert len(page) <= 30
        found += page
        calls += 1
    assert sorted(found) == sorted(names)
    assert calls == 34
    assert client("SSCAN", "s", 0, "MATCH", "m12*", "COUNT", 5000)[0] == b"0"


def test_what_is_propagated(client: EngineClient) -> None:
    argvs = feed(client)
    client("SADD", "s", *range(1500))
    argvs.clear()
    popped = client("SPOP", "s")
    assert argvs == [(b"SREM", b"s", popped)]
    argvs.clear()
    many = client("SPOP", "s", 1100)
    assert argvs == [
        (b"MULTI",),
        (b"SREM", b"s", *many[:1024]),
        (b"SREM", b"s", *many[1024:]),
        (b"EXEC",),
    ]
    argvs.clear()
    client("SPOP", "s", 5000)
    client("SPOP", "s", 5000)
    client("SREM", "s", "a")
    client("SADD", "one", "x")
    client("SADD", "one", "x")
    client("SPOP", "one")
    client("SINTERSTORE", "to", "one", "s")
    assert argvs == [(b"DEL", b"s"), (b"SADD", b"one", b"x"), (b"SREM", b"one", b"x")]


def test_what_counts_as_a_change(client: EngineClient) -> None:
    ks = client.engine.ks
    for request_, dirty in [
        ("SADD s a b c", 3),
        ("SPOP s 5", 3),
        ("SADD s a b c d e", 5),
        ("SPOP s 2", 2),
        ("SPOP s", 1),
        ("SREM s a b c d e", 2),
        ("SADD s a b c", 3),
        ("SMOVE s t a", 2),
        ("SADD s a", 1),
        ("SMOVE s t a", 1),
        ("SMOVE s s b", 0),
        ("SINTERSTORE d s", 1),
        ("SINTERSTORE d none", 1),
        ("SINTERSTORE d none", 0),
        ("SUNIONSTORE d s t", 1),
    ]:
        before = ks.dirty
        client(*request_.split())
        assert ks.dirty - before == dirty, request_
