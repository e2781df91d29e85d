"""WAIT and WAITAOF of a node without replicas."""

from __future__ import annotations

from pyredis.sim.disk import SimDisk
from tests.group import Group
from tests.simserver import SimServer
from tests.support import EngineClient, Twin


def test_wait_replies_at_once(twin: Twin) -> None:
    twin("WAIT", 0, 0)
    twin("WAIT", -1, 0)
    for args in (("x", 0), (1, "x"), (1, -1), (0, 2**63), (0,)):
        twin("WAIT", *args)


def test_wait_in_vain(client: EngineClient) -> None:
    client.send("WAIT", 1, 100)
    client.tick(99)
    assert client.replies() == []
    client.tick(1)
    assert client.replies() == [0]


def test_wait_inside_a_transaction_that_writes() -> None:
    group = Group()
    primary, _ = group.pair()
    for name, arguments in (("WAIT", "1 0"), ("WAITAOF", "0 1 0")):
        reply = primary.client.pipeline("MULTI", "SET a 1", f"{name} {arguments}", "EXEC")[-1]
        assert reply[1] in (0, [0, 0]), "what the transaction writes is on its way nowhere yet"
    assert primary.client.pipeline("MULTI", "GET a", "WAIT 1 0", "EXEC")[-1] == [b"1", 1]
    script = "redis.call('SET', 'a', 2) return redis.call('WAIT', 1, 0)"
    assert primary("EVAL", script, 0) == 0
    assert primary("EVAL", "return redis.call('WAITAOF', 0, 1, 0)", 0) == [0, 1]


def test_waitaof(client: EngineClient) -> None:
    assert client("WAITAOF", 0, 0, 0) == [0, 0]
    assert client("WAITAOF", 2, 0, 0) == b"ERR value is out of range, value must between 0 and 1"
    assert client("WAITAOF", 0, -1, 0) == b"ERR value is out of range, must be positive"
    assert client("WAITAOF", 0, 0, -1) == b"ERR timeout is negative"
    assert client("WAITAOF", 0, 1, 2**63 - 1) == b"ERR timeout is out of range"
    assert client("WAITAOF", 1, 0, 0) == (
        b"ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."
    )
    client.send("WAITAOF", 0, 1, 50)
    client.tick(50)
    assert client.replies() == [[0, 0]]


def test_what_comes_behind_waitaof_has_its_turn_at_once() -> None:
    made = SimServer(SimDisk(), appendfsync="always")
    assert made.feed(("SET", "a", 1), ("WAITAOF", 1, 0, 0), ("GET", "a")) == [b"OK", [1, 0]]
    assert made.engine.deadline_ms() == made.clock.now_ms()
    made.client.tick()
    assert made.client.replies() == [b"1"]


def test_waitaof_when_the_log_is_switched_off() -> None:
    made = SimServer(SimDisk(), appendfsync="no")
    made("SET", "a", 1)
    waiting = made.connect()
    waiting.session.write_offset = made.client.session.write_offset
    waiting.send("WAITAOF", 1, 0, 0)
    assert waiting.replies() == []
    made("CONFIG", "SET", "appendonly", "no")
    error = b"ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."
    assert waiting.replies() == [error]
