"""Lists: the type beside a plain Python list, the commands beside a real server."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pyredis.types import lists as module
from pyredis.types.lists import List, entry_bytes
from tests.support import EngineClient, Listener, NullArray, ReplyError, Twin, new_client

values = st.sampled_from([b"", b"a", b"b", b"-1", b"127", b"x" * 70, b"y" * 900])
many = st.lists(values, max_size=30)
fills = st.sampled_from([-1, 3, 16, 1000])


class ListBesideList(RuleBasedStateMachine):
    """Every method, against the twin, with a limit that changes all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.list = List()
        self.twin: list[bytes] = []

    @initialize(content=st.lists(values, max_size=80), fill=fills)
    def build(self, content: list[bytes], fill: int) -> None:
        self.list = List.of(content, fill).copy()
        self.twin = list(content)

    @rule(more=many, fill=fills)
    def push_left(self, more: list[bytes], fill: int) -> None:
        self.list.push_left(more, fill)
        self.twin[:0] = more[::-1]

    @rule(more=many, fill=fills)
    def push_right(self, more: list[bytes], fill: int) -> None:
        self.list.push_right(more, fill)
        self.twin += more

    @rule(fill=fills)
    def pop(self, fill: int) -> None:
        if self.twin:
            assert self.list.pop_left(fill) == self.twin.pop(0)
        if self.twin:
            assert self.list.pop_right(fill) == self.twin.pop()

    @rule(count=st.integers(0, 40), fill=fills)
    def take(self, count: int, fill: int) -> None:
        assert self.list.take_left(count, fill) == self.twin[:count]
        del self.twin[:count]
        assert self.list.take_right(count, fill) == self.twin[::-1][:count]
        del self.twin[max(0, len(self.twin) - count) :]

    @rule(data=st.data(), fill=fills)
    def trim(self, data: Any, fill: int) -> None:
        start, stop = self.interval(data)
        assert self.list.trim(start, stop, fill) == len(self.twin) - (stop - start)
        self.twin = self.twin[start:stop]

    @rule(data=st.data(), value=values, fill=fills)
    def set_and_insert(self, data: Any, value: bytes, fill: int) -> None:
        if self.twin:
            index = data.draw(st.integers(-len(self.twin), len(self.twin) - 1))
            self.list.set(index, value, fill)
            self.twin[index] = value
        index = data.draw(st.integers(0, len(self.twin)))
        self.list.insert(index, value, fill)
        self.twin.insert(index, value)

    @rule(value=values, count=st.sampled_from([0, 1, 2, -1, -2, 20, -20]), fill=fills)
    def remove(self, value: bytes, count: int, fill: int) -> None:
        kept = self.twin if count >= 0 else self.twin[::-1]
        found = [index for index, item in enumerate(kept) if item == value]
        gone = set(found[: abs(count)] if count else found)
        assert self.list.remove(value, count, fill) == len(gone)
        kept = [item for index, item in enumerate(kept) if index not in gone]
        self.twin = kept if count >= 0 else kept[::-1]

    @rule(data=st.data())
    def read(self, data: Any) -> None:
        start, stop = self.interval(data)
        assert self.list.range(start, stop) == self.twin[start:stop]

    @rule(value=values, compared_max=st.integers(0, 30))
    def search(self, value: bytes, compared_max: int) -> None:
        places = [index for index, item in enumerate(self.twin) if item == value]
        limit = compared_max or len(self.twin)
        assert list(self.list.positions(value, False, compared_max)) == [
            place for place in places if place < limit
        ]
        assert list(self.list.positions(value, True, compared_max)) == [
            place for place in reversed(places) if place >= len(self.twin) - limit
        ]

    def interval(self, data: Any) -> tuple[int, int]:
        start = data.draw(st.integers(0, len(self.twin)))
        return start, data.draw(st.integers(start, len(self.twin)))

    @invariant()
    def agrees(self) -> None:
        self.list._check()
        assert list(self.list) == self.twin
        assert len(self.list) == len(self.twin)


def test_the_type_behaves_like_a_plain_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG", 50)
    monkeypatch.setattr(module, "RECOUNT", 25)
    monkeypatch.setattr(module, "_HOPS_MAX", 3)
    run_state_machine_as_test(ListBesideList, settings=settings(max_examples=40))


def test_sizes_are_those_of_a_listpack(twin: Twin) -> None:
    edges = [0, 1, 127, 128, 4095, 4096, 2**15, 2**23, 2**31, 2**63]
    numbers = [b"%d" % (sign * edge + off) for edge in edges for sign in (1, -1) for off in (0, -1)]
    texts = [b"x" * size for size in (0, 1, 63, 64, 125, 126, 127, 300)]
    odd = [b"00", b"-0", b"+1", b" 1", b"1_0", b"-", b"-1_0", b"9" * 20]
    for value in numbers + texts + odd:
        twin.real("DEL", "l")
        twin.real("RPUSH", "l", value)
        shown = twin.real("DEBUG", "OBJECT", "l")
        assert b"ql_uncompressed_size:%d" % (7 + entry_bytes(value)) in shown, value
    sizes = (4095, 4096, 16377, 16378, 2**21)
    assert [entry_bytes(b"x" * size) - size for size in sizes] == [4, 7, 7, 8, 9]


# Encoding: Redis 7.2 tells listpack from quicklist, 7.0 does not


def encoding(client: EngineClient, key: bytes = b"l") -> bytes:
    value: List = client.engine.ks.dbs[0].data[key]
    value._check()
    return value.encoding(client.engine.config)


def test_a_list_that_outgrows_the_limit_comes_back_at_half_of_it(client: EngineClient) -> None:
    client("RPUSH", "l", *("x" * 97 for _ in range(81)))
    assert encoding(client) == b"listpack"  # 7 + 81 * 100 bytes
    client("RPUSH", "l", "x" * 84)
    assert encoding(client) == b"listpack"
    client("RPUSH", "l", "x")
    assert encoding(client) == b"quicklist"
    client("LPOP", "l", 41)
    assert encoding(client) == b"quicklist"
    client("RPOP", "l")
    assert encoding(client) == b"listpack"


def test_a_limit_in_entries() -> None:
    client = new_client(list_max_listpack_size=4)
    client("RPUSH", "l", 1, 2, 3, 4)
    assert encoding(client) == b"listpack"
    client("LINSERT", "l", "BEFORE", 3, 0)
    assert encoding(client) == b"quicklist"
    client("LREM", "l", 0, 0)
    client("LPOP", "l")
    assert encoding(client) == b"quicklist"
    client("LTRIM", "l", 0, 1)
    assert encoding(client) == b"listpack"


def test_lset_converts_both_ways(client: EngineClient) -> None:
    client("RPUSH", "l", "a", "b")
    client("LSET", "l", 0, "x" * 8192)
    assert encoding(client) == b"quicklist"
    client("LSET", "l", 0, "a")
    assert encoding(client) == b"listpack"


def test_long_lists_are_counted_again_when_they_shrink(client: EngineClient) -> None:
    for _ in range(5):
        client("RPUSH", "l", *range(1000))
    assert encoding(client) == b"quicklist"
    for command in ("LPOP", "RPOP") * 1700:
        client(command, "l")
    assert client("LLEN", "l") == 1600
    assert encoding(client) == b"quicklist"
    client("LPOP", "l", 800)
    assert encoding(client) == b"listpack"


# Commands


def test_push(twin: Twin) -> None:
    for command in ("LPUSH", "RPUSH", "LPUSHX", "RPUSHX"):
        twin(command, "l")
        twin(command, f"{command}x", "a")
        twin(command, "l", "b", "c")
        twin("LRANGE", "l", 0, -1)
        twin("SET", "s", 1)
        twin(command, "s", "a")


@pytest.mark.parametrize("command", ["LPOP", "RPOP"])
def test_pop(twin: Twin, command: str) -> None:
    twin("RPUSH", "l", *"abcdefgh")
    twin("SET", "s", 1)
    for args in (
        ["l"], ["l", 0], ["l", 2], ["l", -1], ["l", "x"], ["no"], ["no", 1], ["no", 0],
        ["no", "x"], ["s"], ["s", 0], ["s", -1], ["l", 1, 2], [], ["l", 99], ["l"],
    ):  # fmt: skip
        twin(command, *args)


def test_index_and_set(twin: Twin) -> None:
    twin("RPUSH", "l", *"abc")
    twin("SET", "s", 1)
    for index in (0, 2, 3, -1, -3, -4, "x", 2**63, "1.0"):
        twin("LINDEX", "l", index)
        twin("LSET", "l", index, "new")
    for key in ("no", "s"):
        twin("LLEN", key)
        twin("LINDEX", key, "x")
        twin("LSET", key, "x", "y")
    twin("LRANGE", "l", 0, -1)
    twin("LLEN", "l")


def test_range_and_trim(twin: Twin) -> None:
    bounds = (0, 1, 4, 5, 9, -1, -2, -5, -6, -99)
    for start in bounds:
        for stop in bounds:
            twin("RPUSH", "l", *"abcde")
            twin("LRANGE", "l", start, stop)
            twin("LTRIM", "l", start, stop)
            twin("LRANGE", "l", 0, -1)
            twin("LTRIM", "l", 1, 0)
    twin("SET", "s", 1)
    for key in ("l", "no", "s"):
        for args in (["x", 1], [1, "x"], [0, -1]):
            twin("LRANGE", key, *args)
            twin("LTRIM", key, *args)


def test_range_of_a_long_list(twin: Twin) -> None:
    for _ in range(6):
        twin("RPUSH", "l", *range(1000))
    for start, stop in ((0, 9), (5990, -1), (3000, 3009), (2500, 3500), (2990, 5990)):
        twin("LRANGE", "l", start, stop)


def test_insert(twin: Twin) -> None:
    twin("RPUSH", "l", *"abcb")
    twin("SET", "s", 1)
    for args in (
        ["l", "BEFORE", "b", 1], ["l", "after", "b", 2], ["l", "AFTER", "b", 3],
        ["l", "BEFORE", "no", 1], ["l", "MIDDLE", "b", 1], ["no", "MIDDLE", "b", 1],
        ["no", "AFTER", "b", 1], ["s", "AFTER", "b", 1], ["s", "x", "b", 1],
    ):  # fmt: skip
        twin("LINSERT", *args)
    twin("LRANGE", "l", 0, -1)


@pytest.mark.parametrize("count", [0, 1, -1, 2, -2, 10, -10, 99, "x"])
def test_remove(twin: Twin, count: Any) -> None:
    twin("RPUSH", "l", *"abacabadab" * 4)
    twin("LREM", "l", count, "a")
    twin("LRANGE", "l", 0, -1)
    twin("LREM", "l", count, "no")
    twin("RPUSH", "m", "a", "a")
    twin("LREM", "m", count, "a")
    twin("LLEN", "m")
    twin("LREM", "no", count, "a")
    twin("SET", "s", 1)
    twin("LREM", "s", count, "a")


def test_positions(twin: Twin) -> None:
    twin("RPUSH", "l", *"abcabcabcx")
    twin("SET", "s", 1)
    twin("LPOS", "l", "b")
    for rank in (1, 2, 3, 4, -1, -2, -4, 2**63 - 1, -(2**63) + 1):
        for count in (0, 1, 2, 9):
            for compared_max in (0, 1, 5, 8, 99):
                twin("LPOS", "l", "b", "RANK", rank, "COUNT", count, "MAXLEN", compared_max)
        twin("LPOS", "l", "b", "rank", rank)
    for key in ("l", "no", "s"):
        for args in (
            ["COUNT", 0], ["COUNT", -1], ["COUNT", "x"], ["RANK", 0], ["RANK", "x"],
            ["MAXLEN", -1], ["MAXLEN", "x"], ["MAXLEN"], ["FOO", 1], [], ["COUNT", 1, "RANK"],
            ["COUNT", 2, "COUNT", 1],
        ):  # fmt: skip
            twin("LPOS", key, "b", *args)


def test_the_least_integer_is_no_rank_and_no_count(client: EngineClient) -> None:
    """New in 7.2."""
    bounds = (
        b"ERR value is out of range, value must between -9223372036854775807 "
        b"and 9223372036854775807"
    )
    client("RPUSH", "l", "a")
    assert client("LPOS", "l", "a", "RANK", -(2**63)) == bounds
    assert client("LREM", "l", -(2**63), "a") == bounds


def test_move(twin: Twin) -> None:
    sides = ("LEFT", "RIGHT", "left", "MID")
    twin("SET", "s", 1)
    for source in sides:
        for target in sides:
            twin("RPUSH", "l", *"abc")
            twin("LMOVE", "l", "m", source, target)
            twin("LMOVE", "l", "l", source, target)
            twin("LMOVE", "no", "l", source, target)
            twin("LMOVE", "no", "s", source, target)
            twin("LMOVE", "l", "s", source, target)
            twin("LMOVE", "s", "l", source, target)
            twin("LRANGE", "l", 0, -1)
    twin("LRANGE", "m", 0, -1)
    for source, target in (("l", "m"), ("l", "l"), ("no", "s"), ("l", "s"), ("s", "l")):
        twin("RPOPLPUSH", source, target)
    twin("RPUSH", "one", "a")
    twin("RPOPLPUSH", "one", "one")
    twin("RPOPLPUSH", "one", "new")
    twin("LLEN", "one")


def test_multi_pop(twin: Twin) -> None:
    twin("RPUSH", "l", *"abcdef")
    twin("RPUSH", "m", *"abcdef")
    twin("SET", "s", 1)
    for args in (
        [1, "l", "LEFT"], [2, "no", "l", "right"], [3, "no", "l", "m", "LEFT", "COUNT", 3],
        [1, "no", "LEFT"], [2, "l", "m", "LEFT", "count", 99], [0, "l", "LEFT"],
        ["x", "l", "LEFT"], [-1, "l", "LEFT"], [3, "l", "LEFT"], [2, "l", "LEFT"],
        [1, "l", "MID"], [1, "m", "LEFT", "COUNT"], [1, "m", "LEFT", "COUNT", 0],
        [1, "m", "LEFT", "COUNT", "x"], [1, "m", "LEFT", "COUNT", 1, "COUNT", 1],
        [1, "m", "LEFT", "FOO", 1], [2, "no", "s", "LEFT"], [2, "s", "m", "LEFT"],
        [2**63 - 1, "m", "LEFT"], [1, "m"],
    ):  # fmt: skip
        if type(twin("LMPOP", *args)) is ReplyError:
            twin("BLMPOP", 0, *args)


def test_nulls_and_shapes_under_resp3(client: EngineClient) -> None:
    client.session.resp3 = True
    for args in (
        ["LPOP", "no"], ["LPOP", "no", 1], ["LINDEX", "no", 1], ["LPOS", "no", 1],
        ["LMPOP", 1, "no", "LEFT"], ["LMOVE", "no", "x", "LEFT", "LEFT"],
    ):  # fmt: skip
        client.send(*args)
        assert client.take() == b"_\r\n"


def test_random_commands(twin: Twin) -> None:
    rng = random.Random(7)
    keys = ("k1", "k2")
    for _ in range(600):
        key, other = rng.choice(keys), rng.choice(keys)
        value, index = rng.choice("abcd"), rng.randint(-12, 12)
        twin(*rng.choice((
            ["LPUSH", key, value, value], ["RPUSH", key, value, "z"], ["LPOP", key],
            ["RPOP", key, abs(index)], ["LREM", key, index, value], ["LSET", key, index, value],
            ["LINSERT", key, "AFTER", value, "i"], ["LTRIM", key, index, index + 9],
            ["LMOVE", key, other, "LEFT", "RIGHT"], ["LPOS", key, value, "RANK", index or 1],
            ["LRANGE", key, 0, -1], ["LMPOP", 2, key, other, "LEFT", "COUNT", abs(index) + 1],
        )))  # fmt: skip
    twin.ours.engine.ks._check()


# What others derive from changes


def observed(client: EngineClient) -> tuple[list[Any], list[Any]]:
    """Events and propagated commands from now on."""
    events: list[Any] = []
    commands: list[Any] = []
    engine = client.engine
    engine.feeds.append(Listener(commands.extend))
    announce = engine.announce

    def note(changes: Any) -> None:
        events.extend((key, event) for _, key, event in changes if event not in ("new", "keymiss"))
        announce(changes)

    engine.announce = note  # type: ignore[method-assign]
    engine.observe()
    engine.ks.observed = True
    return events, commands


def test_events_and_dirty_counts(client: EngineClient) -> None:
    events, _ = observed(client)
    for args, expected, dirty in (
        (["RPUSH", "l", "a", "b", "c"], ["l:rpush"], 3),
        (["LPUSHX", "l", "z"], ["l:lpush"], 1),
        (["LPUSHX", "no", "z"], [], 0),
        (["LSET", "l", 0, "y"], ["l:lset"], 1),
        (["LINSERT", "l", "AFTER", "a", "x"], ["l:linsert"], 1),
        (["LINSERT", "l", "AFTER", "no", "x"], [], 0),
        (["LREM", "l", 0, "x"], ["l:lrem"], 1),
        (["LREM", "l", 0, "x"], [], 0),
        (["LTRIM", "l", 0, -1], ["l:ltrim"], 0),
        (["LTRIM", "l", 1, -1], ["l:ltrim"], 1),
        (["LMOVE", "l", "m", "LEFT", "RIGHT"], ["m:rpush", "l:lpop"], 1),
        (["LPOP", "l", 0], [], 0),
        (["RPOP", "l", 2], ["l:rpop", "l:del"], 2),
        (["RPOPLPUSH", "m", "l"], ["l:lpush", "m:rpop", "m:del"], 1),
        (["RPOPLPUSH", "l", "l"], ["l:lpush", "l:rpop"], 1),
        (["LTRIM", "l", 1, 0], ["l:ltrim", "l:del"], 1),
    ):
        events.clear()
        before = client.engine.ks.dirty
        client(*args)
        assert [f"{key.decode()}:{event}" for key, event in events] == expected, args
        assert client.engine.ks.dirty - before == dirty, args


def test_propagation(client: EngineClient) -> None:
    _, commands = observed(client)
    for args, expected in (
        ("RPUSH l a b c d e f g", "RPUSH l a b c d e f g"),
        ("LTRIM l 0 -1", None),
        ("LPOP l", "LPOP l"),
        ("LMPOP 2 no l LEFT COUNT 2", "LPOP l 2"),
        ("BLMPOP 1 1 l RIGHT", "RPOP l 1"),
        ("BLPOP no l 0", "LPOP l"),
        ("BRPOP l 0", "RPOP l"),
        ("BLMOVE l m left RIGHT 0", "LMOVE l m left RIGHT"),
        ("BRPOPLPUSH m l 0", "RPOPLPUSH m l"),
        ("LMPOP 1 l LEFT COUNT 10", "LPOP l 1"),
        ("LMPOP 1 l LEFT COUNT 10", None),
        ("LPOP l", None),
    ):
        commands.clear()
        client(*args.split())
        propagated = [b" ".join(argv).decode() for _, argv in commands]
        assert propagated == ([expected] if expected else []), args


def test_results_of_blocking_pops_without_waiting(twin: Twin) -> None:
    twin("RPUSH", "l", *"abcdefghij")
    twin("SET", "s", 1)
    for args in (
        ["BLPOP", "no", "l", 0], ["BRPOP", "l", 0], ["BLPOP", "s", 0], ["BLPOP", "l", "x"],
        ["BLPOP", "s", "x"], ["BLPOP", "l", -1], ["BLPOP", "l", "nan"], ["BLPOP", "l", "-0.0001"],
        ["BLPOP", "l", "0x1"], ["BLPOP", "l", "1 "], ["BLPOP", "l"], ["BRPOP", "no", "s", 0],
        ["BLMPOP", 0, 1, "l", "LEFT", "COUNT", 2], ["BLMPOP", 0, 1, "s", "LEFT"],
        ["BLMPOP", "x", 0, "l", "LEFT"], ["BLMPOP", -1, 1, "l", "LEFT"],
        ["BLMOVE", "l", "m", "LEFT", "RIGHT", 0], ["BLMOVE", "l", "s", "LEFT", "RIGHT", 0],
        ["BLMOVE", "s", "l", "LEFT", "RIGHT", 0], ["BLMOVE", "l", "l", "LEFT", "MID", "x"],
        ["BLMOVE", "l", "l", "LEFT", "LEFT", "x"], ["BRPOPLPUSH", "l", "m", 0],
        ["BRPOPLPUSH", "s", "l", "x"], ["BRPOPLPUSH", "s", "l", 0],
    ):  # fmt: skip
        twin(*args)


def test_null_kinds(client: EngineClient) -> None:
    assert client("LPOP", "no", 1) == NullArray()
    assert client("LMPOP", 1, "no", "LEFT") == NullArray()
    assert client("LPOP", "no") is None


def test_linsert_makes_room_before_it_looks_for_the_pivot(client: EngineClient) -> None:
    client("CONFIG", "SET", "list-max-listpack-size", "4")
    client("RPUSH", "l", "a", "b", "c", "d")
    assert client("OBJECT", "ENCODING", "l") == b"listpack"
    assert client("LINSERT", "l", "BEFORE", "none", "x") == -1
    assert client("OBJECT", "ENCODING", "l") == b"quicklist"
