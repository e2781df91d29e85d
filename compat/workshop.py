"""What the checks with foreign programs share: servers, and a place outside the checkout.

Foreign programs (redis-py's test-suite, job queues, clients for Node.js) are installed from
their package registries into a cache folder, ``~/.cache/pyredis-compat`` or below
``XDG_CACHE_HOME``, each set in an environment of its own, and kept there: a second run starts
at once. Nothing of them is imported into this process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
OURS: Final = (sys.executable, "-m", "pyredis")
START_S: Final = 20.0
STOP_S: Final = 10.0
INSTALL_S: Final = 900.0


@dataclass(frozen=True)
class Server:
    """A server that accepted a connection."""

    name: str
    port: int
    process: subprocess.Popen[bytes]


def reference_command() -> tuple[str, ...]:
    """How the real redis-server is started. Raises FileNotFoundError without one."""
    path = shutil.which("redis-server")
    if path is None:
        raise FileNotFoundError("redis-server is not installed")
    return (path,)


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does: what it started is stopped first."""

    def end(number: int, frame: object) -> None:
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)  # the way out is not to be interrupted
        sys.exit(128 + number)

    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, end)


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(name: str, command: Sequence[str], *options: str) -> Iterator[Server]:
    """A server on a free port with a folder of its own; both are gone at the end.

    Raises RuntimeError, with what the server printed, if it does not come up.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="compat-") as folder:
        output = Path(folder, "output")
        with output.open("wb") as sink:
            process = subprocess.Popen(
                [*command, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                 "--dir", folder, *options],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
                env={**os.environ, "TZ": "UTC"},
            )  # fmt: skip
        try:
            if not _listens(process, port):
                said = output.read_text("utf-8", "replace")[-2000:]
                raise RuntimeError(f"{name} did not start:\n{said}")
            yield Server(name, port, process)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        time.sleep(0.02)
    return False


def cache() -> Path:
    """The folder for what is downloaded; it exists afterwards."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "pyredis-compat")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def python_environment(name: str, packages: Sequence[str]) -> Path:
    """The interpreter of a virtual environment with these packages.

    It is made anew when the list has changed. Raises subprocess.CalledProcessError.
    """
    folder = cache() / name
    python = folder / "bin" / "python"
    if _is_made(folder, packages):
        return python
    run([sys.executable, "-m", "venv", "--clear", str(folder)])
    run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    _mark_made(folder, packages)
    return python


def node_environment(name: str, packages: Sequence[str]) -> Path:
    """A folder whose ``node_modules`` has these npm packages.

    It is made anew when the list has changed. Raises subprocess.CalledProcessError, or
    FileNotFoundError without npm.
    """
    folder = cache() / name
    if _is_made(folder, packages):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "package.json").write_text('{"private": true}\n')
    run(["npm", "install", "--silent", "--no-audit", "--no-fund", *packages], folder)
    _mark_made(folder, packages)
    return folder


def run(command: Sequence[str], folder: Path | None = None) -> None:
    """Run a step of an installation; its output goes to our standard error."""
    subprocess.run(command, cwd=folder, check=True, timeout=INSTALL_S, stdout=sys.stderr)


def _is_made(folder: Path, packages: Sequence[str]) -> bool:
    mark = folder / "made-of"
    return mark.exists() and mark.read_text().splitlines() == list(packages)


def _mark_made(folder: Path, packages: Sequence[str]) -> None:
    (folder / "made-of").write_text("\n".join(packages))
