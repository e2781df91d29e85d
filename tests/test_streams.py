"""Streams: adding, trimming, deleting and reading entries, beside a real server."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pyredis.types.streams import Stream
from tests.observe import Observer
from tests.support import EngineClient, ReplyError, Twin, new_client

ODD_IDS = [
    b"5", b"5-", b"-5", b"5-5-5", b"-", b"+", b"*", b"5-*", b"*-5", b"", b"(5", b"a", b"5-a",
    b" 5", b"+5", b"05", b"5-+7", b"5--7", b"5--07", b"5- 7", b"5\0x", b"5-7\0x", b"5 ", b"0x5",
    b"18446744073709551615", b"18446744073709551616", b"5-18446744073709551615", b"0-0",
    b"5-18446744073709551616", b"9" * 127, b"0" * 126 + b"5", b"0" * 127 + b"5", b"0-*",
    b"18446744073709551615-18446744073709551615",
]  # fmt: skip


# The type


class StreamBesideDict(RuleBasedStateMachine):
    """Every method, against a dict from ID to content."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = Stream()
        self.twin: dict[int, tuple[bytes, ...]] = {}

    @rule(step=st.integers(1, 3), names=st.sampled_from([(b"a",), (b"b",), (b"a", b"b")]))
    def append(self, step: int, names: tuple[bytes, ...]) -> None:
        entry_id = self.stream.last_id + step
        content = tuple(part for name in names for part in (name, b"%d" % entry_id))
        self.stream.append(entry_id, content, 4, 0)
        self.twin[entry_id] = content

    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        entry_id = data.draw(st.integers(0, self.stream.last_id + 1))
        assert self.stream.get(entry_id) == self.twin.get(entry_id)
        assert self.stream.delete(entry_id) == (self.twin.pop(entry_id, None) is not None)

    @rule(length=st.integers(0, 30))
    def trim_to_length(self, length: int) -> None:
        gone = sorted(self.twin)[: max(0, len(self.twin) - length)]
        assert self.stream.trim_to_length(length) == len(gone)
        for entry_id in gone:
            del self.twin[entry_id]

    @rule(data=st.data(), whole_nodes=st.booleans(), limit=st.sampled_from([0, 3, 9]))
    def trim_below(self, data: Any, whole_nodes: bool, limit: int) -> None:
        min_id = data.draw(st.integers(0, self.stream.last_id + 1))
        removed = self.stream.trim_below(min_id, whole_nodes, limit)
        gone = sorted(self.twin)[:removed]
        assert all(entry_id < min_id for entry_id in gone)
        for entry_id in gone:
            del self.twin[entry_id]
        assert whole_nodes or limit or not self.twin or min(self.twin) >= min_id

    @rule(data=st.data(), count=st.integers(0, 9), reverse=st.booleans())
    def read(self, data: Any, count: int, reverse: bool) -> None:
        start = data.draw(st.integers(0, self.stream.last_id + 1))
        end = data.draw(st.integers(start, self.stream.last_id + 2))
        found = [pair for pair in sorted(self.twin.items()) if start <= pair[0] <= end]
        found = found[::-1] if reverse else found
        assert self.stream.range(start, end, count, reverse) == found[: count or None]

    @rule()
    def copy(self) -> None:
        self.stream = self.stream.copy()

    @invariant()
    def agrees(self) -> None:
        self.stream._check()
        assert list(self.stream) == sorted(self.twin.items())
        assert len(self.stream) == len(self.twin)
        assert self.stream.first_id == min(self.twin, default=0)
        assert self.stream.top_id == max(self.twin, default=0)


def test_the_type_behaves_like_a_dict() -> None:
    run_state_machine_as_test(StreamBesideDict, settings=settings(max_examples=40))


# Commands


def fill(twin: Twin, count: int, key: str = "s", size: int = 3) -> None:
    """Add entries 1-0, 2-0 ..."""
    for number in range(1, count + 1):
        twin("XADD", key, f"{number}-0", "field", "x" * size)


def shape(twin: Twin, key: str = "s") -> Any:
    """All that a stream is, whatever the time."""
    return twin("XINFO", "STREAM", key, "FULL", "COUNT", 0)


# Adding


@pytest.mark.parametrize("entry_id", ODD_IDS)
def test_ids(twin: Twin, entry_id: bytes) -> None:

    if entry_id != b"*":
        twin("XADD", "new", entry_id, "a", "1")
        twin("XADD", "s", "4-4", "a", "1")
        twin("XADD", "s", entry_id, "a", "2")
    fill(twin, 9, "r")
    for args in (["XRANGE", "r", entry_id, "+"], ["XREVRANGE", "r", entry_id, "-"]):
        twin(*args)
    for command in ("XDEL", "XSETID"):
        twin(command, "r", entry_id)
    twin("XTRIM", "r", "MINID", entry_id)
    shape(twin, "r")


def test_given_times_and_sequences(twin: Twin) -> None:
    for entry_id in ("0-*", "0-*", "5-*", "5-*", "5-7", "5-*", "4-*", "5", "6", "6", "6-0", "7-1"):
        twin("XADD", "s", entry_id, "a", "1")
    twin("XADD", "s", "8-18446744073709551615", "a", "1")
    twin("XADD", "s", "9-*", "a", "1")
    twin("XADD", "s", "18446744073709551615-*", "a", "1")
    twin("XADD", "s", "18446744073709551615-18446744073709551615", "a", "1")
    for entry_id in ("*", "1-1", "18446744073709551615-*"):
        twin("XADD", "s", entry_id, "a", "1")
    shape(twin)


def test_automatic_ids_follow_the_clock_but_never_go_back(client: EngineClient) -> None:
    now_ms = client.clock.now_ms()
    assert client("XADD", "s", "*", "a", 1) == b"%d-0" % now_ms
    assert client("XADD", "s", "*", "a", 1) == b"%d-1" % now_ms
    client.clock.advance(1)
    assert client("XADD", "s", "*", "a", 1) == b"%d-0" % (now_ms + 1)
    client.clock.advance(-5)
    assert client("XADD", "s", "*", "a", 1) == b"%d-1" % (now_ms + 1)
    client("XADD", "s", f"{now_ms + 2}-18446744073709551615", "a", 1)
    assert client("XADD", "s", "*", "a", 1) == b"%d-0" % (now_ms + 3)


def test_add_arguments(twin: Twin) -> None:
    twin("SET", "str", 1)
    for args in (
        ["s", "1-1"], ["s", "1-1", "a"], ["s", "1-1", "a", "1", "b"], ["s", "*"],
        ["s", "NOMKSTREAM"], ["no", "NOMKSTREAM", "1-1", "a", 1], ["s", "1-1", "a", "1"],
        ["s", "nomkstream", "2-1", "a", 1], ["str", "1-1", "a", 1],
        ["str", "NOMKSTREAM", "*", "a", 1], ["str", "0-0", "a", 1], ["s", "0-0", "a", 1],
        ["s", "0-0", "a"], ["no", "0", "a", 1], ["s", "3-1", "a", 1, "a", 2],
        ["s", "MAXLEN", "4-1", "a", 1], ["s", "MAXLEN", 2, "4-1", "a", 1],
        ["s", "MAXLEN", "=", 1, "NOMKSTREAM", "5-1", "a", 1],
        ["s", "MAXLEN", "~", 1, "6-1", "a", 1], ["s", "MAXLEN", -1, "7-1", "a", 1],
        ["s", "MAXLEN", "~"], ["s", "MAXLEN", "~", "a", 1], ["s", "MINID", "6", "8-1", "a", 1],
        ["s", "MINID", "=", "7", "8-2", "a", 1], ["s", "MINID", "-", "8-3", "a", 1],
        ["s", "MINID", "+", "8-4", "a", 1], ["s", "MINID", "x", "8-5", "a", 1],
        ["s", "MAXLEN", 1, "MINID", 1, "9-1", "a", 1],
        ["s", "MINID", 1, "MINID", 1, "9-1", "a", 1], ["s", "LIMIT", 1, "9-1", "a", 1],
        ["s", "LIMIT", 0, "9-2", "a", 1], ["s", "MAXLEN", 1, "LIMIT", 1, "9-3", "a", 1],
        ["s", "LIMIT", 0, "MAXLEN", 1, "9-3", "a", 1],
        ["s", "MAXLEN", "~", 1, "LIMIT", 0, "9-4", "a", 1],
        ["s", "LIMIT", 5, "MAXLEN", "~", 1, "9-5", "a", 1], ["s", "LIMIT", -1, "9-6", "a", 1],
        ["s", "LIMIT", "x", "9-6", "a", 1], ["s", "MAXLEN", "x", "9-6", "a", 1],
        ["s", "MAXLEN", "~", "=", 1], ["s", "FOO", "9-6", "a", 1],
        ["s", "MAXLEN", 0, "9-7", "a", 1], ["s", "9-8", "a", 1],
        ["s", "MAXLEN", 1, "LIMIT", 1, "10-1", "a"], ["s", "10-2", "MAXLEN", 0],
    ):  # fmt: skip
        twin("XADD", *args)
    shape(twin)


# Nodes and trimming


@pytest.mark.parametrize(
    ("limit", "value"),
    [("stream-node-max-entries", 7), ("stream-node-max-bytes", 300), ("stream-node-max-bytes", 1)],
)
def test_nodes_are_those_of_redis(twin: Twin, limit: str, value: int) -> None:
    default = twin("CONFIG", "GET", limit)[1]
    twin("CONFIG", "SET", limit, value)
    try:
        rng = random.Random(3)
        ms, seq = 1, 0
        for step in range(400):
            ms, seq = rng.choice(((ms, seq + 1), (ms + 1, 0), (ms + 300, 70_000), (ms + 1, seq)))
            fields: list[Any] = ["f", rng.choice(["", 5, -900, 70_000, "x" * 40, "y" * 70])]
            if rng.random() < 0.2:
                fields = rng.choice([["g", 1], [*fields, "second", 2**40], ["12", "f"]])
            twin("XADD", "s", f"{ms}-{seq}", *fields)
            if rng.random() < 0.3:
                first = twin("XRANGE", "s", f"{rng.randint(0, ms)}", "+", "COUNT", 1)
                if first:
                    twin("XDEL", "s", first[0][0])
            if step % 40 == 0:
                twin("XTRIM", "s", "MAXLEN", "~", rng.randint(50, 150))
                twin("XTRIM", "s", "MINID", "~", rng.randint(0, ms))
            if step % 70 == 0:
                twin("XTRIM", "s", "MAXLEN", rng.randint(100, 150))
                twin("XTRIM", "s", "MINID", rng.randint(0, ms // 2))
            shape(twin)
        twin.ours.engine.ks.dbs[0].data[b"s"]._check()
    finally:
        twin("CONFIG", "SET", limit, default)


def test_trim(twin: Twin) -> None:
    fill(twin, 250)
    twin("SET", "str", 1)
    for args in (
        ["s"], ["s", "MAXLEN"], ["s", "MAXLEN", 240], ["s", "MAXLEN", 240],
        ["s", "MAXLEN", "=", 239], ["s", "MAXLEN", "~", 200], ["s", "MAXLEN", "~", 140],
        ["s", "MINID", "~", 101], ["s", "MINID", 105], ["s", "MINID", "=", "105-1"],
        ["s", "MINID", 100], ["s", "FOO", 1], ["s", "MAXLEN", 1, "FOO"],
        ["s", "NOMKSTREAM", "MAXLEN", 1], ["s", "LIMIT", 1], ["s", "MAXLEN", "~", 0, "LIMIT", 10],
        ["s", "MAXLEN", "~", 0, "LIMIT", 100], ["s", "MAXLEN", "*"],
        ["s", "MAXLEN", 1, "LIMIT", 0], ["no", "MAXLEN", 1], ["str", "MAXLEN", 1],
        ["no", "MAXLEN", -1], ["s", "MAXLEN", "~", 0, "LIMIT", 0], ["s", "MAXLEN", 2],
        ["s", "MINID", "+"],
    ):  # fmt: skip
        twin("XTRIM", *args)
        shape(twin)


def test_approximate_trimming_has_a_limit_by_default() -> None:
    client = new_client(stream_node_max_entries=2)
    for number in range(1, 1001):
        client("XADD", "s", f"{number}-0", "a", 1)
    assert client("XTRIM", "s", "MAXLEN", "~", 0) == 200
    assert client("XTRIM", "s", "MAXLEN", "~", 0, "LIMIT", 301) == 300


# Deleting and setting IDs


def test_delete(twin: Twin) -> None:
    fill(twin, 6)
    twin("SET", "str", 1)
    for args in (
        ["s", "3-0"], ["s", "3-0"], ["s", "1", "6-0", "9-9"], ["s", "2-0", "x"], ["no", "1-1"],
        ["str", "1-1"], ["s", "2", "2"], ["s", "4-0", "5-0"], ["no", "x"], ["str", "x"],
        ["s", "7-0"],
    ):  # fmt: skip
        twin("XDEL", *args)
        shape(twin)
    twin("XADD", "s", "6-0", "a", 1)
    twin("XADD", "s", "6-1", "a", 1)
    twin("XLEN", "s")
    twin("EXISTS", "s")


def test_set_id(twin: Twin) -> None:
    twin("SET", "str", 1)
    twin("XSETID", "no", "1-1")
    twin("XSETID", "str", "1-1")
    fill(twin, 5)
    twin("XDEL", "s", "2-0")
    for args in (
        ["9-9"], ["4"], ["5-0"], ["3-0"], ["x"], ["-"], ["9-9", "ENTRIESADDED"], ["9-9", "FOO", 1],
        ["9-9", "ENTRIESADDED", 3], ["9-9", "ENTRIESADDED", -1], ["9-9", "ENTRIESADDED", "x"],
        ["9-9", "entriesadded", 100, "maxdeletedid", "7-7"], ["9-9", "MAXDELETEDID", "10-0"],
        ["9-9", "MAXDELETEDID", "0-0"], ["9-9", "MAXDELETEDID", "2-2"],
        ["8-8", "MAXDELETEDID", "x"], ["8-8", "ENTRIESADDED", 5, "ENTRIESADDED", 7],
    ):  # fmt: skip
        twin("XSETID", "s", *args)
        shape(twin)
    twin("XTRIM", "s", "MAXLEN", 0)
    twin("XSETID", "s", "3-3", "ENTRIESADDED", 1)
    shape(twin)


def test_errors_of_newer_versions(client: EngineClient) -> None:
    client("XADD", "s", "8-18446744073709551615", "a", 1)
    small = b"ERR The ID specified in XADD is equal or smaller than the target stream top item"
    assert client("XADD", "s", "8-*", "a", 1) == small
    client("XDEL", "s", "8-18446744073709551615")
    deleted = b"ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"
    assert client("XSETID", "s", "8-8") == deleted


# Reading


@pytest.mark.parametrize("protocol", [2, 3])
def test_ranges(twin: Twin, protocol: int) -> None:
    twin.real("HELLO", protocol)
    twin.ours.session.resp3 = protocol == 3
    fill(twin, 230)
    twin("XADD", "s", "230-5", "a", 1, "b", "")
    twin("XDEL", "s", "100-0", "101-0")
    bounds = "- + 0 1 100 101 (101 150-0 (150 230 (230 230-4 999"
    for start in bounds.split():
        for end in bounds.split():
            for count in ([], ["COUNT", 1], ["COUNT", 120]):
                twin("XRANGE", "s", start, end, *count)
                twin("XREVRANGE", "s", end, start, *count)
    twin("XLEN", "s")


def test_range_arguments(twin: Twin) -> None:
    fill(twin, 3)
    twin("SET", "str", 1)
    top = "18446744073709551615-18446744073709551615"
    for key in ("s", "no", "str"):
        for args in (
            ["-", "+", "COUNT"], ["-", "+", "COUNT", 0], ["-", "+", "COUNT", -1],
            ["-", "+", "COUNT", "x"], ["-", "+", "COUNT", 1, "COUNT", 2],
            ["-", "+", "COUNT", 1, "COUNT"], ["-", "+", "FOO", 1], ["(", "+"], ["(-", "+"],
            ["-", "(+"], [f"({top}", "+"], ["-", "(0-0"], ["-", "(0"], ["x", "y"], ["(x", "+"],
            ["-", "(x"], [f"({top}", "x"], ["x", "(0-0"], ["2", "1"], ["-"],
        ):  # fmt: skip
            twin("XRANGE", key, *args)
            twin("XREVRANGE", key, *args)
        twin("XLEN", key)
        twin("TYPE", key)
        twin("OBJECT", "ENCODING", key)


def test_copies_and_digests(twin: Twin) -> None:
    twin.ours.engine.config.enable_debug_command = "yes"
    fill(twin, 150)
    twin("XDEL", "s", "10-0", "11-0")
    twin("XGROUP", "CREATE", "s", "g", "3-0")
    twin("XREADGROUP", "GROUP", "g", "c", "COUNT", 3, "STREAMS", "s", ">")
    twin("COPY", "s", "t")
    twin("XACK", "s", "g", "4-0")
    twin("XADD", "s", "999-0", "a", 1)
    for key in ("s", "t"):
        twin("DEBUG", "DIGEST-VALUE", key)
        twin("XINFO", "STREAM", key)
        twin("XINFO", "GROUPS", key)
        twin("XPENDING", key, "g")
        twin.ours.engine.ks.dbs[0].data[key.encode()]._check()
    twin("RENAME", "t", "u")
    twin("XLEN", "u")
    assert twin.ours("MEMORY", "USAGE", "s") > 150 * 40
    twin("DEL", "s", "u")


def test_what_the_primary_sends_may_have_a_limit_with_an_exact_threshold(
    client: EngineClient,
) -> None:
    command = ["XADD", "s", "MAXLEN", "=", 1, "LIMIT", 5, "1-1", "a", 1]
    assert type(client(*command)) is ReplyError
    client.engine.ks.ignore_expiry = True
    assert client(*command) == b"1-1"


# What others derive from changes


def test_events_and_propagation(client: EngineClient) -> None:
    observer = Observer(client)
    now_ms = client.clock.now_ms()
    for command, events, told in (
        ("XADD s 1-1 a 1", "new xadd", "XADD s 1-1 a 1"),
        ("XADD s 5-* a 1", "xadd", "XADD s 5-0 a 1"),
        ("XADD s MAXLEN ~ 1 6-1 a 1", "xadd", "XADD s MAXLEN = 3 6-1 a 1"),
        ("XADD s MAXLEN 2 7-1 a 1", "xadd xtrim", "XADD s MAXLEN 2 7-1 a 1"),
        ("XADD s NOMKSTREAM MINID ~ 7 LIMIT 9 8-1 a 1", "xadd",
         "XADD s NOMKSTREAM MINID = 6-1 LIMIT 9 8-1 a 1"),
        ("XADD s * a 1", "xadd", f"XADD s {now_ms}-0 a 1"),
        ("XADD no NOMKSTREAM * a 1", "", ""),
        ("XADD s 1-1 a 1", "", ""),
        ("XTRIM s MAXLEN ~ 1", "", ""),
        ("XTRIM s MAXLEN 3", "xtrim", "XTRIM s MAXLEN 3"),
        ("XDEL s 8-1 9-9", "xdel", "XDEL s 8-1 9-9"),
        ("XDEL s 8-1", "", ""),
        (f"XSETID s {now_ms}-5", "xsetid", f"XSETID s {now_ms}-5"),
        ("XTRIM s MAXLEN ~ 0", "xtrim", "XTRIM s MAXLEN = 0"),
        ("XADD s MAXLEN ~ 0 * a 1", "xadd xtrim", f"XADD s MAXLEN = 0 {now_ms}-6 a 1"),
    ):  # fmt: skip
        expected = [f"0:s {event}" for event in events.split()]
        assert observer.after(*command.split()) == (expected, [f"0:{told}"] if told else [])


def test_what_watching_clients_learn(twin: Twin) -> None:
    other = twin.another()
    twin("XADD", "s", "1-1", "a", 1)
    for command in (
        "XADD s 2-1 a 1", "XADD s 3-1 a 1", "XDEL s 1-1", "XDEL s 1-1", "XTRIM s MAXLEN 1",
        "XTRIM s MAXLEN 1", "XSETID s 9-9", "XGROUP CREATE s g 0", "XGROUP SETID s g 0-1",
        "XREADGROUP GROUP g c COUNT 1 STREAMS s >", "XACK s g 3-1",
        "XCLAIM s g c 0 3-1 FORCE JUSTID", "XAUTOCLAIM s g d 0 - JUSTID",
        "XGROUP DELCONSUMER s g c", "XGROUP DESTROY s g", "DEL s", "XGROUP CREATE s g 0 MKSTREAM",
        "XREAD STREAMS s 0",
    ):  # fmt: skip
        twin("WATCH", "s")
        other(*command.split())
        twin("MULTI")
        twin("PING")
        twin("EXEC")
