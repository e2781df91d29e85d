"""The append-only file as a whole: on or off, its parts, and when it is written anew.

States. *off*: nothing is logged. *on*: the feed writes to the newest increment. *waiting*:
switched on at run time, so what is on disk says nothing yet of the data; while a child writes
the first base, the feed goes to a temporary increment, which gets its name and its line in
the manifest together with the base. A crash before leaves the old state.

A rewrite: 1. what was logged so far is made safe; 2. a new increment is opened and put into
the manifest, and the feed goes there; 3. a child writes all data as of this instant to a
temporary file; 4. at its end that becomes the new base and everything before the new
increment history, in one change of the manifest; 5. history is deleted. Failing at any step
leaves a manifest whose parts make up all data, if in more parts than before; after three
failures in a row there are pauses of 1, 2, 4 ... 60 minutes.

The new increment may hold only what came after the base. Both begin at the fork, between two
batches, so the buffer is written out before.

Model: Redis 7's ``aof.c``; the lines for the log are Redis' own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pyredis.gates import unlogged
from pyredis.persistence import aof_rewrite, manifest
from pyredis.persistence.aof import AofFeed
from pyredis.persistence.aof_loading import AofError, AofLoading
from pyredis.persistence.loading import LoadError
from pyredis.persistence.manifest import Manifest, ManifestError, ManifestInDoubt
from pyredis.persistence.store import SYNC_INTERVAL_BYTES
from pyredis.ports import ChildEnd, Disk, Report
from pyredis.resp import Error

if TYPE_CHECKING:
    from pyredis.engine import Engine

CHILD_TITLE: Final = "redis-aof-rewrite"
OFF: Final = "off"
ON: Final = "on"
WAITING: Final = "waiting"
FAILURES_MAX: Final = 3
_DELAY_MAX_MIN: Final = 60
_NO_DISK: Final = "ERR this server has no disk"


class AofKeeper:
    """The append-only file of one engine. A server without a disk has none."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.state = OFF
        self.disk: Disk | None = None
        self.manifest = Manifest()
        self.feed = AofFeed(engine, self._lost, self.update_gate)
        self.feed.offset_source = lambda: engine.replication.history.offset
        self.base_bytes = 0  # how large all was when it was last written anew
        self.scheduled = False
        self.last_ok = True
        self.last_duration_s = -1
        self.last_cow_bytes = 0
        self.failures = 0  # in a row
        self.since_s = -1  # when the running rewrite began
        self.rewrites = 0
        self._child_id = 0
        self._begun_in = OFF  # the state in which the running rewrite began
        self._other_bytes = 0  # of all parts but what the feed has written
        self._delay_min = 0
        self._not_before_s = 0
        engine.config.subscribe(("appendonly",), self._switch)
        engine.replaced.append(self._begin_anew)

    def connect(self, disk: Disk) -> None:
        """The server's folder."""
        self.disk = disk

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        self.rewrites = self.feed.delayed_syncs = self.feed.spent_ns = 0

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
        return self.engine.child.purpose == "aof"

    @property
    def synced_offset(self) -> int | None:
        """How much of the replication stream is safe on disk, None while nothing is logged."""
        return self.feed.synced_offset if self.state == ON else None

    # Start

    def prepare(self) -> None:
        """Read the manifest, also where the AOF is off: it may be switched on. Raises AofError."""
        folder = self._folder()
        if folder is None:
            return
        try:
            found = manifest.load(folder, self._filename)
        except ManifestError as error:
            raise AofError(str(error)) from error
        self.manifest = found or Manifest()

    def begin_loading(self) -> AofLoading | None:
        """What there is to load, None if there is nothing. Raises AofError."""
        folder = self._folder()
        if folder is None:
            return None
        self._take_old_file(folder)
        if self.manifest.empty:
            return None
        return AofLoading(self.engine, folder, self.manifest)

    def loaded(self, loading: AofLoading) -> None:
        """All parts are loaded: sizes are known."""
        base = self.manifest.base
        self.base_bytes = loading.sizes[base.name] if base is not None else 0
        self._resize(sum(loading.sizes.values()))

    def open(self) -> None:
        """After loading: log from now on, if that is wanted. Raises AofError."""
        folder, log = self._folder(), self.engine.log
        if folder is None or not self.engine.config.appendonly:
            return
        self._make(folder)
        found = self.manifest
        is_new = not found.increments
        try:
            if found.empty:
                self._warn_of_rdb()
                found = self._with_base(found)
                assert found.base is not None
                temporary = f"temp-rewriteaof-{self.engine.host.process_id}.aof"
                self._write_base(folder, temporary, lambda keys: None)
                folder.rename(temporary, found.base.name)
                log("notice", f"Creating AOF base file {found.base.name} on server start")
            if is_new:
                found = found.with_increment(self._filename)
            name = found.increments[-1].name
            file = folder.create(name) if is_new else folder.append(name)
            file.sync()  # the process before may have been killed in front of its next sync
            self.feed.open(file)
            if found != self.manifest:
                found.store(folder, self._filename)
        except OSError as error:
            raise AofError(f"Can't open the append-only file: {error.strerror}") from error
        except ManifestError as error:
            raise AofError(str(error)) from error
        self.manifest = found
        log("notice", f"{'Creating' if is_new else 'Opening'} AOF incr file {name} on server start")
        self._delete_history()
        self._become(ON)

    def _warn_of_rdb(self) -> None:
        """An empty start beside an RDB file is what Redis does too, but seldom what is meant."""
        name = self.engine.config.dbfilename
        if self.disk is not None and self.disk.exists(name):
            self.engine.log(
                "warning",
                f"Warning: appendonly is on and there is no append-only file, so {name} is not "
                "loaded. To take over its data, start with appendonly no and switch it on with "
                "CONFIG SET appendonly yes.",
            )

    def _take_old_file(self, folder: Disk) -> None:
        """Make the single file of a server before version 7 the base. Raises AofError.

        That may have been begun before: then there is a manifest, but the file is not yet in its
        place.
        """
        assert self.disk is not None
        name, found = self._filename, self.manifest
        begun = (
            found.base is not None
            and found.base.name == name
            and not found.increments
            and not folder.exists(name)
        )
        if not self.disk.exists(name) or not (found.empty or begun):
            return
        self._make(folder)
        try:
            if not begun:
                self.manifest = Manifest().with_old_file(name)
                self.manifest.store(folder, name)
            self.disk.rename(name, f"{self.engine.config.appenddirname}/{name}")
            folder.sync_folder()
            self.disk.sync_folder()
        except ManifestError as error:
            raise AofError(str(error)) from error
        except OSError as error:
            raise AofError(
                f"Error trying to move the old AOF file {name} into dir "
                f"{self.engine.config.appenddirname}: {error.strerror}"
            ) from error
        self.engine.log(
            "notice",
            f"Successfully migrated an old-style AOF file ({name}) into the AOF directory "
            f"({self.engine.config.appenddirname}).",
        )

    def reload(self) -> None:
        """DEBUG LOADAOF: write out what there is, and load it all anew. Raises Error."""
        engine = self.engine
        from pyredis.scripting.functions import Policy

        folder = self._folder()
        if folder is None:
            raise Error(_NO_DISK)
        if engine.ks.unit.depth:
            raise Error("ERR DEBUG LOADAOF cannot be part of a transaction")
        self.feed.flush(force=True)
        for db in engine.ks.dbs:
            db.clear()
        engine.scripting.libraries.put_all([], Policy.FLUSH)
        try:
            if not self.manifest.empty:
                loading = AofLoading(engine, folder, self.manifest)
                while loading.step() is not None:
                    pass
        except LoadError as error:
            for line in str(error).split("\n"):
                engine.log("warning", line)
            raise Error("ERR Error trying to load the AOF files, check server logs.") from error
        engine.log("warning", "Append Only File loaded by DEBUG LOADAOF")

    # On and off

    def _switch(self) -> None:
        """CONFIG SET appendonly. Raises ConfigError."""
        if self.disk is None or self.engine.saver.loading is not None:
            return
        wanted = self.engine.config.appendonly
        if not wanted and self.state != OFF:
            self.stop()
        elif wanted and self.state == OFF and not self.start():
            from pyredis.config import ConfigError

            raise ConfigError("Unable to turn on AOF. Check server logs.")

    def start(self) -> bool:
        """Log from now on; False if the first rewrite could not begin, the log says why."""
        engine = self.engine
        self._become(WAITING)
        self.scheduled = False
        if engine.child.purpose and not self.rewriting:
            self.scheduled = True
            engine.log(
                "notice",
                "AOF was enabled but there is already another background operation. An AOF "
                "background was scheduled to start when possible.",
            )
        elif engine.ks.unit.depth:
            self.scheduled = True
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
            self.scheduled = True  # it gets going when the other has ended
        elif not self.rewrite():
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
        if self.state == ON:
            self.feed.close()
        else:
            self._drop_waiting()
        self.scheduled = False
        self._begun_in = ""  # the base that a child writes is of no use to what comes
        self._become(OFF)
        self.engine.replication.primary.on_ack()  # who waits for this disk waits in vain
        if self.rewriting:
            self.engine.log("notice", f"Killing running AOF rewrite child: {self._child_id}")
            self.engine.child.kill()

    def _begin_anew(self) -> None:
        """All data have been exchanged for those of a primary."""
        if self.state != OFF:
            self.stop()
            if not self.start():  # it stays wanted: the cron tries again
                self._become(WAITING)
                self.scheduled = True

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
            if self.state == WAITING:
                if not force:
                    log("warning", "Writing initial AOF, can't exit.")
                    engine.saver.supervisor("STATUS=Writing initial AOF, can't exit.\n")
                    raise Error("ERR Errors trying to SHUTDOWN. Check logs.")
                log("warning", "Writing initial AOF. Exit anyway.")
            log("warning", "There is a child rewriting the AOF. Killing it!")
            engine.child.kill()
            self._remove(_temporary(self._child_id))
        if self.state == ON:
            log("notice", "Calling fsync() on the AOF file.")
            self.feed.finish()

    # Refusing writes

    @property
    def write_problem(self) -> str:
        """What keeps the log from being written, "" if nothing does."""
        return self.feed.error if self.state != OFF else ""

    def update_gate(self) -> None:
        """Refuse writes while they cannot be logged."""
        self.engine.set_gate(unlogged, bool(self.write_problem))

    def _lost(self) -> None:
        """A write that ``always`` promised is not on disk: nobody may be told of it."""
        self.engine.fall(1)

    # Rewriting

    def rewrite_now(self, in_transaction: bool) -> str:
        """BGREWRITEAOF; returns what to reply. Raises Error."""
        if self.disk is None:
            raise Error(_NO_DISK)
        if self.rewriting:
            raise Error("ERR Background append only file rewriting already in progress")
        if self.engine.child.purpose or in_transaction:
            self.scheduled = True
            self.failures = 0  # somebody asked for it: no pause
            return "Background append only file rewriting scheduled"
        if self.rewrite():
            return "Background append only file rewriting started"
        raise Error(
            "ERR Can't execute an AOF background rewriting. Please check the server logs for more "
            "information."
        )

    def rewrite(self) -> bool:
        """Have a child write a new base; False if there cannot be one, the log says why."""
        engine, folder = self.engine, self._folder()
        if folder is None or engine.child.purpose:
            return False
        self._begun_in = self.state
        try:
            self._make(folder)
            self._open_increment(folder)
            self.rewrites += 1
            self._child_id = engine.child.start("aof", CHILD_TITLE, self._child, self._child_ended)
        except (AofError, ManifestError) as error:
            for line in str(error).split("\n"):
                engine.log("warning", line)
            return self._failed()
        except OSError as error:
            engine.log(
                "warning", f"Can't rewrite append only file in background: fork: {error.strerror}"
            )
            return self._failed()
        engine.log(
            "notice", f"Background append only file rewriting started by pid {self._child_id}"
        )
        self.scheduled = False
        self.since_s = engine.now_ms // 1000
        return True

    def _failed(self) -> bool:
        self.last_ok = False
        self.failures += 1
        if self.state == WAITING:
            self._drop_waiting()
        return False

    def _open_increment(self, folder: Disk) -> None:
        """Let the feed go to a new increment. Raises AofError, ManifestError."""
        if self.state == OFF:
            return
        changed = self.manifest
        if self.state == WAITING:
            name = self._waiting_name
        else:
            changed = changed.with_increment(self._filename)
            name = changed.increments[-1].name
        try:
            # Before the fork: what is in the base must not be in the new increment as well.
            self.feed.settle()
        except OSError as error:
            raise AofError(f"Fail to write the AOF file: {error.strerror}") from error
        try:
            file = folder.create(name)
            file.sync()  # an old one of that name is empty for good before the manifest names it
        except OSError as error:
            raise AofError(f"Can't open the append-only file {name}: {error.strerror}") from error
        try:
            if changed is not self.manifest:
                changed.store(folder, self._filename)
        except ManifestInDoubt:
            self.manifest = changed  # the new increment is there, and stays empty
            raise
        except ManifestError:
            with contextlib.suppress(OSError):
                file.close()
                folder.remove(name)
            raise
        self.engine.log("notice", f"Creating AOF incr file {name} on background rewrite")
        self.manifest = changed
        self.feed.switch(file)
        self._listen()

    # The child's side

    def _child(self, process_id: int, report: Report) -> bool:
        """Write the base to a temporary file."""
        folder = self._folder()
        assert folder is not None
        name = _temporary(process_id)
        try:
            self._write_base(folder, name, report)
        except OSError as error:
            self.engine.log(
                "warning", f"Write error writing append only file on disk: {error.strerror}"
            )
            return False
        self.engine.log("notice", f"Successfully created the temporary AOF base file {name}")
        return True

    def _write_base(self, folder: Disk, name: str, report: Report) -> None:
        """All data, as an RDB file or as commands, safe on disk. Raises OSError."""
        config = self.engine.config
        unsynced_bytes = 0
        with contextlib.closing(folder.create(name)) as file:
            try:
                for chunk in self._chunks(report):
                    file.write(chunk)
                    unsynced_bytes += len(chunk)
                    if config.aof_rewrite_incremental_fsync and (
                        unsynced_bytes >= SYNC_INTERVAL_BYTES
                    ):
                        unsynced_bytes = 0
                        file.sync()
                file.sync()
            except OSError:
                with contextlib.suppress(OSError):
                    folder.remove(name)
                raise

    def _chunks(self, report: Report) -> Iterator[bytes]:
        engine, config = self.engine, self.engine.config
        if config.aof_use_rdb_preamble:
            yield from engine.saver.chunks(report, aof_base=True)
            return
        keys = 0

        def on_keys(count: int) -> None:
            nonlocal keys
            keys += count

        libraries = engine.scripting.libraries.libraries.values()
        time_s = engine.now_ms // 1000 if config.aof_timestamp_enabled else 0
        functions = [library.text for library in libraries]
        for chunk in aof_rewrite.write(engine.ks.dbs, functions, time_s, on_keys):
            yield chunk
            report(keys)

    # The child's end

    def _child_ended(self, end: ChildEnd) -> None:
        engine, child = self.engine, self.engine.child
        log = engine.log
        temporary = _temporary(self._child_id)
        if self._begun_in != self.state:
            # It was switched off, and perhaps on again, so the log does not go on from this base.
            log("notice", "Background AOF rewrite of no use any more")
        elif end.well:
            log("notice", "Background AOF rewrite terminated with success")
            self.last_cow_bytes = child.report.cow_bytes
            try:
                self._put_in_place(temporary)
            except (AofError, ManifestError) as error:
                for line in str(error).split("\n"):
                    log("warning", line)
                self.last_ok = False
                self.failures += 1
            else:
                self.last_ok = True
                self.failures = 0
                log("notice", "Background AOF rewrite finished successfully")
        elif not end.signal:
            log("warning", "Background AOF rewrite terminated with error")
            self.last_ok = False
            self.failures += 1
        else:
            log("warning", f"Background AOF rewrite terminated by signal {end.signal}")
            if not end.excused:
                self.last_ok = False
                self.failures += 1
        self._remove(temporary)
        self.last_duration_s = engine.now_ms // 1000 - self.since_s
        self.since_s = -1
        if self.state == WAITING:  # still: there has to be a first base
            self._drop_waiting()
            self.scheduled = True

    def _put_in_place(self, temporary: str) -> None:
        """Make the new base that of the log. Raises AofError, ManifestError: nothing changed."""
        folder, log = self._folder(), self.engine.log
        assert folder is not None
        changed = self._with_base(self.manifest)
        assert changed.base is not None
        base = changed.base.name
        _rename(folder, temporary, base, "base")
        log(
            "notice",
            f"Successfully renamed the temporary AOF base file {temporary} into {base}",
        )
        fresh = [base]
        in_doubt = False
        try:
            if self.state == WAITING:
                changed = changed.with_increment(self._filename)
                name = changed.increments[-1].name
                self.feed.settle()
                _rename(folder, self._waiting_name, name, "incr")
                fresh.append(name)
                log(
                    "notice",
                    "Successfully renamed the temporary AOF incr file "
                    f"{self._waiting_name} into {name}",
                )
            changed = changed.rewritten(keep=int(self.feed.file is not None))
            changed.store(folder, self._filename)
        except ManifestInDoubt as error:
            # Either manifest makes up all data, as long as no file of either is deleted.
            log("warning", str(error))
            in_doubt = True
        except (AofError, ManifestError, OSError) as error:
            for name in fresh:
                self._remove(name)
            if isinstance(error, OSError):
                raise AofError(f"Fail to write the AOF file: {error.strerror}") from error
            raise
        self.manifest = changed
        if self.state != OFF:
            with contextlib.suppress(OSError):  # the size is only for the next automatic rewrite
                self._resize(folder.size(base) + self.feed.good_size)
                self.base_bytes = self.current_bytes
        if not in_doubt:
            self._delete_history()
        if self.state == WAITING:
            self._become(ON)

    def _delete_history(self) -> None:
        """Take away the files that are superfluous.

        Should the manifest not let itself be stored after that, the next start tries again. A
        file that cannot be deleted stays behind.
        """
        folder = self._folder()
        history = self.manifest.history
        if folder is None or not history or self.engine.config.aof_disable_auto_gc:
            return
        for part in history:
            self.engine.log("notice", f"Removing the history file {part.name} in the background")
            self._remove(part.name)
        changed = self.manifest.without_history()
        try:
            changed.store(folder, self._filename)
        except ManifestError as error:
            self.engine.log("warning", str(error))
        else:
            self.manifest = changed

    # What is due

    def cron(self) -> None:
        """Begin a rewrite if one was put off, or if the log has grown enough."""
        engine, config = self.engine, self.engine.config
        if self.disk is None or engine.saver.loading is not None or engine.child.purpose:
            return
        if self.scheduled:
            if not self._held_back():
                self.rewrite()
            return
        percentage = config.auto_aof_rewrite_percentage
        size = self.current_bytes
        if self.state == ON and percentage and size > config.auto_aof_rewrite_min_size:
            growth = size * 100 // (self.base_bytes or 1) - 100
            if growth >= percentage and not self._held_back():
                engine.log("notice", f"Starting automatic rewriting of AOF on {growth}% growth")
                self.rewrite()

    def _held_back(self) -> bool:
        """Whether too many rewrites have failed to try the next one now."""
        now_s = self.engine.now_ms // 1000
        if self.failures < FAILURES_MAX:
            self._delay_min = self._not_before_s = 0
            return False
        if self._not_before_s:
            if now_s < self._not_before_s:
                return True
            self._not_before_s = 0
            return False
        self._delay_min = min(2 * self._delay_min or 1, _DELAY_MAX_MIN)
        self._not_before_s = now_s + 60 * self._delay_min
        self.engine.log(
            "warning",
            "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in "
            f"{self._delay_min} minutes",
        )
        return True

    # Files

    @property
    def _filename(self) -> str:
        return self.engine.config.appendfilename

    @property
    def _waiting_name(self) -> str:
        return f"temp-{self._filename}.incr"

    def _folder(self) -> Disk | None:
        """The folder of the parts, None on a server without a disk."""
        return self.disk.sub(self.engine.config.appenddirname) if self.disk is not None else None

    def _make(self, folder: Disk) -> None:
        try:
            folder.make()
        except OSError as error:
            raise AofError(
                f"Can't open or create append-only dir {self.engine.config.appenddirname}: "
                f"{error.strerror}"
            ) from error

    def _with_base(self, before: Manifest) -> Manifest:
        suffix = "rdb" if self.engine.config.aof_use_rdb_preamble else "aof"
        return before.with_base(self._filename, suffix)

    def _remove(self, name: str) -> None:
        folder = self._folder()
        if folder is not None:
            with contextlib.suppress(OSError):
                folder.remove(name)

    def _drop_waiting(self) -> None:
        """What came since it was switched on is of no use without a base."""
        file, self.feed.file = self.feed.file, None
        self.feed.forget()
        self._listen()
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
            self._remove(self._waiting_name)


def _rename(folder: Disk, temporary: str, name: str, kind: str) -> None:
    try:
        folder.rename(temporary, name)
    except OSError as error:
        raise AofError(
            f"Error trying to rename the temporary AOF {kind} file {temporary} into {name}: "
            f"{error.strerror}"
        ) from error


def _temporary(process_id: int) -> str:
    """The file that a child writes before it is renamed."""
    return f"temp-rewriteaof-bg-{process_id}.aof"
