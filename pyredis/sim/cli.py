"""``pyredis lab``: run scenarios, look into traces, shrink what fails.

    pyredis lab list                              the scenarios that come with pyredis
    pyredis lab run FILE --seed 7 --verbose       one run, every event on the screen
    pyredis lab run FILE --seeds 1..1000          many runs; the seeds that fail are printed
    pyredis lab run FILE --seed 7 --trace t.lab   the same, with a trace kept
    pyredis lab run FILE --real --server b=redis-server   real processes, b a Redis
    pyredis lab show t.lab --node b --kind log    the trace as text
    pyredis lab replay t.lab                      run it again; is it the same, event by event?
    pyredis lab shrink FILE --seed 7 -o small.txt the least that still fails
    pyredis lab campaign --seeds 1..1000          scenarios drawn by lot

Exit status: 0 if all went well, 1 if something failed, 2 for a file that cannot be used.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from pyredis.server import command_table
from pyredis.sim.campaign import random_scenario
from pyredis.sim.node import Tables
from pyredis.sim.render import render, show_time
from pyredis.sim.scenario import Scenario, ScenarioError, parse_scenario
from pyredis.sim.settings import check_config
from pyredis.sim.shrink import Shrinker
from pyredis.sim.simulation import Outcome, Simulation
from pyredis.sim.trace import Record, Trace, read_trace, show_record
from pyredis.sim.world import US_PER_S

SHIPPED = Path(__file__).parent / "scenarios"
_BATCH = 20
_SEED_MAX = (1 << 64) - 1
_SEEDS_MAX = 10_000_000


class LabError(Exception):
    """Something that the user has to put right."""


def main(arguments: Sequence[str] | None = None, program: str = "pyredis lab") -> int:
    """Entry point; returns the exit status."""
    options = _parser(program).parse_args(arguments)
    try:
        with _few_collections():
            status: int = options.run(options)
    except (LabError, ScenarioError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return status


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """Have the garbage collector leave the command tables alone; it spares a tenth of the time."""
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(program, description="Study replication under faults.")
    commands = parser.add_subparsers(required=True, metavar="command")

    run = commands.add_parser("run", help="run a scenario")
    run.set_defaults(run=_run)
    run.add_argument("file", help="a scenario file, or the name of one from 'list'")
    run.add_argument("--seed", type=_seed, default=1, help="what decides all chance (1)")
    run.add_argument("--seeds", type=_range, metavar="A..B", help="one run for each of these")
    run.add_argument("--jobs", type=_count, default=1, help="processes to share the seeds (1)")
    run.add_argument("--trace", type=Path, metavar="OUT", help="keep the trace in that file")
    run.add_argument("--real", action="store_true", help="on real processes, in real time")
    run.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="[NODE,NODE=]PROGRAM",
        help="with --real: what to run for these nodes, or for all",
    )
    run.add_argument("--keep", type=Path, metavar="FOLDER", help="with --real: leave files there")
    run.add_argument("--quiet", action="store_true", help="print nothing but what fails")
    run.add_argument("--verbose", action="store_true", help="print every event")

    show = commands.add_parser("show", help="print a trace")
    show.set_defaults(run=_show)
    show.add_argument("file", type=Path)
    show.add_argument("--node", help="only what mentions it")
    show.add_argument("--kind", help="only these kinds of events, as log,fault")
    show.add_argument("--from", dest="start", type=float, default=0.0, metavar="SECONDS")
    show.add_argument("--until", type=float, default=1e12, metavar="SECONDS")

    replay = commands.add_parser("replay", help="run what a trace tells of again, and compare")
    replay.set_defaults(run=_replay)
    replay.add_argument("file", type=Path)

    shrink = commands.add_parser("shrink", help="find the least that fails in the same way")
    shrink.set_defaults(run=_shrink)
    shrink.add_argument("file")
    shrink.add_argument("--seed", type=_seed, default=1)
    shrink.add_argument("--runs", type=_count, default=600, help="at most so many runs (600)")
    shrink.add_argument("-o", "--output", type=Path, help="where to write the scenario")

    campaign = commands.add_parser("campaign", help="run scenarios drawn by lot")
    campaign.set_defaults(run=_campaign)
    campaign.add_argument("--seeds", type=_range, default=range(1, 101), metavar="A..B")
    campaign.add_argument("--jobs", type=_count, default=1, help="processes to share the seeds (1)")
    campaign.add_argument("--show", action="store_true", help="only print the scenarios")

    listed = commands.add_parser("list", help="the scenarios that come with pyredis")
    listed.set_defaults(run=_list)
    return parser


def _seed(text: str) -> int:
    if not re.fullmatch(r"\d{1,20}", text) or int(text) > _SEED_MAX:
        raise argparse.ArgumentTypeError(f"expected a number up to {_SEED_MAX}")
    return int(text)


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text) or not int(text):
        raise argparse.ArgumentTypeError("expected a number from 1 on")
    return int(text)


def _range(text: str) -> range:
    first, dots, last = text.partition("..")
    if not dots or not first or not last:
        raise argparse.ArgumentTypeError("expected two numbers, as 1..100")
    seeds = range(_seed(first), _seed(last) + 1)
    if not seeds:
        raise argparse.ArgumentTypeError("expected the smaller number first")
    if len(seeds) > _SEEDS_MAX:
        raise argparse.ArgumentTypeError(f"expected at most {_SEEDS_MAX} seeds")
    return seeds


def _read(name: str) -> tuple[str, Scenario]:
    """A scenario's text, and what it means."""
    path = Path(name)
    if not path.exists() and (SHIPPED / f"{name}.txt").exists():
        path = SHIPPED / f"{name}.txt"
    try:
        data = path.read_bytes()
    except OSError as error:
        unknown = isinstance(error, FileNotFoundError) and "/" not in name
        hint = " ('list' names the scenarios that come with pyredis)" if unknown else ""
        raise LabError(f"cannot read {name or repr('')}: {error.strerror}{hint}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LabError(f"{name}, line {line}: a scenario is UTF-8, this is none") from error
    scenario = parse_scenario(text, name)
    for warning in _doubtful(scenario):
        print(warning, file=sys.stderr)
    return text, scenario


def _doubtful(scenario: Scenario) -> Iterator[str]:
    """What can be understood, and will hardly be meant."""
    known = {entry.spec.name.split()[0] for entry in command_table().all()}
    told = set()
    for step in scenario.steps:
        if step.words[0] == "command" and step.words[3].upper() not in known:
            said = f"no command of pyredis: {step.words[3]}"
        elif step.time_us > scenario.end_us:
            said = f"the run ends at {show_time(scenario.end_us)}, before this"
        else:
            continue
        if step.line not in told:
            told.add(step.line)
            yield f"{scenario.source}, line {step.line}: {said}"


# Running


def _run(options: argparse.Namespace) -> int:
    if (options.server or options.keep) and not options.real:
        raise LabError("--server and --keep go with --real")
    if options.seeds is not None and (options.real or options.trace or options.verbose):
        raise LabError("--seeds goes without --real, --trace and --verbose: these are for one run")
    text, scenario = _read(options.file)
    servers = _servers(options.server, scenario)
    check_config(scenario, [name for name in scenario.nodes if name not in servers])
    if options.seeds is not None:
        return _run_many(options, scenario)
    trace = Trace(keep=options.trace is not None, follow=_print_record if options.verbose else None)
    if options.real:
        outcome = _run_real(options, scenario, trace, servers)
    else:
        outcome = Simulation(scenario, options.seed, trace).run()
    if options.trace is not None:
        data = trace.wire(source=options.file, seed=options.seed, scenario=text, real=options.real)
        try:
            options.trace.write_bytes(data)
        except OSError as error:
            raise LabError(f"cannot write {options.trace}: {error.strerror}") from error
    if not (options.quiet and outcome.well):
        _report(outcome, options.file)
    return 0 if outcome.well else 1


def _servers(wishes: list[str], scenario: Scenario) -> dict[str, list[str]]:
    """The programs to be run in place of this server, by node."""
    servers: dict[str, list[str]] = {}
    for wish in wishes:
        names, equals, program = wish.rpartition("=")
        try:
            command = shlex.split(program)
        except ValueError as error:
            raise LabError(f"--server {wish}: {error}") from error
        if not command:
            raise LabError(f"--server {wish}: there is no program")
        for name in names.split(",") if equals else scenario.nodes:
            if name not in scenario.nodes:
                raise LabError(f"--server {wish}: there is no node {name!r}")
            servers[name] = command
    return servers


def _run_real(
    options: argparse.Namespace, scenario: Scenario, trace: Trace, servers: dict[str, list[str]]
) -> Outcome:
    from pyredis.sim.process import StartError
    from pyredis.sim.real import CannotBeReal, run_real

    for name in scenario.nodes if options.keep else ():
        if (options.keep / name).exists():
            raise LabError(f"--keep {options.keep}: {name} is there already")
    try:
        return run_real(scenario, options.seed, trace, servers, options.keep)
    except (CannotBeReal, StartError) as error:
        raise LabError(f"{options.file}: {error}") from error
    except OSError as error:
        raise LabError(f"{error.filename or 'real processes'}: {error.strerror}") from error


def _print_record(record: Record) -> None:
    print(show_record(record))


def _report(outcome: Outcome, name: str) -> None:
    scenario = outcome.scenario
    print(f"{scenario.title or name}: seed {outcome.seed}, {scenario.end_us / US_PER_S:g} s")
    for violation in outcome.violations:
        print(f"  FAILED at {violation}")
    for remark in outcome.remarks:
        print(f"  {remark}")
    counters = ", ".join(f"{name} {value}" for name, value in outcome.counters.items())
    print(f"  {'all as expected' if outcome.well else 'see above'}; {counters}")
    print(f"  trace {outcome.trace_hash}")


def _run_many(options: argparse.Namespace, scenario: Scenario) -> int:
    failed = 0
    for outcome in run_seeds(scenario, options.seeds, options.jobs):
        if not outcome.well:
            failed += 1
            print(f"seed {outcome.seed} FAILED at {outcome.violations[0]}")
    if not options.quiet:
        print(f"{len(options.seeds)} seeds, {failed} failed")
    return 1 if failed else 0


def run_seeds(scenario: Scenario, seeds: Sequence[int], jobs: int = 1) -> Iterator[Outcome]:
    """The outcomes under all these seeds, in their order."""
    return _spread(partial(_run_batch, scenario), seeds, jobs)


def _spread(
    run: Callable[[Sequence[int]], list[Outcome]], seeds: Sequence[int], jobs: int
) -> Iterator[Outcome]:
    """The seeds in batches, which several processes may share."""
    batches = [seeds[at : at + _BATCH] for at in range(0, len(seeds), _BATCH)]
    if jobs == 1:
        for batch in batches:
            yield from run(batch)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for outcomes in pool.map(run, batches):
            yield from outcomes


def _run_batch(scenario: Scenario, seeds: Iterable[int]) -> list[Outcome]:
    tables = Tables(command_table)
    return [Simulation(scenario, seed, tables=tables).run() for seed in seeds]


# Traces


def _load_trace(path: Path) -> tuple[dict[str, Any], list[Record]]:
    try:
        header, records = read_trace(path.read_bytes())
    except OSError as error:
        raise LabError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise LabError(f"{path}: {error}") from error
    for name, kind in (("source", str), ("seed", int), ("scenario", str)):
        if type(header.get(name)) is not kind:
            raise LabError(f"{path}: the header does not tell the {name}")
    return header, records


def _show(options: argparse.Namespace) -> int:
    header, records = _load_trace(options.file)
    print(f"# {header['source']}, seed {header['seed']}, trace {header['hash']}")
    kinds = options.kind.split(",") if options.kind else None
    there = {kind for _, kind, *_ in records}
    strange = sorted(set(kinds or ()) - there)
    if strange:
        known = ", ".join(sorted(there))
        print(f"no such events: {', '.join(strange)}; there are: {known}", file=sys.stderr)
    for record in records:
        time_us, kind, *rest = record
        if not options.start * US_PER_S <= time_us <= options.until * US_PER_S:
            continue
        if kinds is not None and kind not in kinds:
            continue
        if options.node and not any(_mentions(value, options.node) for value in rest):
            continue
        _print_record(record)
    return 0


def _mentions(value: object, name: str) -> bool:
    return isinstance(value, str) and name in value.replace("-", " ").replace("#", " ").split()


def _replay(options: argparse.Namespace) -> int:
    header, records = _load_trace(options.file)
    if header.get("real"):
        raise LabError(f"{options.file}: a run on real processes cannot be repeated")
    scenario = parse_scenario(header["scenario"], header["source"])
    check_config(scenario, scenario.nodes)
    trace = Trace(keep=True)
    outcome = Simulation(scenario, header["seed"], trace).run()
    if outcome.trace_hash == header["hash"]:
        print(f"the same, {len(records)} events: {outcome.trace_hash}")
        return 0
    again = read_trace(trace.wire())[1]
    at = next(
        (n for n, pair in enumerate(zip(records, again, strict=False)) if pair[0] != pair[1]),
        min(len(records), len(again)),
    )
    print(f"different from event {at} on:")
    for title, found in (("then", records), ("now ", again)):
        print(f"  {title} {show_record(found[at]) if at < len(found) else '(the end)'}")
    return 1


# Shrinking


def _shrink(options: argparse.Namespace) -> int:
    scenario = _read(options.file)[1]
    check_config(scenario, scenario.nodes)
    tables = Tables(command_table)

    def run(smaller: Scenario) -> Outcome:
        return Simulation(smaller, options.seed, tables=tables).run()

    try:
        shrinker = Shrinker(scenario, options.seed, run, options.runs)
    except ValueError as error:
        raise LabError(f"{options.file}, seed {options.seed}: {error}") from error
    found = shrinker.shrink()
    head = (
        f"# Shrunk from {options.file}. Run it with --seed {options.seed}.\n"
        f"# {shrinker.violation}\n"
    )
    if options.output is None:
        print(head + render(found), end="")
    else:
        try:
            options.output.write_text(head + render(found), "utf-8")
        except OSError as error:
            raise LabError(f"cannot write {options.output}: {error.strerror}") from error
        print(
            f"{shrinker.runs} runs: {len(found.nodes)} nodes, {len(found.loads)} clients and "
            f"{len(found.steps)} steps are left in {options.output}"
        )
    return 0


def _campaign(options: argparse.Namespace) -> int:
    if options.show:
        for seed in options.seeds:
            print(render(random_scenario(seed)))
        return 0
    failed = 0
    for outcome in run_campaign(options.seeds, options.jobs):
        if not outcome.well:
            failed += 1
            print(f"seed {outcome.seed} FAILED at {outcome.violations[0]}", flush=True)
    print(f"{len(options.seeds)} seeds, {failed} failed")
    return 1 if failed else 0


def run_campaign(seeds: Sequence[int], jobs: int = 1) -> Iterator[Outcome]:
    """The outcomes of the scenarios of all these seeds, in their order."""
    return _spread(_run_drawn, seeds, jobs)


def _run_drawn(seeds: Iterable[int]) -> list[Outcome]:
    tables = Tables(command_table)
    return [Simulation(random_scenario(seed), seed, tables=tables).run() for seed in seeds]


def _list(options: argparse.Namespace) -> int:
    for path in sorted(SHIPPED.glob("*.txt")):
        scenario = parse_scenario(path.read_text("utf-8"), path.name)
        print(f"{path.stem:20} {scenario.title}")
    return 0
