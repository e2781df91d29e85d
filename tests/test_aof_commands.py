"""All data as commands: in moderate pieces, and none of them empty."""

from __future__ import annotations

from pyredis.persistence.aof_commands import commands_for, write
from pyredis.persistence.aof_load import AofReader
from tests.support import EngineClient


def requests(client: EngineClient, key: str) -> list[list[bytes]]:
    db = client.engine.ks.dbs[0]
    wire = b"".join(commands_for(key.encode(), db.data[key.encode()]))
    return [item.argv for item in AofReader().feed(wire)]


def test_collections_come_in_batches(client: EngineClient) -> None:
    client("RPUSH", "list", *range(130))
    client("HSET", "hash", *range(130))
    assert [len(argv) for argv in requests(client, "list")] == [66, 66, 4]
    assert [len(argv) for argv in requests(client, "hash")] == [130, 4]


def test_numbers_and_scores_are_spelled_out(client: EngineClient) -> None:
    client("SET", "n", 5)
    client("INCR", "n")
    client("ZADD", "z", 1.5, "a", "inf", "b", 3, "c")
    assert requests(client, "n") == [[b"SET", b"n", b"6"]]
    assert requests(client, "z") == [[b"ZADD", b"z", b"1.5", b"a", b"3", b"c", b"inf", b"b"]]


def test_a_stream_with_its_group(client: EngineClient) -> None:
    client("XADD", "x", "1-1", "f", "v")
    client("XADD", "x", "2-1", "f", "v")
    client("XDEL", "x", "2-1")
    client("XGROUP", "CREATE", "x", "g", 0)
    client("XREADGROUP", "GROUP", "g", "alice", "STREAMS", "x", ">")
    now = b"%d" % client.clock.time_ms
    claim = [b"XCLAIM", b"x", b"g", b"alice", b"0", b"1-1", b"TIME", now, b"RETRYCOUNT", b"1"]
    assert requests(client, "x") == [
        [b"XADD", b"x", b"1-1", b"f", b"v"],
        [b"XSETID", b"x", b"2-1", b"ENTRIESADDED", b"2", b"MAXDELETEDID", b"2-1"],
        [b"XGROUP", b"CREATE", b"x", b"g", b"1-1", b"ENTRIESREAD", b"-1"],
        [*claim, b"JUSTID", b"FORCE"],
    ]


def test_databases_functions_and_expiries(client: EngineClient) -> None:
    client("SET", "a", 1, "PXAT", 4_000_000_000_000)
    client("SELECT", 2)
    client("SET", "b", 1)
    told: list[int] = []
    wire = b"".join(write(client.engine.ks.dbs, [b"#!lua name=x"], 17, told.append))
    assert wire.startswith(b"#TS:17\r\n")
    assert [item.argv for item in AofReader().feed(wire) if item.argv] == [
        [b"FUNCTION", b"LOAD", b"#!lua name=x"],
        [b"SELECT", b"0"],
        [b"SET", b"a", b"1"],
        [b"PEXPIREAT", b"a", b"4000000000000"],
        [b"SELECT", b"2"],
        [b"SET", b"b", b"1"],
    ]
    assert sum(told) == 2
