"""Hashes with TTLs of fields in the RDB format.

The bytes are written after Redis 7.4's format; there was no such server to compare with.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyredis.config import Config
from pyredis.persistence.encoding import Encoder, Source
from pyredis.persistence.values import decode_value, encode_value, value_type
from pyredis.types.hashes import Hash
from tests.support import EngineClient, new_client

LIMITS = Config()


def body(value: Hash) -> tuple[int, bytes]:
    """Type and body as they are written, in whatever version."""
    kind = value_type(value, 10)
    assert value_type(value, 12) == kind
    return kind, b"".join(encode_value(value, kind, Encoder(False)))


def read(kind: int, data: bytes) -> Hash | None:
    return decode_value(kind, Source(data), LIMITS)


@given(
    st.dictionaries(st.binary(max_size=5), st.binary(max_size=5), min_size=1, max_size=9),
    st.lists(st.integers(1, 2**46 - 1), max_size=9),
    st.booleans(),
)
def test_there_and_back(fields: dict[bytes, bytes], times: list[int], large: bool) -> None:
    value = Hash.of(fields, LIMITS)
    value.hashtable = large
    for field, when_ms in zip(fields, times, strict=False):
        value.set_deadline(field, when_ms)
    twin = read(*body(value))
    assert twin is not None
    twin._check()
    assert twin.fields == fields
    assert [twin.deadline(field) for field in fields] == [value.deadline(field) for field in fields]


def test_bytes() -> None:
    value = Hash.of({b"a": b"x", b"b": b"y", b"c": b"z"}, LIMITS)
    value.set_deadline(b"c", 1000)
    value.set_deadline(b"b", 1005)
    first = b"\xe8\x03" + bytes(6)
    assert body(value) == (
        25,
        first + b"\x21" + b"\x21\x00\x00\x00\x09\x00"
        b"\x81c\x02\x81z\x02\xc3\xe8\x02"
        b"\x81b\x02\x81y\x02\xc3\xed\x02"
        b"\x81a\x02\x81x\x02\x00\x01\xff",
    )
    value.hashtable = True
    rows = b"\x00\x01a\x01x", b"\x06\x01b\x01y", b"\x01\x01c\x01z"
    assert body(value) == (24, first + b"\x03" + b"".join(rows))


def test_without_deadlines_it_is_any_hash() -> None:
    value = Hash.of({b"a": b"x"}, LIMITS)
    value.set_deadline(b"a", 1000)
    value.persist(b"a")
    assert value_type(value, 12) == 16


@pytest.mark.parametrize(
    ("kind", "data", "reason"),
    [
        (24, bytes(8) + b"\x02\0\1a\1x\0\1a\1y", "twice"),
        (24, b"\xff" * 8 + b"\x01\2\1a\1x", "no time"),
        (24, bytes(8) + b"\x01\1\1a\1x", "no time"),
        (25, bytes(8) + b"\x0c\x0c\0\0\0\2\0\x81a\2\0\1\xff", "lacks"),
    ],
)
def test_damage(kind: int, data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(kind, data)


@pytest.mark.parametrize("entries", [0, 512])
def test_dump_and_restore(entries: int) -> None:
    client: EngineClient = new_client(hash_max_listpack_entries=entries)
    client("HSET", "h", "a", 1, "b", 2)
    client("HEXPIRE", "h", 10, "FIELDS", 1, "a")
    payload = client("DUMP", "h")
    client("DEL", "h")
    client.clock.advance(5000)
    client("RESTORE", "h", 0, payload)
    client.engine.ks._check()
    assert client("HTTL", "h", "FIELDS", 2, "a", "b") == [5, -1]
    client.tick(5000)
    client.engine.cron()
    assert client("HLEN", "h") == 1
