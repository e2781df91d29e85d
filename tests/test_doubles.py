"""Texts of doubles and long doubles.

What is read, refused and summed was compared with a Redis 7.0 server. Printed scores follow the
rules in `format_double`, as 7.0 still prints %.17g.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from math import copysign, inf, ulp

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyredis.types.doubles import (
    LongDouble,
    add_long_doubles,
    format_double,
    format_long_double,
    format_scan_score,
    parse_double,
    parse_doubles,
    parse_long_double,
    parse_range_double,
)


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (3.0, b"3"),
        (0.1, b"0.1"),
        (-0.0, b"-0"),
        (inf, b"inf"),
        (-inf, b"-inf"),
        (1e17, b"100000000000000000"),
        (123456789012345678.0, b"123456789012345680"),
        (2.0**62, b"4611686018427387904"),
        (2.0**62 + 1024, b"4611686018427389000"),
        (-12345678901234567890.0, b"-12345678901234567000"),
        (1e19, b"1e+19"),
        (1.5e25, b"1.5e+25"),
        (1e100, b"1e+100"),
        (1.7976931348623157e308, b"1.7976931348623157e+308"),
        (5e-324, b"5e-324"),
        (1e-5, b"0.00001"),
        (1e-7, b"1e-7"),
        (1.234e-5, b"1.234e-5"),
        (0.00012345, b"1.2345e-4"),
        (0.001234567, b"0.001234567"),
        (123456.789, b"123456.789"),
        (1234567.1234567, b"1.2345671234567e+6"),
    ],
)
def test_format_double(x: float, text: bytes) -> None:
    assert format_double(x) == text


@settings(derandomize=True)
@given(st.floats(allow_nan=False))
def test_a_printed_double_reads_back(x: float) -> None:
    again = parse_double(format_double(x))
    assert struct.pack("d", again) == struct.pack("d", x)
    assert parse_double(format_scan_score(x)) == x


@settings(derandomize=True)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_printed_digits_are_those_of_repr(x: float) -> None:
    if abs(x) > 2**62 or x != int(x):
        assert Fraction(format_double(x).decode()) == Fraction(repr(x))


def test_format_scan_score() -> None:
    assert format_scan_score(3.3) == b"3.2999999999999998"
    assert format_scan_score(1e20) == b"1e+20"
    assert format_scan_score(2.0) == b"2"


@pytest.mark.parametrize(
    ("text", "x"),
    [
        (b"1", 1.0), (b"+1", 1.0), (b"-1.5", -1.5), (b".5", 0.5), (b"5.", 5.0), (b"+.5e1", 5.0),
        (b"1E5", 1e5), (b"inf", inf), (b"+INF", inf), (b"-infinity", -inf), (b"iNf", inf),
        (b"0x10", 16.0), (b"0X.8", 0.5), (b"0x1.8p1", 3.0), (b"-0x0", 0.0), (b"4.9e-324", 5e-324),
        (b"0e999999999999", 0.0), (b"0x0p99999999999", 0.0), (b"0.000", 0.0), (b"1" * 300, float("1" * 300)),  # noqa: E501
    ],
)  # fmt: skip
def test_parse_double(text: bytes, x: float) -> None:
    assert parse_double(text) == x


def test_parse_double_keeps_the_sign_of_zero() -> None:
    assert copysign(1.0, parse_double(b"-0")) == -1.0


NO_NUMBERS = [
    b"", b" 1", b"1 ", b"1\n", b"1_0", b"nan", b"-NaN", b"nan(1)", b"++1", b"1e", b"1e+", b".", b"-",  # noqa: E501
    b"1d", b"1,5", b"infx", b"infinit", b"0x", b"0x1p", b"0x.p1", b"0b1", b"1\0", b"\xd9\xa3",
]  # fmt: skip


@pytest.mark.parametrize("text", [*NO_NUMBERS, b"1e400", b"-1e400", b"1e-400", b"1" * 400])
def test_parse_double_refuses(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_double(text)


@pytest.mark.parametrize("text", [b"0x1p-1075", b"0x1p99999", b"-0x1p99999999999999999999"])
def test_parse_double_refuses_hexadecimal_out_of_range(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_double(text)


@given(st.lists(st.one_of(st.floats(allow_nan=False).map(format_double), st.binary(max_size=5))))
@example([b"1", b"-0", b"2.50", b"17"])
@example([b"1", b"1_0"])
@example([b"1,2"])
@example([b"9" * 400])
@example([b"0." + b"0" * 400 + b"1"])
def test_many_doubles_at_once(texts: list[bytes]) -> None:
    try:
        expected = list(map(parse_double, texts))
    except ValueError:
        with pytest.raises(ValueError):
            parse_doubles(texts)
    else:
        assert list(map(repr, parse_doubles(texts))) == list(map(repr, expected))


def test_parse_range_double() -> None:
    assert parse_range_double(b" 1") == parse_range_double(b"\t1") == 1.0
    assert parse_range_double(b"") == parse_range_double(b"1e-400") == 0.0
    assert parse_range_double(b"1e400") == parse_range_double(b"0x1p9999") == inf
    assert parse_range_double(b"-0x1p9999") == -inf
    assert parse_range_double(b"7\0junk") == 7.0
    for text in (b"1 ", b" ", b"nan", b"(1", b"1_0", b"+"):
        with pytest.raises(ValueError):
            parse_range_double(text)


def increment(a: bytes, b: bytes) -> bytes:
    return format_long_double(add_long_doubles(parse_long_double(a), parse_long_double(b)))


@pytest.mark.parametrize(
    ("a", "b", "total"),
    [
        (b"10.5", b"0.1", b"10.6"),
        (b"5.0e3", b"2.0e2", b"5200"),
        (b"3.0", b"1.1", b"4.1"),
        (b"0x10", b"1", b"17"),
        (b"-0", b"-0", b"0"),
        (b"-1e-20", b"0", b"0"),
        (b"1", b"-1.5", b"-0.5"),
        (b"0x1p-16445", b"1", b"1"),
        (b"17179869184", b"1", b"17179869185"),
        (b"18446744073709551616", b"1", b"18446744073709551616"),
    ],
)
def test_increment(a: bytes, b: bytes, total: bytes) -> None:
    assert increment(a, b) == total


def test_a_number_may_have_thousands_of_digits() -> None:
    total = increment(b"1e4900", b"1")
    assert len(total) == 4901
    assert total.startswith(
        b"1000000000000000000027083122306903498332240525040788343465029301119590"
    )
    assert increment(total, b"-1e4900") == b"0"


@pytest.mark.parametrize(
    ("a", "b"), [(b"inf", b"1"), (b"1", b"-inf"), (b"inf", b"-inf"), (b"1e4932", b"1e4932")]
)
def test_a_sum_must_be_finite(a: bytes, b: bytes) -> None:
    with pytest.raises(OverflowError):
        increment(a, b)


@pytest.mark.parametrize(
    "text", [*NO_NUMBERS, b"1e4933", b"1e-4951", b"0x1p-16447", b"1e999999999", b"1" * 5120]
)
def test_parse_long_double_refuses(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_long_double(text)


def value(x: LongDouble) -> Fraction:
    return x.mantissa * Fraction(2) ** x.exponent


@settings(derandomize=True)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_a_long_double_is_within_half_a_unit(number: object) -> None:
    text = str(number)
    x = parse_long_double(text.encode())
    assert x.mantissa.bit_length() <= 64
    exact = Fraction(text)
    assert abs(value(x) - exact) * 2**64 <= abs(exact)


@settings(derandomize=True)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_is_a_long_double(x: float) -> None:
    assert value(parse_long_double(b"%.1100f" % x)) == Fraction(x)


@settings(derandomize=True)
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_sums_are_at_least_as_good_as_those_of_doubles(a: float, b: float) -> None:
    total = float(increment(repr(a).encode(), repr(b).encode()))
    assert abs(total - (a + b)) <= ulp(abs(a) + abs(b)) + 1e-17


def test_infinity_has_no_digits() -> None:
    with pytest.raises(ValueError):
        format_long_double(parse_long_double(b"inf"))
