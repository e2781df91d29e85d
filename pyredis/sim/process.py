"""A server of a scenario as a real process: started, stopped, killed, frozen, asked. Shell."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pyredis.resp import encode_command
from pyredis.sim.replies import NO_ANSWER, Push, Reply, ReplyReader
from pyredis.sim.simulation import LAB_DIRECTIVES

OWN_SERVER = (sys.executable, "-m", "pyredis")
_START_S = 20.0
_STOP_S = 60.0


class StartError(Exception):
    """A server does not come up; the text has the end of its log."""


class ServerProcess:
    """One server, its folder and its port. It may be any that takes redis-server's arguments."""

    def __init__(self, name: str, folder: Path, command: Sequence[str]) -> None:
        self.name = name
        self.folder = folder
        self.port = free_port()
        self.full_syncs = self.partial_syncs = 0  # of lives that have ended
        self._command = list(command)
        self._process: asyncio.subprocess.Process | None = None
        self._log = folder / "log"
        self._frozen = False
        self._connections: dict[str, Connection] = {}
        self.settled = asyncio.Event()  # it is not just starting
        self.settled.set()
        folder.mkdir(parents=True)

    def configure(self, directives: Iterable[str]) -> None:
        """Write its configuration file."""
        lines = [
            *directives,
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            *LAB_DIRECTIVES,
            'logfile ""',
        ]
        (self.folder / "node.conf").write_text("\n".join(lines) + "\n")

    @property
    def is_up(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it if it does not run, and wait until it answers. Raises StartError."""
        if self.is_up:
            return
        self.settled.clear()
        try:
            await self._start()
        finally:
            self.settled.set()

    async def _start(self) -> None:
        with self._log.open("ab") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    str(self.folder / "node.conf"),
                    stdout=log,
                    stderr=log,
                    stdin=asyncio.subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            except OSError as error:
                raise StartError(f"cannot run {self._command[0]}: {error.strerror}") from error
        self._frozen = False
        deadline_s = asyncio.get_running_loop().time() + _START_S
        while await self.ask([b"PING"], 1.0) is NO_ANSWER:
            if self._process.returncode == -signal.SIGKILL:
                return  # a fault of the scenario came before the first reply
            if not self.is_up or asyncio.get_running_loop().time() > deadline_s:
                raise StartError(f"{self.name} does not start:\n{self.log_text()[-2000:]}")
            await asyncio.sleep(0.02)

    async def ask(self, argv: list[bytes], timeout_s: float = 1.0, connection: str = "") -> Reply:
        """The reply to a command over a connection of our own; NO_ANSWER if none comes in time."""
        link = self._connections.get(connection)
        if link is None or link.broken:
            link = Connection(self.port)
            if connection:
                self._connections[connection] = link
        try:
            return await asyncio.wait_for(link.ask(argv), timeout_s)
        except (TimeoutError, OSError, ValueError):
            link.close()
            return NO_ANSWER
        finally:
            if not connection:
                link.close()

    async def count_syncs(self) -> tuple[int, int]:
        """Full and partial synchronisations given, in all lives that could be asked."""
        full, partial = self.full_syncs, self.partial_syncs
        reply = await self.ask([b"INFO", b"stats"]) if self.is_up and not self._frozen else None
        if isinstance(reply, bytes):
            for line in reply.decode().splitlines():
                field, _, value = line.partition(":")
                full += int(value) if field == "sync_full" else 0
                partial += int(value) if field == "sync_partial_ok" else 0
        return full, partial

    async def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.full_syncs, self.partial_syncs = await self.count_syncs()
        if self._process is not None and self.is_up:
            self._process.kill()
            await self._process.wait()
        self._ended()

    async def stop(self) -> None:
        """SHUTDOWN, and wait until it is down, or has said why it stays."""
        counts = await self.count_syncs()
        if await self.ask([b"SHUTDOWN"], _STOP_S) is NO_ANSWER and self._process is not None:
            await self._process.wait()
            self.full_syncs, self.partial_syncs = counts
            self._ended()

    async def wait(self) -> None:
        """Wait for the end of the process."""
        if self._process is not None:
            await self._process.wait()
        self._ended()

    def _ended(self) -> None:
        for link in self._connections.values():
            link.close()
        self._connections.clear()

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)
        self._frozen = False

    def _signal(self, number: int) -> None:
        if self._process is not None and self.is_up:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def kill_child(self) -> None:
        """SIGKILL for the child, if it has one."""
        if self._process is None:
            return
        for pid in _children(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def log_text(self) -> str:
        """All of its log."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    async def close(self, keep: bool) -> None:
        """End it, and remove its folder unless that is to be kept."""
        if self._process is not None and self.is_up:
            self._process.kill()
            await self._process.wait()
        self._ended()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


class Connection:
    """A connection to a server, for one command after the other."""

    def __init__(self, port: int) -> None:
        self.broken = False
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._replies = ReplyReader()
        self._turn = asyncio.Lock()

    async def ask(self, argv: list[bytes]) -> Reply:
        """The reply. Raises OSError when the connection ends."""
        async with self._turn:
            if self._writer is None or self._reader is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writer.write(encode_command(argv))
            while True:
                for reply in self._replies.replies():
                    if not isinstance(reply, Push):
                        return reply
                data = await self._reader.read(1 << 16)
                if not data:
                    self.broken = True
                    raise ConnectionResetError
                self._replies.receive(data)

    def close(self) -> None:
        """Hang up."""
        self.broken = True
        if self._writer is not None:
            self._writer.close()


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    """The processes that a process has started (Linux)."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found
