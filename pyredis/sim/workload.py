"""What clients do: operations on all types, drawn by lot, that any number of clients may mix.

An *operation* is a short pipeline of requests on one of a few keys, so that operations meet. Errors
are part of it (a key may hold another type after a RENAME): what counts is that all copies of
the data go through the same. A *mix* is a list of families, by default all but the slow ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

Request = list[bytes]
Operation = list[Request]
Choices = tuple[str, ...]  # requests, of which one is to be drawn

KEYS: Final = 6
_SCRIPT: Final = (
    b"local n = redis.call('INCR', KEYS[1]) "
    b"if n % 3 == 0 then redis.call('RPUSH', KEYS[2], n) end "
    b"return redis.call('LLEN', KEYS[2])"
)


def request(text: str) -> Request:
    """The words of ``text``."""
    return text.encode().split()


class Dice:
    """Small draws from one stream, from integers only."""

    __slots__ = ("_rng",)

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def number(self, limit: int) -> int:
        """0 to limit - 1."""
        return self._rng.randrange(limit)

    def key(self, prefix: str) -> str:
        """One of a few keys."""
        return f"{prefix}{self._rng.randrange(KEYS)}"

    def one_of(self, choices: Sequence[str]) -> str:
        """One of these."""
        return choices[self._rng.randrange(len(choices))]

    def word(self) -> str:
        """A value: short mostly, sometimes long."""
        size = 1 + self._rng.randrange(8) if self._rng.randrange(16) else 300
        return f"{self._rng.getrandbits(40):x}" * (size // 10 + 1)


def _strings(dice: Dice) -> Choices:
    key = dice.key("s")
    n = dice.number(100)
    return (
        f"SET {key} {dice.word()}",
        f"SET {key} {n} XX GET",
        f"APPEND {key} {dice.word()}",
        f"INCRBY n{key} {n}",
        f"INCRBYFLOAT f{key} {n / 4}",
        f"SETRANGE {key} {n} {dice.word()}",
        f"GETSET {key} {dice.word()}",
        f"MSET {key} {n} {dice.key('s')} {n}",
        f"DEL {key}",
        f"SETBIT b{key} {n} {n & 1}",
        f"GETDEL {key}",
        f"COPY {key} {dice.key('s')} REPLACE",
        f"RENAME {key} {dice.key('s')}",
    )


def _expiry(dice: Dice) -> Choices:
    key = dice.key("e")
    ms = 50 + dice.number(4000)
    return (
        f"SET {key} {dice.word()} PX {ms}",
        f"SET {key} {dice.word()}",
        f"PEXPIRE {key} {ms}",
        f"PERSIST {key}",
        f"GETEX {key} PX {ms}",
        f"GET {key}",
        f"PSETEX {key} {ms} {ms}",
        f"INCR c{key}",
        f"PEXPIRE c{key} {ms} NX",
        f"EXPIRE {dice.key('l')} {1 + ms // 1000}",
        f"PEXPIRE {dice.key('h')} {ms}",
    )


def _lists(dice: Dice) -> Choices:
    key = dice.key("l")
    return (
        f"RPUSH {key} {dice.word()} {dice.number(9)}",
        f"LPUSH {key} {dice.number(9)}",
        f"LPOP {key} {dice.number(3)}",
        f"RPOP {key}",
        f"LMOVE {key} {dice.key('l')} LEFT RIGHT",
        f"LTRIM {key} 0 20",
        f"LSET {key} 0 {dice.number(9)}",
        f"LREM {key} 1 {dice.number(9)}",
        f"LINSERT {key} BEFORE {dice.number(9)} x",
        f"LMPOP 2 {key} {dice.key('l')} LEFT COUNT 2",
    )


def _sets(dice: Dice) -> Choices:
    key = dice.key("t")
    n = dice.number(40)
    return (
        f"SADD {key} {n} {n * 7 % 50} m{n}",
        f"SADD {key} {dice.word()}",
        f"SREM {key} {n}",
        f"SPOP {key}",
        f"SPOP {key} 3",
        f"SMOVE {key} {dice.key('t')} {n}",
        f"SUNIONSTORE {dice.key('t')} {key} {dice.key('t')}",
        f"SINTERSTORE {dice.key('t')} {key} {dice.key('t')}",
    )


def _hashes(dice: Dice) -> Choices:
    key = dice.key("h")
    n = dice.number(20)
    return (
        f"HSET {key} f{n} {dice.word()} g{n} {n}",
        f"HINCRBY {key} i{n} {n}",
        f"HINCRBYFLOAT {key} d{n} {n / 8}",
        f"HDEL {key} f{n}",
        f"HSETNX {key} f{n} {n}",
    )


def _fields(dice: Dice) -> Choices:
    """Fields with a time to live, which Redis has since 7.4."""
    key = dice.key("h")
    n = dice.number(20)
    return (
        f"HPEXPIRE {key} {100 + 100 * n} FIELDS 1 f{n}",
        f"HPEXPIRE {key} {100 + 100 * n} FIELDS 2 f{n} g{n}",
        f"HPERSIST {key} FIELDS 1 f{n}",
        f"HSET {key} f{n} {n}",
    )


def _zsets(dice: Dice) -> Choices:
    key = dice.key("z")
    n = dice.number(40)
    return (
        f"ZADD {key} {n} m{n} {n / 3:.3f} o{n}",
        f"ZINCRBY {key} {n / 7:.3f} m{n}",
        f"ZREM {key} m{n}",
        f"ZPOPMIN {key}",
        f"ZPOPMAX {key} 2",
        f"ZREMRANGEBYRANK {key} 30 -1",
        f"ZUNIONSTORE {dice.key('z')} 2 {key} {dice.key('z')} AGGREGATE MAX",
        f"ZRANGESTORE {dice.key('z')} {key} 0 10",
        f"GEOADD g{key} {n}.5 {n}.25 p{n}",
    )


def _streams(dice: Dice) -> Choices:
    key = dice.key("x")
    n = dice.number(9)
    return (
        f"XADD {key} * f {n}",
        f"XADD {key} MAXLEN ~ 20 * f {dice.word()} g {n}",
        f"XTRIM {key} MAXLEN 10",
        f"XGROUP CREATE {key} grp $ MKSTREAM",
        f"XREADGROUP GROUP grp c{n & 1} COUNT 2 STREAMS {key} >",
        f"XAUTOCLAIM {key} grp c{n & 1} 0 0 COUNT 2",
        f"XGROUP DELCONSUMER {key} grp c{n & 1}",
        f"XSETID {key} 99999999999999-{n}",
    )


def _others(dice: Dice) -> Choices:
    n = dice.number(100)
    return (
        f"PFADD p0 {n} {n * n}",
        "PFMERGE p1 p0",
        f"BITFIELD bf INCRBY u5 #{n} 3",
        "BITOP OR bo bs0 bs1",
        "SORT l0 ALPHA STORE sorted",
        f"MOVE {dice.key('s')} 1",
        f"UNLINK {dice.key('x')} {dice.key('z')}",
    )


def _transactions(dice: Dice) -> Operation:
    inner = [_drawn(family, dice) for family in (_lists, _strings, _expiry)]
    return [request("MULTI"), *inner, request("EXEC")]


def _databases(dice: Dice) -> Operation:
    return [request(f"SELECT {1 + dice.number(3)}"), _drawn(_strings, dice), request("SELECT 0")]


def _scripts(dice: Dice) -> Operation:
    return [[b"EVAL", _SCRIPT, b"2", dice.key("ns").encode(), dice.key("l").encode()]]


def _drawn(family: Callable[[Dice], Choices], dice: Dice) -> Request:
    return request(dice.one_of(family(dice)))


def _one_of(family: Callable[[Dice], Choices]) -> Callable[[Dice], Operation]:
    """A family whose operations are one request each."""
    return lambda dice: [_drawn(family, dice)]


FAMILIES: Final[dict[str, Callable[[Dice], Operation]]] = {
    "strings": _one_of(_strings),
    "expiry": _one_of(_expiry),
    "lists": _one_of(_lists),
    "sets": _one_of(_sets),
    "hashes": _one_of(_hashes),
    "fields": _one_of(_fields),
    "zsets": _one_of(_zsets),
    "streams": _one_of(_streams),
    "others": _one_of(_others),
    "transactions": _transactions,
    "databases": _databases,
    "scripts": _scripts,
}
DEFAULT_MIX: Final = tuple(name for name in FAMILIES if name != "scripts")


class Workload:
    """Operations of the families of a mix, one after the other."""

    def __init__(self, rng: Random, mix: Sequence[str] = DEFAULT_MIX) -> None:
        self._dice = Dice(rng)
        self._families = [FAMILIES[name] for name in mix]

    def next(self) -> Operation:
        """The next operation. O(1)."""
        return self._families[self._dice.number(len(self._families))](self._dice)
