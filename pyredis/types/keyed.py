"""What sets and hashes share: their keys are those of a dict, to be scanned and sampled.

The dict keeps the order of insertion. A small one is scanned as a whole and sampled by counting
through it; a large one builds a `KeyIndex` when first scanned or sampled, in O(n), and keeps it.
What is small is the owner's encoding, not only the size: counting through a dict that once was
large stays slow after it has shrunk.

A subclass has the three members at the end of the class, and reports to `index`, if it is not
None, every key that enters or leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from random import Random
from typing import Any, Final

from pyredis.types.index import KeyIndex

_FEW: Final = 512  # up to so many keys it is cheaper to count through them than to index


class Keyed:
    """A collection of different keys."""

    __slots__ = ("index", "payload")

    def __init__(self) -> None:
        self.index: KeyIndex | None = None
        self.payload: int | None = None  # see weight.py

    def sample(self, rng: Random) -> bytes:
        """Returns a key, each equally likely; the collection must not be empty. O(1)."""
        index = self.index_for_sampling()
        if index is None:
            return self._nth(int(rng.random() * len(self._keys())))
        key = index.sample(rng)
        assert key is not None
        return key

    def sample_many(self, rng: Random, count: int) -> list[bytes]:
        """Returns `count` independent samples, repeats included. O(count)."""
        index = self.index_for_sampling()
        if index is None:
            return rng.choices(list(self._keys()), k=count)
        return index.sample_many(rng, count)

    def sample_distinct(self, rng: Random, count: int) -> list[bytes]:
        """Returns `count` different keys, all of them when there are fewer. O(count)."""
        keys = self._keys()
        if count >= len(keys):
            return self.listing()
        index = self.index_for_sampling()
        if index is None or count * 3 > len(keys):
            return rng.sample(list(keys), count)
        # Two draws in three at least hit a key that is new to `drawn`.
        drawn: dict[bytes, None] = {}
        while len(drawn) < count:
            drawn.update(dict.fromkeys(index.sample_many(rng, count - len(drawn))))
        return list(drawn)

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Returns the next cursor (0: done) and a page of keys; `count` >= 1.

        A small collection comes whole, whatever the cursor. A large one goes through the
        index, with its guarantee; the first call builds it in O(n), then O(count).
        """
        if self._small():
            return 0, self.listing()
        if self.index is None:
            self.index = KeyIndex(self._keys())
        return self.index.scan(cursor, count)

    def index_for_sampling(self) -> KeyIndex | None:
        """Returns the index, building it where it pays; None where counting will do."""
        if self.index is None and not (self._small() and len(self._keys()) <= _FEW):
            self.index = KeyIndex(self._keys())
        return self.index

    def _nth(self, place: int) -> bytes:
        return next(islice(self._keys(), place, None))

    # The subclass's part

    def listing(self) -> list[bytes]:
        """Returns the keys in the order in which Redis lists them. O(n)."""
        return list(self._keys())

    def _keys(self) -> Mapping[bytes, Any]:
        raise NotImplementedError

    def _small(self) -> bool:
        """Tells whether the collection has a small encoding, which means: never was large."""
        raise NotImplementedError
