"""XINFO: what a stream, its groups and their consumers look like inside.

Groups and consumers come in the order of their names, as they do from Redis' radix trees. How
many nodes such a tree would have is computed for the first few hundred of the stream's nodes
and projected from there (`radix-tree-nodes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from pyredis.commands.args import NO_SUCH_KEY, integer, subcommand_error
from pyredis.commands.help import help_reply
from pyredis.commands.registry import Group as Registration
from pyredis.commands.registry import first
from pyredis.commands.stream_args import entries_reply, no_such_group
from pyredis.context import Context
from pyredis.resp import Error, Reply
from pyredis.types.stream_groups import UNKNOWN, Consumer, Group, Pending
from pyredis.types.stream_ids import format_id
from pyredis.types.streams import Stream

command = Registration("stream", acl="stream")

_FULL_COUNT: Final = 10


@command(
    "XINFO",
    arity=-2,
    acl="",
    since="5.0.0",
    complexity="Depends on subcommand.",
)
def xinfo(ctx: Context) -> Reply:
    """Tells about the inside of streams."""
    raise Error("ERR wrong number of arguments for 'xinfo' command")


@command(
    "XINFO STREAM",
    arity=-3,
    flags="readonly",
    keys=first("RO access", at=2),
    since="5.0.0",
    complexity="O(1)",
    usage="key [FULL [COUNT count]]",
    history=[
        ("6.0.0", "Takes the `FULL` option."),
        ("7.0.0", "Tells of entries deleted and ever added, and of the reading of groups."),
        ("7.2.0", "Tells when a consumer was active; `seen-time` means an attempt now."),
    ],
)
def xinfo_stream(ctx: Context, key: bytes, *options: bytes) -> Reply:
    """Tells about a stream; with FULL also its first entries and all groups."""
    stream = _stream(ctx, key)
    count = _full_count(ctx, options)
    info: dict[bytes, Reply] = {
        b"length": stream.length,
        b"radix-tree-keys": len(stream.nodes),
        b"radix-tree-nodes": stream.radix_nodes(),
        b"last-generated-id": format_id(stream.last_id),
        b"max-deleted-entry-id": format_id(stream.max_deleted_id),
        b"entries-added": stream.entries_added,
        b"recorded-first-entry-id": format_id(stream.first_id),
    }
    if count is None:
        info[b"groups"] = len(stream.groups)
        for field, reverse in ((b"first-entry", False), (b"last-entry", True)):
            found = entries_reply(stream.range(count=1, reverse=reverse))
            info[field] = found[0] if found else None
    else:
        info[b"entries"] = entries_reply(stream.range(count=count))
        info[b"groups"] = [
            _full_group(stream, name, group, count) for name, group in sorted(stream.groups.items())
        ]
    return info


def _full_count(ctx: Context, options: Sequence[bytes]) -> int | None:
    """How many entries of each kind FULL shows, 0 for all; None without FULL."""
    if not options:
        return None
    if options[0].upper() != b"FULL" or len(options) not in (1, 3):
        subcommand_error(ctx)
    if len(options) == 1:
        return _FULL_COUNT
    if options[1].upper() != b"COUNT":
        subcommand_error(ctx)
    count = integer(options[2])
    return count if count >= 0 else _FULL_COUNT


def _full_group(stream: Stream, name: bytes, group: Group, count: int) -> Reply:
    return {
        b"name": name,
        b"last-delivered-id": format_id(group.last_id),
        b"entries-read": _entries_read(group),
        b"lag": group.lag(stream),
        b"pel-count": len(group.pending),
        b"pending": [
            [format_id(entry_id), nack.consumer, nack.time_ms, nack.delivered]
            for entry_id, nack in _first(group.pending, count)
        ],
        b"consumers": [
            _full_consumer(consumer, count) for _, consumer in sorted(group.consumers.items())
        ],
    }


def _full_consumer(consumer: Consumer, count: int) -> Reply:
    return {
        b"name": consumer.name,
        b"seen-time": consumer.seen_ms,
        b"active-time": consumer.active_ms,
        b"pel-count": len(consumer.pending),
        b"pending": [
            [format_id(entry_id), nack.time_ms, nack.delivered]
            for entry_id, nack in _first(consumer.pending, count)
        ],
    }


def _first(pending: Pending, count: int) -> list[tuple[int, Any]]:
    """The first pending entries, all if ``count`` is 0."""
    return list(islice(pending.items(), count or None))


@command(
    "XINFO GROUPS",
    arity=3,
    flags="readonly",
    keys=first("RO access", at=2),
    since="5.0.0",
    complexity="O(1)",
    usage="key",
    history=[("7.0.0", "Tells how many entries were read and how many are left.")],
)
def xinfo_groups(ctx: Context, key: bytes) -> Reply:
    """Lists the groups of a stream."""
    stream = _stream(ctx, key)
    return [
        {
            b"name": name,
            b"consumers": len(group.consumers),
            b"pending": len(group.pending),
            b"last-delivered-id": format_id(group.last_id),
            b"entries-read": _entries_read(group),
            b"lag": group.lag(stream),
        }
        for name, group in sorted(stream.groups.items())
    ]


@command(
    "XINFO CONSUMERS",
    arity=4,
    flags="readonly",
    keys=first("RO access", at=2),
    tips="nondeterministic_output",
    since="5.0.0",
    complexity="O(1)",
    usage="key group",
    history=[("7.2.0", "Tells since when a consumer got nothing.")],
)
def xinfo_consumers(ctx: Context, key: bytes, name: bytes) -> Reply:
    """Lists the consumers of a group."""
    group = _stream(ctx, key).groups.get(name)
    if group is None:
        no_such_group(key, name)
    now_ms = ctx.now_ms
    return [
        {
            b"name": consumer.name,
            b"pending": len(consumer.pending),
            b"idle": max(0, now_ms - consumer.seen_ms),
            b"inactive": -1 if consumer.active_ms < 0 else max(0, now_ms - consumer.active_ms),
        }
        for _, consumer in sorted(group.consumers.items())
    ]


@command(
    "XINFO HELP",
    arity=2,
    flags="loading stale",
    since="5.0.0",
    complexity="O(1)",
)
def xinfo_help(ctx: Context) -> Reply:
    """Explains the subcommands."""
    return help_reply(ctx, "XINFO")


def _stream(ctx: Context, key: bytes) -> Stream:
    stream = ctx.db.read_as(key, Stream)
    if stream is None:
        raise Error(NO_SUCH_KEY)
    return stream


def _entries_read(group: Group) -> int | None:
    return None if group.entries_read == UNKNOWN else group.entries_read
