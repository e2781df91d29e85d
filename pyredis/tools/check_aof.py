"""``pyredis check-aof``: is an append-only file whole, what is in it, and where to cut it.

Takes a single file (with or without an RDB preamble), a manifest, the folder of a multi-part AOF,
or the node's folder around that. Every file is read command by command. What ends too early, has
an open MULTI or is filled up with zeros after a power loss is told with the offset up to which the
file is good; ``--fix`` cuts it there, the last file only: a hole in an earlier one would silently
undo commands that later ones build on. ``--truncate-to-timestamp`` goes back to a point in time,
as far as the file has timestamps (aof-timestamp-enabled).

Phrases that scripts look for, questions and exit status (0 good or made good, 1 not) are those
of redis-check-aof.
"""

from __future__ import annotations

import functools
import io
import os
import sys
import time
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pyredis.persistence.manifest import SUFFIX, ManifestError, decode
from pyredis.server import command_table
from pyredis.tools.aof_survey import AofSurvey
from pyredis.tools.check_rdb import check_stream
from pyredis.tools.console import (
    Arguments,
    Progress,
    ToolError,
    chunks,
    confirm,
    open_file,
    read,
    reason,
)

if TYPE_CHECKING:
    from pyredis.commands.registry import Table

_MAGIC = b"REDIS"
AOF_FOLDER = "appendonlydir"
_COMMANDS_SHOWN = 20
_MANIFEST_MAX_BYTES = 1 << 24


class Wish(NamedTuple):
    """What to do with a file that is not good, or is to be cut."""

    fix: bool = False
    yes: bool = False
    until_s: int | None = None
    quiet: bool = False


class Failed(Exception):
    """All has been said, and the exit status is 1."""


@functools.cache
def _table() -> Table:
    return command_table()


def check(path: str, wish: Wish) -> None:
    """Check whatever stands there. Raises ToolError, or Failed for what is not good."""
    if os.path.isdir(path):
        path = _manifest_in(path)
    file, _ = open_file(path)
    with file:
        head = read(file, 4096)
        if _is_manifest(path, head):
            _check_parts(path, head + read(file, _MANIFEST_MAX_BYTES), wish)
            return
    print("Start checking Old-Style AOF")
    _check_file(path, path, True, wish, "AOF")


def _manifest_in(folder: str) -> str:
    """The one manifest of a folder, or of the folder inside where a node keeps it."""
    found = _manifests(folder)
    if not found:
        with os.scandir(folder) as entries:
            inside = {entry.name: entry.path for entry in entries if entry.is_dir()}
        usual = [inside[AOF_FOLDER]] if AOF_FOLDER in inside else sorted(inside.values())
        found = [path for each in usual for path in _manifests(each)]
    if len(found) != 1:
        names = ": " + ", ".join(os.path.relpath(path, folder) for path in found) if found else ""
        raise ToolError(f"{folder}: one manifest (*{SUFFIX}) is wanted, found {len(found)}{names}")
    return found[0]


def _manifests(folder: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise ToolError(f"Cannot read folder {folder}: {reason(error)}") from error
    return [
        os.path.join(folder, name)
        for name in names
        if name.endswith(SUFFIX) and not name.startswith("temp-")
    ]


def _is_manifest(path: str, head: bytes) -> bool:
    lines = [line for line in head.split(b"\n") if not line.startswith(b"#")]
    return path.endswith(SUFFIX) or (bool(lines) and lines[0].startswith(b"file "))


def _check_parts(path: str, text: bytes, wish: Wish) -> None:
    print("Start checking Multi Part AOF")
    try:
        manifest = decode(text)
    except ManifestError as error:
        print(error)
        raise Failed from error
    folder = os.path.dirname(path)
    parts = manifest.parts
    for number, part in enumerate(parts):
        part_path = os.path.join(folder, part.name)
        last = number == len(parts) - 1
        if part is manifest.base:
            with open_file(part_path)[0] as file:
                form = "RDB" if read(file, len(_MAGIC)) == _MAGIC else "RESP"
            print(f"Start to check BASE AOF ({form} format).")
            _check_file(part_path, part.name, last, wish, "BASE AOF")
        else:
            if number == bool(manifest.base):
                print("Start to check INCR files.")
            _check_file(part_path, part.name, last, wish, "INCR AOF")
    print("All AOF files and manifest are valid")


def _check_file(path: str, name: str, last: bool, wish: Wish, kind: str) -> None:
    """Check one file; raises Failed if it is not good in the end."""
    file, size = open_file(path)
    if not size:
        file.close()
        print(f"{kind} {name} is empty")
        return
    with file:
        survey = _survey(file, size, name, wish)
    if survey.stop is not None:
        _truncate_to_time(path, name, survey, last, wish)
        return
    if survey.problem:
        _tell_problem(name, survey)
    if wish.until_s is not None and not survey.problem:
        print(f"Truncate nothing in AOF {name} to timestamp {wish.until_s}")
    else:
        print(
            f"AOF analyzed: filename={name}, size={size}, ok_up_to={survey.good}, "
            f"ok_up_to_line={survey.good_line}, diff={size - survey.good}"
        )
    if not wish.quiet:
        _tell_contents(survey)
    if not survey.problem:
        print(f"{kind} {name} is valid")
    elif not wish.fix:
        print(f"AOF {name} is not valid. Use the --fix option to try fixing it.")
        raise Failed
    else:
        _fix(path, name, size, survey.good, last, wish)


def _survey(file: BinaryIO, size: int, name: str, wish: Wish) -> AofSurvey:
    """Read a file, its RDB preamble included. Raises Failed if that is damaged."""
    head = read(file, len(_MAGIC))
    source: Iterator[bytes] = chain((head,), chunks(file))
    start = 0
    rest = b""
    if head == _MAGIC:
        check = check_stream(source, size, name, print, full=not wish.quiet)
        if check.error is not None:
            print("RDB preamble of AOF file is not sane, aborting.")
            raise Failed
        print("RDB preamble is OK, proceeding with AOF tail...")
        start, rest = check.reader.offset, check.reader.rest
    survey = AofSurvey(_table(), start, wish.until_s)
    progress = Progress(size)
    for chunk in chain((rest,), source):
        survey.feed(chunk)
        progress.show(survey.size, survey.keys)
        if survey.stop is not None:
            break
    progress.clear()
    survey.finish()
    return survey


def _tell_problem(name: str, survey: AofSurvey) -> None:
    print(f"0x{survey.problem_offset:>16x}: {survey.problem}")
    if survey.malformed:
        print(f"AOF {name} format error")
    if survey.zero_bytes:
        print(
            f"The last {survey.zero_bytes} bytes are zeros, as a power loss leaves them: "
            "no command is lost by cutting them."
        )
    elif survey.tail:
        print(f"There stands: {survey.tail!r}")


def _tell_contents(survey: AofSurvey) -> None:
    total = survey.commands.total()
    more = "at least " if survey.more_keys else ""
    print(f"[info] {total} commands, {more}{survey.keys} different keys")
    counted = survey.commands.most_common(_COMMANDS_SHOWN)
    if counted:
        print("[info] " + ", ".join(f"{name} {count}" for name, count in counted))
    if survey.first_s is not None and survey.last_s is not None:
        print(f"[info] timestamps from {_time(survey.first_s)} to {_time(survey.last_s)}")


def _time(time_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time_s)) + f" UTC ({time_s})"


def _fix(path: str, name: str, size: int, good: int, last: bool, wish: Wish) -> None:
    if not last:
        print(f"Failed to truncate AOF {name} because it is not the last file")
        raise Failed
    print(
        f"This will shrink the AOF {name} from {size} bytes, with {size - good} bytes, "
        f"to {good} bytes"
    )
    if not confirm("Continue?", wish.yes):
        print("Aborting...")
        raise Failed
    _truncate(path, good)
    print(f"Successfully truncated AOF {name}")


def _truncate_to_time(path: str, name: str, survey: AofSurvey, last: bool, wish: Wish) -> None:
    stop = survey.stop
    assert stop is not None
    if survey.multi_line:
        stop = survey.good  # a transaction is not cut in two
    if not stop:
        print(f"AOF {name} has nothing before timestamp {wish.until_s}, aborting...")
        raise Failed
    if not last:
        print(
            f"Failed to truncate AOF {name} to timestamp {wish.until_s} to offset {stop} because "
            "it is not the last file.\nIf you insist, please delete all files after this file "
            "according to the manifest file and delete the corresponding records in manifest file "
            "manually. Then re-run redis-check-aof."
        )
        raise Failed
    _truncate(path, stop)
    print(f"Successfully truncated AOF {name} to timestamp {wish.until_s}")


def _truncate(path: str, size: int) -> None:
    try:
        with open(path, "r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())
    except OSError as error:
        raise ToolError(f"Failed to truncate AOF {path}: {reason(error)}") from error


def good_size(file: BinaryIO, size: int) -> int:
    """Up to where an append-only file without preamble is good, of its first ``size`` bytes."""
    survey = AofSurvey(_table())
    left = size
    while left and (chunk := file.read(min(left, io.DEFAULT_BUFFER_SIZE * 32))):
        survey.feed(chunk)
        left -= len(chunk)
    survey.finish()
    return survey.good


def main(arguments: list[str], program: str = "pyredis check-aof") -> int:
    """Entry point; returns the exit status."""
    parser = Arguments(
        program,
        description="Check an append-only file, or all files of a manifest, or of the one in a "
        "folder. Exit status 1: something is not good, or cannot be read.",
    )
    parser.add_argument("path", metavar="FILE|FOLDER|MANIFEST")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--fix", action="store_true", help="cut the last file where it is good")
    action.add_argument(
        "--truncate-to-timestamp", metavar="T", help="cut what is later than this Unix time"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before cutting")
    parser.add_argument("--quiet", action="store_true", help="do not tell what is in the files")
    options = parser.parse_args(arguments)
    until_s: int | None = None
    if options.truncate_to_timestamp is not None:
        if not options.truncate_to_timestamp.isdigit() or not int(options.truncate_to_timestamp):
            print("Invalid timestamp, aborting...")
            return 1
        until_s = int(options.truncate_to_timestamp)
    try:
        check(options.path, Wish(options.fix, options.yes, until_s, options.quiet))
    except Failed:
        return 1
    finally:
        sys.stdout.flush()
    return 0
