"""One value in the RDB format: a type number and a body. It is what DUMP and RESTORE pass on.

Small collections are written as the one block that Redis keeps them in, so that they come
back in the same encoding; others element by element. The other way round, all types of all
versions are read. A value that was read gets the encoding that Redis 7.2 would give it: a
block stays one while it has few enough elements, element by element it is built anew.

Every block is looked through completely and every duplicate found, whatever
sanitize-dump-payload says: to Redis that is extra work, here a value has to be taken apart
in any case. So damaged data raise an error and never become part of a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from math import inf, isnan
from typing import Any, Final, Protocol

from pyredis.keyspace import Value
from pyredis.persistence import field_ttls, listpack
from pyredis.persistence.encoding import (
    Encoder,
    Source,
    encode_double,
    encode_integer,
    encode_length,
)
from pyredis.persistence.legacy import (
    decode_intset,
    decode_ziplist,
    decode_zipmap,
    encode_intset,
)
from pyredis.persistence.streams import decode_stream, encode_stream
from pyredis.types.doubles import format_double, parse_double, parse_doubles
from pyredis.types.hashes import Hash
from pyredis.types.lists import List
from pyredis.types.sets import HASHTABLE, INTSET, LISTPACK, Set, is_integer
from pyredis.types.streams import Stream
from pyredis.types.zset import ZSet

VERSION_MIN: Final = 9
"""The oldest version that can be written (Redis 5.0 to 6.2): those before have no streams."""
VERSION_MAX: Final = 12
"""The newest version that can be read, and written (Redis 7.4)."""
VERSION_DEFAULT: Final = 10
"""What Redis 7.0 writes."""
VERSION_LISTPACK: Final = 10
"""From here on there are blocks of today's kind, and functions."""
VERSION_FIELD_TTLS: Final = 12
"""From here on hashes can tell the TTLs of fields."""

STRING: Final = 0
LIST: Final = 1
SET: Final = 2
ZSET_TEXT: Final = 3
HASH: Final = 4
ZSET: Final = 5
MODULE: Final = 7
HASH_ZIPMAP: Final = 9
LIST_ZIPLIST: Final = 10
SET_INTSET: Final = 11
ZSET_ZIPLIST: Final = 12
HASH_ZIPLIST: Final = 13
LIST_OF_ZIPLISTS: Final = 14
STREAM_1: Final = 15
HASH_LISTPACK: Final = 16
ZSET_LISTPACK: Final = 17
LIST_OF_NODES: Final = 18
STREAM_2: Final = 19
SET_LISTPACK: Final = 20
STREAM_3: Final = 21
HASH_TTLS: Final = 24
HASH_TTLS_LISTPACK: Final = 25

_UNREADABLE: Final = {
    6: "module values of the first format",
    MODULE: "module values",
    22: "hashes with field expiry of a pre-release",
    23: "hashes with field expiry of a pre-release",
}

_BLOCKS: Final = {
    HASH_ZIPMAP: "Zipmap",
    LIST_ZIPLIST: "List ziplist",
    SET_INTSET: "Intset",
    ZSET_ZIPLIST: "Zset ziplist",
    HASH_ZIPLIST: "Hash ziplist",
    LIST_OF_ZIPLISTS: "Ziplist",
    HASH_LISTPACK: "Hash listpack",
    ZSET_LISTPACK: "Zset listpack",
    LIST_OF_NODES: "Listpack",
    SET_LISTPACK: "Set listpack",
    HASH_TTLS_LISTPACK: "Hash listpack",
}  # as Redis' log has it

_PLAIN, _PACKED = 1, 2  # the two kinds of nodes in LIST_OF_NODES
_NODE_BYTES: Final = 8192
_PLAIN_BYTES: Final = 1 << 30  # no listpack takes larger elements
_NAN, _INFINITE, _INFINITE_NEGATIVE = 253, 254, 255
_INTEGRAL_MAX: Final = float(1 << 62)
_INTSET_MAX: Final = 1 << 30
_BATCH: Final = 512
_FEW: Final = 512  # so many elements are written in one piece


class Limits(Protocol):
    """The directives that choose encodings; the configuration is one of these."""

    hash_max_listpack_entries: int
    hash_max_listpack_value: int
    list_max_listpack_size: int
    set_max_intset_entries: int
    set_max_listpack_entries: int
    set_max_listpack_value: int
    zset_max_listpack_entries: int
    zset_max_listpack_value: int


# Writing


def value_type(value: Value, version: int) -> int:
    """The type number under which a value is written in that version of the format.

    A hash whose fields have TTLs gets the type of version 12 whatever the version: otherwise the
    TTLs would be lost. Readers of older versions refuse it.
    """
    blocks = version >= VERSION_LISTPACK
    kind = type(value)
    if kind is bytes or kind is int or kind is bytearray:
        return STRING
    if kind is Hash:
        if field_ttls.has_deadlines(value):
            return HASH_TTLS if value.hashtable else HASH_TTLS_LISTPACK
        return HASH_LISTPACK if blocks and not value.hashtable else HASH
    if kind is List:
        return LIST_OF_NODES if blocks else LIST
    if kind is Set:
        if value.form == INTSET:
            return SET_INTSET
        return SET_LISTPACK if value.form == LISTPACK and version >= 11 else SET
    if kind is ZSet:
        return ZSET_LISTPACK if blocks and not value.skiplist else ZSET
    if kind is Stream:
        return STREAM_3 if version >= 11 else STREAM_2 if blocks else STREAM_1
    raise TypeError(f"no RDB type for {kind.__name__}")


def plain_type(value: Value, version: int) -> int:
    """The type under which a small collection is written element by element, or 0.

    It is 0 for all that has no such form, and where a reader would make something else of it.
    """
    kind = type(value)
    if kind is Hash:
        few = len(value.fields) <= _FEW and value.deadlines is None
        return HASH if few else 0
    if kind is ZSet:
        return ZSET if len(value.scores) <= _FEW else 0
    if kind is List:
        return LIST if type(value.items) is list and len(value.items) <= _FEW else 0
    if kind is Set and value.form != INTSET and len(value.members) <= _FEW:
        # A block of integers stays one, while integers one by one become an intset.
        block = value.form == LISTPACK and version >= 11
        return 0 if block and is_integer(next(iter(value.members))) else SET
    return 0


def version_of(kind: int) -> int:
    """The version from which on a type can be read, as far as it matters to the writer."""
    return VERSION_FIELD_TTLS if kind in (HASH_TTLS, HASH_TTLS_LISTPACK) else VERSION_MIN


def encode_value(value: Value, kind: int, encoder: Encoder) -> Iterable[bytes]:
    """The body of a value of that type, in pieces of moderate size where there are many."""
    if kind == STRING:
        if type(value) is int:
            return (encode_integer(value),)
        return (encoder.string(bytes(value)),)
    return _ENCODERS[kind](value, encoder)


def _encode_list(value: List, encoder: Encoder) -> Iterator[bytes]:
    nodes: Sequence[bytes]
    if type(value.items) is list and max(map(len, value.items), default=0) < _PLAIN_BYTES:
        nodes = (_packed_node(listpack.encode_entries(value.items), encoder),)
        return iter((encode_length(1), *nodes))
    nodes = list(_list_nodes(value, encoder))
    return chain((encode_length(len(nodes)),), nodes)


def _list_nodes(value: List, encoder: Encoder) -> Iterator[bytes]:
    entries: list[bytes] = []
    size = 0
    for item in value:
        entry = listpack.encode_entry(item) if len(item) < _PLAIN_BYTES else None
        if entries and (entry is None or size + len(entry) > _NODE_BYTES):
            yield _packed_node(entries, encoder)
            entries = []
            size = 0
        if entry is None:
            yield encode_length(_PLAIN) + encoder.string(item)
        else:
            entries.append(entry)
            size += len(entry)
    if entries:
        yield _packed_node(entries, encoder)


def _packed_node(entries: list[bytes], encoder: Encoder) -> bytes:
    return encode_length(_PACKED) + encoder.string(listpack.pack(entries))


def _encode_plain_list(value: List, encoder: Encoder) -> Iterator[bytes]:
    yield encode_length(len(value))
    yield from encoder.strings(value.items)


def _encode_set(value: Set, encoder: Encoder) -> Iterator[bytes]:
    yield encode_length(len(value))
    yield from encoder.strings(value.members)


def _encode_set_listpack(value: Set, encoder: Encoder) -> Iterable[bytes]:
    return (encoder.string(listpack.encode(value.members)),)


def _encode_intset(value: Set, encoder: Encoder) -> Iterable[bytes]:
    return (encoder.string(encode_intset(list(map(int, value.members)))),)


def _encode_hash(value: Hash, encoder: Encoder) -> Iterator[bytes]:
    yield encode_length(len(value))
    yield from encoder.strings(chain.from_iterable(value.fields.items()))


def _encode_hash_listpack(value: Hash, encoder: Encoder) -> Iterable[bytes]:
    return (encoder.string(listpack.encode(chain.from_iterable(value.fields.items()))),)


def _encode_zset(value: ZSet, encoder: Encoder) -> Iterator[bytes]:
    yield encode_length(len(value))
    pieces: list[bytes] = []
    for score, member in value:
        pieces += (encoder.string(member), encode_double(score))
        if len(pieces) >= _BATCH:
            yield b"".join(pieces)
            pieces.clear()
    yield b"".join(pieces)


def _encode_zset_listpack(value: ZSet, encoder: Encoder) -> Iterable[bytes]:
    entries: list[listpack.Entry] = []
    for score, member in value:
        entries += (member, _score_entry(score))
    return (encoder.string(listpack.encode(entries)),)


def _score_entry(score: float) -> listpack.Entry:
    if -_INTEGRAL_MAX <= score <= _INTEGRAL_MAX and score == int(score):
        return int(score)
    return format_double(score)


_ENCODERS: Final[dict[int, Callable[[Any, Encoder], Iterable[bytes]]]] = {
    LIST: _encode_plain_list,
    LIST_OF_NODES: _encode_list,
    SET: _encode_set,
    SET_INTSET: _encode_intset,
    SET_LISTPACK: _encode_set_listpack,
    HASH: _encode_hash,
    HASH_LISTPACK: _encode_hash_listpack,
    HASH_TTLS: field_ttls.encode_large,
    HASH_TTLS_LISTPACK: field_ttls.encode_small,
    ZSET: _encode_zset,
    ZSET_LISTPACK: _encode_zset_listpack,
    STREAM_1: lambda value, encoder: encode_stream(value, encoder, 1),
    STREAM_2: lambda value, encoder: encode_stream(value, encoder, 2),
    STREAM_3: lambda value, encoder: encode_stream(value, encoder, 3),
}


# Reading


def decode_value(kind: int, source: Source, limits: Limits) -> Value | None:
    """The value of that type that stands there; None for an empty collection, which is no value.

    Raises Short if the data end before the value does, ValueError if they are damaged or of a
    type that cannot be read. Then nothing of it is left behind.
    """
    if kind == STRING:
        return source.value()
    decoder = _DECODERS.get(kind)
    if decoder is None:
        what = _UNREADABLE.get(kind)
        raise ValueError(f"{what} cannot be read" if what else f"unknown value type {kind}")
    try:
        return decoder(source, limits)
    except ValueError as error:
        block = _BLOCKS.get(kind)
        if block is None:
            raise
        raise ValueError(f"{block} integrity check failed: {error}") from None


def _decode_list(source: Source, limits: Limits) -> List | None:
    return _list_of(source.strings(source.count()), limits)


def _decode_list_ziplist(source: Source, limits: Limits) -> List | None:
    return _list_of(decode_ziplist(source.string()), limits)


def _decode_list_of_ziplists(source: Source, limits: Limits) -> List | None:
    return _join((decode_ziplist(source.string()) for _ in range(source.count())), limits)


def _decode_list_of_nodes(source: Source, limits: Limits) -> List | None:
    count = source.count(2)
    if count == 1:
        return _list_of(_decode_list_node(source), limits)
    return _join((_decode_list_node(source) for _ in range(count)), limits)


def _decode_list_node(source: Source) -> list[bytes]:
    kind = source.length()
    data = source.string()
    if kind == _PACKED:
        return listpack.decode(data)
    if kind == _PLAIN:
        return [data] if data else []
    raise ValueError(f"list node of unknown kind {kind}")


def _join(nodes: Iterable[list[bytes]], limits: Limits) -> List | None:
    """The list of all entries; one of several nodes is large by that alone."""
    filled = [node for node in nodes if node]
    values = list(chain.from_iterable(filled))
    return List.of(values, 1) if len(filled) > 1 else _list_of(values, limits)


def _list_of(values: list[bytes], limits: Limits) -> List | None:
    return List.of(values, limits.list_max_listpack_size) if values else None


def _decode_set(source: Source, limits: Limits) -> Set | None:
    count = source.count()
    members = _members(source.strings(count))
    intset_max = min(limits.set_max_intset_entries, _INTSET_MAX)
    if count > intset_max:
        return _set_of(members, HASHTABLE)
    return Set.of(members, limits) if members else None


def _decode_intset(source: Source, limits: Limits) -> Set | None:
    members = dict.fromkeys(map(b"%d".__mod__, decode_intset(source.string())))
    fits = len(members) <= limits.set_max_intset_entries
    return _set_of(members, INTSET if fits else HASHTABLE)


def _decode_set_listpack(source: Source, limits: Limits) -> Set | None:
    members = _members(listpack.decode(source.string()))
    fits = len(members) <= limits.set_max_listpack_entries
    return _set_of(members, LISTPACK if fits else HASHTABLE)


def _members(found: list[bytes]) -> dict[bytes, None]:
    members = dict.fromkeys(found)
    if len(members) != len(found):
        raise ValueError("set with a member twice")
    return members


def _set_of(members: dict[bytes, None], form: int) -> Set | None:
    made = Set()
    made.members = members
    made.form = form
    return made if members else None


def _decode_hash(source: Source, limits: Limits) -> Hash | None:
    found = source.strings(2 * source.count(2))
    made = _hash_of(found, limits)
    if made is not None and max(map(len, found)) > limits.hash_max_listpack_value:
        made.hashtable = True
    return made


def _decode_zipmap(source: Source, limits: Limits) -> Hash | None:
    fields = _fields(decode_zipmap(source.string()))
    return Hash.of(fields, limits) if fields else None


def _decode_hash_ziplist(source: Source, limits: Limits) -> Hash | None:
    return _hash_of(decode_ziplist(source.string()), limits)


def _decode_hash_listpack(source: Source, limits: Limits) -> Hash | None:
    return _hash_of(listpack.decode(source.string()), limits)


def _hash_of(found: list[bytes], limits: Limits) -> Hash | None:
    made = Hash()
    made.fields = _fields(found)
    made.hashtable = len(made.fields) > limits.hash_max_listpack_entries
    return made if made.fields else None


def _fields(found: list[bytes]) -> dict[bytes, bytes]:
    turns = iter(found)
    fields = dict(zip(turns, turns, strict=False))
    if 2 * len(fields) != len(found):
        what = "that has no value" if len(found) % 2 else "twice"
        raise ValueError(f"hash with a field {what}")
    return fields


def _decode_zset(source: Source, limits: Limits) -> ZSet | None:
    return _zset_of(*source.scored(source.length()), limits)


def _decode_zset_text(source: Source, limits: Limits) -> ZSet | None:
    members: list[bytes] = []
    scores: list[float] = []
    for _ in range(source.count(2)):
        members.append(source.string())
        scores.append(_text_score(source))
    return _zset_of(members, scores, limits)


def _text_score(source: Source) -> float:
    size = source.byte()
    if size >= _NAN:
        return {_INFINITE: inf, _INFINITE_NEGATIVE: -inf}.get(size, float("nan"))
    return parse_double(source.take(size))


def _decode_zset_ziplist(source: Source, limits: Limits) -> ZSet | None:
    return _zset_of_entries([*decode_ziplist(source.string())], limits)


def _decode_zset_listpack(source: Source, limits: Limits) -> ZSet | None:
    return _zset_of_entries(listpack.decode_entries(source.string()), limits)


def _zset_of_entries(found: list[listpack.Entry], limits: Limits) -> ZSet | None:
    if len(found) % 2:
        raise ValueError("sorted set with a member that has no score")
    members, entries = listpack.texts(found[0::2]), found[1::2]
    if bytes in map(type, entries):
        scores = parse_doubles(listpack.texts(entries))
    else:
        scores = list(map(float, entries))
    # A block stays one whatever is in it, as long as it is short enough.
    return _zset_taking(members, scores, len(members) > limits.zset_max_listpack_entries)


def _zset_of(members: list[bytes], scores: list[float], limits: Limits) -> ZSet | None:
    if any(map(isnan, scores)):
        raise ValueError("sorted set with a score that is not a number")
    skiplist = (
        len(members) > limits.zset_max_listpack_entries
        or max(map(len, members), default=0) > limits.zset_max_listpack_value
    )
    return _zset_taking(members, scores, skiplist)


def _zset_taking(members: list[bytes], scores: list[float], skiplist: bool) -> ZSet | None:
    if not skiplist and 0.0 in scores:
        scores = [score + 0.0 for score in scores]  # turns -0.0 into 0.0
    pairs = dict(zip(members, scores, strict=True))
    if len(pairs) != len(members):
        raise ValueError("sorted set with a member twice")
    return ZSet.taking(pairs, skiplist) if pairs else None


_DECODERS: Final[dict[int, Callable[[Source, Limits], Value | None]]] = {
    LIST: _decode_list,
    SET: _decode_set,
    ZSET_TEXT: _decode_zset_text,
    HASH: _decode_hash,
    ZSET: _decode_zset,
    HASH_ZIPMAP: _decode_zipmap,
    LIST_ZIPLIST: _decode_list_ziplist,
    SET_INTSET: _decode_intset,
    ZSET_ZIPLIST: _decode_zset_ziplist,
    HASH_ZIPLIST: _decode_hash_ziplist,
    LIST_OF_ZIPLISTS: _decode_list_of_ziplists,
    STREAM_1: lambda source, limits: decode_stream(source, 1),
    HASH_LISTPACK: _decode_hash_listpack,
    ZSET_LISTPACK: _decode_zset_listpack,
    LIST_OF_NODES: _decode_list_of_nodes,
    STREAM_2: lambda source, limits: decode_stream(source, 2),
    SET_LISTPACK: _decode_set_listpack,
    STREAM_3: lambda source, limits: decode_stream(source, 3),
    HASH_TTLS: field_ttls.decode_large,
    HASH_TTLS_LISTPACK: field_ttls.decode_small,
}
