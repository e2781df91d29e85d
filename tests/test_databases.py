"""DBSIZE, FLUSHDB, FLUSHALL, SWAPDB."""

from __future__ import annotations

import pytest

from pyredis.lazyfree import LazyFree
from pyredis.ports import ManualClock
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


class SlowClock(ManualClock):
    """Each look at it takes a millisecond."""

    def steady_ns(self) -> int:
        self.advance(1)
        return super().steady_ns()


def large(client: EngineClient, monkeypatch: pytest.MonkeyPatch) -> LazyFree:
    """A database that takes many slices to free."""
    client("MSET", *(word for n in range(5000) for word in (n, n)))
    lazyfree = client.engine.lazyfree
    monkeypatch.setattr(lazyfree, "_clock", SlowClock())
    monkeypatch.setattr("pyredis.lazyfree._AT_ONCE", 100)
    return lazyfree


@pytest.mark.parametrize("name", ["FLUSHALL", "FLUSHDB"])
def test_a_flush_keeps_its_client_waiting_not_the_others(
    client: EngineClient, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    lazyfree, other = large(client, monkeypatch), client.another()
    observer = Observer(client)
    client.send(name)
    client.send("PING")
    assert observer.propagated()[-1:] == [f"0:{name}"], "what is empty now is told at once"
    turns = 0
    while not (replies := client.replies()):
        assert client.engine.deadline_ms() == client.engine.now_ms
        assert other("DBSIZE") == 0
        turns += 1
    assert turns > 3
    assert replies == [b"OK", b"PONG"]
    assert (lazyfree.pending, lazyfree.freed) == (0, 5000)
    assert client.engine.deadline_ms() is None


def test_whoever_flushes_nothing_waits_for_what_was_flushed_before(
    client: EngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    large(client, monkeypatch)
    other = client.another()
    client.send("FLUSHALL", "ASYNC")
    other.send("FLUSHALL", "SYNC")
    assert client.replies() == [b"OK"]
    assert other.replies() == []
    while not other.replies():
        client.tick()


def test_inside_a_transaction_a_flush_frees_on_the_spot(client: EngineClient) -> None:
    client("MSET", "a", 1, "b", 2)
    client("MULTI")
    client("FLUSHALL")
    assert client("EXEC") == [b"OK"]
    assert client.engine.lazyfree.freed == 0


def test_a_flush_that_is_waited_for_can_be_given_up(
    client: EngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    lazyfree, other = large(client, monkeypatch), client.another()
    client.send("FLUSHALL")
    assert other("CLIENT", "UNBLOCK", client.session.id) == 1
    assert client.replies() == [b"OK"]
    client("MSET", *(word for n in range(5000) for word in (n, n)))
    client.send("FLUSHALL")
    other("REPLICAOF", "127.0.0.1", 1)
    assert client.replies() == [b"OK"]
    other("REPLICAOF", "NO", "ONE")
    client("MSET", *(word for n in range(5000) for word in (n, n)))
    client.send("FLUSHALL")
    client.engine.disconnect(client.session)
    assert client.engine.deadline_ms() is None
    other.send("BLPOP", "list", 0)
    other.tick()
    assert client.engine.deadline_ms() is None
    while lazyfree.run():
        pass
    client.engine.waiters._check()


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
