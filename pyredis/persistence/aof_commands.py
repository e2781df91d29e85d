"""All data as commands: what a base holds where it is not to be an RDB file. No I/O.

For each value the shortest way to make it again: collections in commands of 64 elements,
streams entry by entry and then what they remember, with their groups, consumers and pending
entries; expiries, of keys and of fields, as Unix times. Some 2 microseconds a string, and one an
element.

The commands are Redis' own, so that either server loads what the other wrote. What they
cannot tell is lost in both: a pending entry that was deleted from its stream, idle times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from pyredis.resp import encode_command
from pyredis.types.doubles import format_double
from pyredis.types.hashes import Hash
from pyredis.types.lists import List
from pyredis.types.sets import Set
from pyredis.types.stream_ids import format_id
from pyredis.types.streams import Stream
from pyredis.types.zset import ZSet

if TYPE_CHECKING:
    from pyredis.keyspace import Database

ITEMS_MAX: Final = 64
_CHUNK_BYTES: Final = 1 << 16
_KEYS_MAX: Final = 1000


def write(
    dbs: Iterable[Database],
    functions: Iterable[bytes] = (),
    time_s: int = 0,
    on_keys: Callable[[int], None] = lambda count: None,
) -> Iterator[bytes]:
    """The commands, in chunks, after a timestamp if there is one.

    The data must not change until the last chunk is taken. ``on_keys`` is told of keys that
    are done: how many more.
    """
    if time_s:
        yield b"#TS:%d\r\n" % time_s
    for code in functions:
        yield encode_command((b"FUNCTION", b"LOAD", code))
    for db in dbs:
        if db.data:
            yield encode_command((b"SELECT", b"%d" % db.index))
            yield from _database(db, on_keys)


def _database(db: Database, on_keys: Callable[[int], None]) -> Iterator[bytes]:
    expires = db.expires
    pieces: list[bytes] = []
    size = keys = 0
    for key, value in db.data.items():
        for piece in commands_for(key, value):
            pieces.append(piece)
            size += len(piece)
            if size >= _CHUNK_BYTES:
                yield b"".join(pieces)
                pieces.clear()
                size = 0
        if key in expires:
            pieces.append(encode_command((b"PEXPIREAT", key, b"%d" % expires[key])))
        keys += 1
        if keys == _KEYS_MAX:
            on_keys(keys)
            keys = 0
    on_keys(keys)
    yield b"".join(pieces)


def commands_for(key: bytes, value: Any) -> Iterator[bytes]:
    """What makes this value under this key."""
    kind = type(value)
    if kind is bytes or kind is bytearray or kind is int:
        text = b"%d" % value if kind is int else value
        yield b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(text), text)
    elif kind is List:
        yield from _batches(b"RPUSH", key, value, 1)
    elif kind is Set:
        yield from _batches(b"SADD", key, value.members, 1)
    elif kind is ZSet:
        pairs = ((format_double(score), member) for score, member in value)
        yield from _batches(b"ZADD", key, chain.from_iterable(pairs), 2)
    elif kind is Hash:
        yield from _batches(b"HMSET", key, chain.from_iterable(value.fields.items()), 2)
        for field, when_ms in value.deadlines.when.items() if value.deadlines else ():
            yield encode_command((b"HPEXPIREAT", key, b"%d" % when_ms, b"FIELDS", b"1", field))
    elif kind is Stream:
        yield from _stream(key, value)
    else:
        raise TypeError(f"no commands for {kind.__name__}")


def _batches(name: bytes, key: bytes, items: Iterable[bytes], width: int) -> Iterator[bytes]:
    """Commands that take some elements each; an element is ``width`` arguments."""
    left = iter(items)
    while batch := tuple(islice(left, ITEMS_MAX * width)):
        yield encode_command((name, key, *batch))


def _stream(key: bytes, stream: Stream) -> Iterator[bytes]:
    if stream.length:
        for entry_id, content in stream:
            yield encode_command((b"XADD", key, format_id(entry_id), *content))
    else:
        # There is no other way to make an empty stream that has no group.
        yield encode_command((b"XADD", key, b"MAXLEN", b"0", b"0-1", b"x", b"y"))
    added = b"%d" % stream.entries_added
    deleted = format_id(stream.max_deleted_id)
    last = format_id(stream.last_id)
    yield encode_command((b"XSETID", key, last, b"ENTRIESADDED", added, b"MAXDELETEDID", deleted))
    for name, group in stream.groups.items():
        place = (format_id(group.last_id), b"ENTRIESREAD", b"%d" % group.entries_read)
        yield encode_command((b"XGROUP", b"CREATE", key, name, *place))
        for consumer in group.consumers.values():
            owner: Sequence[bytes] = (key, name, consumer.name)
            if not consumer.pending:
                yield encode_command((b"XGROUP", b"CREATECONSUMER", *owner))
            for entry_id, nack in consumer.pending.items():
                times = (b"TIME", b"%d" % nack.time_ms, b"RETRYCOUNT", b"%d" % nack.delivered)
                entry = (b"0", format_id(entry_id), *times, b"JUSTID", b"FORCE")
                yield encode_command((b"XCLAIM", *owner, *entry))
