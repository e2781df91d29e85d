"""A server's part in replication: whose replica it is, and who its replicas are.

This joins the parts. ``history.py`` names the data, ``primary.py`` serves replicas, the machine in
``replica.py`` talks to our own primary and says what comes of it; here that is carried out:

    FullSync      what is being held for the old history is dropped; an ``Intake`` follows
    Continue      the stream goes on, perhaps under another name
    Stream        the bytes are fed to a session, as if a client had sent them
    Failed        the session goes; the history stays, to be continued

The primary's session is one that may do everything, at once and in vain: no gate stops it,
keys past their time are there for it, and its replies are thrown away. The offset moves when a
whole command, or a whole transaction, has been applied, by the number of its bytes; and
those bytes go to our own replicas as they came. What has come only in part when the link is
lost comes again.

A server changes its part here and nowhere else: ``follow`` and ``unfollow`` (``promote``).

Source: redis.io, "Replication"; Redis' ``replicationSetMaster``, ``replicationUnsetMaster``,
``replicationCacheMaster``, ``readSyncBulkPayload``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyredis.config_types import PrimaryAddress
from pyredis.gates import link_down, loading_aside, read_only
from pyredis.machine import Close, Connect, Hold, Resume, Send, Tick
from pyredis.replication.downstream import Phase
from pyredis.replication.effects import (
    Continue,
    Failed,
    FailoverRefused,
    FullSync,
    Log,
    SnapshotData,
    SnapshotEnd,
    SnapshotStart,
    Stream,
)
from pyredis.replication.failover import Failover
from pyredis.replication.guard import StartupGuard
from pyredis.replication.history import NO_OFFSET, History
from pyredis.replication.intake import Intake, IntakeError, loads_directly
from pyredis.replication.local_expiry import LocalExpiry
from pyredis.replication.primary import GETACK, Primary
from pyredis.replication.replica import Replica, State
from pyredis.resp import RequestReader
from pyredis.session import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyredis.engine import Engine
    from pyredis.machine import Action, Event
    from pyredis.persistence.dataset import Dataset
    from pyredis.persistence.loading import Loading
    from pyredis.replication.effects import Outcome
    from pyredis.session import Session

_PIECE_BYTES: Final = 16384  # what the hot path likes; the driver reads more at once
_DISK_LOG_MS: Final = 10_000
UNBLOCKED: Final = (
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
)


_ANY_SIZE: Final = 1 << 62  # the last bulk may be cut, and so larger than all there is


class Facts:
    """What the machine wants to know of its server."""

    def __init__(self, node: Replication) -> None:
        self._node = node
        self._config = node.engine.config

    @property
    def masteruser(self) -> str:
        """The user to authenticate as."""
        return self._config.masteruser

    @property
    def masterauth(self) -> str:
        """The password."""
        return self._config.masterauth

    @property
    def replica_announce_ip(self) -> str:
        """The address others are to be told."""
        return self._config.replica_announce_ip

    @property
    def replica_announce_port(self) -> int:
        """The port others are to be told."""
        return self._config.replica_announce_port

    @property
    def port(self) -> int:
        """Where this server listens."""
        config = self._config
        return config.tls_port if config.tls_replication else config.port

    @property
    def repl_timeout(self) -> int:
        """Seconds of silence after which the link counts as dead."""
        return self._config.repl_timeout

    @property
    def loads_directly(self) -> bool:
        """Whether a snapshot would be read as it comes."""
        return loads_directly(self._node.engine)

    def psync_request(self) -> tuple[str, int]:
        """The history we hold, and the byte that we miss first."""
        history = self._node.history
        return (history.replid, history.offset + 1) if self._node.has_history else ("?", NO_OFFSET)

    def ack_offset(self) -> int:
        """How much of the stream is applied."""
        return self._node.history.offset

    def fsynced_offset(self) -> int | None:
        """How much of it is on our disk; None without an append-only file."""
        return self._node.fsynced_offset()


class Replication:
    """One server's replication: ``engine.replication``."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.history = History(engine.rng)
        self.primary = Primary(engine, self.history)
        self.replica = Replica(Facts(self))
        self.failover = Failover(self)
        self.local_expiry = LocalExpiry(engine)
        self.address: tuple[str, int] | None = None  # of the primary that we follow
        self.session: Session | None = None  # by which the primary's commands come
        self.has_history = False  # a primary could go on where we are
        self.received_bytes = 0
        self.actions: list[Action] = []
        self.on_role: Callable[[], None] = lambda: None
        self.unapplied_bytes = 0  # have come, but make no whole command or transaction yet
        self._pending: list[bytes] = []  # these bytes ...
        self._held: list[bytes] = []  # ... or some that wait for the end of a pause
        self._open_multi: object = None  # the transaction that they begin with
        self._db_index = 0  # what the stream had selected when the link was lost
        self._promised: tuple[str, int] | None = None  # the history of the snapshot on its way
        self._intake: Intake | None = None
        self.wants_acks = False  # our replicas are to be asked how far they are
        self._urgent = False  # whatever is held up
        self._owes_ack = False  # our primary has asked us
        self._disk_told_ms = -_DISK_LOG_MS
        self._acked = False  # a replica has come further, or is gone
        self.alert = False  # ``end_batch`` has something to do
        self.primary.on_ack = self._acknowledged
        self.guard = StartupGuard(
            engine.config,
            engine.log,
            lambda: any(db.data for db in engine.ks.dbs),
            lambda: engine.ks.dirty,
        )
        self.primary.may_full_sync = self.guard.may_full_sync
        self.primary.on_replica = self.guard.note_replica
        engine.config.subscribe(("replica-read-only", "replica-serve-stale-data"), self.apply_gates)

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        self.received_bytes = 0
        self.primary.reset_stats()

    # What part this server has

    @property
    def hands_over(self) -> bool:
        """Whether a FAILOVER is going on: the stream must come to its end."""
        return self.failover.active

    @property
    def link_up(self) -> bool:
        """Whether our primary's stream flows."""
        return self.replica.link_up

    def follow(self, host: str, port: int, failover: bool = False) -> None:
        """Be a replica of that server. Its data will replace ours, unless they are the same."""
        engine = self.engine
        if self.address is None:
            # Our own history may be the one that our primary-to-be goes on with: ask for it.
            self.has_history = True
            self._db_index = max(0, self.primary.selected)
            engine.log(
                "notice",
                "Before turning into a replica, using my own master parameters to synthesize a "
                "cached master: I may be able to synchronize with the new master with just a "
                "partial transfer.",
            )
        self._unblock_all()
        self.address = host, port
        self.alert = True
        self._set_role("replica")
        self._do(self.replica.follow(engine.now_ms, host, port, failover))
        self.apply_gates()

    def begin_as_replica(self, host: str, port: int) -> None:
        """Be a replica from the start. What is loaded is not ours to delete; then ``begin``."""
        self.address = host, port
        self.alert = True
        self._set_role("replica")
        self.apply_gates()

    def begin(self) -> None:
        """What there was to load is loaded: a replica looks for its primary now."""
        self.guard.started(self.engine.saver.disk)
        self.primary.count_good()  # the settings may ask for more replicas than none
        if self.address is not None and self.replica.state is State.NONE:
            self._do(self.replica.follow(self.engine.now_ms, *self.address))

    def unfollow(self) -> None:
        """Be a primary, with the data that are here. Our replicas have to ask again."""
        if self.address is None:
            return
        engine, history = self.engine, self.history
        self._do(self.replica.unfollow())
        self._drop_session()
        self.address = None
        history.fork()
        engine.log(
            "notice",
            f"Setting secondary replication ID to {history.replid2}, valid up to offset: "
            f"{history.second_offset}. New replication ID is {history.replid}",
        )
        self.has_history = False
        self.primary.disconnect_all()
        self.primary.select_anew()
        self._set_role("master")
        self.apply_gates()

    def _set_role(self, role: str) -> None:
        engine = self.engine
        unit = engine.ks.unit
        if unit.commands:  # of a transaction that changes the role: they belong to the old one
            unit.hand_out(engine.feeds)
        engine.config.replicaof = PrimaryAddress(*self.address) if self.address else None
        engine.role = role
        self.primary.subscribe()
        engine.refresh_all()
        self.primary.count_good()
        self.on_role()

    def _unblock_all(self) -> None:
        """Whoever waits here waits in the wrong place: these clients are to find the right one."""
        engine = self.engine
        for session in list(engine.waiters.blocked):
            state = session.blocked
            if state is not None and state.block.freed:
                engine.serving.unblock(session)  # what it asked for has been done
            elif engine.serving.unblock(session, UNBLOCKED):
                engine.close(session)

    def apply_gates(self) -> None:
        """Refuse what a replica does not do."""
        engine, config = self.engine, self.engine.config
        is_replica = self.address is not None
        engine.set_gate(read_only, is_replica and config.replica_read_only)
        stale = is_replica and not self.link_up and not config.replica_serve_stale_data
        engine.set_gate(link_down, stale)
        engine.set_gate(loading_aside, self.loads_aside is not None)
        self.local_expiry.follow()

    # The link to our primary

    def deliver(self, event: Event) -> None:
        """Something has happened to it."""
        replica = self.replica
        was_up = replica.link_up
        self._do(replica.step(self.engine.now_ms, event))
        if replica.link_up != was_up:
            self.apply_gates()

    def deadline(self) -> int | None:
        """When ``end_batch`` has to run next."""
        own = self.replica.deadline()
        next_ms = self._intake.next_ms if self._intake is not None else None
        if next_ms is not None:
            return next_ms if own is None else min(own, next_ms)
        if not self.failover.active:
            return own
        times = (own, self.failover.deadline())
        return min((each for each in times if each is not None), default=None)

    def take_actions(self) -> list[Action]:
        """What the driver is to do."""
        actions, self.actions = self.actions, []
        return actions

    def end_batch(self) -> None:
        """Do what is due."""
        engine = self.engine
        next_ms = self._intake.next_ms if self._intake is not None else None
        if next_ms is not None and next_ms <= engine.now_ms:
            self._load()
        if self.replica.due(engine.now_ms):
            self.deliver(Tick())
        if self._acked:
            self._acked = False
            engine.serving.retry_waiting()
        if self.failover.active:
            self.failover.check()
        if self._owes_ack:
            self._owes_ack = False
            self._do(self.replica.ack(engine.now_ms))
        self.alert = self.address is not None or self.failover.active

    def ask_replicas(self) -> None:
        """Have the replicas tell how far they are, if that is wanted.

        Not while writes are held up: whoever does that wants the stream to come to its end.
        """
        if self.wants_acks and (self._urgent or not self.engine.pause.active):
            self.wants_acks = self._urgent = False
            if self.primary.replicas and self.address is None:
                self.primary.pass_on(GETACK)

    def _do(self, outcomes: Iterable[Outcome]) -> None:
        for each in outcomes:
            kind = type(each)
            if kind is Stream:
                self._apply(each.data)  # type: ignore[union-attr]
            elif isinstance(each, Connect | Send | Hold | Resume | Close):
                self.actions.append(each)
            elif isinstance(each, Log):
                self.engine.log(each.level, each.text)
            elif isinstance(each, SnapshotData):
                self._take_in(each.data)
            elif isinstance(each, FullSync):
                self._expect(each)
            elif isinstance(each, SnapshotStart):
                self._begin_intake(each.size)
            elif isinstance(each, SnapshotEnd):
                self._end_intake()
            elif isinstance(each, Continue):
                self._go_on(each.replid)
            elif isinstance(each, Failed):
                self._lost()
            elif isinstance(each, FailoverRefused):
                self.failover.refused(each.reason)

    def excuse(self, duration_ms: int) -> None:
        """A script has kept us from listening for so long: nobody has been silent meanwhile."""
        self.replica.last_io_ms += max(0, duration_ms)
        for each in self.primary.replicas.values():
            each.acked_ms += max(0, duration_ms)

    # The stream

    def _apply(self, data: bytes) -> None:
        """Run what the primary sends, unless it has to wait for the end of a pause."""
        if self.session is None:
            return  # ended by what came before in the same batch
        self.received_bytes += len(data)
        if self.engine.pause.active or self._held:
            self._held.append(data)
            self.unapplied_bytes += len(data)
        else:
            self._run(self.session, data)

    def pause_over(self) -> None:
        """Run what has come from the primary while nothing was to be written here."""
        data = b"".join(self._held)
        if self.session is not None and data and not self.engine.pause.active:
            self._held.clear()
            self.unapplied_bytes -= len(data)
            self._run(self.session, data)

    def _run(self, session: Session, data: bytes) -> None:
        """Run a piece of the stream, and pass it on when it is applied."""
        engine = self.engine
        errors = engine.stats.total_errors
        ks = engine.ks
        ks.ignore_expiry = True
        try:
            for at in range(0, len(data), _PIECE_BYTES):
                engine.feed(session, data[at : at + _PIECE_BYTES])
        finally:
            ks.ignore_expiry = False
        if engine.stats.total_errors != errors:
            self._tell_of_errors(session)
        session.out.clear()
        if session.closing:
            if session is self.session:
                self.has_history = False  # some of what came may be applied: nobody can go on
                self._do(self.replica.drop(engine.now_ms, "the stream is not understood"))
            return
        self._pending.append(data)
        self.unapplied_bytes += len(data)
        left, multi = session.reader.unfinished_bytes, session.multi
        if left == self.unapplied_bytes or (multi is not None and multi is self._open_multi):
            return  # a transaction counts when it is there in full, and so does a command
        self._open_multi = multi
        whole = b"".join(self._pending)
        end = len(whole) - left if multi is None else _last_multi(whole)
        self._pending = [whole[end:]] if end < len(whole) else []
        self.unapplied_bytes = len(whole) - end
        if end:
            self.primary.pass_on(whole[:end])

    def _tell_of_errors(self, session: Session) -> None:
        config = self.engine.config
        for reply in session.out:
            if reply.startswith(b"-"):
                text = reply[1:].rstrip().decode("utf-8", "backslashreplace")
                last = session.last_command.name if session.last_command else "?"
                self.engine.stats.unexpected_errors += 1
                self.engine.log(
                    "warning",
                    "== CRITICAL == This replica is sending an error to its master: "
                    f"'{text}' after processing the command '{last}'",
                )
                if config.replica_read_only and config.propagation_error_behavior != "ignore":
                    self.engine.log(
                        "warning",
                        "This replica panicked sending an error to its master after processing "
                        f"the command '{last}'",
                    )
                    self.engine.fall(1)

    def tell_of_disk(self) -> None:
        """What our primary sends is applied though it cannot be saved: say so now and then."""
        if not 0 <= self.engine.now_ms - self._disk_told_ms < _DISK_LOG_MS:
            self._disk_told_ms = self.engine.now_ms
            self.engine.log(
                "warning",
                "Replica is applying a command even though it is unable to write to disk.",
            )

    def _open_session(self) -> None:
        """The stream begins, or goes on: make the session that it is fed to."""
        engine = self.engine
        assert self.address is not None
        host, port = self.address
        session = engine.connect(self.replica.address or Address(f"{host}:{port}", ""))
        engine.stats.connections -= 1
        session.from_primary = session.inner = True
        session.user = None
        session.authenticated = True
        session.restricted = False
        session.reader.takes_inline = False  # a line is a sign that we are not in step
        session.db = engine.ks.dbs[min(self._db_index, len(engine.ks.dbs) - 1)]
        self.session = session
        self._pending.clear()
        self._held.clear()
        self.unapplied_bytes = 0
        engine.refresh(session)

    def _drop_session(self) -> None:
        session, self.session = self.session, None
        self._pending.clear()
        self._held.clear()
        self.unapplied_bytes = 0
        if session is not None:
            self._db_index = session.db.index
            self.engine.disconnect(session)

    def session_gone(self, session: Session) -> None:
        """Somebody has killed the primary's session (CLIENT KILL): the link goes with it."""
        if session is self.session:
            self._drop_session()
            self._do(self.replica.drop(self.engine.now_ms, "killed by a client"))
            self.apply_gates()

    def _go_on(self, replid: str) -> None:
        """+CONTINUE: the primary has what we miss."""
        history, engine = self.history, self.engine
        if replid and replid != history.replid:
            engine.log("notice", f"Master replication ID changed to {replid}")
            history.rename(replid)
            self.primary.disconnect_all()  # they must learn the new name
        self.has_history = True
        self.primary.ensure_backlog()
        self._open_session()
        self.failover.done()

    def _lost(self) -> None:
        """The link is gone; our history is kept, to be continued."""
        self._drop_session()
        self._close_intake()
        self._promised = None

    # Snapshots

    def _expect(self, sync: FullSync) -> None:
        """+FULLRESYNC: our data are going to be replaced."""
        self._promised = (sync.replid, sync.offset)
        self._drop_session()
        self.failover.done()

    def _begin_intake(self, size: int) -> None:
        self._close_intake()
        try:
            assert self._promised is not None
            same_history = self._promised[0] == self.history.replid
            self._intake = Intake(self.engine, size, same_history)
        except IntakeError as error:
            self._spoiled(error)
            return
        self.apply_gates()

    def _take_in(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self._intake is None:
            return  # what went wrong was told
        try:
            self._intake.take(data)
        except IntakeError as error:
            self._spoiled(error)

    def _end_intake(self) -> None:
        if self._intake is None:
            return
        if not self._intake.aside:
            # From here on there is no way back to the old history.
            self.primary.disconnect_all()
            self.primary.drop_backlog()
        try:
            self._intake.end()
        except IntakeError as error:
            self._spoiled(error)
            return
        self._load()

    def _load(self) -> None:
        assert self._intake is not None
        engine = self.engine
        watched = [db for db in engine.ks.dbs if db.watched]
        try:
            dataset = self._intake.step()
        except IntakeError as error:
            self._spoiled(error)
            return
        if dataset is None:
            return
        for db in watched:
            engine.watches.touch_all(db)
        engine.tracking.flush()
        self._install_history(dataset)
        self._close_intake()
        self._do(self.replica.loaded(engine.now_ms, True))
        self.apply_gates()

    def _install_history(self, dataset: Dataset) -> None:
        """The data are the primary's at the instant of the snapshot; so is the history."""
        engine = self.engine
        assert self._promised is not None
        replid, offset = self._promised
        self._promised = None
        self.primary.disconnect_all()
        self.primary.drop_backlog()
        if replid:
            self.history.adopt(replid, offset)
        else:  # a primary of old: what follows cannot be continued after a cut
            self.history.begin()
            self.history.offset = 0
        self.has_history = bool(replid)
        self._db_index = _number(dataset.aux.get(b"repl-stream-db", b"0"))
        self.primary.ensure_backlog()
        self.primary.select_anew()
        self._open_session()
        engine.data_replaced()

    def _spoiled(self, error: IntakeError) -> None:
        for line in str(error).split("\n"):
            self.engine.log("warning", line)
        self._close_intake()
        self._promised = None
        self._do(self.replica.loaded(self.engine.now_ms, False))

    def _close_intake(self) -> None:
        intake, self._intake = self._intake, None
        if intake is not None:
            intake.close()
            self.apply_gates()

    @property
    def loads_aside(self) -> Loading | None:
        """The snapshot that is loaded while the old data are served, if there is one."""
        intake = self._intake
        return intake.loading if intake is not None and intake.serves_old else None

    @property
    def intake(self) -> Intake | None:
        """The snapshot on its way, if one is."""
        return self._intake

    # Waiting for replicas

    def want_acks(self, urgent: bool = False) -> None:
        """At the end of this batch, ask all replicas how far they are; at once if ``urgent``."""
        self.wants_acks = True
        self._urgent = self._urgent or urgent

    def acknowledge(self) -> None:
        """Our primary asks how far we are (REPLCONF GETACK).

        It is told at the end of the batch: then what came before in the same read counts, too.
        """
        self._owes_ack = True

    def _acknowledged(self) -> None:
        """A replica has come further, or is gone: who waits for that is seen to afterwards."""
        self._acked = self.alert = True

    def fsynced_offset(self) -> int | None:
        """How much of the stream is in the append-only file and on the medium."""
        return self.engine.aof.synced_offset

    # What is kept over a restart

    def aux(self) -> dict[str, object]:
        """What an RDB file says of the history, so that it can be continued after a restart."""
        history = self.history
        if self.address is None:
            if self.primary.backlog is None:
                return {}
            stream_db = max(0, self.primary.selected)
        elif self.session is not None:
            stream_db = self.session.db.index
        elif self.has_history:
            stream_db = self._db_index
        else:
            return {}
        return {
            "repl-stream-db": stream_db,
            "repl-id": history.replid,
            "repl-offset": history.offset,
        }

    def restore(self, aux: dict[bytes, bytes], expired: list[tuple[int, bytes]]) -> None:
        """Take up the history of the file that was loaded at the start.

        A replica goes on with it. A primary begins one of its own, forked from it: the
        replicas that have all of it can go on. Keys of the file that were past their time are not
        in our data, so their deletion is the first that replicas have to hear of.
        """
        replid = aux.get(b"repl-id", b"").decode("latin-1")
        offset = _number(aux.get(b"repl-offset", b"-1"))
        if len(replid) != 40 or offset < 0:
            return
        history = self.history
        if self.address is not None:
            history.adopt(replid, offset)
            self._db_index = _number(aux.get(b"repl-stream-db", b"0"))
            self.has_history = True
            self.primary.ensure_backlog()
            return
        history.offset = offset
        history.replid2, history.second_offset = replid, offset + 1
        self.primary.ensure_backlog()
        for db_index, key in expired:
            self.engine.ks.propagate(db_index, self.engine.ks.expire_argv(key), implied=True)
            self.engine.close_unit()

    def describe(self) -> list[object]:
        """What ROLE replies."""
        if self.address is not None:
            host, port = self.address
            state = self.replica.state.role_word
            offset = self.history.offset if self.link_up else NO_OFFSET
            return [b"slave", host.encode(), port, state.encode(), offset]
        replicas = [
            [each.host.encode(), b"%d" % each.port, b"%d" % each.acked_offset]
            for each in self.primary.replicas.values()
            if each.phase is Phase.ONLINE and each.host
        ]
        return [b"master", self.history.offset, replicas]


def _last_multi(stream: bytes) -> int:
    """Where the last MULTI among whole requests begins. O(length)."""
    reader = RequestReader()
    reader.receive(stream)
    begin = at = 0
    while (argv := reader.next(_ANY_SIZE)) is not None:
        if argv[0].upper() == b"MULTI":
            begin = at
        at = len(stream) - reader.unfinished_bytes
    return begin


def _number(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
