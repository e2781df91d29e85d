"""A disk and children that live in the test: made to fail, and looked into afterwards."""

from __future__ import annotations

import errno
import os

from pyredis.ports import ChildEnd, ChildReport, Job


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
    """Children that do their job at once, and have it seen when ``finish`` is called."""

    def __init__(self) -> None:
        self.report = ChildReport()
        self.fork_error = 0
        self.number = 1000
        self.killed = False
        self.ended: ChildEnd | None = None
        self._status = 0

    def start(self, title: str, job: Job) -> int:
        if self.fork_error:
            raise OSError(self.fork_error, os.strerror(self.fork_error))
        self.number += 1
        self.killed = False
        self._status = 0 if job(self.number, self._told) else 1
        return self.number

    def _told(self, keys: int) -> None:
        self.report = ChildReport(keys, 5 << 20, 6 << 20)

    def finish(self, signal: int = 0) -> None:
        """The child has come to its end, or was ended."""
        self.ended = ChildEnd(0, signal) if signal else ChildEnd(self._status)

    def poll(self) -> ChildEnd | None:
        ended, self.ended = self.ended, None
        return ended

    def kill(self) -> None:
        self.killed = True
        self.ended = ChildEnd(0, 10, excused=True)
