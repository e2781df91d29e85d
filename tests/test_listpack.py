"""Listpacks, and the blocks of memory that came before them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyredis.persistence import listpack
from pyredis.persistence.legacy import (
    decode_intset,
    decode_ziplist,
    decode_zipmap,
    encode_intset,
)
from pyredis.types.lists import entry_bytes
from tests.samples import EDGES, SIZES

int64s = st.integers(-(1 << 63), (1 << 63) - 1)
entries = st.one_of(st.binary(max_size=200), int64s, st.sampled_from(EDGES))


def text_of(entry: listpack.Entry) -> bytes:
    """An entry as it comes back."""
    return entry if isinstance(entry, bytes) else b"%d" % entry


@given(st.lists(entries, max_size=30))
@example([b"", b"-", b"-0", b"007", b"+5", b"9223372036854775808", b"18446744073709551616"])
@example([b"x" * size for size in (*SIZES, 127 - 2, 128, 16383 - 5, 16384 - 5, 16385, 2097151)])
@example(list(EDGES))
def test_round_trip(given_entries: list[listpack.Entry]) -> None:
    data = listpack.encode(given_entries)
    assert listpack.decode(data) == [text_of(entry) for entry in given_entries]
    assert len(data) == 7 + sum(entry_bytes(text_of(entry)) for entry in given_entries)


def test_bytes() -> None:
    data = listpack.encode([b"a", 1, b"-1", 300, 70000, b"b" * 64])
    assert data == (
        b"\x5a\0\0\0"
        b"\6\0"
        b"\x81a\2"
        b"\1\1"
        b"\xdf\xff\2"
        b"\xc1\x2c\2"
        b"\xf2\x70\x11\1\4"
        b"\xe0\x40" + b"b" * 64 + b"\x42"
        b"\xff"
    )


def test_more_entries_than_the_header_can_count() -> None:
    data = listpack.encode([1] * 70_000)
    assert data[4:6] == b"\xff\xff"
    assert len(listpack.decode(data)) == 70_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\7\0\0\0\0\0",
        b"\x08\0\0\0\0\0\xff",
        b"\7\0\0\0\0\0\0",
        b"\7\0\0\0\1\0\xff",
        b"\x09\0\0\0\2\0\1\1\xff",
        b"\x08\0\0\0\1\0\1\xff",
        b"\x09\0\0\0\1\0\xbfa\xff",
        b"\x09\0\0\0\1\0\xf5a\xff",
        b"\x09\0\0\0\1\0\xffa\xff",
        b"\x0c\0\0\0\1\0\xf0\xff\xff\xff\xff\xff",
        b"\x0a\0\0\0\1\0\xf4\0\0\xff",
    ],
)
def test_damaged_listpacks(data: bytes) -> None:
    with pytest.raises(ValueError, match="listpack"):
        listpack.decode(data)


@given(st.binary(max_size=40), st.integers(0, 5))
def test_any_bytes(body: bytes, count: int) -> None:
    data = (len(body) + 7).to_bytes(4, "little") + count.to_bytes(2, "little") + body + b"\xff"
    blocks = (data, body, data[:4] + bytes(4) + data[4:])
    for decode in (listpack.decode, decode_ziplist, decode_zipmap, decode_intset):
        for block in blocks:
            with contextlib.suppress(ValueError):
                decode(block)


# Ziplists


def ziplist(*heads_and_data: bytes) -> bytes:
    """The ziplist of these entries, given without the length of the one before."""
    body, before = b"", 0
    for entry in heads_and_data:
        back = bytes((before,)) if before < 254 else b"\xfe" + before.to_bytes(4, "little")
        body += back + entry
        tail, before = len(body) - len(back + entry), len(back + entry)
    head = (len(body) + 11).to_bytes(4, "little") + (10 + tail).to_bytes(4, "little")
    return head + len(heads_and_data).to_bytes(2, "little") + body + b"\xff"


def test_ziplist() -> None:
    long = b"x" * 300
    longer = b"y" * 20_000
    data = ziplist(
        b"\2ab",
        b"\x41\x2c" + long,
        b"\x80\0\0\x4e\x20" + longer,
        b"\xf1",
        b"\xfd",
        b"\xfe\x80",
        b"\xc0\0\x80",
        b"\xf0\xff\xff\x7f",
        b"\xd0\0\0\0\x80",
        b"\xe0" + b"\xff" * 7 + b"\x7f",
        b"\0",
    )
    assert decode_ziplist(data) == [
        b"ab", long, longer, b"0", b"12", b"-128", b"-32768", b"8388607", b"-2147483648",
        b"9223372036854775807", b"",
    ]  # fmt: skip


def test_ziplist_of_the_documentation() -> None:
    data = bytes.fromhex("0f000000 0c000000 0200 00f3 02f6 ff")
    assert decode_ziplist(data) == [b"2", b"5"]


@pytest.mark.parametrize(
    "change",
    [
        (0, 99), (8, 3), (10, 1), (11, 0x90), (11, 0x05), (11, 0xC1), (12, 3), (14, 0), (13, 0x40)
    ],
)  # fmt: skip
def test_damaged_ziplists(change: tuple[int, int]) -> None:
    data = bytearray.fromhex("0f000000 0c000000 0200 00f3 02f6 ff")
    data[change[0]] = change[1]
    with pytest.raises(ValueError, match="ziplist"):
        decode_ziplist(bytes(data))


# Zipmaps


def test_zipmap() -> None:
    data = b"\2\3foo\3\0bar\5hello\5\2world??\xff"
    assert decode_zipmap(data) == [b"foo", b"bar", b"hello", b"world"]
    long = b"v" * 300
    data = b"\1\1k\xfe\x2c\1\0\0\0" + long + b"\xff"
    assert decode_zipmap(data) == [b"k", long]


@pytest.mark.parametrize(
    "data", [b"", b"\1", b"\1\3foo\xff", b"\1\3foo\3\0bar", b"\2\1a\1\0b\xff", b"\1\1a\x09\0b\xff"]
)
def test_damaged_zipmaps(data: bytes) -> None:
    with pytest.raises(ValueError, match="zipmap"):
        decode_zipmap(data)


# Intsets


@given(st.sets(int64s, min_size=1, max_size=50))
def test_intset(numbers: set[int]) -> None:
    assert decode_intset(encode_intset(list(numbers))) == tuple(sorted(numbers))


@pytest.mark.parametrize(
    ("numbers", "width"),
    [([1, -32768, 32767], 2), ([32768], 4), ([-32769], 4), ([-(2**31)], 4), ([2**31], 8)],
)
def test_intset_width(numbers: list[int], width: int) -> None:
    data = encode_intset(numbers)
    assert data[0] == width
    assert len(data) == 8 + width * len(numbers)


@pytest.mark.parametrize(
    "text",
    ["", "02000000", "03000000 00000000", "02000000 02000000 0100", "02000000 02000000 02000100",
     "02000000 02000000 01000100", "02000000 ffffffff 0100"],
)  # fmt: skip
def test_damaged_intsets(text: str) -> None:
    with pytest.raises(ValueError, match="intset"):
        decode_intset(bytes.fromhex(text))
