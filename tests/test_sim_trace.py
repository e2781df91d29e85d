"""Traces: hashes, files, and records as text."""

from __future__ import annotations

import pytest

from pyredis.resp import encode_command
from pyredis.sim.trace import Record, Trace, read_trace, show, show_record


def filled(keep: bool = True) -> Trace:
    trace = Trace(keep)
    for n in range(3000):
        trace.add(n, "data", "a-b#1", "b", b"\xff%d" % n)
    trace.add(3000, "log", "a", "notice", "odd \udcff text")
    return trace


def test_the_hash_tells_any_difference_and_does_not_depend_on_keeping() -> None:
    first, second = filled(), filled(keep=False)
    assert first.digest() == second.digest()
    assert first.count == 3001
    second.add(3001, "heal")
    assert first.digest() != second.digest()


def test_a_file_gives_back_header_and_records() -> None:
    header, records = read_trace(filled().wire(seed=7, scenario="nodes a"))
    assert (header["seed"], header["scenario"]) == (7, "nodes a")
    assert records[0] == (0, "data", "a-b#1", "b", b"\xff0")
    assert records[-1] == (3000, "log", "a", "notice", "odd \udcff text")


@pytest.mark.parametrize("data", [b"", b"no trace", b"\x80", b"\xc1", b"\x81\xa1a\xa1b"])
def test_what_is_no_trace_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a trace"):
        read_trace(data)


def test_a_damaged_trace_is_refused() -> None:
    data = filled().wire()
    with pytest.raises(ValueError, match="damaged"):
        read_trace(data.replace(b"\xff77\x95", b"\xff78\x95", 1))


def test_every_record_is_told_at_once_to_who_follows() -> None:
    told: list[Record] = []
    Trace(follow=told.append).add(5, "heal")
    assert told == [(5, "heal")]


def test_records_are_shown_as_lines() -> None:
    set_ = encode_command([b"SET", b"k", b"v w"])
    assert show_record((1_500_000, "fault", "heal")) == "    1.500000 fault    heal"
    assert show_record((0, "data", "a-b#1", "b", set_)).endswith('a-b#1 -> b 29B SET k "v w"')
    assert show_record((0, "data", "a-b#1", "b", set_ + b"*1\r\n$4")).endswith('"v w" ...')
    assert show_record((0, "data", "a-b#1", "a", b"+OK\r\n")).endswith(r'5B "+OK\r\n"')
    assert show_record((0, "data", "a-b#1", "a", b"*x\r\n")).endswith(r'"*x\r\n"')
    odd = encode_command([b"SET", b"\xff", b"x" * 300])
    assert r'SET "\xff" "xxx' in show_record((0, "data", "a-b#1", "b", odd))
    assert list(show([(0, "heal"), (1, "heal")]))[1].startswith("    0.000001")
