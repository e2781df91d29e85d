"""Replication's commands on a node without it, beside a real server in the same position."""

from __future__ import annotations

import pytest

from tests.support import Twin


@pytest.mark.parametrize(
    "options",
    [
        "", "ABORT", "ABORT ABORT", "ABORT FORCE", "FORCE", "TIMEOUT", "TIMEOUT 0", "TIMEOUT x",
        "TIMEOUT 5", "TIMEOUT 5 TIMEOUT 6", "TO host", "TO host x", "TO host 1",
        "TO host 1 FORCE", "TO host 1 FORCE TIMEOUT 5", "TO a 1 TO b 2", "NONE",
    ],
)  # fmt: skip
def test_failover_without_replicas(twin: Twin, options: str) -> None:
    twin("FAILOVER", *options.split())


@pytest.mark.parametrize("name", ["REPLICAOF", "SLAVEOF"])
def test_replica_of_nobody(twin: Twin, name: str) -> None:
    twin(name, "NO", "ONE")
    twin(name, "no", "one")
    twin(name, "host")
    for port in ("x", "-1", "65536", "one"):
        twin(name, "host", port)
