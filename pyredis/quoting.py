"""Splitting lines into arguments, quoting bytes for people, reading memory sizes.

Two places accept arguments as a line of text: the configuration file and the inline form of
the protocol. Both share one small grammar:

    line     = { blank } [ argument { blank { blank } argument } ]
    argument = plain* [ double | single ]       a quoted part always ends the argument
    double   = '"' ... '"'    with \\n \\r \\t \\b \\a, \\xHH, and backslash + any other byte
    single   = "'" ... "'"    where \\' is the only escape

so `a"b c"` is the one argument `ab c`, while `"a"b` is an error: a closing quote must be
followed by a blank or by the end. The grammar has no ambiguity, hence one regular expression
with possessive quantifiers walks the line once, O(length). Lines without any quote, which is
nearly all of them, take `bytes.split` alone.

Departure from Redis: a NUL byte is an ordinary byte here. Redis' splitter works on C strings
and silently drops what follows a NUL.
"""

import re

_ARGUMENT = re.compile(
    rb"""[ \t-\r]*+                                      # blanks before
    ([^ \t\n\r"']*+)                                     # 1: plain bytes
    (?: "( [^"\\]*+ (?: \\. [^"\\]*+ )*+ )" (?=[ \t-\r]|\Z)    # 2: double quoted
      | '( [^'\\]*+ (?: \\'? [^'\\]*+ )*+ )' (?=[ \t-\r]|\Z)   # 3: single quoted
      | (?=[ \t\n\r]|\Z) )                                     # or none: ends at a blank
    """,
    re.VERBOSE | re.DOTALL,
)
_NEEDS_GRAMMAR = re.compile(rb"[\"'\v\f]")
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_CONTROL = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def _unescape(found: re.Match[bytes]) -> bytes:
    digits, char = found.groups()
    return bytes.fromhex(digits.decode()) if digits else _CONTROL.get(char, char)


def split_args(line: bytes) -> list[bytes]:
    """The arguments of a line, unquoted; an empty list for a blank line.

    Raises ValueError when a quote is left open or is followed by a non-blank byte.
    """
    if _NEEDS_GRAMMAR.search(line) is None:
        return line.split()
    args: list[bytes] = []
    position, end = 0, len(line)
    while position < end:
        found = _ARGUMENT.match(line, position)
        if found is None:
            raise ValueError("unbalanced quotes")
        plain, double, single = found.groups()
        if double is not None:
            plain += _ESCAPE.sub(_unescape, double)
        elif single is not None:
            plain += single.replace(b"\\'", b"'")
        elif not plain:
            break  # only blanks were left
        args.append(plain)
        position = found.end()
    return args


def _quoted_byte(byte: int) -> bytes:
    char = bytes([byte])
    if char in b'"\\':
        return b"\\" + char
    for name, control in _CONTROL.items():
        if char == control:
            return b"\\" + name
    return char if 0x20 <= byte < 0x7F else b"\\x%02x" % byte


_QUOTED = tuple(_quoted_byte(byte) for byte in range(256))
_NEEDS_QUOTING = re.compile(rb"[^ !#-\[\]-~]")


def quote(value: bytes) -> bytes:
    """The value between double quotes, printable ASCII only; `split_args` reads it back."""
    if _NEEDS_QUOTING.search(value) is None:
        return b'"' + value + b'"'
    return b'"' + b"".join([_QUOTED[byte] for byte in value]) + b'"'


_MEMORY = re.compile(r"([0-9]*)(b|k|kb|m|mb|g|gb)?", re.IGNORECASE | re.ASCII)
_UNITS = {
    "b": 1,
    "k": 1000,
    "kb": 1 << 10,
    "m": 1000**2,
    "mb": 1 << 20,
    "g": 1000**3,
    "gb": 1 << 30,
}


def parse_memory(text: str) -> int:
    """The bytes that `100mb`, `1g`, `512` ... stand for: `k` is 1000, `kb` is 1024.

    As in Redis a missing number is zero, and the result is an unsigned 64-bit one: too many
    digits saturate, a unit that overflows wraps around. Raises ValueError for anything else.
    """
    found = _MEMORY.fullmatch(text)
    if found is None or len(found[1]) > 127:
        raise ValueError("argument must be a memory value")
    number = min(int(found[1] or 0), (1 << 64) - 1)
    return number * _UNITS[(found[2] or "b").lower()] & ((1 << 64) - 1)
