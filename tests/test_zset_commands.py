"""Sorted sets member by member: against a real server where both agree."""

from __future__ import annotations

from typing import Any

import pytest

from pyredis.types.zset import ZSet
from tests.support import EngineClient, Listener, NullArray, ReplyError, Twin, new_client

A_TO_D = ("1", "a", "2", "b", "3", "c", "4", "d")


def zset_of(client: EngineClient, key: bytes) -> ZSet:
    """The stored set itself, checked."""
    zset = client.session.db.data[key]
    assert isinstance(zset, ZSet)
    zset._check()
    return zset


def follow(client: EngineClient) -> list[tuple[bytes, ...]]:
    """The list to which all commands go that replicas would get."""
    seen: list[tuple[bytes, ...]] = []
    client.engine.feeds.append(Listener(lambda commands: seen.extend(argv for _, argv in commands)))
    client.engine.observe()
    return seen


# ZADD and ZINCRBY


@pytest.mark.parametrize(
    "arguments",
    [
        "5 a 6 new",
        "1 a 2 b",
        "CH 5 a 6 new",
        "NX 5 a 6 new",
        "XX 5 a 6 new",
        "xx ch 5 a 6 new",
        "GT 0 a 5 b 6 new",
        "LT 0 a 5 b 6 new",
        "GT XX CH 0 a 5 b 6 new",
        "LT XX CH 0 a 5 b 6 new",
        "CH CH NX 1 new 2 new",
        "INCR 2 a",
        "INCR 2 new",
        "INCR NX 2 a",
        "INCR XX 2 new",
        "INCR XX 2 a",
        "INCR GT -1 a",
        "INCR GT 0 a",
        "INCR LT -1 a",
        "INCR LT 1 new",
        "inf a -inf b",
        "0x10 a 1e3 b +5 c",
    ],
)
def test_zadd_options(twin: Twin, arguments: str) -> None:
    twin("ZADD", "z", *A_TO_D)
    for key in ("z", "missing"):
        twin("ZADD", key, *arguments.split())
        twin("ZRANGE", key, 0, -1, "WITHSCORES")
        twin("EXISTS", key)
    zset_of(twin.ours, b"z")


@pytest.mark.parametrize(
    "arguments",
    [
        "1",
        "NX 1",
        "NX XX",
        "1 a 2",
        "NX XX 1 a",
        "NX GT 1 a",
        "NX LT 1 a",
        "GT LT 1 a",
        "GT LT NX XX 1 a",
        "INCR 1 a 2 b",
        "x a",
        "nan a",
        "1 a x b",
        "1_0 a",
        "INCR -inf up",
        "NX INCR -inf up",
        "XX INCR -inf up",
        "1 a NX 2 b",
    ],
)
def test_zadd_errors_change_nothing(twin: Twin, arguments: str) -> None:
    twin("ZADD", "z", "1", "a", "inf", "up")
    twin("SET", "text", "x")
    for key in ("z", "text", "missing"):
        twin("ZADD", key, *arguments.split())
    twin("ZRANGE", "z", 0, -1, "WITHSCORES")
    twin("EXISTS", "missing")


def test_zadd_to_another_type(twin: Twin) -> None:
    twin("SET", "text", "x")
    twin("ZADD", "text", "1", "a")
    twin("ZADD", "text", "NX", "1", "a")
    twin("ZINCRBY", "text", "1", "a")


def test_zincrby(twin: Twin) -> None:
    for increment in ("1.5", "-3", "inf", "1e3", "-inf", "x", "NX", "INCR", "nan"):
        twin("ZINCRBY", "z", increment, "a")
        twin("ZSCORE", "z", "a")
    twin("ZINCRBY", "z", "1", "b", "more")


def test_zero_keeps_its_sign_only_in_a_large_set(client: EngineClient) -> None:
    client("ZADD", "z", "-0", "a")
    assert client("ZSCORE", "z", "a") == b"0"
    client("ZADD", "z", "-0.0", "a" * 65)
    assert client("ZSCORE", "z", "a" * 65) == b"-0"


def test_scores_are_replied_by_their_shortest_digits(client: EngineClient) -> None:
    client("ZADD", "z", "0.1", "a", "3.0", "b", "1e300", "c")
    assert client("ZMSCORE", "z", "a", "b", "c", "d") == [b"0.1", b"3", b"1e+300", None]
    assert client("ZINCRBY", "z", "0.2", "a") == b"0.30000000000000004"
    assert client("ZRANGE", "z", 0, 0, "WITHSCORES") == [b"a", b"0.30000000000000004"]


def test_encodings(client: EngineClient) -> None:
    for number in range(128):
        client("ZADD", "z", "NX", number, number)
    assert zset_of(client, b"z").encoding(None) == b"listpack"
    client("ZADD", "z", 1, 5)
    assert zset_of(client, b"z").encoding(None) == b"listpack"
    client("ZADD", "z", 1, "more")
    assert zset_of(client, b"z").encoding(None) == b"skiplist"
    client("ZADD", "long", 1, "x" * 65)
    assert zset_of(client, b"long").encoding(None) == b"skiplist"
    client("ZINCRBY", "z2", 1, "x" * 64)
    client("ZINCRBY", "z2", 1, "x" * 65)
    assert zset_of(client, b"z2").encoding(None) == b"skiplist"


def test_many_pairs_make_a_new_set_large_at_once(client: EngineClient) -> None:
    client("ZADD", "z", *(["1", "a"] * 129))
    assert zset_of(client, b"z").encoding(None) == b"skiplist"
    client("ZADD", "y", "1", "b", *(["1", "a"] * 127))
    assert zset_of(client, b"y").encoding(None) == b"listpack"


def test_limits_are_configured() -> None:
    client = new_client(zset_max_listpack_entries=2, zset_max_listpack_value=3)
    client("ZADD", "z", 1, "a", 1, "b")
    assert zset_of(client, b"z").encoding(None) == b"listpack"
    client("ZADD", "z", 1, "c")
    assert zset_of(client, b"z").encoding(None) == b"skiplist"
    client("ZADD", "y", 1, "long")
    assert zset_of(client, b"y").encoding(None) == b"skiplist"


# Reading


READS = [
    ("ZCARD",),
    ("ZSCORE", "b"),
    ("ZSCORE", "x"),
    ("ZMSCORE", "a", "x", "d"),
    ("ZRANK", "b"),
    ("ZRANK", "x"),
    ("ZREVRANK", "b"),
    ("ZREVRANK", "x"),
    ("ZRANDMEMBER", "0"),
    ("ZRANDMEMBER", "10"),
    ("ZRANDMEMBER", "10", "WITHSCORES"),
    ("ZRANDMEMBER", "x"),
    ("ZRANDMEMBER", "-9223372036854775808"),
    ("ZRANDMEMBER", "-9223372036854775807", "WITHSCORES"),
    ("ZRANDMEMBER", "9223372036854775807", "withscores"),
    ("ZRANDMEMBER", "9223372036854775807", "x"),
    ("ZRANDMEMBER", "1", "WITHSCORES", "x"),
    ("ZSCAN", "0"),
    ("ZSCAN", "7"),
    ("ZSCAN", "x"),
    ("ZSCAN", "0", "MATCH", "[ab]"),
    ("ZSCAN", "0", "COUNT", "1", "MATCH", "c*"),
    ("ZSCAN", "0", "COUNT", "0"),
    ("ZSCAN", "0", "COUNT"),
    ("ZSCAN", "0", "TYPE", "zset"),
]


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("read", READS, ids=" ".join)
def test_reads(twin: Twin, read: tuple[str, ...], protocol: int) -> None:
    twin("ZADD", "z", *A_TO_D)
    twin("SET", "text", "x")
    speak(twin, protocol)
    for key in ("z", "missing", "text"):
        twin(read[0], key, *read[1:])


def speak(twin: Twin, protocol: int) -> None:
    """Switch both servers to a version of the protocol."""
    if protocol == 3:
        twin.real("HELLO", 3)
        twin.ours.session.resp3 = True


def test_rank_with_score(client: EngineClient) -> None:
    client("ZADD", "z", *A_TO_D)
    assert client("ZRANK", "z", "b", "WITHSCORE") == [1, b"2"]
    assert client("ZREVRANK", "z", "b", "withscore") == [2, b"2"]
    assert client("ZRANK", "z", "x", "WITHSCORE") == NullArray()
    assert client("ZREVRANK", "missing", "x", "WITHSCORE") == NullArray()
    assert client("ZRANK", "z", "b", "WITHSCORES") == ReplyError(b"ERR syntax error")
    assert client("ZRANK", "z", "b", "WITHSCORE", "x") == ReplyError(
        b"ERR wrong number of arguments for 'zrank' command"
    )
    client.session.resp3 = True
    assert client("ZRANK", "z", "b", "WITHSCORE") == [1, ("double", b"2")]
    assert client("ZRANK", "z", "x", "WITHSCORE") is None


@pytest.mark.parametrize("size", [3, 400])
def test_random_members(client: EngineClient, size: int) -> None:
    scores = {b"%d" % number: b"%d" % (number * 2) for number in range(size)}
    client("ZADD", "z", *(part for member, score in scores.items() for part in (score, member)))
    assert client("ZRANDMEMBER", "z") in scores
    assert client("ZRANDMEMBER", "missing") is None
    picked = client("ZRANDMEMBER", "z", 2)
    assert len(set(picked)) == 2
    assert scores.keys() >= set(picked)
    repeated = client("ZRANDMEMBER", "z", -1000)
    assert len(repeated) == 1000
    assert scores.keys() >= set(repeated)
    flat = client("ZRANDMEMBER", "z", -5, "WITHSCORES")
    assert [scores[member] for member in flat[::2]] == flat[1::2]
    client.session.resp3 = True
    for member, score in client("ZRANDMEMBER", "z", 2, "WITHSCORES"):
        assert score == ("double", scores[member])


def test_scanning_a_large_set(client: EngineClient) -> None:
    members = {b"m%d" % number for number in range(300)}
    client("ZADD", "z", *(part for member in members for part in ("0.1", member)))
    found: set[bytes] = set()
    cursor = b"0"
    while True:
        cursor, page = client("ZSCAN", "z", cursor, "COUNT", 50)
        assert len(page) <= 100
        found.update(page[::2])
        # A large set is scanned with 17 digits, a small one with the shortest text.
        assert set(page[1::2]) == {b"0.10000000000000001"}
        if cursor == b"0":
            break
    assert found == members
    client("ZADD", "small", "0.1", "a")
    assert client("ZSCAN", "small", 0) == [b"0", [b"a", b"0.1"]]


# Removing


def test_zrem(twin: Twin) -> None:
    twin("ZADD", "z", *A_TO_D)
    twin("SET", "text", "x")
    twin("ZREM", "z", "a", "x", "a", "b")
    twin("ZRANGE", "z", 0, -1)
    twin("ZREM", "missing", "a")
    twin("ZREM", "text", "a")
    twin("ZREM", "z", "c", "d", "e")
    twin("EXISTS", "z")


# Effects


def events(client: EngineClient, *request: Any) -> list[bytes]:
    """The key events of a command, in order."""
    listener = client.another()
    listener.engine.pubsub.psubscribe(listener.session, b"__keyevent@0__:*")
    listener.replies()
    client(*request)
    found = [push[2].partition(b":")[2] for push in listener.replies()]
    client.engine.disconnect(listener.session)
    return found


def test_events() -> None:
    client = new_client(notify_keyspace_events="KEA")
    assert events(client, "ZADD", "z", *A_TO_D) == [b"zadd"]
    assert events(client, "ZADD", "z", "1", "a") == []
    assert events(client, "ZADD", "z", "INCR", "1", "a") == [b"zincr"]
    assert events(client, "ZINCRBY", "z", "1", "a") == [b"zincr"]
    assert events(client, "ZREM", "z", "a", "b") == [b"zrem"]
    assert events(client, "ZREM", "z", "a") == []
    assert events(client, "ZREM", "z", "c", "d") == [b"zrem", b"del"]


def test_what_changes_nothing_is_not_propagated(client: EngineClient) -> None:
    client("ZADD", "z", *A_TO_D)
    seen = follow(client)
    client("ZADD", "z", "XX", "1", "a")
    client("ZADD", "z", "XX", "1", "x")
    client("ZINCRBY", "z", "0", "a")
    client("ZREM", "z", "x")
    assert seen == []
    client("ZINCRBY", "z", "1.5", "a")
    client("ZREM", "z", "x", "a")
    assert seen == [(b"ZINCRBY", b"z", b"1.5", b"a"), (b"ZREM", b"z", b"x", b"a")]


def test_more_members_in_a_request_than_a_listpack_holds(client: EngineClient) -> None:
    client("CONFIG", "SET", "zset-max-listpack-entries", "3")
    client("ZADD", "z", 1, "a", 1, "b")
    client("ZADD", "z", "XX", 1, "a", 1, "a", 1, "a", 1, "a")
    assert client("OBJECT", "ENCODING", "z") == b"skiplist"
    client("ZADD", "none", 1, "a")
    client("CONFIG", "SET", "zset-max-listpack-entries", "0")
    assert client("OBJECT", "ENCODING", "none") == b"listpack"
    client("ZINCRBY", "none", 1, "a")
    assert client("OBJECT", "ENCODING", "none") == b"skiplist"
