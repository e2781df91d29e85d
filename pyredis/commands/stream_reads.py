"""Following streams: XREAD, and XREADGROUP for consumers that share the entries of a stream.

Both ask several streams at once for what lies behind an ID, and can wait for it. Instead of an
ID XREAD takes ``$``, the end of the stream as it is now, or ``+``, just before its last entry; a
client that waits is tried again with that ID in its place. XREADGROUP takes ``>``, the place of
the group, which moves on with what is delivered. With an ID it returns the *history* of the
consumer: what it was given behind that ID and has not acknowledged. That it has anything pending
is no condition, so it never waits.

CLAIM joins XREADGROUP with XAUTOCLAIM: entries that have been pending for so long come first,
those that waited longest in front, and with two more numbers, how long that was and how often
they had been delivered (0 and 0 for new entries). A client that waits is tried again when the
next entry has been pending for long enough. Finding them takes a look at all pending entries.

A consumer comes into being when it first asks. A client that waits for a group is woken, and
told by an error, when the group or the key is gone.

What a delivery did is told to the AOF and the replicas as an XCLAIM for every entry and an
XGROUP SETID for the group's new place. Redis 7.2 leaves out the latter unless NOACK is given,
which makes the count of entries read, and so the lag, go wrong on replicas; 7.4 sends it
always, and so do we. Likewise we tell of a new consumer that was not given anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pyredis.commands.args import integer, syntax_error
from pyredis.commands.registry import Group as Registration
from pyredis.commands.registry import KeySpec
from pyredis.commands.stream_args import (
    block_deadline_ms,
    count_or_all,
    entries_reply,
    exact_id,
    no_group,
    propagate_claim,
    propagate_consumer,
    propagate_place,
    see_consumer,
)
from pyredis.context import Context
from pyredis.resp import NULL_ARRAY, Error, Reply, Wire, encode_into
from pyredis.session import Block
from pyredis.types.stream_groups import Consumer, Group
from pyredis.types.stream_ids import ID_MAX, format_id
from pyredis.types.streams import Stream

command = Registration("stream", acl="stream")

_ENDS: Final = frozenset((b"$", b"+"))
_NEVER_MS: Final = 1 << 63
_NEW: Final = ID_MAX  # what `>` is read as; as an ID it could have nothing behind it

_DOLLAR: Final = (
    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of "
    "this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID "
    "would just return an empty result set."
)
_GREATER: Final = (
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> "
    "<consumer> option."
)


def _keys(start: int) -> tuple[KeySpec, ...]:
    """The first half of what stands behind STREAMS."""
    return (KeySpec(("RO", "access"), ("keyword", "STREAMS", start), ("range", -1, 1, 2)),)


@command(
    "XREAD",
    arity=-4,
    flags="readonly blocking movablekeys",
    keys=_keys(1),
    since="5.0.0",
    complexity="For each stream mentioned: O(N) with N being the number of elements being "
    "returned, it means that XREAD-ing with a fixed COUNT is O(1). Note that when the BLOCK "
    "option is used, XADD will pay O(M) time in order to serve the M clients blocked on the "
    "stream getting new data.",
    usage="[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
)
def xread(ctx: Context, *args: bytes) -> Reply:
    """Returns the entries of several streams behind an ID each; can wait for some."""
    request = _Request(ctx, b"XREAD", args)
    places = list(request.streams())
    starts = [_start(ctx, key, place) for key, place in places]
    found: _Found = []
    for (key, place), start in zip(places, starts, strict=True):
        stream = ctx.db.read_as(key, Stream)
        if stream is not None and stream.length and stream.top_id > start:
            entries = stream.range(start + 1, count=1 if place == b"+" else request.count)
            found.append((key, entries_reply(entries)))
    return _reply(ctx, found) if found else request.wait(starts)


def _start(ctx: Context, key: bytes, place: bytes) -> int:
    """The ID behind which XREAD reads."""
    stream = ctx.db.read_as(key, Stream)
    if place == b"+" and stream is not None and stream.length:
        return stream.top_id - 1
    if place == b"$" or place == b"+":
        return stream.last_id if stream is not None else 0
    if place == b">":
        raise Error(_GREATER)
    return exact_id(place)


@command(
    "XREADGROUP",
    arity=-7,
    flags="write blocking movablekeys",
    keys=_keys(4),
    since="5.0.0",
    complexity="For each stream mentioned: O(M) with M being the number of elements returned. "
    "If M is constant (e.g. always asking for the first 10 elements with COUNT), you can "
    "consider it O(1). On the other side when XREADGROUP blocks, XADD will pay the O(N) time in "
    "order to serve the N clients blocked on the stream getting new data.",
    usage="GROUP group consumer [COUNT count] [BLOCK milliseconds] [CLAIM min-idle-time] "
    "[NOACK] STREAMS key [key ...] id [id ...]",
    history=[("8.4.0", "Also claims entries that were pending for long, with `CLAIM`.")],
)
def xreadgroup(ctx: Context, *args: bytes) -> Reply:
    """Delivers new entries of several streams to a consumer, or tells it what it was given."""
    request = _Request(ctx, b"XREADGROUP", args)
    readings = [_reading(ctx, request, key, place) for key, place in request.streams()]
    found: _Found = []
    for reading in readings:
        ctx.db.read(reading.key)  # a second look-up, which counts in the statistics
        entries = reading.run(ctx)
        if entries is not None:
            found.append((reading.key, entries))
    if found:
        return _reply(ctx, found)
    again_ms = min((reading.claimable_ms() for reading in readings), default=0)
    return request.wait((), again_ms if again_ms < _NEVER_MS else 0)


@dataclass(slots=True)
class _Reading:
    """What XREADGROUP is to do with one stream."""

    request: _Request
    key: bytes
    stream: Stream
    group: Group
    start: int  # the ID behind which to read, or _NEW

    def run(self, ctx: Context) -> list[Reply] | None:
        """The entries for the consumer; None if there is nothing new."""
        request, group = self.request, self.group
        ctx.propagate_nothing()
        consumer, is_new = see_consumer(ctx, self.key, group, request.consumer)
        if is_new and request.noack:
            propagate_consumer(ctx, self.key, request.group, consumer)
        entries: list[Reply] | None
        if self.start != _NEW:
            entries = self._history(ctx, consumer)  # counts as no change
        else:
            entries = self._new_entries(ctx, consumer)
            if entries is not None:
                ctx.db.changed_unseen(self.key)
        return entries

    def _history(self, ctx: Context, consumer: Consumer) -> list[Reply]:
        """What the consumer has pending. This counts as another delivery, which stays untold."""
        entries: list[Reply] = []
        for entry_id, nack in consumer.pending.items(self.start + 1):
            content = self.stream.get(entry_id)
            if content is None:
                entries.append([format_id(entry_id), NULL_ARRAY])
            else:
                nack.time_ms = ctx.now_ms
                nack.delivered += 1
                entries.append([format_id(entry_id), content])
            if len(entries) == self.request.count:
                break
        return entries

    def _new_entries(self, ctx: Context, consumer: Consumer) -> list[Reply] | None:
        """What is new, behind what the consumer can claim if that was asked for."""
        claims = self.request.min_idle_ms is not None
        claimed = self._claim(ctx, consumer) if claims else []
        room = self.request.count - len(claimed)
        stream = self.stream
        if not stream.length or stream.top_id <= self.group.last_id:
            return claimed or None
        if self.request.count and room <= 0:
            return claimed
        delivered = self._deliver(ctx, consumer, room if self.request.count else 0)
        if claims:
            delivered = [[*entry, 0, 0] for entry in delivered]
        return claimed + delivered

    def _claim(self, ctx: Context, consumer: Consumer) -> list[list[Reply]]:
        """Make idle entries the consumer's own; those deleted meanwhile are pending no more."""
        request, group, now_ms = self.request, self.group, ctx.now_ms
        assert request.min_idle_ms is not None
        idle_since_ms = now_ms - request.min_idle_ms
        idle = [
            (nack.time_ms, entry_id)
            for entry_id, nack in group.pending.nacks.items()
            if nack.time_ms <= idle_since_ms
        ]
        claimed: list[list[Reply]] = []
        for time_ms, entry_id in sorted(idle):
            nack = group.pending.nacks[entry_id]
            content = self.stream.get(entry_id)
            if content is None:
                propagate_claim(ctx, self.key, request.group, group, entry_id, nack)
                group.forget(entry_id)
                ctx.db.changed_unseen(self.key)
                continue
            claimed.append([format_id(entry_id), content, now_ms - time_ms, nack.delivered])
            group.hand_over(entry_id, nack, consumer)
            nack.time_ms = now_ms
            nack.delivered += 1
            propagate_claim(ctx, self.key, request.group, group, entry_id, nack)
            if len(claimed) == request.count:
                break
        if claimed:
            consumer.active_ms = now_ms
        return claimed

    def claimable_ms(self) -> int:
        """When the next entry can be claimed, _NEVER_MS if none or nothing is claimed."""
        min_idle_ms = self.request.min_idle_ms
        if min_idle_ms is None or self.start != _NEW or not self.group.pending:
            return _NEVER_MS
        return min_idle_ms + min(nack.time_ms for nack in self.group.pending.nacks.values())

    def _deliver(self, ctx: Context, consumer: Consumer, count: int) -> list[list[Reply]]:
        """Entries behind the group's place, which moves there."""
        request, group, stream, now_ms = self.request, self.group, self.stream, ctx.now_ms
        entries = stream.range(group.last_id + 1, count=count)
        for entry_id, _ in entries:
            group.advance(stream, entry_id)
            if not request.noack:
                nack = group.give(entry_id, consumer, now_ms)
                if ctx.ks.feeds:
                    propagate_claim(ctx, self.key, request.group, group, entry_id, nack)
        if not request.noack:
            consumer.active_ms = now_ms
        propagate_place(ctx, self.key, request.group, group)
        return entries_reply(entries)


def _reading(ctx: Context, request: _Request, key: bytes, place: bytes) -> _Reading:
    stream = ctx.db.read_as(key, Stream)
    group = None if stream is None else stream.groups.get(request.group)
    if stream is None or group is None:
        no_group(key, request.group, b" in XREADGROUP with GROUP option")
    if place == b"$":
        raise Error(_DOLLAR)
    if place == b"+":
        raise Error(_DOLLAR.replace("$", "+"))
    return _Reading(request, key, stream, group, _NEW if place == b">" else exact_id(place))


# Common parts

_Found = list[tuple[bytes, list[Reply]]]


class _Request:
    """The arguments of both commands. Raises an error for those that make no sense."""

    def __init__(self, ctx: Context, name: bytes, args: Sequence[bytes]) -> None:
        self.name = name
        self.args = args
        self.count = 0
        self.deadline_ms: int | None = None
        self.noack = False
        self.min_idle_ms: int | None = None
        self.group = self.consumer = b""
        self.keys: tuple[bytes, ...] = ()
        grouped = self._parse(ctx)
        if not self.keys:
            syntax_error()
        if name == b"XREADGROUP" and not grouped:
            raise Error("ERR Missing GROUP option for XREADGROUP")

    def _parse(self, ctx: Context) -> bool:
        """Read the options and keys; returns whether there was a GROUP."""
        args = self.args
        grouped = False
        at = 0
        while at < len(args):
            word = args[at].upper()
            more = len(args) - 1 - at
            if word == b"BLOCK" and more:
                at += 1
                self.deadline_ms = block_deadline_ms(ctx, args[at])
            elif word == b"COUNT" and more:
                at += 1
                self.count = count_or_all(args[at])
            elif word == b"STREAMS" and more:
                if more % 2:
                    self._unbalanced()
                self.keys = tuple(args[at + 1 : at + 1 + more // 2])
                break
            elif word == b"GROUP" and more > 1:
                self._only_for_groups(b"GROUP")
                self.group, self.consumer = args[at + 1 : at + 3]
                grouped = True
                at += 2
            elif word == b"CLAIM" and more and self.name == b"XREADGROUP":
                at += 1
                self.min_idle_ms = integer(args[at], "ERR min-idle-time is not an integer")
                if self.min_idle_ms < 0:
                    raise Error("ERR min-idle-time must be a positive integer")
            elif word == b"NOACK":
                self._only_for_groups(b"NOACK")
                self.noack = True
            else:
                syntax_error()
            at += 1
        return grouped

    def streams(self) -> zip[tuple[bytes, bytes]]:
        """Each key with its ID."""
        return zip(self.keys, self.args[-len(self.keys) :], strict=True)

    def wait(self, starts: Sequence[int], again_ms: int = 0) -> Reply:
        """What to return where nothing was found. ``starts`` replace ``$`` and ``+``."""
        if self.deadline_ms is None:
            return NULL_ARRAY
        argv = None
        if not _ENDS.isdisjoint(self.args[-len(self.keys) :]):
            argv = (self.name, *self.args[: -len(starts)], *map(format_id, starts))
        in_group = self.name == b"XREADGROUP"
        return Block(self.keys, self.deadline_ms, NULL_ARRAY, Stream, in_group, argv, again_ms)

    def _only_for_groups(self, option: bytes) -> None:
        if self.name == b"XREAD":
            raise Error(
                b"ERR The %b option is only supported by XREADGROUP. You called XREAD instead."
                % option
            )

    def _unbalanced(self) -> None:
        places = b"ID, '+', or '$'" if self.name == b"XREAD" else b"ID or '>'"
        raise Error(
            b"ERR Unbalanced '%b' list of streams: for each stream key an %b must be specified."
            % (self.name.lower(), places)
        )


def _reply(ctx: Context, found: _Found) -> Reply:
    """The streams with their entries: a map in RESP3, pairs in RESP2."""
    if not ctx.resp3:
        return found
    by_key = dict(found)
    if len(by_key) == len(found):
        return by_key
    wire = Wire((b"%%%d\r\n" % len(found),))  # a stream was named twice, and is shown twice
    for key, entries in found:
        encode_into(wire, key, True)
        encode_into(wire, entries, True)
    return wire
