"""Ranges of sorted sets: every command, option and error against a real server."""

from __future__ import annotations

import random

import pytest

from tests.support import EngineClient, Twin, new_client
from tests.test_zset_commands import events, follow, speak, zset_of

SCORED = ("1", "a", "2", "b", "2", "c", "3", "d", "4", "e", "inf", "f", "-inf", "g")
EQUAL = ("0", "a", "0", "aa", "0", "b", "0", "ba", "0", "c", "0", "")
KEYS = ("z", "lex", "missing", "text")

RANKS = ["0 -1", "1 2", "-3 -2", "5 100", "-100 1", "3 1", "-1 -9", "9 10", "x 1", "1 1.5", "+1 2"]
SCORES = [
    "-inf +inf",
    "2 3",
    "(2 3",
    "2 (3",
    "(2 (2",
    "3 2",
    "(1 (4",
    "-inf (-inf",
    "(inf inf",
    "0x1 2e0",
    "1 (inf",
    "x 1",
    "1 (x",
    "nan 1",
    "(nan 1",
]
LEXES = [
    "- +",
    "[a [b",
    "(a (b",
    "[a (c",
    "+ -",
    "[b [a",
    "- (aa",
    "[ [",
    "( [z",
    "a b",
    "- c",
    "+ +",
]
LIMITS = ["0 2", "1 2", "0 0", "2 -1", "-1 2", "100 2", "1 -7", "1 9223372036854775807"]


@pytest.fixture
def filled(twin: Twin) -> Twin:
    """Both servers with a set of different scores, one of equal scores, and a string."""
    twin("ZADD", "z", *SCORED)
    twin("ZADD", "lex", *EQUAL)
    twin("SET", "text", "x")
    return twin


@pytest.mark.parametrize("ends", RANKS)
def test_by_rank(filled: Twin, ends: str) -> None:
    for key in KEYS:
        for name in ("ZRANGE", "ZREVRANGE"):
            filled(name, key, *ends.split())
            filled(name, key, *ends.split(), "WITHSCORES")
        filled("ZRANGE", key, *ends.split(), "REV")
        filled("ZRANGE", key, *ends.split(), "rev", "withscores")


@pytest.mark.parametrize("ends", SCORES)
def test_by_score(filled: Twin, ends: str) -> None:
    low, high = ends.split()
    for key in ("z", "missing", "text"):
        filled("ZCOUNT", key, low, high)
        filled("ZRANGEBYSCORE", key, low, high)
        filled("ZREVRANGEBYSCORE", key, high, low, "WITHSCORES")
        filled("ZRANGE", key, low, high, "BYSCORE", "WITHSCORES")
        filled("ZRANGE", key, high, low, "REV", "BYSCORE")


@pytest.mark.parametrize("ends", LEXES)
def test_by_lex(filled: Twin, ends: str) -> None:
    low, high = ends.split()
    for key in ("lex", "missing", "text"):
        filled("ZLEXCOUNT", key, low, high)
        filled("ZRANGEBYLEX", key, low, high)
        filled("ZREVRANGEBYLEX", key, high, low)
        filled("ZRANGE", key, low, high, "BYLEX")
        filled("ZRANGE", key, high, low, "BYLEX", "REV")


def test_by_lex_with_different_scores(filled: Twin) -> None:
    """Members in the order of their scores are found by name, too."""
    filled("ZADD", "mixed", 1, "a", 2, "b", 3, "c")
    for low, high in (("[b", "(c"), ("(a", "+"), ("-", "[b"), ("[bb", "[bc"), ("(c", "+")):
        filled("ZRANGEBYLEX", "mixed", low, high)
        filled("ZREVRANGEBYLEX", "mixed", high, low)
        filled("ZLEXCOUNT", "mixed", low, high)


@pytest.mark.parametrize("limit", LIMITS)
def test_limit(filled: Twin, limit: str) -> None:
    tail = ("LIMIT", *limit.split())
    filled("ZRANGEBYSCORE", "z", "(1", "inf", *tail, "WITHSCORES")
    filled("ZREVRANGEBYSCORE", "z", "inf", "(1", "WITHSCORES", *tail)
    filled("ZRANGE", "z", "1", "3", *tail, "BYSCORE")
    filled("ZRANGE", "z", "3", "1", "REV", *tail, "BYSCORE")
    filled("ZRANGEBYLEX", "lex", "[a", "+", *tail)
    filled("ZREVRANGEBYLEX", "lex", "+", "[a", *tail)
    filled("ZRANGESTORE", "dst", "z", "(1", "inf", "BYSCORE", *tail)
    filled("ZRANGE", "dst", "0", "-1", "WITHSCORES")


@pytest.mark.parametrize(
    "options",
    [
        "LIMIT 0 1",
        "LIMIT 0 -1",
        "LIMIT 0",
        "LIMIT x 1",
        "BYSCORE LIMIT 0 x",
        "BYSCORE BYSCORE",
        "BYSCORE BYLEX",
        "REV REV",
        "REV BYLEX WITHSCORES",
        "BYLEX WITHSCORES",
        "WITHSCORES WITHSCORES",
        "WITHSCORE",
        "BYSCORE LIMIT 0 1 LIMIT 1 1",
    ],
)
def test_which_options_go_together(filled: Twin, options: str) -> None:
    for name in (
        "ZRANGE",
        "ZREVRANGE",
        "ZRANGEBYSCORE",
        "ZREVRANGEBYSCORE",
        "ZRANGEBYLEX",
        "ZREVRANGEBYLEX",
        "ZRANGESTORE dst",
    ):
        ends = ("-", "+") if "LEX" in name else ("0", "3")
        filled(*name.split(), "z", *ends, *options.split())
        filled(*name.split(), "text", *ends, *options.split())


def test_scores_in_resp3(filled: Twin) -> None:
    speak(filled, 3)
    filled("ZRANGE", "z", 0, -1)
    filled("ZRANGE", "z", 0, -1, "WITHSCORES")
    filled("ZRANGEBYSCORE", "z", 1, 2, "WITHSCORES")
    filled("ZREVRANGE", "z", 0, 1, "WITHSCORES")
    filled("ZRANGE", "missing", 0, -1, "WITHSCORES")


def test_zrangestore(filled: Twin) -> None:
    for arguments in (
        "z 1 3",
        "z 0 1 REV",
        "lex [a (b BYLEX",
        "z 2 (4 BYSCORE",
        "z 9 9",
        "z 0 -1",
        "missing 0 1",
        "z x 1",
        "text 0 1",
        "z 0 1 WITHSCORES",
    ):
        filled("ZRANGESTORE", "dst", *arguments.split())
        filled("ZRANGE", "dst", 0, -1, "WITHSCORES")
    filled("ZRANGESTORE", "text", "z", 0, 1)
    filled("ZRANGE", "text", 0, -1)
    filled("ZRANGESTORE", "z", "z", 0, 1)
    filled("ZRANGE", "z", 0, -1)
    filled("ZRANGESTORE", "z", "missing", 0, 1)
    filled("ZCARD", "z")


def test_zrangestore_encodes_the_result_anew() -> None:
    client = new_client(zset_max_listpack_entries=2)
    client("ZADD", "z", *SCORED)
    assert zset_of(client, b"z").skiplist
    client("ZRANGESTORE", "two", "z", 0, 1)
    assert not zset_of(client, b"two").skiplist
    client("ZRANGESTORE", "three", "z", 0, 2)
    assert zset_of(client, b"three").skiplist


@pytest.mark.parametrize(
    ("name", "key", "choices"),
    [("RANK", "z", RANKS), ("SCORE", "z", SCORES), ("LEX", "lex", LEXES)],
)
def test_removing_ranges(filled: Twin, name: str, key: str, choices: list[str]) -> None:
    for ends in choices:
        filled("ZADD", "z", *SCORED)
        filled("ZADD", "lex", *EQUAL)
        for each in (key, "missing", "text"):
            filled(f"ZREMRANGEBY{name}", each, *ends.split())
        filled("ZRANGE", key, 0, -1)


@pytest.mark.parametrize("size", [50, 300, 6000])
def test_ranges_of_large_sets_match_a_sorted_list(client: EngineClient, size: int) -> None:
    rng = random.Random(size)
    scores = {b"m%d" % number: rng.randrange(size // 4) for number in range(size)}
    client("ZADD", "z", *(part for member, score in scores.items() for part in (score, member)))
    entries = sorted((score, member) for member, score in scores.items())
    members = [member for _, member in entries]
    for _ in range(50):
        low, high = sorted((rng.randrange(-size, size), rng.randrange(-size, size)))
        start, stop = low % size if low < 0 else low, high % size if high < 0 else high
        assert client("ZRANGE", "z", low, high) == members[start : stop + 1]
        offset, limit = rng.randrange(20), rng.randrange(40)
        inside = [member for score, member in entries if low < score <= high]
        tail = ("LIMIT", offset, limit)
        assert client("ZCOUNT", "z", f"({low}", high) == len(inside)
        assert client("ZRANGEBYSCORE", "z", f"({low}", high, *tail) == inside[offset:][:limit]
        assert (
            client("ZREVRANGEBYSCORE", "z", high, f"({low}", *tail) == inside[::-1][offset:][:limit]
        )
    removed = client("ZREMRANGEBYRANK", "z", size // 3, -size // 3)
    assert client("ZCARD", "z") == size - removed
    zset_of(client, b"z")


def test_events_and_propagation() -> None:
    client = new_client(notify_keyspace_events="KEA")
    client("ZADD", "z", *SCORED)
    client("ZADD", "lex", *EQUAL)
    assert events(client, "ZREMRANGEBYRANK", "z", 0, 0) == [b"zremrangebyrank"]
    assert events(client, "ZREMRANGEBYSCORE", "z", 1, 1) == [b"zremrangebyscore"]
    assert events(client, "ZREMRANGEBYLEX", "lex", "-", "+") == [b"zremrangebylex", b"del"]
    assert events(client, "ZREMRANGEBYRANK", "z", 50, 60) == []
    assert events(client, "ZRANGESTORE", "dst", "z", 0, -1) == [b"zrangestore"]
    assert events(client, "ZRANGESTORE", "dst", "missing", 0, -1) == [b"del"]
    assert events(client, "ZRANGESTORE", "dst", "missing", 0, -1) == []
    seen = follow(client)
    client("ZRANGESTORE", "dst", "z", "0", "-1")
    client("ZREMRANGEBYRANK", "z", "0", "1")
    client("ZREMRANGEBYRANK", "z", "50", "60")
    assert seen == [
        (b"ZRANGESTORE", b"dst", b"z", b"0", b"-1"),
        (b"ZREMRANGEBYRANK", b"z", b"0", b"1"),
    ]
