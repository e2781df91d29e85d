"""What is in an append-only file: commands by name, keys, times, and up to where it is good. Pure.

Lines are counted as redis-check-aof does (line ends of the protocol, not those inside values),
but for each file from 1 on.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from pyredis.keyspecs import find_keys
from pyredis.persistence.aof_load import AofReader, Item, Malformed

if TYPE_CHECKING:
    from pyredis.commands.registry import Table

_NAMES_MAX: Final = 1_000_000  # so many different keys are told apart


class AofSurvey:
    """Reads the commands of one file, which begin at ``start``.

    With ``until_s`` it stops at the first timestamp after that time, whose place is ``stop``.
    """

    def __init__(self, table: Table, start: int = 0, until_s: int | None = None) -> None:
        self._table = table
        self._reader = AofReader(start)
        self._until_s = until_s
        self._names: set[tuple[int, bytes]] = set()
        self._db = 0
        self.stop: int | None = None
        self.good = start
        self.good_line = 1
        self.multi_line = 0  # of an open MULTI, else 0
        self.problem = ""
        self.malformed = False  # not merely cut
        self.problem_offset = 0
        self.size = start
        self.tail = b""  # what is not good, the beginning of it
        self.zeros = True  # so far the tail holds nothing else
        self.commands: Counter[str] = Counter()
        self.first_s: int | None = None
        self.last_s: int | None = None
        self._line = 1

    @property
    def keys(self) -> int:
        """How many different keys there are in the commands."""
        return len(self._names)

    @property
    def more_keys(self) -> bool:
        """There are more; these were too many to be told apart."""
        return len(self._names) >= _NAMES_MAX

    def feed(self, chunk: bytes) -> None:
        """Take more of the file."""
        self.size += len(chunk)
        if self.problem:
            self._tail(chunk)
            return
        if self.stop is not None:
            return
        try:
            items = self._reader.feed(chunk)
            for item in items:
                self._take(item)
                if self.stop is not None:
                    return
            if not items:
                return
            self._reader.feed(b"")  # raises now if there was damage behind the items
        except Malformed as error:
            self._damaged(error, chunk)

    def finish(self) -> bool:
        """The file is over; returns whether it is good."""
        if self.stop is None and not self.problem:
            try:
                state = self._reader.finish()
            except Malformed as error:
                self._damaged(error, b"")
                state = ""
            if state == "cut":
                self.problem = "the last command is cut"
                self.problem_offset = self._reader.offset
            elif state == "open":
                self.problem = "Reached EOF before reading EXEC for MULTI"
                self.problem_offset = self._reader.offset
        return not self.problem

    @property
    def zero_bytes(self) -> int:
        """How long the tail is, if it is nothing but zeros."""
        start = self.problem_offset
        return self.size - start if self.problem and self.zeros and self.tail else 0

    def _damaged(self, error: Malformed, chunk: bytes) -> None:
        self.problem = error.reason
        self.malformed = True
        self.problem_offset = error.offset
        held = self.size - error.offset
        self._tail(chunk[-held:] if held <= len(chunk) else chunk)

    def _tail(self, chunk: bytes) -> None:
        self.zeros = self.zeros and not chunk.strip(b"\0")
        if len(self.tail) < 64:
            self.tail += chunk[: 64 - len(self.tail)]

    def _take(self, item: Item) -> None:
        if item.annotation is not None:
            time_s = item.annotation.time_s
            if time_s is not None:
                if self._until_s is not None and time_s > self._until_s:
                    self.stop = item.start
                    return
                self.first_s = time_s if self.first_s is None else self.first_s
                self.last_s = time_s
            if not self.multi_line:
                self.good = item.end
            return
        argv = item.argv
        self._line += 1 + 2 * len(argv)
        name = argv[0].lower()
        if name == b"multi" and not self.multi_line:
            self.multi_line = self._line
        elif name == b"exec":
            self.multi_line = 0
        if not self.multi_line:
            self.good = item.end
            self.good_line = self._line
        entry = self._table.find(argv)
        self.commands[entry.spec.name if entry else name.decode("latin-1")] += 1
        if name == b"select" and len(argv) == 2 and argv[1].isdigit():
            self._db = int(argv[1])
        elif entry is not None and not self.more_keys:
            for key in find_keys(entry.spec, argv):
                self._names.add((self._db, argv[key.at]))
