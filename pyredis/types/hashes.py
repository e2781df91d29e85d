"""Hash: fields with a value each, kept in the order in which the fields came.

A dict does the work. `hashtable` is the ratchet behind OBJECT ENCODING: set for ever when a
field, a value or the number of fields outgrows what Redis keeps in a listpack.

All methods are O(1) unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from pyredis.types.keyed import Keyed


class Limits(Protocol):
    """The directives that bound the small form; the configuration is one of these."""

    hash_max_listpack_entries: int
    hash_max_listpack_value: int


class Hash(Keyed):
    """A hash. Read `fields` freely; write through the methods only."""

    __slots__ = ("fields", "hashtable")

    type_name: ClassVar[bytes] = b"hash"

    def __init__(self) -> None:
        """Makes an empty hash."""
        self.index = None
        self.fields: dict[bytes, bytes] = {}
        self.hashtable = False

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

    # What Keyed asks for

    def _keys(self) -> dict[bytes, bytes]:
        return self.fields

    def _small(self) -> bool:
        return not self.hashtable

    def _check(self) -> None:
        """Asserts every invariant."""
        assert all(type(text) is bytes for pair in self.fields.items() for text in pair)
        if self.index is not None:
            self.index._check(self.fields.keys())
