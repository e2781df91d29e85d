"""Publish and subscribe: channels, patterns and the notifications of the keyspace.

A message goes to the subscribers of its channel in the order of their subscription, then
to those of each matching pattern. It is encoded once for each protocol version, not once
for each receiver. Publishing costs O(subscribers of the channel + patterns).

Source: redis.io, "Redis Pub/Sub" and "Redis keyspace notifications".
"""

from __future__ import annotations

from collections.abc import Callable

from pyredis.glob import compile_glob
from pyredis.resp import PushReply, encode
from pyredis.session import Session

Deliver = Callable[[Session, bytes], None]


class PubSub:
    """All subscriptions of one server.

    ``deliver`` takes a session and bytes that it is to receive outside any reply.
    """

    __slots__ = ("_deliver", "_matchers", "channels", "patterns", "shard_channels")

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self.channels: dict[bytes, dict[Session, None]] = {}
        self.shard_channels: dict[bytes, dict[Session, None]] = {}
        self.patterns: dict[bytes, dict[Session, None]] = {}
        self._matchers: dict[bytes, Callable[[bytes], bool]] = {}

    def subscribe(self, session: Session, channel: bytes) -> bool:
        """Add a channel; False if it was subscribed already."""
        return _add(self.channels, session.channels, session, channel)

    def unsubscribe(self, session: Session, channel: bytes) -> bool:
        """Drop a channel; False if it was not subscribed."""
        return _drop(self.channels, session.channels, session, channel)

    def ssubscribe(self, session: Session, channel: bytes) -> bool:
        """Add a shard channel; False if it was subscribed already."""
        return _add(self.shard_channels, session.shard_channels, session, channel)

    def sunsubscribe(self, session: Session, channel: bytes) -> bool:
        """Drop a shard channel; False if it was not subscribed."""
        return _drop(self.shard_channels, session.shard_channels, session, channel)

    def psubscribe(self, session: Session, pattern: bytes) -> bool:
        """Add a pattern; False if it was subscribed already."""
        self._matchers.setdefault(pattern, compile_glob(pattern))
        return _add(self.patterns, session.patterns, session, pattern)

    def punsubscribe(self, session: Session, pattern: bytes) -> bool:
        """Drop a pattern; False if it was not subscribed."""
        dropped = _drop(self.patterns, session.patterns, session, pattern)
        if pattern not in self.patterns:
            self._matchers.pop(pattern, None)
        return dropped

    def forget(self, session: Session) -> None:
        """Drop everything the session subscribed to, without telling it."""
        for channel in list(session.channels):
            self.unsubscribe(session, channel)
        for channel in list(session.shard_channels):
            self.sunsubscribe(session, channel)
        for pattern in list(session.patterns):
            self.punsubscribe(session, pattern)

    def publish(self, channel: bytes, message: bytes) -> int:
        """Send a message; returns how many times it was received."""
        receivers = 0
        subscribed = self.channels.get(channel)
        if subscribed:
            receivers = self._send(subscribed, [b"message", channel, message])
        for pattern, sessions in list(self.patterns.items()):
            if self._matchers[pattern](channel):
                receivers += self._send(sessions, [b"pmessage", pattern, channel, message])
        return receivers

    def spublish(self, channel: bytes, message: bytes) -> int:
        """Send a message to a shard channel; returns the number of receivers."""
        subscribed = self.shard_channels.get(channel)
        return self._send(subscribed, [b"smessage", channel, message]) if subscribed else 0

    def _send(self, sessions: dict[Session, None], parts: list[bytes]) -> int:
        wire: dict[bool, bytes] = {}
        for session in list(sessions):
            version = session.resp3
            if version not in wire:
                wire[version] = encode(PushReply(parts), version)
            self._deliver(session, wire[version])
        return len(sessions)


def _add(
    registry: dict[bytes, dict[Session, None]],
    own: dict[bytes, None],
    session: Session,
    name: bytes,
) -> bool:
    if name in own:
        return False
    own[name] = None
    registry.setdefault(name, {})[session] = None
    return True


def _drop(
    registry: dict[bytes, dict[Session, None]],
    own: dict[bytes, None],
    session: Session,
    name: bytes,
) -> bool:
    if name not in own:
        return False
    del own[name]
    sessions = registry[name]
    del sessions[session]
    if not sessions:
        del registry[name]
    return True
