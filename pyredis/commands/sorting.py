"""SORT: the elements of a list, set or sorted set, in order, perhaps with data of other keys.

Three steps: load the elements, order them, and put out for each what GET asks for.

Weights. Elements are ordered by themselves, or by the keys that BY names: `weight_*` stands for
one key an element, `user_*->age` for a field of a hash. Numbers are read as strtod reads them,
and a missing weight is 0. Equal weights are ordered by the elements, so the result is the
same everywhere (but not under ALPHA with BY, where missing weights come first and ties keep
the order in which they were loaded). DESC turns all of that round.

A BY without a star names no key: nothing is sorted, and LIMIT takes its part straight from the
value. Only a set that is to be stored, or that a script asked for, is sorted even then,
alphabetically, since Redis' own order of it is up to chance.

Side effect, as in Redis: a sorted set that was sorted has encoding `skiplist` from then on.

Cost: O(n log n), whatever part LIMIT leaves; all of it in C but for reading the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pyredis.commands.args import integer, syntax_error
from pyredis.commands.registry import Group, KeySpec, first
from pyredis.context import Context
from pyredis.field_expiry import visible
from pyredis.keyspace import WRONGTYPE, Value
from pyredis.resp import Error, Reply
from pyredis.types.doubles import parse_double
from pyredis.types.hashes import Hash
from pyredis.types.lists import List
from pyredis.types.sets import Set
from pyredis.types.zset import ZSet

command = Group("generic", acl="set sortedset list dangerous")

_COMPLEXITY = (
    "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the "
    "number of returned elements. When the elements are not sorted, complexity is O(N)."
)
_USAGE = (
    "key [BY by-pattern=pattern] [LIMIT offset count] "
    "[GET get-pattern=pattern [GET pattern ...]] [ASC|DESC] [ALPHA]"
)
_PATTERN_KEYS = (
    KeySpec(
        ("RO", "access"),
        ("unknown",),
        ("unknown",),
        "The keys of BY and GET: their names come from the elements that are sorted.",
    ),
)
_STORE_KEY = (
    KeySpec(
        ("OW", "update"),
        ("unknown",),
        ("unknown",),
        "The key of STORE, which may stand anywhere among the options.",
    ),
)
_NO_DOUBLE: Final = "ERR One or more scores can't be converted into double"
_BLANKS: Final = b" \t\n\v\f\r"


@dataclass(slots=True)
class Options:
    """What the arguments behind the key ask for."""

    by: bytes | None = None
    sorts: bool = True  # False once a BY had no star in it
    offset: int = 0
    count: int = -1
    gets: list[bytes] = field(default_factory=list)
    desc: bool = False
    alpha: bool = False
    store: bytes | None = None


@command(
    "SORT",
    arity=-2,
    flags="write denyoom movablekeys",
    keys=first("RO access") + _PATTERN_KEYS + _STORE_KEY,
    since="1.0.0",
    complexity=_COMPLEXITY,
    usage=f"{_USAGE} [STORE destination]",
)
def sort(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Sorts the elements of a list, set or sorted set; shows or stores them."""
    options = _parse(ctx, args, may_store=True)
    found = _run(ctx, key, options)
    if options.store is None:
        return found
    db = ctx.db
    if found:
        values = [b"" if value is None else value for value in found]
        db.replace(options.store, List.of(values, ctx.config.list_max_listpack_size))
        db.changed(options.store, "sortstore", len(values))
    elif db.remove(options.store) is not None:  # one past its time too, which is no expiry
        db.changed(options.store, "del")
    return len(found)


@command(
    "SORT_RO",
    arity=-2,
    flags="readonly movablekeys",
    keys=first("RO access") + _PATTERN_KEYS,
    since="7.0.0",
    complexity=_COMPLEXITY,
    usage=_USAGE,
)
def sort_ro(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Sorts as SORT does, but never stores, so replicas may run it."""
    return _run(ctx, key, _parse(ctx, args, may_store=False))


def _parse(ctx: Context, args: tuple[bytes, ...], *, may_store: bool) -> Options:
    """The options; raises a syntax error, or that of a LIMIT or a right that is missing."""
    options = Options()
    at, end = 0, len(args)
    while at < end:
        word = args[at].upper()
        left = end - at - 1
        if word == b"ASC":
            options.desc = False
        elif word == b"DESC":
            options.desc = True
        elif word == b"ALPHA":
            options.alpha = True
        elif word == b"LIMIT" and left >= 2:
            options.offset, options.count = integer(args[at + 1]), integer(args[at + 2])
            at += 2
        elif word == b"STORE" and left and may_store:
            options.store = args[at + 1]
            at += 1
        elif word == b"BY" and left:
            options.by = args[at + 1]
            if b"*" not in options.by:
                options.sorts = False
            else:
                _check_rights(ctx, "BY")
            at += 1
        elif word == b"GET" and left:
            _check_rights(ctx, "GET")
            options.gets.append(args[at + 1])
            at += 1
        else:
            syntax_error()
        at += 1
    return options


def _check_rights(ctx: Context, option: str) -> None:
    """BY and GET read keys that nobody can foresee, so the user must have the right to all."""
    session, engine = ctx.session, ctx.engine
    if session.restricted:
        entry = engine.table.find(ctx.argv)
        assert entry is not None
        if not engine.guard.may_read_all_keys(session, entry, ctx.argv):
            text = f"ERR {option} option of SORT denied due to insufficient ACL permissions."
            raise Error(text)


def _run(ctx: Context, key: bytes, options: Options) -> list[bytes | None]:
    """What SORT shows or stores. Raises WRONGTYPE, or the error of a weight that is no number."""
    value = ctx.db.read(key)
    if value is None:
        return []
    kind = type(value)
    if kind is not List and kind is not Set and kind is not ZSet:
        raise Error(WRONGTYPE)
    fixed = options.store is not None or ctx.engine.scripting.run is not None
    if kind is Set and not options.sorts and fixed:
        options.sorts, options.alpha, options.by = True, True, None
    if kind is ZSet:
        value.skiplist = True
    start, stop = _bounds(options, len(value))
    elements: Sequence[bytes]
    if not options.sorts:
        elements = _unsorted(value, start, stop, options.desc)
    else:
        elements = _sorted(ctx, _elements(value), options)[start:stop]
    if not options.gets:
        return list(elements)
    gets = [_pattern(ctx, get) for get in options.gets]
    return [get(element) for element in elements for get in gets]


def _bounds(options: Options, length: int) -> tuple[int, int]:
    """The half-open interval that LIMIT leaves of so many elements."""
    start = min(max(options.offset, 0), length)
    stop = length if options.count < 0 else min(start + options.count, length)
    return start, stop


def _elements(value: Value) -> list[bytes]:
    if type(value) is Set:
        return value.listing()
    if type(value) is ZSet:
        return [member for _, member in value]
    return list(value)


def _unsorted(value: Value, start: int, stop: int, desc: bool) -> list[bytes]:
    """An interval in the value's own order, counted from the other end if ``desc``."""
    if type(value) is ZSet:
        return [member for _, member in value.range_by_rank(start, stop, desc)]
    if type(value) is List:
        if not desc:
            return value.range(start, stop)
        length = len(value)
        return value.range(length - stop, length - start)[::-1]
    return _elements(value)[start:stop]


def _sorted(ctx: Context, elements: list[bytes], options: Options) -> list[bytes]:
    """All elements in order."""
    desc = options.desc
    if options.by is None:
        if options.alpha:
            return sorted(elements, reverse=desc)
        weights: list[Any] = [_number(element) for element in elements]
    else:
        weight = _pattern(ctx, options.by)
        found = [weight(element) for element in elements]
        if options.alpha:
            # False sorts before True, so elements without a weight come first.
            ranks = {place: (text is not None, text or b"") for place, text in enumerate(found)}
            order = sorted(ranks, key=ranks.__getitem__, reverse=desc)
            return [elements[place] for place in order]
        weights = [0.0 if text is None else _number(text) for text in found]
    pairs = sorted(zip(weights, elements, strict=True), reverse=desc)
    return [element for _, element in pairs]


def _number(text: bytes) -> float:
    """A weight as strtod reads it: blanks in front, nothing behind, the empty text is 0."""
    seen = text.partition(b"\0")[0]
    if not seen:
        return 0.0
    try:
        return parse_double(seen.lstrip(_BLANKS))
    except ValueError:
        raise Error(_NO_DOUBLE) from None


def _pattern(ctx: Context, pattern: bytes) -> Callable[[bytes], bytes | None]:
    """A function from an element to what the pattern stands for: # or prefix*suffix[->field]."""
    if pattern == b"#":
        return lambda element: element
    prefix, star, suffix = pattern.partition(b"*")
    if not star:
        return lambda element: None
    name, arrow, hash_field = suffix.partition(b"->")
    if not hash_field:
        name, arrow = suffix, b""
    read = ctx.db.read

    def look_up(element: bytes) -> bytes | None:
        key = prefix + element + name
        value = read(key)
        if arrow:
            return visible(ctx.db, key, value, hash_field) if type(value) is Hash else None
        if type(value) is int:
            return b"%d" % value
        return bytes(value) if isinstance(value, (bytes, bytearray)) else None

    return look_up
