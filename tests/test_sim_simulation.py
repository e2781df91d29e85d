"""Whole runs: determinism above all, and what the steps and expectations of a scenario do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pyredis.sim.campaign import random_scenario
from pyredis.sim.scenario import parse_scenario
from pyredis.sim.simulation import Outcome, Simulation
from tests.support import ROOT

BASE = """\
nodes a b
config b: replicaof {a}
config *: repl-diskless-sync-delay 0
load w to a rate 20 until 8s mix all
"""
HASHES = (
    "import sys; sys.path.insert(0, sys.argv[1])\n"
    "from pyredis.sim.campaign import random_scenario\n"
    "from pyredis.sim.simulation import Simulation\n"
    "print([Simulation(random_scenario(n), n).run().trace_hash for n in (3, 4, 5)])\n"
)
OTHERS = os.environ.get("PYREDIS_PYTHONS", "").split()
"""Interpreters of other versions that have the libraries, if there are any."""


def run(text: str, seed: int = 1) -> Outcome:
    return Simulation(parse_scenario(BASE + text), seed).run()


def hashes(python: str, hash_seed: str) -> str:
    done = subprocess.run(
        [python, "-B", "-c", HASHES, ROOT],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert not done.stderr
    return done.stdout.strip()


def here() -> str:
    return str([Simulation(random_scenario(n), n).run().trace_hash for n in (3, 4, 5)])


def test_the_same_seed_gives_the_same_run() -> None:
    assert here() == here()
    assert len(set(here().split(","))) == 3


def test_the_hash_seed_of_the_interpreter_does_not_matter() -> None:
    assert hashes(sys.executable, "1") == hashes(sys.executable, "2") == here()


def test_the_version_of_the_interpreter_does_not_matter() -> None:
    if not OTHERS:
        pytest.skip("PYREDIS_PYTHONS names no other interpreters")
    for python in OTHERS:
        assert hashes(python, "3") == here()


def test_a_quiet_run() -> None:
    outcome = run("expect equal a b\nexpect offsets a b\nexpect full-syncs == 1\nexpect acked > 60")
    assert outcome.well, outcome.violations
    assert outcome.counters["full-syncs"] == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("expect full-syncs == 7", "found '1'"),
        ("expect at 3s b INFO replication role == master", "found 'slave'"),
        ("expect a: GET none == 1", "found '(nil)'"),
        ("expect log a contains nonsense", "no line of a's log has it"),
        ("at 13s a: PING -> late\nexpect reply late == 1", "there is no reply late yet"),
        ("expect down a", "a is up"),
        ("eventually from 2s within 1s up a\neventually within 1s down a", "a is up"),
        ("at 9s a: SET x 1\nat 9s pause b\nexpect at 10s equal a b", "digests differ"),
        ("at 5s kill b\nalways from 4s until 6s up b", "b is down"),
        ("at 5s kill b\nexpect at 6s equal a b", "b cannot tell"),
        ("at 5s kill b\nexpect at 6s b: GET k != 1", "the server does not answer"),
        ("at 5s kill b\nexpect at 6s b INFO server run_id lacks x", "the server does not answer"),
        ("expect a INFO server no_such_field != 1", "there is no such field"),
    ],
)
def test_disappointed_expectations_say_what_was_found(text: str, reason: str) -> None:
    outcome = run(text + "\nend 12s")
    assert len(outcome.violations) == 1
    violation = outcome.violations[0]
    assert violation.kind == "expectation"
    assert reason in violation.text
    assert violation.line >= 5
    assert f"(line {violation.line})" in str(violation)


def test_steps_do_what_they_say() -> None:
    outcome = run(
        """
        at 2s a/one: SELECT 3 -> selected
        at 2s a/one: SET k {b}
        at 3s cut a
        at 4s partition b
        at 4s a: BLPOP list 0 -> popped
        at 4s a: RPUSH list x
        at 5s heal
        at 5s restart b
        at 6s clock a +1h
        at 6s drift b 100
        at 6s slow-disk b 20ms
        at 6s network delay 5ms..9ms
        at 7s power-off b
        at 8s start b
        at 9s stop b
        at 10s start b
        at 10s pause a
        at 11s resume a
        at 11s kill-child a
        expect reply selected == OK
        expect reply popped == "list x"
        eventually within 20s equal a b
        expect a: GET k == (nil)
        expect lost-writes == 0
        expect unexplained-writes == 0
        expect partial-syncs >= 1
        """
    )
    assert outcome.well, outcome.violations
    assert outcome.scenario.steps[0].words[1] == "a/one"
