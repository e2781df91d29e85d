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
    """A file being written, at its end. Every method may raise OSError."""

    @property
    def size(self) -> int:
        """How many bytes it has: after a failed ``write`` it tells how much of it is there."""
        ...

    @property
    def syncing(self) -> bool:
        """Whether a sync begun by ``sync_later`` is going on."""
        ...

    @property
    def sync_error(self) -> OSError | None:
        """What the last sync that was begun by ``sync_later`` failed with."""
        ...

    def write(self, data: bytes) -> None:
        """Append all of the data."""
        ...

    def sync(self) -> None:
        """Return when everything written is on the medium."""
        ...

    def sync_later(self) -> None:
        """Begin to put everything written so far on the medium, without waiting for it.

        Only when no such sync is going on. It raises nothing: see ``sync_error``.
        """
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to so many bytes."""
        ...

    def close(self) -> None:
        """No more is written. What was not synced may still be lost."""
        ...


class Input(Protocol):
    """A file being read, from its beginning."""

    size: int

    def read(self, size: int) -> bytes:
        """The next bytes, at most so many; none at the end. Raises OSError."""
        ...

    def close(self) -> None:
        """No more is read. Cannot fail: nothing that was written depends on it."""
        ...


class Disk(Protocol):
    """The folder that a server keeps its files in. Every method may raise OSError.

    A name may also be that of a file in a folder inside, with one slash in it.
    """

    @property
    def folder(self) -> str:
        """Where it is, to be shown to people."""
        ...

    def sub(self, name: str) -> Disk:
        """A folder inside. It need not be there: see ``make``."""
        ...

    def make(self) -> None:
        """Have the folder itself be there, if it is not."""
        ...

    def names(self) -> list[str]:
        """The names of all files and folders in it, sorted; none if it is not there itself."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is a file or a folder of that name."""
        ...

    def size(self, name: str) -> int:
        """How many bytes a file has; FileNotFoundError if there is none."""
        ...

    def create(self, name: str) -> Output:
        """A new file, or an old one emptied."""
        ...

    def append(self, name: str) -> Output:
        """A file to be written at its end; a new one if there is none."""
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

Write = Callable[[bytes], None]
"""Hands bytes to the server. Waits while the server has not read enough of the earlier ones."""

StreamJob = Callable[[int, Report, Write], bool]
"""A job with something to send to the server. It ends early if the server stops reading."""


class Children(Protocol):
    """Runs a job beside the server, on the data as they are at that instant; one at a time."""

    def start(self, title: str, job: Job) -> int:
        """Begin; returns the child's process id. Raises OSError if that cannot be done."""
        ...

    def start_stream(self, title: str, job: StreamJob) -> int:
        """As ``start``, for a job whose bytes ``read_stream`` gives; the last stream is closed."""
        ...

    def read_stream(self, size: int) -> bytes | None:
        """The next bytes of the child, at most so many; b"" at the end, None if none are there.

        The end comes also when the child dies: only ``poll`` tells whether all went well, and
        either of the two may be seen first.
        """
        ...

    def watch_stream(self, on_readable: Callable[[], None] | None) -> None:
        """Call that, as a batch of its own, whenever ``read_stream`` has something; or stop it."""
        ...

    def close_stream(self) -> None:
        """No more is read: a child that still writes comes to its end. Does nothing if closed."""
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
