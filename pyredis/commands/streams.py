"""Streams: adding entries, reading ranges of them, and removing them.

The data structure is ``pyredis.types.streams``. Clients that follow a stream are served by
``stream_reads``; consumer groups are made by ``stream_groups``, their pending entries handled by
``stream_claims``, and ``stream_info`` tells about all of it.

What XADD and XTRIM did is told to the AOF and the replicas as a command that gives the same
result whatever the time and wherever nodes begin: with the ID that the entry got, and with the
length or the first ID that trimming has led to. With ACKED, where entries that are still needed
stay between others that went, it is always the length: the oldest go first. What a primary
sends is not checked for a LIMIT beside an exact threshold, which Redis leaves there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pyredis.commands.args import NO_SUCH_KEY, integer, syntax_error
from pyredis.commands.registry import Group, first
from pyredis.commands.stream_args import (
    ACKNOWLEDGED,
    DELETE_REFERENCES,
    INVALID_ID,
    REFERENCE_POLICIES,
    count_or_all,
    entries_reply,
    exact_id,
    interval_end,
    interval_start,
)
from pyredis.context import Context
from pyredis.keyspace import WRONGTYPE
from pyredis.resp import NULL_ARRAY, OK, Error, Reply
from pyredis.types.stream_ids import ID_MAX, SEQ_MAX, format_id, parse_part, split_id
from pyredis.types.streams import NODE_MAX_BYTES, Stream

command = Group("stream", acl="stream")

_LIMIT_NODES: Final = 100  # approximate trimming looks at so many full nodes at most
_LIMIT_DEFAULT: Final = 10_000
_LIMIT_MAX: Final = 1_000_000


# Adding


@command(
    "XADD",
    arity=-5,
    flags="write denyoom fast",
    keys=tuple(
        replace(spec, notes="An update, not only an insertion, since it may also trim.")
        for spec in first("RW update")
    ),
    tips="nondeterministic_output",
    since="5.0.0",
    complexity="O(1) when adding a new entry, O(N) when trimming where N being the number of "
    "entries evicted.",
    usage="key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] "
    "[<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]",
    history=[
        ("6.2.0", "Takes `NOMKSTREAM`, `MINID` and `LIMIT`."),
        ("7.0.0", "Takes IDs of which only the time is given, `<ms>-*`."),
        ("8.2.0", "Takes `KEEPREF`, `DELREF` and `ACKED`."),
    ],
)
def xadd(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Appends an entry to a stream, perhaps trims the stream, and returns the entry's ID."""
    trim: _Trim | None = None
    at, given, no_mkstream = 0, None, False
    if args[0] != b"*":
        trim = _Trim(ctx, args, adding=True)
        at, given, no_mkstream = trim.end, trim.given, trim.no_mkstream
    fields = args[at + 1 :]
    if len(fields) < 2 or len(fields) % 2:
        raise Error("ERR wrong number of arguments for 'xadd' command")
    if given == (0, True):
        raise Error("ERR The ID specified in XADD must be greater than 0-0")
    db, config = ctx.db, ctx.config
    stream = found = db.write(key)
    if type(stream) is not Stream:
        if found is not None:
            raise Error(WRONGTYPE)
        if no_mkstream:
            return None
        stream = Stream()

    entry_id = _next_id(stream.last_id, given, ctx.now_ms)
    if sum(map(len, fields)) > NODE_MAX_BYTES:
        raise Error("ERR Elements are too large to be stored")
    stream.append(entry_id, fields, config.stream_node_max_entries, config.stream_node_max_bytes)
    if found is None:
        db.put(key, stream)
    else:
        db.signal(key)
    db.changed(key, "xadd")
    if trim is not None and trim.apply(stream):
        db.changed(key, "xtrim", 0)
    reply = format_id(entry_id)
    if ctx.ks.feeds:
        options = args[:at] if trim is None else trim.exact_argv(stream)
        told = args[at] if given is not None and given[1] else reply
        ctx.propagate(b"XADD", key, *options, told, *fields)
    return reply


def _next_id(last_id: int, given: tuple[int, bool] | None, now_ms: int) -> int:
    """The ID of a new entry, from what was asked for: nothing, a time, or all of it."""
    if last_id == ID_MAX:
        raise Error("ERR The stream has exhausted the last possible ID, unable to add more items")
    if given is None:
        return max(now_ms << 64, last_id + 1)
    entry_id, exact = given
    if not exact and entry_id >> 64 == last_id >> 64:
        entry_id = last_id + 1 if last_id & SEQ_MAX < SEQ_MAX else 0
    if entry_id <= last_id:
        raise Error(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item"
        )
    return entry_id


def _new_id(arg: bytes) -> tuple[int, bool]:
    """An ID as XADD takes it: (ID, True), or (ID with 0, False) for ``ms-*``."""
    parts = split_id(arg)
    if parts is not None and parts[1] == b"*":
        ms = parse_part(parts[0])
        if ms is not None:
            return ms << 64, False
        raise Error(INVALID_ID)
    return exact_id(arg), True


# Trimming


@command(
    "XTRIM",
    arity=-4,
    flags="write",
    keys=first("RW delete"),
    tips="nondeterministic_output",
    since="5.0.0",
    complexity="O(N), with N being the number of evicted entries. Constant times are very "
    "small however, since entries are organized in macro nodes containing multiple entries "
    "that can be released with a single deallocation.",
    usage="key <<MAXLEN | MINID> [= | ~] threshold [LIMIT count]> [KEEPREF | DELREF | ACKED]",
    history=[
        ("6.2.0", "Takes `MINID` and `LIMIT`."),
        ("8.2.0", "Takes `KEEPREF`, `DELREF` and `ACKED`."),
    ],
)
def xtrim(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Removes the oldest entries of a stream, to a length or up to an ID; returns how many."""
    trim = _Trim(ctx, args, adding=False)
    stream = ctx.db.write_as(key, Stream)
    if stream is None:
        return 0
    removed = trim.apply(stream)
    if removed:
        ctx.db.changed(key, "xtrim", removed)
        ctx.propagate(b"XTRIM", key, *trim.exact_argv(stream))
    return removed


class _Trim:
    """The options of XADD and XTRIM, up to an ID or to the end.

    ``by`` is the strategy, None for no trimming. ``given`` is an ID with whether its sequence
    number was given; None for the automatic one.
    """

    def __init__(self, ctx: Context, args: Sequence[bytes], adding: bool) -> None:
        """Reads the options; raises an error for those that make no sense."""
        self.args = args
        self.by: bytes | None = None
        self.span = 0, 0  # where the strategy with its threshold stands
        self.whole_nodes = False
        self.threshold = 0
        self.limit: int | None = None
        self.no_mkstream = False
        self.references = b""
        self.given: tuple[int, bool] | None = None
        self.end = self._parse(adding)
        self._check(ctx, adding)

    def _parse(self, adding: bool) -> int:
        args = self.args
        at = 0
        while at < len(args):
            word = args[at].upper()
            more = len(args) - 1 - at
            if adding and word == b"*":
                break
            if word in (b"MAXLEN", b"MINID") and more:
                if self.by is not None:
                    raise Error(
                        "ERR syntax error, MAXLEN and MINID options at the same time are not "
                        "compatible"
                    )
                start, sign = at, args[at + 1]
                self.whole_nodes = more > 1 and sign == b"~"
                at += 2 if more > 1 and sign in (b"~", b"=") else 1
                self.threshold = _length(args[at]) if word == b"MAXLEN" else exact_id(args[at])
                self.by = word
                self.span = start, at + 1
            elif word == b"LIMIT" and more:
                at += 1
                self.limit = integer(args[at])
                if self.limit < 0:
                    raise Error("ERR The LIMIT argument must be >= 0.")
            elif adding and word == b"NOMKSTREAM":
                self.no_mkstream = True
            elif word in REFERENCE_POLICIES:
                if self.references:
                    syntax_error()
                self.references = word
            elif adding:
                self.given = _new_id(args[at])
                break
            else:
                syntax_error()
            at += 1
        return at

    def _check(self, ctx: Context, adding: bool) -> None:
        """Refuse options that do not go together; find the limit."""
        if self.by is None:
            if self.limit:
                raise Error(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"
                )
            if not adding:
                raise Error("ERR syntax error, XTRIM must be called with a trimming strategy")
        if ctx.ks.ignore_expiry:  # what the primary sends is to be done without ifs and buts
            self.limit = 0
        elif self.limit is not None:
            if not self.whole_nodes:
                raise Error("ERR syntax error, LIMIT cannot be used without the special ~ option")
        elif self.whole_nodes:
            limit = _LIMIT_NODES * ctx.config.stream_node_max_entries
            self.limit = min(limit or _LIMIT_DEFAULT, _LIMIT_MAX)

    def apply(self, stream: Stream) -> int:
        """Trim the stream; returns how many entries went."""
        if self.by is None:
            return 0
        if stream.groups and self.references in (DELETE_REFERENCES, ACKNOWLEDGED):
            return self._apply_with_references(stream)
        trim = stream.trim_to_length if self.by == b"MAXLEN" else stream.trim_below
        return trim(self.threshold, self.whole_nodes, self.limit or 0)

    def _apply_with_references(self, stream: Stream) -> int:
        only_acknowledged = self.references == ACKNOWLEDGED
        removed = stream.trim_some(
            lambda entry_id: not (only_acknowledged and stream.is_referenced(entry_id)),
            self.threshold if self.by == b"MAXLEN" else 0,
            self.threshold if self.by == b"MINID" else ID_MAX + 1,
            self.whole_nodes,
            self.limit or 0,
        )
        if not only_acknowledged:
            for entry_id in removed:
                stream.forget(entry_id)
        return len(removed)

    def exact_argv(self, stream: Stream) -> Sequence[bytes]:
        """The options with which the stream becomes what it is now, wherever nodes begin."""
        has_gaps = self.references == ACKNOWLEDGED and bool(stream.groups)
        if self.by is None or not (self.whole_nodes or has_gaps):
            return self.args[: self.end]
        start, stop = self.span
        by = b"MAXLEN" if has_gaps else self.args[start]
        if by.upper() == b"MAXLEN":
            reached = b"%d" % len(stream)
        else:  # of an empty stream everything went
            reached = format_id(stream.first_id if len(stream) else ID_MAX)
        return (*self.args[:start], by, b"=", reached, *self.args[stop : self.end])


def _length(arg: bytes) -> int:
    length = integer(arg)
    if length < 0:
        raise Error("ERR The MAXLEN argument must be >= 0.")
    return length


# Removing


@command(
    "XDEL",
    arity=-3,
    flags="write fast",
    keys=first("RW delete"),
    since="5.0.0",
    complexity="O(1) for each single item to delete in the stream, regardless of the stream size.",
    usage="key id [id ...]",
)
def xdel(ctx: Context, key: bytes, *ids: bytes) -> Reply:
    """Removes entries by their IDs; returns how many there were."""
    stream = ctx.db.write_as(key, Stream)
    if stream is None:
        return 0
    removed = sum([stream.delete(entry_id) for entry_id in [exact_id(arg) for arg in ids]])
    if removed:
        ctx.db.changed(key, "xdel", removed)
    return removed


@command(
    "XSETID",
    arity=-3,
    flags="write denyoom fast",
    keys=first("RW update"),
    since="5.0.0",
    complexity="O(1)",
    usage="key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
    history=[("7.0.0", "Takes `ENTRIESADDED` and `MAXDELETEDID`.")],
)
def xsetid(ctx: Context, key: bytes, last_id: bytes, *options: bytes) -> Reply:
    """Sets what a stream remembers of entries that are gone. For replication and AOF files."""
    last = exact_id(last_id)
    entries_added: int | None = None
    max_deleted = 0
    for at in range(0, len(options), 2):
        word = options[at].upper()
        if at + 1 == len(options):
            syntax_error()
        if word == b"ENTRIESADDED":
            entries_added = integer(options[at + 1])
            if entries_added < 0:
                raise Error("ERR entries_added must be positive")
        elif word == b"MAXDELETEDID":
            max_deleted = exact_id(options[at + 1])
            if last < max_deleted:
                raise Error(
                    "ERR The ID specified in XSETID is smaller than the provided "
                    "max_deleted_entry_id"
                )
        else:
            syntax_error()
    stream = ctx.db.write_as(key, Stream)
    if stream is None:
        raise Error(NO_SUCH_KEY)
    if last < stream.max_deleted_id:
        raise Error("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id")
    if stream.length:
        if last < stream.top_id:
            raise Error("ERR The ID specified in XSETID is smaller than the target stream top item")
        if entries_added is not None and entries_added < stream.length:
            raise Error(
                "ERR The entries_added specified in XSETID is smaller than the target stream length"
            )
    stream.last_id = last
    if entries_added is not None:
        stream.entries_added = entries_added
    if max_deleted:
        stream.max_deleted_id = max_deleted
    ctx.db.changed(key, "xsetid")
    return OK


# Reading


@command(
    "XLEN",
    arity=2,
    flags="readonly fast",
    keys=first("RO"),
    since="5.0.0",
    complexity="O(1)",
    usage="key",
)
def xlen(ctx: Context, key: bytes) -> Reply:
    """Counts the entries of a stream."""
    stream = ctx.db.read_as(key, Stream)
    return 0 if stream is None else stream.length


@command(
    "XRANGE",
    arity=-4,
    flags="readonly",
    keys=first("RO access"),
    since="5.0.0",
    complexity="O(N) with N being the number of elements being returned. If N is constant (e.g. "
    "always asking for the first 10 elements with COUNT), you can consider it O(1).",
    usage="key start:string end:string [COUNT count]",
    history=[("6.2.0", "`(id` leaves out an end of the interval.")],
)
def xrange(ctx: Context, key: bytes, start: bytes, end: bytes, *options: bytes) -> Reply:
    """Returns the entries with IDs in an interval, the first ones first."""
    return _range(ctx, key, interval_start(start), interval_end(end), options, False)


@command(
    "XREVRANGE",
    arity=-4,
    flags="readonly",
    keys=first("RO access"),
    since="5.0.0",
    complexity="O(N) with N being the number of elements returned. If N is constant (e.g. "
    "always asking for the first 10 elements with COUNT), you can consider it O(1).",
    usage="key end:string start:string [COUNT count]",
    history=[("6.2.0", "`(id` leaves out an end of the interval.")],
)
def xrevrange(ctx: Context, key: bytes, end: bytes, start: bytes, *options: bytes) -> Reply:
    """Returns the entries with IDs in an interval, the last ones first."""
    return _range(ctx, key, interval_start(start), interval_end(end), options, True)


def _range(
    ctx: Context, key: bytes, start: int, end: int, options: Sequence[bytes], reverse: bool
) -> Reply:
    count: int | None = None
    for at in range(0, len(options), 2):
        if options[at].upper() != b"COUNT" or at + 1 == len(options):
            syntax_error()
        count = count_or_all(options[at + 1])
    stream = ctx.db.read_as(key, Stream)
    if stream is None:
        return []
    if count == 0:
        return NULL_ARRAY
    return entries_reply(stream.range(start, end, count or 0, reverse))
