"""The clocks of a simulated machine: derived from virtual time, and wrong if so wished.

A machine reads two clocks. The *steady* one starts with the world and may only run too fast or
too slow (*drift*, in parts per million). The *calendar* drifts with it and can also be set: it
*jumps*. Time stands still while a server works on one batch of events, since virtual time does.
"""

from __future__ import annotations

from typing import Final

from pyredis.sim.world import US_PER_MS, World

EPOCH_MS: Final = 1_700_000_000_000
"""Where the calendar starts: 14 November 2023."""
_MILLION: Final = 1_000_000


class SimClock:
    """A ``Clock`` of one machine."""

    __slots__ = ("_base_us", "_since_us", "_world", "drift_ppm", "offset_us")

    def __init__(self, world: World) -> None:
        self._world = world
        self.offset_us = 0  # how far the calendar was set forward (or back, when negative)
        self.drift_ppm = 0
        self._since_us = 0  # since when the drift is what it is
        self._base_us = 0  # what the steady clock showed then

    def steady_us(self) -> int:
        """Microseconds since the start, as this machine counts them."""
        passed_us = self._world.now_us - self._since_us
        return self._base_us + passed_us + passed_us * self.drift_ppm // _MILLION

    def steady_ns(self) -> int:
        """The same in nanoseconds."""
        if not self.drift_ppm:
            return (self._world.now_us - self._since_us + self._base_us) * 1000
        return self.steady_us() * 1000

    def now_us(self) -> int:
        """Unix time in microseconds."""
        return EPOCH_MS * US_PER_MS + self.offset_us + self.steady_us()

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return EPOCH_MS + (self.offset_us + self.steady_us()) // US_PER_MS

    def jump(self, change_us: int) -> None:
        """Set the calendar forward, or back."""
        self.offset_us += change_us

    def drift(self, ppm: int) -> None:
        """Run fast or slow from now on."""
        self._base_us = self.steady_us()
        self._since_us = self._world.now_us
        self.drift_ppm = ppm

    def until_us(self, time_ms: int) -> int:
        """The virtual time at which the calendar will show ``time_ms``, were nothing to change."""
        wait_us = time_ms * US_PER_MS - self.now_us()
        if not self.drift_ppm:
            return self._world.now_us + wait_us
        # The first instant at which the rounded-down sum is enough.
        wanted_us = wait_us + self.steady_us() - self._base_us
        passed_us = -(-wanted_us * _MILLION // (_MILLION + self.drift_ppm))
        while passed_us + passed_us * self.drift_ppm // _MILLION >= wanted_us:
            passed_us -= 1
        return self._since_us + passed_us + 1
