"""The libraries of scripts (cjson, cmsgpack, struct, bit, math) against those of a real server."""

from __future__ import annotations

import json
import math
import struct

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyredis.scripting.arithmetic import Dice
from tests.support import EngineClient, Twin, new_client

CJSON = r"""
return cjson.encode(0.1)
return cjson.encode(1/3)
return cjson.encode(2^53)
return cjson.encode(2^53+2)
return cjson.encode(1e15)
return cjson.encode(123456789012345678)
return cjson.encode(1e300)
return cjson.encode(-0.0)
return cjson.encode(0/0)
return cjson.encode(1/0)
return cjson.encode("a\"b\\c/d\n\t\r\b\f\1\127\200\195\169")
return cjson.encode({})
return cjson.encode({{}})
return cjson.encode({1,nil,3})
return cjson.encode({[1]=1,[100]=1})
return cjson.encode({[3]=1})
return cjson.encode({[11]=1})
return cjson.encode({[20]=1})
return cjson.encode({[1.5]=1})
return cjson.encode({[0]=1})
return cjson.encode({[-1]=1})
return cjson.encode({a=1,[1]=2})
return cjson.encode({[true]=1})
return cjson.encode(function() end)
return cjson.encode({f=function() end})
return cjson.encode(coroutine.create(function() end))
return cjson.encode(cjson.null)
return cjson.encode(nil)
return cjson.encode()
return cjson.encode(1,2)
return cjson.encode("str")
return cjson.encode(true)
local t={} t[1]=t return cjson.encode(t)
local t={} t.a=t return cjson.encode(t)
return cjson.decode()
return cjson.decode(nil)
return cjson.decode({})
return cjson.decode(12)
return cjson.decode("")
return cjson.decode("  ")
return cjson.decode("x")
return cjson.decode("[1,2")
return cjson.decode("[1,2,]")
return cjson.decode("[1 2]")
return cjson.decode('{"a"}')
return cjson.decode('{"a":}')
return cjson.decode('{"a":1')
return cjson.decode('{"a":1,}')
return cjson.decode('{a:1}')
return cjson.decode('{1:1}')
return cjson.decode('[1]x')
return cjson.decode('[1] [2]')
return cjson.decode('"abc')
return cjson.decode('"a\\xb"')
return cjson.decode('"a\\u12"')
return cjson.decode('"a\\u00e9b"')
return cjson.decode('"\\ud83d\\ude00"')
return cjson.decode('"\\ud83d"')
return cjson.decode('"\\ude00"')
return cjson.decode('"\\ud83dx"')
return cjson.decode('"\\u0000a"')
return cjson.decode('"a\nb"')
return cjson.decode('"\\/\\b\\f\\n\\r\\t\\"\\\\"')
return tostring(cjson.decode('[1.5]')[1])
return tostring(cjson.decode('1e3'))
return tostring(cjson.decode('-1'))
return tostring(cjson.decode('+1'))
return tostring(cjson.decode('01'))
return tostring(cjson.decode('0x10'))
return tostring(cjson.decode('-0x10'))
return tostring(cjson.decode('nan'))
return tostring(cjson.decode('NaN'))
return tostring(cjson.decode('Infinity'))
return tostring(cjson.decode('-inf'))
return tostring(cjson.decode('.5'))
return tostring(cjson.decode('5.'))
return tostring(cjson.decode('1e'))
return tostring(cjson.decode('1.5abc'))
return tostring(cjson.decode('--1'))
return tostring(cjson.decode('-'))
return tostring(cjson.decode('-a'))
return tostring(cjson.decode('true'))
return tostring(cjson.decode('truex'))
return tostring(cjson.decode('tru'))
return tostring(cjson.decode('null')==cjson.null)
return tostring(cjson.decode('nul'))
return cjson.encode(cjson.decode('{"a":[1,2,{"b":null}],"c":{}}'))
return tostring(cjson.decode('\0[1]'))
return cjson.decode(string.rep('[',1001)..string.rep(']',1001))
return #cjson.decode(string.rep('[',1000)..string.rep(']',1000))
return {cjson.encode_sparse_array()}
return {tostring(cjson.encode_sparse_array(true,3,5))}
return {cjson.encode_sparse_array(false,2,10)}
return cjson.encode_sparse_array("x")
return {cjson.encode_max_depth()}
return cjson.encode_max_depth(0)
return cjson.encode_max_depth("x")
return {cjson.decode_max_depth()}
return {cjson.encode_number_precision()}
return cjson.encode_number_precision(15)
return cjson.encode_number_precision(14)
return cjson.encode_number_precision(17)
return {tostring(cjson.encode_keep_buffer())}
return {tostring(cjson.encode_invalid_numbers())}
return {tostring(cjson.encode_invalid_numbers("null"))}
return cjson.encode({0/0,1/0})
return {tostring(cjson.encode_invalid_numbers(true))}
return cjson.encode({0/0,1/0,-1/0})
return {tostring(cjson.encode_invalid_numbers("on"))}
return {tostring(cjson.encode_invalid_numbers("off"))}
return {tostring(cjson.encode_invalid_numbers("foo"))}
return {tostring(cjson.decode_invalid_numbers())}
return {tostring(cjson.decode_invalid_numbers(false))}
return tostring(cjson.decode('nan'))
return tostring(cjson.decode('01'))
return tostring(cjson.decode('0x10'))
return tostring(cjson.decode('[-01]'))
return {tostring(cjson.decode_invalid_numbers(true))}
return type(cjson.new)
return cjson.encode({1,2,3,x=1})
return cjson.encode({[1]=1,["1"]=2})
return cjson.encode({["a"]={[1]=1,[2]=2}})
return cjson.encode_max_depth(2,3)
local j=cjson.new() return type(j.encode)
cjson.encode_max_depth(3) return cjson.encode({{{1}}})
return cjson.encode({{{{1}}}})
return cjson.encode_max_depth(1000)
cjson.decode_max_depth(2) return cjson.encode(cjson.decode("[[1]]"))
return cjson.decode("[[[1]]]")
return cjson.decode("\xff\xfe")
return cjson.decode("\0[")
""".strip().split("\n")

CMSGPACK = r"""
return cmsgpack.pack(1,-1,127,128,255,256,65535,65536,4294967295,4294967296,-32,-33,-128,-129,-32768,-32769,-2147483648,-2147483649)
return cmsgpack.pack(1.5,0.1,1e300,1/0,0/0,-0.0,2^53,2^63,2^64,-2^63)
return cmsgpack.pack(true,false,nil,"a",string.rep("x",32))
return cmsgpack.pack({},{1,2},{a=1},{[1]=1,[3]=3},{1,nil,3},{[1.5]=1},{[0]=1})
return cmsgpack.pack(function() end, cjson.null, coroutine.create(function() end))
return cmsgpack.pack()
return cmsgpack.pack(nil)
local t={1} for i=1,20 do t={t} end return cmsgpack.pack(t)
return string.sub(cmsgpack.pack(string.rep("x",256)),1,4)
return string.sub(cmsgpack.pack(string.rep("x",65536)),1,6)
local t={} for i=1,16 do t[i]=i end return cmsgpack.pack(t)
local t={} for i=1,16 do t["k"..i]=1 end return string.sub(cmsgpack.pack(t),1,3)
return {cmsgpack.unpack(cmsgpack.pack(1,2,"a"))}
return {cmsgpack.unpack("")}
return {cmsgpack.unpack()}
return {cmsgpack.unpack({})}
return {cmsgpack.unpack("\193")}
return {cmsgpack.unpack("\146\1")}
return {cmsgpack.unpack("\1\2\193")}
return {cmsgpack.unpack("\212\1\1")}
return {cmsgpack.unpack("\196\1a")}
return {cmsgpack.unpack("\217\1a\218\0\1b\219\0\0\0\1c")}
return {cmsgpack.unpack("\161")}
return {cmsgpack.unpack("\220\0\1\5\221\0\0\0\1\6\222\0\1\1\2\223\0\0\0\1\1\2")}
return {tostring(cmsgpack.unpack("\202\63\192\0\0")), tostring(cmsgpack.unpack("\203\63\185\153\153\153\153\153\154"))}
return {tostring(cmsgpack.unpack("\207\255\255\255\255\255\255\255\255")),tostring(cmsgpack.unpack("\211\255\255\255\255\255\255\255\255"))}
return {type(cmsgpack.unpack("\192")), #{cmsgpack.unpack("\192\192\1")}, select('#',cmsgpack.unpack("\192\192\1"))}
local t=cmsgpack.unpack("\147\1\192\3") return {#t,t[1],t[3]}
local t=cmsgpack.unpack("\129\192\1") return {type(t)}
local t=cmsgpack.unpack("\129\1\192") return {type(t[1])}
local t=cmsgpack.unpack("\129\144\1") for k,v in pairs(t) do return {type(k),v} end
local t=cmsgpack.unpack("\129\195\1") for k,v in pairs(t) do return {type(k),v} end
return {cmsgpack.unpack_one("\1\2\3")}
return {cmsgpack.unpack_one("\1\2\3",1)}
return {cmsgpack.unpack_one("\1\2\3",2)}
return {cmsgpack.unpack_one("\1\2\3",3)}
return {cmsgpack.unpack_one("\1\2\3",4)}
return {cmsgpack.unpack_one("\1\2\3",-1)}
return {cmsgpack.unpack_one("")}
return {cmsgpack.unpack_one()}
return {cmsgpack.unpack_limit("\1\2\3",2)}
return {cmsgpack.unpack_limit("\1\2\3",2,2)}
return {cmsgpack.unpack_limit("\1\2\3",0)}
return {cmsgpack.unpack_limit("\1\2\3",-1)}
return {cmsgpack.unpack_limit("\1\2\3",0,1)}
return {cmsgpack.unpack_limit("\1\2\3")}
return {cmsgpack.unpack_limit("\1\2\3",5)}
return {cmsgpack.unpack_limit("\1\2\3","x")}
return {cmsgpack.unpack(12)}
""".strip().split("\n")

STRUCT = r"""
return struct.pack(">I2",258)
return struct.pack("<I2",258)
return struct.pack("I4",258)
return struct.pack("=I4",258)
return struct.pack("!I4bI4",1,2,3)
return struct.pack("!4bI4",2,3)
return struct.pack("!2bI4",2,3)
return struct.pack("bhilLTfd",1,2,3,4,5,6,1.5,2.5)
return struct.pack("BHIL",255,65535,1,2)
return struct.pack("i3",-2)
return struct.pack("i9",-2)
return struct.pack("I16",5)
return struct.pack("i32",-5)
return struct.pack("i33",-5)
return struct.pack("i0",-5)
return struct.pack("i",-5)
return struct.pack("s","abc")
return struct.pack("c2","abc")
return struct.pack("c5","abc")
return struct.pack("c0","abc")
return struct.pack("c","abc")
return struct.pack("x")
return struct.pack("bxb",1,2)
return struct.pack("b b",1,2)
return struct.pack("z",1)
return struct.pack("b")
return struct.pack("b","x")
return struct.pack("b","12")
return struct.pack("b",1.7)
return struct.pack("b",300)
return struct.pack("b",-1)
return struct.pack("B",-1)
return struct.pack("L",-1)
return struct.pack("l",2^62)
return struct.pack("!")
return struct.pack("!3b",1)
return struct.pack("!16b",1)
return struct.pack("!32b",1)
return struct.pack("!64b",1)
return struct.pack()
return struct.pack({})
return struct.pack("<!4 b i4 >h",1,2,3)
return struct.pack("bd",1,1.5)
return struct.pack("!bd",1,1.5)
return struct.pack("!bs",1,"a")
return struct.pack("!8bh",1,2)
return {struct.unpack(">I2","\1\2")}
return {struct.unpack(">I2I2","\1\2\3")}
return {struct.unpack(">I2","xx\1\2",3)}
return {struct.unpack(">I2","xx\1\2",4)}
return {struct.unpack(">I2","xx\1\2",0)}
return {struct.unpack(">I2","xx\1\2",-1)}
return {struct.unpack(">I2","xx\1\2",10)}
return {struct.unpack("s","abc\0def")}
return {struct.unpack("s","abc")}
return {struct.unpack("c2","abc")}
return {struct.unpack("bc0","\2abc")}
return {struct.unpack("c0","abc")}
return {struct.unpack("hc0","\255\255abc")}
return {struct.unpack("sc0","abc\0def")}
return {tostring(struct.unpack("f",struct.pack("f",1.1))),tostring(struct.unpack("d",struct.pack("d",1.1)))}
return {tostring(struct.unpack("L",struct.pack("L",-1))),tostring(struct.unpack("l",struct.pack("l",-1)))}
return {tostring(struct.unpack("i3",struct.pack("i3",-2)))}
return {tostring(struct.unpack("I3",struct.pack("i3",-2)))}
return {tostring(struct.unpack("i16",struct.pack("i16",-2)))}
return {struct.unpack("!bi4","\1\0\0\0\2\0\0\0")}
return {struct.unpack("xb","\1\2")}
return {struct.unpack("","")}
return struct.unpack()
return struct.unpack("b")
return {struct.size("bhilLTfd")}
return {struct.size("!bhilLTfd")}
return {struct.size("s")}
return {struct.size("c0")}
return {struct.size("c10")}
return {struct.size("z")}
return {struct.size("c2147483648")}
return {struct.size("i2147483648")}
return struct.size()
""".strip().split("\n")

BIT = r"""
return {bit.tobit(0xffffffff),bit.tobit(2^40+1),bit.tobit(1.5),bit.tobit(2.5),bit.tobit(-1.5),bit.tobit(0/0),bit.tobit(1e100)}
return {bit.bnot(0),bit.band(0xff,0x0f),bit.bor(1,2,4),bit.bxor(5,1),bit.lshift(1,31),bit.lshift(1,32),bit.lshift(1,33),bit.rshift(-1,1),bit.arshift(-8,1),bit.rol(0x12345678,12),bit.ror(0x12345678,12),bit.bswap(0x12345678)}
return {bit.tohex(1),bit.tohex(-1),bit.tohex(255,4),bit.tohex(255,-4),bit.tohex(255,0),bit.tohex(255,100),bit.tohex(255,-100)}
return {bit.band()}
return {bit.band("x")}
return {bit.band("12",8)}
return {bit.band(1)}
return {bit.lshift(1)}
return {bit.tohex()}
return {bit.lshift(1,-1)}
return {bit.band({})}
return {bit.band(nil)}
""".strip().split("\n")

BASICS = r"""
return {math.floor(3.7), math.ceil(3.2), math.max(1, 2, 3), math.mod(5, 3), math.fmod(-5, 3)}
return {tostring(math.huge), tostring(-math.huge), tostring(math.pi)}
return {string.format("%5.2f|%q|%s|%d|%x", 1.5, "a\nb", 1, 3.99, 255)}
return {string.find("abc", "b", 1, true)}
return {string.gsub("abc", "%w", "%0%0")}
return {string.byte("abc", 1, -1)}
for w in string.gmatch("one two", "%a+") do return w end
return {("x"):rep(3), ("x"):rep(0), ("x"):rep(-1), (""):rep(1e9), ("ab"):upper():reverse()}
return table.concat({1, 2, 3}, ",")
return table.concat({1, {}, 3}, ",")
local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) return t
local t = {1, 2, 3} table.insert(t, 2, 9) table.remove(t) return t
table.insert(nil, 1)
table.insert({}, "a", 1)
table.insert(1)
next(nil)
pairs(nil)
return {next({})}
return {tonumber("0x10"), tonumber("10", 2), tonumber("z", 36)}
return {select("#", unpack({}, 1, 100)), select(-1, 1, 2)}
return tostring(1e15) .. tostring(0.1) .. tostring(2^53)
return {xpcall(error, function(e) return "h:" .. tostring(e) end)}
return {xpcall(function() error({err = "X y"}) end, function(e) return e.err end)}
return {pcall(error, {1, 2})}
return {pcall(error, cjson.null)}
local co = coroutine.wrap(function() error("x") end) co()
local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b end) return {co(1), co(5)}
local co = coroutine.create(function() end) coroutine.resume(co) return {coroutine.status(co), coroutine.resume(co)}
coroutine.resume(1)
coroutine.create(1)
coroutine.yield()
return loadstring("return redis.call('PING')")()
return {loadstring("x=")}
return {loadstring("x=", "@name")}
loadstring("x=1")()
loadstring()
loadstring({})
load(1)
return getmetatable(setmetatable({}, {__metatable = 7}))
setmetatable(setmetatable({}, {__metatable = 1}), {})
setmetatable(1, {})
setmetatable("", {})
getmetatable()
collectgarbage("foo")
return {collectgarbage(), collectgarbage("count") > 1, type(gcinfo())}
return {math.random(0)}
return {math.random(5, 1)}
return {math.random(1, 2, 3)}
math.randomseed(0) return {tostring(math.random()), math.random(100), math.random(5, 10)}
math.randomseed(12345) return {tostring(math.random()), math.random(100), math.random(-3, 3)}
math.randomseed(-3.7) return {tostring(math.random())}
""".strip().split("\n")


@pytest.mark.parametrize(
    "scripts",
    [CJSON, CMSGPACK, STRUCT, BIT, BASICS],
    ids=["cjson", "cmsgpack", "struct", "bit", "basics"],
)
def test_library(twin: Twin, scripts: list[str]) -> None:
    twin("SCRIPT", "FLUSH")
    for script in scripts:
        twin("EVAL", script, 0)


def test_settings_of_cjson_outlive_a_script_but_not_the_state(client: EngineClient) -> None:
    nested = "return cjson.encode({{{1}}})"
    client("EVAL", "cjson.encode_max_depth(2)", 0)
    assert b"excessive nesting (3)" in client("EVAL", nested, 0)
    client("SCRIPT", "FLUSH")
    assert client("EVAL", nested, 0) == b"[[[1]]]"


def test_cjson_instances_have_settings_of_their_own(client: EngineClient) -> None:
    script = "local j = cjson.new() j.encode_max_depth(1) return {pcall(j.encode, {{1}})}"
    assert client("EVAL", script, 0) == [None, b"Cannot serialise, excessive nesting (2)"]
    assert client("EVAL", "return cjson.encode({{1}})", 0) == b"[[1]]"


def test_cjson_can_mark_what_was_an_array(client: EngineClient) -> None:
    script = "return cjson.encode(cjson.decode('{\"a\":[],\"b\":{}}'))"
    assert client("EVAL", script, 0) == b'{"a":{},"b":{}}'
    client("EVAL", "cjson.decode_array_with_array_mt(true)", 0)
    assert json.loads(client("EVAL", script, 0)) == {"a": [], "b": {}}


def test_math_random_is_one_sequence_for_all(client: EngineClient) -> None:
    """lrand48's, from its first number; neither a script nor SCRIPT FLUSH begins it anew."""
    first = client("EVAL", "return tostring(math.random())", 0)
    assert first == b"0.39646477363839"
    client("SCRIPT", "FLUSH")
    assert client("EVAL", "return tostring(math.random())", 0) != first
    dice = Dice()
    dice.seed(0)
    assert [dice.random31() for _ in range(2)] == [366850414, 1610402240]


# What goes in comes out, and what others wrote is understood

TEXTS = st.binary(max_size=40)
PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
VALUES = st.recursive(
    PLAIN | st.text(max_size=20),
    lambda inner: (
        st.lists(inner.filter(lambda v: v is not None), max_size=5)
        | st.dictionaries(st.text(max_size=5), inner.filter(lambda v: v is not None), min_size=1, max_size=5)
    ),
    max_leaves=20,
)
CLIENT = new_client()


def run(script: str, *args: bytes) -> bytes:
    reply: bytes = CLIENT("EVAL", script, 0, *args)
    return reply


@settings(deadline=None, max_examples=150)
@given(VALUES)
def test_cmsgpack_reads_and_writes_what_others_do(value: object) -> None:
    wire = run("return cmsgpack.pack(cmsgpack.unpack(ARGV[1]))", msgpack.packb(value))
    assert same(msgpack.unpackb(wire), value)


@settings(deadline=None, max_examples=150)
@given(VALUES)
def test_cjson_reads_and_writes_what_others_do(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    wire = run("return cjson.encode(cjson.decode(ARGV[1]))", text)
    back = json.loads(wire.decode("utf-8", "surrogatepass"))
    assert same(back, value, digits=14)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60))
def test_noise_is_an_error_or_a_value(noise: bytes) -> None:
    for library in ("cjson.decode", "cmsgpack.unpack"):
        reply = run(f"return {{tostring(pcall({library}, ARGV[1]))}}", noise)
        assert reply in ([b"true"], [b"false"])


@settings(deadline=None, max_examples=100)
@given(st.integers(-(2**31), 2**31 - 1), st.floats(allow_nan=False), TEXTS)
def test_struct_agrees_with_python(number: int, real: float, text: bytes) -> None:
    form = f">i4d!8c{max(1, len(text))}"
    text = text or b"x"
    wire = run(
        f"return struct.pack('{form}', tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3])",
        b"%d" % number,
        repr(real).encode(),
        text,
    )
    assert wire == struct.pack(">id", number, real) + text
    script = f"local n, d, s, at = struct.unpack('{form}', ARGV[1]) return {{n, s, at}}"
    assert run(script, wire) == [number, text, len(wire) + 1]


def same(ours: object, theirs: object, digits: int = 17) -> bool:
    """Equal, as far as Lua can tell: an empty dict is a list, whole floats are integers."""
    if isinstance(theirs, dict):
        if not theirs:
            return ours in ({}, [])
        assert isinstance(ours, dict)
        return ours.keys() == theirs.keys() and all(
            same(ours[key], value, digits) for key, value in theirs.items()
        )
    if isinstance(theirs, list):
        if not theirs:
            return ours in ({}, [])
        assert isinstance(ours, list)
        return len(ours) == len(theirs) and all(
            same(a, b, digits) for a, b in zip(ours, theirs, strict=True)
        )
    if isinstance(theirs, (int, float)) and not isinstance(theirs, bool):
        assert isinstance(ours, (int, float))
        if math.isinf(theirs):
            return ours == theirs
        return math.isclose(ours, theirs, rel_tol=10.0 ** (1 - digits), abs_tol=0)
    return ours == theirs
