"""What a server knows of scripts: the cache, the libraries, and the script that runs.

There are two Lua states, one for EVAL and one for functions, each made when it is first
needed. At most one script runs; while it does, ``run`` says which.

A script that runs for longer than ``busy-reply-threshold`` makes the server *busy*. From then
on the count hook of Lua lets the shell look after other clients between instructions
(``Engine.poll_clients``), and a gate turns all but a few commands away. SCRIPT KILL condemns
the script, unless it has written: then only SHUTDOWN NOSAVE is left.

Scripts that only EVAL brought are dropped, least recently used first, beyond 500, as from
Redis 7.4 on; those of SCRIPT LOAD stay.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pyredis.defects import story
from pyredis.evict import OOM
from pyredis.gates import (
    MASTERDOWN,
    MISCONF,
    NOREPLICAS,
    READONLY,
    few_replicas,
    link_down,
)
from pyredis.gates import (
    read_only as read_only_replica,
)
from pyredis.resp import Error, Reply, Wire
from pyredis.scripting.run import PLAIN, REPLICATE_AOF, REPLIED, WIRE, Run
from pyredis.scripting.shebang import read_script
from pyredis.session import Address, Session

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.context import Context
    from pyredis.engine import Engine
    from pyredis.scripting.arithmetic import Dice
    from pyredis.scripting.functions import Function, Libraries, Library
    from pyredis.scripting.sandbox import Sandbox

BUSY_SCRIPT: Final = (
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
)
BUSY_FUNCTION: Final = (
    "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
)
NO_SCRIPT: Final = "NOSCRIPT No matching script. Please use EVAL."
UNKILLABLE: Final = (
    "UNKILLABLE Sorry the script already executed write commands against the dataset. You can "
    "either wait the script termination or kill the server in a hard way using the SHUTDOWN "
    "NOSAVE command."
)
_KILLED: Final = b"ERR Script killed by user with SCRIPT KILL..."
_STOPPED: Final = b"ERR The server is shutting down."
_LOAD_LIMIT_NS: Final = 500_000_000
_LOAD_TIMEOUT: Final = b"ERR FUNCTION LOAD timeout"
_POLL_INTERVAL_NS: Final = 1_000_000
_NEVER: Final = 1 << 62
_CACHED_MAX: Final = 500  # scripts that EVAL brought
_LEVELS: Final = ("debug", "verbose", "notice", "warning")


class Script(NamedTuple):
    """A cached script: its text, its flags (None in the mode of old), what Lua made of it."""

    sha: bytes
    text: bytes
    flags: frozenset[str] | None
    chunk: Any


class Scripting:
    """All scripting of one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.scripts: dict[bytes, Script] = {}
        self.evicted_scripts = 0
        self.run: Run | None = None
        self.busy = False  # the running script has used up its time
        self.was_busy = False  # such a script has ended, and the clock has not been read since
        self.failures = 0  # by how many errors the last run failed, beside one it raised
        self.lean = True  # redis.call may take the short way
        self.deadline_ns = _NEVER  # when to look after other clients
        self.session = Session(0, engine.ks.dbs[0], Address("?:0", "?:0"), engine.ks.now_ms)
        self._by_text: dict[bytes, Script] = {}
        self._evictable: dict[bytes, None] = {}  # of EVAL, the least recently used first
        self._eval: Sandbox | None = None
        self._functions: Sandbox | None = None
        self._libraries: Libraries | None = None
        self._loading: Library | None = None
        self._dice: Dice | None = None

    # Lua states

    @property
    def libraries(self) -> Libraries:
        """The function libraries."""
        if self._libraries is None:
            from pyredis.scripting.functions import Libraries

            self._libraries = Libraries(self)
        return self._libraries

    def _eval_sandbox(self) -> Sandbox:
        if self._eval is None:
            self._eval = self._new_sandbox(for_functions=False)
        return self._eval

    def _function_sandbox(self) -> Sandbox:
        if self._functions is None:
            self._functions = self._new_sandbox(for_functions=True)
        return self._functions

    def _new_sandbox(self, for_functions: bool) -> Sandbox:
        from pyredis.scripting import structs
        from pyredis.scripting.api import make_api
        from pyredis.scripting.arithmetic import Dice
        from pyredis.scripting.calls import make_call
        from pyredis.scripting.sandbox import Sandbox

        if self._dice is None:
            self._dice = Dice()
        dice = self._dice

        def offer(sandbox: Sandbox) -> dict[str, Callable[..., Any]]:
            call = make_call(self, sandbox)
            return {
                **make_api(self, dice),
                "call": call,
                "call_list": lambda args, count: call(*(args[at + 1] for at in range(count))),
                "struct_pack": structs.pack,
                "struct_unpack": structs.unpack,
                "struct_size": structs.size,
            }

        return Sandbox(offer, for_functions, self.engine.config.lua_enable_deprecated_api)

    def forget_functions(self) -> None:
        """The libraries are gone, and their Lua state with them."""
        self._functions = None

    # Cache

    def cache(self, text: bytes, keep: bool) -> Script:
        """The script of that text, compiled if it is new. Raises Error if it is none.

        ``keep``: it is not to be dropped for want of room.
        """
        script = self._by_text.get(text)
        if script is None:
            flags, code = read_script(text)
            chunk, problem = self._eval_sandbox().compile(code, b"@user_script")
            if chunk is None:
                raise Error(b"ERR Error compiling script (new function): " + problem)
            script = Script(sha1(text).hexdigest().encode(), text, flags, chunk)
            self.scripts[script.sha] = self._by_text[text] = script
            if not keep:
                self._make_room()
                self._evictable[script.sha] = None
        elif keep:
            self._evictable.pop(script.sha, None)
        return script

    def _make_room(self) -> None:
        while len(self._evictable) >= _CACHED_MAX:
            oldest = next(iter(self._evictable))
            del self._evictable[oldest]
            del self._by_text[self.scripts.pop(oldest).text]
            self.evicted_scripts += 1

    def flush(self) -> None:
        """SCRIPT FLUSH: all scripts, and their Lua state."""
        self.scripts = {}
        self._by_text = {}
        self._evictable = {}
        self._eval = None

    # Running

    def evaluate(
        self, ctx: Context, script: Script, keys: int, args: tuple[bytes, ...], read_only: bool
    ) -> Reply:
        """Run a cached script; returns its reply, an Error included. Raises Error as well."""
        if script.sha in self._evictable:
            del self._evictable[script.sha]
            self._evictable[script.sha] = None
        flags = script.flags
        if flags is not None:
            self._check_flags(ctx.session, flags, read_only)
            read_only = read_only or "no-writes" in flags
        elif link_down in self.engine.gates and not ctx.session.inner:
            raise Error(MASTERDOWN)
        run = Run(
            script.sha, ctx.session, False, read_only, _allows_oom(flags), self.engine.clock_ns()
        )
        return self._perform(ctx, run, self._eval_sandbox(), script.chunk, keys, args)

    def call_function(
        self,
        ctx: Context,
        function: Function,
        keys: int,
        args: tuple[bytes, ...],
        read_only: bool,
        argv: tuple[bytes, ...],
    ) -> Reply:
        """Run a function of a library; as ``evaluate``."""
        flags = function.flags
        self._check_flags(ctx.session, flags, read_only)
        run = Run(
            function.name,
            ctx.session,
            True,
            read_only or "no-writes" in flags,
            _allows_oom(flags),
            self.engine.clock_ns(),
            argv,
        )
        return self._perform(ctx, run, self._function_sandbox(), function.callback, keys, args)

    def flags_of(self, entry: Entry, argv: list[bytes]) -> frozenset[str]:
        """The flags of a request. What a script or function declares takes the command's place."""
        flags = entry.spec.flags
        if "scripting" not in entry.spec.categories:
            return flags
        declared = self._declared(entry.spec.name.removesuffix("_RO"), argv)
        if declared is None:
            return flags
        flags -= {"stale", "may_replicate"}
        if "no-writes" not in declared:
            flags |= {"write"}
        if "allow-stale" in declared:
            flags |= {"stale"}
        return flags if _allows_oom(declared) else flags | {"denyoom"}

    def _declared(self, name: str, argv: list[bytes]) -> frozenset[str] | None:
        """The flags of the script or function that a request is to run, None without any."""
        if name == "EVAL":
            try:
                return read_script(argv[1])[0]
            except Error:
                return None
        if name == "EVALSHA":
            script = self.scripts.get(argv[1].lower())
            return None if script is None else script.flags
        if name == "FCALL":
            function = self.libraries.find(argv[1])
            return None if function is None else function.flags
        return None

    def _check_flags(self, caller: Session, flags: frozenset[str], read_only: bool) -> None:
        """What can be refused before a script with flags has started. Raises Error.

        What our primary or the log brings was accepted before.
        """
        if caller.inner:
            return
        engine = self.engine
        if engine.config.cluster_enabled and "no-cluster" in flags:
            raise Error("ERR Can not run script on cluster, 'no-cluster' flag is set.")
        if "no-writes" not in flags:
            if read_only:
                raise Error("ERR Can not execute a script with write flag using *_ro command.")
            if few_replicas in engine.gates:
                raise Error(NOREPLICAS)
            if read_only_replica in engine.gates:
                raise Error(READONLY)
            if engine.saver.denies_writes:
                raise Error(MISCONF)
            if engine.evictor.full and not _allows_oom(flags):
                raise Error(OOM)
        if "allow-stale" not in flags and link_down in engine.gates:
            raise Error(MASTERDOWN)

    def _perform(
        self,
        ctx: Context,
        run: Run,
        sandbox: Sandbox,
        chunk: Any,
        keys: int,
        args: tuple[bytes, ...],
    ) -> Reply:
        engine, unit, session = self.engine, self.engine.ks.unit, self.session
        caller = ctx.session
        argv = ctx.argv
        session.db = caller.db
        session.user = caller.user
        session.restricted = caller.restricted
        session.resp3 = False
        session.gates = () if caller.inner else tuple(engine.gates)
        self.lean = not (caller.gates or session.gates or session.restricted or engine.monitors)
        ctx.session = session
        limit_ms = engine.config.busy_reply_threshold
        self.deadline_ns = run.started_ns + limit_ms * 1_000_000 if limit_ms > 0 else _NEVER
        self.run = run
        self.failures = 0
        if not unit.depth:
            unit.time_us = 0
        unit.depth += 1
        try:
            outcome = sandbox.run(chunk, run.is_function, caller.resp3, keys, args)
        finally:
            unit.depth -= 1
            self.run = None
            self.deadline_ns = _NEVER
            ctx.session, ctx.db, ctx.argv = caller, caller.db, argv
            # The script itself is not propagated, its effects are.
            unit.begin_command(engine.ks.dirty)
            if self.busy:
                self._calm_down(run)
        mark = outcome[0]
        if mark == PLAIN:
            return outcome[1]
        if mark == WIRE:
            if run.errors:
                self.failures = sum(run.errors) + (False in run.errors)
            return Wire((outcome[1],))
        if mark == REPLIED:
            error = Error(outcome[1])
            counted = outcome[2]
        else:
            text, counted, source, line = outcome[1:]
            where = b", on %b:%d." % (source, line) if source else b""
            error = Error(b"%b script: %b%b" % (text, run.name, where))
        if counted:
            self.failures = 1
            return error  # the command that failed has been counted already
        raise error

    # The running script

    def overdue(self, now_ns: int) -> bytes:
        """The deadline is past: serve other clients. Returns the text to end with, or none."""
        run, engine = self.run, self.engine
        if self._loading is not None:
            return _LOAD_TIMEOUT
        if run is None:
            return b""
        if not run.condemned:
            if not self.busy:
                self.busy = True
                engine.log(
                    "warning",
                    f"Slow script detected: still in execution after "
                    f"{(now_ns - run.started_ns) // 1_000_000} milliseconds. You can try killing "
                    f"the script using the {'FUNCTION' if run.is_function else 'SCRIPT'} KILL "
                    f"command. Script name is: {run.name.decode('latin-1')}.",
                )
                engine.refresh_all()
            self._serve_others()
            if engine.exit_status is not None:
                run.condemned = _STOPPED
        self.deadline_ns = engine.clock_ns() + _POLL_INTERVAL_NS
        return run.condemned

    def _serve_others(self) -> None:
        """Let the shell look after other clients; for the script it is as if it had not been."""
        engine, ctx = self.engine, self.engine.ctx
        saved = ctx.session, ctx.db, ctx.argv, ctx.secrets, engine.running
        try:
            engine.poll_clients()
        finally:
            ctx.session, ctx.db, ctx.argv, ctx.secrets, engine.running = saved

    def _calm_down(self, run: Run) -> None:
        self.busy, self.was_busy = False, True
        self.engine.refresh_all()
        self.engine.log("warning", "The slow script has ended.")

    def kill(self, function: bool) -> None:
        """SCRIPT KILL or FUNCTION KILL. Raises Error when there is nothing to kill, or no way."""
        run = self.run
        if run is None:
            raise Error("NOTBUSY No scripts in execution right now.")
        if run.wrote:
            raise Error(UNKILLABLE)
        if run.is_function != function:
            raise self.busy_error()
        run.condemned = _KILLED

    def busy_error(self) -> Error:
        """What other clients are told while a script keeps the server busy."""
        assert self.run is not None
        return Error(BUSY_FUNCTION if self.run.is_function else BUSY_SCRIPT)

    # What the Lua side asks for

    def tick(self) -> Any:
        """Lua counted its instructions: is it time for something? None, or a text to end with."""
        try:
            now_ns = self.engine.clock_ns()
            if now_ns <= self.deadline_ns:
                return None
            return self.overdue(now_ns) or None
        except Exception:
            return self.defect("a look at the clock").text

    def limit_propagation(self, since: int, targets: int) -> None:
        """redis.set_repl: the commands since then are only for some, or for nobody."""
        kind = "aof" if targets == REPLICATE_AOF else "replicas" if targets else "none"
        self.engine.ks.unit.limit(since, kind)

    def log(self, level: int, text: bytes) -> None:
        """redis.log."""
        self.engine.log(_LEVELS[level], text.decode("utf-8", "surrogateescape"))

    def defect(self, where: str) -> Error:
        """A failure of ours inside a script: the script gets an error, the log the whole story."""
        self.engine.log(
            "warning",
            f"=== BUG REPORT: {where} failed in a script\n"
            f"{story(self.engine.config.hide_user_data_from_log)}",
        )
        self.engine.stats.unexpected_errors += 1
        return Error("ERR internal error, see the server's log")

    # Libraries

    def load_library(self, library: Library, code: bytes) -> Library:
        """Run a library's code, which fills the library. Raises Error."""
        sandbox = self._function_sandbox()
        chunk, problem = sandbox.compile(code, b"@user_function")
        if chunk is None:
            raise Error(b"ERR Error compiling function: " + problem)
        self._loading = library
        self.deadline_ns = self.engine.clock_ns() + _LOAD_LIMIT_NS
        try:
            failure = sandbox.load(chunk)
        finally:
            self._loading = None
            self.deadline_ns = _NEVER
        if failure is not None:
            raise Error(b"ERR Error registering functions: " + failure)
        if not library.functions:
            raise Error("ERR No functions registered")
        return library

    def register(
        self, name: bytes, callback: Any, description: bytes | None, flags: list[bytes]
    ) -> str | None:
        """redis.register_function, called while a library is loaded."""
        if self._loading is None:
            return "redis.register_function can only be called on FUNCTION LOAD command"
        return self._loading.register(name, callback, description, flags)

    # Facts for INFO and MEMORY STATS

    @property
    def number_of_cached_scripts(self) -> int:
        """Scripts that EVALSHA can name."""
        return len(self.scripts)

    @property
    def number_of_libraries(self) -> int:
        """Function libraries."""
        return 0 if self._libraries is None else len(self._libraries.libraries)

    @property
    def number_of_functions(self) -> int:
        """Functions of all libraries."""
        return 0 if self._libraries is None else len(self._libraries.functions)

    @property
    def eval_vm_bytes(self) -> int:
        """What the Lua state of EVAL takes."""
        return 0 if self._eval is None else self._eval.used_bytes()

    @property
    def function_vm_bytes(self) -> int:
        """What the Lua state of functions takes."""
        return 0 if self._functions is None else self._functions.used_bytes()

    @property
    def scripts_bytes(self) -> int:
        """What the cache of EVAL takes beside its Lua state, about."""
        return sum(len(script.text) + 300 for script in self.scripts.values())

    @property
    def functions_bytes(self) -> int:
        """What the libraries take beside their Lua state, about."""
        if self._libraries is None:
            return 0
        return sum(
            len(library.text) + 200 + 300 * len(library.functions)
            for library in self._libraries.libraries.values()
        )


def _allows_oom(flags: frozenset[str] | None) -> bool:
    """Whether a script may go on though memory is short."""
    return flags is not None and not flags.isdisjoint(("allow-oom", "no-writes"))
