"""The protocol: cuts, limits, and garbage, on our engine and against a real server."""

from __future__ import annotations

import random
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyredis.resp import (
    BigNumber,
    Error,
    ProtocolError,
    RequestReader,
    SetReply,
    Verbatim,
    encode,
    encode_command,
)
from tests import fuzz
from tests.support import EngineClient, RealRedis, ReplyError, new_client, new_engine

requests = st.lists(
    st.lists(st.binary(max_size=40), min_size=1, max_size=6), min_size=1, max_size=5
)


@given(requests, st.randoms(use_true_random=False))
def test_reader_gives_the_same_requests_whatever_the_cuts(
    argvs: list[list[bytes]], rng: random.Random
) -> None:
    data = b"".join(map(encode_command, argvs))
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))], _cut(data, rng)):
        reader, found = RequestReader(), []
        for piece in pieces:
            reader.receive(piece)
            while (argv := reader.next()) is not None:
                found.append(argv)
        assert found == argvs
        assert not reader.busy
        assert reader.held_bytes == 0


@given(st.data(), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_reader_takes_many_arguments_at_once_whatever_they_hold(
    data: st.DataObject, rng: random.Random
) -> None:
    odd = [b"", b"\r\n", b"\r\n$1\r\nx\r\n", b"$3", b"\0", b"x" * 1023, b"x" * 1024, b"y" * 3000]
    argv = data.draw(st.lists(st.sampled_from([b"a", b"bcd", *odd]), min_size=16, max_size=60))
    wire = encode_command(argv) + encode_command([b"PING"])
    reader, found = RequestReader(), []
    for piece in _cut(wire, rng):
        reader.receive(piece)
        while (request := reader.next()) is not None:
            found.append(request)
    assert found == [argv, [b"PING"]]
    assert not reader.busy
    assert reader.held_bytes == 0


def test_reader_finds_the_wrong_byte_among_many_arguments() -> None:
    for wrong in (b"+1\r\na\r\n", b"$-1\r\n", b"$01x\r\na\r\n"):
        reader = RequestReader()
        reader.receive(b"*40\r\n" + b"$2\r\nab\r\n" * 20 + wrong + b"$2\r\nab\r\n" * 20)
        with pytest.raises(ProtocolError):
            reader.next()


def _cut(data: bytes, rng: random.Random) -> list[bytes]:
    cuts = sorted(rng.sample(range(len(data)), min(5, len(data))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(requests, st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_engine_gives_the_same_replies_whatever_the_cuts(
    argvs: list[list[bytes]], rng: random.Random
) -> None:
    argvs = [[b"ECHO", argv[0]] if len(argv) % 2 else [b"SET", argv[0], argv[-1]] for argv in argvs]
    argvs += [[b"GET", argvs[0][1]], [b"NOPE"], [b"GET"], [b"DBSIZE"]]
    data = b"".join(map(encode_command, argvs))
    whole = new_client().raw(data)
    bytewise, cut = new_client(), new_client()
    assert b"".join(bytewise.raw(data[i : i + 1]) for i in range(len(data))) == whole
    assert b"".join(map(cut.raw, _cut(data, rng))) == whole


@pytest.mark.parametrize("size", [0, 1, 300, 4095, 4096, 16384, 16385, 40000, 3_000_000])
def test_values_of_every_size(client: EngineClient, size: int) -> None:
    value = (b"\r\n*1\r\n$4\r\nPING\r\n" * (size // 16 + 1))[:size]
    data = encode_command([b"SET", b"k", value]) + encode_command([b"GET", b"k"])
    out = b""
    for at in range(0, len(data), 16384):
        out += client.raw(data[at : at + 16384])
    assert out == b"+OK\r\n$%d\r\n%b\r\n" % (size, value)


def test_keys_with_anything_in_them(client: EngineClient) -> None:
    for key in (b"", b"\r\n", b"\0", b"$3\r\nfoo\r\n", bytes(range(256))):
        client("SET", key, key + b"!")
        assert client("GET", key) == key + b"!"


def test_a_million_arguments_in_small_pieces(client: EngineClient) -> None:
    count = 100_000
    data = encode_command([b"DEL"] + [b"k%d" % i for i in range(count)])
    client("SET", "k77", "x")
    out = b"".join(client.raw(data[at : at + 1000]) for at in range(0, len(data), 1000))
    assert out == b":1\r\n"


def test_bulk_limit_is_exact() -> None:
    client = new_client(proto_max_bulk_len="1mb")
    limit = 1 << 20
    assert client("SET", "k", b"x" * limit) == b"OK"
    out = client.raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (limit + 1))
    assert out == b"-ERR Protocol error: invalid bulk length\r\n"
    assert client.session.closing


@pytest.mark.parametrize("name", ["SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER"])
def test_no_reply_is_made_that_would_close_its_client(name: str) -> None:
    client = new_client(client_output_buffer_limit="normal 100000 0 0")
    client("ZADD" if name == "ZRANDMEMBER" else "HSET", "k", 1, 2)
    if name == "SRANDMEMBER":
        client("DEL", "k")
        client("SADD", "k", 1)
    assert len(client(name, "k", -10_000)) == 10_000
    script = "return #redis.call(ARGV[1], 'k', -20000)"
    assert client("EVAL", script, 0, name) == 20_000
    client.engine.take_output()
    client.send(name, "k", -1 << 60)
    assert client.session.closing == "now"


def test_a_whole_request_beyond_the_query_buffer_limit_does_not_run() -> None:
    client = new_client(client_query_buffer_limit="1mb")
    data = encode_command([b"SET", b"k", b"x" * (1 << 20)])
    for at in range(0, len(data), 100_000):
        client.raw(data[at : at + 100_000])
    assert client.session.closing == "now"
    assert client.another()("EXISTS", "k") == 0


def test_query_buffer_limit_closes_the_client() -> None:
    client = new_client(client_query_buffer_limit="1mb")
    data = encode_command([b"SET", b"k", b"x" * 3_000_000])
    for at in range(0, len(data), 16384):
        client.raw(data[at : at + 16384])
    assert client.session.closing == "now"


def test_before_auth_little_is_accepted() -> None:
    engine, clock = new_engine(requirepass="secret")
    for data, error in (
        (b"*11\r\n", b"-ERR Protocol error: unauthenticated multibulk length\r\n"),
        (b"*2\r\n$16385\r\n", b"-ERR Protocol error: unauthenticated bulk length\r\n"),
    ):
        assert EngineClient(engine, clock).raw(data) == error


def test_before_auth_little_waits_to_be_sent() -> None:
    engine, clock = new_engine(requirepass="secret", client_output_buffer_limit="normal 0 0 0")
    client, friend = EngineClient(engine, clock), EngineClient(engine, clock)
    friend("AUTH", "secret")
    refused = b"-NOAUTH Authentication required.\r\n"
    assert client.raw(b"PING\r\n" * 500) == refused * 500
    assert client.raw(b"PING\r\n" * 600) == b""
    assert client.session.closing == "now"
    assert friend.raw(b"ECHO 1234567890123456789012345\r\n" * 600) != b""


def test_reply_encodings() -> None:
    for value, resp2, resp3 in (
        (None, b"$-1\r\n", b"_\r\n"),
        (True, b":1\r\n", b"#t\r\n"),
        (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
        ({b"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
        (SetReply([1]), b"*1\r\n:1\r\n", b"~1\r\n:1\r\n"),
        (Verbatim(b"hi"), b"$2\r\nhi\r\n", b"=6\r\ntxt:hi\r\n"),
        (BigNumber(1 << 70), b"$22\r\n1180591620717411303424\r\n", b"(1180591620717411303424\r\n"),
        ([b"x"] * 5, b"*5\r\n" + b"$1\r\nx\r\n" * 5, b"*5\r\n" + b"$1\r\nx\r\n" * 5),
        (Error("ERR a\r\nb"), b"-ERR a  b\r\n", b"-ERR a  b\r\n"),
    ):
        assert encode(value, False) == resp2
        assert encode(value, True) == resp3
    with pytest.raises(TypeError):
        encode("text")


GARBAGE = [
    b"*a\r\n", b"*03\r\n", b"$3\r\n", b"*2\r\n+3\r\n", b"*1\r\n$-1\r\n", b"*1\r\n\r\n",
    b"*-5\r\nPING\r\n", b"*1\r\n$4xyz\r\nPING\r\n", b"*1\r\n$600000000\r\n", b"SET 'a\r\n",
    b"*99999999999\r\n", b"*1\r\n\x80\r\n", b"*+3\r\n", b"x" * 70000, b"*" + b"1" * 70000,
    b"*1\r\n$" + b"1" * 70000, b"*1\r\n$0\r\n\r\n", b" \r\n", b"*1\n$4\r\nPING\r\n", b"PING\n",
    b"'' a\r\n", b"*2\r\n$4\r\nfo\no\r\n$1\r\n\xff\r\n", b"*1\r\n$\r\n", b"*\r\n",
    b"*1\r\n$18446744073709551616\r\n", b"\0\0\r\nPING\r\n", b"GET\r\n", b"get a b c\r\n",
    b"*3\r\n$3\r\nset\r\n$1\r\na\r\n$2\r\nabXY*1\r\n$4\r\nPING\r\n", b"foo " + b"y" * 300 + b"\r\n",
    b"foo " + b"y " * 300 + b"\r\n", b"CONFIG\r\n", b"CONFIG nope\r\n", b"*1\r\n$9\r\nCONFIG|GET\r\n",  # noqa: E501
    b"QUIT\r\nPING\r\n", b"*3\r\n$6\r\nCONFIG\r\n$4\r\nnope\r\n$1\r\nx\r\n",
]  # fmt: skip


def _from_real(real: RealRedis, data: bytes) -> bytes:
    """What a real server answers until it closes, after we said that nothing more comes."""
    with socket.create_connection(("127.0.0.1", real.port), timeout=10) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # closed by the server already
        out = b""
        try:
            while piece := connection.recv(65536):
                out += piece
        except ConnectionResetError:
            pass
        return out


@pytest.mark.parametrize("data", GARBAGE, ids=lambda data: repr(data[:20]))
def test_errors_as_redis_words_them(real_redis: RealRedis, data: bytes) -> None:
    engine, _ = new_engine()
    out, _closing = fuzz.feed(engine, data, [])
    assert out == _from_real(real_redis, data)


def test_mutants_get_what_redis_gives(real_redis: RealRedis) -> None:
    for data in fuzz.mutants(seed=11, count=400):
        _from_real(real_redis, b"FLUSHALL\r\n")
        engine, _ = new_engine()
        out, _closing = fuzz.feed(engine, data, [])
        assert out == _from_real(real_redis, data), data


def test_noise_never_crashes_or_leaks() -> None:
    kinds = fuzz.run(20_000, seed=3)
    assert kinds["ReplyError"] > 1000
    assert kinds["closed"] > 1000


def test_reader_raises_at_the_first_wrong_byte() -> None:
    reader = RequestReader()
    reader.receive(b"*1\r\n+")
    assert reader.next() is None  # Redis, too, looks at the line only once it is whole
    reader.receive(b"\r\n")
    with pytest.raises(ProtocolError):
        reader.next()


def test_an_error_in_a_pipeline_leaves_the_rest_alone(client: EngineClient) -> None:
    client.send("LPUSH", "l", "x")
    client.replies()
    data = b"".join(map(encode_command, [[b"GET", b"l"], [b"SET", b"a", b"1"], [b"INCR", b"a"]]))
    client.raw(data)
    client.send("GET", "a")
    assert client.replies() == [b"2"]
    assert isinstance(client("GET", "l"), ReplyError)


@given(
    st.lists(
        st.one_of(
            st.builds(
                lambda size, count: encode_command([b"SET", b"k" * size, *[b"v"] * count]),
                st.sampled_from([1, 5000, 70_000]),
                st.sampled_from([1, 40]),
            ),
            st.sampled_from([b"PING\r\n", b"\r\n", b"*0\r\n"]),
        ),
        max_size=6,
    ),
    st.sampled_from([1000, 4096, 30_000, 70_000]),
)
def test_a_reader_knows_how_much_of_its_input_makes_no_request_yet(
    wires: list[bytes], step: int
) -> None:
    data = b"".join(wires)
    ends = [0]
    for wire in wires:
        ends.append(ends[-1] + len(wire))
    reader = RequestReader()
    for at in range(0, len(data), step):
        reader.receive(data[at : at + step])
        while reader.next() is not None:
            pass
        received = min(at + step, len(data))
        assert reader.unfinished_bytes == received - max(end for end in ends if end <= received)
