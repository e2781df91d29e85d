"""Places on Earth as numbers, such that numbers in a range are places in a rectangle.

Longitude and latitude are halved again and again, 26 times each; the bits that tell which half,
taken in turns and longitude first, make a number of 52 bits, which a double holds exactly: the
score of a member of a sorted set. Places that share the first 2n bits lie in one *cell* of
*step* n, and their scores are one range. So the places near a point are found in nine ranges:
the cell around the point, at a step whose cells are about as large as the search is wide, and
its neighbours. What does not belong is then told by its distance.

Sources: Niemeyer's geohash, with the bits of Morton's order; the haversine formula on a sphere.

Latitudes end at 85.05 degrees, as maps in the Mercator projection do. Positions are the middles
of cells of step 26, at most 0.6 m from where the place really is. All arithmetic is Redis', in
its order, so that every digit of a reply and the order of unsorted results is the same; where
Redis is coarse (cells of step 1 when searching half the world, neighbours met twice) so is this.

Interleaving without loops: the binary digits of a number, read in base 4, are its bits with a
zero between each. Every second digit of the result gives them back.

Departure: the distance of antipodes, whose haversine may be rounded to more than 1, is half the
circumference and not NaN.
"""

from __future__ import annotations

from math import asin, cos, fabs, isfinite, nan, pi, sin, sqrt
from typing import Final, NamedTuple, Protocol

LONGITUDE_MAX: Final = 180.0
LATITUDE_MAX: Final = 85.05112878
EARTH_RADIUS_M: Final = 6372797.560856
STEP_MAX: Final = 26

_WEST, _SOUTH = -LONGITUDE_MAX, -LATITUDE_MAX
_WIDTH, _HEIGHT = 2 * LONGITUDE_MAX, 2 * LATITUDE_MAX
_POLE: Final = 90.0
_RADIANS: Final = pi / 180.0
_MERCATOR_MAX_M: Final = 20037726.37
_CELLS: Final = 1 << STEP_MAX
_UINT64: Final = (1 << 64) - 1
_ALPHABET: Final = b"0123456789bcdefghjkmnpqrstuvwxyz"
_TEXT_SHIFTS: Final = range(2 * STEP_MAX - 5, 0, -5)


class Position(NamedTuple):
    """A place, in degrees."""

    longitude: float
    latitude: float


class Cell(NamedTuple):
    """A rectangle of places: a column and a row among 2**step each, from the south-west."""

    column: int
    row: int
    step: int

    def scores(self) -> tuple[int, int]:
        """The lowest score in the cell, and the first one behind it."""
        bits = _interleave(self.column, self.row)
        unused = 2 * (STEP_MAX - self.step)
        return bits << unused, (bits + 1) << unused

    def moved(self, columns: int, rows: int) -> Cell:
        """The cell so far east and north, around the world in both directions."""
        mask = (1 << self.step) - 1
        column = self.column + columns & mask if columns else self.column
        row = self.row + rows & mask if rows else self.row
        return Cell(column, row, self.step)

    def area(self) -> Area:
        """Its borders."""
        size = 1 << self.step
        return Area(
            _WEST + self.column / size * _WIDTH,
            _SOUTH + self.row / size * _HEIGHT,
            _WEST + (self.column + 1) / size * _WIDTH,
            _SOUTH + (self.row + 1) / size * _HEIGHT,
        )


class Area(NamedTuple):
    """A rectangle of degrees."""

    west: float
    south: float
    east: float
    north: float


def _interleave(column: int, row: int) -> int:
    return int(f"{column:b}", 4) << 1 | int(f"{row:b}", 4)


# Positions


def cell_at(
    longitude: float, latitude: float, step: int, latitude_max: float = LATITUDE_MAX
) -> Cell:
    """Returns the cell of a place, which has to be on the map."""
    size = float(1 << step)
    column = (longitude + LONGITUDE_MAX) / (2 * LONGITUDE_MAX) * size
    row = (latitude + latitude_max) / (2 * latitude_max) * size
    return Cell(int(column), int(row), step)


def score_at(longitude: float, latitude: float) -> int:
    """Returns the score of a place, which has to be on the map."""
    return cell_at(longitude, latitude, STEP_MAX).scores()[0]


def on_map(longitude: float, latitude: float) -> bool:
    """Returns whether there are such degrees."""
    return fabs(longitude) <= LONGITUDE_MAX and fabs(latitude) <= LATITUDE_MAX


def position_of(score: float) -> Position:
    """Returns the place that a score stands for; scores of other origin lead somewhere too."""
    digits = f"{_bits_of(score):064b}"
    column, row = int(digits[::2], 2), int(digits[1::2], 2)
    west = _WEST + column / _CELLS * _WIDTH
    east = _WEST + (column + 1) / _CELLS * _WIDTH
    south = _SOUTH + row / _CELLS * _HEIGHT
    north = _SOUTH + (row + 1) / _CELLS * _HEIGHT
    return Position(
        min(max((west + east) / 2, _WEST), LONGITUDE_MAX),
        min(max((south + north) / 2, _SOUTH), LATITUDE_MAX),
    )


def _bits_of(score: float) -> int:
    """Returns a score as the unsigned integer that x86 makes of it."""
    if 0 <= score < 1 << 63:
        return int(score)
    if isfinite(score) and -(1 << 63) <= score < 1 << 64:
        return int(score) & _UINT64
    return 0 if score > 0 else 1 << 63


def text_of(score: float) -> bytes:
    """Returns the geohash as it is known elsewhere, where latitudes reach the poles: 11 letters.

    The last letter would need three more bits and is always 0.
    """
    bits = cell_at(*position_of(score), STEP_MAX, _POLE).scores()[0]
    return bytes(_ALPHABET[bits >> shift & 31] for shift in _TEXT_SHIFTS) + b"0"


# Distances


def distance_m(a: Position, b: Position) -> float:
    """Returns the distance along the surface."""
    v = sin((b.longitude * _RADIANS - a.longitude * _RADIANS) / 2)
    if v == 0.0:
        return _latitude_distance_m(a.latitude, b.latitude)
    row_a, row_b = a.latitude * _RADIANS, b.latitude * _RADIANS
    u = sin((row_b - row_a) / 2)
    square = u * u + cos(row_a) * cos(row_b) * v * v
    return 2.0 * EARTH_RADIUS_M * asin(min(sqrt(square), 1.0))


def _latitude_distance_m(a: float, b: float) -> float:
    return EARTH_RADIUS_M * fabs(b * _RADIANS - a * _RADIANS)


# Searching


class Shape(Protocol):
    """What a search covers, around its center."""

    center: Position
    half_width_m: float
    half_height_m: float
    reach_m: float  # from the center to the farthest point

    def distance_m(self, place: Position) -> float | None:
        """Returns the distance from the center to a place inside, None for one outside."""


class Circle:
    """All places up to a distance, given in a unit of so many meters."""

    __slots__ = ("center", "half_height_m", "half_width_m", "reach_m")

    def __init__(self, center: Position, radius: float, unit_m: float) -> None:
        self.center = center
        self.reach_m = self.half_width_m = self.half_height_m = radius * unit_m

    def distance_m(self, place: Position) -> float | None:
        """Returns the distance from the center to a place inside, None for one outside."""
        distance = distance_m(self.center, place)
        return None if distance > self.reach_m else distance


class Box:
    """A rectangle along the axes, its width measured at the latitude of each place."""

    __slots__ = ("center", "half_height_m", "half_width_m", "limits_m", "reach_m")

    def __init__(self, center: Position, width: float, height: float, unit_m: float) -> None:
        self.center = center
        self.half_width_m, self.half_height_m = unit_m * (width / 2), unit_m * (height / 2)
        self.limits_m = width * unit_m / 2, height * unit_m / 2
        self.reach_m = sqrt((width / 2) * (width / 2) + (height / 2) * (height / 2)) * unit_m

    def distance_m(self, place: Position) -> float | None:
        """Returns the distance from the center to a place inside, None for one outside."""
        width_m, height_m = self.limits_m
        if _latitude_distance_m(place.latitude, self.center.latitude) > height_m:
            return None
        beside = Position(self.center.longitude, place.latitude)
        if distance_m(place, beside) > width_m:
            return None
        return distance_m(self.center, place)


def cells_to_search(shape: Shape) -> list[Cell]:
    """Returns the cells whose places may lie inside, in Redis' order: the center's first.

    A cell may come twice, next to the poles of a very wide search, and so do its places then.
    """
    bounds = _bounds(shape)
    step = _step(shape)
    cell = cell_at(*shape.center, step)
    if step > 1 and not _neighbours_reach(cell, bounds):
        step -= 1
        cell = cell_at(*shape.center, step)
    # The sides on which the cell itself reaches beyond the bounds need no neighbours.
    columns, rows = {-1, 0, 1}, {-1, 0, 1}
    if step >= 2:
        area = cell.area()
        if area.south < bounds.south:
            rows.discard(-1)
        if area.north > bounds.north:
            rows.discard(1)
        if area.west < bounds.west:
            columns.discard(-1)
        if area.east > bounds.east:
            columns.discard(1)
    cells = [cell]
    for east, north in _NEIGHBOURS:
        if east in columns and north in rows:
            neighbour = cell.moved(east, north)
            if len(cells) == 1 or neighbour != cells[-1]:
                cells.append(neighbour)
    return cells


_NEIGHBOURS: Final = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""Columns east and rows north, in the order of searching."""


def _neighbours_reach(cell: Cell, bounds: Area) -> bool:
    """Returns whether the cell and its neighbours cover the bounds."""
    return not (
        cell.moved(0, 1).area().north < bounds.north
        or cell.moved(0, -1).area().south > bounds.south
        or cell.moved(1, 0).area().east < bounds.east
        or cell.moved(-1, 0).area().west > bounds.west
    )


def _bounds(shape: Shape) -> Area:
    """Returns the rectangle around a shape; a circle is widest on the side of the nearer pole."""
    longitude, latitude = shape.center
    height = shape.half_height_m / EARTH_RADIUS_M / _RADIANS
    pole_side = latitude - height if latitude < 0 else latitude + height
    width = shape.half_width_m / EARTH_RADIUS_M / _cos(pole_side * _RADIANS) / _RADIANS
    return Area(longitude - width, latitude - height, longitude + width, latitude + height)


def _cos(x: float) -> float:
    return cos(x) if isfinite(x) else nan


def _step(shape: Shape) -> int:
    """Returns the step at which nine cells are likely to cover a shape.

    Cells get narrower towards the poles, so there they have to be larger.
    """
    reach_m = shape.reach_m
    if reach_m == 0:
        return STEP_MAX
    step = -1
    while reach_m < _MERCATOR_MAX_M:
        reach_m *= 2
        step += 1
    latitude = fabs(shape.center.latitude)
    step -= (latitude > 66) + (latitude > 80)
    return min(max(step, 1), STEP_MAX)
