"""Which modules make up the server: the command table of a data node."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable

from pyredis.commands.registry import Table
from pyredis.config import encode

_MODULES = (
    "strings string_conditions bitmaps lists sets hashes hash_ttl zsets zset_pops "
    "zset_ranges zset_algebra keys databases ttl dump migrate objects sorting wait "
    "connection clients tracking pubsub transactions server introspection config latency "
    "memory debug scripting functions acl hyperloglog geo streams stream_reads "
    "stream_groups stream_claims stream_deletes stream_info persistence cluster modules "
    "replication"
).split()


def command_table(renamed: Iterable[tuple[str, str]] = ()) -> Table:
    """A fresh table: its counters belong to one server.

    ``renamed`` gives old and new names, as ``rename-command`` does. Raises ValueError.
    """
    names = [f"pyredis.commands.{name}" for name in _MODULES]
    table = Table.of(
        *(importlib.import_module(name) for name in names if importlib.util.find_spec(name))
    )
    for old, new in renamed:
        table.rename(encode(old), encode(new))
    return table
