"""Commands that make a value of every type, encoding and size: for tests of what is stored."""

from __future__ import annotations

from typing import Any

Command = tuple[Any, ...]

LONG = "x" * 100
EDGES = (
    0,
    1,
    -1,
    127,
    128,
    -128,
    -129,
    4095,
    4096,
    -4096,
    -4097,
    32767,
    -32768,
    32768,
    -32769,
    2**23 - 1,
    2**23,
    -(2**23) - 1,
    2**31 - 1,
    -(2**31),
    2**31,
    2**63 - 1,
    -(2**63),
)
SIZES = (0, 1, 19, 20, 21, 63, 64, 127, 128, 4095, 4096, 16383, 16384, 70000)


def _text(size: int) -> str:
    """A text of that size that does not repeat itself much."""
    words = " ".join(str(number * 7919 % 100003) for number in range(size // 4 + 1))
    return ("v" + words)[:size]


def _stream() -> list[Command]:
    made: list[Command] = [
        ("XADD", "k", "MAXLEN", 1000, f"{1000 + at}-{at % 3}", "temperature", at, "place", "b" * at)
        for at in range(150)
    ]
    made += [("XADD", "k", f"{2000 + at}-1", f"field{at}", LONG) for at in range(30)]
    made += [
        ("XDEL", "k", "1003-0", "1004-1", "2005-1"),
        ("XGROUP", "CREATE", "k", "idle", "$"),
        ("XGROUP", "CREATE", "k", "busy", "0"),
        ("XREADGROUP", "GROUP", "busy", "alice", "COUNT", 20, "STREAMS", "k", ">"),
        ("XREADGROUP", "GROUP", "busy", "bob", "COUNT", 10, "STREAMS", "k", ">"),
        ("XGROUP", "CREATECONSUMER", "k", "busy", "carol"),
        ("XACK", "k", "busy", "1000-0", "1001-1"),
        ("XCLAIM", "k", "busy", "carol", 0, "1006-0"),
    ]
    return made


STRINGS: dict[str, list[Command]] = {
    **{f"string-of-{size}": [("SET", "k", _text(size))] for size in SIZES},
    **{f"number-{number}": [("SET", "k", number)] for number in EDGES},
    **{
        f"odd-{text}": [("SET", "k", text)]
        for text in ("-0", "007", "+1", "-", "12345678901", "99999999999", "1e3", " 1", " ")
    },
    "counter": [("SET", "k", 5), ("INCRBY", "k", 1000)],
    "changed-in-place": [("SET", "k", "abc"), ("APPEND", "k", "defg")],
    "repetitive": [("SET", "k", "hello world " * 500)],
    "zeros": [("SETRANGE", "k", 5000, "end")],
    "binary": [("SET", "k", bytes(range(256)) * 3)],
    "hll-sparse": [("PFADD", "k", *range(50))],
    "hll-dense": [("PFADD", "k", *range(3000))],
}
LISTS: dict[str, list[Command]] = {
    "list": [("RPUSH", "k", "a", "b", "c")],
    "list-edges": [("RPUSH", "k", *EDGES, *(_text(size) for size in SIZES))],
    "list-long": [("RPUSH", "k", *(f"element:{at}" for at in range(5000)))],
    "list-of-large": [("RPUSH", "k", *(_text(9000) for _ in range(5)))],
    "list-of-one": [("RPUSH", "k", "")],
}
SETS: dict[str, list[Command]] = {
    "intset-16": [("SADD", "k", 1, 2, 3, -32768)],
    "intset-32": [("SADD", "k", 1, 40000, -5)],
    "intset-64": [("SADD", "k", 1, 2**40, -(2**63))],
    "intset-full": [("SADD", "k", *range(512))],
    "set-of-numbers": [("SADD", "k", *range(-300, 300))],
    "set": [("SADD", "k", "a", "b", "c", 17)],
    "set-of-long": [("SADD", "k", LONG, "b")],
    "set-large": [("SADD", "k", *(f"member:{at}" for at in range(2000)))],
}
HASHES: dict[str, list[Command]] = {
    "hash": [("HSET", "k", "name", "Ada", "born", 1815, "x", "")],
    "hash-edges": [("HSET", "k", *(part for at in EDGES for part in (at, -at)))],
    "hash-of-long": [("HSET", "k", "name", LONG)],
    "hash-full": [("HSET", "k", *(part for at in range(512) for part in (f"f{at}", at)))],
    "hash-large": [("HSET", "k", *(part for at in range(1000) for part in (f"f{at}", _text(at))))],
}
ZSETS: dict[str, list[Command]] = {
    "zset": [("ZADD", "k", 1, "a", 2.5, "b", "-inf", "c", "inf", "d", 1e300, "e", 0.1, "f")],
    "zset-edges": [("ZADD", "k", *(part for at in EDGES for part in (at, f"m{at}")))],
    "zset-fractions": [("ZADD", "k", *(part for at in range(100) for part in (at / 7, f"m{at}")))],
    "zset-of-long": [("ZADD", "k", 1, LONG, -0.0, "zero")],
    "zset-large": [("ZADD", "k", *(part for at in range(500) for part in (at / 3, f"m{at}")))],
}
STREAMS: dict[str, list[Command]] = {
    "stream": [("XADD", "k", "5-1", "a", "b")],
    "stream-empty": [("XGROUP", "CREATE", "k", "g", "$", "MKSTREAM")],
    "stream-emptied": [("XADD", "k", "5-1", "a", "b"), ("XDEL", "k", "5-1")],
    "stream-far-apart": [
        ("XADD", "k", "1-18446744073709551615", "a", "b"),
        ("XADD", "k", "9223372036854775809-0", "a", "c"),
        ("XADD", "k", "18446744073709551615-18446744073709551615", "a", "c"),
    ],
    "stream-with-groups": _stream(),
    "stream-trimmed": [*_stream(), ("XTRIM", "k", "MAXLEN", "=", 70)],
}
VALUES = {**STRINGS, **LISTS, **SETS, **HASHES, **ZSETS, **STREAMS}
