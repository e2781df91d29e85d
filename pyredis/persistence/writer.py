"""Writing RDB files: an iterator of chunks, without I/O.

Most keys are plain strings without expiry, so a thousand keys are taken at a time; if all of
them are such strings, and short, the heads of their records come from tables by way of
``map``, and no Python code runs for a single key. Everything else costs about a microsecond a
key or element, compression apart. Large collections come in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pyredis.persistence.encoding import (
    COMPRESSIBLE_BYTES,
    HEADS,
    Encoder,
    crc64,
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
    VERSION_MAX,
    VERSION_MIN,
    encode_value,
    value_type,
)

if TYPE_CHECKING:
    from pyredis.keyspace import Database

_BATCH: Final = 1024
_CHUNK_BYTES: Final = 1 << 16
_STRING_HEADS: Final = tuple(b"\0" + head for head in HEADS)
_SHORT_HEADS: Final = HEADS[:COMPRESSIBLE_BYTES]
_PLAIN_TYPES: Final = {bytes}


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
    on_keys: Callable[[int], None] = lambda count: None,
) -> Iterator[bytes]:
    """A file with this data, in chunks. The data must not change until the last is taken.

    ``on_keys`` is told of keys that are done: how many more.
    """
    if not VERSION_MIN <= options.version <= VERSION_MAX:
        raise ValueError(f"cannot write RDB version {options.version}")
    if not options.checksum:
        yield from _records(dbs, aux, functions, options, on_keys)
        yield bytes(CHECKSUM_BYTES)
        return
    crc = 0
    for chunk in _records(dbs, aux, functions, options, on_keys):
        crc = crc64(chunk, crc)
        yield chunk
    yield crc.to_bytes(CHECKSUM_BYTES, "little")


def _records(
    dbs: Iterable[Database],
    aux: Sequence[tuple[bytes, bytes]],
    functions: Iterable[bytes],
    options: Options,
    on_keys: Callable[[int], None],
) -> Iterator[bytes]:
    encoder = Encoder(options.compresses)
    string = encoder.string
    head = [MAGIC, b"%04d" % options.version]
    for name, value in aux:
        head += (bytes((AUX,)), string(name), string(value))
    for code in functions:
        head += (bytes((FUNCTION,)), string(code))
    yield b"".join(head)
    for db in dbs:
        if db.data:
            sizes = encode_length(len(db.data)) + encode_length(len(db.expires))
            yield b"%c%b%c%b" % (SELECT, encode_length(db.index), RESIZE, sizes)
            yield from _keys(db, encoder, options, on_keys)
    yield bytes((END,))


def _keys(
    db: Database, encoder: Encoder, options: Options, on_keys: Callable[[int], None]
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
        yield from _records_of(db, batch, held, encoder, options)
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
            parts.append(bytes((IDLE,)) + encode_length(db.idle_seconds(name)))
        elif marks is Marks.FREQUENCY:
            parts.append(bytes((FREQUENCY, db.frequency(name))))
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
