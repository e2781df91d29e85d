"""What is measured, as data: the tests, the sections they run in, and the floor of each.

A floor is the least share of redis-server's throughput that counts as good enough. It applies to a
section with one fixed key and to its twin with random keys alike: random keys are the harder case
because new keys really appear.

Words: a *test* is one command under load; a *section* runs tests with one setting of pipeline and
clients; *fresh* means that the dataset is emptied first. Tests that pop are not fresh: they consume
what the tests before them pushed, in redis-benchmark's own order.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.report import Bound

KEYSPACE = 100_000


@dataclass(frozen=True)
class Case:
    """One command under load; `share` scales the number of requests of slow commands."""

    name: str
    arguments: tuple[str, ...]
    share: float = 1.0
    fresh: bool = True
    fill: int = 0  # elements pushed to `mylist` beforehand


def _builtin(name: str, share: float = 1.0, fresh: bool = True) -> Case:
    return Case(name, ("-t", name.lower()), share, fresh)


def _lrange(count: int) -> Case:
    # The same request as `-t lrange_N`, but without its LPUSH phase, which would be counted as CPU.
    arguments = ("lrange", "mylist", "0", str(count - 1))
    return Case(f"LRANGE_{count}", arguments, share=0.2, fill=1000)


PINGS = (_builtin("PING_INLINE"), _builtin("PING_MBULK"))
COUNTERS = (_builtin("SET"), _builtin("GET", fresh=False), _builtin("INCR"))
LISTS = (
    _builtin("LPUSH"),
    _builtin("RPUSH", fresh=False),
    _builtin("LPOP", fresh=False),
    _builtin("RPOP", fresh=False),
)
OTHERS = (
    _builtin("SADD"),
    _builtin("HSET", fresh=False),  # SPOP still needs what SADD made
    _builtin("SPOP", fresh=False),
    _builtin("ZADD"),
    _builtin("ZPOPMIN", fresh=False),
)
MSET = _builtin("MSET", share=0.2)
LRANGES = tuple(_lrange(count) for count in (100, 300, 500, 600))


@dataclass(frozen=True)
class Section:
    """Tests under one setting. `floors` by test name; `floor_else` for all the others."""

    key: str
    title: str
    pipeline: int
    clients: int
    requests: int
    tests: tuple[Case, ...]
    floors: Mapping[str, float]
    floor_else: float | None = None
    random_keys: bool = False

    def bound(self, test: Case) -> Bound | None:
        """Return the floor for one test, or None when it is only shown."""
        floor = self.floors.get(test.name, self.floor_else)
        return None if floor is None else Bound(">=", floor)

    def arguments(self, test: Case, scale: float) -> list[str]:
        """Return redis-benchmark's arguments, apart from the port."""
        step = self.pipeline * self.clients
        requests = max(step, round(self.requests * test.share * scale / step) * step)
        setting = ["-n", str(requests), "-c", str(self.clients), "-P", str(self.pipeline)]
        if self.random_keys:
            setting += ["-r", str(KEYSPACE)]
        return [*setting, "--csv", *test.arguments]

    def requests_of(self, test: Case, scale: float) -> int:
        """Return how many requests `arguments` asks for."""
        return int(self.arguments(test, scale)[1])


FAST = ("SET", "GET", "INCR", "LPUSH", "RPOP", "SADD", "HSET", "SPOP", "ZADD", "ZPOPMIN", "MSET")
PLAIN_FLOORS = dict.fromkeys(FAST, 0.85) | {"LRANGE_100": 0.6}
PIPELINE_FLOORS = dict.fromkeys(("SET", "GET", "INCR"), 0.40)

EVERYTHING = (*PINGS, *COUNTERS, *LISTS, *OTHERS, *LRANGES, MSET)
TYPES = (*COUNTERS, *LISTS, *OTHERS, MSET)
# redis-benchmark's list tests use one key whatever -r says, so they have no random twin.
KEYED = (*COUNTERS, *OTHERS, MSET)


def _pair(
    key: str,
    title: str,
    pipeline: int,
    clients: int,
    requests: int,
    tests: tuple[Case, ...],
    floors: Mapping[str, float],
    floor_else: float | None,
) -> tuple[Section, Section]:
    fixed = Section(key, title, pipeline, clients, requests, tests, floors, floor_else)
    title = f"{title}, {KEYSPACE} random keys"
    twin = Section(f"{key}-r", title, pipeline, clients, requests, KEYED, floors, floor_else, True)
    return fixed, twin


SECTIONS = (
    *_pair("plain", "No pipelining, 50 clients", 1, 50, 50_000, EVERYTHING, PLAIN_FLOORS, None),
    *_pair("p16", "16 a pipeline, 50 clients", 16, 50, 200_000, TYPES, PIPELINE_FLOORS, 0.30),
    *_pair("p100", "100 a pipeline, 10 clients", 100, 10, 400_000, TYPES, {}, 0.30),
)
