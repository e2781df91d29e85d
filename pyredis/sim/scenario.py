"""Scenario files: who there is, what they do, what happens to them, and what must come of it.

A line is a statement. All of them, with ``T`` for a time or a duration, ``N`` for a node (where
the network is concerned, also for a client), ``{N,N}`` for several:

    title WORDS                         shown in reports
    nodes N N ...                       servers, all started at 0s
    config N|{N,N}|*: DIRECTIVE VALUE   a line for the configuration file of these nodes
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

    N: COMMAND ...  [-> LABEL]          a server gets a command. REPLICAOF N, FAILOVER TO N;
                                        {N.host} and {N.port} anywhere, {N} for both
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

Errors name the file, the line, and what was expected instead. How lines fall into words is told
in ``words.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn

from pyredis.quoting import parse_memory, split_args
from pyredis.sim.clients import NEVER_US, Load
from pyredis.sim.words import Words, cut
from pyredis.sim.workload import DEFAULT_MIX, FAMILIES
from pyredis.sim.world import US_PER_MS, US_PER_S

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")
_ORDER: Final = ("<", "<=", ">", ">=")
_TEXT: Final = ("contains", "lacks")
OPERATORS: Final = ("==", "!=", *_ORDER, *_TEXT, "in")
COUNTERS: Final = ("full-syncs", "partial-syncs", "lost-writes", "unexplained-writes", "acked")
FAULT_KINDS: Final = (
    *("cut", "partition", "one-way", "kill", "power-off", "pause", "clock", "slow-disk"),
    "promote",
)
_RESERVED: Final = ("primary", "equal", "offsets", "reply", "log", "up", "down", "acked")
_OURS: Final = frozenset(
    "port bind dir unixsocket tls-port tls-replication tls-cluster cluster-enabled include "
    "aclfile loadmodule logfile daemonize".split()
)
"""Directives of which the lab itself decides, or that it has nothing for."""
_AFTERWARDS_US: Final = 10 * US_PER_S
_STEPS_MAX: Final = 100_000
_SHOWN: Final = 60  # characters of what was found instead
_RATE_MAX: Final = 10_000
_LOSS_MAX_PERCENT: Final = 90
_DRIFT_MAX_PPM: Final = 500_000
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
class Directive:
    """A line of a node's configuration file."""

    node: str
    text: str
    line: int = field(default=0, compare=False)


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
    config: tuple[Directive, ...] = ()
    network: tuple[tuple[str, ...], ...] = ()
    loads: tuple[Load, ...] = ()
    steps: tuple[Step, ...] = ()
    faults: tuple[Faults, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    end_us: int = 0

    def directives(self, node: str) -> list[str]:
        """The lines of a node's configuration file."""
        return [each.text for each in self.config if each.node == node]


def parse_scenario(text: str, source: str = "scenario") -> Scenario:
    """The scenario that a file describes. Raises ScenarioError."""
    return _Parser(source).parse(text)


class _Parser:
    """Reads the statements one after the other."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.line = 0
        self.title: str | None = None
        self.nodes: list[str] = []
        self.config: list[Directive] = []
        self.network: list[tuple[str, ...]] = []
        self.loads: list[Load] = []
        self.steps: list[Step] = []
        self.faults: list[Faults] = []
        self.expectations: list[Expectation] = []
        self.end_us: int | None = None
        self.labels: set[str] = set()  # given to replies

    def parse(self, text: str) -> Scenario:
        statements: dict[str, Callable[[Words], None]] = {
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
        for self.line, line in enumerate(text.split("\n"), 1):
            found = cut(line)
            if found is None:
                self._fail("every quote to be closed, and blanks around what is quoted")
            if found:
                words = Words(found, self._fail)
                name = words.next("a statement")
                if name not in statements:
                    self._fail("one of " + ", ".join(statements), name)
                statements[name](words)
                words.end()
        self._check_labels()
        if not self.nodes:
            self.line = 0
            self._fail("a line 'nodes ...'")
        return Scenario(
            self.source,
            self.title or "",
            tuple(self.nodes),
            tuple(self.config),
            tuple(self.network),
            tuple(self.loads),
            tuple(sorted(self.steps, key=lambda step: step.time_us)),
            tuple(self.faults),
            tuple(self.expectations),
            self.end_us or self._last_us() + _AFTERWARDS_US,
        )

    def _last_us(self) -> int:
        """When the last thing happens."""
        times = [step.time_us for step in self.steps]
        times += [block.end_us for block in self.faults]
        times += [load.end_us for load in self.loads if load.end_us < NEVER_US]
        for each in self.expectations:
            if each.until_us is not None:
                times.append(each.until_us)
            elif each.time_us is not None:
                times.append(each.time_us + (each.within_us or 0))
        return max(times, default=0)

    def _check_labels(self) -> None:
        for each in self.expectations:
            if each.words[0] == "reply" and each.words[1] not in self.labels:
                self.line = each.line
                given = ", ".join(sorted(self.labels)) or "'-> LABEL' behind a command"
                self._fail(f"the label of a reply ({given})", each.words[1])

    def _fail(self, expected: str, found: str = "") -> NoReturn:
        place = f"{self.source}, line {self.line}" if self.line else self.source
        but = f", found {found[:_SHOWN]!r}" if found else ""
        raise ScenarioError(f"{place}: expected {expected}{but}")

    # Statements

    def _title(self, words: Words) -> None:
        if self.title is not None:
            self._fail("one title only")
        self.title = " ".join(words.rest())

    def _nodes(self, words: Words) -> None:
        while words.left:
            self.nodes.append(self._new_name(words.next("a name")))

    def _new_name(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            self._fail("a name made of letters and digits", name)
        if name in _RESERVED:
            self._fail("a name that means nothing else", name)
        if name in self._everybody():
            self._fail("a name not used before", name)
        return name

    def _config(self, words: Words) -> None:
        words.part_colon()
        name = words.next("a node, {nodes} or *")
        nodes = tuple(self._known_nodes()) if name == "*" else self._group(name, self._node)
        words.take(":")
        text = " ".join(words.rest())
        if not text:
            self._fail("a directive and its value")
        if text.split()[0].lower() in _OURS:
            self._fail("a directive that is not the lab's own affair", text.split()[0])
        for meant in re.findall(r"\{([^{}]*)\}", text):
            if re.sub(r"\.(host|port)$", "", meant) not in self.nodes:
                self._fail("one of " + ", ".join(f"{{{each}}}" for each in self.nodes), meant)
        self.config += (Directive(each, text, self.line) for each in nodes)

    def _settings(self, words: Words) -> tuple[str, ...]:
        what = words.next("delay, loss, rate, buffer or patience")
        if what == "delay":
            low_us, high_us = words.range()
            return what, str(low_us), str(high_us)
        if what == "patience":
            return what, str(words.positive_time())
        if what == "loss":
            value = words.next("a percentage, as 2% or 0.1%")
            percent = self._number(value.removesuffix("%"))
            if not value.endswith("%") or not 0 <= percent <= _LOSS_MAX_PERCENT:
                self._fail(f"a percentage up to {_LOSS_MAX_PERCENT}%, as 2% or 0.1%", value)
            return what, str(round(percent * 10_000))
        if what not in ("rate", "buffer"):
            self._fail("delay, loss, rate, buffer or patience", what)
        value = words.next("a size, as 64kb or 10mb")
        try:
            size = parse_memory(value)
        except ValueError:
            size = -1
        if size < (what == "buffer"):
            self._fail("a size, as 64kb or 10mb", value)
        return what, str(size)

    def _load(self, words: Words) -> None:
        name = self._new_name(words.next("a client's name"))
        words.take("to")
        target = words.next("a node or 'primary'")
        follows = target == "primary"
        targets = tuple(self._known_nodes())
        if not follows:
            targets = self._group(target, self._node)
        elif words.accept("of"):
            targets = self._group(words.next("{nodes}"), self._node)
        load = Load(name, targets, follows, mix=DEFAULT_MIX)
        given: list[str] = []
        while words.left:
            what = words.next("")
            if what in given:
                self._fail(f"'{what}' once only", what)
            given.append(what)
            load = self._with_option(load, what, words)
        if load.end_us < load.start_us:
            self._fail("an end that is not before the start")
        self.loads.append(load)

    def _with_option(self, load: Load, what: str, words: Words) -> Load:
        if what == "rate":
            rate = words.next("operations a second, as 20")
            if not 0 < self._number(rate) <= _RATE_MAX:
                self._fail(f"operations a second, up to {_RATE_MAX}", rate)
            return load._replace(interval_us=round(US_PER_S / float(rate)))
        if what == "from":
            return load._replace(start_us=words.time())
        if what == "until":
            return load._replace(end_us=words.time())
        if what == "mix":
            return load._replace(mix=self._mix(words.next("families of commands")))
        if what == "wait":
            count = words.next("a number of replicas")
            if not re.fullmatch(r"\d{1,9}", count):
                self._fail("a number of replicas", count)
            return load._replace(wait=(int(count), words.time() // US_PER_MS))
        if what == "busy":
            busy_us = words.positive_time()
            words.take("of")
            period_us = words.time()
            if period_us < busy_us:
                self._fail("a period that is not shorter than its busy part")
            return load._replace(pace_us=(busy_us, period_us))
        self._fail("rate, from, until, mix, wait or busy", what)

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
        period_us = words.positive_time()
        start_us = words.time() if words.accept("from") else period_us
        end_us = words.until(start_us)
        times = range(start_us, end_us + 1, period_us)
        if len(times) > _STEPS_MAX:
            self._fail(f"at most {_STEPS_MAX} times", str(len(times)))
        action = self._action(words)
        self.steps += (Step(time_us, action, self.line) for time_us in times)

    def _faults(self, words: Words) -> None:
        words.part_colon()
        words.take("random")
        words.take("every")
        every_us = words.range()
        start_us = words.time() if words.accept("from") else every_us[0]
        end_us = words.until(start_us)
        if (end_us - start_us) * 2 >= _STEPS_MAX * sum(every_us):
            self._fail(f"fewer than {_STEPS_MAX} faults")
        last_us = (US_PER_S // 2, 3 * US_PER_S)
        nodes = tuple(self._known_nodes())
        while not words.accept(":"):
            word = words.next("'for', 'on' or ':'")
            if word == "for":
                last_us = words.range()
            elif word == "on":
                nodes = self._group(words.next("{nodes}"), self._node)
            else:
                self._fail("'for', 'on' or ':'", word)
        kinds = tuple(" ".join(words.rest()).replace(",", " ").split())
        for each in kinds:
            if each not in FAULT_KINDS:
                self._fail("some of " + ", ".join(FAULT_KINDS), each)
        if not kinds:
            self._fail("some of " + ", ".join(FAULT_KINDS))
        if len(nodes) < 2 and {"partition", "one-way"}.intersection(kinds):
            self._fail("at least two nodes for a partition")
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
        until_us = words.until(time_us)
        condition = self._condition(words)
        self.expectations.append(Expectation(condition, time_us, None, until_us, self.line))

    def _end(self, words: Words) -> None:
        if self.end_us is not None:
            self._fail("one end only")
        self.end_us = words.positive_time()

    # Actions

    def _action(self, words: Words) -> tuple[str, ...]:
        verb = words.next("an action")
        if verb.endswith(":"):
            return self._command(verb[:-1], words)
        if verb == "partition":
            return self._partition(words)
        if verb == "heal":
            return ("heal",)
        if verb == "cut":
            one = self._host(words.next("a node"))
            other = (self._host(words.next("a node")),) if words.left else ()
            if other == (one,):
                self._fail("two different nodes", one)
            return ("cut", one, *other)
        if verb in _SIMPLE:
            return verb, self._node(words.next("a node"))
        if verb == "clock":
            return verb, self._node(words.next("a node")), str(words.change())
        if verb == "slow-disk":
            return verb, self._node(words.next("a node")), str(words.time())
        if verb == "drift":
            name, ppm = self._node(words.next("a node")), words.next("parts per million")
            if not re.fullmatch(r"[+-]?\d{1,6}", ppm) or abs(int(ppm)) > _DRIFT_MAX_PPM:
                self._fail(f"parts per million up to {_DRIFT_MAX_PPM}, as 200 or -50", ppm)
            return verb, name, str(int(ppm))
        if verb == "network":
            return ("network", *self._settings(words))
        known = ", ".join(("NODE: COMMAND", "partition", "heal", "cut", *_SIMPLE))
        self._fail(f"an action ({known}, clock, drift, slow-disk, network)", verb)

    def _partition(self, words: Words) -> tuple[str, ...]:
        ones = self._group(words.next("{nodes}"), self._host)
        way = "partition"
        if words.accept("->"):
            way = "block"
            others = self._group(words.next("{nodes}"), self._host)
        elif words.accept("from"):
            others = self._group(words.next("{nodes}"), self._host)
        else:
            others = tuple(each for each in self._everybody() if each not in ones)
        if not others:
            self._fail("somebody to be on the other side")
        for each in ones:
            if each in others:
                self._fail("nobody to be on both sides", each)
        return way, ",".join(ones), ",".join(others)

    def _command(self, name: str, words: Words) -> tuple[str, ...]:
        argv = words.rest()
        label = ""
        if "->" in argv:
            if argv.index("->") != len(argv) - 2:
                self._fail("one label at the end, behind '->'")
            label = argv[-1]
            self.labels.add(label)
            argv = argv[:-2]
        if not argv:
            self._fail("a command")
        node, slash, connection = name.partition("/")
        return ("command", self._node(node) + slash + connection, label, *self._arguments(argv))

    def _arguments(self, words: Iterable[str]) -> Iterator[str]:
        for word in words:
            if word.startswith('"'):
                wire = word.encode("utf-8", "surrogateescape")
                yield from (arg.decode("utf-8", "surrogateescape") for arg in split_args(wire))
            else:
                yield word

    # Conditions

    def _condition(self, words: Words) -> tuple[str, ...]:
        first = words.next("a condition")
        if first in ("equal", "offsets"):
            nodes = tuple(map(self._node, words.rest()))
            if len(set(nodes)) < 2:
                self._fail("two nodes at least, to be compared", " ".join(nodes))
            return (first, *nodes)
        if first in ("up", "down"):
            return first, self._node(words.next("a node"))
        if first in COUNTERS:
            return (first, *self._comparison(words.rest(), counter=True))
        if first == "reply":
            return (first, words.next("a label"), *self._comparison(words.rest()))
        if first == "log":
            return first, self._node(words.next("a node")), *self._comparison(words.rest(), _TEXT)
        if first.endswith(":"):
            return self._reply_condition(self._node(first[:-1]), words.rest())
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

    def _reply_condition(self, node: str, words: list[str]) -> tuple[str, ...]:
        at = next((n for n, each in enumerate(words) if each in OPERATORS and n), 0)
        if not at:
            self._fail("a command, one of " + " ".join(OPERATORS) + ", and a value")
        operator, value = self._comparison(words[at:])
        return ("command", node, operator, value, *self._arguments(words[:at]))

    def _comparison(
        self, words: list[str], operators: tuple[str, ...] = OPERATORS, counter: bool = False
    ) -> tuple[str, str]:
        """Operator and value. A counter is compared with numbers, a log by its text only."""
        operator = words[0] if words else ""
        if operator not in operators:
            self._fail("one of " + " ".join(operators), operator)
        if len(words) < 2:
            self._fail(f"a value after {operator}")
        value = " ".join(self._arguments(words[1:]))
        numbers = value.split("|") if operator == "in" else [value]
        if operator in _ORDER or counter:
            for each in numbers:
                if not _NUMBER.fullmatch(each):
                    self._fail("a number", each or '""')
        return operator, value

    # Names and numbers

    def _everybody(self) -> tuple[str, ...]:
        return (*self.nodes, *(load.name for load in self.loads))

    def _known_nodes(self) -> list[str]:
        if not self.nodes:
            self._fail("a line 'nodes ...' before this one")
        return self.nodes

    def _node(self, name: str) -> str:
        if name not in self._known_nodes():
            self._fail("one of " + ", ".join(self.nodes), name)
        return name

    def _host(self, name: str) -> str:
        """A node or a client."""
        if name not in (*self._known_nodes(), *self._everybody()):
            self._fail("one of " + ", ".join(self._everybody()), name)
        return name

    def _group(self, text: str, member: Callable[[str], str]) -> tuple[str, ...]:
        inside = text[1:-1] if text.startswith("{") and text.endswith("}") else text
        names = inside.replace(",", " ").split()
        if not names:
            self._fail("at least one name", text)
        return tuple(dict.fromkeys(map(member, names)))

    def _number(self, text: str) -> float:
        """What the text says; below zero if that is no number."""
        return float(text) if len(text) < 20 and _NUMBER.fullmatch(text) else -1.0
