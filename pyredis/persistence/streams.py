"""A stream as a value in the RDB format: nodes, then what it remembers, then its groups.

    number of nodes, then for each: ID of its first entry (a string of 16 bytes), a listpack
    length; last ID; from version 2 on: first ID, greatest deleted ID, entries ever added
    number of groups, then for each:
        name; last ID; from version 2 on: entries read (-1 as 2**64 - 1)
        number of pending entries, then for each: ID (16 bytes), delivery time, count
        number of consumers, then for each:
            name; time seen; from version 3 on: time active
            number of its pending entries, then their IDs

IDs are two lengths unless said otherwise; times are Unix times in ms in 8 bytes.

A node's listpack starts with the *master entry*: the numbers of entries and of deleted
ones, the number of field names, the names, and 0. An entry is

    flags, ID less the node's in two numbers, [number of fields,] content, entries to go back

With SAME_FIELDS the names are the master entry's and only values are there. A deleted
entry stays where it is, with a flag. Here it is gone, so nodes are written without; of nodes
read, the deleted entries still count for when the node is full.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pyredis.persistence import listpack
from pyredis.persistence.encoding import Encoder, Source, encode_length
from pyredis.types.stream_groups import UNKNOWN, Consumer, Group, Nack
from pyredis.types.stream_ids import SEQ_MAX
from pyredis.types.streams import Fields, Node, Stream

_ID_BYTES: Final = 16
_DELETED: Final = 1
_SAME_FIELDS: Final = 2
_PENDING_BYTES: Final = _ID_BYTES + 8 + 1
_INT64_SIGN: Final = 1 << 63


def encode_stream(stream: Stream, encoder: Encoder, version: int) -> Iterator[bytes]:
    """The body of a stream, of version 1 to 3, in pieces."""
    nodes = [node for node in stream.nodes if node.ids]
    yield encode_length(len(nodes))
    for node in nodes:
        yield bytes((_ID_BYTES,)) + _id_bytes(node.first_id)
        yield encoder.string(_node(node))
    yield encode_length(stream.length) + _id(stream.last_id)
    if version > 1:
        yield _id(stream.first_id) + _id(stream.max_deleted_id)
        yield encode_length(stream.entries_added)
    yield encode_length(len(stream.groups))
    for name, group in stream.groups.items():
        yield encoder.string(name) + _id(group.last_id)
        if version > 1:
            yield encode_length(group.entries_read & SEQ_MAX)
        yield encode_length(len(group.pending))
        for entry_id, nack in group.pending.items():
            yield _id_bytes(entry_id) + _time(nack.time_ms) + encode_length(nack.delivered)
        yield encode_length(len(group.consumers))
        for consumer in group.consumers.values():
            yield encoder.string(consumer.name) + _time(consumer.seen_ms)
            if version > 2:
                yield _time(consumer.active_ms)
            yield encode_length(len(consumer.pending))
            yield b"".join(_id_bytes(entry_id) for entry_id, _ in consumer.pending.items())


def _id(entry_id: int) -> bytes:
    return encode_length(entry_id >> 64) + encode_length(entry_id & SEQ_MAX)


def _id_bytes(entry_id: int) -> bytes:
    return entry_id.to_bytes(_ID_BYTES, "big")


def _time(time_ms: int) -> bytes:
    return time_ms.to_bytes(8, "little", signed=True)


def _node(node: Node) -> bytes:
    """The listpack of a node without the entries that were deleted."""
    names = node.fields
    entries: list[listpack.Entry] = [len(node.ids), 0, len(names), *names, 0]
    first_ms, first_seq = node.first_id >> 64, node.first_id & SEQ_MAX
    for entry_id, content in zip(node.ids, node.entries, strict=True):
        ms = _difference(entry_id >> 64, first_ms)
        seq = _difference(entry_id & SEQ_MAX, first_seq)
        if content[0::2] == names:
            entries += (_SAME_FIELDS, ms, seq, *content[1::2], len(names) + 3)
        else:
            entries += (0, ms, seq, len(content) // 2, *content, len(content) + 4)
    return listpack.encode(entries)


def _difference(number: int, less: int) -> int:
    """A difference of unsigned numbers as C keeps it in a signed one."""
    return (number - less + _INT64_SIGN & SEQ_MAX) - _INT64_SIGN


def decode_stream(source: Source, version: int) -> Stream:
    """The stream that stands there. Raises ValueError for a damaged one."""
    stream = Stream()
    for _ in range(source.count(2)):
        key = source.string()
        if len(key) != _ID_BYTES:
            raise ValueError("stream node with a key that is no ID")
        node = _decode_node(int.from_bytes(key, "big"), source.string())
        if stream.nodes and node.first_id <= stream.nodes[-1].last_id:
            raise ValueError("stream nodes out of order")
        stream.nodes.append(node)
    stream.length = source.length()
    if stream.length != sum(len(node.ids) for node in stream.nodes):
        raise ValueError("stream with another number of entries than it says")
    stream.last_id = _read_id(source)
    if stream.top_id > stream.last_id:
        raise ValueError("stream with entries behind its last one")
    if version > 1:
        _read_id(source)  # the first one, which the nodes tell
        stream.max_deleted_id = _read_id(source)
        stream.entries_added = source.length()
    else:
        stream.entries_added = stream.length
    for _ in range(source.count(5)):
        name = source.string()
        if name in stream.groups:
            raise ValueError("stream with two groups of the same name")
        stream.groups[name] = _decode_group(source, stream, version)
    return stream


def _decode_node(first_id: int, data: bytes) -> Node:
    try:
        return _parse_node(first_id, listpack.decode(data))
    except (IndexError, StopIteration):
        reason = "stream node that ends within an entry"
    except ValueError as error:
        reason = str(error)
    raise ValueError(f"Stream listpack integrity check failed: {reason}") from None


def _parse_node(first_id: int, entries: list[bytes]) -> Node:
    count, deleted, width = (int(entry) for entry in entries[:3])
    if width < 1 or count < 0 or deleted < 0:
        raise ValueError("stream node with a wrong head")
    names = tuple(entries[3 : 3 + width])
    at = 3 + width
    if entries[at] != b"0":
        raise ValueError("stream node with a wrong head")
    at += 1
    node = Node(first_id, names)
    gone: list[int] = []
    last = len(entries)
    first_ms, first_seq = first_id >> 64, first_id & SEQ_MAX
    previous = first_id - 1
    while at < last:
        flags = int(entries[at])
        ms = first_ms + int(entries[at + 1]) & SEQ_MAX
        entry_id = ms << 64 | (first_seq + int(entries[at + 2]) & SEQ_MAX)
        start = at + 3
        content: Fields
        if flags & _SAME_FIELDS:
            stop = start + width
            if width == 1:
                content = (names[0], entries[start])
            else:
                mixed = [b""] * (2 * width)
                mixed[0::2] = names
                mixed[1::2] = entries[start:stop]
                content = tuple(mixed)
        else:
            start += 1
            stop = start + 2 * int(entries[at + 3])
            content = tuple(entries[start:stop])
        if not content or stop < start or entry_id <= previous:
            raise ValueError("stream node with a wrong entry")
        if int(entries[stop]) != stop - at:
            raise ValueError("stream node with an entry of a wrong length")
        if flags & _DELETED:
            gone.append(len(node.ids))
        node.add(entry_id, content)
        previous = entry_id
        at = stop + 1
    if len(gone) != deleted or len(node.ids) != count + deleted:
        raise ValueError("stream node with another number of entries than it says")
    for place in reversed(gone):
        node.drop(place, place + 1)
    return node


def _decode_group(source: Source, stream: Stream, version: int) -> Group:
    group = Group(_read_id(source))
    if version > 1:
        read = source.length()
        group.entries_read = read - (1 << 64) if read >= _INT64_SIGN else read
    else:
        before = stream.entries_before(group.last_id)
        group.entries_read = UNKNOWN if before is None else before
    for _ in range(source.count(_PENDING_BYTES)):
        entry_id = int.from_bytes(source.take(_ID_BYTES), "big")
        if entry_id in group.pending:
            raise ValueError("stream group with an entry pending twice")
        time_ms = _read_time(source)
        group.pending.add(entry_id, Nack(b"", time_ms, source.length()))
    owned: set[int] = set()
    for _ in range(source.count(10)):
        name = source.string()
        if name in group.consumers:
            raise ValueError("Duplicate stream consumer detected")
        consumer = group.consumers[name] = Consumer(name, _read_time(source))
        consumer.active_ms = _read_time(source) if version > 2 else consumer.seen_ms
        for _ in range(source.count(_ID_BYTES)):
            entry_id = int.from_bytes(source.take(_ID_BYTES), "big")
            nack = group.pending.get(entry_id)
            if nack is None or entry_id in owned:
                raise ValueError("stream consumer with an entry that is not pending for it")
            nack.consumer = name
            consumer.pending.add(entry_id, nack)
            owned.add(entry_id)
    if len(owned) != len(group.pending):
        raise ValueError("stream group with a pending entry that nobody has")
    return group


def _read_id(source: Source) -> int:
    ms = source.length()
    return ms << 64 | source.length()


def _read_time(source: Source) -> int:
    return int.from_bytes(source.take(8), "little", signed=True)
