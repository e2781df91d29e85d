"""Freeing large values in slices."""

from __future__ import annotations

from collections import deque

import pytest
from sortedcontainers import SortedList

from pyredis.keyspace import Value
from pyredis.lazyfree import LazyFree
from pyredis.ports import ManualClock
from pyredis.types.hashes import Hash
from pyredis.types.lists import List
from pyredis.types.sets import Set
from pyredis.types.zset import ZSet


class SlowClock(ManualClock):
    """Each look at it takes a millisecond."""

    def steady_ns(self) -> int:
        self.advance(1)
        return super().steady_ns()


def _large(kind: type) -> tuple[Value, list[object]]:
    """A large value and the containers that must be empty in the end."""
    names = [b"%d" % n for n in range(5000)]
    if kind is List:
        made = List.of(names, -2)
        return made, [made.items]
    if kind is ZSet:
        zset = ZSet.of([(name, float(n)) for n, name in enumerate(names)], 128, 64)
        assert isinstance(zset.order, SortedList)
        return zset, [zset.scores, zset.order._lists]
    if kind is Set:
        held = Set()
        held.members = dict.fromkeys(names)
        return held, [held.members]
    hash_ = Hash()
    hash_.fields = dict.fromkeys(names, b"value")
    return hash_, [hash_.fields]


@pytest.mark.parametrize("kind", [List, Set, Hash, ZSet])
def test_a_large_value_goes_in_slices(kind: type) -> None:
    value, parts = _large(kind)
    lazyfree = LazyFree(SlowClock())
    lazyfree.add(value)
    assert (lazyfree.pending, lazyfree.freed) == (1, 0)
    slices = 1
    while lazyfree.run():
        slices += 1
        assert (lazyfree.pending, lazyfree.freed) == (1, 0)
    assert slices > 10
    assert (lazyfree.pending, lazyfree.freed) == (0, 1)
    assert not any(parts)


def test_small_values_are_freed_at_once() -> None:
    lazyfree = LazyFree(SlowClock())
    for value in (b"x" * 10_000, bytearray(10_000), 7, List.of([b"a"] * 64, -2)):
        lazyfree.add(value)
    assert lazyfree.pending == 0
    assert not lazyfree.run()


def test_a_database_counts_by_keys() -> None:
    data: dict[bytes, Value] = {b"%d" % n: b"value" for n in range(1000)}
    large, parts = _large(Set)
    data[b"large"] = large
    data[b"small"] = List.of([b"a"], -2)
    lazyfree = LazyFree(SlowClock())
    lazyfree.add_database(data)
    lazyfree.add_database({})
    assert lazyfree.pending == 1002
    while lazyfree.run():
        assert lazyfree.pending + lazyfree.freed == 1002
    assert lazyfree.freed == 1002
    assert not data
    assert not any(parts)


def test_what_is_left_of_a_database_of_strings_goes_at_once() -> None:
    lazyfree = LazyFree(SlowClock())
    lazyfree.add_database({b"%d" % n: b"value" for n in range(50_400)})
    assert lazyfree.run()
    assert (lazyfree.taken, lazyfree.done, lazyfree.freed) == (1, 0, 256)
    while lazyfree.run():
        assert lazyfree.freed <= 1024
    assert (lazyfree.taken, lazyfree.done, lazyfree.freed) == (1, 1, 50_400)


def test_only_parts_of_our_own_are_taken_apart() -> None:
    shared = deque([1])

    class Foreign:
        def __init__(self) -> None:
            self.held = shared

        def __len__(self) -> int:
            return 100

    lazyfree = LazyFree(SlowClock())
    lazyfree.add(Foreign())
    while lazyfree.run():
        pass
    assert len(shared) == 1
