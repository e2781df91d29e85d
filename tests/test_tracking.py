"""Client-side caching: what clients hear of the keys they read, or of those with their prefixes.

Most tests play a scene with several clients on a real server and on ours; a ``Peer`` is one
client there and its like here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.cache import CacheConfig

from pyredis.tracking import EFFORT_KEYS
from tests.support import EngineClient, Node, Push, RealRedis, WireClient, new_client

NewPeer = Callable[..., "Peer"]


class Peer:
    """One client of each server. Other peers in arguments stand for their numbers."""

    def __init__(self, real: WireClient, ours: EngineClient, protocol: int = 3) -> None:
        self.real, self.ours = real, ours
        self.number = real("CLIENT", "ID"), ours("CLIENT", "ID")
        self.read: list[Any] = []  # what the real server said
        self.speak(protocol)

    def speak(self, protocol: int) -> None:
        """Choose the protocol; the replies tell versions, which differ."""
        self.real("HELLO", protocol)
        self.ours("HELLO", protocol)

    def tell(self, *args: Any) -> Peer:
        """Send a command, or a line of words, and wait until it is answered."""
        self.send(*args)
        self.read.append(self.real.read())
        while isinstance(self.read[-1], Push):
            self.read.append(self.real.read())
        return self

    def send(self, *args: Any) -> None:
        """Send a command, or a line of words."""
        if len(args) == 1:
            args = tuple(args[0].split())
        for side, send in enumerate((self.real.send, self.ours.send)):
            send(*(arg.number[side] if isinstance(arg, Peer) else arg for arg in args))

    def heard(self) -> list[Any]:
        """Everything received since the last look; it is asserted that both say the same."""
        self.real.send("PING", "end")
        self.ours.send("PING", "end")
        while self.read[-1:] not in ([b"end"], [[b"pong", b"end"]]):
            self.read.append(self.real.read())
        real, self.read = self.read[:-1], []
        ours = self.ours.replies()[:-1]
        self.ours.engine.tracking._check()
        assert shape(ours) == shape(real)
        return ours

    def invalidated(self) -> list[Any]:
        """The keys in what was heard, a list for each message, None for all keys."""
        heard = self.heard()
        keys = [each[1] for each in heard if isinstance(each, Push) and each[0] == b"invalidate"]
        return keys + [each[2] for each in heard if isinstance(each, list) and len(each) == 3]


def shape(heard: list[Any]) -> list[Any]:
    """Replies with their types; numbers of clients, which differ, left out."""
    broken = b"tracking-redir-broken"
    return [
        (type(each), broken if isinstance(each, list) and broken in each else each)
        for each in heard
    ]


@pytest.fixture
def peer(real_redis: RealRedis) -> Iterator[NewPeer]:
    """Makes peers on two empty servers."""
    first, clients = new_client(), [real_redis.client()]
    clients[0]("FLUSHALL")

    def make(protocol: int = 3) -> Peer:
        clients.append(real_redis.client())
        return Peer(clients[-1], first.another(), protocol)

    yield make
    for client in clients:
        client.close()


# Remembered keys


def test_a_reader_is_told_once(peer: NewPeer) -> None:
    reader, writer = peer().tell("CLIENT TRACKING ON"), peer()
    reader.tell("MGET a b")
    writer.tell("SET a 1").tell("SET a 2").tell("SET c 1")
    assert reader.invalidated() == [[b"a"]]
    reader.tell("GET a")
    writer.tell("MSET b 1 a 1")
    assert reader.invalidated() == [[b"b"], [b"a"]]
    assert writer.invalidated() == []


def test_its_own_changes_come_behind_the_reply(peer: NewPeer) -> None:
    one = peer().tell("CLIENT TRACKING ON").tell("MGET a b").tell("SET a 1")
    assert one.heard()[2:] == [b"OK", [b"invalidate", [b"a"]]]
    one.tell("MGET a b").tell("MULTI").tell("SET a 1").tell("GET a").tell("DEL a").tell("EXEC")
    heard = one.heard()
    assert heard[-3:] == [[b"OK", b"1", 1], *[[b"invalidate", [b"a"]]] * 2]


@pytest.mark.parametrize(
    "line",
    [
        *("APPEND k x", "DEL k", "EXPIRE k 100", "PERSIST k", "RENAME k l", "RENAME l k"),
        *("SETEX k 100 v", "SETRANGE k 0 y", "GETDEL k", "GETEX k PX 100000", "GETEX k"),
        *("COPY l k REPLACE", "MOVE k 1", "LPUSH list x", "LPOP list", "LTRIM list 0 -1"),
        *(
            "RPOPLPUSH list k2",
            "SADD k2 x",
            "SORT list STORE k",
            "FLUSHDB",
            "FLUSHALL",
            "SWAPDB 0 1",
        ),
        *("SET k v NX", "MSETNX k v", "EXPIRE nosuch 1", "GETSET k v", "EXPIRE k -1", "TOUCH k"),
    ],
)
@pytest.mark.parametrize("bcast", [False, True])
def test_what_counts_as_a_change(peer: NewPeer, line: str, bcast: bool) -> None:
    reader, writer = peer(), peer()
    writer.tell("MSET k value l value").tell("RPUSH list a b c")
    reader.tell("CLIENT TRACKING ON" + " BCAST" * bcast)
    reader.tell("EXISTS k l k2 list nosuch")
    writer.tell(line)
    reader.heard()


@pytest.mark.parametrize(
    "line",
    [
        *("GET k", "LLEN k", "GETRANGE k 0 x", "TYPE k", "TTL k", "OBJECT ENCODING k", "STRLEN k"),
        *("SORT_RO k", "SORT k", "GETEX k", "WATCH k", "SINTERCARD 2 k l", "SINTERCARD x k l"),
        *(
            "LCS k l",
            "KEYS k",
            "BITCOUNT k",
            "BITFIELD k GET u8 0",
            "BITFIELD_RO k GET u8 0",
        ),
        *("ZDIFF 1 k", "GET", "SET k w GET", "COPY k m", "TOUCH k l"),
    ],
)
def test_what_counts_as_reading(peer: NewPeer, line: str) -> None:
    reader, writer = peer().tell("SET k v").tell("CLIENT TRACKING ON"), peer()
    reader.tell(line)
    reader.heard()
    writer.tell("SET k new").tell("SET l new")
    reader.heard()


def test_databases_share_the_table(peer: NewPeer) -> None:
    reader, writer = peer().tell("CLIENT TRACKING ON").tell("GET k"), peer()
    writer.tell("SELECT 1").tell("SET k 1")
    assert reader.invalidated() == [[b"k"]]


def test_reading_in_a_transaction(peer: NewPeer) -> None:
    reader, writer = peer().tell("CLIENT TRACKING ON"), peer()
    reader.tell("MULTI").tell("SET a 1").tell("GET a").tell("EXEC")
    writer.tell("MULTI").tell("SET a 2").tell("SET b 2").tell("EXEC")
    assert reader.invalidated() == [[b"a"]]


def test_waiting_clients_change_keys_too(peer: NewPeer) -> None:
    reader, pusher, waiter = peer().tell("CLIENT TRACKING ON"), peer(), peer()
    pusher.tell("CLIENT TRACKING ON").tell("LLEN l")
    reader.tell("LLEN l")
    waiter.send("BLPOP l 0")
    pusher.tell("LPUSH l x")
    assert waiter.heard() == [[b"l", b"x"]]
    assert reader.invalidated() == pusher.invalidated() == [[b"l"]]


def test_expiry(client: EngineClient) -> None:
    client("HELLO", 3)
    client("CLIENT", "TRACKING", "ON")
    for key in "abc":
        client("SET", key, "1", "PX", "10")
        client("GET", key)
    client.clock.advance(20)
    client.send("GET", "a")  # finds it gone, and has read it again
    assert client.replies() == [None, [b"invalidate", [b"a"]]]
    client.engine.cron()
    assert sorted(client.replies()) == [[b"invalidate", [b"b"]], [b"invalidate", [b"c"]]]
    client.another()("SET", "a", "1")
    assert client.replies() == [[b"invalidate", [b"a"]]]


def test_noloop(peer: NewPeer) -> None:
    one, other = peer().tell("CLIENT TRACKING ON NOLOOP"), peer().tell("CLIENT TRACKING ON")
    for each in (one, other):
        each.tell("MGET a b")
    one.tell("SET a 1")
    other.tell("SET b 1")
    assert (one.invalidated(), other.invalidated()) == ([[b"b"]], [[b"a"], [b"b"]])
    one.tell("FLUSHALL")
    assert one.invalidated() == [None]


def test_resp2_hears_nothing_without_redirection(peer: NewPeer) -> None:
    reader, writer = peer(2).tell("CLIENT TRACKING ON").tell("GET a"), peer()
    writer.tell("SET a 1").tell("FLUSHALL")
    assert reader.invalidated() == []
    reader.speak(3)
    reader.tell("GET a")
    writer.tell("SET a 1")
    assert reader.invalidated() == [[b"a"]]


def test_stopping(peer: NewPeer) -> None:
    reader, writer = peer(), peer()
    for stop in ("CLIENT TRACKING OFF", "RESET"):
        reader.tell("CLIENT TRACKING ON").tell("GET a").tell(stop)
        writer.tell("SET a 1")
        reader.tell("CLIENT TRACKINGINFO")
        assert reader.invalidated() == []


# OPTIN and OPTOUT


@pytest.mark.parametrize(("mode", "word"), [("OPTIN", "YES"), ("OPTOUT", "NO")])
@pytest.mark.parametrize(
    "lines",
    [
        "GET a",
        "CACHING|GET a|GET b",
        "CACHING|CLIENT GETNAME|GET a|GET b",
        "CACHING|CLIENT FOO|GET a",
        "CACHING|NOSUCH|GET a",
        "CACHING|GET|GET a",
        "CACHING|MULTI|GET a|GET b|EXEC|GET c",
        "CACHING|MULTI|DISCARD|GET c",
        "MULTI|CACHING|GET a|EXEC|GET b",
        "CACHING|CLIENT TRACKING ON|GET a|GET b",
        "CACHING|CLIENT TRACKING ON MODE NOLOOP|CLIENT TRACKINGINFO|GET a|GET b",
        "CACHING|CLIENT TRACKINGINFO|PING|CLIENT TRACKINGINFO",
        "CACHING|BLPOP l 0.001|GET a",
    ],
)
def test_caching(peer: NewPeer, mode: str, word: str, lines: str) -> None:
    reader, writer = peer(), peer()
    reader.tell("CLIENT TRACKING ON " + mode)
    for line in lines.split("|"):
        line = line.replace("CACHING", "CLIENT CACHING " + word).replace("MODE", mode)
        reader.tell(line)
        reader.ours.tick(10)
    writer.tell("MSET a 1 b 1 c 1")
    reader.heard()


# Prefixes


def test_broadcasts_gather_until_the_batch_ends(peer: NewPeer) -> None:
    every, some, writer = peer(), peer(), peer()
    every.tell("CLIENT TRACKING ON BCAST")
    some.tell("CLIENT TRACKING ON BCAST PREFIX user: PREFIX item:")
    writer.tell("MULTI").tell("MSET user:2 x item:1 x other x user:10 x user: x user x").tell(
        "EXEC"
    )
    assert every.invalidated() == [[b"item:1", b"other", b"user", b"user:", b"user:10", b"user:2"]]
    assert some.invalidated() == [[b"item:1"], [b"user:", b"user:10", b"user:2"]]
    some.tell("SET user:1 x")
    assert some.heard() == [b"OK", [b"invalidate", [b"user:1"]]]


def test_broadcast_without_own_changes(peer: NewPeer) -> None:
    one, other = (peer().tell("CLIENT TRACKING ON BCAST NOLOOP PREFIX a") for _ in "12")
    one.tell("SET a 1").tell("SET b 1")
    assert (one.invalidated(), other.invalidated()) == ([], [[b"a"]])


def test_the_last_to_change_a_key_counts(client: EngineClient) -> None:
    other = client.another()
    for each in (client, other):
        each("HELLO", 3)
        each("CLIENT", "TRACKING", "ON", "BCAST", "NOLOOP")
    set_a = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
    client.engine.begin_batch()
    client.engine.feed(client.session, set_a)
    client.engine.feed(other.session, set_a)
    client.engine.end_batch()
    assert client.replies() == [b"OK", [b"invalidate", [b"a"]]]
    assert other.replies() == [b"OK"]


def test_more_prefixes(peer: NewPeer) -> None:
    one = peer().tell("CLIENT TRACKING ON BCAST PREFIX b").tell("CLIENT TRACKING ON BCAST PREFIX a")
    one.tell("CLIENT TRACKINGINFO").tell("CLIENT TRACKING ON BCAST PREFIX ab")
    one.tell("CLIENT TRACKING ON BCAST").tell("CLIENT TRACKINGINFO").tell("MSET b 1 a 1 c 1")
    one.tell("CLIENT TRACKING OFF").tell("CLIENT TRACKING ON BCAST").tell("SET a 1")
    one.heard()


def test_a_broadcasting_session_keeps_to_the_hot_path(client: EngineClient) -> None:
    client("CLIENT", "TRACKING", "ON", "BCAST")
    assert client.session.gates == ()
    client("CLIENT", "TRACKING", "OFF")
    client("CLIENT", "TRACKING", "ON")
    assert client.session.gates != ()
    client("CLIENT", "TRACKING", "OFF")
    assert client.session.gates == ()
    assert not client.engine.ks.observed


# Redirection


@pytest.mark.parametrize("tracking", [2, 3])
@pytest.mark.parametrize("receiving", [2, 3])
@pytest.mark.parametrize("options", ["", " BCAST", " NOLOOP"])
def test_redirection(peer: NewPeer, tracking: int, receiving: int, options: str) -> None:
    reader, receiver, writer = peer(tracking), peer(receiving), peer()
    reader.tell("CLIENT", "TRACKING", "ON", "REDIRECT", receiver, *options.split()).tell("GET a")
    writer.tell("SET a 1")
    assert receiver.invalidated() == ([] if receiving == 2 else [[b"a"]])
    receiver.send("SUBSCRIBE any")
    receiver.heard()
    reader.tell("GET a")
    writer.tell("SET a 1")
    assert receiver.invalidated() == [[b"a"]]
    reader.tell("GET a").tell("SET a 1")
    assert receiver.invalidated() == ([] if options == " NOLOOP" else [[b"a"]])
    if tracking == receiving:  # else Redis sends a null of the wrong protocol
        writer.tell("FLUSHALL")
        assert receiver.invalidated() == [None]
    assert reader.invalidated() == []


def test_null_comes_in_the_protocol_of_the_receiver(client: EngineClient) -> None:
    receiver = client.another()
    client("HELLO", 3)
    receiver("SUBSCRIBE", "__redis__:invalidate")
    client("CLIENT", "TRACKING", "ON", "REDIRECT", receiver.session.id)
    client("FLUSHALL")
    channel = b"$20\r\n__redis__:invalidate\r\n"
    assert receiver.take() == b"*3\r\n$7\r\nmessage\r\n" + channel + b"$-1\r\n"


@pytest.mark.parametrize("protocol", [2, 3])
def test_broken_redirection(peer: NewPeer, protocol: int) -> None:
    reader, receiver, writer = peer(protocol), peer(), peer()
    reader.tell("CLIENT", "TRACKING", "ON", "REDIRECT", receiver).tell("MGET a b c")
    for number, side in zip(receiver.number, (writer.real, writer.ours), strict=True):
        assert side("CLIENT", "KILL", "ID", number) == 1
    writer.tell("SET a 1")
    reader.tell("SET b 1")
    assert len(reader.heard()) == (5 if protocol == 3 else 3)
    reader.tell("CLIENT INFO").tell("CLIENT TRACKINGINFO")
    ours, real = reader.ours.replies(), reader.read
    for info, tracking in (ours, real):
        assert b" flags=tR " in (info[1] if protocol == 3 else info)
        assert b"broken_redirect" in str(tracking).encode()
    reader.read = []
    reader.tell("CLIENT TRACKING ON").tell("CLIENT TRACKINGINFO").tell("CLIENT GETREDIR")
    reader.heard()


# What can be said wrong, and what is shown


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize(
    "lines",
    [
        "CLIENT TRACKING|CLIENT TRACKING FOO|CLIENT TRACKING ON FOO|CLIENT TRACKING FOO OPTIN",
        "CLIENT TRACKING ON REDIRECT|CLIENT TRACKING ON REDIRECT x|CLIENT TRACKING ON REDIRECT 0",
        "CLIENT TRACKING OFF REDIRECT 99999|CLIENT TRACKING ON REDIRECT -1 FOO",
        "CLIENT TRACKING ON PREFIX|CLIENT TRACKING ON PREFIX a|CLIENT TRACKING OFF PREFIX a",
        "CLIENT TRACKING ON BCAST OPTIN|CLIENT TRACKING ON OPTIN OPTOUT BCAST",
        "CLIENT TRACKING ON OPTIN OPTOUT|CLIENT TRACKING ON OPTOUT PREFIX x OPTIN",
        "CLIENT TRACKING ON BCAST PREFIX a PREFIX b PREFIX ab|CLIENT TRACKING ON BCAST PREFIX a "
        "PREFIX a|CLIENT TRACKING ON BCAST PREFIX ab PREFIX c PREFIX a|CLIENT TRACKINGINFO",
        "CLIENT TRACKING ON BCAST PREFIX b PREFIX a|CLIENT TRACKING ON BCAST PREFIX c PREFIX bc "
        "PREFIX a|CLIENT TRACKING ON BCAST PREFIX b|CLIENT TRACKINGINFO|CLIENT TRACKING ON",
        "CLIENT TRACKING ON|CLIENT TRACKING ON BCAST|CLIENT TRACKING ON BCAST OPTIN OPTOUT",
        "CLIENT TRACKING ON OPTIN|CLIENT TRACKING ON OPTOUT|CLIENT TRACKING ON|"
        "CLIENT TRACKINGINFO|CLIENT TRACKING ON OPTOUT|CLIENT TRACKINGINFO",
        "client tracking on bcast noloop|CLIENT TRACKINGINFO|CLIENT TRACKING OFF OPTIN OPTOUT",
        "CLIENT CACHING|CLIENT CACHING YES|CLIENT CACHING FOO|CLIENT TRACKING ON|"
        "CLIENT CACHING yes|CLIENT CACHING no|CLIENT CACHING FOO",
        "CLIENT TRACKING ON OPTIN|CLIENT CACHING NO|CLIENT CACHING YES x|CLIENT CACHING yes",
        "CLIENT TRACKING ON OPTOUT|CLIENT CACHING YES|CLIENT CACHING no|CLIENT TRACKINGINFO",
        "CLIENT GETREDIR|CLIENT TRACKING ON|CLIENT GETREDIR|CLIENT GETREDIR x",
        "CLIENT TRACKINGINFO|CLIENT TRACKINGINFO x|CLIENT TRACKING OFF|CLIENT TRACKINGINFO",
    ],
)
def test_options(peer: NewPeer, protocol: int, lines: str) -> None:
    one = peer(protocol)
    for line in lines.split("|"):
        one.tell(line)
        one.heard()


def test_redirecting_twice(peer: NewPeer) -> None:
    one, other = peer(), peer()
    one.tell("CLIENT", "TRACKING", "ON", "REDIRECT", other, "REDIRECT", "x")
    one.heard()


def test_what_is_shown(client: EngineClient) -> None:
    def shown(of: EngineClient) -> tuple[str, str]:
        line = client("CLIENT", "LIST", "ID", of.session.id).decode()
        fields = dict(field.split("=", 1) for field in line.split())
        return fields["flags"], fields["redir"]

    def counts() -> list[int]:
        names = ("clients", "total_keys", "total_items", "total_prefixes")
        lines = client("INFO", "clients", "stats").decode().splitlines()
        found = dict(line.split(":") for line in lines if line.startswith("tracking_"))
        return [int(found["tracking_" + name]) for name in names]

    one, other = client.another(), client.another()
    one("CLIENT", "TRACKING", "ON", "REDIRECT", other.session.id)
    other("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "a", "PREFIX", "b")
    assert (shown(one), shown(other)) == (("t", str(other.session.id)), ("tB", "0"))
    assert shown(client) == ("N", "-1")
    client("CLIENT", "TRACKING", "ON")
    client("GET", "a")
    one("MGET", "a", "b")
    assert counts() == [3, 2, 3, 2]
    client("CLIENT", "KILL", "ID", other.session.id)
    assert counts() == [2, 2, 3, 0]
    one("RESET")
    client("CLIENT", "TRACKING", "OFF")
    assert counts() == [0, 0, 0, 0]


# The limit of the table


def test_a_full_table_lets_keys_go(peer: NewPeer) -> None:
    one, other = peer(), peer()
    other.tell("CONFIG SET tracking-table-max-keys 2")
    one.tell("CLIENT TRACKING ON").tell("MGET a b c d").tell("PING")
    for heard in (one.ours.replies(), one.read):
        assert heard[:2] == [b"OK", [None] * 4]
        assert [each[0] for each in heard[2:4]] == [b"invalidate"] * 2
        assert heard[4] == b"PONG"
    other.tell("CONFIG SET tracking-table-max-keys 1000000")


def test_it_goes_step_by_step() -> None:
    client = new_client()
    client("HELLO", 3)
    client("CLIENT", "TRACKING", "ON", "NOLOOP")
    client("MGET", *range(1000))
    tracking = client.engine.tracking
    client.another()("CONFIG", "SET", "tracking-table-max-keys", "1")
    left = [len(tracking.keys)]
    while left[-1] > 1:
        client.tick()
        left.append(len(tracking.keys))
        tracking._check()
    assert left == [1000 - EFFORT_KEYS * n for n in (1, 3, 6)] + [1]
    told = [key for _, (key,) in client.replies()]
    assert sorted([*told, *tracking.keys], key=int) == [b"%d" % n for n in range(1000)]


# Chance


LINES = (
    "CLIENT TRACKING ON|CLIENT TRACKING ON NOLOOP|CLIENT TRACKING ON OPTIN|CLIENT TRACKING ON BCAST"
    "|CLIENT TRACKING ON BCAST PREFIX a PREFIX b|CLIENT TRACKING ON OPTOUT|CLIENT TRACKING OFF"
    "|CLIENT CACHING YES|CLIENT CACHING NO|MGET a b|GET ab|EXISTS b|SET a 1|SET b 1|MSET ab 1 ba 1"
    "|DEL a|RENAME a b|MULTI|EXEC|FLUSHDB|RESET|CLIENT TRACKINGINFO|SELECT 1"
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(LINES.split("|"))), max_size=25))
def test_random_scenes(peer: NewPeer, steps: list[tuple[int, str]]) -> None:
    peers = [peer() for _ in range(3)]
    peers[0].tell("FLUSHALL")
    for who, line in steps:
        peers[who].tell(line)
    for each in peers:
        if each.ours.session.multi is not None:
            each.tell("DISCARD")
        each.heard()
        each.real.close()
        each.ours.engine.disconnect(each.ours.session)


# A library that has a cache


def test_the_cache_of_redis_py(node: Node) -> None:
    plain = redis.Redis(port=node.port, protocol=3)
    caching = redis.Redis(
        port=node.port, protocol=3, single_connection_client=True, cache_config=CacheConfig()
    )
    cache = caching.get_cache()
    plain.mset({"a": "1", "b": "2"})
    assert [caching.get("a"), caching.mget("a", "b"), caching.get("a")] == [
        b"1",
        [b"1", b"2"],
        b"1",
    ]
    assert cache.size == 2
    assert plain.info("clients")["tracking_clients"] == 1
    plain.set("a", "new")
    assert caching.get("a") == b"new"
    assert caching.mget("a", "b") == [b"new", b"2"]
    caching.set("a", "mine")
    assert caching.get("a") == b"mine"
    plain.flushall()
    assert caching.get("a") is None
    caching.close()
    plain.close()
