"""Redis' own tools against a node: redis-benchmark's default tests and redis-cli's modes."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess

import pytest

from tests.support import Node

pytestmark = pytest.mark.skipif(
    shutil.which("redis-cli") is None or shutil.which("redis-benchmark") is None,
    reason="redis-tools are not installed",
)


def cli(node: Node, *arguments: str, stdin: str = "", timeout_s: float = 60) -> str:
    """What redis-cli prints; it must end well."""
    result = subprocess.run(
        ["redis-cli", "-p", str(node.port), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("pipeline", ["1", "16"])
def test_all_default_benchmarks_run_without_an_error(node: Node, pipeline: str) -> None:
    result = subprocess.run(
        ["redis-benchmark", "-p", str(node.port), "-n", "2000", "-P", pipeline, "--csv"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0
    assert "rror" not in result.stdout + result.stderr
    assert result.stdout.count("\n") >= 20
    assert b"unexpected_error_replies:0\r\n" in node.client()("INFO", "stats")
    assert b"total_error_replies:0\r\n" in node.client()("INFO", "stats")


def test_scanning_modes(node: Node) -> None:
    client = node.client()
    client("DEBUG", "POPULATE", 500, "key")
    client("RPUSH", "list", *range(30))
    client("ZADD", "zset", *[word for n in range(40) for word in (n, f"m{n}")])
    client("HSET", "hash", "f", "v")
    client("SADD", "set", "a", "b")
    client("XADD", "stream", "*", "f", "v")
    assert len(cli(node, "--scan").split()) == 505
    assert set(cli(node, "--scan", "--pattern", "?et").split()) == {"set"}
    for mode in ("--bigkeys", "--memkeys"):
        out = cli(node, mode)
        assert "Sampled 505 keys in the keyspace!" in out
        assert '"list"' in out
        assert '"zset"' in out


def test_measuring_modes(node: Node) -> None:
    assert "PONG" in cli(node, "ping")
    assert len(cli(node, "--latency", "-i", "1").split()) == 4
    with subprocess.Popen(
        ["redis-cli", "-p", str(node.port), "--stat", "-i", "0.1"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.kill()
    assert b"keys" in lines[1]
    assert lines[3].split()[0] == b"0"


def test_pipe_mode(node: Node) -> None:
    requests = "".join(f"SET key:{n} {n}\r\n" for n in range(5000))
    assert "errors: 0, replies: 5000" in cli(node, "--pipe", stdin=requests)
    assert node.client()("DBSIZE") == 5000


def test_interactive_mode(node: Node) -> None:
    """On a terminal of its own: prompt, completion data, RESP3, MULTI, an error, and goodbye."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        ["redis-cli", "-p", str(node.port)],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "dumb", "HOME": node.folder},
    )
    os.close(terminal)
    os.write(controller, b"SET a 1\nGET a\nHELLO 3\nMULTI\nINCR a\nEXEC\nNOPE\nhelp get\nquit\n")
    out = b""
    while True:
        try:
            piece = os.read(controller, 4096)
        except OSError:  # the other end has closed
            break
        out += piece
    assert process.wait(20) == 0
    os.close(controller)
    for text in (b"OK", b'"1"', b"proto", b"QUEUED", b"(integer) 2", b"ERR unknown command 'NOPE'"):
        assert text in out, out.decode()
