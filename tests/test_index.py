"""KeyIndex against a plain set, with SCAN's guarantee checked on every walk."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pyredis.types.index import KeyIndex


def keys(count: int, start: int = 0) -> list[bytes]:
    return [b"k%d" % number for number in range(start, start + count)]


starts = st.integers(0, 400)
counts = st.integers(1, 200)


class IndexBesideSet(RuleBasedStateMachine):
    """Random writes, samples and sweeps, with one walk under way at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.live: set[bytes] = set()
        self.index = KeyIndex()
        self.cursor = 0
        self.owed: set[bytes] | None = None  # present since the walk began, not yet returned

    @rule(start=starts, count=counts)
    def add(self, start: int, count: int) -> None:
        for key in keys(count, start):
            if key not in self.live:
                self.live.add(key)
                self.index.add(key)

    @rule(start=starts, count=counts)
    def discard(self, start: int, count: int) -> None:
        for key in keys(count, start):
            if key in self.live:
                self.live.remove(key)
                self.index.discard(key)
                if self.owed is not None:
                    self.owed.discard(key)

    @rule(seed=st.integers(0, 99), count=st.integers(0, 200))
    def pop(self, seed: int, count: int) -> None:
        rng = random.Random(seed)
        for _ in range(min(count, len(self.live))):
            key = self.index.pop(rng)
            self.live.remove(key)
            if self.owed is not None:
                self.owed.discard(key)

    @rule()
    def clear(self) -> None:
        self.live.clear()
        self.index.clear()
        if self.owed is not None:
            self.owed.clear()

    @precondition(lambda self: self.owed is None)
    @rule(count=st.integers(1, 50))
    def begin_walk(self, count: int) -> None:
        self.owed = set(self.live)
        self.cursor = 0
        self.take_page(count)

    @precondition(lambda self: self.owed is not None)
    @rule(count=st.integers(1, 50))
    def take_page(self, count: int) -> None:
        assert self.owed is not None
        self.cursor, page = self.index.scan(self.cursor, count)
        assert set(page) <= self.live
        assert len(page) == len(set(page)) <= count
        self.owed -= set(page)
        if self.cursor == 0:
            assert not self.owed, "the walk ended without a key that was there all the time"
            self.owed = None

    @rule(budget=st.integers(1, 100))
    def tidy(self, budget: int) -> None:
        self.index.tidy(budget)

    @rule(seed=st.integers(0, 99), count=st.integers(0, 20))
    def sample(self, seed: int, count: int) -> None:
        rng = random.Random(seed)
        key = self.index.sample(rng)
        assert key in self.live if self.live else key is None
        picked = self.index.sample_many(rng, count)
        assert len(picked) == (count if self.live else 0)
        assert set(picked) <= self.live

    @invariant()
    def holds(self) -> None:
        self.index._check(self.live)


IndexBesideSet.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True
)
TestIndexBesideSet = IndexBesideSet.TestCase


def test_scan_walks_from_the_right_and_ends_at_zero() -> None:
    index = KeyIndex(keys(5))
    assert index.scan(0, 2) == (3, [b"k3", b"k4"])
    assert index.scan(3, 2) == (1, [b"k1", b"k2"])
    assert index.scan(1, 2) == (0, [b"k0"])
    assert index.scan(2**64 - 1, 9) == (0, keys(5)), "a cursor beyond the list is clamped"
    assert KeyIndex().scan(0, 10) == KeyIndex().scan(7, 10) == (0, [])


def test_a_key_moved_over_the_cursor_comes_twice() -> None:
    index = KeyIndex(keys(4))
    cursor, page = index.scan(0, 1)
    assert page == [b"k3"]
    index.discard(b"k0")
    index.tidy(1)
    assert index.scan(cursor, 9) == (0, [b"k3", b"k1", b"k2"])


def test_samples_are_uniform_with_stale_entries_about() -> None:
    rng = random.Random(7)
    for picks_at_once in (1, 500):
        index = KeyIndex(keys(100))
        for key in keys(50, start=25):
            index.discard(key)
        live = [*keys(25), *keys(25, start=75)]
        counts: Counter[bytes] = Counter()
        for _ in range(20_000 // picks_at_once):
            counts.update(index.sample_many(rng, picks_at_once))
        assert set(counts) == set(live)
        chi_square = sum((counts[key] - 400) ** 2 / 400 for key in live)
        assert chi_square < 85.4, "beyond the 99.9% quantile of 49 degrees of freedom"


def test_pops_are_uniform_with_stale_entries_about() -> None:
    rng = random.Random(8)
    counts: Counter[bytes] = Counter()
    for _ in range(2_000):
        index = KeyIndex(keys(20))
        for key in keys(10, start=5):
            index.discard(key)
        counts.update({index.pop(rng), index.pop(rng)})
    assert sum(counts.values()) == 4_000
    chi_square = sum((counts[key] - 400) ** 2 / 400 for key in [*keys(5), *keys(5, start=15)])
    assert chi_square < 27.9, "beyond the 99.9% quantile of 9 degrees of freedom"


def test_discards_keep_the_stale_part_bounded() -> None:
    everything = keys(5_000)
    orders = {
        "left to right": everything,
        "right to left": everything[::-1],
        "shuffled": random.Random(3).sample(everything, len(everything)),
    }
    for name, doomed in orders.items():
        index, live = KeyIndex(everything), set(everything)
        for step, key in enumerate(doomed):
            live.remove(key)
            index.discard(key)
            assert len(index.stale) * 4 <= len(index.order) * 3 + 256, name
            if step % 500 == 0:
                index._check(live)
        assert len(index.order) < 300, name


def test_churn_does_not_grow_the_list() -> None:
    index = KeyIndex(keys(1_000))
    for number in range(1_000, 20_000):
        index.add(b"k%d" % number)
        index.discard(b"k%d" % (number - 1_000))
        assert len(index.order) <= 4 * 1_001 + 256
    index._check(set(keys(1_000, start=19_000)))


def test_tidy_removes_all_in_one_round() -> None:
    index = KeyIndex(keys(1_000))
    for key in keys(100, start=450):
        index.discard(key)
    index.tidy(1_000)
    assert not index.stale
    assert len(index.order) == len(index) == 900


def test_an_empty_index_has_no_sample() -> None:
    index = KeyIndex(keys(3))
    for key in keys(3):
        index.discard(key)
    assert index.sample(random.Random(0)) is None
    assert index.sample_many(random.Random(0), 4) == []
    index.tidy(10)
    index._check(set())
