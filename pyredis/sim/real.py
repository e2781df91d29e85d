"""The same scenarios on real processes and real sockets, in real time. Shell.

Every server is a process (of this server, or of any other that takes redis-server's arguments),
every way between two hosts a proxy (``proxy.py``). Clients, workload, steps and expectations are
those of the simulator; only what lies below them is another.

What a real machine cannot be told, it is not: clocks do not jump, disks are not slow, a machine
that loses power is a process that is killed. A scenario that asks for it says so with an error.
Histories cannot be watched from outside, so lost writes are counted, not explained.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from pyredis.sim.checkers import Violation
from pyredis.sim.clients import Client, Mark, holes
from pyredis.sim.expect import judge
from pyredis.sim.faults import concrete
from pyredis.sim.process import OWN_SERVER, ServerProcess, StartError
from pyredis.sim.proxy import Proxy, RealLane
from pyredis.sim.render import show_action, show_expectation
from pyredis.sim.replies import NO_ANSWER, Failure, Reply, Status, show, text
from pyredis.sim.scenario import Expectation, Scenario, Step
from pyredis.sim.simulation import Outcome
from pyredis.sim.trace import Trace
from pyredis.sim.world import US_PER_S, World

IMPOSSIBLE: Final = ("clock", "drift", "slow-disk")
_POLL_S: Final = 0.1
_NAMING: Final = ("REPLICAOF", "SLAVEOF", "FAILOVER")
_REPLY_S: Final = 120.0


class CannotBeReal(Exception):
    """The scenario asks for what only the simulator can do."""


class RealWorld:
    """Time as it is. Takes the place of ``World`` for clients."""

    def __init__(self, seed: int) -> None:
        self._chance = World(seed)
        self._loop = asyncio.get_running_loop()
        self._start_s = self._loop.time()

    @property
    def now_us(self) -> int:
        """Microseconds since the start."""
        return round((self._loop.time() - self._start_s) * US_PER_S)

    def at(self, time_us: int, call: Callable[..., None], *args: Any) -> None:
        """Have a call made at that time."""
        self._loop.call_at(self._start_s + time_us / US_PER_S, call, *args)

    def after(self, delay_us: int, call: Callable[..., None], *args: Any) -> None:
        """Have a call made when so much time has passed."""
        self._loop.call_later(delay_us / US_PER_S, call, *args)

    def stream(self, concern: str) -> Random:
        """Dice, the same as in the simulator."""
        return self._chance.stream(concern)

    async def until(self, time_us: int) -> None:
        """Wait for a time."""
        await asyncio.sleep(max(0, time_us - self.now_us) / US_PER_S)


class RealSide:
    """A client's end of a real connection. Takes the place of ``Side``."""

    def __init__(self, network: RealNetwork, owner: Client, target: str) -> None:
        self.owner: Any = target  # the name of the server, for who overhears it
        self.peer = self
        self.tap: Callable[[Any, bytes], None] | None = None
        self._client = owner
        self._transport: asyncio.Transport | None = None
        self._open = True
        port = network.port(owner.name, target)
        self._task = asyncio.ensure_future(self._connect(port))

    async def _connect(self, port: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Protocol(self), "127.0.0.1", port
            )
        except OSError as error:
            self.ended(error.strerror or "")

    def made(self, transport: asyncio.Transport) -> None:
        """The connection is there."""
        self._transport = transport
        if self._open:
            self._client.opened(self)  # type: ignore[arg-type]
        else:
            transport.close()

    def arrived(self, data: bytes) -> None:
        """Bytes have come."""
        if self._open:
            if self.tap is not None:
                self.tap(self, data)
            self._client.received(self, data)  # type: ignore[arg-type]

    def ended(self, reason: str) -> None:
        """The connection is gone."""
        if self._open:
            self._open = False
            self._client.lost(self, reason)  # type: ignore[arg-type]

    def send(self, data: bytes) -> None:
        """Send bytes."""
        if self._transport is not None and self._open:
            self._transport.write(data)

    def taken(self, size: int) -> None:
        """The kernel knows already."""

    def close(self) -> None:
        """Hang up."""
        self._open = False
        if self._transport is not None:
            self._transport.close()


class _Protocol(asyncio.Protocol):
    def __init__(self, side: RealSide) -> None:
        self._side = side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._side.made(transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        self._side.arrived(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._side.ended(str(exc or "closed"))


class RealNetwork:
    """All proxies. Takes the place of ``Network`` for clients."""

    def __init__(self, world: RealWorld, trace: Trace) -> None:
        self.delay_us = (0, 0)
        self.rate_bytes_s = 0
        self.buffer_bytes = 0  # as the system has it
        self.world: RealWorld | None = world  # None before time begins
        self._trace = trace
        self._lanes: dict[tuple[str, str], RealLane] = {}
        self._proxies: dict[tuple[str, str], Proxy] = {}
        self._rng = world.stream("lanes")

    def note(self, *what: Any) -> None:
        """Put something into the trace."""
        if self.world is not None:
            self._trace.add(self.world.now_us, *what)

    async def add(self, source: str, target: str, port: int) -> None:
        """Make the way from a host to a server."""
        proxy = self._proxies[source, target] = Proxy(self, source, target, port)
        await proxy.start()

    def port(self, source: str, target: str) -> int:
        """Where ``source`` reaches ``target``."""
        return self._proxies[source, target].port

    def lane(self, source: str, target: str) -> RealLane:
        """One way between two hosts."""
        return self._lanes.setdefault((source, target), RealLane())

    def delay_s(self, size: int) -> float:
        """How long bytes are to be held up."""
        low, high = self.delay_us
        delay_s = self._rng.randrange(low, high + 1) / US_PER_S
        return delay_s + (size / self.rate_bytes_s if self.rate_bytes_s else 0.0)

    def set(self, what: str, values: Sequence[int]) -> None:
        """A ``network`` line, of those that ``_check_network`` allows."""
        if what == "delay":
            self.delay_us = values[0], values[1]
        elif what == "rate":
            self.rate_bytes_s = values[0]
        else:
            self.buffer_bytes = values[0]

    def block(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        """Let nothing through from any of these to any of those."""
        for source in sources:
            for target in targets:
                if source != target:
                    self.lane(source, target).open.clear()

    def heal(self) -> None:
        """Open all lanes."""
        for lane in self._lanes.values():
            lane.open.set()

    def cut(self, one: str, other: str) -> None:
        """Reset all connections between two hosts."""
        for pair in ((one, other), (other, one)):
            if pair in self._proxies:
                self._proxies[pair].reset()

    def stop(self) -> None:
        """Close everything."""
        self.heal()
        for proxy in self._proxies.values():
            proxy.stop()

    # What clients use

    def host(self, name: str) -> str:
        """The machine of that name."""
        return name

    def connect(self, owner: Client, source: str, target: str, port: int) -> RealSide:
        """Open a connection."""
        return RealSide(self, owner, target)


class RealRun:
    """One run of a scenario. Judges like a simulation, but asks over sockets."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        trace: Trace | None = None,
        servers: Mapping[str, Sequence[str]] | None = None,
        keep: Path | None = None,
    ) -> None:
        """``servers`` names the program of some nodes; ``keep`` a folder for what they leave.

        Raises CannotBeReal.
        """
        self.scenario = concrete(scenario, seed)
        for words in self.scenario.network:
            _check_network(words, "network")
        for step in self.scenario.steps:
            if step.words[0] in IMPOSSIBLE:
                raise CannotBeReal(f"line {step.line}: real machines have no {step.words[0]!r}")
            if step.words[0] == "network":
                _check_network(step.words[1:], f"line {step.line}: network")
        self.trace = trace or Trace()
        self._seed = seed
        self._servers = servers or {}
        self._keep = keep
        self._outcome = Outcome(seed, self.scenario)
        self._replies: dict[str, Reply] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._answers = _Answers()
        self._world: RealWorld
        self._network: RealNetwork
        self._nodes: dict[str, ServerProcess] = {}
        self._clients: dict[str, Client] = {}

    async def run(self) -> Outcome:
        """Start everything, go through the scenario, stop everything."""
        with tempfile.TemporaryDirectory(prefix="pyredis-lab-") as temporary:
            folder = self._keep or Path(temporary)
            try:
                await self._start(folder)
                await self._play()
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                self._network.stop()
                for node in self._nodes.values():
                    await node.close(self._keep is not None)
        self._outcome.trace_hash = self.trace.digest()
        return self._outcome

    async def _start(self, folder: Path) -> None:
        scenario = self.scenario
        self._world = RealWorld(self._seed)
        network = self._network = RealNetwork(self._world, self.trace)
        network.world = None
        for words in scenario.network:
            self._network.set(words[0], [int(word) for word in words[1:]])
        for name in scenario.nodes:
            command = self._servers.get(name, OWN_SERVER)
            self._nodes[name] = ServerProcess(name, folder / name, command)
        for source in (*scenario.nodes, *(load.name for load in scenario.loads)):
            for target in scenario.nodes:
                if source != target:
                    await network.add(source, target, self._nodes[target].port)
        for name, node in self._nodes.items():
            node.configure(self.resolve(line, name) for line in scenario.directives(name))
        await asyncio.gather(*(node.start() for node in self._nodes.values()))
        self._world = network.world = RealWorld(self._seed)
        for load in scenario.loads:
            self._clients[load.name] = Client(
                self._world,  # type: ignore[arg-type]
                self._network,  # type: ignore[arg-type]
                self.trace,
                load,
                0,
                self,
            )

    async def _play(self) -> None:
        scenario = self.scenario
        self._spawn(self._take_steps())
        last = [each for each in scenario.expectations if each.time_us is None]
        timed = [
            self._spawn(self._expect_in_time(each))
            for each in scenario.expectations
            if each.time_us is not None
        ]
        ended = self._spawn(self._over.wait())
        try:
            await asyncio.wait([ended], timeout=scenario.end_us / US_PER_S)
            decided = self._spawn(_all(timed))
            await asyncio.wait([decided, ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        for each in last:
            if not self._outcome.violations:
                await self._expect(each, self._world.now_us + (each.within_us or 0))
        self._outcome.frustrated(self._clients.values())
        counts = [await node.count_syncs() for node in self._nodes.values()]
        self._outcome.counters = {
            "full-syncs": sum(full for full, _ in counts),
            "partial-syncs": sum(partial for _, partial in counts),
            "acked": sum(len(client.acknowledged) for client in self._clients.values()),
            "lost-writes": await self._count_lost(),
        }

    def _spawn(self, coroutine: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Steps

    async def _take_steps(self) -> None:
        for step in self.scenario.steps:
            await self._world.until(step.time_us)
            await self._take(step)

    async def _take(self, step: Step) -> None:
        verb, *args = step.words
        network = self._network
        network.note("fault", show_action(step.words))
        if verb == "command":
            self._spawn(self._command(*args))
            await asyncio.sleep(0)
        elif verb == "partition":
            network.block(args[0].split(","), args[1].split(","))
            network.block(args[1].split(","), args[0].split(","))
        elif verb == "block":
            network.block(args[0].split(","), args[1].split(","))
        elif verb == "heal":
            network.heal()
        elif verb == "cut":
            for other in args[1:] or [*self._nodes, *self._clients]:
                network.cut(args[0], other)
        elif verb == "network":
            network.set(args[0], [int(word) for word in args[1:]])
        else:
            await self._do_to_node(verb, self._nodes[args[0]])

    async def _do_to_node(self, verb: str, node: ServerProcess) -> None:
        if verb in ("kill", "power-off"):
            await node.kill()
        elif verb == "start":
            self._spawn(self._start_again(node))
        elif verb == "stop":
            self._spawn(node.stop())
        elif verb == "restart":
            self._spawn(self._restart(node))
        elif verb == "pause":
            node.freeze()
        elif verb == "resume":
            node.thaw()
        else:
            node.kill_child()

    async def _restart(self, node: ServerProcess) -> None:
        await node.stop()
        await node.wait()
        await self._start_again(node)

    async def _start_again(self, node: ServerProcess) -> None:
        try:
            await node.start()
        except StartError as error:
            self._violated(Violation("start", str(error), self._world.now_us))

    async def _command(self, place: str, label: str, *argv: str) -> None:
        name, _, connection = place.partition("/")
        words = [self.resolve(arg, name) for arg in argv]
        if argv[0].upper() in _NAMING:
            own = argv[0].upper() == "FAILOVER"  # it compares with what replicas told
            words = " ".join(self._address(word, name, own) for word in words).split()
        await self._nodes[name].settled.wait()
        reply = await self._nodes[name].ask(
            [word.encode("utf-8", "surrogateescape") for word in words], _REPLY_S, connection
        )
        self._network.note("ask", name, " ".join(argv), show(reply))
        if label and reply is not NO_ANSWER:
            self._replies[label] = reply
        elif isinstance(reply, Failure) and not label:
            self._outcome.refused(self._world.now_us, name, argv, reply)

    def _address(self, word: str, source: str, own: bool) -> str:
        if word not in self._nodes or word == source:
            return word
        port = self._nodes[word].port if own else self._network.port(source, word)
        return f"127.0.0.1 {port}"

    def resolve(self, line: str, source: str) -> str:
        """The text with addresses as ``source`` reaches them in place of ``{node}``."""
        for name in self.scenario.nodes:
            if "{" in line and name != source:
                port = self._network.port(source, name)
                line = line.replace(f"{{{name}}}", f"127.0.0.1 {port}")
                line = line.replace(f"{{{name}.host}}", "127.0.0.1")
                line = line.replace(f"{{{name}.port}}", str(port))
        return line

    # What clients tell

    def mark(self, side: Any) -> Mark:
        """Who replied, and when; its history cannot be seen from here."""
        return Mark(side.owner, self._world.now_us, "", 0)

    def on_wait(self, client: Client, node: str, number: int, count: int) -> None:
        """Nothing that could be held against it."""

    # Judging

    async def _expect_in_time(self, each: Expectation) -> None:
        assert each.time_us is not None
        await self._world.until(each.time_us)
        if each.until_us is None:
            await self._expect(each, each.time_us + (each.within_us or 0))
            return
        while self._world.now_us <= each.until_us and not self._over.is_set():
            await self._expect(each, 0)
            await asyncio.sleep(_POLL_S)

    async def _expect(self, each: Expectation, until_us: int) -> None:
        """Ask until the condition holds or the time is over."""
        while True:
            await self._answers.gather(each.words, self)
            reason = judge(each.words, self._answers)
            if not reason or self._over.is_set():
                return
            if self._world.now_us >= until_us:
                said = f"{show_expectation(each)}: {reason}"
                self._violated(Violation("expectation", said, self._world.now_us, each.line))
                return
            await asyncio.sleep(_POLL_S)

    def _violated(self, violation: Violation) -> None:
        self._outcome.violations.append(violation)
        self._network.note("fail", violation.kind, violation.text)
        self._over.set()

    async def _count_lost(self) -> int:
        lost = 0
        for client in self._clients.values():
            key = b"ledger:" + client.name.encode()
            missing = list(client.acknowledged)
            for name in client.load.targets:
                role = await self._nodes[name].ask([b"ROLE"])
                if isinstance(role, list) and role[0] == b"master":
                    bitmap = await self._nodes[name].ask([b"GET", key])
                    held = bitmap if isinstance(bitmap, bytes) else b""
                    found = holes(held, list(client.acknowledged))
                    missing = min(missing, found, key=len)
            lost += len(missing)
        return lost

    async def fetch(self, node: str, argv: list[str]) -> Reply:
        """The reply to a command, or NO_ANSWER."""
        words = [self.resolve(arg, node) for arg in argv]
        return await self._nodes[node].ask(
            [word.encode("utf-8", "surrogateescape") for word in words]
        )


def _check_network(words: Sequence[str], place: str) -> None:
    """What gets lost, and how long TCP is patient, is the kernel's affair. Raises CannotBeReal."""
    if words[0] not in ("delay", "rate", "buffer"):
        raise CannotBeReal(
            f"{place} {words[0]}: between real processes there are delay, rate and buffer"
        )


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for all of them. Raises what any has failed with."""
    await asyncio.gather(*tasks)


class _Answers:
    """What was asked before a condition is judged. Takes the place of the simulation."""

    def __init__(self) -> None:
        self._run: RealRun
        self._replies: dict[tuple[str, ...], Reply] = {}
        self._counts: dict[str, int] = {}

    async def gather(self, words: tuple[str, ...], run: RealRun) -> None:
        """Ask all that the condition will need."""
        self._run = run
        kind, *args = words
        wanted: list[tuple[str, ...]] = []
        if kind == "equal":
            wanted = [(name, "DEBUG", "DIGEST") for name in args]
        elif kind == "offsets":
            wanted = [(name, "INFO", "replication") for name in args]
        elif kind == "command":
            wanted = [(args[0], *args[3:])]
        elif kind == "info":
            wanted = [(args[0], "INFO", args[1])]
        elif kind in ("full-syncs", "partial-syncs"):
            counts = [await node.count_syncs() for node in run._nodes.values()]
            self._counts["full-syncs"] = sum(full for full, _ in counts)
            self._counts["partial-syncs"] = sum(partial for _, partial in counts)
        elif kind == "lost-writes":
            self._counts[kind] = await run._count_lost()
        elif kind == "acked":
            self._counts[kind] = sum(len(each.acknowledged) for each in run._clients.values())
        for name, *argv in wanted:
            self._replies[(name, *argv)] = await run.fetch(name, argv)

    def ask(self, node: str, argv: list[str]) -> Reply:
        """A reply fetched before."""
        return self._replies.get((node, *argv), NO_ANSWER)

    def digest(self, node: str) -> str:
        """The digest as the server itself tells it."""
        reply = self.ask(node, ["DEBUG", "DIGEST"])
        return text(reply) if isinstance(reply, Status) else ""

    def position(self, node: str) -> tuple[str, int] | None:
        """Replication id and offset."""
        reply = self.ask(node, ["INFO", "replication"])
        if not isinstance(reply, bytes):
            return None
        fields = dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
        offset = fields.get("slave_repl_offset", fields["master_repl_offset"])
        return fields["master_replid"], int(offset)

    def count(self, what: str) -> int:
        """A counter; unexplained losses cannot be told from others here."""
        return self._counts.get(what, 0)

    def log(self, node: str) -> list[str]:
        """All lines of the log."""
        return self._run._nodes[node].log_text().splitlines()

    def labelled(self, label: str) -> Reply:
        """The reply to a command given before."""
        return self._run._replies[label]

    def is_up(self, node: str) -> bool:
        """Whether its process runs."""
        return self._run._nodes[node].is_up


def run_real(
    scenario: Scenario,
    seed: int,
    trace: Trace | None = None,
    servers: Mapping[str, Sequence[str]] | None = None,
    keep: Path | None = None,
) -> Outcome:
    """Run a scenario on real processes. Raises CannotBeReal or StartError."""

    async def go() -> Outcome:
        return await RealRun(scenario, seed, trace, servers, keep).run()

    return asyncio.run(go())
