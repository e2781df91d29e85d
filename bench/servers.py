"""Starting the two servers, pinning them to one core, and asking the kernel what they used.

Both servers live on the same core and the load on another one, so that neither the load generator
nor the other server changes which core a server runs on. With a single core everything shares it,
and the figures say little; `cores()` tells which case holds.

CPU time is read from the kernel's clock of the server's whole process: the same sum of user and
system time as utime + stime in /proc/PID/stat, but in nanoseconds instead of ticks of 10 ms. It is
Linux only, as are /proc and the affinity calls.
"""

import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.client import HOST, ReplyError, call

ROOT = Path(__file__).resolve().parents[1]
READY_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Target:
    """A server that can be started: its column name and its command with a {port} in it."""

    name: str
    command: tuple[str, ...]

    @classmethod
    def parse(cls, name: str, text: str) -> "Target":
        """Return the target for a shell-like command line; ValueError without a {port}."""
        if "{port}" not in text:
            raise ValueError(f"the command of {name} needs a {{port}}: {text}")
        return cls(name, tuple(shlex.split(text)))

    def argv(self, port: int) -> list[str]:
        return [part.replace("{port}", str(port)) for part in self.command]


REDIS = Target.parse("redis", "redis-server --port {port} --save '' --appendonly no")
OURS = Target("ours", (sys.executable, "-m", "pyredis", "--port", "{port}", "--save", ""))


@dataclass(frozen=True)
class Server:
    """A server that is running and was seen to answer PING."""

    name: str
    pid: int
    port: int

    def cpu_s(self) -> float:
        """Return the CPU seconds, user and system, that the process has used so far."""
        process_clock = (~self.pid << 3) | 2  # CPUCLOCK_SCHED of a process, as Linux numbers it
        return time.clock_gettime(process_clock)

    def memory_kb(self, field: str = "VmRSS") -> int:
        """Return one memory field of /proc/PID/status in KiB."""
        return parse_status(Path(f"/proc/{self.pid}/status").read_text(), field)


def parse_status(text: str, field: str) -> int:
    """Return the KiB of `field` in the text of /proc/PID/status; KeyError when it is absent."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    raise KeyError(field)


def cores() -> tuple[int, int]:
    """Return the core for the servers and the core for the load; equal when there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[1] if len(usable) > 1 else usable[0]


def free_port() -> int:
    """Return a loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this process on one core for a while; processes started meanwhile inherit that."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def spawned(target: Target, core: int) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Yield the process, perhaps not listening yet, and its port; stop it whatever happens."""
    port = free_port()
    # An installed package has its byte code cached; so must a checkout, wherever this runs.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        errors = Path(folder, "stderr")
        with pinned(core), errors.open("wb") as sink:
            process = subprocess.Popen(
                target.argv(port),
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=sink,
            )
        try:
            yield process, port
        except Exception as error:
            error.add_note(f"{target.name} said: {errors.read_bytes()[-2000:].decode()}")
            raise
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def await_pong(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Return at the first PONG; ReplyError when the process ends or stays silent too long."""
    give_up = time.perf_counter() + READY_TIMEOUT_S
    while time.perf_counter() < give_up:
        try:
            if call(port, b"PING") == b"+PONG":
                return
        except (OSError, ReplyError):
            status = process.poll()
            if status is not None:
                raise ReplyError(f"{process.args!r} ended with status {status}") from None
    raise ReplyError(f"{process.args!r} gave no PONG within {READY_TIMEOUT_S} s")


@contextmanager
def running(target: Target, core: int) -> Iterator[Server]:
    """Yield a server that answers; it is stopped and its folder removed at the end."""
    with spawned(target, core) as (process, port):
        await_pong(process, port)
        yield Server(target.name, process.pid, port)
