"""Sequences from the command specs.

For nearly every command (for the others see ``recipes.py``) the synopsis beside its handler
gives the tree of its arguments (see ``pyredis.usage``). ``_maker`` turns the tree into a
function that writes one choice of arguments: which options, how many repetitions, which
values. A value is drawn from a small pool by its name and type, so that keys, fields and
members collide, and boundaries are met.

Wrong things come on purpose: keys that hold another type (each type has keys of its own, but
one draw in six ignores that), junk in the place of an argument, arguments dropped, doubled
or added, options twice and in another order, unknown names.

A sequence has a *focus*, a few groups of commands, because sixty commands spread over all
groups would find nearly every key missing. Commands that create data are drawn more often.

Time. Relative times are drawn from a large range, so that no two are equal (two servers
would otherwise disagree by a millisecond on which is greater). Keys expire in steps of
their own: a time of 2 ms, then DEBUG SLEEP for 4.

All randomness comes from one ``random.Random``; a sequence is a function of its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Final

from compat.differences import OLDEST, Version
from compat.recipes import OPENINGS, Recipe, all_recipes
from compat.sequences import CLIENTS_MAX, Argv, Step
from compat.undefined import SCATTERING
from pyredis.commands.registry import Entry
from pyredis.usage import Argument, arguments

Maker = Callable[[Random, Argv], None]

_UNDATED: Final = {("HSCAN", "NOVALUES"): "7.4.0"}
"""Arguments of which their command's history does not say since when there are."""
LENGTH: Final = (20, 90)
_SOON_MS: Final = b"2"
_SLEEP: Final = [b"DEBUG", b"SLEEP", b"0.004"]

KEYS: Final = {
    "string": [b"str:1", b"str:2", b"str:3"],
    "list": [b"list:1", b"list:2", b"list:3"],
    "set": [b"set:1", b"set:2", b"set:3"],
    "hash": [b"hash:1", b"hash:2"],
    "sorted-set": [b"zset:1", b"zset:2", b"zset:3"],
    "stream": [b"stream:1", b"stream:2"],
    "geo": [b"geo:1", b"zset:1"],
    "hyperloglog": [b"hll:1", b"hll:2", b"str:1"],
}
_MAKE_CONSUMER: Final = [b"XGROUP", b"CREATECONSUMER", b"stream:1", b"g1", b"c1"]
_MAKE_GROUP: Final = [b"XGROUP", b"CREATE", b"stream:1", b"g1", b"0", b"MKSTREAM"]
_ALL_KEYS: Final = sorted({key for keys in KEYS.values() for key in keys} | {b"none", b"", b"w:a"})
_SOURCES: Final = {"bitmap": ["string"], "sorted-set": ["sorted-set"] * 6 + ["set"]}

_WORDS: Final = (
    *(b"a", b"b", b"c", b"d", b"e", b"1", b"2", b"3", b"10", b"-5", b"3.5", b"", b"0"),
    *(b"x" * 70, b"long enough not to fit", b"\xff\x00\r\n", b"9223372036854775807", b"007"),
    *(b"A", b"abc", b"foobar", b"1e3", b"-0", b"12345678901234567890", b" 1", b"inf"),
)
_INTEGERS: Final = (
    *(b"0", b"1", b"2", b"3", b"4", b"5", b"7", b"10", b"-1", b"-2", b"-3", b"-10", b"100"),
    *(b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"1.5", b"abc"),
    *(b"", b" 1", b"+1", b"01", b"4294967296", b"-0"),
)
_SMALL: Final = (b"0", b"1", b"1", b"2", b"2", b"3", b"5", b"10", b"-1", b"-2")
_DOUBLES: Final = (
    *(b"0", b"1", b"1", b"2", b"3", b"-1", b"1.5", b"0.1", b"3.25", b"-2.75", b"10", b"1e3"),
    *(b"inf", b"-inf", b"+inf", b"nan", b"1e308", b"-1e308", b"0.3", b"1e-5", b"0x10"),
    *(b"abc", b"", b" 1", b"1 ", b"17179869184.5", b"123456789012345678", b"3.0"),
)
_PLAIN_DOUBLES: Final = (b"0", b"1", b"1", b"2", b"3", b"-1", b"1.5", b"0.5", b"3.25", b"10")
_SCORE_BOUNDS: Final = (
    *(b"0", b"1", b"2", b"3", b"(1", b"(2", b"(0", b"-inf", b"+inf", b"inf", b"1.5", b"-1", b"(3"),
    *(b"(inf", b"10", b"-inf", b"+inf", b"-inf", b"+inf", b"abc", b"(", b"nan", b"", b"[1", b"1e3"),
)
_LEX_BOUNDS: Final = (
    *(b"-", b"+", b"-", b"+", b"[a", b"(a", b"[b", b"(c", b"[1", b"(foobar", b"[", b"(", b"[zz"),
    *(b"a", b"", b"++", b"[\xff"),
)
_PATTERNS: Final = (
    *(b"*", b"*", b"str:*", b"*1", b"?et:[12]", b"[^s]*", b"nothing", b"a*", b"h[a-i]sh*", b""),
    *(b"\\*", b"list:?", b"[", b"**:*", b"*[0-9]", b"[z-a]*", b"x*x"),
)
_SORT_PATTERNS: Final = (
    *(
        b"w:*",
        b"nosort",
        b"#",
        b"hash:*->a",
        b"str:*",
        b"hash:1->*",
        b"*",
        b"w:*->",
        b"*:1",
        b"none*",
    ),
)
_ENCODINGS: Final = (
    b"u8",
    b"i8",
    b"u1",
    b"i64",
    b"u63",
    b"u64",
    b"i5",
    b"i65",
    b"u0",
    b"8",
    b"U8",
    b"",
)
_CHANNELS: Final = (b"ch1", b"ch2", b"news.a", b"")
_JUNK: Final = (
    *(
        b"",
        b"junk",
        b"-1",
        b"0",
        b"99",
        b"*",
        b"\x01\x00",
        b"NX",
        b"GET",
        b"COUNT",
        b"LIMIT",
        b"nan",
    ),
    *(b"1.0", b"(1", b"str:1", b"x" * 300, b"\r\n", b"18446744073709551616"),
)

_BY_NAME: Final[dict[str, Sequence[bytes]]] = {
    "count": (*_SMALL, b"100", b"-5", b"9223372036854775808", b"x"),
    "num-matches": (*_SMALL, b"100"),
    "rank": (*_SMALL, b"-3"),
    "limit": _SMALL,
    "offset": (
        *_SMALL,
        b"7",
        b"8",
        b"9",
        b"15",
        b"31",
        b"63",
        b"100",
        b"500",
        b"4294967296",
        b"#1",
        b"#3",
    ),
    "index": (*_SMALL, b"-3", b"100", b"-100"),
    "start": (*_SMALL, b"-3", b"100", b"-100"),
    "stop": (*_SMALL, b"-3", b"100", b"-100"),
    "end": (*_SMALL, b"-3", b"100", b"-100"),
    "bit": (b"0", b"1", b"0", b"1", b"2", b"-1", b"x"),
    "cursor": (b"0", b"0", b"0", b"0", b"0", b"0", b"5", b"-1", b"x", b"18446744073709551615"),
    "destination-db": (b"0", b"1", b"2", b"15", b"16", b"-1", b"x"),
    "db": (b"0", b"1", b"2", b"15", b"16", b"-1", b"x", b"4294967296"),
    "index1": (b"0", b"1", b"2", b"16", b"x"),
    "index2": (b"0", b"1", b"2", b"16", b"-1"),
    "encoding": _ENCODINGS,
    "timeout": (b"0", b"0", b"0", b"0", b"1000", b"-1", b"abc", b"nan", b"1e300"),
    "channel": _CHANNELS,
    "shardchannel": _CHANNELS,
    "message": _WORDS,
    "type": (b"string", b"list", b"set", b"zset", b"hash", b"stream", b"nosuch", b"STRING"),
    "protover": (b"2", b"3", b"3", b"4", b"x"),
    "connection-name": (b"me", b"", b"a b", b"bad\n", b"ok"),
    "clientname": (b"me", b"a b"),
    "command": (b"GET",),
    "score": _DOUBLES,
    "weight": _DOUBLES,
    "increment": (*_INTEGERS, b"9223372036854775806", b"-9223372036854775807"),
    "decrement": (*_INTEGERS, b"-9223372036854775807"),
}
_IDS: Final = (
    *(b"1-1", b"1-2", b"2-1", b"3-0", b"5-5", b"7", b"0-1", b"10", b"11-*", b"12-3", b"20-1"),
    *(b"0", b"0-0", b"18446744073709551615-18446744073709551615", b"abc", b"1-", b"", b"1-1-1"),
)
_RISING: Final = (b"1-*", b"2-*", b"3-*", b"5-*", b"7-*", b"10-*", b"100-*", b"9999-*")
_ID_RANGE: Final = (
    *_IDS,
    b"-",
    b"+",
    b"-",
    b"+",
    b"-",
    b"+",
    b"(1-1",
    b"(2",
    b"(-",
    b"(18446744073709551615",
)
_GROUPS: Final = (b"g1", b"g1", b"g2", b"nogroup", b"")
_CONSUMERS: Final = (b"c1", b"c1", b"c2", b"other")
_OF_STREAMS: Final[dict[str, Sequence[bytes]]] = {
    "id": _IDS,
    "threshold": (*_SMALL, *_IDS, b"3", b"5", b"2"),
    "last-id": _IDS,
    "lastid": _IDS,
    "max-deleted-id": _IDS,
    "start": _ID_RANGE,
    "end": _ID_RANGE,
    "group": _GROUPS,
    "consumer": _CONSUMERS,
    "min-idle-time": (b"0", b"0", b"0", b"1000000", b"-1", b"abc"),
    "ms": (b"0", b"1000000", b"-1", b"x"),
    "milliseconds": (b"0", b"0", b"1000000", b"-1", b"x"),
    "entries-added": (*_SMALL, b"100"),
    "entries-read": (*_SMALL, b"-1", b"100"),
    "unix-time-milliseconds": (b"1000000000000", b"0", b"9000000000000", b"-1", b"x"),
}
_OF_GEO: Final[dict[str, Sequence[bytes]]] = {
    "longitude": (
        b"13.361389",
        b"15.087269",
        b"13.583333",
        b"-122.27",
        b"0",
        b"1",
        b"180",
        b"-180",
        b"200",
        b"x",
    ),
    "latitude": (
        b"38.115556",
        b"37.502669",
        b"37.316667",
        b"1.5",
        b"0",
        b"1",
        b"85.05112878",
        b"-86",
        b"x",
    ),
    **dict.fromkeys(
        ("radius", "width", "height"),
        (b"0", b"10", b"100", b"200", b"400.5", b"5000", b"1000000", b"-1", b"nan", b"x", b"1e30"),
    ),
}
_PUBSUB_PATTERNS: Final = (b"ch*", b"news.?", b"*", b"[cn]*")

_BANNED: Final = """
    SHUTDOWN MONITOR DEBUG QUIT SYNC PSYNC REPLICAOF SLAVEOF FAILOVER BGSAVE SAVE BGREWRITEAOF
    COMMAND CONFIG LATENCY MEMORY SLOWLOG INFO LASTSAVE ROLE REPLCONF MIGRATE WAIT WAITAOF LOLWUT
    PFSELFTEST MODULE CLUSTER ACL SCRIPT FUNCTION EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL FCALL_RO
    TIME ASKING READONLY READWRITE RESTORE RESTORE-ASKING
"""
"""What is the harness's own, ends the server or a connection, or tells about the machine."""
_CLIENT_ALLOWED: Final = ("CLIENT SETNAME", "CLIENT GETNAME", "CLIENT ID", "CLIENT INFO")
_CREATORS: Final = """
    SET APPEND SETRANGE SETBIT MSET INCR INCRBY INCRBYFLOAT BITFIELD LPUSH RPUSH SADD HSET ZADD
    ZINCRBY HINCRBY SUNIONSTORE ZUNIONSTORE XADD PFADD GEOADD
"""
_SELDOM: Final = {"FLUSHALL": 0.1, "FLUSHDB": 0.1, "SWAPDB": 0.2, "SELECT": 0.3}
_RARE: Final = ("RESET", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "HELP", "AUTH", "HELLO")
_GENERIC: Final = ("generic", "connection", "server")
_TRANSACTION: Final = ("MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH")


class Generator:
    """Draws sequences of the commands of a table.

    Commands and arguments that the reference, of that ``version``, does not know are left out.
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        only: Sequence[str] = (),
        skip: Sequence[str] = (),
        version: Version = OLDEST,
    ) -> None:
        banned = _BANNED.split()
        self.weights = dict.fromkeys(_CREATORS.split(), 6.0) | _SELDOM
        self.near: list[bytes] = []  # keys of the focus, what generic commands are about
        self.has_users = False
        self.inner: list[Template] = []  # what scripts call, and what is asked about
        self.templates: dict[str, list[tuple[str, Template | Recipe]]] = {}
        self.blocking: list[Template] = []
        for entry in entries:
            spec = entry.spec
            parent = spec.name.split(" ")[0]
            if parent in banned or parent in _TRANSACTION or (only and spec.name not in only):
                continue
            if parent == "CLIENT" and spec.name not in _CLIENT_ALLOWED:
                continue
            if _newer(spec.since, version) or spec.group in skip:
                continue
            if spec.name.split(" ")[-1] in _RARE:
                self.weights[spec.name] = 0.1
            template = Template(entry, self.near, version)
            if "blocking" in spec.flags:
                self.blocking.append(template)
            if "blocking" not in spec.flags or "readonly" in spec.flags or "GROUP" in spec.name:
                self.templates.setdefault(spec.group, []).append((spec.name, template))
        self.plain = [group for group in self.templates if group not in _GENERIC]
        for group, recipe, weight in all_recipes(self._request, self._near):
            if not (group in skip or (only and recipe.name not in only)):
                self.weights[recipe.name] = weight
                self.templates.setdefault(group, []).append((recipe.name, recipe))
        self.groups = [group for group in self.templates if group not in _GENERIC]
        self.tables: dict[tuple[str, ...], tuple[list[Template | Recipe], list[float]]] = {}

    def _request(self, rng: Random) -> Argv:
        """A request of an ordinary command, for a recipe."""
        return rng.choice(self.inner).draw(rng) if self.inner else [b"PING"]

    def _near(self, rng: Random) -> Argv:
        return [rng.choice(self.near if rng.random() < 0.9 else _ALL_KEYS)]

    def _choose_inner(self, rng: Random, focus: tuple[str, ...]) -> None:
        groups = [group for group in focus if group in self.plain] or self.plain
        chosen = [*rng.sample(groups, min(len(groups), 2)), "generic"]
        self.inner = [
            template
            for group in chosen
            for _name, template in self.templates.get(group, [])
            if type(template) is Template and not (template.blocks or template.scatters)
        ]

    def _table(self, focus: tuple[str, ...]) -> tuple[list[Template | Recipe], list[float]]:
        """The commands to draw from, and the running sums of their weights."""
        table = self.tables.get(focus)
        if table is None:
            templates: list[Template | Recipe] = []
            sums: list[float] = []
            total = 0.0
            for group in dict.fromkeys((*focus, *_GENERIC)):
                found = self.templates.get(group, [])
                share = (1.0 if group in focus else 0.25) * (0.2 if group == "connection" else 1)
                for name, template in found:
                    total += share * self.weights.get(name, 1)
                    templates.append(template)
                    sums.append(total)
            table = self.tables[focus] = templates, sums
        return table

    def sequence(self, rng: Random) -> list[Step]:
        """One sequence."""
        focus = tuple(
            sorted(rng.sample(self.groups, min(len(self.groups), rng.choice((1, 1, 2, 3)))))
        )
        self.has_users = "acl" in focus  # some may not be able to let time pass
        if self.plain and not set(focus) & set(self.plain):
            focus = tuple(sorted((*focus, rng.choice(self.plain))))
        templates, sums = self._table(focus)
        self._choose_inner(rng, focus)
        self.near[:] = [
            key for group in focus for home in _homes(group) for key in KEYS.get(home, ())
        ]
        self.near[:] = self.near or _ALL_KEYS
        clients = rng.choice((1, 1, 1, 2, 3)) if CLIENTS_MAX > 2 else 1
        steps: list[Step] = [
            Step(n, [[b"HELLO", b"3"]]) for n in range(clients) if rng.random() < 0.5
        ]
        in_multi = [False] * clients
        client = 0
        if "stream" in focus and rng.random() < 0.7:
            steps.append(Step(0, [_MAKE_GROUP]))
            steps.append(Step(0, [_MAKE_CONSUMER]))
        steps += [
            Step(0, [[*OPENINGS[group]]])
            for group in focus
            if group in OPENINGS and rng.random() < 0.7
        ]
        for _ in range(rng.randint(*LENGTH)):
            if clients > 1 and rng.random() < 0.2:
                client = rng.randrange(clients)
            commands = self._commands(rng, templates, sums, in_multi, client, clients)
            steps.append(Step(client, commands))
        for number, queued in enumerate(in_multi):
            if queued and rng.random() < 0.7:
                steps.append(Step(number, [[b"EXEC"]]))
        return steps

    def _commands(
        self,
        rng: Random,
        templates: list[Template | Recipe],
        sums: list[float],
        in_multi: list[bool],
        client: int,
        clients: int,
    ) -> list[Argv]:
        draw = rng.random()
        if in_multi[client]:
            if draw < 0.2:
                in_multi[client] = False
                return [[b"EXEC" if draw < 0.17 else b"DISCARD"]]
            if draw < 0.22:
                return [
                    [
                        rng.choice((b"MULTI", b"WATCH", b"UNWATCH", b"EXEC")),
                        *[b"str:1"] * (draw < 0.21),
                    ]
                ]
        elif draw < 0.02:
            in_multi[client] = True
            return [[b"MULTI"]]
        elif draw < 0.04:
            return [[b"WATCH", *rng.choices(self.near, k=rng.choice((1, 1, 2)))]]
        elif draw < 0.045:
            return [[rng.choice((b"UNWATCH", b"EXEC", b"DISCARD"))]]
        elif draw < 0.06 and not self.has_users:
            return [_expire_soon(rng, rng.choice(self.near)), _SLEEP]
        if draw > 0.995:
            return [
                [
                    rng.choice((b"NOSUCH", b"", b"GE", b"OBJECT", b"client", b"a\x00b")),
                    *rng.choices(_WORDS, k=2),
                ]
            ]
        if draw > 0.97 and self.blocking and (in_multi[client] or clients > 1 or draw > 0.997):
            argv = rng.choice(self.blocking).draw(rng)
            return [argv if in_multi[client] else _with_one_key(argv)]
        template = rng.choices(templates, cum_weights=sums)[0]
        argv = template.draw(rng)
        if template.blocks and not in_multi[client]:
            argv = _with_one_key(argv)
            if clients == 1 and b"BLOCK" in argv and rng.random() < 0.9:
                at = argv.index(b"BLOCK")
                del argv[at : at + 2]
        if clients > 1 and template.name == "XADD" and len(argv) > 1:
            # 7.0 wakes readers even if the entry itself is trimmed away.
            return [[*argv[:2], rng.choice(_RISING), b"a", rng.choice(_WORDS)]]
        if template.scatters and argv:
            return [argv, [b"DEL", *argv[1:2]]]
        return [argv]


def _newer(since: str, version: Version) -> bool:
    """Whether that version does not know it yet."""
    return bool(since) and tuple(map(int, since.split(".")[:2])) > version


def _with_one_key(argv: Argv) -> Argv:
    """7.2 serves a client that waits for several keys from the first, 7.0 from the newest."""
    word = argv[0].upper()
    if word in (b"BLPOP", b"BRPOP", b"BZPOPMIN", b"BZPOPMAX"):
        return [argv[0], *argv[1:2], *argv[-1:]] if len(argv) > 2 else argv
    if word in (b"BLMPOP", b"BZMPOP") and len(argv) > 3 and argv[2].isdigit():
        return [*argv[:2], b"1", argv[3], *argv[3 + min(int(argv[2]), 9) :]]
    if b"STREAMS" in argv and len(argv) - argv.index(b"STREAMS") == 5:
        at = argv.index(b"STREAMS")
        return [*argv[: at + 2], argv[at + 3]]
    return argv


def _homes(group: str) -> Sequence[str]:
    """The types whose keys the commands of a group are about."""
    return _SOURCES.get(group, [group])


def _expire_soon(rng: Random, key: bytes) -> Argv:
    """A command that leaves a key two more milliseconds."""
    return rng.choice(
        (
            [b"PEXPIRE", key, _SOON_MS],
            [b"SET", key, b"v", b"PX", _SOON_MS],
            [b"PSETEX", key, _SOON_MS, b"v"],
            [b"GETEX", key, b"PX", _SOON_MS],
        )
    )


class Template:
    """Draws requests of one command."""

    def __init__(self, entry: Entry, focus_keys: list[bytes], version: Version) -> None:
        spec = entry.spec
        self.version = version
        self.focus_keys = focus_keys
        self.words = spec.name.encode().split(b" ")
        self.small = [word.lower() for word in self.words]
        self.group = spec.group
        self.name = spec.name
        self.blocks = "blocking" in spec.flags
        self.scatters = self.words[0] in SCATTERING
        self.makers: list[tuple[Maker, bool]] = [
            (self._maker(argument), argument.optional)
            for argument in arguments(spec)
            if not self._is_newer(argument)
        ]
        self.is_range = self.name in ("ZRANGE", "ZRANGESTORE")

    def draw(self, rng: Random) -> Argv:
        """One request."""
        argv = list(self.words if rng.random() < 0.9 else self.small)
        draw = rng.random()
        if draw < 0.85 or len(self.makers) < 2:
            for maker, _optional in self.makers:
                maker(rng, argv)
        else:  # options in another order, or twice
            options: list[Argv] = []
            for maker, optional in self.makers:
                for _ in range(1 + (optional and draw > 0.95)):
                    part: Argv = []
                    maker(rng, part)
                    if optional:
                        options.append(part)
                    else:
                        argv += part
            rng.shuffle(options)
            for part in options:
                argv += part
        if self.is_range:
            self._fit_bounds(rng, argv)
        draw = rng.random()
        if draw < 0.06:
            self._spoil(rng, argv, draw)
        return argv

    def _spoil(self, rng: Random, argv: Argv, draw: float) -> None:
        """Make something wrong with the arguments."""
        first = len(self.words)
        if draw < 0.03 and len(argv) > first:
            argv[rng.randrange(first, len(argv))] = rng.choice(_JUNK)
        elif draw < 0.045 and len(argv) > first:
            del argv[rng.randrange(first, len(argv))]
        elif draw < 0.05:
            del argv[first:]
        else:
            argv.insert(rng.randint(first, len(argv)), rng.choice(_JUNK))

    def _fit_bounds(self, rng: Random, argv: Argv) -> None:
        """Bounds of ZRANGE are of the kind that its options say, mostly."""
        at = 2 if self.name == "ZRANGE" else 3
        pool = _LEX_BOUNDS if b"BYLEX" in argv else _SCORE_BOUNDS if b"BYSCORE" in argv else _SMALL
        if rng.random() < 0.95:
            argv[at : at + 2] = rng.choices(pool, k=2)

    # From the tree of arguments to makers

    def _maker(self, argument: Argument) -> Maker:
        once = self._once(argument)
        token = argument.token.encode() if argument.token else b""
        if argument.name == "numkeys":
            return _nothing  # the keys write their number
        if argument.type == "key" and argument.multiple and self.name in _COUNTED:
            return self._counted(once)
        if argument.multiple:
            once = _repeated(once, b"" if argument.multiple_token else token, token)
        elif token and argument.type != "pure-token":
            once = _behind(token, once)
        if argument.optional:
            return _sometimes(once, 0.35 if argument.type != "pure-token" else 0.3)
        return once

    def _is_newer(self, argument: Argument) -> bool:
        since = argument.since or _UNDATED.get((self.name, argument.token or ""), "")
        return _newer(since, self.version)

    def _counted(self, key: Maker) -> Maker:
        def make(rng: Random, argv: Argv) -> None:
            count = rng.choice((1, 1, 2, 2, 3))
            shown = count if rng.random() < 0.93 else rng.choice((0, -1, 1, 2, 5, 1 << 62))
            argv.append(b"%d" % shown)
            for _ in range(count):
                key(rng, argv)

        return make

    def _once(self, argument: Argument) -> Maker:
        if argument.type == "oneof":
            return _choice(
                [self._maker(child) for child in argument.children if not self._is_newer(child)]
            )
        if argument.type == "block" and argument.token == "STREAMS":
            return _streams(self._key(), (*_IDS, b"$", b">", b">", b">", b"0", b"0"))
        if argument.type == "block":
            return _block(
                [self._maker(child) for child in argument.children if not self._is_newer(child)]
            )
        if argument.type == "pure-token":
            return _token(argument.token.encode() if argument.token else b"")
        if argument.type == "key":
            return self._key()
        return self._value(argument)

    def _key(self) -> Maker:
        near = [key for home in _homes(self.group) for key in KEYS.get(home, ())]
        near = near or self.focus_keys

        def make(rng: Random, argv: Argv) -> None:
            argv.append(rng.choice(near if rng.random() < 0.84 else _ALL_KEYS))

        return make

    def _value(self, argument: Argument) -> Maker:
        name = argument.name
        if self.group != "stream" and (
            argument.type == "unix-time" or name in ("seconds", "milliseconds")
        ):
            return _time(argument)
        pool: Sequence[bytes]
        special = _OF_STREAMS if self.group == "stream" else _OF_GEO if self.group == "geo" else {}
        if name in special:
            if self.name == "XADD" and name == "id":
                return _one_of_two(_RISING, _IDS)
            return _one_of(special[name])
        if argument.type == "pattern" or name == "pattern":
            pool = _SORT_PATTERNS if self.name.startswith("SORT") else _PATTERNS
            if self.group == "pubsub":
                pool = _PUBSUB_PATTERNS
        elif name in ("min", "max"):
            pool = _LEX_BOUNDS if "LEX" in self.name else _SCORE_BOUNDS
        elif name == "offset" and self.group not in ("string", "bitmap"):
            pool = _SMALL
        elif name in _BY_NAME:
            pool = _BY_NAME[name]
        elif argument.type == "integer":
            pool = _INTEGERS
        elif argument.type == "double":
            pool = _DOUBLES
        elif argument.type == "key":
            pool = _ALL_KEYS
        else:
            pool = _WORDS
        if pool is _DOUBLES:
            return _one_of_two(_PLAIN_DOUBLES, _DOUBLES)
        if (
            pool is _WORDS
            and self.group == "string"
            and self.name.startswith(("SET", "MSET", "GETSET"))
        ):
            return _one_of_two(_SMALL, _WORDS)
        if self.group == "bitmap" and argument.type == "integer" and name == "value":
            return _one_of_two((b"0", b"1", b"1"), _INTEGERS)
        return _one_of(pool)


_COUNTED: Final = (
    *("LMPOP", "BLMPOP", "SINTERCARD", "ZMPOP", "BZMPOP", "ZUNION", "ZINTER", "ZDIFF"),
    *("ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE", "ZINTERCARD"),
    *("SDIFFCARD", "SUNIONCARD", "MSETEX"),
)
"""Commands with numkeys in front of their keys."""


def _streams(key: Maker, ids: Sequence[bytes]) -> Maker:
    """As many ids as keys."""

    def make(rng: Random, argv: Argv) -> None:
        count = rng.choice((1, 1, 1, 2))
        for _ in range(count):
            key(rng, argv)
        argv += rng.choices(ids, k=count)

    return make


def _nothing(rng: Random, argv: Argv) -> None:
    """Write nothing."""


def _token(token: bytes) -> Maker:
    if token == b"*":  # an id made of the time: two servers would differ
        return _one_of(_RISING)
    small = token.lower()

    def make(rng: Random, argv: Argv) -> None:
        argv.append(token if rng.random() < 0.9 else small)

    return make


def _behind(token: bytes, value: Maker) -> Maker:
    def make(rng: Random, argv: Argv) -> None:
        argv.append(token)
        value(rng, argv)

    return make


def _block(parts: list[Maker]) -> Maker:
    def make(rng: Random, argv: Argv) -> None:
        for part in parts:
            part(rng, argv)

    return make


def _choice(choices: list[Maker]) -> Maker:
    def make(rng: Random, argv: Argv) -> None:
        rng.choice(choices)(rng, argv)

    return make


def _sometimes(value: Maker, chance: float) -> Maker:
    def make(rng: Random, argv: Argv) -> None:
        if rng.random() < chance:
            value(rng, argv)

    return make


def _repeated(value: Maker, token_first: bytes, token_each: bytes) -> Maker:
    """``TOKEN v v v`` or, with an empty ``token_first``, ``TOKEN v TOKEN v``."""

    def make(rng: Random, argv: Argv) -> None:
        if token_first:
            argv.append(token_first)
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
            if token_each and not token_first:
                argv.append(token_each)
            value(rng, argv)

    return make


def _one_of(pool: Sequence[bytes]) -> Maker:
    def make(rng: Random, argv: Argv) -> None:
        argv.append(rng.choice(pool))

    return make


def _one_of_two(first: Sequence[bytes], second: Sequence[bytes]) -> Maker:
    def make(rng: Random, argv: Argv) -> None:
        argv.append(rng.choice(first if rng.random() < 0.6 else second))

    return make


def _time(argument: Argument) -> Maker:
    """A time far away, or past, or none."""
    in_ms = "milli" in argument.name
    absolute = argument.type == "unix-time"
    odd = (
        b"0",
        b"-1",
        b"abc",
        b"9223372036854775807",
        b"-9223372036854775808",
        b"1.5",
        b"9223372036854775",
    )

    def make(rng: Random, argv: Argv) -> None:
        draw = rng.random()
        if draw < 0.15:
            argv.append(rng.choice(odd))
            return
        value = rng.randrange(100, 1_000_000)
        if absolute:
            value += 1_000_000 if draw < 0.3 else 4_000_000_000
        argv.append(b"%d" % (value * 1000 if in_ms else value))

    return make
