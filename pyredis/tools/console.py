"""What the tools share: files in chunks, progress on a terminal, sizes and texts for people.

Results go to standard output, so that they can be piped; progress and questions go to standard
error, and progress only if that is a terminal.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NoReturn, TextIO

from pyredis.quoting import quote

CHUNK_BYTES: Final = 1 << 18
_INTERVAL_S: Final = 0.2
_UNITS: Final = ("B", "K", "M", "G", "T")


class ToolError(Exception):
    """A tool cannot do what it was asked to; the text is for the user."""


class Progress:
    """One line that is written over and over: how much of so many bytes is done."""

    def __init__(
        self,
        total_bytes: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Shows nothing if the stream (standard error) is no terminal."""
        self._total_bytes = total_bytes
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._start_s = self._shown_s = clock()
        self._on = self._stream.isatty()
        self._width = 0

    def show(self, done_bytes: int, keys: int) -> None:
        """Tell how far it has come. Cheap: writes five times a second at most."""
        if not self._on:
            return
        now_s = self._clock()
        if now_s - self._shown_s < _INTERVAL_S:
            return
        self._shown_s = now_s
        rate = done_bytes / (now_s - self._start_s) / (1 << 20)
        percent = 100 * done_bytes / (self._total_bytes or 1)
        text = f"{percent:5.1f}%  {keys} keys  {rate:.1f} MB/s"
        self._width = max(self._width, len(text))
        self._stream.write(f"\r{text:<{self._width}}")
        self._stream.flush()

    def clear(self) -> None:
        """Take the line away, so that something else can be written."""
        if self._width:
            self._stream.write(f"\r{'':<{self._width}}\r")
            self._stream.flush()
            self._width = 0


class Arguments(argparse.ArgumentParser):
    """Arguments of a tool that ends with 1 for whatever is wrong, as Redis' own do."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and how it should be."""
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: error: {message}\n")


def open_file(path: str) -> tuple[BinaryIO, int]:
    """A file and its size. Raises ToolError."""
    try:
        file = open(path, "rb")  # noqa: SIM115
        return file, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ToolError(f"Cannot open file {path}: {reason(error)}") from error


def read(file: BinaryIO, size: int) -> bytes:
    """Up to so many bytes of a file. Raises ToolError."""
    try:
        return file.read(size)
    except OSError as error:
        raise ToolError(f"Cannot read file {file.name}: {reason(error)}") from error


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file. Raises ToolError."""
    return iter(lambda: read(file, CHUNK_BYTES), b"")


def shown(text: bytes) -> str:
    """A name as people can read it; quoted if a byte of it cannot be printed."""
    try:
        plain = text.decode()
    except UnicodeDecodeError:
        return quote(text).decode("ascii", "replace")
    return plain if plain.isprintable() and plain else quote(text).decode("ascii", "replace")


def human(size: float) -> str:
    """A number of bytes with a unit: 1.5M."""
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{size:.0f}{unit}" if unit == "B" else f"{size:.1f}{unit}"


def confirm(question: str, yes: bool = False) -> bool:
    """Ask on the terminal; ``yes`` answers beforehand. Anything but y or yes is no."""
    print(f"{question} [y/N]: ", end="", flush=True)
    if yes:
        print("y")
        return True
    answer = sys.stdin.readline()
    return answer.strip().lower() in ("y", "yes")


def reason(error: OSError) -> str:
    """Why something of the system failed."""
    return error.strerror or str(error)
