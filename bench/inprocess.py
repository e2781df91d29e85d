"""Driving the engine without sockets: what remains is the cost of Python alone.

Batches are encoded beforehand and look like a client's pipeline: as redis-benchmark does, each
`__rand_int__` in a command becomes a number of 12 digits, here from a fixed seed, so that two runs
do the same work. A command that reads or pops needs something to find: `filling` makes the batches
that provide one element for each command, with consecutive numbers, so that none repeats.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from bench.client import encode_command
from pyredis.config import Config
from pyredis.engine import Engine
from pyredis.ports import Clock, SystemClock
from pyredis.server import command_table
from pyredis.session import Address, Session

PLACEHOLDER = b"__rand_int__"
KEYSPACE = 1000
FILL_PIPELINE = 100
FILLERS = {
    **dict.fromkeys((b"GET", b"EXISTS", b"EXPIRE"), b"SET key:__rand_int__ xxx"),
    **dict.fromkeys((b"LPOP", b"RPOP", b"LRANGE"), b"RPUSH mylist xxx"),
    b"SPOP": b"SADD myset element:__rand_int__",
    b"HGET": b"HSET myhash element:__rand_int__ xxx",
    b"ZPOPMIN": b"ZADD myzset __rand_int__ element:__rand_int__",
}


def open_engine(clock: Clock | None = None) -> tuple[Engine, Session]:
    """Return an engine with the default configuration and one session of it."""
    engine = Engine(Config(), clock or SystemClock(), random.Random(1), command_table())
    return engine, engine.connect(Address("127.0.0.1:1", "127.0.0.1:2"))


def drawn(seed: int = 1) -> Iterator[int]:
    """Yield numbers below KEYSPACE without end, the same for the same seed."""
    rng = random.Random(seed)
    while True:
        yield rng.randrange(KEYSPACE)


def batches(
    command: Sequence[bytes], pipeline: int, size: int, numbers: Iterable[int] | None = None
) -> list[bytes]:
    """Return `size` encoded batches of `pipeline` commands, numbered by `numbers` or by chance."""
    source = iter(drawn() if numbers is None else numbers)

    def one() -> bytes:
        number = b"%012d" % next(source)
        return encode_command(*(arg.replace(PLACEHOLDER, number) for arg in command))

    return [b"".join(one() for _ in range(pipeline)) for _ in range(size)]


def filling(command: Sequence[bytes], commands: int) -> list[bytes]:
    """Return the batches to feed before `commands` of these; none where nothing is read."""
    filler = FILLERS.get(command[0].upper())
    if filler is None:
        return []
    return batches(filler.split(), FILL_PIPELINE, -(-commands // FILL_PIPELINE), count())


def feed_all(engine: Engine, session: Session, work: Sequence[bytes]) -> None:
    """Run each batch as the shell does, up to the joined bytes it would write."""
    for data in work:
        engine.begin_batch()
        engine.feed(session, data)
        engine.end_batch()
        for ready in engine.take_output():
            b"".join(ready.out)
            ready.out.clear()


def check(engine: Engine, session: Session, data: bytes) -> None:
    """Feed one batch; ValueError when the first reply is an error, which would be cheap to make."""
    engine.feed(session, data)
    first = b"".join(session.out).split(b"\r\n", 1)[0]
    engine.take_output()
    session.out.clear()
    if not first or first.startswith(b"-"):
        raise ValueError(f"the engine answered {first!r}")
