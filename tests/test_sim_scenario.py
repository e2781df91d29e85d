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
expect a: SET k "in" == OK
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
        ("load a to b", "expected a name not used before, found 'a'"),
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
        ('at 1s a: SET k "open', "expected every quote to be closed"),
        ('at 1s a: SET k "a"b', "blanks around what is quoted"),
        ("title again", "expected one title only"),
        # What only a node can be or do
        ("load w to a\nat 1s kill w", "line 4: expected one of a, b, found 'w'"),
        ("load w to a\nat 1s w: PING", "line 4: expected one of a, b, found 'w'"),
        ("load w to a\nload v to w", "line 4: expected one of a, b, found 'w'"),
        ("load w to a\nconfig w: hz 10", "line 4: expected one of a, b, found 'w'"),
        ("load w to a\nexpect up w", "line 4: expected one of a, b, found 'w'"),
        ("load w to a\nfaults random every 1s..2s until 9s on {w}: kill", "found 'w'"),
        # Names
        ("load w to a\nload w to b", "line 4: expected a name not used before, found 'w'"),
        ("load w to a\nnodes w", "line 4: expected a name not used before, found 'w'"),
        ("nodes equal", "expected a name that means nothing else, found 'equal'"),
        ("config {a,b: hz 10", "expected one of a, b, found '{a'"),
        # Times and numbers
        ("at -5s heal", "expected a time from 0s to 10000h, found '-5s'"),
        ("at 10001h heal", "expected a time from 0s to 10000h"),
        (f"at {'9' * 5000}s heal", "expected a time, as 5s"),
        ("end 0s", "expected a time greater than 0"),
        ("end 5s\nend 6s", "line 4: expected one end only"),
        ("every 1s from 5s until 3s heal", "expected an end that is not before the start"),
        ("every 1us until 1s heal", "expected at most 100000 times, found '1000000'"),
        ("faults random every 1s..3s from 9s until 2s: cut", "an end that is not before"),
        ("faults random every 0s..0s until 2s: cut", "expected fewer than 100000 faults"),
        ("faults random every 1s..3s until 9s on a: partition", "at least two nodes"),
        ("always from 5s until 2s up a", "expected an end that is not before the start"),
        ("load w to a rate 0", "expected operations a second, up to 10000, found '0'"),
        ("load w to a rate 10001", "expected operations a second, up to 10000"),
        ("load w to a rate 5 rate 6", "expected 'rate' once only"),
        ("load w to a from 5s until 2s", "expected an end that is not before the start"),
        ("load w to a busy 0s of 1s", "expected a time greater than 0"),
        ("load w to a busy 2s of 1s", "expected a period that is not shorter"),
        ("load w to a wait many 1s", "expected a number of replicas"),
        ("network loss 91%", "expected a percentage up to 90%"),
        ("network buffer 0", "expected a size"),
        ("network patience 0s", "expected a time greater than 0"),
        ("at 1s drift a -500001", "expected parts per million up to 500000"),
        # What says nothing
        ("config a: port 7000", "expected a directive that is not the lab's own affair"),
        ("at 1s partition {a,b}", "expected somebody to be on the other side"),
        ("at 1s partition {a,b} from b", "expected nobody to be on both sides, found 'b'"),
        ("at 1s cut a a", "expected two different nodes"),
        ("at 1s a: PING ->", "expected one label at the end"),
        ("at 1s a: PING -> x y", "expected one label at the end"),
        ("expect equal a", "expected two nodes at least, to be compared, found 'a'"),
        ("expect offsets a a", "expected two nodes at least"),
        ("expect full-syncs == few", "expected a number, found 'few'"),
        ("expect full-syncs contains 1x", "expected a number"),
        ('expect a: GET k < ""', "expected a number"),
        ("expect log a == x", "expected one of contains lacks, found '=='"),
        ("expect reply ok == OK", "expected the label of a reply ('-> LABEL' behind a command)"),
        ("at 1s a: PING -> p\nexpect reply q == OK", "the label of a reply (p), found 'q'"),
    ],
)
def test_errors_name_the_line_and_what_was_expected(line: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(f"title x\nnodes a b\n{line}\n", "some.txt")
    last = 3 + line.count("\n")
    assert str(caught.value).startswith(f"some.txt, line {last}: expected ")
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing", "title x"])
def test_a_file_without_nodes_says_nothing(text: str) -> None:
    with pytest.raises(ScenarioError, match=r"some.txt: expected a line 'nodes"):
        parse_scenario(text, "some.txt")


@pytest.mark.parametrize("line", ["config *: hz 10", "at 1s kill a", "load w to primary"])
def test_nodes_come_first(line: str) -> None:
    with pytest.raises(ScenarioError, match=r"line 1: expected a line 'nodes ...' before this one"):
        parse_scenario(f"{line}\nnodes a", "some.txt")


def test_braces_belong_to_the_word_that_they_stand_in() -> None:
    scenario = parse_scenario(
        'nodes a b\nconfig {a, b} : hz 20\nat 1s a: SET {user}1 {"x": 1}\n'
        'at 1s a/c: SET "->" {b.port}\n'
    )
    assert scenario.directives("b") == ["hz 20"]
    assert [step.words[3:] for step in scenario.steps] == [
        ("SET", "{user}1", '{"x": 1}'),
        ("SET", "->", "{b.port}"),
    ]


def test_an_expectation_from_the_start_on_has_its_time_too() -> None:
    assert parse_scenario("nodes a\neventually from 0s within 30s up a").end_us == 40 * US_PER_S


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
