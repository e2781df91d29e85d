"""Taking an append-only file apart, however it is cut and whatever is wrong with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyredis.persistence.aof_load import Annotation, AofReader, Cut, Malformed, take
from pyredis.resp import encode_command

SET = encode_command((b"SET", b"a", b"1"))
MULTI = encode_command((b"MULTI",))
EXEC = encode_command((b"EXEC",))


def read(data: bytes) -> tuple[list[list[bytes]], int, str]:
    """The requests, the offset up to which all is well, and what is wrong at the end."""
    reader = AofReader()
    items = reader.feed(data)
    try:
        end = reader.finish()
    except Malformed as error:
        end = str(error)
    return [item.argv for item in items], reader.good, end


def test_whole() -> None:
    assert read(SET + SET) == ([[b"SET", b"a", b"1"]] * 2, 2 * len(SET), "")


@pytest.mark.parametrize("tail", [b"*", b"*3", b"*3\r", b"*3\r\n", b"*3\r\n$", SET[:-1], b"#TS:12"])
def test_cut(tail: bytes) -> None:
    assert read(SET + tail)[1:] == (len(SET), "cut")


def test_open_multi() -> None:
    assert read(SET + MULTI + SET)[1:] == (len(SET), "open")
    assert read(SET + MULTI + SET + b"*3\r")[1:] == (len(SET), "cut")
    whole = SET + MULTI + SET + EXEC
    assert read(whole)[1:] == (len(whole), "")


@pytest.mark.parametrize(
    ("tail", "offset"),
    [
        (b"hello\r\n", 0),
        (b"*0\r\n", 0),
        (b"*-1\r\n", 0),
        (b"*1\n$4\nPING\r\n", 0),
        (b"*1\r\nx", 4),
        (b"*1\r\n$-1\r\n", 4),
        (b"*1\r\n$4\r\nPINGxx", 12),
        (b"\0\0\0", 0),
        (b"*1\r\n$4\r\nPI\0\0\0\0", 12),
        (b"#" + bytes(100), 0),
        (b"#" + b"x" * 2000, 0),
    ],
)
def test_malformed(tail: bytes, offset: int) -> None:
    _, good, end = read(SET + tail)
    assert good == len(SET)
    assert end.endswith(f"at offset {len(SET) + offset}")


def test_items_in_front_of_damage_come_first() -> None:
    reader = AofReader()
    assert len(reader.feed(SET + b"x")) == 1
    with pytest.raises(Malformed, match="neither a request nor an annotation"):
        reader.feed(SET)


def test_annotations() -> None:
    reader = AofReader()
    stamp, comment, request = reader.feed(b"#TS:1700000000\r\n#hello\r\n" + SET)
    assert stamp.annotation == Annotation(b"#TS:1700000000", 1_700_000_000)
    assert comment.annotation == Annotation(b"#hello", None)
    assert (request.start, request.end) == (24, 24 + len(SET))


def test_offsets_begin_where_the_rdb_file_ends() -> None:
    reader = AofReader(1000)
    assert [(item.start, item.end) for item in reader.feed(SET)] == [(1000, 1000 + len(SET))]
    assert reader.good == 1000 + len(SET)


ARGS = st.lists(st.binary(max_size=20), min_size=1, max_size=5)


@given(st.lists(ARGS, min_size=1, max_size=8), st.data())
def test_any_pieces_make_the_same_items(requests: list[list[bytes]], data: st.DataObject) -> None:
    wire = b"".join(encode_command(argv) for argv in requests)
    reader = AofReader()
    found, at = [], 0
    while at < len(wire):
        end = data.draw(st.integers(at + 1, len(wire)))
        found += reader.feed(wire[at:end])
        at = end
    assert [item.argv for item in found] == requests
    assert reader.offset == len(wire)


@given(ARGS, st.integers(0, 200), st.integers(1, 200))
def test_a_tail_of_zeros_is_never_taken_for_data(argv: list[bytes], kept: int, zeros: int) -> None:
    wire = encode_command(argv)
    kept = min(kept, len(wire) - 1)
    with pytest.raises((Cut, Malformed)):
        take(wire[:kept] + bytes(zeros), 0)
