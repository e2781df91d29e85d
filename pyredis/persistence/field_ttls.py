"""Hashes whose fields have TTLs, in the RDB format (Redis 7.4).

Two types, as for other hashes. Both begin with the earliest deadline in 8 bytes, little-endian,
0 if there is none:

    large   number of fields; for each a TTL as a length, the field, its value.
            The TTL is 0 for none, else deadline - earliest deadline + 1
    small   a listpack of field, value, deadline for each, in the order of the deadlines; those
            with 0, which is none, come last

Such a value cannot be told in older versions of the format, so it is written in this one
whatever the version of the rest; older servers refuse it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pyredis.persistence import listpack
from pyredis.persistence.encoding import Encoder, Source, encode_length
from pyredis.types.hashes import Hash, Limits

_TIME_BYTES: Final = 8
_BATCH: Final = 512
_NEVER: Final = 1 << 64
TIME_MAX_MS: Final = (1 << 48) - 2
"""The latest deadline that Redis has room for. Commands stop well before."""


def has_deadlines(value: Hash) -> bool:
    """Whether a hash needs one of these types."""
    return value.deadlines is not None and len(value.deadlines) > 0


# Writing


def encode_large(value: Hash, encoder: Encoder) -> Iterator[bytes]:
    """The body of a large hash that has deadlines, in pieces."""
    assert value.deadlines is not None
    when, first_ms = value.deadlines.when, value.deadlines.next_ms() or 0
    yield first_ms.to_bytes(_TIME_BYTES, "little") + encode_length(len(value))
    pieces: list[bytes] = []
    for field, content in value.fields.items():
        when_ms = when.get(field)
        ttl = 0 if when_ms is None else when_ms - first_ms + 1
        pieces += (encode_length(ttl), encoder.string(field), encoder.string(content))
        if len(pieces) >= _BATCH:
            yield b"".join(pieces)
            pieces.clear()
    yield b"".join(pieces)


def encode_small(value: Hash, encoder: Encoder) -> Iterable[bytes]:
    """The body of a small hash that has deadlines."""
    assert value.deadlines is not None
    when, first_ms = value.deadlines.when, value.deadlines.next_ms() or 0
    entries: list[listpack.Entry] = []
    for field in sorted(value.fields, key=lambda field: when.get(field, _NEVER)):
        entries += (field, value.fields[field], when.get(field, 0))
    return (first_ms.to_bytes(_TIME_BYTES, "little"), encoder.string(listpack.encode(entries)))


# Reading. Both raise ValueError for damaged data.


def decode_large(source: Source, limits: Limits) -> Hash | None:
    """The hash of a large body, None for one without fields."""
    first_ms = int.from_bytes(source.take(_TIME_BYTES), "little")
    fields: dict[bytes, bytes] = {}
    deadlines: dict[bytes, int] = {}
    count = source.count(3)
    for _ in range(count):
        ttl = source.length()
        field = source.string()
        fields[field] = source.string()
        if ttl:
            deadlines[field] = first_ms + ttl - 1
    _check(fields, count, deadlines)
    return _hash(Hash.of(fields, limits), deadlines)


def decode_small(source: Source, limits: Limits) -> Hash | None:
    """The hash of a small body, None for one without fields."""
    source.take(_TIME_BYTES)
    found = listpack.decode(source.string())
    if len(found) % 3:
        raise ValueError("hash with a field that lacks its value or deadline")
    fields = dict(zip(found[0::3], found[1::3], strict=True))
    times = zip(found[0::3], map(int, found[2::3]), strict=True)
    deadlines = {field: when_ms for field, when_ms in times if when_ms}
    _check(fields, len(found) // 3, deadlines)
    made = Hash()
    made.fields = fields
    made.hashtable = len(fields) > limits.hash_max_listpack_entries
    return _hash(made, deadlines)


def _check(fields: dict[bytes, bytes], count: int, deadlines: dict[bytes, int]) -> None:
    if len(fields) != count:
        raise ValueError("hash with a field twice")
    if not all(0 < when_ms <= TIME_MAX_MS for when_ms in deadlines.values()):
        raise ValueError("hash with a deadline that is no time")


def _hash(made: Hash, deadlines: dict[bytes, int]) -> Hash | None:
    for field, when_ms in deadlines.items():
        made.set_deadline(field, when_ms)
    return made if made.fields else None
