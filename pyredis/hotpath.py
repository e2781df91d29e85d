"""The hot path: plain requests of a plain session, as fast as Python goes.

One C call splits the input at line ends. In a well-formed request every second part is
a length header, so a request is recognised by comparing headers with a table (``b"$0",
b"$1", ...``) indexed by the real lengths: no number is parsed, and a value that holds a
line break simply fails the comparison. For requests of two to four parts everything
is spelled out; their commands come from tables that hold only those whose arity fits,
so nothing is left to check. ``run`` stops at the first thing that is not plain (a cut
or odd request, a subcommand, an error in the protocol, a session that has changed its
mode) and says where; the exact parser and ``Engine.execute`` do the same work from
there, in the open.

Pipelines are mostly *alike*: the same command with the same number of arguments, many
times. ``_run_alike`` notices that by a few slices of the parts, and then a request costs
little more than its handler, called by ``map``.

Around a handler's run there is little more than the encoding of its reply. What else a
command can cause is announced in one flag, ``ks.after``. Durations are measured for
*runs* of the same command in one input: reading the clock, and the bookkeeping for INFO
commandstats, LATENCY and SLOWLOG, would otherwise be a tenth of a GET. Calls and total
time stay exact; within a run each call is credited with the mean. Commands that are not
``brief`` (those whose cost depends on the data) are timed alone, and so are all when the
slow log is set to watch for less than a millisecond.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pyredis.commands.registry import NO_ENTRY, Entry
from pyredis.limits import check_output
from pyredis.resp import (
    BULK_HEADS,
    EMPTY_ARRAY,
    INTEGERS,
    NULL_RESP2,
    NULL_RESP3,
    Error,
    Simple,
    encode_into,
)
from pyredis.session import Block, Session

if TYPE_CHECKING:
    from pyredis.engine import Engine

CRLF: Final = b"\r\n"
INPUT_MAX_BYTES: Final = 32768
"""Largest input taken apart by splitting."""
_COUNTS: Final = {b"*%d" % n: n for n in range(1, 1025)}
_LENGTHS: Final = tuple(b"$%d" % n for n in range(INPUT_MAX_BYTES + 1))
_SINGLE_NS: Final = 1_000_000
_ALIKE_MIN: Final = 4
_ALIKE_PARTS_MIN: Final = _ALIKE_MIN * 5


def run(engine: Engine, session: Session, data: bytes) -> bytes:
    """Run the plain requests at the beginning of ``data``; returns the bytes from there on.

    Replies go to ``session.out``. The session may be blocked, closing, or in another mode
    when this returns.
    """
    ks = engine.ks
    if ks.after:
        engine.close_unit()  # what came about between commands is not the first one's effect
    ctx = engine.ctx
    ctx.session = engine.running = session
    ctx.db = session.db
    table = engine.table
    of_two, of_three, of_four = table.of_two, table.of_three, table.of_four
    by_token = table.by_token
    lengths = _LENGTHS
    integers, heads = INTEGERS, BULK_HEADS
    clock_ns = engine.clock_ns
    alone = engine.slow_ns < _SINGLE_NS
    out = session.out.append
    feeds, unit = ks.feeds, ks.unit
    dirty = unit.mark = ks.dirty
    parts = data.split(CRLF)
    end = len(parts) - 1
    at = 0
    if end >= _ALIKE_PARTS_MIN:
        at = _run_alike(engine, session, data, parts, end)
        feeds = ks.feeds
        if at and (session.closing or session.gates):
            engine.running = None
            return CRLF.join(parts[at:]) if at < end else parts[end]
        dirty = unit.mark = ks.dirty
    timed: Entry | None = None  # the command of the running run
    calls = 0
    single = alone
    start_ns = clock_ns()
    while at < end:
        head = parts[at]
        try:
            if head == b"*3":
                after = at + 7
                if after > end:
                    break
                _, name_size, name, key_size, key, value_size, value = parts[at:after]
                entry = of_three.get(name, NO_ENTRY)
                if (
                    name_size != entry.header
                    or key_size != lengths[len(key)]
                    or value_size != lengths[len(value)]
                ):
                    break
                if entry is not timed:
                    if timed is not None:
                        start_ns = _credit(engine, timed, calls, start_ns)
                    timed, calls = entry, 0
                    single = alone or not entry.brief
                reply = entry.handler(ctx, key, value)
            elif head == b"*2":
                after = at + 5
                if after > end:
                    break
                _, name_size, name, key_size, key = parts[at:after]
                entry = of_two.get(name, NO_ENTRY)
                if name_size != entry.header or key_size != lengths[len(key)]:
                    break
                if entry is not timed:
                    if timed is not None:
                        start_ns = _credit(engine, timed, calls, start_ns)
                    timed, calls = entry, 0
                    single = alone or not entry.brief
                reply = entry.handler(ctx, key)
            elif head == b"*4":
                after = at + 9
                if after > end:
                    break
                _, name_size, name, key_size, key, value_size, value, last_size, last = parts[
                    at:after
                ]
                entry = of_four.get(name, NO_ENTRY)
                if (
                    name_size != entry.header
                    or key_size != lengths[len(key)]
                    or value_size != lengths[len(value)]
                    or last_size != lengths[len(last)]
                ):
                    break
                if entry is not timed:
                    if timed is not None:
                        start_ns = _credit(engine, timed, calls, start_ns)
                    timed, calls = entry, 0
                    single = alone or not entry.brief
                reply = entry.handler(ctx, key, value, last)
            else:
                count = _COUNTS.get(head)
                if count is None:
                    break
                after = at + 2 * count + 1
                if after > end:
                    break
                entry = by_token.get(parts[at + 2], NO_ENTRY)
                if (
                    parts[at + 1] != entry.header
                    or entry.children
                    or not entry.arity_min <= count <= entry.arity_max
                ):
                    break
                args = parts[at + 4 : after : 2]
                if parts[at + 3 : after : 2] != [lengths[size] for size in map(len, args)]:
                    break
                if entry is not timed:
                    if timed is not None:
                        start_ns = _credit(engine, timed, calls, start_ns)
                    timed, calls = entry, 0
                    single = alone or not entry.brief
                reply = entry.handler(ctx, *args)
        except Error as error:
            reply = error
            entry.failed += 1
            engine.stats.count_error(error)
        except Exception:
            reply = engine.crashed(entry, parts[at + 2 : after : 2])
        calls += 1
        if feeds and not ks.after and ks.dirty != dirty:
            dirty = unit.mark = ks.dirty
            alone_in_input = not at and after == end and not parts[end]
            wire = data if alone_in_input else CRLF.join(parts[at:after]) + CRLF
            engine.spread(session.db.index, wire)
        kind = type(reply)
        if kind is Simple:
            out(reply.wire)
        elif kind is bytes:
            size = len(reply)
            if size < 1024:
                out(heads[size] + reply + CRLF)
            else:
                encode_into(session.out, reply, False)
                check_output(engine, session)
        elif kind is int:
            out(integers[reply] if 0 <= reply < 1024 else b":%d\r\n" % reply)
        elif reply is None:
            out(NULL_RESP3 if session.resp3 else NULL_RESP2)
        elif kind is list and not reply:
            out(EMPTY_ARRAY)
        elif kind is Block:
            argv = parts[at + 2 : after : 2]
            at = after
            if calls > 1:
                _credit(engine, entry, calls - 1, start_ns)
            timed = None  # the call is counted when its wait ends
            engine.serving.park(session, reply, entry, argv)
            if ks.after:
                engine.after_command(session, argv)
            break
        else:
            encode_into(session.out, reply, session.resp3)
            if kind is list:
                check_output(engine, session)
        if single:
            spent_ns = clock_ns() - start_ns
            if spent_ns > engine.slow_ns:
                engine.record_slow(session, entry, parts[at + 2 : after : 2], spent_ns)
            start_ns = _credit(engine, entry, calls, start_ns)
            timed = None
        if ks.after:
            if timed is not None:
                _credit(engine, entry, calls, start_ns)
                timed = None
            argv = parts[at + 2 : after : 2]
            at = after
            engine.after_command(session, argv)
            if session.closing or session.gates:
                session.last_command = entry
                break
            ctx.session = engine.running = session
            ctx.db = session.db
            feeds = ks.feeds  # what it did may have brought one
            dirty = unit.mark = ks.dirty
            start_ns = clock_ns()
        else:
            at = after
        session.last_command = entry
    if timed is not None:
        now_ns = _credit(engine, timed, calls, start_ns)
        if now_ns - start_ns > engine.slow_ns:
            engine.record_slow(session, timed, _last_request(parts, at), now_ns - start_ns)
    engine.running = None
    return CRLF.join(parts[at:]) if at < end else parts[end]


def _run_alike(engine: Engine, session: Session, data: bytes, parts: list[bytes], end: int) -> int:
    """Run the requests if all are alike; returns how many parts were consumed, 0 if not.

    It stops early when a command has raised ``ks.after``, with that taken care of.
    """
    count = _COUNTS.get(parts[0], 0)
    stride = 2 * count + 1
    groups = end // stride
    if count < 2 or groups < _ALIKE_MIN:
        return 0
    entry = engine.table.by_token.get(parts[2], NO_ENTRY)
    ks = engine.ks
    if (
        not entry.brief
        or parts[1] != entry.header
        or entry.children
        or not entry.arity_min <= count <= entry.arity_max
        or engine.slow_ns < _SINGLE_NS
        or (ks.observed and entry.write)
    ):
        return 0
    limit = groups * stride
    for place in range(3):
        if parts[place:limit:stride].count(parts[place]) != groups:
            return 0
    columns: list[list[bytes]] = []
    for place in range(3, stride, 2):
        column = parts[place + 1 : limit : stride]
        if parts[place:limit:stride] != [_LENGTHS[size] for size in map(len, column)]:
            return 0
        columns.append(column)

    integers, heads = INTEGERS, BULK_HEADS
    out = session.out.append
    replies = map(partial(entry.handler, engine.ctx), *columns)
    done = 0
    feeds = ks.feeds and entry.write
    dirty = ks.unit.mark = ks.dirty
    idle: list[int] = []  # the requests that changed nothing
    start_ns = engine.clock_ns()
    while done < groups and not ks.after:
        try:
            for reply in replies:
                done += 1
                if feeds:
                    if ks.dirty == dirty:
                        idle.append(done - 1)
                    dirty = ks.dirty
                kind = type(reply)
                if kind is Simple:
                    out(reply.wire)
                elif kind is int:
                    out(integers[reply] if 0 <= reply < 1024 else b":%d\r\n" % reply)
                elif kind is bytes and len(reply) < 1024:
                    out(heads[len(reply)] + reply + CRLF)
                elif reply is None:
                    out(NULL_RESP3 if session.resp3 else NULL_RESP2)
                elif kind is list and not reply:
                    out(EMPTY_ARRAY)
                else:
                    encode_into(session.out, reply, session.resp3)
                    check_output(engine, session)
                if ks.after:
                    break
        except Error as error:
            if ks.dirty == dirty:
                idle.append(done)
            dirty = ks.dirty
            done += 1
            entry.failed += 1
            engine.stats.count_error(error)
            encode_into(session.out, error, session.resp3)
        except Exception:
            if ks.dirty == dirty:
                idle.append(done)
            dirty = ks.dirty
            done += 1
            argv = parts[(done - 1) * stride + 2 : done * stride : 2]
            encode_into(session.out, engine.crashed(entry, argv), session.resp3)
    argv = parts[(done - 1) * stride + 2 : done * stride : 2]
    now_ns = _credit(engine, entry, done, start_ns)
    if now_ns - start_ns > engine.slow_ns:
        engine.record_slow(session, entry, argv, now_ns - start_ns)
    session.last_command = entry
    if feeds:
        # What the last one causes beside its own change is told by ``after_command``.
        told = done - 1 if ks.after else done
        whole = told * stride == end and not idle and not parts[end]
        wire = data if whole else _without(parts, idle, stride, told)
        if wire:
            engine.spread(session.db.index, wire)
        if ks.after:
            ks.unit.mark = -1 if done - 1 not in idle else ks.dirty
    if ks.after:
        engine.after_command(session, argv)
        engine.ctx.session = engine.running = session
        engine.ctx.db = session.db
    return done * stride


def _without(parts: list[bytes], idle: list[int], stride: int, count: int) -> bytes:
    """The first ``count`` requests as they came, but for some."""
    if not idle:
        return CRLF.join(parts[: count * stride]) + CRLF if count else b""
    left_out = set(idle)
    wanted = [at for at in range(count) if at not in left_out]
    return b"".join(CRLF.join(parts[at * stride : (at + 1) * stride]) + CRLF for at in wanted)


def _credit(engine: Engine, entry: Entry, calls: int, start_ns: int) -> int:
    """Count a run of ``calls`` that began at ``start_ns``; returns the time now."""
    now_ns = engine.clock_ns()
    spent_ns = now_ns - start_ns
    entry.duration_ns += spent_ns
    entry.latency[(spent_ns // (calls or 1)).bit_length()] += calls
    return now_ns


def _last_request(parts: list[bytes], end: int) -> list[Any]:
    """The arguments of the request that ends before ``end``."""
    at = end - 1
    while at > 0 and parts[at] not in _COUNTS:
        at -= 1
    return parts[at + 2 : end : 2]
