"""The server as a process: sockets, limits, TLS, and clients that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import selectors
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import trustme

from pyredis.net.connection import Connection
from pyredis.net.listeners import listen_tcp
from pyredis.net.poller import READABLE, WRITABLE
from pyredis.net.server import Server
from pyredis.net.startup import load_data
from pyredis.resp import encode_command
from pyredis.session import Address, Session
from pyredis.sim.disk import SimDisk
from tests.simserver import SimServer
from tests.support import Node, ReplyError, Status, WireClient, free_port, new_engine, parse_reply


@contextlib.contextmanager
def running(*options: str) -> Iterator[Node]:
    server = Node("--save", "", *options)
    try:
        yield server
    finally:
        server.close()


def until_closed(client: WireClient) -> bytes:
    """All bytes until the server closes the connection."""
    out = client.buffer
    with contextlib.suppress(ConnectionResetError):
        while piece := client.socket.recv(1 << 16):
            out += piece
    return out


def test_a_client_and_a_pipeline(node: Node) -> None:
    client = node.client()
    assert client("SET", "a\r\nb", "\r\n") == Status(b"OK")
    assert client("GET", "a\r\nb") == b"\r\n"
    client.socket.sendall(b"PING\r\n" * 10_000)
    assert [client.read() for _ in range(10_000)] == [Status(b"PONG")] * 10_000


def test_bytes_one_by_one(node: Node) -> None:
    client = node.client()
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in encode_command([b"SET", b"k", b"v"]) + b"GET k\r\n":
        client.socket.sendall(bytes([byte]))
    assert (client.read(), client.read()) == (b"OK", b"v")


def test_a_large_value_comes_back(node: Node) -> None:
    client = node.client()
    value = os.urandom(1 << 20) * 8
    assert client("SET", "big", value) == b"OK"
    assert client("STRLEN", "big") == len(value)
    assert client("GET", "big") == value


def test_config_set_of_what_the_system_refuses(node: Node) -> None:
    client = node.client()
    taken = socket.create_server(("127.0.0.1", 0))
    for setting, value, reason in (
        ("bind", "127.0.0.1 192.0.2.1", b"bind') - Failed to bind to specified addresses."),
        ("port", str(taken.getsockname()[1]), b"port') - Unable to listen on this port. Check"),
        ("maxclients", "4294967295", b"maxclients') - The operating system is not able to"),
    ):
        before = client("CONFIG", "GET", setting)
        assert reason in client("CONFIG", "SET", setting, value)
        assert client("CONFIG", "GET", setting) == before
        assert node.client()("PING") == b"PONG"
    taken.close()


def test_what_browsers_send_ends_the_connection() -> None:
    with running() as node:
        for data in (
            b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET a 1\r\n",
            b"PING\r\nHost: x\r\nSET a 1\r\n",
            b"*1\r\n$4\r\npost\r\nSET a 1\r\n",
        ):
            client = node.client()
            client.socket.sendall(data)
            assert until_closed(client) == b""
        assert node.client()("EXISTS", "a") == 0
        node.process.terminate()
        node.finish()
        assert node.log.count("Possible SECURITY ATTACK detected") == 1


def test_a_defect_costs_one_client_only() -> None:
    engine, _ = new_engine()
    engine.config.port, engine.config.bind = free_port(), ("127.0.0.1",)
    loop, lines = asyncio.new_event_loop(), []
    server = Server(engine, engine.config, loop, lambda level, text: lines.append(text))
    feed = engine.feed

    def failing_feed(session: Session, data: bytes) -> None:
        if data == b"FAIL":
            raise RuntimeError("a defect")
        feed(session, data)

    engine.feed = failing_feed  # type: ignore[method-assign]
    server.start()

    async def talk(data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", engine.config.port)
        writer.write(data)
        reply = await reader.read(100)
        writer.close()
        return reply

    try:
        assert loop.run_until_complete(talk(b"FAIL")) == b""
        assert loop.run_until_complete(talk(b"PING\r\n")) == b"+PONG\r\n"
        assert "RuntimeError: a defect" in lines[0]
    finally:
        server.close()
        loop.close()


def test_output_waits_until_there_is_room() -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    session = new_engine()[0].connect(Address("a", "b"))
    connection = Connection(near, session)
    session.out.append(b"x" * (1 << 22))
    sent = connection.flush()
    connection.want_write = True  # as the server does for what is left
    left = session.unsent_bytes
    assert 0 < sent == (1 << 22) - left
    session.out += [b"y", b"z"]
    assert connection.flush() == 0  # nothing is tried
    assert (session.unsent_bytes, session.unsent_pieces) == (left + 2, 3)
    received = 0
    while session.unsent_bytes:
        received += len(far.recv(1 << 20))
        connection.flush(writable=True)
    assert session.unsent_pieces == 0
    while received < (1 << 22) + 2:
        received += len(far.recv(1 << 20))
    connection.close()
    far.close()


def test_maxclients(node: Node) -> None:
    client = node.client()
    client("CONFIG", "SET", "maxclients", "2")
    second = node.client()
    assert second("PING") == b"PONG"
    third = node.client()
    assert until_closed(third) == b"-ERR max number of clients reached\r\n"
    assert b"rejected_connections:1\r\n" in client("INFO", "stats")
    second.close()
    while b"connected_clients:1\r\n" not in client("INFO", "clients"):
        pass
    assert node.client()("PING") == b"PONG"


def test_ten_thousand_idle_clients() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 10_200:
        pytest.skip("not enough file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 10_200), hard))
    idle: list[socket.socket] = []
    with running("--maxclients", "10100") as node:
        try:
            for _ in range(10_000):
                idle.append(socket.create_connection(("127.0.0.1", node.port)))
            client = node.client()
            while b"connected_clients:10001\r\n" not in client("INFO", "clients"):
                pass
            assert client("SET", "a", "1") == b"OK"
            idle[5000].sendall(b"PING\r\n")
            assert idle[5000].recv(10) == b"+PONG\r\n"
        finally:
            for connection in idle:
                connection.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        while b"connected_clients:1\r\n" not in client("INFO", "clients"):
            pass


def test_a_client_that_never_reads_is_cut_off_at_its_limit(node: Node) -> None:
    client = node.client()
    client("CONFIG", "SET", "client-output-buffer-limit", "normal 4mb 0 0")
    client("SET", "big", b"x" * 1_000_000)
    deaf = node.client()
    with contextlib.suppress(OSError):
        for _ in range(100):
            deaf.send("GET", "big")
    stats = b""
    while b"client_output_buffer_limit_disconnections:1\r\n" not in stats:
        stats = client("INFO", "stats")
    assert client("PING") == b"PONG"


def test_a_subscriber_that_never_reads_is_cut_off(node: Node) -> None:
    client, deaf = node.client(), node.client()
    client("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0")
    deaf("SUBSCRIBE", "news")
    while client("PUBLISH", "news", b"x" * 100_000):
        pass
    assert client("PUBSUB", "NUMSUB", "news") == [b"news", 0]


def test_a_slow_reader_gets_everything(node: Node) -> None:
    client = node.client()
    client("SET", "big", b"y" * 3_000_000)
    slow = node.client()
    for _ in range(5):
        slow.send("GET", "big")
    assert client("PING") == b"PONG"
    assert [len(slow.read()) for _ in range(5)] == [3_000_000] * 5


def test_an_idle_client_is_closed_after_its_timeout(node: Node) -> None:
    client = node.client()
    client("CONFIG", "SET", "timeout", "1")
    assert until_closed(node.client()) == b""


def test_the_reply_before_a_protocol_error_is_sent(node: Node) -> None:
    client = node.client()
    client.socket.sendall(b"PING\r\n*x\r\nPING\r\n")
    assert until_closed(client) == b"+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n"


def test_a_client_that_half_closes_still_gets_its_replies(node: Node) -> None:
    client = node.client()
    client.socket.sendall(b"PING\r\nPING\r\n")
    client.socket.shutdown(socket.SHUT_WR)
    assert until_closed(client) == b"+PONG\r\n+PONG\r\n"


def test_new_connections_wait_for_the_next_turn_beyond_a_limit() -> None:
    engine, _clock = new_engine(max_new_connections_per_cycle=3)
    loop = asyncio.new_event_loop()
    server = Server(engine, engine.config, loop, engine.log)
    port = free_port()
    (listener,) = listen_tcp(("127.0.0.1",), port, 511, False, 0)
    peers = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    for expected in (3, 5, 5):
        server._accept(listener)
        assert len(server.connections) == expected
    for each in peers:
        each.close()
    listener.sock.close()
    server.close()
    loop.close()


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with running("--unixsocket", str(path), "--unixsocketperm", "700", "--port", "0") as node:
        assert path.stat().st_mode & 0o777 == 0o700
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"CLIENT INFO\r\n")
            reply, _ = parse_reply(connection.recv(4096))
            assert f"addr={path}:0 ".encode() in reply
        assert "Ready to accept connections unix" in node.log


def test_several_addresses_and_a_new_port() -> None:
    with running("--bind", "127.0.0.1 127.0.0.2 -127.0.0.3") as node:
        for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            socket.create_connection((host, node.port)).close()
        client = node.client()
        other = node.port + 1 if node.port < 65000 else node.port - 1
        reply = client("CONFIG", "SET", "port", str(other))
        if reply == b"OK":  # the neighbouring port may be in use by somebody else
            assert WireClient(other)("PING") == b"PONG"
            with pytest.raises(ConnectionRefusedError):
                WireClient(node.port)
        else:
            assert isinstance(reply, ReplyError)
            assert WireClient(node.port)("PING") == b"PONG"


def test_a_taken_port_is_refused() -> None:
    with running() as first:
        second = Node("--port", str(first.port), wait=False)
        try:
            assert second.finish() == 1
            assert f"Failed listening on port {first.port} (tcp), aborting." in second.log
        finally:
            second.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificates(authority: trustme.CA, tmp_path: Path) -> Path:
    server = authority.issue_cert("localhost", "127.0.0.1")
    server.private_key_pem.write_to_path(tmp_path / "key.pem")
    for blob in server.cert_chain_pems:
        blob.write_to_path(tmp_path / "cert.pem", append=True)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path


def _tls_node(folder: Path, *options: str) -> Node:
    port = free_port()
    node = Node(
        "--save", "", "--tls-port", str(port), "--tls-cert-file", str(folder / "cert.pem"),
        "--tls-key-file", str(folder / "key.pem"), "--tls-ca-cert-file", str(folder / "ca.pem"),
        *options,
    )  # fmt: skip
    node.tls_port = port  # type: ignore[attr-defined]
    return node


def _tls_client(port: int, context: ssl.SSLContext) -> WireClient:
    client = WireClient(port)
    client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
    return client


def test_tls_with_and_without_client_certificates(
    authority: trustme.CA, certificates: Path
) -> None:
    node = _tls_node(certificates)
    try:
        port: int = node.tls_port  # type: ignore[attr-defined]
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _tls_client(port, context)("PING")  # tls-auth-clients is on by default
        authority.issue_cert("client.example").configure_cert(context)
        client = _tls_client(port, context)
        assert client("SET", "k", b"z" * 2_000_000) == b"OK"
        assert len(client("GET", "k")) == 2_000_000
        plain = node.client()
        assert plain("CONFIG", "SET", "tls-auth-clients", "no") == b"OK"
        anyone = ssl.create_default_context()
        authority.configure_trust(anyone)
        assert _tls_client(port, anyone)("PING") == b"PONG"
        assert client("PING") == b"PONG"
        plain.socket.sendall(b"\x16\x03\x01 nonsense\r\n")
        noise = WireClient(port)
        noise.socket.sendall(b"PING\r\n")
        until_closed(noise)
        assert client("PING") == b"PONG"
        if not hasattr(context, "set_ciphersuites"):  # what cannot be set is not taken silently
            refused = node.client()("CONFIG", "SET", "tls-ciphersuites", "TLS_AES_128_GCM_SHA256")
            assert b"Unable to update TLS configuration" in refused
            assert _tls_client(port, anyone)("PING") == b"PONG"
    finally:
        node.close()


def test_tls_without_a_certificate_is_refused() -> None:
    node = Node("--tls-port", "1", wait=False)
    try:
        assert node.finish() == 1
        assert "Failed to configure TLS" in node.log
    finally:
        node.close()


def test_protected_mode_turns_strangers_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket pair stands in for a client from another machine."""
    import asyncio

    from pyredis.net import server as net
    from pyredis.net.listeners import Listener
    from pyredis.session import Address
    from tests.support import new_engine

    engine, _ = new_engine()
    loop = asyncio.new_event_loop()
    server = net.Server(engine, engine.config, loop, lambda level, text: None)
    stranger = Address("192.0.2.7:5000", "192.0.2.1:6379", loopback=False)
    monkeypatch.setattr(net, "_address", lambda *ignored: stranger)
    for password, beginning in (("", b"-DENIED Redis is running in protected mode"), ("pw", b"")):
        engine.config.set([("requirepass", password)])
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        server._welcome(ours, None, Listener(theirs, path="x"))
        theirs.settimeout(0.1)
        try:
            out = theirs.recv(4096)
        except TimeoutError:
            out = b""
        assert out.startswith(beginning)
        assert bool(out) is bool(beginning)
        theirs.close()
    server.close()
    loop.close()


def test_the_loop_poller_serves_clients_too() -> None:
    """The way for platforms without epoll, on a plain asyncio loop."""
    import asyncio

    from pyredis.net import poller
    from pyredis.net import server as net
    from tests.support import free_port, new_engine

    engine, _ = new_engine()
    engine.config.port = free_port()
    engine.config.bind = ("127.0.0.1",)
    loop = asyncio.new_event_loop()
    server = net.Server(engine, engine.config, loop, lambda level, text: None)
    server._poller.close()
    server._poller = poller.LoopPoller(loop, server._on_ready)
    server.start()

    async def talk() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", engine.config.port)
        writer.write(encode_command([b"SET", b"a", b"x" * 5_000_000]) + b"GET a\r\nPING\r\n")
        out = await reader.readuntil(b"+PONG\r\n") if False else b""
        while not out.endswith(b"+PONG\r\n"):
            out += await reader.read(1 << 16)
        writer.close()
        return out

    out = loop.run_until_complete(asyncio.wait_for(talk(), 30))
    assert out == b"+OK\r\n$5000000\r\n" + b"x" * 5_000_000 + b"\r\n+PONG\r\n"
    server.close()
    loop.close()


def test_many_clients_at_once(node: Node) -> None:
    clients = [node.client() for _ in range(200)]
    with selectors.DefaultSelector() as selector:
        for number, client in enumerate(clients):
            client.socket.sendall(
                encode_command([b"INCR", b"n"]) * 50 + encode_command([b"ECHO", b"%d" % number])
            )
            selector.register(client.socket, selectors.EVENT_READ)
    for number, client in enumerate(clients):
        replies = [client.read() for _ in range(51)]
        assert replies[-1] == b"%d" % number
        assert replies[:-1] == sorted(replies[:-1])
    assert node.client()("GET", "n") == b"10000"


def test_no_reply_leaves_before_the_log_is_written() -> None:
    made = SimServer(SimDisk(), appendfsync="always")
    made.disk.faults["sync"] = errno.EIO
    loop = asyncio.new_event_loop()
    server = Server(made.engine, made.engine.config, loop, lambda level, text: None)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = Connection(ours, made.client.session)
    made.client.session.wire = connection
    server.connections[connection.fd] = connection
    server._poller.add(connection.fd)
    connection.unsent.append(b"an earlier reply")
    connection.want_write = True
    theirs.sendall(encode_command([b"SET", b"a", b"1"]))
    server._on_ready([(connection.fd, READABLE | WRITABLE)])
    assert made.engine.exit_status == 1
    assert theirs.recv(100) == b"an earlier reply"
    server.close()
    theirs.close()
    loop.close()


@pytest.mark.parametrize("name", ["begin_loading", "load_slice"])
def test_whatever_goes_wrong_while_loading_ends_the_server(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SimServer(SimDisk())
    broken = MagicMock(side_effect=RuntimeError("of no kind that is expected"))
    monkeypatch.setattr(made.engine.saver, name, broken)
    said: list[str] = []
    loop = asyncio.new_event_loop()
    load_data(
        loop,
        MagicMock(),
        made.engine,
        lambda level, text: said.append(text),
        lambda: said.append("ready"),
        loop.stop,
    )
    loop.run_forever()
    loop.close()
    assert "=== BUG REPORT: loading failed" in said
    assert "ready" not in said
