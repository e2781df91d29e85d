"""The start-up guard: an empty primary does not empty its replicas.

A replica makes itself equal to its primary. So when a primary without persistence is restarted
(by a supervisor, faster than anybody notices), it comes back empty, its replicas synchronise
with it, and the last copies of the data are gone. The same happens when its files are missing.

With ``startup-guard yes`` a node that *started empty* refuses full syncs that would cost a
replica its data, as long as nothing was written here. The replica is told to try later, which it
does every second, and keeps what it has; meanwhile somebody, or a failover, can make it the
primary. The guard ends by itself with the first write (whoever writes here means to begin
anew), or by ``CONFIG SET startup-guard no``.

Which replica has data? One that asks to go on from a history has. One that asks for
everything may be new, or may have lost track of its history. It is let through unless it is
known that this node had replicas before it started: with the guard on, the first replica makes
it leave a file, ``replicas-known``, in its folder.

With the guard off nothing is refused, but the log warns: when a replica attaches while
persistence is off, and when a replica with data is about to become empty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyredis.config import Config
    from pyredis.ports import Disk

MARKER: Final = "replicas-known"
_MARKER_TEXT: Final = b"Replicas have synchronised with this node (see startup-guard).\n"
REFUSAL: Final = (
    "NOMASTERLINK startup-guard: this node started empty, your data would be lost. Write to it or "
    "set startup-guard to no if that is meant."
)
"""The error for the replica. By its first word Redis' replicas know to ask again later."""


class StartupGuard:
    """Decides about full syncs of one node.

    ``holds_data`` tells whether there are any keys; ``changes`` is the count of changes by
    clients and primaries since the start.
    """

    def __init__(
        self,
        config: Config,
        log: Callable[[str, str], None],
        holds_data: Callable[[], bool],
        changes: Callable[[], int],
    ) -> None:
        self._config = config
        self._log = log
        self._holds_data = holds_data
        self._changes = changes
        self._disk: Disk | None = None
        self._empty = False  # started so, and nothing has happened since
        self._replicas_before = False
        self._replicas_now = False
        self._marked = False
        self._warned_of_loss = False
        config.subscribe(("startup-guard",), self._mark)

    def started(self, disk: Disk | None) -> None:
        """Say that the node has loaded its data, or found none. Looks for the marker."""
        self._disk = disk
        self._empty = not self._holds_data() and not self._changes()
        self._replicas_before = self._marked = self._has_marker()
        if self._empty and self._replicas_before:
            consequence = (
                "They keep their data until something is written here (startup-guard)."
                if self._config.startup_guard
                else "They lose their data as soon as they synchronise (see startup-guard)."
            )
            self._log(
                "warning", f"WARNING: this node starts empty, and it had replicas. {consequence}"
            )

    def note_replica(self) -> None:
        """Say that a replica has attached. Warns once if persistence is off."""
        if self._replicas_now:
            return
        self._replicas_now = True
        if not self._config.save and not self._config.appendonly:
            self._log(
                "warning",
                "WARNING: a replica is attached while persistence is off (save and appendonly). "
                "If this node is restarted it comes back empty, and so will its replicas, unless "
                "startup-guard is set to yes or the node is not restarted automatically.",
            )
        self._mark()

    def may_full_sync(self, has_history: bool = True) -> str | None:
        """None if a replica may be synchronised from scratch, else the error to reply.

        ``has_history``: it asked to go on from a replication history, so it has data.
        """
        if not self._is_empty() or not (has_history or self._replicas_before):
            return None
        if self._config.startup_guard:
            self._warn_of_loss(
                "Full sync refused: this node started empty, and the replica would lose its data. "
                "Write to this node or CONFIG SET startup-guard no if that is meant."
            )
            return REFUSAL
        self._warn_of_loss(
            "WARNING: a replica with data synchronises with this node, which started empty: its "
            "data will be gone. Set startup-guard to yes to prevent this."
        )
        return None

    def _is_empty(self) -> bool:
        if self._empty and (self._changes() or self._holds_data()):
            self._empty = False
        return self._empty

    def _warn_of_loss(self, text: str) -> None:
        """Once: replicas ask every second."""
        if not self._warned_of_loss:
            self._warned_of_loss = True
            self._log("warning", text)

    def _has_marker(self) -> bool:
        if self._disk is None:
            return False
        try:
            self._disk.open(MARKER).close()
        except OSError:
            return False
        return True

    def _mark(self) -> None:
        """Leave the marker, if it is needed and not there yet."""
        self._warned_of_loss = False
        if self._marked or not self._replicas_now or not self._config.startup_guard:
            return
        if self._disk is None:
            return
        try:
            file = self._disk.create(MARKER)
            try:
                file.write(_MARKER_TEXT)
                file.sync()
            finally:
                file.close()
            self._disk.sync_folder()
        except OSError as error:
            self._log(
                "warning",
                f"startup-guard: cannot write {MARKER} to {self._disk.folder}: {error.strerror}",
            )
        else:
            self._marked = True
