"""Places: every digit, order and error as a real server has it."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyredis.types import geohash
from pyredis.types.geohash import Box, Cell, Circle, Position
from tests.observe import Observer
from tests.support import EngineClient, Twin

UNITS = {"m": 1.0, "km": 1000.0, "FT": 0.3048, "mi": 1609.34}
SICILY = ("13.361389", "38.115556", "Palermo", "15.087269", "37.502669", "Catania",
          "13.583333", "37.316667", "Agrigento", "12.758489", "38.788135", "Ustica")  # fmt: skip
OTHER_SCORES = (-1.5, 0.5, 1e15, 4.6e15, 9e15, 1e18, 2e19, -1e19, float("inf"), float("-inf"),
                2**52 - 1, 2**52, 2**53)  # fmt: skip

longitudes = st.floats(-180, 180)
latitudes = st.floats(-geohash.LATITUDE_MAX, geohash.LATITUDE_MAX)


def some_place(rng: random.Random) -> tuple[str, str]:
    """Anywhere, but more often where things get difficult."""
    kind = rng.random()
    if kind < 0.05:
        edges = (180, -180, 179.9999999, 0, 90), (85.05112878, -85.05112878, 0, 85)
        place = (
            rng.choice(edges[0]) + rng.gauss(0, 1e-9),
            rng.choice(edges[1]) * rng.uniform(0.9, 1),
        )
        place = min(max(place[0], -180.0), 180.0), place[1]
    elif kind < 0.3:
        place = rng.uniform(-180, 180), rng.choice([-1, 1]) * rng.uniform(65, 85.05)
    elif kind < 0.6:
        place = rng.gauss(13, 1.5), rng.gauss(38, 1)
    elif kind < 0.7:
        place = rng.choice([-1, 1]) * rng.uniform(179.5, 180), rng.gauss(0, 2)
    else:
        place = rng.uniform(-180, 180), rng.uniform(-85, 85)
    return repr(place[0]), repr(place[1])


def fill(twin: Twin, rng: random.Random, count: int) -> list[str]:
    """A key ``g`` of so many places; returns the members."""
    members = [f"m{number}" for number in range(count)]
    twin("GEOADD", "g", *(arg for member in members for arg in (*some_place(rng), member)))
    return members


def some_extent(rng: random.Random) -> list[str]:
    """BYRADIUS or BYBOX, from nothing to half the world."""
    unit = rng.choice(list(UNITS))

    def length() -> str:
        usual = (0.0, *(10 ** rng.uniform(0, 7.4) for _ in range(9)))
        odd = (1e300, float("inf"), 1e-320)
        return repr((rng.choice(odd) if rng.random() < 0.02 else rng.choice(usual)) / UNITS[unit])

    if rng.random() < 0.5:
        return ["BYRADIUS", length(), unit]
    return ["BYBOX", length(), length(), unit]


def same_stored(twin: Twin, key: str) -> None:
    """Compare a sorted set; the texts of fractions differ between 7.0 and 7.2."""
    stored = [server("ZRANGE", key, 0, -1, "WITHSCORES") for server in (twin.real, twin.ours)]
    assert stored[0][::2] == stored[1][::2]
    assert list(map(float, stored[0][1::2])) == list(map(float, stored[1][1::2]))


# Arithmetic


@given(longitudes, latitudes)
def test_a_position_is_the_middle_of_its_cell(longitude: float, latitude: float) -> None:
    score = geohash.score_at(longitude, latitude)
    place = geohash.position_of(score)
    assert abs(place.longitude - longitude) <= 180 / 2**26 + 1e-9
    assert abs(place.latitude - latitude) <= 86 / 2**26 + 1e-9
    low, high = geohash.cell_at(longitude, latitude, 26).scores()
    assert low == score == high - 1


@given(longitudes, latitudes, st.integers(1, 26))
def test_cells_lie_in_those_of_lower_steps(longitude: float, latitude: float, step: int) -> None:
    low, high = geohash.cell_at(longitude, latitude, step).scores()
    assert low <= geohash.score_at(longitude, latitude) < high


def test_cells_go_around_the_world() -> None:
    assert Cell(0, 0, 3).moved(-1, -1) == Cell(7, 7, 3)
    assert Cell(7, 7, 3).moved(1, 1) == Cell(0, 0, 3)


@given(longitudes, st.floats(-60, 60), st.floats(1, 5e5), longitudes, latitudes)
@settings(max_examples=200)
def test_the_cells_hold_all_places_inside(
    longitude: float, latitude: float, reach_m: float, east: float, north: float
) -> None:
    center = Position(longitude, latitude)
    near = Position(
        # At 180 degrees exactly the cell number overflows, in Redis too.
        min(max(longitude + east * reach_m / 2e7, -180.0), 179.999),
        min(max(latitude + north * reach_m / 1e7, -85.0), 85.0),
    )
    score = geohash.score_at(*near)
    for shape in (Circle(center, reach_m, 1.0), Box(center, reach_m, reach_m, 1.0)):
        if shape.distance_m(geohash.position_of(score)) is not None:
            ranges = [cell.scores() for cell in geohash.cells_to_search(shape)]
            assert any(low <= score < high for low, high in ranges)


@pytest.mark.parametrize("seed", range(3))
def test_antipodes_have_a_distance(seed: int) -> None:
    rng = random.Random(seed)
    half_m = geohash.EARTH_RADIUS_M * 3.14159265
    for _ in range(500):
        place = Position(rng.uniform(-180, 0), rng.uniform(-85, 85))
        opposite = Position(place.longitude + 180, -place.latitude)
        assert geohash.distance_m(place, opposite) == pytest.approx(half_m)


# Members


@pytest.mark.parametrize("seed", range(3))
def test_positions_distances_and_hashes(twin: Twin, seed: int) -> None:
    rng = random.Random(seed)
    members = fill(twin, rng, 150)
    twin("ZRANGE", "g", 0, -1, "WITHSCORES")
    twin("GEOPOS", "g", *members, "stranger")
    twin("GEOHASH", "g", *members, "stranger")
    for _ in range(150):
        twin("GEODIST", "g", *rng.choices(members, k=2), rng.choice(list(UNITS)))


def test_scores_that_are_no_positions(twin: Twin) -> None:
    members = [f"w{score}" for score in OTHER_SCORES]
    for score, member in zip(OTHER_SCORES, members, strict=True):
        twin("ZADD", "w", score, member)
    twin("GEOPOS", "w", *members)
    twin("GEOHASH", "w", *members)
    for member in members:
        twin("GEODIST", "w", "w0.5", member)
        twin("GEOSEARCH", "w", "FROMMEMBER", member, "BYRADIUS", 9000, "km", "WITHHASH", "WITHDIST")


def test_strangers_and_missing_keys(twin: Twin) -> None:
    twin("GEOADD", "g", *SICILY)
    for request in ("GEODIST g Palermo x", "GEODIST g x Palermo", "GEODIST none a b",
                    "GEOPOS none a b", "GEOPOS none", "GEOPOS g", "GEOHASH none a b", "GEOHASH g",
                    "GEODIST g Palermo Palermo"):  # fmt: skip
        twin(*request.split())


def test_resp3(twin: Twin) -> None:
    twin.real("HELLO", 3)
    twin.ours("HELLO", 3)
    twin("GEOADD", "g", *SICILY, 0, 0, "zero")
    twin("GEOPOS", "g", "Palermo", "zero", "x")
    twin("GEODIST", "g", "Palermo", "Catania")
    twin("GEODIST", "g", "Palermo", "x")
    twin("GEOHASH", "g", "Palermo", "x")
    twin("GEOSEARCH", "g", "FROMMEMBER", "Palermo", "BYRADIUS", 90, "km",
         "WITHCOORD", "WITHDIST", "WITHHASH")  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    ["NX 1 1 Palermo 2 2 new", "XX 1 1 Palermo 2 2 new", "CH 1 1 Palermo 2 2 new",
     "xx ch 1 1 Palermo 2 2 new", "nx CH nx 2 2 new 3 3 new", "0x10 1e1 hex",
     "180 85.05112878 north-east -180 -85.05112878 south-west"],
)  # fmt: skip
def test_geoadd_options(twin: Twin, arguments: str) -> None:
    twin("GEOADD", "g", *SICILY)
    for key in ("g", "missing"):
        twin("GEOADD", key, *arguments.split())
        twin("ZRANGE", key, 0, -1, "WITHSCORES")
        twin("EXISTS", key)


@pytest.mark.parametrize(
    "arguments",
    ["NX XX 1 1 a", "CH CH CH", "1 1 a 2", "1 1 a 2 2", "x 1 a", "1 x a", "nan 1 a", "1 nan a",
     "181 1 a", "1 86 a", "-180.1 1 a", "1 -85.06 a", "inf 1 a", "1 -inf a", "1 1 a 200 1 b",
     "1 1 NX", "NX 1 1 a XX 1 1"],
)  # fmt: skip
def test_geoadd_errors_change_nothing(twin: Twin, arguments: str) -> None:
    twin("SET", "text", "x")
    for key in ("missing", "text"):
        twin("GEOADD", key, *arguments.split())
        twin("TYPE", key)


def test_other_types(twin: Twin) -> None:
    twin("SET", "text", "x")
    twin("GEOADD", "g", *SICILY)
    for request in ("GEOADD text 1 1 a", "GEODIST text a b", "GEODIST text a b parsec",
                    "GEOPOS text a", "GEOHASH text a", "GEOSEARCH text x y z w q",
                    "GEOSEARCHSTORE d text x y z w q q", "GEORADIUS text x y z w",
                    "GEORADIUS_RO text x y z w", "GEORADIUSBYMEMBER text x y z",
                    "GEORADIUSBYMEMBER_RO text x y z", "GEODIST g a b c d",
                    "GEODIST g Palermo Catania parsec",
                    "GEOSEARCHSTORE text g FROMLONLAT 13 38 BYRADIUS 90 km"):  # fmt: skip
        twin(*request.split())
    twin("TYPE", "text")


# Searches


@pytest.mark.parametrize("seed", range(6))
def test_searches_find_the_same_in_the_same_order(twin: Twin, seed: int) -> None:
    rng = random.Random(seed)
    members = fill(twin, rng, rng.choice([60, 250]))
    for _ in range(150):
        center = rng.choice([("FROMLONLAT", *some_place(rng)), ("FROMMEMBER", rng.choice(members))])
        extent = some_extent(rng)
        order = rng.choice([[], ["ASC"], ["DESC"], ["COUNT", "5", "ANY"], ["COUNT", "7", "DESC"]])
        details = [word for word in ("WITHDIST", "WITHHASH", "WITHCOORD") if rng.random() < 0.4]
        found = twin("GEOSEARCH", "g", *center, *extent, *order, *details)
        names = [each[0] if details else each for each in found]
        if len(set(names)) == len(names):  # Redis stops when it should store one twice
            storedist = rng.choice([[], ["STOREDIST"]])
            twin("GEOSEARCHSTORE", "d", "g", *center, *extent, *order, *storedist)
            same_stored(twin, "d")


OPTIONS = ["", "ASC", "DESC", "COUNT 2", "count 1 asc", "COUNT 2 ANY", "ANY COUNT 1", "WITHDIST",
           "withcoord WITHHASH WITHDIST", "DESC COUNT 2 WITHDIST", "STORE d", "STOREDIST d",
           "STORE d STOREDIST e", "STOREDIST e STORE d", "STOREDIST d COUNT 1", "ASC DESC",
           "STORE d WITHDIST", "STORE", "COUNT", "COUNT 0", "COUNT -1", "COUNT x", "ANY", "x",
           "FROMMEMBER Palermo", "BYRADIUS 1 km", "STORE g"]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
def test_georadius(twin: Twin, options: str) -> None:
    for name, key in product(("GEORADIUS", "GEORADIUS_RO"), ("g", "missing")):
        twin("GEOADD", "g", *SICILY)
        twin("SET", "d", "old")
        twin(name, key, 15, 37, 200, "km", *options.split())
        twin("GEORADIUSBYMEMBER" + name[9:], key, "Palermo", 120, "mi", *options.split())
        for stored in ("d", "e", "g"):
            if twin("TYPE", stored) == b"zset":
                same_stored(twin, stored)
        twin("DEL", "g", "d", "e")


@pytest.mark.parametrize(
    "arguments",
    ["x 1 1 km", "1 x 1 km", "181 1 1 km", "1 1 x km", "1 1 nan km", "1 1 -1 km", "1 1 1 x",
     "1 1 -1 x", "1 1 0 m", "1 1 inf m"],
)  # fmt: skip
def test_georadius_arguments(twin: Twin, arguments: str) -> None:
    twin("GEOADD", "g", *SICILY)
    longitude, latitude, *extent = arguments.split()
    for key in ("g", "missing"):
        twin("GEORADIUS", key, longitude, latitude, *extent)
        twin("GEORADIUSBYMEMBER", key, "Palermo", *extent)
        twin("GEORADIUSBYMEMBER_RO", key, longitude, *extent)


@pytest.mark.parametrize(
    "arguments",
    [
        "FROMLONLAT 15 37 BYRADIUS 200 km",
        "byradius 200 KM fromlonlat 15 37",
        "FROMMEMBER Palermo BYBOX 400 400 km",
        "FROMMEMBER x BYBOX 400 400 km",
        "FROMMEMBER Palermo FROMMEMBER Catania BYRADIUS 1 km",
        "FROMLONLAT 1 1 FROMLONLAT 15 37 BYRADIUS 1 km BYRADIUS 200 km",
        "FROMLONLAT 15 37 FROMMEMBER Palermo BYRADIUS 1 km",
        "FROMMEMBER Palermo FROMLONLAT 15 37 BYRADIUS 1 km",
        "FROMMEMBER Palermo BYRADIUS 1 km BYBOX 1 1 km",
        "FROMMEMBER Palermo BYBOX 1 1 km BYRADIUS 1 km",
        "FROMMEMBER Palermo ASC DESC COUNT 1",
        "BYRADIUS 1 km ASC DESC COUNT 1",
        "FROMLONLAT 1 x BYRADIUS 1 km",
        "FROMLONLAT 1 100 BYRADIUS 1 km",
        "FROMLONLAT 1 1 BYRADIUS -1 km",
        "FROMLONLAT 1 1 BYRADIUS x km",
        "FROMLONLAT 1 1 BYRADIUS 1 x",
        "FROMLONLAT 1 1 BYBOX 1 x km",
        "FROMLONLAT 1 1 BYBOX x 1 km",
        "FROMLONLAT 1 1 BYBOX -1 1 km",
        "FROMLONLAT 1 1 BYBOX 1 1 x",
        "FROMLONLAT 1 1 BYBOX 1 1",
        "FROMLONLAT 1 1 BYRADIUS 1",
        "BYRADIUS 1 km FROMLONLAT 1",
        "BYRADIUS 1 km COUNT 1 FROMMEMBER",
        "FROMLONLAT 1 1 BYRADIUS 1 km ANY",
        "FROMLONLAT 1 1 BYRADIUS 1 km COUNT 0",
        "FROMLONLAT 1 1 BYRADIUS 1 km COUNT x",
        "FROMLONLAT 1 1 BYRADIUS 1 km STORE d",
        "FROMLONLAT 1 1 BYRADIUS 1 km STOREDIST",
        "FROMLONLAT 1 1 BYRADIUS 1 km STOREDIST d",
        "FROMLONLAT 1 1 BYRADIUS 1 km WITHDIST",
        "FROMLONLAT 1 1 BYRADIUS 1 km FROM",
    ],
)
def test_geosearch_arguments(twin: Twin, arguments: str) -> None:
    twin("GEOADD", "g", *SICILY)
    for key in ("g", "missing"):
        twin("SET", "d", "old")
        twin("GEOSEARCH", key, *arguments.split())
        twin("GEOSEARCHSTORE", "d", key, *arguments.split())
        twin("TYPE", "d")


# Effects


def test_events_and_propagation(client: EngineClient) -> None:
    observer = Observer(client)

    def after(request: str) -> Any:
        return observer.after(*request.split())

    palermo = str(geohash.score_at(13.361389, 38.115556))
    assert after("GEOADD g ch 13.361389 38.115556 Palermo") == (
        ["0:g new", "0:g zadd"],
        [f"0:ZADD g ch {palermo} Palermo"],
    )
    assert after("GEOADD g 13.361389 38.115556 Palermo") == ([], [])
    for search in ("GEOSEARCHSTORE d g FROMMEMBER Palermo BYRADIUS 1 km",
                   "GEORADIUS g 13 38 100 km STORE d",
                   "GEORADIUSBYMEMBER g Palermo 1 km STOREDIST d"):  # fmt: skip
        event = "geosearchstore" if "SEARCH" in search else "georadiusstore"
        assert after(search) == (["0:d new", f"0:d {event}"], [f"0:{search}"])
        nothing = search.replace(" g ", " none ").replace("none Palermo", "none x")
        assert after(nothing) == (["0:none keymiss", "0:d del"], [f"0:{nothing}"])
        assert after(nothing) == (["0:none keymiss"], [])


def test_a_stored_result_has_no_time_to_live(client: EngineClient) -> None:
    client("GEOADD", "g", *SICILY)
    client("SET", "d", "x", "EX", 10)
    dirty = client.engine.ks.dirty
    assert client("GEOSEARCHSTORE", "d", "g", "FROMMEMBER", "Palermo", "BYRADIUS", 100, "km") == 3
    assert client.engine.ks.dirty == dirty + 3
    assert client("TTL", "d") == -1
    assert client("OBJECT", "ENCODING", "d") == b"listpack"
