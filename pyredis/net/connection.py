"""One client's socket: bytes in for its session, the session's output out.

Shell. Sockets never block. ``flush`` hands over what the engine left in ``session.out``;
what the kernel does not take stays in ``unsent`` until there is room, and until then nothing
is tried: a subscriber that never reads costs no more than the queueing of its messages. TLS
is the same connection with OpenSSL between: its memory buffers neither know nor need a socket.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from itertools import islice

from pyredis.session import Session

READ_BYTES = 16384
READ_MAX_BYTES = 1 << 20
_PIECES_MAX = 256
_WRITE_MAX_BYTES = 1 << 20
"""What one connection may write before the others get their turn."""


class Connection:
    """A plain TCP or Unix connection."""

    def __init__(self, sock: socket.socket, session: Session) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.session = session
        self.want_write = False  # the poller will tell when there is room
        self.broken = False
        self.unsent: deque[bytes | memoryview] = deque()
        self._recv = sock.recv
        self._send = sock.send

    def read(self) -> bytes | None:
        """What has arrived; b"" when the peer has closed, None when there is nothing."""
        try:
            if self.session.held and self.session.wanted_bytes > READ_BYTES:
                return self._recv(min(self.session.wanted_bytes, READ_MAX_BYTES))
            return self._recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def flush(self, writable: bool = False) -> int:
        """Send what can be sent now; returns the number of bytes.

        Output waits behind what was not sent before until ``writable`` says that there is
        room. Afterwards ``session.unsent_bytes`` says what is left and ``broken`` whether the
        connection turned out to be dead.
        """
        out = self.session.out
        if not self.unsent:
            if not out:
                return 0
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            try:
                sent = self._send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self.broken = True
                return 0
            if sent < len(data):
                self.unsent.append(memoryview(data)[sent:])
                self._count_unsent(len(data) - sent)
            return sent
        self.unsent.extend(out)
        self._count_unsent(sum(map(len, out)))
        out.clear()
        if self.want_write and not writable:
            return 0
        total = 0
        try:
            while self.unsent and total < _WRITE_MAX_BYTES:
                sent = self.sock.sendmsg(list(islice(self.unsent, _PIECES_MAX)))
                total += sent
                self._consume(sent)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.broken = True
        self._count_unsent(-total)
        return total

    def _consume(self, count: int) -> None:
        unsent = self.unsent
        while count:
            piece = unsent[0]
            if count < len(piece):
                unsent[0] = memoryview(piece)[count:]
                return
            count -= len(piece)
            unsent.popleft()

    def _count_unsent(self, more_bytes: int) -> None:
        self.session.unsent_bytes += more_bytes
        self.session.unsent_pieces = len(self.unsent)

    @property
    def drained(self) -> bool:
        """Whether all output is with the kernel."""
        return not self.unsent and not self.session.out

    def close(self) -> None:
        """Close the socket; output not sent is lost."""
        self.unsent.clear()
        self.sock.close()


class TLSConnection(Connection):
    """A connection with TLS on it."""

    def __init__(self, sock: socket.socket, session: Session, context: ssl.SSLContext) -> None:
        super().__init__(sock, session)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._ready = False
        self.error = ""

    def read(self) -> bytes | None:
        """Decrypted input; b"" at the end and after a failed handshake (see ``error``)."""
        data = super().read()
        if data is None:
            return None
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        pieces: list[bytes] = []
        try:
            if not self._ready:
                self._tls.do_handshake()
                self._ready = True
            while True:
                piece = self._tls.read(READ_MAX_BYTES)
                if not piece:
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            if not data:
                return b""
        except ssl.SSLError as error:
            self.error = error.reason or str(error)
            self._push()
            return b""
        self._push()
        if pieces:
            return b"".join(pieces)
        return None if data else b""

    def flush(self, writable: bool = False) -> int:
        """Encrypt and send what can be sent now."""
        out = self.session.out
        if out and self._ready:
            data = b"".join(out)
            out.clear()
            try:
                self._tls.write(data)
            except ssl.SSLError as error:
                self.error = error.reason or str(error)
                self.broken = True
                return 0
        return self._push(writable)

    def _push(self, writable: bool = False) -> int:
        held = self.session.out[:]
        self.session.out[:] = [self._outgoing.read()] if self._outgoing.pending else []
        try:
            return super().flush(writable)
        finally:
            self.session.out[:] = held


def joined(host: str, port: int) -> str:
    """An address as CLIENT LIST has it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def keep_alive(sock: socket.socket, interval_s: int) -> None:
    """Probe a silent peer after ``interval_s`` and give it up after about twice that."""
    if not interval_s:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, interval_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, interval_s // 3))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
