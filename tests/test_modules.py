"""Modules, of which there are none."""

from __future__ import annotations

from tests.support import RealRedis, Twin, new_client


def test_not_allowed(twin: Twin) -> None:
    twin("MODULE", "LIST")
    for request in (
        "LIST x", "LOAD", "LOAD /m.so", "LOADEX /m.so", "LOADEX /m.so ARGS x", "UNLOAD", "UNLOAD m",
        "NOTHING",
    ):  # fmt: skip
        twin("MODULE", *request.split())


def test_allowed() -> None:
    real = RealRedis("--enable-module-command", "yes")
    try:
        ours = new_client()
        ours.engine.config.enable_module_command = "yes"
        twin = Twin(real.client(), ours)
        twin("MODULE", "LOAD", "/m.so", "argument")
        twin("MODULE", "LOADEX", "/m.so", "CONFIG", "name", "value")
        twin("MODULE", "LOADEX", "/m.so", "NONSENSE")
        twin("MODULE", "UNLOAD", "m")
    finally:
        real.close()


def test_help(twin: Twin) -> None:
    assert twin.ours("MODULE", "HELP")[0] == twin.real("MODULE", "HELP")[0]
