"""XINFO: what it shows of streams, groups and consumers."""

from __future__ import annotations

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


# Each story is of steps: ``add N``, entries up to N-0; ``read N``, delivers so many to g.
# Behind them stand the entries read and the lag of g, as 8.0 tells them.
_LAGS = (
    ("group 0", None, 0),
    ("add 3, group 0", None, 3),
    ("add 3, group $", None, 0),
    ("add 3, group 2-0", None, None),
    ("add 3, group 0, read 2", 2, 1),
    ("add 3, group 2-0 ENTRIESREAD 2", 2, 1),
    # A gap behind the group's place: nobody can tell how many are left ...
    ("add 5, XDEL s 3-0, group 0, read 1", None, None),
    ("add 1, group 0, read 1, add 3, XDEL s 3-0", 1, None),
    # ... until the end is reached, or all before the gap is gone
    ("add 5, XDEL s 3-0, group 0, read 4", 5, 0),
    ("add 1, group 0, read 1, add 3, XDEL s 2-0, XDEL s 1-0", 1, 1),
    ("add 1, group 0, read 1, add 3, XDEL s 2-0, XDEL s 1-0, read 1", 3, 0),
    # A gap before it does no harm
    ("add 5, group 0, read 3, XDEL s 2-0", 3, 2),
    ("add 5, group 0, read 3, XDEL s 2-0, read 1", 4, 1),
    # Trimming past the group's place
    ("add 5, group 0, read 1, XTRIM s MAXLEN 2", 1, 2),
    ("add 5, group 0, read 1, XTRIM s MAXLEN 2, read 1", 4, 1),
    ("add 5, group 0, read 1, XTRIM s MAXLEN 0", 1, 0),
    ("add 2, group $ ENTRIESREAD 0, XDEL s 1-0, XDEL s 2-0", 0, 0),
)


@pytest.mark.parametrize(("story", "read", "lag"), _LAGS)
def test_lag(client: EngineClient, story: str, read: int | None, lag: int | None) -> None:
    for step in story.split(", "):
        word, _, rest = step.partition(" ")
        if word == "add":
            while client("XLEN", "all") < int(rest):
                entry = client("XADD", "all", f"{client('XLEN', 'all') + 1}-0", "f", "v")
                client("XADD", "s", entry, "f", "v")
        elif word == "group":
            client("XGROUP", "CREATE", "s", "g", *rest.split(), "MKSTREAM")
        elif word == "read":
            client("XREADGROUP", "GROUP", "g", "c", "COUNT", rest, "STREAMS", "s", ">")
        else:
            client(*step.split())
    [group] = client("XINFO", "GROUPS", "s")
    assert group[-4:] == [b"entries-read", read, b"lag", lag]
