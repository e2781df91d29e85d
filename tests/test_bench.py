"""The pure parts of the measurements: parsing, ratios, bounds, tables, plans. Nothing is timed."""

import json
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from bench import aof, latency, memory, profile
from bench.client import ReplyError, encode_command
from bench.compare import Sample, Samples, parse_csv, table
from bench.inprocess import batches, filling
from bench.plan import SECTIONS, Case, Section
from bench.report import Bound, Line, Table, align, number, summary, write
from bench.servers import Target, parse_status

HEADER = (
    '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms",'
    '"p95_latency_ms","p99_latency_ms","max_latency_ms"\n'
)
PLAIN = SECTIONS[0]


def section(key: str) -> Section:
    return next(section for section in SECTIONS if section.key == key)


def named(section: Section, name: str) -> Case:
    return next(test for test in section.tests if test.name == name)


def test_csv_gives_the_last_test_and_skips_warnings() -> None:
    rows = '"LPUSH (needed)","1.00","1","1","1","1","1","1"\n"LRANGE_100 (first, 100)",'
    last = '"58823.53","0.498","0.224","0.431","0.8","1.031","5"\n'
    text = f"WARN no config\n{HEADER}{rows}{last}"
    assert parse_csv(text) == Sample(58823.53, 0.431, 1.031)


@pytest.mark.parametrize("text", ["", HEADER, "Could not connect\n"])
def test_csv_without_figures_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="no figures"):
        parse_csv(text)


def samples(name: str, redis: list[float], ours: list[float]) -> Samples:
    return Samples(
        named(PLAIN, name),
        [Sample(rate, 0.2, 0.4, 8.0) for rate in redis],
        [Sample(rate, 0.3, 0.9, 10.0) for rate in ours],
    )


def test_ratio_is_the_median_of_the_rounds_not_the_ratio_of_medians() -> None:
    line = table(PLAIN, [samples("SET", [100, 200, 100], [90, 90, 80])]).lines[0]
    assert line.figures["ratio"] == pytest.approx(0.8)
    assert (line.figures["min"], line.figures["max"]) == pytest.approx((0.45, 0.9))
    assert line.figures["CPU ratio"] == pytest.approx(0.8)
    assert line.reached is False


def test_latency_names_both_percentiles_of_both_servers() -> None:
    line = latency.table("x", [samples("SET", [1.0], [1.0])]).lines[0]
    assert list(line.figures.values()) == [0.2, 0.3, 0.4, 0.9]


def test_bounds() -> None:
    assert [Bound(">=", 0.85).holds(figure) for figure in (0.85, 0.849)] == [True, False]
    assert [Bound("<=", 1.6).holds(figure) for figure in (1.6, 1.61)] == [True, False]
    assert str(memory.CEILING) == "<= 1.6"


@pytest.mark.parametrize(
    ("key", "name", "floor"),
    [
        ("plain", "SET", 0.85),
        ("plain", "LRANGE_100", 0.6),
        ("plain-r", "MSET", 0.85),
        ("p16", "INCR", 0.40),
        ("p16-r", "ZADD", 0.30),
        ("p100", "GET", 0.30),
    ],
)
def test_floors(key: str, name: str, floor: float) -> None:
    chosen = section(key)
    assert chosen.bound(named(chosen, name)) == Bound(">=", floor)


def test_a_test_without_floor_is_only_shown() -> None:
    assert PLAIN.bound(named(PLAIN, "PING_INLINE")) is None


def test_arguments_ask_for_whole_pipelines() -> None:
    chosen = section("p16-r")
    arguments = chosen.arguments(named(chosen, "MSET"), 0.2)
    assert " ".join(arguments) == "-n 8000 -c 50 -P 16 -r 100000 --csv -t mset"
    assert chosen.requests_of(named(chosen, "MSET"), 0.2) == 8000


def test_nothing_is_emptied_between_pushing_and_popping() -> None:
    sources = {"GET": "SET", "SPOP": "SADD", "ZPOPMIN": "ZADD", "LPOP": "RPUSH", "RPOP": "LPUSH"}
    for chosen in SECTIONS:
        names = [test.name for test in chosen.tests]
        for pop, push in sources.items():
            if pop in names:
                later = chosen.tests[names.index(push) + 1 : names.index(pop) + 1]
                assert later, (chosen.key, pop)
                assert not any(test.fresh for test in later), (chosen.key, pop)


def test_table_is_aligned_markdown() -> None:
    rows = [["test", "x"], ["SET", "1,000"]]
    assert align(rows) == "| test |     x |\n|------|------:|\n| SET  | 1,000 |"
    text = Table("T", [Line("SET", {"ratio": 0.5}, Bound(">=", 0.85)), Line("X", {"ratio": 1})])
    assert "| SET  |  0.50 | >= 0.85 |      NO |" in text.render()
    assert len({len(line) for line in text.render().splitlines() if "|" in line}) == 1


def test_numbers_are_short() -> None:
    numbers = [number(value) for value in (0.123, 12.5, 123.25, 12345.6)]
    assert numbers == ["0.12", "12.50", "123.2", "12,346"]


def test_written_files_hold_lines_and_verdicts(tmp_path: Path) -> None:
    tables = [Table("T", [Line("SET", {"ratio": 0.5}, Bound(">=", 0.85))])]
    path = write(tmp_path / "new", datetime(2024, 5, 6, 7, 8, 9), {"cpu": "c"}, tables)
    assert path.name == "2024-05-06T070809.md"
    assert summary(tables) == "0 of 1 bounds reached. Missed: SET (T)." in path.read_text()
    line = json.loads(path.with_suffix(".json").read_text())["tables"][0]["lines"][0]
    assert (line["reached"], line["figures"]) == (False, {"ratio": 0.5})


def test_target_needs_a_port() -> None:
    target = Target.parse("a", "srv --port {port} --save ''")
    assert target.argv(7) == ["srv", "--port", "7", "--save", ""]
    with pytest.raises(ValueError, match="port"):
        Target.parse("a", "srv")


def test_status_field() -> None:
    text = "VmHWM:\t    5000 kB\nVmRSS:\t    1234 kB\n"
    assert parse_status(text, "VmRSS") == 1234
    with pytest.raises(KeyError):
        parse_status(text, "VmSwap")


def test_dataset_keys_have_their_size_and_differ() -> None:
    pairs = [memory.pair(index) for index in range(1000)]
    assert {(len(key), len(value)) for key, value in pairs} == {(16, 64)}
    assert len({key for key, _ in pairs}) == len({value for _, value in pairs}) == 1000


def test_batches_are_repeatable_pipelines() -> None:
    work = batches([b"SET", b"key:__rand_int__", b"x"], 3, 2)
    assert work == batches([b"SET", b"key:__rand_int__", b"x"], 3, 2)
    assert [data.count(b"*3\r\n$3\r\nSET\r\n$16\r\nkey:") for data in work] == [3, 3]
    assert encode_command(b"PING") == b"*1\r\n$4\r\nPING\r\n"


def test_filling_gives_each_pop_an_element_of_its_own() -> None:
    data = b"".join(filling([b"SPOP", b"myset"], 250))
    elements = [part for part in data.split(b"\r\n") if part.startswith(b"element:")]
    assert len(elements) == len(set(elements)) == 300
    assert filling([b"SET", b"k", b"v"], 250) == []


def test_profile_shares_add_up() -> None:
    decode, feed = ("/a/pyredis/resp.py", "decode", 3), ("/a/pyredis/engine.py", "feed", 9)
    counts = Counter({decode: 3, feed: 1})
    files, functions, lines = profile.tables(counts, total_us=4.0)
    assert [(line.name, line.figures["µs"]) for line in files.lines] == [
        ("pyredis/resp.py", 3.0),
        ("pyredis/engine.py", 1.0),
    ]
    assert functions.lines[0].name == "pyredis/resp.py decode"
    assert lines.lines[0].name == "pyredis/resp.py:3 decode"


def test_loading_times_come_from_the_log() -> None:
    text = "1:M * DB loaded from incr file i: 0.5 seconds\n1:M * DB loaded from append only file: "
    assert aof.parse_log(text + "0.750 seconds\n") == 0.75
    with pytest.raises(ReplyError):
        aof.parse_log(text)


def test_the_cost_of_a_log_is_the_median_of_the_rounds() -> None:
    plain = [Sample(rate, 0.2, 0.4, 8.0) for rate in (100, 200, 100)]
    logged = [Sample(rate, 0.2, 0.4, 10.0) for rate in (90, 100, 80)]
    line = aof.cost_line(aof.SECTIONS[0], plain, logged)
    assert line.figures["ratio"] == pytest.approx(0.8)
    assert line.figures["CPU ratio"] == pytest.approx(0.8)
    assert line.reached is False
