"""Lists: sequences of byte strings that grow and shrink mostly at their ends.

Redis packs a small list into one block of memory (listpack) and turns it into a linked list
of such blocks (quicklist) when it outgrows a limit. CPython has the same pair ready made: a
small list is a ``list``, compact but with an O(n) head; a large one is a ``deque``, a linked
list of blocks of 64, O(1) at both ends. What OBJECT ENCODING says is which of them it is.

The limit, `list-max-listpack-size`, is called ``fill`` here as in Redis' quicklist: if
positive a number of entries, else one of five sizes in bytes (-2: 8192). The size meant is
that of Redis' listpack, so every list keeps a running ``size``: what it would take there.
A list goes over when size plus the bytes to be added exceed the limit, and comes back when
the size falls to half of it. Between the two it stays what it is.

No list of more than LONG entries in deque form can be close to coming back, so it does not
keep ``size`` (it is None) and its owner may use the deque's methods directly; ``recount``
is due when it has shrunk to RECOUNT entries.

Departures from Redis: there a quicklist comes back only when a single block is left, which
depends on how it was filled; and with limits of 16 kB and more a long list of tiny entries
comes back later here, at RECOUNT entries.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import indexOf
from typing import TYPE_CHECKING, Final

from pyredis.types.weight import weights

if TYPE_CHECKING:
    from pyredis.config import Config

Items = list[bytes] | deque[bytes]

LONG: Final = 4096
RECOUNT: Final = 2048  # a listpack of 4096 bytes holds no more entries than this

_EMPTY_BYTES: Final = 7  # a listpack's header and end mark
_NODE_BYTES: Final = (4096, 8192, 16384, 32768, 65536)
_SAFE_BYTES: Final = 8192  # bounds a listpack whose limit is a number of entries
_NO_LIMIT: Final = 1 << 62
_FEW: Final = 8  # up to so many removals one by one beat building the list anew
_HOPS_MAX: Final = 64


def limits(fill: int) -> tuple[int, int]:
    """The most bytes and the most entries of a list that stays compact."""
    if fill < 0:
        return _NODE_BYTES[min(-fill, 5) - 1], _NO_LIMIT
    return _SAFE_BYTES, fill or 1


def entry_bytes(value: bytes) -> int:
    """What an entry takes in a listpack: head, data, and its length once more behind it."""
    size = len(value)
    if size <= 20 and (value.isdigit() or value[:1] == b"-"):
        width = _integer_bytes(value)
        if width:
            return width
    if size < 64:
        return size + 2
    size += 2 if size < 4096 else 5
    if size < 128:
        return size + 1
    if size < 16383:
        return size + 2
    return size + (3 if size < 2097151 else 4 if size < 268435455 else 5)


def entries_bytes(values: Sequence[bytes]) -> int:
    """What all these entries take. Where all are short texts, as is common, that is quick."""
    if values and min(values) >= b":" and max(map(len, values)) < 64:  # ":" comes behind "9"
        return sum(map(len, values)) + 2 * len(values)
    return sum(map(entry_bytes, values))


def _integer_bytes(value: bytes) -> int:
    """What an entry takes that is stored as an integer, 0 if it cannot be."""
    try:
        number = int(value)
    except ValueError:
        return 0
    if b"%d" % number != value:
        return 0
    if 0 <= number < 128:
        return 2
    magnitude = number if number >= 0 else ~number
    if magnitude < 1 << 31:
        if magnitude < 1 << 15:
            return 3 if magnitude < 1 << 12 else 4
        return 5 if magnitude < 1 << 23 else 6
    return 10 if magnitude < 1 << 63 else 0


class List:
    """A list. Read ``items`` freely; write through the methods.

    A deque whose ``size`` is None may also be written directly, see above. Methods that
    remove leave the empty list to their caller. Indexes are those of Python, within range.
    """

    __slots__ = ("items", "payload", "size")

    type_name: Final = b"list"

    def __init__(self) -> None:
        """Makes an empty list."""
        self.items: Items = []
        self.payload: int | None = None  # see weight.py
        self.size: int | None = _EMPTY_BYTES

    @classmethod
    def of(cls, values: Sequence[bytes], fill: int) -> List:
        """A list of these values, in the form that the limit asks for. O(n)."""
        made = cls()
        bytes_max, count_max = limits(fill)
        size = _EMPTY_BYTES + entries_bytes(values)
        if size > bytes_max or len(values) > count_max:
            made.items = deque(values)
            made.size = None if len(values) > LONG else size
        else:
            made.items = list(values)
            made.size = size
        return made

    def copy(self) -> List:
        """An independent list with the same entries and encoding. O(n)."""
        twin = List()
        twin.items = self.items.copy()
        twin.size = self.size
        return twin

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[bytes]:
        """The entries from head to tail; the list must not change meanwhile."""
        return iter(self.items)

    def encoding(self, config: Config) -> bytes:
        """What OBJECT ENCODING says."""
        return b"listpack" if type(self.items) is list else b"quicklist"

    # Writing

    def push_left(self, values: Sequence[bytes], fill: int) -> None:
        """Adds values at the head, one after the other. O(1) each, in a compact list O(n)."""
        self._grow(values, fill)
        items = self.items
        if isinstance(items, deque):
            items.extendleft(values)
        elif len(values) == 1:
            items.insert(0, values[0])
        else:
            items[:0] = reversed(values)

    def push_right(self, values: Sequence[bytes], fill: int) -> None:
        """Adds values at the tail, one after the other. O(1) each."""
        self._grow(values, fill)
        self.items.extend(values)

    def pop_left(self, fill: int) -> bytes:
        """Removes and returns the head. O(1), in a compact list O(n)."""
        items = self.items
        value = items.popleft() if isinstance(items, deque) else items.pop(0)
        self._shrink((value,), fill)
        return value

    def pop_right(self, fill: int) -> bytes:
        """Removes and returns the tail. O(1)."""
        value = self.items.pop()
        self._shrink((value,), fill)
        return value

    def take_left(self, count: int, fill: int) -> list[bytes]:
        """Removes and returns up to ``count`` values from the head on. O(count)."""
        items = self.items
        count = min(count, len(items))
        if isinstance(items, deque):
            taken = [items.popleft() for _ in range(count)]
        else:
            taken = items[:count]
            del items[:count]
        self._shrink(taken, fill)
        return taken

    def take_right(self, count: int, fill: int) -> list[bytes]:
        """Removes and returns up to ``count`` values from the tail on. O(count)."""
        items = self.items
        taken = [items.pop() for _ in range(min(count, len(items)))]
        self._shrink(taken, fill)
        return taken

    def trim(self, start: int, stop: int, fill: int) -> int:
        """Keeps the half-open interval only; returns how many values went. O(gone)."""
        tail = self.take_right(len(self.items) - max(start, stop), fill)
        head = self.take_left(start, fill)
        return len(head) + len(tail)

    def set(self, index: int, value: bytes, fill: int) -> None:
        """Replaces the value at an index. O(1) near the ends, O(n/64) in the middle."""
        self._grow((value,), fill)
        old = self.items[index]
        self.items[index] = value
        self._shrink((old,), fill)

    def insert(self, index: int, value: bytes, fill: int) -> None:
        """Puts a value before the index. O(n) from the nearer end."""
        self._grow((value,), fill)
        self.items.insert(index, value)

    def remove(self, value: bytes, count: int, fill: int) -> int:
        """Removes the first ``count`` occurrences, the last if negative, all if 0. O(n).

        Returns how many were removed.
        """
        items = self.items
        if count == 0:
            kept = [item for item in items if item != value]
        elif -_FEW <= count <= _FEW:
            return self._remove_few(value, count, fill)
        else:
            left = abs(count)
            kept = []
            for item in items if count > 0 else reversed(items):
                if left and item == value:
                    left -= 1
                else:
                    kept.append(item)
            if count < 0:
                kept.reverse()
        removed = len(items) - len(kept)
        if removed:
            self.items = kept if type(items) is list else deque(kept)
            self._shrink((value,) * removed, fill)
        return removed

    def _remove_few(self, value: bytes, count: int, fill: int) -> int:
        items = self.items
        removed = 0
        while removed < abs(count):
            try:
                if count > 0:
                    del items[indexOf(items, value)]
                else:
                    del items[~indexOf(reversed(items), value)]
            except ValueError:
                break
            removed += 1
        self._shrink((value,) * removed, fill)
        return removed

    # Reading

    def range(self, start: int, stop: int) -> list[bytes]:
        """The values of a half-open interval. O(distance from the nearer end + length)."""
        items = self.items
        if isinstance(items, list):
            return items[start:stop]
        behind = len(items) - stop
        if stop - start <= _HOPS_MAX and min(start, behind) > 16 * (stop - start):
            # Far inside, finding each by itself pays: an index goes by blocks of 64.
            return [items[index] for index in range(start, stop)]
        if start <= behind:
            return list(islice(items, start, stop))
        found = list(islice(reversed(items), behind, len(items) - start))
        found.reverse()
        return found

    def positions(self, value: bytes, backwards: bool, compared_max: int) -> Iterator[int]:
        """Where the value stands, from the head or from the tail on.

        Ends after so many comparisons, 0 for no limit. The search is in C between matches.
        """
        items = self.items
        source: Iterator[bytes] = reversed(items) if backwards else iter(items)
        if compared_max:
            source = islice(source, compared_max)
        last = len(items) - 1
        at = -1
        while True:
            try:
                at += indexOf(source, value) + 1
            except ValueError:
                return
            yield last - at if backwards else at

    def elements_bytes(self) -> int:
        """Counts what ``payload`` keeps: the weights of the entries. O(n)."""
        return weights(self.items)

    # Form

    def recount(self, fill: int) -> None:
        """For the owner of a long list that has shrunk to RECOUNT entries. O(RECOUNT)."""
        self.size = _EMPTY_BYTES + sum(map(entry_bytes, self.items))
        self._shrink((), fill)

    def make_room(self, value: bytes, fill: int) -> None:
        """Go over if one more value would make it necessary, whether it comes or not."""
        if self.size is not None and isinstance(self.items, list):
            self._go_over(self.size + len(value), len(self.items) + 1, fill)

    def _go_over(self, size: int, count: int, fill: int) -> None:
        bytes_max, count_max = limits(fill)
        if size > bytes_max or count > count_max:
            self.items = deque(self.items)

    def _grow(self, values: Sequence[bytes], fill: int) -> None:
        """Accounts for values that are about to be added."""
        if self.payload is not None:
            self.payload += weights(values)
        size = self.size
        if size is None:
            return
        if len(values) == 1:
            added = entry_bytes(values[0])
            raw = len(values[0])
        else:
            added = sum(map(entry_bytes, values))
            raw = sum(map(len, values))
        items = self.items
        count = len(items) + len(values)
        if isinstance(items, list) and (fill >= 0 or size + raw > _NODE_BYTES[0]):
            self._go_over(size + raw, count, fill)
        if count > LONG and type(self.items) is deque:
            self.size = None
        else:
            self.size = size + added

    def _shrink(self, values: Sequence[bytes], fill: int) -> None:
        """Accounts for values that were just removed."""
        if self.payload is not None:
            self.payload -= weights(values)
        items = self.items
        if self.size is None:
            if len(items) <= RECOUNT:
                self.recount(fill)
            return
        for value in values:
            self.size -= entry_bytes(value)
        if isinstance(items, deque):
            bytes_max, count_max = limits(fill)
            if fill < 0:
                bytes_max //= 2
            if self.size <= bytes_max and len(items) <= count_max // 2:
                self.items = list(items)

    def _check(self) -> None:
        """Asserts the invariants that every method keeps."""
        assert self.payload is None or self.payload == self.elements_bytes()
        if self.size is None:
            assert type(self.items) is deque
            assert len(self.items) > RECOUNT
        else:
            assert self.size == _EMPTY_BYTES + sum(map(entry_bytes, self.items))
