"""Looking into dumps: as keys, as JSON, by memory."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from pyredis.persistence.writer import write
from pyredis.tools.cli import main
from tests.support import new_client
from tests.test_check_rdb import SMALL

LATE_MS = 9_000_000_000_000


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """A file with a key of each type, some in another database, some with odd bytes."""
    client = new_client()
    client("SET", "user:1", "Ada", "PXAT", LATE_MS)
    client("SET", "user:2", b"\xff\x00text")
    client("SET", "count", 12)
    client("RPUSH", b"odd\nname", "a", "b")
    client("SELECT", 2)
    client("HSET", "h", "f", "v", "g", "w")
    client("HPEXPIREAT", "h", LATE_MS, "FIELDS", 1, "g")
    client("SADD", "s", "x")
    client("ZADD", "z", 1.5, "a", "inf", "b")
    client("XADD", "x", "1-1", "f", "v")
    client("XGROUP", "CREATE", "x", "g", "0")
    client("XREADGROUP", "GROUP", "g", "c", "STREAMS", "x", ">")
    path = tmp_path / "dump.rdb"
    path.write_bytes(b"".join(write(client.engine.ks.dbs)))
    return path


def view(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["rdb", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def records(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    lines = view(capsys, "--json", *arguments).splitlines()
    return {record["key"]: record for record in map(json.loads, lines)}


def test_json(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = records(capsys, dump)
    assert found["user:1"] == {
        "db": 0, "key": "user:1", "type": "string", "expires_at_ms": LATE_MS, "value": "Ada",
    }  # fmt: skip
    text = found["user:2"]["value"]
    assert text.encode("utf-8", "surrogateescape") == b"\xff\x00text"
    assert found["count"]["value"] == "12"
    assert found["odd\nname"]["value"] == ["a", "b"]
    assert found["h"]["value"] == {"f": "v", "g": "w"}
    assert found["h"]["field_expires_at_ms"] == {"g": LATE_MS}
    assert found["s"]["db"] == 2
    assert found["s"]["value"] == ["x"]
    assert found["z"]["value"] == [["a", 1.5], ["b", "inf"]]
    stream = found["x"]["value"]
    assert stream["entries"] == [["1-1", [["f", "v"]]]]
    assert stream["groups"][0]["pending"][0][:2] == ["1-1", "c"]


def test_json_in_base64(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = records(capsys, dump, "--base64")
    value = found[base64.b64encode(b"user:2").decode()]["value"]
    assert base64.b64decode(value) == b"\xff\x00text"


def test_keys(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line.split("\t") for line in view(capsys, dump).splitlines()]
    names = [row[5] for row in rows]
    assert names == ["user:1", "user:2", "count", '"odd\\nname"', "h", "s", "z", "x"]
    assert rows[1][:3] == ["0", "string", "6"]
    assert rows[1][4] == "-1"
    assert int(rows[0][4]) > 0
    assert sum(int(row[3]) for row in rows) < dump.stat().st_size


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--match", "user:*"], ["user:1", "user:2"]),
        (["--db", "2", "--type", "zset", "--type", "set"], ["s", "z"]),
        (["--db", "7"], []),
    ],
)
def test_filters(
    options: list[str], names: list[str], dump: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [line.split("\t")[5] for line in view(capsys, dump, *options).splitlines()] == names


def test_memory(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = view(capsys, "--memory", "--top", 2, dump)
    assert out.startswith("8 keys, about ")
    assert "user:" in out
    assert "... and" not in out
    assert len(out[out.index("largest keys") :].splitlines()) == 4
    assert "0 keys" in view(capsys, "--memory", "--db", 9, dump)


def test_memory_as_csv(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = view(capsys, "--memory", "--csv", dump).splitlines()
    assert head.startswith("database,type,key,size_in_bytes,encoding,")
    cells = {row.split(",")[2]: row.split(",") for row in rows}
    assert cells["user:1"][4:] == ["embstr", "3", "3", str(LATE_MS)]
    assert cells["count"][4] == "int"
    assert cells["h"][4:7] == ["listpackex", "2", "1"]
    assert all(int(row[3]) > 0 for row in cells.values())


def test_prefixes_of_several_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = new_client()
    for name in ("a/b/1", "a/b/2", "a/c/1", "d/1", "e"):
        client("SET", name, "v")
    path = tmp_path / "dump.rdb"
    path.write_bytes(b"".join(write(client.engine.ks.dbs)))
    out = view(capsys, "--memory", "--separator", "/", "--depth", 2, path)
    rows = out[out.index("prefix") : out.index("largest")].splitlines()[1:]
    counts = {row.split()[0]: row.split()[1] for row in rows if row}
    assert counts == {"a/b/": "2", "a/c/": "1", "d/": "1", "(none)": "1"}


def test_modules_and_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(SMALL)
    found = records(capsys, path)
    assert found["m"]["type"] == "module"
    assert found["m"]["value"] is None
    assert len(found["m"]["module"]) == 9
    path.write_bytes(SMALL[:-20])
    assert main(["rdb", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("0\tstring"), "what is good comes first"
    assert "unexpected end of data" in captured.err
