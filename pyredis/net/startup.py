"""Loading the data at the start, in turns with the loop's other work: clients get LOADING.

Shell. The sockets listen already, so that clients and tools can see how far it has come.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

from pyredis.defects import story
from pyredis.persistence.aof_loading import AofError
from pyredis.persistence.loading import LoadError

if TYPE_CHECKING:
    from pyredis.engine import Engine, LogFn
    from pyredis.net.server import Server


def load_data(
    loop: asyncio.AbstractEventLoop,
    server: Server,
    engine: Engine,
    log: LogFn,
    on_ready: Callable[[], None],
    on_failure: Callable[[], None],
) -> None:
    """Load the file there is, if there is one; one of the two is called when that is over."""
    saver = engine.saver

    def begin() -> None:
        engine.begin_batch()
        try:
            found = saver.begin_loading()
        except Exception as error:
            fail(error)
            return
        if not found:
            on_ready()
            return
        saver.supervisor("STATUS=Redis is loading...\n")
        loop.call_soon(go_on)

    def go_on() -> None:
        if saver.loading is None or engine.exit_status is not None:
            return
        engine.begin_batch()
        try:
            pause_s = saver.load_slice()
        except Exception as error:
            fail(error)
            return
        server.wake()
        if pause_s is None:
            gc.freeze()  # what was loaded is left out of collections
            on_ready()
        elif pause_s:
            loop.call_later(pause_s, go_on)
        else:
            loop.call_soon(go_on)

    def fail(error: Exception) -> None:
        """Whatever it was: a server without its data must not look like an empty one."""
        if isinstance(error, LoadError):
            text = str(error)
        else:
            hidden = engine.config.hide_user_data_from_log
            text = f"=== BUG REPORT: loading failed\n{story(hidden, error)}"
        for line in text.split("\n"):
            log("warning", line)
        if not isinstance(error, AofError):
            log("warning", "Terminating server after rdb file reading failure.")
            log("warning", "Fatal error loading the DB, check server logs. Exiting.")
        on_failure()

    loop.call_soon(begin)
