"""The data server without I/O: bytes of clients in, bytes for clients out.

Theory of operation. The shell calls ``begin_batch`` once for all connections that are
readable, ``feed`` for each of them, and ``end_batch``; then it sends what stands in
``out`` of every session in ``take_output``. The time is read once a batch, as Redis
reads it once an event-loop cycle.

``feed`` is the hot path. One C call splits the input at line ends. In a well-formed
request every second part is a length header, so a request is recognised by comparing
headers with a table (``b"$0", b"$1", ...``) indexed by the real lengths: no number is
parsed, and a value that holds a line break simply fails the comparison. Whatever fails
(cut requests, odd spellings, subcommands, inline commands, errors) goes to the exact
parser and to ``execute``, which does the same work in the open.

Around a handler's run there is nothing but a clock reading and three counters. What
else a command can cause is announced in one flag, ``ks.after``: the unit of effects is
to be closed, a key became ready for those who wait, a session changed its mode.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pyredis.blocking import Waiters
from pyredis.commands.registry import Entry, Table
from pyredis.context import Context
from pyredis.gates import Pause, gates_for
from pyredis.keyspace import TOUCH_LFU, TOUCH_LRU, TOUCH_NOT, Database, Keyspace
from pyredis.pubsub import PubSub
from pyredis.resp import (
    INTEGERS,
    NO_REPLY,
    Error,
    ProtocolError,
    Replies,
    Simple,
    encode,
    encode_into,
)
from pyredis.session import (
    REPLY_OFF,
    REPLY_ON,
    REPLY_SKIP,
    REPLY_SKIP_NEXT,
    Address,
    Block,
    Session,
)
from pyredis.stats import Stats
from pyredis.unit import EVENT_CLASS, Feed

if TYPE_CHECKING:
    from pyredis.config import Config
    from pyredis.ports import Clock, Rng

CRLF: Final = b"\r\n"
FAST_MAX_BYTES: Final = 16384
"""Largest input taken apart by splitting; also what the shell reads at once."""
_COUNTS: Final = {b"*%d" % n: n for n in range(1, 1025)}
_LENGTHS: Final = tuple(b"$%d" % n for n in range(2 * FAST_MAX_BYTES + 1))
_PIECE_BYTES: Final = 4096

LogFn = Callable[[str, str], None]


class Engine:
    """A Redis-compatible data server as an object. Nothing here blocks or waits."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        rng: Rng,
        table: Table,
        log: LogFn = lambda level, text: None,
    ) -> None:
        self.config = config
        self.clock = clock
        self.rng = rng
        self.table = table
        self.log = log
        self.stats = Stats()
        self.ks = Keyspace(config.databases, rng)
        self.ks.set_time(clock.now_ms())
        self.started_ms = self.ks.now_ms
        self.run_id = "%040x" % rng.getrandbits(160)
        self.sessions: dict[int, Session] = {}
        self.next_id = 1
        self.waiters = Waiters(self.ks)
        self.pubsub = PubSub(self.push)
        self.pause = Pause()
        self.monitors: dict[Session, None] = {}
        self.gates: list[Any] = []
        self.feeds: list[Feed] = []
        self.doomed: list[Session] = []
        self.exit_status: int | None = None  # set when the process is to end
        self.config_path: str | None = None
        self.arguments: list[str] = []
        self.ctx = Context(self, config, self.ks, rng)
        self.slow_ns = 10_000_000
        self._with_output: list[Session] = []
        self._running: Session | None = None
        self._deferred: list[bytes] = []
        self._resumed: list[Session] = []
        self._clock_ns = clock.steady_ns
        self._notify: frozenset[str] = frozenset()
        self._serving = False
        self._follow_config()

    # The shell's side

    @property
    def now_ms(self) -> int:
        """The time of the running batch."""
        return self.ks.now_ms

    def connect(self, address: Address) -> Session:
        """A client has come. It starts authenticated unless a password is set."""
        session = Session(self.next_id, self.ks.dbs[0], address, self.ks.now_ms)
        self.next_id += 1
        self.sessions[session.id] = session
        self.stats.connections += 1
        session.authenticated = not self.config.requirepass
        self.refresh(session)
        return session

    def disconnect(self, session: Session) -> None:
        """The client is gone: forget all that was kept for it."""
        if self.sessions.pop(session.id, None) is None:
            return
        session.closing = "now"
        self.waiters.release(session)
        self.unwatch(session)
        self.pubsub.forget(session)
        if session.monitor:
            del self.monitors[session]
            self.refresh_all()
        session.multi = None
        session.out.clear()

    def begin_batch(self) -> None:
        """Fix the time for the commands that follow."""
        self.ks.set_time(self.clock.now_ms())

    def end_batch(self) -> None:
        """Serve what time has brought: deadlines of blocked clients, ends of pauses."""
        now_ms = self.ks.now_ms
        for session in self.waiters.expired(now_ms):
            self.unblock(session, timed_out=True)
        if self.pause.active and self.pause.expire(now_ms):
            self.resume_paused()
        if self.ks.after:
            self._close_unit()
        while self._resumed:
            session = self._resumed.pop(0)
            if not session.closing and session.blocked is None:
                self._drain(session)
                self._queue_output(session)

    def deadline_ms(self) -> int | None:
        """When ``end_batch`` has to run next even if no input comes, None if it need not."""
        ends = (self.waiters.next_deadline_ms(), self.pause.end_ms())
        return min((end for end in ends if end is not None), default=None)

    def take_output(self) -> list[Session]:
        """The sessions with bytes in ``out``, each once."""
        sessions, self._with_output = self._with_output, []
        for session in sessions:
            session.queued = False
        return sessions

    def take_doomed(self) -> list[Session]:
        """The sessions to close: at once, or ("reply") when their output is sent."""
        doomed, self.doomed = self.doomed, []
        return doomed

    def feed(self, session: Session, data: bytes) -> None:
        """Take input of a client and run the requests in it, in order.

        Replies are appended to ``session.out``. Bytes of an unfinished request, and all
        input of a blocked client, are kept for later. A protocol error becomes the last
        reply; the session is then among ``take_doomed``.
        """
        ks = self.ks
        reader = session.reader
        session.last_ms = ks.now_ms
        session.read_bytes += len(data)
        if session.blocked is not None or session.closing:
            reader.receive(data)
            self._bound_input(session)
            return
        if reader.busy:
            held = reader.take_back(_PIECE_BYTES)
            if held is None:
                reader.receive(data)
                self._drain(session)
                self._queue_output(session)
                return
            data = held + data
        if session.gates or len(data) > 2 * FAST_MAX_BYTES:
            reader.receive(data)
            self._drain(session)
            self._queue_output(session)
            return

        ctx = self.ctx
        ctx.session = self._running = session
        ctx.db = session.db
        tokens = self.table.by_token
        clock_ns = self._clock_ns
        slow_ns = self.slow_ns
        out = session.out.append
        parts = data.split(CRLF)
        end = len(parts) - 1
        at = 0
        entry: Entry | None = None
        start_ns = clock_ns()
        while at < end:
            count = _COUNTS.get(parts[at])
            if count is None:
                break
            after = at + 2 * count + 1
            if after > end:
                break
            found = tokens.get(parts[at + 2])
            if found is None or parts[at + 1] != found.header or found.children:
                break
            entry = found
            try:
                if not entry.arity_min <= count <= entry.arity_max:
                    break
                if count == 3:
                    key = parts[at + 4]
                    value = parts[at + 6]
                    if (
                        parts[at + 3] != _LENGTHS[len(key)]
                        or parts[at + 5] != _LENGTHS[len(value)]
                    ):
                        break
                    reply = entry.handler(ctx, key, value)
                elif count == 2:
                    key = parts[at + 4]
                    if parts[at + 3] != _LENGTHS[len(key)]:
                        break
                    reply = entry.handler(ctx, key)
                else:
                    args = parts[at + 4 : after : 2]
                    if parts[at + 3 : after : 2] != [_LENGTHS[len(arg)] for arg in args]:
                        break
                    reply = entry.handler(ctx, *args)
            except Error as error:
                reply = error
                entry.failed += 1
                self.stats.count_error(error)
            except Exception:
                reply = self._crashed(entry, parts[at + 2 : after : 2])
            kind = type(reply)
            if kind is Simple:
                out(reply.wire)
            elif kind is bytes:
                size = len(reply)
                if size < _PIECE_BYTES:
                    out(b"$%d\r\n%b\r\n" % (size, reply))
                else:
                    encode_into(session.out, reply, False)
                    self.check_output_limit(session)
            elif kind is int:
                out(INTEGERS[reply] if 0 <= reply < 1024 else b":%d\r\n" % reply)
            elif kind is not Block:
                encode_into(session.out, reply, session.resp3)
                if kind is list:
                    self.check_output_limit(session)
            now_ns = clock_ns()
            spent_ns = now_ns - start_ns
            start_ns = now_ns
            entry.latency[spent_ns.bit_length()] += 1
            entry.duration_ns += spent_ns
            if spent_ns > slow_ns:
                self.stats.record_slow(self, session, entry, parts[at + 2 : after : 2], spent_ns)
            if ks.after or kind is Block:
                argv = parts[at + 2 : after : 2]
                at = after
                if kind is Block:
                    self._park(session, reply, entry, argv)
                    break
                self._after_command(session, argv)
                if session.closing or session.blocked is not None or session.gates:
                    break
                ctx.session = self._running = session
                ctx.db = session.db
                start_ns = clock_ns()
            else:
                at = after
        session.last_command = entry
        if at < end or parts[end]:
            reader.receive(CRLF.join(parts[at:]))
            if session.blocked is None:
                self._drain(session)
        self._running = None
        if self._deferred:
            self._flush_deferred(session)
        if not session.queued and session.out:
            session.queued = True
            self._with_output.append(session)

    # The careful path

    def _drain(self, session: Session) -> None:
        """Run the requests the exact reader has, until it has none or the session stops."""
        reader = session.reader
        bulk_max_bytes = self.config.proto_max_bulk_len
        while session.blocked is None and not session.closing:
            try:
                argv = reader.next(bulk_max_bytes, session.authenticated)
            except ProtocolError as error:
                self._protocol_error(session, error)
                return
            if argv is None:
                break
            self.execute(session, argv)
        if reader.busy:
            self._bound_input(session)

    def execute(self, session: Session, argv: list[bytes]) -> None:
        """Run one request through all gates and put its reply into ``session.out``."""
        ctx = self.ctx
        ctx.session = self._running = session
        ctx.db = session.db
        entry, reply = self._admit(session, argv)
        if entry is not None:
            session.last_command = entry
            if reply is None:
                reply = self.call(session, entry, argv)
        if type(reply) is Block:
            assert entry is not None
            self._park(session, reply, entry, argv)
        else:
            self._reply(session, reply)
        if self.ks.after:
            self._after_command(session, argv)
        if self._deferred:
            self._flush_deferred(session)
        self._running = None

    def _admit(self, session: Session, argv: list[bytes]) -> tuple[Entry | None, Any]:
        """The entry to run and None; or a reply that stands in for running it."""
        entry = self.table.find(argv)
        problem: Error | None = None
        if entry is None:
            problem = unknown_command(argv)
        elif entry.children and len(argv) > 1:
            problem = Error(
                f"ERR unknown subcommand '{_shown(argv[1], 128)}'. "
                f"Try {entry.spec.name} HELP."
            )
        elif not entry.arity_min <= len(argv) <= entry.arity_max:
            problem = Error(f"ERR wrong number of arguments for '{entry.name}' command")
        if problem is None:
            assert entry is not None
            for gate in session.gates:
                reply = gate(self, session, entry, argv)
                if reply is None:
                    continue
                if isinstance(reply, Error):
                    problem = reply
                    break
                return entry, reply
            else:
                return entry, None
        if entry is not None:
            entry.rejected += 1
        self.stats.count_error(problem)
        if session.multi is not None and (entry is None or entry.spec.name != "EXEC"):
            session.dirty_exec = "error"
        elif session.multi is not None:
            self.discard(session)
            problem = Error(b"EXECABORT Transaction discarded because of: " + problem.text)
        return entry, problem

    def call(self, session: Session, entry: Entry, argv: list[bytes]) -> Any:
        """Run an admitted command and count it. An error is returned, not raised."""
        unit = self.ks.unit
        unit.begin_command()
        if self.monitors and not entry.spec.flags & {"skip_monitor", "admin"}:
            self.stats.show_to_monitors(self, session, argv)
        mode = self.ks.touch_mode
        if session.no_touch and entry.spec.name != "TOUCH":
            self.ks.touch_mode = TOUCH_NOT
        db_index = session.db.index
        start_ns = self._clock_ns()
        try:
            reply = entry.handler(self.ctx, *argv[2 if " " in entry.spec.name else 1 :])
        except Error as error:
            reply = error
            entry.failed += 1
            self.stats.count_error(error)
        except Exception:
            reply = self._crashed(entry, argv)
        spent_ns = self._clock_ns() - start_ns
        if session.no_touch:
            self.ks.touch_mode = mode
        if type(reply) is not Block:
            entry.latency[spent_ns.bit_length()] += 1
            entry.duration_ns += spent_ns
            if spent_ns > self.slow_ns and "skip_slowlog" not in entry.spec.flags:
                self.stats.record_slow(self, session, entry, argv, spent_ns)
        if unit.dirty or unit.explicit:
            unit.end_command(db_index, tuple(argv))
        return reply

    def _reply(self, session: Session, reply: Any) -> None:
        mode = session.reply_mode
        if mode == REPLY_ON:
            encode_into(session.out, reply, session.resp3)
            self.check_output_limit(session)
        elif mode == REPLY_SKIP_NEXT:
            session.reply_mode = REPLY_SKIP
        elif mode == REPLY_SKIP:
            session.reply_mode = REPLY_ON
            self.refresh(session)

    def _after_command(self, session: Session, argv: list[bytes]) -> None:
        """Close the unit of the command that has just run, unless an outer one is open."""
        unit = self.ks.unit
        if unit.dirty:
            unit.end_command(session.db.index, tuple(argv))
        if unit.depth == 0:
            self._close_unit()

    def _close_unit(self) -> None:
        """Derive everything from the recorded changes, then serve whom they concern."""
        ks = self.ks
        unit = ks.unit
        while ks.after:
            ks.after = False
            if unit.changes:
                changes, unit.changes = unit.changes, []
                self._announce(changes)
            if unit.commands:
                commands = unit.take_commands()
                for feed in self.feeds:
                    feed(commands)
            if ks.ready and not self._serving:
                self._serve_ready()

    def _announce(self, changes: list[tuple[Database, bytes, str]]) -> None:
        notify = self._notify
        for db, key, event in changes:
            if db.watched and event not in ("keymiss", "new"):
                for session in db.watched.get(key, ()):
                    session.dirty_exec = session.dirty_exec or "cas"
            if notify and EVENT_CLASS[event] in notify:
                if "K" in notify:
                    channel = b"__keyspace@%d__:%b" % (db.index, key)
                    self.pubsub.publish(channel, event.encode())
                if "E" in notify:
                    channel = b"__keyevent@%d__:%b" % (db.index, event.encode())
                    self.pubsub.publish(channel, key)

    # Blocked clients

    def _park(self, session: Session, block: Block, entry: Entry, argv: list[bytes]) -> None:
        self.waiters.block(session, block, entry, argv, self._clock_ns())
        self.ks.unit.begin_command()

    def _serve_ready(self) -> None:
        """Let clients that wait for keys try again, key by key, first come, first served."""
        ks = self.ks
        running = self._running
        self._serving = True
        while ks.ready:
            ready = list(ks.ready)
            ks.ready.clear()
            for db, key in ready:
                for session in self.waiters.queue(db, key):
                    if self.waiters.may_serve(session, db.peek(key)):
                        self._retry(session)
        self._serving = False
        self._running = running

    def _retry(self, session: Session) -> None:
        """Run a blocked client's command again; it stays in its place if it still must wait."""
        state = session.blocked
        assert state is not None
        ctx = self.ctx
        ctx.session = self._running = session
        ctx.db = session.db
        reply = self.call(session, state.entry, state.argv)
        if type(reply) is Block:
            self.ks.unit.begin_command()
        else:
            self.waiters.release(session)
            self._reply(session, reply)
            self._resumed.append(session)
            self._queue_output(session)
        self._running = None
        if self.ks.after:
            self._close_unit()

    def unblock(self, session: Session, timed_out: bool = False, error: str = "") -> bool:
        """End a wait from outside: with the timeout reply or an error. False if none was."""
        state = self.waiters.release(session)
        if state is None:
            return False
        if error:
            problem = Error(error)
            self.stats.count_error(problem)
            self._reply(session, problem)
        else:
            self._reply(session, state.block.on_timeout)
        self._resumed.append(session)
        self._queue_output(session)
        return True

    def resume_paused(self) -> None:
        """The pause ended or was lifted: run the commands that were held up."""
        self.refresh_all()
        for session in list(self.waiters.blocked):
            state = session.blocked
            if state is not None and state.block.on_timeout is NO_REPLY:
                self.waiters.release(session)
                self.execute(session, state.argv)
                self._resumed.append(session)
                self._queue_output(session)

    # What handlers ask for

    def push(self, session: Session, wire: bytes) -> None:
        """Send bytes outside any reply; to the running client, behind its reply."""
        if session is self._running:
            self._deferred.append(wire)
            return
        session.out.append(wire)
        self.check_output_limit(session)
        self._queue_output(session)

    def _flush_deferred(self, session: Session) -> None:
        session.out.extend(self._deferred)
        self._deferred.clear()

    def close(self, session: Session, when: str = "reply") -> None:
        """Have the shell close the connection: "now", or once its output is sent."""
        if session.closing != "now":
            if not session.closing or when == "now":
                self.doomed.append(session)
            session.closing = when
        self.ks.after = True

    def refresh(self, session: Session) -> None:
        """The session's mode has changed: find its gates anew."""
        session.gates = gates_for(self, session)
        self.ks.after = True

    def refresh_all(self) -> None:
        """A gate of the server has changed."""
        for session in self.sessions.values():
            session.gates = gates_for(self, session)
        self.ks.may_expire = not self.pause.pauses_writes
        self.ks.after = True

    def observe(self) -> None:
        """Find out whether anybody derives something from changes."""
        ks = self.ks
        ks.feeds = bool(self.feeds)
        ks.observed = bool(
            self.feeds or self._notify or any(db.watched for db in ks.dbs)
        )

    def _follow_config(self) -> None:
        """Apply the settings that the core keeps in a form of its own, now and when they change."""
        for names, apply in (
            (("slowlog-log-slower-than",), self._apply_slowlog),
            (("notify-keyspace-events",), self._apply_notify),
            (("maxmemory-policy", "lfu-log-factor", "lfu-decay-time"), self._apply_touch),
            (("lazyfree-lazy-expire",), self._apply_lazy_expire),
        ):
            apply()
            self.config.subscribe(names, apply)

    def _apply_slowlog(self) -> None:
        limit_us = self.config.slowlog_log_slower_than
        self.slow_ns = limit_us * 1000 if limit_us >= 0 else 1 << 62

    def _apply_notify(self) -> None:
        flags = self.config.notify_keyspace_events
        self._notify = flags if flags & {"K", "E"} else frozenset()
        self.observe()

    def _apply_touch(self) -> None:
        """Keys carry an idle clock or a use counter; a switch between them starts afresh."""
        ks = self.ks
        ks.lfu_log_factor = self.config.lfu_log_factor
        ks.lfu_decay_time = self.config.lfu_decay_time
        mode = TOUCH_LFU if "lfu" in self.config.maxmemory_policy else TOUCH_LRU
        if mode != ks.touch_mode:
            ks.touch_mode = mode
            for db in ks.dbs:
                db.forget_use()

    def _apply_lazy_expire(self) -> None:
        self.ks.lazy_expire_unlink = self.config.lazyfree_lazy_expire

    # Transactions

    def watch(self, session: Session, key: bytes) -> None:
        """Note the key; a change before EXEC makes EXEC fail."""
        db = session.db
        if (db, key) not in session.watching:
            session.watching[db, key] = db.is_expired(key)
            db.watched.setdefault(key, set()).add(session)
            self.observe()

    def unwatch(self, session: Session) -> None:
        """Forget all watched keys."""
        if not session.watching:
            return
        for db, key in session.watching:
            watchers = db.watched[key]
            watchers.discard(session)
            if not watchers:
                del db.watched[key]
        session.watching.clear()
        self.observe()

    def discard(self, session: Session) -> None:
        """Leave MULTI without executing."""
        session.multi = None
        session.multi_bytes = 0
        session.dirty_exec = ""
        self.unwatch(session)
        self.refresh(session)

    def touch_all_watched(self, db: Database, gained: Database | None = None) -> None:
        """All of a database vanished, or is replaced by ``gained``: spoil its watchers."""
        for key, sessions in db.watched.items():
            if key in db.data or (gained is not None and key in gained.data):
                for session in sessions:
                    if not session.watching.get((db, key)):
                        session.dirty_exec = session.dirty_exec or "cas"

    # Limits and errors

    def _queue_output(self, session: Session) -> None:
        if session.out and not session.queued:
            session.queued = True
            self._with_output.append(session)

    def check_output_limit(self, session: Session) -> None:
        """Close a client whose unsent replies exceed the limits of its class."""
        limits = self.config.client_output_buffer_limit
        hard, soft, soft_s = limits.normal if session.kind == "normal" else limits.pubsub
        if not hard and not soft:
            return
        held = session.unsent_bytes + sum(map(len, session.out))
        over_soft = bool(soft) and held > soft
        if over_soft and not session.obuf_soft_since_ms:
            session.obuf_soft_since_ms = self.ks.now_ms
        elif not over_soft:
            session.obuf_soft_since_ms = 0
        too_long = over_soft and self.ks.now_ms - session.obuf_soft_since_ms > soft_s * 1000
        if (hard and held > hard) or too_long:
            self.stats.output_limit_disconnections += 1
            self.log(
                "warning",
                f"Client id={session.id} addr={session.address.peer} scheduled to be closed "
                "ASAP for overcoming of output buffer limits.",
            )
            session.out.clear()
            self.close(session, "now")

    def _bound_input(self, session: Session) -> None:
        held = session.reader.held_bytes
        session.query_peak_bytes = max(session.query_peak_bytes, held)
        if held > self.config.client_query_buffer_limit:
            self.stats.query_limit_disconnections += 1
            self.log(
                "warning",
                f"Closing client that reached max query buffer length: id={session.id} "
                f"addr={session.address.peer} qbuf={held}",
            )
            self.close(session, "now")

    def _protocol_error(self, session: Session, error: ProtocolError) -> None:
        self.log(
            "verbose",
            f"Protocol error ({error.text}) from client: id={session.id} "
            f"addr={session.address.peer}",
        )
        problem = Error(f"ERR Protocol error: {error.text}")
        self.stats.count_error(problem)
        self._reply(session, problem)
        self.close(session)

    def _crashed(self, entry: Entry, argv: list[bytes]) -> Error:
        """A defect of ours: the client gets an error, the log the whole story."""
        self.log(
            "warning",
            f"=== BUG REPORT: {entry.name} failed with {len(argv) - 1} arguments\n"
            f"{traceback.format_exc()}",
        )
        entry.failed += 1
        self.stats.unexpected_errors += 1
        return Error(f"ERR internal error in '{entry.name}', see the server's log")


def _shown(data: bytes, limit: int) -> str:
    return data[:limit].decode("utf-8", "surrogateescape")


def unknown_command(argv: list[bytes]) -> Error:
    """Redis' error for a name that is no command, with the beginning of the arguments."""
    text = ""
    for arg in argv[1:]:
        if len(text) >= 128:
            break
        text += f"'{_shown(arg, 128 - len(text))}' "
    return Error(
        f"ERR unknown command '{_shown(argv[0], 128)}', with args beginning with: {text}"
    )


__all__ = ["Engine", "NO_REPLY", "Replies", "encode", "REPLY_OFF"]
