"""Scenarios back to text, as a file would have them: for reports, and for what was shrunk."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from pyredis.sim.clients import NEVER_US, Load
from pyredis.sim.scenario import OPERATORS, Expectation, Scenario, Step
from pyredis.sim.words import UNITS_US
from pyredis.sim.world import US_PER_S


def render(scenario: Scenario) -> str:
    """The scenario as a file. ``parse_scenario`` gives the same scenario from it."""
    lines: list[str] = []
    if scenario.title:
        lines.append(f"title {scenario.title}")
    lines.append("nodes " + " ".join(scenario.nodes))
    lines += (f"config {each.node}: {each.text}" for each in scenario.config)
    lines += ("network " + _shown_settings(each) for each in scenario.network)
    lines += map(_shown_load, scenario.loads)
    lines += (f"at {show_time(step.time_us)} {show_action(step.words)}" for step in scenario.steps)
    for block in scenario.faults:
        low, high = map(show_time, block.every_us)
        shortest, longest = map(show_time, block.last_us)
        lines.append(
            f"faults random every {low}..{high} from {show_time(block.start_us)} until "
            f"{show_time(block.end_us)} for {shortest}..{longest} on {{{','.join(block.nodes)}}}: "
            + ", ".join(block.kinds)
        )
    lines += map(show_expectation, scenario.expectations)
    lines.append(f"end {show_time(scenario.end_us)}")
    return "\n".join(lines) + "\n"


def show_time(time_us: int) -> str:
    """A time in its largest fitting unit."""
    for unit in ("h", "m", "s", "ms"):
        if time_us and time_us % UNITS_US[unit] == 0:
            return f"{time_us // UNITS_US[unit]}{unit}"
    return f"{time_us}us" if time_us else "0s"


def show_action(words: tuple[str, ...]) -> str:
    """An action as it is written in a file."""
    verb, *args = words
    if verb == "command":
        node, label, *argv = args
        return f"{node}: {' '.join(map(_quoted, argv))}" + (f" -> {label}" if label else "")
    if verb == "partition":
        return f"partition {{{args[0]}}} from {{{args[1]}}}"
    if verb == "block":
        return f"partition {{{args[0]}}} -> {{{args[1]}}}"
    if verb == "clock":
        change_us = int(args[1])
        return f"clock {args[0]} {'+' if change_us >= 0 else '-'}{show_time(abs(change_us))}"
    if verb == "slow-disk":
        return f"slow-disk {args[0]} {show_time(int(args[1]))}"
    if verb == "network":
        return "network " + _shown_settings(tuple(args))
    return " ".join(words)


def show_expectation(each: Expectation) -> str:
    """An expectation as it is written in a file."""
    text = show_condition(each.words)
    if each.until_us is not None:
        return f"always from {show_time(each.time_us or 0)} until {show_time(each.until_us)} {text}"
    if each.within_us is None:
        when = "" if each.time_us is None else f"at {show_time(each.time_us)} "
        return f"expect {when}{text}"
    when = "" if each.time_us is None else f"from {show_time(each.time_us)} "
    return f"eventually {when}within {show_time(each.within_us)} {text}"


def show_condition(words: tuple[str, ...]) -> str:
    """A condition as it is written in a file."""
    if words[0] == "command":
        _, node, operator, value, *argv = words
        return f"{node}: {' '.join(map(_quoted, argv))} {operator} {_quoted(value)}"
    if words[0] == "info":
        _, node, section, name, operator, value = words
        return f"{node} INFO {section} {name} {operator} {_quoted(value)}"
    return " ".join((*words[:-1], _quoted(words[-1])))


def _quoted(word: str) -> str:
    if word and not re.search(r'[\s"#\\]|^->$', word) and word not in OPERATORS:
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _shown_settings(words: tuple[str, ...]) -> str:
    what, *values = words
    if what == "delay":
        return f"delay {show_time(int(values[0]))}..{show_time(int(values[1]))}"
    if what == "loss":
        return f"loss {int(values[0]) / 10_000:g}%"
    return f"{what} {show_time(int(values[0])) if what == 'patience' else values[0]}"


def _shown_load(load: Load) -> str:
    targets = "{" + ",".join(load.targets) + "}"
    parts = [f"load {load.name} to {'primary of ' if load.follows else ''}{targets}"]
    parts.append(f"rate {US_PER_S / load.interval_us:g}")
    parts.append(f"from {show_time(load.start_us)}")
    if load.end_us < NEVER_US:
        parts.append(f"until {show_time(load.end_us)}")
    parts.append("mix " + (",".join(load.mix) or "none"))
    if load.wait is not None:
        parts.append(f"wait {load.wait[0]} {load.wait[1]}ms")
    if load.pace_us is not None:
        parts.append(f"busy {show_time(load.pace_us[0])} of {show_time(load.pace_us[1])}")
    return " ".join(parts)


def with_steps(scenario: Scenario, steps: Iterable[Step]) -> Scenario:
    """The scenario with further steps, and without random faults."""
    merged = sorted([*scenario.steps, *steps], key=lambda step: step.time_us)
    return replace(scenario, steps=tuple(merged), faults=())
