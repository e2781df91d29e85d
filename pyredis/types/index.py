"""A side index over the keys of a dict or set: fair dice and a stateless cursor.

Python's dict and set offer neither a random element in O(1) nor a position that survives
writes. `KeyIndex` adds both beside the collection, and is built only when first asked for.

Vocabulary
    live    the keys the collection holds now
    order   list of keys, each at most once; a place is an index into it
    stale   keys that were deleted but are still listed

    set(order) == live | stale        live & stale == {}

Writes are cheap because nothing is looked up: a new key is appended, a deleted key is only
marked stale, and a stale key that comes back is unmarked at its old place. A stale entry
leaves when somebody meets it: the last entry moves into its place (or it was the last itself).
So there are two kinds of motion only: **a key enters at the right end, and a listed key never
moves but to the left.**

The cursor
    SCAN walks from the right to the left. Its cursor is the number of places not yet visited,
    so it needs no memory on the server: a page of `count` visits the places
    cursor-count .. cursor-1 and answers with cursor-count. Zero places left is the end; since
    no walk can be under way with nothing left to visit, a 0 that comes in means "start", that
    is len(order). A cursor beyond the list is clamped to its length.

    Guarantee: a key that is live from the first page to the last is returned at least once.
    Proof: at the start all places are < cursor, so the key's place is. Keys move to the left
    only, so this stays true between pages, also after clamping, as every place is < len(order).
    A page either visits the key's place, or leaves it below the new cursor. At cursor 0 no
    place is below the cursor, so the key was returned on the way. A key may be returned twice,
    as in Redis: an entry already visited can be moved to the left of the cursor. One that comes
    or goes during the walk may or may not appear.

    (Redis gets the same guarantee for its hash table from a cursor counted with reversed bits,
    following Pieter Noordhuis; a dict's slots cannot be seen from Python, hence the list.)

Bound
    When more than half of the entries (plus SLACK) are stale, every `discard` and `pop` sweeps a
    few places on its own. One round of the sweep takes at most len(order) / SWEEP of them, which
    keeps len(stale) <= 3/4 * len(order) + SLACK, so no single call is ever long and memory
    stays within a constant factor of the live keys.

Numbers
    Whoever draws many keys to look something up by their hashes (eviction) can have these kept
    beside `order`: a key's own stands in the key, somewhere in memory, and a miss of the cache
    costs more than all the rest. A number is 0 until it is known.

A collection that has built an index keeps it while it lives: throwing the index away and
building another would change the places under running cursors.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from random import Random

SLACK = 64
SWEEP = 4


class KeyIndex:
    """The index of one collection; the owner reports every key that enters or leaves."""

    __slots__ = ("numbers", "order", "place", "stale")

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        """Lists the given distinct keys. O(n)."""
        self.order: list[bytes] = list(keys)
        self.stale: set[bytes] = set()
        self.place = 0  # where the next sweep goes on
        self.numbers: array[int] | None = None  # the hashes of the listed keys

    def __len__(self) -> int:
        """Returns the number of live keys. O(1)."""
        return len(self.order) - len(self.stale)

    def add(self, key: bytes) -> None:
        """Lists a key that was not live. O(1). Adding a live key breaks the index."""
        if key in self.stale:
            self.stale.remove(key)
        else:
            self.order.append(key)
            if self.numbers is not None:
                self.numbers.append(hash(key))

    def discard(self, key: bytes) -> None:
        """Marks a live key as deleted. O(1). Discarding a key not listed breaks the index."""
        stale = self.stale
        stale.add(key)
        if len(stale) * 2 > len(self.order) + 2 * SLACK:
            self.tidy(SWEEP)

    def draw(self, rng: Random, count: int) -> list[int]:
        """Returns at least `count` places with live keys, evenly spread.

        They begin with a random one and go round; each live key is equally likely to be among
        them. All of them where there are no more than `count`. O(count), little in Python.
        """
        order, stale = self.order, self.stale
        size = len(order)
        live = size - len(stale)
        if live > count and not stale:
            step = size // count
            start = int(rng.random() * size)
            low = start % step  # as many steps fit before the start as there are places
            return [*range(start, size, step), *range(low, start, step)]
        start, step = 0, 1
        if live > count:
            step = max(1, size // (count * size // live + 1))
            start = int(rng.random() * step)
        places = [place for place in range(start, size, step) if order[place] not in stale]
        if not places:  # where the few live keys are, is not to be told
            places = [place for place, key in enumerate(order) if key not in stale][-count:]
        return places

    def numbers_at(self, places: Sequence[int]) -> list[int]:
        """Returns the hashes of the keys at these places, which are kept from then on. O(k)."""
        numbers = self.numbers
        if numbers is None:
            numbers = self.numbers = array("q", bytes(8 * len(self.order)))
        found = [numbers[place] for place in places]
        if 0 in found:
            order = self.order
            for at, place in enumerate(places):
                if not found[at]:
                    found[at] = numbers[place] = hash(order[place])
        return found

    def cut(self, place: int) -> None:
        """Takes an entry off the list, whatever it is; the last one moves into its place. O(1)."""
        order, numbers = self.order, self.numbers
        order[place] = order[-1]
        order.pop()
        if numbers is not None:
            numbers[place] = numbers[-1]
            numbers.pop()

    def clear(self) -> None:
        """Forgets every key, as when the collection is emptied at once."""
        self.order.clear()
        self.stale.clear()
        self.place = 0
        self.numbers = None

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Visits `count` >= 1 places; returns the next cursor (0: done) and the live keys seen.

        Nothing changes. A page may be short or empty before the end. O(count).
        """
        order, stale = self.order, self.stale
        length = len(order)
        if not 0 < cursor <= length:
            cursor = length
        left = cursor - count if cursor > count else 0
        page = order[left:cursor]
        if stale:
            page = [key for key in page if key not in stale]
        return left, page

    def sample(self, rng: Random) -> bytes | None:
        """Returns a live key, each equally likely, or None when there is none.

        Stale entries hit on the way are removed, so it ends; expected O(1), since the bound
        above leaves at least about a quarter of the places live.
        """
        order, stale = self.order, self.stale
        while len(order) > len(stale):
            place = int(rng.random() * len(order))
            key = order[place]
            if not stale or key not in stale:
                return key
            self.cut(place)
            stale.remove(key)
        return None

    def pop(self, rng: Random) -> bytes:
        """Takes out and returns a live key, each equally likely; there must be one.

        The owner deletes the key without reporting it. Expected O(1), as for `sample`.
        """
        order, stale = self.order, self.stale
        while True:
            place = int(rng.random() * len(order))
            key = order[place]
            if self.numbers is not None:
                self.cut(place)
            else:
                order[place] = order[-1]
                order.pop()
            if not stale:
                return key
            if key not in stale:
                if len(stale) * 2 > len(order) + 2 * SLACK:
                    self.tidy(SWEEP)
                return key
            stale.remove(key)

    def sample_many(self, rng: Random, count: int) -> list[bytes]:
        """Returns `count` independent samples, repeats included; [] when no key is live."""
        order, random = self.order, rng.random
        if len(order) == len(self.stale):
            return []
        if not self.stale:
            length = len(order)
            return [order[int(random() * length)] for _ in range(count)]
        picked = (self.sample(rng) for _ in range(count))
        return [key for key in picked if key is not None]

    def tidy(self, budget: int) -> None:
        """Removes stale entries in at most `budget` steps, going on where it last stopped.

        One step drops a stale entry at the right end, or inspects one place. O(budget).
        """
        order, stale, place = self.order, self.stale, self.place
        for _ in range(budget):
            if not stale:
                # An emptied set keeps its large table until it is cleared, which is O(1) now.
                stale.clear()
                break
            last = order[-1]
            if last in stale:
                self.cut(len(order) - 1)
                stale.remove(last)
                continue
            if place >= len(order):
                place = 0
            key = order[place]
            if key in stale:
                self.cut(place)
                stale.remove(key)
            place += 1
        self.place = place

    def _check(self, live: AbstractSet[bytes]) -> None:
        """Asserts every invariant against the keys the owner really holds."""
        listed = set(self.order)
        assert len(listed) == len(self.order), "a key is listed twice"
        assert listed == live | self.stale, "listed keys are not live and stale ones together"
        assert not live & self.stale, "a live key is marked stale"
        assert len(self) == len(live)
        if self.numbers is not None:
            assert len(self.numbers) == len(self.order)
            pairs = zip(self.numbers, self.order, strict=True)
            assert all(number in (0, hash(key)) for number, key in pairs)
        assert len(self.stale) * 4 <= len(self.order) * 3 + 4 * SLACK, "too many stale entries"
