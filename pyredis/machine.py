"""The one shape of everything that talks to other nodes: events in, actions out.

A machine knows no socket and no clock. Whoever drives it (``net/driver.py`` on real
sockets, the simulator in virtual time) tells it what has happened, and then performs what
it asks for, in the order in which it asks:

    for action in machine.step(now_ms, event):
        perform(action)

A *link* is a connection that the machine has asked for, known by a number of the machine's
own choosing. A link that was closed or lost says nothing any more; its number is not used
again. ``deadline`` is when the machine wants to hear the next ``Tick`` at the latest; it has
to be asked again after every step.

Links that others open belong to sessions: what comes in by them are commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from pyredis.session import Address


class Connected(NamedTuple):
    """A link is open: what was asked for by ``Connect`` has succeeded."""

    link: int
    address: Address | None = None  # of both ends, as far as the driver knows


class Received(NamedTuple):
    """Bytes have come, at least one."""

    link: int
    data: bytes


class Lost(NamedTuple):
    """A link could not be opened, or the other side or the network has ended it."""

    link: int
    reason: str = ""


class Tick(NamedTuple):
    """Time has passed."""


Event = Connected | Received | Lost | Tick


class Connect(NamedTuple):
    """Open a link. Answered by ``Connected`` or ``Lost``. Names are resolved by the driver."""

    link: int
    host: str
    port: int


class Send(NamedTuple):
    """Send bytes; they arrive in order, or the link is lost."""

    link: int
    data: bytes


class Close(NamedTuple):
    """End a link; what was sent before may still arrive. Not answered."""

    link: int


class Hold(NamedTuple):
    """Read no more from a link: what comes waits, in the end with the sender. Not answered."""

    link: int


class Resume(NamedTuple):
    """Read again from a link that was held. Not answered."""

    link: int


Action = Connect | Send | Close | Hold | Resume


class Machine(Protocol):
    """What a driver drives."""

    def step(self, now_ms: int, event: Event) -> list[Action]:
        """Take an event; returns what to do, in that order."""
        ...

    def deadline(self) -> int | None:
        """When the next ``Tick`` is wanted, in the time of ``step``; None if it is not."""
        ...
