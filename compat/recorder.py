"""A plug-in of pytest that writes down each test's outcome as soon as it is known.

It runs in the environment of the foreign test-suite, so it uses the standard library only. The
file named by ``COMPAT_RECORD`` gets one line of JSON a test: its id; ``passed``, ``failed`` or
``skipped``; the reason. What stands there is complete up to the moment when a run is cut off.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def pytest_configure(config: Any) -> None:
    """Begin to listen."""
    config.pluginmanager.register(Recorder(Path(os.environ["COMPAT_RECORD"])))


class Recorder:
    """The worst of set-up, call and tear-down is the outcome of a test."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.outcome, self.reason = "passed", ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Called for each of the three parts of a test."""
        if hasattr(report, "wasxfail"):
            self.outcome, self.reason = "skipped", "expected to fail"
        elif report.outcome == "failed" and self.outcome != "failed":
            crash = getattr(report.longrepr, "reprcrash", None)
            self.outcome = "failed"
            self.reason = getattr(crash, "message", None) or str(report.longrepr)
        elif report.outcome == "skipped" and self.outcome == "passed":
            self.outcome = "skipped"
            self.reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if report.when == "teardown":
            line = [report.nodeid, self.outcome, " ".join(self.reason.split())[:300]]
            with self.file.open("a") as file:
                file.write(json.dumps(line) + "\n")
            self.outcome, self.reason = "passed", ""
