"""Settings that the core keeps in a form of its own, applied at start and when they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyredis.keyspace import TOUCH_LFU, TOUCH_LRU

if TYPE_CHECKING:
    from pyredis.engine import Engine

_NEVER_NS = 1 << 62


def follow_config(engine: Engine) -> None:
    """Apply these settings now, and again after each CONFIG SET that touches them."""
    config = engine.config

    def slow() -> None:
        limit_us = config.slowlog_log_slower_than
        limit_ms = config.latency_monitor_threshold
        engine.latency.threshold_ms = limit_ms
        engine.slowlog_ns = limit_us * 1000 if limit_us >= 0 else _NEVER_NS
        latency_ns = limit_ms * 1_000_000 if limit_ms else _NEVER_NS
        engine.slow_ns = min(engine.slowlog_ns, latency_ns) - 1

    def notify() -> None:
        flags = config.notify_keyspace_events
        engine.notify_flags = flags if flags & {"K", "E"} else frozenset()
        engine.observe()

    def touch() -> None:
        """Keys carry an idle clock or a use counter; a switch between them starts afresh."""
        ks = engine.ks
        ks.lfu_log_factor = config.lfu_log_factor
        ks.lfu_decay_time = config.lfu_decay_time
        lfu = "lfu" in config.maxmemory_policy
        if lfu != ks.lfu:
            ks.lfu = lfu
            ks.touch_mode = TOUCH_LFU if lfu else TOUCH_LRU
            for db in ks.dbs:
                db.forget_use()

    def lazy_expire() -> None:
        engine.ks.lazy_expire_unlink = config.lazyfree_lazy_expire

    def tracking() -> None:
        engine.tracking.keys_max = config.tracking_table_max_keys

    def memory() -> None:
        engine.client_memory.follow()
        engine.evictor.follow()

    for names, apply in (
        (("slowlog-log-slower-than", "latency-monitor-threshold"), slow),
        (("notify-keyspace-events",), notify),
        (("maxmemory-policy", "lfu-log-factor", "lfu-decay-time"), touch),
        (("lazyfree-lazy-expire",), lazy_expire),
        (("requirepass",), engine.guard.follow_password),
        (("tracking-table-max-keys",), tracking),
        (("maxmemory", "maxmemory-clients", "maxmemory-policy"), memory),
    ):
        apply()
        config.subscribe(names, apply)
    config.subscribe(("maxmemory",), engine.evictor.warn)
