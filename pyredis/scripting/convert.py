"""Values between Python and Lua, as Redis converts them.

A script sees a reply in the protocol it chose (redis.setresp), whatever its client speaks:

    reply             RESP2 script            RESP3 script
    bytes, int        string, number          the same
    null              false                   nil
    list              table                   table
    status, error     {ok=...}, {err=...}     the same
    dict              flat table              {map={...}}
    set               table                   {set={element=true}}
    float             string                  {double=...}
    bool              1, 0                    true, false
    big number        string                  {big_number=...}
    verbatim          string                  {verbatim_string={format=..., string=...}}

The bridge to Lua takes bytes, numbers, booleans, None, lists and dicts; `nested` makes these
of everything, for lupa's table_from.
"""

from __future__ import annotations

from itertools import chain
from math import copysign
from typing import Any, Final

from pyredis.resp import (
    NULL_ARRAY,
    Attributed,
    BigNumber,
    Double,
    Error,
    PushReply,
    Replies,
    Reply,
    SetReply,
    Simple,
    Verbatim,
    Wire,
)
from pyredis.types.doubles import format_double

_WHOLE_MAX: Final = 1 << 62
_LISTS: Final = frozenset((list, tuple, PushReply, Replies))


def argument(value: Any) -> bytes | None:
    """What redis.call passes on for a Lua value; None for one that is no argument."""
    kind = type(value)
    if kind is bytes:
        text: bytes = value
        return text
    if kind is int and -_WHOLE_MAX <= value <= _WHOLE_MAX:
        return b"%d" % value
    if kind is float and value != value:
        return b"-nan" if copysign(1, value) < 0 else b"nan"  # C shows a NaN's sign
    if kind is int or kind is float:
        return format_double(float(value))
    return None


def nested(reply: Reply, resp3: bool) -> Any:
    """A reply as values that lupa turns into Lua's. O(size).

    Raises TypeError for what is no reply, or one that is encoded already.
    """
    kind = type(reply)
    if kind is bytes or kind is int:
        return reply
    if kind is bytearray:
        return bytes(reply)
    if reply is None or reply is NULL_ARRAY:
        return None if resp3 else False
    if kind in _LISTS:
        return [nested(item, resp3) for item in reply]
    if kind is Simple:
        return {b"ok": reply.text}
    if isinstance(reply, Error):
        return {b"err": reply.text}
    if kind is dict:
        if not resp3:
            return [nested(item, False) for item in chain.from_iterable(reply.items())]
        pairs = {nested(key, True): nested(value, True) for key, value in reply.items()}
        return {b"map": pairs}
    if kind is SetReply:
        if not resp3:
            return [nested(item, False) for item in reply]
        return {b"set": {nested(item, True): True for item in reply}}
    if kind is float:
        return {b"double": reply} if resp3 else format_double(reply)
    if kind is Double:
        return {b"double": float(reply.text)} if resp3 else reply.text
    if kind is bool:
        return reply if resp3 else int(reply)
    if kind is Verbatim:
        if not resp3:
            return reply.text
        return {b"verbatim_string": {b"format": reply.format, b"string": reply.text}}
    if kind is BigNumber:
        text = b"%d" % reply.value
        return {b"big_number": text} if resp3 else text
    if kind is Attributed:
        return nested(reply.reply, resp3)
    if kind is Wire:
        raise TypeError("an encoded reply cannot become Lua's")
    return None if resp3 else False  # no reply at all


def size_bytes(value: Any) -> int:
    """About what a nested value takes in Lua. O(size)."""
    kind = type(value)
    if kind is bytes:
        return 40 + len(value)
    if kind is list:
        return 100 + sum(map(size_bytes, value))
    if kind is dict:
        return 100 + sum(map(size_bytes, chain.from_iterable(value.items())))
    return 40
