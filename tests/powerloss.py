"""Power cuts at random instants: ``python -m tests.powerloss --seeds 5000``.

A seed is a story: a server on a simulated disk gets random commands, time passes, it rewrites
its append-only file, switches it off and on, its children die; at a random action on the disk,
or between two, the power fails (or the process is killed). Then a new server starts on what is
left, and goes on, three times over.

What must hold after each start:

1. It starts. (aof-load-truncated yes, aof-load-corrupt-tail-max-size large.)
2. Its data are those after the first n commands, for some n: nothing is missing in the middle,
   nothing is there twice, nothing is invented, no transaction is there by half.
3. n is not less than the policy promises: with ``always`` all commands that were answered, with
   ``everysec`` those answered two seconds before the cut, with ``no`` those that an orderly step
   (a start, switching off) had made safe. A killed process loses none that was answered, but
   for those whose write ``everysec`` had put off while a sync was running.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import Any

from pyredis.commands.registry import Table
from pyredis.digest import data_digest
from pyredis.ports import ManualClock
from pyredis.server import command_table
from pyredis.sim.disk import PowerCut, SimDisk
from tests.simserver import SimServer
from tests.support import EngineClient, new_client

Command = tuple[Any, ...]
Unit = list[Command]

LIVES = 3
STEPS_MAX = 40
LOST_MAX_MS = 2000
SYNC_MAX_MS = 900


def digest_of(client: EngineClient | SimServer) -> bytes:
    """A signature of all data."""
    return data_digest(client.engine.ks.dbs)


class Story:
    """One seed."""

    def __init__(self, seed: int, table: Table, model: EngineClient) -> None:
        """``model`` is a client of a server without a disk, to say what the data should be."""
        self.rng = random.Random(seed)
        self.table = table
        self.model = model
        self.policy = self.rng.choice(("always", "everysec", "everysec", "no"))
        self.settings: dict[str, Any] = {
            "appendfsync": self.policy,
            "aof_use_rdb_preamble": self.rng.choice(("yes", "yes", "no")),
            "aof_timestamp_enabled": self.rng.choice(("yes", "no")),
            "aof_load_corrupt_tail_max_size": "1gb",
            "auto_aof_rewrite_min_size": self.rng.choice((200, "64mb")),
            "no_appendfsync_on_rewrite": "no",
            "hz": 10,
        }
        self.clock = ManualClock()
        self.disk = SimDisk()
        self.units: list[Unit] = []
        self.answered: list[int] = []  # when each of them was, in ms
        self.digests: list[bytes] = []  # of the data after each, the first before all
        self.safe = 0  # so many are known to be safe whatever the policy
        self.off_since: int | None = None  # how many there were when the log was switched off
        self.sync_end_ms = 0
        self.starts = 0
        self.lost = 0  # answered, and gone
        self._replay(0)
        self.digests.append(digest_of(model))

    # The model

    def _replay(self, count: int) -> None:
        """Bring the model to the data after so many units."""
        self.model("FLUSHALL")
        for unit in self.units[:count]:
            for command in unit:
                self.model.send(*command)
            self.model.replies()
        del self.digests[count + 1 :]

    def _unit(self) -> Unit:
        rng = self.rng
        count = rng.choice((1, 1, 1, 3))
        commands = [self._command() for _ in range(count)]
        if count == 1:
            return commands
        if rng.random() < 0.5:
            commands.insert(rng.randint(0, count), ("SELECT", 1))
            commands.append(("SELECT", 0))
        return [("MULTI",), *commands, ("EXEC",)]

    def _command(self) -> Command:
        rng = self.rng
        number = rng.randint(0, 999)
        key = f"k{number % 4}"
        return rng.choice(
            (
                ("INCR", "n"),
                ("SET", f"s{key}", "x" * rng.randint(0, 300)),
                ("APPEND", f"a{key}", number),
                ("RPUSH", f"l{key}", *range(rng.randint(1, 4))),
                ("LPOP", f"l{key}"),
                ("SADD", f"u{key}", number),
                ("SREM", f"u{key}", rng.randint(0, 999)),
                ("HSET", f"h{key}", number % 7, number),
                ("ZINCRBY", f"z{key}", 1.5, number % 5),
                ("XADD", f"x{key}", f"{len(self.units) + 1}-{number}", "f", number),
                ("PEXPIREAT", f"s{key}", 4_000_000_000_000 + number),
                ("DEL", f"l{key}"),
                ("COPY", f"h{key}", f"h{number % 3}", "REPLACE"),
            )
        )

    # The story

    def tell(self) -> None:
        """Raises AssertionError where a promise is broken."""
        for _ in range(LIVES):
            try:
                self._live()
            except PowerCut:
                pass

    def _live(self) -> None:
        rng, disk = self.rng, self.disk
        server = SimServer(disk, self.clock, self.table, **self.settings)
        self.starts += 1
        self._compare(server)
        cut = rng.random() < 0.75
        within = cut and rng.random() < 0.7
        if within:
            disk.cut_in = rng.randint(0, 60)
        killed = False
        try:
            for _ in range(rng.randint(1, STEPS_MAX)):
                self._step(server)
            killed = not cut
        finally:
            self._fall(server, killed)

    def _fall(self, server: SimServer, killed: bool) -> None:
        """The end of a life; what must have survived is settled here."""
        disk, now_ms = self.disk, self.clock.time_ms
        if self.off_since is not None:
            pass  # nothing was promised since
        elif self.policy == "always" or (killed and self.policy == "no"):
            self.safe = max(self.safe, len(self.answered))
        elif self.policy == "everysec":
            old = sum(at_ms <= now_ms - LOST_MAX_MS for at_ms in self.answered)
            self.safe = max(self.safe, old)
        if killed:
            disk.kill()
        else:
            disk.power_cut(self.rng)
        self.clock.advance(10)

    def _step(self, server: SimServer) -> None:
        rng = self.rng
        self._pass_time(server, rng.choice((0, 1, 100, 100, 300)))
        chance = rng.random()
        aof = server.engine.aof
        if chance < 0.70:
            units = [self._unit() for _ in range(rng.randint(1, 4))]
            self.units += units  # from now on they may be found on the disk
            for unit in units:
                for command in unit:
                    self.model.send(*command)
                self.model.replies()
                self.digests.append(digest_of(self.model))
            server.feed(*(command for unit in units for command in unit))
            self.answered += [self.clock.time_ms] * len(units)
        elif chance < 0.80:
            server("BGREWRITEAOF")
        elif chance < 0.90:
            server.children.finish(9 if rng.random() < 0.2 else 0)
            self._pass_time(server, 100)
        elif chance < 0.95 and self.off_since is None:
            server("CONFIG", "SET", "appendonly", "no")
            self.safe = max(self.safe, len(self.answered))
            self.off_since = len(self.answered)
        elif self.off_since is not None:
            server("CONFIG", "SET", "appendonly", "yes")
        if self.off_since is not None and aof.state == "on":
            self.off_since = None
            self.safe = max(self.safe, aof_base_count(self))

    def _pass_time(self, server: SimServer, duration_ms: int) -> None:
        """Crons and the ends of syncs come in their time."""
        end_ms = self.clock.time_ms + duration_ms
        while True:
            if self.disk.pending and not self.sync_end_ms:
                self.sync_end_ms = self.clock.time_ms + self.rng.randint(0, SYNC_MAX_MS)
            if self.disk.pending and self.clock.time_ms >= self.sync_end_ms:
                self.disk.finish_syncs()
                self.sync_end_ms = 0
            if not self.disk.pending:
                self.sync_end_ms = 0
            left_ms = end_ms - self.clock.time_ms
            if left_ms <= 0:
                return
            server.tick(min(100, left_ms))

    def _compare(self, server: SimServer) -> None:
        """The server has started: find out with how many units, and go on from there."""
        digest = digest_of(server)
        found = [at for at, each in enumerate(self.digests) if each == digest]
        assert found, f"data that never were: {server('KEYS', '*')} {server.log}"
        # Units that change nothing leave several places to choose from: the last is right.
        count = max(found)
        assert count >= self.safe, f"only {count} units are left of {self.safe} safe ones"
        self.lost += max(0, len(self.answered) - count)
        del self.units[count:], self.answered[count:]
        self.answered += [self.clock.time_ms] * (count - len(self.answered))
        self.safe = count  # a start syncs what it has found
        self.off_since = None
        self.sync_end_ms = 0
        self._replay(count)


def aof_base_count(story: Story) -> int:
    """How many units a base that is in force now holds at the least."""
    return story.off_since or 0


def run(seeds: range) -> tuple[int, int]:
    """Tell the stories; returns how many starts there were, and how many units were lost."""
    starts = lost = 0
    table, model = command_table(), new_client()
    for seed in seeds:
        story = Story(seed, table, model)
        try:
            story.tell()
        except BaseException as error:
            error.add_note(f"seed {seed}, {story.policy}")
            raise
        starts += story.starts
        lost += story.lost
    return starts, lost


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.powerloss", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5000, help="how many stories (5000)")
    parser.add_argument("--first", type=int, default=0, help="the seed to begin with (0)")
    options = parser.parse_args()
    begin = time.monotonic()
    starts, lost = run(range(options.first, options.first + options.seeds))
    print(
        f"{options.seeds} seeds, {starts} starts, every one with a prefix of its history that "
        f"holds what was promised; {lost} answered units lost within the promises; "
        f"{time.monotonic() - begin:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
