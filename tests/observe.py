"""What a server tells others: keyspace events and what replicas and the AOF are to execute."""

from __future__ import annotations

from typing import Any

from pyredis.unit import Argv
from tests.support import EngineClient, Listener


class Observer:
    """Listens to the engine of a client from now on."""

    def __init__(self, client: EngineClient) -> None:
        self.client = client
        engine = client.engine
        engine.config.set([("notify-keyspace-events", "KEAnm")])
        self.listener = client.another()
        engine.pubsub.psubscribe(self.listener.session, b"__keyspace@*")
        self.commands: list[tuple[int, Argv]] = []
        engine.feeds.append(Listener(self.commands.extend))
        engine.observe()

    def events(self) -> list[str]:
        """The events since the last look, as ``"0:key event"``."""
        found = []
        for _, _, channel, event in self.listener.replies():
            db, _, key = channel.removeprefix(b"__keyspace@").partition(b"__:")
            found.append(f"{db.decode()}:{key.decode()} {event.decode()}")
        return found

    def propagated(self) -> list[str]:
        """The commands since the last look, as ``"0:DEL key"``."""
        found = [f"{db}:{b' '.join(argv).decode()}" for db, argv in self.commands]
        self.commands.clear()
        return found

    def after(self, *args: Any) -> tuple[list[str], list[str]]:
        """Run a command; its events and what was propagated."""
        self.events(), self.propagated()
        self.client(*args)
        return self.events(), self.propagated()
