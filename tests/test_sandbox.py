"""What a script must not be able to do, attempt by attempt."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyredis.scripting import sandbox
from pyredis.scripting.bytecode import HEADER, without_tail_calls
from tests.support import EngineClient, Twin, new_client

READONLY = b"Attempt to modify a readonly table"

ABSENT = (
    "io require dofile loadfile package module debug print newproxy getfenv setfenv python lupa "
    "jit __builtins__ arg foo"
).split()

SEALED = "_G redis string table math os coroutine cjson cmsgpack struct bit".split()


@pytest.mark.parametrize("name", ABSENT)
def test_there_is_no(client: EngineClient, name: str) -> None:
    expected = f"Script attempted to access nonexistent global variable '{name}'".encode()
    assert expected in client("EVAL", f"return {name}", 0)
    assert expected in client("EVAL", f"return _G.{name}", 0)
    assert expected in client("EVAL", f"return _G['{name}']", 0)
    assert expected in client("EVAL", f"return loadstring('return {name}')()", 0)
    assert client("EVAL", f"return rawget(_G, '{name}')", 0) is None


def test_only_the_clock_is_left_of_os(client: EngineClient) -> None:
    names = "local t = {} for k in pairs(os) do t[#t + 1] = k end return t"
    assert client("EVAL", names, 0) == [b"clock"]
    assert client("EVAL", "return type(os.clock())", 0) == b"number"
    assert b"attempt to call" in client("EVAL", "os.execute('true')", 0)


@pytest.mark.parametrize("table", SEALED)
@pytest.mark.parametrize(
    "attempt",
    [
        "{t}.x = 1",
        "{t}['x'] = 1",
        "{t}[1] = 1",
        "rawset({t}, 'x', 1)",
        "setmetatable({t}, {{}})",
        "table.insert({t}, 1)",
        "table.insert({t}, 1, 2)",
        "local k = next({t}) {t}[k] = nil",
        "for k in pairs({t}) do {t}[k] = 1 end",
        "local f, s, k = pairs({t}) rawset(s, 'x', 1)",
        "loadstring('{t}.x = 1')()",
        "coroutine.wrap(function() {t}.x = 1 end)()",
    ],
)
def test_tables_of_the_server_are_sealed(client: EngineClient, table: str, attempt: str) -> None:
    assert READONLY in client("EVAL", attempt.format(t=table), 0)
    assert client("EVAL", f"return {table}.x" if table != "_G" else "return", 0) is None


@pytest.mark.parametrize(
    "attempt",
    [
        "x = 1",
        "function f() end",
        "_G.x = 1",
        "KEYS = {}",
        "redis = nil",
        "loadstring('x = 1')()",
        "getmetatable('').__index = nil",
        "getmetatable('').x = 1",
        "getmetatable('').__index.rep = nil",
        "getmetatable(_G).__index = nil",
        "getmetatable(_G).__newindex = nil",
        "rawset(getmetatable(''), '__index', {})",
        "rawset(getmetatable(_G), '__index', {})",
        "setmetatable(getmetatable(_G), {})",
    ],
)
def test_nothing_global_can_be_made_or_changed(client: EngineClient, attempt: str) -> None:
    assert READONLY in client("EVAL", attempt, 0)
    assert client("EVAL", "return ('x'):rep(2)", 0) == b"xx"


def test_scripts_leave_no_trace(client: EngineClient) -> None:
    client("EVAL", "KEYS[2] = 'x' table.remove(string) table.sort(redis)", 1, "a")
    client("EVAL", "local r = redis.call('SET', 'a', 1) r.ok = 'changed'", 0)
    assert client("EVAL", "return {#KEYS, #string, #redis}", 0) == [0, 0, 0]
    assert client("EVAL", "return redis.call('SET', 'a', 1).ok", 0) == b"OK"


@pytest.mark.parametrize(
    "attempt",
    [
        "return loadstring(string.dump(function() return 7 end))",
        "return load(function() return string.dump(function() return 7 end) end)",
        "return loadstring('\\27Lua')",
        "return loadstring('\\27')",
    ],
)
def test_bytecode_is_not_loaded(client: EngineClient, attempt: str) -> None:
    assert client("EVAL", attempt, 0) is None
    reply = client("EVAL", f"return {{select(2, (function() {attempt} end)())}}", 0)
    assert b"unexpected symbol near 'char(27)'" in reply[0]


PYTHON = [
    "return redis.call.__globals__",
    "return redis.call.__class__",
    "return tostring(redis.call):find('python', 1, true)",
    "return getmetatable(redis.call)",
    "return getmetatable(redis)",
    "return os.clock.__self__",
    "return pcall(getfenv, redis.call)",
    "return python.eval('1')",
    "return string.dump(redis.call):find('import', 1, true)",
]


@pytest.mark.parametrize("attempt", PYTHON)
def test_no_way_to_python(client: EngineClient, attempt: str) -> None:
    reply = client("EVAL", attempt, 0)
    assert reply is None or reply.startswith(b"ERR user_script:1:")


def test_no_value_in_reach_is_an_object_of_python(client: EngineClient) -> None:
    """Walks through everything a script can get at, metatables and upvalues of results included."""
    walk = """
    local seen, found = {}, {}
    local function visit(value, path)
      if seen[value] then return end
      if type(value) == 'userdata' and value ~= cjson.null then found[#found + 1] = path end
      if type(value) ~= 'table' then return end
      seen[value] = true
      local mt = getmetatable(value)
      if mt then visit(mt, path .. '<mt>') end
      for k, v in pairs(value) do visit(k, path .. '<key>') visit(v, path .. '.' .. tostring(k)) end
    end
    visit(_G, '_G') visit(getmetatable(''), 'text') visit(getmetatable(_G), 'mt')
    visit({redis.pcall('nope'), redis.call('TIME'), redis.call('COMMAND', 'INFO', 'get')}, 'reply')
    return found
    """
    assert client("EVAL", walk, 0) == []


@pytest.mark.parametrize(
    "catch",
    [
        "local ok, e = pcall({f}) return {{type(e), tostring(e)}}",
        "local ok, e = xpcall({f}, function(e) return e end) return {{type(e), tostring(e)}}",
        "local ok, e = coroutine.resume(coroutine.create({f})) return {{type(e), tostring(e)}}",
        "local ok, e = pcall(coroutine.wrap({f})) return {{type(e), tostring(e)}}",
        "local ok, e = pcall(pcall, {f}) return {{type(ok), 'internal'}}",
    ],
)
def test_an_exception_of_python_is_only_a_text(client: EngineClient, catch: str) -> None:
    """There should be none; here the clock fails, but only while a script runs."""
    engine = client.engine
    client("EVAL", "return 1", 0)

    def clock_ns() -> int:
        if engine.scripting.run is not None:
            raise ValueError("secret")
        return 0

    engine.clock_ns = clock_ns
    kind, text = client("EVAL", catch.format(f="os.clock"), 0)
    assert kind in (b"string", b"boolean")
    assert b"secret" not in text
    assert b"internal" in text


# Limits


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> EngineClient:
    """A client whose scripts may use little memory."""
    monkeypatch.setattr(sandbox, "MEMORY_MAX_BYTES", 16 << 20)
    monkeypatch.setattr(sandbox, "RESERVE_BYTES", 4 << 20)
    return new_client()


@pytest.mark.parametrize(
    "script",
    [
        "return string.rep('x', 1e9)",
        "return ('x'):rep(1e9)",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = #t end",
        "local t = {} while true do t = {t} end",
        "local t = {} for i = 1, 1e9 do t[i] = tostring(i) end",
        "local f = function() return 'return 1 ' end return load(f)",
        "while true do local x = string.rep('x', 5e6) .. redis.call('GET', 'big') .. 'y' end",
        "local t = {} while true do t[#t + 1] = redis.call('GET', 'big') end",
        "local t = {} while true do t[#t + 1] = redis.call('LRANGE', 'list', 0, -1) end",
        "local t = {} while true do t[#t + 1] = redis.pcall('nope') end",
        "local t = {} for i = 1, 1e6 do t[i] = string.rep('x', 100) end",
        "local t = {} for i = 1, 100000 do t[i] = ('x'):rep(60) end return t",
        "return coroutine.wrap(function() return string.rep('x', 1e9) end)()",
    ],
)
def test_memory_is_limited(small: EngineClient, script: str) -> None:
    small("SET", "big", b"x" * (1 << 20))
    small("RPUSH", "list", *[b"y" * 1000] * 500)
    assert b"not enough memory" in small("EVAL", script, 0)
    assert small("EVAL", "return 'alive'", 0) == b"alive"


def test_a_script_can_catch_that_memory_is_short(small: EngineClient) -> None:
    script = """
    local t = {}
    local ok, e = pcall(function() while true do t = {t} end end)
    t = nil
    collectgarbage()
    return {ok, e}
    """
    assert small("EVAL", script, 0) == [None, b"not enough memory"]


def test_what_is_too_large_to_be_passed_is_refused(small: EngineClient) -> None:
    big = b"x" * (20 << 20)
    assert b"not enough memory" in small("EVAL", "return 1", 0, big)
    assert b"not enough memory" in small("EVAL", b"return '" + big + b"'", 0)
    small("SET", "k", big)
    assert b"not enough memory" in small("EVAL", "return redis.call('GET', 'k')", 0)
    assert small("EVAL", "return #redis.pcall('GET', 'k').err", 0) > 0
    small("RPUSH", "l", *[b"x" * 100_000] * 150)
    assert b"not enough memory" in small("EVAL", "return redis.call('LRANGE', 'l', 0, -1)", 0)
    assert small("EVAL", "return 'alive'", 0) == b"alive"


@pytest.mark.parametrize(
    "script",
    [
        "local function f() return 1 + f() end return f()",
        "local function f() return f() end return f()",
        "local t = setmetatable({}, {__index = function(t, k) return t[k] end}) return t.x",
        "local f f = function() return pcall(f) end error(select(-1, f()))",
        "return cmsgpack.unpack(string.rep('\\145', 100000))",
        "local s = string.rep('(', 300) return string.find('x', s)",
        "return unpack({}, 1, 1e7)",
    ],
)
def test_the_stack_is_limited(client: EngineClient, script: str) -> None:
    assert client("EVAL", script, 0).startswith(b"ERR ")
    assert client("EVAL", "return 1", 0) == 1


def test_the_collector_stays_on(client: EngineClient) -> None:
    client("EVAL", "collectgarbage('stop') collectgarbage('setpause', 1e9)", 0)
    for _ in range(300):
        client("EVAL", "local s = string.rep('x', 1e6) return 1", 0)
    assert client.engine.scripting.eval_vm_bytes < 100 << 20


# The one change to compiled code

TAILS = [
    "return redis.call('nope')",
    "local call = redis.call return call('nope')",
    "local function f() return redis.call('nope') end return f()",
    "local t = {f = function(self) return error('x') end} return t:f()",
    "return (function(...) return select(-1, ...) end)(1, 2, 3)",
    "return unpack({1, 2, 3})",
    "return cjson.decode('x')",
    "local f f = function(n) if n == 0 then return 'deep' end return f(n - 1) end return f(10000)",
    "if true then return tostring(1) else return tostring(2) end",
    "return loadstring('return redis.call([[nope]])')()",
]


@pytest.mark.parametrize("script", TAILS)
def test_tail_calls_keep_their_caller(twin: Twin, script: str) -> None:
    twin("EVAL", script, 0)
    twin("EVAL", f"local x = 1\n\nlocal y = function() {script} end\nreturn y()", 0)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200) | st.binary(max_size=200).map(HEADER.__add__))
def test_what_is_no_dump_is_refused(noise: bytes) -> None:
    with pytest.raises(ValueError, match="not a chunk"):
        without_tail_calls(noise)


def test_the_deprecated_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """lua-enable-deprecated-api: they come back, but do not lead out of the sandbox."""
    client = new_client()
    client.engine.config.lua_enable_deprecated_api = True
    run = lambda script: client("EVAL", script, 0)  # noqa: E731
    assert run("return tostring(getfenv() == _G)") == b"true"
    assert run("return tostring(getfenv(0) == _G and getfenv(1) == _G)") == b"true"
    assert run("return tostring(getfenv(redis.call) == _G and getfenv(pcall) == _G)") == b"true"
    assert run("local f = function() return x end setfenv(f, {x = 5}) return f()") == 5
    assert run("setfenv(1, {}) return 1") == 1
    for target in ("0", "redis.call", "cjson.encode", "pcall", "os.clock"):
        assert b"cannot change environment" in run(f"setfenv({target}, {{}})")
    assert run("return type(newproxy())") == b"userdata"
    assert b"not available" in run("newproxy(true)")
