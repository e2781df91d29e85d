"""Children of a simulated server: jobs at once, files and pipes later, ends that are no ends."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from pyredis.ports import ChildEnd, Report
from pyredis.sim.children import SimChildren
from pyredis.sim.storage import NodeDisk
from pyredis.sim.world import US_PER_S, World


class Parent:
    """A world with a disk and children."""

    def __init__(self) -> None:
        self.world = World(1)
        self.actions: list[str] = []
        self.disk = NodeDisk(self.actions.append)
        run: Callable[[Callable[[], None]], None] = lambda call: call()  # noqa: E731
        self.children = SimChildren(self.world, self.world.stream("x"), self.disk, 100, run)

    def job(self, process_id: int, report: Report) -> bool:
        """Writes a file as servers do."""
        file = self.disk.create("temp")
        file.write(b"ab")
        file.write(b"cd")
        assert file.size == 4
        file.sync()
        file.close()
        self.disk.rename("temp", "done")
        self.disk.sync_folder()
        report(7)
        return True

    def stream(self, pid: int, report: Report, write: Callable[[bytes], None]) -> bool:
        for _ in range(3):
            write(b"x" * 50_000)
        return True

    def run_s(self, seconds: float) -> None:
        self.world.run(self.world.now_us + round(seconds * US_PER_S))


@pytest.fixture
def parent() -> Parent:
    return Parent()


def test_what_a_job_writes_is_there_at_its_end(parent: Parent) -> None:
    assert parent.children.start("title", parent.job) == 101
    assert parent.disk.files() == {}
    assert parent.children.poll() is None
    parent.run_s(1)
    assert parent.disk.files() == {"done": b"abcd"}
    assert parent.children.poll() == ChildEnd(0)
    assert parent.children.poll() is None
    assert parent.children.report.keys == 7
    parent.disk.power_cut(parent.world.stream("y"))
    assert parent.disk.files() == {"done": b"abcd"}


def test_a_full_disk_makes_the_child_fail(parent: Parent) -> None:
    parent.disk.faults["write"] = errno.ENOSPC
    parent.children.start("title", parent.job)
    parent.run_s(1)
    assert parent.children.poll() == ChildEnd(1)


def test_a_killed_child_does_nothing_more(parent: Parent) -> None:
    for signal, excused in ((9, False), (10, True)):
        parent.children.start("title", parent.job)
        parent.children.end(signal)
        parent.run_s(1)
        assert parent.children.poll() == ChildEnd(0, signal, excused)
        assert parent.disk.files() == {}


def test_when_the_parent_dies_part_of_the_work_is_done() -> None:
    found = set()
    for n in range(30):
        parent = Parent()
        parent.children.start("title", parent.job)
        parent.run_s(n / 100)
        parent.children.abandon()
        parent.run_s(1)
        found.add(tuple(parent.disk.files().items()))
        assert parent.children.poll() in (None, ChildEnd(0))
    assert () in found
    assert (("done", b"abcd"),) in found
    assert len(found) >= 4


def test_a_pipe_gives_its_bytes_little_by_little_and_waits_for_the_reader(parent: Parent) -> None:
    children = parent.children
    told: list[bool] = []
    children.start_stream("title", parent.stream)
    children.watch_stream(lambda: told.append(True))
    assert children.read_stream(10) is None
    parent.run_s(2)
    assert told
    assert children.poll() is None  # it cannot end before all is read
    data = b""
    while (piece := children.read_stream(1 << 20)) is not None:
        assert len(piece) <= 1 << 16
        data += piece
        parent.run_s(0.01)
        if not piece:
            break
    assert data == b"x" * 150_000
    parent.run_s(1)
    assert children.poll() == ChildEnd(0)


def test_a_pipe_ends_when_the_child_does_and_can_be_closed(parent: Parent) -> None:
    children = parent.children
    children.start_stream("title", parent.stream)
    parent.run_s(0.1)
    children.kill()
    got = children.read_stream(1 << 20)
    assert got is not None
    assert len(got) < 150_000
    assert children.read_stream(1 << 20) == b""
    assert children.poll() == ChildEnd(0, 10, excused=True)
    children.start_stream("title", parent.stream)
    children.close_stream()
    assert children.poll() == ChildEnd(1)
    assert children.read_stream(1) == b""
    children.close_stream()


def test_the_owner_of_a_disk_is_told_what_is_done(parent: Parent) -> None:
    parent.disk.append("log").write(b"x")
    parent.disk.remove("log")
    parent.disk.sync_folder()
    assert parent.actions == ["append", "write", "remove", "sync_folder"]
    assert not parent.disk.put_off(lambda: None)
