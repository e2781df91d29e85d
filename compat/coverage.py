"""``python -m compat.coverage``: writes COVERAGE.md, the state of every command of Redis.

    python -m compat.coverage            writes the file
    python -m compat.coverage --check    exit status 1 if the file is out of date

The names are facts and stand in ``redis-commands.txt``. Nothing of the states is typed:

1. *not yet*: our command table has no such command.
2. *differs*: a row of ``differences.py`` names it, or it is one of the HELPs, which have a row in
   common; or it lacks what a lone node has no use for, and says so (``LACKS``).
3. *done*: everything else.

A third column tells who compares it with a real server: the harness, if its generator draws the
command (or sends it itself, as it does for transactions); else our own tests alone.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from compat.differences import ROWS
from compat.generate import Generator
from pyredis.server import command_table

NAMES: Final = Path(__file__).parent / "redis-commands.txt"
FILE: Final = Path(__file__).parent / "COVERAGE.md"

TRANSACTION: Final = ("MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH")
"""What the harness sends by itself, around the commands that it draws."""

LACKS: Final = {
    "ASKING": "answers as a node outside a cluster does, there is no cluster yet",
    "CLUSTER": "answers as a node outside a cluster does, there is no cluster yet",
    "MODULE LOAD": "modules are native code and cannot be loaded here",
    "MODULE LOADEX": "modules are native code and cannot be loaded here",
    "READONLY": "answers as a node outside a cluster does, there is no cluster yet",
    "READWRITE": "answers as a node outside a cluster does, there is no cluster yet",
    "SCRIPT DEBUG": "there is no debugger for scripts",
}
"""Commands, or containers, that are there to say what is not."""


@dataclass(frozen=True)
class Command:
    """One line of the matrix."""

    name: str
    since: str
    state: str
    judge: str

    @property
    def kind(self) -> str:
        """``done``, ``differs`` or ``not yet``."""
        return self.state.partition(":")[0]


def names() -> list[tuple[str, str]]:
    """All commands and the versions that brought them, in the order of versions and names."""
    sections: dict[str, str] = {}
    version = ""
    for line in NAMES.read_text().splitlines():
        if line.startswith(" "):
            sections[version] = sections.get(version, "") + line
        elif line and not line.startswith("#"):
            version = line
    return [
        (" ".join(name.split()), version)
        for version, section in sections.items()
        for name in section.split(",")
    ]


def matrix() -> list[Command]:
    """The state of every command."""
    table = command_table()
    here = {entry.spec.name for entry in table.all()}
    generator = Generator(table.all())
    compared = {name for group in generator.templates.values() for name, _ in group}
    compared |= {template.name for template in generator.blocking} | set(TRANSACTION)
    return [
        Command(
            name,
            since,
            _state(name) if name in here else "not yet",
            ("harness" if name in compared else "own tests") if name in here else "",
        )
        for name, since in names()
    ]


def _state(name: str) -> str:
    container = name.partition(" ")[0]
    reasons = [LACKS[lacking] for lacking in (name, container) if lacking in LACKS][:1]
    for row in ROWS:
        words = re.findall(r"[A-Z]{2,}(?: [A-Z]{2,})?", row.title)
        if name in words or ("HELP" in words and name.endswith(" HELP")):
            reasons.append(row.reason)
    return f"differs: {'; '.join(reasons)}" if reasons else "done"


def page(commands: Sequence[Command]) -> str:
    """The file: the counts by version, then every command."""
    versions = list(dict.fromkeys(command.since for command in commands))
    kinds = ("done", "differs", "not yet")
    lines = [
        "# Coverage",
        "",
        "The state of every command and subcommand of Redis. This file is generated from the",
        "command table and the harness by `make coverage`; how, is told in `coverage.py`.",
        "*Differs* is from 7.0.15, the reference, where the reason is a later version of Redis.",
        "Commands of Sentinel and of Redis' bundled modules are not on the list.",
        "",
        "| new in | done | differs | not yet |",
        "|---|---:|---:|---:|",
    ]
    for version in versions:
        counts = Counter(command.kind for command in commands if command.since == version)
        shown = f"{version} and before" if version == versions[0] else version
        lines.append(f"| {shown} | " + " | ".join(str(counts[kind]) for kind in kinds) + " |")
    counts = Counter(command.kind for command in commands)
    lines.append("| all | " + " | ".join(str(counts[kind]) for kind in kinds) + " |")
    for version in versions:
        title = f"Redis {version} and before" if version == versions[0] else f"New in {version}"
        lines += ["", f"## {title}", "", "| command | state | compared by |", "|---|---|---|"]
        lines += [
            f"| {command.name} | {command.state} | {command.judge} |"
            for command in commands
            if command.since == version
        ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    text = page(matrix())
    if "--check" in (sys.argv[1:] if arguments is None else arguments):
        return int(not FILE.exists() or FILE.read_text() != text)
    FILE.write_text(text)
    print(f"{FILE} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
