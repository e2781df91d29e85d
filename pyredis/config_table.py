"""Every directive of the configuration, as one table.

The table is the body of a class: an attribute is a directive. So each line says everything
about a directive (its name, its type for the type checker, its default, its range, whether it
may change at run time), and `config.maxmemory` needs no second declaration. The name is the
attribute's with hyphens for underscores. Once read, the rows move out of the class into
`TABLE`, which leaves the class with nothing but annotations; the values live in the instances
of `pyredis.config.Config`.

Names, defaults and ranges are those of Redis 7.2. A directive stores a value, no more: what it
means is up to the part of the server that reads it. Where it means something else here than in
Redis, or nothing, its `note` says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, TypedDict, Unpack

from pyredis import config_checks as check
from pyredis.config_types import (
    INT_MAX,
    INT_MIN,
    LONG_MAX,
    UINT_MAX,
    ULONG_MAX,
    Addresses,
    BufferLimit,
    BufferLimits,
    Choice,
    Directory,
    Integer,
    KeyEvents,
    Kind,
    Memory,
    MemoryOrPercent,
    Octal,
    OomScores,
    OutputBufferLimits,
    Percentiles,
    PrimaryAddress,
    ReplicaOf,
    SavePoint,
    SavePoints,
    ShutdownFlags,
    Text,
    YesNo,
)


class Change(Enum):
    """When a directive may change."""

    ANY_TIME = "any time"
    AT_START = "at start"
    PROTECTED = "any time, if enable-protected-configs allows it"


class Facts(TypedDict, total=False):
    """What else a row may say; see `Directive`."""

    name: str
    aliases: tuple[str, ...]
    change: Change
    hidden: bool
    debug: bool
    sensitive: bool
    not_loading: bool
    always_applied: bool
    note: str


@dataclass(frozen=True, slots=True)
class Directive:
    """One row of the table."""

    kind: Kind[Any]
    default: Any
    attribute: str = ""
    name: str = ""
    aliases: tuple[str, ...] = ()
    change: Change = Change.ANY_TIME
    hidden: bool = False  # CONFIG GET wants the exact name
    debug: bool = False  # worth printing in a crash report
    sensitive: bool = False  # its value belongs in no log, SLOWLOG or MONITOR
    not_loading: bool = False  # CONFIG SET is refused while the data set is being loaded
    always_applied: bool = False  # setting the same value again means something: a file's name
    note: str = ""  # what is different here


AT_START, PROTECTED = Change.AT_START, Change.PROTECTED


def _row(kind: Kind[Any], default: object, facts: Facts) -> Any:
    return Directive(kind, default, **facts)


def yes_no(default: bool, **facts: Unpack[Facts]) -> Any:
    return _row(YesNo(), default, facts)


def number(
    default: int,
    low: int = 0,
    high: int = INT_MAX,
    clamp: tuple[int, int] | None = None,
    **facts: Unpack[Facts],
) -> Any:
    return _row(Integer(low, high, clamp), default, facts)


def tcp_port(default: int = 0, **facts: Unpack[Facts]) -> Any:
    return _row(Integer(0, 65535), default, facts)


def size(
    default: int,
    low: int = 0,
    high: int = LONG_MAX,
    clamp: tuple[int, int] | None = None,
    **facts: Unpack[Facts],
) -> Any:
    return _row(Memory(low, high, clamp), default, facts)


def choice(default: str, names: str, **facts: Unpack[Facts]) -> Any:
    return _row(Choice(names.split()), default, facts)


def text(default: str, **facts: Unpack[Facts]) -> Any:
    return _row(Text(), default, facts)


def optional(**facts: Unpack[Facts]) -> Any:
    """A text that is unset, and absent from the file, while it is empty."""
    return _row(Text(unset_by_empty=True), "", facts)


def special(kind: Kind[Any], default: object, **facts: Unpack[Facts]) -> Any:
    return _row(kind, default, facts)


def tls_file(**facts: Unpack[Facts]) -> Any:
    return _row(Text(unset_by_empty=True), "", {"always_applied": True, **facts})


_KB, _MB, _GB = 1 << 10, 1 << 20, 1 << 30
_PINNED = "Processes are not pinned to cores: stored only."
_OPENSSL_CACHE = "Python's ssl module leaves this to OpenSSL: stored only."
_NO_DEFRAG = "Python's allocator cannot move objects: stored only."


class Settings:
    """The directives as typed attributes."""

    # -- process and files
    daemonize: bool = yes_no(False, change=AT_START)
    supervised: str = choice("no", "upstart systemd auto no", change=AT_START)
    pidfile: str = optional(change=AT_START)
    dir: str = special(Directory(), "/", change=PROTECTED, not_loading=True)
    databases: int = number(16, 1, change=AT_START)
    always_show_logo: bool = yes_no(False, change=AT_START)
    set_proc_title: bool = yes_no(True, change=AT_START)
    proc_title_template: str = special(
        Text(check=check.title_template), "{title} {listen-addr} {server-mode}"
    )
    locale_collate: str = text("", note="Texts are compared byte by byte, as in the C locale.")
    ignore_warnings: str = text("", note="There are no warnings to be ignored: stored only.")
    hz: int = number(10, clamp=(1, 500))
    dynamic_hz: bool = yes_no(
        True, note="Each turn visits a share of the clients, so hz stays as it is: stored only."
    )
    activerehashing: bool = yes_no(
        True, note="Python's dictionaries rehash by themselves: stored only."
    )
    io_threads: int = number(
        1,
        1,
        128,
        change=AT_START,
        debug=True,
        note="One thread serves all clients, whatever the number.",
    )
    io_threads_do_reads: bool = yes_no(
        False, change=AT_START, debug=True, note="There are no threads to read: stored only."
    )
    server_cpulist: str = optional(name="server_cpulist", change=AT_START, note=_PINNED)
    bio_cpulist: str = optional(name="bio_cpulist", change=AT_START, note=_PINNED)
    aof_rewrite_cpulist: str = optional(name="aof_rewrite_cpulist", change=AT_START, note=_PINNED)
    bgsave_cpulist: str = optional(name="bgsave_cpulist", change=AT_START, note=_PINNED)
    disable_thp: bool = yes_no(True, change=AT_START)
    oom_score_adj: str = special(
        Choice(("no", "yes", "relative", "absolute"), {"relative": "yes"}), "no"
    )
    oom_score_adj_values: tuple[int, ...] = special(OomScores(), (0, 200, 800))
    shutdown_timeout: int = number(10)
    shutdown_on_sigint: frozenset[str] = special(ShutdownFlags(), frozenset())
    shutdown_on_sigterm: frozenset[str] = special(ShutdownFlags(), frozenset())
    crash_log_enabled: bool = yes_no(True)
    crash_memcheck_enabled: bool = yes_no(
        True, note="A crash report has no memory test here: stored only."
    )
    use_exit_on_panic: bool = yes_no(False, hidden=True)
    watchdog_period: int = number(0, hidden=True, note="There is no watchdog: stored only.")
    enable_protected_configs: str = choice("no", "no yes local", change=AT_START)
    enable_debug_command: str = choice("no", "no yes local", change=AT_START)
    enable_module_command: str = choice("no", "no yes local", change=AT_START)
    enable_debug_assert: bool = yes_no(
        False, change=AT_START, hidden=True, note="There are no debug assertions: stored only."
    )

    # -- log
    loglevel: str = choice("notice", "debug verbose notice warning")
    logfile: str = text("", change=AT_START)
    hide_user_data_from_log: bool = yes_no(False)
    syslog_enabled: bool = yes_no(False, change=AT_START)
    syslog_ident: str = text("redis", change=AT_START)
    syslog_facility: str = choice(
        "local0", "user local0 local1 local2 local3 local4 local5 local6 local7", change=AT_START
    )

    # -- network and clients
    bind: tuple[str, ...] = special(Addresses(), ("*", "-::*"), always_applied=True)
    bind_source_addr: str = optional()
    port: int = tcp_port(6379)
    unixsocket: str = optional(change=AT_START)
    unixsocketperm: int = special(Octal(0, 0o777), 0, change=AT_START)
    tcp_backlog: int = number(511, change=AT_START)
    tcp_keepalive: int = number(300)
    socket_mark_id: int = number(0, 0, UINT_MAX, change=AT_START)
    timeout: int = number(0)
    maxclients: int = number(10000, 1, UINT_MAX)
    max_new_connections_per_cycle: int = number(10, 1, 1000)
    max_new_tls_connections_per_cycle: int = number(1, 1, 1000)
    protected_mode: bool = yes_no(True)
    client_output_buffer_limit: BufferLimits = special(
        OutputBufferLimits(),
        BufferLimits(
            normal=BufferLimit(0, 0, 0),
            replica=BufferLimit(256 * _MB, 64 * _MB, 60),
            pubsub=BufferLimit(32 * _MB, 8 * _MB, 60),
        ),
    )
    client_query_buffer_limit: int = size(_GB, _MB, debug=True)
    proto_max_bulk_len: int = size(512 * _MB, _MB, debug=True)
    maxmemory_clients: int = special(MemoryOrPercent(-100, LONG_MAX), 0)
    tracking_table_max_keys: int = number(1000000, 0, LONG_MAX)
    notify_keyspace_events: frozenset[str] = special(KeyEvents(), frozenset())

    # -- access
    requirepass: str = special(Text(unset_by_empty=True, binary=True), "", sensitive=True)
    aclfile: str = text("", change=AT_START)
    acl_pubsub_default: str = choice("resetchannels", "allchannels resetchannels")
    acllog_max_len: int = number(128, 0, LONG_MAX)

    # -- memory
    maxmemory: int = size(0, 0, ULONG_MAX)
    maxmemory_policy: str = choice(
        "noeviction",
        "volatile-lru volatile-lfu volatile-random volatile-ttl "
        "allkeys-lru allkeys-lfu allkeys-random noeviction",
    )
    maxmemory_samples: int = number(5, 1, 64)
    maxmemory_eviction_tenacity: int = number(10, 0, 100)
    lfu_log_factor: int = number(10)
    lfu_decay_time: int = number(1)
    active_expire_effort: int = number(1, 1, 10)
    lazyfree_lazy_eviction: bool = yes_no(False, debug=True)
    lazyfree_lazy_expire: bool = yes_no(False, debug=True)
    lazyfree_lazy_server_del: bool = yes_no(False, debug=True)
    lazyfree_lazy_user_del: bool = yes_no(False, debug=True)
    lazyfree_lazy_user_flush: bool = yes_no(False, debug=True)
    jemalloc_bg_thread: bool = yes_no(True, note="Python has its own allocator: stored only.")
    activedefrag: bool = yes_no(False, debug=True, note=_NO_DEFRAG)
    active_defrag_ignore_bytes: int = size(100 * _MB, 1, note=_NO_DEFRAG)
    active_defrag_threshold_lower: int = number(10, 0, 1000, note=_NO_DEFRAG)
    active_defrag_threshold_upper: int = number(100, 0, 1000, note=_NO_DEFRAG)
    active_defrag_cycle_min: int = number(1, 1, 99, note=_NO_DEFRAG)
    active_defrag_cycle_max: int = number(25, 1, 99, note=_NO_DEFRAG)
    active_defrag_max_scan_fields: int = number(1000, 1, LONG_MAX, note=_NO_DEFRAG)

    # -- encodings of values
    hash_max_listpack_entries: int = number(512, 0, LONG_MAX, aliases=("hash-max-ziplist-entries",))
    hash_max_listpack_value: int = size(64, aliases=("hash-max-ziplist-value",))
    list_max_listpack_size: int = number(-2, INT_MIN, aliases=("list-max-ziplist-size",))
    list_compress_depth: int = number(
        0, debug=True, note="Lists are not compressed in memory: stored only."
    )
    set_max_intset_entries: int = number(512, 0, LONG_MAX)
    set_max_listpack_entries: int = number(128, 0, LONG_MAX)
    set_max_listpack_value: int = number(64, 0, LONG_MAX)
    zset_max_listpack_entries: int = number(128, 0, LONG_MAX, aliases=("zset-max-ziplist-entries",))
    zset_max_listpack_value: int = size(64, aliases=("zset-max-ziplist-value",))
    hll_sparse_max_bytes: int = size(3000)
    stream_node_max_bytes: int = size(4096)
    stream_node_max_entries: int = number(100, 0, LONG_MAX)

    # -- observing
    slowlog_log_slower_than: int = number(10000, -1, LONG_MAX)
    slowlog_max_len: int = number(128, 0, LONG_MAX)
    latency_monitor_threshold: int = number(0, 0, LONG_MAX)
    latency_tracking: bool = yes_no(True)
    latency_tracking_info_percentiles: tuple[float, ...] = special(
        Percentiles(), (50.0, 99.0, 99.9)
    )

    # -- scripts
    busy_reply_threshold: int = number(5000, 0, LONG_MAX, aliases=("lua-time-limit",))
    lua_enable_deprecated_api: bool = yes_no(False, change=AT_START, hidden=True)

    # -- snapshots
    save: tuple[SavePoint, ...] = special(
        SavePoints(), (SavePoint(3600, 1), SavePoint(300, 100), SavePoint(60, 10000))
    )
    dbfilename: str = special(Text(check=check.dbfilename), "dump.rdb", change=PROTECTED)
    rdbcompression: bool = yes_no(True)
    rdbchecksum: bool = yes_no(True, change=AT_START)
    rdb_version: int = number(10, 9, 12)  # ours: the version of the format that is written
    rdb_save_incremental_fsync: bool = yes_no(True)
    rdb_del_sync_files: bool = yes_no(False)
    rdb_key_save_delay: int = number(0, INT_MIN, hidden=True)
    key_load_delay: int = number(0, INT_MIN, hidden=True)
    loading_process_events_interval_bytes: int = number(2 * _MB, 1024, hidden=True)
    stop_writes_on_bgsave_error: bool = yes_no(True)
    sanitize_dump_payload: str = choice(
        "no", "no yes clients", debug=True, note="Every payload is looked at closely: stored only."
    )

    # -- append-only file
    appendonly: bool = yes_no(False)
    appendfilename: str = special(
        Text(check=check.appendfilename), "appendonly.aof", change=AT_START
    )
    appenddirname: str = special(Text(check=check.appenddirname), "appendonlydir", change=AT_START)
    appendfsync: str = choice("everysec", "everysec always no")
    no_appendfsync_on_rewrite: bool = yes_no(False)
    auto_aof_rewrite_percentage: int = number(100)
    auto_aof_rewrite_min_size: int = size(64 * _MB)
    aof_rewrite_incremental_fsync: bool = yes_no(True)
    aof_load_truncated: bool = yes_no(True)
    aof_load_corrupt_tail_max_size: int = size(0)
    aof_use_rdb_preamble: bool = yes_no(True)
    aof_timestamp_enabled: bool = yes_no(False)
    aof_disable_auto_gc: bool = yes_no(False)

    # -- replication
    replicaof: PrimaryAddress | None = special(
        ReplicaOf(), None, aliases=("slaveof",), change=AT_START
    )
    masteruser: str = optional(sensitive=True)
    masterauth: str = special(Text(unset_by_empty=True, binary=True), "", sensitive=True)
    replica_serve_stale_data: bool = yes_no(True, aliases=("slave-serve-stale-data",))
    replica_read_only: bool = yes_no(True, aliases=("slave-read-only",), debug=True)
    replica_lazy_flush: bool = yes_no(False, aliases=("slave-lazy-flush",))
    replica_ignore_maxmemory: bool = yes_no(True, aliases=("slave-ignore-maxmemory",))
    replica_ignore_disk_write_errors: bool = yes_no(False)
    replica_priority: int = number(100, aliases=("slave-priority",))
    replica_announced: bool = yes_no(True)
    replica_announce_ip: str = optional(aliases=("slave-announce-ip",))
    replica_announce_port: int = tcp_port(aliases=("slave-announce-port",))
    repl_diskless_sync: bool = yes_no(True, debug=True)
    repl_diskless_sync_delay: int = number(5)
    repl_diskless_sync_max_replicas: int = number(0)
    repl_diskless_sync_period: int = number(
        0,
        hidden=True,
        note="Redis 7 does not know this directive, some tools set it: seconds that lie at least "
        "between the beginnings of two diskless snapshots for replicas.",
    )
    repl_diskless_load: str = choice(
        "disabled", "disabled on-empty-db swapdb", debug=True, not_loading=True
    )
    repl_ping_replica_period: int = number(10, 1, aliases=("repl-ping-slave-period",))
    repl_timeout: int = number(60, 1)
    repl_disable_tcp_nodelay: bool = yes_no(False)
    repl_backlog_size: int = size(_MB, 1, clamp=(16 * _KB, LONG_MAX))
    repl_backlog_ttl: int = number(3600, 0, LONG_MAX)
    startup_guard: bool = yes_no(False)  # ours: see replication/guard.py
    min_replicas_to_write: int = number(0, aliases=("min-slaves-to-write",))
    min_replicas_max_lag: int = number(10, aliases=("min-slaves-max-lag",))
    propagation_error_behavior: str = choice("ignore", "ignore panic panic-on-replicas")
    close_on_replica_write: bool = yes_no(
        False,
        aliases=("close-on-slave-write",),
        hidden=True,  # Redis 7 does not know it, a hosted service does
    )

    # -- cluster
    cluster_enabled: bool = yes_no(False, change=AT_START)
    cluster_config_file: str = text("nodes.conf", change=AT_START)
    cluster_node_timeout: int = number(15000, 0, LONG_MAX)
    cluster_port: int = tcp_port(change=AT_START)
    cluster_replica_validity_factor: int = number(10, aliases=("cluster-slave-validity-factor",))
    cluster_replica_no_failover: bool = yes_no(False, aliases=("cluster-slave-no-failover",))
    cluster_migration_barrier: int = number(1)
    cluster_allow_replica_migration: bool = yes_no(True)
    cluster_require_full_coverage: bool = yes_no(True)
    cluster_allow_reads_when_down: bool = yes_no(False)
    cluster_allow_pubsubshard_when_down: bool = yes_no(True)
    cluster_link_sendbuf_limit: int = size(0, 0, ULONG_MAX)
    cluster_announce_ip: str = optional()
    cluster_announce_hostname: str = special(Text(unset_by_empty=True, check=check.hostname), "")
    cluster_announce_human_nodename: str = special(
        Text(unset_by_empty=True, check=check.nodename), ""
    )
    cluster_announce_port: int = tcp_port()
    cluster_announce_tls_port: int = tcp_port()
    cluster_announce_bus_port: int = tcp_port()
    cluster_preferred_endpoint_type: str = choice("ip", "ip hostname unknown-endpoint")

    # -- TLS
    tls_port: int = tcp_port()
    tls_cert_file: str = tls_file()
    tls_key_file: str = tls_file()
    tls_key_file_pass: str = tls_file(sensitive=True)
    tls_client_cert_file: str = tls_file()
    tls_client_key_file: str = tls_file()
    tls_client_key_file_pass: str = tls_file(sensitive=True)
    tls_dh_params_file: str = tls_file()
    tls_ca_cert_file: str = tls_file()
    tls_ca_cert_dir: str = tls_file()
    tls_auth_clients: str = choice("yes", "no yes optional")
    tls_replication: bool = yes_no(False)
    tls_cluster: bool = yes_no(False)
    tls_protocols: str = optional()
    tls_ciphers: str = optional()
    tls_ciphersuites: str = optional(
        note="Python's ssl module sets no TLS 1.3 suites before 3.15: an error with tls-port."
    )
    tls_prefer_server_ciphers: bool = yes_no(False)
    tls_session_caching: bool = yes_no(True)
    tls_session_cache_size: int = number(20 * _KB, note=_OPENSSL_CACHE)
    tls_session_cache_timeout: int = number(300, note=_OPENSSL_CACHE)


def _rows() -> tuple[Directive, ...]:
    """The rows with their names filled in, moved out of the class."""
    rows = []
    for attribute, row in list(vars(Settings).items()):
        if isinstance(row, Directive):
            name = row.name or attribute.replace("_", "-")
            rows.append(replace(row, attribute=attribute, name=name))
            delattr(Settings, attribute)
    return tuple(rows)


TABLE: tuple[Directive, ...] = _rows()
BY_NAME: Mapping[str, Directive] = MappingProxyType(
    {name: row for row in TABLE for name in (row.name, *row.aliases)}
)


def config_docs() -> dict[str, str]:
    """The directives that mean something else here than in Redis, or nothing, with the reason."""
    return {row.name: row.note for row in TABLE if row.note}
