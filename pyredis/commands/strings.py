"""Strings: values, counters, and bytes addressed by position.

A value is ``bytes``; ``bytearray`` once it was changed in place; ``int`` after INCR, so that
counting costs neither parsing nor printing. ``Database.read_string`` hides the difference from
those who do not care. Two rules follow:

* A ``bytearray`` never leaves as a reply: inside MULTI the reply is encoded only when later
  commands may have changed it. It costs a copy, which encoding would have made anyway.
* APPEND and SETRANGE turn a string into a ``bytearray`` at their first change (one copy), and
  from then on cost what they touch. Redis' encoding ``raw`` is the same ratchet.

What depends on the clock or on floating point is propagated as its outcome: SET with a time to
live as ``SET key value PXAT ms`` unless PXAT was said, GETEX as PEXPIREAT, PERSIST or DEL,
INCRBYFLOAT as the SET of the new number. Likewise a SET that compared with the old value is told
without the comparison.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, NamedTuple

from pyredis.commands.args import INT64_MAX, INT64_MIN, NOT_FLOAT, integer, syntax_error
from pyredis.commands.registry import Group, first, span
from pyredis.context import Context
from pyredis.keyspace import WRONGTYPE, Database, Value
from pyredis.resp import OK, Error, Reply
from pyredis.types.doubles import add_long_doubles, format_long_double, parse_long_double
from pyredis.types.lcs import lcs_length, lcs_runs
from pyredis.types.xxh3 import xxh3_64

command = Group("string", acl="string")

DIGEST_LENGTH: Final = 16
TOO_LONG: Final = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
_OVERFLOW: Final = "ERR increment or decrement would overflow"
_BYTES_OR_NONE: Final = frozenset((bytes, type(None)))

_LCS_CELL_BYTES: Final = 4
"""What a cell of Redis' table takes, and with it the limit for the lengths of the strings."""
_LCS_LENGTH_MAX: Final = 2**32 - 3


# Helpers


def as_reply(value: Value | None) -> bytes | None:
    """A string value as it may be replied, a copy if it could change; raises WRONGTYPE."""
    kind = type(value)
    if kind is bytes or value is None:
        return value
    if kind is bytearray:
        return bytes(value)
    if kind is int:
        return b"%d" % value
    raise Error(WRONGTYPE)


def check_length(ctx: Context, size: int) -> None:
    """Raise the error for a string that would become longer than proto-max-bulk-len."""
    if size > ctx.config.proto_max_bulk_len:
        raise Error(TOO_LONG)


def editable(db: Database, key: bytes, value: bytes | bytearray | None) -> bytearray:
    """The string at ``key``, just looked up, as a bytearray that is the stored value.

    A missing one is created empty. The caller changes it and says so with ``changed``.
    """
    if type(value) is bytearray:
        return value
    buffer = bytearray(value or b"")
    db.put(key, buffer)
    return buffer


# Get and set


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
    if kind is bytes or value is None:
        return value
    if kind is int:
        return b"%d" % value
    if kind is bytearray:
        return bytes(value)
    raise Error(WRONGTYPE)


@command(
    "SET",
    arity=-3,
    flags="write denyoom",
    keys=first("RW access update variable_flags"),
    since="1.0.0",
    complexity="O(1)",
    usage="key value [NX|XX|IFEQ ifeq-value|IFNE ifne-value|IFDEQ ifdeq-digest|"
    "IFDNE ifdne-digest] [GET] [EX seconds|PX milliseconds|EXAT unix-time-seconds|"
    "PXAT unix-time-milliseconds|KEEPTTL]",
    history=[
        ("2.6.12", "Added the options `EX`, `PX`, `NX` and `XX`."),
        ("6.0.0", "Added the option `KEEPTTL`."),
        ("6.2.0", "Added the options `GET`, `EXAT` and `PXAT`."),
        ("7.0.0", "`NX` and `GET` may stand together."),
        ("8.4.0", "Added the conditions `IFEQ`, `IFNE`, `IFDEQ` and `IFDNE`."),
    ],
)
def set_(ctx: Context, key: bytes, value: bytes, *options: bytes) -> Reply:
    """Sets the string value of a key, whatever it held before."""
    if options:
        return _set_with(ctx, key, value, options)
    ctx.db.store(key, value, "set")
    return OK


_TIMED: Final = frozenset((b"EX", b"PX", b"EXAT", b"PXAT"))
COMPARISONS: Final = frozenset((b"IFEQ", b"IFNE", b"IFDEQ", b"IFDNE"))
SET_LIFETIMES: Final = _TIMED | {b"KEEPTTL"}
_GETEX_LIFETIMES: Final = _TIMED | {b"PERSIST"}


class Options(NamedTuple):
    """The options of SET and its kin, words in capitals, empty where none was given.

    The operand is what followed a comparison, the amount what followed EX, PX, EXAT or PXAT.
    """

    condition: bytes = b""
    operand: bytes = b""
    get_old: bool = False
    lifetime: bytes = b""
    amount: bytes | None = None


def parse_options(
    words: tuple[bytes, ...], lifetimes: frozenset[bytes], compares: bool = True
) -> Options:
    """Returns the options of SET, GETEX or MSETEX, whose lifetimes are ``lifetimes``.

    An option may be repeated but not contradicted. Raises a syntax error. NX and XX are known
    where KEEPTTL is; GET, IFEQ, IFNE, IFDEQ and IFDNE where the command also compares.
    """
    condition = operand = lifetime = b""
    amount: bytes | None = None
    get_old = False
    conditional = b"KEEPTTL" in lifetimes
    compares = compares and conditional
    rest = iter(words)
    for word in rest:
        word = word.upper()
        if word in lifetimes:
            if lifetime and lifetime != word:
                syntax_error()
            lifetime = word
            if word in _TIMED:
                amount = next(rest, None)
                if amount is None:
                    syntax_error()
        elif conditional and (word == b"NX" or word == b"XX"):
            if condition and condition != word:
                syntax_error()
            condition = word
        elif compares and word in COMPARISONS:
            following = next(rest, None)
            if condition or following is None:
                syntax_error()
            condition, operand = word, following
        elif compares and word == b"GET":
            get_old = True
        else:
            syntax_error()
    return Options(condition, operand, get_old, lifetime, amount)


def compare(value: bytes, condition: bytes, operand: bytes) -> bool:
    """Whether a comparison holds for a string: with a value, or with what DIGEST says of it."""
    if condition == b"IFEQ" or condition == b"IFNE":
        return (value == operand) is (condition == b"IFEQ")
    if len(operand) != DIGEST_LENGTH:
        raise Error(f"ERR must be exactly {DIGEST_LENGTH} hexadecimal characters")
    return (digest_of(value) == operand.lower()) is (condition == b"IFDEQ")


def digest_of(value: bytes) -> bytes:
    """The hash of a string as DIGEST shows it."""
    return b"%016x" % xxh3_64(value)


def expiry_ms(ctx: Context, unit: bytes, amount: bytes, name: str) -> int:
    """The absolute time that EX, PX, EXAT or PXAT mean; raises unless 0 < time < 2**63."""
    time = integer(amount)
    if unit == b"EX" or unit == b"EXAT":
        time *= 1000
    if time > 0 and (unit == b"EX" or unit == b"PX"):
        time += ctx.ks.now_ms
    if not 0 < time <= INT64_MAX:
        raise Error(f"ERR invalid expire time in '{name}' command")
    return time


def _set_with(ctx: Context, key: bytes, value: bytes, words: tuple[bytes, ...]) -> Reply:
    """SET with options. Returns OK, None where a condition forbids it, with GET the old value."""
    condition, operand, get_old, lifetime, amount = parse_options(words, SET_LIFETIMES)
    when_ms = 0 if amount is None else expiry_ms(ctx, lifetime, amount, "set")
    db = ctx.db
    reply: Reply = OK
    if condition in COMPARISONS:
        old = as_reply(db.read(key) if get_old else db.write(key))
        if old is None:
            allowed = condition in (b"IFNE", b"IFDNE")
        else:
            allowed = compare(old, condition, operand)
        if get_old:
            reply = old
    else:
        if get_old:
            reply = as_reply(db.read(key))
            exists = reply is not None
        else:
            exists = bool(condition) and db.write(key) is not None
        allowed = not condition or exists is (condition == b"XX")
    if not allowed:
        return reply if get_old else None
    if when_ms:
        put_until(ctx, key, value, when_ms)
        if lifetime != b"PXAT" or condition in COMPARISONS:  # else it can go on as it came
            _tell_until(ctx, key, value, when_ms)
        return reply
    if lifetime:
        db.put(key, value)
    else:
        db.replace(key, value)
    db.changed(key, "set")
    if condition in COMPARISONS:
        ctx.propagate(b"SET", key, value, *(lifetime,) * bool(lifetime))
    elif get_old:
        ctx.propagate(b"SET", key, value, *(word for word in words if word.upper() != b"GET"))
    return reply


def put_until(ctx: Context, key: bytes, value: bytes, when_ms: int) -> None:
    """Set a value with an expiry time. The caller propagates it, with that time."""
    db = ctx.db
    db.put(key, value)
    db.set_expiry(key, when_ms)
    db.changed(key, "set")
    db.changed(key, "expire", 0)


def _tell_until(ctx: Context, key: bytes, value: bytes, when_ms: int) -> None:
    ctx.propagate(b"SET", key, value, b"PXAT", b"%d" % when_ms)


def _set_until(ctx: Context, key: bytes, value: bytes, when_ms: int) -> None:
    put_until(ctx, key, value, when_ms)
    _tell_until(ctx, key, value, when_ms)


@command(
    "SETNX",
    arity=3,
    flags="write denyoom fast",
    keys=first("OW insert"),
    since="1.0.0",
    complexity="O(1)",
    usage="key value",
    deprecated="`SET` with the `NX` argument",
    deprecated_since="2.6.12",
)
def setnx(ctx: Context, key: bytes, value: bytes) -> Reply:
    """Sets a string only where no key is yet; 1 if it was set."""
    db = ctx.db
    if db.write(key) is not None:
        return 0
    db.put(key, value)
    db.changed(key, "set")
    return 1


@command(
    "SETEX",
    arity=4,
    flags="write denyoom",
    keys=first("OW update"),
    since="2.0.0",
    complexity="O(1)",
    usage="key seconds value",
    deprecated="`SET` with the `EX` argument",
    deprecated_since="2.6.12",
)
def setex(ctx: Context, key: bytes, seconds: bytes, value: bytes) -> Reply:
    """Sets a string and its time to live in seconds."""
    _set_until(ctx, key, value, expiry_ms(ctx, b"EX", seconds, "setex"))
    return OK


@command(
    "PSETEX",
    arity=4,
    flags="write denyoom",
    keys=first("OW update"),
    since="2.6.0",
    complexity="O(1)",
    usage="key milliseconds value",
    deprecated="`SET` with the `PX` argument",
    deprecated_since="2.6.12",
)
def psetex(ctx: Context, key: bytes, milliseconds: bytes, value: bytes) -> Reply:
    """Sets a string and its time to live in milliseconds."""
    _set_until(ctx, key, value, expiry_ms(ctx, b"PX", milliseconds, "psetex"))
    return OK


@command(
    "GETSET",
    arity=3,
    flags="write denyoom fast",
    keys=first("RW access update"),
    since="1.0.0",
    complexity="O(1)",
    usage="key value",
    deprecated="`SET` with the `!GET` argument",
    deprecated_since="6.2.0",
)
def getset(ctx: Context, key: bytes, value: bytes) -> Reply:
    """Sets a string and returns the one it replaces."""
    db = ctx.db
    old = as_reply(db.read(key))
    db.replace(key, value)
    db.changed(key, "set")
    ctx.propagate(b"SET", key, value)
    return old


@command(
    "GETDEL",
    arity=2,
    flags="write fast",
    keys=first("RW access delete"),
    since="6.2.0",
    complexity="O(1)",
    usage="key",
)
def getdel(ctx: Context, key: bytes) -> Reply:
    """Returns a string and deletes the key."""
    db = ctx.db
    old = as_reply(db.read(key))
    if old is not None:
        db.remove(key)
        db.changed(key, "del")
        ctx.propagate(b"DEL", key)
    return old


@command(
    "GETEX",
    arity=-2,
    flags="write fast",
    keys=first("RW access update"),
    since="6.2.0",
    complexity="O(1)",
    usage="key [EX seconds|PX milliseconds|EXAT unix-time-seconds|"
    "PXAT unix-time-milliseconds|PERSIST]",
)
def getex(ctx: Context, key: bytes, *words: bytes) -> Reply:
    """Returns a string and sets or removes its expiry time.

    An absolute time in the past deletes the key, except on a replica, which leaves that to
    its primary.
    """
    options = parse_options(words, _GETEX_LIFETIMES)
    lifetime, amount = options.lifetime, options.amount
    db = ctx.db
    value = as_reply(db.read(key))
    if value is None:
        return None
    if amount is not None:
        when_ms = expiry_ms(ctx, lifetime, amount, "getex")
        if when_ms <= ctx.now_ms and ctx.ks.may_expire:
            db.remove(key)
            db.changed(key, "del")
            ctx.propagate(*ctx.ks.expire_argv(key))
        else:
            db.set_expiry(key, when_ms)
            db.changed(key, "expire")
            ctx.propagate(b"PEXPIREAT", key, b"%d" % when_ms)
    elif lifetime and db.persist(key):
        db.changed(key, "persist")
        ctx.propagate(b"PERSIST", key)
    return value


@command(
    "MGET",
    arity=-2,
    flags="readonly fast",
    keys=span("RO access"),
    tips="request_policy:multi_shard",
    since="1.0.0",
    complexity="O(N) where N is the number of keys to retrieve.",
    usage="key [key ...]",
)
def mget(ctx: Context, *keys: bytes) -> Reply:
    """Returns the values of several keys, null for those that hold no string."""
    values = [*map(ctx.db.read, keys)]
    if _BYTES_OR_NONE.issuperset(map(type, values)):
        return values
    return [_string_or_none(value) for value in values]


def _string_or_none(value: Value | None) -> bytes | None:
    kind = type(value)
    return as_reply(value) if kind is bytes or kind is bytearray or kind is int else None


@command(
    "MSET",
    arity=-3,
    flags="write denyoom",
    keys=span("OW update", step=2),
    tips="request_policy:multi_shard response_policy:all_succeeded",
    since="1.0.1",
    complexity="O(N) where N is the number of keys to set.",
    usage="key value [key value ...]",
)
def mset(ctx: Context, *pairs: bytes) -> Reply:
    """Sets several strings at once."""
    if len(pairs) % 2:
        raise Error("ERR wrong number of arguments for 'mset' command")
    ctx.db.replace_all(pairs, "set")
    return OK


@command(
    "MSETNX",
    arity=-3,
    flags="write denyoom",
    keys=span("OW insert", step=2),
    since="1.0.1",
    complexity="O(N) where N is the number of keys to set.",
    usage="key value [key value ...]",
)
def msetnx(ctx: Context, *pairs: bytes) -> Reply:
    """Sets several strings, or none if one of the keys exists; 1 if they were set."""
    if len(pairs) % 2:
        raise Error("ERR wrong number of arguments for 'msetnx' command")
    db = ctx.db
    if any(db.write(key) is not None for key in islice(pairs, 0, None, 2)):
        return 0
    db.replace_all(pairs, "set")
    return 1


# Bytes by position


@command(
    "APPEND",
    arity=3,
    flags="write denyoom fast",
    keys=first("RW insert"),
    since="2.0.0",
    complexity="O(1). Appending a small value takes amortized O(1) time, whatever the size of the"
    " string, because its buffer grows in proportion.",
    usage="key value",
)
def append(ctx: Context, key: bytes, value: bytes) -> Reply:
    """Puts bytes behind a string, creating it if need be; returns its new length."""
    db = ctx.db
    old = db.write_string(key)
    if old is None:
        db.put(key, value)
        size = len(value)
    else:
        size = len(old) + len(value)
        check_length(ctx, size)
        buffer = editable(db, key, old)
        buffer += value
    db.changed(key, "append")
    return size


@command(
    "STRLEN",
    arity=2,
    flags="readonly fast",
    keys=first("RO"),
    since="2.2.0",
    complexity="O(1)",
    usage="key",
)
def strlen(ctx: Context, key: bytes) -> Reply:
    """Returns the length of a string, 0 for a missing key."""
    value = ctx.db.read_string(key)
    return len(value) if value is not None else 0


@command(
    "SETRANGE",
    arity=4,
    flags="write denyoom",
    keys=first("RW update"),
    since="2.2.0",
    complexity="O(1) for a short value, without the time to copy it into place. Otherwise O(M)"
    " where M is the length of the value.",
    usage="key offset value",
)
def setrange(ctx: Context, key: bytes, offset: bytes, value: bytes) -> Reply:
    """Overwrites a string from an offset on, padding it with zeros; returns its length."""
    start = integer(offset)
    if start < 0:
        raise Error("ERR offset is out of range")
    db = ctx.db
    old = db.write_string(key)
    size = len(old) if old is not None else 0
    if not value:
        return size
    end = start + len(value)
    check_length(ctx, end)
    buffer = editable(db, key, old)
    if start > size:
        buffer += bytes(start - size)
    buffer[start:end] = value
    db.changed(key, "setrange")
    return max(size, end)


_RANGE_COMPLEXITY: Final = (
    "O(N) where N is the length of the returned string: what counts is its length alone, so for"
    " small ones it may be taken as O(1)."
)


@command(
    "GETRANGE",
    arity=4,
    flags="readonly",
    keys=first("RO access"),
    since="2.4.0",
    complexity=_RANGE_COMPLEXITY,
    usage="key start end",
)
def getrange(ctx: Context, key: bytes, start: bytes, end: bytes) -> Reply:
    """Returns the bytes between two positions, both included; negative ones count from the end."""
    low, high = integer(start), integer(end)
    value = ctx.db.read_string(key)
    if not value:
        return b""
    if high < 0:
        if low < 0 and low > high:
            return b""  # though -1 -5 would meet at 0 in a very short string
        high = max(high + len(value), 0)
    if low < 0:
        low = max(low + len(value), 0)
    return bytes(value[low : high + 1])


@command(
    "SUBSTR",
    arity=4,
    flags="readonly",
    keys=first("RO access"),
    since="1.0.0",
    complexity=_RANGE_COMPLEXITY,
    usage="key start end",
    deprecated="`GETRANGE`",
    deprecated_since="2.0.0",
)
def substr(ctx: Context, key: bytes, start: bytes, end: bytes) -> Reply:
    """Returns a part of a string: the old name of GETRANGE."""
    return getrange(ctx, key, start, end)


# Counters


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
    db = ctx.db
    value = db.write(key)
    if type(value) is int and value < INT64_MAX:
        value += 1
        db.data[key] = value  # the key was found and marked as used: only its value changes
        db.changed(key, "incrby")
        return value
    return _add(ctx, key, 1)


@command(
    "DECR",
    arity=2,
    flags="write denyoom fast",
    keys=first("RW access update"),
    since="1.0.0",
    complexity="O(1)",
    usage="key",
)
def decr(ctx: Context, key: bytes) -> Reply:
    """Takes one from the number at a key, starting from 0."""
    return _add(ctx, key, -1)


@command(
    "INCRBY",
    arity=3,
    flags="write denyoom fast",
    keys=first("RW access update"),
    since="1.0.0",
    complexity="O(1)",
    usage="key increment",
)
def incrby(ctx: Context, key: bytes, increment: bytes) -> Reply:
    """Adds to the number at a key, starting from 0."""
    return _add(ctx, key, integer(increment))


@command(
    "DECRBY",
    arity=3,
    flags="write denyoom fast",
    keys=first("RW access update"),
    since="1.0.0",
    complexity="O(1)",
    usage="key decrement:integer",
)
def decrby(ctx: Context, key: bytes, decrement: bytes) -> Reply:
    """Takes from the number at a key, starting from 0."""
    by = integer(decrement)
    if by == INT64_MIN:
        raise Error("ERR decrement would overflow")
    return _add(ctx, key, -by)


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
        raise Error(_OVERFLOW)
    db.put(key, value)
    db.changed(key, "incrby")
    return value


@command(
    "INCRBYFLOAT",
    arity=3,
    flags="write denyoom fast",
    keys=first("RW access update"),
    since="2.6.0",
    complexity="O(1)",
    usage="key increment:double",
)
def incrbyfloat(ctx: Context, key: bytes, increment: bytes) -> Reply:
    """Adds a decimal fraction to the number at a key, starting from 0; returns its new text."""
    db = ctx.db
    old = db.write_string(key)
    try:
        number = parse_long_double(bytes(old) if old is not None else b"0")
        by = parse_long_double(increment)
    except ValueError:
        raise Error(NOT_FLOAT) from None
    try:
        text = format_long_double(add_long_doubles(number, by))
    except OverflowError:
        raise Error("ERR increment would produce NaN or Infinity") from None
    db.put(key, text)
    db.changed(key, "incrbyfloat")
    ctx.propagate(b"SET", key, text, b"KEEPTTL")
    return text


# Longest common subsequence


@command(
    "LCS",
    arity=-3,
    flags="readonly",
    keys=span("RO access", last=1),
    since="7.0.0",
    complexity="O(N*M) where N and M are the lengths of s1 and s2, respectively",
    usage="key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
)
def lcs(ctx: Context, key1: bytes, key2: bytes, *words: bytes) -> Reply:
    """Returns the longest common subsequence of two strings, its length, or where it lies.

    The limit on the lengths is Redis' own, which depends on the memory of its table, so that
    the same inputs are refused. See ``pyredis.types.lcs`` for what is done instead.
    """
    values = ctx.db.read(key1), ctx.db.read(key2)
    a, b = map(_lcs_operand, values)
    only_length = indices = with_sizes = False
    size_min = 0
    rest = iter(words)
    for word in rest:
        option = word.upper()
        if option == b"IDX":
            indices = True
        elif option == b"LEN":
            only_length = True
        elif option == b"WITHMATCHLEN":
            with_sizes = True
        elif option == b"MINMATCHLEN" and (following := next(rest, None)) is not None:
            size_min = integer(following)
        else:
            syntax_error()
    if indices and only_length:
        raise Error("ERR If you want both the length and indexes, please just use IDX.")
    if max(len(a), len(b)) > _LCS_LENGTH_MAX:
        raise Error("ERR String too long for LCS")
    table_bytes = (len(a) + 1) * (len(b) + 1) * _LCS_CELL_BYTES
    if table_bytes > ctx.config.proto_max_bulk_len:
        raise Error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    if only_length:
        return lcs_length(a, b)
    runs = lcs_runs(a, b)
    if not indices:
        return b"".join(a[run.start_a : run.start_a + run.size] for run in reversed(runs))
    matches = []
    for start_a, start_b, size in runs:
        if size >= size_min:
            match: list[Reply] = [
                [start_a, start_a + size - 1],
                [start_b, start_b + size - 1],
            ]
            if with_sizes:
                match.append(size)
            matches.append(match)
    return {b"matches": matches, b"len": sum(run.size for run in runs)}


def _lcs_operand(value: Value | None) -> bytes | bytearray:
    if value is None:
        return b""
    if isinstance(value, (bytes, bytearray)):
        return value
    if isinstance(value, int):
        return b"%d" % value
    raise Error("ERR The specified keys must contain string values")
