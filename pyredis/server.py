"""Which modules make up the server: the command table of a data node."""

from __future__ import annotations

import importlib
import importlib.util

from pyredis.commands.registry import Table

_MODULES = (
    "strings bitmaps lists sets hashes zsets zset_pops zset_ranges zset_algebra keys databases "
    "ttl objects sorting wait connection clients pubsub transactions server introspection config "
    "latency memory debug hyperloglog"
).split()


def command_table() -> Table:
    """A fresh table: its counters belong to one server."""
    names = [f"pyredis.commands.{name}" for name in _MODULES]
    return Table.of(*(importlib.import_module(name) for name in names if importlib.util.find_spec(name)))
