"""The cluster's commands outside a cluster."""

from __future__ import annotations

import pytest

from pyredis.server import command_table
from tests.support import EngineClient, Twin

NAMES = [
    entry.spec.name
    for entry in command_table().all()
    if entry.spec.group == "cluster" or entry.spec.name == "ASKING"
]


@pytest.mark.parametrize("name", NAMES)
def test_disabled(twin: Twin, client: EngineClient, name: str) -> None:
    """Arity is looked at first, then there is one answer for all."""
    if name == "CLUSTER MYSHARDID":  # newer than the reference
        assert client("CLUSTER", "MYSHARDID") == b"ERR This instance has cluster support disabled"
        return
    for count in range(4):
        twin(*name.split(), *["1"] * count)


def test_unknown(twin: Twin) -> None:
    twin("CLUSTER", "NOTHING")
