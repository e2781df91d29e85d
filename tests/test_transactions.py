"""MULTI, EXEC, WATCH: errors, conditions, and one unit of effects for all of it."""

from __future__ import annotations

import pytest

from tests.support import EngineClient, Listener, NullArray, Twin

TRANSCRIPTS = {
    "empty": "MULTI / EXEC",
    "queue": "MULTI / SET a 1 / INCR a / GET a / EXEC / GET a",
    "discard": "MULTI / SET a 1 / DISCARD / GET a / DISCARD",
    "nothing open": "EXEC / DISCARD / UNWATCH",
    "arity": "MULTI x / EXEC x / DISCARD x / WATCH / UNWATCH x",
    "nested": "MULTI / MULTI / SET a 1 / EXEC",
    "watch inside": "MULTI / WATCH a / UNWATCH / EXEC",
    "unknown command": "MULTI / SET a 1 / NOSUCH a b / SET a 2 / EXEC / GET a / EXEC",
    "bad arity": "MULTI / GET / EXEC",
    "bad subcommand": "MULTI / CLIENT FOO / EXEC",
    "exec's own arity": "MULTI / EXEC x / EXEC",
    "errors inside": "SET a x / MULTI / INCR a / LPUSH a 1 / GET a / EXEC",
    "select": "MULTI / SET a 0 / SELECT 9 / SET a 9 / EXEC / GET a / SELECT 0 / GET a",
    "reset": "MULTI / SET a 1 / RESET / EXEC / GET a",
    "monitor": "MULTI / MONITOR / PING / EXEC / GET a",
    "auth": "MULTI / AUTH x / AUTH default y / EXEC",
    "watch unchanged": "WATCH a b / SET c 1 / MULTI / GET a / EXEC",
    "watch self": "WATCH a / SET a 1 / MULTI / GET a / EXEC / GET a",
    "unwatch": "WATCH a / SET a 1 / UNWATCH / MULTI / GET a / EXEC",
    "exec unwatches": "WATCH a / MULTI / EXEC / SET a 1 / MULTI / EXEC",
    "discard unwatches": "WATCH a / MULTI / DISCARD / SET a 1 / MULTI / PING / EXEC",
    "own writes inside": "WATCH a / MULTI / SET a 1 / SET a 2 / EXEC",
    "spoiled and wrong": "WATCH a / SET a 1 / MULTI / NOSUCH / EXEC",
    "watch when spoiled": "WATCH a / SET a 1 / WATCH b / MULTI / EXEC / MULTI / EXEC",
    "watch twice": "WATCH a a / WATCH a / UNWATCH / MULTI / EXEC",
    "incr": "SET a 1 / WATCH a / INCR a / MULTI / EXEC",
    "failing write": "SET a x / WATCH a / INCR a / MULTI / PING / EXEC",
    "resp3": "HELLO 3 / WATCH a / SET a 1 / MULTI / EXEC",
    "nulls": "MULTI / GET nokey / EXEC",
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_transcript(twin: Twin, name: str) -> None:
    for line in TRANSCRIPTS[name].split(" / "):
        if line.startswith("HELLO"):
            twin.real(*line.split())
            twin.ours(*line.split())  # not compared: they name different versions
        else:
            twin(*line.split(" "))


def test_quit_inside_multi(client: EngineClient) -> None:
    client("MULTI")
    assert client("QUIT") == b"OK"
    assert client.session.closing


def test_another_client_spoils_the_watch(twin: Twin) -> None:
    other = twin.another()
    twin("SET", "a", "1")
    twin("WATCH", "a")
    other("SET", "a", "1")
    twin("MULTI")
    assert twin("EXEC") == NullArray()


def test_watch_is_of_one_database(twin: Twin) -> None:
    other = twin.another()
    twin("WATCH", "a")
    other("SELECT", 1)
    other("SET", "a", "1")
    twin("MULTI")
    assert twin("EXEC") == []


def test_hello_inside_changes_the_protocol_from_there_on(client: EngineClient) -> None:
    for line in ("MULTI", "GET nokey", "HELLO 3", "GET nokey"):
        client(*line.split())
    wire = client.raw(b"EXEC\r\n")
    assert wire.startswith(b"*3\r\n$-1\r\n%7\r\n")
    assert wire.endswith(b"_\r\n")


def test_replies_are_those_of_their_moment(twin: Twin) -> None:
    twin("SET", "a", "x")
    twin("APPEND", "a", "y")
    twin("MULTI")
    twin("GET", "a")
    twin("APPEND", "a", "z")
    assert twin("EXEC") == [b"xy", 3]


def expiring(client: EngineClient, key: str, after_ms: int) -> None:
    """Give a key a time to live, whether or not the EXPIRE command is there."""
    client("SET", key, "v")
    db = client.session.db
    db.set_expiry(key.encode(), client.engine.now_ms + after_ms)


def test_a_watched_key_that_expires_spoils(client: EngineClient) -> None:
    expiring(client, "a", 100)
    client("WATCH", "a")
    client.clock.advance(100)
    client("MULTI")
    assert client("EXEC") == NullArray()


def test_a_key_expired_when_watched_may_go(client: EngineClient) -> None:
    expiring(client, "a", 100)
    client.clock.advance(100)
    client("WATCH", "a")
    client.another()("GET", "a")
    assert b"a" not in client.session.db.data
    client("MULTI")
    assert client("EXEC") == []


def test_a_key_expired_when_watched_must_not_come_back(client: EngineClient) -> None:
    expiring(client, "a", 100)
    client.clock.advance(100)
    client("WATCH", "a")
    client.another()("SET", "a", "new")
    client("MULTI")
    assert client("EXEC") == NullArray()


def test_flushing_spoils_only_those_who_lose_a_key(client: EngineClient) -> None:
    other = client.another()
    client("SET", "a", "1")
    client("WATCH", "a")
    other("WATCH", "b")
    client.engine.watches.touch_all(client.session.db)
    for each in (client, other):
        each("MULTI")
    assert client("EXEC") == NullArray()
    assert other("EXEC") == []


def test_exec_is_one_unit(client: EngineClient) -> None:
    units: list[list[tuple[int, tuple[bytes, ...]]]] = []
    client.engine.feeds.append(Listener(units.append))
    client.engine.observe()
    for line in ("MULTI", "SET a 1", "GET a", "SELECT 2", "SET b 2", "EXEC"):
        client(*line.split())
    # It comes in two pieces, as what takes it has to select a database between them.
    assert units == [
        [(0, (b"MULTI",)), (0, (b"SET", b"a", b"1"))],
        [(2, (b"SET", b"b", b"2")), (2, (b"EXEC",))],
    ]


def test_one_write_needs_no_wrapping(client: EngineClient) -> None:
    units: list[list[tuple[int, tuple[bytes, ...]]]] = []
    client.engine.feeds.append(Listener(units.append))
    client.engine.observe()
    for line in ("MULTI", "GET a", "SET a 1", "EXEC", "MULTI", "GET a", "EXEC"):
        client(*line.split())
    assert units == [[(0, (b"SET", b"a", b"1"))]]


def test_blocking_commands_do_not_block(twin: Twin) -> None:
    twin("MULTI")
    twin("BLPOP", "nokey", "0")
    twin("SET", "a", "1")
    assert twin("EXEC") == [NullArray(), b"OK"]


def test_waiting_clients_are_served_after_the_whole_unit(twin: Twin) -> None:
    waiting = twin.another()
    waiting.messages(0, "BLPOP", "l", "0")
    twin("MULTI")
    twin("LPUSH", "l", "a")
    twin("LPUSH", "l", "b")
    twin("EXEC")
    assert waiting.messages(1) == [[b"l", b"b"]]
    assert twin("LLEN", "l") == 1


def test_a_spoiled_queue_keeps_nothing(client: EngineClient) -> None:
    client("MULTI")
    client("SET", "a", "x" * 100)
    assert client.session.multi_bytes == 104
    client("NOSUCH")
    client("SET", "b", "x" * 100)
    assert client.session.multi is not None
    assert len(client.session.multi) == 1
    client("DISCARD")
    assert client.session.multi_bytes == 0
    assert not client.session.gates
