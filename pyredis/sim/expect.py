"""Conditions of a scenario, judged on anything that can be asked: a simulation or real servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from pyredis.sim.replies import NO_ANSWER, Failure, Reply, show, text


class Lab(Protocol):
    """What can be asked of a run while it goes on."""

    def ask(self, node: str, argv: list[str]) -> Reply:
        """The reply to a command that does not wait, or NO_ANSWER."""

    def digest(self, node: str) -> str:
        """A digest of all data of a node, "" if it does not answer."""

    def position(self, node: str) -> tuple[str, int] | None:
        """Replication id and offset of a node, None if it does not answer."""

    def count(self, what: str) -> int:
        """One of the counters."""

    def log(self, node: str) -> list[str]:
        """All lines of a node's log."""

    def labelled(self, label: str) -> Reply:
        """The reply to a command given before. Raises KeyError if there is none."""

    def is_up(self, node: str) -> bool:
        """Whether its process runs."""


_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": lambda found, wanted: found < wanted,
    "<=": lambda found, wanted: found <= wanted,
    ">": lambda found, wanted: found > wanted,
    ">=": lambda found, wanted: found >= wanted,
}


def judge(words: tuple[str, ...], lab: Lab) -> str:
    """Why the condition does not hold; "" if it does."""
    kind, *args = words
    if kind == "equal":
        return _alike("digests", [(name, lab.digest(name)) for name in args])
    if kind == "offsets":
        return _alike("positions", [(name, _shown(lab.position(name))) for name in args])
    if kind in ("up", "down"):
        if lab.is_up(args[0]) == (kind == "up"):
            return ""
        return f"{args[0]} is {'down' if kind == 'up' else 'up'}"
    if kind == "log":
        return _judge_log(lab.log(args[0]), *args)
    if kind == "command":
        node, operator, value, *argv = args
        return _judge_reply(lab.ask(node, argv), operator, value)
    if kind == "info":
        node, section, field, operator, value = args
        return _judge_field(lab.ask(node, ["INFO", section]), field, operator, value)
    if kind == "reply":
        label, operator, value = args
        try:
            return _judge_reply(lab.labelled(label), operator, value)
        except KeyError:
            return f"there is no reply {label} yet"
    operator, value = args
    return compare(str(lab.count(kind)), operator, value)


def compare(found: str, operator: str, value: str) -> str:
    """Why the comparison does not hold; "" if it does."""
    if operator == "==":
        holds = found == value
    elif operator == "!=":
        holds = found != value
    elif operator == "contains":
        holds = value in found
    elif operator == "lacks":
        holds = value not in found
    elif operator == "in":
        holds = found in value.split("|")
    else:
        try:
            holds = _COMPARE[operator](float(found), float(value))
        except ValueError:
            return f"found {show(found)!r}, which cannot be compared with {value}"
    return "" if holds else f"found {show(found)!r}"


def _alike(what: str, found: list[tuple[str, str]]) -> str:
    silent = [name for name, value in found if not value]
    if silent:
        return f"{', '.join(silent)} cannot tell"
    if len({value for _, value in found}) == 1:
        return ""
    return f"{what} differ: " + ", ".join(f"{name} {value[:40]}" for name, value in found)


def _shown(position: tuple[str, int] | None) -> str:
    return "" if position is None else f"{position[0][:8]}:{position[1]}"


def _judge_log(lines: list[str], node: str, operator: str, value: str) -> str:
    found = any(value in line for line in lines)
    if found == (operator == "contains"):
        return ""
    return f"{'a' if found else 'no'} line of {node}'s log has it"


def _judge_reply(reply: Reply, operator: str, value: str) -> str:
    """Silence fulfils no condition, not even ``lacks``, unless the value asks for it by name."""
    if reply is NO_ANSWER and "NOANSWER" not in value:
        return "the server does not answer"
    return compare(
        f"(error) {reply}" if isinstance(reply, Failure) else text(reply), operator, value
    )


def _judge_field(reply: Reply, field: str, operator: str, value: str) -> str:
    if isinstance(reply, Failure):
        return _judge_reply(reply, operator, value)
    for line in text(reply).splitlines():
        name, _, found = line.partition(":")
        if name == field:
            return compare(found, operator, value)
    return "there is no such field"
