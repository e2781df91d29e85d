"""The replica's end of the link with a real redis-server at the other, over plain sockets."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pyredis.machine import (
    Close,
    Connect,
    Connected,
    Hold,
    Lost,
    Received,
    Resume,
    Send,
    Tick,
)
from pyredis.replication.effects import (
    Continue,
    Failed,
    FailoverRefused,
    FullSync,
    Log,
    Outcome,
    SnapshotData,
    SnapshotEnd,
    Stream,
)
from pyredis.replication.replica import Replica
from tests.support import REDIS_SERVER, RealRedis, WireClient, free_port
from tests.test_replica import Facts

pytestmark = pytest.mark.skipif(REDIS_SERVER is None, reason="redis-server is not installed")

GETACK = b"$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n"


class Follower:
    """The driver in thirty lines: blocking sockets, a clock set by hand, data not understood."""

    def __init__(self, port: int, **facts: object) -> None:
        self.facts = Facts(port=7777, **facts)  # type: ignore[arg-type]
        self.machine = Replica(self.facts)
        self.now_ms = 1_000_000
        self.sockets: dict[int, socket.socket] = {}
        self.effects: list[Outcome] = []
        self.snapshot = b""
        self.stream = b""
        self.logs = ""
        self.syncs = 0
        self._port = port

    def follow(self, failover: bool = False) -> Follower:
        self.perform(self.machine.follow(self.now_ms, "127.0.0.1", self._port, failover))
        return self

    def until(self, met: Callable[[], object], *beside: socket.socket) -> None:
        """Serve the link until something has come about; fails after ten seconds."""
        turns = 0
        while not met():
            assert self.sockets, f"there is no link\n{self.logs}"
            ((link, sock),) = self.sockets.items()
            ready, _, _ = select.select([sock, *beside], [], [], 0.05)
            if sock not in ready:
                turns += 1
                assert turns < 200, self.logs
                self.wait(100)
                continue
            data = sock.recv(1 << 16)
            if data:
                self.perform(self.machine.step(self.now_ms, Received(link, data)))
            else:
                self.sockets.pop(link).close()
                self.perform(self.machine.step(self.now_ms, Lost(link, "closed")))

    def until_up(self) -> None:
        self.until(lambda: self.machine.link_up)

    def until_failed(self) -> str:
        """Returns the reason."""
        self.until(lambda: self.failures)
        return self.failures.pop()

    @property
    def failures(self) -> list[str]:
        return [each.reason for each in self.effects if isinstance(each, Failed)]

    def wait(self, duration_ms: int) -> None:
        self.now_ms += duration_ms
        self.perform(self.machine.step(self.now_ms, Tick()))

    def cut(self) -> None:
        """The network ends the link."""
        link, sock = self.sockets.popitem()
        sock.close()
        self.perform(self.machine.step(self.now_ms, Lost(link, "cut")))

    def perform(self, outcomes: list[Outcome]) -> None:
        for each in outcomes:
            if isinstance(each, Connect):
                sock = socket.create_connection((each.host, each.port), timeout=10)
                self.sockets[each.link] = sock
                self.perform(self.machine.step(self.now_ms, Connected(each.link)))
            elif isinstance(each, Send):
                self.sockets[each.link].sendall(each.data)
            elif isinstance(each, Close):
                self.sockets.pop(each.link).close()
            elif isinstance(each, Log):
                self.logs += f"{each.text}\n"
            elif isinstance(each, FullSync):
                self.facts.request, self.snapshot = (each.replid, each.offset), b""
                self.syncs += 1
            elif isinstance(each, SnapshotData):
                self.snapshot += each.data
            elif isinstance(each, SnapshotEnd):
                self.facts.offset = self.facts.request[1]
                self.perform(self.machine.loaded(self.now_ms, True))
            elif isinstance(each, Stream):
                self._apply(each.data)
            elif not isinstance(each, Hold | Resume):  # a snapshot is in place at once here
                self.effects.append(each)

    def _apply(self, data: bytes) -> None:
        asked = self.stream.count(GETACK)
        self.stream += data
        self.facts.offset += len(data)
        self.facts.request = (self.facts.request[0], self.facts.offset + 1)
        if self.stream.count(GETACK) > asked:
            self.perform(self.machine.ack(self.now_ms))

    def close(self) -> None:
        for sock in self.sockets.values():
            sock.close()


@contextmanager
def primary(*options: str) -> Iterator[RealRedis]:
    server = RealRedis("--repl-diskless-sync-delay", "0", *options)
    try:
        yield server
    finally:
        server.close()


def replicas(client: WireClient) -> list[dict[str, str]]:
    """What INFO says of them."""
    info = client("INFO", "replication").decode().splitlines()
    lines = [line.split(":", 1) for line in info if ":" in line]
    return [
        dict(pair.split("=") for pair in value.split(","))
        for name, value in lines
        if name.startswith("slave") and name[5:].isdigit()
    ]


def wait_for(client: WireClient, follower: Follower, count: int = 1) -> None:
    """WAIT: the primary has heard that the follower has everything."""
    client.send("WAIT", count, 0)
    follower.until(lambda: readable(client.socket), client.socket)
    assert client.read() == count


def readable(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


@pytest.mark.parametrize("diskless", ["no", "yes"])
def test_a_full_sync_and_the_stream(diskless: str) -> None:
    with primary("--repl-diskless-sync", diskless) as server:
        client = server.client()
        client("SET", "before", "x" * 1000)
        client("MSET", *[f"{side}:{i}" for i in range(2000) for side in "kv"])
        follower = Follower(server.port, replica_announce_ip="192.0.2.7").follow()
        follower.until_up()
        assert follower.snapshot.startswith(b"REDIS")
        assert b"before" in follower.snapshot
        assert ("streamed RDB" in follower.logs) == (diskless == "yes")
        client("SET", "after", "sync")
        wait_for(client, follower)
        assert b"after\r\n$4\r\nsync" in follower.stream
        (seen,) = replicas(client)
        assert (seen["ip"], seen["port"], seen["state"]) == ("192.0.2.7", "7777", "online")
        assert int(seen["offset"]) == int(client("ROLE")[1])
        follower.wait(1000)
        follower.close()


def test_partial_resync_after_a_cut() -> None:
    with primary() as server:
        client = server.client()
        follower = Follower(server.port).follow()
        follower.until_up()
        client("SET", "k", 1)
        wait_for(client, follower)
        follower.cut()
        client("SET", "k", 2)
        client("SET", "k", 3)
        follower.wait(1000)
        follower.until_up()
        wait_for(client, follower)
        assert follower.effects[1:] == [  # what stands before is the beginning of the snapshot
            Failed("cut"),
            Continue(follower.facts.request[0]),
        ]
        assert [follower.stream.count(b"$1\r\n%d\r\n" % i) for i in (1, 2, 3)] == [1, 1, 1]
        assert follower.syncs == 1
        stats = client("INFO", "stats")
        assert b"sync_partial_ok:1" in stats
        assert b"sync_full:1" in stats
        follower.close()


def test_a_history_of_somebody_else_costs_a_full_sync() -> None:
    with primary() as server:
        follower = Follower(server.port, request=("f" * 40, 100)).follow()
        follower.until_up()
        assert follower.syncs == 1
        follower.close()


def test_passwords() -> None:
    with primary("--requirepass", "pw") as server:
        follower = Follower(server.port, masterauth="pw").follow()
        follower.until_up()
        follower.close()
        follower = Follower(server.port, masterauth="wrong").follow()
        assert "Unable to AUTH to MASTER: -WRONGPASS" in follower.until_failed()
        follower = Follower(server.port).follow()
        assert "aborted replication with an error: NOAUTH" in follower.until_failed()
        assert "Master replied to PING" in follower.logs
        assert "(Non critical) Master does not understand REPLCONF capa" in follower.logs


def test_a_user_with_just_enough_rights() -> None:
    with primary() as server:
        client = server.client()
        assert client("ACL", "SETUSER", "r", "on", ">pw", "+psync", "+replconf", "+ping") == b"OK"
        follower = Follower(server.port, masteruser="r", masterauth="pw").follow()
        follower.until_up()
        follower.close()
        assert client("ACL", "SETUSER", "r", "-psync") == b"OK"
        follower = Follower(server.port, masteruser="r", masterauth="pw").follow()
        assert "NOPERM" in follower.until_failed()
        assert "Unexpected reply to PSYNC from master: -NOPERM" in follower.logs
        assert "Retrying with SYNC..." in follower.logs


def test_a_primary_whose_own_primary_is_gone() -> None:
    with primary("--replicaof", f"127.0.0.1 {free_port()}") as server:
        follower = Follower(server.port).follow()
        assert "NOMASTERLINK" in follower.until_failed()
        assert follower.machine.deadline() == follower.now_ms + 1000
        assert server.client()("REPLICAOF", "NO", "ONE") == b"OK"
        follower.wait(1000)
        follower.until_up()
        follower.close()


def test_a_primary_that_loads() -> None:
    slow = ("--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024")
    with primary(*slow, "--rdbcompression", "no") as server:
        client = server.client()
        client("MSET", *[f"{side}:{i}{'x' * 50}" for i in range(5000) for side in "kv"])
        client.send("DEBUG", "RELOAD")
        other = server.client()
        while b"loading:1" not in other("INFO", "persistence"):
            pass
        follower = Follower(server.port).follow()
        assert "Error reply to PING from master: '-LOADING" in follower.until_failed()
        assert other("CONFIG", "SET", "key-load-delay", 0) == b"OK"
        assert client.read() == b"OK"
        follower.wait(1000)
        follower.until_up()
        follower.close()


def test_an_idle_primary_pings_and_a_silent_one_is_left() -> None:
    with primary("--repl-ping-replica-period", "1") as server:
        follower = Follower(server.port).follow()
        follower.until_up()
        follower.until(lambda: b"PING" in follower.stream.upper())
        follower.wait(60_000)
        assert follower.failures == ["timeout"]
        follower.wait(1000)
        follower.until_up()
        assert follower.syncs == 1
        follower.close()


def test_failover_asks_with_the_right_history_only() -> None:
    with primary() as server, primary() as target:
        port = server.port
        assert target.client()("REPLICAOF", "127.0.0.1", port) == b"OK"
        follower = Follower(port).follow()
        follower.until_up()
        client = server.client()
        client("SET", "k", "v")
        wait_for(client, follower, 2)
        refused = Follower(target.port, request=("0" * 40, 1)).follow(failover=True)
        refused.until_failed()
        assert isinstance(refused.effects[0], FailoverRefused)
        assert target.client()("ROLE")[0] == b"slave"
        follower.cut()
        heir = Follower(target.port, request=follower.facts.request).follow(failover=True)
        heir.until_up()
        assert target.client()("ROLE")[0] == b"master"
        assert isinstance(heir.effects[0], Continue)
        assert heir.effects[0].replid not in ("", follower.facts.request[0])
        heir.close()


def test_a_server_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        follower = Follower(silent.getsockname()[1], repl_timeout=5).follow()
        follower.wait(4999)
        assert follower.failures == []
        follower.wait(1)
        assert follower.failures == ["timeout"]
        assert not follower.sockets
