"""Freeing large values a little at a time.

When the last reference to a list of a million elements goes, CPython frees them all at
once and every client waits. UNLINK, FLUSHALL ASYNC and the lazyfree-lazy-... directives
hand such values here instead: out of the keyspace at once, taken apart piece by piece in the
background. Redis has a thread for that; under the GIL a thread would win nothing, so the
cron gives it a slice of time. While a client waits for it (a FLUSHALL that is not ASYNC keeps its
own client waiting, not the server), there is a slice in every turn of the loop.

A value is taken apart blindly: whatever dicts, lists, sets and deques it is made of are
emptied from their cheap end, and containers found in them are emptied in turn. Two promises
make that safe: a value that comes here is reachable from nowhere else, and values share
no containers with one another.

Vocabulary: an *object* is a value of a key; ``pending`` and ``freed`` count objects. Small
values are freed on the spot and not counted.

Cost: about 0.1 us an element, 0.4 us a key, and a slice ends within a chunk of its budget. Whole
dicts go ten times faster, so what is left of a database of strings goes at once when it is little.
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
_AT_ONCE: Final = 50_000  # strings: a dict with no more of them goes in about two milliseconds
_PARTS_DEPTH: Final = 3  # a value, its list of blocks, ...

_CONTAINERS: Final = frozenset((dict, list, set, deque))
_PLAIN: Final = frozenset((bytes, bytearray, int, float, str, bool, tuple, type(None)))
_OURS: Final = ("pyredis.types.", "sortedcontainers.")  # whose parts belong to the value alone


_PUBLIC: Final = ("awaited", "done", "freed", "pending", "taken")


class LazyFree:
    """Values on their way out. One a server."""

    __slots__ = ("_clock", "_databases", "_mixed", "_parts", "_values", *_PUBLIC)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.pending = 0
        self.freed = 0
        self.taken = 0  # databases that came here so far ...
        self.done = 0  # ... and that have been freed
        self.awaited = False  # somebody waits for that
        self._values: deque[Value] = deque()
        self._databases: deque[dict[bytes, Value]] = deque()
        self._mixed = False  # the next database holds more than strings
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
            self.taken += 1
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
        """Drop the small values at the end of a flushed database; queue the large ones."""
        data = self._databases[0]
        dropped = len(data)
        if dropped <= _AT_ONCE and not self._mixed:
            self._mixed = not _PLAIN.issuperset(map(type, data.values()))
        if dropped <= _AT_ONCE and not self._mixed:
            data.clear()
        else:
            pop = data.popitem
            values = [pop()[1] for _ in range(min(_CHUNK, dropped))]
            large = [each for each in values if type(each) not in _PLAIN and len(each) > SMALL_MAX]
            self._values.extend(large)
            dropped = len(values) - len(large)
        self._finished(dropped)
        if not data:
            self._databases.popleft()
            self.done += 1
            self._mixed = False

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
