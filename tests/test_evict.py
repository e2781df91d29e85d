"""Eviction: which keys go, when, who is told, and who is refused."""

from __future__ import annotations

import random
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from pyredis.evict import Evictor, out_of_memory, time_limit_ns
from pyredis.ports import ManualClock
from pyredis.types.index import KeyIndex
from tests.observe import Observer
from tests.support import EngineClient, Twin, new_client

OOM = b"OOM command not allowed when used memory > 'maxmemory'."


def used(client: EngineClient) -> int:
    return client.engine.memory.used_bytes()


def full_client(policy: str, keys: int = 100, **settings: Any) -> EngineClient:
    """A client of a server that is full with keys k0, k1, ..., each a second younger."""
    client = new_client(maxmemory="1gb", maxmemory_policy=policy, **settings)
    for number in range(keys):
        client("SET", f"k{number}", "x" * 100)
        client.clock.advance(1000)
    limit(client, used(client) + 50)
    assert client("DBSIZE") == keys
    return client


def limit(client: EngineClient, size: int) -> None:
    """Set maxmemory, while no command is running that takes memory itself."""
    client.tick(200)
    client.engine.config.set([("maxmemory", str(size))])
    client.tick()


def names(client: EngineClient) -> set[bytes]:
    return set(client("KEYS", "*"))


# Policies


def test_lru_evicts_what_was_not_used_for_long() -> None:
    client = full_client("allkeys-lru", maxmemory_samples=64)
    client("GET", "k0")
    client("SET", "new", "x" * 100)
    assert names(client) >= {b"k0", b"k5", b"new"}
    assert b"k1" not in names(client)
    assert client("DBSIZE") == 100


def test_lfu_evicts_what_is_used_rarely() -> None:
    client = full_client("allkeys-lfu", 20, maxmemory_samples=64)
    for number in range(20):
        for _ in range(50 if number != 7 else 0):
            client("GET", f"k{number}")
    client.engine.config.set([("lfu-decay-time", "0")])
    client("SET", "new", "x" * 90)
    assert b"k7" not in names(client)
    assert client("DBSIZE") == 20


def test_lfu_counters_decay() -> None:
    client = full_client("allkeys-lfu", 20, maxmemory_samples=64)
    for _ in range(200):
        client("GET", "k3")
    client.clock.advance(60_000 * 250)
    for number in range(20):
        if number != 3:
            client("GET", f"k{number}")
    client("SET", "new", "x" * 90)
    assert b"k3" not in names(client)


def test_ttl_evicts_what_would_expire_first() -> None:
    client = new_client(maxmemory="1gb", maxmemory_policy="volatile-ttl")
    for number, seconds in enumerate((500, 30, 400, 20, 700)):
        client("SET", f"k{number}", "x" * 100, "EX", seconds)
    for gone in (b"k3", b"k1", b"k2"):
        limit(client, used(client) - 10)
        assert gone not in names(client)
    assert names(client) == {b"k0", b"k4"}


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-lfu", "volatile-random"])
def test_volatile_policies_spare_keys_without_a_ttl(policy: str) -> None:
    client = full_client(policy)
    for number in range(0, 100, 2):
        client("EXPIRE", f"k{number}", 1000)
    for number in range(20):
        client("SET", f"new{number}", "x" * 100)
    assert names(client) >= {b"k%d" % number for number in range(1, 100, 2)}
    assert client.engine.evictor.evicted_keys >= 20
    client.engine.account._check()
    for db in client.engine.ks.dbs:
        db._check()


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_all_databases_give(policy: str) -> None:
    client = new_client(maxmemory="1gb", maxmemory_policy=policy)
    for number in range(200):
        client("SELECT", number % 3)
        client("SET", f"k{number}", "x" * 100)
    limit(client, used(client) - 20_000)
    assert used(client) <= client.engine.config.maxmemory
    assert all(0 < len(client.engine.ks.dbs[index].data) < 67 for index in range(3))
    client("SWAPDB", 0, 5)
    for number in range(100):
        client("SET", f"new{number}", "x" * 100)
    assert used(client) <= client.engine.config.maxmemory
    for db in client.engine.ks.dbs:
        db._check()
    client.engine.account._check()


def test_large_values_count_as_what_they_are() -> None:
    client = full_client("allkeys-lru", lazyfree_lazy_eviction="yes", maxmemory_samples=64)
    client("RPUSH", "list", *("x" * 100 for _ in range(70)))
    assert client("LLEN", "list") == 70
    assert 50 < client("DBSIZE") < 70
    for number in range(100):
        client("SET", f"new{number}", "x" * 100)
    assert client("EXISTS", "list") == 0
    assert used(client) <= client.engine.config.maxmemory
    client.engine.lazyfree.run(1 << 40)
    assert client.engine.lazyfree.freed == 1


def test_a_pool_of_candidates_stays_and_may_go_stale() -> None:
    client = full_client("allkeys-lru")
    client("SET", "new", "x" * 100)
    pool = client.engine.evictor._pool
    assert 3 < len(pool) <= 16
    client("DEL", *(key for _, key, _, _ in pool[:2]))
    client("GET", pool[2][1])
    for number in range(50):
        client("SET", f"new{number}", "x" * 100)
    assert client("DBSIZE") > 80
    client.engine.ks.dbs[0]._check()


def test_the_index_draws_fairly() -> None:
    rng = random.Random(1)
    index = KeyIndex([b"%d" % number for number in range(1000)])
    for number in range(0, 1000, 3):
        index.discard(b"%d" % number)
    counts: dict[bytes, int] = {}
    for _ in range(3000):
        places = index.draw(rng, 5)
        assert len(places) >= 4
        keys = [index.order[place] for place in places]
        assert index.numbers_at(places) == [hash(key) for key in keys]
        for key in keys:
            counts[key] = counts.get(key, 0) + 1
    assert counts.keys() == set(index.order) - index.stale
    assert max(counts.values()) < 60
    few = KeyIndex([b"a", b"b"])
    assert few.draw(rng, 5) == [0, 1]
    few.discard(b"a")
    assert few.draw(rng, 1) == [1]
    index.tidy(10_000)
    index._check(counts.keys())


# Time


class TickingClock(ManualClock):
    """Every look at the steady clock takes 100 us."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def steady_ns(self) -> int:
        self.looks += 1
        return self.time_ms * 1_000_000 + self.looks * 100_000


def test_time_limits() -> None:
    assert time_limit_ns(0) == 0
    assert time_limit_ns(10) == 500_000
    assert time_limit_ns(20) == int(500 * 1.15**10) * 1000
    assert time_limit_ns(100) > 1 << 60


def slow_client(monkeypatch: pytest.MonkeyPatch) -> EngineClient:
    monkeypatch.setattr("tests.support.ManualClock", TickingClock)
    client = new_client(maxmemory="1gb", maxmemory_policy="allkeys-lru")
    for number in range(3000):
        client("SET", f"k{number}", "x" * 100)
    return client


def test_what_takes_too_long_goes_on_in_the_next_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    client = slow_client(monkeypatch)
    engine = client.engine
    client("CONFIG", "SET", "maxmemory", 200_000)
    turns = 0
    while engine.evictor.unfinished:
        assert engine.deadline_ms() == engine.now_ms
        assert client("SET", "meanwhile", "x") == b"OK"  # no error while there are keys left
        turns += 1
    assert 3 < turns < 40
    assert used(client) <= 200_000
    assert engine.deadline_ms() is None
    assert engine.evictor.exceeded_total_ns > 0
    assert engine.evictor.exceeded_now_ns == 0


def test_exceeded_time_and_counters_in_info(client: EngineClient) -> None:
    client("SET", "k", "v")
    client("CONFIG", "SET", "maxmemory", 1)
    client.clock.advance(5000)
    info = client("INFO", "stats")
    assert b"current_eviction_exceeded_time:5000" in info
    assert b"total_eviction_exceeded_time:5000" in info
    client("CONFIG", "SET", "maxmemory", 0)
    client.clock.advance(5000)
    info = client("INFO", "stats")
    assert b"current_eviction_exceeded_time:0" in info
    assert b"total_eviction_exceeded_time:5000" in info
    assert b"evicted_keys:0" in info
    client("CONFIG", "SET", "maxmemory-policy", "allkeys-random", "maxmemory", 1)
    assert b"evicted_keys:1" in client("INFO", "stats")
    client("CONFIG", "RESETSTAT")
    info = client("INFO", "stats")
    assert b"evicted_keys:0" in info
    assert b"total_eviction_exceeded_time:0" in info


def test_latency_events(monkeypatch: pytest.MonkeyPatch) -> None:
    client = slow_client(monkeypatch)
    client("CONFIG", "SET", "latency-monitor-threshold", 1)
    client("CONFIG", "SET", "maxmemory-eviction-tenacity", 100)
    client("CONFIG", "SET", "maxmemory", 600_000)
    events = {event[0] for event in client("LATENCY", "LATEST")}
    assert b"eviction-cycle" in events


def test_memory_that_grows_without_commands_is_noticed() -> None:
    client = full_client("allkeys-lru")
    client.engine.memory.reporters.append(lambda: 5000)
    client.engine.memory.not_counted.append(lambda: 7000)
    client.clock.advance(200)
    client.engine.begin_batch()
    client.engine.cron()
    assert client("DBSIZE") < 90
    assert b"mem_not_counted_for_evict:7000" in client("INFO", "memory")
    assert used(client) > client.engine.config.maxmemory  # by what is not counted
    assert used(client) - 7000 <= client.engine.config.maxmemory


# Telling


def test_an_eviction_is_a_unit_that_all_hear_of() -> None:
    client = full_client("allkeys-lru", 20, maxmemory_samples=64)
    watcher, tracked = client.another(), client.another()
    watcher("WATCH", "k0")
    watcher("MULTI")
    tracked("HELLO", 3)
    tracked("CLIENT", "TRACKING", "ON", "BCAST")
    tracked.replies()
    events, commands = Observer(client).after("SET", "new", "x" * 100)
    assert events == ["0:new new", "0:new set", "0:k0 evicted"]
    assert commands == ["0:SET new " + "x" * 100, "0:DEL k0"]
    assert watcher("EXEC") != []
    assert [sorted(keys) for _, keys in tracked.replies()] == [[b"k0", b"new"]]
    client("CONFIG", "SET", "lazyfree-lazy-eviction", "yes")
    _, commands = Observer(client).after("SET", "newer", "x" * 100)
    assert commands[1].startswith("0:UNLINK k")


def test_set_maxmemory_warns(client: EngineClient) -> None:
    lines: list[str] = []
    client.engine.log = lambda level, text: lines.append(f"{level} {text}")
    client("CONFIG", "SET", "maxmemory", "1gb")
    assert not lines
    client("SET", "k", "x" * 1000)
    client("CONFIG", "SET", "maxmemory", 100)
    assert lines[0].startswith("warning WARNING: the new maxmemory value set via CONFIG SET (100)")


# Refusing


@pytest.fixture
def full(twin: Twin) -> Iterator[Twin]:
    """Both servers with some keys and no room."""
    twin("MSET", "k", "v", "n", 1)
    twin("RPUSH", "list", "a", "b")
    twin("CONFIG", "SET", "maxmemory", 1)
    yield twin
    twin("CONFIG", "SET", "maxmemory", 0, "maxmemory-policy", "noeviction")


COMMANDS = """
GET k|SET k 1|SET new 1|DEL nothing|INCR n|APPEND k x|EXPIRE k 1000|PERSIST k|LPUSH list c
LPOP list|LMOVE list other LEFT LEFT|RENAME k kk|COPY k k2|HSET h f v|SADD s a|ZADD z 1 a
XADD st * f v|PFADD p x|GETDEL kk|SETBIT b 1 1|SORT list ALPHA STORE x|PING|EXISTS n|PUBLISH c m
EVAL "return redis.call('get','n')" 0|EVAL "return redis.pcall('set','n',2)['err']" 0
CLIENT SETNAME x|GETEX n EX 100|LINSERT list BEFORE b a|BLPOP list 1|MOVE n 1|RESTORE r 0 x
"""


@pytest.mark.parametrize(
    "command", [each for line in COMMANDS.strip().split("\n") for each in line.split("|")]
)
def test_who_is_refused(full: Twin, command: str) -> None:
    full(*shlex.split(command))


def test_transactions(full: Twin) -> None:
    full("MULTI")
    full("GET", "k")
    full("EXEC")
    full("MULTI")
    full("DISCARD")
    full("MULTI")
    full("EXEC")
    full("CONFIG", "SET", "maxmemory", 0)
    full("MULTI")
    full("SET", "k", "v2")
    full("GET", "k")
    other = full.another()
    other("CONFIG", "SET", "maxmemory", 1)
    full("EXEC")
    full("GET", "k")
    full("MULTI")
    other("CONFIG", "SET", "maxmemory", 0)
    full("GET", "k")
    other("CONFIG", "SET", "maxmemory", 1)
    full("EXEC")


def test_scripts(full: Twin) -> None:
    full("EVAL", "redis.call('del','k') return redis.pcall('set','k','new')", 0)
    full("GET", "k")
    full("EVAL", "#!lua\nreturn 1", 0)
    full("EVAL", "#!lua flags=no-writes\nreturn redis.call('get','k')", 0)
    full("EVAL", "#!lua flags=allow-oom\nreturn redis.call('set','k','more')", 0)
    full("EVAL_RO", "return redis.call('get','k')", 0)
    full("EVAL", "return redis.call('lpop','list')", 0)


def test_blocked_clients_are_judged_when_they_go_on() -> None:
    client = new_client()
    waiting = client.another()
    waiting.send("BLMOVE", "source", "target", "LEFT", "LEFT", 0)
    client("MULTI")
    client("RPUSH", "source", "x")
    client("CONFIG", "SET", "maxmemory", 1)
    client("EXEC")
    client.tick(100)
    assert client("EXISTS", "target") + client("EXISTS", "source") == 1


def test_the_gate_stands_only_as_long_as_needed(client: EngineClient) -> None:
    client("CONFIG", "SET", "maxmemory", "1gb")
    client("SET", "k", "x" * 1000)
    limit(client, used(client) + 500)
    assert client("SET", "k2", "x" * 1000) == b"OK"
    assert client.engine.gates[0] is out_of_memory
    assert client("SET", "k3", "x") == OOM
    assert client("DEL", "k") == 1
    assert client("SET", "k3", "x") == b"OK"
    client.tick(10)
    client.engine.cron()
    assert out_of_memory not in client.engine.gates
    assert client.session.gates == ()


def test_a_pipeline_is_refused_in_its_middle(client: EngineClient) -> None:
    client("CONFIG", "SET", "maxmemory", "1gb")
    client.tick(200)
    client("CONFIG", "SET", "maxmemory", used(client) + 3000)
    client.engine.begin_batch()
    for number in range(40):
        client.send("SET", f"k{number}", "x" * 100)
    replies = client.replies()
    taken = replies.count(b"OK")
    assert 5 < taken < 20
    assert replies[taken:] == [OOM] * (40 - taken)


def test_volatile_policy_without_volatile_keys_is_refused() -> None:
    client = full_client("volatile-lru", 20)
    client("SET", "new", "x" * 100)
    assert client("SET", "new2", "x") == OOM
    client("EXPIRE", "k3", 100)
    assert client("SET", "new2", "x") == b"OK"
    assert client("EXISTS", "k3") == 0


# Not evicting


def test_not_while_writes_are_paused() -> None:
    client = full_client("allkeys-lru", 20)
    client("CLIENT", "PAUSE", 1000, "WRITE")
    client("CONFIG", "SET", "maxmemory", 1000)
    assert client("DBSIZE") == 20
    client.tick(1001)
    client.tick()
    client.engine.cron()
    assert client("DBSIZE") < 10


@pytest.mark.parametrize("ignores", ["yes", "no"])
def test_a_replica_leaves_it_to_its_primary(ignores: str) -> None:
    client = full_client("allkeys-lru", 20, replica_ignore_maxmemory=ignores)
    client.engine.role = "replica"
    client("CONFIG", "SET", "maxmemory", 1000)
    assert (client("DBSIZE") == 20) is (ignores == "yes")


def test_not_inside_a_transaction() -> None:
    client = full_client("allkeys-lru", 20)
    client("MULTI")
    for number in range(10):
        client("SET", f"new{number}", "x" * 100)
    client("DBSIZE")
    assert client("EXEC")[-1] == 30
    assert client("DBSIZE") == 20


def test_no_limit_no_account(client: EngineClient) -> None:
    assert not client.engine.account.kept
    assert isinstance(client.engine.evictor, Evictor)
    assert not client.engine.evictor.on


def test_whoever_is_woken_by_the_gate_leaves_the_running_client_its_database() -> None:
    client = new_client(maxmemory_policy="volatile-lru")
    reader = client.another()
    reader("SELECT", 1)
    reader("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    reader.send("XREADGROUP", "GROUP", "g", "me", "BLOCK", 0, "STREAMS", "s", ">")
    limit(client, 1)
    assert client("SET", "a", 1) == OOM
    client.engine.ks.dbs[1].set_expiry(b"s", client.clock.now_ms() + 10_000)
    limit_bytes = used(client) - 50  # without the stream there is room
    client.engine.config.maxmemory = limit_bytes
    assert client("SET", "a", 1) == b"OK"
    assert reader.replies()[0].startswith(b"NOGROUP")
    assert client.engine.ks.dbs[0].data == {b"a": b"1"}
