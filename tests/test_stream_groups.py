"""Consumer groups: the lists of pending entries beside a dumb twin, XGROUP beside a real server."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pyredis.types import stream_groups as module
from pyredis.types.stream_groups import Consumer, Group, Nack, Pending
from pyredis.types.streams import Node, Stream
from tests.observe import Observer
from tests.support import EngineClient, Twin

ids = st.integers(0, 60)


class PendingBesideDict(RuleBasedStateMachine):
    """Every method, against a dict that is sorted for every question."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = Pending()
        self.twin: dict[int, Nack] = {}
        self.top = 0

    @rule(entry_id=ids)
    def add(self, entry_id: int) -> None:
        nack = self.twin[entry_id] = Nack(b"c", 0)
        self.pending.add(entry_id, nack)

    @rule(count=st.integers(1, 12))
    def add_behind(self, count: int) -> None:
        for _ in range(count):
            self.top += 1
            self.add(60 + self.top)

    @rule(data=st.data())
    def remove(self, data: Any) -> None:
        if self.twin:
            entry_id = data.draw(st.sampled_from(sorted(self.twin)))
            self.pending.remove(entry_id)
            del self.twin[entry_id]

    @rule(count=st.integers(1, 9))
    def remove_first(self, count: int) -> None:
        for entry_id in sorted(self.twin)[:count]:
            self.pending.remove(entry_id)
            del self.twin[entry_id]

    @rule(start=st.integers(0, 90))
    def walk(self, start: int) -> None:
        expected = [pair for pair in sorted(self.twin.items(), key=_id) if pair[0] >= start]
        assert list(self.pending.items(start)) == expected

    @rule(start=st.integers(0, 90))
    def remove_on_the_way(self, start: int) -> None:
        for entry_id, _ in self.pending.items(start):
            if entry_id % 2:
                self.pending.remove(entry_id)
                del self.twin[entry_id]

    @rule()
    def ends(self) -> None:
        if self.twin:
            assert self.pending.first() == min(self.twin)
            assert self.pending.last() == max(self.twin)

    @rule()
    def copy(self) -> None:
        self.pending = self.pending.copy_with(self.twin)

    @invariant()
    def agrees(self) -> None:
        self.pending._check()
        assert self.pending.nacks == self.twin


def _id(pair: tuple[int, Nack]) -> int:
    return pair[0]


def test_pending_entries_behave_like_a_sorted_dict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STALE_MIN", 4)
    run_state_machine_as_test(PendingBesideDict, settings=settings(max_examples=40))


def test_groups_are_freed_with_their_key(client: EngineClient) -> None:
    """No circle of references keeps them until the garbage collector comes."""
    client("XADD", "s", "1-1", "f", "v")
    client("XGROUP", "CREATE", "s", "g", "0")
    client("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">")

    def left() -> list[str]:
        kinds = (Stream, Node, Group, Consumer, Pending, Nack)
        return [type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, kinds)]

    gc.collect()
    before = left()
    gc.disable()
    try:
        client("DEL", "s")
        assert len(left()) == len(before) - 7
    finally:
        gc.enable()


# Commands


def test_create_and_set_id(twin: Twin) -> None:
    for number in range(1, 6):
        twin("XADD", "s", f"{number}-0", "f", "v")
    twin("SET", "str", 1)
    for line in (
        "CREATE s a 0", "CREATE s a 0", "CREATE s b $", "create s c 3-0 entriesread 3",
        "CREATE s d 3", "CREATE s e -", "CREATE s e x", "CREATE s e > ",
        "CREATE s e 0 ENTRIESREAD -1", "CREATE s f +", "CREATE s f 0 ENTRIESREAD -2",
        "CREATE s f 0 ENTRIESREAD x", "CREATE s f 0 ENTRIESREAD", "CREATE s f 0 FOO",
        "CREATE s f 0 MKSTREAM ENTRIESREAD 1", "CREATE no f 0", "CREATE str f 0",
        "CREATE no f x MKSTREAM", "CREATE no f $ MKSTREAM", "CREATE no g 5 mkstream",
        "CREATE str f 0 MKSTREAM", "CREATE str f 0 FOO",
        "CREATE no f 0 MKSTREAM MKSTREAM ENTRIESREAD 1",
        "CREATE new f 0 MKSTREAM MKSTREAM MKSTREAM", "CREATE no2 f", "CREATE", "FOO", "FOO s a",
        "HELP x", "CREATE no2 f 0 ENTRIESREAD 1 MKSTREAM MKSTREAM",
        "CREATE s h 0 ENTRIESREAD 1 ENTRIESREAD 2", "SETID s a 2-0", "SETID s a $",
        "SETID s a 2-0 ENTRIESREAD 2", "SETID s a x", "SETID s a -", "SETID s no 0",
        "SETID no a 0", "SETID str a 0", "SETID s a 0 MKSTREAM", "SETID s a 0 ENTRIESREAD",
        "SETID s a 0 ENTRIESREAD x", "SETID s a 0 ENTRIESREAD -3", "SETID s no x ENTRIESREAD -3",
        "SETID s a 0 ENTRIESREAD 1 ENTRIESREAD 2", "SETID s a", "SETID s a 1 entriesread -1",
    ):  # fmt: skip
        twin("XGROUP", *line.split())
    for key in ("s", "no", "new"):
        real, ours = (  # without their lags, which 7.0 reckons otherwise
            [group[:-2] for group in one("XINFO", "GROUPS", key)] for one in (twin.real, twin.ours)
        )
        assert real == ours
        twin("EXISTS", key)


def test_consumers_and_destruction(twin: Twin) -> None:
    for number in range(1, 6):
        twin("XADD", "s", f"{number}-0", "f", "v")
    twin("SET", "str", 1)
    twin("XGROUP", "CREATE", "s", "g", "0")
    twin("XREADGROUP", "GROUP", "g", "b", "COUNT", 3, "STREAMS", "s", ">")
    for line in (
        "CREATECONSUMER s g a", "CREATECONSUMER s g a", "CREATECONSUMER s g b",
        "CREATECONSUMER s no a", "CREATECONSUMER no g a", "CREATECONSUMER str g a",
        "CREATECONSUMER s g", "CREATECONSUMER s g a b", "DELCONSUMER s g b", "DELCONSUMER s g b",
        "DELCONSUMER s g a", "DELCONSUMER s no a", "DELCONSUMER no g a", "DELCONSUMER str g a",
        "DELCONSUMER s g", "DESTROY s no", "DESTROY no g", "DESTROY str g", "DESTROY s g",
        "DESTROY s g", "DESTROY s",
    ):  # fmt: skip
        twin("XGROUP", *line.split())
        twin("XINFO", "GROUPS", "s")
        if b"g" in twin.ours.engine.ks.dbs[0].data[b"s"].groups:
            twin("XPENDING", "s", "g")
    twin("XDEL", "s", *(f"{number}-0" for number in range(1, 6)))
    twin("EXISTS", "s")


def test_events_and_propagation(client: EngineClient) -> None:
    client("XADD", "s", "1-1", "f", "v")
    observer = Observer(client)
    for command, event in (
        ("XGROUP CREATE s g $", "xgroup-create"),
        ("XGROUP SETID s g 0", "xgroup-setid"),
        ("XGROUP CREATECONSUMER s g a", "xgroup-createconsumer"),
        ("XGROUP CREATECONSUMER s g a", ""),
        ("XGROUP DELCONSUMER s g a", "xgroup-delconsumer"),
        ("XGROUP DELCONSUMER s g a", ""),
        ("XGROUP DESTROY s g", "xgroup-destroy"),
        ("XGROUP DESTROY s g", ""),
    ):
        expected = ([f"0:s {event}"], [f"0:{command}"]) if event else ([], [])
        assert observer.after(*command.split()) == expected
    command = "XGROUP CREATE t g $ MKSTREAM"
    assert observer.after(*command.split()) == (["0:t new", "0:t xgroup-create"], [f"0:{command}"])


def test_help(client: EngineClient) -> None:
    for container in ("XGROUP", "XINFO"):
        lines = client(container, "HELP")
        assert lines[0].startswith(container.encode() + b" <subcommand>")
    assert b"CREATE <key> <group> (<id>|$) [MKSTREAM] [ENTRIESREAD <entries-read>]" in client(
        "XGROUP", "HELP"
    )
