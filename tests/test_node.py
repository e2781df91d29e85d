"""A server's part in replication: following, being promoted, chains, restarts, what clients see."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyredis.configfile import rewrite
from pyredis.resp import encode_command
from tests.group import Client, Group, Member
from tests.test_primary import fill

READONLY = b"READONLY You can't write against a read only replica."


def syncs(*members: Member) -> tuple[int, int]:
    """How many full and partial ones they have served."""
    return (
        sum(each.node.primary.full_syncs for each in members),
        sum(each.node.primary.partial_syncs for each in members),
    )


def trio(group: Group) -> tuple[Member, Member, Member]:
    """A primary with two replicas, all equal."""
    primary, first = group.pair()
    second = group.add("second")
    second.follow(primary)
    fill(primary, 10)
    group.wait_for_links()
    return primary, first, second


# Promotion


def test_the_others_go_on_with_the_promoted_one() -> None:
    group = Group()
    primary, first, second = trio(group)
    replid, offset = primary.position
    primary.kill()
    first("REPLICAOF", "NO", "ONE")
    info = first.info()
    assert info["role"] == "master"
    assert info["master_replid"] != replid
    assert (info["master_replid2"], info["second_repl_offset"]) == (replid, str(offset + 1))
    second.follow(first)
    first("SET", "a", "1")
    group.wait_for_links()
    assert second("GET", "a") == b"1"
    assert second.digest() == first.digest()
    assert syncs(first) == (0, 1)
    assert second.info()["master_replid2"] == replid


def test_the_old_primary_comes_back_as_a_replica() -> None:
    group = Group()
    primary, first, second = trio(group)
    first("REPLICAOF", "NO", "ONE")
    first("SET", "a", "1")
    primary.follow(first)
    second.follow(first)
    group.wait_for_links()
    assert primary("GET", "a") == b"1"
    assert primary.digest() == second.digest() == first.digest()
    assert syncs(primary, first, second) == (2, 2)


def test_a_pause_on_a_replica_holds_up_its_primary_too() -> None:
    group = Group()
    primary, replica = group.pair()
    other = replica.connect()
    replica("CLIENT", "PAUSE", 100_000, "WRITE")
    offset = replica.engine.replication.history.offset
    for value in ("1", "2"):
        primary("SET", "a", value)
        group.settle()
    assert other("GET", "a") is None
    assert replica.engine.replication.history.offset == offset
    sent = primary.engine.replication.history.offset
    assert b"slave_read_repl_offset:%d" % sent in other("INFO", "replication")
    other("CLIENT", "UNPAUSE")
    assert other("GET", "a") == b"2"
    assert replica.engine.replication.history.offset == sent
    primary("SET", "a", "3")
    group.settle()
    assert other("GET", "a") == b"3"


def test_what_the_old_primary_wrote_alone_is_given_up() -> None:
    group = Group()
    primary, first, _ = trio(group)
    first("REPLICAOF", "NO", "ONE")
    primary("SET", "lost", "1")
    primary.follow(first)
    group.wait_for_links()
    assert primary("EXISTS", "lost") == 0
    assert primary.digest() == first.digest()
    assert syncs(first) == (1, 0)


def test_one_who_is_further_than_the_promoted_one_needs_a_copy() -> None:
    group = Group()
    primary, first, second = trio(group)
    group.wire(first, primary).held = True
    primary("SET", "only the second", "1")
    primary.kill()
    first("REPLICAOF", "NO", "ONE")
    second.follow(first)
    group.wait_for_links()
    assert second("EXISTS", "only the second") == 0
    assert second.digest() == first.digest()
    assert syncs(first) == (1, 0)


def test_one_who_is_behind_the_promoted_one_catches_up() -> None:
    group = Group()
    primary, first, second = trio(group)
    group.wire(second, primary).held = True
    primary("SET", "the second lacks", "1")
    primary.kill()
    first("REPLICAOF", "NO", "ONE")
    second.follow(first)
    group.wait_for_links()
    assert second("GET", "the second lacks") == b"1"
    assert syncs(first) == (0, 1)


def test_two_promotions_in_a_row_leave_nothing_in_common() -> None:
    group = Group()
    primary, first, second = trio(group)
    primary.kill()
    for _ in range(2):
        first("REPLICAOF", "NO", "ONE")
        first("SET", "a", "1")
        if first.node.address is None:
            first("REPLICAOF", "10.0.0.99", "1")
    first("REPLICAOF", "NO", "ONE")
    second.follow(first)
    group.wait_for_links()
    assert syncs(first) == (1, 0)
    assert second.digest() == first.digest()


def test_no_one_again_changes_nothing() -> None:
    group = Group()
    primary, _ = group.pair()
    before = primary.position
    assert primary("REPLICAOF", "NO", "ONE") == b"OK"
    assert primary.position == before


def test_the_same_primary_again_changes_nothing() -> None:
    group = Group()
    primary, replica = group.pair()
    wire = group.wire(replica, primary)
    assert replica.follow(primary) == b"OK Already connected to specified master"
    assert group.wire(replica, primary) is wire


def test_another_primary_at_once() -> None:
    group = Group()
    primary, replica = group.pair()
    other = group.add("other")
    other("SET", "from", "other")
    replica.follow(other)
    group.wait_for_links()
    assert replica("GET", "from") == b"other"
    assert primary.info()["connected_slaves"] == "0"


def test_layout_after_layout_costs_no_full_copy() -> None:
    """Five nodes: four full copies, however they are laid out afterwards."""
    group = Group()
    nodes = [group.add(f"node{number}") for number in range(5)]
    top = nodes[0]
    for each in nodes[1:]:
        each.follow(top)
    group.wait_for_links()
    rng = random.Random(7)
    for turn in range(12):
        order = rng.sample(nodes, 5)
        for each in order:
            if each is order[0]:
                each("REPLICAOF", "NO", "ONE")
        for at, each in enumerate(order[1:], 1):
            each.follow(order[rng.randrange(at)])
        group.wait_for_links(60_000)
        order[0]("INCR", "turns")
        for _ in range(5):
            order[0]("SET", f"k{turn}", rng.random())
        if rng.random() < 0.5 and group.wires:
            wire = rng.choice(group.wires)
            group.cut(wire.opener, wire.server)
        group.wait_for_links(60_000)
        assert len({each.digest() for each in nodes}) == 1
        assert len({each.position for each in nodes}) == 1
    assert syncs(*nodes)[0] == 4


# Chains


def chain(group: Group) -> tuple[Member, Member, Member]:
    top, middle, bottom = group.add("top"), group.add("middle"), group.add("bottom")
    middle.follow(top)
    group.wait_for_links()
    bottom.follow(middle)
    group.wait_for_links()
    return top, middle, bottom


def test_a_chain_passes_the_very_bytes_on() -> None:
    group = Group()
    top, middle, bottom = chain(group)
    above, below = group.wire(middle, top), group.wire(bottom, middle)
    sent = len(above.sent_down), len(below.sent_down)
    fill(top, 5)
    group.wait(12_000)
    assert above.sent_down[sent[0] :] == below.sent_down[sent[1] :]
    assert len(above.sent_down) > sent[0] + 500
    assert top.digest() == middle.digest() == bottom.digest()
    assert top.position == middle.position == bottom.position


@pytest.mark.parametrize("size", [1, 3, 50])
def test_a_chain_whatever_the_cuts(size: int) -> None:
    group = Group()
    top, middle, bottom = chain(group)
    rng = random.Random(size)
    group.piece = lambda: rng.randint(1, size)
    top.client.pipeline("MULTI", "SET a 1", "SELECT 2", "INCR b", "EXEC", "INCR c")
    fill(top, 3)
    group.wait_for_links()
    assert top.digest() == middle.digest() == bottom.digest()
    assert top.position == middle.position == bottom.position


def test_a_transaction_that_is_cut_goes_down_whole() -> None:
    group = Group()
    top, middle, bottom = chain(group)
    wire = group.wire(middle, top)
    below = group.wire(bottom, middle)
    top("INCR", "before")
    group.wait_for_links()
    offset = middle.node.history.offset
    wire.room = 70
    top.client.pipeline("INCR before", "MULTI", "INCR a", "INCR b", "EXEC")
    group.settle()
    applied = middle.node.history.offset - offset
    assert 0 < applied < 70, "the first command counts, the transaction does not"
    assert middle("GET", "before") == b"2"
    assert middle("EXISTS", "a") == 0
    assert not below.sent_down.endswith(b"a\r\n")
    group.cut(middle, top)
    group.wait_for_links()
    assert bottom("GET", "before") == b"2", "it is not applied twice"
    assert bottom("GET", "b") == b"1"
    assert top.digest() == middle.digest() == bottom.digest()
    assert syncs(top, middle) == (2, 1)


@given(
    commands=st.lists(
        st.sampled_from(["INCR a", "INCR b", "MULTI", "EXEC", "SELECT 1", "SELECT 0", "RPUSH l x"]),
        max_size=12,
    ),
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=4),
)
def test_any_loss_at_any_byte_applies_everything_once(commands: list[str], cuts: list[int]) -> None:
    group = Group()
    top, middle, bottom = chain(group)
    top("SET", "a", "0")
    group.wait_for_links()
    for cut in cuts:
        wire = group.wire(middle, top)
        wire.room = cut
        top.client.pipeline(*commands, "INCR c")
        if top.client.session.multi is not None:
            top("DISCARD")
        group.cut(middle, top)
        group.wait_for_links()
        assert top.digest() == middle.digest() == bottom.digest()
        assert top.position == middle.position == bottom.position
    assert syncs(top, middle)[0] == 2


def test_a_new_name_at_the_top_goes_down() -> None:
    group = Group()
    top, middle, bottom = chain(group)
    other = group.add("other")
    other.follow(top)
    group.wait_for_links()
    top.kill()
    other("REPLICAOF", "NO", "ONE")
    middle.follow(other)
    group.wait_for_links()
    other("SET", "a", "1")
    assert bottom("GET", "a") == b"1"
    assert bottom.position == other.position
    assert syncs(other, middle) == (1, 2), "a full one for the bottom at first"


def test_sub_replicas_wait_until_the_middle_has_its_own_primary() -> None:
    group = Group()
    top, middle, bottom = chain(group)
    group.cut(bottom, middle)
    group.refusing.add("top")
    group.cut(middle, top)
    group.wait(3000)
    assert not bottom.node.link_up
    assert bottom.said("Can't SYNC while not connected with my master")
    group.refusing.clear()
    group.wait_for_links()


def test_a_full_copy_in_the_middle_goes_down() -> None:
    group = Group()
    _, middle, bottom = chain(group)
    other = group.add("other")
    fill(other)
    middle.follow(other)
    group.wait_for_links()
    assert bottom.digest() == middle.digest() == other.digest()


# Restarts


def test_a_replica_goes_on_after_a_restart() -> None:
    group = Group()
    primary, replica = group.pair()
    fill(primary)
    primary("SELECT", 3)
    primary("SET", "a", "1")
    replica.restart(replicaof=(primary.host, primary.port))
    primary("SET", "a", "2")
    group.wait_for_links()
    assert replica.digest() == primary.digest()
    assert syncs(primary) == (1, 1)


def test_a_primary_goes_on_after_a_restart() -> None:
    group = Group()
    primary, replica = group.pair()
    fill(primary)
    replid, offset = primary.position
    primary.restart()
    info = primary.info()
    assert (info["master_replid2"], info["second_repl_offset"]) == (replid, str(offset + 1))
    assert int(info["master_repl_offset"]) == offset
    primary("SET", "a", "1")
    group.wait_for_links()
    assert replica("GET", "a") == b"1"
    assert replica.digest() == primary.digest()
    assert syncs(primary) == (0, 1)


def test_keys_that_expired_meanwhile_are_told_to_replicas() -> None:
    group = Group()
    primary, replica = group.pair()
    for number in range(20):
        primary("SET", f"k{number}", "v", "PX", 3000)
        primary("SET", f"keep{number}", "v")
    primary.batch(lambda: primary.engine.saver.prepare_exit(save=True))
    primary.kill()
    group.wait(5000)
    primary.boot()
    group.wait_for_links()
    assert primary("DBSIZE") == replica("DBSIZE") == 20
    assert replica.digest() == primary.digest()
    assert syncs(primary) == (0, 1)


def test_too_many_expired_keys_for_the_backlog() -> None:
    group = Group()
    primary, replica = group.pair(repl_backlog_size="16kb")
    for number in range(1200):
        primary("SET", f"k{number}", "v", "PX", 60_000)
    group.wait_for_links()
    primary.batch(lambda: primary.engine.saver.prepare_exit(save=True))
    primary.kill()
    group.wait(60_000)
    primary.boot()
    group.wait_for_links()
    assert primary("DBSIZE") == replica("DBSIZE") == 0
    assert syncs(primary) == (1, 0)


def test_a_file_without_a_history_begins_one() -> None:
    group = Group()
    primary = group.add("primary")
    fill(primary)
    primary.restart()
    info = primary.info()
    assert (info["master_repl_offset"], info["repl_backlog_active"]) == ("0", "0")


def test_a_replica_that_was_promoted_while_it_was_down() -> None:
    group = Group()
    primary, replica = group.pair()
    fill(primary)
    replid, offset = replica.position
    replica.restart()
    assert replica.info()["role"] == "master"
    assert (replica.node.history.replid2, replica.node.history.second_offset) == (
        replid,
        offset + 1,
    )
    primary.follow(replica)
    group.wait_for_links()
    assert syncs(replica) == (0, 1)


# What clients see


def test_what_a_replica_refuses() -> None:
    group = Group()
    primary, replica = group.pair()
    primary("SET", "a", "1")
    assert replica("SET", "a", "2") == READONLY
    assert replica("BLPOP", "a", 0) == READONLY
    assert replica("FUNCTION", "FLUSH") == READONLY
    assert replica("EVAL", "return redis.call('set', 'a', 2)", 0).startswith(READONLY)
    assert replica("EVAL", "return redis.call('get', 'a')", 0) == b"1"
    assert replica("WAIT", 0, 0).startswith(b"ERR WAIT cannot be used with replica instances")
    assert replica("WAITAOF", 0, 0, 0).startswith(b"ERR WAITAOF cannot be used with replica")
    replica("MULTI")
    assert replica("SET", "a", "2") == READONLY
    assert replica("EXEC").startswith(b"EXECABORT")
    assert replica("GET", "a") == b"1"
    assert replica("CONFIG", "SET", "replica-read-only", "no") == b"OK"
    assert replica("SET", "a", "2") == b"OK"
    assert primary("GET", "a") == b"1"
    assert replica.node.history.offset == primary.node.history.offset


def test_a_transaction_begun_as_a_primary_is_refused_at_exec() -> None:
    group = Group()
    primary, replica = group.pair()
    primary("MULTI")
    primary("SET", "a", "1")
    other = primary.connect()
    replica("REPLICAOF", "NO", "ONE")
    other("REPLICAOF", replica.host, replica.port)
    assert primary("EXEC").startswith(b"EXECABORT Transaction discarded because of: READONLY")


def test_who_waits_is_told_of_the_demotion_and_sent_away() -> None:
    group = Group()
    primary, replica = group.pair()
    waiting: list[Client] = []
    for words in ("BLPOP a 0", "WAIT 5 0", "XREAD BLOCK 0 STREAMS s $", "WAITAOF 0 5 0"):
        waiting.append(primary.connect())
        waiting[-1].send(*words.split())
    replica("REPLICAOF", "NO", "ONE")
    primary.follow(replica)
    for each in waiting:
        assert each.replies() == [
            b"UNBLOCKED force unblock from blocking operation, instance state changed "
            b"(master -> replica?)"
        ]
        assert each.closed


def test_stale_data() -> None:
    group = Group()
    primary, replica = group.pair()
    primary("SET", "a", "1")
    group.refusing.add("primary")
    group.cut(replica, primary)
    assert replica("GET", "a") == b"1"
    down = b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
    replica("CONFIG", "SET", "replica-serve-stale-data", "no")
    for words in ("GET a", "PING", "WAIT 0 0", "EVAL return(1) 0"):
        assert replica(*words.split()) == down, words
    assert replica("EVAL", "return redis.call('get', 'a')", 0) == down
    replica("MULTI")
    assert replica("GET", "a") == down
    assert replica("EXEC").startswith(b"EXECABORT")
    assert replica("INFO", "server")
    assert replica("SET", "a", "2") == READONLY
    group.refusing.clear()
    group.wait_for_links()
    assert replica("GET", "a") == b"1"


def test_role() -> None:
    group = Group()
    primary, replica = group.pair()
    offset = primary.node.history.offset
    group.wait(1000)
    assert primary("ROLE") == [b"master", offset, [[b"10.0.0.2", b"6379", b"%d" % offset]]]
    assert replica("ROLE") == [b"slave", b"10.0.0.1", 6379, b"connected", offset]
    group.refusing.add("primary")
    group.cut(replica, primary)
    assert replica("ROLE") == [b"slave", b"10.0.0.1", 6379, b"connect", -1]
    assert primary("ROLE") == [b"master", offset, []]


def test_links_can_be_listed_and_killed() -> None:
    group = Group()
    primary, replica = group.pair()
    (line,) = primary("CLIENT", "LIST", "TYPE", "replica").decode().splitlines()
    assert " flags=S " in line
    (line,) = replica("CLIENT", "LIST", "TYPE", "master").decode().splitlines()
    assert " flags=M " in line
    wire = group.wire(replica, primary)
    assert f"addr=10.0.0.1:6379 laddr={wire.session.address.peer} fd=3 " in line
    assert primary("CLIENT", "KILL", "TYPE", "replica") == 1
    assert wire not in group.wires
    group.wait_for_links()
    wire = group.wire(replica, primary)
    assert replica("CLIENT", "KILL", "TYPE", "master") == 1
    assert wire not in group.wires
    group.wait_for_links()
    assert syncs(primary) == (1, 2)


def test_monitors_of_a_replica_see_the_stream() -> None:
    group = Group()
    primary, replica = group.pair()
    monitor = replica.connect()
    monitor("MONITOR")
    primary.client.pipeline("SET a 1", "MULTI", "INCR a", "INCR a", "EXEC", "GET a")
    seen = [line.decode().split(" ", 1)[1] for line in monitor.replies()]
    words = ['"SELECT" "0"', '"SET" "a" "1"', '"MULTI"', '"INCR" "a"', '"INCR" "a"', '"EXEC"']
    assert seen == [f"[0 10.0.0.1:6379] {each}" for each in words]
    monitor("RESET")
    primary("SET", "a", "1")
    assert monitor.replies() == []
    assert replica("GET", "a") == b"1"


def test_announced_addresses() -> None:
    group = Group()
    primary = group.add("primary")
    replica = group.add(
        "replica", replica_announce_ip="replica.example", replica_announce_port=7777
    )
    replica.follow(primary)
    group.wait_for_links()
    assert "ip=replica.example,port=7777" in primary.info()["slave0"]
    assert primary("ROLE")[2][0][:2] == [b"replica.example", b"7777"]
    assert replica.info()["replica_announced"] == "1"
    replica("CONFIG", "SET", "replica-announced", "no")
    assert replica.info()["replica_announced"] == "0"


# Time to live


def test_a_replica_hides_what_is_past_its_time_and_keeps_it() -> None:
    group = Group()
    primary, replica = group.pair()
    primary("SET", "a", "1", "PX", 1000)
    primary("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    group.wait(2000)
    assert replica("GET", "a") is None
    assert replica("EXISTS", "a") == 0
    assert replica("TTL", "a") == -2
    assert replica("KEYS", "*") == []
    assert replica("SCAN", 0)[1] == []
    assert replica("TYPE", "a") == b"none"
    assert replica("DBSIZE") == 1
    assert primary("GET", "a") is None
    assert replica("DBSIZE") == 0


def test_the_stream_is_applied_to_what_is_past_its_time_here() -> None:
    group = Group()
    primary, replica = group.pair()
    primary("SET", "a", "1", "PX", 1000)
    primary("RPUSH", "l", "1")
    primary("PEXPIRE", "l", 1000)
    replica.clock.advance(5000)
    assert replica("GET", "a") is None
    primary("APPEND", "a", "2")
    primary("RPUSH", "l", "2")
    assert primary("GET", "a") == b"12"
    assert replica.digest() == primary.digest()
    primary("PERSIST", "a")
    assert replica("GET", "a") == b"12"


# The same effects everywhere


def test_digests_are_equal_whatever_was_written() -> None:
    group = Group()
    top, middle, bottom = chain(group)
    fill(top)
    top("SPOP", "set", 5)
    top("SRANDMEMBER", "set", 5)
    top("EVAL", "for i = 1, 9 do redis.call('sadd', 's', math.random(100)) end", 0)
    top("EVAL", "redis.call('select', 5) redis.call('set', 'a', redis.call('time')[1])", 0)
    top("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() "
        "return redis.call('incrbyfloat', 'x', '0.1') end)")  # fmt: skip
    for _ in range(10):
        top("FCALL", "f", 0)
        top("HINCRBYFLOAT", "hash", "pi", "0.3")
    top("XADD", "stream", "MAXLEN", "~", 5, "*", "a", 1)
    top("XGROUP", "CREATE", "stream", "g", "0")
    top("XREADGROUP", "GROUP", "g", "c", "COUNT", 3, "STREAMS", "stream", ">")
    group.wait(1000)
    top("XAUTOCLAIM", "stream", "g", "d", 0, "0", "COUNT", 1)
    top("MULTI")
    top("SELECT", 7)
    top("SET", "in7", "1")
    top("SELECT", 8)
    top("EXPIRE", "in7", 100)
    top("SET", "in8", "1", "EX", 1)
    top("EXEC")
    waiting = top.connect()
    waiting.send("BLMOVE", "l1", "l2", "LEFT", "RIGHT", 0)
    top("SELECT", 0)
    top("RPUSH", "l1", "x", "y")
    top("MOVE", "l1", 4)
    top("SWAPDB", 0, 6)
    top("COPY", "x", "y", "DB", 2)
    top("SORT", "list", "ALPHA", "STORE", "sorted")
    top("GETEX", "string:1", "EX", 5)
    top("RESTORE", "r", 100, top("DUMP", "hash") or b"")
    top("PFADD", "hll", *range(50))
    top("SETBIT", "bits", 1000, 1)
    top("GEOADD", "geo", 13.3, 38.1, "p")
    group.wait(3000)
    group.wait_for_links()
    assert top.digest() == middle.digest() == bottom.digest()
    assert middle("FUNCTION", "LIST") == top("FUNCTION", "LIST")


def test_flushes_and_functions() -> None:
    group = Group()
    top, middle, bottom = chain(group)
    fill(top)
    code = "#!lua name=l\nredis.register_function('f', function() return 1 end)"
    top("FUNCTION", "LOAD", code)
    assert bottom("FCALL_RO", "f", 0).startswith(b"READONLY ")
    top("FLUSHDB")
    assert middle.digest() == bottom.digest() == top.digest()
    top("FLUSHALL", "ASYNC")
    top("FUNCTION", "DELETE", "l")
    assert middle("FUNCTION", "LIST") == bottom("FUNCTION", "LIST") == []
    assert middle.digest() == bottom.digest() == top.digest() == b"0" * 40


def test_messages_reach_subscribers_of_replicas() -> None:
    group = Group()
    top, middle, bottom = chain(group)
    subscriber = bottom.connect()
    subscriber.send("SUBSCRIBE", "news")
    subscriber.replies()
    assert top("PUBLISH", "news", "hello") == 0
    assert subscriber.replies() == [[b"message", b"news", b"hello"]]
    middle("PUBLISH", "news", "local")
    assert subscriber.replies() == [], "a replica's messages are its own"


# Settings and oddities


def test_writers_to_a_replica_can_be_sent_away() -> None:
    group = Group()
    _, replica = group.pair()
    replica("CONFIG", "SET", "close-on-replica-write", "yes")
    client = replica.connect()
    assert client("SET", "a", "1") == READONLY
    assert client.closed


def test_the_configuration_knows_the_primary() -> None:
    group = Group()
    primary, replica = group.pair()
    assert replica("CONFIG", "GET", "replicaof") == [b"replicaof", b"10.0.0.1 6379"]
    assert replica("CONFIG", "GET", "slaveof") == [b"slaveof", b"10.0.0.1 6379"]
    assert primary("CONFIG", "GET", "replicaof") == [b"replicaof", b""]
    replica("REPLICAOF", "NO", "ONE")
    assert replica("CONFIG", "GET", "replicaof") == [b"replicaof", b""]
    group.wait(1100)
    primary("FAILOVER") if primary.node.primary.replicas else primary.follow(replica)
    group.wait_for_links()
    assert primary("CONFIG", "GET", "replicaof") == [b"replicaof", b"10.0.0.2 6379"]


def test_a_role_that_changes_inside_a_transaction() -> None:
    """What a Sentinel sends; and writes in front of it belong to the old history."""
    group = Group()
    primary, replica = group.pair()
    replica("MULTI")
    replica("REPLICAOF", "NO", "ONE")
    replica("CLIENT", "KILL", "TYPE", "normal")
    replica("CLIENT", "KILL", "TYPE", "pubsub")
    assert replica("EXEC") == [b"OK", 0, 0]
    primary("MULTI")
    primary("SET", "lost", "1")
    primary("REPLICAOF", replica.host, replica.port)
    assert primary("EXEC") == [b"OK", b"OK"]
    assert syncs(replica) == (1, 0), "the write moved it away from the common history"
    group.wait_for_links()
    assert primary("EXISTS", "lost") == 0
    assert primary.digest() == replica.digest()


def stream(member: Member, wire: bytes) -> None:
    """Have the replicas get these bytes, whatever they are."""
    member.batch(lambda: member.node.primary.pass_on(wire))
    member.group.settle()


def test_a_stream_that_is_out_of_step_costs_a_full_copy() -> None:
    group = Group()
    primary, replica = group.pair()
    stream(primary, b"\r\n" + encode_command((b"SET", b"a", b"1")))
    assert replica("GET", "a") == b"1", "an empty line is a sign of life"
    stream(primary, b"SET b 1\r\n")
    assert replica.said("Master using the inline protocol. Desync?")
    group.wait_for_links()
    assert replica("EXISTS", "b") == 0
    assert syncs(primary) == (2, 0)


def test_scripts_in_the_stream_of_an_old_primary_may_write() -> None:
    group = Group()
    primary, replica = group.pair()
    for number, head in enumerate((b"", b"#!lua\n")):
        script = head + b"return redis.call('SET', KEYS[1], ARGV[1])"
        stream(primary, encode_command((b"EVAL", script, b"1", b"k%d" % number, b"v")))
    assert replica("MGET", "k0", "k1") == [b"v", b"v"]
    assert replica("EVAL", script, 1, "k0", "w").startswith(b"READONLY")


def test_the_stream_waits_for_nothing() -> None:
    group = Group()
    primary, replica = group.pair()
    for words in (b"BLPOP l 0", b"XREAD BLOCK 0 STREAMS s $", b"SET a 1"):
        stream(primary, encode_command(words.split()))
    assert replica("GET", "a") == b"1"
    assert replica.position == primary.position


def test_itself_and_circles_come_to_nothing_and_can_be_undone() -> None:
    group = Group()
    primary, replica = group.pair()
    primary("SET", "a", "1")
    alone = group.add("alone")
    alone.follow(alone)
    group.wait(5000)
    assert not alone.node.link_up
    primary.follow(replica)
    group.wait(5000)
    primary("REPLICAOF", "NO", "ONE")
    alone("REPLICAOF", "NO", "ONE")
    group.wait_for_links()
    primary("SET", "b", "1")
    assert replica("MGET", "a", "b") == [b"1", b"1"]


def test_evicted_keys_are_deleted_below() -> None:
    group = Group()
    primary, replica = group.pair(maxmemory="1gb", maxmemory_policy="allkeys-random")
    for number in range(300):
        primary("SET", f"k{number}", "x" * 2000)
    replica("CONFIG", "SET", "maxmemory", "1000")
    group.wait(500)
    used = primary.engine.memory.used_bytes()
    primary("CONFIG", "SET", "maxmemory", used - 200_000)
    primary("SET", "one", "more")
    group.wait(1000)
    assert 100 < primary("DBSIZE") < 280
    assert replica.digest() == primary.digest(), "neither more nor less"


def test_fields_with_a_time_to_live() -> None:
    group = Group()
    primary, replica = group.pair()
    primary("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    primary("HSET", "h", "gone", "1", "stays", "2")
    primary("HPEXPIRE", "h", 1000, "FIELDS", 1, "gone")
    group.wait(2000)
    assert replica("HGET", "h", "gone") is None
    assert replica("HGETALL", "h") == [b"stays", b"2"]
    primary("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    group.wait(1000)
    assert primary("HLEN", "h") == replica("HLEN", "h") == 1
    assert replica.digest() == primary.digest()
    assert replica.node.history.offset == primary.node.history.offset


def test_settings_hold_from_the_start() -> None:
    group = Group()
    primary = group.add("primary", min_replicas_to_write=1)
    assert primary("SET", "a", "1") == b"NOREPLICAS Not enough good replicas to write."
    replica = group.add(
        "replica", replicaof=(primary.host, primary.port), replica_serve_stale_data="no"
    )
    group.wait_for_links()
    assert primary("SET", "a", "1") == b"OK"
    group.refusing.add("primary")
    replica.kill()
    replica.boot()
    assert replica("GET", "a").startswith(b"MASTERDOWN")


def test_a_rewritten_configuration_names_the_primary() -> None:
    group = Group()
    _, replica = group.pair()
    config = replica.engine.config
    assert "replicaof 10.0.0.1 6379" in rewrite([], config)
    replica("REPLICAOF", "NO", "ONE")
    assert "replicaof" not in rewrite(["replicaof 10.0.0.1 6379"], config)


@pytest.mark.parametrize("who", [0, 1], ids=["primary", "replica"])
def test_a_busy_script_is_not_taken_for_silence(who: int) -> None:
    group = Group()
    members = group.pair(repl_timeout=5, busy_reply_threshold=1)
    slow = members[who]
    killer = slow.connect()
    ticks = itertools.count(0, 1_000_000)
    slow.engine.clock_ns = lambda: next(ticks)

    def poll() -> None:
        slow.clock.advance(60_000)
        slow.engine.feed(killer.session, b"SCRIPT KILL\r\n")

    slow.engine.poll_clients = poll
    assert b"Script killed" in slow("EVAL", "while true do end", 0)
    group.wait(2000)
    assert members[1].node.link_up
    assert syncs(members[0]) == (1, 0)


def test_a_killed_link_is_down_at_once() -> None:
    group = Group()
    primary, replica = group.pair()
    primary("SET", "a", "1")
    replica("CONFIG", "SET", "replica-serve-stale-data", "no")
    assert replica("GET", "a") == b"1"
    group.refusing.add("primary")
    replica("CLIENT", "KILL", "TYPE", "master")
    assert replica("GET", "a").startswith(b"MASTERDOWN")
