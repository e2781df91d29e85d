"""The table of directives, CONFIG GET and CONFIG SET."""

import pytest

from pyredis.config import (
    BY_NAME,
    TABLE,
    BufferLimit,
    Change,
    Config,
    ConfigError,
    ConfigLoadingError,
    SavePoint,
    Settings,
    config_docs,
)
from pyredis.config_types import decode, encode
from tests.support import RealRedis, WireClient

FAILED = "CONFIG SET failed (possibly related to argument '{}') - {}"


def refused(config: Config, *words: str, **allowed: bool) -> str:
    """The message that CONFIG SET is refused with; nothing may have changed."""
    before = config.get(["*"])
    with pytest.raises(ConfigError) as caught:
        config.set(list(zip(words[::2], words[1::2], strict=True)), **allowed)
    assert config.get(["*"]) == before
    return str(caught.value)


def test_the_table_is_consistent() -> None:
    assert len(BY_NAME) == len(TABLE) + sum(len(row.aliases) for row in TABLE)
    config = Config()
    for row in TABLE:
        assert getattr(config, row.attribute) == row.default
        assert row.attribute in Settings.__annotations__
        if row.name not in ("dir", "replicaof", "shutdown-on-sigint", "shutdown-on-sigterm"):
            words = row.kind.show(row.default).split() if row.kind.several_words else None
            again = row.kind.parse(words or [row.kind.show(row.default)], row.default)
            assert again == row.default, row.name
    assert config_docs()["io-threads"]


def test_defaults() -> None:
    config = Config("/srv")
    assert config.show("save") == "3600 1 300 100 60 10000"
    assert config.show("client-output-buffer-limit") == (
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
    )
    assert config.get(["dir", "bind"]) == [("dir", "/srv"), ("bind", "* -::*")]


def test_get_matches_names_and_aliases() -> None:
    config = Config()
    assert config.get(["*-priority"]) == [("replica-priority", "100"), ("slave-priority", "100")]
    assert config.get(["slave-p*", "SLAVE-priority"]) == [("slave-priority", "100")]
    assert config.get(["MAXmemory", "maxmemory", "max[m]emory"]) == [("MAXmemory", "0")]
    assert config.get(["max?emory", "nothing", ""]) == [("maxmemory", "0")]


def test_hidden_directives_want_their_exact_name() -> None:
    config = Config()
    assert config.get(["rdb-key-*"]) == []
    assert config.get(["rdb-key-save-delay"]) == [("rdb-key-save-delay", "0")]


def test_set_several() -> None:
    config = Config()
    config.set([("MAXMEMORY", "100mb"), ("save", "9 1 8 2"), ("slave-priority", "5")])
    assert config.maxmemory == 100 << 20
    assert config.save == (SavePoint(9, 1), SavePoint(8, 2))
    assert config.replica_priority == 5


def test_names_that_cannot_be_set() -> None:
    config = Config()
    assert refused(config, "Foo", "1", "databases", "2") == (
        "Unknown option or number of arguments for CONFIG SET - 'Foo'"
    )
    assert refused(config, "Databases", "1", "foo", "2") == FAILED.format(
        "Databases", "can't set immutable config"
    )
    assert refused(config, "hz", "1", "HZ", "2") == FAILED.format("HZ", "duplicate parameter")
    assert refused(config, "dir", "/tmp") == FAILED.format("dir", "can't set protected config")
    config.set([("dir", "tmp/../srv")], protected=True)
    assert config.dir == "/srv"
    with pytest.raises(ConfigLoadingError):
        config.set([("hz", "5"), ("dir", "/")], protected=True, loading=True)


def test_all_or_nothing() -> None:
    config = Config()
    assert refused(config, "hz", "7", "Timeout", "zz") == FAILED.format(
        "timeout", "argument couldn't be parsed into an integer"
    )


def test_text_keeps_any_bytes() -> None:
    config = Config()
    config.set([("requirepass", decode(b"a\xff\x00b")), ("masteruser", "a\0b")])
    assert encode(config.requirepass) == b"a\xff\x00b"
    assert config.masteruser == "a"


def test_subscribers() -> None:
    config, seen = Config(), []
    config.subscribe(["hz", "timeout"], lambda: seen.append((config.hz, config.timeout)))
    config.set([("hz", "20"), ("timeout", "5")])
    config.set([("hz", "20"), ("maxmemory", "1")])
    assert seen == [(20, 5)]


def test_subscriber_refuses() -> None:
    log: list[str] = []
    config, seen = Config(warn=log.append), []

    def listen() -> None:
        seen.append(config.port)
        if config.port == 1:
            raise ConfigError("Unable to listen on this port. Check server logs.")

    config.subscribe(["hz"], lambda: seen.append(config.hz))
    config.subscribe(["port"], listen)
    assert refused(config, "hz", "50", "port", "1") == FAILED.format(
        "port", "Unable to listen on this port. Check server logs."
    )
    assert seen == [50, 1, 10, 6379]
    assert "Possibly related to new port setting" in log[0]


def test_setting_a_certificate_again_reloads_it() -> None:
    config, seen = Config(), []
    config.subscribe(["tls-cert-file"], lambda: seen.append(1))
    config.set([("tls-cert-file", "")])
    assert seen == [1]


def test_values_of_several_words() -> None:
    config = Config()
    config.set([("client-output-buffer-limit", "SLAVE 1mb 2k 3 pubsub 0 0 0")])
    assert config.client_output_buffer_limit.replica == BufferLimit(1 << 20, 2000, 3)
    assert config.client_output_buffer_limit.normal == BufferLimit(0, 0, 0)
    config.set([("notify-keyspace-events", "KEA"), ("shutdown-on-sigint", "now NOSAVE")])
    assert config.show("notify-keyspace-events") == "AKE"
    assert config.notify_keyspace_events == frozenset("g$lshzxetdKE")
    assert config.shutdown_on_sigint == {"now", "nosave"}
    assert config.show("shutdown-on-sigint") == "nosave now"


VALUES = {
    "notify-keyspace-events": ["Elgm", "n", "An", "AnmKE", "Kx", "KEA ", ""],
    "maxmemory-clients": ["50", "50%", "0%", "101%", "-5", "-5%", "%", "+5%", "1mb", "0"],
    "maxmemory": ["1gb", "mb", "-1", "99999999999999999999", "1tb", "0"],
    "save": ["9 1", "9 1  8 1", "", "9", "0 1", "1 0", "1 -1", "9 1 ", "+9 1", "9 4294967297"],
    "client-output-buffer-limit": [
        "normal 1 2", "master 1 2 3", "normal 1 2 -3", "normal x 2 3", "", "normal 1 2 ",
        "replica 5k 5kb 5 normal 1 1 1 normal 2 2 2", "normal 1 2 99999999999",
    ],
    "oom-score-adj-values": ["0 1", "0 1 2001", "0 x 1", " 1 2 3", "", "800 200 0", "0 200 800"],
    "latency-tracking-info-percentiles": [
        "", "100.0 0", "100.1", "50.123456789", "1e1", "nan", "inf", ".5", "0x10", "5 ", "50 99",
    ],
    "shutdown-on-sigint": ["save", "save nosave", "default now", "", "x", "now  now", "default"],
    "timeout": ["5", "05", "+5", " 5", "-0", "-1", "2147483648", "9" * 25, "", "1k"],
    "hz": ["0", "501", "10"],
    "maxclients": ["0", "-1", "4294967296", "100"],
    "slowlog-log-slower-than": ["-1", "-2", "9223372036854775807", "9223372036854775808"],
    "proto-max-bulk-len": ["1", "1mb", "18446744073709551615"],
    "loglevel": ["Debug", "", "debug verbose", "notice"],
    "oom-score-adj": ["relative", "maybe", "no"],
    "protected-mode": ["NO", "1", "", "yes"],
    "cluster-announce-hostname": ["a" * 256, "a" * 255, "a_b", "a.b-c", ""],
    "proc-title-template": ["", "{title}", "{foo}", "{", "}", "{{", "{title} {port}"],
    "masterauth": ["a\0b", ""],
    "masteruser": ["a\0b", ""],
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_values_as_on_a_real_server(name: str, real_redis: RealRedis) -> None:
    """Same acceptance, same message, same CONFIG GET afterwards."""
    redis, config = real_redis.client(), Config()
    before = redis("CONFIG", "GET", name)[1]
    config.set([(name, decode(before))])
    for value in VALUES[name]:
        reply = redis("CONFIG", "SET", name, value)
        try:
            config.set([(name, value)])
            got = "OK"
        except ConfigError as error:
            got = f"ERR {error}"
        assert got == reply.decode(), value
        assert config.show(name) == decode(redis("CONFIG", "GET", name)[1]), value
    assert redis("CONFIG", "SET", name, before) == b"OK"
    redis.close()


def test_names_defaults_and_ranges_as_on_a_real_server(real_redis: RealRedis) -> None:
    redis, config = real_redis.client(), Config(real_redis.folder)
    given = {"port", "bind", "save", "enable-debug-command"}
    reply = redis("CONFIG", "GET", "*")
    values = dict(zip(reply[::2], reply[1::2], strict=True))
    for raw, value in values.items():
        name = raw.decode()
        if name not in given:
            assert config.show(name) == decode(value), name
        bounded = name == "maxmemory-samples"  # since 7.4, by 64
        if BY_NAME[name].change is not Change.PROTECTED and not bounded:
            same_refusal(redis, config, name)
    ours = {"rdb-version", "startup-guard"}
    newer = {"locale-collate", "cluster-announce-human-nodename", "hide-user-data-from-log"} | {
        "aof-load-corrupt-tail-max-size",
        *(f"set-max-listpack-{part}" for part in ("entries", "value")),
        *(f"max-new-{part}connections-per-cycle" for part in ("", "tls-")),
    }
    assert {name for name, _ in config.get(["*"])} - {
        raw.decode() for raw in values
    } == newer | ours
    redis.close()


def same_refusal(redis: WireClient, config: Config, name: str) -> None:
    """A value that is too low, or no value at all, is refused in the same words."""
    for value in ("-9223372036854775807", "\x01/"):
        if BY_NAME[name].kind.__class__.__name__ not in ("Text", "Addresses"):
            reply = redis("CONFIG", "SET", name, value).decode()
            assert refused(config, name, value) == reply.removeprefix("ERR "), name
