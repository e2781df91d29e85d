"""Links on real sockets: opening, talking and losing them, names, addresses, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from pyredis.config import Config
from pyredis.machine import (
    Close,
    Connect,
    Connected,
    Event,
    Hold,
    Lost,
    Received,
    Resume,
    Send,
)
from pyredis.net.driver import Driver
from pyredis.session import Address
from tests.support import REDIS_SERVER, Node, RealRedis, WireClient, free_port


def local_host(event: Event) -> str:
    """Where a link that has been opened comes from."""
    assert isinstance(event, Connected)
    assert event.address is not None
    return event.address.local.rpartition(":")[0]


class Bench:
    """A driver on a loop of its own, a listening socket, and the events so far."""

    def __init__(self, loop: asyncio.AbstractEventLoop, **settings: Any) -> None:
        self.loop = loop
        self.config = Config()
        if settings:
            pairs = [(name.replace("_", "-"), str(value)) for name, value in settings.items()]
            self.config.set(pairs)
        self.events: list[Event] = []
        self.on_event: Callable[[Event], None] = lambda event: None
        self.driver = Driver(self.config, loop, self._deliver, lambda: self.config.tls_replication)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.port: int = self.listener.getsockname()[1]
        self.peers: list[socket.socket] = []

    def _deliver(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)

    def run(self, met: Callable[[], object]) -> None:
        """Run the loop until something has come about."""

        async def watch() -> None:
            while not met():
                await asyncio.sleep(0)

        self.loop.run_until_complete(asyncio.wait_for(watch(), 10))

    def turns(self, count: int = 20) -> None:
        """Run the loop for a moment."""

        async def pass_by() -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        self.loop.run_until_complete(pass_by())

    def until(self, count: int) -> Event:
        """The event of that number."""
        self.run(lambda: len(self.events) >= count)
        return self.events[count - 1]

    def accept(self) -> socket.socket:
        peer, _ = self.listener.accept()
        peer.settimeout(10)
        self.peers.append(peer)
        return peer

    def connect(self, host: str = "127.0.0.1", link: int = 1) -> socket.socket:
        """An open link; returns the other end."""
        self.driver.perform([Connect(link, host, self.port)])
        assert local_host(self.until(len(self.events) + 1)) == "127.0.0.1"
        return self.accept()

    def close(self) -> None:
        self.driver.close()
        self.listener.close()
        for peer in self.peers:
            peer.close()
        self.turns(3)
        self.loop.close()


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(LOOPS[request.param]())
    yield bench
    bench.close()


def test_bytes_in_both_directions(bench: Bench) -> None:
    peer = bench.connect()
    assert len(bench.driver.sockets()) == 1
    bench.driver.perform([Send(1, b"one"), Send(1, b"two")])
    assert peer.recv(6, socket.MSG_WAITALL) == b"onetwo"
    peer.sendall(b"three")
    assert bench.until(2) == Received(1, b"three")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST"])
def test_host_names(bench: Bench, host: str) -> None:
    bench.connect(host)


def test_ipv6(bench: Bench) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with listener:
        bench.driver.perform([Connect(1, "::1", listener.getsockname()[1])])
        assert local_host(bench.until(1)) == "[::1]"


def test_more_than_the_kernel_takes(bench: Bench) -> None:
    peer = bench.connect()
    data = bytes(range(256)) * (1 << 16)
    bench.driver.perform([Send(1, data), Send(1, b"end")])
    peer.setblocking(False)
    received = bytearray()

    def drained() -> bool:
        try:
            received.extend(peer.recv(1 << 20))
        except BlockingIOError:
            pass
        return len(received) == len(data) + 3

    bench.run(drained)
    assert received == data + b"end"
    bench.driver.perform([Send(1, b"again")])
    bench.run(lambda: drained() or received.endswith(b"again"))


def test_much_input(bench: Bench) -> None:
    peer = bench.connect()
    data = bytes(range(256)) * 4000
    peer.setblocking(False)
    left = memoryview(data)

    def received() -> bytes:
        return b"".join(each.data for each in bench.events if isinstance(each, Received))

    def fed() -> bool:
        nonlocal left
        try:
            left = left[peer.send(left) :]
        except BlockingIOError:
            pass
        return not left and len(received()) == len(data)

    bench.run(fed)
    assert received() == data


def test_the_other_side_ends_the_link(bench: Bench) -> None:
    peer = bench.connect()
    peer.sendall(b"farewell")
    peer.close()
    bench.until(3)
    assert bench.events[1:] == [
        Received(1, b"farewell"),
        Lost(1, "Connection closed by the other side"),
    ]
    bench.driver.perform([Send(1, b"x"), Close(1)])  # it may not have heard yet
    bench.turns()
    assert len(bench.events) == 3
    assert bench.driver.sockets() == []


def test_a_reset_link_tells_first_what_came_before(bench: Bench) -> None:
    peer = bench.connect()
    bench.driver.perform([Send(1, b"unread")])
    peer.sendall(b"last words")
    peer.close()  # with input unread, this resets the connection
    for _ in range(3):
        bench.driver.perform([Send(1, b"into the void")])
    bench.run(lambda: isinstance(bench.events[-1], Lost))
    assert [type(each) for each in bench.events] in (
        [Connected, Received, Lost],
        [Connected, Lost],  # where the kernel throws away what it has received
    )


def test_nobody_listens(bench: Bench) -> None:
    bench.driver.perform([Connect(1, "127.0.0.1", free_port()), Send(1, b"too early")])
    assert bench.until(1) == Lost(1, "Connection refused")
    bench.turns()
    assert len(bench.events) == 1


def test_a_name_that_nobody_has(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    found = resolver(bench, monkeypatch, socket.gaierror(-2, "Name or service not known"))
    bench.driver.perform([Connect(1, "nobody.example", 1)])
    assert bench.until(1) == Lost(1, "Name or service not known")
    assert found == ["nobody.example"]


def test_all_addresses_of_a_name_are_tried(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    infos = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        for port in (free_port(), bench.port)
    ]
    resolver(bench, monkeypatch, infos)
    bench.connect("two.example")
    resolver(bench, monkeypatch, infos[:1])
    bench.driver.perform([Connect(2, "one.example", 1)])
    assert bench.until(2) == Lost(2, "Connection refused")
    resolver(bench, monkeypatch, [])
    bench.driver.perform([Connect(3, "none.example", 1)])
    assert bench.until(3) == Lost(3, "the host has no address")


def resolver(bench: Bench, monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[str]:
    """Have every name resolved to ``answer``, or failing with it; returns the names asked for."""
    names: list[str] = []

    async def getaddrinfo(host: str, port: int, **hints: Any) -> Any:
        names.append(host)
        if isinstance(answer, Exception):
            raise answer
        return answer

    class Resolving:
        def __getattr__(self, name: str) -> Any:
            return getaddrinfo if name == "getaddrinfo" else getattr(bench.loop, name)

    resolving: Any = Resolving()
    monkeypatch.setattr(bench.driver, "loop", resolving)
    monkeypatch.setattr(asyncio, "ensure_future", lambda task, loop: bench.loop.create_task(task))
    return names


def test_links_that_are_closed_say_nothing(bench: Bench) -> None:
    bench.driver.perform([Connect(1, "127.0.0.1", bench.port), Close(1)])
    bench.driver.perform([Connect(2, "127.0.0.1", free_port()), Close(2)])
    bench.driver.perform([Connect(3, "localhost", bench.port), Close(3)])
    peer = bench.connect(link=4)
    peer = bench.accept()  # the first was the one that was closed at once
    peer.sendall(b"x")
    bench.driver.perform([Close(4), Close(4), Send(4, b"x")])
    bench.turns(50)
    assert [each.link for each in bench.events] == [4]
    assert bench.driver.sockets() == []


def test_both_ends_are_told(bench: Bench) -> None:
    peer = bench.connect("localhost")
    event = bench.events[0]
    assert isinstance(event, Connected)
    local = "{}:{}".format(*peer.getpeername())
    assert event.address == Address(f"127.0.0.1:{bench.port}", local, bench.driver.sockets()[0])


@pytest.mark.parametrize("size", [10, 20_000_000])
def test_a_link_that_is_held_is_not_read(bench: Bench, size: int) -> None:
    peer = bench.connect()
    bench.driver.perform([Hold(1), Send(1, b"x" * size)])
    peer.sendall(b"later")
    bench.turns(50)
    assert len(bench.events) == 1
    bench.driver.perform([Hold(1), Resume(1), Resume(1)])
    assert bench.until(2) == Received(1, b"later")
    missing = size
    peer.setblocking(False)

    def take() -> bool:
        nonlocal missing
        with contextlib.suppress(BlockingIOError):
            missing -= len(peer.recv(1 << 20))
        return not missing

    bench.run(take)


def test_a_held_link_that_is_lost_tells_it_afterwards(bench: Bench) -> None:
    peer = bench.connect()
    bench.driver.perform([Hold(1)])
    peer.sendall(b"the end")
    peer.close()
    bench.turns(50)
    assert len(bench.events) == 1
    bench.driver.perform([Resume(1)])
    assert bench.until(2) == Received(1, b"the end")
    assert isinstance(bench.until(3), Lost)


def test_what_was_sent_before_the_end_arrives(bench: Bench) -> None:
    peer = bench.connect()
    bench.driver.perform([Send(1, b"the end"), Close(1)])
    assert (peer.recv(100), peer.recv(100)) == (b"the end", b"")


def test_a_machine_may_close_its_link_when_it_hears_of_input(bench: Bench) -> None:
    peer = bench.connect()
    bench.on_event = lambda event: bench.driver.perform(
        [Close(1), Connect(2, "127.0.0.1", bench.port)] if isinstance(event, Received) else []
    )
    peer.sendall(b"x")
    assert local_host(bench.until(3)) == "127.0.0.1"
    bench.turns()
    assert len(bench.events) == 3


def test_the_source_address_can_be_chosen(bench: Bench) -> None:
    bench.config.set([("bind-source-addr", "127.0.0.3")])
    bench.driver.perform([Connect(1, "127.0.0.1", bench.port)])
    assert local_host(bench.until(1)) == "127.0.0.3"
    assert bench.accept().getpeername()[0] == "127.0.0.3"
    bench.config.set([("bind-source-addr", "192.0.2.1")])
    bench.driver.perform([Connect(2, "127.0.0.1", bench.port)])
    assert bench.until(2) == Lost(2, "Cannot assign requested address")


def test_the_socket_is_set_up_as_for_clients(bench: Bench) -> None:
    bench.connect()
    (fd,) = bench.driver.sockets()
    with socket.socket(fileno=socket.dup(fd)) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_bench(bench: Bench, authority: trustme.CA, tmp_path: Path) -> Bench:
    """As a node with tls-replication and a certificate of its own."""
    node = authority.issue_cert("node.example")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    node.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    node.private_key_pem.write_to_path(tmp_path / "key.pem")
    bench.config.set(
        [
            ("tls-replication", "yes"),
            ("tls-ca-cert-file", str(tmp_path / "ca.pem")),
            ("tls-cert-file", str(tmp_path / "cert.pem")),
            ("tls-key-file", str(tmp_path / "key.pem")),
        ]
    )
    return bench


def talk(bench: Bench, authority: trustme.CA, signer: trustme.CA, say: bytes) -> bytes:
    """Be a TLS server that demands a certificate; returns what it was sent until the end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    signer.issue_cert("another.example").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    bench.driver.perform([Connect(1, "127.0.0.1", bench.port)])
    peer = bench.accept()
    peer.setblocking(False)
    heard = b""
    shaken = False

    def move() -> bool:
        nonlocal heard, shaken
        try:
            data = peer.recv(1 << 16)
            incoming.write(data)
            if not data:
                incoming.write_eof()
        except BlockingIOError:
            pass
        try:
            if not shaken:
                tls.do_handshake()
                shaken = True
                tls.write(say)
            heard += tls.read(1 << 16)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            peer.close()
            return True
        if outgoing.pending:
            peer.sendall(outgoing.read())
        return len(heard) >= len(say) or any(isinstance(each, Lost) for each in bench.events)

    bench.on_event = lambda event: (
        bench.driver.perform([Send(1, event.data)]) if isinstance(event, Received) else None
    )
    bench.run(move)
    return heard


def test_tls(tls_bench: Bench, authority: trustme.CA) -> None:
    assert talk(tls_bench, authority, authority, b"secret" * 5000) == b"secret" * 5000
    assert local_host(tls_bench.events[0]) == "127.0.0.1"
    tls_bench.peers[0].close()
    tls_bench.run(lambda: isinstance(tls_bench.events[-1], Lost))


def test_tls_with_a_client_certificate_of_its_own(
    tls_bench: Bench, authority: trustme.CA, tmp_path: Path
) -> None:
    client = authority.issue_cert("client.example")
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    path = str(tmp_path / "client.pem")
    tls_bench.config.set([("tls-client-cert-file", path), ("tls-client-key-file", path)])
    assert talk(tls_bench, authority, authority, b"x") == b"x"


def test_tls_with_a_server_of_another_authority(tls_bench: Bench, authority: trustme.CA) -> None:
    assert talk(tls_bench, authority, trustme.CA(), b"x") == b""
    (event,) = tls_bench.events
    assert isinstance(event, Lost)
    assert "unable to get local issuer certificate" in event.reason


def test_tls_with_one_who_does_not_speak_it(tls_bench: Bench) -> None:
    tls_bench.driver.perform([Connect(1, "127.0.0.1", tls_bench.port)])
    tls_bench.accept().sendall(b"-ERR what is this?\r\n")
    event = tls_bench.until(1)
    assert isinstance(event, Lost)
    assert "WRONG_VERSION" in event.reason


def test_tls_that_is_not_set_up(tls_bench: Bench) -> None:
    tls_bench.config.set([("tls-ca-cert-file", "")])
    tls_bench.driver.perform([Connect(1, "127.0.0.1", tls_bench.port), Send(1, b"x")])
    event = tls_bench.until(1)
    assert isinstance(event, Lost)
    assert event.reason.startswith("Either tls-ca-cert-file or tls-ca-cert-dir")
    tls_bench.config.set([("tls-ca-cert-file", "/nonexistent.pem")])
    tls_bench.driver.perform([Connect(2, "127.0.0.1", tls_bench.port), Close(2)])
    tls_bench.driver.perform([Connect(3, "127.0.0.1", tls_bench.port)])
    assert tls_bench.until(2) == Lost(3, "Failed to configure TLS: /nonexistent.pem")


# In the server


def replicates(node: Node, host: str, port: int, primary: WireClient) -> None:
    """Make the node a replica; it gets what is there, and then what is written."""
    client = node.client()
    assert primary("SET", "before", 1) == b"OK"
    assert client("REPLICAOF", host, port) == b"OK"
    deadline = time.monotonic() + 10
    while b"master_link_status:up" not in client("INFO", "replication"):
        assert time.monotonic() < deadline
    assert primary("SET", "after", 2) == b"OK"
    assert primary("WAIT", 1, 10_000) == 1
    assert client("MGET", "before", "after") == [b"1", b"2"]


@pytest.fixture
def primary() -> Iterator[Callable[..., RealRedis]]:
    if REDIS_SERVER is None:
        pytest.skip("redis-server is not installed")
    servers: list[RealRedis] = []

    def start(*options: str) -> RealRedis:
        servers.append(RealRedis("--repl-diskless-sync-delay", "0", *options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_a_server_follows_another_by_name(node: Node, primary: Callable[..., RealRedis]) -> None:
    server = primary()
    replicates(node, "localhost", server.port, server.client())


def test_a_server_follows_another_with_tls(
    primary: Callable[..., RealRedis], authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    identity = authority.issue_cert("node.example")
    identity.private_key_and_cert_chain_pem.write_to_path(tmp_path / "node.pem")
    path, tls_port = str(tmp_path / "node.pem"), free_port()
    files = ["--tls-cert-file", path, "--tls-key-file", path]
    files += ["--tls-ca-cert-file", str(tmp_path / "ca.pem")]
    server = primary("--tls-port", str(tls_port), *files)
    node = Node("--save", "", "--tls-replication", "yes", *files)
    try:
        replicates(node, "127.0.0.1", tls_port, server.client())
    finally:
        node.close()


def test_a_reset_behind_data_that_are_read_slowly(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyredis.net.driver.READ_BYTES", 1000)
    peer = bench.connect()
    peer.sendall(b"x" * 50_000)

    def reset(event: Event) -> None:
        if len(bench.events) == 5:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            time.sleep(0.01)

    bench.on_event = reset
    bench.run(lambda: isinstance(bench.events[-1], Lost))
