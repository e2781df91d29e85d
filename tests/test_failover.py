"""FAILOVER: nothing is lost, and whatever goes wrong leaves one primary."""

from __future__ import annotations

import pytest

from tests.group import Group, Member
from tests.test_node import READONLY, syncs, trio
from tests.test_primary import fill


def state(member: Member) -> str:
    return member.info()["master_failover_state"]


def test_to_the_only_replica() -> None:
    group = Group()
    primary, replica = group.pair()
    fill(primary, 5)
    assert primary("FAILOVER") == b"OK"
    group.wait_for_links()
    assert replica.info()["role"] == "master"
    assert primary.info()["role"] == "slave"
    assert state(primary) == "no-failover"
    assert primary("SET", "a", "1") == READONLY
    assert replica("SET", "a", "1") == b"OK"
    group.wait_for_links()
    assert primary.digest() == replica.digest()
    assert syncs(primary, replica) == (1, 1)


def test_to_a_chosen_one() -> None:
    group = Group()
    primary, first, second = trio(group)
    assert primary("FAILOVER", "TO", second.host, second.port) == b"OK"
    group.wait(2000)
    assert second.info()["role"] == "master"
    assert first.info()["master_host"] == primary.host, "it follows the old one, which follows on"
    group.wait_for_links()
    second("SET", "a", "1")
    assert first("GET", "a") == b"1"
    assert syncs(primary, second) == (2, 2)


def test_writes_wait_and_then_learn_where_to_go() -> None:
    group = Group()
    primary, replica = group.pair()
    group.wire(replica, primary).held = True
    primary("SET", "a", "1")
    writer = primary.connect()
    assert primary("FAILOVER") == b"OK"
    writer.send("SET", "b", "2")
    assert writer.replies() == []
    assert primary("GET", "a") == b"1", "reads go on"
    assert state(primary) == "waiting-for-sync"
    group.wait(3000)
    assert writer.replies() == []
    group.wire(replica, primary).held = False
    group.wait(2000)
    assert writer.replies() == [READONLY]
    assert replica("GET", "a") == b"1"
    assert replica("EXISTS", "b") == 0


def test_a_timeout_gives_up() -> None:
    group = Group()
    primary, replica = group.pair()
    group.wire(replica, primary).held = True
    primary("SET", "a", "1")
    assert primary("FAILOVER", "TIMEOUT", 1000) == b"OK"
    writer = primary.connect()
    writer.send("SET", "a", "2")
    group.wait(900)
    assert state(primary) == "waiting-for-sync"
    group.wait(200)
    assert state(primary) == "no-failover"
    assert primary.said("Replica never caught up before timeout")
    assert writer.replies() == [b"OK"]
    assert primary.info()["role"] == "master"


def test_a_timeout_with_force_loses_what_is_late() -> None:
    group = Group()
    primary, replica = group.pair()
    primary("SET", "early", "1")
    group.wait(1000)
    wire = group.wire(replica, primary)
    wire.room = 0
    primary("SET", "late", "1")
    command = ("FAILOVER", "TO", replica.host, replica.port, "FORCE", "TIMEOUT", 500)
    assert primary(*command) == b"OK"
    group.wait(2000)
    assert replica.info()["role"] == "master"
    group.wait_for_links()
    assert replica("MGET", "early", "late") == [b"1", None]
    assert primary("MGET", "early", "late") == [b"1", None]
    assert syncs(replica) == (1, 0), "it had gone further than the new primary"


def test_abort_while_waiting() -> None:
    group = Group()
    primary, replica = group.pair()
    group.wire(replica, primary).held = True
    primary("SET", "a", "1")
    primary("FAILOVER")
    writer = primary.connect()
    writer.send("SET", "a", "2")
    assert primary("FAILOVER", "ABORT") == b"OK"
    assert state(primary) == "no-failover"
    assert writer.replies() == [b"OK"]
    assert primary("FAILOVER", "ABORT") == b"ERR No failover in progress."


def test_abort_while_handing_over() -> None:
    group = Group()
    primary, replica = group.pair()
    replid = primary.position[0]
    group.refusing.add("replica")
    primary("FAILOVER")
    group.wait(3000)
    assert state(primary) == "failover-in-progress"
    assert primary("SET", "a", "1") == READONLY or primary.client.replies() == []
    assert primary("REPLICAOF", "NO", "ONE") == b"ERR REPLICAOF not allowed while failing over."
    assert primary.connect()("FAILOVER", "ABORT") == b"OK"
    assert state(primary) == "no-failover"
    assert primary.info()["role"] == "master"
    assert primary.position[0] != replid
    group.refusing.clear()
    group.wait_for_links()
    assert primary.connect()("SET", "b", "1") == b"OK"
    assert replica("GET", "b") == b"1"
    assert syncs(primary) == (1, 1)


def test_a_target_that_refuses() -> None:
    group = Group()
    primary, replica = group.pair()
    group.wait(1000)
    replica("CONFIG", "SET", "requirepass", "secret")
    replica.client = replica.connect()
    replica("AUTH", "secret")
    primary("FAILOVER")
    group.wait(2000)
    assert primary.info()["role"] == "master"
    assert state(primary) == "no-failover"
    group.wait_for_links()


def test_the_target_dies_while_it_is_waited_for() -> None:
    group = Group()
    primary, replica = group.pair()
    group.wire(replica, primary).held = True
    primary("SET", "a", "1")
    primary("FAILOVER", "TO", replica.host, replica.port, "TIMEOUT", 5000)
    replica.kill()
    group.wait(6000)
    assert state(primary) == "no-failover"
    assert primary("SET", "a", "2") == b"OK"


def test_one_that_is_not_online() -> None:
    group = Group()
    primary, replica = group.pair()
    other = group.add("other")
    primary.children.auto = False
    primary.children.room = 0
    other.follow(primary)
    assert primary("FAILOVER", "TO", other.host, other.port) == (
        b"ERR FAILOVER target replica is not online."
    )
    assert primary("FAILOVER", "TO", "10.0.0.77", 1) == (
        b"ERR FAILOVER target HOST and PORT is not a replica."
    )
    assert primary("FAILOVER", "FORCE") == (
        b"ERR FAILOVER with force option requires both a timeout and target HOST and IP."
    )
    assert replica("FAILOVER") == b"ERR FAILOVER is not valid when server is a replica."


def test_one_at_a_time() -> None:
    group = Group()
    primary, replica = group.pair()
    group.wire(replica, primary).held = True
    primary("SET", "a", "1")
    primary("FAILOVER")
    assert primary("FAILOVER") == b"ERR FAILOVER already in progress."
    other = group.add("other")
    other.follow(primary)
    group.wait(500)
    assert other.said("NOMASTERLINK Can't SYNC while failing over")


def test_the_stream_comes_to_its_end() -> None:
    """Neither pings nor expiry nor those who wait for acknowledgements move the goal."""
    group = Group()
    primary, replica = group.pair(repl_ping_replica_period=1)
    primary("SET", "a", "1", "PX", 1500)
    group.wire(replica, primary).held = True
    primary("FAILOVER")
    end = primary.node.history.offset
    for _ in range(10):
        primary.connect().send("WAIT", 3, 100)
        group.wait(300)
    assert primary.node.history.offset == end
    group.wire(replica, primary).held = False
    group.wait(1000)
    assert replica.info()["role"] == "master"


@pytest.mark.parametrize("cut", range(0, 300, 37))
def test_there_and_back_again(cut: int) -> None:
    group = Group()
    primary, first, second = trio(group)
    nodes = [primary, first, second]
    top = primary
    for turn in range(4):
        target = nodes[(turn + 1) % 3]
        wire = group.wire(target, top) if target.node.address == (top.host, 6379) else None
        if wire is None:
            target.follow(top)
            group.wait_for_links()
            wire = group.wire(target, top)
        wire.room = cut
        top("FAILOVER", "TO", target.host, target.port)
        group.wait(300)
        wire.room = None
        group.wait_for_links()
        assert target.info()["role"] == "master"
        target("SET", f"turn{turn}", "1")
        top = target
        group.wait_for_links()
    assert len({each.digest() for each in nodes}) == 1
    assert syncs(*nodes)[0] == 2
