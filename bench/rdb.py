"""Snapshots: how fast they are written and loaded, and whom a background save holds up.

A million small strings are made (DEBUG POPULATE), saved with SAVE, and loaded again with DEBUG
RELOAD NOSAVE, each timed from outside. Then BGSAVE runs while a client asks PING all the time:
the longest wait for a PONG is the longest that anything has held the loop, the fork included.
"""

import time
from statistics import median

from bench.client import call, connect, encode_command, info, read_line
from bench.report import Bound, Line, Table
from bench.servers import Server, Target, running

SPEED_FLOOR = Bound(">=", 0.15)
PAUSE_CEILING = Bound("<=", 50.0)
TIMEOUT_S = 60.0


def timed(server: Server, *command: bytes) -> float:
    """Return the seconds until the reply."""
    began = time.perf_counter()
    call(server.port, *command)
    return time.perf_counter() - began


def worst_ping_ms(server: Server) -> float:
    """Return the longest wait for a PONG from BGSAVE until it has ended."""
    call(server.port, b"BGSAVE")
    worst_ms = 0.0
    began = time.perf_counter()
    with connect(server.port) as connection:
        while time.perf_counter() - began < TIMEOUT_S:
            for _ in range(200):
                asked = time.perf_counter()
                connection.sendall(encode_command(b"PING"))
                read_line(connection)
                worst_ms = max(worst_ms, (time.perf_counter() - asked) * 1000)
            if info(server.port, b"persistence")["rdb_bgsave_in_progress"] == "0":
                return worst_ms
    raise TimeoutError(f"{server.name}: BGSAVE does not end")


def tables(
    targets: tuple[Target, Target], rounds: int, keys: int, core: int
) -> tuple[Table, Table]:
    """Return the table of speed and that of pauses."""
    saves: list[list[float]] = []
    loads: list[list[float]] = []
    pauses: list[list[float]] = []
    options = ("--enable-debug-command", "yes")
    redis, ours = (Target(each.name, each.command + options) for each in targets)
    with running(redis, core) as first, running(ours, core) as second:
        servers = (first, second)
        for server in servers:
            call(server.port, b"DEBUG", b"POPULATE", b"%d" % keys)
        for _ in range(rounds):
            saves.append([timed(server, b"SAVE") for server in servers])
            loads.append([timed(server, b"DEBUG", b"RELOAD", b"NOSAVE") for server in servers])
            pauses.append([worst_ping_ms(server) for server in servers])
    speed = [
        Line(
            name,
            {
                "redis s": median(row[0] for row in rows),
                "ours s": median(row[1] for row in rows),
                "ratio": median(row[0] / row[1] for row in rows),
            },
            SPEED_FLOOR,
        )
        for name, rows in (("save", saves), ("load", loads))
    ]
    pause = [
        Line(
            server.name,
            {
                "median ms": median(row[at] for row in pauses),
                "worst ms": max(row[at] for row in pauses),
            },
            PAUSE_CEILING,
            judged="worst ms",
        )
        for at, server in enumerate(servers)
    ]
    return (
        Table(f"Snapshots of {keys:,} strings", speed),
        Table(f"Worst PING during BGSAVE of {keys:,} strings", pause),
    )
