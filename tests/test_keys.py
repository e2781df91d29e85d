"""Generic commands on keys, against a real server where both can be asked the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyredis.commands.keys import duplicate
from pyredis.types.hashes import Hash
from pyredis.types.lists import List
from pyredis.types.sets import Set
from pyredis.types.zset import ZSet
from tests.observe import Observer
from tests.support import EngineClient, Twin, new_client


def test_existence(twin: Twin) -> None:
    twin("MSET", "a", 1, "b", 2)
    twin("RPUSH", "l", "x")
    for name in ("EXISTS", "TOUCH", "DEL", "UNLINK"):
        twin(name)
        twin(name, "nothing")
    twin("EXISTS", "a", "a", "b", "c")
    twin("TOUCH", "a", "a", "b", "c")
    for key in ("a", "l", "c"):
        twin("TYPE", key)
    twin("DEL", "a", "a", "c")
    twin("UNLINK", "b", "l", "c")
    twin("DBSIZE")


def test_keys(twin: Twin) -> None:
    for key in ("", "hello", "hallo", "h*llo", "hxlo", "a\x00b"):
        twin("SET", key, 1)
    for pattern in ("*", "h*", "h?llo", "h\\*llo", "h[ae]llo", "[", "", "**", "nothing"):
        twin.unordered("KEYS", pattern)
    twin("KEYS")


@pytest.mark.parametrize(
    "cursor", ["0", "+0", "-0", "7x", "1 ", "18446744073709551615", "18446744073709551616"]
)
def test_scan_cursor(twin: Twin, cursor: str) -> None:
    twin("SCAN", cursor)  # of an empty database: any cursor is at its end


@pytest.mark.parametrize(
    "options",
    [
        ("MATCH", "k*"), ("COUNT", "100"), ("TYPE", "string"), ("TYPE", "LIST"), ("TYPE", "bogus"),
        ("COUNT", "0"), ("COUNT", "x"), ("COUNT",), ("WRONG", "1"), ("match", "k1", "type", "hash"),
        ("COUNT", "1000", "MATCH", "*", "TYPE", "string"), ("COUNT", "9223372036854775807"),
    ],
)  # fmt: skip
def test_scan_options(twin: Twin, options: tuple[str, ...]) -> None:
    twin("MSET", "k1", 1, "k2", 2, "x", 3)
    twin("RPUSH", "list", 1)
    expected, got = twin.real("SCAN", 0, *options), twin.ours("SCAN", 0, *options)
    if isinstance(expected, list):
        expected[1].sort()
        got[1].sort()
    assert got == expected


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_scan_returns_every_key_that_stays(data: st.DataObject) -> None:
    client = new_client()
    stay = {b"stay%d" % n for n in range(data.draw(st.integers(0, 60)))}
    for key in stay:
        client("SET", key, 1)
    seen: set[bytes] = set()
    cursor, step = b"0", 0
    while True:
        cursor, page = client("SCAN", cursor, "COUNT", data.draw(st.integers(1, 20)))
        seen.update(page)
        if cursor == b"0":
            break
        for _ in range(data.draw(st.integers(0, 4))):
            step += 1
            client("SET", f"comes{step}", 1)
            client("DEL", f"comes{data.draw(st.integers(1, step))}")
    assert stay <= seen
    client.engine.ks._check()


def test_scan_deletes_expired_keys(client: EngineClient) -> None:
    client("SET", "short", 1)
    client("PEXPIRE", "short", 10)
    client("SET", "long", 1)
    client.clock.advance(11)
    observer = Observer(client)
    assert client("DBSIZE") == 2
    assert client("KEYS", "*") == [b"long"]
    assert client("SCAN", 0) == [b"0", [b"long"]]
    assert client("DBSIZE") == 1
    assert observer.events() == ["0:short expired"]
    assert observer.propagated() == ["0:DEL short"]


def test_randomkey(client: EngineClient) -> None:
    assert client("RANDOMKEY") is None
    for key in "abc":
        client("SET", key, 1)
    client("PEXPIRE", "a", 1)
    client.clock.advance(1)
    assert {client("RANDOMKEY") for _ in range(50)} == {b"b", b"c"}


def test_randomkey_where_expired_keys_must_stay(client: EngineClient) -> None:
    client("SET", "a", 1)
    client("PEXPIRE", "a", 1)
    client.clock.advance(1)
    client.engine.ks.may_expire = False
    assert client("RANDOMKEY") == b"a"


def test_rename(twin: Twin) -> None:
    twin("RENAME", "nothing", "x")
    twin("RENAMENX", "nothing", "nothing")
    twin("SET", "a", 1)
    twin("EXPIRE", "a", 100)
    twin("RENAME", "a", "a")
    twin("RENAMENX", "a", "a")
    twin("SET", "b", 2)
    twin("RENAMENX", "a", "b")
    twin("RENAME", "a", "b")
    twin("GET", "b")
    twin("TTL", "b")
    twin("RENAMENX", "b", "c")
    twin("TTL", "c")
    twin("SET", "plain", 1)
    twin("RENAME", "plain", "c")
    twin("TTL", "c")
    twin.unordered("KEYS", "*")


def test_copy(twin: Twin) -> None:
    twin("COPY", "nothing", "x")
    twin("SET", "a", 1)
    twin("EXPIRE", "a", 100)
    twin("COPY", "a", "b")
    twin("COPY", "a", "b")
    twin("TTL", "b")
    twin("SET", "c", 3)
    twin("COPY", "c", "b", "REPLACE")
    twin("TTL", "b")
    twin("COPY", "a", "a")
    twin("COPY", "a", "a", "DB", 1)
    twin("COPY", "a", "a", "DB", 1)
    twin("COPY", "a", "a", "db", 1, "replace")
    for options in (("DB",), ("DB", "x"), ("DB", 16), ("DB", -1), ("DB", 1 << 40), ("WHAT",)):
        twin("COPY", "a", "z", *options)


def test_copies_share_nothing() -> None:
    values: list[Any] = [
        bytearray(b"raw"),
        List.of([b"a", b"b"], -2),
        _filled(Set(), "members", {b"a": None}),
        _filled(Hash(), "fields", {b"a": b"1"}),
        ZSet.of([(b"a", 1.0)], 128, 64),
    ]
    for value in values:
        twin = duplicate(value)
        assert twin is not value
        assert type(twin) is type(value)
        assert len(twin) == len(value)
        for name in ("items", "members", "fields", "scores", "order"):
            if hasattr(value, name):
                assert getattr(twin, name) == getattr(value, name)
                assert getattr(twin, name) is not getattr(value, name)


def _filled(value: Any, name: str, content: object) -> Any:
    setattr(value, name, content)
    return value


def test_move(twin: Twin) -> None:
    twin("MOVE", "nothing", 1)
    twin("SET", "a", 1)
    twin("EXPIRE", "a", 100)
    for db in (0, 16, -1, "x", 1 << 40):
        twin("MOVE", "a", db)
    twin("MOVE", "a", 1)
    twin("EXISTS", "a")
    twin("SET", "a", 2)
    twin("MOVE", "a", 1)


@pytest.mark.parametrize(
    ("args", "events", "commands"),
    [
        (("DEL", "a", "x", "b"), ["0:a del", "0:b del"], ["0:DEL a x b"]),
        (("UNLINK", "a"), ["0:a del"], ["0:UNLINK a"]),
        (("DEL", "x"), [], []),
        (("EXISTS", "x", "a"), ["0:x keymiss"], []),
        (("OBJECT", "ENCODING", "x"), [], []),
        (("RENAME", "a", "z"), ["0:z new", "0:a rename_from", "0:z rename_to"], ["0:RENAME a z"]),
        (("RENAME", "a", "a"), [], []),
        (("RENAMENX", "a", "b"), [], []),
        (("COPY", "a", "z", "DB", "2"), ["2:z new", "2:z copy_to"], ["0:COPY a z DB 2"]),
        (("MOVE", "a", "1"), ["1:a new", "0:a move_from", "1:a move_to"], ["0:MOVE a 1"]),
    ],
)
def test_what_others_learn(
    client: EngineClient, args: tuple[str, ...], events: list[str], commands: list[str]
) -> None:
    client("SET", "a", 1)
    client("SET", "b", 1)
    assert Observer(client).after(*args) == (events, commands)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ("SCAN 0", ["0:DEL a", "0:DEL b"]),
        ("SCAN 0 TYPE string", ["0:DEL a", "0:DEL b"]),
        ("RANDOMKEY", ["0:DEL a", "0:DEL b"]),
        ("EXISTS a b", ["0:MULTI", "0:DEL a", "0:DEL b", "0:EXEC"]),
        ("EVAL return{redis.call('scan',0)} 0", ["0:MULTI", "0:DEL a", "0:DEL b", "0:EXEC"]),
    ],
)
def test_keys_that_were_only_come_across_expire_one_by_one(
    client: EngineClient, request_: str, told: list[str]
) -> None:
    client("SET", "a", 1, "PX", 1)
    client("SET", "b", 1, "PX", 1)
    client.clock.advance(2)
    assert sorted(Observer(client).after(*request_.split())[1]) == sorted(told)
    assert Observer(client).after("MSET", "c", 1)[1] == ["0:MSET c 1"]


def test_what_counts_as_hit_and_as_use(client: EngineClient) -> None:
    ks = client.engine.ks
    client("SET", "a", 1)
    client.clock.advance(9000)
    for name in ("EXISTS", "TYPE", "TTL"):
        client(name, "a")
        client(name, "x")
    client("OBJECT", "IDLETIME", "x")
    assert client("OBJECT", "IDLETIME", "a") == 9
    assert (ks.hits, ks.misses) == (4, 4)
    client("TOUCH", "a")
    assert client("OBJECT", "IDLETIME", "a") == 0
    client("DEL", "x")
    assert (ks.hits, ks.misses) == (6, 4)


def test_rename_carries_the_use_counter(client: EngineClient) -> None:
    client.engine.config.set([("maxmemory-policy", "allkeys-lfu")])
    client("SET", "a", 1)
    client.engine.ks.dbs[0].set_frequency(b"a", 200)
    client("RENAME", "a", "b")
    assert client("OBJECT", "FREQ", "b") >= 200
    client("COPY", "b", "c")
    assert client("OBJECT", "FREQ", "c") == 5
