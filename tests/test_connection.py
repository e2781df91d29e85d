"""Authentication, protocol versions, databases, PING; replies compared with real Redis."""

from __future__ import annotations

import pytest

from pyredis.resp import encode_command
from pyredis.version import REDIS_VERSION
from tests.support import EngineClient, RealRedis, ReplyError, Twin, WireClient, new_client

HELLO_KEYS = [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]
WRONG = ReplyError(b"WRONGPASS invalid username-password pair or user is disabled.")
NOAUTH = ReplyError(b"NOAUTH Authentication required.")


@pytest.mark.parametrize(
    "line",
    [
        "PING",
        "PING hi",
        "PING a b",
        "ECHO",
        "ECHO hi",
        "AUTH",
        "AUTH x",
        "AUTH default x",
        "AUTH somebody x",
        "AUTH a b c",
        "HELLO x",
        "HELLO 1",
        "HELLO 4",
        "HELLO 99999999999999999999",
        "HELLO 3 FOO",
        "HELLO 3 AUTH x",
        "HELLO 3 AUTH somebody x",
        "HELLO 3 SETNAME",
        "HELLO 2 SETNAME a\x01",
        "HELLO 2 SETNAME a\x01 AUTH x y",
        "SELECT a",
        "SELECT 1.5",
        "SELECT 16",
        "SELECT -1",
        "SELECT 99999999999",
        "SELECT 3",
        "RESET x",
        "RESET",
    ],
)
def test_replies_are_those_of_redis(twin: Twin, line: str) -> None:
    twin(*line.split(" "))


def test_select_chooses_a_database(twin: Twin) -> None:
    twin("SET", "a", "0")
    twin("SELECT", 9)
    twin("GET", "a")
    twin("SET", "a", "9")
    twin("SELECT", 0)
    assert twin("GET", "a") == b"0"


def test_hello_greets_in_the_version_asked_for(client: EngineClient) -> None:
    kind, pairs = client("HELLO", 3, "AUTH", "default", "any", "SETNAME", "jo")
    assert kind == "map"
    assert [key for key, _ in pairs] == HELLO_KEYS
    assert dict(pairs)[b"server"] == b"redis"
    assert dict(pairs)[b"version"] == REDIS_VERSION.encode()
    assert dict(pairs)[b"proto"] == 3
    assert dict(pairs)[b"mode"] == b"standalone"
    assert dict(pairs)[b"role"] == b"master"
    assert dict(pairs)[b"id"] == client("CLIENT", "ID")
    assert client("CLIENT", "GETNAME") == b"jo"
    assert client("HELLO")[0] == "map"
    assert client("HELLO", 2)[::2] == HELLO_KEYS


def test_a_failing_hello_changes_nothing(client: EngineClient) -> None:
    client("HELLO", 3, "SETNAME", "jo", "AUTH", "somebody", "x")
    assert client("CLIENT", "GETNAME") is None
    bad_name = client("HELLO", 3, "AUTH", "somebody", "x", "SETNAME", "a b")
    assert bad_name.startswith(b"ERR Client names")  # names are looked at first since 7.2
    assert not client.session.resp3


def test_password() -> None:
    client = new_client(requirepass="secret")
    assert client("PING") == NOAUTH
    assert client("HELLO", 3).startswith(b"NOAUTH HELLO must be called with the client already")
    assert client("HELLO", 9) == b"NOPROTO unsupported protocol version"
    assert client("AUTH", "guess") == WRONG
    assert client("HELLO", 3, "AUTH", "default", "guess") == WRONG
    assert client("EXEC") == b"EXECABORT Transaction discarded because of: " + NOAUTH
    assert client("NOSUCH").startswith(b"ERR unknown command")
    assert client("GET") == b"ERR wrong number of arguments for 'get' command"
    assert client("AUTH", "secret") == b"OK"
    assert client("PING") == b"PONG"
    assert client("AUTH", "guess") == WRONG
    assert client("PING") == b"PONG"
    assert client("RESET") == b"RESET"
    assert client("PING") == NOAUTH
    assert client("HELLO", 3, "AUTH", "default", "secret")[0] == "map"
    assert client("PING") == b"PONG"


def test_setting_and_lifting_the_password() -> None:
    early = new_client()
    early.engine.config.set([("requirepass", "secret")])
    late = early.another()
    assert early("PING") == b"PONG"
    assert late("PING") == NOAUTH
    early.engine.config.set([("requirepass", "")])
    assert late("PING") == b"PONG"
    early.engine.config.set([("requirepass", "other")])
    assert late("PING") == NOAUTH


def test_before_auth_requests_must_be_small() -> None:
    client = new_client(requirepass="secret")
    wire = client.raw(b"*11\r\n")
    assert wire == b"-ERR Protocol error: unauthenticated multibulk length\r\n"
    assert client.session.closing


def test_binary_password() -> None:
    client = new_client()
    client.engine.config.set([("requirepass", b"p\xff\x00".decode("utf-8", "surrogateescape"))])
    other = client.another()
    assert other("AUTH", b"p\xff") == WRONG
    assert other("AUTH", b"p\xff\x00") == b"OK"


def test_quit_answers_and_ignores_what_follows(client: EngineClient) -> None:
    wire = client.raw(encode_command([b"PING"]) + encode_command([b"QUIT"]) + b"PING\r\n")
    assert wire == b"+PONG\r\n+OK\r\n"
    assert client.engine.take_doomed() == [client.session]
    assert client.session.closing == "reply"
    assert client.raw(b"PING\r\n") == b""


def test_reset_ends_every_mode(twin: Twin) -> None:
    twin("CLIENT", "SETNAME", "jo")
    twin("SELECT", 3)
    twin("WATCH", "k")
    twin("CLIENT", "NO-EVICT", "ON")
    twin.messages(3, "SUBSCRIBE", "a", "b", "c")
    twin("RESET")
    twin("CLIENT", "GETNAME")
    twin("MULTI")
    twin("GET", "k")
    twin("RESET")
    twin("EXEC")
    twin.messages(0, "CLIENT", "REPLY", "OFF")
    twin("RESET")
    twin("MONITOR")
    twin("RESET")
    twin("SET", "k", "v")
    session = twin.ours.session
    assert session.db.index == 0
    assert not session.gates
    assert not session.no_evict
    assert not twin.ours.engine.pubsub.channels
    assert not twin.ours.engine.monitors


def test_reset_returns_to_resp2(client: EngineClient) -> None:
    client("HELLO", 3)
    client("CLIENT", "NO-TOUCH", "ON")
    assert client.raw(b"RESET\r\n") == b"+RESET\r\n"
    assert client.raw(b"GET nokey\r\n") == b"$-1\r\n"
    assert not client.session.no_touch


def test_ping_of_a_subscriber(twin: Twin) -> None:
    twin("SSUBSCRIBE", "s")
    assert twin("PING") == [b"pong", b""]
    assert twin("PING", "x") == [b"pong", b"x"]
    twin("SUNSUBSCRIBE")
    assert twin("PING", "x") == b"x"


def test_real_redis_agrees_on_passwords(real_redis: RealRedis) -> None:
    ours = new_client()
    real = real_redis.client()
    real("CONFIG", "SET", "requirepass", "secret")
    ours.engine.config.set([("requirepass", "secret")])
    try:
        late = Twin(WireClient(real_redis.port), ours.another())
        for line in ("PING", "EXEC", "MULTI", "AUTH x", "AUTH x secret", "AUTH default secret"):
            late(*line.split(" "))
        late("MULTI")
        late("AUTH", "wrong")
        late("EXEC")
    finally:
        real("CONFIG", "SET", "requirepass", "")
