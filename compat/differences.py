"""The differences between Redis 7.0.15, the reference, and this server, each with its reason.

We follow Redis 7.2 and later, so replies differ where Redis itself changed. Every row tells
what it covers as narrowly as it can; what no row covers is a bug. Fewer than twenty rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from compat.replies import is_error, items
from compat.undefined import name, same


@dataclass(frozen=True)
class Row:
    """``covers`` is asked with a request, the reply of the reference, and ours."""

    title: str
    reason: str
    covers: Callable[[list[bytes], Any, Any], bool]


def explain(argv: list[bytes], expected: Any, got: Any) -> Row | None:
    """The row that covers a difference, None if there is none."""
    return next((row for row in ROWS if row.covers(argv, expected, got)), None)


def _encoding(argv: list[bytes], expected: Any, got: Any) -> bool:
    return name(argv) == b"OBJECT ENCODING" and (expected, got) in (
        (b"quicklist", b"listpack"),
        (b"hashtable", b"listpack"),
    )


def _scores(argv: list[bytes], expected: Any, got: Any) -> bool:
    """Equal but for the text of doubles."""
    word = name(argv)
    if word[:1] not in (b"Z", b"B", b"H") and word not in (b"OBJECT ENCODING",):
        return False
    return same(argv, _read_doubles(expected), _read_doubles(got))


def _read_doubles(reply: Any) -> Any:
    elements = items(reply)
    if elements is not None:
        read = [_read_doubles(element) for element in elements]
        return read if type(reply) is list else (reply[0], read)
    text = reply[1] if type(reply) is tuple and reply[0] == "," else reply
    if type(text) is bytes:
        try:
            return (",", repr(float(text)).encode())
        except ValueError:
            pass
    return reply


def _withscore(argv: list[bytes], expected: Any, got: Any) -> bool:
    return name(argv) in (b"ZRANK", b"ZREVRANK") and len(argv) > 3 and is_error(expected)


ROWS: Final = (
    Row(
        "list and set encodings",
        "7.2 stores short lists and short sets of strings as listpacks",
        _encoding,
    ),
    Row(
        "text of doubles",
        "7.2 prints the shortest digits that read back, 7.0 seventeen",
        _scores,
    ),
    Row(
        "ZRANK and ZREVRANK with a third argument",
        "7.2 adds WITHSCORE, 7.0 has a fixed arity",
        _withscore,
    ),
)
