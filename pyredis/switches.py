"""What DEBUG can switch in a running server, for tests of the server and of its clients."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Switches:
    """All off by default."""

    cron_paused: bool = False
    checksums_ignored: bool = False  # of RDB files and DUMP payloads that are read
    scripts_may_call_all: bool = False  # even what is flagged noscript
