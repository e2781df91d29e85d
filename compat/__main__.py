"""``python -m compat``: this server beside a real one. Prints counts; exit status 1 on a bug.

python -m compat --seconds 60 --seed 7     corpus, then sequences for a minute
python -m compat --commands 2000000        until that many commands were compared
python -m compat --wire                    our server as a process too, over connections
python -m compat --reference PATH          beside another version of redis-server
python -m compat --only ZADD --only ZRANGE sequences of a few commands
python -m compat.commands                  COMMAND, DOCS and CONFIG entry by entry
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from random import Random

from compat.generate import Generator
from compat.judge import Difference, Judge
from compat.replies import show
from compat.sequences import Step, corpus, text
from compat.servers import Follower, Silence
from compat.shrink import shrink
from compat.workshop import end_on_signals
from pyredis.server import command_table

CORPUS = Path(__file__).parent / "corpus"
_WIRE_EVERY = 4
"""In every so manieth sequence our process is asked too."""
_NO_FEED_EVERY = 5
"""In every so manieth sequence nobody listens for what replicas are to do, as mostly in life."""
_LATE_SHARE = 0.0005
"""So many sequences may be disturbed by a machine that was busy for milliseconds; more fail."""
_SHOWN = 10


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m compat", None, __doc__, formatter_class=as_written)
    parser.add_argument("--seconds", type=float, default=None, help="how long to go on (60)")
    parser.add_argument("--commands", type=int, default=None, help="how many commands to compare")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wire", action="store_true", help="ask our process in each sequence")
    parser.add_argument("--no-wire", action="store_true", help="never start our process")
    parser.add_argument("--only", action="append", default=[], help="a command; may be repeated")
    parser.add_argument("--skip", action="append", default=[], help="a group of commands")
    parser.add_argument("--reference", default="redis-server", help="the program to compare with")
    parser.add_argument("--failures", type=int, default=5, help="stop after so many bugs (5)")
    parser.add_argument("--no-corpus", action="store_true")
    options = parser.parse_args(arguments)
    run = Run(options)
    try:
        return run.all()
    finally:
        run.close()


class Run:
    """One run: the servers, the counts, the failures."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.node: Follower | None = None
        self.reference = Follower.reference(options.reference)
        try:
            self.node = None if options.no_wire else Follower.node()
            self.judge = Judge(options.seed, [self.reference])
            self.judge.leader.reference_version = self.reference.version
        except BaseException:
            self.close()
            raise
        self.failures: dict[str, int] = {}
        self.passing: list[str] = []  # differences that the same sequence did not show again
        self.started = time.monotonic()
        self.sequences = 0
        self.streams = True

    def close(self) -> None:
        """End the servers."""
        self.reference.close()
        if self.node is not None:
            self.node.close()

    def all(self) -> int:
        """Corpus, then generated sequences; prints the result."""
        options = self.options
        if not options.no_corpus:
            for source, steps in corpus(CORPUS):
                for small in (False, True):
                    self.one(steps, small, f"corpus/{source}", wire=not options.no_wire)
            print(f"corpus: {self.sequences} runs, {self.judge.commands} commands")
        version = self.reference.version
        generator = Generator(command_table().all(), options.only, options.skip, version)
        number = 0
        while not self.done():
            number += 1
            seed = f"{options.seed}.{number}"
            rng = Random(seed)
            small = rng.random() < 0.7
            wire = options.wire or (not options.no_wire and number % _WIRE_EVERY == 0)
            self.streams = bool(number % _NO_FEED_EVERY)
            self.one(generator.sequence(rng), small, f"seed {seed}", wire)
        self.report()
        too_late = len(self.passing) > 2 + self.sequences * _LATE_SHARE
        return 1 if self.failures or too_late else 0

    def done(self) -> bool:
        """Whether the time is over, or all is seen, or too much is wrong."""
        options = self.options
        if len(self.failures) >= options.failures:
            return True
        if options.commands is not None:
            return bool(self.judge.commands >= options.commands)
        return time.monotonic() - self.started >= (options.seconds or 60)

    def one(self, steps: list[Step], small: bool, origin: str, wire: bool) -> None:
        """Run a sequence; shrink and print it when it fails."""
        self.judge.followers = [self.reference]
        if wire and self.node is not None:
            self.judge.followers.append(self.node)
        self.sequences += 1
        difference = self.attempt(steps, small)
        if difference is None:
            return
        again = self.attempt(steps, small)
        if again is None:
            self.passing.append(f"{origin}: {difference.signature}")
            return
        signature = again.signature
        seen = self.failures.get(signature, 0)
        self.failures[signature] = seen + 1
        if seen:
            return

        def fails(candidate: list[Step]) -> bool:
            found = self.attempt(candidate, small)
            return found is not None and found.signature == signature

        shortest = shrink(steps, fails)
        final = self.attempt(shortest, small) or difference
        print(f"\n# {origin}, {'small' if small else 'usual'} limits: {final.where} of "
              f"{undefined_name(final)} (client {final.client + 1})")  # fmt: skip
        print(f"#   {final.follower}: {_value(final.expected)}")
        print(f"#   leader: {_value(final.got)}")
        print(text(shortest), flush=True)

    def attempt(self, steps: list[Step], small: bool) -> Difference | None:
        """Run a sequence; the difference found, or None."""
        try:
            self.judge.run(steps, small, self.streams)
        except Difference as difference:
            self.judge.reconnect()
            return difference
        except Silence as silence:
            self.judge.reconnect()
            return Difference("a follower", 0, [b"?"], f"no {silence}", "", "silence")
        return None

    def report(self) -> None:
        """The counts."""
        judge = self.judge
        spent_s = time.monotonic() - self.started
        print(f"\n{judge.commands:,} commands compared in {self.sequences:,} sequences, and "
              f"{judge.checks:,} looks at the data; {spent_s:.0f} s, "
              f"{judge.commands / spent_s:,.0f} a second, seed {self.options.seed}")  # fmt: skip
        print("explained differences:")
        for title, count in judge.explained.most_common():
            print(f"  {count:>8,}  {title}")
        if self.passing:
            print(f"differences that the same sequence did not show again: {len(self.passing)}")
            for origin in self.passing[:_SHOWN]:
                print(f"  {origin}")
        print("unexplained differences:" if self.failures else "no unexplained differences")
        for signature, count in sorted(self.failures.items()):
            print(f"  {count:>8,}  {signature}")


def undefined_name(difference: Difference) -> str:
    """The request as text, not too long."""
    shown = b" ".join(difference.argv)[:100]
    return repr(shown)[2:-1]


def _value(reply: object) -> str:
    return reply if isinstance(reply, str) else show(reply)[:600]


if __name__ == "__main__":
    end_on_signals()
    sys.exit(main())
