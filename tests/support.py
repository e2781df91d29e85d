"""Helpers for tests: an in-process client, a client of a real redis-server, and a twin of both.

client = new_client()                # our engine, no sockets, a clock set by hand
client("SET", "a", 1)                # Simple reply -> Status(b"OK"), bulk -> bytes, ...
client.clock.advance(1500)

twin("SET", "a", 1)                  # runs on both servers, asserts equality, returns reply
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pyredis.engine import Engine
from pyredis.ports import ManualClock
from pyredis.resp import RequestReader, encode_command
from pyredis.session import Address

REDIS_SERVER = shutil.which("redis-server")
ROOT = Path(__file__).resolve().parent.parent


class Status(bytes):
    """A simple string reply."""


class ReplyError(bytes):
    """An error reply."""


class Push(list[Any]):
    """A RESP3 push."""


class NullArray:
    """RESP2's *-1."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NullArray)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "NullArray"


class Incomplete(Exception):
    """More bytes are needed."""


def parse_reply(data: bytes, at: int = 0) -> tuple[Any, int]:
    """One reply from ``data``; returns it and where the next begins."""
    end = data.find(b"\r\n", at)
    if end < 0:
        raise Incomplete
    kind, text = data[at : at + 1], data[at + 1 : end]
    after = end + 2
    if kind == b"+":
        return Status(text), after
    if kind == b"-":
        return ReplyError(text), after
    if kind == b":":
        return int(text), after
    if kind in (b"$", b"="):
        size = int(text)
        if size < 0:
            return None, after
        if len(data) < after + size + 2:
            raise Incomplete
        assert data[after + size : after + size + 2] == b"\r\n"
        value = data[after : after + size]
        return (value if kind == b"$" else ("verbatim", value)), after + size + 2
    if kind in (b"*", b"~", b">"):
        if text == b"-1":
            return NullArray(), after
        items = []
        for _ in range(int(text)):
            item, after = parse_reply(data, after)
            items.append(item)
        if kind == b">":
            return Push(items), after
        return (("set", items) if kind == b"~" else items), after
    if kind == b"%":
        pairs = []
        for _ in range(int(text)):
            key, after = parse_reply(data, after)
            value, after = parse_reply(data, after)
            pairs.append((key, value))
        return ("map", pairs), after
    if kind == b"_":
        return None, after
    if kind == b"#":
        return text == b"t", after
    if kind == b",":
        return ("double", text), after
    if kind == b"(":
        return ("big", int(text)), after
    raise AssertionError(f"not a reply: {data[at : at + 40]!r}")


def to_argv(args: tuple[Any, ...]) -> list[bytes]:
    """Arguments as bytes: str, int, float and bytes are taken."""
    argv: list[bytes] = []
    for arg in args:
        if isinstance(arg, (bytes, bytearray)):
            argv.append(bytes(arg))
        elif isinstance(arg, float):
            argv.append(repr(arg).encode())
        else:
            argv.append(str(arg).encode())
    return argv


class EngineClient:
    """A client of an engine in this process. Every call is a batch of its own."""

    def __init__(self, engine: Engine, clock: ManualClock) -> None:
        self.engine = engine
        self.clock = clock
        engine.begin_batch()
        self.session = engine.connect(Address("127.0.0.1:50000", "127.0.0.1:6379", 10))
        self.buffer = b""

    def another(self) -> EngineClient:
        """A second connection to the same engine."""
        return EngineClient(self.engine, self.clock)

    def raw(self, data: bytes) -> bytes:
        """Feed bytes; returns all bytes sent back to this client."""
        self.engine.begin_batch()
        self.engine.feed(self.session, data)
        self.engine.end_batch()
        self.engine.take_output()
        return self.take()

    def take(self) -> bytes:
        """What this client was sent since the last look."""
        wire = b"".join(self.session.out)
        self.session.out.clear()
        return wire

    def send(self, *args: Any) -> None:
        """Send a command without looking at the reply (see ``replies``)."""
        self.engine.begin_batch()
        self.engine.feed(self.session, encode_command(to_argv(args)))
        self.engine.end_batch()

    def tick(self, duration_ms: int = 0) -> None:
        """Let time pass and do what is due."""
        self.clock.advance(duration_ms)
        self.engine.begin_batch()
        self.engine.end_batch()

    def replies(self) -> list[Any]:
        """All replies and pushes received since the last look."""
        data, at, found = self.take(), 0, []
        while at < len(data):
            reply, at = parse_reply(data, at)
            found.append(reply)
        return found

    def __call__(self, *args: Any) -> Any:
        self.send(*args)
        found = self.replies()
        assert len(found) == 1, f"{args!r} got {found!r}"
        return found[0]


def new_engine(**settings: Any) -> tuple[Engine, ManualClock]:
    """An engine with the full command table, default settings but for those given."""
    from pyredis.config import Config
    from pyredis.server import command_table

    clock = ManualClock()
    config = Config()
    if settings:
        config.set([(name.replace("_", "-"), str(value)) for name, value in settings.items()])
    return Engine(config, clock, random.Random(1), command_table()), clock


def new_client(**settings: Any) -> EngineClient:
    """A client of a fresh engine."""
    return EngineClient(*new_engine(**settings))


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class WireClient:
    """A plain blocking client over a socket."""

    def __init__(self, port: int, timeout_s: float = 10.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.buffer = b""

    def send(self, *args: Any) -> None:
        """Send a command."""
        self.socket.sendall(encode_command(to_argv(args)))

    def read(self) -> Any:
        """The next reply or push."""
        while True:
            try:
                reply, at = parse_reply(self.buffer)
            except Incomplete:
                data = self.socket.recv(1 << 16)
                if not data:
                    raise ConnectionError("closed by the server") from None
                self.buffer += data
            else:
                self.buffer = self.buffer[at:]
                return reply

    def __call__(self, *args: Any) -> Any:
        self.send(*args)
        return self.read()

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


class RealRedis:
    """A redis-server process of our own, stopped with ``close``.

    ``within`` stands in front of its command line.
    """

    def __init__(self, *options: str, within: Sequence[str] = ()) -> None:
        assert REDIS_SERVER is not None
        self.port = free_port()
        self.folder = tempfile.mkdtemp(prefix="pyredis-ref-")
        self.process = subprocess.Popen(
            [
                *within,
                REDIS_SERVER,
                "--port",
                str(self.port),
                "--save",
                "",
                "--dir",
                self.folder,
                "--bind",
                "127.0.0.1",
                "--enable-debug-command",
                "yes",
                *options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TZ": "UTC"},
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                WireClient(self.port).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    self.close()
                    raise

    def client(self) -> WireClient:
        """A new connection."""
        return WireClient(self.port)

    def close(self) -> None:
        """Stop the process and remove its folder."""
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Node:
    """A pyredis-server process of our own on a free port, stopped with ``close``.

    ``within`` stands in front of its command line.
    """

    def __init__(
        self,
        *options: str,
        stdin: bytes | None = None,
        wait: bool = True,
        within: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.folder = tempfile.mkdtemp(prefix="pyredis-node-")
        self.process = subprocess.Popen(
            [
                *within,
                sys.executable,
                "-m",
                "pyredis",
                *options[: 1 if _is_path(options) else 0],
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--dir",
                self.folder,
                "--enable-debug-command",
                "yes",
                *options[1 if _is_path(options) else 0 :],
            ],
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
        if stdin is not None and self.process.stdin is not None:
            self.process.stdin.write(stdin)
            self.process.stdin.close()
        self.log = ""
        if wait:
            self.wait_for("Ready to accept connections")

    def wait_for(self, text: str) -> None:
        """Read the log until a line with ``text`` comes; fails when the process ends first."""
        assert self.process.stdout is not None
        while text not in self.log:
            line = self.process.stdout.readline().decode("utf-8", "replace")
            assert line, f"the server ended without {text!r}:\n{self.log}"
            self.log += line

    def client(self, timeout_s: float = 20.0) -> WireClient:
        """A new connection."""
        return WireClient(self.port, timeout_s)

    def finish(self, timeout_s: float = 20.0) -> int:
        """Wait for the process to end by itself; returns its exit status."""
        output, _ = self.process.communicate(timeout=timeout_s)
        self.log += output.decode("utf-8", "replace")
        return self.process.returncode

    def close(self) -> None:
        """Stop the process and remove its folder."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _is_path(options: tuple[str, ...]) -> bool:
    return bool(options) and not options[0].startswith("-")


class Twin:
    """The same commands to a real server and to ours; replies must be equal."""

    def __init__(self, real: WireClient, ours: EngineClient) -> None:
        self.real = real
        self.ours = ours

    def __call__(self, *args: Any) -> Any:
        expected = self.real(*args)
        got = self.ours(*args)
        assert got == expected, f"{args!r}: redis {expected!r}, ours {got!r}"
        assert type(got) is type(expected), f"{args!r}: redis {expected!r}, ours {got!r}"
        return got

    def another(self) -> Twin:
        """A second connection to each of the two servers."""
        return Twin(WireClient(self.real.socket.getpeername()[1]), self.ours.another())

    def messages(self, count: int, *args: Any) -> list[Any]:
        """Send a command, if one is given; both servers then answer with so many messages."""
        if args:
            self.real.send(*args)
            self.ours.send(*args)
        expected = [self.real.read() for _ in range(count)]
        got = self.ours.replies()
        assert got == expected, f"{args!r}: redis {expected!r}, ours {got!r}"
        return got

    def unordered(self, *args: Any) -> Any:
        """As a call, for replies whose order Redis leaves open."""
        expected, got = self.real(*args), self.ours(*args)
        assert _sorted(got) == _sorted(expected), f"{args!r}: redis {expected!r}, ours {got!r}"
        return got


def _sorted(reply: Any) -> Any:
    if isinstance(reply, tuple):
        return (reply[0], sorted(reply[1], key=repr))
    return sorted(reply, key=repr) if isinstance(reply, list) else reply


class Listener:
    """A feed that gives what is propagated to a function, as (database, request) pairs."""

    def __init__(
        self, tell: Callable[[list[tuple[int, tuple[bytes, ...]]]], object], kind: str = "replicas"
    ) -> None:
        self.kind = kind
        self._tell = tell

    def take(self, db_index: int, wire: bytes, head: bytes = b"") -> None:
        reader = RequestReader()
        reader.receive(head + wire)
        commands = []
        while (argv := reader.next(1 << 29, True)) is not None:
            commands.append((db_index, tuple(argv)))
        self._tell(commands)
