"""A snapshot on its way from the primary into this server.

Three ways, chosen when the first byte is announced (``repl-diskless-load``):

    to disk      the file is received, synced and loaded as at a start (clients get LOADING while
                 that lasts); when it has been found right it takes the place of the RDB file
    directly     what comes is read at once (``on-empty-db``, if there are no keys); LOADING, too
    aside        the same (``swapdb``). If the new data continue the history of the old ones, those
                 are served until the new ones are whole; otherwise LOADING, here too

In all three the data are built aside and put in place by a few assignments once the end and the
checksum are right. So whatever cuts the transfer, there are old data or new ones, never half.
(Redis empties itself before the first two. To clients that is the same: they get LOADING.)
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from pyredis.persistence.loading import LoadError, Loading

if TYPE_CHECKING:
    from pyredis.engine import Engine
    from pyredis.persistence.dataset import Dataset
    from pyredis.ports import Output

_SYNC_INTERVAL_BYTES: Final = 8 << 20


class IntakeError(Exception):
    """The snapshot cannot be had; the text is fit for the log."""


def loads_directly(engine: Engine) -> bool:
    """Whether a snapshot that begins now would be read as it comes."""
    mode = engine.config.repl_diskless_load
    empty = not any(db.data for db in engine.ks.dbs)
    return mode == "swapdb" or (mode == "on-empty-db" and empty) or engine.saver.disk is None


class Intake:
    """One snapshot. ``take`` its bytes, say ``end``, then ``step`` until there is a dataset."""

    def __init__(self, engine: Engine, size: int, same_history: bool) -> None:
        """``same_history``: the old data are an earlier state of those that come.

        Raises IntakeError.
        """
        self._engine = engine
        self.size = size  # -1 if the primary does not know
        self.received_bytes = 0
        self.aside = engine.config.repl_diskless_load == "swapdb"
        self.serves_old = self.aside and same_history  # meanwhile (INFO's async_loading)
        self.direct = loads_directly(engine)
        self.loading: Loading | None = None
        self._output: Output | None = None
        self._name = ""
        self._unsynced_bytes = 0
        self._whole = False
        self._pause_ms = 0, 0  # since when, how long
        if self.direct:
            self._begin_direct()
        else:
            self._begin_file()

    def _begin_direct(self) -> None:
        engine = self._engine
        engine.log("notice", "MASTER <-> REPLICA sync: Loading DB in memory")
        self.loading = Loading(engine)
        self.loading.total_bytes = max(0, self.size)
        if not self.serves_old:
            engine.saver.loading_is(self.loading)

    def _begin_file(self) -> None:
        engine = self._engine
        assert engine.saver.disk is not None
        self._name = f"temp-{engine.now_ms // 1000}.{engine.host.process_id}.rdb"
        try:
            self._output = engine.saver.disk.create(self._name)
        except OSError as error:
            raise IntakeError(
                "Opening the temp file needed for MASTER <-> REPLICA synchronization: "
                f"{error.strerror}"
            ) from error

    def take(self, data: bytes) -> None:
        """The next bytes. Raises IntakeError."""
        self.received_bytes += len(data)
        if self.loading is not None:
            self._read(self.loading, data)
            return
        assert self._output is not None
        try:
            self._output.write(data)
            self._unsynced_bytes += len(data)
            if self._unsynced_bytes >= _SYNC_INTERVAL_BYTES and not self._output.syncing:
                self._unsynced_bytes = 0
                self._output.sync_later()
        except OSError as error:
            raise IntakeError(
                "Write error or short write writing to the DB dump file needed for MASTER <-> "
                f"REPLICA synchronization: {error.strerror}"
            ) from error

    def _read(self, loading: Loading, data: bytes) -> None:
        """Take what is read as it comes. With key-load-delay, everything stands still for it."""
        keys = loading.keys
        try:
            loading.take(data)
        except LoadError as error:
            raise IntakeError(str(error)) from error
        delay_us = self._engine.config.key_load_delay
        if delay_us:
            each_us = delay_us if delay_us > 0 else -1 / delay_us
            self._engine.host.sleep((loading.keys - keys) * each_us / 1e6)

    def end(self) -> None:
        """All bytes are there. Raises IntakeError."""
        self._whole = True
        if self.loading is not None:
            return
        engine, saver = self._engine, self._engine.saver
        assert self._output is not None
        assert saver.disk is not None
        saver.kill_child()  # what it saves is about to be replaced
        try:
            output, self._output = self._output, None
            with contextlib.closing(output):
                output.sync()
            if output.sync_error is not None:  # one in the background; the system tells only once
                raise output.sync_error
            file = saver.disk.open(self._name)
        except OSError as error:
            raise IntakeError(
                "Failed trying to finish the temp DB in MASTER <-> REPLICA synchronization: "
                f"{error.strerror}"
            ) from error
        engine.log("notice", "MASTER <-> REPLICA sync: Loading DB in memory")
        self.loading = Loading(engine, file)
        saver.loading_is(self.loading)

    def step(self) -> Dataset | None:
        """Load for some milliseconds; the dataset, in place, once it is. Raises IntakeError."""
        loading = self.loading
        if loading is None or not self._whole:
            return None
        saver = self._engine.saver
        try:
            pause_s = None if self.direct else loading.step()
            if pause_s is not None:
                self._pause_ms = self._engine.now_ms, round(pause_s * 1000)
                return None
            return saver.put_in_place(
                loading,
                lazily=self._engine.config.replica_lazy_flush,
                commit=lambda: None if self.direct else self._keep_file(),
            )
        except LoadError as error:
            raise IntakeError(
                f"Failed trying to load the MASTER synchronization DB, check server logs.\n{error}"
            ) from error

    def _keep_file(self) -> None:
        """What was received is right: it takes the place of the RDB file. Raises IntakeError."""
        disk, name = self._engine.saver.disk, self._engine.config.dbfilename
        assert disk is not None
        try:
            disk.rename(self._name, name)
            self._name = ""
            disk.sync_folder()
        except OSError as error:
            raise IntakeError(
                f"Failed trying to rename the temp DB into {name} in MASTER <-> REPLICA "
                f"synchronization: {error.strerror}"
            ) from error

    @property
    def next_ms(self) -> int | None:
        """When ``step`` is to be called, None before the end."""
        if not self._whole:
            return None
        since_ms, duration_ms = self._pause_ms
        now_ms = self._engine.now_ms  # which may have been put back meanwhile
        return since_ms + duration_ms if since_ms <= now_ms else now_ms

    def close(self) -> None:
        """It is over, well or not: what it has left is taken away."""
        saver = self._engine.saver
        if self.loading is not None and saver.loading is self.loading:
            saver.loading_is(None)
            self._engine.aof.catch_up()
        elif self.loading is not None:
            self.loading.close()
        if self._whole and not self.direct and not self._name:
            saver.remove_sync_file("obtained from the master")
        self.loading = None
        if self._output is not None:
            with contextlib.suppress(OSError):
                self._output.close()
            self._output = None
        if self._name and saver.disk is not None:
            with contextlib.suppress(OSError):
                saver.disk.remove(self._name)
            self._name = ""
