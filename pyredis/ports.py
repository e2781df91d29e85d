"""What the core may not reach for itself: time and chance, passed in at construction.

The composition root passes the machine's; tests and the simulator pass their own.
"""

from __future__ import annotations

import random
import time
from typing import Protocol


class Clock(Protocol):
    """Two readings: the calendar, for deadlines that outlive the process, and a steady count."""

    def now_ms(self) -> int:
        """Unix time in milliseconds; may jump."""
        ...

    def now_us(self) -> int:
        """The same in microseconds: for TIME and MONITOR, which print that many digits."""
        ...

    def steady_ns(self) -> int:
        """Nanoseconds since some fixed point; never goes back. Measures durations."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def now_us(self) -> int:
        """Unix time in microseconds."""
        return time.time_ns() // 1000

    steady_ns = staticmethod(time.perf_counter_ns)


class ManualClock:
    """A clock that moves when told to, for tests and simulations."""

    __slots__ = ("time_ms",)

    def __init__(self, time_ms: int = 1_700_000_000_000) -> None:
        self.time_ms = time_ms

    def now_ms(self) -> int:
        """The time last set, in milliseconds."""
        return self.time_ms

    def now_us(self) -> int:
        """The same time, in microseconds."""
        return self.time_ms * 1000

    def steady_ns(self) -> int:
        """The same time, in nanoseconds."""
        return self.time_ms * 1_000_000

    def advance(self, duration_ms: int) -> None:
        """Let ``duration_ms`` pass."""
        self.time_ms += duration_ms


Rng = random.Random
"""Source of chance: ``random.Random``, seeded in tests, from the system otherwise."""
