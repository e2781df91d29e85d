"""What the server counts about itself: for INFO, SLOWLOG, LATENCY and MONITOR."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyredis.quoting import quote
from pyredis.resp import Error, Simple

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.engine import Engine
    from pyredis.session import Session

_ERROR_KINDS_MAX: Final = 128
_TOO_MANY: Final = "ERRORSTATS_DISABLED"
_SLOW_ARGS_MAX: Final = 32
_SLOW_ARG_BYTES_MAX: Final = 128


@dataclass(frozen=True, slots=True)
class SlowCall:
    """One entry of the slow log."""

    number: int
    time_s: int
    duration_us: int
    argv: tuple[bytes, ...]
    peer: str
    name: bytes


def hide_secrets(argv: list[bytes], secrets: frozenset[int]) -> list[bytes]:
    """The request as others may see it."""
    if not secrets:
        return argv
    return [b"(redacted)" if at in secrets else arg for at, arg in enumerate(argv)]


class Stats:
    """Counters since the start or since CONFIG RESETSTAT."""

    def __init__(self, log: Callable[[str, str], None]) -> None:
        self._log = log
        self.slow_calls: deque[SlowCall] = deque()
        self.slow_next = 0
        self.reset()

    def reset(self) -> None:
        """CONFIG RESETSTAT: everything but the slow log."""
        self.connections = 0
        self.rejected_connections = 0
        self.input_bytes = 0
        self.output_bytes = 0
        self.reads = 0
        self.writes = 0
        self.errors: Counter[str] = Counter()
        self.total_errors = 0
        self.unexpected_errors = 0
        self.output_limit_disconnections = 0
        self.query_limit_disconnections = 0
        self.evicted_clients = 0
        self.cycles = 0  # turns of the loop with clients or chores to look after
        self.cycles_ns = 0
        self.cycle_max_ns = 0
        self.cron_ns = 0
        self.denied = dict.fromkeys(("auth", "command", "key", "channel"), 0)  # by ACL

    def count_error(self, error: Error) -> None:
        """An error reply was sent. Kinds are bounded, since scripts can invent them.

        When there are too many, no more are told apart until CONFIG RESETSTAT.
        """
        self.total_errors += 1
        code, errors = error.code, self.errors
        if code in errors or (len(errors) < _ERROR_KINDS_MAX and _TOO_MANY not in errors):
            errors[code] += 1
        elif _TOO_MANY not in errors:
            self._log(
                "warning",
                "Errorstats stopped adding new errors because the number of errors reached the "
                "limit, may be misuse of lua error_reply, please check INFO ERRORSTATS, this can "
                "be re-enabled via CONFIG RESETSTAT.",
            )
            self._log("warning", f"Current errors code list: {', '.join(sorted(errors))}")
            self.errors = Counter({_TOO_MANY: 1})

    def record_slow(
        self, engine: Engine, session: Session, entry: Entry, argv: list[bytes], spent_ns: int
    ) -> None:
        """Put a call on the slow log, long arguments shortened as Redis shortens them."""
        if "skip_slowlog" in entry.spec.flags:
            return
        limit = engine.config.slowlog_max_len
        if limit <= 0:
            return
        argv = hide_secrets(argv, engine.ctx.secrets)
        shown = argv[:_SLOW_ARGS_MAX]
        if len(argv) > _SLOW_ARGS_MAX:
            more = len(argv) - _SLOW_ARGS_MAX + 1
            shown = [*argv[: _SLOW_ARGS_MAX - 1], b"... (%d more arguments)" % more]
        short = tuple(
            arg
            if len(arg) <= _SLOW_ARG_BYTES_MAX
            else arg[:_SLOW_ARG_BYTES_MAX]
            + b"... (%d more bytes)" % (len(arg) - _SLOW_ARG_BYTES_MAX)
            for arg in shown
        )
        self.slow_calls.appendleft(
            SlowCall(
                self.slow_next,
                engine.now_ms // 1000,
                spent_ns // 1000,
                short,
                session.address.peer,
                session.name,
            )
        )
        self.slow_next += 1
        while len(self.slow_calls) > limit:
            self.slow_calls.pop()

    def show_to_monitors(self, engine: Engine, session: Session, argv: list[bytes]) -> None:
        """Send the line MONITOR prints for a command to every monitor."""
        now_us = engine.clock.now_us()
        peer = session.address.peer
        if session is engine.scripting.session:
            peer = "lua"
        elif session.address.unix:
            peer = "unix:" + peer.removesuffix(":0")
        line = b"%d.%06d [%d %b] %b" % (
            now_us // 1_000_000,
            now_us % 1_000_000,
            session.db.index,
            peer.encode("utf-8", "surrogateescape"),
            b" ".join(map(quote, hide_secrets(argv, engine.ctx.secrets))),
        )
        wire = Simple(line).wire
        for monitor in list(engine.monitors):
            engine.push(monitor, wire)
