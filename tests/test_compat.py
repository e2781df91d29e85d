"""The harness of ``compat/``: a short run of it, and its own parts."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from compat import differences, undefined
from compat.__main__ import CORPUS
from compat.generate import Generator
from compat.judge import Difference, Judge
from compat.replies import parse_all
from compat.sequences import Step, corpus, read, text
from compat.servers import Follower
from compat.shrink import shrink
from pyredis.server import command_table
from tests.support import REDIS_SERVER

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


def test_replies_keep_their_type() -> None:
    wire = b"+OK\r\n$2\r\nOK\r\n:1\r\n*-1\r\n$-1\r\n%1\r\n+a\r\n,1.5\r\n"
    assert parse_all(wire) == [
        ("+", b"OK"), b"OK", 1, ("*", None), None, ("%", [("+", b"a"), (",", b"1.5")]),
    ]  # fmt: skip
