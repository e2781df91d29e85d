"""The last part of the replication stream, for replicas that come back.

The pieces are the very bytes that went to the replicas and to the AOF, so a piece costs a
reference, not a copy. They stand in a deque; those that are wholly outside the window of
``size`` bytes leave it. The window may exceed its size by part of a piece. When that would be as
much again (a long transaction or pipeline came in one piece), the piece is cut.

Offsets count from 1: ``first`` is the offset of the oldest byte that is here, and the next
byte to come has the offset ``first + length``.
"""

from __future__ import annotations

from collections import deque


class Backlog:
    """A window over the end of the stream. ``append`` is O(1), amortized.

    Bytes can be *pinned* because somebody has to get them anyway: then they stay, however many
    they are, and whoever comes back may have them as well.
    """

    __slots__ = ("_pieces", "_pinned", "first", "length", "size")

    def __init__(self, size: int, offset: int) -> None:
        """Empty, behind the byte at ``offset``."""
        self.size = size
        self.first = offset + 1
        self.length = 0
        self._pieces: deque[bytes] = deque()
        self._pinned: int | None = None  # the offset from which on all has to stay

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

    def pin(self, offset: int | None) -> None:
        """Keep all from that byte on, as far as it is here; with None as much as the size says."""
        if offset != self._pinned:
            self._pinned = offset
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
        pieces, size = self._pieces, self._wanted
        while pieces and self.length - len(pieces[0]) >= size:
            gone = len(pieces.popleft())
            self.length -= gone
            self.first += gone
        excess = self.length - size
        if excess > size:
            pieces[0] = pieces[0][excess:]
            self.length -= excess
            self.first += excess

    @property
    def _wanted(self) -> int:
        """How many bytes have to be here, once there have been so many."""
        if self._pinned is None:
            return self.size
        return max(self.size, self.first + self.length - self._pinned)

    def _check(self) -> None:
        assert self.length == sum(map(len, self._pieces))
        assert not self._pieces or self.length - len(self._pieces[0]) < self._wanted
