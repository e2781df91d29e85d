"""The host of a server that is a Unix process.

Shell. Memory comes from ``/proc/self/statm`` where there is such a file. There, *resident*
counts all pages in memory and *shared* those backed by files (the interpreter's code), so
their difference is what the server itself holds. Elsewhere only the peak of the resident
size is to be had, which then stands for all of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import platform
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable

from pyredis.host import CpuUse, Host, MemoryUse
from pyredis.version import REDIS_VERSION

_STATM = "/proc/self/statm"


class TcpLine:
    """A blocking connection to another server."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def send(self, data: bytes) -> None:
        """Send all of it; raises OSError, also when it takes too long."""
        self._connection.sendall(data)

    def read_line(self) -> bytes:
        """What comes next, up to CRLF and without it; raises OSError, also at the end."""
        while b"\r\n" not in self._buffer:
            data = self._connection.recv(1 << 16)
            if not data:
                raise ConnectionResetError("closed by the other side")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


class UnixHost(Host):
    """The running process. ``log`` gets what is said on the way down.

    ``home`` is the directory that the process was started in.
    """

    def __init__(
        self,
        log: Callable[[str, str], None],
        home: str,
        supervised: str = "no",
        exit_on_panic: Callable[[], bool] = lambda: False,
    ) -> None:
        self._log = log
        self._home = home
        self._exit_on_panic = exit_on_panic
        self._page_bytes = resource.getpagesize()
        uname = os.uname()
        self.os = f"{uname.sysname} {uname.release} {uname.machine}"
        self.arch_bits = 64 if sys.maxsize > 2**32 else 32
        self.compiler = platform.python_compiler()
        self.clock_name = time.get_clock_info("perf_counter").implementation
        apis = [name for name in ("epoll", "kqueue") if hasattr(select, name)]
        self.multiplexing_api = apis[0] if apis else "select"
        self.process_id = os.getpid()
        self.supervised = supervised
        self.executable = os.path.abspath(sys.executable)
        self.memory_total_bytes = os.sysconf("SC_PHYS_PAGES") * self._page_bytes
        self.restart_delay_ms: int | None = None

    def memory(self) -> MemoryUse:
        """What the process takes now."""
        try:
            with open(_STATM, "rb") as file:
                _, resident, shared, *_ = map(int, file.read().split())
        except OSError:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            bytes_ = peak if sys.platform == "darwin" else peak * 1024
            return MemoryUse(bytes_, bytes_)
        return MemoryUse(resident * self._page_bytes, (resident - shared) * self._page_bytes)

    def cpu(self) -> CpuUse:
        """What the process has used so far."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        thread = own
        if hasattr(resource, "RUSAGE_THREAD"):
            thread = resource.getrusage(resource.RUSAGE_THREAD)
        return CpuUse(
            own.ru_stime,
            own.ru_utime,
            children.ru_stime,
            children.ru_utime,
            thread.ru_stime,
            thread.ru_utime,
        )

    def release_memory(self) -> None:
        """Have the C library return free pages. Without a glibc nothing happens."""
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)

    def show(self, text: str) -> None:
        """Print to standard output, unbuffered."""
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            os.write(1, text.encode("utf-8", "surrogateescape"))

    def sleep(self, duration_s: float) -> None:
        """Stop the whole process; a signal handler runs only afterwards."""
        time.sleep(max(0.0, duration_s))

    def dial(self, host: str, port: int, timeout_ms: int) -> TcpLine:
        """Connect by TCP. Raises LookupError for an unknown host, OSError if it is not there."""
        try:
            return TcpLine(socket.create_connection((host, port), timeout_ms / 1000))
        except socket.gaierror as error:
            raise LookupError(host) from error

    def crash(self, how: str) -> None:
        """Write a report and die by a signal, or exit with 1 where the configuration wants that."""
        self._log("warning", "=== REDIS BUG REPORT START: Cut & paste starting from here ===")
        if how == "segfault":
            self._log("warning", f"Redis {REDIS_VERSION} crashed by signal: {signal.SIGSEGV:d}")
        elif how == "panic":
            self._log("warning", "!!! Software Failure. Press left mouse button to continue")
            self._log("warning", f"Guru Meditation: Panic called at Unix time {int(time.time())}")
        elif how == "assert":
            self._log("warning", "=== ASSERTION FAILED ===")
            self._log("warning", "==> DEBUG ASSERT '1 == 2' is not true")
        elif how == "oom":
            self._log("warning", "Out Of Memory: DEBUG OOM asked for more than there is")
        if how != "segfault" and self._exit_on_panic():
            os._exit(1)
        signal_number = signal.SIGSEGV if how == "segfault" else signal.SIGABRT
        if not faulthandler.is_enabled():
            signal.signal(signal_number, signal.SIG_DFL)
        os.kill(os.getpid(), signal_number)  # the fault handler adds the stacks

    def restart(self, delay_ms: int, orderly: bool) -> None:
        """Note the wish, or replace the process at once. Sockets close when it is replaced."""
        self.restart_delay_ms = delay_ms
        if not orderly:
            self._log("warning", "Restarting without an orderly shutdown...")
            self.begin_anew()

    def begin_anew(self) -> None:
        """Run the program again in this process; does not return."""
        time.sleep((self.restart_delay_ms or 0) / 1000)
        sys.stdout.flush()
        sys.stderr.flush()
        os.chdir(self._home)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
