"""The backlog beside a dumb twin: one string that holds the whole stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyredis.replication.backlog import Backlog

_DATA = st.binary(min_size=1, max_size=40)
_STEPS = st.lists(st.one_of(_DATA, st.integers(1, 60)), max_size=60)


@given(start=st.integers(0, 1000), size=st.integers(1, 60), steps=_STEPS)
def test_it_is_the_end_of_the_stream(start: int, size: int, steps: list[bytes | int]) -> None:
    backlog = Backlog(size, start)
    stream = b""
    for step in steps:
        if isinstance(step, int):
            size = step
            backlog.resize(size)
        else:
            backlog.append(step)
            stream += step
        backlog._check()
        end = start + len(stream)
        assert backlog.first + backlog.length == end + 1
        for offset in range(start - 2, end + 4):
            held = backlog.holds(offset)
            assert held == (backlog.first <= offset <= end + 1)
            if held:
                assert backlog.since(offset) == stream[offset - start - 1 :]


@given(size=st.integers(1, 100), pieces=st.lists(_DATA, min_size=1))
def test_it_holds_as_much_as_promised_and_hardly_more(size: int, pieces: list[bytes]) -> None:
    backlog = Backlog(size, 0)
    for piece in pieces:
        backlog.append(piece)
    total = sum(map(len, pieces))
    assert backlog.length >= min(size, total)
    assert backlog.length < size + max(map(len, pieces))
    assert backlog.length <= 2 * size


@given(
    size=st.integers(1, 100),
    pieces=st.lists(_DATA, min_size=1),
    more=st.lists(_DATA),
    pinned=st.integers(1, 200),
)
def test_what_is_pinned_stays_until_it_is_released(
    size: int, pieces: list[bytes], more: list[bytes], pinned: int
) -> None:
    backlog = Backlog(size, 0)
    for piece in pieces:
        backlog.append(piece)
    held = backlog.holds(pinned)
    backlog.pin(pinned)
    for piece in more:
        backlog.append(piece)
        backlog._check()
    if held:
        assert backlog.since(pinned) == b"".join((*pieces, *more))[pinned - 1 :]
    backlog.pin(None)
    backlog._check()
    assert backlog.length <= 2 * size


def test_the_next_byte_may_be_asked_for_and_no_later_one() -> None:
    backlog = Backlog(100, 0)
    assert backlog.holds(1)
    assert backlog.since(1) == b""
    assert not backlog.holds(0)
    assert not backlog.holds(2)
    backlog.append(b"abc")
    assert backlog.since(4) == b""
    assert backlog.since(3) == b"c"
    assert not backlog.holds(5)
