"""The orderly end: let replicas catch up, save, go.

A server with replicas that lag behind holds up writes and waits for them, for ``shutdown-timeout``
seconds at most, so that a failover afterwards loses nothing. Then what the saver and the
append-only file need to have done is done. If that fails the server stays, unless it is forced to
go; a wait can be called off (SHUTDOWN ABORT).

Model: Redis' ``prepareForShutdown`` and ``finishShutdown``; log lines are Redis' own.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple

from pyredis.resp import Error

if TYPE_CHECKING:
    from pyredis.engine import Engine

PAUSE: Final = "shutdown"
FAILED: Final = "ERR Errors trying to SHUTDOWN. Check logs."
_FOREVER_MS: Final = 1 << 62


class Wishes(NamedTuple):
    """How the server is to end."""

    save: bool = False
    nosave: bool = False
    now: bool = False  # do not wait for replicas
    force: bool = False  # whatever fails


class Shutdown:
    """The end of one server. It has come when ``engine.exit_status`` is set."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wishes = Wishes()
        self.end_ms: int | None = None  # until when replicas are waited for
        self._asked: Wishes | None = None  # put off to the next turn of the cron

    @property
    def waiting(self) -> bool:
        """Whether the server ends as soon as its replicas have caught up."""
        return self.end_ms is not None

    def ask_by_signal(self, wishes: Wishes) -> None:
        """As ``ask``, but the log says why if the server cannot end. A paused cron puts it off."""
        if self._engine.switches.cron_paused:
            self._asked = wishes
            return
        with contextlib.suppress(Error):
            self.ask(wishes)

    def cron(self) -> None:
        """A job of the cron: do what was put off."""
        if self._asked is not None:
            wishes, self._asked = self._asked, None
            self.ask_by_signal(wishes)

    def ask(self, wishes: Wishes) -> bool:
        """End the server; False if that has to wait. Raises Error if it cannot end.

        While it waits, another request changes nothing.
        """
        engine = self._engine
        if self.waiting:
            return False
        engine.log("notice", "User requested shutdown...")
        self._wishes = wishes
        limit_s = engine.config.shutdown_timeout
        if wishes.now or not limit_s or not self._lagging() or engine.saver.loading is not None:
            self._finish()
            return True
        self.end_ms = engine.now_ms + limit_s * 1000
        engine.serving.set_pause(PAUSE, _FOREVER_MS, all_commands=False)
        engine.replication.want_acks(urgent=True)
        engine.log("notice", "Waiting for replicas before shutting down.")
        return False

    def abort(self) -> None:
        """Stay. Raises Error if nobody wanted the server to end."""
        if not self.waiting and self._asked is None:
            raise Error("ERR No shutdown in progress.")
        self._asked = None
        self._engine.log("warning", "Shutdown manually aborted.")
        self._stay()

    def check(self) -> None:
        """Go, if the replicas have caught up or have had their time."""
        engine = self._engine
        if self.end_ms is None or (self._lagging() and engine.now_ms < self.end_ms):
            return
        self.end_ms = None
        try:
            self._finish()
        except Error:
            self._stay()

    def _stay(self) -> None:
        engine = self._engine
        self.end_ms = None
        engine.serving.lift_pause(PAUSE)
        for session in list(engine.waiters.blocked):
            state = session.blocked
            if state is not None and state.entry.spec.name == "SHUTDOWN":
                engine.serving.unblock(session, FAILED)

    def _lagging(self) -> bool:
        node = self._engine.replication
        return any(
            not each.rdb_only and each.acked_offset != node.history.offset
            for each in node.primary.replicas.values()
        )

    def _finish(self) -> None:
        engine, wishes = self._engine, self._wishes
        self._tell_of_replicas()
        try:
            engine.saver.prepare_exit(wishes.save, wishes.nosave, wishes.force)
        except Error:
            engine.log(
                "warning",
                "Errors trying to shut down the server. Check the logs for more information.",
            )
            raise
        if engine.exit_status is None:  # else the log could not be written as promised
            engine.exit_status = 0
        if engine.running is not None:
            engine.close(engine.running)  # nothing more of its pipeline

    def _tell_of_replicas(self) -> None:
        node, log = self._engine.replication, self._engine.log
        replicas = list(node.primary.replicas.values())
        if not replicas:
            return
        in_sync = 0
        for each in replicas:
            if each.acked_offset == node.history.offset:
                in_sync += 1
                continue
            behind = node.history.offset - each.acked_offset
            log(
                "notice",
                f"Lagging replica {each.name} reported offset {behind} behind master, "
                f"lag={each.lag_s(self._engine.now_ms)}, state={each.phase.shown}.",
            )
        log("notice", f"{in_sync} of {len(replicas)} replicas are in sync when shutting down.")
