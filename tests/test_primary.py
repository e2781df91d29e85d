"""The primary's side: copies, backlog, stream, acknowledgements, and replicas that fail."""

from __future__ import annotations

import errno
import random

import pytest

from pyredis.replication.downstream import Phase
from pyredis.replication.primary import PING
from pyredis.session import Session
from tests.group import Group, Member

LIMIT = {"client_output_buffer_limit": "replica 64kb 0 0"}
DISK = {"repl_diskless_sync": "no"}
KINDS = [pytest.param({}, id="diskless"), pytest.param(DISK, id="disk")]


def fill(member: Member, count: int = 50) -> None:
    """Some of every type, in several databases."""
    for number in range(count):
        member.client.pipeline(
            f"SET string:{number} {number * 7919}",
            f"RPUSH list a{number} b c",
            f"SADD set {number} x{number}",
            f"HSET hash f{number} {number}",
            f"ZADD zset {number}.5 m{number}",
            f"XADD stream {number + 1}-1 f {number}",
            f"SELECT {number % 4}",
        )
    member("SELECT", 0)


def held_pair(group: Group, **settings: object) -> tuple[Member, Member]:
    """A primary whose child is at work for a replica."""
    primary, replica = group.add("primary", **settings), group.add("replica")
    fill(primary)
    primary.children.auto = False
    primary.children.room = 100
    replica.follow(primary)
    group.wait(1000)
    assert primary.info()["slave0"].split(",")[2] == "state=wait_bgsave"
    return primary, replica


def let_go(group: Group, primary: Member) -> None:
    """The child can end."""
    primary.children.room = None
    primary.children.auto = True
    group.settle()


def downstream_phases(primary: Member) -> list[Phase]:
    return [each.phase for each in primary.node.primary.replicas.values()]


# Full copies


@pytest.mark.parametrize("settings", KINDS)
def test_a_full_copy_and_then_the_stream(settings: dict[str, str]) -> None:
    group = Group()
    primary, replica = group.add("primary", **settings), group.add("replica")
    fill(primary)
    replica.follow(primary)
    group.wait_for_links()
    assert replica.digest() == primary.digest()
    fill(primary, 60)
    assert replica.digest() == primary.digest()
    assert replica.position == primary.position
    assert primary.info("stats")["sync_full"] == "1"
    form = b"$EOF:" if not settings else b"$"
    assert form in group.wire(replica, primary).sent_down


@pytest.mark.parametrize("settings", KINDS)
def test_what_is_written_while_the_copy_is_made_comes_after_it(settings: dict[str, str]) -> None:
    group = Group()
    primary, replica = held_pair(group, **settings)
    offset = primary.node.history.offset
    primary("SET", "late", "1")
    primary("SELECT", 3)
    primary("SET", "late", "3")
    primary("SELECT", 0)
    assert primary.node.history.offset > offset
    let_go(group, primary)
    group.wait_for_links()
    assert replica("GET", "late") == b"1"
    assert replica.digest() == primary.digest()
    assert primary.children.jobs == [primary.children.jobs[0]], "one child"


@pytest.mark.parametrize("settings", KINDS)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_any_cut_of_the_bytes_gives_the_same(settings: dict[str, str], size: int) -> None:
    group = Group()
    primary, replica = group.add("primary", **settings), group.add("replica")
    fill(primary, 4)
    rng = random.Random(size)
    group.piece = lambda: rng.randint(1, size)
    replica.follow(primary)
    group.wait_for_links()
    fill(primary, 5)
    group.wait_for_links()
    assert replica.digest() == primary.digest()


def test_replicas_that_ask_together_share_a_streamed_copy() -> None:
    group = Group()
    primary = group.add("primary", repl_diskless_sync_delay=5)
    fill(primary)
    first, second = group.add("first"), group.add("second")
    first.follow(primary)
    group.wait(3000)
    second.follow(primary)
    group.wait(1500)
    assert primary.children.jobs == []
    group.wait(2000)
    assert len(primary.children.jobs) == 1
    group.wait_for_links()
    assert first.digest() == second.digest() == primary.digest()
    assert len(primary.children.jobs) == 1
    assert primary.said("done reading from pipe, 2 replicas still up.")


def test_enough_replicas_end_the_delay() -> None:
    group = Group()
    primary = group.add("primary", repl_diskless_sync_delay=50, repl_diskless_sync_max_replicas=2)
    first, second = group.add("first"), group.add("second")
    first.follow(primary)
    group.wait(10_000)
    assert primary.children.jobs == []
    second.follow(primary)
    group.wait(1100)
    assert len(primary.children.jobs) == 1
    group.wait_for_links()


def test_a_period_keeps_streamed_copies_apart() -> None:
    group = Group()
    primary = group.add("primary", repl_diskless_sync_period=60)
    group.add("first").follow(primary)
    group.wait_for_links()
    for name in ("second", "third"):
        group.add(name).follow(primary)
        group.wait(25_000)
    assert len(primary.children.jobs) == 1
    group.wait(12_000)
    assert len(primary.children.jobs) == 2
    group.wait_for_links()


def test_no_delay_waits_for_nobody() -> None:
    group = Group()
    primary, replica = group.add("primary"), group.add("replica")
    replica.follow(primary)
    assert len(primary.children.jobs) == 1


def test_a_dump_to_disk_that_has_begun_is_joined() -> None:
    group = Group()
    primary, first = held_pair(group, **DISK)
    primary("SET", "between", "1")
    second = group.add("second")
    second.follow(primary)
    primary("SET", "after", "1")
    assert downstream_phases(primary) == [Phase.WAIT_END, Phase.WAIT_END]
    let_go(group, primary)
    group.wait_for_links()
    assert len(primary.children.jobs) == 1
    assert first.digest() == second.digest() == primary.digest()
    assert first.position == second.position == primary.position


@pytest.mark.parametrize("settings", KINDS)
def test_a_save_that_nobody_waits_for_is_of_no_use(settings: dict[str, str]) -> None:
    group = Group()
    primary, replica = group.add("primary", **settings), group.add("replica")
    fill(primary)
    primary.children.auto = False
    primary("BGSAVE")
    primary("SET", "later", "1")
    replica.follow(primary)
    group.wait(3000)
    assert downstream_phases(primary) == [Phase.WAIT_START]
    primary.children.auto = True
    group.wait_for_links()
    assert len(primary.children.jobs) == 2
    assert replica.digest() == primary.digest()


@pytest.mark.parametrize("save", ["", "900 1"])
def test_a_dump_that_no_replica_waits_for_any_more_is_given_up(save: str) -> None:
    group = Group()
    primary, first = held_pair(group, save=save, **DISK)
    second = group.add("second")
    second.follow(primary)
    first("REPLICAOF", "NO", "ONE")
    group.settle()
    assert not primary.children.killed
    second("REPLICAOF", "NO", "ONE")
    group.settle()
    assert bool(primary.children.killed) == (not save), "with save points it is wanted anyway"


def test_flushall_gives_up_a_streamed_copy() -> None:
    group = Group()
    primary, replica = held_pair(group)
    primary("FLUSHALL")
    assert primary.children.killed
    let_go(group, primary)
    group.wait_for_links()
    assert replica.digest() == primary.digest()


def test_a_streamed_copy_that_has_begun_is_not_joined() -> None:
    group = Group()
    primary, first = held_pair(group)
    second = group.add("second")
    second.follow(primary)
    group.wait(2000)
    assert downstream_phases(primary) == [Phase.WAIT_END, Phase.WAIT_START]
    let_go(group, primary)
    group.wait_for_links()
    assert len(primary.children.jobs) == 2
    assert first.digest() == second.digest() == primary.digest()


def test_a_rewrite_of_the_log_comes_first() -> None:
    group = Group()
    primary, replica = group.add("primary", appendonly="yes"), group.add("replica")
    fill(primary)
    primary.children.auto = False
    primary("BGREWRITEAOF")
    replica.follow(primary)
    group.wait(2000)
    assert downstream_phases(primary) == [Phase.WAIT_START]
    primary.children.auto = True
    group.wait_for_links()
    assert replica.digest() == primary.digest()


@pytest.mark.parametrize("settings", KINDS)
def test_a_replica_that_dies_midway_harms_no_other(settings: dict[str, str]) -> None:
    group = Group()
    primary, first = held_pair(group, **settings)
    assert downstream_phases(primary) == [Phase.WAIT_END]
    group.refusing.add("primary")
    group.cut(first, primary)
    assert downstream_phases(primary) == []
    if not settings:
        assert primary.children.killed, "nobody is left to send it to"
        assert primary.children.on_readable is None, "its end is not looked for again and again"
    group.refusing.clear()
    let_go(group, primary)
    group.wait_for_links()
    assert first.digest() == primary.digest()


def test_the_slowest_of_two_dies_and_the_other_gets_its_copy() -> None:
    group = Group()
    primary = group.add("primary", repl_diskless_sync_delay=2)
    fill(primary)
    fast, slow = group.add("fast"), group.add("slow")
    fast.follow(primary)
    slow.follow(primary)
    group.wire(slow, primary).held = True
    primary.children.room = 50
    group.wait(3000)
    assert downstream_phases(primary) == [Phase.WAIT_END, Phase.WAIT_END]
    primary.children.room = None
    group.wait(1000)
    assert not fast.node.link_up, "the slower one sets the pace"
    group.refusing.add("primary")
    group.cut(slow, primary)
    assert not primary.children.killed
    group.wait(1000)
    assert fast.node.link_up
    assert fast.digest() == primary.digest()


@pytest.mark.parametrize("settings", KINDS)
def test_the_child_is_killed_and_the_replica_tries_again(settings: dict[str, str]) -> None:
    group = Group()
    primary, replica = held_pair(group, **settings)
    group.refusing.add("primary")
    primary.children.finish(signal=9)
    primary.children.auto = True
    group.wait(200)
    assert downstream_phases(primary) == []
    group.refusing.clear()
    group.wait_for_links()
    assert replica.digest() == primary.digest()
    assert len(primary.children.jobs) == 2


@pytest.mark.parametrize("settings", KINDS)
def test_no_child_can_be_had(settings: dict[str, str]) -> None:
    group = Group()
    primary, replica = group.add("primary", **settings), group.add("replica")
    primary.children.fork_error = errno.ENOMEM
    replica.follow(primary)
    group.wait(3000)
    assert not replica.node.link_up
    assert primary.said("BGSAVE for replication failed")
    assert replica.said("BGSAVE failed, replication can't continue")
    primary.children.fork_error = 0
    group.wait_for_links()


def test_the_disk_is_full() -> None:
    group = Group()
    primary, replica = group.add("primary", **DISK), group.add("replica")
    fill(primary)
    primary.disk.faults["write"] = errno.ENOSPC
    replica.follow(primary)
    group.wait(2500)
    assert not replica.node.link_up
    assert primary.said("SYNC failed. BGSAVE child returned an error")
    primary.disk.faults.clear()
    group.wait_for_links()
    assert replica.digest() == primary.digest()


def test_rdb_del_sync_files() -> None:
    group = Group()
    primary = group.add("primary", rdb_del_sync_files="yes", **DISK)
    replica = group.add("replica", rdb_del_sync_files="yes")
    fill(primary)
    replica.follow(primary)
    group.wait_for_links()
    group.wait(2000)
    assert replica.digest() == primary.digest()
    assert not primary.disk.exists("dump.rdb")
    assert not replica.disk.exists("dump.rdb")


def test_rdb_del_sync_files_keeps_those_that_persist() -> None:
    group = Group()
    primary = group.add("primary", rdb_del_sync_files="yes", save="3600 1", **DISK)
    replica = group.add("replica", rdb_del_sync_files="yes", appendonly="yes")
    fill(primary)
    primary("SAVE")
    replica.follow(primary)
    group.wait_for_links()
    group.wait(2000)
    assert primary.disk.exists("dump.rdb")
    assert replica.disk.exists("dump.rdb")


# Partial


def test_after_a_cut_only_what_was_missed() -> None:
    group = Group()
    primary, replica = group.pair()
    fill(primary)
    group.refusing.add("primary")
    group.cut(replica, primary)
    fill(primary, 60)
    assert replica.digest() != primary.digest()
    group.refusing.clear()
    group.wait_for_links()
    assert replica.digest() == primary.digest()
    stats = primary.info("stats")
    assert (stats["sync_full"], stats["sync_partial_ok"]) == ("1", "1")


@pytest.mark.parametrize("moment", range(0, 400, 23))
def test_a_cut_anywhere_in_a_transaction(moment: int) -> None:
    group = Group()
    primary, replica = group.pair()
    wire = group.wire(replica, primary)
    primary.client.pipeline("MULTI", "SET a 1", "SELECT 3", "SET b 2", "INCR c", "EXEC", "SET d 1")
    group.wait_for_links()
    wire.room = moment
    primary.client.pipeline(
        "SELECT 0", "MULTI", "INCR a", "SELECT 3", "INCR b", "SET e 6", "EXEC", "INCR d", "INCR a"
    )
    primary("SELECT", 0)
    group.cut(replica, primary)
    group.wait_for_links()
    assert replica.digest() == primary.digest()
    assert primary.info("stats")["sync_partial_ok"] == "1"
    assert replica("GET", "a") == primary("GET", "a") == b"2"


def test_what_the_backlog_has_lost_costs_a_full_copy() -> None:
    group = Group()
    primary, replica = group.pair(repl_backlog_size="16kb")
    group.refusing.add("primary")
    group.cut(replica, primary)
    for _ in range(40):
        primary("SET", "big", "x" * 1000)
    group.refusing.clear()
    group.wait_for_links()
    assert replica.digest() == primary.digest()
    stats = primary.info("stats")
    assert (stats["sync_full"], stats["sync_partial_err"]) == ("2", "2")


def test_what_one_waits_for_another_can_have() -> None:
    group = Group()
    primary, waiting = held_pair(group, repl_backlog_size="16kb", **DISK)
    primary.children.auto = True
    before = int(primary.info()["master_repl_offset"])
    for _ in range(40):
        primary("SET", "big", "x" * 1000)
    assert int(primary.info()["repl_backlog_first_byte_offset"]) <= before + 1
    assert primary.node.primary.backlog is not None
    assert primary.node.primary.backlog.holds(before + 1)
    let_go(group, primary)
    group.wait_for_links()
    assert waiting.digest() == primary.digest()
    primary("SET", "big", "x" * 1000)
    assert int(primary.info()["repl_backlog_histlen"]) < 20 << 10


def test_the_backlog_can_be_resized() -> None:
    group = Group()
    primary, _ = group.pair()
    for _ in range(100):
        primary("SET", "big", "x" * 1000)
    assert int(primary.info()["repl_backlog_histlen"]) > 100_000
    primary("CONFIG", "SET", "repl-backlog-size", "20kb")
    info = primary.info()
    assert 20 << 10 <= int(info["repl_backlog_histlen"]) < 22 << 10
    first, length = int(info["repl_backlog_first_byte_offset"]), int(info["repl_backlog_histlen"])
    assert first + length == int(info["master_repl_offset"]) + 1


def test_the_backlog_ends_when_nobody_comes_back() -> None:
    group = Group()
    primary, replica = group.pair(repl_backlog_ttl=10)
    replid, offset = primary.position
    replica("REPLICAOF", "NO", "ONE")
    group.wait(9000)
    assert primary.info()["repl_backlog_active"] == "1"
    group.wait(3000)
    info = primary.info()
    assert info["repl_backlog_active"] == "0"
    assert info["repl_backlog_first_byte_offset"] == info["repl_backlog_histlen"] == "0"
    assert primary.position[0] != replid
    assert primary.position[1] == offset
    assert info["master_replid2"] == "0" * 40
    primary("SET", "a", "1")
    replica.follow(primary)
    group.wait_for_links()
    assert replica("GET", "a") == b"1"


def test_a_ttl_of_zero_keeps_the_backlog() -> None:
    group = Group()
    primary, replica = group.pair(repl_backlog_ttl=0)
    replica("REPLICAOF", "NO", "ONE")
    group.wait(20_000)
    assert primary.info()["repl_backlog_active"] == "1"


# The stream


def test_pings_count_and_newlines_do_not() -> None:
    group = Group()
    primary, replica = group.pair(repl_ping_replica_period=2)
    offset = primary.node.history.offset
    group.wait(10_000)
    pings = (primary.node.history.offset - offset) // len(PING)
    assert pings in (4, 5)
    assert primary.node.history.offset == offset + pings * len(PING)
    assert replica.position == primary.position
    primary.children.auto = False
    other = group.add("other")
    primary("CONFIG", "SET", "repl-diskless-sync", "no")
    other.follow(primary)
    offset = primary.node.history.offset
    wire = group.wire(other, primary)
    group.wait(1500)
    assert b"\n\n" in wire.sent_down or wire.sent_down.endswith(b"\n")
    primary.children.auto = True
    group.wait_for_links()


def test_what_a_replica_should_not_ask_is_told_to_the_log() -> None:
    primary = Group().add("primary")
    primary("SET", "a", "1")
    asker = primary.connect()
    assert asker("PSYNC", "id", "x") == b"ERR value is not an integer or out of range"
    assert primary.said("asks for synchronization but with a wrong offset")
    asker.send("PSYNC", "id", "-1")
    asker.send("GET", "a")
    assert primary.said(
        "== CRITICAL == This master is sending an error to its replica: "
        "'ERR Replica can't interact with the keyspace' after processing the command 'get'"
    )


def test_pings_come_at_equal_times_whoever_is_there() -> None:
    group = Group()
    primary = group.add("primary")
    group.wait(5000)
    replica = group.add("replica")
    replica.follow(primary)
    group.wait(3000)
    assert primary.node.history.offset == 0
    group.wait(3000)
    assert primary.node.history.offset == len(PING)


def test_a_replica_is_no_monitor_and_a_monitor_no_replica() -> None:
    group = Group()
    primary, replica = group.pair()
    wire = group.wire(replica, primary)
    wire.up.append(b"MONITOR\r\n")
    group.settle()
    assert wire in group.wires
    assert not primary.engine.monitors
    monitor = primary.connect()
    assert monitor("MONITOR") == b"OK"
    monitor.send("PSYNC", "?", "-1")
    assert monitor.replies() == []
    assert primary.info()["connected_slaves"] == "1"


def test_select_is_said_when_the_database_changes_and_to_whoever_comes() -> None:
    group = Group()
    primary, first = group.pair()
    wire = group.wire(first, primary)
    before = len(wire.sent_down)
    primary.client.pipeline("SET a 1", "SET b 2", "SELECT 5", "SET c 3", "SELECT 0", "SET d 4")
    assert wire.sent_down[before:].count(b"SELECT") == 3
    second = group.add("second")
    second.follow(primary)
    primary("SET", "e", "5")
    group.wait_for_links()
    assert first.digest() == second.digest() == primary.digest()


def test_reads_and_failures_are_not_in_the_stream() -> None:
    group = Group()
    primary, _ = group.pair()
    primary("SET", "a", "1")
    offset = primary.node.history.offset
    primary("GET", "a")
    primary("LPUSH", "a", "1")
    primary("DEL", "nothing")
    primary("CONFIG", "SET", "maxmemory", "0")
    assert primary.node.history.offset == offset


def test_without_replicas_there_is_no_stream() -> None:
    group = Group()
    primary = group.add("primary")
    fill(primary)
    info = primary.info()
    assert (info["master_repl_offset"], info["repl_backlog_active"]) == ("0", "0")


# Silence and slowness


def test_a_replica_that_says_nothing_is_dropped() -> None:
    group = Group()
    primary, replica = group.pair()
    primary("CONFIG", "SET", "repl-timeout", "5")
    group.wire(replica, primary).held = True
    group.refusing.add("primary")
    group.wait(4000)
    assert downstream_phases(primary) == [Phase.ONLINE]
    group.wait(3000)
    assert downstream_phases(primary) == []
    assert primary.said("Disconnecting timedout replica (streaming sync): 10.0.0.2:6379")
    group.refusing.clear()
    group.wait_for_links()
    assert primary.info("stats")["sync_full"] == "1"


def test_a_replica_that_takes_none_of_a_streamed_copy_is_dropped() -> None:
    group = Group()
    primary = group.add("primary", repl_timeout=5)
    replica = group.add("replica")
    fill(primary)
    primary.children.room = 100
    replica.follow(primary)
    group.wait(20_000)
    assert downstream_phases(primary) == [Phase.WAIT_END], "the child is slow, not the replica"
    group.wire(replica, primary).held = True
    group.refusing.add("primary")
    primary.children.room = 100
    group.wait(4000)
    assert downstream_phases(primary) == [Phase.WAIT_END]
    group.wait(3000)
    assert downstream_phases(primary) == []
    assert primary.said("Disconnecting timedout replica (full sync): 10.0.0.2:6379")
    assert primary.children.killed
    group.refusing.clear()
    primary.children.room = None
    group.wait_for_links()


def test_the_output_limit_for_replicas() -> None:
    group = Group()
    primary, replica = group.pair(repl_backlog_size="16kb", **LIMIT)
    group.wire(replica, primary).held = True
    for _ in range(100):
        primary("SET", "big", "x" * 1000)
    group.wait(100)
    assert primary.said("overcoming of output buffer limits")
    group.wait_for_links()
    assert replica.digest() == primary.digest()
    assert primary.info("stats")["sync_full"] == "2", "the backlog is smaller than the limit"


def test_a_limit_below_the_size_of_the_backlog_does_not_hold() -> None:
    group = Group()
    primary, replica = group.pair(repl_backlog_size="1mb", **LIMIT)
    group.wire(replica, primary).held = True
    for _ in range(900):
        primary("SET", "big", "x" * 1000)
    group.wait(200)
    assert downstream_phases(primary) == [Phase.ONLINE]
    for _ in range(300):
        primary("SET", "big", "x" * 1000)
    group.wait(200)
    assert primary.said("overcoming of output buffer limits")


@pytest.mark.parametrize("settings", KINDS)
def test_what_is_held_for_a_copy_counts_for_the_limit(settings: dict[str, str]) -> None:
    group = Group()
    primary, _ = held_pair(group, repl_backlog_size="16kb", **LIMIT, **settings)
    for _ in range(100):
        primary("SET", "big", "x" * 1000)
    group.wait(200)
    assert primary.said("overcoming of output buffer limits")
    let_go(group, primary)
    group.wait_for_links()


def test_the_soft_limit_needs_its_time() -> None:
    group = Group()
    primary, replica = group.pair(client_output_buffer_limit="replica 0 16kb 3")
    group.wire(replica, primary).held = True
    group.refusing.add("primary")
    for _ in range(30):
        primary("SET", "big", "x" * 1000)
    group.wait(2500)
    assert downstream_phases(primary) == [Phase.ONLINE]
    group.wait(1500)
    assert downstream_phases(primary) == []


# Good replicas


def test_too_few_replicas_and_nothing_can_be_written() -> None:
    group = Group()
    primary, replica = group.pair(min_replicas_to_write=1, min_replicas_max_lag=5)
    group.wait(1000)
    assert primary("SET", "a", "1") == b"OK"
    group.wire(replica, primary).held = True
    group.wait(4000)
    assert primary("SET", "a", "1") == b"OK"
    group.wait(4000)
    expected = b"NOREPLICAS Not enough good replicas to write."
    assert primary("SET", "a", "2") == expected
    assert primary("EVAL", "return redis.call('set', 'a', 2)", "0").startswith(expected)
    assert primary("EVAL", "return redis.call('get', 'a')", "0") == b"1"
    assert primary("EVAL_RO", "return redis.call('get', 'a')", "0") == b"1"
    assert primary("GET", "a") == b"1"
    primary("MULTI")
    assert primary("SET", "a", "2") == expected
    assert primary("EXEC").startswith(b"EXECABORT")
    assert primary.info()["min_slaves_good_slaves"] == "0"
    group.wire(replica, primary).held = False
    group.wait(2000)
    assert primary("SET", "a", "3") == b"OK"
    assert primary.info()["min_slaves_good_slaves"] == "1"
    primary("CONFIG", "SET", "min-replicas-to-write", "2")
    assert primary("SET", "a", "2") == expected
    primary("CONFIG", "SET", "min-replicas-max-lag", "0")
    assert primary("SET", "a", "2") == b"OK"


def test_a_transaction_begun_in_time_is_refused_at_exec() -> None:
    group = Group()
    primary, replica = group.pair(min_replicas_to_write=1)
    group.wait(1000)
    primary("MULTI")
    assert primary("SET", "a", "2") == b"QUEUED"
    group.refusing.add("primary")
    group.cut(replica, primary)
    assert primary("EXEC").startswith(b"EXECABORT Transaction discarded because of: NOREPLICAS")


# Patience, and what others are told


@pytest.mark.parametrize("settings", KINDS)
def test_a_replica_that_loads_for_long_is_not_dropped(settings: dict[str, str]) -> None:
    group = Group()
    primary = group.add("primary", repl_timeout=5, **settings)
    replica = group.add("replica", key_load_delay=0)
    fill(primary)
    intake_steps = 0

    def slow() -> None:
        nonlocal intake_steps
        intake_steps += 1

    replica.node._load = slow  # type: ignore[method-assign]
    replica.node.deadline = replica.node.replica.deadline  # type: ignore[method-assign]
    replica.follow(primary)
    group.wait(20_000)
    assert intake_steps
    assert primary.info("stats")["sync_full"] == "1"
    assert downstream_phases(primary) == [Phase.ONLINE]
    del replica.node._load, replica.node.deadline
    group.wait_for_links()
    assert primary.info("stats")["sync_full"] == "1"


def test_the_clock_is_put_back() -> None:
    group = Group()
    primary, replica = group.pair(repl_timeout=5, repl_ping_replica_period=1)
    primary.clock.advance(-3_600_000)
    offset = primary.node.history.offset
    group.wait(3000)
    assert primary.node.history.offset > offset, "pings"
    group.refusing.add("primary")
    group.wire(replica, primary).held = True
    group.wait(7000)
    assert downstream_phases(primary) == []


def test_what_is_kept_for_replicas_is_told_and_evicts_nothing() -> None:
    group = Group()
    primary, replica = group.pair(maxmemory="1gb", maxmemory_policy="allkeys-random")
    group.wire(replica, primary).held = True
    for number in range(100):
        primary("SET", f"k{number}", "x" * 1000)
    group.wait(500)
    info = primary.info("memory")
    backlog, buffers = int(info["mem_replication_backlog"]), 100 * 1000
    assert backlog > buffers
    assert int(info["mem_total_replication_buffers"]) > backlog + buffers
    assert int(info["mem_clients_slaves"]) > buffers
    assert int(info["mem_not_counted_for_evict"]) > buffers
    stats = dict(zip(*[iter(primary("MEMORY", "STATS"))] * 2, strict=True))
    assert stats[b"replication.backlog"] == backlog
    assert stats[b"clients.slaves"] > buffers
    assert float(primary.info("stats")["instantaneous_output_repl_kbps"]) > 0
    group.wire(replica, primary).held = False
    group.wait(100)
    assert float(replica.info("stats")["instantaneous_input_repl_kbps"]) > 0
    assert int(replica.info("stats")["total_net_input_bytes"]) > buffers


@pytest.mark.parametrize("setting", ["yes", "no"])
def test_packets_can_be_saved(setting: str) -> None:
    group = Group()
    primary, replica = group.add("primary", repl_disable_tcp_nodelay=setting), group.add("replica")
    bundled: list[Session] = []
    primary.engine.bundle_output = bundled.append
    replica.follow(primary)
    assert [each.kind for each in bundled] == (["replica"] if setting == "yes" else [])


@pytest.mark.parametrize("settings", KINDS)
def test_a_copy_for_replicas_is_a_background_save_to_others(settings: dict[str, str]) -> None:
    group = Group()
    primary, _ = held_pair(group, **settings)
    group.wait(2000)
    info = primary.info("persistence")
    assert info["rdb_bgsave_in_progress"] == "1"
    assert info["rdb_current_bgsave_time_sec"] == "3"
    expected = b"ERR Background save already in progress"
    assert primary("BGSAVE") == primary("SAVE") == expected
    let_go(group, primary)
    group.wait_for_links()
    info = primary.info("persistence")
    assert info["rdb_bgsave_in_progress"] == "0"
    assert info["rdb_current_bgsave_time_sec"] == "-1"
    assert info["rdb_last_bgsave_time_sec"] in ("3", "4")
    assert info["rdb_last_cow_size"] == str(5 << 20)
