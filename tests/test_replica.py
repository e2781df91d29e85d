"""The replica's end of the link, against primaries of paper: transcripts, cuts, silence, clocks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyredis.machine import (
    Close,
    Connect,
    Connected,
    Hold,
    Lost,
    Received,
    Resume,
    Send,
    Tick,
)
from pyredis.replication.effects import (
    Continue,
    Failed,
    FailoverRefused,
    FullSync,
    Log,
    Outcome,
    SnapshotData,
    SnapshotEnd,
    SnapshotStart,
    Stream,
)
from pyredis.replication.replica import HANDSHAKE, TRANSITIONS, Replica, State
from pyredis.resp import RequestReader
from pyredis.session import Address

REPLID = "a" * 39 + "1"
OTHER = "b" * 39 + "2"
START_MS = 1_000_000
PING = ("PING",)
CAPA = ("REPLCONF", "capa", "eof", "capa", "psync2")
PORT = ("REPLCONF", "listening-port", "6380")
FRESH = ("PSYNC", "?", "-1")


@dataclass
class Facts:
    """A server as the machine sees it."""

    masteruser: str = ""
    masterauth: str = ""
    replica_announce_ip: str = ""
    replica_announce_port: int = 0
    port: int = 6380
    repl_timeout: int = 60
    loads_directly: bool = False
    request: tuple[str, int] = ("?", -1)
    offset: int = 0
    fsynced: int | None = None

    def psync_request(self) -> tuple[str, int]:
        return self.request

    def ack_offset(self) -> int:
        return self.offset

    def fsynced_offset(self) -> int | None:
        return self.fsynced


class Story:
    """A machine with a clock set by hand, and what has come out of it since the last look."""

    def __init__(self, **facts: object) -> None:
        self.facts = Facts(**facts)  # type: ignore[arg-type]
        self.machine = Replica(self.facts)
        self.now_ms = START_MS
        self.link = 0
        self.held = False  # nothing is read from the link
        self.logs: list[str] = []
        self.loads = True  # whether snapshots are put in place as soon as they are there
        self.out: list[object] = []

    def follow(self, failover: bool = False) -> Story:
        self.take(self.machine.follow(self.now_ms, "primary", 6379, failover))
        return self

    def open(self) -> Story:
        self.follow()
        self.take(self.machine.step(self.now_ms, Connected(self.link)))
        self.look()
        return self

    def hear(self, *pieces: bytes) -> list[object]:
        """The primary says something; returns what that leads to."""
        for piece in pieces:
            self.take(self.machine.step(self.now_ms, Received(self.link, piece)))
        return self.look()

    def lose(self, reason: str = "reset") -> list[object]:
        self.take(self.machine.step(self.now_ms, Lost(self.link, reason)))
        return self.look()

    def wait(self, duration_ms: int) -> list[object]:
        """Time passes; ticks come when they are wanted, as from a driver."""
        end_ms = self.now_ms + duration_ms
        while (due_ms := self.machine.deadline()) is not None and due_ms <= end_ms:
            self.now_ms = max(self.now_ms, due_ms)
            self.take(self.machine.step(self.now_ms, Tick()))
        self.now_ms = end_ms
        return self.look()

    def look(self) -> list[object]:
        out, self.out = self.out, []
        return out

    def take(self, outcomes: list[Outcome]) -> None:
        """What is sent becomes a tuple of words; pieces of snapshots and streams are joined."""
        for each in outcomes:
            if isinstance(each, Log):
                self.logs.append(each.text)
            elif isinstance(each, Send):
                assert each.link == self.link
                reader = RequestReader()
                reader.receive(each.data)
                while argv := reader.next(1 << 20, True):
                    self.out.append(tuple(word.decode() for word in argv))
                if each.data == b"\n":
                    self.out.append("newline")
            elif (
                isinstance(each, SnapshotData | Stream)
                and self.out
                and (type(last := self.out[-1]) is type(each))
            ):
                assert isinstance(last, SnapshotData | Stream)
                self.out[-1] = type(each)(last.data + each.data)
            elif isinstance(each, Hold | Resume):
                assert each.link == self.link
                assert self.held != isinstance(each, Hold)
                self.held = isinstance(each, Hold)
            else:
                self.out.append(each)
                if isinstance(each, Connect):
                    self.held = False
                    self.link = each.link
                if isinstance(each, SnapshotEnd) and self.loads:
                    self.take(self.machine.loaded(self.now_ms, True))

    def to_psync(self) -> Story:
        self.open()
        self.hear(b"+PONG\r\n+OK\r\n+OK\r\n")
        return self

    def to_stream(self, offset: int = 10) -> Story:
        self.facts.request = (REPLID, offset + 1)
        self.facts.offset = offset
        self.to_psync()
        self.hear(b"+CONTINUE\r\n")
        return self

    def to_transfer(self) -> Story:
        self.to_psync()
        self.hear(f"+FULLRESYNC {REPLID} 7\r\n$5\r\nab".encode())
        return self


# Handshakes


def test_a_full_sync_word_by_word() -> None:
    story = Story()
    assert story.follow().look() == [Connect(1, "primary", 6379)]
    story.take(story.machine.step(START_MS, Connected(1, Address("primary:6379", "10.0.0.1:5"))))
    assert story.look() == [PING]
    assert story.hear(b"+PONG\r\n") == [PORT, CAPA]
    assert story.hear(b"+OK\r\n") == []
    assert story.hear(b"+OK\r\n") == [FRESH]
    assert story.hear(f"+FULLRESYNC {REPLID} 7\r\n".encode()) == [FullSync(REPLID, 7)]
    assert story.machine.syncing
    assert story.hear(b"\n", b"\n") == []
    assert story.hear(b"$5\r\nab") == [SnapshotStart(5), SnapshotData(b"ab")]
    story.facts.offset = 7
    assert story.hear(b"cdePING\r\n") == [
        SnapshotData(b"cde"),
        SnapshotEnd(),
        ("REPLCONF", "ACK", "7"),
        Stream(b"PING\r\n"),
    ]
    assert story.machine.link_up
    assert story.hear(b"more") == [Stream(b"more")]
    assert story.logs == [
        "Connecting to MASTER primary:6379",
        "MASTER <-> REPLICA sync started",
        "Non blocking connect for SYNC fired the event.",
        "Master replied to PING, replication can continue...",
        "Partial resynchronization not possible (no cached master)",
        f"Full resync from master: {REPLID}:7",
        "MASTER <-> REPLICA sync: receiving 5 bytes from master to disk",
        "MASTER <-> REPLICA sync: Finished with success",
    ]


def test_a_snapshot_without_a_length() -> None:
    story = Story(loads_directly=True).to_psync()
    mark = b"m" * 40
    assert story.hear(
        f"+FULLRESYNC {REPLID} 7\r\n".encode(), b"$EOF:%b\r\nab%b" % (mark, mark)
    ) == [
        FullSync(REPLID, 7),
        SnapshotStart(-1),
        SnapshotData(b"ab"),
        SnapshotEnd(),
        ("REPLCONF", "ACK", "0"),
    ]
    assert (
        "MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to parser"
        in story.logs
    )


def test_a_partial_sync() -> None:
    story = Story(request=(REPLID, 11)).open()
    assert story.hear(b"+PONG\r\n+OK\r\n+OK\r\n")[-1] == ("PSYNC", REPLID, "11")
    assert f"Trying a partial resynchronization (request {REPLID}:11)." in story.logs
    assert story.hear(f"+CONTINUE {OTHER}\r\nSTREAM".encode()) == [
        Continue(OTHER),
        Stream(b"STREAM"),
    ]
    assert story.machine.link_up


@pytest.mark.parametrize("word", [b"+CONTINUE\r\n", b"+CONTINUE short\r\n"])
def test_a_primary_that_does_not_name_the_history(word: bytes) -> None:
    assert Story(request=(REPLID, 11)).to_psync().hear(word) == [Continue("")]


def test_everything_there_is_to_say() -> None:
    facts = {"masteruser": "replica", "masterauth": "sécret", "replica_announce_ip": "192.0.2.9"}
    story = Story(**facts, replica_announce_port=7000).open()
    assert story.hear(b"+PONG\r\n") == [
        ("AUTH", "replica", "sécret"),
        ("REPLCONF", "listening-port", "7000"),
        ("REPLCONF", "ip-address", "192.0.2.9"),
        CAPA,
    ]
    for _ in range(3):
        assert story.hear(b"+OK\r\n") == []
    assert story.hear(b"+OK\r\n") == [FRESH]


def test_a_password_without_a_user() -> None:
    assert Story(masterauth="pw").open().hear(b"+PONG\r\n")[0] == ("AUTH", "pw")
    assert Story(masteruser="alone").open().hear(b"+PONG\r\n")[0] == PORT


@pytest.mark.parametrize(
    "reply",
    [b"-NOAUTH Authentication required.", b"-NOPERM no", b"-ERR operation not permitted", b"+x"],
)
def test_replies_to_ping_of_one_that_is_alive(reply: bytes) -> None:
    assert Story().open().hear(reply + b"\r\n") == [PORT, CAPA]


@pytest.mark.parametrize("reply", [b"-LOADING wait", b"-ERR other", b"$4\r\nPONG", b":1"])
def test_replies_to_ping_that_end_the_attempt(reply: bytes) -> None:
    story = Story().open()
    text = "Error reply to PING from master: '" + reply.split(b"\r")[0].decode() + "'"
    assert story.hear(reply + b"\r\n") == [Close(1), Failed(text)]
    assert story.logs[-1] == text
    assert story.wait(999) == []
    assert story.wait(1) == [Connect(2, "primary", 6379)]


def test_a_refused_password_ends_the_attempt_and_nothing_else_does() -> None:
    story = Story(masterauth="pw", replica_announce_ip="1.2.3.4").open()
    story.hear(b"+PONG\r\n")
    assert story.hear(b"-WRONGPASS no\r\n+OK\r\n+OK\r\n") == [
        Close(1),
        Failed("Unable to AUTH to MASTER: -WRONGPASS no"),
    ]
    story = Story(masterauth="pw", replica_announce_ip="1.2.3.4").open()
    story.hear(b"+PONG\r\n")
    assert story.hear(b"+OK\r\n-ERR a\r\n-ERR b\r\n-ERR c\r\n") == [FRESH]
    assert story.logs[-4:-1] == [
        "(Non critical) Master does not understand REPLCONF listening-port: -ERR a",
        "(Non critical) Master does not understand REPLCONF ip-address: -ERR b",
        "(Non critical) Master does not understand REPLCONF capa: -ERR c",
    ]


@pytest.mark.parametrize("reply", [b"-NOMASTERLINK Can't SYNC", b"-LOADING Redis is loading"])
def test_a_primary_that_cannot_sync_now_is_asked_later(reply: bytes) -> None:
    story = Story().to_psync()
    story.now_ms += 300
    assert [type(each) for each in story.hear(reply + b"\r\n")] == [Close, Failed]
    assert "should be in the future: " + reply.decode() in story.logs[-1]
    assert story.machine.deadline() == START_MS + 1000
    assert story.wait(700) == [Connect(2, "primary", 6379)]


@pytest.mark.parametrize(
    "reply", [b"-ERR unknown command `PSYNC`", b"-NOPERM no permission", b"?what"]
)
def test_a_primary_without_psync_is_asked_for_sync(reply: bytes) -> None:
    story = Story().to_psync()
    assert story.hear(reply + b"\r\n") == [("SYNC",), FullSync("", -1)]
    assert story.logs[-1] == "Retrying with SYNC..."
    assert story.hear(b"$2\r\nab") == [SnapshotStart(2), SnapshotData(b"ab"), SnapshotEnd()]
    assert story.wait(5000) == []  # it knows no acknowledgements


def test_a_primary_that_refuses_sync_as_well() -> None:
    story = Story().to_psync()
    story.hear(b"-NOPERM no\r\n")
    assert story.hear(b"-NOPERM no sync\r\n") == [
        Close(1),
        Failed("MASTER aborted replication with an error: NOPERM no sync"),
    ]


@pytest.mark.parametrize("line", ["+FULLRESYNC", f"+FULLRESYNC {REPLID}", "+FULLRESYNC x 1"])
def test_a_full_resync_without_a_history_is_refused(line: str) -> None:
    story = Story().to_psync()
    assert [type(each) for each in story.hear(line.encode() + b"\r\n")] == [Close, Failed]
    assert story.logs[-1] == "Master replied with wrong +FULLRESYNC syntax."


def test_a_line_without_end_is_refused() -> None:
    story = Story().open()
    out = story.hear(b"+" * 40_000, b"+" * 40_000)
    assert [type(each) for each in out] == [Close, Failed]


# Any cut


SCRIPTS = [
    f"+PONG\r\n\n+OK\r\n+OK\r\n\n\n+FULLRESYNC {REPLID} 7\r\n\n\n".encode()
    + b"$9\r\nsnap\r\nhot*1\r\nPING",
    f"+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC {REPLID} 7\r\n\n$EOF:{'e' * 40}\r\nsn\n{'e' * 39}x"
    f"{'e' * 40}stream\n".encode(),
    f"-NOAUTH a\r\n-ERR\r\n-ERR x\r\n+CONTINUE {OTHER}\r\n\nstream".encode(),
    b"+PONG\r\n+OK\r\n+OK\r\n-ERR unknown\r\n\n\n$3\r\nabc\nstream",
    b"+PONG\r\n+OK\r\n+OK\r\n\n-NOMASTERLINK x\r\nrest",
    b"+PONG\r\n+OK\r\n+OK\r\n-ERR unknown\r\n-ERR no\r\n",
]


@pytest.mark.parametrize("script", SCRIPTS)
@settings(max_examples=40)
@given(places=st.lists(st.integers(0, 200), max_size=8))
def test_any_cut_gives_the_same(script: bytes, places: list[int]) -> None:
    whole, cut, bytewise = Story().open(), Story().open(), Story().open()
    expected = whole.hear(script)
    bounds = [0, *sorted(place % len(script) for place in places), len(script)]
    pieces = [script[a:b] for a, b in itertools.pairwise(bounds) if a < b]
    assert cut.hear(*pieces) == expected
    assert bytewise.hear(*(script[at : at + 1] for at in range(len(script)))) == expected
    assert cut.logs == bytewise.logs == whole.logs
    assert cut.machine.state is whole.machine.state


# Time


def test_acknowledgements_every_second() -> None:
    story = Story().to_stream(offset=10)
    assert story.wait(999) == []
    assert story.wait(1) == [("REPLCONF", "ACK", "10")]
    story.facts.offset, story.facts.fsynced = 25, 20
    assert story.wait(2000) == [("REPLCONF", "ACK", "25", "FACK", "20")] * 2
    story.now_ms += 500
    story.take(story.machine.ack(story.now_ms))  # asked for by GETACK
    assert story.look() == [("REPLCONF", "ACK", "25", "FACK", "20")]
    assert story.wait(999) == []


def test_ack_without_a_link_says_nothing() -> None:
    assert Story().machine.ack(START_MS) == []
    assert Story().to_transfer().machine.ack(START_MS) == []


def test_an_idle_primary_is_given_up() -> None:
    story = Story(repl_timeout=5).to_stream()
    assert [each for each in story.wait(4999) if not isinstance(each, tuple)] == []
    story.hear(b"\n")
    out = story.wait(5000)
    assert out[-3:] == [Close(1), Failed("timeout"), Connect(2, "primary", 6379)]
    assert story.machine.down_since_ms == story.now_ms
    assert "MASTER timeout: no data nor PING received..." in story.logs
    assert story.logs[-2] == "Reconnecting to MASTER primary:6379"


def test_a_connection_that_does_not_come_about_is_given_up() -> None:
    story = Story(repl_timeout=5).follow()
    story.look()
    assert story.wait(4999) == []
    assert story.wait(1) == [Close(1), Failed("timeout"), Connect(2, "primary", 6379)]
    assert "Timeout connecting to the MASTER..." in story.logs


def test_silence_in_the_handshake_and_in_the_transfer() -> None:
    for story in (Story(repl_timeout=5).open(), Story(repl_timeout=5).to_psync()):
        assert story.wait(5000)[:2] == [Close(1), Failed("timeout")]
    story = Story(repl_timeout=5).to_transfer()
    for _ in range(3):
        assert story.wait(4000) == []
        story.hear(b"x")
    story = Story(repl_timeout=5).to_psync()
    story.hear(f"+FULLRESYNC {REPLID} 7\r\n".encode())
    for _ in range(5):
        assert story.wait(4000) == []
        story.hear(b"\n")  # the primary is still at work on the snapshot
    assert story.wait(5000)[:2] == [Close(1), Failed("timeout")]
    assert any(text.startswith("Timeout receiving bulk data") for text in story.logs)


def test_attempts_are_a_second_apart_however_fast_they_fail() -> None:
    story = Story().follow()
    story.look()
    for number in range(1, 4):
        story.now_ms += 10
        assert story.lose("Connection refused") == [Failed("Connection refused")]
        assert story.logs[-1] == "Error condition on socket for SYNC: Connection refused"
        assert story.wait(989) == []
        assert story.wait(1) == [Connect(number + 1, "primary", 6379)]


def test_a_lost_stream_is_asked_for_again_at_once() -> None:
    story = Story().to_stream()
    story.wait(1500)
    assert story.lose() == [Failed("reset")]
    assert story.machine.down_since_ms == story.now_ms
    assert story.wait(0) == [Connect(2, "primary", 6379)]


def test_a_clock_that_is_put_back_delays_nothing() -> None:
    for story in (Story().to_stream(), Story().to_transfer()):
        story.now_ms -= 3_600_000
        assert story.machine.due(story.now_ms)
        story.take(story.machine.step(story.now_ms, Tick()))
        assert not story.machine.due(story.now_ms)
        due_ms = story.machine.deadline()
        assert due_ms is not None
        assert story.now_ms < due_ms <= story.now_ms + 60_000
    story = Story().follow()
    story.lose()
    story.now_ms -= 3_600_000
    story.take(story.machine.step(story.now_ms, Tick()))
    assert story.wait(1000) == [Connect(2, "primary", 6379)]


def test_a_clock_that_jumps_ahead_costs_one_attempt() -> None:
    story = Story().to_stream()
    story.now_ms += 3_600_000
    story.take(story.machine.step(story.now_ms, Tick()))
    assert story.look() == [Close(1), Failed("timeout")]
    assert story.wait(0) == [Connect(2, "primary", 6379)]
    assert story.wait(1000) == []


# While the snapshot is put in place


def test_the_stream_is_held_back_while_a_snapshot_is_loaded() -> None:
    story = Story().to_transfer()
    story.loads = False
    assert story.hear(b"cdeone") == [SnapshotData(b"cde"), SnapshotEnd()]
    assert story.machine.state is State.LOADING
    assert story.held, "nothing more is read"
    assert story.hear(b"two") == []
    assert story.wait(2500) == ["newline", "newline"]
    assert story.wait(100_000) != [Close(1)]  # the primary's silence is our own fault now
    story.look()
    story.facts.offset = 7
    story.take(story.machine.loaded(story.now_ms, True))
    assert not story.held
    assert story.look() == [("REPLCONF", "ACK", "7"), Stream(b"onetwo")]
    assert story.wait(1000) == [("REPLCONF", "ACK", "7")]


def test_a_link_lost_while_loading_costs_no_snapshot() -> None:
    story = Story().to_transfer()
    story.loads = False
    story.hear(b"cdeone")
    assert story.lose() == []
    assert story.wait(3000) == []
    story.facts.request = (REPLID, 8)
    story.take(story.machine.loaded(story.now_ms, True))
    reason = "the link was lost while the snapshot was loaded"
    assert story.look() == [Stream(b"one"), Failed(reason)]
    assert story.wait(0) == [Connect(2, "primary", 6379)]


def test_a_snapshot_that_cannot_be_used() -> None:
    story = Story().to_transfer()
    story.now_ms += 2000
    story.take(story.machine.loaded(story.now_ms, False))  # the disk is full, say
    assert story.look() == [Close(1), Failed("the snapshot could not be used")]
    assert story.wait(0) == [Connect(2, "primary", 6379)]
    assert story.logs[-2] == "Reconnecting to MASTER primary:6379 after failure"


def test_a_transfer_that_is_cut() -> None:
    story = Story().to_transfer()
    assert story.lose() == [Failed("reset")]
    assert story.logs[-1] == "I/O error trying to sync with MASTER: connection lost"


def test_links_lost_in_the_handshake() -> None:
    story = Story().open()
    assert story.lose("") == [Failed("the link was lost")]
    assert story.logs[-1] == "Master did not respond to command during SYNC handshake"
    story = Story().to_psync()
    story.lose()
    assert story.logs[-1] == "Master did not reply to PSYNC, will try later"


# Others decide


def test_another_primary() -> None:
    story = Story().to_stream()
    story.take(story.machine.follow(story.now_ms, "other", 1))
    assert story.look() == [Close(1), Failed("another primary was chosen"), Connect(2, "other", 1)]
    stale = story.machine.step(story.now_ms, Received(1, b"old stream"))
    stale += story.machine.step(story.now_ms, Connected(1))
    stale += story.machine.step(story.now_ms, Lost(1))
    assert stale == []
    assert story.machine.state is State.CONNECTING


def test_no_primary_any_more() -> None:
    story = Story().to_transfer()
    story.take(story.machine.unfollow())
    assert story.look() == [Close(1), Failed("the link is not wanted any more")]
    assert story.machine.deadline() is None
    assert not story.machine.due(story.now_ms)
    assert story.machine.step(story.now_ms, Tick()) == story.machine.unfollow() == []
    assert story.machine.drop(story.now_ms, "x") == []
    assert story.follow().look() == [Connect(2, "primary", 6379)]


def test_a_stream_that_makes_no_sense_is_dropped() -> None:
    story = Story().to_stream()
    story.take(story.machine.drop(story.now_ms, "Protocol error"))
    assert story.look() == [Close(1), Failed("Protocol error")]
    assert story.machine.drop(story.now_ms, "again") == []
    assert story.wait(1000) == [Connect(2, "primary", 6379)]


def test_failover_that_is_accepted() -> None:
    story = Story(request=(REPLID, 11))
    story.follow(failover=True)
    story.lose()
    story.wait(1000)  # the flag outlives attempts that do not come that far
    story.take(story.machine.step(story.now_ms, Connected(story.link)))
    assert story.hear(b"+PONG\r\n+OK\r\n+OK\r\n")[-1] == ("PSYNC", REPLID, "11", "FAILOVER")
    assert story.hear(f"+CONTINUE {OTHER}\r\n".encode()) == [Continue(OTHER)]
    story.lose()
    story.wait(1000)
    story.take(story.machine.step(story.now_ms, Connected(story.link)))
    assert story.hear(b"+PONG\r\n+OK\r\n+OK\r\n")[-1] == ("PSYNC", REPLID, "11")


@pytest.mark.parametrize("line", ["-ERR no such history", "-LOADING wait", "-NOPERM no"])
def test_failover_that_is_refused(line: str) -> None:
    story = Story(request=(REPLID, 11))
    story.follow(failover=True)
    story.take(story.machine.step(story.now_ms, Connected(1)))
    story.hear(b"+PONG\r\n+OK\r\n+OK\r\n")
    out = story.hear(line.encode() + b"\r\n")
    assert out[0] == FailoverRefused(line)
    assert [type(each) for each in out[1:]] == [Close, Failed]


# States


def test_the_table_of_states() -> None:
    assert set(TRANSITIONS) == set(State)
    reached, left = {State.NONE}, [State.NONE]
    while left:
        for state in TRANSITIONS[left.pop()]:
            if state not in reached:
                reached.add(state)
                left.append(state)
    assert reached == set(State)
    words = {state.value: state.role_word for state in State}
    assert {words.pop(state.value) for state in HANDSHAKE} == {"handshake"}
    assert (words.pop("transfer"), words.pop("loading")) == ("sync", "sync")
    assert all(name == word for name, word in words.items())


def test_no_other_way_between_states() -> None:
    machine = Replica(Facts())
    with pytest.raises(AssertionError):
        machine._become(State.CONNECTED)
    with pytest.raises(AssertionError):
        machine.loaded(START_MS, True)


WORDS = [
    b"+PONG\r\n", b"+OK\r\n", b"\n", b"$3\r\nabc", f"+FULLRESYNC {REPLID} 1\r\n".encode(),
    b"+CONTINUE\r\n", b"-ERR\r\n", b"-LOADING\r\n", b"xyz", b"$9\r\nab",
]  # fmt: skip
HAPPENINGS = ["open", "lost", "tick", "follow", "unfollow", "loaded", "spoiled", "ack", "drop"]
HAPPENINGS += ["stale", "back", "on"]


@settings(max_examples=300)
@given(st.lists(st.sampled_from([*HAPPENINGS, *WORDS]), max_size=40))
def test_whatever_happens_the_machine_keeps_its_word(happenings: list[str | bytes]) -> None:
    """One link at a time, nothing asked of one that is gone, and always a next step."""
    machine, now_ms = Replica(Facts()), START_MS
    link: int | None = None
    is_open = held = False
    for what in happenings:
        out: list[Outcome] = []
        if what == "follow":
            out = machine.follow(now_ms, "h", 1)
        elif what == "unfollow":
            out = machine.unfollow()
        elif what == "loaded" and machine.state is State.LOADING:
            out = machine.loaded(now_ms, True)
        elif what == "spoiled" and machine.syncing:
            out = machine.loaded(now_ms, False)
        elif what == "ack":
            out = machine.ack(now_ms)
        elif what == "drop":
            out = machine.drop(now_ms, "x")
        elif what in ("back", "on"):
            now_ms += 700 if what == "on" else -5000
        elif what == "tick":
            out = machine.step(now_ms, Tick())
        elif what == "stale":
            out = machine.step(now_ms, Received(0, b"x")) + machine.step(now_ms, Lost(0))
            assert out == []
        elif what == "open" and link is not None and not is_open:
            is_open = True
            out = machine.step(now_ms, Connected(link))
        elif what == "lost" and link is not None:
            gone, link = link, None
            out = machine.step(now_ms, Lost(gone, "x"))
        elif isinstance(what, bytes) and is_open and not held and link is not None:
            out = machine.step(now_ms, Received(link, what))
        for each in out:
            if isinstance(each, Connect):
                assert link is None
                link, is_open, held = each.link, False, False
            elif isinstance(each, Hold | Resume):
                assert each.link == link
                held = isinstance(each, Hold)
            elif isinstance(each, Send):
                assert each.link == link
                assert is_open
            elif isinstance(each, Close):
                assert each.link == link
                link = None
        waits = machine.state is State.NONE or (machine.state is State.LOADING and link is None)
        assert (machine.deadline() is None) == waits
        if machine.link_up:
            assert link is not None
            assert not held


def test_a_link_that_is_given_up_for_another_is_down_since_then() -> None:
    machine = Replica(Facts())
    machine.follow(1000, "primary", 6379)
    assert machine.down_since_ms is None
    machine.state = State.CONNECTED
    machine.follow(5000, "another", 6379)
    assert machine.down_since_ms == 5000
