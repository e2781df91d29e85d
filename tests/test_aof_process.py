"""The append-only file of real processes: restarts, kills, full disks, the real server's files."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
from pathlib import Path

import pytest

from tests import crash, processes
from tests.processes import children_of, info, until
from tests.support import Node, RealRedis, WireClient

ON = ("--appendonly", "yes")


def running(
    folder: Path, *options: str, wait: bool = True
) -> contextlib.AbstractContextManager[Node]:
    return processes.running(folder, *ON, *options, wait=wait)


def real(folder: Path, *options: str) -> contextlib.AbstractContextManager[RealRedis]:
    return processes.real(folder, *ON, *options)


def fill(client: WireClient) -> None:
    """Everything but a zero below zero, which as a command is a plain one."""
    processes.fill(client)
    client("DEL", "zset-of-long")


def rewrite(client: WireClient) -> None:
    client("BGREWRITEAOF")
    until(lambda: info(client, "aof_rewrite_in_progress") == "0")
    assert info(client, "aof_last_bgrewrite_status") == "ok"


# Both ways with the real server


@pytest.mark.parametrize("form", ["increment", "rdb", "commands"])
def test_redis_loads_ours(tmp_path: Path, form: str) -> None:
    preamble = "no" if form == "commands" else "yes"
    with running(tmp_path, "--aof-use-rdb-preamble", preamble) as node:
        client = node.client()
        fill(client)
        if form != "increment":
            rewrite(client)
        client("SET", "after", 1)
        digest = client("DEBUG", "DIGEST")
        client.send("SHUTDOWN")
        assert node.finish() == 0
        assert "Calling fsync() on the AOF file." in node.log
    with real(tmp_path) as server:
        client = server.client()
        until(lambda: info(client, "loading") == "0")
        assert client("DEBUG", "DIGEST") == digest
        assert client("FCALL", "f", 0) == 42


@pytest.mark.parametrize("form", ["increment", "rdb", "commands"])
def test_ours_loads_redis(tmp_path: Path, form: str) -> None:
    preamble = "no" if form == "commands" else "yes"
    folder = tmp_path / "data"
    folder.mkdir()
    with real(folder, "--aof-use-rdb-preamble", preamble, "--aof-timestamp-enabled", "yes") as old:
        client = old.client()
        fill(client)
        if form != "increment":
            rewrite(client)
        client("SET", "after", 1)
        digest = client("DEBUG", "DIGEST")
        with running(folder) as node:
            ours = node.client()
            assert ours("DEBUG", "DIGEST") == digest
            assert ours("FCALL", "f", 0) == 42


# Kills


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_kill_9_under_load(policy: str) -> None:
    acknowledged, lost = crash.run(3, policy, seed=1)
    assert acknowledged > 0
    assert policy != "always" or not lost


def test_a_child_that_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, "--rdb-key-save-delay", "100000") as node:
        client = node.client()
        client("MSET", *(part for at in range(100) for part in (f"k{at}", at)))
        client("BGREWRITEAOF")
        (child,) = children_of(node)
        os.kill(child, signal.SIGKILL)
        node.wait_for("Background AOF rewrite terminated by signal 9")
        client("CONFIG", "SET", "rdb-key-save-delay", 0)
        rewrite(client)
    with running(tmp_path) as node:
        assert node.client()("DBSIZE") == 100


def test_turning_it_off_kills_the_child(tmp_path: Path) -> None:
    with running(tmp_path, "--rdb-key-save-delay", "100000") as node:
        client = node.client()
        client("MSET", *(part for at in range(100) for part in (f"k{at}", at)))
        client("BGREWRITEAOF")
        client("CONFIG", "SET", "appendonly", "no")
        node.wait_for("Killing running AOF rewrite child: ")
        until(lambda: not children_of(node))


def test_a_rewrite_under_writers(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        stop = threading.Event()

        def write(name: str) -> None:
            client = node.client()
            while not stop.is_set():
                for number in range(20):
                    client.send("RPUSH", name, number)
                for _ in range(20):
                    client.read()

        threads = [threading.Thread(target=write, args=(f"l{at}",)) for at in range(4)]
        for thread in threads:
            thread.start()
        client = node.client()
        for _ in range(3):
            rewrite(client)
        stop.set()
        for thread in threads:
            thread.join()
        digest = client("DEBUG", "DIGEST")
    with running(tmp_path) as node:
        assert node.client()("DEBUG", "DIGEST") == digest


# Disks


def test_a_full_disk(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        client = node.client()
        client("SET", "a", "x" * 1000)
        unlimited = resource.RLIM_INFINITY
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (1500, unlimited))
        client("SET", "b", "x" * 1000)
        until(lambda: client("SET", "c", 1).startswith(b"MISCONF Errors writing to the AOF file"))
        node.wait_for("Short write while writing to the AOF file")
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        node.wait_for("AOF write error looks solved, Redis can write again.")
        until(lambda: client("SET", "c", 1) == b"OK")
    with running(tmp_path) as node:
        assert node.client()("STRLEN", "b") == 1000


def test_always_ends_with_a_full_disk(tmp_path: Path) -> None:
    with running(tmp_path, "--appendfsync", "always") as node:
        client = node.client()
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
        client.send("SET", "b", "x" * 1000)
        with pytest.raises(OSError):
            client.read()
        assert node.finish() == 1
        assert "Can't recover from AOF write error" in node.log


def test_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("in the way")
    with running(tmp_path, wait=False) as node:
        assert node.finish() == 1
        assert "Can't open or create append-only dir appendonlydir: Not a directory" in node.log


# Loading


def test_clients_are_told_to_wait(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        client = node.client()
        for number in range(200):
            client("SET", f"k{number}", number)
    options = ("--key-load-delay", "20000")
    with running(tmp_path, *options, wait=False) as node:
        node.wait_for("Server initialized")
        client = node.client()
        until(lambda: client("GET", "k0").startswith(b"LOADING"))
        assert info(client, "loading") == "1"
        assert int(info(client, "loading_total_bytes")) > 0
        client("CONFIG", "SET", "key-load-delay", 0)
        node.wait_for("DB loaded from append only file")
        until(lambda: client("GET", "k199") == b"199")


def test_damage_ends_the_start(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        node.client()("SET", "a", 1)
    with open(tmp_path / "appendonlydir/appendonly.aof.1.incr.aof", "ab") as file:
        file.write(bytes(100))
    with running(tmp_path, wait=False) as node:
        assert node.finish() == 1
        assert "Bad file format reading the append only file" in node.log
        assert "all is well up to offset 50" in node.log
    with running(tmp_path, "--aof-load-corrupt-tail-max-size", "1kb") as node:
        assert node.client()("GET", "a") == b"1"
