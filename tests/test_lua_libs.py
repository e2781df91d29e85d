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
from tests.test_scripting import corpus


@pytest.mark.parametrize("name", ["cjson", "cmsgpack", "struct", "bit", "basics"])
def test_library(twin: Twin, name: str) -> None:
    twin("SCRIPT", "FLUSH")
    for script in corpus(name):
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
    script = 'return cjson.encode(cjson.decode(\'{"a":[],"b":{}}\'))'
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
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FLOATS
VALUES = st.recursive(
    PLAIN | st.text(max_size=20),
    lambda inner: (
        st.lists(inner.filter(lambda v: v is not None), max_size=5)
        | st.dictionaries(
            st.text(max_size=5), inner.filter(lambda v: v is not None), min_size=1, max_size=5
        )
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
