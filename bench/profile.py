"""`python -m bench.profile`: where a command spends its time inside the engine.

First by step (see steps.py), then by sampling. A profiler that hooks every call makes small
functions look dear, and this code is all small functions; so an interval timer interrupts the run
about a thousand times a second and notes the function and line it finds. Python delivers a signal
only at certain points (entering a function, turning a loop, returning from a call into C), so a
sample can land one such point late: what precedes a call may be charged to the first line of the
callee. Read neighbours together. Microseconds are shares of the fastest pass.
"""

import argparse
import gc
import signal
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Self

from bench import steps
from bench.inprocess import batches, check, feed_all, filling, open_engine
from bench.report import Line, Table

INTERVAL_S = 0.001
BATCHES = 1000
DEFAULT = ["SET", "key:__rand_int__", "xxx"]


class Sampler:
    """Counts (file, function, line) of the running frame while it is entered."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, int]] = Counter()

    def _note(self, _signal: int, frame: FrameType | None) -> None:
        if frame is not None:
            code = frame.f_code
            self.counts[code.co_filename, code.co_qualname, frame.f_lineno] += 1

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGALRM, self._note)
        signal.setitimer(signal.ITIMER_REAL, INTERVAL_S, INTERVAL_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)


def short(filename: str) -> str:
    """Return a path from the package's own folder on, or the bare name of another file."""
    parts = Path(filename).parts
    for package in ("pyredis", "bench"):
        if package in parts:
            return "/".join(parts[len(parts) - 1 - parts[::-1].index(package) :])
    return parts[-1] if parts else filename


def shares(title: str, counts: Counter[str], total_us: float, limit: int) -> Table:
    """Return the heaviest names with their share of the samples and of the time a command."""
    total = counts.total()
    lines = [
        Line(name, {"share %": 100 * count / total, "µs": total_us * count / total})
        for name, count in counts.most_common(limit)
    ]
    return Table(title, lines)


def tables(counts: Counter[tuple[str, str, int]], total_us: float) -> list[Table]:
    """Return the same samples by file, by function and by line."""
    files: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for (filename, function, number), count in counts.items():
        name = short(filename)
        files[name] += count
        functions[f"{name} {function}"] += count
        lines[f"{name}:{number} {function}"] += count
    return [
        shares("By file", files, total_us, 10),
        shares("By function", functions, total_us, 15),
        shares("By line", lines, total_us, 20),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.profile")
    parser.add_argument("command", nargs="*", default=DEFAULT, help="(SET key:__rand_int__ xxx)")
    parser.add_argument("--pipeline", type=int, default=16, help="commands a batch (16)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to sample (5)")
    options = parser.parse_args()
    command = [arg.encode() for arg in options.command]
    engine, session = open_engine()
    work = batches(command, options.pipeline, BATCHES)
    fill = filling(command, BATCHES * options.pipeline)
    feed_all(engine, session, fill)
    check(engine, session, work[0])
    gc.freeze()
    sampler = Sampler()
    passes_s: list[float] = []
    give_up = time.monotonic() + options.seconds
    while time.monotonic() < give_up or not passes_s:
        feed_all(engine, session, fill)
        start = time.process_time()
        with sampler:
            feed_all(engine, session, work)
        passes_s.append(time.process_time() - start)
    total_us = min(passes_s) * 1e6 / (BATCHES * options.pipeline)
    print(f"{' '.join(options.command)}: {total_us:.2f} µs, {options.pipeline} a batch\n")
    print(steps.table(command, options.pipeline).render())
    for table in tables(sampler.counts, total_us):
        print(table.render())


if __name__ == "__main__":
    main()
