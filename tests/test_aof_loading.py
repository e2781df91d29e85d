"""Reading the append-only log back: what failed, what is cut, what is fatal."""

from __future__ import annotations

from typing import Any

import pytest

from pyredis.persistence.loading import LoadError
from pyredis.resp import encode_command
from pyredis.sim.disk import SimDisk
from tests.simlog import (
    FOLDER,
    SET_A,
    again,
    put,
)
from tests.simserver import SimServer


def test_commands_that_fail_are_told_of() -> None:
    disk = SimDisk()
    bad = encode_command((b"LPUSH", b"a", b"1"))
    put(disk, FOLDER + "i", SET_A + bad + encode_command((b"SET", b"b", b"1")))
    put(disk, FOLDER + "appendonly.aof.manifest", b"file i seq 1 type i\n")
    made = SimServer(disk)
    assert made("MGET", "a", "b") == [b"1", b"1"]
    assert made.log[0].startswith("== CRITICAL == This server is sending an error")
    assert "WRONGTYPE" in made.log[0]
    assert "'lpush'" in made.log[0]
    assert made("INFO", "errorstats") == b"# Errorstats\r\n"


# Damage


def load_parts(*parts: bytes, **settings: Any) -> SimServer:
    disk = SimDisk()
    for number, data in enumerate(parts, 1):
        put(disk, f"{FOLDER}i{number}", data)
    lines = [f"file i{number} seq {number} type i\n" for number in range(1, len(parts) + 1)]
    put(disk, FOLDER + "appendonly.aof.manifest", "".join(lines).encode())
    return SimServer(disk, **settings)


MULTI = encode_command((b"MULTI",)) + encode_command((b"SET", b"b", b"1"))


@pytest.mark.parametrize("tail", [b"*3\r\n$3\r\nSE", MULTI, MULTI + b"*3\r", b"#TS:1"])
def test_the_last_part_is_cut(tail: bytes) -> None:
    made = load_parts(SET_A, SET_A + tail)
    assert made("KEYS", "*") == [b"a"]
    assert f"!!! Truncating the AOF i2 at offset {len(SET_A)} !!!" in made.log
    assert made.disk.files()[FOLDER + "i2"] == SET_A
    assert again(made)("KEYS", "*") == [b"a"]


def test_it_is_not_cut_where_that_is_not_wanted() -> None:
    with pytest.raises(LoadError, match="Unexpected end of file reading the append only file i1"):
        load_parts(SET_A[:-1], aof_load_truncated="no")


def test_another_part_is_never_cut() -> None:
    with pytest.raises(LoadError, match="the truncated file is not the last file"):
        load_parts(SET_A + b"*3", SET_A)


@pytest.mark.parametrize("tail", [b"hello\r\n", bytes(30), SET_A[:-10] + bytes(10)])
def test_malformed_bytes_are_fatal_unless_allowed(tail: bytes) -> None:
    with pytest.raises(
        LoadError, match="Bad file format reading the append only file i1"
    ) as caught:
        load_parts(SET_A + tail)
    assert "all is well up to offset" in str(caught.value)
    with pytest.raises(LoadError):
        load_parts(SET_A + tail, aof_load_corrupt_tail_max_size=3)
    made = load_parts(SET_A + tail, aof_load_corrupt_tail_max_size=1000)
    assert made("KEYS", "*") == [b"a"]
    with pytest.raises(LoadError):
        load_parts(SET_A + tail, SET_A, aof_load_corrupt_tail_max_size=1000)


def test_unknown_commands_and_missing_arguments_are_fatal() -> None:
    with pytest.raises(LoadError, match="Unknown command 'NOSUCH' reading the append only file i1"):
        load_parts(SET_A + encode_command((b"NOSUCH",)))
    with pytest.raises(LoadError, match="a set that has not its arguments"):
        load_parts(SET_A + encode_command((b"SET", b"a")))


def test_a_missing_part_is_fatal() -> None:
    disk = SimDisk()
    put(disk, FOLDER + "appendonly.aof.manifest", b"file i1 seq 1 type i\n")
    with pytest.raises(LoadError, match="Unable to obtain the AOF file i1 length"):
        SimServer(disk)


def test_a_damaged_base_is_fatal() -> None:
    made = SimServer(SimDisk())
    made("SET", "key", "value")
    made("BGREWRITEAOF")
    made.children.finish()
    made.tick()
    name = FOLDER + "appendonly.aof.2.base.rdb"
    data = made.disk.files()[name].replace(b"value", b"wrong")
    put(made.disk, name, data)
    with pytest.raises(
        LoadError, match=r"Error reading the RDB base file appendonly\.aof\.2\.base\.rdb"
    ):
        again(made)


def test_a_bad_manifest_is_fatal_even_with_the_log_off() -> None:
    disk = SimDisk()
    put(disk, FOLDER + "appendonly.aof.manifest", b"nonsense\n")
    with pytest.raises(LoadError, match="FATAL AOF MANIFEST FILE ERROR"):
        SimServer(disk, appendonly="no")
