"""Both disks, the real one and the simulated one, keep the promises of the port."""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyredis.persistence.disk import WorkingDirectory
from pyredis.ports import Disk
from pyredis.sim.disk import PowerCut, SimDisk
from tests.disks import safe_bytes


@pytest.fixture(params=["real", "simulated"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    if request.param == "simulated":
        return SimDisk()
    monkeypatch.chdir(tmp_path)
    return WorkingDirectory()


def read(disk: Disk, name: str) -> bytes:
    file = disk.open(name)
    assert file.size == disk.size(name)
    data = b"".join(iter(lambda: file.read(3), b""))
    file.close()
    return data


def write(disk: Disk, name: str, data: bytes) -> None:
    output = disk.create(name)
    output.write(data)
    output.sync()
    output.close()


# What both do


def test_create_append_truncate(disk: Disk) -> None:
    output = disk.create("a")
    output.write(b"hello")
    assert output.size == 5
    output.close()
    output = disk.append("a")
    assert output.size == 5
    output.write(b" world")
    output.truncate(7)
    output.write(b"!")
    output.close()
    assert read(disk, "a") == b"hello w!"
    disk.create("a").close()
    assert read(disk, "a") == b""


def test_names(disk: Disk) -> None:
    write(disk, "b", b"")
    write(disk, "a", b"")
    assert disk.names() == ["a", "b"]
    disk.rename("b", "c")
    disk.remove("a")
    assert disk.names() == ["c"]
    assert disk.exists("c")
    assert not disk.exists("a")
    disk.sync_folder()


def test_folders(disk: Disk) -> None:
    inside = disk.sub("inside")
    assert inside.names() == []
    assert not inside.exists("a")
    assert not disk.exists("inside")
    with pytest.raises(FileNotFoundError):
        inside.create("a")
    inside.make()
    inside.make()
    write(inside, "a", b"x")
    write(disk, "b", b"y")
    disk.rename("b", "inside/b")
    inside.rename("b", "c")
    assert inside.names() == ["a", "c"]
    assert disk.names() == ["inside"]
    assert read(inside, "c") == read(disk, "inside/c") == b"y"
    assert inside.folder == f"{disk.folder}/inside"
    inside.sync_folder()
    inside.remove("a")
    assert inside.size("c") == 1


def test_what_is_not_there(disk: Disk) -> None:
    actions: list[Callable[[], object]] = [
        lambda: disk.open("a"),
        lambda: disk.size("a"),
        lambda: disk.remove("a"),
        lambda: disk.rename("a", "b"),
    ]
    for action in actions:
        with pytest.raises(FileNotFoundError):
            action()


def test_a_file_in_the_way_of_a_folder(disk: Disk) -> None:
    write(disk, "inside", b"")
    with pytest.raises(NotADirectoryError):
        disk.sub("inside").make()


def test_a_sync_in_the_background(disk: Disk) -> None:
    output = disk.create("a")
    output.write(b"x")
    output.sync_later()
    if isinstance(disk, SimDisk):
        assert output.syncing
        disk.finish_syncs()
    deadline = time.monotonic() + 10
    while output.syncing:
        assert time.monotonic() < deadline
    assert output.sync_error is None
    output.close()


def test_large_files_are_removed_too(disk: Disk) -> None:
    if isinstance(disk, SimDisk):
        pytest.skip("of no consequence there")
    with open("large", "wb") as file:
        file.truncate(1 << 27)
    disk.remove("large")
    assert not os.path.exists("large")


# The power fails


def after(disk: SimDisk, name: str, cuts: int = 200) -> set[bytes | None]:
    """What power cuts can leave of a file; the disk itself is used up."""
    import copy

    found: set[bytes | None] = set()
    for seed in range(cuts):
        twin = copy.deepcopy(disk)
        twin.power_cut(random.Random(seed))
        found.add(twin.files().get(name))
    return found


def test_what_is_synced_stays() -> None:
    disk = SimDisk()
    output = disk.create("a")
    output.write(b"safe")
    output.sync()
    disk.sync_folder()
    assert after(disk, "a") == {b"safe"}
    output.write(b"xy")
    assert after(disk, "a") >= {b"safe", b"safex", b"safexy", b"safe\0", b"safex\0", b"safe\0\0"}
    assert all(left is not None and left.startswith(b"safe") for left in after(disk, "a"))


def test_names_need_a_sync_of_their_folder() -> None:
    disk = SimDisk()
    write(disk, "a", b"old")
    disk.sync_folder()
    write(disk, "temp", b"new")
    disk.rename("temp", "a")
    assert after(disk, "a") == {b"old", b"new"}
    disk.sync_folder()
    assert after(disk, "a") == {b"new"}


def test_an_emptied_file_may_come_back() -> None:
    disk = SimDisk()
    write(disk, "a", b"old")
    disk.sync_folder()
    output = disk.create("a")
    assert after(disk, "a") == {b"old", b""}
    output.sync()
    assert after(disk, "a") == {b""}


def test_a_sync_in_the_background_makes_safe_what_there_was() -> None:
    disk = SimDisk()
    output = disk.create("a")
    disk.sync_folder()
    output.write(b"1")
    output.sync_later()
    output.write(b"2")
    disk.finish_syncs()
    assert safe_bytes(disk, "a") == b"1"
    output.sync_later()
    output.write(b"3")
    output.sync()
    disk.finish_syncs()  # the older of two is the slower one
    assert safe_bytes(disk, "a") == b"123"


def test_the_dead_do_nothing() -> None:
    disk = SimDisk()
    output = disk.create("a")
    disk.cut_in = 1
    output.write(b"x")
    for _ in range(2):
        with pytest.raises(PowerCut):
            output.write(b"y")
    disk.power_cut(random.Random(1))
    with pytest.raises(PowerCut):
        output.write(b"z")
    disk.create("b").write(b"z")


def test_faults_and_a_full_disk() -> None:
    disk = SimDisk()
    output = disk.create("a")
    disk.room_bytes = 3
    with pytest.raises(OSError, match="No space left"):
        output.write(b"hello")
    assert output.size == 3
    output.truncate(0)
    output.write(b"hel")
    disk.faults["sync"] = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        output.sync()


def test_closing_what_was_read_cannot_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    file = WorkingDirectory().open("a")
    os.close(file._file.fileno())  # so that the system refuses to close it
    file.close()
