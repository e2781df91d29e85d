"""DIGEST, DELEX, MSETEX, and the conditions of SET that compare (all of 8.4).

The reference server is 7.0 and has none of this. What is expected follows the documentation and
Redis' own tests; where those are silent, the test says so.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.observe import Observer
from tests.support import EngineClient, Status

HELLO = "9555e8555c62dcfd"  # the digest of "hello"
OTHER = "0123456789abcdef"
FORMAT = b"ERR must be exactly 16 hexadecimal characters"
SYNTAX = b"ERR syntax error"
OK = Status(b"OK")


def do(client: EngineClient, request: str) -> Any:
    return client(*request.split())


def test_digest(client: EngineClient) -> None:
    assert client("DIGEST", "s") is None
    client("SET", "s", "Hello world")
    assert client("DIGEST", "s") == b"b6acb9d84a38ff74", "the documentation's example"
    client("SET", "s", "hello")
    assert client("DIGEST", "s") == HELLO.encode()
    client("SET", "s", 41)
    client("INCR", "s")
    number = client("DIGEST", "s")
    client("SET", "s", "4")
    client("APPEND", "s", "2")
    assert client("DIGEST", "s") == number, "whatever it is kept as"
    client("RPUSH", "l", 1)
    assert client("DIGEST", "l").startswith(b"WRONGTYPE")


# Comparing: (condition, whether it holds for "hello", whether without a value)
CONDITIONS = [
    ("IFEQ hello", True, False),
    ("IFEQ other", False, False),
    ("ifne hello", False, True),
    ("IFNE other", True, True),
    (f"IFDEQ {HELLO}", True, False),
    (f"IfDeQ {HELLO.upper()}", True, False),
    (f"IFDEQ {OTHER}", False, False),
    (f"IFDNE {HELLO.upper()}", False, True),
    (f"IFDNE {OTHER}", True, True),
]


@pytest.mark.parametrize(("condition", "holds", "without"), CONDITIONS)
def test_set_if(client: EngineClient, condition: str, holds: bool, without: bool) -> None:
    for options in (condition, f"{condition} EX 10", f"KEEPTTL {condition}"):
        client("SET", "s", "hello")
        assert do(client, f"SET s new {options}") == (OK if holds else None)
        assert client("GET", "s") == (b"new" if holds else b"hello")
        assert client("TTL", "s") == (10 if holds and "EX" in options else -1)
        client("SET", "s", "hello")
        assert do(client, f"SET s new GET {options}") == b"hello"
        assert client("GET", "s") == (b"new" if holds else b"hello")
        client("DEL", "s")
        assert do(client, f"SET s new {options}") == (OK if without else None)
        assert client("EXISTS", "s") == without
        client("DEL", "s")
        assert do(client, f"SET s new {options} GET") is None
        assert client("EXISTS", "s") == without
    client("RPUSH", "l", 1)
    assert do(client, f"SET l new {condition}").startswith(b"WRONGTYPE")


def test_set_compares_counters_by_their_text(client: EngineClient) -> None:
    client("INCRBY", "s", -999)
    assert do(client, "SET s new IFNE -999") is None
    assert do(client, "SET s new IFEQ -999") == OK


def test_errors_of_set_if(client: EngineClient) -> None:
    """That a comparison must not be repeated is our reading of the documentation."""
    client("SET", "s", "hello")
    for options in ("IFEQ", "IFEQ a NX", "XX IFEQ a", "IFEQ a IFNE b", "IFEQ a IFEQ a", "IFEX a"):
        assert do(client, f"SET s new {options}") == SYNTAX
    for digest in ("", HELLO[1:], "0" + HELLO):
        for condition in ("IFDEQ", "IFDNE"):
            assert client("SET", "s", "new", condition, digest) == FORMAT
            assert client("DELEX", "s", condition, digest) == FORMAT
    assert do(client, "SET nothing new IFDEQ 1") is None, "there is nothing to compare"
    assert do(client, "GETEX s IFEQ hello") == SYNTAX


@pytest.mark.parametrize(("condition", "holds", "without"), CONDITIONS)
def test_delex_if(client: EngineClient, condition: str, holds: bool, without: bool) -> None:
    client("SET", "s", "hello")
    assert do(client, f"DELEX s {condition}") == holds
    assert client("EXISTS", "s") == (not holds)
    assert do(client, f"DELEX nothing {condition}") == 0
    client("RPUSH", "l", 1)
    assert do(client, f"DELEX l {condition}") == (
        b"ERR Key should be of string type if conditions are specified"
    )


def test_delex(client: EngineClient) -> None:
    client("RPUSH", "l", 1)
    assert (client("DELEX", "l"), client("DELEX", "l")) == (1, 0)
    client("SET", "s", "hello")
    arity = b"ERR wrong number of arguments for 'delex' command"
    for request in ("DELEX s IFEQ", "DELEX nothing IFEQ", "DELEX s IFEQ hello more"):
        assert do(client, request) == arity
    invalid = b"ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"
    assert do(client, "DELEX s NX hello") == invalid
    assert do(client, "DELEX nothing NX hello") == 0


# MSETEX


def test_msetex(client: EngineClient) -> None:
    assert do(client, "MSETEX 2 a 1 b 2") == 1
    assert do(client, "MSETEX 2 a 3 b 4 EX 10") == 1
    assert do(client, "MSETEX 1 a 5 KEEPTTL") == 1
    assert (client("MGET", "a", "b"), client("TTL", "a")) == ([b"5", b"4"], 10)
    assert do(client, "MSETEX 2 a 6 c 6 NX") == 0
    assert do(client, "MSETEX 2 a 6 c 6 xx PX 1") == 0
    assert client("EXISTS", "c") == 0
    assert do(client, "MSETEX 2 a 6 b 6 PXAT 1700000009999 XX") == 1
    assert (client("PTTL", "a"), client("PTTL", "b")) == (9999, 9999)
    assert do(client, "MSETEX 2 d 7 d 8 NX") == 1
    assert client("GET", "d") == b"8"
    assert do(client, "MSETEX 1 a 1") == 1
    assert client("TTL", "a") == -1


def test_errors_of_msetex(client: EngineClient) -> None:
    pairs = b"ERR wrong number of key-value pairs"
    numkeys = b"ERR invalid numkeys value"
    for args, error in {
        "key1 val1 EX 10": numkeys,
        "0 a 1": numkeys,
        "-1 a 1": numkeys,
        "2147483648 a 1 EX 10": numkeys,
        "2147483647 a 1 EX 10": pairs,
        "2 a 1 b": pairs,
        "1 a 1 what": SYNTAX,
        "1 a 1 NX XX": SYNTAX,
        "1 a 1 EX 10 PX 5000": SYNTAX,
        "1 a 1 KEEPTTL EX 10": SYNTAX,
        "1 a 1 EX": SYNTAX,
        "1 a 1 GET": SYNTAX,
        "1 a 1 IFEQ 1": SYNTAX,
        "1 a 1 EX 0": b"ERR invalid expire time in 'msetex' command",
        "1 a 1 EX x": b"ERR value is not an integer or out of range",
    }.items():
        assert do(client, f"MSETEX {args}") == error, args
    assert client("DBSIZE") == 0
    assert do(client, "COMMAND GETKEYS MSETEX 2 a 1 b 2 KEEPTTL") == [b"a", b"b"]


def test_what_others_learn(client: EngineClient) -> None:
    tell = Observer(client).after
    now_ms = client.clock.now_ms()
    at = now_ms + 10_000
    for request, events, commands in (
        ("SET s a IFNE x", "s new s set", ["0:SET s a"]),
        ("SET s b IFNE get GET KEEPTTL", "s set", ["0:SET s b KEEPTTL"]),
        ("SET s c IFEQ b EX 10", "s set s expire", [f"0:SET s c PXAT {at}"]),
        ("SET s d IFEQ b", "", []),
        ("DELEX s IFEQ b", "", []),
        ("DELEX s IFEQ c", "s del", ["0:DEL s"]),
        ("DIGEST s", "s keymiss", []),
        ("MSETEX 2 s 1 t 2", "s new s set t new t set", ["0:MSETEX 2 s 1 t 2"]),
        ("MSETEX 1 s 1 NX", "", []),
        ("MSETEX 1 s 1 XX EX 10", "s set s expire", [f"0:MSETEX 1 s 1 PXAT {at}"]),
        ("MSETEX 1 s 1 KEEPTTL", "s set", ["0:MSETEX 1 s 1 KEEPTTL"]),
    ):
        words = events.split()
        told = [f"0:{key} {event}" for key, event in zip(words[::2], words[1::2], strict=True)]
        assert tell(*request.split()) == (told, commands), request
