"""Reading RDB files: chunks go in, cut anywhere; events come out. No I/O.

A record that is cut is tried again when there is at least twice as much of it (or as much as
it is known to need), so however large a value is, its bytes are looked at only a few times.

One tight loop reads keys without marks of use; it fills a dict, and a run of them is one event.
A short string costs it a fraction of a microsecond, an element of a small collection about two
tenths, and as much again where the file is compressed.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from pyredis.persistence.encoding import Short, Source, crc64
from pyredis.persistence.rdb import (
    AUX,
    CHECKSUM_BYTES,
    CHECKSUM_SINCE,
    END,
    EXPIRY_MS,
    EXPIRY_S,
    FUNCTION,
    HEADER_BYTES,
    IDLE,
    MAGIC,
    MODULE_AUX,
    RESIZE,
    SELECT,
    SLOT_INFO,
    Aux,
    End,
    Event,
    FunctionCode,
    Header,
    Key,
    ModuleAux,
    RdbError,
    ResizeDb,
    Run,
    SelectDb,
    SlotInfo,
)
from pyredis.persistence.values import MODULE, VERSION_MAX, Limits, decode_value

if TYPE_CHECKING:
    from pyredis.keyspace import Value

_MODULE_SIGNED, _MODULE_UNSIGNED, _MODULE_FLOAT, _MODULE_DOUBLE, _MODULE_STRING = range(1, 6)


class Reader:
    """Takes a file apart. Feed it chunks, then say ``finish``.

    After the end mark ``done`` is true and ``rest`` holds what came behind (the commands of an
    AOF may follow). ``offset`` is how far everything was understood, in bytes from the start.
    Events that came before damage are returned first: then the next call raises.
    """

    def __init__(self, limits: Limits, checks: bool = True, details: bool = False) -> None:
        """``limits`` choose encodings; with ``checks`` off the checksum is not looked at.

        With ``details``, for tools, every key is an event, with all that is known of it, and
        values of modules are passed over.
        """
        self.version = 0
        self.done = False
        self.rest = b""
        self.offset = 0
        self._limits = limits
        self._checks = checks
        self._details = details
        self._crc = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._wanted = HEADER_BYTES  # below so many pending bytes trying is useless
        self._events: list[Event] = []
        self._run: dict[bytes, Value] = {}
        self._expires: dict[bytes, int] = {}
        self._run_offset = 0
        self._at = 0  # where the record begins that is being read, in the pending bytes
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
        self._at = needed = 0
        try:
            if not self.version:
                self._header(source)
            while not self.done:
                if not self._details:
                    self._keys(source)
                self._at = source.pos
                self._record(source)
            self._at = source.pos
        except Short as error:
            needed = error.needed - self._at
        except ValueError as error:
            self._failure = RdbError(str(error), self.offset + self._at, self._name)
        self._flush()
        events = self._events
        if self._failure is not None and not events:
            raise self._failure
        self._events = []
        self._settle(data, self._at, needed)
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
            self._events.append(Run(self._run, self._expires, self._run_offset))
            self._run = {}
            self._expires = {}

    def _header(self, source: Source) -> None:
        head = source.take(HEADER_BYTES)
        digits = head[len(MAGIC) :]
        if not head.startswith(MAGIC) or not digits.isdigit():
            raise ValueError("wrong signature: this is no RDB file")
        version = int(digits)
        if not 1 <= version <= VERSION_MAX:
            raise ValueError(f"cannot read RDB format version {version}")
        self.version = version
        self._events.append(Header(version))

    def _keys(self, source: Source) -> None:
        """Read on as long as there are whole keys without marks of use.

        Raises Short or ValueError as ``_record`` does, or leaves that to it.
        """
        run, expires, limits = self._run, self._expires, self._limits
        data = source.data
        size = len(data)
        start = pos = source.pos
        held = len(run)
        if not held:
            self._run_offset = self.offset + pos
        count = 0
        from_bytes = int.from_bytes
        value: Value
        try:
            while True:
                at = pos + 1
                code = first = data[pos]
                if first == EXPIRY_MS:
                    code = data[pos + 9]
                    at = pos + 10
                if code >= SLOT_INFO:
                    break
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
                    self._at, self._name = pos, None
                    source.pos = at
                    name = source.string()
                    end = source.pos
                head = data[end]
                at = end + 1
                if code:
                    self._at, self._name = pos, name
                    source.pos = end
                    value = decode_value(code, source, limits)
                    if value is None:
                        break
                    end = source.pos
                elif head < 64:
                    end = at + head
                    value = data[at:end]
                elif head < 128:
                    end = at + 1 + ((head & 63) << 8 | data[at])
                    value = data[at + 1 : end]
                elif 0xC0 <= head <= 0xC2:
                    end = at + (1 << (head & 3))
                    value = from_bytes(data[at:end], "little", signed=True)
                else:
                    self._at, self._name = pos, name
                    source.pos = end
                    value = source.value()
                    end = source.pos
                if end > size:
                    break
                run[name] = value
                if first == EXPIRY_MS:
                    expires[name] = from_bytes(data[pos + 1 : pos + 9], "little", signed=True)
                count += 1
                pos = end
        except IndexError:
            pass
        finally:
            if len(run) != held + count:
                self._find_duplicate(data, start, held)
        source.pos = pos

    def _find_duplicate(self, data: bytes, start: int, held: int) -> None:
        """Raises for the first key from ``start`` on that is there twice."""
        seen = set(islice(self._run, held))
        source = Source(data, start)
        while True:
            self._at = source.pos
            code = source.byte()
            if code == EXPIRY_MS:
                code = source.take(9)[-1]
            self._name = source.string()
            if self._name in seen:
                raise ValueError("key that is there twice")
            seen.add(self._name)
            decode_value(code, source, self._limits)

    def _record(self, source: Source) -> None:
        """Read one record of any kind. Raises Short or ValueError before anything changes."""
        self._name = None
        start = source.pos
        code = source.byte()
        expiry_ms: int | None = None
        idle_s: int | None = None
        frequency: int | None = None
        while IDLE <= code <= EXPIRY_S and code not in (AUX, RESIZE):
            if code == EXPIRY_MS:
                expiry_ms = int.from_bytes(source.take(8), "little", signed=True)
            elif code == EXPIRY_S:
                expiry_ms = int.from_bytes(source.take(4), "little", signed=True) * 1000
            elif code == IDLE:
                idle_s = source.length()
            else:
                frequency = source.byte()
            code = source.byte()
        if code >= SLOT_INFO:
            if source.pos != start + 1:
                raise ValueError(f"expiry or mark of use followed by opcode {code}")
            self._other(code, source, self.offset + start)
            return
        name = self._name = source.string()
        offset = self.offset + start
        value: Any = None
        if self._details:
            module_id = _module_value(source) if code == MODULE else 0
            if not module_id:
                value = decode_value(code, source, self._limits)
            details = (offset, code, source.pos - start, module_id)
            self._events.append(Key(name, value, expiry_ms, idle_s, frequency, *details))
            return
        value = decode_value(code, source, self._limits)
        if value is not None and idle_s is None and frequency is None:
            if name in self._run:
                raise ValueError("key that is there twice")
            self._run[name] = value
            if expiry_ms is not None:
                self._expires[name] = expiry_ms
            return
        if self._run:
            self._flush()
        self._events.append(Key(name, value, expiry_ms, idle_s, frequency, offset))

    def _other(self, code: int, source: Source, offset: int) -> None:
        """Read what is no key."""
        event: Event
        if code == SELECT:
            event = SelectDb(source.length(), offset)
        elif code == RESIZE:
            event = ResizeDb(source.length(), source.length())
        elif code == AUX:
            event = Aux(source.string(), source.string(), offset)
        elif code == FUNCTION:
            event = FunctionCode(source.string(), offset)
        elif code == SLOT_INFO:
            event = SlotInfo(source.length(), source.length(), source.length())
        elif code == MODULE_AUX:
            event = ModuleAux(_module_aux(source), offset)
        elif code == END:
            event = self._end(source)
        else:
            raise ValueError("functions of a pre-release cannot be read")
        self._flush()
        self._events.append(event)
        self.done = code == END

    def _end(self, source: Source) -> End:
        if self.version < CHECKSUM_SINCE:
            return End(0)
        crc = crc64(memoryview(source.data)[: source.pos], self._crc) if self._checks else 0
        checksum = int.from_bytes(source.take(CHECKSUM_BYTES), "little")
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
    _module_data(source)
    return module_id


def _module_value(source: Source) -> int:
    """Pass over the value of a module; returns the module's id."""
    module_id = source.length()
    _module_data(source)
    return module_id


def _module_data(source: Source) -> None:
    while code := source.length():
        if code in (_MODULE_SIGNED, _MODULE_UNSIGNED):
            source.length()
        elif code in (_MODULE_FLOAT, _MODULE_DOUBLE):
            source.take(4 if code == _MODULE_FLOAT else 8)
        elif code == _MODULE_STRING:
            source.string()
        else:
            raise ValueError("module data of unknown kind")
