"""A plain blocking client for the tools: one connection, one command at a time, RESP2."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, NamedTuple, cast

from pyredis.resp import encode_command
from pyredis.tools.console import CHUNK_BYTES, ToolError, reason

TIMEOUT_S: Final = 30.0
_MARK_BYTES: Final = 40
_LINE_MAX_BYTES: Final = 1 << 16


class Target(NamedTuple):
    """Where a node is, and how to get in."""

    host: str = "127.0.0.1"
    port: int = 6379
    unix_path: str = ""
    user: str = ""
    password: str = ""
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    insecure: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return self.unix_path or f"{self.host}:{self.port}"


class Refused(ToolError):
    """The node has replied with an error."""


class Client:
    """A connection. Raises ToolError for whatever goes wrong."""

    def __init__(self, target: Target, timeout_s: float = TIMEOUT_S) -> None:
        """Connects, and logs in if there is a password."""
        self.target = target
        try:
            self._socket = _connect(target, timeout_s)
        except (OSError, ssl.SSLError) as error:
            text = reason(error)
            raise ToolError(f"Could not connect to Redis at {target.name}: {text}") from error
        self._file = cast(BinaryIO, self._socket.makefile("rb"))
        if target.password:
            login = [target.user, target.password] if target.user else [target.password]
            self("AUTH", *login)

    def __call__(self, *words: str | bytes) -> Any:
        """The reply to a command. Raises Refused for an error."""
        argv = [word.encode() if isinstance(word, str) else word for word in words]
        try:
            self._socket.sendall(encode_command(argv))
            return self._reply()
        except OSError as error:
            raise ToolError(f"{self.target.name}: {reason(error)}") from error

    def config(self, name: str) -> str:
        """The value of a directive. Raises Refused."""
        pair = self("CONFIG", "GET", name)
        return pair[1].decode("utf-8", "surrogateescape") if len(pair) == 2 else ""

    def info(self, section: str) -> dict[str, str]:
        """The fields of a section of INFO."""
        lines = self("INFO", section).decode("utf-8", "replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def dump(self) -> Iterator[bytes]:
        """Have the node send its data as an RDB file, as to a replica; the chunks of that file.

        The connection is of no other use afterwards.
        """
        for words in (("REPLCONF", "capa", "eof"), ("REPLCONF", "rdb-only", "1")):
            try:
                self(*words)
            except Refused:
                pass  # an old node: it does without
        try:
            self._socket.sendall(encode_command([b"SYNC"]))
            head = self._line()
            while not head:  # the node lives, and is not ready yet
                head = self._line()
            if head.startswith(b"$EOF:"):
                yield from self._until(head[5:])
            elif head[:1] == b"$" and head[1:].isdigit():
                yield from self._sized(int(head[1:]))
            else:
                raise Refused(f"{self.target.name}: SYNC refused: {_text(head[1:])}")
        except OSError as error:
            raise ToolError(f"{self.target.name}: {reason(error)}") from error

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()

    def _sized(self, size: int) -> Iterator[bytes]:
        while size:
            chunk = self._file.read(min(size, CHUNK_BYTES))
            if not chunk:
                raise ToolError(f"{self.target.name}: connection closed within the dump")
            size -= len(chunk)
            yield chunk

    def _until(self, mark: bytes) -> Iterator[bytes]:
        """The bytes up to a mark; it may be cut anywhere by the chunks."""
        if len(mark) != _MARK_BYTES:
            raise ToolError(f"{self.target.name}: odd beginning of a dump")
        held = b""
        read = getattr(self._file, "read1", self._file.read)
        while True:
            chunk = read(CHUNK_BYTES)
            if not chunk:
                raise ToolError(f"{self.target.name}: connection closed within the dump")
            held += chunk
            if held.endswith(mark):
                yield held[:-_MARK_BYTES]
                return
            yield held[:-_MARK_BYTES]
            held = held[-_MARK_BYTES:]

    def _line(self) -> bytes:
        line = self._file.readline(_LINE_MAX_BYTES)
        if not line.endswith(b"\n"):
            raise ToolError(f"{self.target.name}: connection closed")
        return line.rstrip(b"\r\n")

    def _reply(self) -> Any:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise Refused(f"{self.target.name}: {_text(rest)}")
        if kind == b"+":
            return rest
        if kind not in (b":", b"$", b"*") or not rest.removeprefix(b"-").isdigit():
            raise ToolError(f"{self.target.name}: this is no Redis: {_text(line[:60])}")
        number = int(rest)
        if kind == b":":
            return number
        if kind == b"*":
            return [self._reply() for _ in range(number)]
        return b"".join(self._sized(number + 2))[:-2] if number >= 0 else None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _connect(target: Target, timeout_s: float) -> socket.socket:
    if target.unix_path:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(timeout_s)
        made.connect(target.unix_path)
        return made
    made = socket.create_connection((target.host, target.port), timeout_s)
    if not target.tls:
        return made
    context = ssl.create_default_context(cafile=target.ca_file or None)
    if target.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if target.cert_file:
        context.load_cert_chain(target.cert_file, target.key_file or None)
    return context.wrap_socket(made, server_hostname=target.host)


def is_listening(target: Target) -> bool:
    """Whether somebody takes connections there."""
    try:
        _connect(target._replace(tls=False), 1.0).close()
    except OSError:
        return False
    return True
