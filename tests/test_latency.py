"""The latency monitor and LATENCY."""

from __future__ import annotations

import pytest

from pyredis.latency import SAMPLES_MAX, LatencyMonitor, Series, graph, report
from tests.support import EngineClient, Twin, new_client

MS = 1_000_000


def test_threshold() -> None:
    monitor = LatencyMonitor()
    monitor.add("command", 10**12, 0)
    assert monitor.events == {}
    monitor.threshold_ms = 5
    monitor.add("command", 5 * MS - 1, 0)
    assert monitor.events == {}
    monitor.add("command", 5 * MS, 0)
    assert list(monitor.events) == ["command"]


def test_a_second_keeps_its_worst() -> None:
    series = Series()
    for time_s, latency_ms in ((1, 10), (1, 30), (1, 20), (2, 5)):
        series.add(time_s, latency_ms)
    assert list(series.samples) == [(1, 30), (2, 5)]
    assert series.max_ms == 30


def test_samples_are_bounded() -> None:
    series = Series()
    for time_s in range(SAMPLES_MAX + 10):
        series.add(time_s, 1)
    assert len(series.samples) == SAMPLES_MAX
    assert series.samples[0].time_s == 10


def test_graph() -> None:
    series = Series()
    for time_s, latency_ms in ((0, 100), (50, 200), (3550, 300), (3600, 400)):
        series.add(time_s, latency_ms)
    lines = graph("command", series, 3601).splitlines()
    assert lines[0] == "command - high 400 ms, low 100 ms (all time high 400 ms)"
    assert lines[1] == "-" * 80
    assert lines[2:6] == ["   #", "  o|", " _||", "_|||"]
    assert lines[7:] == ["1551", "h91s", " ms"]


def test_report_names_what_happened() -> None:
    monitor = LatencyMonitor()
    assert "CONFIG SET latency-monitor-threshold <milliseconds>" in report(monitor)
    monitor.threshold_ms = 1
    assert report(monitor).startswith("No latency spike")
    monitor.add("expire-cycle", 20 * MS, 1000)
    monitor.add("expire-cycle", 40 * MS, 5000)
    text = report(monitor)
    assert "2 latency spikes (average 30ms, mean deviation 10ms, period 4.00 sec)" in text
    assert "active-expire-effort" in text


def slow_client(latency_ms: int) -> EngineClient:
    """A client of a server on which every command takes that long."""
    client = new_client(latency_monitor_threshold=1, slowlog_log_slower_than=-1)
    handler = client.engine.table.entries["PING"].handler

    def slow_ping(*args: object) -> object:
        client.clock.advance(latency_ms)
        return handler(*args)

    client.engine.table.entries["PING"].handler = slow_ping
    return client


def test_commands_are_watched() -> None:
    client = slow_client(30)
    client("PING")
    assert client("LATENCY", "LATEST") == [[b"fast-command", 1_700_000_000, 30, 30]]
    assert client("LATENCY", "HISTORY", "fast-command") == [[1_700_000_000, 30]]
    assert client("LATENCY", "HISTORY", "nothing") == []
    assert client("SLOWLOG", "LEN") == 0
    assert b"fast-command - high 30 ms" in client("LATENCY", "GRAPH", "fast-command")
    assert b"fast-command" in client("LATENCY", "DOCTOR")
    assert client("LATENCY", "RESET", "other") == 0
    assert client("LATENCY", "RESET", "fast-command") == 1
    assert client("LATENCY", "LATEST") == []
    client("CONFIG", "SET", "latency-monitor-threshold", 0)
    client("PING")
    assert client("LATENCY", "RESET") == 0


def test_histogram(client: EngineClient) -> None:
    table = client.engine.table
    table.entries["GET"].latency[:16] = [0, 1, 2, *[0] * 8, 4, *[0] * 3, 5]
    child = table.entries["CONFIG"].children[b"GET"]
    child.latency[18] = 1
    assert client("LATENCY", "HISTOGRAM", "get", "nope", "config", "config|nope") == [
        b"get", [b"calls", 12, b"histogram_usec", [1, 3, 2, 7, 33, 12]],
        b"config|get", [b"calls", 1, b"histogram_usec", [264, 1]],
    ]  # fmt: skip
    assert client("LATENCY", "HISTOGRAM", "CONFIG|GET")[0] == b"config|get"
    assert b"get" in client("LATENCY", "HISTOGRAM")
    client.session.resp3 = True
    assert client("LATENCY", "HISTOGRAM", "config|get") == (
        "map",
        [(b"config|get", ("map", [(b"calls", 1), (b"histogram_usec", ("map", [(264, 1)]))]))],
    )
    client("CONFIG", "SET", "latency-tracking", "no")
    assert client("LATENCY", "HISTOGRAM", "get") == ("map", [])


@pytest.mark.parametrize(
    "words", ["", "nope", "GRAPH", "GRAPH command", "HISTORY", "HISTORY x", "RESET x", "LATEST"]
)
def test_like_redis(twin: Twin, words: str) -> None:
    twin("LATENCY", *words.split())


def test_help(client: EngineClient) -> None:
    assert b"GRAPH <event>" in client("LATENCY", "HELP")


def test_the_expire_cycle_is_watched() -> None:
    client = new_client(latency_monitor_threshold=10)
    expire = client.engine.expire

    def run(*args: object) -> int:
        expire.spent_ns += 25 * MS
        return 0

    expire.run = run  # type: ignore[method-assign]
    client.engine.cron()
    assert client("LATENCY", "LATEST") == [[b"expire-cycle", 1_700_000_000, 25, 25]]
    client("LATENCY", "RESET")
    client.tick()
    assert client("LATENCY", "LATEST") == []
    expire.pressed = True  # a fast cycle is due at the end of each batch
    client.tick()
    assert client("LATENCY", "LATEST") == [[b"expire-cycle", 1_700_000_000, 25, 25]]
