"""FUNCTION and FCALL: libraries of code that stay with the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyredis.commands.args import subcommand_error
from pyredis.commands.help import help_reply
from pyredis.commands.registry import Group, KeySpec
from pyredis.commands.scripting import counted, flush_mode, keys_among, show
from pyredis.context import Context
from pyredis.glob import compile_glob
from pyredis.resp import OK, Error, Reply, SetReply, Simple
from pyredis.scripting.manager import BUSY_SCRIPT
from pyredis.scripting.shebang import FLAGS

if TYPE_CHECKING:
    from pyredis.scripting.functions import Function

command = Group("scripting", acl="scripting")

_FLAGS = "noscript stale skip_monitor no_mandatory_keys movablekeys"
_COMPLEXITY = "Depends on the function that is executed."
_UNKNOWN_USE = "What a function does with its keys is unknown, so everything is assumed."
_TO_ALL = "request_policy:all_shards response_policy:all_succeeded"


def _keys(flags: str) -> tuple[KeySpec, ...]:
    return (KeySpec(tuple(flags.split()), ("index", 2), ("keynum", 0, 1, 1), _UNKNOWN_USE),)


def _call(
    ctx: Context, name: str, function: bytes, count: bytes, rest: tuple[bytes, ...], read_only: bool
) -> Reply:
    show(ctx)
    scripting = ctx.engine.scripting
    found = scripting.libraries.find(function)
    if found is None:
        raise Error("ERR Function not found")
    keys = keys_among(count, rest, "ERR Bad number of keys provided")
    argv = (name.encode(), function, count, *rest)
    return counted(ctx, name, scripting.call_function(ctx, found, keys, rest, read_only, argv))


@command(
    "FCALL",
    arity=-3,
    flags=_FLAGS + " may_replicate",
    keys=_keys("RW access update"),
    since="7.0.0",
    complexity=_COMPLEXITY,
    usage="function numkeys [key [key ...]] [arg [arg ...]]",
)
def fcall(ctx: Context, function: bytes, numkeys: bytes, *rest: bytes) -> Reply:
    """Calls a function of a library."""
    return _call(ctx, "FCALL", function, numkeys, rest, False)


@command(
    "FCALL_RO",
    arity=-3,
    flags="readonly " + _FLAGS,
    keys=_keys("RO access"),
    since="7.0.0",
    complexity=_COMPLEXITY,
    usage="function numkeys [key [key ...]] [arg [arg ...]]",
)
def fcall_ro(ctx: Context, function: bytes, numkeys: bytes, *rest: bytes) -> Reply:
    """Calls a function that has promised not to write."""
    return _call(ctx, "FCALL_RO", function, numkeys, rest, True)


@command(
    "FUNCTION",
    arity=-2,
    acl="",
    since="7.0.0",
    complexity="Depends on subcommand.",
)
def function(ctx: Context) -> Reply:
    """Manages libraries of functions."""
    raise Error("ERR wrong number of arguments for 'function' command")


def _changed(ctx: Context) -> None:
    """The libraries are another set now: replicas and the AOF are to follow."""
    ctx.ks.dirty += 1


@command(
    "FUNCTION LOAD",
    arity=-3,
    flags="write denyoom noscript",
    tips=_TO_ALL,
    since="7.0.0",
    complexity="O(1) (considering compilation time is redundant)",
    usage="[REPLACE] function-code",
)
def function_load(ctx: Context, *args: bytes) -> Reply:
    """Loads a library, and returns its name."""
    *options, code = args
    for option in options:
        if option.upper() != b"REPLACE":
            raise Error(b"ERR Unknown option given: " + option)
    name = ctx.engine.scripting.libraries.load(code, bool(options))
    _changed(ctx)
    return name


@command(
    "FUNCTION DELETE",
    arity=3,
    flags="write noscript",
    tips=_TO_ALL,
    since="7.0.0",
    complexity="O(1)",
    usage="library-name",
)
def function_delete(ctx: Context, name: bytes) -> Reply:
    """Deletes a library with its functions."""
    ctx.engine.scripting.libraries.delete(name)
    _changed(ctx)
    return OK


@command(
    "FUNCTION FLUSH",
    arity=-2,
    flags="write noscript",
    tips=_TO_ALL,
    since="7.0.0",
    complexity="O(N) where N is the number of functions deleted",
    usage="[ASYNC | SYNC]",
)
def function_flush(ctx: Context, *mode: bytes) -> Reply:
    """Deletes all libraries."""
    if len(mode) > 1:
        subcommand_error(ctx)
    flush_mode("FUNCTION FLUSH only supports", mode)
    ctx.engine.scripting.libraries.flush()
    _changed(ctx)
    return OK


@command(
    "FUNCTION DUMP",
    arity=2,
    flags="noscript",
    since="7.0.0",
    complexity="O(N) where N is the number of functions",
)
def function_dump(ctx: Context) -> Reply:
    """Serializes all libraries."""
    return ctx.engine.scripting.libraries.dump()


@command(
    "FUNCTION RESTORE",
    arity=-3,
    flags="write denyoom noscript",
    tips=_TO_ALL,
    since="7.0.0",
    complexity="O(N) where N is the number of functions on the payload",
    usage="serialized-value [FLUSH | APPEND | REPLACE]",
)
def function_restore(ctx: Context, payload: bytes, *policy: bytes) -> Reply:
    """Loads the libraries of a serialization; APPEND, the default, replaces none."""
    from pyredis.scripting.functions import Policy

    if len(policy) > 1:
        subcommand_error(ctx)
    try:
        chosen = Policy(policy[0].upper()) if policy else Policy.APPEND
    except ValueError:
        raise Error(
            "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE."
        ) from None
    ctx.engine.scripting.libraries.restore(payload, chosen)
    _changed(ctx)
    return OK


@command(
    "FUNCTION LIST",
    arity=-2,
    flags="noscript",
    tips="nondeterministic_output_order",
    since="7.0.0",
    complexity="O(N) where N is the number of functions",
    usage="[LIBRARYNAME library-name-pattern] [WITHCODE]",
)
def function_list(ctx: Context, *args: bytes) -> Reply:
    """Describes the libraries, with their code if that is wanted."""
    pattern: bytes | None = None
    with_code = False
    rest = iter(args)
    for arg in rest:
        word = arg.upper()
        if word == b"WITHCODE" and not with_code:
            with_code = True
        elif word == b"LIBRARYNAME" and pattern is None:
            pattern = next(rest, None)
            if pattern is None:
                raise Error("ERR library name argument was not given")
        else:
            raise Error(b"ERR Unknown argument " + arg)
    wanted = compile_glob(b"*" if pattern is None else pattern, nocase=True)
    found: list[dict[bytes, Any]] = []
    for library in ctx.engine.scripting.libraries.libraries.values():
        if not wanted(library.name):
            continue
        shown: dict[bytes, Any] = {
            b"library_name": library.name,
            b"engine": b"LUA",
            b"functions": [_described(each) for each in library.functions.values()],
        }
        if with_code:
            shown[b"library_code"] = library.text
        found.append(shown)
    return found


def _described(function: Function) -> dict[bytes, Any]:
    flags = SetReply(Simple(flag.encode()) for flag in FLAGS if flag in function.flags)
    return {b"name": function.name, b"description": function.description, b"flags": flags}


@command(
    "FUNCTION STATS",
    arity=2,
    flags="noscript allow_busy",
    tips="nondeterministic_output request_policy:all_shards response_policy:special",
    since="7.0.0",
    complexity="O(1)",
)
def function_stats(ctx: Context) -> Reply:
    """Tells which function runs and for how long, and what engines there are."""
    scripting = ctx.engine.scripting
    run = scripting.run
    running: dict[bytes, Any] | None = None
    if run is not None:
        if not run.is_function:
            raise Error(BUSY_SCRIPT)
        running = {
            b"name": run.name,
            b"command": list(run.argv),
            b"duration_ms": (ctx.engine.clock_ns() - run.started_ns) // 1_000_000,
        }
    counts = {
        b"libraries_count": scripting.number_of_libraries,
        b"functions_count": scripting.number_of_functions,
    }
    return {b"running_script": running, b"engines": {b"LUA": counts}}


@command(
    "FUNCTION KILL",
    arity=2,
    flags="noscript allow_busy",
    tips="request_policy:all_shards response_policy:one_succeeded",
    since="7.0.0",
    complexity="O(1)",
)
def function_kill(ctx: Context) -> Reply:
    """Ends the running function, if it has not written anything."""
    ctx.engine.scripting.kill(function=True)
    return OK


@command(
    "FUNCTION HELP",
    arity=2,
    flags="loading stale",
    since="7.0.0",
    complexity="O(1)",
)
def function_help(ctx: Context) -> Reply:
    """Shows the subcommands."""
    return help_reply(ctx, "FUNCTION")
