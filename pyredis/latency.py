"""The latency monitor: when did something take too long, and how long?

What takes at least ``latency-monitor-threshold`` milliseconds is an *event* of a kind:
``command``, ``fast-command`` (of those that promise to be fast), ``expire-cycle`` and so on.
Each kind keeps its last 160 samples, at most one a second: the worst.

A threshold of 0 switches it off at no cost. Commands are measured anyway, for their
statistics; the engine compares the time with one number, the lower of this threshold and
the slow log's, and comes here only beyond it.

Source: Redis' documentation, "Redis latency monitoring". The graph is drawn from three
heights of character, the report says what the samples tell and what can be done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

SAMPLES_MAX: Final = 160
_COLUMNS_MAX: Final = 80
_ROWS: Final = 4
_TIPS: Final = "_o#"  # a column's uppermost character, from low to high
_STEM: Final = "|"


class Sample(NamedTuple):
    """The worst latency of an event within one second."""

    time_s: int
    latency_ms: int


class Series:
    """What is known of one event."""

    __slots__ = ("max_ms", "samples")

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=SAMPLES_MAX)
        self.max_ms = 0

    def add(self, time_s: int, latency_ms: int) -> None:
        """Take in a latency; a second keeps only its worst."""
        self.max_ms = max(self.max_ms, latency_ms)
        samples = self.samples
        if samples and samples[-1].time_s == time_s:
            if samples[-1].latency_ms < latency_ms:
                samples[-1] = Sample(time_s, latency_ms)
        else:
            samples.append(Sample(time_s, latency_ms))


class LatencyMonitor:
    """All events of one server."""

    __slots__ = ("events", "threshold_ms")

    def __init__(self) -> None:
        self.events: dict[str, Series] = {}
        self.threshold_ms = 0

    def add(self, event: str, duration_ns: int, now_ms: int) -> None:
        """Note what an event took, if that is enough to be of interest."""
        if not self.threshold_ms:
            return
        latency_ms = duration_ns // 1_000_000
        if latency_ms >= self.threshold_ms:
            self.events.setdefault(event, Series()).add(now_ms // 1000, latency_ms)

    def reset(self, events: Sequence[str] = ()) -> int:
        """Forget some events, all if none are named; returns how many there were."""
        if not events:
            count = len(self.events)
            self.events.clear()
            return count
        return sum(self.events.pop(event, None) is not None for event in events)


def graph(event: str, series: Series, now_s: int) -> str:
    """The samples as columns of characters, each with its age below, read downwards."""
    samples = list(series.samples)[-_COLUMNS_MAX:]
    low = min(sample.latency_ms for sample in samples)
    high = max(sample.latency_ms for sample in samples)
    lines = [
        f"{event} - high {high} ms, low {low} ms (all time high {series.max_ms} ms)",
        "-" * _COLUMNS_MAX,
    ]
    columns = [_column(sample.latency_ms - low, high - low) for sample in samples]
    labels = [_age(now_s - sample.time_s) for sample in samples]
    depth = max(map(len, labels))
    lines += ("".join(row).rstrip() for row in zip(*columns, strict=True))
    lines.append("")
    lines += (
        "".join(row).rstrip() for row in zip(*(label.ljust(depth) for label in labels), strict=True)
    )
    return "\n".join(lines) + "\n"


def _column(above: int, span: int) -> str:
    """One column, top character first."""
    steps = _ROWS * len(_TIPS) - 1
    step = above * steps // span if span else steps // 2
    row, tip = divmod(step, len(_TIPS))
    return (_STEM * row + _TIPS[tip]).ljust(_ROWS)[::-1]


def _age(seconds: int) -> str:
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit_s:
            return f"{seconds // unit_s}{unit}"
    return f"{max(0, seconds)}s"


_ADVICE: Final = {
    "command": (
        "Find the slow commands with SLOWLOG GET; lower slowlog-log-slower-than if it is empty.",
        "Commands that visit whole collections (KEYS, SMEMBERS, LRANGE of long lists, SORT) can "
        "be replaced by SCAN and its relatives.",
        "Deleting large values takes long, too: UNLINK frees them in the background.",
    ),
    "fast-command": (
        "Commands that cannot be slow were: the process did not get the CPU, or had to wait for "
        "memory. Look for other processes, for swapping, for a virtual machine that is short "
        "of CPU.",
    ),
    "expire-cycle": (
        "Very many keys reach their end at the same time. Spread the times of expiry, or lower "
        "active-expire-effort.",
    ),
}


def report(monitor: LatencyMonitor) -> str:
    """What LATENCY DOCTOR says."""
    if not monitor.threshold_ms and not monitor.events:
        return (
            "Latency monitoring is disabled. Switch it on with "
            '"CONFIG SET latency-monitor-threshold <milliseconds>".\n'
        )
    if not monitor.events:
        return (
            f"No latency spike of {monitor.threshold_ms} ms or more was seen. Set a lower "
            "latency-monitor-threshold to see shorter ones.\n"
        )
    lines = ["Latency spikes were seen:", ""]
    for number, (event, series) in enumerate(monitor.events.items(), 1):
        lines.append(f"{number}. {event}: {_describe(series)}")
    advice = [text for event in monitor.events for text in _ADVICE.get(event, ())]
    if advice:
        lines += ["", "What can be done:", "", *(f"- {text}" for text in advice)]
    return "\n".join(lines) + "\n"


def _describe(series: Series) -> str:
    samples = series.samples
    mean_ms = sum(sample.latency_ms for sample in samples) / len(samples)
    deviation_ms = sum(abs(sample.latency_ms - mean_ms) for sample in samples) / len(samples)
    text = (
        f"{len(samples)} latency spikes (average {mean_ms:.0f}ms, mean deviation "
        f"{deviation_ms:.0f}ms"
    )
    if len(samples) > 1:
        period_s = (samples[-1].time_s - samples[0].time_s) / (len(samples) - 1)
        text += f", period {period_s:.2f} sec"
    return f"{text}). Worst all time event {series.max_ms}ms."
