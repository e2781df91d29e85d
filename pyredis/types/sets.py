"""Set: different byte strings, kept in the order in which they came.

The members are the keys of a dict whose values are all None. A dict beats Python's own set
here: it keeps the order of insertion, which a small set of Redis shows, and which makes every
reply the same from run to run (the order of a Python set of bytes changes with the seed of
their hashes); it takes less memory up to some thousand members; it is listed three times as
fast. Intersections and the like run through `filter`, whose loop is in C as well.

`form` is the ratchet behind OBJECT ENCODING: it only grows while the set lives.

    INTSET      every member is a 64-bit integer in its shortest spelling; listed in numeric order
    LISTPACK    few and short members; listed in the order of insertion
    HASHTABLE   all others

All methods are O(1) unless they say otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import filterfalse
from random import Random
from typing import ClassVar, Final, Protocol

from pyredis.types.keyed import Keyed
from pyredis.types.weight import weight, weights

INTSET: Final = 0
LISTPACK: Final = 1
HASHTABLE: Final = 2
_NAMES: Final = (b"intset", b"listpack", b"hashtable")

_INTSET_MAX: Final = 1 << 30  # whatever the configuration says

_integer_like: Final = re.compile(rb"(?:0|-?[1-9][0-9]{0,18})\Z").match


class Limits(Protocol):
    """The directives that bound the small forms; the configuration is one of these."""

    set_max_intset_entries: int
    set_max_listpack_entries: int
    set_max_listpack_value: int


def is_integer(member: bytes) -> bool:
    """Tells whether an intset can hold the member."""
    if not _integer_like(member):
        return False
    return len(member) < 19 or -(1 << 63) <= int(member) < 1 << 63


class Set(Keyed):
    """A set. Read `members` freely; write through the methods only."""

    __slots__ = ("form", "members")

    type_name: ClassVar[bytes] = b"set"

    def __init__(self) -> None:
        """Makes an empty set; the first `add` settles its form."""
        self.index = self.payload = None
        self.members: dict[bytes, None] = {}
        self.form = INTSET

    @classmethod
    def of(cls, members: Iterable[bytes], limits: Limits) -> Set:
        """Returns a set of these members in the smallest form that the limits allow. O(n)."""
        made = cls()
        held = made.members = dict.fromkeys(members)
        size = len(held)
        if size <= limits.set_max_intset_entries and all(map(is_integer, held)):
            return made
        longest = max(map(len, held), default=0)
        fits = size <= limits.set_max_listpack_entries and longest <= limits.set_max_listpack_value
        made.form = LISTPACK if fits else HASHTABLE
        return made

    def copy(self) -> Set:
        """Returns an independent set with the same members and form. O(n)."""
        twin = Set()
        twin.members = self.members.copy()
        twin.form = self.form
        return twin

    def encoding(self, limits: Limits) -> bytes:
        """Returns the name that OBJECT ENCODING replies."""
        return _NAMES[self.form]

    def __len__(self) -> int:
        """Returns the number of members."""
        return len(self.members)

    # Writing

    def add(self, members: Sequence[bytes], limits: Limits) -> int:
        """Adds members; returns how many are new. O(k)."""
        if self.form < HASHTABLE and len(members) > 1:
            self._expect(members, limits)
        held = self.members
        before = len(held)
        index = self.index
        for member in members:
            if member not in held:
                if self.form < HASHTABLE:
                    self._make_room(member, limits)
                    held = self.members
                held[member] = None
                if index is not None:
                    index.add(member)
                if self.payload is not None:
                    self.payload += weight(member)
        return len(held) - before

    def _expect(self, members: Sequence[bytes], limits: Limits) -> None:
        """Chooses the form for so many members in one call, as if all of them were new."""
        count = len(members)
        if self.form == INTSET:
            if self.members:
                if count > limits.set_max_intset_entries:
                    self.form = HASHTABLE
            elif count > limits.set_max_intset_entries or not is_integer(members[0]):
                self.form = LISTPACK
        if self.form == LISTPACK and count > limits.set_max_listpack_entries:
            self.form = HASHTABLE

    def _make_room(self, member: bytes, limits: Limits) -> None:
        """Leaves a small form if it cannot take this new member.

        O(n) at most once in a set's life, when an intset becomes something else.
        """
        size = len(self.members)
        longest = len(member)
        if self.form == INTSET:
            if is_integer(member):
                if size < min(limits.set_max_intset_entries, _INTSET_MAX):
                    return
                if size:
                    self.form = HASHTABLE
                    return
            self.form = LISTPACK
            if size:
                self.members = dict.fromkeys(sorted(self.members, key=int))
                longest = max(longest, max(map(len, self.members)))
        if size >= limits.set_max_listpack_entries or longest > limits.set_max_listpack_value:
            self.form = HASHTABLE

    def remove(self, member: bytes) -> bool:
        """Removes a member; returns whether it was there."""
        if member not in self.members:
            return False
        del self.members[member]
        if self.index is not None:
            self.index.discard(member)
        if self.payload is not None:
            self.payload -= weight(member)
        return True

    def pop(self, rng: Random) -> bytes:
        """Removes and returns a member, each equally likely; the set must not be empty."""
        index = self.index
        if index is None:
            index = self.index_for_sampling()
        if index is None:
            member = self._nth(int(rng.random() * len(self.members)))
        else:
            member = index.pop(rng)
        del self.members[member]
        if self.payload is not None:
            self.payload -= weight(member)
        return member

    def pop_many(self, rng: Random, count: int) -> list[bytes]:
        """Removes and returns `count` members, at most all, in random order. O(count)."""
        pop = self.pop
        return [pop(rng) for _ in range(min(count, len(self.members)))]

    def elements_bytes(self) -> int:
        """Counts what ``payload`` keeps: the weights of the members. O(n)."""
        return weights(self.members)

    # What Keyed asks for

    def listing(self) -> list[bytes]:
        """Returns the members as Redis lists them: an intset in numeric order. O(n log n)."""
        if self.form == INTSET:
            return sorted(self.members, key=int)
        return list(self.members)

    def _keys(self) -> dict[bytes, None]:
        return self.members

    def _small(self) -> bool:
        return self.form < HASHTABLE

    def _check(self) -> None:
        """Asserts every invariant."""
        assert set(self.members.values()) <= {None}
        assert all(type(member) is bytes for member in self.members)
        assert self.payload is None or self.payload == self.elements_bytes()
        if self.form == INTSET:
            assert all(map(is_integer, self.members)), "an intset holds a string"
        if self.index is not None:
            self.index._check(self.members.keys())


# Algebra. The results are iterators over different members, lazy where that helps.


def intersection(sets: Sequence[Set]) -> Iterable[bytes]:
    """Yields the members that all sets have, in the order of the smallest.

    O(n * m) for n members of the smallest and m sets; stopping early saves the rest.
    """
    smallest, *others = sorted(sets, key=len)
    common: Iterable[bytes] = smallest.members  # no copy: who stops early shall not pay for all
    if not others or smallest.form == INTSET:
        common = smallest.listing()
    for other in others:
        common = filter(other.members.__contains__, common)
    return common


def union(sets: Sequence[Set]) -> Iterable[bytes]:
    """Returns the members of any set; numbers in their order if there is nothing else. O(n)."""
    found: dict[bytes, None] = {}
    for each in sets:
        found |= each.members
    if all(each.form == INTSET for each in sets):
        return sorted(found, key=int)
    return found


def difference(first: Set, others: Sequence[Set]) -> Iterable[bytes]:
    """Yields the members of the first set that no other has, in its order.

    Either each member is looked for in each set, or all that goes is put together first;
    what looks cheaper is done, so it never takes more than O(all members).
    """
    kept: Iterable[bytes] = first.listing()
    if len(first) * len(others) <= len(first) + sum(map(len, others)):
        for other in others:
            kept = filterfalse(other.members.__contains__, kept)
        return kept
    return filterfalse(frozenset().union(*(other.members for other in others)).__contains__, kept)
