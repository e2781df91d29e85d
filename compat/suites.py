"""``python -m compat.suites``: redis-py's own test-suite against a real server and against ours.

    python -m compat.suites                     both protocols, sync and asyncio tests
    python -m compat.suites --protocol 3 --kind sync
    python -m compat.suites --select "xadd or xread"
    python -m compat.suites --fresh             ask the reference again, too

The source distribution of redis-py carries its tests. It is fetched from the package registry at
the version that this project pins for its own tests, and runs in an environment of its own. Each
combination of protocol and kind runs against a fresh redis-server (once; its outcomes are kept)
and against a fresh process of ours. The rule: **a test that passes there passes here.** What
breaks it runs once more, alone with the others like it, because some of these tests depend on
timing; what then passes is listed as unsteady.

Two sorts of tests cannot obey the rule and are counted apart: those that redis-py skips here
because of ``redis_version`` (it expects the behaviour of an older server), and those that it
runs here only, because our version is newer than the reference. Of the latter, failures are
listed: they are worth a look. Left out are the tests of Sentinel, of a cluster and of modules,
which need other servers to talk to.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Final

from compat.workshop import (
    OURS,
    ROOT,
    Server,
    cache,
    end_on_signals,
    python_environment,
    reference_command,
    run,
    running,
)

REQUIREMENTS: Final = (
    "pytest pytest-asyncio pytest-timeout numpy redis-entraid pybreaker aiohttp xxhash ujson "
    "mock opentelemetry-api opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
)
KINDS: Final = ("sync", "asyncio")
PROTOCOLS: Final = ("2", "3")
TEST_S: Final = 20
RUN_S: Final = 900
MARKS: Final = "not onlycluster and not redismod and not ssl and not replica and not cp_integration"
OTHER_SERVERS: Final = (
    "tests/test_cache.py::TestSentinelCache",
    "tests/test_cache.py::TestSSLCache",
)
ABSENT: Final = (
    "test_scenario test_multidb test_http test_sentinel.py test_sentinel_managed_connection.py "
    "test_cluster.py test_cluster_transaction.py test_ssl.py test_multidb_integration.py "
    "test_bloom.py test_json.py test_search.py test_timeseries.py test_search_aggregation.py "
    "test_search_querystring.py test_search_result.py"
)

Outcomes = dict[str, tuple[str, str]]
"""By test: ``passed``, ``failed`` or ``skipped``, and why."""


@dataclass
class Verdict:
    """What two runs of the same tests say. Lists hold tests and reasons."""

    same: int = 0
    broken: list[tuple[str, str]] = field(default_factory=list)
    unsteady: list[tuple[str, str]] = field(default_factory=list)
    skipped_here: list[tuple[str, str]] = field(default_factory=list)
    passed_here_only: int = 0
    failed_here_only: list[tuple[str, str]] = field(default_factory=list)


def compare(reference: Mapping[str, tuple[str, str]], ours: Outcomes) -> Verdict:
    """Sort all tests by the rule above."""
    verdict = Verdict()
    for test in {**reference, **ours}:
        if test.startswith(OTHER_SERVERS):
            continue
        there, _ = reference.get(test, ("skipped", ""))
        here, reason = ours.get(test, ("failed", "did not run"))
        if there == "passed":
            if here == "passed":
                verdict.same += 1
            elif here == "skipped" and "version" in reason.lower():
                verdict.skipped_here.append((test, reason))
            else:
                verdict.broken.append((test, reason))
        elif here == "passed":
            verdict.passed_here_only += 1
        elif here == "failed" and there == "skipped":
            verdict.failed_here_only.append((test, reason))
    return verdict


@dataclass(frozen=True)
class Suite:
    """redis-py's tests, unpacked, and an interpreter that can run them."""

    folder: Path
    python: Path
    version: str

    @classmethod
    def fetch(cls) -> Suite:
        """Download and install what is not there yet. Raises subprocess.CalledProcessError."""
        version = metadata.version("redis")
        home = cache()
        folder = home / f"redis-{version}"
        archive = home / f"redis-{version}.tar.gz"
        if not archive.exists():
            run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary",
                 ":all:", "--dest", str(home), f"redis=={version}"])  # fmt: skip
        if not (folder / "tests").exists():
            with tarfile.open(archive) as tar:
                tar.extractall(home, filter="data")
        python = python_environment("redis-py", [*REQUIREMENTS.split(), f"redis=={version}"])
        return cls(folder, python, version)

    def outcomes(self, server: Server, protocol: str, tests: Sequence[str]) -> Outcomes:
        """Run tests (files, folders, options) against a server."""
        record = cache() / f"record-{server.port}"
        record.unlink(missing_ok=True)
        command = [
            str(self.python), "-m", "pytest", "-p", "compat.recorder", "-p", "no:cacheprovider",
            "-q", "--tb", "native", "-m", MARKS, "--timeout", str(TEST_S), "--redis-url",
            f"redis://localhost:{server.port}/9", "--protocol", protocol, *tests,
            *(f"--deselect={name}" for name in OTHER_SERVERS),
        ]  # fmt: skip
        with (cache() / "suite-output").open("a") as output:
            try:
                ended = subprocess.run(
                    command, cwd=self.folder, timeout=RUN_S, check=False,
                    stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": str(ROOT), "COMPAT_RECORD": str(record)},
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                print(f"  cut off after {RUN_S} s", flush=True)
            else:
                if ended.returncode not in (0, 1):
                    print(f"  pytest ended with {ended.returncode}, see {output.name}", flush=True)
        lines = record.read_text().splitlines() if record.exists() else []
        record.unlink(missing_ok=True)
        return {name: (outcome, reason) for name, outcome, reason in map(json.loads, lines)}


def tests_of(kind: str) -> list[str]:
    """pytest's arguments for the tests of one kind."""
    folder = "tests/test_asyncio" if kind == "asyncio" else "tests"
    left_out = [f"--ignore={folder}/{name}" for name in ABSENT.split()]
    return [folder, *left_out, *(["--ignore=tests/test_asyncio"] if kind == "sync" else [])]


def reference_outcomes(
    suite: Suite, protocol: str, kind: str, select: Sequence[str], fresh: bool
) -> Outcomes:
    """What the real server does; remembered by its version, except for a selection."""
    command = reference_command()
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"v=(\S+)", said.stdout)
    kept = cache() / f"redis-py-{suite.version}-on-{found[1] if found else '?'}-{protocol}-{kind}"
    if kept.exists() and not fresh:
        return {name: (outcome, reason) for name, outcome, reason in json.loads(kept.read_text())}
    with running("redis-server", command, "--enable-debug-command", "yes") as server:
        outcomes = suite.outcomes(server, protocol, [*tests_of(kind), *select])
    if not select:
        kept.write_text(json.dumps([[name, *rest] for name, rest in outcomes.items()]))
    return outcomes


def judge(suite: Suite, protocol: str, kind: str, select: Sequence[str], fresh: bool) -> Verdict:
    """Run one combination on both servers."""
    reference = reference_outcomes(suite, protocol, kind, select, fresh)
    options = ("--enable-debug-command", "yes")
    with running("pyredis", OURS, *options) as server:
        ours = suite.outcomes(server, protocol, [*tests_of(kind), *select])
        if select:
            reference = {name: reference[name] for name in ours if name in reference}
        passed = [name for name, (outcome, _) in reference.items() if outcome == "passed"]
        if unseen := [name for name in passed if name not in ours]:  # pytest ended early
            ours |= suite.outcomes(server, protocol, unseen)
    verdict = compare(reference, ours)
    if verdict.broken:
        names = [test for test, _ in verdict.broken]
        with running("pyredis", OURS, *options) as server:
            again = suite.outcomes(server, protocol, names)
        for test, reason in list(verdict.broken):
            if again.get(test, ("", ""))[0] == "passed":
                verdict.broken.remove((test, reason))
                verdict.unsteady.append((test, reason))
    return verdict


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit status is 1 if the rule is broken."""
    parser = argparse.ArgumentParser("python -m compat.suites", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--protocol", choices=PROTOCOLS, action="append", help="both by default")
    parser.add_argument("--kind", choices=KINDS, action="append", help="both by default")
    parser.add_argument("--select", help="an expression on names, as for pytest -k")
    parser.add_argument("--fresh", action="store_true", help="run the reference again")
    options = parser.parse_args(arguments)
    suite = Suite.fetch()
    (cache() / "suite-output").unlink(missing_ok=True)
    select = ["-k", options.select] if options.select else []
    verdicts: dict[str, Verdict] = {}
    for protocol in options.protocol or PROTOCOLS:
        for kind in options.kind or KINDS:
            title = f"RESP{protocol} {kind}"
            print(f"{title} ...", flush=True)
            verdict = judge(suite, protocol, kind, select, options.fresh)
            verdicts[title] = verdict
            for mark, tests in (
                ("BROKEN", verdict.broken),
                ("unsteady", verdict.unsteady),
                ("fails, not run on the reference:", verdict.failed_here_only),
            ):
                for test, reason in sorted(tests):
                    print(f"  {mark} {test}\n    {reason}", flush=True)
    print(f"\nredis-py {suite.version}: tests that pass on the reference, and here\n")
    print(table(verdicts))
    return 1 if any(verdict.broken for verdict in verdicts.values()) else 0


def table(verdicts: Mapping[str, Verdict]) -> str:
    """The counts as a table in Markdown."""
    lines = [
        "| | on both | broken here | unsteady | left out by version | passes here only "
        "| fails, not run on the reference |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for title, verdict in verdicts.items():
        counts = (
            verdict.same, len(verdict.broken), len(verdict.unsteady), len(verdict.skipped_here),
            verdict.passed_here_only, len(verdict.failed_here_only),
        )  # fmt: skip
        lines.append("| " + " | ".join([title, *map(str, counts)]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    end_on_signals()
    sys.exit(main())
