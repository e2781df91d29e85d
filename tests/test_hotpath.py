"""The hot path and the careful one are the same server."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from pyredis.resp import encode_command
from tests.support import EngineClient, new_client

keys = st.sampled_from([b"a", b"b", b"c\r\n", b""])
values = st.sampled_from([b"1", b"x", b"", b"\r\n$1\r\n", b"y" * 300, b"10"])
requests = st.one_of(
    st.tuples(st.sampled_from([b"GET", b"incr", b"LPOP", b"Type", b"SPOP", b"NOPE"]), keys),
    st.tuples(st.sampled_from([b"SET", b"LPUSH", b"SADD", b"APPEND", b"INCRBY"]), keys, values),
    st.tuples(st.sampled_from([b"HSET", b"ZADD", b"SETRANGE"]), keys, values, values),
    st.tuples(st.just(b"MSET"), keys, values, keys, values),
    st.tuples(st.sampled_from([b"PING", b"MULTI", b"EXEC", b"GET"])),
    st.tuples(st.just(b"OBJECT"), st.just(b"ENCODING"), keys),
)
runs = st.lists(st.tuples(requests, st.sampled_from([1, 1, 2, 5, 20])), min_size=1, max_size=8)


def everything(client: EngineClient) -> dict[bytes, object]:
    return {key: _plain(value) for key, value in client.engine.ks.dbs[0].data.items()}


def _plain(value: object) -> object:
    if isinstance(value, (bytes, bytearray, int)):
        return bytes(value) if not isinstance(value, int) else b"%d" % value
    for name in ("fields", "scores", "members", "items"):
        if hasattr(value, name):
            found = getattr(value, name)
            return dict(found) if isinstance(found, dict) else list(found)
    raise AssertionError(value)


def calls(client: EngineClient) -> dict[str, tuple[int, int, int]]:
    return {
        entry.name: (entry.calls, entry.failed, entry.rejected)
        for entry in client.engine.table.all()
        if entry.calls or entry.rejected
    }


@given(runs, st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_whole_and_bytewise_input_have_the_same_outcome(
    batch: list[tuple[tuple[bytes, ...], int]], rng: random.Random
) -> None:
    data = b"".join(encode_command(argv) * count for argv, count in batch)
    whole, bytewise, watched = new_client(), new_client(), new_client()
    watched.another()("WATCH", "a")  # somebody observes, so units are recorded
    expected = b"".join(bytewise.raw(data[i : i + 1]) for i in range(len(data)))
    assert whole.raw(data) == expected
    assert watched.raw(data) == expected
    assert everything(whole) == everything(bytewise) == everything(watched)
    assert calls(whole) == calls(bytewise)
    assert whole.engine.ks.dirty == bytewise.engine.ks.dirty
    whole.engine.ks._check()


def test_a_waiter_is_served_between_two_alike_requests(client: EngineClient) -> None:
    waiter = client.another()
    waiter.send("BLPOP", "l", 0)
    out = client.raw(encode_command([b"RPUSH", b"l", b"x"]) * 30)
    assert out == b":1\r\n" + b"".join(b":%d\r\n" % n for n in range(1, 30))
    assert waiter.replies() == [[b"l", b"x"]]


def test_an_error_in_the_middle_of_alike_requests(client: EngineClient) -> None:
    client("SET", "a", 2**63 - 3)
    out = client.raw(encode_command([b"INCR", b"a"]) * 6)
    assert out.count(b"-ERR increment or decrement would overflow\r\n") == 4
    entry = client.engine.table.entries["INCR"]
    assert (entry.calls, entry.failed) == (6, 4)


def test_a_slow_log_for_everything_sees_every_call() -> None:
    client = new_client(slowlog_log_slower_than=0, slowlog_max_len=1000)
    client.engine.clock_ns = iter(range(0, 10**9, 1000)).__next__
    client.raw(encode_command([b"SET", b"k", b"v"]) * 50)
    assert len(client.engine.stats.slow_calls) == 50


def test_many_replies_to_a_client_with_an_output_limit() -> None:
    client = new_client(client_output_buffer_limit="normal 100000 0 0")
    client("SET", "k", "v" * 5000)
    client.raw(encode_command([b"GET", b"k"]) * 50)
    assert client.session.closing == "now"


def test_a_command_that_brings_a_feed_has_it_told_of_what_follows() -> None:
    client = new_client()
    client("CONFIG", "SET", "replica-read-only", "no")
    client("REPLICAOF", "127.0.0.1", 1)
    client.engine.replication.primary.ensure_backlog()  # as after a copy
    promote, write = encode_command([b"REPLICAOF", b"NO", b"ONE"]), encode_command([b"INCR", b"a"])
    history = client.engine.replication.history
    before = history.offset
    assert client.raw(promote + write) == b"+OK\r\n:1\r\n"
    assert history.offset > before
