"""Deadlines beside a dict that is searched."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pyredis.types.deadlines import Deadlines

names = st.integers(0, 12).map(lambda number: b"n%d" % number)
times = st.integers(0, 30)


class DeadlinesBesideDict(RuleBasedStateMachine):
    """Every method."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines = Deadlines()
        self.twin: dict[bytes, int] = {}

    @rule(name=names, when_ms=times)
    def set(self, name: bytes, when_ms: int) -> None:
        self.deadlines.set(name, when_ms)
        self.twin[name] = when_ms

    @rule(name=names)
    def discard(self, name: bytes) -> None:
        assert self.deadlines.discard(name) == (self.twin.pop(name, None) is not None)

    @rule(now_ms=times, count=st.integers(0, 5))
    def due(self, now_ms: int, count: int) -> None:
        found = self.deadlines.due(now_ms, count)
        gone = sorted(when_ms for when_ms in self.twin.values() if when_ms <= now_ms)
        assert [self.twin.pop(name) for name in found] == gone[:count]

    @rule()
    def copy(self) -> None:
        self.deadlines, old = self.deadlines.copy(), self.deadlines
        old.set(b"another", 1)

    @invariant()
    def holds(self) -> None:
        self.deadlines._check()
        assert self.deadlines.when == self.twin
        assert len(self.deadlines) == len(self.twin)
        assert self.deadlines.next_ms() == min(self.twin.values(), default=None)


DeadlinesBesideDict.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True
)
TestDeadlinesBesideDict = DeadlinesBesideDict.TestCase


def test_a_deadline_moved_often_leaves_little_behind() -> None:
    deadlines = Deadlines()
    for when_ms in range(10_000):
        deadlines.set(b"a", when_ms)
    deadlines._check()
    assert deadlines.due(10_000, 5) == [b"a"]
    assert deadlines.next_ms() is None
