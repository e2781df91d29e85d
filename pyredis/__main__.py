"""``pyredis-server``: the composition root of a data node.

Takes redis-server's own arguments, builds the parts, connects them and runs the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import platform
import random
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pyredis import process, proctitle
from pyredis.acl import AclError, check_config_user
from pyredis.commands.registry import Table
from pyredis.config import Config, ConfigError, encode
from pyredis.configfile import (
    DiskFiles,
    FatalConfigError,
    Hook,
    Loader,
    parse_command_line,
    resolve_dir,
    rewrite_file,
)
from pyredis.defects import story
from pyredis.engine import Engine
from pyredis.log import Log
from pyredis.net.listeners import ListenError
from pyredis.net.server import Server
from pyredis.net.startup import load_data
from pyredis.net.tls import TLSError
from pyredis.persistence.disk import WorkingDirectory
from pyredis.persistence.snapshot import ForkedChildren
from pyredis.ports import SystemClock
from pyredis.server import command_table
from pyredis.shutdown import Wishes
from pyredis.unixhost import UnixHost
from pyredis.version import REDIS_VERSION, VERSION

PROGRAM = "pyredis-server"

USAGE = f"""\
Usage: {PROGRAM} [/path/to/redis.conf] [--directive value ...] [-]
       {PROGRAM} -                 read the configuration from standard input
       {PROGRAM} -v or --version
       {PROGRAM} -h or --help

Examples:
       {PROGRAM}                   start with the default configuration
       {PROGRAM} /etc/redis/6379.conf
       {PROGRAM} --port 7777
       {PROGRAM} --port 7777 --maxmemory 700mb --save ''
       echo 'maxmemory 128mb' | {PROGRAM} -
       {PROGRAM} /etc/myredis.conf --loglevel verbose -
"""


def version_line() -> str:
    """What ``--version`` prints; tools read the part after ``v=``."""
    bits = 64 if sys.maxsize > 2**32 else 32
    return (
        f"Redis server v={REDIS_VERSION} sha=00000000:0 malloc=libc bits={bits} pyredis={VERSION}"
    )


def load_config(arguments: Sequence[str]) -> tuple[Config, str | None]:
    """The configuration and the absolute path of its file. Raises FatalConfigError."""
    warnings: list[str] = []
    config = Config(os.getcwd(), resolve_dir, warnings.append)
    table = functools.cache(command_table)
    hooks: dict[str, Hook] = {
        "user": lambda words: check_config_user(table(), config, words),
        "rename-command": lambda words: _rename(table(), words),
        "loadmodule": _refuse_module,
    }
    loader = Loader(config, DiskFiles(), "pyredis", REDIS_VERSION, hooks)
    line = parse_command_line(arguments)
    if line.sentinel:
        raise SystemExit("Sentinel mode is not part of this version.")
    path = loader.load(line, sys.stdin.buffer.read)
    for text in warnings:
        print(text)
    _refuse_absent(config)
    return config, path


def _refuse_absent(config: Config) -> None:
    """What this version cannot do must not look as if it were done. Raises FatalConfigError."""
    for name, is_set in (("cluster-enabled", config.cluster_enabled),):
        if is_set:
            reason = f"Fatal error, '{name}' is not part of this version of {PROGRAM}"
            raise FatalConfigError(reason, reason)


def _rename(table: Table, words: tuple[str, ...]) -> None:
    try:
        table.rename(encode(words[0]), encode(words[1]))
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _refuse_module(words: tuple[str, ...]) -> None:
    raise ConfigError("Redis modules are native code and cannot be loaded into this server")


def start_up_text(config: Config, log: Log) -> None:
    """The banner that scripts take the process id from."""
    mode, port = "standalone", config.port or config.tls_port
    if config.always_show_logo or (not config.logfile and sys.stdout.isatty()):
        log.raw(
            f"\n    pyredis {VERSION}, speaks Redis {REDIS_VERSION} "
            f"({platform.python_implementation()} {platform.python_version()})\n\n"
            f"    Running in {mode} mode\n    Port: {port}\n    PID: {os.getpid()}\n\n"
        )
    else:
        log.raw(f" PID: {os.getpid()}\n")
    log("notice", f"Running mode={mode}, port={port}.")


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's event loop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def serve(config: Config, path: str | None, arguments: Sequence[str]) -> int:
    """Run a node until it is told to stop; returns the exit status."""
    home = os.getcwd()  # where a restart has to begin
    os.chdir(config.dir)
    config.subscribe(("dir",), lambda: os.chdir(config.dir))
    log = Log(config.loglevel, config.logfile)
    config.subscribe(("loglevel",), lambda: setattr(log, "level", config.loglevel))
    if config.syslog_enabled:
        log.open_syslog(config.syslog_ident, config.syslog_facility)
    log.role = "C"  # what starts is not a server yet
    log("notice", "oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo")
    log(
        "notice",
        f"Redis version={REDIS_VERSION}, bits=64, pyredis version={VERSION}, "
        f"pid={os.getpid()}, just started",
    )
    if path is None and not arguments:
        log(
            "warning",
            "Warning: no config file specified, using the default config. In order to specify a "
            f"config file use {PROGRAM} /path/to/redis.conf",
        )
    else:
        log("notice", "Configuration loaded")
    supervised = process.is_supervised(config.supervised)
    if config.daemonize and not supervised:
        process.daemonize()
    log.role = "M" if config.replicaof is None else "S"
    process.raise_open_files_limit(config, log)
    config.subscribe(("maxclients",), lambda: process.check_maxclients(config))
    process.report_crashes(config.crash_log_enabled, log)
    config.subscribe(
        ("crash-log-enabled",), lambda: process.report_crashes(config.crash_log_enabled, log)
    )
    process.show_stacks_on_alarm(log)
    if config.disable_thp:
        process.disable_huge_pages()
    pid_path = config.pidfile or ("/var/run/redis.pid" if config.daemonize else "")
    if pid_path:
        process.write_pid_file(pid_path, log)
    oom_score = process.OomScore(config, log)
    oom_score.apply(oom_score.PRIMARY)

    loop = _new_loop()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(lambda loop, context: _report_defect(context, log, config))
    supervisor = "upstart" if config.supervised == "upstart" else "systemd"
    host = UnixHost(log, home, supervisor if supervised else "no", lambda: config.use_exit_on_panic)
    rng = random.Random(os.urandom(16))
    engine = Engine(config, SystemClock(), rng, command_table(config.renamed_commands), log, host)
    engine.config_path = path
    if path is not None:
        engine.rewrite_config = lambda everything=False: rewrite_file(
            path,
            config,
            DiskFiles(),
            owned={"user": engine.acl.config_lines()},
            everything=everything,
        )
    engine.arguments = list(arguments)
    engine.random_bytes = os.urandom
    try:
        engine.guard.start(DiskFiles())
    except AclError as error:
        log("warning", str(error))
        return 1
    status = 0

    def leave(code: int) -> None:
        nonlocal status
        status = code
        loop.stop()

    server = Server(engine, config, loop, log, leave)
    start_up_text(config, log)

    def show_title() -> None:
        proctitle.show(proctitle.title(config, PROGRAM, engine.mode, path or ""))

    if config.set_proc_title:
        show_title()
        config.subscribe(("proc-title-template", "port", "bind", "tls-port"), show_title)
    try:
        server.start()
    except ListenError as error:
        log("warning", f"Warning: {error}")
        port = config.port or config.tls_port
        log("warning", f"Failed listening on port {port} (tcp), aborting.")
        return 1
    except TLSError as error:
        log("warning", f"{error}")
        log("warning", "Failed to configure TLS. Check logs for more info.")
        return 1
    log("notice", "Server initialized")
    supervisor = config.supervised if supervised else ""
    if supervisor and supervisor != "upstart":
        engine.saver.supervisor = process.tell_supervisor

    def on_child(title: str) -> None:
        for fd in server.sockets():
            os.close(fd)
        log.role = "C"
        proctitle.show(title)
        oom_score.apply(oom_score.CHILD)

    def watch(fd: int, on_readable: Callable[[], None] | None) -> None:
        if on_readable is None:
            loop.remove_reader(fd)
        else:
            loop.add_reader(fd, server.batch, on_readable)

    def on_ready() -> None:
        _announce(config, log, supervisor)
        engine.replication.begin()
        server.wake()

    engine.child.connect(
        ForkedChildren(log, on_child, watch, lambda: config.hide_user_data_from_log)
    )
    engine.saver.connect(WorkingDirectory())
    engine.aof.connect(WorkingDirectory())

    def on_role() -> None:
        log.role = "M" if engine.role == "master" else "S"
        oom_score.apply(oom_score.PRIMARY if engine.role == "master" else oom_score.REPLICA)

    engine.replication.on_role = on_role
    if config.replicaof is not None:
        engine.replication.begin_as_replica(*config.replicaof)
    # Said from inside the loop: from then on a signal finds its handler at work.
    load_data(loop, server, engine, log, on_ready, lambda: leave(1))
    _handle_signals(loop, engine, server, log)
    _tame_garbage_collector()
    engine.memory.begin()
    try:
        loop.run_forever()
    finally:
        server.close()
        if pid_path:
            log("notice", "Removing the pid file.")
            with contextlib.suppress(OSError):
                os.unlink(pid_path)
        if not status:
            log("warning", "Redis is now ready to exit, bye bye...")
        loop.close()
    if host.restart_delay_ms is not None:
        host.begin_anew()
    return status


def _report_defect(context: dict[str, Any], log: Log, config: Config) -> None:
    """What a callback of the loop failed with goes into the log, as a crash would."""
    error = context.get("exception")
    stack = story(config.hide_user_data_from_log, error) if error is not None else ""
    log("warning", f"=== BUG REPORT: {context.get('message', '')}\n{stack}")


def _announce(config: Config, log: Log, supervisor: str) -> None:
    """Tell the log and whoever supervises us that clients are served."""
    for kind, wanted in (
        ("tcp", config.port),
        ("tls", config.tls_port),
        ("unix", config.unixsocket),
    ):
        if wanted:
            log("notice", f"Ready to accept connections {kind}")
    if supervisor == "upstart":
        process.stop_like_upstart()
    elif supervisor:
        process.tell_supervisor("STATUS=Ready to accept connections\nREADY=1\n")


def _handle_signals(
    loop: asyncio.AbstractEventLoop, engine: Engine, server: Server, log: Log
) -> None:
    """TERM and INT ask for an orderly end; a second INT does not wait for it."""
    asked = False
    config, saver = engine.config, engine.saver

    def begin(number: int) -> None:
        nonlocal asked
        if saver.loading is not None:
            log.from_signal("Received shutdown signal during loading, scheduling shutdown.")
        else:
            log.from_signal(f"Received {signal.Signals(number).name} scheduling shutdown...")
        by_interrupt = number == signal.SIGINT
        flags = config.shutdown_on_sigint if by_interrupt else config.shutdown_on_sigterm
        engine.begin_batch()
        wishes = Wishes("save" in flags, "nosave" in flags, "now" in flags, "force" in flags)
        engine.shutdown.ask_by_signal(wishes)
        asked = engine.exit_status is not None
        server.wake()

    def on_signal(number: int, frame: object) -> None:
        """Runs between two instructions, even while a command keeps the loop busy."""
        nonlocal asked
        if (asked or engine.shutdown.waiting) and number == signal.SIGINT:
            log.from_signal("You insist... exiting now.")
            saver.drop_temporary()
            os._exit(1)
        asked = True
        loop.call_soon_threadsafe(begin, number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def _tame_garbage_collector() -> None:
    """Values hold no reference cycles, so reference counts free them at once.

    A full collection would walk every container in the data and stall all clients. What was
    made at start is left out of collections for ever, and the oldest generation is never due.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 1_000_000)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments) in (["-v"], ["--version"]):
        print(version_line())
        return 0
    if list(arguments) in (["-h"], ["--help"]):
        print(USAGE, end="")
        return 0
    try:
        config, path = load_config(arguments)
    except FatalConfigError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return serve(config, path, arguments)


if __name__ == "__main__":
    sys.exit(main())
