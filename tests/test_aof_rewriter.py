"""Writing the append-only log anew: when, and what may fail."""

from __future__ import annotations

import contextlib
import errno

import pytest

from pyredis.sim.disk import PowerCut, SimDisk
from tests.simlog import (
    SCHEDULED,
    STARTED,
    again,
    info,
    manifest,
    names,
)
from tests.simserver import SimServer


def test_a_rewrite() -> None:
    made = SimServer(SimDisk())
    for number in range(100):
        made("SET", "a", number)
    assert made("BGREWRITEAOF") == STARTED
    assert info(made, "aof_rewrite_in_progress") == "1"
    assert made("BGREWRITEAOF") == (
        b"ERR Background append only file rewriting already in progress"
    )
    made("SET", "b", 1)
    assert manifest(made.disk).count("\n") == 3
    made.children.finish()
    made.tick()
    assert names(made.disk) == [
        "appendonly.aof.2.base.rdb",
        "appendonly.aof.2.incr.aof",
        "appendonly.aof.manifest",
    ]
    assert info(made, "aof_rewrites") == "1"
    assert info(made, "aof_last_bgrewrite_status") == "ok"
    assert info(made, "aof_base_size") == info(made, "aof_current_size")
    assert again(made)("MGET", "a", "b") == [b"99", b"1"]


def test_a_crash_at_any_point_of_a_rewrite_loses_nothing() -> None:
    """At each action on the disk in turn the process dies."""
    for cut in range(40):
        made = SimServer(SimDisk())
        made("RPUSH", "a", 1)
        made.disk.cut_in = cut
        survived = [b"1"]
        with contextlib.suppress(PowerCut):
            made("BGREWRITEAOF")
            made("RPUSH", "a", 2)
            survived.append(b"2")
            made.children.finish()
            made.tick()
        found = again(made)("LRANGE", "a", 0, -1)
        assert found[: len(survived)] == survived
        assert len(found) <= 2


def test_it_waits_for_another_child() -> None:
    made = SimServer(SimDisk())
    made("BGSAVE")
    assert made("BGREWRITEAOF") == SCHEDULED
    assert info(made, "aof_rewrite_scheduled") == "1"
    made.children.finish()
    made.tick()
    assert info(made, "aof_rewrite_in_progress") == "1"
    assert made("BGSAVE").startswith(b"ERR Another child process is active (AOF?)")
    assert made("BGSAVE", "SCHEDULE") == b"Background saving scheduled"


def test_it_waits_for_the_end_of_a_transaction() -> None:
    made = SimServer(SimDisk())
    assert made.feed(("MULTI",), ("INCR", "a"), ("BGREWRITEAOF",), ("EXEC",))[-1] == [1, SCHEDULED]
    made.tick()
    assert info(made, "aof_rewrite_in_progress") == "1"


def test_growth_starts_it() -> None:
    made = SimServer(SimDisk(), auto_aof_rewrite_min_size=1000, rdbcompression="no")
    made("SET", "a", "x" * 2000)
    made.tick()
    assert any(line.startswith("Starting automatic rewriting of AOF on ") for line in made.log)
    made.children.finish()
    made.tick()
    lines = len(made.log)
    size = int(info(made, "aof_base_size"))
    made("SET", "b", "x" * (size - 200))
    made.tick()
    assert len(made.log) == lines  # not yet
    made("SET", "c", "x" * 200)
    made.tick()
    assert "Starting automatic rewriting of AOF on 10" in made.log[lines]


def test_failures_make_it_slow_down() -> None:
    made = SimServer(SimDisk())
    made.children.fork_error = errno.EAGAIN
    for _ in range(3):
        assert made("BGREWRITEAOF").startswith(b"ERR Can't execute an AOF background rewriting")
    assert made.log[-1].startswith("Can't rewrite append only file in background: fork: Resource")
    assert info(made, "aof_rewrites_consecutive_failures") == "3"
    assert info(made, "aof_last_bgrewrite_status") == "err"
    assert manifest(made.disk).count("type i") == 4  # what came meanwhile is in several parts
    made.engine.aof.rewriter.scheduled = True
    waits = []
    for _ in range(12):
        made.tick()
        begin_ms = made.clock.time_ms
        assert "Background AOF rewrite has repeatedly failed" in made.log[-1]
        waits.append(made.log[-1].split()[-2])
        made.tick(int(waits[-1]) * 60_000 - 1000)
        tried = made.engine.aof.rewriter.failures
        made.tick(2000)
        made.tick()
        assert made.engine.aof.rewriter.failures == tried + 1
        assert made.clock.time_ms > begin_ms
    assert waits == ["1", "2", "4", "8", "16", "32", "60", "60", "60", "60", "60", "60"]
    made.children.fork_error = 0
    made.tick(3_700_000)
    made.tick()
    made.children.finish()
    made.tick()
    assert info(made, "aof_rewrites_consecutive_failures") == "0"
    assert manifest(made.disk).count("type i") == 1


@pytest.mark.parametrize("action", ["create", "rename", "sync_folder", "make"])
def test_what_fails_keeps_the_log_whole(action: str) -> None:
    made = SimServer(SimDisk())
    made("RPUSH", "a", 1)
    made.disk.faults[action] = errno.EROFS
    made("BGREWRITEAOF")
    made("RPUSH", "a", 2)
    made.children.finish()
    made.tick()
    made("RPUSH", "a", 3)
    made.disk.faults.clear()
    assert again(made)("LRANGE", "a", 0, -1) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("action", ["rename", "sync_folder", "write"])
def test_what_fails_at_the_end_keeps_the_log_whole(action: str) -> None:
    made = SimServer(SimDisk())
    made("RPUSH", "a", 1)
    made("BGREWRITEAOF")
    made("RPUSH", "a", 2)
    made.disk.faults[action] = errno.EROFS
    made.children.finish()
    made.tick()
    assert info(made, "aof_last_bgrewrite_status") == "err"
    made.disk.faults.clear()
    made("RPUSH", "a", 3)
    for _ in range(2):
        made("BGREWRITEAOF")
        made("RPUSH", "a", 4)
        made.children.finish()
        made.tick()
    assert again(made)("LRANGE", "a", 0, -1) == [b"1", b"2", b"3", b"4", b"4"]


def test_a_child_that_is_killed() -> None:
    made = SimServer(SimDisk())
    made("SET", "a", 1)
    made("BGREWRITEAOF")
    made.children.finish(signal=9)
    made.tick()
    assert "Background AOF rewrite terminated by signal 9" in made.log
    assert not any(name.startswith("temp") for name in names(made.disk))
    assert info(made, "aof_last_bgrewrite_status") == "err"
    assert again(made)("GET", "a") == b"1"


def test_a_rewrite_that_comes_before_a_killed_child_has_ended_is_put_off() -> None:
    made = SimServer(SimDisk())
    made("BGREWRITEAOF")
    made("CONFIG", "SET", "appendonly", "no")
    assert made("BGREWRITEAOF") == SCHEDULED
    made.tick()
    assert info(made, "aof_rewrite_in_progress") == "1"
    assert info(made, "aof_rewrite_scheduled") == "0"
    assert b"already" in made("BGREWRITEAOF")


def test_a_rewrite_of_a_log_that_is_off() -> None:
    made = SimServer(SimDisk(), appendonly="no")
    made("SET", "a", 1)
    assert made("BGREWRITEAOF") == STARTED
    made.children.finish()
    made.tick()
    assert manifest(made.disk) == "file appendonly.aof.1.base.rdb seq 1 type b\n"
    assert again(made)("GET", "a") == b"1"
