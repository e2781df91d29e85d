"""``pyredis lab`` as a user types it."""

from __future__ import annotations

from pathlib import Path

import msgpack
import pytest

from pyredis.sim.cli import SHIPPED, main, run_campaign
from pyredis.sim.trace import Trace
from pyredis.tools.cli import main as pyredis

GOOD = "title Two of them\nnodes a b\nconfig b: replicaof {a}\nload w to a until 3s\nend 4s\n"
BAD = GOOD + "at 2s kill b\nat 2s cut a\nexpect up b\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.txt").write_text(GOOD)
    (tmp_path / "bad.txt").write_text(BAD)
    return tmp_path


def test_run_tells_what_came_of_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", f"{folder}/good.txt", "--seed", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Two of them: seed 3, 4 s"
    assert lines[1].startswith("  all as expected; full-syncs 1")
    assert lines[2].startswith("  trace ")
    assert main(["run", f"{folder}/good.txt", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["run", f"{folder}/bad.txt", "--quiet"]) == 1
    out = capsys.readouterr().out
    assert "FAILED at 4.000000 expectation (line 8): expect up b: b is down" in out
    assert main(["run", f"{folder}/bad.txt", "--verbose"]) == 1
    assert "fault    kill b" in capsys.readouterr().out


def test_a_refused_command_is_not_passed_over(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "typo.txt").write_text(f"{GOOD}at 1s a: SET k\nat 2s a: GET k\n")
    assert main(["run", f"{folder}/typo.txt"]) == 0
    out = capsys.readouterr().out
    refusal = "ERR wrong number of arguments for 'set' command"
    assert [line for line in out.splitlines() if "refused" in line] == [
        next(line for line in out.splitlines() if f"a: SET k: {refusal}" in line)
    ]


def test_the_tutorial_shows_what_its_first_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (SHIPPED.parent / "README.md").read_text()
    shown = [line.strip() for line in text.partition("lab run first-steps\n")[2].splitlines()[:3]]
    assert main(["run", "first-steps"]) == 0
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert shown[:2] == printed[:2]
    assert printed[2].startswith(shown[2].removesuffix("..."))


def test_many_seeds_and_processes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", f"{folder}/good.txt", "--seeds", "1..3"]) == 0
    assert capsys.readouterr().out == "3 seeds, 0 failed\n"
    assert main(["run", f"{folder}/bad.txt", "--seeds", "1..2", "--jobs", "2"]) == 1
    out = capsys.readouterr().out
    assert "seed 1 FAILED" in out
    assert "2 seeds, 2 failed" in out


def test_traces_are_kept_shown_and_replayed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = f"{folder}/t.lab"
    assert main(["run", f"{folder}/bad.txt", "--trace", trace]) == 1
    capsys.readouterr()
    assert main(["show", trace, "--kind", "fault", "--until", "2.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("# ")
    assert [line.split()[1:] for line in lines[1:]] == [
        ["fault", "kill", "b"],
        ["fault", "cut", "a"],
    ]
    assert main(["show", trace, "--node", "b", "--kind", "down,log"]) == 0
    assert "down     b killed" in capsys.readouterr().out
    assert main(["replay", trace]) == 0
    assert "the same" in capsys.readouterr().out


def test_replay_shows_where_runs_part(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "t.lab"
    trace = Trace(keep=True)
    trace.add(0, "up", "z", 1)
    path.write_bytes(trace.wire(source="good.txt", seed=1, scenario=GOOD))
    assert main(["replay", str(path)]) == 1
    out = capsys.readouterr().out
    assert "different from event 0 on" in out
    assert "then     0.000000 up       z 1" in out
    assert "now      0.000000 up       a 1" in out


def test_shrink_writes_a_scenario(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = folder / "small.txt"
    assert main(["shrink", f"{folder}/bad.txt", "-o", str(small)]) == 0
    assert "1 nodes, 0 clients and 1 steps are left" in capsys.readouterr().out
    assert main(["run", str(small), "--seed", "1", "--quiet"]) == 1
    capsys.readouterr()
    assert main(["shrink", f"{folder}/bad.txt"]) == 0
    assert "at 2s kill b\n" in capsys.readouterr().out
    assert main(["shrink", f"{folder}/good.txt"]) == 2
    assert "nothing fails" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "no-such-file"], "cannot read no-such-file"),
        (["show", "no-such-file"], "cannot read no-such-file"),
        (["replay", "good.txt"], "not a trace"),
        (["run", "wrong.txt"], "wrong.txt, line 1: expected one of title"),
        (["run", "latin.txt"], "latin.txt, line 2: a scenario is UTF-8, this is none"),
        (["run", "."], "cannot read .: Is a directory"),
        (["run", ""], "cannot read '': Is a directory"),
        (["show", "bare.lab"], "bare.lab: the header does not tell the source"),
        (["show", "newer.lab"], "newer.lab: a trace of version 2, wanted is 1"),
        (["show", "odd.lab"], "odd.lab: damaged"),
        (["replay", "real.lab"], "real.lab: a run on real processes cannot be repeated"),
        (["run", "good.txt", "--trace", "none/t.lab"], "cannot write none/t.lab"),
    ],
)
def test_what_a_user_must_put_right(
    folder: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    (folder / "wrong.txt").write_text("hello world\n")
    (folder / "latin.txt").write_bytes(b"nodes a\ntitle \xe4\n")
    (folder / "bare.lab").write_bytes(Trace(keep=True).wire())
    told = {"source": "x", "seed": 1, "scenario": GOOD}
    (folder / "real.lab").write_bytes(Trace(keep=True).wire(**told, real=True))
    (folder / "newer.lab").write_bytes(msgpack.packb({"pyredis-trace": 2}))
    (folder / "odd.lab").write_bytes(msgpack.packb({"pyredis-trace": 1}) + b"\x05")
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "x", "--seed", "-1"], "--seed: expected a number up to 18446744073709551615"),
        (["run", "x", "--seed", "18446744073709551616"], "--seed: expected a number up to"),
        (["run", "x", "--seeds", "many"], "--seeds: expected two numbers, as 1..100"),
        (["run", "x", "--seeds", "2..1"], "--seeds: expected the smaller number first"),
        (["campaign", "--seeds", "1..99999999"], "--seeds: expected at most 10000000 seeds"),
        (["campaign", "--jobs", "0"], "--jobs: expected a number from 1 on"),
        (["shrink", "x", "--runs", "-3"], "--runs: expected a number from 1 on"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert f"argument {message}" in capsys.readouterr().err


def test_a_byte_order_mark_is_no_mistake(folder: Path) -> None:
    (folder / "bom.txt").write_text(GOOD, "utf-8-sig")
    assert main(["run", f"{folder}/bom.txt", "--quiet"]) == 0


def test_campaigns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", "--seeds", "1..4"]) == 0
    assert capsys.readouterr().out == "4 seeds, 0 failed\n"
    assert main(["campaign", "--seeds", "7..7", "--show"]) == 0
    assert "title campaign 7\nnodes" in capsys.readouterr().out
    # A replica that confirmed a write and lost its power before the server could know of that;
    # killed while writes to the log were put off behind a slow sync, as everysec may.
    assert all(outcome.well for seed in (11824, 53657, 56351) for outcome in run_campaign([seed]))
    first = [outcome.trace_hash for outcome in run_campaign(range(21, 24))]
    assert first == [outcome.trace_hash for outcome in run_campaign(range(21, 24))]


def test_the_lab_is_part_of_the_pyredis_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert pyredis(["lab", "list"]) == 0
    out = capsys.readouterr().out
    assert all(path.stem in out for path in SHIPPED.glob("*.txt"))


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("nodes a\nconfig a: maxmemry 1\n", [], "s.txt, line 2: maxmemry 1: Bad directive"),
        ("nodes a\nconfig a: maxmemry 1\n", ["--seeds", "1..40", "--jobs", "2"], "line 2: maxm"),
        ("nodes a b\nconfig b: replicaof {z}\n", [], "line 2: expected one of {a}, {b}, found 'z'"),
        (GOOD, ["--keep", "x"], "go with --real"),
        (GOOD, ["--seeds", "1..2", "--trace", "x"], "goes without"),
        (GOOD, ["--real", "--server", "a=/no/such/program"], "cannot run /no/such/program"),
    ],
)
def test_mistakes_are_told_in_a_line_or_two(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    arguments: list[str],
    said: str,
) -> None:
    (tmp_path / "s.txt").write_text(text)
    assert main(["run", f"{tmp_path}/s.txt", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_what_will_hardly_be_meant_is_pointed_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.txt"
    path.write_text(
        "nodes a\nevery 1s until 2s a: SETT x 1\nat 1s a: client id\nat 3s kill a\nend 2s\n"
    )
    assert main(["run", str(path)]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"{path}, line 2: no command of pyredis: SETT",
        f"{path}, line 4: the run ends at 2s, before this",
    ]


def test_what_had_no_effect_is_remarked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.txt"
    path.write_text(
        "nodes a\nconfig a: requirepass x\nload w to a until 2s\nat 2s kill a\nat 3s a: PING\n"
    )
    assert main(["run", str(path)]) == 0
    out = capsys.readouterr().out
    assert "  refused at 3s a: PING: a is down\n" in out
    assert "  none of the 10 ledger writes of w was acknowledged, the servers said: NOAUTH" in out


def test_show_tells_what_there_is_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", f"{folder}/good.txt", "--quiet", "--trace", f"{folder}/t.lab"]) == 0
    assert main(["show", f"{folder}/t.lab", "--kind", "fault,lgo,up"]) == 0
    assert "no such events: fault, lgo; there are: ack, data, " in capsys.readouterr().err
