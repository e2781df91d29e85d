"""Freeing large values a little at a time.

When the last reference to a list of a million elements goes, CPython frees them all at
once and every client waits. UNLINK, FLUSHALL ASYNC and the lazyfree-lazy-... directives
hand such values here instead: out of the keyspace at once, taken apart piece by piece in the
background. Redis has a thread for that; under the GIL a thread would win nothing, so the
cron gives it a slice of time.

A value is taken apart blindly: whatever dicts, lists, sets and deques it is made of are
emptied from their cheap end, and containers found in them are emptied in turn. Two promises
make that safe: a value that comes here is reachable from nowhere else, and values share
no containers with one another.

Vocabulary: an *object* is a value of a key; ``pending`` and ``freed`` count objects. Small
values are freed on the spot and not counted.

Cost: about 0.1 us an element, and a slice ends within a chunk of its budget.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pyredis.keyspace import Value
    from pyredis.ports import Clock

SMALL_MAX: Final = 64  # elements; up to here it is not worth the trouble
SLICE_NS: Final = 1_000_000
_CHUNK: Final = 256  # elements freed between two looks at the clock
_PARTS_DEPTH: Final = 3  # a value, its list of blocks, ...

_CONTAINERS: Final = frozenset((dict, list, set, deque))
_PLAIN: Final = frozenset((bytes, bytearray, int, float, str, bool, tuple, type(None)))
_OURS: Final = ("pyredis.types.", "sortedcontainers.")  # whose parts belong to the value alone


class LazyFree:
    """Values on their way out. One a server."""

    __slots__ = ("_clock", "_databases", "_parts", "_values", "freed", "pending")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.pending = 0
        self.freed = 0
        self._values: deque[Value] = deque()
        self._databases: deque[dict[bytes, Value]] = deque()
        self._parts: list[Any] = []  # containers of the value being freed, a stack

    def add(self, value: Value) -> None:
        """Free a value that the caller has just taken out of the keyspace; later if it is large."""
        if type(value) in _PLAIN or len(value) <= SMALL_MAX:
            return
        self._values.append(value)
        self.pending += 1

    def add_database(self, data: dict[bytes, Value]) -> None:
        """Free all values of a database that was emptied. Takes the dict over."""
        if data:
            self._databases.append(data)
            self.pending += len(data)

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        self.freed = 0

    def run(self, budget_ns: int = SLICE_NS) -> bool:
        """Free for about that long; returns whether something is left."""
        if not self.pending:
            return False
        steady_ns = self._clock.steady_ns
        end_ns = steady_ns() + budget_ns
        while self.pending:
            self._step()
            if steady_ns() >= end_ns:
                break
        return self.pending > 0

    def _step(self) -> None:
        """Free one chunk of what comes next."""
        parts = self._parts
        if parts:
            part = parts.pop()
            found = _take_apart(part)
            if part:
                parts.append(part)
            parts.extend(found)
            if not parts:
                self._finished(1)
        elif self._values:
            parts.extend(_containers(self._values.popleft()))
            if not parts:
                self._finished(1)
        else:
            self._open_database()

    def _open_database(self) -> None:
        """Drop the small values at the end of a flushed database; queue a large one."""
        data = self._databases[0]
        dropped = 0
        while data and dropped < _CHUNK:
            _, value = data.popitem()
            if type(value) not in _PLAIN and len(value) > SMALL_MAX:
                self._values.append(value)
                break
            dropped += 1
        if dropped:
            self._finished(dropped)
        if not data:
            self._databases.popleft()

    def _finished(self, count: int) -> None:
        self.pending -= count
        self.freed += count


def _take_apart(part: Any) -> list[Any]:
    """Remove a chunk of a container's elements; returns the containers among them."""
    kind = type(part)
    removed: list[Any] = []
    if kind is list:
        removed = part[-_CHUNK:]
        del part[-_CHUNK:]
    elif kind is dict:
        for _ in range(min(_CHUNK, len(part))):
            removed.extend(part.popitem())
    else:
        pop = part.pop
        removed = [pop() for _ in range(min(_CHUNK, len(part)))]
    if _PLAIN.issuperset(map(type, removed)):
        return []
    return [part for element in removed for part in _containers(element)]


def _containers(value: Any, depth: int = _PARTS_DEPTH) -> Iterator[Any]:
    """The non-empty builtin containers that an object of ours consists of."""
    kind = type(value)
    if kind in _CONTAINERS:
        if value:
            yield value
    elif depth and kind.__module__.startswith(_OURS):
        for attribute in _attributes(value):
            yield from _containers(attribute, depth - 1)


def _attributes(value: Any) -> Iterator[Any]:
    for cls in type(value).__mro__:
        for name in cls.__dict__.get("__slots__", ()):
            yield getattr(value, name, None)
    yield from list(getattr(value, "__dict__", {}).values())
