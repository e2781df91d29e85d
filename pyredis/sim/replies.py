"""Reading replies: what a client of a simulated server sees, in RESP2 or RESP3.

    simple string   Status("OK")       integer   int            null      None
    error           Failure("ERR ..")  bulk      bytes          array     list
    map             dict, set          list      double         float     push      Push([...])

Bytes may come in any pieces. ``show`` prints a reply on one line, ``text`` gives the plain text
that expectations compare with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Reply = Any

_CRLF = b"\r\n"


class Status(str):
    """A simple string."""

    __slots__ = ()


class Failure(str):
    """An error reply."""

    __slots__ = ()


NO_ANSWER = Failure("NOANSWER the server does not answer")
"""In place of the reply of a server that is down, or busy with something else."""


class Push(list[Any]):
    """A RESP3 push message."""


class _Short(Exception):
    """More bytes are needed."""


class ReplyReader:
    """Takes bytes, gives replies. O(bytes) but for a reply that comes in many pieces."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def receive(self, data: bytes) -> None:
        """Bytes have come."""
        self._buffer = self._buffer + data if self._buffer else data

    def replies(self) -> Iterator[Reply]:
        """All replies that are complete. Raises ValueError for bytes that are none."""
        while self._buffer:
            try:
                reply, end = _parse(self._buffer, 0)
            except _Short:
                return
            self._buffer = self._buffer[end:]
            yield reply


def _parse(data: bytes, at: int) -> tuple[Reply, int]:
    end = data.find(_CRLF, at)
    if end < 0:
        raise _Short
    kind, line, after = data[at : at + 1], data[at + 1 : end], end + 2
    if kind == b"+":
        return Status(line.decode("utf-8", "surrogateescape")), after
    if kind == b":":
        return int(line), after
    if kind == b"-":
        return Failure(line.decode("utf-8", "surrogateescape")), after
    if kind in b"$=" and kind:
        size = int(line)
        if size < 0:
            return None, after
        if len(data) < after + size + 2:
            raise _Short
        skip = 4 if kind == b"=" else 0
        return data[after + skip : after + size], after + size + 2
    if kind in b"*~>" and kind:
        size = int(line)
        if size < 0:
            return None, after
        items: list[Any] = Push() if kind == b">" else []
        for _ in range(size):
            item, after = _parse(data, after)
            items.append(item)
        return items, after
    if kind == b"%":
        pairs: list[Any] = []
        for _ in range(2 * int(line)):
            item, after = _parse(data, after)
            pairs.append(item)
        return dict(zip(map(text, pairs[::2]), pairs[1::2], strict=True)), after
    if kind == b"_":
        return None, after
    if kind == b"#":
        return int(line == b"t"), after
    if kind == b",":
        return float(line), after
    if kind == b"(":
        return int(line), after
    raise ValueError(f"not a reply: {data[at : at + 40]!r}")


def text(reply: Reply) -> str:
    """The reply as plain text: ``redis-cli``'s raw form, elements separated by blanks."""
    if reply is None:
        return "(nil)"
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "surrogateescape")
    if isinstance(reply, list):
        return " ".join(map(text, reply))
    if isinstance(reply, dict):
        return " ".join(f"{key} {text(value)}" for key, value in reply.items())
    return str(reply)


def show(reply: Reply, size_max: int = 120) -> str:
    """The reply on one line, errors marked, cut where it gets too long."""
    shown = text(reply).replace("\r\n", " ").replace("\n", " ")
    if isinstance(reply, Failure):
        shown = f"(error) {shown}"
    elif isinstance(reply, list):
        shown = f"[{shown}]"
    return shown if len(shown) <= size_max else f"{shown[:size_max]}..."
