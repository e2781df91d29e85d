"""String commands beside a real server; what they propagate and store, on ours alone."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyredis.commands.args import integer
from pyredis.resp import Error
from tests.support import EngineClient, Listener, Twin, new_client

FAR_S, FAR_MS = 99_999_999_999, 99_999_999_999_999


def same_value(twin: Twin, *keys: str) -> None:
    """Both servers hold the same strings, and TTLs at the same keys."""
    for key in keys:
        twin("GET", key)
        assert (twin.real("PTTL", key) > 0) == (key.encode() in twin.ours.session.db.expires)


def propagated(client: EngineClient) -> list[tuple[bytes, ...]]:
    """A list that gets every command the engine propagates from now on."""
    log: list[tuple[bytes, ...]] = []
    client.engine.feeds.append(Listener(lambda commands: log.extend(argv for _, argv in commands)))
    client.engine.observe()
    return log


# SET and GET


@pytest.mark.parametrize(
    "options",
    [
        "", "NX", "xx", "NX XX", "NX NX", "GET", "NX GET", "XX GET", "KEEPTTL", "KEEPTTL GET XX",
        f"EXAT {FAR_S}", f"PXAT {FAR_MS} NX", "EX 100", "px 100000 GET", "EX 100 EX 200",
        "EX 100 PX 200", "EX 100 KEEPTTL", "KEEPTTL EX 100", "PERSIST", "EX", "foo", "EX x",
        "EX 0", "EX -1", "PX 0", "EXAT 0", "PXAT -5", f"EX {2**63 - 1}", f"PX {2**63 - 1}",
        f"EXAT {2**63 - 1}", "PXAT 1000", "EX 0 NX", "EX x GET",
    ],
)  # fmt: skip
def test_set_options(twin: Twin, options: str) -> None:
    twin("SET", "ttl", "old", "EX", 1000)
    twin("RPUSH", "list", "x")
    for key in ("missing", "ttl", "list"):
        twin("SET", key, "new", *options.split())
        if not (key == "list" and twin("TYPE", key) == b"list"):
            same_value(twin, key)


def test_set_overwrites_any_type_and_drops_the_ttl(twin: Twin) -> None:
    twin("RPUSH", "k", "x")
    twin("GET", "k")
    twin("SET", "k", "v", "EX", 100)
    twin("SET", "k", b"\r\n\0")
    same_value(twin, "k")


@pytest.mark.parametrize(
    ("name", "amount"),
    [(n, a) for n in ("SETEX", "PSETEX") for a in (100_000, 0, -1, "x", 2**63 - 1, "", "1.5")],
)
def test_setex(twin: Twin, name: str, amount: object) -> None:
    twin(name, "k", amount, "v")
    same_value(twin, "k")


def test_setnx_getset_getdel(twin: Twin) -> None:
    twin("RPUSH", "list", "x")
    for _ in range(2):
        twin("SETNX", "a", "1")
        twin("SETNX", "list", "1")
        twin("GETSET", "b", "2")
        twin("GETSET", "list", "2")
        twin("EXPIRE", "b", 100)
        same_value(twin, "a", "b")
    for key in ("a", "a", "list"):
        twin("GETDEL", key)
    twin("GETSET", "b", "3")
    same_value(twin, "a", "b")


@pytest.mark.parametrize(
    "options",
    [
        "", "EX 100", "PX 100000", f"EXAT {FAR_S}", f"pxat {FAR_MS}", "EXAT 1", "PXAT 1", "PERSIST",
        "PERSIST EX 10", "KEEPTTL", "NX", "GET", "EX", "EX 0", "EX x", "EX 1 EX 100", "EXAT -1",
    ],
)  # fmt: skip
def test_getex(twin: Twin, options: str) -> None:
    twin("SET", "plain", "v")
    twin("SET", "ttl", "5", "EX", 1000)
    twin("INCR", "ttl")
    twin("RPUSH", "list", "x")
    for key in ("plain", "ttl", "list", "missing"):
        twin("GETEX", key, *options.split())
    same_value(twin, "plain", "ttl")


def test_expiry_times_run_out(client: EngineClient) -> None:
    client("SET", "a", "1", "PX", 1500)
    client("SETEX", "b", 1, "1")
    client.clock.advance(1499)
    assert client("MGET", "a", "b") == [b"1", None]
    assert client("SET", "a", "2", "KEEPTTL", "GET") == b"1"
    client.clock.advance(1)
    assert client("GET", "a") is None
    assert client("SET", "a", "3", "XX") is None
    assert client("INCR", "b") == 1
    client.clock.advance(10_000)
    assert client("MGET", "a", "b") == [None, b"1"]


def test_many_keys(twin: Twin) -> None:
    twin("MSET", "a", "1", "b", "2", "a", "3")
    twin("INCR", "a")
    twin("APPEND", "b", "x")
    twin("RPUSH", "list", "x")
    twin("MGET", "a", "b", "list", "missing", "a")
    twin("MGET", "a", "a")
    twin("MSETNX", "c", "1", "a", "2")
    twin("MSETNX", "c", "1", "d", "2", "c", "3")
    twin("MSET", "list", "now a string", "c", "9")
    twin("MGET", "a", "b", "c", "d", "list")
    for name in ("MSET", "MSETNX"):
        twin(name, "a")
        twin(name, "a", "1", "b")


def test_mset_drops_ttls_and_tells_each_key(client: EngineClient) -> None:
    log = propagated(client)
    client("SET", "a", "1", "EX", 10)
    client("MSET", "a", "2", "b", "3")
    assert not client.session.db.expires
    assert client.engine.ks.dirty == 3
    assert log[1:] == [(b"MSET", b"a", b"2", b"b", b"3")]


# Bytes by position


def test_append_strlen(twin: Twin) -> None:
    twin("SET", "n", "10")
    twin("INCR", "n")
    twin("RPUSH", "list", "x")
    for key in ("n", "new", "list", "empty"):
        for value in ("", "5", "", "xyz") if key != "empty" else ("",):
            twin("APPEND", key, value)
            twin("STRLEN", key)
    twin("MGET", "n", "new", "empty")
    twin("INCR", "n")


@pytest.mark.parametrize("offset", [0, 1, 3, 10, -1, "x", 2**29 - 1, 2**62, 2**63])
def test_setrange(twin: Twin, offset: object) -> None:
    twin("MSET", "text", "hello", "n", "10")
    twin("INCR", "n")
    twin("RPUSH", "list", "x")
    for key in ("text", "n", "missing", "list"):
        for value in ("", "ab"):
            if offset == 2**29 - 1 and not value:
                continue
            twin("SETRANGE", key, offset, value)
    twin("MGET", "text", "n", "missing")


def test_getrange_with_all_signs(twin: Twin) -> None:
    twin("MSET", "text", "hello", "one", "x", "n", "12")
    twin("INCR", "n")
    twin("APPEND", "text", " you")
    positions = [0, 1, 4, 8, 9, 100, -1, -2, -9, -10, -100, 2**63 - 1, -(2**63)]
    for key in ("text", "one", "n", "missing"):
        for start in positions:
            for end in positions:
                twin("GETRANGE", key, start, end)
    twin("RPUSH", "list", "x")
    twin("SUBSTR", "text", 1, 3)
    twin("GETRANGE", "text", "x", "1")
    twin("GETRANGE", "text", "1", "")
    twin("GETRANGE", "list", 0, "x")
    twin("GETRANGE", "list", 0, 1)


def test_lengths_are_limited() -> None:
    client = new_client(proto_max_bulk_len=1024 * 1024)
    too_long = b"ERR string exceeds maximum allowed size (proto-max-bulk-len)"
    assert client("SETRANGE", "k", 1024 * 1024 - 1, "x") == 1024 * 1024
    assert client("APPEND", "k", "") == 1024 * 1024
    assert client("APPEND", "k", "x") == too_long
    assert client("SETRANGE", "k", 1024 * 1024, "x") == too_long
    assert client("SETRANGE", "missing", 1024 * 1024, "x") == too_long
    assert client("EXISTS", "missing") == 0


def test_replies_are_safe_from_later_changes(client: EngineClient) -> None:
    client("SET", "k", "a")
    client("APPEND", "k", "b")
    client("APPEND", "k", "c")
    assert type(client.session.db.data[b"k"]) is bytearray
    ctx = client.engine.ctx
    handlers = client.engine.table.entries
    for name, args in [("GET", []), ("MGET", [b"k"]), ("GETRANGE", [b"0", b"9"]), ("GETEX", [])]:
        reply = handlers[name].handler(ctx, b"k", *args)
        assert all(type(item) is bytes for item in (reply if name == "MGET" else [reply]))


# Counters


@pytest.mark.parametrize(
    "value",
    ["10", "0", "-1", "-0", "+1", " 1", "1 ", "01", "", "x", "1.0", "1_0", 2**63 - 1, 2**63,
     -(2**63), -(2**63) - 1, "9" * 30],
)  # fmt: skip
def test_counters(twin: Twin, value: object) -> None:
    twin("RPUSH", "list", "x")
    for name in ("INCR", "DECR"):
        twin("SET", "k", value)
        twin("INCR", "list")
        twin(name, "k")
        twin(name, "k")
        twin("GET", "k")
    for name in ("INCRBY", "DECRBY"):
        twin("DEL", "k")
        twin(name, "list", value)
        twin(name, "k", value)
        twin(name, "k", value)
        twin(name, "k", -5)
        twin("GET", "k")


def test_a_counter_is_a_string_to_every_command(twin: Twin) -> None:
    twin("SET", "n", "98", "EX", 1000)
    twin("INCR", "n")
    twin("INCR", "n")
    same_value(twin, "n")
    for args in (
        "STRLEN n", "GETRANGE n 0 0", "GETBIT n 3", "BITCOUNT n", "BITPOS n 1", "LCS n n",
        "BITFIELD n GET u8 0", "GETEX n", "INCRBYFLOAT n 0.5", "SET n 7 GET", "INCRBY n 1",
        "SETRANGE n 1 x", "DEL n", "INCR n", "SETBIT n 7 0", "GET n", "INCR n", "APPEND n 5",
        "INCR n", "BITOP NOT m n", "MGET n m", "INCR n", "GETSET n 1", "INCR n", "GETDEL n",
    ):  # fmt: skip
        twin(*args.split())


@pytest.mark.parametrize(
    "increment",
    ["0.1", "-3.25", "1e5", "5.0e3", "0x10", "1e4000", "1e5000", "inf", "-inf", "nan", "x", "",
     " 1", "1 ", "3", "1e-17", "0"],
)  # fmt: skip
def test_incrbyfloat(twin: Twin, increment: str) -> None:
    twin("RPUSH", "list", "x")
    twin("SET", "ttl", "3.0e3", "EX", 1000)
    twin("MSET", "text", "x", "long", "9" * 40)
    twin("INCR", "n")
    for key in ("missing", "ttl", "text", "list", "n", "long"):
        twin("INCRBYFLOAT", key, increment)
        twin("INCRBYFLOAT", key, increment)
    same_value(twin, "missing", "ttl", "text", "n", "long")


@given(st.one_of(st.integers(), st.floats(allow_nan=False), st.text(" +-_0123456789x", max_size=9)))
def test_only_canonical_integers_are_integers(number: object) -> None:
    text = str(number).encode()
    try:
        got: int | None = integer(text)
    except Error:
        got = None
    canonical = re.fullmatch(rb"0|-?[1-9][0-9]*", text) is not None
    assert got == (int(text) if canonical and -(2**63) <= int(text) < 2**63 else None)


# LCS


@pytest.mark.parametrize("protocol", [2, 3])
def test_lcs(twin: Twin, protocol: int) -> None:
    twin.real("HELLO", protocol)
    twin.ours.session.resp3 = protocol == 3
    twin("MSET", "a", "ohmytext", "b", "mynewtext", "empty", "", "n", "1")
    twin("INCR", "n")
    twin("APPEND", "b", "s")
    twin("RPUSH", "list", "x")
    for options in (
        "", "LEN", "IDX", "IDX MINMATCHLEN 4", "idx withmatchlen", "IDX MINMATCHLEN 4 WITHMATCHLEN",
        "LEN WITHMATCHLEN", "IDX LEN", "MINMATCHLEN", "MINMATCHLEN x", "IDX MINMATCHLEN -4",
        "MINMATCHLEN 4", "foo", "IDX MINMATCHLEN 99",
    ):  # fmt: skip
        for keys in ("a b", "b a", "a missing", "empty a", "n n", "a list", "missing list"):
            twin("LCS", *keys.split(), *options.split())


def test_lcs_refuses_what_redis_has_no_memory_for() -> None:
    client = new_client(proto_max_bulk_len=1024 * 1024)
    client("MSET", "a", "x" * 511, "b", "x" * 511, "c", "x" * 512)
    assert client("LCS", "a", "b", "LEN") == 511
    assert client("LCS", "a", "c", "LEN") == (
        b"ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
    )


# Effects


def test_what_depends_on_time_is_propagated_as_its_outcome(client: EngineClient) -> None:
    log = propagated(client)
    now = client.clock.time_ms
    story: list[tuple[str, str]] = [
        ("SET k 1", "SET k 1"),
        ("SET k 1 EX 10", f"SET k 1 PXAT {now + 10_000}"),
        ("SET k 1 nx get", ""),
        ("SET k 1 xx Get", "SET k 1 xx"),
        (f"set k 1 XX pxat {now + 10_000} GET", f"set k 1 XX pxat {now + 10_000} GET"),
        ("SETEX k 10 1", f"SET k 1 PXAT {now + 10_000}"),
        ("PSETEX k 10000 1", f"SET k 1 PXAT {now + 10_000}"),
        ("GETEX k", ""),
        ("GETEX k PERSIST", "PERSIST k"),
        ("GETEX k PERSIST", ""),
        ("GETEX k EX 10", f"PEXPIREAT k {now + 10_000}"),
        ("INCRBYFLOAT k 0.5", "SET k 1.5 KEEPTTL"),
        ("GETSET k 2", "SET k 2"),
        ("GETEX k PXAT 1", "DEL k"),
        ("GETDEL k", ""),
        ("INCR k", "INCR k"),
        ("GETDEL k", "DEL k"),
        ("SETRANGE k 5 x", "SETRANGE k 5 x"),
        ("SETRANGE k 5 ", ""),
        ("SETNX k 1", ""),
        ("MSETNX k 1", ""),
    ]
    for request, expected in story:
        client(*request.split(" "))
        assert b" ".join(b" ".join(argv) for argv in log) == expected.encode(), request
        log.clear()


class Events(list[str]):
    """Stands in for the channels that keyspace notifications go to."""

    def publish(self, channel: bytes, event: bytes) -> int:
        self.append(event.decode())
        return 0


def test_events() -> None:
    client = new_client(notify_keyspace_events="KA")
    client.engine.pubsub = events = Events()  # type: ignore[assignment]
    for request, expected in [
        ("SET k 1 EX 10", "set expire"),
        ("GETEX k PERSIST", "persist"),
        ("GETEX k EX 9", "expire"),
        ("INCR k", "incrby"),
        ("DECRBY k 2", "incrby"),
        ("INCRBYFLOAT k 2", "incrbyfloat"),
        ("APPEND k x", "append"),
        ("SETRANGE k 1 x", "setrange"),
        ("GETEX k PXAT 1", "del"),
        ("MSET k 1 k 2", "set set"),
        ("GETDEL k", "del"),
    ]:
        client(*request.split())
        assert " ".join(events) == expected, request
        events.clear()


@pytest.mark.parametrize("seed", range(3))
def test_random_sessions(twin: Twin, seed: int) -> None:
    rng = random.Random(seed)
    values = ["", "a", "10", "-5", "3.5", "x" * 30, " 1", str(2**63 - 1)]
    twin("RPUSH", "list", "x")
    for _ in range(250):
        key = rng.choice(["a", "b", "c", "list"])
        value = rng.choice(values)
        number = rng.choice([0, 1, -1, 3, -7, 20, 2**63 - 1])
        request = rng.choice(
            [
                ("SET", key, value, *rng.choice([(), ("NX",), ("XX", "GET"), ("EX", 1000)])),
                ("GET", key), ("GETSET", key, value), ("GETDEL", key), ("APPEND", key, value),
                ("SETRANGE", key, rng.randrange(9), value), ("GETRANGE", key, number, 20),
                ("INCRBY", key, number), ("DECRBY", key, number), ("INCRBYFLOAT", key, value),
                ("MGET", key, "a", "b"), ("MSETNX", key, value, "c", value), ("LCS", key, "a"),
                ("STRLEN", key), ("GETEX", key, "PERSIST"),
            ]
        )  # fmt: skip
        if key == "list" and request[0] in ("SET", "MSETNX"):
            continue
        twin(*request)
        twin("MGET", "a", "b", "c")
    twin.ours.session.db._check()
    same_value(twin, "a", "b", "c")
