"""The name and the length of a dataset's history, and whether two histories agree.

Every change of the data is a piece of one endless stream of bytes. A *replid* names the
stream, the *offset* counts its bytes; whoever holds (replid, offset) holds the data that the
first ``offset`` bytes make. A primary begins a stream. Its replicas hold the same name and
follow. When a replica is promoted, the stream forks: up to that point it is the old one,
so the old name stays valid as *replid2* up to ``second_offset``, and what comes from then
on has a new name. So the other replicas of the old primary, and the old primary itself, can
go on with the promoted one without copying all data again.

PSYNC asks "I have (replid, offset - 1); may I go on with the byte at offset?". The answer is
arithmetic, see ``refusal``: the name must be one of the two, and the backlog (the last part
of the stream, kept in memory) must still hold every byte from there on.

Source: redis.io, "Replication", section "Replication ID explained"; Redis'
``masterTryPartialResynchronization`` and ``shiftReplicationId``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyredis.ports import Rng
    from pyredis.replication.backlog import Backlog

NO_REPLID: Final = "0" * 40
NO_OFFSET: Final = -1


def new_replid(rng: Rng) -> str:
    """A name nobody else has: 160 random bits in hex."""
    return f"{rng.getrandbits(160):040x}"


class History:
    """Which stream a server's data are made of, and how much of it."""

    __slots__ = ("offset", "replid", "replid2", "rng", "second_offset")

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.replid = new_replid(rng)
        self.offset = 0  # bytes of the stream that the data hold
        self.replid2 = NO_REPLID  # the stream this one has forked from
        self.second_offset = NO_OFFSET  # its first byte that is not ours too

    def begin(self) -> None:
        """Start a stream that has nothing in common with any other."""
        self.replid = new_replid(self.rng)
        self.forget_second()

    def forget_second(self) -> None:
        """The stream's origin is of no use any more."""
        self.replid2, self.second_offset = NO_REPLID, NO_OFFSET

    def fork(self) -> None:
        """Go on under a name of our own: what a promotion does."""
        self.rename(new_replid(self.rng))

    def rename(self, replid: str) -> None:
        """Go on under that name; up to here the old one stays valid, too."""
        self.replid2, self.second_offset = self.replid, self.offset + 1
        self.replid = replid

    def adopt(self, replid: str, offset: int) -> None:
        """Hold another's data: a copy of all of them has come."""
        self.replid, self.offset = replid, offset
        self.forget_second()

    def refusal(self, backlog: Backlog | None, replid: str, offset: int) -> str:
        """Why the stream cannot go on at byte ``offset`` for one who has ``replid``; "" if it can.

        1. The name is ours, or it is the one we have forked from and the byte asked for comes
           no later than the first that is not common.
        2. The backlog holds the stream from that byte to its end; the end itself may be next.
        """
        name = replid.lower()
        if name != self.replid and (name != self.replid2 or offset > self.second_offset):
            if name == "?":
                return "a full copy was asked for"
            if name != self.replid2:
                return (
                    f"Replication ID mismatch (Replica asked for '{replid}', my replication IDs "
                    f"are '{self.replid}' and '{self.replid2}')"
                )
            return (
                f"Requested offset for second ID was {offset}, but I can reply up to "
                f"{self.second_offset}"
            )
        if backlog is None or not backlog.holds(offset):
            return f"lack of backlog (Replica request was: {offset})"
        return ""
