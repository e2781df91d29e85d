"""The append-only file as a whole: whether there is a log, and what it means for the server.

States. *off*: nothing is logged. *on*: the feed writes to the newest increment. *waiting*:
switched on at run time, so what is on disk says nothing yet of the data; while a child writes
the first base, the feed goes to a temporary increment, which gets its name and its line in
the manifest together with the base. A crash before leaves the old state.

What it is made of: ``aof_files`` (the parts and the manifest), ``aof`` (the feed that writes),
``aof_rewriter`` (writing it anew), ``aof_loading`` (reading it back).

Model: Redis 7's ``aof.c``; the lines for the log are Redis' own.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from pyredis.gates import unlogged
from pyredis.persistence.aof import AofFeed
from pyredis.persistence.aof_base import write_base
from pyredis.persistence.aof_files import AofFiles
from pyredis.persistence.aof_loading import AofError, AofLoading
from pyredis.persistence.aof_rewriter import AofRewriter
from pyredis.persistence.loading import LoadError
from pyredis.persistence.manifest import ManifestError
from pyredis.resp import Error

if TYPE_CHECKING:
    from pyredis.engine import Engine
    from pyredis.ports import Disk, Output

OFF: Final = "off"
ON: Final = "on"
WAITING: Final = "waiting"
_NO_DISK: Final = "ERR this server has no disk"


class AofKeeper:
    """The append-only file of one engine. A server without a disk has none."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.state = OFF
        self.files = AofFiles(engine)
        self.feed = AofFeed(engine, self._lost, self.update_gate)
        self.feed.offset_source = lambda: engine.replication.history.offset
        self.rewriter = AofRewriter(self)
        self.base_bytes = 0  # how large all was when it was last written anew
        self._other_bytes = 0  # of all parts but what the feed has written
        engine.config.subscribe(("appendonly",), self._switch)
        engine.config.subscribe(("aof-disable-auto-gc",), self.files.delete_history)
        engine.replaced.append(self._begin_anew)

    def connect(self, disk: Disk) -> None:
        """The server's folder."""
        self.files.disk = disk

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        self.rewriter.count = self.feed.delayed_syncs = self.feed.spent_ns = 0

    @property
    def on(self) -> bool:
        """Whether all that is on disk makes up the data."""
        return self.state == ON

    @property
    def off(self) -> bool:
        """Whether nothing is logged."""
        return self.state == OFF

    @property
    def waiting(self) -> bool:
        """Whether the first base is still to come."""
        return self.state == WAITING

    @property
    def current_bytes(self) -> int:
        """The size of all parts."""
        return self._other_bytes + self.feed.written_bytes

    def _resize(self, size: int) -> None:
        """From now on it is this."""
        self._other_bytes = size - self.feed.written_bytes

    @property
    def rewriting(self) -> bool:
        """Whether a child writes a base."""
        return self.rewriter.running

    @property
    def synced_offset(self) -> int | None:
        """How much of the replication stream is safe on disk, None while nothing is logged."""
        return self.feed.synced_offset if self.on else None

    # Start

    def prepare(self) -> None:
        """Read the manifest, also where the AOF is off: it may be switched on. Raises AofError."""
        self.files.read()

    def begin_loading(self) -> AofLoading | None:
        """What there is to load, None if there is nothing. Raises AofError."""
        folder = self.files.folder
        if folder is None:
            return None
        self.files.take_old_file()
        if self.files.manifest.empty:
            return None
        return AofLoading(self.engine, folder, self.files.manifest)

    def loaded(self, loading: AofLoading) -> None:
        """All parts are loaded: sizes are known."""
        base = self.files.manifest.base
        self.base_bytes = loading.sizes[base.name] if base is not None else 0
        self._resize(sum(loading.sizes.values()))

    def open(self) -> None:
        """After loading: log from now on, if that is wanted. Raises AofError."""
        files, folder, log = self.files, self.files.folder, self.engine.log
        if folder is None or not self.engine.config.appendonly:
            return
        files.make(folder)
        found = files.manifest
        is_new = not found.increments
        try:
            if found.empty:
                self._warn_of_rdb()
                found = files.with_base(found)
                assert found.base is not None
                temporary = f"temp-rewriteaof-{self.engine.host.process_id}.aof"
                write_base(self.engine, folder, temporary, lambda keys: None)
                folder.rename(temporary, found.base.name)
                log("notice", f"Creating AOF base file {found.base.name} on server start")
            if is_new:
                found = found.with_increment(files.filename)
            name = found.increments[-1].name
            file = folder.create(name) if is_new else folder.append(name)
            file.sync()  # the process before may have been killed in front of its next sync
            self.feed.open(file)
            if found != files.manifest:
                files.store(found)
        except OSError as error:
            raise AofError(f"Can't open the append-only file: {error.strerror}") from error
        except ManifestError as error:
            raise AofError(str(error)) from error
        log("notice", f"{'Creating' if is_new else 'Opening'} AOF incr file {name} on server start")
        files.delete_history()
        self._become(ON)

    def _warn_of_rdb(self) -> None:
        """An empty start beside an RDB file is what Redis does too, but seldom what is meant."""
        name = self.engine.config.dbfilename
        disk = self.files.disk
        if disk is not None and disk.exists(name):
            self.engine.log(
                "warning",
                f"Warning: appendonly is on and there is no append-only file, so {name} is not "
                "loaded. To take over its data, start with appendonly no and switch it on with "
                "CONFIG SET appendonly yes.",
            )

    def reload(self) -> None:
        """DEBUG LOADAOF: write out what there is, and load it all anew. Raises Error."""
        engine = self.engine
        from pyredis.scripting.functions import Policy

        folder = self.files.folder
        if folder is None:
            raise Error(_NO_DISK)
        if engine.ks.unit.depth:
            raise Error("ERR DEBUG LOADAOF cannot be part of a transaction")
        self.feed.flush(force=True)
        try:
            self.files.read()
            for db in engine.ks.dbs:
                db.clear()
            engine.scripting.libraries.put_all([], Policy.FLUSH)
            if not self.files.manifest.empty:
                loading = AofLoading(engine, folder, self.files.manifest)
                engine.saver.loading_is(loading)  # a slow script in it lets others ask
                while loading.step() is not None:
                    pass
        except LoadError as error:
            for line in str(error).split("\n"):
                engine.log("warning", line)
            raise Error("ERR Error trying to load the AOF files, check server logs.") from error
        finally:
            engine.saver.loading_is(None)
        engine.saver.forget_changes()
        engine.log("warning", "Append Only File loaded by DEBUG LOADAOF")

    # On and off

    def _switch(self) -> None:
        """CONFIG SET appendonly. Raises ConfigError."""
        if self.files.disk is None or self.engine.saver.loading is not None:
            return
        wanted = self.engine.config.appendonly
        if not wanted and not self.off:
            self.stop()
        elif wanted and self.off and not self.start():
            from pyredis.config import ConfigError

            raise ConfigError("Unable to turn on AOF. Check server logs.")

    def catch_up(self) -> None:
        """Loading is over: do what CONFIG SET has asked for meanwhile."""
        wanted = self.engine.config.appendonly
        if wanted and self.off:
            self._start_or_wait()
        elif not wanted and not self.off:
            self.stop()

    def _start_or_wait(self) -> None:
        """Log from now on; if the first rewrite cannot begin, the cron tries again."""
        if not self.start():
            self._become(WAITING)
            self.rewriter.scheduled = True

    def start(self) -> bool:
        """Log from now on; False if the first rewrite could not begin, the log says why."""
        engine = self.engine
        self._become(WAITING)
        self.rewriter.scheduled = False
        if engine.child.purpose and not self.rewriting:
            self.rewriter.scheduled = True
            engine.log(
                "notice",
                "AOF was enabled but there is already another background operation. An AOF "
                "background was scheduled to start when possible.",
            )
        elif engine.ks.unit.depth:
            self.rewriter.scheduled = True
            engine.log(
                "notice",
                "AOF was enabled during a transaction. An AOF background was scheduled to start "
                "when possible.",
            )
        elif self.rewriting:
            engine.log(
                "warning",
                "AOF was enabled but there is already an AOF rewriting in background. Stopping "
                "background AOF and starting a rewrite now.",
            )
            engine.child.kill()
            self.rewriter.scheduled = True  # it gets going when the other has ended
        elif not self.rewriter.begin():
            self._become(OFF)
            engine.log(
                "warning",
                "Redis needs to enable the AOF but can't trigger a background AOF rewrite "
                "operation. Check the above logs for more info about the error.",
            )
            return False
        return True

    def stop(self) -> None:
        """Make safe what was logged, and log no more."""
        if self.on:
            self.feed.close()
        else:
            self.drop_waiting()
        self._become(OFF)
        self.engine.replication.primary.on_ack()  # who waits for this disk waits in vain
        self.rewriter.abandon()

    def _begin_anew(self) -> None:
        """All data have been exchanged for those of a primary."""
        if not self.off:
            self.stop()
            self._start_or_wait()

    def _become(self, state: str) -> None:
        """The only writer of the state."""
        self.state = state
        self._listen()
        self.engine.replication.primary.subscribe()
        self.update_gate()

    def _listen(self) -> None:
        """Have the feed among the engine's as long as it has a file."""
        feeds, wanted = self.engine.feeds, self.feed.file is not None
        if (self.feed in feeds) != wanted:
            if wanted:
                feeds.append(self.feed)
            else:
                feeds.remove(self.feed)
            self.engine.observe()

    def log_to(self, file: Output) -> None:
        """The feed goes to this new increment."""
        self.feed.switch(file)
        self._listen()

    def rewritten(self, base: str) -> None:
        """A new base is in place, by that name."""
        folder = self.files.folder
        if folder is not None and not self.off:
            with contextlib.suppress(OSError):  # the size is only for the next automatic rewrite
                self._resize(folder.size(base) + self.feed.good_size)
                self.base_bytes = self.current_bytes
        if self.waiting:
            self._become(ON)

    def drop_waiting(self) -> None:
        """What came since it was switched on is of no use without a base."""
        file, self.feed.file = self.feed.file, None
        self.feed.forget()
        self._listen()
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
            name = self.files.waiting_name
            self.engine.log("notice", f"Removing the temp incr aof file {name} in the background")
            self.files.remove(name)

    # In service

    def end_batch(self) -> None:
        """Before replies leave: what they tell of is written."""
        feed = self.feed
        offset = feed.synced_offset
        feed.flush()
        if feed.synced_offset != offset and self.engine.waiters.blocked:
            self.engine.serving.retry_waiting()

    def prepare_exit(self, force: bool) -> None:
        """Before the end of the process. Raises Error where data would be lost."""
        engine, log = self.engine, self.engine.log
        if self.rewriting:
            if self.waiting:
                if not force:
                    log("warning", "Writing initial AOF, can't exit.")
                    engine.saver.supervisor("STATUS=Writing initial AOF, can't exit.\n")
                    raise Error("ERR Errors trying to SHUTDOWN. Check logs.")
                log("warning", "Writing initial AOF. Exit anyway.")
            self.rewriter.kill()
        if self.on:
            log("notice", "Calling fsync() on the AOF file.")
            self.feed.finish()

    # Refusing writes

    @property
    def write_problem(self) -> str:
        """What keeps the log from being written, "" if nothing does."""
        return self.feed.error if not self.off else ""

    def update_gate(self) -> None:
        """Refuse writes while they cannot be logged."""
        self.engine.set_gate(unlogged, bool(self.write_problem))

    def _lost(self) -> None:
        """A write that ``always`` promised is not on disk: nobody may be told of it."""
        self.engine.fall(1)

    # Writing it anew

    def rewrite_now(self, in_transaction: bool) -> str:
        """BGREWRITEAOF; returns what to reply. Raises Error."""
        if self.files.disk is None:
            raise Error(_NO_DISK)
        return self.rewriter.request(in_transaction)

    def cron(self) -> None:
        """See what is due."""
        if self.files.disk is not None and self.engine.saver.loading is None:
            self.rewriter.cron()
