"""A network of machines: connections that behave like TCP, on lanes that can be cut.

Vocabulary

    host     a machine with a name and an address; its programs listen on ports
    lane     the way from one host to another: its delay, its rate, whether it is blocked. The
             way back is another lane, so a partition may be one-way.
    side     one end of a connection; two sides are each other's *peer*

What a side sends arrives complete and in order, or the connection is lost. It arrives later, by
a delay drawn anew each time, sometimes cut in two. A packet lost on the way shows as what TCP
makes of it: a delay of a retransmission timeout (200 ms, doubling).

A *blocked* lane loses nothing either: bytes wait with the sender. When the lane is open again
they go at the next retransmission, which may be as far away as the blockade was long, because
the timeouts double. A connection that got nothing through for ``give_up_us`` is lost.

A sender may have ``window_bytes`` under way, which the receiving program has not read. The rest
stays with the sending program (``unsent_bytes``): so does a server learn that its client is
slow, or stopped.

Ways to end: a program *closes* (or dies) and the peer learns of it behind the last byte; a
connection is *reset* and both sides learn of it at once; a machine loses power and its sides
*vanish*: nobody is told, until the machine is back and answers what comes with a reset.

Opening: SYN, repeated after 1, 3, 7 ... seconds if the lanes are blocked or the machine is off;
refused at once when the machine is up and nobody listens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol

from pyredis.sim.world import US_PER_MS, US_PER_S, World

if TYPE_CHECKING:
    from pyredis.sim.trace import Trace

_RTO_US: Final = 200 * US_PER_MS
_RTO_MAX_US: Final = 120 * US_PER_S
_SYN_TRIES: Final = 7
_EPHEMERAL: Final = 40_000

REFUSED: Final = "Connection refused"
RESET: Final = "Connection reset by peer"
TIMED_OUT: Final = "Connection timed out"
UNKNOWN_HOST: Final = "Name or service not known"
CLOSED: Final = "closed by the other side"


class Owner(Protocol):
    """The program that a side belongs to."""

    def opened(self, side: Side) -> None:
        """The connection it asked for is there."""

    def received(self, side: Side, data: bytes) -> None:
        """Bytes have come; ``side.taken`` says when they have been read."""

    def lost(self, side: Side, reason: str) -> None:
        """The connection is no more, or could not be opened."""

    def drained(self, side: Side) -> None:
        """Nothing is unsent any more, after something was."""


class Settings:
    """How the network behaves. One object for all lanes."""

    __slots__ = (
        "delay_max_us",
        "delay_min_us",
        "give_up_us",
        "loss_ppm",
        "rate_bytes_s",
        "window_bytes",
    )

    def __init__(self) -> None:
        self.delay_min_us = 200
        self.delay_max_us = 1000
        self.loss_ppm = 0
        self.rate_bytes_s = 0  # 0: no limit
        self.window_bytes = 1 << 20
        self.give_up_us = 900 * US_PER_S


class Host:
    """A machine on the network."""

    __slots__ = ("address", "name", "next_port", "ports", "powered", "sides")

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.powered = True
        self.ports: dict[int, Callable[[Side], None]] = {}
        self.sides: dict[Side, None] = {}
        self.next_port = _EPHEMERAL


class Lane:
    """The way from a host to another."""

    __slots__ = ("_bits", "_free_us", "blocked", "settings", "stalled", "world")

    def __init__(self, world: World, settings: Settings, source: str, target: str) -> None:
        self.world = world
        self.settings = settings
        self.blocked = False
        self.stalled: dict[Side, None] = {}
        self._bits = world.stream(f"lane {source} {target}").getrandbits
        self._free_us = 0  # when the rate lets the next bytes go

    def dice(self) -> int:
        """32 bits: the lower half is for the delay, the upper half for whatever else."""
        return self._bits(32)

    def delay_us(self, dice: int, size: int) -> int:
        """How long so many bytes take from now."""
        settings = self.settings
        low_us = settings.delay_min_us
        delay_us = low_us + ((dice & 0xFFFF) * (settings.delay_max_us - low_us) >> 16)
        if settings.loss_ppm:
            timeout_us = _RTO_US
            while self._bits(20) * 1_000_000 >> 20 < settings.loss_ppm:
                delay_us += timeout_us
                timeout_us = min(2 * timeout_us, _RTO_MAX_US)
        if settings.rate_bytes_s:
            now_us = self.world.now_us
            self._free_us = max(self._free_us, now_us) + size * US_PER_S // settings.rate_bytes_s
            delay_us += self._free_us - now_us
        return delay_us


class Side:
    """One end of a connection."""

    __slots__ = (
        "_arrival_us",
        "_queue",
        "_since_us",
        "_stalled",
        "_unheard_us",
        "_untold_bytes",
        "flight_bytes",
        "host",
        "lane",
        "name",
        "network",
        "open",
        "owner",
        "peer",
        "port",
        "state",
        "tap",
        "unsent_bytes",
        "vanished",
    )

    def __init__(self, network: Network, host: Host, lane: Lane, name: str, port: int) -> None:
        self.network = network
        self.host = host
        self.lane = lane  # to the peer
        self.name = name  # of the connection, in the trace
        self.port = port
        self.owner: Owner
        self.peer: Side
        self.open = True
        self.vanished = False
        self.flight_bytes = 0  # sent, and not read by the peer's program as far as we know
        self.unsent_bytes = 0
        self.state: object = None  # whatever the owner keeps with it
        self.tap: Callable[[Side, bytes], None] | None = None  # told what is sent, when it is
        self._queue: list[bytes] = []
        self._arrival_us = 0
        self._stalled: list[bytes | None] | None = None  # None at the end: the close
        self._since_us = 0
        self._untold_bytes = 0  # read here, which the peer cannot hear
        self._unheard_us = 0
        host.sides[self] = None

    # Sending

    def send(self, data: bytes) -> None:
        """Send bytes; what the window has no room for is kept in ``unsent_bytes``."""
        if not self.open:
            return
        if self.tap is not None:
            self.tap(self, data)
        if self._queue or self.flight_bytes + len(data) > self.network.settings.window_bytes:
            self._queue.append(data)
            self.unsent_bytes += len(data)
            self._fill()
        else:
            self._launch(data)

    def _fill(self) -> None:
        """Send of the queue what the window has room for."""
        window = self.network.settings.window_bytes
        while self._queue and self.flight_bytes < window:
            data = self._queue[0]
            room = window - self.flight_bytes
            if len(data) <= room:
                self._queue.pop(0)
            else:
                self._queue[0] = data[room:]
                data = data[:room]
            self.unsent_bytes -= len(data)
            self._launch(data)

    def _launch(self, data: bytes) -> None:
        self.flight_bytes += len(data)
        lane = self.lane
        if lane.blocked or self._stalled is not None:
            self._stall(data)
            return
        dice = lane.dice()
        if not dice >> 28 and len(data) > 1:
            at = 1 + (dice >> 16 & 0xFFF) % (len(data) - 1)
            self._depart(data[:at], lane.delay_us(dice, at))
            data = data[at:]
            dice = lane.dice()
        self._depart(data, lane.delay_us(dice, len(data)))

    def _depart(self, data: bytes | None, delay_us: int) -> None:
        world = self.network.world
        time_us = world.now_us + delay_us
        if time_us <= self._arrival_us:
            time_us = self._arrival_us + 1
        self._arrival_us = time_us
        world.at(time_us, self._arrive, data)

    def _arrive(self, data: bytes | None) -> None:
        """Bytes (or None, the close) reach the peer."""
        peer = self.peer
        if not peer.open:
            if peer.vanished and data is not None:
                self._probe(_RTO_US)
            return
        if data is None:
            peer._die(CLOSED)
            return
        network = self.network
        network.trace.add(network.world.now_us, "data", self.name, peer.host.name, data)
        peer.owner.received(peer, data)

    def taken(self, size: int) -> None:
        """The owner has read so many of the bytes received: the peer may send more."""
        if self.lane.blocked:
            if not self._untold_bytes:
                give_up_us = self.network.settings.give_up_us
                self._unheard_us = self.network.world.now_us
                self.network.world.after(give_up_us, self._give_up_unheard, self._unheard_us)
            self._untold_bytes += size
            self.lane.stalled[self] = None
            return
        peer = self.peer
        peer.flight_bytes -= size
        if peer._queue and peer.open:
            peer._fill()
            if not peer._queue:
                peer.owner.drained(peer)

    # A blocked lane

    def _stall(self, data: bytes | None) -> None:
        if self._stalled is None:
            self._stalled = []
            self._since_us = self.network.world.now_us
            self.network.note("stall", self.name, self.host.name)
            self.network.world.after(
                self.network.settings.give_up_us, self._give_up, self._since_us
            )
        self._stalled.append(data)
        self.lane.stalled[self] = None

    def _give_up(self, since_us: int) -> None:
        if self.open and self._stalled is not None and self._since_us == since_us:
            self._die(TIMED_OUT)

    def _give_up_unheard(self, since_us: int) -> None:
        """What the peer sent has come, but it never heard so: it gives up."""
        if self._untold_bytes and self._unheard_us == since_us:
            self.peer._die(TIMED_OUT)

    def lane_opened(self) -> None:
        """The lane is open again; what has waited goes at the next retransmission."""
        if self._stalled is not None:
            passed_us = self.network.world.now_us - self._since_us
            self.network.world.after(_next_retry_us(passed_us), self._resume)
        if self._untold_bytes:
            size, self._untold_bytes = self._untold_bytes, 0
            self.taken(size)

    def _resume(self) -> None:
        if self._stalled is None:
            return
        if self.lane.blocked:
            self.lane.stalled[self] = None
            return
        waiting, self._stalled = self._stalled, None
        for data in waiting:
            dice = self.lane.dice()
            self._depart(data, self.lane.delay_us(dice, len(data or b"")))

    # Ends

    def close(self) -> None:
        """The program ends the connection, or ends itself; nothing more is heard of it."""
        if not self.open:
            return
        self._shut()
        self.network.note("close", self.name, self.host.name)
        if self.lane.blocked or self._stalled is not None:
            self._stall(None)
        else:
            self._depart(None, self.lane.delay_us(self.lane.dice(), 0))

    def reset(self) -> None:
        """Both sides lose the connection, here and now."""
        for side in (self, self.peer):
            if side.open:
                side._die(RESET)

    def vanish(self) -> None:
        """The machine is without power."""
        if self.open:
            self._shut()
            self._stalled = None
            self.vanished = True

    def _probe(self, wait_us: int) -> None:
        """What was sent met nobody: it is sent again, until a machine answers that it is lost."""
        if not self.open:
            return
        if self.peer.host.powered and not self.lane.blocked and not self.peer.lane.blocked:
            self._die(RESET)
        elif wait_us > self.network.settings.give_up_us:
            self._die(TIMED_OUT)
        else:
            self.network.world.after(wait_us, self._probe, min(wait_us * 2, 1 << 62))

    def _die(self, reason: str) -> None:
        if self.open:
            self._shut()
            self.network.note("lost", self.name, self.host.name, reason)
            self.owner.lost(self, reason)

    def _shut(self) -> None:
        self.open = False
        self._queue.clear()
        self.unsent_bytes = 0
        self.host.sides.pop(self, None)

    # Opening

    def attempt(self, number: int, host: Host, port: int) -> None:
        """Send the ``number``-th SYN."""
        if not self.open:
            return
        network = self.network
        back = network.lane(host, self.host)
        if self.lane.blocked or back.blocked or not host.powered:
            self._attempt_later(number, host, port)
            return
        there_us = self.lane.delay_us(self.lane.dice(), 0)
        network.world.after(there_us, self._arrive_syn, number, host, port, back)

    def _attempt_later(self, number: int, host: Host, port: int) -> None:
        if number >= _SYN_TRIES:
            self._die(TIMED_OUT)
        else:
            delay_us = US_PER_S << number - 1
            self.network.world.after(delay_us, self.attempt, number + 1, host, port)

    def _arrive_syn(self, number: int, host: Host, port: int, back: Lane) -> None:
        if not self.open:
            return
        if not host.powered:  # it was, when this was sent
            self._attempt_later(number, host, port)
            return
        world = self.network.world
        back_us = back.delay_us(back.dice(), 0)
        accept = host.ports.get(port)
        if accept is None:
            world.after(back_us, self._die, REFUSED)
            return
        peer = Side(self.network, host, back, self.name, port)
        peer.peer, self.peer = self, peer
        peer._arrival_us = world.now_us + back_us
        world.after(back_us, self._established)
        accept(peer)

    def _established(self) -> None:
        if self.open:
            self.network.note("open", self.name, self.host.name, self.peer.host.name)
            self.owner.opened(self)


class Network:
    """All hosts and lanes."""

    def __init__(self, world: World, trace: Trace, settings: Settings | None = None) -> None:
        self.world = world
        self.trace = trace
        self.settings = settings or Settings()
        self.hosts: dict[str, Host] = {}  # by name and by address
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._numbers: dict[tuple[str, str], int] = {}

    def note(self, *what: str) -> None:
        """Put something into the trace."""
        self.trace.add(self.world.now_us, *what)

    def host(self, name: str) -> Host:
        """The machine of that name; a new one if there is none."""
        if name not in self.hosts:
            number = len(self.hosts) // 2 + 1
            host = Host(name, f"10.0.{number >> 8}.{number & 255}")
            self.hosts[name] = self.hosts[host.address] = host
        return self.hosts[name]

    def lane(self, source: Host, target: Host) -> Lane:
        """The way between two hosts."""
        key = source.name, target.name
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(self.world, self.settings, *key)
        return lane

    def connect(self, owner: Owner, source: Host, target: str, port: int) -> Side:
        """Open a connection; ``owner`` is told when it is there, or why it cannot be."""
        host = self.hosts.get(target)
        pair = source.name, target if host is None else host.name
        number = self._numbers[pair] = self._numbers.get(pair, 0) + 1
        name = f"{pair[0]}-{pair[1]}#{number}"
        source.next_port += 1
        lane = self.lane(source, host or source)
        side = Side(self, source, lane, name, source.next_port)
        side.owner = owner
        side.peer = side
        if host is None:
            self.world.after(0, side._die, UNKNOWN_HOST)
        else:
            side.attempt(1, host, port)
        return side

    # Faults

    def block(self, sources: Iterable[str], targets: Iterable[str]) -> None:
        """Let nothing through from any of these hosts to any of those."""
        targets = list(targets)
        for source in sources:
            for target in targets:
                if source != target:
                    self.lane(self.host(source), self.host(target)).blocked = True

    def heal(self) -> None:
        """Open all lanes."""
        for lane in self._lanes.values():
            if lane.blocked:
                lane.blocked = False
                stalled, lane.stalled = lane.stalled, {}
                for side in stalled:
                    side.lane_opened()

    def cut(self, one: str, other: str) -> int:
        """Reset all connections between two hosts; returns how many there were."""
        found = [
            side for side in self.host(one).sides if side.peer.host.name == other != side.host.name
        ]
        for side in found:
            side.reset()
        return len(found)


def _next_retry_us(passed_us: int) -> int:
    """How long until the next retransmission, so long after the first failed."""
    timeout_us = sum_us = _RTO_US
    while sum_us < passed_us:
        timeout_us = min(2 * timeout_us, _RTO_MAX_US)
        sum_us += timeout_us
    return sum_us - passed_us
