"""What clients take: the sum kept, and the largest clients closed when it is too much."""

from __future__ import annotations

import pytest

from pyredis.client_memory import LIMIT_MIN, bucket, limit_of
from tests.support import EngineClient, new_client

MB = 1 << 20


def holding(client: EngineClient, size: int) -> EngineClient:
    """Another client, which is in the middle of sending a command of that size."""
    other = client.another()
    other.engine.feed(
        other.session, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (4 * MB) + b"x" * size
    )
    return other


def test_limits() -> None:
    assert limit_of(0, 1 << 30) == 0
    assert limit_of(5 * MB, 0) == 5 * MB
    assert limit_of(-10, 100 * MB) == 10 * MB
    assert limit_of(-10, 0) == 0
    assert limit_of(1, 0) == limit_of(-1, 100) == LIMIT_MIN


def test_buckets() -> None:
    assert bucket(0) == bucket(32_000) == 15
    assert bucket(32_768) == 16
    assert bucket(40_000) == bucket(60_000)
    assert bucket(1 << 40) == bucket(1 << 33) == 33


def test_the_largest_client_goes() -> None:
    client = new_client()
    lines: list[str] = []
    client.engine.log = lambda level, text: lines.append(f"{level} {text}")
    small, large = holding(client, 200_000), holding(client, 900_000)
    client("CONFIG", "SET", "maxmemory-clients", 800_000)
    client.tick()
    assert large.session.closing == "now"
    assert small.session.closing == client.session.closing == ""
    assert large.session in client.engine.take_doomed()
    assert lines[0].startswith(f"notice Evicting client: id={large.session.id} addr=")
    assert b"evicted_clients:1" in client("INFO", "stats")
    assert client.engine.client_memory.total < 800_000


def test_clients_that_may_stay_count_all_the_same() -> None:
    client = new_client()
    lines: list[str] = []
    client.engine.log = lambda level, text: lines.append(f"{level} {text}")
    spared = client.another()
    spared("CLIENT", "NO-EVICT", "ON")
    client("CONFIG", "SET", "maxmemory-clients", 300_000)
    data = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (4 * MB) + b"x" * 500_000
    client.engine.feed(spared.session, data)
    client.tick()
    assert spared.session.closing == ""
    assert client.session.closing == "now"
    assert lines[-1] == "warning Over client maxmemory after evicting all evictable clients"


def test_a_share_of_maxmemory() -> None:
    client = new_client(maxmemory="20mb", maxmemory_clients="5%")
    memory = client.engine.client_memory
    assert memory.limit_bytes == MB
    holding(client, 500_000)
    client.tick()
    assert 500_000 < memory.total < MB
    other = holding(client, 600_000)
    client.tick()
    assert other.session.closing == "now" or memory.total < MB


def test_output_counts() -> None:
    client = new_client(maxmemory_clients="1mb")
    other = client.another()
    client("SET", "k", "x" * 700_000)
    for _ in range(2):
        other.send("GET", "k")  # and reads no reply
    client.engine.take_output()
    client.tick()
    assert other.session.closing == "now"


@pytest.mark.parametrize("setting", ["maxmemory", "maxmemory-clients"])
def test_the_sum_is_kept_and_forgotten(client: EngineClient, setting: str) -> None:
    memory = client.engine.client_memory
    assert not memory.on
    others = [client.another() for _ in range(20)]
    client("CONFIG", "SET", setting, "1gb")
    assert memory.on
    for _ in range(5):
        client.engine.begin_batch()
        client.engine.cron()
    sessions = client.engine.sessions.values()
    assert memory.total == sum(memory.sizes.values())
    assert set(memory.sizes) == set(sessions)
    for other in others:
        client.engine.disconnect(other.session)
    assert set(memory.sizes) == {client.session}
    assert memory.total == memory.sizes[client.session]
    client("CONFIG", "SET", setting, 0)
    assert not memory.on


def test_a_large_request_counts_until_it_has_run() -> None:
    client = new_client(maxmemory_clients="1mb")
    other = client.another()
    assert other("SET", "k", "x" * 900_000) == b"OK"
    assert other("STRLEN", "k") == 900_000
    other.send("SET", "k", "y" * 1_100_000)
    assert other.session.closing == "now"
    assert client("GETRANGE", "k", 0, 1) == b"xx", "it did not run"


def test_prefixes_that_are_tracked_count(client: EngineClient) -> None:
    before = client.session.memory_bytes()
    prefixes = [word for number in range(1000) for word in ("PREFIX", f"{number:09}")]
    client("CLIENT", "TRACKING", "ON", "BCAST", *prefixes)
    assert client.session.memory_bytes() > before + 9000


def test_unfinished_requests_make_room_for_themselves() -> None:
    client = new_client(maxmemory="8mb", maxmemory_policy="allkeys-lru")
    for number in range(50):
        client("SETRANGE", number, 100_000, "x")
    assert client("DBSIZE") == 50
    for _ in range(4):
        other = holding(client, 900_000)
    client.tick()
    assert client("DBSIZE") < 50
    assert other.session.closing == ""
