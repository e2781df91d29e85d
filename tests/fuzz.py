"""Hostile bytes: valid requests, mutated, and plain noise, all from one seed.

    python -m tests.fuzz 1000000 --seed 7      # the long run; prints what it did

Each string is fed to an engine by a client of its own, whole or in cuts. The engine must
survive, answer in well-formed RESP, and hold nothing of the client once it is gone.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Iterator

from pyredis.engine import Engine
from pyredis.resp import encode_command
from pyredis.session import Address
from tests.support import Incomplete, new_engine, parse_reply

SEEDS = [
    encode_command([b"PING"]),
    encode_command([b"SET", b"key", b"value"]),
    encode_command([b"GET", b"key"]),
    encode_command([b"SET", b"a\r\nb", b"*1\r\n$4\r\nPING\r\n"]),
    encode_command([b"ECHO", b"x" * 300]),
    encode_command([b"MSET", b"a", b"1", b"b", b"2"]),
    encode_command([b"DEL", b"key", b""]),
    b"PING\r\n",
    b"SET inline 'quoted value'\r\n",
    b'ECHO "\\x00\\n\\r"\r\n',
    b"*0\r\n*-1\r\n\r\n",
    encode_command([b"INCR", b"n"]) * 3,
]
_NUMBERS = [
    b"-1",
    b"0",
    b"00",
    b"+1",
    b"1024",
    b"16384",
    b"65536",
    b"1048577",
    b"536870913",
    b"2147483648",
    b"9223372036854775807",
    b"9223372036854775808",
    b" 3",
    b"3 ",
    b"0x3",
    b"",
]
_TOKENS = [b"\r\n", b"\n", b"\r", b"*", b"$", b"\0", b"'", b'"', b"\\x", b"+", b":", b"\xff"]


def mutant(rng: random.Random) -> bytes:
    """One byte string."""
    kind = rng.random()
    if kind < 0.1:
        return rng.randbytes(rng.randrange(1, 60))
    data = bytearray(b"".join(rng.choices(SEEDS, k=rng.randrange(1, 4))))
    if kind < 0.2:
        return bytes(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        what = rng.random()
        if what < 0.25 and at < len(data):
            data[at] = rng.randrange(256)
        elif what < 0.45:
            del data[at : at + rng.randrange(1, 6)]
        elif what < 0.65:
            data[at:at] = rng.choice(_TOKENS)
        elif what < 0.85:
            digits = [i for i, byte in enumerate(data) if 0x30 <= byte <= 0x39]
            if digits:
                where = rng.choice(digits)
                data[where : where + 1] = rng.choice(_NUMBERS)
        else:
            start = rng.randrange(len(data) + 1)
            data[at:at] = data[start : start + 20]
        if not data:
            data = bytearray(b"\r\n")
    return bytes(data)


def mutants(seed: int, count: int) -> Iterator[bytes]:
    """``count`` strings, the same for the same seed."""
    rng = random.Random(seed)
    for _ in range(count):
        yield mutant(rng)


def feed(engine: Engine, data: bytes, cuts: list[int]) -> tuple[bytes, bool]:
    """Feed one client's bytes in pieces; returns its output and whether it was to be closed."""
    engine.begin_batch()
    session = engine.connect(Address("127.0.0.1:1", "127.0.0.1:2"))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    for piece in pieces:
        if piece and not session.closing:
            engine.feed(session, piece)
    engine.end_batch()
    out = b"".join(session.out)
    session.out.clear()
    engine.take_output()
    engine.take_doomed()
    closing = bool(session.closing)
    engine.disconnect(session)
    return out, closing


def check_replies(out: bytes) -> Counter[str]:
    """Assert that the bytes are whole RESP values; counts them by kind."""
    kinds: Counter[str] = Counter()
    at = 0
    while at < len(out):
        try:
            reply, at = parse_reply(out, at)
        except Incomplete:
            raise AssertionError(f"a torn reply: {out!r}") from None
        kinds[type(reply).__name__] += 1
    return kinds


def run(count: int, seed: int) -> Counter[str]:
    """The whole run; returns how many replies of each kind there were."""
    engine, _ = new_engine()
    rng = random.Random(seed + 1)
    kinds: Counter[str] = Counter()
    for number, data in enumerate(mutants(seed, count)):
        cuts = sorted(rng.sample(range(len(data)), min(len(data), rng.randrange(3))))
        out, closed = feed(engine, data, cuts)
        kinds += check_replies(out)
        kinds["closed"] += closed
        assert not engine.sessions, f"string {number} leaked a client: {data!r}"
        assert not engine.waiters.blocked
    assert engine.stats.unexpected_errors == 0, "a handler failed; see the log"
    return kinds


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    kinds = run(options.count, options.seed)
    print(f"{options.count} strings, seed {options.seed}, {time.monotonic() - started:.0f} s")
    for name, number in kinds.most_common():
        print(f"{number:>12} {name}")


if __name__ == "__main__":
    main()
