"""Replication for as long as wanted, between servers of both kinds.

python -m tests.replication_soak --seconds 60

Writes of every type go on while links are cut, servers stopped, killed and promoted; then
everything has to be equal. Each story gets so many seconds.
"""

from __future__ import annotations

import argparse
import random
import time

from tests.world import Load, World

PAIRS = [("ours", "real"), ("real", "ours"), ("ours", "ours")]


def cut_links(kinds: tuple[str, str], seconds: float, seed: int) -> str:
    """Mixed writes, and the link cut at either end about twice a second."""
    world = World()
    try:
        primary, replica = (world.start(kind) for kind in kinds)
        load = Load(primary, seed)
        load.some(500)
        replica.follow(primary)
        world.wait_links(replica)
        rng = random.Random(seed)
        end = time.monotonic() + seconds
        cuts = 0
        while time.monotonic() < end:
            load.run(rng.uniform(0.2, 0.8))
            if rng.random() < 0.5:
                primary("CLIENT", "KILL", "TYPE", "replica")
            else:
                replica("CLIENT", "KILL", "TYPE", "master")
            cuts += 1
        world.wait_in_sync(primary, replica, limit_s=60)
        stats = primary.info("stats")
        assert stats["sync_full"] == "1", stats["sync_full"]
        return (
            f"{load.count} commands, {cuts} cuts, full {stats['sync_full']}, partial "
            f"{stats['sync_partial_ok']}, offset {primary.offset}, digests equal"
        )
    finally:
        world.close()


def promote_in_turn(kinds: tuple[str, ...], seconds: float, seed: int) -> str:
    """A chain of servers whose order changes all the time; no full copy after the first ones."""
    world = World()
    try:
        # A ping or an expired key between two layouts would be a write of the old top alone.
        nodes = [world.start(kind, "--repl-ping-replica-period", "3600") for kind in kinds]
        top = nodes[0]
        for each in nodes[1:]:
            each.follow(top)
        world.wait_links(*nodes[1:])
        rng = random.Random(seed)
        end = time.monotonic() + seconds
        turns = count = 0
        while time.monotonic() < end:
            Load(top, rng.randrange(1 << 30), expires=False).run(0.5)
            world.wait_in_sync(top, *(each for each in nodes if each is not top))
            order = rng.sample(nodes, len(nodes))
            top = order[0]
            top("REPLICAOF", "NO", "ONE")
            for at, each in enumerate(order[1:], 1):
                each.follow(order[rng.randrange(at)])
            turns += 1
        world.wait_in_sync(top, *(each for each in nodes if each is not top), limit_s=60)
        full = sum(each.stat("sync_full") for each in nodes)
        partial = sum(each.stat("sync_partial_ok") for each in nodes)
        count = len(nodes)
        assert full == count - 1, f"{full} full copies\n{world.refusals()}"
        return f"{turns} layouts of {count}, full {full}, partial {partial}, digests equal"
    finally:
        world.close()


def kill_and_stop(kinds: tuple[str, str], seconds: float, seed: int) -> str:
    """kill -9 and SIGSTOP of either side; what a primary has lost, its replica gives up."""
    world = World()
    try:
        primary, replica = (world.start(kind, "--save", "3600 1") for kind in kinds)
        replica.follow(primary)
        load = Load(primary, seed)
        rng = random.Random(seed)
        end = time.monotonic() + seconds
        done: list[str] = []
        while time.monotonic() < end:
            load.run(0.5)
            what = rng.choice(("kill primary", "kill replica", "stop primary", "stop replica"))
            done.append(what)
            server = primary if "primary" in what else replica
            if what.startswith("stop"):
                with server.stopped():
                    if server is replica:
                        load.run(0.5)
                    else:
                        time.sleep(0.5)
            else:
                if rng.random() < 0.5:
                    server("BGSAVE")
                server.kill()
                more = () if server is primary else ("--replicaof", f"127.0.0.1 {primary.port}")
                server.start(*more)
        world.wait_in_sync(primary, replica, limit_s=60)
        return f"{load.count} commands, {len(done)} faults, digests equal"
    finally:
        world.close()


def cut_transfers(kinds: tuple[str, str], seconds: float, seed: int) -> str:
    """Full copies cut at random points: afterwards there are old data or new ones, never half."""
    world = World()
    try:
        primary, replica = (world.start(kind) for kind in kinds)
        for number in range(200):
            primary("SET", f"big{number}", random.Random(number).randbytes(20_000))
        new = primary.digest()
        rng = random.Random(seed)
        end = time.monotonic() + seconds
        cuts = {"old": 0, "new": 0}
        while time.monotonic() < end:
            for name, choices in (
                ("repl-diskless-load", ("disabled", "swapdb", "on-empty-db")),
                ("repl-diskless-sync", ("yes", "no")),
            ):
                server = replica if name.endswith("load") else primary
                server("CONFIG", "SET", name, rng.choice(choices))
            proxy = world.proxy(primary)
            proxy.cut_after = rng.randrange(1, 4_100_000)
            replica("REPLICAOF", "NO", "ONE")
            replica("FLUSHALL")
            replica("SET", "old", rng.random())
            old = replica.digest()
            replica.follow(proxy)
            while proxy.cut_after is not None and not replica.link_up:
                time.sleep(0.01)
            proxy.refuses = True
            proxy.cut()
            replica("REPLICAOF", "NO", "ONE")
            found = replica.digest()
            assert found in (old, new), "half of the data"
            cuts["old" if found == old else "new"] += 1
            world.proxies.remove(proxy)
            proxy.close()
        replica.follow(primary)
        world.wait_in_sync(primary, replica, limit_s=60)
        return f"{cuts['old']} times the old data, {cuts['new']} times the new ones, never half"
    finally:
        world.close()


def _told(name: str, found: str) -> None:
    print(f"{name}: {found}", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    for kinds in PAIRS:
        name = "cut links " + " <- ".join(kinds)
        if given.only in name:
            _told(name, cut_links(kinds, given.seconds, given.seed))
    for chain in (("ours", "real", "ours", "real", "ours"), ("real", "ours", "real")):
        name = "layouts " + " ".join(chain)
        if given.only in name:
            _told(name, promote_in_turn(chain, given.seconds, given.seed))
    for kinds in (("real", "ours"), ("ours", "ours")):
        name = "cut transfers " + " <- ".join(kinds)
        if given.only in name:
            _told(name, cut_transfers(kinds, given.seconds, given.seed))
    for kinds in PAIRS:
        name = "faults " + " <- ".join(kinds)
        if given.only in name:
            _told(name, kill_and_stop(kinds, given.seconds, given.seed))


if __name__ == "__main__":
    main()
