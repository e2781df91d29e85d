"""XINFO: what it shows of streams, groups and consumers."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.support import EngineClient, Twin


def mask(reply: Any) -> Any:
    """A reply of 7.0 or 7.2 without what only the latter has, and without times."""
    if isinstance(reply, tuple):
        return ("map", mask([part for pair in reply[1] for part in pair]))
    if not isinstance(reply, list):
        return 0 if isinstance(reply, int) and reply > 10**12 else reply
    shown: list[Any] = []
    for at, part in enumerate(reply):
        before = reply[at - 1] if at else None
        if part in (b"active-time", b"inactive") or before in (b"active-time", b"inactive"):
            continue
        shown.append(0 if before == b"idle" else mask(part))
    return shown


def both(twin: Twin, *request: Any) -> None:
    """Compare what does not depend on time or version."""
    assert mask(twin.ours(*request)) == mask(twin.real(*request))


@pytest.mark.parametrize("protocol", [2, 3])
def test_shapes(twin: Twin, protocol: int) -> None:
    twin.real("HELLO", protocol)
    twin.ours.session.resp3 = protocol == 3
    twin("SET", "str", 1)
    twin("XGROUP", "CREATE", "s", "zz", "$", "MKSTREAM")
    for number in (0, 130):
        for count in range(1, number + 1):
            twin("XADD", "s", f"{count}-0", "f", count)
        if number:
            twin("XGROUP", "CREATE", "s", "g", "0")
            for name in ("b", "a"):
                twin("XREADGROUP", "GROUP", "g", name, "COUNT", 12, "STREAMS", "s", ">")
            twin("XGROUP", "CREATECONSUMER", "s", "zz", "lazy")
        for line in (
            "STREAM s", "STREAM s FULL", "STREAM s full COUNT 3", "STREAM s FULL COUNT 0",
            "STREAM s FULL COUNT -5", "STREAM s FULL COUNT x", "STREAM s FULL COUNT",
            "STREAM s FOO", "STREAM s FULL FOO 5", "STREAM s FULL COUNT 5 6", "STREAM no",
            "STREAM str", "STREAM no FOO", "STREAM", "GROUPS s", "GROUPS no", "GROUPS str",
            "GROUPS", "GROUPS s x", "CONSUMERS s g", "CONSUMERS s no", "CONSUMERS no g",
            "CONSUMERS str g", "CONSUMERS s", "FOO", "CONSUMERS s zz",
        ):  # fmt: skip
            both(twin, "XINFO", *line.split())


def test_times_of_consumers(client: EngineClient) -> None:
    """New in 7.2."""
    start_ms = client.clock.now_ms()
    client("XADD", "s", "1-1", "f", "v")
    client("XGROUP", "CREATE", "s", "g", "0")
    client("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">")
    client.clock.advance(50)
    client("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">")
    client("XGROUP", "CREATECONSUMER", "s", "g", "b")
    [group] = client("XINFO", "STREAM", "s", "FULL")[-1]
    assert group[-1] == [
        [b"name", b"a", b"seen-time", start_ms + 50, b"active-time", start_ms, b"pel-count", 1,
         b"pending", [[b"1-1", start_ms, 1]]],
        [b"name", b"b", b"seen-time", start_ms + 50, b"active-time", -1, b"pel-count", 0,
         b"pending", []],
    ]  # fmt: skip


def test_lag(twin: Twin) -> None:
    """Whatever was deleted, and wherever groups stand."""
    rng = random.Random(5)
    for _ in range(12):
        twin("FLUSHALL")
        last = 0
        for _ in range(60):
            some = f"{rng.randint(0, last + 1)}-0"
            group = f"g{rng.randint(0, 3)}"
            kind = rng.randrange(11)
            if kind < 4:
                last += 1
                twin("XADD", "s", f"{last}-0", "f", "v")
            elif not last:
                continue
            elif kind == 4:
                twin("XDEL", "s", some)
            elif kind == 5:
                twin("XTRIM", "s", "MAXLEN", rng.randint(0, 9))
            elif kind == 6:
                read = ["ENTRIESREAD", rng.randint(-1, last)] * rng.randint(0, 1)
                command = rng.choice(("CREATE", "SETID"))
                twin("XGROUP", command, "s", group, rng.choice((some, "0", "$")), *read)
            elif kind == 7:
                twin("XCLAIM", "s", group, "c", 999999, "99-0", "LASTID", some)
            else:
                count = rng.randint(1, 4)
                twin("XREADGROUP", "GROUP", group, "c", "COUNT", count, "STREAMS", "s", ">")
            if last:
                assert _readings(twin.ours) == _readings(twin.real)


def _readings(one: Any) -> list[list[Any]]:
    """Name, place, entries read and lag of each group."""
    return [[group[1], *group[6:]] for group in one("XINFO", "GROUPS", "s")]
