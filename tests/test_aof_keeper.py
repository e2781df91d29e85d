"""The append-only file as a whole: start, on and off, orders."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from pyredis.resp import encode_command
from pyredis.sim.disk import SimDisk
from tests.disks import safe_bytes
from tests.samples import VALUES
from tests.simlog import (
    FOLDER,
    STARTED,
    again,
    digest,
    info,
    manifest,
    names,
    put,
    rewrite,
)
from tests.simserver import SimServer
from tests.test_scripting import PassingClock


def fill(made: SimServer) -> None:
    """A value of every type and encoding, expiries, a second database and a library."""
    for name, commands in VALUES.items():
        for command in commands:
            made(*(name if part == "k" else part for part in command))
    made("PEXPIREAT", "hash", 4_000_000_000_000)
    made("HSET", "timed", "f", 1, "g", 2)
    made("HPEXPIREAT", "timed", 4_000_000_000_000, "FIELDS", 1, "f")
    made("XGROUP", "CREATE", "stream", "group", 0)
    made("XREADGROUP", "GROUP", "group", "alice", "COUNT", 1, "STREAMS", "stream", ">")
    made("XGROUP", "CREATECONSUMER", "stream", "group", "idle")
    made("XADD", "empty", "5-5", "a", "b")
    made("XDEL", "empty", "5-5")
    made("SELECT", 3)
    made("MSET", "a", 1, "b", "two")
    made("SELECT", 0)
    made(
        "FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 42 end)"
    )


# Start


def test_the_first_start_makes_a_base_and_an_increment() -> None:
    made = SimServer(SimDisk())
    assert names(made.disk) == [
        "appendonly.aof.1.base.rdb",
        "appendonly.aof.1.incr.aof",
        "appendonly.aof.manifest",
    ]
    assert manifest(made.disk) == (
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    )


def test_off_makes_nothing() -> None:
    made = SimServer(SimDisk(), appendonly="no")
    made("SET", "a", 1)
    assert made.disk.files() == {}
    assert info(made, "aof_enabled") == "0"
    assert b"aof_current_size" not in made("INFO", "persistence")


@pytest.mark.parametrize("preamble", ["yes", "no"])
@pytest.mark.parametrize("rewritten", [True, False])
def test_all_data_come_back(preamble: str, rewritten: bool) -> None:
    made = SimServer(SimDisk(), aof_use_rdb_preamble=preamble)
    fill(made)
    made("DEL", "zset-of-long")  # with a zero below zero, which as a command is a plain one
    if rewritten:
        assert made("BGREWRITEAOF") == STARTED
        made.children.finish()
        made.tick()
    groups, consumers = made("XINFO", "GROUPS", "stream"), made("XPENDING", "stream", "group")
    before = digest(made)
    made = again(made)
    assert digest(made) == before
    assert made("FCALL", "f", 0) == 42
    assert made("HPEXPIRETIME", "timed", "FIELDS", 2, "f", "g") == [4_000_000_000_000, -1]
    assert made("XINFO", "GROUPS", "stream") == groups
    assert made("XPENDING", "stream", "group") == consumers
    assert made("XINFO", "STREAM", "empty")[7] == 0 or made("XLEN", "empty") == 0


def test_an_rdb_file_alone_is_not_loaded_and_that_is_said() -> None:
    disk = SimDisk()
    made = SimServer(disk, appendonly="no")
    made("SET", "a", 1)
    made("SAVE")
    made = again(made)
    assert made("DBSIZE") == 0
    assert any("dump.rdb is not loaded" in line for line in made.log)


def test_loading_counts_nothing_and_hands_nothing_on() -> None:
    made = SimServer(SimDisk())
    for number in range(100):
        made("RPUSH", "list", number)
    size = len(made.disk.files()[FOLDER + "appendonly.aof.1.incr.aof"])
    made = again(made)
    assert made("INFO", "commandstats") == b"# Commandstats\r\n"
    assert len(made.disk.files()[FOLDER + "appendonly.aof.1.incr.aof"]) == size
    assert info(made, "aof_current_size") == str(size + int(info(made, "aof_base_size")))


def test_nothing_expires_while_loading() -> None:
    made = SimServer(SimDisk())
    made("SET", "a", 1, "PX", 100)
    made("SET", "b", 1, "PX", 100)
    made("PERSIST", "b")
    made.clock.advance(1000)
    made = again(made)
    assert made("GET", "a") is None
    assert made("GET", "b") == b"1"


# On and off


def test_switched_on_and_off() -> None:
    made = SimServer(SimDisk(), appendonly="no")
    made("SET", "a", 1)
    assert made("CONFIG", "SET", "appendonly", "yes") == b"OK"
    made("SET", "b", 2)
    assert "temp-appendonly.aof.incr" in names(made.disk)
    assert info(made, "aof_enabled") == "1"
    made.children.finish()
    made.tick()
    assert names(made.disk) == [
        "appendonly.aof.1.base.rdb",
        "appendonly.aof.1.incr.aof",
        "appendonly.aof.manifest",
    ]
    made("SET", "c", 3)
    assert made("CONFIG", "SET", "appendonly", "no") == b"OK"
    name = FOLDER + "appendonly.aof.1.incr.aof"
    assert safe_bytes(made.disk, name) == made.disk.files()[name]
    made("SET", "d", 4)
    assert again(made)("MGET", "a", "b", "c", "d") == [b"1", b"2", b"3", None]


def test_a_crash_before_the_first_rewrite_is_over() -> None:
    made = SimServer(SimDisk(), appendonly="no")
    made("SET", "a", 1)
    made("CONFIG", "SET", "appendonly", "yes")
    made("SET", "b", 2)
    assert again(made)("DBSIZE") == 0  # nothing was said to be safe


def test_switched_on_but_it_cannot_begin() -> None:
    made = SimServer(SimDisk(), appendonly="no")
    made.children.fork_error = errno.ENOMEM
    assert b"Unable to turn on AOF. Check server logs." in made(
        "CONFIG", "SET", "appendonly", "yes"
    )
    assert made("CONFIG", "GET", "appendonly") == [b"appendonly", b"no"]
    assert info(made, "aof_enabled") == "0"
    assert made("SET", "a", 1) == b"OK"


def test_new_data_come_but_it_cannot_begin_anew() -> None:
    made = SimServer(SimDisk())
    made.children.fork_error = errno.ENOMEM
    made.engine.data_replaced()
    assert info(made, "aof_enabled") == "1"
    made("SET", "a", 1)
    made.children.fork_error = 0
    made.tick()
    made.children.finish()
    made.tick()
    made("SET", "b", 2)
    assert again(made)("MGET", "a", "b") == [b"1", b"2"]


def test_switched_on_while_another_child_works() -> None:
    made = SimServer(SimDisk(), appendonly="no")
    made("BGSAVE")
    assert made("CONFIG", "SET", "appendonly", "yes") == b"OK"
    made("SET", "a", 1)
    made.children.finish()
    made.tick()
    made("SET", "b", 2)
    made.children.finish()
    made.tick()
    assert again(made)("MGET", "a", "b") == [b"1", b"2"]


def test_off_and_on_during_a_rewrite() -> None:
    made = SimServer(SimDisk())
    made("SET", "a", 1)
    made("BGREWRITEAOF")
    made("SET", "b", 2)
    made("CONFIG", "SET", "appendonly", "no")
    assert any(line.startswith("Killing running AOF rewrite child") for line in made.log)
    made("SET", "c", 3)
    made("CONFIG", "SET", "appendonly", "yes")
    made.tick()
    made("SET", "d", 4)
    made.children.finish()
    made.tick()
    assert again(made)("MGET", "a", "b", "c", "d") == [b"1", b"2", b"3", b"4"]


def test_the_first_rewrite_fails_and_is_tried_again() -> None:
    made = SimServer(SimDisk(), appendonly="no")
    made("CONFIG", "SET", "appendonly", "yes")
    made("SET", "a", 1)
    made.children.finish(signal=9)
    made.tick()
    assert "Removing the temp incr aof file temp-appendonly.aof.incr in the background" in made.log
    made("SET", "b", 2)
    made.tick()
    made.children.finish()
    made.tick()
    made("SET", "c", 3)
    assert info(made, "aof_enabled") == "1"
    assert again(made)("MGET", "a", "b", "c") == [b"1", b"2", b"3"]


@pytest.mark.parametrize("wanted", ["yes", "no"])
def test_switched_while_a_file_is_loaded(wanted: str) -> None:
    made = SimServer(SimDisk(), appendonly="yes" if wanted == "no" else "no")
    made("SET", "a", 1)
    made("SAVE")
    later = again(
        made,
        appendonly="yes" if wanted == "no" else "no",
        before=lambda client: client("CONFIG", "SET", "appendonly", wanted),
    )
    assert later("GET", "a") == b"1"
    assert info(later, "aof_enabled") == str(int(wanted == "yes"))
    later.children.finish()
    later.tick()
    later("SET", "b", 1)
    assert again(later, appendonly="yes")("EXISTS", "a", "b") == 1 + (wanted == "yes")


# Orders


def test_shutdown_kills_the_child_and_syncs() -> None:
    made = SimServer(SimDisk())
    made("SET", "a", 1)
    made("BGREWRITEAOF")
    made("SET", "b", 1)
    made.client.send("SHUTDOWN")
    assert "There is a child rewriting the AOF. Killing it!" in made.log
    assert "Calling fsync() on the AOF file." in made.log
    name = FOLDER + "appendonly.aof.2.incr.aof"
    assert safe_bytes(made.disk, name) == made.disk.files()[name] != b""


def test_shutdown_waits_for_the_first_base() -> None:
    made = SimServer(SimDisk(), appendonly="no")
    made("CONFIG", "SET", "appendonly", "yes")
    assert made("SHUTDOWN").startswith(b"ERR Errors trying to SHUTDOWN")
    assert "Writing initial AOF, can't exit." in made.log
    made.client.send("SHUTDOWN", "FORCE")
    assert "Writing initial AOF. Exit anyway." in made.log


def test_debug_loadaof() -> None:
    made = SimServer(SimDisk(), enable_debug_command="yes")
    fill(made)
    before = digest(made)
    size = len(made.disk.files()[FOLDER + "appendonly.aof.1.incr.aof"])
    assert made("DEBUG", "LOADAOF") == b"OK"
    assert digest(made) == before
    assert info(made, "rdb_changes_since_last_save") == "0"
    assert len(made.disk.files()[FOLDER + "appendonly.aof.1.incr.aof"]) == size
    assert made("SET", "z", 1) == b"OK"
    assert again(made)("GET", "z") == b"1"


def test_others_hear_that_debug_loadaof_is_loading() -> None:
    made = SimServer(SimDisk(), PassingClock(), enable_debug_command="yes", busy_reply_threshold=1)
    script = "redis.call('set', KEYS[1], 1) for i = 1, 10000 do redis.call('ping') end"
    name = FOLDER + "appendonly.aof.1.incr.aof"
    put(made.disk, name, encode_command((b"EVAL", script.encode(), b"1", b"x")))
    heard: list[bytes] = []
    other = made.connect()
    made.engine.poll_clients = lambda: heard.append(other("PING"))
    assert made("DEBUG", "LOADAOF") == b"OK"
    assert heard[0].startswith(b"LOADING")
    assert other("GET", "x") == b"1"


def test_debug_loadaof_counts_on_from_what_the_manifest_says() -> None:
    made = SimServer(SimDisk(), enable_debug_command="yes")
    rewrite(made)
    made("CONFIG", "SET", "appendonly", "no")
    rewrite(made)
    assert made("DEBUG", "LOADAOF") == b"OK"
    made("CONFIG", "SET", "appendonly", "yes")
    made.children.finish()
    made.tick()
    assert "appendonly.aof.1.incr.aof" in names(made.disk)


def test_without_a_disk(client: Any) -> None:
    assert client("BGREWRITEAOF") == b"ERR this server has no disk"
