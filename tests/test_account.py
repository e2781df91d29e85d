"""The account of the data: in step with every write, complete after a census, near the truth."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyredis.account import EXPIRY_BYTES, Account, Accounted, frame_bytes, value_bytes
from pyredis.keyspace import Database
from pyredis.types.weight import weight, weights
from tests.support import ROOT, EngineClient, new_client

KEYS = [b"a", b"bb", b"ccc"]

key = st.sampled_from(KEYS)
text = st.binary(max_size=100)
small = st.integers(0, 5)
words = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6)
score = st.integers(-9, 9)


def made(name: str, *parts: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    """Commands of that name; a list among the drawn arguments is spliced in."""
    strategies = [part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts]

    def flat(args: tuple[Any, ...]) -> tuple[Any, ...]:
        spliced: list[Any] = [name]
        for arg in args:
            spliced += arg if isinstance(arg, list) else [arg]
        return tuple(spliced)

    return st.tuples(*strategies).map(flat)


pairs = st.lists(st.tuples(words.map(lambda each: each[0]), text), min_size=1, max_size=5).map(
    lambda found: [part for pair in found for part in pair]
)
scored = st.lists(st.tuples(score, text), min_size=1, max_size=5).map(
    lambda found: [part for pair in found for part in pair]
)

COMMANDS = st.one_of(
    made("SET", key, text),
    made("SET", key, text, "PX", 1000),
    made("MSET", key, text, key, text),
    made("APPEND", key, text),
    made("SETRANGE", key, small, text),
    made("SETBIT", key, st.integers(0, 2000), 1),
    made("INCR", key),
    made("INCRBYFLOAT", key, "0.5"),
    made("GETDEL", key),
    made("GETEX", key, "PERSIST"),
    made("PFADD", key, words),
    made("DEL", key),
    made("UNLINK", key),
    made("EXPIRE", key, 100),
    made("PERSIST", key),
    made("RENAME", key, key),
    made("COPY", key, key, "REPLACE"),
    made("COPY", key, key, "DB", 1, "REPLACE"),
    made("MOVE", key, 1),
    made("SWAPDB", 0, 1),
    made("FLUSHDB"),
    made("RPUSH", key, words),
    made("LPUSH", key, words),
    made("LPOP", key),
    made("RPOP", key, small),
    made("LSET", key, 0, text),
    made("LREM", key, 0, text),
    made("LTRIM", key, 1, 3),
    made("LINSERT", key, "BEFORE", text, text),
    made("LMOVE", key, key, "LEFT", "RIGHT"),
    made("SADD", key, words),
    made("SADD", key, st.lists(st.integers(0, 99), min_size=1, max_size=9)),
    made("SREM", key, words),
    made("SPOP", key, small),
    made("SMOVE", key, key, text),
    made("SUNIONSTORE", key, key, key),
    made("SDIFFSTORE", key, key, key),
    made("HSET", key, pairs),
    made("HDEL", key, words),
    made("HINCRBY", key, text, 3),
    made("HEXPIRE", key, 10, "FIELDS", 1, text),
    made("HGETDEL", key, "FIELDS", 1, text),
    made("ZADD", key, scored),
    made("ZREM", key, words),
    made("ZINCRBY", key, 1, text),
    made("ZPOPMIN", key),
    made("ZPOPMAX", key, small),
    made("ZREMRANGEBYRANK", key, 0, small),
    made("ZUNIONSTORE", key, 2, key, key),
    made("GEOADD", key, 1, 2, text),
    made("XADD", key, "*", pairs),
    made("XADD", key, "MAXLEN", small, "*", pairs),
    made("XADD", key, "*", "same", text),
    made("XTRIM", key, "MAXLEN", small),
    made("XDEL", key, st.just("1700000000000-0")),
    made("XGROUP", "CREATE", key, "g", 0, "MKSTREAM"),
    made("XGROUP", "DESTROY", key, "g"),
    made("XREADGROUP", "GROUP", "g", text, "COUNT", small, "STREAMS", key, ">"),
    made("XACK", key, "g", "1700000000000-0"),
    made("XAUTOCLAIM", key, "g", "c", 0, 0),
    made("SORT", key, "ALPHA", "STORE", key),
    made("SSCAN", key, 0),
    made("SRANDMEMBER", key, 2),
)


@settings(max_examples=150)
@given(
    before=st.lists(COMMANDS, max_size=12),
    during=st.lists(COMMANDS, max_size=8),
    after=st.lists(COMMANDS, max_size=15),
)
def test_equals_a_count_from_scratch(before: Any, during: Any, after: Any) -> None:
    client = new_client(
        set_max_listpack_entries=4, hash_max_listpack_entries=4, stream_node_max_entries=3
    )
    for command in before:
        client(*command)
    account = Account(client.engine.ks, client.clock)
    client.engine.account = account
    account.keep()
    for command in during:  # between two slices of the census
        client(*command)
        for db in client.engine.ks.dbs:
            if db.ledger.pending:
                db.ledger.walk(db.data, 1)
    while not account.census(1):
        pass
    account._check()
    for command in after:
        client(*command)
    account._check()
    for db in client.engine.ks.dbs:
        for value in db.data.values():
            if hasattr(value, "_check"):
                value._check()
    check_usage(client)


def check_usage(client: EngineClient) -> None:
    """MEMORY USAGE of all keys comes to what the account says."""
    total = 0
    for index in (0, 1):
        client("SELECT", index)
        for name in client("KEYS", "*"):
            total += client("MEMORY", "USAGE", name, "SAMPLES", 0)
    expires = sum(len(db.expires) for db in client.engine.ks.dbs)
    client.engine.account._check()
    assert total == client.engine.account.settled_bytes() + expires * EXPIRY_BYTES


def test_lists_of_any_length_keep_their_payload() -> None:
    client = new_client(maxmemory="1gb")
    client("RPUSH", "k", *(f"value {number}" for number in range(5000)))
    assert client.engine.ks.dbs[0].data[b"k"].size is None
    for command in (
        ("RPUSH", "k", "x" * 50),
        ("LPUSH", "k", "y" * 90),
        ("LPOP", "k"),
        ("RPOP", "k"),
    ):
        client(*command)
        client.engine.account._check()
    client("LTRIM", "k", 0, 10)
    client.engine.account._check()


def test_zsets_that_outgrow_a_plain_list() -> None:
    client = new_client(maxmemory="1gb")
    client("ZADD", "k", *(part for at in range(5000) for part in (at, f"member {at}")))
    client("ZADD", "k", 3, "member 4999")
    client("ZPOPMIN", "k", 100)
    client.engine.account._check()


def test_weights() -> None:
    sizes = [*range(70), 1000, 5000]
    for size in sizes:
        held = sys.getsizeof(bytes(size))
        assert weight(bytes(size)) == (-(-held // 16) * 16 if size > 1 else 0)
    assert weights(map(bytes, sizes)) == sum(weight(bytes(size)) for size in sizes)


def test_databases_change_their_class_and_back(client: EngineClient) -> None:
    dbs = client.engine.ks.dbs
    client("SET", "k", "v")
    assert {type(db) for db in dbs} == {Database}
    client("CONFIG", "SET", "maxmemory", "1gb")
    assert {type(db) for db in dbs} == {Accounted}
    client("SET", "k", "another value")
    client.engine.account._check()
    client("CONFIG", "SET", "maxmemory", 0)
    assert {type(db) for db in dbs} == {Database}
    assert client("GET", "k") == b"another value"


def test_a_sample_stands_for_the_rest(client: EngineClient) -> None:
    client("HSET", "h", *(part for at in range(1000) for part in (f"field {at:04}", "v" * 20)))
    client("XADD", "s", "*", "f", "v" * 30)
    for at in range(500):
        client("XADD", "s", "*", "f", f"{at:030}")
    for name in (b"h", b"s"):
        value = client.engine.ks.dbs[0].data[name]
        assert value.payload is None
        exact = value_bytes(value)
        assert exact > frame_bytes(value)
        assert abs(value_bytes(value, 5) - exact) < exact / 50


def test_a_census_goes_in_slices() -> None:
    client = new_client()
    for at in range(3000):
        client("SET", f"key {at}", "x" * at)
    account = client.engine.account
    account.keep()
    db = client.engine.ks.dbs[0]
    db.ledger.walk(db.data, 1000)
    assert not account.complete
    client("SET", "key 5", "another length")
    client("DEL", "key 2999", "key 7")
    client("APPEND", "key 9", "more")
    client("SET", "new", "x")
    assert account.census(1 << 40)
    account._check()


def test_loaded_data_are_weighed(client: EngineClient) -> None:
    client("CONFIG", "SET", "maxmemory", "1gb")
    client("SET", "old", "x")
    rng = random.Random(3)
    data: dict[bytes, Any] = {b"key %d" % at: rng.randbytes(at % 90) for at in range(2000)}
    client.engine.ks.dbs[0].adopt(data, {})
    assert not client.engine.account.complete
    client("SET", "key 1", "v")
    while not client.engine.account.complete:
        client.tick(100)
        client.engine.cron()
        client.engine.end_batch()
    client.engine.account._check()


GROWTH = """
import gc, random, sys
from pyredis.config import Config
from pyredis.engine import Engine
from pyredis.ports import SystemClock
from pyredis.resp import encode_command
from pyredis.server import command_table
from pyredis.session import Address

config = Config()
config.set([("maxmemory", "8gb")])
engine = Engine(config, SystemClock(), random.Random(1), command_table())
session = engine.connect(Address("a:1", "b:2"))
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 1_000_000)


def private():
    with open("/proc/self/statm") as file:
        fields = [int(field) for field in file.read().split()]
    return (fields[1] - fields[2]) * 4096


def run(*argv):
    argv = [str(arg).encode() for arg in argv]
    engine.begin_batch()
    engine.feed(session, encode_command(argv))
    engine.end_batch()
    engine.take_output()
    session.out.clear()


def fill(kind):
    if kind == "strings":
        for n in range(100_000):
            run("SET", f"key:{n:012}", f"{n:064}")
    elif kind == "hashes":
        for n in range(8_000):
            run("HSET", f"hash:{n}", *(w for f in range(8) for w in (f"field:{f}", f"{n * f:020}")))
        for n in range(60_000):
            run("HSET", "big", f"field:{n}", f"{n:020}")
    elif kind == "zsets":
        for n in range(8_000):
            run("ZADD", f"zset:{n}", *(w for f in range(8) for w in (f * n, f"member:{n}:{f}")))
        for n in range(60_000):
            run("ZADD", "big", n * 1.5, f"member:{n}")
    elif kind == "streams":
        for n in range(1_000):
            for _ in range(8):
                run("XADD", f"stream:{n}", "*", "field", f"{n:020}")
        for n in range(100_000):
            run("XADD", "big", "*", "field", f"{n:020}")
    elif kind == "sets":
        for n in range(8_000):
            run("SADD", f"set:{n}", *(f"member:{n}:{f}" for f in range(8)))
        for n in range(60_000):
            run("SADD", "big", f"member:{n}")
    elif kind == "lists":
        for n in range(8_000):
            run("RPUSH", f"list:{n}", *(f"entry:{n}:{f}" for f in range(8)))
        for n in range(60_000):
            run("RPUSH", "big", f"entry:{n:020}")


fill("")
run("PING")
before, counted = private(), engine.memory.used_bytes()
fill(sys.argv[1])
gc.collect()
print((engine.memory.used_bytes() - counted) / (private() - before))
"""


@pytest.mark.parametrize("kind", ["strings", "hashes", "zsets", "streams", "sets", "lists"])
def test_grows_as_the_process_does(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, kind], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert not done.returncode, done.stderr
    assert 0.85 < float(done.stdout) < 1.15
