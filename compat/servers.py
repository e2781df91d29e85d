"""The servers that are compared.

The *leader* is our engine in this process, with a clock set by hand. It runs every command
first, so it is known how many replies are to come, and which clients wait, before anybody
is asked over a socket. The *followers* answer over real connections: the reference, and in
wire mode our server as a process too. Both must say what the leader says.

For each client there is one connection a server. Two more belong to the harness: one that
controls, one that listens to keyspace events.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from compat.differences import OLDEST, sent
from compat.propagation import FeedTap, ReplicaTap
from compat.recipes import inside
from compat.replies import Incomplete, parse
from compat.sequences import CLIENTS_MAX, encode
from compat.undefined import specified
from pyredis.config import Config
from pyredis.engine import Engine
from pyredis.host import Host
from pyredis.ports import ManualClock
from pyredis.server import command_table
from pyredis.session import Address, Session

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 1.0
"""How long a reply that the leader gave may take with a follower."""

_START_S = 20
LISTEN = [b"PSUBSCRIBE", b"__key*__:*", b"__end"]
ENOUGH = b"__end"
STATISTICS = ("rdb_changes_since_last_save", "keyspace_hits", "keyspace_misses", "expired_keys")


INFO = [b"INFO", b"persistence", b"stats"]


def read_statistics(info: Any) -> list[int]:
    """The counters of ``STATISTICS`` in a reply to ``INFO``."""
    text = info if isinstance(info, bytes) else info[1]
    return [int(re.search(rb"%b:(\d+)" % name.encode(), text)[1]) for name in STATISTICS]  # type: ignore[index]


class Silence(Exception):
    """A follower does not say what it should; ``args[0]`` tells what was expected."""


class _SleepyHost(Host):
    """Sleeping sets the clock forward."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    def sleep(self, duration_s: float) -> None:
        self.clock.advance(int(duration_s * 1000) + 1)


class Leader:
    """Our engine without sockets."""

    def __init__(self, seed: int) -> None:
        self.clock = ManualClock()
        self.follow_time()
        config = Config()
        config.enable_debug_command = "yes"
        self.engine = Engine(config, self.clock, random.Random(seed), command_table())
        self.engine.host = _SleepyHost(self.clock)
        self.tap = FeedTap()
        self.unclean = False  # the last sequence may have left scripts, users or settings
        self.reference_version = OLDEST
        self.connect()

    def connect(self) -> None:
        """Fresh sessions for all clients; the old ones end."""
        engine = self.engine
        for session in list(engine.sessions.values()):
            engine.disconnect(session)
        engine.begin_batch()
        names = ["control", "listener", *(f"client {n}" for n in range(CLIENTS_MAX))]
        self.control, self.listener, *self.clients = (
            engine.connect(Address(f"127.0.0.1:{50000 + n}", "127.0.0.1:6379"))
            for n, _ in enumerate(names)
        )
        engine.end_batch()
        self.ask(LISTEN, self.listener)

    def feed(self, wanted: bool) -> None:
        """Have the tap told what replicas would be, or nobody."""
        self.tap.commands()
        self.engine.feeds[:] = [self.tap] if wanted else []
        self.engine.observe()

    def follow_time(self) -> None:
        """Set the clock to the machine's."""
        self.clock.time_ms = time.time_ns() // 1_000_000

    def run(self, session: Session, commands: list[list[bytes]]) -> list[bytes]:
        """Feed commands one by one, as one batch; returns the bytes that each was answered.

        It stops, with fewer answers than commands, when the client has to wait. Commands whose
        reply is undefined or new become PING, in place.
        """
        engine = self.engine
        engine.begin_batch()
        out = session.out
        chunks = []
        for at, argv in enumerate(commands):
            db, queued = session.db, session.multi is not None
            gone = bool(db.expires) and min(db.expires.values()) <= self.clock.time_ms
            if not _is_fit(argv, db.data, gone, queued, self.reference_version):
                commands[at] = argv = [b"PING"]
            engine.feed(session, encode(argv))
            chunks.append(b"".join(out))
            out.clear()
            if session.blocked is not None:
                break
        engine.end_batch()
        if session.blocked is not None and self._ends_soon(session):
            self.clock.time_ms = session.blocked.block.deadline_ms
            engine.begin_batch()
            engine.end_batch()
        if out:  # a wait that ended within the batch
            chunks[-1] += b"".join(out)
            out.clear()
        engine.take_output()
        return chunks

    def _ends_soon(self, session: Session) -> bool:
        """Whether a client's wait ends before followers are given up; the clock is set there."""
        assert session.blocked is not None
        left_ms = session.blocked.block.deadline_ms - self.clock.time_ms
        return 0 < left_ms < PATIENCE_S * 800

    def ask(self, argv: list[bytes], session: Session | None = None) -> bytes:
        """One command; the bytes of its reply."""
        return self.run(session or self.control, [argv])[0]

    @staticmethod
    def take(session: Session) -> bytes:
        """What a session was sent without having asked."""
        wire = b"".join(session.out)
        session.out.clear()
        return wire

    def statistics(self) -> list[int]:
        """The counters of ``STATISTICS``."""
        ks = self.engine.ks
        return [ks.dirty, ks.hits, ks.misses, ks.expired]


def _is_fit(
    argv: list[bytes], data: dict[bytes, Any], gone: bool, queued: bool, version: tuple[int, int]
) -> bool:
    """Whether a request, and what it has scripts call, has a defined effect on both servers."""
    called, _several = inside(argv)
    return (
        specified(argv, data, gone, queued)
        and sent(argv, data, queued, version)
        and all(
            specified(each, data, gone, True) and sent(each, data, True, version) for each in called
        )
    )


class Wire:
    """One connection to a follower."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.aside: list[Any] = []
        self.send_argv([b"CLIENT", b"ID"])
        self.id = self.value()

    def send_argv(self, argv: list[bytes]) -> None:
        """Send one command."""
        self.send(encode(argv))

    def send(self, data: bytes) -> None:
        """Send encoded commands."""
        try:
            self.socket.sendall(data)
        except OSError:
            raise Silence("an open connection") from None

    def _more(self) -> None:
        try:
            data = self.socket.recv(1 << 18)
        except OSError:
            raise Silence("a reply") from None
        if not data:
            raise Silence("an open connection")
        self.buffer += data

    def match(self, expected: bytes) -> bool:
        """Whether exactly these bytes come next; they are taken then, and left otherwise.

        Raises Silence when fewer come, but nothing else.
        """
        size = len(expected)
        while len(self.buffer) < size:
            if not expected.startswith(self.buffer):
                return False
            self._more()
        if self.buffer.startswith(expected):
            self.buffer = self.buffer[size:]
            return True
        return False

    def value(self) -> Any:
        """The next reply. Pushes that 7.0 puts inside another reply come behind it."""
        if self.aside:
            return self.aside.pop(0)
        while True:
            try:
                aside: list[Any] = []
                reply, at = parse(self.buffer, 0, aside)
            except Incomplete:
                self._more()
            else:
                self.buffer = self.buffer[at:]
                self.aside += aside
                return reply

    def ask(self, *argv: bytes) -> Any:
        """Send a command and read its reply."""
        self.send_argv(list(argv))
        return self.value()

    def is_closed(self) -> bool:
        """Whether the server has hung up; what it said before is dropped."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


class Follower:
    """A server process, and the connections to it."""

    def __init__(self, name: str, command: list[str], ours: bool) -> None:
        self.name = name
        self.ours = ours
        self.version: tuple[int, int]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = tempfile.mkdtemp(prefix="compat-")
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), "--save", "", "--bind", "127.0.0.1",
             "--dir", self.folder, "--enable-debug-command", "yes",
             "--repl-diskless-sync-delay", "0", "--repl-timeout", "1000000"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT,
            env={**os.environ, "TZ": "UTC"},
        )  # fmt: skip
        self.wires: list[Wire] = []
        self.stream: ReplicaTap | None = None  # what its replicas are told
        self.limits: dict[str, str] = {}  # the settings last made
        self.unclean = False  # as with the leader
        try:
            self._await_start()
            self.version = self._read_version()
            self.control.ask(b"DEBUG", b"SET-ACTIVE-EXPIRE", b"0")
            self.stream = ReplicaTap(self.port)
        except BaseException:  # a signal, too
            self.close()
            raise

    def _await_start(self) -> None:
        deadline = time.monotonic() + _START_S
        while not self.wires:
            try:
                self.connect()
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    def _read_version(self) -> tuple[int, int]:
        """Major and minor version. Relatives of Redis tell the one they are compatible with."""
        found = re.search(rb"\nredis_version:(\d+)\.(\d+)", self.control.ask(b"INFO", b"SERVER"))
        assert found is not None
        return int(found[1]), int(found[2])

    @classmethod
    def reference(cls, program: str = "redis-server") -> Follower:
        """The real redis-server. Raises FileNotFoundError."""
        path = shutil.which(program)
        if path is None:
            raise FileNotFoundError(f"{program} is not installed")
        return cls(Path(path).name, [path], ours=False)

    @classmethod
    def node(cls) -> Follower:
        """Our server as a process."""
        return cls("pyredis", [sys.executable, "-m", "pyredis"], ours=True)

    def connect(self) -> None:
        """Fresh connections; the old ones are closed."""
        for wire in self.wires:
            wire.close()
        self.wires = [Wire(self.port) for _ in range(CLIENTS_MAX + 2)]
        self.control, self.listener, *self.clients = self.wires
        self.listener.send_argv(LISTEN)
        for _ in LISTEN[1:]:
            self.listener.value()

    def turn(self) -> None:
        """Wait until all that was sent is taken care of, where no reply tells so.

        What came before the first request is read in the same turn of the server's loop at the
        latest, so it is done before the second one is answered.
        """
        for _ in range(2):
            self.control.ask(b"PING")

    def await_blocked(self, wire: Wire) -> bool:
        """Wait until a client waits; False if it does not."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            lines = self.control.ask(b"CLIENT", b"LIST", b"ID", b"%d" % wire.id)
            if re.search(rb" flags=\w*b", lines if isinstance(lines, bytes) else lines[1]):
                return True
        return False

    def close(self) -> None:
        """End the process."""
        for wire in self.wires:
            wire.close()
        if self.stream is not None:
            self.stream.close()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
