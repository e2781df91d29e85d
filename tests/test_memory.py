"""Sizes of values and of the server, and MEMORY."""

from __future__ import annotations

import sys

import pytest

from pyredis.account import value_bytes
from pyredis.host import Host, MemoryUse
from pyredis.memory import MemoryMeter
from tests.support import EngineClient, Twin

MB = 1 << 20


class Machine(Host):
    """A process whose size is set by hand."""

    def __init__(self, resident_bytes: int, private_bytes: int) -> None:
        self.use = MemoryUse(resident_bytes, private_bytes)
        self.released = 0

    def memory(self) -> MemoryUse:
        return self.use

    def release_memory(self) -> None:
        self.released += 1


def on_a_machine(client: EngineClient) -> Machine:
    host = Machine(20 * MB, 10 * MB)
    client.engine.host = host
    client.engine.memory = MemoryMeter(client.engine)
    return host


def test_strings() -> None:
    assert value_bytes(b"x" * 100) == 144  # 33 + 100, in units of 16
    assert value_bytes(bytearray(1000)) >= 1000
    assert value_bytes(5) == 32


@pytest.mark.parametrize("kind", ["list", "set", "hash", "zset"])
@pytest.mark.parametrize("count", [3, 5000])
def test_collections_come_near_the_truth(client: EngineClient, kind: str, count: int) -> None:
    names = [f"element {number:010}" for number in range(count)]
    pairs = [part for at, name in enumerate(names) for part in (name, f"{at}.5")]
    flipped = [part for at, name in enumerate(names) for part in (f"{at}.5", name)]
    command, args = {
        "list": ("RPUSH", names),
        "set": ("SADD", names),
        "hash": ("HSET", pairs),
        "zset": ("ZADD", flipped),
    }[kind]
    client(command, "k", *args)
    value = client.engine.ks.dbs[0].data[b"k"]
    truth = deep_bytes(value, set())
    assert 0.8 * truth < value_bytes(value, 0) < 1.3 * truth
    assert 0.7 * truth < value_bytes(value) < 1.4 * truth


def deep_bytes(thing: object, seen: set[int]) -> int:
    """All that is reachable, each object once; classes left out."""
    if id(thing) in seen or isinstance(thing, (type, type(None), bool)) or callable(thing):
        return 0
    seen.add(id(thing))
    parts: list[object] = []
    if isinstance(thing, dict):
        parts = [*thing.keys(), *thing.values()]
    elif not isinstance(thing, (bytes, bytearray, int, float, str)):
        for cls in type(thing).__mro__:
            parts += [getattr(thing, name, None) for name in cls.__dict__.get("__slots__", ())]
        parts += list(getattr(thing, "__dict__", {}).values())
        if hasattr(thing, "__iter__"):
            parts += list(thing)
    return sys.getsizeof(thing) + sum(deep_bytes(part, seen) for part in parts)


def test_usage(client: EngineClient) -> None:
    assert client("MEMORY", "USAGE", "k") is None
    client("SET", "k", "v")
    plain = client("MEMORY", "USAGE", "k")
    assert 80 < plain < 400
    client("PEXPIRE", "k", 100000)
    assert client("MEMORY", "USAGE", "k") > plain
    client("SADD", "s", *("x" * size for size in range(1, 200)))
    few, everything = (client("MEMORY", "USAGE", "s", "SAMPLES", count) for count in (1, 0))
    assert everything > few


@pytest.mark.parametrize(
    "words",
    ["", "nope", "USAGE", "USAGE k SAMPLES", "USAGE k SAMPLES -1", "USAGE k SAMPLES x",
     "USAGE k FOO 1", "USAGE k FOO", "USAGE k", "STATS x", "PURGE"],
)  # fmt: skip
def test_like_redis(twin: Twin, words: str) -> None:
    twin("MEMORY", *words.split())


def test_stats_has_the_fields_of_redis(twin: Twin) -> None:
    on_a_machine(twin.ours)
    for client in (twin.real, twin.ours):
        client("SET", "k", "v", "PX", 1000000)
    theirs, ours = (each("MEMORY", "STATS") for each in (twin.real, twin.ours))
    newer = {
        *(b"overhead.db.hashtable.lut", b"overhead.db.hashtable.rehashing"),
        *(b"db.dict.rehashing.count", b"allocator.muzzy"),
    }
    assert [name for name in ours[::2] if name not in newer] == theirs[::2]
    assert newer < set(ours[::2])
    at = ours.index(b"db.0") + 1
    assert [*ours[at][::2], b"overhead.hashtable.slot-to-keys"] == theirs[at][::2], "7.4 drops it"


def test_stats(client: EngineClient) -> None:
    host = on_a_machine(client)
    host.use = MemoryUse(50 * MB, 40 * MB)
    client("SET", "k", "v")
    found = client("MEMORY", "STATS")
    stats = dict(zip(found[::2], found[1::2], strict=True))
    assert stats[b"startup.allocated"] == 10 * MB
    assert stats[b"total.allocated"] == stats[b"peak.allocated"] == 40 * MB
    assert stats[b"overhead.total"] + stats[b"dataset.bytes"] == 40 * MB
    assert stats[b"keys.bytes-per-key"] == 30 * MB
    assert stats[b"fragmentation"] == b"1.25"


def test_the_peak_is_kept(client: EngineClient) -> None:
    host = on_a_machine(client)
    host.use = MemoryUse(90 * MB, 80 * MB)
    client.engine.memory.sample()
    host.use = MemoryUse(50 * MB, 40 * MB)
    assert b"used_memory_peak_perc:50.00%" in client("INFO", "memory")


def test_doctor(client: EngineClient) -> None:
    host = on_a_machine(client)
    assert b"nothing to diagnose" in client("MEMORY", "DOCTOR")
    host.use = MemoryUse(50 * MB, 40 * MB)
    assert b"No memory issues" in client("MEMORY", "DOCTOR")
    host.use = MemoryUse(100 * MB, 20 * MB)
    text = client("MEMORY", "DOCTOR")
    assert b"Peak:" in text
    assert b"Resident size:" in text


def test_purge(client: EngineClient) -> None:
    host = on_a_machine(client)
    assert client("MEMORY", "PURGE") == b"OK"
    assert host.released == 1


def test_help_and_malloc_stats(client: EngineClient) -> None:
    assert b"USAGE <key> [SAMPLES <count>]" in client("MEMORY", "HELP")
    assert client("MEMORY", "MALLOC-STATS").startswith(b"Stats not supported")
