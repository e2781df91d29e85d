"""EVAL and its kin, and SCRIPT. How scripts run is in ``pyredis.scripting``."""

from __future__ import annotations

from pyredis.commands.args import NOT_INTEGER, integer
from pyredis.commands.help import help_reply
from pyredis.commands.registry import Group, KeySpec
from pyredis.context import Context
from pyredis.resp import OK, Error, Reply
from pyredis.scripting.manager import NO_SCRIPT

command = Group("scripting", acl="scripting")

_FLAGS = "noscript stale skip_monitor no_mandatory_keys movablekeys"
_COMPLEXITY = "Depends on the script that is executed."
_KEYS = (("index", 2), ("keynum", 0, 1, 1))
_UNKNOWN_USE = "What a script does with its keys is unknown, so everything is assumed."

_SHA_BYTES = 40


def _keys(flags: str, noted: bool) -> tuple[KeySpec, ...]:
    begin, find = _KEYS
    return (KeySpec(tuple(flags.split()), begin, find, _UNKNOWN_USE if noted else ""),)


def keys_among(count: bytes, rest: tuple[bytes, ...], not_a_number: str) -> int:
    """How many of the arguments that follow are keys. Raises Error."""
    keys = integer(count, not_a_number)
    if keys > len(rest):
        raise Error("ERR Number of keys can't be greater than number of args")
    if keys < 0:
        raise Error("ERR Number of keys can't be negative")
    return keys


def counted(ctx: Context, name: str, reply: Reply) -> Reply:
    """The reply of a script. Errors in it have been counted, but not as that command's."""
    failures = ctx.engine.scripting.failures
    if failures:
        ctx.engine.table.entries[name].failed += failures
    return reply


def show(ctx: Context) -> None:
    """Monitors see a script before what it calls."""
    engine = ctx.engine
    if engine.monitors:
        engine.stats.show_to_monitors(engine, ctx.session, ctx.argv)


def _evaluate(
    ctx: Context, text: bytes, count: bytes, rest: tuple[bytes, ...], read_only: bool
) -> Reply:
    show(ctx)
    scripting = ctx.engine.scripting
    keys = keys_among(count, rest, NOT_INTEGER)
    return scripting.evaluate(ctx, scripting.cache(text, False), keys, rest, read_only)


def _evaluate_sha(
    ctx: Context, sha: bytes, count: bytes, rest: tuple[bytes, ...], read_only: bool
) -> Reply:
    show(ctx)
    if len(sha) != _SHA_BYTES:
        raise Error(NO_SCRIPT)
    keys = keys_among(count, rest, NOT_INTEGER)
    scripting = ctx.engine.scripting
    script = scripting.scripts.get(sha) or scripting.scripts.get(sha.lower())
    if script is None:
        raise Error(NO_SCRIPT)
    return scripting.evaluate(ctx, script, keys, rest, read_only)


@command(
    "EVAL",
    arity=-3,
    flags=_FLAGS + " may_replicate",
    keys=_keys("RW access update", True),
    since="2.6.0",
    complexity=_COMPLEXITY,
    usage="script numkeys [key [key ...]] [arg [arg ...]]",
)
def eval_(ctx: Context, script: bytes, numkeys: bytes, *rest: bytes) -> Reply:
    """Runs a Lua script on the server and returns its result."""
    return counted(ctx, "EVAL", _evaluate(ctx, script, numkeys, rest, False))


@command(
    "EVAL_RO",
    arity=-3,
    flags="readonly " + _FLAGS,
    keys=_keys("RO access", True),
    since="7.0.0",
    complexity=_COMPLEXITY,
    usage="script numkeys [key [key ...]] [arg [arg ...]]",
)
def eval_ro(ctx: Context, script: bytes, numkeys: bytes, *rest: bytes) -> Reply:
    """Runs a Lua script that cannot write."""
    return counted(ctx, "EVAL_RO", _evaluate(ctx, script, numkeys, rest, True))


@command(
    "EVALSHA",
    arity=-3,
    flags=_FLAGS + " may_replicate",
    keys=_keys("RW access update", False),
    since="2.6.0",
    complexity=_COMPLEXITY,
    usage="sha1 numkeys [key [key ...]] [arg [arg ...]]",
)
def evalsha(ctx: Context, sha1: bytes, numkeys: bytes, *rest: bytes) -> Reply:
    """Runs a cached Lua script, named by the SHA1 of its text."""
    return counted(ctx, "EVALSHA", _evaluate_sha(ctx, sha1, numkeys, rest, False))


@command(
    "EVALSHA_RO",
    arity=-3,
    flags="readonly " + _FLAGS,
    keys=_keys("RO access", False),
    since="7.0.0",
    complexity=_COMPLEXITY,
    usage="sha1 numkeys [key [key ...]] [arg [arg ...]]",
)
def evalsha_ro(ctx: Context, sha1: bytes, numkeys: bytes, *rest: bytes) -> Reply:
    """Runs a cached Lua script that cannot write."""
    return counted(ctx, "EVALSHA_RO", _evaluate_sha(ctx, sha1, numkeys, rest, True))


@command(
    "SCRIPT",
    arity=-2,
    acl="",
    since="2.6.0",
    complexity="Depends on subcommand.",
)
def script(ctx: Context) -> Reply:
    """Manages the cache of Lua scripts."""
    raise Error("ERR wrong number of arguments for 'script' command")


@command(
    "SCRIPT LOAD",
    arity=3,
    flags="noscript stale",
    tips="request_policy:all_nodes response_policy:all_succeeded",
    since="2.6.0",
    complexity="O(N) with N being the length in bytes of the script body.",
    usage="script",
)
def script_load(ctx: Context, script: bytes) -> Reply:
    """Puts a script into the cache without running it, and returns its SHA1."""
    return ctx.engine.scripting.cache(script, True).sha


@command(
    "SCRIPT EXISTS",
    arity=-3,
    flags="noscript",
    tips="request_policy:all_shards response_policy:agg_logical_and",
    since="2.6.0",
    complexity="O(N) with N being the number of scripts to check (so checking a single script "
    "is an O(1) operation).",
    usage="sha1 [sha1 ...]",
)
def script_exists(ctx: Context, *shas: bytes) -> Reply:
    """Tells for each SHA1 whether that script is in the cache."""
    scripts = ctx.engine.scripting.scripts
    return [int(sha.lower() in scripts) for sha in shas]


def flush_mode(command_name: str, args: tuple[bytes, ...]) -> None:
    """Check the argument of the two FLUSH commands. Raises Error.

    Both modes do the same here: Lua gives its memory back in one go, which takes no longer
    than to hand it to somebody else.
    """
    if len(args) > 1 or (args and args[0].upper() not in (b"SYNC", b"ASYNC")):
        raise Error(f"ERR {command_name} SYNC|ASYNC option")


@command(
    "SCRIPT FLUSH",
    arity=-2,
    flags="noscript",
    tips="request_policy:all_nodes response_policy:all_succeeded",
    since="2.6.0",
    complexity="O(N) with N being the number of scripts in cache",
    usage="[ASYNC | SYNC]",
    history=[("6.2.0", "Takes `ASYNC` and `SYNC`.")],
)
def script_flush(ctx: Context, *mode: bytes) -> Reply:
    """Empties the cache of scripts."""
    flush_mode("SCRIPT FLUSH only support", mode)
    ctx.engine.scripting.flush()
    return OK


@command(
    "SCRIPT KILL",
    arity=2,
    flags="noscript allow_busy",
    tips="request_policy:all_shards response_policy:one_succeeded",
    since="2.6.0",
    complexity="O(1)",
)
def script_kill(ctx: Context) -> Reply:
    """Ends the running script, if it has not written anything."""
    ctx.engine.scripting.kill(function=False)
    return OK


@command(
    "SCRIPT DEBUG",
    arity=3,
    flags="noscript",
    since="3.2.0",
    complexity="O(1)",
    usage="<YES | SYNC | NO>",
)
def script_debug(ctx: Context, mode: bytes) -> Reply:
    """Switches the debugger for scripts of this connection; there is none, so only off."""
    mode = mode.upper()
    if mode == b"NO":
        return OK
    if mode in (b"YES", b"SYNC"):
        raise Error("ERR this server has no debugger for scripts")
    raise Error("ERR Use SCRIPT DEBUG YES/SYNC/NO")


@command(
    "SCRIPT HELP",
    arity=2,
    flags="loading stale",
    since="5.0.0",
    complexity="O(1)",
)
def script_help(ctx: Context) -> Reply:
    """Shows the subcommands."""
    return help_reply(ctx, "SCRIPT")
