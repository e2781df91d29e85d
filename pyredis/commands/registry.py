"""Command specs beside their handlers, and the immutable table made of them.

A handler is a function of a context and the arguments after the command's name::

    @command("LPOP", arity=-2, flags="write fast", keys=first("RW access delete"), ...)
    def lpop(ctx: Context, key: bytes, count: bytes | None = None) -> Reply: ...

The decorator only attaches a :class:`Spec`. ``Table.of(module, ...)`` collects the
handlers of several modules into a table of :class:`Entry` objects, one set of them a
server, so that two servers in one process count their own calls. The same key specs
serve COMMAND GETKEYS, ACL, client tracking and cluster redirects.

Vocabulary, as the COMMAND documentation uses it: *arity* counts the name and is
negative for a minimum; a *container* (CONFIG, CLIENT) has subcommands, written here
with a space (``"CONFIG GET"``) and named ``config|get`` on the wire.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

Handler = Callable[..., Any]

_ARITY_MAX: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class KeySpec:
    """Where keys stand in the arguments: first find the beginning, then the keys.

    ``begin``: ("index", position) | ("keyword", word, start) | ("unknown",).
    ``find``: ("range", last, step, limit) | ("keynum", numkeys_at, first_at, step) |
    ("unknown",). ``last`` is relative to the beginning, or to the end when negative.
    """

    flags: tuple[str, ...]
    begin: tuple[Any, ...]
    find: tuple[Any, ...]
    notes: str = ""


def first(flags: str, at: int = 1) -> tuple[KeySpec, ...]:
    """One key, by default the first argument."""
    return (KeySpec(tuple(flags.split()), ("index", at), ("range", 0, 1, 0)),)


def span(
    flags: str, at: int = 1, last: int = -1, step: int = 1, limit: int = 0
) -> tuple[KeySpec, ...]:
    """Keys from ``at`` to ``last`` (counted from the beginning, or back from the end)."""
    return (KeySpec(tuple(flags.split()), ("index", at), ("range", last, step, limit)),)


def counted(flags: str, at: int) -> tuple[KeySpec, ...]:
    """A number of keys at ``at``, then that many keys."""
    return (KeySpec(tuple(flags.split()), ("index", at), ("keynum", 0, 1, 1)),)


def after(flags: str, word: str, start: int) -> tuple[KeySpec, ...]:
    """One key behind the keyword ``word``, searched from ``start`` on."""
    return (KeySpec(tuple(flags.split()), ("keyword", word, start), ("range", 0, 1, 0)),)


@dataclass(frozen=True, slots=True)
class Spec:
    """All that is known of one command.

    ``name`` is in capitals, with a space before a subcommand.
    """

    name: str
    arity: int
    flags: frozenset[str]
    keys: tuple[KeySpec, ...]
    categories: frozenset[str]
    tips: tuple[str, ...]
    group: str
    since: str
    complexity: str
    usage: str
    summary: str
    history: tuple[tuple[str, str], ...]
    doc_flags: tuple[str, ...] = ()
    replaced_by: str = ""
    deprecated_since: str = ""

    @property
    def wire_name(self) -> str:
        """The name in COMMAND replies and error texts: ``config|get``."""
        return self.name.lower().replace(" ", "|")


_IMPLIED = {
    "write": ("write",),
    "readonly": ("read",),
    "admin": ("admin", "dangerous"),
    "pubsub": ("pubsub",),
    "blocking": ("blocking",),
}


def _categories(flags: frozenset[str], given: str) -> frozenset[str]:
    names = set(given.split())
    for flag in flags:
        names.update(_IMPLIED.get(flag, ()))
    names.add("fast" if "fast" in flags else "slow")
    if "scripting" in names:
        names.discard("read" if "noscript" in flags else "")
    return frozenset(names)


class Group:
    """The decorator of one module: what all its commands have in common."""

    def __init__(self, name: str, acl: str = "") -> None:
        self.name = name
        self.acl = acl

    def __call__(
        self,
        name: str,
        *,
        arity: int,
        flags: str = "",
        keys: tuple[KeySpec, ...] = (),
        acl: str | None = None,
        tips: str = "",
        since: str,
        complexity: str,
        usage: str = "",
        history: Sequence[tuple[str, str]] = (),
        deprecated: str = "",
        deprecated_since: str = "",
        internal: bool = False,
        group: str | None = None,
    ) -> Callable[[Handler], Handler]:
        """Attach a spec. ``deprecated`` names the replacement; ``acl`` replaces the module's.

        ``internal`` commands are for servers and tests (``syscmd`` in COMMAND DOCS).
        """

        def attach(handler: Handler) -> Handler:
            flag_set = frozenset(flags.split())
            doc = inspect.cleandoc(handler.__doc__ or "")
            spec = Spec(
                name=name,
                arity=arity,
                flags=flag_set,
                keys=keys,
                categories=_categories(flag_set, self.acl if acl is None else acl),
                tips=tuple(tips.split()),
                group=self.name if group is None else group,
                since=since,
                complexity=complexity,
                usage=usage,
                summary=" ".join(doc.split("\n\n")[0].split()),
                history=tuple(history),
                doc_flags=("deprecated",) * bool(deprecated) + ("syscmd",) * internal,
                replaced_by=deprecated,
                deprecated_since=deprecated_since,
            )
            specs: list[Spec] = getattr(handler, "specs", [])
            handler.specs = [*specs, spec]  # type: ignore[attr-defined]
            return handler

        return attach


@dataclass(slots=True)
class Entry:
    """One command in one server's table: its spec, its handler and its counters.

    ``latency`` counts calls by the bit length of their duration in nanoseconds, so the
    number of calls is its sum and a percentile is known to within a factor of two.
    ``brief`` commands never wait and cost about the same whatever the data: Redis' flag
    *fast*, and SET and MSET, which lack it only because they may free large old values.
    """

    spec: Spec
    handler: Handler
    header: bytes  # b"$3" for SET: what a well-formed request has before the name
    arity_min: int
    arity_max: int
    write: bool
    brief: bool
    latency: list[int]
    duration_ns: int = 0
    rejected: int = 0
    failed: int = 0
    children: dict[bytes, Entry] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Wire name: ``get``, ``config|get``."""
        return self.spec.wire_name

    @property
    def calls(self) -> int:
        """How often the command ran."""
        return sum(self.latency)

    def reset(self) -> None:
        """Forget the counters (CONFIG RESETSTAT)."""
        self.latency[:] = [0] * len(self.latency)
        self.duration_ns = self.rejected = self.failed = 0


LATENCY_BUCKETS: Final = 65


def _entry(spec: Spec, handler: Handler) -> Entry:
    short = spec.name.split(" ")[0]
    low, high = (spec.arity, spec.arity) if spec.arity > 0 else (-spec.arity, _ARITY_MAX)
    return Entry(
        spec=spec,
        handler=handler,
        header=b"$%d" % len(short),
        arity_min=low,
        arity_max=high,
        write="write" in spec.flags,
        brief=("fast" in spec.flags and "blocking" not in spec.flags)
        or spec.name in ("SET", "MSET"),
        latency=[0] * LATENCY_BUCKETS,
    )


NO_ENTRY: Final = Entry(
    spec=Spec("", 0, frozenset(), (), frozenset(), (), "", "", "", "", "", ()),
    handler=lambda *arguments: None,
    header=b"\r\n",
    arity_min=0,
    arity_max=0,
    write=False,
    brief=False,
    latency=[],
)
"""Stands for a name that is no command: no part of a request can equal its header."""


class Table:
    """The commands of one server, by name.

    ``find`` takes a whole request; ``by_token`` maps the spellings seen on the wire
    (all capitals, all small) to entries; ``of_two``, ``of_three`` and ``of_four`` are the
    parts of it for requests of that many parts. They are what the hot path uses.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.by_token: dict[bytes, Entry] = {}
        self.entries: dict[str, Entry] = {}
        for entry in entries:
            name = entry.spec.name
            if " " in name:
                parent, child = name.split(" ", 1)
                if parent not in self.entries:
                    raise ValueError(f"{name}: no container {parent}")
                self.entries[parent].children[child.encode()] = entry
            else:
                if name in self.entries:
                    raise ValueError(f"{name} is defined twice")
                self.entries[name] = entry
                self.by_token[name.encode()] = entry
                self.by_token[name.lower().encode()] = entry
        self.memo: dict[str, Any] = {}  # what was derived from the entries, by purpose
        self._index()

    def _index(self) -> None:
        self.of_two = self._taking(2)
        self.of_three = self._taking(3)
        self.of_four = self._taking(4)

    def rename(self, old: bytes, new: bytes) -> None:
        """Have a command answer to another name only, or to none where ``new`` is empty.

        Its entry stays among ``entries``, under its own name: rights and statistics go by that.
        Raises ValueError, with Redis' words, when there is no such command or the new name is
        taken; nothing has changed then.
        """
        entry = self.by_token.get(old.upper())
        if entry is None:
            raise ValueError("No such command in rename-command")
        if new.upper() in self.by_token:
            raise ValueError("Target command name already exists")
        for token in [token for token in self.by_token if token.upper() == old.upper()]:
            del self.by_token[token]
        if new:
            self.by_token[new.upper()] = self.by_token[new.lower()] = entry
        self._index()

    def served(self) -> Iterator[Entry]:
        """The entries, without subcommands, that clients can reach by a name."""
        reachable = {id(entry) for entry in self.by_token.values()}
        return (entry for entry in self.entries.values() if id(entry) in reachable)

    def _taking(self, count: int) -> dict[bytes, Entry]:
        """The commands without subcommands that accept a request of ``count`` parts."""
        return {
            token: entry
            for token, entry in self.by_token.items()
            if entry.arity_min <= count <= entry.arity_max and not entry.children
        }

    @classmethod
    def of(cls, *modules: ModuleType) -> Table:
        """The table of all handlers that these modules define."""
        found = [
            (spec, handler)
            for module in modules
            for handler in vars(module).values()
            if inspect.isfunction(handler) and handler.__module__ == module.__name__
            for spec in getattr(handler, "specs", ())
        ]
        found.sort(key=lambda pair: pair[0].name.count(" "))
        return cls(_entry(spec, handler) for spec, handler in found)

    def find(self, argv: Sequence[bytes]) -> Entry | None:
        """The entry for a request, the subcommand's where there is one.

        A container is returned for itself when the subcommand is missing or unknown;
        tell by its ``children``.
        """
        entry = self.by_token.get(argv[0])
        if entry is None:
            entry = self.by_token.get(argv[0].upper())
            if entry is None:
                return None
        if entry.children and len(argv) > 1:
            return entry.children.get(argv[1].upper(), entry)
        return entry

    def all(self) -> Iterator[Entry]:
        """Every entry, containers before their subcommands."""
        for entry in self.entries.values():
            yield entry
            yield from entry.children.values()
