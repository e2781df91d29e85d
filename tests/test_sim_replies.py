"""Replies as a client reads them: any type, in any pieces."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyredis.sim.replies import Failure, Push, ReplyReader, Status, show, text

WIRE: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", Status("OK")),
    (b"-ERR no\r\n", Failure("ERR no")),
    (b":42\r\n", 42),
    (b"$3\r\na\r\n\r\n", b"a\r\n"),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"*2\r\n:1\r\n*1\r\n$0\r\n\r\n", [1, [b""]]),
    (b"~1\r\n:1\r\n", [1]),
    (b">1\r\n:1\r\n", Push([1])),
    (b"%1\r\n$1\r\nk\r\n:1\r\n", {"k": 1}),
    (b"_\r\n", None),
    (b"#t\r\n", 1),
    (b",1.5\r\n", 1.5),
    (b"(123\r\n", 123),
    (b"=7\r\ntxt:abc\r\n", b"abc"),
]


@given(st.lists(st.integers(0, 200), max_size=8))
def test_all_replies_come_whatever_the_pieces(cuts: list[int]) -> None:
    data = b"".join(wire for wire, _ in WIRE)
    reader, found, at = ReplyReader(), [], 0
    for cut in [*sorted(cuts), len(data)]:
        reader.receive(data[at:cut])
        at = max(at, cut)
        found += reader.replies()
    assert found == [reply for _, reply in WIRE]
    assert [type(reply) for reply in found] == [type(reply) for _, reply in WIRE]


def test_what_is_no_reply_is_an_error() -> None:
    reader = ReplyReader()
    reader.receive(b"PING\r\n")
    with pytest.raises(ValueError, match="not a reply"):
        list(reader.replies())


def test_replies_as_text() -> None:
    assert text([1, b"a", None, [Status("OK")]]) == "1 a (nil) OK"
    assert text({"k": 1.5}) == "k 1.5"
    assert show(Failure("ERR no")) == "(error) ERR no"
    assert show([b"a\r\nb"]) == "[a b]"
    assert show(b"x" * 500).endswith("x...")
