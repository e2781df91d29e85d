"""MEMORY: what keys take, what the server takes, and whether that is as it should be.

Sizes are estimates, see ``pyredis/account.py`` for keys and ``pyredis/memory.py`` for the server.
"""

from __future__ import annotations

from typing import Any, Final

from pyredis.account import key_bytes, value_bytes
from pyredis.commands.args import integer, syntax_error
from pyredis.commands.help import help_reply
from pyredis.commands.registry import Group, first
from pyredis.context import Context
from pyredis.memory import Overview, overview, percent, ratio
from pyredis.resp import OK, Error, Reply, Verbatim

command = Group("server")

_TIPS = "nondeterministic_output request_policy:all_shards response_policy:special"

_SAMPLES_DEFAULT: Final = 5
_SMALL_BYTES: Final = 5 << 20  # below this nothing is worth a finding
_PEAK_RATIO_MAX: Final = 1.5
_FRAGMENTATION_MAX: Final = 1.4
_FRAGMENTED_BYTES: Final = 10 << 20
_CLIENT_BYTES_MAX: Final = 200_000


@command(
    "MEMORY",
    arity=-2,
    since="4.0.0",
    complexity="Depends on subcommand.",
)
def memory(ctx: Context) -> Reply:
    """Tells about the use of memory."""
    raise Error("ERR wrong number of arguments for 'memory' command")


@command(
    "MEMORY USAGE",
    arity=-3,
    flags="readonly",
    keys=first("RO", at=2),
    since="4.0.0",
    complexity="O(N) where N is the number of samples.",
    usage="key [SAMPLES count]",
)
def memory_usage(ctx: Context, key: bytes, *options: bytes) -> Reply:
    """Estimates the bytes that a key and its value take.

    Of a collection 5 elements are looked at, or as many as SAMPLES says, all for 0.
    """
    samples = _SAMPLES_DEFAULT
    for at in range(0, len(options), 2):
        if options[at].upper() != b"SAMPLES" or at + 1 == len(options):
            syntax_error()
        samples = integer(options[at + 1])
        if samples < 0:
            syntax_error()
    value = ctx.db.data.get(key)
    if value is None:
        return None
    return key_bytes(ctx.db, key) + value_bytes(value, samples)


@command(
    "MEMORY STATS",
    arity=2,
    tips=_TIPS,
    since="4.0.0",
    complexity="O(1)",
)
def memory_stats(ctx: Context) -> Reply:
    """Returns where the memory of the server is."""
    view = overview(ctx.engine)
    scripting = ctx.engine.scripting
    stats: dict[bytes, Any] = {
        b"peak.allocated": view.peak,
        b"total.allocated": view.used,
        b"startup.allocated": view.startup,
        b"replication.backlog": view.backlog,
        b"clients.slaves": view.replicas,
        b"clients.normal": view.clients,
        b"cluster.links": 0,
        b"aof.buffer": ctx.engine.aof.feed.buffered_bytes,
        b"lua.caches": scripting.scripts_bytes,
        b"functions.caches": scripting.functions_bytes,
        b"script.VMs": scripting.eval_vm_bytes + scripting.function_vm_bytes,
    }
    for tables in view.tables:
        stats[b"db.%d" % tables.db] = {
            b"overhead.hashtable.main": tables.main_bytes,
            b"overhead.hashtable.expires": tables.expires_bytes,
        }
    return stats | {
        b"overhead.db.hashtable.lut": view.tables_bytes,
        b"overhead.db.hashtable.rehashing": 0,
        b"overhead.total": view.overhead,
        b"db.dict.rehashing.count": 0,
        b"keys.count": view.keys,
        b"keys.bytes-per-key": max(0, view.used - view.startup) // view.keys if view.keys else 0,
        b"dataset.bytes": view.dataset,
        b"dataset.percentage": view.dataset_percent,
        b"peak.percentage": percent(view.used, view.peak),
        b"allocator.allocated": view.used,
        b"allocator.active": view.used,
        b"allocator.resident": view.held,
        b"allocator.muzzy": 0,
        b"allocator-fragmentation.ratio": 1.0,
        b"allocator-fragmentation.bytes": 0,
        b"allocator-rss.ratio": ratio(view.held, view.used),
        b"allocator-rss.bytes": view.held - view.used,
        b"rss-overhead.ratio": ratio(view.resident, view.held),
        b"rss-overhead.bytes": view.resident - view.held,
        b"fragmentation": view.fragmentation,
        b"fragmentation.bytes": view.resident - view.used,
    }


@command(
    "MEMORY DOCTOR",
    arity=2,
    tips=_TIPS,
    since="4.0.0",
    complexity="O(1)",
)
def memory_doctor(ctx: Context) -> Reply:
    """Reports on the health of the server's memory."""
    findings = _findings(overview(ctx.engine), len(ctx.engine.sessions))
    return Verbatim(("\n\n".join(findings) + "\n").encode())


def _findings(view: Overview, clients: int) -> list[str]:
    if view.used - view.startup < _SMALL_BYTES:
        return ["This instance is empty or holds very little: there is nothing to diagnose."]
    findings = []
    if view.peak > view.used * _PEAK_RATIO_MAX:
        findings.append(
            f"Peak: the server once used {view.peak} bytes, far more than the {view.used} of "
            "now. Part of the difference may stay with the process; MEMORY PURGE returns what "
            "can be returned."
        )
    loose = view.held - view.used
    if ratio(view.held, view.used) > _FRAGMENTATION_MAX and loose > _FRAGMENTED_BYTES:
        findings.append(
            f"Fragmentation: the process holds {loose} bytes more than the server uses. They lie "
            "between what is still in use and serve what comes next; a restart gives them back."
        )
    if clients and view.clients // clients > _CLIENT_BYTES_MAX:
        findings.append(
            "Clients: on average a connection holds more than 200 kB. Look for clients that "
            "send large commands or read replies slowly with CLIENT LIST (qbuf, omem), and set "
            "client-output-buffer-limit."
        )
    return findings or ["No memory issues were found in this instance."]


@command(
    "MEMORY PURGE",
    arity=2,
    tips="request_policy:all_shards response_policy:all_succeeded",
    since="4.0.0",
    complexity="Depends on how much memory is allocated, could be slow",
)
def memory_purge(ctx: Context) -> Reply:
    """Has the C library give free memory back to the operating system."""
    ctx.engine.host.release_memory()
    return OK


@command(
    "MEMORY MALLOC-STATS",
    arity=2,
    tips=_TIPS,
    since="4.0.0",
    complexity="Depends on how much memory is allocated, could be slow",
)
def memory_malloc_stats(ctx: Context) -> Reply:
    """Would return the allocator's own statistics; the interpreter's gives none to a program."""
    return Verbatim(b"Stats not supported for the current allocator")


@command(
    "MEMORY HELP",
    arity=2,
    flags="loading stale",
    since="4.0.0",
    complexity="O(1)",
)
def memory_help(ctx: Context) -> Reply:
    """Explains the subcommands."""
    return help_reply(ctx, "MEMORY")
