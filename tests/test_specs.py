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
    "cluster|myshardid": "7.2",
    "waitaof": "7.2",
    **dict.fromkeys(["hexpire", "hpexpire", "hexpireat", "hpexpireat", "hpersist"], "7.4"),
    **dict.fromkeys(["httl", "hpttl", "hexpiretime", "hpexpiretime"], "7.4"),
    **dict.fromkeys(["hgetex", "hsetex", "hgetdel"], "8.0"),
    **dict.fromkeys(["xdelex", "xackdel"], "8.2"),
    **dict.fromkeys(["digest", "delex", "msetex"], "8.4"),
}
"""Commands that the reference does not have."""

_WITHOUT_NOSCRIPT = "7.2 lets scripts call blocking commands, which then do not block"
_DEPRECATED = "7.2 declares it deprecated"
_WORD = "7.0 has a block of one argument"
_TIPS = "8.0 gives other tips"
_TO_ALL = ("set", [b"request_policy:all_nodes", b"response_policy:all_succeeded"])
CHANGED: dict[str, dict[str, tuple[Any, str]]] = {
    **{
        name: {"tips": (_TO_ALL, _TIPS)}
        for name in (
            *("client|setname", "config|rewrite", "config|resetstat"),
            *("acl|setuser", "acl|deluser", "acl|save"),
        )
    },
    "latency|reset": {
        "tips": (("set", [b"request_policy:all_nodes", b"response_policy:agg_sum"]), _TIPS)
    },
    "msetnx": {"tips": (("set", []), _TIPS)},
    "scan": {
        "tips": (
            (
                "set",
                [
                    b"nondeterministic_output",
                    b"request_policy:special",
                    b"response_policy:special",
                ],
            ),
            _TIPS,
        )
    },
    "randomkey": {
        "tips": (
            (
                "set",
                [
                    b"nondeterministic_output",
                    b"request_policy:all_shards",
                    b"response_policy:special",
                ],
            ),
            _TIPS,
        )
    },
    "client|pause": {"since": (b"3.0.0", "8.0 corrects it")},
    **{
        name: {"flags": (("set", [b"loading", b"stale"]), "8.0 answers while it loads")}
        for name in ("cluster|shards", "cluster|slots")
    },
    "sinterstore": {
        "key_specs": (
            [
                {
                    "flags": ("set", [b"OW", b"update"]),
                    "begin_search": {"type": b"index", "spec": {"index": 1}},
                    "find_keys": {
                        "type": b"range",
                        "spec": {"lastkey": 0, "keystep": 1, "limit": 0},
                    },
                },
                {
                    "flags": ("set", [b"RO", b"access"]),
                    "begin_search": {"type": b"index", "spec": {"index": 2}},
                    "find_keys": {
                        "type": b"range",
                        "spec": {"lastkey": -1, "keystep": 1, "limit": 0},
                    },
                },
            ],
            "7.2 says that the destination is overwritten",
        )
    },
    "wait": {
        "flags": (("set", [b"blocking"]), "7.4 counts it among the blocking commands"),
        "categories": (("set", [b"@blocking", b"@connection", b"@slow"]), "likewise"),
    },
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
    "xinfo|stream": {
        "arguments": ("key:key#0 [full-block:block(full=FULL [COUNT count:integer])]", _WORD),
        "history": (("set", [b"6.0.0", b"7.0.0", b"7.2.0"]), "7.2 adds active-time"),
    },
    "xinfo|consumers": {"history": (("set", [b"7.2.0"]), "7.2 adds inactive")},
    "config|get": {"arguments": ("parameter:string ...", _WORD)},
    "migrate": {
        "arguments": (
            'host:string port:integer key-selector:oneof<key:key#0|empty-string=""> '
            "destination-db:integer timeout:integer [copy=COPY@3.0.0] [replace=REPLACE@3.0.0] "
            "[authentication:oneof<AUTH password:string@4.0.7|AUTH2 auth2:block("
            "username:string password:string)@6.0.0>] [KEYS key:key#1@3.0.6 ...]",
            "7.2 names and nests them anew",
        )
    },
    "module|loadex": {
        "arguments": (
            "path:string [CONFIG configs:block(name:string value:string) ...+] "
            "[ARGS arg:string ...]",
            _WORD,
        )
    },
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
        }.items()
    },
}
"""By command and field: the value, and why it is not that of the reference."""

_REFERENCES = " [condition:oneof<keepref=KEEPREF|delref=DELREF|acked=ACKED>@8.2.0]"
ADDED: dict[str, tuple[list[bytes], dict[str, str]]] = {
    "hscan": ([], {"[COUNT count:integer]": "[COUNT count:integer] [novalues=NOVALUES]"}),
    "set": (
        [b"8.4.0"],
        {
            "[condition:oneof<nx=NX|xx=XX>@2.6.12]": "[condition:oneof<nx=NX@2.6.12|xx=XX@2.6.12|"
            "IFEQ ifeq-value:string@8.4.0|IFNE ifne-value:string@8.4.0|"
            "IFDEQ ifdeq-digest:integer@8.4.0|IFDNE ifdne-digest:integer@8.4.0>]"
        },
    ),
    "bitop": (
        [b"8.2.0"],
        {
            "operation:string": "operation:oneof<and=AND|or=OR|xor=XOR|not=NOT|diff=DIFF@8.2.0|"
            "diff1=DIFF1@8.2.0|andor=ANDOR@8.2.0|one=ONE@8.2.0>"
        },
    ),
    "client|list": ([b"7.2.0", b"7.4.0"], {}),
    "client|kill": (
        [b"7.4.0"],
        {"[SKIPME yes/no:string]": "[SKIPME yes/no:string]|[MAXAGE maxage:integer@7.4.0]"},
    ),
    "xadd": (
        [b"8.2.0"],
        {
            "[nomkstream=NOMKSTREAM@6.2.0]": "[nomkstream=NOMKSTREAM@6.2.0]" + _REFERENCES,
            "id_or_auto": "id-selector",
            "auto_id": "auto-id",
            "field_value": "data",
        },
    ),
    "xtrim": ([b"8.2.0"], {"count:integer@6.2.0])": "count:integer@6.2.0])" + _REFERENCES}),
    "xreadgroup": (
        [b"8.4.0"],
        {"[noack=": "[CLAIM min-idle-time:integer@8.4.0] [noack="},
    ),
}
"""What came after 7.2: versions in the history, and what stands in the place of arguments."""

NEW_ARGUMENTS = {
    "hexpire": "key:key#0 seconds:integer [condition:oneof<nx=NX|xx=XX|gt=GT|lt=LT>] "
    "FIELDS fields:block(numfields:integer field:string ...)",
    "httl": "key:key#0 FIELDS fields:block(numfields:integer field:string ...)",
    "hgetex": "key:key#0 [expiration:oneof<EX seconds:integer|PX milliseconds:integer|"
    "EXAT unix-time-seconds:unix-time|PXAT unix-time-milliseconds:unix-time|persist=PERSIST>] "
    "FIELDS fields:block(numfields:integer field:string ...)",
    "hsetex": "key:key#0 [condition:oneof<fnx=FNX|fxx=FXX>] [expiration:oneof<EX seconds:integer|"
    "PX milliseconds:integer|EXAT unix-time-seconds:unix-time|"
    "PXAT unix-time-milliseconds:unix-time|keepttl=KEEPTTL>] "
    "FIELDS fields:block(numfields:integer data:block(field:string value:string) ...)",
    "xdelex": "key:key#0 [condition:oneof<keepref=KEEPREF|delref=DELREF|acked=ACKED>] "
    "IDS ids:block(numids:integer id:string ...)",
    "xackdel": "key:key#0 group:string [condition:oneof<keepref=KEEPREF|delref=DELREF|"
    "acked=ACKED>] IDS ids:block(numids:integer id:string ...)",
    "delex": "key:key#0 [condition:oneof<IFEQ ifeq-value:string|IFNE ifne-value:string|"
    "IFDEQ ifdeq-digest:integer|IFDNE ifdne-digest:integer>]",
    "msetex": "numkeys:integer data:block(key:key#0 value:string) ... "
    "[condition:oneof<nx=NX|xx=XX>] [expiration:oneof<EX seconds:integer|"
    "PX milliseconds:integer|EXAT unix-time-seconds:unix-time|"
    "PXAT unix-time-milliseconds:unix-time|keepttl=KEEPTTL>]",
}
"""Arguments of some commands that the reference does not have, as documented."""

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
    "cluster-bus-port": "cluster_bus_port",
    "reset-type": "hard_soft",
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
        if name in NEW_ARGUMENTS:
            assert docs_of(plain(docs[0][1]))["arguments"] == NEW_ARGUMENTS[name]
        return
    assert real_info is not None, "no such command in the reference"
    _, real_docs = reference("COMMAND", "DOCS", name)
    our_docs, their_docs = plain(docs[0][1]), plain(real_docs[0][1])
    renamed(our_docs.get("arguments", ()), their_docs.get("arguments", ()))
    ours, theirs = info_of(info) | docs_of(our_docs), info_of(real_info) | docs_of(their_docs)
    theirs["subcommands"] += [child for child in NEW if child.startswith(f"{name}|")]
    theirs["subcommands"].sort()
    versions, pieces = ADDED.get(name, ([], {}))
    theirs["history"] = ("set", sorted([*theirs["history"][1], *versions]))
    for theirs_piece, our_piece in pieces.items():
        assert theirs_piece in theirs["arguments"]
        theirs["arguments"] = theirs["arguments"].replace(theirs_piece, our_piece)
    for field, (value, _reason) in CHANGED.get(name, {}).items():
        assert theirs.get(field) != value, f"{field}: no difference any more"
        theirs[field] = value
    assert ours == theirs
