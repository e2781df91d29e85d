"""FAILOVER: a primary hands its part over to a replica, and nothing is lost.

    none --FAILOVER--> waiting-for-sync --a replica has all of the stream--> failover-in-progress
    waiting-for-sync --timeout, FORCE--> failover-in-progress
    waiting-for-sync --timeout, ABORT--> none
    failover-in-progress --it has taken over--> none, as its replica
    failover-in-progress --it refuses, ABORT--> none, as the primary again

Writes are held up from the start (the pause has the reason "failover"), so the stream comes to
an end and the replica can reach it. Then this server follows the replica, with a PSYNC that
tells it to be the primary first. The clients whose writes wait go on when that is done, and
learn then who accepts them.

Source: redis.io, "FAILOVER"; Redis' ``failoverCommand`` and ``checkClientPauseTimeout``.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from pyredis.replication.downstream import Downstream, Phase
from pyredis.resp import Error

if TYPE_CHECKING:
    from pyredis.replication.node import Replication

PAUSE: Final = "failover"
_FOREVER_MS: Final = 1 << 62


class State(enum.Enum):
    """How far it is; the values are INFO's master_failover_state."""

    NONE = "no-failover"
    WAITING = "waiting-for-sync"
    HANDING_OVER = "failover-in-progress"


_NONE: Final = State.NONE  # read in every batch; by its name it costs a quarter of a microsecond


class Failover:
    """One server's failover."""

    def __init__(self, node: Replication) -> None:
        self._node = node
        self.state = State.NONE
        self._target: tuple[str, int] | None = None
        self._force = False
        self._end_ms: int | None = None

    @property
    def active(self) -> bool:
        """Whether one is going on."""
        return self.state is not _NONE

    def deadline(self) -> int | None:
        """When waiting ends."""
        return self._end_ms if self.state is State.WAITING else None

    def start(self, target: tuple[str, int] | None, force: bool, timeout_ms: int | None) -> None:
        """Begin. Raises Error if there is nobody to hand over to."""
        node = self._node
        engine = node.engine
        if self.active:
            raise Error("ERR FAILOVER already in progress.")
        if node.address is not None:
            raise Error("ERR FAILOVER is not valid when server is a replica.")
        if not node.primary.replicas:
            raise Error("ERR FAILOVER requires connected replicas.")
        if force and (timeout_ms is None or target is None):
            raise Error(
                "ERR FAILOVER with force option requires both a timeout and target HOST and IP."
            )
        if target is not None:
            found = self._find(target)
            if found is None:
                raise Error("ERR FAILOVER target HOST and PORT is not a replica.")
            if found.phase is not Phase.ONLINE:
                raise Error("ERR FAILOVER target replica is not online.")
        self._target, self._force = target, force
        self._end_ms = engine.now_ms + timeout_ms if timeout_ms is not None else None
        self.state = State.WAITING
        node.alert = True
        wanted = f" to {target[0]}:{target[1]}" if target is not None else ""
        engine.log("notice", f"FAILOVER requested{wanted}.")
        engine.serving.set_pause(PAUSE, _FOREVER_MS, all_commands=False)
        node.want_acks(urgent=True)

    def abort(self) -> None:
        """FAILOVER ABORT. Raises Error if there is none."""
        if not self.active:
            raise Error("ERR No failover in progress.")
        self._give_up("Failover manually aborted")

    def check(self) -> None:
        """Hand over if a replica has all of the stream, or the time is over."""
        if self.state is not State.WAITING:
            return
        node = self._node
        engine = node.engine
        ready = self._ready()
        if ready is not None:
            engine.log(
                "notice", f"Failover target {ready.host}:{ready.port} is synced, failing over."
            )
            self._hand_over((ready.host, ready.port))
        elif self._end_ms is not None and engine.now_ms >= self._end_ms:
            if self._force and self._target is not None:
                engine.log(
                    "notice",
                    f"Failover to {self._target[0]}:{self._target[1]} time out exceeded, failing "
                    "over.",
                )
                self._hand_over(self._target)
            else:
                self._give_up("Replica never caught up before timeout")

    def refused(self, reason: str) -> None:
        """The target does not take over."""
        if self.state is State.HANDING_OVER:
            self._give_up(f"Failover target rejected psync request: {reason}")

    def done(self) -> None:
        """Our link to the new primary works."""
        if self.state is State.HANDING_OVER:
            self._clear()

    def _find(self, target: tuple[str, int]) -> Downstream | None:
        host, port = target
        return next(
            (
                each
                for each in self._node.primary.replicas.values()
                if each.port == port and host in (each.host, each.announced_host)
            ),
            None,
        )

    def _ready(self) -> Downstream | None:
        """A replica (the one asked for, if any) that has acknowledged the whole stream."""
        node = self._node
        if self._target is not None:
            found = self._find(self._target)
            chosen = [found] if found is not None else []
        else:
            chosen = list(node.primary.replicas.values())
        return next(
            (
                each
                for each in chosen
                if each.phase is Phase.ONLINE and each.acked_offset >= node.history.offset
            ),
            None,
        )

    def _hand_over(self, target: tuple[str, int]) -> None:
        self.state = State.HANDING_OVER
        self._target = target
        self._node.follow(*target, failover=True)

    def _give_up(self, reason: str) -> None:
        node = self._node
        handing_over = self.state is State.HANDING_OVER
        node.engine.log("notice", f"FAILOVER aborted: {reason}")
        self._clear()
        if handing_over:
            node.unfollow()

    def _clear(self) -> None:
        self.state = State.NONE
        self._target, self._force, self._end_ms = None, False, None
        self._node.engine.serving.lift_pause(PAUSE)
