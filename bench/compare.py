"""Throughput of the two servers under redis-benchmark, as a ratio.

A figure in requests per second belongs to a machine and to a minute; a ratio taken within seconds
keeps its meaning. So both servers run at the same time on the same core, the load alternates
between them test by test, each round gives one ratio, and the median of the rounds is the result.
The idle server costs a timer tick now and then, the same for both.

Where one load generator cannot keep a server busy, requests per second compare the generator with
itself and flatter the slower server. The server's CPU time per request has no such ceiling, so it
stands beside every ratio.
"""

import csv
import io
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from bench.client import call
from bench.plan import Case, Section
from bench.report import Line, Table
from bench.servers import Server, Target, running

LOAD_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Sample:
    """What one run of redis-benchmark said, and what the server spent on it."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float = 0.0  # a request


@dataclass(frozen=True)
class Samples:
    """All rounds of one test, the two servers in step."""

    test: Case
    redis: list[Sample]
    ours: list[Sample]

    def ratios(self) -> list[float]:
        return [ours.rate / redis.rate for redis, ours in zip(self.redis, self.ours, strict=True)]


def parse_csv(text: str) -> Sample:
    """Return the last test in redis-benchmark's CSV; ValueError when there is none.

    Warnings may precede the header line, so reading starts where the header does.
    """
    start = text.find('"test"')
    rows = list(csv.DictReader(io.StringIO(text[start:]))) if start >= 0 else []
    if not rows:
        raise ValueError(f"redis-benchmark gave no figures: {text!r}")
    row = rows[-1]
    return Sample(float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"]))


def load(server: Server, section: Section, test: Case, scale: float) -> Sample:
    """Return one measured run, on the caller's core; RuntimeError when redis-benchmark fails."""
    if test.fresh:
        call(server.port, b"FLUSHALL")
    if test.fill:
        call(server.port, b"RPUSH", b"mylist", *[b"xxx"] * test.fill)
    command = ["redis-benchmark", "-p", str(server.port), *section.arguments(test, scale)]
    cpu_before_s = server.cpu_s()
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=LOAD_TIMEOUT_S
    )
    cpu_s = server.cpu_s() - cpu_before_s
    if done.returncode:
        raise RuntimeError(f"{test.name} on {server.name}: {done.stdout} {done.stderr}")
    sample = parse_csv(done.stdout)
    cpu_us = cpu_s * 1e6 / section.requests_of(test, scale)
    return Sample(sample.rate, sample.p50_ms, sample.p99_ms, cpu_us)


def measure(
    section: Section, targets: tuple[Target, Target], rounds: int, scale: float, core: int
) -> list[Samples]:
    """Return the samples of a section; both servers run on `core`."""
    results = [Samples(test, [], []) for test in section.tests]
    with ExitStack() as stack:
        redis, ours = (stack.enter_context(running(target, core)) for target in targets)
        for _ in range(rounds):
            for samples in results:
                samples.redis.append(load(redis, section, samples.test, scale))
                samples.ours.append(load(ours, section, samples.test, scale))
    return results


def table(section: Section, results: list[Samples]) -> Table:
    """Return medians, the ratio with its spread over the rounds, and CPU time a request."""
    lines = []
    for samples in results:
        ratios = samples.ratios()
        cpu_redis_us = median(sample.cpu_us for sample in samples.redis)
        cpu_ours_us = median(sample.cpu_us for sample in samples.ours)
        figures = {
            "redis req/s": median(sample.rate for sample in samples.redis),
            "ours req/s": median(sample.rate for sample in samples.ours),
            "ratio": median(ratios),
            "min": min(ratios),
            "max": max(ratios),
            "redis CPU µs": cpu_redis_us,
            "ours CPU µs": cpu_ours_us,
            "CPU ratio": cpu_redis_us / cpu_ours_us,
        }
        lines.append(Line(samples.test.name, figures, section.bound(samples.test)))
    return Table(section.title, lines)
