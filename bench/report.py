"""Tables of figures, the verdict on each line, and the files that keep a run.

One rendering serves the terminal and the results file: an aligned Markdown table reads well as
plain text too. The JSON beside it holds the same lines as numbers, for comparing runs.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Bound:
    """What a figure must reach: a floor (>=) or a ceiling (<=)."""

    relation: Literal[">=", "<="]
    value: float

    def holds(self, figure: float) -> bool:
        return figure >= self.value if self.relation == ">=" else figure <= self.value

    def __str__(self) -> str:
        return f"{self.relation} {self.value:g}"


@dataclass(frozen=True)
class Line:
    """Named figures of one test. The figure called `judged` is held against the bound."""

    name: str
    figures: Mapping[str, float]
    bound: Bound | None = None
    judged: str = "ratio"

    @property
    def reached(self) -> bool | None:
        """True or False where there is a bound, otherwise None."""
        return None if self.bound is None else self.bound.holds(self.figures[self.judged])


@dataclass(frozen=True)
class Table:
    """Lines that share their columns, with a title and perhaps a note on how to read them."""

    title: str
    lines: Sequence[Line]
    note: str = ""

    def render(self) -> str:
        """Return the aligned Markdown text; columns are the figures of the first line."""
        if not self.lines:
            return f"## {self.title}\n\n(nothing measured)\n"
        columns = list(self.lines[0].figures)
        judged = any(line.bound for line in self.lines)
        rows = [["test", *columns, *(["bound", "reached"] if judged else [])]]
        for line in self.lines:
            cells = [line.name, *(number(line.figures[column]) for column in columns)]
            if judged:
                verdict = {None: "", True: "yes", False: "NO"}[line.reached]
                cells += [str(line.bound or ""), verdict]
            rows.append(cells)
        note = f"{self.note}\n\n" if self.note else ""
        return f"## {self.title}\n\n{note}{align(rows)}\n"


def number(value: float) -> str:
    """Return a figure as people read it: thousands whole and grouped, small ones with decimals."""
    decimals = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2
    return f"{value:,.{decimals}f}"


def align(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: first row as header, first column left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    body = [
        " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])])
    return "\n".join([f"| {body[0]} |", f"|{rule}|", *(f"| {line} |" for line in body[1:])])


def summary(tables: Sequence[Table]) -> str:
    """Return one sentence that counts the bounds reached and names those missed."""
    judged = [(table, line) for table in tables for line in table.lines if line.bound]
    missed = [f"{line.name} ({table.title})" for table, line in judged if not line.reached]
    text = f"{len(judged) - len(missed)} of {len(judged)} bounds reached."
    return f"{text} Missed: {'; '.join(missed)}." if missed else text


def machine() -> dict[str, str]:
    """Return what the figures depend on: processor, cores, kernel, Python, and the load now."""
    text = Path("/proc/cpuinfo").read_text()
    models = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load at start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def write(folder: Path, when: datetime, facts: Mapping[str, str], tables: Sequence[Table]) -> Path:
    """Write STAMP.json and STAMP.md into the folder, made if absent; return the Markdown path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{when:%Y-%m-%dT%H%M%S}.md"
    head = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    body = "\n".join(table.render() for table in tables)
    path.write_text(f"# {when:%Y-%m-%d %H:%M}\n\n{head}\n\n{body}\n{summary(tables)}\n")
    document = {
        "date": when.isoformat(timespec="seconds"),
        "machine": dict(facts),
        "tables": [
            {
                "title": table.title,
                "lines": [asdict(line) | {"reached": line.reached} for line in table.lines],
            }
            for table in tables
        ],
    }
    path.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    return path
