"""Several servers in this process, joined by wires that a test cuts, holds up and listens to.

group = Group()
primary, replica = group.pair()       # a replica that has synchronised
primary("SET", "a", "1")
assert replica("GET", "a") == b"1"    # what was sent has arrived

Every call is a batch, followed by ``settle``: bytes flow until all is quiet. Time passes only in
``group.wait``, for everybody and in steps of the cron.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from pyredis.config import Config
from pyredis.config_types import PrimaryAddress
from pyredis.engine import Engine
from pyredis.machine import (
    Action,
    Connect,
    Connected,
    Event,
    Hold,
    Lost,
    Received,
    Resume,
    Send,
)
from pyredis.ports import ManualClock
from pyredis.replication.node import Replication
from pyredis.resp import encode_command
from pyredis.server import command_table
from pyredis.session import Address, Session
from pyredis.sim.disk import SimDisk
from tests.disks import InlineChildren
from tests.support import parse_reply, to_argv

CRON_MS = 100
TURNS_MAX = 20_000


class Wire:
    """A connection between two members: from the one that opened it to the other."""

    def __init__(self, opener: Member, link: int, server: Member, session: Session) -> None:
        self.opener = opener
        self.link = link
        self.server = server
        self.session = session
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.held = False  # bytes pile up on the way
        self.unread = False  # the opener reads nothing, and bytes for it wait
        self.sent_up = b""
        self.sent_down = b""  # all bytes that the server has sent
        self.room: int | None = None  # how much more arrives downwards, if that is limited

    @property
    def name(self) -> tuple[str, str]:
        return self.opener.name, self.server.name


class Client:
    """A client of a member."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.session = member.engine.connect(Address("127.0.0.1:50000", "127.0.0.1:6379"))
        self.session.wire = self
        self.received = b""

    def __call__(self, *args: Any) -> Any:
        """Send a command, let all settle; its reply."""
        self.send(*args)
        found = self.replies()
        assert len(found) == 1, f"{args!r} got {found!r}"
        return found[0]

    def send(self, *args: Any) -> None:
        """Send a command and let all settle."""
        self.feed(encode_command(to_argv(args)))

    def feed(self, data: bytes) -> None:
        """Send bytes and let all settle."""
        self.member.batch(lambda: self.member.engine.feed(self.session, data))
        self.member.group.settle()

    def pipeline(self, *commands: str) -> list[Any]:
        """Several commands in one batch; their replies."""
        self.feed(b"".join(encode_command(to_argv(tuple(each.split()))) for each in commands))
        return self.replies()

    def raw(self) -> bytes:
        """The bytes received since the last look."""
        data, self.received = self.received, b""
        return data

    def replies(self) -> list[Any]:
        """All replies received since the last look."""
        data, at, found = self.raw(), 0, []
        while at < len(data):
            reply, at = parse_reply(data, at)
            found.append(reply)
        return found

    @property
    def closed(self) -> bool:
        return self.session.id not in self.member.engine.sessions


class Member:
    """One server, with what belongs to its machine: a clock, a disk, children."""

    def __init__(self, group: Group, name: str, host: str, **settings: Any) -> None:
        self.group = group
        self.name = name
        self.host = host
        self.port = 6379
        self.settings = settings
        self.clock = ManualClock(group.time_ms)
        self.disk = SimDisk()
        self.lives = 0
        self.log: list[str] = []
        self.up = False
        self.engine: Engine
        self.children: InlineChildren
        self.client: Client

    def boot(self) -> None:
        """Start, and load what is on the disk."""
        self.lives += 1
        config = Config()
        usual: dict[str, Any] = {
            "save": "",
            "repl_diskless_sync_delay": 0,
            "port": self.port,
        }
        wanted = usual | self.settings
        address: PrimaryAddress | None = wanted.pop("replicaof", None)
        config.set([(name.replace("_", "-"), str(value)) for name, value in wanted.items()])
        config.replicaof = address
        config.enable_debug_command = "yes"
        self.engine = Engine(
            config,
            self.clock,
            random.Random(f"{self.name} {self.lives}"),
            command_table(),
            lambda level, text: self.log.append(text),
        )
        self.children = InlineChildren(auto=True)
        engine = self.engine
        engine.child.connect(self.children)
        engine.saver.connect(self.disk)
        engine.aof.connect(self.disk)
        if address is not None:
            engine.replication.begin_as_replica(*address)
        self.up = True
        self.batch(self._load)
        self.client = self.connect()
        self.group.settle()

    def _load(self) -> None:
        saver = self.engine.saver
        if saver.begin_loading():
            while saver.load_slice() is not None:
                pass
        self.engine.replication.begin()

    def kill(self) -> None:
        """The process dies: its connections go, its files stay."""
        self.up = False
        for wire in self.group.wires_of(self):
            self.group.cut_wire(wire, told_by=self)
        self.disk.kill()
        self.group.settle()

    def restart(self, **settings: Any) -> None:
        """SHUTDOWN SAVE and start again, with other settings."""
        self.batch(lambda: self.engine.saver.prepare_exit(save=True))
        self.kill()
        self.settings |= settings
        self.boot()

    # Use

    def __call__(self, *args: Any) -> Any:
        return self.client(*args)

    def connect(self) -> Client:
        """Another client."""
        self.engine.begin_batch()
        return Client(self)

    def batch(self, what: Callable[[], object] = lambda: None) -> None:
        """Do something as a batch."""
        engine = self.engine
        engine.begin_batch()
        what()
        engine.end_batch()
        self.emit()

    def emit(self) -> None:
        """What a shell does at the end of a batch."""
        engine = self.engine
        for session in engine.take_output():
            self.flush(session)
        for session in engine.take_doomed():
            self.dismiss(session)
        for action in engine.take_actions():
            self.group.perform(self, action)

    def flush(self, session: Session) -> None:
        data = b"".join(session.out)
        session.out.clear()
        wire = session.wire
        if isinstance(wire, Wire):
            wire.down.append(data)
            wire.sent_down += data
            session.unsent_bytes += len(data)
        elif isinstance(wire, Client):
            wire.received += data
            if session.source is not None:
                self.engine.refill(session)

    def dismiss(self, session: Session) -> None:
        wire = session.wire
        if session.closing == "reply" and isinstance(wire, Wire) and (wire.down or session.out):
            wire.held = False
            self.engine.doomed.append(session)
            return
        self.engine.disconnect(session)
        if isinstance(wire, Wire):
            self.group.cut_wire(wire, told_by=self)

    def deliver(self, event: Event) -> None:
        """Something has happened to a link of this member's."""
        self.batch(lambda: self.engine.deliver(event))

    # What tests look at

    @property
    def node(self) -> Replication:
        return self.engine.replication

    def info(self, section: str = "replication") -> dict[str, str]:
        """INFO as a dict."""
        lines = self("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def digest(self) -> bytes:
        """DEBUG DIGEST."""
        return bytes(self("DEBUG", "DIGEST"))

    def follow(self, other: Member) -> Any:
        """REPLICAOF."""
        return self("REPLICAOF", other.host, other.port)

    def said(self, text: str) -> bool:
        """Whether that is in the log; what is there is forgotten then."""
        found = any(text in line for line in self.log)
        if found:
            self.log.clear()
        return found

    @property
    def position(self) -> tuple[str, int]:
        return self.node.history.replid, self.node.history.offset


class Group:
    """Servers and the wires between them."""

    def __init__(self) -> None:
        self.time_ms = 1_700_000_000_000
        self.members: list[Member] = []
        self.wires: list[Wire] = []
        self.piece: Callable[[], int] | None = None  # how many bytes arrive at once
        self.room: int | None = None  # how much arrives downwards by new wires, if limited
        self.refusing: set[str] = set()  # names of members that nobody reaches
        self.deaf: set[str] = set()  # connections to these neither come about nor fail
        self._next_port = 50_001
        self._settling = False

    def add(self, name: str, **settings: Any) -> Member:
        """One more server."""
        member = Member(self, name, f"10.0.0.{len(self.members) + 1}", **settings)
        self.members.append(member)
        member.boot()
        return member

    def pair(self, **settings: Any) -> tuple[Member, Member]:
        """A primary and a replica that has all of its data."""
        primary, replica = self.add("primary", **settings), self.add("replica", **settings)
        replica.follow(primary)
        self.wait_for_links()
        return primary, replica

    # Wires

    def perform(self, member: Member, action: Action) -> None:
        if isinstance(action, Connect):
            self._open(member, action)
            return
        for wire in self.wires_of(member):
            if wire.opener is member and wire.link == action.link:
                if isinstance(action, Send):
                    wire.up.append(action.data)
                    wire.sent_up += action.data
                elif isinstance(action, Hold | Resume):
                    wire.unread = isinstance(action, Hold)
                else:
                    self.cut_wire(wire, told_by=member)

    def _open(self, member: Member, action: Connect) -> None:
        server = next(
            (
                each
                for each in self.members
                if (each.host, each.port) == (action.host, action.port) and each.up
            ),
            None,
        )
        if server is not None and server.name in self.deaf:
            return
        if server is None or server.name in self.refusing:
            member.deliver(Lost(action.link, "Connection refused"))
            return
        address = Address(f"{member.host}:{self._next_port}", f"{server.host}:{server.port}")
        self._next_port += 1
        server.engine.begin_batch()
        session = server.engine.connect(address)
        wire = session.wire = Wire(member, action.link, server, session)
        wire.room = self.room
        self.wires.append(wire)
        ends = Address(session.address.local, session.address.peer, 3)
        member.deliver(Connected(action.link, ends))

    def wires_of(self, member: Member) -> list[Wire]:
        return [each for each in self.wires if member in (each.opener, each.server)]

    def wire(self, opener: Member, server: Member) -> Wire:
        """The connection that one has opened to the other."""
        found = [each for each in self.wires if (each.opener, each.server) == (opener, server)]
        assert len(found) == 1, f"{len(found)} wires from {opener.name} to {server.name}"
        return found[0]

    def cut(self, opener: Member, server: Member) -> None:
        """Lose the connection, with what is under way."""
        self.cut_wire(self.wire(opener, server))
        self.settle()

    def cut_wire(self, wire: Wire, told_by: Member | None = None) -> None:
        """It is gone, and the other side learns that after what is under way to it."""
        if wire not in self.wires:
            return
        self.wires.remove(wire)
        if told_by is wire.server:
            while wire.down and wire.opener.up and not wire.held:
                self._down(wire)
        if told_by is not wire.opener and wire.opener.up:
            wire.opener.deliver(Lost(wire.link, "cut"))
        if told_by is wire.opener:
            while wire.up and wire.server.up and not wire.held:
                self._up(wire)
        if told_by is not wire.server and wire.server.up:
            wire.server.batch(lambda: wire.server.engine.disconnect(wire.session))
        wire.session.wire = None

    def _cut_off(self, queue: deque[bytes], most: int | None = None) -> bytes:
        data = b"".join(queue)
        queue.clear()
        size = len(data) if self.piece is None else max(1, self.piece())
        size = size if most is None else min(size, most)
        if data[size:]:
            queue.append(data[size:])
        return data[:size]

    def _up(self, wire: Wire) -> None:
        data = self._cut_off(wire.up)
        wire.server.batch(lambda: wire.server.engine.feed(wire.session, data))

    def _down(self, wire: Wire) -> None:
        data = self._cut_off(wire.down, wire.room)
        if wire.room is not None:
            wire.room -= len(data)
        wire.session.unsent_bytes -= len(data)
        wire.opener.deliver(Received(wire.link, data))
        if not wire.down and wire.session.source is not None and wire in self.wires:
            wire.server.batch(lambda: wire.server.engine.refill(wire.session))

    # Time

    def settle(self) -> None:
        """Let bytes flow until all is quiet."""
        if self._settling:
            return
        self._settling = True
        try:
            for _ in range(TURNS_MAX):
                if not self._turn():
                    return
            raise AssertionError("there is no end to it")
        finally:
            self._settling = False

    def _turn(self) -> bool:
        moved = False
        for wire in list(self.wires):
            if wire.held:
                continue
            if wire.up and wire in self.wires:
                self._up(wire)
                moved = True
            if wire.down and wire in self.wires and wire.room != 0 and not wire.unread:
                self._down(wire)
                moved = True
        for member in self.members:
            if not member.up:
                continue
            engine = member.engine
            deadline_ms = engine.deadline_ms()
            if deadline_ms is not None and deadline_ms <= member.clock.now_ms():
                member.batch()
                moved = True
            if (on_readable := member.children.wants_to_read) is not None:
                member.batch(on_readable)
                moved = True
            if engine.has_output or engine.doomed or engine.replication.actions:
                member.emit()
                moved = True
        return moved

    def wait(self, duration_ms: int) -> None:
        """Let time pass for all."""
        left = duration_ms
        while left > 0:
            step = min(left, CRON_MS)
            left -= step
            self.time_ms += step
            for member in self.members:
                member.clock.advance(step)
                if member.up:
                    member.batch(member.engine.cron)
            self.settle()

    def wait_until(self, met: Callable[[], object], limit_ms: int = 30_000) -> int:
        """Let time pass until something has come about; how long that took."""
        for passed_ms in range(0, limit_ms, CRON_MS):
            if met():
                return passed_ms
            self.wait(CRON_MS)
        story = "\n".join(f"{each.name}: {line}" for each in self.members for line in each.log)
        raise AssertionError(f"not within {limit_ms} ms\n{story}")

    def wait_for_links(self, limit_ms: int = 30_000) -> int:
        """Until every replica's link is up, and all have what their primaries have."""
        return self.wait_until(self.in_sync, limit_ms)

    def in_sync(self) -> bool:
        """Whether all links are up, and every replica is acknowledged as online."""
        for member in self.members:
            node = member.node
            if member.up and node.address is not None:
                if not node.link_up:
                    return False
                host, port = node.address
                above = next(e for e in self.members if (e.host, e.port) == (host, port))
                if above.position != member.position:
                    return False
            if member.up and not all(
                each.online and not each.starts_on_ack for each in node.primary.replicas.values()
            ):
                return False
        return True
