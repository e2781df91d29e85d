"""Scenario files: what they say, what is wrong with them, and back to text."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyredis.sim.campaign import random_scenario
from pyredis.sim.cli import SHIPPED
from pyredis.sim.faults import concrete
from pyredis.sim.render import render
from pyredis.sim.scenario import Expectation, ScenarioError, Step, parse_scenario
from pyredis.sim.world import US_PER_S
from tests.support import ROOT

FILES = sorted([*(ROOT / "tests" / "scenarios").glob("*.txt"), *SHIPPED.glob("*.txt")])

EXAMPLE = """\
# a comment
title Everything a file can say
nodes a b c
config {b,c}: replicaof {a}
config *: save ""                      # and another
network delay 1ms..5ms
network loss 0.5%
network rate 10mb
network buffer 64kb
network patience 2m
load w to a rate 20 from 2s until 9s mix lists,sets wait 2 100ms busy 3s of 4s
load v to primary of {a,b} mix none
at 5s partition {a,b} from {c}
at 5500ms partition a -> {b, c}
at 5500ms partition c
at 6s heal
at 7s kill b
at 8s start b
at 8s clock c -1h
at 8s drift c -20
at 8s slow-disk a 200ms
at 8s cut a
at 8s cut a w
at 3s a/x: SET "a key" "#1" -> set
every 1s from 1s until 3s c: PING
network delay 0s..1ms
at 9s network loss 2%
faults random every 1s..3s from 10s until 20s for 1s..2s on {a,b}: cut, kill
expect at 5s equal a b
expect full-syncs <= 2
expect b INFO replication role == slave
expect a: GET "a key" == "#1"
expect log a contains "some text"
expect reply set == OK
always from 1s until 2s up a
eventually from 20s within 10s offsets a b c
eventually within 10s down b
"""


def test_all_statements_are_understood() -> None:
    scenario = parse_scenario(EXAMPLE)
    assert scenario.nodes == ("a", "b", "c")
    assert scenario.directives("b") == ["replicaof {a}", 'save ""']
    assert scenario.network[0] == ("delay", "1000", "5000")
    assert scenario.network[1] == ("loss", "5000")
    w, v = scenario.loads
    assert (w.targets, w.interval_us, w.mix, w.wait) == (
        ("a",),
        50_000,
        ("lists", "sets"),
        (2, 100),
    )
    assert w.pace_us == (3 * US_PER_S, 4 * US_PER_S)
    assert v.follows
    assert v.targets == ("a", "b")
    assert scenario.end_us == 40 * US_PER_S
    steps = {step.words for step in scenario.steps}
    assert ("partition", "a,b", "c") in steps
    assert ("partition", "c", "a,b,w,v") in steps
    assert ("block", "a", "b,c") in steps
    assert ("command", "a/x", "set", "SET", "a key", "#1") in steps
    assert ("clock", "c", str(-3600 * US_PER_S)) in steps
    assert sum(step.words == ("command", "c", "", "PING") for step in scenario.steps) == 3
    assert scenario.expectations[0] == Expectation(("equal", "a", "b"), 5 * US_PER_S, line=29)
    assert scenario.expectations[3].words == ("command", "a", "==", "#1", "GET", "a key")


@pytest.mark.parametrize("text", [EXAMPLE, *(path.read_text() for path in FILES)])
def test_the_text_of_a_scenario_is_the_same_scenario(text: str) -> None:
    rendered = render(parse_scenario(text))
    again = parse_scenario(rendered)
    assert render(again) == rendered
    assert [step.words for step in again.steps] == [
        step.words for step in parse_scenario(text).steps
    ]


@pytest.mark.parametrize("seed", range(30))
def test_drawn_scenarios_can_be_written_down(seed: int) -> None:
    scenario = random_scenario(seed)
    again = parse_scenario(render(scenario))
    assert [(s.time_us, s.words) for s in again.steps] == [
        (s.time_us, s.words) for s in scenario.steps
    ]
    assert again.loads == scenario.loads
    assert (again.config, again.network, again.end_us) == (
        scenario.config,
        scenario.network,
        scenario.end_us,
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("frobnicate", "line 3: expected one of title, node"),
        ("at 5 heal", "line 3: expected a time, as 5s, 200ms or 1.5m, found '5'"),
        ("at 5s", "expected an action, found 'the end of the line'"),
        ("at 5s explode a", "expected an action (NODE: COMMAND, partition, heal"),
        ("at 5s kill z", "expected one of a, b, found 'z'"),
        ("at 5s kill", "expected a node"),
        ("at 5s heal now", "expected the end of the line, found 'now'"),
        ("at 5s expect up a", "expected 'expect at TIME CONDITION'"),
        ("at 5s a:", "expected a command"),
        ("at 5s drift a fast", "expected parts per million"),
        ("every 0s until 5s heal", "expected a time greater than 0"),
        ("every 1s heal", "expected 'until', found 'heal'"),
        ("node a", "expected a name not used before, found 'a'"),
        ("node 5", "expected a name made of letters"),
        ("config a:", "expected a directive and its value"),
        ("config z: save 1 1", "expected one of a, b"),
        ("network loss much", "expected a percentage"),
        ("network delay 5ms", "expected a range of times"),
        ("network delay 5ms..1ms", "expected the smaller time first"),
        ("network speed 5", "expected delay, loss, rate, buffer or patience"),
        ("network rate fast", "expected a size"),
        ("load a to b", "expected a name of letters and digits that is no node's"),
        ("load w to z", "expected one of a, b"),
        ("load w to a rate none", "expected operations a second"),
        ("load w to a mix poetry", "expected all, none, or some of strings"),
        ("load w to a often", "expected rate, from, until"),
        ("faults random every 1s..2s until 5s", "expected 'for', 'on' or ':'"),
        ("faults random every 1s..2s until 5s: floods", "expected some of cut"),
        ("faults random every 1s..2s until 5s:", "expected some of cut"),
        ("expect happiness", "expected a condition (equal"),
        ("expect full-syncs 4", "expected one of == !="),
        ("expect full-syncs ==", "expected a value after =="),
        ("expect a: GET k", "expected a command, one of =="),
        ("expect a ROLE", "expected 'INFO', found 'ROLE'"),
        ('at 1s a: SET k "open', "expected every quote and brace to be closed"),
    ],
)
def test_errors_name_the_line_and_what_was_expected(line: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(f"title x\nnodes a b\n{line}\n", "some.txt")
    assert str(caught.value).startswith("some.txt, line 3: expected ")
    assert message in str(caught.value)


def test_a_file_without_nodes_says_nothing() -> None:
    with pytest.raises(ScenarioError, match=r"some.txt: expected a line 'nodes"):
        parse_scenario("title x", "some.txt")


def test_random_faults_become_steps_that_end_in_time() -> None:
    scenario = parse_scenario(
        "nodes a b c\nfaults random every 100ms..500ms until 20s: "
        "cut, partition, one-way, kill, power-off, pause, clock, slow-disk, promote\n"
    )
    first, second = concrete(scenario, 1), concrete(scenario, 1)
    assert first == second
    assert first.faults == ()
    assert len(first.steps) > 40
    assert concrete(scenario, 2).steps != first.steps
    assert {step.words[0] for step in first.steps} >= {"kill", "start", "pause", "heal", "command"}
    assert all(step.time_us <= 20 * US_PER_S for step in first.steps)
    assert list(first.steps) == sorted(first.steps, key=lambda step: step.time_us)
    assert isinstance(first.steps[0], Step)


def test_every_scenario_has_a_title() -> None:
    assert FILES
    for path in FILES:
        assert parse_scenario(Path(path).read_text(), path.name).title, path.name
