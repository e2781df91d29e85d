"""What replicas are told: the stream of a real server beside ours, and what that server lacks.

The stories stand in ``compat/corpus/propagation.txt``; ``compat/judge.py`` runs them on both.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compat.__main__ import CORPUS
from compat.judge import NORMAL, Judge
from compat.propagation import NOWHERE, Allowed, FeedTap, Told, difference, told
from compat.sequences import Step, encode, read
from compat.servers import Follower
from tests.support import REDIS_SERVER, EngineClient

STORIES = read((CORPUS / "propagation.txt").read_text("latin-1"))


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    if REDIS_SERVER is None:
        pytest.skip("redis-server is not installed")
    reference = Follower.reference()
    yield Judge(1, [reference])
    reference.close()


@pytest.mark.parametrize("steps", STORIES, ids=lambda steps: steps[0].commands[0][0].decode())
def test_like_redis(judge: Judge, steps: list[Step]) -> None:
    judge.run(steps, small=False)
    assert judge.limits is NORMAL


def test_one_story_is_told_as_expected(client: EngineClient) -> None:
    """Ours alone, spelled out: so that it can be read what the stories are about."""
    tap = FeedTap()
    client.engine.feeds.append(tap)
    client.engine.observe()
    now_ms = client.clock.now_ms()
    for line in ("SET a 1 EX 9", "GETEX a", "EXPIRE a -1", "MULTI", "INCR b", "GET b", "EXEC",
                 "MULTI", "INCR b", "SELECT 3", "INCR b", "EXEC", "PUBLISH c m"):  # fmt: skip
        client(*line.split())
    assert [str(each) for each in tap.commands()] == [
        f"0: SET a 1 PXAT {now_ms + 9000}", "0: DEL a", "0: INCR b",
        "MULTI", "0: INCR b", "3: INCR b", "EXEC", "3: PUBLISH c m",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("HEXPIRE h 10 FIELDS 1 a", "HPEXPIREAT h {10s} FIELDS 1 a"),
        ("HEXPIRE h 0 FIELDS 1 a", "HDEL h a"),
        ("HGETEX h PX 500 FIELDS 1 a", "HPEXPIREAT h {0.5s} FIELDS 1 a"),
        ("HGETEX h FIELDS 1 a", ""),
        ("HGETDEL h FIELDS 2 a x", "HDEL h a x"),
        ("HSETEX h EX 10 FIELDS 1 a 2", "HSETEX h PXAT {10s} FIELDS 1 a 2"),
        ("HPERSIST h FIELDS 1 a", ""),
        ("MSETEX 1 s 2 EX 10", "MSETEX 1 s 2 PXAT {10s}"),
        ("DELEX s IFEQ 1", "DEL s"),
        ("DELEX s IFEQ 9", ""),
        ("SET s 2 IFEQ 1", "SET s 2"),
        ("SET s 2 IFNE 1", ""),
        ("XDELEX x IDS 1 1-1", "XDELEX x IDS 1 1-1"),
        ("XDELEX x IDS 1 9-9", ""),
        ("XADD x MAXLEN ~ 1 KEEPREF * a 1", "XADD x MAXLEN = 2 KEEPREF {now}-0 a 1"),
    ],
)
def test_what_the_reference_lacks(client: EngineClient, line: str, expected: str) -> None:
    tap = FeedTap()
    client("HSET", "h", "a", "1", "b", "2")
    client("SET", "s", "1")
    client("XADD", "x", "1-1", "a", "1")
    client.engine.feeds.append(tap)
    client.engine.observe()
    client(*line.split())
    now_ms = client.clock.now_ms()
    for word, moment_ms in (("10s", now_ms + 10_000), ("0.5s", now_ms + 500), ("now", now_ms)):
        expected = expected.replace(f"{{{word}}}", str(moment_ms))
    assert [str(each) for each in tap.commands()] == [f"0: {expected}"] * bool(expected)


# The comparison itself


def stream(*lines: str) -> list[Told]:
    return [told(0, line.encode().split()) for line in lines]


def test_what_may_differ() -> None:
    nothing = Allowed()
    assert difference(stream("set a 1"), stream("SET a 1"), nothing) is None
    one, other = stream("SET a 1"), stream("SET a 2")
    assert difference(one, other, nothing) == (one[0], other[0])
    assert difference(one, [], nothing) == (one[0], None)
    now, later = stream("SET a 1 PXAT 1700000000000"), stream("SET a 1 PXAT 1700000000003")
    assert difference(now, later, nothing) is None
    assert difference(now, stream("SET a 1 PXAT 1700000009000"), nothing) is not None
    assert difference([Told(1, [b"INCR", b"a"])], [Told(0, [b"INCR", b"a"])], nothing) is not None


def test_what_may_differ_where_chance_decided() -> None:
    several = stream("MULTI", "SREM s a", "SREM s b", "EXEC", "INCR a")
    once = stream("SREM s c d", "INCR a")
    assert difference(several, once, Allowed()) is not None
    assert difference(several, once, Allowed(chance=True)) is None
    assert difference(several, stream("SREM s c", "INCR a"), Allowed(chance=True)) is not None


def test_what_may_differ_where_a_group_was_read() -> None:
    claim = "XCLAIM s g c 0 1-1 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1-1"
    newer = stream("MULTI", claim, "XGROUP SETID s g 1-1 ENTRIESREAD 1", "EXEC")
    assert difference(stream(claim), newer, Allowed()) is not None
    assert difference(stream(claim), newer, Allowed(groups=True)) is None


def test_a_tap_takes_whole_commands_apart() -> None:
    tap = FeedTap()
    tap.take(2, encode([b"MULTI"]) + encode([b"SET", b"a", b"\r\n"]) + encode([b"EXEC"]))
    assert tap.commands() == [
        (NOWHERE, [b"MULTI"]), (2, [b"SET", b"a", b"\r\n"]), (NOWHERE, [b"EXEC"]),
    ]  # fmt: skip
    assert tap.commands() == []
