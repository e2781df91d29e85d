"""Saving and loading: what is due when, what failures do, and children that are real."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from pyredis.persistence.disk import WorkingDirectory
from pyredis.persistence.loading import LoadError
from pyredis.persistence.snapshot import ForkedChildren, private_bytes
from pyredis.persistence.store import SYNC_INTERVAL_BYTES, StoreError, store
from pyredis.ports import ChildEnd, Report
from pyredis.version import REDIS_VERSION
from tests.disks import InlineChildren, MemoryDisk
from tests.support import EngineClient, RealRedis, new_client

OK = b"OK"
STARTED = b"Background saving started"
LIBRARY = "#!lua name=lib\nredis.register_function('f', function() return 1 end)"


class Server:
    """An engine with a disk and children of the test's, and its log."""

    def __init__(self, disk: MemoryDisk | None = None, **settings: Any) -> None:
        self.client = new_client(**settings)
        self.engine = self.client.engine
        self.disk = disk or MemoryDisk()
        self.children = InlineChildren()
        self.lines: list[str] = []
        self.engine.log = lambda level, text: self.lines.append(text)
        self.engine.child.connect(self.children)
        self.engine.saver.connect(self.disk)

    def __call__(self, *args: Any) -> Any:
        return self.client(*args)

    def cron(self, duration_ms: int = 0) -> None:
        """Time passes, then the chores are done."""
        self.client.clock.advance(duration_ms)
        self.engine.begin_batch()
        self.engine.cron()
        self.engine.end_batch()

    def info(self, name: str) -> str:
        text = self("INFO", "everything")
        fields = dict(line.split(":", 1) for line in text.decode().split("\r\n") if ":" in line)
        return fields[name]

    def logged(self, text: str) -> bool:
        return any(text in line for line in self.lines)


@pytest.fixture
def server() -> Server:
    return Server()


# Putting a file in place


def test_the_file_is_synced_before_it_gets_its_name() -> None:
    disk = MemoryDisk(dump_rdb=b"old")
    store(disk, "dump.rdb", "temp-1.rdb", iter([b"a", b"b"]))
    assert disk.files == {"dump.rdb": b"ab"}
    assert disk.done == ["sync temp-1.rdb", "rename temp-1.rdb dump.rdb", "sync folder"]


def test_large_files_are_synced_little_by_little() -> None:
    chunks = [bytes(SYNC_INTERVAL_BYTES // 2)] * 5
    for gradual, syncs in ((True, 3), (False, 1)):
        disk = MemoryDisk()
        store(disk, "dump.rdb", "temp-1.rdb", chunks, gradual)
        assert disk.done.count("sync temp-1.rdb") == syncs


@pytest.mark.parametrize(
    ("step", "code", "text"),
    [
        ("create", errno.EROFS, "Failed opening the temp RDB file temp-1.rdb (in server root dir"),
        ("write", errno.ENOSPC, "Write error while saving DB to the disk(write): No space left"),
        ("sync", errno.EIO, "Write error while saving DB to the disk(fsync)"),
        ("close", errno.EDQUOT, "Write error while saving DB to the disk(close)"),
        ("rename", errno.EISDIR, "Error moving temp DB file temp-1.rdb on the final destination"),
    ],
)
def test_a_failure_leaves_the_old_file(step: str, code: int, text: str) -> None:
    disk = MemoryDisk(dump_rdb=b"old")
    disk.failures[step] = code
    with pytest.raises(StoreError) as caught:
        store(disk, "dump.rdb", "temp-1.rdb", [b"new"])
    assert text in str(caught.value)
    assert disk.files == {"dump.rdb": b"old"}


def test_a_folder_that_cannot_be_synced_is_a_failure() -> None:
    disk = MemoryDisk()
    disk.failures["sync_folder"] = errno.EIO
    with pytest.raises(StoreError, match="Failed to fsync directory"):
        store(disk, "dump.rdb", "temp-1.rdb", [b"new"])


def test_a_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    disk = WorkingDirectory()
    store(disk, "dump.rdb", "temp-1.rdb", [b"a" * 100, b"b"])
    assert os.listdir(disk.folder) == ["dump.rdb"]
    file = disk.open("dump.rdb")
    assert (file.size, file.read(100), file.read(9), file.read(9)) == (101, b"a" * 100, b"b", b"")
    file.close()
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(StoreError, match="on the final destination folder"):
        store(disk, "folder", "temp-1.rdb", [b"a"])
    with pytest.raises(StoreError, match="Failed opening the temp RDB file"):
        store(disk, "dump.rdb", "missing/temp-1.rdb", [b"a"])
    assert sorted(os.listdir()) == ["dump.rdb", "folder"]


# SAVE, BGSAVE, LASTSAVE


def test_save(server: Server) -> None:
    server("SET", "a", "1")
    assert server.info("rdb_changes_since_last_save") == "1"
    before = server("LASTSAVE")
    server.client.clock.advance(5000)
    assert server("SAVE") == OK
    assert server("LASTSAVE") == before + 5
    assert server.lines == ["DB saved on disk"]
    assert list(server.disk.files) == ["dump.rdb"]
    assert server.info("rdb_changes_since_last_save") == "0"
    assert server.info("rdb_saves") == "1"


def test_save_that_fails(server: Server) -> None:
    server("SET", "a", "1")
    server.disk.failures["write"] = errno.ENOSPC
    assert server("SAVE") == b"ERR"
    assert server.logged("No space left on device")
    assert server.info("rdb_changes_since_last_save") == "1"
    assert server.info("rdb_last_bgsave_status") == "ok"  # that is of background saves
    assert server("SET", "a", "2") == OK


def test_bgsave(server: Server) -> None:
    server("MSET", "a", 1, "b", 2)
    assert server("BGSAVE") == STARTED
    server("SET", "c", 3)
    assert server.info("rdb_bgsave_in_progress") == "1"
    for words in (("BGSAVE",), ("BGSAVE", "SCHEDULE"), ("SAVE",)):
        assert server(*words) == b"ERR Background save already in progress"
    server.cron(2000)
    assert server.info("rdb_current_bgsave_time_sec") == "2"
    assert server.info("current_save_keys_processed") == "2"
    assert server.info("current_save_keys_total") == "2"
    assert server.info("current_fork_perc") == "100.00"
    assert server.info("current_cow_size") == str(5 << 20)
    assert server.info("current_cow_peak") == str(6 << 20)
    server.cron(3000)
    assert server.info("current_cow_size_age") == "3"
    server.children.finish()
    server.cron(1000)
    assert server.lines == [
        "DB saved on disk",
        "Background saving started by pid 1001",
        "Background saving terminated with success",
    ]
    for name, value in {
        "rdb_bgsave_in_progress": 0,
        "rdb_last_bgsave_status": "ok",
        "rdb_last_bgsave_time_sec": 6,
        "rdb_current_bgsave_time_sec": -1,
        "rdb_changes_since_last_save": 1,  # what came after the beginning is not in the file
        "rdb_last_cow_size": 5 << 20,
        "current_cow_size": 0,
        "current_save_keys_total": 0,
        "rdb_saves": 1,
        "total_forks": 1,
    }.items():
        assert server.info(name) == str(value), name


def test_bgsave_syntax(server: Server) -> None:
    for words in (("nope",), ("SCHEDULE", "x")):
        assert server("BGSAVE", *words) == b"ERR syntax error"
    assert server("BGSAVE", "schedule") == STARTED


def test_bgsave_in_a_transaction_comes_after_it(server: Server) -> None:
    server("MULTI")
    server("BGSAVE")
    server("SET", "a", "1")
    assert server("EXEC") == [b"Background saving scheduled", OK]
    assert server.info("rdb_bgsave_in_progress") == "0"
    server.cron()
    assert server.info("rdb_bgsave_in_progress") == "1"
    server("MULTI")
    assert server("SAVE") == b"ERR Command not allowed inside a transaction"


def test_without_a_disk(client: EngineClient) -> None:
    for words in (("SAVE",), ("BGSAVE",), ("DEBUG", "RELOAD")):
        client.engine.config.enable_debug_command = "yes"
        assert client(*words) == b"ERR this server has no disk"


def test_resetstat(server: Server) -> None:
    server("BGSAVE")
    server("CONFIG", "RESETSTAT")
    for name in ("rdb_saves", "total_forks", "latest_fork_usec"):
        assert server.info(name) == "0"


# Save points


def test_save_points(server: Server) -> None:
    server("CONFIG", "SET", "save", "100 3 10 5")
    for _ in range(4):
        server("INCR", "n")
    server.cron(100_000)
    assert server.children.number == 1000  # a hundred seconds are not yet past
    server.cron(1000)
    assert server.logged("3 changes in 100 seconds. Saving...")
    server.children.finish()
    server.cron()
    assert server.info("rdb_last_bgsave_status") == "ok"
    for _ in range(5):
        server("INCR", "n")
    server.cron(11_000)
    assert server.logged("5 changes in 10 seconds. Saving...")


def test_no_save_point_no_save() -> None:
    server = Server(save="")
    server("SET", "a", "1")
    server.cron(10_000_000)
    assert server.lines == []


def test_after_a_failure_the_next_attempt_is_five_seconds_away(server: Server) -> None:
    server("CONFIG", "SET", "save", "1 1")
    server("SET", "a", "1")
    server.disk.failures["write"] = errno.ENOSPC
    server.cron(2000)
    server.children.finish()
    server.cron(100)
    assert server.logged("Background saving error")
    server.cron(5000)
    assert server.children.number == 1001
    del server.disk.failures["write"]
    server.cron(1000)
    assert server.children.number == 1002
    server.children.finish()
    server.cron()
    assert server.info("rdb_last_bgsave_status") == "ok"


def test_flushall_saves_that_nothing_is_left() -> None:
    for points, saved in (("1 1", True), ("", False)):
        server = Server(save=points)
        server("SET", "a", "1")
        server("BGSAVE")
        file = server.disk.files["dump.rdb"]
        assert server("FLUSHALL") == OK
        assert server.children.killed
        assert (server.disk.files["dump.rdb"] != file) is saved
        server.cron()
        assert server.logged("Background saving terminated by signal 10")
        assert server.info("rdb_last_bgsave_status") == "ok"


# Refusing writes


def failed_server() -> Server:
    server = Server()
    server("SET", "a", "1")
    server.disk.failures["rename"] = errno.EACCES
    server("BGSAVE")
    server.children.finish()
    server.cron()
    return server


def test_writes_are_refused_while_saving_fails() -> None:
    server = failed_server()
    assert server.info("rdb_last_bgsave_status") == "err"
    other = server.client.another()
    for words in (("SET", "a", "2"), ("PING",), ("EVAL", "#!lua\nreturn 1", 0), ("DEL", "a")):
        assert server(*words).startswith(b"MISCONF Redis is configured to save RDB snapshots")
        assert other(*words).startswith(b"MISCONF ")
    assert server("EVAL", "return redis.call('SET', 'a', 2)", 0).startswith(b"MISCONF ")
    assert server("EVAL", "#!lua flags=no-writes\nreturn 1", 0) == 1
    assert server("GET", "a") == b"1"
    server.disk.failures.clear()
    assert server("SAVE") == OK
    assert server("SET", "a", "2") == OK
    assert other("PING") == b"PONG"


def test_a_transaction_that_writes_is_refused_whole() -> None:
    server = Server()
    server("MULTI")
    server("SET", "a", "2")
    other = EngineClient(server.engine, server.client.clock)
    server.disk.failures["write"] = errno.ENOSPC
    other("BGSAVE")
    server.children.finish()
    server.cron()
    assert server("EXEC").startswith(b"EXECABORT Transaction discarded because of: MISCONF")


@pytest.mark.parametrize("setting", [("save", ""), ("stop-writes-on-bgsave-error", "no")])
def test_writes_are_refused_only_where_that_is_wanted(setting: tuple[str, str]) -> None:
    server = failed_server()
    assert server("CONFIG", "SET", *setting) == OK
    assert server("SET", "a", "2") == OK
    assert server("CONFIG", "SET", "save", "1 1", "stop-writes-on-bgsave-error", "yes") == OK
    assert server("SET", "a", "3").startswith(b"MISCONF ")


def test_a_fork_that_fails(server: Server) -> None:
    server.children.fork_error = errno.ENOMEM
    assert server("BGSAVE") == b"ERR"
    assert server.lines == ["Can't save in background: fork: Cannot allocate memory"]
    assert server.info("rdb_last_bgsave_status") == "err"
    assert server("SET", "a", "1").startswith(b"MISCONF ")


def test_a_child_that_is_killed(server: Server) -> None:
    server("BGSAVE")
    server.disk.files["temp-1001.rdb"] = b"half"
    server.children.finish(signal=9)
    server.cron()
    assert server.logged("Background saving terminated by signal 9")
    assert "temp-1001.rdb" not in server.disk.files
    assert server.info("rdb_last_bgsave_status") == "err"
    assert server("BGSAVE") == STARTED


# The end


def test_shutdown_saves_where_save_points_are_set() -> None:
    for points, words, saves in (
        ("1 1", (), True),
        ("1 1", ("NOSAVE",), False),
        ("", (), False),
        ("", ("SAVE",), True),
    ):
        server = Server(save=points)
        server.client.send("SHUTDOWN", *words)
        assert server.engine.exit_status == 0
        assert server.logged("Saving the final RDB snapshot before exiting.") is saves
        assert ("dump.rdb" in server.disk.files) is saves


def test_shutdown_that_cannot_save(server: Server) -> None:
    server.disk.failures["create"] = errno.EROFS
    assert server("SHUTDOWN") == b"ERR Errors trying to SHUTDOWN. Check logs."
    assert server.engine.exit_status is None
    assert server.logged("Error trying to save the DB, can't exit.")
    assert server("SET", "a", "1") == OK
    server.client.send("SHUTDOWN", "FORCE")
    assert server.engine.exit_status == 0
    assert server.logged("Error trying to save the DB. Exit anyway.")


def test_shutdown_ends_the_child(server: Server) -> None:
    server("BGSAVE")
    server.disk.files["temp-1001.rdb"] = b"half"
    server.client.send("SHUTDOWN", "NOSAVE")
    assert server.children.killed
    assert server.logged("There is a child saving an .rdb. Killing it!")
    assert "temp-1001.rdb" not in server.disk.files


# Loading


def filled(**settings: Any) -> Server:
    server = Server(**settings)
    server.engine.config.enable_debug_command = "yes"
    server("SET", "a", "1")
    server("RPUSH", "l", "x", "y")
    server("SET", "t", "soon", "PX", 100_000)
    server("FUNCTION", "LOAD", LIBRARY)
    return server


def test_reload() -> None:
    server = filled()
    digest = server("DEBUG", "DIGEST")
    assert server("DEBUG", "RELOAD") == OK
    assert server("DEBUG", "DIGEST") == digest
    assert server("FCALL", "f", 0) == 1
    assert server("PTTL", "t") == 100_000
    assert server.lines[-2:] == [
        "Done loading RDB, keys loaded: 3, keys expired: 0.",
        "DB reloaded by DEBUG RELOAD",
    ]
    server("SET", "b", "2")
    assert server("DEBUG", "RELOAD", "NOSAVE") == OK
    assert server("EXISTS", "b") == 0
    server.client.clock.advance(100_001)
    assert server("DEBUG", "RELOAD", "NOSAVE") == OK
    assert server.info("rdb_last_load_keys_expired") == "1"
    assert server.info("rdb_last_load_keys_loaded") == "2"
    server.engine.ks._check()


def test_reload_in_addition_to_what_is_there() -> None:
    server = filled()
    server("SAVE")
    server("SET", "b", "2")
    server("SET", "a", "other", "EX", 100)
    assert server("DEBUG", "RELOAD", "nosave", "noflush").startswith(b"ERR Error trying to load")
    assert server("GET", "a") == b"other"
    server("FUNCTION", "FLUSH")
    assert server("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE") == OK
    assert server("MGET", "a", "b") == [b"1", b"2"]
    assert server("TTL", "a") == -1
    assert server("PTTL", "t") == 100_000
    assert server("FCALL", "f", 0) == 1
    server.engine.ks._check()


def test_reload_with_wrong_options(server: Server) -> None:
    server.engine.config.enable_debug_command = "yes"
    assert server("DEBUG", "RELOAD", "x").startswith(b"ERR DEBUG RELOAD only supports the MERGE")
    server.disk.failures["write"] = errno.ENOSPC
    assert server("DEBUG", "RELOAD") == b"ERR"


@pytest.mark.parametrize(
    ("damage", "phrase"),
    [
        (lambda data: data[:-3], "Short read or OOM loading DB. Unrecoverable error"),
        (lambda data: data[:-1] + bytes((data[-1] ^ 1,)), "RDB CRC error"),
        (lambda data: b"REDIS0099" + data[9:], "Can't handle RDB format version 99"),
        (lambda data: b"VALKE" + data[5:], "Wrong signature trying to load DB from file"),
        (lambda data: b"", "Short read or OOM loading DB"),
        (lambda data: data.replace(b"register_f", b"register_x"), "RDB CRC error"),
    ],
)
def test_what_cannot_be_loaded_changes_nothing(damage: Any, phrase: str) -> None:
    server = filled()
    server("SAVE")
    server.disk.files["dump.rdb"] = damage(server.disk.files["dump.rdb"])
    server("SET", "b", "2")
    digest = server("DEBUG", "DIGEST")
    expected = b"ERR Error trying to load the RDB dump, check server logs."
    assert server("DEBUG", "RELOAD", "NOSAVE") == expected
    assert server.logged(phrase)
    assert server.logged("Internal error in RDB reading offset")
    assert server("DEBUG", "DIGEST") == digest
    assert server("FCALL", "f", 0) == 1


def test_functions_that_do_not_load_stop_the_file() -> None:
    server = filled()
    server("SAVE")
    data = server.disk.files["dump.rdb"]
    server.disk.files["dump.rdb"] = data[:-8].replace(b"register_f", b"register_x") + bytes(8)
    server("DEL", "a")
    assert server("DEBUG", "RELOAD", "NOSAVE").startswith(b"ERR Error trying to load")
    assert server.logged("Failed loading functions of the RDB file")
    assert server("EXISTS", "a", "l") == 1
    assert server("FCALL", "f", 0) == 1


@pytest.mark.parametrize(
    ("policy", "question"), [("allkeys-lru", "IDLETIME"), ("allkeys-lfu", "FREQ")]
)
def test_use_of_keys_is_kept(policy: str, question: str) -> None:
    server = filled(**{"maxmemory-policy": policy})
    for _ in range(300):
        server("GET", "a")
    server.client.clock.advance(90_000)
    before = server("OBJECT", question, "a")
    assert before > 5
    assert server("DEBUG", "RELOAD") == OK
    assert server("OBJECT", question, "a") == before


def loading_server(count: int = 20_000) -> Server:
    """A server about to load that many keys."""
    first = filled()
    first("DEBUG", "POPULATE", count)
    first("SAVE")
    server = Server(MemoryDisk(dump_rdb=first.disk.files["dump.rdb"]))
    server.engine.config.loading_process_events_interval_bytes = 100_000
    return server


def test_loading_in_slices_while_clients_wait() -> None:
    server = loading_server()
    saver = server.engine.saver
    blocked = server.client.another()
    blocked("MULTI")
    blocked("GET", "a")
    assert saver.begin_loading()
    assert saver.load_slice() == 0.0
    assert server("GET", "a") == b"LOADING Redis is loading the dataset in memory"
    assert blocked("EXEC").startswith(b"EXECABORT Transaction discarded because of: LOADING")
    assert server.client.another()("SAVE").startswith(b"LOADING ")
    assert server("CONFIG", "SET", "repl-diskless-load", "disabled").startswith(b"LOADING ")
    assert server.info("loading") == "1"
    assert server.info("loading_loaded_bytes") == "100000"
    assert 0 < float(server.info("loading_loaded_perc")) < 100
    assert int(server.info("loading_total_bytes")) > 200_000
    assert server.info("loading_eta_seconds") == "1"
    server.cron(2000)
    assert int(server.info("loading_eta_seconds")) > 1
    while saver.load_slice() is not None:
        pass
    assert server.info("loading") == "0"
    assert server("DBSIZE") == 20_003
    assert server("GET", "key:777") == b"value:777"
    assert server.logged(f"Loading RDB produced by version {REDIS_VERSION}")
    assert server.logged("DB loaded from disk: ")
    assert "loading_start_time" not in str(server("INFO", "persistence"))


def test_long_loads_tell_their_progress() -> None:
    server = loading_server()
    saver = server.engine.saver
    saver.begin_loading()
    saver.load_slice()
    server.client.clock.advance(6000)
    saver.load_slice()
    assert any(line.startswith("Loading DB: ") and "MB/s" in line for line in server.lines)


def test_no_file_is_no_error_and_a_bad_one_is(server: Server) -> None:
    saver = server.engine.saver
    assert not saver.begin_loading()
    server.disk.failures["open"] = errno.EACCES
    with pytest.raises(LoadError, match=r"can.t open the RDB file"):
        saver.begin_loading()
    server.disk.failures.clear()
    server.disk.files["dump.rdb"] = b"nonsense that is no file of ours"
    saver.begin_loading()
    with pytest.raises(LoadError, match="Wrong signature"):
        saver.load_slice()
    assert server("PING") == b"PONG"


def test_a_load_that_is_slowed_down() -> None:
    server = loading_server()
    server.engine.config.key_load_delay = 100
    saver = server.engine.saver
    saver.begin_loading()
    pause_s = saver.load_slice()
    assert saver.loading is not None
    assert pause_s == pytest.approx(saver.loading.keys * 100 / 1e6)


# Real children


@pytest.fixture
def children() -> ForkedChildren:
    return ForkedChildren(lambda level, text: None)


def end_of(children: ForkedChildren) -> ChildEnd:
    deadline = time.monotonic() + 20
    while (end := children.poll()) is None:
        assert time.monotonic() < deadline
    return end


def test_a_child_does_its_job_on_the_data_of_the_beginning(
    children: ForkedChildren, tmp_path: Path
) -> None:
    data = [b"before"]

    def job(process_id: int, report: Report) -> bool:
        (tmp_path / "out").write_bytes(b"%d %b" % (process_id, data[0]))
        report(7)
        return True

    process_id = children.start("redis-rdb-bgsave", job)
    data[0] = b"after"
    assert end_of(children).well
    assert children.poll() is None
    assert (tmp_path / "out").read_bytes() == b"%d before" % process_id
    assert children.report.keys == 7
    assert children.report.cow_bytes == children.report.cow_peak_bytes
    assert (children.report.cow_bytes > 0) == (private_bytes() > 0)


def test_children_that_fail(children: ForkedChildren) -> None:
    def raises(process_id: int, report: Report) -> bool:
        raise RuntimeError

    children.start("redis-rdb-bgsave", lambda process_id, report: False)
    assert end_of(children) == ChildEnd(1)
    children.start("redis-rdb-bgsave", raises)
    assert end_of(children) == ChildEnd(1)


def _sleeps(process_id: int, report: Report) -> bool:
    time.sleep(60)
    return True


def test_children_that_are_killed(children: ForkedChildren) -> None:
    process_id = children.start("redis-rdb-bgsave", _sleeps)
    os.kill(process_id, signal.SIGKILL)
    assert end_of(children) == ChildEnd(0, signal.SIGKILL)
    children.start("redis-rdb-bgsave", _sleeps)
    assert children.poll() is None
    children.kill()
    children.kill()
    end = end_of(children)
    assert end.signal
    assert end.excused
    children.kill()


def test_a_fork_that_fails_leaves_nothing_open(
    children: ForkedChildren, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> int:
        raise OSError(errno.EAGAIN, "no")

    monkeypatch.setattr(os, "fork", fails)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="no"):
        children.start("redis-rdb-bgsave", _sleeps)
    assert len(os.listdir("/proc/self/fd")) == before
    assert children.poll() is None


def test_a_file_from_the_real_server(real_redis: RealRedis) -> None:
    """Loaded into an engine without any process of ours."""
    real = real_redis.client()
    real("FLUSHALL")
    real("MSET", "a", 1, "b", "two")
    real("SAVE")
    data = (Path(real_redis.folder) / "dump.rdb").read_bytes()
    server = Server(MemoryDisk(dump_rdb=data))
    server.engine.config.enable_debug_command = "yes"
    assert server("DEBUG", "RELOAD", "NOSAVE") == OK
    assert server("DEBUG", "DIGEST") == real("DEBUG", "DIGEST")
    real.close()
