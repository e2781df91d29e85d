"""Bitmap commands beside a real server: every option, error and edge of a range."""

from __future__ import annotations

import random
import re

import pytest

from tests.support import EngineClient, Twin, new_client

SMALL = {"foo": b"foobar", "mixed": b"\xff\xf0\x00\x0f", "zeros": bytes(3), "ones": b"\xff" * 3,
         "bit": b"\x10", "empty": b""}  # fmt: skip


def fill(twin: Twin) -> None:
    for key, value in SMALL.items():
        twin("SET", key, value)
    twin("INCRBY", "number", 121)
    twin("RPUSH", "list", "x")


def modified(twin: Twin, *args: object) -> None:
    """The command, and what it adds to the count of changes."""

    def count() -> int:
        found = re.search(rb"rdb_changes_since_last_save:(\d+)", twin.real("INFO", "persistence"))
        assert found is not None
        return int(found[1])

    before, before_ours = count(), twin.ours.engine.ks.dirty
    twin(*args)
    assert twin.ours.engine.ks.dirty - before_ours == count() - before, args


# Single bits


def test_setbit_getbit(twin: Twin) -> None:
    fill(twin)
    for key in ("missing", "foo", "number", "empty"):
        for offset in (0, 7, 8, 23, 100):
            for bit in (1, 1, 0, 0):
                modified(twin, "SETBIT", key, offset, bit)
                twin("GETBIT", key, offset)
            twin("GET", key)
    modified(twin, "SETBIT", "zeros", 24, 0)
    twin("STRLEN", "zeros")


@pytest.mark.parametrize("offset", ["-1", "x", "", "01", "#1", 2**32, 2**32 + 1, 2**63, 2**62])
def test_bit_offsets_that_are_none(twin: Twin, offset: object) -> None:
    fill(twin)
    for key in ("missing", "foo", "list"):
        twin("GETBIT", key, offset)
        twin("SETBIT", key, offset, 1)
        twin("SETBIT", key, offset, "x")


def test_values_that_are_no_bit(twin: Twin) -> None:
    fill(twin)
    for bit in ("2", "-1", "x", "", "01"):
        twin("SETBIT", "foo", 1, bit)
        twin("SETBIT", "list", 1, bit)
    twin("SETBIT", "list", 1, 1)
    twin("GETBIT", "list", 1)
    twin("GETBIT", "foo", 2**32 - 1)


def test_setbit_touches_the_string_in_place(client: EngineClient) -> None:
    client("SETBIT", "k", 8 * 1024 * 1024, 1)
    value = client.session.db.data[b"k"]
    assert type(value) is bytearray
    client("SETBIT", "k", 3, 1)
    assert client.session.db.data[b"k"] is value
    assert client("BITPOS", "k", 1) == 3


def test_offsets_follow_the_configured_limit() -> None:
    client = new_client(proto_max_bulk_len=1024 * 1024)
    last = 8 * 1024 * 1024 - 1
    assert client("SETBIT", "k", last, 1) == 0
    assert client("GETBIT", "k", last) == 1
    error = b"ERR bit offset is not an integer or out of range"
    assert client("SETBIT", "k", last + 1, 1) == error
    assert client("BITFIELD", "k", "GET", "u1", last + 1) == error


# Whole strings


@pytest.mark.parametrize("key", [*SMALL, "number", "missing"])
def test_bitcount_and_bitpos_of_every_range(twin: Twin, key: str) -> None:
    fill(twin)
    twin("BITCOUNT", key)
    for bit in (0, 1):
        twin("BITPOS", key, bit)
    for unit, places in (("", (0, 1, 3, 5, -1, -2, -7)), ("BIT", (0, 5, 8, 11, 60, -1, -9, -30))):
        for start in places:
            for bit in (0, 1):
                twin("BITPOS", key, bit, start)
            for end in places:
                options = (start, end, *unit.split())
                twin("BITCOUNT", key, *options)
                for bit in (0, 1):
                    twin("BITPOS", key, bit, *options)


def test_bitcount_and_bitpos_errors(twin: Twin) -> None:
    fill(twin)
    for rest in (
        "0", "x", "0 x", "x 0", "0 1 foo", "0 1 byte", "0 1 BIT BIT", "x 1 foo", "0 x foo",
        f"0 {2**63}", f"{-(2**63)} {2**63 - 1}",
    ):  # fmt: skip
        twin("BITCOUNT", "foo", *rest.split())
        for bit in ("1", "0", "2", "x"):
            twin("BITPOS", "foo", bit, *rest.split())


@pytest.mark.parametrize("key", ["foo", "missing", "list"])
@pytest.mark.parametrize(
    "command",
    [
        "BITCOUNT {} 0", "BITCOUNT {} a b", "BITCOUNT {} 1 a XX", "BITCOUNT {} -1 -5 XX",
        "BITCOUNT {} 0 1 BIT y", "BITPOS {} 0 x", "BITPOS {} 0 0 1 XX", "BITPOS {} 0 0 a",
        "BITPOS {} 1 0 1 BIT y",
    ],
)  # fmt: skip
def test_arguments_are_read_before_the_key_is_looked_up(command: str, key: str) -> None:
    client = new_client()
    client("SET", "foo", "abc")
    client("RPUSH", "list", "x")
    number = ("BITCOUNT {} a b", "BITCOUNT {} 1 a XX", "BITPOS {} 0 x", "BITPOS {} 0 0 a")
    error = "value is not an integer or out of range" if command in number else "syntax error"
    assert client(*command.format(key).split()) == b"ERR " + error.encode()
    assert client.engine.ks.hits == client.engine.ks.misses == 0


@pytest.mark.parametrize("operation", ["AND", "or", "XOR"])
def test_bitop(twin: Twin, operation: str) -> None:
    fill(twin)
    for keys in ("foo", "foo mixed", "mixed foo ones", "foo missing", "missing", "foo number empty",
                 "foo list", "list", "empty missing"):  # fmt: skip
        twin("SET", "to", "old", "EX", 1000)
        modified(twin, "BITOP", operation, "to", *keys.split())
        twin("GET", "to")
        assert (twin.real("PTTL", "to") > 0) == (b"to" in twin.ours.session.db.expires)
    modified(twin, "BITOP", operation, "list", "foo")
    twin("GET", "list")


def test_bitop_not_and_errors(twin: Twin) -> None:
    fill(twin)
    for key in SMALL:
        modified(twin, "BITOP", "NOT", "to", key)
        twin("GET", "to")
    twin("BITOP", "not", "number", "number")
    twin("GET", "number")
    twin("BITOP", "NOT", "to", "foo", "bit")
    twin("BITOP", "NOT", "list", "missing")
    twin("GET", "list")
    twin("BITOP", "NAND", "to", "foo")
    modified(twin, "BITOP", "NOT", "missing", "empty")


def test_strings_of_many_pieces(twin: Twin) -> None:
    rng = random.Random(7)
    piece = 1 << 16
    twin("SET", "a", rng.randbytes(3 * piece + 1))
    twin("SET", "b", rng.randbytes(piece))
    twin("SET", "zeros", bytes(2 * piece) + b"\x04")
    twin("SET", "ones", b"\xff" * (2 * piece) + b"\xf8")
    twin("BITCOUNT", "a")
    for operation in ("AND", "OR", "XOR"):
        twin("BITOP", operation, "to", "a", "b", "zeros", "ones")
        twin("GET", "to")
    twin("BITOP", "NOT", "to", "a")
    twin("GET", "to")
    twin("BITPOS", "zeros", 1)
    twin("BITPOS", "ones", 0)
    for _ in range(60):
        low, high = sorted(rng.randrange(2 * piece * 8 + 8) for _ in range(2))
        for start, end in ((low, high), (low, -1), (piece * 8, high), (low, piece * 8 - 1)):
            twin("BITCOUNT", "a", start, end, "BIT")
            twin("BITPOS", "zeros", 1, start, end, "BIT")
            twin("BITPOS", "ones", 0, start, end, "BIT")
            twin("BITPOS", "ones", 0, start // 8)


# Bit fields


@pytest.mark.parametrize("kind", ["u1", "i1", "u4", "i5", "u8", "i8", "u33", "u63", "i63", "i64"])
@pytest.mark.parametrize("overflow", ["WRAP", "SAT", "FAIL"])
def test_bitfield_overflows(twin: Twin, kind: str, overflow: str) -> None:
    fill(twin)
    width = int(kind[1:])
    # Saturating still lower, Redis compares with a difference that overflows its 64 bits.
    least = -(2**63) + (2 ** (width - 1) if kind[0] == "i" and overflow == "SAT" else 0)
    operands = {0, 1, -1, 2**width - 1, 2 ** (width - 1), -(2 ** (width - 1)), 200, least,
                2**63 - 1}  # fmt: skip
    for operand in sorted(operands):
        if -(2**63) <= operand < 2**63:
            for operation in ("SET", "INCRBY", "INCRBY"):
                modified(
                    twin, "BITFIELD", "k", "OVERFLOW", overflow, operation, kind, 5, operand,
                    operation, kind, "#1", operand, "GET", kind, 5, "GET", "u16", 3,
                )  # fmt: skip
    twin("GET", "k")


@pytest.mark.parametrize(
    "words",
    [
        "", "GET u8 0", "GET u8", "GET", "SET u8 0", "INCRBY i8 0", "OVERFLOW", "OVERFLOW x",
        "foo u8 0", "GET u64 0", "GET i65 0", "GET u0 0", "GET x8 0", "GET U8 0", "GET u 0",
        "GET u08 0", "GET i64 #0", "GET u8 -1", "GET u8 #-1", "GET u8 #", "GET u8 x",
        f"GET u8 {2**32}", f"GET u8 {2**32 - 1}", f"GET u8 #{2**29}", f"GET u8 #{2**60}",
        "SET u8 0 x", "SET u8 x x", "SET z8 x x", "set u8 0 5 get u8 0", "SET u8 0 5 SET u8 0 x",
        "SET i8 0 128 GET i8 0", "GET u8 1000", "SET u8 #3 65 GET u63 20",
        "OVERFLOW FAIL SET u2 0 9", "OVERFLOW FAIL SET u2 500 9", "SET u8 0 102",
        "OVERFLOW sat SET u8 0 -1 OVERFLOW wrap SET u8 0 -1 OVERFLOW FAIL SET u8 0 -1",
    ],
)  # fmt: skip
def test_bitfield_words(twin: Twin, words: str) -> None:
    fill(twin)
    for name in ("BITFIELD", "BITFIELD_RO"):
        for key in ("foo", "number", "missing", "list"):
            modified(twin, name, key, *words.split())
            twin("EXISTS", key)
            if key != "list":
                twin("GET", key)


@pytest.mark.parametrize("seed", range(3))
def test_random_sessions(twin: Twin, seed: int) -> None:
    rng = random.Random(seed)
    keys = ["a", "b", "c"]
    for _ in range(200):
        offset, bit = rng.randrange(70), rng.randrange(2)
        kind = rng.choice("ui") + str(rng.randrange(1, 64))
        key, other, number = rng.choice(keys), rng.choice(keys), rng.randrange(-300, 300)
        request = rng.choice(
            [
                ("SETBIT", key, offset, bit), ("GETBIT", key, offset), ("APPEND", key, number),
                ("BITCOUNT", key, -offset, number, "BIT"), ("BITPOS", key, bit, number, offset),
                ("BITOP", rng.choice(["AND", "OR", "XOR"]), key, other, "a", "b"), ("INCR", key),
                ("BITOP", "NOT", key, other), ("BITFIELD", key, "GET", kind, offset),
                ("BITFIELD", key, "SET", kind, f"#{bit}", number, "OVERFLOW", "SAT", "INCRBY",
                 kind, offset, number, "OVERFLOW", "FAIL", "INCRBY", "i8", offset, number),
                ("BITPOS", key, bit), ("SETRANGE", key, offset // 8, number),
            ]
        )  # fmt: skip
        modified(twin, *request)
        twin("MGET", *keys)
    twin.ours.session.db._check()


# Operations of 8.2, which the reference does not have; expected is what their documentation says


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ("DIFF", 0b1000_0000_0000_0011),
        ("DIFF1", 0b0000_1011_0011_0000),
        ("andor", 0b0111_0000_0100_0000),
        ("ONE", 0b1000_1010_0001_0011),
    ],
)
def test_operations_on_sets_of_bits(client: EngineClient, operation: str, result: int) -> None:
    x, y, z = 0b1111_0000_0100_0011, 0b0110_0011_0110_0000, 0b0011_1001_0011_0000
    for key, bits in (("x", x), ("y", y), ("z", z)):
        client("SET", key, bits.to_bytes(2, "big"))
    assert client("BITOP", operation, "r", "x", "y", "z") == 2
    assert f"{int.from_bytes(client('GET', 'r'), 'big'):016b}" == f"{result:016b}"


def test_operations_on_strings_of_different_lengths(client: EngineClient) -> None:
    client("SET", "short", b"\xff")
    client("SET", "long", b"\x0f\x0f")
    for operation, keys, result in (
        ("DIFF", ("long", "short"), b"\x00\x0f"),
        ("DIFF", ("short", "long", "no"), b"\xf0\x00"),
        ("DIFF1", ("long", "short"), b"\xf0\x00"),
        ("ANDOR", ("long", "short", "no"), b"\x0f\x00"),
        ("ONE", ("long", "short"), b"\xf0\x0f"),
        ("ONE", ("long",), b"\x0f\x0f"),
    ):
        assert client("BITOP", operation, "r", *keys) == 2
        assert client("GET", "r") == result
    for operation in ("DIFF", "diff1", "ANDOR"):
        error = f"ERR BITOP {operation.upper()} must be called with at least two source keys."
        assert client("BITOP", operation, "r", "long") == error.encode()
    assert client("BITOP", "ONE", "r", "no", "no") == 0
    assert client("EXISTS", "r") == 0
