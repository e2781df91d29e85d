"""The live end of the append-only file: what is written when, what is safe when, what fails how."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from pyredis.resp import encode_command
from pyredis.sim.disk import SimDisk
from tests.disks import safe_bytes
from tests.simserver import SimServer

INCREMENT = "appendonlydir/appendonly.aof.1.incr.aof"
ENOSPC_TEXT = b"MISCONF Errors writing to the AOF file: No space left on device"


def server(**settings: Any) -> SimServer:
    return SimServer(SimDisk(), **settings)


def written(made: SimServer) -> bytes:
    return made.disk.files()[INCREMENT]


def after_power_cut(made: SimServer) -> bytes:
    """What the medium holds at the least."""
    return safe_bytes(made.disk, INCREMENT)


def wire(*commands: tuple[bytes, ...]) -> bytes:
    return b"".join(encode_command(command) for command in commands)


def info(made: SimServer, name: str) -> str:
    text: str = made("INFO", "persistence").decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)[name]


# What is written


def test_the_database_is_selected_when_it_changes() -> None:
    made = server()
    made("SET", "a", 1)
    made("SET", "b", 2)
    made("SELECT", 3)
    made("SET", "a", 1)
    assert written(made) == wire(
        (b"SELECT", b"0"),
        (b"SET", b"a", b"1"),
        (b"SET", b"b", b"2"),
        (b"SELECT", b"3"),
        (b"SET", b"a", b"1"),
    )


def test_a_batch_is_one_write() -> None:
    made = server()
    before = made.disk.actions
    made.feed(*(("SET", f"k{at}", at) for at in range(50)))
    assert made.disk.actions == before + 1


def test_a_transaction_stays_together() -> None:
    made = server()
    made.feed(("MULTI",), ("INCR", "a"), ("GET", "a"), ("INCR", "b"), ("EXEC",))
    commands = (b"INCR", b"a"), (b"INCR", b"b"), (b"EXEC",)
    assert written(made).endswith(wire((b"MULTI",), (b"SELECT", b"0"), *commands))


def test_what_changes_no_data_is_not_written() -> None:
    made = server()
    made("PUBLISH", "channel", "message")
    made("GET", "a")
    made("DEL", "a")
    assert written(made) == b""


def test_expiry_is_written_as_a_deletion() -> None:
    made = server()
    made("SET", "a", 1, "PX", 100)
    made.clock.advance(200)
    made("GET", "a")
    assert written(made).endswith(wire((b"DEL", b"a")))


def test_timestamps() -> None:
    made = server(aof_timestamp_enabled="yes")
    now_s = made.clock.time_ms // 1000
    made("SET", "a", 1)
    made("SET", "a", 2)
    made.clock.advance(1000)
    made("SET", "a", 3)
    stamps = [line for line in written(made).split(b"\r\n") if line.startswith(b"#")]
    assert stamps == [b"#TS:%d" % now_s, b"#TS:%d" % (now_s + 1)]
    assert written(made).startswith(b"#TS:")


# What is safe


def test_always_is_safe_before_the_reply() -> None:
    made = server(appendfsync="always")
    for number in range(5):
        made("SET", "a", number)
        assert after_power_cut(made) == written(made)


def test_everysec_syncs_beside_and_once_a_second() -> None:
    made = server()
    made("SET", "a", 1)
    made.tick(500)
    assert not made.disk.pending
    assert after_power_cut(made) == b""
    made.tick(600)
    assert len(made.disk.pending) == 1
    assert info(made, "aof_pending_bio_fsync") == "1"
    made.disk.finish_syncs()
    assert after_power_cut(made) == written(made) != b""
    made.tick(1100)
    assert not made.disk.pending  # there is nothing new


def test_a_write_waits_for_a_sync_for_two_seconds_at_most() -> None:
    made = server()
    made("SET", "a", 1)
    made.tick(1100)
    before = written(made)
    made("SET", "a", 2)
    for _ in range(19):
        made.tick(100)
    assert written(made) == before
    assert info(made, "aof_buffer_length") == str(len(wire((b"SET", b"a", b"2"))))
    made.tick(100)
    assert written(made) == before + wire((b"SET", b"a", b"2"))
    assert info(made, "aof_delayed_fsync") == "1"
    assert "Asynchronous AOF fsync is taking too long" in made.log[-1]


def test_a_write_waits_no_longer_than_the_sync() -> None:
    made = server()
    made("SET", "a", 1)
    made.tick(1100)
    made("SET", "a", 2)
    made.disk.finish_syncs()
    made.tick(100)
    assert written(made).endswith(wire((b"SET", b"a", b"2")))
    assert info(made, "aof_delayed_fsync") == "0"


def test_no_policy_no_sync() -> None:
    made = server(appendfsync="no")
    made("SET", "a", 1)
    made.tick(5000)
    assert not made.disk.pending
    assert after_power_cut(made) == b""


def test_no_sync_beside_a_child_where_that_is_wanted() -> None:
    made = server(no_appendfsync_on_rewrite="yes", appendfsync="always")
    made("BGSAVE")
    made("SET", "a", 1)
    assert after_power_cut(made) == b""
    made.children.finish()
    made.tick()
    assert after_power_cut(made) == written(made)


def test_from_everysec_to_always() -> None:
    made = server()
    made("SET", "a", 1)
    made("CONFIG", "SET", "appendfsync", "always")
    assert after_power_cut(made) == written(made) != b""


# What fails


def test_full_disk() -> None:
    made = server()
    made("SET", "a", 1)
    good = written(made)
    made.disk.room_bytes = 10
    assert made("SET", "b", 2) == b"OK"  # it was run before it could be written
    assert written(made) == good
    assert made("SET", "c", 3) == ENOSPC_TEXT
    assert made("PING") == ENOSPC_TEXT
    assert made("GET", "b") == b"2"
    assert info(made, "aof_last_write_status") == "err"
    assert "Short write while writing to the AOF file: (nwritten=10, expected=27)" in made.log
    lines = len(made.log)
    made.tick(1100)
    assert len(made.log) == lines  # a line each half minute
    made.disk.room_bytes = None
    made.tick(1100)
    assert written(made) == good + wire((b"SET", b"b", b"2"))
    assert made("SET", "c", 3) == b"OK"
    assert "AOF write error looks solved, Redis can write again." in made.log
    assert info(made, "aof_last_write_status") == "ok"


def test_a_short_write_that_cannot_be_undone_is_gone_on_with() -> None:
    made = server()
    made.disk.room_bytes = 10
    made.disk.faults["truncate"] = errno.EIO
    made("SET", "b", 2)
    assert any("Could not remove short write" in line for line in made.log)
    made.disk.room_bytes = None
    made.tick(1100)
    assert written(made) == wire((b"SELECT", b"0"), (b"SET", b"b", b"2"))


def test_no_write_at_all() -> None:
    made = server()
    made.disk.faults["write"] = errno.EIO
    made("SET", "a", 1)
    assert "Error writing to the AOF file: Input/output error" in made.log
    assert made("SET", "a", 2) == b"MISCONF Errors writing to the AOF file: Input/output error"


@pytest.mark.parametrize("action", ["write", "sync"])
def test_always_ends_the_server_and_no_reply_leaves(action: str) -> None:
    made = server(appendfsync="always")
    made.disk.faults[action] = errno.EIO
    assert made.feed(("SET", "a", 1)) == []
    assert made.engine.exit_status == 1
    assert "Exiting..." in made.log[-1]


def test_always_ends_the_server_in_the_middle_of_a_pipeline() -> None:
    made = server(appendfsync="always")
    made.disk.faults["write"] = errno.EIO
    made.feed(("SET", "a", 1), ("BGREWRITEAOF",), ("SET", "b", 2))
    assert made.engine.exit_status == 1
    assert made.client.session.closing == "now"
    assert b"b" not in made.engine.ks.dbs[0].data


def test_a_sync_that_fails_beside() -> None:
    made = server()
    made("SET", "a", 1)
    made.disk.faults["sync"] = errno.EIO
    made.tick(1100)
    made.disk.finish_syncs()
    made.tick(100)
    assert made.log.count("Fail to fsync the AOF file: Input/output error") == 1
    assert made("SET", "a", 2) == b"MISCONF Errors writing to the AOF file: Input/output error"
    made.disk.faults.clear()
    made.tick(1100)
    made.disk.finish_syncs()
    made.tick(100)
    assert made("SET", "a", 2) == b"OK"


def test_what_is_safe_is_told_to_waitaof() -> None:
    made = server()
    assert made.feed(("SET", "a", 1)) == [b"OK"]
    assert made.feed(("WAITAOF", 1, 0, 0)) == []
    made.tick(1100)
    made.disk.finish_syncs()
    made.tick(100)
    assert made.client.replies() == [[1, 0]]


def test_flush_sleep() -> None:
    slept: list[float] = []
    made = server()
    made.engine.host.sleep = slept.append  # type: ignore[method-assign, assignment]
    made("DEBUG", "AOF-FLUSH-SLEEP", 2000)
    made.engine.aof.feed.flush_pause_us = 2000
    made("SET", "a", 1)
    assert slept == [0.002]


@pytest.mark.parametrize("count", [1, 3, 20])
@pytest.mark.parametrize("cut", [0, 5])
def test_pipelines_are_written_as_they_came(count: int, cut: int) -> None:
    made = server()
    commands = [(b"RPUSH", b"list", b"%d" % at) for at in range(count)]
    tail = encode_command((b"RPUSH", b"list", b"last"))
    made.engine.refresh_all()  # something has happened between two batches
    made.engine.begin_batch()
    made.engine.feed(made.client.session, wire(*commands) + tail[:cut])
    made.engine.feed(made.client.session, tail[cut:])
    made.engine.end_batch()
    assert written(made) == wire((b"SELECT", b"0"), *commands) + tail


def test_requests_that_change_nothing_are_left_out_of_a_pipeline() -> None:
    made = server()
    made.feed(*(("SADD", "set", at % 2) for at in range(10)))
    made.feed(*(("SETNX", f"k{at % 3}", at) for at in range(10)))
    assert made("SCARD", "set") == 2
    assert written(made) == wire(
        (b"SELECT", b"0"),
        (b"SADD", b"set", b"0"),
        (b"SADD", b"set", b"1"),
        *((b"SETNX", b"k%d" % at, b"%d" % at) for at in range(3)),
    )
