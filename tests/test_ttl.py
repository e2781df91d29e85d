"""EXPIRE and its family."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observe import Observer
from tests.support import EngineClient, Twin, new_client

SETTERS = ("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT")
GETTERS = ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME")
FAR = 33_177_117_420


@pytest.mark.parametrize("name", SETTERS)
def test_arguments(twin: Twin, name: str) -> None:
    twin("SET", "a", 1)
    for when in (
        "x", "", "1.5", 2**63, 2**63 - 1, -(2**63), 9223372036854775, 9223372036854776,
        -9223372036854775, -9223372036854776,
    ):  # fmt: skip
        twin("SET", "a", 1)
        twin(name, "a", when)
        twin("EXISTS", "a")
    for options in ("NX XX", "NX GT", "LT NX", "GT LT", "XX GT", "xx lt", "WHAT", "NX what"):
        twin(name, "nothing", "x", *options.split())
        twin(name, "nothing", 1, *options.split())
    twin(name, "a")


@pytest.mark.parametrize("options", ["", "NX", "XX", "GT", "LT", "XX GT", "XX LT", "NX NX", "gt"])
@pytest.mark.parametrize("before", [None, FAR])
def test_conditions(twin: Twin, options: str, before: int | None) -> None:
    for now in (FAR - 1, FAR, FAR + 1):
        twin("SET", "a", 1)
        if before is not None:
            twin("EXPIREAT", "a", before)
        twin("EXPIREAT", "a", now, *options.split())
        twin("EXPIRETIME", "a")
        twin("PEXPIRETIME", "a")


def test_readers(twin: Twin) -> None:
    twin("SET", "a", 1)
    for name in GETTERS:
        twin(name)
        twin(name, "a")
        twin(name, "nothing")
    twin("PEXPIREAT", "a", FAR * 1000 + 499)
    twin("EXPIRETIME", "a")
    twin("PEXPIREAT", "a", FAR * 1000 + 500)
    twin("EXPIRETIME", "a")
    twin("PERSIST", "a")
    twin("PERSIST", "a")
    twin("PERSIST", "nothing")
    twin("TTL", "a")


@given(st.integers(1, 10_000), st.integers(0, 12_000))
def test_rounding_and_the_end(ttl_ms: int, passed_ms: int) -> None:
    client = new_client()
    client("SET", "a", 1)
    client("PEXPIRE", "a", ttl_ms)
    client.clock.advance(passed_ms)
    left_ms = ttl_ms - passed_ms
    if left_ms > 0:
        assert client("PTTL", "a") == left_ms
        assert client("TTL", "a") == (left_ms + 500) // 1000
    else:
        assert client("TTL", "a") == client("PTTL", "a") == client("EXPIRETIME", "a") == -2
        assert client("DBSIZE") == 0


def test_what_others_learn(client: EngineClient) -> None:
    observer = Observer(client)
    now_ms = client.clock.now_ms()
    client("MSET", "a", 1, "b", 1, "c", 1)
    tell = observer.after
    at = f"0:PEXPIREAT a {now_ms + 5000}"
    assert tell("EXPIRE", "a", 5) == (["0:a expire"], [at])
    assert tell("PEXPIRE", "a", 5000, "XX") == (["0:a expire"], [f"{at} XX"])
    assert tell("EXPIRE", "a", 9, "NX") == ([], [])
    assert tell("PERSIST", "a") == (["0:a persist"], ["0:PERSIST a"])
    assert tell("PERSIST", "a") == ([], [])
    assert tell("EXPIRE", "a", 0) == (["0:a del"], ["0:DEL a"])
    client.engine.config.set([("lazyfree-lazy-expire", "yes")])
    assert tell("EXPIREAT", "b", 1) == (["0:b del"], ["0:UNLINK b"])
    client("PEXPIRE", "c", 1)
    client.clock.advance(1)
    assert tell("GET", "c") == (["0:c expired", "0:c keymiss"], ["0:UNLINK c"])


def test_an_expired_key_is_no_change(client: EngineClient) -> None:
    client("SET", "a", 1)
    client("PEXPIRE", "a", 1)
    client.clock.advance(1)
    dirty = client.engine.ks.dirty
    assert client("EXISTS", "a") == 0
    assert (client.engine.ks.dirty, client.engine.ks.expired) == (dirty, 1)


def test_where_nothing_may_expire(client: EngineClient) -> None:
    """On a replica a time in the past is kept, and the key is hidden till the primary says DEL."""
    client("SET", "a", 1)
    client.engine.ks.may_expire = False
    client("PEXPIREAT", "a", 1)
    assert (client("GET", "a"), client("DBSIZE")) == (None, 1)
    client("SET", "a", 2)
    assert (client("GET", "a"), client("TTL", "a")) == (b"2", -1)
