"""Scenario files: who there is, what they do, what happens to them, and what must come of it.

A line is a statement; ``#`` begins a comment. All of them, with ``T`` for a time or a duration
(``5s``, ``200ms``, ``1m``, ``1.5h``), ``N`` for a node or client, ``{N,N}`` for several:

    title WORDS                         shown in reports
    nodes N N ...                       servers, all started at 0s
    config N|{N,N}|*: DIRECTIVE VALUE   a line for the configuration file of these
    network delay T..T | loss P% | rate SIZE | buffer SIZE | patience T
    load N to N | primary | primary of {N,N}  [rate R] [from T] [until T] [mix WORD,WORD]
                                        [wait COUNT T] [busy T of T]
    at T ACTION                         once
    every T [from T] until T ACTION     again and again
    faults random every T..T [from T] until T [for T..T] [on {N,N}]: KIND, KIND ...
    expect [at T] CONDITION             then, or at the end
    eventually [from T] within T CONDITION
    always [from T] until T CONDITION   looked at every 100 ms
    end T                               else 10 s after the last thing that happens

Actions:

    N: COMMAND ...  [-> LABEL]          a server gets a command; {N} stands for "host port" of N
    N/WORD: COMMAND ...                 all commands with the same WORD by one connection
    partition {N,N} [from {N,N}]        both ways;  partition N -> {N,N}  one way
    heal                                all partitions end
    cut N [N]                           connections between the two (or all of one) are reset
    kill N    power-off N    stop N     SIGKILL;  the machine fails;  an orderly SHUTDOWN
    start N      restart N              start it if it does not run;  an orderly stop comes first
    pause N   resume N                  SIGSTOP, SIGCONT
    kill-child N                        SIGKILL for the child that saves
    clock N +T|-T    drift N P          set the calendar;  run fast or slow by so many ppm
    slow-disk N T                       every sync takes so long
    network ...                         as above, from then on

Conditions (OP is one of == != < <= > >= contains lacks, or ``in`` with "A|B|C" behind it):

    equal N N ...                       same data        offsets N N ...    same history and offset
    full-syncs OP NUMBER                of all nodes; likewise partial-syncs, lost-writes, acked,
                                        unexplained-writes
    N INFO SECTION FIELD OP VALUE       a field of INFO
    N: COMMAND ... OP VALUE             the reply to a command, as plain text
    reply LABEL OP VALUE                the reply to a command given before
    log N contains|lacks "TEXT"         any line of its log
    up N | down N                       whether the process runs

Errors name the file, the line, and what was expected instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn

from pyredis.quoting import parse_memory, split_args
from pyredis.sim.clients import Load
from pyredis.sim.workload import DEFAULT_MIX, FAMILIES
from pyredis.sim.world import US_PER_MS, US_PER_S

UNITS_US: Final = {
    "us": 1,
    "ms": US_PER_MS,
    "s": US_PER_S,
    "m": 60 * US_PER_S,
    "h": 3600 * US_PER_S,
}
_TIME: Final = re.compile(r"([+-]?)(\d+)(?:\.(\d+))?(us|ms|s|m|h)")
_TOKEN: Final = re.compile(r'\{[^{}]*\}|"(?:[^"\\]|\\.)*"|->|[^\s"]+')
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
OPERATORS: Final = ("==", "!=", "<", "<=", ">", ">=", "contains", "lacks", "in")
COUNTERS: Final = ("full-syncs", "partial-syncs", "lost-writes", "unexplained-writes", "acked")
FAULT_KINDS: Final = (
    *("cut", "partition", "one-way", "kill", "power-off", "pause", "clock", "slow-disk"),
    "promote",
)
_AFTERWARDS_US: Final = 10 * US_PER_S
_SIMPLE: Final = (
    *("kill", "power-off", "stop", "start", "restart", "pause", "resume", "kill-child"),
)


class ScenarioError(Exception):
    """A scenario that cannot be understood; the text names file and line."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens at a time. ``words`` are the action's, names resolved.

    A command is ``("command", node, label, argument, ...)``; a partition is
    ``("block", sources, targets)`` for one way and ``("partition", ones, others)`` for both,
    the names joined by commas.
    """

    time_us: int
    words: tuple[str, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class Faults:
    """A block of random faults."""

    kinds: tuple[str, ...]
    every_us: tuple[int, int]
    start_us: int
    end_us: int
    last_us: tuple[int, int]
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must be true: at a time; at some time soon (``within_us``); always (``until_us``).

    Without a time it is for the end of the run.
    """

    words: tuple[str, ...]
    time_us: int | None = None
    within_us: int | None = None
    until_us: int | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole file."""

    source: str
    title: str = ""
    nodes: tuple[str, ...] = ()
    config: tuple[tuple[str, str], ...] = ()  # node, directive
    network: tuple[tuple[str, ...], ...] = ()
    loads: tuple[Load, ...] = ()
    steps: tuple[Step, ...] = ()
    faults: tuple[Faults, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    end_us: int = 0

    def directives(self, node: str) -> list[str]:
        """The lines of a node's configuration file."""
        return [line for name, line in self.config if name == node]


def parse_scenario(text: str, source: str = "scenario") -> Scenario:
    """The scenario that a file describes. Raises ScenarioError."""
    return _Parser(source).parse(text)


@dataclass(slots=True)
class _Parser:
    """Reads the statements one after the other."""

    source: str
    line: int = 0
    title: str = ""
    nodes: list[str] = field(default_factory=list)
    config: list[tuple[str, str]] = field(default_factory=list)
    network: list[tuple[str, ...]] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    faults: list[Faults] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)
    end_us: int = 0

    def parse(self, text: str) -> Scenario:
        statements = {
            "title": self._title,
            "node": self._nodes,
            "nodes": self._nodes,
            "config": self._config,
            "network": lambda words: self.network.append(self._settings(words)),
            "load": self._load,
            "at": self._at,
            "every": self._every,
            "faults": self._faults,
            "expect": self._expect,
            "eventually": self._eventually,
            "always": self._always,
            "end": self._end,
        }
        for self.line, raw in enumerate(text.split("\n"), 1):
            stripped = _without_comment(raw).strip()
            if not stripped:
                continue
            tokens = _TOKEN.findall(stripped)
            if _TOKEN.sub("", stripped).strip():
                self._fail("every quote and brace to be closed")
            words = Words(self, tokens)
            name = words.next("a statement")
            if name not in statements:
                self._fail("one of " + ", ".join(statements), name)
            statements[name](words)
            words.end()
        if not self.nodes:
            self.line = 0
            self._fail("a line 'nodes ...'")
        times = [step.time_us for step in self.steps]
        times += [
            each.time_us + (each.within_us or 0) for each in self.expectations if each.time_us
        ]
        times += [each.until_us for each in self.expectations if each.until_us]
        times += [block.end_us for block in self.faults]
        times += [load.end_us for load in self.loads if load.end_us < 1 << 60]
        return Scenario(
            self.source,
            self.title,
            tuple(self.nodes),
            tuple(self.config),
            tuple(self.network),
            tuple(self.loads),
            tuple(sorted(self.steps, key=lambda step: step.time_us)),
            tuple(self.faults),
            tuple(self.expectations),
            self.end_us or max(times, default=0) + _AFTERWARDS_US,
        )

    def _fail(self, expected: str, found: str = "") -> NoReturn:
        place = f"{self.source}, line {self.line}" if self.line else self.source
        but = f", found {found!r}" if found else ""
        raise ScenarioError(f"{place}: expected {expected}{but}")

    # Statements

    def _title(self, words: Words) -> None:
        self.title = " ".join(words.rest())

    def _nodes(self, words: Words) -> None:
        while words.left:
            name = words.next("a name")
            if not _NAME.fullmatch(name) or name in ("primary", "reply", "log", "up", "down"):
                self._fail("a name made of letters and digits", name)
            if name in self.nodes:
                self._fail("a name not used before", name)
            self.nodes.append(name)

    def _config(self, words: Words) -> None:
        name = words.next("a node, {nodes} or *")
        colon = name.endswith(":")
        name = name.removesuffix(":")
        if not colon:
            words.take(":")
        names = self.nodes if name == "*" else self._group(name)
        line = " ".join(words.rest())
        if not line:
            self._fail("a directive and its value")
        for meant in re.findall(r"\{([^{}]*)\}", line):
            if re.sub(r"\.(host|port)$", "", meant) not in self.nodes:
                self._fail("one of " + ", ".join(f"{{{each}}}" for each in self.nodes), meant)
        self.config += ((each, line) for each in names)

    def _settings(self, words: Words) -> tuple[str, ...]:
        what = words.next("delay, loss, rate, buffer or patience")
        if what == "delay":
            low_us, high_us = words.range()
            return what, str(low_us), str(high_us)
        value = words.next("a value")
        if what == "loss":
            if not re.fullmatch(r"\d+(\.\d+)?%", value):
                self._fail("a percentage, as 2% or 0.1%", value)
            return what, str(round(float(value[:-1]) * 10_000))
        if what == "patience":
            return what, str(self._time(value))
        if what in ("rate", "buffer"):
            try:
                return what, str(parse_memory(value))
            except ValueError:
                self._fail("a size, as 64kb or 10mb", value)
        self._fail("delay, loss, rate, buffer or patience", what)

    def _load(self, words: Words) -> None:
        name = words.next("a client's name")
        if not _NAME.fullmatch(name) or name in self.nodes:
            self._fail("a name of letters and digits that is no node's", name)
        words.take("to")
        target = words.next("a node or 'primary'")
        follows = target == "primary"
        targets = tuple(self.nodes)
        if follows and words.accept("of"):
            targets = self._group(words.next("{nodes}"))
        elif not follows:
            targets = self._group(target)
        load = Load(name, targets, follows, mix=DEFAULT_MIX)
        while words.left:
            key = words.next("rate, from, until, mix, wait or busy")
            if key == "rate":
                rate = words.next("operations a second")
                if not re.fullmatch(r"\d+(\.\d+)?", rate) or float(rate) <= 0:
                    self._fail("operations a second, as 20", rate)
                load = load._replace(interval_us=round(US_PER_S / float(rate)))
            elif key == "from":
                load = load._replace(start_us=words.time())
            elif key == "until":
                load = load._replace(end_us=words.time())
            elif key == "mix":
                load = load._replace(mix=self._mix(words.next("families of commands")))
            elif key == "wait":
                count = words.next("a number of replicas")
                if not count.isdecimal():
                    self._fail("a number of replicas", count)
                load = load._replace(wait=(int(count), words.time() // US_PER_MS))
            elif key == "busy":
                busy_us = words.time()
                words.take("of")
                load = load._replace(pace_us=(busy_us, words.time()))
            else:
                self._fail("rate, from, until, mix, wait or busy", key)
        self.loads.append(load)

    def _mix(self, text: str) -> tuple[str, ...]:
        names = () if text == "none" else tuple(text.split(","))
        if text == "all":
            names = tuple(FAMILIES)
        for each in names:
            if each not in FAMILIES:
                self._fail("all, none, or some of " + ",".join(FAMILIES), each)
        return names

    def _at(self, words: Words) -> None:
        time_us = words.time()
        if words.peek() == "expect":
            self._fail("'expect at TIME CONDITION' for an expectation", "expect")
        self.steps.append(Step(time_us, self._action(words), self.line))

    def _every(self, words: Words) -> None:
        period_us = words.time()
        start_us = words.time() if words.accept("from") else period_us
        words.take("until")
        end_us = words.time()
        action = self._action(words)
        if period_us <= 0:
            self._fail("a time greater than 0")
        self.steps += (
            Step(time_us, action, self.line) for time_us in range(start_us, end_us + 1, period_us)
        )

    def _faults(self, words: Words) -> None:
        words.take("random")
        words.take("every")
        every_us = words.range()
        start_us = words.time() if words.accept("from") else every_us[0]
        words.take("until")
        end = words.next("a time")
        end_us = self._time(end.removesuffix(":"))
        last_us = (US_PER_S // 2, 3 * US_PER_S)
        nodes = tuple(self.nodes)
        colon = end.endswith(":")
        while not colon:
            word = words.next("'for', 'on' or ':'")
            if word == "for":
                text = words.next("a range of times, as 1s..3s")
                colon = text.endswith(":")
                last_us = self._range(text.removesuffix(":"))
            elif word == "on":
                text = words.next("{nodes}")
                colon = text.endswith(":")
                nodes = self._group(text.removesuffix(":"))
            elif word == ":":
                colon = True
            else:
                self._fail("'for', 'on' or ':'", word)
            colon = colon or words.accept(":")
        kinds = tuple(each.strip(",") for each in " ".join(words.rest()).replace(",", " ").split())
        for each in kinds:
            if each not in FAULT_KINDS:
                self._fail("some of " + ", ".join(FAULT_KINDS), each)
        if not kinds:
            self._fail("some of " + ", ".join(FAULT_KINDS))
        self.faults.append(Faults(kinds, every_us, start_us, end_us, last_us, nodes))

    def _expect(self, words: Words) -> None:
        time_us = words.time() if words.accept("at") else None
        self.expectations.append(Expectation(self._condition(words), time_us, line=self.line))

    def _eventually(self, words: Words) -> None:
        time_us = words.time() if words.accept("from") else None
        words.take("within")
        within_us = words.time()
        condition = self._condition(words)
        self.expectations.append(Expectation(condition, time_us, within_us, line=self.line))

    def _always(self, words: Words) -> None:
        time_us = words.time() if words.accept("from") else 0
        words.take("until")
        until_us = words.time()
        condition = self._condition(words)
        self.expectations.append(Expectation(condition, time_us, None, until_us, self.line))

    def _end(self, words: Words) -> None:
        self.end_us = words.time()

    # Actions

    def _action(self, words: Words) -> tuple[str, ...]:
        verb = words.next("an action")
        if verb.endswith(":"):
            return self._command(verb[:-1], words)
        if verb == "partition":
            ones = self._group(words.next("{nodes}"))
            if words.accept("->"):
                return "block", ",".join(ones), ",".join(self._group(words.next("{nodes}")))
            if words.accept("from"):
                others = self._group(words.next("{nodes}"))
            else:
                others = tuple(each for each in self._everybody() if each not in ones)
            return "partition", ",".join(ones), ",".join(others)
        if verb == "heal":
            return ("heal",)
        if verb == "cut":
            names = [self._name(words.next("a node"))]
            if words.left:
                names.append(self._name(words.next("a node")))
            return ("cut", *names)
        if verb in _SIMPLE:
            return verb, self._name(words.next("a node"))
        if verb in ("clock", "slow-disk"):
            return verb, self._name(words.next("a node")), str(words.time())
        if verb == "drift":
            name, ppm = self._name(words.next("a node")), words.next("parts per million")
            if not re.fullmatch(r"[+-]?\d+", ppm):
                self._fail("parts per million, as 200 or -50", ppm)
            return verb, name, str(int(ppm))
        if verb == "network":
            return ("network", *self._settings(words))
        known = ", ".join(("NODE: COMMAND", "partition", "heal", "cut", *_SIMPLE))
        self._fail(f"an action ({known}, clock, drift, slow-disk, network)", verb)

    def _command(self, name: str, words: Words) -> tuple[str, ...]:
        tokens = words.rest()
        label = ""
        if len(tokens) > 2 and tokens[-2] == "->":
            label = tokens[-1]
            tokens = tokens[:-2]
        if not tokens:
            self._fail("a command")
        node, _, connection = name.partition("/")
        place = f"{self._name(node)}/{connection}" if connection else self._name(node)
        return ("command", place, label, *self._arguments(tokens))

    def _arguments(self, tokens: Iterable[str]) -> Iterator[str]:
        for token in tokens:
            if token.startswith('"'):
                yield from (arg.decode("utf-8", "surrogateescape") for arg in _split(token))
            else:
                yield token

    # Conditions

    def _condition(self, words: Words) -> tuple[str, ...]:
        first = words.next("a condition")
        if first in ("equal", "offsets"):
            return (first, *(self._name(each) for each in words.rest()))
        if first in ("up", "down"):
            return first, self._name(words.next("a node"))
        if first in COUNTERS:
            return (first, *self._comparison(words.rest()))
        if first == "reply":
            return (first, words.next("a label"), *self._comparison(words.rest()))
        if first == "log":
            return (first, self._name(words.next("a node")), *self._comparison(words.rest()))
        if first.endswith(":"):
            tokens = words.rest()
            at = next((n for n, each in enumerate(tokens) if each in OPERATORS and n), 0)
            if not at:
                self._fail("a command, one of " + " ".join(OPERATORS) + ", and a value")
            operator, value = self._comparison(tokens[at:])
            arguments = self._arguments(tokens[:at])
            return ("command", self._name(first[:-1]), operator, value, *arguments)
        if first in self.nodes:
            words.take("INFO")
            section = words.next("a section of INFO")
            name = words.next("a field")
            return ("info", first, section, name, *self._comparison(words.rest()))
        self._fail(
            "a condition (equal, offsets, up, down, reply, log, NODE INFO, NODE: COMMAND, "
            + ", ".join(COUNTERS)
            + ")",
            first,
        )

    def _comparison(self, tokens: list[str]) -> tuple[str, str]:
        if not tokens or tokens[0] not in OPERATORS:
            self._fail("one of " + " ".join(OPERATORS), tokens[0] if tokens else "")
        if len(tokens) < 2:
            self._fail(f"a value after {tokens[0]}")
        return tokens[0], " ".join(self._arguments(tokens[1:]))

    # Names and times

    def _everybody(self) -> tuple[str, ...]:
        return (*self.nodes, *(load.name for load in self.loads))

    def _name(self, name: str) -> str:
        if name not in self._everybody():
            self._fail("one of " + ", ".join(self._everybody()), name)
        return name

    def _group(self, text: str) -> tuple[str, ...]:
        names = text.strip("{}").replace(",", " ").split()
        if not names:
            self._fail("at least one name", text)
        return tuple(map(self._name, names))

    def _time(self, text: str) -> int:
        match = _TIME.fullmatch(text)
        if match is None:
            self._fail("a time, as 5s, 200ms or 1.5m", text)
        sign, whole, part, unit = match.groups()
        value_us = int(whole) * UNITS_US[unit]
        if part:
            value_us += int(part) * UNITS_US[unit] // 10 ** len(part)
        return -value_us if sign == "-" else value_us

    def _range(self, text: str) -> tuple[int, int]:
        low, dots, high = text.partition("..")
        if not dots:
            self._fail("a range of times, as 1s..3s", text)
        low_us, high_us = self._time(low), self._time(high)
        if high_us < low_us:
            self._fail("the smaller time first", text)
        return low_us, high_us


class Words:
    """The words of one statement."""

    def __init__(self, parser: _Parser, tokens: list[str]) -> None:
        self._parser = parser
        self._tokens = tokens
        self._at = 0

    @property
    def left(self) -> bool:
        """Whether there are more."""
        return self._at < len(self._tokens)

    def peek(self) -> str:
        """The next word, "" at the end."""
        return self._tokens[self._at] if self.left else ""

    def next(self, expected: str) -> str:
        """The next word; without one, the error tells what was expected."""
        if not self.left:
            self._parser._fail(expected, "the end of the line")
        self._at += 1
        return self._tokens[self._at - 1]

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
            self._parser._fail(f"'{word}'", found)

    def time(self) -> int:
        """The next word as a time."""
        return self._parser._time(self.next("a time, as 5s or 200ms"))

    def range(self) -> tuple[int, int]:
        """The next word as a range of times."""
        return self._parser._range(self.next("a range of times, as 1s..3s"))

    def rest(self) -> list[str]:
        """All words that are left."""
        tokens, self._at = self._tokens[self._at :], len(self._tokens)
        return tokens

    def end(self) -> None:
        """There must be none left."""
        if self.left:
            self._parser._fail("the end of the line", self.peek())


def _without_comment(line: str) -> str:
    quoted = False
    for at, char in enumerate(line):
        if char == '"' and (not at or line[at - 1] != "\\"):
            quoted = not quoted
        elif char == "#" and not quoted and (not at or line[at - 1].isspace()):
            return line[:at]
    return line


def _split(token: str) -> list[bytes]:
    return split_args(token.encode("utf-8", "surrogateescape"))
