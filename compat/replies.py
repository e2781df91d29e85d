"""Replies as values that keep their type, so that equality means "the same on the wire".

    bulk string    bytes          integer   int         array       list
    null (either)  None           *-1       NULL_ARRAY
    all others     (sign, value): ("+", b"OK"), ("-", b"ERR ..."), (",", b"1.5"), ("%", [...])

Maps, sets and pushes hold a flat list. The parser works on whole buffers and raises
``Incomplete`` when the buffer ends early; the caller keeps the bytes and tries again.
"""

from __future__ import annotations

from typing import Any, Final

NULL_ARRAY: Final = ("*", None)
_LISTS: Final = {0x2A: "*", 0x7E: "~", 0x3E: ">", 0x25: "%"}
_TEXTS: Final = {0x2B: "+", 0x2D: "-", 0x2C: ",", 0x23: "#", 0x28: "("}
_MESSAGES: Final = ([b"message"], [b"pmessage"], [b"smessage"])


class Incomplete(Exception):
    """The bytes end inside a reply."""


def parse(data: bytes, at: int = 0, aside: list[Any] | None = None) -> tuple[Any, int]:
    """The reply that begins at ``at``, and where the next one begins.

    Messages that stand inside an array are no elements of it; they go into ``aside``.
    """
    end = data.find(b"\r\n", at)
    if end < 0:
        raise Incomplete
    sign = data[at]
    after = end + 2
    if sign == 0x24 or sign == 0x3D:  # $ and =
        size = int(data[at + 1 : end])
        if size < 0:
            return None, after
        end = after + size
        if len(data) < end + 2:
            raise Incomplete
        text = data[after:end]
        return (text if sign == 0x24 else ("=", text)), end + 2
    if sign == 0x3A:  # :
        return int(data[at + 1 : end]), after
    kind = _TEXTS.get(sign)
    if kind is not None:
        return (kind, data[at + 1 : end]), after
    kind = _LISTS.get(sign)
    if kind is not None:
        count = int(data[at + 1 : end])
        if count < 0:
            return NULL_ARRAY, after
        items = []
        for _ in range(count * 2 if kind == "%" else count):
            item, after = parse(data, after, aside)
            while aside is not None and is_message(item):
                aside.append(item)
                item, after = parse(data, after, aside)
            items.append(item)
        return (items if kind == "*" else (kind, items)), after
    if sign == 0x5F:  # _
        return None, after
    raise ValueError(f"not a reply: {data[at : at + 60]!r}")


def parse_all(data: bytes) -> list[Any]:
    """All replies in ``data``, which must be whole."""
    found = []
    at = 0
    while at < len(data):
        reply, at = parse(data, at)
        found.append(reply)
    return found


def is_error(reply: Any) -> bool:
    """Whether it is an error reply."""
    return type(reply) is tuple and reply[0] == "-"


def is_message(reply: Any) -> bool:
    """Whether it is a message to a subscriber, in either protocol."""
    elements = reply[1] if type(reply) is tuple else reply
    return type(elements) is list and elements[:1] in _MESSAGES


def items(reply: Any) -> list[Any] | None:
    """The elements of an array, set, map or push; None for anything else."""
    if type(reply) is list:
        return reply
    if type(reply) is tuple and type(reply[1]) is list:
        return reply[1]
    return None


def show(reply: Any) -> str:
    """One line for people."""
    if type(reply) is tuple:
        sign, value = reply
        if type(value) is list:
            return str(sign) + show(value)
        return "(null array)" if value is None else str(sign) + str(value, "latin-1")
    if type(reply) is list:
        return "[" + ", ".join(map(show, reply)) + "]"
    return "(null)" if reply is None else repr(reply)[1:] if type(reply) is bytes else str(reply)
