"""The orderly end of a primary whose replicas lag behind."""

from __future__ import annotations

from pyredis.resp import encode_command
from pyredis.shutdown import Wishes
from tests.group import Group, Member
from tests.support import new_client
from tests.test_node import chain, trio


def lagging(group: Group, **settings: object) -> tuple[Member, Member]:
    primary, replica = group.pair(**settings)
    group.wire(replica, primary).held = True
    primary("SET", "a", "1")
    return primary, replica


def test_nobody_to_wait_for() -> None:
    group = Group()
    primary = group.add("primary")
    primary.client.send("SHUTDOWN", "NOSAVE")
    assert primary.engine.exit_status == 0


def test_a_signal_waits_for_a_cron_that_is_paused_and_can_be_called_off() -> None:
    client = new_client()
    engine = client.engine
    engine.config.enable_debug_command = "yes"
    client("DEBUG", "PAUSE-CRON", 1)
    assert client("SHUTDOWN", "ABORT") == b"ERR No shutdown in progress."
    engine.shutdown.ask_by_signal(Wishes(nosave=True))
    assert engine.exit_status is None
    assert client("SHUTDOWN", "ABORT") == b"OK"
    client("DEBUG", "PAUSE-CRON", 0)
    engine.cron()
    assert engine.exit_status is None
    client("DEBUG", "PAUSE-CRON", 1)
    engine.shutdown.ask_by_signal(Wishes(nosave=True))
    client("DEBUG", "PAUSE-CRON", 0)
    engine.cron()
    assert engine.exit_status == 0


def test_replicas_that_have_all() -> None:
    group = Group()
    primary, replica = group.pair()
    primary("SET", "a", "1")
    primary("WAIT", 1, 0)
    group.wait(1100)
    primary.client.send("SHUTDOWN")
    assert primary.engine.exit_status == 0
    assert primary.said("1 of 1 replicas are in sync when shutting down.")
    assert replica("GET", "a") == b"1"


def test_it_waits_until_they_have_all() -> None:
    group = Group()
    primary, replica = lagging(group)
    primary.client.send("SHUTDOWN")
    assert primary.engine.exit_status is None
    assert primary.said("Waiting for replicas before shutting down.")
    writer = primary.connect()
    writer.send("SET", "b", "1")
    group.wait(2000)
    assert writer.replies() == [], "held up"
    assert primary.connect()("GET", "a") == b"1", "reads go on"
    assert primary.engine.exit_status is None
    group.wire(replica, primary).held = False
    group.settle()
    assert primary.engine.exit_status == 0
    assert replica("GET", "a") == b"1"
    assert writer.replies() == []


def test_it_does_not_wait_for_ever() -> None:
    group = Group()
    primary, _ = lagging(group, shutdown_timeout=3)
    primary.client.send("SHUTDOWN")
    group.wait(2900)
    assert primary.engine.exit_status is None
    group.wait(200)
    assert primary.engine.exit_status == 0
    assert primary.said("Lagging replica 10.0.0.2:6379 reported offset")


def test_all_of_them_count() -> None:
    group = Group()
    primary, first, second = trio(group)
    group.wait(1100)
    group.wire(second, primary).held = True
    primary("SET", "a", "1")
    primary.client.send("SHUTDOWN")
    group.wait(3000)
    assert primary.engine.exit_status is None
    group.cut(second, primary)
    assert primary.engine.exit_status == 0, "the one that is left has all"
    assert first("GET", "a") == b"1"


def test_one_in_the_middle_waits_for_those_below() -> None:
    group = Group()
    top, middle, bottom = chain(group)
    top("SET", "a", "1")
    group.wait(1100)
    group.wire(bottom, middle).held = True
    top("SET", "a", "2")
    middle.client.send("SHUTDOWN")
    group.wait(2000)
    assert middle.engine.exit_status is None
    assert middle.position == top.position, "it says nothing of its own in the stream"
    group.wire(bottom, middle).held = False
    group.wait(1100)
    assert middle.engine.exit_status == 0
    assert bottom("GET", "a") == b"2"


def test_a_replica_goes_at_once() -> None:
    group = Group()
    primary, replica = lagging(group)
    replica.client.send("SHUTDOWN")
    assert replica.engine.exit_status == 0
    assert primary.engine.exit_status is None


def test_now_and_a_timeout_of_zero_wait_for_nobody() -> None:
    group = Group()
    primary, _ = lagging(group)
    primary.client.send("SHUTDOWN", "NOW")
    assert primary.engine.exit_status == 0
    group = Group()
    primary, _ = lagging(group, shutdown_timeout=0)
    primary.client.send("SHUTDOWN")
    assert primary.engine.exit_status == 0


def test_it_can_be_called_off() -> None:
    group = Group()
    primary, _ = lagging(group)
    asker = primary.connect()
    asker.send("SHUTDOWN")
    writer = primary.connect()
    writer.send("SET", "b", "1")
    assert primary("SHUTDOWN", "ABORT") == b"OK"
    assert asker.replies() == [b"ERR Errors trying to SHUTDOWN. Check logs."]
    assert writer.replies() == [b"OK"]
    assert primary("SHUTDOWN", "ABORT") == b"ERR No shutdown in progress."
    group.wait(15_000)
    assert primary.engine.exit_status is None


def test_two_may_ask() -> None:
    group = Group()
    primary, replica = lagging(group)
    first, second = primary.connect(), primary.connect()
    first.send("SHUTDOWN", "NOSAVE")
    second.send("SHUTDOWN", "SAVE")
    assert primary.engine.exit_status is None
    assert primary("SHUTDOWN", "ABORT") == b"OK"
    for each in (first, second):
        assert each.replies() == [b"ERR Errors trying to SHUTDOWN. Check logs."]
    third = primary.connect()
    third.send("SHUTDOWN", "NOW")
    assert primary.engine.exit_status == 0
    assert replica.engine.exit_status is None


def test_a_file_that_cannot_be_written_keeps_it_here() -> None:
    group = Group()
    primary, replica = lagging(group)
    primary.disk.faults["write"] = 28
    asker = primary.connect()
    asker.send("SHUTDOWN", "SAVE")
    group.wire(replica, primary).held = False
    group.settle()
    assert primary.engine.exit_status is None
    assert asker.replies() == [b"ERR Errors trying to SHUTDOWN. Check logs."]
    assert primary.said("Errors trying to shut down the server.")
    assert primary("SET", "b", "1") == b"OK", "writes go on"
    primary.client.send("SHUTDOWN", "SAVE", "FORCE")
    group.wait(1100)
    assert primary.engine.exit_status == 0


def test_it_cannot_wait_in_a_transaction() -> None:
    group = Group()
    primary, _ = lagging(group)
    primary("MULTI")
    assert primary("SHUTDOWN", "NOSAVE") != b"QUEUED"
    primary("DISCARD")
    assert primary.engine.exit_status is None


def test_data_are_saved_as_they_are_when_it_goes() -> None:
    group = Group()
    primary, replica = lagging(group)
    primary.client.send("SHUTDOWN", "SAVE")
    group.wire(replica, primary).held = False
    group.settle()
    assert primary.engine.exit_status == 0
    primary.kill()
    primary.boot()
    assert primary("GET", "a") == b"1"
    group.wait_for_links()
    assert primary.node.primary.partial_syncs == 1


def test_those_that_answer_do_not_put_the_end_off() -> None:
    group = Group()
    primary, first, second = trio(group)
    primary("CONFIG", "SET", "shutdown-timeout", 4)
    group.wait(1100)
    group.wire(second, primary).held = True
    primary("SET", "a", "1")
    primary.client.send("SHUTDOWN", "NOSAVE")
    group.wait(3800)
    assert primary.engine.exit_status is None
    group.wait(300)
    assert primary.engine.exit_status == 0
    assert primary.log.count("User requested shutdown...") == 1
    assert first("GET", "a") == b"1"


def test_what_comes_after_the_last_snapshot_is_not_accepted() -> None:
    group = Group()
    primary = group.add("primary", save="3600 1")
    other = primary.connect()
    engine = primary.engine
    engine.begin_batch()
    ask, write = encode_command([b"SHUTDOWN"]), encode_command([b"INCR", b"a"])
    engine.feed(primary.client.session, write + ask + write)
    engine.feed(other.session, write)
    engine.end_batch()
    assert engine.exit_status == 0
    assert b"".join(primary.client.session.out) == b":1\r\n"
    assert other.session.out == []


def test_a_second_request_changes_nothing() -> None:
    group = Group()
    primary, _ = lagging(group, shutdown_timeout=3)
    primary.client.send("SHUTDOWN")
    group.wait(2000)
    assert not primary.engine.shutdown.ask(Wishes(now=True))
    assert primary.engine.exit_status is None
    group.wait(1100)
    assert primary.engine.exit_status == 0
