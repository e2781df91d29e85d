"""FUNCTION and FCALL."""

from __future__ import annotations

import pytest

from tests.support import EngineClient, RealRedis, Twin
from tests.test_scripting import KILLED, commands, slow_pair, watched

LIBRARY = """#!lua name=lib
local uses = 0
local function count() uses = uses + 1 return uses end
redis.register_function('count', count)
redis.register_function('echo', function(keys, args) return {keys, args} end)
redis.register_function{
  function_name = 'read', flags = {'no-writes'}, description = 'reads',
  callback = function(keys) return redis.call('GET', keys[1]) end,
}
redis.register_function{
  function_name = 'cheat', flags = {'no-writes'},
  callback = function() return redis.call('SET', 'a', 1) end,
}
redis.register_function('boo', function() error('boo') end)
redis.register_function('nope', function() return redis.call('nope') end)
redis.register_function('global', function() x = 1 end)
redis.register_function('keys', function() return KEYS end)
redis.register_function('late', function() redis.register_function('z', function() end) end)
redis.register_function('resp3', function() redis.setresp(3) return true end)
"""


def one(name: str, *functions: str) -> str:
    """The code of a library whose functions return 1."""
    rows = [f"redis.register_function('{each}', function() return 1 end)" for each in functions]
    return f"#!lua name={name}\n" + "\n".join(rows)


def test_calls(twin: Twin) -> None:
    twin("FUNCTION", "FLUSH")
    twin("FUNCTION", "LOAD", LIBRARY)
    twin("SET", "k", "v")
    for args in (
        *(("count", 0), ("count", 0), ("COUNT", 0), ("echo", 1, "k", "a", "b"), ("read", 1, "k")),
        *(("cheat", 0), ("boo", 0), ("nope", 0), ("global", 0), ("keys", 0), ("late", 0)),
        *(("resp3", 0), ("none", 0), ("echo", "x"), ("echo", 3, "a"), ("echo", -1)),
    ):
        twin("FCALL", *args)
        twin("FCALL_RO", *args)


@pytest.mark.parametrize(
    "code",
    [
        "return 1",
        "#!lua\nreturn 1",
        "#!lua name=\nreturn 1",
        "#!lua name=a-b\nreturn 1",
        "#!lua name=a name=b\nreturn 1",
        "#!lua name=a foo=b\nreturn 1",
        "#!lua foo\nreturn 1",
        "#!js name=a\nreturn 1",
        "#!\nreturn 1",
        "#!lua name=a",
        "#!lua name=a\nreturn 1",
        "#!lua name=a\nx =",
        "#!LUA name='a'\nredis.register_function('a', function() end)",
        *(
            f"#!lua name=a\n{body}"
            for body in (
                "x = 1",
                "error('x')",
                "local x = _G",
                "local x = tostring",
                "redis.call('PING')",
                "redis.setresp(3)",
                "redis.x = 1",
                "return redis.foo",
                "return KEYS",
                "local x = redis.REPL_ALL",
                "redis.log(1)",
                "redis.log(redis.LOG_DEBUG, redis.REDIS_VERSION_NUM)",
                "redis.register_function()",
                "redis.register_function('a')",
                "redis.register_function(1, function() end)",
                "redis.register_function('a-b', function() end)",
                "redis.register_function('', function() end)",
                "redis.register_function({}, function() end)",
                "redis.register_function('a', 1)",
                "redis.register_function('a', function() end, {'no-writes'})",
                "redis.register_function{}",
                "redis.register_function{function_name = 'a'}",
                "redis.register_function{callback = function() end}",
                "redis.register_function{function_name = {}, callback = function() end}",
                "redis.register_function{function_name = 'a', callback = 1}",
                *(
                    "redis.register_function{function_name = 'a', callback = function() end, "
                    + more
                    + "}"
                    for more in (
                        *("flags = 1", "flags = {'x'}", "flags = {1}", "foo = 1", "[1] = 'a'"),
                        *("[{}] = 1", "description = {}", "description = 1", "FLAGS = {}"),
                    )
                ),
                "for i = 1, 2 do redis.register_function('a', function() end) end",
            )
        ),
    ],
)
def test_loading(twin: Twin, code: str) -> None:
    twin("FUNCTION", "FLUSH")
    twin("FUNCTION", "LOAD", code)
    twin("FUNCTION", "LIST", "WITHCODE")


def test_names_are_unique(twin: Twin) -> None:
    twin("FUNCTION", "FLUSH")
    twin("FUNCTION", "LOAD", one("a", "f"))
    twin("FUNCTION", "LOAD", one("a", "g"))
    twin("FUNCTION", "LOAD", one("b", "f"))
    twin("FUNCTION", "LOAD", "REPLACE", one("b", "f"))
    twin("FUNCTION", "LOAD", "replace", one("a", "g"))
    twin("FCALL", "f", 0)
    twin("FCALL", "g", 0)
    twin("FUNCTION", "LOAD", "REPLACE", one("a", "f") + "\nboom()")
    twin("FCALL", "g", 0)
    twin("FUNCTION", "LOAD", "FOO", one("c", "f"))
    twin("FUNCTION", "LOAD", "REPLACE")
    twin("FUNCTION", "DELETE", "none")
    twin("FUNCTION", "DELETE", "a")
    twin("FCALL", "g", 0)


@pytest.mark.parametrize("protocol", [2, 3])
def test_list_and_stats(twin: Twin, protocol: int) -> None:
    twin.real("HELLO", protocol)
    twin.ours("HELLO", protocol)
    twin("FUNCTION", "FLUSH")
    flags = "flags = {'allow-oom', 'no-writes'}, description = 'd'"
    twin(
        "FUNCTION",
        "LOAD",
        "#!lua name=Lib\nredis.register_function{function_name = 'f', callback = function() end, "
        + flags
        + "}",
    )
    for args in (
        *((), ("WITHCODE",), ("LIBRARYNAME", "l*"), ("LIBRARYNAME", "x*", "withcode")),
        *(("LIBRARYNAME",), ("FOO",), ("WITHCODE", "WITHCODE")),
        ("LIBRARYNAME", "a", "LIBRARYNAME", "b"),
    ):
        twin("FUNCTION", "LIST", *args)
    twin("FUNCTION", "STATS")


def test_flush_kill_and_wrong_arguments(twin: Twin) -> None:
    for args in (
        *(("FLUSH", "X"), ("FLUSH", "SYNC", "x"), ("FLUSH", "ASYNC"), ("KILL",), ("FOO",), ()),
        *(("RESTORE", "foo"), ("RESTORE", "foo", "BAR"), ("restore", "foo", "FLUSH", "x")),
    ):
        twin("FUNCTION", *args)
    assert twin.ours("FUNCTION", "HELP")[0].startswith(b"FUNCTION <subcommand>")


def test_dump_and_restore(twin: Twin, real_redis: RealRedis) -> None:
    twin("FUNCTION", "FLUSH")
    twin("FUNCTION", "DUMP")
    twin("FUNCTION", "LOAD", LIBRARY + "-- " + "x" * 500)
    theirs, ours = twin.real("FUNCTION", "DUMP"), twin.ours("FUNCTION", "DUMP")
    for payload in (theirs, ours):
        twin("FUNCTION", "RESTORE", payload)
        twin("FUNCTION", "RESTORE", payload, "REPLACE")
        twin("FUNCTION", "RESTORE", payload, "FLUSH")
        twin("FUNCTION", "FLUSH")
        twin("FUNCTION", "RESTORE", payload, "append")
        twin("FCALL", "count", 0)
    twin("FUNCTION", "FLUSH")
    twin("FUNCTION", "LOAD", one("other", "count"))
    twin("FUNCTION", "RESTORE", theirs)
    twin("FUNCTION", "RESTORE", theirs, "REPLACE")
    twin("FUNCTION", "RESTORE", theirs[:-1] + b"x")
    twin("FUNCTION", "LIST")


def test_libraries_are_propagated() -> None:
    client, units = watched()
    client("FUNCTION", "LOAD", one("a", "f"))
    client("FUNCTION", "DELETE", "a")
    client("FUNCTION", "FLUSH")
    words = [row.split()[:2] for unit in units for row in commands(unit)]
    assert words == [[b"FUNCTION", b"LOAD"], [b"FUNCTION", b"DELETE"], [b"FUNCTION", b"FLUSH"]]
    units.clear()
    client("FUNCTION", "LOAD", LIBRARY)
    client("FUNCTION", "LOAD", LIBRARY)
    assert len(units) == 1


def test_a_busy_function() -> None:
    caller, _, requests, replies = slow_pair()
    code = "#!lua name=l\nredis.register_function('loop', function() while true do end end)"
    caller("FUNCTION", "LOAD", code)
    requests += [("FUNCTION", "STATS"), ("SCRIPT", "KILL"), ("GET", "x"), ("FUNCTION", "KILL")]
    assert caller("FCALL", "loop", 1, "k", "a").startswith(KILLED)
    stats, kill, get, done = replies
    running = stats[1]
    assert running[:4] == [b"name", b"loop", b"command", [b"FCALL", b"loop", b"1", b"k", b"a"]]
    assert running[4] == b"duration_ms"
    assert running[5] > 20
    busy = (
        b"BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
    )
    assert kill == get == busy
    assert done == b"OK"


def test_a_library_that_does_not_finish_loading() -> None:
    caller, _, _, _ = slow_pair()
    reply = caller("FUNCTION", "LOAD", "#!lua name=l\nwhile true do end")
    assert reply == b"ERR Error registering functions: ERR FUNCTION LOAD timeout"
    assert caller("FUNCTION", "LOAD", one("l", "f")) == b"l"
    assert caller("FCALL", "f", 0) == 1


def test_scripts_and_functions_share_nothing(client: EngineClient) -> None:
    client("FUNCTION", "LOAD", LIBRARY)
    client("EVAL", "cjson.encode_max_depth(3)", 0)
    client("SCRIPT", "FLUSH")
    assert client("FCALL", "count", 0) == 1
    client("FUNCTION", "FLUSH")
    assert client("FCALL", "count", 0) == b"ERR Function not found"
    assert client("EVAL", "return redis.register_function", 0) is None


def test_names_of_functions_are_taken_as_long_as_their_library_stays(client: EngineClient) -> None:
    def library(name: str, *functions: str) -> str:
        lines = [
            f"redis.register_function('{each}', function() return 1 end)" for each in functions
        ]
        return "\n".join((f"#!lua name={name}", *lines))

    taken = b"ERR Function f already exists"
    client("FUNCTION", "LOAD", library("one", "f", "g"))
    assert client("FUNCTION", "LOAD", library("two", "f")) == taken
    assert client("FUNCTION", "LOAD", "REPLACE", library("two", "h", "f")) == taken
    payload = client("FUNCTION", "DUMP")
    assert client("FUNCTION", "LOAD", "REPLACE", library("one", "f")) == b"one"
    assert client("FUNCTION", "LOAD", library("two", "g")) == b"two"
    assert client("FUNCTION", "RESTORE", payload, "REPLACE") == b"ERR Function g already exists"
    assert client("FUNCTION", "RESTORE", payload, "FLUSH") == b"OK"
    assert client("FCALL", "f", 0) == client("FCALL", "g", 0) == 1
