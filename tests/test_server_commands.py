"""TIME, LOLWUT, SHUTDOWN, SLOWLOG and ROLE."""

from __future__ import annotations

import pytest

from pyredis.version import REDIS_VERSION
from tests.support import EngineClient, Node, Twin, new_client


def test_time(client: EngineClient) -> None:
    client.clock.advance(1234)
    assert client("TIME") == [b"1700000001", b"234000"]


def test_time_stands_still_in_transactions_and_scripts(client: EngineClient) -> None:
    client.engine.config.enable_debug_command = "yes"
    client.engine.host.sleep = lambda duration_s: client.clock.advance(1000)  # type: ignore[method-assign]
    ask = "redis.call('TIME')"
    script = f"local a = {ask} redis.call('DEBUG', 'SLEEP', 1) return {{a, {ask}}}"
    client.engine.switches.scripts_may_call_all = True
    first, second = client("EVAL", script, 0)
    assert first == second
    client("MULTI")
    for request in ("TIME", "DEBUG SLEEP 1", "TIME"):
        client(*request.split())
    third, _, fourth = client("EXEC")
    assert second < third == fourth < client("TIME")


def test_role(twin: Twin) -> None:
    twin("ROLE")


def test_lolwut(client: EngineClient) -> None:
    for args in ([], ["VERSION", 5], ["VERSION", 30, 10, 2], ["nonsense"]):
        assert client("LOLWUT", *args).decode().endswith(f"Redis ver. {REDIS_VERSION}\n")
    assert client("LOLWUT", "VERSION", 90, 7, 2).decode().startswith("  ▄▀▄\n▄▀▄ ▄▀▄\n\n")
    client.session.resp3 = True
    kind, text = client("LOLWUT")
    assert kind == "verbatim"
    assert text.startswith(b"txt:")


def test_lolwut_error(twin: Twin) -> None:
    twin("LOLWUT", "VERSION", "5x")


@pytest.mark.parametrize(
    "words", ["nope", "NOSAVE SAVE", "ABORT NOW", "ABORT", "ABORT ABORT", "NOW FORCE nope"]
)
def test_shutdown_errors(twin: Twin, words: str) -> None:
    twin("SHUTDOWN", *words.split())
    assert twin.ours.engine.exit_status is None


@pytest.mark.parametrize("words", ["", "NOSAVE", "nosave now force"])
def test_shutdown(client: EngineClient, words: str) -> None:
    lines: list[str] = []
    client.engine.log = lambda level, text: lines.append(text)
    client.send("SHUTDOWN", *words.split())
    assert client.replies() == []
    assert client.engine.exit_status == 0
    assert lines == ["User requested shutdown..."]


def test_shutdown_that_cannot_save(client: EngineClient) -> None:
    assert client("SHUTDOWN", "SAVE") == b"ERR Errors trying to SHUTDOWN. Check logs."
    assert client.engine.exit_status is None


def test_shutdown_for_real() -> None:
    node = Node()
    try:
        with pytest.raises(ConnectionError):
            node.client()("SHUTDOWN", "NOSAVE")
        assert node.finish() == 0
        assert "ready to exit, bye bye" in node.log
    finally:
        node.close()


def test_slowlog() -> None:
    client = new_client(slowlog_log_slower_than=0, slowlog_max_len=3)
    client("CLIENT", "SETNAME", "me")
    client("SLOWLOG", "RESET")
    client("SET", "a", "1")
    assert client("SLOWLOG", "LEN") == 2  # with SLOWLOG RESET itself
    latest = client("SLOWLOG", "GET", 2)
    assert latest[0][3] == [b"SLOWLOG", b"LEN"]
    number, time_s, duration_us, argv, peer, name = latest[1]
    assert (time_s, duration_us) == (1_700_000_000, 0)
    assert argv == [b"SET", b"a", b"1"]
    assert (peer, name) == (b"127.0.0.1:50000", b"me")
    assert latest[0][0] == number + 1
    assert client("SLOWLOG", "LEN") == 3
    assert len(client("SLOWLOG", "GET")) == 3
    assert len(client("SLOWLOG", "GET", -1)) == 3
    assert client("SLOWLOG", "GET", 0) == []


def test_slowlog_switched_off_and_threshold() -> None:
    client = new_client(slowlog_log_slower_than=-1)
    client("SET", "a", "1")
    assert client("SLOWLOG", "LEN") == 0
    client("CONFIG", "SET", "slowlog-log-slower-than", 1000)
    client("SET", "a", "1")
    assert client("SLOWLOG", "LEN") == 0


def test_slowlog_shortens(client: EngineClient) -> None:
    client("CONFIG", "SET", "slowlog-log-slower-than", 0)
    client("SLOWLOG", "RESET")
    client("SADD", "s", *range(40))
    client("SET", "long", "x" * 200)
    long, many = client("SLOWLOG", "GET", 2)
    assert long[3][2] == b"x" * 128 + b"... (72 more bytes)"
    assert many[3][-1] == b"... (11 more arguments)"
    assert len(many[3]) == 32


def test_slowlog_errors(twin: Twin) -> None:
    for words in ("", "nope", "GET -2", "GET x", "GET 1 2", "LEN 1"):
        twin("SLOWLOG", *words.split())


def test_help(client: EngineClient) -> None:
    assert b"GET [<count>]" in client("SLOWLOG", "HELP")
