"""Admission: which gates a session has, their order, and what a rejection does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyredis import gates
from pyredis.gates import Pause, flags_of
from pyredis.resp import Error
from tests.support import EngineClient, new_client


def names(client: EngineClient) -> list[str]:
    """The gates of a client's session, in order."""
    return [gate.__name__ for gate in client.session.gates]


def test_a_plain_session_has_no_gates(client: EngineClient) -> None:
    assert names(client) == []
    client("HELLO", 3)
    client("SUBSCRIBE", "a")
    assert names(client) == []


def test_the_order_of_gates() -> None:
    client = new_client(requirepass="x")

    def server_gate(*args: Any) -> None:
        return None

    client.engine.gates.append(server_gate)
    client.session.multi = []
    client.session.monitor = True
    client.session.channels[b"a"] = None
    client.engine.serving.set_pause("test", client.engine.now_ms + 10, True)
    assert names(client) == [
        "require_auth",
        "forbid_in_multi",
        "server_gate",
        "subscribed_resp2",
        "streamed_to",
        "paused",
        "queue_in_multi",
    ]


def test_some_modes_only_keep_a_session_off_the_hot_path(client: EngineClient) -> None:
    client("CLIENT", "NO-TOUCH", "ON")
    assert names(client) == ["always"]
    client("CLIENT", "NO-TOUCH", "OFF")
    client.send("CLIENT", "REPLY", "OFF")
    assert names(client) == ["always"]
    client.send("CLIENT", "REPLY", "ON")
    other = client.another()
    other("MONITOR")
    assert names(client) == ["always"]
    client.engine.disconnect(other.session)
    assert names(client) == []


def full(engine: Any, session: Any, entry: Any, argv: list[bytes]) -> Any:
    """A gate like that of maxmemory."""
    return Error("OOM no") if "denyoom" in flags_of(engine, session, entry, argv) else None


def test_a_rejection_is_counted_and_spoils_the_transaction(client: EngineClient) -> None:
    engine = client.engine
    client("MULTI")
    engine.gates.append(full)
    engine.refresh_all()
    assert client("SET", "a", "1") == b"OOM no"
    engine.gates.clear()
    engine.refresh_all()
    assert client("EXEC") == b"EXECABORT Transaction discarded because of previous errors."
    assert engine.table.entries["SET"].rejected == 1
    assert engine.table.entries["SET"].calls == 0
    assert engine.stats.errors == {"OOM": 1, "EXECABORT": 1}


def test_exec_weighs_as_much_as_its_queue(client: EngineClient) -> None:
    client("MULTI")
    client("SET", "a", "1")
    client.engine.gates.append(full)
    client.engine.refresh_all()
    assert client("EXEC") == b"EXECABORT Transaction discarded because of: OOM no"
    assert client("GET", "a") is None
    assert client("EXEC") == b"ERR EXEC without MULTI"


def test_not_in_a_transaction_at_all(client: EngineClient) -> None:
    entry = client.engine.table.entries["PING"]
    object.__setattr__(entry.spec, "flags", entry.spec.flags | {"no_multi"})
    try:
        assert client("PING") == b"PONG"
        client("MULTI")
        assert client("PING") == b"ERR Command not allowed inside a transaction"
        assert client("EXEC").startswith(b"EXECABORT")
    finally:
        object.__setattr__(entry.spec, "flags", entry.spec.flags - {"no_multi"})


def test_flags_of_exec(client: EngineClient) -> None:
    execute = client.engine.table.entries["EXEC"]
    assert "write" not in flags_of(client.engine, client.session, execute, [b"EXEC"])
    client("MULTI")
    client("GET", "a")
    client("INCR", "a")
    assert {"write", "readonly", "denyoom"} <= flags_of(
        client.engine, client.session, execute, [b"EXEC"]
    )


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 50), st.booleans()), min_size=1, max_size=6
    ),
    st.integers(0, 60),
)
def test_pauses_end_one_by_one(calls: list[tuple[str, int, bool]], now_ms: int) -> None:
    pause = Pause()
    model: dict[str, tuple[int, bool]] = {}
    for reason, until_ms, everything in calls:
        pause.set(reason, until_ms, everything)
        old = model.get(reason, (0, False))
        model[reason] = (max(old[0], until_ms), old[1] or everything)
    assert pause.end_ms() == min(until for until, _ in model.values())
    left = {reason: state for reason, state in model.items() if state[0] > now_ms}
    assert pause.expire(now_ms) == (len(left) < len(model))
    assert pause.reasons == left
    assert pause.active == bool(left)
    assert pause.pauses_writes == bool(left)


def test_postponed_is_not_a_reply() -> None:
    assert gates.POSTPONED.keys == ()
    assert gates.POSTPONED.deadline_ms == 0


@pytest.mark.parametrize(
    ("declared", "runs"), [("", False), (" flags=no-writes", True), (" flags=allow-oom", False)]
)
def test_a_script_is_judged_by_what_it_declares(
    client: EngineClient, declared: str, runs: bool
) -> None:
    script = f"#!lua{declared}\nreturn 1"
    digest = client("SCRIPT", "LOAD", script)
    code = "redis.register_function{function_name='f', callback=function() return 1 end, %s}"
    flags = "flags={'no-writes'}" if runs else ""
    client("FUNCTION", "LOAD", "#!lua name=l\n" + code % flags)
    requests = (("EVAL", script, 0), ("EVALSHA", digest, 0), ("FCALL", "f", 0))
    client("CONFIG", "SET", "min-replicas-to-write", 1)
    for request in requests:
        client("MULTI")
        queued = client(*request)
        assert queued == (b"QUEUED" if runs else gates.NOREPLICAS.encode())
        assert client("EXEC")[:1] == ([1] if runs else b"E")
    client("CONFIG", "SET", "min-replicas-to-write", 0)
    for request in requests:
        client("MULTI")
        assert client(*request) == b"QUEUED"
        client.another()("CONFIG", "SET", "min-replicas-to-write", 1)
        assert (client("EXEC") == [1]) is runs
        client("CONFIG", "SET", "min-replicas-to-write", 0)
    for request in (("EVAL", "return 1", 0), ("EVAL", "#!what", 0), ("EVALSHA", "0", 0)):
        client("MULTI")
        assert client(*request) == b"QUEUED", "it says nothing, so it is judged as it runs"
        client("DISCARD")
