"""Glob patterns against a recursive twin, and against a real server."""

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyredis.glob import compile_glob
from tests.support import RealRedis


def lower(byte: int, nocase: bool) -> int:
    return byte + 32 if nocase and 65 <= byte <= 90 else byte


def match_slowly(pattern: bytes, text: bytes, nocase: bool = False) -> bool:
    """One byte of the text at a time, trying everything."""
    if not pattern or not text:
        return not text and not pattern
    kind, rest, byte = pattern[:1], pattern[1:], text[0]
    if kind == b"*":
        rest = rest.lstrip(b"*")
        return not rest or any(match_slowly(rest, text[at:], nocase) for at in range(len(text)))
    if kind == b"[":
        found, negated = False, rest[:1] == b"^"
        rest = rest[negated:]
        while rest and (rest[:1] != b"]"):
            if rest[:1] == b"\\" and len(rest) >= 2:
                found, rest = found or rest[1] == byte, rest[2:]
            elif len(rest) >= 3 and rest[1:2] == b"-":
                low, high = (lower(end, nocase) for end in sorted((rest[0], rest[2])))
                found, rest = found or low <= lower(byte, nocase) <= high, rest[3:]
            else:
                found = found or lower(rest[0], nocase) == lower(byte, nocase)
                rest = rest[1:]
        rest = rest[1:]
        fits = found != negated
    elif kind == b"?":
        fits = True
    else:
        if kind == b"\\" and rest:
            kind, rest = rest[:1], rest[1:]
        fits = lower(kind[0], nocase) == lower(byte, nocase)
    if not fits:
        return False
    return match_slowly(b"" if len(text) == 1 and not rest.strip(b"*") else rest, text[1:], nocase)


PATTERNS = st.lists(st.sampled_from(list("*?[]^\\-abAZz")), max_size=9).map("".join)
TEXTS = st.text(alphabet="abAZz]-\\^_*", max_size=8)


@pytest.mark.parametrize(
    ("pattern", "fits", "fails"),
    [
        (b"*", [b"a", b"\n"], [b""]),
        (b"", [b""], [b"a"]),
        (b"news.*", [b"news.", b"news.a\nb"], [b"news", b"xnews."]),
        (b"*.log", [b".log", b"a.log"], [b".logs"]),
        (b"*mid*", [b"mid", b"amidst"], [b"mi"]),
        (b"h?llo", [b"hallo"], [b"hllo"]),
        (b"h[^e]llo", [b"hallo"], [b"hello"]),
        (b"[c-a]", [b"b"], [b"d"]),
        (b"[abc", [b"c"], [b"d"]),
        (b"[a-]", [b"_"], [b"-"]),
        (b"[]", [], [b"", b"]"]),
        (b"[^]", [b"x"], [b""]),
        (rb"\*a\?", [b"*a?"], [b"xax"]),
        (b"a\\", [b"a\\"], [b"a"]),
    ],
)
def test_examples(pattern: bytes, fits: list[bytes], fails: list[bytes]) -> None:
    matches = compile_glob(pattern)
    assert all(map(matches, fits))
    assert not any(map(matches, fails))


def test_nocase() -> None:
    assert compile_glob(b"Max*[P-S]y", nocase=True)(b"maxpolicySY")
    assert not compile_glob(b"[Z-a]", nocase=True)(b"z")


@given(PATTERNS, TEXTS, st.booleans())
@example("[Z-a]", "z", True)
@example("**a**", "a", False)
def test_agrees_with_the_recursive_twin(pattern: str, text: str, nocase: bool) -> None:
    got = compile_glob(pattern.encode(), nocase)(text.encode())
    assert got is match_slowly(pattern.encode(), text.encode(), nocase)


def test_many_stars_do_not_explode() -> None:
    assert not compile_glob(b"a*" * 40 + b"b")(b"a" * 5000)
    assert compile_glob(b"*?" * 40 + b"[b]")(b"a" * 5000 + b"b")


def test_agrees_with_a_real_server(real_redis: RealRedis) -> None:
    rng = random.Random(7)
    keys = {bytes(rng.choices(b"abAZz]-\\^_*", k=rng.randrange(6))) for _ in range(60)}
    redis = real_redis.client()
    redis("FLUSHALL")
    for key in keys:
        redis("SET", key, "")
    for _ in range(300):
        pattern = bytes(rng.choices(b"*?[]^\\-abAZz", k=rng.randrange(1, 9)))
        if pattern != b"*":  # KEYS takes that as "all", without matching
            matches = compile_glob(pattern)
            assert set(redis("KEYS", pattern)) == {key for key in keys if matches(key)}, pattern
    redis.close()


@pytest.mark.parametrize("behind", [b"", b"*"])
def test_a_thousand_stars_are_the_limit(real_redis: RealRedis, behind: bytes) -> None:
    real = real_redis.client()
    for count in (1000, 1001):
        text, pattern = b"a" * count, b"*a" * count + behind
        real("FLUSHALL")
        real("SET", text, "")
        assert compile_glob(pattern)(text) is bool(real("KEYS", pattern)) is (count == 1000)
    real.close()
