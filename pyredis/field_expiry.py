"""Fields of hashes past their time: nobody sees them, and whoever meets one removes it.

A field is *past* when the deadline its hash keeps for it has come. As with keys, what happens
then depends on who we are: a primary removes the field, tells the event `hexpired` and an HDEL
for each field, and where that was the last one deletes the hash (event `del`, told by the same
HDEL). A replica only hides the field and waits for its primary's HDEL. What a primary sends is
applied as if time stood still.

Met are the fields that a command names. Commands that list a hash leave past fields out and
where they are; the active cycle takes them away a page at a time. So HLEN, which counts without
looking, includes them, and a hash may exist though all its fields are past: both as in Redis.

Everything here is only called for hashes that have `deadlines`. Cost: O(1) a field, removing it
O(log n).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pyredis.types.hashes import Hash

if TYPE_CHECKING:
    from pyredis.keyspace import Database

NO_FIELDS: frozenset[bytes] = frozenset()


def visible(db: Database, key: bytes, value: Hash, field: bytes) -> bytes | None:
    """The value of a field, None without one. A field past its time is removed."""
    past = settle(db, key, value, (field,))
    return None if past else value.fields.get(field)


def settle(db: Database, key: bytes, value: Hash, fields: Iterable[bytes]) -> frozenset[bytes]:
    """Removes those of the fields that are past their time, if that is up to us.

    Returns them: on a replica they are still in the hash. Without fields left the hash is not
    in the database any more.
    """
    ks = db.ks
    if value.deadlines is None or ks.ignore_expiry:
        return NO_FIELDS
    when, now_ms = value.deadlines.when, ks.now_ms
    past = [field for field in fields if when.get(field, now_ms + 1) <= now_ms]
    if not past:
        return NO_FIELDS
    past = list(dict.fromkeys(past))
    if ks.may_expire:
        remove_past(db, key, value, past)
    return frozenset(past)


def living(db: Database, value: Hash) -> Mapping[bytes, bytes]:
    """The fields that are not past their time; nothing changes. O(n) if some are, else O(1)."""
    deadlines = value.deadlines
    if deadlines is None or db.ks.ignore_expiry:
        return value.fields
    next_ms, now_ms = deadlines.next_ms(), db.ks.now_ms
    if next_ms is None or next_ms > now_ms:
        return value.fields
    when = deadlines.when
    return {
        field: content
        for field, content in value.fields.items()
        if when.get(field, now_ms + 1) > now_ms
    }


def sampled(db: Database, key: bytes, value: Hash) -> Hash | None:
    """The hash to draw fields from, rid of those past their time; None if nothing is left."""
    alive = living(db, value)
    if alive is value.fields:
        return value
    if db.ks.may_expire:
        remove_past(db, key, value, list(value.fields.keys() - alive.keys()))
    else:
        other = Hash()
        other.fields = dict(alive)
        other.hashtable = value.hashtable
        value = other
    return value if value.fields else None


def remove_past(db: Database, key: bytes, value: Hash, fields: Sequence[bytes]) -> None:
    """Removes fields that are past their time, with one event; the hash too if it is empty."""
    ks = db.ks
    for field in fields:
        value.remove(field)
        ks.propagate(db.index, (b"HDEL", key, field), implied=True)
    ks.expired_fields += len(fields)
    announce_past(db, key, value)


def announce_past(db: Database, key: bytes, value: Hash) -> None:
    """Tells that fields have expired; deletes the hash if it is empty."""
    db.changed(key, "hexpired", 0)
    if not value.fields:
        db.remove(key)
        db.changed(key, "del", 0)


def count_volatile(db: Database) -> int:
    """How many hashes have fields with a TTL. O(those hashes)."""
    data = db.data
    return sum(
        1 for key in db.volatile.when if type(value := data.get(key)) is Hash and value.deadlines
    )
