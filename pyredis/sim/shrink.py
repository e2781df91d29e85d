"""From a run that fails to the least that fails in the same way: fewer faults, nodes and clients.

The method is delta debugging (Zeller and Hildebrandt, 2002): take parts away, run again under
the same seed, and keep what still fails alike. Two failures are alike if they break the same
invariant, or the same expectation for the same kind of reason.

What is taken away, in this order, until nothing more can go:

    1. all expectations but the broken one, and the time after the failure
    2. faults, each together with what ends it (kill and start, partition and heal)
    3. clients, nodes, lines of configuration, settings of the network
    4. of the clients that are left: families of commands, and pace
    5. digits of the times

The random faults have become steps with times before all this. The result is a scenario
file, as small as it gets; its seed is the old one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from pyredis.sim.checkers import Violation
from pyredis.sim.clients import Load
from pyredis.sim.faults import concrete
from pyredis.sim.scenario import Scenario, Step
from pyredis.sim.simulation import Outcome
from pyredis.sim.world import US_PER_MS, US_PER_S

T = TypeVar("T")
Run = Callable[[Scenario], Outcome]

_ENDS: Final = {
    "kill": ("start", "restart"),
    "power-off": ("start", "restart"),
    "stop": ("start", "restart"),
    "pause": ("resume",),
    "partition": ("heal",),
    "block": ("heal",),
    "slow-disk": ("slow-disk",),
    "clock": (),
}
_NUMBER: Final = re.compile(r"found '(-?\d+(?:\.\d+)?)'")
_GRAINS_US: Final = (US_PER_S, 100 * US_PER_MS, 10 * US_PER_MS, US_PER_MS)


def signature(violation: Violation, scenario: Scenario) -> tuple[str, ...]:
    """What two failures must have in common to be the same."""
    if violation.kind != "expectation":
        return (violation.kind,)
    words = next((each.words for each in scenario.expectations if each.line == violation.line), ())
    reason = violation.text.rsplit(": ", 1)[0] if "differ: " in violation.text else violation.text
    tail = reason.split(": ")[-1]
    found = _NUMBER.fullmatch(tail)
    wanted = words[3] if words[:1] == ("command",) else words[-1] if words else ""
    if found is not None and _is_number(wanted):
        # Too many of something is another failure than too few.
        tail = "more" if float(found[1]) > float(wanted) else "less"
    return ("expectation", " ".join(words), re.sub(r"[0-9a-f]{6,}|\d+", "", tail))


def _is_number(word: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", word) is not None


class Shrinker:
    """Makes one failing scenario smaller."""

    def __init__(self, scenario: Scenario, seed: int, run: Run, runs_max: int = 600) -> None:
        """``run`` runs a scenario under the seed; at most ``runs_max`` times."""
        self.runs = 0
        self._run = run
        self._runs_max = runs_max
        self.scenario = concrete(scenario, seed)
        outcome = run(self.scenario)
        if outcome.well:
            raise ValueError("nothing fails, so there is nothing to shrink")
        self.violation = outcome.violations[0]
        self._wanted = signature(self.violation, self.scenario)

    def shrink(self) -> Scenario:
        """The smallest scenario found that fails in the same way."""
        self._drop_what_follows()
        while True:
            before = self.scenario
            self._drop_faults()
            self._drop_clients()
            self._drop_nodes()
            self._drop_config()
            self._calm_clients()
            self._round_times()
            self._drop_what_follows()
            if self.scenario == before or self.runs >= self._runs_max:
                return self.scenario

    def _fails(self, scenario: Scenario) -> bool:
        """Whether that one fails alike; then it takes the place of the present one."""
        if self.runs >= self._runs_max or scenario == self.scenario:
            return False
        self.runs += 1
        outcome = self._run(scenario)
        if outcome.well or signature(outcome.violations[0], scenario) != self._wanted:
            return False
        self.scenario, self.violation = scenario, outcome.violations[0]
        return True

    # What can go

    def _drop_what_follows(self) -> None:
        kept = tuple(
            each
            for each in self.scenario.expectations
            if self.violation.kind == "expectation" and each.line == self.violation.line
        )
        self._fails(replace(self.scenario, expectations=kept))
        time_us = self.violation.time_us
        early = tuple(step for step in self.scenario.steps if step.time_us <= time_us)
        self._fails(replace(self.scenario, steps=early))
        if not any(each.time_us is None for each in self.scenario.expectations):
            self._fails(replace(self.scenario, end_us=-(-time_us // US_PER_S) * US_PER_S))

    def _drop_faults(self) -> None:
        def keep(units: Sequence[tuple[Step, ...]]) -> Scenario:
            steps = sorted((s for unit in units for s in unit), key=lambda step: step.time_us)
            return replace(self.scenario, steps=tuple(steps))

        self._minimize(list(_units(self.scenario.steps)), keep)
        self._minimize([(step,) for step in self.scenario.steps], keep)

    def _drop_clients(self) -> None:
        def keep(loads: Sequence[Load]) -> Scenario:
            gone = [load.name for load in self.scenario.loads if load not in loads]
            steps = _steps_without(self.scenario.steps, gone)
            return replace(self.scenario, loads=tuple(loads), steps=steps)

        self._minimize(list(self.scenario.loads), keep)

    def _drop_nodes(self) -> None:
        for name in reversed(self.scenario.nodes):
            if len(self.scenario.nodes) > 1:
                smaller = _without(self.scenario, name)
                if smaller is not None:
                    self._fails(smaller)

    def _drop_config(self) -> None:
        self._minimize(
            list(self.scenario.config), lambda lines: replace(self.scenario, config=tuple(lines))
        )
        self._minimize(
            list(self.scenario.network),
            lambda lines: replace(self.scenario, network=tuple(lines)),
        )

    def _calm_clients(self) -> None:
        for at in range(len(self.scenario.loads)):
            self._change_load(at, mix=())
            if self.scenario.loads[at].mix:
                self._minimize(
                    list(self.scenario.loads[at].mix),
                    lambda mix, at=at: self._with_load(at, mix=tuple(mix)),  # type: ignore[misc]
                )
            self._change_load(at, wait=None)
            while self._change_load(at, interval_us=2 * self.scenario.loads[at].interval_us):
                pass
            load = self.scenario.loads[at]
            end_us = min(load.end_us, self.scenario.end_us)
            for share in (2, 3, 4):
                self._change_load(at, end_us=load.start_us + (end_us - load.start_us) // share)

    def _with_load(self, at: int, **changes: Any) -> Scenario:
        loads = list(self.scenario.loads)
        loads[at] = loads[at]._replace(**changes)
        return replace(self.scenario, loads=tuple(loads))

    def _change_load(self, at: int, **changes: Any) -> bool:
        return self._fails(self._with_load(at, **changes))

    def _round_times(self) -> None:
        for grain_us in _GRAINS_US:
            rounded = tuple(
                replace(step, time_us=round(step.time_us / grain_us) * grain_us)
                for step in self.scenario.steps
            )
            if self._fails(replace(self.scenario, steps=rounded)):
                return

    def _minimize(self, parts: list[T], build: Callable[[Sequence[T]], Scenario]) -> None:
        """Delta debugging: leave out ever smaller pieces of the list, as long as it fails."""
        if not parts or self._fails(build([])):
            return
        pieces = 2
        while len(parts) >= 2 and self.runs < self._runs_max:
            size = -(-len(parts) // pieces)
            for start in range(0, len(parts), size):
                fewer = parts[:start] + parts[start + size :]
                if self._fails(build(fewer)):
                    parts, pieces = fewer, max(2, pieces - 1)
                    break
            else:
                if size == 1:
                    return
                pieces = min(len(parts), 2 * pieces)


def _units(steps: Iterable[Step]) -> Iterator[tuple[Step, ...]]:
    """Faults together with the steps that end them."""
    left = list(steps)
    while left:
        first = left.pop(0)
        ends = _ENDS.get(first.words[0], ())
        end = next(
            (
                step
                for step in left
                if step.words[0] in ends
                and (step.words[0] == "heal" or step.words[1] == first.words[1])
            ),
            None,
        )
        if end is None:
            yield (first,)
        else:
            left.remove(end)
            yield (first, end)


def _without(scenario: Scenario, name: str) -> Scenario | None:
    """The scenario without a node; None if an expectation needs it."""
    if any(name in each.words[1:] for each in scenario.expectations):
        return None
    loads = tuple(
        load._replace(targets=tuple(n for n in load.targets if n != name))
        for load in scenario.loads
        if load.targets != (name,)
    )
    config = tuple(
        each for each in scenario.config if each.node != name and not _names(each.text, name)
    )
    nodes = tuple(node for node in scenario.nodes if node != name)
    gone = [name, *(load.name for load in scenario.loads if load.targets == (name,))]
    steps = _steps_without(scenario.steps, gone)
    return replace(scenario, nodes=nodes, steps=steps, loads=loads, config=config)


def _steps_without(steps: Iterable[Step], gone: Sequence[str]) -> tuple[Step, ...]:
    """The steps that make sense without these nodes and clients, and as far as they do."""
    left = []
    for step in steps:
        verb, *args = step.words
        if verb in ("partition", "block"):
            sides = [",".join(n for n in arg.split(",") if n not in gone) for arg in args]
            if all(sides):
                left.append(replace(step, words=(verb, *sides)))
        elif not any(_names(arg, name) for arg in args for name in gone):
            left.append(step)
    return tuple(left)


def _names(text: str, name: str) -> bool:
    """Whether a word or a line names a node: ``a``, ``a/connection``, ``{a}``, ``{a.port}``."""
    return text.split("/")[0] == name or re.search(rf"\{{{name}(\.\w+)?\}}", text) is not None
