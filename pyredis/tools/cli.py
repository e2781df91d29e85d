"""``pyredis``: one command for the server and its tools.

Under the name of one of Redis' own programs (a symbolic link, say) it behaves as that program.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from pyredis.tools.console import ToolError
from pyredis.version import VERSION

Main = Callable[[list[str], str], int]

USAGE: Final = """\
Usage: pyredis <command> [arguments]

  server      start a node; the same as pyredis-server
  check-rdb   check an RDB file and tell what is in it
  check-aof   check append-only files, and repair the last one
  rdb         look into an RDB file: as keys, JSON, or by memory
  backup      copy the data of a running node to a folder, and restore them
  lab         run scenarios of failing servers and networks in a simulator

pyredis <command> --help tells more of each.
"""


def _server(arguments: list[str], program: str) -> int:
    from pyredis.__main__ import main

    return main(arguments)


def _check_rdb(arguments: list[str], program: str) -> int:
    from pyredis.tools.check_rdb import main

    return main(arguments, program)


def _check_aof(arguments: list[str], program: str) -> int:
    from pyredis.tools.check_aof import main

    return main(arguments, program)


def _rdb(arguments: list[str], program: str) -> int:
    from pyredis.tools.rdb_view import main

    return main(arguments, program)


def _backup(arguments: list[str], program: str) -> int:
    from pyredis.tools.backup_cli import main

    return main(arguments, program)


def _lab(arguments: list[str], program: str) -> int:
    from pyredis.sim.cli import main

    return main(arguments, program)


COMMANDS: Final[dict[str, Main]] = {
    "server": _server,
    "check-rdb": _check_rdb,
    "check-aof": _check_aof,
    "rdb": _rdb,
    "backup": _backup,
    "lab": _lab,
}
NAMES: Final[dict[str, Main]] = {
    "redis-server": _server,
    "redis-check-rdb": _check_rdb,
    "redis-check-aof": _check_aof,
}


def main(arguments: Sequence[str] | None = None, name: str | None = None) -> int:
    """Entry point of the console script; returns the exit status.

    ``name`` is under which it was called, by default what the system says.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    called = os.path.basename(sys.argv[0] if name is None else name)
    program = NAMES.get(called)
    title = called
    if program is None:
        if words and words[0] in ("-v", "--version"):
            print(f"pyredis {VERSION}")
            return 0
        if not words or words[0] in ("-h", "--help", "help"):
            print(USAGE, end="")
            return 0 if words else 1
        program = COMMANDS.get(words[0])
        if program is None:
            print(f"pyredis: there is no command {words[0]!r}\n\n{USAGE}", end="", file=sys.stderr)
            return 2
        title = f"pyredis {words.pop(0)}"
    try:
        status = program(words, title)
        sys.stdout.flush()
        return status
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has gone, as "| head" does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
