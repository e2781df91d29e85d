"""A disk and children that live in the test: made to fail, and looked into afterwards."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from pyredis.ports import ChildEnd, ChildReport, Job, StreamJob
from pyredis.sim.disk import SimDisk


def safe_bytes(disk: SimDisk, name: str) -> bytes:
    """What of a file is on the medium for certain."""
    return disk._find(name).safe


class MemoryFile:
    """An output that remembers how much of it is safe."""

    def __init__(self, disk: MemoryDisk, name: str) -> None:
        self.disk = disk
        self.name = name
        disk.files[name] = b""
        self.synced_bytes = 0

    def write(self, data: bytes) -> None:
        self.disk.may("write")
        self.disk.files[self.name] += data

    def sync(self) -> None:
        self.disk.may("sync")
        self.synced_bytes = len(self.disk.files[self.name])
        self.disk.done.append(f"sync {self.name}")

    def close(self) -> None:
        self.disk.may("close")
        assert self.synced_bytes == len(self.disk.files[self.name]) or self.disk.failures


class MemoryInput:
    """An input."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.closed = False

    def read(self, size: int) -> bytes:
        part, self.data = self.data[:size], self.data[size:]
        return part

    def close(self) -> None:
        self.closed = True


class MemoryDisk:
    """A folder of files. ``failures`` says what fails, and how; ``done`` what has been done."""

    folder = "/data"

    def __init__(self, **files: bytes) -> None:
        self.files: dict[str, bytes] = {name.replace("_", "."): files[name] for name in files}
        self.failures: dict[str, int] = {}
        self.done: list[str] = []

    def may(self, action: str) -> None:
        if action in self.failures:
            code = self.failures[action]
            raise OSError(code, os.strerror(code))

    def create(self, name: str) -> MemoryFile:
        self.may("create")
        return MemoryFile(self, name)

    def open(self, name: str) -> MemoryInput:
        self.may("open")
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return MemoryInput(self.files[name])

    def rename(self, old: str, new: str) -> None:
        self.may("rename")
        self.files[new] = self.files.pop(old)
        self.done.append(f"rename {old} {new}")

    def remove(self, name: str) -> None:
        if self.files.pop(name, None) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def sync_folder(self) -> None:
        self.may("sync_folder")
        self.done.append("sync folder")


class InlineChildren:
    """Children that do their job at once, and have it seen when ``finish`` is called.

    With ``auto`` that is done by itself. Of a stream only ``room`` bytes more can be read, if
    that is set; whoever raises it has to ask ``wants_to_read``.
    """

    def __init__(self, auto: bool = False) -> None:
        self.report = ChildReport()
        self.fork_error = 0
        self.number = 1000
        self.killed = False
        self.auto = auto
        self.ended: ChildEnd | None = None
        self.jobs: list[str] = []  # the titles of all so far
        self.at_work = False
        self.room: int | None = None
        self.on_readable: Callable[[], None] | None = None
        self._status = 0
        self._stream: bytes | None = None

    def start(self, title: str, job: Job) -> int:
        self._begin(title)
        self._status = 0 if job(self.number, self._told) else 1
        return self.number

    def start_stream(self, title: str, job: StreamJob) -> int:
        self._begin(title)
        pieces: list[bytes] = []
        self._status = 0 if job(self.number, self._told, pieces.append) else 1
        self._stream = b"".join(pieces)
        return self.number

    def _begin(self, title: str) -> None:
        if self.fork_error:
            raise OSError(self.fork_error, os.strerror(self.fork_error))
        self.jobs.append(title)
        self.number += 1
        self.killed = False
        self.at_work = True

    def _told(self, keys: int) -> None:
        self.report = ChildReport(keys, 5 << 20, 6 << 20)

    def finish(self, signal: int = 0) -> None:
        """The child has come to its end, or was ended."""
        self.at_work = False
        self.ended = ChildEnd(0, signal) if signal else ChildEnd(self._status)
        if signal and self._stream is not None:
            self._stream = self._stream[: self.room]
            self.room = None

    def poll(self) -> ChildEnd | None:
        if self.auto and self.at_work and not self._stream:
            self.finish()
        ended, self.ended = self.ended, None
        return ended

    def kill(self) -> None:
        self.killed = True
        if self.at_work:
            self.at_work = False
            self.ended = ChildEnd(0, 10, excused=True)
            self._stream = None if self._stream is None else b""

    # The stream

    def read_stream(self, size: int) -> bytes | None:
        if self._stream is None:
            return b""
        size = size if self.room is None else min(size, self.room)
        data, self._stream = self._stream[:size], self._stream[size:]
        if self.room is not None:
            self.room -= len(data)
        return data if data or not self._stream else None

    def watch_stream(self, on_readable: Callable[[], None] | None) -> None:
        self.on_readable = on_readable

    def close_stream(self) -> None:
        self.on_readable = None
        self._stream = None

    @property
    def wants_to_read(self) -> Callable[[], None] | None:
        """What is to be called now, as a batch of its own."""
        at_end = not self._stream
        return self.on_readable if at_end or self.room is None or self.room > 0 else None
