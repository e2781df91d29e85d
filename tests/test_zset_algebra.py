"""Unions, intersections and differences: against a real server."""

from __future__ import annotations

import pytest

from tests.support import EngineClient, Twin, new_client
from tests.test_zset_commands import events, follow, speak, zset_of

INPUTS = [
    "1 x",
    "2 x y",
    "2 y x",
    "3 x y s",
    "2 s x",
    "1 s",
    "2 x x",
    "2 x missing",
    "2 missing x",
    "1 missing",
    "3 big x s",
    "2 numbers s",
]
OPTIONS = [
    "",
    "WITHSCORES",
    "AGGREGATE MAX WITHSCORES",
    "aggregate min withscores",
    "AGGREGATE SUM",
    "AGGREGATE MIN AGGREGATE MAX WITHSCORES",
]


@pytest.fixture
def filled(twin: Twin) -> Twin:
    """Both servers with sorted sets, sets and a string."""
    twin("ZADD", "x", "1", "a", "2", "b", "3", "c", "5", "7")
    twin("ZADD", "y", "10", "b", "-20", "c", "30", "d")
    twin("ZADD", "big", *(part for number in range(200) for part in (number, number)))
    twin("ZADD", "ends", "inf", "a", "-inf", "b", "0", "c")
    twin("ZADD", "other", "-inf", "a", "inf", "b", "0", "c")
    twin("SADD", "s", "b", "c", "e", "7")
    twin("SADD", "numbers", "7", "8")
    twin("SET", "text", "x")
    return twin


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("inputs", INPUTS)
def test_results(filled: Twin, inputs: str, protocol: int) -> None:
    speak(filled, protocol)
    for options in OPTIONS:
        filled("ZUNION", *inputs.split(), *options.split())
        filled("ZINTER", *inputs.split(), *options.split())
    filled("ZDIFF", *inputs.split())
    filled("ZDIFF", *inputs.split(), "WITHSCORES")
    filled("ZINTERCARD", *inputs.split())
    filled("ZINTERCARD", *inputs.split(), "LIMIT", "1")
    filled("ZINTERCARD", *inputs.split(), "LIMIT", "0")


@pytest.mark.parametrize("aggregate", ["SUM", "MIN", "MAX"])
@pytest.mark.parametrize(
    "weights", ["1 1", "2 -3", "0 0", "0 1", "1 0", "inf 1", "1 -inf", "inf inf", "0.5 0.25"]
)
def test_weights_and_infinities(filled: Twin, weights: str, aggregate: str) -> None:
    for keys in ("x y", "ends other", "other ends", "ends s", "s ends", "s numbers"):
        for name in ("ZUNION", "ZINTER"):
            tail = ("WEIGHTS", *weights.split(), "AGGREGATE", aggregate)
            filled(name, "2", *keys.split(), *tail, "WITHSCORES")
            filled(f"{name}STORE", "dst", "2", *keys.split(), *tail)
            filled("ZRANGE", "dst", 0, -1, "WITHSCORES")


@pytest.mark.parametrize(
    "arguments",
    [
        "0 x",
        "-1 x",
        "x x",
        "2 x",
        "1.5 x",
        "9223372036854775807 x",
        "1 text",
        "2 x text",
        "1 text NONSENSE",
        "1 x NONSENSE",
        "1 x y",
        "1 x WEIGHTS",
        "1 x WEIGHTS a",
        "1 x WEIGHTS nan",
        "2 x y WEIGHTS 1",
        "2 x y WEIGHTS 1 2 3",
        "2 x y WEIGHTS 1 2 WEIGHTS 3 4",
        "1 x AGGREGATE",
        "1 x AGGREGATE AVG",
        "1 x LIMIT 1",
        "1 x LIMIT",
        "1 x LIMIT -1",
        "1 x LIMIT a",
        "1 x LIMIT 1 LIMIT 2",
        "1 x WITHSCORES WITHSCORES",
        "1 x WITHSCORES WEIGHTS 2",
    ],
)
def test_errors(filled: Twin, arguments: str) -> None:
    for name in ("ZUNION", "ZINTER", "ZDIFF", "ZINTERCARD"):
        filled(name, *arguments.split())
    for name in ("ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"):
        filled(name, "dst", *arguments.split())
    filled("ZRANGE", "dst", 0, -1, "WITHSCORES")


@pytest.mark.parametrize("name", ["ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"])
def test_storing(filled: Twin, name: str) -> None:
    filled("SET", "dst", "x", "EX", 100)
    for inputs in INPUTS:
        filled(name, "dst", *inputs.split())
        filled("ZRANGE", "dst", 0, -1, "WITHSCORES")
        filled("EXISTS", "dst")
    filled(name, "x", "2", "x", "y")
    filled("ZRANGE", "x", 0, -1, "WITHSCORES")


def test_the_result_has_the_encoding_of_its_size(client: EngineClient) -> None:
    client("ZADD", "small", *(part for number in range(100) for part in (number, number)))
    client("ZADD", "more", *(part for number in range(50, 150) for part in (number, number)))
    client("ZUNIONSTORE", "union", 2, "small", "more")
    client("ZINTERSTORE", "inter", 2, "union", "small")
    assert zset_of(client, b"union").skiplist
    assert not zset_of(client, b"inter").skiplist
    client("ZADD", "long", 1, "x" * 65)
    client("ZUNIONSTORE", "union", 1, "long")
    assert zset_of(client, b"union").skiplist


def test_storing_wakes_waiters(client: EngineClient) -> None:
    waiter = client.another()
    waiter.send("BZPOPMIN", "dst", 0)
    client("ZADD", "x", 1, "a", 2, "b")
    client("ZUNIONSTORE", "dst", 1, "x")
    assert waiter.replies() == [[b"dst", b"a", b"1"]]


def test_events_and_propagation() -> None:
    client = new_client(notify_keyspace_events="KEA")
    client("ZADD", "x", 1, "a", 2, "b")
    for name in ("zunionstore", "zinterstore", "zdiffstore"):
        assert events(client, name, "dst", 1, "x") == [name.encode()]
        assert events(client, name, "dst", 1, "missing") == [b"del"]
        assert events(client, name, "dst", 1, "missing") == []
    seen = follow(client)
    client("ZUNIONSTORE", "dst", "1", "x", "WEIGHTS", "2")
    client("ZDIFFSTORE", "other", "1", "missing")
    assert seen == [(b"ZUNIONSTORE", b"dst", b"1", b"x", b"WEIGHTS", b"2")]
