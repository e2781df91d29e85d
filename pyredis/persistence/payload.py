"""What DUMP replies and RESTORE takes: type and body of a value, version of the format (2 bytes,
little-endian), CRC64 of all that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyredis.persistence.encoding import Encoder, Short, Source, crc64
from pyredis.persistence.rdb import (
    CHECKSUM_BYTES,
    RdbError,
)
from pyredis.persistence.values import (
    VERSION_DEFAULT,
    VERSION_MAX,
    Limits,
    decode_value,
    encode_value,
    value_type,
    version_of,
)

if TYPE_CHECKING:
    from pyredis.keyspace import Value

_VERSION_BYTES: Final = 2


def dump(value: Value, version: int = VERSION_DEFAULT, compresses: bool = True) -> bytes:
    """What DUMP replies: type, body, version, checksum.

    The version is a higher one if that is what it takes to read the value.
    """
    kind = value_type(value, version)
    version = max(version, version_of(kind))
    body = b"".join(encode_value(value, kind, Encoder(compresses)))
    payload = b"%c%b%b" % (kind, body, version.to_bytes(_VERSION_BYTES, "little"))
    return payload + crc64(payload).to_bytes(CHECKSUM_BYTES, "little")


def is_genuine(payload: bytes, checks: bool = True) -> bool:
    """Whether a DUMP payload has its checksum (if that is asked) and a version that can be read."""
    if len(payload) < _VERSION_BYTES + CHECKSUM_BYTES:
        return False
    content, checksum = payload[:-CHECKSUM_BYTES], payload[-CHECKSUM_BYTES:]
    version = int.from_bytes(content[-_VERSION_BYTES:], "little")
    if version > VERSION_MAX:
        return False
    return not checks or crc64(content) == int.from_bytes(checksum, "little")


def restore(payload: bytes, limits: Limits) -> Value | None:
    """The value in a genuine DUMP payload, None for an empty collection. Raises RdbError."""
    source = Source(payload[: -_VERSION_BYTES - CHECKSUM_BYTES])
    try:
        return decode_value(source.byte(), source, limits)
    except Short as error:
        raise RdbError(str(error), source.pos) from None
    except ValueError as error:
        raise RdbError(str(error), source.pos) from None
