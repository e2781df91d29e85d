"""Clients that wait: who is served, when, in which order, and what others see of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pyredis.resp import Error, encode_command
from tests.support import (
    EngineClient,
    Listener,
    NullArray,
    RealRedis,
    ReplyError,
    Status,
    new_client,
)

WRONGTYPE = ReplyError(b"WRONGTYPE Operation against a key holding the wrong kind of value")


class Stage:
    """Several clients on a real server and as many on ours; all see the same."""

    def __init__(self, real: RealRedis, count: int) -> None:
        self.real = [real.client() for _ in range(count)]
        self.real[0]("FLUSHALL")
        first = new_client()
        self.ours = [first, *(first.another() for _ in range(count - 1))]

    def waits(self, who: int, *args: Any) -> None:
        """A client sends a command that has to block."""
        number = self.real[who]("CLIENT", "ID")
        self.real[who].send(*args)
        while b"flags=b" not in self.real[0]("CLIENT", "LIST", "ID", number):
            pass
        self.ours[who].send(*args)
        assert self.ours[who].replies() == []

    def does(self, who: int, *args: Any) -> Any:
        """A client runs a command; the replies are equal."""
        expected, got = self.real[who](*args), self.ours[who](*args)
        assert got == expected, f"{args!r}: redis {expected!r}, ours {got!r}"
        return got

    def acts(self, *args: Any) -> Any:
        """Client 0 runs a command."""
        return self.does(0, *args)

    def gets(self, who: int) -> Any:
        """What a client that waited now receives on both servers."""
        expected = self.real[who].read()
        got = self.ours[who].replies()
        assert got == [expected]
        assert type(got[0]) is type(expected)
        return expected

    def still_waits(self, who: int) -> None:
        """A client has got nothing, here and there; ends its wait."""
        assert self.ours[who].replies() == []
        assert self.ours[who].session.blocked is not None
        flags = self.real[0]("CLIENT", "LIST", "TYPE", "normal")
        port = self.real[who].socket.getsockname()[1]
        (line,) = [line for line in flags.splitlines() if b":%d laddr" % port in line]
        assert b"flags=b" in line

    def close(self) -> None:
        for real in self.real:
            real.close()
        for client in self.ours:
            client.engine.waiters._check()
            client.engine.disconnect(client.session)
        waiters = self.ours[0].engine.waiters
        assert not waiters.blocked
        assert waiters.key_count == 0
        self.ours[0].engine.ks._check()


@pytest.fixture
def stage(real_redis: RealRedis) -> Iterator[Stage]:
    """Client 0 acts, 1, 2 and 3 wait."""
    stage = Stage(real_redis, 4)
    yield stage
    stage.close()


def transaction(client: Callable[..., Any], *commands: str) -> Any:
    """Run commands in MULTI and EXEC; returns the reply of EXEC."""
    client("MULTI")
    for command in commands:
        client(*command.split())
    return client("EXEC")


# Who is served


def test_first_come_first_served(stage: Stage) -> None:
    for who in (1, 2, 3):
        stage.waits(who, "BLPOP", "l", 0)
    stage.does(0, "RPUSH", "l", "a", "b")
    assert stage.gets(1) == [b"l", b"a"]
    assert stage.gets(2) == [b"l", b"b"]
    stage.still_waits(3)
    assert stage.does(0, "EXISTS", "l") == 0
    stage.does(0, "LPUSH", "l", "c")
    stage.gets(3)


def test_a_served_client_leaves_all_its_queues(stage: Stage) -> None:
    stage.waits(1, "BLPOP", "k1", "k2", 0)
    stage.waits(2, "BRPOP", "k2", "k1", 0)
    stage.does(0, "RPUSH", "k2", "a", "b")
    assert stage.gets(1) == [b"k2", b"a"]
    assert stage.gets(2) == [b"k2", b"b"]
    stage.does(0, "RPUSH", "k1", "c")
    assert stage.does(0, "LLEN", "k1") == 1


def test_the_same_key_named_twice(stage: Stage) -> None:
    stage.waits(1, "BLPOP", "k", "k", 0)
    stage.does(0, "RPUSH", "k", "a", "b")
    stage.gets(1)
    assert stage.does(0, "LRANGE", "k", 0, -1) == [b"b"]


def test_all_elements_of_a_push_count_before_anybody_is_served(stage: Stage) -> None:
    stage.waits(1, "BLPOP", "l", 0)
    assert stage.does(0, "LPUSH", "l", "a", "b", "c") == 3
    assert stage.gets(1) == [b"l", b"c"]


def test_multi_pop(stage: Stage) -> None:
    stage.waits(1, "BLMPOP", 0, 2, "no", "l", "RIGHT", "COUNT", 2)
    stage.waits(2, "BLMPOP", 0, 1, "l", "LEFT", "COUNT", 9)
    stage.does(0, "RPUSH", "l", *"abcd")
    assert stage.gets(1) == [b"l", [b"d", b"c"]]
    assert stage.gets(2) == [b"l", [b"a", b"b"]]


def test_other_types_do_not_wake(stage: Stage) -> None:
    stage.waits(1, "BLPOP", "k", 0)
    stage.does(0, "SET", "k", 1)
    stage.still_waits(1)
    stage.does(0, "DEL", "k")
    stage.does(0, "SADD", "k", 1)
    stage.does(0, "DEL", "k")
    stage.still_waits(1)
    stage.does(0, "RPUSH", "k", 1)
    stage.gets(1)


def test_waiters_for_another_type_are_passed_by(stage: Stage) -> None:
    stage.waits(1, "BZPOPMIN", "k", 0)
    stage.waits(2, "BLPOP", "k", 0)
    stage.does(0, "RPUSH", "k", 1)
    stage.gets(2)
    stage.still_waits(1)
    stage.does(0, "ZADD", "k", 1, "m")
    stage.gets(1)


def test_a_key_of_another_type_is_an_error_only_when_the_command_runs(stage: Stage) -> None:
    stage.waits(1, "BLPOP", "k1", "k2", 0)
    stage.does(0, "SET", "k1", 1)
    stage.still_waits(1)


def test_move_to_a_key_of_another_type_fails_late_and_takes_nothing(stage: Stage) -> None:
    stage.does(0, "SET", "s", 1)
    stage.waits(1, "BLMOVE", "l", "s", "LEFT", "LEFT", 0)
    stage.waits(2, "BLPOP", "l", 0)
    stage.does(0, "RPUSH", "l", "a")
    assert stage.gets(1) == WRONGTYPE
    assert stage.gets(2) == [b"l", b"a"]


# Chains


def test_a_move_wakes_the_next(stage: Stage) -> None:
    stage.waits(1, "BLMOVE", "k2", "k3", "LEFT", "RIGHT", 0)
    stage.waits(2, "BLPOP", "k3", 0)
    stage.waits(3, "BRPOPLPUSH", "k1", "k2", 0)
    assert stage.does(0, "RPUSH", "k1", "a") == 1
    assert stage.gets(3) == b"a"
    assert stage.gets(1) == b"a"
    assert stage.gets(2) == [b"k3", b"a"]


def test_a_move_in_a_circle_ends(stage: Stage) -> None:
    stage.waits(1, "BRPOPLPUSH", "k1", "k2", 0)
    stage.waits(2, "BRPOPLPUSH", "k2", "k1", 0)
    stage.does(0, "RPUSH", "k1", "a")
    stage.gets(1)
    stage.gets(2)
    assert stage.does(0, "LRANGE", "k1", 0, -1) == [b"a"]


def test_a_move_onto_itself(stage: Stage) -> None:
    stage.waits(1, "BLMOVE", "l", "l", "LEFT", "RIGHT", 0)
    stage.does(0, "RPUSH", "l", "a", "b")
    assert stage.gets(1) == b"a"
    assert stage.does(0, "LRANGE", "l", 0, -1) == [b"b", b"a"]


# What makes a key ready


@pytest.mark.parametrize(
    "command",
    [
        "RENAME src k", "RENAMENX src k", "COPY src k", "LMOVE src k LEFT LEFT",
        "RPOPLPUSH src k", "SORT src ALPHA STORE k", "LINSERT k BEFORE a b", "LPUSHX k a",
    ],
)  # fmt: skip
def test_keys_made_in_other_ways(stage: Stage, command: str) -> None:
    stage.does(0, "RPUSH", "src", "b", "a")
    stage.waits(1, "BLPOP", "k", 0)
    stage.does(0, *command.split())
    if command.startswith(("LINSERT", "LPUSHX")):
        stage.still_waits(1)
    else:
        stage.gets(1)


def test_a_key_put_in_the_place_of_another_type(stage: Stage) -> None:
    for command in ("RENAME src k", "COPY src k REPLACE"):
        stage.does(0, "RPUSH", "src", "b", "a")
        stage.waits(1, "BLPOP", "k", 0)
        stage.does(0, "SET", "k", 1)
        stage.does(0, *command.split())
        stage.gets(1)
        stage.does(0, "DEL", "k")


def test_keys_that_come_from_another_database(stage: Stage) -> None:
    stage.does(0, "SELECT", 9)
    stage.does(0, "RPUSH", "k", "a", "b")
    stage.waits(1, "BLPOP", "k", 0)
    stage.waits(2, "BLPOP", "k", 0)
    stage.does(0, "MOVE", "k", 0)
    stage.gets(1)
    stage.gets(2)
    stage.waits(3, "BLPOP", "j", 0)
    stage.does(0, "RPUSH", "j", "c")
    stage.still_waits(3)
    stage.does(0, "SWAPDB", 0, 9)
    stage.gets(3)


def test_a_restored_key(stage: Stage) -> None:
    stage.waits(1, "BLPOP", "k", 0)
    stage.real[0]("RPUSH", "src", "a", "b")
    dump = stage.real[0]("DUMP", "src")
    if stage.ours[0].engine.table.find([b"RESTORE"]) is None:
        pytest.skip("no RESTORE yet")
    stage.does(0, "RESTORE", "k", 0, dump)
    stage.gets(1)


# Units


def test_a_transaction_is_over_before_anybody_is_served(stage: Stage) -> None:
    stage.waits(1, "BLPOP", "l", 0)
    replies = transaction(stage.acts, "LPUSH l a", "LPUSH l b", "LRANGE l 0 -1")
    assert replies == [1, 2, [b"b", b"a"]]
    assert stage.gets(1) == [b"l", b"b"]


def test_what_a_transaction_takes_back_wakes_nobody(stage: Stage) -> None:
    stage.waits(1, "BLPOP", "l", 0)
    transaction(stage.acts, "LPUSH l a", "DEL l")
    stage.still_waits(1)
    transaction(stage.acts, "LPUSH l a", "DEL l", "SET l 1")
    stage.still_waits(1)
    transaction(stage.acts, "DEL l", "LPUSH l b")
    assert stage.gets(1) == [b"l", b"b"]


def test_the_order_in_which_the_waiter_named_its_keys_decides(client: EngineClient) -> None:
    """New in 7.2, where the whole command runs again."""
    waiter, mover = client.another(), client.another()
    waiter.send("BLPOP", "k1", "k2", 0)
    transaction(client, "LPUSH k2 b", "LPUSH k1 a")
    assert waiter.replies() == [[b"k1", b"a"]]
    client("LPOP", "k2")
    mover.send("BLMOVE", "k2", "k1", "LEFT", "LEFT", 0)
    waiter.send("BLPOP", "k1", "k2", 0)
    client("RPUSH", "k2", "a", "b")
    assert mover.replies() == [b"a"]
    assert waiter.replies() == [[b"k1", b"a"]]


def test_inside_a_transaction_nobody_waits(stage: Stage) -> None:
    replies = transaction(
        stage.acts, "BLPOP l 0", "BRPOP l 1", "BLMOVE l m LEFT LEFT 0", "BRPOPLPUSH l m 0",
        "BLMPOP 0 1 l LEFT", "BLPOP l x", "RPUSH l a b", "BLPOP l 0", "BLMOVE l m LEFT LEFT 0",
    )  # fmt: skip
    assert replies[:5] == [NullArray(), NullArray(), None, None, NullArray()]


def test_waiting_and_watching(stage: Stage) -> None:
    stage.does(1, "WATCH", "l")
    stage.does(1, "WATCH", "m")
    stage.waits(2, "BLMOVE", "l", "m", "LEFT", "LEFT", 0)
    stage.does(0, "RPUSH", "l", "a")
    stage.gets(2)
    stage.does(1, "MULTI")
    stage.does(1, "PING")
    assert stage.does(1, "EXEC") == NullArray()


# Input of a client that waits


def test_pipelined_commands_run_after_the_wait(client: EngineClient) -> None:
    waiter = client.another()
    wire = b"".join(
        encode_command(command.split())
        for command in (b"BLPOP l 0", b"LLEN l", b"BLPOP l 0", b"PING")
    )
    for cut in (len(wire), 30, 5):
        first, rest = wire[:cut], wire[cut:]
        assert waiter.raw(first) == b""
        assert waiter.raw(rest) == b""
        client("RPUSH", "l", "a")
        assert waiter.replies() == [[b"l", b"a"], 0]
        client("RPUSH", "l", "b")
        assert waiter.replies() == [[b"l", b"b"], Status(b"PONG")]


def test_pipelined_pushes_serve_one_by_one(client: EngineClient) -> None:
    one, two = client.another(), client.another()
    one.send("BLPOP", "l", 0)
    two.send("BLPOP", "l", 0)
    push = b"*3\r\n$5\r\nLPUSH\r\n$1\r\nl\r\n$1\r\n%d\r\n"
    assert client.raw(push % 1 + push % 2) == b":1\r\n:1\r\n"
    assert one.replies() == [[b"l", b"1"]]
    assert two.replies() == [[b"l", b"2"]]


def test_one_that_has_gone_takes_nothing(client: EngineClient) -> None:
    one, two = client.another(), client.another()
    one.send("BLPOP", "l", "m", 5)
    two.send("BLPOP", "l", 5)
    client.engine.disconnect(one.session)
    client.engine.waiters._check()
    client("RPUSH", "l", "a")
    assert two.replies() == [[b"l", b"a"]]
    assert client.engine.deadline_ms() is None


def test_one_that_is_being_closed_takes_nothing(client: EngineClient) -> None:
    waiter = client.another()
    waiter.send("BLPOP", "l", 0)
    client.engine.close(waiter.session, "now")
    client("RPUSH", "l", "a")
    assert client("LLEN", "l") == 1


# Time


def test_timeouts(client: EngineClient) -> None:
    for command in (
        "BLPOP l 0.1", "BRPOP l m 0.1", "BLMPOP 0.1 1 l LEFT", "BLMOVE l m LEFT LEFT 0.1",
        "BRPOPLPUSH l m 0.1",
    ):  # fmt: skip
        client.send(*command.split())
        client.tick(99)
        assert client.replies() == []
        assert client.engine.deadline_ms() == client.clock.now_ms() + 1
        client.tick(1)
        assert client.replies() == [NullArray()]
        client.session.resp3 = True
        client.send(*command.split())
        client.tick(100)
        assert client.take() == b"_\r\n"
        client.session.resp3 = False
    client.engine.waiters._check()


def test_the_real_timeout_replies(stage: Stage) -> None:
    for command in (
        "BLPOP l 0.001", "BLMPOP 0.001 1 l LEFT", "BLMOVE l m LEFT LEFT 0.001",
        "BRPOPLPUSH l m 0.001",
    ):  # fmt: skip
        stage.real[1].send(*command.split())
        stage.ours[1].send(*command.split())
        stage.ours[1].tick(10)
        stage.gets(1)


def test_deadlines_come_in_their_order(client: EngineClient) -> None:
    waiters = [client.another() for _ in range(5)]
    for waiter, timeout_s in zip(waiters, (5, 3, 0, 4, 3), strict=True):
        waiter.send("BLPOP", "l", timeout_s)
    client.tick(3000)
    assert [len(waiter.replies()) for waiter in waiters] == [0, 1, 0, 0, 1]
    client("RPUSH", "l", "a")
    assert [len(waiter.replies()) for waiter in waiters] == [1, 0, 0, 0, 0]
    client.tick(3_600_000)
    assert [len(waiter.replies()) for waiter in waiters] == [0, 0, 0, 1, 0]


def test_equal_deadlines_of_one_client(client: EngineClient) -> None:
    waiter = client.another()
    for key in ("a", "b", "c"):
        waiter.send("BLPOP", key, 5)
        client("RPUSH", key, 1)
    waiter.send("BLPOP", "d", 5)
    assert len(waiter.replies()) == 3
    client.tick(5000)
    assert waiter.replies() == [NullArray()]


def test_deadlines_that_are_not_met_do_not_pile_up(client: EngineClient) -> None:
    waiter = client.another()
    for _ in range(500):
        waiter.send("BLPOP", "l", 3600)
        client("RPUSH", "l", "a")
    assert len(client.engine.waiters._heap) < 140
    client.engine.waiters._check()


def test_an_expired_key_serves_nobody(client: EngineClient) -> None:
    waiter = client.another()
    waiter.send("BLPOP", "l", 0)
    transaction(client, "RPUSH l a", "PEXPIREAT l 1")
    assert waiter.replies() == []


# What others see


def test_propagation_and_events(client: EngineClient) -> None:
    units: list[list[str]] = []
    engine = client.engine
    engine.feeds.append(
        Listener(lambda commands: units.append([b" ".join(argv).decode() for _, argv in commands]))
    )
    engine.observe()
    waiters = [client.another() for _ in range(4)]
    waiters[0].send("BLMOVE", "k1", "k2", "left", "RIGHT", 0)
    waiters[1].send("BLMPOP", 0, 1, "k2", "RIGHT", "COUNT", 5)
    waiters[2].send("BRPOP", "k1", 0)
    waiters[3].send("BRPOPLPUSH", "k1", "k3", 0)
    client("RPUSH", "k1", "a", "b", "c")
    assert units == [
        ["RPUSH k1 a b c"], ["LMOVE k1 k2 left RIGHT"], ["RPOP k1"], ["RPOPLPUSH k1 k3"],
        ["RPOP k2 1"],
    ]  # fmt: skip
    units.clear()
    waiters[0].send("BLPOP", "l", 1)
    client.tick(1000)
    assert units == []
    waiters[0].replies()
    waiters[0].send("BLPOP", "l", 0)
    transaction(client, "RPUSH l a", "SET x 1")
    assert units == [["MULTI", "RPUSH l a", "SET x 1", "EXEC"], ["LPOP l"]]


def test_an_expired_key_is_told_before_the_wait(client: EngineClient) -> None:
    units: list[Any] = []
    client("RPUSH", "l", "a")
    client("PEXPIRE", "l", 10)
    client.engine.feeds.append(Listener(units.append))
    client.engine.observe()
    client.clock.advance(11)
    client.send("BLPOP", "l", 0)
    assert units == [[(0, (b"DEL", b"l"))]]


def test_a_command_that_waits_counts_once(client: EngineClient) -> None:
    waiter = client.another()
    entry = client.engine.table.entries["BLPOP"]
    waiter.send("BLPOP", "l", 0)
    assert entry.calls == 0
    client("RPUSH", "l", "a")
    assert entry.calls == 1
    waiter.send("BLPOP", "l", 1)
    client.tick(1000)
    assert entry.calls == 2
    assert entry.failed == 0


def test_unblocking_from_outside(stage: Stage) -> None:
    for reason, reply in (
        ("TIMEOUT", NullArray()),
        ("ERROR", b"UNBLOCKED client unblocked via CLIENT UNBLOCK"),
    ):
        stage.waits(1, "BLPOP", "l", 0)
        real_id = stage.real[0]("CLIENT", "LIST", "TYPE", "normal")
        port = stage.real[1].socket.getsockname()[1]
        (line,) = [line for line in real_id.splitlines() if b":%d laddr" % port in line]
        number = line.split()[0].removeprefix(b"id=")
        assert stage.real[0]("CLIENT", "UNBLOCK", number, reason) == 1
        ours = stage.ours[1].session.id
        assert stage.ours[0]("CLIENT", "UNBLOCK", ours, reason) == 1
        assert stage.gets(1) == reply
        assert stage.ours[0]("CLIENT", "UNBLOCK", ours, reason) == 0


def test_own_messages_keep_their_order() -> None:
    """Key events of a push and of the pops it causes reach the pusher in that order."""
    client = new_client(notify_keyspace_events="El")
    client.send("HELLO", 3)
    client.send("PSUBSCRIBE", "*")
    client.replies()
    waiter = client.another()
    waiter.send("BLPOP", "l", 0)
    client.send("RPUSH", "l", "a", "b")
    reply, *messages = client.replies()
    assert reply == 2
    assert [message[2] for message in messages] == [
        b"__keyevent@0__:rpush", b"__keyevent@0__:lpop"
    ]  # fmt: skip


def test_a_pause_that_began_meanwhile_holds_the_command(client: EngineClient) -> None:
    waiter = client.another()
    waiter.send("BLPOP", "l", 0)
    transaction(client, "RPUSH l a", "CLIENT PAUSE 1000")
    assert waiter.replies() == []
    assert all(session.postponed for session in client.engine.waiters.blocked)
    client.tick(1000)
    assert waiter.replies() == [[b"l", b"a"]]
    client.engine.waiters._check()


def test_rights_are_checked_again(client: EngineClient) -> None:
    waiter = client.another()
    waiter.send("BLPOP", "l", 0)
    waiter.session.gates = (lambda *_: Error("NOPERM no more"),)
    client("RPUSH", "l", "a")
    assert waiter.replies() == [ReplyError(b"NOPERM no more")]
    assert client("LLEN", "l") == 1


def test_random_traffic_loses_and_doubles_nothing() -> None:
    rng = random.Random(11)
    client = new_client()
    workers = [client.another() for _ in range(6)]
    keys = ["k1", "k2", "k3"]
    pushed, popped = 0, 0
    for _ in range(800):
        worker = rng.choice(workers)
        if worker.session.blocked is None and rng.random() < 0.6:
            key, other = rng.sample(keys, 2)
            worker.send(*rng.choice((
                ["BLPOP", key, other, 1], ["BRPOP", key, 2], ["BLMPOP", 3, 1, key, "LEFT"],
                ["BLMOVE", key, other, "LEFT", "RIGHT", 1],
            )))  # fmt: skip
        elif rng.random() < 0.7:
            count = rng.randint(1, 3)
            client("RPUSH", rng.choice(keys), *range(pushed, pushed + count))
            pushed += count
        else:
            client.tick(rng.randint(0, 700))
        for worker in workers:
            popped += sum(isinstance(reply, list) for reply in worker.replies())
        client.engine.waiters._check()
        client.engine.ks._check()
    assert popped + sum(client("LLEN", key) for key in keys) == pushed
    assert popped > 100


def test_a_key_born_past_its_time_wakes_nobody_and_stays_for_now() -> None:
    client = new_client(notify_keyspace_events="KEA")
    waiter, listener = client.another(), client.another()
    listener("PSUBSCRIBE", "__keyevent*")
    waiter.send("BRPOPLPUSH", "l", "other", 1)
    client("SET", "l", 1, "EXAT", 1)
    assert not any(b"expired" in message[2] for message in listener.replies())
    assert waiter.replies() == []
