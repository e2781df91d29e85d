"""``pyredis check-rdb``: is a dump whole, and what is in it?

The file is read to its end as a server would, every value taken apart. The lines that scripts
look for, and the exit status (0 sound, 1 not), are those of redis-check-rdb; behind them comes
what is in the file: keys by type and by their form in the file, sizes, databases, expiries.
When the file is damaged: what is wrong, at which offset, in which key, and up to where it is
good.

Not checked: that no key is there twice, which would take memory for all names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from pyredis.config import Config
from pyredis.persistence.rdb import Aux, End, Event, RdbError, SelectDb
from pyredis.persistence.reader import Reader
from pyredis.tools.console import Arguments, Progress, chunks, human, open_file, shown
from pyredis.tools.survey import FORMS, Survey, first_release, module_name
from pyredis.version import REDIS_VERSION, VERSION

Print = Callable[[str], None]


class RdbCheck:
    """One file under examination. ``error`` is what is wrong, None while all is well."""

    def __init__(self, now_ms: int, say: Print) -> None:
        self.survey = Survey(now_ms)
        self.reader = Reader(Config(), details=True)
        self.error: RdbError | None = None
        self._say = say

    def feed(self, chunk: bytes) -> bool:
        """Take more of the file; False if it makes no sense to go on."""
        return self._take(lambda: self.reader.feed(chunk)) and not self.reader.done

    def finish(self) -> bool:
        """The file is over; returns whether it is sound."""
        while not self.reader.done and self._take(self.reader.finish):
            pass
        return self.error is None

    def _take(self, step: Callable[[], list[Event]]) -> bool:
        try:
            events = step()
        except RdbError as error:
            self.error = error
            return False
        self.survey.take(events)
        for event in events:
            if isinstance(event, Aux):
                self._say(
                    f"[offset {event.offset}] AUX FIELD {shown(event.name)} = "
                    f"'{shown(event.value) if event.value else ''}'"
                )
            elif isinstance(event, SelectDb):
                self._say(f"[offset {event.offset}] Selecting DB ID {event.number}")
            elif isinstance(event, End) and event.checksum:
                self._say(f"[offset {self.reader.offset}] Checksum OK")
            elif isinstance(event, End):
                self._say(f"[offset {self.reader.offset}] RDB file was saved without checksum")
        return True

    # Results

    def report(self) -> None:
        """Say how it went."""
        survey = self.survey
        error = self.error
        if error is None:
            self._say(f"[offset {self.reader.offset}] \\o/ RDB looks OK! \\o/")
        else:
            self._say("--- RDB ERROR DETECTED ---")
            self._say(f"[offset {error.offset}] {_explain(error)}")
            if error.key is not None:
                self._say(f"[additional info] Reading key '{shown(error.key)}'")
            if survey.last_key is not None:
                self._say(f"[additional info] Last good key '{shown(survey.last_key)}'")
            self._say(f"[additional info] Good up to offset {self.reader.offset}")
        self._say(f"[info] {survey.keys} keys read")
        self._say(f"[info] {survey.expires} expires")
        self._say(f"[info] {survey.expired} already expired")

    def contents(self) -> None:
        """Say what is in the file, as far as it was read."""
        survey, say = self.survey, self._say
        if not survey.version:
            return
        say(f"[info] RDB version {survey.version} (since Redis {first_release(survey.version)})")
        if survey.functions:
            say(f"[info] {survey.functions} libraries of functions")
        for module_id in survey.modules:
            say(f"[info] data of module {module_name(module_id)}")
        if survey.field_ttls:
            say(f"[info] {survey.field_ttls} hashes with TTLs of fields")
        for number, keys in sorted(survey.keys_by_db.items()):
            say(f"[info] db{number}: {keys} keys, {survey.expires_by_db[number]} expires")
        rows = [("type", "keys", "elements", "bytes")]
        for name, keys in survey.keys_by_type.most_common():
            size = human(survey.bytes_by_type[name])
            rows.append((name, str(keys), str(survey.elements_by_type[name]), size))
        _table(say, rows)
        forms = [("form in the file", "keys", "bytes")]
        for kind, keys in survey.keys_by_form.most_common():
            forms.append((FORMS.get(kind, str(kind)), str(keys), human(survey.bytes_by_form[kind])))
        _table(say, forms)
        if survey.keys:
            size_bytes, largest = survey.largest
            say(f"[info] largest: {shown(largest)} with {size_bytes} bytes")


def _explain(error: RdbError) -> str:
    """In redis-check-rdb's words, where it has some."""
    if "unexpected end" in error.reason:
        return "Unexpected EOF reading RDB file"
    if "checksum" in error.reason:
        return "RDB CRC error"
    if "signature" in error.reason:
        return "Wrong signature trying to load DB from file"
    if "format version" in error.reason:
        return f"Can't handle RDB format version {error.reason.rpartition(' ')[2]}"
    return error.reason


def _table(say: Print, rows: Sequence[tuple[str, ...]]) -> None:
    if len(rows) < 2:
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        say(f"  {first:<{widths[0]}}  {'  '.join(cells)}")


def check_stream(
    parts: Iterable[bytes], size: int, name: str, say: Print, full: bool = True
) -> RdbCheck:
    """Examine a file that comes in chunks, and say everything about it."""
    say(f"[offset 0] Checking RDB file {name}")
    progress = Progress(size)
    done_bytes = 0

    def say_clear(text: str) -> None:
        progress.clear()
        say(text)

    check = RdbCheck(time.time_ns() // 1_000_000, say_clear)
    for part in parts:
        done_bytes += len(part)
        if not check.feed(part):
            break
        progress.show(done_bytes, check.survey.keys)
    check.finish()
    progress.clear()
    check.report()
    if full:
        check.contents()
    return check


def main(arguments: list[str], program: str = "pyredis check-rdb") -> int:
    """Entry point; returns the exit status."""
    parser = Arguments(
        program,
        description="Check an RDB file and tell what is in it. Exit status 1: it is damaged, or "
        "cannot be read.",
    )
    parser.add_argument("file")
    parser.add_argument(
        "-v", "--version", action="version", version=f"{program} {REDIS_VERSION} ({VERSION})"
    )
    options = parser.parse_args(arguments)
    file, size = open_file(options.file)
    with file:
        check = check_stream(chunks(file), size, options.file, print)
    return 0 if check.error is None else 1
