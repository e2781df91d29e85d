"""``pyredis rdb``: look into any Redis' dump, without a server. Key by key, never the whole.

    --keys     a line for each key, tabs between: database, type, elements, bytes in the file,
               TTL in ms (-1 none, 0 over), name
    --json     a line of JSON for each key:
               {"db": 0, "key": "k", "type": "hash", "expires_at_ms": null, "value": {"f": "v"}}
    --memory   what the keys would take in this server's memory: by type, by prefix, the largest;
               with --csv a line for each key instead

Strings in JSON. Bytes that are UTF-8 stand as text. A byte that is not, 0xNN, becomes the
single surrogate ``\\udcNN``, which no text holds, so nothing is lost: in Python
``json.loads(line)["key"].encode("utf-8", "surrogateescape")`` gives the bytes back. For programs
that do not take such escapes ``--base64`` writes every string of the data in base64. Values:

    string     "text"                         list, set   ["a", "b"]
    hash       {"field": "value"}; TTLs of fields apart, "field_expires_at_ms": {"field": 17...}
    zset       [["member", 1.5]], infinite scores as "inf" and "-inf"
    stream     {"entries": [["1-1", [["field", "value"]]]], "last_id": "1-1", ..., "groups": [...]}
    module     null, with "module": its name: values of modules cannot be read

In --keys and --memory names that cannot be printed are quoted as redis-cli does.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import json
import math
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, TextIO

from pyredis.account import EXPIRY_BYTES, KEY_BYTES, value_bytes
from pyredis.config import Config
from pyredis.glob import compile_glob
from pyredis.keyspace import Value
from pyredis.persistence.rdb import Event, Key, RdbError, SelectDb
from pyredis.persistence.reader import Reader
from pyredis.tools.console import Arguments, Progress, ToolError, chunks, human, open_file, shown
from pyredis.tools.survey import elements, module_name, type_name
from pyredis.types.hashes import Hash
from pyredis.types.lists import List
from pyredis.types.sets import Set
from pyredis.types.stream_ids import format_id
from pyredis.types.streams import Stream
from pyredis.types.weight import weight
from pyredis.types.zset import ZSet

Text = Callable[[bytes], str]
Record = tuple[int, Key]
_PREFIXES_MAX: Final = 100_000  # more are counted under one name


# Reading


def records(path: str) -> Iterator[Record]:
    """The keys of a file, each with the number of its database. Raises ToolError for damage."""
    reader = Reader(Config(), details=True)
    file, size = open_file(path)
    progress = Progress(size)
    db = done_bytes = keys = 0
    try:
        with file:
            for part in chunks(file):
                done_bytes += len(part)
                progress.show(done_bytes, keys)
                for event in reader.feed(part):
                    if isinstance(event, Key):
                        keys += 1
                        yield db, event
                    elif isinstance(event, SelectDb):
                        db = event.number
                if reader.done:
                    return
            for event in _rest(reader):
                if isinstance(event, Key):
                    yield db, event
                elif isinstance(event, SelectDb):
                    db = event.number
    except RdbError as error:
        raise ToolError(f"{path}: {error}") from error
    finally:
        progress.clear()


def _rest(reader: Reader) -> Iterator[Event]:
    """What comes after the last chunk; raises RdbError if that is not the end."""
    while not reader.done:
        yield from reader.finish()


def filtered(
    found: Iterator[Record], dbs: list[int] | None, pattern: str | None, kinds: list[str] | None
) -> Iterator[Record]:
    """Those of certain databases, names and types."""
    matches = compile_glob(pattern.encode("utf-8", "surrogateescape")) if pattern else None
    for db, key in found:
        if dbs and db not in dbs:
            continue
        if matches is not None and not matches(key.name):
            continue
        if kinds and type_name(key.value, key.kind) not in kinds:
            continue
        yield db, key


# --keys


def list_keys(found: Iterator[Record], out: TextIO, now_ms: int) -> None:
    """One line a key."""
    for db, key in found:
        ttl_ms = -1 if key.expiry_ms is None else max(0, key.expiry_ms - now_ms)
        kind = type_name(key.value, key.kind)
        out.write(
            f"{db}\t{kind}\t{elements(key.value)}\t{key.size_bytes}\t{ttl_ms}\t{shown(key.name)}\n"
        )


# --json


def plain_text(data: bytes) -> str:
    """UTF-8, other bytes as single surrogates."""
    return data.decode("utf-8", "surrogateescape")


def base64_text(data: bytes) -> str:
    """Base64."""
    return b64encode(data).decode()


def write_json(found: Iterator[Record], out: TextIO, text: Text) -> None:
    """One line a key."""
    for db, key in found:
        record: dict[str, Any] = {
            "db": db,
            "key": text(key.name),
            "type": type_name(key.value, key.kind),
            "expires_at_ms": key.expiry_ms,
        }
        if key.module_id:
            record["module"] = module_name(key.module_id)
        if isinstance(key.value, Hash) and key.value.deadlines is not None:
            record["field_expires_at_ms"] = {
                text(field): when_ms for field, when_ms in key.value.deadlines.when.items()
            }
        record["value"] = json_value(key.value, text)
        out.write(json.dumps(record, allow_nan=False) + "\n")


def json_value(value: Value | None, text: Text) -> Any:
    """A value in the form that JSON takes."""
    if value is None:
        return None
    if isinstance(value, int):
        return text(b"%d" % value)
    if isinstance(value, (bytes, bytearray)):
        return text(bytes(value))
    if isinstance(value, List):
        return list(map(text, value))
    if isinstance(value, Set):
        return list(map(text, value.members))
    if isinstance(value, Hash):
        return {text(field): text(content) for field, content in value.fields.items()}
    if isinstance(value, ZSet):
        return [
            [text(member), score if math.isfinite(score) else str(score)]
            for score, member in value.order
        ]
    assert isinstance(value, Stream)
    return _json_stream(value, text)


def _json_stream(stream: Stream, text: Text) -> dict[str, Any]:
    def pairs(fields: Any) -> list[list[str]]:
        flat = list(map(text, fields))
        return [list(pair) for pair in zip(flat[0::2], flat[1::2], strict=True)]

    def name(entry_id: int) -> str:
        return format_id(entry_id).decode()

    return {
        "entries": [[name(entry_id), pairs(fields)] for entry_id, fields in stream],
        "last_id": name(stream.last_id),
        "max_deleted_id": name(stream.max_deleted_id),
        "entries_added": stream.entries_added,
        "groups": [
            {
                "name": text(group_name),
                "last_id": name(group.last_id),
                "entries_read": group.entries_read,
                "pending": [
                    [name(entry_id), text(nack.consumer), nack.time_ms, nack.delivered]
                    for entry_id, nack in group.pending.items()
                ],
                "consumers": [
                    [text(consumer.name), consumer.seen_ms, consumer.active_ms]
                    for consumer in group.consumers.values()
                ],
            }
            for group_name, group in stream.groups.items()
        ],
    }


# --memory


def memory_bytes(key: Key) -> int:
    """What a key takes in this server, about: name, value, and its share of the tables."""
    size = weight(key.name) + KEY_BYTES
    if key.expiry_ms is not None:
        size += EXPIRY_BYTES
    return size if key.value is None else size + value_bytes(key.value)


def write_csv(found: Iterator[Record], out: TextIO) -> None:
    """One line a key, with the columns that other tools for dumps have."""
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(
        "database type key size_in_bytes encoding num_elements len_largest_element expiry".split()
    )
    config = Config()
    for db, key in found:
        lines.writerow(
            [
                db,
                type_name(key.value, key.kind),
                shown(key.name),
                memory_bytes(key),
                _encoding(key.value, config),
                elements(key.value),
                _largest_element(key.value),
                "" if key.expiry_ms is None else key.expiry_ms,
            ]
        )


def _encoding(value: Value | None, config: Config) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return "int"
    if isinstance(value, (bytes, bytearray)):
        return "embstr" if len(value) <= 44 else "raw"
    name: bytes = value.encoding(config)
    return name.decode()


def _largest_element(value: Value | None) -> int:
    if isinstance(value, Hash):
        return max(map(len, [*value.fields, *value.fields.values()]), default=0)
    if isinstance(value, List):
        return max(map(len, value), default=0)
    if isinstance(value, Set):
        return max(map(len, value.members), default=0)
    if isinstance(value, ZSet):
        return max(map(len, value.scores), default=0)
    return 0 if isinstance(value, Stream) else elements(value)


class Totals:
    """Sums by type and by prefix, and the largest keys."""

    def __init__(self, largest: int, separator: bytes, depth: int) -> None:
        self._count = largest
        self._separator = separator
        self._depth = depth
        self.bytes = 0
        self.keys = 0
        self.bytes_by_type: Counter[str] = Counter()
        self.keys_by_type: Counter[str] = Counter()
        self.bytes_by_prefix: Counter[bytes] = Counter()
        self.keys_by_prefix: Counter[bytes] = Counter()
        self.largest: list[tuple[int, int, bytes, str]] = []

    def add(self, db: int, key: Key) -> None:
        """Count a key."""
        size = memory_bytes(key)
        kind = type_name(key.value, key.kind)
        self.bytes += size
        self.keys += 1
        self.bytes_by_type[kind] += size
        self.keys_by_type[kind] += 1
        prefix = self.prefix(key.name)
        self.bytes_by_prefix[prefix] += size
        self.keys_by_prefix[prefix] += 1
        item = (size, db, key.name, kind)
        if len(self.largest) < self._count:
            heapq.heappush(self.largest, item)
        elif self._count:
            heapq.heappushpop(self.largest, item)

    def prefix(self, name: bytes) -> bytes:
        """The beginning of a name, up to and with the separator; b"" if it has none."""
        at = 0
        for _ in range(self._depth):
            found = name.find(self._separator, at)
            if found < 0:
                break
            at = found + len(self._separator)
        prefix = name[:at]
        if prefix in self.bytes_by_prefix or len(self.bytes_by_prefix) < _PREFIXES_MAX:
            return prefix
        return b"(others)"

    def show(self, out: TextIO, rows: int) -> None:
        """Print it all."""
        out.write(f"{self.keys} keys, about {human(self.bytes)} in this server's memory\n")
        if not self.keys:
            return
        out.write(f"\n{'type':<12}{'keys':>12}{'memory':>10}{'of all':>9}\n")
        for kind, size in self.bytes_by_type.most_common():
            out.write(self._line(f"{kind:<12}", self.keys_by_type[kind], size))
        out.write(f"\n{'prefix':<32}{'keys':>12}{'memory':>10}{'of all':>9}\n")
        for prefix, size in self.bytes_by_prefix.most_common(rows):
            name = shown(prefix) if prefix else "(none)"
            out.write(self._line(f"{name:<32}", self.keys_by_prefix[prefix], size))
        if len(self.bytes_by_prefix) > rows:
            out.write(f"... and {len(self.bytes_by_prefix) - rows} more\n")
        out.write(f"\nlargest keys\n{'memory':>10}  db  type    name\n")
        for size, db, key, kind in sorted(self.largest, reverse=True):
            out.write(f"{human(size):>10}  {db:<2}  {kind:<6}  {shown(key)}\n")

    def _line(self, head: str, keys: int, size: int) -> str:
        return f"{head}{keys:>12}{human(size):>10}{100 * size / self.bytes:>8.1f}%\n"


# The command


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError("expected a number from 0 on")
    return int(text)


def main(arguments: list[str], program: str = "pyredis rdb") -> int:
    """Entry point; returns the exit status: 1 for a damaged file."""
    parser = Arguments(
        program,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--keys", action="store_true", help="one line a key (the default)")
    form.add_argument("--json", action="store_true", help="everything, one line of JSON a key")
    form.add_argument("--memory", action="store_true", help="what it takes in this server")
    parser.add_argument("--base64", action="store_true", help="with --json: strings in base64")
    parser.add_argument("--csv", action="store_true", help="with --memory: a line for each key")
    parser.add_argument("--top", type=_count, default=20, metavar="N", help="how many rows (20)")
    parser.add_argument("--separator", default=":", help="ends a prefix (:)")
    parser.add_argument("--depth", type=_count, default=1, help="separators in a prefix (1)")
    parser.add_argument("--db", type=_count, action="append", help="only this database; repeatable")
    parser.add_argument("--match", metavar="GLOB", help="only keys with such names")
    parser.add_argument(
        "--type",
        action="append",
        metavar="TYPE",
        choices=("string", "list", "set", "zset", "hash", "stream", "module", "empty"),
        help="only this type; repeatable",
    )
    options = parser.parse_args(arguments)
    if (options.csv and not options.memory) or (options.base64 and not options.json):
        parser.error("--csv goes with --memory, --base64 with --json")
    if not options.separator:
        parser.error("--separator must not be empty")
    found = filtered(records(options.file), options.db, options.match, options.type)
    out = sys.stdout
    if options.json:
        write_json(found, out, base64_text if options.base64 else plain_text)
    elif options.memory and options.csv:
        write_csv(found, out)
    elif options.memory:
        separator = options.separator.encode("utf-8", "surrogateescape")
        totals = Totals(options.top, separator, options.depth)
        for db, key in found:
            totals.add(db, key)
        totals.show(out, options.top)
    else:
        list_keys(found, out, time.time_ns() // 1_000_000)
    return 0
