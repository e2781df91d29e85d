"""Links to other nodes: performs what the machines ask for, on real sockets.

Shell. A machine asks with ``Connect``, ``Send``, ``Hold``, ``Resume`` and ``Close`` and hears
``Connected``, ``Received`` and ``Lost`` (``machine.py`` is the contract). Each of these is told in
a batch of its own, from a callback of the loop: never from inside ``perform``, which runs at the
end of a batch and must not begin another.

Names are resolved by the loop's resolver, which has threads of its own. All addresses of a name
are tried in turn. What the kernel does not take at once is kept, without limit: links carry
requests and acknowledgements, and the machine that sends too much has itself to blame.

Links are watched as clients are, by a poller of our own: uvloop's readers are never called again
when the other side resets a connection while data are still to be read.

With TLS, OpenSSL works on memory buffers between the socket and the machine, and ``Connected``
is told when the handshake is over.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from pyredis.machine import Action, Close, Connect, Connected, Event, Hold, Lost, Received, Send
from pyredis.net.connection import joined, keep_alive
from pyredis.net.poller import WRITABLE, Ready, best_poller
from pyredis.net.tls import TLSError, client_context
from pyredis.session import Address

if TYPE_CHECKING:
    from pyredis.config import Config

READ_BYTES: Final = 28 << 10
"""A read, with the beginning of a request kept from the last one, fits the engine's fast path."""

_CLOSED: Final = "Connection closed by the other side"

AddressInfo = tuple[Any, ...]
"""One answer of ``getaddrinfo``: family, kind, protocol, canonical name, address."""


class Driver:
    """Holds the sockets of all links of one server."""

    def __init__(
        self,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        deliver: Callable[[Event], None],
        uses_tls: Callable[[], bool] = lambda: False,
    ) -> None:
        """``deliver`` gets each event, outside of any batch; ``uses_tls`` is asked for a link."""
        self.config = config
        self.loop = loop
        self.deliver = deliver
        self.uses_tls = uses_tls
        self._links: dict[int, Link] = {}
        self._poller = best_poller(loop, self._on_ready)
        self._watched: dict[int, Link] = {}  # by descriptor

    def perform(self, actions: Iterable[Action]) -> None:
        """Do what a machine asks for. Raises nothing: what fails is told later, as ``Lost``."""
        for action in actions:
            if isinstance(action, Connect):
                self._connect(action)
            elif (link := self._links.get(action.link)) is not None:
                if isinstance(action, Close):
                    del self._links[action.link]
                    link.close()
                elif isinstance(action, Send):
                    link.send(action.data)
                elif isinstance(action, Hold):
                    link.hold()
                else:
                    link.resume()

    def sockets(self) -> list[int]:
        """The descriptors of all links: what a child gives back."""
        return [link.fd for link in self._links.values() if link.fd >= 0]

    def close(self) -> None:
        """End all links; nothing is told of them."""
        while self._links:
            self._links.popitem()[1].close()
        self._poller.close()

    # What the links ask for

    def watch(self, link: Link) -> None:
        """Call ``on_ready`` of the link whenever its socket has something to say."""
        self._watched[link.fd] = link
        self._poller.add(link.fd)

    def want_write(self, link: Link, wanted: bool) -> None:
        """The same for when there is room to write; or not any more."""
        self._poller.want_write(link.fd, wanted)

    def unwatch(self, link: Link) -> None:
        """Call it no more. Does nothing if it is not watched."""
        if self._watched.get(link.fd) is link:
            del self._watched[link.fd]
            self._poller.remove(link.fd)

    def _on_ready(self, ready: Ready) -> None:
        for link, events in [(self._watched.get(fd), events) for fd, events in ready]:
            if link is not None and self._watched.get(link.fd) is link:
                link.on_ready(events)

    def tell(self, event: Event) -> None:
        """Something has happened to a link that the machine has not closed."""
        if event.link in self._links:  # type: ignore[union-attr]
            if isinstance(event, Lost):
                self._links.pop(event.link).close()
            self.deliver(event)

    def _connect(self, action: Connect) -> None:
        try:
            context = client_context(self.config) if self.uses_tls() else None
        except TLSError as error:
            self._links[action.link] = Link(self, action)
            self.loop.call_soon(self.tell, Lost(action.link, str(error)))
            return
        link = TLSLink(self, action, context) if context is not None else Link(self, action)
        self._links[action.link] = link
        link.open()


class Link:
    """One connection: resolving, connecting, open, or closed."""

    def __init__(self, driver: Driver, action: Connect) -> None:
        self.number = action.link
        self.fd = -1
        self._driver = driver
        self._loop = driver.loop
        self._host, self._port = action.host, action.port
        self._resolving: asyncio.Future[Any] | None = None
        self._addresses: deque[AddressInfo] = deque()
        self._sock: socket.socket | None = None
        self._unsent: deque[bytes] = deque()
        self._waits_for_room = False
        self._is_connected = False
        self._is_open = False  # connected, and with TLS the handshake is over
        self._is_lost = False
        self._is_deaf = False  # nothing can be sent any more
        self._is_held = False  # nothing is read

    # Opening

    def open(self) -> None:
        """Begin to connect."""
        try:  # an address needs no resolver, so nothing waits for one
            found = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
        except (OSError, UnicodeError):
            self._resolving = asyncio.ensure_future(
                self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM),
                loop=self._loop,
            )
            self._resolving.add_done_callback(self._resolved)
            return
        self._addresses.extend(found)
        self._try_next()

    def _resolved(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            return
        self._resolving = None
        error = future.exception()
        if error is not None:
            self._lose(_reason(error) if isinstance(error, OSError) else str(error))
            return
        self._addresses.extend(future.result())
        self._try_next()

    def _try_next(self, reason: str = "the host has no address") -> None:
        """Connect to the next address; ``reason`` is what the last one failed with."""
        while self._addresses:
            family, kind, protocol, _, address = self._addresses.popleft()
            try:
                self._begin(socket.socket(family, kind, protocol), address)
                return
            except OSError as error:
                self._forget_socket()
                reason = _reason(error)
        self._lose(reason)

    def _begin(self, sock: socket.socket, address: Any) -> None:
        """Raises OSError."""
        self._sock = sock
        sock.setblocking(False)
        if source := self._driver.config.bind_source_addr:
            sock.bind((source, 0))
        try:
            sock.connect(address)
        except BlockingIOError:
            pass
        self.fd = sock.fileno()
        self._driver.watch(self)
        self._driver.want_write(self, True)

    def on_ready(self, events: int) -> None:
        """The socket has something to say."""
        if not self._is_connected:
            self._connected()
            return
        if events & WRITABLE:
            self._flush()
        if events != WRITABLE and self.fd >= 0 and not self._is_lost:
            self._on_readable()

    def _connected(self) -> None:
        """The attempt has come to its end, one way or the other."""
        assert self._sock is not None
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._forget_socket()
            self._try_next(os.strerror(code))
            return
        self._is_connected = True
        self._driver.want_write(self, False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(self._sock, self._driver.config.tcp_keepalive)
        self._begin_talk()

    def _begin_talk(self) -> None:
        """Bytes can flow now."""
        self._opened()

    def _opened(self) -> None:
        assert self._sock is not None
        self._is_open = True
        try:
            peer, local = self._sock.getpeername(), self._sock.getsockname()
        except OSError as error:  # ended before it was looked at
            self._lose(_reason(error))
            return
        ends = Address(joined(*peer[:2]), joined(*local[:2]), self.fd)
        self._driver.tell(Connected(self.number, ends))

    # Open

    def _on_readable(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(_reason(error))
            return
        if data:
            self._received(data)
        else:
            self._ended()

    def _received(self, data: bytes) -> None:
        self._driver.tell(Received(self.number, data))

    def _ended(self) -> None:
        self._lose(_CLOSED)

    def send(self, data: bytes) -> None:
        """Send bytes, now or as soon as there is room."""
        if self._is_open:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self._is_lost or self._is_deaf or self._sock is None:
            return
        self._unsent.append(data)
        if not self._waits_for_room:
            self._flush()

    def _flush(self) -> None:
        sock, unsent = self._sock, self._unsent
        assert sock is not None
        try:
            while unsent:
                sent = sock.send(unsent[0])
                if sent == len(unsent[0]):
                    unsent.popleft()
                else:
                    unsent[0] = unsent[0][sent:]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            # The link is dead. What came before it died is read first; then the reader tells.
            unsent.clear()
            self._is_deaf = True
        if bool(unsent) != self._waits_for_room:
            self._waits_for_room = bool(unsent)
            if not self._is_held:
                self._driver.want_write(self, self._waits_for_room)

    def hold(self) -> None:
        """Leave what comes with the kernel, and in the end with the other side."""
        if self._is_open and not self._is_lost and not self._is_held:
            self._is_held = True
            self._driver.unwatch(self)

    def resume(self) -> None:
        """Read again; that the link was lost meanwhile is told now."""
        if self._is_held and not self._is_lost:
            self._is_held = False
            self._driver.watch(self)
            self._driver.want_write(self, self._waits_for_room)

    # Ending

    def _lose(self, reason: str) -> None:
        """Tell that the link is gone, in a callback of its own."""
        if not self._is_lost:
            self._is_lost = True
            self._stop_watching()
            self._loop.call_soon(self._driver.tell, Lost(self.number, reason))

    def close(self) -> None:
        """End the link: what the kernel has taken goes out, the rest does not."""
        if self._resolving is not None:
            self._resolving.cancel()
            self._resolving = None
        self._forget_socket()

    def _forget_socket(self) -> None:
        self._stop_watching()
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self.fd = -1

    def _stop_watching(self) -> None:
        self._driver.unwatch(self)
        self._waits_for_room = False


class TLSLink(Link):
    """A connection with TLS on it."""

    def __init__(self, driver: Driver, action: Connect, context: ssl.SSLContext) -> None:
        super().__init__(driver, action)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)

    def _begin_talk(self) -> None:
        self._shake_hands()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._push()
            return
        except ssl.SSLError as error:
            self._push()  # the alert that tells the other side why
            self._lose(_tls_reason(error))
            return
        self._push()
        self._opened()

    def _received(self, data: bytes) -> None:
        self._incoming.write(data)
        if not self._is_open:
            self._shake_hands()
            if not self._is_open:
                return
        pieces: list[bytes] = []
        try:
            while piece := self._tls.read(READ_BYTES):
                pieces.append(piece)
            self._lose(_CLOSED)  # an empty read is the other side's farewell
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._lose(_tls_reason(error))
        self._push()
        if pieces:
            super()._received(b"".join(pieces))

    def send(self, data: bytes) -> None:
        """Encrypt and send."""
        if not self._is_open or self._is_lost:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._lose(_tls_reason(error))
            return
        self._push()

    def _push(self) -> None:
        if self._outgoing.pending:
            self._write(self._outgoing.read())


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _tls_reason(error: ssl.SSLError) -> str:
    return getattr(error, "verify_message", "") or error.reason or str(error)
