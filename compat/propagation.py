"""What a primary sends its replicas: the commands that bring the same data about elsewhere.

A server process is asked as a replica would ask: ``PSYNC`` without a history, an RDB file that is
thrown away, then the stream. Ours come from a feed of the leader (see ``pyredis.unit``), which
has no SELECTs, so the reference's are taken out too, and every command carries its database.

MULTI and EXEC belong to no database. PING keeps the link alive and is dropped.

Compared are words, but for times (what expires in a second does so a few milliseconds later here
or there), what chance chose, and what ``Allowed`` tells.
"""

from __future__ import annotations

import socket
from itertools import zip_longest
from typing import Final, NamedTuple

from compat.replies import Incomplete, parse, parse_all
from compat.sequences import Argv, encode
from compat.undefined import SLACK_MS

_LARGE: Final = 10**11
_FRAME: Final = (b"MULTI", b"EXEC")
_ENTERING: Final = b"SELECT"
NOWHERE: Final = -1


class Told(NamedTuple):
    """A command for a database; ``NOWHERE`` for what belongs to none."""

    db: int
    argv: Argv

    def __str__(self) -> str:
        words = b" ".join(self.argv).decode("latin-1")
        return words if self.db == NOWHERE else f"{self.db}: {words}"


def told(db: int, argv: Argv) -> Told:
    """A command of a stream."""
    return Told(NOWHERE if argv[0].upper() in _FRAME else db, argv)


class FeedTap:
    """A feed of our engine that keeps what it is told."""

    kind = "replicas"

    def __init__(self) -> None:
        self._pieces: list[tuple[int, bytes]] = []

    def take(self, db_index: int, wire: bytes, head: bytes = b"") -> None:
        """Called by the engine: whole commands for a database."""
        self._pieces.append((db_index, head + wire))

    def commands(self) -> list[Told]:
        """What was told since the last look."""
        pieces, self._pieces = self._pieces, []
        return [told(db, argv) for db, wire in pieces for argv in parse_all(wire)]


class ReplicaTap:
    """A connection to a server that pretends to be a replica. Raises OSError if it ends."""

    def __init__(self, port: int, patience_s: float = 10.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=patience_s)
        self._buffer = b""
        self._db = 0
        self._socket.sendall(encode([b"PSYNC", b"?", b"-1"]))
        while not (line := self._line()).startswith(b"$"):
            if line.startswith(b"-"):
                raise ConnectionError(line.decode("latin-1"))
        size = int(line[1:])
        while len(self._buffer) < size:
            self._more()
        self._buffer = self._buffer[size:]

    def _more(self) -> None:
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the primary has hung up")
        self._buffer += data

    def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.strip()

    def until(self, mark: Argv) -> list[Told]:
        """All commands up to ``mark``, which is not among them."""
        found: list[Told] = []
        at = 0
        while True:
            try:
                argv, at = parse(self._buffer, at)
            except Incomplete:
                self._buffer, at = self._buffer[at:], 0
                self._more()
                continue
            if argv == mark:
                self._buffer = self._buffer[at:]
                return found
            word = argv[0].upper()
            if word == _ENTERING:
                self._db = int(argv[1])
            elif word not in (b"PING", b"REPLCONF"):
                found.append(told(self._db, argv))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class Allowed(NamedTuple):
    """What may differ between the streams of a sequence."""

    chance: bool = False
    """Members were chosen at random: SREMs of the same key are compared by number only."""
    lazily: bool = False
    """Something may have been deleted: 7.0 and 8.0 have DEL in cases where 7.2 has UNLINK."""
    groups: bool = False
    """A group was read: 7.4 tells where it stands, with how many entries, even with XCLAIMs."""

    bare: bool = False
    """7.0 tells of a SET without its GET and its condition, and of its time only once."""

    def at(self, version: tuple[int, int]) -> Allowed:
        """The same for a reference of that version."""
        lazily = self.lazily if version < (7, 2) else version >= (8, 0)
        groups = self.groups and version < (7, 4)
        return self._replace(lazily=lazily, groups=groups, bare=version < (7, 2))


def difference(
    expected: list[Told], got: list[Told], allowed: Allowed
) -> tuple[Told | None, Told | None] | None:
    """The first commands that differ, None for one that is not there; None for equal streams."""
    if expected == got:
        return None
    if allowed.chance:
        expected, got = _merged(expected), _merged(got)
    if allowed.lazily:
        expected, got = _with_del(expected), _with_del(got)
    if allowed.bare:
        expected, got = _bare(expected), _bare(got)
    if allowed.groups:
        expected, got = _placeless(expected), _placeless(got)
    for one, other in zip_longest(expected, got):
        if one != other and (one is None or other is None or not _alike(one, other)):
            return one, other
    return None


def _unframed(stream: list[Told]) -> list[Told]:
    return [each for each in stream if each.db != NOWHERE]


def _merged(stream: list[Told]) -> list[Told]:
    """Without MULTI and EXEC, members of SREM as a number, neighbours of the same key as one.

    7.0 has an SREM for each member that SPOP took, later versions one for 1024 of them.
    """
    found: list[Told] = []
    for each in _unframed(stream):
        if each.argv[0].upper() == b"SREM":
            count = len(each.argv) - 2
            before = found[-1] if found else None
            if before is not None and before.db == each.db and before.argv[:2] == each.argv[:2]:
                count += int(found.pop().argv[2])
            each = Told(each.db, [b"SREM", each.argv[1], b"%d" % count])
        found.append(each)
    return found


def _with_del(stream: list[Told]) -> list[Told]:
    return [
        Told(each.db, [b"DEL", *each.argv[1:]]) if each.argv[0] == b"UNLINK" else each
        for each in stream
    ]


def _bare(stream: list[Told]) -> list[Told]:
    """Without what a SET asked for beside the value and its time."""
    asked = (b"GET", b"NX", b"XX")
    return [
        Told(
            each.db,
            each.argv[:3] + [arg for arg in each.argv[3:] if arg.upper() not in asked][-2:],
        )
        if each.argv[0].upper() == b"SET"
        else each
        for each in stream
    ]


def _placeless(stream: list[Told]) -> list[Told]:
    return [
        each
        for each in _unframed(stream)
        if not (each.argv[:2] == [b"XGROUP", b"SETID"] and len(each.argv) == 7)
    ]


def _alike(one: Told, other: Told) -> bool:
    """Equal but for moments, and for the spelling of what we put in place of a request.

    Where trimming has led to, Redis may say by an entry that had been deleted before.
    """
    word = one.argv[0].upper()
    if one.db != other.db or len(one.argv) != len(other.argv) or word != other.argv[0].upper():
        return False
    before = b""
    for theirs, mine in zip(one.argv[1:], other.argv[1:], strict=True):
        same = theirs == mine or _near(theirs, mine)
        spelled = word == b"LMOVE" and theirs.upper() == mine
        trimmed = word in (b"XADD", b"XTRIM") and before == b"=" and b"-" in theirs
        if not (same or spelled or trimmed):
            return False
        before = mine
    return True


def _near(one: bytes, other: bytes) -> bool:
    """Whether both are moments, and close."""
    if not (one.isdigit() and other.isdigit()):
        return False
    moments = int(one), int(other)
    return min(moments) > _LARGE and abs(moments[0] - moments[1]) <= SLACK_MS
