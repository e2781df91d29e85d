"""Rights at work: on every way to a command, and when they change while they are in use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from pyredis.acl import AclError
from pyredis.resp import encode_command
from pyredis.session import Address
from tests.support import EngineClient, Node, Twin, WireClient, new_client
from tests.test_acl_commands import MemoryFiles

NO_KEY = b"NOPERM No permissions to access a key"
NO_CHANNEL = b"NOPERM No permissions to access a channel"
_REAL_KEY = b"NOPERM this user has no permissions to access one of the keys used as arguments"
_REAL_CHANNEL = (
    b"NOPERM this user has no permissions to access one of the channels used as arguments"
)


def no_command(name: str, user: str = "joe") -> bytes:
    return f"NOPERM User {user} has no permissions to run the '{name}' command".encode()


def become(client: EngineClient, *rules: str, name: str = "joe") -> EngineClient:
    """A new connection as a user with these rules, whom the client makes."""
    assert client("ACL", "SETUSER", name, "on", "nopass", *rules) == b"OK"
    other = client.another()
    assert other("AUTH", name, "any") == b"OK"
    return other


def log(client: EngineClient) -> list[dict[str, Any]]:
    """The entries of ACL LOG."""
    return [
        dict(zip((name.decode() for name in entry[::2]), entry[1::2], strict=True))
        for entry in client("ACL", "LOG")
    ]


def logged(client: EngineClient) -> Any:
    """``reason context object`` of the newest entry."""
    entry = log(client)[0]
    return entry["reason"] + b" " + entry["context"] + b" " + entry["object"]


# As in Redis


@pytest.fixture
def joe(twin: Twin) -> Iterator[Twin]:
    """Connections as the same user on both servers, made by ``rules``."""
    yield twin
    twin.real("ACL", "DELUSER", "joe")
    twin.real("ACL", "LOG", "RESET")


def as_in_7_2(reply: Any) -> Any:
    """An error of 7.0 as 7.2 puts it."""
    if not isinstance(reply, bytes):
        return reply
    reply = reply.replace(_REAL_KEY, NO_KEY).replace(_REAL_CHANNEL, NO_CHANNEL)
    return reply.replace(b"NOPERM this user has", b"NOPERM User joe has")


LINES = (
    """
GET a|GET b|SET a 1|SET r 1|GET r|SET r 1 GET|DEL a|MGET a b|NOSUCH|GET|EXISTS a zz
CLIENT INFO|CLIENT|CLIENT NOSUCH|PUBLISH c1 x|PUBLISH d x|SPUBLISH d x|SUBSCRIBE d|PSUBSCRIBE c*
PSUBSCRIBE c1|SELECT 0|SELECT 1|SORT a BY w GET #|SORT a BY w|SORT a BY w*|SORT a GET #
SORT a STORE r|SORT a GET # FOO|WATCH a|ACL WHOAMI|ACL LIST|PING|ECHO x|AUTH x y|QUIT x
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


@pytest.mark.parametrize("line", [line for line in LINES if line])
def test_replies(joe: Twin, line: str) -> None:
    rules = (
        "on nopass +get +mget +set +sort +exists +publish +spublish +subscribe +psubscribe "
        "+client|id +acl|whoami +select|0 ~a* %R~r* &c*"
    )
    joe("ACL", "SETUSER", "joe", *rules.split())
    other = joe.another()
    other("AUTH", "joe", "")
    expected, got = other.real(*line.split()), other.ours(*line.split())
    assert got == as_in_7_2(expected)


def test_in_transactions(joe: Twin) -> None:
    joe("ACL", "SETUSER", "joe", "on", "nopass", "+@all", "-del", "~a", "&c")
    other = joe.another()
    for line in (
        ["AUTH", "joe", "x"],
        *(["MULTI"], ["GET", "b"], ["GET", "a"], ["EXEC"]),
        *(["MULTI"], ["DEL", "a"], ["EXEC"]),
        *(["MULTI"], ["GET", "a"], ["SET", "a", "1"], ["PUBLISH", "c", "x"], ["PING"]),
    ):
        expected, got = other.real(*line), other.ours(*line)
        assert got == as_in_7_2(expected)
    joe("ACL", "SETUSER", "joe", "-get", "resetkeys", "resetchannels")
    other("EXEC")
    joe("ACL", "SETUSER", "joe", "+@all", "-exec")
    other("MULTI")
    assert other.ours("EXEC") == as_in_7_2(other.real("EXEC"))


def test_the_log(joe: Twin) -> None:
    joe("ACL", "SETUSER", "joe", "on", "nopass", "+@all", "-del", "-config|get", "~a", "&c")
    joe.another()("AUTH", "joe", "")
    other = joe.another()
    other("AUTH", "nobody", "x")
    other("HELLO", 2, "AUTH", "default", "x", "AUTH", "nobody", "x")
    other("AUTH", "joe", "")
    lines = "DEL a|GET b|GET b|MGET a c|PUBLISH d x|CONFIG GET x|MULTI|DEL a|DISCARD"
    for line in lines.split("|"):
        for server in (other.real, other.ours):
            server(*line.split())
    ours, theirs = (
        [entry[:10] for entry in server("ACL", "LOG", 20)] for server in (joe.ours, joe.real)
    )
    assert ours == theirs
    joe.ours.clock.advance(2500)
    newest = log(joe.ours)[0]
    assert newest["age-seconds"] == b"2.5"
    assert newest["entry-id"] == 7
    assert newest["timestamp-created"] == newest["timestamp-last-updated"] == 1_700_000_000_000
    assert b" cmd=del user=joe " in newest["client-info"]


# What costs nothing


def test_an_unrestricted_user_has_no_gate(client: EngineClient) -> None:
    free = become(client, "~*", "&*", "+@all")
    bound = become(client, "+@all", "~a", name="ann")
    assert not client.session.gates
    assert not free.session.gates
    assert len(bound.session.gates) == 1
    client("ACL", "SETUSER", "joe", "-debug")
    assert len(free.session.gates) == 1
    assert free("GET", "x") is None
    client("ACL", "SETUSER", "joe", "+debug")
    client("ACL", "SETUSER", "ann", "allkeys", "allchannels")
    assert not free.session.gates
    assert not bound.session.gates


def test_in_one_batch_with_the_command_that_restricts(client: EngineClient) -> None:
    wire = client.raw(b"ACL SETUSER default -get\r\nGET x\r\n")
    assert wire == b"+OK\r\n-" + no_command("get", "default") + b"\r\n"


def test_in_one_batch_with_the_login(client: EngineClient) -> None:
    client("ACL", "SETUSER", "joe", "on", ">pw", "+@all", "~a")
    other = client.another()
    wire = other.raw(
        b"".join(encode_command(line.split()) for line in (b"AUTH joe pw", b"GET b", b"GET a"))
    )
    assert wire == b"+OK\r\n-" + NO_KEY + b"\r\n$-1\r\n"


# Authentication


def test_default_user_switched_off(client: EngineClient) -> None:
    late = client.another()
    client("ACL", "SETUSER", "default", "off")
    assert client.another()("PING") == b"NOAUTH Authentication required."
    assert late("PING") == b"PONG"
    assert late("AUTH", "default", "x").startswith(b"WRONGPASS")
    assert late("AUTH", "x").startswith(b"ERR AUTH <password> called without any password")
    client("ACL", "SETUSER", "joe", "on", ">pw", "+@all")
    other = client.another()
    assert other("HELLO", 3, "AUTH", "joe", "pw")[0] == "map"
    assert other("ACL", "WHOAMI") == b"joe"
    assert other("RESET") == b"RESET"
    assert other("PING") == b"NOAUTH Authentication required."


def test_restrictions_of_the_default_user(client: EngineClient) -> None:
    client("ACL", "SETUSER", "default", "-@all", "+acl", "+auth")
    assert client("PING") == no_command("ping", "default")
    assert client("HELLO", 3)[0] == "map"
    assert client.another()("GET", "x") == no_command("get", "default")


def test_a_password_set_later_shuts_out_who_came_without(client: EngineClient) -> None:
    client("CONFIG", "SET", "requirepass", "x")
    late = client.another()
    client("ACL", "SETUSER", "default", "nopass")
    assert late("PING") == b"PONG"
    assert late.session.gates == ()
    assert late("HELLO", 3).startswith(b"NOAUTH HELLO must be called")
    assert late.raw(b"*11\r\n") == b"", "the limits before authentication do not apply"
    client("CONFIG", "SET", "requirepass", "y")
    assert client.another()("PING") == b"NOAUTH Authentication required."


def test_failed_logins_are_counted(client: EngineClient) -> None:
    client("AUTH", "joe", "x")
    client("HELLO", 2, "AUTH", "joe", "x")
    become(client, "+@all")("GET", "x")
    become(client)("GET", "x")
    become(client, "+publish", name="ann")("PUBLISH", "c", "x")
    stats = client("INFO", "stats")
    stats = stats[1] if isinstance(stats, tuple) else stats
    for line in (b"auth:2", b"cmd:0", b"key:2", b"channel:1"):
        assert b"acl_access_denied_" + line in stats
    assert [entry["object"] for entry in log(client)[-2:]] == [b"HELLO", b"AUTH"]


# Rights that change while in use


def test_a_blocked_command_is_judged_again(client: EngineClient) -> None:
    other = become(client, "+@all", "~*")
    other.send("BLPOP", "list", 0)
    client("ACL", "SETUSER", "joe", "resetkeys")
    assert client("RPUSH", "list", "a") == 1
    assert other.replies() == [NO_KEY]
    assert client("LLEN", "list") == 1
    assert logged(client) == b"key toplevel list"


def test_a_deleted_user_loses_the_connection(client: EngineClient) -> None:
    other, blocked = become(client, "+@all", "~*"), client.another()
    blocked("AUTH", "joe", "")
    blocked.send("BLPOP", "list", 0)
    assert client("ACL", "DELUSER", "joe", "nobody") == 1
    assert (other.session.closing, blocked.session.closing) == ("now", "now")
    assert client.engine.take_doomed() == [other.session, blocked.session]
    assert not client.engine.waiters.blocked


def test_who_deletes_himself_gets_the_answer(client: EngineClient) -> None:
    other = become(client, "+@all", "~*")
    assert other("ACL", "DELUSER", "joe") == 1
    assert other.session.closing == "reply"


@pytest.mark.parametrize(
    ("before", "after", "stays"),
    [
        ("&a* &p* &s", "resetchannels &a* &p* &s &b", True),
        ("&a* &p* &s", "allchannels", True),
        ("&a* &p* &s", "resetchannels &* ", True),
        ("&a* &p* &s &x", "resetchannels &a* &p* &s", True),
        ("&*", "resetchannels &ab &p* &s", True),
        ("&*", "resetchannels &a* &p &s", False),
        ("&*", "resetchannels &p* &s", False),
        ("&*", "resetchannels &a* &p*", False),
        ("&a* &p* &s", "resetchannels (&a* &p* &s)", True),
        ("&a* &p* &s", "resetchannels", False),
        ("&a* &p* &s", "reset", False),
        ("&a* &p* &s", "off -@all", True),
    ],
)
def test_subscribers_that_may_no_longer_hear(
    client: EngineClient, before: str, after: str, stays: bool
) -> None:
    other = become(client, "+@all", *before.split())
    idle = client.another()
    idle("AUTH", "joe", "")
    other("HELLO", 3)
    for command, channel in (("SUBSCRIBE", "ab"), ("PSUBSCRIBE", "p*"), ("SSUBSCRIBE", "s")):
        other(command, channel)
    after = after.replace("(&a* &p* &s)", "(&a*_&p*_&s)")
    client("ACL", "SETUSER", "joe", *(rule.replace("_", " ") for rule in after.split()))
    assert (other.session.closing == "") == stays
    assert not idle.session.closing


def test_a_subscriber_may_revoke_its_own_rights(client: EngineClient) -> None:
    other = become(client, "+@all", "&a")
    other("HELLO", 3)
    other("SUBSCRIBE", "a")
    assert other("ACL", "SETUSER", "joe", "resetchannels") == b"OK"
    assert other.session.closing == "reply"


# Other commands that know users


def test_client_list_and_kill(client: EngineClient) -> None:
    other = become(client, "+@all")
    assert b" user=joe " in client("CLIENT", "LIST")
    assert client("CLIENT", "KILL", "USER", "nobody") == b"ERR No such user 'nobody'"
    assert client("CLIENT", "KILL", "USER", "joe") == 1
    assert other.session.closing == "now"
    assert client("CLIENT", "KILL", "USER", "default", "SKIPME", "yes") == 0


def test_sort_needs_all_keys(client: EngineClient) -> None:
    client("RPUSH", "l", "b", "a")
    denied = b"ERR GET option of SORT denied due to insufficient ACL permissions."
    other = become(client, "+sort", "+sort_ro", "~l")
    assert other("SORT", "l", "ALPHA") == [b"a", b"b"]
    assert other("SORT", "l", "ALPHA", "GET", "#") == denied
    assert other("SORT_RO", "l", "ALPHA", "GET", "x_*") == denied
    assert other("SORT", "l", "BY", "w_*").startswith(b"ERR BY option of SORT denied")
    client("ACL", "SETUSER", "joe", "resetkeys", "%R~*")
    assert other("SORT", "l", "ALPHA", "GET", "#") == [b"a", b"b"]


def test_a_session_without_user_may_do_all(client: EngineClient) -> None:
    client("ACL", "SETUSER", "default", "-get")
    link = client.engine.connect(Address("1.1.1.1:1", "1.1.1.2:2"))
    link.user, link.authenticated, link.restricted = None, True, False
    client("ACL", "SETUSER", "default", "-set", "+client", "+acl")
    assert not link.restricted
    assert b" user=(superuser) " in client("CLIENT", "LIST")


# Scripts


def test_scripts_have_the_rights_of_their_caller(client: EngineClient) -> None:
    other = become(client, "+get", "+publish", "~a")
    engine, session = client.engine, other.session

    def check(*argv: bytes) -> bytes:
        entry = engine.table.find(argv)
        assert entry is not None
        problem = engine.acl_check(session, entry, list(argv))
        return b"" if problem is None else problem.text

    assert check(b"GET", b"a") == b""
    assert check(b"GET", b"b") == (b"ERR ACL failure in script: No permissions to access a key")
    assert logged(client) == b"key lua b"
    assert check(b"DEL", b"a") == (
        b"ERR ACL failure in script: User joe has no permissions to run the 'del' command"
    )
    assert check(b"PUBLISH", b"c", b"x").endswith(b"No permissions to access a channel")
    assert logged(client) == b"channel lua c"
    assert engine.acl_check(client.session, engine.table.entries["DEL"], [b"DEL", b"a"]) is None


# Configuration


def test_length_of_the_log(client: EngineClient) -> None:
    client("CONFIG", "SET", "acllog-max-len", 2)
    other = become(client)
    for name in ("GET", "SET", "DEL"):
        other(name, "x", *(["1"] if name == "SET" else []))
    assert [entry["object"] for entry in log(client)] == [b"del", b"set"]
    client("CONFIG", "SET", "acllog-max-len", 0)
    assert len(log(client)) == 2
    other("PING")
    assert log(client) == []


def test_both_sources_of_users_are_a_mistake() -> None:
    engine = new_client().engine
    engine.config.users.append(("joe", "on"))
    engine.guard.start(MemoryFiles(b""))
    assert engine.acl.names() == [b"default", b"joe"]
    engine.config.aclfile = "users.acl"
    with pytest.raises(AclError, match="Configuring Redis with users"):
        engine.guard.start(MemoryFiles(b""))


def test_as_a_process() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "redis.conf")
        with open(path, "w") as file:
            file.write("user joe on >pw ~* +@all\nrequirepass secret\n")
        node = Node(path, "--save", "")
        try:
            client: WireClient = node.client()
            assert client("PING") == b"NOAUTH Authentication required."
            assert client("AUTH", "joe", "pw") == b"OK"
            assert client("ACL", "SETUSER", "ann", "on", "~a*", "+get", "(%R~b", "+get)") == b"OK"
            assert client("CONFIG", "REWRITE") == b"OK"
        finally:
            node.close()
        with open(path) as file:
            text = file.read()
        assert "user ann on sanitize-payload ~a* resetchannels -@all +get (%R~b " in text
        assert text.count("user joe") == text.count("user default") == 1
        with open(path, "w") as file:  # the working directory was the node's own
            file.writelines(line for line in text.splitlines(True) if not line.startswith("dir "))
        node = Node(path, "--save", "")
        try:
            client = node.client()
            assert client("AUTH", "secret") == b"OK"
            assert client("ACL", "USERS") == [b"ann", b"default", b"joe"]
        finally:
            node.close()
