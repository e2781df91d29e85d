"""EVAL and SCRIPT: results, errors, effects, and what happens when a script does not end."""

from __future__ import annotations

import sys
from hashlib import sha1
from typing import Any

import pytest

from pyredis.engine import Engine
from pyredis.ports import ManualClock
from tests.support import ROOT, EngineClient, Listener, Node, Twin, new_client, new_engine

KILLED = b"ERR Script killed by user with SCRIPT KILL..."
BUSY = b"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."


def corpus(name: str) -> list[str]:
    """The scripts of a file in ``tests/lua``, one a line."""
    lines = (ROOT / "tests" / "lua" / f"{name}.txt").read_text("utf-8").splitlines()
    return [line for line in lines if not line.startswith("-- ")]


@pytest.mark.parametrize("protocol", [2, 3])
def test_results(twin: Twin, protocol: int) -> None:
    twin.real("HELLO", protocol)
    twin.ours("HELLO", protocol)
    for script in corpus("results"):
        twin("EVAL", script, 0)


@pytest.mark.parametrize("protocol", [2, 3])
def test_calls(twin: Twin, protocol: int) -> None:
    twin.real("HELLO", protocol)
    twin.ours("HELLO", protocol)
    for script in corpus("calls"):
        twin("EVAL", script, 0)


def test_errors_and_their_places(twin: Twin) -> None:
    twin("HSET", "h", "a", 1)
    for script in corpus("errors"):
        twin("EVAL", script, 0)
        twin("EVAL", "\n\n" + script, 0)


def test_numbers_as_arguments(client: EngineClient) -> None:
    """7.2 prints the shortest digits, where 7.0 printed seventeen."""
    for number, text in ((0.1, b"0.1"), (3.14, b"3.14"), (1e17, b"100000000000000000")):
        client("EVAL", f"redis.call('SET', 'k', {number!r})", 0)
        assert client("GET", "k") == text


def test_a_reply_nests_as_deep_as_the_stack_is(client: EngineClient) -> None:
    client.send("EVAL", "local t = {} t[1] = t return t", 0)
    assert client.take() == b"*1\r\n" * 7995 + b"-ERR reached lua stack limit\r\n"


def test_keys_and_arguments(twin: Twin) -> None:
    script = "return {KEYS, ARGV}"
    twin("EVAL", script, 0)
    twin("EVAL", script, 1, "a", "b", "c")
    twin("EVAL", script, 2, "a", "b")
    twin("EVAL", script, 40, *range(100))
    twin("EVAL", "KEYS[1] = 'x' return KEYS", 1, "a")
    for count in ("x", -1, 3, "1.5"):
        twin("EVAL", script, count, "a")
    twin("EVAL", script)
    twin("EVALSHA", "a" * 40, "x")


def test_script_cache(twin: Twin) -> None:
    sha = twin("SCRIPT", "LOAD", "return 1")
    twin("SCRIPT", "EXISTS", sha, sha.upper(), "b" * 40, "x")
    for name in (sha, sha.upper(), "b" * 40, "x"):
        twin("EVALSHA", name, 0)
        twin("EVALSHA_RO", name, 0)
    for args in (
        ("LOAD", "return ="),
        ("FLUSH", "X"),
        ("FLUSH", "SYNC", "x"),
        ("nope",),
        ("KILL",),
    ):
        twin("SCRIPT", *args)
    for mode in ((), ("SYNC",), ("async",)):
        twin("SCRIPT", "FLUSH", *mode)
        twin("EVALSHA", sha, 0)
    twin("EVAL", "return 1", 0)
    twin("EVALSHA", sha, 0)


def test_no_debugger(client: EngineClient) -> None:
    assert client("SCRIPT", "DEBUG", "NO") == b"OK"
    assert client("SCRIPT", "DEBUG", "YES") == b"ERR this server has no debugger for scripts"
    assert client("SCRIPT", "DEBUG", "x") == b"ERR Use SCRIPT DEBUG YES/SYNC/NO"
    assert client("SCRIPT", "HELP")[0].startswith(b"SCRIPT <subcommand>")


def test_scripts_that_only_eval_brought_make_room(client: EngineClient) -> None:
    kept = client("SCRIPT", "LOAD", "return 'kept'")
    first = sha1(b"return 0").hexdigest()
    for number in range(500):
        client("EVAL", f"return {number}", 0)
        client("EVALSHA", first, 0)
    client("EVAL", "return 'one more'", 0)
    second = sha1(b"return 1").hexdigest()
    assert client("SCRIPT", "EXISTS", kept, first, second) == [1, 1, 0]
    assert client.engine.scripting.evicted_scripts == 1
    client("CONFIG", "RESETSTAT")
    assert client.engine.scripting.evicted_scripts == 0


@pytest.mark.parametrize(
    "line",
    [
        *("#!lua", "#!js", "#!", "#! lua", "#!lua flags=", "#!lua flags=foo", "#!lua name=x"),
        *("#!lua x", "#!lua flags='no-writes'", "#!lua flags=no-writes flags=allow-oom"),
        "#!lua flags=no-writes,allow-oom,allow-stale,no-cluster,allow-cross-slot-keys",
    ],
)
def test_shebang(twin: Twin, line: str) -> None:
    for command in ("EVAL", "EVAL_RO"):
        twin(command, line, 0)
        twin(command, line + "\nreturn 1", 0)
        twin(command, line + "\n\nerror('x')", 0)
        twin(command, line + "\nreturn redis.call('SET', 'a', 'b')", 0)


def test_read_only_scripts(twin: Twin) -> None:
    twin("EVAL_RO", "return redis.call('GET', 'x')", 0)
    twin("EVAL_RO", "return redis.call('SET', 'a', 'b')", 0)
    twin("EVAL_RO", "return redis.pcall('SET', 'a', 'b')", 0)
    twin("EVAL_RO", "return redis.call('PUBLISH', 'a', 'b')", 0)


def test_blocking_commands_do_not_wait(client: EngineClient) -> None:
    assert client("EVAL", "return redis.call('BLPOP', 'l', 0)", 0) is None
    client("RPUSH", "l", "x")
    assert client("EVAL", "return redis.call('BLPOP', 'l', 0)", 0) == [b"l", b"x"]


def test_database_and_protocol_of_a_script_are_its_own(client: EngineClient) -> None:
    client("EVAL", "redis.call('SELECT', 3) redis.setresp(3) redis.call('SET', 'k', 'v')", 0)
    assert client("GET", "k") is None
    assert client("EVAL", "return redis.call('HGETALL', 'h')", 0) == []
    client("SELECT", 3)
    assert client("GET", "k") == b"v"


def test_statistics(twin: Twin) -> None:
    twin("SET", "a", "b")
    twin("CONFIG", "RESETSTAT")
    for script in (
        "redis.call('GET', 'a') redis.pcall('INCR', 'a') redis.pcall('nope') redis.pcall('GET')",
        "redis.call('INCR', 'a')",
        "error('x')",
        "return {err = 'FOO bar'}",
        "return {{err = 'FOO bar'}, redis.pcall('INCR', 'a')}",
    ):
        twin("EVAL", script, 0)
    assert _numbers(twin.ours) == _numbers(twin.real)


def _numbers(client: Any) -> list[bytes]:
    rows = client("INFO", "errorstats").split(b"\r\n")
    rows += client("INFO", "commandstats").split(b"\r\n")
    kept = [row for row in rows if b"config" not in row and b"info" not in row]
    return sorted(
        b",".join(f for f in row.split(b",") if not f.startswith(b"usec")) for row in kept
    )


def test_slow_log_and_monitor_see_what_scripts_call(client: EngineClient) -> None:
    client("CONFIG", "SET", "slowlog-log-slower-than", 0)
    client("SLOWLOG", "RESET")
    client("EVAL", "redis.call('SET', 'a', 'b')", 0)
    calls = [(each[3][0], each[4]) for each in client("SLOWLOG", "GET")]
    assert calls[:2] == [(b"EVAL", b"127.0.0.1:50000"), (b"SET", b"?:0")]
    monitor = client.another()
    monitor("MONITOR")
    client("EVAL", "redis.call('SET', 'a', 'b') redis.call('GET', 'a')", 0)
    assert [line.split(b" ", 1)[1] for line in monitor.replies()] == [
        b"[0 127.0.0.1:50000] \"EVAL\" \"redis.call('SET', 'a', 'b') "
        b"redis.call('GET', 'a')\" \"0\"",
        b'[0 lua] "SET" "a" "b"',
        b'[0 lua] "GET" "a"',
    ]


def test_info_tells_of_scripts(client: EngineClient) -> None:
    client("EVAL", "return 1", 0)
    rows = dict(row.split(b":") for row in client("INFO", "memory").split(b"\r\n") if b":" in row)
    assert rows[b"number_of_cached_scripts"] == b"1"
    assert int(rows[b"used_memory_vm_eval"]) > 10_000


# Effects


def watched(**settings: Any) -> tuple[EngineClient, list[Any]]:
    """A client, and the units that would go to the AOF and to replicas."""
    client = new_client(**settings)
    units: list[Any] = []
    client.engine.feeds.append(Listener(units.append))
    client.engine.observe()
    return client, units


def commands(unit: list[Any]) -> list[bytes]:
    return [b" ".join(argv) for _, argv in unit]


def test_effects_are_propagated_as_one_unit() -> None:
    client, units = watched()
    client("EVAL", "redis.call('SET', 'a', ARGV[1]) redis.call('INCR', 'n')", 0, "x")
    assert [commands(unit) for unit in units] == [[b"MULTI", b"SET a x", b"INCR n", b"EXEC"]]
    units.clear()
    client("EVAL", "return redis.call('GET', 'a')", 0)
    client("EVAL", "redis.call('SET', 'a', 1, 'EX', 10) error('late')", 0)
    assert [commands(unit) for unit in units] == [[b"SET a 1 PXAT 1700000010000"]]


def test_set_repl_limits_who_gets_what() -> None:
    client, everything = watched()
    aof: list[Any] = []
    replicas: list[Any] = []
    client.engine.feeds += [Listener(aof.append, "aof"), Listener(replicas.append)]
    client(
        "EVAL",
        "redis.set_repl(redis.REPL_NONE) redis.call('SET', 'none', 1)"
        "redis.set_repl(redis.REPL_AOF) redis.call('SET', 'aof', 1)"
        "redis.set_repl(redis.REPL_REPLICA) redis.call('SET', 'replica', 1)"
        "redis.set_repl(redis.REPL_ALL) redis.call('SET', 'all', 1)",
        0,
    )
    assert commands(aof[0]) == [b"MULTI", b"SET aof 1", b"SET all 1", b"EXEC"]
    assert commands(replicas[0]) == [b"MULTI", b"SET replica 1", b"SET all 1", b"EXEC"]
    assert client("EXISTS", "none", "aof", "replica", "all") == 4
    assert len(everything) == 1


def test_waiters_are_served_after_the_script(client: EngineClient) -> None:
    other = client.another()
    other.send("BLPOP", "l", 0)
    assert client("EVAL", "redis.call('RPUSH', 'l', 1) return redis.call('LLEN', 'l')", 0) == 1
    assert other.replies() == [[b"l", b"1"]]


def test_watch_and_transactions(twin: Twin) -> None:
    twin("WATCH", "k")
    twin.another()("EVAL", "redis.call('SET', 'k', 1)", 0)
    twin("MULTI")
    twin("EVAL", "return 1", 0)
    twin("EXEC")
    twin("MULTI")
    twin("EVAL", "return redis.call('INCR', 'k')", 0)
    twin("EVAL", "error('x')", 0)
    twin("EVAL", "return {1, {ok = 'x'}}", 0)
    twin("EXEC")


def test_rights_are_those_of_the_caller(client: EngineClient) -> None:
    client("ACL", "SETUSER", "ann", "on", "nopass", "~mine:*", "+@all", "-flushall")
    client("AUTH", "ann", "x")
    assert client("EVAL", "return redis.call('SET', 'mine:1', 'x')", 0) == b"OK"
    reply = client("EVAL", "return redis.call('SET', 'other', 'x')", 0)
    assert reply.startswith(b"ERR ACL failure in script: No permissions to access a key")
    assert client("EVAL", "return redis.acl_check_cmd('SET', 'other', 'x')", 0) is None
    assert client("EVAL", "return redis.acl_check_cmd('SET', 'mine:2', 'x')", 0) == 1
    assert client("EVAL", "return redis.acl_check_cmd('FLUSHALL')", 0) is None


# Scripts that do not end


class PassingClock(ManualClock):
    """A clock that goes on by a millisecond whenever it is read."""

    __slots__ = ("read_ns",)

    def __init__(self) -> None:
        super().__init__()
        self.read_ns = 0

    def steady_ns(self) -> int:
        self.read_ns += 1_000_000
        return self.read_ns


def slow_pair() -> tuple[EngineClient, EngineClient, list[tuple[Any, ...]], list[Any]]:
    """Two clients; what is put into the list the second one sends while a script is busy."""
    engine, _ = new_engine(busy_reply_threshold=20)
    clock = PassingClock()
    engine = Engine(engine.config, clock, engine.rng, engine.table)
    caller = EngineClient(engine, clock)
    other = caller.another()
    requests: list[tuple[Any, ...]] = []
    replies: list[Any] = []

    def poll() -> None:
        if requests:
            other.send(*requests.pop(0))
            replies.extend(other.replies())

    engine.poll_clients = poll
    return caller, other, requests, replies


ENDLESS = [
    "while true do end",
    "while true do redis.call('GET', 'x') end",
    "while true do redis.pcall('nope') end",
    "while true do pcall(function() while true do end end) end",
    "while true do pcall(redis.call, 'GET', 'x') end",
    "local function loop() while true do end end while true do xpcall(loop, loop) end",
    "while true do coroutine.wrap(function() while true do end end)() end",
    "local c = coroutine.create(function() while true do pcall(error) end end)"
    " while true do pcall(coroutine.resume, c) end",
    "local t = setmetatable({}, {__index = function() while true do end end}) return t.x",
    "table.sort({3, 2, 1}, function() while true do end end)",
    "string.gsub('abc', '.', function() while true do end end)",
]


@pytest.mark.parametrize("script", ENDLESS)
def test_every_endless_script_can_be_killed(script: str) -> None:
    caller, other, requests, replies = slow_pair()
    requests += [("PING",), ("SCRIPT", "KILL")]
    assert caller("EVAL", script, 0).startswith(KILLED)
    assert replies == [BUSY, b"OK"]
    assert caller("EVAL", "return 1", 0) == 1
    assert other("PING") == b"PONG"


def test_what_a_busy_server_allows() -> None:
    caller, other, requests, replies = slow_pair()
    requests += [
        *(("FUNCTION", "KILL"), ("FUNCTION", "STATS"), ("SHUTDOWN",), ("MULTI",), ("GET", "x")),
        *(("EXEC",), ("EVAL", "return 1", 0), ("WATCH", "x"), ("UNWATCH",), ("SCRIPT", "KILL")),
    ]
    caller("EVAL", "while true do end", 0)
    discarded = b"EXECABORT Transaction discarded because of: " + BUSY
    expected = [BUSY, BUSY, BUSY, b"OK", BUSY, discarded, BUSY, b"OK", b"OK", b"OK"]
    assert replies == expected
    assert other("SCRIPT", "KILL") == b"NOTBUSY No scripts in execution right now."


def test_a_script_that_has_written_cannot_be_killed() -> None:
    caller, _, requests, replies = slow_pair()
    requests += [("SCRIPT", "KILL"), ("SHUTDOWN", "NOSAVE")]
    reply = caller("EVAL", "redis.call('SET', 'k', 1) while true do end", 0)
    assert reply.startswith(b"ERR The server is shutting down.")
    assert [reply.split(b" ")[0] for reply in replies] == [b"UNKILLABLE"]
    assert caller.engine.exit_status == 0


def test_time_stands_still_for_a_script() -> None:
    caller, _, requests, replies = slow_pair()
    requests.append(("PING",))
    caller("SET", "k", "v", "PX", 5)
    script = "local n = 0 while n < 1e6 do n = n + 1 end return redis.call('GET', 'k')"
    assert caller("EVAL", script, 0) == b"v"
    assert replies == [BUSY]


def test_a_limit_of_zero_is_none() -> None:
    caller, _, requests, replies = slow_pair()
    caller("CONFIG", "SET", "busy-reply-threshold", 0)
    requests.append(("PING",))
    assert caller("EVAL", "for i = 1, 1e7 do end return 1", 0) == 1
    assert replies == []


def test_busy_over_the_network(node: Node) -> None:
    """A million calls in a loop, interrupted by a client that comes only then."""
    first, second = node.client(), node.client()
    first("CONFIG", "SET", "busy-reply-threshold", 20)
    first.send("EVAL", "for i = 1, 1e6 do redis.call('GET', 'x') end while true do end", 0)
    while not second("PING").startswith(b"BUSY"):
        pass
    third = node.client()
    assert third("GET", "x") == BUSY
    assert third("SCRIPT", "KILL") == b"OK"
    assert first.read().startswith(KILLED)
    assert second("PING") == first("PING") == b"PONG"
    first.send("EVAL", "redis.call('SET', 'x', 1) while true do end", 0)
    while not second("PING").startswith(b"BUSY"):
        pass
    second.send("SHUTDOWN", "NOSAVE")
    assert node.finish() == 0


def test_lua_is_loaded_only_when_it_is_needed() -> None:
    """Looking for the module in a fresh process: this one has run scripts already."""
    import subprocess

    code = (
        "import sys, pyredis.__main__; from pyredis.server import command_table;"
        "command_table(); print('lupa' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"


@pytest.mark.parametrize("count", [7899, 7900, 7996, 7998])
def test_as_many_arguments_as_lua_can_unpack(client: EngineClient, count: int) -> None:
    script = "local a = {'RPUSH', 'l'} for i = 1, ARGV[1] do a[i + 2] = i end return redis.%s(%s)"
    for call in ("call", "pcall"):
        assert client("EVAL", script % (call, "unpack(a)"), 0, count - 1) == count - 1
        assert client("LINDEX", "l", -1) == b"%d" % (count - 1)
        client("DEL", "l")
    reply = client("EVAL", script % ("pcall", "'x', {}, unpack(a)"), 0, count - 2)
    assert reply == b"ERR Lua redis lib command arguments must be strings or integers"
