"""The first line of a script or library: ``#!lua name=mylib flags=no-writes,allow-oom``.

A script without it runs in the mode of old: whatever it does is checked when it does it. With
it, what the flags do not promise is assumed, and refused before the script has started.
"""

from __future__ import annotations

import re
from typing import Final

from pyredis.quoting import split_args
from pyredis.resp import Error

FLAGS: Final = ("no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys")
BAD_NAME: Final = (
    "Library names can only contain letters, numbers, or underscores(_) "
    "and must be at least one character long"
)
_NAME: Final = re.compile(rb"[A-Za-z0-9_]+\Z")


def is_name(name: bytes) -> bool:
    """Whether a library or a function may be called that."""
    return _NAME.match(name) is not None


def parse_flags(names: list[bytes]) -> frozenset[str] | None:
    """The flags of that name, None when one is unknown."""
    texts = [name.decode("latin-1").lower() for name in names]
    return frozenset(texts) if all(text in FLAGS for text in texts) else None


def _first_line(text: bytes, problem: str) -> tuple[list[bytes], bytes]:
    """The words of the first line, and the rest with its line break. Raises Error."""
    end = text.find(b"\n")
    if end < 0:
        raise Error(problem)
    try:
        words = split_args(text[:end])
    except ValueError:
        raise Error(problem) from None
    return words, text[end:]


def read_script(text: bytes) -> tuple[frozenset[str] | None, bytes]:
    """Flags of a script, None in the mode of old, and its code with all its lines.

    Raises Error for a line it cannot make sense of.
    """
    if not text.startswith(b"#!"):
        return None, text
    words, code = _first_line(text, "ERR Invalid script shebang")
    if words[0] != b"#!lua":
        raise Error(b"ERR Unexpected engine in script shebang: " + words[0])
    flags: frozenset[str] = frozenset()
    for word in words[1:]:
        if not word.startswith(b"flags="):
            raise Error(b"ERR Unknown lua shebang option: " + word)
        for name in word[6:].split(b","):
            if not name:
                continue
            if name.decode("latin-1") not in FLAGS:
                raise Error(b"ERR Unexpected flag in script shebang: " + name)
            flags |= {name.decode("latin-1")}
    return flags, code


def read_library(text: bytes) -> tuple[bytes, bytes]:
    """Name and code of a function library. Raises Error."""
    if not text.startswith(b"#!"):
        raise Error("ERR Missing library metadata")
    words, code = _first_line(text, "ERR Invalid library metadata")
    engine, name = words[0][2:], None
    for word in words[1:]:
        if not word[:5].lower() == b"name=":
            raise Error(b"ERR Invalid metadata value given: " + word)
        if name is not None:
            raise Error("ERR Invalid metadata value, name argument was given multiple times")
        name = word[5:]
    if name is None:
        raise Error("ERR Library name was not given")
    if not is_name(name):
        raise Error("ERR " + BAD_NAME)
    if engine.lower() != b"lua":
        raise Error(b"ERR Engine '%b' not found" % engine)
    return name, code
