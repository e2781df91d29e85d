"""The Redis serialization protocol, versions 2 and 3: replies out, requests in.

Theory. Handlers return plain Python values; this file alone knows what they look
like on the wire, in the version a client asked for with HELLO:

    value                RESP2                       RESP3
    None                 $-1                         _
    bytes, bytearray     $5 hello                    $5 hello
    int                  :5                          :5
    float                bulk string                 ,1.5
    bool                 :1 or :0                    #t or #f
    list, tuple          *n                          *n
    dict                 *2n, flattened              %n
    Simple               +OK                         +OK
    Error                -ERR ...                    -ERR ...
    NullArray            *-1                         _
    SetReply             *n                          ~n
    PushReply            *n                          >n
    Verbatim             bulk string                 =n txt:...
    BigNumber            bulk string                 (123
    Double               bulk string                 ,1.5000
    Attributed           the reply alone             |n, then the reply

The type of a value decides, never its content: a stored ``b"OK"`` is a bulk string.
Two values stand for how many replies there are rather than for one: ``NO_REPLY``
and ``Replies`` (several top-level replies, as SUBSCRIBE sends).

Requests are read by :class:`RequestReader`, an exact, resumable parser. The engine
has a faster way for the common case (see ``engine.py``) and falls back to this one,
which therefore is the only place that knows the protocol errors.

Source: redis.io, "Redis serialization protocol specification".
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any, Final

from pyredis.quoting import split_args
from pyredis.types.doubles import format_double

CRLF: Final = b"\r\n"


class Simple:
    """A simple string (status) reply, encoded once at construction."""

    __slots__ = ("text", "wire")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.wire = b"+%b\r\n" % text

    def __repr__(self) -> str:
        return f"Simple({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Simple) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class Error(Exception):
    """An error reply. Handlers raise it; it can also stand inside an array (EXEC).

    ``text`` starts with the error code (``ERR``, ``WRONGTYPE`` ...).
    """

    def __init__(self, text: str | bytes) -> None:
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        # A line break inside an error would end the reply early; at the end it is dropped.
        self.text: bytes = raw.rstrip(b"\r\n").replace(b"\r", b" ").replace(b"\n", b" ")
        super().__init__(self.text)

    @property
    def code(self) -> str:
        """The first word, under which INFO errorstats counts the error."""
        return self.text.split(b" ", 1)[0].decode("latin-1")


class SetReply(list[Any]):
    """An unordered collection: a RESP3 set, a RESP2 array."""

    __slots__ = ()


class PushReply(list[Any]):
    """Out-of-band data: a RESP3 push, a RESP2 array."""

    __slots__ = ()


class Replies(list[Any]):
    """Several top-level replies to one command."""

    __slots__ = ()


class Wire(list[bytes]):
    """A reply that is encoded already, in pieces (EXEC encodes as it goes)."""

    __slots__ = ()


class Verbatim:
    """Text for people, with a three-letter format."""

    __slots__ = ("format", "text")

    def __init__(self, text: bytes, format: bytes = b"txt") -> None:
        self.text = text
        self.format = format


class Attributed:
    """A reply with attributes before it; RESP2 leaves them out."""

    __slots__ = ("attributes", "reply")

    def __init__(self, attributes: dict[Any, Any], reply: Any) -> None:
        self.attributes = attributes
        self.reply = reply


class BigNumber:
    """An integer outside the 64-bit range."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


class Double:
    """A double in the digits that the command gives it, where a float has those of a score."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


class _Mark:
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


OK: Final = Simple(b"OK")
QUEUED: Final = Simple(b"QUEUED")
PONG: Final = Simple(b"PONG")
NULL_ARRAY: Final = _Mark("NULL_ARRAY")
NO_REPLY: Final = _Mark("NO_REPLY")

Reply = Any
"""What a handler may return: one of the values in the table above."""

NULL_RESP2: Final = b"$-1\r\n"
NULL_RESP3: Final = b"_\r\n"
EMPTY_ARRAY: Final = b"*0\r\n"

# Headers of the lengths seen most; one table look-up instead of a formatting.
_SMALL = 1024
INTEGERS: Final = tuple(b":%d\r\n" % n for n in range(_SMALL))
BULK_HEADS: Final = tuple(b"$%d\r\n" % n for n in range(_SMALL))
_NEXT_HEADS: Final = tuple(b"\r\n$%d\r\n" % n for n in range(_SMALL))


def encode(value: Reply, resp3: bool = False) -> bytes:
    """The wire form of one reply. Raises TypeError for a value that is no reply."""
    out: list[bytes] = []
    encode_into(out, value, resp3)
    return b"".join(out)


def encode_into(out: list[bytes], value: Reply, resp3: bool) -> None:
    """Append the wire form of ``value`` to ``out``, in pieces."""
    kind = type(value)
    if kind is bytes or kind is bytearray:
        size = len(value)
        if size < 4096:
            out.append(b"$%d\r\n%b\r\n" % (size, value))
        else:
            # Large values are not copied into one piece. A bytearray may change later.
            out.append(b"$%d\r\n" % size)
            out.append(bytes(value))
            out.append(CRLF)
    elif kind is int:
        out.append(b":%d\r\n" % value)
    elif value is None:
        out.append(NULL_RESP3 if resp3 else NULL_RESP2)
    elif kind is list or kind is tuple:
        _encode_items(out, b"*%d" % len(value), value, resp3)
    elif kind is Simple:
        out.append(value.wire)
    elif kind is dict:
        head = b"%%%d" % len(value) if resp3 else b"*%d" % (2 * len(value))
        _encode_items(out, head, list(chain.from_iterable(value.items())), resp3)
    elif kind is float:
        text = format_double(value)
        out.append(b",%b\r\n" % text if resp3 else b"$%d\r\n%b\r\n" % (len(text), text))
    elif kind is bool:
        if resp3:
            out.append(b"#t\r\n" if value else b"#f\r\n")
        else:
            out.append(b":1\r\n" if value else b":0\r\n")
    elif value is NULL_ARRAY:
        out.append(b"_\r\n" if resp3 else b"*-1\r\n")
    elif kind is SetReply or kind is PushReply:
        mark = b"*" if not resp3 else b"~" if kind is SetReply else b">"
        _encode_items(out, b"%b%d" % (mark, len(value)), value, resp3)
    elif isinstance(value, Error):
        out.append(b"-%b\r\n" % value.text)
    elif kind is Verbatim:
        if resp3:
            out.append(b"=%d\r\n%b:%b\r\n" % (len(value.text) + 4, value.format, value.text))
        else:
            out.append(b"$%d\r\n%b\r\n" % (len(value.text), value.text))
    elif kind is Double:
        text = value.text
        out.append(b",%b\r\n" % text if resp3 else b"$%d\r\n%b\r\n" % (len(text), text))
    elif kind is BigNumber:
        text = b"%d" % value.value
        out.append(b"(%b\r\n" % text if resp3 else b"$%d\r\n%b\r\n" % (len(text), text))
    elif kind is Replies:
        for item in value:
            encode_into(out, item, resp3)
    elif kind is Wire:
        out.extend(value)
    elif kind is Attributed:
        if resp3:
            out.append(b"|%d\r\n" % len(value.attributes))
            for item in chain.from_iterable(value.attributes.items()):
                encode_into(out, item, resp3)
        encode_into(out, value.reply, resp3)
    elif value is not NO_REPLY:
        raise TypeError(f"not a reply: {value!r}")


def _encode_items(
    out: list[bytes], head: bytes, items: list[Any] | tuple[Any, ...], resp3: bool
) -> None:
    """The head of an aggregate (without its line end) and its items.

    When all items are strings, which the ends suggest and joining them proves, no Python
    code runs for each: with equal lengths one join does it, else headers and items are
    interleaved.
    """
    if len(items) > 3 and type(items[0]) is bytes and type(items[-1]) is bytes:
        try:
            sizes = list(map(len, items))
            size = sizes[0]
            if sizes.count(size) == len(sizes):
                line = b"\r\n$%d\r\n" % size
                out.append(b"%b%b%b\r\n" % (head, line, line.join(items)))
                return
            pieces: list[bytes] = [head] * (2 * len(items) + 1)
            if max(sizes) < _SMALL:
                pieces[1::2] = [_NEXT_HEADS[size] for size in sizes]
            else:
                pieces[1::2] = [b"\r\n$%d\r\n" % size for size in sizes]
            pieces[2::2] = items
            out.append(b"".join(pieces))
            out.append(CRLF)
            return
        except TypeError:
            pass  # not only strings after all
    out.append(head + CRLF)
    for item in items:
        encode_into(out, item, resp3)


def encode_command(argv: list[bytes] | tuple[bytes, ...]) -> bytes:
    """A request as clients, the AOF and the replication stream write it."""
    out: list[bytes] = [b"*%d\r\n" % len(argv)]
    for arg in argv:
        out.append(b"$%d\r\n%b\r\n" % (len(arg), arg))
    return b"".join(out)


class ProtocolError(Exception):
    """Input that is no request; the client gets ``text`` as an error and is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


INLINE_MAX_BYTES: Final = 64 * 1024
"""Longest inline request and longest count line."""
MULTIBULK_MAX: Final = 2**31 - 1
AUTH_MULTIBULK_MAX: Final = 10
AUTH_BULK_MAX_BYTES: Final = 16384
"""Before AUTH a client may not make the server hold more than this."""
_KEEP_BYTES: Final = 65536
_MANY: Final = 16  # arguments still to come that make it worth while to split the input
_SHORT_HEADS: Final = tuple(b"$%d" % n for n in range(_SMALL))

_INTEGER: Final = re.compile(rb"(?:0|-?[1-9][0-9]{0,18})\Z")


def _parse_length(text: bytes) -> int | None:
    """A length as Redis reads it: canonical decimal only, no sign, space or zero in front."""
    return int(text) if _INTEGER.match(text) else None


class RequestReader:
    """Bytes in, requests out, whatever the cuts between reads.

    ``receive`` adds bytes; ``next`` returns one argument list or None when more bytes
    are needed, and raises :class:`ProtocolError` at the first byte that cannot belong
    to a request. An empty request (an empty line, ``*0``) is skipped.

    The reader keeps its place between calls, so a request of a million arguments in
    small pieces costs one pass, and a 512 MB value is copied once. Many short arguments are
    taken apart by one split, as in the hot path.
    """

    __slots__ = (
        "_argv",
        "_argv_bytes",
        "_buffer",
        "_bulk",
        "_dropped",
        "_left",
        "_pos",
        "_start",
        "takes_inline",
    )

    def __init__(self) -> None:
        self.takes_inline = True  # requests may be lines of words
        self._buffer = bytearray()
        self._pos = 0
        self._start = 0  # where the request being read begins, -1 once that was dropped
        self._dropped = 0  # how many bytes of it were
        self._left = 0  # arguments still to come, 0 between requests
        self._bulk = -1  # length of the argument being read, -1 before its header
        self._argv: list[bytes] = []
        self._argv_bytes = 0

    @property
    def busy(self) -> bool:
        """Whether bytes are held that did not make a request yet."""
        return self._pos < len(self._buffer) or self._left > 0

    @property
    def held_bytes(self) -> int:
        """Size of the query buffer: bytes held, arguments already read included."""
        return len(self._buffer) - self._pos + self._argv_bytes

    @property
    def unfinished_bytes(self) -> int:
        """How many of the bytes received came behind the last whole request."""
        return len(self._buffer) - max(self._start, 0) + self._dropped

    @property
    def free_bytes(self) -> int:
        """Room in the query buffer that was allocated for more."""
        buffer = self._buffer
        room = buffer.__sizeof__() - bytearray().__sizeof__()
        return max(0, room - 1 - len(buffer) + self._pos)  # one byte ends it

    @property
    def wanted_bytes(self) -> int:
        """How many more bytes the argument being read needs, 0 when unknown."""
        if self._bulk < 0:
            return 0
        return max(0, self._bulk + 2 - (len(self._buffer) - self._pos))

    def receive(self, data: bytes) -> None:
        """Add bytes from the connection."""
        if self._pos > _KEEP_BYTES:
            # A long request: what was read of it is in _argv, so let go of the raw bytes.
            if self._start == self._pos:
                self._start = 0
            else:
                self._dropped += self._pos - max(self._start, 0)
                self._start = -1
            del self._buffer[: self._pos]
            self._pos = 0
        self._buffer += data

    def take_back(self, limit_bytes: int) -> bytes | None:
        """All bytes since the last request, leaving the reader empty; None when too many."""
        if self._start < 0 or len(self._buffer) - self._start > limit_bytes:
            return None
        raw = bytes(self._buffer[self._start :])
        self._buffer.clear()
        self._pos = self._start = self._left = self._argv_bytes = 0
        self._bulk = -1
        self._argv = []
        return raw

    def next(
        self,
        bulk_max_bytes: int = 512 * 1024 * 1024,
        authenticated: bool = True,
    ) -> list[bytes] | None:
        """The next request, or None. Raises ProtocolError."""
        while True:
            if self._left == 0:
                if self._pos >= len(self._buffer):
                    self._forget()
                    return None
                if self._buffer[self._pos] != 0x2A:  # "*"
                    line = self._inline()
                    if line is None:
                        return None
                    if line:
                        return line
                    continue
                count = self._count(authenticated)
                if count is None:
                    return None
                if count <= 0:
                    self._forget()
                    continue
                self._left = count
            if not self._arguments(bulk_max_bytes, authenticated):
                return None
            argv, self._argv = self._argv, []
            self._argv_bytes = 0
            self._forget()
            return argv

    def _forget(self) -> None:
        """Mark everything before the current position as consumed."""
        if self._pos >= len(self._buffer):
            self._buffer.clear()
            self._pos = 0
        elif self._pos > _KEEP_BYTES:
            del self._buffer[: self._pos]
            self._pos = 0
        self._start = self._pos
        self._dropped = 0

    def _line_end(self, mark: bytes) -> int:
        """Where the line ends, -1 when it does not yet.

        Redis looks for the end with C's string functions, so a NUL hides all behind it and
        the line never ends; such a client waits until it has sent too much.
        """
        end = self._buffer.find(mark, self._pos)
        return -1 if end >= 0 and self._buffer.find(0, self._pos, end) >= 0 else end

    def _inline(self) -> list[bytes] | None:
        end = self._line_end(b"\n")
        if end < 0:
            if len(self._buffer) - self._pos > INLINE_MAX_BYTES:
                raise ProtocolError("too big inline request")
            return None
        line = bytes(self._buffer[self._pos : end])
        self._pos = end + 1
        if line.endswith(b"\r"):
            line = line[:-1]
        self._forget()
        if line and not self.takes_inline:
            raise ProtocolError("Master using the inline protocol. Desync?")
        try:
            return split_args(line)
        except ValueError:
            raise ProtocolError("unbalanced quotes in request") from None

    def _count(self, authenticated: bool) -> int | None:
        end = self._line_end(b"\r")
        if end < 0:
            if len(self._buffer) - self._pos > INLINE_MAX_BYTES:
                raise ProtocolError("too big mbulk count string")
            return None
        if end + 1 >= len(self._buffer):
            return None
        count = _parse_length(bytes(self._buffer[self._pos + 1 : end]))
        if count is None or count > MULTIBULK_MAX:
            raise ProtocolError("invalid multibulk length")
        if count > AUTH_MULTIBULK_MAX and not authenticated:
            raise ProtocolError("unauthenticated multibulk length")
        self._pos = end + 2
        return count

    def _arguments(self, bulk_max_bytes: int, authenticated: bool) -> bool:
        """Read arguments until the request is whole; False when bytes run out."""
        buffer = self._buffer
        may_split = authenticated and bulk_max_bytes >= _SMALL  # once, so that it stays one pass
        while self._left:
            if self._bulk < 0:
                if may_split and self._left >= _MANY:
                    may_split = False
                    self._short_arguments()
                    continue
                end = self._line_end(b"\r")
                if end < 0:
                    if len(buffer) - self._pos > INLINE_MAX_BYTES:
                        raise ProtocolError("too big bulk count string")
                    return False
                if end + 1 >= len(buffer):
                    return False
                if buffer[self._pos] != 0x24:  # "$"
                    raise ProtocolError(f"expected '$', got '{buffer[self._pos]:c}'")
                size = _parse_length(bytes(buffer[self._pos + 1 : end]))
                if size is None or size < 0 or size > bulk_max_bytes:
                    raise ProtocolError("invalid bulk length")
                if size > AUTH_BULK_MAX_BYTES and not authenticated:
                    raise ProtocolError("unauthenticated bulk length")
                self._pos = end + 2
                self._bulk = size
            start = self._pos
            end = start + self._bulk
            if len(buffer) < end + 2:
                return False
            with memoryview(buffer) as view:
                self._argv.append(bytes(view[start:end]))
            # Redis skips the two bytes after a value without looking at them.
            self._argv_bytes += self._bulk
            self._pos = end + 2
            self._bulk = -1
            self._left -= 1
        return True

    def _short_arguments(self) -> None:
        """Take the arguments that come next, up to the first one that is long, odd or cut.

        Between line ends headers and arguments alternate. Where a header says the length that
        its argument has, nothing else can have been meant; everything else is left.
        """
        with memoryview(self._buffer) as view:
            parts = bytes(view[self._pos :]).split(b"\r\n", 2 * self._left)
        end = len(parts) - 1  # behind the last line end
        args = parts[1:end:2]
        sizes = [len(arg) for arg in args]
        taken = len(args)
        heads = _SHORT_HEADS
        if taken and (max(sizes) >= _SMALL or parts[0 : end - 1 : 2] != [heads[n] for n in sizes]):
            taken = 0
            for head, size in zip(parts[::2], sizes, strict=False):
                if size >= _SMALL or head != heads[size]:
                    break
                taken += 1
        argv_bytes = sum(sizes[:taken])
        self._argv += args[:taken]
        self._argv_bytes += argv_bytes
        self._pos += argv_bytes + sum(map(len, parts[0 : 2 * taken : 2])) + 4 * taken
        self._left -= taken
