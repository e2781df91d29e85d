"""CONFIG: settings at run time.

What a setting means and who has to act on it is the configuration's business (`Config.set`);
here are the permissions and the replies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyredis.commands.args import syntax_error
from pyredis.commands.help import help_reply
from pyredis.commands.registry import Group
from pyredis.config import BY_NAME, ConfigError, ConfigLoadingError, decode, encode
from pyredis.context import Context
from pyredis.resp import OK, Error, Reply

if TYPE_CHECKING:
    from pyredis.engine import Engine

command = Group("server")


def allowed(permission: str, ctx: Context) -> bool:
    """Whether ``no``, ``yes`` or ``local`` lets this client do what is protected."""
    if permission == "local":
        address = ctx.session.address
        return address.unix or address.loopback
    return permission == "yes"


@command(
    "CONFIG",
    arity=-2,
    since="2.0.0",
    complexity="Depends on subcommand.",
)
def config(ctx: Context) -> Reply:
    """Reads and changes the configuration."""
    raise Error("ERR wrong number of arguments for 'config' command")


@command(
    "CONFIG GET",
    arity=-3,
    flags="admin noscript loading stale",
    since="2.0.0",
    complexity="O(N) when N is the number of configuration parameters provided",
    usage="parameter [parameter ...]",
    history=[("7.0.0", "Takes several patterns.")],
)
def config_get(ctx: Context, *patterns: bytes) -> Reply:
    """Returns the settings whose names match any of the patterns."""
    found = ctx.config.get(map(decode, patterns))
    return {encode(name): encode(value) for name, value in found}


@command(
    "CONFIG SET",
    arity=-4,
    flags="admin noscript loading stale",
    tips="request_policy:all_nodes response_policy:all_succeeded",
    since="2.0.0",
    complexity="O(N) when N is the number of configuration parameters provided",
    usage="parameter value [parameter value ...]",
    history=[("7.0.0", "Takes several parameters.")],
)
def config_set(ctx: Context, *words: bytes) -> Reply:
    """Changes settings: all of them, or none and an error."""
    if len(words) % 2:
        syntax_error()
    texts = [decode(word) for word in words]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    for number, (name, _) in enumerate(pairs):
        row = BY_NAME.get(name.lower())
        if row is not None and row.sensitive:
            ctx.redact(2 * number + 3)
    try:
        ctx.config.set(
            pairs,
            protected=allowed(ctx.config.enable_protected_configs, ctx),
            loading=(ctx.engine.saver.loading or ctx.engine.replication.loads_aside) is not None,
        )
    except ConfigLoadingError as error:
        raise Error(f"LOADING {error}") from error
    except ConfigError as error:
        raise Error(f"ERR {error}") from error
    return OK


@command(
    "CONFIG REWRITE",
    arity=2,
    flags="admin noscript loading stale",
    tips="request_policy:all_nodes response_policy:all_succeeded",
    since="2.8.0",
    complexity="O(1)",
)
def config_rewrite(ctx: Context) -> Reply:
    """Brings the configuration file up to date with the settings."""
    rewrite(ctx.engine)
    return OK


def rewrite(engine: Engine, **how: bool) -> None:
    """Have the file rewritten, and the log told of it. Raises Error."""
    if engine.config_path is None or engine.rewrite_config is None:
        raise Error("ERR The server is running without a config file")
    try:
        engine.rewrite_config(**how)
    except OSError as error:
        engine.log("warning", f"CONFIG REWRITE failed: {error.strerror}")
        raise Error(f"ERR Rewriting config file: {error.strerror}") from error
    engine.log("notice", "CONFIG REWRITE executed with success.")


@command(
    "CONFIG RESETSTAT",
    arity=2,
    flags="admin noscript loading stale",
    tips="request_policy:all_nodes response_policy:all_succeeded",
    since="2.0.0",
    complexity="O(1)",
)
def config_resetstat(ctx: Context) -> Reply:
    """Sets the counters of INFO back to zero."""
    engine, ks = ctx.engine, ctx.ks
    engine.stats.reset()
    engine.metrics.reset()
    engine.expire.reset_stats()
    engine.lazyfree.reset_stats()
    engine.evictor.reset_stats()
    engine.child.reset_stats()
    engine.saver.reset_stats()
    engine.aof.reset_stats()
    engine.replication.reset_stats()
    engine.scripting.evicted_scripts = 0
    ks.hits = ks.misses = ks.expired = ks.expired_fields = 0
    for entry in engine.table.all():
        entry.reset()
    return OK


@command(
    "CONFIG HELP",
    arity=2,
    flags="loading stale",
    since="5.0.0",
    complexity="O(1)",
)
def config_help(ctx: Context) -> Reply:
    """Explains the subcommands."""
    return help_reply(ctx, "CONFIG")
