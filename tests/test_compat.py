"""The harness of ``compat/``: a short run of it, and its own parts."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from compat import differences, undefined
from compat.__main__ import CORPUS
from compat.generate import Generator
from compat.judge import Difference, Judge
from compat.recipes import CALL, SEVERAL, inside
from compat.replies import parse_all
from compat.sequences import Step, corpus, read, text
from compat.servers import Follower
from compat.shrink import shrink
from pyredis.persistence.payload import dump
from pyredis.server import command_table
from tests.support import REDIS_SERVER, ROOT

SEQUENCES = 60


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    if REDIS_SERVER is None:
        pytest.skip("redis-server is not installed")
    reference = Follower.reference()
    yield Judge(1, [reference])
    reference.close()


def again_if_late(judge: Judge, steps: list[Step], small: bool) -> None:
    """Run a sequence, once more if it fails: a machine under load can be late once."""
    try:
        judge.run(steps, small)
    except Difference:
        judge.reconnect()
        judge.run(steps, small)


def test_corpus(judge: Judge) -> None:
    for _source, steps in corpus(CORPUS):
        for small in (False, True):
            again_if_late(judge, steps, small)


def test_generated(judge: Judge) -> None:
    generator = Generator(command_table().all())
    for number in range(SEQUENCES):
        rng = Random(f"tests.{number}")
        again_if_late(judge, generator.sequence(rng), number % 2 == 0)
    assert judge.commands > SEQUENCES * 10


def test_a_difference_is_found(judge: Judge) -> None:
    steps = read("SET a 1\nGET a")[0]
    judge.run(steps, small=False)
    entry = judge.leader.engine.table.entries["GET"]
    honest = entry.handler
    entry.handler = lambda ctx, key: b"2"
    with pytest.raises(Difference) as found:
        judge.run(steps, small=False)
    entry.handler = honest
    judge.reconnect()
    assert found.value.argv == [b"GET", b"a"]
    assert (found.value.expected, found.value.got) == (b"1", b"2")


def test_a_wrong_command_for_replicas_is_found(judge: Judge) -> None:
    steps = read("SET a 1")[0]
    judge.run(steps, small=False)
    tap = judge.leader.tap
    honest = tap.take
    tap.take = lambda db_index, *wires: honest(db_index + 1, *wires)  # type: ignore[method-assign]
    with pytest.raises(Difference) as found:
        judge.run(steps, small=False)
    del tap.take
    judge.reconnect()
    assert found.value.where == "stream"


@pytest.mark.skipif(REDIS_SERVER is None, reason="redis-server is not installed")
def test_a_run_that_is_stopped_leaves_no_server_behind() -> None:
    command = [sys.executable, "-m", "compat", "--seconds", "100"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert b"corpus" in run.stdout.readline()
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        run.terminate()
        assert run.wait(20) == 128 + signal.SIGTERM
    assert len(children) == 2
    assert not any(Path("/proc", each).exists() for each in children)


def test_sequences_are_a_function_of_the_seed() -> None:
    first, second = (Generator(command_table().all()) for _ in range(2))
    assert first.sequence(Random("x")) == second.sequence(Random("x"))


def test_text_form_is_read_back() -> None:
    generator = Generator(command_table().all())
    for number in range(20):
        steps = generator.sequence(Random(number))
        assert read(text(steps)) == [steps]


def test_shrinking_leaves_what_matters() -> None:
    steps = read("SET a 1\nGET b\nINCR a\nGET a\nDEL a")[0]

    def fails(candidate: list[Step]) -> bool:
        words = [step.commands[0][0] for step in candidate]
        return b"INCR" in words and b"DEL" in words[words.index(b"INCR") :]

    assert text(shrink(steps, fails)) == "INCR\nDEL"


def test_rules() -> None:
    assert undefined.same([b"SMEMBERS", b"s"], [b"a", b"b"], [b"b", b"a"])
    assert not undefined.same([b"LRANGE", b"l", b"0", b"1"], [b"a", b"b"], [b"b", b"a"])
    assert not undefined.same([b"SMEMBERS", b"s"], [b"a"], [b"a", b"b"])
    assert undefined.same([b"SRANDMEMBER", b"s", b"2"], [b"a", b"b"], [b"c", b"a"])
    assert not undefined.same([b"SRANDMEMBER", b"s", b"2"], [b"a", b"b"], [b"a", b"a"])
    assert differences.explain([b"ZSCORE", b"z", b"a"], b"0.10000000000000001", b"0.1")
    assert differences.explain([b"GET", b"a"], b"0.10000000000000001", b"0.1") is None
    assert len(differences.ROWS) < 20


def test_what_a_script_calls_is_found_again() -> None:
    get, incr = [b"GET", b"a"], [b"INCR", b"b"]
    assert inside([b"EVAL", CALL, b"0", *get]) == ([get], False)
    assert inside([b"fcall", b"call", b"1", b"key", *get]) == ([get], False)
    assert inside([b"EVAL", SEVERAL, b"0", *get, b"|", *incr, b"|"]) == ([get, incr], True)
    for other in ([b"EVAL", b"return 1", b"0", *get], [b"GET", b"a"], [b"EVAL", CALL, b"x", b"a"]):
        assert inside(other) == ([], False)


def test_rules_for_users() -> None:
    old, new = (b"NOPERM this user has", b"NOPERM User alice has")
    tail = b" no permissions to run the 'get' command"
    assert differences.explain([b"GET", b"a"], ("-", old + tail), ("-", new + tail))
    key = b" no permissions to access one of the keys used as arguments"
    assert not differences.explain([b"GET", b"a"], ("-", old + key), ("-", new + tail))
    assert differences.explain(
        [b"ACL", b"LIST"], [b"user a on ~b +@all"], [b"user a on sanitize-payload ~b +@all +get"]
    )
    assert not differences.explain([b"ACL", b"LIST"], [b"user a on ~b"], [b"user a on ~c"])


def test_rules_for_payloads() -> None:
    def same(one: Any, other: Any, compresses: bool = True) -> bool:
        argv = [b"DUMP", b"a"]
        return undefined.same(argv, dump(one, 10, compresses), dump(other, 10, not compresses))

    assert same(b"x" * 100, b"x" * 100)
    assert not same(b"x" * 100, b"x" * 101)
    assert not same(b"1", b"x")


def test_replies_keep_their_type() -> None:
    wire = b"+OK\r\n$2\r\nOK\r\n:1\r\n*-1\r\n$-1\r\n%1\r\n+a\r\n,1.5\r\n"
    assert parse_all(wire) == [
        ("+", b"OK"), b"OK", 1, ("*", None), None, ("%", [("+", b"a"), (",", b"1.5")]),
    ]  # fmt: skip
