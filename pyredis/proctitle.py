"""The title under which process lists show the server: ``pyredis-server *:6379``.

Shell. On Linux the title of a process is whatever stands in the memory that its arguments
were handed over in; ``/proc/self/stat`` says where that is. Writing there changes what
``ps`` prints, up to the length of the arguments; longer titles are cut. The short name,
which ``pgrep`` and ``killall`` go by, is set by a call of its own. Elsewhere nothing
happens. (The idea is that of BSD's setproctitle; Redis uses it, too.)
"""

from __future__ import annotations

import ctypes
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyredis.config import Config

_PR_SET_NAME = 15
_NAME_MAX_BYTES = 15
_ARG_START = 45  # fields of /proc/self/stat behind the program's name
_ARG_END = 46


def title(config: Config, program: str, mode: str, config_file: str) -> str:
    """The text of ``proc-title-template`` with its variables filled in; ``{{`` is a brace.

    ``mode`` is the server's: standalone, sentinel or cluster.
    """
    port = config.port or config.tls_port
    host = config.bind[0].removeprefix("-") if config.bind else "*"
    values = {
        "title": program,
        "listen-addr": f"{host}:{port}" if port else config.unixsocket,
        "server-mode": "" if mode == "standalone" else f"[{mode}]",
        "port": str(config.port),
        "tls-port": str(config.tls_port),
        "unixsocket": config.unixsocket,
        "config-file": config_file,
    }
    filled = re.sub(
        r"\{\{|\{([a-z-]+)\}",
        lambda found: "{" if found[1] is None else values[found[1]],
        config.proc_title_template,
    )
    return filled.strip(" ")


def show(text: str) -> None:
    """Have process lists show this text. Failing to is no failure."""
    if sys.platform != "linux":
        return
    data = text.encode("utf-8", "surrogateescape")
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        libc = ctypes.CDLL(None)
    except (OSError, ValueError, IndexError):
        return
    size = end - start
    if start and size > 0:
        ctypes.memmove(start, data[: size - 1].ljust(size, b"\0"), size)
    name = data.split(b" ")[0].rpartition(b"/")[2][:_NAME_MAX_BYTES]
    libc.prctl(_PR_SET_NAME, ctypes.c_char_p(name), 0, 0, 0)
