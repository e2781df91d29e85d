"""What happened in a run, event by event: the hash that proves two runs equal, and the text.

A record is ``(time_us, kind, ...)`` with texts, bytes and integers behind. On disk a trace is a
stream of msgpack values: a header, then the records. Its *hash* is the SHA-256 of the packed
records, so two runs have the same hash only if they agree in every event, down to the bytes on
the wire. A trace that is not kept costs no memory, but its hash can still be known.

Kinds of records, and what stands behind time and kind:

    up node life              down node why           pause node         resume node
    open link from to         refused link            data link to bytes
    close link                reset link              stall link         lost link to reason
    disk node action          log node level text     role node role replid offset
    fault text                ask node command reply  ack client number  fail text
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any, Final

import msgpack

from pyredis.quoting import quote
from pyredis.resp import ProtocolError, RequestReader

VERSION: Final = 1
_PART: Final = 1024
_SHOWN_BYTES: Final = 200
_PLAIN: Final = re.compile(rb"[!-~]{1,200}")  # needs no quotes

Record = tuple[Any, ...]


class Trace:
    """Takes the records of one run. ``add`` is O(1), amortized."""

    def __init__(self, keep: bool = False, follow: Callable[[Record], None] | None = None) -> None:
        """``keep``: have all records at the end. ``follow`` is told each at once."""
        self._keep = keep
        self._follow = follow
        self._fresh: list[Record] = []
        self._packed: list[bytes] = []
        self._hash = sha256()
        self._pack: Callable[[Record], bytes] = msgpack.Packer(
            use_bin_type=True, unicode_errors="surrogateescape"
        ).pack
        self.count = 0

    def add(self, *record: Any) -> None:
        """Something has happened."""
        self._fresh.append(record)
        if len(self._fresh) >= _PART:
            self._settle()
        if self._follow is not None:
            self._follow(record)

    def _settle(self) -> None:
        if self._fresh:
            packed = b"".join(map(self._pack, self._fresh))
            self.count += len(self._fresh)
            self._fresh.clear()
            self._hash.update(packed)
            if self._keep:
                self._packed.append(packed)

    def digest(self) -> str:
        """The hash of all records so far, in hex."""
        self._settle()
        return self._hash.hexdigest()

    def wire(self, **header: Any) -> bytes:
        """The content of a trace file; ``header`` says what was run, and with which seed."""
        self._settle()
        first = {"pyredis-trace": VERSION, **header, "hash": self.digest()}
        return self._pack(first) + b"".join(self._packed)  # type: ignore[arg-type]


def read_trace(data: bytes) -> tuple[dict[str, Any], list[Record]]:
    """Header and records of a trace file. Raises ValueError if it is none, or damaged."""
    unpacker = msgpack.Unpacker(raw=False, use_list=False, unicode_errors="surrogateescape")
    unpacker.feed(data)
    try:
        values = list(unpacker)
    except (ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"not a trace: {error}") from error
    header = values.pop(0) if values else None
    if not isinstance(header, dict) or "pyredis-trace" not in header:
        raise ValueError("not a trace: there is no header")
    if header["pyredis-trace"] != VERSION:
        raise ValueError(f"a trace of version {header['pyredis-trace']}, wanted is {VERSION}")
    trace = Trace()
    for record in values:
        if not isinstance(record, tuple):
            break
        trace.add(*record)
    if trace.digest() != header.get("hash"):
        raise ValueError("damaged: the records do not give the hash in the header")
    return header, values


# On the screen


def show(records: Iterable[Record]) -> Iterator[str]:
    """A line of text for each record."""
    for record in records:
        yield show_record(record)


def show_record(record: Record) -> str:
    """The record as a line: the time in seconds, the kind, what stands behind."""
    time_us, kind, *rest = record
    text = " ".join(map(_shown, rest)) if kind != "data" else _data(*rest)
    return f"{time_us // 1_000_000:5}.{time_us % 1_000_000:06} {kind:8} {text}"


def _data(link: str, to: str, data: bytes) -> str:
    return f"{link} -> {to} {len(data)}B {_wire(data)}"


def _shown(value: Any) -> str:
    return _short(value) if isinstance(value, bytes) else str(value)


def _short(data: bytes) -> str:
    text = quote(data[:_SHOWN_BYTES]).decode()
    return text if len(data) <= _SHOWN_BYTES else f"{text}..."


def _wire(data: bytes) -> str:
    """Commands in their own words where the bytes are whole commands, else the bytes."""
    if not data.startswith(b"*"):
        return _short(data)
    reader = RequestReader()
    reader.receive(data[: 16 * _SHOWN_BYTES])
    commands: list[str] = []
    try:
        while len(commands) < 8 and (argv := reader.next(1 << 29, True)) is not None:
            commands.append(" ".join(_short(arg) if _odd(arg) else arg.decode() for arg in argv))
    except ProtocolError:
        return _short(data)
    if not commands:
        return _short(data)
    return " | ".join(commands) + (" ..." if reader.busy else "")


def _odd(arg: bytes) -> bool:
    return _PLAIN.fullmatch(arg) is None
