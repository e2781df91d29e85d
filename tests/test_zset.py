"""ZSet beside a dumb twin: a dict, sorted whenever somebody asks."""

from __future__ import annotations

import random
from collections import Counter
from math import inf, nan

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pyredis.types import zset as module
from pyredis.types.zset import (
    LEX_MAX,
    LEX_MIN,
    MOVED,
    NEW,
    SAME,
    Entry,
    LexBound,
    ZSet,
    parse_lex_bound,
    parse_score_bound,
)

members = st.sampled_from([b"", b"\0", b"a", b"a\0", b"\xff", *(b"m%02d" % n for n in range(45))])
scores = st.sampled_from([-inf, -2.5, -1.0, 0.0, 5e-324, 0.1, 1.0, 3.0, 1e300, inf])
parts = st.integers(0, 12)  # twelfths of the set, so that ranks hit whatever its size is
seeds = st.integers(0, 99)


class ZSetBesideDict(RuleBasedStateMachine):
    """Every method with every argument, against the twin; large sets begin at 6 entries."""

    def __init__(self) -> None:
        super().__init__()
        self.zset = ZSet()
        self.twin: dict[bytes, float] = {}

    def ordered(self) -> list[Entry]:
        return sorted((score, member) for member, score in self.twin.items())

    def rank_at(self, part: int) -> int:
        return len(self.twin) * part // 12

    def drop(self, entries: list[Entry]) -> None:
        for _, member in entries:
            del self.twin[member]

    @initialize(pairs=st.dictionaries(members, scores, max_size=50))
    def build(self, pairs: dict[bytes, float]) -> None:
        self.zset, self.twin = ZSet.of(pairs, 12, 64), dict(pairs)
        assert self.zset.skiplist == (len(pairs) > 12)

    @rule(pairs=st.lists(st.tuples(members, scores), min_size=3, max_size=30))
    def add(self, pairs: list[tuple[bytes, float]]) -> None:
        for member, score in pairs:
            old = self.twin.get(member)
            if old is None:
                self.zset.outgrow(member, 12, 64)
            expected = NEW if old is None else SAME if old == score else MOVED
            assert self.zset.add(bytes(bytearray(member)), score) == expected
            self.twin[member] = score

    @rule(member=members, by=scores)
    def increment(self, member: bytes, by: float) -> None:
        old = self.twin.get(member, 0.0)
        if old == -by and by in (inf, -inf):
            with pytest.raises(ValueError):
                self.zset.increment(member, by)
            return
        assert self.zset.increment(member, by) == old + by
        self.twin[member] = old + by

    @rule(doomed=st.lists(members, min_size=1, max_size=6))
    def remove(self, doomed: list[bytes]) -> None:
        for member in doomed:
            assert self.zset.remove(member) == (self.twin.pop(member, None) is not None)

    @rule(count=parts)
    def pop_min(self, count: int) -> None:
        expected = self.ordered()[:count]
        assert self.zset.pop_min(count) == expected
        self.drop(expected)

    @rule(count=parts)
    def pop_max(self, count: int) -> None:
        expected = self.ordered()[::-1][:count]
        assert self.zset.pop_max(count) == expected
        self.drop(expected)

    @rule(start=parts, stop=parts)
    def remove_rank_range(self, start: int, stop: int) -> None:
        start, stop = self.rank_at(start), self.rank_at(stop)
        expected = self.ordered()[start:stop]
        assert self.zset.remove_rank_range(start, stop) == expected
        self.drop(expected)

    @rule(start=parts, stop=parts)
    def range_by_rank(self, start: int, stop: int) -> None:
        start, stop = self.rank_at(start), self.rank_at(stop)
        ordered = self.ordered()
        assert self.zset.range_by_rank(start, stop) == ordered[start:stop]
        assert self.zset.range_by_rank(start, stop, reverse=True) == ordered[::-1][start:stop]

    @rule(low=scores, lowex=st.booleans(), high=scores, highex=st.booleans())
    def score_bounds(self, low: float, lowex: bool, high: float, highex: bool) -> None:
        start, stop = self.zset.score_bounds(low, lowex, high, highex)
        assert 0 <= start <= stop <= len(self.twin)
        assert self.zset.range_by_rank(start, stop) == [
            (score, member)
            for score, member in self.ordered()
            if (low < score if lowex else low <= score)
            and (score < high if highex else score <= high)
        ]

    @rule(seed=seeds, count=st.integers(0, 40))
    def sample(self, seed: int, count: int) -> None:
        rng, entries = random.Random(seed), set(self.ordered())
        if entries:
            assert self.zset.sample(rng) in entries
        assert set(self.zset.sample_many(rng, count)) <= entries
        distinct = self.zset.sample_distinct(rng, count)
        assert set(distinct) <= entries
        assert len(distinct) == len(set(distinct)) == min(count, len(entries))

    @rule(count=st.integers(1, 20))
    def scan(self, count: int) -> None:
        cursor, seen = self.zset.scan(0, count)
        while cursor:
            cursor, page = self.zset.scan(cursor, count)
            seen += page
        assert sorted(seen) == self.ordered()
        assert self.zset.skiplist or seen == self.ordered(), "a small set comes in order"

    @rule()
    def copy(self) -> None:
        original, self.zset = self.zset, self.zset.copy()
        original.pop_min(3)
        original.add(b"new one", 1.0)
        original._check()

    @invariant()
    def holds(self) -> None:
        self.zset._check()
        ordered = self.ordered()
        assert list(self.zset) == ordered
        assert len(self.zset) == len(ordered)
        assert [self.zset.rank(member) for _, member in ordered] == list(range(len(ordered)))
        assert self.zset.rank(b"stranger") is None


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets both shapes of `order` take part, with several blocks in the second."""

    class Small(module.SortedList):  # type: ignore[misc, name-defined]
        DEFAULT_LOAD_FACTOR = 4

    monkeypatch.setattr(module, "LIST_MAX", 6)
    monkeypatch.setattr(module, "SortedList", Small)


class TestBesideDict(ZSetBesideDict.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=150, stateful_step_count=30, deadline=None, derandomize=True)


def build(*pairs: tuple[bytes, float]) -> ZSet:
    return ZSet.of(pairs, 128, 64)


@pytest.mark.parametrize("size", [5, 40])
def test_lex_bounds(size: int) -> None:
    words = [b"%02d" % number for number in range(size)]
    zset = build(*((word, 7.0) for word in words))
    for low, high, first, last in [
        (LEX_MIN, LEX_MAX, b"00", words[-1]),
        (LexBound(b"02", False), LEX_MAX, b"02", words[-1]),
        (LexBound(b"02", True), LEX_MAX, b"03", words[-1]),
        (LEX_MIN, LexBound(b"03", False), b"00", b"03"),
        (LEX_MIN, LexBound(b"03", True), b"00", b"02"),
        (LexBound(b"01", True), LexBound(b"03x", True), b"02", b"03"),
        (LexBound(b"", True), LexBound(b"02", True), b"00", b"01"),
    ]:
        start, stop = zset.lex_bounds(low, high)
        assert [member for _, member in zset.range_by_rank(start, stop)] == [
            word for word in words if first <= word <= last
        ]
    for low, high in [
        (LEX_MAX, LEX_MIN),
        (LEX_MAX, LEX_MAX),
        (LEX_MIN, LEX_MIN),
        (LexBound(b"02", True), LexBound(b"02", False)),
        (LexBound(b"03", False), LexBound(b"01", False)),
    ]:
        start, stop = zset.lex_bounds(low, high)
        assert start == stop
    assert ZSet().lex_bounds(LEX_MIN, LEX_MAX) == (0, 0)


def test_parse_bounds() -> None:
    assert parse_lex_bound(b"-") == LEX_MIN
    assert parse_lex_bound(b"+") == LEX_MAX
    assert parse_lex_bound(b"[") == LexBound(b"", False)
    assert parse_lex_bound(b"(a-") == LexBound(b"a-", True)
    for text in (b"", b"a", b"-a", b"+a"):
        with pytest.raises(ValueError):
            parse_lex_bound(text)
    assert parse_score_bound(b"(1.5") == (1.5, True)
    assert parse_score_bound(b"-inf") == (-inf, False)
    assert parse_score_bound(b"(") == (0.0, True)
    for text in (b"((1", b"+", b"nan"):
        with pytest.raises(ValueError):
            parse_score_bound(text)


def test_the_encoding_never_goes_back() -> None:
    zset = ZSet()
    for number in range(129):
        assert zset.encoding(None) == b"listpack"
        zset.outgrow(b"%d" % number, 128, 64)
        zset.add(b"%d" % number, 0.0)
    assert zset.encoding(None) == b"skiplist"
    zset.pop_min(128)
    assert zset.encoding(None) == zset.copy().encoding(None) == b"skiplist"
    assert build((b"x" * 64, 1.0)).encoding(None) == b"listpack"
    assert build((b"x" * 65, 1.0)).encoding(None) == b"skiplist"


def test_only_large_sets_keep_the_sign_of_zero() -> None:
    small, large = build((b"a", -0.0)), build((b"x" * 65, -0.0))
    for zset, texts in ((small, ["0.0", "0.0"]), (large, ["-0.0", "-0.0"])):
        assert zset.add(b"b", -0.0) == NEW
        assert zset.add(b"b", 0.0) == SAME
        assert [str(score) for score, _ in zset] == texts
        zset._check()


def test_increment_refuses_nan_and_changes_nothing() -> None:
    zset = build((b"a", inf))
    for by in (-inf, nan):
        with pytest.raises(ValueError):
            zset.increment(b"a", by)
    with pytest.raises(ValueError):
        zset.increment(b"new", nan)
    assert list(zset) == [(inf, b"a")]


def test_a_running_scan_survives_writes() -> None:
    zset = build(*((b"%d" % number, number) for number in range(200)))
    cursor, seen = zset.scan(0, 30)
    zset.pop_min(50)
    for number in range(300, 400):
        zset.add(b"%d" % number, 0.0)
    while cursor:
        cursor, page = zset.scan(cursor, 30)
        seen += page
    assert {(number, b"%d" % number) for number in range(50, 200)} <= set(seen)
    zset._check()


def test_samples_are_uniform() -> None:
    rng = random.Random(5)
    for size in (5, 40):
        zset = build(*((b"%d" % number, number) for number in range(size)))
        counts = Counter(zset.sample_many(rng, 400 * size))
        counts.update(zset.sample(rng) for _ in range(400 * size))
        assert len(counts) == size
        chi_square = sum((count - 800) ** 2 / 800 for count in counts.values())
        assert chi_square < 2.5 * size + 10
