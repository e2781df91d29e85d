"""Running a sequence on all servers and finding the first difference.

The leader runs first (see ``servers.py``). Then each follower gets the same bytes, and what
it answers is compared in two steps: if the bytes are equal nothing is parsed; if not, both
sides are parsed command by command, and ``undefined`` and ``differences`` are asked about
each reply. Inside EXEC's reply they are asked about each queued command.

Between clients order matters, so a follower has answered everything before the next client
sends. A client that waits is known from the leader; the follower must say so too (CLIENT
LIST). What a client is told without asking (messages, the end of a wait) is read when the
leader has it.

At the end of a sequence every client is unblocked and reset, which also shows if a server
has said more than it should; then keyspace events, statistics (hits, misses, changes,
expired keys), the commands for replicas (see ``propagation.py``) and the whole dataset are
compared.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from compat import differences, propagation, undefined
from compat.recipes import CLEANING, CLEANING_WIRE, DEFAULTS, inside, lasts
from compat.replies import is_error, is_message, parse_all
from compat.sequences import CLIENTS_MAX, Argv, Step, encode
from compat.servers import (
    ENOUGH,
    INFO,
    STATISTICS,
    Follower,
    Leader,
    Silence,
    Wire,
    read_statistics,
)

RESET: Final = [b"RESET"]
_END: Final = [b"PUBLISH", ENOUGH, b""]
_AFRESH: Final = [b"PUBLISH", b"__afresh", b""]  # a channel that nobody listens to
_SLEEP: Final = [b"DEBUG", b"SLEEP"]
_SCRIPT_AT: Final = re.compile(rb" script: [^ ,]+, on @user_\w+:\d+\.$")
_CONTENT: Final[dict[bytes, Argv]] = {
    b"string": [b"GET"],
    b"list": [b"LRANGE", b"0", b"-1"],
    b"set": [b"SMEMBERS"],
    b"hash": [b"HGETALL"],
    b"zset": [b"ZRANGE", b"0", b"-1", b"WITHSCORES"],
    b"stream": [b"XRANGE", b"-", b"+"],
}
SMALL: Final = {
    "hash-max-listpack-entries": "5",
    "hash-max-listpack-value": "20",
    "zset-max-listpack-entries": "5",
    "zset-max-listpack-value": "20",
    "set-max-intset-entries": "5",
    "list-max-listpack-size": "4",
}
NORMAL: Final = {
    "hash-max-listpack-entries": "128",
    "hash-max-listpack-value": "64",
    "zset-max-listpack-entries": "128",
    "zset-max-listpack-value": "64",
    "set-max-intset-entries": "512",
    "list-max-listpack-size": "-2",
}


@dataclass
class Difference(Exception):
    """Two servers disagree."""

    follower: str
    client: int
    argv: Argv
    expected: Any
    got: Any
    where: str = "reply"

    @property
    def signature(self) -> str:
        """What failures of the same cause probably share."""
        word = undefined.name(self.argv).decode("latin-1")
        return f"{self.where} {word}"


class _Over(Exception):
    """From here on an explained difference makes others."""


class Judge:
    """Compares one leader with one or two followers."""

    def __init__(self, seed: int, followers: list[Follower]) -> None:
        self.leader = Leader(seed)
        self.followers = followers
        self.waiting: list[Argv] = [[] for _ in range(CLIENTS_MAX)]  # what made a client wait
        self.waited = False  # some client of this sequence had to wait
        self.queues: list[list[Argv]] = [[] for _ in range(CLIENTS_MAX)]
        self.explained: Counter[str] = Counter()
        self.commands = 0
        self.checks = 0
        self.limits: dict[str, str] = {}
        self.streams = True

    def reconnect(self) -> None:
        """Fresh connections everywhere, after a difference left them in some state."""
        self.leader.connect()
        for follower in self.followers:
            follower.connect()
            self._skip_told(follower)

    @staticmethod
    def _skip_told(follower: Follower) -> None:
        """Pass over what replicas have been told so far."""
        follower.control.ask(*_AFRESH)
        if follower.stream is not None:
            follower.stream.until(_AFRESH)

    def run(self, steps: list[Step], small: bool, streams: bool = True) -> None:
        """Run one sequence from empty databases. Raises Difference, or Silence at the worst.

        ``streams``: what replicas are told is compared, too. Otherwise nobody listens to our
        engine, as nobody does to most servers.
        """
        self._clean(any(lasts(argv) for step in steps for argv in step.commands))
        self.leader.feed(streams)
        self.streams = streams
        before = self._prepare(SMALL if small else NORMAL)
        try:
            for client, group in groupby(steps, key=lambda step: step.client):
                self._turn(client, list(group))
            self._finish({step.client for step in steps})
            self._look(before, steps)
        except _Over:
            self.reconnect()
        if any(session.closing for session in self.leader.clients):
            self.reconnect()

    def _clean(self, unclean_after: bool) -> None:
        """Undo what earlier sequences left that FLUSHALL will not."""
        if self.leader.unclean:
            for argv in CLEANING:
                reply = self.leader.ask(argv)
            for user in parse_all(reply)[0]:
                self.leader.ask([b"ACL", b"DELUSER", user])
            self.leader.engine.config.set(list(DEFAULTS.items()))
            self.limits = {}
        for follower in self.followers:
            if follower.unclean:
                follower.control.send(CLEANING_WIRE)
                for _ in CLEANING:
                    users = follower.control.value()
                for user in users:
                    follower.control.ask(b"ACL", b"DELUSER", user)
                settings = [word.encode() for pair in DEFAULTS.items() for word in pair]
                follower.control.ask(b"CONFIG", b"SET", *settings)
                follower.limits = {}
                self._skip_told(follower)
            follower.unclean = unclean_after
        self.leader.unclean = unclean_after

    def _prepare(self, limits: dict[str, str]) -> list[list[int]]:
        """Set limits, empty the databases; returns the statistics from which to count."""
        for queue in self.queues:
            queue.clear()
        self.waited = False
        self.waiting = [[b"?"] for _ in self.waiting]
        self.leader.follow_time()
        settings = [*limits.items(), ("notify-keyspace-events", "KEAmn")]
        if limits is not self.limits:
            self.limits = limits
            self.leader.engine.config.set(settings)
        words = [word.encode() for pair in settings for word in pair]
        for follower in self.followers:
            if limits is not follower.limits:
                follower.limits = limits
                follower.control.ask(b"CONFIG", b"SET", *words)
        self.leader.ask([b"FLUSHALL"])
        before = [self.leader.statistics()]
        for follower in self.followers:
            follower.control.send(encode([b"FLUSHALL"]) + encode(INFO))
        for follower in self.followers:
            follower.control.value()
            before.append(read_statistics(follower.control.value()))
        return before

    # One client's turn

    def _turn(self, client: int, steps: list[Step]) -> None:
        leader = self.leader
        session = leader.clients[client]
        part: list[Argv] = []
        for step in steps:
            if session.blocked is not None or session.closing:
                return
            part += step.commands
            if part[-1][:2] == _SLEEP or "blocking" in _flags(leader, step.commands[0]):
                self._part(client, part)
                part = []
        if part and session.blocked is None and not session.closing:
            self._part(client, part)

    def _part(self, client: int, commands: list[Argv]) -> None:
        """Run commands of one client everywhere and compare the replies."""
        leader = self.leader
        now_ms = leader.clock.time_ms
        leader.follow_time()
        leader.clock.time_ms = max(leader.clock.time_ms, now_ms)
        session = leader.clients[client]
        chunks = leader.run(session, commands)
        commands = commands[: len(chunks)]
        self.commands += len(commands)
        blocked = session.blocked is not None
        if blocked:
            self.waited = True
            self.waiting[client] = commands[-1]
        others = [
            (number, other, chunk)
            for number, other in enumerate(leader.clients)
            if number != client and (chunk := leader.take(other))
        ]
        wire_bytes = b"".join(map(encode, commands))
        answer = b"".join(chunks)
        for follower in self.followers:
            wire = follower.clients[client]
            wire.send(wire_bytes)
            self._expect(follower, wire, client, commands, chunks, answer)
            if not chunks[-1] and not blocked:
                follower.turn()
            if blocked and not follower.await_blocked(wire):
                raise Difference(follower.name, client, commands[-1], "no wait", "wait")
            for number, _other, chunk in others:
                told = follower.clients[number]
                self._expect(follower, told, number, [self.waiting[number]], [chunk], chunk)
        self._follow_queue(client, commands, chunks)

    def _expect(
        self,
        follower: Follower,
        wire: Wire,
        client: int,
        commands: list[Argv],
        chunks: list[bytes],
        answer: bytes,
    ) -> None:
        """Read as much as the leader said and compare. Raises Difference."""
        try:
            if wire.match(answer):
                return
        except Silence:
            pass  # the slow way finds out which reply is missing
        queue = list(self.queues[client])
        for argv, chunk in zip(commands, chunks, strict=True):
            replies = parse_all(chunk)
            seen = []
            for got in replies:
                try:
                    seen.append(wire.value())
                except Silence as silence:
                    raise Difference(follower.name, client, argv, f"(no {silence})", got) from None
            if seen != replies and len(seen) > 1:
                if not follower.ours and is_message(seen[0]) and not is_message(replies[0]):
                    self.explained[differences.MESSAGES_LAST.title] += 1
                seen = undefined.settle(argv, seen)
                replies = undefined.settle(argv, replies)
            for expected, got in zip(seen, replies, strict=True):
                if expected != got:
                    self._compare(follower, client, argv, expected, got, queue)
            _queue(queue, argv, chunk)

    def _compare(
        self,
        follower: Follower,
        client: int,
        argv: Argv,
        expected: Any,
        got: Any,
        queue: list[Argv],
    ) -> None:
        if (
            argv[0].upper() == b"EXEC"
            and type(expected) is list
            and type(got) is list
            and len(expected) == len(got) == len(queue)
        ):
            for queued, one, other in zip(queue, expected, got, strict=True):
                self._judge(follower, client, queued, one, other)
            return
        self._judge(follower, client, argv, expected, got)

    def _judge(
        self,
        follower: Follower,
        client: int,
        argv: Argv,
        expected: Any,
        got: Any,
        where: str = "reply",
    ) -> None:
        if undefined.same(argv, expected, got):
            return
        row = None
        called, several = inside(argv)
        if several and type(expected) is type(got) is list and len(expected) == len(got):
            for each, one, other in zip(called, expected, got, strict=False):
                self._judge(follower, client, each, one, other, where)
            return
        if called and not several:
            one, other = (_without_script(called[0], each) for each in (expected, got))
            if undefined.same(called[0], one, other):
                return
            row = differences.explain(called[0], one, other, follower.version)
        row = row or differences.explain(argv, expected, got, follower.version)
        if follower.ours:
            row = None
        if row is None:
            raise Difference(follower.name, client, argv, expected, got, where)
        self.explained[row.title] += 1
        if row.ends:
            raise _Over

    def _follow_queue(self, client: int, commands: list[Argv], chunks: list[bytes]) -> None:
        queue = self.queues[client]
        for argv, chunk in zip(commands, chunks, strict=True):
            _queue(queue, argv, chunk)

    # The end of a sequence

    def _finish(self, clients: set[int]) -> None:
        """End waits and modes, so that everything said is seen."""
        leader = self.leader
        for number in clients:
            session = leader.clients[number]
            if session.closing:
                self._check_closed(number)
                continue
            if session.blocked is not None:
                self._unblock(number)
            chunk = leader.run(session, [RESET])[0]
            for follower in self.followers:
                wire = follower.clients[number]
                wire.send_argv(RESET)
                self._expect(follower, wire, number, [RESET], [chunk], chunk)

    def _check_closed(self, number: int) -> None:
        """A client that our engine threw out was so elsewhere."""
        for follower in self.followers:
            if not follower.clients[number].is_closed():
                argv = self.waiting[number]
                raise Difference(follower.name, number, argv, "open", "closed", "connection")

    def _unblock(self, number: int) -> None:
        leader = self.leader
        session = leader.clients[number]
        unblock = [b"CLIENT", b"UNBLOCK", b"%d" % session.id]
        chunk = leader.ask(unblock)
        answer = leader.take(session)
        for follower in self.followers:
            wire = follower.clients[number]
            follower.control.send_argv([*unblock[:2], b"%d" % wire.id])
            self._expect(follower, follower.control, number, [unblock], [chunk], chunk)
            self._expect(follower, wire, number, [self.waiting[number]], [answer], answer)

    def _look(self, before: list[list[int]], steps: list[Step]) -> None:
        """Compare keyspace events, statistics and all keys: type, encoding, time, content."""
        leader = self.leader
        statistics = leader.statistics()
        commands = self._dump()
        chunks = leader.run(leader.control, commands)
        self.checks += len(commands)
        leader.ask(_END)  # behind the look at the data, which lets keys expire
        events = leader.take(leader.listener)
        told = self._told() if self.streams else []
        data = b"".join(map(encode, [INFO, *commands, _END]))
        answer = b"".join(chunks)
        for follower in self.followers:
            follower.control.send(data)
        for follower, start in zip(self.followers, before[1:], strict=True):
            wire = follower.control
            info = read_statistics(wire.value())
            try:
                same = follower.listener.match(events)
            except Silence:
                same = False
            if not same:
                self._events(follower, parse_all(events))
            self._statistics(follower, start, info, before[0], statistics, steps)
            if not wire.match(answer):
                self._dataset(follower, commands, chunks, _words(steps))
            wire.value()  # how many heard of the end
            expected = follower.stream.until(_END) if follower.stream is not None else []
            if self.streams:
                self._stream(follower, expected, told, steps)

    def _told(self) -> list[propagation.Told]:
        """What our engine would have told replicas, without the mark at the end."""
        told = self.leader.tap.commands()
        assert told, "the mark was not propagated"
        assert told[-1].argv == _END, f"propagated behind the mark: {told[-1]}"
        return told[:-1]

    def _stream(
        self,
        follower: Follower,
        expected: list[propagation.Told],
        got: list[propagation.Told],
        steps: list[Step],
    ) -> None:
        """Compare what replicas are told."""
        allowed = _allowed(steps)
        found = propagation.difference(expected, got, allowed.at(follower.version))
        if found is None and len(expected) != len(got) and not follower.ours:
            row = differences.PLACES_TOLD if allowed.groups else differences.POPS_TOLD
            self.explained[row.title] += 1
        if found is not None:
            one, other = found
            argv = (other or one or got[0]).argv
            raise Difference(follower.name, 0, argv, str(one), str(other), "stream")

    def _events(self, follower: Follower, events: list[Any]) -> None:
        seen: list[Any] = []
        while not seen or seen[-1][2] != ENOUGH:
            seen.append(follower.listener.value())
        expected = [_event(message) for message in seen]
        got = [_event(message) for message in events]
        if self.waited and follower.version < differences.SERVED_CHANGES.before:
            expected, got = ([e for e in each if b"keymiss" not in e] for each in (expected, got))
        if undefined.same_events(expected, got):
            return
        for one, other in zip(expected, got, strict=False):
            if one != other:
                raise Difference(follower.name, 0, [_kind(other)], one, other, "event")

    def _statistics(
        self,
        follower: Follower,
        expected_from: list[int],
        expected_to: list[int],
        got_from: list[int],
        got_to: list[int],
        steps: list[Step],
    ) -> None:
        words = _words(steps)
        hits = all(undefined.hits_counted(argv) for step in steps for argv in step.commands)
        counts = zip(STATISTICS, expected_from, expected_to, got_from, got_to, strict=True)
        for name, start, end, our_start, our_end in counts:
            expected, got = end - start, our_end - our_start
            old = follower.version < differences.SERVED_CHANGES.before
            if old and name.startswith("rdb_changes") and b"XREADGROUP" in words:
                continue  # 7.0 counts reading the own pending entries as a change
            if expected < got and self.waited and old and name != "expired_keys":
                self.explained[differences.SERVED_CHANGES.title] += 1
            elif expected != got and (hits or "hits" not in name):
                raise Difference(follower.name, 0, [name.encode()], expected, got, "statistics")

    def _dump(self) -> list[Argv]:
        """Commands that show all data of the leader."""
        commands: list[Argv] = []
        for db in self.leader.engine.ks.dbs:
            if db.data or db.index == 0:
                commands += [[b"SELECT", b"%d" % db.index], [b"DBSIZE"]]
            for key, value in db.data.items():
                kind = b"string" if isinstance(value, (bytes, bytearray, int)) else value.type_name
                content = _CONTENT[kind]
                commands += [
                    [b"TYPE", key],
                    [b"OBJECT", b"ENCODING", key],
                    [b"PEXPIRETIME", key],
                    [content[0], key, *content[1:]],
                ]
        commands.append([b"SELECT", b"0"])
        return commands

    def _dataset(
        self, follower: Follower, commands: list[Argv], chunks: list[bytes], words: set[bytes]
    ) -> None:
        """Read the follower's answers to ``_dump`` and compare them one by one."""
        encoding = None
        for argv, chunk in zip(commands, chunks, strict=True):
            got, expected = parse_all(chunk)[0], follower.control.value()
            word = argv[0]
            if word == b"OBJECT":
                encoding = expected
            if expected != got:
                if word in (b"HGETALL", b"SMEMBERS") and undefined.exact(encoding or b"", words):
                    raise Difference(follower.name, 0, argv, expected, got, "dataset")
                self._judge(follower, 0, argv, expected, got, "dataset")


def _words(steps: list[Step]) -> set[bytes]:
    """The commands of a sequence, and what its scripts call."""
    sent = [argv for step in steps for argv in step.commands]
    called = [each for argv in sent for each in inside(argv)[0]]
    return {argv[0].upper() for argv in sent + called if argv}


def _allowed(steps: list[Step]) -> propagation.Allowed:
    words = _words(steps)
    pops = b"SPOP" in words
    lazily = pops or not words.isdisjoint((b"RESTORE", b"RESTORE-ASKING", b"GETDEL"))
    return propagation.Allowed(pops, lazily, b"XREADGROUP" in words)


def _without_script(argv: Argv, reply: Any) -> Any:
    """An error without the name of the script that it came through; maps as Lua leaves them."""
    if not is_error(reply):
        return undefined.unordered_maps(argv, reply)
    return "-", _SCRIPT_AT.sub(b"", reply[1])


def _queue(queue: list[Argv], argv: Argv, chunk: bytes) -> None:
    """Follow what EXEC would run."""
    if chunk == b"+QUEUED\r\n":
        queue.append(argv)
    elif queue and argv[0].upper() in (b"EXEC", b"DISCARD", b"RESET"):
        queue.clear()


def _event(message: Any) -> bytes:
    """``event key`` or ``key event`` and the database of a message."""
    if message[:1] != [b"pmessage"]:
        return repr(message).encode()
    return b"%b %b" % (message[2], message[3])


def _kind(event: bytes) -> bytes:
    """The event alone, without database and key."""
    head, _, tail = event.partition(b" ")
    return tail if head.startswith(b"__keyspace") else head.partition(b"__:")[2]


def _flags(leader: Leader, argv: Argv) -> frozenset[str]:
    if not argv:
        return frozenset()
    entry = leader.engine.table.find(argv)
    return entry.spec.flags if entry is not None else frozenset()
