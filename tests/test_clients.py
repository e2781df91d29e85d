"""CLIENT and MONITOR: looking at connections, ending them, pausing them."""

from __future__ import annotations

from typing import Any

import pytest

from pyredis.resp import encode_command
from pyredis.session import Address
from tests.support import EngineClient, NullArray, ReplyError, Twin

FIELDS = (
    "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem "
    "multi-mem rbs rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver"
)


def described(client: EngineClient, of: EngineClient | None = None) -> dict[str, str]:
    """The fields of CLIENT LIST, of this client or of another one."""
    number = (of or client).session.id
    (line,) = client("CLIENT", "LIST", "ID", number).decode().splitlines()
    return dict(field.split("=", 1) for field in line.split(" "))


@pytest.mark.parametrize(
    "line",
    [
        "CLIENT",
        "CLIENT FOO",
        "client foo",
        "CLIENT LIST TYPE foo",
        "CLIENT LIST TYPE master",
        "CLIENT LIST TYPE pubsub",
        "CLIENT LIST TYPE replica",
        "CLIENT LIST TYPE slave x",
        "CLIENT LIST TYPE",
        "CLIENT LIST ID",
        "CLIENT LIST ID a",
        "CLIENT LIST ID -1 9999999",
        "CLIENT LIST FOO BAR",
        "CLIENT KILL",
        "CLIENT KILL foo",
        "CLIENT KILL ID",
        "CLIENT KILL ID a",
        "CLIENT KILL ID 0",
        "CLIENT KILL ID 9999999",
        "CLIENT KILL ID 9999999 TYPE",
        "CLIENT KILL ID a TYPE",
        "CLIENT KILL TYPE foo",
        "CLIENT KILL TYPE master",
        "CLIENT KILL USER foo",
        "CLIENT KILL USER default ID 9999999",
        "CLIENT KILL SKIPME foo",
        "CLIENT KILL FOO 1",
        "CLIENT KILL ADDR 1.1.1.1:1",
        "CLIENT KILL ADDR 1.1.1.1:1 LADDR x SKIPME no TYPE normal",
        "CLIENT PAUSE",
        "CLIENT PAUSE a",
        "CLIENT PAUSE -1",
        "CLIENT PAUSE 1 FOO",
        "CLIENT PAUSE a FOO",
        "client pause 1 WRITE x",
        "CLIENT PAUSE 0",
        "CLIENT UNPAUSE",
        "CLIENT UNBLOCK",
        "CLIENT UNBLOCK a",
        "CLIENT UNBLOCK 9999999",
        "CLIENT UNBLOCK 1 FOO",
        "CLIENT UNBLOCK a FOO",
        "CLIENT UNBLOCK 1 ERROR x",
        "CLIENT NO-EVICT foo",
        "CLIENT NO-EVICT on",
        "CLIENT REPLY FOO",
        "CLIENT REPLY on",
        "CLIENT SETNAME",
        "CLIENT SETNAME a\x7f",
        "CLIENT SETNAME a",
        "CLIENT SETNAME ",
        "CLIENT GETNAME",
        "CLIENT GETNAME x",
        "CLIENT INFO x",
        "CLIENT ID x",
        "MONITOR x",
    ],
)
def test_replies_are_those_of_redis(twin: Twin, line: str) -> None:
    twin(*line.split(" "))


def test_too_long_a_pause(client: EngineClient) -> None:
    assert client("CLIENT", "PAUSE", 2**63 - 1) == b"ERR timeout is out of range"


# Looking


def test_list_has_the_fields_of_redis_in_their_order(twin: Twin) -> None:
    for reply in (twin.ours("CLIENT", "LIST"), twin.ours("CLIENT", "INFO")):
        assert " ".join(field.split("=")[0] for field in reply.decode().split()) == FIELDS
        assert reply.endswith(b"\n")
    real = twin.real("CLIENT", "INFO").decode().split()
    older = FIELDS.replace(" watch", "")
    assert older.startswith(" ".join(field.split("=")[0] for field in real))


def test_what_a_plain_client_looks_like(client: EngineClient) -> None:
    client.clock.advance(2500)
    shown = described(client)
    same = {name: shown[name] for name in ("addr", "laddr", "fd", "name", "flags", "db", "multi")}
    assert same == {
        "addr": "127.0.0.1:50000",
        "laddr": "127.0.0.1:6379",
        "fd": "10",
        "name": "",
        "flags": "N",
        "db": "0",
        "multi": "-1",
    }
    assert (shown["age"], shown["idle"]) == ("2", "0")
    assert (shown["cmd"], shown["user"], shown["resp"]) == ("client|list", "default", "2")
    assert (shown["events"], shown["redir"], shown["argv-mem"]) == ("r", "-1", "13")
    assert int(shown["tot-mem"]) > 0


def test_what_another_client_looks_like(client: EngineClient) -> None:
    other = client.another()
    assert described(client, other)["cmd"] == "NULL"
    other("HELLO", 3, "SETNAME", "jo")
    other("SELECT", 4)
    other.send("SUBSCRIBE", "a", "b")
    other.send("PSUBSCRIBE", "c")
    other.send("SSUBSCRIBE", "d")
    other.send("MULTI")
    other.send("SET", "key", "value")
    other.raw(b"*2\r\n$3\r\nGET\r\n")
    client.clock.advance(3000)
    shown = described(client, other)
    assert (shown["sub"], shown["psub"], shown["ssub"]) == ("2", "1", "1")
    assert (shown["multi"], shown["multi-mem"], shown["flags"]) == ("1", "11", "Px")
    assert (shown["name"], shown["db"], shown["resp"]) == ("jo", "4", "3")
    assert (shown["idle"], shown["cmd"], shown["qbuf"]) == ("3", "set", "3")


def test_flags(client: EngineClient) -> None:
    other = client.another()

    def flags_after(*args: Any) -> str:
        other.send(*args)
        return described(client, other)["flags"]

    assert flags_after("CLIENT", "NO-EVICT", "ON") == "e"
    assert flags_after("CLIENT", "NO-TOUCH", "ON") == "eT"
    assert flags_after("MONITOR") == "OeT"
    assert flags_after("RESET") == "N"
    other.send("WATCH", "a")
    client("SET", "a", "1")
    assert flags_after("MULTI") == "xd"
    assert flags_after("DISCARD") == "N"
    assert flags_after("BLPOP", "l", "0") == "b"
    assert described(client, other)["argv-mem"] == "7"


def test_a_client_of_a_unix_socket(client: EngineClient) -> None:
    address = Address("/tmp/redis.sock:0", "/tmp/redis.sock:0", 11, unix=True)
    client.engine.connect(address)
    line = client("CLIENT", "LIST").decode().splitlines()[1]
    assert " addr=/tmp/redis.sock:0 " in line
    assert " flags=U " in line


def test_list_by_type_and_by_id(client: EngineClient) -> None:
    other = client.another()
    other("SUBSCRIBE", "a")

    def listed(*options: Any) -> list[str]:
        lines = client("CLIENT", "LIST", *options).decode().splitlines()
        return [line.split(" ")[0] for line in lines]

    assert listed() == ["id=1", "id=2"]
    assert listed("TYPE", "normal") == ["id=1"]
    assert listed("TYPE", "PUBSUB") == ["id=2"]
    assert listed("TYPE", "replica") == []
    assert listed("ID", 2, 99, 1) == ["id=2", "id=1"]


def test_under_resp3_lists_are_texts(client: EngineClient) -> None:
    client("HELLO", 3)
    assert client("CLIENT", "INFO")[0] == "verbatim"
    assert client("CLIENT", "LIST")[0] == "verbatim"


def test_names(twin: Twin) -> None:
    twin("CLIENT", "GETNAME")
    twin("CLIENT", "SETNAME", "jo")
    twin("CLIENT", "SETNAME", "a b")
    twin("CLIENT", "GETNAME")
    twin("CLIENT", "SETNAME", "")
    twin("CLIENT", "GETNAME")


def test_library(client: EngineClient) -> None:
    assert client("CLIENT", "SETINFO", "LIB-NAME", "lib") == b"OK"
    assert client("CLIENT", "SETINFO", "lib-ver", "1.2") == b"OK"
    assert client("CLIENT", "SETINFO", "LIB-VER", "1 2") == ReplyError(
        b"ERR lib-ver cannot contain spaces, newlines or special characters."
    )
    assert client("CLIENT", "SETINFO", "foo", "1") == ReplyError(b"ERR Unrecognized option 'foo'")
    client("RESET")
    shown = described(client)
    assert (shown["lib-name"], shown["lib-ver"]) == ("lib", "1.2")


def test_help(client: EngineClient) -> None:
    lines = client("CLIENT", "HELP")
    assert lines[0].startswith(b"CLIENT <subcommand>")
    assert b"PAUSE <timeout> [WRITE|ALL]" in lines
    assert b"UNBLOCK <client-id> [TIMEOUT|ERROR]" in lines
    assert b"REPLY (ON|OFF|SKIP)" in lines


def test_the_running_request_is_in_its_query_buffer(client: EngineClient) -> None:
    client.another()
    own, other = client("CLIENT", "LIST").splitlines()
    assert b" qbuf=26 qbuf-free=0 " in own, "*2 $6 CLIENT $4 LIST"
    assert b" qbuf=0 qbuf-free=0 " in other


# Modes


def test_no_touch_leaves_idle_times_alone(client: EngineClient) -> None:
    client("SET", "a", "1")
    client.clock.advance(10_000)
    client("CLIENT", "NO-TOUCH", "ON")
    client("GET", "a")
    db = client.session.db
    assert db.idle_seconds(b"a") == 10
    client("SET", "b", "1")
    assert db.idle_seconds(b"b") == 0
    client("EVAL", "return redis.call('GET', 'a')", 0)
    assert db.idle_seconds(b"a") == 10
    client("EVAL", "return redis.call('TOUCH', 'a')", 0)
    assert db.idle_seconds(b"a") == 0
    client.clock.advance(10_000)
    client("CLIENT", "NO-TOUCH", "OFF")
    client("GET", "a")
    assert db.idle_seconds(b"a") == 0


def test_replies_off_and_skipped(twin: Twin) -> None:
    twin.messages(0, "CLIENT", "REPLY", "OFF")
    twin.messages(0, "PING")
    twin.messages(0, "NOSUCH")
    twin.messages(0, "CLIENT", "REPLY", "SKIP")
    twin("CLIENT", "REPLY", "ON")
    twin("PING")
    twin.messages(0, "CLIENT", "REPLY", "SKIP")
    twin.messages(0, "PING")
    twin("PING")
    twin.messages(0, "CLIENT", "REPLY", "SKIP")
    twin("CLIENT", "REPLY", "ON")
    twin("PING")
    twin.messages(0, "CLIENT", "REPLY", "SKIP")
    twin.messages(0, "CLIENT", "REPLY", "SKIP")
    twin.messages(0, "PING")
    twin("PING")
    assert not twin.ours.session.gates


def test_messages_come_though_replies_are_off(twin: Twin) -> None:
    sender = twin.another()
    twin.messages(0, "CLIENT", "REPLY", "OFF")
    twin.messages(1, "SUBSCRIBE", "a")
    sender("PUBLISH", "a", "m")
    twin.messages(1)


def test_a_skip_inside_multi_concerns_what_follows_exec(client: EngineClient) -> None:
    for line in ("MULTI", "PING", "CLIENT REPLY SKIP", "PING"):
        client(*line.split())
    assert client.raw(b"EXEC\r\nPING\r\nECHO x\r\n") == b"*3\r\n+PONG\r\n+PONG\r\n$1\r\nx\r\n"


# Ending clients


def test_kill_by_address_in_the_old_form(client: EngineClient) -> None:
    client.engine.connect(Address("10.0.0.1:1", "127.0.0.1:6379"))
    assert client("CLIENT", "KILL", "10.0.0.1:1") == b"OK"
    assert client("CLIENT", "KILL", "10.0.0.1:1") == b"ERR No such client"
    assert [session.id for session in client.engine.take_doomed()] == [2]


@pytest.mark.parametrize(
    ("filters", "killed"),
    [
        ("ID 2", {2}),
        ("ID 2 ID 3", {3}),
        ("TYPE pubsub", {3}),
        ("TYPE normal", {2, 4}),
        ("TYPE normal SKIPME no", {1, 2, 4}),
        ("ADDR 10.0.0.1:1", {4}),
        ("ADDR 10.0.0.1:1 TYPE pubsub", set()),
        ("LADDR 127.0.0.1:6379", {2, 3}),
        ("USER default", {2, 3, 4}),
        ("SKIPME yes", {2, 3, 4}),
        ("SKIPME no", {1, 2, 3, 4}),
        ("ID 1", set()),
        ("ID 1 SKIPME no", {1}),
    ],
)
def test_kill_by_filters(client: EngineClient, filters: str, killed: set[int]) -> None:
    client.another()
    client.another()("SUBSCRIBE", "a")
    client.engine.connect(Address("10.0.0.1:1", "10.0.0.2:6379"))
    assert client("CLIENT", "KILL", *filters.split()) == len(killed)
    assert {session.id for session in client.engine.take_doomed()} == killed


def test_who_kills_itself_still_gets_the_reply(client: EngineClient) -> None:
    wire = client.raw(encode_command([b"CLIENT", b"KILL", b"127.0.0.1:50000"]) + b"PING\r\n")
    assert wire == b"+OK\r\n"
    assert client.session.closing == "reply"


def test_the_killed_take_nothing_with_them(client: EngineClient) -> None:
    other = client.another()
    other.send("BLPOP", "l", "0")
    watcher = client.another()
    watcher("WATCH", "a")
    watcher.send("SUBSCRIBE", "c")
    monitor = client.another()
    monitor("MONITOR")
    assert client("CLIENT", "KILL", "SKIPME", "yes") == 3
    assert client("LPUSH", "l", "x") == 1
    assert client("LLEN", "l") == 1
    assert client("PUBLISH", "c", "m") == 0
    assert not client.engine.monitors
    assert not client.session.db.watched
    assert list(client.engine.sessions) == [1]
    assert not monitor.session.out


# Blocked clients


def test_unblock(twin: Twin) -> None:
    waiting = twin.another()
    real_id, our_id = waiting.real("CLIENT", "ID"), waiting.ours("CLIENT", "ID")

    def unblock(*reason: str) -> Any:
        reply = twin.real("CLIENT", "UNBLOCK", real_id, *reason)
        assert twin.ours("CLIENT", "UNBLOCK", our_id, *reason) == reply
        return reply

    assert unblock() == 0
    for reason in ((), ("TIMEOUT",)):
        waiting.messages(0, "BLPOP", "l", "0")
        assert unblock(*reason) == 1
        assert waiting.messages(1) == [NullArray()]
    waiting.messages(0, "BLPOP", "l", "0")
    assert unblock("error") == 1
    assert waiting.messages(1) == [b"UNBLOCKED client unblocked via CLIENT UNBLOCK"]
    waiting("PING")


def test_a_blocked_client_is_listed_with_its_command(client: EngineClient) -> None:
    other = client.another()
    other("GET", "a")
    other.send("BLPOP", "l", 0)
    line = client("CLIENT", "LIST", "ID", other.session.id)
    assert b" flags=b " in line
    assert b" cmd=blpop " in line


def test_what_came_meanwhile_runs_after_unblocking(client: EngineClient) -> None:
    other = client.another()
    other.send("BLPOP", "l", "0")
    other.send("PING")
    assert other.replies() == []
    client("CLIENT", "UNBLOCK", other.session.id)
    assert other.replies() == [NullArray(), b"PONG"]


# Pauses


def test_a_pause_holds_everything_until_its_end(client: EngineClient) -> None:
    client("CLIENT", "PAUSE", 100)
    other = client.another()
    other.send("PING")
    other.send("ECHO", "x")
    client.send("CLIENT", "UNPAUSE")
    assert (client.replies(), other.replies()) == ([], [])
    assert client.engine.deadline_ms() == client.engine.now_ms + 100
    client.tick(99)
    assert other.replies() == []
    client.tick(1)
    assert other.replies() == [b"PONG", b"x"]
    assert client.replies() == [b"OK"]
    assert client.engine.deadline_ms() is None
    assert not other.session.gates


def test_a_write_pause_holds_what_may_write(client: EngineClient) -> None:
    client("CLIENT", "PAUSE", 1000, "WRITE")
    other = client.another()
    assert other("GET", "a") is None
    assert other("MULTI") == b"OK"
    assert other("GET", "a") == b"QUEUED"
    assert other("EXEC") == [None]
    other.send("SET", "a", "1")
    publisher = client.another()
    publisher.send("PUBLISH", "c", "m")
    assert (other.replies(), publisher.replies()) == ([], [])
    assert client("CLIENT", "UNPAUSE") == b"OK"
    assert (other.replies(), publisher.replies()) == ([b"OK"], [0])


def test_a_write_pause_lets_scripts_pass_that_promise_not_to_write(client: EngineClient) -> None:
    reads, writes = "#!lua flags=no-writes\nreturn 1", "#!lua\nreturn 1"
    code = "redis.register_function{function_name='%s', callback=function() return 1 end%s}"
    sha = client("SCRIPT", "LOAD", reads)
    client("FUNCTION", "LOAD", "#!lua name=r\n" + code % ("r", ", flags={'no-writes'}"))
    client("FUNCTION", "LOAD", "#!lua name=w\n" + code % ("w", ""))
    client("CLIENT", "PAUSE", 1000, "WRITE")
    for words in (("EVAL", reads), ("EVALSHA", sha), ("FCALL", "r")):
        assert client.another()(*words, 0) == 1
    for words in (("EVAL", writes), ("EVAL", "return 1"), ("FCALL", "w"), ("EVAL", "#!x\n")):
        held = client.another()
        held.send(*words, 0)
        assert held.replies() == []
    client("CLIENT", "PAUSE", 1000, "ALL")
    held = client.another()
    held.send("EVAL", reads, 0)
    assert held.replies() == []


def test_exec_is_held_when_it_would_write(client: EngineClient) -> None:
    other = client.another()
    other("MULTI")
    other("SET", "a", "1")
    client("CLIENT", "PAUSE", 1000, "WRITE")
    other.send("EXEC")
    assert other.replies() == []
    client("CLIENT", "UNPAUSE")
    assert other.replies() == [[b"OK"]]


def test_pauses_only_grow(client: EngineClient) -> None:
    other = client.another()
    client("CLIENT", "PAUSE", 1000, "WRITE")
    client("CLIENT", "PAUSE", 10, "WRITE")
    other.send("SET", "a", "1")
    client.tick(999)
    assert other.replies() == []
    client.tick(1)
    assert other.replies() == [b"OK"]


def test_nothing_expires_during_a_pause(client: EngineClient) -> None:
    client("SET", "a", "1")
    db = client.session.db
    db.set_expiry(b"a", client.engine.now_ms + 10)
    client("CLIENT", "PAUSE", 1000, "WRITE")
    client.clock.advance(500)
    assert client("GET", "a") is None
    assert b"a" in db.data
    client.tick(500)
    assert client("GET", "a") is None
    assert b"a" not in db.data


def test_a_held_client_is_not_blocked_for_others(client: EngineClient) -> None:
    other = client.another()
    client("CLIENT", "PAUSE", 1000, "WRITE")
    other.send("SET", "a", "1")
    assert all(session.postponed for session in client.engine.waiters.blocked)
    assert described(client, other)["flags"] == "b"
    assert client("CLIENT", "UNBLOCK", other.session.id) == 0
    client.engine.disconnect(other.session)
    client("CLIENT", "UNPAUSE")
    assert client("GET", "a") is None


# MONITOR


def seen(monitor: EngineClient) -> list[str]:
    """The lines that a monitor got, without the time."""
    return [line.decode().split(" ", 1)[1] for line in monitor.replies()]


def test_monitor_shows_commands_of_all(client: EngineClient) -> None:
    monitor = client.another()
    assert monitor("MONITOR") == b"OK"
    client("SET", "a", b'x\n"y\xff')
    client("SELECT", 3)
    assert monitor.take() == (
        b'+1700000000.000000 [0 127.0.0.1:50000] "SET" "a" "x\\n\\"y\\xff"\r\n'
        b'+1700000000.000000 [3 127.0.0.1:50000] "SELECT" "3"\r\n'
    )
    monitor.send("PING")
    assert monitor.replies()[0] == b"PONG"
    monitor.send("MONITOR")
    assert monitor.replies() == []
    monitor("RESET")
    client("PING")
    assert monitor.replies() == []


def test_monitor_shows_what_redis_shows(twin: Twin) -> None:
    monitor = twin.another()
    monitor("MONITOR")
    lines = [
        "MULTI", "SET a 1", "GET a", "EXEC", "AUTH secret", "AUTH x secret", "CLIENT GETNAME",
        "CLIENT LIST ID 9999999", "NOSUCH a", "GET", "INCR x y", "CLIENT FOO", "get a",
    ]  # fmt: skip
    for line in lines:
        twin(*line.split())
    twin.real.send("HELLO", 3, "AUTH", "u", "p", "SETNAME", "jo")
    twin.ours.send("HELLO", 3, "AUTH", "u", "p", "SETNAME", "jo")
    ours = seen(monitor.ours)
    real = [monitor.real.read().decode().split(" ", 1)[1] for _ in ours]
    assert [line.split("] ")[1] for line in ours] == [line.split("] ")[1] for line in real]
    assert ours[-1].endswith('"HELLO" "3" "AUTH" "(redacted)" "(redacted)" "SETNAME" "jo"')


def test_a_waiting_command_is_shown_once(client: EngineClient) -> None:
    monitor = client.another()
    monitor("MONITOR")
    other = client.another()
    other.send("BLPOP", "l", "0")
    client("LPUSH", "l", "a")
    assert [line.split("] ")[1] for line in seen(monitor)] == ['"BLPOP" "l" "0"', '"LPUSH" "l" "a"']


def test_monitor_of_a_unix_socket(client: EngineClient) -> None:
    monitor = client.another()
    monitor("MONITOR")
    address = Address("/tmp/s:0", "/tmp/s:0", unix=True)
    client.engine.feed(client.engine.connect(address), b"PING\r\n")
    assert seen(monitor) == ['[0 unix:/tmp/s] "PING"']


def test_a_monitor_may_not_touch_keys(twin: Twin) -> None:
    twin("MONITOR")
    for line in ("GET a", "SET a 1", "PUBLISH a 1"):
        twin(*line.split())
    twin("RESET")
    twin("GET", "a")


def test_the_slow_log_keeps_no_secrets(client: EngineClient) -> None:
    client.engine.config.set([("slowlog-log-slower-than", "0")])
    client.engine.clock_ns = iter(range(0, 10**9, 1000)).__next__
    client("AUTH", "secret")
    assert client.engine.stats.slow_calls[0].argv == (b"AUTH", b"(redacted)")
    client("ECHO", "open")
    assert client.engine.stats.slow_calls[0].argv == (b"ECHO", b"open")


def test_kill_by_age(client: EngineClient) -> None:
    """MAXAGE came with 7.4."""
    client.clock.advance(5000)
    young = client.another()
    client.clock.advance(4999)
    assert client("CLIENT", "KILL", "MAXAGE", 5) == 0
    client.clock.advance(1)
    assert client("CLIENT", "KILL", "MAXAGE", 5, "LADDR", "no:1") == 0
    assert client("CLIENT", "KILL", "MAXAGE", 5) == 1
    assert young.session.closing
    kill = ("CLIENT", "KILL", "MAXAGE")
    assert client(*kill, "x") == b"ERR maxage is not an integer or out of range"
    assert client(*kill, 0) == b"ERR maxage should be greater than 0"


def test_list_counts_watched_keys(client: EngineClient) -> None:
    """Since 7.4."""
    assert described(client)["watch"] == "0"
    client("WATCH", "a", "b")
    assert described(client)["watch"] == "2"
