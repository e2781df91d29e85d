"""When the data are saved, and what is known of it. Files and children are behind ports.

*Changes* are counted by the keyspace (``ks.dirty``); those since the count that the last
good save covered are what would be lost. A *save point* (seconds, changes) is reached when
there are that many changes and the last good save is longer ago than that. Then a child writes
the file; save points are looked after in the cron. After a failure the next automatic attempt
is five seconds away, and as long as save points are set, writes are refused
(stop-writes-on-bgsave-error), so that nobody takes data for safe that are not.

A server without a disk (inside a test, say) saves nothing, and says so when asked to.

Model: Redis' ``serverCron`` and ``rdb.c``; the lines for the log are Redis' own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from pyredis.gates import unsaved
from pyredis.persistence.aof_loading import AofLoading
from pyredis.persistence.dataset import Dataset
from pyredis.persistence.loading import LoadError, Loading, tell_done
from pyredis.persistence.store import StoreError, store
from pyredis.persistence.writer import Marks, Options, write
from pyredis.ports import ChildEnd, Disk, Report
from pyredis.resp import Error
from pyredis.version import REDIS_VERSION

if TYPE_CHECKING:
    from pyredis.engine import Engine

CHILD_TITLE: Final = "redis-rdb-bgsave"
ALL: Final = frozenset(("data", "functions"))
RETRY_DELAY_S: Final = 5
_IN_PROGRESS: Final = "ERR Background save already in progress"
_OTHER_CHILD: Final = (
    "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in "
    "order to schedule a BGSAVE whenever possible."
)
_NO_DISK: Final = "ERR this server has no disk"
_PAUSE_S: Final = 0.1  # rdb-key-save-delay: the longest single pause


class Running(NamedTuple):
    """The child that saves."""

    process_id: int
    dirty: int  # the count of changes when it began


class Saver:
    """Saving and loading of one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.disk: Disk | None = None
        self.supervisor: Callable[[str], None] = lambda state: None
        self.running: Running | None = None
        self.scheduled = False
        self.last_save_s = engine.now_ms // 1000  # at the start there is nothing to save
        self.last_try_s = 0
        self.last_ok = True
        self.last_duration_s = -1
        self.last_cow_bytes = 0
        self._covered = 0  # the count of changes that the last good save holds
        self.ended: list[Callable[[bool], None]] = []  # told of the end of each child
        self.loading: Loading | AofLoading | None = None
        self.keys_loaded = 0
        self.keys_expired = 0
        self.reset_stats()
        engine.config.subscribe(("save", "stop-writes-on-bgsave-error"), self._apply_gate)

    def connect(self, disk: Disk) -> None:
        """From now on there is something to save to."""
        self.disk = disk

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        self.saves = 0

    @property
    def changes(self) -> int:
        """What has changed since the last good save."""
        return self.engine.ks.dirty - self._covered

    def forget_changes(self) -> None:
        """The data are those of the log: as far as counting goes there is nothing to save."""
        self._covered = self.engine.ks.dirty

    @property
    def now_s(self) -> int:
        """Unix time in seconds."""
        return self.engine.now_ms // 1000

    @property
    def in_progress(self) -> bool:
        """Whether a child makes a snapshot, be it for the file or for replicas."""
        return self.engine.child.purpose in ("rdb", "sync")

    def child_over(self) -> None:
        """Such a child has ended: note what it took."""
        child = self.engine.child
        self.last_duration_s = self.now_s - child.since_s
        self.last_cow_bytes = child.report.cow_bytes or self.last_cow_bytes

    # Saving

    def save(self) -> None:
        """SAVE: write the file here and now. Raises Error."""
        if self.in_progress:
            raise Error(_IN_PROGRESS)
        self._need_disk()
        self.saves += 1
        if not self.write_file():
            raise Error("ERR")

    def write_file(self) -> bool:
        """Write the file; False if that failed, the log says how."""
        if not self._store(self.engine.host.process_id, lambda keys: None):
            return False
        self._covered = self.engine.ks.dirty
        self.last_save_s = self.now_s
        self._set_status(True)
        return True

    def save_in_background(self, in_transaction: bool, may_wait: bool) -> str:
        """BGSAVE; returns what to reply. Raises Error.

        ``may_wait``: if another child is at work, the save is put off until its end.
        """
        if self.in_progress:
            raise Error(_IN_PROGRESS)
        self._need_disk()
        other = self.engine.child.purpose
        if in_transaction or (other and may_wait):
            # No fork between the commands of a transaction: the file would hold half of it.
            self.scheduled = True
            return "Background saving scheduled"
        if other:
            raise Error(_OTHER_CHILD)
        if not self.start():
            raise Error("ERR")
        return "Background saving started"

    def start(self) -> bool:
        """Have a child save; False if there cannot be one."""
        engine = self.engine
        if engine.child.purpose or engine.child.children is None:
            return False
        self.saves += 1
        self.last_try_s = self.now_s
        try:
            process_id = engine.child.start("rdb", CHILD_TITLE, self._store, self._child_ended)
        except OSError as error:
            engine.log("warning", f"Can't save in background: fork: {error.strerror}")
            self._set_status(False)
            return False
        engine.log("notice", f"Background saving started by pid {process_id}")
        self.running = Running(process_id, engine.ks.dirty)
        return True

    def kill_child(self) -> None:
        """The file that the child writes is not wanted any more."""
        if self.running is not None:
            self.engine.child.kill()

    def flushed(self) -> None:
        """All data are gone, so the file must not bring them back at the next start."""
        if self.in_progress:
            self.engine.child.kill()
        if self.engine.config.save and self.disk is not None:
            self.write_file()

    def remove_sync_file(self, origin: str) -> None:
        """Take away a file that was there for replication alone, if rdb-del-sync-files says so.

        Where data are kept on disk the file is wanted anyway.
        """
        config = self.engine.config
        if not config.rdb_del_sync_files or config.save or config.appendonly or self.disk is None:
            return
        self.engine.log(
            "notice", f"Removing the RDB file {origin}: this server keeps nothing on disk."
        )
        with contextlib.suppress(OSError):
            self.disk.remove(config.dbfilename)

    def prepare_exit(self, save: bool = False, nosave: bool = False, force: bool = False) -> None:
        """Save if that is wanted: by default where save points are set. Raises Error.

        After an error the server goes on, unless it is forced to end.
        """
        log = self.engine.log
        if self.running is not None and self.disk is not None:
            log("warning", "There is a child saving an .rdb. Killing it!")
            self.kill_child()
            with contextlib.suppress(OSError):
                self.disk.remove(_temporary(self.running.process_id))
        self.engine.aof.prepare_exit(force)
        if self.loading is not None or nosave or not (save or self.engine.config.save):
            return
        if self.disk is None and not save:
            return
        log("notice", "Saving the final RDB snapshot before exiting.")
        self.supervisor("STATUS=Saving the final RDB snapshot\n")
        if self.disk is not None and self.write_file():
            return
        if force:
            log("warning", "Error trying to save the DB. Exit anyway.")
            return
        log("warning", "Error trying to save the DB, can't exit.")
        self.supervisor("STATUS=Error trying to save the DB, can't exit.\n")
        log(
            "warning",
            "Errors trying to shut down the server. Check the logs for more information.",
        )
        raise Error("ERR Errors trying to SHUTDOWN. Check logs.")

    def drop_temporary(self) -> None:
        """Take away what this process itself has begun to write: it ends here and now."""
        if self.disk is not None:
            with contextlib.suppress(OSError):
                self.disk.remove(_temporary(self.engine.host.process_id))

    def _need_disk(self) -> Disk:
        if self.disk is None:
            raise Error(_NO_DISK)
        return self.disk

    def _store(self, process_id: int, report: Report) -> bool:
        """Write the file, in the server or in a child."""
        assert self.disk is not None
        config = self.engine.config
        try:
            store(
                self.disk,
                config.dbfilename,
                _temporary(process_id),
                self.chunks(report),
                config.rdb_save_incremental_fsync,
            )
        except StoreError as error:
            self.engine.log("warning", str(error))
            return False
        self.engine.log("notice", "DB saved on disk")
        return True

    def chunks(
        self, report: Report, aof_base: bool = False, parts: Collection[str] = ALL
    ) -> Iterator[bytes]:
        """The file, piece by piece; progress is told after each, and delays are kept.

        ``parts`` are those of ``ALL`` that are to be in it.
        """
        engine, config = self.engine, self.engine.config
        delay_us = float(config.rdb_key_save_delay)
        if delay_us < 0:
            delay_us = -1 / delay_us
        done = 0
        fresh = 0

        def on_keys(count: int) -> None:
            nonlocal fresh
            fresh += count

        def on_newer(what: str) -> None:
            engine.log(
                "warning",
                f"The RDB file holds {what}: servers that read no newer format than version "
                f"{config.rdb_version} (rdb-version) will refuse it.",
            )

        marks = Marks.NONE
        if "lru" in config.maxmemory_policy:
            marks = Marks.IDLE
        elif "lfu" in config.maxmemory_policy:
            marks = Marks.FREQUENCY
        options = Options(
            version=config.rdb_version,
            compresses=config.rdbcompression,
            checksum=config.rdbchecksum,
            marks=marks,
        )
        libraries = engine.scripting.libraries.libraries.values()
        functions = [library.text for library in libraries] if "functions" in parts else []
        dbs = engine.ks.dbs if "data" in parts else []
        for chunk in write(dbs, self._aux(aof_base), functions, options, on_keys, on_newer):
            yield chunk
            if delay_us and fresh:
                pauses = max(1, round(fresh * delay_us / 1e6 / _PAUSE_S))
                for number in range(1, pauses + 1):
                    engine.host.sleep(fresh * delay_us / 1e6 / pauses)
                    report(done + fresh * number // pauses)
            done += fresh
            fresh = 0
            report(done)

    def _aux(self, aof_base: bool) -> list[tuple[bytes, bytes]]:
        engine = self.engine
        facts = {
            "redis-ver": REDIS_VERSION,
            "redis-bits": engine.host.arch_bits,
            "ctime": self.now_s,
            "used-mem": engine.memory.used_bytes(),
            "aof-base": int(aof_base),
        } | engine.replication.aux()
        return [(name.encode(), str(value).encode()) for name, value in facts.items()]

    # The child, and what is due

    def cron(self) -> None:
        """Begin to save if it is time."""
        if self.loading is not None or self.disk is None or self.engine.child.purpose:
            return
        self._check_save_points()
        if self.scheduled and self._may_try() and self.start():
            self.scheduled = False

    def _check_save_points(self) -> None:
        changes, age_s = self.changes, self.now_s - self.last_save_s
        for point in self.engine.config.save:
            if changes >= point.changes and age_s > point.seconds and self._may_try():
                self.engine.log(
                    "notice", f"{point.changes} changes in {point.seconds} seconds. Saving..."
                )
                self.start()
                return

    def _may_try(self) -> bool:
        return not self.engine.child.purpose and (
            self.last_ok or self.now_s - self.last_try_s > RETRY_DELAY_S
        )

    def _child_ended(self, end: ChildEnd) -> None:
        engine, running = self.engine, self.running
        assert running is not None
        self.running = None
        self.child_over()
        if end.well:
            engine.log("notice", "Background saving terminated with success")
            self._covered = max(self._covered, running.dirty)
            self.last_save_s = self.now_s
            self._set_status(True)
        elif not end.signal:
            engine.log("warning", "Background saving error")
            self._set_status(False)
        else:
            engine.log("warning", f"Background saving terminated by signal {end.signal}")
            if self.disk is not None:
                with contextlib.suppress(OSError):
                    self.disk.remove(_temporary(running.process_id))
            if not end.excused:
                self._set_status(False)
        for told in self.ended:
            told(end.well)

    # Refusing writes

    @property
    def denies_writes(self) -> bool:
        """Whether data must not change because they cannot be saved."""
        config = self.engine.config
        return bool(config.stop_writes_on_bgsave_error and config.save and not self.last_ok)

    def _set_status(self, ok: bool) -> None:
        self.last_ok = ok
        self._apply_gate()

    def _apply_gate(self) -> None:
        self.engine.set_gate(unsaved, self.denies_writes)

    # Loading

    def begin_loading(self) -> bool:
        """Open what there is at the start; False if there is nothing. Raises LoadError.

        With an append-only file, that alone counts, whatever RDB file there is. Then call
        ``load_slice`` until it is over. Clients get LOADING meanwhile.
        """
        disk = self._need_disk()
        aof = self.engine.aof
        aof.prepare()
        if self.engine.config.appendonly:
            loading = aof.begin_loading()
            if loading is None:
                aof.open()
                return False
            self.loading_is(loading)
            return True
        name = self.engine.config.dbfilename
        try:
            file = disk.open(name)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise LoadError(
                f"Fatal error: can't open the RDB file {name} for reading: {error.strerror}"
            ) from error
        self.loading_is(Loading(self.engine, file))
        return True

    def loading_is(self, loading: Loading | AofLoading | None) -> None:
        """Data are being loaded, so clients have to wait; or not any more."""
        if self.loading is not None and self.loading is not loading:
            self.loading.close()
        self.loading = loading
        self.engine.refresh_all()

    def load_slice(self) -> float | None:
        """Load for some milliseconds; returns seconds to wait before the next, None at the end.

        Raises LoadError for a file that cannot be loaded; then there are no data.
        """
        loading = self.loading
        assert loading is not None
        try:
            pause_s = loading.step()
            if pause_s is None and isinstance(loading, Loading):
                dataset = self.put_in_place(loading)
                self.engine.replication.restore(dataset.aux, dataset.expired_keys)
        except LoadError:
            self.loading_is(None)
            raise
        if pause_s is None:
            self.loading_is(None)
            elapsed_s = (self.engine.clock_ns() - loading.start_ns) / 1e9
            source = "disk" if isinstance(loading, Loading) else "append only file"
            self.engine.log("notice", f"DB loaded from {source}: {elapsed_s:.3f} seconds")
            if isinstance(loading, AofLoading):
                self.keys_loaded = loading.keys_loaded
                self.keys_expired = loading.keys_expired
                self.engine.aof.loaded(loading)
                self.engine.aof.open()
            else:
                self.engine.aof.catch_up()
        return pause_s

    def reload(self, save: bool = True, flush: bool = True, merge: bool = False) -> None:
        """DEBUG RELOAD: write the file, then load it. Raises Error.

        Without ``flush`` the keys of the file come to those that are there; it is an error when
        a key is there already, unless ``merge`` lets it be replaced.
        """
        disk = self._need_disk()
        if save and not self.write_file():
            raise Error("ERR")
        engine = self.engine
        try:
            with contextlib.closing(disk.open(engine.config.dbfilename)) as file:
                loading = Loading(engine, file)
                while loading.step() is not None:
                    pass
                self.put_in_place(loading, flush, merge)
        except (LoadError, OSError) as error:
            for line in str(error).split("\n"):
                engine.log("warning", line)
            raise Error("ERR Error trying to load the RDB dump, check server logs.") from error
        engine.log("warning", "DB reloaded by DEBUG RELOAD")

    def put_in_place(
        self,
        loading: Loading,
        flush: bool = True,
        merge: bool = False,
        lazily: bool = False,
        commit: Callable[[], None] = lambda: None,
    ) -> Dataset:
        """Make what has been read the data (or add it, without ``flush``). Raises LoadError.

        ``lazily``: the data that were there are freed a little at a time. ``commit`` is called
        when all has been found right; should it raise, everything is as it was.
        """
        libraries = self.engine.scripting.libraries
        before = libraries.libraries, libraries.functions
        dataset = loading.finish(flush, merge)  # functions are in place from here on
        try:
            commit()
        except BaseException:
            libraries.libraries, libraries.functions = before
            raise
        if flush:
            for data in dataset.install(self.engine.ks):
                if lazily:
                    self.engine.lazyfree.add_database(data)
        else:
            dataset.merge(self.engine.ks)
        self.keys_loaded = dataset.keys
        self.keys_expired = dataset.expired
        tell_done(self.engine, dataset)
        return dataset


def _temporary(process_id: int) -> str:
    """The file that a process writes before it is renamed."""
    return f"temp-{process_id}.rdb"
