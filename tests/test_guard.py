"""The start-up guard: who may be synchronised by a primary that started empty."""

from __future__ import annotations

import errno

from pyredis.config import Config
from pyredis.replication.guard import MARKER, REFUSAL, StartupGuard
from tests.disks import MemoryDisk


class Primary:
    """A guard and the little it sees of its node."""

    def __init__(self, disk: MemoryDisk, keys: int = 0, **settings: str) -> None:
        self.config = Config()
        self.config.set([(name.replace("_", "-"), value) for name, value in settings.items()])
        self.keys = keys
        self.changes = 0
        self.lines: list[str] = []
        self.guard = StartupGuard(
            self.config,
            lambda level, text: self.lines.append(text),
            lambda: self.keys > 0,
            lambda: self.changes,
        )
        self.guard.started(disk)

    def log(self) -> str:
        text = "\n".join(self.lines)
        self.lines.clear()
        return text


def test_replicas_with_data_are_refused_until_something_is_written() -> None:
    node = Primary(MemoryDisk(), startup_guard="yes")
    assert node.guard.may_full_sync() == REFUSAL
    assert "Full sync refused" in node.log()
    assert node.guard.may_full_sync() == REFUSAL
    assert not node.log(), "said once"
    node.changes = 1
    assert node.guard.may_full_sync() is None
    node.changes = 0
    assert node.guard.may_full_sync() is None, "for good"


def test_it_can_be_ended_by_hand() -> None:
    node = Primary(MemoryDisk(), startup_guard="yes")
    assert node.guard.may_full_sync() == REFUSAL
    node.log()
    node.config.set([("startup-guard", "no")])
    assert node.guard.may_full_sync() is None
    assert "its data will be gone" in node.log()


def test_a_node_with_data_guards_nothing() -> None:
    node = Primary(MemoryDisk(), keys=3, startup_guard="yes")
    assert node.guard.may_full_sync() is None
    node.keys = 0
    assert node.guard.may_full_sync() is None
    assert not node.log()


def test_data_that_came_by_a_sync_end_it() -> None:
    node = Primary(MemoryDisk(), startup_guard="yes")
    node.keys = 5
    assert node.guard.may_full_sync() is None


def test_new_replicas_are_let_through_unless_there_were_some_before() -> None:
    disk = MemoryDisk()
    first = Primary(disk, startup_guard="yes", save="")
    assert first.guard.may_full_sync(has_history=False) is None
    first.guard.note_replica()
    assert "persistence is off" in first.log()
    assert MARKER in disk.files
    again = Primary(disk, startup_guard="yes")
    assert "starts empty, and it had replicas. They keep their data" in again.log()
    assert again.guard.may_full_sync(has_history=False) == REFUSAL


def test_without_the_guard_there_are_only_warnings() -> None:
    disk = MemoryDisk()
    node = Primary(disk, save="", appendonly="no")
    assert node.guard.may_full_sync() is None
    assert "its data will be gone" in node.log()
    node.guard.note_replica()
    assert "persistence is off" in node.log()
    node.guard.note_replica()
    assert not node.log()
    assert not disk.files, "no marker"
    node.config.set([("startup-guard", "yes")])
    assert MARKER in disk.files
    unguarded = Primary(disk)
    assert "They lose their data as soon as" in unguarded.log()


def test_persistence_is_warned_of_only_when_off() -> None:
    node = Primary(MemoryDisk())
    node.guard.note_replica()
    assert not node.log()


def test_a_marker_that_cannot_be_written() -> None:
    disk = MemoryDisk()
    disk.failures["create"] = errno.EACCES
    node = Primary(disk, startup_guard="yes")
    node.guard.note_replica()
    assert "cannot write replicas-known to /data: Permission denied" in node.log()
    without = StartupGuard(node.config, print, lambda: False, lambda: 0)
    without.started(None)
    without.note_replica()
    assert without.may_full_sync() == REFUSAL
