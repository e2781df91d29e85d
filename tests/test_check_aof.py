"""check-aof: the same verdict as redis-check-aof on the same files, and the same repairs."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyredis.resp import encode_command
from pyredis.tools.cli import main
from tests.test_check_rdb import sealed

TOOL = "redis-check-aof"


def aof(*lines: str) -> bytes:
    """Commands, and annotations, which begin with #."""
    return b"".join(
        line.encode() + b"\r\n"
        if line.startswith("#")
        else encode_command([word.encode() for word in line.split()])
        for line in lines
    )


GOOD = aof("SELECT 0", "SET a 1", "MULTI", "RPUSH l x", "INCR n", "EXEC", "SET a 2")
TIMED = aof("#TS:100", "SET a 1", "#TS:200", "SET b 1", "#TS:300", "SET c 1")
RDB = sealed(b"\xfe\0", b"\0\1p\1v")
FILES = {
    "good": GOOD,
    "empty": b"",
    "cut": GOOD[:-3],
    "cut in a length": GOOD + b"*2\r\n$",
    "open": GOOD + aof("MULTI", "SET b 2"),
    "garbage": GOOD + b"garbage",
    "zeros": GOOD + bytes(100),
    "zeros in a value": GOOD[:-4] + bytes(100),
    "garbage within": GOOD + b"xx" + GOOD,
    "preamble": RDB + GOOD,
    "preamble alone": RDB,
    "preamble cut": RDB[:-3],
    "times": TIMED,
}


def both(path: Path, *options: str, answer: str = "") -> tuple[int, int, str, str]:
    """Run the reference on a copy and ours on the file: exit statuses, outputs."""
    copy = path.with_name("copy-" + path.name)
    copy.write_bytes(path.read_bytes())
    reference = subprocess.run(
        [TOOL, *options, str(copy)], input=answer, capture_output=True, text=True, check=False
    )
    ours = subprocess.run(
        [sys.executable, "-m", "pyredis.tools.cli", "check-aof", *options, str(path)],
        input=answer, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return (
        reference.returncode,
        ours.returncode,
        reference.stdout.replace(str(copy), str(path)),
        ours.stdout,
    )


def verdicts(out: str) -> list[str]:
    """The lines that scripts go by, without the line numbers, which tell less."""
    wanted = re.compile(
        r"AOF analyzed|is valid|is not valid|is empty|Successfully|Start checking|"
        r"because it is not|has nothing before|Truncate nothing|This will shrink"
    )
    lines = [line for line in out.splitlines() if wanted.search(line)]
    return [re.sub(r" ok_up_to_line=\d+,", "", line) for line in lines]


@pytest.mark.parametrize("name", FILES)
def test_verdict(name: str, tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(FILES[name])
    expected, status, reference, out = both(path)
    assert status == expected, out
    assert verdicts(out) == verdicts(reference)
    assert path.read_bytes() == FILES[name]


@pytest.mark.parametrize("name", ["cut", "open", "zeros", "zeros in a value", "garbage"])
def test_repair(name: str, tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(FILES[name])
    expected, status, reference, out = both(path, "--fix", answer="n\n")
    assert (status, expected) == (1, 1)
    assert "Continue? [y/N]: Aborting..." in out
    assert path.read_bytes() == FILES[name]
    expected, status, reference, out = both(path, "--fix", answer="y\n")
    assert (status, expected) == (0, 0)
    assert verdicts(out) == verdicts(reference)
    assert path.read_bytes() == path.with_name("copy-appendonly.aof").read_bytes()
    assert main(["check-aof", str(path)]) == 0


@pytest.mark.parametrize("until", ["300", "250", "100", "50"])
def test_back_in_time(until: str, tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(TIMED)
    expected, status, reference, out = both(path, "--truncate-to-timestamp", until)
    assert status == expected
    assert verdicts(out)[:2] == verdicts(reference)[:2]
    assert path.read_bytes() == path.with_name("copy-appendonly.aof").read_bytes()


def ours(*arguments: object) -> int:
    return main(["check-aof", *map(str, arguments)])


def test_contents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(TIMED + aof("CONFIG SET x y", "SELECT 1", "SET a 1", "nonsense") + bytes(50))
    assert ours(path) == 1
    out = capsys.readouterr().out
    assert "7 commands, 4 different keys" in out
    assert "SET 4, CONFIG SET 1, SELECT 1, nonsense 1" in out
    assert "1970-01-01 00:01:40 UTC (100) to 1970-01-01 00:05:00 UTC (300)" in out
    assert "The last 50 bytes are zeros" in out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A multi-part AOF."""
    made = tmp_path / "appendonlydir"
    made.mkdir()
    (made / "a.1.base.rdb").write_bytes(RDB)
    (made / "a.1.incr.aof").write_bytes(GOOD)
    (made / "a.2.incr.aof").write_bytes(TIMED)
    (made / "a.manifest").write_text(
        "file a.1.base.rdb seq 1 type b\n"
        "file a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n"
    )
    return made


def test_multi_part(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (folder, folder / "a.manifest"):
        assert ours(path, "--quiet") == 0
        out = capsys.readouterr().out
        for text in (
            "Start checking Multi Part AOF",
            "Start to check BASE AOF (RDB format).",
            "BASE AOF a.1.base.rdb is valid",
            "INCR AOF a.1.incr.aof is valid",
            "INCR AOF a.2.incr.aof is valid",
            "All AOF files and manifest are valid",
        ):
            assert text in out


def test_only_the_last_file_is_cut(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last, first = folder / "a.2.incr.aof", folder / "a.1.incr.aof"
    last.write_bytes(TIMED[:-1])
    assert ours(folder) == 1
    assert ours(folder, "--fix", "--yes") == 0
    assert last.read_bytes() == TIMED[: TIMED.rindex(b"*3")]
    first.write_bytes(GOOD[:-1])
    assert ours(folder, "--fix", "--yes") == 1
    out = capsys.readouterr().out
    assert "Failed to truncate AOF a.1.incr.aof because it is not the last file" in out
    assert first.read_bytes() == GOOD[:-1]
    first.write_bytes(TIMED)
    assert ours(folder, "--truncate-to-timestamp", 150) == 1
    assert first.read_bytes() == TIMED
    first.unlink()
    assert ours(folder) == 1


def test_a_transaction_is_not_cut_in_two(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    whole = aof("#TS:100", "SET a 1")
    path.write_bytes(whole + aof("MULTI", "SET b 1", "#TS:300", "SET c 1", "EXEC"))
    assert ours(path, "--truncate-to-timestamp", 200) == 0
    assert path.read_bytes() == whole


def test_a_base_of_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.1.base.rdb").write_bytes(aof("SET a 1"))
    assert ours(folder) == 0
    assert "Start to check BASE AOF (RESP format)." in capsys.readouterr().out


def test_bad_manifests(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.manifest").write_text("file a.1.base.rdb seq 1 type b\nfile x\n")
    assert ours(folder) == 1
    out = capsys.readouterr().out
    assert "at line 2" in out
    assert ">>> 'file x'" in out
    (folder / "a.manifest").unlink()
    assert ours(folder) == 1
    assert "one manifest (*.manifest) is wanted, found 0" in capsys.readouterr().err


def test_a_data_folder_is_looked_into(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folder.parent
    (data / "dump.rdb").write_bytes(RDB)
    (data / "other").mkdir()
    (data / "other" / "b.manifest").write_text("file x seq 1 type i\n")
    assert ours(data, "--quiet") == 0
    assert "All AOF files and manifest are valid" in capsys.readouterr().out
    folder.rename(data / "renamed")
    assert ours(data) == 1
    message = f"{data}: one manifest (*.manifest) is wanted, found 2: other/b.manifest, renamed/a."
    assert message in capsys.readouterr().err
    (data / "other" / "b.manifest").unlink()
    assert ours(data, "--quiet") == 0


def test_a_folder_that_cannot_be_read(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", refuse)
    assert ours(folder) == 1
    assert capsys.readouterr().err == f"Cannot read folder {folder}: Permission denied\n"


def test_arguments(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    for wrong in ([], ["a", "b"], ["--what", "a"], ["--fix"]):
        with pytest.raises(SystemExit) as caught:
            ours(*wrong)
        assert caught.value.code == 1
        assert "usage: pyredis check-aof" in capsys.readouterr().err
    assert ours("--truncate-to-timestamp", "x", "y") == 1
    assert capsys.readouterr().out == "Invalid timestamp, aborting...\n"
    assert ours("/nowhere") == 1
