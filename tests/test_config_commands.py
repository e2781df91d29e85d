"""CONFIG: permissions, errors and replies; what settings mean is tested elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyredis.config import Config
from pyredis.configfile import DiskFiles, Loader, parse_command_line, rewrite_file
from tests.support import EngineClient, Twin, new_client


def test_get(twin: Twin) -> None:
    twin("CONFIG", "GET", "maxmemory")
    twin("CONFIG", "GET", "nothing")
    twin("CONFIG", "GET", "PORTx", "hz")
    twin.unordered("CONFIG", "GET", "maxmemory*", "hz", "MAXCLIENTS")


def test_get_is_a_map(client: EngineClient) -> None:
    client.session.resp3 = True
    assert client("CONFIG", "GET", "hz") == ("map", [(b"hz", b"10")])


@pytest.mark.parametrize(
    "words",
    ["SET", "SET hz", "SET hz 1 hz", "SET hz 20 hz 30", "SET nope 1", "SET hz x", "SET dir /tmp",
     "SET daemonize yes", "SET maxmemory 1x", "GET", "nope", "REWRITE", "REWRITE x",
     "SET hz 20 maxclients 0"],
)  # fmt: skip
def test_errors(twin: Twin, words: str) -> None:
    twin("CONFIG", *words.split())
    twin("CONFIG", "GET", "hz")


def test_set(twin: Twin) -> None:
    twin("CONFIG", "SET", "maxmemory", "10mb", "maxmemory-samples", "7")
    twin("CONFIG", "GET", "maxmemory")
    twin("CONFIG", "GET", "maxmemory-samples")
    twin("CONFIG", "SET", "maxmemory", "0", "maxmemory-samples", "5")


def test_protected() -> None:
    client = new_client()
    assert b"can't set protected config" in client("CONFIG", "SET", "dir", "/tmp")
    client.engine.config.enable_protected_configs = "local"
    assert client("CONFIG", "SET", "dir", "/tmp") == b"OK"
    assert client("CONFIG", "GET", "dir") == [b"dir", b"/tmp"]


def test_secrets_stay_out_of_the_slow_log(client: EngineClient) -> None:
    client("CONFIG", "SET", "slowlog-log-slower-than", 0)
    client("SLOWLOG", "RESET")
    client("CONFIG", "SET", "hz", "12", "requirepass", "secret")
    argv = client("SLOWLOG", "GET", 1)[0][3]
    assert argv == [b"CONFIG", b"SET", b"hz", b"12", b"requirepass", b"(redacted)"]


def test_rewrite(client: EngineClient, tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text("# mine\nhz 10\n")
    engine = client.engine
    engine.config_path = str(path)
    engine.rewrite_config = lambda: rewrite_file(str(path), engine.config, DiskFiles())
    client("CONFIG", "SET", "hz", "50")
    assert client("CONFIG", "REWRITE") == b"OK"
    assert path.read_text().startswith("# mine\nhz 50\n")


def test_rewrite_of_everything_reads_back_as_it_was(client: EngineClient, tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    engine = client.engine
    engine.config.enable_debug_command = "yes"
    engine.config_path = str(path)
    engine.rewrite_config = lambda **how: rewrite_file(str(path), engine.config, DiskFiles(), **how)
    client("CONFIG", "SET", "hz", "50")
    before = client("CONFIG", "GET", "*")
    assert client("DEBUG", "CONFIG-REWRITE-FORCE-ALL") == b"OK"
    assert "\nmaxmemory 0\n" in path.read_text()
    again = Config(engine.config.dir)
    Loader(again, DiskFiles(), "test", "7.4").load(parse_command_line([str(path)]), lambda: b"")
    client.engine.config = client.engine.ctx.config = again
    assert client("CONFIG", "GET", "*") == before


def test_rewrite_fails(client: EngineClient) -> None:
    def fail() -> None:
        raise OSError(30, "Read-only file system")

    client.engine.config_path = "/redis.conf"
    client.engine.rewrite_config = fail
    assert client("CONFIG", "REWRITE") == b"ERR Rewriting config file: Read-only file system"


def test_resetstat(client: EngineClient) -> None:
    client("SET", "a", "1")
    client("GET", "a")
    client("GET", "b")
    client("NOPE")
    assert client("CONFIG", "RESETSTAT") == b"OK"
    engine = client.engine
    assert (engine.ks.hits, engine.ks.misses, engine.stats.total_errors) == (0, 0, 0)
    assert engine.table.entries["GET"].calls == 0
    assert engine.ks.dirty == 1
    stats = client("INFO", "stats", "errorstats").decode()
    assert "total_commands_processed:1\r\n" in stats  # RESETSTAT itself
    assert "errorstat_" not in stats


def test_help(client: EngineClient) -> None:
    assert b"REWRITE" in client("CONFIG", "HELP")
