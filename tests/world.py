"""Servers of both kinds as real processes, what can be done to them, and writes of every type.

world = World()
primary, replica = world.start("ours"), world.start("real")
replica("REPLICAOF", "127.0.0.1", primary.port)
world.wait_in_sync(primary, replica)

``Load`` writes what cannot be replicated wrongly without the digests telling. ``CutProxy`` stands
between two servers and cuts the link after so many bytes.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support import REDIS_SERVER, ROOT, ReplyError, WireClient, free_port

HOST = "127.0.0.1"
_COMMON = (
    *("--save", ""),
    *("--bind", HOST),
    *("--enable-debug-command", "yes"),
    *("--repl-diskless-sync-delay", "0"),
    *("--repl-backlog-size", "64mb"),
)


class Server:
    """A process of ours or a redis-server. Call it like a client; it connects again if need be."""

    def __init__(self, kind: str, *options: str, folder: str = "", port: int = 0) -> None:
        self.kind = kind
        self.options = options
        self.port = port or free_port()
        self.folder = folder or tempfile.mkdtemp(prefix=f"pyredis-{kind}-")
        self.process: subprocess.Popen[bytes]
        self._client: WireClient | None = None
        self.login: tuple[str, ...] = ()
        self.start()

    @property
    def log_path(self) -> Path:
        return Path(self.folder, "log")

    def start(self, *more: str) -> None:
        """Start the process and wait until it answers."""
        program = [sys.executable, "-m", "pyredis"] if self.kind == "ours" else [str(REDIS_SERVER)]
        own = ("--port", str(self.port), "--dir", self.folder, "--logfile", str(self.log_path))
        self.process = subprocess.Popen(
            [*program, *own, *_COMMON, *self.options, *more],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "TZ": "UTC"},
        )
        self._client = None
        wait_until(self._answers, 20, lambda: self.log)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            reply = self.client()("PING")
        except OSError:
            return False
        return not (isinstance(reply, ReplyError) and reply.startswith(b"LOADING"))

    @property
    def log(self) -> str:
        with contextlib.suppress(OSError):
            return self.log_path.read_text("utf-8", "replace")
        return ""

    def client(self) -> WireClient:
        """A new connection."""
        client = WireClient(self.port, 20)
        if self.login:
            client("AUTH", *self.login)
        return client

    def __call__(self, *args: Any) -> Any:
        for last in (False, True):
            if self._client is None:
                self._client = self.client()
            try:
                return self._client(*args)
            except OSError:
                self._client = None
                if last:
                    raise
        raise AssertionError

    def info(self, section: str = "replication") -> dict[str, str]:
        """INFO as a dict."""
        lines = self("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def stat(self, name: str) -> int:
        return int(self.info("stats")[name])

    def follow(self, other: Server | CutProxy) -> Any:
        return self("REPLICAOF", HOST, other.port)

    def digest(self) -> bytes:
        return bytes(self("DEBUG", "DIGEST"))

    @property
    def link_up(self) -> bool:
        return self.info().get("master_link_status") == "up"

    @property
    def offset(self) -> int:
        info = self.info()
        return int(info.get("slave_repl_offset", info["master_repl_offset"]))

    # What can happen to it

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """SIGSTOP, and afterwards SIGCONT."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """The end, and nothing is left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class World:
    """All servers of a test."""

    def __init__(self) -> None:
        self.servers: list[Server] = []
        self.proxies: list[CutProxy] = []

    def start(self, kind: str, *options: str) -> Server:
        server = Server(kind, *options)
        self.servers.append(server)
        return server

    def proxy(self, server: Server) -> CutProxy:
        proxy = CutProxy(server.port)
        self.proxies.append(proxy)
        return proxy

    def close(self) -> None:
        for proxy in self.proxies:
            proxy.close()
        for server in self.servers:
            server.close()

    def wait_links(self, *servers: Server, limit_s: float = 20) -> None:
        """Until all of these have their link."""
        wait_until(lambda: all(each.link_up for each in servers), limit_s, self.story)

    def wait_in_sync(self, primary: Server, *replicas: Server, limit_s: float = 20) -> None:
        """Until all links are up, all offsets and all digests equal."""
        self.wait_links(*replicas, limit_s=limit_s)

        def in_sync() -> bool:
            if any("state=wait" in str(each.info()) for each in (primary, *replicas)):
                return False
            offset = primary.offset
            return all(each.offset == offset for each in replicas) and primary.offset == offset

        wait_until(in_sync, limit_s, self.story)
        wait_until(
            lambda: len({each.digest() for each in (primary, *replicas)}) == 1, 10, self.story
        )

    def refusals(self) -> str:
        """Why copies were made, in the words of the logs."""
        return "\n".join(
            line
            for each in self.servers
            for line in each.log.splitlines()
            if any(word in line for word in ("not accepted", "Unable to partial", "Full resync"))
        )

    def story(self) -> str:
        return "\n".join(
            f"== {each.kind} {each.port}\n" + "\n".join(each.log.splitlines()[-25:])
            for each in self.servers
        )


def wait_until(
    met: Callable[[], object], limit_s: float = 10, story: Callable[[], str] = str
) -> None:
    """Look again and again until something has come about; fails after some seconds."""
    end = time.monotonic() + limit_s
    while not met():
        assert time.monotonic() < end, f"not within {limit_s} s\n{story()}"
        time.sleep(0.01)


class CutProxy:
    """Passes bytes between a server and whoever connects; ``cut_after`` bytes down it cuts."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.cut_after: int | None = None
        self.passed = 0  # bytes downwards by the last connection
        self.refuses = False
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._closed = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """End all connections."""
        for pair in list(self._pairs):
            self._end(pair)

    def close(self) -> None:
        self._closed = True
        self._thread.join(5)
        self._listener.close()
        self.cut()

    def _end(self, pair: tuple[socket.socket, socket.socket]) -> None:
        for side in pair:
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()
        with contextlib.suppress(ValueError):
            self._pairs.remove(pair)

    def _run(self) -> None:
        while not self._closed:
            sides = {side: pair for pair in list(self._pairs) for side in pair}
            watched = [side for side in (self._listener, *sides) if side.fileno() >= 0]
            try:
                ready, _, _ = select.select(watched, [], [], 0.05)
            except (OSError, ValueError):
                continue
            for side in ready:
                if side is self._listener:
                    self._accept()
                elif side in sides and side.fileno() >= 0:
                    self._pass(side, sides[side])

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self.refuses:
            client.close()
            return
        try:
            server = socket.create_connection((HOST, self.target))
        except OSError:
            client.close()
            return
        self.passed = 0
        self._pairs.append((client, server))

    def _pass(self, side: socket.socket, pair: tuple[socket.socket, socket.socket]) -> None:
        client, server = pair
        try:
            data = side.recv(1 << 16)
            if side is server:
                if self.cut_after is not None and self.passed + len(data) >= self.cut_after:
                    data = data[: self.cut_after - self.passed]
                    client.sendall(data)
                    self.passed += len(data)
                    self.cut_after = None
                    data = b""
                else:
                    self.passed += len(data)
            if data:
                (client if side is server else server).sendall(data)
                return
        except OSError:
            pass
        self._end(pair)


class Load:
    """Writes of every type, from one source of chance, to one server."""

    def __init__(self, server: Server, seed: int = 1, expires: bool = True) -> None:
        """Without ``expires`` no key has a time to live, so nothing is written by itself."""
        self.server = server
        self.rng = random.Random(seed)
        self.count = 0
        self._client: WireClient | None = None
        self._expires = expires

    def run(self, duration_s: float) -> int:
        """Write for so long; returns how many commands."""
        end, before = time.monotonic() + duration_s, self.count
        while time.monotonic() < end:
            self.some()
        return self.count - before

    def some(self, count: int = 50) -> None:
        """Write a few commands, in a pipeline. Errors are a part of life."""
        commands = [command for _ in range(count) for command in self._make()]
        for last in (False, True):
            try:
                if self._client is None:
                    self._client = self.server.client()
                for command in commands:
                    self._client.send(*command)
                for _ in commands:
                    self._client.read()
                break
            except OSError:
                self._client = None
                if last:
                    raise
        self.count += len(commands)

    def _make(self) -> list[tuple[Any, ...]]:
        rng = self.rng
        key = f"k{rng.randrange(60)}"
        other = f"k{rng.randrange(60)}"
        word = "w" * rng.choice((1, 5, 30, 200)) + str(rng.randrange(100))
        number = rng.randrange(-100, 100)
        simple: list[tuple[Any, ...]] = [
            ("SET", key, word),
            ("SET", key, word, "PX", rng.randrange(1, 400)),
            ("SETRANGE", f"s{key}", rng.randrange(50), word),
            ("APPEND", f"s{key}", word),
            ("INCRBY", f"n{key}", number),
            ("INCRBYFLOAT", f"f{key}", number / 7),
            ("GETEX", key, "PX", rng.randrange(1, 400)),
            ("PEXPIRE", rng.choice((f"l{key}", f"h{key}", f"z{key}")), rng.randrange(1, 500)),
            ("PERSIST", key),
            ("RPUSH", f"l{key}", word, number),
            ("LPOP", f"l{key}", 2),
            ("LMOVE", f"l{key}", f"l{other}", "LEFT", "RIGHT"),
            ("LINSERT", f"l{key}", "BEFORE", word, "x"),
            ("SADD", f"t{key}", number, word),
            ("SPOP", f"t{key}", rng.randrange(3)),
            ("SINTERSTORE", f"t{key}", f"t{other}", "tk1"),
            ("HSET", f"h{key}", word, number, "f", word),
            ("HINCRBYFLOAT", f"h{key}", "pi", "0.1"),
            ("HDEL", f"h{key}", word),
            ("ZADD", f"z{key}", number / 3, word),
            ("ZINCRBY", f"z{key}", number, word),
            ("ZPOPMIN", f"z{key}"),
            ("ZUNIONSTORE", f"z{other}", 2, f"z{key}", f"t{key}"),
            ("GEOADD", f"g{key}", number, number / 2, word),
            ("XADD", f"x{key}", "MAXLEN", "~", 50, "*", word, number),
            ("XGROUP", "CREATE", f"x{key}", "g", "0"),
            ("XREADGROUP", "GROUP", "g", "c", "COUNT", 3, "STREAMS", f"x{key}", ">"),
            ("XAUTOCLAIM", f"x{key}", "g", "d", 0, "0"),
            ("XTRIM", f"x{key}", "MINID", "5"),
            ("PFADD", f"p{key}", word, number),
            ("PFMERGE", f"p{key}", f"p{other}"),
            ("SETBIT", f"b{key}", abs(number), 1),
            ("BITFIELD", f"b{key}", "INCRBY", "u8", "#3", number),
            ("DEL", rng.choice((key, f"l{key}", f"t{key}", f"h{key}", f"z{key}", f"x{key}"))),
            ("UNLINK", f"l{other}"),
            ("RENAME", key, other),
            ("COPY", f"l{key}", f"l{other}", "REPLACE"),
            ("MOVE", f"h{key}", rng.randrange(4)),
            ("SORT", f"l{key}", "ALPHA", "STORE", f"l{other}"),
            ("SELECT", rng.randrange(4)),
            ("PUBLISH", "news", word),
        ]
        draw = rng.random()
        if not self._expires:
            simple = [each for each in simple if not {"PX", "PEXPIRE"}.intersection(each)]
        if draw < 0.9:
            return [rng.choice(simple)]
        if draw < 0.95:
            inner = [rng.choice(simple) for _ in range(rng.randrange(1, 6))]
            return [("MULTI",), *inner, ("EXEC",)]
        if draw < 0.98:
            script = (
                "redis.call('incr', KEYS[1]) if tonumber(ARGV[1]) > 0 then "
                "redis.call('rpush', KEYS[2], ARGV[1], redis.call('time')[2]) "
                "redis.call('sadd', 'random', math.random(1000)) end "
                "return redis.call('spop', 'random')"
            )
            return [("EVAL", script, 2, f"n{key}", f"l{key}", number)]
        if draw < 0.99:
            name = f"lib{rng.randrange(4)}"
            code = (
                f"#!lua name={name}\nredis.register_function('{name}', function(keys) "
                f"return redis.call('incrby', 'by{name}', {abs(number)}) end)"
            )
            return [("FUNCTION", "LOAD", "REPLACE", code), ("FCALL", name, 0)]
        if draw < 0.999:
            return [("SWAPDB", rng.randrange(4), rng.randrange(4))]
        return [("FLUSHDB", rng.choice(("SYNC", "ASYNC")))]
