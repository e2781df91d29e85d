"""check-rdb: the same verdict as redis-check-rdb, and what is in the file."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from pyredis.persistence.encoding import crc64
from pyredis.tools.cli import main
from pyredis.tools.console import Progress, human, shown
from pyredis.tools.survey import module_name
from tests.samples import VALUES
from tests.support import RealRedis


def sealed(*records: bytes, version: int = 10) -> bytes:
    body = b"REDIS%04d" % version + b"".join(records) + b"\xff"
    return body + crc64(body).to_bytes(8, "little")


SMALL = sealed(
    b"\xfa\x09redis-ver\x057.0.1",
    b"\xf5\x05#!lua",
    b"\xfe\0\xfb\2\1",
    b"\xfc" + (1000).to_bytes(8, "little") + b"\0\1a\6hello!",
    b"\4\1h\1\1f\1v",
    b"\xfe\3",
    b"\x07\1m\x81" + (0x98F0B2FA5D16C803).to_bytes(8, "big") + b"\2\1\5\1x\0",
)


def run(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    path = tmp_path / "dump.rdb"
    path.write_bytes(data)
    status = main(["check-rdb", str(path)])
    return status, capsys.readouterr().out


def test_contents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = run(SMALL, tmp_path, capsys)
    assert status == 0
    for text in (
        "AUX FIELD redis-ver = '7.0.1'",
        "Checksum OK",
        "\\o/ RDB looks OK! \\o/",
        "3 keys read",
        "1 expires",
        "1 already expired",
        "RDB version 10 (since Redis 7.0)",
        "1 libraries of functions",
        "db0: 2 keys, 1 expires",
        "db3: 1 keys, 0 expires",
        "largest: a with 19 bytes",
    ):
        assert text in out, text
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line[:2] == "  "}
    assert rows["string"] in (["1", "6", "19B"], ["1", "19B"])
    assert rows["module"][0] == "1"


def test_every_sort_of_value_of_a_real_server(
    real_redis: RealRedis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = real_redis.client()
    real("FLUSHALL")
    for name, commands in VALUES.items():
        for command in commands:
            real(*(name if part == "k" else part for part in command))
    real("SAVE")
    data = (Path(real_redis.folder) / "dump.rdb").read_bytes()
    real("FLUSHALL")
    real.close()
    status, out = run(data, tmp_path, capsys)
    assert status == 0
    assert f"[info] {len(VALUES)} keys read" in out


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (SMALL[:-28], ("Unexpected EOF", "Last good key 'h'")),
        (SMALL[:-1] + b"x", ("RDB CRC error", "Good up to offset")),
        (b"hello, world", ("Wrong signature",)),
        (sealed(version=13), ("Can't handle RDB format version 13",)),
        (sealed(b"\xfe\0", b"\0\1a\1b", b"\x63\1k"), ("Reading key 'k'", "Last good key 'a'")),
        (b"", ("Unexpected EOF",)),
    ],
)
def test_damage(
    data: bytes, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = run(data, tmp_path, capsys)
    assert status == 1
    assert "--- RDB ERROR DETECTED ---" in out
    for text in words:
        assert text in out
    reference = subprocess.run(
        ["redis-check-rdb", tmp_path / "dump.rdb"], capture_output=True, check=False
    )
    assert reference.returncode == 1


def test_no_such_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-rdb", "/nowhere"]) == 1
    assert capsys.readouterr().err == "Cannot open file /nowhere: No such file or directory\n"


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--what"]])
def test_wrong_arguments_end_with_redis_own_status(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    reference = subprocess.run(["redis-check-rdb", *arguments], capture_output=True, check=False)
    with pytest.raises(SystemExit) as caught:
        main(["check-rdb", *arguments])
    assert caught.value.code == reference.returncode == 1
    assert "usage: pyredis check-rdb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tool", "path", "message"),
    [
        ("check-rdb", "/", "Cannot open file /: Is a directory\n"),
        ("rdb", "/", "Cannot open file /: Is a directory\n"),
        ("check-rdb", "/proc/self/mem", "Cannot read file /proc/self/mem: Input/output error\n"),
        ("rdb", "/proc/self/mem", "Cannot read file /proc/self/mem: Input/output error\n"),
        ("check-aof", "/proc/self/mem", "Cannot read file /proc/self/mem: Input/output error\n"),
    ],
)
def test_what_cannot_be_read(
    tool: str, path: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([tool, path]) == 1
    assert capsys.readouterr().err == message


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"], "redis-check-rdb")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("redis-check-rdb 7.")


def test_under_the_name_of_redis_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dump.rdb").write_bytes(SMALL)
    assert main([str(tmp_path / "dump.rdb")], "/usr/bin/redis-check-rdb") == 0
    assert "RDB looks OK" in capsys.readouterr().out
    assert main([], "pyredis") == 1
    assert main(["nothing"], "pyredis") == 2
    assert main(["--version"], "pyredis") == 0
    assert "there is no command 'nothing'" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_terminals() -> None:
    times = iter([0.0, 0.1, 1.0])
    terminal = Terminal()
    progress = Progress(4 << 20, terminal, lambda: next(times))
    progress.show(1 << 20, 5)
    assert not terminal.getvalue(), "not so often"
    progress.show(2 << 20, 7)
    assert terminal.getvalue() == "\r 50.0%  7 keys  2.0 MB/s"
    progress.clear()
    assert terminal.getvalue().endswith(" \r")
    silent = io.StringIO()
    Progress(1, silent, lambda: 0.0).show(1, 1)
    assert not silent.getvalue()


def test_words_for_people() -> None:
    assert [human(512), human(1536), human(5 << 20)] == ["512B", "1.5K", "5.0M"]
    assert [shown(b"plain"), shown(b"\xff\n"), shown("é".encode())] == ["plain", '"\\xff\\n"', "é"]
    assert module_name(int.from_bytes(bytes.fromhex("92f7db4e3c5bc400"), "big")) == "kvfbTjxbx"
