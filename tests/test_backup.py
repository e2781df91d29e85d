"""Backups of running nodes: made, verified, rotated, restored."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from pyredis.tools.backup import LISTING, backups
from pyredis.tools.check_aof import AOF_FOLDER
from pyredis.tools.cli import main
from tests.support import Node, RealRedis, WireClient, free_port


@pytest.fixture
def real() -> Iterator[RealRedis]:
    node = RealRedis(
        "--appendonly", "yes", "--dbfilename", "data.rdb", "--appendfilename", "my.aof"
    )
    yield node
    node.close()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def run(*arguments: object) -> int:
    return main(["backup", *map(str, arguments)])


def fill(client: WireClient) -> bytes:
    """Some data; returns their digest."""
    for number in range(100):
        client("SET", f"key:{number}", "value" * number)
    client("RPUSH", "list", *range(50))
    client("HSET", "hash", "f", "v")
    client("EXPIRE", "hash", 1000)
    digest: bytes = client("DEBUG", "DIGEST")
    return digest


def only(store: Path) -> str:
    found = backups(str(store))
    assert len(found) == 1
    return found[0].path


def test_a_real_node_with_aof_there_and_back(
    real: RealRedis, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = real.client()
    digest = fill(client)
    client("CONFIG", "SET", "auto-aof-rewrite-percentage", "77")
    assert run("create", store, "--port", real.port) == 0
    assert client("CONFIG", "GET", "auto-aof-rewrite-percentage")[1] == b"77"
    assert client("CONFIG", "GET", "appendonly")[1] == b"yes"
    path = only(store)
    assert sorted(os.listdir(path)) == [AOF_FOLDER, LISTING, "dump.rdb"]
    assert run("verify", path) == 0
    assert "dump.rdb: 102 keys" in capsys.readouterr().out
    assert run("list", store) == 0
    assert "RDB and AOF" in capsys.readouterr().out

    folder = tmp_path / "new"
    assert run("restore", path, "--to", folder) == 1, "the node is still there"
    assert "A node listens" in capsys.readouterr().err
    assert not folder.exists()
    real.process.kill()
    real.process.wait()
    assert run("restore", path, "--to", folder) == 0
    assert sorted(os.listdir(folder)) == [AOF_FOLDER, "data.rdb"]
    assert "my.aof.manifest" in os.listdir(folder / AOF_FOLDER)
    for options in (("--appendonly", "yes"), ("--appendonly", "no")):
        again = started(folder, *options, "--dbfilename", "data.rdb", "--appendfilename", "my.aof")
        try:
            assert again.client()("DEBUG", "DIGEST") == digest
        finally:
            again.process.kill()
            again.process.wait()


def started(folder: Path, *options: str) -> RealRedis:
    """A real node with its data in a folder; it has loaded them."""
    node = RealRedis(*options, "--dir", str(folder))
    while b"loading:1" in node.client()("INFO", "persistence"):
        pass
    return node


def test_our_node(node: Node, store: Path, tmp_path: Path) -> None:
    client = node.client()
    digest = fill(client)
    assert run("create", store, "--port", node.port) == 0
    folder = tmp_path / "new"
    assert run("restore", only(store), "--to", folder, "--port", free_port()) == 0
    again = started(folder)
    try:
        assert again.client()("DEBUG", "DIGEST") == digest
    finally:
        again.close()


def test_over_the_wire(real: RealRedis, store: Path, tmp_path: Path) -> None:
    digest = fill(real.client())
    for diskless in (b"yes", b"no"):
        real.client()("CONFIG", "SET", "repl-diskless-sync", diskless)
        real.client()("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        shutil.rmtree(store, ignore_errors=True)
        assert run("create", store, "--port", real.port, "--over-wire") == 0
        assert sorted(os.listdir(only(store))) == [LISTING, "dump.rdb"]
    folder = tmp_path / "new"
    port = free_port()
    assert run("restore", only(store), "--to", folder, "--make-aof", "--port", port) == 0
    again = started(folder, "--appendonly", "yes")
    try:
        assert again.client()("DEBUG", "DIGEST") == digest
    finally:
        again.close()


def test_rotation_and_names(node: Node, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (store / "something-else").mkdir(parents=True)
    for _ in range(3):
        assert run("create", store, "--port", node.port, "--keep", 2) == 0
    names = [backup.name for backup in backups(str(store))]
    assert len(names) == 2
    assert capsys.readouterr().out.count("Removed ") == 1
    assert {"something-else", *names} == set(os.listdir(store)), "nothing else is touched"


def test_damage_is_found(node: Node, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(node.client())
    assert run("create", store, "--port", node.port) == 0
    path = Path(only(store))
    data = (path / "dump.rdb").read_bytes()
    (path / "dump.rdb").write_bytes(data[:50] + b"x" + data[51:])
    assert run("verify", path) == 1
    assert "is not what was backed up" in capsys.readouterr().err
    assert run("restore", path, "--to", store / "new", "--port", free_port()) == 1
    assert not (store / "new").exists()
    (path / "dump.rdb").unlink()
    assert run("verify", path) == 1
    (path / LISTING).write_text("{")
    assert run("verify", path) == 1
    assert "backup.json is damaged" in capsys.readouterr().err


def test_restore_does_not_overwrite(
    node: Node, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("create", store, "--port", node.port) == 0
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "dump.rdb").write_bytes(b"precious")
    to = ("restore", only(store), "--to", folder, "--port", free_port())
    assert run(*to) == 1
    assert "holds data already (dump.rdb)" in capsys.readouterr().err
    assert (folder / "dump.rdb").read_bytes() == b"precious"
    assert run(*to, "--force") == 0
    aside = next(folder.glob("before-restore-*"))
    assert (aside / "dump.rdb").read_bytes() == b"precious"
    assert (folder / "dump.rdb").read_bytes()[:5] == b"REDIS"


def test_a_failure_leaves_nothing_behind(
    real: RealRedis, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = real.client()
    client("CONFIG", "SET", "auto-aof-rewrite-percentage", "42")
    manifest = Path(real.folder) / AOF_FOLDER / "my.aof.manifest"
    manifest.write_text("nonsense\n")
    assert run("create", store, "--port", real.port) == 1
    assert client("CONFIG", "GET", "auto-aof-rewrite-percentage")[1] == b"42"
    assert os.listdir(store) == []
    assert run("create", store, "--port", real.port, "--data-dir", store) == 1
    assert "give it with --data-dir" in capsys.readouterr().err
    assert run("create", store, "--port", free_port()) == 1
    assert "Could not connect to Redis at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: command"),
        (["create", "x", "--port", "99999"], "expected a port, 1 to 65535"),
        (["create", "x", "--port", "-1"], "expected a port, 1 to 65535"),
        (["create", "x", "--keep", "0"], "expected a number from 1 on"),
        (["create", "x", "--timeout", "nan"], "expected a number from 1 on"),
        (["restore", "x"], "the following arguments are required: --to"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["backup", *arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n", b":x\r\n", b"*\r\n"])
def test_what_is_no_redis(reply: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            with listener.accept()[0] as link:
                link.recv(1000)
                link.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        assert main(["backup", "create", "x", "--port", str(port)]) == 1
        thread.join()
    first = reply.decode().strip()
    assert capsys.readouterr().err == f"127.0.0.1:{port}: this is no Redis: {first}\n"


def test_a_password(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = RealRedis("--requirepass", "secret")
    try:
        assert run("create", store, "--port", node.port) == 1
        assert run("create", store, "--port", node.port, "--pass", "secret") == 0
        monkeypatch.setenv("REDISCLI_AUTH", "secret")
        assert run("create", store, "--port", node.port, "--user", "default") == 0
    finally:
        node.close()


def test_the_last_file_is_copied_as_far_as_it_is_good(real: RealRedis, store: Path) -> None:
    client = real.client()
    fill(client)
    part = Path(real.folder) / AOF_FOLDER / "my.aof.1.incr.aof"
    size = part.stat().st_size
    with part.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$1\r\nx")
    assert run("create", store, "--port", real.port) == 0
    copied = Path(only(store)) / AOF_FOLDER / "my.aof.1.incr.aof"
    assert copied.stat().st_size == size
    done = subprocess.run(
        ["redis-check-aof", copied.parent / "appendonly.aof.manifest"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0


def test_over_tls(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority, port = trustme.CA(), free_port()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    node = Node(
        "--tls-port", str(port), "--tls-cert-file", str(tmp_path / "both.pem"), "--tls-key-file",
        str(tmp_path / "both.pem"), "--tls-ca-cert-file", str(tmp_path / "ca.pem"),
    )  # fmt: skip
    names = {"--cert": "both.pem", "--key": "both.pem", "--cacert": "ca.pem"}
    files = [word for name, file in names.items() for word in (name, tmp_path / file)]
    try:
        assert run("create", store, "--port", port, "--tls") == 1
        assert "certificate verify failed" in capsys.readouterr().err
        assert run("create", store, "--port", port, "--tls", *files) == 0
        assert run("create", store, "--port", port, "--tls", "--insecure", *files[:4]) == 0
    finally:
        node.close()
