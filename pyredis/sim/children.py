"""The children of a simulated server: their jobs run at once, their ends come later.

A fork sees the data of one instant, and in virtual time everything at one instant is seen
alike; so a job is simply called when the child starts. What it writes to the disk is recorded
and put off (see ``storage.py``), what it writes into a pipe comes out little by little, and
its end is told after a time drawn by lot. A pipe holds 64 KB: the child waits for the reader.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pyredis.ports import ChildEnd, ChildReport, Job, StreamJob

if TYPE_CHECKING:
    from random import Random

    from pyredis.sim.storage import NodeDisk, Step
    from pyredis.sim.world import World

SIGKILL: Final = 9
_SIGUSR1: Final = 10
_PIPE_BYTES: Final = 1 << 16
_PIECES: Final = 4
_WAKE_US: Final = 20


class SimChildren:
    """A ``Children`` of one life of a server."""

    def __init__(
        self,
        world: World,
        rng: Random,
        disk: NodeDisk,
        process_id: int,
        run: Callable[[Callable[[], None]], None],
    ) -> None:
        """``run`` makes a call as a turn of the server, or later if it cannot now."""
        self.report = ChildReport()
        self.min_us, self.max_us = 20_000, 300_000  # how long a job takes
        self.slept_us = 0  # what the running job has slept
        self.working = False  # inside a job
        self._world = world
        self._rng = rng
        self._disk = disk
        self._next_id = process_id
        self._run = run
        self._number = 0  # of the running child; 0 while there is none
        self._steps: list[Step] = []
        self._since_us = 0
        self._duration_us = 1
        self._well = False
        self._end: ChildEnd | None = None
        self._pipe: bytes | None = None
        self._read = 0
        self._written = 0
        self._on_readable: Callable[[], None] | None = None
        self._waking = False

    # The port

    def start(self, title: str, job: Job) -> int:
        """Run the job; its effects and its end come later."""
        return self._begin(lambda process_id: job(process_id, self._told))

    def start_stream(self, title: str, job: StreamJob) -> int:
        """The same for a job that writes into a pipe."""
        pieces: list[bytes] = []
        process_id = self._begin(lambda process_id: job(process_id, self._told, pieces.append))
        self._pipe = b"".join(pieces)
        self._read = self._written = 0
        return process_id

    def poll(self) -> ChildEnd | None:
        """The end of the child, once."""
        end, self._end = self._end, None
        return end

    def kill(self) -> None:
        """Tell the child to end."""
        self.end(_SIGUSR1)

    def read_stream(self, size: int) -> bytes | None:
        """What is in the pipe; None if nothing is as yet, nothing at its end."""
        pipe = self._pipe
        if pipe is None:
            return b""
        data = pipe[self._read : min(self._read + size, self._written)]
        self._read += len(data)
        if data or (self._read == len(pipe) and not self._number):
            return data
        return None

    def watch_stream(self, on_readable: Callable[[], None] | None) -> None:
        """Have ``on_readable`` called when there is something to read, or the end."""
        self._on_readable = on_readable
        if on_readable is not None and self._readable():
            self._wake()

    def close_stream(self) -> None:
        """Nothing is read any more: a child that still writes comes to its end."""
        self._on_readable = None
        if self._pipe is not None:
            writing = self._read < len(self._pipe)
            self._pipe = None
            if writing and self._number:
                self._number = 0
                self._end = ChildEnd(1)

    # The simulation's side

    def end(self, signal: int) -> None:
        """A signal ends the child, whatever it was doing."""
        if self._number:
            self._number = 0
            self._steps = []
            if self._pipe is not None:
                self._pipe = self._pipe[: self._written]
                self._wake()
            self._end = ChildEnd(0, signal, excused=signal == _SIGUSR1)

    def abandon(self) -> None:
        """The server is dead: the child has done some of its work, and ends."""
        steps, self._steps = self._steps, []
        if self._number:
            self._number = 0
            passed_us = self._world.now_us - self._since_us
            try:
                for step in steps[: len(steps) * passed_us // self._duration_us]:
                    step()
            except OSError:
                pass

    def _begin(self, job: Callable[[int], bool]) -> int:
        self._next_id += 1
        process_id = self._next_id
        self.slept_us = 0
        self.working = True
        try:
            self._well, self._steps = self._disk.record(lambda: job(process_id))
        finally:
            self.working = False
        self._end = None
        self._pipe = None
        self._number = process_id
        self._since_us = self._world.now_us
        duration_us = self._rng.randrange(self.min_us, self.max_us + 1) + self.slept_us
        self._duration_us = duration_us
        self._world.after(duration_us // _PIECES, self._go_on, process_id, 1)
        return process_id

    def _told(self, keys: int) -> None:
        self.report = ChildReport(keys)

    def _go_on(self, number: int, piece: int) -> None:
        """A part of the job's time has passed."""
        if self._number != number:
            return
        pipe = self._pipe
        if pipe is not None and self._written < len(pipe):
            share = len(pipe) // _PIECES + 1
            written = min(len(pipe), self._written + share, self._read + _PIPE_BYTES)
            if written > self._written:
                self._written = written
                self._wake()
        if piece < _PIECES or (pipe is not None and self._read < len(pipe)):
            wait_us = self._duration_us // _PIECES if piece < _PIECES else 1000
            self._world.after(wait_us, self._go_on, number, piece + 1)
            return
        self._number = 0
        well = self._well
        try:
            steps, self._steps = self._steps, []
            for step in steps:
                step()
        except OSError:
            well = False
        self._end = ChildEnd(0 if well else 1)
        if pipe is not None:
            self._wake()

    def _readable(self) -> bool:
        pipe = self._pipe
        if pipe is None:
            return False
        return self._read < self._written or (self._read == len(pipe) and not self._number)

    def _wake(self) -> None:
        """Have the server told, as long as there is something to read and it wants to know."""
        if not self._waking:
            self._waking = True
            self._world.after(_WAKE_US, self._run, self._tell)

    def _tell(self) -> None:
        self._waking = False
        if self._on_readable is not None and self._readable():
            self._on_readable()
            if self._on_readable is not None and self._readable():
                self._wake()
