"""Sizes of values and of the server, and MEMORY."""

from __future__ import annotations

import sys
from typing import Any

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


def many(client: EngineClient) -> None:
    """More keys than are weighed for a look."""
    client("MSET", *(part for number in range(10_001) for part in (f"k{number}", "")))


def memory_stats(client: EngineClient) -> dict[bytes, Any]:
    found = client("MEMORY", "STATS")
    return dict(zip(found[::2], found[1::2], strict=True))


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
        *(b"db.dict.rehashing.count", b"allocator.muzzy", b"script.VMs"),
    }
    assert [name for name in ours[::2] if name not in newer] == theirs[::2]
    assert newer < set(ours[::2])
    of_theirs, of_ours = (stats[stats.index(b"db.0") + 1][::2] for stats in (theirs, ours))
    assert [*of_ours, b"overhead.hashtable.slot-to-keys"] == of_theirs, "7.4 drops it"


def test_what_a_small_server_uses_is_what_a_limit_would_count(client: EngineClient) -> None:
    on_a_machine(client)
    client("MSET", "k", "v" * 1000, "n", 5)
    client("APPEND", "k", "more")
    client("SETEX", "t", 100, "v")
    for number in range(30):
        client("RPUSH", "list", f"element {number}")
        client("HSET", "hash", f"field {number}", number)
        client("ZADD", "zset", number, f"member {number}")
        client("XADD", "stream", "*", "field", number)
    client("SELECT", 1)
    client("SADD", "set", "a", "b")
    counted = client.engine.memory.used_bytes()
    client("CONFIG", "SET", "maxmemory", "1gb")
    client.tick()
    assert client.engine.account.complete
    assert client.engine.memory.used_bytes() == pytest.approx(counted, abs=200)


def test_what_a_large_server_uses_is_what_its_process_has_grown_by(client: EngineClient) -> None:
    host = on_a_machine(client)
    client("SETBIT", "k", 8 * MB, 1)
    assert client.engine.memory.used_bytes() < 2 * MB
    many(client)
    host.use = MemoryUse(50 * MB, 40 * MB)
    stats = memory_stats(client)
    assert stats[b"startup.allocated"] == 0
    assert stats[b"total.allocated"] == stats[b"peak.allocated"] == 30 * MB
    assert stats[b"overhead.total"] + stats[b"dataset.bytes"] == 30 * MB
    assert stats[b"allocator.resident"] == 30 * MB
    assert stats[b"rss-overhead.bytes"] == 20 * MB
    host.use = MemoryUse(20 * MB, 9 * MB)
    assert memory_stats(client)[b"total.allocated"] > 88 * 10_001, "its tables, for sure"


def test_elements_count_as_keys_do(client: EngineClient) -> None:
    host = on_a_machine(client)
    client("SADD", "k", *range(10_001))
    host.use = MemoryUse(50 * MB, 40 * MB)
    assert client.engine.memory.used_bytes() == 30 * MB


def test_the_start_ends_when_the_shell_says_so(client: EngineClient) -> None:
    host = on_a_machine(client)
    host.use = MemoryUse(50 * MB, 40 * MB)
    client.engine.memory.begin()
    startup = client.engine.memory.startup_bytes
    assert 50_000 < startup < MB, "the table of commands"
    assert startup <= client.engine.memory.used_bytes() < startup + 10_000
    many(client)
    host.use = MemoryUse(60 * MB, 50 * MB)
    assert client.engine.memory.used_bytes() == startup + 10 * MB


def test_the_peak_is_kept(client: EngineClient) -> None:
    host = on_a_machine(client)
    many(client)
    host.use = MemoryUse(90 * MB, 80 * MB)
    client.engine.memory.sample()
    host.use = MemoryUse(50 * MB, 45 * MB)
    assert b"used_memory_peak_perc:50.00%" in client("INFO", "memory")


def test_doctor(client: EngineClient) -> None:
    host = on_a_machine(client)
    assert b"nothing to diagnose" in client("MEMORY", "DOCTOR")
    many(client)
    host.use = MemoryUse(50 * MB, 40 * MB)
    assert b"No memory issues" in client("MEMORY", "DOCTOR")
    host.use = MemoryUse(50 * MB, 30 * MB)
    client("FLUSHALL")
    client("SETBIT", "k", 8 * 6 * MB, 1)
    text = client("MEMORY", "DOCTOR")
    assert b"Peak:" in text
    assert b"Fragmentation:" in text


def test_purge(client: EngineClient) -> None:
    host = on_a_machine(client)
    assert client("MEMORY", "PURGE") == b"OK"
    assert host.released == 1


def test_help_and_malloc_stats(client: EngineClient) -> None:
    assert b"USAGE <key> [SAMPLES <count>]" in client("MEMORY", "HELP")
    assert client("MEMORY", "MALLOC-STATS").startswith(b"Stats not supported")
