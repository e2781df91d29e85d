"""Every type of value that Redis has ever written, in bytes as they stand in files of its time.

Types 5, 11, 16 to 19 are bytes of redis-server 7.0.15; the others are made by hand.
"""

from __future__ import annotations

from typing import Any

import pytest

from pyredis.config import Config
from pyredis.persistence.dataset import load
from pyredis.persistence.encoding import crc64
from pyredis.tools.rdb_view import json_value, plain_text

X65 = "78" * 65
LATE_MS = 9_000_000_000_000
ZIPLIST = "10" + "10000000" + "0d000000" + "0200" + "000161" + "03f2" + "ff"

# A stream of one entry and a deleted one, a group, a consumer with that entry pending.
ID = "0000000000000005" + "0000000000000000"
TIME = "5f875d00a2010000"
TIME_MS = int.from_bytes(bytes.fromhex(TIME), "little")
NODE = (
    "28280000000f00"
    + "0101" + "0101" + "0101" + "816602" + "0001"
    + "0201" + "0001" + "0001" + "817602" + "0401"
    + "0301" + "0101" + "0001" + "817702" + "0401"
    + "ff"
)  # fmt: skip
HEAD = "01" + "10" + ID + NODE + "01" + "0600"
PENDING = "01" + ID + TIME + "01"


def stream(since_2: bool, since_3: bool) -> str:
    """The body of the stream, in versions 1 to 3."""
    entry_ids = "0500" + "0600" + "02" if since_2 else ""
    entries_read = "01" if since_2 else ""
    active = TIME if since_3 else ""
    group = "0167" + "0500" + entries_read + PENDING
    return HEAD + entry_ids + "01" + group + "01" + "0163" + TIME + active + "01" + ID


def stream_value(max_deleted_id: str, entries_added: int) -> dict[str, Any]:
    return {
        "entries": [["5-0", [["f", "v"]]]],
        "last_id": "6-0",
        "max_deleted_id": max_deleted_id,
        "entries_added": entries_added,
        "groups": [
            {
                "name": "g",
                "last_id": "5-0",
                "entries_read": 1,
                "pending": [["5-0", "c", TIME_MS, 1]],
                "consumers": [["c", TIME_MS, TIME_MS]],
            }
        ],
    }


# name, first version of the format that has it, type, body, value
GOLDEN: list[tuple[str, int, int, str, Any]] = [
    ("string", 1, 0, "026869", "hi"),
    ("string of 8 bits", 1, 0, "c0fb", "-5"),
    ("string of 16 bits", 1, 0, "c13930", "12345"),
    ("string of 32 bits", 1, 0, "c2ffffff7f", "2147483647"),
    ("string compressed", 1, 0, "c3" + "05" + "14" + "0061" + "e00a00", "a" * 20),
    ("string with 14 bits of length", 1, 0, "4041" + X65, "x" * 65),
    ("string with 32 bits of length", 1, 0, "80000000026869", "hi"),
    ("string with 64 bits of length", 8, 0, "8100000000000000026869", "hi"),
    ("list", 1, 1, "020161c0fb", ["a", "-5"]),
    ("set", 1, 2, "0201610162", ["a", "b"]),
    ("zset with texts", 1, 3, "03" + "016103312e35" + "0162fe" + "0163ff",
     [["c", "-inf"], ["a", 1.5], ["b", "inf"]]),
    ("hash", 2, 4, "0101660176", {"f": "v"}),
    ("zset", 8, 5, "01" + "4041" + X65 + "9a9999999999b93f", [["x" * 65, 0.1]]),
    ("zipmap", 2, 9, "0b" + "01" + "03666f6f" + "0300626172" + "ff", {"foo": "bar"}),
    ("list as ziplist", 4, 10, ZIPLIST, ["a", "1"]),
    ("intset of 16 bits", 4, 11, "0c" + "02000000" + "02000000" + "ffff0100", ["-1", "1"]),
    ("intset of 32 bits", 4, 11, "10" + "04000000" + "02000000" + "ffffffff" + "70110100",
     ["-1", "70000"]),
    ("intset of 64 bits", 4, 11, "10" + "08000000" + "01000000" + "0000000000010000",
     ["1099511627776"]),
    ("zset as ziplist", 4, 12, ZIPLIST, [["a", 1.0]]),
    ("hash as ziplist", 4, 13, ZIPLIST, {"a": "1"}),
    ("quicklist of ziplists", 7, 14, "01" + ZIPLIST, ["a", "1"]),
    ("stream", 9, 15, stream(False, False), stream_value("0-0", 1)),
    ("hash as listpack", 10, 16, "12120000000400816602817602816e020c01ff", {"f": "v", "n": "12"}),
    ("zset as listpack", 10, 17, "15150000000400816202dffd0281610283312e3504ff",
     [["b", -3.0], ["a", 1.5]]),
    ("quicklist", 10, 18, "01" + "02" + "0d0d0000000200816102c12c02ff", ["a", "300"]),
    ("quicklist, one node plain", 10, 18, "02" + "01026869" + "020d0d0000000200816102c12c02ff",
     ["hi", "a", "300"]),
    ("stream of 7.0", 10, 19, stream(True, False), stream_value("6-0", 2)),
    ("set as listpack", 11, 20, "0c" + "0c0000000200" + "816102" + "0101" + "ff", ["a", "1"]),
    ("stream of 7.2", 11, 21, stream(True, True), stream_value("6-0", 2)),
    ("hash with TTLs", 12, 24, "0090cd792f080000" + "02" + "0001660176" + "0101670177",
     {"f": "v", "g": "w"}),
    ("hash with TTLs as listpack", 12, 25, "0090cd792f080000" + "1f" + "1f0000000600"
     + "816702" + "817702" + "f40090cd792f08000009" + "816602" + "817602" + "0001" + "ff",
     {"g": "w", "f": "v"}),
]  # fmt: skip


def read(version: int, kind: int, body: str) -> Any:
    """The value at ``k`` in a file that has no other."""
    data = b"REDIS%04d\xfe\0%c\1k%b\xff" % (version, kind, bytes.fromhex(body))
    if version >= 5:
        data += crc64(data).to_bytes(8, "little")
    value = load([data], Config(), 1).dbs[0].data[b"k"]
    if hasattr(value, "_check"):
        value._check()
    return value


@pytest.mark.parametrize(("version", "kind", "body", "expected"), [row[1:] for row in GOLDEN])
def test_type(version: int, kind: int, body: str, expected: Any) -> None:
    for later in range(version, 13):
        assert json_value(read(later, kind, body), plain_text) == expected


def test_all_types_are_here() -> None:
    modules_and_pre_releases = {6, 7, 8, 22, 23}
    assert {row[2] for row in GOLDEN} == set(range(26)) - modules_and_pre_releases


def test_ttls_of_fields() -> None:
    for _, version, kind, body, _ in GOLDEN:
        if kind >= 24:
            assert read(version, kind, body).deadlines.when == {b"g": LATE_MS}
