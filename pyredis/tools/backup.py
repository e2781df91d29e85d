"""Backups: a folder for each, with the data of a node at one instant and a list of what is in it.

    2026-11-22T101500Z/
        backup.json                  what, when, from where; size and SHA-256 of each file
        dump.rdb                     the snapshot
        appendonlydir/...            the append-only file, if the node keeps one

*How the snapshot is made.* BGSAVE, then the node's file is copied. A node replaces that file by
renaming, so an open file is one whole snapshot whatever the node does meanwhile. If the node's
folder cannot be reached from here, the node sends the snapshot as it would to a replica.

*How the append-only file is copied.* Rewrites are switched off (auto-aof-rewrite-percentage 0),
one that runs is waited for, then all files of the manifest are opened, and the setting is put
back. Open files stay readable even if a rewrite deletes their names. Only the last one still
grows: it is copied up to its size at that moment, less a command that is cut there.

A backup is made under a temporary name, examined as check-rdb and check-aof do, and renamed when
all is well: what has a proper name is whole. Old backups are removed after that, never before.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Final, NamedTuple

from pyredis.persistence.manifest import SUFFIX, Manifest, ManifestError, Part, decode
from pyredis.tools.check_aof import AOF_FOLDER, Failed, Wish, check, good_size
from pyredis.tools.check_rdb import RdbCheck
from pyredis.tools.client import Client, Refused
from pyredis.tools.console import CHUNK_BYTES, ToolError, chunks, reason

LISTING: Final = "backup.json"
RDB: Final = "dump.rdb"
AOF_NAME: Final = "appendonly.aof"
FORMAT: Final = 1
_TEMPORARY: Final = ".unfinished-"
_POLL_S: Final = 0.1
_DIRECTIVE: Final = "auto-aof-rewrite-percentage"

Say = Callable[[str], None]


class File(NamedTuple):
    """A file of a backup."""

    name: str
    size: int
    sha256: str


class Backup(NamedTuple):
    """A whole backup."""

    path: str
    listing: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return os.path.basename(self.path)

    @property
    def files(self) -> list[File]:
        """What it is made of."""
        return [File(**each) for each in self.listing["files"]]

    def name_at_node(self, name: str) -> str:
        """How the node calls a file of the backup: its configuration may differ from ours."""
        names = self.listing["names"]
        folder, _, base = name.rpartition("/")
        if not folder:
            return str(names.get(name, name))
        if base == AOF_NAME + SUFFIX:
            base = names[AOF_NAME] + SUFFIX
        return f"{names[folder]}/{base}"

    @property
    def has_aof(self) -> bool:
        """Whether it holds an append-only file."""
        return any(file.name.startswith(AOF_FOLDER + "/") for file in self.files)


# Finding


def backups(folder: str) -> list[Backup]:
    """All whole backups in a folder, the oldest first. Raises ToolError."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise ToolError(f"{folder}: {reason(error)}") from error
    found = []
    for name in names:
        path = os.path.join(folder, name)
        if not name.startswith(".") and os.path.exists(os.path.join(path, LISTING)):
            found.append(open_backup(path))
    return found


def open_backup(path: str) -> Backup:
    """The backup in this folder. Raises ToolError if there is none."""
    try:
        with open(os.path.join(path, LISTING), encoding="utf-8") as file:
            listing = json.load(file)
        backup = Backup(os.path.abspath(path), listing)
        if listing["format"] != FORMAT or not backup.files or not listing["names"]:
            raise ToolError(f"{path}: a backup of another format")
    except OSError as error:
        raise ToolError(f"{path} is no backup: {reason(error)}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ToolError(f"{path}: {LISTING} is damaged: {error}") from error
    return backup


# Creating


class Maker:
    """Makes one backup of the node behind a connection."""

    def __init__(
        self, client: Client, folder: str, data_folder: str, timeout_s: float, say: Say
    ) -> None:
        """``data_folder`` is where the node's folder is seen from here, "" to ask the node."""
        self._client = client
        self._folder = folder
        self._data_folder = data_folder
        self._timeout_s = timeout_s
        self._say = say
        self._names = {RDB: RDB, AOF_FOLDER: AOF_FOLDER, AOF_NAME: AOF_NAME}

    def make(self, over_wire: bool) -> Backup:
        """Make it. Raises ToolError; then nothing is left behind."""
        server = self._client.info("server")
        name = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
        path = _free(os.path.join(self._folder, name))
        temporary = os.path.join(self._folder, _TEMPORARY + os.path.basename(path))
        try:
            os.makedirs(temporary)
            if over_wire:
                files = [self._dump(temporary)]
            else:
                files = [self._snapshot(temporary), *self._append_only(temporary)]
            listing = {
                "format": FORMAT,
                "created_s": int(time.time()),
                "node": {
                    "address": self._client.target.name,
                    "port": int(server.get("tcp_port", 0)),
                    "redis_version": server.get("redis_version", ""),
                    "run_id": server.get("run_id", ""),
                },
                "names": self._names,
                "files": [file._asdict() for file in files],
            }
            data = json.dumps(listing, indent=2) + "\n"
            _write(os.path.join(temporary, LISTING), (data.encode(),))
            verify(Backup(temporary, listing), self._say)
            _sync_folder(temporary)
            os.rename(temporary, path)
            _sync_folder(self._folder)
        except OSError as error:
            raise ToolError(f"{self._folder}: {reason(error)}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return open_backup(path)

    def _dump(self, folder: str) -> File:
        self._say("The node sends its data, as to a replica ...")
        return _write_file(folder, RDB, self._client.dump())

    def _snapshot(self, folder: str) -> File:
        client = self._client
        self._names[RDB] = client.config("dbfilename")
        source = os.path.join(self._node_folder(), self._names[RDB])
        self._wait("the end of a save or rewrite", self._is_idle)
        before = _stamp(source)
        deadline_s = time.monotonic() + self._timeout_s
        while True:
            try:
                client("BGSAVE")
                break
            except Refused as error:
                busy = "already in progress" in str(error) or "Another child" in str(error)
                if not busy or time.monotonic() > deadline_s:
                    raise
                time.sleep(_POLL_S)
        self._say("The node saves its data (BGSAVE) ...")
        self._wait("the end of BGSAVE", self._is_idle)
        if client.info("persistence").get("rdb_last_bgsave_status") != "ok":
            raise ToolError("BGSAVE failed: the node's log says why")
        if _stamp(source) in (None, before):
            raise ToolError(
                f"{source} is not what the node has just saved. If the node's folder has another "
                "path here, give it with --data-dir; if it is out of reach, use --over-wire."
            )
        with open(source, "rb") as file:
            return _write_file(folder, RDB, chunks(file))

    def _append_only(self, folder: str) -> list[File]:
        """Copy the append-only files, with rewrites switched off while they are opened."""
        client = self._client
        if client.config("appendonly") != "yes":
            return []
        self._say("Copying the append-only file ...")
        folder_name = client.config("appenddirname")
        if not folder_name:
            raise ToolError(
                "The node keeps an append-only file of the kind before Redis 7, which cannot be "
                "copied while it runs: use --over-wire."
            )
        source = os.path.join(self._node_folder(), folder_name)
        filename = client.config("appendfilename")
        self._names |= {AOF_FOLDER: folder_name, AOF_NAME: filename}
        percentage = client.config(_DIRECTIVE)
        with contextlib.ExitStack() as opened:
            client("CONFIG", "SET", _DIRECTIVE, "0")
            try:
                self._wait("the end of an AOF rewrite", self._is_idle)
                manifest, files = _open_parts(source, filename, opened)
            finally:
                client("CONFIG", "SET", _DIRECTIVE, percentage)
            return list(_copy_parts(folder, manifest, files))

    def _node_folder(self) -> str:
        if not self._data_folder:
            self._data_folder = self._client.config("dir")
            if not os.path.isdir(self._data_folder):
                raise ToolError(
                    f"The node's folder {self._data_folder} is not here: give its path with "
                    "--data-dir, or use --over-wire."
                )
        return self._data_folder

    def _is_idle(self) -> bool:
        state = self._client.info("persistence")
        names = ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled")
        return all(state.get(name, "0") == "0" for name in names)

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + self._timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise ToolError(f"Waited {self._timeout_s:g} seconds for {what}")
            time.sleep(_POLL_S)


def _open_parts(
    source: str, filename: str, opened: contextlib.ExitStack
) -> tuple[Manifest, list[tuple[Part, BinaryIO, int]]]:
    """The manifest, and its files, open, with their sizes at this moment."""
    try:
        with open(os.path.join(source, filename + SUFFIX), "rb") as file:
            manifest = decode(file.read())
    except ManifestError as error:
        raise ToolError(f"{source}: {error}") from error
    files: list[tuple[Part, BinaryIO, int]] = []
    for part in manifest.parts:
        data: BinaryIO = open(os.path.join(source, part.name), "rb")  # noqa: SIM115
        opened.callback(data.close)
        files.append((part, data, os.fstat(data.fileno()).st_size))
    return manifest, files


def _copy_parts(
    folder: str, manifest: Manifest, files: list[tuple[Part, BinaryIO, int]]
) -> Iterator[File]:
    os.mkdir(os.path.join(folder, AOF_FOLDER))
    for part, file, size in files:
        if part is manifest.parts[-1] and part is not manifest.base:
            size = good_size(file, size)
            file.seek(0)
        yield _write_file(folder, f"{AOF_FOLDER}/{part.name}", _limited(file, size))
    kept = Manifest(manifest.base, manifest.increments)
    name = f"{AOF_FOLDER}/{AOF_NAME}{SUFFIX}"
    yield _write_file(folder, name, (kept.encode(),))
    _sync_folder(os.path.join(folder, AOF_FOLDER))


def _limited(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size and (chunk := file.read(min(size, CHUNK_BYTES))):
        size -= len(chunk)
        yield chunk


def _stamp(path: str) -> tuple[int, int] | None:
    """What changes when another file takes a name."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns


def rotate(folder: str, keep: int) -> list[str]:
    """Remove the oldest backups but for so many; returns their names. Raises ToolError."""
    doomed = backups(folder)[:-keep]
    for backup in doomed:
        try:
            os.remove(os.path.join(backup.path, LISTING))  # from here on it is none
            shutil.rmtree(backup.path)
        except OSError as error:
            raise ToolError(f"{backup.path}: {reason(error)}") from error
    return [backup.name for backup in doomed]


# Verifying


def verify(backup: Backup, say: Say) -> None:
    """Hold a backup against its list, and read its files as a node would. Raises ToolError."""
    for file in backup.files:
        path = os.path.join(backup.path, file.name)
        digest, size = hashlib.sha256(), 0
        check_rdb = RdbCheck(0, lambda text: None) if file.name == RDB else None
        try:
            with open(path, "rb") as source:
                for chunk in chunks(source):
                    digest.update(chunk)
                    size += len(chunk)
                    if check_rdb is not None:
                        check_rdb.feed(chunk)
        except OSError as error:
            raise ToolError(f"{path}: {reason(error)}") from error
        if size != file.size or digest.hexdigest() != file.sha256:
            raise ToolError(f"{path} is not what was backed up: its size or checksum differs")
        if check_rdb is not None:
            if not check_rdb.finish():
                raise ToolError(f"{path}: {check_rdb.error}")
            say(f"{RDB}: {check_rdb.survey.keys} keys, {size} bytes, sound")
    if backup.has_aof:
        folder = os.path.join(backup.path, AOF_FOLDER)
        try:
            with contextlib.redirect_stdout(None):
                check(folder, Wish(quiet=True))
        except Failed as error:
            raise ToolError(f"{folder} is damaged: see pyredis check-aof") from error
        say(f"{AOF_FOLDER}: sound")


# Restoring


def restore(backup: Backup, folder: str, force: bool, from_rdb: bool, say: Say) -> None:
    """Put the files of a backup into a folder. Raises ToolError; then nothing was changed.

    What is in its way is refused, or with ``force`` moved into a folder inside. ``from_rdb``
    makes an append-only file of the snapshot, for a node that is to start with one.
    """
    verify(backup, say)
    names = [backup.name_at_node(RDB), str(backup.listing["names"][AOF_FOLDER])]
    try:
        os.makedirs(folder, exist_ok=True)
        there = [name for name in names if os.path.exists(os.path.join(folder, name))]
        if there and not force:
            raise ToolError(
                f"{folder} holds data already ({', '.join(there)}): nothing was changed. "
                "With --force they are moved out of the way."
            )
        temporary = _free(os.path.join(folder, ".restoring"))
        try:
            os.mkdir(temporary)
            for file in backup.files:
                _copy_verified(backup, file, temporary)
            if from_rdb and not backup.has_aof:
                _make_aof(backup, temporary)
            _sync_folder(temporary)
            if there:
                aside = _free(os.path.join(folder, f"before-restore-{int(time.time())}"))
                os.mkdir(aside)
                for name in there:
                    os.rename(os.path.join(folder, name), os.path.join(aside, name))
                say(f"What was there is in {aside}")
            for name in os.listdir(temporary):
                os.rename(os.path.join(temporary, name), os.path.join(folder, name))
            _sync_folder(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise ToolError(f"{folder}: {reason(error)}") from error


def _copy_verified(backup: Backup, file: File, folder: str) -> None:
    name = backup.name_at_node(file.name)
    os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
    with open(os.path.join(backup.path, file.name), "rb") as source:
        copied = _write_file(folder, name, chunks(source))
    if copied[1:] != file[1:]:
        raise ToolError(f"{backup.path}: {file.name} changed while it was copied")


def _make_aof(backup: Backup, folder: str) -> None:
    """A multi-part AOF whose base is the snapshot."""
    names = backup.listing["names"]
    directory, filename = names[AOF_FOLDER], names[AOF_NAME]
    manifest = Manifest().with_base(filename, "rdb")
    assert manifest.base is not None
    os.mkdir(os.path.join(folder, directory))
    with open(os.path.join(folder, names[RDB]), "rb") as source:
        _write_file(folder, f"{directory}/{manifest.base.name}", chunks(source))
    _write_file(folder, f"{directory}/{filename}{SUFFIX}", (manifest.encode(),))
    _sync_folder(os.path.join(folder, directory))


# Files


def _write_file(folder: str, name: str, parts: Iterable[bytes]) -> File:
    size, digest = _write(os.path.join(folder, name), parts)
    return File(name, size, digest)


def _write(path: str, parts: Iterable[bytes]) -> tuple[int, str]:
    """Write a new file and have it on the medium; returns its size and SHA-256."""
    digest, size = hashlib.sha256(), 0
    with open(path, "xb") as file:
        for part in parts:
            file.write(part)
            digest.update(part)
            size += len(part)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _sync_folder(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _free(path: str) -> str:
    """The path, or with a number behind it if it is taken."""
    free, number = path, 2
    while os.path.lexists(free):
        free, number = f"{path}-{number}", number + 1
    return free
