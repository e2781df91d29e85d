"""Clients that wait, whatever for, and who is served when that is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.group import Group
from tests.support import REDIS_SERVER, EngineClient, RealRedis, Twin, new_client
from tests.test_node import READONLY


def test_a_pause_holds_the_stream_but_not_acknowledgements() -> None:
    group = Group()
    primary, replica = group.pair()
    primary("SET", "a", "1")
    primary("SET", "ttl", "1", "PX", 500)
    assert primary("CLIENT", "PAUSE", 3000, "WRITE") == b"OK"
    group.settle()
    offset = primary.node.history.offset
    writer = primary.connect()
    writer.send("SET", "a", "2")
    publisher = primary.connect()
    publisher.send("PUBLISH", "news", "1")
    group.wait(2000)
    assert primary.node.history.offset == offset, "no write, no expiry, no message"
    assert primary("GET", "a") == b"1"
    assert primary("GET", "ttl") is None, "hidden"
    group.wait(2000)
    assert writer.replies() == [b"OK"]
    assert replica("GET", "a") == b"2"
    assert replica("DBSIZE") == 1


def test_who_was_held_up_first_goes_first() -> None:
    group = Group()
    primary = group.add("primary")
    primary("CLIENT", "PAUSE", 1000, "WRITE")
    writers = [primary.connect() for _ in range(5)]
    for number, each in enumerate(writers):
        each.send("RPUSH", "order", number)
    group.wait(1100)
    assert primary("LRANGE", "order", 0, -1) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_pause_stops_a_replica_from_applying_until_it_is_over() -> None:
    group = Group()
    primary, replica = group.pair()
    replica("CLIENT", "PAUSE", 5000, "ALL")
    primary("SET", "a", "1")
    assert replica.position != primary.position
    group.wait(5100)
    assert replica.position == primary.position


def test_what_was_held_up_is_judged_anew() -> None:
    group = Group()
    primary, replica = group.pair()
    other = primary.connect()
    primary("CLIENT", "PAUSE", 5000, "WRITE")
    writer = primary.connect()
    writer.send("SET", "a", "1")
    replica("REPLICAOF", "NO", "ONE")
    other("REPLICAOF", replica.host, replica.port)
    assert writer.replies() == []
    group.wait(6000)
    assert writer.replies() == [READONLY]


def test_what_comes_behind_a_wait_follows_it() -> None:
    group = Group()
    primary, replica = group.pair()
    group.wire(replica, primary).held = True
    primary.client.feed(b"SET a 1\r\nWAIT 1 0\r\nSET a 2\r\nWAIT 1 0\r\nGET a\r\n")
    assert primary.client.replies() == [b"OK"]
    group.wire(replica, primary).held = False
    group.settle()
    assert primary.client.replies() == [1, b"OK", 1, b"2"], "without a second of delay"


def test_a_blocked_pop_is_told_to_replicas_as_what_it_did() -> None:
    group = Group()
    primary, replica = group.pair()
    waiting = primary.connect()
    waiting.send("BLMPOP", 0, 2, "a", "b", "RIGHT")
    primary("RPUSH", "b", "1", "2")
    assert waiting.replies() == [[b"b", [b"2"]]]
    assert replica("LRANGE", "b", 0, -1) == [b"1"]
    assert replica.digest() == primary.digest()


def test_readers_that_wait_on_a_replica_are_served_by_the_stream() -> None:
    group = Group()
    primary, replica = group.pair()
    reader = replica.connect()
    reader.send("XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    primary("XADD", "s", "1-1", "a", "1")
    assert reader.replies() == [[[b"s", [[b"1-1", [b"a", b"1"]]]]]]


# A replica whose primary is away, beside a real one in the same position


@pytest.fixture(scope="module")
def orphan() -> Iterator[RealRedis]:
    if REDIS_SERVER is None:
        pytest.skip("redis-server is not installed")
    server = RealRedis("--replicaof", "127.0.0.1 1")
    yield server
    server.close()


@pytest.fixture
def orphans(orphan: RealRedis) -> Iterator[Twin]:
    real, ours = orphan.client(), new_client()
    ours("REPLICAOF", "127.0.0.1", 1)
    yield Twin(real, ours)
    real("CONFIG", "SET", "replica-serve-stale-data", "yes", "replica-read-only", "yes")
    real.close()


SCRIPTS = (
    "return 1",
    "return redis.call('get', 'a')",
    "return redis.call('set', 'a', 1)",
    "return redis.call('echo', 'a')",
    "#!lua\nreturn 1",
    "#!lua flags=no-writes\nreturn redis.call('get', 'a')",
    "#!lua flags=no-writes,allow-stale\nreturn redis.call('get', 'a')",
    "#!lua flags=no-writes,allow-stale\nreturn redis.call('echo', 'a')",
    "#!lua flags=allow-stale\nreturn redis.call('set', 'a', 'b')",
)


@pytest.mark.parametrize("stale", ["yes", "no"])
@pytest.mark.parametrize("read_only", ["yes", "no"])
def test_what_an_orphan_refuses(orphans: Twin, stale: str, read_only: str) -> None:
    twin = orphans
    twin("CONFIG", "SET", "replica-serve-stale-data", stale, "replica-read-only", read_only)
    for words in (
        "GET a", "SET a 1", "PING", "ECHO a", "PUBLISH a b", "WAIT 0 0", "FAILOVER", "LPOP l",
        "DBSIZE", "FLUSHALL", "PSYNC ? -1", "SYNC", "PSYNC x 1 FAILOVER", "REPLICAOF 127.0.0.1 1",
        "SUBSCRIBE", "DEL a", "EVAL_RO return(1) 0", "FCALL f 0", "FUNCTION FLUSH", "TOUCH a",
    ):  # fmt: skip
        twin(*words.split())
    for script in SCRIPTS:
        twin("EVAL", script, 0)
    twin("MULTI")
    twin("GET", "a")
    twin("SET", "a", "1")
    twin("PING")
    twin("EXEC")
    twin("MULTI")
    twin("PUBLISH", "a", "b")
    twin("EXEC")
    twin("WATCH", "a")
    twin("UNWATCH")


@pytest.mark.parametrize(("queued", "runs"), [("GET a", False), ("PING", False), ("INFO", True)])
def test_exec_is_as_stale_as_what_it_queued(client: EngineClient, queued: str, runs: bool) -> None:
    other = client.another()
    client("MULTI")
    client(*queued.split())
    other("CONFIG", "SET", "replica-serve-stale-data", "no")
    other("REPLICAOF", "127.0.0.1", 1)
    reply = client("EXEC")
    if runs:
        assert len(reply) == 1
    else:
        assert reply.startswith(b"EXECABORT Transaction discarded because of: MASTERDOWN Link")


def test_scripts_without_enough_replicas(twin: Twin) -> None:
    twin("CONFIG", "SET", "min-replicas-to-write", 1)
    try:
        for script in SCRIPTS:
            twin("EVAL", script, 0)
        twin("SET", "a", 1)
        twin("MULTI")
        twin("SET", "a", 1)
        twin("EXEC")
        twin("PUBLISH", "a", "b")
    finally:
        twin("CONFIG", "SET", "min-replicas-to-write", 0)


def test_who_is_gone_waits_no_more(client: EngineClient) -> None:
    other = client.another()
    other.send("BLPOP", "a", 0)
    client.engine.disconnect(other.session)
    assert client("RPUSH", "a", "1") == 1
    assert client("LLEN", "a") == 1


@pytest.mark.parametrize(
    ("wait", "fill"),
    [
        ("BLPOP k 0", "RPUSH k a"),
        ("BZPOPMIN k 0", "ZADD k 1 a"),
        ("BLMOVE k l LEFT LEFT 0", "LPUSH k a"),
    ],
)
def test_what_a_long_transaction_outlived_serves_nobody(
    client: EngineClient, wait: str, fill: str
) -> None:
    client.engine.config.enable_debug_command = "yes"
    waiting = client.another()
    waiting.send(*wait.split())
    client.engine.host.sleep = lambda _: client.clock.advance(200)  # type: ignore[method-assign]
    client("MULTI")
    for request in (fill, "PEXPIRE k 100", "DEBUG SLEEP 0.2"):
        client(*request.split())
    assert client("EXEC") == [1, 1, b"OK"]
    assert waiting.replies() == []
    client(*fill.split())
    assert len(waiting.replies()) == 1
