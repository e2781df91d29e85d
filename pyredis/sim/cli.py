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
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from pyredis.configfile import FatalConfigError
from pyredis.server import command_table
from pyredis.sim.campaign import random_scenario
from pyredis.sim.node import Tables
from pyredis.sim.render import render
from pyredis.sim.scenario import Scenario, ScenarioError, parse_scenario
from pyredis.sim.shrink import Shrinker
from pyredis.sim.simulation import Outcome, Simulation
from pyredis.sim.trace import Record, Trace, read_trace, show_record
from pyredis.sim.world import US_PER_S

SHIPPED = Path(__file__).parent / "scenarios"
_BATCH = 20


class LabError(Exception):
    """Something that the user has to put right."""


def main(arguments: Sequence[str] | None = None, program: str = "pyredis lab") -> int:
    """Entry point; returns the exit status."""
    options = _parser(program).parse_args(arguments)
    try:
        with _few_collections():
            status: int = options.run(options)
    except (LabError, ScenarioError, FatalConfigError) as error:
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
    run.add_argument("--seed", type=int, default=1, help="what decides all chance (1)")
    run.add_argument("--seeds", type=_range, metavar="A..B", help="one run for each of these")
    run.add_argument("--jobs", type=int, default=1, help="processes to share the seeds (1)")
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
    shrink.add_argument("--seed", type=int, default=1)
    shrink.add_argument("--runs", type=int, default=600, help="at most so many runs (600)")
    shrink.add_argument("-o", "--output", type=Path, help="where to write the scenario")

    campaign = commands.add_parser("campaign", help="run scenarios drawn by lot")
    campaign.set_defaults(run=_campaign)
    campaign.add_argument("--seeds", type=_range, default=range(1, 101), metavar="A..B")
    campaign.add_argument("--jobs", type=int, default=1, help="processes to share the seeds (1)")
    campaign.add_argument("--show", action="store_true", help="only print the scenarios")

    listed = commands.add_parser("list", help="the scenarios that come with pyredis")
    listed.set_defaults(run=_list)
    return parser


def _range(text: str) -> range:
    first, dots, last = text.partition("..")
    if not dots or not first.isdecimal() or not last.isdecimal():
        raise argparse.ArgumentTypeError("expected two numbers, as 1..100")
    if int(first) > int(last):
        raise argparse.ArgumentTypeError("expected the smaller number first")
    return range(int(first), int(last) + 1)


def _read(name: str) -> tuple[str, Scenario]:
    """A scenario's text, and what it means."""
    path = Path(name)
    if not path.exists() and (SHIPPED / f"{name}.txt").exists():
        path = SHIPPED / f"{name}.txt"
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        unknown = isinstance(error, FileNotFoundError) and "/" not in name
        hint = " ('list' names the scenarios that come with pyredis)" if unknown else ""
        raise LabError(f"cannot read {name}: {getattr(error, 'strerror', error)}{hint}") from error
    scenario = parse_scenario(text, name)
    _warn_of_unknown_commands(scenario)
    return text, scenario


def _warn_of_unknown_commands(scenario: Scenario) -> None:
    """A server refuses what it does not know, and nobody would look at its reply."""
    known = {entry.spec.name.split()[0] for entry in command_table().all()}
    for step in scenario.steps:
        if step.words[0] == "command" and step.words[3].upper() not in known:
            place = f"{scenario.source}, line {step.line}"
            print(f"{place}: no command of pyredis: {step.words[3]}", file=sys.stderr)


# Running


def _run(options: argparse.Namespace) -> int:
    if (options.server or options.keep) and not options.real:
        raise LabError("--server and --keep go with --real")
    if options.seeds is not None and (options.real or options.trace or options.verbose):
        raise LabError("--seeds goes without --real, --trace and --verbose: these are for one run")
    text, scenario = _read(options.file)
    if options.seeds is not None:
        return _run_many(options, scenario)
    trace = Trace(keep=options.trace is not None, follow=_print_record if options.verbose else None)
    if options.real:
        outcome = _run_real(options, scenario, trace)
    else:
        outcome = Simulation(scenario, options.seed, trace).run()
    if options.trace is not None:
        data = trace.wire(source=options.file, seed=options.seed, scenario=text)
        try:
            options.trace.write_bytes(data)
        except OSError as error:
            raise LabError(f"cannot write {options.trace}: {error.strerror}") from error
    if not (options.quiet and outcome.well):
        _report(outcome, options.file)
    return 0 if outcome.well else 1


def _run_real(options: argparse.Namespace, scenario: Scenario, trace: Trace) -> Outcome:
    from pyredis.sim.process import StartError
    from pyredis.sim.real import CannotBeReal, run_real

    servers: dict[str, list[str]] = {}
    for each in options.server:
        names, equals, program = each.rpartition("=")
        for name in names.split(",") if equals else scenario.nodes:
            if name not in scenario.nodes:
                raise LabError(f"--server {each}: there is no node {name!r}")
            servers[name] = shlex.split(program)
    try:
        return run_real(scenario, options.seed, trace, servers, options.keep)
    except (CannotBeReal, StartError) as error:
        raise LabError(f"{options.file}: {error}") from error


def _print_record(record: Record) -> None:
    print(show_record(record))


def _report(outcome: Outcome, name: str) -> None:
    scenario = outcome.scenario
    print(f"{scenario.title or name}: seed {outcome.seed}, {scenario.end_us / US_PER_S:g} s")
    for violation in outcome.violations:
        print(f"  FAILED at {violation}")
    for refusal in outcome.refusals:
        print(f"  refused at {refusal}")
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


def run_seeds(scenario: Scenario, seeds: Iterable[int], jobs: int = 1) -> Iterator[Outcome]:
    """The outcomes under all these seeds, in their order."""
    return _spread(partial(_run_batch, scenario), seeds, jobs)


def _spread(
    run: Callable[[list[int]], list[Outcome]], seeds: Iterable[int], jobs: int
) -> Iterator[Outcome]:
    """The seeds in batches, which several processes may share."""
    every = list(seeds)
    batches = [every[at : at + _BATCH] for at in range(0, len(every), _BATCH)]
    if jobs <= 1:
        for batch in batches:
            yield from run(batch)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for outcomes in pool.map(run, batches):
            yield from outcomes


def _run_batch(scenario: Scenario, seeds: list[int]) -> list[Outcome]:
    tables = Tables(command_table)
    try:
        return [Simulation(scenario, seed, tables=tables).run() for seed in seeds]
    except FatalConfigError as error:  # it would not find its way out of another process
        raise LabError(str(error)) from error


# Traces


def _load_trace(path: Path) -> tuple[dict[str, Any], list[Record]]:
    try:
        return read_trace(path.read_bytes())
    except OSError as error:
        raise LabError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise LabError(f"{path}: {error}") from error


def _show(options: argparse.Namespace) -> int:
    header, records = _load_trace(options.file)
    print(f"# {header['source']}, seed {header['seed']}, trace {header['hash']}")
    kinds = options.kind.split(",") if options.kind else None
    there = {kind for _, kind, *_ in records}
    if kinds is not None and there.isdisjoint(kinds):
        print(f"no such events; there are: {', '.join(sorted(there))}", file=sys.stderr)
    for record in records:
        time_us, kind, *rest = record
        if not options.start * US_PER_S <= time_us <= options.until * US_PER_S:
            continue
        if kinds is not None and kind not in kinds:
            continue
        if options.node and not any(_mentions(value, options.node) for value in rest):
            continue
        with contextlib.suppress(BrokenPipeError):
            print(show_record(record))
    return 0


def _mentions(value: object, name: str) -> bool:
    return isinstance(value, str) and name in value.replace("-", " ").replace("#", " ").split()


def _replay(options: argparse.Namespace) -> int:
    header, records = _load_trace(options.file)
    scenario = parse_scenario(header["scenario"], header["source"])
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


def run_campaign(seeds: Iterable[int], jobs: int = 1) -> Iterator[Outcome]:
    """The outcomes of the scenarios of all these seeds, in their order."""
    return _spread(_run_drawn, seeds, jobs)


def _run_drawn(seeds: list[int]) -> list[Outcome]:
    tables = Tables(command_table)
    return [Simulation(random_scenario(seed), seed, tables=tables).run() for seed in seeds]


def _list(options: argparse.Namespace) -> int:
    for path in sorted(SHIPPED.glob("*.txt")):
        scenario = parse_scenario(path.read_text("utf-8"), path.name)
        print(f"{path.stem:20} {scenario.title}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
