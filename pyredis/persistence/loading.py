"""Loading a file a slice at a time, so that clients can be told to wait and watch the progress.

Nothing of the server changes before the file is read to its end and found right. Then its
functions are loaded, and then its data are put in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyredis.persistence.dataset import NEVER, Dataset, Loader
from pyredis.persistence.rdb import RdbError
from pyredis.resp import Error

if TYPE_CHECKING:
    from pyredis.engine import Engine
    from pyredis.ports import Input

SLICE_NS: Final = 10_000_000
_CHUNK_BYTES: Final = 1 << 16  # some milliseconds for small collections
REPORT_INTERVAL_NS: Final = 5_000_000_000
_LAST_AUX: Final = b"used-mem"
_MEGABYTE: Final = 1 << 20
_SKIPPED_SHOWN: Final = 10


class LoadError(Exception):
    """A file cannot be loaded; the text, of one line or two, is fit for the log."""


class Loading:
    """A file on its way into the server.

    It is read by ``step``; or, if there is none, its bytes are brought by ``take``. A replica
    keeps keys that are past their time: to delete them is up to its primary.
    """

    def __init__(
        self, engine: Engine, file: Input | None = None, keeps_expired: bool = False
    ) -> None:
        """``keeps_expired``: in front of an AOF, whose commands may be about keys that expired."""
        self._engine = engine
        self._file = file
        keeps_expired = keeps_expired or engine.role == "replica"
        drop_before_ms = NEVER if keeps_expired else engine.clock.now_ms()
        self._loader = Loader(
            engine.config,
            len(engine.ks.dbs),
            drop_before_ms,
            engine.config.rdbchecksum and not engine.switches.checksums_ignored,
        )
        self.total_bytes = file.size if file is not None else 0
        self.loaded_bytes = 0
        self.start_s = engine.clock.now_ms() // 1000
        self.start_ns = engine.clock_ns()
        self._report_ns = self.start_ns + REPORT_INTERVAL_NS
        self._introduced = False

    # Progress

    @property
    def keys(self) -> int:
        """How many keys have been read."""
        return self._loader.dataset.keys

    @property
    def keys_loaded(self) -> int:
        """The same, for INFO."""
        return self.keys

    @property
    def keys_expired(self) -> int:
        """How many keys have been left out because their time was over."""
        return self._loader.dataset.expired

    @property
    def done(self) -> bool:
        """Whether the end of the file was read. ``rest`` is what was taken beyond it."""
        return self._loader.reader.done

    @property
    def rest(self) -> bytes:
        """The bytes behind the end of the file."""
        return self._loader.reader.rest

    @property
    def used_memory(self) -> int:
        """What the server that wrote the file used for the data, 0 if it did not say."""
        return _number(self._loader.dataset.aux.get(b"used-mem", b"0"))

    @property
    def percent(self) -> float:
        """How much of the file has been read; of one without a known size, nearly."""
        return 100 * self.loaded_bytes / (self._expected_bytes or 1)

    @property
    def _expected_bytes(self) -> int:
        return self.total_bytes or max(self.used_memory, self.loaded_bytes)

    def eta_s(self, now_s: int) -> int:
        """How many seconds it will take yet; 1 as long as nothing can be said."""
        return eta_s(now_s - self.start_s, self.loaded_bytes, self._expected_bytes)

    # Work

    def step(self) -> float | None:
        """Read for some milliseconds; returns seconds to wait before going on, None at the end.

        There is something to wait only with key-load-delay. Raises LoadError.
        """
        config, clock_ns = self._engine.config, self._engine.clock_ns
        slice_bytes = config.loading_process_events_interval_bytes
        until_bytes = self.loaded_bytes + slice_bytes
        until_ns = clock_ns() + SLICE_NS
        delay = config.key_load_delay
        keys = self.keys if delay else 0
        assert self._file is not None
        while not self._loader.reader.done:
            try:
                chunk = self._file.read(min(_CHUNK_BYTES, until_bytes - self.loaded_bytes))
            except OSError as error:
                raise LoadError(f"Error reading the RDB file: {error.strerror}") from error
            if not chunk:
                return None
            self.take(chunk)
            if clock_ns() >= until_ns or self.loaded_bytes >= until_bytes:
                self._tell_progress()
                delay_us = delay if delay >= 0 else -1 / delay
                return (self.keys - keys) * delay_us / 1e6 if delay else 0.0
        return None

    def take(self, chunk: bytes) -> None:
        """The next bytes of the file. Raises LoadError."""
        self.loaded_bytes += len(chunk)
        try:
            self._loader.feed(chunk)
        except RdbError as error:
            raise LoadError(_explain(error)) from error
        finally:
            self._introduce()

    def finish(self, flush: bool = True, merge: bool = False) -> Dataset:
        """The dataset; its functions are loaded. Raises LoadError, with nothing changed."""
        engine = self._engine
        try:
            dataset = self._loader.finish()
        except RdbError as error:
            raise LoadError(_explain(error)) from error
        finally:
            self._introduce(at_end=True)
        twice = None if flush or merge else dataset.clash(engine.ks)
        if twice is not None:
            raise LoadError(f"RDB has duplicated key {_shown(twice)}")
        from pyredis.scripting.functions import Policy

        libraries = engine.scripting.libraries
        if dataset.functions or (flush and libraries.libraries):
            try:
                policy = Policy.FLUSH if flush else Policy.REPLACE if merge else Policy.APPEND
                libraries.put_all(dataset.functions, policy)
            except Error as error:
                reason = error.text.decode("utf-8", "backslashreplace")
                raise LoadError(f"Failed loading functions of the RDB file: {reason}") from error
        return dataset

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()

    def _introduce(self, at_end: bool = False) -> None:
        """Tell the log what the file says of itself, once that has been read."""
        aux = self._loader.dataset.aux
        if self._introduced or not (at_end or _LAST_AUX in aux):
            return
        self._introduced = True
        log = self._engine.log
        if b"redis-ver" in aux:
            log("notice", f"Loading RDB produced by version {_shown(aux[b'redis-ver'])}")
        if b"ctime" in aux:
            age_s = max(0, self.start_s - _number(aux[b"ctime"]))
            log("notice", f"RDB age {age_s} seconds")
        if _LAST_AUX in aux:
            log("notice", f"RDB memory usage when created {self.used_memory / _MEGABYTE:.2f} Mb")
        if aux.get(b"aof-base") == b"1":
            log("notice", "RDB is base AOF")

    def _tell_progress(self) -> None:
        now_ns = self._engine.clock_ns()
        if now_ns < self._report_ns:
            return
        self._report_ns = now_ns + REPORT_INTERVAL_NS
        seconds = (now_ns - self.start_ns) / 1e9
        self._engine.log(
            "notice", progress_line(self.percent, self.keys, self.loaded_bytes, seconds)
        )


def tell_done(engine: Engine, dataset: Dataset) -> None:
    """Tell the log what has come of a file."""
    skipped = dataset.skipped_keys
    if not engine.config.hide_user_data_from_log:
        for name in skipped[:_SKIPPED_SHOWN]:
            engine.log("notice", f"rdbLoadObject skipping empty key: {_shown(name)}")
    counts = f"keys loaded: {dataset.keys}, keys expired: {dataset.expired}"
    if skipped:
        counts += f", empty keys skipped: {len(skipped)}"
    engine.log("notice", f"Done loading RDB, {counts}.")


def progress_line(percent: float, keys: int, loaded_bytes: int, seconds: float) -> str:
    """What the log is told while a file is loaded."""
    rate = loaded_bytes / _MEGABYTE / seconds
    return f"Loading DB: {percent:.1f}%, {keys} keys, {rate:.1f} MB/s"


def eta_s(elapsed_s: int, loaded_bytes: int, total_bytes: int) -> int:
    """How many seconds loading will take yet; 1 as long as nothing can be said."""
    if elapsed_s <= 0:
        return 1
    return elapsed_s * (total_bytes - loaded_bytes) // (loaded_bytes + 1)


def _explain(error: RdbError) -> str:
    """What is wrong, in words that are also Redis' where it has some."""
    reason = error.reason
    if "unexpected end" in reason:
        phrase = "Short read or OOM loading DB. Unrecoverable error, aborting now.\n"
    elif "checksum" in reason:
        phrase = "RDB CRC error\n"
    elif "format version" in reason:
        phrase = f"Can't handle RDB format version {reason.rpartition(' ')[2]}\n"
    elif "signature" in reason:
        phrase = "Wrong signature trying to load DB from file\n"
    else:
        phrase = ""
    at_key = "" if error.key is None else f", in key {_shown(error.key)}"
    return f"{phrase}Internal error in RDB reading offset {error.offset}{at_key} -> {reason}"


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def _number(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
