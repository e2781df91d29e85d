"""What the core asks of the process it runs in: memory, CPU time, and ways to stop.

The core may not look at ``/proc`` or end the process by itself, so the composition root
passes a host. `Host`, the base, stands for no process at all: a server inside a test or a
simulation. It knows nothing, and refuses what only a process can do. ``unixhost.py`` has the
real one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pyredis.resp import Error

_NO_PROCESS = "ERR this server is not a process of its own"


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes of the process: all that is resident, and what of it is its own."""

    resident_bytes: int = 0
    private_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CpuUse:
    """Seconds of CPU time: of the process, of children that ended, of the main thread."""

    system_s: float = 0.0
    user_s: float = 0.0
    system_children_s: float = 0.0
    user_children_s: float = 0.0
    system_main_thread_s: float = 0.0
    user_main_thread_s: float = 0.0


class Line(Protocol):
    """A connection to another server, used while everything else waits. All raise OSError."""

    def send(self, data: bytes) -> None:
        """Send all of it."""

    def read_line(self) -> bytes:
        """What comes next, up to CRLF and without it."""
        raise NotImplementedError

    def close(self) -> None:
        """Hang up."""


class Host:
    """No process: facts are zero or empty, actions are errors."""

    os = "none"
    arch_bits = 64
    compiler = "none"
    clock_name = "none"
    multiplexing_api = "none"
    process_id = 0
    supervised = "no"
    executable = ""
    memory_total_bytes = 0

    def memory(self) -> MemoryUse:
        """What the process takes now. Costs a system call or two."""
        return MemoryUse()

    def cpu(self) -> CpuUse:
        """What the process has used so far."""
        return CpuUse()

    def release_memory(self) -> None:
        """Give freed memory back to the operating system, as far as that can be done."""

    def show(self, text: str) -> None:
        """Print text where the process prints its log when it has no file for it."""
        raise Error(_NO_PROCESS)

    def sleep(self, duration_s: float) -> None:
        """Stop everything for a while."""
        raise Error(_NO_PROCESS)

    def dial(self, host: str, port: int, timeout_ms: int) -> Line:
        """Connect to another server; no step may take longer than the time given.

        Raises LookupError for a host that is not known, OSError when it does not answer.
        """
        raise Error(_NO_PROCESS)

    def crash(self, how: str) -> None:
        """End without order: ``segfault``, ``panic``, ``assert`` or ``oom``. Does not return."""
        raise Error(_NO_PROCESS)

    def restart(self, delay_ms: int, orderly: bool) -> None:
        """Begin anew with the same arguments after a delay.

        ``orderly`` only notes the wish: the caller ends the server, and the shell starts it
        again when everything is closed. Otherwise it happens here and now.
        """
        raise Error(_NO_PROCESS)
