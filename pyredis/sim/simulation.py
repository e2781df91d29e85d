"""One run of a scenario in virtual time: built, driven through its steps, judged.

    outcome = Simulation(scenario, seed).run()
    outcome.violations      nothing, or what went wrong first
    outcome.trace_hash      the same for the same seed, always and everywhere

The random faults of the scenario are made concrete first. A run stops at its first violation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pyredis.digest import data_digest
from pyredis.server import command_table
from pyredis.sim.checkers import Checkers, Violation
from pyredis.sim.clients import Client
from pyredis.sim.expect import judge
from pyredis.sim.faults import concrete
from pyredis.sim.network import Network, Settings
from pyredis.sim.node import PORT, Node, State, Tables
from pyredis.sim.render import show_action, show_expectation
from pyredis.sim.replies import Failure, Reply, show
from pyredis.sim.scenario import Expectation, Scenario, Step
from pyredis.sim.trace import Trace
from pyredis.sim.world import US_PER_MS, US_PER_S, World

LAB_DIRECTIVES: Final = ("enable-debug-command yes",)
"""Lines that the lab adds to every configuration, here and on real processes."""
_POLL_US: Final = 100 * US_PER_MS
_SAMPLES: Final = 12
_NAMING: Final = ("REPLICAOF", "SLAVEOF", "FAILOVER")
_DEFAULT_SYNC_US: Final = 100


def resolve(text: str, nodes: Iterable[str]) -> str:
    """The text with the addresses of these nodes in place of ``{node}``."""
    for name in nodes:
        if "{" in text:
            text = text.replace(f"{{{name}}}", f"{name} {PORT}")
            text = text.replace(f"{{{name}.host}}", name)
            text = text.replace(f"{{{name}.port}}", str(PORT))
    return text


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    seed: int
    scenario: Scenario  # with concrete faults
    violations: list[Violation] = field(default_factory=list)
    trace_hash: str = ""
    counters: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)  # what no expectation looks at

    @property
    def well(self) -> bool:
        """Whether all was as it must be."""
        return not self.violations

    def refused(self, time_us: int, node: str, argv: Iterable[str], why: str) -> None:
        """Remark that a server did not do what the scenario told it."""
        self.remarks.append(f"refused at {time_us / US_PER_S:g}s {node}: {' '.join(argv)}: {why}")

    def frustrated(self, clients: Iterable[Client]) -> None:
        """Remark which clients got nothing done."""
        for each in clients:
            if each.attempted and not each.acknowledged:
                errors = ", ".join(f"{kind} {count}" for kind, count in each.errors.items())
                said = f", the servers said: {errors}" if errors else ""
                self.remarks.append(
                    f"none of the {each.attempted} ledger writes of {each.name} was "
                    f"acknowledged{said}"
                )


class Simulation:
    """A scenario under a seed. Also the ``Lab`` that its expectations ask."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        trace: Trace | None = None,
        tables: Tables | None = None,
    ) -> None:
        """``tables`` may be handed from run to run: it spares half the cost of a short one."""
        self.scenario = concrete(scenario, seed)
        self.trace = trace or Trace()
        self.world = World(seed)
        self.network = Network(self.world, self.trace, Settings())
        self.replies: dict[str, Reply] = {}
        self._outcome = Outcome(seed, self.scenario)
        self._pending = 0  # expectations with a time that are not decided yet
        self._digests: dict[str, tuple[object, str]] = {}  # by node, with what it was made of
        tables = tables or Tables(command_table)
        for words in self.scenario.network:
            self._set_network(words)
        self.nodes: dict[str, Node] = {}
        for number, name in enumerate(self.scenario.nodes, 1):
            directives = [*map(self.resolve, self.scenario.directives(name)), *LAB_DIRECTIVES]
            self.nodes[name] = Node(
                self.world, self.network, self.trace, tables, name, number, directives
            )
        self.clients: dict[str, Client] = {}
        self.checkers = Checkers(
            lambda: self.world.now_us, self.nodes, self.clients, self._violated
        )
        for load in self.scenario.loads:
            self.clients[load.name] = Client(
                self.world, self.network, self.trace, load, PORT, self.checkers
            )

    def run(self) -> Outcome:
        """Go through the scenario to its end, or to the first violation."""
        scenario, world, outcome = self.scenario, self.world, self._outcome
        for node in self.nodes.values():
            node.boot()
        for step in scenario.steps:
            world.at(step.time_us, self._take, step)
        period_us = max(US_PER_S, scenario.end_us // _SAMPLES)
        world.at(period_us, self._sample, period_us)
        last: list[Expectation] = []
        for each in scenario.expectations:
            if each.time_us is None:
                last.append(each)
            elif each.until_us is not None:
                self._pending += 1
                world.at(each.time_us, self._watch, each)
            elif each.within_us is None:
                self._pending += 1
                world.at(each.time_us, self._expect_once, each)
            else:
                self._pending += 1
                world.at(each.time_us, self._wait_for, each, each.time_us + each.within_us)
        world.run(scenario.end_us)
        while self._pending and not outcome.violations:
            world.run(world.now_us + _POLL_US)
        for each in last:
            if outcome.violations:
                break
            if each.within_us is None:
                self._expect(each)
            else:
                self._await(each, each.within_us)
        if not outcome.violations:
            self.checkers.finish()
        outcome.frustrated(self.clients.values())
        outcome.trace_hash = self.trace.digest()
        outcome.counters = {
            "full-syncs": self.count("full-syncs"),
            "partial-syncs": self.count("partial-syncs"),
            "acked": self.count("acked"),
            "lost-writes": len(self.checkers.lost),
            "events": self.trace.count,
        }
        for node in self.nodes.values():
            node.release()
        return outcome

    # Steps

    def _take(self, step: Step) -> None:
        """Do what the scenario says happens now."""
        verb, *args = step.words
        self.trace.add(self.world.now_us, "fault", show_action(step.words))
        if verb == "command":
            self._command(*args)
        elif verb == "partition":
            ones, others = args[0].split(","), args[1].split(",")
            self.network.block(ones, others)
            self.network.block(others, ones)
        elif verb == "block":
            self.network.block(args[0].split(","), args[1].split(","))
        elif verb == "heal":
            self.network.heal()
        elif verb == "cut":
            for other in args[1:] or list(self.nodes) + list(self.clients):
                self.network.cut(args[0], other)
        elif verb == "network":
            self._set_network(tuple(args))
        else:
            self._do_to_node(verb, self.nodes[args[0]], args[1:])

    def _do_to_node(self, verb: str, node: Node, args: list[str]) -> None:
        if verb == "kill":
            node.kill()
        elif verb == "power-off":
            node.power_off()
        elif verb == "start":
            node.boot()
        elif verb == "stop":
            self._stop(node)
        elif verb == "restart":
            self._stop(node)
            self._boot_when_down(node)
        elif verb == "pause":
            node.pause()
        elif verb == "resume":
            node.resume()
        elif verb == "kill-child":
            node.end_child()
        elif verb == "clock":
            node.clock.jump(int(args[0]))
        elif verb == "drift":
            node.clock.drift(int(args[0]))
        else:
            node.sync_us = int(args[0]) or _DEFAULT_SYNC_US

    def _stop(self, node: Node) -> None:
        node.ask([b"SHUTDOWN"], lambda reply: None)

    def _boot_when_down(self, node: Node) -> None:
        if node.state is State.DOWN:
            node.boot()
        else:
            self.world.after(_POLL_US, self._boot_when_down, node)

    def _command(self, place: str, label: str, *argv: str) -> None:
        """Give a server a command; the reply is kept under its label."""
        name, _, connection = place.partition("/")
        arguments = [self.resolve(arg) for arg in argv]
        if argv[0].upper() in _NAMING:
            by_address = argv[0].upper() == "FAILOVER"  # it compares with what replicas told
            arguments = " ".join(self._address(arg, by_address) for arg in arguments).split()

        def told(reply: Reply) -> None:
            self.trace.add(self.world.now_us, "ask", name, " ".join(argv), show(reply))
            if label:
                self.replies[label] = reply
            elif isinstance(reply, Failure):
                self._outcome.refused(self.world.now_us, name, argv, reply)

        wire = [arg.encode("utf-8", "surrogateescape") for arg in arguments]
        if not self.nodes[name].ask(wire, told, connection):
            self._outcome.refused(self.world.now_us, name, argv, f"{name} is down")

    def _address(self, word: str, by_address: bool) -> str:
        if word not in self.nodes:
            return word
        return f"{self.nodes[word].host.address if by_address else word} {PORT}"

    def resolve(self, text: str) -> str:
        """The text with addresses in place of ``{node}``."""
        return resolve(text, self.scenario.nodes)

    def _set_network(self, words: tuple[str, ...]) -> None:
        settings, (what, *values) = self.network.settings, words
        numbers = [int(value) for value in values]
        if what == "delay":
            settings.delay_min_us, settings.delay_max_us = numbers
        elif what == "loss":
            settings.loss_ppm = numbers[0]
        elif what == "rate":
            settings.rate_bytes_s = numbers[0]
        elif what == "buffer":
            settings.window_bytes = max(1, numbers[0])
        else:
            settings.give_up_us = numbers[0]

    # Judging

    def _violated(self, violation: Violation) -> None:
        self._outcome.violations.append(violation)
        self.trace.add(self.world.now_us, "fail", violation.kind, violation.text)
        self.world.stop()

    def _sample(self, period_us: int) -> None:
        self.checkers.sample()
        self.world.after(period_us, self._sample, period_us)

    def _expect(self, each: Expectation) -> None:
        reason = judge(each.words, self)
        if reason:
            self._disappointed(each, reason)

    def _expect_once(self, each: Expectation) -> None:
        self._pending -= 1
        self._expect(each)

    def _disappointed(self, each: Expectation, reason: str) -> None:
        text = f"{show_expectation(each)}: {reason}"
        self._violated(Violation("expectation", text, self.world.now_us, each.line))

    def _wait_for(self, each: Expectation, until_us: int) -> None:
        reason = judge(each.words, self)
        if not reason:
            self._pending -= 1
        elif self.world.now_us >= until_us:
            self._disappointed(each, reason)
        else:
            self.world.after(_POLL_US, self._wait_for, each, until_us)

    def _watch(self, each: Expectation) -> None:
        """Expect it now, and again and again until the time given."""
        self._expect(each)
        assert each.until_us is not None
        if self.world.now_us + _POLL_US <= each.until_us:
            self.world.after(_POLL_US, self._watch, each)
        else:
            self._pending -= 1

    def _await(self, each: Expectation, within_us: int) -> None:
        """Let the run go on until the condition holds."""
        until_us = self.world.now_us + within_us
        while reason := judge(each.words, self):
            if self._outcome.violations:
                return
            if self.world.now_us >= until_us:
                self._disappointed(each, reason)
                return
            self.world.run(min(until_us, self.world.now_us + _POLL_US))

    # What expectations ask

    def ask(self, node: str, argv: list[str]) -> Reply:
        """The reply to a command that does not wait."""
        return self.nodes[node].ask_now(*map(self.resolve, argv))

    def digest(self, node: str) -> str:
        """A digest of all data."""
        each = self.nodes[node]
        if each.state is State.DOWN:
            return ""
        ks, history = each.engine.ks, each.engine.replication.history
        keys = sum(len(db.data) for db in ks.dbs)
        version = (each.life, ks.dirty, keys, history.replid, history.offset)
        known = self._digests.get(node)
        if known is None or known[0] != version:
            known = self._digests[node] = version, data_digest(ks.dbs).hex()
        return known[1]

    def position(self, node: str) -> tuple[str, int] | None:
        """Replication id and offset."""
        each = self.nodes[node]
        if each.state is State.DOWN:
            return None
        history = each.engine.replication.history
        return history.replid, history.offset

    def count(self, what: str) -> int:
        """One of the counters."""
        if what == "acked":
            return sum(len(client.acknowledged) for client in self.clients.values())
        if what == "lost-writes":
            return len(self.checkers.count_lost())
        if what == "unexplained-writes":
            lost = self.checkers.count_lost()
            return sum(not self.checkers.explained(mark) for _, _, mark in lost)
        return sum(node.count(what) for node in self.nodes.values())

    def log(self, node: str) -> list[str]:
        """All lines of the log."""
        return [text for _, _, text in self.nodes[node].lines]

    def labelled(self, label: str) -> Reply:
        """The reply to a command given before."""
        return self.replies[label]

    def is_up(self, node: str) -> bool:
        """Whether its process runs."""
        return self.nodes[node].state is not State.DOWN
