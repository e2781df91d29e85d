"""INFO: what the server knows about itself, in sections of ``field:value`` lines.

Fields, their names and their order are Redis 7.4's, so that monitoring tools find what they
look for. `SECTIONS` is the order; a section is a function from the engine to pairs. What a
feature that is not there would report stands at the value of a server that does not use it.

What exists in a C program only is given the nearest meaning:

    gcc_version            the compiler of the Python interpreter
    atomicvar_api          "gil": nothing runs beside the interpreter's one thread
    used_memory            what the server has taken since its start, see memory.py
    allocator_*            CPython tells no more than that: allocated and active are
                           used_memory, resident is what the process has grown by
    rss_overhead_*         the rest of used_memory_rss: the interpreter and the program
    mem_allocator          "pymalloc", the interpreter's
    active_defrag_*        always 0, objects cannot be moved
    io_threaded_*          always 0, there are no such threads
    allocator_muzzy        always 0, the allocator tells of no pages it lent back
    mem_overhead_db_hashtable_rehashing   always 0, a dict moves to its new table at once
    reply_buffer_*         always 0, replies are lists and never resized
    eventloop_cycles       turns of the loop in which a client could be read or written, and of
                           the cron
    eventloop_cmd_per_cycle_max   the highest mean of a tenth of a second, rounded up

Percentiles (latencystats) come from counts of calls by the bit length of their nanoseconds:
within such a bucket calls are taken to be spread geometrically.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from pyredis.field_expiry import count_volatile
from pyredis.memory import overview, percent
from pyredis.metrics import commands_processed
from pyredis.version import REDIS_VERSION, VERSION

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.engine import Engine

Pairs = Iterable[tuple[str, Any]]

_LRU_CLOCK_MAX: Final = (1 << 24) - 1
_UNSAFE: Final = str.maketrans("#:\n\r", "____")


def human(size: int) -> str:
    """Bytes with a unit, as ``used_memory_human`` has them."""
    if size < 1024:
        return f"{size}B"
    for exponent, unit in enumerate("KMGTP", 1):
        if size < 1024 ** (exponent + 1):
            return f"{size / 1024**exponent:.2f}{unit}"
    return f"{size}B"


def _ratio(part: float, whole: float) -> str:
    return f"{part / whole if whole else 0.0:.2f}"


def _plain(number: float) -> str:
    return f"{number:f}".rstrip("0").rstrip(".")


def _server(engine: Engine) -> Pairs:
    config, host = engine.config, engine.host
    now_us = engine.clock.now_us()
    uptime_s = max(0, engine.now_ms - engine.started_ms) // 1000
    yield "redis_version", REDIS_VERSION
    yield "redis_git_sha1", "00000000"
    yield "redis_git_dirty", 0
    yield "redis_build_id", 0
    yield "pyredis_version", VERSION
    yield "redis_mode", engine.mode
    yield "os", host.os
    yield "arch_bits", host.arch_bits
    yield "monotonic_clock", host.clock_name
    yield "multiplexing_api", host.multiplexing_api
    yield "atomicvar_api", "gil"
    yield "gcc_version", host.compiler
    yield "process_id", host.process_id
    yield "process_supervised", host.supervised
    yield "run_id", engine.run_id
    yield "tcp_port", config.port or config.tls_port
    yield "server_time_usec", now_us
    yield "uptime_in_seconds", uptime_s
    yield "uptime_in_days", uptime_s // 86400
    yield "hz", config.hz
    yield "configured_hz", config.hz
    yield "lru_clock", engine.ks.lru_clock & _LRU_CLOCK_MAX
    yield "executable", host.executable
    yield "config_file", engine.config_path or ""
    yield "io_threads_active", 0
    if engine.shutdown.end_ms is not None:
        yield "shutdown_in_milliseconds", max(0, engine.shutdown.end_ms - engine.now_ms)
    binds = "".join(f",bind={address}" for address in config.bind)
    if config.port:
        yield "listener0", f"name=tcp{binds},port={config.port}"
    if config.unixsocket:
        yield "listener1", f"name=unix,bind={config.unixsocket}"
    if config.tls_port:
        yield "listener2", f"name=tls{binds},port={config.tls_port}"


def _clients(engine: Engine) -> Pairs:
    sessions = engine.sessions.values()
    waiters = engine.waiters
    blocked = [state for each in waiters.blocked if (state := each.blocked) is not None]
    patient = [state for state in blocked if state.block.deadline_ms]
    on_removal = {
        (state.db.index, key)
        for state in blocked
        if state.block.on_removal
        for key in state.block.keys
    }
    yield "connected_clients", len(sessions) - len(engine.replication.primary.replicas)
    yield "cluster_connections", 0
    yield "maxclients", engine.config.maxclients
    yield (
        "client_recent_max_input_buffer",
        max((each.reader.held_bytes for each in sessions), default=0),
    )
    yield (
        "client_recent_max_output_buffer",
        max((each.output_bytes() + each.unsent_bytes for each in sessions), default=0),
    )
    yield "blocked_clients", len(blocked)
    yield "tracking_clients", len(engine.tracking.clients)
    yield "pubsub_clients", sum(each.kind == "pubsub" for each in sessions)
    yield "watching_clients", len(engine.watches.sessions)
    yield "clients_in_timeout_table", len(patient)
    yield "total_watched_keys", sum(len(db.watched) for db in engine.ks.dbs)
    yield "total_blocking_keys", waiters.key_count
    yield "total_blocking_keys_on_nokey", len(on_removal)


def _memory(engine: Engine) -> Pairs:
    config = engine.config
    view = overview(engine)
    total = engine.host.memory_total_bytes
    yield "used_memory", view.used
    yield "used_memory_human", human(view.used)
    yield "used_memory_rss", view.resident
    yield "used_memory_rss_human", human(view.resident)
    yield "used_memory_peak", view.peak
    yield "used_memory_peak_human", human(view.peak)
    yield "used_memory_peak_perc", f"{percent(view.used, view.peak):.2f}%"
    yield "used_memory_overhead", view.overhead
    yield "used_memory_startup", view.startup
    yield "used_memory_dataset", view.dataset
    yield "used_memory_dataset_perc", f"{view.dataset_percent:.2f}%"
    yield "allocator_allocated", view.used
    yield "allocator_active", view.used
    yield "allocator_resident", view.held
    yield "allocator_muzzy", 0
    yield "total_system_memory", total
    yield "total_system_memory_human", human(total)
    scripting = engine.scripting
    vm_total = scripting.eval_vm_bytes + scripting.function_vm_bytes
    scripts = scripting.scripts_bytes + scripting.functions_bytes
    yield "used_memory_lua", scripting.eval_vm_bytes
    yield "used_memory_vm_eval", scripting.eval_vm_bytes
    yield "used_memory_lua_human", human(scripting.eval_vm_bytes)
    yield "used_memory_scripts_eval", scripting.scripts_bytes
    yield "number_of_cached_scripts", scripting.number_of_cached_scripts
    yield "number_of_functions", scripting.number_of_functions
    yield "number_of_libraries", scripting.number_of_libraries
    yield "used_memory_vm_functions", scripting.function_vm_bytes
    yield "used_memory_vm_total", vm_total
    yield "used_memory_vm_total_human", human(vm_total)
    yield "used_memory_functions", scripting.functions_bytes
    yield "used_memory_scripts", scripts
    yield "used_memory_scripts_human", human(scripts)
    yield "maxmemory", config.maxmemory
    yield "maxmemory_human", human(config.maxmemory)
    yield "maxmemory_policy", config.maxmemory_policy
    yield "allocator_frag_ratio", _ratio(view.used, view.used)
    yield "allocator_frag_bytes", 0
    yield "allocator_rss_ratio", _ratio(view.held, view.used)
    yield "allocator_rss_bytes", view.held - view.used
    yield "rss_overhead_ratio", _ratio(view.resident, view.held)
    yield "rss_overhead_bytes", view.resident - view.held
    yield "mem_fragmentation_ratio", f"{view.fragmentation:.2f}"
    yield "mem_fragmentation_bytes", view.resident - view.used
    yield "mem_not_counted_for_evict", engine.memory.not_counted_bytes()
    yield "mem_replication_backlog", view.backlog
    yield (
        "mem_total_replication_buffers",
        view.backlog + engine.replication.primary.buffer_bytes,
    )
    yield "mem_clients_slaves", view.replicas
    yield "mem_clients_normal", view.clients
    yield "mem_cluster_links", 0
    yield "mem_aof_buffer", engine.aof.feed.buffered_bytes
    yield "mem_allocator", "pymalloc"
    yield "mem_overhead_db_hashtable_rehashing", 0
    yield "active_defrag_running", 0
    yield "lazyfree_pending_objects", engine.lazyfree.pending
    yield "lazyfreed_objects", engine.lazyfree.freed


def _persistence(engine: Engine) -> Pairs:
    saver = engine.saver
    aside, report = engine.replication.loads_aside, engine.child.report
    loading = saver.loading or aside
    keys_total = engine.child.keys if engine.child.purpose else 0
    yield "loading", int(saver.loading is not None)
    yield "async_loading", int(aside is not None)
    yield "current_cow_peak", report.cow_peak_bytes
    yield "current_cow_size", report.cow_bytes
    yield "current_cow_size_age", engine.child.report_age_s
    yield "current_fork_perc", f"{percent(report.keys, keys_total):.2f}"
    yield "current_save_keys_processed", report.keys
    yield "current_save_keys_total", keys_total
    yield "rdb_changes_since_last_save", saver.changes
    yield "rdb_bgsave_in_progress", int(saver.in_progress)
    yield "rdb_last_save_time", saver.last_save_s
    yield "rdb_last_bgsave_status", "ok" if saver.last_ok else "err"
    yield "rdb_last_bgsave_time_sec", saver.last_duration_s
    yield (
        "rdb_current_bgsave_time_sec",
        saver.now_s - engine.child.since_s if saver.in_progress else -1,
    )
    yield "rdb_saves", saver.saves
    yield "rdb_last_cow_size", saver.last_cow_bytes
    last_load = loading or saver
    yield "rdb_last_load_keys_expired", last_load.keys_expired
    yield "rdb_last_load_keys_loaded", last_load.keys_loaded
    aof, rewriter = engine.aof, engine.aof.rewriter
    yield "aof_enabled", int(aof.state != "off")
    yield "aof_rewrite_in_progress", int(aof.rewriting)
    yield "aof_rewrite_scheduled", int(rewriter.scheduled)
    yield "aof_last_rewrite_time_sec", rewriter.last_duration_s
    yield "aof_current_rewrite_time_sec", saver.now_s - rewriter.since_s if aof.rewriting else -1
    yield "aof_last_bgrewrite_status", "ok" if rewriter.last_ok else "err"
    yield "aof_rewrites", rewriter.count
    yield "aof_rewrites_consecutive_failures", rewriter.failures
    yield "aof_last_write_status", "err" if aof.write_problem else "ok"
    yield "aof_last_cow_size", rewriter.last_cow_bytes
    yield "module_fork_in_progress", 0
    yield "module_fork_last_cow_size", 0
    if aof.state != "off":
        yield "aof_current_size", aof.current_bytes
        yield "aof_base_size", aof.base_bytes
        yield "aof_pending_rewrite", 0  # as in Redis since version 4
        yield "aof_buffer_length", aof.feed.buffered_bytes
        yield "aof_pending_bio_fsync", int(aof.feed.syncing)
        yield "aof_delayed_fsync", aof.feed.delayed_syncs
    if loading is not None:
        yield "loading_start_time", loading.start_s
        yield "loading_total_bytes", loading.total_bytes
        yield "loading_rdb_used_mem", loading.used_memory
        yield "loading_loaded_bytes", loading.loaded_bytes
        yield "loading_loaded_perc", f"{loading.percent:.2f}"
        yield "loading_eta_seconds", loading.eta_s(saver.now_s)


def _stats(engine: Engine) -> Pairs:
    stats, ks, metrics, pubsub = engine.stats, engine.ks, engine.metrics, engine.pubsub
    cycle_us = metrics.cycle_ns.per_second / 1000 / (metrics.cycles.per_second or 1)
    yield "total_connections_received", stats.connections
    yield "total_commands_processed", commands_processed(engine)
    yield "instantaneous_ops_per_sec", int(metrics.commands.per_second)
    yield "total_net_input_bytes", stats.input_bytes + engine.replication.received_bytes
    yield "total_net_output_bytes", stats.output_bytes
    yield "total_net_repl_input_bytes", engine.replication.received_bytes
    yield "total_net_repl_output_bytes", engine.replication.primary.sent_bytes
    yield "instantaneous_input_kbps", f"{metrics.input_bytes.per_second / 1024:.2f}"
    yield "instantaneous_output_kbps", f"{metrics.output_bytes.per_second / 1024:.2f}"
    yield "instantaneous_input_repl_kbps", f"{metrics.input_stream.per_second / 1024:.2f}"
    yield "instantaneous_output_repl_kbps", f"{metrics.output_stream.per_second / 1024:.2f}"
    yield "rejected_connections", stats.rejected_connections
    yield "sync_full", engine.replication.primary.full_syncs
    yield "sync_partial_ok", engine.replication.primary.partial_syncs
    yield "sync_partial_err", engine.replication.primary.partial_refusals
    yield "expired_subkeys", ks.expired_fields
    yield "expired_keys", ks.expired
    yield "expired_stale_perc", f"{engine.expire.stale_percent:.2f}"
    yield "expired_time_cap_reached_count", engine.expire.time_cap_reached
    yield "expire_cycle_cpu_milliseconds", engine.expire.spent_ns // 1_000_000
    yield "evicted_keys", engine.evictor.evicted_keys
    yield "evicted_clients", stats.evicted_clients
    yield "evicted_scripts", engine.scripting.evicted_scripts
    yield "total_eviction_exceeded_time", engine.evictor.exceeded_total_ns // 1_000_000
    yield "current_eviction_exceeded_time", engine.evictor.exceeded_now_ns // 1_000_000
    yield "keyspace_hits", ks.hits
    yield "keyspace_misses", ks.misses
    yield "pubsub_channels", len(pubsub.channels)
    yield "pubsub_patterns", len(pubsub.patterns)
    yield "pubsubshard_channels", len(pubsub.shard_channels)
    yield "latest_fork_usec", engine.child.fork_us
    yield "total_forks", engine.child.forks
    yield "migrate_cached_sockets", 0
    yield "slave_expires_tracked_keys", len(engine.replication.local_expiry)
    yield "active_defrag_hits", 0
    yield "active_defrag_misses", 0
    yield "active_defrag_key_hits", 0
    yield "active_defrag_key_misses", 0
    yield "total_active_defrag_time", 0
    yield "current_active_defrag_time", 0
    yield "tracking_total_keys", len(engine.tracking.keys)
    yield "tracking_total_items", engine.tracking.item_count
    yield "tracking_total_prefixes", len(engine.tracking.prefixes)
    yield "unexpected_error_replies", stats.unexpected_errors
    yield "total_error_replies", stats.total_errors
    yield "dump_payload_sanitizations", 0
    yield "total_reads_processed", stats.reads
    yield "total_writes_processed", stats.writes
    yield "io_threaded_reads_processed", 0
    yield "io_threaded_writes_processed", 0
    yield "client_query_buffer_limit_disconnections", stats.query_limit_disconnections
    yield "client_output_buffer_limit_disconnections", stats.output_limit_disconnections
    yield "reply_buffer_shrinks", 0
    yield "reply_buffer_expands", 0
    yield "eventloop_cycles", stats.cycles
    yield "eventloop_duration_sum", stats.cycles_ns // 1000
    yield (
        "eventloop_duration_cmd_sum",
        sum(entry.duration_ns for entry in engine.table.all()) // 1000,
    )
    yield "instantaneous_eventloop_cycles_per_sec", int(metrics.cycles.per_second)
    yield "instantaneous_eventloop_duration_usec", int(cycle_us)
    yield "acl_access_denied_auth", stats.denied["auth"]
    yield "acl_access_denied_cmd", stats.denied["command"]
    yield "acl_access_denied_key", stats.denied["key"]
    yield "acl_access_denied_channel", stats.denied["channel"]


def _replication(engine: Engine) -> Pairs:
    node = engine.replication
    primary, replica, history = node.primary, node.replica, node.history
    now_ms = engine.now_ms
    yield "role", "slave" if node.address is not None else "master"
    if node.address is not None:
        host, port = node.address
        yield "master_host", host
        yield "master_port", port
        yield "master_link_status", "up" if node.link_up else "down"
        yield (
            "master_last_io_seconds_ago",
            max(0, now_ms - replica.last_io_ms) // 1000 if node.link_up else -1,
        )
        yield "master_sync_in_progress", int(replica.syncing)
        yield "slave_read_repl_offset", history.offset + node.unapplied_bytes
        yield "slave_repl_offset", history.offset
        if replica.syncing:
            transfer = replica.transfer
            total, read = max(0, transfer.size), transfer.received_bytes
            yield "master_sync_total_bytes", total
            yield "master_sync_read_bytes", read
            yield "master_sync_left_bytes", total - read
            yield "master_sync_perc", f"{percent(read, total):.2f}"
            yield "master_sync_last_io_seconds_ago", max(0, now_ms - replica.last_io_ms) // 1000
        if not node.link_up:
            since_ms = replica.down_since_ms
            yield (
                "master_link_down_since_seconds",
                max(0, now_ms - since_ms) // 1000 if since_ms is not None else -1,
            )
        yield "slave_priority", engine.config.replica_priority
        yield "slave_read_only", int(engine.config.replica_read_only)
        yield "replica_announced", int(engine.config.replica_announced)
    yield "connected_slaves", len(primary.replicas)
    if engine.config.min_replicas_to_write and engine.config.min_replicas_max_lag:
        yield "min_slaves_good_slaves", primary.good
    for number, each in enumerate(primary.replicas.values()):
        if each.host:
            yield (
                f"slave{number}",
                f"ip={each.host},port={each.port},state={each.phase.shown},"
                f"offset={each.acked_offset},lag={each.lag_s(now_ms) if each.online else 0}",
            )
    backlog = primary.backlog
    yield "master_failover_state", node.failover.state.value
    yield "master_replid", history.replid
    yield "master_replid2", history.replid2
    yield "master_repl_offset", history.offset
    yield "second_repl_offset", history.second_offset
    yield "repl_backlog_active", int(backlog is not None)
    yield "repl_backlog_size", engine.config.repl_backlog_size
    yield "repl_backlog_first_byte_offset", backlog.first if backlog is not None else 0
    yield "repl_backlog_histlen", backlog.length if backlog is not None else 0


def _cpu(engine: Engine) -> Pairs:
    use = engine.host.cpu()
    yield "used_cpu_sys", f"{use.system_s:.6f}"
    yield "used_cpu_user", f"{use.user_s:.6f}"
    yield "used_cpu_sys_children", f"{use.system_children_s:.6f}"
    yield "used_cpu_user_children", f"{use.user_children_s:.6f}"
    yield "used_cpu_sys_main_thread", f"{use.system_main_thread_s:.6f}"
    yield "used_cpu_user_main_thread", f"{use.user_main_thread_s:.6f}"


def _modules(engine: Engine) -> Pairs:
    return ()


def _commandstats(engine: Engine) -> Pairs:
    for entry in engine.table.all():
        calls = entry.calls
        if not (calls or entry.rejected or entry.failed):
            continue
        spent_us = entry.duration_ns // 1000
        yield (
            f"cmdstat_{entry.name}",
            f"calls={calls},usec={spent_us},usec_per_call={_ratio(spent_us, calls)},"
            f"rejected_calls={entry.rejected},failed_calls={entry.failed}",
        )


def _errorstats(engine: Engine) -> Pairs:
    for code, count in sorted(engine.stats.errors.items()):
        yield f"errorstat_{code.translate(_UNSAFE)}", f"count={count}"


def _latencystats(engine: Engine) -> Pairs:
    config = engine.config
    if not config.latency_tracking:
        return
    for entry in engine.table.all():
        if any(entry.latency):
            values = ",".join(
                f"p{_plain(each)}={percentile_us(entry, each):.3f}"
                for each in config.latency_tracking_info_percentiles
            )
            yield f"latency_percentiles_usec_{entry.name}", values


def percentile_us(entry: Entry, wanted: float) -> float:
    """The duration that so many per cent of a command's calls did not exceed; it has been called.

    Exact to within a bucket, that is a factor of two; exact for a single call.
    """
    if sum(map(bool, entry.latency)) == 1:
        return entry.duration_ns / 1000 / entry.calls  # the mean is in that bucket, too
    rank = entry.calls * min(wanted, 100.0) / 100
    below = 0
    highest = 0
    for bits, count in enumerate(entry.latency):
        if not count:
            continue
        highest = bits
        if below + count >= rank:
            share = max(0.0, rank - below) / count
            return float(2.0 ** (bits - 1 + share)) / 1000
        below += count
    return float(2.0**highest) / 1000


def _cluster(engine: Engine) -> Pairs:
    yield "cluster_enabled", int(engine.config.cluster_enabled)


def _keyspace(engine: Engine) -> Pairs:
    for db in engine.ks.dbs:
        if db.data:
            yield (
                f"db{db.index}",
                f"keys={len(db.data)},expires={len(db.expires)},avg_ttl={int(db.ttl_mean_ms)},"
                f"subexpiry={count_volatile(db)}",
            )


def _debug(engine: Engine) -> Pairs:
    yield "eventloop_duration_aof_sum", engine.aof.feed.spent_ns // 1000
    yield "eventloop_duration_cron_sum", engine.stats.cron_ns // 1000
    yield "eventloop_duration_max", engine.stats.cycle_max_ns // 1000
    yield "eventloop_cmd_per_cycle_max", engine.metrics.commands_per_cycle_max


Section = Callable[["Engine"], Pairs]

SECTIONS: Final[dict[str, tuple[str, Section]]] = {
    "server": ("Server", _server),
    "clients": ("Clients", _clients),
    "memory": ("Memory", _memory),
    "persistence": ("Persistence", _persistence),
    "stats": ("Stats", _stats),
    "replication": ("Replication", _replication),
    "cpu": ("CPU", _cpu),
    "modules": ("Modules", _modules),
    "commandstats": ("Commandstats", _commandstats),
    "errorstats": ("Errorstats", _errorstats),
    "latencystats": ("Latencystats", _latencystats),
    "cluster": ("Cluster", _cluster),
    "keyspace": ("Keyspace", _keyspace),
    "debug": ("Debug", _debug),
}
"""All sections in the order in which INFO prints them: name, title, content."""

_ALL: Final = frozenset(SECTIONS) - {"debug"}
_DEFAULT: Final = _ALL - {"commandstats", "latencystats"}
_GROUPS: Final[dict[str, frozenset[str]]] = {
    "default": _DEFAULT,
    "all": _ALL,
    "everything": _ALL,
    "module_list": frozenset(("modules",)),
}


def info(engine: Engine, sections: Sequence[str] = ()) -> str:
    """The text of the sections named, in INFO's own order; of the usual ones if none is.

    Case does not matter; names that mean nothing are passed over.
    """
    wanted: set[str] = set()
    for name in (each.lower() for each in sections or ("default",)):
        wanted |= _GROUPS.get(name, frozenset((name,)))
    return "\r\n".join(_text(engine, name) for name in SECTIONS if name in wanted)


def _text(engine: Engine, name: str) -> str:
    return "".join(_lines(engine, *SECTIONS[name]))


def _lines(engine: Engine, title: str, section: Section) -> Iterator[str]:
    yield f"# {title}\r\n"
    for field, value in section(engine):
        yield f"{field}:{value}\r\n"
