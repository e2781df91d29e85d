"""The append-only log of a server on a simulated disk: its files, and starting from it again."""

from __future__ import annotations

from typing import Any

from pyredis.digest import data_digest
from pyredis.resp import encode_command
from pyredis.sim.disk import SimDisk
from tests.simserver import SimServer

FOLDER = "appendonlydir/"
STARTED = b"Background append only file rewriting started"
SCHEDULED = b"Background append only file rewriting scheduled"
SET_A = encode_command((b"SELECT", b"0")) + encode_command((b"SET", b"a", b"1"))


def names(disk: SimDisk) -> list[str]:
    return disk.names("appendonlydir")


def put(disk: SimDisk, name: str, data: bytes) -> None:
    """A file that somebody else has left there."""
    disk.sub("appendonlydir").make()
    output = disk.create(name)
    output.write(data)
    output.sync()


def manifest(disk: SimDisk) -> str:
    return disk.files()[FOLDER + "appendonly.aof.manifest"].decode()


def again(made: SimServer, **settings: Any) -> SimServer:
    """The process is killed, and another one starts."""
    made.disk.kill()
    return SimServer(made.disk, made.clock, **settings)


def rewrite(made: SimServer) -> None:
    """A whole rewrite."""
    made("BGREWRITEAOF")
    made.children.finish()
    made.tick()


def digest(made: SimServer) -> bytes:
    return data_digest(made.engine.ks.dbs)


def info(made: SimServer, name: str) -> str:
    text: str = made("INFO", "persistence").decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)[name]
