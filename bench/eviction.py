"""Eviction: how good the choice of victims is, and what it costs.

**Hit rate.** Both servers act as a cache with room for a tenth of the keys, under the same traffic:
GET, and SET where that found nothing. Which key is asked for follows Zipf's law, with the ranks
dealt to keys by chance. Batches alternate between the servers, so both see the same time go by:
LRU clocks tick in seconds, and a server that was asked faster would tell fewer ages apart.
``maxmemory`` is what the server itself says it uses when it holds that many such keys, set right
twice under traffic, since tables and buffers take more then. The keys held in the end are shown,
for a server that holds more has it easier.

**Cost.** Two of our servers, one with a limit and full, one without. Nearly all keys are new, so
with the limit each SET evicts a key. As everywhere, rounds alternate and the ratio is the median.
"""

import random
import socket
import subprocess
from itertools import accumulate
from statistics import median

from bench.client import ReplyError, call, connect, encode_command, info
from bench.compare import LOAD_TIMEOUT_S, parse_csv
from bench.report import Bound, Line, Table
from bench.servers import Server, Target, running

POLICIES = ("allkeys-lru", "allkeys-lfu")
EXPONENT = 1.0
BATCH = 100
VALUE = b"v" * 64
HIT_RATE_FLOOR = Bound(">=", -1.0)
COST_FLOOR = Bound(">=", 0.5)
PIPELINES = (1, 16)
KEYS_FULL = 50_000


class Cache:
    """A server used as a cache, over one connection, counting hits."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.hits = self.asked = 0
        self._connection: socket.socket = connect(server.port)
        self._received = b""

    def ask(self, keys: list[bytes]) -> None:
        """GET all keys in one pipeline, then SET those that were missing in another."""
        self._connection.sendall(b"".join(encode_command(b"GET", key) for key in keys))
        missing = [key for key in keys if not self._found()]
        self._connection.sendall(b"".join(encode_command(b"SET", key, VALUE) for key in missing))
        for _ in missing:
            reply = self._line()
            if reply != b"+OK":
                raise ReplyError(f"{self.server.name} answered {reply!r}")
        self.asked += len(keys)
        self.hits += len(keys) - len(missing)

    def fill(self, keys: list[bytes]) -> None:
        """Ask for all of them, in batches."""
        for start in range(0, len(keys), BATCH):
            self.ask(keys[start : start + BATCH])

    def _found(self) -> bool:
        size = int(self._line()[1:])
        if size >= 0:
            self._take(size + 2)
        return size >= 0

    def _line(self) -> bytes:
        while b"\r\n" not in self._received:
            self._receive()
        line, self._received = self._received.split(b"\r\n", 1)
        return line

    def _take(self, size: int) -> None:
        while len(self._received) < size:
            self._receive()
        self._received = self._received[size:]

    def _receive(self) -> None:
        chunk = self._connection.recv(65536)
        if not chunk:
            raise ReplyError(f"{self.server.name} closed the connection")
        self._received += chunk

    def close(self) -> None:
        self._connection.close()


def traffic(keys: int, requests: int, seed: int = 1) -> list[bytes]:
    """Return the keys asked for, in order: the n-th most popular with weight 1 / n."""
    rng = random.Random(seed)
    names = [b"key:%012d" % number for number in range(keys)]
    rng.shuffle(names)
    weights = accumulate(1 / rank**EXPONENT for rank in range(1, keys + 1))
    return rng.choices(names, cum_weights=list(weights), k=requests)


def limit_to(cache: Cache, policy: str, keys: list[bytes], warming: list[bytes]) -> None:
    """Set maxmemory so that the server holds that many keys, and empty it."""
    port = cache.server.port
    call(port, b"CONFIG", b"SET", b"maxmemory", b"16gb")  # we keep an account only with a limit
    call(port, b"CONFIG", b"SET", b"maxmemory-policy", policy.encode())
    empty = int(info(port, b"memory")["used_memory"])
    cache.fill(keys)
    limit = int(info(port, b"memory")["used_memory"])
    key_bytes = (limit - empty) // len(keys)
    for _ in range(2):
        call(port, b"CONFIG", b"SET", b"maxmemory", b"%d" % limit)
        cache.fill(warming)
        limit += (len(keys) - int(call(port, b"DBSIZE")[1:])) * key_bytes
    call(port, b"CONFIG", b"SET", b"maxmemory", b"%d" % limit)
    call(port, b"FLUSHALL")
    cache.hits = cache.asked = 0


def hit_rates(
    targets: tuple[Target, Target], policy: str, keys: int, requests: int, core: int
) -> Line:
    """Return hit rates in percent, and how many keys each server held in the end."""
    asked = traffic(keys, requests)
    sample = [b"key:%012d" % number for number in range(keys // 10)]
    with running(targets[0], core) as redis, running(targets[1], core) as ours:
        caches = [Cache(redis), Cache(ours)]
        for cache in caches:
            limit_to(cache, policy, sample, asked[: requests // 8])
        for start in range(0, requests, BATCH):
            for cache in caches:
                cache.ask(asked[start : start + BATCH])
        rates = [100 * cache.hits / cache.asked for cache in caches]
        held = [int(call(cache.server.port, b"DBSIZE")[1:]) for cache in caches]
        for cache in caches:
            cache.close()
    figures = {
        "redis hit %": rates[0],
        "ours hit %": rates[1],
        "redis keys": held[0],
        "ours keys": held[1],
        "difference": rates[1] - rates[0],
    }
    return Line(policy, figures, HIT_RATE_FLOOR, judged="difference")


def load(server: Server, pipeline: int, requests: int) -> tuple[float, float]:
    """Return SETs of random keys a second, and the server's CPU time for one in microseconds."""
    command = ["redis-benchmark", "-p", str(server.port), "-t", "set", "-r", "1000000000"]
    command += ["-d", "64", "-P", str(pipeline), "-n", str(requests), "--csv"]
    before_s = server.cpu_s()
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=LOAD_TIMEOUT_S
    )
    return parse_csv(done.stdout).rate, (server.cpu_s() - before_s) * 1e6 / requests


def cost(target: Target, pipeline: int, rounds: int, requests: int, core: int) -> Line:
    """Return the throughput of a full server that evicts, and that of one without a limit."""
    samples: list[tuple[float, float, float, float]] = []
    with running(target, core) as free, running(target, core) as full:
        call(full.port, b"CONFIG", b"SET", b"maxmemory-policy", b"allkeys-lru")
        call(full.port, b"CONFIG", b"SET", b"maxmemory", b"16gb")
        cache = Cache(full)
        cache.fill([b"key:%012d" % number for number in range(KEYS_FULL)])
        cache.close()
        used = info(full.port, b"memory")["used_memory"]
        call(full.port, b"CONFIG", b"SET", b"maxmemory", used.encode())
        for _ in range(rounds):
            call(free.port, b"FLUSHALL")
            samples.append((*load(free, pipeline, requests), *load(full, pipeline, requests)))
    figures = {
        "free req/s": median(sample[0] for sample in samples),
        "evicting req/s": median(sample[2] for sample in samples),
        "ratio": median(sample[2] / sample[0] for sample in samples),
        "free CPU µs": median(sample[1] for sample in samples),
        "evicting CPU µs": median(sample[3] for sample in samples),
        "CPU ratio": median(sample[1] / sample[3] for sample in samples),
    }
    return Line(f"SET, pipeline {pipeline}", figures, COST_FLOOR)


def tables(
    targets: tuple[Target, Target], rounds: int, scale: float, core: int
) -> tuple[Table, Table]:
    """Return the table of hit rates and that of the cost."""
    keys, requests = int(100_000 * scale), int(500_000 * scale)
    rates = [hit_rates(targets, policy, keys, requests, core) for policy in POLICIES]
    lines = [
        cost(targets[1], pipeline, rounds, int(scale * 100_000) * min(pipeline, 4), core)
        for pipeline in PIPELINES
    ]
    return (
        Table(f"Cache with room for a tenth of {keys:,} keys, Zipf traffic", rates),
        Table("Evicting a key with each SET, ours", lines),
    )
