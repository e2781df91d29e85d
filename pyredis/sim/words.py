"""The words of a line of a scenario file: cut apart, taken one by one, read as times.

A word is what stands between blanks. ``"..."`` is one word, with Redis' escapes, and so is
``{...}``; ``#`` after a blank begins a comment. A time is a number with a unit: ``5s``,
``200ms``, ``1.5m``, ``1h``.

``Words`` hands out the words of one statement. Whatever is not as it should be goes to ``fail``,
which is told what was expected and what was found, and does not return.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NoReturn

from pyredis.sim.world import US_PER_MS, US_PER_S

Fail = Callable[[str, str], NoReturn]

UNITS_US: Final = {
    "us": 1,
    "ms": US_PER_MS,
    "s": US_PER_S,
    "m": 60 * US_PER_S,
    "h": 3600 * US_PER_S,
}
TIME_MAX_US: Final = 10_000 * UNITS_US["h"]
_TIME: Final = re.compile(r"([+-]?)(\d{1,15})(?:\.(\d{1,9}))?(us|ms|s|m|h)")
_WORD: Final = re.compile(r'"(?:[^"\\]|\\.)*"(?=\s|$)|(?!")(?:\{[^{}]*\}|[^\s"])+(?=\s|$)')


def cut(line: str) -> list[str] | None:
    """The words of a line, quotes left on; None if a quote is open or in the middle of a word."""
    line = _without_comment(line)
    return None if _WORD.sub("", line).strip() else _WORD.findall(line)


def _without_comment(line: str) -> str:
    quoted = False
    for at, char in enumerate(line):
        if char == '"' and (not at or line[at - 1] != "\\"):
            quoted = not quoted
        elif char == "#" and not quoted and (not at or line[at - 1].isspace()):
            return line[:at]
    return line


class Words:
    """The words of one statement."""

    def __init__(self, words: list[str], fail: Fail) -> None:
        self._words = words
        self._fail = fail
        self._at = 0

    @property
    def left(self) -> bool:
        """Whether there are more."""
        return self._at < len(self._words)

    def peek(self) -> str:
        """The next word, "" at the end."""
        return self._words[self._at] if self.left else ""

    def next(self, expected: str) -> str:
        """The next word; without one, the error tells what was expected."""
        if not self.left:
            self._fail(expected, "the end of the line")
        self._at += 1
        return self._words[self._at - 1]

    def accept(self, word: str) -> bool:
        """Whether the next word is that one; then it is taken."""
        if self.peek() != word:
            return False
        self._at += 1
        return True

    def take(self, word: str) -> None:
        """The next word must be that one."""
        found = self.next(f"'{word}'")
        if found != word:
            self._fail(f"'{word}'", found)

    def part_colon(self) -> None:
        """Make the first colon at the end of a word a word of its own."""
        for at, word in enumerate(self._words[self._at :], self._at):
            if word.endswith(":") and not word.startswith('"'):
                self._words[at : at + 1] = [word[:-1], ":"] if word != ":" else [":"]
                return

    def rest(self) -> list[str]:
        """All words that are left."""
        words, self._at = self._words[self._at :], len(self._words)
        return words

    def end(self) -> None:
        """There must be none left."""
        if self.left:
            self._fail("the end of the line", self.peek())

    # Times

    def time(self) -> int:
        """The next word as a time or a duration, in microseconds."""
        return self._time(self.next("a time, as 5s or 200ms"))

    def positive_time(self) -> int:
        """The same; it must not be zero."""
        time_us = self.time()
        if not time_us:
            self._fail("a time greater than 0", self._words[self._at - 1])
        return time_us

    def change(self) -> int:
        """The next word as a time with a sign."""
        word = self.next("a change, as +1h or -5s")
        if word[:1] in ("+", "-"):
            return self._time(word[1:]) * (-1 if word[0] == "-" else 1)
        return self._time(word)

    def until(self, start_us: int) -> int:
        """The word ``until`` and a time that is not before the start."""
        self.take("until")
        end_us = self.time()
        if end_us < start_us:
            self._fail("an end that is not before the start", self._words[self._at - 1])
        return end_us

    def range(self) -> tuple[int, int]:
        """The next word as a range of times."""
        word = self.next("a range of times, as 1s..3s")
        low, dots, high = word.partition("..")
        if not dots:
            self._fail("a range of times, as 1s..3s", word)
        low_us, high_us = self._time(low), self._time(high)
        if high_us < low_us:
            self._fail("the smaller time first", word)
        return low_us, high_us

    def _time(self, word: str) -> int:
        match = _TIME.fullmatch(word)
        if match is None:
            self._fail("a time, as 5s, 200ms or 1.5m", word)
        sign, whole, part, unit = match.groups()
        time_us = int(whole) * UNITS_US[unit]
        if part:
            time_us += int(part) * UNITS_US[unit] // 10 ** len(part)
        if sign or time_us > TIME_MAX_US:
            self._fail(f"a time from 0s to {TIME_MAX_US // UNITS_US['h']}h", word)
        return time_us
