"""What ``CONFIG HELP`` and its like print, made from the specs of a container's children.

A line for each subcommand shows its arguments, an indented one below what it does. Both
come from what stands beside the handlers, so help cannot lag behind the commands. Our
usage strings follow the synopses of the documentation, ``timeout [WRITE | ALL]``; help
texts mark what the user fills in: ``PAUSE <timeout> [WRITE|ALL]``.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Final

from pyredis.resp import Reply, Simple
from pyredis.usage import plain

if TYPE_CHECKING:
    from pyredis.commands.registry import Spec
    from pyredis.context import Context

_WIDTH: Final = 76
_PLACEHOLDER: Final = re.compile(r"(?<![A-Za-z0-9_-])[a-z][a-z0-9_:/-]*")


def help_reply(ctx: Context, container: str) -> Reply:
    """The lines for ``container HELP``, as an array of simple strings.

    Raises KeyError for a name that is no container.
    """
    lines = [f"{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
    children = ctx.engine.table.entries[container].children
    for name in sorted(children):
        if name != b"HELP":
            lines += _describe(children[name].spec)
    lines += ["HELP", "    Print this help."]
    return [Simple(line.encode()) for line in lines]


def _describe(spec: Spec) -> list[str]:
    word = spec.name.split(" ", 1)[1]
    usage = plain(spec.usage).replace(" | ", "|").replace("<", "(").replace(">", ")")
    usage = _PLACEHOLDER.sub(lambda found: f"<{found[0]}>", usage)
    summary = textwrap.wrap(spec.summary, _WIDTH)
    return [f"{word} {usage}".rstrip(), *(f"    {line}" for line in summary)]
