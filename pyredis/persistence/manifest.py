"""The manifest of a multi-part AOF: which files make up the log, and in which order.

Vocabulary. A *base* is the data at one instant (an RDB file, or commands); *increments* hold
the commands since then, each numbered higher than the one before; *history* are files that a
rewrite has made superfluous and that are to be deleted. One line a file:

    file appendonly.aof.2.base.rdb seq 2 type b
    file appendonly.aof.1.incr.aof seq 1 type h
    file appendonly.aof.2.incr.aof seq 2 type i

Keys may come in any order and unknown ones are passed over, so that later versions can add
some. Everything else that is odd is fatal: a wrong guess about the files would lose data.

A ``Manifest`` is a value: methods return a changed copy, and what is in force is whatever was
``store``\\ d last. That goes to a temporary file, is synced, renamed, and the folder synced: at
every instant the old or the new manifest is there, whole. The folder is synced beforehand
too, so that a manifest never survives a power cut that the files it names do not.

Model: Redis 7's ``aofManifest``. Departures: Redis syncs the folder only afterwards; and it
numbers without regard to history, so that after an ill-timed crash a new increment can have
the name of an old one that is still to be deleted.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from pyredis.quoting import quote, split_args

if TYPE_CHECKING:
    from pyredis.ports import Disk

BASE: Final = "b"
INCREMENT: Final = "i"
HISTORY: Final = "h"
SUFFIX: Final = ".manifest"
_LINE_MAX_BYTES: Final = 1024
_BANNER: Final = "*** FATAL AOF MANIFEST FILE ERROR ***"
_FORMAT: Final = "Invalid AOF manifest file format"


class ManifestError(Exception):
    """A manifest that cannot be relied on, or could not be stored; the lines are for the log."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))


class ManifestInDoubt(ManifestError):
    """The manifest was put in place, but a power cut may bring the one before back."""


class Part(NamedTuple):
    """A file of the log."""

    name: str
    seq: int
    kind: str

    def line(self) -> str:
        """Its line in the manifest, with the name quoted if it needs to be."""
        raw = self.name.encode("utf-8", "surrogateescape")
        quoted = quote(raw)
        if quoted != b'"%b"' % raw or b" " in raw or b"'" in raw:
            return f"file {quoted.decode()} seq {self.seq} type {self.kind}\n"
        return f"file {self.name} seq {self.seq} type {self.kind}\n"


@dataclass(frozen=True)
class Manifest:
    """The files there are. ``base_seq`` and ``increment_seq`` are the highest numbers used."""

    base: Part | None = None
    increments: tuple[Part, ...] = ()
    history: tuple[Part, ...] = ()
    base_seq: int = 0
    increment_seq: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to load."""
        return self.base is None and not self.increments

    @property
    def parts(self) -> tuple[Part, ...]:
        """What is to be loaded, in order."""
        return ((self.base,) if self.base else ()) + self.increments

    # Changes

    def with_base(self, filename: str, suffix: str) -> Manifest:
        """A new base, numbered one higher; the one before becomes history.

        ``suffix`` is "rdb" or "aof".
        """
        seq = self.base_seq + 1
        base = Part(f"{filename}.{seq}.base.{suffix}", seq, BASE)
        old = (self.base._replace(kind=HISTORY),) if self.base else ()
        return replace(self, base=base, base_seq=seq, history=old + self.history)

    def with_old_file(self, filename: str) -> Manifest:
        """The single file of a server before version 7 as the base."""
        return Manifest(Part(filename, 1, BASE), base_seq=1)

    def with_increment(self, filename: str) -> Manifest:
        """A new increment, numbered one higher, at the end."""
        seq = self.increment_seq + 1
        part = Part(f"{filename}.{seq}.incr.aof", seq, INCREMENT)
        return replace(self, increments=(*self.increments, part), increment_seq=seq)

    def rewritten(self, keep: int) -> Manifest:
        """The increments but the last ``keep`` become history: a new base holds their data."""
        cut = len(self.increments) - keep
        old = tuple(part._replace(kind=HISTORY) for part in reversed(self.increments[:cut]))
        return replace(self, increments=self.increments[cut:], history=old + self.history)

    def with_history(self, left: tuple[Part, ...]) -> Manifest:
        """Of the files to be deleted these are left."""
        return replace(self, history=left)

    # The file

    def encode(self) -> bytes:
        """The text of the file: base, history, increments."""
        base = (self.base,) if self.base else ()
        text = "".join(part.line() for part in (*base, *self.history, *self.increments))
        return text.encode("utf-8", "surrogateescape")

    def store(self, disk: Disk, filename: str) -> None:
        """Put this in force. Raises ManifestError; then the manifest before still is.

        Only when the very last step fails, the sync of the folder, this one is in force, but it
        is open which of the two a power cut would leave: ManifestInDoubt.
        """
        name = filename + SUFFIX
        temporary = "temp-" + name
        try:
            disk.sync_folder()
        except OSError as error:
            raise ManifestError(_unsynced(disk, error)) from error
        try:
            file = disk.create(temporary)
        except OSError as error:
            raise ManifestError(
                f"Can't open the AOF manifest file {temporary}: {error.strerror}"
            ) from error
        step = "Error trying to write the temporary AOF manifest file"
        try:
            file.write(self.encode())
            step = "Fail to fsync the temp AOF file"
            file.sync()
        except OSError as error:
            with contextlib.suppress(OSError):
                disk.remove(temporary)
            raise ManifestError(f"{step} {temporary}: {error.strerror}") from error
        finally:
            with contextlib.suppress(OSError):
                file.close()
        try:
            disk.rename(temporary, name)
        except OSError as error:
            with contextlib.suppress(OSError):
                disk.remove(temporary)
            raise ManifestError(
                f"Error trying to rename the temporary AOF manifest file {temporary} into {name}: "
                f"{error.strerror}"
            ) from error
        try:
            disk.sync_folder()
        except OSError as error:
            raise ManifestInDoubt(_unsynced(disk, error)) from error


def _unsynced(disk: Disk, error: OSError) -> str:
    return f"Fail to fsync AOF directory {disk.folder}: {error.strerror}."


def load(disk: Disk, filename: str) -> Manifest | None:
    """The manifest in a folder, None if there is none. Raises ManifestError."""
    name = filename + SUFFIX
    try:
        if not disk.exists(name):
            return None
        with contextlib.closing(disk.open(name)) as file:
            data = b"".join(iter(lambda: file.read(1 << 16), b""))
    except OSError as error:
        raise ManifestError(
            f"Fatal error: can't open the AOF manifest file {name} for reading: {error.strerror}"
        ) from error
    return decode(data)


def decode(data: bytes) -> Manifest:
    """The manifest in the text of a file. Raises ManifestError, naming the line."""
    if not data:
        raise ManifestError(_BANNER, "Found an empty AOF manifest")
    base: Part | None = None
    increments: list[Part] = []
    history: list[Part] = []
    for number, raw in _lines(data):
        line = raw.strip(b" \t\r\n")
        try:
            part = _part(line)
            if part.kind == BASE:
                if base is not None:
                    raise ValueError("Found duplicate base file information")
                base = part
            elif part.kind == HISTORY:
                history.append(part)
            elif part.kind == INCREMENT:
                if part.seq <= (increments[-1].seq if increments else 0):
                    raise ValueError("Found a non-monotonic sequence number")
                increments.append(part)
            else:
                raise ValueError("Unknown AOF file type")
        except ValueError as error:
            shown = line.decode("utf-8", "backslashreplace")
            raise ManifestError(
                _BANNER,
                f"Reading the manifest file, at line {number}",
                f">>> '{shown}'",
                str(error),
            ) from error
    # A history file may not be deleted yet: its name must not be given to a new one.
    base_seqs = [part.seq for part in history if ".base." in part.name]
    increment_seqs = [part.seq for part in (*history, *increments) if ".incr." in part.name]
    return Manifest(
        base,
        tuple(increments),
        tuple(history),
        max(base_seqs, default=0) if base is None else max(*base_seqs, base.seq, 0),
        max(*increment_seqs, increments[-1].seq if increments else 0, 0),
    )


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that say something, with their numbers. Raises ManifestError."""
    for number, raw in enumerate(io.BytesIO(data), 1):
        if raw.startswith(b"#"):
            continue
        if len(raw) > _LINE_MAX_BYTES or not raw.endswith(b"\n"):
            # The end of the file may be missing as well as the end of the line.
            raise ManifestError(_BANNER, "The AOF manifest file contains too long line")
        yield number, raw


def _part(line: bytes) -> Part:
    """What a line says. Raises ValueError with Redis' words."""
    try:
        words = split_args(line)
    except ValueError as error:
        raise ValueError(_FORMAT) from error
    if len(words) < 6 or len(words) % 2:
        raise ValueError(_FORMAT)
    name = kind = ""
    seq = 0
    for key, value in zip(words[::2], words[1::2], strict=True):
        match key.lower():
            case b"file":
                name = value.decode("utf-8", "surrogateescape")
                if "/" in name or "\\" in name:
                    raise ValueError("File can't be a path, just a filename")
            case b"seq":
                seq = int(value) if value.isdigit() else 0
            case b"type":
                kind = value[:1].decode("latin-1")
    if not name or not seq or not kind:
        raise ValueError(_FORMAT)
    return Part(name, seq, kind)
