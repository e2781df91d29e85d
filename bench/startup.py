"""Time from starting the process to its first PONG.

A tight loop on the other core connects and asks PING until the answer comes, so the figure holds
the interpreter's start, the imports, the listening and one reply. The first start of each server is
not counted: it fills the file cache and compiles modules.
"""

import time
from statistics import median

from bench.report import Bound, Line, Table
from bench.servers import Target, await_pong, spawned

CEILING_MS = Bound("<=", 300.0)


def first_pong_ms(target: Target, core: int) -> float:
    """Return the milliseconds one start took; the process is stopped afterwards."""
    start = time.perf_counter()
    with spawned(target, core) as (process, port):
        await_pong(process, port)
        return (time.perf_counter() - start) * 1000


def table(targets: tuple[Target, Target], rounds: int, core: int) -> Table:
    """Return the line with the medians of both servers, started in turn."""
    for target in targets:
        first_pong_ms(target, core)
    rows = [[first_pong_ms(target, core) for target in targets] for _ in range(rounds)]
    redis, ours = zip(*rows, strict=True)
    figures = {
        "redis ms": median(redis),
        "ours ms": median(ours),
        "ours min ms": min(ours),
        "ours max ms": max(ours),
    }
    return Table("Start to first PONG", [Line("PING", figures, CEILING_MS, judged="ours ms")])
