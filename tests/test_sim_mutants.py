"""Servers with a defect: each is found, by the checker whose affair it is.

Where ``test_sim_checkers.py`` plants wrong *states*, the code itself is wrong here, as it would
be, and nobody says when it will matter: the seeds of a campaign, or a scenario, have to find it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pyredis.persistence.aof import AofFeed
from pyredis.replication.downstream import Phase
from pyredis.replication.history import History
from pyredis.replication.node import Replication
from pyredis.replication.primary import Primary
from pyredis.sim.campaign import random_scenario
from pyredis.sim.cli import SHIPPED
from pyredis.sim.scenario import Scenario, parse_scenario
from pyredis.sim.simulation import Simulation

SEEDS = range(1, 61)
FAILOVER = """\
nodes a b
config b: replicaof {a}
config *: repl-diskless-sync-delay 0
load w to primary rate 20 until 5s
at 6s kill a
at 7s b: REPLICAOF NO ONE
"""


def nobody_may_go_on(history: History, *asked: Any) -> str:
    return "no"


def whoever_asks_may_go_on(history: History, backlog: Any, replid: str, offset: int) -> str:
    return "" if backlog is not None and backlog.holds(offset) else "no"


def the_old_name_stays_valid_for_too_long(history: History, replid: str) -> None:
    history.replid2, history.second_offset = history.replid, history.offset + 500
    history.replid = replid


def whoever_is_online_counts(primary: Primary, offset: int) -> int:
    return sum(each.phase is Phase.ONLINE for each in primary.replicas.values())


def nothing_is_synced(feed: AofFeed, now_ms: int) -> None:
    feed._is_safe(feed.good_size, feed.offset_source())


def deletions_are_not_passed_on(
    primary: Primary, db_index: int, wire: bytes, head: bytes = b""
) -> None:
    if b"\r\nDEL\r\n" not in wire:
        take(primary, db_index, wire, head)


def ttls_are_passed_on_a_little_wrong(
    primary: Primary, db_index: int, wire: bytes, head: bytes = b""
) -> None:
    wrong = re.sub(rb"(\$4\r\nPXAT\r\n\$13\r\n\d{12})\d", rb"\g<1>7", wire)
    take(primary, db_index, wrong, head)


def a_promotion_forgets_ledgers(replication: Replication) -> None:
    unfollow(replication)
    data = replication.engine.ks.dbs[0].data
    for key in [key for key in data if key.startswith(b"ledger:")]:
        del data[key]


def failing(primary: Primary) -> None:
    raise ArithmeticError("a defect")


take, unfollow = Primary.take, Replication.unfollow


def campaign() -> Iterator[tuple[int, Scenario]]:
    return ((seed, random_scenario(seed)) for seed in SEEDS)


def power_cuts() -> Iterator[tuple[int, Scenario]]:
    scenario = parse_scenario((SHIPPED / "power-cuts.txt").read_text())
    return ((seed, scenario) for seed in SEEDS[:5])


def failover() -> Iterator[tuple[int, Scenario]]:
    return iter([(1, parse_scenario(FAILOVER))])


@pytest.mark.parametrize(
    ("place", "mutant", "runs", "kinds"),
    [
        ((History, "refusal"), nobody_may_go_on, campaign, {"full-sync"}),
        (
            (History, "refusal"),
            whoever_asks_may_go_on,
            campaign,
            {"same-stream", "equal-data", "defect"},
        ),
        (
            (History, "rename"),
            the_old_name_stays_valid_for_too_long,
            campaign,
            {"same-stream", "equal-data", "lost-write"},
        ),
        ((Primary, "count_acked"), whoever_is_online_counts, campaign, {"wait"}),
        ((AofFeed, "_sync_if_due"), nothing_is_synced, power_cuts, {"restart"}),
        ((Primary, "take"), deletions_are_not_passed_on, campaign, {"equal-data"}),
        ((Primary, "take"), ttls_are_passed_on_a_little_wrong, campaign, {"equal-data"}),
        ((Replication, "unfollow"), a_promotion_forgets_ledgers, failover, {"lost-write"}),
        ((Primary, "cron"), failing, campaign, {"defect"}),
    ],
)
def test_a_defect_is_found(
    monkeypatch: pytest.MonkeyPatch,
    place: tuple[type, str],
    mutant: Callable[..., Any],
    runs: Callable[[], Iterator[tuple[int, Scenario]]],
    kinds: set[str],
) -> None:
    assert all(Simulation(scenario, seed).run().well for seed, scenario in list(runs())[:1])
    monkeypatch.setattr(*place, mutant)
    outcomes = (Simulation(scenario, seed).run() for seed, scenario in runs())
    violation = next((each.violations[0] for each in outcomes if not each.well), None)
    assert violation is not None, "nobody has noticed"
    assert violation.kind in kinds, str(violation)
