"""The append-only file as a whole: start, rewriting, on and off, upgrades, and what fails."""

from __future__ import annotations

import contextlib
import errno
from typing import Any

import pytest

from pyredis.digest import data_digest
from pyredis.persistence.loading import LoadError
from pyredis.resp import encode_command
from pyredis.sim.disk import PowerCut, SimDisk
from tests.samples import VALUES
from tests.simserver import SimServer

FOLDER = "appendonlydir/"
STARTED = b"Background append only file rewriting started"
SCHEDULED = b"Background append only file rewriting scheduled"
SET_A = encode_command((b"SELECT", b"0")) + encode_command((b"SET", b"a", b"1"))
STRAY = "*3\r\n$3\r\nSE"


def names(disk: SimDisk) -> list[str]:
    return disk.names("appendonlydir")


def put(disk: SimDisk, name: str, data: bytes) -> None:
    """A file that somebody else has left there."""
    disk.sub("appendonlydir").make()
    output = disk.create(name)
    output.write(data)
    output.sync()


def manifest(disk: SimDisk) -> str:
    return disk.files()[FOLDER + "appendonly.aof.manifest"].decode()


def again(made: SimServer, **settings: Any) -> SimServer:
    """The process is killed, and another one starts."""
    made.disk.kill()
    return SimServer(made.disk, made.clock, **settings)


def digest(made: SimServer) -> bytes:
    return data_digest(made.engine.ks.dbs)


def info(made: SimServer, name: str) -> str:
    text: str = made("INFO", "persistence").decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)[name]


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


def test_commands_that_fail_are_told_of() -> None:
    disk = SimDisk()
    bad = encode_command((b"LPUSH", b"a", b"1"))
    put(disk, FOLDER + "i", SET_A + bad + encode_command((b"SET", b"b", b"1")))
    put(disk, FOLDER + "appendonly.aof.manifest", b"file i seq 1 type i\n")
    made = SimServer(disk)
    assert made("MGET", "a", "b") == [b"1", b"1"]
    assert made.log[0].startswith("== CRITICAL == This server is sending an error")
    assert "WRONGTYPE" in made.log[0]
    assert "'lpush'" in made.log[0]
    assert made("INFO", "errorstats") == b"# Errorstats\r\n"


# Damage


def load_parts(*parts: bytes, **settings: Any) -> SimServer:
    disk = SimDisk()
    for number, data in enumerate(parts, 1):
        put(disk, f"{FOLDER}i{number}", data)
    lines = [f"file i{number} seq {number} type i\n" for number in range(1, len(parts) + 1)]
    put(disk, FOLDER + "appendonly.aof.manifest", "".join(lines).encode())
    return SimServer(disk, **settings)


MULTI = encode_command((b"MULTI",)) + encode_command((b"SET", b"b", b"1"))


@pytest.mark.parametrize("tail", [b"*3\r\n$3\r\nSE", MULTI, MULTI + b"*3\r", b"#TS:1"])
def test_the_last_part_is_cut(tail: bytes) -> None:
    made = load_parts(SET_A, SET_A + tail)
    assert made("KEYS", "*") == [b"a"]
    assert f"!!! Truncating the AOF i2 at offset {len(SET_A)} !!!" in made.log
    assert made.disk.files()[FOLDER + "i2"] == SET_A
    assert again(made)("KEYS", "*") == [b"a"]


def test_it_is_not_cut_where_that_is_not_wanted() -> None:
    with pytest.raises(LoadError, match="Unexpected end of file reading the append only file i1"):
        load_parts(SET_A[:-1], aof_load_truncated="no")


def test_another_part_is_never_cut() -> None:
    with pytest.raises(LoadError, match="the truncated file is not the last file"):
        load_parts(SET_A + b"*3", SET_A)


@pytest.mark.parametrize("tail", [b"hello\r\n", bytes(30), SET_A[:-10] + bytes(10)])
def test_malformed_bytes_are_fatal_unless_allowed(tail: bytes) -> None:
    with pytest.raises(
        LoadError, match="Bad file format reading the append only file i1"
    ) as caught:
        load_parts(SET_A + tail)
    assert "all is well up to offset" in str(caught.value)
    with pytest.raises(LoadError):
        load_parts(SET_A + tail, aof_load_corrupt_tail_max_size=3)
    made = load_parts(SET_A + tail, aof_load_corrupt_tail_max_size=1000)
    assert made("KEYS", "*") == [b"a"]
    with pytest.raises(LoadError):
        load_parts(SET_A + tail, SET_A, aof_load_corrupt_tail_max_size=1000)


def test_unknown_commands_and_missing_arguments_are_fatal() -> None:
    with pytest.raises(LoadError, match="Unknown command 'NOSUCH' reading the append only file i1"):
        load_parts(SET_A + encode_command((b"NOSUCH",)))
    with pytest.raises(LoadError, match="a set that has not its arguments"):
        load_parts(SET_A + encode_command((b"SET", b"a")))


def test_a_missing_part_is_fatal() -> None:
    disk = SimDisk()
    put(disk, FOLDER + "appendonly.aof.manifest", b"file i1 seq 1 type i\n")
    with pytest.raises(LoadError, match="Unable to obtain the AOF file i1 length"):
        SimServer(disk)


def test_a_damaged_base_is_fatal() -> None:
    made = SimServer(SimDisk())
    made("SET", "key", "value")
    made("BGREWRITEAOF")
    made.children.finish()
    made.tick()
    name = FOLDER + "appendonly.aof.2.base.rdb"
    data = made.disk.files()[name].replace(b"value", b"wrong")
    put(made.disk, name, data)
    with pytest.raises(
        LoadError, match=r"Error reading the RDB base file appendonly\.aof\.2\.base\.rdb"
    ):
        again(made)


def test_a_bad_manifest_is_fatal_even_with_the_log_off() -> None:
    disk = SimDisk()
    put(disk, FOLDER + "appendonly.aof.manifest", b"nonsense\n")
    with pytest.raises(LoadError, match="FATAL AOF MANIFEST FILE ERROR"):
        SimServer(disk, appendonly="no")


# Upgrades


def test_an_old_single_file_moves_in() -> None:
    disk = SimDisk()
    put(disk, "appendonly.aof", SET_A)
    made = SimServer(disk)
    assert made("GET", "a") == b"1"
    assert "appendonly.aof" not in disk.files()
    assert manifest(disk) == (
        "file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    made("SET", "b", 2)
    assert again(made)("MGET", "a", "b") == [b"1", b"2"]


def test_an_interrupted_upgrade_goes_on() -> None:
    disk = SimDisk()
    put(disk, "appendonly.aof", SET_A)
    put(disk, FOLDER + "appendonly.aof.manifest", b"file appendonly.aof seq 1 type b\n")
    assert SimServer(disk)("GET", "a") == b"1"
    assert "appendonly.aof" not in disk.files()


def test_an_old_file_beside_a_new_log_is_left_alone() -> None:
    made = SimServer(SimDisk())
    put(made.disk, "appendonly.aof", SET_A)
    assert again(made)("DBSIZE") == 0
    assert made.disk.files()["appendonly.aof"] == SET_A


def test_two_servers_in_one_folder() -> None:
    disk = SimDisk()
    one, two = SimServer(disk, appendfilename="one"), SimServer(disk, appendfilename="two")
    one("SET", "a", 1)
    two("SET", "a", 2)
    two("BGREWRITEAOF")
    two.children.finish()
    two.tick()
    disk.kill()
    assert SimServer(disk, appendfilename="one")("GET", "a") == b"1"
    assert SimServer(disk, appendfilename="two")("GET", "a") == b"2"


# Rewriting


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
    made.engine.aof.scheduled = True
    waits = []
    for _ in range(12):
        made.tick()
        begin_ms = made.clock.time_ms
        assert "Background AOF rewrite has repeatedly failed" in made.log[-1]
        waits.append(made.log[-1].split()[-2])
        made.tick(int(waits[-1]) * 60_000 - 1000)
        tried = made.engine.aof.failures
        made.tick(2000)
        made.tick()
        assert made.engine.aof.failures == tried + 1
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


def test_a_rewrite_of_a_log_that_is_off() -> None:
    made = SimServer(SimDisk(), appendonly="no")
    made("SET", "a", 1)
    assert made("BGREWRITEAOF") == STARTED
    made.children.finish()
    made.tick()
    assert manifest(made.disk) == "file appendonly.aof.1.base.rdb seq 1 type b\n"
    assert again(made)("GET", "a") == b"1"


def test_history_may_be_kept() -> None:
    made = SimServer(SimDisk(), aof_disable_auto_gc="yes")
    made("BGREWRITEAOF")
    made.children.finish()
    made.tick()
    assert manifest(made.disk).count("type h") == 2
    assert len(names(made.disk)) == 5
    made = again(made)
    assert len(names(made.disk)) == 3


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
    assert made.disk.safe_bytes(name) == made.disk.files()[name]
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
    made("SET", "b", 2)
    made.tick()
    made.children.finish()
    made.tick()
    made("SET", "c", 3)
    assert info(made, "aof_enabled") == "1"
    assert again(made)("MGET", "a", "b", "c") == [b"1", b"2", b"3"]


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
    assert made.disk.safe_bytes(name) == made.disk.files()[name] != b""


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
    assert len(made.disk.files()[FOLDER + "appendonly.aof.1.incr.aof"]) == size
    assert made("SET", "z", 1) == b"OK"
    assert again(made)("GET", "z") == b"1"


def test_without_a_disk(client: Any) -> None:
    assert client("BGREWRITEAOF") == b"ERR this server has no disk"
