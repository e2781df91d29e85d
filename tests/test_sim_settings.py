"""Wrong lines of configuration are told with the line of the scenario, before anything runs."""

from __future__ import annotations

import pytest

from pyredis.sim.scenario import ScenarioError, parse_scenario
from pyredis.sim.settings import check_config


def check(text: str) -> None:
    scenario = parse_scenario(f"nodes a b\nconfig *: hz 20\n{text}\n", "some.txt")
    check_config(scenario, scenario.nodes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("maxmemry 1", "Bad directive or wrong number of arguments"),
        ("maxmemory lots", "argument must be a memory value"),
        ("replicaof a", "wrong number of arguments"),
        ("rename-command NOSUCH x", "No such command in rename-command"),
        ("rename-command GET SET", "Target command name already exists"),
        ("user bob on +nonsense", "Error loading ACL rule '+nonsense' for the user named 'bob'"),
        ("user bob on (+get", "Unmatched parenthesis"),
    ],
)
def test_the_line_and_the_reason_are_named(text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        check(f"config a: maxmemory 1mb\nconfig b: {text}")
    assert str(caught.value).startswith(f"some.txt, line 4: {text}: ")
    assert message in str(caught.value)


def test_good_lines_pass() -> None:
    check(
        'config b: replicaof {a}\nconfig *: save ""\nconfig a: rename-command GET G\n'
        "config *: user bob on >secret ~* +@all\nconfig b: repl-diskless-sync-delay 0"
    )
