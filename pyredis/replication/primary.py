"""The primary's side: replicas come, get a copy or the missing bytes, and then the stream.

A replica is an ordinary session until it says PSYNC. Then it goes through the phases of
``downstream.py``, until it gets the stream.

Replicas that ask together share one snapshot: one whose snapshot has begun with the same needs
is joined, and a snapshot that goes straight to the replicas (*diskless*) is put off for
``repl-diskless-sync-delay`` seconds to let others come. In that case a child writes to a pipe and
the server passes on what comes out of it, as fast as the slowest replica takes it; the stream
starts with the replica's first acknowledgement, as only that tells that it has seen the end.

The stream is what the feeds get: commands in RESP, SELECT where the database changes, PING now
and then. Every byte counts in the offset. Sub-replicas of a replica get what it got itself,
unchanged; see ``pass_on``.

Model: Redis' ``replication.c``, ``syncCommand`` to ``replicationCron``; log lines are Redis' own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pyredis.gates import few_replicas
from pyredis.limits import check_output
from pyredis.persistence.saver import ALL
from pyredis.replication.backlog import Backlog
from pyredis.replication.downstream import Downstream, Phase
from pyredis.resp import NO_REPLY, Error, encode_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyredis.engine import Engine
    from pyredis.ports import ChildEnd, Input, Report, Write
    from pyredis.replication.history import History
    from pyredis.session import Session

CHUNK_BYTES: Final = 1 << 18
PERIOD_MS: Final = 1000
PING: Final = encode_command((b"PING",))
GETACK: Final = encode_command((b"REPLCONF", b"GETACK", b"*"))
STREAM_TITLE: Final = "redis-rdb-to-slaves"
_NEWLINE: Final = b"\n"
_MARK_BYTES: Final = 20


class Primary:
    """All replicas of this server. It is the feed that makes the stream."""

    kind = "replicas"

    def __init__(self, engine: Engine, history: History) -> None:
        self.engine = engine
        self.history = history
        self.backlog: Backlog | None = None
        self.replicas: dict[Session, Downstream] = {}
        self.reset_stats()
        self.may_full_sync: Callable[[bool], str | None] = lambda has_history: None
        self.on_ack: Callable[[], None] = lambda: None
        self.on_replica: Callable[[], None] = lambda: None
        self._selected = -1
        self._online: list[Session] = []
        self._holding: list[Downstream] = []
        self._saves = False  # the saver's child works for replicas only
        self._alone_since_ms = engine.now_ms
        self._pinged_ms = engine.now_ms
        self._streamed_ms: int | None = None  # when the last streamed snapshot began
        self._period_ms = 0
        self._stream_child = False  # a child writes into the pipe
        self._pipe_ended = False
        self._stream_well: bool | None = None  # how that child has ended
        self._made_file = False  # the RDB file is there for replicas alone, perhaps
        engine.saver.ended.append(self._snapshot_ended)
        engine.memory.reporters.append(lambda: self.backlog_bytes)
        engine.memory.not_counted.append(lambda: self.buffer_bytes + self._excess_bytes)
        engine.config.subscribe(("repl-backlog-size",), self._resize)
        engine.config.subscribe(("appendonly",), self.subscribe)
        engine.config.subscribe(("min-replicas-to-write", "min-replicas-max-lag"), self.count_good)

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        self.full_syncs = self.partial_syncs = self.partial_refusals = 0
        self.sent_bytes = 0

    # The stream

    def take(self, db_index: int, wire: bytes, head: bytes = b"") -> None:
        """Commands of ours, for all replicas.

        Without a backlog there is no stream; the offset only counts, so that WAITAOF can tell
        what is on the medium.
        """
        if self.backlog is None:
            self.history.offset += 1
        else:
            if db_index != self._selected:
                self._selected = db_index
                head += encode_command((b"SELECT", b"%d" % db_index))
            self.pass_on(head + wire if head else wire)
        writer = self.engine.running
        if writer is not None:
            writer.write_offset = self.history.offset

    def pass_on(self, wire: bytes) -> None:
        """The stream has grown by these bytes."""
        self.history.offset += len(wire)
        if self.backlog is not None:
            self.backlog.append(wire)
        queue = self.engine.queue_output
        self.sent_bytes += len(wire) * len(self._online)
        for session in self._online:
            session.out.append(wire)
            if not session.queued:
                queue(session)
        for downstream in self._holding:
            downstream.held.append(wire)
            downstream.held_bytes += len(wire)

    def select_anew(self) -> None:
        """Whoever joins knows no selected database, so the next command says it again."""
        self._selected = -1

    @property
    def selected(self) -> int:
        """The database that the stream has selected, -1 if none."""
        return self._selected

    def ensure_backlog(self) -> None:
        """Begin to keep the stream, and to make one where that is up to us."""
        if self.backlog is None:
            size = self.engine.config.repl_backlog_size
            self.backlog = Backlog(size, self.history.offset)
            self._alone_since_ms = self.engine.now_ms
        self.subscribe()

    def drop_backlog(self) -> None:
        """Keep nothing: what is to come belongs to another history."""
        self.backlog = None
        self.subscribe()

    def subscribe(self) -> None:
        """Listen to the effects of commands, if they are to make a stream: not on a replica."""
        engine = self.engine
        wanted = engine.role == "master" and (self.backlog is not None or engine.config.appendonly)
        if wanted != (self in engine.feeds):
            if wanted:
                engine.feeds.append(self)
            else:
                engine.feeds.remove(self)
            engine.observe()

    # A replica comes

    def downstream(self, session: Session) -> Downstream:
        """What is known of a session that talks like a replica."""
        if session.replica is None:
            session.replica = Downstream(session, self.engine.now_ms)
        return session.replica

    def psync(self, session: Session, replid: str, offset: int, old: bool = False) -> Any:
        """PSYNC: go on from the backlog, or with a full copy. Replies are written by this.

        ``old`` is for SYNC, which only ever asks for a copy. Raises Error.
        """
        downstream = self.downstream(session)
        if session in self.replicas:
            return NO_REPLY
        if session.out or session.unsent_bytes:
            raise Error("ERR SYNC and PSYNC are invalid with pending output")
        if downstream.wants != ALL and "eof" not in downstream.capabilities:
            raise Error("ERR Filtered replica requires EOF capability")
        engine, log = self.engine, self.engine.log
        name = downstream.name
        log("notice", f"Replica {name} asks for synchronization")
        if not old:
            refusal = self.history.refusal(self.backlog, replid, offset)
            if not refusal:
                self._go_on(downstream, offset)
                return NO_REPLY
            if replid == "?":
                log("notice", f"Full resync requested by replica {name}")
            else:
                self.partial_refusals += 1
                if refusal.startswith("lack"):
                    log("notice", f"Unable to partial resync with replica {name} for {refusal}.")
                    if offset > self.history.offset:
                        log(
                            "warning",
                            f"Warning: replica {name} tried to PSYNC with an offset that is "
                            "greater than the master replication offset.",
                        )
                else:
                    log("notice", f"Partial resynchronization not accepted: {refusal}")
        reason = self.may_full_sync(replid != "?")
        if reason is not None:
            raise Error(reason)
        downstream.old = old
        self.full_syncs += 1
        self._attach(downstream, Phase.WAIT_START)
        if self.backlog is None:
            self.history.begin()
            self.ensure_backlog()
            log(
                "notice",
                f"Replication backlog created, my new replication IDs are '{self.history.replid}' "
                f"and '{self.history.replid2}'",
            )
        self._find_snapshot(downstream)
        engine.refresh(session)
        return NO_REPLY

    def _go_on(self, downstream: Downstream, offset: int) -> None:
        assert self.backlog is not None
        data = self.backlog.since(offset)
        self.partial_syncs += 1
        name = b" " + self.history.replid.encode() if "psync2" in downstream.capabilities else b""
        downstream.session.out += (b"+CONTINUE%b\r\n" % name, data)
        self._attach(downstream, Phase.ONLINE)
        self.engine.log(
            "notice",
            f"Partial resynchronization request from {downstream.name} accepted. Sending "
            f"{len(data)} bytes of backlog starting from offset {offset}.",
        )

    def _attach(self, downstream: Downstream, phase: Phase) -> None:
        downstream.acked_ms = downstream.since_ms = self.engine.now_ms
        for each in self.replicas.values():
            if each.port and (each.host, each.port) == (downstream.host, downstream.port):
                # Probably the same one, back after its machine failed without a farewell: the
                # old connection does not count until it speaks again. WAIT would count it twice.
                each.heard = False
        self.replicas[downstream.session] = downstream
        self._enter(downstream, phase)
        self.engine.refresh(downstream.session)
        if self.engine.config.repl_disable_tcp_nodelay:
            self.engine.bundle_output(downstream.session)
        self.count_good()
        self.on_replica()

    def _enter(self, downstream: Downstream, phase: Phase) -> None:
        downstream.phase = phase
        everyone = self.replicas.values()
        self._holding = [
            each
            for each in everyone
            if each.phase in (Phase.WAIT_END, Phase.SEND) or each.starts_on_ack
        ]
        self._online = [
            each.session
            for each in everyone
            if each.phase is Phase.ONLINE and not each.starts_on_ack
        ]
        self._pin()

    def _pin(self) -> None:
        """What is held for replicas that wait stays in the backlog: it costs nothing more."""
        if self.backlog is not None:
            most = max((each.held_bytes for each in self._holding), default=None)
            self.backlog.pin(None if most is None else self.history.offset + 1 - most)

    def _find_snapshot(self, downstream: Downstream) -> None:
        """Join a snapshot that has begun, or begin one, or leave that to the cron."""
        engine, config, log = self.engine, self.engine.config, self.engine.log
        purpose = engine.child.purpose
        if purpose == "rdb":
            mate = next(
                (
                    each
                    for each in self.replicas.values()
                    if each.phase is Phase.WAIT_END
                    and not each.by_stream
                    and each.capabilities <= downstream.capabilities
                    and each.wants == downstream.wants
                ),
                None,
            )
            if mate is None:
                log(
                    "notice",
                    "Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE "
                    "for SYNC",
                )
                return
            downstream.held, downstream.held_bytes = mate.held.copy(), mate.held_bytes
            self._promise(downstream, self.history.offset - mate.held_bytes)
            log("notice", "Waiting for end of BGSAVE for SYNC")
        elif purpose == "sync":
            log("notice", "Current BGSAVE has socket target. Waiting for next BGSAVE for SYNC")
        elif self._may_stream([downstream]) and (
            config.repl_diskless_sync_delay or self._streamed_lately()
        ):
            log("notice", "Delay next BGSAVE for diskless SYNC")
        elif purpose:
            log(
                "notice",
                "No BGSAVE in progress, but another BG operation is active. BGSAVE for "
                "replication delayed",
            )
        else:
            self._start_snapshot([downstream])

    def _promise(self, downstream: Downstream, offset: int) -> None:
        """Tell a replica which history the snapshot it will get belongs to."""
        if not downstream.old:
            line = f"+FULLRESYNC {self.history.replid} {offset}\r\n"
            downstream.session.out.append(line.encode())
            self.engine.queue_output(downstream.session)
        self._enter(downstream, Phase.WAIT_END)

    # Snapshots

    def _start_snapshot(self, waiting: list[Downstream]) -> None:
        """Begin the snapshot for all of these, who want the same."""
        engine, log = self.engine, self.engine.log
        streams = self._may_stream(waiting)
        target = "replicas sockets" if streams else "disk"
        log("notice", f"Starting BGSAVE for SYNC with target: {target}")
        self.select_anew()
        if not (self._start_stream(waiting) if streams else engine.saver.start()):
            log("warning", "BGSAVE for replication failed")
            for each in waiting:
                each.session.out.append(b"-ERR BGSAVE failed, replication can't continue\r\n")
                engine.queue_output(each.session)
                engine.close(each.session)
                self.forget(each.session)
            return
        self._made_file = self._made_file or not streams
        self._saves = not streams
        for each in waiting:
            each.by_stream = streams
            self._promise(each, self.history.offset)
            if streams:
                each.session.source = self._pump
        if streams:
            self._pump()

    def _may_stream(self, waiting: list[Downstream]) -> bool:
        """Whether their snapshot goes through the pipe. A part of the data must not be the file."""
        wanted = self.engine.config.repl_diskless_sync or waiting[0].wants != ALL
        return wanted and all("eof" in each.capabilities for each in waiting)

    def _streamed_lately(self) -> bool:
        """Whether the last streamed snapshot began less than repl-diskless-sync-period ago."""
        period_ms = self.engine.config.repl_diskless_sync_period * 1000
        return self._streamed_ms is not None and self.engine.now_ms - self._streamed_ms < period_ms

    def _start_stream(self, waiting: list[Downstream]) -> bool:
        engine = self.engine
        mark = f"{engine.rng.getrandbits(8 * _MARK_BYTES):0{2 * _MARK_BYTES}x}".encode()
        saver, parts = engine.saver, waiting[0].wants

        def job(process_id: int, report: Report, write: Write) -> bool:
            write(b"$EOF:%b\r\n" % mark)
            for chunk in saver.chunks(report, parts=parts):
                write(chunk)
            write(mark)
            return True

        try:
            process_id = engine.child.start_stream("sync", STREAM_TITLE, job, self._stream_ended)
        except OSError as error:
            engine.log("warning", f"Can't save in background: fork: {error.strerror}")
            return False
        engine.log("notice", f"Background RDB transfer started by pid {process_id}")
        self._stream_child, self._pipe_ended, self._stream_well = True, False, None
        self._streamed_ms = engine.now_ms
        engine.child.watch_stream(self._pump)
        return True

    def _streamed(self) -> list[Downstream]:
        return [
            each
            for each in self.replicas.values()
            if each.by_stream and each.phase is Phase.WAIT_END
        ]

    def _pump(self) -> None:
        """Pass on what comes out of the pipe, once all replicas have taken what came before."""
        child = self.engine.child
        while self._stream_child and not self._pipe_ended:
            takers = self._streamed()
            if not takers:
                return
            if any(each.session.out or each.session.unsent_bytes for each in takers):
                child.watch_stream(None)  # whoever is last to send it will call again
                return
            data = child.read_stream(CHUNK_BYTES)
            if data is None:
                child.watch_stream(self._pump)
                return
            if not data:
                child.watch_stream(None)
                self._pipe_ended = True
                self.engine.log(
                    "notice",
                    "Diskless rdb transfer, done reading from pipe, "
                    f"{len(takers)} replicas still up.",
                )
                break
            self.sent_bytes += len(data) * len(takers)
            for each in takers:
                each.acked_ms = self.engine.now_ms  # it has taken all that came before
                each.session.out.append(data)
                self.engine.queue_output(each.session)
        self._finish_stream()

    def _stream_ended(self, end: ChildEnd) -> None:
        """The child that wrote into the pipe is gone; what it wrote may not all be read yet."""
        self._stream_well = end.well
        self.engine.saver.child_over()
        if end.well:
            self.engine.log("notice", "Background RDB transfer terminated with success")
        elif end.signal:
            self.engine.log("warning", f"Background transfer terminated by signal {end.signal}")
        else:
            self.engine.log("warning", "Background transfer error")
        if not end.well:
            self._pipe_ended = True
            self.engine.child.watch_stream(None)
        self._finish_stream()

    def _finish_stream(self) -> None:
        """Once both the pipe and the child are over, so is the snapshot."""
        if not self._stream_child or self._stream_well is None:
            return
        if not self._pipe_ended and self._streamed():
            return
        self._stream_child = False
        for each in self._streamed():
            each.session.source = None
            if not self._stream_well:
                self.engine.log(
                    "warning", f"Closing replica {each.name}: its diskless transfer has failed"
                )
                self.engine.kill(each.session)
                continue
            self.engine.log(
                "notice",
                f"Streamed RDB transfer with replica {each.name} succeeded (socket). Waiting for "
                "REPLCONF ACK from replica to enable streaming",
            )
            each.starts_on_ack = True
            each.acked_ms = self.engine.now_ms
            self._enter(each, Phase.ONLINE)
            if each.heard or each.rdb_only:  # heard before we knew that the child has ended well
                self._go_online(each)
        self.engine.child.close_stream()
        self._serve_waiting()

    def _snapshot_ended(self, well: bool) -> None:
        """The saver's child has ended: send the file to all who wait for it."""
        engine = self.engine
        self._saves = False
        for each in list(self.replicas.values()):
            if each.phase is not Phase.WAIT_END or each.by_stream:
                continue
            if not well:
                engine.log("warning", "SYNC failed. BGSAVE child returned an error")
                engine.kill(each.session)
                continue
            assert engine.saver.disk is not None
            try:
                file = engine.saver.disk.open(engine.config.dbfilename)
            except OSError as error:
                engine.log(
                    "warning",
                    f"SYNC failed. Can't open/stat DB after BGSAVE: {error.strerror}",
                )
                engine.kill(each.session)
                continue
            self._enter(each, Phase.SEND)
            self._send_file(each, file)
        self._serve_waiting()

    def _send_file(self, downstream: Downstream, file: Input) -> None:
        engine, session = self.engine, downstream.session
        pieces = self._pieces_of(downstream, file)

        def source() -> None:
            try:
                piece = next(pieces, None)
            except OSError as error:
                engine.log("warning", f"Read error sending DB to replica: {error.strerror}")
                engine.kill(session)
                return
            if piece is None:
                session.source = None
                self._go_online(downstream)
            else:
                self.sent_bytes += len(piece)
                session.out.append(piece)
                engine.queue_output(session)

        session.source = source
        source()

    def _pieces_of(self, downstream: Downstream, file: Input) -> Iterator[bytes]:
        try:
            left = file.size
            yield b"$%d\r\n" % left
            while left and downstream.session in self.replicas:
                piece = file.read(min(left, CHUNK_BYTES))
                if not piece:
                    raise OSError(0, "premature EOF")
                left -= len(piece)
                yield piece
        finally:
            file.close()

    def _go_online(self, downstream: Downstream) -> None:
        """The copy is there: the stream follows, beginning with what was held."""
        session = downstream.session
        downstream.starts_on_ack = False
        if downstream.rdb_only:
            self.engine.log(
                "notice", f"RDB transfer completed, {downstream.name} wanted nothing else"
            )
            self.engine.close(session)
            return
        downstream.acked_ms = self.engine.now_ms
        self._enter(downstream, Phase.ONLINE)
        session.out += downstream.held
        downstream.held, downstream.held_bytes = [], 0
        self.engine.queue_output(session)
        self.count_good()
        self.engine.log("notice", f"Synchronization with replica {downstream.name} succeeded")

    # A replica speaks, or is gone

    def acknowledge(self, session: Session, offset: int, fsynced: int | None) -> None:
        """REPLCONF ACK: it has applied so much of the stream, and synced so much to its AOF."""
        downstream = self.replicas.get(session)
        if downstream is None:
            return
        downstream.acked_offset = max(downstream.acked_offset, offset)
        if fsynced is not None:
            downstream.fsynced_offset = max(downstream.fsynced_offset, fsynced)
        downstream.acked_ms = self.engine.now_ms
        downstream.heard = True
        if downstream.starts_on_ack and downstream.phase is Phase.ONLINE:
            self._go_online(downstream)
        self.count_good()
        self.on_ack()

    def misused(self, session: Session, reply: Any) -> None:
        """A replica has sent a command that is answered: answers and the stream do not mix."""
        downstream = session.replica
        command = session.last_command.name if session.last_command else "?"
        self.engine.log(
            "warning",
            f"Replica generated a reply to command '{command}', disconnecting it: "
            f"{downstream.name if downstream is not None else '?'}",
        )
        if isinstance(reply, Error):
            self.engine.log(
                "warning",
                "== CRITICAL == This master is sending an error to its replica: "
                f"'{reply.text.decode('utf-8', 'backslashreplace')}' after processing the command "
                f"'{command}'",
            )
        self.engine.close(session, "now")

    def forget(self, session: Session) -> None:
        """The session is gone, and with it the replica."""
        downstream = self.replicas.pop(session, None)
        if downstream is None:
            return
        session.source = None
        downstream.starts_on_ack = False
        self._enter(downstream, Phase.NONE)
        self.engine.log("notice", f"Connection with replica {downstream.name} lost.")
        if not self.replicas:
            self._alone_since_ms = self.engine.now_ms
        if self._saves and not any(each.phase is Phase.WAIT_END for each in self.replicas.values()):
            self._saves = False
            if not self.engine.config.save:
                self.engine.log("notice", "No replica waits for the snapshot any more: killing it.")
                self.engine.saver.kill_child()
        if downstream.by_stream and self._stream_child:
            if self._streamed():
                self._pump()  # it may have been the one that all others waited for
            else:
                self.engine.log(
                    "notice", "Diskless rdb transfer, last replica dropped, killing fork child."
                )
                self.engine.child.kill()
                self.engine.child.watch_stream(None)
                self._pipe_ended = True
        self.count_good()
        self.on_ack()

    def disconnect_all(self) -> None:
        """End all replicas' connections: they are to ask again, our history is another one now."""
        for session in list(self.replicas):
            self.engine.kill(session)

    # What is known of them

    def count_acked(self, offset: int) -> int:
        """How many have applied the stream up to that offset.

        Who has not been heard of may still be loading its snapshot, also where the stream is
        so young that the offset is 0 (Redis counts it then).
        """
        return sum(
            each.phase is Phase.ONLINE and each.heard and each.acked_offset >= offset
            for each in self.replicas.values()
        )

    def count_fsynced(self, offset: int) -> int:
        """How many have it on their disks."""
        return sum(
            each.phase is Phase.ONLINE and each.fsynced_offset >= offset
            for each in self.replicas.values()
        )

    @property
    def good(self) -> int:
        """How many are online and have acknowledged within min-replicas-max-lag."""
        now_ms, limit_s = self.engine.now_ms, self.engine.config.min_replicas_max_lag
        return sum(
            each.phase is Phase.ONLINE and each.lag_s(now_ms) <= limit_s
            for each in self.replicas.values()
        )

    def count_good(self) -> None:
        """Refuse writes while there are too few good replicas (min-replicas-to-write)."""
        engine, config = self.engine, self.engine.config
        wanted = config.min_replicas_to_write if config.min_replicas_max_lag else 0
        lacking = bool(wanted) and engine.role == "master" and self.good < wanted
        engine.set_gate(few_replicas, lacking)

    # Time

    def cron(self) -> None:
        """The chores of each second: pings, timeouts, snapshots that are due, the backlog's end."""
        engine = self.engine
        for session in list(self.replicas):
            check_output(engine, session)  # what is held for them included
        now_ms = engine.now_ms
        if 0 <= now_ms - self._period_ms < PERIOD_MS:
            return
        self._period_ms = now_ms
        self._settle(now_ms)
        self._ping(now_ms)
        if self.replicas:
            self._drop_silent(now_ms)
            self.count_good()
        elif self.backlog is not None and engine.role == "master":
            ttl_s = engine.config.repl_backlog_ttl
            if ttl_s and now_ms - self._alone_since_ms > ttl_s * 1000:
                # Whatever comes after bytes that nobody keeps is another history.
                self.history.begin()
                self.drop_backlog()
                engine.log(
                    "notice",
                    f"Replication backlog freed after {ttl_s} seconds without connected replicas.",
                )
        self._serve_waiting()
        if self._made_file and not any(
            each.phase in (Phase.WAIT_START, Phase.WAIT_END, Phase.SEND)
            for each in self.replicas.values()
        ):
            self._made_file = False
            engine.saver.remove_sync_file("used to feed replicas")

    def _settle(self, now_ms: int) -> None:
        """Have no instant in the future, if the clock was put back."""
        self._alone_since_ms = min(self._alone_since_ms, now_ms)
        self._pinged_ms = min(self._pinged_ms, now_ms)
        if self._streamed_ms is not None:
            self._streamed_ms = min(self._streamed_ms, now_ms)
        for each in self.replicas.values():
            each.acked_ms = min(each.acked_ms, now_ms)
            each.since_ms = min(each.since_ms, now_ms)

    def _ping(self, now_ms: int) -> None:
        engine = self.engine
        period_ms = engine.config.repl_ping_replica_period * 1000
        if engine.role == "master" and now_ms - self._pinged_ms >= period_ms:
            self._pinged_ms = now_ms  # the beat goes on without replicas, as Redis' does
            if self.replicas and not engine.replication.hands_over:
                self.pass_on(PING)
        for each in self.replicas.values():
            if each.phase is Phase.WAIT_START or (
                each.phase is Phase.WAIT_END and not each.by_stream
            ):
                each.session.out.append(_NEWLINE)  # counts as life, not in the offset
                engine.queue_output(each.session)

    def _drop_silent(self, now_ms: int) -> None:
        limit_ms = self.engine.config.repl_timeout * 1000
        for each in list(self.replicas.values()):
            if each.old or now_ms - each.acked_ms <= limit_ms:
                continue
            if each.phase is Phase.ONLINE:
                kind = "streaming sync"
            elif each.phase is Phase.WAIT_END and each.by_stream and each.session.unsent_bytes:
                kind = "full sync"  # it does not take what it is sent
            else:
                continue
            self.engine.log("warning", f"Disconnecting timedout replica ({kind}): {each.name}")
            self.engine.kill(each.session)

    def _serve_waiting(self) -> None:
        """Begin the snapshot that replicas wait for, if no child is at work."""
        engine, config = self.engine, self.engine.config
        waiting = [each for each in self.replicas.values() if each.phase is Phase.WAIT_START]
        if not waiting or engine.child.purpose or self._stream_child:
            return
        waiting = [each for each in waiting if each.wants == waiting[0].wants]
        if self._may_stream(waiting):
            most = config.repl_diskless_sync_max_replicas
            oldest_ms = min(each.since_ms for each in waiting)
            waited_ms = engine.now_ms - oldest_ms
            enough = bool(most) and len(waiting) >= most
            if not enough and waited_ms < config.repl_diskless_sync_delay * 1000:
                return
            if self._streamed_lately():
                return
        self._start_snapshot(waiting)

    def _resize(self) -> None:
        if self.backlog is not None:
            self.backlog.resize(self.engine.config.repl_backlog_size)

    @property
    def backlog_bytes(self) -> int:
        """Size of the backlog."""
        return self.backlog.length if self.backlog is not None else 0

    @property
    def buffer_bytes(self) -> int:
        """What waits to be sent to replicas beyond what is held for them in the backlog."""
        return sum(
            each.session.output_bytes() + each.session.unsent_bytes
            for each in self.replicas.values()
        )

    @property
    def _excess_bytes(self) -> int:
        """By how much the backlog is longer than it is set to, because of what it has to hold."""
        return max(0, self.backlog_bytes - self.engine.config.repl_backlog_size)
