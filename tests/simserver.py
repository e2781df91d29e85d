"""A server in this process on a simulated disk: started, used, killed, started again."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

from pyredis.commands.registry import Table
from pyredis.config import Config
from pyredis.engine import Engine
from pyredis.ports import ChildEnd, ChildReport, Job, ManualClock, StreamJob
from pyredis.resp import encode_command
from pyredis.server import command_table
from pyredis.sim.disk import SimDisk
from tests.support import EngineClient, to_argv


class SimChildren:
    """Children that do their job at once; that it is done is seen when ``finish`` is called."""

    def __init__(self) -> None:
        self.report = ChildReport()
        self.fork_error = 0
        self.at_work = False
        self.number = 1000
        self._good = False
        self._ended: ChildEnd | None = None

    def start(self, title: str, job: Job) -> int:
        if self.fork_error:
            raise OSError(self.fork_error, os.strerror(self.fork_error))
        self.number += 1
        self.at_work = True
        self._good = job(self.number, lambda keys: None)
        return self.number

    def start_stream(self, title: str, job: StreamJob) -> int:
        raise OSError(0, "not here")

    def read_stream(self, size: int) -> bytes | None:
        return b""

    def watch_stream(self, on_readable: Callable[[], None] | None) -> None:
        pass

    def close_stream(self) -> None:
        pass

    def finish(self, signal: int = 0) -> None:
        if self.at_work:
            self.at_work = False
            self._ended = ChildEnd(0, signal) if signal else ChildEnd(0 if self._good else 1)

    def poll(self) -> ChildEnd | None:
        ended, self._ended = self._ended, None
        return ended

    def kill(self) -> None:
        if self.at_work:
            self.at_work = False
            self._ended = ChildEnd(0, 10, excused=True)


class SimServer:
    """Call it like a client. ``log`` is what it has said."""

    def __init__(
        self,
        disk: SimDisk,
        clock: ManualClock | None = None,
        table: Table | None = None,
        before: Callable[[EngineClient], object] = lambda client: None,
        **settings: Any,
    ) -> None:
        """Starts it and loads what is on the disk; ``before`` is done first. Raises LoadError.

        Making a table of commands takes longer than the rest; who starts thousands of servers
        and looks at no counters gives them the same one.
        """
        self.disk = disk
        self.clock = clock or ManualClock()
        self.log: list[str] = []
        self.children = SimChildren()
        config = Config()
        wanted = {"appendonly": "yes", "save": "", **settings}
        for name, value in wanted.items():
            config.load(name.replace("_", "-"), [str(value)])
        self.engine = Engine(
            config,
            self.clock,
            random.Random(1),
            table or command_table(),
            lambda level, text: self.log.append(text),
        )
        self.engine.child.connect(self.children)
        self.engine.saver.connect(disk)
        self.engine.aof.connect(disk)
        self.engine.begin_batch()
        saver = self.engine.saver
        if saver.begin_loading():
            before(EngineClient(self.engine, self.clock))
            while saver.load_slice() is not None:
                pass
        self.client = EngineClient(self.engine, self.clock)

    def __call__(self, *args: Any) -> Any:
        return self.client(*args)

    def feed(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Several commands in one batch; their replies."""
        self.engine.begin_batch()
        wire = b"".join(encode_command(to_argv(command)) for command in commands)
        self.engine.feed(self.client.session, wire)
        self.engine.end_batch()
        self.engine.take_output()
        return self.client.replies()

    def tick(self, duration_ms: int = 100) -> None:
        """Let time pass, and run the cron."""
        self.clock.advance(duration_ms)
        self.engine.begin_batch()
        self.engine.cron()
        self.engine.end_batch()

    def connect(self) -> EngineClient:
        """Another client."""
        return EngineClient(self.engine, self.clock)
