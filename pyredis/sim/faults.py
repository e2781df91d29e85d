"""Random faults: from a block in a scenario to steps with times, decided by the seed.

What is broken is repaired within the block, so that what comes after can ask for order; a clock
that was set stays wrong, and who was promoted stays the primary. The result is an ordinary
scenario: it can be printed, replayed and shrunk.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from pyredis.sim.render import with_steps
from pyredis.sim.scenario import Faults, Scenario, Step
from pyredis.sim.world import US_PER_S, World

_CLOCK_MAX_S: Final = 3600
_SLOW_MAX_US: Final = 300_000
_HURT: Final = {"kill": "start", "power-off": "start", "pause": "resume"}


def concrete(scenario: Scenario, seed: int) -> Scenario:
    """The scenario with the faults that this seed brings, and no random block any more."""
    world = World(seed)
    steps: list[Step] = []
    for number, block in enumerate(scenario.faults):
        steps += _steps(block, world.stream(f"faults {number}"))
    return with_steps(scenario, steps)


def _steps(block: Faults, rng: Random) -> Iterator[Step]:
    time_us = block.start_us
    while True:
        time_us += rng.randrange(block.every_us[0], block.every_us[1] + 1)
        until_us = time_us + rng.randrange(block.last_us[0], block.last_us[1] + 1)
        kind = block.kinds[rng.randrange(len(block.kinds))]
        if time_us >= block.end_us:
            return
        yield from _fault(kind, block.nodes, time_us, min(until_us, block.end_us), rng)


def _fault(
    kind: str, nodes: tuple[str, ...], time_us: int, until_us: int, rng: Random
) -> Iterator[Step]:
    order = list(nodes)
    rng.shuffle(order)
    one = order[0]
    if kind == "cut":
        yield Step(time_us, ("cut", *order[:2]))
    elif kind in ("partition", "one-way"):
        size = 1 + rng.randrange(len(order) - 1)
        sides = (",".join(order[:size]), ",".join(order[size:]))
        yield Step(time_us, ("partition" if kind == "partition" else "block", *sides))
        yield Step(until_us, ("heal",))
    elif kind in _HURT:
        yield Step(time_us, (kind, one))
        yield Step(until_us, (_HURT[kind], one))
    elif kind == "clock":
        change_s = rng.randrange(-_CLOCK_MAX_S, _CLOCK_MAX_S + 1)
        yield Step(time_us, ("clock", one, str(change_s * US_PER_S)))
    elif kind == "slow-disk":
        yield Step(time_us, ("slow-disk", one, str(rng.randrange(1000, _SLOW_MAX_US))))
        yield Step(until_us, ("slow-disk", one, "0"))
    elif kind == "promote":
        yield Step(time_us, ("command", one, "", "REPLICAOF", "NO", "ONE"))
        for other in order[1:]:
            yield Step(time_us, ("command", other, "", "REPLICAOF", one))
