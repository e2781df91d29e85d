"""The last part of the replication stream, for replicas that come back.

The pieces are the very bytes that went to the replicas and to the AOF, so a piece costs a
reference, not a copy. They stand in a deque; those that are wholly outside the window of
``size`` bytes leave it. The window may exceed its size by part of a piece.

Offsets count from 1: ``first`` is the offset of the oldest byte that is here, and the next
byte to come has the offset ``first + length``.
"""

from __future__ import annotations

from collections import deque


class Backlog:
    """A window over the end of the stream. ``append`` is O(1), amortized."""

    __slots__ = ("_pieces", "first", "length", "size")

    def __init__(self, size: int, offset: int) -> None:
        """Empty, behind the byte at ``offset``."""
        self.size = size
        self.first = offset + 1
        self.length = 0
        self._pieces: deque[bytes] = deque()

    def append(self, data: bytes) -> None:
        """The stream has grown."""
        self._pieces.append(data)
        self.length += len(data)
        if self.length > self.size:
            self._trim()

    def resize(self, size: int) -> None:
        """Keep more or less from now on."""
        self.size = size
        self._trim()

    def holds(self, offset: int) -> bool:
        """Whether the stream can be continued at that byte."""
        return self.first <= offset <= self.first + self.length

    def since(self, offset: int) -> bytes:
        """The stream from that byte on, which the window must hold. O(result)."""
        wanted = self.first + self.length - offset
        found: list[bytes] = []
        for piece in reversed(self._pieces):
            if wanted <= 0:
                break
            found.append(piece if len(piece) <= wanted else piece[-wanted:])
            wanted -= len(piece)
        return b"".join(reversed(found))

    def _trim(self) -> None:
        pieces = self._pieces
        while pieces and self.length - len(pieces[0]) >= self.size:
            gone = len(pieces.popleft())
            self.length -= gone
            self.first += gone

    def _check(self) -> None:
        assert self.length == sum(map(len, self._pieces))
        assert not self._pieces or self.length - len(self._pieces[0]) < self.size
