"""From synopsis to argument tree: one test for each rule in the module's docstring."""

from __future__ import annotations

from typing import Any

import pytest

from pyredis.commands.registry import KeySpec, Spec, first, span
from pyredis.server import command_table
from pyredis.usage import Argument, arguments, parse, plain


def tree(
    usage: str, keys: tuple[KeySpec, ...] = (), history: tuple[tuple[str, str], ...] = ()
) -> tuple[Argument, ...]:
    return arguments(
        Spec("X", -1, frozenset(), keys, frozenset(), (), "", "1.0.0", "", usage, "", history)
    )


def short(argument: Argument) -> Any:
    """Name, type and what is not the default."""
    marks = "?" * argument.optional + "*" * argument.multiple + "+" * argument.multiple_token
    text = f"{argument.token or ''}:{argument.name}:{argument.type}{marks}"
    return (text, *map(short, argument.children)) if argument.children else text


def shape(usage: str, keys: tuple[KeySpec, ...] = ()) -> list[Any]:
    return [short(argument) for argument in tree(usage, keys)]


def test_tokens_and_values() -> None:
    assert shape("key [MATCH pattern] [REV]", first("RO")) == [
        ":key:key", "MATCH:pattern:pattern?", "REV:rev:pure-token?",
    ]  # fmt: skip


def test_a_token_and_several_values_are_a_block() -> None:
    assert shape("[LIMIT offset count]") == [
        ("LIMIT:limit:block?", ":offset:integer", ":count:integer")
    ]
    assert shape("[TO host port [FORCE]] [ABORT]") == [
        ("TO:target:block?", ":host:string", ":port:integer", "FORCE:force:pure-token?"),
        "ABORT:abort:pure-token?",
    ]
    assert shape("<NO ONE | a>") == [
        (":no-one-a:oneof",
         (":no-one:block", "NO:no:pure-token", "ONE:one:pure-token"), ":a:string")
    ]  # fmt: skip


def test_choices() -> None:
    assert shape("[NX | XX] <LEFT|RIGHT> [AGGREGATE <SUM | MIN | MAX>]") == [
        (":condition:oneof?", "NX:nx:pure-token", "XX:xx:pure-token"),
        (":where:oneof", "LEFT:left:pure-token", "RIGHT:right:pure-token"),
        ("AGGREGATE:aggregate:oneof?", "SUM:sum:pure-token", "MIN:min:pure-token",
         "MAX:max:pure-token"),
    ]  # fmt: skip
    assert shape("[MAXLEN [= | ~] threshold]") == [
        (":maxlen-operator-threshold:block?", "MAXLEN:maxlen:pure-token",
         (":operator:oneof?", "=:equal:pure-token", "~:approximately:pure-token"),
         ":threshold:string")
    ]  # fmt: skip


def test_repetitions() -> None:
    assert shape("a [a ...]") == shape("a ...") == [":a:string*"]
    assert shape("[a [a ...]]") == shape("[a ...]") == [":a:string?*"]
    assert shape("field value [field value ...]") == [
        (":data:block*", ":field:string", ":value:string")
    ]
    assert shape("[GET a [GET a ...]] [WEIGHTS weight [weight ...]]") == [
        "GET:a:string?*+", "WEIGHTS:weight:integer?*",
    ]  # fmt: skip
    assert shape("STREAMS key [key ...] id [id ...]", first("RO")) == [
        ("STREAMS:streams:block", ":key:key*", ":id:string*")
    ]


def test_repeated_choices() -> None:
    choice = (":a-b:oneof?*", ":a:string", ":b:string")
    assert shape("[a | b [a | b ...]]") == shape("[<a | b> ...]") == [choice]


def test_a_token_of_the_first_value_only() -> None:
    assert shape("<BYRADIUS radius <M | KM> | BYBOX width height <M | KM>>") == [
        (":byradius-m-km-bybox-height-m-km:oneof",
         (":byradius-m-km:block", "BYRADIUS:radius:double",
          (":m-km:oneof", "M:m:pure-token", "KM:km:pure-token")),
         (":bybox-height-m-km:block", "BYBOX:width:double", ":height:double",
          (":m-km:oneof", "M:m:pure-token", "KM:km:pure-token")))
    ]  # fmt: skip


def test_marks_for_types_and_names() -> None:
    usage = "min:double where=<a | b> [BY by-pattern=pattern] ip:port"
    assert shape(usage) == [
        ":min:double", (":where:oneof", ":a:string", ":b:string"), "BY:by-pattern:pattern?",
        ":ip:port:string",
    ]  # fmt: skip
    assert tree(usage)[2].display == "pattern"
    assert plain(usage) == "min <a | b> [BY pattern] ip:port"
    assert plain("[= | ~] a:b x=1") == "[= | ~] a:b x=1"


def test_keys_belong_to_key_specs() -> None:
    def places(usage: str, keys: tuple[KeySpec, ...]) -> list[int | None]:
        return [argument.key_spec for argument in tree(usage, keys)]

    assert places("source destination", first("RW") + first("RW", at=2)) == [0, 1]
    assert places("key1 key2 [LEN]", span("RO", last=1)) == [0, 0, None]
    unknown = KeySpec(("RO",), ("unknown",), ("unknown",))
    assert places(
        "key [BY pattern] [GET pattern [GET pattern ...]] [STORE destination]",
        (*first("RO"), unknown, unknown),
    ) == [0, 1, 1, 2]
    assert tree("key")[0].type == "string"


def test_versions_come_from_the_history() -> None:
    history = (("2.0.0", "Knows `A`."), ("3.0.0", "Knows `B|C`, repeats `A`."), ("4.0.0", "`d`."))
    a, choice, mixed, d = tree("[A] [B | C] [A | B] d", (), history)
    assert (a.since, choice.since, d.since) == ("2.0.0", "3.0.0", "")
    assert [child.since for child in choice.children] == ["", ""]
    assert (mixed.since, [child.since for child in mixed.children]) == ("", ["2.0.0", "3.0.0"])


@pytest.mark.parametrize("usage", ["[a", "a]", "<a]", "a | b", "<a | b"])
def test_what_is_no_synopsis(usage: str) -> None:
    with pytest.raises(ValueError, match="synopsis"):
        parse(usage)


def test_every_synopsis_names_its_arguments_once() -> None:
    for entry in command_table().all():
        names = [argument.name for argument in arguments(entry.spec)]
        assert len(names) == len(set(names)), entry.name
