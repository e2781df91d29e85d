"""What process lists show: the template filled in, and the running server's own title."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pyredis.config import Config
from pyredis.proctitle import title
from tests.support import Node


def titled(**settings: object) -> str:
    config = Config()
    vars(config).update(settings)
    return title(config, "pyredis-server", "standalone", "/etc/redis.conf")


def test_the_default_template() -> None:
    assert titled() == "pyredis-server *:6379"
    assert titled(bind=("-::1",), port=0, tls_port=7000) == "pyredis-server ::1:7000"
    assert titled(port=0, unixsocket="/tmp/s") == "pyredis-server /tmp/s"
    cluster = title(Config(), "pyredis-server", "cluster", "")
    assert cluster == "pyredis-server *:6379 [cluster]"


def test_all_variables_and_a_brace() -> None:
    template = "{{{title}}|{port}|{tls-port}|{unixsocket}|{config-file}"
    assert titled(proc_title_template=template) == "{pyredis-server}|6379|0||/etc/redis.conf"


@pytest.mark.skipif(sys.platform != "linux", reason="titles are written on Linux only")
def test_a_running_server_shows_its_title(node: Node) -> None:
    shown = Path(f"/proc/{node.process.pid}/cmdline")
    assert shown.read_bytes().rstrip(b"\0") == b"pyredis-server 127.0.0.1:%d" % node.port
    name = Path(f"/proc/{node.process.pid}/comm").read_text().strip()
    assert name == "pyredis-server"
    client = node.client()
    client("CONFIG", "SET", "proc-title-template", "{title} {port} {listen-addr}{title}{title}")
    assert shown.read_bytes().startswith(b"pyredis-server %d 127" % node.port)
    assert client("PING") == b"PONG"
