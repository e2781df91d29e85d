"""Every spec against what a real redis-server says of its command.

The reference is Redis 7.0.15, we follow 7.2; what changed in between stands in ``NEW``,
``CHANGED`` and ``RENAMED``. Texts are our own: summaries and notes are not compared, of
histories only the versions, of complexities only the formulas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from pyredis.commands.registry import Entry
from pyredis.server import command_table
from tests.support import RealRedis, WireClient, new_client

ENTRIES = {entry.name: entry for entry in command_table().all()}

NEW = {
    "client|no-touch": "7.2",
    "client|setinfo": "7.2",
    "waitaof": "7.2",
}
"""Commands that the reference does not have."""

_WITHOUT_NOSCRIPT = "7.2 lets scripts call blocking commands, which then do not block"
_DEPRECATED = "7.2 declares it deprecated"
_WORD = "7.0 has a block of one argument"
CHANGED: dict[str, dict[str, tuple[Any, str]]] = {
    "acl|log": {"history": (("set", [b"7.2.0"]), "7.2 shows more of an entry")},
    "command|getkeys": {
        "arity": (-3, "7.2 allows a command without arguments"),
        "arguments": ("command:string [arg:string ...]", "7.2 documents them"),
    },
    "command|getkeysandflags": {
        "arity": (-3, "7.2 allows a command without arguments"),
        "arguments": ("command:string [arg:string ...]", "7.2 documents them"),
    },
    **{
        name: {
            "doc_flags": (("set", [b"deprecated"]), _DEPRECATED),
            "deprecated_since": (since, _DEPRECATED),
            "replaced_by": (instead, _DEPRECATED),
        }
        for name, since, instead in (
            ("setnx", b"2.6.12", b"`SET` with the `NX` argument"),
            ("setex", b"2.6.12", b"`SET` with the `EX` argument"),
            ("psetex", b"2.6.12", b"`SET` with the `PX` argument"),
            ("quit", b"7.2.0", b"just closing the connection"),
        )
    },
    "client|list": {
        "arguments": (
            "[TYPE client-type:oneof<normal=NORMAL|master=MASTER|replica=REPLICA|pubsub=PUBSUB>"
            "@5.0.0] [ID client-id:integer@6.2.0 ...]",
            _WORD,
        )
    },
    "bitop": {
        "arguments": (
            "operation:oneof<and=AND|or=OR|xor=XOR|not=NOT> destkey:key#0 key:key#1 ...",
            "7.2 spells out the operations",
        )
    },
    "xinfo|stream": {
        "arguments": ("key:key#0 [full-block:block(full=FULL [COUNT count:integer])]", _WORD),
        "history": (("set", [b"6.0.0", b"7.0.0", b"7.2.0"]), "7.2 adds active-time"),
    },
    "xinfo|consumers": {"history": (("set", [b"7.2.0"]), "7.2 adds inactive")},
    "config|get": {"arguments": ("parameter:string ...", _WORD)},
    **{
        name: {"arguments": ("key:key#0 [member:string ...]", "7.2 says that none is fine")}
        for name in ("geohash", "geopos")
    },
    "pfmerge": {"arguments": ("destkey:key#0 [sourcekey:key#1 ...]", "7.2 says that none is fine")},
    **{
        name: {
            "arguments": (
                f"key:key#0 {center} radius:double unit:oneof<m=M|km=KM|ft=FT|mi=MI> "
                "[withcoord=WITHCOORD] [withdist=WITHDIST] [withhash=WITHHASH] "
                f"[count-block:block(COUNT count:integer [{some}])] "
                "[order:oneof<asc=ASC|desc=DESC>] "
                "[store:oneof<STORE storekey:key#1|STOREDIST storedistkey:key#2>]",
                "7.2 says that they exclude each other",
            )
        }
        for name, center, some in (
            ("georadius", "longitude:double latitude:double", "any=ANY@6.2.0"),
            ("georadiusbymember", "member:string", "any=ANY"),
        )
    },
    "psubscribe": {"arguments": ("pattern:pattern ...", _WORD)},
    **{
        name: {
            "arity": (-3, "7.2 adds WITHSCORE"),
            "history": (("set", [b"7.2.0"]), "7.2 adds WITHSCORE"),
            "arguments": (
                "key:key#0 member:string [withscore=WITHSCORE@7.2.0]",
                "7.2 adds WITHSCORE",
            ),
        }
        for name in ("zrank", "zrevrank")
    },
    **{
        name: {"flags": (("set", sorted(flags.encode().split())), _WITHOUT_NOSCRIPT)}
        for name, flags in {
            "blpop": "write blocking",
            "brpop": "write blocking",
            "blmove": "write denyoom blocking",
            "brpoplpush": "write denyoom blocking",
            "bzpopmin": "write blocking fast",
            "bzpopmax": "write blocking fast",
            "wait": "",
        }.items()
    },
}
"""By command and field: the value, and why it is not that of the reference."""

RENAMED = {
    "data": "field_value key_value score_member longitude_latitude_member parameter_value",
    "auto-id": "auto_id",
    "category": "categoryname",
    "new-id": "new_id",
    "group": "groupname",
    "consumer": "consumername",
    "group-block": "group_consumer",
    "lastid": "id",
    "entries-read": "entries_read",
    "entries-added": "entries_added",
    "max-deleted-id": "max_deleted_entry_id",
    "limit": "offset_count",
    "range": "index start-slot_end-slot",
    "unit": "index_unit",
    "end-unit-block": "end_index",
    "flush-type": "async",
    "id-selector": "id id_or_auto",
    "get-block": "encoding_offset",
    "set-block": "encoding_offset_value",
    "incrby-block": "encoding_offset_increment",
    "overflow-block": "wrap_sat_fail",
    "write-operation": "write_operation",
    "by-pattern": "pattern",
    "get-pattern": "pattern",
    "count-block": "count",
    "fromlonlat": "longitude_latitude",
    "client-type": "normal_master_replica_pubsub normal_master_slave_pubsub",
    "auth": "username_password",
    "action": "on_off_skip",
    "addr": "ip:port",
    "laddr": "ip:port",
    "old-format": "ip:port",
    "min-match-len": "len",
    "save-selector": "nosave_save",
    "unblock-type": "timeout_error",
}
"""Names of arguments in 7.2 and what 7.0 called them: 7.2 made them unique."""


FORMULA = re.compile(r"O\((?:[^()]|\([^()]*\))*\)")


# Replies in one order and without our own words


def plain(reply: Any) -> Any:
    """Sets sorted, maps as dictionaries."""
    if isinstance(reply, tuple) and reply[0] == "set":
        return ("set", sorted(map(plain, reply[1]), key=repr))
    if isinstance(reply, tuple) and reply[0] == "map":
        return {key.decode(): plain(value) for key, value in reply[1]}
    return [plain(item) for item in reply] if isinstance(reply, list) else reply


INFO_FIELDS = "name arity flags first last step categories tips key_specs subcommands"


def info_of(reply: Any) -> dict[str, Any]:
    info = dict(zip(INFO_FIELDS.split(), plain(reply), strict=True))
    info["key_specs"] = [plain(item) for item in reply[8][1]]  # the order counts
    for spec in info["key_specs"]:
        spec.pop("notes", None)
    if info["subcommands"] == ("set", []):  # of all things, the type tells whether there are any
        info["subcommands"] = []
    info["subcommands"] = sorted(child[0].decode() for child in info["subcommands"])
    return info


def docs_of(docs: dict[str, Any]) -> dict[str, Any]:
    del docs["summary"]
    history = docs.pop("history", ("set", []))
    docs["history"] = (history[0], sorted(version for version, _text in history[1]))
    docs["complexity"] = sorted(set(FORMULA.findall(docs.get("complexity", b"").decode())))
    docs["subcommands"] = sorted(docs.get("subcommands", ()))
    docs["arguments"] = " ".join(map(written, docs.get("arguments", ())))
    return docs


def written(argument: Any) -> str:
    """One argument on a line: ``[EX seconds:integer@2.6.12 ...]``."""
    kind = argument["type"].decode()
    token = argument.get("token", b"").decode()
    name = argument["name"].decode()
    children = argument.get("arguments", ())
    text = name + ":" + kind if kind != "pure-token" else name + "="
    if "token" in argument:
        text = f"{token} {text}" if kind != "pure-token" else text + token
    if kind == "oneof":
        text += "<" + "|".join(map(written, children)) + ">"
    if kind == "block":
        text += "(" + " ".join(map(written, children)) + ")"
    if "key_spec_index" in argument:
        text += f"#{argument['key_spec_index']}"
    if "since" in argument:
        text += f"@{argument['since'].decode()}"
    flags = argument.get("flags", ("set", []))[1]
    text += " ..." * (b"multiple" in flags) + "+" * (b"multiple_token" in flags)
    return f"[{text}]" if b"optional" in flags else text


def renamed(argument: Any, reference: Any) -> None:
    """Give arguments of the reference our names where 7.2 renamed them."""
    for ours, theirs in zip(argument, reference, strict=False):
        if theirs["name"].decode() in RENAMED.get(ours["name"].decode(), "").split():
            theirs["name"] = ours["name"]
        renamed(ours.get("arguments", ()), theirs.get("arguments", ()))


@pytest.fixture(scope="module")
def reference(real_redis: RealRedis) -> Iterator[WireClient]:
    client = real_redis.client()
    client("HELLO", 3)
    yield client
    client.close()


@pytest.mark.parametrize("name", ENTRIES)
def test_spec(name: str, reference: WireClient) -> None:
    entry: Entry = ENTRIES[name]
    client = new_client()
    client("HELLO", 3)
    assert entry.spec.summary.endswith("."), "the docstring begins with a sentence"
    info, (_, docs) = client("COMMAND", "INFO", name)[0], client("COMMAND", "DOCS", name)
    real_info = reference("COMMAND", "INFO", name)[0]
    if name in NEW:
        assert real_info is None, "not new"
        return
    assert real_info is not None, "no such command in the reference"
    _, real_docs = reference("COMMAND", "DOCS", name)
    our_docs, their_docs = plain(docs[0][1]), plain(real_docs[0][1])
    renamed(our_docs.get("arguments", ()), their_docs.get("arguments", ()))
    ours, theirs = info_of(info) | docs_of(our_docs), info_of(real_info) | docs_of(their_docs)
    theirs["subcommands"] += [child for child in NEW if child.startswith(f"{name}|")]
    theirs["subcommands"].sort()
    for field, (value, _reason) in CHANGED.get(name, {}).items():
        assert theirs.get(field) != value, f"{field}: no difference any more"
        theirs[field] = value
    assert ours == theirs
