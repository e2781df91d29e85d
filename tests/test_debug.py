"""DEBUG, against a real server where it says the same."""

from __future__ import annotations

import pytest

from pyredis.commands.debug import table_slots
from pyredis.host import Host
from tests.group import Group
from tests.support import EngineClient, Node, NullArray, Twin, new_client


class Recorder(Host):
    """A process that only notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def show(self, text: str) -> None:
        self.told.append(text)

    def sleep(self, duration_s: float) -> None:
        self.told.append(duration_s)

    def crash(self, how: str) -> None:
        self.told.append(how)

    def restart(self, delay_ms: int, orderly: bool) -> None:
        self.told.append((delay_ms, orderly))


@pytest.fixture
def client() -> EngineClient:
    client = new_client()
    client.engine.config.enable_debug_command = "yes"
    client.engine.host = Recorder()
    return client


@pytest.fixture
def twin(twin: Twin) -> Twin:
    twin.ours.engine.config.enable_debug_command = "yes"
    return twin


def test_permission() -> None:
    client = new_client()
    refused = client("DEBUG", "DIGEST")
    assert refused.startswith(b"ERR DEBUG command not allowed. If the enable-debug-command option")
    client.engine.config.enable_debug_command = "local"
    assert client("DEBUG", "DIGEST") == b"0" * 40


def test_errors(twin: Twin) -> None:
    for words in (
        "",
        "NOPE",
        "SLEEP",
        "DIGEST x",
        "POPULATE",
        "POPULATE x",
        "POPULATE -1",
        "POPULATE 1 p x",
        "POPULATE 1 p -3",
        "POPULATE 1 p 2 3",
        "OBJECT nokey",
        "LISTPACK nokey",
        "HTSTATS x",
        "HTSTATS 99",
        "HTSTATS-KEY nokey",
        "PROTOCOL nope",
        "REPLYBUFFER",
        "REPLYBUFFER X Y",
        "REPLYBUFFER PEAK-RESET-TIME x",
        "QUICKLIST-PACKED-THRESHOLD 5gb",
        "QUICKLIST-PACKED-THRESHOLD x",
        "RESTART x",
        "CRASH-AND-RECOVER x",
        "ERROR boo",
        "ERROR -boo",
        "JMAP",
    ):
        twin("DEBUG", *words.split())


def test_oks(twin: Twin) -> None:
    for words in (
        "SET-ACTIVE-EXPIRE 1",
        "SET-ACTIVE-EXPIRE x",
        "SET-ACTIVE-EXPIRE 1",
        "PAUSE-CRON 1",
        "PAUSE-CRON 0",
        "SET-DISABLE-DENY-SCRIPTS 1",
        "SET-DISABLE-DENY-SCRIPTS 0",
        "LOG hi",
        "QUICKLIST-PACKED-THRESHOLD 100b",
        "QUICKLIST-PACKED-THRESHOLD 0",
        "CHANGE-REPL-ID",
        "REPLYBUFFER RESIZING 1",
        "REPLYBUFFER PEAK-RESET-TIME RESET",
    ):
        twin("DEBUG", *words.split())


@pytest.mark.parametrize("version", [2, 3])
def test_protocol(twin: Twin, version: int) -> None:
    twin.real("HELLO", version)
    twin.ours.session.resp3 = version == 3
    kinds = "string integer double bignum null array set map verbatim true false"
    for kind in kinds.split():
        twin("DEBUG", "PROTOCOL", kind)


def test_protocol_out_of_line(client: EngineClient) -> None:
    client.send("DEBUG", "PROTOCOL", "push")
    assert client.take() == b"-ERR RESP2 is not supported by this command\r\n"
    client.send("DEBUG", "PROTOCOL", "attrib")
    assert client.take() == b"$39\r\nSome real reply following the attribute\r\n"
    client.session.resp3 = True
    client.send("DEBUG", "PROTOCOL", "push")
    assert client.take() == (
        b">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n"
        b"$40\r\nSome real reply following the push reply\r\n"
    )
    client.send("DEBUG", "PROTOCOL", "attrib")
    assert client.take() == (
        b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n"
        b"$39\r\nSome real reply following the attribute\r\n"
    )


def test_populate(twin: Twin) -> None:
    twin("SET", "key:1", "mine")
    twin("DEBUG", "POPULATE", 3)
    twin("DEBUG", "POPULATE", 2, "cut", 3)
    twin("DEBUG", "POPULATE", 2, "padded", 20)
    twin("DEBUG", "POPULATE", 2, "plain", 0)
    twin("DBSIZE")
    for name in ("key:0", "key:1", "cut:1", "padded:1", "plain:0"):
        twin("GET", name)
    twin("DEBUG", "DIGEST")


def test_populate_spoils_watchers(client: EngineClient) -> None:
    client("WATCH", "key:0")
    client.another()("DEBUG", "POPULATE", 1)
    client("MULTI")
    assert client("EXEC") == NullArray()


def test_digest_is_redis(twin: Twin) -> None:
    twin("DEBUG", "DIGEST")
    twin("SET", "s", "a value")
    twin("SET", "n", 17)
    twin("INCR", "n")
    twin("APPEND", "s", "\x00 and more")
    twin("RPUSH", "l", "a", "b", "3")
    twin("SADD", "ints", 3, 1, 2)
    twin("SADD", "words", "x", "y", "1")
    twin("HSET", "h", "f", "v", "g", "w")
    twin("ZADD", "z", "1.5", "a", "inf", "b", "-3", "c", "0.1", "d")
    keys = ["s", "n", "l", "ints", "words", "h", "z"]
    twin("DEBUG", "DIGEST-VALUE", *keys, "missing")
    twin("DEBUG", "DIGEST")
    twin("PEXPIRE", "l", 1000000)
    twin("SELECT", 3)
    twin("SET", "elsewhere", "x")
    twin("DEBUG", "DIGEST")
    twin("SELECT", 0)
    twin("DEBUG", "DIGEST-VALUE", "l")
    twin("DEBUG", "DIGEST-VALUE")


def test_digest_of_large_values(twin: Twin) -> None:
    for number in range(0, 600, 100):
        some = range(number, number + 100)
        twin("RPUSH", "l", *some)
        twin("SADD", "s", *(f"m{each}" for each in some))
        twin("HSET", "h", *(part for each in some for part in (each, f"v{each}")))
        twin("ZADD", "z", *(part for each in some for part in (each / 7, f"m{each}")))
    twin("DEBUG", "DIGEST")


def test_object(client: EngineClient) -> None:
    client("SET", "k", "abc")
    client.clock.advance(5000)
    text = client("DEBUG", "OBJECT", "k").decode()
    assert text.startswith("Value at:0x")
    assert " refcount:1 encoding:embstr serializedlength:4 lru:" in text
    assert text.endswith(" lru_seconds_idle:5")
    client("RPUSH", "l", *(f"element {number}" * 10 for number in range(200)))
    assert " ql_nodes:4 ql_avg_node:50.00 ql_listpack_max:-2 " in (
        client("DEBUG", "OBJECT", "l").decode()
    )
    client("PEXPIRE", "k", 1)
    client.clock.advance(1)
    assert client("DEBUG", "OBJECT", "k").startswith(b"Value at:"), "nobody has missed it yet"
    assert client("EXISTS", "k") == 0
    assert client("DEBUG", "OBJECT", "k") == b"ERR no such key"


def test_listpack(twin: Twin) -> None:
    twin.ours.engine.host = Recorder()
    twin("SET", "s", "x")
    twin("DEBUG", "LISTPACK", "s")
    twin("HSET", "h", "f", "v")
    twin("DEBUG", "LISTPACK", "h")
    assert twin.ours.engine.host.told == ['{total entries 2}\n0: "f"\n1: "v"\n']


def test_hash_tables(client: EngineClient) -> None:
    client("SET", "a", 1)
    text = client("DEBUG", "HTSTATS", 0).decode()
    assert text == (
        "[Dictionary HT]\nHash table 0 stats (main hash table):\n table size: 8\n"
        " number of elements: 1\n[Expires HT]\nNo stats available for empty dictionaries\n"
    )
    client("SADD", "s", *(f"m{number}" for number in range(200)))
    assert b" number of elements: 200\n" in client("DEBUG", "HTSTATS-KEY", "s")
    client("HSET", "small", "f", "v")
    assert client("DEBUG", "HTSTATS-KEY", "small").endswith(b"not represented using an hash table")


@pytest.mark.parametrize(("count", "slots"), [(1, 8), (5, 8), (6, 16), (85, 128), (100, 256)])
def test_table_slots(count: int, slots: int) -> None:
    table: dict[bytes, None] = {}
    for number in range(count):
        table[b"%d" % number] = None
    assert table_slots(table) == slots


def test_stringmatch(client: EngineClient) -> None:
    assert client("DEBUG", "STRINGMATCH-LEN", "a*", "abc") == 1
    assert client("DEBUG", "STRINGMATCH-LEN", "b*", "abc") == 0


def test_active_expire_and_cron(client: EngineClient) -> None:
    client("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    client("SET", "k", "v", "PX", 10)
    client.clock.advance(1000)
    client.engine.begin_batch()
    client.engine.cron()
    assert client("DBSIZE") == 1
    client("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    client("DEBUG", "PAUSE-CRON", 1)
    client.engine.cron()
    assert client("DBSIZE") == 1
    client("DEBUG", "PAUSE-CRON", 0)
    client.engine.cron()
    assert client("DBSIZE") == 0


def test_checksums_may_be_ignored(client: EngineClient) -> None:
    client("SET", "k", "v")
    payload = client("DUMP", "k")[:-1] + b"x"
    assert client("RESTORE", "l", 0, payload).startswith(b"ERR DUMP payload version or checksum")
    client("DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", 1)
    assert client("RESTORE", "l", 0, payload) == b"OK"
    client("DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", 0)
    assert client("RESTORE", "m", 0, payload).startswith(b"ERR DUMP payload version or checksum")


def test_the_process(client: EngineClient) -> None:
    host = client.engine.host
    assert isinstance(host, Recorder)
    assert client("DEBUG", "SLEEP", "0.5") == b"OK"
    assert client("DEBUG", "SLEEP", "x") == b"OK"
    for how in ("SEGFAULT", "PANIC", "ASSERT", "OOM"):
        client.send("DEBUG", how)
    client.send("DEBUG", "CRASH-AND-RECOVER", 7)
    assert client.engine.exit_status is None
    client.send("DEBUG", "RESTART", -1)
    assert host.told == [0.5, 0.0, "segfault", "panic", "assert", "oom", (7, False), (0, True)]
    assert client.engine.exit_status == 0
    assert client.replies() == []


def test_without_a_process(client: EngineClient) -> None:
    client.engine.host = Host()
    assert client("DEBUG", "SLEEP", 1) == b"ERR this server is not a process of its own"


def test_restart_needs_the_file(client: EngineClient) -> None:
    def fail() -> None:
        raise OSError(13, "Permission denied")

    client.engine.config_path = "/some.conf"
    client.engine.rewrite_config = fail
    assert client("DEBUG", "RESTART") == (b"ERR failed to restart the server. Check server logs.")
    assert client.engine.exit_status is None


def test_change_repl_id(client: EngineClient) -> None:
    before = client.engine.replication.history.replid
    client("DEBUG", "CHANGE-REPL-ID")
    assert client.engine.replication.history.replid != before
    assert len(client.engine.replication.history.replid) == 40


def test_replicas_may_be_told_what_was_not_done_here() -> None:
    primary, replica = Group().pair()
    primary.engine.config.enable_debug_command = "yes"
    assert primary("DEBUG", "REPLICATE", "SET", "a", "1") == b"OK"
    primary("WAIT", 1, 0)
    assert (primary("GET", "a"), replica("GET", "a")) == (None, b"1")


def test_help(client: EngineClient) -> None:
    lines = client("DEBUG", "HELP")
    assert lines[0].startswith(b"DEBUG <subcommand>")
    assert b"POPULATE <count> [<prefix>] [<size>]" in lines
    assert lines[-2] == b"HELP"


@pytest.mark.slow
def test_restart_and_crash_for_real() -> None:
    node = Node()
    try:
        for words in ("RESTART", "CRASH-AND-RECOVER"):
            node.log = ""
            client = node.client()
            client("SET", words, "v")
            with pytest.raises(ConnectionError):
                client("DEBUG", words)
            node.wait_for("Ready to accept connections")
            assert node.client()("KEYS", "*") == [b"RESTART"]  # a crash saves nothing
        client = node.client()
        with pytest.raises(ConnectionError):
            client("DEBUG", "SEGFAULT")
        assert node.finish() == -11
        assert "crashed by signal: 11" in node.log
        assert "Segmentation fault" in node.log
    finally:
        node.close()
