"""Hash: fields with a value each, kept in the order in which the fields came.

A dict does the work; beside it stand the ratchet behind OBJECT ENCODING, which is set for
ever when a field, a value or their number outgrows what Redis keeps in a listpack, and a
`KeyIndex` over the fields. The index is built when a large hash is first scanned or sampled,
in O(n), and kept. A small hash is scanned as a whole and sampled by counting through the dict.

All methods are O(1) unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from random import Random
from typing import ClassVar, Final, Protocol

from pyredis.types.index import KeyIndex

_FEW: Final = 512  # up to so many fields it is cheaper to count through them than to index


class Limits(Protocol):
    """The directives that bound the small form; the configuration is one of these."""

    hash_max_listpack_entries: int
    hash_max_listpack_value: int


class Hash:
    """A hash. Read `fields` freely; write through the methods only."""

    __slots__ = ("fields", "hashtable", "index")

    type_name: ClassVar[bytes] = b"hash"

    def __init__(self) -> None:
        """Makes an empty hash."""
        self.fields: dict[bytes, bytes] = {}
        self.hashtable = False
        self.index: KeyIndex | None = None

    @classmethod
    def of(cls, fields: Mapping[bytes, bytes], limits: Limits) -> Hash:
        """Returns a hash of these fields, encoded by the limits. O(n)."""
        made = cls()
        held = made.fields = dict(fields)
        longest = max(map(len, [*held, *held.values()]), default=0)
        made.hashtable = (
            len(held) > limits.hash_max_listpack_entries or longest > limits.hash_max_listpack_value
        )
        return made

    def copy(self) -> Hash:
        """Returns an independent hash with the same fields and encoding. O(n)."""
        twin = Hash()
        twin.fields = self.fields.copy()
        twin.hashtable = self.hashtable
        return twin

    def encoding(self, limits: Limits) -> bytes:
        """Returns the name that OBJECT ENCODING replies."""
        return b"hashtable" if self.hashtable else b"listpack"

    def __len__(self) -> int:
        """Returns the number of fields."""
        return len(self.fields)

    # Writing

    def set(self, field: bytes, value: bytes, limits: Limits) -> bool:
        """Gives a field a value; returns whether the field is new."""
        fields = self.fields
        new = field not in fields
        fields[field] = value
        if not self.hashtable:
            value_max = limits.hash_max_listpack_value
            if (
                len(fields) > limits.hash_max_listpack_entries
                or len(value) > value_max
                or len(field) > value_max
            ):
                self.hashtable = True
        if new and self.index is not None:
            self.index.add(field)
        return new

    def update(self, pairs: Sequence[bytes], limits: Limits) -> int:
        """Sets fields from a flat sequence field, value, ...; returns how many are new. O(k).

        More pairs than a listpack may have make a hash table, even if fields repeat.
        """
        if len(pairs) // 2 > limits.hash_max_listpack_entries:
            self.hashtable = True
        before = len(self.fields)
        for at in range(0, len(pairs), 2):
            self.set(pairs[at], pairs[at + 1], limits)
        return len(self.fields) - before

    def remove(self, field: bytes) -> bool:
        """Removes a field; returns whether it was there."""
        if field not in self.fields:
            return False
        del self.fields[field]
        if self.index is not None:
            self.index.discard(field)
        return True

    # Chance and scanning

    def sample(self, rng: Random) -> bytes:
        """Returns a field, each equally likely; the hash must not be empty."""
        index = self._indexed()
        if index is None:
            return next(islice(self.fields, int(rng.random() * len(self.fields)), None))
        found = index.sample(rng)
        assert found is not None
        return found

    def sample_many(self, rng: Random, count: int) -> list[bytes]:
        """Returns `count` independent samples, repeats included. O(count)."""
        index = self._indexed()
        if index is None:
            return rng.choices(list(self.fields), k=count)
        return index.sample_many(rng, count)

    def sample_distinct(self, rng: Random, count: int) -> list[bytes]:
        """Returns `count` different fields, all of them when there are fewer. O(count)."""
        size = len(self.fields)
        if count >= size:
            return list(self.fields)
        index = self._indexed()
        if index is None or count * 3 > size:
            return rng.sample(list(self.fields), count)
        # Two draws in three at least are new to `drawn`.
        drawn: dict[bytes, None] = {}
        while len(drawn) < count:
            drawn.update(dict.fromkeys(index.sample_many(rng, count - len(drawn))))
        return list(drawn)

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Returns the next cursor (0: done) and a page of fields; `count` >= 1.

        A small hash comes whole, whatever the cursor. A large one goes through a KeyIndex,
        with its guarantee; the first call builds it in O(n), then O(count).
        """
        if not self.hashtable:
            return 0, list(self.fields)
        if self.index is None:
            self.index = KeyIndex(self.fields)
        return self.index.scan(cursor, count)

    def _indexed(self) -> KeyIndex | None:
        """Returns the index, building it where it pays; None for the few fields of a small hash.

        The encoding counts, not only the size: counting through a dict that once was large
        is slow.
        """
        if self.index is None and (self.hashtable or len(self.fields) > _FEW):
            self.index = KeyIndex(self.fields)
        return self.index

    def _check(self) -> None:
        """Asserts every invariant."""
        assert all(type(text) is bytes for pair in self.fields.items() for text in pair)
        if self.index is not None:
            self.index._check(self.fields.keys())
