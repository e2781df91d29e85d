"""The server's folder on a real file system: the process's working directory.

Shell. ``dir`` is applied by changing the working directory, as Redis does, so names stay
relative and a child keeps the folder it was started in.
"""

from __future__ import annotations

import os


class FileOutput:
    """A file being written, unbuffered: it comes in large pieces anyway."""

    def __init__(self, name: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._fd = os.open(name, flags, 0o666)

    def write(self, data: bytes) -> None:
        """Append all of the data. Raises OSError."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._fd, left) :]

    def sync(self) -> None:
        """Return when everything written is on the medium. Raises OSError."""
        os.fsync(self._fd)

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
        """No more is read."""
        self._file.close()


class WorkingDirectory:
    """A ``Disk``. Every method raises OSError."""

    @property
    def folder(self) -> str:
        """The directory that names are relative to."""
        return os.getcwd()

    def create(self, name: str) -> FileOutput:
        """A new file, or an old one emptied."""
        return FileOutput(name)

    def open(self, name: str) -> FileInput:
        """A file to be read."""
        return FileInput(name)

    def rename(self, old: str, new: str) -> None:
        """At one instant in place of what had the name."""
        os.rename(old, new)

    def remove(self, name: str) -> None:
        """Take a file away."""
        os.unlink(name)

    def sync_folder(self) -> None:
        """Have the names themselves written to the medium."""
        fd = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
