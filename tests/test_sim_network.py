"""The simulated network: order, delay, partitions, resets, refusals, and slow readers."""

from __future__ import annotations

import pytest

from pyredis.sim.network import CLOSED, REFUSED, RESET, TIMED_OUT, UNKNOWN_HOST, Network, Side
from pyredis.sim.trace import Trace
from pyredis.sim.world import US_PER_MS, US_PER_S, World


class Program:
    """Notes what happens to its connections."""

    def __init__(self, reads: bool = True) -> None:
        self.reads = reads
        self.data = b""
        self.pieces = 0
        self.events: list[str] = []
        self.sides: list[Side] = []

    def accept(self, side: Side) -> None:
        side.owner = self
        self.sides.append(side)

    def opened(self, side: Side) -> None:
        self.events.append("opened")

    def received(self, side: Side, data: bytes) -> None:
        self.data += data
        self.pieces += 1
        if self.reads:
            side.taken(len(data))

    def lost(self, side: Side, reason: str) -> None:
        self.events.append(reason)

    def drained(self, side: Side) -> None:
        self.events.append("drained")


class Net:
    """Two hosts and a connection between them."""

    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed)
        self.network = Network(self.world, Trace())
        self.server, self.client = Program(), Program()
        self.network.host("s").ports[6379] = self.server.accept
        self.side = self.connect()
        self.run_ms(100)

    def connect(self, target: str = "s", port: int = 6379) -> Side:
        return self.network.connect(self.client, self.network.host("c"), target, port)

    def run_ms(self, duration_ms: int) -> None:
        self.world.run(self.world.now_us + duration_ms * US_PER_MS)

    @property
    def other(self) -> Side:
        return self.server.sides[-1]


@pytest.fixture
def net() -> Net:
    return Net()


def test_bytes_arrive_in_order_after_a_delay_in_any_pieces() -> None:
    cut = 0
    for seed in range(20):
        net = Net(seed)
        sent = b"".join(b"%05d" % n for n in range(50))
        for n in range(50):
            net.side.send(b"%05d" % n)
        assert net.server.data == b""
        net.run_ms(1000)
        assert net.server.data == sent
        cut += net.server.pieces > 50
    assert cut > 15


def test_closing_is_told_behind_the_last_byte(net: Net) -> None:
    net.side.send(b"bye")
    net.side.close()
    net.run_ms(100)
    assert net.server.data == b"bye"
    assert net.server.events == [CLOSED]
    assert net.client.events == ["opened"]
    net.other.send(b"too late")
    net.run_ms(100)
    assert net.client.data == b""


def test_a_reset_is_told_to_both_at_once_and_nothing_arrives_any_more(net: Net) -> None:
    net.side.send(b"lost")
    assert net.network.cut("c", "s") == 1
    assert net.client.events == ["opened", RESET]
    assert net.server.events == [RESET]
    net.run_ms(1000)
    assert net.server.data == b""


def test_nobody_listens_or_nobody_knows_the_name(net: Net) -> None:
    net.connect(port=1)
    net.connect("elsewhere")
    net.run_ms(100)
    assert net.client.events == ["opened", UNKNOWN_HOST, REFUSED]


def test_a_partition_holds_bytes_back_until_a_retransmission(net: Net) -> None:
    net.network.block("c", "s")
    net.network.block("s", "c")
    net.side.send(b"held ")
    net.side.send(b"back")
    net.run_ms(5000)
    assert net.server.data == b""
    net.network.heal()
    net.run_ms(1000)
    assert net.server.data == b""
    net.run_ms(6000)  # timeouts double: 0.2 + 0.4 + ... + 3.2 = 6.2 s after the first
    assert net.server.data == b"held back"


def test_a_partition_may_be_one_way(net: Net) -> None:
    net.network.block("c", "s")
    net.side.send(b"stuck")
    net.other.send(b"passes")
    net.run_ms(1000)
    assert net.client.data == b"passes"
    assert net.server.data == b""


def test_connections_that_get_nothing_through_are_given_up(net: Net) -> None:
    net.network.settings.give_up_us = 20 * US_PER_S
    net.network.block("c", "s")
    net.side.send(b"x")
    net.run_ms(19_000)
    assert net.client.events == ["opened"]
    net.run_ms(2000)
    assert net.client.events == ["opened", TIMED_OUT]


def test_who_is_never_told_that_its_bytes_have_come_gives_up(net: Net) -> None:
    net.network.settings.give_up_us = 5 * US_PER_S
    net.network.block(["s"], ["c"])
    net.side.send(b"x")
    net.run_ms(4900)
    assert net.server.data == b"x"
    assert net.client.events == ["opened"]
    net.run_ms(200)
    assert net.client.events == ["opened", TIMED_OUT]


def test_a_machine_that_goes_off_while_a_connection_is_opened_refuses_nothing(net: Net) -> None:
    server = net.network.host("s")
    ports = dict(server.ports)
    net.connect()
    server.ports.clear()  # the process is gone before the first packet is there
    server.powered = False
    net.run_ms(900)
    assert net.client.events == ["opened"]
    server.powered, server.ports = True, ports
    net.run_ms(200)
    assert net.client.events == ["opened", "opened"]


def test_opening_waits_for_the_partition_to_end_or_gives_up(net: Net) -> None:
    net.network.block("c", "s")
    net.connect()
    net.run_ms(2000)
    net.network.heal()
    net.run_ms(2000)
    assert net.client.events == ["opened", "opened"]
    net.network.block("s", "c")
    net.connect()
    net.run_ms(200_000)
    assert net.client.events[2:] == [TIMED_OUT]


def test_a_machine_without_power_tells_nobody_until_it_is_back(net: Net) -> None:
    host = net.network.host("s")
    net.other.vanish()
    host.powered = False
    net.run_ms(1000)
    assert net.client.events == ["opened"]
    net.side.send(b"hello?")
    net.run_ms(10_000)
    assert net.client.events == ["opened"]
    host.powered = True
    net.run_ms(20_000)
    assert net.client.events == ["opened", RESET]


def test_who_does_not_read_is_sent_no_more_than_the_window(net: Net) -> None:
    net.network.settings.window_bytes = 100
    net.server.reads = False
    net.side.send(b"a" * 250)
    net.run_ms(100)
    assert len(net.server.data) == 100
    assert net.side.unsent_bytes == 150
    net.server.reads = True
    net.other.taken(100)
    net.run_ms(1000)
    assert net.server.data == b"a" * 250
    assert net.side.unsent_bytes == 0
    assert net.client.events == ["opened", "drained"]


def test_a_lane_has_a_rate_and_may_lose_packets(net: Net) -> None:
    net.network.settings.rate_bytes_s = 1000
    net.side.send(b"x" * 500)
    net.run_ms(400)
    assert net.server.data == b""
    net.run_ms(200)
    assert len(net.server.data) == 500
    net.network.settings.rate_bytes_s = 0
    net.network.settings.loss_ppm = 500_000
    for _ in range(20):
        net.side.send(b"y")
    net.run_ms(100)
    assert len(net.server.data) < 520
    net.run_ms(60_000)
    assert len(net.server.data) == 520
