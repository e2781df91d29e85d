"""Reading configuration files and command lines, and CONFIG REWRITE."""

import fnmatch
import os
import subprocess
from pathlib import Path

import pytest

from pyredis.config import Config, ConfigError, SavePoint, SentinelLine
from pyredis.config_types import decode
from pyredis.configfile import (
    CommandLine,
    DiskFiles,
    FatalConfigError,
    Loader,
    parse_command_line,
    resolve_dir,
    rewrite,
    rewrite_file,
)
from tests.support import REDIS_SERVER, WireClient, free_port

TITLE = "*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***\n"


class Disk(dict[str, str]):
    """Files in memory; the folder /locked cannot be written."""

    def read(self, path: str) -> bytes:
        if path not in self:
            raise FileNotFoundError(2, "No such file or directory")
        return self[path].encode()

    def find(self, pattern: str) -> list[str]:
        return sorted(path for path in self if fnmatch.fnmatch(path, pattern))

    def open_log(self, path: str) -> None:
        if path.startswith("/locked/"):
            raise PermissionError(13, "Permission denied")
        self.setdefault(path, "")

    def replace(self, path: str, content: bytes) -> None:
        self[path] = content.decode()


def loaded(text: str, *args: str, stdin: bytes = b"", disk: Disk | None = None) -> Config:
    """A config read from /srv/redis.conf with that text, and from arguments."""
    disk = Disk() if disk is None else disk
    disk["/srv/redis.conf"] = text
    config = Config("/srv")
    loader = Loader(config, disk, "Redis", "7.2.4")
    path = loader.load(parse_command_line(["redis.conf", *args]), lambda: stdin)
    assert path == "/srv/redis.conf"
    return config


def report(text: str, *args: str, disk: Disk | None = None) -> str:
    """What the server prints before it gives up."""
    with pytest.raises(FatalConfigError) as caught:
        loaded(text, *args, disk=disk)
    return str(caught.value)


# Lines


def test_lines() -> None:
    config = loaded('# no\n\n  TimeOut 5\t\r\nrequirepass "a b\\x41#"\nmaxmemory 1gb\nhz 20\nhz 30')
    assert (config.timeout, config.requirepass, config.hz) == (5, "a bA#", 30)


def test_lines_that_add_up() -> None:
    config = loaded(
        "save 900 1\nsave '300 2'\nbind 1.1.1.1\nbind 2.2.2.2 -::1\n"
        "client-output-buffer-limit normal 1 2 3\nclient-output-buffer-limit replica 1mb 0 0\n"
        "user alice on\nuser bob\nrename-command GET G\nrename-command SET ''\n"
        "loadmodule /m.so a b\nm.x 1 2\n"
    )
    assert config.save == (SavePoint(900, 1), SavePoint(300, 2))
    assert config.bind == ("2.2.2.2", "-::1")
    assert config.show("client-output-buffer-limit").startswith("normal 1 2 3 slave 1048576 0 0 p")
    assert config.users == [("alice", "on"), ("bob",)]
    assert config.renamed_commands == [("GET", "G"), ("SET", "")]
    assert config.modules == [("/m.so", "a", "b")]
    assert config.module_configs == {"m.x": ("1", "2")}


@pytest.mark.parametrize(
    ("text", "save"),
    [
        ("", "3600 1 300 100 60 10000"),
        ("save", ""),
        ("save ''", ""),
        ("save 1 1\nsave", "1 1"),
        ("save 1 1\nsave ''\nsave 2 2", "2 2"),
    ],
)
def test_save(text: str, save: str) -> None:
    assert loaded(text).show("save") == save


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("foo bar", "Bad directive or wrong number of arguments"),
        ("include", "Bad directive or wrong number of arguments"),
        ("maxmemory", "wrong number of arguments"),
        ("maxmemory 1 # no", "wrong number of arguments"),
        ("maxmemory zz", "argument must be a memory value"),
        ('maxmemory "1', "Unbalanced quotes in configuration line"),
        ("replicaof host 99999", "Invalid master port"),
        ("unixsocketperm 999", "argument couldn't be parsed as an octal number"),
        ("unixsocketperm 7777", "argument must be between 0 and 777 inclusive"),
        ("sentinel monitor x", "sentinel directive while not in sentinel mode"),
        ("m.x", "Module config specified without value"),
        ("appendfilename a/b", "appendfilename can't be a path, just a filename"),
    ],
)
def test_bad_lines(line: str, reason: str) -> None:
    assert report(f"\nport 1\n{line} \n") == (
        f"{TITLE}Reading the configuration file, at line 3\n>>> '{line}'\n{reason}"
    )


def test_a_user_twice() -> None:
    assert report("user a\nuser a").endswith(
        "Error in user declaration 'a': Duplicate user found. "
        "A user can only be defined once in config files"
    )


def test_settings_that_exclude_each_other() -> None:
    text = "replicaof host 1\ncluster-enabled yes"
    assert report(text) == f"{TITLE}replicaof directive not allowed in cluster mode"


def test_log_file_exists_from_the_start() -> None:
    disk = Disk()
    loaded("logfile a.log\ndir /var", disk=disk)
    assert "/var/a.log" in disk
    assert report("logfile /locked/log") == f"{TITLE}Can't open the log file: Permission denied"


def test_hooks_check_where_the_line_stands() -> None:
    def check(words: tuple[str, ...]) -> None:
        raise ConfigError(f"No such command in rename-command {words}")

    disk = Disk({"/a": "rename-command x y"})
    loader = Loader(Config(), disk, "Redis", "7.2.4", hooks={"rename-command": check})
    with pytest.raises(FatalConfigError) as caught:
        loader.load(CommandLine("/a"))
    assert (caught.value.path, caught.value.line_number) == ("/a", 1)


def test_sentinel_lines() -> None:
    config = Config()
    disk = Disk({"/s.conf": "port 5\nsentinel monitor m 1.1.1.1 1 2"})
    Loader(config, disk, "Redis", "7.2.4").load(parse_command_line(["/s.conf", "--sentinel"]))
    assert config.sentinel_lines == [
        SentinelLine(2, "sentinel monitor m 1.1.1.1 1 2", ("monitor", "m", "1.1.1.1", "1", "2"))
    ]


# Includes


def test_includes() -> None:
    disk = Disk({"/srv/a.conf": "hz 20\ntimeout 1", "/etc/d/1.conf": "hz 30", "/etc/d/2.conf": ""})
    config = loaded("include a.conf\ntimeout 2", disk=disk)
    assert (config.hz, config.timeout) == (20, 2)
    assert loaded("dir /etc\ninclude 'd/*.conf'\ninclude no*", disk=disk).hz == 30


def test_errors_in_includes_name_the_file() -> None:
    assert report("include a.conf", disk=Disk({"/srv/a.conf": "\nfoo"})) == (
        f"{TITLE}Reading the configuration file, at line 2\n"
        "(a line of the included file 'a.conf')\n>>> 'foo'\n"
        "Bad directive or wrong number of arguments"
    )
    missing = "Fatal error, can't open config file 'no.conf': No such file or directory"
    assert report("include no.conf") == missing
    assert "without end" in report("include redis.conf")


# Command line


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (["--maxmemory 700mb"], "maxmemory", "734003200"),
        (["--Timeout", "3", "--timeout", "4"], "timeout", "4"),
        (["--save", ""], "save", ""),
        (["--save", "--hz", "3"], "save", ""),
        (["--hz", "3", "--save"], "save", ""),
        (["--save", "5 5", "--save", "6", "6"], "save", "5 5 6 6"),
        (["--bind", "1.1.1.1", "-::1"], "bind", "1.1.1.1 -::1"),
        (["--masterauth", "--x"], "masterauth", "--x"),
        (["--masterauth", 'a"b\n', "--hz", "3"], "masterauth", 'a"b\n'),
        (['--masterauth "a b"', "--hz", "3"], "masterauth", "a b"),
        (["--list-max-listpack-size", "-1"], "list-max-listpack-size", "-1"),
        (["hz", "5"], "hz", "5"),
        (["--", "hz", "5"], "hz", "5"),
    ],
)
def test_arguments(args: list[str], name: str, value: str) -> None:
    assert loaded("hz 99\n", *args).show(name) == value


def test_bad_arguments_are_numbered_after_the_file() -> None:
    assert report("hz 1\nhz 2\n", "--hz", "3", "--timeout", "--hz", "4") == (
        f"{TITLE}Reading the configuration file, at line 5\n"
        '>>> \'timeout "--hz" "4"\'\nwrong number of arguments'
    )


def test_standard_input_comes_after_the_file() -> None:
    config = loaded("hz 20\ntimeout 1", "--timeout", "3", "-", stdin=b"hz 44\ntimeout 2\n")
    assert (config.hz, config.timeout) == (44, 3)


def test_no_file() -> None:
    assert parse_command_line([]) == CommandLine()
    assert parse_command_line(["-"]) == CommandLine(from_stdin=True)
    assert parse_command_line(["--sentinel", "--port", "5"]).sentinel
    with pytest.raises(FatalConfigError, match="can't open config file '/srv/x'"):
        Loader(Config("/srv"), Disk(), "Redis", "7.2.4").load(parse_command_line(["x"]))


# Rewriting


def rewritten(text: str, *pairs: tuple[str, str], **owned: list[str]) -> str:
    """The file after it was loaded, CONFIG SET and rewritten; less lines that always appear."""
    config = loaded(text)
    config.set(pairs)
    always = ("dir ", "latency-tracking-info", "save 3600", "save 300", "save 60 ")
    lines = rewrite(text.split("\n"), config, owned=owned).splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(always))


def test_rewrite_keeps_what_is_not_changed() -> None:
    text = "# Top\n\n  # indented\nTIMEOUT 5\nhz 10\ninclude *.x\nrename-command GET G\nuser a on"
    signature = "\n# Generated by CONFIG REWRITE\n"
    assert (
        rewritten(text + "\n")
        == text.replace("TIMEOUT", "timeout").replace("  #", "#") + "\n" + signature
    )


def test_rewrite_replaces_in_place_and_appends() -> None:
    assert rewritten(
        "slave-priority 7\nsave 1 1\nsave 2 2\nhz 20\n\n\n\n# c\nhz 30\nmasterauth x\nlua-time-limit 6",  # noqa: E501
        ("save", "9 9"),
        ("masterauth", ""),
        ("maxmemory", "1500mb"),
        ("requirepass", decode(b'a"\xff')),
        ("client-output-buffer-limit", "pubsub 1kb 0 0"),
    ).split("\n") == [
        "replica-priority 7",
        "save 9 9",
        "",
        "hz 30",
        "",
        "# c",
        "",
        "busy-reply-threshold 6",
        "# Generated by CONFIG REWRITE",
        "client-output-buffer-limit pubsub 1kb 0 0",
        r'requirepass "a\"\xff"',
        "maxmemory 1500mb",
        "",
    ]


def test_rewrite_comments_out_what_it_does_not_know() -> None:
    text = "list-max-ziplist-entries 5\n# Generated by CONFIG REWRITE\nhz 20"
    assert rewritten(text).startswith("# ??? list-max-ziplist-entries 5\n# Generated")
    assert rewritten(text).count("# Generated") == 1


def test_rewrite_owned_lines() -> None:
    text = "user a on\nuser b on\nhz 10"
    assert rewritten(text, user=["user c off"]) == "user c off\n\nhz 10\n" + (
        "# Generated by CONFIG REWRITE\n"
    )
    lines = ["sentinel monitor m 1.1.1.1 1 2", "sentinel myid x", "foo"]
    text = rewrite(lines, Config(), owned={"sentinel myid": ["sentinel myid y"]}, sentinel=True)
    assert text.startswith("sentinel monitor m 1.1.1.1 1 2\nsentinel myid y\nfoo\n")
    assert "save" not in text


def test_rewrite_twice_changes_nothing() -> None:
    config = Config("/srv")
    config.set([("maxmemory", "5"), ("notify-keyspace-events", "An"), ("bind", "")])
    once = rewrite([], config)
    assert rewrite(once.rstrip("\n").split("\n"), config) == once
    again = loaded(once)
    assert again.get(["*"]) == config.get(["*"])
    assert "n" in again.notify_keyspace_events


def test_rewrite_of_a_file(tmp_path: Path) -> None:
    path, link = tmp_path / "a.conf", tmp_path / "link.conf"
    link.symlink_to(path)
    config = Config(str(tmp_path))
    rewrite_file(str(link), config, DiskFiles())
    assert path.read_text().startswith("# Generated by CONFIG REWRITE\n")
    path.chmod(0o640)
    config.set([("hz", "20")])
    rewrite_file(str(link), config, DiskFiles())
    assert "hz 20\n" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["a.conf", "link.conf"]
    with pytest.raises(OSError, match="No such file"):
        DiskFiles().replace(str(tmp_path / "no" / "a.conf"), b"")


def test_resolve_dir(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert resolve_dir("/", str(tmp_path)) == str(tmp_path.resolve())
    for path, reason in (("no", "No such file or directory"), ("file", "Not a directory")):
        with pytest.raises(ConfigError, match=reason):
            resolve_dir(str(tmp_path), path)


# Against a real server

SETS = [("save", "9 9 8 8"), ("maxmemory", "1500mb"), ("masterauth", 'a b"c'), ("timeout", "0")]
ALIASES_AND_REPEATS = """\
# top



maxmemory 1gb
hash-max-ziplist-entries 5
slave-priority 7
save 1 1
save 2 2
 save 3 3
timeout 5
timeout 6
min-slaves-to-write 0
"""
SPECIAL_KINDS = """\
HZ 20
client-output-buffer-limit replica 1mb 1mb 1
client-output-buffer-limit normal 5 5 5
notify-keyspace-events "KE$"
unixsocketperm 700
list-max-ziplist-entries 5
shutdown-on-sigterm force now
maxmemory-clients 5%
# Generated by CONFIG REWRITE
"""


real = pytest.mark.skipif(REDIS_SERVER is None, reason="redis-server is not installed")


@real
@pytest.mark.parametrize("text", [ALIASES_AND_REPEATS, SPECIAL_KINDS])
def test_rewrite_as_a_real_server(text: str, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.conf", tmp_path / "ours.conf"
    theirs.write_text(text)
    ours.write_text(text)
    port = free_port()
    options = ["--port", str(port), "--dir", str(tmp_path), "--bind", "127.0.0.1"]
    with subprocess.Popen(
        [str(REDIS_SERVER), str(theirs), *options], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any("Ready to accept connections" in line for line in process.stdout)
        redis = WireClient(port)
        for name, value in SETS:
            assert redis("CONFIG", "SET", name, value) == b"OK"
        assert redis("CONFIG", "REWRITE") == b"OK"
        redis.close()
        process.kill()
    config = Config("/")
    loader = Loader(config, DiskFiles(), "Redis", "7.2.4")
    loader.load(parse_command_line([str(ours), *options]))
    config.set(SETS)
    users = [line for line in theirs.read_text().splitlines() if line.startswith("user ")]
    rewrite_file(str(ours), config, DiskFiles(), owned={"user": users})
    expected, got = (path.read_text().split("# Generated") for path in (theirs, ours))
    assert got[0] == expected[0]
    assert sorted(got[1].splitlines()) == sorted(expected[1].splitlines())


@real
@pytest.mark.parametrize(
    "text",
    [
        "port 1\nfoo 1",
        'hz "1',
        "save 900",
        "replicaof a",
        "user",
        "rename-command GET",
        "loadmodule",
        "sentinel x y",
        "dir /nowhere",
        "logfile /nowhere/x",
        "replicaof a 6\ncluster-enabled yes",
        "client-output-buffer-limit normal 1",
        "shutdown-on-sigint",
        "io-threads 129",
        "syslog-facility x",
        "notify-keyspace-events K E",
    ],
)
def test_errors_as_a_real_server(text: str, tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text(text)
    done = subprocess.run(
        [str(REDIS_SERVER), str(path)], capture_output=True, text=True, timeout=10, check=False
    )
    loader = Loader(Config("/", resolve_dir), DiskFiles(), "Redis", "")
    with pytest.raises(FatalConfigError) as caught:
        loader.load(CommandLine(str(path)))
    theirs = done.stderr.strip().splitlines()
    assert str(caught.value).splitlines()[1:] == theirs[1:]
