"""The RDB file: a snapshot of all data as a row of records. Here are the words of its language.

    "REDIS" version (4 digits)
    aux fields, functions
    for each database: its number, how many keys it has, its keys
    end mark, CRC64 of everything before it (8 bytes, 0 for "not computed"; from version 5 on)

A record begins with an opcode, or with the type of a value, in which case it is a key: type,
name, value. An expiry, an idle time or a use counter may stand in front of the type.

``writer`` makes such files, ``reader`` takes them apart, into the events below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pyredis.keyspace import Value

MAGIC: Final = b"REDIS"
HEADER_BYTES: Final = 9
CHECKSUM_BYTES: Final = 8
CHECKSUM_SINCE: Final = 5

# Opcodes

SLOT_INFO: Final = 244
FUNCTION: Final = 245
FUNCTION_PRE_RELEASE: Final = 246
MODULE_AUX: Final = 247
IDLE: Final = 248
FREQUENCY: Final = 249
AUX: Final = 250
RESIZE: Final = 251
EXPIRY_MS: Final = 252
EXPIRY_S: Final = 253
SELECT: Final = 254
END: Final = 255


class RdbError(ValueError):
    """Data that cannot be read: what is wrong, where, and in which key."""

    def __init__(self, reason: str, offset: int, key: bytes | None = None) -> None:
        """``offset`` is that of the record in question, in bytes from the beginning."""
        self.reason = reason
        self.offset = offset
        self.key = key
        at_key = "" if key is None else f" in key {key!r}"
        super().__init__(f"{reason} at offset {offset}{at_key}")


# Events


class Header(NamedTuple):
    """The beginning of the file."""

    version: int


class Aux(NamedTuple):
    """Something about the file and who wrote it."""

    name: bytes
    value: bytes
    offset: int = 0


class SelectDb(NamedTuple):
    """The keys that follow belong to this database."""

    number: int
    offset: int = 0


class ResizeDb(NamedTuple):
    """How many keys the database has, and how many of them with an expiry."""

    keys: int
    expires: int


class SlotInfo(NamedTuple):
    """How many keys of a cluster slot follow, and how many of them with an expiry."""

    slot: int
    keys: int
    expires: int


class FunctionCode(NamedTuple):
    """A library of functions: its source."""

    code: bytes
    offset: int = 0


class ModuleAux(NamedTuple):
    """Data of a module: its id. They cannot be used; the reader has passed over them."""

    module_id: int
    offset: int = 0


class Run(NamedTuple):
    """Keys in a row that have no marks of use, and the expiries of some of them."""

    values: dict[bytes, Value]
    expires_ms: dict[bytes, int]
    offset: int = 0


class Key(NamedTuple):
    """A key by itself.

    ``value`` is None for an empty collection, which old servers could leave behind.

    With details also the type that the file gives, the bytes its record takes, and for a value
    of a module, which cannot be read, the module's id.
    """

    name: bytes
    value: Value | None
    expiry_ms: int | None = None
    idle_s: int | None = None
    frequency: int | None = None
    offset: int = 0
    kind: int = 0
    size_bytes: int = 0
    module_id: int = 0


class End(NamedTuple):
    """The end; the checksum was right, or is not there."""

    checksum: int


Event = Header | Aux | SelectDb | ResizeDb | SlotInfo | FunctionCode | ModuleAux | Run | Key | End
