"""Deleting entries of streams with an eye on consumer groups: XDELEX and XACKDEL.

XDEL takes an entry away whoever still needs it, and leaves its name in the lists of pending
entries. Here one of three policies says what is to be done about these *references*:

    KEEPREF   as XDEL does (what holds if none is given)
    DELREF    the entry is pending in no group any more
    ACKED     an entry is deleted only once all groups were given it and acknowledged it

XACKDEL first acknowledges the entries for one group; it leaves alone what is not pending there.
Each ID has a reply: 1 if its entry was deleted, 2 if ACKED forbade that, -1 if there was nothing
to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pyredis.commands.args import INT64_MAX, integer_in, syntax_error
from pyredis.commands.registry import Group, first
from pyredis.commands.stream_args import (
    ACKNOWLEDGED,
    DELETE_REFERENCES,
    KEEP_REFERENCES,
    REFERENCE_POLICIES,
    exact_id,
)
from pyredis.context import Context
from pyredis.resp import Error, Reply
from pyredis.types.streams import Stream

command = Group("stream", acl="stream")

_NOTHING: Final = -1
_DELETED: Final = 1
_STILL_NEEDED: Final = 2


@command(
    "XDELEX",
    arity=-5,
    flags="write fast",
    keys=first("RW delete"),
    since="8.2.0",
    complexity="O(1) for each single item to delete in the stream, regardless of the stream size.",
    usage="key [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
)
def xdelex(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Removes entries by their IDs, perhaps only those that no group needs any more."""
    policy, ids = _parse(args)
    stream = ctx.db.write_as(key, Stream)
    if stream is None:
        return [_NOTHING] * len(ids)
    replies: list[Reply] = []
    forgotten = 0
    for entry_id in ids:
        if policy == DELETE_REFERENCES:
            forgotten += stream.forget(entry_id)
        replies.append(_delete(stream, entry_id, policy) if entry_id in stream else _NOTHING)
    _tell(ctx, key, replies.count(_DELETED), forgotten)
    return replies


@command(
    "XACKDEL",
    arity=-6,
    flags="write fast",
    keys=first("RW update delete"),
    since="8.2.0",
    complexity="O(1) for each entry ID processed.",
    usage="key group [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
)
def xackdel(ctx: Context, key: bytes, name: bytes, *args: bytes) -> Reply:
    """Ends the pending of entries for a group and removes them, perhaps only the unneeded."""
    policy, ids = _parse(args)
    stream = ctx.db.write_as(key, Stream)
    group = None if stream is None else stream.groups.get(name)
    if stream is None or group is None:
        return [_NOTHING] * len(ids)
    replies: list[Reply] = []
    deleted = forgotten = 0
    for entry_id in ids:
        pending = group.forget(entry_id)
        forgotten += pending
        if policy == DELETE_REFERENCES and (pending or entry_id not in stream):
            forgotten += stream.forget(entry_id)
        if not pending:
            replies.append(_NOTHING)
            continue
        length = stream.length
        replies.append(_delete(stream, entry_id, policy))
        deleted += length - stream.length
    _tell(ctx, key, deleted, forgotten)
    return replies


def _parse(args: Sequence[bytes]) -> tuple[bytes, list[int]]:
    """The policy and the IDs; raises the error for arguments that make no sense."""
    policy = b""
    ids: Sequence[bytes] = ()
    at = 0
    while at < len(args):
        word = args[at].upper()
        left = len(args) - at - 1
        if word in REFERENCE_POLICIES and not policy:
            policy = word
        elif word == b"IDS" and left and not ids:
            error = "ERR Number of IDs must be a positive integer"
            count = integer_in(args[at + 1], 1, INT64_MAX, error)
            if count > left - 1:
                raise Error("ERR The `numids` parameter must match the number of arguments")
            ids = args[at + 2 : at + 2 + count]
            at += 1 + count
        else:
            syntax_error()
        at += 1
    if not ids:
        raise Error("ERR IDS option is required")
    return policy or KEEP_REFERENCES, list(map(exact_id, ids))


def _delete(stream: Stream, entry_id: int, policy: bytes) -> int:
    """Delete an entry that may be gone already, unless it is still needed. Returns the reply."""
    if policy == ACKNOWLEDGED and stream.is_referenced(entry_id):
        return _STILL_NEEDED
    stream.delete(entry_id)
    return _DELETED


def _tell(ctx: Context, key: bytes, deleted: int, forgotten: int) -> None:
    """Announce what was done. That entries are pending no more is no event."""
    if deleted:
        ctx.db.changed(key, "xdel", deleted)
    elif forgotten:
        ctx.db.changed_unseen(key, forgotten)
