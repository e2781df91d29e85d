"""Splitting, quoting and memory sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyredis.quoting import parse_memory, quote, split_args

CONTROL = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}


def split_slowly(line: bytes) -> list[bytes]:
    """The grammar as a loop over characters."""
    text, at = line.decode("latin-1"), 0
    args: list[bytes] = []
    while True:
        while at < len(text) and text[at] in " \t\n\r\v\f":
            at += 1
        if at == len(text):
            return args
        word, end = "", None
        while end is None:
            char = text[at : at + 1]
            if char in ("", " ", "\n", "\r", "\t"):
                end = at
            elif char not in "\"'":
                word, at = word + char, at + 1
            else:
                at += 1
                while text[at : at + 1] != char:
                    if at >= len(text):
                        raise ValueError
                    hexadecimal = text[at + 2 : at + 4]
                    if char == "'":
                        step = 2 if text[at : at + 2] == "\\'" else 1
                        word += "'" if step == 2 else text[at]
                    elif text[at] != "\\" or at + 1 == len(text):
                        word, step = word + text[at], 1
                    elif (
                        text[at + 1] == "x"
                        and len(hexadecimal) == 2
                        and all(digit in "0123456789abcdefABCDEF" for digit in hexadecimal)
                    ):
                        word, step = word + chr(int(hexadecimal, 16)), 4
                    else:
                        word, step = word + CONTROL.get(text[at + 1], text[at + 1]), 2
                    at += step
                at += 1
                if at < len(text) and text[at] not in " \t\n\r\v\f":
                    raise ValueError
                end = at
        args.append(word.encode("latin-1"))


@pytest.mark.parametrize(
    ("line", "args"),
    [
        (b"", []),
        (b" \t\r\n", []),
        (b"set  key\tvalue\r\n", [b"set", b"key", b"value"]),
        (rb'echo "a\x41\n\q\"" ', [b"echo", b'aA\nq"']),
        (rb"echo 'a\'b\n'", [b"echo", rb"a'b\n"]),
        (b'a"b c" d', [b"ab c", b"d"]),
        (b"'' \"\"", [b"", b""]),
        (b"\xff\x00 b", [b"\xff\x00", b"b"]),
    ],
)
def test_split(line: bytes, args: list[bytes]) -> None:
    assert split_args(line) == args


@pytest.mark.parametrize("line", [b'"a', b"'a", b'"a"b', b"'a'b", rb'"a\"', rb"'a\'", b'a"b"c'])
def test_split_refuses_unbalanced_quotes(line: bytes) -> None:
    with pytest.raises(ValueError, match="unbalanced"):
        split_args(line)


@given(st.lists(st.sampled_from(list("\"'\\ \t\vxnaf4\0é")), max_size=12).map("".join))
def test_split_agrees_with_the_slow_twin(text: str) -> None:
    line = text.encode("latin-1")
    try:
        expected = split_slowly(line)
    except ValueError:
        with pytest.raises(ValueError, match="unbalanced"):
            split_args(line)
    else:
        assert split_args(line) == expected


@given(st.lists(st.binary(max_size=20)))
def test_quoted_arguments_come_back(args: list[bytes]) -> None:
    line = b" ".join(map(quote, args))
    assert split_args(line) == args
    assert all(0x20 <= byte < 0x7F for byte in line)


def test_quote() -> None:
    assert quote(b'a"\\\n\x00\xff') == rb'"a\"\\\n\x00\xff"'


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 0),
        ("7", 7),
        ("7B", 7),
        ("1k", 1000),
        ("1kb", 1024),
        ("2M", 2_000_000),
        ("2mB", 2 << 20),
        ("3g", 3_000_000_000),
        ("3gb", 3 << 30),
        ("mb", 0),
        ("9" * 30, (1 << 64) - 1),
        ("18446744073709551615gb", (1 << 64) - (1 << 30)),
    ],
)
def test_memory(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["-1", "+1", " 1", "1 ", "1.5gb", "1tb", "x", "1kbb", "٣"])
def test_memory_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="memory value"):
        parse_memory(text)
