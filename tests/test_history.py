"""Names and lengths of histories: who may go on with whom."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from pyredis.replication.backlog import Backlog
from pyredis.replication.history import NO_OFFSET, NO_REPLID, History


def a_history(offset: int = 0) -> History:
    history = History(random.Random(1))
    history.offset = offset
    return history


def backlog(first: int, length: int) -> Backlog:
    found = Backlog(1 << 20, first - 1)
    if length:
        found.append(b"x" * length)
    return found


def test_a_new_history_has_no_origin() -> None:
    history = a_history()
    assert len(history.replid) == 40
    assert (history.replid2, history.second_offset) == (NO_REPLID, NO_OFFSET)
    assert history.replid != History(random.Random(2)).replid


def test_a_promotion_keeps_the_old_name_up_to_here() -> None:
    history = a_history(100)
    old = history.replid
    history.fork()
    assert history.replid != old
    assert (history.replid2, history.second_offset) == (old, 101)
    assert history.offset == 100


def test_only_the_last_fork_is_remembered() -> None:
    history = a_history(100)
    first = history.replid
    history.fork()
    second = history.replid
    history.offset = 200
    history.fork()
    assert (history.replid2, history.second_offset) == (second, 201)
    held = backlog(1, 200)
    assert history.refusal(held, first, 50)
    assert not history.refusal(held, second, 201)


def test_a_copy_of_anothers_data_ends_what_was() -> None:
    history = a_history(100)
    history.fork()
    history.adopt("a" * 40, 7)
    assert (history.replid, history.offset) == ("a" * 40, 7)
    assert (history.replid2, history.second_offset) == (NO_REPLID, NO_OFFSET)


def test_beginning_anew() -> None:
    history = a_history(100)
    history.fork()
    old = history.replid
    history.begin()
    assert history.replid != old
    assert history.replid2 == NO_REPLID
    assert history.offset == 100, "offsets never go back"


def test_reasons() -> None:
    history = a_history(100)
    old = history.replid
    history.fork()
    history.offset = 150
    held = backlog(51, 100)
    assert history.refusal(held, "?", -1) == "a full copy was asked for"
    assert "mismatch" in history.refusal(held, "f" * 40, 60)
    assert "up to 101" in history.refusal(held, old, 102)
    assert "lack of backlog" in history.refusal(held, old, 50)
    assert "lack of backlog" in history.refusal(held, history.replid, 152)
    assert "lack of backlog" in history.refusal(None, history.replid, 120)
    assert not history.refusal(held, history.replid.upper(), 120)


@given(
    forked_at=st.integers(0, 60),
    more=st.integers(0, 60),
    lost=st.integers(0, 60),
    asked=st.integers(-2, 140),
    which=st.sampled_from(["ours", "origin", "strange"]),
)
def test_partial_only_with_common_history(
    forked_at: int, more: int, lost: int, asked: int, which: str
) -> None:
    """The twin: two streams written out, and which bytes are left of ours."""
    origin = [("origin", number) for number in range(1, forked_at + 1)]
    ours = origin + [("ours", number) for number in range(forked_at + 1, forked_at + more + 1)]
    beyond = [("origin", number) for number in range(forked_at + 1, 200)]
    history = a_history(forked_at)
    old = history.replid
    history.fork()
    history.offset += more
    lost = min(lost, len(ours))
    held = backlog(lost + 1, len(ours) - lost)
    names = {"ours": history.replid, "origin": old, "strange": "e" * 40}
    accepted = not history.refusal(held, names[which], asked)
    asker = {
        "ours": (ours + [("ours", n) for n in range(len(ours) + 1, 200)])[: max(0, asked - 1)],
        "origin": (origin + beyond)[: max(0, asked - 1)],
        "strange": [("strange", 0)],
    }[which]
    is_beginning = ours[: len(asker)] == asker and len(asker) == asked - 1
    bytes_are_left = lost < asked <= len(ours) + 1
    assert accepted == (is_beginning and bytes_are_left)
