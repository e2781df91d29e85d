"""The ``config`` lines of a scenario, tried before a run, so that errors name the scenario's line.

The lines of a node make up its configuration file, and here they are read as one. What a server
would only find out while it starts is tried too: new names for commands, and the rules of users.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from pyredis.acl import Acl, AclError, check_config_user
from pyredis.config import Config, ConfigError, encode
from pyredis.configfile import CommandLine, FatalConfigError, Hook, Loader
from pyredis.server import command_table
from pyredis.sim.node import Files
from pyredis.sim.scenario import Scenario, ScenarioError
from pyredis.sim.simulation import resolve
from pyredis.version import REDIS_VERSION

_PATH = "/node.conf"


def check_config(scenario: Scenario, nodes: Iterable[str]) -> None:
    """Read the configuration of these nodes. Raises ScenarioError, which names the line."""
    for node in nodes:
        lines = [each for each in scenario.config if each.node == node]
        files = Files()
        files.contents[_PATH] = encode(
            "\n".join(resolve(each.text, scenario.nodes) for each in lines)
        )
        config = Config("/data")
        loader = Loader(config, files, "pyredis", REDIS_VERSION, _hooks(config))
        try:
            loader.load(CommandLine(path=_PATH))
        except FatalConfigError as error:
            wrong = lines[error.line_number - 1]
            raise ScenarioError(
                f"{scenario.source}, line {wrong.line}: {wrong.text}: {error.reason}"
            ) from error


def _hooks(config: Config) -> dict[str, Hook]:
    """What tries directives that have no row in the table."""
    table = cache(command_table)

    def rename(words: tuple[str, ...]) -> None:
        try:
            table().rename(encode(words[0]), encode(words[1]))
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def try_user(words: tuple[str, ...]) -> None:
        check_config_user(table(), config, words)
        try:
            Acl(table(), config).configured([words])
        except AclError as error:
            raise ConfigError(str(error)) from error

    return {"rename-command": rename, "user": try_user}
