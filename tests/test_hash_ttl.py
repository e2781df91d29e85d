"""TTLs of hash fields: the commands.

The reference server is 7.0 and knows none of this. Replies, errors, events and what is
propagated follow the documentation of 7.4 and 8.0 and what Redis' own tests expect of it. Where
those are silent and we were not sure, the test says so.
"""

from __future__ import annotations

from typing import Any

import pytest

from pyredis.commands.hash_ttl import TIME_MAX_MS
from tests.observe import Observer
from tests.support import EngineClient

SETTERS = ("HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT")
GETTERS = ("HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME")
NOW_MS = 1_700_000_000_000

NO_FIELDS = b"ERR Mandatory argument FIELDS is missing or not at the right position"
MISMATCH = b"ERR The `numfields` parameter must match the number of arguments"
NOT_POSITIVE = b"ERR Number of fields must be a positive integer"
NOT_ABOVE_0 = b"ERR Parameter `numFields` should be greater than 0"
NOT_INTEGER = b"ERR value is not an integer or out of range"
NEGATIVE = b"ERR invalid expire time, must be >= 0"
WRONGTYPE = b"WRONGTYPE Operation against a key holding the wrong kind of value"


def do(client: EngineClient, request: str) -> Any:
    return client(*request.split())


# HEXPIRE and its forms


@pytest.mark.parametrize(
    ("request_", "when_ms"),
    [
        ("HEXPIRE h 10 FIELDS 1 a", NOW_MS + 10_000),
        ("HPEXPIRE h 10 fields 1 a", NOW_MS + 10),
        ("HEXPIREAT h 1700000010 FIELDS 1 a", NOW_MS + 10_000),
        ("HPEXPIREAT h 1700000000010 FIELDS 1 a", NOW_MS + 10),
    ],
)
def test_forms_of_a_time(client: EngineClient, request_: str, when_ms: int) -> None:
    do(client, "HSET h a 1 b 2")
    assert do(client, request_) == [1]
    assert do(client, "HPEXPIRETIME h FIELDS 3 a b x") == [when_ms, -1, -2]
    assert do(client, "HPTTL h FIELDS 2 a b") == [when_ms - NOW_MS, -1]
    assert do(client, "HTTL h FIELDS 1 a") == [-(-(when_ms - NOW_MS) // 1000)], "rounded up"
    assert do(client, "HEXPIRETIME h FIELDS 1 a") == [-(-when_ms // 1000)]
    client.clock.advance(when_ms - NOW_MS - 1)
    assert do(client, "HGET h a") == b"1"
    client.clock.advance(1)
    assert do(client, "HTTL h FIELDS 2 a b") == [-2, -1]
    assert do(client, "HGETALL h") == [b"b", b"2"]


def test_a_key_that_is_not_there(client: EngineClient) -> None:
    for name in SETTERS:
        assert do(client, f"{name} h 10 FIELDS 2 a b") == [-2, -2]
    for name in (*GETTERS, "HPERSIST"):
        assert do(client, f"{name} h FIELDS 2 a b") == [-2, -2]
    for name in ("HGETEX", "HGETDEL"):
        assert do(client, f"{name} h FIELDS 2 a b") == [None, None]
    assert client("EXISTS", "h") == 0


@pytest.mark.parametrize(
    ("condition", "volatile", "persistent"),
    [
        ("", "1 1 1", 1),
        ("NX", "0 0 0", 1),
        ("xx", "1 1 1", 0),
        ("GT", "0 0 1", 0),
        ("LT", "1 0 0", 1),
    ],
)
def test_conditions(client: EngineClient, condition: str, volatile: str, persistent: int) -> None:
    """A field without TTL counts as one with an infinite TTL."""
    do(client, "HSET h a 1 b 2")
    replies = []
    for seconds in (99, 100, 101):
        do(client, "HEXPIRE h 100 FIELDS 1 a")
        replies += client("HEXPIRE", "h", seconds, *condition.split(), "FIELDS", 1, "a")
    assert replies == list(map(int, volatile.split()))
    assert client("HEXPIRE", "h", 5, *condition.split(), "FIELDS", 1, "b") == [persistent]


def test_a_time_that_has_come_deletes(client: EngineClient) -> None:
    do(client, "HSET h a 1 b 2 c 3")
    assert do(client, "HEXPIRE h 0 FIELDS 3 a a x") == [2, -2, -2]
    assert do(client, "HPEXPIREAT h 1 FIELDS 1 b") == [2]
    assert do(client, "HGETALL h") == [b"c", b"3"]
    do(client, "HEXPIRE h 100 FIELDS 1 c")
    assert do(client, "HPEXPIREAT h 1 GT FIELDS 1 c") == [0]
    assert do(client, "HEXPIREAT h 1 LT FIELDS 1 c") == [2]
    assert client("EXISTS", "h") == 0


@pytest.mark.parametrize("name", SETTERS)
def test_errors_of_setters(client: EngineClient, name: str) -> None:
    do(client, "HSET h a 1")
    do(client, "SET s 1")
    arity = f"ERR wrong number of arguments for '{name.lower()}' command".encode()
    invalid = f"ERR invalid expire time in '{name.lower()}' command".encode()
    for args, error in {
        "h 1 FIELDS 1": arity,
        "h 1 WHAT 1 a": NO_FIELDS,
        "h 1 NX WHAT 1 a": NO_FIELDS,
        "h 1 NX XX FIELDS 1 a": NO_FIELDS,
        "h 1 1 a FIELDS": NO_FIELDS,
        "h 1 FIELDS 0 a": NOT_ABOVE_0,
        "h 1 FIELDS -1 a": NOT_ABOVE_0,
        "h 1 FIELDS x a": NOT_ABOVE_0,
        "h 1 FIELDS 2 a": MISMATCH,
        "h 1 FIELDS 1 a b": MISMATCH,
        "h 1 NX FIELDS 1": MISMATCH,
        "h x FIELDS 1 a": NOT_INTEGER,
        f"h {2**63} FIELDS 1 a": NOT_INTEGER,
        "h -1 FIELDS 1 a": NEGATIVE,
        f"h {-(2**63)} FIELDS 1 a": NEGATIVE,
        f"h {2**46} FIELDS 1 a": invalid,
        f"h {2**63 - 1} FIELDS 1 a": invalid,
        "s x FIELDS 1 a": WRONGTYPE,
    }.items():
        assert do(client, f"{name} {args}") == error, args
    assert do(client, "HTTL h FIELDS 1 a") == [-1]


def test_the_end_of_time(client: EngineClient) -> None:
    do(client, "HSET h a 1")
    left_ms = TIME_MAX_MS - NOW_MS
    assert do(client, f"HPEXPIRE h {left_ms} FIELDS 1 a") == [1]
    assert do(client, f"HPEXPIREAT h {TIME_MAX_MS} FIELDS 1 a") == [1]
    assert b"invalid" in do(client, f"HPEXPIRE h {left_ms + 1} FIELDS 1 a")
    assert b"invalid" in do(client, f"HPEXPIREAT h {TIME_MAX_MS + 1} FIELDS 1 a")
    assert do(client, f"HEXPIREAT h {TIME_MAX_MS // 1000} FIELDS 1 a") == [1]
    assert b"invalid" in do(client, f"HEXPIREAT h {TIME_MAX_MS // 1000 + 1} FIELDS 1 a")


# HPERSIST and the commands that ask


def test_persist(client: EngineClient) -> None:
    do(client, "HSET h a 1 b 2")
    do(client, "HEXPIRE h 10 FIELDS 1 a")
    assert do(client, "HPERSIST h FIELDS 3 a b x") == [1, -1, -2]
    assert do(client, "HPERSIST h FIELDS 1 a") == [-1]
    client.clock.advance(10_000)
    assert do(client, "HMGET h a b") == [b"1", b"2"]


@pytest.mark.parametrize("name", [*GETTERS, "HPERSIST", "HGETDEL", "HGETEX"])
def test_errors_of_the_others(client: EngineClient, name: str) -> None:
    do(client, "HSET h a 1")
    do(client, "SET s 1")
    for args, error in {
        "h FIELDS 1": f"ERR wrong number of arguments for '{name.lower()}' command".encode(),
        "h WHAT 1 a": NO_FIELDS,
        "h FIELDS 0 a": NOT_POSITIVE,
        f"h FIELDS {2**63} a": NOT_POSITIVE,
        "h FIELDS 2 a": MISMATCH,
        "h FIELDS 1 a b": MISMATCH,
        "s FIELDS 1 a": WRONGTYPE,
    }.items():
        assert do(client, f"{name} {args}") == error, args


# What other commands do to a TTL


@pytest.mark.parametrize(
    ("request_", "ttl"),
    [
        ("HSET h a 5", -1),
        ("HSET h b 5 a 5", -1),
        ("HMSET h a 5", -1),
        ("HSETNX h a 5", 100),
        ("HINCRBY h a 5", 100),
        ("HINCRBYFLOAT h a 5", 100),
        ("HDEL h a", -2),
        ("HSETEX h FIELDS 1 a 5", -1),
        ("HSETEX h KEEPTTL FIELDS 1 a 5", 100),
        ("HSETEX h EX 7 FIELDS 1 a 5", 7),
        ("HGETEX h FIELDS 1 a", 100),
        ("HGETEX h EX 7 FIELDS 1 a", 7),
        ("HGETEX h PX 6001 FIELDS 1 a", 7),
        ("HGETEX h EXAT 1700000007 FIELDS 1 a", 7),
        ("HGETEX h PXAT 1700000006001 FIELDS 1 a", 7),
        ("HGETEX h PERSIST FIELDS 1 a", -1),
        ("HGETDEL h FIELDS 1 a", -2),
    ],
)
def test_ttl_after(client: EngineClient, request_: str, ttl: int) -> None:
    do(client, "HSET h a 1 b 2")
    do(client, "HEXPIRE h 100 FIELDS 1 a")
    do(client, request_)
    assert do(client, "HTTL h FIELDS 1 a") == [ttl]
    client.engine.ks._check()


@pytest.mark.parametrize(
    ("request_", "there"),
    [("RENAME h k", "k"), ("COPY h k", "h k"), ("MOVE h 1", "1:h"), ("SWAPDB 0 1", "1:h")],
)
def test_ttl_moves_with_the_key(client: EngineClient, request_: str, there: str) -> None:
    do(client, "HSET h a 1 b 2")
    do(client, "HEXPIRE h 100 FIELDS 1 a")
    do(client, request_)
    client.engine.ks._check()
    for place in there.split():
        db, _, key = place.rpartition(":")
        client("SELECT", db or 0)
        assert client("HTTL", key, "FIELDS", 2, "a", "b") == [100, -1]
        assert client("OBJECT", "ENCODING", key) == b"listpackex"
    client.tick(100_000)
    client.engine.cron()
    assert client("HKEYS", key) == [b"b"]
    assert client("HLEN", key) == 1


def test_encodings(client: EngineClient) -> None:
    """A small hash stays listpackex when its last TTL goes."""
    do(client, "HSET h a 1 b 2")
    assert do(client, "OBJECT ENCODING h") == b"listpack"
    do(client, "HEXPIRE h 100 FIELDS 1 a")
    assert do(client, "OBJECT ENCODING h") == b"listpackex"
    do(client, "HPERSIST h FIELDS 1 a")
    assert do(client, "OBJECT ENCODING h") == b"listpackex"
    client("HSET", "h", "c", "x" * 65)
    assert do(client, "OBJECT ENCODING h") == b"hashtable"


# HGETEX, HGETDEL


def test_hgetex(client: EngineClient) -> None:
    do(client, "HSET h a 1 b 2 c 3")
    assert do(client, "HGETEX h FIELDS 2 a x") == [b"1", None]
    assert do(client, "HGETEX h EX 10 FIELDS 2 a x") == [b"1", None]
    assert do(client, "HTTL h FIELDS 2 a b") == [10, -1]
    assert do(client, "HGETEX h PX 0 FIELDS 2 a b") == [b"1", b"2"], "still replied"
    assert do(client, "HGETALL h") == [b"c", b"3"]
    assert do(client, "HGETEX h EXAT 1 FIELDS 2 c c") == [b"3", None]
    assert client("EXISTS", "h") == 0


def test_errors_of_hgetex(client: EngineClient) -> None:
    """Only at its place an option is one."""
    do(client, "HSET h a 1")
    for args, error in {
        "PXAT 1 1": NO_FIELDS,
        "PERSIST 1 FIELDS 1 a": NO_FIELDS,
        "FIELDS 1 a EX 10": MISMATCH,
        "EX 1 PX 1 FIELDS 1 a": NO_FIELDS,
        "EX x FIELDS 1 a": NOT_INTEGER,
        "PX -1 FIELDS 1 a": NEGATIVE,
        f"PXAT {2**46} FIELDS 1 a": b"ERR invalid expire time in 'hgetex' command",
    }.items():
        assert do(client, f"HGETEX h {args}") == error, args


def test_hgetdel(client: EngineClient) -> None:
    do(client, "HSET h a 1 b 2")
    assert do(client, "HGETDEL h FIELDS 3 a x a") == [b"1", None, None]
    assert do(client, "HGETDEL h FIELDS 1 b") == [b"2"]
    assert client("EXISTS", "h") == 0


# HSETEX


def test_hsetex(client: EngineClient) -> None:
    assert do(client, "HSETEX h EX 10 FIELDS 2 a 1 b 2") == 1
    assert do(client, "HTTL h FIELDS 2 a b") == [10, 10]
    assert do(client, "HSETEX h FNX FIELDS 2 b 5 c 5") == 0
    assert do(client, "HSETEX h FXX FIELDS 2 b 5 c 5") == 0
    assert do(client, "HSETEX h PX 500 fxx FIELDS 2 a 3 b 4") == 1
    assert do(client, "HSETEX h FNX EXAT 1700000020 FIELDS 1 c 5") == 1
    assert do(client, "HPTTL h FIELDS 3 a b c") == [500, 500, 20_000]
    assert do(client, "HMGET h a b c") == [b"3", b"4", b"5"]
    client.clock.advance(500)
    assert do(client, "HSETEX h FNX KEEPTTL FIELDS 1 a 6") == 1, "it was gone"
    assert do(client, "HTTL h FIELDS 2 a b") == [-1, -2]
    assert do(client, "HSETEX nothing FXX FIELDS 1 a 1") == 0
    assert client("EXISTS", "nothing") == 0


def test_hsetex_with_a_time_that_has_come(client: EngineClient) -> None:
    assert do(client, "HSETEX h PX 0 FIELDS 2 a 1 b 2") == 1
    assert client("EXISTS", "h") == 0
    do(client, "HSET h a 1 b 2")
    assert do(client, "HSETEX h EXAT 1 FIELDS 2 a 1 a 2") == 1
    assert do(client, "HGETALL h") == [b"b", b"2"]


def test_a_hash_of_fields_past_their_time(client: EngineClient) -> None:
    """A failed condition leaves no empty hash behind."""
    do(client, "HSETEX h PX 10 FIELDS 1 a 1")
    client.clock.advance(10)
    assert do(client, "HSETEX h FXX FIELDS 1 a 2") == 0
    assert client("EXISTS", "h") == 0


def test_errors_of_hsetex(client: EngineClient) -> None:
    do(client, "SET s 1")
    arity = b"ERR wrong number of arguments for 'hsetex' command"
    one_condition = b"ERR Only one of FXX or FNX arguments can be specified"
    one_time = b"ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
    number = b"ERR invalid number of fields"
    for args, error in {
        "h FIELDS 1 a": arity,
        "h FIELDS 2 a 1 b": arity,
        "h FIELDS 1 a 1 EX 10": arity,
        "h NX FIELDS 1 a 1": b"ERR unknown argument: NX",
        "h 1 FIELDS 1 a 1": b"ERR unknown argument: 1",
        "h FNX FNX FIELDS 1 a 1": one_condition,
        "h FNX FXX FIELDS 1 a 1": one_condition,
        "h EX 1 PX 1 FIELDS 1 a 1": one_time,
        "h EX 1 EX 1 FIELDS 1 a 1": one_time,
        "h KEEPTTL KEEPTTL FIELDS 1 a 1": one_time,
        "h EX FIELDS 1 a 1": NOT_INTEGER,
        "h EX -1 1 a 1": NEGATIVE,
        f"h PXAT {2**46} 1 a 1": b"ERR invalid expire time in 'hsetex' command",
        "h FNX KEEPTTL FNX PX": one_condition,
        "h FNX KEEPTTL FIELDS FIELDS": arity,
        "h FIELDS x a 1": number,
        "h FIELDS 0 a 1": number,
        f"h FIELDS {2**63} a 1": number,
        "s FIELDS 1 a 1": WRONGTYPE,
        "s FIELDS 0 a 1": number,
    }.items():
        assert do(client, f"HSETEX {args}") == error, args
    assert client("EXISTS", "h") == 0


# What others learn


def test_what_others_learn(client: EngineClient) -> None:
    tell = Observer(client).after
    do(client, "HSET h a 1 b 2 c 3 d 4")
    at = f"0:HPEXPIREAT h {NOW_MS + 5000}"
    for request, events, commands in (
        ("HEXPIRE h 5 FIELDS 2 a b", "hexpire", [f"{at} FIELDS 2 a b"]),
        ("HPEXPIRE h 5000 NX FIELDS 3 a c x", "hexpire", [f"{at} NX FIELDS 1 c"]),
        ("HEXPIRE h 5 NX FIELDS 1 a", "", []),
        ("HPERSIST h FIELDS 2 a d", "hpersist", ["0:HPERSIST h FIELDS 2 a d"]),
        ("HPERSIST h FIELDS 1 a", "", []),
        ("HTTL h FIELDS 1 b", "", []),
        ("HGETEX h FIELDS 1 b", "", []),
        ("HGETEX h EX 5 FIELDS 2 a x", "hexpire", [f"{at} FIELDS 1 a"]),
        ("HGETEX h PERSIST FIELDS 2 a d", "hpersist", ["0:HPERSIST h FIELDS 1 a"]),
        ("HGETEX h PERSIST FIELDS 1 a", "", []),
        ("HINCRBYFLOAT h a 1", "hincrbyfloat", ["0:HSET h a 2"]),
        ("HINCRBYFLOAT h b 1", "hincrbyfloat", ["0:HSETEX h KEEPTTL FIELDS 1 b 3"]),
        ("HEXPIREAT h 1 FIELDS 1 a", "hdel", ["0:HDEL h a"]),
        ("HGETEX h PX 0 FIELDS 1 b", "hdel", ["0:HDEL h b"]),
        ("HGETDEL h FIELDS 2 c x", "hdel", ["0:HDEL h c x"]),
        ("HGETDEL h FIELDS 1 x", "", []),
        ("HPEXPIRE h 0 FIELDS 1 d", "hdel del", ["0:HDEL h d"]),
        ("HSETEX h FIELDS 1 a 1", "new hset", ["0:HSETEX h FIELDS 1 a 1"]),
        ("HSETEX h FXX FIELDS 1 b 1", "", []),
        (
            "HSETEX h FNX EX 5 FIELDS 1 b 1",
            "hset hexpire",
            [f"0:HSETEX h FNX PXAT {NOW_MS + 5000} FIELDS 1 b 1"],
        ),
        ("HSETEX h KEEPTTL FIELDS 1 b 2", "hset", ["0:HSETEX h KEEPTTL FIELDS 1 b 2"]),
        (
            "HSETEX h PX 0 FIELDS 2 a 1 b 2",
            "hset hdel del",
            ["0:MULTI", "0:HDEL h a", "0:HDEL h b", "0:EXEC"],
        ),
    ):
        told = [f"0:h {event}" for event in events.split()]
        assert tell(*request.split()) == (told, commands), request


def test_what_counts_as_a_change(client: EngineClient) -> None:
    """How much, is told to nobody but `save` and INFO; that it counts, to the AOF too."""
    do(client, "HSET h a 1 b 2")
    for request, dirty in (
        ("HEXPIRE h 5 FIELDS 3 a b x", 2),
        ("HEXPIRE h 5 NX FIELDS 1 a", 0),
        ("HPERSIST h FIELDS 2 a x", 1),
        ("HTTL h FIELDS 1 a", 0),
        ("HGETEX h FIELDS 1 a", 0),
        ("HGETEX h EX 5 FIELDS 1 a", 1),
        ("HGETDEL h FIELDS 2 a x", 1),
        ("HEXPIRE h 0 FIELDS 1 b", 1),
    ):
        before = client.engine.ks.dirty
        do(client, request)
        assert client.engine.ks.dirty - before == dirty, request


def test_a_hash_that_is_asked_for_a_ttl_is_ready_for_one(client: EngineClient) -> None:
    for command in ("HEXPIRE h 100 FIELDS 1 no", "HGETEX h EX 100 FIELDS 1 no"):
        client("DEL", "h")
        client("HSET", "h", "a", "1")
        client("HGETEX", "h", "PERSIST", "FIELDS", 1, "a")
        assert client("OBJECT", "ENCODING", "h") == b"listpack"
        client(*command.split())
        assert client("OBJECT", "ENCODING", "h") == b"listpackex"


def test_hsetex_counts_each_field_once(client: EngineClient) -> None:
    dirty = client.engine.ks.dirty
    client("HSETEX", "h", "EX", 100, "FIELDS", 2, "a", 1, "a", 2)
    assert client.engine.ks.dirty == dirty + 2
    client("HSETEX", "h", "EXAT", 1, "FIELDS", 1, "a", 1)
    assert (client.engine.ks.dirty, client("EXISTS", "h")) == (dirty + 3, 0)


def test_hsetex_looks_at_the_number_of_fields_when_there_is_one(client: EngineClient) -> None:
    arity, number = (
        b"ERR wrong number of arguments for 'hsetex' command",
        b"ERR invalid number of fields",
    )
    for words, error in (
        ("EX 1 FIELDS a", arity), ("EX 1 FIELDS a b", arity), ("EX 1 FIELDS a b c", number),
        ("FIELDS 2147483648 a b", number), ("FIELDS 2147483647 a b", arity),
    ):  # fmt: skip
        assert client("HSETEX", "h", *words.split()) == error, words
