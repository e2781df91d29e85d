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

from pyredis.resp import NULL_ARRAY, Error, Simple
from pyredis.scripting.convert import argument, nested
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
_SHORT: Final = 100  # a list of up to so many plain values is passed on one by one
_LIGHT: Final = 4096  # a string up to this long needs no look at Lua's memory

Plan = tuple[Any, ...]


def arguments(args: tuple[Any, ...]) -> list[bytes] | bytes:
    """The request a script's arguments make, or the text of an error."""
    argv = [argument(arg) for arg in args]
    if None in argv:
        return BAD_ARGUMENTS
    return argv or NO_ARGUMENTS  # type: ignore[return-value]


def make_call(scripting: Scripting, sandbox: Sandbox) -> Callable[..., Any]:
    """The callable for one Lua state."""
    engine = scripting.engine
    ctx, ks, stats = engine.ctx, engine.ks, engine.stats
    unit = ks.unit
    session = scripting.session
    clock_ns = engine.clock_ns
    plans: dict[bytes, Plan] = {}

    def plan_for(name: bytes) -> Plan | None:
        """How to run a command without further questions, None when some are left."""
        entry = engine.table.find((name,))
        if entry is None or entry.children or "noscript" in entry.spec.flags:
            return None
        plan = (entry, entry.handler, entry.arity_min, entry.arity_max, entry.write)
        plans[name] = plan
        return plan

    def call(*args: Any) -> Any:
        try:
            for arg in args:
                if type(arg) is not bytes:
                    found = arguments(args)
                    if type(found) is bytes:
                        return ERROR, found
                    args = tuple(found)
                    break
            else:
                if not args:
                    return ERROR, NO_ARGUMENTS
            run = scripting.run
            assert run is not None
            plan = plans.get(args[0]) or plan_for(args[0])
            if plan is None or not scripting.lean or run.replicate != REPLICATE_ALL:
                return converted(careful(list(args)))
            entry, handler, arity_min, arity_max, write = plan
            if not arity_min <= len(args) <= arity_max:
                return converted(careful(list(args)))
            if write:
                if run.read_only:
                    return converted(careful(list(args)))
                run.wrote = True
            start_ns = clock_ns()
            try:
                reply = handler(ctx, *args[1:])
            except Error as error:
                entry.failed += 1
                stats.count_error(error)
                reply = error
            end_ns = clock_ns()
            spent_ns = end_ns - start_ns
            entry.latency[spent_ns.bit_length()] += 1
            entry.duration_ns += spent_ns
            if spent_ns > engine.slow_ns:
                engine.record_slow(session, entry, list(args), spent_ns)
            if ks.after:
                if unit.dirty or unit.explicit:
                    unit.end_command(session.db.index, args)
                if unit.changes:
                    changes, unit.changes = unit.changes, []
                    engine.announce(changes)
                ctx.db = session.db
            if end_ns > scripting.deadline_ns:
                text = scripting.overdue(end_ns)
                if text:
                    return END, text
            kind = type(reply)
            if kind is int or (kind is bytes and len(reply) < _LIGHT):
                return reply
            return converted(reply)
        except Exception:
            return ERROR, scripting.defect("redis.call").text

    def careful(argv: list[bytes]) -> Any:
        """Run a command after all checks; a refusal is returned as an error."""
        run = scripting.run
        assert run is not None
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
        if entry.write and run.read_only:
            return entry, Error(_READ_ONLY)
        for gate in session.gates:
            reply = gate(engine, session, entry, argv)
            if reply is not None:
                return entry, reply
        return entry, None

    def converted(reply: Any) -> Any:
        """A reply as what Lua gets."""
        run = scripting.run
        assert run is not None
        if run.condemned:
            return END, run.condemned
        if type(reply) is Block:
            reply = reply.on_timeout  # a script cannot wait
        kind = type(reply)
        if kind is int:
            return reply
        if kind is Simple:
            return STATUS, reply.text
        if isinstance(reply, Error):
            return ERROR, reply.text
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
                if sandbox.has_room(sum(len(item) for item in value if type(item) is bytes)):
                    return LIST, len(value), *value
        if kind is list or kind is dict:
            table = sandbox.table(value)
            return (ERROR, b"ERR not enough memory") if table is None else table
        return value

    return call
