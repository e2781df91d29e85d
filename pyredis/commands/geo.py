"""Places: sorted sets whose scores are positions on Earth.

A geospatial index is nothing but a sorted set, and GEOADD a ZADD, which is also what is
propagated; what scores mean is in ``pyredis.types.geohash``. The searches (GEOSEARCH, its storing
form, and the older GEORADIUS family) differ in their arguments alone: all become a ``_Query``.

Unsorted results come cell by cell, in the order of their scores; COUNT without ANY sorts by
distance first, since only that gives the nearest ones.

Departures: results at exactly the same distance keep that order when sorted, where Redis' sort
may change it if there are more of them than COUNT asks for; and errors name GEOSEARCH in capitals
however it was typed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from pyredis.commands.args import INT64_MAX, double, integer, syntax_error
from pyredis.commands.registry import Group, after, first
from pyredis.commands.zsets import zadd
from pyredis.context import Context
from pyredis.resp import NULL_ARRAY, Double, Error, Reply
from pyredis.types import geohash
from pyredis.types.geohash import Box, Circle, Position, Shape
from pyredis.types.zset import ZSet

command = Group("geo", acl="geo")

_UNITS_M: Final = {b"M": 1.0, b"KM": 1000.0, b"FT": 0.3048, b"MI": 1609.34}
_ADD_OPTIONS: Final = frozenset((b"NX", b"XX", b"CH"))
_NO_MEMBER: Final = "ERR could not decode requested zset member"
_SEARCH_COST: Final = (
    "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around "
    "the shape provided as the filter and M is the number of items inside the shape"
)
_RADIUS_COST: Final = (
    "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area "
    "delimited by center and radius and M is the number of items inside the index."
)
_UNIT_HISTORY: Final = ("7.0.0", "Takes units in capitals too.")
_ANY_HISTORY: Final = ("6.2.0", "Takes the `ANY` option of `COUNT`.")


# Arguments and replies


def _unit_m(arg: bytes) -> float:
    """How many meters a unit has."""
    unit_m = _UNITS_M.get(arg.upper())
    if unit_m is None:
        raise Error("ERR unsupported unit provided. please use M, KM, FT, MI")
    return unit_m


def _position(longitude: bytes, latitude: bytes) -> Position:
    place = Position(double(longitude), double(latitude))
    if not geohash.on_map(*place):
        raise Error(f"ERR invalid longitude,latitude pair {place[0]:f},{place[1]:f}")
    return place


def _position_of_member(zset: ZSet, member: bytes) -> Position:
    score = zset.scores.get(member)
    if score is None:
        raise Error(_NO_MEMBER)
    return geohash.position_of(score)


def _distance_text(distance: float) -> bytes:
    """A distance with four decimals."""
    return b"%d.%04d" % divmod(round(distance * 10_000), 10_000)


def _position_reply(place: Position) -> list[Reply]:
    return [_degrees(place.longitude), _degrees(place.latitude)]


def _degrees(x: float) -> Double:
    """A coordinate with up to 17 decimals."""
    text = (b"%.17f" % x).rstrip(b"0").removesuffix(b".")
    return Double(b"0" if text == b"-0" else text)


# Members


@command(
    "GEOADD",
    arity=-5,
    flags="write denyoom",
    keys=first("RW update"),
    since="3.2.0",
    complexity="O(log(N)) for each item added, where N is the number of elements in the sorted "
    "set.",
    usage="key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
    history=[("6.2.0", "Takes the `CH`, `NX` and `XX` options.")],
)
def geoadd(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Adds members with their positions, or moves them.

    Returns how many are new; with CH, how many are new or have moved.
    """
    at = 0
    while at < len(args) and args[at].upper() in _ADD_OPTIONS:
        at += 1
    options = args[:at]
    words = {word.upper() for word in options}
    if (len(args) - at) % 3 or at == len(args) or {b"NX", b"XX"} <= words:
        syntax_error()
    pairs: list[bytes] = []
    for longitude, latitude, member in zip(
        args[at::3], args[at + 1 :: 3], args[at + 2 :: 3], strict=True
    ):
        pairs += (b"%d" % geohash.score_at(*_position(longitude, latitude)), member)
    dirty = ctx.ks.dirty
    reply = zadd(ctx, key, *options, *pairs)
    if ctx.ks.dirty != dirty:
        ctx.propagate(b"ZADD", key, *options, *pairs)
    return reply


@command(
    "GEOPOS",
    arity=-2,
    flags="readonly",
    keys=first("RO access"),
    since="3.2.0",
    complexity="O(N) where N is the number of members requested.",
    usage="key [member [member ...]]",
)
def geopos(ctx: Context, key: bytes, *members: bytes) -> Reply:
    """Returns the longitude and latitude of members, null for each stranger."""
    zset = ctx.db.read_as(key, ZSet)
    scores = map((zset.scores if zset is not None else {}).get, members)
    return [
        NULL_ARRAY if score is None else _position_reply(geohash.position_of(score))
        for score in scores
    ]


@command(
    "GEOHASH",
    arity=-2,
    flags="readonly",
    keys=first("RO access"),
    since="3.2.0",
    complexity="O(log(N)) for each member requested, where N is the number of elements in the "
    "sorted set.",
    usage="key [member [member ...]]",
)
def geohash_(ctx: Context, key: bytes, *members: bytes) -> Reply:
    """Returns the positions of members as geohash strings, null for each stranger."""
    zset = ctx.db.read_as(key, ZSet)
    scores = map((zset.scores if zset is not None else {}).get, members)
    return [None if score is None else geohash.text_of(score) for score in scores]


@command(
    "GEODIST",
    arity=-4,
    flags="readonly",
    keys=first("RO access"),
    since="3.2.0",
    complexity="O(log(N))",
    usage="key member1 member2 [M | KM | FT | MI]",
)
def geodist(ctx: Context, key: bytes, member1: bytes, member2: bytes, *unit: bytes) -> Reply:
    """Returns the distance between two members, null if one is missing."""
    if len(unit) > 1:
        syntax_error()
    unit_m = _unit_m(unit[0]) if unit else 1.0
    zset = ctx.db.read_as(key, ZSet)
    if zset is None:
        return None
    score1, score2 = zset.scores.get(member1), zset.scores.get(member2)
    if score1 is None or score2 is None:
        return None
    positions = geohash.position_of(score1), geohash.position_of(score2)
    return _distance_text(geohash.distance_m(*positions) / unit_m)


# Searches: the query


class _Dialect(NamedTuple):
    """What the options of a search may be."""

    name: str
    search: bool = False  # FROM... and BY... say where and how far
    stores: bool = False  # STORE and STOREDIST name a key
    storedist: bool = False  # STOREDIST is a mark


_GEOSEARCH: Final = _Dialect("GEOSEARCH", search=True)
_GEOSEARCHSTORE: Final = _Dialect("GEOSEARCHSTORE", search=True, storedist=True)
_GEORADIUS: Final = _Dialect("STORE option in GEORADIUS", stores=True)
_GEORADIUS_RO: Final = _Dialect("GEORADIUS_RO")

_MARKS: Final = frozenset((b"WITHDIST", b"WITHHASH", b"WITHCOORD", b"ANY"))
_NO_STORE: Final = frozenset((b"WITHDIST", b"WITHHASH", b"WITHCOORD"))


@dataclass(slots=True)
class _Query:
    """A search as it is being read. ``center`` stays None if its member cannot be looked up."""

    center: Position | None = None
    center_from: bytes = b""  # FROMMEMBER or FROMLONLAT, once one is given
    shape: Callable[[Position], Shape] | None = None  # all but the center
    shape_by: bytes = b""
    unit_m: float = 1.0
    marks: set[bytes] = field(default_factory=set)
    order: bytes = b""
    count: int = 0
    store: bytes | None = None
    store_distances: bool = False

    def by_radius(self, radius: bytes, unit: bytes) -> None:
        """Search a circle."""
        length = double(radius, "ERR need numeric radius")
        if length < 0:
            raise Error("ERR radius cannot be negative")
        self.unit_m = _unit_m(unit)
        self.shape = partial(Circle, radius=length, unit_m=self.unit_m)

    def by_box(self, width: bytes, height: bytes, unit: bytes) -> None:
        """Search a rectangle."""
        lengths = (
            double(width, "ERR need numeric width"),
            double(height, "ERR need numeric height"),
        )
        if min(lengths) < 0:
            raise Error("ERR height or width cannot be negative")
        self.unit_m = _unit_m(unit)
        self.shape = partial(Box, width=lengths[0], height=lengths[1], unit_m=self.unit_m)

    def read_options(self, dialect: _Dialect, zset: ZSet | None, args: tuple[bytes, ...]) -> None:
        """Take what else the request says. Raises the errors of options that do not go together."""
        at = 0
        while at < len(args):
            word = args[at].upper()
            values = args[at + 1 :]
            at += 1
            if word in _MARKS:
                self.marks.add(word)
            elif word in (b"ASC", b"DESC"):
                self.order = word
            elif word == b"COUNT" and values:
                self.count = integer(values[0])
                if self.count <= 0:
                    raise Error("ERR COUNT must be > 0")
                at += 1
            elif word in (b"STORE", b"STOREDIST") and values and dialect.stores:
                self.store, self.store_distances = values[0], word == b"STOREDIST"
                at += 1
            elif word == b"STOREDIST" and dialect.storedist:
                self.store_distances = True
            elif dialect.search:
                at += self._read_place(word, zset, values)
            else:
                syntax_error()
        self._check(dialect)

    def _read_place(self, word: bytes, zset: ZSet | None, values: tuple[bytes, ...]) -> int:
        """FROM... or BY...; returns how many values belong to it."""
        taken = {b"FROMMEMBER": 1, b"FROMLONLAT": 2, b"BYRADIUS": 2, b"BYBOX": 3}.get(word, 0)
        given = self.center_from if word.startswith(b"FROM") else self.shape_by
        if not 0 < taken <= len(values) or given not in (b"", word):
            syntax_error()
        if word == b"FROMMEMBER":
            if zset is not None:
                self.center = _position_of_member(zset, values[0])
        elif word == b"FROMLONLAT":
            self.center = _position(*values[:2])
        elif word == b"BYRADIUS":
            self.by_radius(*values[:2])
        else:
            self.by_box(*values[:3])
        if word.startswith(b"FROM"):
            self.center_from = word
        else:
            self.shape_by = word
        return taken

    def _check(self, dialect: _Dialect) -> None:
        if self.store is not None and self.marks & _NO_STORE:
            raise Error(
                f"ERR {dialect.name} is not compatible with WITHDIST, WITHHASH and WITHCOORD "
                "options"
            )
        if dialect.search and not self.center_from:
            raise Error(
                f"ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {dialect.name}"
            )
        if dialect.search and not self.shape_by:
            raise Error(
                f"ERR exactly one of BYRADIUS and BYBOX can be specified for {dialect.name}"
            )
        if b"ANY" in self.marks and not self.count:
            raise Error("ERR the ANY argument requires COUNT argument")


# Searches: the answer


class _Found(NamedTuple):
    """A member inside the shape."""

    distance_m: float
    score: float
    member: bytes
    place: Position


def _inside(zset: ZSet, shape: Shape) -> Iterable[_Found]:
    """The members inside a shape, unsorted. O(log n) and what is in the cells, lazily."""
    position_of, distance_m = geohash.position_of, shape.distance_m
    for cell in geohash.cells_to_search(shape):
        low, high = cell.scores()
        for score, member in zset.range_by_rank(*zset.score_bounds(low, False, high, True)):
            place = position_of(score)
            distance = distance_m(place)
            if distance is not None:
                yield _Found(distance, score, member, place)


def _nearest(found: Iterable[_Found], query: _Query) -> list[_Found]:
    """As many of them as asked for, in the order asked for."""
    order, some = query.order, b"ANY" in query.marks
    if query.count and some:
        found = [each for each, _ in zip(found, range(query.count), strict=False)]
    elif query.count and not order:
        order = b"ASC"
    if order:
        found = sorted(found, key=lambda each: each.distance_m, reverse=order == b"DESC")
    return list(found)[: query.count or INT64_MAX]


def _answer(ctx: Context, zset: ZSet | None, query: _Query) -> Reply:
    """The reply to a search, or the size of the set it stored."""
    found: list[_Found] = []
    if zset is not None and query.shape is not None and query.center is not None:
        found = _nearest(_inside(zset, query.shape(query.center)), query)
    if query.store is not None:
        return _store(ctx, query.store, found, query)
    if not query.marks & _NO_STORE:
        return [each.member for each in found]
    return [_details(each, query) for each in found]


def _details(found: _Found, query: _Query) -> list[Reply]:
    reply: list[Reply] = [found.member]
    if b"WITHDIST" in query.marks:
        reply.append(_distance_text(found.distance_m / query.unit_m))
    if b"WITHHASH" in query.marks:
        reply.append(int(min(max(found.score, -INT64_MAX), INT64_MAX)))
    if b"WITHCOORD" in query.marks:
        reply.append(_position_reply(found.place))
    return reply


def _store(ctx: Context, key: bytes, found: list[_Found], query: _Query) -> int:
    """Put what was found in place of whatever is at the key; returns how many that are."""
    db, config = ctx.db, ctx.config
    if found:
        pairs = {
            each.member: each.distance_m / query.unit_m if query.store_distances else each.score
            for each in found
        }
        limits = config.zset_max_listpack_entries, config.zset_max_listpack_value
        db.replace(key, ZSet.of(pairs, *limits))
        db.changed(key, "geosearchstore" if query.center_from else "georadiusstore", len(found))
    elif db.remove(key) is not None:  # one past its time too, which is no expiry
        db.changed(key, "del")
    return len(found)


# Searches: the commands


@command(
    "GEOSEARCH",
    arity=-7,
    flags="readonly",
    keys=first("RO access"),
    since="6.2.0",
    complexity=_SEARCH_COST,
    usage="key <FROMMEMBER member | FROMLONLAT longitude latitude> "
    "<BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> "
    "[ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
    history=[_UNIT_HISTORY],
)
def geosearch(ctx: Context, key: bytes, *args: bytes) -> Reply:
    """Returns the members inside a circle or a box."""
    zset = ctx.db.read_as(key, ZSet)
    query = _Query()
    query.read_options(_GEOSEARCH, zset, args)
    return _answer(ctx, zset, query)


@command(
    "GEOSEARCHSTORE",
    arity=-8,
    flags="write denyoom",
    keys=first("OW update") + first("RO access", at=2),
    since="6.2.0",
    complexity=_SEARCH_COST,
    usage="destination source <FROMMEMBER member | FROMLONLAT longitude latitude> "
    "<BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> "
    "[ASC | DESC] [COUNT count [ANY]] [STOREDIST]",
    history=[_UNIT_HISTORY],
)
def geosearchstore(ctx: Context, destination: bytes, source: bytes, *args: bytes) -> Reply:
    """Stores the members inside a circle or a box in another key, and returns their number."""
    zset = ctx.db.read_as(source, ZSet)
    query = _Query(store=destination)
    query.read_options(_GEOSEARCHSTORE, zset, args)
    return _answer(ctx, zset, query)


@command(
    "GEORADIUS",
    arity=-6,
    flags="write denyoom movablekeys",
    keys=first("RO access") + after("OW update", "STORE", 6) + after("OW update", "STOREDIST", 6),
    since="3.2.0",
    complexity=_RADIUS_COST,
    usage="key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] "
    "[COUNT count [ANY]] [ASC | DESC] [STORE storekey=key | STOREDIST storedistkey=key]",
    history=[_ANY_HISTORY, _UNIT_HISTORY],
    deprecated="`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
    deprecated_since="6.2.0",
)
def georadius(
    ctx: Context,
    key: bytes,
    longitude: bytes,
    latitude: bytes,
    radius: bytes,
    unit: bytes,
    *options: bytes,
) -> Reply:
    """Returns or stores the members up to a distance from a place."""
    return _around_place(ctx, _GEORADIUS, key, longitude, latitude, radius, unit, options)


@command(
    "GEORADIUS_RO",
    arity=-6,
    flags="readonly",
    keys=first("RO access"),
    since="3.2.10",
    complexity=_RADIUS_COST,
    usage="key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] "
    "[COUNT count [ANY]] [ASC | DESC]",
    history=[_ANY_HISTORY],
    deprecated="`GEOSEARCH` with the `BYRADIUS` argument",
    deprecated_since="6.2.0",
)
def georadius_ro(
    ctx: Context,
    key: bytes,
    longitude: bytes,
    latitude: bytes,
    radius: bytes,
    unit: bytes,
    *options: bytes,
) -> Reply:
    """Returns the members up to a distance from a place."""
    return _around_place(ctx, _GEORADIUS_RO, key, longitude, latitude, radius, unit, options)


def _around_place(
    ctx: Context,
    dialect: _Dialect,
    key: bytes,
    longitude: bytes,
    latitude: bytes,
    radius: bytes,
    unit: bytes,
    options: tuple[bytes, ...],
) -> Reply:
    zset = ctx.db.read_as(key, ZSet)
    query = _Query(center=_position(longitude, latitude))
    query.by_radius(radius, unit)
    query.read_options(dialect, zset, options)
    return _answer(ctx, zset, query)


@command(
    "GEORADIUSBYMEMBER",
    arity=-5,
    flags="write denyoom movablekeys",
    keys=first("RO access") + after("OW update", "STORE", 5) + after("OW update", "STOREDIST", 5),
    since="3.2.0",
    complexity=_RADIUS_COST,
    usage="key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] "
    "[COUNT count [ANY]] [ASC | DESC] [STORE storekey=key | STOREDIST storedistkey=key]",
    history=[_UNIT_HISTORY],
    deprecated="`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
    deprecated_since="6.2.0",
)
def georadiusbymember(
    ctx: Context, key: bytes, member: bytes, radius: bytes, unit: bytes, *options: bytes
) -> Reply:
    """Returns or stores the members up to a distance from one of them."""
    return _around_member(ctx, _GEORADIUS, key, member, radius, unit, options)


@command(
    "GEORADIUSBYMEMBER_RO",
    arity=-5,
    flags="readonly",
    keys=first("RO access"),
    since="3.2.10",
    complexity=_RADIUS_COST,
    usage="key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] "
    "[COUNT count [ANY]] [ASC | DESC]",
    deprecated="`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
    deprecated_since="6.2.0",
)
def georadiusbymember_ro(
    ctx: Context, key: bytes, member: bytes, radius: bytes, unit: bytes, *options: bytes
) -> Reply:
    """Returns the members up to a distance from one of them."""
    return _around_member(ctx, _GEORADIUS_RO, key, member, radius, unit, options)


def _around_member(
    ctx: Context,
    dialect: _Dialect,
    key: bytes,
    member: bytes,
    radius: bytes,
    unit: bytes,
    options: tuple[bytes, ...],
) -> Reply:
    zset = ctx.db.read_as(key, ZSet)
    query = _Query()
    if zset is not None:  # radius and unit of a search in nothing are not even read
        query.center = _position_of_member(zset, member)
        query.by_radius(radius, unit)
    query.read_options(dialect, zset, options)
    return _answer(ctx, zset, query)
