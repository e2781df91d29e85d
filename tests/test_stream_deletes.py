"""XDELEX and XACKDEL, and the same policies when trimming.

The reference server is 7.0 and has none of this. What is expected follows the documentation of
8.2 and Redis' own tests.
"""

from __future__ import annotations

import pytest

from pyredis.types.streams import Stream
from tests.observe import Observer
from tests.support import EngineClient

INVALID_ID = b"ERR Invalid stream ID specified as stream command argument"


@pytest.fixture
def two_groups(client: EngineClient) -> EngineClient:
    """A client of a server where 1-0 and 2-0 are pending in both groups of the stream `s`."""
    for number in (1, 2):
        client("XADD", "s", f"{number}-0", "f", "v")
    for group in ("g", "h"):
        client("XGROUP", "CREATE", "s", group, 0)
        client("XREADGROUP", "GROUP", group, "c", "STREAMS", "s", ">")
    return client


def state(client: EngineClient) -> tuple[int, int, int]:
    """How many entries there are, and how many pending in each group."""
    groups = client.engine.ks.dbs[0].data[b"s"].groups.values()
    for group in groups:
        group._check()
    return client("XLEN", "s"), client("XPENDING", "s", "g")[0], client("XPENDING", "s", "h")[0]


@pytest.mark.parametrize("name", ["XDELEX s", "XACKDEL s g"])
def test_arguments(two_groups: EngineClient, name: str) -> None:
    client = two_groups
    arity = f"ERR wrong number of arguments for '{name.split()[0].lower()}' command".encode()
    numids = b"ERR Number of IDs must be a positive integer"
    for args, error in {
        "DELREF": arity,
        "IDS 1": arity,
        "IDS abc 1-1": numids,
        "IDS 0 1-1": numids,
        "IDS -5 1-1": numids,
        "IDS 3 1-1 2-2": b"ERR The `numids` parameter must match the number of arguments",
        "IDS 1 1-1 2-2": b"ERR syntax error",
        "KEEPREF DELREF IDS 1 1-1": b"ERR syntax error",
        "ACKED ACKED IDS 1 1-1": b"ERR syntax error",
        "IDS 1 1-1 IDS 1 1-1": b"ERR syntax error",
        "WHAT IDS 1 1-1": b"ERR syntax error",
        "IDS 1 x": INVALID_ID,
        "IDS 2 1-0 -": INVALID_ID,
    }.items():
        assert client(*name.split(), *args.split()) == error, args
    assert state(client) == (2, 2, 2)
    client("SET", "str", 1)
    request = name.replace(" s", " str").split()
    assert client(*request, "IDS", 1, "1-0").startswith(b"WRONGTYPE")


def test_what_is_not_there(client: EngineClient) -> None:
    assert client("XDELEX", "s", "IDS", 2, "1-1", "2-2") == [-1, -1]
    assert client("XACKDEL", "s", "g", "IDS", 2, "1-1", "2-2") == [-1, -1]
    client("XADD", "s", "1-0", "f", "v")
    assert client("XACKDEL", "s", "g", "IDS", 1, "1-0") == [-1], "no such group"
    client("XGROUP", "CREATE", "s", "g", 0)
    assert client("XACKDEL", "s", "g", "IDS", 1, "1-0") == [-1], "not pending"
    assert client("XLEN", "s") == 1


@pytest.mark.parametrize(
    ("policy", "replies", "left"),
    [("", [1, 1, -1], (0, 2, 2)), ("keepref", [1, 1, -1], (0, 2, 2)),
     ("DELREF", [1, 1, -1], (0, 0, 0)), ("ACKED", [2, 2, -1], (2, 2, 2))],
)  # fmt: skip
def test_xdelex(
    two_groups: EngineClient, policy: str, replies: list[int], left: tuple[int, int, int]
) -> None:
    client = two_groups
    assert client("XDELEX", "s", *policy.split(), "IDS", 3, "1-0", "2-0", "3-0") == replies
    assert state(client) == left


@pytest.mark.parametrize(
    ("policy", "replies", "left"),
    [("KEEPREF", [1, 1, -1], (0, 0, 2)), ("DELREF", [1, 1, -1], (0, 0, 0)),
     ("ACKED", [2, 2, -1], (2, 0, 2))],
)  # fmt: skip
def test_xackdel(
    two_groups: EngineClient, policy: str, replies: list[int], left: tuple[int, int, int]
) -> None:
    client = two_groups
    assert client("XACKDEL", "s", "g", policy, "IDS", 3, "1-0", "2-0", "3-0") == replies
    assert state(client) == left
    again = client("XACKDEL", "s", "h", policy, "IDS", 2, "1-0", "2-0")
    assert again == ([-1, -1] if policy == "DELREF" else [1, 1])
    assert state(client) == (0, 0, 0)


def test_acked_waits_for_groups_that_have_not_read(two_groups: EngineClient) -> None:
    client = two_groups
    client("XGROUP", "CREATE", "s", "late", 0)
    for group in ("g", "h"):
        client("XACK", "s", group, "1-0", "2-0")
    assert client("XDELEX", "s", "ACKED", "IDS", 2, "1-0", "2-0") == [2, 2]
    client("XREADGROUP", "GROUP", "late", "c", "COUNT", 1, "STREAMS", "s", ">")
    client("XACK", "s", "late", "1-0")
    assert client("XDELEX", "s", "ACKED", "IDS", 2, "1-0", "2-0") == [1, 2]


def test_acked_without_groups(client: EngineClient) -> None:
    """Nobody needs the entry: redis-py's tests of 8.2 expect so, too."""
    client("XADD", "s", "1-0", "f", "v")
    assert client("XDELEX", "s", "ACKED", "IDS", 1, "1-0") == [1]


def test_delref_forgets_entries_that_are_gone(two_groups: EngineClient) -> None:
    """The reply, -1, is what the documentation's text suggests."""
    client = two_groups
    client("XDEL", "s", "1-0", "2-0")
    assert client("XDELEX", "s", "DELREF", "IDS", 1, "1-0") == [-1]
    assert state(client) == (0, 1, 1)
    client("XACK", "s", "g", "2-0")
    assert client("XACKDEL", "s", "g", "DELREF", "IDS", 1, "2-0") == [-1]
    assert state(client) == (0, 0, 0)


def test_what_others_learn(two_groups: EngineClient) -> None:
    client = two_groups
    tell = Observer(client).after
    for nothing in ("XDELEX s ACKED IDS 1 1-0", "XDELEX s IDS 1 9-0", "XACKDEL s g IDS 1 9-0"):
        assert tell(*nothing.split()) == ([], [])
    for request, event in (
        ("XACKDEL s g ACKED IDS 1 1-0", ""),
        ("XACKDEL s g IDS 1 2-0", "0:s xdel"),
        ("XDELEX s DELREF IDS 2 1-0 2-0", "0:s xdel"),
    ):
        assert tell(*request.split()) == ([event] * bool(event), [f"0:{request}"])


# Trimming


def fill(client: EngineClient, count: int, node: int = 100) -> None:
    """A stream `s` of so many entries in nodes of that size, all pending in the group `g`."""
    client.engine.config.set([("stream-node-max-entries", str(node))])
    for number in range(1, count + 1):
        client("XADD", "s", f"{number}-0", "f", "v")
    client("XGROUP", "CREATE", "s", "g", 0)
    client("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")


def ids(client: EngineClient) -> list[int]:
    return [int(entry[0].partition(b"-")[0]) for entry in client("XRANGE", "s", "-", "+")]


def test_trim_what_is_acknowledged(client: EngineClient) -> None:
    fill(client, 5, node=2)
    client("XACK", "s", "g", "1-0", "2-0", "4-0")
    tell = Observer(client).after
    assert tell("XTRIM", "s", "MINID", "~", "6-0", "ACKED") == (
        ["0:s xtrim"],
        ["0:XTRIM s MAXLEN = 2 ACKED"],
    )
    assert ids(client) == [3, 5]
    assert client("XTRIM", "s", "ACKED", "MAXLEN", 0) == 0
    client("XACK", "s", "g", "3-0", "5-0")
    assert client("XTRIM", "s", "MAXLEN", 1, "ACKED") == 1
    assert ids(client) == [5]


def test_trim_stops_at_the_length(client: EngineClient) -> None:
    fill(client, 6)
    client("XACK", "s", "g", "2-0", "3-0", "5-0")
    assert client("XTRIM", "s", "MAXLEN", 4, "ACKED") == 2
    assert ids(client) == [1, 4, 5, 6]
    assert client("XTRIM", "s", "MINID", 5, "ACKED") == 0


def test_trim_with_references(client: EngineClient) -> None:
    fill(client, 4, node=2)
    tell = Observer(client).after
    assert tell("XTRIM", "s", "MINID", "~", 4, "DELREF")[1] == ["0:XTRIM s MINID = 3-0 DELREF"]
    assert ids(client) == [3, 4]
    assert client("XPENDING", "s", "g")[0] == 2
    assert client("XTRIM", "s", "MAXLEN", 0, "KEEPREF") == 2
    assert client("XPENDING", "s", "g")[0] == 2


def test_trim_without_groups(client: EngineClient) -> None:
    client("XADD", "s", "1-0", "f", "v")
    assert client("XTRIM", "s", "MAXLEN", 0, "ACKED") == 1


def test_add_and_trim(client: EngineClient) -> None:
    for number in range(1, 6):
        client("XADD", "s", f"{number}-0", "f", "v")
    client("XGROUP", "CREATE", "s", "g", 0)
    client("XADD", "s", "MAXLEN", "=", 1, "ACKED", "6-0", "f", "v")
    assert len(ids(client)) == 6, "all unread"
    client("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "s", ">")
    client("XACK", "s", "g", "1-0")
    tell = Observer(client).after
    assert tell("XADD", "s", "MAXLEN", "=", 1, "ACKED", "7-0", "f", "v")[1] == [
        "0:XADD s MAXLEN = 6 ACKED 7-0 f v"
    ]
    assert len(ids(client)) == 6
    client("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    client("XADD", "s", "DELREF", "MAXLEN", 1, "8-0", "f", "v")
    assert ids(client) == [8]
    assert client("XPENDING", "s", "g")[0] == 0
    assert client("XADD", "s", "ACKED", "DELREF", "*", "f", "v") == b"ERR syntax error"


@pytest.mark.parametrize("node", [1, 3, 100])
@pytest.mark.parametrize("whole_nodes", [False, True])
def test_trim_some_beside_trim(node: int, whole_nodes: bool) -> None:
    """Where everything may go it does what trimming does."""
    for length in range(12):
        for limit in (0, 3, 7):
            twins = Stream(), Stream()
            for stream in twins:
                for number in range(1, 11):
                    stream.append(number, (b"f", b"v"), node, 0)
                stream.delete(4)
            removed = twins[0].trim_some(lambda _: True, length, 99, whole_nodes, limit)
            assert len(removed) == twins[1].trim_to_length(length, whole_nodes, limit)
            assert list(twins[0]) == list(twins[1])
            removed = twins[0].trim_some(lambda _: True, 0, length, whole_nodes, limit)
            assert len(removed) == twins[1].trim_below(length, whole_nodes, limit)
            assert list(twins[0]) == list(twins[1])
            assert twins[0].length == len(list(twins[0]))
