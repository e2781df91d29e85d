"""The base of the append-only log: all data at one instant, as an RDB file or as commands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyredis.persistence import aof_commands
from pyredis.persistence.store import SYNC_INTERVAL_BYTES

if TYPE_CHECKING:
    from pyredis.engine import Engine
    from pyredis.ports import Disk, Report


def write_base(engine: Engine, folder: Disk, name: str, report: Report) -> None:
    """Write all data to a file, safe on disk. Raises OSError; then there is no such file.

    ``report`` is told how many keys are done.
    """
    unsynced_bytes = 0
    with contextlib.closing(folder.create(name)) as file:
        try:
            for chunk in _chunks(engine, report):
                file.write(chunk)
                unsynced_bytes += len(chunk)
                if engine.config.aof_rewrite_incremental_fsync and (
                    unsynced_bytes >= SYNC_INTERVAL_BYTES
                ):
                    unsynced_bytes = 0
                    file.sync()
            file.sync()
        except OSError:
            with contextlib.suppress(OSError):
                folder.remove(name)
            raise


def _chunks(engine: Engine, report: Report) -> Iterator[bytes]:
    config = engine.config
    if config.aof_use_rdb_preamble:
        yield from engine.saver.chunks(report, aof_base=True)
        return
    keys = 0

    def on_keys(count: int) -> None:
        nonlocal keys
        keys += count

    time_s = engine.now_ms // 1000 if config.aof_timestamp_enabled else 0
    functions = [library.text for library in engine.scripting.libraries.libraries.values()]
    for chunk in aof_commands.write(engine.ks.dbs, functions, time_s, on_keys):
        yield chunk
        report(keys)
