"""The thin shell around the engine: sockets, timers, and the order of a batch.

Theory of operation. The poller says which sockets are ready. For all of them together:
fix the time, read and feed each, finish what the batch brought about, send what every
session is owed, close who has to go. Between batches two timers run: the cron, ``hz``
times a second, and one for the next deadline the engine knows of.

Shell. Nothing here knows a command.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from pyredis.defects import story
from pyredis.limits import check_output
from pyredis.net.connection import Connection, TLSConnection, joined, keep_alive
from pyredis.net.driver import Driver
from pyredis.net.listeners import Listener, ListenError, listen_tcp, listen_unix
from pyredis.net.poller import WRITABLE, Ready, best_poller
from pyredis.net.tls import TLSError, server_context
from pyredis.session import Address, Session

if TYPE_CHECKING:
    from pyredis.config import Config
    from pyredis.engine import Engine, LogFn
    from pyredis.machine import Event

_TOO_MANY = b"-ERR max number of clients reached\r\n"
_PROTECTED = (
    b"-DENIED Redis is running in protected mode: no password is set, so only clients on the "
    b"loopback interface are served. To serve others, set a password (requirepass), or switch "
    b"the protection off with 'CONFIG SET protected-mode no' from this machine, with "
    b"'protected-mode no' in the configuration file, or with '--protected-mode no' at start; "
    b"without a password make sure that strangers cannot reach this port.\r\n"
)


class Server:
    """Connects an engine to the network. Use ``start``, then run the loop."""

    def __init__(
        self,
        engine: Engine,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        log: LogFn,
        on_exit: Callable[[int], None] = lambda status: None,
    ) -> None:
        self.engine = engine
        self.config = config
        self.loop = loop
        self.log = log
        self.on_exit = on_exit
        self.connections: dict[int, Connection] = {}
        self._poller = best_poller(loop, self._on_ready)
        self._driver = Driver(config, loop, self._on_event, lambda: config.tls_replication)
        self._listeners: list[Listener] = []
        self._tcp_bound: tuple[tuple[str, ...], int] | None = None  # what they were opened for
        self._tls: ssl.SSLContext | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms: int | None = None
        self._cron: asyncio.TimerHandle | None = None
        self._sweep: list[Connection] = []
        self._closed = False
        self._goes_on = False  # a batch is due in the loop's next turn

    # Life

    def start(self) -> None:
        """Listen as configured. Raises ListenError or TLSError, leaving nothing open."""
        config = self.config
        try:
            if config.port:
                self._listen(self._open_tcp(config.port))
            if config.tls_port:
                self._tls = server_context(config)
                self._listen(self._open_tcp(config.tls_port, tls=True))
            if config.unixsocket:
                self._listen(
                    [listen_unix(config.unixsocket, config.unixsocketperm, config.tcp_backlog)]
                )
        except (ListenError, TLSError):
            self._stop_listening()
            raise
        self._tcp_bound = (config.bind, config.port)
        for name, problem in (
            ("port", "Unable to listen on this port. Check server logs."),
            ("bind", "Failed to bind to specified addresses."),
        ):
            config.subscribe((name,), partial(self._relisten_tcp, problem))
        config.subscribe(
            [
                name
                for name in config_names(config)
                if name.startswith("tls-") and name not in ("tls-replication", "tls-cluster")
            ],
            self._relisten_tls,
        )
        self._cron = self.loop.call_later(1 / config.hz, self._on_cron)
        self.engine.poll_clients = self._serve_while_busy
        self.engine.bundle_output = bundle_output

    def close(self) -> None:
        """Close everything; clients get what could still be sent at once."""
        if self._closed:
            return
        self._closed = True
        for timer in (self._timer, self._cron):
            if timer is not None:
                timer.cancel()
        self._stop_listening()
        self._driver.close()
        for connection in list(self.connections.values()):
            connection.flush(writable=True)
            self._drop(connection)
        self._poller.close()

    def sockets(self) -> list[int]:
        """The descriptors of all sockets: what a child gives back."""
        return [
            *(each.sock.fileno() for each in self._listeners),
            *self.connections,
            *self._driver.sockets(),
        ]

    def wake(self) -> None:
        """Run the end of a batch soon, though no client has sent anything."""
        self.loop.call_soon(self._finish)

    def _open_tcp(self, port: int, tls: bool = False) -> list[Listener]:
        config = self.config
        return listen_tcp(config.bind, port, config.tcp_backlog, tls, config.socket_mark_id)

    def _listen(self, listeners: list[Listener]) -> None:
        for listener in listeners:
            self._listeners.append(listener)
            self.loop.add_reader(listener.sock.fileno(), self._accept, listener)

    def _stop_listening(self, keep: Callable[[Listener], bool] = lambda listener: False) -> None:
        for listener in [each for each in self._listeners if not keep(each)]:
            self._listeners.remove(listener)
            self.loop.remove_reader(listener.sock.fileno())
            listener.sock.close()
            if listener.path and os.path.exists(listener.path):
                os.unlink(listener.path)

    def _relisten_tcp(self, problem: str) -> None:
        """CONFIG SET port or bind: the new sockets first, then the old ones go.

        Raises ConfigError with ``problem``; the old sockets may be closed then.
        """
        from pyredis.config import ConfigError

        config = self.config
        if self._tcp_bound == (config.bind, config.port):
            return  # the change was refused: what is open is what is wanted again
        fresh: list[Listener] = []
        if any(
            each.sock.getsockname()[1] == config.port
            for each in self._listeners
            if not each.path and not each.tls
        ):
            # An address cannot be bound twice, so the old sockets have to go first.
            self._stop_listening(keep=lambda each: bool(each.path) or each.tls)
            self._tcp_bound = None
        try:
            if config.port:
                fresh = self._open_tcp(config.port)
        except ListenError as error:
            self.log("warning", str(error))
            raise ConfigError(problem) from error
        self._stop_listening(keep=lambda each: bool(each.path) or each.tls)
        self._listen(fresh)
        self._tcp_bound = (config.bind, config.port)

    def _relisten_tls(self) -> None:
        """CONFIG SET tls-...: a new context, and new sockets if the port is another one."""
        from pyredis.config import ConfigError

        config = self.config
        if not config.tls_port:
            self._stop_listening(keep=lambda each: not each.tls)
            return
        try:
            self._tls = server_context(config)
        except TLSError as error:
            self.log("warning", str(error))
            raise ConfigError("Unable to update TLS configuration. Check server logs.") from error
        ports = {each.sock.getsockname()[1] for each in self._listeners if each.tls}
        if ports != {config.tls_port}:
            try:
                fresh = self._open_tcp(config.tls_port, tls=True)
            except ListenError as error:
                raise ConfigError("Unable to listen on this port. Check server logs.") from error
            self._stop_listening(keep=lambda each: not each.tls)
            self._listen(fresh)

    # Connections

    def _accept(self, listener: Listener) -> None:
        config = self.config
        limit = (
            config.max_new_tls_connections_per_cycle
            if listener.tls
            else config.max_new_connections_per_cycle
        )
        for _ in range(limit):  # the rest waits for the loop's next turn
            try:
                sock, peer = listener.sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.log("warning", f"Accepting client connection: {error.strerror}")
                return
            sock.setblocking(False)
            self._welcome(sock, peer, listener)

    def _welcome(self, sock: socket.socket, peer: object, listener: Listener) -> None:
        engine, config = self.engine, self.config
        if len(self.connections) >= config.maxclients:
            self._refuse(sock, _TOO_MANY)
            return
        address = _address(sock, peer, listener)
        if not address.loopback and config.protected_mode and engine.acl.default.nopass:
            self._refuse(sock, _PROTECTED)
            return
        if not listener.path:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep_alive(sock, config.tcp_keepalive)
        engine.begin_batch()
        session = engine.connect(address)
        connection: Connection
        if listener.tls:
            assert self._tls is not None
            connection = TLSConnection(sock, session, self._tls)
        else:
            connection = Connection(sock, session)
        session.wire = connection
        self.connections[connection.fd] = connection
        self._poller.add(connection.fd)

    def _refuse(self, sock: socket.socket, why: bytes) -> None:
        self.engine.stats.rejected_connections += 1
        try:
            sock.send(why)
        except OSError:
            pass  # the peer is gone already
        sock.close()

    def _drop(self, connection: Connection) -> None:
        if self.connections.pop(connection.fd, None) is None:
            return
        self._poller.remove(connection.fd)
        self.engine.disconnect(connection.session)
        connection.session.wire = None
        connection.close()

    # The batch

    def _on_ready(self, ready: Ready) -> None:
        engine = self.engine
        feed = engine.feed
        connections = self.connections
        reads = received = 0
        writable: list[Connection] = []
        start_ns = engine.clock_ns()
        engine.begin_batch()
        for fd, events in ready:
            connection = connections.get(fd)
            if connection is None:
                continue
            if events != WRITABLE:
                data = connection.read()
                if data:
                    reads += 1
                    received += len(data)
                    try:
                        feed(connection.session, data)
                    except Exception:
                        self._failed(connection)
                elif data is not None:
                    self._hung_up(connection)
                    continue
            if events & WRITABLE:
                writable.append(connection)
        stats = engine.stats
        stats.reads += reads
        stats.input_bytes += received
        self._finish(writable)
        spent_ns = engine.clock_ns() - start_ns
        stats.cycles += 1
        stats.cycles_ns += spent_ns
        if spent_ns > stats.cycle_max_ns:
            stats.cycle_max_ns = spent_ns

    def _on_event(self, event: Event) -> None:
        """Something has happened to a link to another node."""
        self.batch(partial(self.engine.deliver, event))

    def batch(self, what: Callable[[], None]) -> None:
        """Do something as a batch of its own."""
        self.engine.begin_batch()
        what()
        self._finish()

    def _serve_while_busy(self) -> None:
        """Look after all clients but the one whose script has been running for too long.

        Called from inside the command of that client, so the batch it belongs to goes on
        afterwards, and nothing here ends it.
        """
        engine = self.engine
        running = engine.running
        for listener in self._listeners:
            self._accept(listener)
        writable: list[Connection] = []
        for fd, events in self._poller.ready():
            connection = self.connections.get(fd)
            if connection is None or connection.session is running:
                continue
            data = connection.read() if events != WRITABLE else None
            if data:
                try:
                    engine.feed(connection.session, data)
                except Exception:
                    self._failed(connection)
            elif data is not None:
                self._hung_up(connection)
                continue
            if events & WRITABLE:
                writable.append(connection)
        engine.aof.feed.flush()  # replies of the batch that goes on later leave now
        if engine.exit_status is not None:
            self._stop_listening()  # before anybody sees us go
        for connection in writable:
            if connection.session.wire is connection:
                self._send(connection, writable=True)
        for session in engine.take_output():
            if session.wire is not None:
                self._send(session.wire)
        for session in engine.take_doomed():
            connection = session.wire
            if session is running:
                engine.doomed.append(session)
            elif connection is not None and (session.closing == "now" or connection.drained):
                self._drop(connection)
        if engine.exit_status is not None:
            self.on_exit(engine.exit_status)

    def _failed(self, connection: Connection) -> None:
        """A defect of ours outside of any command: one client pays, the others are served."""
        engine, session = self.engine, connection.session
        self.log(
            "warning",
            f"=== BUG REPORT: serving addr={session.address.peer} failed\n"
            f"{story(self.config.hide_user_data_from_log)}",
        )
        engine.running = None
        session.out.clear()
        engine.close(session, "now")

    def _hung_up(self, connection: Connection) -> None:
        error = getattr(connection, "error", "")
        if error:
            self.log(
                "verbose",
                f"Error accepting a client connection: {error} "
                f"(addr={connection.session.address.peer})",
            )
        self._drop(connection)

    def _finish(self, writable: Iterable[Connection] = ()) -> None:
        """The end of a batch: what it caused, then all output, then goodbyes.

        Nothing is sent before, for only now is in the log what replies tell of. ``writable`` are
        the connections that have room again.
        """
        engine = self.engine
        engine.end_batch()
        if engine.exit_status is not None:
            self._stop_listening()  # before anybody sees us go
        for connection in writable:
            if connection.session.wire is connection:
                self._send(connection, writable=True)
        for session in engine.take_output():
            if session.wire is not None:
                self._send(session.wire)
        if engine.doomed:
            for session in engine.take_doomed():
                connection = session.wire
                if connection is not None and (session.closing == "now" or connection.drained):
                    self._drop(connection)
        if engine.has_output and not self._goes_on:
            self._goes_on = True  # a file is being sent: its next piece, after the others' turn
            self.loop.call_soon(self._go_on)
        if actions := engine.take_actions():
            self._driver.perform(actions)
        deadline_ms = engine.deadline_ms()
        if deadline_ms != self._timer_ms:
            self._set_timer(deadline_ms)
        if engine.exit_status is not None:
            self.on_exit(engine.exit_status)

    def _go_on(self) -> None:
        self._goes_on = False
        self.engine.begin_batch()
        self._finish()

    def _send(self, connection: Connection, writable: bool = False) -> None:
        stats, session = self.engine.stats, connection.session
        if session.closing == "now":
            return  # what stands in ``out`` may have lost its beginning
        stats.output_bytes += connection.flush(writable)
        stats.writes += 1
        if connection.unsent or connection.want_write or connection.broken:
            if connection.broken:
                self._drop(connection)
                return
            blocked = bool(connection.unsent)
            if blocked != connection.want_write:
                connection.want_write = blocked
                self._poller.want_write(connection.fd, blocked)
        if session.source is not None and connection.drained:
            self.engine.refill(session)
        if session.closing == "reply" and connection.drained:
            self._drop(connection)

    # Time

    def _set_timer(self, deadline_ms: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_ms = deadline_ms
        if deadline_ms is not None:
            wait_s = max(0, deadline_ms - self.engine.clock.now_ms()) / 1000
            self._timer = self.loop.call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_ms = None
        self.engine.begin_batch()
        self._finish()

    def _on_cron(self) -> None:
        self._cron = self.loop.call_later(1 / self.config.hz, self._on_cron)
        engine, stats = self.engine, self.engine.stats
        start_ns = engine.clock_ns()
        engine.begin_batch()
        engine.cron()
        spent_ns = engine.clock_ns() - start_ns
        stats.cron_ns += spent_ns
        stats.cycles += 1
        stats.cycles_ns += spent_ns
        self._sweep_clients()
        self._finish()

    def _sweep_clients(self) -> None:
        """Look after a share of the clients, so that each gets its turn about once a second."""
        if not self._sweep:
            self._sweep = list(self.connections.values())
        share = max(5, len(self.connections) // self.config.hz)
        timeout_ms = self.config.timeout * 1000
        now_ms = self.engine.now_ms
        for connection in self._sweep[-share:]:
            session = connection.session
            if session.closing == "now":
                continue
            if session.unsent_bytes:
                check_output(self.engine, session)
            if (
                timeout_ms
                and now_ms - session.last_ms > timeout_ms
                and not session.blocked
                and _may_time_out(session)
            ):
                self.log("verbose", "Closing idle client")
                self.engine.close(session, "now")
        del self._sweep[-share:]


def _may_time_out(session: Session) -> bool:
    # A replica may be silent for as long as its copy takes, and has a timeout of its own.
    return session.kind == "normal" and not session.monitor


def config_names(config: Config) -> list[str]:
    """All directive names."""
    from pyredis.config import TABLE

    return [row.name for row in TABLE]


def bundle_output(session: Session) -> None:
    """Let the kernel wait for more before it sends little: fewer packets, some delay."""
    if session.wire is not None and not session.address.unix:
        session.wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)


def _address(sock: socket.socket, peer: object, listener: Listener) -> Address:
    if listener.path:
        name = f"{listener.path}:0"
        return Address(name, name, sock.fileno(), unix=True)
    host, port = peer[:2]  # type: ignore[index]
    try:
        local_host, local_port = sock.getsockname()[:2]
    except OSError:
        local_host, local_port = "?", 0
    return Address(
        joined(host, port),
        joined(local_host, local_port),
        sock.fileno(),
        tls=listener.tls,
        loopback=host == "::1" or host.startswith(("127.", "::ffff:127.")),
    )
