"""Resident memory that a dataset costs: VmRSS after loading minus VmRSS before.

Keys of 16 bytes with values of 64 bytes, all distinct, are sent through the protocol, because a
dataset made in process could share objects that a real one does not. VmRSS is read when it has
stopped changing: redis-server frees its old hash table some time after the last write. The highest
VmRSS on the way is shown too: it is what the machine must have.
"""

import time

from bench.client import ReplyError, call, connect, encode_command
from bench.report import Bound, Line, Table
from bench.servers import Server, Target, running

CEILING = Bound("<=", 1.6)
BATCH = 1000
SETTLE_STEP_S = 0.5
SETTLE_LIMIT_S = 20.0


def pair(index: int) -> tuple[bytes, bytes]:
    """Return the key and value of one index: 16 and 64 bytes, both unlike any other's."""
    return b"key:%012d" % index, b"value:%058d" % index


def fill(server: Server, keys: int) -> None:
    """Store keys 0 up to `keys`; ReplyError unless the server then counts exactly so many."""
    with connect(server.port) as connection:
        for start in range(0, keys, BATCH):
            batch = range(start, min(start + BATCH, keys))
            connection.sendall(b"".join(encode_command(b"SET", *pair(i)) for i in batch))
            expected = b"+OK\r\n" * len(batch)
            received = b""
            while len(received) < len(expected):
                chunk = connection.recv(65536)
                if not chunk:
                    raise ReplyError(f"{server.name} closed the connection while loading")
                received += chunk
            if received != expected:
                raise ReplyError(f"{server.name} answered {received[:100]!r}")
    if call(server.port, b"DBSIZE") != b":%d" % keys:
        raise ReplyError(f"{server.name} does not hold {keys} keys")


def settled_kb(server: Server) -> int:
    """Return VmRSS once three readings agree, or the last reading when time is up."""
    readings = [server.memory_kb()]
    give_up = time.monotonic() + SETTLE_LIMIT_S
    while time.monotonic() < give_up:
        time.sleep(SETTLE_STEP_S)
        readings.append(server.memory_kb())
        if len(set(readings[-3:])) == 1 and len(readings) >= 3:
            break
    return readings[-1]


def growth(target: Target, keys: int, core: int) -> tuple[int, int, int]:
    """Return KiB: VmRSS before, its growth by the dataset, and the highest VmRSS."""
    with running(target, core) as server:
        before_kb = settled_kb(server)
        fill(server, keys)
        return before_kb, settled_kb(server) - before_kb, server.memory_kb("VmHWM")


def table(targets: tuple[Target, Target], keys: int, core: int) -> Table:
    """Return the line that compares both servers, one after the other."""
    redis, ours = (growth(target, keys, core) for target in targets)
    figures = {
        "redis empty MB": redis[0] / 1024,
        "ours empty MB": ours[0] / 1024,
        "redis growth MB": redis[1] / 1024,
        "ours growth MB": ours[1] / 1024,
        "redis B/key": redis[1] * 1024 / keys,
        "ours B/key": ours[1] * 1024 / keys,
        "redis peak MB": redis[2] / 1024,
        "ours peak MB": ours[2] / 1024,
        "ratio": ours[1] / redis[1],
    }
    return Table("Resident memory", [Line(f"{keys:,} keys", figures, CEILING)])
