"""The one child that works beside the server: who has it, how far it is, how it ended.

A child shares memory with the server until one of the two writes to it, so two of them would
double the price. Saving, rewriting the append-only file and feeding replicas without a disk
therefore take turns: whoever starts a child says what for (its *purpose*) and what is to be
called at its end; whoever finds the place taken comes back later.

Model: Redis' ``child_type`` and ``checkChildrenDone``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pyredis.ports import ChildEnd, Children, ChildReport, Job, StreamJob

if TYPE_CHECKING:
    from pyredis.engine import Engine

OnEnd = Callable[[ChildEnd], None]


class ChildKeeper:
    """Starts the child and looks after it. A server without ``connect`` cannot have one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.children: Children | None = None
        self.purpose = ""  # "rdb", "aof" or "sync" while a child is at work
        self.process_id = 0
        self.killed = False  # it has been told to end
        self.since_s = 0
        self.keys = 0  # how many there were when it began
        self.report = ChildReport()
        self.forks = 0
        self.fork_us = 0
        self._report_s = 0  # when its figures last changed
        self._on_end: OnEnd = lambda end: None

    def connect(self, children: Children) -> None:
        """From now on there can be children."""
        self.children = children

    def start(self, purpose: str, title: str, job: Job, on_end: OnEnd) -> int:
        """Have a child do the job; returns its process id.

        Raises OSError if there cannot be one, BlockingIOError (which is one) while another is
        at work. ``on_end`` is called in the cron once it has ended.
        """
        return self._begin(purpose, on_end, lambda children: children.start(title, job))

    def start_stream(self, purpose: str, title: str, job: StreamJob, on_end: OnEnd) -> int:
        """The same for a job that writes: its output is had from ``read_stream``."""
        return self._begin(purpose, on_end, lambda children: children.start_stream(title, job))

    def _begin(self, purpose: str, on_end: OnEnd, fork: Callable[[Children], int]) -> int:
        engine = self._engine
        if self.purpose:
            raise BlockingIOError(0, f"a child is at work ({self.purpose})")
        if self.children is None:
            raise OSError(0, "this server cannot have children")
        start_ns = engine.clock_ns()
        process_id = fork(self.children)
        fork_ns = engine.clock_ns() - start_ns
        self.forks += 1
        self.fork_us = fork_ns // 1000
        engine.latency.add("fork", fork_ns, engine.now_ms)
        self.purpose, self.process_id, self._on_end = purpose, process_id, on_end
        self.killed = False
        self.since_s = engine.now_ms // 1000
        self.keys = sum(len(db.data) for db in engine.ks.dbs)
        self.report = ChildReport()
        return process_id

    def read_stream(self, size: int) -> bytes | None:
        """What the job has written: None if nothing is there yet, b"" at the end."""
        return self.children.read_stream(size) if self.children is not None else b""

    def watch_stream(self, on_readable: Callable[[], None] | None) -> None:
        """Be called when there is something to read; with None, no more."""
        if self.children is not None:
            self.children.watch_stream(on_readable)

    def close_stream(self) -> None:
        """Nothing more is read."""
        if self.children is not None:
            self.children.close_stream()

    def kill(self) -> None:
        """Tell the child to end at once; its end comes later, as excused."""
        if self.purpose and self.children is not None:
            self.children.kill()
            self.killed = True

    def cron(self) -> None:
        """Look whether it has come further, or has ended."""
        if not self.purpose or self.children is None:
            return
        end = self.children.poll()
        report = self.children.report
        if report != self.report:
            self.report, self._report_s = report, self._engine.now_ms // 1000
        if end is not None:
            on_end, self._on_end = self._on_end, lambda end: None
            self.purpose, self.process_id = "", 0
            on_end(end)
            self.report = ChildReport()

    @property
    def report_age_s(self) -> int:
        """How old the figures are."""
        return self._engine.now_ms // 1000 - self._report_s if self.report.cow_bytes else 0

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        self.forks = self.fork_us = 0
