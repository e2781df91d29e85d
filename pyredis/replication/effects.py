"""What a replica's link to its primary brings about, as values.

The machine of the link (``replica.py``) owns no data. It says what has come of the
conversation with the primary, in these words, and whoever drives it carries that out in the
order given:

    FullSync, SnapshotStart, SnapshotData..., SnapshotEnd    a copy of everything
    Continue                                                 or what was missed only
    Stream...                                                then every change
    Failed                                                   at any point: from the beginning
"""

from __future__ import annotations

from typing import NamedTuple

from pyredis.machine import Action


class FullSync(NamedTuple):
    """The primary sends a snapshot: the data of history ``replid`` at ``offset``.

    An old primary, or one that refuses PSYNC, names no history: ("", -1).
    """

    replid: str
    offset: int


class Continue(NamedTuple):
    """The primary goes on at our offset. ``replid`` is the history's name from now on.

    Empty if the primary did not say: then the name stays.
    """

    replid: str


class SnapshotStart(NamedTuple):
    """The snapshot begins; it has ``size`` bytes, -1 if the primary does not know yet."""

    size: int


class SnapshotData(NamedTuple):
    """The next bytes of the snapshot, an RDB file."""

    data: bytes


class SnapshotEnd(NamedTuple):
    """The snapshot is here in full. ``Replica.loaded`` is to be called once it is in place."""


class Stream(NamedTuple):
    """The next bytes of the replication stream, cut anywhere; they are to be applied."""

    data: bytes


class FailoverRefused(NamedTuple):
    """The target of a FAILOVER has not taken over. ``Failed`` follows."""

    reason: str


class Failed(NamedTuple):
    """The link is gone, for ``reason``. A snapshot that has not come in full is worth nothing."""

    reason: str


class Log(NamedTuple):
    """A line for the log."""

    level: str
    text: str


Effect = (
    FullSync
    | Continue
    | SnapshotStart
    | SnapshotData
    | SnapshotEnd
    | Stream
    | FailoverRefused
    | Failed
    | Log
)

Outcome = Action | Effect
"""What a step of the machine gives back: to be performed, or to be carried out."""
