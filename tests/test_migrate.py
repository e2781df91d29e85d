"""MIGRATE to a real server, from a real one and from ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pyredis.unixhost import UnixHost
from tests.observe import Observer
from tests.support import EngineClient, Node, RealRedis, Twin, WireClient, free_port


@pytest.fixture(scope="module")
def target_server(real_redis: RealRedis) -> Iterator[RealRedis]:
    server = RealRedis("--requirepass", "secret")
    yield server
    server.close()


@pytest.fixture
def target(target_server: RealRedis) -> WireClient:
    client = target_server.client()
    client("AUTH", "secret")
    client("FLUSHALL")
    return client


@pytest.fixture
def source(twin: Twin) -> Twin:
    twin.ours.engine.host = UnixHost(lambda level, text: None, "/")
    return twin


def address(client: WireClient) -> tuple[str, int]:
    port: int = client.socket.getpeername()[1]
    return "127.0.0.1", port


@pytest.mark.parametrize(
    "options",
    [
        "a 0 1000", "a 0 1000 AUTH wrong", "a 0 1000 AUTH2 default wrong", "a 0 1000 AUTH",
        "a 0 1000 AUTH2 default", "a 0 1000 NONSENSE", "a x 1000", "a 0 x", "a x x NONSENSE",
        "missing 0 1000", "missing 0 x", "a 0 1000 KEYS a", "a 0 1000 AUTH secret",
        "a 0 -5 AUTH2 default secret", "a 99 1000 AUTH secret", "a 3 1000 AUTH secret COPY",
    ],
)  # fmt: skip
def test_one_key(source: Twin, target: WireClient, options: str) -> None:
    """An unknown database comes before another than 0: redis-server keeps its connections."""
    source("SET", "a", "1")
    request = ["MIGRATE", *address(target), *options.split()]
    expected = source.real(*request)
    left = [target("DBSIZE"), target("SELECT", 3), target("DBSIZE")]
    target("FLUSHALL")
    target("SELECT", 0)
    assert source.ours(*request) == expected
    assert [target("DBSIZE"), target("SELECT", 3), target("DBSIZE")] == left
    source("EXISTS", "a")


def test_many_keys(source: Twin, target: WireClient) -> None:
    many = ["MIGRATE", *address(target), "", 0, 1000, "AUTH", "secret"]
    for options in (["KEYS"], ["KEYS", "a", "missing", "c"], ["REPLACE", "KEYS", "a", "b", "a"]):
        source("MSET", "a", 1, "b", 2, "c", 3)
        target("FLUSHALL")
        target("SET", "c", "in the way")
        expected = source.real(*many, *options)
        target("FLUSHALL")
        target("SET", "c", "in the way")
        assert source.ours(*many, *options) == expected
        source("EXISTS", "a", "b", "c")


def test_time_to_live_and_value(source: Twin, target: WireClient) -> None:
    ours = source.ours
    ours("RPUSH", "list", *range(300))
    ours("PEXPIRE", "list", 50_000)
    request = ("MIGRATE", *address(target), "list", 0, 1000, "AUTH", "secret")
    assert Observer(ours).after(*request) == (["0:list del"], ["0:DEL list"])
    assert target("LLEN", "list") == 300
    assert 40_000 < target("PTTL", "list") <= 50_000


def test_nobody_there(source: Twin) -> None:
    source("SET", "a", 1)
    port = free_port()
    source("MIGRATE", "127.0.0.1", port, "a", 0, 100)
    source("MIGRATE", "127.0.0.1", "port", "a", 0, 100)
    source("MIGRATE", "nowhere.invalid", port, "a", 0, 100)
    source("EXISTS", "a")


def test_without_a_process(client: EngineClient) -> None:
    client("SET", "a", 1)
    assert client("MIGRATE", "127.0.0.1", 1, "a", 0, 100).startswith(b"ERR this server is not")


def test_between_two_nodes(node: Node) -> None:
    other = Node("--save", "")
    try:
        client, target = node.client(), other.client()
        client("HSET", "hash", "field", "value")
        assert client("MIGRATE", "127.0.0.1", other.port, "hash", 0, 5000) == b"OK"
        assert target("HGETALL", "hash") == [b"field", b"value"]
        assert client("EXISTS", "hash") == 0
        client.close()
        target.close()
    finally:
        other.close()
