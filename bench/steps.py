"""A command's time split into steps, by leaving steps out and seeing what is saved.

Timers around steps of 100 ns would cost as much as the steps. So whole passes are timed: as they
are; with a handler that returns a ready reply (what is missing is the handler); then also with a
clock that costs nearly nothing (what is missing is the timing of each command). Splitting the
input, joining the output and an empty batch are timed alone. What is left is the engine's own loop:
header checks, dispatch, counters, encoding.

The variants take turns, the best pass of each counts, and CPU time is read instead of the wall
clock, because noise only ever adds. Differences below 0.03 µs still mean nothing.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any

from bench.inprocess import batches, feed_all, filling, open_engine
from bench.report import Line, Table
from pyredis.engine import Engine
from pyredis.session import Session

PASSES = 25
BATCHES = 300


class FreeClock:
    """A clock that stands still and is one C call."""

    steady_ns = staticmethod(repeat(0).__next__)

    def now_ms(self) -> int:
        return 1_700_000_000_000


def best_us(
    variants: Mapping[str, Callable[[], object]], commands: int, before: Callable[[], object]
) -> dict[str, float]:
    """Return for each variant the microseconds a command of its fastest pass.

    `before` runs ahead of each round of passes and is not counted.
    """
    best_s = dict.fromkeys(variants, float("inf"))
    for _ in range(PASSES):
        before()
        for name, run in variants.items():
            start = time.process_time()
            run()
            best_s[name] = min(best_s[name], time.process_time() - start)
    return {name: seconds * 1e6 / commands for name, seconds in best_s.items()}


def without_handler(
    engine: Engine, session: Session, command: Sequence[bytes], data: bytes
) -> None:
    """Let the engine answer this command with what it answers now, doing nothing for it.

    ValueError when it does not know the command.
    """
    entry = engine.table.find(command)
    if entry is None:
        raise ValueError(f"the engine does not know {command[0]!r}")
    handler, replies = entry.handler, []

    def recording(*args: Any) -> Any:
        replies.append(handler(*args))
        return replies[-1]

    entry.handler = recording
    feed_all(engine, session, [data])
    reply = replies[-1]
    if len(command) <= 3:
        entry.handler = lambda ctx, first=None, second=None: reply
    else:
        entry.handler = lambda ctx, *args: reply


def table(command: Sequence[bytes], pipeline: int) -> Table:
    """Return the steps of one command; ValueError when the engine does not know it."""
    work = batches(command, pipeline, BATCHES)
    whole, idle, free = open_engine(), open_engine(), open_engine(FreeClock())
    fill = filling(command, BATCHES * pipeline)
    for engine, session in (idle, free):
        feed_all(engine, session, fill)
        without_handler(engine, session, command, work[0])
    idle[0].feed(idle[1], work[0])
    pieces = list(idle[1].out)
    empty = [b""] * BATCHES
    best = best_us(
        {
            "whole": lambda: feed_all(*whole, work),
            "idle": lambda: feed_all(*idle, work),
            "free": lambda: feed_all(*free, work),
            "batch": lambda: feed_all(*whole, empty),
            "split": lambda: [data.split(b"\r\n") for data in work],
            "join": lambda: [b"".join(pieces) for _ in work],
        },
        BATCHES * pipeline,
        before=lambda: feed_all(*whole, fill),
    )
    apart = best["batch"] + best["split"] + best["join"]
    steps = {
        "batch: begin, end, bookkeeping": best["batch"],
        "split the input": best["split"],
        "check, dispatch, count, encode": best["free"] - apart,
        "time the command": best["idle"] - best["free"],
        "handler": best["whole"] - best["idle"],
        "join the output": best["join"],
        "whole": best["whole"],
    }
    lines = [
        Line(name, {"µs": step_us, "share %": 100 * step_us / best["whole"]})
        for name, step_us in steps.items()
    ]
    return Table("By step", lines)
