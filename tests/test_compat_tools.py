"""The parts of the judge that others use: sorting of a suite's results, the coverage matrix."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from compat import commands, coverage, programs, suites
from compat.suites import Verdict
from pyredis.server import command_table
from tests.support import REDIS_SERVER


@pytest.mark.parametrize(
    ("there", "here", "where"),
    [
        ("passed", "passed", "same"),
        ("passed", "failed", "broken"),
        ("passed", "skipped", "broken"),
        ("passed", None, "broken"),
        ("passed", "by version", "skipped_here"),
        ("failed", "failed", ""),
        ("failed", "passed", "passed_here_only"),
        ("skipped", "failed", "failed_here_only"),
        ("skipped", "skipped", ""),
        (None, "failed", "failed_here_only"),
    ],
)
def test_a_result_has_one_place(there: str | None, here: str | None, where: str) -> None:
    outcomes = {
        None: {},
        "by version": {"test": ("skipped", "Redis version required < 7.2.0")},
        **{word: {"test": (word, "why")} for word in ("passed", "failed", "skipped")},
    }
    verdict = suites.compare(outcomes[there], outcomes[here])
    counted = {name for name, value in vars(verdict).items() if value}
    assert counted == ({where} if where else set())


def test_table_of_verdicts() -> None:
    lines = suites.table({"RESP2 sync": Verdict(same=3, broken=[("a", "b")])}).splitlines()
    assert lines[-1] == "| RESP2 sync | 3 | 1 | 0 | 0 | 0 | 0 |"


def test_names_of_commands() -> None:
    names = coverage.names()
    assert len(names) == len(set(names)) == len({name for name, _ in names})
    assert ("CLIENT NO-TOUCH", "7.2") in names
    assert ("GET", "7.0") in names


def test_every_command_of_ours_is_one_of_redis() -> None:
    names = {name for name, _ in coverage.names()}
    assert {entry.spec.name for entry in command_table().all()} <= names


def test_new_commands_have_the_version_of_their_spec() -> None:
    since = {entry.spec.name: entry.spec.since for entry in command_table().all()}
    for name, version in coverage.names():
        if name in since and version != "7.0":
            assert since[name].startswith(f"{version}.")


def test_the_matrix_is_up_to_date() -> None:
    """Write it anew with ``make coverage``."""
    assert coverage.page(coverage.matrix()) == coverage.FILE.read_text()


@pytest.mark.skipif(REDIS_SERVER is None, reason="redis-server is not installed")
def test_every_command_and_setting_is_as_on_the_reference(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert commands.main() == 0, capsys.readouterr().out


def test_every_program_has_its_job() -> None:
    assert {program.script for program in programs.PROGRAMS} == {
        path.name for path in programs.JOBS.iterdir() if path.suffix in (".py", ".js")
    }


@pytest.mark.parametrize(
    ("script", "succeeded", "said"),
    [
        ("import os; print(os.environ['REDIS_PORT'])", True, "7"),
        ("raise SystemExit('wrong')", False, "wrong"),
        ("print('begun', flush=True); __import__('signal').pause()", False, "cut off"),
    ],
)
def test_a_job_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, succeeded: bool, said: str
) -> None:
    job = tmp_path / "job.py"
    job.write_text(script)
    monkeypatch.setattr(programs, "command_of", lambda _: ([sys.executable, str(job)], {}))
    monkeypatch.setattr(programs, "JOB_S", 1 if said == "cut off" else 60)
    found, output = programs.job(programs.PROGRAMS[0], 7)
    assert found is succeeded
    assert said in output
