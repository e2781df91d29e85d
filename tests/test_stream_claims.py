"""XACK, XPENDING, XCLAIM and XAUTOCLAIM."""

from __future__ import annotations

from typing import Any

import pytest

from tests.observe import Observer
from tests.support import EngineClient, Twin

LATER = "9" * 12  # a time that has not passed since any delivery


@pytest.fixture
def group(twin: Twin) -> Twin:
    """Group g of stream s: a and b have four entries each, two of them deleted; two are left."""
    for number in range(1, 11):
        twin("XADD", "s", f"{number}-0", "f", number)
    twin("XGROUP", "CREATE", "s", "g", "0")
    twin("XREADGROUP", "GROUP", "g", "a", "COUNT", 4, "STREAMS", "s", ">")
    twin("XREADGROUP", "GROUP", "g", "b", "COUNT", 4, "STREAMS", "s", ">")
    twin("XDEL", "s", "2-0", "7-0")
    twin("SET", "str", 1)
    return twin


def pending(twin: Twin, *interval: Any) -> Any:
    """The list of pending entries without idle times."""
    found = [
        [[entry[0], entry[1], entry[3]] for entry in one("XPENDING", "s", "g", *interval)]
        for one in (twin.real, twin.ours)
    ]
    assert found[0] == found[1], interval
    return found[0]


def test_acknowledge(group: Twin) -> None:
    for line in (
        "s g 1-0", "s g 1-0", "s g 2 3-0 9-0 3", "s g 4-0 x", "s no 4-0", "no g 4-0", "str g 4-0",
        "no g x", "s g -", "s g", "s g 4 5 6 7 8",
    ):  # fmt: skip
        group("XACK", *line.split())
        group("XPENDING", "s", "g")
        pending(group, "-", "+", 99)


def test_pending_intervals(group: Twin) -> None:
    for interval in (
        "- + 9", "- + 2", "- + 0", "- + -1", "2 5 9", "(2-0 (5-0 9", "5 2 9", "IDLE 0 - + 9",
        f"IDLE {LATER} - + 9", "IDLE -1 - + 9", "- + 9 a", "- + 9 no", "- + 1 b", "idle 0 6 + 9 b",
        "7 7 9", "99 + 9", "- + 9 a b c",
    ):  # fmt: skip
        pending(group, *interval.split())
    for arguments in (
        "s g", "s no", "no g", "str g", "s", "s g -", "s g - +", "s g - + x", "s g x + 9",
        "s g - x 9", "s g ( + 9", "s g - (0 9", "s g - (0 x", "s g IDLE x - + 9", "s g IDLE 5 - +",
        "s g IDLE 5 - + x", "no g - + x", "s no - + 9", "s g FOO 5 - + 9", "s g IDLE 5 - + 9 a x",
        "str g - x 9", "s g IDLE 1 2",
    ):  # fmt: skip
        group("XPENDING", *arguments.split())
    group("XACK", "s", "g", *range(1, 9))
    group("XPENDING", "s", "g")
    pending(group, "-", "+", 9)


@pytest.mark.parametrize("protocol", [2, 3])
def test_claim(group: Twin, protocol: int) -> None:
    group.real("HELLO", protocol)
    group.ours.session.resp3 = protocol == 3
    for line in (
        "s g b 0 1-0", "s g b 0 1-0 3-0 2-0 99-0", f"s g a {LATER} 1-0", "s g a 0 1-0 JUSTID",
        "s g a 0 1-0 RETRYCOUNT 7", "s g a 0 1-0 retrycount -5", "s g a 0 9-0",
        "s g a 0 9-0 FORCE", "s g a 0 10-0 FORCE JUSTID", "s g a 0 99-0 FORCE", "s g c 0 4-0",
        "s g a -5 4-0", "s g a x 4-0", "s g a 0 x", "s g a 0 4-0 FOO", "s g a 0 4-0 IDLE",
        "s g a 0 4-0 IDLE x", "s g a 0 4-0 TIME x", "s g a 0 4-0 RETRYCOUNT x",
        "s g a 0 4-0 LASTID x", "s g a 0 4-0 LASTID", "s g a 0 4-0 FORCE 5-0", "s no a 0 4-0",
        "no g a 0 4-0", "str g a 0 4-0", "s no a x 4-0", "s g b 0 5-0 LASTID 9-5",
        "s g b 0 5-0 LASTID 3-5", f"s g b {LATER} 5-0 LASTID 9-9", "s g b 0 7-0", "s g b 0 JUSTID",
        "s g b 0 5-0 5-0", "s g b 0 5-0 TIME 99999999999999 JUSTID", "s g b 0 -",
    ):  # fmt: skip
        group("XCLAIM", *line.split())
        group("XPENDING", "s", "g")
        pending(group, "-", "+", 99)
        group("XINFO", "GROUPS", "s")
        group.ours.engine.ks.dbs[0].data[b"s"]._check()


def test_claimed_idle_times(group: Twin) -> None:
    for options, idle, older in (
        ("IDLE 100000", 100_000, True), ("IDLE 100000", 200_000, False), ("TIME -1", 10**5, False),
        ("IDLE 100000 TIME 5000", 10**12, True), ("IDLE -1", 10**5, False),
        ("TIME 5000", 10**12, True), (f"IDLE {LATER}000", 10**5, False),
    ):  # fmt: skip
        group("XCLAIM", "s", "g", "a", "0", "1-0", "JUSTID", *options.split())
        assert bool(pending(group, "IDLE", idle, "1", "1", 9)) == older
        group("XCLAIM", "s", "g", "b", idle, "1-0", "JUSTID", *options.split())


@pytest.mark.parametrize("protocol", [2, 3])
def test_autoclaim(group: Twin, protocol: int) -> None:
    group.real("HELLO", protocol)
    group.ours.session.resp3 = protocol == 3
    for line in (
        f"s g b {LATER} -", "s g b 0 - COUNT 1", "s g b 0 1-0 COUNT 2",
        "s g a 0 (3-0 JUSTID COUNT 3", "s g a 0 8", "s g a 0 9", "s g a -5 0 COUNT 2", "s g a x 0",
        "s g a 0 x", "s g a 0 (x", "s g a 0 0 COUNT 0", "s g a 0 0 COUNT -1", "s g a 0 0 COUNT x",
        "s g a 0 0 COUNT", "s g a 0 0 FOO", "s g a 0 0 COUNT 576460752303423488", "no g a 0 0",
        "s no a 0 0", "str g a 0 0", "str g a x 0", "s g a 0 + justid",
        "s g a 0 - COUNT 1 COUNT 2", "s g a 0 (18446744073709551615-18446744073709551615",
    ):  # fmt: skip
        group("XAUTOCLAIM", *line.split())
        pending(group, "-", "+", 99)
        group.ours.engine.ks.dbs[0].data[b"s"]._check()
    group("XDEL", "s", *range(1, 9))
    group("XAUTOCLAIM", "s", "g", "a", 0, 0, "COUNT", 2)
    group("XAUTOCLAIM", "s", "g", "a", 0, 0)
    group("XAUTOCLAIM", "s", "g", "a", 0, 0)
    group("XPENDING", "s", "g")


def test_autoclaim_looks_at_ten_entries_for_each_wanted(twin: Twin) -> None:
    for number in range(1, 31):
        twin("XADD", "s", f"{number}-0", "f", number)
    twin("XGROUP", "CREATE", "s", "g", "0")
    twin("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">")
    twin("XCLAIM", "s", "g", "a", 0, "10-0", "21-0", "IDLE", 500_000, "JUSTID")
    for start in ("0", "11-0", "12-0", "21-0", "22-0"):
        twin("XAUTOCLAIM", "s", "g", "a", 100_000, start, "COUNT", 1, "JUSTID")


def test_claimers_come_into_being_and_are_active(client: EngineClient) -> None:
    """Since 7.2 even if they get nothing."""
    client("XADD", "s", "1-1", "f", "v")
    client("XGROUP", "CREATE", "s", "g", "0")
    client("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">")

    def consumers() -> list[Any]:
        return [tuple(each[1::2]) for each in client("XINFO", "CONSUMERS", "s", "g")]

    client("XCLAIM", "s", "g", "b", 99, "1-1")
    client("XAUTOCLAIM", "s", "g", "c", 99, 0)
    client.clock.advance(7)
    assert consumers() == [(b"a", 1, 7, 7), (b"b", 0, 7, -1), (b"c", 0, 7, -1)]
    client("XCLAIM", "s", "g", "b", 0, "1-1")
    client.clock.advance(1)
    client("XAUTOCLAIM", "s", "g", "c", 0, 0)
    assert consumers() == [(b"a", 0, 8, 8), (b"b", 0, 1, 1), (b"c", 1, 0, 0)]


def test_events_and_propagation(client: EngineClient) -> None:
    now_ms = client.clock.now_ms()
    for number in range(1, 5):
        client("XADD", "s", f"{number}-0", "f", number)
    client("XGROUP", "CREATE", "s", "g", "0")
    client("XREADGROUP", "GROUP", "g", "a", "COUNT", 3, "STREAMS", "s", ">")
    observer = Observer(client)

    def told(consumer: str, entry_id: str, delivered: int, last_id: str = "3-0") -> str:
        return (
            f"0:XCLAIM s g {consumer} 0 {entry_id} TIME {now_ms} RETRYCOUNT {delivered} FORCE "
            f"JUSTID LASTID {last_id}"
        )

    created = ["0:s xgroup-createconsumer"]
    place = "0:XGROUP SETID s g {} ENTRIESREAD 3"
    for command, events, expected in (
        ("XCLAIM s g b 0 1-0", created, [told("b", "1-0", 2)]),
        ("XCLAIM s g b 0 1-0 JUSTID", [], [told("b", "1-0", 2)]),
        ("XCLAIM s g b 99 1-0", [], []),
        ("XCLAIM s g b 0 1-0 LASTID 3-5", [], [told("b", "1-0", 3, "3-5")]),
        ("XCLAIM s g b 99 1-0 LASTID 3-6", [], [place.format("3-6")]),
        ("XCLAIM s g c 99 1-0", created, []),
        ("XDEL s 2-0", ["0:s xdel"], ["0:XDEL s 2-0"]),
        ("XCLAIM s g b 0 2-0", [], [told("a", "2-0", 1, "3-6")]),
        ("XAUTOCLAIM s g b 0 -", [],
         ["0:MULTI", told("b", "1-0", 4, "3-6"), told("b", "3-0", 2, "3-6"), "0:EXEC"]),
        ("XAUTOCLAIM s g d 99 -", created, []),
        ("XPENDING s g", [], []),
        ("XACK s g 1-0 9-0", [], ["0:XACK s g 1-0 9-0"]),
        ("XACK s g 1-0 9-0", [], []),
    ):  # fmt: skip
        assert observer.after(*command.split()) == (events, expected), command
