"""Many seeds, with figures: ``python -m tests.campaign --seeds 20000 --jobs 2``.

Every seed is a deployment, a load and faults drawn by lot (``pyredis/sim/campaign.py``). A seed
that fails is printed with its violation; ``pyredis lab campaign --seeds N..N --show`` prints its
scenario, to be run and shrunk like any other.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from pyredis.sim.cli import run_campaign


def main() -> int:
    """Run them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    options = parser.parse_args()
    totals: Counter[str] = Counter()
    failed = 0
    start_s = time.perf_counter()
    seeds = range(options.first, options.first + options.seeds)
    for done, outcome in enumerate(run_campaign(seeds, options.jobs), 1):
        totals.update(outcome.counters)
        totals["virtual seconds"] += outcome.scenario.end_us // 1_000_000
        totals["faults"] += len(outcome.scenario.steps)
        if not outcome.well:
            failed += 1
            print(f"seed {outcome.seed} FAILED at {outcome.violations[0]}", flush=True)
        if done % 1000 == 0:
            print(f"{done} seeds, {failed} failed", flush=True)
    spent_s = time.perf_counter() - start_s
    print(f"{len(seeds)} seeds in {spent_s:.0f} s, {1000 * spent_s / len(seeds):.1f} ms a seed")
    print(", ".join(f"{name} {value}" for name, value in sorted(totals.items())))
    print(f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
