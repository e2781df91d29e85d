"""RDB files: exchanged with a real server, of all versions, cut anywhere, damaged."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyredis.config import Config
from pyredis.digest import data_digest
from pyredis.keyspace import Keyspace
from pyredis.persistence.dataset import Dataset, Loader, load
from pyredis.persistence.encoding import Encoder, Short, Source, crc64, encode_length
from pyredis.persistence.rdb import (
    Aux,
    End,
    FunctionCode,
    Header,
    Key,
    ModuleAux,
    RdbError,
    ResizeDb,
    Run,
    SelectDb,
    SlotInfo,
)
from pyredis.persistence.reader import Reader
from pyredis.persistence.writer import Marks, Options, write
from pyredis.sim.disk import SimDisk
from tests.samples import VALUES
from tests.simserver import SimServer
from tests.support import EngineClient, RealRedis, new_client
from tests.test_listpack import ziplist

LIMITS = Config()
LIBRARY = "#!lua name=lib\nredis.register_function('f', function() return 1 end)"


def file(*records: bytes, version: int = 10) -> bytes:
    """A file with these records, complete with its checksum."""
    body = b"REDIS%04d" % version + b"".join(records) + b"\xff"
    return body + (crc64(body).to_bytes(8, "little") if version >= 5 else b"")


def read(data: bytes) -> list[Any]:
    """All events of a file but the header and the end."""
    reader = Reader(LIMITS)
    events = reader.feed(data) + reader.finish()
    assert isinstance(events[0], Header)
    assert isinstance(events[-1], End)
    return events[1:-1]


def values_of(dataset: Dataset, number: int = 0) -> dict[bytes, Any]:
    return dataset.dbs[number].data


def whole(client: EngineClient, options: Options = Options()) -> bytes:  # noqa: B008
    return b"".join(write(client.engine.ks.dbs, options=options))


def fill(client: Any) -> None:
    """Every sample value under its own name, some in another database, some with a TTL."""
    for at, (name, commands) in enumerate(VALUES.items()):
        client("SELECT", 3 if at % 4 == 0 else 0)
        for command in commands:
            client(*(name if part == "k" else part for part in command))
        if at % 3 == 0:
            client("PEXPIRE", name, 10_000_000)
    client("SELECT", 0)


# Both ways with a real server


@pytest.fixture
def real(real_redis: RealRedis) -> Iterator[Any]:
    connection = real_redis.client()
    connection("FLUSHALL")
    connection("FUNCTION", "FLUSH")
    yield connection
    connection("FLUSHALL")
    connection("FUNCTION", "FLUSH")
    connection.close()


def test_we_load_the_file_of_a_real_server(real: Any, real_redis: RealRedis) -> None:
    fill(real)
    real("FUNCTION", "LOAD", LIBRARY)
    real("SAVE")
    data = (Path(real_redis.folder) / "dump.rdb").read_bytes()
    client = new_client()
    dataset = load([data], client.engine.config, databases=16)
    assert dataset.aux[b"redis-ver"] == b"7.0.15"
    assert dataset.functions == [LIBRARY.encode()]
    assert dataset.keys == len(VALUES)
    dataset.install(client.engine.ks)
    client.engine.ks._check()
    assert data_digest(client.engine.ks.dbs).hex().encode() == real("DEBUG", "DIGEST")
    assert client.engine.ks.dbs[0].expires
    for key in client("KEYS", "*"):
        assert client("PEXPIRETIME", key) == real("PEXPIRETIME", key)


@pytest.mark.parametrize(("compresses", "version"), [(True, 10), (False, 10), (True, 9)])
def test_a_real_server_loads_our_file(
    real: Any, real_redis: RealRedis, compresses: bool, version: int
) -> None:
    fill(real)
    names = set(VALUES) - {"changed-in-place", "zeros"}
    real("SELECT", 3)
    encodings = {name: real("OBJECT", "ENCODING", name) for name in names}
    real("SELECT", 0)
    encodings |= {name: real("OBJECT", "ENCODING", name) for name in names if real("EXISTS", name)}
    client = new_client()
    client.clock.time_ms = time.time_ns() // 1_000_000
    fill(client)
    data = b"".join(
        write(
            client.engine.ks.dbs,
            aux=[(b"redis-ver", b"7.2.4"), (b"redis-bits", b"64")],
            functions=[LIBRARY.encode()] if version >= 10 else [],
            options=Options(version, compresses),
        )
    )
    (Path(real_redis.folder) / "dump.rdb").write_bytes(data)
    assert real("DEBUG", "RELOAD", "NOSAVE") == b"OK"
    assert data_digest(client.engine.ks.dbs).hex().encode() == real("DEBUG", "DIGEST")
    assert version < 10 or real("FUNCTION", "LIST")[0][1] == b"lib"
    for key in client("KEYS", "*"):
        assert real("PEXPIRETIME", key) == client("PEXPIRETIME", key)
        if key.decode() in names:
            assert real("OBJECT", "ENCODING", key) == encodings[key.decode()], key


# Our own files


@pytest.mark.parametrize("version", [9, 10, 11, 12])
def test_round_trip(version: int) -> None:
    client, other = new_client(), new_client()
    fill(client)
    data = whole(client, Options(version))
    dataset = load([data], other.engine.config, databases=16)
    dataset.install(other.engine.ks)
    other.engine.ks._check()
    assert data_digest(other.engine.ks.dbs) == data_digest(client.engine.ks.dbs)
    for key in client("KEYS", "*"):
        if key not in (b"changed-in-place", b"zeros"):
            assert other("OBJECT", "ENCODING", key) == client("OBJECT", "ENCODING", key)
        assert other("PEXPIRETIME", key) == client("PEXPIRETIME", key)


def test_writes_no_other_versions() -> None:
    for version in (8, 13):
        with pytest.raises(ValueError, match="version"):
            next(write([], options=Options(version)))


def test_what_the_version_cannot_tell_is_written_and_told_once() -> None:
    client, other = new_client(), new_client()
    for name in ("h1", "h2"):
        client("HSET", name, "f", "v")
        client("HEXPIRE", name, 1000, "FIELDS", 1, "f")
    told: list[str] = []
    for version in (9, 10, 12):
        options = Options(version)
        data = b"".join(write(client.engine.ks.dbs, options=options, on_newer=told.append))
        load([data], other.engine.config, 16).install(other.engine.ks)
        assert other("HTTL", "h2", "FIELDS", 1, "f") == [1000]
    assert told == ["TTLs of fields, in key 'h1'"] * 2
    told.clear()
    list(write([], functions=[b"#!lua"] * 2, options=Options(9), on_newer=told.append))
    assert told == ["functions"]


def test_a_small_set_of_integers_that_is_no_intset_stays_none() -> None:
    client, other = new_client(), new_client()
    client("SADD", "k", "1", "a")
    client("SREM", "k", "a")
    load([whole(client, Options(11))], other.engine.config, 16).install(other.engine.ks)
    assert other("OBJECT", "ENCODING", "k") == client("OBJECT", "ENCODING", "k") == b"listpack"


def test_numbers_and_long_elements_among_short_ones() -> None:
    client, other = new_client(), new_client()
    client("HSET", "h", "n", 5, "long", "x" * 60, "longer", "y" * 300, "", "")
    client("RPUSH", "l", -7, "x" * 70, 70000)
    client("ZADD", "z", 1, "12", 2, "x" * 50)
    client("SET", "num", 12)
    client("SET", "text", "0012")
    for options in (Options(), Options(compresses=False)):
        load([whole(client, options)], other.engine.config, 16).install(other.engine.ks)
        assert data_digest(other.engine.ks.dbs) == data_digest(client.engine.ks.dbs)


def test_details_for_tools() -> None:
    data = file(b"\xfe\0", b"\0\1a\1v", b"\xfc" + bytes(8) + b"\4\1h\1\1f\1v")
    reader = Reader(LIMITS, details=True)
    events = reader.feed(data) + reader.finish()
    keys = [event for event in events if isinstance(event, Key)]
    assert [(key.name, key.kind, key.size_bytes, key.offset) for key in keys] == [
        (b"a", 0, 5, 11), (b"h", 4, 17, 16),
    ]  # fmt: skip


def test_empty_file() -> None:
    assert b"".join(write([])) == file()
    assert b"".join(write([], options=Options(checksum=False))) == file()[:-8] + bytes(8)
    assert load([file()], LIMITS, 16).keys == 0


def test_strings_written_by_the_thousand(client: EngineClient) -> None:
    for at in range(3000):
        client("SET", f"key:{at}", f"value:{at}" if at % 1500 else "x" * at)
    client("SET", 123, 456)
    data = whole(client)
    dataset = load([data], LIMITS, 16)
    assert values_of(dataset) == {**client.engine.ks.dbs[0].data, b"123": 456}
    assert len(data) < sum(4 + len(f"key:{at}value:{at}") for at in range(3000)) + 3200


@pytest.mark.parametrize("marks", list(Marks))
def test_marks_of_use(marks: Marks) -> None:
    policy = "allkeys-lfu" if marks is Marks.FREQUENCY else "allkeys-lru"
    client, other = new_client(maxmemory_policy=policy), new_client(maxmemory_policy=policy)
    for engine in (client.engine, other.engine):
        engine.ks.lfu = marks is Marks.FREQUENCY
    client("SET", "old", "v")
    client("RPUSH", "list", "a")
    ks = client.engine.ks
    ks.dbs[0].set_idle_seconds(b"old", 500)
    if ks.lfu:
        ks.dbs[0].set_frequency(b"old", 77)
    data = whole(client, Options(marks=marks))
    load([data], LIMITS, 16).install(other.engine.ks)
    db = other.engine.ks.dbs[0]
    assert db.idle_seconds(b"old") == (500 if marks is Marks.IDLE else db.idle_seconds(b"old"))
    assert not ks.lfu or db.frequency(b"old") == 77


def test_installing_replaces_everything(client: EngineClient) -> None:
    client("SET", "old", "v", "EX", 100)
    client("SELECT", 5)
    client("SET", "old", "v")
    client("SELECT", 0)
    waiting = client.another()
    waiting.send("BLPOP", "list", 0)
    load([file(b"\x01\4list\1\1a", b"\0\3new\1v")], LIMITS, 16).install(client.engine.ks)
    client.tick()
    assert waiting.replies() == [[b"list", b"a"]]
    assert client("KEYS", "*") == [b"new"]
    client("SELECT", 5)
    assert client("DBSIZE") == 0
    client.engine.ks._check()


# Versions, by hand


def test_file_of_the_first_version() -> None:
    data = file(
        b"\xfe\0",
        b"\0\1a\1v",
        b"\xfd\x10\0\0\0\0\1e\xc0\xfb",
        b"\1\1l\2\1x\xc1\x39\x30",
        b"\2\1s\2\1x\1y",
        b"\3\1z\4\1a\x031.5\1b\xfe\1c\xff\1d\x012",
        b"\4\1h\1\1f\1v",
        b"\xfe\5",
        b"\0\1b\x80\0\0\0\1w",
        version=1,
    )
    dataset = load([data], LIMITS, 16)
    found = values_of(dataset)
    assert found[b"a"] == b"v"
    assert found[b"e"] == -5
    assert dataset.dbs[0].expires == {b"e": 16_000}
    assert list(found[b"l"]) == [b"x", b"12345"]
    assert found[b"s"].listing() == [b"x", b"y"]
    assert found[b"z"].scores == {b"a": 1.5, b"b": float("inf"), b"c": float("-inf"), b"d": 2.0}
    assert found[b"h"].fields == {b"f": b"v"}
    assert values_of(dataset, 5) == {b"b": b"w"}


def test_blocks_of_old_versions() -> None:
    pairs = ziplist(b"\1a", b"\xf2", b"\1b", b"\0032.5")
    string = Encoder(compresses=True).string
    data = file(
        b"\x09\1m" + string(b"\2\3foo\3\0bar\5hello\5\0world\xff"),
        b"\x0a\1l" + string(ziplist(b"\1a", b"\xf2")),
        b"\x0b\1i" + string(b"\2\0\0\0\2\0\0\0\xff\xff\1\0"),
        b"\x0c\1z" + string(pairs),
        b"\x0d\1h" + string(pairs),
        b"\x0e\1q\2" + string(ziplist(b"\1a")) + string(ziplist(b"\1b")),
        version=6,
    )
    found = values_of(load([data], LIMITS, 16))
    assert found[b"m"].fields == {b"foo": b"bar", b"hello": b"world"}
    assert list(found[b"l"]) == [b"a", b"1"]
    assert found[b"i"].listing() == [b"-1", b"1"]
    assert found[b"z"].scores == {b"a": 1.0, b"b": 2.5}
    assert found[b"h"].fields == {b"a": b"1", b"b": b"2.5"}
    assert list(found[b"q"]) == [b"a", b"b"]
    encodings = {key: value.encoding(LIMITS) for key, value in found.items()}
    assert encodings == {
        b"m": b"listpack", b"l": b"listpack", b"i": b"intset", b"z": b"listpack",
        b"h": b"listpack", b"q": b"quicklist",
    }  # fmt: skip


def test_stream_of_redis_5(client: EngineClient) -> None:
    node = b"\x01\1\0\1\1\1\x81f\2\0\1\2\1\0\1\0\1\x81v\2\4\1\xff"
    node = (len(node) + 6).to_bytes(4, "little") + b"\x0a\0" + node
    key = (5 << 64).to_bytes(16, "big")
    pending = key + (9000).to_bytes(8, "little")
    data = file(
        b"\x0f\1s\1\x10" + key + encode_length(len(node)) + node + b"\1\5\0"
        b"\1\1g\5\0\1" + pending + b"\2\1\1c" + (8000).to_bytes(8, "little") + b"\1" + key,
        version=9,
    )
    load([data], LIMITS, 16).install(client.engine.ks)
    assert client("XRANGE", "s", "-", "+") == [[b"5-0", [b"f", b"v"]]]
    assert client("XPENDING", "s", "g", "-", "+", 5)[0][:2] == [b"5-0", b"c"]
    assert client("XINFO", "GROUPS", "s")[0][-4:] == [b"entries-read", 1, b"lag", 0]


def test_records_that_are_no_keys() -> None:
    data = file(
        b"\xfa\3ver\xc0\x07",
        b"\xf5\x05#!lua",
        b"\xf7\x81" + b"\1" * 8 + b"\2\1",
        b"\1\5\2\x40\x50\3" + bytes(4) + b"\4" + bytes(8) + b"\5\1s\0",
        b"\xfe\2",
        b"\xfb\x05\1",
        b"\xf4\x40\x64\5\1",
        b"\xf8\x05\xfc" + (1000).to_bytes(8, "little") + b"\0\1a\1v",
        b"\xf9\x09\0\1b\1v",
        version=12,
    )
    assert read(data) == [
        Aux(b"ver", b"7", 9),
        FunctionCode(b"#!lua", data.index(b"\xf5")),
        ModuleAux(0x0101010101010101, data.index(b"\xf7")),
        SelectDb(2, data.index(b"\xfe\2")),
        ResizeDb(5, 1),
        SlotInfo(100, 5, 1),
        Key(b"a", b"v", expiry_ms=1000, idle_s=5, offset=data.index(b"\xf8\x05\xfc")),
        Key(b"b", b"v", frequency=9, offset=data.index(b"\xf9\x09")),
    ]


def test_keys_without_marks_in_a_row_are_one_event() -> None:
    long = b"n" * 100
    data = file(
        b"\0\1a\1v",
        b"\0\xc0\x05\xc1\0\1",
        b"\0\x40\x64" + long + b"\1w",
        b"\1\1l\1\1a",
        b"\xf8\x05\0\1m\1v",
        b"\xfc" + (1000).to_bytes(8, "little") + b"\0\1b\1v",
    )
    first, marked, last = read(data)
    assert list(first.values.pop(b"l")) == [b"a"]
    assert first == Run({b"a": b"v", b"5": 256, long: b"w"}, {}, offset=9)
    assert marked == Key(b"m", b"v", idle_s=5, offset=len(data) - 30)
    assert last == Run({b"b": b"v"}, {b"b": 1000}, offset=len(data) - 23)


def test_what_follows_the_end_is_left_alone() -> None:
    for data in (file(b"\0\1a\1v"), file(b"\0\1a\1v", version=4)):
        reader = Reader(LIMITS)
        reader.feed(data + b"*1\r\n")
        reader.feed(b"$4\r\nPING\r\n")
        assert reader.done
        assert reader.rest == b"*1\r\n$4\r\nPING\r\n"
        assert reader.offset == len(data)


# Keys that are not taken over


def test_expired_keys_and_empty_values_are_left_out() -> None:
    def expiring(name: bytes, when_ms: int) -> bytes:
        return b"\xfc" + when_ms.to_bytes(8, "little") + b"\0\1" + name + b"\1v"

    data = file(expiring(b"a", 999), expiring(b"b", 1000), b"\1\1e\0", b"\4\1h\0")
    dataset = load([data], LIMITS, 16, drop_before_ms=1000)
    assert values_of(dataset) == {b"b": b"v"}
    assert (dataset.expired, dataset.skipped_keys) == (1, [b"e", b"h"])
    assert load([data], LIMITS, 16).keys == 2


def test_the_log_names_empty_keys() -> None:
    disk = SimDisk()
    disk.create("dump.rdb").write(file(b"\1\1e\0", b"\4\1h\0", b"\0\1a\1v"))
    for hidden in ("no", "yes"):
        made = SimServer(disk, appendonly="no", hide_user_data_from_log=hidden)
        assert ("rdbLoadObject skipping empty key: h" in made.log) == (hidden == "no")
        assert any(line.endswith("keys expired: 0, empty keys skipped: 2.") for line in made.log)


# Cut anywhere


def test_byte_by_byte() -> None:
    client = new_client()
    for name in ("stream", "list-edges", "zset", "hash", "set", "intset-64", "hll-sparse", "zeros"):
        for command in VALUES[name]:
            client(*(name if part == "k" else part for part in command))
    client("SET", "plain", "v", "EX", 100)
    data = whole(client)
    loader = Loader(LIMITS, 16)
    for at in range(len(data)):
        loader.feed(data[at : at + 1])
    assert whole_again(loader.finish()) == data_digest(client.engine.ks.dbs)


def test_cut_at_random(client: EngineClient) -> None:
    fill(client)
    data = whole(client)
    rng = random.Random(3)
    for _ in range(5):
        cuts = sorted(rng.sample(range(len(data)), rng.randint(1, 200)))
        loader = Loader(LIMITS, 16)
        for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
            loader.feed(data[start:stop])
        assert whole_again(loader.finish()) == data_digest(client.engine.ks.dbs)


def whole_again(dataset: Dataset) -> bytes:
    """The digest of a dataset once it is installed."""
    ks = Keyspace(16, random.Random(0))
    dataset.install(ks)
    return data_digest(ks.dbs)


def test_a_large_value_in_small_chunks_is_not_read_again_and_again(client: EngineClient) -> None:
    client("RPUSH", "l", *(f"element:{at}" for at in range(50_000)))
    data = whole(client)
    loader = Loader(LIMITS, 16)
    tries = 0
    parse = loader.reader._parse

    def counted() -> list[Any]:
        nonlocal tries
        tries += 1
        return parse()

    loader.reader._parse = counted  # type: ignore[method-assign]
    for at in range(0, len(data), 1000):
        loader.feed(data[at : at + 1000])
    assert loader.finish().keys == 1
    assert tries < 20


# Damage


@pytest.mark.parametrize(
    ("data", "reason", "offset", "key"),
    [
        (b"", "unexpected end", 0, None),
        (b"REDIS00", "unexpected end", 0, None),
        (b"RESID0010", "wrong signature", 0, None),
        (b"REDIS00x0", "wrong signature", 0, None),
        (b"REDIS0013", "version 13", 0, None),
        (b"REDIS0000", "version 0", 0, None),
        (file(b"\0\1a\1v")[:-1], "unexpected end", 14, None),
        (file(b"\0\1a\1v")[:12], "unexpected end", 9, b"a"),
        (file(b"\0\1a\1v\1\1l\2\1x")[:-9], "unexpected end", 14, b"l"),
        (file(b"\0\1a\1v")[:-1] + b"x", "wrong checksum", 14, None),
        (file(b"\0\1a\1v", b"\x63\1k\1v"), "unknown value type 99", 14, b"k"),
        (file(b"\0\1a\1v", b"\x07\1k\1v"), "module values", 14, b"k"),
        (file(b"\0\1a\1v", b"\x16\1k\1v"), "field expiry", 14, b"k"),
        (file(b"\0\1a\1v", b"\xf6\1k"), "pre-release", 14, None),
        (file(b"\xf8\1\xfe\0"), "followed by opcode 254", 9, None),
        (file(b"\xfb\xc0\1\1"), "a length was expected", 9, None),
        (file(b"\xfb\x82\1\1"), "unknown encoding of a length", 9, None),
        (file(b"\0\1k\xc4\1"), "unknown encoding of a string", 9, b"k"),
        (file(b"\0\1k\xc3\1\5\0"), "compressed string", 9, b"k"),
        (file(b"\x10\1k\1x"), "Hash listpack integrity check failed", 9, b"k"),
        (file(b"\2\1k\2\1x\1x"), "member twice", 9, b"k"),
        (file(b"\0\1k\1v", b"\0\1x\1v", b"\0\1k\1v"), "twice", 9, b"k"),
        (file(b"\0\1k\1v", b"\1\1k\1\1x"), "twice", 14, b"k"),
        (file(b"\1\1k\1\1x", b"\1\1k\1\1y"), "twice", 15, b"k"),
        (file(b"\1\1k\1\1x", b"\1\1k\1\1y", b"\1\1l\2\1z")[:-9], "twice", 15, b"k"),
        (file(b"\0\1a\1v", b"\4\1k\2\1f\1v\1f\1w"), "field twice", 14, b"k"),
        (file(b"\xfe\x10"), "database 16", 9, None),
        (file(b"\xf7\1\2\1\0"), "module that is not here", 9, None),
    ],
)
def test_damage(data: bytes, reason: str, offset: int, key: bytes | None) -> None:
    for chunks in ([data], [data[at : at + 1] for at in range(len(data))]):
        with pytest.raises(RdbError, match=reason) as caught:
            load(chunks, LIMITS, 16)
        assert caught.value.key == key
        if reason != "twice":  # of a run of strings only the beginning is told
            assert caught.value.offset == offset


def test_events_before_the_damage_come_first() -> None:
    reader = Reader(LIMITS)
    events = reader.feed(file(b"\0\1a\1v", b"\1\1l\1\1x", b"\x63\1k\1v"))
    assert [type(event) for event in events] == [Header, Run]
    for call in (lambda: reader.feed(b""), reader.finish):
        with pytest.raises(RdbError, match=r"unknown value type 99 at offset 20 in key b'k'"):
            call()


def test_checksum_may_be_missing_or_ignored() -> None:
    data = file(b"\0\1a\1v")
    assert load([data[:-8] + bytes(8)], LIMITS, 16).keys == 1
    loader = Loader(LIMITS, 16, checks=False)
    loader.feed(data[:-1] + b"x")
    assert loader.finish().keys == 1


@given(st.data())
def test_mutated_files(data: st.DataObject) -> None:
    content = bytearray(SMALL_FILE)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    loader = Loader(LIMITS, 16, checks=False)
    with contextlib.suppress(RdbError):
        loader.feed(bytes(content))
        dataset = loader.finish()
        ks = Keyspace(16, random.Random(0))
        dataset.install(ks)
        ks._check()


def _small_file() -> bytes:
    client = new_client()
    for name in ("stream", "list", "zset", "hash", "set", "intset-64", "hll-sparse", "zeros"):
        for command in VALUES[name]:
            client(*(name if part == "k" else part for part in command))
    return whole(client)


SMALL_FILE = _small_file()


# Lengths and strings


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "00"), (63, "3f"), (64, "4040"), (16383, "7fff"), (16384, "8000004000"),
        (2**32 - 1, "80ffffffff"), (2**32, "810000000100000000"), (2**64 - 1, "81" + "ff" * 8),
    ],
)  # fmt: skip
def test_lengths(length: int, text: str) -> None:
    assert encode_length(length) == bytes.fromhex(text)
    assert Source(bytes.fromhex(text)).length() == length


@pytest.mark.parametrize(
    ("string", "text"),
    [
        (b"", "00"), (b"a", "0161"), (b"7", "c007"), (b"-128", "c080"), (b"128", "c18000"),
        (b"-32769", "c2ff7fffff"), (b"2147483648", "0a32313437343833363438"), (b"-", "012d"),
        (b"07", "023037"), (b"-0", "022d30"),
    ],
)  # fmt: skip
def test_strings(string: bytes, text: str) -> None:
    assert Encoder(compresses=True).string(string).hex() == text
    assert Source(bytes.fromhex(text)).string() == string
    assert Source(bytes.fromhex(text)).strings(1) == [string]


@given(st.lists(st.one_of(st.binary(max_size=100), st.integers().map(lambda n: b"%d" % n))))
def test_many_strings(strings: list[bytes]) -> None:
    data = b"".join(Encoder(compresses=True).strings(strings))
    assert Source(data).strings(len(strings)) == strings
    if data:
        with pytest.raises(Short):
            Source(data[:-1]).strings(len(strings))


def test_what_does_not_compress_is_not_tried_again_and_again() -> None:
    rng = random.Random(4)
    encoder = Encoder(compresses=True)
    for _ in range(100):
        encoder.string(rng.randbytes(50))
    skipped = sum(encoder.string(b"a" * 50)[0] != 0xC3 for _ in range(200))
    assert 0 < skipped <= 64
