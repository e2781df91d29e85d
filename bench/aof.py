"""The append-only file: how fast it is loaded, and what it costs a SET.

Loading: an increment of a million SETs of small strings is put into a folder, and each server
says in its log how long it took. Writing: this server beside itself, one without the file and
one with ``appendfsync everysec``, both on the same core, the load alternating between them.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench.client import ReplyError, encode_command
from bench.compare import Sample, load
from bench.plan import COUNTERS, Section
from bench.report import Bound, Line, Table
from bench.servers import Target, await_pong, running, spawned

LOAD_FLOOR = Bound(">=", 0.2)
SET_FLOOR = Bound(">=", 0.85)
SECTIONS = (
    Section("aof", "SET, 50 clients", 1, 50, 50_000, COUNTERS[:1], {}, 0.85, True),
    Section(
        "aof-16", "SET, 50 clients, 16 a pipeline", 16, 50, 200_000, COUNTERS[:1], {}, 0.85, True
    ),
)
_LOADED = re.compile(r"DB loaded from append only file: ([0-9.]+) seconds")


@contextmanager
def log_of(keys: int) -> Iterator[Path]:
    """Yield a folder with an append-only file of so many strings; it is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-aof-") as name:
        folder = Path(name)
        parts = folder / "appendonlydir"
        parts.mkdir()
        with (parts / "appendonly.aof.1.incr.aof").open("wb") as file:
            file.write(encode_command(b"SELECT", b"0"))
            for number in range(keys):
                key, value = b"key:%012d" % number, b"value:%d" % number
                file.write(encode_command(b"SET", key, value))
        line = "file appendonly.aof.1.incr.aof seq 1 type i\n"
        (parts / "appendonly.aof.manifest").write_text(line)
        yield folder


def parse_log(text: str) -> float:
    """Return the seconds that loading took; ReplyError where the log does not tell."""
    found = _LOADED.search(text)
    if found is None:
        raise ReplyError(f"no append-only file was loaded: {text[-1000:]}")
    return float(found[1])


def loading_s(target: Target, folder: Path, core: int) -> float:
    """Return how long the server says it took."""
    log = folder / f"{target.name}.log"
    log.unlink(missing_ok=True)
    options = ("--appendonly", "yes", "--dir", str(folder), "--logfile", str(log))
    with spawned(Target(target.name, target.command + options), core) as (process, port):
        await_pong(process, port)
    return parse_log(log.read_text())


def load_table(targets: tuple[Target, Target], rounds: int, keys: int, core: int) -> Table:
    """Return the line with the medians of both servers, started in turn."""
    with log_of(keys) as folder:
        rows = [[loading_s(target, folder, core) for target in targets] for _ in range(rounds)]
    redis, ours = zip(*rows, strict=True)
    ratios = [one / other for one, other in rows]
    figures = {
        "redis s": median(redis),
        "ours s": median(ours),
        "ratio": median(ratios),
        "min": min(ratios),
        "max": max(ratios),
    }
    return Table("Loading an append-only file", [Line(f"{keys:,} strings", figures, LOAD_FLOOR)])


def cost_line(section: Section, plain: list[Sample], logged: list[Sample]) -> Line:
    """Return the medians of both, and the ratio of each round."""
    ratios = [two.rate / one.rate for one, two in zip(plain, logged, strict=True)]
    cpu_plain_us, cpu_logged_us = (
        median(sample.cpu_us for sample in samples) for samples in (plain, logged)
    )
    figures = {
        "without req/s": median(sample.rate for sample in plain),
        "everysec req/s": median(sample.rate for sample in logged),
        "ratio": median(ratios),
        "min": min(ratios),
        "max": max(ratios),
        "CPU ratio": cpu_plain_us / cpu_logged_us,
    }
    return Line(section.title, figures, SET_FLOOR)


def cost_table(ours: Target, rounds: int, scale: float, core: int) -> Table:
    """Return what ``everysec`` leaves of this server's own throughput."""
    lines = []
    with ExitStack() as stack:
        targets = (ours, Target("everysec", (*ours.command, "--appendonly", "yes")))
        plain, logged = (stack.enter_context(running(target, core)) for target in targets)
        for section in SECTIONS:
            rows = [
                [load(server, section, section.tests[0], scale) for server in (plain, logged)]
                for _ in range(rounds)
            ]
            lines.append(cost_line(section, *map(list, zip(*rows, strict=True))))
    return Table("SET with an append-only file", lines)


def tables(targets: tuple[Target, Target], rounds: int, scale: float, core: int) -> Iterator[Table]:
    """Yield each table as soon as it is measured."""
    yield load_table(targets, min(3, rounds), 200_000 if scale < 1 else 1_000_000, core)
    yield cost_table(targets[1], rounds, scale, core)
