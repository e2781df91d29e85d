"""Persistence of real processes: restarts, children, signals, and files of the real server."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.processes import children_of, fill, info, real, running, until
from tests.samples import VALUES
from tests.support import WireClient

PROTECTED = ("--enable-protected-configs", "yes")


def encodings(client: WireClient) -> dict[str, bytes]:
    return {name: client("OBJECT", "ENCODING", name) for name in VALUES}


def begin_slow_save(client: WireClient) -> None:
    """A background save that takes minutes."""
    client("MSET", *(part for at in range(100) for part in (f"k{at}", at)))
    client("CONFIG", "SET", "rdb-key-save-delay", 1_000_000)
    assert client("BGSAVE") == b"Background saving started"


# Restarts


def test_data_survive_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        client = node.client()
        fill(client)
        digest, held = client("DEBUG", "DIGEST"), encodings(client)
        assert client("DEBUG", "RELOAD") == b"OK"
        assert client("DEBUG", "DIGEST") == digest
        client.send("SHUTDOWN", "SAVE")
        assert node.finish() == 0
        assert "DB saved on disk" in node.log
    assert os.listdir(tmp_path) == ["dump.rdb"]
    with running(tmp_path, "--rdbcompression", "no") as node:
        assert "DB loaded from disk: " in node.log
        client = node.client()
        assert client("DEBUG", "DIGEST") == digest
        held["changed-in-place"] = b"embstr"  # as in Redis, a short string is new again
        assert encodings(client) == held
        assert client("FCALL", "f", 0) == 42
        assert client("PEXPIRETIME", "stream") == 4_000_000_000_003
        assert info(client, "rdb_last_load_keys_loaded") == str(len(VALUES) + 2)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signals_save_where_save_points_are_set(tmp_path: Path, name: str) -> None:
    for points, flags, is_saved in (("", "", False), ("1 1", "nosave", False), ("1 1", "", True)):
        number = getattr(signal, name)
        options = (f"--shutdown-on-{name.lower()}", flags) if flags else ()
        with running(tmp_path, "--save", points, *options) as node:
            node.client()("SET", "a", "1")
            node.process.send_signal(number)
            assert node.finish() == 0
            assert (tmp_path / "dump.rdb").exists() is is_saved


def test_a_signal_that_cannot_save_does_not_end_the_server(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb" / "full").mkdir(parents=True)
    with running(tmp_path, "--save", "1000 1000", "--dbfilename", "other.rdb", *PROTECTED) as node:
        client = node.client()
        client("CONFIG", "SET", "dbfilename", "dump.rdb")
        node.process.send_signal(signal.SIGINT)
        node.wait_for("Errors trying to shut down the server")
        assert client("PING") == b"PONG"
        client("CONFIG", "SET", "dbfilename", "other.rdb")
        node.process.send_signal(signal.SIGINT)
        assert node.finish() == 0


def test_dir_changed_while_running(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with running(tmp_path, *PROTECTED) as node:
        client = node.client()
        assert client("CONFIG", "SET", "dir", str(other), "dbfilename", "x.rdb") == b"OK"
        assert client("SAVE") == b"OK"
        assert os.listdir(other) == ["x.rdb"]
        assert client("BGSAVE") == b"Background saving started"
        until(lambda: info(client, "rdb_bgsave_in_progress") == "0")
        assert info(client, "rdb_last_bgsave_status") == "ok"


# Both ways with the real server


def test_a_file_of_the_real_server_loads_here(tmp_path: Path) -> None:
    with real(tmp_path) as server:
        client = server.client()
        fill(client)
        digest = client("DEBUG", "DIGEST")
        assert client("SAVE") == b"OK"
        with running(tmp_path) as node:
            ours = node.client()
            assert ours("DEBUG", "DIGEST") == digest
            assert ours("FCALL", "f", 0) == 42
            for name in ("stream-with-groups", "stream-trimmed"):
                for what in ("STREAM", "GROUPS"):
                    assert ours("XINFO", what, name)[:2] == client("XINFO", what, name)[:2]


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru", "allkeys-lfu"])
def test_a_file_of_ours_loads_there(tmp_path: Path, policy: str) -> None:
    with running(tmp_path, "--maxmemory-policy", policy) as node:
        client = node.client()
        fill(client)
        digest = client("DEBUG", "DIGEST")
        client("BGSAVE")
        until(lambda: info(client, "rdb_bgsave_in_progress") == "0")
    with real(tmp_path, "--maxmemory-policy", policy) as server:
        theirs = server.client()
        assert theirs("DEBUG", "DIGEST") == digest
        assert theirs("FCALL", "f", 0) == 42
        assert theirs("DBSIZE") == len(VALUES)


# Children


def test_the_child_is_one_and_tells_how_far_it_is(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        client = node.client()
        begin_slow_save(client)
        node.wait_for("Background saving started by pid")
        (child,) = children_of(node)
        assert f"started by pid {child}" in node.log
        assert Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"redis-rdb-bgsave")
        until(lambda: int(info(client, "current_save_keys_processed")) > 0)
        assert info(client, "current_save_keys_total") == "100"
        assert int(info(client, "current_cow_size")) > 0
        client.send("SHUTDOWN", "NOSAVE")
        assert node.finish() == 0
        assert "There is a child saving an .rdb. Killing it!" in node.log
        assert os.listdir(tmp_path) == []


def test_a_killed_child_is_noticed_and_saving_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        client = node.client()
        begin_slow_save(client)
        (child,) = children_of(node)
        os.kill(child, signal.SIGKILL)
        node.wait_for("Background saving terminated by signal 9")
        assert info(client, "rdb_last_bgsave_status") == "err"
        assert os.listdir(tmp_path) == []
        client("CONFIG", "SET", "rdb-key-save-delay", 0)
        client("BGSAVE")
        until(lambda: info(client, "rdb_last_bgsave_status") == "ok")
        assert os.listdir(tmp_path) == ["dump.rdb"]


def test_the_child_gives_up_when_the_server_is_killed(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        client, other = node.client(), node.client()
        begin_slow_save(client)
        (child,) = children_of(node)
        other.send("QUIT")
        assert other.read() == b"OK"
        with pytest.raises(ConnectionError):  # though the child inherited the socket
            other.read()
        node.process.kill()
        node.process.wait()
        until(lambda: not Path(f"/proc/{child}/cmdline").exists() or _is_gone(child))
        until(lambda: os.listdir(tmp_path) == [])


def _is_gone(process_id: int) -> bool:
    try:
        return b" Z " in Path(f"/proc/{process_id}/stat").read_bytes()
    except OSError:
        return True


def test_a_full_disk(tmp_path: Path) -> None:
    """A limit on the size of files stands in for it."""
    with running(tmp_path, "--save", "1000 1000000", "--rdbcompression", "no") as node:
        client = node.client()
        client("SET", "small", "1")
        assert client("SAVE") == b"OK"
        client("SET", "large", "x" * 100_000)
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (10_000, 10_000))
        assert client("SAVE") == b"ERR"
        client("BGSAVE")
        until(lambda: info(client, "rdb_last_bgsave_status") == "err")
        assert client("SET", "a", "1").startswith(b"MISCONF ")
        assert client("GET", "small") == b"1"
        assert client("SHUTDOWN") == b"ERR Errors trying to SHUTDOWN. Check logs."
        assert os.listdir(tmp_path) == ["dump.rdb"]
        node.wait_for("Write error while saving DB to the disk(write): File too large")
    with running(tmp_path) as node:
        assert node.client()("GET", "small") == b"1"


# Loading


@pytest.mark.parametrize(
    ("damage", "phrase"),
    [
        (lambda data: data[:-20], "Short read or OOM loading DB"),
        (lambda data: data[:-1] + b"\0", "RDB CRC error"),
        (lambda data: b"REDIS0042" + data[9:], "Can't handle RDB format version 42"),
    ],
)
def test_a_file_that_cannot_be_loaded_ends_the_server(
    tmp_path: Path, damage: Any, phrase: str
) -> None:
    path = tmp_path / "dump.rdb"
    with running(tmp_path) as node:
        client = node.client()
        client("SET", "a", "1")
        client("SAVE")
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    with running(tmp_path, "--save", "1 1", wait=False) as node:
        assert node.finish() == 1
        assert phrase in node.log
        assert "Fatal error loading the DB" in node.log
        assert "Ready to accept connections" not in node.log
    assert path.read_bytes() == damaged


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").mkdir()
    with running(tmp_path, wait=False) as node:
        assert node.finish() == 1
        assert "can't open the RDB file dump.rdb for reading: Is a directory" in node.log
    shutil.rmtree(tmp_path / "dump.rdb")
