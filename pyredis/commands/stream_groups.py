"""Consumer groups of streams: making them, moving them, and their members.

The data structure is ``pyredis.types.stream_groups``; ``stream_reads`` delivers entries to a
group's consumers, ``stream_claims`` deals with what they were given.

All of it concerns the group only: it has keyspace events but is no change of the key to
WATCH. Readers that wait for a group are woken when it goes, and get an error.
"""

from __future__ import annotations

from typing import Final

from pyredis.commands.args import subcommand_error
from pyredis.commands.help import help_reply
from pyredis.commands.registry import Group as Registration
from pyredis.commands.registry import first
from pyredis.commands.stream_args import any_id, entries_read, exact_id, no_such_group, see_consumer
from pyredis.context import Context
from pyredis.resp import OK, Error, Reply
from pyredis.types.stream_groups import UNKNOWN, Group
from pyredis.types.streams import Stream

command = Registration("stream", acl="stream")

_NO_KEY: Final = (
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to "
    "use the MKSTREAM option to create an empty stream automatically."
)
_CREATE_OPTIONS_MAX: Final = 3


@command(
    "XGROUP",
    arity=-2,
    acl="",
    since="5.0.0",
    complexity="Depends on subcommand.",
)
def xgroup(ctx: Context) -> Reply:
    """Manages consumer groups."""
    raise Error("ERR wrong number of arguments for 'xgroup' command")


@command(
    "XGROUP CREATE",
    arity=-5,
    flags="write denyoom",
    keys=first("RW insert", at=2),
    since="5.0.0",
    complexity="O(1)",
    usage="key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]",
    history=[("7.0.0", "Takes the number of entries that count as read.")],
)
def xgroup_create(ctx: Context, key: bytes, name: bytes, place: bytes, *options: bytes) -> Reply:
    """Makes a group that will get the entries behind an ID, or those to come with `$`."""
    mkstream = False
    count = UNKNOWN
    at = 0
    while at < len(options):
        word = options[at].upper()
        if word == b"MKSTREAM":
            mkstream = True
        elif word == b"ENTRIESREAD" and at + 1 < len(options):
            at += 1
            count = entries_read(options[at])
        else:
            subcommand_error(ctx)
        at += 1
    db = ctx.db
    stream = found = db.write_as(key, Stream)
    if stream is None:
        if not mkstream:
            raise Error(_NO_KEY)
        stream = Stream()
    if len(options) > _CREATE_OPTIONS_MAX:
        subcommand_error(ctx)
    last_id = stream.last_id if place == b"$" else exact_id(place)
    if found is None:
        db.put(key, stream)
        db.changed(key, "mkstream", 0)
    elif name in stream.groups:
        raise Error("BUSYGROUP Consumer Group name already exists")
    stream.groups[name] = Group(last_id, count)
    db.changed(key, "xgroup-create")
    return OK


@command(
    "XGROUP SETID",
    arity=-5,
    flags="write",
    keys=first("RW update", at=2),
    since="5.0.0",
    complexity="O(1)",
    usage="key group <id | $> [ENTRIESREAD entries-read]",
    history=[("7.0.0", "Takes the number of entries that count as read.")],
)
def xgroup_setid(ctx: Context, key: bytes, name: bytes, place: bytes, *options: bytes) -> Reply:
    """Moves a group to another place in its stream."""
    count = UNKNOWN
    for at in range(0, len(options), 2):
        if options[at].upper() != b"ENTRIESREAD" or at + 1 == len(options):
            subcommand_error(ctx)
        count = entries_read(options[at + 1])
    stream, group = _existing(ctx, key, name)
    if len(options) > 2:
        subcommand_error(ctx)
    group.last_id = stream.last_id if place == b"$" else any_id(place)
    group.entries_read = count
    ctx.db.changed(key, "xgroup-setid")
    return OK


@command(
    "XGROUP DESTROY",
    arity=4,
    flags="write",
    keys=first("RW delete", at=2),
    since="5.0.0",
    complexity="O(N) where N is the number of entries in the group's pending entries list (PEL).",
    usage="key group",
)
def xgroup_destroy(ctx: Context, key: bytes, name: bytes) -> Reply:
    """Removes a group with all it knows; returns how many groups went, 1 or 0."""
    stream = _stream(ctx, key)
    group = stream.groups.pop(name, None)
    if group is None:
        return 0
    ctx.db.changed(key, "xgroup-destroy")
    ctx.db.signal(key)
    return 1


@command(
    "XGROUP CREATECONSUMER",
    arity=5,
    flags="write denyoom",
    keys=first("RW insert", at=2),
    since="6.2.0",
    complexity="O(1)",
    usage="key group consumer",
)
def xgroup_createconsumer(ctx: Context, key: bytes, name: bytes, consumer: bytes) -> Reply:
    """Adds a consumer to a group; returns how many are new, 1 or 0."""
    _, group = _existing(ctx, key, name)
    if consumer in group.consumers:
        return 0
    see_consumer(ctx, key, group, consumer)
    return 1


@command(
    "XGROUP DELCONSUMER",
    arity=5,
    flags="write",
    keys=first("RW delete", at=2),
    since="5.0.0",
    complexity="O(1)",
    usage="key group consumer",
)
def xgroup_delconsumer(ctx: Context, key: bytes, name: bytes, consumer: bytes) -> Reply:
    """Removes a consumer from a group; returns how many pending entries went with it."""
    _, group = _existing(ctx, key, name)
    found = group.consumers.get(consumer)
    if found is None:
        return 0
    pending = group.dismiss(found)
    ctx.db.changed(key, "xgroup-delconsumer")
    return pending


@command(
    "XGROUP HELP",
    arity=2,
    flags="loading stale",
    since="5.0.0",
    complexity="O(1)",
)
def xgroup_help(ctx: Context) -> Reply:
    """Explains the subcommands."""
    return help_reply(ctx, "XGROUP")


def _stream(ctx: Context, key: bytes) -> Stream:
    stream = ctx.db.write_as(key, Stream)
    if stream is None:
        raise Error(_NO_KEY)
    return stream


def _existing(ctx: Context, key: bytes, name: bytes) -> tuple[Stream, Group]:
    stream = _stream(ctx, key)
    group = stream.groups.get(name)
    if group is None:
        no_such_group(key, name)
    return stream, group
