"""The RDB file: a snapshot of all data as a row of records.

    "REDIS" version (4 digits)
    aux fields, functions
    for each database: its number, how many keys it has, its keys
    end mark, CRC64 of everything before it (8 bytes, 0 for "not computed")

A key is an optional expiry, an optional idle time or use counter, then type, name, value.

Both directions are incremental and do no I/O. ``write`` is an iterator of chunks. ``Reader``
is fed chunks, cut anywhere, and returns *events*: whatever is complete. A record that is cut
is tried again when there is at least twice as much of it (or as much as it is known to need),
so each byte is looked at a bounded number of times on average, however large the value.

Speed is in the treatment of what most keys are: plain strings without expiry. Writing takes
a thousand at a time; if all of them are plain and short, heads come from tables by way of
``map`` and no Python code runs for a single key. Reading has one tight loop for them, which
fills a dict; a run of them is one event. Everything else costs a few microseconds a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pyredis.persistence.encoding import (
    COMPRESSIBLE_BYTES,
    HEADS,
    Encoder,
    Short,
    Source,
    crc64,
    encode_length,
)
from pyredis.persistence.values import (
    STRING,
    VERSION_DEFAULT,
    VERSION_MAX,
    VERSION_MIN,
    Limits,
    decode_value,
    encode_value,
    value_type,
)

if TYPE_CHECKING:
    from pyredis.keyspace import Database, Value

_MAGIC: Final = b"REDIS"
_HEADER_BYTES: Final = 9
_CHECKSUM_BYTES: Final = 8
_CHECKSUM_SINCE: Final = 5
_DUMP_VERSION_BYTES: Final = 2

_SLOT_INFO: Final = 244
_FUNCTION: Final = 245
_FUNCTION_PRE_RELEASE: Final = 246
_MODULE_AUX: Final = 247
_IDLE: Final = 248
_FREQUENCY: Final = 249
_AUX: Final = 250
_RESIZE: Final = 251
_EXPIRY_MS: Final = 252
_EXPIRY_S: Final = 253
_SELECT: Final = 254
_END: Final = 255

_MODULE_SIGNED, _MODULE_UNSIGNED, _MODULE_FLOAT, _MODULE_DOUBLE, _MODULE_STRING = range(1, 6)

_BATCH: Final = 1024
_CHUNK_BYTES: Final = 1 << 16
_STRING_HEADS: Final = tuple(b"\0" + head for head in HEADS)
_SHORT_HEADS: Final = HEADS[:COMPRESSIBLE_BYTES]
_PLAIN_TYPES: Final = {bytes}


class RdbError(ValueError):
    """Data that cannot be read: what is wrong, where, and in which key."""

    def __init__(self, reason: str, offset: int, key: bytes | None = None) -> None:
        """``offset`` is that of the record in question, in bytes from the beginning."""
        self.reason = reason
        self.offset = offset
        self.key = key
        at_key = "" if key is None else f" in key {key!r}"
        super().__init__(f"{reason} at offset {offset}{at_key}")


# Events


class Header(NamedTuple):
    """The beginning of the file."""

    version: int


class Aux(NamedTuple):
    """Something about the file and who wrote it."""

    name: bytes
    value: bytes


class SelectDb(NamedTuple):
    """The keys that follow belong to this database."""

    number: int
    offset: int = 0


class ResizeDb(NamedTuple):
    """How many keys the database has, and how many of them with an expiry."""

    keys: int
    expires: int


class SlotInfo(NamedTuple):
    """How many keys of a cluster slot follow, and how many of them with an expiry."""

    slot: int
    keys: int
    expires: int


class FunctionCode(NamedTuple):
    """A library of functions: its source."""

    code: bytes


class ModuleAux(NamedTuple):
    """Data of a module: its id. They cannot be used; the reader has passed over them."""

    module_id: int
    offset: int = 0


class Strings(NamedTuple):
    """A run of keys that hold strings, without marks of use, and the expiries of some of them."""

    pairs: dict[bytes, bytes | int]
    expires_ms: dict[bytes, int]
    offset: int = 0


class Key(NamedTuple):
    """A key. ``value`` is None for an empty collection, which old servers could leave behind."""

    name: bytes
    value: Value | None
    expiry_ms: int | None = None
    idle_s: int | None = None
    frequency: int | None = None
    offset: int = 0


class End(NamedTuple):
    """The end; the checksum was right, or is not there."""

    checksum: int


Event = (
    Header | Aux | SelectDb | ResizeDb | SlotInfo | FunctionCode | ModuleAux | Strings | Key | End
)


# Writing


class Marks(Enum):
    """What is written of the use of keys: what the eviction policy goes by."""

    NONE = "none"
    IDLE = "idle"
    FREQUENCY = "frequency"


class Options(NamedTuple):
    """How to write a file."""

    version: int = VERSION_DEFAULT
    compresses: bool = True
    checksum: bool = True
    marks: Marks = Marks.NONE


_DEFAULTS: Final = Options()


def write(
    dbs: Iterable[Database],
    aux: Sequence[tuple[bytes, bytes]] = (),
    functions: Iterable[bytes] = (),
    options: Options = _DEFAULTS,
) -> Iterator[bytes]:
    """A file with this data, in chunks. The data must not change until the last is taken."""
    if not VERSION_MIN <= options.version <= VERSION_MAX:
        raise ValueError(f"cannot write RDB version {options.version}")
    if not options.checksum:
        yield from _records(dbs, aux, functions, options)
        yield bytes(_CHECKSUM_BYTES)
        return
    crc = 0
    for chunk in _records(dbs, aux, functions, options):
        crc = crc64(chunk, crc)
        yield chunk
    yield crc.to_bytes(_CHECKSUM_BYTES, "little")


def _records(
    dbs: Iterable[Database],
    aux: Sequence[tuple[bytes, bytes]],
    functions: Iterable[bytes],
    options: Options,
) -> Iterator[bytes]:
    encoder = Encoder(options.compresses)
    string = encoder.string
    head = [_MAGIC, b"%04d" % options.version]
    for name, value in aux:
        head += (bytes((_AUX,)), string(name), string(value))
    for code in functions:
        head += (bytes((_FUNCTION,)), string(code))
    yield b"".join(head)
    for db in dbs:
        if db.data:
            sizes = encode_length(len(db.data)) + encode_length(len(db.expires))
            yield b"%c%b%c%b" % (_SELECT, encode_length(db.index), _RESIZE, sizes)
            yield from _keys(db, encoder, options)
    yield bytes((_END,))


def _keys(db: Database, encoder: Encoder, options: Options) -> Iterator[bytes]:
    """The keys of a database, a thousand at a time."""
    every_plain = options.marks is Marks.NONE
    expires = db.expires.keys()
    names, values = iter(db.data), iter(db.data.values())
    while batch := list(islice(names, _BATCH)):
        held = list(islice(values, _BATCH))
        if every_plain and set(map(type, held)) == _PLAIN_TYPES and expires.isdisjoint(batch):
            chunk = _plain_strings(batch, held)
            if chunk is not None:
                yield chunk
                continue
        yield from _records_of(db, batch, held, encoder, options)


def _plain_strings(names: list[bytes], values: list[bytes]) -> bytes | None:
    """The records of short strings that are no numbers; None if there are others among them."""
    if any(map(bytes.isdigit, values)) or any(map(bytes.isdigit, names)):
        return None
    parts: list[bytes] = [b""] * (4 * len(names))
    try:
        parts[0::4] = map(_STRING_HEADS.__getitem__, map(len, names))
        parts[2::4] = map(_SHORT_HEADS.__getitem__, map(len, values))
    except IndexError:
        return None
    parts[1::4] = names
    parts[3::4] = values
    return b"".join(parts)


def _records_of(
    db: Database, names: list[bytes], values: list[Any], encoder: Encoder, options: Options
) -> Iterator[bytes]:
    """The records of any keys."""
    string = encoder.string
    expires, marks, version = db.expires, options.marks, options.version
    parts: list[bytes] = []
    size = 0
    for name, value in zip(names, values, strict=True):
        if name in expires:
            parts.append(b"\xfc" + expires[name].to_bytes(8, "little", signed=True))
        if marks is Marks.IDLE:
            parts.append(bytes((_IDLE,)) + encode_length(db.idle_seconds(name)))
        elif marks is Marks.FREQUENCY:
            parts.append(bytes((_FREQUENCY, db.frequency(name))))
        if type(value) is bytes:
            encoded = string(value)
            parts += (b"\0", string(name), encoded)
            size += len(encoded)
        else:
            kind = value_type(value, version)
            parts += (HEADS[kind], string(name))
            for piece in encode_value(value, kind, encoder):
                parts.append(piece)
                size += len(piece)
                if size >= _CHUNK_BYTES:
                    yield b"".join(parts)
                    parts.clear()
                    size = 0
        if size >= _CHUNK_BYTES:
            yield b"".join(parts)
            parts.clear()
            size = 0
    yield b"".join(parts)


def dump_value(value: Value, version: int = VERSION_DEFAULT, compresses: bool = True) -> bytes:
    """What DUMP replies: type, body, version, checksum."""
    kind = value_type(value, version)
    body = b"".join(encode_value(value, kind, Encoder(compresses)))
    payload = b"%c%b%b" % (kind, body, version.to_bytes(_DUMP_VERSION_BYTES, "little"))
    return payload + crc64(payload).to_bytes(_CHECKSUM_BYTES, "little")


def dump_is_genuine(payload: bytes) -> bool:
    """Whether a DUMP payload has its checksum and a version that can be read."""
    if len(payload) < _DUMP_VERSION_BYTES + _CHECKSUM_BYTES:
        return False
    content, checksum = payload[:-_CHECKSUM_BYTES], payload[-_CHECKSUM_BYTES:]
    version = int.from_bytes(content[-_DUMP_VERSION_BYTES:], "little")
    return version <= VERSION_MAX and crc64(content) == int.from_bytes(checksum, "little")


def load_value(payload: bytes, limits: Limits) -> Value | None:
    """The value in a genuine DUMP payload, None for an empty collection. Raises RdbError."""
    source = Source(payload[: -_DUMP_VERSION_BYTES - _CHECKSUM_BYTES])
    try:
        return decode_value(source.byte(), source, limits)
    except Short as error:
        raise RdbError(str(error), source.pos) from None
    except ValueError as error:
        raise RdbError(str(error), source.pos) from None


# Reading


class Reader:
    """Takes a file apart. Feed it chunks, then say ``finish``.

    After the end mark ``done`` is true and ``rest`` holds what came behind (the commands of an
    AOF may follow). ``offset`` is how far everything was understood, in bytes from the start.
    Events that came before damage are returned first: then the next call raises.
    """

    def __init__(self, limits: Limits, checks: bool = True) -> None:
        """``limits`` choose encodings; with ``checks`` off the checksum is not looked at."""
        self.version = 0
        self.done = False
        self.rest = b""
        self.offset = 0
        self._limits = limits
        self._checks = checks
        self._crc = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._wanted = _HEADER_BYTES  # below so many pending bytes trying is useless
        self._events: list[Event] = []
        self._run: dict[bytes, bytes | int] = {}
        self._expires: dict[bytes, int] = {}
        self._run_offset = 0
        self._name: bytes | None = None  # of the key that is being read
        self._failure: RdbError | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """Takes more of the file; returns what is complete. Raises RdbError for damaged data."""
        if self._failure is not None:
            raise self._failure
        if self.done:
            self.rest += chunk
            return []
        self._pending.append(chunk)
        self._pending_bytes += len(chunk)
        if self._pending_bytes < self._wanted:
            return []
        return self._parse()

    def finish(self) -> list[Event]:
        """There is no more; returns the last events. Raises RdbError if the end is missing."""
        if self._failure is not None:
            raise self._failure
        events = [] if self.done else self._parse()
        if not self.done and self._failure is None:
            self._failure = RdbError("unexpected end of data", self.offset, self._name)
        if self._failure is not None and not events:
            raise self._failure
        return events

    def _parse(self) -> list[Event]:
        """Read as many records as there are."""
        data = b"".join(self._pending)
        source = Source(data)
        start = needed = 0
        try:
            if not self.version:
                self._header(source)
            while not self.done:
                start = source.pos = self._strings(data, source.pos)
                self._record(source)
            start = source.pos
        except Short as error:
            needed = error.needed - start
        except ValueError as error:
            self._failure = RdbError(str(error), self.offset + start, self._name)
        self._flush()
        events = self._events
        if self._failure is not None and not events:
            raise self._failure
        self._events = []
        self._settle(data, start, needed)
        return events

    def _settle(self, data: bytes, start: int, needed: int) -> None:
        """Put away what was understood, up to ``start``."""
        left = data[start:]
        self.offset += start
        if self.done:
            self.rest = left
            return
        if self._checks:
            self._crc = crc64(memoryview(data)[:start], self._crc)
        self._pending = [left]
        self._pending_bytes = len(left)
        self._wanted = needed if start else max(needed, 2 * len(left))

    def _flush(self) -> None:
        if self._run:
            self._events.append(Strings(self._run, self._expires, self._run_offset))
            self._run = {}
            self._expires = {}

    def _header(self, source: Source) -> None:
        head = source.take(_HEADER_BYTES)
        digits = head[len(_MAGIC) :]
        if not head.startswith(_MAGIC) or not digits.isdigit():
            raise ValueError("wrong signature: this is no RDB file")
        version = int(digits)
        if not 1 <= version <= VERSION_MAX:
            raise ValueError(f"cannot read RDB format version {version}")
        self.version = version
        self._events.append(Header(version))

    def _strings(self, data: bytes, pos: int) -> int:
        """Read on while there are plain string keys; returns where it goes on otherwise."""
        run, expires = self._run, self._expires
        size = len(data)
        start = pos
        held = len(run)
        if not held:
            self._run_offset = self.offset + pos
        count = 0
        from_bytes = int.from_bytes
        try:
            while True:
                at = pos + 1
                code = data[pos]
                if code:
                    if code != _EXPIRY_MS or data[pos + 9] != STRING:
                        break
                    at = pos + 10
                head = data[at]
                if head < 64:
                    at += 1
                    end = at + head
                    name = data[at:end]
                elif 0xC0 <= head <= 0xC2:
                    at += 1
                    end = at + (1 << (head & 3))
                    name = b"%d" % from_bytes(data[at:end], "little", signed=True)
                else:
                    break
                head = data[end]
                at = end + 1
                value: bytes | int
                if head < 64:
                    end = at + head
                    value = data[at:end]
                elif head < 128:
                    end = at + 1 + ((head & 63) << 8 | data[at])
                    value = data[at + 1 : end]
                elif 0xC0 <= head <= 0xC2:
                    end = at + (1 << (head & 3))
                    value = from_bytes(data[at:end], "little", signed=True)
                else:
                    break
                if end > size:
                    break
                run[name] = value
                if code:
                    expires[name] = from_bytes(data[pos + 1 : pos + 9], "little", signed=True)
                count += 1
                pos = end
        except IndexError:
            pass
        if len(run) != held + count:
            self._find_duplicate(data, start, held)
        return pos

    def _find_duplicate(self, data: bytes, start: int, held: int) -> None:
        """Raises for the first key from ``start`` on that is there twice."""
        seen = set(islice(self._run, held))
        source = Source(data, start)
        while True:
            source.pos += 1 if source.data[source.pos] == STRING else 10
            self._name = source.string()
            if self._name in seen:
                raise ValueError("key that is there twice")
            seen.add(self._name)
            source.value()

    def _record(self, source: Source) -> None:
        """Read one record of any kind. Raises Short or ValueError before anything changes."""
        self._name = None
        start = source.pos
        code = source.byte()
        expiry_ms = idle_s = frequency = None
        while _IDLE <= code <= _EXPIRY_S and code not in (_AUX, _RESIZE):
            if code == _EXPIRY_MS:
                expiry_ms = int.from_bytes(source.take(8), "little", signed=True)
            elif code == _EXPIRY_S:
                expiry_ms = int.from_bytes(source.take(4), "little", signed=True) * 1000
            elif code == _IDLE:
                idle_s = source.length()
            else:
                frequency = source.byte()
            code = source.byte()
        if code >= _SLOT_INFO:
            if source.pos != start + 1:
                raise ValueError(f"expiry or mark of use followed by opcode {code}")
            self._other(code, source, self.offset + start)
            return
        name = self._name = source.string()
        value: Any = decode_value(code, source, self._limits)
        if code == STRING and idle_s is None and frequency is None:
            if name in self._run:
                raise ValueError("key that is there twice")
            self._run[name] = value
            if expiry_ms is not None:
                self._expires[name] = expiry_ms
            return
        self._flush()
        offset = self.offset + start
        self._events.append(Key(name, value, expiry_ms, idle_s, frequency, offset))

    def _other(self, code: int, source: Source, offset: int) -> None:
        """Read what is no key."""
        event: Event
        if code == _SELECT:
            event = SelectDb(source.length(), offset)
        elif code == _RESIZE:
            event = ResizeDb(source.length(), source.length())
        elif code == _AUX:
            event = Aux(source.string(), source.string())
        elif code == _FUNCTION:
            event = FunctionCode(source.string())
        elif code == _SLOT_INFO:
            event = SlotInfo(source.length(), source.length(), source.length())
        elif code == _MODULE_AUX:
            event = ModuleAux(_module_aux(source), offset)
        elif code == _END:
            event = self._end(source)
        else:
            raise ValueError("functions of a pre-release cannot be read")
        self._flush()
        self._events.append(event)
        self.done = code == _END

    def _end(self, source: Source) -> End:
        if self.version < _CHECKSUM_SINCE:
            return End(0)
        crc = crc64(memoryview(source.data)[: source.pos], self._crc) if self._checks else 0
        checksum = int.from_bytes(source.take(_CHECKSUM_BYTES), "little")
        if checksum and self._checks and checksum != crc:
            raise ValueError("wrong checksum")
        return End(checksum)


def _module_aux(source: Source) -> int:
    """Pass over the data of a module: numbers and strings, each with a code that says which.

    Returns the module's id.
    """
    module_id = source.length()
    for _ in range(2):  # when they are to be loaded, as one such number
        source.length()
    while code := source.length():
        if code in (_MODULE_SIGNED, _MODULE_UNSIGNED):
            source.length()
        elif code in (_MODULE_FLOAT, _MODULE_DOUBLE):
            source.take(4 if code == _MODULE_FLOAT else 8)
        elif code == _MODULE_STRING:
            source.string()
        else:
            raise ValueError("module data of unknown kind")
    return module_id
