"""LATENCY: what the latency monitor saw, and how long each command takes.

The histogram is another source than the monitor: the durations of all calls, which every
command of the table counts by the bit length of their nanoseconds.
"""

from __future__ import annotations

from pyredis.commands.help import help_reply
from pyredis.commands.registry import Entry, Group
from pyredis.config import decode
from pyredis.context import Context
from pyredis.latency import graph, report
from pyredis.resp import Error, Reply, Verbatim

command = Group("server")

_FLAGS = "admin noscript loading stale"
_TIPS = "nondeterministic_output request_policy:all_nodes response_policy:special"
_FIRST_BITS = 10  # the first bucket ends at 1024 ns


@command(
    "LATENCY",
    arity=-2,
    since="2.8.13",
    complexity="Depends on subcommand.",
)
def latency(ctx: Context) -> Reply:
    """Tells what took long."""
    raise Error("ERR wrong number of arguments for 'latency' command")


@command(
    "LATENCY LATEST",
    arity=2,
    flags=_FLAGS,
    tips=_TIPS,
    since="2.8.13",
    complexity="O(1)",
)
def latency_latest(ctx: Context) -> Reply:
    """Returns for every event the time and latency of its latest sample, and its worst ever."""
    return [
        [event.encode(), *series.samples[-1], series.max_ms]
        for event, series in ctx.engine.latency.events.items()
    ]


@command(
    "LATENCY HISTORY",
    arity=3,
    flags=_FLAGS,
    tips=_TIPS,
    since="2.8.13",
    complexity="O(1)",
    usage="event",
)
def latency_history(ctx: Context, event: bytes) -> Reply:
    """Returns the samples of an event, each with its time."""
    series = ctx.engine.latency.events.get(decode(event))
    return [] if series is None else [list(sample) for sample in series.samples]


@command(
    "LATENCY RESET",
    arity=-2,
    flags=_FLAGS,
    tips="request_policy:all_nodes response_policy:agg_sum",
    since="2.8.13",
    complexity="O(1)",
    usage="[event [event ...]]",
)
def latency_reset(ctx: Context, *events: bytes) -> Reply:
    """Forgets events, all unless some are named; returns how many were forgotten."""
    return ctx.engine.latency.reset([decode(event) for event in events])


@command(
    "LATENCY GRAPH",
    arity=3,
    flags=_FLAGS,
    tips=_TIPS,
    since="2.8.13",
    complexity="O(1)",
    usage="event",
)
def latency_graph(ctx: Context, event: bytes) -> Reply:
    """Draws the samples of an event."""
    name = decode(event)
    series = ctx.engine.latency.events.get(name)
    if series is None:
        raise Error(f"ERR No samples available for event '{name}'")
    return Verbatim(graph(name, series, ctx.now_ms // 1000).encode())


@command(
    "LATENCY DOCTOR",
    arity=2,
    flags=_FLAGS,
    tips=_TIPS,
    since="2.8.13",
    complexity="O(1)",
)
def latency_doctor(ctx: Context) -> Reply:
    """Explains what took long and what can be done about it."""
    return Verbatim(report(ctx.engine.latency).encode())


@command(
    "LATENCY HISTOGRAM",
    arity=-2,
    flags=_FLAGS,
    tips=_TIPS,
    since="7.0.0",
    complexity="O(N) where N is the number of commands with latency information being retrieved.",
    usage="[command [command ...]]",
)
def latency_histogram(ctx: Context, *names: bytes) -> Reply:
    """Returns for commands how many calls took at most 1, 2, 4, 8 ... microseconds.

    All commands that were called, or those named; the name of a container stands for its
    subcommands too.
    """
    table = ctx.engine.table
    chosen = table.all()
    if names:
        chosen = (entry for name in names for entry in _named(ctx, name))
    if not ctx.config.latency_tracking:
        return {}
    return {entry.name.encode(): _distribution(entry) for entry in chosen if any(entry.latency)}


def _named(ctx: Context, name: bytes) -> list[Entry]:
    found = ctx.engine.table.find(name.split(b"|", 1))
    if found is None or (b"|" in name and found.children):
        return []
    return [found, *found.children.values()]


def _distribution(entry: Entry) -> dict[bytes, object]:
    """The cumulative counts at the ends of the buckets that are not empty.

    A bucket is named as Redis' histogram of two significant digits names it: by the largest
    duration that it cannot tell from the power of two at its end.
    """
    buckets: dict[int, int] = {}
    seen = 0
    for bits, count in enumerate(entry.latency):
        seen += count
        if count:
            bits = max(bits, _FIRST_BITS)
            end_ns = 1 << bits
            buckets[(end_ns + (end_ns >> 7) - 1) // 1000] = seen
    return {b"calls": seen, b"histogram_usec": buckets}


@command(
    "LATENCY HELP",
    arity=2,
    flags="loading stale",
    since="2.8.13",
    complexity="O(1)",
)
def latency_help(ctx: Context) -> Reply:
    """Explains the subcommands."""
    return help_reply(ctx, "LATENCY")
