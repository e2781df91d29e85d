"""Popping from sorted sets, also after waiting: against a real server where both agree."""

from __future__ import annotations

import pytest

from tests.support import EngineClient, NullArray, Twin, new_client
from tests.test_zset_commands import A_TO_D, events, follow, speak


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", ["ZPOPMIN", "ZPOPMAX"])
def test_pops(twin: Twin, name: str, protocol: int) -> None:
    speak(twin, protocol)
    twin("SET", "text", "x")
    for key in ("z", "missing", "text"):
        twin("ZADD", key, *A_TO_D) if key == "z" else None
        for arguments in ("", "0", "1", "2", "-1", "x", "1 x", "9", "9"):
            twin(name, key, *arguments.split())
            twin("EXISTS", key)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize(
    "arguments",
    [
        "2 missing z MIN",
        "2 missing z max count 3",
        "1 z MIN COUNT 10",
        "2 text z MIN",
        "1 missing MIN",
        "0 z MIN",
        "x z MIN",
        "-1 z MIN",
        "3 z y MIN",
        "2 z MIN",
        "1 z MIDDLE",
        "1 z MIN COUNT 0",
        "1 z MIN COUNT x",
        "1 z MIN COUNT",
        "1 z MIN COUNT 1 COUNT 1",
        "1 z MIN LIMIT 1",
        "9223372036854775807 z MIN",
    ],
)
def test_multi_pops(twin: Twin, arguments: str, protocol: int) -> None:
    twin("ZADD", "z", *A_TO_D)
    twin("SET", "text", "x")
    speak(twin, protocol)
    twin("ZMPOP", *arguments.split())
    twin("ZADD", "z", *A_TO_D)
    if not arguments.startswith("1 missing"):
        twin("BZMPOP", "0", *arguments.split())
    twin("BZMPOP", "-1", *arguments.split())
    twin("ZRANGE", "z", 0, -1)


@pytest.mark.parametrize("protocol", [2, 3])
def test_blocking_pops_that_need_not_wait(twin: Twin, protocol: int) -> None:
    twin("ZADD", "z", *A_TO_D)
    twin("SET", "text", "x")
    speak(twin, protocol)
    for name in ("BZPOPMIN", "BZPOPMAX"):
        twin(name, "missing", "z", "0")
        twin(name, "text", "z", "0")
        twin(name, "z", "text", "0")
        for timeout in ("x", "-1", "nan"):
            twin(name, "z", timeout)
    twin("EXISTS", "z")


def test_waiting_for_a_member(client: EngineClient) -> None:
    first, second, third = client.another(), client.another(), client.another()
    first.send("BZPOPMIN", "x", "z", 0)
    second.send("BZMPOP", 0, 1, "z", "MAX", "COUNT", 2)
    third.send("BZPOPMAX", "z", "1.5")
    client("ZADD", "z", *A_TO_D)
    assert first.replies() == [[b"z", b"a", b"1"]]
    assert second.replies() == [[b"z", [[b"d", b"4"], [b"c", b"3"]]]]
    assert third.replies() == [[b"z", b"b", b"2"]]
    assert client("ZCARD", "z") == 0


def test_waiting_is_ended_by_time_but_not_by_other_types(client: EngineClient) -> None:
    waiter = client.another()
    waiter.send("BZPOPMIN", "z", "1.5")
    client("SET", "z", "x")
    client.tick(1499)
    assert waiter.replies() == []
    client.tick(1)
    assert waiter.replies() == [NullArray()]
    waiter.send("BZMPOP", "0.1", "1", "y", "MIN")
    client.tick(100)
    assert waiter.replies() == [NullArray()]


def test_what_is_propagated(client: EngineClient) -> None:
    seen = follow(client)
    client("ZADD", "z", *A_TO_D, "5", "e", "6", "f")
    seen.clear()
    client("ZPOPMIN", "z", "0")
    client("ZMPOP", "1", "missing", "MIN")
    assert seen == []
    client("ZPOPMIN", "z")
    client("ZMPOP", 2, "missing", "z", "MAX", "COUNT", 2)
    client("BZPOPMAX", "missing", "z", 0)
    client("BZMPOP", 0, 1, "z", "MIN", "COUNT", 10)
    assert seen == [
        (b"ZPOPMIN", b"z"),
        (b"ZPOPMAX", b"z", b"2"),
        (b"ZPOPMAX", b"z"),
        (b"ZPOPMIN", b"z", b"2"),
    ]


def test_a_served_waiter_is_propagated_behind_what_served_it(client: EngineClient) -> None:
    waiter = client.another()
    seen = follow(client)
    waiter.send("BZPOPMIN", "z", 0)
    client("ZADD", "z", *A_TO_D)
    assert [argv[0] for argv in seen] == [b"ZADD", b"ZPOPMIN"]


def test_events() -> None:
    client = new_client(notify_keyspace_events="KEA")
    client("ZADD", "z", *A_TO_D)
    assert events(client, "ZPOPMIN", "z") == [b"zpopmin"]
    assert events(client, "ZPOPMAX", "z", "5") == [b"zpopmax", b"del"]
    client("ZADD", "z", *A_TO_D)
    assert events(client, "ZMPOP", "1", "z", "MIN", "COUNT", "3") == [b"zpopmin"]
    assert events(client, "BZPOPMAX", "z", "0") == [b"zpopmax", b"del"]
