"""A simulated server: loading, dying, pausing, waiting for its disk, timers, children."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pyredis.server import command_table
from pyredis.sim.network import Network
from pyredis.sim.node import Node, State, Tables
from pyredis.sim.replies import NO_ANSWER, Reply
from pyredis.sim.trace import Trace
from pyredis.sim.world import US_PER_MS, US_PER_S, World


class Machine:
    """One server and what is around it."""

    def __init__(self, *directives: str) -> None:
        self.world = World(1)
        self.trace = Trace(keep=True)
        self.network = Network(self.world, self.trace)
        self.tables = Tables(command_table)
        self.defects: list[str] = []
        self.node = self.add("a", *directives)

    def add(self, name: str, *directives: str) -> Node:
        number = len(self.network.hosts) // 2 + 1
        node = Node(self.world, self.network, self.trace, self.tables, name, number, directives)
        node.on_defect = self.defects.append
        node.boot()
        self.run_ms(100)
        return node

    def run_ms(self, duration_ms: int) -> None:
        self.world.run(self.world.now_us + duration_ms * US_PER_MS)

    def __call__(self, *args: str) -> Reply:
        return self.node.ask_now(*args)

    def later(self, *args: str) -> list[Reply]:
        """A command whose reply may come later, into the list."""
        found: list[Reply] = []
        self.node.ask([arg.encode() for arg in args], found.append)
        return found

    def logged(self, text: str) -> bool:
        return any(text in line for _, _, line in self.node.lines)


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine("save 100 1000")
    yield made
    assert not made.defects


def test_a_kill_loses_what_was_not_saved_a_shutdown_nothing(machine: Machine) -> None:
    machine("SET", "k", "1")
    machine.node.kill()
    assert machine("GET", "k") is NO_ANSWER
    assert machine.node.state is State.DOWN
    machine.node.boot()
    machine.run_ms(100)
    assert machine("DBSIZE") == 0
    machine("SET", "k", "2")
    machine("SHUTDOWN")
    machine.run_ms(2)
    assert machine.node.state is State.DOWN
    machine.node.boot()
    assert str(machine("GET", "k")).startswith("LOADING")
    machine.run_ms(100)
    assert machine("GET", "k") == b"2"
    assert machine.node.life == 3


def test_the_child_saves_the_instant_and_its_file_comes_at_its_end(machine: Machine) -> None:
    machine("SET", "k", "then")
    machine("BGSAVE")
    machine("SET", "k", "now")
    assert "dump.rdb" not in machine.node.disk.files()
    assert "rdb_bgsave_in_progress:1" in machine("INFO", "persistence").decode()
    machine.run_ms(1000)
    assert machine.logged("Background saving terminated with success")
    machine.node.kill()
    machine.node.boot()
    machine.run_ms(100)
    assert machine("GET", "k") == b"then"


def test_a_child_can_be_killed(machine: Machine) -> None:
    machine("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
    machine("BGSAVE")
    machine.node.end_child()
    machine.run_ms(200)
    assert machine.logged("Background saving terminated by signal 9")
    assert machine.node.disk.files() == {}


@pytest.mark.parametrize("number", range(10))
def test_a_machine_that_fails_while_a_child_saves_has_the_old_file_or_the_new(number: int) -> None:
    machine = Machine("save 100 1000")
    machine("SET", "k", "old")
    machine("SAVE")
    machine("SET", "k", "new")
    machine("BGSAVE")
    machine.run_ms(30 * number)
    machine.node.power_off()
    machine.node.boot()
    machine.run_ms(100)
    assert machine("GET", "k") in (b"old", b"new")


def test_a_failing_machine_forgets_what_was_not_safe() -> None:
    always = Machine("appendonly yes", "appendfsync always")
    always("SET", "k", "1")
    always.node.power_off()
    always.node.boot()
    always.run_ms(100)
    assert always("GET", "k") == b"1"
    never = Machine("appendonly yes", "appendfsync no")
    lost = 0
    for n in range(10):
        never("SET", "k", str(n))
        never.node.power_off()
        never.node.boot()
        never.run_ms(100)
        lost += never("GET", "k") != str(n).encode()
    assert lost > 0


def test_a_paused_process_does_everything_later(machine: Machine) -> None:
    machine.node.pause()
    found = machine.later("INCR", "n")
    machine.run_ms(5000)
    assert machine("PING") is NO_ANSWER
    assert found == []
    machine.node.resume()
    assert found == [1]
    machine.run_ms(1000)
    assert machine("GET", "n") == b"1"


def test_a_paused_process_can_be_killed(machine: Machine) -> None:
    machine.node.pause()
    machine.node.kill()
    machine.node.resume()
    assert machine.node.state is State.DOWN
    machine.node.boot()
    machine.run_ms(100)
    assert machine("PING") == "PONG"


def test_who_waits_for_a_disk_or_sleeps_answers_afterwards() -> None:
    machine = Machine("appendonly yes", "appendfsync always", "enable-debug-command yes")
    machine.node.sync_us = 300 * US_PER_MS
    first, second = machine.later("SET", "k", "1"), machine.later("GET", "k")
    machine.run_ms(299)
    assert (first, second) == ([], [])
    machine.run_ms(2)
    assert (first, second) == (["OK"], [b"1"])
    slept = machine.later("DEBUG", "SLEEP", "0.5")
    machine.run_ms(400)
    assert slept == []
    machine.run_ms(200)
    assert slept == ["OK"]


def test_timers_follow_the_clock_of_the_machine(machine: Machine) -> None:
    found = machine.later("BLPOP", "none", "2.5")
    machine.run_ms(2499)
    assert found == []
    machine.run_ms(2)
    assert found == [None]
    machine("SET", "k", "v", "EX", "100")
    machine.node.clock.jump(99 * US_PER_S)
    assert machine("TTL", "k") == 1
    machine.run_ms(1100)
    assert machine("DBSIZE") == 0


def test_ways_to_end_by_command() -> None:
    machine = Machine("enable-debug-command yes", "save 100 1000")
    machine("DEBUG", "SEGFAULT")
    assert machine.node.state is State.DOWN
    machine.node.boot()
    machine.run_ms(100)
    machine("SET", "k", "1")
    machine("DEBUG", "RESTART", "500")
    machine.run_ms(2)
    assert machine.node.state is State.DOWN
    machine.run_ms(600)
    assert machine("GET", "k") == b"1"
    assert not machine.defects


def test_the_configuration_file_outlives_the_process(machine: Machine) -> None:
    machine("CONFIG", "SET", "maxclients", "77")
    machine("CONFIG", "SET", "hz", "20")
    machine("CONFIG", "REWRITE")
    machine("CONFIG", "SET", "hz", "30")
    machine.node.kill()
    machine.node.boot()
    machine.run_ms(100)
    assert machine("CONFIG", "GET", "hz", "maxclients") == [b"hz", b"20", b"maxclients", b"77"]


def test_commands_of_one_connection_share_its_state(machine: Machine) -> None:
    replies: list[Any] = []
    for words in (b"SELECT 1", b"SET k v", b"GET k"):
        machine.node.ask(words.split(), replies.append, "mine")
    machine.node.ask([b"GET", b"k"], replies.append, "other")
    assert replies == ["OK", "OK", b"v", None]


def test_a_defect_of_the_core_is_told_and_ends_the_process() -> None:
    machine = Machine()

    def broken() -> None:
        raise RuntimeError("planted")

    machine.node.engine.cron_jobs.append(broken)
    machine.run_ms(200)
    assert "planted" in machine.defects[0]
    assert machine.node.state is State.DOWN


def test_a_server_with_a_bad_configuration_does_not_start() -> None:
    from pyredis.configfile import FatalConfigError

    with pytest.raises(FatalConfigError):
        Machine("no-such-directive 1")


def test_tables_are_used_again_with_their_counters_at_zero() -> None:
    tables = Tables(command_table)
    table = tables.take([])
    entry = table.find([b"GET"])
    assert entry is not None
    entry.latency[3] += 1
    tables.give_back(table, [])
    assert tables.take([]) is table
    assert entry.calls == 0
    assert tables.take([("GET", "FETCH")]) is not table


def test_a_killed_server_refuses_and_a_running_one_serves_connections(machine: Machine) -> None:
    other = machine.add("b", "replicaof a 6379", "repl-timeout 5")
    machine.run_ms(12_000)
    assert other.engine.replication.link_up
    machine.node.kill()
    machine.run_ms(1500)
    assert any("Connection refused" in line for _, _, line in other.lines)
    machine.node.boot()
    machine.run_ms(12_000)
    assert other.engine.replication.link_up


def test_idle_clients_are_closed() -> None:
    machine = Machine("timeout 1", "tcp-keepalive 0")
    other = machine.add("b", "replicaof a 6379")
    machine.run_ms(3000)
    assert other.state is State.UP
    assert len(machine.node.engine.sessions) <= 1  # but for the replica
