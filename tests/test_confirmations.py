"""WAIT and WAITAOF with replicas: confirmations are counted truly, and asked for at once."""

from __future__ import annotations

from tests.group import Group
from tests.test_node import trio


def test_wait_counts_those_who_have_it() -> None:
    group = Group()
    primary, first, second = trio(group)
    group.wire(second, primary).held = True
    primary("SET", "a", "1")
    assert primary("WAIT", 1, 0) == 1
    primary.client.send("WAIT", 2, 500)
    assert primary.client.replies() == []
    group.wait(600)
    assert primary.client.replies() == [1]
    primary.client.send("WAIT", 2, 0)
    group.wire(second, primary).held = False
    group.settle()
    assert primary.client.replies() == [2], "at once: it was asked"
    assert first.position == second.position


def test_wait_in_one_go_with_the_writes() -> None:
    group = Group()
    primary, _ = group.pair()
    found = primary.client.pipeline("SET a 1", "WAIT 1 0", "SET a 2", "WAIT 1 0", "GET a")
    assert found == [b"OK", 1, b"OK", 1, b"2"]


def test_wait_is_about_ones_own_writes() -> None:
    group = Group()
    primary, replica = group.pair()
    group.wire(replica, primary).held = True
    reader = primary.connect()
    primary("SET", "a", "1")
    assert reader("GET", "a") == b"1"
    assert reader("WAIT", 1, 0) == 1
    primary.client.send("WAIT", 1, 100)
    group.wait(200)
    assert primary.client.replies() == [0]


def test_wait_cannot_wait_in_a_transaction() -> None:
    group = Group()
    primary, _ = group.pair()
    primary("SET", "a", "0")
    found = primary.client.pipeline("MULTI", "SET a 1", "WAIT 1 0", "WAITAOF 0 1 0", "EXEC")
    assert found[-1] == [b"OK", 0, [0, 0]], "nobody was asked"


def test_wait_for_disks() -> None:
    group = Group()
    settings = {"appendonly": "yes", "appendfsync": "always"}
    primary, replica = group.add("primary", **settings), group.add("replica", **settings)
    replica.follow(primary)
    group.wait_for_links()
    primary("SET", "a", "1")
    assert primary("WAITAOF", 1, 1, 0) == [1, 1]
    group.wire(replica, primary).held = True
    primary("SET", "a", "2")
    assert primary("WAITAOF", 1, 0, 0) == [1, 0]
    primary.client.send("WAITAOF", 1, 1, 300)
    group.wait(400)
    assert primary.client.replies() == [[1, 0]]
    replica("CONFIG", "SET", "appendonly", "no")
    group.wire(replica, primary).held = False
    group.wait(1000)
    primary("SET", "a", "3")
    primary.client.send("WAITAOF", 1, 1, 300)
    group.wait(400)
    assert primary.client.replies() == [[1, 0]], "it has no file"


def test_wait_for_a_replica_that_leaves() -> None:
    group = Group()
    primary, replica = group.pair()
    group.wire(replica, primary).held = True
    primary("SET", "a", "1")
    primary.client.send("WAIT", 1, 1000)
    group.refusing.add("primary")
    group.cut(replica, primary)
    assert primary.client.replies() == []
    group.refusing.clear()
    group.wait(3000)
    assert primary.client.replies() in ([0], [1])


def test_wait_for_disks_that_are_synced_each_second() -> None:
    group = Group()
    primary = group.add("primary")
    replica = group.add("replica", appendonly="yes", appendfsync="everysec")
    replica.follow(primary)
    group.wait_for_links()
    group.wait(2000)
    replica.disk.finish_syncs()
    primary("SET", "a", "1")
    primary.client.send("WAITAOF", 0, 1, 10_000)
    group.settle()
    assert primary.client.replies() == []
    for _ in range(30):
        group.wait(100)
        replica.disk.finish_syncs()
    assert primary.client.replies() == [[0, 1]]


def test_a_lone_primary_waits_for_its_own_disk() -> None:
    group = Group()
    primary = group.add("primary", appendonly="yes", appendfsync="everysec")
    group.wait(3000)
    primary.disk.finish_syncs()
    primary("SET", "a", "1")
    primary.client.send("WAITAOF", 1, 0, 10_000)
    group.settle()
    assert primary.client.replies() == []
    for _ in range(30):
        group.wait(100)
        primary.disk.finish_syncs()
    assert primary.client.replies() == [[1, 0]]
