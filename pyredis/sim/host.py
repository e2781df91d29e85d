"""The process that a simulated server believes to run in."""

from __future__ import annotations

from collections.abc import Callable

from pyredis.host import Host
from pyredis.sim.world import US_PER_MS, US_PER_S


class ProcessEnd(BaseException):
    """The process ends here and now. Not an ``Exception``: nobody is left to handle it."""

    def __init__(self, how: str, restart_us: int | None = None) -> None:
        super().__init__(how)
        self.restart_us = restart_us


class SimHost(Host):
    """What commands like DEBUG SLEEP act upon."""

    os = "virtual"

    def __init__(self, process_id: int, hold: Callable[[int], None]) -> None:
        """``hold`` stops the process for some microseconds."""
        self.process_id = process_id
        self.restart_us: int | None = None
        self._hold = hold

    def show(self, text: str) -> None:
        """Nobody watches the standard output."""

    def sleep(self, duration_s: float) -> None:
        """Stop for a while."""
        self._hold(round(duration_s * US_PER_S))

    def crash(self, how: str) -> None:
        """End without order."""
        raise ProcessEnd(how)

    def restart(self, delay_ms: int, orderly: bool) -> None:
        """Begin anew after a delay."""
        if not orderly:
            raise ProcessEnd("restart", delay_ms * US_PER_MS)
        self.restart_us = delay_ms * US_PER_MS
