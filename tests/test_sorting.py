"""SORT and SORT_RO against a real server."""

from __future__ import annotations

import pytest

from tests.observe import Observer
from tests.support import EngineClient, Twin

OPTIONS = [
    "", "DESC", "ALPHA", "ALPHA DESC", "asc desc",
    "LIMIT 0 2", "LIMIT 1 -1", "LIMIT -5 2", "LIMIT 9 9", "LIMIT 2 0", "LIMIT 0 -2 DESC",
    "LIMIT 0 2 LIMIT 1 1",
    "BY w_*", "BY w_* DESC", "BY w_* LIMIT 1 2", "BY h_*->f", "BY h_*->", "BY h_*->none",
    "BY nosort", "BY nosort DESC", "BY nosort LIMIT 1 2", "BY nosort DESC LIMIT 1 2",
    "BY nosort BY w_*", "BY w_* BY nosort", "BY t_*", "BY t_* ALPHA", "BY *", "BY l*",
    "GET #", "GET w_*", "GET w_* GET #", "GET h_*->f", "GET h_*->none", "GET h_*->", "GET none",
    "GET *", "GET l*", "GET #x", "GET w_*->f", "BY w_* GET h_*->f GET # LIMIT 0 2",
    "LIMIT", "LIMIT 1", "LIMIT a 1", "LIMIT 1 b", "BY", "GET", "STORE", "WHAT", "LIMIT 0 1 x",
]  # fmt: skip


def _prepare(twin: Twin) -> None:
    twin("MSET", "w_1", 30, "w_2", 10, "w_3", 20, "1", "one", "t_1", "b", "t_2", "a", "t_3", "c")
    twin("HSET", "h_1", "f", 5)
    twin("HSET", "h_2", "f", 6)


@pytest.mark.parametrize("options", OPTIONS)
def test_list(twin: Twin, options: str) -> None:
    _prepare(twin)
    twin("RPUSH", "l", 3, 1, 2, 10)
    twin("SET", "w_10", 15)
    twin("SORT", "l", *options.split())
    twin("SORT_RO", "l", *options.split())
    twin("SORT", "nothing", *options.split())
    twin("SORT", "l", *options.split(), "STORE", "out")
    twin("TYPE", "out")
    twin("SORT", "out", "BY", "nosort")


@pytest.mark.parametrize("options", [options for options in OPTIONS if "LIMIT" not in options])
def test_set(twin: Twin, options: str) -> None:
    _prepare(twin)
    twin("SADD", "s", 3, 1, 2, 10)
    twin.unordered("SORT", "s", *options.split())
    twin("SORT", "s", *options.split(), "STORE", "out")
    twin("SORT", "out", "BY", "nosort")


@pytest.mark.parametrize("options", ["'BY','_'", "'BY','_','DESC'", "'BY','_','LIMIT',1,2"])
def test_a_script_gets_a_set_in_order(twin: Twin, options: str) -> None:
    for key, members in (("s", "qwertzx"), ("l", "qwerq")):
        twin("SADD" if key == "s" else "RPUSH", key, *members)
        twin("EVAL", f"return redis.call('SORT', '{key}', {options})", 0)


@pytest.mark.parametrize("options", OPTIONS)
def test_sorted_set(twin: Twin, options: str) -> None:
    _prepare(twin)
    twin("ZADD", "z", 3, 1, 2, 3, 1, 10, 4, 2)
    twin("OBJECT", "ENCODING", "z")
    twin("SORT", "z", *options.split())
    twin("OBJECT", "ENCODING", "z")


@pytest.mark.parametrize(
    "number", [" 1", "1 ", "", "0x10", "inf", "-Infinity", "nan", "1e400", "1e-400", "1e3", "x",
               "-0", "1\x002", "+5", "  ", "1_0"],
)  # fmt: skip
def test_numbers(twin: Twin, number: str) -> None:
    twin("RPUSH", "l", 2, number, 1, "-3", 100)
    twin("SORT", "l")
    twin("RPUSH", "m", "a", "b")
    twin("MSET", "w_a", number, "w_b", 1)
    twin("SORT", "m", "BY", "w_*")


def test_wrong_types(twin: Twin) -> None:
    twin("SET", "text", 1)
    twin("HSET", "hash", "f", 1)
    for key in ("text", "hash"):
        twin("SORT", key)
        twin("SORT", key, "WHAT")
        twin("SORT_RO", key)
    twin("SORT_RO", "nothing", "STORE", "out")


def test_store(twin: Twin) -> None:
    twin("RPUSH", "l", 2, 1)
    twin("SET", "out", "text")
    twin("EXPIRE", "out", 100)
    twin("SORT", "l", "STORE", "out")
    twin("TTL", "out")
    twin("SORT", "l", "GET", "none*", "STORE", "out")
    twin("LRANGE", "out", 0, -1)
    twin("SORT", "nothing", "STORE", "out")
    twin("EXISTS", "out")
    twin("SORT", "l", "STORE", "l")
    twin("LRANGE", "l", 0, -1)


def test_equal_weights_are_ordered_by_element(twin: Twin) -> None:
    twin("RPUSH", "l", "c", "a", "b", "d")
    twin("MSET", "w_a", 1, "w_b", 1, "w_c", 1)
    for options in ("BY w_*", "BY w_* DESC", "BY x_* ALPHA", "BY w_* ALPHA DESC"):
        twin("SORT", "l", *options.split())


def test_what_others_learn(client: EngineClient) -> None:
    client("RPUSH", "l", 2, 1)
    observer = Observer(client)
    dirty = client.engine.ks.dirty
    assert observer.after("SORT", "l") == ([], [])
    told = observer.after("SORT", "l", "STORE", "out")
    assert told == (["0:out new", "0:out sortstore"], ["0:SORT l STORE out"])
    assert client.engine.ks.dirty == dirty + 2
    assert observer.after("SORT", "none", "STORE", "out")[0] == ["0:none keymiss", "0:out del"]
    assert observer.after("SORT", "none", "STORE", "out") == (["0:none keymiss"], [])
