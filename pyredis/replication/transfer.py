"""The framing of a full sync: where the snapshot begins and ends between other bytes.

After +FULLRESYNC the primary sends one of two forms, without anything behind the data:

    $<length>\r\n<snapshot>                       it has the file, and knows its length
    $EOF:<mark>\r\n<snapshot><mark>               it writes while it sends (diskless)

The mark is 40 random characters, so they do not occur in the snapshot. Until the first
byte of either form the primary may send bare newlines to show that it is still at work on
the snapshot; instead of them a line with an error may come.

The mark may be cut anywhere by the network. The last 39 bytes are therefore held back until
it is known that they do not begin it. Redis looks only whether what it has read so far ends
with the mark, which would miss one that has stream behind it; here the first occurrence
counts, so the outcome does not depend on the cuts.

Complexity: O(bytes), one copy of each piece with a mark, none otherwise.
"""

from __future__ import annotations

import re
from typing import Final

from pyredis.replication.effects import SnapshotData, SnapshotEnd, SnapshotStart

MARK_BYTES: Final = 40
LINE_MAX_BYTES: Final = 1 << 16
_LENGTH: Final = re.compile(rb"\$(\d{1,19})\r?\Z")
_MARK: Final = re.compile(rb"\$EOF:([^\r\n]{40})\r?\Z")

Piece = SnapshotStart | SnapshotData | SnapshotEnd


class TransferError(Exception):
    """What came is no snapshot; the text is for the log."""


class Transfer:
    """Takes one full sync apart. After ``SnapshotEnd`` it takes nothing more."""

    __slots__ = ("_begun", "_held", "_mark", "received_bytes", "size")

    def __init__(self) -> None:
        self.size = -1  # of the snapshot, if the primary has told it
        self.received_bytes = 0  # of the snapshot
        self._begun = False  # whether it is known where the snapshot begins
        self._mark = b""
        self._held = b""

    def feed(self, data: bytes) -> tuple[list[Piece], bytes]:
        """Take the next bytes; returns what they are, and those behind the snapshot.

        Raises TransferError.
        """
        pieces: list[Piece] = []
        if not self._begun:
            data = self._read_header(data)
            if not self._begun:
                return pieces, b""
            pieces.append(SnapshotStart(self.size))
        if self._mark:
            return self._to_mark(pieces, data)
        return self._to_length(pieces, data)

    def _read_header(self, data: bytes) -> bytes:
        """Returns what follows the first line; bare newlines before it are passed over."""
        data = (self._held + data).lstrip(b"\r\n")
        line, newline, rest = data.partition(b"\n")
        if not newline:
            if len(data) > LINE_MAX_BYTES:
                raise TransferError("the primary sends a line without end")
            self._held = data
            return b""
        self._held = b""
        if line.startswith(b"-"):
            text = line[1:].strip().decode("utf-8", "replace")
            raise TransferError(f"MASTER aborted replication with an error: {text}")
        if found := _MARK.match(line):
            self._mark = found[1]
        elif found := _LENGTH.match(line):
            self.size = int(found[1])
        else:
            text = line[:64].decode("utf-8", "replace").strip()
            raise TransferError(
                f"Bad protocol from MASTER, the length of a snapshot was expected and '{text}' "
                "came: are host and port right?"
            )
        self._begun = True
        return rest

    def _to_length(self, pieces: list[Piece], data: bytes) -> tuple[list[Piece], bytes]:
        missing = self.size - self.received_bytes
        rest = b""
        if len(data) > missing:
            data, rest = data[:missing], data[missing:]
        self._take(pieces, data)
        if self.received_bytes == self.size:
            pieces.append(SnapshotEnd())
        return pieces, rest

    def _to_mark(self, pieces: list[Piece], data: bytes) -> tuple[list[Piece], bytes]:
        data = self._held + data
        at = data.find(self._mark)
        if at < 0:
            certain = max(0, len(data) - (MARK_BYTES - 1))
            self._held = data[certain:]
            self._take(pieces, data[:certain])
            return pieces, b""
        self._take(pieces, data[:at])
        pieces.append(SnapshotEnd())
        return pieces, data[at + MARK_BYTES :]

    def _take(self, pieces: list[Piece], data: bytes) -> None:
        if data:
            self.received_bytes += len(data)
            pieces.append(SnapshotData(data))
