"""Taking an append-only file apart: bytes in, items out, and how far all is well. No I/O.

A file is a sequence of *items*: requests as RESP arrays, and annotations, lines that begin
with ``#`` (``#TS:1700000000`` tells when the next request was made). A base may begin with an
RDB file, which ``Preamble`` in ``reader.py`` takes; what is here comes behind it.

Three ways for a file to be less than whole, told apart by ``take``:

* *cut*: the last item ends too early. A crash does that, and the rest is good.
* *open*: the last MULTI has no EXEC. Everything from MULTI on must not take effect.
* *malformed*: a byte that cannot be there. What follows is no help in telling why.

Departures from Redis, which looks at less: the line end behind an argument must be there, so
a tail of zeros is never taken for the end of a value; an annotation without its line end
is cut (Redis takes it for whole, and the next request would be written into it).

Cost: a microsecond or two an item; the server loads through the hot path where it can, and
comes here for the rest (``aof_loading.py``).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_HEADER: Final = re.compile(rb"\*([1-9][0-9]{0,9})\r\n")
_SIZE: Final = re.compile(rb"\$(0|[1-9][0-9]{0,9})\r\n")
_SIZE_START: Final = re.compile(rb"(?:\$(?:(?:0|[1-9][0-9]{0,9})\r?)?)?\Z")
_HEADER_START: Final = re.compile(rb"(?:\*(?:[1-9][0-9]{0,9}\r?)?)?\Z")
_TIMESTAMP: Final = re.compile(rb"#TS:([0-9]+)\Z")
_ANNOTATION_MAX_BYTES: Final = 1024
_OUTSIDE: Final = -1


class Cut(Exception):
    """The data end before the item does. ``wanted`` is where it ends at the earliest."""

    def __init__(self, wanted: int) -> None:
        super().__init__(wanted)
        self.wanted = wanted


class Malformed(Exception):
    """A byte that cannot be in an append-only file. ``offset`` is where."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} at offset {offset}")
        self.reason = reason
        self.offset = offset


class Annotation(NamedTuple):
    """A line for people and tools. ``time_s`` is what a timestamp says."""

    text: bytes
    time_s: int | None


class Item(NamedTuple):
    """A request (``argv``) or an annotation, and which bytes of the file it takes."""

    start: int
    end: int
    argv: list[bytes]
    annotation: Annotation | None = None


def take(data: bytes, at: int) -> tuple[list[bytes], int]:
    """The request that begins at ``at``, and where it ends; [] for an annotation.

    Raises Cut if there is not enough of it, Malformed (with an offset in ``data``) if what
    there is cannot be the beginning of one.
    """
    if data.startswith(b"#", at):
        end = data.find(b"\n", at, at + _ANNOTATION_MAX_BYTES)
        if end < 0:
            if len(data) - at < _ANNOTATION_MAX_BYTES and b"\0" not in data[at:]:
                raise Cut(len(data) + 1)
            raise Malformed("an annotation that does not end", at)
        return [], end + 1
    head = _HEADER.match(data, at)
    if head is None:
        if _HEADER_START.match(data, at):
            raise Cut(len(data) + 1)
        raise Malformed("neither a request nor an annotation", at)
    argv: list[bytes] = []
    pos = head.end()
    left = int(head[1])
    size = len(data)
    while left:
        found = _SIZE.match(data, pos)
        if found is None:
            if _SIZE_START.match(data, pos):
                raise Cut(max(size + 1, pos + 6 * left))
            raise Malformed("no length of an argument", pos)
        start = found.end()
        end = start + int(found[1])
        if data[end : end + 2] != b"\r\n":
            if end + 2 > size and data[end : end + 2] in (b"", b"\r"):
                raise Cut(end + 2 + 6 * (left - 1))
            raise Malformed("an argument that does not end where it should", end)
        argv.append(data[start:end])
        pos = end + 2
        left -= 1
    return argv, pos


class AofReader:
    """Takes a file apart, chunk by chunk. ``start`` is where in the file it begins.

    ``good`` is the offset up to which everything is whole: behind the last item that is not
    part of an open MULTI. ``multi`` is where that begins, -1 outside of one.
    """

    def __init__(self, start: int = 0) -> None:
        self.good = start
        self.multi = _OUTSIDE
        self.offset = start  # of the first byte not taken yet
        self._held = b""
        self._wanted = 1
        self._failure: Malformed | None = None

    def feed(self, chunk: bytes) -> list[Item]:
        """The items that are whole now. Raises Malformed, after all items before the damage."""
        if self._failure is not None:
            raise self._failure
        data = self._held = self._held + chunk if self._held else chunk
        if len(data) < self._wanted:
            return []
        items: list[Item] = []
        at = 0
        try:
            while at < len(data):
                argv, end = take(data, at)
                items.append(self._item(data, at, end, argv))
                at = end
            self._wanted = 1
        except Cut as cut:
            self._wanted = cut.wanted - at
        except Malformed as error:
            self._failure = Malformed(error.reason, self.offset + error.offset)
            if not items:
                raise self._failure from None
        self._held = data[at:]
        self.offset += at
        return items

    def _item(self, data: bytes, at: int, end: int, argv: list[bytes]) -> Item:
        start = self.offset + at
        if not argv:
            text = data[at:end].rstrip(b"\r\n")
            stamp = _TIMESTAMP.match(text)
            annotation = Annotation(text, int(stamp[1]) if stamp else None)
            if self.multi == _OUTSIDE:
                self.good = self.offset + end
            return Item(start, self.offset + end, argv, annotation)
        if len(argv) == 1:
            name = argv[0].lower()
            if name == b"multi" and self.multi == _OUTSIDE:
                self.multi = start
            elif name == b"exec":
                self.multi = _OUTSIDE
        if self.multi == _OUTSIDE:
            self.good = self.offset + end
        return Item(start, self.offset + end, argv)

    def finish(self) -> str:
        """The file is over: "" if it is whole, "cut" or "open" if not. Raises Malformed."""
        if self._failure is not None:
            raise self._failure
        if self._held:
            return "cut"
        return "" if self.multi == _OUTSIDE else "open"
