"""The base of the append-only log: written in either form, safe, or not there."""

from __future__ import annotations

import pytest

from pyredis.sim.disk import SimDisk
from tests.disks import safe_bytes
from tests.simlog import (
    FOLDER,
    again,
    names,
    rewrite,
)
from tests.simserver import SimServer


@pytest.mark.parametrize(("preamble", "suffix"), [("yes", "rdb"), ("no", "aof")])
def test_both_forms_hold_all_data(preamble: str, suffix: str) -> None:
    made = SimServer(SimDisk(), aof_use_rdb_preamble=preamble, aof_timestamp_enabled="yes")
    made("RPUSH", "a", 1, 2)
    rewrite(made)
    name = FOLDER + f"appendonly.aof.2.base.{suffix}"
    data = made.disk.files()[name]
    assert data.startswith(b"REDIS0010" if suffix == "rdb" else b"#TS:")
    assert safe_bytes(made.disk, name) == data
    assert again(made)("LRANGE", "a", 0, -1) == [b"1", b"2"]


def test_no_half_of_it_stays_behind() -> None:
    made = SimServer(SimDisk(), rdbcompression="no")
    made("SET", "a", "x" * 2000)
    made.disk.room_bytes = 1000  # enough for the manifest
    rewrite(made)
    assert "Write error writing append only file on disk: No space left on device" in made.log
    assert not any(name.startswith("temp") for name in names(made.disk))
