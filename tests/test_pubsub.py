"""Channels, patterns, shard channels, and the notifications of the keyspace."""

from __future__ import annotations

import pytest

from tests.support import EngineClient, Listener, Push, Twin, new_client


def speak(twin: Twin, protocol: int) -> None:
    """Choose the protocol on both sides; the replies tell versions, which differ."""
    twin.real("HELLO", protocol)
    twin.ours("HELLO", protocol)


@pytest.mark.parametrize(
    ("protocol", "word"),
    [(2, ""), (2, "P"), (2, "S"), (3, ""), (3, "P"), (3, "S")],
)
def test_subscribing(twin: Twin, protocol: int, word: str) -> None:
    speak(twin, protocol)
    twin.messages(1, word + "UNSUBSCRIBE")
    twin.messages(2, word + "UNSUBSCRIBE", "x", "y")
    twin.messages(3, word + "SUBSCRIBE", "a", "b", "a")
    twin.messages(1, "SUBSCRIBE", "c")
    twin.messages(1, "PSUBSCRIBE", "c*")
    twin.messages(1, "SSUBSCRIBE", "c")
    twin.messages(2, word + "UNSUBSCRIBE", "a", "nosuch")
    twin.real.send(word + "UNSUBSCRIBE")
    twin.ours.send(word + "UNSUBSCRIBE")
    ours = twin.ours.replies()
    real = [twin.real.read() for _ in ours]
    assert sorted(reply[2] for reply in ours) == sorted(reply[2] for reply in real)
    assert type(ours[0]) is type(real[0])


@pytest.mark.parametrize("protocol", [2, 3])
def test_messages_to_channels_and_patterns(twin: Twin, protocol: int) -> None:
    sender = twin.another()
    speak(twin, protocol)
    twin.messages(2, "SUBSCRIBE", "news", "old")
    twin.messages(1, "PSUBSCRIBE", "n?ws")
    assert sender("PUBLISH", "news", "hi") == 2
    assert len(twin.messages(2)) == 2
    assert sender("PUBLISH", "nobody", "hi") == 0
    twin.messages(1, "SSUBSCRIBE", "news")
    assert sender("SPUBLISH", "news", "hi") == 1
    twin.messages(1)
    assert sender("PUBLISH", "old", b"\r\n\x00") == 1
    twin.messages(1)


@pytest.mark.parametrize(
    "line",
    [
        "PUBSUB",
        "PUBSUB FOO",
        "PUBSUB CHANNELS a b",
        "pubsub shardchannels a b",
        "PUBSUB CHANNELS n*",
        "PUBSUB SHARDCHANNELS",
        "PUBSUB NUMSUB",
        "PUBSUB NUMSUB news nosuch news",
        "PUBSUB SHARDNUMSUB s news",
        "PUBSUB NUMPAT",
        "PUBSUB NUMPAT x",
        "SUBSCRIBE",
        "PUBLISH a",
    ],
)
def test_looking_at_channels(twin: Twin, line: str) -> None:
    subscriber = twin.another()
    subscriber.messages(2, "SUBSCRIBE", "news", "other")
    subscriber.messages(2, "PSUBSCRIBE", "a*", "b*")
    subscriber.messages(1, "SSUBSCRIBE", "s")
    twin(*line.split())


def test_all_channels(client: EngineClient) -> None:
    client.send("SUBSCRIBE", "a", "b")
    assert client.another()("PUBSUB", "CHANNELS") == [b"a", b"b"]
    assert client.another()("PUBSUB", "SHARDCHANNELS") == []


def test_help_names_every_subcommand(client: EngineClient) -> None:
    lines = client("PUBSUB", "HELP")
    assert lines[0] == b"PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    assert lines[1] == b"CHANNELS [<pattern>]"
    assert lines[2] == b"    Returns the channels that have subscribers."
    assert lines[-2:] == [b"HELP", b"    Print this help."]


def test_patterns_follow_the_channels_in_order_of_subscription(client: EngineClient) -> None:
    client.send("PSUBSCRIBE", "*", "a*")
    client.send("SUBSCRIBE", "a")
    client.replies()
    client.another()("PUBLISH", "a", "m")
    assert [message[:2] for message in client.replies()] == [
        [b"message", b"a"],
        [b"pmessage", b"*"],
        [b"pmessage", b"a*"],
    ]


def test_a_message_to_oneself_comes_behind_the_reply(client: EngineClient) -> None:
    client("HELLO", 3)
    client("SUBSCRIBE", "a")
    client.send("PUBLISH", "a", "m")
    assert client.replies() == [1, Push([b"message", b"a", b"m"])]
    for line in ("MULTI", "PUBLISH a m", "PING", "EXEC"):
        client.send(*line.split())
    assert client.replies()[3:] == [[1, b"PONG"], Push([b"message", b"a", b"m"])]


def test_in_a_pipeline_each_message_comes_behind_its_reply(client: EngineClient) -> None:
    client("HELLO", 3)
    client("SUBSCRIBE", "a")
    message = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n"
    request = b"*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$1\r\nm\r\n"
    wire = client.raw(request * 2 + b"*1\r\n$4\r\nPING\r\n")
    assert wire == (b":1\r\n" + message) * 2 + b"+PONG\r\n"


def test_subscribing_inside_multi(twin: Twin) -> None:
    for protocol in (2, 3):
        speak(twin, protocol)
        twin("MULTI")
        twin("SUBSCRIBE", "a")
        twin("PING")
        twin("UNSUBSCRIBE", "a")
        twin("EXEC")


def test_a_subscriber_may_do_little_under_resp2(twin: Twin) -> None:
    twin("SUBSCRIBE", "a")
    for line in ("GET a", "CLIENT ID", "MULTI", "EXEC", "HELLO 3", "GET", "NOSUCH"):
        twin(*line.split())
    twin.messages(1, "PSUBSCRIBE", "b")
    twin.messages(1, "UNSUBSCRIBE", "a")
    twin("GET", "a")
    twin.messages(1, "PUNSUBSCRIBE", "b")
    twin("GET", "a")


def test_a_subscriber_may_do_anything_under_resp3(client: EngineClient) -> None:
    client("HELLO", 3)
    client("SUBSCRIBE", "a")
    assert client("PING") == b"PONG"
    assert client("SET", "a", "1") == b"OK"


def test_the_gone_receive_nothing(client: EngineClient) -> None:
    other = client.another()
    other("SUBSCRIBE", "a")
    other.send("PSUBSCRIBE", "a")
    client.engine.disconnect(other.session)
    assert client("PUBLISH", "a", "m") == 0
    assert client("PUBSUB", "NUMPAT") == 0
    assert other.replies() == []


def test_publish_is_for_replicas_too(client: EngineClient) -> None:
    units: list[object] = []
    client.engine.feeds.append(Listener(units.append))
    client.engine.observe()
    client("PUBLISH", "a", "m")
    client("SPUBLISH", "s", "m")
    client("SET", "a", "1")
    assert units == [
        [(0, (b"PUBLISH", b"a", b"m"))],
        [(0, (b"SPUBLISH", b"s", b"m"))],
        [(0, (b"SET", b"a", b"1"))],
    ]


# Keyspace notifications


def events(classes: str, *lines: str) -> list[tuple[bytes, bytes]]:
    """The notifications that commands cause: (channel, message) pairs."""
    client = new_client(notify_keyspace_events=classes)
    observer = client.another()
    observer.send("PSUBSCRIBE", "__key*")
    observer.replies()
    for line in lines:
        client.send(*line.split())
    return [(message[2], message[3]) for message in observer.replies()]


def test_both_kinds_of_channels() -> None:
    key, event = (b"__keyspace@0__:a", b"set"), (b"__keyevent@0__:set", b"a")
    assert events("KEA", "SET a 1") == [key, event]
    assert events("KA", "SET a 1") == [key]
    assert events("E$", "SET a 1") == [event]
    assert events("A", "SET a 1") == []
    assert events("KE", "SET a 1") == []
    assert events("Kl", "SET a 1") == []


def test_channels_name_the_database() -> None:
    assert events("K$", "SELECT 3", "SET a 1") == [(b"__keyspace@3__:a", b"set")]


def test_new_keys_and_misses_are_not_in_all() -> None:
    assert events("EA", "GET a", "SET a 1", "SET a 2") == [(b"__keyevent@0__:set", b"a")] * 2
    assert events("Em", "GET a", "SET a 1", "GET a") == [(b"__keyevent@0__:keymiss", b"a")]
    assert events("En", "GET a", "SET a 1", "SET a 2") == [(b"__keyevent@0__:new", b"a")]
    assert events("EnA", "SET a 1") == [
        (b"__keyevent@0__:new", b"a"),
        (b"__keyevent@0__:set", b"a"),
    ]


@pytest.mark.parametrize(
    ("classes", "seen"),
    [
        ("$", "set incrby"),
        ("l", "lpush lpop"),
        ("s", "sadd"),
        ("h", "hset"),
        ("z", "zadd"),
        ("g", "del expire"),
        ("sh", "sadd hset"),
        ("t", ""),
    ],
)
def test_each_class_has_its_events(classes: str, seen: str) -> None:
    lines = ["SET a 1", "INCR a", "LPUSH l 1", "LPOP l", "SADD s 1", "HSET h f 1", "ZADD z 1 m"]
    found = events("E" + classes, *lines, "EXPIRE a 100")
    assert [channel.split(b":")[1].decode() for channel, _ in found] == seen.split()


def test_expiry_is_told_when_it_is_noticed() -> None:
    client = new_client(notify_keyspace_events="Ex")
    observer = client.another()
    observer.send("SUBSCRIBE", "__keyevent@0__:expired")
    client("SET", "a", "1")
    client.session.db.set_expiry(b"a", client.engine.now_ms + 10)
    client.clock.advance(10)
    observer.replies()
    client("GET", "a")
    assert observer.replies() == [[b"message", b"__keyevent@0__:expired", b"a"]]


def test_inside_exec_events_and_messages_keep_their_order(twin: Twin) -> None:
    twin.real("CONFIG", "SET", "notify-keyspace-events", "KEA")
    twin.ours.engine.config.set([("notify-keyspace-events", "KEA")])
    observer = twin.another()
    observer.messages(1, "SUBSCRIBE", "__keyevent@0__:set")
    observer.messages(1, "SUBSCRIBE", "news")
    try:
        for line in ("MULTI", "SET a 1", "PUBLISH news m", "SET b 2", "EXEC"):
            twin(*line.split())
        observer.messages(3)
    finally:
        twin.real("CONFIG", "SET", "notify-keyspace-events", "")
