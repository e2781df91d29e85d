"""Strings.

A value is ``bytes``; ``bytearray`` once it was changed in place; ``int`` after INCR.
``Database.read_string`` hides the difference from those who do not care.
"""

from __future__ import annotations

from pyredis.commands.args import INT64_MAX, INT64_MIN, integer
from pyredis.commands.registry import Group, first
from pyredis.context import Context
from pyredis.keyspace import WRONGTYPE
from pyredis.resp import OK, Error, Reply

command = Group("string", acl="string")


@command(
    "GET",
    arity=2,
    flags="readonly fast",
    keys=first("RO access"),
    since="1.0.0",
    complexity="O(1)",
    usage="key",
)
def get(ctx: Context, key: bytes) -> Reply:
    """Returns the string value of a key."""
    value = ctx.db.read(key)
    kind = type(value)
    if kind is bytes or value is None or kind is bytearray:
        return value
    if kind is int:
        return b"%d" % value
    raise Error(WRONGTYPE)


@command(
    "SET",
    arity=-3,
    flags="write denyoom",
    keys=first("RW access update variable_flags"),
    since="1.0.0",
    complexity="O(1)",
    usage="key value",
)
def set_(ctx: Context, key: bytes, value: bytes, *options: bytes) -> Reply:
    """Sets the string value of a key, whatever it held before."""
    db = ctx.db
    if options:
        raise Error("ERR todo")
    db.replace(key, value)
    db.changed(key, "set")
    return OK


@command(
    "INCR",
    arity=2,
    flags="write denyoom fast",
    keys=first("RW access update"),
    since="1.0.0",
    complexity="O(1)",
    usage="key",
)
def incr(ctx: Context, key: bytes) -> Reply:
    """Adds one to the number at a key, starting from 0."""
    return _add(ctx, key, 1)


def _add(ctx: Context, key: bytes, by: int) -> int:
    db = ctx.db
    value = db.write(key)
    if type(value) is not int:
        if value is None:
            value = 0
        elif type(value) is bytes or type(value) is bytearray:
            value = integer(value)
        else:
            raise Error(WRONGTYPE)
    value += by
    if not INT64_MIN <= value <= INT64_MAX:
        raise Error("ERR increment or decrement would overflow")
    db.put(key, value)
    db.changed(key, "incrby")
    return value
