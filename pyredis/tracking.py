"""Client-side caching: who may hold a copy of which key, and the word to drop it.

A client that keeps copies of values asks the server to *track* for it. There are two ways.

* The server remembers the keys that the client reads. In the *table* each key has the numbers
  of its readers. A change takes the key out of the table and tells the readers once; who reads
  the key again is entered again. The mode ``ALL`` remembers every key, ``OPTIN`` those of
  commands announced by CLIENT CACHING YES, ``OPTOUT`` all but those after CLIENT CACHING NO.
* ``BCAST``: the client names *prefixes* and is told of every changed key that begins with one,
  read or not. The table is not used. Keys gather with their prefix until the batch ends, and
  go out in one message for each prefix: a busy prefix costs a message a batch, not a write.

An *invalidation* carries a list of keys, or null for "all of them" after FLUSHALL or FLUSHDB.
RESP3 clients get it as a push. A RESP2 connection cannot take one, so such a client names
another connection that subscribes to ``__redis__:invalidate`` and gets it as a message there.
When that connection is gone the client, if it speaks RESP3, hears ``tracking-redir-broken``.

The table knows no databases: a key of that name in any of them counts. It holds at most
``keys_max`` keys: beyond that, keys drawn by lot are invalidated as if they had changed, so a
client may drop a copy too early but never keeps one too long. Entries of clients that left,
or stopped, stay until their key is met; numbers of clients are never used twice.

Source: redis.io, "Client-side caching in Redis". Departures: null comes in the protocol of
the connection that receives it, not of the one that tracks; NOLOOP hides what the client
itself changed, by scripts too, but not what the table let go; once nobody tracks the table
is dropped.

Cost: remembering O(1) a key; a change O(readers of the key + distinct lengths of prefixes);
a broadcast O(k log k) for k changed keys, encoded once for each protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from pyredis.resp import PushReply, encode
from pyredis.types.index import KeyIndex

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.ports import Rng
    from pyredis.session import Session

Deliver = Callable[["Session", bytes], None]

CHANNEL: Final = b"__redis__:invalidate"
EFFORT_KEYS: Final = 100
"""How many keys leave a table that is too large in the first go; each further go adds as many."""


class Mode(Enum):
    """Which keys a client is told of."""

    ALL = "all"
    OPTIN = "optin"
    OPTOUT = "optout"
    BCAST = "bcast"


@dataclass(slots=True)
class Tracker:
    """How one client tracks. ``redirect`` is the client that is told instead, 0 for none."""

    mode: Mode = Mode.ALL
    redirect: int = 0
    noloop: bool = False  # it need not hear of its own changes
    caching: bool = False  # CLIENT CACHING was said of the coming command
    broken: bool = False  # the client to redirect to was found to be gone
    prefixes: dict[bytes, None] = field(default_factory=dict)

    @property
    def remembers(self) -> bool:
        """Whether the keys that the running command reads go into the table."""
        if self.mode is Mode.OPTIN:
            return self.caching
        if self.mode is Mode.OPTOUT:
            return not self.caching
        return self.mode is Mode.ALL


@dataclass(slots=True)
class Prefix:
    """The clients that named a prefix, and the keys changed since the last broadcast.

    Each key has the client that changed it last, None if time did.
    """

    clients: dict[Session, None] = field(default_factory=dict)
    keys: dict[bytes, Session | None] = field(default_factory=dict)


class Tracking:
    """Everything that is tracked in one server.

    ``sessions`` are all clients by number; ``deliver`` takes a session and bytes that it is to
    receive outside any reply.
    """

    __slots__ = (
        "_deliver",
        "_goes",
        "_index",
        "_lengths",
        "_pending",
        "_rng",
        "_sessions",
        "clients",
        "item_count",
        "keys",
        "keys_max",
        "prefixes",
    )

    def __init__(self, sessions: Mapping[int, Session], deliver: Deliver, rng: Rng) -> None:
        self._sessions = sessions
        self._deliver = deliver
        self._rng = rng
        self.clients: dict[Session, None] = {}
        self.prefixes: dict[bytes, Prefix] = {}
        self.keys_max = 0  # no limit
        self._lengths: tuple[int, ...] = ()  # of the prefixes, distinct
        self._pending = False  # some prefix has changed keys
        self._goes = 0  # how often in a row shrinking did not reach the limit
        self._forget_all()

    def _forget_all(self) -> None:
        self.keys: dict[bytes, dict[int, None]] = {}
        self.item_count = 0
        self._index: KeyIndex | None = None  # built when keys first have to be drawn

    # Who tracks

    def enable(
        self,
        session: Session,
        mode: Mode,
        *,
        redirect: int = 0,
        noloop: bool = False,
        prefixes: Iterable[bytes] = (),
    ) -> None:
        """Track for a client from now on, or change how. ``BCAST`` without prefixes means all.

        Prefixes come in addition to those it has. A change from or to BCAST needs ``disable``.
        """
        tracker = session.tracker
        if tracker is None:
            tracker = session.tracker = Tracker()
            self.clients[session] = None
        tracker.mode, tracker.redirect, tracker.noloop = mode, redirect, noloop
        tracker.broken = False
        if mode is Mode.BCAST:
            for prefix in prefixes or (b"",):
                tracker.prefixes[prefix] = None
                self.prefixes.setdefault(prefix, Prefix()).clients[session] = None
            self._measure()

    def disable(self, session: Session) -> None:
        """Track no longer for this client, if it was tracked for. What it was owed is dropped."""
        tracker = session.tracker
        if tracker is None:
            return
        session.tracker = None
        del self.clients[session]
        for prefix in tracker.prefixes:
            clients = self.prefixes[prefix].clients
            del clients[session]
            if not clients:
                del self.prefixes[prefix]
        self._measure()
        if not self.clients:
            self._forget_all()

    def _measure(self) -> None:
        self._lengths = tuple(sorted(set(map(len, self.prefixes))))

    # What they are told

    def remember(self, session: Session, keys: Iterable[bytes]) -> None:
        """The client has read these keys."""
        number = session.id
        for key in keys:
            readers = self.keys.get(key)
            if readers is None:
                readers = self.keys[key] = {}
                if self._index is not None:
                    self._index.add(key)
            if number not in readers:
                readers[number] = None
                self.item_count += 1

    def invalidate(self, key: bytes, author: Session | None) -> None:
        """The key has changed; ``author`` is the client whose command did it, None if none."""
        for length in self._lengths:
            prefix = self.prefixes.get(key[:length])
            if prefix is not None:
                prefix.keys[key] = author
                self._pending = True
        if key in self.keys:
            self._release(key, author)

    def _release(self, key: bytes, author: Session | None) -> None:
        """Take a key out of the table and tell those who read it."""
        readers = self.keys.pop(key)
        self.item_count -= len(readers)
        if self._index is not None:
            self._index.discard(key)
        wires: dict[bool, bytes] = {}
        for number in readers:
            session = self._sessions.get(number)
            tracker = session.tracker if session is not None else None
            if session is None or tracker is None or tracker.mode is Mode.BCAST:
                continue
            if not (tracker.noloop and session is author):
                self._tell(session, tracker, [key], wires)

    def flush(self) -> None:
        """All keys of a database are gone: every client is to drop all copies."""
        self._forget_all()
        wires: dict[bool, bytes] = {}
        for session in list(self.clients):
            if session.tracker is not None:
                self._tell(session, session.tracker, None, wires)

    def command_over(self, session: Session, entry: Entry | None) -> None:
        """A client that tracks has had its reply: CLIENT CACHING held for that command only.

        It holds for a whole transaction, and other CLIENT commands do not use it up. Here too
        the table is brought back to its size.
        """
        tracker = session.tracker
        if tracker is not None and tracker.caching:
            lasting = session.multi is not None or session.blocked is not None
            if not lasting and (entry is None or not entry.spec.name.startswith("CLIENT ")):
                tracker.caching = False
        if self.keys_max and len(self.keys) > self.keys_max:
            self._shrink()

    def end_batch(self) -> None:
        """Send the broadcasts."""
        if self._pending:
            self._pending = False
            for name in sorted(self.prefixes):
                prefix = self.prefixes.get(name)
                if prefix is not None and prefix.keys:
                    self._broadcast(prefix)
        if self.keys_max and len(self.keys) > self.keys_max:
            self._shrink()

    def _broadcast(self, prefix: Prefix) -> None:
        changed, prefix.keys = prefix.keys, {}
        keys = sorted(changed)
        wires: dict[bool, bytes] = {}
        for session in list(prefix.clients):
            tracker = session.tracker
            if tracker is None:
                continue
            if not tracker.noloop:
                self._tell(session, tracker, keys, wires)
            elif foreign := [key for key in keys if changed[key] is not session]:
                self._tell(session, tracker, foreign, {})

    def _shrink(self) -> None:
        """Let keys go that are drawn by lot, as many as this go may: it must not take long."""
        if self._index is None:
            self._index = KeyIndex(self.keys)
        self._goes += 1
        for _ in range(min(EFFORT_KEYS * self._goes, len(self.keys) - self.keys_max)):
            key = self._index.sample(self._rng)
            assert key is not None
            self._release(key, None)
        if len(self.keys) <= self.keys_max:
            self._goes = 0

    def _tell(
        self,
        session: Session,
        tracker: Tracker,
        keys: list[bytes] | None,
        wires: dict[bool, bytes],
    ) -> None:
        """Send an invalidation where the client wants it. ``wires`` keeps it per protocol."""
        receiver: Session | None = session
        if tracker.redirect:
            receiver = self._sessions.get(tracker.redirect)
            if receiver is None:
                tracker.broken = True
                if session.resp3:
                    broken = PushReply([b"tracking-redir-broken", tracker.redirect])
                    self._deliver(session, encode(broken, True))
                return
            if not receiver.resp3 and receiver.kind != "pubsub":
                return
        elif not session.resp3:
            return
        assert receiver is not None
        resp3 = receiver.resp3
        wire = wires.get(resp3)
        if wire is None:
            message = [b"invalidate", keys] if resp3 else [b"message", CHANNEL, keys]
            wire = wires[resp3] = encode(PushReply(message), resp3)
        self._deliver(receiver, wire)

    def _check(self) -> None:
        """Assert that table, prefixes and clients agree."""
        assert self.item_count == sum(map(len, self.keys.values()))
        assert all(self.keys.values()), "a key without readers stayed behind"
        assert set(self._lengths) == set(map(len, self.prefixes))
        if self._index is not None:
            self._index._check(self.keys.keys())
        for name, prefix in self.prefixes.items():
            assert prefix.clients, "a prefix without clients stayed behind"
            for session in prefix.clients:
                assert session.tracker is not None
                assert name in session.tracker.prefixes
        for session in self.clients:
            assert session.tracker is not None
            assert bool(session.tracker.prefixes) == (session.tracker.mode is Mode.BCAST)
