"""Replication between real processes: ours and redis-server, in both roles.

Longer: python -m tests.replication_soak --seconds 60
"""

from __future__ import annotations

import itertools
import random
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trustme

from pyredis.net.connection import Connection
from pyredis.net.server import bundle_output
from pyredis.session import Address
from tests.support import REDIS_SERVER, free_port, new_engine
from tests.world import HOST, Load, Server, World, wait_until

pytestmark = pytest.mark.skipif(REDIS_SERVER is None, reason="redis-server is not installed")

DIRECTIONS = [("ours", "real"), ("real", "ours")]
PAIRS = pytest.mark.parametrize("kinds", DIRECTIONS, ids=lambda kinds: " from ".join(kinds[::-1]))


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    """One server of each kind for all tests that do them no lasting harm."""
    world = World()
    world.start("ours")
    world.start("real")
    yield world
    world.close()


@pytest.fixture
def world() -> Iterator[World]:
    """Servers that may come to harm."""
    world = World()
    yield world
    world.close()


@pytest.fixture
def pair(shared: World, kinds: tuple[str, str]) -> tuple[Server, Server]:
    """The two, alone and empty: who is to be primary first."""
    by_kind = {each.kind: each for each in shared.servers}
    for each in shared.servers:
        each("REPLICAOF", "NO", "ONE")
        each("FLUSHALL")
        each("FUNCTION", "FLUSH")
        each("CONFIG", "SET", "repl-diskless-sync", "yes", "repl-diskless-load", "disabled")
        each("CONFIG", "RESETSTAT")
    return by_kind[kinds[0]], by_kind[kinds[1]]


def full_and_partial(*servers: Server) -> tuple[int, int]:
    """How many copies of both kinds they have sent."""
    stats = [each.info("stats") for each in servers]
    return (
        sum(int(each["sync_full"]) for each in stats),
        sum(int(each["sync_partial_ok"]) for each in stats),
    )


@PAIRS
@pytest.mark.parametrize("send", ["yes", "no"])
@pytest.mark.parametrize("load", ["disabled", "swapdb"])
def test_a_full_copy(pair: tuple[Server, Server], shared: World, send: str, load: str) -> None:
    primary, replica = pair
    primary("CONFIG", "SET", "repl-diskless-sync", send)
    replica("CONFIG", "SET", "repl-diskless-load", load)
    Load(primary).some(400)
    replica("SET", "old", "1")
    replica.follow(primary)
    shared.wait_in_sync(primary, replica)
    assert replica("EXISTS", "old") == 0


@PAIRS
def test_links_are_cut_under_load(pair: tuple[Server, Server], shared: World) -> None:
    primary, replica = pair
    replica.follow(primary)
    shared.wait_links(replica)
    load = Load(primary)
    for turn in range(2):
        load.run(0.4)
        if turn % 2:
            primary("CLIENT", "KILL", "TYPE", "replica")
        else:
            replica("CLIENT", "KILL", "TYPE", "master")
    load.run(0.3)
    shared.wait_in_sync(primary, replica)
    full, partly = full_and_partial(primary)
    assert full <= 1, "none, if they have a history in common already"
    assert full + partly >= 2


@PAIRS
def test_a_transfer_cut_at_random_points(pair: tuple[Server, Server], shared: World) -> None:
    primary, replica = pair
    for number in range(30):
        primary("SET", f"big{number}", random.Random(number).randbytes(30_000))
    replica("SET", "old", "1")
    old = replica.digest()
    proxy = shared.proxy(primary)
    rng = random.Random(5)
    proxy.cut_after = rng.randrange(200, 900_000)
    replica.follow(proxy)
    wait_until(lambda: proxy.cut_after is None)
    if replica.kind == "ours":
        wait_until(lambda: "LOADING" not in str(replica("GET", "old")))
        assert replica.digest() == old or replica.link_up, "old data or new ones"
    shared.wait_in_sync(primary, replica)
    replica("REPLICAOF", "NO", "ONE")


@PAIRS
def test_promotion_and_the_way_back_are_partial(pair: tuple[Server, Server], shared: World) -> None:
    primary, replica = pair
    replica.follow(primary)
    Load(primary).some(100)
    shared.wait_in_sync(primary, replica)
    replica("REPLICAOF", "NO", "ONE")
    Load(replica, 2).some(100)
    primary.follow(replica)
    shared.wait_in_sync(replica, primary)
    primary("REPLICAOF", "NO", "ONE")
    Load(primary, 3).some(100)
    replica.follow(primary)
    shared.wait_in_sync(primary, replica)
    full, partly = full_and_partial(primary, replica)
    assert full <= 1
    assert full + partly == 3


@PAIRS
def test_failover(pair: tuple[Server, Server], shared: World) -> None:
    primary, replica = pair
    replica.follow(primary)
    Load(primary).some(100)
    shared.wait_in_sync(primary, replica)
    assert primary("FAILOVER", "TO", HOST, replica.port, "TIMEOUT", 10_000) == b"OK"
    wait_until(lambda: primary.info()["role"] == "slave" and primary.link_up, 15, shared.story)
    assert replica.info()["role"] == "master"
    assert primary.info()["master_failover_state"] == "no-failover"
    Load(replica, 2).some(100)
    shared.wait_in_sync(replica, primary)
    full, partly = full_and_partial(primary, replica)
    assert full <= 1
    assert full + partly == 2


@PAIRS
def test_wait(pair: tuple[Server, Server], shared: World) -> None:
    primary, replica = pair
    replica.follow(primary)
    shared.wait_in_sync(primary, replica)
    began = time.monotonic()
    for number in range(5):
        primary("SET", "a", number)
        assert primary("WAIT", 1, 5000) == 1
    assert time.monotonic() - began < 1, "nobody waited for the next second"
    with replica.stopped():
        primary("SET", "a", 1)
        assert primary("WAIT", 1, 100) == 0


@PAIRS
def test_expiry_is_the_primarys(pair: tuple[Server, Server], shared: World) -> None:
    primary, replica = pair
    replica.follow(primary)
    shared.wait_in_sync(primary, replica)
    primary("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    primary("SET", "a", "1", "PX", 50)
    wait_until(lambda: primary("WAIT", 1, 1000) == 1)
    wait_until(lambda: replica("GET", "a") is None)
    assert replica("DBSIZE") == 1
    primary("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    wait_until(lambda: replica("DBSIZE") == 0)
    shared.wait_in_sync(primary, replica)


@PAIRS
def test_another_primary_while_the_copy_is_on_its_way(
    pair: tuple[Server, Server], shared: World
) -> None:
    primary, replica = pair
    Load(primary).some(200)
    for _ in range(5):
        replica("REPLICAOF", HOST, 1)
        replica.follow(primary)
    replica("REPLICAOF", "localhost", primary.port)
    shared.wait_in_sync(primary, replica)


INFO_VARIES = {
    *("master_replid", "master_replid2", "master_port", "slave0", "master_repl_offset"),
    *("second_repl_offset", "repl_backlog_first_byte_offset", "repl_backlog_histlen"),
    *("slave_repl_offset", "slave_read_repl_offset", "master_last_io_seconds_ago"),
}


def comparable(server: Server) -> dict[str, str]:
    """INFO replication with what differs by nature taken out."""
    info = server.info()
    if "slave0" in info:
        info["slave0 fields"] = " ".join(
            each.partition("=")[0] for each in info["slave0"].split(",")
        )
        assert f"ip={HOST}" in info["slave0"]
        assert "state=online" in info["slave0"]
    order = " ".join(info)
    return {name: value for name, value in info.items() if name not in INFO_VARIES} | {
        "order": order
    }


def test_info_field_by_field(shared: World) -> None:
    """Ours under real, and real under ours: each beside the other in the same position."""
    seen: dict[tuple[str, str], dict[str, str]] = {}
    ours, real = shared.servers
    for primary, replica in ((ours, real), (real, ours)):
        for each in shared.servers:
            each("REPLICAOF", "NO", "ONE")
            each("CONFIG", "SET", "min-replicas-to-write", "0")
        primary("CONFIG", "SET", "min-replicas-to-write", "1")
        replica.follow(primary)
        shared.wait_in_sync(primary, replica)
        seen["primary", primary.kind] = comparable(primary)
        seen["replica", replica.kind] = comparable(replica)
        replica("REPLICAOF", HOST, 1)
        seen["orphan", replica.kind] = comparable(replica)
        seen["alone", primary.kind] = comparable(primary)
        primary("CONFIG", "SET", "min-replicas-to-write", "0")
        replica("REPLICAOF", "NO", "ONE")
    for part in ("primary", "replica", "orphan", "alone"):
        assert seen[part, "ours"] == seen[part, "real"], part


@PAIRS
def test_client_lines_and_role(pair: tuple[Server, Server], shared: World) -> None:
    primary, replica = pair
    replica.follow(primary)
    shared.wait_in_sync(primary, replica)
    role, own = primary("ROLE"), replica("ROLE")
    assert role[0] == b"master"
    assert role[2][0][:2] == [HOST.encode(), b"%d" % replica.port]
    assert own[:4] == [b"slave", HOST.encode(), primary.port, b"connected"]
    assert b" flags=S " in primary("CLIENT", "LIST", "TYPE", "replica")
    line = replica("CLIENT", "LIST", "TYPE", "master")
    assert b" flags=M " in line
    assert re.search(rb" addr=127.0.0.1:%d laddr=127.0.0.1:\d+ fd=\d+ " % primary.port, line)


# Tools that are replicas for a while


def same_data(one: Server, other: Server) -> bool:
    return one.digest() == other.digest()


def cli(server: Server, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["redis-cli", "-p", str(server.port), *words], capture_output=True, timeout=20, check=False
    )


def test_redis_cli_takes_a_snapshot(world: World, tmp_path: Path) -> None:
    ours = world.start("ours")
    Load(ours).some(200)
    code = "#!lua name=lib\nredis.register_function('f', function() return 1 end)"
    ours("FUNCTION", "LOAD", "REPLACE", code)
    for number, sends in enumerate(("yes", "no")):
        ours("CONFIG", "SET", "repl-diskless-sync", sends)
        folder = tmp_path / str(number)
        folder.mkdir()
        assert cli(ours, "--rdb", str(folder / "dump.rdb")).returncode == 0
        reader = Server("real", folder=str(folder))
        world.servers.append(reader)
        assert reader("FUNCTION", "LIST") == ours("FUNCTION", "LIST")
        # The load's keys live for half a second at most, if they have a time to live.
        wait_until(partial(same_data, ours, reader))
        assert cli(ours, "--functions-rdb", str(folder / "functions.rdb")).returncode == 0
        file = (folder / "functions.rdb").read_bytes()
        assert b"register_function" in file
        assert len(file) < 1000


def test_redis_cli_listens(world: World) -> None:
    ours = world.start("ours")
    ours("SET", "before", "1")
    process = subprocess.Popen(
        ["redis-cli", "-p", str(ours.port), "--replica"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: "state=online" in ours.info().get("slave0", ""))
        ours("SET", "heard", "1")
        assert process.stdout is not None
        while b"heard" not in (line := process.stdout.readline()):
            assert line
    finally:
        process.kill()
        process.communicate()


# Servers that come to harm


@PAIRS
def test_kill_and_stop(world: World, kinds: tuple[str, str]) -> None:
    primary, replica = (world.start(kind, "--save", "3600 1") for kind in kinds)
    replica.follow(primary)
    load = Load(primary)
    load.some(200)
    world.wait_in_sync(primary, replica)
    with replica.stopped():
        load.some(200)
    replica.kill()
    load.some(100)
    replica.start("--replicaof", f"{HOST} {primary.port}")
    world.wait_in_sync(primary, replica)
    primary("SAVE")
    primary.kill()
    primary.start()
    load.some(100)
    world.wait_in_sync(primary, replica)
    assert full_and_partial(primary) == (0, 1), "its file tells the history"


def test_a_chain_of_both_kinds(world: World) -> None:
    nodes = [world.start(kind) for kind in ("ours", "real", "ours", "real")]
    for above, below in itertools.pairwise(nodes):
        below.follow(above)
        world.wait_links(below)
    load = Load(nodes[0])
    load.some(300)
    nodes[0]("CLIENT", "KILL", "TYPE", "replica")
    load.some(100)
    world.wait_in_sync(nodes[0], *nodes[1:])
    assert full_and_partial(*nodes) == (3, 1)
    nodes[0].kill()
    nodes[1]("REPLICAOF", "NO", "ONE")
    Load(nodes[1], 2).some(100)
    world.wait_in_sync(nodes[1], *nodes[2:])
    assert full_and_partial(*nodes[1:])[0] == 2


@PAIRS
def test_the_stream_waits_with_the_primary_while_a_snapshot_is_loaded(
    world: World, kinds: tuple[str, str]
) -> None:
    primary = world.start(kinds[0], "--client-output-buffer-limit", "replica 0 0 0")
    replica = world.start("ours", "--loading-process-events-interval-bytes", "4096")
    primary("CONFIG", "SET", "repl-diskless-sync", "no")
    Load(primary, expires=False).some(2000)
    replica("CONFIG", "SET", "key-load-delay", "5000")
    replica.follow(primary)
    wait_until(lambda: replica.info("persistence")["loading"] == "1", 10, world.story)
    for _ in range(60):
        primary("SET", "big", b"x" * 500_000)
    waiting = re.search(rb" omem=(\d+)", primary("CLIENT", "LIST", "TYPE", "replica"))
    assert waiting is not None
    assert int(waiting[1]) > 10_000_000, "the kernel takes some, and the replica one read"
    assert replica.info("persistence")["loading"] == "1"
    replica("CONFIG", "SET", "key-load-delay", "0")
    world.wait_in_sync(primary, replica)
    assert full_and_partial(primary) == (1, 0)


@PAIRS
def test_passwords(world: World, kinds: tuple[str, str]) -> None:
    primary, replica = (world.start(kind) for kind in kinds)
    primary("ACL", "SETUSER", "follower", "on", ">secret", "+psync", "+replconf", "+ping")
    primary("ACL", "SETUSER", "default", "off")
    replica.follow(primary)
    wait_until(lambda: "NOAUTH" in replica.log)
    assert not replica.link_up
    replica("CONFIG", "SET", "masteruser", "follower", "masterauth", "wrong")
    wait_until(lambda: "Unable to AUTH to MASTER" in replica.log)
    assert not replica.link_up
    replica("CONFIG", "SET", "masterauth", "secret")
    world.wait_links(replica)


@PAIRS
def test_tls(world: World, kinds: tuple[str, str], tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("node.example", HOST)
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    options = (
        *("--tls-ca-cert-file", str(tmp_path / "ca.pem"), "--tls-replication", "yes"),
        *("--tls-cert-file", str(tmp_path / "cert.pem")),
        *("--tls-key-file", str(tmp_path / "cert.pem")),
    )
    ports = [free_port(), free_port()]
    primary, replica = (
        world.start(kind, *options, "--tls-port", str(port))
        for kind, port in zip(kinds, ports, strict=True)
    )
    Load(primary).some(100)
    replica("REPLICAOF", HOST, ports[0])
    world.wait_links(replica)
    Load(primary).some(100)
    world.wait_in_sync(primary, replica)
    assert f"port={ports[1]}" in primary.info()["slave0"]


def test_output_for_a_replica_is_bundled() -> None:
    with socket.create_server((HOST, 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        engine, _ = new_engine()
        session = engine.connect(Address(f"{HOST}:1", f"{HOST}:2"))
        session.wire = Connection(sock, session)
        bundle_output(session)
        assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.close()
