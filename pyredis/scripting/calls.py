"""redis.call: from a script into the engine.

A command called by a script passes the checks that are Redis' for scripts, then the gates that
concern the server as a whole, then runs as part of the script's unit of effects. The common
case (a plain command, nobody watching) is spelled out, for scripts live on it; the rest goes
through ``Engine.call``.

The returned callable never raises. It returns a plain value for Lua, or a mark and the text or
the elements that belong to it (``lua/redis.lua`` knows the marks).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pyredis.gates import link_down
from pyredis.resp import NULL_ARRAY, Error, Simple
from pyredis.scripting.convert import argument, nested
from pyredis.scripting.convert import size_bytes as size_bytes_of
from pyredis.scripting.run import REPLICATE_ALL
from pyredis.session import Block

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.scripting.manager import Scripting
    from pyredis.scripting.sandbox import Sandbox

STATUS, ERROR, LIST, END = 1, 2, 3, 4

NO_ARGUMENTS: Final = b"ERR Please specify at least one argument for this redis lib call"
BAD_ARGUMENTS: Final = b"ERR Lua redis lib command arguments must be strings or integers"
_UNKNOWN: Final = "ERR Unknown Redis command called from script"
_ARITY: Final = "ERR Wrong number of args calling Redis command from script"
_NOSCRIPT: Final = "ERR This Redis command is not allowed from script"
_READ_ONLY: Final = "ERR Write commands are not allowed from read-only scripts."
_STALE: Final = "ERR Can not execute the command on a stale replica"
_SHORT: Final = 100  # a list of up to so many plain values is passed on one by one
_WRITING: Final = frozenset(("write", "may_replicate"))
_ABSENT: Final = object()
_STRINGS: Final = {bytes}
_PLANS_MAX: Final = 2000
_LIGHT: Final = 4096  # a string up to this long needs no look at Lua's memory

Plan = tuple[Any, ...]


def arguments(args: tuple[Any, ...]) -> tuple[bytes, ...] | None:
    """Arguments as a request has them; None if one is neither a string nor a number."""
    texts = tuple(map(argument, args))
    return None if None in texts else texts  # type: ignore[return-value]


def make_call(scripting: Scripting, sandbox: Sandbox) -> Callable[..., Any]:
    """The callable for one Lua state."""
    engine = scripting.engine
    ctx, ks, stats = engine.ctx, engine.ks, engine.stats
    unit = ks.unit
    session = scripting.session
    clock_ns = engine.clock_ns
    plans: dict[bytes, Plan] = {}

    def plan_for(name: Any) -> Plan | None:
        """How to run a command without further questions, None when some are left."""
        if type(name) is not bytes:
            return None
        entry = engine.table.find((name,))
        if entry is None or entry.children or "noscript" in entry.spec.flags:
            return None
        if len(plans) > _PLANS_MAX:
            plans.clear()  # somebody is trying all spellings
        writes = bool(_WRITING & entry.spec.flags)
        plan = (entry, entry.handler, entry.arity_min - 1, entry.arity_max - 1, writes)
        plans[name] = plan
        return plan

    def call(name: Any = _ABSENT, *rest: Any) -> Any:
        try:
            plan = plans.get(name) or plan_for(name)
            if plan is None or not scripting.lean:
                return converted(careful(name, rest))
            entry, handler, args_min, args_max, write = plan
            for arg in rest:
                if type(arg) is not bytes:
                    texts = arguments(rest)
                    if texts is None:
                        return ERROR, BAD_ARGUMENTS
                    rest = texts
                    break
            if not args_min <= len(rest) <= args_max:
                return converted(careful(name, rest))
            if write:
                run = scripting.run
                if run.read_only:  # type: ignore[union-attr]
                    return converted(careful(name, rest))
                run.wrote = run.wrote or entry.write  # type: ignore[union-attr]
            start_ns = clock_ns()
            try:
                reply = handler(ctx, *rest)
            except Error as error:
                entry.failed += 1
                stats.count_error(error)
                reply = error
            end_ns = clock_ns()
            spent_ns = end_ns - start_ns
            entry.latency[spent_ns.bit_length()] += 1
            entry.duration_ns += spent_ns
            if spent_ns > engine.slow_ns:
                engine.record_slow(session, entry, [name, *rest], spent_ns)
            if ks.feeds:
                unit.end_command(ks.dirty, session.db.index, (name, *rest))
                if unit.commands:
                    ks.after = True
            if unit.changes:
                changes, unit.changes = unit.changes, []
                engine.announce(changes)
            if end_ns > scripting.deadline_ns:
                text = scripting.overdue(end_ns)
                if text:
                    return END, text
            kind = type(reply)
            if kind is int or (kind is bytes and len(reply) < _LIGHT):
                return reply
            if kind is Simple:
                return STATUS, reply.text
            return converted(reply)
        except Exception:
            return ERROR, scripting.defect("redis.call").text

    def careful(name: Any, rest: tuple[Any, ...]) -> Any:
        """Run a command after all checks; a refusal is returned as an error."""
        run = scripting.run
        assert run is not None
        texts = arguments((name, *rest))
        if texts is None:
            return Error(NO_ARGUMENTS if name is _ABSENT else BAD_ARGUMENTS)
        argv = list(texts)
        entry, refusal = admit(argv)
        if refusal is not None:
            if entry is not None:
                entry.rejected += 1
            stats.count_error(refusal)
            return refusal
        assert entry is not None
        if entry.write:
            run.wrote = True
        before = len(unit.commands)
        reply = engine.call(session, entry, argv)
        ctx.db = session.db
        if run.replicate != REPLICATE_ALL:
            scripting.limit_propagation(before, run.replicate)
        now_ns = clock_ns()
        if now_ns > scripting.deadline_ns:
            scripting.overdue(now_ns)
        return reply

    def admit(argv: list[bytes]) -> tuple[Entry | None, Any]:
        run = scripting.run
        assert run is not None
        entry = engine.table.find(argv)
        if entry is None:
            return None, Error(_UNKNOWN)
        if entry.children and len(argv) > 1:
            return None, Error(_UNKNOWN)
        if not entry.arity_min <= len(argv) <= entry.arity_max:
            return entry, Error(_ARITY)
        flags = entry.spec.flags
        if "noscript" in flags and not engine.switches.scripts_may_call_all:
            return entry, Error(_NOSCRIPT)
        if session.restricted:
            refusal = engine.acl_check(run.caller, entry, argv)
            if refusal is not None:
                return entry, refusal
        if run.read_only and _WRITING & flags:
            return entry, Error(_READ_ONLY)
        for gate in session.gates:
            reply = gate(engine, session, entry, argv)
            if reply is not None:
                return entry, Error(_STALE) if gate is link_down else reply
        return entry, None

    def converted(reply: Any) -> Any:
        """A reply as what Lua gets."""
        run = scripting.run
        assert run is not None
        if run.condemned:
            return END, run.condemned
        if type(reply) is Block:
            reply = reply.given_up()  # a script cannot wait
        kind = type(reply)
        if kind is int:
            return reply
        if kind is Simple:
            return STATUS, reply.text
        if isinstance(reply, Error):
            return ERROR, reply.text
        if kind is list and set(map(type, reply)) == _STRINGS:
            size_bytes = sum(map(len, reply))
            if not sandbox.has_room(size_bytes + 40 * len(reply)):
                return ERROR, b"ERR not enough memory"
            return (LIST, size_bytes, *reply) if len(reply) <= _SHORT else sandbox.table_from(reply)
        resp3 = run.resp3
        if reply is None or reply is NULL_ARRAY:
            return None if resp3 else False
        value = nested(reply, resp3)
        kind = type(value)
        if kind is bytes:
            if len(value) >= _LIGHT and not sandbox.has_room(len(value)):
                return ERROR, b"ERR not enough memory"
            return value
        if kind is list and len(value) <= _SHORT:
            for item in value:
                if type(item) is not bytes and item is not False and type(item) is not int:
                    break
            else:
                if sandbox.has_room(size_bytes_of(value)):
                    return LIST, len(value), *value
        if kind is list or kind is dict:
            table = sandbox.table(value)
            return (ERROR, b"ERR not enough memory") if table is None else table
        return value

    return call
