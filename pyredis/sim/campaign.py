"""Scenarios drawn by lot: every seed is another deployment, another load and other faults.

A campaign runs thousands of them. Each is short (about ten seconds of virtual time), since many
short runs meet more combinations than a few long ones, and ends in order: what was broken is
repaired, every server is told whom to follow, and then all must become equal. In between the
checkers watch.

``pyredis lab campaign --seeds 1..1000`` runs them; ``--show`` prints the scenario of a seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from pyredis.sim.clients import Load
from pyredis.sim.faults import concrete
from pyredis.sim.render import with_steps
from pyredis.sim.scenario import Directive, Expectation, Faults, Scenario, Step
from pyredis.sim.workload import DEFAULT_MIX
from pyredis.sim.world import US_PER_MS, US_PER_S, World

_NAMES: Final = "abcde"
_FAULTS_FROM_US: Final = 1500 * US_PER_MS
_KINDS: Final = (
    *("cut", "cut", "partition", "one-way", "kill", "power-off", "pause", "clock", "slow-disk"),
    "promote",
)
_REPEATS_US: Final = (0, 3 * US_PER_S, 10 * US_PER_S)
_SETTLE_US: Final = 60 * US_PER_S


def random_scenario(seed: int) -> Scenario:
    """The scenario of a seed, with its faults as steps. To be run under the same seed."""
    rng = World(seed).stream("campaign")
    count = (2, 3, 3, 3, 4, 5)[rng.randrange(6)]
    nodes = tuple(_NAMES[:count])
    end_us = rng.randrange(5, 10) * US_PER_S
    kinds = tuple(_KINDS[rng.randrange(len(_KINDS))] for _ in range(1 + rng.randrange(4)))
    faults = Faults(
        kinds,
        (100 * US_PER_MS, rng.randrange(1, 4) * US_PER_S),
        _FAULTS_FROM_US,
        end_us,
        (100 * US_PER_MS, rng.randrange(1, 4) * US_PER_S),
        nodes,
    )
    scenario = Scenario(
        source=f"campaign, seed {seed}",
        title=f"campaign {seed}",
        nodes=nodes,
        config=tuple(Directive(*each) for each in _config(nodes, rng)),
        network=tuple(_network(rng)),
        loads=tuple(_loads(nodes, rng, end_us)),
        faults=(faults,),
        expectations=(
            Expectation(("equal", *nodes), within_us=_SETTLE_US, line=1),
            Expectation(("offsets", *nodes), within_us=_SETTLE_US, line=2),
        ),
        end_us=end_us + US_PER_S,
    )
    return with_steps(concrete(scenario, seed), _order(nodes, rng, end_us + US_PER_S // 2))


def _config(nodes: tuple[str, ...], rng: Random) -> Iterator[tuple[str, str]]:
    """Who follows whom, and settings that matter to replication and to what a crash leaves."""

    def one_of(*choices: str) -> str:
        return choices[rng.randrange(len(choices))]

    for number, node in enumerate(nodes):
        if number:
            yield node, f"replicaof {{{nodes[rng.randrange(number)]}}}"
        yield node, f"repl-diskless-sync {one_of('yes', 'no')}"
        yield node, "repl-diskless-sync-delay 0"
        yield node, f"repl-diskless-load {one_of('disabled', 'on-empty-db', 'swapdb')}"
        yield node, f"repl-backlog-size {one_of('16384', '1mb')}"
        yield node, f"repl-backlog-ttl {one_of('1', '3600')}"
        yield node, f"repl-timeout {rng.randrange(2, 8)}"
        yield node, f"repl-ping-replica-period {rng.randrange(1, 4)}"
        if not rng.randrange(3):
            yield node, "appendonly yes"
            yield node, "aof-load-corrupt-tail-max-size 65536"
            yield node, f"appendfsync {one_of('always', 'everysec', 'no')}"
        if not rng.randrange(2):
            yield node, 'save ""'
        else:
            yield node, f"save {rng.randrange(1, 4)} 1"


def _network(rng: Random) -> Iterator[tuple[str, ...]]:
    low_us = (50, 200, 5000)[rng.randrange(3)]
    yield "delay", str(low_us), str(low_us * rng.randrange(2, 20))
    if not rng.randrange(3):
        yield "loss", str(rng.randrange(1, 20_000))
    if not rng.randrange(4):
        yield "rate", str(rng.randrange(20_000, 1_000_000))
    if not rng.randrange(4):
        yield "buffer", str(rng.randrange(2_000, 100_000))


def _loads(nodes: tuple[str, ...], rng: Random, end_us: int) -> Iterator[Load]:
    for number in range(1 + rng.randrange(2)):
        mix = tuple(name for name in DEFAULT_MIX if rng.randrange(2))
        yield Load(
            f"w{number}",
            nodes if rng.randrange(2) else nodes[:1],
            follows=True,
            interval_us=rng.randrange(50, 200) * US_PER_MS,
            start_us=rng.randrange(500, 1000) * US_PER_MS,
            end_us=end_us,
            mix=mix,
            wait=(1 + rng.randrange(2), rng.randrange(10, 300)) if rng.randrange(2) else None,
        )


def _order(nodes: tuple[str, ...], rng: Random, time_us: int) -> Iterator[Step]:
    """The faults are over: one primary, and a tree of replicas."""
    order = list(nodes)
    rng.shuffle(order)
    yield Step(time_us, ("heal",))
    above = {node: order[rng.randrange(number)] for number, node in enumerate(order) if number}
    for delay_us in _REPEATS_US:  # who is loading says no
        yield Step(time_us + delay_us, ("command", order[0], "", "REPLICAOF", "NO", "ONE"))
        for node, its in above.items():
            yield Step(time_us + delay_us, ("command", node, "", "REPLICAOF", its))
