"""The ACL command: replies compared with real Redis where 7.0 and 7.2 agree."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import EngineClient, ReplyError, Twin, new_client

NAME = "acl-twin"
OTHER = "acl-other"


@pytest.fixture
def users(twin: Twin) -> Iterator[Twin]:
    """Both servers without any user but the default one."""
    twin.real("ACL", "DELUSER", NAME, OTHER)
    twin.real("ACL", "LOG", "RESET")
    yield twin
    twin.real("ACL", "DELUSER", NAME, OTHER)


def facts(reply: Any) -> list[Any]:
    """ACL GETUSER without what 7.2 prints otherwise: sanitize-payload and rules of commands."""
    fields = dict(zip(reply[::2], reply[1::2], strict=True))
    flags = [flag for flag in fields[b"flags"] if flag != b"sanitize-payload"]
    selectors = [selector[3:] for selector in fields[b"selectors"]]
    return [flags, fields[b"passwords"], fields[b"keys"], fields[b"channels"], selectors]


def same_user(twin: Twin, name: str = NAME) -> None:
    """Both have the same user."""
    assert facts(twin.ours("ACL", "GETUSER", name)) == facts(twin.real("ACL", "GETUSER", name))


def dry(twin: Twin, *request: Any) -> Any:
    """ACL DRYRUN on both; 7.2 names the user."""
    expected = twin.real("ACL", "DRYRUN", NAME, *request)
    expected = expected.replace(b"This user", b"User " + NAME.encode())
    got = twin.ours("ACL", "DRYRUN", NAME, *request)
    assert got == expected, f"{request!r}: redis {expected!r}, ours {got!r}"
    return got


def words(text: str) -> list[str]:
    """What stands between blanks."""
    return text.split()


HASH = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"  # "password"

RULES = [
    *words("on off nopass resetpass >password >p2 <password <p2 <never"),
    *(f"#{HASH}", f"!{HASH}", "#abc", f"#{HASH.upper()}", "!", "#", ">", "<"),
    *words("~a ~b* %R~a %W~a %rw~c %R~d %~x %RR~x %R %X~a %R~* ~* ~ allkeys resetkeys"),
    *("~a b", "%R~a b", "&a b", "&a\tb", "~a\nb", "&", "&x", "&x*", "&*", "allchannels"),
    *words("resetchannels AllKeys ALLCHANNELS +@ALL -@all allcommands nocommands"),
    *words("+get -GET +set +config -config +config|get -config|set +client|ID +foo -foo"),
    *words("+config|foo -config|foo +config|get|x +get|x -get|x +get| +| + - +@ -@ +@foo"),
    *words("+@read -@Read +@string -@dangerous +@slow -@fast +@pubsub +select|0 +SELECT|1"),
    *words("-select +acl|whoami -acl +@connection reset clearselectors"),
    *("(~a +get)", "()", "( )", "(on)", "(~a (~b))", '("~q" +get)', '("~q)', "(&x +publish)"),
    *("(", ")", "(~a", "+get)", "(%R~a", "-@all +@read)", "", "foo", "x y"),
]
REQUESTS = [
    *("GET a", "GET b1", "GET d", "SET a 1", "SET c 1 GET", "MGET a b1 c", "DEL a", "EXISTS a"),
    *("CONFIG GET x", "CONFIG SET x y", "CONFIG HELP", "CLIENT ID", "CLIENT LIST", "SELECT 0"),
    *("SELECT 1", "PUBLISH x m", "PUBLISH xy m", "SUBSCRIBE x", "PSUBSCRIBE x", "PSUBSCRIBE x*"),
    *("SPUBLISH y m", "SSUBSCRIBE x y", "ACL WHOAMI", "ACL LIST", "PING", "AUTH x", "COPY a b1"),
    *("SORT a BY w_* STORE b1", "ZUNIONSTORE a 2 b1 d", "UNSUBSCRIBE q", "SINTERCARD 1 a"),
]


@pytest.mark.parametrize("seed", range(4))
def test_rules_mean_what_they_mean_in_redis(users: Twin, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        rules = rng.choices(RULES, k=rng.randrange(1, 5))
        users("ACL", "SETUSER", NAME, *rules)
        if users.real("ACL", "GETUSER", NAME) is not None:
            same_user(users)
            for request in rng.sample(REQUESTS, 6):
                dry(users, *request.split())
        if rng.random() < 0.2:
            users("ACL", "DELUSER", NAME)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_alone(users: Twin, rule: str) -> None:
    users("ACL", "SETUSER", NAME, "on", rule)
    if users.real("ACL", "GETUSER", NAME) is not None:
        same_user(users)


def test_categories_hold_the_same_commands(users: Twin) -> None:
    for category in users("ACL", "CAT"):
        for request in REQUESTS:
            users("ACL", "SETUSER", NAME, "reset", "~*", "&*", b"+@" + category)
            dry(users, *request.split())


@pytest.mark.parametrize(
    "line",
    [
        "ACL",
        "ACL FOO",
        "ACL SETUSER",
        "ACL GETUSER",
        "ACL GETUSER nobody",
        "ACL GETUSER a b",
        "ACL DELUSER",
        "ACL DELUSER nobody",
        "ACL DELUSER nobody default",
        "ACL DELUSER default",
        "ACL LIST x",
        "ACL USERS x",
        "ACL USERS",
        "ACL WHOAMI x",
        "ACL WHOAMI",
        "ACL CAT",
        "ACL CAT nosuch",
        "ACL CAT a b",
        "ACL GENPASS 0",
        "ACL GENPASS -1",
        "ACL GENPASS 4097",
        "ACL GENPASS x",
        "ACL GENPASS 1 2",
        "ACL LOG",
        "ACL LOG x",
        "ACL LOG 1 2",
        "ACL LOG -1",
        "ACL LOG Reset",
        "ACL LOAD",
        "ACL SAVE",
        "ACL DRYRUN",
        "ACL DRYRUN default",
        "ACL DRYRUN nobody get x",
        "ACL DRYRUN default nosuch",
        "ACL DRYRUN default no\0such",
        "ACL DRYRUN no\0body get x",
        "ACL SETUSER x no\0rule",
        "ACL DRYRUN default get",
        "ACL DRYRUN default get x",
        "ACL DRYRUN default config",
        "ACL DRYRUN default config nosuch",
        "ACL DRYRUN default acl whoami",
        "ACL HELP x",
    ],
)
def test_replies(users: Twin, line: str) -> None:
    users(*line.split())


def test_names(users: Twin) -> None:
    users("ACL", "SETUSER", "a b")
    users("ACL", "SETUSER", b"a\0b")
    users("ACL", "SETUSER", NAME)
    users("ACL", "SETUSER", "", "on")
    users("ACL", "USERS")
    users("ACL", "DELUSER", "", NAME, NAME)
    users("ACL", "USERS")


def test_resp3_shapes(users: Twin) -> None:
    for server in (users.real, users.ours):
        server("HELLO", 3)
    users("ACL", "GETUSER", "nobody")
    users("ACL", "SETUSER", NAME, "on", "nopass", "(~a)")
    ours, theirs = (server("ACL", "GETUSER", NAME) for server in (users.ours, users.real))
    assert ours[0] == theirs[0] == "map"
    assert [key for key, _ in ours[1]] == [key for key, _ in theirs[1]]
    assert ours[1][0] == (b"flags", ("set", [b"on", b"nopass", b"sanitize-payload"]))
    assert theirs[1][0] == (b"flags", ("set", [b"on", b"nopass"]))
    assert ours[1][-1] == theirs[1][-1]


def test_cat_lists_what_the_specs_say(client: EngineClient) -> None:
    assert b"multi" in client("ACL", "CAT", "Transaction")
    assert b"config|get" in client("ACL", "CAT", "dangerous")
    assert b"get" not in client("ACL", "CAT", "write")


def test_printed_as_by_7_2(client: EngineClient) -> None:
    assert client("ACL", "LIST") == [b"user default on nopass sanitize-payload ~* &* +@all"]
    client("ACL", "SETUSER", "joe", "on", ">password", "~a", "+@read", "-get", "(%R~b", "+get)")
    assert client("ACL", "LIST")[1].decode() == (
        f"user joe on sanitize-payload #{HASH} ~a resetchannels -@all +@read -get "
        "(%R~b resetchannels -@all +get)"
    )
    client("ACL", "SETUSER", "joe", "reset", "skip-sanitize-payload", "&x", "+@all", "-config")
    assert client("ACL", "LIST")[1] == (
        b"user joe off skip-sanitize-payload resetchannels &x +@all -config"
    )
    assert client("ACL", "GETUSER", "joe") == [
        *(b"flags", [b"off", b"skip-sanitize-payload"]),
        *(b"passwords", []),
        *(b"commands", b"+@all -config"),
        *(b"keys", b""),
        *(b"channels", b"&x"),
        *(b"selectors", []),
    ]


def test_passwords_made_up(client: EngineClient) -> None:
    assert len(client("ACL", "GENPASS")) == 64
    assert len(client("ACL", "GENPASS", 5)) == 2
    assert len(client("ACL", "GENPASS", 4)) == 1
    assert len(client("ACL", "GENPASS", 4096)) == 1024
    assert client("ACL", "GENPASS") != client("ACL", "GENPASS")
    client.engine.random_bytes = lambda count: b"\xab" * count
    assert client("ACL", "GENPASS", 12) == b"aba"


def test_secrets_stay_out_of_the_slow_log(client: EngineClient) -> None:
    client("CONFIG", "SET", "slowlog-log-slower-than", 0)
    client("ACL", "SETUSER", "joe", "on", ">secret")
    client("ACL", "GETUSER", "joe")
    client("ACL", "DELUSER", "joe", "jim")
    calls = {tuple(entry[3]) for entry in client("SLOWLOG", "GET")}
    hidden = b"(redacted)"
    assert (b"ACL", b"SETUSER", hidden, hidden, hidden) in calls
    assert (b"ACL", b"GETUSER", hidden) in calls
    assert (b"ACL", b"DELUSER", hidden, hidden) in calls


# requirepass and the default user


def test_requirepass_is_the_password_of_the_default_user(client: EngineClient) -> None:
    client("CONFIG", "SET", "requirepass", "password")
    assert client("ACL", "LIST")[0].decode().split()[4] == f"#{HASH}"
    client("ACL", "SETUSER", "default", "resetpass", ">other")
    assert client("CONFIG", "GET", "requirepass")[1] == b"password"
    late = client.another()
    assert late("AUTH", "password").startswith(b"WRONGPASS")
    assert late("AUTH", "other") == b"OK"
    client("CONFIG", "SET", "requirepass", "")
    assert client.another()("PING") == b"PONG"


def test_acl_pubsub_default(client: EngineClient) -> None:
    client("CONFIG", "SET", "acl-pubsub-default", "allchannels")
    client("ACL", "SETUSER", "joe")
    assert b"&*" in client("ACL", "LIST")[1]
    assert client("ACL", "SETUSER", "joe", "&x").startswith(b"ERR Error in ACL SETUSER")


# The ACL file


class MemoryFiles:
    """A disk for one file, which may break."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.broken = False

    def read(self, path: str) -> bytes:
        if self.broken:
            raise OSError(2, "No such file or directory")
        return self.text

    def replace(self, path: str, content: bytes) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.text = content


def with_file(text: str) -> tuple[EngineClient, MemoryFiles]:
    """A client of a server with that ACL file."""
    client, files = new_client(), MemoryFiles(text.encode())
    client.engine.config.aclfile = "users.acl"
    client.engine.guard.start(files)
    return client, files


def test_load_and_save() -> None:
    client, files = with_file("user joe on >password ~* +@all\n")
    assert client("ACL", "USERS") == [b"default", b"joe"]
    client("ACL", "SETUSER", "ann", "+get")
    assert client("ACL", "SAVE") == b"OK"
    assert files.text.decode().split("\n")[0] == (
        "user ann off sanitize-payload resetchannels -@all +get"
    )
    client("ACL", "DELUSER", "ann")
    assert client("ACL", "LOAD") == b"OK"
    assert client("ACL", "USERS") == [b"ann", b"default", b"joe"]


def test_a_bad_file_changes_nothing() -> None:
    client, files = with_file("user joe on\n")
    files.text = b"user ann on\nuser bob +nosuch\n"
    reply = client("ACL", "LOAD")
    assert type(reply) is ReplyError
    assert reply.startswith(b"ERR users.acl:2: Error in applying operation '+nosuch': Unknown")
    assert client("ACL", "USERS") == [b"default", b"joe"]
    files.broken = True
    assert client("ACL", "LOAD") == (
        b"ERR Error loading ACLs, opening file 'users.acl': No such file or directory"
    )
    assert client("ACL", "SAVE").startswith(b"ERR There was an error trying to save the ACLs.")


def test_loading_ends_only_whom_it_concerns() -> None:
    client, files = with_file("user joe on nopass ~* &a* +@all\nuser ann on nopass ~* &* +@all\n")
    joe, ann, idle = client.another(), client.another(), client.another()
    for each, name in ((joe, "joe"), (ann, "ann"), (idle, "joe")):
        each("AUTH", name, "")
    joe("SUBSCRIBE", "ab")
    ann("SUBSCRIBE", "ab")
    files.text = b"user joe on nopass ~* &b* +@all\nuser ann on nopass ~* &* +@all\n"
    assert client("ACL", "LOAD") == b"OK"
    assert (joe.session.closing, ann.session.closing, idle.session.closing) == ("now", "", "")
    files.text = b"user joe on nopass +@all\n"
    assert client("ACL", "LOAD") == b"OK"
    assert (ann.session.closing, idle.session.closing) == ("now", "")
    assert idle("GET", "x") == b"NOPERM No permissions to access a key"
