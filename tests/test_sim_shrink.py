"""The shrinker: what is left fails alike and has nothing to spare."""

from __future__ import annotations

import pytest

from pyredis.sim.checkers import Violation
from pyredis.sim.render import render
from pyredis.sim.scenario import Scenario, parse_scenario
from pyredis.sim.shrink import Shrinker, signature
from pyredis.sim.simulation import Outcome, Simulation

TEXT = """\
nodes a b c d
config {b,c,d}: replicaof {a}
config *: repl-diskless-sync-delay 0
load w to a rate 20 until 8s
load v to a rate 10 until 8s wait 1 100ms
faults random every 200ms..1s until 8s: cut, pause, partition, slow-disk
at 7500ms a: SET x 1
at 8432ms power-off b
expect at 9s up b
eventually within 10s equal a c d
"""


def simulate(scenario: Scenario) -> Outcome:
    return Simulation(scenario, 5).run()


def test_a_failing_run_shrinks_to_its_cause() -> None:
    shrinker = Shrinker(parse_scenario(TEXT), 5, simulate, runs_max=150)
    assert len(shrinker.scenario.steps) > 15
    found = shrinker.shrink()
    assert found.nodes == ("b",)
    assert found.loads == ()
    assert found.config == ()
    assert [step.words for step in found.steps] == [("power-off", "b")]
    assert len(found.expectations) == 1
    again = Simulation(parse_scenario(render(found)), 5).run()
    assert again.violations[0].text == shrinker.violation.text
    assert shrinker.runs <= 150


def test_what_does_not_fail_cannot_be_shrunk() -> None:
    with pytest.raises(ValueError, match="nothing fails"):
        Shrinker(parse_scenario("nodes a\nend 1s"), 1, simulate)


def test_what_is_shrunk_can_be_read_again() -> None:
    text = (
        "nodes a ab c\nconfig c: replicaof {a.host} {a.port}\nconfig c: masteruser {ab}\n"
        "load w to ab\nload v to c\nload x to a\n"
        "at 1s partition {a,w} from {ab,c,v,x}\nat 2s ab/x: REPLICAOF {c.host} {c.port}\nend 6s"
    )

    def partitioned(scenario: Scenario) -> Outcome:
        outcome = Outcome(5, scenario)
        if any(step.words[0] == "partition" for step in scenario.steps) and scenario.config:
            outcome.violations.append(Violation("planted", "", 1))
        return outcome

    found = Shrinker(parse_scenario(text), 5, partitioned).shrink()
    assert render(found).splitlines() == [
        "nodes a c",
        "config c: replicaof {a.host} {a.port}",
        "at 1s partition {a} from {c}",
        "end 1s",
    ]
    assert parse_scenario(render(found)).config == found.config


def planted(scenario: Scenario) -> Outcome:
    """Fails if b is killed while a is paused, and a client is there."""
    words = [step.words for step in scenario.steps]
    outcome = Outcome(5, scenario)
    if ("pause", "a") in words and ("kill", "b") in words and scenario.loads:
        outcome.violations.append(Violation("planted", "both", 9_000_000))
    return outcome


def test_several_faults_may_be_needed() -> None:
    lines = ["nodes a b c", "load w to a", "load v to b"]
    lines += [f"at {n}s cut a b\nat {n}s kill c\nat {n}s start c" for n in range(1, 9)]
    lines += ["at 3s pause a", "at 4s kill b", "at 5s start b", "at 6s resume a", "end 20s"]
    found = Shrinker(parse_scenario("\n".join(lines)), 5, planted).shrink()
    words = {step.words for step in found.steps}
    assert words == {("pause", "a"), ("kill", "b")}
    assert len(found.loads) == 1
    assert found.loads[0].mix == ()
    assert found.end_us == 9_000_000


def test_failures_are_alike_by_kind_and_reason_not_by_numbers() -> None:
    scenario = parse_scenario("nodes a b\nexpect equal a b\nexpect a: GET k == 1")

    def shape(text: str, line: int) -> tuple[str, ...]:
        return signature(Violation("expectation", text, 0, line), scenario)

    differ = shape("expect equal a b: digests differ: a 0123456789, b fedcba9876", 2)
    assert differ == shape("expect equal a b: digests differ: a fedcba9876, b 0123456789", 2)
    assert differ != shape("expect equal a b: b cannot tell", 2)
    assert differ != shape("expect a: GET k == 1: found '2'", 3)
    fewer = shape("expect a: GET k == 1: found '0'", 3)
    assert shape("expect a: GET k == 1: found '2'", 3) == shape(
        "expect a: GET k == 1: found '9'", 3
    )
    assert fewer != shape("expect a: GET k == 1: found '2'", 3)
    one, two = Violation("wait", "w0 5", 1), Violation("wait", "w1 6", 2)
    assert signature(one, scenario) == signature(two, scenario)
