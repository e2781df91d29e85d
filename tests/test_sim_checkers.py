"""The checkers see what they are there for: each is shown a defect planted for it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pyredis.replication.history import NO_REPLID, History
from pyredis.sim.checkers import Histories, Violation
from pyredis.sim.clients import Mark, holes
from pyredis.sim.scenario import parse_scenario
from pyredis.sim.simulation import Simulation
from pyredis.sim.world import US_PER_S

BASE = """\
nodes a b c
config {b,c}: replicaof {a}
config *: repl-diskless-sync-delay 0
load w to a rate 20 until 8s mix strings,lists wait 1 100ms
"""


def broken(plant: Callable[[Simulation], None], text: str = "", at_s: int = 4) -> Violation:
    """The first violation of a run in which ``plant`` is called after some seconds."""
    simulation = Simulation(parse_scenario(BASE + text + "\nend 12s"), 1)
    simulation.world.at(at_s * US_PER_S, plant, simulation)
    outcome = simulation.run()
    assert outcome.violations, "nobody has noticed"
    return outcome.violations[0]


def test_without_a_defect_there_is_no_violation() -> None:
    text = "at 3s kill b\nat 4s start b\nat 5s power-off a\nat 6s start a\nend 12s"
    assert Simulation(parse_scenario(BASE + text), 1).run().well


def test_equal_data() -> None:
    def plant(simulation: Simulation) -> None:
        simulation.nodes["b"].engine.ks.dbs[0].put(b"odd", b"one")

    violation = broken(plant)
    assert violation.kind == "equal-data"
    assert "held different data" in violation.text


def test_same_stream() -> None:
    def plant(simulation: Simulation) -> None:
        backlog: Any = simulation.nodes["c"].engine.replication.primary.backlog
        pieces = backlog._pieces
        pieces[-1] = pieces[-1].swapcase()

    assert broken(plant).kind == "same-stream"


def test_wait_counts_only_who_has_the_write() -> None:
    def plant(simulation: Simulation) -> None:
        simulation.network.block("a", "b")
        simulation.network.block("a", "c")
        primary: Any = simulation.nodes["a"].engine.replication.primary
        primary.count_acked = lambda offset: 2

    violation = broken(plant)
    assert violation.kind == "wait"
    assert "it is held by none" in violation.text


def test_a_lost_write_that_nothing_explains() -> None:
    def plant(simulation: Simulation) -> None:
        for node in simulation.nodes.values():
            node.engine.ks.dbs[0].data[b"ledger:w"] = b"\x00\xff\xff"

    violation = broken(plant, at_s=9)
    assert violation.kind == "lost-write"
    assert "write 0 of w, acknowledged by a" in violation.text


def test_a_restart_that_loses_what_came_first() -> None:
    def plant(simulation: Simulation) -> None:
        a = simulation.nodes["a"]
        value = bytes(a.engine.ks.dbs[0].data[b"ledger:w"])
        a.engine.ks.dbs[0].data[b"ledger:w"] = b"\x00" + value[1:]
        a.ask_now("SAVE")
        a.engine.ks.dbs[0].data[b"ledger:w"] = value
        a.kill()
        a.boot()

    violation = broken(plant)
    assert violation.kind == "restart"
    assert "has lost write 0 of w in its restart, and kept" in violation.text


@pytest.mark.parametrize("fault", ["kill", "power_off"])
def test_a_restart_that_does_not_keep_what_fsync_promised(fault: str) -> None:
    def plant(simulation: Simulation) -> None:
        a = simulation.nodes["a"]
        getattr(a, fault)()
        name = "appendonlydir/appendonly.aof.1.incr.aof"
        file = a.disk._names[name]
        del file.data[60:]
        a.boot()

    violation = broken(plant, "config a: appendonly yes\nconfig a: appendfsync always")
    assert violation.kind == "restart"
    assert "acknowledged" in violation.text


def test_a_full_copy_that_was_not_needed() -> None:
    def plant(simulation: Simulation) -> None:
        history: Any = simulation.nodes["a"].engine.replication.history
        simulation.nodes["a"].engine.replication.primary.history = _Refusing(history)
        simulation.network.cut("a", "b")

    violation = broken(plant)
    assert violation.kind == "full-sync"
    assert "a gives b a full copy" in violation.text


class _Refusing:
    """A history that nobody can go on with."""

    def __init__(self, history: History) -> None:
        self.__dict__["_history"] = history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._history, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._history, name, value)

    def refusal(self, backlog: object, replid: str, offset: int) -> str:
        return "no"


def test_a_replica_that_refuses_the_stream() -> None:
    def plant(simulation: Simulation) -> None:
        simulation.nodes["b"].ask_now("CONFIG", "SET", "replica-read-only", "no")
        simulation.nodes["b"].ask_now("SET", "odd", "1")
        simulation.nodes["a"].ask_now("RPUSH", "odd", "x")

    violation = broken(plant)
    assert violation.kind == "defect"
    assert "CRITICAL" in violation.text


# Their tools


def history(replid: str, replid2: str = NO_REPLID, second_offset: int = -1) -> Any:
    return SimpleNamespace(replid=replid, replid2=replid2, second_offset=second_offset)


def test_histories_are_chains() -> None:
    known = Histories()
    known.note(history("a"), None)
    known.note(history("b", "a", 101), None)
    known.note(history("c", "b", 151), None)
    known.note(history("d"), ("c", 160))
    assert known.contains("a", Mark("n", 0, "a", 500))
    assert known.contains("d", Mark("n", 0, "a", 100))
    assert not known.contains("d", Mark("n", 0, "a", 101))
    assert known.contains("d", Mark("n", 0, "b", 150))
    assert not known.contains("d", Mark("n", 0, "b", 151))
    assert not known.contains("b", Mark("n", 0, "c", 1))
    assert not known.contains("b", Mark("n", 0, "x", 1))


def test_holes_of_a_ledger() -> None:
    assert holes(b"\xa0", [0, 1, 2, 3, 9]) == [1, 3, 9]
    assert holes(b"", [0]) == [0]


def test_a_violation_shows_when_and_where() -> None:
    assert str(Violation("wait", "text", 1_500_000)) == "1.500000 wait: text"
    assert str(Violation("wait", "text", 1_500_000, 7)) == "1.500000 wait (line 7): text"
