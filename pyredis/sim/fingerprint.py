"""All that two copies of the data must have in common, as one hash.

DEBUG DIGEST leaves out when keys and fields expire, and of a stream everything but its entries;
a copy that is wrong in this shows it only later, when the copy is promoted. So this hashes the
digest together with what it leaves out. Not compared: what is a server's own (idle times, when a
consumer was last seen); ``entries_read``, an estimate that replicas do without; consumers that have
nothing, of whom XCLAIM and XAUTOCLAIM do not tell replicas; and when a pending entry was delivered,
since XCLAIM takes no time that is to come by the clock of the replica.

Cost: that of the digest, and a sort of the keys that have a TTL and of all streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pyredis.digest import data_digest
from pyredis.types.hashes import Hash
from pyredis.types.streams import Stream

if TYPE_CHECKING:
    from pyredis.keyspace import Database


def fingerprint(dbs: Iterable[Database]) -> str:
    """The hash, in hex."""
    every = list(dbs)
    print_ = sha256(data_digest(every))
    for db in every:
        print_.update(repr((db.index, sorted(db.expires.items()), *_left_out(db))).encode())
    return print_.hexdigest()


def _left_out(db: Database) -> Iterator[Any]:
    data = db.data
    for key in sorted(db.volatile.when):
        value = data.get(key)
        if type(value) is Hash and value.deadlines:
            yield key, sorted(value.deadlines.when.items())
    for key in sorted(key for key, value in data.items() if type(value) is Stream):
        stream = data[key]
        assert isinstance(stream, Stream)
        yield key, stream.last_id, stream.max_deleted_id, stream.entries_added, _groups(stream)


def _groups(stream: Stream) -> list[Any]:
    return [
        (
            name,
            group.last_id,
            sorted(
                (entry_id, nack.consumer, nack.delivered)
                for entry_id, nack in group.pending.items()
            ),
        )
        for name, group in sorted(stream.groups.items())
    ]
