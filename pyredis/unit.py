"""The effects of one unit of execution, gathered once and handed to everybody.

A unit is one command, one EXEC, one script, one expired or evicted key, together with
all that it causes. While it runs, the keyspace records two kinds of things in it:

* *changes* ``(db, key, event)``: what WATCH, key notifications and client tracking
  derive from;
* *commands* ``(db index, argv)``: what the AOF and the replicas are to execute so as
  to arrive at the same data. By default that is the request itself if it changed
  anything. A handler whose result depends on time, chance or who waited says what to
  write instead (EXPIRE becomes PEXPIREAT, SPOP becomes SREM).

When nobody listens nothing is recorded: the keyspace then only counts its changes. That
a command changed something shows in this count, so the commonest case, requests that are
propagated as they came, needs no recording at all: the hot path hands the client's own
bytes on. Closing the unit wraps several commands in MULTI and EXEC, so they take effect
together elsewhere too, encodes them once, and gives the same bytes to every feed.

Model: Redis 7's ``propagatePendingCommands``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from pyredis.resp import encode_command

if TYPE_CHECKING:
    from pyredis.keyspace import Database

Argv = tuple[bytes, ...]

_MULTI: Final = encode_command((b"MULTI",))
_EXEC: Final = encode_command((b"EXEC",))


class Feed(Protocol):
    """A consumer of closed units. Each keeps its own idea of the database that is selected."""

    kind: str
    """"aof" or "replicas": some commands are for one of them only."""

    def take(self, db_index: int, wire: bytes, head: bytes = b"") -> None:
        """One or more whole commands for a database, in RESP.

        ``head``, the MULTI of a transaction, goes before the database is selected.
        """
        ...


# Which class of keyspace notifications (see notify-keyspace-events) an event is in.
_CLASSES: Final = {
    "g": "del expire persist rename_from rename_to move_from move_to copy_to restore",
    "$": "set setrange append incrby incrbyfloat setbit pfadd",
    "l": "lpush rpush lpop rpop linsert lset lrem ltrim sortstore",
    "s": "sadd srem spop sinterstore sunionstore sdiffstore",
    "h": "hset hincrby hincrbyfloat hdel hexpire hpersist hexpired",
    "z": "zadd zincr zrem zremrangebyscore zremrangebyrank zremrangebylex zpopmin zpopmax"
    " zinterstore zunionstore zdiffstore zrangestore geosearchstore georadiusstore",
    "t": "xadd xdel xtrim xsetid xgroup-create xgroup-createconsumer xgroup-setid"
    " xgroup-destroy xgroup-delconsumer",
    "x": "expired",
    "e": "evicted",
    "m": "keymiss",
    "n": "new",
    "-": "pfcount mkstream",  # of no class: they only touch watched keys
}
EVENT_CLASS: Final = {event: kind for kind, events in _CLASSES.items() for event in events.split()}
UNWATCHED: Final = frozenset(
    (
        "keymiss new xsetid xgroup-create xgroup-createconsumer xgroup-setid xgroup-destroy "
        "xgroup-delconsumer"
    ).split()
)
"""Events that are no changes to WATCH and to client-side caching."""


class Unit:
    """What has happened since the last close. One a server, reused."""

    __slots__ = (
        "apart", "changes", "commands", "depth", "explicit", "implied", "limits", "mark", "time_us",
    )  # fmt: skip

    def __init__(self) -> None:
        self.changes: list[tuple[Database, bytes, str]] = []
        self.commands: list[tuple[int, Argv]] = []
        self.mark = 0  # the keyspace's count of changes when the running command began
        self.explicit = False  # the running command said what to propagate
        self.depth = 0  # EXEC and scripts hold the unit open
        self.time_us = 0  # what TIME has said in there, 0 if it was not asked
        self.limits: dict[int, str] = {}  # commands (by place) that only one kind of feed gets
        self.implied: set[int] = set()  # commands (by place) that time caused: all feeds get them
        self.apart = False  # the commands need not take effect together

    def begin_command(self, dirty: int) -> None:
        """A new command starts inside the unit. ``dirty`` is the count of changes so far."""
        self.mark = dirty
        self.explicit = False

    def end_command(self, dirty: int, db_index: int, argv: Argv) -> None:
        """The command is over: by default, a change propagates the request as it came."""
        if dirty != self.mark and not self.explicit:
            self.commands.append((db_index, argv))
        self.mark = dirty
        self.explicit = False

    def limit(self, since: int, kind: str) -> None:
        """The commands from that place on are for one kind of feed only, "none" for nobody."""
        places = range(since, len(self.commands))
        self.limits.update(dict.fromkeys((at for at in places if at not in self.implied), kind))

    def part(self) -> None:
        """The running command has only met what was past its time, anywhere among the keys.

        Outside transactions and scripts the feeds get the commands one by one, since keys that
        are in no relation to each other should not make a transaction.
        """
        self.apart = bool(self.commands) and not self.depth

    def hand_out(self, feeds: list[Feed]) -> None:
        """Give the commands to the feeds, as one transaction when there are several."""
        commands, self.commands = self.commands, []
        apart, self.apart = self.apart, False
        limits, self.limits = self.limits, {}
        self.implied.clear()
        if not limits:
            pieces = _pieces(commands, apart)
            for feed in feeds:
                for piece in pieces:
                    feed.take(*piece)
            return
        for feed in feeds:
            kind = feed.kind
            wanted = [each for at, each in enumerate(commands) if limits.get(at, kind) == kind]
            for piece in _pieces(wanted, apart):
                feed.take(*piece)


def _pieces(commands: list[tuple[int, Argv]], apart: bool) -> list[tuple[int, bytes, bytes]]:
    """The unit in RESP, cut where the database changes, or into its commands."""
    if apart or len(commands) <= 1:
        return [(db_index, encode_command(argv), b"") for db_index, argv in commands]
    pieces: list[tuple[int, bytes, bytes]] = []
    wires: list[bytes] = []
    head = _MULTI
    at = commands[0][0]
    for db_index, argv in commands:
        if db_index != at:
            pieces.append((at, b"".join(wires), head))
            wires.clear()
            head = b""
            at = db_index
        wires.append(encode_command(argv))
    wires.append(_EXEC)
    pieces.append((at, b"".join(wires), head))
    return pieces
