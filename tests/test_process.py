"""The process as scripts and tools see it: arguments, start-up text, signals, files."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyredis.config import Config, ConfigError
from pyredis.process import OomScore
from tests.support import ROOT, Node, WireClient, free_port


@contextlib.contextmanager
def running(*options: str, stdin: bytes | None = None) -> Iterator[Node]:
    server = Node(*options, stdin=stdin)
    try:
        yield server
    finally:
        server.close()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyredis", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        check=False,
    )


def test_version_and_help() -> None:
    version = run("--version")
    assert version.returncode == 0
    assert version.stdout.startswith("Redis server v=7.")
    usage = run("--help")
    assert usage.returncode == 0
    assert "Usage: pyredis-server" in usage.stdout


def test_start_up_text() -> None:
    with running("--save", "") as node:
        for text in (
            f"PID: {node.process.pid}\n",
            "Running mode=standalone, port=",
            "Server initialized",
            "Ready to accept connections",
        ):
            assert node.log.count(text) == 1


def test_a_small_maxmemory_holds_data() -> None:
    with running("--save", "", "--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru") as node:
        client = node.client()
        for number in range(30):
            client("SETRANGE", f"k{number}", 100_000, "x")
        assert 10 < client("DBSIZE") < 20


def test_an_alarm_shows_the_stacks() -> None:
    with running("--save", "") as node:
        os.kill(node.process.pid, signal.SIGALRM)
        node.wait_for("Received SIGALRM")
        node.wait_for("most recent call first")
        assert node.client()("PING") == b"PONG"


def test_the_oom_score_follows_its_directives(tmp_path: Path) -> None:
    file, lines = tmp_path / "score", []
    file.write_text("7")
    config = Config()
    score = OomScore(config, lambda level, text: lines.append(text), str(file))
    assert score.apply(score.PRIMARY)
    assert file.read_text() == "7"
    config.set([("oom-score-adj-values", "10 20 -2000")])
    assert file.read_text() == "7", "not ours"
    config.set([("oom-score-adj", "yes")])
    assert file.read_text() == "17"
    assert score.apply(score.REPLICA)
    config.set([("oom-score-adj-values", "10 25 -2000")])
    assert file.read_text() == "32"
    config.set([("oom-score-adj", "absolute")])
    assert file.read_text() == "25"
    assert score.apply(score.CHILD)
    assert file.read_text() == "-1000"
    config.set([("oom-score-adj", "no")])
    assert file.read_text() == "7", "as it was"
    file.unlink()
    (tmp_path / "score").mkdir()
    with pytest.raises(ConfigError, match=r"Failed to set current oom_score_adj\. Check"):
        config.set([("oom-score-adj", "relative")])
    assert config.oom_score_adj == "no"
    assert lines == ["Unable to write oom_score_adj: Is a directory"]


def test_commands_are_renamed_and_removed(tmp_path: Path) -> None:
    conf = tmp_path / "redis.conf"
    conf.write_text('save ""\nrename-command GET fetch\nrename-command FLUSHALL ""\n')
    with running(str(conf)) as node:
        client = node.client()
        client("SET", "a", "1")
        assert client("Fetch", "a") == b"1"
        assert client("GET", "a").startswith(b"ERR unknown command 'GET'")
        assert client("FLUSHALL").startswith(b"ERR unknown command 'FLUSHALL'")
        assert client("COMMAND", "INFO", "get", "flushall") == [None, None]
        assert client("COMMAND", "INFO", "fetch")[0][0] == b"get"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("rename-command NOPE x", "No such command in rename-command"),
        ("rename-command GET set", "Target command name already exists"),
        ("loadmodule /x.so", "cannot be loaded"),
        ("cluster-enabled yes", "'cluster-enabled' is not part of this version"),
    ],
)
def test_what_cannot_be_done_is_refused_at_start(tmp_path: Path, line: str, reason: str) -> None:
    conf = tmp_path / "redis.conf"
    conf.write_text(f"{line}\n")
    end = run(str(conf), "--port", "0")
    assert end.returncode == 1
    assert reason in end.stderr


def test_config_file_stdin_and_arguments_in_order(tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text("maxmemory 1gb\ntimeout 7\n# a comment\ntcp-keepalive 11\n")
    with running(str(path), "--timeout", "9", "--maxmemory 700mb", "-", stdin=b"hz 50\n") as node:
        client = node.client()
        for name, value in (
            ("maxmemory", b"734003200"),
            ("timeout", b"9"),
            ("tcp-keepalive", b"11"),
            ("hz", b"50"),
        ):
            assert client("CONFIG", "GET", name)[1] == value


def test_a_bad_directive_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text("port 0\nno-such-thing 1\n")
    result = run(str(path))
    assert result.returncode == 1
    assert "*** FATAL CONFIG FILE ERROR" in result.stderr
    assert "at line 2" in result.stderr
    assert ">>> 'no-such-thing 1'" in result.stderr


def test_rewrite_keeps_the_file_and_adds_what_changed(tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text("# mine\ntimeout 3\n")
    with running(str(path), "--save", "") as node:
        client = node.client()
        assert client("CONFIG", "SET", "timeout", "5", "maxmemory", "5mb") == b"OK"
        assert client("CONFIG", "REWRITE") == b"OK"
    text = path.read_text()
    assert text.startswith("# mine\ntimeout 5\n")
    assert "maxmemory 5mb" in text


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signals_end_the_process_in_order(name: str) -> None:
    with running("--save", "") as node:
        node.process.send_signal(getattr(signal, name))
        assert node.finish() == 0
        assert f"{node.process.pid}:signal-handler (" in node.log
        assert f") Received {name} scheduling shutdown..." in node.log
        assert "ready to exit, bye bye" in node.log


def test_stop_and_continue_are_survived() -> None:
    with running("--save", "") as node:
        client = node.client()
        client("SET", "a", "1")
        node.process.send_signal(signal.SIGSTOP)
        client.send("GET", "a")
        node.process.send_signal(signal.SIGCONT)
        assert client.read() == b"1"


def test_shutdown_ends_the_process_without_a_reply() -> None:
    with running("--save", "") as node:
        client = node.client()
        client.send("SHUTDOWN", "NOSAVE")
        with pytest.raises(ConnectionError):
            client.read()
        with pytest.raises(ConnectionRefusedError):
            WireClient(node.port)
        assert node.finish() == 0


def test_log_file_relative_to_dir_and_pid_file(tmp_path: Path) -> None:
    with running(
        "--dir", str(tmp_path), "--pidfile", "node.pid", "--save", "", "--loglevel", "verbose"
    ) as node:
        pid_file = tmp_path / "node.pid"
        assert pid_file.read_text() == f"{node.process.pid}\n"
        node.process.send_signal(signal.SIGTERM)
        assert node.finish() == 0
        assert not pid_file.exists()


def test_daemonize(tmp_path: Path) -> None:
    port = free_port()
    result = run(
        "--port", str(port), "--daemonize", "yes", "--dir", str(tmp_path), "--logfile", "log",
        "--pidfile", str(tmp_path / "pid"), "--save", "", "--bind", "127.0.0.1",
    )  # fmt: skip
    assert result.returncode == 0
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError):
            client = WireClient(port)
            break
        assert time.monotonic() < deadline
    info = client("INFO", "server")
    pid = int((tmp_path / "pid").read_text())
    assert f"process_id:{pid}\r\n".encode() in info
    assert "Ready to accept connections" in (tmp_path / "log").read_text()
    client.send("SHUTDOWN", "NOSAVE")
    with pytest.raises(ConnectionError):
        client.read()


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        with running("--supervised", "systemd", "--save", ""):
            assert b"READY=1" in channel.recv(4096)


def test_a_crash_leaves_a_report_with_a_stack_trace(tmp_path: Path) -> None:
    with running("--save", "") as node:
        os.kill(node.process.pid, signal.SIGSEGV)
        assert node.finish() != 0
        assert "Segmentation fault" in node.log
        assert "serve" in node.log


def test_second_interrupt_kills_at_once() -> None:
    with running("--save", "", "--busy-reply-threshold", "10") as node:
        client = node.client()
        node.client().send("EVAL", "while true do end", "0")
        while not client("PING").startswith(b"BUSY"):
            pass  # it has not come to that yet
        # Two signals at once would be merged, so the second follows when the first was taken.
        while node.process.poll() is None:
            node.process.send_signal(signal.SIGINT)
        assert node.finish() == 1
        assert "You insist" in node.log


def test_a_second_interrupt_leaves_no_temporary_file() -> None:
    with running("--save", "900 1") as node:
        client = node.client()
        client("MSET", *(word for number in range(100) for word in (number, number)))
        client("CONFIG", "SET", "rdb-key-save-delay", 100_000)
        file = Path(node.folder, f"temp-{node.process.pid}.rdb")
        node.process.send_signal(signal.SIGINT)
        while not file.exists():
            assert node.process.poll() is None
        node.process.send_signal(signal.SIGINT)
        assert node.finish() == 1
        assert not file.exists()


def test_an_interrupt_after_a_shutdown_was_called_off_is_a_first_one() -> None:
    with running("--save", "") as node:
        client, replica = node.client(), node.client()
        replica.send("PSYNC", "?", "-1")
        while client("ROLE")[2] == [] and b"slave" not in client("CLIENT", "LIST", "TYPE", "slave"):
            pass
        client("SET", "a", "1")
        for _ in range(2):
            node.process.send_signal(signal.SIGINT)
            node.wait_for("Waiting for replicas before shutting down.")
            assert client("SHUTDOWN", "ABORT") == b"OK"
            node.log = ""
        assert client("PING") == b"PONG"
