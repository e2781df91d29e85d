"""A digest of the data: equal for equal data, whatever the order of keys and elements.

Two servers that hold the same data have the same digest, on whatever they run; tests of
replication and persistence compare them. It is Redis' own (DEBUG DIGEST), bit for bit, and
made of two operations on a digest of 20 bytes:

    blend(digest, data)     digest xor SHA1(data): the order of several blends is lost
    chain(digest, data)     SHA1 of what blend gives: the order is kept

An element with parts (field and value, member and score) chains the parts on a fresh digest,
then blends that one in, and with it a mark if the field has a TTL. A key chains its name and
type, adds its value, and blends in a mark if it has a TTL (when it ends does not matter). A
database chains its number, then blends in every key.

Cost: O(bytes of data), a SHA1 for each element or two.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from hashlib import sha1
from typing import TYPE_CHECKING, Final

from pyredis.keyspace import type_name
from pyredis.types.hashes import Hash
from pyredis.types.lists import List
from pyredis.types.sets import Set
from pyredis.types.zset import ZSet

if TYPE_CHECKING:
    from pyredis.keyspace import Database, Value

_SIZE: Final = 20
ZERO: Final = bytes(_SIZE)
_TYPE_NUMBERS: Final = {
    b"string": 0,
    b"list": 1,
    b"set": 2,
    b"zset": 3,
    b"hash": 4,
    b"stream": 6,
}
_EXPIRES_MARK: Final = b"!!expire!!"
_FIELD_EXPIRES_MARK: Final = b"!!hexpire!!"


def blend(digest: bytes, data: bytes) -> bytes:
    """Adds data whose order does not matter."""
    mixed = int.from_bytes(digest, "big") ^ int.from_bytes(sha1(data).digest(), "big")
    return mixed.to_bytes(_SIZE, "big")


def chain(digest: bytes, data: bytes) -> bytes:
    """Adds data whose order matters."""
    return sha1(blend(digest, data)).digest()


def value_digest(digest: bytes, db: Database, key: bytes, value: Value) -> bytes:
    """Adds a value, its type and whether the key has a TTL."""
    digest = chain(digest, _TYPE_NUMBERS[type_name(value)].to_bytes(4, "big"))
    if isinstance(value, (bytes, bytearray)):
        digest = chain(digest, bytes(value))
    elif isinstance(value, int):
        digest = chain(digest, b"%d" % value)
    elif isinstance(value, List):
        for element in value:
            digest = chain(digest, element)
    elif isinstance(value, Set):
        for member in value.members:
            digest = blend(digest, member)
    elif isinstance(value, ZSet):
        pairs = ((member, b"%.17g" % score) for member, score in value.scores.items())
        digest = _blend_pairs(digest, pairs)
    elif isinstance(value, Hash):
        when = value.deadlines.when if value.deadlines is not None else {}
        digest = _blend_pairs(digest, value.fields.items(), when)
    else:
        for part in value.digest_parts():  # other types say for themselves what they chain
            digest = chain(digest, part)
    if key in db.expires:
        digest = blend(digest, _EXPIRES_MARK)
    return digest


def _blend_pairs(
    digest: bytes, pairs: Iterable[tuple[bytes, bytes]], expiring: Container[bytes] = ()
) -> bytes:
    for name, content in pairs:
        element = chain(chain(ZERO, name), content)
        if name in expiring:
            element = blend(element, _FIELD_EXPIRES_MARK)
        digest = blend(digest, element)
    return digest


def data_digest(dbs: Iterable[Database]) -> bytes:
    """The digest of all data, zero where there is none."""
    digest = ZERO
    for db in dbs:
        if not db.data:
            continue
        digest = chain(digest, db.index.to_bytes(4, "big"))
        for key, value in db.data.items():
            digest = blend(digest, value_digest(chain(ZERO, key), db, key, value))
    return digest
