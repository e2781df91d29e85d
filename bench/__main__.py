"""`python -m bench`: measure both servers, print the tables, keep the results."""

import argparse
import signal
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from bench import aof, compare, eviction, latency, memory, rdb, replication, report, startup
from bench.client import ReplyError, info
from bench.plan import SECTIONS
from bench.servers import OURS, REDIS, Target, cores, pinned, running

RESULTS = Path(__file__).parent / "results"
OTHERS = ("aof", "eviction", "latency", "memory", "rdb", "replication", "startup")
CHOICES = (*(section.key for section in SECTIONS), *OTHERS)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the keys, short rounds")
    parser.add_argument("--only", action="append", choices=CHOICES, help="may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="alternations a test (5)")
    parser.add_argument("--redis", metavar="CMD", help="first server, with a {port}")
    parser.add_argument("--ours", metavar="CMD", help="second server, with a {port}")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the files")
    return parser.parse_args()


def version(target: Target, core: int) -> str:
    """Return what the server says it is; it is started for the question."""
    with running(target, core) as server:
        try:
            fields = info(server.port, b"server")
        except ReplyError as error:
            return f"unknown, INFO says {error}"
    own = fields.get("pyredis_version")
    return f"pyredis {own}" if own else f"redis {fields.get('redis_version', 'unknown')}"


def tables(
    options: argparse.Namespace, targets: tuple[Target, Target], core: int
) -> Iterator[report.Table]:
    """Yield each table as soon as it is measured."""
    wanted = set(options.only or CHOICES)
    scale = 0.4 if options.quick else 1.0
    for section in SECTIONS:
        with_latency = section.key == "plain" and "latency" in wanted
        if section.key not in wanted and not with_latency:
            continue
        results = compare.measure(section, targets, options.rounds, scale, core)
        if section.key in wanted:
            yield compare.table(section, results)
        if with_latency:
            yield latency.table(section.title, results)
    if "memory" in wanted:
        yield memory.table(targets, 200_000 if options.quick else 1_000_000, core)
    if "aof" in wanted:
        yield from aof.tables(targets, options.rounds, scale, core)
    if "eviction" in wanted:
        yield from eviction.tables(targets, options.rounds, scale, core)
    if "rdb" in wanted:
        keys = 200_000 if options.quick else 1_000_000
        yield from rdb.tables(targets, options.rounds, keys, core)
    if "replication" in wanted:
        yield from replication.tables(targets, options.rounds, scale, core, cores()[1])
    if "startup" in wanted:
        yield startup.table(targets, 3 if options.quick else 7, core)


def main() -> int:
    """Return 0 after a whole run, also where a bound was missed; the summary names those."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped
    targets = (
        Target.parse("redis", options.redis) if options.redis else REDIS,
        Target.parse("ours", options.ours) if options.ours else OURS,
    )
    facts = report.machine()
    core, load_core = cores()
    facts |= {target.name: version(target, core) for target in targets}
    facts["cores used"] = f"servers {core}, load {load_core}"
    facts["run"] = f"{options.rounds} rounds{', quick' if options.quick else ''}"
    for name, value in facts.items():
        print(f"{name}: {value}")
    done: list[report.Table] = []
    try:
        with pinned(load_core):
            for table in tables(options, targets, core):
                done.append(table)
                print(f"\n{table.render()}", flush=True)
    finally:
        if done:
            path = report.write(options.results, datetime.now(), facts, done)
            print(f"{report.summary(done)}\n{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
