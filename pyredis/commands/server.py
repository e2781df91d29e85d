"""The server as a whole: its time, its figures, its slow log, its role, its end."""

from __future__ import annotations

from typing import Final

from pyredis.commands.args import INT64_MAX, integer, integer_in, syntax_error
from pyredis.commands.help import help_reply
from pyredis.commands.registry import Group
from pyredis.context import Context
from pyredis.info import info
from pyredis.resp import NO_REPLY, OK, Error, Reply, Verbatim
from pyredis.session import Block
from pyredis.shutdown import Wishes
from pyredis.version import REDIS_VERSION

command = Group("server")

_ART_COLUMNS: Final = 63
_ART_ROWS: Final = 24
_ART_SIZE_MAX: Final = 1000
_ART_RULES: Final = (22, 30, 45, 73, 90, 110, 126, 150)
_SHADES: Final = " ▀▄█"  # of two cells, one above the other


@command(
    "TIME",
    arity=1,
    flags="loading stale fast",
    tips="nondeterministic_output",
    since="2.6.0",
    complexity="O(1)",
)
def time(ctx: Context) -> Reply:
    """Returns the server's time: Unix seconds, and microseconds on top.

    In a transaction or a script it is the same all along, as all time is there.
    """
    unit, clock = ctx.ks.unit, ctx.engine.clock
    if not unit.depth:
        time_us = clock.now_us()
    else:
        time_us = unit.time_us = unit.time_us or clock.now_us()
    seconds, micros = divmod(time_us, 1_000_000)
    return [b"%d" % seconds, b"%d" % micros]


@command(
    "INFO",
    arity=-1,
    flags="loading stale",
    acl="dangerous",
    tips="nondeterministic_output request_policy:all_shards response_policy:special",
    since="1.0.0",
    complexity="O(1)",
    usage="[section [section ...]]",
    history=[("7.0.0", "Takes several sections.")],
)
def info_(ctx: Context, *sections: bytes) -> Reply:
    """Returns figures about the server, in sections of field:value lines."""
    names = [section.decode("latin-1") for section in sections]
    return Verbatim(info(ctx.engine, names).encode("utf-8", "surrogateescape"))


@command(
    "LOLWUT",
    arity=-1,
    flags="readonly fast",
    since="5.0.0",
    complexity="",
    usage="[VERSION version]",
)
def lolwut(ctx: Context, *args: bytes) -> Reply:
    """Draws a picture, and tells the version.

    It is an elementary cellular automaton, two generations a line; a version is taken for
    the number of its rule. Two more numbers, columns and lines, give another size.
    """
    rule = ctx.rng.choice(_ART_RULES)
    numbers = list(args)
    if len(args) >= 2 and args[0].upper() == b"VERSION":
        rule = integer(args[1]) & 0xFF
        numbers = list(args[2:])
    size = [integer_in(each, 1, _ART_SIZE_MAX) for each in numbers if each.isdigit()][:2]
    columns, rows = [*size, *(_ART_COLUMNS, _ART_ROWS)[len(size) :]]
    art = "\n".join(_automaton(rule, columns, rows))
    caption = f"Stephen Wolfram's rule {rule}, from a single cell."
    return Verbatim(f"{art}\n\n{caption} Redis ver. {REDIS_VERSION}\n".encode())


def _automaton(rule: int, columns: int, rows: int) -> list[str]:
    """The history of one cell, as lines of half blocks. O(columns * rows)."""
    cells = [0] * columns
    cells[columns // 2] = 1
    lines = []
    for _ in range(rows):
        below = _next_generation(rule, cells)
        shades = (_SHADES[up + 2 * down] for up, down in zip(cells, below, strict=True))
        lines.append("".join(shades).rstrip())
        cells = _next_generation(rule, below)
    return lines


def _next_generation(rule: int, cells: list[int]) -> list[int]:
    size = len(cells)
    return [
        rule >> (4 * cells[at - 1] + 2 * cells[at] + cells[(at + 1) % size]) & 1
        for at in range(size)
    ]


@command(
    "SHUTDOWN",
    arity=-1,
    flags="admin noscript loading stale no_multi allow_busy",
    since="1.0.0",
    complexity="O(N) when saving, where N is the total number of keys in all databases when "
    "saving data, otherwise O(1)",
    usage="[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
    history=[("7.0.0", "Takes `NOW`, `FORCE` and `ABORT`.")],
)
def shutdown(ctx: Context, *options: bytes) -> Reply:
    """Ends the server. There is no reply, the connection closes.

    Data are saved where save points are set; SAVE and NOSAVE say otherwise. NOW does not wait
    for replicas, FORCE ends even if saving fails; ABORT calls off a shutdown that is waiting.
    """
    given = {option.upper() for option in options}
    if not given <= {b"NOSAVE", b"SAVE", b"NOW", b"FORCE", b"ABORT"}:
        syntax_error()
    if {b"NOSAVE", b"SAVE"} <= given or (b"ABORT" in given and len(given) > 1):
        syntax_error()
    engine = ctx.engine
    if b"ABORT" in given:
        engine.shutdown.abort()
        return OK
    if engine.scripting.busy and b"NOSAVE" not in given:
        raise engine.scripting.busy_error()
    wishes = Wishes(b"SAVE" in given, b"NOSAVE" in given, b"NOW" in given, b"FORCE" in given)
    if not engine.shutdown.ask(wishes):
        return Block((), 0, NO_REPLY)
    return NO_REPLY


@command(
    "SLOWLOG",
    arity=-2,
    since="2.2.12",
    complexity="Depends on subcommand.",
)
def slowlog(ctx: Context) -> Reply:
    """Shows the log of slow commands."""
    raise Error("ERR wrong number of arguments for 'slowlog' command")


@command(
    "SLOWLOG GET",
    arity=-2,
    flags="admin loading stale",
    tips="request_policy:all_nodes nondeterministic_output",
    since="2.2.12",
    complexity="O(N) where N is the number of entries returned",
    usage="[count]",
    history=[("4.0.0", "Shows address and name of the client.")],
)
def slowlog_get(ctx: Context, *args: bytes) -> Reply:
    """Returns the latest entries of the slow log, 10 unless told otherwise, -1 for all."""
    if len(args) > 1:
        raise Error(
            "ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP."
        )
    count = 10
    if args:
        low = "ERR count should be greater than or equal to -1"
        count = integer_in(args[0], -1, INT64_MAX, low)
    calls = list(ctx.engine.stats.slow_calls)
    return [
        [
            call.number,
            call.time_s,
            call.duration_us,
            list(call.argv),
            call.peer.encode(),
            call.name,
        ]
        for call in (calls if count < 0 else calls[:count])
    ]


@command(
    "SLOWLOG LEN",
    arity=2,
    flags="admin loading stale",
    tips="request_policy:all_nodes response_policy:agg_sum nondeterministic_output",
    since="2.2.12",
    complexity="O(1)",
)
def slowlog_len(ctx: Context) -> Reply:
    """Counts the entries of the slow log."""
    return len(ctx.engine.stats.slow_calls)


@command(
    "SLOWLOG RESET",
    arity=2,
    flags="admin loading stale",
    tips="request_policy:all_nodes response_policy:all_succeeded",
    since="2.2.12",
    complexity="O(N) where N is the number of entries in the slowlog",
)
def slowlog_reset(ctx: Context) -> Reply:
    """Empties the slow log."""
    ctx.engine.stats.slow_calls.clear()
    return OK


@command(
    "SLOWLOG HELP",
    arity=2,
    flags="loading stale",
    since="6.2.0",
    complexity="O(1)",
)
def slowlog_help(ctx: Context) -> Reply:
    """Explains the subcommands."""
    return help_reply(ctx, "SLOWLOG")
