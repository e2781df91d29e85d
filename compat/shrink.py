"""The shortest sequence that still fails: delta debugging.

Steps are removed in halves, quarters and so on, then one by one, as long as the failure
keeps its signature; then arguments, then bytes of arguments are made simpler. Each try runs
on all servers from empty databases. Source: Zeller and Hildebrandt, "Simplifying and
Isolating Failure-Inducing Input", 2002, without the complements' bookkeeping.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from compat.sequences import Step

Fails = Callable[[list[Step]], bool]
_SIMPLER: Final = (b"1", b"a")
_TRIES_MAX: Final = 1500


class _Enough(Exception):
    """As many tries as are reasonable were made."""


def shrink(steps: list[Step], fails: Fails) -> list[Step]:
    """A sequence that fails too, from which nothing can be left out by the means here."""
    tries = 0

    def still(candidate: list[Step]) -> bool:
        nonlocal tries, steps
        tries += 1
        if tries > _TRIES_MAX:
            raise _Enough
        if candidate and fails(candidate):
            steps = candidate
            return True
        return False

    try:
        before = None
        while before != steps:
            before = steps
            _remove_steps(lambda: steps, still)
            _one_client(lambda: steps, still)
            _remove_arguments(lambda: steps, still)
            _simplify(lambda: steps, still)
    except _Enough:
        pass
    return steps


def _remove_steps(current: Callable[[], list[Step]], still: Fails) -> None:
    size = max(1, len(current()) // 2)
    while True:
        at = len(current())
        removed = False
        while at > 0:
            at = min(at, len(current())) - size
            start = max(0, at)
            removed |= still(current()[:start] + current()[at + size :])
        if size == 1 and not removed:
            return
        size = max(1, size // 2)


def _one_client(current: Callable[[], list[Step]], still: Fails) -> None:
    if any(step.client for step in current()):
        still([Step(0, step.commands) for step in current()])


def _remove_arguments(current: Callable[[], list[Step]], still: Fails) -> None:
    for at in range(len(current()) - 1, -1, -1):
        for which in _free(current()[at]):
            for place in range(len(current()[at].commands[which]) - 1, 0, -1):
                argv = current()[at].commands[which]
                if place < len(argv):
                    still(_replaced(current(), at, which, argv[:place] + argv[place + 1 :]))


def _simplify(current: Callable[[], list[Step]], still: Fails) -> None:
    for at in range(len(current())):
        for which in _free(current()[at]):
            for place in range(1, len(current()[at].commands[which])):
                for simple in _SIMPLER:
                    argv = list(current()[at].commands[which])
                    if argv[place] in _SIMPLER:
                        break
                    argv[place] = simple
                    if still(_replaced(current(), at, which, argv)):
                        break


def _free(step: Step) -> range:
    """The commands of a step that may change: those tied together need each other."""
    return range(len(step.commands) if len(step.commands) == 1 else 0)


def _replaced(steps: list[Step], at: int, which: int, argv: list[bytes]) -> list[Step]:
    commands = list(steps[at].commands)
    commands[which] = argv
    return [*steps[:at], Step(steps[at].client, commands), *steps[at + 1 :]]
