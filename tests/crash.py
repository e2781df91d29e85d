"""``kill -9`` under load: ``python -m tests.crash --runs 200 --policy always``.

A server with an append-only file is written to by three clients, each of which appends
numbers to a list of its own, in pipelines, while now and then a fourth asks for a rewrite. At a
random instant the process is killed, started again, and must hold, in each list, the numbers
from 0 on without a gap or a double, at least as many as were acknowledged: all of them with
``always``, those of more than two seconds ago with ``everysec``.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.support import Node, WireClient

WRITERS = 3
PIPELINE_MAX = 10
LOST_MAX_S = 2.0
RUN_MAX_S = 0.4


class Writer(threading.Thread):
    """Appends to a list until the connection breaks."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(daemon=True)
        self.client = WireClient(port)
        self.name = name
        self.sent = 0  # at the most
        self.acknowledged: list[tuple[float, int]] = []  # when, how many by then

    def run(self) -> None:
        rng = random.Random(self.name)
        client = self.client
        with contextlib.suppress(OSError):
            while True:
                count = rng.randint(1, PIPELINE_MAX)
                begin = self.sent
                self.sent += count
                for number in range(begin, self.sent):
                    client.send("RPUSH", self.name, number)
                for _ in range(count):
                    size = client.read()
                    self.acknowledged.append((time.monotonic(), size))

    def acknowledged_before(self, when_s: float) -> int:
        """How many had been acknowledged by then."""
        return max((size for at_s, size in self.acknowledged if at_s <= when_s), default=0)


def start(folder: Path, policy: str) -> Node:
    """A server on the folder, once it serves."""
    return Node("--dir", str(folder), "--save", "", "--appendonly", "yes", "--appendfsync", policy)


def check(client: WireClient, writer: Writer, killed_s: float, policy: str) -> tuple[int, int]:
    """Look at a list; returns how many were acknowledged, and how many of them are missing."""
    found = [int(each) for each in client("LRANGE", writer.name, 0, -1)]
    assert found == list(range(len(found))), f"{writer.name} has gaps or doubles: {found[-20:]}"
    assert len(found) <= writer.sent, f"{writer.name} holds more than was sent"
    promised = writer.acknowledged_before(killed_s if policy == "always" else killed_s - LOST_MAX_S)
    assert len(found) >= promised, f"{writer.name}: {len(found)} left of {promised} promised"
    all_of_them = writer.acknowledged_before(killed_s)
    return all_of_them, max(0, all_of_them - len(found))


def run(runs: int, policy: str, seed: int = 0) -> tuple[int, int]:
    """So many kills; returns how many writes were acknowledged, and how many of them lost."""
    rng = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="pyredis-crash-"))
    acknowledged = lost = 0
    node = start(folder, policy)
    try:
        for number in range(runs):
            writers = [Writer(node.port, f"list{number}:{at}") for at in range(WRITERS)]
            for writer in writers:
                writer.start()
            fourth = node.client()
            if rng.random() < 0.3:
                time.sleep(rng.random() * RUN_MAX_S / 2)
                fourth("BGREWRITEAOF")
            time.sleep(rng.random() * RUN_MAX_S)
            killed_s = time.monotonic()
            node.close()
            for writer in writers:
                writer.join()
            node = start(folder, policy)
            client = node.client()
            for writer in writers:
                figures = check(client, writer, killed_s, policy)
                acknowledged += figures[0]
                lost += figures[1]
                client("DEL", writer.name)
            client.close()
    finally:
        node.close()
        shutil.rmtree(folder, ignore_errors=True)
    return acknowledged, lost


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="how many kills (200)")
    parser.add_argument("--policy", default="always", choices=("always", "everysec", "no"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    acknowledged, lost = run(options.runs, options.policy, options.seed)
    print(
        f"{options.runs} kills with appendfsync {options.policy}: "
        f"{lost} of {acknowledged} acknowledged writes lost"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
