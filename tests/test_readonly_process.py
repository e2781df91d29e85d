"""A data folder that becomes read-only under a running server, told to Redis and to ours alike.

Permissions do not stop root. So the servers live in a mount namespace of their own, where the
folder is mounted upon itself and can be made read-only for whoever it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import info, real, running, until
from tests.support import ROOT, WireClient

SAVING = ("--save", "3600 1")
MISCONF = b"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist"


class Mount:
    """A folder mounted upon itself, as a process in its own namespace sees it."""

    def __init__(self, folder: Path, holder: int) -> None:
        self.folder = folder
        self.within = (
            *("nsenter", "--preserve-credentials", "--user", "--mount", "--target", str(holder)),
            f"--wd={ROOT}",
        )

    def run(self, *command: str) -> bool:
        ended = subprocess.run([*self.within, *command], capture_output=True, check=False)
        return ended.returncode == 0

    def set_writable(self, writable: bool) -> None:
        mode = "rw" if writable else "ro"
        assert self.run("mount", "-o", f"remount,{mode},bind", str(self.folder))


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    if not all(map(shutil.which, ("unshare", "nsenter", "mount"))):
        pytest.skip("there are no tools for namespaces here")
    holder = subprocess.Popen(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", "echo there; exec sleep 300"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert holder.stdout is not None
        made = Mount(tmp_path, holder.pid)
        if not holder.stdout.readline() or not made.run(
            "mount", "--bind", str(tmp_path), str(tmp_path)
        ):
            pytest.skip("no mount namespace can be had here")
        yield made
    finally:
        holder.kill()
        holder.communicate()


def test_writes_are_refused_and_nothing_is_lost(mount: Mount) -> None:
    logs: list[str] = []
    stories: list[list[Any]] = []
    for start in (real, running):
        with start(mount.folder, *SAVING, within=mount.within) as server:
            stories.append(list(story(mount, server.client())))
            if start is running:
                server.process.kill()
                logs = server.process.communicate()[0].decode().split("\n")
        assert os.listdir(mount.folder) == ["dump.rdb"]
    assert stories[1] == stories[0]
    for text in (
        "Failed opening the temp RDB file temp-",
        "Background saving error",
        "Can't open or create append-only dir appendonlydir: Read-only file system",
        "Error trying to save the DB, can't exit.",
        "Background saving terminated with success",
    ):
        assert any(text in line for line in logs), text


def story(mount: Mount, client: WireClient) -> Iterator[Any]:
    """What both servers reply."""
    yield client("SET", "a", 1)
    yield client("SAVE")
    mount.set_writable(False)
    yield client("SAVE")
    yield client("SET", "b", 1)  # that alone does not stop writes
    yield client("BGSAVE")
    until(lambda: info(client, "rdb_bgsave_in_progress") == "0")
    yield info(client, "rdb_last_bgsave_status")
    refused = client("SET", "c", 1)
    assert refused.startswith(MISCONF)
    yield refused
    for command in (
        ("PING",),
        ("GET", "b"),
        ("EVAL", "return redis.call('SET', KEYS[1], 1)", 1, "c"),
        ("CONFIG", "SET", "appendonly", "yes"),
        ("CONFIG", "GET", "appendonly"),
        ("BGREWRITEAOF",),
        ("SHUTDOWN", "SAVE"),
        ("CONFIG", "SET", "stop-writes-on-bgsave-error", "no"),
        ("SET", "d", 1),
        ("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes"),
        ("SET", "e", 1),
    ):
        yield client(*command)
    yield info(client, "aof_last_bgrewrite_status")
    mount.set_writable(True)
    yield client("BGSAVE")
    until(lambda: info(client, "rdb_bgsave_in_progress") == "0")
    yield client("SET", "e", 1)
    yield sorted(client("KEYS", "*"))


def test_a_log_cannot_begin(mount: Mount) -> None:
    mount.set_writable(False)
    with running(mount.folder, "--appendonly", "yes", wait=False, within=mount.within) as node:
        assert node.finish() == 1
    assert "Can't open or create append-only dir appendonlydir: Read-only file system" in node.log


def test_data_are_served_from_it(mount: Mount) -> None:
    with running(mount.folder) as node:
        client = node.client()
        client("SET", "a", 1)
        client("SAVE")
    mount.set_writable(False)
    with running(mount.folder, within=mount.within) as node:
        assert node.client()("GET", "a") == b"1"
