"""XREAD and XREADGROUP, with and without waiting."""

from __future__ import annotations

from typing import Any

import pytest

from tests.observe import Observer
from tests.support import EngineClient, NullArray, ReplyError, Twin


def fill(twin: Twin | EngineClient, count: int, key: str = "s") -> None:
    """Add entries 1-0, 2-0 ..."""
    for number in range(1, count + 1):
        twin("XADD", key, f"{number}-0", "field", number)


def speak(twin: Twin, protocol: int) -> None:
    """Switch both servers to a version of the protocol."""
    twin.real("HELLO", protocol)
    twin.ours.session.resp3 = protocol == 3


# Without waiting


@pytest.mark.parametrize("protocol", [2, 3])
def test_read(twin: Twin, protocol: int) -> None:
    speak(twin, protocol)
    fill(twin, 120)
    fill(twin, 2, "t")
    twin("SET", "str", 1)
    top = "18446744073709551615-18446744073709551615"
    for line in (
        "STREAMS s 0", "COUNT 3 STREAMS s 0", "COUNT 3 STREAMS s t 99-0 0", "STREAMS s t 120-0 1",
        "STREAMS s t 120 2", "STREAMS s $", "STREAMS no 0", "STREAMS no s $ 119",
        "COUNT 0 STREAMS s 118", "COUNT -5 STREAMS s 118", "COUNT x STREAMS s 0",
        "BLOCK x STREAMS s 0", "BLOCK -1 STREAMS s 0", "BLOCK 1.5 STREAMS s 0",
        "BLOCK 5 STREAMS s 118", "STREAMS", "COUNT 1", "STREAMS s t", "FOO STREAMS s 0",
        "STREAMS s -", "STREAMS s >", "NOACK STREAMS s 0", "GROUP g c STREAMS s 0",
        "STREAMS str 0", "STREAMS s str 0 x", "STREAMS s x", "streams s 119", f"STREAMS s {top}",
        "STREAMS s s 119 118", "COUNT 1 COUNT 2 STREAMS s 117",
        "STREAMS s 118-18446744073709551615", "BLOCK 1 BLOCK", "COUNT",
    ):  # fmt: skip
        twin("XREAD", *line.split())
    twin("XDEL", "s", "120-0")
    twin("XREAD", "STREAMS", "s", "119-0")
    twin("XREAD", "STREAMS", "s", "118-0")
    twin("MULTI")
    twin("XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    twin("EXEC")


def test_errors_of_newer_versions(client: EngineClient) -> None:
    for timeout in (2**63 - 1, 2**63 - 1 - client.clock.now_ms() + 1):
        error = client("XREAD", "BLOCK", timeout, "STREAMS", "s", 0)
        assert error == b"ERR timeout is out of range"
    text = b"ERR Unbalanced '%b' list of streams: for each stream key an %b must be specified."
    assert client("XREAD", "STREAMS", "s", "t", "0") == text % (b"xread", b"ID, '+', or '$'")
    request = ["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", "t", "0"]
    assert client(*request) == text % (b"xreadgroup", b"ID or '>'")


def test_what_counts_as_a_change(client: EngineClient) -> None:
    fill(client, 2)
    client("XGROUP", "CREATE", "s", "g", "0")
    for request, changes in (
        ("GROUP g a COUNT 1 STREAMS s >", 2),  # a new consumer, and what it got
        ("GROUP g a STREAMS s 0", 0),
        ("GROUP g a STREAMS s 9", 0),
        ("GROUP g b STREAMS s 0", 1),
        ("GROUP g b STREAMS s >", 1),
        ("GROUP g b STREAMS s >", 0),
        ("GROUP g c STREAMS s >", 1),
    ):
        before = client.engine.ks.dirty
        client("XREADGROUP", *request.split())
        assert client.engine.ks.dirty - before == changes, request


@pytest.mark.parametrize("protocol", [2, 3])
def test_read_in_a_group(twin: Twin, protocol: int) -> None:
    speak(twin, protocol)
    fill(twin, 20)
    fill(twin, 3, "t")
    twin("SET", "str", 1)
    for key in ("s", "t"):
        twin("XGROUP", "CREATE", key, "g", "0")
    for line in (
        "GROUP g a COUNT 2 STREAMS s >", "GROUP g a COUNT 2 STREAMS s t > >",
        "GROUP g a STREAMS s 0", "GROUP g a STREAMS s 2", "COUNT 1 GROUP g a STREAMS s 1-5",
        "GROUP g b STREAMS s 0", "GROUP g b NOACK COUNT 3 STREAMS s >", "GROUP g b STREAMS s 0",
        "GROUP no b STREAMS s >", "GROUP g b STREAMS no >", "GROUP g b STREAMS str >",
        "GROUP g b STREAMS s $", "GROUP g b STREAMS s x", "GROUP g b STREAMS s -",
        "COUNT 1 STREAMS s >", "GROUP g STREAMS s 0", "GROUP g b COUNT 5",
        "GROUP g b COUNT x STREAMS s >", "GROUP g b GROUP g a COUNT 1 STREAMS s >",
        "GROUP g b FOO STREAMS s >", "GROUP g b STREAMS s t 0 >",
        "GROUP g b COUNT 1 STREAMS s s > >", "GROUP g b STREAMS s no > >",
        "GROUP g b COUNT 0 STREAMS s >", "GROUP g b STREAMS s >", "GROUP g a STREAMS s t > 0",
        "GROUP g a BLOCK -1 STREAMS s >", "GROUP g a BLOCK 0 STREAMS s 3",
    ):  # fmt: skip
        twin("XREADGROUP", *line.split())
        twin("XINFO", "GROUPS", "s")
        twin("XPENDING", "s", "g")
    twin("XDEL", "s", "1-0", "20-0")
    twin("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", "0")
    twin("XGROUP", "SETID", "s", "g", "17-0")
    twin("XREADGROUP", "GROUP", "g", "new", "STREAMS", "s", ">")
    twin("XPENDING", "s", "g")
    twin("MULTI")
    twin("XREADGROUP", "GROUP", "g", "a", "BLOCK", 0, "STREAMS", "s", ">")
    twin("EXEC")
    twin.ours.engine.ks.dbs[0].data[b"s"]._check()


def test_history_counts_as_a_delivery(twin: Twin) -> None:
    fill(twin, 2)
    twin("XGROUP", "CREATE", "s", "g", "0")
    twin("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">")
    twin("XDEL", "s", "2-0")
    for count in (2, 3):
        twin("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", "0")
        found = [
            [[entry[0], entry[3]] for entry in one("XPENDING", "s", "g", "-", "+", 9)]
            for one in (twin.real, twin.ours)
        ]
        assert found == [[[b"1-0", count], [b"2-0", 1]]] * 2


def test_consumers_that_ask_in_vain_come_into_being(client: EngineClient) -> None:
    """New in 7.2, as is the time of the last success."""
    client("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")

    def consumers() -> list[Any]:
        return [tuple(each[1::2]) for each in client("XINFO", "CONSUMERS", "s", "g")]

    assert client("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">") == NullArray()
    client.clock.advance(100)
    assert consumers() == [(b"a", 0, 100, -1)]
    client("XADD", "s", "1-1", "f", "v")
    client("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">")
    client.clock.advance(30)
    client("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">")
    client.clock.advance(3)
    assert consumers() == [(b"a", 1, 3, 33)]
    client("XADD", "s", "2-1", "f", "v")
    client("XREADGROUP", "GROUP", "g", "a", "NOACK", "STREAMS", "s", ">")
    client("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", "0")
    assert consumers() == [(b"a", 1, 0, 33)]


# Waiting


def test_waiting_for_entries(client: EngineClient) -> None:
    reader, other = client.another(), client.another()
    reader.send("XREAD", "BLOCK", 0, "STREAMS", "s", "t", "0", "0")
    other.send("XREAD", "BLOCK", 0, "COUNT", 1, "STREAMS", "s", "5-0")
    client("XADD", "s", "1-1", "f", "v")
    assert reader.replies() == [[[b"s", [[b"1-1", [b"f", b"v"]]]]]]
    assert other.replies() == []
    client("XADD", "s", "6-1", "f", "v")
    assert other.replies() == [[[b"s", [[b"6-1", [b"f", b"v"]]]]]]


def test_a_dollar_is_the_end_when_the_wait_began(client: EngineClient) -> None:
    fill(client, 3)
    reader = client.another()
    for key, first in (("s", b"4-0"), ("no", b"1-0")):
        reader.send("XREAD", "BLOCK", 0, "STREAMS", "t", key, "9", "$")
        client("MULTI")
        client("XADD", key, first.decode(), "f", "v")
        client("XADD", key, "7-0", "f", "v")
        client("XDEL", key, "7-0")
        client("EXEC")
        assert reader.replies() == [[[key.encode(), [[first, [b"f", b"v"]]]]]]


def test_waits_end_with_time(client: EngineClient) -> None:
    client("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    readers = [client.another() for _ in range(2)]
    readers[0].send("XREAD", "BLOCK", 100, "STREAMS", "s", "$")
    readers[1].send("XREADGROUP", "GROUP", "g", "a", "BLOCK", 100, "STREAMS", "s", ">")
    client.tick(99)
    assert [reader.replies() for reader in readers] == [[], []]
    client.tick(1)
    assert [reader.replies() for reader in readers] == [[NullArray()], [NullArray()]]


def test_members_of_a_group_share_what_comes(client: EngineClient) -> None:
    client("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    readers = [client.another() for _ in range(3)]
    for name, reader in zip("abc", readers, strict=True):
        reader.send("XREADGROUP", "GROUP", "g", name, "BLOCK", 0, "STREAMS", "s", ">")
    client("XADD", "s", "1-0", "f", "v")
    assert [len(reader.replies()) for reader in readers] == [1, 0, 0]
    client("MULTI")
    client("XADD", "s", "2-0", "f", "v")
    client("XADD", "s", "3-0", "f", "v")
    client("EXEC")
    assert [len(reader.replies()) for reader in readers] == [0, 1, 0]
    assert client("XPENDING", "s", "g")[3] == [[b"a", b"1"], [b"b", b"2"]]


@pytest.mark.parametrize(
    "command",
    ["XGROUP DESTROY s g", "DEL s", "SET s 1", "FLUSHALL", "RENAME t s", "XGROUP SETID s g 0"],
)
def test_a_group_that_goes_ends_the_wait(client: EngineClient, command: str) -> None:
    client("XADD", "s", "1-0", "f", "v")
    client("XADD", "t", "1-0", "f", "v")
    client("XGROUP", "CREATE", "s", "g", "$")
    member, reader = client.another(), client.another()
    member.send("XREADGROUP", "GROUP", "g", "a", "BLOCK", 0, "STREAMS", "s", ">")
    reader.send("XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    client(*command.split())
    assert reader.replies() == []
    found = member.replies()
    if "SETID" in command:
        assert found == []  # Redis does not look again either
        return
    [error] = found
    assert type(error) is ReplyError
    assert error.startswith(b"WRONGTYPE" if "SET" in command else b"NOGROUP No such key 's'")


# What others learn


def test_what_is_told_of_deliveries(client: EngineClient) -> None:
    now_ms = client.clock.now_ms()
    fill(client, 6)
    client("XGROUP", "CREATE", "s", "g", "0")
    observer = Observer(client)

    def claim(consumer: str, entry_id: str) -> str:
        return (
            f"0:XCLAIM s g {consumer} 0 {entry_id} TIME {now_ms} RETRYCOUNT 1 FORCE JUSTID "
            f"LASTID {entry_id}"
        )

    created = ["0:s xgroup-createconsumer"]
    new = "XREADGROUP GROUP g {} COUNT {} STREAMS s >"
    old = "XREADGROUP GROUP g {} STREAMS s 0"
    noack = "XREADGROUP GROUP g {} NOACK COUNT 1 STREAMS s >"
    assert observer.after(*new.format("a", 2).split()) == (
        created,
        ["0:MULTI", claim("a", "1-0"), claim("a", "2-0"),
         "0:XGROUP SETID s g 2-0 ENTRIESREAD 2", "0:EXEC"],
    )  # fmt: skip
    assert observer.after(*noack.format("b").split()) == (
        created,
        ["0:MULTI", "0:XGROUP CREATECONSUMER s g b", "0:XGROUP SETID s g 3-0 ENTRIESREAD 3",
         "0:EXEC"],
    )  # fmt: skip
    assert observer.after(*old.format("a").split()) == ([], [])
    assert observer.after(*old.format("c").split()) == (created, [])
    assert observer.after(*new.format("c", 9).split())[1][-2] == (
        "0:XGROUP SETID s g 6-0 ENTRIESREAD 6"
    )
    assert observer.after(*new.format("d", 9).split()) == (created, [])
    waiter = client.another()
    waiter.send("XREADGROUP", "GROUP", "g", "e", "BLOCK", 0, "STREAMS", "s", ">")
    assert (observer.events(), observer.propagated()) == (created, [])
    assert observer.after("XADD", "s", "7-0", "f", "v")[1] == [
        "0:XADD s 7-0 f v", "0:MULTI", claim("e", "7-0"), "0:XGROUP SETID s g 7-0 ENTRIESREAD 7",
        "0:EXEC",
    ]  # fmt: skip


def test_a_replica_arrives_at_the_same_groups(client: EngineClient) -> None:
    told = Observer(client)
    fill(client, 9)
    client("XGROUP", "CREATE", "s", "g", "0")
    for line in (
        "XREADGROUP GROUP g a COUNT 3 STREAMS s >", "XREADGROUP GROUP g b STREAMS s 0",
        "XREADGROUP GROUP g c NOACK COUNT 1 STREAMS s >", "XDEL s 2-0", "XACK s g 1-0",
        "XREADGROUP GROUP g b COUNT 2 STREAMS s >", "XCLAIM s g d 0 3-0 RETRYCOUNT 7",
        "XAUTOCLAIM s g e 0 - COUNT 2", "XCLAIM s g d 9999 3-0 LASTID 7-0", "XTRIM s MAXLEN ~ 3",
    ):  # fmt: skip
        client(*line.split())
    replica = client.another()
    replica("SELECT", 1)
    for line in told.propagated():
        replica(*line.removeprefix("0:").split())
    for question in ("XINFO STREAM s FULL COUNT 0", "XINFO GROUPS s"):
        assert replica(*question.split()) == client(*question.split())


def test_statistics_count_both_look_ups(twin: Twin) -> None:
    fill(twin, 1)
    twin("XGROUP", "CREATE", "s", "g", "0")
    twin("XREAD", "STREAMS", "s", "no", "0", "0")
    twin("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">")
    twin("XACK", "s", "g", "1-0")
    lines = [
        [line for line in one("INFO", "stats").split(b"\r\n") if line.startswith(b"keyspace_")]
        for one in (twin.real, twin.ours)
    ]
    assert lines[0] == lines[1]


# XREAD + (7.4) and XREADGROUP CLAIM (8.4). The reference has neither; what is expected follows
# the documentation and Redis' own tests.


def test_the_last_entry(client: EngineClient) -> None:
    assert client("XREAD", "STREAMS", "s", "+") == NullArray()
    for number in (1, 2, 3):
        client("XADD", "s", f"{number}-0", "f", number)
    assert client("XREAD", "COUNT", 3, "STREAMS", "s", "+") == [[b"s", [[b"3-0", [b"f", b"3"]]]]]
    client("XDEL", "s", "3-0")
    assert client("XREAD", "STREAMS", "s", "+") == [[b"s", [[b"2-0", [b"f", b"2"]]]]]
    client("XTRIM", "s", "MAXLEN", 0)
    assert client("XREAD", "STREAMS", "s", "+") == NullArray()
    client("XGROUP", "CREATE", "s", "g", 0)
    error = client("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", "+")
    assert error.startswith(b"ERR The + ID is meaningless in the context of XREADGROUP: you want")
    assert error.endswith(b"The + ID would just return an empty result set.")


def test_waiting_for_the_last_entry(client: EngineClient) -> None:
    other = client.another()
    other.send("XREAD", "BLOCK", 0, "STREAMS", "s", "+")
    assert other.replies() == []
    client("XADD", "s", "1-0", "f", 1)
    assert other.replies() == [[[b"s", [[b"1-0", [b"f", b"1"]]]]]]


def claiming(client: EngineClient, consumer: str, min_idle_ms: object, *words: object) -> Any:
    """The entries that XREADGROUP CLAIM gives of the stream `s`; what it replies if none."""
    head = ("XREADGROUP", "GROUP", "g", consumer, *words, "CLAIM", min_idle_ms)
    reply = client(*head, "STREAMS", "s", ">")
    return reply[0][1] if type(reply) is list else reply


@pytest.fixture
def pending(client: EngineClient) -> EngineClient:
    """A client of a server where 1-0 and 2-0 are pending since 100 ms, and 3-0 is new."""
    client("XADD", "s", "1-0", "f", 1)
    client("XADD", "s", "2-0", "f", 2)
    client("XGROUP", "CREATE", "s", "g", 0)
    client("XREADGROUP", "GROUP", "g", "one", "STREAMS", "s", ">")
    client("XADD", "s", "3-0", "f", 3)
    client.clock.advance(100)
    return client


def test_claim(pending: EngineClient) -> None:
    client = pending
    assert claiming(client, "two", 50) == [
        [b"1-0", [b"f", b"1"], 100, 1],
        [b"2-0", [b"f", b"2"], 100, 1],
        [b"3-0", [b"f", b"3"], 0, 0],
    ]
    assert client("XPENDING", "s", "g", "-", "+", 9) == [
        [b"1-0", b"two", 0, 2], [b"2-0", b"two", 0, 2], [b"3-0", b"two", 0, 1]
    ]  # fmt: skip
    assert claiming(client, "one", 1) == NullArray()
    client.clock.advance(1)
    assert [entry[3] for entry in claiming(client, "one", 1)] == [2, 2, 1]
    client.engine.ks.dbs[0].data[b"s"].groups[b"g"]._check()


def test_claim_takes_the_longest_idle_first(pending: EngineClient) -> None:
    client = pending
    client("XCLAIM", "s", "g", "one", 0, "1-0", "IDLE", 60, "JUSTID")
    assert claiming(client, "two", 0, "COUNT", 1) == [[b"2-0", [b"f", b"2"], 100, 1]]
    assert [entry[0] for entry in claiming(client, "two", 0, "COUNT", 2)] == [b"1-0", b"2-0"]
    assert [entry[0] for entry in claiming(client, "two", 1, "COUNT", 2)] == [b"3-0"]


def test_claim_with_noack_and_with_ids(pending: EngineClient) -> None:
    """NOACK is for new entries only; with an ID CLAIM does nothing."""
    client = pending
    request = ("XREADGROUP", "GROUP", "g", "one", "CLAIM", 1000, "STREAMS", "s", 0)
    assert client(*request) == [[b"s", [[b"1-0", [b"f", b"1"]], [b"2-0", [b"f", b"2"]]]]]
    assert [entry[0] for entry in claiming(client, "two", 0, "NOACK")] == [b"1-0", b"2-0", b"3-0"]
    assert client("XPENDING", "s", "g")[0] == 2


def test_deleted_entries_cannot_be_claimed(pending: EngineClient) -> None:
    """That they are pending no more then is what XCLAIM does; of CLAIM we only suppose it."""
    client = pending
    client("XDEL", "s", "1-0", "3-0")
    assert [entry[0] for entry in claiming(client, "two", 0)] == [b"2-0"]
    assert client("XPENDING", "s", "g")[0] == 1


def test_errors_of_claim(pending: EngineClient) -> None:
    for text in ("x", "5.5", "+10", "-0", ""):
        assert claiming(pending, "two", text) == b"ERR min-idle-time is not an integer"
    assert claiming(pending, "two", -10) == b"ERR min-idle-time must be a positive integer"
    assert pending("XREAD", "CLAIM", 1, "STREAMS", "s", 0) == b"ERR syntax error"
    assert len(claiming(pending, "two", 2**63 - 1)) == 1


def test_what_others_learn_of_claims(pending: EngineClient) -> None:
    client = pending
    now_ms = client.clock.now_ms()
    tail = "FORCE JUSTID LASTID 2-0"
    claim = ("XREADGROUP", "GROUP", "g", "one", "COUNT", 2, "CLAIM", 0, "STREAMS", "s", ">")
    assert Observer(client).after(*claim) == (
        [],
        [
            "0:MULTI",
            f"0:XCLAIM s g one 0 1-0 TIME {now_ms} RETRYCOUNT 2 {tail}",
            f"0:XCLAIM s g one 0 2-0 TIME {now_ms} RETRYCOUNT 2 {tail}",
            "0:EXEC",
        ],
    )


def test_waiting_until_something_can_be_claimed(pending: EngineClient) -> None:
    client, other = pending, pending.another()
    client("XDEL", "s", "3-0")
    other.send("XREADGROUP", "GROUP", "g", "two", "BLOCK", 500, "CLAIM", 150, "STREAMS", "s", ">")
    assert client.engine.deadline_ms() == client.clock.now_ms() + 50
    other.tick(49)
    assert other.replies() == []
    other.tick(1)
    assert [entry[0] for entry in other.replies()[0][0][1]] == [b"1-0", b"2-0"]
    assert client.engine.deadline_ms() is None


def test_waiting_to_claim_may_be_in_vain(pending: EngineClient) -> None:
    client, other = pending, pending.another()
    client("XDEL", "s", "3-0")
    other.send("XREADGROUP", "GROUP", "g", "two", "BLOCK", 500, "CLAIM", 150, "STREAMS", "s", ">")
    other.tick(40)
    client("XCLAIM", "s", "g", "one", 0, "1-0", "2-0")
    other.tick(10)
    assert other.replies() == []
    assert client.engine.deadline_ms() == client.clock.now_ms() + 140, "tried again, later"
    client("XACK", "s", "g", "1-0", "2-0")
    other.tick(140)
    assert client.engine.deadline_ms() == client.clock.now_ms() + 310
    other.tick(310)
    assert other.replies() == [NullArray()]


def test_two_wait_to_claim(client: EngineClient) -> None:
    """One gets what is new; the other, when that has been pending for long enough."""
    client("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    one, two = client.another(), client.another()
    for each, name in ((one, "one"), (two, "two")):
        each.send("XREADGROUP", "GROUP", "g", name, "BLOCK", 0, "CLAIM", 100, "STREAMS", "s", ">")
    client("XADD", "s", "1-0", "f", 1)
    assert one.replies() == [[[b"s", [[b"1-0", [b"f", b"1"], 0, 0]]]]]
    assert two.replies() == []
    two.tick(100)
    assert two.replies() == [[[b"s", [[b"1-0", [b"f", b"1"], 100, 1]]]]]
