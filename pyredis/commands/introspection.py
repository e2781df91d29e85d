"""COMMAND: what the server says about its own commands.

Everything is derived from the specs beside the handlers: positions of keys by
``pyredis.keyspecs``, the argument trees by ``pyredis.usage``. The replies about single
commands are made when first asked for and kept with the table, which does not change.

RESP3 has sets where order means nothing (flags, categories, tips, history) and maps where
names stand before values; RESP2 clients see the same, flattened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from pyredis.acl_rules import CATEGORIES
from pyredis.commands.args import syntax_error
from pyredis.commands.help import help_reply
from pyredis.commands.registry import Entry, Group, KeySpec, Table
from pyredis.context import Context
from pyredis.glob import compile_glob
from pyredis.keyspecs import KeyArg, find_keys, has_keys, legacy_range, movable
from pyredis.resp import Error, Reply, SetReply, Simple
from pyredis.usage import Argument, arguments

command = Group("server", acl="connection")

_FLAGS: Final = (
    "write readonly denyoom module admin pubsub noscript blocking loading stale skip_monitor "
    "skip_slowlog asking fast no_auth no_mandatory_keys no_async_loading no_multi movablekeys "
    "allow_busy"
)
"""The flags that are shown, in Redis' order; ``may_replicate`` is for the server only."""


@command(
    "COMMAND",
    arity=-1,
    flags="loading stale",
    tips="nondeterministic_output_order",
    since="2.8.13",
    complexity="O(N) where N is the total number of Redis commands",
)
def command_(ctx: Context) -> Reply:
    """Describes all commands of the server."""
    return _all_info(ctx.engine.table)


@command(
    "COMMAND COUNT",
    arity=2,
    flags="loading stale",
    since="2.8.13",
    complexity="O(1)",
)
def command_count(ctx: Context) -> Reply:
    """Counts the commands, without their subcommands."""
    return sum(1 for _ in ctx.engine.table.served())


@command(
    "COMMAND LIST",
    arity=-2,
    flags="loading stale",
    tips="nondeterministic_output_order",
    since="7.0.0",
    complexity="O(N) where N is the total number of Redis commands",
    usage="[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
)
def command_list(ctx: Context, *words: bytes) -> Reply:
    """Lists the names of all commands, of an ACL category, or that match a pattern."""
    entries = ctx.engine.table.all()
    if not words:
        return [_name(entry) for entry in entries]
    if len(words) != 3 or words[0].upper() != b"FILTERBY":
        syntax_error()
    kind, value = words[1].upper(), words[2]
    if kind == b"MODULE":
        return []  # all commands are the server's own
    if kind == b"ACLCAT":
        category = value.decode("latin-1").lower()
        return [_name(entry) for entry in entries if category in entry.spec.categories]
    if kind == b"PATTERN":
        matches = compile_glob(value, nocase=True)
        return [name for name in map(_name, entries) if matches(name)]
    syntax_error()


@command(
    "COMMAND INFO",
    arity=-2,
    flags="loading stale",
    tips="nondeterministic_output_order",
    since="2.8.13",
    complexity="O(N) where N is the number of commands to look up",
    usage="[command-name [command-name ...]]",
    history=[("7.0.0", "Without names it describes all commands.")],
)
def command_info(ctx: Context, *names: bytes) -> Reply:
    """Describes some commands: arity, flags, keys, categories; null for unknown names."""
    table = ctx.engine.table
    if not names:
        return _all_info(table)
    found = [_by_wire_name(table, name) for name in names]
    return [_info(table, entry) if entry is not None else None for entry in found]


@command(
    "COMMAND DOCS",
    arity=-2,
    flags="loading stale",
    tips="nondeterministic_output_order",
    since="7.0.0",
    complexity="O(N) where N is the number of commands to look up",
    usage="[command-name [command-name ...]]",
)
def command_docs(ctx: Context, *names: bytes) -> Reply:
    """Documents some or all commands for people and for completion; skips unknown names."""
    table = ctx.engine.table
    entries = [_by_wire_name(table, name) for name in names] if names else list(table.served())
    return {_name(entry): _docs(table, entry) for entry in entries if entry is not None}


@command(
    "COMMAND GETKEYS",
    arity=-3,
    flags="loading stale",
    since="2.8.13",
    complexity="O(N) where N is the number of arguments to the command",
    usage="command [arg [arg ...]]",
)
def command_getkeys(ctx: Context, *argv: bytes) -> Reply:
    """Tells which arguments of a command are keys."""
    return [argv[key.at] for key in _keys(ctx, argv)]


@command(
    "COMMAND GETKEYSANDFLAGS",
    arity=-3,
    flags="loading stale",
    since="7.0.0",
    complexity="O(N) where N is the number of arguments to the command",
    usage="command [arg [arg ...]]",
)
def command_getkeysandflags(ctx: Context, *argv: bytes) -> Reply:
    """Tells which arguments of a command are keys, and what it does with each."""
    return [[argv[key.at], _statuses(key.flags)] for key in _keys(ctx, argv)]


@command("COMMAND HELP", arity=2, flags="loading stale", since="5.0.0", complexity="O(1)")
def command_help(ctx: Context) -> Reply:
    """Explains the subcommands."""
    return help_reply(ctx, "COMMAND")


# Look-up


def _name(entry: Entry) -> bytes:
    return entry.name.encode()


def _by_wire_name(table: Table, name: bytes) -> Entry | None:
    """The entry for ``get`` or ``config|get``, None if there is none."""
    parts = name.split(b"|")
    entry = table.find(parts[:1])
    if entry is not None and len(parts) > 1:
        return entry.children.get(parts[1].upper()) if len(parts) == 2 else None
    return entry


def _keys(ctx: Context, argv: tuple[bytes, ...]) -> list[KeyArg]:
    entry = ctx.engine.table.find(argv)
    if entry is None or (entry.children and len(argv) > 1):
        raise Error("ERR Invalid command specified")
    if not has_keys(entry.spec):
        raise Error("ERR The command has no key arguments")
    if not entry.arity_min <= len(argv) <= entry.arity_max:
        raise Error("ERR Invalid number of arguments specified for command")
    found = find_keys(entry.spec, argv)
    if not found and "no_mandatory_keys" not in entry.spec.flags:
        raise Error("ERR Invalid arguments specified for command")
    return found


_T = TypeVar("_T")


def _remembered(table: Table, kind: str, entry: Entry, make: Callable[[], _T]) -> _T:
    """What ``make`` returned for this entry the first time."""
    key = f"{kind} {entry.name}"
    value: _T | None = table.memo.get(key)
    if value is None:
        value = table.memo[key] = make()
    return value


# COMMAND INFO


def _all_info(table: Table) -> Reply:
    return [_info(table, entry) for entry in table.served()]


def _info(table: Table, entry: Entry) -> Reply:
    return _remembered(table, "info", entry, lambda: _make_info(table, entry))


def _make_info(table: Table, entry: Entry) -> Reply:
    spec = entry.spec
    flags = spec.flags | {"movablekeys"} if movable(spec) else spec.flags
    return [
        _name(entry),
        spec.arity,
        _statuses(name for name in _FLAGS.split() if name in flags),
        *legacy_range(spec),
        _statuses(f"@{name}" for name in CATEGORIES if name in spec.categories),
        SetReply(tip.encode() for tip in spec.tips),
        SetReply(map(_key_spec, spec.keys)),
        # Redis sends a set if there are none, an array otherwise.
        [_info(table, child) for child in entry.children.values()] or SetReply(),
    ]


def _statuses(names: Iterable[str]) -> SetReply:
    return SetReply(Simple(name.encode()) for name in names)


_FIELDS: Final = {
    "index": ("index",),
    "keyword": ("keyword", "startfrom"),
    "range": ("lastkey", "keystep", "limit"),
    "keynum": ("keynumidx", "firstkey", "keystep"),
    "unknown": (),
}


def _key_spec(key: KeySpec) -> Reply:
    reply: dict[bytes, Any] = {b"notes": key.notes.encode()} if key.notes else {}
    reply[b"flags"] = _statuses(key.flags)
    reply[b"begin_search"] = _step(key.begin)
    reply[b"find_keys"] = _step(key.find)
    return reply


def _step(step: tuple[Any, ...]) -> Reply:
    kind, *values = step
    wire = (value.encode() if isinstance(value, str) else value for value in values)
    fields = dict(zip((name.encode() for name in _FIELDS[kind]), wire, strict=True))
    return {b"type": kind.encode(), b"spec": fields}


# COMMAND DOCS


def _docs(table: Table, entry: Entry) -> Reply:
    return _remembered(table, "docs", entry, lambda: _make_docs(table, entry))


def _make_docs(table: Table, entry: Entry) -> Reply:
    spec = entry.spec
    reply: dict[bytes, Any] = {b"summary": spec.summary.encode(), b"since": spec.since.encode()}
    reply[b"group"] = spec.group.encode()
    if spec.complexity:
        reply[b"complexity"] = spec.complexity.encode()
    if spec.doc_flags:
        reply[b"doc_flags"] = _statuses(spec.doc_flags)
    if spec.deprecated_since:
        reply[b"deprecated_since"] = spec.deprecated_since.encode()
    if spec.replaced_by:
        reply[b"replaced_by"] = spec.replaced_by.encode()
    if spec.history:
        reply[b"history"] = SetReply([a.encode(), b.encode()] for a, b in spec.history)
    if spec.usage:
        reply[b"arguments"] = [_argument(argument) for argument in arguments(spec)]
    if entry.children:
        children = entry.children.values()
        reply[b"subcommands"] = {_name(child): _docs(table, child) for child in children}
    return reply


def _argument(argument: Argument) -> Reply:
    reply: dict[bytes, Any] = {b"name": argument.name.encode(), b"type": argument.type.encode()}
    if argument.display:
        reply[b"display_text"] = argument.display.encode()
    if argument.key_spec is not None:
        reply[b"key_spec_index"] = argument.key_spec
    if argument.token is not None:
        reply[b"token"] = argument.token.encode()
    if argument.since:
        reply[b"since"] = argument.since.encode()
    flags = [name for name in ("optional", "multiple", "multiple_token") if getattr(argument, name)]
    if flags:
        reply[b"flags"] = _statuses(flags)
    if argument.children:
        reply[b"arguments"] = [_argument(child) for child in argument.children]
    return reply
