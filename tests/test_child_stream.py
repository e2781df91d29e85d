"""Bytes from a child through a pipe: all of them, no more than fit, and no child left over."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from pyredis.persistence.snapshot import ForkedChildren
from pyredis.ports import ChildEnd, Report, StreamJob, Write
from tests.support import ROOT

PIPE_BYTES = 1 << 20


class Loop:
    """Stands in for the event loop: remembers what is watched, and waits for it."""

    def __init__(self) -> None:
        self.watched: dict[int, Callable[[], None]] = {}

    def watch(self, fd: int, on_readable: Callable[[], None] | None) -> None:
        if on_readable is None:
            del self.watched[fd]
        else:
            self.watched[fd] = on_readable

    def turn(self) -> None:
        ready, _, _ = select.select(list(self.watched), [], [], 10)
        assert ready
        for fd in ready:
            self.watched[fd]()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def children(loop: Loop) -> Iterator[ForkedChildren]:
    children = ForkedChildren(lambda level, text: None, watch=loop.watch)
    yield children
    children.close_stream()


def end_of(children: ForkedChildren) -> ChildEnd:
    deadline = time.monotonic() + 10
    while (end := children.poll()) is None:
        assert time.monotonic() < deadline
        select.select([], [], [], 0.005)
    return end


def job_of(*pieces: bytes, well: bool = True) -> StreamJob:
    def job(process_id: int, report: Report, write: Write) -> bool:
        for piece in pieces:
            write(piece)
            report(1)
        return well

    return job


def test_all_bytes_come_and_then_the_end(children: ForkedChildren, loop: Loop) -> None:
    found: list[bytes] = []

    def on_readable() -> None:
        while (data := children.read_stream(1 << 16)) is not None:
            found.append(data)
            if not data:
                children.watch_stream(None)
                return

    data = os.urandom(3 * PIPE_BYTES)  # several times what a pipe holds
    assert children.start_stream("redis-rdb-to-slaves", job_of(b"head", data, b"tail")) > 0
    children.watch_stream(on_readable)
    while loop.watched:
        loop.turn()
    assert b"".join(found) == b"head" + data + b"tail"
    assert end_of(children).well
    assert children.report.keys == 1
    assert children.read_stream(10) == b""  # the end is told again


def test_what_was_written_is_there_after_the_childs_end(children: ForkedChildren) -> None:
    children.start_stream("redis-rdb-to-slaves", job_of(b"x" * 100, well=False))
    assert not end_of(children).well
    assert children.read_stream(60) == b"x" * 60
    assert children.read_stream(60) == b"x" * 40
    assert children.read_stream(60) == b""
    children.close_stream()
    children.close_stream()
    assert children.read_stream(60) == b""


def test_a_child_waits_until_there_is_room(children: ForkedChildren, loop: Loop) -> None:
    children.start_stream("redis-rdb-to-slaves", job_of(*[b"x" * PIPE_BYTES] * 3))
    children.watch_stream(lambda: None)
    loop.turn()
    assert children.poll() is None
    received = 0
    while (data := children.read_stream(1 << 20)) != b"":
        received += len(data or b"")
    assert received == 3 * PIPE_BYTES
    assert end_of(children).well


def test_a_child_that_nobody_reads_ends(children: ForkedChildren) -> None:
    children.start_stream("redis-rdb-to-slaves", job_of(*[b"x" * PIPE_BYTES] * 3))
    children.close_stream()
    end = end_of(children)
    assert not end.well
    assert not end.signal


def test_a_child_that_waits_for_room_can_be_killed(children: ForkedChildren) -> None:
    children.start_stream("redis-rdb-to-slaves", job_of(*[b"x" * PIPE_BYTES] * 3))
    children.kill()
    end = end_of(children)
    assert (end.signal, end.excused) == (signal.SIGUSR1, True)


def test_watching_begins_and_ends_once(children: ForkedChildren) -> None:
    calls: list[tuple[int, bool]] = []
    children._watch = lambda fd, on_readable: calls.append((fd, on_readable is not None))
    children.watch_stream(print)  # there is no stream yet
    children.start_stream("redis-rdb-to-slaves", job_of(b"x"))
    for on_readable in (None, print, print, None, None, print):
        children.watch_stream(on_readable)
    children.close_stream()
    assert [begun for _, begun in calls] == [True, False, True, False]
    end_of(children)


def test_a_second_stream_closes_the_first(children: ForkedChildren) -> None:
    children.start_stream("redis-rdb-to-slaves", job_of(b"old"))
    end_of(children)
    children.start_stream("redis-rdb-to-slaves", job_of(b"new"))
    end_of(children)
    assert children.read_stream(10) == b"new"


def test_a_fork_that_fails_leaves_no_pipe_open(
    children: ForkedChildren, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork() -> int:
        raise OSError(11, "no more")

    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(OSError, match="no more"):
        children.start_stream("redis-rdb-to-slaves", job_of(b"x"))
    assert children.read_stream(1) == b""
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


_SERVER = """
import os, select, sys
from pyredis.persistence.snapshot import ForkedChildren

def job(process_id, report, write):
    while True:
        write(b"x" * (1 << 20))

children = ForkedChildren(lambda level, text: None)
print(children.start_stream("redis-rdb-to-slaves", job), flush=True)
select.select([], [], [])
"""


def test_the_child_ends_when_the_server_is_killed() -> None:
    server = subprocess.Popen([sys.executable, "-c", _SERVER], cwd=ROOT, stdout=subprocess.PIPE)
    assert server.stdout is not None
    child = int(server.stdout.readline())
    server.kill()
    server.wait()
    server.stdout.read()  # ends when the child, which has the same output, does
    server.stdout.close()
    deadline = time.monotonic() + 10
    while not _gone(child):
        assert time.monotonic() < deadline


def _gone(process_id: int) -> bool:
    """Whether it runs no more; whoever adopted it may not have waited for it yet."""
    try:
        with open(f"/proc/{process_id}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True
