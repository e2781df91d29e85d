"""The files of the append-only log: old ones, foreign ones, superfluous ones."""

from __future__ import annotations

import contextlib
import errno

from pyredis.sim.disk import PowerCut, SimDisk
from tests.simlog import (
    FOLDER,
    SET_A,
    again,
    manifest,
    names,
    put,
    rewrite,
)
from tests.simserver import SimServer


def test_an_old_single_file_moves_in() -> None:
    disk = SimDisk()
    put(disk, "appendonly.aof", SET_A)
    made = SimServer(disk)
    assert made("GET", "a") == b"1"
    assert "appendonly.aof" not in disk.files()
    assert manifest(disk) == (
        "file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    made("SET", "b", 2)
    assert again(made)("MGET", "a", "b") == [b"1", b"2"]


def test_an_interrupted_upgrade_goes_on() -> None:
    disk = SimDisk()
    put(disk, "appendonly.aof", SET_A)
    put(disk, FOLDER + "appendonly.aof.manifest", b"file appendonly.aof seq 1 type b\n")
    assert SimServer(disk)("GET", "a") == b"1"
    assert "appendonly.aof" not in disk.files()


def test_an_old_file_beside_a_new_log_is_left_alone() -> None:
    made = SimServer(SimDisk())
    put(made.disk, "appendonly.aof", SET_A)
    assert again(made)("DBSIZE") == 0
    assert made.disk.files()["appendonly.aof"] == SET_A


def test_two_servers_in_one_folder() -> None:
    disk = SimDisk()
    one, two = SimServer(disk, appendfilename="one"), SimServer(disk, appendfilename="two")
    one("SET", "a", 1)
    two("SET", "a", 2)
    two("BGREWRITEAOF")
    two.children.finish()
    two.tick()
    disk.kill()
    assert SimServer(disk, appendfilename="one")("GET", "a") == b"1"
    assert SimServer(disk, appendfilename="two")("GET", "a") == b"2"


# History


def test_history_may_be_kept() -> None:
    made = SimServer(SimDisk(), aof_disable_auto_gc="yes")
    made("BGREWRITEAOF")
    made.children.finish()
    made.tick()
    assert manifest(made.disk).count("type h") == 2
    assert len(names(made.disk)) == 5
    made = again(made)
    assert len(names(made.disk)) == 3


def test_history_goes_as_soon_as_it_may() -> None:
    made = kept_history()
    made("CONFIG", "SET", "aof-disable-auto-gc", "no")
    assert len(names(made.disk)) == 3
    assert "type h" not in manifest(made.disk)


def kept_history() -> SimServer:
    """A server that has not deleted its history."""
    made = SimServer(SimDisk(), aof_disable_auto_gc="yes")
    made("SET", "a", 1)
    rewrite(made)
    assert len(names(made.disk)) == 5
    return made


def test_history_that_cannot_be_deleted_stays_listed() -> None:
    made = kept_history()
    made.disk.faults["remove"] = errno.EIO
    made = again(made)
    assert made.log[-1] == (
        "Can't remove appendonly.aof.1.incr.aof, appendonly.aof.1.base.rdb: the next rewrite or "
        "start tries again"
    )
    assert manifest(made.disk).count("type h") == 2
    made.disk.faults.clear()
    made = again(made)
    assert "type h" not in manifest(made.disk)
    assert len(names(made.disk)) == 3
    assert made("GET", "a") == b"1"


def test_history_that_is_gone_is_forgotten() -> None:
    made = kept_history()
    made.disk.remove(FOLDER + "appendonly.aof.1.base.rdb")
    made = again(made)
    assert "type h" not in manifest(made.disk)
    assert len(names(made.disk)) == 3


def test_no_crash_leaves_a_superfluous_file_for_good() -> None:
    """At each action on the disk in turn the process dies while it deletes its history."""
    for cut in range(20):
        made = kept_history()
        made.disk.kill()
        made.disk.cut_in = cut
        with contextlib.suppress(PowerCut):
            SimServer(made.disk, made.clock)
        made = again(made)
        assert "type h" not in manifest(made.disk)
        assert len(names(made.disk)) == 3
        assert made("GET", "a") == b"1"
