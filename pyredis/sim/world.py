"""Virtual time and chance: a queue of events, and dice that one seed decides.

Nothing in a simulation waits. The world keeps a heap of *events*, each a call to be made at an
instant of virtual time; ``run`` takes the earliest, moves the time to it, and makes the call,
which may add events. An hour in which nothing happens costs nothing. Events of the same
instant are taken in the order in which they were added, so the order never depends on chance,
on memory addresses or on the interpreter's hash seed.

Chance comes in *streams*, one for each concern (the delays between two hosts, the faults, the
load of one client ...), all derived from the seed. A concern that draws more or less dice than
before leaves all others as they were: that keeps a run recognisable when a shrinker takes
something out of it. Streams are only ever asked for integers, for which ``random.Random``
gives the same numbers on all versions and machines.

Time is counted in microseconds from the start of the run.

Source: discrete-event simulation as in any textbook; one seed for everything as in
FoundationDB and TigerBeetle.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256
from heapq import heappop, heappush
from typing import Any, Final

US_PER_MS: Final = 1000
US_PER_S: Final = 1_000_000

Call = Callable[..., None]


class World:
    """The time, the events to come, and the streams of chance of one run."""

    __slots__ = ("_added", "_heap", "_stopped", "now_us", "seed")

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_us = 0
        self._heap: list[tuple[int, int, Call, tuple[Any, ...]]] = []
        self._added = 0
        self._stopped = False

    def at(self, time_us: int, call: Call, *args: Any) -> None:
        """Have ``call`` made at that time, or now if it has passed. O(log events)."""
        self._added += 1
        now_us = self.now_us
        heappush(self._heap, (time_us if time_us > now_us else now_us, self._added, call, args))

    def after(self, delay_us: int, call: Call, *args: Any) -> None:
        """Have ``call`` made when so much time has passed."""
        self._added += 1
        heappush(self._heap, (self.now_us + delay_us, self._added, call, args))

    def run(self, until_us: int) -> None:
        """Make all calls up to and at that time; the time is that afterwards, unless stopped."""
        heap = self._heap
        self._stopped = False
        while heap and not self._stopped and heap[0][0] <= until_us:
            self.now_us, _, call, args = heappop(heap)
            call(*args)
        if not self._stopped:
            self.now_us = max(self.now_us, until_us)

    def stop(self) -> None:
        """Let ``run`` end after the call being made."""
        self._stopped = True

    def stream(self, concern: str) -> random.Random:
        """Dice of their own for a concern; the same name gives the same numbers."""
        digest = sha256(f"{self.seed}/{concern}".encode()).digest()
        return random.Random(int.from_bytes(digest[:8], "big"))
