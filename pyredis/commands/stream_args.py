"""What the commands of streams have in common: reading IDs, finding groups, replying entries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NoReturn

from pyredis.commands.args import INT64_MAX, c_string, integer, integer_in
from pyredis.context import Context
from pyredis.resp import Error, Reply
from pyredis.types.stream_groups import Consumer, Group, Nack
from pyredis.types.stream_ids import ID_MAX, SEQ_MAX, format_id, parse_id
from pyredis.types.streams import Fields, Stream

INVALID_ID: Final = "ERR Invalid stream ID specified as stream command argument"

_ENDS: Final = {b"-": 0, b"+": ID_MAX}


# IDs


def exact_id(arg: bytes) -> int:
    """An ID with 0 for a missing sequence number; ``-`` and ``+`` are errors."""
    entry_id = parse_id(arg)
    if entry_id is None:
        raise Error(INVALID_ID)
    return entry_id


def any_id(arg: bytes, seq_missing: int = 0) -> int:
    """An ID, or ``-`` for the lowest and ``+`` for the highest there can be."""
    entry_id = _ENDS.get(arg)
    if entry_id is None:
        entry_id = parse_id(arg, seq_missing)
        if entry_id is None:
            raise Error(INVALID_ID)
    return entry_id


def interval_start(arg: bytes) -> int:
    """The first ID of an interval; ``(id`` leaves that one out."""
    if len(arg) < 2 or arg[:1] != b"(":
        return any_id(arg)
    start = exact_id(arg[1:])
    if start == ID_MAX:
        raise Error("ERR invalid start ID for the interval")
    return start + 1


def interval_end(arg: bytes) -> int:
    """The last ID of an interval; ``(id`` leaves that one out."""
    if len(arg) < 2 or arg[:1] != b"(":
        return any_id(arg, SEQ_MAX)
    end = parse_id(arg[1:], SEQ_MAX)
    if end is None:
        raise Error(INVALID_ID)
    if end == 0:
        raise Error("ERR invalid end ID for the interval")
    return end - 1


# Other arguments


def count_or_all(arg: bytes) -> int:
    """A COUNT: how many entries at most, 0 for all if it is negative."""
    return max(0, integer(arg))


def block_deadline_ms(ctx: Context, arg: bytes) -> int:
    """When a BLOCK of so many milliseconds ends; 0 for never."""
    timeout_ms = integer(arg, "ERR timeout is not an integer or out of range")
    if timeout_ms < 0:
        raise Error("ERR timeout is negative")
    if timeout_ms > INT64_MAX - ctx.now_ms:
        raise Error("ERR timeout is out of range")
    return ctx.now_ms + timeout_ms if timeout_ms else 0


def entries_read(arg: bytes) -> int:
    """The value of ENTRIESREAD: a count, or -1 if that is not known."""
    integer(arg)
    return integer_in(arg, -1, INT64_MAX, "ERR value for ENTRIESREAD must be positive or -1")


# Deleting

KEEP_REFERENCES: Final = b"KEEPREF"
DELETE_REFERENCES: Final = b"DELREF"
ACKNOWLEDGED: Final = b"ACKED"
REFERENCE_POLICIES: Final = frozenset((KEEP_REFERENCES, DELETE_REFERENCES, ACKNOWLEDGED))
"""What becomes of the pending entries of groups when an entry is deleted: they stay, go along,
or keep the entry from being deleted."""


# Groups


def no_group(key: bytes, group: bytes, where: bytes = b"") -> NoReturn:
    """Raise the error for a key or a group that is not there."""
    names = c_string(key), c_string(group)
    raise Error(b"NOGROUP No such key '%b' or consumer group '%b'%b" % (*names, where))


def no_such_group(key: bytes, group: bytes) -> NoReturn:
    """Raise the error for a group that is not there, though the key is."""
    names = c_string(group), c_string(key)
    raise Error(b"NOGROUP No such consumer group '%b' for key name '%b'" % names)


def find_group(stream: Stream | None, key: bytes, name: bytes) -> tuple[Stream, Group]:
    """The group of that name with its stream; raises NOGROUP if one of them is missing."""
    group = stream.groups.get(name) if stream is not None else None
    if stream is None or group is None:
        no_group(key, name)
    return stream, group


def see_consumer(ctx: Context, key: bytes, group: Group, name: bytes) -> tuple[Consumer, bool]:
    """The consumer that makes itself seen, and whether it is new to the group."""
    consumer = group.consumers.get(name)
    if consumer is not None:
        consumer.seen_ms = ctx.now_ms
        return consumer, False
    consumer = group.consumers[name] = Consumer(name, ctx.now_ms)
    ctx.db.changed(key, "xgroup-createconsumer")
    return consumer, True


# What replicas and the AOF are told. Neither waits nor looks at the clock, so whatever was
# delivered or claimed is spelled out.


def propagate_claim(
    ctx: Context,
    key: bytes,
    name: bytes,
    group: Group,
    entry_id: int,
    nack: Nack,
    written: bytes = b"",
) -> None:
    """Tell who has a pending entry now. Where the entry is no more, this ends its pending.

    ``written`` is the ID as the client has written it, if it has.
    """
    ctx.propagate(
        b"XCLAIM", key, name, nack.consumer, b"0", written or format_id(entry_id),
        b"TIME", b"%d" % nack.time_ms, b"RETRYCOUNT", b"%d" % nack.delivered,
        b"FORCE", b"JUSTID", b"LASTID", format_id(group.last_id),
    )  # fmt: skip


def propagate_place(ctx: Context, key: bytes, name: bytes, group: Group) -> None:
    """Tell where a group stands."""
    ctx.propagate(
        b"XGROUP", b"SETID", key, name, format_id(group.last_id),
        b"ENTRIESREAD", b"%d" % group.entries_read,
    )  # fmt: skip


def propagate_consumer(ctx: Context, key: bytes, name: bytes, consumer: Consumer) -> None:
    """Tell of a consumer that nothing else tells of."""
    ctx.propagate(b"XGROUP", b"CREATECONSUMER", key, name, consumer.name)


# Replies


def entries_reply(entries: Iterable[tuple[int, Fields]]) -> list[list[Reply]]:
    """Entries as [ID, [field, value ...]]."""
    return [
        [b"%d-%d" % (entry_id >> 64, entry_id & SEQ_MAX), fields] for entry_id, fields in entries
    ]
