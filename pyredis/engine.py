"""The data server without I/O: bytes of clients in, bytes for clients out.

Theory of operation. The shell calls ``begin_batch`` once for all connections that are
readable, ``feed`` for each of them, and ``end_batch``; then it sends what stands in
``out`` of every session in ``take_output``. The time is read once a batch, as Redis
reads it once an event-loop cycle.

Plain requests run in ``hotpath.py``. Everything else (cut requests, odd spellings,
subcommands, sessions in a special mode) goes through the exact parser and ``execute``,
where every step that a request takes can be read in order: admission, the call itself
with its counters, the reply, and the closing of its unit of effects.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pyredis import hotpath
from pyredis.account import Account
from pyredis.acl import Acl
from pyredis.acl_guard import Guard
from pyredis.blocking import Waiters
from pyredis.client_memory import ClientMemory
from pyredis.commands.registry import Entry, Table
from pyredis.context import Context
from pyredis.defects import story
from pyredis.evict import Evictor
from pyredis.expire import ActiveExpire, Kind
from pyredis.follow import follow_config
from pyredis.gates import SERVER_GATES, Pause, gates_for, misfit
from pyredis.host import Host
from pyredis.keyspace import TOUCH_NOT, Database, Keyspace
from pyredis.keyspecs import find_keys
from pyredis.latency import LatencyMonitor
from pyredis.lazyfree import LazyFree
from pyredis.limits import ATTACK_LOG_MS, abort_attack, check_input, check_output, refuse
from pyredis.memory import MemoryMeter
from pyredis.metrics import Metrics
from pyredis.persistence.aof_keeper import AofKeeper
from pyredis.persistence.child import ChildKeeper
from pyredis.persistence.saver import Saver
from pyredis.pubsub import PubSub
from pyredis.replication.node import Replication
from pyredis.resp import (
    NO_REPLY,
    Error,
    ProtocolError,
    PushReply,
    Replies,
    encode_into,
)
from pyredis.scripting.manager import Scripting
from pyredis.serving import Serving
from pyredis.session import (
    REPLY_OFF,
    REPLY_ON,
    REPLY_SKIP,
    REPLY_SKIP_NEXT,
    Address,
    Block,
    Session,
)
from pyredis.shutdown import Shutdown
from pyredis.stats import Stats
from pyredis.switches import Switches
from pyredis.tracking import Tracking
from pyredis.unit import EVENT_CLASS, UNWATCHED, Feed
from pyredis.watch import Watches

if TYPE_CHECKING:
    from pyredis.config import Config
    from pyredis.machine import Action, Event
    from pyredis.ports import Clock, Rng

_UNMONITORED: Final = frozenset(("skip_monitor", "admin"))
_TIDY_STEPS: Final = 1000  # places of a key index looked at in one turn of the cron

_OF_BROWSERS: Final = (b"post", b"host:")
"""First words of lines that HTTP requests to strange servers cannot do without."""


_HELD_MAX_BYTES: Final = 4096
"""A cut request up to this size is put before the next input, for the hot path to try again."""

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
        host: Host | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self.rng = rng
        self.table = table
        self.log = log
        self.host = host or Host()
        self.stats = Stats(lambda level, text: self.log(level, text))
        self.ks = Keyspace(config.databases, rng)
        self.ks.set_time(clock.now_ms())
        self.started_ms = self.ks.now_ms
        self.run_id = f"{rng.getrandbits(160):040x}"
        self.mode = "cluster" if config.cluster_enabled else "standalone"
        self.role = "master"  # or "replica"
        # The shell puts a source here that is fit for secrets.
        self.random_bytes: Callable[[int], bytes] = rng.randbytes
        self.acl = Acl(table, config)
        self.guard = Guard(self)
        self.sessions: dict[int, Session] = {}
        self.next_id = 1
        self.waiters = Waiters(self.ks)
        self.serving = Serving(self)
        self.pubsub = PubSub(self.push)
        self.watches = Watches(self.observe)
        self.tracking = Tracking(self.sessions, self.push, rng)
        self.expire = ActiveExpire(self.ks, clock, self.close_unit)
        self.lazyfree = LazyFree(clock)
        self.ks.free = self.lazyfree.add
        self.account = Account(self.ks, clock)
        self.memory = MemoryMeter(self)
        self.client_memory = ClientMemory(self)
        self.metrics = Metrics(self)
        self.latency = LatencyMonitor()
        self.switches = Switches()
        self.pause = Pause()
        self.scripting = Scripting(self)
        self.poll_clients: Callable[[], None] = lambda: None  # the shell's, for busy scripts
        self.bundle_output: Callable[[Session], None] = lambda session: None  # the shell's, too
        self.monitors: dict[Session, None] = {}
        self.gates: list[Any] = []
        self.feeds: list[Feed] = []
        self.doomed: list[Session] = []
        self.exit_status: int | None = None  # set when the process is to end
        self.config_path: str | None = None
        # Raises OSError. ``everything``: even what has its default.
        self.rewrite_config: Callable[..., None] | None = None
        self.arguments: list[str] = []
        self.evictor = Evictor(self)
        self.child = ChildKeeper(self)
        self.saver = Saver(self)
        self.replaced: list[Callable[[], None]] = []  # told when all data are others'
        self.aof = AofKeeper(self)
        self.replication = Replication(self)
        self.shutdown = Shutdown(self)
        self.cron_jobs: list[Callable[[], None]] = [
            self.shutdown.cron,
            self.metrics.sample,
            self.memory.sample,
            self.client_memory.tick,
            self.evictor.tick,
            self.child.cron,
            self.aof.cron,
            self.saver.cron,
            self.replication.primary.cron,
            self.replication.local_expiry.turn,
        ]
        self.ctx = Context(self, config, self.ks, rng)
        self.slow_ns = 10_000_000  # what takes longer is the slow log's or the latency monitor's
        self.slowlog_ns = 10_000_000
        self._with_output: list[Session] = []
        self.running: Session | None = None
        self.deferred: list[tuple[Session, bytes]] = []
        self.clock_ns = clock.steady_ns
        self.notify_flags: frozenset[str] = frozenset()
        self.attack_logged_ms = -ATTACK_LOG_MS
        follow_config(self)

    # The shell's side

    @property
    def now_ms(self) -> int:
        """The time of the running batch."""
        return self.ks.now_ms

    def connect(self, address: Address) -> Session:
        """A client has come. It is the default user, authenticated if that needs no password."""
        session = Session(self.next_id, self.ks.dbs[0], address, self.ks.now_ms)
        self.next_id += 1
        self.sessions[session.id] = session
        self.stats.connections += 1
        self.guard.greet(session)
        self.refresh(session)
        return session

    def disconnect(self, session: Session) -> None:
        """The client is gone: forget all that was kept for it."""
        if self.sessions.pop(session.id, None) is None:
            return
        session.closing = "now"
        self.client_memory.forget(session)
        session.postponed = False
        self.waiters.release(session)
        self.watches.unwatch(session)
        self.pubsub.forget(session)
        self.untrack(session)
        if session.monitor:
            del self.monitors[session]
            self.refresh_all()
        if session.replica is not None:
            self.replication.primary.forget(session)
        if session.from_primary:
            self.replication.session_gone(session)
        session.multi = None
        session.out.clear()

    def begin_batch(self) -> None:
        """Fix the time for the commands that follow."""
        scripting, ks = self.scripting, self.ks
        if scripting.busy:
            return  # time stands still for a script
        before_ms = ks.now_ms
        ks.set_time(self.clock.now_ms())
        if scripting.was_busy:
            scripting.was_busy = False
            self.replication.excuse(ks.now_ms - before_ms)
        if self.client_memory.limit_bytes:
            self.client_memory.turn()  # all that could be sent has been

    def end_batch(self) -> None:
        """Serve what time has brought: deadlines of blocked clients, ends of pauses."""
        serving, replication = self.serving, self.replication
        if self.waiters.blocked:
            serving.serve_times()
        if replication.alert:
            replication.end_batch()
        if self.shutdown.end_ms is not None:
            self.shutdown.check()
        if serving.pause_lifted or self.pause.reasons:
            serving.serve_paused()
        if self.ks.after:
            self.close_unit()
        if self.expire.pressed:
            self._expire("fast")
        if serving.resumed:
            serving.resume()
        if replication.wants_acks:
            replication.ask_replicas()
        if self.evictor.on:
            self.evictor.turn()
        if self.tracking.clients:
            self.tracking.end_batch()
        if self.aof.feed.file is not None:
            self.aof.end_batch()

    def cron(self) -> None:
        """The chores. The shell calls it ``hz`` times a second between begin and end of a batch."""
        if self.switches.cron_paused:
            return
        self._expire("slow")
        self.ks.tidy(_TIDY_STEPS)
        self.lazyfree.run()
        for job in self.cron_jobs:
            job()

    def _expire(self, kind: Kind) -> None:
        before_ns = self.expire.spent_ns
        self.expire.run(kind, self.config.hz, self.config.active_expire_effort)
        self.latency.add("expire-cycle", self.expire.spent_ns - before_ns, self.now_ms)

    def deadline_ms(self) -> int | None:
        """When ``end_batch`` has to run next even if no input comes, None if it need not."""
        if self.evictor.unfinished or self.serving.resumed:
            return self.ks.now_ms
        soonest_ms = self.replication.deadline()
        end_ms = self.shutdown.end_ms
        if self.waiters.blocked or self.pause.reasons or end_ms is not None:
            if self.lazyfree.awaited:
                return self.ks.now_ms
            ends = [soonest_ms, end_ms, self.pause.end_ms()]
            if self.waiters.blocked:
                ends.append(self.waiters.next_deadline_ms())
            soonest_ms = min([end for end in ends if end is not None], default=None)
        return soonest_ms

    @property
    def has_output(self) -> bool:
        """Whether output has come up since ``take_output``."""
        return bool(self._with_output)

    def take_output(self) -> list[Session]:
        """The sessions with bytes in ``out``, each once, for the shell to send all of it."""
        sessions, self._with_output = self._with_output, []
        now_ms = self.ks.now_ms
        for session in sessions:
            session.queued = False
            session.last_ms = now_ms
            if session.measured_pieces:
                session.measured_bytes = session.measured_pieces = 0
        if self.client_memory.limit_bytes:
            self.client_memory.stale.update(dict.fromkeys(sessions))
        return sessions

    def deliver(self, event: Event) -> None:
        """Something has happened to a link that ``take_actions`` asked for."""
        self.replication.deliver(event)

    def take_actions(self) -> list[Action]:
        """What is to be done with links to other servers, in order."""
        return self.replication.take_actions() if self.replication.actions else []

    def refill(self, session: Session) -> None:
        """All output of a session is sent: if it is being sent a file, the next piece follows."""
        if session.source is not None:
            session.source()

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
        if session.closing or self.exit_status is not None:
            return  # what came after the end would be accepted in vain
        if session.held:
            held = None if session.blocked else reader.take_back(_HELD_MAX_BYTES)
            if held is not None:
                session.held = False
                data = held + data
        if not (session.held or session.gates or session.blocked) and (
            len(data) <= hotpath.INPUT_MAX_BYTES
        ):
            data = hotpath.run(self, session, data)
        if data:
            reader.receive(data)
            if session.held and reader.held_bytes > self.config.client_query_buffer_limit:
                check_input(self, session)
            self.drain(session)
        self.queue_output(session)

    # The careful path

    def drain(self, session: Session) -> None:
        """Run the requests the exact reader has, until it has none or the session stops."""
        reader = session.reader
        bulk_max_bytes = self.config.proto_max_bulk_len
        if session.from_primary:
            bulk_max_bytes = sys.maxsize  # what it has taken has to be taken here
        elif session.replica is not None:
            session.replica.acked_ms = self.now_ms  # a newline is a sign of life, too
        while session.blocked is None and not session.closing and self.exit_status is None:
            try:
                known = session.authenticated or self.acl.open
                argv = reader.next(bulk_max_bytes, known)
            except ProtocolError as error:
                refuse(self, session, error)
                return
            if argv is None:
                break
            if self.client_memory.limit_bytes and not self.client_memory.bears(session, argv):
                return
            self.execute(session, argv)
        session.held = reader.busy
        if session.held:
            session.wanted_bytes = reader.wanted_bytes
            check_input(self, session)

    def execute(self, session: Session, argv: list[bytes]) -> None:
        """Run one request through all gates and put its reply into ``session.out``."""
        ctx = self.ctx
        ctx.session = self.running = session
        ctx.db = session.db
        entry, reply = self.admit(session, argv)
        if entry is not None:
            session.last_command = entry
            if reply is None:
                reply = self.call(session, entry, argv)
        if type(reply) is Block:
            assert entry is not None
            self.serving.park(session, reply, entry, argv)
        else:
            self.reply(session, reply)
        if self.ks.after:
            self.after_command(session, argv)
        self.running = None
        if session.tracker is not None:
            self.tracking.command_over(session, entry)

    def admit(self, session: Session, argv: list[bytes]) -> tuple[Entry | None, Any]:
        """The entry to run and None; or a reply that stands in for running it."""
        entry = self.table.find(argv)
        if entry is None and argv[0].lower() in _OF_BROWSERS:
            abort_attack(self, session)
            return None, NO_REPLY
        problem = misfit(entry, argv)
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
        if entry is not None and entry.spec.name == "EXEC":
            self.discard(session)
            reason = problem.text.removeprefix(b"ERR ")
            problem = Error(b"EXECABORT Transaction discarded because of: " + reason)
        elif session.multi is not None:
            session.dirty_exec = "error"
        self.stats.count_error(problem)
        return entry, problem

    def call(self, session: Session, entry: Entry, argv: list[bytes], again: bool = False) -> Any:
        """Run an admitted command and count it. An error is returned, not raised.

        ``again`` tells that the command waited and was shown to monitors before. Where
        nobody can wait (inside EXEC and scripts) a ``Block`` becomes its timeout reply.
        """
        ks = self.ks
        unit = ks.unit
        unit.begin_command(ks.dirty)
        ctx = self.ctx
        ctx.argv = argv
        mode = ks.touch_mode
        hush = session.no_touch or mode == TOUCH_NOT  # it may be a script's caller who wants it
        if hush:
            ks.touch_mode = TOUCH_NOT if entry.spec.name != "TOUCH" else ks.touch_mode_usual
        db_index = session.db.index
        start_ns = self.clock_ns()
        try:
            reply = entry.handler(ctx, *argv[2 if " " in entry.spec.name else 1 :])
        except Error as error:
            reply = error
            entry.failed += 1
            self.stats.count_error(error)
        except Exception:
            reply = self.crashed(entry, argv)
        spent_ns = self.clock_ns() - start_ns
        if hush:
            ks.touch_mode = mode if mode == TOUCH_NOT else ks.touch_mode_usual
        if type(reply) is Block and unit.depth:
            reply = reply.given_up()
        if type(reply) is not Block:
            entry.latency[spent_ns.bit_length()] += 1
            entry.duration_ns += spent_ns
            if spent_ns > self.slow_ns:
                self.record_slow(session, entry, argv, spent_ns)
        if self.monitors and not again and not entry.spec.flags & _UNMONITORED:
            # After the run, so that the handler could hide its secrets.
            self.stats.show_to_monitors(self, session, argv)
        if ctx.secrets:
            ctx.secrets = frozenset()
        if ks.feeds:
            unit.end_command(ks.dirty, db_index, tuple(argv))
            if unit.commands:
                ks.after = True
        if unit.depth and unit.changes:
            # Inside EXEC and scripts events come between the commands, as messages do.
            changes, unit.changes = unit.changes, []
            self.announce(changes)
        if self.tracking.clients and "readonly" in entry.spec.flags:
            self._remember_keys(entry, argv)
        return reply

    def _remember_keys(self, entry: Entry, argv: list[bytes]) -> None:
        """Enter what the running client has read into the tracking table.

        What reading set off (a key past its time is gone) comes before: it must not take the
        new entry out again. Of a script not its keys count, but the commands that it calls.
        """
        session = self.running
        tracker = session.tracker if session is not None else None
        if tracker is None or not tracker.remembers or "scripting" in entry.spec.categories:
            return
        assert session is not None
        unit = self.ks.unit
        if unit.changes:
            changes, unit.changes = unit.changes, []
            self.announce(changes)
        self.tracking.remember(session, [argv[key.at] for key in find_keys(entry.spec, argv)])

    def reply(self, session: Session, reply: Any) -> None:
        if session.replica is not None and reply is not NO_REPLY and session.replica.attached:
            # It would come between the stream's bytes.
            self.replication.primary.misused(session, reply)
            return
        mode = session.reply_mode
        if mode in (REPLY_OFF, REPLY_SKIP):
            # Confirmations of SUBSCRIBE are messages and come through.
            reply = _messages(reply)
        if reply is not NO_REPLY:
            encode_into(session.out, reply, session.resp3)
            check_output(self, session)
        if mode == REPLY_SKIP_NEXT:
            session.reply_mode = REPLY_SKIP
        elif mode == REPLY_SKIP:
            session.reply_mode = REPLY_ON
            self.refresh(session)

    def after_command(self, session: Session, argv: list[bytes]) -> None:
        """Close the unit of the command that has just run, unless an outer one is open."""
        unit = self.ks.unit
        if self.ks.feeds:
            unit.end_command(self.ks.dirty, session.db.index, tuple(argv))
        self.ctx.secrets = frozenset()
        if unit.depth == 0:
            self.close_unit()
            if self.deferred:
                self.flush_deferred()
            ledger = session.db.ledger
            if ledger is not None and ledger.bytes > ledger.hard:
                self.evictor.make_room()

    def close_unit(self) -> None:
        """Derive everything from the recorded changes, then serve whom they concern.

        Called by the engine after each command, and by whoever runs units of another kind
        (an expired key, an evicted key) after each of them.
        """
        ks = self.ks
        unit = ks.unit
        while ks.after:
            ks.after = False
            if unit.changes:
                changes, unit.changes = unit.changes, []
                self.announce(changes)
            if unit.commands:
                unit.hand_out(self.feeds)
            if ks.ready and not self.serving.busy:
                self.serving.serve_ready()

    def spread(self, db_index: int, wire: bytes) -> None:
        """Give requests that are to be executed elsewhere as they came to all feeds."""
        for feed in self.feeds:
            feed.take(db_index, wire)

    def announce(self, changes: list[tuple[Database, bytes, str]]) -> None:
        """Tell WATCH, trackers and subscribers of changes."""
        notify = self.notify_flags
        tracking = self.tracking if self.tracking.clients else None
        for db, key, event in changes:
            if event not in UNWATCHED:
                if key in db.watched:
                    self.watches.touch(db, key)
                if tracking is not None:
                    tracking.invalidate(key, self.running)
            if notify and EVENT_CLASS[event] in notify:
                if "K" in notify:
                    channel = b"__keyspace@%d__:%b" % (db.index, key)
                    self.pubsub.publish(channel, event.encode())
                if "E" in notify:
                    channel = b"__keyevent@%d__:%b" % (db.index, event.encode())
                    self.pubsub.publish(channel, key)

    # What handlers ask for

    def push(self, session: Session, wire: bytes) -> None:
        """Send bytes outside any reply; to the running client, behind its reply."""
        if session is self.running:
            self.deferred.append((session, wire))
            self.ks.after = True
        elif not session.closing:
            session.out.append(wire)
            check_output(self, session)
            self.queue_output(session)

    def flush_deferred(self) -> None:
        """Send what was to come behind the reply of the running client."""
        deferred, self.deferred = self.deferred, []
        for session, wire in deferred:
            if not session.closing:
                session.out.append(wire)
                check_output(self, session)
                self.queue_output(session)

    def set_gate(self, gate: Any, wanted: bool) -> None:
        """Have all clients pass that gate, in its place among the others; or not any more."""
        if wanted == (gate in self.gates):
            return
        if wanted:
            self.gates.append(gate)
            self.gates.sort(key=lambda each: (each in SERVER_GATES, _rank(each)))
        else:
            self.gates.remove(gate)
        self.refresh_all()

    def fall(self, status: int) -> None:
        """End the process with what replies it owes unsent: they would not be true."""
        self.exit_status = status
        for session in self.sessions.values():
            session.out.clear()
        if self.running is not None:
            self.close(self.running, "now")

    def data_replaced(self) -> None:
        """All data have been exchanged for those of our primary."""
        for told in self.replaced:
            told()

    def close(self, session: Session, when: str = "reply") -> None:
        """Have the shell close the connection: "now", or once its output is sent."""
        if session.closing != "now":
            if not session.closing or when == "now":
                self.doomed.append(session)
            session.closing = when
        self.ks.after = True

    def acl_check(self, session: Session, entry: Entry, argv: list[bytes]) -> Error | None:
        """The error for a command that a script calls but its user may not; None if he may."""
        return self.guard.refusal_in_script(session, entry, argv)

    def record_slow(self, session: Session, entry: Entry, argv: list[bytes], spent_ns: int) -> None:
        """A call took as long as the slow log or the latency monitor cares for."""
        event = "fast-command" if "fast" in entry.spec.flags else "command"
        self.latency.add(event, spent_ns, self.now_ms)
        if spent_ns >= self.slowlog_ns:
            self.stats.record_slow(self, session, entry, argv, spent_ns)

    def kill(self, session: Session) -> None:
        """End a client: itself when its reply is sent, another one here and now."""
        if session is self.running:
            self.close(session)
        else:
            self.close(session, "now")
            self.disconnect(session)

    def refresh(self, session: Session) -> None:
        """The session's mode has changed: find its gates anew."""
        session.gates = gates_for(self, session)
        self.ks.after = True

    def refresh_all(self) -> None:
        """A gate of the server has changed."""
        for session in self.sessions.values():
            session.gates = gates_for(self, session)
        self.ks.may_expire = (
            self.role == "master" and not self.pause.pauses_writes and self.saver.loading is None
        )
        self.ks.after = True

    def observe(self) -> None:
        """Find out whether anybody derives something from changes."""
        ks = self.ks
        ks.feeds = bool(self.feeds)
        ks.unit.mark = ks.dirty
        ks.observed = bool(self.notify_flags or self.tracking.clients or self.watches.sessions)

    def untrack(self, session: Session) -> None:
        """Track keys no longer for this client, if it was tracked for."""
        if session.tracker is not None:
            self.tracking.disable(session)
            self.observe()
            self.refresh(session)

    def discard(self, session: Session) -> None:
        """Leave MULTI without executing."""
        session.multi = None
        session.multi_bytes = 0
        session.dirty_exec = ""
        self.watches.unwatch(session)
        self.refresh(session)

    # Output and errors

    def queue_output(self, session: Session) -> None:
        """Have the shell send what stands in ``out``."""
        if session.out and not session.queued:
            session.queued = True
            self._with_output.append(session)

    def crashed(self, entry: Entry, argv: list[bytes]) -> Error:
        """A defect of ours: the client gets an error, the log the whole story."""
        self.log(
            "warning",
            f"=== BUG REPORT: {entry.name} failed with {len(argv) - 1} arguments\n"
            f"{story(self.config.hide_user_data_from_log)}",
        )
        entry.failed += 1
        self.stats.unexpected_errors += 1
        return Error(f"ERR internal error in '{entry.name}', see the server's log")


def _rank(gate: Any) -> int:
    return SERVER_GATES.index(gate) if gate in SERVER_GATES else 0


def _messages(reply: Any) -> Any:
    """What of a reply a client gets that wants no replies."""
    if type(reply) is PushReply:
        return reply
    if type(reply) is Replies:
        return Replies(each for each in reply if type(each) is PushReply)
    return NO_REPLY
