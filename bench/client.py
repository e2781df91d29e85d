"""The smallest Redis client that the measurements need: one command, one reply line.

A client library would bring its own cost and its own retries into the figures. Here a command is
encoded by hand and only the first line of the reply is read, which is enough for PING, FLUSHALL,
DBSIZE and SET. `info` is the one exception: it reads a bulk reply whole.
"""

import socket

HOST = "127.0.0.1"
TIMEOUT_S = 60.0


class ReplyError(RuntimeError):
    """The server answered with an error, or closed the connection."""


def encode_command(*args: bytes) -> bytes:
    """Return the RESP array of bulk strings that asks for one command."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        parts.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(parts)


def connect(port: int) -> socket.socket:
    """Return a connected socket; OSError when nobody listens on the port."""
    return socket.create_connection((HOST, port), timeout=TIMEOUT_S)


def read_line(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return the first reply line without CRLF, and what was read beyond it."""
    received = b""
    while b"\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            raise ReplyError("the server closed the connection")
        received += chunk
    line, rest = received.split(b"\r\n", 1)
    return line, rest


def call(port: int, *args: bytes) -> bytes:
    """Return the first line of one command's reply; ReplyError when it is an error."""
    with connect(port) as connection:
        connection.sendall(encode_command(*args))
        line, _ = read_line(connection)
    if line.startswith(b"-"):
        raise ReplyError(line.decode(errors="replace"))
    return line


def info(port: int, section: bytes) -> dict[str, str]:
    """Return the fields of one INFO section as a dict."""
    with connect(port) as connection:
        connection.sendall(encode_command(b"INFO", section))
        line, text = read_line(connection)
        if not line.startswith(b"$"):
            raise ReplyError(line.decode(errors="replace"))
        while len(text) < int(line[1:]):
            chunk = connection.recv(65536)
            if not chunk:
                raise ReplyError("the server closed the connection")
            text += chunk
    pairs = (row.split(":", 1) for row in text.decode().splitlines() if ":" in row)
    return dict(pairs)
