"""DBSIZE, FLUSHDB, FLUSHALL, SWAPDB."""

from __future__ import annotations

from tests.observe import Observer
from tests.support import EngineClient, Twin


def test_flush(twin: Twin) -> None:
    for args in ((), ("ASYNC",), ("sync",)):
        twin("MSET", "a", 1, "b", 2)
        twin("COPY", "a", "a", "DB", 3)
        twin("DBSIZE")
        twin("FLUSHDB", *args)
        twin("DBSIZE")
        twin("COPY", "b", "c", "DB", 3)
        twin("FLUSHALL", *args)
        twin("SWAPDB", 0, 3)
        twin("DBSIZE")
    for name in ("FLUSHDB", "FLUSHALL"):
        twin(name, "NOW")
        twin(name, "SYNC", "ASYNC")


def test_flushing_nothing_is_propagated_but_no_change(client: EngineClient) -> None:
    observer = Observer(client)
    assert observer.after("FLUSHDB", "ASYNC") == ([], ["0:FLUSHDB ASYNC"])
    assert client.engine.ks.dirty == 0
    client("MSET", "a", 1, "b", 2)
    before = client.engine.ks.dirty
    assert observer.after("FLUSHALL") == ([], ["0:FLUSHALL"])
    assert client.engine.ks.dirty == before + 2


def test_flush_async_frees_later(client: EngineClient) -> None:
    client("MSET", *(word for n in range(1000) for word in (n, n)))
    client("FLUSHALL", "ASYNC")
    lazyfree = client.engine.lazyfree
    assert (client("DBSIZE"), lazyfree.pending, lazyfree.freed) == (0, 1000, 0)
    client.engine.cron()
    assert (lazyfree.pending, lazyfree.freed) == (0, 1000)
    client.engine.config.set([("lazyfree-lazy-user-flush", "yes")])
    client("SET", "a", 1)
    client("FLUSHDB")
    assert lazyfree.pending == 1


def test_swapdb(twin: Twin) -> None:
    twin("SET", "a", 1)
    twin("EXPIRE", "a", 100)
    twin("SWAPDB", 0, 1)
    twin("EXISTS", "a")
    twin("SWAPDB", 1, 0)
    twin("TTL", "a")
    twin("SWAPDB", 0, 0)
    for pair in (("x", 1), (1, "x"), (1 << 40, 1), (1, 16), (-1, 0)):
        twin("SWAPDB", *pair)
    twin("SWAPDB", 1)


def test_swapdb_is_propagated(client: EngineClient) -> None:
    client("SET", "a", 1)
    assert Observer(client).after("SWAPDB", 0, 1) == ([], ["0:SWAPDB 0 1"])
    client.engine.ks._check()
