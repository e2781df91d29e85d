"""The server's folder on a real file system: the process's working directory.

Shell. ``dir`` is applied by changing the working directory, as Redis does, so names stay
relative and a child keeps the folder it was started in.

A sync in the background is a thread of its own for as long as it takes, a second apart at
most. It holds a duplicate of the descriptor, so the file may be closed meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Final

_LARGE_BYTES: Final = 1 << 26


class FileOutput:
    """A file being written, unbuffered: it comes in large pieces anyway."""

    def __init__(self, name: str, append: bool = False) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND
        self._fd = os.open(name, flags if append else flags | os.O_TRUNC, 0o666)
        self.size = os.fstat(self._fd).st_size
        self.syncing = False
        self.sync_error: OSError | None = None

    def write(self, data: bytes) -> None:
        """Append all of the data. Raises OSError; ``size`` tells how much of it is there."""
        written = os.write(self._fd, data)
        self.size += written
        if written == len(data):
            return
        left = memoryview(data)[written:]
        while left:
            written = os.write(self._fd, left)
            self.size += written
            left = left[written:]

    def sync(self) -> None:
        """Return when everything written is on the medium. Raises OSError."""
        os.fsync(self._fd)

    def sync_later(self) -> None:
        """Have a thread see to it. Raises OSError if there cannot be one."""
        assert not self.syncing
        fd = os.dup(self._fd)
        self.syncing = True
        try:
            threading.Thread(target=self._sync, args=(fd,), name="fsync", daemon=True).start()
        except RuntimeError as error:  # no more threads
            self.syncing = False
            os.close(fd)
            raise OSError(0, str(error)) from error

    def _sync(self, fd: int) -> None:
        try:
            os.fsync(fd)
            self.sync_error = None
        except OSError as error:
            self.sync_error = error
        finally:
            os.close(fd)
            self.syncing = False

    def truncate(self, size: int) -> None:
        """Cut the file to so many bytes. Raises OSError."""
        os.ftruncate(self._fd, size)
        self.size = size

    def close(self) -> None:
        """Raises OSError where the file system tells of failures only now."""
        os.close(self._fd)


class FileInput:
    """A file being read."""

    def __init__(self, name: str) -> None:
        self._file = open(name, "rb", buffering=0)  # noqa: SIM115  closed by ``close``
        self.size = os.fstat(self._file.fileno()).st_size

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end. Raises OSError."""
        return self._file.read(size) or b""

    def close(self) -> None:
        """No more is read. Cannot fail."""
        with contextlib.suppress(OSError):
            self._file.close()


class WorkingDirectory:
    """A ``Disk``: the working directory, or a folder in it. Every method raises OSError."""

    def __init__(self, inside: str = "") -> None:
        self._inside = inside

    def _path(self, name: str) -> str:
        return f"{self._inside}/{name}" if self._inside else name

    @property
    def folder(self) -> str:
        """The directory that names are relative to."""
        return os.path.join(os.getcwd(), self._inside) if self._inside else os.getcwd()

    def sub(self, name: str) -> WorkingDirectory:
        """A folder inside."""
        return WorkingDirectory(self._path(name))

    def make(self) -> None:
        """Have the folder be there."""
        if self._inside and not os.path.isdir(self._inside):
            try:
                os.mkdir(self._inside, 0o755)
            except FileExistsError as error:
                raise NotADirectoryError(20, os.strerror(20)) from error

    def names(self) -> list[str]:
        """The names of all files and folders in it."""
        try:
            return sorted(os.listdir(self._inside or "."))
        except FileNotFoundError:
            return []

    def exists(self, name: str) -> bool:
        """Whether there is a file or a folder of that name."""
        return os.path.exists(self._path(name))

    def size(self, name: str) -> int:
        """How many bytes a file has."""
        return os.stat(self._path(name)).st_size

    def create(self, name: str) -> FileOutput:
        """A new file, or an old one emptied."""
        return FileOutput(self._path(name))

    def append(self, name: str) -> FileOutput:
        """A file to be written at its end."""
        return FileOutput(self._path(name), append=True)

    def open(self, name: str) -> FileInput:
        """A file to be read."""
        return FileInput(self._path(name))

    def rename(self, old: str, new: str) -> None:
        """At one instant in place of what had the name."""
        os.rename(self._path(old), self._path(new))

    def remove(self, name: str) -> None:
        """Take a file away. Freeing a large one takes time, so a thread closes it last."""
        path = self._path(name)
        if os.stat(path).st_size < _LARGE_BYTES:
            os.unlink(path)
            return
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.unlink(path)
        except OSError:
            os.close(fd)
            raise
        try:
            threading.Thread(target=os.close, args=(fd,), name="close", daemon=True).start()
        except RuntimeError:  # no more threads
            os.close(fd)

    def sync_folder(self) -> None:
        """Have the names themselves written to the medium."""
        fd = os.open(self._inside or ".", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
