"""The same commands to redis-server and to ours: the two append-only files hold the same requests.

What differs by nature is levelled: times, which are some moment of now, and the spelling of
command names. Commands that leave something to chance are tested elsewhere.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyredis.persistence.aof_load import AofReader
from pyredis.ports import ManualClock
from pyredis.sim.disk import SimDisk
from tests.samples import VALUES
from tests.simserver import SimServer
from tests.support import REDIS_SERVER, RealRedis

COMMANDS: list[tuple[Any, ...]] = [
    *(
        tuple(name if part == "k" else part for part in command)
        for name, commands in VALUES.items()
        for command in commands
    ),
    ("SET", "s", "v", "EX", 100),
    ("SET", "s", "v", "PX", 100_000, "GET"),
    ("SET", "s", "v", "EXAT", 4_000_000_000),
    ("SET", "s", "v", "KEEPTTL"),
    ("SET", "s", "w", "NX"),
    ("SETEX", "s", 100, "v"),
    ("PSETEX", "s", 100_000, "v"),
    ("SETNX", "s", "v"),
    ("SETNX", "snx", "v"),
    ("GETSET", "s", "v"),
    ("GETDEL", "s"),
    ("GETDEL", "s"),
    ("SET", "s", "v"),
    ("GETEX", "s", "EX", 100),
    ("GETEX", "s", "PERSIST"),
    ("GETEX", "s", "PXAT", 4_000_000_000_000),
    ("GETEX", "s"),
    ("EXPIRE", "s", 100),
    ("EXPIRE", "s", 200, "GT"),
    ("EXPIRE", "s", 100, "GT"),
    ("PEXPIRE", "s", 100_000),
    ("EXPIREAT", "s", 4_000_000_000),
    ("PEXPIREAT", "s", 4_000_000_000_000),
    ("PERSIST", "s"),
    ("PERSIST", "s"),
    ("EXPIRE", "s", -1),
    ("INCR", "i"),
    ("INCRBY", "i", 5),
    ("DECR", "i"),
    ("INCRBYFLOAT", "f", "1.5"),
    ("APPEND", "a", "x"),
    ("APPEND", "a", "y"),
    ("SETRANGE", "a", 5, "z"),
    ("SETRANGE", "a", 5, ""),
    ("SETBIT", "bits", 7, 1),
    ("BITFIELD", "bits", "SET", "u8", 0, 3, "GET", "u8", 0),
    ("BITFIELD", "bits", "GET", "u8", 0),
    ("BITOP", "AND", "bits2", "bits", "a"),
    ("MSET", "m1", 1, "m2", 2),
    ("MSETNX", "m1", 1, "m3", 2),
    ("MSETNX", "m4", 1, "m5", 2),
    ("PFADD", "hll", "a", "b"),
    ("PFADD", "hll", "a"),
    ("PFMERGE", "hll2", "hll"),
    ("LPUSH", "l", 1, 2, 3),
    ("RPUSH", "l", 4),
    ("LPUSHX", "nolist", 4),
    ("RPUSHX", "l", 5),
    ("LPOP", "l"),
    ("RPOP", "l", 2),
    ("LPOP", "nolist"),
    ("RPUSH", "l", "a", "b", "c", "a", "d"),
    ("LINSERT", "l", "BEFORE", "b", "x"),
    ("LINSERT", "l", "BEFORE", "nothing", "x"),
    ("LSET", "l", 0, "y"),
    ("LREM", "l", 0, "a"),
    ("LREM", "l", 0, "nothing"),
    ("LTRIM", "l", 0, 2),
    ("RPOPLPUSH", "l", "l2"),
    ("LMOVE", "l", "l2", "LEFT", "RIGHT"),
    ("BLMOVE", "l2", "l", "LEFT", "RIGHT", 1),
    ("BRPOPLPUSH", "l2", "l", 1),
    ("BLPOP", "nolist", "l", 1),
    ("RPUSH", "l", 1, 2, 3),
    ("BRPOP", "l", 1),
    ("LMPOP", 2, "nolist", "l", "LEFT", "COUNT", 1),
    ("BLMPOP", 1, 1, "l", "RIGHT", "COUNT", 9),
    ("SADD", "u", 1, 2, 3),
    ("SADD", "u", 1),
    ("SREM", "u", 1, 9),
    ("SREM", "u", 9),
    ("SMOVE", "u", "u2", 2),
    ("SMOVE", "u", "u2", 9),
    ("SADD", "one", "x"),
    ("SPOP", "one"),
    ("SADD", "one", "x", "y"),
    ("SPOP", "one", 5),
    ("SINTERSTORE", "u3", "u", "u2"),
    ("SUNIONSTORE", "u3", "u", "u2"),
    ("SDIFFSTORE", "u3", "u", "u"),
    ("HSET", "h", "a", 1, "b", 2),
    ("HSETNX", "h", "a", 1),
    ("HSETNX", "h", "c", 1),
    ("HMSET", "h", "d", 1),
    ("HINCRBY", "h", "a", 1),
    ("HINCRBYFLOAT", "h", "a", "1.5"),
    ("HDEL", "h", "a", "nothing"),
    ("HDEL", "h", "nothing"),
    ("ZADD", "z", 1, "a", 2, "b", 3, "c"),
    ("ZADD", "z", "NX", 1, "a"),
    ("ZADD", "z", "GT", "CH", 5, "a"),
    ("ZADD", "z", "INCR", 5, "a"),
    ("ZINCRBY", "z", 1.5, "a"),
    ("ZREM", "z", "a", "nothing"),
    ("ZPOPMIN", "z"),
    ("ZPOPMAX", "z", 5),
    ("ZADD", "z", 1, "a", 2, "b", 3, "c", 4, "d", 5, "e"),
    ("BZPOPMIN", "z", 1),
    ("ZMPOP", 1, "z", "MAX", "COUNT", 1),
    ("BZMPOP", 1, 1, "z", "MIN"),
    ("ZREMRANGEBYSCORE", "z", 0, 3),
    ("ZREMRANGEBYRANK", "z", 9, 10),
    ("ZUNIONSTORE", "z2", 1, "z"),
    ("ZRANGESTORE", "z3", "z2", 0, -1),
    ("ZINTERSTORE", "z3", 2, "z2", "nothing"),
    ("GEOADD", "geo", 13.361389, 38.115556, "Palermo"),
    ("GEOSEARCHSTORE", "geo2", "geo", "FROMMEMBER", "Palermo", "BYRADIUS", 1, "km"),
    ("XADD", "x", "1-1", "a", "b"),
    ("XADD", "x", "NOMKSTREAM", "MAXLEN", 10, "2-1", "a", "b"),
    ("XGROUP", "CREATE", "x", "g", 0),
    ("XGROUP", "CREATECONSUMER", "x", "g", "idle"),
    ("XGROUP", "CREATECONSUMER", "x", "g", "idle"),
    ("XREADGROUP", "GROUP", "g", "alice", "COUNT", 1, "STREAMS", "x", ">"),
    ("XREADGROUP", "GROUP", "g", "alice", "NOACK", "COUNT", 1, "STREAMS", "x", ">"),
    ("XREADGROUP", "GROUP", "g", "alice", "STREAMS", "x", 0),
    ("XCLAIM", "x", "g", "bob", 0, "1-1"),
    ("XAUTOCLAIM", "x", "g", "alice", 0, 0),
    ("XACK", "x", "g", "1-1"),
    ("XACK", "x", "g", "1-1"),
    ("XGROUP", "SETID", "x", "g", "0"),
    ("XGROUP", "DELCONSUMER", "x", "g", "idle"),
    ("XDEL", "x", "1-1"),
    ("XTRIM", "x", "MAXLEN", 0),
    ("XTRIM", "x", "MAXLEN", 0),
    ("XSETID", "x", "9-9"),
    ("XGROUP", "DESTROY", "x", "g"),
    ("RPUSH", "sortme", 3, 1, 2),
    ("SORT", "sortme", "STORE", "sorted"),
    ("COPY", "sorted", "copied"),
    ("COPY", "sorted", "copied", "DB", 3, "REPLACE"),
    ("RENAME", "copied", "renamed"),
    ("RENAMENX", "renamed", "sorted"),
    ("MOVE", "renamed", 2),
    ("TOUCH", "sorted"),
    ("UNLINK", "sorted", "nothing"),
    ("DEL", "sortme", "nothing"),
    ("DEL", "nothing"),
    ("SELECT", 2),
    ("SET", "elsewhere", 1),
    ("SELECT", 0),
    ("SWAPDB", 1, 2),
    ("MULTI",),
    ("SET", "a", 1),
    ("GET", "a"),
    ("INCR", "n"),
    ("EXEC",),
    ("MULTI",),
    ("SELECT", 5),
    ("SET", "a", 1),
    ("SELECT", 0),
    ("SET", "b", 1),
    ("EXEC",),
    ("MULTI",),
    ("GET", "a"),
    ("EXEC",),
    ("EVAL", "redis.call('SET', KEYS[1], 1) redis.call('INCR', KEYS[1]) return 1", 1, "script"),
    ("EVAL", "return redis.call('SET', KEYS[1], 1)", 1, "script"),
    ("EVAL", "return redis.call('GET', KEYS[1])", 1, "script"),
    ("SCRIPT", "LOAD", "return 1"),
    ("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 1 end)"),
    ("FCALL", "f", 0),
    ("FUNCTION", "DELETE", "lib"),
    ("FUNCTION", "FLUSH"),
    ("PUBLISH", "channel", "message"),
    ("SPUBLISH", "channel", "message"),
    ("CONFIG", "SET", "maxmemory-samples", 4),
    ("RESTORE", "restored", 100_000, b"\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"),
    ("FLUSHDB",),
    ("FLUSHALL", "ASYNC"),
    ("SET", "last", 1),
]


@pytest.fixture(scope="module")
def real() -> Iterator[RealRedis]:
    if REDIS_SERVER is None:
        pytest.skip("redis-server is not installed")
    server = RealRedis("--appendonly", "yes", "--hz", "10")
    yield server
    server.close()


def requests(data: bytes) -> list[list[bytes]]:
    """The requests of an increment, levelled."""
    reader = AofReader()
    items = reader.feed(data)
    assert reader.finish() == ""
    found = [_level(item.argv) for item in items]
    for at, argv in enumerate(found):  # 7.0 selects the database before MULTI, 7.2 behind it
        if argv[0] == b"SELECT" and found[at - 1] == [b"MULTI"]:
            found[at - 1], found[at] = argv, found[at - 1]
    # Since 7.2 Redis adds this to XREADGROUP, which makes a transaction of a single XCLAIM.
    found = [argv for argv in found if argv[0] != b"XGROUP" or b"ENTRIESREAD" not in argv]
    return [argv for at, argv in enumerate(found) if not _wraps_one(found, at)]


def _wraps_one(found: list[list[bytes]], at: int) -> bool:
    """Whether it is the MULTI or the EXEC of a transaction of one."""
    multi, execute = [b"MULTI"], [b"EXEC"]
    if found[at] == multi:
        return found[at + 2 : at + 3] == [execute]
    return found[at] == execute and found[at - 2] == multi


def _level(argv: list[bytes]) -> list[bytes]:
    now_ms = time.time() * 1000
    levelled = [argv[0].upper()]
    for arg in argv[1:]:
        if re.fullmatch(rb"\d{13}", arg) and abs(int(arg) - now_ms) < 1_000_000:
            arg = b"<now>"
        levelled.append(arg.upper() if arg.upper() in _WORDS else arg)
    return levelled


_WORDS = {b"PXAT", b"KEEPTTL", b"ABSTTL", b"REPLACE"}


def test_the_files_hold_the_same(real: RealRedis) -> None:
    client = real.client()
    ours = SimServer(SimDisk(), ManualClock(time.time_ns() // 1_000_000))
    for command in COMMANDS:
        expected, got = client(*command), ours(*command)
        if command[0] not in ("EVAL", "FUNCTION", "XAUTOCLAIM"):
            assert type(got) is type(expected), (command, expected, got)
    folder = Path(real.folder) / "appendonlydir"
    theirs = requests((folder / "appendonly.aof.1.incr.aof").read_bytes())
    mine = requests(ours.disk.files()["appendonlydir/appendonly.aof.1.incr.aof"])
    for place, (expected, got) in enumerate(zip(theirs, mine, strict=False)):
        before = theirs[max(0, place - 3) : place]
        assert got == expected, f"at {place} redis {expected}, ours {got}, after {before}"
    assert len(mine) == len(theirs)
