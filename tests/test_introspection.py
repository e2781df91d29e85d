"""COMMAND and its subcommands. What they say about each command is compared in test_specs."""

from __future__ import annotations

from typing import Any

import pytest

from pyredis.server import command_table
from tests.support import EngineClient, ReplyError, Status, Twin

OURS = (b"display_text", b"notes")
"""What 7.0 does not have, and what we do not."""


def skeleton(reply: Any) -> Any:
    """The types of a reply, without the entries for ``OURS``."""
    if isinstance(reply, tuple) and reply[0] == "map":
        pairs = [(key, value) for key, value in reply[1] if key not in OURS]
        return ("map", [(key, skeleton(value)) for key, value in pairs])
    if isinstance(reply, tuple):
        return (reply[0], [skeleton(item) for item in reply[1]])
    if isinstance(reply, list):
        items = list(reply)
        for name in OURS:
            while name in items:
                at = items.index(name)
                del items[at : at + 2]
        return [skeleton(item) for item in items]
    return type(reply)


@pytest.mark.parametrize("protocol", [2, 3])
def test_shapes(twin: Twin, protocol: int) -> None:
    twin.real("HELLO", protocol)
    twin.ours("HELLO", protocol)
    for names in (["get", "Set", "nope", "sort", "config|get", "get|x", "config|x", "a|b|c"],
                  ["sunionstore", "spublish", "sscan", "mset"]):  # fmt: skip
        real, ours = twin.real("COMMAND", "INFO", *names), twin.ours("COMMAND", "INFO", *names)
        assert skeleton(real) == skeleton(ours)
        assert [entry and entry[0] for entry in real] == [entry and entry[0] for entry in ours]
    names = ["lpop", "brpoplpush", "nope", "config|get", "expire", "mget", "get|x"]
    for name in names:
        real, ours = twin.real("COMMAND", "DOCS", name), twin.ours("COMMAND", "DOCS", name)
        if name != "config|get":  # which 7.2 describes more simply
            assert skeleton(real) == skeleton(ours)


def test_all_commands(client: EngineClient) -> None:
    tops = list(command_table().entries.values())
    assert client("COMMAND", "COUNT") == len(tops)
    assert [entry[0].decode() for entry in client("COMMAND")] == [entry.name for entry in tops]
    assert client("COMMAND", "INFO") == client("COMMAND")
    docs = client("COMMAND", "DOCS")
    assert [name.decode() for name in docs[::2]] == [entry.name for entry in tops]


def test_docs_of_an_argument(client: EngineClient) -> None:
    client("HELLO", 3)
    ((name, docs),) = client("COMMAND", "DOCS", "LPOP")[1]
    fields = dict(docs[1])
    assert name == b"lpop"
    assert fields[b"group"] == b"list"
    assert fields[b"arguments"][1] == ("map", [
        (b"name", b"count"), (b"type", b"integer"), (b"display_text", b"count"),
        (b"since", b"6.2.0"), (b"flags", ("set", [Status(b"optional")])),
    ])  # fmt: skip


def test_list(twin: Twin, client: EngineClient) -> None:
    names = {entry.name.encode() for entry in command_table().all()}
    assert set(client("COMMAND", "LIST")) == names
    known = set(twin.real("COMMAND", "LIST"))
    for query in (("PATTERN", "x*"), ("PATTERN", "L*P"), ("pattern", "config|*"),
                  ("ACLCAT", "list"), ("ACLCAT", "STRING"), ("ACLCAT", "@list"),
                  ("ACLCAT", "nope"), ("MODULE", "x")):  # fmt: skip
        theirs = set(twin.real("COMMAND", "LIST", "FILTERBY", *query))
        ours = set(twin.ours("COMMAND", "LIST", "FILTERBY", *query))
        assert ours & known == theirs & names, query
    for wrong in (["x"], ["FILTERBY"], ["FILTERBY", "MODULE"], ["FILTERBY", "NOPE", "x"],
                  ["FILTERBY", "MODULE", "x", "y"]):  # fmt: skip
        twin("COMMAND", "LIST", *wrong)


def test_getkeys(twin: Twin) -> None:
    for argv in (
        "SET a b GET", "set a b", "MSET a 1 b 2", "SORT a BY x GET y STORE z", "SORT_RO a GET x",
        "LMPOP 2 a b LEFT", "BITFIELD a GET u8 0", "BITFIELD a SET u8 0 1", "OBJECT ENCODING k",
        "BLPOP a b 0", "ZUNIONSTORE d 2 a b", "ZUNIONSTORE d 0 a", "ZUNIONSTORE d 9 a",
        "PING x", "SPUBLISH a b", "NOPE a", "OBJECT NOPE a", "GET a b", "SUBSCRIBE a",
        "CONFIG GET x",
    ):  # fmt: skip
        twin("COMMAND", "GETKEYS", *argv.split())
        ours = twin.ours("COMMAND", "GETKEYSANDFLAGS", *argv.split())
        theirs = twin.real("COMMAND", "GETKEYSANDFLAGS", *argv.split())
        if not isinstance(ours, ReplyError):
            ours = [(key, set(flags)) for key, flags in ours]
            theirs = [(key, set(flags)) for key, flags in theirs]
        assert ours == theirs


def test_getkeys_of_a_container(client: EngineClient) -> None:
    assert client("COMMAND", "GETKEYS", "OBJECT") == b"ERR The command has no key arguments"
    assert client("COMMAND", "GETKEYS", "GET") == (
        b"ERR Invalid number of arguments specified for command"
    )


def test_errors_and_help(twin: Twin) -> None:
    twin("COMMAND", "NOPE")
    twin("COMMAND", "COUNT", "x")
    lines = twin.ours("COMMAND", "HELP")
    assert all(isinstance(line, Status) for line in lines)
    assert lines[0] == twin.real("COMMAND", "HELP")[0]
    words = {line.split()[0] for line in lines[1:] if not line.startswith(b" ")}
    assert words == {b"COUNT", b"DOCS", b"GETKEYS", b"GETKEYSANDFLAGS", b"HELP", b"INFO", b"LIST"}
