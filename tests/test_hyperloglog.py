"""HyperLogLogs: the same bytes, estimates and errors as a real server."""

from __future__ import annotations

import random
import re
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyredis.types import hll
from tests.observe import Observer
from tests.support import EngineClient, ReplyError, Twin, new_client

SPARSE_MAX_BYTES = 3000
CORRUPT = b"INVALIDOBJ Corrupted HLL object detected"


def elements(seed: int, count: int) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(rng.randrange(30)) for _ in range(count)]


def with_opcodes(*opcodes: int) -> bytes:
    """A sparse value of these opcodes, whatever they say."""
    return b"HYLL\x01\0\0\0" + bytes(7) + b"\x80" + bytes(opcodes)


def odd_sparse(rng: random.Random) -> bytes:
    """A value as no server would make it, but right: short runs, equal neighbours."""
    left, opcodes = hll.REGISTERS, b""
    while left:
        kind = rng.random()
        if kind < 0.3:
            span = min(left, rng.randrange(1, 65))
            opcodes += bytes([span - 1])
        elif kind < 0.4:
            span = min(left, rng.randrange(1, 3000))
            opcodes += struct.pack(">H", 0x4000 + span - 1)
        else:
            span = min(left, rng.randrange(1, 5))
            opcodes += bytes([0x80 | rng.choice([0, 0, 1, 2, 31]) << 2 | span - 1])
        left -= span
    return with_opcodes(*opcodes)


def same_value(twin: Twin, key: str) -> bytes:
    """Compare the value and what is said of it."""
    value: bytes = twin("GET", key)
    twin("PFDEBUG", "ENCODING", key)
    twin("PFDEBUG", "DECODE", key)
    twin("OBJECT", "ENCODING", key)
    return value


# The data structure


@pytest.mark.parametrize("count", [0, 1, 5, 60, 300, 1200, 2000])
def test_registers_are_the_highest_ranks(count: int) -> None:
    plain = [0] * hll.REGISTERS
    sparse, dense = hll.empty(), hll.empty()
    assert hll.make_dense(dense)
    for element in elements(count, count):
        index, rank = hll.place_of(element)
        grew = rank > plain[index]
        plain[index] = max(rank, plain[index])
        assert hll.add(sparse, element, SPARSE_MAX_BYTES) == grew
        assert hll.add(dense, element, SPARSE_MAX_BYTES) == grew
    assert list(hll.registers(sparse)) == list(hll.registers(dense)) == plain
    assert not hll.make_dense(dense)
    hll.make_dense(sparse)
    assert sparse == dense


@given(st.lists(st.tuples(st.integers(0, 16383), st.integers(1, 51)), max_size=40))
@settings(max_examples=50, deadline=None)
def test_raising_at_once_is_raising_one_by_one(pairs: list[tuple[int, int]]) -> None:
    by_steps, at_once = hll.empty(), hll.empty()
    wanted = bytearray(hll.REGISTERS)
    for index, rank in pairs:
        wanted[index] = max(wanted[index], rank)
    for index in filter(wanted.__getitem__, range(hll.REGISTERS)):
        one = bytearray(hll.registers(by_steps))
        one[index] = wanted[index]
        hll.raise_to(by_steps, bytes(one), SPARSE_MAX_BYTES)
    hll.raise_to(at_once, bytes(wanted), SPARSE_MAX_BYTES)
    assert by_steps == at_once
    assert hll.registers(at_once) == wanted


@given(*[st.integers(0, 63)] * 4)
def test_higher(a: int, b: int, c: int, d: int) -> None:
    half = hll.REGISTERS // 2
    x, y = bytes([a] * half + [b] * half), bytes([c] * half + [d] * half)
    assert hll.higher(x, y) == bytes([max(a, c)] * half + [max(b, d)] * half)


def test_estimates_stay_near_the_truth() -> None:
    value = hll.empty()
    for number in range(1, 30_001):
        hll.add(value, b"%d" % number, SPARSE_MAX_BYTES)
        if number in (1, 10, 100, 1000, 3000, 10_000, 30_000):
            assert hll.estimate(hll.registers(value)) == pytest.approx(number, rel=0.03)


def test_impossible_registers_have_the_highest_estimate() -> None:
    assert hll.estimate(bytes([63]) * hll.REGISTERS) == hll.COUNT_MAX


# Adding and counting


@pytest.mark.parametrize("size", range(26))
def test_elements_of_every_length(twin: Twin, size: int) -> None:
    for seed in range(3):
        twin("PFADD", "h", random.Random(seed).randbytes(size))
    same_value(twin, "h")


def test_pfadd_makes_the_same_bytes(twin: Twin) -> None:
    encodings = set()
    added = elements(1, 4000)
    for start in range(0, len(added), 125):
        twin("PFADD", "h", *added[start : start + 120])
        twin("PFADD", "h", added[start])
        value = same_value(twin, "h")
        encodings.add(value[4])
        twin("PFCOUNT", "h")
        twin("GET", "h")  # now with the count
    assert encodings == {0, 1}


def test_pfadd_of_nothing(twin: Twin) -> None:
    twin("PFADD", "h")
    same_value(twin, "h")
    twin("PFADD", "h")
    twin("PFCOUNT", "h")
    same_value(twin, "h")
    twin("PFADD", "h", "")
    twin("PFADD", "h", "")
    same_value(twin, "h")


@pytest.mark.parametrize("limit", [0, 18, 40, 16000])
def test_the_limit_of_sparse_values(twin: Twin, limit: int) -> None:
    twin("CONFIG", "SET", "hll-sparse-max-bytes", limit)
    try:
        for element in elements(3, 60):
            twin("PFADD", "h", element)
            same_value(twin, "h")
    finally:
        twin("CONFIG", "SET", "hll-sparse-max-bytes", SPARSE_MAX_BYTES)


def test_a_high_rank_makes_a_value_dense(twin: Twin) -> None:
    for element in (b"%d" % number for number in range(10**9)):
        if hll.place_of(element)[1] > 16:
            break
    twin("PFADD", "h", element)
    same_value(twin, "h")
    value = hll.empty()
    assert hll._set_sparse(value, 7, 33, SPARSE_MAX_BYTES, hll._BEGIN)[0]
    assert not hll.is_sparse(value)
    assert hll.registers(value)[6:9] == bytes([0, 33, 0])


def test_values_written_by_others(twin: Twin) -> None:
    rng = random.Random(4)
    for _ in range(60):
        twin("SET", "x", odd_sparse(rng))
        twin("SET", "y", odd_sparse(rng))
        twin("PFADD", "x", *(rng.randbytes(5) for _ in range(rng.randrange(30))))
        twin("GET", "x")
        twin("PFCOUNT", "x")
        twin("PFMERGE", "x", "y")
        same_value(twin, "x")


def test_a_value_goes_on_in_the_other_server(twin: Twin) -> None:
    for count in (50, 3000):
        twin.ours("PFADD", "a", *elements(count, count))
        twin.real("PFADD", "b", *elements(count + 1, count))
        twin("SET", "c", twin.ours("GET", "a"))
        twin("SET", "d", twin.real("GET", "b"))
        twin("PFCOUNT", "c")
        twin("PFCOUNT", "c", "d", "missing")
        twin("PFADD", "c", "more")
        twin("PFMERGE", "d", "c")
        same_value(twin, "d")


def test_pfcount(twin: Twin) -> None:
    twin("PFCOUNT", "missing")
    twin("PFCOUNT", "missing", "missing")
    for key, seed in (("a", 1), ("b", 2), ("c", 1)):
        twin("PFADD", key, *elements(seed, 1500))
    for keys in ("a b", "a c", "a a", "a b c missing"):
        twin("PFCOUNT", *keys.split())


# Merging


@pytest.mark.parametrize("sizes", [(3, 4), (0, 200), (500, 500), (900, 900), (5, 3000), (3000, 5)])
def test_pfmerge_makes_the_same_bytes(twin: Twin, sizes: tuple[int, int]) -> None:
    for key, size in zip("ab", sizes, strict=True):
        twin("PFADD", key, *elements(size, size))
    for destination in ("new", "a", "b", "new"):
        twin("PFMERGE", destination, "a", "b", "missing")
        same_value(twin, destination)
        twin("PFCOUNT", destination)
    twin("PFMERGE", "empty")
    same_value(twin, "empty")


def test_pfmerge_keeps_the_time_to_live(client: EngineClient) -> None:
    client("PFADD", "a", "x")
    client("PFADD", "b", "y")
    client("PEXPIRE", "a", 1000)
    client("PFMERGE", "a", "b")
    client("PFADD", "a", "z")
    assert client("PFCOUNT", "a") == 3
    assert client("PTTL", "a") == 1000


# Errors


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        "12345",
        b"HYLL",
        b"HYLL" + bytes(11),
        b"hyll\1" + bytes(13),
        b"HYLL\2" + bytes(13),
        b"HYLL\0" + bytes(12299 - 1),
        b"HYLL\0" + bytes(12299 + 1),
    ],
    ids=len,
)
def test_strings_that_are_none(twin: Twin, value: bytes) -> None:
    twin("SET", "s", value)
    twin("PFADD", "good", "x")
    for request in ("PFADD s x", "PFADD s", "PFCOUNT s", "PFCOUNT good s", "PFMERGE s good",
                    "PFMERGE good s", "PFMERGE new s", "PFDEBUG ENCODING s"):  # fmt: skip
        assert twin(*request.split()).startswith(b"WRONGTYPE Key is not a valid HyperLogLog")
    twin("GET", "s")
    twin("EXISTS", "new")


@pytest.mark.parametrize(
    "opcodes",
    [
        (),
        (0x7F,),
        (0x7F, 0xFE),
        (0x7F, 0xFF, 0x00),
        (0x80,),
        (0x7F, 0xFE, 0x81),
        (0x7F, 0xFF, 0x40),
    ],
    ids=str,
)
def test_corrupt_values(twin: Twin, opcodes: tuple[int, ...]) -> None:
    for request in ("PFCOUNT s", "PFCOUNT s good", "PFMERGE new s", "PFMERGE s good",
                    "PFDEBUG GETREG s", "PFDEBUG TODENSE s"):  # fmt: skip
        twin("SET", "s", with_opcodes(*opcodes))
        twin("PFADD", "good", "x")
        assert twin(*request.split()) == CORRUPT
        twin("EXISTS", "new")


def test_corrupt_values_that_would_be_huge(client: EngineClient) -> None:
    for opcode in (b"\x7f\xff", b"\x3f"):
        client("SET", "s", with_opcodes() + opcode * 1_000_000)
        assert client("PFCOUNT", "s") == CORRUPT


def test_adding_behind_the_end_of_a_corrupt_value(twin: Twin) -> None:
    twin("SET", "s", with_opcodes(0x40, 0x00))
    assert twin("PFADD", "s", "x") == CORRUPT
    twin("GET", "s")


def test_other_types(twin: Twin) -> None:
    twin("RPUSH", "l", "x")
    twin("PFADD", "good", "x")
    for request in ("PFADD l x", "PFCOUNT l", "PFCOUNT good l", "PFMERGE l good", "PFMERGE good l",
                    "PFDEBUG ENCODING l"):  # fmt: skip
        twin(*request.split())


# Effects


def dirt_of(twin: Twin, *args: object) -> None:
    """The command, what it adds to the count of changes, and to hits and misses."""

    def figures() -> tuple[bytes, ...]:
        info = twin.real("INFO", "everything")
        names = ("rdb_changes_since_last_save", "keyspace_hits", "keyspace_misses")
        return tuple(re.search(rb"%b:(\d+)" % name.encode(), info)[1] for name in names)  # type: ignore[index]

    def ours() -> tuple[int, ...]:
        ks = twin.ours.engine.ks
        return ks.dirty, ks.hits, ks.misses

    before, before_ours = figures(), ours()
    twin(*args)
    moved = [int(b) - int(a) for a, b in zip(before, figures(), strict=True)]
    assert [b - a for a, b in zip(before_ours, ours(), strict=True)] == moved, args


def test_how_much_changes(twin: Twin) -> None:
    for request in ("PFADD a x y z", "PFADD a x y", "PFADD a x v w", "PFADD b", "PFADD b",
                    "PFCOUNT a", "PFCOUNT a", "PFCOUNT b", "PFCOUNT a b none", "PFMERGE c a b none",
                    "PFMERGE c", "PFDEBUG ENCODING c", "PFDEBUG TODENSE c", "PFDEBUG TODENSE c",
                    "PFDEBUG GETREG b", "PFDEBUG GETREG b"):  # fmt: skip
        dirt_of(twin, *request.split())


def test_events_and_propagation(client: EngineClient) -> None:
    observer = Observer(client)
    assert observer.after("PFADD", "h", "x") == (["0:h new", "0:h pfadd"], ["0:PFADD h x"])
    assert observer.after("PFADD", "h", "x") == ([], [])
    assert observer.after("PFCOUNT", "h") == ([], ["0:PFCOUNT h"])
    assert observer.after("PFCOUNT", "h") == ([], [])
    assert observer.after("PFCOUNT", "h", "h") == ([], [])
    assert observer.after("PFMERGE", "h") == (["0:h pfadd"], ["0:PFMERGE h"])
    assert observer.after("PFDEBUG", "todense", "h") == ([], ["0:PFDEBUG todense h"])
    assert observer.after("PFDEBUG", "TODENSE", "h") == ([], [])


def test_counting_touches_a_watched_key(twin: Twin) -> None:
    other = twin.another()
    twin("PFADD", "h", "x")
    for touched in (True, False):  # the second time the count is known
        other("WATCH", "h")
        twin("PFCOUNT", "h")
        other("MULTI")
        assert (other("EXEC") != []) == touched


# For tests of the server


def test_pfdebug(twin: Twin) -> None:
    twin("PFADD", "h", *elements(9, 50))
    for request in ("decode h", "encoding h", "nonsense h", "GETREG h", "DECODE h", "ENCODING h",
                    "TODENSE h", "GETREG none"):  # fmt: skip
        twin("PFDEBUG", *request.split())
    twin("PFDEBUG", "GETREG")


def test_pfselftest(twin: Twin) -> None:
    twin("PFSELFTEST")


def test_pfselftest_finds_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hll, "estimate", lambda registers: 5)
    reply = new_client()("PFSELFTEST")
    assert isinstance(reply, ReplyError)
    assert reply.startswith(b"TESTFAILED")
