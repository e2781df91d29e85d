"""Consumer groups of a stream: who was given which entry and has not acknowledged it yet.

A *group* has a place in the stream, ``last_id``: its consumers get the entries behind that.
An entry that was given to a consumer is *pending* until somebody acknowledges it. It stands in
two lists then, that of the group and that of its one owner; they share the ``Nack``, which tells
the owner, the time of the last delivery and how often it was delivered.

A list of pending entries (``Pending``) is asked for one of them, and for those from an ID on,
in order. Most come in the order of their IDs and go soon after, the oldest first. So it is a
dict from ID to Nack beside a sorted list of IDs in which those that were acknowledged stay
until they are more than half; then the list is made anew. A mark, moved on by walks, tells how
many at its beginning are stale. Adding behind all others and removing take O(1), amortized;
adding before others moves their pointers. An ordered walk of k takes O(log n + k), and passes
by stale IDs in the middle.

``entries_read`` counts the entries of the stream up to the group's place, -1 if unknown. The
*lag* is what is missing to the number of entries ever added. Both cannot always be told:
entries may have been deleted in front of the group, or an ID set by hand.

Times are Unix times in ms. A consumer is *seen* whenever it asks for entries, and *active*
when it gets some (-1: it never did).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyredis.types.streams import Stream

UNKNOWN: Final = -1
"""Stands for ``entries_read`` that cannot be told."""

# Sizes as measured: a pending entry stands in two dicts and lists, which share ID and Nack.
_GROUP_BYTES: Final = 600
_CONSUMER_BYTES: Final = 450
_PENDING_BYTES: Final = 300

_STALE_MIN: Final = 64  # below this the list is not worth making anew


class Nack:
    """One pending entry: who has it, since when, and how many times it was delivered.

    The consumer is known by name only. A reference would close a circle, and what is in a
    circle is not freed with its key but when the garbage collector comes, which is rare.
    """

    __slots__ = ("consumer", "delivered", "time_ms")

    def __init__(self, consumer: bytes, time_ms: int, delivered: int = 1) -> None:
        self.consumer = consumer
        self.time_ms = time_ms
        self.delivered = delivered


class Pending:
    """Pending entries by ID. ``nacks`` may be read directly."""

    __slots__ = ("_head", "_order", "nacks")

    def __init__(self) -> None:
        """Makes an empty list."""
        self.nacks: dict[int, Nack] = {}
        self._order: list[int] = []  # from _head on ascending, and a superset of nacks' keys
        self._head = 0

    def __len__(self) -> int:
        return len(self.nacks)

    def __contains__(self, entry_id: int) -> bool:
        return entry_id in self.nacks

    def get(self, entry_id: int) -> Nack | None:
        """The Nack of an entry, None if it is not pending."""
        return self.nacks.get(entry_id)

    def add(self, entry_id: int, nack: Nack) -> None:
        """Adds an entry, or gives one another Nack."""
        if entry_id not in self.nacks:
            order = self._order
            if not order or entry_id > order[-1]:
                order.append(entry_id)
            else:
                at = bisect_left(order, entry_id, self._head)
                if at == len(order) or order[at] != entry_id:  # else it was here before
                    order.insert(at, entry_id)
        self.nacks[entry_id] = nack

    def remove(self, entry_id: int) -> None:
        """Removes an entry. Raises KeyError if it is not pending."""
        del self.nacks[entry_id]
        if len(self._order) > 2 * len(self.nacks) + _STALE_MIN or not self.nacks:
            self._tidy()

    def first(self) -> int:
        """The lowest ID. Raises StopIteration if there is none."""
        return next(self.items())[0]

    def last(self) -> int:
        """The highest ID. Raises IndexError if there is none."""
        order, nacks = self._order, self.nacks
        while order[-1] not in nacks:
            order.pop()
        return order[-1]

    def items(self, start: int = 0) -> Iterator[tuple[int, Nack]]:
        """The entries from an ID on, in order. No others may be added meanwhile."""
        nacks = self.nacks
        order = self._order
        for at in range(bisect_left(order, start, self._head), len(order)):
            entry_id = order[at]
            nack = nacks.get(entry_id)
            if nack is not None:
                yield entry_id, nack
            elif at == self._head and order is self._order:
                self._head += 1

    def copy_with(self, nacks: dict[int, Nack]) -> Pending:
        """The same entries with Nacks from elsewhere."""
        twin = Pending()
        twin.nacks = {entry_id: nacks[entry_id] for entry_id in self.nacks}
        twin._order = self._order[self._head :]
        return twin

    def _tidy(self) -> None:
        nacks = self.nacks
        self._order = [entry_id for entry_id in self._order[self._head :] if entry_id in nacks]
        self._head = 0

    def _check(self) -> None:
        """Asserts the invariants that every method keeps."""
        order = self._order[self._head :]
        assert order == sorted(set(order))
        assert self.nacks.keys() <= set(order)
        assert len(self._order) <= 2 * len(self.nacks) + _STALE_MIN


class Consumer:
    """A member of a group."""

    __slots__ = ("active_ms", "name", "pending", "seen_ms")

    def __init__(self, name: bytes, seen_ms: int) -> None:
        """Makes a consumer that was never active and has nothing pending."""
        self.name = name
        self.seen_ms = seen_ms
        self.active_ms = -1
        self.pending = Pending()


class Group:
    """A consumer group. ``consumers`` are by name, in no order."""

    __slots__ = ("consumers", "entries_read", "last_id", "pending")

    def __init__(self, last_id: int, entries_read: int = UNKNOWN) -> None:
        """Makes a group without consumers."""
        self.last_id = last_id
        self.entries_read = entries_read
        self.consumers: dict[bytes, Consumer] = {}
        self.pending = Pending()

    def copy(self) -> Group:
        """An independent group with the same consumers and pending entries. O(n)."""
        twin = Group(self.last_id, self.entries_read)
        for name, consumer in self.consumers.items():
            other = twin.consumers[name] = Consumer(name, consumer.seen_ms)
            other.active_ms = consumer.active_ms
        nacks = {
            entry_id: Nack(nack.consumer, nack.time_ms, nack.delivered)
            for entry_id, nack in self.pending.nacks.items()
        }
        twin.pending = self.pending.copy_with(nacks)
        for name, consumer in self.consumers.items():
            twin.consumers[name].pending = consumer.pending.copy_with(nacks)
        return twin

    def give(self, entry_id: int, consumer: Consumer, now_ms: int) -> Nack:
        """Makes an entry pending for a consumer, whoever had it before, as delivered once."""
        nack = self.pending.get(entry_id)
        if nack is None:
            nack = Nack(consumer.name, now_ms)
            self.pending.add(entry_id, nack)
            consumer.pending.add(entry_id, nack)
        else:
            self.hand_over(entry_id, nack, consumer)
            nack.time_ms = now_ms
            nack.delivered = 1
        return nack

    def hand_over(self, entry_id: int, nack: Nack, consumer: Consumer) -> None:
        """Makes a consumer the owner of an entry that is pending."""
        if nack.consumer != consumer.name:
            self.consumers[nack.consumer].pending.remove(entry_id)
            nack.consumer = consumer.name
            consumer.pending.add(entry_id, nack)

    def forget(self, entry_id: int) -> bool:
        """Makes an entry pending no more; False if it was not."""
        nack = self.pending.get(entry_id)
        if nack is None:
            return False
        self.pending.remove(entry_id)
        self.consumers[nack.consumer].pending.remove(entry_id)
        return True

    def dismiss(self, consumer: Consumer) -> int:
        """Removes a consumer and forgets its entries; returns how many they were."""
        for entry_id in consumer.pending.nacks:
            self.pending.remove(entry_id)
        del self.consumers[consumer.name]
        return len(consumer.pending)

    def advance(self, stream: Stream, entry_id: int) -> None:
        """Moves the place on to an entry that is being delivered."""
        unread_gone = self.last_id < stream.first_id or stream.has_deleted_from(self.last_id)
        if self.entries_read != UNKNOWN and not unread_gone:
            self.entries_read += 1
        elif stream.entries_added:
            before = stream.entries_before(entry_id)
            self.entries_read = UNKNOWN if before is None else before
        self.last_id = entry_id

    def lag(self, stream: Stream) -> int | None:
        """How many entries the group has not been given yet, None if that cannot be told."""
        if not stream.length:
            return 0
        if self.last_id < stream.first_id and stream.max_deleted_id < stream.first_id:
            return stream.length  # all there is lies ahead
        if self.entries_read != UNKNOWN and not stream.has_deleted_from(self.last_id):
            return stream.entries_added - self.entries_read
        before = stream.entries_before(self.last_id)
        return None if before is None else stream.entries_added - before

    def memory_bytes(self) -> int:
        """What the group takes, about. O(1): names count as short, lists as well filled."""
        pending, consumers = len(self.pending), len(self.consumers)
        return _GROUP_BYTES + consumers * _CONSUMER_BYTES + pending * _PENDING_BYTES

    def _check(self) -> None:
        """Asserts that the group and its consumers agree on who has what."""
        self.pending._check()
        owned = 0
        for name, consumer in self.consumers.items():
            assert consumer.name == name
            consumer.pending._check()
            owned += len(consumer.pending)
            for entry_id, nack in consumer.pending.nacks.items():
                assert nack.consumer == name
                assert self.pending.nacks[entry_id] is nack
        assert owned == len(self.pending)
