"""Children: the data at one instant, in a process of their own.

Shell. ``fork`` gives the child a copy of all memory in the time it takes to copy the page
tables (about 10 ms for a million keys); pages are copied only when one of the two writes to
them. CPython writes to every object that it looks at (reference counts), so a child that
saves comes to copy most of the data. ``gc.freeze`` before the fork keeps the collectors of
both sides from adding to that.

The child tells of its progress and of its private memory by records in a pipe, once a
second, and at its end; its exit status says whether all went well. It ignores INT and TERM,
which are meant for the server, and ends when the server is gone, whatever took it away.
A child with something to send (a snapshot for replicas, without a disk) has a second pipe. Its
size bounds what is under way: the child waits in ``write`` until the server has read, and
fails there once the server has closed its end.
``on_child`` is called in it first, to give back what it must not keep (a socket whose other
owner closes it stays open while the child holds it).
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import signal
import struct
import time
from collections.abc import Callable
from typing import Final, NoReturn

from pyredis.defects import story
from pyredis.ports import ChildEnd, ChildReport, Job, Report, StreamJob, Write

_RECORD: Final = struct.Struct("<QQQ")
_INTERVAL_S: Final = 1.0
_MEMORY_SHARE: Final = 100  # at most a hundredth of the time goes into measuring memory
_SMAPS: Final = "/proc/self/smaps_rollup"
_READ_BYTES: Final = 1 << 16
_MEGABYTE: Final = 1 << 20
_STREAM_BYTES: Final = 1 << 20  # what a pipe with a stream holds, where that can be chosen

Watch = Callable[[int, Callable[[], None] | None], None]
"""Has a callback called whenever a descriptor is readable, or (None) no more."""


class ServerGone(Exception):
    """The process that the child works for has ended."""


class NobodyReads(Exception):
    """The server has closed its end of the stream."""


class ForkedChildren:
    """A ``Children`` of real processes."""

    def __init__(
        self,
        log: Callable[[str, str], None],
        on_child: Callable[[str], None] = lambda title: None,
        watch: Watch = lambda fd, on_readable: None,
        hides: Callable[[], bool] = lambda: False,
    ) -> None:
        """``on_child`` gets the title that process lists are to show; ``watch`` is the loop's.

        ``hides`` says whether the log is to be free of user data.
        """
        self._hides = hides
        self._log = log
        self._on_child = on_child
        self._watch = watch
        self._process_id = 0
        self._pipe = -1
        self._unread = b""
        self._report = ChildReport()
        self._stream = -1
        self._on_stream: Callable[[], None] | None = None

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
            reporter = _Reporter(server, writing, self._log)
            _run(job, title, reporter, self._on_child, self._log, self._hides())
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

    def start_stream(self, title: str, job: StreamJob) -> int:
        """Fork, with a pipe for what the job writes. Raises OSError."""
        self.close_stream()
        reading, writing = os.pipe()

        def in_child(process_id: int, report: Report) -> bool:
            os.close(reading)
            return job(process_id, report, _writer(writing))

        try:
            process_id = self.start(title, in_child)
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        os.set_blocking(reading, False)
        _widen(reading)
        self._stream = reading
        return process_id

    def read_stream(self, size: int) -> bytes | None:
        """The next bytes of the child; b"" at the end, None if none are there now."""
        if self._stream < 0:
            return b""
        try:
            return os.read(self._stream, size)
        except BlockingIOError:
            return None

    def watch_stream(self, on_readable: Callable[[], None] | None) -> None:
        """Have that called whenever there is something to read, or stop it."""
        if self._stream >= 0 and on_readable != self._on_stream:
            self._on_stream = on_readable
            self._watch(self._stream, on_readable)

    def close_stream(self) -> None:
        """No more is read."""
        if self._stream >= 0:
            self.watch_stream(None)
            os.close(self._stream)
            self._stream = -1

    def _read(self) -> None:
        """Take the newest record out of the pipe."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._pipe, _READ_BYTES):
                self._unread += data
        whole = len(self._unread) // _RECORD.size * _RECORD.size
        if whole:
            self._report = ChildReport(*_RECORD.unpack(self._unread[whole - _RECORD.size : whole]))
            self._unread = self._unread[whole:]


def _widen(pipe: int) -> None:
    """Let the pipe hold more, so that the two sides need to take turns less often."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # the user's pipes may hold too much already
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _STREAM_BYTES)


def _writer(pipe: int) -> Write:
    """The child's end of a stream."""

    def write(data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(pipe, left) :]
        except BrokenPipeError:
            raise NobodyReads from None

    return write


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


def _give_way() -> None:
    """Never take the core from the server in the middle of its work, where they share one."""
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _run(
    job: Job,
    title: str,
    reporter: _Reporter,
    on_child: Callable[[str], None],
    log: Callable[[str, str], None],
    hides: bool,
) -> NoReturn:
    """All of the child's life."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        _give_way()
        on_child(title)
        if job(os.getpid(), reporter):
            reporter.finish("RDB" if "rdb" in title else "AOF rewrite")
            status = 0
    except ServerGone:
        log("warning", "The server that this child works for is gone, exiting.")
    except NobodyReads:
        log("warning", "Nobody reads what this child writes any more, exiting.")
    except BaseException:
        log("warning", f"=== BUG REPORT: a child failed\n{story(hides)}")
    finally:
        os._exit(status)
