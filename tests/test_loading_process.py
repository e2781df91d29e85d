"""Servers that load while they are asked, told to Redis and to ours alike.

Both load slowly: a long file of short strings, with a pause for each. What differs is only that
ours shows nothing of the data before all of them are there.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import info, real, running, until
from tests.support import Node, RealRedis, WireClient

KEYS = 20_000
SLOWLY = ("--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024")
LOADING = b"LOADING Redis is loading the dataset in memory"
COMMANDS = (
    *("PING", "ECHO x", "GET key:1", "SET a 1", "DBSIZE", "SELECT 1", "SELECT 0", "INFO nosuch"),
    *("CONFIG GET maxmemory", "CONFIG SET maxmemory 0", "LASTSAVE x"),
    *("CLIENT SETNAME x", "CLIENT GETNAME", "CLIENT PAUSE 0", "CLIENT KILL ID 999", "AUTH x"),
    *("ROLE", "REPLICAOF NO ONE", "SAVE", "BGSAVE", "BGREWRITEAOF", "FLUSHALL", "WAIT 0 0"),
    *("DEBUG SLEEP 0", "SUBSCRIBE x", "UNSUBSCRIBE x", "PUBLISH x y", "WATCH a"),
    *("SLOWLOG LEN", "LATENCY LATEST", "ACL WHOAMI", "SCRIPT FLUSH", "FUNCTION LIST", "NOSUCH"),
    *("OBJECT ENCODING a", "MEMORY USAGE a", "SCAN 0", "EVAL return 0", "FAILOVER", "MONITOR x"),
    *("MULTI", "PING", "EXEC", "MULTI", "ECHO x", "EXEC", "MULTI", "GET a", "EXEC", "DISCARD"),
    *("EVAL return\t1 0", "SWAPDB 0 1", "SHUTDOWN ABORT", "SYNC x", "RESET"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file that takes both servers ten seconds to load."""
    made = tmp_path_factory.mktemp("loading")
    with running(made) as node:
        client = node.client(60)
        assert client("DEBUG", "POPULATE", KEYS) == b"OK"
        assert client("SAVE") == b"OK"
    return made


def loading(client: WireClient) -> dict[str, str]:
    """What INFO says of it, once it has begun."""
    until(lambda: info(client, "loading") == "1" and info(client, "loading_loaded_bytes") != "0")
    text: str = client("INFO", "persistence").decode()
    lines = dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)
    return {name: value for name, value in lines.items() if "load" in name}


def both(folder: Path) -> Iterator[tuple[RealRedis | Node, WireClient]]:
    """One server after the other, while it loads."""
    with real(folder, *SLOWLY) as theirs:
        yield theirs, theirs.client()
    with running(folder, *SLOWLY, wait=False) as ours:
        ours.wait_for("Server initialized")
        until(lambda: is_open(ours.port))
        yield ours, ours.client()


def is_open(port: int) -> bool:
    try:
        WireClient(port).close()
    except OSError:
        return False
    return True


def replies(client: WireClient) -> dict[str, Any]:
    return {f"{at} {text}": client(*text.split(" ")) for at, text in enumerate(COMMANDS)}


def test_replies(folder: Path) -> None:
    told = []
    for _, client in both(folder):
        loading(client)
        told.append(replies(client))
    assert told[0]["0 PING"] == LOADING
    assert told[1] == told[0]


def grows(client: WireClient, name: str) -> bool:
    before = int(info(client, name))
    until(lambda: int(info(client, name)) > before)
    return True


def test_progress(folder: Path) -> None:
    size = (folder / "dump.rdb").stat().st_size
    told = []
    for _, client in both(folder):
        found = loading(client)
        told.append(found)
        assert found["loading_total_bytes"] == str(size)
        percent = 100 * int(found["loading_loaded_bytes"]) / size
        assert float(found["loading_loaded_perc"]) == pytest.approx(percent, abs=0.01)
        assert grows(client, "loading_loaded_bytes")
        assert grows(client, "rdb_last_load_keys_loaded")
    assert told[1].keys() == told[0].keys()
    assert told[1]["loading_rdb_used_mem"] == told[0]["loading_rdb_used_mem"]


@pytest.mark.parametrize("ending", ["SHUTDOWN", "SHUTDOWN NOSAVE", "SHUTDOWN SAVE", "TERM", "INT"])
def test_ending(folder: Path, ending: str) -> None:
    """Whatever it is told, a server does not write over a file that it has not read."""
    before = (folder / "dump.rdb").read_bytes()
    for server, client in both(folder):
        client("CONFIG", "SET", "save", "3600 1")
        loading(client)
        if ending.startswith("SHUTDOWN"):
            client.send(*ending.split(" "))
        else:
            server.process.send_signal(getattr(signal, f"SIG{ending}"))
        status = server.process.wait(20) if isinstance(server, RealRedis) else server.finish()
        assert status == 0
        if isinstance(server, Node) and not ending.startswith("SHUTDOWN"):
            assert "Received shutdown signal during loading, scheduling shutdown." in server.log
            assert "Ready to accept connections" not in server.log
        assert (folder / "dump.rdb").read_bytes() == before
