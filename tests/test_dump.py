"""DUMP and RESTORE: values go to a real server and come back."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyredis.persistence.encoding import crc64
from pyredis.sim.disk import SimDisk
from tests.samples import HASHES, SETS, STREAMS, STRINGS, VALUES, ZSETS
from tests.simserver import SimServer
from tests.support import EngineClient, Listener, Twin, new_client

NOT_GENUINE = b"ERR DUMP payload version or checksum are wrong"
BAD = b"ERR Bad data format"
NAMES = sorted(VALUES)


def fill(twin: Twin, name: str) -> None:
    """Make the same value at ``k`` of both servers."""
    twin.ours.engine.config.enable_debug_command = "yes"
    for command in VALUES[name]:
        if command[0] in ("XREADGROUP", "XCLAIM"):
            twin.real(*command)
            twin.ours(*command)
        else:
            twin(*command)


def seal(content: bytes, version: int = 10) -> bytes:
    """A type and a body as a genuine payload."""
    payload = content + version.to_bytes(2, "little")
    return payload + crc64(payload).to_bytes(8, "little")


@pytest.mark.parametrize("name", NAMES)
def test_real_server_restores_our_dump(twin: Twin, name: str) -> None:
    fill(twin, name)
    payload = twin.ours("DUMP", "k")
    assert twin.real("RESTORE", "copy", 0, payload) == b"OK"
    assert twin.real("DEBUG", "DIGEST-VALUE", "copy") == twin("DEBUG", "DIGEST-VALUE", "k")
    form = twin.real("OBJECT", "ENCODING", "copy")
    if name != "changed-in-place":
        assert form == twin.real("OBJECT", "ENCODING", "k")
    if name in STREAMS:
        assert_same_stream(twin.real, twin.real, "copy", "k")


@pytest.mark.parametrize("name", NAMES)
def test_we_restore_the_dump_of_a_real_server(twin: Twin, name: str) -> None:
    fill(twin, name)
    payload = twin.real("DUMP", "k")
    assert twin.ours("RESTORE", "copy", 0, payload) == b"OK"
    assert twin.ours("DEBUG", "DIGEST-VALUE", "copy") == twin("DEBUG", "DIGEST-VALUE", "k")
    if name != "changed-in-place":
        assert twin.ours("OBJECT", "ENCODING", "copy") == twin.ours("OBJECT", "ENCODING", "k")
    if name in STREAMS:
        assert_same_stream(twin.ours, twin.ours, "copy", "k")
    twin.ours.engine.ks._check()
    value = twin.ours.engine.ks.dbs[0].data[b"copy"]
    if hasattr(value, "_check"):
        value._check()


def assert_same_stream(one, other, copy: str, key: str) -> None:  # type: ignore[no-untyped-def]
    """What groups and consumers know is the same but for times."""
    for command in (("XINFO", "GROUPS"), ("XLEN",)):
        assert one(*command, copy) == other(*command, key)
    for group in (b"busy", b"idle"):
        if b"busy" in str(one("XINFO", "GROUPS", key)).encode():
            assert one("XPENDING", copy, group) == other("XPENDING", key, group)
    for place in (1, 5, 7, 9):
        assert one("XINFO", "STREAM", copy)[place] == other("XINFO", "STREAM", key)[place]


# The same bytes as Redis', where there is no choice of an order or a compression

SAME_BYTES = sorted(
    {**STRINGS, **HASHES, **SETS, **ZSETS}.keys()
    - {
        "set",
        "set-of-long",
        "set-large",
        "set-of-numbers",
        "hash-large",
        "hash-of-long",
        "zset-large",
        "zset-of-long",
        "zset",
        "zset-fractions",
        "zset-edges",
    }
)


@pytest.mark.parametrize("name", SAME_BYTES)
def test_bytes_are_those_of_redis(twin: Twin, name: str) -> None:
    twin("CONFIG", "SET", "rdbcompression", "no")
    try:
        fill(twin, name)
        twin("DUMP", "k")
    finally:
        twin("CONFIG", "SET", "rdbcompression", "yes")


# Options and errors


def test_dump_of_nothing(twin: Twin) -> None:
    twin("DUMP", "missing")


def test_options(twin: Twin) -> None:
    twin("SET", "k", "v")
    payload = twin("DUMP", "k")
    twin("RESTORE", "k", 0, payload)
    twin("RESTORE", "k", 0, payload, "replace")
    twin("RESTORE", "t", 100000, payload)
    assert 0 < twin.ours("PTTL", "t") <= 100000
    twin("RESTORE", "a", 99999999999999, payload, "ABSTTL")
    twin("PEXPIRETIME", "a")
    twin("RESTORE", "past", 1, payload, "ABSTTL")
    twin("EXISTS", "past")
    twin("RESTORE", "k", 1, payload, "ABSTTL", "REPLACE")
    twin("EXISTS", "k")
    twin("RESTORE", "idle", 0, payload, "IDLETIME", 1000)
    assert twin.ours("OBJECT", "IDLETIME", "idle") == 1000
    twin("RESTORE", "f", 0, payload, "FREQ", 10)


@pytest.mark.parametrize(
    "args",
    [
        ("0", "?"),
        ("x", "?"),
        ("-1", "?"),
        ("0", "?", "NONSENSE"),
        ("0", "?", "IDLETIME"),
        ("0", "?", "IDLETIME", "-1"),
        ("0", "?", "IDLETIME", "x"),
        ("0", "?", "FREQ", "256"),
        ("0", "?", "FREQ", "x"),
        ("0", "?", "FREQ", "1", "IDLETIME", "1"),
        ("0", "?", "IDLETIME", "1", "FREQ", "1"),
        ("-1", "?", "REPLACE"),
        ("99999999999999999999", "?", "REPLACE"),
    ],
)
def test_errors(twin: Twin, args: tuple[str, ...]) -> None:
    twin("SET", "old", "v")
    twin("RESTORE", "new", *args)
    twin("RESTORE", "old", *args)
    twin("RESTORE", "new", args[0], seal(b"\0\1v"), *args[2:])
    twin("GET", "new")


def test_payloads_that_are_not_genuine(twin: Twin) -> None:
    good = seal(b"\0\1v")
    for payload in (b"", b"x", good[:9], good[:-1], good + b"x", good[:-1] + b"x"):
        assert twin("RESTORE", "k", 0, payload) == NOT_GENUINE
    assert twin("RESTORE", "k", 0, seal(b"\0\1v", 200)) == NOT_GENUINE
    for version in (1, 9, 10):
        assert twin("RESTORE", "k", 0, seal(b"\0\1v", version), "REPLACE") == b"OK"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\x0fabc",
        b"\1\0",
        b"\2\0",
        b"\4\0",
        b"\4\1\1f",
        b"\x63\1a",
        b"\x0b\1a",
        b"\2\2\1a\1a",
        b"\5\1\1m" + b"\0" * 6 + b"\xf8\x7f",
        b"\x12\0",
        b"\x02\x81" + b"\xff" * 8,
    ],
)
def test_bad_bodies(twin: Twin, body: bytes) -> None:
    twin("SET", "k", "old")
    assert twin("RESTORE", "k", 0, seal(body), "REPLACE") == BAD
    assert twin("GET", "k") == b"old"


def test_types_that_cannot_be_read(client: EngineClient) -> None:
    for kind in (6, 7, 8, 22, 23, 24, 25, 99, 244, 255):
        assert client("RESTORE", "k", 0, seal(bytes((kind,)) + b"\1" * 50)) == BAD


def test_version_11_keeps_sets_and_consumers(client: EngineClient) -> None:
    body = b"\x14\x0d" + b"\x0d\0\0\0\2\0\x81a\2\x81b\2\xff"
    assert client("RESTORE", "k", 0, seal(body, 11)) == b"OK"
    assert client("SMEMBERS", "k") == [b"a", b"b"]
    assert client("OBJECT", "ENCODING", "k") == b"listpack"


def test_propagates_a_time_that_lasts(client: EngineClient) -> None:
    payload = seal(b"\0\1v")
    sent: list[tuple[bytes, ...]] = []
    client.engine.feeds.append(Listener(lambda unit: sent.extend(argv for _, argv in unit)))
    client.engine.observe()
    client("RESTORE", "a", 1000, payload)
    client("RESTORE", "b", 0, payload)
    client("RESTORE", "a", 1, payload, "REPLACE", "ABSTTL")
    client("RESTORE", "c", 1, payload, "ABSTTL")
    at_ms = b"%d" % (client.clock.time_ms + 1000)
    assert sent == [
        (b"RESTORE", b"a", at_ms, payload, b"ABSTTL"),
        (b"RESTORE", b"b", b"0", payload),
        (b"DEL", b"a"),
    ]


# Whatever the bytes, there is an answer, and the data are sound


@given(st.data())
def test_mutated_payloads(data: st.DataObject) -> None:
    payload = data.draw(st.sampled_from(PAYLOADS))
    content = bytearray(payload[:-10])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    restore_anything(seal(bytes(content[: data.draw(st.integers(1, len(content)))]), 11))


def test_many_mutated_payloads() -> None:
    rng = random.Random(7)
    for _ in range(4000):
        content = bytearray(rng.choice(PAYLOADS)[:-10])
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(content))
            content[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        restore_anything(seal(bytes(content), 11))


@given(st.integers(0, 30), st.binary(max_size=60))
def test_any_bytes(kind: int, body: bytes) -> None:
    restore_anything(seal(bytes((kind,)) + body, 11))


def restore_anything(payload: bytes) -> None:
    """RESTORE it; whatever was taken must be sound, and survive DUMP."""
    assert CLIENT("RESTORE", "k", 0, payload, "REPLACE") in (b"OK", BAD)
    value = CLIENT.engine.ks.dbs[0].data.get(b"k")
    if value is not None:
        if hasattr(value, "_check"):
            value._check()
        digest = CLIENT("DEBUG", "DIGEST-VALUE", "k")
        assert CLIENT("RESTORE", "k", 0, CLIENT("DUMP", "k"), "REPLACE") == b"OK"
        assert CLIENT("DEBUG", "DIGEST-VALUE", "k") == digest


def _payloads() -> list[bytes]:
    client = new_client()
    found = []
    for name in NAMES:
        client("DEL", "k")
        for command in VALUES[name]:
            client(*command)
        payload = client("DUMP", "k")
        if len(payload) < 3000:
            found.append(payload)
    return found


CLIENT = new_client()
CLIENT.engine.config.enable_debug_command = "yes"
PAYLOADS = _payloads()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\x0a\1a", "List ziplist integrity check failed"),
        (b"\x0c\1a", "Zset ziplist integrity check failed"),
        (b"\x14\1a", "Set listpack integrity check failed"),
        (b"\x0f\1\x10" + bytes(16) + b"\1a", "Stream listpack integrity check failed"),
    ],
)
def test_the_log_tells_what_was_damaged(body: bytes, words: str) -> None:
    made = SimServer(SimDisk())
    assert made("RESTORE", "k", 0, seal(body)) == BAD
    assert words in made.log[-1]
