"""LZF: what is compressed comes back; what is no LZF is refused."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyredis.persistence.lzf import compress, decompress

texts = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([b"a", b"bc", b"hello ", b"\0" * 40]), max_size=200).map(b"".join),
)


@given(texts)
@example(b"")
@example(b"aaa")
@example(bytes(100_000))
@example(bytes(range(256)) * 40)
@example(b"x" * 263 + b"y" + b"x" * 265)
def test_round_trip(text: bytes) -> None:
    packed = compress(text, 2 * len(text) + 2)
    assert packed is not None
    assert decompress(packed, len(text)) == text


def test_compresses_well() -> None:
    assert len(compress(bytes(100_000), 100_000) or b"") < 1200
    page = b'{"id": 17, "name": "Ada", "tags": ["a", "b"]}\n' * 50
    assert len(compress(page, len(page)) or b"") < len(page) // 10


def test_gives_up_beyond_the_limit() -> None:
    noise = random.Random(1).randbytes(5000)
    assert compress(noise, len(noise) - 4) is None
    packed = compress(b"abcabcabcabc", 100)
    assert packed is not None
    assert compress(b"abcabcabcabc", len(packed)) == packed
    assert compress(b"abcabcabcabc", len(packed) - 1) is None


def test_matches_reach_back_8192_bytes() -> None:
    rng = random.Random(2)
    start = rng.randbytes(200)
    for gap, matches in ((7992, True), (7993, False)):
        text = start + bytes(gap) + start
        packed = compress(text, len(text)) or b""
        assert (len(packed) < 400) == matches
        assert decompress(packed, len(text)) == text


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (b"", b""),
        (b"\0a", b"a"),
        (b"\2abc\x20\2", b"abcabc"),
        (b"\0a\xe0\xff\0", b"a" * 265),
        (b"\1ab\xe0\0\1", b"ab" + b"abababab" + b"a"),
    ],
)
def test_instructions(packed: bytes, text: bytes) -> None:
    assert decompress(packed, len(text)) == text


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        (b"\0", 1),
        (b"\5abc", 6),
        (b"\0a\x20", 4),
        (b"\0a\xe0", 4),
        (b"\0a\xe0\1", 4),
        (b"\x20\0", 3),
        (b"\0a\x20\1", 4),
        (b"\0a", 2),
        (b"\1ab", 1),
        (b"\0a\xe0\xff\0", 100),
        (b"\0a", 1 << 60),
    ],
)
def test_refuses(packed: bytes, size: int) -> None:
    with pytest.raises(ValueError, match="compressed string"):
        decompress(packed, size)


@given(st.binary(max_size=60), st.integers(0, 1000))
def test_any_bytes(packed: bytes, size: int) -> None:
    with contextlib.suppress(ValueError):
        assert len(decompress(packed, size)) == size
