"""What COMMAND DOCS says about arguments, read from the synopsis beside each handler.

A synopsis such as ``key [NX | XX] [EX seconds | KEEPTTL] member [member ...]`` is what people
read; clients want the same as a tree of named and typed arguments. The first determines most
of the second, so only the synopsis is written down and the tree is derived:

1. Words in capitals, and signs such as ``~``, are *tokens*: sent literally. Small ones are
   values. ``[a]`` is optional, ``[a | b]`` and ``<a | b>`` choose, ``...`` repeats.
2. A token takes the one value behind it (``MATCH pattern``), or makes a *block* with several
   (``LIMIT offset count``), or takes a choice (``AGGREGATE <SUM | MIN>``), or stands alone.
3. ``a b [a b ...]`` is ``a b``, repeated. A repetition that begins with a token repeats it.
4. The type of a value follows from its name, or is written behind it: ``min:double``.
5. Choices and blocks have names in the tree but not in the synopsis. They come from a table
   by their shape, or are written in front: ``wherefrom=<LEFT | RIGHT>``. So can values that
   are shown under another name than they have: ``by-pattern=pattern``.
6. The n-th key belongs to the n-th key spec; those left over, to the last one.
7. An optional part is as old as the first entry of the history that quotes it in backticks.

``plain`` takes the marks of 4 and 5 off again. Names are those of Redis 7.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pyredis.commands.registry import KeySpec, Spec

_NAMES_BY_TYPE: Final = {
    "integer": "bit bits client-id cluster-bus-port config-epoch count cursor db destination-db "
    "end end-slot entries-added entries-read frequency ifdeq-digest ifdne-digest "
    "increment index index1 index2 len limit maxage milliseconds min-idle-time "
    "min-match-len ms num-matches numfields numids numkeys numlocal numreplicas "
    "offset port protover rank seconds slot start start-slot stop timeout ttl version "
    "weight",
    "key": "key key1 key2 newkey source sourcekey destination destkey dst src",
    "double": "longitude latitude radius width height score",
    "unix-time": "unix-time-seconds unix-time-milliseconds",
    "pattern": "pattern",
}
TYPES: Final = {name: kind for kind, names in _NAMES_BY_TYPE.items() for name in names.split()}
"""The type that a value of this name has; ``string`` for all others."""

_TOKENS: Final = {
    "*": "auto-id",
    "$": "new-id",
    "=": "equal",
    "~": "approximately",
    '""': "empty-string",
    "CH": "change",
    "ALPHA": "sorting",
    "INCR": "increment",
}
"""Tokens that stand alone under another name than their own."""

_BEHIND_TOKENS: Final = {
    "CONFIG": "configs",
    "GET": "get-block",
    "GROUP": "group-block",
    "INCRBY": "incrby-block",
    "OVERFLOW": "overflow-block",
    "SET": "set-block",
    "TO": "target",
    "TYPE": "client-type",
}
"""Names of the blocks and choices behind tokens, where it is not the token's."""

_OWN_VALUE_ONLY: Final = frozenset(["BYBOX"])
"""Tokens that belong to the first of the values behind them, not to all together."""

_CHOICES: Final = {
    "NX|XX": "condition",
    "NX|XX|GT|LT": "condition",
    "NX|XX|IFEQ|IFNE|IFDEQ|IFDNE": "condition",
    "IFEQ|IFNE|IFDEQ|IFDNE": "condition",
    "FNX|FXX": "condition",
    "KEEPREF|DELREF|ACKED": "condition",
    "GT|LT": "comparison",
    "EX|PX|EXAT|PXAT|KEEPTTL": "expiration",
    "EX|PX|EXAT|PXAT|PERSIST": "expiration",
    "ASC|DESC": "order",
    "BYSCORE|BYLEX": "sortby",
    "LEFT|RIGHT": "where",
    "MIN|MAX": "where",
    "BEFORE|AFTER": "where",
    "BYTE|BIT": "unit",
    "M|KM|FT|MI": "unit",
    "ASYNC|SYNC": "flush-type",
    "MAXLEN|MINID": "strategy",
    "=|~": "operator",
    "*|id": "id-selector",
    "id|$": "id-selector",
    "FLUSH|APPEND|REPLACE": "policy",
    "GET|write": "operation",
    "SET|INCRBY": "write-operation",
    "AND|OR|XOR|NOT|DIFF|DIFF1|ANDOR|ONE": "operation",
    "ON|OFF": "enabled",
    "ON|OFF|SKIP": "action",
    "YES|NO": "mode",
    "YES|SYNC|NO": "mode",
    "count|RESET": "operation",
    "WRITE|ALL": "mode",
    "TIMEOUT|ERROR": "unblock-type",
    "LIB-NAME|LIB-VER": "attr",
    "NOSAVE|SAVE": "save-selector",
    "FORCE|TAKEOVER": "options",
    "HARD|SOFT": "reset-type",
    "IMPORTING|MIGRATING|NODE|STABLE": "subcommand",
    "host-port|no-one": "args",
    "AUTH|AUTH2": "authentication",
    'key|""': "key-selector",
    "FROMMEMBER|FROMLONLAT": "from",
    "circle|box": "by",
    "STORE|STOREDIST": "store",
}
_BLOCKS: Final = {
    "field value": "data",
    "key value": "data",
    "score member": "data",
    "longitude latitude member": "data",
    "parameter value": "data",
    "OVERFLOW write-operation": "write",
    "start end unit": "range",
    "start end-unit-block": "range",
    "start-slot end-slot": "range",
    "end unit": "end-unit-block",
    "COUNT ANY": "count-block",
    "count WITHVALUES": "options",
    "count WITHSCORES": "options",
    "FULL COUNT": "full-block",
    "strategy operator threshold LIMIT": "trim",
    "IDLE start end count consumer": "filters",
    "BYRADIUS unit": "circle",
    "BYBOX height unit": "box",
    "protover AUTH SETNAME": "arguments",
    "host port": "host-port",
}


@dataclass(frozen=True, slots=True)
class Argument:
    """A node of the tree that COMMAND DOCS shows. Only ``oneof`` and ``block`` have children."""

    name: str
    type: str
    display: str = ""
    token: str | None = None
    key_spec: int | None = None
    since: str = ""
    optional: bool = False
    multiple: bool = False
    multiple_token: bool = False
    children: tuple[Argument, ...] = ()


def arguments(spec: Spec) -> tuple[Argument, ...]:
    """The tree for one command. Raises ValueError for a synopsis that cannot be read."""
    tree = _build(parse(spec.usage), top=True)
    tree = _point_at_keys(tree, spec.keys)
    return _date(tree, _additions(spec.history))


_VALUE_TYPES: Final = "string|integer|double|key|pattern|unix-time"
_TYPE_MARK: Final = re.compile(rf"(?<=[a-z0-9]):({_VALUE_TYPES})(?![a-z0-9-])")
_NAME_MARK: Final = re.compile(r"(?<![^\s\[<|])([a-z0-9-]+)=(?=[<\[a-z])")


def plain(usage: str) -> str:
    """The synopsis as people read it, without the marks that only ``arguments`` needs."""
    return _NAME_MARK.sub("", _TYPE_MARK.sub("", usage))


# First step: brackets and repetitions. Nodes are compared without the marks they bear.


class _Mark(NamedTuple):
    name: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """A token or the name of a value."""

    text: str
    mark: _Mark = field(default=_Mark(), compare=False)

    @property
    def is_token(self) -> bool:
        """Whether it is sent as it stands."""
        return not re.search("[a-z]", self.text)


@dataclass(frozen=True, slots=True)
class Bracket:
    """``[ ]`` or ``< >`` with one or several choices."""

    choices: tuple[tuple[Node, ...], ...]
    optional: bool
    mark: _Mark = field(default=_Mark(), compare=False)


@dataclass(frozen=True, slots=True)
class Repeat:
    """One or more times what stands in it."""

    nodes: tuple[Node, ...]


Node = Word | Bracket | Repeat

_LEXEME: Final = re.compile(rf"\.\.\.|{_NAME_MARK.pattern}|[\[\]<>|]|[^\s\[\]<>|]+")
_CLOSING: Final = {"[": "]", "<": ">"}
_ELLIPSIS: Final = Word("...")


def parse(usage: str) -> tuple[Node, ...]:
    """The synopsis as nested nodes. Raises ValueError where brackets do not match."""
    lexemes = [found[0] for found in _LEXEME.finditer(usage)]
    choices, end = _parse_choices(lexemes, 0, "")
    if end != len(lexemes) or len(choices) != 1:
        raise ValueError(f"not a synopsis: {usage}")
    return choices[0]


def _parse_choices(
    lexemes: Sequence[str], at: int, closing: str
) -> tuple[tuple[tuple[Node, ...], ...], int]:
    """What stands up to ``closing``, and where it goes on behind that."""
    choices: list[tuple[Node, ...]] = []
    nodes: list[Node] = []
    mark = _Mark()
    while at < len(lexemes):
        lexeme = lexemes[at]
        at += 1
        if lexeme == closing:
            return (*choices, _fold(nodes)), at
        if lexeme == "|":
            choices.append(_fold(nodes))
            nodes = []
        elif lexeme in _CLOSING:
            inner, at = _parse_choices(lexemes, at, _CLOSING[lexeme])
            nodes.append(_bracket(inner, lexeme == "[", mark))
            mark = _Mark()
        elif lexeme in _CLOSING.values():
            raise ValueError(f"unexpected {lexeme} in the synopsis")
        elif lexeme.endswith("=") and lexeme != "=":
            mark = _Mark(lexeme[:-1])
        else:
            typed = _TYPE_MARK.search(lexeme)
            if typed is not None:
                lexeme, mark = lexeme[: typed.start()], _Mark(mark.name, typed[1])
            nodes.append(Word(lexeme, mark))
            mark = _Mark()
    if closing:
        raise ValueError(f"no {closing} in the synopsis")
    return (*choices, _fold(nodes)), at


def _fold(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Make ``Repeat`` of ``a ...`` and of ``a b [a b ...]``."""
    folded: list[Node] = []
    for node in nodes:
        if node == _ELLIPSIS:
            folded[-1] = Repeat((folded[-1],))
            continue
        body = _repetition(node)
        if body and tuple(folded[-len(body) :]) == body:
            folded[-len(body) :] = [Repeat(tuple(folded[-len(body) :]))]
        else:
            folded.append(node)
    return tuple(folded)


def _repetition(node: Node) -> tuple[Node, ...]:
    """``a b`` for ``[a b ...]``, nothing for another node."""
    if isinstance(node, Bracket) and node.optional and len(node.choices) == 1:
        return _unrepeated(node.choices[0])
    return ()


def _unrepeated(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """``a b`` for ``a b ...``, nothing for others."""
    if not nodes or not isinstance(nodes[-1], Repeat):
        return ()
    return (*nodes[:-1], *nodes[-1].nodes)


def _bracket(choices: tuple[tuple[Node, ...], ...], optional: bool, mark: _Mark) -> Bracket:
    """A bracket; ``[a | b [a | b ...]]`` becomes a repeated choice."""
    *others, last = choices
    if others and last and isinstance(last[-1], Bracket) and last[-1].optional:
        again = last[-1].choices
        once = (*others, last[:-1])
        if (*again[:-1], _unrepeated(again[-1])) == once:
            return Bracket(((Repeat((Bracket(once, False, mark),)),),), optional)
    return Bracket(choices, optional, mark)


# Second step: arguments


def _build(nodes: Sequence[Node], top: bool = False) -> tuple[Argument, ...]:
    """The arguments for a sequence; ``top`` for one that is not in brackets."""
    found: list[Argument] = []
    at = 0
    while at < len(nodes):
        node = nodes[at]
        at += 1
        if isinstance(node, Repeat):
            found.append(_repeated(node))
        elif isinstance(node, Bracket):
            found.append(_bracketed(node))
        elif not node.is_token:
            found.append(_value(node))
        else:
            argument, taken = _token(node, nodes[at:], top)
            found.append(argument)
            at += taken
    return tuple(found)


def _value(word: Word) -> Argument:
    kind = word.mark.type or TYPES.get(word.text, "string")
    return Argument(word.mark.name or word.text, kind, word.text)


def _token(word: Word, behind: Sequence[Node], top: bool) -> tuple[Argument, int]:
    """The argument that a token begins, and how many of the nodes behind it are part of it."""
    token = word.text
    values = 0
    while values < len(behind) and _is_value(behind[values]):
        values += 1
    if values > 1 and token not in _OWN_VALUE_ONLY:
        taken = values if top else len(behind)
        name = _BEHIND_TOKENS.get(token, token.lower())
        return Argument(name, "block", token=token, children=_build(behind[:taken])), taken
    if values:
        return replace(_build(behind[:1])[0], token=token), 1
    if behind and isinstance(behind[0], Bracket) and not behind[0].optional:
        choice = _bracketed(behind[0])
        name = behind[0].mark.name or _BEHIND_TOKENS.get(token, token.lower())
        return replace(choice, name=name, token=token), 1
    name = word.mark.name or _TOKENS.get(token, token.lower())
    return Argument(name, "pure-token", name, token), 0


def _is_value(node: Node) -> bool:
    if isinstance(node, Repeat):
        return all(map(_is_value, node.nodes))
    return isinstance(node, Word) and not node.is_token


def _repeated(node: Repeat) -> Argument:
    first = node.nodes[0]
    with_token = isinstance(first, Word) and first.is_token
    return replace(_one(_build(node.nodes)), multiple=True, multiple_token=with_token)


def _bracketed(node: Bracket) -> Argument:
    parts = tuple(_one(_build(choice)) for choice in node.choices)
    if len(parts) == 1:
        part = parts[0]
    else:
        shape = "|".join(map(_head, parts))
        name = _CHOICES.get(shape, shape.lower().replace("|", "-"))
        part = Argument(name, "oneof", children=parts)
    return replace(part, name=node.mark.name or part.name, optional=node.optional or part.optional)


def _one(parts: tuple[Argument, ...]) -> Argument:
    """Several arguments as one block."""
    if len(parts) == 1:
        return parts[0]
    shape = " ".join(map(_head, parts))
    name = _BLOCKS.get(shape, shape.lower().replace(" ", "-"))
    return Argument(name, "block", children=parts)


def _head(argument: Argument) -> str:
    """By what an argument is recognised in the shape of a group."""
    return argument.token or argument.name


# Third step: what the rest of the spec knows


def _point_at_keys(tree: tuple[Argument, ...], keys: tuple[KeySpec, ...]) -> tuple[Argument, ...]:
    """Tell every key its key spec. Patterns share one that names no place (SORT BY and GET)."""
    next_spec = 0
    patterns_spec = -1

    def visit(argument: Argument) -> Argument:
        nonlocal next_spec, patterns_spec
        if argument.children:
            return replace(argument, children=tuple(map(visit, argument.children)))
        if argument.type == "key":
            if not keys:
                return replace(argument, type="string")
            if next_spec == patterns_spec:
                next_spec += 1
            index = min(next_spec, len(keys) - 1)
            next_spec += 1
            return replace(argument, key_spec=index)
        if argument.type == "pattern" and next_spec < len(keys):
            if keys[next_spec].begin[0] != "unknown":
                return argument
            patterns_spec = next_spec
            return replace(argument, key_spec=patterns_spec)
        return argument

    return tuple(map(visit, tree))


def _additions(history: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """The first version in whose entry a token or name is quoted."""
    since: dict[str, str] = {}
    for version, text in history:
        for quoted in re.findall("`([^`]+)`", text):
            for word in re.split(r"[|\s]+", quoted):
                since.setdefault(word, version)
    return since


def _date(tree: tuple[Argument, ...], since: Mapping[str, str]) -> tuple[Argument, ...]:
    return tuple(_dated(argument, since, argument.optional) for argument in tree)


def _dated(argument: Argument, since: Mapping[str, str], may_be_new: bool) -> Argument:
    version = since.get(argument.token or argument.display, "") if may_be_new else ""
    if argument.type != "oneof":
        return replace(argument, since=version, children=_date(argument.children, since))
    choices = tuple(_dated(choice, since, True) for choice in argument.children)
    versions = {choice.since for choice in choices}
    if len(versions) == 1 and not version:
        version = versions.pop()
        choices = tuple(replace(choice, since="") for choice in choices)
    return replace(argument, since=version, children=choices)
