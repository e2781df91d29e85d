"""The live end of the append-only file: what has changed goes into it, and onto the medium.

As a feed it gathers the bytes of closed units. ``flush`` runs once a batch, before any reply
leaves: one write for all of them, so whatever a client was told of survives the death of the
process. When it survives the death of the machine is the policy's affair (``appendfsync``):

* ``always``: the write is synced before the replies leave. If either fails, the promise
  cannot be kept, and the server ends (``on_lost``).
* ``everysec``: once a second a sync runs in the background, so a second's writes may be lost.
  While it runs a write might block, so it is put off, for two seconds at most.
* ``no``: whenever the operating system likes.

A write that fails is undone by cutting the file to the last whole command, and tried again
every second; until it succeeds clients may not write (``error``). Units that came meanwhile
wait in memory, in order.

Model: Redis' ``feedAppendOnlyFile`` and ``flushAppendOnlyFile``; the lines for the log are
Redis' own. Departure: a background sync that failed counts as not done, and is tried again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pyredis.resp import encode_command

if TYPE_CHECKING:
    from pyredis.engine import Engine
    from pyredis.ports import Output

ALWAYS: Final = "always"
EVERYSEC: Final = "everysec"
SYNC_INTERVAL_MS: Final = 1000
POSTPONE_MAX_MS: Final = 2000
RETRY_INTERVAL_MS: Final = 1000
_LOG_INTERVAL_MS: Final = 30_000
_NO_DB: Final = -1
_NO_SPACE: Final = 28


class AofFeed:
    """A feed that writes to an increment. Without a file (``open``) it takes nothing."""

    kind = "aof"

    def __init__(
        self, engine: Engine, on_lost: Callable[[], None], on_trouble: Callable[[], None]
    ) -> None:
        """``on_lost`` is called when ``always`` cannot be kept; no reply may leave after it.

        ``on_trouble`` is called when ``error`` has changed.
        """
        self.engine = engine
        self.on_lost = on_lost
        self.on_trouble = on_trouble
        self.file: Output | None = None
        self.good_size = 0  # of the increment: whole commands
        self.written_bytes = 0  # since the process began
        self.delayed_syncs = 0
        self.spent_ns = 0  # with writing, and with syncing in the loop
        self.flush_pause_us = 0  # DEBUG AOF-FLUSH-SLEEP
        self.offset_source: Callable[[], int] = lambda: 0
        self.synced_offset = 0  # what ``offset_source`` said of that which is safe now
        self._buffer: list[bytes] = []
        self._db = _NO_DB
        self._stamp_s = 0
        self._stamps = False
        self._synced_size = 0
        self._syncing: tuple[int, int] | None = None  # size and offset that will be safe
        self._last_sync_ms = 0
        self._postponed_ms = 0  # since when a write has been put off
        self._write_error = ""
        self._sync_error = ""
        self._retry_ms = 0
        self._logged_ms = -_LOG_INTERVAL_MS
        self._policy = EVERYSEC
        self._follow()
        engine.config.subscribe(("appendfsync", "aof-timestamp-enabled"), self._follow)

    def _follow(self) -> None:
        config = self.engine.config
        self._policy = config.appendfsync
        self._stamps = config.aof_timestamp_enabled

    # Taking

    def take(self, db_index: int, wire: bytes, head: bytes = b"") -> None:
        """Commands for a database, in RESP."""
        if self._stamps:
            now_s = self.engine.ks.now_ms // 1000
            if now_s > self._stamp_s:
                self._stamp_s = now_s
                self._buffer.append(b"#TS:%d\r\n" % now_s)
        if head:
            self._buffer.append(head)
        if db_index != self._db:
            self._db = db_index
            self._buffer.append(encode_command((b"SELECT", b"%d" % db_index)))
        self._buffer.append(wire)

    @property
    def buffered_bytes(self) -> int:
        """What waits to be written."""
        return sum(map(len, self._buffer))

    @property
    def syncing(self) -> bool:
        """Whether a sync runs in the background."""
        return self.file is not None and self.file.syncing

    @property
    def error(self) -> str:
        """What keeps the file from being written, "" if nothing does."""
        return self._write_error or self._sync_error

    # The file

    def open(self, file: Output) -> None:
        """Write to this increment from now on, beginning with a SELECT."""
        self.file = file
        self.good_size = self._synced_size = file.size
        self._db = _NO_DB
        self._syncing = None
        self._sync_error = ""
        self._last_sync_ms = self.engine.now_ms
        self.synced_offset = self.offset_source()

    def settle(self) -> None:
        """Write and sync what there is. Raises OSError if that cannot be done now."""
        file = self.file
        if file is None:
            return
        self.flush(force=True)
        if self._buffer:
            raise OSError(_NO_SPACE, self._write_error)
        if self._synced_size != self.good_size or self._syncing is not None:
            file.sync()
            self._is_safe(self.good_size, self.offset_source())

    def switch(self, file: Output) -> None:
        """Write to another increment; call ``settle`` before."""
        assert not self._buffer
        if self.file is not None:
            with contextlib.suppress(OSError):  # it is synced, so nothing can be lost
                self.file.close()
        self.open(file)

    def close(self) -> None:
        """Write and sync what there is, and let go of the file; failures go to the log."""
        self.finish()
        file, self.file = self.file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                self.engine.log("warning", f"Fail to close the AOF file: {error.strerror}")
        self.forget()
        self.good_size = self._synced_size = 0

    def forget(self) -> None:
        """Drop what waits to be written, and what went wrong."""
        self._buffer.clear()
        self._db = _NO_DB
        self._postponed_ms = 0
        self._syncing = None
        self._write_error = self._sync_error = ""

    def finish(self) -> None:
        """Write and sync what there is, now."""
        file = self.file
        if file is None:
            return
        self.flush(force=True)
        try:
            file.sync()
        except OSError as error:
            self.engine.log("warning", f"Fail to fsync the AOF file: {error.strerror}.")
        else:
            self._is_safe(self.good_size, self.offset_source())

    # Flushing

    def flush(self, force: bool = False) -> None:
        """Write what was gathered; sync as the policy says. Called before replies leave.

        ``force`` puts nothing off.
        """
        if self.file is None:
            return
        now_ms = self.engine.now_ms
        if self._syncing is not None:
            self._look_at_sync()
        if self._buffer:
            if self._syncing is not None and not force and self._policy == EVERYSEC:
                if not self._postponed_ms:
                    self._postponed_ms = now_ms
                    return
                if now_ms - self._postponed_ms < POSTPONE_MAX_MS:
                    return
                self.delayed_syncs += 1
                self.engine.log(
                    "notice",
                    "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF "
                    "buffer without waiting for fsync to complete, this may slow down Redis.",
                )
            if self._write_error and now_ms < self._retry_ms and not force:
                return
            if not self._write():
                return
        if self._synced_size != self.good_size:
            self._sync_if_due(now_ms)
        elif self._syncing is None:
            self.synced_offset = self.offset_source()

    def _write(self) -> bool:
        """Write all that waits; False if it has to wait longer."""
        engine, file = self.engine, self.file
        assert file is not None
        buffer = self._buffer
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        if self.flush_pause_us:
            engine.host.sleep(self.flush_pause_us / 1e6)
        self._postponed_ms = 0
        start_ns = engine.clock_ns()
        try:
            file.write(data)
        except OSError as error:
            self._failed(data, error)
            return False
        spent_ns = engine.clock_ns() - start_ns
        self.spent_ns += spent_ns
        if spent_ns > engine.slow_ns:
            how = "pending-fsync" if self._syncing else "alone"
            if engine.child.purpose and not self._syncing:
                how = "active-child"
            engine.latency.add(f"aof-write-{how}", spent_ns, engine.now_ms)
            engine.latency.add("aof-write", spent_ns, engine.now_ms)
        buffer.clear()
        self.good_size += len(data)
        self.written_bytes += len(data)
        if self._write_error:
            self._write_error = ""
            engine.log("warning", "AOF write error looks solved, Redis can write again.")
            self.on_trouble()
        return True

    def _failed(self, data: bytes, error: OSError) -> None:
        """A write failed: undo what there is of it."""
        file, log = self.file, self.engine.log
        assert file is not None
        now_ms = self.engine.now_ms
        can_log = now_ms - self._logged_ms > _LOG_INTERVAL_MS
        if can_log:
            self._logged_ms = now_ms
        reason = error.strerror or "unknown"
        written = file.size - self.good_size
        if written:
            reason = os.strerror(_NO_SPACE)
            if can_log:
                log(
                    "warning",
                    f"Short write while writing to the AOF file: (nwritten={written}, "
                    f"expected={len(data)})",
                )
            try:
                file.truncate(self.good_size)
                written = 0
            except OSError as failure:
                if can_log:
                    log(
                        "warning",
                        "Could not remove short write from the append-only file.  Redis may "
                        "refuse to load the AOF the next time it starts.  ftruncate: "
                        f"{failure.strerror}",
                    )
        elif can_log:
            log("warning", f"Error writing to the AOF file: {reason}")
        if self._policy == ALWAYS:
            log(
                "warning",
                "Can't recover from AOF write error when the AOF fsync policy is 'always'. "
                "Exiting...",
            )
            self.on_lost()
            return
        self._write_error = reason
        self._retry_ms = now_ms + RETRY_INTERVAL_MS
        # What could not be undone is the beginning of what is to be written next.
        self._buffer[:] = [data[written:]]
        self.good_size += written
        self.written_bytes += written
        self.on_trouble()

    # Syncing

    def _sync_if_due(self, now_ms: int) -> None:
        engine, file = self.engine, self.file
        assert file is not None
        if engine.config.no_appendfsync_on_rewrite and engine.child.purpose:
            return
        if self._policy == ALWAYS:
            start_ns = engine.clock_ns()
            try:
                file.sync()
            except OSError as error:
                engine.log(
                    "warning",
                    "Can't persist AOF for fsync error when the AOF fsync policy is 'always': "
                    f"{error.strerror}. Exiting...",
                )
                self.on_lost()
                return
            spent_ns = engine.clock_ns() - start_ns
            self.spent_ns += spent_ns
            if spent_ns > engine.slow_ns:
                engine.latency.add("aof-fsync-always", spent_ns, now_ms)
            self._last_sync_ms = now_ms
            self._is_safe(self.good_size, self.offset_source())
        elif (
            self._policy == EVERYSEC
            and self._syncing is None
            and not 0 <= now_ms - self._last_sync_ms < SYNC_INTERVAL_MS
        ):
            self._last_sync_ms = now_ms
            try:
                file.sync_later()
            except OSError as error:
                self._sync_failed(error)
            else:
                self._syncing = self.good_size, self.offset_source()

    def _look_at_sync(self) -> None:
        """See whether the sync in the background has ended, and how."""
        file = self.file
        assert file is not None
        assert self._syncing is not None
        if file.syncing:
            return
        size, offset = self._syncing
        self._syncing = None
        if file.sync_error is not None:
            self._sync_failed(file.sync_error)
        else:
            self._is_safe(size, offset)
            if self._sync_error:
                self._sync_error = ""
                self.on_trouble()

    def _sync_failed(self, error: OSError) -> None:
        if not self._sync_error:
            self.engine.log("warning", f"Fail to fsync the AOF file: {error.strerror}")
        self._sync_error = error.strerror or "unknown"
        self.on_trouble()

    def _is_safe(self, size: int, offset: int) -> None:
        self._synced_size = size
        self.synced_offset = max(self.synced_offset, offset)
