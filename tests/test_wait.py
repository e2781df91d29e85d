"""WAIT and WAITAOF of a node without replicas."""

from __future__ import annotations

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
