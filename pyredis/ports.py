"""What the core may not reach for itself: time, chance, files and processes, passed in.

The composition root passes the machine's; tests and the simulator pass their own.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol


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


class Output(Protocol):
    """A file being written. Every method may raise OSError."""

    def write(self, data: bytes) -> None:
        """Append all of the data."""
        ...

    def sync(self) -> None:
        """Return when everything written is on the medium."""
        ...

    def close(self) -> None:
        """No more is written. What was not synced may still be lost."""
        ...


class Input(Protocol):
    """A file being read, from its beginning. Every method may raise OSError."""

    size: int

    def read(self, size: int) -> bytes:
        """The next bytes, at most so many; none at the end."""
        ...

    def close(self) -> None:
        """No more is read."""
        ...


class Disk(Protocol):
    """The folder that a server keeps its files in. Every method may raise OSError."""

    @property
    def folder(self) -> str:
        """Where it is, to be shown to people."""
        ...

    def create(self, name: str) -> Output:
        """A new file, or an old one emptied."""
        ...

    def open(self, name: str) -> Input:
        """A file to be read; FileNotFoundError if there is none."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, at one instant in place of what had it."""
        ...

    def remove(self, name: str) -> None:
        """Take a file away."""
        ...

    def sync_folder(self) -> None:
        """Return when names given and taken so far are on the medium."""
        ...


class ChildReport(NamedTuple):
    """How far a child has come: keys done, and what copying on write costs so far."""

    keys: int = 0
    cow_bytes: int = 0
    cow_peak_bytes: int = 0


class ChildEnd(NamedTuple):
    """How a child has ended: by a signal, or else with an exit status.

    ``excused``: it was told to end (by SIGUSR1), so that it has ended is no failure.
    """

    status: int
    signal: int = 0
    excused: bool = False

    @property
    def well(self) -> bool:
        """Whether it has done what it was for."""
        return not self.status and not self.signal


Report = Callable[[int], None]
"""Called by a child's job now and then, with the number of keys done so far."""

Job = Callable[[int, Report], bool]
"""What a child does: gets its process id; returns whether all went well."""


class Children(Protocol):
    """Runs a job beside the server, on the data as they are at that instant; one at a time."""

    def start(self, title: str, job: Job) -> int:
        """Begin; returns the child's process id. Raises OSError if that cannot be done."""
        ...

    def poll(self) -> ChildEnd | None:
        """The end of the child once it has come, then never again. Does not wait."""
        ...

    @property
    def report(self) -> ChildReport:
        """What the child has told last; complete once its end has come."""
        ...

    def kill(self) -> None:
        """Tell the child to end at once. ``poll`` tells of it later, as excused."""
        ...
