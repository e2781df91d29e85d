"""The server's log, in the format that scripts already parse.

    12345:M 21 Nov 2026 10:00:00.123 * Ready to accept connections

Shell. Process id, role (M primary, S replica, X Sentinel, C child), local time, level
mark, text. Goes to standard output, or to the file named by ``logfile``, opened for each
line so that it can be rotated away at any time; to syslog as well when asked.
"""

from __future__ import annotations

import os
import sys
import syslog
import time
from typing import Final

LEVELS: Final = ("debug", "verbose", "notice", "warning", "nothing")
_MARKS: Final = {"debug": ".", "verbose": "-", "notice": "*", "warning": "#"}
_SYSLOG: Final = {
    "debug": syslog.LOG_DEBUG,
    "verbose": syslog.LOG_INFO,
    "notice": syslog.LOG_NOTICE,
    "warning": syslog.LOG_WARNING,
}


class Log:
    """Where log lines go. ``level`` and ``path`` may be changed at any time."""

    def __init__(self, level: str = "notice", path: str = "") -> None:
        self.level = level
        self.path = path
        self.role = "M"
        self.syslog = False

    def open_syslog(self, ident: str, facility: str) -> None:
        """Send every line to syslog, too."""
        number = getattr(syslog, f"LOG_{facility.upper()}", syslog.LOG_LOCAL0)
        syslog.openlog(ident, syslog.LOG_PID, number)
        self.syslog = True

    def __call__(self, level: str, text: str) -> None:
        """Write a line if its level is wanted. A full disk or a bad path is no reason to fail."""
        if LEVELS.index(level) < LEVELS.index(self.level):
            return
        now_ms = time.time_ns() // 1_000_000
        stamp = time.strftime("%d %b %Y %H:%M:%S", time.localtime(now_ms // 1000))
        self.raw(f"{os.getpid()}:{self.role} {stamp}.{now_ms % 1000:03} {_MARKS[level]} {text}\n")
        if self.syslog:
            syslog.syslog(_SYSLOG[level], text)

    def from_signal(self, text: str) -> None:
        """Write a warning in the form that Redis' signal handlers use."""
        if self.level != "nothing":
            self.raw(f"{os.getpid()}:signal-handler ({int(time.time())}) {text}\n")

    def raw(self, text: str) -> None:
        """Write text as it is, unbuffered."""
        data = text.encode("utf-8", "surrogateescape")
        try:
            if self.path:
                with open(self.path, "ab", buffering=0) as file:
                    file.write(data)
            else:
                sys.stdout.flush()
                os.write(1, data)
        except OSError:
            pass
