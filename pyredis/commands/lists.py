"""Lists: pushed to and popped from at both ends, with commands that wait for an element.

``Left`` is the head, index 0; ``right`` the tail, index -1. The data structure with its two
encodings is ``pyredis.types.lists``; ``fill`` is the limit between them.

A command that waits is one that, finding nothing, returns a ``Block``; the engine runs it
again when a list comes into being. Whatever it did is told to the AOF and the replicas as
the command that does the same without waiting: BLPOP becomes LPOP, BLMOVE becomes LMOVE.

LPUSH, RPUSH, LPOP and RPOP deal with long lists on the spot and leave the others to the type.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from pyredis.commands.args import (
    INT64_MAX,
    NO_SUCH_KEY,
    OUT_OF_RANGE,
    integer,
    integer_in,
    positive,
    syntax_error,
    timeout_deadline_ms,
)
from pyredis.commands.registry import Group, counted, first, span
from pyredis.context import Context
from pyredis.keyspace import WRONGTYPE, Database
from pyredis.resp import NULL_ARRAY, OK, Error, Reply
from pyredis.session import Block
from pyredis.types.lists import RECOUNT, List

command = Group("list", acl="list")

_POP: Final = {True: b"LPOP", False: b"RPOP"}
_POPPED: Final = {True: "lpop", False: "rpop"}
_PUSHED: Final = {True: "lpush", False: "rpush"}
_ZERO_RANK: Final = (
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second "
    "... or use negative to start from the end of the list"
)


# Push


@command(
    "LPUSH",
    arity=-3,
    flags="write denyoom fast",
    keys=first("RW insert"),
    since="1.0.0",
    complexity="O(1) for each element added, so O(N) to add N elements when the command is "
    "called with multiple arguments.",
    usage="key element [element ...]",
    history=[("2.4.0", "Takes several `element` arguments.")],
)
def lpush(ctx: Context, key: bytes, *values: bytes) -> Reply:
    """Adds elements at the head of a list, which is created when missing."""
    db = ctx.db
    found = db.write(key)
    if type(found) is not List:
        found = _create(db, key, found)
    if found.size is None and found.payload is None:
        found.items.extendleft(values)  # type: ignore[union-attr]  # long, so a deque
    else:
        found.push_left(values, ctx.config.list_max_listpack_size)
    db.changed(key, "lpush", len(values))
    return len(found.items)


@command(
    "RPUSH",
    arity=-3,
    flags="write denyoom fast",
    keys=first("RW insert"),
    since="1.0.0",
    complexity="O(1) for each element added, so O(N) to add N elements when the command is "
    "called with multiple arguments.",
    usage="key element [element ...]",
    history=[("2.4.0", "Takes several `element` arguments.")],
)
def rpush(ctx: Context, key: bytes, *values: bytes) -> Reply:
    """Adds elements at the tail of a list, which is created when missing."""
    db = ctx.db
    found = db.write(key)
    if type(found) is not List:
        found = _create(db, key, found)
    if found.size is None and found.payload is None:
        found.items.extend(values)
    else:
        found.push_right(values, ctx.config.list_max_listpack_size)
    db.changed(key, "rpush", len(values))
    return len(found.items)


@command(
    "LPUSHX",
    arity=-3,
    flags="write denyoom fast",
    keys=first("RW insert"),
    since="2.2.0",
    complexity="O(1) for each element added, so O(N) to add N elements when the command is "
    "called with multiple arguments.",
    usage="key element [element ...]",
    history=[("4.0.0", "Takes several `element` arguments.")],
)
def lpushx(ctx: Context, key: bytes, *values: bytes) -> Reply:
    """Adds elements at the head of a list that exists already."""
    return 0 if ctx.db.write_as(key, List) is None else lpush(ctx, key, *values)


@command(
    "RPUSHX",
    arity=-3,
    flags="write denyoom fast",
    keys=first("RW insert"),
    since="2.2.0",
    complexity="O(1) for each element added, so O(N) to add N elements when the command is "
    "called with multiple arguments.",
    usage="key element [element ...]",
    history=[("4.0.0", "Takes several `element` arguments.")],
)
def rpushx(ctx: Context, key: bytes, *values: bytes) -> Reply:
    """Adds elements at the tail of a list that exists already."""
    return 0 if ctx.db.write_as(key, List) is None else rpush(ctx, key, *values)


# Pop


@command(
    "LPOP",
    arity=-2,
    flags="write fast",
    keys=first("RW access delete"),
    since="1.0.0",
    complexity="O(N) where N is the number of elements returned",
    usage="key [count]",
    history=[("6.2.0", "Added the `count` argument.")],
)
def lpop(ctx: Context, key: bytes, *count: bytes) -> Reply:
    """Removes and returns the first element of a list, or the first ones."""
    if count:
        return _pop_count(ctx, key, count, True)
    db = ctx.db
    found = db.write(key)
    if type(found) is not List:
        return _none(found)
    items = found.items
    if found.size is None and len(items) > RECOUNT + 1 and found.payload is None:
        value: bytes = items.popleft()  # type: ignore[union-attr]  # long, so a deque
        db.changed(key, "lpop", 1)
        return value
    value = found.pop_left(ctx.config.list_max_listpack_size)
    _removed(db, key, found, "lpop", 1)
    return value


@command(
    "RPOP",
    arity=-2,
    flags="write fast",
    keys=first("RW access delete"),
    since="1.0.0",
    complexity="O(N) where N is the number of elements returned",
    usage="key [count]",
    history=[("6.2.0", "Added the `count` argument.")],
)
def rpop(ctx: Context, key: bytes, *count: bytes) -> Reply:
    """Removes and returns the last element of a list, or the last ones."""
    if count:
        return _pop_count(ctx, key, count, False)
    db = ctx.db
    found = db.write(key)
    if type(found) is not List:
        return _none(found)
    items = found.items
    if found.size is None and len(items) > RECOUNT + 1 and found.payload is None:
        value: bytes = items.pop()
        db.changed(key, "rpop", 1)
        return value
    value = found.pop_right(ctx.config.list_max_listpack_size)
    _removed(db, key, found, "rpop", 1)
    return value


@command(
    "LMPOP",
    arity=-4,
    flags="write movablekeys",
    keys=counted("RW access delete", at=1),
    since="7.0.0",
    complexity="O(N+M) where N is the number of provided keys and M is the number of elements "
    "returned.",
    usage="numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
)
def lmpop(ctx: Context, *args: bytes) -> Reply:
    """Removes and returns elements of the first of several lists that has any."""
    keys, left, count = _multi_pop_args(args)
    return _pop_first(ctx, keys, left, count) or NULL_ARRAY


# Read


@command(
    "LLEN",
    arity=2,
    flags="readonly fast",
    keys=first("RO"),
    since="1.0.0",
    complexity="O(1)",
    usage="key",
)
def llen(ctx: Context, key: bytes) -> Reply:
    """Returns the number of elements in a list."""
    found = ctx.db.read_as(key, List)
    return 0 if found is None else len(found.items)


@command(
    "LINDEX",
    arity=3,
    flags="readonly",
    keys=first("RO access"),
    since="1.0.0",
    complexity="O(N) where N is the number of elements to traverse to get to the element at "
    "index. This makes asking for the first or the last element of the list O(1).",
    usage="key index",
)
def lindex(ctx: Context, key: bytes, index: bytes) -> Reply:
    """Returns the element at an index of a list."""
    found = ctx.db.read_as(key, List)
    if found is None:
        return None
    at = integer(index)
    items = found.items
    return items[at] if -len(items) <= at < len(items) else None


@command(
    "LRANGE",
    arity=4,
    flags="readonly",
    keys=first("RO access"),
    since="1.0.0",
    complexity="O(S+N) where S is the distance of start offset from HEAD for small lists, from "
    "nearest end (HEAD or TAIL) for large lists; and N is the number of elements in the "
    "specified range.",
    usage="key start stop",
)
def lrange(ctx: Context, key: bytes, start: bytes, stop: bytes) -> Reply:
    """Returns the elements of a list from one index to another, both included."""
    low, high = integer(start), integer(stop)
    found = ctx.db.read_as(key, List)
    if found is None:
        return []
    low, high = _interval(low, high, len(found.items))
    return found.range(low, high)


@command(
    "LPOS",
    arity=-3,
    flags="readonly",
    keys=first("RO access"),
    since="6.0.6",
    complexity="O(N) where N is the number of elements in the list, for the average case. When "
    "searching for elements near the head or the tail of the list, or when the MAXLEN option "
    "is provided, the command may run in constant time.",
    usage="key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
)
def lpos(ctx: Context, key: bytes, element: bytes, *options: bytes) -> Reply:
    """Returns where in a list an element stands, once or as often as asked for."""
    rank, count, compared_max = 1, -1, 0
    for at in range(0, len(options), 2):
        name = options[at].upper()
        if at + 1 == len(options):
            syntax_error()
        arg = options[at + 1]
        if name == b"RANK":
            rank = integer_in(arg, -INT64_MAX, INT64_MAX)
            if rank == 0:
                raise Error(_ZERO_RANK)
        elif name == b"COUNT":
            count = integer_in(arg, 0, INT64_MAX, "ERR COUNT can't be negative")
        elif name == b"MAXLEN":
            compared_max = integer_in(arg, 0, INT64_MAX, "ERR MAXLEN can't be negative")
        else:
            syntax_error()
    found = ctx.db.read_as(key, List)
    if found is None:
        return None if count == -1 else []
    skipped = min(abs(rank) - 1, len(found.items))
    wanted = min(abs(count), len(found.items)) or None
    positions = found.positions(element, rank < 0, min(compared_max, len(found.items)))
    places = list(islice(positions, skipped, None if wanted is None else skipped + wanted))
    if count == -1:
        return places[0] if places else None
    return places


# Change in place


@command(
    "LSET",
    arity=4,
    flags="write denyoom",
    keys=first("RW update"),
    since="1.0.0",
    complexity="O(N) where N is the length of the list. Setting either the first or the last "
    "element of the list is O(1).",
    usage="key index element",
)
def lset(ctx: Context, key: bytes, index: bytes, element: bytes) -> Reply:
    """Replaces the element at an index of a list."""
    db = ctx.db
    found = db.write_as(key, List)
    if found is None:
        raise Error(NO_SUCH_KEY)
    at = integer(index)
    if not -len(found.items) <= at < len(found.items):
        raise Error(OUT_OF_RANGE)
    found.set(at, element, ctx.config.list_max_listpack_size)
    db.changed(key, "lset", 1)
    return OK


@command(
    "LINSERT",
    arity=5,
    flags="write denyoom",
    keys=first("RW insert"),
    since="2.2.0",
    complexity="O(N) where N is the number of elements to traverse before seeing the value "
    "pivot. This means that inserting somewhere on the left end on the list (head) can be "
    "considered O(1) and inserting somewhere on the right end (tail) is O(N).",
    usage="key <BEFORE | AFTER> pivot element",
)
def linsert(ctx: Context, key: bytes, where: bytes, pivot: bytes, element: bytes) -> Reply:
    """Puts an element before or after another one of a list."""
    side = where.upper()
    if side not in (b"BEFORE", b"AFTER"):
        syntax_error()
    db = ctx.db
    found = db.write_as(key, List)
    if found is None:
        return 0
    fill = ctx.config.list_max_listpack_size
    found.make_room(element, fill)  # before it is known whether there is the pivot, as in Redis
    try:
        at = found.items.index(pivot)
    except ValueError:
        return -1
    found.insert(at + (side == b"AFTER"), element, fill)
    db.changed(key, "linsert", 1)
    return len(found.items)


@command(
    "LREM",
    arity=4,
    flags="write",
    keys=first("RW delete"),
    since="1.0.0",
    complexity="O(N+M) where N is the length of the list and M is the number of elements removed.",
    usage="key count element",
)
def lrem(ctx: Context, key: bytes, count: bytes, element: bytes) -> Reply:
    """Removes elements equal to a given one from a list."""
    removed_max = integer_in(count, -INT64_MAX, INT64_MAX)
    db = ctx.db
    found = db.write_as(key, List)
    if found is None:
        return 0
    removed = found.remove(element, removed_max, ctx.config.list_max_listpack_size)
    if removed:
        _removed(db, key, found, "lrem", removed)
    return removed


@command(
    "LTRIM",
    arity=4,
    flags="write",
    keys=first("RW delete"),
    since="1.0.0",
    complexity="O(N) where N is the number of elements to be removed by the operation.",
    usage="key start stop",
)
def ltrim(ctx: Context, key: bytes, start: bytes, stop: bytes) -> Reply:
    """Cuts a list down to the elements between two indexes, both included."""
    low, high = integer(start), integer(stop)
    db = ctx.db
    found = db.write_as(key, List)
    if found is None:
        return OK
    low, high = _interval(low, high, len(found.items))
    if low == high:  # nothing stays, so the list is dropped as a whole
        db.changed(key, "ltrim", len(found.items))
        db.remove(key)
        db.changed(key, "del", 0)
        return OK
    removed = found.trim(low, high, ctx.config.list_max_listpack_size)
    db.changed(key, "ltrim", removed)
    return OK


# Move


@command(
    "LMOVE",
    arity=5,
    flags="write denyoom",
    keys=first("RW access delete") + first("RW insert", at=2),
    since="6.2.0",
    complexity="O(1)",
    usage="source destination wherefrom=<LEFT | RIGHT> whereto=<LEFT | RIGHT>",
)
def lmove(
    ctx: Context, source: bytes, destination: bytes, wherefrom: bytes, whereto: bytes
) -> Reply:
    """Takes an element from an end of a list, adds it to an end of another and returns it."""
    return _move(ctx, source, destination, _is_left(wherefrom), _is_left(whereto))


@command(
    "RPOPLPUSH",
    arity=3,
    flags="write denyoom",
    keys=first("RW access delete") + first("RW insert", at=2),
    since="1.2.0",
    complexity="O(1)",
    usage="source destination",
    deprecated="`LMOVE` with the `RIGHT` and `LEFT` arguments",
    deprecated_since="6.2.0",
)
def rpoplpush(ctx: Context, source: bytes, destination: bytes) -> Reply:
    """Takes the last element of a list, adds it at the head of another and returns it."""
    return _move(ctx, source, destination, False, True)


# Wait


@command(
    "BLPOP",
    arity=-3,
    flags="write blocking",
    keys=span("RW access delete", last=-2),
    since="2.0.0",
    complexity="O(N) where N is the number of provided keys.",
    usage="key [key ...] timeout:double",
    history=[("6.0.0", "`timeout` is a double now, no longer an integer.")],
)
def blpop(ctx: Context, *args: bytes) -> Reply:
    """Removes and returns the first element of a list; waits while all lists are missing."""
    return _blocking_pop(ctx, args[:-1], args[-1], True)


@command(
    "BRPOP",
    arity=-3,
    flags="write blocking",
    keys=span("RW access delete", last=-2),
    since="2.0.0",
    complexity="O(N) where N is the number of provided keys.",
    usage="key [key ...] timeout:double",
    history=[("6.0.0", "`timeout` is a double now, no longer an integer.")],
)
def brpop(ctx: Context, *args: bytes) -> Reply:
    """Removes and returns the last element of a list; waits while all lists are missing."""
    return _blocking_pop(ctx, args[:-1], args[-1], False)


@command(
    "BLMPOP",
    arity=-5,
    flags="write blocking movablekeys",
    keys=counted("RW access delete", at=2),
    since="7.0.0",
    complexity="O(N+M) where N is the number of provided keys and M is the number of elements "
    "returned.",
    usage="timeout:double numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
)
def blmpop(ctx: Context, timeout: bytes, *args: bytes) -> Reply:
    """Removes and returns elements of the first list that has any; waits while none has."""
    keys, left, count = _multi_pop_args(args)
    deadline_ms = timeout_deadline_ms(ctx, timeout)
    popped = _pop_first(ctx, keys, left, count)
    return popped or Block(keys, deadline_ms, NULL_ARRAY, List)


@command(
    "BLMOVE",
    arity=6,
    flags="write denyoom blocking",
    keys=first("RW access delete") + first("RW insert", at=2),
    since="6.2.0",
    complexity="O(1)",
    usage="source destination wherefrom=<LEFT | RIGHT> whereto=<LEFT | RIGHT> timeout:double",
)
def blmove(
    ctx: Context,
    source: bytes,
    destination: bytes,
    wherefrom: bytes,
    whereto: bytes,
    timeout: bytes,
) -> Reply:
    """Moves an element between the ends of two lists; waits while there is none."""
    left_from, left_to = _is_left(wherefrom), _is_left(whereto)
    deadline_ms = timeout_deadline_ms(ctx, timeout)
    if ctx.db.write(source) is None:
        return _block_move(ctx, source, deadline_ms)
    value = _move(ctx, source, destination, left_from, left_to)
    ctx.propagate(b"LMOVE", source, destination, wherefrom, whereto)
    return value


@command(
    "BRPOPLPUSH",
    arity=4,
    flags="write denyoom blocking",
    keys=first("RW access delete") + first("RW insert", at=2),
    since="2.2.0",
    complexity="O(1)",
    usage="source destination timeout:double",
    history=[("6.0.0", "`timeout` is a double now, no longer an integer.")],
    deprecated="`BLMOVE` with the `RIGHT` and `LEFT` arguments",
    deprecated_since="6.2.0",
)
def brpoplpush(ctx: Context, source: bytes, destination: bytes, timeout: bytes) -> Reply:
    """Moves the last element of a list to the head of another; waits while there is none."""
    deadline_ms = timeout_deadline_ms(ctx, timeout)
    if ctx.db.write(source) is None:
        return _block_move(ctx, source, deadline_ms)
    value = _move(ctx, source, destination, False, True)
    ctx.propagate(b"RPOPLPUSH", source, destination)
    return value


# Common parts


def _create(db: Database, key: bytes, found: object) -> List:
    """A new list for a key that has none; WRONGTYPE if it holds something else."""
    if found is not None:
        raise Error(WRONGTYPE)
    made = List()
    db.put(key, made)
    return made


def _none(found: object) -> None:
    """The reply for a missing key; WRONGTYPE if it holds something else."""
    if found is not None:
        raise Error(WRONGTYPE)


def _removed(db: Database, key: bytes, found: List, event: str, count: int) -> None:
    """Record that elements went, and the key with the last of them."""
    db.changed(key, event, count)
    if not found.items:
        db.remove(key)
        db.changed(key, "del", 0)


def _is_left(word: bytes) -> bool:
    """LEFT or RIGHT."""
    side = word.upper()
    if side == b"LEFT":
        return True
    if side != b"RIGHT":
        syntax_error()
    return False


def _interval(start: int, stop: int, length: int) -> tuple[int, int]:
    """Inclusive indexes, perhaps from the end, as a half-open interval; (0, 0) if it is empty."""
    if start < 0:
        start = max(0, start + length)
    stop = min(stop + length if stop < 0 else stop, length - 1) + 1
    return (start, stop) if start < stop else (0, 0)


def _take(ctx: Context, key: bytes, found: List, left: bool, count: int) -> list[bytes]:
    """Pop up to ``count`` elements, with all that follows from it."""
    fill = ctx.config.list_max_listpack_size
    taken = found.take_left(count, fill) if left else found.take_right(count, fill)
    _removed(ctx.db, key, found, _POPPED[left], len(taken))
    return taken


def _pop_count(ctx: Context, key: bytes, args: Sequence[bytes], left: bool) -> Reply:
    if len(args) > 1:
        name = _POPPED[left]
        raise Error(f"ERR wrong number of arguments for '{name}' command")
    count = positive(args[0])
    found = ctx.db.write_as(key, List)
    if found is None:
        return NULL_ARRAY
    return _take(ctx, key, found, left, count) if count else []


def _multi_pop_args(args: Sequence[bytes]) -> tuple[tuple[bytes, ...], bool, int]:
    """Keys, end and count of LMPOP and BLMPOP, whose arguments begin with numkeys."""
    count_keys = integer_in(args[0], 1, INT64_MAX, "ERR numkeys should be greater than 0")
    if count_keys + 1 >= len(args):
        syntax_error()
    keys = tuple(args[1 : count_keys + 1])
    left = _is_left(args[count_keys + 1])
    options = args[count_keys + 2 :]
    if not options:
        return keys, left, 1
    if options[0].upper() != b"COUNT" or len(options) == 1:
        syntax_error()
    count = integer_in(options[1], 1, INT64_MAX, "ERR count should be greater than 0")
    if len(options) > 2:
        syntax_error()
    return keys, left, count


def _pop_first(ctx: Context, keys: Sequence[bytes], left: bool, count: int) -> Reply:
    """Pop from the first list there is; None if there is none."""
    for key in keys:
        found = ctx.db.write_as(key, List)
        if found is not None:
            taken = _take(ctx, key, found, left, count)
            ctx.propagate(_POP[left], key, b"%d" % len(taken))
            return [key, taken]
    return None


def _blocking_pop(ctx: Context, keys: tuple[bytes, ...], timeout: bytes, left: bool) -> Reply:
    deadline_ms = timeout_deadline_ms(ctx, timeout)
    for key in keys:
        found = ctx.db.write_as(key, List)
        if found is not None:
            (value,) = _take(ctx, key, found, left, 1)
            ctx.propagate(_POP[left], key)
            return [key, value]
    return Block(keys, deadline_ms, NULL_ARRAY, List)


def _block_move(ctx: Context, source: bytes, deadline_ms: int) -> Block:
    # Where waiting is impossible the reply is that of LMOVE; a timeout is a null array.
    on_timeout = None if ctx.ks.unit.depth else NULL_ARRAY
    return Block((source,), deadline_ms, on_timeout, List)


def _move(ctx: Context, source: bytes, destination: bytes, left_from: bool, left_to: bool) -> Reply:
    """LMOVE: None for a missing source. Both lists may be the same one."""
    db = ctx.db
    giver = db.write_as(source, List)
    if giver is None:
        return None
    taker = db.write_as(destination, List)
    fill = ctx.config.list_max_listpack_size
    value = giver.pop_left(fill) if left_from else giver.pop_right(fill)
    if taker is None:
        taker = _create(db, destination, None)
    if left_to:
        taker.push_left((value,), fill)
    else:
        taker.push_right((value,), fill)
    db.changed(destination, _PUSHED[left_to], 0)
    _removed(db, source, giver, _POPPED[left_from], 1)
    return value
