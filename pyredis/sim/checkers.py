"""What must be true of any run, whatever the scenario: checked while it goes on, and at its end.

The checkers stand apart from the code they check. They look at servers from outside, and hold
them to what Redis promises, which is less than linearizability:

    equal-data    Servers at the same point of the same history (replid, offset) hold the same
                  data and TTLs, now or at any time of the run.
    same-stream   The byte at an offset of a history is the same wherever it is kept.
    wait          WAIT never counts more replicas than hold the client's last write at that
                  instant.
    lost-write    An acknowledged write that is missing at the end belongs to a history, or a
                  part of one, that the surviving primary does not go on with. Every other
                  loss is a violation; those explained are counted.
    full-sync     Nobody gets a full copy who could have been given what is missing.
    restart       What a server holds after a restart is a beginning of what it held before;
                  with an append-only file, all that the fsync policy promises.
    defect        No server reports a bug of its own, no replica refuses its primary's stream.

A history is a chain: the checkers note each new replid with the one it came from and the offset
up to which the two are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pyredis.persistence.aof_keeper import ON
from pyredis.replication.downstream import Phase
from pyredis.replication.history import NO_REPLID
from pyredis.sim.clients import Client, Mark, holes
from pyredis.sim.fingerprint import fingerprint
from pyredis.sim.network import Side
from pyredis.sim.node import Node, State
from pyredis.sim.world import US_PER_S

if TYPE_CHECKING:
    from pyredis.engine import Engine
    from pyredis.replication.history import History

EVERYSEC_US: Final = 2 * US_PER_S
"""How much of the last acknowledged writes appendfsync everysec may lose with the power, or,
where a write is being put off because a sync is slow, with the process."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be. ``kind`` is what a shrinker holds on to."""

    kind: str
    text: str
    time_us: int
    line: int = 0  # of the scenario, for a failed expectation

    def __str__(self) -> str:
        at = f" (line {self.line})" if self.line else ""
        return f"{self.time_us / US_PER_S:.6f} {self.kind}{at}: {self.text}"


class Histories:
    """Which history forked from which, and where."""

    def __init__(self) -> None:
        self.parents: dict[str, tuple[str, int]] = {}

    def note(self, history: History, before: tuple[str, int] | None) -> None:
        """A server goes by a new name; ``before`` is what its data were until now."""
        replid = history.replid
        if replid in self.parents:
            return
        if history.replid2 != NO_REPLID:
            self.parents[replid] = (history.replid2, history.second_offset - 1)
        elif before is not None and before[0] != replid:
            self.parents[replid] = before

    def contains(self, replid: str, mark: Mark) -> bool:
        """Whether data of history ``replid`` hold what was done at that mark."""
        limit = 1 << 62
        seen = 0
        while seen <= len(self.parents):
            if replid == mark.replid:
                return mark.offset <= limit
            if replid not in self.parents:
                return False
            replid, offset = self.parents[replid]
            limit = min(limit, offset)
            seen += 1
        return False


class Checkers:
    """All checks of one run."""

    def __init__(
        self,
        now_us: Callable[[], int],
        nodes: dict[str, Node],
        clients: dict[str, Client],
        report: Callable[[Violation], None],
    ) -> None:
        self.histories = Histories()
        self.lost: list[tuple[str, int, Mark]] = []  # client, number, when it was acknowledged
        self._now_us = now_us
        self._nodes = nodes
        self._clients = clients
        self._report = report
        self._digests: dict[tuple[str, int], tuple[str, str]] = {}
        self._last_digest: dict[str, tuple[str, int]] = {}
        self._streams: dict[str, tuple[int, bytearray]] = {}
        self._streamed: dict[str, tuple[str, int]] = {}
        self._known: dict[str, tuple[int, str, int]] = {}  # life, replid, offset
        self._before: dict[str, dict[str, bytes]] = {}  # ledgers at the end of a life
        self._ended_us: dict[str, int] = {}
        self._put_off: dict[str, bool] = {}  # the log had not been given all at that instant
        self._copied: dict[str, int] = {}  # the life in which a server got a full copy
        self._on_disk: dict[str, bool] = {}  # whether its files told of its data when it ended
        self._full_syncs: dict[str, int] = {}
        self._judged: dict[tuple[str, int, int], None] = {}  # lives and sessions that got a copy
        self._by_address = {node.host.address: node for node in nodes.values()}
        for node in nodes.values():
            node.on_history = self.on_history
            node.on_end = self.on_end
            node.on_ready = self.on_ready
            node.on_defect = lambda text: self.fail("defect", text)

    def fail(self, kind: str, text: str) -> None:
        """Report a violation."""
        self._report(Violation(kind, text, self._now_us()))

    # Along the way

    def on_history(self, node: Node) -> None:
        """A server's history has another name, or somebody gets a full copy from it."""
        replication = node.engine.replication
        history = replication.history
        if replication.primary.full_syncs != self._full_syncs.get(node.name, 0):
            self._check_need(node)
        known = self._known.get(node.name)
        if known is not None and known[1] == history.replid and known[0] == node.life:
            return
        before = None
        if known is not None and known[0] == node.life and node.engine.role == "master":
            before = (known[1], history.offset)
        elif history.replid2 == NO_REPLID and node.engine.role != "master":
            self._copied[node.name] = node.life
        self.histories.note(history, before)
        self._known[node.name] = node.life, history.replid, history.offset

    def _check_need(self, node: Node) -> None:
        """A full copy was granted. Was there no other way?"""
        primary = node.engine.replication.primary
        self._full_syncs[node.name] = primary.full_syncs
        history, backlog = primary.history, primary.backlog
        for session, downstream in primary.replicas.items():
            asker = self._by_address.get(session.address.peer.rpartition(":")[0])
            if downstream.phase not in (Phase.WAIT_START, Phase.WAIT_END) or asker is None:
                continue
            case = node.name, node.life, session.id
            if case in self._judged or asker.state is State.DOWN:
                continue
            if type(session.wire) is not Side or not session.wire.peer.open:
                continue  # it has given this connection up since it asked
            self._judged[case] = None
            had = asker.engine.replication
            offset = had.history.offset
            if not had.has_history or backlog is None or not backlog.holds(offset + 1):
                continue
            if had.history.replid == history.replid or (
                had.history.replid == history.replid2 and offset < history.second_offset
            ):
                self.fail(
                    "full-sync",
                    f"{node.name} gives {asker.name} a full copy, though it has "
                    f"{had.history.replid[:8]}:{offset} and the rest is in the backlog",
                )

    def on_end(self, node: Node) -> None:
        """A life ends: keep what it held, to compare with what will be there after it."""
        self._before[node.name] = ledgers(node.engine)
        self._ended_us[node.name] = self._now_us()
        aof = node.engine.aof
        self._put_off[node.name] = aof.feed.buffered_bytes > 0
        # Data that were copied from a primary are not on disk as they are before the next base
        # is written: until then a restart brings back an older life, of another history perhaps.
        self._on_disk[node.name] = self._copied.get(node.name) != node.life or (
            aof.state == ON and not aof.rewriting
        )
        self._last_digest.pop(node.name, None)
        self._streamed.pop(node.name, None)
        self._full_syncs.pop(node.name, None)

    def on_ready(self, node: Node) -> None:
        """A server has loaded its data after a restart."""
        before = self._before.get(node.name)
        if before is None or not self._on_disk[node.name]:
            return
        after = ledgers(node.engine)
        power = node.lost_power
        for client, held in before.items():
            now = after.get(client, b"")
            missing = holes(now, _numbers(held))
            if missing and _numbers(now)[-1:] > missing[:1]:
                self.fail(
                    "restart",
                    f"{node.name} has lost write {missing[0]} of {client} in its restart, and "
                    f"kept write {_numbers(now)[-1]}",
                )
            self._check_promised(node, client, missing, power)

    def _check_promised(self, node: Node, client: str, missing: list[int], power: bool) -> None:
        """With an append-only file, what was acknowledged may only be lost as fsync says."""
        config = node.engine.config
        if not config.appendonly or (config.appendfsync == "no" and power):
            return
        limit_us = self._ended_us[node.name]
        if config.appendfsync == "everysec" and (power or self._put_off[node.name]):
            limit_us -= EVERYSEC_US + node.sync_us
        acknowledged = self._clients[client].acknowledged if client in self._clients else {}
        for number in missing:
            mark = acknowledged.get(number)
            if mark is not None and mark.node == node.name and mark.time_us <= limit_us:
                self.fail(
                    "restart",
                    f"{node.name} has lost write {number} of {client}, acknowledged "
                    f"{(self._ended_us[node.name] - mark.time_us) / US_PER_S:.3f} s before its end "
                    f"with appendfsync {config.appendfsync}",
                )
                return

    def mark(self, side: Side) -> Mark:
        """The point in its history at which a server is replying."""
        node = side.owner
        assert isinstance(node, Node)
        history = node.engine.replication.history
        return Mark(node.name, self._now_us(), history.replid, history.offset)

    def on_wait(self, client: Client, node: str, number: int, count: int) -> None:
        """A server tells a client that so many replicas hold its last write.

        One that had it, and has lost it with its machine's power since, counts as long as nobody
        can have told the server so.
        """
        key = b"ledger:" + client.name.encode()
        unheard = self._unheard_ends(self._nodes[node])
        holding = [
            name
            for name, each in self._nodes.items()
            if name != node
            and (
                self._holds(each, key, number)
                or (name in unheard and self._held_before(each, key, number))
            )
        ]
        if count > len(holding):
            self.fail(
                "wait",
                f"{node} told {client.name} that {count} replicas hold write {number}; "
                f"it is held by {', '.join(holding) or 'none'}",
            )

    def _holds(self, node: Node, key: bytes, number: int) -> bool:
        if node.life == 0:
            return False
        if node.state is State.DOWN:
            return self._held_before(node, key, number)
        return not holes(_bitmap(node.engine.ks.dbs[0].data.get(key, b"")), [number])

    def _held_before(self, node: Node, key: bytes, number: int) -> bool:
        """Whether it had the write when its last life ended."""
        return not holes(self._before.get(node.name, {}).get(key[7:].decode(), b""), [number])

    def _unheard_ends(self, node: Node) -> set[str]:
        """The machines of replicas that it takes for connected, and that are gone."""
        return {
            session.wire.peer.host.name
            for session in node.engine.replication.primary.replicas
            if isinstance(session.wire, Side) and not session.wire.peer.open
        }

    def sample(self) -> None:
        """Compare the data and the streams of all servers."""
        for node in self._nodes.values():
            if node.state is State.UP and comparable(node.engine):
                self._check_stream(node)
                self._check_data(node)

    def _check_data(self, node: Node) -> None:
        history = node.engine.replication.history
        position = history.replid, history.offset
        if self._last_digest.get(node.name) == position:
            return
        self._last_digest[node.name] = position
        digest = fingerprint(node.engine.ks.dbs)
        known = self._digests.setdefault(position, (digest, node.name))
        if known[0] != digest:
            self.fail(
                "equal-data",
                f"{node.name} and {known[1]} were both at {position[0][:8]}:{position[1]} and held "
                f"different data ({digest[:12]} and {known[0][:12]})",
            )

    def _check_stream(self, node: Node) -> None:
        replication = node.engine.replication
        history, backlog = replication.history, replication.primary.backlog
        if backlog is None:
            return
        done = self._streamed.get(node.name)
        first = backlog.first
        if done is not None and done[0] == history.replid:
            first = max(first, done[1])
        self._streamed[node.name] = history.replid, history.offset + 1
        data = backlog.since(first)
        shared = max(0, min(len(data), history.second_offset - first))
        if shared:
            self._compare_stream(node, history.replid2, first, data[:shared])
        self._compare_stream(node, history.replid, first + shared, data[shared:])

    def _compare_stream(self, node: Node, replid: str, first: int, data: bytes) -> None:
        """Hold a piece of a history against what is known of it, and learn the rest."""
        if not data:
            return
        if replid not in self._streams:
            self._streams[replid] = first, bytearray(data)
            return
        start, known = self._streams[replid]
        if first < start:
            data, first = data[start - first :], start
        at = first - start
        if at > len(known):
            self._streams[replid] = first, bytearray(data)  # a gap: go on from here
            return
        common = min(len(known) - at, len(data))
        if known[at : at + common] != data[:common]:
            self.fail(
                "same-stream",
                f"{node.name} keeps other bytes of history {replid[:8]} from offset {first} than "
                "another server",
            )
        known += data[common:]

    # At the end

    def count_lost(self) -> list[tuple[str, int, Mark]]:
        """All acknowledged writes that the surviving primaries do not hold."""
        primaries = [
            node
            for node in self._nodes.values()
            if node.state is not State.DOWN and node.engine.role == "master"
        ]
        lost: list[tuple[str, int, Mark]] = []
        for client in self._clients.values():
            marks = client.acknowledged
            home = [n for n in primaries if n.name in client.load.targets] or primaries
            best = min(
                (holes(ledgers(n.engine).get(client.name, b""), list(marks)) for n in home),
                key=len,
                default=list(marks),
            )
            lost += ((client.name, number, marks[number]) for number in best)
        return lost

    def finish(self) -> None:
        """The run is over."""
        self._last_digest.clear()  # data may have changed where the offset has not
        self.sample()
        self.lost = self.count_lost()
        for client, number, mark in self.lost:
            if not self.explained(mark):
                self.fail(
                    "lost-write",
                    f"write {number} of {client}, acknowledged by {mark.node} at "
                    f"{mark.time_us / US_PER_S:.3f}s ({mark.replid[:8]}:{mark.offset}), is gone, "
                    "and the history that survives should hold it",
                )
                return

    def explained(self, mark: Mark) -> bool:
        """Whether no surviving primary goes on with the history that a write belongs to."""
        return not any(
            self.histories.contains(node.engine.replication.history.replid, mark)
            for node in self._nodes.values()
            if node.state is not State.DOWN and node.engine.role == "master"
        )


def comparable(engine: Engine) -> bool:
    """Whether (replid, offset) says at present what an engine's data are."""
    replication = engine.replication
    if engine.saver.loading is not None or replication.intake is not None:
        return False
    if engine.role == "master":
        return replication.primary.backlog is not None
    return replication.has_history and engine.config.replica_read_only


def ledgers(engine: Engine) -> dict[str, bytes]:
    """The ledgers that a server holds, by client."""
    return {
        key[7:].decode(): _bitmap(value)
        for key, value in engine.ks.dbs[0].data.items()
        if key.startswith(b"ledger:")
    }


def _bitmap(value: Any) -> bytes:
    """A string's bytes. One that looks like a number is kept as a number once it was loaded."""
    return b"%d" % value if isinstance(value, int) else bytes(value)


def _numbers(bitmap: bytes) -> list[int]:
    return [
        8 * at + bit for at, byte in enumerate(bitmap) for bit in range(8) if byte & 0x80 >> bit
    ]
