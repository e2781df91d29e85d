"""Clients of the simulation: what they send is understood, what they are promised is kept."""

from __future__ import annotations

from random import Random

import pytest

from pyredis.sim.scenario import parse_scenario
from pyredis.sim.simulation import Simulation
from pyredis.sim.workload import FAMILIES, Dice, Workload
from tests.support import ReplyError, new_client

HARMLESS = (
    *(b"WRONGTYPE", b"NOGROUP", b"BUSYGROUP", b"ERR no such key", b"ERR The ID specified"),
    *(b"ERR The XGROUP subcommand requires", b"ERR source and destination objects are the same"),
)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_operation_is_understood(family: str) -> None:
    client = new_client()
    dice = Dice(Random(1))
    errors: dict[bytes, int] = {}
    for _ in range(300):
        for request in FAMILIES[family](dice):
            client.send(*request)
            for reply in client.replies():
                if isinstance(reply, ReplyError) and not reply.startswith(HARMLESS):
                    errors[bytes(reply)] = errors.get(bytes(reply), 0) + 1
        client.clock.advance(20)
    assert not errors


def test_a_workload_is_decided_by_its_dice() -> None:
    first, second = (Workload(Random(5)) for _ in range(2))
    assert [first.next() for _ in range(100)] == [second.next() for _ in range(100)]


def simulate(text: str) -> Simulation:
    simulation = Simulation(parse_scenario(text), 1)
    outcome = simulation.run()
    assert outcome.well, outcome.violations
    return simulation


def test_every_other_operation_is_a_ledger_write() -> None:
    client = simulate("nodes a\nload w to a rate 10 from 1s until 5s\nend 6s").clients["w"]
    assert 36 <= client.operations <= 40
    assert client.attempted == client.operations // 2
    assert list(client.acknowledged) == list(range(client.attempted))
    mark = client.acknowledged[0]
    assert mark.node == "a"
    assert 1_000_000 < mark.time_us < 1_500_000


def test_a_client_finds_the_primary_and_looks_again_when_it_has_changed() -> None:
    simulation = simulate(
        "nodes a b c\nconfig {b,c}: replicaof {a}\nconfig *: repl-diskless-sync-delay 0\n"
        "load w to primary of {b,c,a} rate 10 until 12s\n"
        "at 5s b: REPLICAOF NO ONE\nat 5s a: REPLICAOF b\nat 5s c: REPLICAOF b\nend 14s"
    )
    client = simulation.clients["w"]
    nodes = [mark.node for mark in client.acknowledged.values()]
    assert nodes[0] == "a"
    assert nodes[-1] == "b"
    assert client.errors.get("READONLY") == 1


def test_silence_makes_a_client_try_again() -> None:
    simulation = simulate(
        "nodes a\nload w to a rate 10 until 12s mix none\n"
        "at 3s pause a\nat 6s resume a\nat 8s kill a\nat 9s start a\nend 14s"
    )
    client = simulation.clients["w"]
    assert client.late > 5
    times = [mark.time_us for mark in client.acknowledged.values()]
    assert max(times) > 11_000_000
    assert not [time for time in times if 3_100_000 < time < 5_900_000]
    assert len(client.acknowledged) < client.attempted


def test_wait_and_pace() -> None:
    simulation = simulate(
        "nodes a b\nconfig b: replicaof {a}\nconfig *: repl-diskless-sync-delay 0\n"
        "load w to a rate 20 from 1s until 9s mix none wait 1 100ms busy 1s of 4s\nend 10s"
    )
    client = simulation.clients["w"]
    assert 30 <= client.operations <= 40
    assert len(client.acknowledged) == client.attempted
