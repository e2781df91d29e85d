"""What DEBUG DIGEST leaves out shows in the fingerprint, and what is a server's own does not."""

from __future__ import annotations

import pytest

from pyredis.digest import data_digest
from pyredis.sim.fingerprint import fingerprint
from tests.support import EngineClient, new_client

SAME = (
    "SET k v PXAT 2000000000000",
    "HSET h f 1 g 2",
    "HPEXPIREAT h 2000000000000 FIELDS 1 f",
    "XADD s 1-1 f v",
    "XADD s 2-1 f v",
    "XGROUP CREATE s grp 0",
    "XREADGROUP GROUP grp one COUNT 1 STREAMS s >",
)


def client(*more: str) -> EngineClient:
    made = new_client()
    for line in (*SAME, *more):
        made(*line.split())
    return made


@pytest.mark.parametrize(
    "line",
    [
        "PEXPIREAT k 2000000000001",
        "HPEXPIREAT h 2000000000001 FIELDS 1 f",
        "XGROUP CREATE s other 0",
        "XGROUP SETID s grp 2-1",
        "XACK s grp 1-1",
        "XSETID s 3-1",
    ],
)
def test_what_the_digest_leaves_out(line: str) -> None:
    first, second = client(), client(line)
    dbs, others = first.engine.ks.dbs, second.engine.ks.dbs
    assert data_digest(dbs) == data_digest(others)
    assert fingerprint(dbs) != fingerprint(others)


def test_neither_the_order_of_what_was_done_matters_nor_who_has_nothing() -> None:
    first = client("SET x 1 PXAT 2000000000000", "XADD t 1-1 a b")
    second = client("XGROUP CREATECONSUMER s grp two")
    for line in ("XADD t 1-1 a b", "SET x 1 PXAT 2000000000000", "OBJECT FREQ k"):
        second(*line.split())
    assert fingerprint(first.engine.ks.dbs) == fingerprint(second.engine.ks.dbs)
