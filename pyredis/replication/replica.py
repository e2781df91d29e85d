"""The replica's end of its link to the primary: a machine without sockets, clock and data.

    none ---follow---> connect ---a second after the last attempt at the earliest---> connecting
    connecting --connected--> receive_ping_reply --> [receive_auth_reply] --> receive_port_reply
        --> [receive_ip_reply] --> receive_capa_reply --> receive_psync_reply
    receive_psync_reply --+CONTINUE--> connected
    receive_psync_reply --+FULLRESYNC--> transfer --all has come--> loading --loaded--> connected
    any of them --lost, refused, timed out, dropped--> connect
    any of them --unfollow--> none

Theory of operation. PING shows that somebody who speaks the protocol is there: one that
wants a password may answer with an error. Authentication and the facts about us (port,
announced address, capabilities) go out in one write, their answers are read in order, and only a
refused password ends the attempt. PSYNC then asks for what is missing since our offset.
If the primary can give it, the stream goes on; otherwise a snapshot comes first
(``transfer.py`` takes it apart), and while whoever owns the data puts it in place, nothing more
is read: the stream waits with the primary, whose limit for the output of replicas counts. A
primary that does not know PSYNC is asked with SYNC; then there is no history, and nothing is
acknowledged.

Both sides must notice silence. We send REPLCONF ACK with our offset once a second, newlines
while a snapshot is put in place (neither counts in the offset), and give up after
``repl-timeout`` without any byte. What fails is tried again by itself, at once if the last
attempt is a second ago, otherwise when that second is over.

Source: redis.io, "Replication", and the behaviour of redis-server 7. Departures: a lost link
does not cost a snapshot that has come in full: it is put in place, and the rest is asked for.
Instants kept here lie in the past, and are moved there again when the clock jumps back, so
a jump delays nothing by more than one period. ``loading`` has a name of its own (for Redis it is
a part of the transfer).
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from pyredis.config import encode
from pyredis.machine import (
    Close,
    Connect,
    Connected,
    Event,
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
    SnapshotEnd,
    SnapshotStart,
    Stream,
)
from pyredis.replication.transfer import LINE_MAX_BYTES, Transfer, TransferError
from pyredis.resp import encode_command

if TYPE_CHECKING:
    from pyredis.session import Address

_SECOND_MS: Final = 1000  # between attempts, acknowledgements and newlines
_FULL_RESYNC: Final = re.compile(rb"\+FULLRESYNC ([0-9A-Za-z]{40}) (\d{1,19})\Z")
_CONTINUE: Final = re.compile(rb"\+CONTINUE ([0-9A-Za-z]{40})\Z")
_LATER: Final = (b"-NOMASTERLINK", b"-LOADING")
_ALIVE: Final = (b"+", b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted")


class State(Enum):
    """How far the link is. The names are Redis'."""

    NONE = "none"
    CONNECT = "connect"
    CONNECTING = "connecting"
    RECEIVE_PING_REPLY = "receive_ping_reply"
    RECEIVE_AUTH_REPLY = "receive_auth_reply"
    RECEIVE_PORT_REPLY = "receive_port_reply"
    RECEIVE_IP_REPLY = "receive_ip_reply"
    RECEIVE_CAPA_REPLY = "receive_capa_reply"
    RECEIVE_PSYNC_REPLY = "receive_psync_reply"
    TRANSFER = "transfer"
    LOADING = "loading"
    CONNECTED = "connected"

    @property
    def role_word(self) -> str:
        """What ROLE calls it."""
        if self in HANDSHAKE:
            return "handshake"
        return "sync" if self in (State.TRANSFER, State.LOADING) else self.value


HANDSHAKE: Final = (
    State.RECEIVE_PING_REPLY,
    State.RECEIVE_AUTH_REPLY,
    State.RECEIVE_PORT_REPLY,
    State.RECEIVE_IP_REPLY,
    State.RECEIVE_CAPA_REPLY,
    State.RECEIVE_PSYNC_REPLY,
)

TRANSITIONS: Final[dict[State, tuple[State, ...]]] = {
    State.NONE: (State.CONNECT,),
    State.CONNECT: (State.CONNECTING,),
    State.CONNECTING: (State.RECEIVE_PING_REPLY,),
    State.RECEIVE_PING_REPLY: (State.RECEIVE_AUTH_REPLY, State.RECEIVE_PORT_REPLY),
    State.RECEIVE_AUTH_REPLY: (State.RECEIVE_PORT_REPLY,),
    State.RECEIVE_PORT_REPLY: (State.RECEIVE_IP_REPLY, State.RECEIVE_CAPA_REPLY),
    State.RECEIVE_IP_REPLY: (State.RECEIVE_CAPA_REPLY,),
    State.RECEIVE_CAPA_REPLY: (State.RECEIVE_PSYNC_REPLY,),
    State.RECEIVE_PSYNC_REPLY: (State.TRANSFER, State.CONNECTED),
    State.TRANSFER: (State.LOADING,),
    State.LOADING: (State.CONNECTED,),
    State.CONNECTED: (),
}
"""What follows a state when all goes well. CONNECT and NONE may follow any."""


class Facts(Protocol):
    """What the machine has to know about its server, read whenever it is needed."""

    @property
    def masteruser(self) -> str:
        """The user to authenticate as; the default one if empty."""

    @property
    def masterauth(self) -> str:
        """The password; no authentication if empty."""

    @property
    def replica_announce_ip(self) -> str:
        """The address others are to be told, empty for the one we come from."""

    @property
    def replica_announce_port(self) -> int:
        """The port others are to be told, 0 for ``port``."""

    @property
    def port(self) -> int:
        """Where this server listens (with tls-replication, the TLS port)."""

    @property
    def repl_timeout(self) -> int:
        """Seconds of silence after which a link counts as dead."""

    @property
    def loads_directly(self) -> bool:
        """Whether a snapshot that begins now is parsed as it comes; a word in the log."""

    def psync_request(self) -> tuple[str, int]:
        """The history we hold and the offset of the byte that we miss first; ("?", -1)."""

    def ack_offset(self) -> int:
        """How much of the stream is applied."""

    def fsynced_offset(self) -> int | None:
        """How much of it is on our disk; None without an append-only file."""


class Replica:
    """Follows a primary. Every method that may cause something returns it as a list."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.state = State.NONE
        self.link_up = False  # the stream flows: the state is CONNECTED
        self.host = ""
        self.port = 0
        self.transfer = Transfer()  # the full sync in progress, or the last one
        self.down_since_ms: int | None = None  # when an established link was last lost
        self.address: Address | None = None  # of the link's ends, once it is open
        self.last_io_ms = 0  # when the primary was last heard, or the attempt began
        self._link: int | None = None
        self._next_link = 1
        self._attempt_ms: int | None = None
        self._sent_ms = 0  # the last acknowledgement or newline
        self._failover = False
        self._numbered = True  # False if the primary knows no offsets
        self._announced_ip = b""  # what this attempt has told the primary
        self._line = b""  # the beginning of an answer
        self._held: list[bytes] = []  # stream that came in one read with the snapshot's end
        self._again = "Connecting to MASTER {}:{}"  # what the log says at the next attempt
        self._out: list[Outcome] = []

    # What others may ask

    @property
    def syncing(self) -> bool:
        """Whether a full sync is going on."""
        return self.state in (State.TRANSFER, State.LOADING)

    def deadline(self) -> int | None:
        """When the next Tick is wanted; None if time changes nothing."""
        if self.link_up and self._numbered:
            ack_ms = self._sent_ms + _SECOND_MS
            silence_ends_ms = self.last_io_ms + self.facts.repl_timeout * 1000
            return ack_ms if ack_ms < silence_ends_ms else silence_ends_ms
        state = self.state
        if state is State.NONE:
            return None
        if state is State.CONNECT:
            return 0 if self._attempt_ms is None else self._attempt_ms + _SECOND_MS
        if state is State.LOADING:
            return self._sent_ms + _SECOND_MS if self._link is not None else None
        return self.last_io_ms + self.facts.repl_timeout * 1000

    def due(self, now_ms: int) -> bool:
        """Whether a Tick is wanted now: the deadline has come, or the clock was put back."""
        deadline_ms = self.deadline()
        return deadline_ms is not None and (deadline_ms <= now_ms or now_ms < self._latest_ms())

    # What others may do

    def follow(self, now_ms: int, host: str, port: int, failover: bool = False) -> list[Outcome]:
        """Be a replica of that server from now on; a link to another is given up.

        With ``failover`` the server is told to become primary first: whether it does is
        told by ``FullSync`` or ``Continue``, or else ``FailoverRefused``.
        """
        if self.state is State.CONNECTED:
            self.down_since_ms = now_ms
        self._give_up("another primary was chosen")
        self.host, self.port, self._failover = host, port, failover
        self._become(State.CONNECT)
        self._again = "Connecting to MASTER {}:{}"
        self._connect(now_ms)
        return self._take()

    def unfollow(self) -> list[Outcome]:
        """Be nobody's replica."""
        self._give_up("the link is not wanted any more")
        self._become(State.NONE)
        self._failover = False
        self._attempt_ms = self.down_since_ms = None
        return self._take()

    def loaded(self, now_ms: int, ok: bool) -> list[Outcome]:
        """The snapshot is in place; or not, which is known before its end sometimes.

        What of the stream has come already follows now.
        """
        assert self.syncing, self.state
        if not ok:
            return self.drop(now_ms, "the snapshot could not be used")
        if self._link is not None:
            self._out.append(Resume(self._link))
        self._say("notice", "MASTER <-> REPLICA sync: Finished with success")
        self._become(State.CONNECTED)
        self.last_io_ms = now_ms
        if self._link is not None:
            self._acknowledge(now_ms)
        if self._held:
            self._out.append(Stream(b"".join(self._held)))
            self._held.clear()
        if self._link is None:
            self._lost_established(now_ms, "the link was lost while the snapshot was loaded")
        return self._take()

    def ack(self, now_ms: int) -> list[Outcome]:
        """Tell the primary our offset now: it has asked for it."""
        if self.state is State.CONNECTED:
            self._acknowledge(now_ms)
        return self._take()

    def drop(self, now_ms: int, reason: str) -> list[Outcome]:
        """End the link, for what came by it cannot be used, and try again."""
        if self.state is State.CONNECTED:
            self._lost_established(now_ms, reason)
        elif self.state not in (State.NONE, State.CONNECT):
            self._fail(reason)
        return self._take()

    def step(self, now_ms: int, event: Event) -> list[Outcome]:
        """Take what has happened; returns what to do about it, in that order."""
        if type(event) is Received:
            if event.link == self._link:
                self.last_io_ms = now_ms
                if self.link_up:
                    return [Stream(event.data)]
                self._received(now_ms, event.data)
        elif type(event) is Tick:
            self._tick(now_ms)
        elif type(event) is Connected:
            if event.link == self._link:
                self.last_io_ms = now_ms
                self.address = event.address
                self._say("notice", "Non blocking connect for SYNC fired the event.")
                self._send(b"PING")
                self._become(State.RECEIVE_PING_REPLY)
        elif type(event) is Lost and event.link == self._link:
            self._link = None
            self._lost(now_ms, event.reason)
        return self._take()

    # Time

    def _tick(self, now_ms: int) -> None:
        self._settle(now_ms)
        state = self.state
        if state is State.NONE:
            return
        if state is State.CONNECT:
            if self._attempt_ms is None or now_ms - self._attempt_ms >= _SECOND_MS:
                self._connect(now_ms)
        elif state is State.LOADING:
            if self._link is not None and now_ms - self._sent_ms >= _SECOND_MS:
                self._sent_ms = now_ms
                self._out.append(Send(self._link, b"\n"))
        elif now_ms - self.last_io_ms >= self.facts.repl_timeout * 1000:
            self._time_out(now_ms)
        elif state is State.CONNECTED and self._numbered and now_ms - self._sent_ms >= _SECOND_MS:
            self._acknowledge(now_ms)

    def _latest_ms(self) -> int:
        """The latest instant that is known here."""
        return max(self.last_io_ms, self._sent_ms, self._attempt_ms or 0)

    def _settle(self, now_ms: int) -> None:
        """Have no instant in the future, if the clock was put back."""
        self.last_io_ms = min(self.last_io_ms, now_ms)
        self._sent_ms = min(self._sent_ms, now_ms)
        if self._attempt_ms is not None:
            self._attempt_ms = min(self._attempt_ms, now_ms)
        if self.down_since_ms is not None:
            self.down_since_ms = min(self.down_since_ms, now_ms)

    def _time_out(self, now_ms: int) -> None:
        if self.state is State.CONNECTED:
            self._say("warning", "MASTER timeout: no data nor PING received...")
            self._lost_established(now_ms, "timeout")
        elif self.state is State.TRANSFER:
            self._say(
                "warning",
                "Timeout receiving bulk data from MASTER... If the primary is that slow, "
                "a larger 'repl-timeout' helps.",
            )
            self._fail("timeout")
        else:
            self._say("warning", "Timeout connecting to the MASTER...")
            self._fail("timeout")

    # The link

    def _connect(self, now_ms: int) -> None:
        self._say("notice", self._again.format(self.host, self.port))
        self._link = self._next_link
        self._next_link += 1
        self._attempt_ms = self.last_io_ms = now_ms
        self._line = b""
        self.address = None
        self._out.append(Connect(self._link, self.host, self.port))
        self._again = "Connecting to MASTER {}:{}"
        self._say("notice", "MASTER <-> REPLICA sync started")
        self._become(State.CONNECTING)

    def _lost(self, now_ms: int, reason: str) -> None:
        """The link has ended by itself."""
        state = self.state
        if state is State.CONNECTED:
            self._lost_established(now_ms, reason)
            return
        if state is State.LOADING:
            return  # the snapshot is here in full: the loss counts when it is in place
        if state is State.CONNECTING:
            self._say("warning", f"Error condition on socket for SYNC: {reason}")
        elif state is State.TRANSFER:
            self._say("warning", "I/O error trying to sync with MASTER: connection lost")
        elif state is State.RECEIVE_PSYNC_REPLY:
            self._say("warning", "Master did not reply to PSYNC, will try later")
        else:
            self._say("warning", "Master did not respond to command during SYNC handshake")
        self._fail(reason or "the link was lost")

    def _lost_established(self, now_ms: int, reason: str) -> None:
        self._say("notice", "Connection with master lost.")
        self.down_since_ms = now_ms
        self._fail(reason or "the link was lost")
        self._again = "Reconnecting to MASTER {}:{}"

    def _fail(self, reason: str) -> None:
        self._again = (
            "Reconnecting to MASTER {}:{} after failure"
            if reason == "timeout" or self.syncing
            else "Connecting to MASTER {}:{}"
        )
        self._give_up(reason)
        self._become(State.CONNECT)

    def _give_up(self, reason: str) -> None:
        if self._link is not None:
            self._out.append(Close(self._link))
            self._link = None
        if self.state not in (State.NONE, State.CONNECT):
            self._out.append(Failed(reason))
        self._held.clear()

    def _send(self, *argv: bytes) -> None:
        assert self._link is not None
        self._out.append(Send(self._link, encode_command(argv)))

    def _acknowledge(self, now_ms: int) -> None:
        self._sent_ms = now_ms
        if not self._numbered:
            return
        argv = [b"REPLCONF", b"ACK", b"%d" % self.facts.ack_offset()]
        if (fsynced := self.facts.fsynced_offset()) is not None:
            argv += [b"FACK", b"%d" % fsynced]
        self._send(*argv)

    # The conversation

    def _received(self, now_ms: int, data: bytes) -> None:
        """Take input until the stream flows: line by line, then a snapshot."""
        while data and self._link is not None:
            if self.state is State.CONNECTED:
                self._out.append(Stream(data))
                return
            if self.state is State.LOADING:
                self._held.append(data)
                return
            if self.state is State.TRANSFER:
                data = self._receive_snapshot(now_ms, data)
                continue
            line, newline, data = (self._line + data).partition(b"\n")
            if not newline:
                self._line = line
                if len(line) > LINE_MAX_BYTES:
                    self._refuse("warning", "The primary sends a line without end")
                return
            self._line = b""
            if line := line.rstrip(b"\r"):
                self._answer(now_ms, line)

    def _receive_snapshot(self, now_ms: int, data: bytes) -> bytes:
        """Returns what follows the snapshot."""
        try:
            pieces, rest = self.transfer.feed(data)
        except TransferError as error:
            self._refuse("warning", str(error))
            return b""
        for piece in pieces:
            if type(piece) is SnapshotStart:
                self._tell_of_transfer(piece.size)
            self._out.append(piece)
        if pieces and type(pieces[-1]) is SnapshotEnd:
            assert self._link is not None
            self._out.insert(-1, Hold(self._link))
            self._become(State.LOADING)
            self._sent_ms = now_ms
        return rest

    def _tell_of_transfer(self, size: int) -> None:
        target = "parser" if self.facts.loads_directly else "disk"
        what = f"{size} bytes from master" if size >= 0 else "streamed RDB from master with EOF"
        self._say("notice", f"MASTER <-> REPLICA sync: receiving {what} to {target}")

    def _answer(self, now_ms: int, line: bytes) -> None:
        """One line of the handshake has come."""
        state = self.state
        if state is State.RECEIVE_PING_REPLY:
            self._answer_to_ping(line)
        elif state is State.RECEIVE_AUTH_REPLY:
            if line.startswith(b"-"):
                self._refuse("warning", f"Unable to AUTH to MASTER: {_text(line)}")
            else:
                self._become(State.RECEIVE_PORT_REPLY)
        elif state is State.RECEIVE_PORT_REPLY:
            self._tolerate(line, "listening-port")
            announces = bool(self._announced_ip)
            self._become(State.RECEIVE_IP_REPLY if announces else State.RECEIVE_CAPA_REPLY)
        elif state is State.RECEIVE_IP_REPLY:
            self._tolerate(line, "ip-address")
            self._become(State.RECEIVE_CAPA_REPLY)
        elif state is State.RECEIVE_CAPA_REPLY:
            self._tolerate(line, "capa")
            self._ask()
        else:
            assert state is State.RECEIVE_PSYNC_REPLY, state
            self._answer_to_psync(now_ms, line)

    def _answer_to_ping(self, line: bytes) -> None:
        if not line.startswith(_ALIVE):
            self._refuse("warning", f"Error reply to PING from master: '{_text(line)}'")
            return
        self._say("notice", "Master replied to PING, replication can continue...")
        facts = self.facts
        password, user = encode(facts.masterauth), encode(facts.masteruser)
        if password:
            self._send(b"AUTH", *([user] if user else []), password)
        self._send(
            b"REPLCONF", b"listening-port", b"%d" % (facts.replica_announce_port or facts.port)
        )
        self._announced_ip = encode(facts.replica_announce_ip)
        if self._announced_ip:
            self._send(b"REPLCONF", b"ip-address", self._announced_ip)
        self._send(b"REPLCONF", b"capa", b"eof", b"capa", b"psync2")
        self._become(State.RECEIVE_AUTH_REPLY if password else State.RECEIVE_PORT_REPLY)

    def _tolerate(self, line: bytes, fact: str) -> None:
        if line.startswith(b"-"):
            self._say(
                "notice",
                f"(Non critical) Master does not understand REPLCONF {fact}: {_text(line)}",
            )

    def _ask(self) -> None:
        replid, offset = self.facts.psync_request()
        if offset < 0:
            self._say("notice", "Partial resynchronization not possible (no cached master)")
        else:
            self._say("notice", f"Trying a partial resynchronization (request {replid}:{offset}).")
        words = [b"PSYNC", replid.encode(), b"%d" % offset]
        if self._failover:
            words.append(b"FAILOVER")
        self._send(*words)
        self._become(State.RECEIVE_PSYNC_REPLY)

    def _answer_to_psync(self, now_ms: int, line: bytes) -> None:
        if line.startswith(b"+FULLRESYNC"):
            self._begin_transfer(line)
        elif line.startswith(b"+CONTINUE"):
            self._failover = False
            self._say("notice", "Successful partial resynchronization with master.")
            found = _CONTINUE.match(line)
            self._out.append(Continue(found[1].decode() if found else ""))
            self._become(State.CONNECTED)
            self._numbered = True
            self._sent_ms = now_ms
            self._say(
                "notice",
                "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.",
            )
        elif line.startswith(_LATER) or self._failover:
            if self._failover:
                self._out.append(FailoverRefused(_text(line)))
            self._refuse(
                "notice",
                "Master is currently unable to PSYNC but should be in the future: " + _text(line),
            )
        else:
            if line.startswith(b"-ERR"):
                self._say(
                    "notice",
                    f"Master does not support PSYNC or is in error state (reply: {_text(line)})",
                )
            else:
                self._say("warning", f"Unexpected reply to PSYNC from master: {_text(line)}")
            self._say("notice", "Retrying with SYNC...")
            assert self._link is not None
            self._out.append(Send(self._link, b"SYNC\r\n"))
            self._expect_snapshot(FullSync("", -1))

    def _begin_transfer(self, line: bytes) -> None:
        found = _FULL_RESYNC.match(line)
        if found:
            self._failover = False
            replid, offset = found[1].decode(), int(found[2])
            self._say("notice", f"Full resync from master: {replid}:{offset}")
            self._expect_snapshot(FullSync(replid, offset))
        else:
            self._refuse("warning", "Master replied with wrong +FULLRESYNC syntax.")

    def _expect_snapshot(self, sync: FullSync) -> None:
        self._out.append(sync)
        self._numbered = sync.offset >= 0
        self.transfer = Transfer()
        self._become(State.TRANSFER)

    def _refuse(self, level: str, text: str) -> None:
        """End the attempt because of what the primary said."""
        self._say(level, text)
        self._fail(text)

    # Small things

    def _become(self, state: State) -> None:
        """The one place where the state changes."""
        assert state in TRANSITIONS[self.state] or state in (State.CONNECT, State.NONE), (
            self.state,
            state,
        )
        self.state = state
        self.link_up = state is State.CONNECTED

    def _say(self, level: str, text: str) -> None:
        self._out.append(Log(level, text))

    def _take(self) -> list[Outcome]:
        out, self._out = self._out, []
        return out


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
