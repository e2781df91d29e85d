"""``python -m compat.programs``: real programs run a small real job against our server.

    python -m compat.programs                 all of them
    python -m compat.programs --only rq       some
    python -m compat.programs --reference     against redis-server, to try the jobs themselves

Job queues, a framework's cache and two clients for Node.js: each enqueues, works and checks what
came out, in a script of its own in ``jobs/``. The programs are installed at the versions below
into the cache folder (see ``workshop.py``). Each gets a fresh server, a minute, and a process
group that is gone afterwards, workers and all.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from compat.workshop import (
    OURS,
    end_on_signals,
    node_environment,
    python_environment,
    reference_command,
    running,
)

JOBS: Final = Path(__file__).parent / "jobs"
JOB_S: Final = 60
PYTHON: Final = ("rq==3.0.0", "celery[redis]==5.7.0", "huey==3.5.4", "django==5.2.19")
NODE: Final = ("ioredis@6.0.0", "redis@6.3.1")


@dataclass(frozen=True)
class Program:
    """``script`` is run by Python or by Node.js, told by its name."""

    name: str
    script: str


PROGRAMS: Final = (
    Program("rq", "rq_job.py"),
    Program("celery", "celery_job.py"),
    Program("huey", "huey_job.py"),
    Program("django", "django_job.py"),
    Program("ioredis", "ioredis_job.js"),
    Program("node-redis", "node_redis_job.js"),
)


def command_of(program: Program) -> tuple[list[str], dict[str, str]]:
    """How a job is started, and what its environment has besides ours. Installs on demand."""
    script = JOBS / program.script
    if script.suffix == ".py":
        return [str(python_environment("programs-python", PYTHON)), str(script)], {}
    modules = node_environment("programs-node", NODE) / "node_modules"
    return ["node", str(script)], {"NODE_PATH": str(modules)}


def job(program: Program, port: int) -> tuple[bool, str]:
    """Run a job; whether it succeeded, and what it printed."""
    command, extra = command_of(program)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, **extra, "REDIS_PORT": str(port), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=JOB_S)
        succeeded = process.returncode == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        output += b"\ncut off after %d s" % JOB_S
        succeeded = False
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return succeeded, output.decode("utf-8", "replace").strip()


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit status is 1 if a program failed."""
    names = [program.name for program in PROGRAMS]
    parser = argparse.ArgumentParser("python -m compat.programs", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", choices=names, action="append", help="may be repeated")
    parser.add_argument("--reference", action="store_true", help="run on redis-server instead")
    options = parser.parse_args(arguments)
    command = reference_command() if options.reference else OURS
    failed = []
    for program in PROGRAMS:
        if options.only and program.name not in options.only:
            continue
        command_of(program)  # an installation is not the job's time
        with running("server", command) as server:
            started = time.monotonic()
            succeeded, output = job(program, server.port)
            spent_s = time.monotonic() - started
        last = output.splitlines()[-1] if output else ""
        print(f"{program.name:<12}{'works' if succeeded else 'FAILS'} {spent_s:5.1f} s  {last}",
              flush=True)  # fmt: skip
        if not succeeded:
            failed.append(program.name)
            print("    " + "\n    ".join(output.splitlines()[-25:]), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    end_on_signals()
    sys.exit(main())
