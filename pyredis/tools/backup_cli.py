"""``pyredis backup``: create, list, verify and restore backups. See ``backup.py`` for how."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

from pyredis.tools.backup import Backup, Maker, backups, open_backup, restore, rotate, verify
from pyredis.tools.client import Client, Target, is_listening
from pyredis.tools.console import ToolError, human

_DESCRIPTION = """\
Copy the data of a running node to a folder, look after such copies, and put them back.

  pyredis backup create --port 6379 /backups --keep 7
  pyredis backup list /backups
  pyredis backup verify /backups/2026-11-22T101500Z
  pyredis backup restore /backups/2026-11-22T101500Z --to /var/lib/redis
"""


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        program, description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)

    create = commands.add_parser("create", help="make a backup of a running node")
    create.add_argument("folder", help="where backups are kept; each gets a folder inside")
    create.add_argument("--host", "-H", default="127.0.0.1")
    create.add_argument("--port", "-p", type=_port, default=6379)
    create.add_argument("--socket", default="", help="path of a Unix socket")
    create.add_argument("--user", default="")
    create.add_argument(
        "--pass", dest="password", default="", help="better in the environment: REDISCLI_AUTH"
    )
    create.add_argument("--tls", action="store_true")
    create.add_argument("--cacert", default="")
    create.add_argument("--cert", default="")
    create.add_argument("--key", default="")
    create.add_argument("--insecure", action="store_true", help="do not verify the certificate")
    create.add_argument(
        "--over-wire",
        action="store_true",
        help="have the node send its data as to a replica: no access to its folder is needed, and "
        "there is no append-only file in the backup",
    )
    create.add_argument("--data-dir", default="", help="the node's folder as it is seen from here")
    create.add_argument(
        "--keep", type=_positive, default=0, metavar="N", help="remove all but the newest N backups"
    )
    create.add_argument(
        "--timeout",
        type=_positive,
        default=3600,
        metavar="SECONDS",
        help="how long to wait for a save (3600)",
    )

    listing = commands.add_parser("list", help="the backups in a folder")
    listing.add_argument("folder")

    verifying = commands.add_parser("verify", help="is a backup whole and sound?")
    verifying.add_argument("backup")

    restoring = commands.add_parser("restore", help="put a backup into a node's folder")
    restoring.add_argument("backup")
    restoring.add_argument("--to", required=True, metavar="FOLDER", help="the node's folder (dir)")
    restoring.add_argument("--force", action="store_true", help="move what is there aside")
    restoring.add_argument(
        "--make-aof",
        action="store_true",
        help="if the backup has no append-only file, make one: for a node with appendonly yes, "
        "which would not look at the snapshot",
    )
    restoring.add_argument("--host", default="127.0.0.1")
    restoring.add_argument(
        "--port", type=_port, help="where a node of that folder would listen (that of the backup)"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or len(text) > 9 or not int(text):
        raise argparse.ArgumentTypeError("expected a number from 1 on")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text[:6]) < 1 << 16:
        raise argparse.ArgumentTypeError("expected a port, 1 to 65535")
    return int(text)


def main(arguments: list[str], program: str = "pyredis backup") -> int:
    """Entry point; returns the exit status."""
    options = _parser(program).parse_args(arguments)
    run = {"create": _create, "list": _list, "verify": _verify, "restore": _restore}
    run[options.command](options)
    return 0


def _create(options: argparse.Namespace) -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # settings are put back
    target = Target(
        options.host,
        options.port,
        options.socket,
        options.user,
        options.password or os.environ.get("REDISCLI_AUTH", ""),
        options.tls,
        options.cacert,
        options.cert,
        options.key,
        options.insecure,
    )
    client = Client(target)
    try:
        maker = Maker(client, options.folder, options.data_dir, options.timeout, _say)
        backup = maker.make(options.over_wire)
    finally:
        client.close()
    print(f"Backup {backup.path}: {_size(backup)}")
    if options.keep:
        for name in rotate(options.folder, options.keep):
            print(f"Removed {name}")


def _list(options: argparse.Namespace) -> None:
    found = backups(options.folder)
    if not found:
        print(f"{options.folder} holds no backups", file=sys.stderr)
    for backup in found:
        listing = backup.listing
        made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(listing["created_s"]))
        what = "RDB and AOF" if backup.has_aof else "RDB"
        node = listing["node"]
        print(f"{backup.name}  {made}  {_size(backup):>8}  {what:<11}  {node['address']}")


def _verify(options: argparse.Namespace) -> None:
    backup = open_backup(options.backup)
    verify(backup, _say)
    print(f"{backup.name} is whole")


def _restore(options: argparse.Namespace) -> None:
    backup = open_backup(options.backup)
    port = options.port or backup.listing["node"]["port"]
    if port and is_listening(Target(options.host, port)):
        raise ToolError(
            f"A node listens at {options.host}:{port}: stop it first, or it will overwrite what is "
            "restored. If its folder is another one, say with --port where a node of "
            f"{options.to} would listen."
        )
    restore(backup, options.to, options.force, options.make_aof, _say)
    print(f"Restored {backup.name} to {os.path.abspath(options.to)}")
    if backup.has_aof or options.make_aof:
        print("Start the node with appendonly yes; with appendonly no it takes dump.rdb instead.")
    else:
        print(
            "Start the node with appendonly no: with yes it does not look at dump.rdb and starts "
            "empty (or restore with --make-aof)."
        )


def _size(backup: Backup) -> str:
    return human(sum(file.size for file in backup.files))


def _say(text: str) -> None:
    print(text, flush=True)
