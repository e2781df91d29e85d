"""One client as the engine sees it: identity, protocol, modes, and the output it is owed.

A session knows no socket. The shell feeds its bytes to the engine, and after each batch
sends what the engine left in ``out``. The modes a connection can be in (not yet
authenticated, inside MULTI, subscribed under RESP2, a monitor, blocked, replies off)
are data here and *gates* in ``gates.py``: a plain session has none and pays for none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from sys import getsizeof
from typing import TYPE_CHECKING, Any

from pyredis.resp import RequestReader

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.keyspace import Database
    from pyredis.replication.downstream import Downstream
    from pyredis.tracking import Tracker

REPLY_ON, REPLY_OFF, REPLY_SKIP_NEXT, REPLY_SKIP = range(4)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a client comes from and where it arrived."""

    peer: str
    local: str
    fd: int = -1
    unix: bool = False
    tls: bool = False
    loopback: bool = True


@dataclass(slots=True)
class Block:
    """What a handler returns when it has to wait.

    ``keys`` wake the client when they come into being with a value of type ``kind`` (any
    when None); the command then runs again with the same arguments, or with ``argv``.
    ``deadline_ms`` is absolute, 0 for none. ``on_timeout`` is the reply then, and also at
    once where waiting is impossible (MULTI, scripts). With ``on_removal`` the client is
    woken by the key's deletion too (a consumer group that is gone). ``again_ms`` is a time at
    which to run the command again though no key has changed, 0 for none. With ``on_ack`` the
    client is woken whenever a replica or the disk confirms something. ``freed`` has it wait until
    so many databases have been freed in the background (``LazyFree.done``).
    """

    keys: tuple[bytes, ...]
    deadline_ms: int
    on_timeout: Any
    kind: type | None = None
    on_removal: bool = False
    argv: tuple[bytes, ...] | None = None
    again_ms: int = 0
    on_ack: bool = False
    freed: int = 0

    def given_up(self) -> Any:
        """The reply to one who does not wait any longer."""
        return self.on_timeout() if callable(self.on_timeout) else self.on_timeout


@dataclass(slots=True)
class Blocked:
    """The state of a session that waits: what, since when, until when."""

    block: Block
    entry: Entry
    argv: list[bytes]
    db: Database
    since_ns: int


class Session:
    """State of one client. Created and owned by the engine."""

    __slots__ = (
        "address",
        "authenticated",
        "blocked",
        "channels",
        "closing",
        "created_ms",
        "db",
        "dirty_exec",
        "from_primary",
        "gates",
        "held",
        "id",
        "inner",
        "last_command",
        "last_ms",
        "lib_name",
        "lib_ver",
        "measured_bytes",
        "measured_pieces",
        "monitor",
        "multi",
        "multi_bytes",
        "name",
        "no_evict",
        "no_touch",
        "obuf_soft_since_ms",
        "out",
        "patterns",
        "postponed",
        "query_peak_bytes",
        "queued",
        "reader",
        "replica",
        "reply_mode",
        "resp3",
        "restricted",
        "shard_channels",
        "source",
        "tracker",
        "unsent_bytes",
        "unsent_pieces",
        "user",
        "wanted_bytes",
        "watching",
        "wire",
        "write_offset",
    )

    def __init__(self, number: int, db: Database, address: Address, now_ms: int) -> None:
        self.id = number
        self.address = address
        self.created_ms = now_ms
        self.last_ms = now_ms
        self.name = b""
        self.lib_name = b""
        self.lib_ver = b""
        self.user: bytes | None = b"default"  # None may do everything
        self.authenticated = True
        self.inner = False  # no client: commands that were accepted elsewhere or before
        self.restricted = False  # the user may not do everything
        self.resp3 = False
        self.db = db
        self.reader = RequestReader()
        self.held = False  # the reader holds bytes of an unfinished request
        self.out: list[bytes] = []
        self.queued = False  # already among the engine's sessions with output
        self.measured_bytes = 0  # what output_bytes() has counted of out
        self.measured_pieces = 0
        self.unsent_bytes = 0  # what the shell could not send yet
        self.unsent_pieces = 0
        self.obuf_soft_since_ms = 0
        self.closing = ""  # "", "reply" (close once the output is sent) or "now"
        self.gates: tuple[Gate, ...] = ()
        self.reply_mode = REPLY_ON
        self.no_touch = False
        self.no_evict = False
        self.monitor = False
        self.tracker: Tracker | None = None  # how it tracks keys for its cache
        self.multi: list[tuple[Entry, list[bytes]]] | None = None
        self.multi_bytes = 0
        self.dirty_exec = ""  # "" , "cas" (a watched key changed) or "error" (bad queued command)
        self.watching: dict[tuple[Database, bytes], bool] = {}
        self.channels: dict[bytes, None] = {}
        self.patterns: dict[bytes, None] = {}
        self.shard_channels: dict[bytes, None] = {}
        self.blocked: Blocked | None = None
        self.postponed = False  # its next command waits for the end of CLIENT PAUSE
        self.last_command: Entry | None = None
        self.wanted_bytes = 0  # how much more the argument being read needs, when that is a lot
        self.query_peak_bytes = 0
        self.wire: Any = None  # the shell's side of this session
        self.replica: Downstream | None = None  # what is known of it as a replica of ours
        self.from_primary = False  # the stream of our primary comes by it
        self.source: Callable[[], None] | None = None  # appends to ``out`` when all is sent
        self.write_offset = 0  # where the replication stream stood behind its last write

    def output_bytes(self) -> int:
        """Size of ``out``. Amortized O(1) a piece, as ``out`` only grows within a batch."""
        out = self.out
        pieces = len(out)
        if pieces < self.measured_pieces:
            self.measured_bytes = self.measured_pieces = 0
        self.measured_bytes += sum(map(len, out[self.measured_pieces :]))
        self.measured_pieces = pieces
        return self.measured_bytes

    def memory_bytes(self) -> int:
        """What the client takes, about: its state, input, queued commands and output."""
        own = (
            self,
            self.reader,
            self.out,
            self.watching,
            self.channels,
            self.patterns,
            self.shard_channels,
        )
        prefixes = self.tracker.prefixes if self.tracker is not None else ()
        named = (*self.channels, *self.patterns, *self.shard_channels, *prefixes, self.name)
        argv = self.blocked.argv if self.blocked is not None else ()
        return (
            sum(map(getsizeof, own))
            + getsizeof(prefixes)
            + sum(map(len, named))
            + sum(map(len, argv))
            + self.reader.held_bytes
            + self.reader.free_bytes
            + self.multi_bytes
            + self.output_bytes()
            + self.unsent_bytes
        )

    @property
    def subscriptions(self) -> int:
        """Channels and patterns together: what SUBSCRIBE replies count."""
        return len(self.channels) + len(self.patterns)

    @property
    def listens(self) -> bool:
        """Whether it is sent a stream: a replica or a monitor."""
        return self.monitor or (self.replica is not None and self.replica.attached)

    @property
    def kind(self) -> str:
        """The class of client: normal, replica, pubsub, or our primary's own session."""
        if self.replica is not None and self.replica.attached:
            return "replica"
        if self.from_primary:
            return "master"
        if self.channels or self.patterns or self.shard_channels:
            return "pubsub"
        return "normal"


Gate = Callable[..., Any]
