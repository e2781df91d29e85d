"""What is sent: commands of several clients in one order, and the text form of it.

A *step* is what one client sends in one go: usually one command, two where a command only
makes sense with its successor (a random pop and the deletion that makes both servers equal
again). A *sequence* is a list of steps.

The text form has one command a line in redis-cli's quoting. ``@2`` in front says that the
second client sends it; ``&`` at the end ties the next line to the same step. Blank lines
part sequences, ``#`` begins a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pyredis.quoting import quote, split_args

Argv = list[bytes]
CLIENTS_MAX = 3
_PLAIN = re.compile(rb"[!-%(-~]+\Z")


class Step(NamedTuple):
    """Commands that one client sends together."""

    client: int
    commands: list[Argv]


def encode(argv: Iterable[bytes]) -> bytes:
    """A command on the wire."""
    parts = [b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in argv]
    return b"*%d\r\n" % len(parts) + b"".join(parts)


def _word(arg: bytes) -> bytes:
    plain = _PLAIN.match(arg) and b'"' not in arg and arg[:1] not in (b"#", b"@", b"&")
    return arg if plain else quote(arg)


def line(argv: Sequence[bytes]) -> str:
    """A command as text."""
    return b" ".join(map(_word, argv)).decode("latin-1")


def text(steps: Sequence[Step]) -> str:
    """A sequence as text, a command a line."""
    lines = []
    for client, commands in steps:
        mark = f"@{client + 1} " if client else ""
        lines += [f"{mark}{line(argv)} &" for argv in commands[:-1]]
        lines.append(mark + line(commands[-1]))
    return "\n".join(lines)


def read(source: str) -> list[list[Step]]:
    """The sequences of a text. Raises ValueError for a line that cannot be read."""
    sequences: list[list[Step]] = []
    steps: list[Step] = []
    tied = False
    for raw in [*source.split("\n"), ""]:
        content = raw.strip()
        if content.startswith("#"):
            continue
        if not content:
            if steps:
                sequences.append(steps)
            steps, tied = [], False
            continue
        client = 0
        found = re.match(r"@(\d+) ", content)
        if found:
            client, content = int(found[1]) - 1, content[found.end() :]
        tie_next = content.endswith(" &")
        argv = split_args(content.removesuffix(" &").encode("latin-1"))
        if tied and steps[-1].client == client:
            steps[-1].commands.append(argv)
        else:
            steps.append(Step(client, [argv]))
        tied = tie_next
    return sequences


def corpus(folder: Path) -> list[tuple[str, list[Step]]]:
    """All sequences of a folder's files, each with the name of its file."""
    return [
        (path.name, steps)
        for path in sorted(folder.glob("*.txt"))
        for steps in read(path.read_text(encoding="latin-1"))
    ]
