"""COMMAND, COMMAND DOCS, ACL CAT and CONFIG GET * of both servers, entry by entry.

    python -m compat.commands        prints what differs; exit status 1 if anything is unexplained

Texts are our own, so of summaries and histories only the versions are compared, of
complexities only the formulas. What 7.2 changed stands in the tables of
``tests/test_specs.py`` with its reasons; the same tables explain here. Commands that the
reference has and we have not yet are listed, and are no failure.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any, Final

from compat.servers import Follower
from compat.workshop import end_on_signals
from tests.support import WireClient
from tests.test_specs import ADDED, CHANGED, NEW, docs_of, info_of, plain, renamed

NEW_SETTINGS: Final = {
    "cluster-announce-human-nodename": "7.2",
    "locale-collate": "7.2",
    "set-max-listpack-entries": "7.2",
    "set-max-listpack-value": "7.2",
    "hide-user-data-from-log": "7.4",
    "max-new-connections-per-cycle": "7.4",
    "max-new-tls-connections-per-cycle": "7.4",
    "aof-load-corrupt-tail-max-size": "8.x",
    "rdb-version": "pyredis",
    "startup-guard": "pyredis",
}
OWN_SETTINGS: Final = ("dir", "port")
"""Settings with which each server was started."""

Entries = dict[str, dict[str, Any]]


class Comparison:
    """Counts and findings of one kind of entry."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.equal = 0
        self.reasons: Counter[str] = Counter()
        self.missing: list[str] = []
        self.wrong: list[str] = []

    def report(self) -> None:
        """Print them."""
        print(f"{self.title}: {self.equal} equal")
        for reason, count in sorted(self.reasons.items()):
            print(f"  {count:>4} explained: {reason}")
        if self.missing:
            print(f"  {len(self.missing):>4} not yet: {' '.join(sorted(self.missing))}")
        for line in self.wrong:
            print(f"  DIFFERS {line}")


def main() -> int:
    """Compare and print; returns the exit status."""
    servers: list[Follower] = []
    try:
        for start in (Follower.reference, Follower.node):
            servers.append(start())
        clients = [WireClient(server.port) for server in servers]
        for client in clients:
            client("HELLO", 3)
        found = [specs(*clients), categories(*clients), settings(*clients)]
        for client in clients:
            client.close()
    finally:
        for server in servers:
            server.close()
    for comparison in found:
        comparison.report()
    return 1 if any(comparison.wrong for comparison in found) else 0


def _entries(client: WireClient) -> Entries:
    """Every command and subcommand, with what COMMAND INFO and COMMAND DOCS say together."""
    found: Entries = {}

    def add(infos: Any, docs: dict[str, Any]) -> None:
        for info in infos:
            name = info[0].decode()
            children = info[9][1] if isinstance(info[9], tuple) else info[9]
            own_docs = docs[name]
            add(children, own_docs.get("subcommands", {}))
            found[name] = {"info": info, "docs": own_docs}

    add(client("COMMAND"), plain(client("COMMAND", "DOCS")))
    return found


def specs(reference: WireClient, ours: WireClient) -> Comparison:
    """Arity, flags, key specs, categories, tips, subcommands, arguments, versions."""
    result = Comparison("COMMAND and COMMAND DOCS")
    theirs, own = _entries(reference), _entries(ours)
    result.missing = sorted(set(theirs) - set(own))
    for name in sorted(own):
        if name not in theirs:
            if name in NEW:
                result.reasons[f"new in {NEW[name]}"] += 1
            else:
                result.wrong.append(f"{name}: the reference does not have it")
            continue
        got, expected = _facts(own[name], theirs[name])
        children = set(expected["subcommands"]) - set(result.missing)
        children |= {child for child in NEW if child.startswith(f"{name}|")}
        expected["subcommands"] = sorted(children)
        versions, pieces = ADDED.get(name, ([], {}))
        if versions:
            history = sorted([*expected["history"][1], *versions])
            expected["history"] = ("set", history)
        for theirs_piece, our_piece in pieces.items():
            expected["arguments"] = expected["arguments"].replace(theirs_piece, our_piece)
        if versions or pieces:
            result.reasons["8.x or 7.4 adds options"] += 1
        fine = True
        for field in sorted(got.keys() | expected.keys()):
            if got.get(field) == expected.get(field):
                continue
            value, reason = CHANGED.get(name, {}).get(field, (None, ""))
            if reason and got.get(field) == value:
                result.reasons[reason] += 1
            else:
                line = f"{name}.{field}: {expected.get(field)!r}, ours {got.get(field)!r}"
                result.wrong.append(line)
            fine = False
        result.equal += fine
    return result


def _facts(own: dict[str, Any], theirs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is compared of an entry: ours, theirs."""
    renamed(own["docs"].get("arguments", ()), theirs["docs"].get("arguments", ()))
    got, expected = (info_of(each["info"]) | docs_of(each["docs"]) for each in (own, theirs))
    return got, expected


def categories(reference: WireClient, ours: WireClient) -> Comparison:
    """The categories of ACL CAT, and the commands in each."""
    result = Comparison("ACL CAT")
    theirs = set(reference("ACL", "CAT"))
    mine = ours("ACL", "CAT")
    if not isinstance(mine, list):
        result.missing = ["ACL"]
        return result
    for name in sorted(theirs | set(mine)):
        expected = {word.decode() for word in reference("ACL", "CAT", name)}
        got = {word.decode() for word in ours("ACL", "CAT", name)}
        have = {row.decode() for row in _names(ours)}
        expected &= have
        got -= set(NEW)
        changed = {each for each, fields in CHANGED.items() if "categories" in fields}
        expected, got = expected - changed, got - changed
        label = name.decode()
        if got == expected:
            result.equal += 1
        else:
            result.wrong.append(f"{label}: missing {expected - got}, too many {got - expected}")
    return result


def _names(client: WireClient) -> list[bytes]:
    found = []
    for info in client("COMMAND"):
        children = info[9][1] if isinstance(info[9], tuple) else info[9]
        found += [info[0], *(child[0] for child in children)]
    return found


def settings(reference: WireClient, ours: WireClient) -> Comparison:
    """Names and default values of all directives."""
    result = Comparison("CONFIG GET *")
    theirs, own = (dict(client("CONFIG", "GET", "*")[1]) for client in (reference, ours))
    result.missing = sorted(name.decode() for name in set(theirs) - set(own))
    for key in sorted(own):
        name = key.decode()
        if key not in theirs:
            if name in NEW_SETTINGS:
                result.reasons[f"new in {NEW_SETTINGS[name]}"] += 1
            else:
                result.wrong.append(f"{name}: the reference does not have it")
        elif own[key] == theirs[key] or name in OWN_SETTINGS:
            result.equal += 1
        else:
            result.wrong.append(f"{name}: {theirs[key]!r}, ours {own[key]!r}")
    return result


if __name__ == "__main__":
    end_on_signals()
    sys.exit(main())
