"""Numbers that are not integers: how Redis reads, adds and prints them.

Scores are IEEE doubles, and Python's float is the same thing, so only the text differs:

    reading   C's strtod with conditions: no blanks, nothing behind the number, no NaN, no
              overflow and no underflow to zero. Hexadecimal (0x1.8p1) and inf are numbers.
              Python's float() reads the decimal forms alike, but also takes blanks and 1_000.
    printing  the form of Redis 7.2: integers up to 2**62 in full, everything else by its
              shortest digits that read back to the same double. The layout of these digits is
              that of the fpconv library, see `format_double`. (Redis 7.0 printed %.17g, hence
              its 0.10000000000000001.) fpconv's Grisu2 misses the shortest digits about once
              in a thousand doubles and then prints one digit more; repr() never does. Both
              texts read back to the same double.

INCRBYFLOAT and HINCRBYFLOAT compute in x86's 80-bit long double and print %.17Lf without the
trailing zeros. Seventeen places show where a double's bits would end, so plain floats would give
10.59999999999999964 instead of 10.6. Decimal would round elsewhere too. What is exact is simple
enough in integers: a long double is `mantissa * 2**exponent` with a mantissa of 64 bits, and
sum and quotient are computed exactly, then rounded once, half to even.

Range scores (ZRANGEBYSCORE's min and max) pass through strtod without those conditions: leading
blanks, overflow (to inf) and even the empty text (0) are accepted there.
"""

from __future__ import annotations

import contextlib
import re
from typing import Final, NamedTuple

_INTEGER_MAX: Final = float(2**62)  # integers up to here are printed as such
_PLACES_MAX: Final = 6  # with so many places the point is used whatever the magnitude
_ZEROS_MAX: Final = 6  # so many zeros are appended to print a large integer in full

_PLAIN = re.compile(rb"[-0-9.,]*")  # what float() either reads as Redis does, or refuses
_PLAIN_BYTES_MAX: Final = 64  # too few to overflow, or to underflow
_NUMBER = re.compile(
    rb"(?P<sign>[+-]?)(?:"
    rb"0[xX](?P<hex>[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP](?P<power>[+-]?[0-9]+))?"
    rb"|(?P<decimal>[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE](?P<scale>[+-]?[0-9]+))?"
    rb"|(?P<inf>[iI][nN][fF](?:[iI][nN][iI][tT][yY])?))"
)


# Doubles


def format_double(x: float) -> bytes:
    """Returns the text of a score as Redis 7.2 replies it; also inf, -inf, nan and -0.

    Let the shortest digits be d1…dn, so that |x| = d1…dn * 10**k = d1.d2…dn * 10**e. Then:
      1. an integer up to 2**62 in magnitude is printed exactly;
      2. a larger one gets its k zeros when e <= n + 6;
      3. a fraction (k < 0) is printed with a point when it has at most 6 places or |e| < 4;
      4. all else is scientific, the exponent signed and without leading zeros.
    """
    if -_INTEGER_MAX <= x <= _INTEGER_MAX:
        whole = int(x)
        if whole == x:
            return b"%d" % whole if whole else b"-0" if str(x)[0] == "-" else b"0"
    elif x - x != 0.0:
        return str(x).encode()  # inf, -inf, nan
    text = repr(x)
    if "." in text[-1 - _PLACES_MAX :] and "e" not in text:
        return text.encode()  # the common half of case 3
    return _lay_out(text).encode()


def format_scan_score(x: float) -> bytes:
    """Returns a score as ZSCAN of Redis 7.2 prints it for a large set: still 17 digits (%.17g).

    ZSCAN of a small (listpack) set replies the stored text, which is `format_double`.
    """
    return b"%.17g" % x


def _lay_out(text: str) -> str:
    """Returns the repr of a finite double re-arranged by the cases 2 to 4."""
    sign = "-" if text[0] == "-" else ""
    significand, _, scale = text.removeprefix("-").partition("e")
    whole, _, places = significand.partition(".")
    padded = (whole + places).lstrip("0")
    digits = padded.rstrip("0")
    k = int(scale or "0") - len(places) + len(padded) - len(digits)
    e = k + len(digits) - 1
    if k >= 0 and e <= len(digits) + _ZEROS_MAX:
        return sign + digits + "0" * k
    if k < 0 and (k >= -_PLACES_MAX or abs(e) < 4):
        digits = digits.rjust(1 - k, "0")
        return f"{sign}{digits[:k]}.{digits[k:]}"
    point = "." if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{point}{digits[1:]}e{e:+d}"


def parse_double(text: bytes) -> float:
    """Returns the double that `text` spells; raises ValueError where Redis refuses it."""
    try:
        x = float(text)
    except ValueError:
        return _parse_unusual(text)
    if x == 0.0 or x - x != 0.0 or text[0] <= 32 or text[-1] <= 32 or b"_" in text:
        return x if text == b"0" else _parse_unusual(text)
    return x


def parse_doubles(texts: list[bytes]) -> list[float]:
    """Returns the doubles that texts spell, as ``parse_double`` does, quickly if all are plain."""
    longest = max(map(len, texts), default=0)
    if longest <= _PLAIN_BYTES_MAX and _PLAIN.fullmatch(b",".join(texts)):
        with contextlib.suppress(ValueError):
            return list(map(float, texts))
    return list(map(parse_double, texts))


def _parse_unusual(text: bytes) -> float:
    """Returns what is literally zero, infinite or hexadecimal; raises ValueError for the rest."""
    number = _NUMBER.fullmatch(text)
    if number is None:
        raise ValueError("not a number")
    if number["hex"] is None:
        x = float(text)
    else:
        try:
            x = float.fromhex(text.decode())
        except OverflowError:
            raise ValueError("number too large") from None
    if x - x != 0.0 and number["inf"] is None:
        raise ValueError("number too large")
    if x == 0.0 and (number["hex"] or number["decimal"]).strip(b"0."):
        raise ValueError("number too small")
    return x


def parse_range_double(text: bytes) -> float:
    """Returns the score that bounds a range, read by bare strtod; raises ValueError.

    What follows a NUL is not seen, the empty text is 0, and leading blanks are skipped.
    Too large becomes infinite, too small becomes zero. NaN is refused.
    """
    text = text.partition(b"\0")[0]
    if not text:
        return 0.0
    number = _NUMBER.fullmatch(text.lstrip(b" \t\n\v\f\r"))
    if number is None:
        raise ValueError("not a number")
    if number["hex"] is None:
        return float(number[0])
    try:
        return float.fromhex(number[0].decode())
    except OverflowError:
        return float("-inf" if number["sign"] == b"-" else "inf")


# Long doubles

_MANTISSA_BITS: Final = 64
_EXPONENT_MIN: Final = -16445  # of the smallest denormal, 2**-16445
_EXPONENT_MAX: Final = 16384 - _MANTISSA_BITS  # of a mantissa of full length
_INFINITE: Final = 1 << 20  # the exponent that marks an infinity
_DIGITS_MAX: Final = 5 * 1024 - 1  # longer texts are refused
_CLAMP: Final = 50_000  # no text short enough makes up for such an exponent, of 2 or of 10
_DECIMALS: Final = 17
_CHUNK: Final = 4000  # decimal digits that int() and str() convert with their limit at 4300
_CHUNK_UNIT: Final[int] = 10**_CHUNK


class LongDouble(NamedTuple):
    """An x87 extended number: mantissa * 2**exponent, with |mantissa| < 2**64."""

    mantissa: int
    exponent: int

    @property
    def finite(self) -> bool:
        """Tells whether this is a number proper and not an infinity."""
        return self.exponent != _INFINITE


def parse_long_double(text: bytes) -> LongDouble:
    """Returns the long double that `text` spells; raises ValueError where Redis refuses it.

    Infinities are numbers here; it is the sum that may not be one.
    """
    number = _NUMBER.fullmatch(text) if len(text) <= _DIGITS_MAX else None
    if number is None:
        raise ValueError("not a number")
    sign = -1 if number["sign"] == b"-" else 1
    if number["inf"]:
        return LongDouble(sign, _INFINITE)
    if number["hex"]:
        whole, _, places = number["hex"].partition(b".")
        mantissa = int(whole + places, 16)
        exponent = _clamped(number["power"]) - 4 * len(places)
        x = _rounded(sign * mantissa, exponent)
    else:
        whole, _, places = number["decimal"].partition(b".")
        mantissa = _int_of(whole + places)
        x = _scaled(sign * mantissa, _clamped(number["scale"]) - len(places))
    if not x.finite:
        raise ValueError("number too large")
    if mantissa and not x.mantissa:
        raise ValueError("number too small")
    return x


def add_long_doubles(a: LongDouble, b: LongDouble) -> LongDouble:
    """Returns the rounded sum; raises OverflowError when it is NaN or infinite."""
    if a.finite and b.finite:
        low = min(a.exponent, b.exponent)
        exact = (a.mantissa << (a.exponent - low)) + (b.mantissa << (b.exponent - low))
        total = _rounded(exact, low)
        if total.finite:
            return total
    raise OverflowError("sum is NaN or infinite")


def format_long_double(x: LongDouble) -> bytes:
    """Returns a finite number with up to 17 decimals and no trailing zeros; zero has no sign.

    The value is rounded half to even, as printf does. Raises ValueError for infinities.
    """
    if not x.finite:
        raise ValueError("an infinity has no digits")
    magnitude = abs(x.mantissa)
    sign = "-" if x.mantissa < 0 else ""
    if x.exponent >= 0:
        return (sign + _digits_of(magnitude << x.exponent)).encode()
    units = _shifted(magnitude * 10**_DECIMALS, -x.exponent)
    digits = _digits_of(units).rjust(_DECIMALS + 1, "0")
    places = digits[-_DECIMALS:].rstrip("0")
    point = "." if places else ""
    return f"{sign if units else ''}{digits[:-_DECIMALS]}{point}{places}".encode()


def _clamped(exponent: bytes | None) -> int:
    """Returns a written exponent, cut to where the result is settled anyway."""
    if exponent is None:
        return 0
    sign = -1 if exponent[:1] == b"-" else 1
    digits = exponent.lstrip(b"+-0")
    return sign * (min(int(digits or b"0"), _CLAMP) if len(digits) < 9 else _CLAMP)


def _scaled(mantissa: int, k: int) -> LongDouble:
    """Returns mantissa * 10**k, rounded."""
    if k >= 0:
        return _rounded(mantissa * 10**k if mantissa else 0, 0)
    divisor = 10**-k
    shift = max(0, _MANTISSA_BITS + 2 + divisor.bit_length() - mantissa.bit_length())
    quotient, rest = divmod(abs(mantissa) << shift, divisor)
    quotient = quotient << 1 | (rest > 0)  # the last bit says: there is more below
    return _rounded(quotient if mantissa >= 0 else -quotient, -shift - 1)


def _rounded(mantissa: int, exponent: int) -> LongDouble:
    """Returns the long double nearest to mantissa * 2**exponent, ties to the even mantissa."""
    magnitude = abs(mantissa)
    excess = max(magnitude.bit_length() - _MANTISSA_BITS, _EXPONENT_MIN - exponent)
    if excess > 0:
        magnitude = _shifted(magnitude, excess)
        exponent += excess
    if exponent + magnitude.bit_length() > _EXPONENT_MAX + _MANTISSA_BITS and magnitude:
        return LongDouble(1 if mantissa > 0 else -1, _INFINITE)
    if not magnitude:
        return LongDouble(0, 0)
    return LongDouble(magnitude if mantissa > 0 else -magnitude, exponent)


def _shifted(magnitude: int, bits: int) -> int:
    """Returns magnitude / 2**bits for bits > 0, rounded half to even."""
    kept = magnitude >> bits
    dropped = magnitude - (kept << bits)
    half = 1 << (bits - 1)
    return kept + 1 if dropped > half or (dropped == half and kept & 1) else kept


def _int_of(digits: bytes) -> int:
    """Returns int(digits), also beyond the length that int() takes."""
    if len(digits) <= _CHUNK:
        return int(digits)
    return int(digits[:-_CHUNK]) * _CHUNK_UNIT + int(digits[-_CHUNK:])


def _digits_of(n: int) -> str:
    """Returns str(n), also beyond the length that str() gives."""
    if n < _CHUNK_UNIT:
        return str(n)
    head, tail = divmod(n, _CHUNK_UNIT)
    return f"{head}{tail:0{_CHUNK}d}"
