"""Writing RDB files: an iterator of chunks, without I/O.

Most keys are plain strings without expiry, so a thousand keys are taken at a time; if all of
them are such strings, and short, the heads of their records come from tables by way of
``map``, and no Python code runs for a single key. Other keys cost about a microsecond each and
a tenth of one an element, compression apart. Large collections come in pieces.

Small collections are written element by element, not as the block in which Redis keeps them:
that takes a fraction of the time, and whoever reads them builds the block anew. What this
would change is written as a block: a small set of integers that is no intset, fields with TTLs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from itertools import chain, islice, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pyredis.persistence.encoding import (
    COMPRESSIBLE_BYTES,
    HEADS,
    Encoder,
    crc64,
    encode_double,
    encode_integer,
    encode_length,
)
from pyredis.persistence.rdb import (
    AUX,
    CHECKSUM_BYTES,
    END,
    FREQUENCY,
    FUNCTION,
    IDLE,
    MAGIC,
    RESIZE,
    SELECT,
)
from pyredis.persistence.values import (
    VERSION_DEFAULT,
    VERSION_LISTPACK,
    VERSION_MAX,
    VERSION_MIN,
    encode_value,
    plain_type,
    value_type,
    version_of,
)
from pyredis.types.hashes import Hash
from pyredis.types.lists import List
from pyredis.types.zset import ZSet

if TYPE_CHECKING:
    from pyredis.keyspace import Database

_BATCH: Final = 1024
_CHUNK_BYTES: Final = 1 << 16
_STRING_HEADS: Final = tuple(b"\0" + head for head in HEADS)
_SHORT_HEADS: Final = HEADS[:COMPRESSIBLE_BYTES]
_PLAIN_TYPES: Final = {bytes}
_NUMBER_BYTES: Final = 12  # longer strings are never kept as numbers in a file
_TEXTS_MAX: Final = 4096
_score: Final = itemgetter(0)
_member: Final = itemgetter(1)


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


class _Once:
    """Hands on the first word and no other."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def __call__(self, what: str) -> None:
        self._tell(what)
        self._tell = lambda what: None


def write(
    dbs: Iterable[Database],
    aux: Sequence[tuple[bytes, bytes]] = (),
    functions: Iterable[bytes] = (),
    options: Options = _DEFAULTS,
    on_keys: Callable[[int], None] = lambda count: None,
    on_newer: Callable[[str], None] = lambda what: None,
) -> Iterator[bytes]:
    """A file with this data, in chunks. The data must not change until the last is taken.

    ``on_keys`` is told of keys that are done: how many more. ``on_newer`` is told, once, of
    something that servers of the wanted version cannot read. It is written all the same: a file
    that some servers refuse is better than one from which data are missing.
    """
    if not VERSION_MIN <= options.version <= VERSION_MAX:
        raise ValueError(f"cannot write RDB version {options.version}")
    told = _Once(on_newer)
    if not options.checksum:
        yield from _records(dbs, aux, functions, options, on_keys, told)
        yield bytes(CHECKSUM_BYTES)
        return
    crc = 0
    for chunk in _records(dbs, aux, functions, options, on_keys, told):
        crc = crc64(chunk, crc)
        yield chunk
    yield crc.to_bytes(CHECKSUM_BYTES, "little")


def _records(
    dbs: Iterable[Database],
    aux: Sequence[tuple[bytes, bytes]],
    functions: Iterable[bytes],
    options: Options,
    on_keys: Callable[[int], None],
    on_newer: Callable[[str], None],
) -> Iterator[bytes]:
    encoder = Encoder(options.compresses)
    string = encoder.string
    head = [MAGIC, b"%04d" % options.version]
    for name, value in aux:
        head += (bytes((AUX,)), string(name), string(value))
    for code in functions:
        if options.version < VERSION_LISTPACK:
            on_newer("functions")
        head += (bytes((FUNCTION,)), string(code))
    yield b"".join(head)
    for db in dbs:
        if db.data:
            sizes = encode_length(len(db.data)) + encode_length(len(db.expires))
            yield b"%c%b%c%b" % (SELECT, encode_length(db.index), RESIZE, sizes)
            yield from _keys(db, encoder, options, on_keys, on_newer)
    yield bytes((END,))


def _keys(
    db: Database,
    encoder: Encoder,
    options: Options,
    on_keys: Callable[[int], None],
    on_newer: Callable[[str], None],
) -> Iterator[bytes]:
    """The keys of a database, a thousand at a time."""
    every_plain = options.marks is Marks.NONE
    expires = db.expires.keys()
    names, values = iter(db.data), iter(db.data.values())
    while batch := list(islice(names, _BATCH)):
        held = list(islice(values, _BATCH))
        if every_plain and set(map(type, held)) == _PLAIN_TYPES and expires.isdisjoint(batch):
            chunk = _plain_strings(batch, held)
            if chunk is not None:
                on_keys(len(batch))
                yield chunk
                continue
        yield from _records_of(db, batch, held, encoder, options, on_newer)
        on_keys(len(batch))


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
    db: Database,
    names: list[bytes],
    values: list[Any],
    encoder: Encoder,
    options: Options,
    on_newer: Callable[[str], None],
) -> Iterator[bytes]:
    """The records of any keys.

    They are collected as strings, each with what leads to it: opcodes, types, counts, scores,
    whatever stands since the string before. So a thousand strings cost a few calls.
    """
    expires, marks, version = db.expires, options.marks, options.version
    texts: list[bytes] = []
    leads: list[bytes] = []
    lead = b""
    size = 0
    for name, value in zip(names, values, strict=True):
        if name in expires:
            lead += b"\xfc" + expires[name].to_bytes(8, "little", signed=True)
        if marks is Marks.IDLE:
            lead += bytes((IDLE,)) + encode_length(db.idle_seconds(name))
        elif marks is Marks.FREQUENCY:
            lead += bytes((FREQUENCY, db.frequency(name)))
        texts.append(name)
        kind = type(value)
        if kind is bytes:
            leads.append(lead + b"\0")
            if len(value) < _NUMBER_BYTES and (value.isdigit() or value[:1] == b"-"):
                lead = encoder.string(value)
                continue
            texts.append(value)
            leads.append(b"")
            lead = b""
            size += len(value)
        elif kind is int:
            leads.append(lead + b"\0")
            lead = encode_integer(value)
        elif code := plain_type(value, version):
            leads += (lead + HEADS[code], encode_length(len(value)))
            if kind is Hash:
                texts += chain.from_iterable(value.fields.items())
                leads += repeat(b"", 2 * len(value) - 1)
                lead = b""
            elif kind is ZSet:
                order = value.order[::-1]  # from the last: so Redis inserts each at the head
                texts += map(_member, order)
                scores = list(map(encode_double, map(_score, order)))
                lead = scores.pop()
                leads += scores
            else:
                texts += value.items if kind is List else value.members
                leads += repeat(b"", len(value) - 1)
                lead = b""
        else:
            code = value_type(value, version)
            if version_of(code) > version:
                on_newer(f"TTLs of fields, in key {repr(name)[1:]}")
            leads.append(lead + HEADS[code])
            pieces = iter(encode_value(value, code, encoder))
            lead = next(pieces)
            for piece in pieces:
                if texts:
                    yield encoder.interleaved(leads, texts)
                    texts, leads = [], []
                if len(lead) >= _CHUNK_BYTES:
                    yield lead
                    lead = b""
                lead += piece
            size += len(lead)
        if size >= _CHUNK_BYTES or len(texts) >= _TEXTS_MAX:
            yield encoder.interleaved(leads, texts)
            texts, leads = [], []
            size = 0
    yield encoder.interleaved(leads, texts) + lead
