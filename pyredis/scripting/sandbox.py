"""One Lua state: memory, compiling, running. The walls themselves are ``lua/sandbox.lua``.

The state gets callables of Python and nothing else of it. lupa is told to offer no eval, no
builtins and no attributes, so even an object that slipped through would be opaque.

Memory. Lua's allocator refuses to exceed ``MEMORY_MAX_BYTES``, which a script meets as the
error "not enough memory". That error must only arise while Lua code runs: raised from a
conversion in Python it would jump over Python's own frames, or find nobody to catch it and end
the process. So everything that crosses from Python to Lua is weighed first, against a limit
that lies ``RESERVE_BYTES`` lower; small things may rely on the reserve.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final, NoReturn

from pyredis.scripting.bytecode import without_tail_calls
from pyredis.scripting.convert import size_bytes
from pyredis.scripting.run import FAILED

MEMORY_MAX_BYTES: Final = 1 << 30
RESERVE_BYTES: Final = 32 << 20
CROWDED_BYTES: Final = MEMORY_MAX_BYTES // 4
HOOK_INTERVAL: Final = 100_000
"""Instructions between two looks at the clock: about a millisecond."""

NO_MEMORY: Final = b"ERR not enough memory"
_FEW: Final = 64  # so many keys and arguments are passed one by one
_CHUNKS: Final = ("sandbox", "redis", "cjson", "cmsgpack", "struct", "bit", "functions")


def _plain(dump: bytes) -> bytes:
    """A chunk without tail calls; of a Lua that dumps otherwise, the chunk as it is."""
    try:
        return without_tail_calls(dump)
    except ValueError:
        return dump  # all the harm is that some errors will not name their line


def _no_attributes(target: object, name: object, setting: bool) -> NoReturn:
    raise AttributeError("scripts cannot look into objects of the server")


class Sandbox:
    """A Lua state with the Redis libraries; ``offer`` says what its Lua side may call."""

    def __init__(
        self,
        offer: Callable[[Sandbox], dict[str, Callable[..., Any]]],
        for_functions: bool,
        deprecated_api: bool = False,
    ) -> None:
        from lupa.lua51 import LuaError, LuaRuntime

        self.lua = LuaRuntime(
            encoding=None,
            attribute_filter=_no_attributes,
            register_eval=False,
            register_builtins=False,
            unpack_returned_tuples=True,
            max_memory=MEMORY_MAX_BYTES,
        )
        self.errors = LuaError
        folder = files(__package__) / "lua"
        sources = {name.encode(): (folder / f"{name}.lua").read_bytes() for name in _CHUNKS}
        table = self.table_from = self.lua.table_from
        self.used_bytes: Callable[[], int] = self.lua.get_memory_used
        callables = offer(self) | {"plain": _plain}
        self._compile, self._script, self._function, self._library = self.lua.execute(
            (folder / "boot.lua").read_bytes(),
            table(sources),
            table({name.encode(): work for name, work in callables.items()}),
            HOOK_INTERVAL,
            (MEMORY_MAX_BYTES - RESERVE_BYTES) // 1024,
            deprecated_api,
            for_functions,
        )

    def has_room(self, bytes_wanted: int) -> bool:
        """Whether so much can be handed to Lua. May collect garbage to find out."""
        limit = MEMORY_MAX_BYTES - RESERVE_BYTES - bytes_wanted
        if self.used_bytes() < limit:
            return True
        self.lua.gccollect()
        return self.used_bytes() < limit

    def compile(self, text: bytes, name: bytes) -> tuple[Any, bytes]:
        """A chunk, or None and why not."""
        if not self.has_room(20 * len(text)):
            return None, NO_MEMORY[4:]
        try:
            found = self._compile(text, name)
        except self.errors as error:
            return None, str(error).encode("latin-1", "replace")
        return found if type(found) is tuple else (found, b"")

    def run(
        self, chunk: Any, as_function: bool, resp3: bool, keys_count: int, args: tuple[bytes, ...]
    ) -> tuple[Any, ...]:
        """Run a chunk (or a function of a library) with its keys and arguments.

        Returns a mark and what belongs to it, see ``finish`` in ``lua/redis.lua``.
        """
        work = self._function if as_function else self._script
        if self.used_bytes() > CROWDED_BYTES:
            self.lua.gccollect()  # what the scripts before have left behind
        if not self.has_room(sum(map(len, args)) + 100 * len(args)):
            return FAILED, NO_MEMORY, False, b"", -1
        try:
            if len(args) <= _FEW:
                outcome = work(chunk, resp3, keys_count, *args)
            else:
                keys = self.table_from(args[:keys_count])
                outcome = work(chunk, resp3, -1, keys, self.table_from(args[keys_count:]))
        except self.errors as error:
            text = str(error).encode("latin-1", "replace") or NO_MEMORY[4:]
            return FAILED, b"ERR " + text, False, b"", -1
        return outcome if type(outcome) is tuple else (outcome, None)

    def load(self, chunk: Any) -> bytes | None:
        """Run the chunk of a library; the text of an error, if there was one."""
        try:
            problem: bytes | None = self._library(chunk)
        except self.errors as error:
            return b"ERR " + str(error).encode("latin-1", "replace")
        return problem

    def table(self, value: Any) -> Any:
        """A list or dict as a Lua table, None when there is no room for it."""
        if not self.has_room(2 * size_bytes(value)):
            return None
        return self.table_from(value, recursive=True)
