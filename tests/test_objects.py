"""OBJECT and its subcommands."""

from __future__ import annotations

import pytest

from tests.support import EngineClient, Twin


@pytest.mark.parametrize(
    "text",
    ["0", "9999", "10000", "-1", "9223372036854775807", "9223372036854775808", "01", "1.5", "",
     "x" * 44, "x" * 45],
)  # fmt: skip
def test_strings(twin: Twin, text: str) -> None:
    twin("SET", "a", text)
    twin("OBJECT", "ENCODING", "a")
    twin("OBJECT", "REFCOUNT", "a")
    twin("APPEND", "a", "1")
    twin("OBJECT", "ENCODING", "a")
    twin("OBJECT", "REFCOUNT", "a")


def test_numbers_that_were_counted(twin: Twin) -> None:
    for start in (1, 9998, 10**18):
        twin("SET", "n", start)
        twin("INCR", "n")
        twin("OBJECT", "ENCODING", "n")
        twin("OBJECT", "REFCOUNT", "n")


def test_errors(twin: Twin) -> None:
    twin("OBJECT")
    for name in ("ENCODING", "REFCOUNT", "IDLETIME", "FREQ"):
        twin("OBJECT", name)
        twin("OBJECT", name, "nothing")
    twin("SET", "a", "text")  # Redis shares small numbers between keys, and so their idle time
    twin("OBJECT", "FREQ", "a")
    twin("OBJECT", "IDLETIME", "a")
    twin("OBJECT", "WHAT", "a")


def test_lfu(client: EngineClient) -> None:
    client.engine.config.set([("maxmemory-policy", "allkeys-lfu")])
    client("SET", "a", "x")
    assert client("OBJECT", "FREQ", "a") == 5
    client("SET", "a", "y")
    assert client("OBJECT", "FREQ", "a") == 6
    for _ in range(100):
        client("GET", "a")
    grown = client("OBJECT", "FREQ", "a")
    assert 6 < grown < 20  # it grows with the logarithm
    client.clock.advance(3 * 60_000)
    assert client("OBJECT", "FREQ", "a") == grown - 3
    assert client("OBJECT", "IDLETIME", "a").startswith(b"ERR An LFU maxmemory policy is selected")


def test_help(client: EngineClient) -> None:
    lines = client("OBJECT", "HELP")
    assert lines[0] == b"OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    assert b"ENCODING <key>" in lines
