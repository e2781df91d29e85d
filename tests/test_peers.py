"""Those who talk to a primary: replicas of old, tools, and sessions that say odd things."""

from __future__ import annotations

import pytest

from pyredis.replication.primary import GETACK, PING
from tests.group import Group
from tests.support import Twin
from tests.test_primary import DISK, fill

ANSWERED = (
    *("PING", "GET a", "SET a 1", "REPLCONF listening-port 5", "NONSENSE", "INFO", "MULTI"),
    *("QUIT", "SUBSCRIBE x", "BLPOP x 0", "REPLICAOF no one", "RESET"),
)


def test_a_replica_of_old_says_sync() -> None:
    group = Group()
    primary = group.add("primary", **DISK)
    fill(primary)
    old = primary.connect()
    old.feed(b"SYNC\r\n")
    group.wait(300)
    data = old.raw().lstrip(b"\n")
    size, _, rest = data.partition(b"\r\n")
    assert size[:1] == b"$"
    assert rest.startswith(b"REDIS")
    assert rest[int(size[1:]) :] in (b"", PING)
    primary("SET", "a", "1")
    assert old.raw().endswith(b"$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n")


def test_a_tool_that_wants_the_snapshot_alone() -> None:
    group = Group()
    primary = group.add("primary")
    fill(primary)
    tool = primary.connect()
    assert tool("REPLCONF", "rdb-only", "1") == b"OK"
    tool("REPLCONF", "capa", "eof")
    tool.feed(b"SYNC\r\n")
    group.wait(300)
    head, _, rest = tool.raw().lstrip(b"\n").partition(b"\r\n")
    mark = head[len("$EOF:") :]
    assert rest.endswith(mark)
    primary("SET", "a", "1")
    group.wait(2000)
    assert tool.raw() == b""
    assert tool.closed


def test_psync_with_replies_pending() -> None:
    group = Group()
    primary = group.add("primary")
    found = primary.client.pipeline("PING", "PSYNC ? -1")
    assert found[1] == b"ERR SYNC and PSYNC are invalid with pending output"


def test_a_second_psync_is_ignored() -> None:
    group = Group()
    primary, replica = group.pair()
    wire = group.wire(replica, primary)
    wire.up.append(b"*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\nSYNC\r\n")
    group.settle()
    primary("SET", "a", "1")
    assert replica("GET", "a") == b"1"
    assert primary.info("stats")["sync_full"] == "1"


def test_getack_is_answered_at_once() -> None:
    group = Group()
    primary, replica = group.pair()
    primary("SET", "a", "1")
    wire = group.wire(replica, primary)
    before = wire.sent_up
    primary("WAIT", 1, 0)
    assert wire.sent_up.removeprefix(before).startswith(b"*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK")
    assert wire.sent_down.endswith(GETACK)


def test_a_part_of_the_data_for_tools() -> None:
    group = Group()
    primary = group.add("primary", repl_diskless_sync="no")
    fill(primary)
    primary("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() end)")
    tool = primary.connect()
    assert tool("REPLCONF", "rdb-filter-only", "functions") == b"OK"
    assert tool("SYNC") == b"ERR Filtered replica requires EOF capability"
    tool("REPLCONF", "capa", "eof", "rdb-only", "1")
    replica = group.add("replica")
    tool.feed(b"SYNC\r\n")
    replica.follow(primary)
    group.wait_for_links()
    snapshot = tool.raw()
    assert b"register_function" in snapshot
    assert b"string:1" not in snapshot
    assert replica.digest() == primary.digest()
    assert len(primary.children.jobs) == 2, "neither can have the other's"


def test_replies_and_the_stream_do_not_mix() -> None:
    for words in ANSWERED:
        group = Group()
        primary, replica = group.pair()
        group.refusing.add("primary")
        wire = group.wire(replica, primary)
        sent = wire.sent_down
        wire.up.append(words.encode() + b"\r\n")
        group.settle()
        assert wire not in group.wires, words
        assert wire.sent_down == sent, words
        assert primary("EXISTS", "a") == 0
    for words in ("PSYNC ? -1", "SYNC", "REPLCONF GETACK *", "REPLCONF ACK x", ""):
        group = Group()
        primary, replica = group.pair()
        wire = group.wire(replica, primary)
        wire.up.append(words.encode() + b"\r\n")
        group.settle()
        assert wire in group.wires, words


@pytest.mark.parametrize(
    "words",
    [
        "", "a", "listening-port", "listening-port x", "listening-port 99999999", "capa nonsense",
        "capa", "foo bar", "rdb-only 2", "rdb-only x", "rdb-filter-only data",
        "rdb-filter-only functions", "listening-port 1 foo bar",
    ],
)  # fmt: skip
def test_odd_words(twin: Twin, words: str) -> None:
    twin("REPLCONF", *words.split())


def test_odd_values(twin: Twin) -> None:
    twin("REPLCONF", "ip-address", "x" * 300)
    twin("REPLCONF", "rdb-filter-only", "")
    twin("REPLCONF", "rdb-filter-only", "functions foo")
    twin("REPLCONF", "rdb-filter-only", "'functions")
    twin = twin.another()
    for args in (("x",), ("x", "y"), ("?", "x")):
        twin("PSYNC", *args)
    twin("MULTI")
    twin("PSYNC", "?", "-1")
    twin("EXEC")
