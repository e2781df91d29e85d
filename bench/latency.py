"""Latency as redis-benchmark's clients saw it, at full load without pipelining.

The 50 clients each wait for a reply before they ask again, so these figures are mostly the time in
the queue: the median is about 50 divided by the throughput. What they add to the ratio is the tail:
a pause (a collection of garbage, a resized table) shows in p99 and nowhere else.
"""

from statistics import median

from bench.compare import Samples
from bench.report import Line, Table


def table(title: str, results: list[Samples]) -> Table:
    """Return the medians over the rounds of both percentiles for both servers."""
    lines = []
    for samples in results:
        figures = {
            f"{name} {label} ms": median(getattr(sample, field) for sample in side)
            for label, field in (("p50", "p50_ms"), ("p99", "p99_ms"))
            for name, side in (("redis", samples.redis), ("ours", samples.ours))
        }
        lines.append(Line(samples.test.name, figures))
    return Table(f"Latency: {title}", lines)
