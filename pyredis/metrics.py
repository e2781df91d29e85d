"""Rates: how much of something happens a second at present.

Every 100 ms the growth of a counter is turned into a rate; the last 16 of these are averaged,
so the figure tells of the last 1.6 seconds. Sampled by the cron, never where the counting
is done.

Source: the instantaneous metrics of Redis' INFO.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyredis.engine import Engine

SAMPLES: Final = 16
PERIOD_MS: Final = 100


class Rate:
    """The growth of one counter a second."""

    __slots__ = ("_last", "_rates")

    def __init__(self) -> None:
        self._rates: deque[float] = deque(maxlen=SAMPLES)
        self._last = 0

    def sample(self, counter: int, elapsed_ms: float) -> None:
        """Take the counter's present value, so long after the last. O(1)."""
        self._rates.append(_grown(self._last, counter) * 1000 / elapsed_ms)
        self._last = counter

    @property
    def per_second(self) -> float:
        """The mean of the last samples, 0.0 before the first."""
        return sum(self._rates) / len(self._rates) if self._rates else 0.0


class Metrics:
    """The rates that INFO shows, and the busiest tenth of a second so far."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last_ns = engine.clock.steady_ns()
        self._commands = 0
        self._cycles = 0
        self.reset()

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        self.commands = Rate()
        self.input_bytes = Rate()
        self.output_bytes = Rate()
        self.input_stream = Rate()  # what comes from our primary, a part of input_bytes
        self.output_stream = Rate()  # what goes to replicas, a part of output_bytes
        self.cycles = Rate()
        self.cycle_ns = Rate()
        self.commands_per_cycle_max = 0

    def sample(self) -> None:
        """A job of the cron: take samples if it is time."""
        engine = self._engine
        now_ns = engine.clock.steady_ns()
        elapsed_ms = (now_ns - self._last_ns) / 1_000_000
        if elapsed_ms < PERIOD_MS:
            return
        self._last_ns = now_ns
        stats = engine.stats
        commands = commands_processed(engine)
        self.commands.sample(commands, elapsed_ms)
        streamed = engine.replication.received_bytes
        self.input_bytes.sample(stats.input_bytes + streamed, elapsed_ms)
        self.output_bytes.sample(stats.output_bytes, elapsed_ms)
        self.input_stream.sample(streamed, elapsed_ms)
        self.output_stream.sample(engine.replication.primary.sent_bytes, elapsed_ms)
        self.cycles.sample(stats.cycles, elapsed_ms)
        self.cycle_ns.sample(stats.cycles_ns, elapsed_ms)
        cycles = _grown(self._cycles, stats.cycles)
        if cycles:
            mean = -(-_grown(self._commands, commands) // cycles)
            self.commands_per_cycle_max = max(self.commands_per_cycle_max, mean)
        self._commands, self._cycles = commands, stats.cycles


def _grown(before: int, now: int) -> int:
    """By how much a counter has grown; one that was reset in between starts again from 0."""
    return now - before if now >= before else now


def commands_processed(engine: Engine) -> int:
    """How many commands have run since the start or the last reset. O(commands in the table)."""
    return sum(entry.calls for entry in engine.table.all())
