"""Keys of requests, for the key specs of all commands that a real server has."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from pyredis.commands.registry import KeySpec, Spec, counted
from pyredis.keyspecs import find_keys, has_keys, legacy_range, movable
from pyredis.server import command_table
from tests.support import RealRedis, ReplyError

WORDS = (
    "a b c 0 1 2 3 -1 STORE STOREDIST GET BY LIMIT KEYS STREAMS AUTH AUTH2 OVERFLOW SET get u8 "
    "COUNT"
)


def spec_of(info: list[Any]) -> Spec:
    """The parts of a spec that matter here, from an entry of COMMAND's RESP2 reply."""
    flags = frozenset(flag.decode() for flag in info[2])
    return Spec(
        name=info[0].decode().upper().replace("|", " "),
        arity=info[1],
        flags=flags,
        keys=tuple(key_spec(dict(zip(key[::2], key[1::2], strict=True))) for key in info[8]),
        categories=frozenset(),
        tips=(),
        group="",
        since="",
        complexity="",
        usage="",
        summary="",
        history=(),
    )


def key_spec(fields: dict[bytes, Any]) -> KeySpec:
    def step(reply: list[Any]) -> tuple[Any, ...]:
        values = [item.decode() if isinstance(item, bytes) else item for item in reply[3][1::2]]
        return (reply[1].decode(), *values)

    flags = tuple(flag.decode() for flag in fields[b"flags"])
    return KeySpec(flags, step(fields[b"begin_search"]), step(fields[b"find_keys"]))


@pytest.fixture(scope="module")
def specs(real_redis: RealRedis) -> list[tuple[Spec, list[Any]]]:
    """Specs made of all entries of COMMAND, and these entries."""
    entries = real_redis.client()("COMMAND")
    entries += [child for entry in entries for child in entry[9]]
    return [(spec_of(entry), entry) for entry in entries]


def test_legacy_range(specs: list[tuple[Spec, list[Any]]]) -> None:
    for spec, info in specs:
        assert (*legacy_range(spec), movable(spec)) == (
            *info[3:6],
            b"movablekeys" in info[2],
        ), spec.name


def requests(spec: Spec, rng: random.Random) -> list[list[bytes]]:
    """Random requests with enough arguments, half of them with "" as the third as MIGRATE has."""
    found = []
    for _ in range(12):
        count = max(abs(spec.arity), 3) - 1 + (rng.randrange(6) if spec.arity < 0 else 0)
        words = rng.choices(WORDS.split(), k=count - spec.name.count(" "))
        if spec.name == "MIGRATE" and rng.random() < 0.5:
            words[2] = ""
        found.append([word.encode() for word in [*spec.name.split(" "), *words]])
    return found


def test_keys_as_redis_finds_them(
    specs: list[tuple[Spec, list[Any]]], real_redis: RealRedis
) -> None:
    real = real_redis.client()
    for spec, info in specs:
        if info[9]:
            continue  # a container
        # Seeded by name: the reference lists its commands in an order of its own each time.
        for argv in requests(spec, random.Random(spec.name)):
            if spec.name == "XREADGROUP" and b"STREAMS" in argv[1:4]:
                continue  # before its place, where Redis finds it though its own spec does not
            reply = real("COMMAND", "GETKEYSANDFLAGS", *argv)
            if isinstance(reply, ReplyError):
                if b"no key arguments" in reply:
                    assert not has_keys(spec)
                elif b"Invalid arguments" in reply:
                    assert find_keys(spec, argv) == [], argv
                else:
                    assert b"Invalid number of arguments" in reply, (argv, reply)
                continue
            found = find_keys(spec, argv)
            assert [argv[key.at] for key in found] == [key for key, _flags in reply], argv
            flags = [{flag.encode() for flag in key.flags} for key in found]
            assert flags == [set(theirs) for _key, theirs in reply], argv


def find(name: str, *args: str) -> list[int]:
    entry = command_table().find([name.encode()])
    assert entry is not None
    return [key.at for key in find_keys(entry.spec, [name.encode(), *(a.encode() for a in args)])]


def test_places() -> None:
    assert find("MSET", "a", "1", "b", "2") == [1, 3]
    assert find("BLPOP", "a", "b", "0") == [1, 2]
    assert find("SORT", "a", "STORE", "b", "store", "c") == [1, 5]
    assert find("LMPOP", "2", "a", "b", "LEFT") == [2, 3]
    assert find("LMPOP", "9", "a", "b", "LEFT") == []
    assert find("PING") == []


def test_numbers_that_are_none() -> None:
    spec = spec_of([b"x", -3, [], 0, 0, 0, [], [], [], []])
    spec = replace(spec, keys=counted("RW", 1))
    for numkeys in (b"", b"-1", b"x", b"0", b"99999999999999999999", b"2"):
        assert find_keys(spec, [b"X", numkeys, b"a"]) == []
    assert [key.at for key in find_keys(spec, [b"X", b"1", b"a"])] == [2]
    assert find_keys(spec, [b"X"]) == []


def test_channels_are_no_keys() -> None:
    entry = command_table().find([b"SPUBLISH"])
    assert entry is not None
    assert not has_keys(entry.spec)
    assert find_keys(entry.spec, [b"SPUBLISH", b"a", b"b"]) == []
