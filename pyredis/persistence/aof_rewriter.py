"""Writing the append-only log anew: a child makes a base of all data, then that takes its place.

1. What was logged so far is made safe. 2. A new increment is opened and put into the manifest,
and the feed goes there. 3. A child writes all data as of this instant to a temporary file. 4. At
its end that becomes the new base, and everything before the new increment history, in one change
of the manifest. 5. History is deleted. Failing at any step leaves a manifest whose parts make up
all data, if in more parts than before; after three failures in a row there are pauses of 1, 2, 4
... 60 minutes.

The new increment may hold only what came after the base. Both begin at the fork, between two
batches, so the buffer is written out before.

While the log *waits* for its first base (``aof_keeper``), step 2 opens a temporary increment. It
gets its name, and its line in the manifest, together with the base.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from pyredis.persistence.aof_base import write_base
from pyredis.persistence.aof_loading import AofError
from pyredis.persistence.manifest import ManifestError, ManifestInDoubt
from pyredis.resp import Error

if TYPE_CHECKING:
    from pyredis.persistence.aof_keeper import AofKeeper
    from pyredis.ports import ChildEnd, Disk, Report

CHILD_TITLE: Final = "redis-aof-rewrite"
FAILURES_MAX: Final = 3
_DELAY_MAX_MIN: Final = 60


class AofRewriter:
    """The rewrites of one log, one at a time, and what became of them."""

    def __init__(self, keeper: AofKeeper) -> None:
        self._keeper = keeper
        self._engine = keeper.engine
        self._files = keeper.files
        self.scheduled = False
        self.last_ok = True
        self.last_duration_s = -1
        self.last_cow_bytes = 0
        self.failures = 0  # in a row
        self.since_s = -1  # when the running rewrite began
        self.count = 0
        self._child_id = 0
        self._begun_in = ""  # the state of the log in which the running rewrite began
        self._delay_min = 0
        self._not_before_s = 0

    @property
    def running(self) -> bool:
        """Whether a child writes a base."""
        return self._engine.child.purpose == "aof"

    # Beginning

    def request(self, in_transaction: bool) -> str:
        """BGREWRITEAOF; returns what to reply. Raises Error."""
        if self.running and not self._engine.child.killed:
            raise Error("ERR Background append only file rewriting already in progress")
        if self._engine.child.purpose or in_transaction:
            self.scheduled = True
            self.failures = 0  # somebody asked for it: no pause
            return "Background append only file rewriting scheduled"
        if self.begin():
            return "Background append only file rewriting started"
        raise Error(
            "ERR Can't execute an AOF background rewriting. Please check the server logs for more "
            "information."
        )

    def begin(self) -> bool:
        """Have a child write a new base; False if there cannot be one, the log says why."""
        engine, folder = self._engine, self._files.folder
        if folder is None or engine.child.purpose:
            return False
        self._begun_in = self._keeper.state
        try:
            self._files.make(folder)
            self._open_increment(folder)
            self.count += 1
            self._child_id = engine.child.start("aof", CHILD_TITLE, self._child, self._child_ended)
        except (AofError, ManifestError) as error:
            for line in str(error).split("\n"):
                engine.log("warning", line)
            return self._not_begun()
        except OSError as error:
            engine.log(
                "warning", f"Can't rewrite append only file in background: fork: {error.strerror}"
            )
            return self._not_begun()
        engine.log(
            "notice", f"Background append only file rewriting started by pid {self._child_id}"
        )
        self.scheduled = False
        self.since_s = engine.now_ms // 1000
        return True

    def _not_begun(self) -> bool:
        self._failed()
        if self._keeper.waiting:
            self._keeper.drop_waiting()
        return False

    def _failed(self) -> None:
        self.last_ok = False
        self.failures += 1

    def _open_increment(self, folder: Disk) -> None:
        """Let the feed go to a new increment. Raises AofError, ManifestError."""
        keeper, files = self._keeper, self._files
        if keeper.off:
            return
        changed = files.manifest
        if keeper.waiting:
            name = files.waiting_name
        else:
            changed = changed.with_increment(files.filename)
            name = changed.increments[-1].name
        try:
            # Before the fork: what is in the base must not be in the new increment as well.
            keeper.feed.settle()
        except OSError as error:
            raise AofError(f"Fail to write the AOF file: {error.strerror}") from error
        try:
            file = folder.create(name)
            file.sync()  # an old one of that name is empty for good before the manifest names it
        except OSError as error:
            raise AofError(f"Can't open the append-only file {name}: {error.strerror}") from error
        try:
            if changed is not files.manifest:
                files.store(changed)
        except ManifestError as error:
            with contextlib.suppress(OSError):
                file.close()
                if not isinstance(error, ManifestInDoubt):  # else it may be listed: it stays, empty
                    folder.remove(name)
            raise
        self._engine.log("notice", f"Creating AOF incr file {name} on background rewrite")
        keeper.log_to(file)

    def _child(self, process_id: int, report: Report) -> bool:
        """In the child: write the base to a temporary file."""
        folder = self._files.folder
        assert folder is not None
        name = _temporary(process_id)
        try:
            write_base(self._engine, folder, name, report)
        except OSError as error:
            self._engine.log(
                "warning", f"Write error writing append only file on disk: {error.strerror}"
            )
            return False
        self._engine.log("notice", f"Successfully created the temporary AOF base file {name}")
        return True

    # Ending

    def _child_ended(self, end: ChildEnd) -> None:
        engine, keeper, log = self._engine, self._keeper, self._engine.log
        temporary = _temporary(self._child_id)
        if self._begun_in != keeper.state:
            # It was switched off, and perhaps on again, so the log does not go on from this base.
            log("notice", "Background AOF rewrite of no use any more")
        elif end.well:
            log("notice", "Background AOF rewrite terminated with success")
            self.last_cow_bytes = engine.child.report.cow_bytes
            try:
                self._put_in_place(temporary)
            except (AofError, ManifestError) as error:
                for line in str(error).split("\n"):
                    log("warning", line)
                self._failed()
            else:
                self.last_ok = True
                self.failures = 0
                log("notice", "Background AOF rewrite finished successfully")
        elif not end.signal:
            log("warning", "Background AOF rewrite terminated with error")
            self._failed()
        else:
            log("warning", f"Background AOF rewrite terminated by signal {end.signal}")
            if not end.excused:
                self._failed()
        self._files.remove(temporary)
        self.last_duration_s = engine.now_ms // 1000 - self.since_s
        self.since_s = -1
        if keeper.waiting:  # still: there has to be a first base
            keeper.drop_waiting()
            self.scheduled = True

    def _put_in_place(self, temporary: str) -> None:
        """Make the new base that of the log. Raises AofError, ManifestError: nothing changed."""
        keeper, files = self._keeper, self._files
        changed = files.with_base(files.manifest)
        assert changed.base is not None
        base = changed.base.name
        files.rename(temporary, base, "base")
        fresh = [base]
        in_doubt = False
        try:
            if keeper.waiting:
                changed = changed.with_increment(files.filename)
                name = changed.increments[-1].name
                keeper.feed.settle()
                files.rename(files.waiting_name, name, "incr")
                fresh.append(name)
            files.store(changed.rewritten(keep=int(keeper.feed.file is not None)))
        except ManifestInDoubt as error:
            # Either manifest makes up all data, as long as no file of either is deleted.
            self._engine.log("warning", str(error))
            in_doubt = True
        except (AofError, ManifestError, OSError) as error:
            for name in fresh:
                files.remove(name)
            if isinstance(error, OSError):
                raise AofError(f"Fail to write the AOF file: {error.strerror}") from error
            raise
        keeper.rewritten(base)
        if not in_doubt:
            files.delete_history()

    # Stopping

    def abandon(self) -> None:
        """The base that a child writes is of no use to what comes."""
        self.scheduled = False
        self._begun_in = ""
        if self.running:
            self._engine.log("notice", f"Killing running AOF rewrite child: {self._child_id}")
            self._engine.child.kill()

    def kill(self) -> None:
        """End it together with the server; what it has written is taken away."""
        self._engine.log("warning", "There is a child rewriting the AOF. Killing it!")
        self._engine.child.kill()
        self._files.remove(_temporary(self._child_id))

    # What is due

    def cron(self) -> None:
        """Begin a rewrite if one was put off, or if the log has grown enough."""
        engine, keeper = self._engine, self._keeper
        if engine.child.purpose:
            return
        if self.scheduled:
            if not self._held_back():
                self.begin()
            return
        percentage, size = engine.config.auto_aof_rewrite_percentage, keeper.current_bytes
        if keeper.on and percentage and size > engine.config.auto_aof_rewrite_min_size:
            growth = size * 100 // (keeper.base_bytes or 1) - 100
            if growth >= percentage and not self._held_back():
                engine.log("notice", f"Starting automatic rewriting of AOF on {growth}% growth")
                self.begin()

    def _held_back(self) -> bool:
        """Whether too many rewrites have failed to try the next one now."""
        now_s = self._engine.now_ms // 1000
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
        self._engine.log(
            "warning",
            "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in "
            f"{self._delay_min} minutes",
        )
        return True


def _temporary(process_id: int) -> str:
    """The file that a child writes before it is renamed."""
    return f"temp-rewriteaof-bg-{process_id}.aof"
