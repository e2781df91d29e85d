"""Simulated clients: real requests over the simulated network, and a ledger of what was promised.

A client does one operation at a time, at a steady rate: when a reply is late, the next operation
waits for it. Every other operation is an entry in its *ledger*: ``SETBIT ledger:<client> n 1``,
where n counts. A bitmap is small, and a write that got lost is a hole in it. When the reply has
come, the write is *acknowledged*, and the client remembers by whom and at which point of that
server's history. If the connection is lost first, nobody knows whether the write was done.

A client of several servers (``to primary``) asks each with ROLE until it finds a primary, and
looks again after an error that says it is none, or after silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from pyredis.resp import encode_command
from pyredis.sim.network import Network, Side
from pyredis.sim.replies import Failure, Push, Reply, ReplyReader
from pyredis.sim.workload import Operation, Workload
from pyredis.sim.world import US_PER_MS, US_PER_S, World

if TYPE_CHECKING:
    from pyredis.sim.trace import Trace

PATIENCE_US: Final = 1 * US_PER_S
NEVER_US: Final = 1 << 62
_ELSEWHERE: Final = ("READONLY", "MASTERDOWN", "LOADING", "NOREPLICAS", "UNBLOCKED", "MISCONF")


class Mark(NamedTuple):
    """A point in a server's history: when it replied, and what its data were made of."""

    node: str
    time_us: int
    replid: str
    offset: int


class Judge(Protocol):
    """Who knows what a server holds at the instant at which it replies."""

    def mark(self, side: Side) -> Mark:
        """The point in its history; ``side`` is the server's end of the connection."""

    def on_wait(self, client: Client, node: str, number: int, count: int) -> None:
        """It has told a client that so many replicas hold the client's write."""


class Load(NamedTuple):
    """What a client is to do."""

    name: str
    targets: tuple[str, ...]
    follows: bool = False  # looks for the primary among the targets
    interval_us: int = 50 * US_PER_MS
    start_us: int = US_PER_S
    end_us: int = NEVER_US
    mix: tuple[str, ...] = ()
    wait: tuple[int, int] | None = None  # WAIT with so many replicas and milliseconds
    pace_us: tuple[int, int] | None = None  # busy for the first part of every period


class Client:
    """One client at work."""

    def __init__(
        self,
        world: World,
        network: Network,
        trace: Trace,
        load: Load,
        port: int,
        judge: Judge,
    ) -> None:
        self.load = load
        self.name = load.name
        self.acknowledged: dict[int, Mark] = {}
        self.attempted = 0  # ledger writes so far; their numbers are below
        self.operations = 0
        self.errors: dict[str, int] = {}
        self.late = 0
        self._world = world
        self._network = network
        self._trace = trace
        self._port = port
        self._judge = judge
        self._rng = world.stream(f"client {load.name}")
        self._workload = Workload(self._rng, load.mix) if load.mix else None
        self._host = network.host(load.name)
        self._side: Side | None = None
        self._ready = False  # the connection is one to a server of the right kind
        self._at = 0  # of the targets
        self._reader = ReplyReader()
        self._awaited: list[Callable[[Reply], None]] = []
        self._deadline_us = 0
        self._mark: Mark | None = None
        self._number = -1  # of the ledger write under way
        world.at(load.start_us, self._tick)

    # Rhythm

    def _tick(self) -> None:
        now_us = self._world.now_us
        load = self.load
        if now_us > load.end_us:
            return
        self._world.after(load.interval_us, self._tick)
        if load.pace_us is not None:
            busy_us, period_us = load.pace_us
            if (now_us - load.start_us) % period_us >= busy_us:
                return
        if self._awaited:
            if now_us > self._deadline_us:
                self._drop("silence")
            else:
                self.late += 1
        elif self._side is None:
            self._connect()
        elif self._ready:
            self._operate()

    def _operate(self) -> None:
        self.operations += 1
        if self._workload is None or not self.operations & 1:
            self._number = self.attempted
            self.attempted += 1
            ledger = [b"SETBIT", b"ledger:" + self.name.encode(), b"%d" % self._number, b"1"]
            self._ask([ledger], self._entered)
        else:
            self._ask(self._workload.next(), self._done)

    # Connection

    def _connect(self) -> None:
        target = self.load.targets[self._at % len(self.load.targets)]
        self._ready = False
        self._reader = ReplyReader()
        self._deadline_us = self._world.now_us + PATIENCE_US
        self._awaited = [lambda reply: None]  # the connection itself
        self._side = self._network.connect(self, self._host, target, self._port)

    def _drop(self, why: str) -> None:
        """Give the connection up, and try the next server."""
        side, self._side = self._side, None
        self._awaited = []
        self._at += 1
        if side is not None:
            side.close()

    def opened(self, side: Side) -> None:
        """The connection is there."""
        side.peer.tap = self._overhear
        self._awaited = []
        if self.load.follows:
            self._ask([[b"ROLE"]], self._learn_role)
        else:
            self._ready = True

    def _learn_role(self, reply: Reply) -> None:
        if isinstance(reply, list) and reply and reply[0] == b"master":
            self._ready = True
        else:
            self._drop("not a primary")

    def lost(self, side: Side, reason: str) -> None:
        """The connection is gone, and nobody knows what of the last operation was done."""
        if side is self._side:
            self._side = None
            self._awaited = []
            self._at += 1

    def drained(self, side: Side) -> None:
        """Everything is sent."""

    # Requests and replies

    def _ask(self, requests: Operation, on_last: Callable[[Reply], None]) -> None:
        assert self._side is not None
        self._awaited = [self._note_error] * (len(requests) - 1) + [on_last]
        self._deadline_us = self._world.now_us + PATIENCE_US
        self._side.send(b"".join(map(encode_command, requests)))

    def received(self, side: Side, data: bytes) -> None:
        """Replies have come."""
        side.taken(len(data))
        if side is not self._side:
            return
        self._reader.receive(data)
        for reply in self._reader.replies():
            if type(reply) is Push:
                continue
            if self._awaited:
                self._awaited.pop(0)(reply)
            if side is not self._side:
                return  # dropped meanwhile

    def _overhear(self, side: Side, data: bytes) -> None:
        """The server is sending a reply: this is the instant at which it must be true."""
        self._mark = self._judge.mark(side)
        if self._awaited and self._awaited[0] == self._waited and data.startswith(b":"):
            count = int(data[1:].split(b"\r\n")[0])
            self._judge.on_wait(self, self._mark.node, self._number, count)

    def _note_error(self, reply: Reply) -> None:
        if isinstance(reply, Failure):
            kind = reply.split(" ", 1)[0]
            self.errors[kind] = self.errors.get(kind, 0) + 1
            if kind in _ELSEWHERE and self.load.follows:
                self._drop(kind)

    def _done(self, reply: Reply) -> None:
        self._note_error(reply)

    def _entered(self, reply: Reply) -> None:
        """The reply to a ledger write."""
        self._note_error(reply)
        if isinstance(reply, int):
            assert self._mark is not None
            self.acknowledged[self._number] = self._mark
            self._trace.add(self._world.now_us, "ack", self.name, self._number)
            if self.load.wait is not None and self._side is not None:
                count, timeout_ms = self.load.wait
                self._ask([[b"WAIT", b"%d" % count, b"%d" % timeout_ms]], self._waited)
                self._deadline_us += timeout_ms * US_PER_MS

    def _waited(self, reply: Reply) -> None:
        self._note_error(reply)


def holes(bitmap: bytes, numbers: Sequence[int]) -> list[int]:
    """Those of the numbers that the ledger's value does not hold, in order. O(numbers)."""
    size = len(bitmap)
    return [n for n in numbers if n >> 3 >= size or not bitmap[n >> 3] & 0x80 >> (n & 7)]
