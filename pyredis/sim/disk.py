"""A disk in memory that forgets what a real one may forget when the power fails.

What the model promises, and no more:

* The bytes of a file are safe up to its last sync. Of what was written since, a power cut
  leaves any beginning; behind that nothing, or zeros up to the length the file had (a file
  system may have recorded the length before the data).
* A file that was cut or emptied and not synced since may have either content.
* Names (files made, renamed, removed) change in the order of a journal. Syncing a folder makes
  durable what was done in it and everything before; of the rest a power cut leaves any
  beginning. A removed file's bytes come back with its name.

``power_cut`` makes the choice with the random source given, so a seed tells all. To have it in
the middle of something, set ``cut_in``: after so many further changes the next one raises
``PowerCut``, which no ordinary handler catches, and then the machine is dead until
``power_cut``. ``faults`` makes actions fail with an errno, ``room_bytes`` is how much more can
be written: a write beyond it is short, as on a full disk.

``sync_later`` goes on until somebody calls ``finish_syncs``: how long a sync takes is for the
simulation to say.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyredis.ports import Rng


class PowerCut(BaseException):
    """The machine is without power. Not an ``Exception``: nobody is left to handle it."""


class _File:
    """The bytes of a file: as programs see them, and as they are on the medium."""

    __slots__ = ("data", "safe", "stale")

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.safe = data
        self.stale = False  # cut since the last sync: ``safe`` is no beginning of ``data``

    def sync(self) -> None:
        """Make all bytes safe."""
        self.synced(bytes(self.data))

    def synced(self, data: bytes) -> None:
        """A sync has come to its end that began when the file held this."""
        if not self.stale and len(data) < len(self.safe):
            return  # another one, which began later, was faster
        self.safe = data
        self.stale = not self.data.startswith(data)

    def after_power_cut(self, rng: Rng) -> bytes:
        """What is left."""
        data, safe = bytes(self.data), self.safe
        if self.stale:
            if rng.random() < 0.5:
                return safe
            safe = b""
        if len(data) <= len(safe):
            return safe
        kept = rng.randint(len(safe), len(data))
        zeros = rng.randint(0, len(data) - kept) if rng.random() < 0.3 else 0
        return data[:kept] + bytes(zeros)


_Names = dict[str, _File]


class SimOutput:
    """A file being written."""

    def __init__(self, disk: SimDisk, file: _File) -> None:
        self._disk = disk
        self._file = file
        self._life = disk.lives
        self.syncing = False
        self.sync_error: OSError | None = None

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self._file.data)

    def _act(self, action: str) -> None:
        if self._life != self._disk.lives:
            raise PowerCut
        self._disk.act(action)

    def write(self, data: bytes) -> None:
        """Append all of it; as much as there is room for, if that is less."""
        self._act("write")
        room = self._disk.room_bytes
        if room is None or room >= len(data):
            self._file.data += data
            if room is not None:
                self._disk.room_bytes = room - len(data)
            return
        self._file.data += data[:room]
        self._disk.room_bytes = 0
        raise _failure(errno.ENOSPC)

    def sync(self) -> None:
        """Make all of it safe."""
        self._act("sync")
        self._file.sync()

    def sync_later(self) -> None:
        """Make what there is now safe when ``finish_syncs`` is called."""
        assert not self.syncing
        self.syncing = True
        data = bytes(self._file.data)

        def finish() -> None:
            self.syncing = False
            try:
                self._act("sync")
            except OSError as error:
                self.sync_error = error
            else:
                self.sync_error = None
                self._file.synced(data)

        self._disk.pending.append(finish)

    def truncate(self, size: int) -> None:
        """Cut it to so many bytes."""
        self._act("truncate")
        file = self._file
        if self._disk.room_bytes is not None:
            self._disk.room_bytes += len(file.data) - size
        del file.data[size:]
        file.stale = file.stale or size < len(file.safe)

    def close(self) -> None:
        """Nothing is written to it any more."""
        self._act("close")


class SimInput:
    """A file being read."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data
        self._at = 0

    def read(self, size: int) -> bytes:
        """The next bytes."""
        data = self._data[self._at : self._at + size]
        self._at += len(data)
        return data

    def close(self) -> None:
        """Nothing is read from it any more."""


class SimDisk:
    """A ``Disk``. Names of files in folders are kept with the slash."""

    def __init__(self, folder: str = "/data") -> None:
        self.folder = folder
        self.lives = 0  # power cuts so far
        self.faults: dict[str, int] = {}
        self.room_bytes: int | None = None
        self.cut_in: int | None = None
        self.actions = 0  # that changed something
        self.pending: list[Callable[[], None]] = []
        self._dead = False
        self._names: _Names = {}
        self._safe_names: _Names = {}
        self._folders: set[str] = set()
        self._safe_folders: set[str] = set()
        self._journal: list[tuple[tuple[str, ...], Callable[[_Names, set[str]], None]]] = []

    # Faults

    def act(self, action: str) -> None:
        """Something is about to change. Raises OSError or PowerCut."""
        if self._dead:
            raise PowerCut
        if self.cut_in is not None:
            if self.cut_in <= 0:
                self._dead = True
                raise PowerCut
            self.cut_in -= 1
        self.actions += 1
        if action in self.faults:
            raise _failure(self.faults[action])

    def power_cut(self, rng: Rng) -> None:
        """Lose what is not safe; programs that had files open are dead. The machine is up again."""
        kept = rng.randint(0, len(self._journal))
        for _, change in self._journal[:kept]:
            change(self._safe_names, self._safe_folders)
        self._journal.clear()
        lost: dict[int, _File] = {}
        for name, file in self._safe_names.items():
            if id(file) not in lost:
                lost[id(file)] = _File(file.after_power_cut(rng))
            self._safe_names[name] = lost[id(file)]
        self._names = dict(self._safe_names)
        self._folders = set(self._safe_folders)
        self.pending.clear()
        self.lives += 1
        self.cut_in = None
        self._dead = False

    def kill(self) -> None:
        """The programs are dead, the machine is not (``PowerCut`` was theirs): all stays."""
        self.pending.clear()
        self.lives += 1
        self.cut_in = None
        self._dead = False

    def finish_syncs(self) -> None:
        """All syncs begun by ``sync_later`` come to their ends."""
        pending, self.pending = self.pending, []
        for finish in pending:
            finish()

    def files(self) -> dict[str, bytes]:
        """What programs would find now."""
        return {name: bytes(file.data) for name, file in self._names.items()}

    # The port

    def sub(self, name: str) -> SimFolder:
        """A folder inside."""
        return SimFolder(self, name)

    def make(self) -> None:
        """This folder is always there."""

    def make_folder(self, name: str) -> None:
        """Have a folder be there."""
        if name in self._names:
            raise _failure(errno.ENOTDIR)
        if name not in self._folders:
            self.act("make")
            self._change(("",), lambda names, folders: folders.add(name))

    def names(self, inside: str = "") -> list[str]:
        """What is in the folder, or in one of its folders."""
        if inside:
            prefix = f"{inside}/"
            return sorted(n.removeprefix(prefix) for n in self._names if n.startswith(prefix))
        return sorted([*(name for name in self._names if "/" not in name), *self._folders])

    def exists(self, name: str) -> bool:
        """Whether there is a file or a folder of that name."""
        return name in self._names or name in self._folders

    def size(self, name: str) -> int:
        """How many bytes a file has."""
        return len(self._find(name).data)

    def create(self, name: str) -> SimOutput:
        """A new file, or an old one emptied."""
        self._inside_of(name)
        self.act("create")
        file = self._names.get(name)
        if file is None:
            file = self._new(name)
        else:
            file.data.clear()
            file.stale = bool(file.safe)
        return SimOutput(self, file)

    def append(self, name: str) -> SimOutput:
        """A file to be written at its end."""
        self._inside_of(name)
        self.act("append")
        return SimOutput(self, self._names.get(name) or self._new(name))

    def open(self, name: str) -> SimInput:
        """A file to be read."""
        if self._dead:
            raise PowerCut
        if "open" in self.faults:
            raise _failure(self.faults["open"])
        return SimInput(bytes(self._find(name).data))

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        self._find(old)
        self._inside_of(new)
        self.act("rename")

        def change(names: _Names, folders: set[str]) -> None:
            names[new] = names.pop(old)

        self._change((_parent(old), _parent(new)), change)

    def remove(self, name: str) -> None:
        """Take a file away."""
        self._find(name)
        self.act("remove")

        def change(names: _Names, folders: set[str]) -> None:
            del names[name]

        self._change((_parent(name),), change)

    def sync_folder(self, name: str = "") -> None:
        """Make the changes of names in it durable, and all that came before them."""
        self.act("sync_folder")
        last = max((at for at, (where, _) in enumerate(self._journal) if name in where), default=-1)
        for _, change in self._journal[: last + 1]:
            change(self._safe_names, self._safe_folders)
        del self._journal[: last + 1]

    def _change(self, where: tuple[str, ...], change: Callable[[_Names, set[str]], None]) -> None:
        change(self._names, self._folders)
        self._journal.append((where, change))

    def _new(self, name: str) -> _File:
        file = _File()

        def change(names: _Names, folders: set[str]) -> None:
            names[name] = file

        self._change((_parent(name),), change)
        return file

    def _find(self, name: str) -> _File:
        if name not in self._names:
            raise _failure(errno.ENOENT)
        return self._names[name]

    def _inside_of(self, name: str) -> None:
        parent = _parent(name)
        if parent and parent not in self._folders:
            raise _failure(errno.ENOENT)


class SimFolder:
    """A ``Disk``: a folder of another."""

    def __init__(self, disk: SimDisk, name: str) -> None:
        self._disk = disk
        self._name = name

    @property
    def folder(self) -> str:
        """Where it is."""
        return f"{self._disk.folder}/{self._name}"

    def _path(self, name: str) -> str:
        return f"{self._name}/{name}"

    def sub(self, name: str) -> SimFolder:
        """There is but one level of folders."""
        raise _failure(errno.EINVAL)

    def make(self) -> None:
        """Have it be there."""
        self._disk.make_folder(self._name)

    def names(self) -> list[str]:
        """What is in it."""
        return self._disk.names(self._name)

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return self._disk.exists(self._path(name))

    def size(self, name: str) -> int:
        """How many bytes a file has."""
        return self._disk.size(self._path(name))

    def create(self, name: str) -> SimOutput:
        """A new file, or an old one emptied."""
        return self._disk.create(self._path(name))

    def append(self, name: str) -> SimOutput:
        """A file to be written at its end."""
        return self._disk.append(self._path(name))

    def open(self, name: str) -> SimInput:
        """A file to be read."""
        return self._disk.open(self._path(name))

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        self._disk.rename(self._path(old), self._path(new))

    def remove(self, name: str) -> None:
        """Take a file away."""
        self._disk.remove(self._path(name))

    def sync_folder(self) -> None:
        """Make the changes of names in it durable."""
        self._disk.sync_folder(self._name)


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _failure(code: int) -> OSError:
    return OSError(code, os.strerror(code))
