"""Children: the data at one instant, in a process of their own.

Shell. ``fork`` gives the child a copy of all memory in the time it takes to copy the page
tables (about 10 ms for a million keys); pages are copied only when one of the two writes to
them. CPython writes to every object that it looks at (reference counts), so a child that
saves comes to copy most of the data. ``gc.freeze`` before the fork keeps the collectors of
both sides from adding to that.

The child tells of its progress and of its private memory by records in a pipe, once a
second, and at its end; its exit status says whether all went well. It ignores INT and TERM,
which are meant for the server, and ends when the server is gone, whatever took it away.
``on_child`` is called in it first, to give back what it must not keep (a socket whose other
owner closes it stays open while the child holds it).
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import struct
import time
import traceback
from collections.abc import Callable
from typing import Final, NoReturn

from pyredis.ports import ChildEnd, ChildReport, Job

_RECORD: Final = struct.Struct("<QQQ")
_INTERVAL_S: Final = 1.0
_MEMORY_SHARE: Final = 100  # at most a hundredth of the time goes into measuring memory
_SMAPS: Final = "/proc/self/smaps_rollup"
_READ_BYTES: Final = 1 << 16
_MEGABYTE: Final = 1 << 20


class ServerGone(Exception):
    """The process that the child works for has ended."""


class ForkedChildren:
    """A ``Children`` of real processes."""

    def __init__(
        self,
        log: Callable[[str, str], None],
        on_child: Callable[[str], None] = lambda title: None,
    ) -> None:
        """``on_child`` gets the title that process lists are to show."""
        self._log = log
        self._on_child = on_child
        self._process_id = 0
        self._pipe = -1
        self._unread = b""
        self._report = ChildReport()

    @property
    def report(self) -> ChildReport:
        """What the child has told last."""
        return self._report

    def start(self, title: str, job: Job) -> int:
        """Fork; returns the child's process id. Raises OSError."""
        assert not self._process_id, "one child at a time"
        server = os.getpid()
        reading, writing = os.pipe()
        gc.freeze()
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            process_id = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            if was_enabled:
                gc.enable()
            raise
        if process_id == 0:
            os.close(reading)
            _run(job, title, _Reporter(server, writing, self._log), self._on_child, self._log)
        if was_enabled:
            gc.enable()
        os.close(writing)
        os.set_blocking(reading, False)
        self._process_id, self._pipe = process_id, reading
        self._unread, self._report = b"", ChildReport()
        return process_id

    def poll(self) -> ChildEnd | None:
        """The end of the child once it has come."""
        if not self._process_id:
            return None
        try:
            process_id, status = os.waitpid(self._process_id, os.WNOHANG)
        except ChildProcessError:
            process_id, status = self._process_id, 1 << 8  # somebody else has waited for it
        self._read()
        if not process_id:
            return None
        os.close(self._pipe)
        self._process_id, self._pipe = 0, -1
        code = os.waitstatus_to_exitcode(status)
        return ChildEnd(0, -code, -code == signal.SIGUSR1) if code < 0 else ChildEnd(code)

    def kill(self) -> None:
        """Tell the child to end at once."""
        if self._process_id:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process_id, signal.SIGUSR1)

    def _read(self) -> None:
        """Take the newest record out of the pipe."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._pipe, _READ_BYTES):
                self._unread += data
        whole = len(self._unread) // _RECORD.size * _RECORD.size
        if whole:
            self._report = ChildReport(*_RECORD.unpack(self._unread[whole - _RECORD.size : whole]))
            self._unread = self._unread[whole:]


class _Reporter:
    """The child's side of the pipe. Called with the number of keys done."""

    def __init__(self, server: int, pipe: int, log: Callable[[str, str], None]) -> None:
        self._server = server
        self._pipe = pipe
        self._log = log
        self._next = 0.0
        self._keys = 0
        self._cow = self._peak = self._sum = self._count = 0
        self._measure_next = 0.0

    def __call__(self, keys: int) -> None:
        """Raises ServerGone when nobody is left to report to."""
        self._keys = keys
        if os.getppid() != self._server:
            raise ServerGone
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _INTERVAL_S
            if now >= self._measure_next:
                self._measure()
                spent = time.monotonic() - now
                self._measure_next = now + spent * _MEMORY_SHARE
            self._send()

    def finish(self, kind: str) -> None:
        """The last report, and a line for the log."""
        self._measure()
        self._send()
        current, peak, average = (
            size // _MEGABYTE for size in (self._cow, self._peak, self._sum // self._count)
        )
        self._log(
            "notice",
            f"Fork CoW for {kind}: current {current} MB, peak {peak} MB, average {average} MB",
        )

    def _measure(self) -> None:
        self._cow = private_bytes()
        self._peak = max(self._peak, self._cow)
        self._sum += self._cow
        self._count += 1

    def _send(self) -> None:
        try:
            os.write(self._pipe, _RECORD.pack(self._keys, self._cow, self._peak))
        except BrokenPipeError:
            raise ServerGone from None


def private_bytes() -> int:
    """Memory that this process has changed and shares with nobody, 0 where that is not told."""
    try:
        with open(_SMAPS, "rb") as file:
            for line in file:
                if line.startswith(b"Private_Dirty:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _run(
    job: Job,
    title: str,
    reporter: _Reporter,
    on_child: Callable[[str], None],
    log: Callable[[str, str], None],
) -> NoReturn:
    """All of the child's life."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        on_child(title)
        if job(os.getpid(), reporter):
            reporter.finish("RDB" if "rdb" in title else "AOF rewrite")
            status = 0
    except ServerGone:
        log("warning", "The server that this child works for is gone, exiting.")
    except BaseException:
        log("warning", f"=== BUG REPORT: a child failed\n{traceback.format_exc()}")
    finally:
        os._exit(status)
