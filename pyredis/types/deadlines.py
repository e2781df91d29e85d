"""Deadlines: names that have a time each, found by name and by whose time comes first.

A dict answers for a name; a binary heap of (time, name) answers which is next. An entry of the
heap is *stale* when the dict says otherwise of its name: removing or moving a deadline leaves
its entry behind, to be dropped when it comes to the top, or when the heap is made anew because
more than half of it is stale. So all changes cost O(log n), amortized, and none looks for an
entry in the middle of the heap.

Used twice: for the fields of a hash, and for the keys of a database that hold such hashes.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

_STALE_MIN: Final = 64  # below this a heap is not worth making anew


class Deadlines:
    """Times in Unix ms by name. Read `when` freely; write through the methods only."""

    __slots__ = ("_heap", "when")

    def __init__(self) -> None:
        """Makes an empty collection."""
        self.when: dict[bytes, int] = {}
        self._heap: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        """Returns the number of names."""
        return len(self.when)

    def copy(self) -> Deadlines:
        """Returns an independent collection with the same deadlines. O(n)."""
        twin = Deadlines()
        twin.when = self.when.copy()
        twin._tidy()
        return twin

    def set(self, name: bytes, when_ms: int) -> None:
        """Gives a name a deadline, in place of the one it may have. O(log n)."""
        if self.when.get(name) == when_ms:
            return
        self.when[name] = when_ms
        heappush(self._heap, (when_ms, name))
        self._bound()

    def discard(self, name: bytes) -> bool:
        """Takes a name's deadline away; returns whether it had one. O(1), amortized."""
        if self.when.pop(name, None) is None:
            return False
        self._bound()
        return True

    def next_ms(self) -> int | None:
        """Returns the earliest deadline, None if there is none. O(log n), amortized."""
        heap, when = self._heap, self.when
        while heap:
            when_ms, name = heap[0]
            if when.get(name) == when_ms:
                return when_ms
            heappop(heap)
        return None

    def due(self, now_ms: int, count: int) -> list[bytes]:
        """Returns up to `count` names whose time has come, the earliest first.

        They are taken out: whoever does not let them go sets them again. O(count * log n).
        """
        found: list[bytes] = []
        heap, when = self._heap, self.when
        while heap and heap[0][0] <= now_ms and len(found) < count:
            when_ms, name = heappop(heap)
            if when.get(name) == when_ms:
                del when[name]
                found.append(name)
        return found

    def _bound(self) -> None:
        if len(self._heap) > 2 * len(self.when) + _STALE_MIN:
            self._tidy()

    def _tidy(self) -> None:
        self._heap = [(when_ms, name) for name, when_ms in self.when.items()]
        heapify(self._heap)

    def _check(self) -> None:
        """Asserts every invariant."""
        heap = self._heap
        assert all(heap[(at - 1) // 2] <= heap[at] for at in range(1, len(heap)))
        assert {(when_ms, name) for name, when_ms in self.when.items()} <= set(heap)
        assert len(heap) <= 2 * len(self.when) + _STALE_MIN
