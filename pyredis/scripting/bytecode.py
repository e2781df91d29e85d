"""Compiled Lua chunks without tail calls.

An error message names the line that called the failing function: "script: f1d2..., on
@user_script:3". In ``return redis.call(...)`` the call is a tail call, so Lua forgets the
caller before a function written in Lua can fail. (In real Redis redis.call is a C function,
which leaves its caller on the stack.)

A tail call is the instruction TAILCALL A B, always followed by RETURN A. An ordinary CALL A B
with an open number of results, then RETURN A with an open number of values, does the same and
keeps the frame. The two differ in the opcode alone, so a dump is changed in place.

Source: "A No-Frills Introduction to Lua 5.1 VM Instructions"; the layout is that of luac 5.1
with 4-byte ints and instructions, 8-byte size_t and numbers.
"""

from __future__ import annotations

from array import array
from struct import Struct
from struct import error as StructError
from typing import Final

HEADER: Final = b"\x1bLua\x51\x00\x01\x04\x08\x04\x08\x00"
_OPCODE_MASK: Final = 0x3F
_CALL: Final = 28
_TAILCALL: Final = 29
_INT: Final = Struct("<i")
_SIZE: Final = Struct("<Q")
_FIXED_BYTES: Final = {0: 0, 1: 1, 3: 8}  # constants: nil, boolean, number
_STRING: Final = 4


def without_tail_calls(dump: bytes) -> bytes:
    """The chunk with calls for tail calls. O(n); ValueError for a dump of another layout."""
    if not dump.startswith(HEADER):
        raise ValueError("not a chunk of this Lua")
    chunk = bytearray(dump)
    try:
        _function(chunk, len(HEADER))
    except (StructError, LookupError, OverflowError, ValueError):
        raise ValueError("not a chunk of this Lua") from None
    return bytes(chunk)


def _int(chunk: bytearray, at: int) -> int:
    value: int = _INT.unpack_from(chunk, at)[0]
    return value


def _past_string(chunk: bytearray, at: int) -> int:
    size: int = _SIZE.unpack_from(chunk, at)[0]
    return at + 8 + size


def _function(chunk: bytearray, at: int) -> int:
    """Change the function that starts there and all inside it; returns where it ends."""
    at = _past_string(chunk, at) + 4 + 4 + 4  # source, lines, four bytes about the frame
    size = _int(chunk, at) * 4
    at += 4
    code = array("I", bytes(chunk[at : at + size]))
    if any(word & _OPCODE_MASK == _TAILCALL for word in code):
        for place, word in enumerate(code):
            if word & _OPCODE_MASK == _TAILCALL:
                code[place] = word - _TAILCALL + _CALL
        chunk[at : at + size] = code.tobytes()
    at += size
    constants = _int(chunk, at)
    at += 4
    for _ in range(constants):
        kind = chunk[at]
        at += 1
        at = _past_string(chunk, at) if kind == _STRING else at + _FIXED_BYTES[kind]
    inner = _int(chunk, at)
    at += 4
    for _ in range(inner):
        at = _function(chunk, at)
    at += 4 + 4 * _int(chunk, at)  # line numbers
    variables = _int(chunk, at)
    at += 4
    for _ in range(variables):
        at = _past_string(chunk, at) + 8
    names = _int(chunk, at)
    at += 4
    for _ in range(names):
        at = _past_string(chunk, at)
    return at
