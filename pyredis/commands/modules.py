"""Modules of native code: there are none, and none can be loaded.

Redis' modules are shared libraries against its C interface, which a server in Python has not.
MODULE LIST is empty; MODULE LOAD fails as it does in Redis for a file that is no module, once
``enable-module-command`` lets it be tried.
"""

from __future__ import annotations

from typing import Final

from pyredis.commands.config import allowed
from pyredis.commands.help import help_reply
from pyredis.commands.registry import Group
from pyredis.context import Context
from pyredis.resp import Error, Reply

command = Group("server")

_NOT_ALLOWED: Final = (
    'ERR MODULE command not allowed. If the enable-module-command option is set to "local", you '
    "can run it from a local connection, otherwise you need to set this option in the "
    "configuration file, and then restart the server."
)
_CHANGES: Final = "admin noscript no_async_loading"


def _guard(ctx: Context) -> None:
    """Raises Error unless the configuration lets this client load modules."""
    if not allowed(ctx.config.enable_module_command, ctx):
        raise Error(_NOT_ALLOWED)


def _refuse(ctx: Context, path: bytes) -> Reply:
    ctx.engine.log(
        "warning",
        f"Module {path.decode('utf-8', 'replace')} not loaded: modules are native code and "
        "cannot be loaded into this server",
    )
    raise Error("ERR Error loading the extension. Please check the server logs.")


@command("MODULE", arity=-2, since="4.0.0", complexity="Depends on subcommand.")
def module(ctx: Context) -> Reply:
    """Manages modules."""
    raise Error("ERR wrong number of arguments for 'module' command")


@command("MODULE HELP", arity=2, flags="loading stale", since="5.0.0", complexity="O(1)")
def module_help(ctx: Context) -> Reply:
    """Lists the subcommands."""
    return help_reply(ctx, "MODULE")


@command(
    "MODULE LIST",
    arity=2,
    flags="admin noscript",
    tips="nondeterministic_output_order",
    since="4.0.0",
    complexity="O(N) where N is the number of loaded modules.",
)
def module_list(ctx: Context) -> Reply:
    """Lists the loaded modules."""
    return []


@command(
    "MODULE LOAD",
    arity=-3,
    flags=_CHANGES,
    since="4.0.0",
    complexity="O(1)",
    usage="path [arg [arg ...]]",
)
def module_load(ctx: Context, path: bytes, *arguments: bytes) -> Reply:
    """Loads a module; always fails here."""
    _guard(ctx)
    return _refuse(ctx, path)


@command(
    "MODULE LOADEX",
    arity=-3,
    flags=_CHANGES,
    since="7.0.0",
    complexity="O(1)",
    usage="path [CONFIG name value [CONFIG name value ...]] [ARGS arg [arg ...]]",
)
def module_loadex(ctx: Context, path: bytes, *arguments: bytes) -> Reply:
    """Loads a module with a configuration; always fails here."""
    _guard(ctx)
    return _refuse(ctx, path)


@command("MODULE UNLOAD", arity=3, flags=_CHANGES, since="4.0.0", complexity="O(1)", usage="name")
def module_unload(ctx: Context, name: bytes) -> Reply:
    """Unloads a module."""
    _guard(ctx)
    raise Error("ERR Error unloading module: no such module with that name")
