"""A snapshot on its way into a replica: three ways, and old data or new ones, never half."""

from __future__ import annotations

import errno
import random

import pytest

from tests.group import Group, Member
from tests.test_node import chain, syncs
from tests.test_primary import fill

LOADS = ["disabled", "on-empty-db", "swapdb"]
SENDS = ["yes", "no"]


def about_to_copy(
    group: Group, load: str, send: str = "yes", **settings: object
) -> tuple[Member, Member]:
    """A primary, and a replica-to-be with data of its own."""
    primary = group.add("primary", repl_diskless_sync=send)
    replica = group.add("replica", repl_diskless_load=load, **settings)
    fill(primary)
    replica("SET", "old", "1")
    replica("SELECT", 2)
    replica("SET", "old", "2")
    replica("SELECT", 0)
    return primary, replica


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("send", SENDS)
@pytest.mark.parametrize("empty", [True, False])
def test_every_way(load: str, send: str, empty: bool) -> None:
    group = Group()
    primary, replica = about_to_copy(group, load, send)
    if empty:
        replica("FLUSHALL")
    rng = random.Random(1)
    group.piece = lambda: rng.randint(1, 300)
    replica.follow(primary)
    group.wait_for_links()
    assert replica.digest() == primary.digest()
    direct = load == "swapdb" or (load == "on-empty-db" and empty)
    assert replica.disk.exists("dump.rdb") is not direct
    assert [name for name in replica.disk.names() if name.startswith("temp")] == []
    primary("SET", "a", "1")
    assert replica("GET", "a") == b"1"


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("send", SENDS)
@pytest.mark.parametrize("at", [0, 1, 50, 200, 700, 1500, 2500, 3300])
def test_cut_anywhere_it_keeps_what_it_had(load: str, send: str, at: int) -> None:
    group = Group()
    primary, replica = about_to_copy(group, load, send)
    old = replica.digest()
    group.piece = lambda: 10
    group.room = len("+PONG\r\n+OK\r\n+OK\r\n") + at
    replica.follow(primary)
    group.wait(300)
    group.refusing.add("primary")
    group.room = None
    group.cut(replica, primary)
    assert replica("INFO", "persistence").count(b"loading:0") == 2
    assert replica.digest() == old
    assert replica("GET", "old") == b"1"
    assert [name for name in replica.disk.names() if name.startswith("temp")] == []
    group.refusing.clear()
    group.piece = None
    group.wait_for_links()
    assert replica.digest() == primary.digest()


def test_old_data_are_served_while_new_ones_come() -> None:
    group = Group()
    primary, replica = group.pair(repl_backlog_size="16kb", repl_diskless_load="swapdb")
    primary("SET", "old", "1")
    group.refusing.add("primary")
    group.cut(replica, primary)
    primary("DEL", "old")
    for number in range(40):
        primary("SET", f"big{number}", random.Random(number).randbytes(1000))
    group.refusing.clear()
    primary.children.room = 10_000
    group.wait(1000)
    info = replica.info("persistence")
    assert (info["async_loading"], info["loading"]) == ("1", "0")
    assert 0 < int(info["loading_loaded_bytes"]) <= 10_000
    assert 0 < float(info["loading_loaded_perc"]) <= 100
    assert replica("CONFIG", "SET", "repl-diskless-load", "disabled").startswith(b"LOADING")
    assert replica("GET", "old") == b"1"
    assert replica("SET", "old", "2").startswith(b"READONLY")
    assert replica("REPLICAOF", "NO", "ONE") == b"LOADING Redis is loading the dataset in memory"
    assert replica("FLUSHALL").startswith((b"LOADING", b"READONLY"))
    watcher = replica.connect()
    watcher("WATCH", "old")
    watcher("MULTI")
    watcher("GET", "old")
    primary.children.room = None
    group.wait_for_links()
    assert replica("EXISTS", "old") == 0
    assert watcher("EXEC") != [b"1"]
    assert replica.info("persistence")["async_loading"] == "0"


def test_data_of_another_history_are_not_served_but_kept() -> None:
    group = Group()
    primary, replica = about_to_copy(group, "swapdb")
    primary.children.room = 1000
    replica.follow(primary)
    info = replica.info("persistence")
    assert (info["async_loading"], info["loading"]) == ("0", "1")
    assert replica("GET", "old").startswith(b"LOADING")
    group.refusing.add("primary")
    group.cut(replica, primary)
    assert replica("GET", "old") == b"1"


@pytest.mark.parametrize("load", ["disabled", "on-empty-db"])
def test_clients_are_told_of_the_loading(load: str) -> None:
    group = Group()
    primary, replica = about_to_copy(group, load)
    replica("FLUSHALL")
    primary.children.room = 1000
    replica.follow(primary)
    reply = replica("GET", "old")
    assert (reply == b"LOADING Redis is loading the dataset in memory") == (load == "on-empty-db")
    primary.children.room = None
    group.wait_for_links()


def test_progress_is_shown() -> None:
    group = Group()
    primary, replica = about_to_copy(group, "disabled", "no")
    group.room = 1000
    replica.follow(primary)
    group.wait(500)
    wire = group.wire(replica, primary)
    info = replica.info()
    assert info["master_link_status"] == "down"
    assert info["master_sync_in_progress"] == "1"
    total = int(info["master_sync_total_bytes"])
    read = int(info["master_sync_read_bytes"])
    assert total == primary.disk.size("dump.rdb")
    assert 0 < read < 1000
    assert int(info["master_sync_left_bytes"]) == total - read
    assert info["master_sync_perc"] == f"{100 * read / total:.2f}"
    assert replica("ROLE")[3] == b"sync"
    wire.room = None
    group.wait_for_links()


@pytest.mark.parametrize("action", ["create", "write", "sync", "rename", "open"])
def test_a_disk_that_fails(action: str) -> None:
    group = Group()
    primary, replica = about_to_copy(group, "disabled")
    replica.disk.faults[action] = errno.EIO
    old = replica.digest()
    replica.follow(primary)
    group.wait(2500)
    assert not replica.node.link_up
    assert replica.digest() == old
    assert replica.said("MASTER <-> REPLICA sync")
    replica.disk.faults.clear()
    group.wait_for_links()
    assert replica.digest() == primary.digest()
    assert [name for name in replica.disk.names() if name.startswith("temp")] == []


@pytest.mark.parametrize("load", LOADS)
def test_a_snapshot_that_is_damaged(load: str) -> None:
    group = Group()
    primary, replica = about_to_copy(group, load)
    old = replica.digest()
    chunks = primary.engine.saver.chunks

    def spoiled(*args: object, **options: object) -> object:
        data = b"".join(chunks(*args, **options))  # type: ignore[arg-type]
        return iter([data[:500] + b"\xff" + data[501:]])

    primary.engine.saver.chunks = spoiled  # type: ignore[assignment, method-assign]
    replica.follow(primary)
    group.wait(2500)
    assert not replica.node.link_up
    assert replica.digest() == old
    primary.engine.saver.chunks = chunks  # type: ignore[method-assign]
    group.wait_for_links()
    assert replica.digest() == primary.digest()


def test_a_damaged_file_does_not_stay() -> None:
    """What cannot be loaded must not be what the next start loads."""
    group = Group()
    primary, replica = about_to_copy(group, "disabled", save="3600 1")
    replica("SAVE")
    chunks = primary.engine.saver.chunks

    def spoiled(*args: object, **options: object) -> object:
        data = b"".join(chunks(*args, **options))  # type: ignore[arg-type]
        return iter([data[:500] + b"\xff" + data[501:]])

    primary.engine.saver.chunks = spoiled  # type: ignore[assignment, method-assign]
    replica.follow(primary)
    group.wait(1500)
    group.refusing.add("primary")
    group.wait(1500)
    replica.kill()
    replica.boot()
    assert replica("GET", "old") == b"1"


@pytest.mark.parametrize("load", LOADS)
def test_sub_replicas_keep_their_data_as_long_as_the_middle_does(load: str) -> None:
    group = Group()
    _, middle, bottom = chain(group)
    middle("CONFIG", "SET", "repl-diskless-load", load)
    other = group.add("other")
    fill(other)
    middle.node.engine.role = "replica"
    other.children.room = 500
    middle.follow(other)
    group.wait(500)
    if load == "swapdb":
        assert bottom in [wire.opener for wire in group.wires]
    other.children.room = None
    group.wait_for_links()
    assert bottom.digest() == middle.digest() == other.digest()


def test_a_log_of_its_own_begins_anew() -> None:
    group = Group()
    primary, replica = about_to_copy(group, "disabled", appendonly="yes")
    replica.follow(primary)
    group.wait_for_links()
    primary("SET", "after", "1")
    group.wait(2000)
    replica.kill()
    replica.settings["replicaof"] = (primary.host, primary.port)
    group.refusing.add("primary")
    replica.boot()
    assert replica.digest() == primary.digest()
    assert replica("GET", "after") == b"1"


def test_functions_come_along() -> None:
    group = Group()
    primary, replica = about_to_copy(group, "swapdb")
    code = "#!lua name=%s\nredis.register_function('%s', function() return 1 end)"
    primary("FUNCTION", "LOAD", code % ("new", "new"))
    replica("FUNCTION", "LOAD", code % ("old", "old"))
    replica.follow(primary)
    group.wait_for_links()
    assert [each[1] for each in replica("FUNCTION", "LIST")] == [b"new"]


def test_the_replaced_data_can_be_freed_slowly() -> None:
    group = Group()
    primary, replica = about_to_copy(group, "swapdb", replica_lazy_flush="yes")
    for number in range(300):
        replica("SET", f"old{number}", "x")
    replica.follow(primary)
    group.settle()
    freed = replica.engine.lazyfree
    assert freed.pending or freed.freed >= 300
    group.wait_for_links()
    assert replica.digest() == primary.digest()


def test_a_save_of_the_replica_is_ended() -> None:
    group = Group()
    primary, replica = about_to_copy(group, "disabled", save="3600 1")
    replica.children.auto = False
    replica("BGSAVE")
    replica.follow(primary)
    group.wait(500)
    assert replica.children.killed
    replica.children.auto = True
    group.wait_for_links()
    group.wait(1000)
    replica.kill()
    replica.settings["replicaof"] = (primary.host, primary.port)
    group.refusing.add("primary")
    replica.boot()
    assert replica.digest() == primary.digest(), "its file is what has come"


def test_no_more_full_copies_than_needed() -> None:
    """The link is lost while the snapshot, which has come in full, is loaded."""
    group = Group()
    primary, replica = about_to_copy(group, "disabled")
    load = replica.node._load
    replica.node._load = lambda: None  # type: ignore[method-assign]
    replica.node.deadline = lambda: None  # type: ignore[method-assign]
    replica.follow(primary)
    group.wait(1000)
    group.cut(replica, primary)
    primary("SET", "late", "1")
    replica.node._load = load  # type: ignore[method-assign]
    del replica.node.deadline
    group.wait_for_links()
    assert replica("GET", "late") == b"1"
    assert syncs(primary) == (1, 1)


def test_a_delay_for_each_key() -> None:
    group = Group()
    primary, replica = about_to_copy(group, "disabled")
    replica("CONFIG", "SET", "key-load-delay", 50_000)
    replica("CONFIG", "SET", "loading-process-events-interval-bytes", 1024)
    keys = sum(len(db.data) for db in primary.engine.ks.dbs)
    replica.follow(primary)
    group.wait(500)
    assert replica.node.intake is not None
    assert replica.info()["master_sync_in_progress"] == "1"
    assert 2000 <= group.wait_for_links() <= keys * 50, "behind the last slice nothing is waited"
    assert replica.digest() == primary.digest()
    replica("CONFIG", "SET", "repl-diskless-load", "swapdb", "key-load-delay", 1000)
    slept: list[float] = []
    replica.engine.host.sleep = slept.append  # type: ignore[method-assign, assignment]
    replica("REPLICAOF", "NO", "ONE")
    replica("SET", "own", "1")
    replica.follow(primary)
    group.wait_for_links()
    assert sum(slept) == pytest.approx(keys / 1000)


def test_a_file_that_cannot_be_kept_leaves_the_functions_too() -> None:
    group = Group()
    primary, replica = about_to_copy(group, "disabled")
    code = "#!lua name={0}\nredis.register_function('{0}', function() return 1 end)"
    primary("FUNCTION", "LOAD", code.format("theirs"))
    replica("FUNCTION", "LOAD", code.format("ours"))
    replica.disk.faults["rename"] = errno.EIO
    replica.follow(primary)
    group.wait(300)
    assert replica.said("Failed trying to rename the temp DB")
    libraries = replica.engine.scripting.libraries
    assert list(libraries.libraries) == [b"ours"]
    assert list(libraries.functions) == [b"ours"]
    assert replica("GET", "old") == b"1"
    replica.disk.faults.clear()
    group.wait_for_links()
    assert list(libraries.libraries) == [b"theirs"]
