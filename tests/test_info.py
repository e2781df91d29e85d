"""INFO: the fields Redis has, in its order, with true values."""

from __future__ import annotations

import pytest

from pyredis.info import human, percentile_us
from pyredis.metrics import Rate
from pyredis.version import REDIS_VERSION
from tests.support import EngineClient, Node, Twin, new_client

NEWER = {
    "pyredis_version", "listener0", "total_blocking_keys", "total_blocking_keys_on_nokey",
    "client_query_buffer_limit_disconnections", "client_output_buffer_limit_disconnections",
    "eventloop_cycles", "eventloop_duration_sum", "eventloop_duration_cmd_sum",
    "instantaneous_eventloop_cycles_per_sec", "instantaneous_eventloop_duration_usec",
    "acl_access_denied_auth", "acl_access_denied_cmd", "acl_access_denied_key",
    "acl_access_denied_channel", "expired_subkeys", "pubsub_clients", "watching_clients",
    "total_watched_keys", "allocator_muzzy", "mem_overhead_db_hashtable_rehashing",
    "evicted_scripts",
}  # fmt: skip


def fields(text: bytes) -> dict[str, str]:
    """The fields of an INFO reply, titles as fields of their own."""
    lines = text.decode().split("\r\n")
    return dict(line.split(":", 1) if ":" in line else (line, "") for line in lines if line)


def test_same_fields_in_the_same_order_as_redis(twin: Twin) -> None:
    for client in (twin.real, twin.ours):
        client("SET", "a", "1")
        client("GET", "a", "b")
    theirs, ours = (list(fields(each("INFO", "all"))) for each in (twin.real, twin.ours))

    def varying(name: str) -> bool:
        return name.startswith(("cmdstat_", "latency_"))

    assert [name for name in ours if name not in NEWER and not varying(name)] == [
        name for name in theirs if not varying(name)
    ]
    assert set(ours) >= NEWER


@pytest.mark.parametrize(
    "sections",
    ["", "server foo", "foo", "keyspace SERVER", "all", "everything", "commandstats default",
     "modules", "module_list", "default", "latencystats cpu"],
)  # fmt: skip
def test_sections(twin: Twin, sections: str) -> None:
    titles = [
        [name for name in fields(each("INFO", *sections.split())) if name.startswith("#")]
        for each in (twin.real, twin.ours)
    ]
    assert titles[0] == titles[1]


def test_debug_is_shown_only_when_asked_for(client: EngineClient) -> None:
    assert "eventloop_duration_max" not in fields(client("INFO", "everything"))
    assert "eventloop_duration_max" in fields(client("INFO", "debug"))


def test_verbatim_in_resp3(client: EngineClient) -> None:
    client.session.resp3 = True
    assert client("INFO", "cluster") == ("verbatim", b"txt:# Cluster\r\ncluster_enabled:0\r\n")


def test_values(client: EngineClient) -> None:
    client.another().send("BLPOP", "x", "y", 10)
    client("SET", "a", "1", "PX", 5000)
    client("SET", "b", "1")
    client("GET", "a")
    client("GET", "nothing")
    client("NOPE")
    client("LPUSH", "a", "x")
    client("SUBSCRIBE", "news")
    other = client.another()
    client.clock.advance(86_400_000 * 2 + 5000)
    found = fields(other("INFO", "all"))
    assert found["redis_version"] == REDIS_VERSION
    assert found["uptime_in_seconds"] == str(2 * 86400 + 5)
    assert found["uptime_in_days"] == "2"
    assert found["connected_clients"] == "3"
    assert found["total_connections_received"] == "3"
    assert found["blocked_clients"] == found["clients_in_timeout_table"] == "1"
    assert found["total_blocking_keys"] == "2"
    assert found["keyspace_hits"] == found["keyspace_misses"] == "1"
    assert found["pubsub_channels"] == "1"
    assert found["rdb_changes_since_last_save"] == "2"
    assert found["total_error_replies"] == "2"
    assert found["errorstat_ERR"] == found["errorstat_WRONGTYPE"] == "count=1"
    assert found["db0"] == "keys=2,expires=1,avg_ttl=0,subexpiry=0"
    assert found["cmdstat_set"].startswith("calls=2,usec=0,")
    assert found["cmdstat_lpush"].endswith("rejected_calls=0,failed_calls=1")
    assert found["total_commands_processed"] == "6"


def test_subcommands_and_rejections(client: EngineClient) -> None:
    client("CONFIG", "GET", "port")
    client("GET")
    found = fields(client("INFO", "commandstats"))
    assert "cmdstat_config|get" in found
    assert found["cmdstat_get"] == (
        "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0"
    )


def test_percentiles(client: EngineClient) -> None:
    entry = client.engine.table.entries["GET"]
    entry.latency[11] = 50  # 1024 .. 2047 ns
    entry.latency[21] = 50  # about 1 to 2 ms
    assert percentile_us(entry, 0.0) == pytest.approx(1.024)
    assert percentile_us(entry, 25.0) == pytest.approx(1.024 * 2**0.5)
    assert percentile_us(entry, 50.0) == pytest.approx(2.048)
    assert percentile_us(entry, 100.0) == pytest.approx(2097.152)
    client("CONFIG", "SET", "latency-tracking-info-percentiles", "50 99.9")
    assert fields(client("INFO", "latencystats"))["latency_percentiles_usec_get"] == (
        "p50=2.048,p99.9=2094.247"
    )
    client("CONFIG", "SET", "latency-tracking", "no")
    assert client("INFO", "latencystats") == b"# Latencystats\r\n"


def test_rates(client: EngineClient) -> None:
    for _ in range(20):
        for _ in range(5):
            client("SET", "a", "1")
        client.engine.stats.input_bytes += 1024
        client.clock.advance(100)
        client.engine.cron()
    found = fields(client("INFO", "stats"))
    assert found["instantaneous_ops_per_sec"] == "50"
    assert found["instantaneous_input_kbps"] == "10.00"


def test_the_busiest_cycle_is_rounded_up_and_survives_a_reset(client: EngineClient) -> None:
    def per_cycle(commands: int, cycles: int) -> str:
        for _ in range(commands):
            client("PING")
        client.engine.stats.cycles += cycles
        client.clock.advance(100)
        client.engine.cron()
        return fields(client("INFO", "debug"))["eventloop_cmd_per_cycle_max"]

    assert per_cycle(0, 3) == "0"
    assert per_cycle(50, 1) == "51", "and INFO"
    client("CONFIG", "RESETSTAT")
    assert per_cycle(1, 3) == "1"


def test_a_rate_survives_a_reset() -> None:
    rate = Rate()
    rate.sample(1000, 100)
    rate.sample(10, 100)
    assert rate.per_second == (10_000 + 100) / 2


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1536, "1.50K"), (5 << 30, "5.00G")],
)
def test_human(size: int, text: str) -> None:
    assert human(size) == text


def test_listeners() -> None:
    client = new_client(bind="127.0.0.1 -::1", port=7000)
    assert fields(client("INFO", "server"))["listener0"] == (
        "name=tcp,bind=127.0.0.1,bind=-::1,port=7000"
    )


def test_a_real_process() -> None:
    node = Node()
    try:
        client = node.client()
        found = fields(client("INFO"))
        assert found["process_id"] == str(node.process.pid)
        assert found["tcp_port"] == str(node.port)
        startup = int(found["used_memory_startup"])
        assert 100_000 < startup < int(found["used_memory"]) < 1 << 20, "no interpreter in it"
        assert int(found["used_memory_rss"]) > 10 << 20
        assert int(found["used_memory_peak"]) >= int(found["used_memory"])
        assert int(found["total_system_memory"]) > 1 << 20
        assert float(found["used_cpu_user"]) > 0
        assert found["executable"].startswith("/")
        grown = int(found["used_memory"]) + (20 << 20)
        client("SETRANGE", "big", 30 << 20, "x")
        after = fields(client("INFO", "memory", "stats"))
        assert int(after["used_memory"]) > grown
        assert int(after["used_memory_dataset"]) > 20 << 20
        assert int(after["eventloop_cycles"]) >= 2
    finally:
        node.close()


def test_kinds_of_errors_are_bounded(client: EngineClient) -> None:
    lines: list[str] = []
    client.engine.log = lambda level, text: lines.append(f"{level} {text}")
    for number in range(128):
        client("EVAL", "return redis.error_reply(ARGV[1])", 0, f"E{number:03} of a script")
    assert not lines
    assert fields(client("INFO", "errorstats"))["errorstat_E127"] == "count=1"
    client("NONE")
    client("EVAL", "return redis.error_reply(ARGV[1])", 0, "E001 of a script")
    client("NONE")
    assert lines[0].startswith("warning Errorstats stopped adding new errors because")
    assert lines[1].startswith("warning Current errors code list: E000, E001, E002,")
    assert len(lines) == 2
    found = fields(client("INFO", "errorstats", "stats"))
    assert {name for name in found if name.startswith("errorstat_")} == {
        "errorstat_ERRORSTATS_DISABLED"
    }
    assert found["errorstat_ERRORSTATS_DISABLED"] == "count=1"
    assert found["total_error_replies"] == "131"
    client("CONFIG", "RESETSTAT")
    client("NONE")
    assert client("INFO", "errorstats") == b"# Errorstats\r\nerrorstat_ERR:count=1\r\n"


def test_the_percentile_of_one_call_is_its_duration(client: EngineClient) -> None:
    entry = client.engine.table.find([b"GET"])
    assert entry is not None
    entry.latency[26] += 1
    entry.duration_ns += 50_000_000
    assert percentile_us(entry, 50.0) == percentile_us(entry, 99.9) == 50_000
