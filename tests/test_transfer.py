"""The framing of full syncs: both forms, cut anywhere, and what is none."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyredis.replication.effects import SnapshotData, SnapshotEnd, SnapshotStart
from pyredis.replication.transfer import LINE_MAX_BYTES, MARK_BYTES, Transfer, TransferError

MARK = b"0123456789abcdef" * 2 + b"01234567"


def feed(chunks: list[bytes]) -> tuple[list[int], bytes, bool, bytes]:
    """Sizes told, snapshot, whether its end was seen, and what followed it."""
    transfer = Transfer()
    sizes: list[int] = []
    snapshot = rest = b""
    ended = False
    for chunk in chunks:
        if ended:
            rest += chunk
            continue
        pieces, behind = transfer.feed(chunk)
        for piece in pieces:
            assert not ended
            if isinstance(piece, SnapshotStart):
                assert not snapshot
                sizes.append(piece.size)
            elif isinstance(piece, SnapshotData):
                assert sizes
                assert piece.data
                snapshot += piece.data
            else:
                assert isinstance(piece, SnapshotEnd)
                ended = True
        rest += behind
    assert transfer.received_bytes == len(snapshot)
    assert transfer.size == (sizes[0] if sizes else -1)
    return sizes, snapshot, ended, rest


def cuts_of(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(bounds) if a < b]


PLACES = st.lists(st.integers(0, 1 << 16), max_size=12)


@given(st.binary(max_size=200), st.binary(max_size=60), st.integers(0, 3), PLACES)
def test_a_known_length(snapshot: bytes, stream: bytes, newlines: int, places: list[int]) -> None:
    wire = b"\n" * newlines + b"$%d\r\n" % len(snapshot) + snapshot + stream
    assert feed(cuts_of(wire, places)) == ([len(snapshot)], snapshot, True, stream)


@given(st.binary(max_size=200), st.binary(max_size=60), st.integers(0, 3), PLACES)
def test_a_mark(snapshot: bytes, stream: bytes, newlines: int, places: list[int]) -> None:
    wire = b"\n" * newlines + b"$EOF:%b\r\n%b%b%b" % (MARK, snapshot, MARK, stream)
    assert feed(cuts_of(wire, places)) == ([-1], snapshot, True, stream)


@pytest.mark.parametrize("size", [1, MARK_BYTES - 1])
def test_what_looks_like_the_mark_is_data(size: int) -> None:
    wire = b"$EOF:%b\r\n" % MARK + b"ab" + MARK[:size] + b"cd" + MARK[:size] + MARK
    bytewise = [wire[at : at + 1] for at in range(len(wire))]
    expected = ([-1], b"ab" + MARK[:size] + b"cd" + MARK[:size], True, b"")
    assert feed([wire]) == feed(bytewise) == expected


def test_before_the_end_nothing_of_the_mark_is_told() -> None:
    transfer = Transfer()
    pieces, rest = transfer.feed(b"$EOF:%b\r\nabc%b" % (MARK, MARK[:-1]))
    assert (pieces, rest) == ([SnapshotStart(-1), SnapshotData(b"abc")], b"")
    assert transfer.feed(MARK[-1:]) == ([SnapshotEnd()], b"")


def test_an_empty_snapshot() -> None:
    assert feed([b"$0\r\n"]) == ([0], b"", True, b"")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"-ERR no disk\r\n", "MASTER aborted replication with an error: ERR no disk"),
        (b"$abc\r\n", "Bad protocol from MASTER"),
        (b"$-1\r\n", "Bad protocol from MASTER"),
        (b"$EOF:short\r\n", "Bad protocol from MASTER"),
        (b"HTTP/1.1 200\r\n", "'HTTP/1.1 200' came"),
        (b"x" * (LINE_MAX_BYTES + 1), "a line without end"),
    ],
)
def test_what_is_no_snapshot(line: bytes, reason: str) -> None:
    with pytest.raises(TransferError, match=reason):
        Transfer().feed(line)
    with pytest.raises(TransferError, match=reason):
        feed([line[at : at + 1000] for at in range(0, len(line), 1000)])
