"""Pending entries of consumer groups: acknowledging, listing, and taking over.

A consumer that was given entries and died leaves them pending. Others find them with XPENDING,
by the time that has passed since their delivery, and make them their own with XCLAIM; XAUTOCLAIM
does both in one, going on from a cursor. An entry that was deleted from the stream cannot be
claimed: trying to ends its pending.

What a claim did is told to the AOF and the replicas as an XCLAIM that spells out owner, time
and count of the entry. None of it is a change of the key to WATCH, or an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pyredis.commands.args import INT64_MAX, integer, integer_in, syntax_error
from pyredis.commands.registry import Group as Registration
from pyredis.commands.registry import first
from pyredis.commands.stream_args import (
    count_or_all,
    exact_id,
    find_group,
    interval_end,
    interval_start,
    propagate_claim,
    propagate_place,
    see_consumer,
)
from pyredis.context import Context
from pyredis.keyspace import WRONGTYPE
from pyredis.resp import NULL_ARRAY, Error, Reply
from pyredis.types.stream_groups import Group, Nack, Pending
from pyredis.types.stream_ids import format_id, parse_id
from pyredis.types.streams import Stream

command = Registration("stream", acl="stream")

_AUTOCLAIM_COUNT: Final = 100
_AUTOCLAIM_TRIES: Final = 10  # pending entries looked at for each that may be claimed
_AUTOCLAIM_COUNT_MAX: Final = INT64_MAX // 16


@command(
    "XACK",
    arity=-4,
    flags="write fast",
    keys=first("RW update"),
    since="5.0.0",
    complexity="O(1) for each message ID processed.",
    usage="key group id [id ...]",
)
def xack(ctx: Context, key: bytes, name: bytes, *ids: bytes) -> Reply:
    """Ends the pending of entries that were dealt with; returns how many were pending."""
    stream = ctx.db.read_as(key, Stream)
    group = None if stream is None else stream.groups.get(name)
    if group is None:
        return 0
    acknowledged = sum([group.forget(entry_id) for entry_id in [exact_id(arg) for arg in ids]])
    if acknowledged:
        ctx.db.changed_unseen(key, acknowledged)
    return acknowledged


# Listing


@command(
    "XPENDING",
    arity=-3,
    flags="readonly",
    keys=first("RO access"),
    tips="nondeterministic_output",
    since="5.0.0",
    complexity="O(N) with N being the number of elements returned, so asking for a small fixed "
    "number of entries per call is O(1). O(M), where M is the total number of entries scanned "
    "when used with the IDLE filter. When the command returns just the summary and the list of "
    "consumers is small, it runs in O(1) time; otherwise, an additional O(N) time for iterating "
    "every consumer.",
    usage="key group [[IDLE min-idle-time] start:string end:string count [consumer]]",
    history=[("6.2.0", "Takes `IDLE`, and intervals that leave out an end.")],
)
def xpending(ctx: Context, key: bytes, name: bytes, *options: bytes) -> Reply:
    """Sums up the pending entries of a group, or lists those in an interval."""
    if not options:
        _, group = find_group(ctx.db.read_as(key, Stream), key, name)
        return _summary(group)
    if not 3 <= len(options) <= 6:
        syntax_error()
    idle_ms = 0
    if options[0].upper() == b"IDLE":
        idle_ms = integer(options[1])
        options = options[2:]
        if len(options) < 3:
            syntax_error()
    count = count_or_all(options[2])
    start, end = interval_start(options[0]), interval_end(options[1])
    _, group = find_group(ctx.db.read_as(key, Stream), key, name)
    pending = group.pending
    if len(options) > 3:
        consumer = group.consumers.get(options[3])
        if consumer is None:
            return []
        pending = consumer.pending
    return _listed(pending, start, end, count, idle_ms, ctx.now_ms)


def _summary(group: Group) -> Reply:
    pending = group.pending
    if not pending:
        return [0, None, None, NULL_ARRAY]
    shares = [
        [name, b"%d" % len(consumer.pending)]
        for name, consumer in sorted(group.consumers.items())
        if consumer.pending
    ]
    return [len(pending), format_id(pending.first()), format_id(pending.last()), shares]


def _listed(
    pending: Pending, start: int, end: int, count: int, idle_ms: int, now_ms: int
) -> list[Reply]:
    found: list[Reply] = []
    if not count:
        return found
    for entry_id, nack in pending.items(start):
        if entry_id > end:
            break
        elapsed_ms = now_ms - nack.time_ms
        if idle_ms and elapsed_ms < idle_ms:
            continue
        found.append([format_id(entry_id), nack.consumer, max(0, elapsed_ms), nack.delivered])
        if len(found) == count:
            break
    return found


# Taking over


class _Claim:
    """One consumer claiming entries: what XCLAIM and XAUTOCLAIM have in common."""

    def __init__(
        self, ctx: Context, key: bytes, name: bytes, stream: Stream, group: Group, by: bytes
    ) -> None:
        """Makes the consumer seen, which may be new."""
        self.ctx = ctx
        self.key = key
        self.name = name
        self.stream = stream
        self.group = group
        ctx.propagate_nothing()
        self.consumer, _ = see_consumer(ctx, key, group, by)
        self.told = False

    def drop(self, entry_id: int, nack: Nack, written: bytes = b"") -> None:
        """End the pending of an entry that is no more. ``written``: the ID as the client has it."""
        self._tell(entry_id, nack, written)
        self.group.forget(entry_id)

    def take(
        self, entry_id: int, nack: Nack, time_ms: int, delivered: int, written: bytes = b""
    ) -> None:
        """Make an entry the consumer's own, as delivered then, for the n-th time."""
        self.group.hand_over(entry_id, nack, self.consumer)
        nack.time_ms = time_ms
        nack.delivered = delivered
        self.consumer.active_ms = self.ctx.now_ms
        self._tell(entry_id, nack, written)

    def reply_for(self, entry_id: int, only_id: bool) -> Reply:
        """How a claimed entry is shown."""
        shown = format_id(entry_id)
        return shown if only_id else [shown, self.stream.get(entry_id)]

    def _tell(self, entry_id: int, nack: Nack, written: bytes = b"") -> None:
        self.ctx.db.changed_unseen(self.key)
        if self.ctx.ks.feeds:
            propagate_claim(self.ctx, self.key, self.name, self.group, entry_id, nack, written)
        self.told = True


@command(
    "XCLAIM",
    arity=-6,
    flags="write fast",
    keys=first("RW update"),
    tips="nondeterministic_output",
    since="5.0.0",
    complexity="O(log N) with N being the number of messages in the PEL of the consumer group.",
    usage="key group consumer min-idle-time:string id [id ...] [IDLE ms] "
    "[TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
)
def xclaim(
    ctx: Context, key: bytes, name: bytes, by: bytes, min_idle_time: bytes, *args: bytes
) -> Reply:
    """Makes pending entries a consumer's own, as if delivered to it; returns them."""
    stream, group = find_group(ctx.db.read_as(key, Stream), key, name)
    idle_ms = max(0, integer(min_idle_time, "ERR Invalid min-idle-time argument for XCLAIM"))
    options = _ClaimOptions(ctx.now_ms, args)
    place_untold = options.last_id > group.last_id
    if place_untold:
        group.last_id = options.last_id
    claim = _Claim(ctx, key, name, stream, group, by)
    claimed: list[Reply] = []
    for entry_id, written in zip(options.ids, args, strict=False):
        nack = group.pending.get(entry_id)
        if entry_id not in stream:
            if nack is not None:
                claim.drop(entry_id, nack, written)
            continue
        if nack is None:
            if not options.force:
                continue
            nack = group.give(entry_id, claim.consumer, ctx.now_ms)
        elif idle_ms and ctx.now_ms - nack.time_ms < idle_ms:
            continue
        delivered = options.retry_count
        if delivered is None:
            delivered = nack.delivered + (not options.just_id)
        claim.take(entry_id, nack, options.time_ms, delivered, written)
        claimed.append(claim.reply_for(entry_id, options.just_id))
    if place_untold and not claim.told:
        ctx.db.changed_unseen(key)
        propagate_place(ctx, key, name, group)
    return claimed


class _ClaimOptions:
    """IDs and options of XCLAIM. The first argument that is no ID begins the options."""

    def __init__(self, now_ms: int, args: Sequence[bytes]) -> None:
        self.ids: list[int] = []
        self.time_ms = now_ms
        self.retry_count: int | None = None
        self.force = self.just_id = False
        self.last_id = 0
        at = 0
        while at < len(args):
            entry_id = parse_id(args[at])
            if entry_id is None:
                break
            self.ids.append(entry_id)
            at += 1
        time_ms: int | None = None
        while at < len(args):
            word = args[at].upper()
            if word == b"FORCE":
                self.force = True
            elif word == b"JUSTID":
                self.just_id = True
            elif word in (b"IDLE", b"TIME", b"RETRYCOUNT", b"LASTID") and at + 1 < len(args):
                at += 1
                if word == b"LASTID":
                    self.last_id = exact_id(args[at])
                else:
                    option = word.decode()
                    value = integer(args[at], f"ERR Invalid {option} option argument for XCLAIM")
                    if word == b"RETRYCOUNT":
                        self.retry_count = value if value >= 0 else None
                    else:
                        time_ms = now_ms - value if word == b"IDLE" else value
            else:
                raise Error(b"ERR Unrecognized XCLAIM option '%b'" % args[at])
            at += 1
        # A time that cannot be (clients reckon with their own clocks) is no error, but now.
        if time_ms is not None and 0 <= time_ms <= now_ms:
            self.time_ms = time_ms


@command(
    "XAUTOCLAIM",
    arity=-6,
    flags="write fast",
    keys=first("RW delete"),
    tips="nondeterministic_output",
    since="6.2.0",
    complexity="O(1) if COUNT is small.",
    usage="key group consumer min-idle-time:string start:string [COUNT count] [JUSTID]",
    history=[("7.0.0", "The reply names entries that are no more, and no longer pending.")],
)
def xautoclaim(
    ctx: Context,
    key: bytes,
    name: bytes,
    by: bytes,
    min_idle_time: bytes,
    start: bytes,
    *options: bytes,
) -> Reply:
    """Makes long pending entries a consumer's own.

    Returns a cursor (0-0 at the end), the entries, and IDs of those that are no more.
    """
    value = ctx.db.read(key)  # before the arguments are looked at, and a miss counts
    idle_ms = max(0, integer(min_idle_time, "ERR Invalid min-idle-time argument for XAUTOCLAIM"))
    first_id = interval_start(start)
    count, just_id = _autoclaim_options(options)
    if value is not None and type(value) is not Stream:
        raise Error(WRONGTYPE)
    stream, group = find_group(value, key, name)
    claim = _Claim(ctx, key, name, stream, group, by)
    claimed: list[Reply] = []
    deleted: list[bytes] = []
    cursor = b"0-0"
    tries = count * _AUTOCLAIM_TRIES
    for entry_id, nack in group.pending.items(first_id):
        if not tries or len(claimed) + len(deleted) == count:
            cursor = format_id(entry_id)
            break
        tries -= 1
        if entry_id not in stream:
            claim.drop(entry_id, nack)
            deleted.append(format_id(entry_id))
        elif not idle_ms or ctx.now_ms - nack.time_ms >= idle_ms:
            claim.take(entry_id, nack, ctx.now_ms, nack.delivered + (not just_id))
            claimed.append(claim.reply_for(entry_id, just_id))
    return [cursor, claimed, deleted]


def _autoclaim_options(options: Sequence[bytes]) -> tuple[int, bool]:
    count, just_id = _AUTOCLAIM_COUNT, False
    at = 0
    while at < len(options):
        word = options[at].upper()
        if word == b"COUNT" and at + 1 < len(options):
            at += 1
            count = integer_in(options[at], 1, _AUTOCLAIM_COUNT_MAX, "ERR COUNT must be > 0")
        elif word == b"JUSTID":
            just_id = True
        else:
            syntax_error()
        at += 1
    return count, just_id
