"""A server in the simulation: the real engine, and in place of its shell, virtual time.

This is ``net/server.py``, ``net/driver.py``, ``net/startup.py`` and the process around them, all
in one: it feeds the engine what the network brings, a batch for each event, and sends what the
engine leaves. The core runs unchanged and does not know where it is.

States of the process, and who may change them:

    down  --boot-->  up  --kill, power_off, exit-->  down
                     up  --pause-->  paused  --resume-->  up

A paused process (SIGSTOP) does nothing, while its machine goes on accepting connections and
bytes for it. A process that waits for its disk, or sleeps, is *held*: what comes meanwhile
queues up in the same way, and what it was about to send goes when it is let go.

Commands take no time, syncs of the disk take ``sync_us`` and children as long as they draw.
A *life* is what lies between boot and death. The disk, the configuration file and the clock
are the machine's and outlive it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from pyredis.acl import check_config_user
from pyredis.commands.registry import Table
from pyredis.config import Config, ConfigError, encode
from pyredis.configfile import CommandLine, Loader, rewrite_file
from pyredis.defects import story
from pyredis.engine import Engine
from pyredis.limits import check_output
from pyredis.machine import Action, Connect, Connected, Hold, Lost, Received, Resume, Send
from pyredis.persistence.loading import LoadError
from pyredis.resp import encode_command
from pyredis.session import Address, Session
from pyredis.sim.children import SIGKILL, SimChildren
from pyredis.sim.clock import SimClock
from pyredis.sim.host import ProcessEnd, SimHost
from pyredis.sim.network import Network, Side
from pyredis.sim.replies import NO_ANSWER, Push, Reply, ReplyReader
from pyredis.sim.storage import NodeDisk
from pyredis.sim.world import US_PER_MS, US_PER_S, World
from pyredis.version import REDIS_VERSION

if TYPE_CHECKING:
    from pyredis.sim.trace import Trace

PORT: Final = 6379
_LEVELS: Final = ("debug", "verbose", "notice", "warning", "nothing")
_DEFECTS: Final = ("=== BUG REPORT", "== CRITICAL ==")
_RETRY_US: Final = 100  # how soon after a deadline that did not help the next batch runs
_SYNCING: Final = frozenset(("sync", "sync_folder"))

OnReply = Callable[[Reply], None]


class State(enum.Enum):
    """What the process is doing."""

    DOWN = "down"
    UP = "up"
    PAUSED = "paused"


_DOWN: Final = State.DOWN  # a member by its name costs a quarter of a microsecond in Python 3.11
_UP: Final = State.UP
_PAUSED: Final = State.PAUSED


class Files:
    """The configuration files of a machine. They are always safe."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def read(self, path: str) -> bytes:
        """The content. Raises FileNotFoundError."""
        if path not in self.contents:
            raise FileNotFoundError(2, "No such file or directory")
        return self.contents[path]

    def find(self, pattern: str) -> list[str]:
        """No globs here."""
        return [pattern] if pattern in self.contents else []

    def open_log(self, path: str) -> None:
        """The log goes to the trace anyway."""

    def replace(self, path: str, content: bytes) -> None:
        """Give the file a new content."""
        self.contents[path] = content


class Tables:
    """Command tables to be used again: making one takes longer than anything else at a boot."""

    def __init__(self, make: Callable[[Iterable[tuple[str, str]]], Table]) -> None:
        self._make = make
        self._free: list[Table] = []

    def take(self, renamed: list[tuple[str, str]]) -> Table:
        """A table whose counters are at zero. Raises ValueError for bad names."""
        if renamed or not self._free:
            return self._make(renamed)
        table = self._free.pop()
        for entry in table.all():
            if any(entry.latency) or entry.rejected or entry.failed:
                entry.reset()
        return table

    def give_back(self, table: Table, renamed: list[tuple[str, str]]) -> None:
        """Nobody uses it any more."""
        if not renamed:
            self._free.append(table)


class Errand:
    """A connection from outside the network, for a scenario: who waits for its replies."""

    def __init__(self, keep: bool) -> None:
        self.keep = keep  # for further commands
        self.waiting: list[OnReply] = []
        self.reader = ReplyReader()


class Node:
    """One server and its machine."""

    def __init__(
        self,
        world: World,
        network: Network,
        trace: Trace,
        tables: Tables,
        name: str,
        number: int,
        directives: Iterable[str] = (),
    ) -> None:
        """``directives`` are the lines of its configuration file."""
        self.world = world
        self.network = network
        self.trace = trace
        self.name = name
        self.number = number
        self.host = network.host(name)
        self.clock = SimClock(world)
        self.disk = NodeDisk(self._disk_acts)
        self.files = Files()
        self.path = f"/etc/{name}.conf"
        self.files.contents[self.path] = encode("\n".join(directives) + "\n")
        self.sync_us = 100
        self.lost_power = False  # since the data were last loaded
        self.state = _DOWN
        self.life = 0
        self.lines: list[tuple[int, str, str]] = []  # time, level and text of the log
        self.on_history: Callable[[Node], None] | None = None  # told of a new replid or full sync
        self.on_end: Callable[[Node], None] | None = None  # told just before a life ends
        self.on_ready: Callable[[Node], None] | None = None  # told when the data are loaded
        self.on_defect: Callable[[str], None] = lambda text: None
        self.engine: Engine
        self.children: SimChildren
        self.full_syncs = self.partial_syncs = 0  # in lives that have ended
        self._config = Config()
        self._tables = tables
        self._table: Table | None = None
        self._rng = world.stream(f"node {name}")
        self._disk_rng = world.stream(f"disk {name}")
        self._links: dict[int, Side] = {}
        self._unread: dict[Side, list[bytes]] = {}  # of links that are held
        self._errands: dict[str, Session] = {}
        self._inbox: list[tuple[Any, ...]] = []
        self._full: dict[Side, None] = {}  # sides with unsent bytes
        self._held_until_us = 0
        self._waits = False  # for the end of being held
        self._deadline_ms: int | None = None
        self._history = ("", 0)  # the replid and the full syncs so far
        self._cron_missed = False
        self._in_turn = False

    # The process

    def boot(self) -> None:
        """Start the server with what the machine has kept. Nothing happens if it runs."""
        if self.state is not _DOWN:
            return
        self.host.powered = True
        self.life += 1
        self.state = _UP
        self.trace.add(self.world.now_us, "up", self.name, self.life)
        config = self._config = Config("/data", warn=lambda text: self._log("warning", text))
        loader = Loader(config, self.files, "pyredis", REDIS_VERSION, _hooks(self._tables, config))
        loader.load(CommandLine(path=self.path))
        rng = self.world.stream(f"node {self.name} life {self.life}")
        process_id = 1000 * self.number + self.life
        host = SimHost(process_id, self._sleep)
        self._table = self._tables.take(config.renamed_commands)
        engine = self.engine = Engine(config, self.clock, rng, self._table, self._log, host)
        for figures in (engine.metrics.sample, engine.memory.sample):
            engine.cron_jobs.remove(figures)  # of a machine that there is not
        engine.config_path = self.path
        engine.rewrite_config = lambda everything=False: rewrite_file(
            self.path,
            config,
            self.files,
            owned={"user": engine.acl.config_lines()},
            everything=everything,
        )
        engine.guard.start(self.files)
        self.children = SimChildren(self.world, rng, self.disk, 10 * process_id, self._turn_later)
        engine.child.connect(self.children)
        engine.saver.connect(self.disk)
        engine.aof.connect(self.disk)
        if config.replicaof is not None:
            engine.replication.begin_as_replica(*config.replicaof)
        self._deadline_ms = None
        self._history = ("", 0)
        self._cron_missed = False
        self._held_until_us = 0
        self._waits = False
        self.host.ports[config.port] = self._accept
        self.world.after(self._rng.randrange(100_000), self._on_cron, self.life)
        self._turn(self._start_loading)

    def _start_loading(self) -> None:
        try:
            if self.engine.saver.begin_loading():
                delay_us = self._rng.randrange(1000, 20_000)
                self.world.after(delay_us, self._turn_later, self._load, self.life)
            else:
                self._ready()
        except LoadError as error:
            self._cannot_load(error)

    def _load(self, life: int) -> None:
        saver = self.engine.saver
        if life != self.life or saver.loading is None:
            return
        try:
            pause_s = saver.load_slice()
        except LoadError as error:
            self._cannot_load(error)
            return
        if pause_s is None:
            self._ready()
        else:
            delay_us = round(pause_s * US_PER_S) or self._rng.randrange(1000, 10_000)
            self.world.after(delay_us, self._turn_later, self._load, self.life)

    def _cannot_load(self, error: LoadError) -> None:
        for line in str(error).split("\n"):
            self._log("warning", line)
        raise ProcessEnd("cannot load its data")

    def _ready(self) -> None:
        self.engine.replication.begin()
        self._log("notice", "Ready to accept connections tcp")
        if self.on_ready is not None:
            self.on_ready(self)
        self.lost_power = False

    def kill(self, how: str = "killed") -> None:
        """The process dies (SIGKILL); its machine closes its connections and keeps its files."""
        if self.state is _DOWN:
            return
        self._end(how)
        for side in list(self.host.sides):
            side.close()
        self.children.abandon()
        self.disk.kill()

    def power_off(self) -> None:
        """The machine dies; what was not safe on its disk may be lost. Nobody is told."""
        if self.state is not _DOWN:
            self._end("power off")
            self.children.abandon()
        for side in list(self.host.sides):
            side.vanish()
        self.host.powered = False
        self.lost_power = True
        self.disk.power_cut(self._disk_rng)

    def _end(self, how: str) -> None:
        if self.on_end is not None:
            self.on_end(self)
        primary = self.engine.replication.primary
        self.full_syncs += primary.full_syncs
        self.partial_syncs += primary.partial_syncs
        self.state = _DOWN
        self.trace.add(self.world.now_us, "down", self.name, how)
        self.host.ports.clear()
        self._links.clear()
        self._unread.clear()
        self._errands.clear()
        self._inbox.clear()
        self._full.clear()
        self._waits = False
        self.release()

    def pause(self) -> None:
        """SIGSTOP."""
        if self.state is _UP:
            self.state = _PAUSED
            self.trace.add(self.world.now_us, "pause", self.name)

    def resume(self) -> None:
        """SIGCONT."""
        if self.state is _PAUSED:
            self.state = _UP
            self.trace.add(self.world.now_us, "resume", self.name)
            self._catch_up()

    def hold(self, duration_us: int) -> None:
        """Let the process wait for so long before it goes on."""
        self._held_until_us = max(self._held_until_us, self.world.now_us) + duration_us

    def _sleep(self, duration_us: int) -> None:
        if self.children.working:
            self.children.slept_us += duration_us
        else:
            self.hold(duration_us)

    def _disk_acts(self, action: str) -> None:
        self.trace.add(self.world.now_us, "disk", self.name, action)
        if action in _SYNCING and self._in_turn:
            self.hold(self.sync_us)

    def _log(self, level: str, text: str) -> None:
        if _LEVELS.index(level) < _LEVELS.index(self._config.loglevel):
            return
        if self.disk.put_off(lambda: self._log(level, text)):
            return  # a child says it when its time has come
        self.lines.append((self.world.now_us, level, text))
        self.trace.add(self.world.now_us, "log", self.name, level, text)
        if text.startswith(_DEFECTS):
            self.on_defect(f"{self.name}: {text}")

    # What comes in. Each is a batch, now or when the process goes on.

    def received(self, side: Side, data: bytes) -> None:
        """Bytes for a session or a link."""
        if self.state is _UP and not self._waits:
            self._turn(self._read, side, data)
        else:
            self._inbox.append((self._read, side, data))

    def opened(self, side: Side) -> None:
        """A link is there."""
        self._turn_later(self._opened, side)

    def lost(self, side: Side, reason: str) -> None:
        """A session or a link is gone."""
        self._full.pop(side, None)
        self._turn_later(self._lost, side, reason)

    def drained(self, side: Side) -> None:
        """All of a session's output is sent."""
        self._full.pop(side, None)
        self._turn_later(self._refill, side)

    def _accept(self, side: Side) -> None:
        side.owner = self
        self._turn_later(self._welcome, side)

    def _welcome(self, side: Side) -> None:
        if side.open:
            peer = side.peer
            address = Address(
                f"{peer.host.address}:{peer.port}", f"{self.host.address}:{side.port}", side.port
            )
            session = self.engine.connect(address)
            session.wire = side
            side.state = session

    def _read(self, side: Side, data: bytes) -> None:
        if side in self._unread:
            self._unread[side].append(data)
            return
        side.taken(len(data))
        state = side.state
        if type(state) is int:
            self.engine.deliver(Received(state, data))
        elif type(state) is Session:
            self.engine.feed(state, data)

    def _read_on(self, side: Side) -> None:
        """Read what has waited while the link was held."""
        for data in self._unread.pop(side, ()):
            self._read(side, data)

    def _opened(self, side: Side) -> None:
        if type(side.state) is int:
            peer = side.peer
            ends = Address(
                f"{peer.host.address}:{peer.port}", f"{self.host.address}:{side.port}", side.port
            )
            self.engine.deliver(Connected(side.state, ends))

    def _lost(self, side: Side, reason: str) -> None:
        state = side.state
        if type(state) is int:
            self._unread.pop(side, None)
            if self._links.pop(state, None) is not None:
                self.engine.deliver(Lost(state, reason))
        elif type(state) is Session:
            state.wire = None
            self.engine.disconnect(state)

    def _refill(self, side: Side) -> None:
        session = side.state
        if type(session) is Session:
            session.unsent_bytes = 0
            self._send(session)

    # Batches

    def _turn_later(self, call: Callable[..., None], *args: Any) -> None:
        """Make a call as a batch, as soon as the process goes on. Once dead it never does."""
        if self.state is _UP and not self._waits:
            if not self._in_turn:
                self._turn(call, *args)
                return
            self.world.after(0, self._catch_up)
        if self.state is not _DOWN:
            self._inbox.append((call, *args))

    def _turn(self, call: Callable[..., None], *args: Any) -> None:
        engine = self.engine
        engine.begin_batch()
        self._in_turn = True
        try:
            call(*args)
            engine.end_batch()
            self._finish()
        except ProcessEnd as end:
            self._died(end)
        except Exception:
            self._defect()
        finally:
            self._in_turn = False

    def _catch_up(self) -> None:
        """Take what has come while the process could not."""
        if self._waits or self.state is not _UP:
            return
        inbox, self._inbox = self._inbox, []
        missed, self._cron_missed = self._cron_missed, False
        self._turn(self._take_all, inbox, missed)

    def _take_all(self, inbox: list[tuple[Any, ...]], missed: bool) -> None:
        for call, *args in inbox:
            call(*args)
        if missed:
            self._do_cron()

    def _finish(self) -> None:
        """The end of a batch: output goes, unless the process has to wait for something."""
        now_us = self.world.now_us
        if self.disk.pending:
            self._schedule_syncs()
        if self._held_until_us > now_us:
            self._waits = True
            self.world.at(self._held_until_us, self._let_go, self.life)
        else:
            self._emit()

    def _schedule_syncs(self) -> None:
        pending, self.disk.pending = self.disk.pending, []

        def finish(life: int) -> None:
            if life == self.life and self.state is not _DOWN:
                for each in pending:
                    each()

        self.world.after(self.sync_us, finish, self.life)

    def _let_go(self, life: int) -> None:
        if life != self.life or self.state is _DOWN:
            return
        if self.state is _PAUSED or self._held_until_us > self.world.now_us:
            self.world.after(US_PER_MS, self._let_go, life)
            return
        self._waits = False
        try:
            self._emit()
        except ProcessEnd as end:
            self._died(end)
        except Exception:
            self._defect()
        if self._inbox or self._cron_missed:
            self._catch_up()

    def _emit(self) -> None:
        """Send all that is to be sent, close who has to go, set the timer."""
        engine = self.engine
        for session in engine.take_output():
            if session.closing != "now":  # what stands behind a cleared output is no stream
                self._send(session)
        if engine.doomed:
            for session in engine.take_doomed():
                self._dismiss(session)
        replication = engine.replication
        if replication.actions:
            for action in engine.take_actions():
                self._perform(action)
        if engine.exit_status is not None:
            raise ProcessEnd("exit", engine.host.restart_us)  # type: ignore[attr-defined]
        deadline_ms = engine.deadline_ms()
        if deadline_ms != self._deadline_ms:
            self._deadline_ms = deadline_ms
            if deadline_ms is not None:
                time_us = max(self.clock.until_us(deadline_ms), self.world.now_us + _RETRY_US)
                self.world.at(time_us, self._on_deadline, self.life, deadline_ms)
        history = replication.history.replid, replication.primary.full_syncs
        if history != self._history:
            self._history = history
            if self.on_history is not None:
                self.on_history(self)

    def _send(self, session: Session) -> None:
        wire = session.wire
        while session.out:
            data = b"".join(session.out) if len(session.out) > 1 else session.out[0]
            session.out.clear()
            if type(wire) is Side:
                wire.send(data)
                if wire.unsent_bytes:
                    session.unsent_bytes = wire.unsent_bytes
                    self._full[wire] = None
                    return
            elif wire is not None:
                self._give(wire, session, data)
                return
            if session.source is None:
                break
            self.engine.refill(session)
        if session.source is not None and type(wire) is Side and not wire.unsent_bytes:
            self.engine.refill(session)
            if session.out:
                self._send(session)
                return
        if session.closing == "reply":
            self._dismiss(session)

    def _dismiss(self, session: Session) -> None:
        """Close a connection, if all of its output is sent or nobody wants it any more."""
        wire = session.wire
        if wire is None:
            return
        if type(wire) is Side:
            if session.closing != "now" and wire.unsent_bytes:
                return
            self._full.pop(wire, None)
            wire.close()
        session.wire = None
        self.engine.disconnect(session)

    def _perform(self, action: Action) -> None:
        if isinstance(action, Send):
            side = self._links.get(action.link)
            if side is not None:
                side.send(action.data)
        elif isinstance(action, Connect):
            side = self.network.connect(self, self.host, action.host, action.port)
            side.state = action.link
            self._links[action.link] = side
        elif isinstance(action, Hold | Resume):
            side = self._links.get(action.link)
            if side is not None and isinstance(action, Hold):
                self._unread.setdefault(side, [])
            elif side is not None:
                self._turn_later(self._read_on, side)
        else:
            side = self._links.pop(action.link, None)
            if side is not None:
                self._unread.pop(side, None)
                side.state = None
                side.close()

    def _defect(self) -> None:
        """The core has failed where it must not: tell, and let the process die of it."""
        text = story(hidden=False)
        self.on_defect(f"{self.name}: {text}")
        self.kill("defect")

    def _died(self, end: ProcessEnd) -> None:
        self.kill(str(end))
        if end.restart_us is not None:
            self.world.after(end.restart_us, self.boot)

    # Time

    def _on_cron(self, life: int) -> None:
        if life != self.life or self.state is _DOWN:
            return
        self.world.after(US_PER_S // self.engine.config.hz, self._on_cron, life)
        if self.state is _PAUSED or self._waits:
            self._cron_missed = True
        else:
            self._turn(self._do_cron)

    def _do_cron(self) -> None:
        self.engine.cron()
        for side in list(self._full):
            session = side.state
            if type(session) is Session and not session.closing:
                session.unsent_bytes = side.unsent_bytes
                check_output(self.engine, session)
        timeout_ms = self.engine.config.timeout * 1000
        if timeout_ms:
            for session in self.engine.sessions.values():
                if type(session.wire) is Side and _is_idle(session, self.engine.now_ms, timeout_ms):
                    self.engine.close(session, "now")

    def _on_deadline(self, life: int, deadline_ms: int) -> None:
        if life == self.life and deadline_ms == self._deadline_ms:
            self._deadline_ms = None
            self._turn_later(_nothing)

    # Commands from outside the network

    def ask(self, argv: list[bytes], on_reply: OnReply, connection: str = "") -> bool:
        """Give the server a command as from its own machine; False if it is not running.

        Commands of the same named ``connection`` share one. ``on_reply`` is called with the
        reply, perhaps at once; never if the life or the connection ends before.
        """
        if self.state is _DOWN:
            return False
        self._turn_later(self._run_errand, argv, on_reply, connection)
        return True

    def ask_now(self, *args: str | bytes) -> Reply:
        """The reply to a command that does not wait; NO_ANSWER if the server cannot answer now."""
        found: list[Reply] = []
        if self.state is not _UP or self._waits:
            return NO_ANSWER
        self.ask([encode(arg) if isinstance(arg, str) else arg for arg in args], found.append)
        return found[0] if found else NO_ANSWER

    def _run_errand(self, argv: list[bytes], on_reply: OnReply, connection: str) -> None:
        session = self._errands.get(connection)
        if session is None or session.closing:
            session = self.engine.connect(Address("127.0.0.1:0", f"127.0.0.1:{PORT}"))
            session.wire = Errand(bool(connection))
            if connection:
                self._errands[connection] = session
        session.wire.waiting.append(on_reply)
        self.engine.feed(session, encode_command(argv))

    def _give(self, errand: Errand, session: Session, data: bytes) -> None:
        errand.reader.receive(data)
        for reply in errand.reader.replies():
            if isinstance(reply, Push) or not errand.waiting:
                continue
            on_reply = errand.waiting.pop(0)
            if not errand.keep:
                session.wire = None
                self.engine.disconnect(session)
            on_reply(reply)

    def count(self, what: str) -> int:
        """Full or partial synchronisations given, in all lives."""
        full = what == "full-syncs"
        total = self.full_syncs if full else self.partial_syncs
        if self.state is not _DOWN:
            primary = self.engine.replication.primary
            total += primary.full_syncs if full else primary.partial_syncs
        return total

    def release(self) -> None:
        """The run is over."""
        if self._table is not None:
            self._tables.give_back(self._table, self.engine.config.renamed_commands)
            self._table = None

    # Faults from outside

    def end_child(self) -> None:
        """SIGKILL for the child."""
        if self.state is not _DOWN:
            self.children.end(SIGKILL)


def _nothing() -> None:
    """A batch in which nothing comes but time."""


def _is_idle(session: Session, now_ms: int, timeout_ms: int) -> bool:
    if session.blocked or session.closing or session.monitor or session.subscriptions:
        return False
    return session.replica is None and now_ms - session.last_ms > timeout_ms


def _hooks(tables: Tables, config: Config) -> dict[str, Callable[[tuple[str, ...]], None]]:
    """What checks directives that are no settings."""

    def check_user(words: tuple[str, ...]) -> None:
        table = tables.take([])
        try:
            check_config_user(table, config, words)
        finally:
            tables.give_back(table, [])

    def refuse_module(words: tuple[str, ...]) -> None:
        raise ConfigError("modules are native code and cannot be loaded")

    return {
        "user": check_user,
        "rename-command": lambda words: None,  # checked when the table is made
        "loadmodule": refuse_module,
    }
