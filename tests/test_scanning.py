"""The arguments that all scanning commands share."""

from __future__ import annotations

import pytest

from pyredis.commands.scanning import parse_cursor, parse_scan, scan_reply
from pyredis.resp import Error
from tests.support import Twin

LARGEST = 2**64 - 1


@pytest.mark.parametrize(
    ("arg", "cursor"),
    [
        (b"0", 0),
        (b"17", 17),
        (b"+5", 5),
        (b"-0", 0),
        (b"0007", 7),
        (b"5\0x", 5),
        (b"%d" % LARGEST, LARGEST),
        (b"-05", LARGEST - 4),
        (b"-%d" % LARGEST, 1),
    ],
)
def test_cursors_are_read_as_strtoull_reads_them(twin: Twin, arg: bytes, cursor: int) -> None:
    assert parse_cursor(arg) == cursor
    twin("SADD", "numbers", 1, 2, 3)
    twin("SSCAN", "numbers", arg)


def test_blanks_may_come_before_a_cursor() -> None:
    assert parse_cursor(b" 1") == parse_cursor(b"\t\n1") == parse_cursor(b"\v +1") == 1


@pytest.mark.parametrize("arg", [b"", b"\0", b"-1", b"-%d" % 2**63])
def test_a_cursor_is_no_negative_number_and_not_empty(arg: bytes) -> None:
    with pytest.raises(Error, match="ERR invalid cursor"):
        parse_cursor(arg)


@pytest.mark.parametrize("arg", [b"x", b"1x", b"1 ", b"-", b"1.0", b" ", b"%d" % 2**64])
def test_other_cursors_are_invalid(twin: Twin, arg: bytes) -> None:
    with pytest.raises(Error, match="ERR invalid cursor"):
        parse_cursor(arg)
    assert twin("SSCAN", "missing", arg) == b"ERR invalid cursor"


def test_the_last_option_of_a_kind_counts() -> None:
    options = parse_scan([b"match", b"a*", b"COUNT", b"5", b"Match", b"b?", b"count", b"7"], False)
    assert options.match is not None
    assert (options.count, options.match(b"bc"), options.match(b"ab")) == (7, True, False)
    assert options.type is None
    assert parse_scan([], True) == parse_scan([b"MATCH", b"*", b"COUNT", b"10"], True)
    assert parse_scan([b"type", b"ZSet"], True).type == b"zset"


@pytest.mark.parametrize(
    "args",
    [
        ("FOO",),
        ("FOO", "1"),
        ("COUNT",),
        ("MATCH",),
        ("COUNT", "0"),
        ("COUNT", "-1"),
        ("COUNT", "x"),
        ("COUNT", "x", "FOO"),
        ("MATCH", "a", "COUNT"),
        ("TYPE", "set"),
    ],
)
def test_errors_of_options(twin: Twin, args: tuple[str, ...]) -> None:
    twin("SADD", "numbers", 1, 2, 3)
    twin("SSCAN", "numbers", 0, *args)
    twin("SSCAN", "missing", 0, *args)


def test_the_reply_has_two_parts() -> None:
    assert scan_reply(12, (b"a", b"b")) == [b"12", [b"a", b"b"]]
