"""What a replica does about a stream that it cannot apply or keep."""

from __future__ import annotations

import pytest

from tests.group import Group


def test_an_error_is_told_to_the_log() -> None:
    group = Group()
    primary, replica = group.pair()
    replica("CONFIG", "SET", "replica-read-only", "no")
    replica("SET", "a", "not a list")
    primary("RPUSH", "a", "x")
    assert replica.said("== CRITICAL == This replica is sending an error to its master")
    assert replica.info("stats")["unexpected_error_replies"] == "1"
    assert replica.node.link_up
    assert replica.engine.exit_status is None


@pytest.mark.parametrize("behavior", ["panic", "panic-on-replicas"])
def test_an_error_can_end_the_replica(behavior: str) -> None:
    group = Group()
    primary, replica = group.pair()
    replica("CONFIG", "SET", "propagation-error-behavior", behavior, "replica-read-only", "no")
    replica("SET", "a", "not a list")
    primary("RPUSH", "a", "x")
    assert replica.engine.exit_status is None, "a writable one may differ"
    replica("CONFIG", "SET", "replica-read-only", "yes")
    primary("RPUSH", "a", "x")
    assert replica.engine.exit_status == 1
    assert replica.said("panicked sending an error to its master")


def test_what_is_no_stream_ends_the_link() -> None:
    group = Group()
    primary, replica = group.pair()
    group.wire(replica, primary).down.append(b"*1\r\n:5\r\n")
    group.settle()
    group.wait_for_links()
    assert replica.digest() == primary.digest()


def test_a_disk_that_fails_ends_a_replica_unless_it_is_told_otherwise() -> None:
    group = Group()
    primary, replica = group.pair()
    replica("CONFIG", "SET", "save", "3600 1", "replica-ignore-disk-write-errors", "yes")
    replica.disk.faults["write"] = 28
    replica("BGSAVE")
    group.wait(300)
    assert replica.info("persistence")["rdb_last_bgsave_status"] == "err"
    primary("SET", "a", "1")
    assert replica("GET", "a") == b"1"
    assert replica.said("even though it is unable to write to disk")
    replica("CONFIG", "SET", "replica-ignore-disk-write-errors", "no")
    group.wait(12_000)
    assert replica.engine.exit_status is None, "pings do not matter"
    primary("SET", "a", "2")
    assert replica.engine.exit_status == 1
    assert replica.said("Replica was unable to write command to disk")


def test_large_values_come_whatever_the_limits_for_clients() -> None:
    group = Group()
    primary, replica = group.pair()
    replica("CONFIG", "SET", "proto-max-bulk-len", "1mb", "client-query-buffer-limit", "1mb")
    group.piece = lambda: 100_000
    primary("SET", "a", "x" * (3 << 20))
    group.wait_for_links()
    assert replica("STRLEN", "a") == 3 << 20
