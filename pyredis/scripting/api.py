"""The callables behind the ``redis`` table and the libraries, all but redis.call.

Each is called from Lua with Lua's values, and returns plain values. None raises: what a script
can do wrong is checked on the Lua side, and the types of arguments are certain here.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from typing import TYPE_CHECKING, Any

from pyredis.resp import Error
from pyredis.scripting.arithmetic import BIT_OPERATIONS, Dice, pack_double, unpack_double
from pyredis.scripting.calls import BAD_ARGUMENTS, NO_ARGUMENTS, arguments
from pyredis.types.doubles import format_double
from pyredis.version import REDIS_VERSION

if TYPE_CHECKING:
    from pyredis.scripting.manager import Scripting

_UNKNOWN = b"ERR Invalid command passed to redis.acl_check_cmd()"


def version_number(version: str) -> int:
    """7.2.4 as 0x00070204."""
    major, minor, patch = (int(part) for part in version.split("."))
    return major << 16 | minor << 8 | patch


def make_api(scripting: Scripting, dice: Dice) -> dict[str, Callable[..., Any]]:
    """The callables by the names that the Lua side knows."""
    engine = scripting.engine
    started_ns = engine.clock_ns()

    def sha1hex(text: bytes) -> bytes:
        return sha1(text).hexdigest().encode()

    def setresp(resp3: bool) -> None:
        if scripting.run is not None:
            scripting.run.resp3 = scripting.session.resp3 = resp3

    def script_resp3() -> bool:
        return scripting.run is not None and scripting.run.resp3

    def set_repl(targets: int) -> None:
        if scripting.run is not None:
            scripting.run.replicate = targets
            scripting.lean = False

    def count_error(text: bytes, counted: bool) -> None:
        """An error stands inside a reply; ``counted`` if it is that of a command, handed on."""
        if not counted:
            engine.stats.count_error(Error(text))
        if scripting.run is not None:
            scripting.run.errors.append(counted)

    def acl_check(*args: Any) -> Any:
        argv = arguments(args)
        if not argv:
            return None, BAD_ARGUMENTS if args else NO_ARGUMENTS
        entry = engine.table.find(argv)
        if entry is None or (entry.children and len(argv) > 1):
            return None, _UNKNOWN
        run = scripting.run
        return run is None or engine.guard.denies(run.caller, entry, argv) is None

    def register(name: bytes, callback: Any, description: Any, flags: bytes) -> bytes | None:
        names = flags.split(b"\n")[:-1]
        problem = scripting.register(name, callback, description or None, names)
        return None if problem is None else b"ERR " + problem.encode()

    def clock() -> float:
        return (engine.clock_ns() - started_ns) / 1e9

    def double_text(number: int | float) -> bytes:
        return format_double(float(number))

    def version() -> tuple[bytes, int]:
        return REDIS_VERSION.encode(), version_number(REDIS_VERSION)

    api: dict[str, Callable[..., Any]] = {
        "sha1hex": sha1hex,
        "setresp": setresp,
        "script_resp3": script_resp3,
        "set_repl": set_repl,
        "count_error": count_error,
        "acl_check": acl_check,
        "register": register,
        "clock": clock,
        "double_text": double_text,
        "version": version,
        "log": scripting.log,
        "tick": scripting.tick,
        "random31": dice.random31,
        "seed": dice.seed,
        "pack_double": pack_double,
        "unpack_double": unpack_double,
    }
    return api | {f"bit_{name}": work for name, work in BIT_OPERATIONS.items()}
