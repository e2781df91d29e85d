"""`python -m bench.micro`: microseconds the engine needs for each command, without sockets.

The best of several passes is shown beside the median: noise only ever adds time, so the best pass
is nearest to the cost of the code, and the distance to the median tells how noisy the machine was.
"""

import argparse
import time
from statistics import median

from bench.inprocess import batches, check, feed_all, filling, open_engine
from bench.report import Line, Table

PASSES = 15
BATCHES = 300
COMMANDS = (
    "PING",
    "SET key:__rand_int__ xxx",
    "GET key:__rand_int__",
    "INCR counter:__rand_int__",
    "EXISTS key:__rand_int__",
    "EXPIRE key:__rand_int__ 100",
    "RPUSH mylist xxx",
    "LPOP mylist",
    "LRANGE mylist 0 9",
    "SADD myset element:__rand_int__",
    "SPOP myset",
    "HSET myhash element:__rand_int__ xxx",
    "HGET myhash element:__rand_int__",
    "ZADD myzset __rand_int__ element:__rand_int__",
    "ZPOPMIN myzset",
    "MSET key:__rand_int__ 1 key2:__rand_int__ 2 key3:__rand_int__ 3",
)


def line(command: str, pipeline: int) -> Line:
    """Return the figures of one command on an engine of its own."""
    engine, session = open_engine()
    argv = command.encode().split()
    work = batches(argv, pipeline, BATCHES)
    fill = filling(argv, BATCHES * pipeline)
    feed_all(engine, session, fill)
    check(engine, session, work[0])
    passes_us = []
    for _ in range(PASSES):
        feed_all(engine, session, fill)
        start = time.process_time()
        feed_all(engine, session, work)
        passes_us.append((time.process_time() - start) * 1e6 / (BATCHES * pipeline))
    return Line(command, {"best µs": min(passes_us), "median µs": median(passes_us)})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.micro")
    parser.add_argument("--pipeline", type=int, default=16, help="commands a batch (16)")
    pipeline = parser.parse_args().pipeline
    known = open_engine()[0].table.find
    unknown = [command for command in COMMANDS if known(command.encode().split()) is None]
    lines = [line(command, pipeline) for command in COMMANDS if command not in unknown]
    note = f"This engine does not know: {', '.join(unknown)}." if unknown else ""
    print(Table(f"Engine, in process, {pipeline} a batch", lines, note).render())


if __name__ == "__main__":
    main()
