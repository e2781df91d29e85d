"""The active expire cycle."""

from __future__ import annotations

import pytest

from pyredis.expire import ActiveExpire
from pyredis.ports import ManualClock
from tests.observe import Observer
from tests.support import EngineClient


class TickingClock(ManualClock):
    """Each look at it takes a fixed time."""

    def __init__(self, step_us: int) -> None:
        super().__init__()
        self.step_us = step_us
        self.spent_us = 0

    def steady_ns(self) -> int:
        self.spent_us += self.step_us
        return self.spent_us * 1000


def _fill(client: EngineClient, count: int, ttl_ms: int, prefix: str = "k") -> None:
    for n in range(count):
        client("SET", f"{prefix}{n}", 1)
        client("PEXPIRE", f"{prefix}{n}", ttl_ms)


def test_cron_deletes_what_nobody_asks_for(client: EngineClient) -> None:
    _fill(client, 500, 10)
    client("SET", "stays", 1)
    observer = Observer(client)
    client.tick(10)
    client.engine.cron()
    assert client("DBSIZE") == 1
    assert client.engine.ks.expired == 500
    assert observer.events().count("0:k7 expired") == 1
    commands = observer.propagated()
    assert "0:DEL k7" in commands
    assert len(commands) == 500  # each by itself, without MULTI
    client.engine.ks._check()


def test_it_goes_on_while_more_than_a_tenth_is_dead(client: EngineClient) -> None:
    _fill(client, 400, 1_000_000, "alive")
    client.tick(1)
    engine = client.engine
    engine.cron()
    db = engine.ks.dbs[0]
    first = db.expires_cursor
    assert first == 400 - 20  # one page was enough
    _fill(client, 100, 1, "dead")
    client.tick(1)
    engine.cron()
    engine.cron()
    for _ in range(30):
        engine.cron()
    assert len(db.data) == 400


def test_all_databases_get_their_turn_when_time_is_short(client: EngineClient) -> None:
    ks = client.engine.ks
    for db in ks.dbs:
        for n in range(1000):
            db.put(b"%d" % n, b"x")
            db.set_expiry(b"%d" % n, ks.now_ms)
    cycle = ActiveExpire(ks, TickingClock(30_000), client.engine.close_unit)
    assert cycle.run("slow", 10, 1) == 20  # the clock is read after each page
    assert cycle.time_cap_reached == 1
    assert cycle.pressed
    assert [len(db.data) for db in ks.dbs][:3] == [980, 1000, 1000]
    cycle.run("slow", 10, 1)
    assert [len(db.data) for db in ks.dbs][:3] == [980, 980, 1000]


def test_effort_makes_pages_larger(client: EngineClient) -> None:
    _fill(client, 200, 1_000_000)
    ks = client.engine.ks
    cycle = ActiveExpire(ks, TickingClock(1), client.engine.close_unit)
    cycle.run("slow", 10, 10)
    assert ks.dbs[0].expires_cursor == 200 - 65


def test_fast_cycles_run_only_under_pressure(client: EngineClient) -> None:
    ks = client.engine.ks
    clock = TickingClock(0)
    cycle = ActiveExpire(ks, clock, client.engine.close_unit)

    def run_with_dead_keys() -> int:
        _fill(client, 10, 1)
        client.tick(1)
        ks.set_time(client.clock.now_ms())
        return cycle.run("fast", 10, 1)

    assert run_with_dead_keys() == 0
    cycle.stale_share = 0.5
    assert run_with_dead_keys() == 10
    cycle.stale_share = 0.5
    assert run_with_dead_keys() == 0  # not again within 2 ms
    clock.spent_us += 2000
    assert run_with_dead_keys() == 10


def test_statistics(client: EngineClient) -> None:
    _fill(client, 10, 1)
    _fill(client, 10, 5000, "long")
    client.tick(1)
    engine = client.engine
    engine.cron()
    # A page of 10 dead and 10 alive, and because of it another of the 10 that were left.
    assert engine.expire.stale_percent == pytest.approx(100 * 10 / 30 * 0.05)
    assert engine.ks.dbs[0].ttl_mean_ms == pytest.approx(4999)
    engine.cron()
    assert engine.expire.stale_percent == pytest.approx(100 * 10 / 30 * 0.05 * 0.95)
    client("FLUSHALL")
    engine.cron()
    assert engine.ks.dbs[0].ttl_mean_ms == 0
    engine.expire.reset_stats()
    assert engine.expire.stale_percent == 0


def test_when_it_must_not_run(client: EngineClient) -> None:
    _fill(client, 10, 1)
    client.tick(1)
    client.engine.ks.may_expire = False
    client.engine.cron()
    client.engine.ks.may_expire = True
    client.engine.expire.enabled = False
    client.engine.cron()
    assert client("DBSIZE") == 10
