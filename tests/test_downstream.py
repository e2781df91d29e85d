"""What is known of a replica: its address, its name for the log, its phase and its lag."""

from __future__ import annotations

import pytest

from pyredis.replication.downstream import Downstream, Phase
from pyredis.session import Address
from tests.support import new_engine


def a_replica(peer: str = "10.0.0.7:50000", now_ms: int = 5000) -> Downstream:
    engine, _ = new_engine()
    return Downstream(engine.connect(Address(peer, "10.0.0.1:6379")), now_ms)


@pytest.mark.parametrize(
    ("peer", "announced", "port", "name"),
    [
        ("10.0.0.7:50000", "", 6380, "10.0.0.7:6380"),
        ("10.0.0.7:50000", "", 0, "10.0.0.7:<unknown-replica-port>"),
        ("10.0.0.7:50000", "replica.example", 6380, "replica.example:6380"),
        ("[::1]:50000", "", 6380, "::1:6380"),
    ],
)
def test_where_it_can_be_reached(peer: str, announced: str, port: int, name: str) -> None:
    replica = a_replica(peer)
    replica.announced_host, replica.port = announced, port
    assert replica.name == name
    assert replica.host == name.rpartition(":")[0]


def test_a_session_that_has_said_something_is_no_replica_yet() -> None:
    replica = a_replica()
    assert not replica.attached
    assert not replica.online
    replica.phase = Phase.WAIT_START
    assert replica.attached
    assert not replica.online
    replica.phase = Phase.ONLINE
    assert replica.online


def test_words_for_the_phases() -> None:
    shown = [phase.shown for phase in Phase]
    assert shown == ["", "wait_bgsave", "wait_bgsave", "send_bulk", "online"]


def test_lag_is_told_in_seconds_and_never_negative() -> None:
    replica = a_replica(now_ms=5900)
    assert replica.lag_s(6000) == 1
    assert replica.lag_s(5999) == 0
    assert replica.lag_s(1000) == 0
