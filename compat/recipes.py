"""Requests that no synopsis can tell how to make: scripts, users, payloads, settings.

A *recipe* draws requests of one command, like ``generate.Template``; its arguments mean something
only together with what other requests have said before. So the pools are small: a few scripts, two
functions, two users, payloads of a few values.

Scripts mostly carry a request of another command in their arguments and call it. ``inside`` finds
it there again, so that the judge can hold the reply to the rules for that command.

What these requests change outlives FLUSHALL; ``CLEANING`` is what the judge sends before the next
sequence.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from random import Random
from typing import Final

from compat.sequences import Argv, encode
from pyredis.config import Config
from pyredis.engine import Engine
from pyredis.ports import ManualClock
from pyredis.resp import encode_command
from pyredis.server import command_table
from pyredis.session import Address

Draw = Callable[[Random], Argv]


@dataclass(frozen=True)
class Recipe:
    """How to make requests of a command. It has what ``generate.Template`` has."""

    name: str
    draw: Draw
    blocks: bool = False
    scatters: bool = False


# Scripts

CALL: Final = b"return redis.call(unpack(ARGV))"
PCALL: Final = b"return redis.pcall(unpack(ARGV))"
_RESP3: Final = b"redis.setresp(3) " + CALL
SEVERAL: Final = b"""
local replies, request = {}, {}
for _, word in ipairs(ARGV) do
  if word == '|' then
    replies[#replies + 1] = redis.pcall(unpack(request)) or false
    request = {}
  else request[#request + 1] = word end
end
return replies"""
_CALLING: Final = (CALL, PCALL, _RESP3, b"#!lua\n" + CALL, b"#!lua flags=allow-oom\n" + CALL)
_READING: Final = (b"#!lua flags=no-writes\n" + CALL, CALL)
_OTHER: Final = (
    b"return {KEYS, ARGV, #KEYS, #ARGV}",
    b"return {1, 2.9, -3.5, 'a', true, false, 5, nil, 6}",
    b"return {ok = 'FINE'}",
    b"return {err = 'MINE it is'}",
    b"return redis.error_reply('no code')",
    b"return redis.status_reply('GOOD')",
    b"return redis.error_reply(ARGV[1] or '-X y')",
    b"error('deliberate')",
    b"error({err = 'ERR from a table'})",
    b"return 1e15",
    b"return -7.99",
    b"return tostring(1/3)",
    b"return {double = 3.25}",
    b"return {map = {a = 1}}",
    b"return {{{{1}, 2}, {}}, {a = 1}}",
    b"return nothing",
    b"nothing = 1",
    b"return nil + 1",
    b"this is no Lua",
    b"return redis.call()",
    b"return redis.call('NOSUCH')",
    b"return redis.call('GET')",
    b"return redis.call('SUBSCRIBE', 'a')",
    b"return redis.pcall('EVAL', 'return 1', '0')",
    b"return redis.sha1hex(ARGV[1] or '')",
    b"return cjson.encode(ARGV)",
    b"return cjson.encode({a = {1, 2.5, 'x', true, cjson.null}})",
    b"return cjson.decode(ARGV[1] or '[1, {\"a\": null}, 2.5]')",
    b"return {cmsgpack.unpack(cmsgpack.pack(ARGV, 1, 2.5, 'x', false))}",
    b"return cmsgpack.pack(1, -1, 300, 'abc', {1, 2}, {a = 1}, true)",
    b"return {bit.band(255, 15), bit.bor(1, 6), bit.lshift(1, 31), bit.tohex(-1)}",
    b"return struct.pack('>I2hs', 258, -2, ARGV[1] or 'x')",
    b"return {struct.unpack('<i4', struct.pack('<i4', -5))}",
    b"return type(redis.REDIS_VERSION)",
    b"return {redis.LOG_DEBUG, redis.LOG_WARNING, redis.REPL_ALL}",
    b"return redis.replicate_commands()",
    b"redis.set_repl(redis.REPL_AOF) redis.call('SET', 'str:1', 'aof') return 1",
    b"redis.set_repl(redis.REPL_NONE) redis.call('SET', 'str:2', 'none') return 1",
    b"redis.set_repl(redis.REPL_REPLICA) return redis.call('INCR', 'str:3')",
    b"return redis.acl_check_cmd('SET', 'str:1', 'x')",
    b"return redis.acl_check_cmd('NOSUCH')",
    b"local t = redis.pcall('INCR', 'list:1') return t.err or t",
    b"local t = redis.call('SET', 'str:1', 'x') return t.ok",
    b"for i = 1, 5 do redis.call('RPUSH', 'list:1', i) end return redis.call('LLEN', 'list:1')",
    b"redis.call('SELECT', 2) return redis.call('SET', 'str:1', 'two')",
    b"redis.call('SET', 'str:1', '1', 'PX', 100000) return redis.call('INCR', 'str:1')",
    b"redis.call('SET', 'str:2', 'half') error('after a write')",
    b"return math.random(10) > 0",
    b"return {math.floor(3.7), #'abc', ('x'):rep(3), string.format('%5.1f', 2.25)}",
    b"return #!lua",
    b"#!lua flags=nope\nreturn 1",
    b"#!python\nreturn 1",
    b"#!lua name=x\nreturn 1",
    b"",
)
_CALLING_SET: Final = frozenset((*_CALLING, *_READING))
_SHA: Final = {sha1(text).hexdigest().encode(): text for text in (*_CALLING, *_READING, SEVERAL)}
_SCRIPTS: Final = (*_CALLING, *_READING, SEVERAL, *_OTHER)
_EVALS: Final = {
    **dict.fromkeys((b"EVAL", b"EVAL_RO"), False),
    **dict.fromkeys((b"EVALSHA", b"EVALSHA_RO"), True),
}

# Functions

_LIBRARY: Final = b"""#!lua name=lib
redis.register_function('call', function(keys, args) return redis.call(unpack(args)) end)
redis.register_function('pcall', function(keys, args) return redis.pcall(unpack(args)) end)
redis.register_function{function_name = 'read', flags = {'no-writes'},
  callback = function(keys, args) return redis.call(unpack(args)) end}
redis.register_function('echo', function(keys, args) return {keys, args} end)
redis.register_function('fail', function() error('deliberate') end)
"""
_LIBRARIES: Final = (
    _LIBRARY,
    _LIBRARY,
    b"#!lua name=other\nredis.register_function{function_name = 'other', description = 'words',"
    b" callback = function() return redis.status_reply('OTHER') end}",
    b"#!lua name=other\nredis.register_function('call', function() return 1 end)",
    b"#!lua name=bad\nredis.register_function('a b', function() return 1 end)",
    b"#!lua name=empty\nlocal a = 1",
    b"#!lua name=broken\nredis.call('SET', 'a', 1)",
    b"#!lua name=syntax\nthis is no Lua",
    b"#!lua\nreturn 1",
    b"#!js name=lib\nreturn 1",
    b"return 1",
)
_CARRIERS: Final = (b"call", b"pcall", b"read")
_FCALLS: Final = (b"FCALL", b"FCALL_RO")


def inside(argv: Argv) -> tuple[list[Argv], bool]:
    """The requests that a script is given to call, and whether it replies with an array of theirs.

    Empty for a script that calls something else.
    """
    if len(argv) < 4:
        return [], False
    word = argv[0].upper()
    text = argv[1]
    if word in _EVALS:
        if _EVALS[word]:
            text = _SHA.get(text.lower(), b"")
        carries, several = text in _CALLING_SET, text == SEVERAL
    else:
        carries, several = word in _FCALLS and text in _CARRIERS, False
    keys = argv[2]
    if not (carries or several) or not keys.isdigit():
        return [], False
    args = argv[3 + int(keys) :]
    if not several:
        return ([args] if args else []), False
    requests: list[Argv] = [[]]
    for arg in args:
        if arg == b"|":
            requests.append([])
        else:
            requests[-1].append(arg)
    return requests[:-1], True


class Scripts:
    """Requests with scripts. ``request`` draws what they are to call."""

    def __init__(self, request: Draw) -> None:
        self.request = request

    def recipes(self) -> Iterator[tuple[str, Recipe, float]]:
        """Group, recipe, weight."""
        for name, weight in (("EVAL", 12.0), ("EVAL_RO", 2.0), ("EVALSHA", 3), ("EVALSHA_RO", 1)):
            yield "scripting", Recipe(name, self._evaluation(name.encode())), weight
        yield "scripting", Recipe("SCRIPT LOAD", _one(b"SCRIPT LOAD", _SCRIPTS)), 3
        yield "scripting", Recipe("SCRIPT EXISTS", self._exists), 1
        yield "scripting", Recipe("SCRIPT FLUSH", _one(b"SCRIPT FLUSH", (b"", b"SYNC", b"x"))), 0.5
        yield "scripting", _fixed("SCRIPT KILL"), 0.2
        for name, weight in (("FCALL", 8), ("FCALL_RO", 2)):
            yield "scripting", Recipe(name, self._call(name.encode())), weight
        yield "scripting", Recipe("FUNCTION LOAD", self._load), 6
        yield "scripting", Recipe("FUNCTION LIST", self._list), 1
        libraries = (b"lib", b"other", b"nosuch")
        yield "scripting", Recipe("FUNCTION DELETE", _one(b"FUNCTION DELETE", libraries)), 1
        modes = (b"", b"SYNC", b"x")
        yield "scripting", Recipe("FUNCTION FLUSH", _one(b"FUNCTION FLUSH", modes)), 0.3
        for last in ("DUMP", "STATS", "KILL"):
            yield "scripting", _fixed(f"FUNCTION {last}"), 0.5
        yield "scripting", Recipe("FUNCTION RESTORE", self._restore), 1

    def _evaluation(self, word: bytes) -> Draw:
        def draw(rng: Random) -> Argv:
            chance = rng.random()
            if chance < 0.45:
                text, args = rng.choice(_CALLING), self.request(rng)
            elif chance < 0.55:
                text, args = rng.choice(_READING), self.request(rng)
            elif chance < 0.75:
                text, args = SEVERAL, []
                for _ in range(rng.choice((1, 2, 3))):
                    args += [*self.request(rng), b"|"]
            else:
                text, args = rng.choice(_OTHER), rng.choice(([], [b"a"], [b"a", b"1.5"]))
            if _EVALS[word]:
                text = sha1(text).hexdigest().encode()
            return [word, text, *_keys(rng), *args]

        return draw

    def _call(self, word: bytes) -> Draw:
        def draw(rng: Random) -> Argv:
            names = (*_CARRIERS, *_CARRIERS, b"echo", b"fail", b"other", b"nosuch")
            return [word, rng.choice(names), *_keys(rng), *self.request(rng)]

        return draw

    @staticmethod
    def _exists(rng: Random) -> Argv:
        shas = [*_SHA, sha1(_OTHER[0]).hexdigest().encode(), b"x"]
        return [b"SCRIPT", b"EXISTS", *rng.choices(shas, k=rng.choice((1, 2)))]

    @staticmethod
    def _load(rng: Random) -> Argv:
        replace = [b"REPLACE"] * (rng.random() < 0.5)
        return [b"FUNCTION", b"LOAD", *replace, rng.choice(_LIBRARIES)]

    @staticmethod
    def _list(rng: Random) -> Argv:
        options = rng.choice(([], [b"WITHCODE"], [b"LIBRARYNAME", b"l*"], [b"x"]))
        return [b"FUNCTION", b"LIST", *options]

    @staticmethod
    def _restore(rng: Random) -> Argv:
        policy = rng.choice(([], [b"APPEND"], [b"REPLACE"], [b"FLUSH"], [b"x"]))
        _values, good = _payloads()
        payloads = (good, good, good[:-1] + b"x", b"junk", b"")
        return [b"FUNCTION", b"RESTORE", rng.choice(payloads), *policy]


def _keys(rng: Random) -> Argv:
    chance = rng.random()
    if chance < 0.7:
        return [b"0"]
    if chance < 0.9:
        return [b"1", rng.choice((b"str:1", b"list:1", b"k"))]
    return rng.choice(([b"2", b"a", b"b"], [b"-1"], [b"x"], [b"9"]))


def _fixed(name: str) -> Recipe:
    """A command without arguments."""
    return Recipe(name, lambda rng: name.encode().split())


def _one(words: bytes, pool: Iterable[bytes]) -> Draw:
    """A few words and one of the pool; nothing for an empty one."""
    choices = list(pool)

    def draw(rng: Random) -> Argv:
        last = rng.choice(choices)
        return [*words.split(), *[last] * bool(last)]

    return draw


# Payloads


@cache
def _payloads() -> tuple[list[bytes], bytes]:
    """DUMP of a few values, and FUNCTION DUMP of a library; all in a version that 7.0 reads."""
    config = Config()
    config.set([("rdb-version", "10")])
    engine = Engine(config, ManualClock(), random.Random(1), command_table())
    session = engine.connect(Address("?:0", "?:0"))

    def ask(*argv: bytes) -> bytes:
        engine.begin_batch()
        engine.feed(session, encode_command(argv))
        engine.end_batch()
        engine.take_output()
        wire = b"".join(session.out)
        session.out.clear()
        return wire

    for line in (
        b"SET k1 text", b"SET k2 12345", b"SET k3 " + b"ab" * 60, b"RPUSH k4 a 1 b 2",
        b"SADD k5 1 2 3", b"HSET k6 a 1 b 2", b"ZADD k7 1 a 2.5 b", b"XADD k8 1-1 a 1",
        b"XADD k8 2-2 a 1 b 2", b"XGROUP CREATE k8 g1 0", b"PFADD k9 a b c",
        b"HSET k10 " + b" ".join(b"f%d v%d" % (n, n) for n in range(8)) + b" long " + b"x" * 70,
    ):  # fmt: skip
        ask(*line.split())
    found = [_bulk(ask(b"DUMP", b"k%d" % number)) for number in range(1, 11)]
    ask(b"FUNCTION", b"LOAD", _LIBRARY)
    return found, _bulk(ask(b"FUNCTION", b"DUMP"))


def _bulk(wire: bytes) -> bytes:
    assert wire[:1] == b"$", wire
    return wire.partition(b"\r\n")[2][:-2]


def _restoring(key: Draw) -> Draw:
    def draw(rng: Random) -> Argv:
        payload = rng.choice(_payloads()[0])
        chance = rng.random()
        if chance < 0.05:
            at = rng.randrange(len(payload))
            payload = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
        elif chance < 0.08:
            payload = rng.choice((b"", b"junk", payload[:-3]))
        ttl = rng.choice((b"0", b"0", b"0", b"500000", b"-1", b"x"))
        options: Argv = []
        if rng.random() < 0.1:
            ttl, options = rng.choice((b"4000000000000", b"1000")), [b"ABSTTL"]
        options += [b"REPLACE"] * (rng.random() < 0.6)
        chance = rng.random()
        if chance < 0.05:
            options += rng.choice(([b"IDLETIME", b"100"], [b"FREQ", b"5"], [b"IDLETIME", b"-1"]))
            options += rng.choice(([], [b"FREQ", b"300"]))
        elif chance < 0.07:
            options.append(b"x")
        return [rng.choice((b"RESTORE", b"RESTORE", b"RESTORE-ASKING")), *key(rng), ttl, payload,
                *options]  # fmt: skip

    return draw


# Users

_PASSWORD: Final = b"pw"
_RULES: Final = (
    *b"on on off >pw >pw <pw nopass resetpass ~* ~str:* ~list:* %R~set:* %W~str:1 %RW~hash:* &* "
    b"&ch1 &news.* +@all +@read +@write -@write -@dangerous +@list -@string +get +set -set "
    b"+config|get -debug +@nosuch +nosuch allkeys resetkeys allchannels resetchannels "
    b"allcommands nocommands reset clearselectors (~list:*+@list) +select|0 -client|id "
    b"+client bad %X~a ~".split(),
    *(b"(~list:* +@list)", b"(%R~str:* +get)", b"(bad", b"()"),
)
_USER: Final = b"alice"  # whom clients become
_SPARE: Final = b"bob"  # who can be deleted, because nobody is him


def _set_user(rng: Random) -> Argv:
    name = rng.choice((_USER, _USER, _SPARE))
    if rng.random() < 0.4:
        start = [b"on", b">pw", b"~str:*", b"&*", b"+@all", b"-@dangerous"]
        return [b"ACL", b"SETUSER", name, *start, *rng.choices(_RULES, k=rng.choice((0, 1)))]
    return [b"ACL", b"SETUSER", name, *rng.choices(_RULES, k=rng.choice((0, 1, 2, 3)))]


def _authentication(rng: Random) -> Argv:
    pair = [rng.choice((_USER, _USER, _USER, b"nosuch")), rng.choice((_PASSWORD, _PASSWORD, b"x"))]
    if rng.random() < 0.2:
        return [b"HELLO", rng.choice((b"2", b"3")), b"AUTH", *pair]
    return [b"AUTH", *pair]


def users(request: Draw) -> Iterator[tuple[str, Recipe, float]]:
    """Group, recipe, weight."""
    yield "acl", Recipe("ACL SETUSER", _set_user), 8
    yield "acl", Recipe("AUTH", _authentication), 5
    names = (_USER, _SPARE, b"default", b"nosuch")
    yield "acl", Recipe("ACL GETUSER", _one(b"ACL GETUSER", names)), 3
    yield "acl", Recipe("ACL DELUSER", _one(b"ACL DELUSER", (_SPARE, b"nosuch", b"default"))), 1
    for last in ("LIST", "USERS", "WHOAMI", "CAT"):
        yield "acl", _fixed(f"ACL {last}"), 1
    yield "acl", Recipe("ACL CAT", _one(b"ACL CAT", (b"nosuch",))), 0.3
    log = (b"", b"", b"1", b"RESET", b"x", b"-1")
    yield "acl", Recipe("ACL LOG", _one(b"ACL LOG", log)), 3
    yield "acl", Recipe("ACL GENPASS", _one(b"ACL GENPASS", (b"", b"5", b"0", b"x"))), 0.3
    for last in ("SAVE", "LOAD"):
        yield "acl", _fixed(f"ACL {last}"), 0.2

    def dry(rng: Random) -> Argv:
        return [b"ACL", b"DRYRUN", rng.choice((_USER, _SPARE, b"default")), *request(rng)]

    yield "acl", Recipe("ACL DRYRUN", dry), 6


# Settings, and what is asked about commands and clients

SETTINGS: Final[dict[bytes, tuple[bytes, ...]]] = {
    b"hash-max-listpack-entries": (b"3", b"128", b"0", b"x"),
    b"hash-max-listpack-value": (b"5", b"64", b"-1"),
    b"zset-max-listpack-entries": (b"3", b"128", b"0"),
    b"zset-max-listpack-value": (b"5", b"64"),
    b"set-max-intset-entries": (b"3", b"512", b"0"),
    b"list-max-listpack-size": (b"2", b"-2", b"-1"),
    b"stream-node-max-entries": (b"3", b"100", b"0"),
    b"stream-node-max-bytes": (b"4096", b"50"),
    b"hll-sparse-max-bytes": (b"3000", b"20"),
    b"lazyfree-lazy-server-del": (b"yes", b"no", b"maybe"),
    b"lazyfree-lazy-expire": (b"yes", b"no"),
    b"lazyfree-lazy-user-del": (b"yes", b"no"),
    b"lazyfree-lazy-user-flush": (b"yes", b"no"),
    b"maxmemory-policy": (b"noeviction", b"allkeys-lfu", b"volatile-ttl", b"nope"),
    b"lfu-log-factor": (b"10", b"0"),
    b"proto-max-bulk-len": (b"512mb", b"1mb", b"1"),
    b"maxmemory-samples": (b"5", b"0"),
    b"latency-tracking-info-percentiles": (b"50 99 99.9", b"200"),
    b"client-output-buffer-limit": (b"pubsub 32mb 8mb 60", b"nobody 1 1 1", b"normal 0"),
    b"nosuch-setting": (b"1",),
}
DEFAULTS: Final = {
    "stream-node-max-entries": "100",
    "stream-node-max-bytes": "4096",
    "hll-sparse-max-bytes": "3000",
    "lazyfree-lazy-server-del": "no",
    "lazyfree-lazy-expire": "no",
    "lazyfree-lazy-user-del": "no",
    "lazyfree-lazy-user-flush": "no",
    "maxmemory-policy": "noeviction",
    "lfu-log-factor": "10",
    "proto-max-bulk-len": "512mb",
    "maxmemory-samples": "5",
    "latency-tracking-info-percentiles": "50 99 99.9",
    "client-output-buffer-limit": "pubsub 32mb 8mb 60",
}
"""What the judge sets back, beside the limits that it sets anyway."""


_EVENTS: Final = (b"KEA", b"KEAmn", b"Kg", b"E$x", b"")
"""Never together with anything that fails: 7.0 then comes back to other events than before."""


def _set_config(rng: Random) -> Argv:
    if rng.random() < 0.1:
        return [b"CONFIG", b"SET", b"notify-keyspace-events", rng.choice(_EVENTS)]
    names = rng.sample(list(SETTINGS), rng.choice((1, 1, 1, 2)))
    pairs = [word for name in names for word in (name, rng.choice(SETTINGS[name]))]
    return [b"CONFIG", b"SET", *pairs, *[b"odd"] * (rng.random() < 0.03)]


def _get_config(rng: Random) -> Argv:
    names = rng.choices([*SETTINGS, b"hash-max-ziplist-*", b"lazyfree-*"], k=rng.choice((1, 2)))
    return [b"CONFIG", b"GET", *names]


_CLIENT: Final = tuple(
    words.split(b" ")
    for words in (
        b"NO-EVICT ON", b"NO-EVICT OFF", b"NO-EVICT x", b"TRACKINGINFO", b"GETREDIR", b"CACHING x",
        b"CACHING YES", b"TRACKING OFF", b"TRACKING ON OPTIN OPTOUT", b"TRACKING ON PREFIX a",
        b"TRACKING x", b"UNBLOCK 999999", b"UNBLOCK x", b"UNBLOCK 999999 ERROR", b"UNBLOCK 1 x",
        b"PAUSE 0", b"PAUSE x", b"PAUSE 0 WRITE", b"PAUSE -1", b"PAUSE 1 x", b"UNPAUSE",
        b"KILL 1.2.3.4:5", b"KILL ID 999999", b"KILL ID x", b"KILL TYPE x", b"KILL ADDR 1.2.3.4:5",
        b"KILL USER nosuch", b"KILL LADDR 1.2.3.4:5", b"KILL ID 0", b"KILL SKIPME x", b"KILL x y",
        b"LIST TYPE x", b"LIST ID x", b"LIST ID 999999", b"LIST x", b"REPLY ON", b"REPLY x",
        b"REPLY SKIP", b"REPLY OFF", b"NOSUCH", b"SETNAME a", b"ID x",
    )
)  # fmt: skip


def settings(request: Draw) -> Iterator[tuple[str, Recipe, float]]:
    """Group, recipe, weight: CONFIG, COMMAND and CLIENT."""
    yield "settings", Recipe("CONFIG SET", _set_config), 5
    yield "settings", Recipe("CONFIG GET", _get_config), 2

    def keys_of(rng: Random) -> Argv:
        return [b"COMMAND", rng.choice((b"GETKEYS", b"GETKEYSANDFLAGS")), *request(rng)]

    yield "settings", Recipe("COMMAND GETKEYS", keys_of), 5
    yield "settings", Recipe("COMMAND GETKEYSANDFLAGS", keys_of), 1
    for name in ("NO-EVICT", "TRACKINGINFO", "GETREDIR", "CACHING", "TRACKING", "UNBLOCK", "PAUSE"):
        pick = [words for words in _CLIENT if words[0] == name.encode()]
        yield "settings", Recipe(f"CLIENT {name}", _words(pick)), 0.5
    for name in ("UNPAUSE", "KILL", "LIST", "REPLY"):
        pick = [words for words in _CLIENT if words[0] == name.encode()]
        yield "settings", Recipe(f"CLIENT {name}", _words(pick)), 0.5


def _words(pool: list[list[bytes]]) -> Draw:
    return lambda rng: [b"CLIENT", *rng.choice(pool)]


OPENINGS: Final = {
    "scripting": [b"FUNCTION", b"LOAD", _LIBRARY],
    "acl": [b"ACL", b"SETUSER", _USER, b"on", b">pw", b"~str:*", b"~[lhsz]*", b"&*", b"+@all"],
}
"""By group: what makes other requests succeed, mostly sent at the start."""


def all_recipes(request: Draw, key: Draw) -> Iterator[tuple[str, Recipe, float]]:
    """Every recipe with its group and its weight.

    ``request`` draws a request of an ordinary command, ``key`` the name of a key.
    """
    yield from Scripts(request).recipes()
    yield from users(request)
    yield from settings(request)
    yield "payload", Recipe("RESTORE", _restoring(key)), 6
    yield "payload", Recipe("RESTORE-ASKING", _restoring(key)), 0.3


# Afterwards

_LASTING: Final = frozenset(
    b"EVAL EVAL_RO EVALSHA EVALSHA_RO FCALL FCALL_RO SCRIPT FUNCTION ACL AUTH HELLO CONFIG".split()
)
CLEANING: Final[tuple[Argv, ...]] = (
    [b"SCRIPT", b"FLUSH"],
    [b"FUNCTION", b"FLUSH"],
    [b"ACL", b"LOG", b"RESET"],
    [b"ACL", b"USERS"],  # who are to be deleted
)
CLEANING_WIRE: Final = b"".join(map(encode, CLEANING))


def lasts(argv: Argv) -> bool:
    """Whether a request may change what FLUSHALL leaves."""
    return bool(argv) and argv[0].upper() in _LASTING
