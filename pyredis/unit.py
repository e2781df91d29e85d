"""The effects of one unit of execution, gathered once and handed to everybody.

A unit is one command, one EXEC, one script, one expired or evicted key, together with
all that it causes. While it runs, the keyspace records two kinds of things in it:

* *changes* ``(db, key, event)``: what WATCH, key notifications and client tracking
  derive from;
* *commands* ``(db index, argv)``: what the AOF and the replicas are to execute so as
  to arrive at the same data. By default that is the request itself if it changed
  anything. A handler whose result depends on time, chance or who waited says what to
  write instead (EXPIRE becomes PEXPIREAT, SPOP becomes SREM).

When nobody listens nothing is recorded: the keyspace then only counts its changes.
Closing the unit wraps several commands in MULTI and EXEC, so they take effect together
elsewhere too, and gives the same list to every feed.

Model: Redis 7's ``propagatePendingCommands``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyredis.keyspace import Database

Argv = tuple[bytes, ...]
Feed = Callable[[list[tuple[int, Argv]]], None]
"""A consumer of closed units: database index and request, in order.

It may have an attribute ``kind``, "aof" or "replicas": a script can say which of them its
commands are for.
"""

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

    __slots__ = ("changes", "commands", "depth", "dirty", "explicit", "limits")

    def __init__(self) -> None:
        self.changes: list[tuple[Database, bytes, str]] = []
        self.commands: list[tuple[int, Argv]] = []
        self.dirty = False  # the running command changed something
        self.explicit = False  # the running command said what to propagate
        self.depth = 0  # EXEC and scripts hold the unit open
        self.limits: dict[int, str] = {}  # commands (by place) that only one kind of feed gets

    def begin_command(self) -> None:
        """A new command starts inside the unit."""
        self.dirty = self.explicit = False

    def end_command(self, db_index: int, argv: Argv) -> None:
        """The command is over: by default, a change propagates the request as it came."""
        if self.dirty and not self.explicit:
            self.commands.append((db_index, argv))
        self.dirty = self.explicit = False

    def take_commands(self) -> list[tuple[int, Argv]]:
        """The commands to propagate, as one transaction when there are several."""
        commands, self.commands = self.commands, []
        return _together(commands)

    def limit(self, since: int, kind: str) -> None:
        """The commands from that place on are for one kind of feed only (redis.set_repl)."""
        self.limits.update(dict.fromkeys(range(since, len(self.commands)), kind))

    def take_commands_for(self, kinds: list[str]) -> list[list[tuple[int, Argv]]]:
        """What feeds of these kinds get, where some commands are limited to a kind."""
        commands, self.commands = self.commands, []
        limits, self.limits = self.limits, {}
        return [
            _together([each for at, each in enumerate(commands) if limits.get(at, kind) == kind])
            for kind in kinds
        ]


def _together(commands: list[tuple[int, Argv]]) -> list[tuple[int, Argv]]:
    if len(commands) > 1:
        return [
            (commands[0][0], (b"MULTI",)),
            *commands,
            (commands[-1][0], (b"EXEC",)),
        ]
    return commands
