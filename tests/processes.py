"""Server processes with files: started in a folder, filled, and asked how it goes."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.samples import VALUES
from tests.support import REDIS_SERVER, Node, RealRedis, WireClient

LIBRARY = "#!lua name=lib\nredis.register_function('f', function() return 42 end)"


@contextlib.contextmanager
def running(
    folder: Path, *options: str, wait: bool = True, within: Sequence[str] = ()
) -> Iterator[Node]:
    server = Node("--dir", str(folder), "--save", "", *options, wait=wait, within=within)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def real(folder: Path, *options: str, within: Sequence[str] = ()) -> Iterator[RealRedis]:
    if REDIS_SERVER is None:
        pytest.skip("redis-server is not installed")
    server = RealRedis("--dir", str(folder), *options, within=within)
    try:
        yield server
    finally:
        server.close()


def fill(client: WireClient) -> None:
    """A value of every type and encoding, expiries, a second database and a library."""
    for name, commands in VALUES.items():
        for command in commands:
            client(*(name if part == "k" else part for part in command))
    for number, name in enumerate(("string-of-19", "number-128", "hash", "stream", "zset-large")):
        client("PEXPIREAT", name, 4_000_000_000_000 + number)
    client("SELECT", 3)
    client("MSET", "a", 1, "b", "two")
    client("SELECT", 0)
    client("FUNCTION", "LOAD", LIBRARY)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def info(client: WireClient, name: str) -> str:
    text: str = client("INFO", "persistence").decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)[name]


def children_of(node: Node) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(node.process.pid)], capture_output=True, text=True, check=False
    )
    return [int(each) for each in found.stdout.split()]
