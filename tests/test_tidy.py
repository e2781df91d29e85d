"""The architecture as a test: what may use clocks, dice and sockets, and what must not exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyredis.server import command_table
from tests.support import ROOT

PACKAGE = ROOT / "pyredis"
FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").glob("*.py"))

# The shell: files that touch the machine. Everything else is the core.
SHELL = {
    "__main__.py",
    "log.py",
    "ports.py",
    "process.py",
    "unixhost.py",
    "configfile.py",
    "persistence/disk.py",
    "persistence/snapshot.py",
    "sim/process.py",
    "sim/proxy.py",
    "sim/real.py",
}
FORBIDDEN_IMPORTS = {"socket", "asyncio", "select", "selectors", "subprocess", "threading", "ssl"}
FORBIDDEN_CALLS = re.compile(
    r"\b(time\.(time|monotonic|perf_counter)(_ns)?|datetime\.now|os\.urandom"
    r"|random\.(random|randint|choice|randrange|shuffle|sample))\("
)


def is_shell(path: Path) -> bool:
    name = path.relative_to(PACKAGE).as_posix()
    return name in SHELL or name.startswith(("net/", "tools/"))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_file(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    if text.strip():
        assert ast.get_docstring(tree), "opens without its theory"
    assert text.count("\n") <= 800, "does not fit in a head any more"
    if not is_shell(path):
        used = {name.split(".")[0] for name in imports(tree)} & FORBIDDEN_IMPORTS
        assert not used, f"the core imports {used}"
        assert not FORBIDDEN_CALLS.search(text), "the core reads a clock or throws dice"
        for node in ast.walk(tree):
            assert not isinstance(node, (ast.AsyncFunctionDef, ast.Await)), "async in the core"


def test_no_module_is_dead() -> None:
    used: set[str] = set()
    for path in [*FILES, *(ROOT / "tests").glob("*.py"), *(ROOT / "bench").glob("*.py")]:
        used.update(imports(ast.parse(path.read_text())))
    from pyredis.server import _MODULES

    used.update(f"pyredis.commands.{name}" for name in _MODULES)
    for path in FILES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name not in ("pyredis", "pyredis.__main__") and path.read_text().strip():
            assert any(each == name or each.startswith(f"{name}.") for each in used), name


def test_no_command_without_a_test() -> None:
    mentioned = set(re.findall(r"[A-Z][A-Z0-9_]+", TESTS.upper()))
    missing = [
        entry.spec.name
        for entry in command_table().all()
        if entry.spec.group != "cluster"  # test_cluster.py takes them from the table
        and not set(entry.spec.name.replace("-", " ").split()) <= mentioned
    ]
    assert not missing
