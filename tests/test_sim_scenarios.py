"""The situations of replication, one scenario each, in the simulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyredis.server import command_table
from pyredis.sim.cli import SHIPPED
from pyredis.sim.node import Tables
from pyredis.sim.scenario import parse_scenario
from pyredis.sim.simulation import Simulation
from tests.support import ROOT

FILES = [*sorted((ROOT / "tests" / "scenarios").glob("*.txt")), *sorted(SHIPPED.glob("*.txt"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    tables = Tables(command_table)
    for seed in (1, 2):
        scenario = parse_scenario(path.read_text(), path.name)
        outcome = Simulation(scenario, seed, tables=tables).run()
        assert outcome.well, f"seed {seed}: {outcome.violations[0]}"
