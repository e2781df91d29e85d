"""Sorted set: members with a score each, ordered by (score, member).

Redis pairs a hash table with a skip list whose links count what they jump over (Pugh, with the
widths for ranks). Python code that hops from node to node is slow, while `bisect` and moving a
block of pointers run in C, so here

    scores  dict, member -> score                        ZSCORE, membership
    order   sorted entries (score, member), as tuples    ranks, ranges, both ends

`order` is one plain list up to LIST_MAX entries: moving 32 kB of pointers costs less than
finding the right block. Beyond that it is a `SortedList` (a list of lists of about a thousand,
with a tree of their lengths), for good. Both answer `bisect_left`, indices and slices alike.
Comparing tuples orders by score and then by the bytes of the member, as Redis does.

Below, "O(log n)" counts comparisons; on top comes one move of pointers inside a block, at most
LIST_MAX of them. Whenever a block of the SortedList splits or merges, the next question about
ranks rebuilds the tree of lengths, in O(n / 1000), which is rare.

Words: an entry is (score, member); a rank counts entries from the lowest, 0 first; rank intervals
are half-open and lie within 0 .. len. A score is never NaN (the caller refuses it), may be
infinite, and 0.0 == -0.0. A small set forgets the sign of zero, because a listpack stores
integral scores as integers; a large one replies "-0", as Redis does.

Memory, measured with 100 000 members of 12 bytes: 186 bytes an entry, of which 45 are the member,
24 the score, 56 the tuple, 52 the slot in `scores` (30 to 60 as the dict fills and grows) and 9
the slot in `order`. A KeyIndex adds 8.

`skiplist` is the ratchet behind OBJECT ENCODING: set for ever when the set outgrows what Redis
keeps in a listpack. It is a compatibility label, except for ZSCAN and the sign of zero.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from math import inf, isnan, nextafter
from operator import itemgetter
from random import Random
from typing import Any, ClassVar, Final, NamedTuple, Protocol, overload

from sortedcontainers import SortedList

from pyredis.types.doubles import parse_range_double
from pyredis.types.index import KeyIndex
from pyredis.types.weight import weight, weights

Entry = tuple[float, bytes]

# What `ZSet.add` did; SAME alone is false.
SAME: Final = 0
MOVED: Final = 1
NEW: Final = 2

LIST_MAX: Final = 4096  # measured: from about here on a plain list is the slower one
_FEW: Final = 8  # up to so many pops one by one beat cutting out a slice


class Blocks(Protocol):
    """What is used of SortedList."""

    _maxes: list[Entry]
    _lists: list[list[Entry]]

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Entry]: ...
    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> list[Entry]: ...
    def __delitem__(self, place: slice) -> None: ...
    def add(self, value: Entry) -> None: ...
    def pop(self, index: int) -> Entry: ...
    def copy(self) -> Blocks: ...
    def bisect_left(self, value: tuple[Any, ...]) -> int: ...
    def _delete(self, pos: int, idx: int) -> None: ...


class LexBound(NamedTuple):
    """One end of a range of members: a member, or (edge = -1, +1) the end of the whole order."""

    member: bytes
    exclusive: bool
    edge: int = 0


LEX_MIN: Final = LexBound(b"", False, -1)
LEX_MAX: Final = LexBound(b"", False, +1)


def parse_lex_bound(text: bytes) -> LexBound:
    """Returns the bound spelled as -, +, [member or (member; raises ValueError for the rest."""
    first = text[:1]
    if first == b"[" or first == b"(":
        return LexBound(text[1:], first == b"(")
    if text == b"-":
        return LEX_MIN
    if text == b"+":
        return LEX_MAX
    raise ValueError("not a range item")


def parse_score_bound(text: bytes) -> tuple[float, bool]:
    """Returns (score, exclusive) of a bound like 1.5, (1.5 or +inf; raises ValueError."""
    if text[:1] == b"(":
        return parse_range_double(text[1:]), True
    return parse_range_double(text), False


class ZSet:
    """A sorted set. Read `scores` freely; write through the methods only."""

    __slots__ = ("index", "order", "payload", "scores", "skiplist")

    type_name: ClassVar[bytes] = b"zset"

    def __init__(self) -> None:
        """Makes an empty set."""
        self.scores: dict[bytes, float] = {}
        self.order: list[Entry] | Blocks = []
        self.skiplist = False
        self.payload: int | None = None  # see weight.py
        self.index: KeyIndex | None = None  # built by the first ZSCAN of a large set

    @classmethod
    def of(
        cls,
        pairs: Mapping[bytes, float] | Iterable[tuple[bytes, float]],
        max_entries: int,
        max_value: int,
    ) -> ZSet:
        """Returns a set of these members, encoded by the given limits; the last score counts.

        O(n log n), less when the pairs come in order.
        """
        scores = dict(pairs)
        skiplist = len(scores) > max_entries or max(map(len, scores), default=0) > max_value
        if not skiplist:
            for member, score in scores.items():
                scores[member] = score + 0.0
        return cls.taking(scores, skiplist)

    @classmethod
    def taking(cls, scores: dict[bytes, float], skiplist: bool) -> ZSet:
        """Returns a set that takes over this dict, encoded as said. O(n log n)."""
        zset = cls()
        zset.scores = scores
        zset.skiplist = skiplist
        order = sorted(zip(scores.values(), scores, strict=True))
        zset.order = order if len(order) <= LIST_MAX else SortedList(order)
        return zset

    def copy(self) -> ZSet:
        """Returns an independent set with the same entries and encoding. O(n)."""
        twin = ZSet()
        twin.scores = self.scores.copy()
        twin.order = self.order.copy()
        twin.skiplist = self.skiplist
        return twin

    def encoding(self, limits: object) -> bytes:
        """Returns the name that OBJECT ENCODING replies; the limits have had their say before."""
        return b"skiplist" if self.skiplist else b"listpack"

    def outgrow(self, member: bytes, max_entries: int, max_value: int) -> None:
        """Sets `skiplist` if adding this new member breaks a limit. O(1).

        To be called before `add`, as Redis converts first; needless once `skiplist` is set.
        """
        if len(self.scores) >= max_entries or len(member) > max_value:
            self.skiplist = True

    # Writing

    def add(self, member: bytes, score: float) -> int:
        """Sets a member's score; returns NEW, MOVED (it had another score) or SAME. O(log n)."""
        if not self.skiplist:
            score += 0.0  # turns -0.0 into 0.0
        scores, order = self.scores, self.order
        old = scores.get(member)
        if old is None:
            scores[member] = score
            if isinstance(order, list):
                insort(order, (score, member))
                if len(order) > LIST_MAX:
                    self.order = SortedList(order)
            else:
                order.add((score, member))
            if self.index is not None:
                self.index.add(member)
            if self.payload is not None:
                self.payload += weight(member)
            return NEW
        if old == score:
            return SAME
        scores[member] = score
        # The new entry takes over the old one's bytes object, else each member that moved
        # would be held twice: once by `scores` and once, as the request's copy, by `order`.
        if isinstance(order, list):
            place = bisect_left(order, (old, member))
            member = order[place][1]
            del order[place]
            insort(order, (score, member))
        else:
            order.add((score, _take(order, (old, member))[1]))
        return MOVED

    def increment(self, member: bytes, by: float) -> float:
        """Adds to a member's score, from 0 for a new one; returns the sum. O(log n).

        Raises ValueError, changing nothing, when the sum is NaN.
        """
        old = self.scores.get(member)
        score = by if old is None else old + by
        if isnan(score):
            raise ValueError("the sum is not a number")
        self.add(member, score)
        return score

    def remove(self, member: bytes) -> bool:
        """Removes a member; returns whether it was there. O(log n)."""
        score = self.scores.pop(member, None)
        if score is None:
            return False
        order = self.order
        if isinstance(order, list):
            del order[bisect_left(order, (score, member))]
        else:
            _take(order, (score, member))
        if self.index is not None:
            self.index.discard(member)
        if self.payload is not None:
            self.payload -= weight(member)
        return True

    def pop_min(self, count: int = 1) -> list[Entry]:
        """Removes and returns up to `count` lowest entries, lowest first. O(count log n)."""
        order = self.order
        if count == 1 and order:
            entry = order.pop(0)
            del self.scores[entry[1]]
            if self.index is not None:
                self.index.discard(entry[1])
            if self.payload is not None:
                self.payload -= weight(entry[1])
            return [entry]
        if isinstance(order, list) or count > _FEW:
            lowest = order[:count]
            del order[:count]
            return self._forget(lowest)
        return self._forget([order.pop(0) for _ in range(min(count, len(order)))])

    def pop_max(self, count: int = 1) -> list[Entry]:
        """Removes and returns up to `count` highest entries, highest first. O(count log n)."""
        order = self.order
        length = len(order)
        if isinstance(order, list) or count > _FEW:
            return self.remove_rank_range(max(0, length - count), length)[::-1]
        return self._forget([order.pop(-1) for _ in range(min(count, length))])

    def remove_rank_range(self, start: int, stop: int) -> list[Entry]:
        """Removes and returns the entries of a rank interval, lowest first.

        O(log n + k) for k entries of a plain list. A SortedList takes O(k log n), or is
        rebuilt in O(n) when k is more than an eighth of it.
        """
        if start >= stop:
            return []
        removed = self.order[start:stop]
        del self.order[start:stop]
        return self._forget(removed)

    def _forget(self, removed: list[Entry]) -> list[Entry]:
        """Takes entries that left `order` out of the rest, and returns them."""
        scores, index = self.scores, self.index
        if self.payload is not None:
            self.payload -= weights(member for _, member in removed)
        for _, member in removed:
            del scores[member]
        if index is not None:
            for _, member in removed:
                index.discard(member)
        return removed

    def elements_bytes(self) -> int:
        """Counts what ``payload`` keeps: the weights of the members. O(n)."""
        return weights(self.scores)

    # Reading

    def __len__(self) -> int:
        """Returns the number of members. O(1)."""
        return len(self.scores)

    def __iter__(self) -> Iterator[Entry]:
        """Yields the entries in order; the set must not change meanwhile."""
        return iter(self.order)

    def rank(self, member: bytes) -> int | None:
        """Returns how many entries come before this member's, None for a stranger. O(log n)."""
        score = self.scores.get(member)
        return None if score is None else self._place((score, member))

    def range_by_rank(self, start: int, stop: int, reverse: bool = False) -> list[Entry]:
        """Returns the k entries of a rank interval. O(log n + k).

        With `reverse`, ranks count from the highest entry, and the highest comes first.
        """
        if not reverse:
            return self.order[start:stop]
        length = len(self.order)
        entries = self.order[max(0, length - stop) : max(0, length - start)]
        entries.reverse()
        return entries

    def score_bounds(self, low: float, lowex: bool, high: float, highex: bool) -> tuple[int, int]:
        """Returns the rank interval of the scores between two bounds. O(log n).

        An exclusive low bound is the next double, inclusive; so is an inclusive high bound,
        exclusive. A tuple (score,) sorts before all entries of that score.
        """
        if lowex and low == inf:
            start = len(self.order)
        else:
            start = self._place((nextafter(low, inf) if lowex else low,))
        if highex:
            stop = self._place((high,))
        else:
            stop = len(self.order) if high == inf else self._place((nextafter(high, inf),))
        return start, max(start, stop)

    def lex_bounds(self, low: LexBound, high: LexBound) -> tuple[int, int]:
        """Returns the rank interval of the members between two bounds. O(log n).

        All scores should be equal. With different scores, members that happen to be in order
        are found as well, and otherwise the result is some interval, as in Redis. A member with
        a zero byte behind it is the next possible one, which settles exclusion.
        """
        start = self._lex_place(low, low.exclusive)
        return start, max(start, self._lex_place(high, not high.exclusive))

    def _lex_place(self, bound: LexBound, after: bool) -> int:
        """Returns how many entries lie before the bound, its own member counted if `after`."""
        order = self.order
        if bound.edge or not order:
            return len(order) if bound.edge > 0 else 0
        member = bound.member + b"\0" if after else bound.member
        lowest = order[0][0]
        if lowest == order[-1][0]:
            return self._place((lowest, member))
        return bisect_left(order, member, key=itemgetter(1))

    def _place(self, key: tuple[float] | Entry) -> int:
        """Returns the number of entries less than the key."""
        order = self.order
        return bisect_left(order, key) if isinstance(order, list) else order.bisect_left(key)

    def sample(self, rng: Random) -> Entry:
        """Returns an entry, each equally likely; the set must not be empty. O(log n)."""
        return self.order[int(rng.random() * len(self.order))]

    def sample_many(self, rng: Random, count: int) -> list[Entry]:
        """Returns `count` independent samples, repeats included. O(count log n)."""
        order, random = self.order, rng.random
        length = len(order)
        return [order[int(random() * length)] for _ in range(count)] if length else []

    def sample_distinct(self, rng: Random, count: int) -> list[Entry]:
        """Returns `count` different entries in random order, or all of them when there are fewer.

        O(count log n); O(n) when count is large.
        """
        order = self.order
        length = len(order)
        if count >= length:
            return list(order)
        if not isinstance(order, list) and count * 8 > length:
            order = list(order)
        return [order[rank] for rank in rng.sample(range(length), count)]

    def scan(self, cursor: int, count: int) -> tuple[int, list[Entry]]:
        """Returns the next cursor (0: done) and a page of entries; `count` >= 1.

        A small set comes whole and in order, whatever the cursor. A large one goes through a
        KeyIndex, with its guarantee; the first call builds it in O(n), then O(count).
        """
        if not self.skiplist:
            return 0, list(self.order)
        if self.index is None:
            self.index = KeyIndex(self.scores)
        cursor, members = self.index.scan(cursor, count)
        scores = self.scores
        return cursor, [(scores[member], member) for member in members]

    def _check(self) -> None:
        """Asserts every invariant."""
        order = list(self.order)
        assert order == sorted(order), "entries are out of order"
        assert len(order) == len(self.scores)
        assert self.payload is None or self.payload == self.elements_bytes()
        assert {member: score for score, member in order} == self.scores
        assert not any(map(isnan, self.scores.values())), "a score is NaN"
        assert not isinstance(self.order, list) or len(order) <= LIST_MAX
        held = {member: id(member) for member in self.scores}
        assert all(held[member] == id(member) for _, member in order), "a member is held twice"
        if not self.skiplist:
            assert all(str(score) != "-0.0" for score in self.scores.values())
        if isinstance(self.order, SortedList):
            self.order._check()
        if self.index is not None:
            self.index._check(self.scores.keys())


def _take(order: Blocks, entry: Entry) -> Entry:
    """Removes the entry equal to this one, and returns the object that was stored.

    SortedList.remove does the same work without telling; asking for the place and popping it
    would cost two walks through the tree of lengths.
    """
    block = bisect_left(order._maxes, entry)
    place = bisect_left(order._lists[block], entry)
    stored = order._lists[block][place]
    order._delete(block, place)
    return stored
