"""Loading the parts of an append-only file a slice at a time, by running their commands.

The commands run as those of a client that no gate holds and whose replies nobody gets: plain
ones on the hot path, the rest one by one (``aof_load.take``). An RDB file at the beginning of
a base is staged as always, put in place, and what stands behind it is run.

Nothing expires meanwhile: whether a key was gone when a command came, the log itself says by
a DEL. Nothing is handed to feeds, and commands are not counted, as they were before.

What becomes of a part that is less than whole:

1. cut short, or its last MULTI open: the last part is cut to what is good, if
   aof-load-truncated says so; anything else is fatal.
2. malformed: fatal, unless it is the last part and at most aof-load-corrupt-tail-max-size
   bytes would have to go.

Departure from Redis: a part that is not the last is never cut, also not before giving up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Final

from pyredis import hotpath
from pyredis.persistence.aof_load import Cut, Malformed, take
from pyredis.persistence.loading import (
    REPORT_INTERVAL_NS,
    SLICE_NS,
    LoadError,
    Loading,
    eta_s,
    progress_line,
    tell_done,
)
from pyredis.persistence.manifest import BASE, Manifest
from pyredis.persistence.rdb import MAGIC
from pyredis.session import Address, Session

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.engine import Engine
    from pyredis.ports import Disk, Input

_CHUNK_BYTES: Final = 1 << 18
_HOT_BYTES: Final = hotpath.INPUT_MAX_BYTES
_PAUSE_US: Final = 10_000  # key-load-delay: about the length of a pause
_COLD_MAX: Final = 63  # commands run one by one before the hot path is tried again
_NEVER_NS: Final = 1 << 62

_MULTI: Final = b"*1\r\n$5\r\nMULTI\r\n"  # the hot path takes it in no other form

_Counters = list[tuple["Entry", list[int], int, int, int]]


class AofError(LoadError):
    """An append-only file cannot be loaded."""


class AofLoading:
    """The parts on their way into the server. ``step`` until it returns None."""

    def __init__(self, engine: Engine, disk: Disk, manifest: Manifest) -> None:
        """Raises AofError if a part is missing."""
        self._engine = engine
        self._disk = disk
        self._parts = list(manifest.parts)
        self.sizes: dict[str, int] = {}
        for part in self._parts:
            try:
                self.sizes[part.name] = disk.size(part.name)
            except OSError as error:
                raise AofError(
                    f"Unable to obtain the AOF file {part.name} length. stat: {error.strerror}"
                ) from error
        self.total_bytes = sum(self.sizes.values())
        self.loaded_bytes = 0
        self.start_s = engine.clock.now_ms() // 1000
        self.start_ns = engine.clock_ns()
        self.used_memory = 0
        self.keys_loaded = 0
        self.keys_expired = 0
        self._report_ns = self.start_ns + REPORT_INTERVAL_NS
        self._work = self._run()
        self._until_ns = 0

    # Progress

    @property
    def percent(self) -> float:
        """How much of the files has been loaded."""
        return 100 * self.loaded_bytes / (self.total_bytes or 1)

    @property
    def keys(self) -> int:
        """How many keys there are by now."""
        return sum(len(db.data) for db in self._engine.ks.dbs)

    def eta_s(self, now_s: int) -> int:
        """How many seconds it will take yet; 1 as long as nothing can be said."""
        return eta_s(now_s - self.start_s, self.loaded_bytes, self.total_bytes)

    # Work

    def step(self) -> float | None:
        """Load for some milliseconds; returns seconds to wait before going on, None at the end.

        Raises AofError; the data are those loaded so far then.
        """
        engine = self._engine
        self._until_ns = engine.clock_ns() + SLICE_NS
        with _quiet(engine):
            pause_s = next(self._work, None)
        now_ns = engine.clock_ns()
        if now_ns >= self._report_ns:
            self._report_ns = now_ns + REPORT_INTERVAL_NS
            seconds = (now_ns - self.start_ns) / 1e9
            engine.log("notice", progress_line(self.percent, self.keys, self.loaded_bytes, seconds))
        return pause_s

    def close(self) -> None:
        """Stop where it is."""
        self._work.close()

    def _run(self) -> Generator[float, None, None]:
        engine = self._engine
        for number, part in enumerate(self._parts, 1):
            start_ns = engine.clock_ns()
            is_last = number == len(self._parts)
            if not self.sizes[part.name]:
                continue
            try:
                file = self._disk.open(part.name)
            except OSError as error:
                raise AofError(
                    f"Fatal error: can't open the append log file {part.name} for reading: "
                    f"{error.strerror}"
                ) from error
            with contextlib.closing(file):
                yield from _Part(self, part.name, file, is_last).run()
            kind = "base" if part.kind == BASE else "incr"
            spent_s = (engine.clock_ns() - start_ns) / 1e9
            engine.log("notice", f"DB loaded from {kind} file {part.name}: {spent_s:.3f} seconds")

    @property
    def over_time(self) -> bool:
        """Whether the slice is over."""
        return self._engine.clock_ns() >= self._until_ns

    def cut(self, name: str, size: int) -> None:
        """Cut the last part to its good beginning. Raises OSError."""
        with contextlib.closing(self._disk.append(name)) as output:
            output.truncate(size)
            output.sync()
        self.sizes[name] = size


class _Part:
    """One file."""

    def __init__(self, loading: AofLoading, name: str, file: Input, is_last: bool) -> None:
        self._loading = loading
        self._engine = loading._engine
        self._name = name
        self._file = file
        self._is_last = is_last
        engine = self._engine
        self._session = Session(0, engine.ks.dbs[0], Address("", ""), engine.now_ms)
        self._session.inner = True
        self._session.user = None
        self._data = b""
        self._offset = 0  # of the first byte of _data
        self._good = 0
        self._cold = 0  # commands to run one by one before the hot path is tried again
        self._cold_next = 0
        self._cold_count = 0  # since the last pause
        self._ended = False
        self._wanted = 1

    def run(self) -> Iterator[float]:
        """Yields after each slice, how long to wait. Raises AofError."""
        loading = self._loading
        try:
            self._read()
            if self._data.startswith(MAGIC):
                yield from self._preamble()
            while True:
                try:
                    whole = self._commands()
                except Malformed as error:
                    self._damaged(error)
                    break
                if whole and self._ended:
                    self._over()
                    break
                if whole:
                    self._read()
                if not whole or loading.over_time:
                    yield self._take_pause_s()
        finally:
            self._engine.discard(self._session)

    def _take_pause_s(self) -> float:
        """What key-load-delay asks for the commands run since the last pause."""
        delay_us = self._engine.config.key_load_delay
        count, self._cold_count = self._cold_count, 0
        return count * (delay_us if delay_us >= 0 else -1 / delay_us) / 1e6

    def _read(self) -> None:
        """Get more of the file behind what is left."""
        wanted = max(_CHUNK_BYTES, self._wanted - len(self._data))
        try:
            chunk = self._file.read(wanted)
        except OSError as error:
            raise AofError(
                f"Unrecoverable error reading the append only file {self._name}: {error.strerror}"
            ) from error
        self._ended = not chunk
        self._loading.loaded_bytes += len(chunk)
        self._data = self._data + chunk if self._data else chunk

    # The RDB file in front

    def _preamble(self) -> Iterator[float]:
        engine, loading = self._engine, self._loading
        old_style = self._name == engine.config.appendfilename
        if old_style:
            engine.log("notice", "Reading RDB preamble from AOF file...")
        else:
            engine.log("notice", "Reading RDB base file on AOF loading...")
        rdb = Loading(engine, keeps_expired=True)
        try:
            rdb.take(self._data)
            while not rdb.done:
                self._data = b""
                self._read()
                if self._ended:
                    break
                rdb.take(self._data)
                loading.used_memory = rdb.used_memory
                if loading.over_time:
                    yield 0.0
            dataset = rdb.finish()
        except LoadError as error:
            what = "preamble of the AOF file" if old_style else "base file"
            raise AofError(
                f"{error}\nError reading the RDB {what} {self._name}, AOF loading aborted"
            ) from error
        dataset.install(engine.ks)
        loading.keys_loaded, loading.keys_expired = dataset.keys, dataset.expired
        tell_done(engine, dataset)
        if old_style:
            engine.log("notice", "Reading the remaining AOF tail...")
        self._data = rdb.rest
        self._offset = self._good = rdb.loaded_bytes - len(self._data)

    # The commands

    def _commands(self) -> bool:
        """Run what is whole of the data; False if the time was over before.

        Raises Malformed, AofError.
        """
        session, loading = self._session, self._loading
        delay_us = self._engine.config.key_load_delay
        one_by_one = bool(delay_us)
        count_max = max(1, _PAUSE_US // delay_us) if delay_us > 0 else _PAUSE_US
        data = self._data
        at = 0
        size = len(data)
        over = False
        self._wanted = 1
        try:
            while at < size and not over:
                if self._cold or session.gates or one_by_one:
                    argv, end = take(data, at)
                    if argv:
                        self._execute(argv, at)
                    at = end
                    self._cold -= self._cold > 0
                    if session.multi is None:
                        self._good = self._offset + at
                else:
                    at += self._hot(data[at : at + _HOT_BYTES])
                    opened = 0 if session.multi is None else len(_MULTI)
                    self._good = self._offset + at - opened
                over = loading.over_time or (one_by_one and self._cold_count >= count_max)
        except Cut as cut:
            self._wanted = cut.wanted - at
        except Malformed as error:
            raise Malformed(error.reason, self._offset + error.offset) from None
        self._offset += at
        self._data = data[at:]
        return not over

    def _hot(self, data: bytes) -> int:
        """Run the plain commands at the beginning; returns how many bytes they took."""
        engine, session = self._engine, self._session
        errors = engine.stats.total_errors
        before = _failures(engine) if errors else {}
        left = hotpath.run(engine, session, data)
        used = len(data) - len(left)
        if session.blocked is not None:
            engine.waiters.release(session)
        if engine.stats.total_errors != errors:
            self._tell_errors(before)
        session.out.clear()
        if used:
            self._cold_next = 0
        else:
            self._cold_next = min(2 * self._cold_next + 1, _COLD_MAX)
        # What stopped it, an odd command or a cut one, is not for the hot path.
        self._cold = self._cold_next if not used else (1 if left else 0)
        return used

    def _execute(self, argv: list[bytes], at: int) -> None:
        """Run one command. Raises AofError if it cannot be one."""
        engine, session = self._engine, self._session
        entry = engine.table.find(argv)
        if entry is None:
            shown = argv[0].decode("utf-8", "backslashreplace")
            raise AofError(f"Unknown command '{shown}' reading the append only file {self._name}")
        if (entry.children and len(argv) > 1) or not (
            entry.arity_min <= len(argv) <= entry.arity_max
        ):
            raise Malformed(f"a {entry.name} that has not its arguments", at)
        errors = engine.stats.total_errors
        before = _failures(engine) if errors else {}
        self._cold_count += 1
        engine.execute(session, argv)
        if session.blocked is not None:
            engine.waiters.release(session)
        if engine.stats.total_errors != errors:
            self._tell_errors(before)
        session.out.clear()

    def _tell_errors(self, before: dict[str, int]) -> None:
        """Commands that failed when they were run here did not when they were logged."""
        names = [
            name for name, count in _failures(self._engine).items() if count != before.get(name, 0)
        ]
        for piece in self._session.out:
            if piece.startswith(b"-"):
                text = piece[:-2].decode("utf-8", "backslashreplace")
                self._engine.log(
                    "warning",
                    "== CRITICAL == This server is sending an error to its AOF-loading-client: "
                    f"'{text}' after processing the command '{', '.join(names)}'",
                )
                if self._engine.config.propagation_error_behavior == "panic":
                    raise AofError(
                        "This server panicked sending an error to its AOF-loading-client after "
                        f"processing the command '{', '.join(names)}'"
                    )

    # The end

    def _over(self) -> None:
        """The file has been read: it ends well, or is cut. Raises AofError."""
        engine, config, name = self._engine, self._engine.config, self._name
        if self._session.multi is not None:
            engine.log("warning", f"Revert incomplete MULTI/EXEC transaction in AOF file {name}")
        if not self._data and self._session.multi is None:
            return
        if not config.aof_load_truncated:
            raise AofError(
                f"Unexpected end of file reading the append only file {name}. You can: 1) Make a "
                "backup of your AOF file, then use pyredis check-aof --fix <filename.manifest>. "
                "2) Alternatively you can set the 'aof-load-truncated' configuration option to "
                "yes and restart the server."
            )
        engine.log("warning", f"!!! Warning: short read while loading the AOF file {name}!!!")
        if not self._is_last:
            raise AofError("Fatal error: the truncated file is not the last file")
        engine.log("warning", f"!!! Truncating the AOF {name} at offset {self._good} !!!")
        self._cut()
        engine.log("warning", f"AOF {name} loaded anyway because aof-load-truncated is enabled")

    def _damaged(self, error: Malformed) -> None:
        """The file holds what cannot be there. Raises AofError unless the rest may be cut off."""
        engine, name = self._engine, self._name
        limit = engine.config.aof_load_corrupt_tail_max_size
        tail = self._loading.sizes[name] - self._good
        if self._is_last and limit and tail <= limit:
            engine.log(
                "warning",
                f"!!! Warning: {error.reason} at offset {error.offset} of the AOF file {name}: "
                f"cutting its last {tail} bytes at offset {self._good}, as "
                "aof-load-corrupt-tail-max-size allows !!!",
            )
            self._cut()
            return
        raise AofError(
            f"Bad file format reading the append only file {name}: make a backup of your AOF "
            "file, then use pyredis check-aof --fix <filename.manifest>\n"
            f"Found {error.reason} at offset {error.offset}; all is well up to offset {self._good}."
        )

    def _cut(self) -> None:
        try:
            self._loading.cut(self._name, self._good)
        except OSError as error:
            raise AofError(f"Error truncating the AOF file: {error.strerror}") from error


def _failures(engine: Engine) -> dict[str, int]:
    """How often each command has failed so far."""
    return {entry.name: entry.failed for entry in _entries(engine)}


def _entries(engine: Engine) -> Iterator[Entry]:
    """All commands, subcommands too."""
    for entry in engine.table.entries.values():
        yield entry
        yield from entry.children.values()


@contextlib.contextmanager
def _quiet(engine: Engine) -> Iterator[None]:
    """Run commands of the log: nothing expires, nothing is handed on, nothing is counted."""
    ks, stats = engine.ks, engine.stats
    feeds, engine.feeds = engine.feeds, []
    slow_ns, engine.slow_ns = engine.slow_ns, _NEVER_NS
    counts: _Counters = [
        (entry, entry.latency[:], entry.duration_ns, entry.failed, entry.rejected)
        for entry in _entries(engine)
    ]
    errors, total = stats.errors.copy(), stats.total_errors
    ctx, running = engine.ctx, engine.running
    outer = None if running is None else (ctx.session, ctx.db, ctx.argv)  # DEBUG LOADAOF
    may_expire = ks.may_expire
    ks.ignore_expiry, ks.may_expire = True, False
    engine.observe()
    try:
        yield
    finally:
        ks.ignore_expiry, ks.may_expire = False, may_expire
        engine.feeds, engine.slow_ns = feeds, slow_ns
        engine.observe()
        engine.running = running
        if outer is not None:
            ctx.session, ctx.db, ctx.argv = outer
        stats.errors, stats.total_errors = errors, total
        for entry, latency, duration_ns, failed, rejected in counts:
            entry.latency[:] = latency
            entry.duration_ns, entry.failed, entry.rejected = duration_ns, failed, rejected
