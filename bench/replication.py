"""Replication: what replicas cost their primary, and whether they keep up.

**Cost.** SETs in pipelines of 16 to two primaries of the same kind, one of them with two replicas.
The replicas are redis-server's, whichever the primary is: they need little of the core that they
share with the load, so the figure is the primary's own. As everywhere, rounds alternate and the
ratio is the median. The CPU time for a request does not depend on the core's other work at all.

**Keeping up.** A primary and a replica of the same kind run on cores of their own. The replica is
attached, a load runs, and its CPU time is set against the primary's: below 1, it applies the
stream with less work than the primary had with the requests.

**Full sync.** A primary with many keys is asked PING all the time while a replica synchronises
with it, to disk and without one. The longest time to a PONG is the longest that anything has
held the loop, the fork included.
"""

import subprocess
import time
from statistics import median

from bench.client import call, connect, encode_command, info, read_line
from bench.compare import LOAD_TIMEOUT_S, parse_csv
from bench.report import Bound, Line, Table
from bench.servers import REDIS, Server, Target, running

PIPELINE = 16
COST_FLOOR = Bound(">=", 0.8)
APPLY_CEILING = Bound("<=", 1.0)
PAUSE_CEILING = Bound("<=", 50.0)
SYNC_TIMEOUT_S = 60.0


def load(server: Server, requests: int) -> tuple[float, float]:
    """Return SETs a second, and the server's CPU time for one in microseconds."""
    command = ["redis-benchmark", "-p", str(server.port), "-t", "set", "-r", "100000"]
    command += ["-P", str(PIPELINE), "-n", str(requests), "--csv"]
    before_s = server.cpu_s()
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=LOAD_TIMEOUT_S
    )
    return parse_csv(done.stdout).rate, (server.cpu_s() - before_s) * 1e6 / requests


def attach(replica: Server, primary: Server) -> None:
    """Make it a replica, and return when its link is up."""
    call(replica.port, b"REPLICAOF", b"127.0.0.1", b"%d" % primary.port)
    await_field(replica, "master_link_status", "up")


def await_field(server: Server, name: str, value: str) -> None:
    """Return when INFO replication says so; TimeoutError if it never does."""
    give_up = time.perf_counter() + SYNC_TIMEOUT_S
    while info(server.port, b"replication").get(name) != value:
        if time.perf_counter() > give_up:
            raise TimeoutError(f"{server.name}: {name} is not {value}")
        time.sleep(0.01)


def caught_up(replica: Server, primary: Server) -> None:
    """Return when the replica has applied all of the stream."""
    call(primary.port, b"WAIT", b"1", b"60000")
    await_field(
        replica, "slave_repl_offset", info(primary.port, b"replication")["master_repl_offset"]
    )


def cost(target: Target, rounds: int, requests: int, core: int, load_core: int) -> Line:
    """Return the throughput of a primary with two replicas beside that of one without."""
    samples: list[tuple[float, float, float, float]] = []
    with (
        running(target, core) as alone,
        running(target, core) as primary,
        running(REDIS, load_core) as first,
        running(REDIS, load_core) as second,
    ):
        for replica in (first, second):
            attach(replica, primary)
        for _ in range(rounds):
            samples.append((*load(alone, requests), *load(primary, requests)))
            for replica in (first, second):
                caught_up(replica, primary)
    figures = {
        "alone req/s": median(sample[0] for sample in samples),
        "2 replicas req/s": median(sample[2] for sample in samples),
        "ratio": median(sample[2] / sample[0] for sample in samples),
        "alone CPU µs": median(sample[1] for sample in samples),
        "2 replicas CPU µs": median(sample[3] for sample in samples),
        "CPU ratio": median(sample[1] / sample[3] for sample in samples),
    }
    return Line(target.name, figures, COST_FLOOR)


def keeping_up(target: Target, requests: int, core: int, load_core: int) -> Line:
    """Return the CPU time for a request of a primary and of its replica."""
    with running(target, core) as primary, running(target, load_core) as replica:
        attach(replica, primary)
        before_s = replica.cpu_s()
        _, primary_us = load(primary, requests)
        caught_up(replica, primary)
        replica_us = (replica.cpu_s() - before_s) * 1e6 / requests
    figures = {
        "primary CPU µs": primary_us,
        "replica CPU µs": replica_us,
        "ratio": replica_us / primary_us,
    }
    return Line(target.name, figures, APPLY_CEILING)


def full_sync(target: Target, diskless: bool, keys: int, core: int, load_core: int) -> Line:
    """Return how long a sync takes, and the longest wait for a PONG meanwhile."""
    with running(target, core) as primary, running(REDIS, load_core) as replica:
        call(primary.port, b"CONFIG", b"SET", b"repl-diskless-sync-delay", b"0")
        call(primary.port, b"CONFIG", b"SET", b"repl-diskless-sync", b"yes" if diskless else b"no")
        call(primary.port, b"DEBUG", b"POPULATE", b"%d" % keys, b"key", b"64")
        call(replica.port, b"REPLICAOF", b"127.0.0.1", b"%d" % primary.port)
        worst_ms = 0.0
        began = time.perf_counter()
        with connect(primary.port) as connection:
            while True:
                asked = time.perf_counter()
                connection.sendall(encode_command(b"PING"))
                read_line(connection)
                now = time.perf_counter()
                worst_ms = max(worst_ms, (now - asked) * 1000)
                if now - began > SYNC_TIMEOUT_S:
                    raise TimeoutError(f"{target.name}: no full sync")
                if int((now - began) * 100) != int((asked - began) * 100) and (
                    info(replica.port, b"replication").get("master_link_status") == "up"
                ):
                    break
        took_s = time.perf_counter() - began
    figures = {"keys": keys, "seconds": took_s, "worst PING ms": worst_ms}
    way = "without a disk" if diskless else "to disk"
    return Line(f"{target.name}, {way}", figures, PAUSE_CEILING, judged="worst PING ms")


def tables(
    targets: tuple[Target, Target], rounds: int, scale: float, core: int, load_core: int
) -> tuple[Table, Table, Table]:
    """Return the tables of cost, of keeping up, and of full syncs."""
    requests = int(500_000 * scale)
    with_debug = [
        Target(each.name, (*each.command, "--enable-debug-command", "yes")) for each in targets
    ]
    return (
        Table(
            f"SET by {PIPELINE} in a pipeline, with two replicas attached",
            [cost(each, rounds, requests, core, load_core) for each in targets],
        ),
        Table(
            "A replica's work with the stream",
            [keeping_up(each, requests, core, load_core) for each in targets],
        ),
        Table(
            "A full sync, seen from the primary's clients",
            [
                full_sync(each, diskless, int(1_000_000 * scale), core, load_core)
                for each in with_debug
                for diskless in (False, True)
            ],
        ),
    )
