"""Scenarios on real processes: short ones, since time is real here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyredis.sim.cli import main
from pyredis.sim.real import run_real
from pyredis.sim.scenario import parse_scenario
from pyredis.sim.trace import Record, Trace
from tests.support import REDIS_SERVER, ROOT

TEXT = """\
nodes a b
config b: replicaof {a}
config *: repl-diskless-sync-delay 0
network delay 0ms..2ms
network buffer 64kb
load w to a rate 20 from 200ms until 3s wait 1 100ms
at 1s partition a from {b}
at 1s a/x: SET k v -> set
at 1100ms a/x: WAIT 1 200 -> waited
at 1500ms heal
at 2s cut a b
at 2s pause b
at 2300ms resume b
at 2500ms kill b
at 2600ms start b
expect reply set == OK
expect reply waited == 0
always until 1s up a
eventually from 3s within 15s equal a b
eventually from 3s within 15s offsets a b
expect b INFO replication master_link_status == up
expect a: GET k == v
expect log a contains "Ready to accept connections"
expect full-syncs >= 1
expect lost-writes == 0
expect acked > 5
end 4s
"""


def test_the_same_scenario_holds_on_real_processes_and_in_the_simulator(tmp_path: Path) -> None:
    from pyredis.sim.simulation import Simulation

    scenario = parse_scenario(TEXT)
    simulated = Simulation(scenario, 1).run()
    assert simulated.well, simulated.violations
    records: list[Record] = []
    outcome = run_real(scenario, 1, Trace(follow=records.append), keep=tmp_path / "kept")
    assert outcome.well, outcome.violations
    assert {record[1] for record in records} >= {"fault", "ask", "ack", "open", "close", "data"}
    assert (tmp_path / "kept" / "b" / "log").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not os.environ.get("PYREDIS_REAL"), reason="PYREDIS_REAL is not set")
@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests" / "scenarios").glob("*.txt")), ids=lambda path: path.stem
)
def test_situations_of_replication_on_real_processes(path: Path) -> None:
    outcome = run_real(parse_scenario(path.read_text(), path.name), 1)
    assert outcome.well, outcome.violations


@pytest.mark.skipif(REDIS_SERVER is None, reason="redis-server is not installed")
def test_redis_can_take_the_place_of_a_node(tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_text(
        "nodes a b\nconfig b: replicaof {a}\nconfig *: repl-diskless-sync-delay 0\n"
        "load w to a rate 20 from 100ms until 1s mix strings,lists\n"
        "eventually from 1s within 15s equal a b\nend 2s\n"
    )
    assert main(["run", str(path), "--real", "--quiet", "--server", "b=redis-server"]) == 0


def test_what_fails_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.txt"
    path.write_text("nodes a\nexpect at 100ms a: GET k == v\nend 5s\n")
    assert main(["run", str(path), "--real"]) == 1
    assert "expect at 100ms a: GET k == v: found '(nil)'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("at 1s clock a +1h", [], "line 2: real machines have no 'clock'"),
        ("network loss 2%", [], "network loss: between real processes there are delay, rate"),
        ("at 1s network patience 1m", [], "line 2: network patience: between real processes"),
        ("config a: no-such-directive 1", [], "s.txt, line 2: no-such-directive 1: Bad directive"),
        ("config a: no-such-directive 1", ["--server", "false"], "a does not start"),
        ("", ["--server", "z=redis-server"], "there is no node 'z'"),
        ("", ["--server", ""], "--server : there is no program"),
        ("", ["--server", 'a="'], '--server a=": No closing quotation'),
        ("", ["--keep", "kept"], "--keep kept: a is there already"),
        ("", ["--keep", "s.txt"], "s.txt/a: Not a directory"),
    ],
)
def test_what_cannot_be_real_is_refused(
    text: str,
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "s.txt"
    path.write_text(f"nodes a\n{text}\nend 1s\n")
    (tmp_path / "kept" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(path), "--real", *options]) == 2
    assert message in capsys.readouterr().err
