"""What surrounds the server as a Unix process: signals, pid file, limits, daemon, supervisor.

Shell. The server must pass for redis-server with init scripts, systemd units and test
tools, so the texts that these look for are Redis' own.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING

from pyredis.config import ConfigError
from pyredis.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyredis.config import Config

    LogFn = Callable[[str, str], None]

_PR_SET_THP_DISABLE = 41
_OOM_SCORE = "/proc/self/oom_score_adj"

_RESERVED_FDS = 32
"""Descriptors kept for files, listeners and the loop itself."""


def daemonize() -> None:
    """Detach from the terminal: the parent ends, the child goes on in a session of its own."""
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)


def write_pid_file(path: str, log: Log) -> None:
    """Write our process id; a failure is only worth a line in the log."""
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
    except OSError as error:
        log("warning", f"Failed to write PID file: {error.strerror}")


def room_for_clients(wanted: int) -> int:
    """How many clients the limit on open files leaves room for, raised as far as it may be."""
    files = wanted + _RESERVED_FDS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= files:
        return wanted
    for limit in (files, hard):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            break
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(wanted, max(1, soft - _RESERVED_FDS))


def raise_open_files_limit(config: Config, log: Log) -> None:
    """Make room for ``maxclients`` descriptors, or lower ``maxclients`` to what there is."""
    wanted = config.maxclients
    room = room_for_clients(wanted)
    if room < wanted:
        log(
            "warning",
            f"You requested maxclients of {wanted} requiring at least {wanted + _RESERVED_FDS} "
            f"max file descriptors. Current maximum open files is {room + _RESERVED_FDS}. "
            f"maxclients has been reduced to {room} to compensate for low ulimit.",
        )
        config.maxclients = room


def check_maxclients(config: Config) -> None:
    """CONFIG SET maxclients. Raises ConfigError when there is no room for so many."""
    room = room_for_clients(config.maxclients)
    if room < config.maxclients:
        raise ConfigError(
            "The operating system is not able to handle the specified number of clients, "
            f"try with {room}"
        )


def tell_supervisor(state: str) -> None:
    """systemd's notification protocol: one datagram to the socket it named."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    if path.startswith("@"):
        path = "\0" + path[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
    ):
        channel.connect(path)
        channel.sendall(state.encode())


def is_supervised(mode: str) -> bool:
    """Whether ``supervised`` asks for notifications and somebody is there to get them."""
    if mode == "upstart":
        return bool(os.environ.get("UPSTART_JOB"))
    return mode in ("systemd", "auto") and bool(os.environ.get("NOTIFY_SOCKET"))


def stop_like_upstart() -> None:
    """upstart's ``expect stop``: it continues us once it has seen us stopped."""
    os.kill(os.getpid(), signal.SIGSTOP)


def report_crashes(wanted: bool, log: Log) -> None:
    """Have the interpreter write the stacks of all threads on a fatal signal, into the log."""
    if not wanted:
        faulthandler.disable()
        return
    target = sys.stderr
    if log.path:
        with contextlib.suppress(OSError):
            target = open(log.path, "a", encoding="utf-8")  # noqa: SIM115  kept open for the crash
    with contextlib.suppress(ValueError, OSError, AttributeError):
        faulthandler.enable(file=target, all_threads=True)


def show_stacks_on_alarm(log: Log) -> None:
    """Have SIGALRM write the stacks of all threads into the log; the server goes on."""

    def on_alarm(number: int, frame: object) -> None:
        log.from_signal("Received SIGALRM")
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if not log.path:
                faulthandler.dump_traceback(sys.stdout)
                return
            with open(log.path, "a", encoding="utf-8") as file:
                faulthandler.dump_traceback(file)

    signal.signal(signal.SIGALRM, on_alarm)


def disable_huge_pages() -> None:
    """disable-thp: huge pages make a fork's copies huge, too. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)


class OomScore:
    """oom-score-adj: how readily the kernel ends us when memory runs out.

    The values are for a primary, a replica, and a child. Relative ones are added to what stood
    there when the directive was switched on, which comes back when it is switched off.
    """

    PRIMARY, REPLICA, CHILD = 0, 1, 2

    def __init__(self, config: Config, log: LogFn, path: str = _OOM_SCORE) -> None:
        """Sets nothing yet; follows CONFIG SET from now on."""
        self._config = config
        self._log = log
        self._path = path
        self._base: int | None = None  # None while the score is not ours
        self._part = self.PRIMARY
        config.subscribe(("oom-score-adj", "oom-score-adj-values"), self._follow)

    def apply(self, part: int) -> bool:
        """Set the score for that part, from now on; whether that could be done. Logs if not."""
        config = self._config
        self._part = part
        try:
            if config.oom_score_adj == "no":
                if self._base is not None:
                    self._write(self._base)
                    self._base = None
                return True
            if self._base is None:
                with open(self._path) as file:
                    self._base = int(file.read())
            base = 0 if config.oom_score_adj == "absolute" else self._base
            self._write(max(-1000, min(1000, base + config.oom_score_adj_values[part])))
        except OSError as error:
            self._log("warning", f"Unable to write oom_score_adj: {error.strerror}")
            return False
        return True

    def _write(self, score: int) -> None:
        with open(self._path, "w") as file:
            file.write(str(score))

    def _follow(self) -> None:
        """CONFIG SET. Raises ConfigError."""
        if not self.apply(self._part):
            raise ConfigError("Failed to set current oom_score_adj. Check server logs.")
