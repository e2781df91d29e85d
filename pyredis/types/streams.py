"""Streams: a log of entries, each a list of fields and values under an ID that only grows.

Redis keeps a radix tree of *nodes*, each a block of up to a hundred entries, found by the ID
of its first one. Here the nodes stand in a plain list, ordered by that ID, and in a node

    ids      the IDs of its entries, ascending
    entries  for each of them a flat tuple: field, value, field, value ...

so that both steps of a search are a ``bisect``. Appending is O(1). A range of k entries costs
O(log n + k), deleting one O(log n) and the moving of at most a node's pointers. Trimming frees
whole nodes; what it shifts in the list of nodes is 8 bytes for each hundred entries.

Approximate trimming (``~``) stops at the first node that it cannot free as a whole, and how
many entries go depends on where nodes begin and end. So their boundaries are Redis': a node
is full when it has `stream-node-max-entries` entries, deleted ones included, or when its
listpack would outgrow `stream-node-max-bytes`. ``body_bytes`` is kept for that purpose: what
a node takes in such a listpack beside two counters. The listpack starts with a *master
entry*, the field names of the first one. Entries with the same fields store only values there;
here they share the names' objects. `pyredis.types.stream_ids` tells how IDs are written.

Beside entries a stream remembers ``last_id``, the greatest ID ever; ``entries_added``, how
many ever; and ``max_deleted_id``, the greatest ID that XDEL took. From them
``entries_before`` reckons how many entries had been added up to an ID, if it can be told:
that is what groups derive their lag from. A stream may be empty, with or without groups.

Departures from Redis: a deleted entry is gone at once, while there it stays in its listpack
until the node goes; only the number of those (``deleted``) and the last ID ever (``last_id``)
are kept of them. `radix_nodes` counts the nodes a radix tree would have from a sample.

Memory, measured with entries of one field and a value of 10 bytes: 165 bytes an entry, of which
43 are the value, 72 the tuple and 40 the ID.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Final

from pyredis.types.lists import entry_bytes
from pyredis.types.stream_groups import Group
from pyredis.types.stream_ids import ID_MAX, SEQ_MAX, format_id
from pyredis.types.weight import UNIT_BYTES, weights

if TYPE_CHECKING:
    from pyredis.config import Config

Fields = tuple[bytes, ...]
"""The flat content of an entry: field, value, field, value ..."""

NODE_MAX_BYTES: Final = 1 << 30
"""No node, and no entry, may be larger than this."""

_LISTPACK_BYTES: Final = 7  # its header and end mark
_ZERO_BYTES: Final = 2  # a small integer, such as the mark behind the master entry
_SAMPLE: Final = 256  # nodes from which the shape of the radix tree is estimated
_KEY_BYTES: Final = 16
_ID_BYTES: Final = 48  # an int of up to 120 bits, as IDs of our time are
_TUPLE_BYTES: Final = 40  # without the pointers in it
_POINTER_BYTES: Final = 8
_NODE_BYTES: Final = 368  # a node, its two lists, and their place in the list of nodes

_first_id = attrgetter("first_id")


def integer_bytes(number: int) -> int:
    """What an integer takes in a listpack. Differences of IDs wrap around as in C."""
    if 0 <= number < 128:
        return 2
    number = (number + (1 << 63) & SEQ_MAX) - (1 << 63)
    magnitude = number if number >= 0 else ~number
    for bits, size in ((12, 3), (15, 4), (23, 5), (31, 6)):
        if magnitude >> bits == 0:
            return size if number < 0 or number >= 128 else 2
    return 10


class Node:
    """A run of entries. Read its attributes freely; write through the stream.

    ``first_id`` is that of the entry it began with, ``fields`` are that one's names, and
    ``last_id`` is the greatest it ever had: all of these may have been deleted since.
    """

    __slots__ = ("body_bytes", "deleted", "entries", "fields", "first_id", "ids", "last_id")

    def __init__(self, first_id: int, fields: Fields) -> None:
        """An empty node for an entry with this ID and these field names."""
        self.first_id = first_id
        self.last_id = first_id
        self.fields = fields
        self.ids: list[int] = []
        self.entries: list[Fields] = []
        self.deleted = 0
        self.body_bytes = (
            _LISTPACK_BYTES
            + _ZERO_BYTES
            + integer_bytes(len(fields))
            + sum(map(entry_bytes, fields))
        )

    @property
    def size(self) -> int:
        """What the node takes as a listpack, in bytes."""
        return self.body_bytes + integer_bytes(len(self.ids)) + integer_bytes(self.deleted)

    def add(self, entry_id: int, content: Fields) -> None:
        """Put an entry behind all others. O(fields)."""
        names = content[0::2]
        first_id = self.first_id
        size = 2 + integer_bytes((entry_id >> 64) - (first_id >> 64))
        size += integer_bytes((entry_id & SEQ_MAX) - (first_id & SEQ_MAX))
        count = len(names)
        if names == self.fields:
            if count == 1:
                content = (self.fields[0], content[1])
                size += entry_bytes(content[1])
            else:
                shared = list(content)
                shared[0::2] = self.fields
                content = tuple(shared)
                size += sum(map(entry_bytes, content[1::2]))
            size += integer_bytes(count + 3)
        else:
            size += sum(map(entry_bytes, content)) + integer_bytes(count)
            size += integer_bytes(2 * count + 4)
        self.body_bytes += size
        self.ids.append(entry_id)
        self.entries.append(content)
        self.last_id = entry_id

    def payload_of(self, start: int, stop: int) -> int:
        """What the entries at these places take. Names shared with the node are the node's."""
        names = self.fields
        total = 0
        for content in self.entries[start:stop]:
            total += _TUPLE_BYTES + _POINTER_BYTES * len(content) + UNIT_BYTES - 1 & -UNIT_BYTES
            total += weights(content[1::2] if content[0::2] == names else content)
        return total + (_ID_BYTES + 2 * _POINTER_BYTES) * len(self.ids[start:stop])

    def frame_bytes(self) -> int:
        """What the node takes without entries."""
        names = self.fields
        size = _NODE_BYTES + _TUPLE_BYTES + _POINTER_BYTES * len(names)
        return size + weights(names)

    def drop(self, start: int, stop: int) -> None:
        """Delete the entries at these places."""
        self.deleted += stop - start
        del self.ids[start:stop]
        del self.entries[start:stop]

    def drop_these(self, doomed: Sequence[int]) -> None:
        """Delete the entries with these IDs, in order. O(entries)."""
        self.deleted += len(doomed)
        gone = set(doomed)
        kept = [at for at, entry_id in enumerate(self.ids) if entry_id not in gone]
        self.entries = [self.entries[at] for at in kept]
        self.ids = [self.ids[at] for at in kept]

    def copy(self) -> Node:
        """An independent node with the same entries."""
        twin = Node(self.first_id, ())
        twin.last_id = self.last_id
        twin.fields = self.fields
        twin.ids = self.ids.copy()
        twin.entries = self.entries.copy()
        twin.deleted = self.deleted
        twin.body_bytes = self.body_bytes
        return twin


class Stream:
    """A stream. Read its attributes freely; entries are written through the methods.

    ``nodes`` are in order of their first IDs; a node without entries left may be among them.
    ``groups`` are by name, in no order.
    """

    __slots__ = (
        "entries_added",
        "groups",
        "last_id",
        "length",
        "max_deleted_id",
        "nodes",
        "payload",
    )

    type_name: Final = b"stream"
    may_be_empty: Final = True

    def __init__(self) -> None:
        """Makes an empty stream without groups."""
        self.nodes: list[Node] = []
        self.length = 0
        self.last_id = 0
        self.max_deleted_id = 0
        self.entries_added = 0
        self.groups: dict[bytes, Group] = {}
        self.payload: int | None = None  # see weight.py

    def __len__(self) -> int:
        return self.length

    def __bool__(self) -> bool:
        return True  # also an empty stream is a value

    def __iter__(self) -> Iterator[tuple[int, Fields]]:
        """All entries with their IDs, in order; the stream must not change meanwhile."""
        for node in self.nodes:
            yield from zip(node.ids, node.entries, strict=True)

    def encoding(self, config: Config) -> bytes:
        """What OBJECT ENCODING says."""
        return b"stream"

    def copy(self) -> Stream:
        """An independent stream with the same entries and groups. O(n)."""
        twin = Stream()
        twin.nodes = [node.copy() for node in self.nodes]
        twin.length = self.length
        twin.last_id = self.last_id
        twin.max_deleted_id = self.max_deleted_id
        twin.entries_added = self.entries_added
        twin.groups = {name: group.copy() for name, group in self.groups.items()}
        return twin

    # Writing

    def append(
        self, entry_id: int, content: Fields, node_max_entries: int, node_max_bytes: int
    ) -> None:
        """Adds an entry, whose ID must be greater than ``last_id``. O(fields).

        The limits are those of nodes, 0 for none.
        """
        nodes = self.nodes
        if nodes:
            node = nodes[-1]
            bytes_max = min(node_max_bytes or NODE_MAX_BYTES, NODE_MAX_BYTES)
            if (
                0 < node_max_entries <= len(node.ids) + node.deleted
                or node.size + sum(map(len, content)) >= bytes_max
            ):
                node = Node(entry_id, content[0::2])
                nodes.append(node)
        else:
            node = Node(entry_id, content[0::2])
            nodes.append(node)
        node.add(entry_id, content)
        if self.payload is not None:
            count = len(node.ids)
            self.payload += node.payload_of(count - 1, count)
            if count == 1 and not node.deleted:
                self.payload += node.frame_bytes()
        self.length += 1
        self.entries_added += 1
        self.last_id = entry_id

    def delete(self, entry_id: int) -> bool:
        """Removes an entry and remembers that; False if there is none. O(log n + node)."""
        place = self._find(entry_id)
        if place is None:
            return False
        at, index = place
        node = self.nodes[at]
        if len(node.ids) == 1:
            self._weigh([node], -1)
            del self.nodes[at]
        else:
            self._weigh_part(node, index, index + 1)
            node.drop(index, index + 1)
        self.length -= 1
        self.max_deleted_id = max(self.max_deleted_id, entry_id)
        return True

    def trim_to_length(self, length: int, whole_nodes: bool = False, limit: int = 0) -> int:
        """Removes the first entries until so many are left; returns how many went.

        With ``whole_nodes`` only nodes that go entirely; with a ``limit``, no more entries
        than that. O(nodes).
        """

        return self._trim(
            lambda node: self.length - len(node.ids) >= length,
            lambda node: self.length - length,
            whole_nodes,
            limit,
            length,
        )

    def trim_below(self, min_id: int, whole_nodes: bool = False, limit: int = 0) -> int:
        """Removes the entries with IDs below ``min_id``; otherwise as ``trim_to_length``."""
        return self._trim(
            lambda node: node.last_id < min_id,
            lambda node: bisect_left(node.ids, min_id),
            whole_nodes,
            limit,
        )

    def _trim(
        self,
        all_of: Callable[[Node], bool],
        part_of: Callable[[Node], int],
        whole_nodes: bool,
        limit: int,
        length_min: int = -1,
    ) -> int:
        """Frees nodes from the first on while ``all_of`` them may go, then a part of one."""
        removed = freed = 0
        for node in self.nodes:
            count = len(node.ids)
            if self.length <= length_min or (limit and removed + count > limit):
                break
            whole = all_of(node)
            if whole:
                freed += 1
            elif whole_nodes:
                break
            else:
                count = part_of(node)
                self._weigh_part(node, 0, count)
                node.drop(0, count)
            self.length -= count
            removed += count
            if not whole:
                break
        self._weigh(self.nodes[:freed], -1)
        del self.nodes[:freed]
        return removed

    def trim_some(
        self,
        may_go: Callable[[int], bool],
        length: int,
        min_id: int,
        whole_nodes: bool = False,
        limit: int = 0,
    ) -> list[int]:
        """Removes the first entries that may go, as trimming does; returns their IDs.

        Until `length` are left, and none from `min_id` on. With `whole_nodes` only from nodes
        that trimming would free entirely, and with a `limit` from the first ones with together
        no more entries than that. What may not go is passed over. O(entries passed).
        """
        gone: list[int] = []
        nodes: list[Node] = []
        seen = 0
        for at, node in enumerate(self.nodes):
            surplus = self.length - length
            count = len(node.ids)
            whole = surplus >= count and node.last_id < min_id
            if surplus <= 0 or (limit and seen + count > limit) or (whole_nodes and not whole):
                nodes += self.nodes[at:]
                break
            seen += count
            below = node.ids[: bisect_left(node.ids, min_id)]
            doomed = list(islice(filter(may_go, below), surplus))
            if len(doomed) < count:
                nodes.append(node)
                self._weigh([node], -1)
                node.drop_these(doomed)
                self._weigh([node], 1)
            else:
                self._weigh([node], -1)
            self.length -= len(doomed)
            gone += doomed
            if len(below) < count:
                nodes += self.nodes[at + 1 :]
                break
        self.nodes = nodes
        if gone and self.length and gone[-1] > self.first_id:
            self.max_deleted_id = max(self.max_deleted_id, gone[-1])  # it left a gap
        return gone

    # Memory

    def elements_bytes(self) -> int:
        """Counts what ``payload`` keeps: the nodes with their entries. O(n)."""
        return sum(node.frame_bytes() + node.payload_of(0, len(node.ids)) for node in self.nodes)

    def groups_bytes(self) -> int:
        """What the consumer groups take, about. O(groups)."""
        return sum(group.memory_bytes() for group in self.groups.values())

    def _weigh(self, nodes: Sequence[Node], sign: int) -> None:
        """Accounts for nodes that are about to go (-1) or have come (1)."""
        if self.payload is not None:
            for node in nodes:
                self.payload += sign * (node.frame_bytes() + node.payload_of(0, len(node.ids)))

    def _weigh_part(self, node: Node, start: int, stop: int) -> None:
        """Accounts for entries that are about to go from a node that stays."""
        if self.payload is not None:
            self.payload -= node.payload_of(start, stop)

    # References

    def is_referenced(self, entry_id: int) -> bool:
        """Whether a group has an entry still before it, or pending. O(groups)."""
        return any(
            group.last_id < entry_id or entry_id in group.pending for group in self.groups.values()
        )

    def forget(self, entry_id: int) -> int:
        """Makes an entry pending in no group any more; returns in how many it was. O(groups)."""
        return sum([group.forget(entry_id) for group in self.groups.values()])

    # Reading

    @property
    def first_id(self) -> int:
        """The ID of the first entry there is, 0 if there is none."""
        for node in self.nodes:
            if node.ids:
                return node.ids[0]
        return 0

    @property
    def top_id(self) -> int:
        """The ID of the last entry there is, 0 if there is none."""
        for node in reversed(self.nodes):
            if node.ids:
                return node.ids[-1]
        return 0

    def get(self, entry_id: int) -> Fields | None:
        """The content of an entry, None if there is none. O(log n)."""
        place = self._find(entry_id)
        return None if place is None else self.nodes[place[0]].entries[place[1]]

    def __contains__(self, entry_id: int) -> bool:
        return self._find(entry_id) is not None

    def _find(self, entry_id: int) -> tuple[int, int] | None:
        """Which node has an entry, and at which place in it."""
        at = bisect_right(self.nodes, entry_id, key=_first_id) - 1
        if at < 0:
            return None
        ids = self.nodes[at].ids
        index = bisect_left(ids, entry_id)
        return (at, index) if index < len(ids) and ids[index] == entry_id else None

    def range(
        self, start: int = 0, end: int = ID_MAX, count: int = 0, reverse: bool = False
    ) -> list[tuple[int, Fields]]:
        """The entries from ``start`` to ``end``, both included; at most ``count`` unless it is 0.

        With ``reverse`` from the last one on. O(log n + k).
        """
        found: list[tuple[int, Fields]] = []
        nodes = self.nodes
        low = max(0, bisect_right(nodes, start, key=_first_id) - 1)
        high = bisect_right(nodes, end, key=_first_id)
        for at in range(high - 1, low - 1, -1) if reverse else range(low, high):
            node = nodes[at]
            ids = node.ids
            left = bisect_left(ids, start) if at == low else 0
            right = bisect_right(ids, end) if at == high - 1 else len(ids)
            if count:
                room = count - len(found)
                if reverse:
                    left = max(left, right - room)
                else:
                    right = min(right, left + room)
            pairs = zip(ids[left:right], node.entries[left:right], strict=True)
            found += reversed(list(pairs)) if reverse else pairs
            if count and len(found) >= count:
                break
        return found

    # Reckoning

    def has_deleted_from(self, start: int) -> bool:
        """Whether XDEL may have left a gap among the entries from an ID on."""
        deleted_id = self.max_deleted_id
        if not self.length or not deleted_id or deleted_id < self.first_id:
            return False
        return start <= deleted_id

    def entries_before(self, entry_id: int) -> int | None:
        """How many entries had been added with that one, None where that cannot be told."""
        if not self.entries_added:
            return 0
        if not self.length and entry_id <= self.last_id:
            return self.entries_added
        if entry_id >= self.last_id:
            return self.entries_added if entry_id == self.last_id else None
        first_id = self.first_id
        if not self.max_deleted_id or self.max_deleted_id < first_id:
            if entry_id < first_id:
                return self.entries_added - self.length
            if entry_id == first_id:
                return self.entries_added - self.length + 1
        return None

    def radix_nodes(self) -> int:
        """How many nodes Redis' radix tree would have, estimated from a sample. O(sample)."""
        sample = self.nodes[:_SAMPLE]
        keys = [node.first_id.to_bytes(_KEY_BYTES, "big") for node in sample]
        return _radix_tree_size(keys) * len(self.nodes) // len(keys) if keys else 1

    # What other parts of the server ask of a value

    def digest_parts(self) -> Iterable[bytes]:
        """What DEBUG DIGEST chains: of each entry its ID, fields and values."""
        for entry_id, content in self:
            yield format_id(entry_id).replace(b"-", b".")
            yield from content

    def _check(self) -> None:
        """Asserts the invariants that every method keeps."""
        previous = -1
        for node in self.nodes:
            assert previous < node.first_id
            assert len(node.ids) == len(node.entries)
            assert node.ids == sorted(set(node.ids))
            assert not node.ids or node.first_id <= node.ids[0] <= node.ids[-1] <= node.last_id
            assert all(content and len(content) % 2 == 0 for content in node.entries)
            previous = node.last_id
        assert self.length == sum(len(node.ids) for node in self.nodes)
        assert self.payload is None or self.payload == self.elements_bytes()
        assert self.top_id <= self.last_id
        for group in self.groups.values():
            group._check()


def _radix_tree_size(keys: Sequence[bytes], depth: int = 0) -> int:
    """The nodes of the radix tree of sorted keys that agree in their first ``depth`` bytes.

    A node for what they have in common next, one where they part, and those below it. A key
    by itself has a node for the rest of it and a leaf.
    """
    shared = depth
    while shared < _KEY_BYTES and keys[0][shared] == keys[-1][shared]:
        shared += 1
    size = 1 + (shared > depth)
    if shared < _KEY_BYTES:
        for _, group in groupby(keys, key=itemgetter(shared)):
            size += _radix_tree_size(list(group), shared + 1)
    return size
