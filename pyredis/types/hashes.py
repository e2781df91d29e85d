"""Hash: fields with a value each, kept in the order in which the fields came.

A dict does the work. `hashtable` is the ratchet behind OBJECT ENCODING: set for ever when a
field, a value or the number of fields outgrows what Redis keeps in a listpack.

A field may have a *deadline*, the time until which it lives. The first one a hash is given
makes its `deadlines`, which then stay, so that the hash pays for them from then on and no other
does. Here they are only kept: a field past its time is a field like any other until somebody
(`pyredis.field_expiry`) removes it. Giving a field a value takes its deadline away.

All methods are O(1) unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from pyredis.types.deadlines import Deadlines
from pyredis.types.keyed import Keyed
from pyredis.types.weight import weight, weights


class Limits(Protocol):
    """The directives that bound the small form; the configuration is one of these."""

    hash_max_listpack_entries: int
    hash_max_listpack_value: int


class Hash(Keyed):
    """A hash. Read `fields` freely; write through the methods only."""

    __slots__ = ("deadlines", "fields", "hashtable")

    type_name: ClassVar[bytes] = b"hash"

    def __init__(self) -> None:
        """Makes an empty hash."""
        self.index = self.payload = None
        self.fields: dict[bytes, bytes] = {}
        self.hashtable = False
        self.deadlines: Deadlines | None = None

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
        """Returns an independent hash with the same fields, deadlines and encoding. O(n)."""
        twin = Hash()
        twin.fields = self.fields.copy()
        twin.hashtable = self.hashtable
        if self.deadlines is not None:
            twin.deadlines = self.deadlines.copy()
        return twin

    def encoding(self, limits: Limits) -> bytes:
        """Returns the name that OBJECT ENCODING replies."""
        if self.hashtable:
            return b"hashtable"
        return b"listpack" if self.deadlines is None else b"listpackex"

    def __len__(self) -> int:
        """Returns the number of fields."""
        return len(self.fields)

    # Writing

    def set(self, field: bytes, value: bytes, limits: Limits, keep_deadline: bool = False) -> bool:
        """Gives a field a value; returns whether the field is new."""
        fields = self.fields
        new = field not in fields
        if self.payload is not None:
            self.payload += weight(value) + (weight(field) if new else -weight(fields[field]))
        fields[field] = value
        if not self.hashtable:
            value_max = limits.hash_max_listpack_value
            if (
                len(fields) > limits.hash_max_listpack_entries
                or len(value) > value_max
                or len(field) > value_max
            ):
                self.hashtable = True
        if new:
            if self.index is not None:
                self.index.add(field)
        elif self.deadlines is not None and not keep_deadline:
            self.deadlines.discard(field)
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
        if self.payload is not None:
            self.payload -= weight(field) + weight(self.fields[field])
        del self.fields[field]
        if self.index is not None:
            self.index.discard(field)
        if self.deadlines is not None:
            self.deadlines.discard(field)
        return True

    # Deadlines

    def deadline(self, field: bytes) -> int | None:
        """Returns the Unix time in ms until which a field lives, None if for ever."""
        return None if self.deadlines is None else self.deadlines.when.get(field)

    def expect_deadlines(self) -> None:
        """Goes over to the form with deadlines, as Redis does before it looks at the fields."""
        if self.deadlines is None:
            self.deadlines = Deadlines()

    def set_deadline(self, field: bytes, when_ms: int) -> None:
        """Gives a field that exists a deadline. O(log n)."""
        self.expect_deadlines()
        assert self.deadlines is not None
        self.deadlines.set(field, when_ms)

    def persist(self, field: bytes) -> bool:
        """Takes a field's deadline away; returns whether it had one."""
        return self.deadlines is not None and self.deadlines.discard(field)

    def elements_bytes(self) -> int:
        """Counts what ``payload`` keeps: the weights of fields and values. O(n)."""
        return weights(self.fields) + weights(self.fields.values())

    # What Keyed asks for

    def _keys(self) -> dict[bytes, bytes]:
        return self.fields

    def _small(self) -> bool:
        return not self.hashtable

    def _check(self) -> None:
        """Asserts every invariant."""
        assert all(type(text) is bytes for pair in self.fields.items() for text in pair)
        assert self.payload is None or self.payload == self.elements_bytes()
        if self.index is not None:
            self.index._check(self.fields.keys())
        if self.deadlines is not None:
            self.deadlines._check()
            assert self.deadlines.when.keys() <= self.fields.keys()
