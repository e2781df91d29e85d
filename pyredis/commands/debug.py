"""DEBUG: tools for tests of the server, of clients and of whatever is built around it.

To Redis DEBUG is one command, not a container, so its subcommands are told apart here: `_sub`
registers a function under a name with the numbers of arguments it takes. Its usage and
docstring make the lines of DEBUG HELP.

What other parts of the server have to know is kept in ``engine.switches``.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from pyredis.commands.args import INT64_MAX, integer, integer_in
from pyredis.commands.config import allowed, rewrite
from pyredis.commands.objects import encoding_name, reference_count
from pyredis.commands.registry import Group
from pyredis.context import Context
from pyredis.digest import ZERO, data_digest, value_digest
from pyredis.glob import compile_glob
from pyredis.keyspace import Value
from pyredis.persistence.encoding import Encoder
from pyredis.persistence.values import VERSION_DEFAULT, encode_value, value_type
from pyredis.quoting import parse_memory, quote
from pyredis.resp import (
    NO_REPLY,
    OK,
    Attributed,
    BigNumber,
    Error,
    PushReply,
    Replies,
    Reply,
    SetReply,
    Simple,
    Verbatim,
)
from pyredis.types.hashes import Hash
from pyredis.types.lists import List
from pyredis.types.sets import Set
from pyredis.types.zset import ZSet

command = Group("server")

_NOT_ALLOWED: Final = (
    'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you '
    "can run it from a local connection, otherwise you need to set this option in the "
    "configuration file, and then restart the server."
)
_LRU_CLOCK_MAX: Final = (1 << 24) - 1
_DEQUE_BLOCK: Final = 64
_PACKED_MAX_BYTES: Final = 1 << 32
_ARGS_MAX: Final = 1 << 20


class _Sub(NamedTuple):
    """A subcommand: what it takes and what does it."""

    handler: Callable[..., Reply]
    args_min: int
    args_max: int
    usage: str


_SUBCOMMANDS: Final[dict[bytes, _Sub]] = {}


def _sub(
    name: str, args_min: int = 0, args_max: int | None = None, usage: str = ""
) -> Callable[[Callable[..., Reply]], Callable[..., Reply]]:
    def register(handler: Callable[..., Reply]) -> Callable[..., Reply]:
        most = args_min if args_max is None else args_max
        _SUBCOMMANDS[name.encode()] = _Sub(handler, args_min, most, usage)
        return handler

    return register


@command(
    "DEBUG",
    arity=-2,
    flags="admin noscript loading stale",
    internal=True,
    since="1.0.0",
    complexity="Depends on subcommand.",
)
def debug(ctx: Context, name: bytes, *args: bytes) -> Reply:
    """Tools for testing; see DEBUG HELP."""
    if not allowed(ctx.config.enable_debug_command, ctx):
        raise Error(_NOT_ALLOWED)
    sub = _SUBCOMMANDS.get(name.upper())
    if sub is None or not sub.args_min <= len(args) <= sub.args_max:
        raise Error(
            b"ERR unknown subcommand or wrong number of arguments for '%b'. Try DEBUG HELP."
            % name[:128]
        )
    return sub.handler(ctx, *args)


@_sub("HELP")
def _help(ctx: Context) -> Reply:
    """Print this help."""
    lines = ["DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
    for name, sub in sorted(_SUBCOMMANDS.items(), key=lambda item: (item[0] == b"HELP", item[0])):
        lines.append(f"{name.decode()} {sub.usage}".rstrip())
        text = " ".join((sub.handler.__doc__ or "").split())
        lines += (f"    {line}" for line in textwrap.wrap(text, 76))
    return [Simple(line.encode()) for line in lines]


# The process


@_sub("SLEEP", 1, usage="<seconds>")
def _sleep(ctx: Context, seconds: bytes) -> Reply:
    """Stop the whole server for that time; decimals are allowed."""
    try:
        duration_s = float(seconds)
    except ValueError:
        duration_s = 0.0  # as C's strtod has it
    ctx.engine.host.sleep(duration_s)
    if not ctx.ks.unit.depth:  # inside EXEC time stands still
        ctx.ks.set_time(ctx.engine.clock.now_ms())
    return OK


@_sub("SEGFAULT")
def _segfault(ctx: Context) -> Reply:
    """Crash by an invalid access to memory."""
    ctx.engine.host.crash("segfault")
    return NO_REPLY


@_sub("PANIC")
def _panic(ctx: Context) -> Reply:
    """Crash as if the server had found itself in an impossible state."""
    ctx.engine.host.crash("panic")
    return NO_REPLY


@_sub("ASSERT")
def _assert(ctx: Context) -> Reply:
    """Crash by a failed assertion."""
    ctx.engine.host.crash("assert")
    return NO_REPLY


@_sub("OOM")
def _oom(ctx: Context) -> Reply:
    """Crash as if memory had run out."""
    ctx.engine.host.crash("oom")
    return NO_REPLY


@_sub("RESTART", 0, 1, usage="[<milliseconds>]")
def _restart(ctx: Context, delay: bytes = b"0") -> Reply:
    """Rewrite the configuration file if there is one, shut down (which saves where save points
    are set), and start again after a delay."""
    delay_ms = max(0, integer(delay))
    engine = ctx.engine
    if engine.config_path is not None and engine.rewrite_config is not None:
        try:
            engine.rewrite_config()
        except OSError as error:
            engine.log(
                "warning", f"Can't restart: configuration rewrite process failed: {error.strerror}"
            )
            raise Error("ERR failed to restart the server. Check server logs.") from error
    try:
        engine.saver.prepare_exit()
    except Error as error:
        engine.log("warning", "Can't restart: error preparing for shutdown")
        raise Error("ERR failed to restart the server. Check server logs.") from error
    engine.host.restart(delay_ms, orderly=True)
    engine.exit_status = 0
    return NO_REPLY


@_sub("CRASH-AND-RECOVER", 0, 1, usage="[<milliseconds>]")
def _crash_and_recover(ctx: Context, delay: bytes = b"0") -> Reply:
    """End at once without saving anything, and start again after a delay."""
    ctx.engine.host.restart(max(0, integer(delay)), orderly=False)
    return NO_REPLY


@_sub("LOG", 1, usage="<message>")
def _log(ctx: Context, message: bytes) -> Reply:
    """Write a message to the log."""
    text = message.decode("utf-8", "surrogateescape")
    ctx.engine.log("warning", f"DEBUG LOG: {text}")
    return OK


@_sub("STRUCTSIZE")
def _structsize(ctx: Context) -> Reply:
    """Tell what the interpreter takes for an object (robj), for a key in a dict (dictentry)
    and for a string beside its bytes (sdshdr, of any size)."""
    string = sys.getsizeof(b"")
    headers = " ".join(f"sdshdr{bits}:{string}" for bits in (5, 8, 16, 32, 64))
    return Simple(f"bits:64 robj:{sys.getsizeof(object())} dictentry:24 {headers} ".encode())


# Switches


@_sub("SET-ACTIVE-EXPIRE", 1, usage="<0|1>")
def _set_active_expire(ctx: Context, flag: bytes) -> Reply:
    """With 0 keys past their time stay until somebody asks for them; 1 is the default."""
    ctx.engine.expire.enabled = _switch(flag)
    return OK


@_sub("PAUSE-CRON", 1, usage="<0|1>")
def _pause_cron(ctx: Context, flag: bytes) -> Reply:
    """Stop all periodic work, or go on with it."""
    ctx.engine.switches.cron_paused = _switch(flag)
    return OK


@_sub("SET-DISABLE-DENY-SCRIPTS", 1, usage="<0|1>")
def _set_disable_deny_scripts(ctx: Context, flag: bytes) -> Reply:
    """With 1 scripts may call commands that are forbidden to them."""
    ctx.engine.switches.scripts_may_call_all = _switch(flag)
    return OK


@_sub("SET-SKIP-CHECKSUM-VALIDATION", 1, usage="<0|1>")
def _set_skip_checksum_validation(ctx: Context, flag: bytes) -> Reply:
    """With 1 RESTORE and the loading of RDB files do not look at checksums."""
    ctx.engine.switches.checksums_ignored = _switch(flag)
    return OK


def _switch(flag: bytes) -> bool:
    """As C's atoi has it: what is no number is 0."""
    try:
        return int(flag) != 0
    except ValueError:
        return False


@_sub("QUICKLIST-PACKED-THRESHOLD", 1, usage="<size>")
def _packed_threshold(ctx: Context, size: bytes) -> Reply:
    """Check a size from which on list elements are to have nodes of their own. Here every
    element is an object of its own already, so nothing remains to be done."""
    try:
        valid = 0 <= parse_memory(size.decode("latin-1")) <= _PACKED_MAX_BYTES
    except ValueError:
        valid = False
    if not valid:
        raise Error("ERR argument must be a memory value bigger than 1 and smaller than 4gb")
    return OK


@_sub("REPLYBUFFER", 2, usage="PEAK-RESET-TIME <NEVER|RESET|time> | RESIZING <0|1>")
def _replybuffer(ctx: Context, what: bytes, value: bytes) -> Reply:
    """Check a setting of the job that resizes reply buffers. Replies are no buffers of a
    fixed size here, so there is no such job and nothing changes."""
    if what.upper() == b"PEAK-RESET-TIME":
        if value.upper() not in (b"NEVER", b"RESET"):
            integer(value)
    elif what.upper() != b"RESIZING":
        raise Error(
            "ERR unknown subcommand or wrong number of arguments for 'REPLYBUFFER'. Try DEBUG HELP."
        )
    return OK


@_sub("CHANGE-REPL-ID")
def _change_repl_id(ctx: Context) -> Reply:
    """Give the history of the data a new id, so that replicas have to start afresh."""
    engine = ctx.engine
    engine.log("notice", "Changing replication IDs after receiving change-repl-id")
    engine.replication.history.begin()
    return OK


@_sub("REPLICATE", 1, _ARGS_MAX, usage="<command> [<arg> ...]")
def _replicate(ctx: Context, *argv: bytes) -> Reply:
    """Send this to the replicas as if it had been done here: from then on their data may differ."""
    ctx.propagate(*argv, only="replicas")
    return OK


# Data


@_sub("POPULATE", 1, 3, usage="<count> [<prefix>] [<size>]")
def _populate(
    ctx: Context, count: bytes, prefix: bytes = b"key", size: bytes | None = None
) -> Reply:
    """Create strings <prefix>:0, <prefix>:1 and so on, filled up with zero bytes or cut to a
    size. Keys that exist are left alone. Nothing is propagated."""
    error = "ERR value is out of range, must be positive"
    total = integer_in(count, 0, INT64_MAX, error)
    size_bytes = 0 if size is None else integer_in(size, 0, INT64_MAX, error)
    db = ctx.db
    for number in range(total):
        key = b"%b:%d" % (prefix, number)
        if db.write(key) is not None:
            continue
        value = b"value:%d" % number
        db.put(key, value[:size_bytes].ljust(size_bytes, b"\0") if size_bytes else value)
        for session in db.watched.get(key, ()):
            session.dirty_exec = session.dirty_exec or "cas"
    return OK


@_sub("RELOAD", 0, 3, usage="[NOSAVE] [NOFLUSH] [MERGE]")
def _reload(ctx: Context, *options: bytes) -> Reply:
    """Save the data and load them again. NOSAVE takes the file as it is. NOFLUSH adds the keys
    of the file to those that are there; a key that both have is an error, unless MERGE takes
    the file's."""
    given = {option.upper() for option in options}
    if not given <= {b"NOSAVE", b"NOFLUSH", b"MERGE"}:
        raise Error("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")
    ctx.engine.saver.reload(b"NOSAVE" not in given, b"NOFLUSH" not in given, b"MERGE" in given)
    return OK


@_sub("CONFIG-REWRITE-FORCE-ALL")
def _config_rewrite_force_all(ctx: Context) -> Reply:
    """Bring the configuration file up to date as CONFIG REWRITE does, and write all settings
    into it that have their defaults, too."""
    rewrite(ctx.engine, everything=True)
    return OK


@_sub("LOADAOF")
def _loadaof(ctx: Context) -> Reply:
    """Write out what the append-only file is still owed, and load all data from it."""
    ctx.engine.aof.reload()
    return OK


@_sub("AOF-FLUSH-SLEEP", 1, usage="microseconds")
def _aof_flush_sleep(ctx: Context, duration_us: bytes) -> Reply:
    """Have the server sleep before each write to the append-only file."""
    ctx.engine.aof.feed.flush_pause_us = integer(duration_us)
    return OK


@_sub("DIGEST")
def _digest(ctx: Context) -> Reply:
    """Tell a signature of all data: equal data have equal ones."""
    return Simple(data_digest(ctx.ks.dbs).hex().encode())


@_sub("DIGEST-VALUE", 0, 1 << 40, usage="<key> [<key> ...]")
def _digest_value(ctx: Context, *keys: bytes) -> Reply:
    """Tell signatures of the values of keys."""
    digests: list[Reply] = []
    with ctx.ks.hushed():
        for key in keys:
            value = ctx.db.peek(key)
            digest = ZERO if value is None else value_digest(ZERO, ctx.db, key, value)
            digests.append(Simple(digest.hex().encode()))
    return digests


@_sub("OBJECT", 1, usage="<key>")
def _object(ctx: Context, key: bytes) -> Reply:
    """Show how a value is held and used."""
    value = _existing(ctx, key)
    idle_s = 0 if ctx.ks.lfu else ctx.db.idle_seconds(key)
    text = (
        f"Value at:{id(value):#x} refcount:{reference_count(value, ctx.config)} "
        f"encoding:{encoding_name(value, ctx.config).decode()} "
        f"serializedlength:{_serialized_bytes(value, ctx.config.rdbcompression)} "
        f"lru:{(ctx.ks.lru_clock - idle_s) & _LRU_CLOCK_MAX} lru_seconds_idle:{idle_s}"
    )
    if isinstance(value, List) and value.encoding(ctx.config) == b"quicklist":
        nodes = -(-len(value) // _DEQUE_BLOCK)
        text += (
            f" ql_nodes:{nodes} ql_avg_node:{len(value) / nodes:.2f} "
            f"ql_listpack_max:{ctx.config.list_max_listpack_size} ql_compressed:0 "
            f"ql_uncompressed_size:{sum(map(len, value))}"
        )
    return Simple(text.encode())


def _serialized_bytes(value: Value, compresses: bool) -> int:
    """What the value takes in an RDB file, without its type."""
    kind = value_type(value, VERSION_DEFAULT)
    return sum(map(len, encode_value(value, kind, Encoder(compresses))))


def _existing(ctx: Context, key: bytes) -> Value:
    value = ctx.db.data.get(key)  # even past its time, as long as it is there
    if value is None:
        raise Error("ERR no such key")
    return value


@_sub("LISTPACK", 1, usage="<key>")
def _listpack(ctx: Context, key: bytes) -> Reply:
    """Print the elements of a small value as they follow one another."""
    value = _existing(ctx, key)
    if encoding_name(value, ctx.config) not in (b"listpack", b"listpackex"):
        raise Error("ERR Not a listpack encoded object.")
    entries = _entries(value)
    lines = [f"{{total entries {len(entries)}}}"]
    lines += (f"{at}: {quote(entry).decode()}" for at, entry in enumerate(entries))
    ctx.engine.host.show("\n".join(lines) + "\n")
    return Simple(b"Listpack structure printed on stdout")


def _entries(value: Any) -> list[bytes]:
    if isinstance(value, Hash):
        return [part for pair in value.fields.items() for part in pair]
    if isinstance(value, ZSet):
        return [part for score, member in value for part in (member, b"%.17g" % score)]
    return value.listing() if isinstance(value, Set) else list(value)


@_sub("HTSTATS", 1, usage="<dbid>")
def _htstats(ctx: Context, index: bytes) -> Reply:
    """Describe the hash tables of a database."""
    number = integer(index)
    if not 0 <= number < len(ctx.ks.dbs):
        raise Error("ERR Out of range database")
    db = ctx.ks.dbs[number]
    text = f"[Dictionary HT]\n{_table_stats(db.data)}[Expires HT]\n{_table_stats(db.expires)}"
    return Verbatim(text.encode())


@_sub("HTSTATS-KEY", 1, usage="<key>")
def _htstats_key(ctx: Context, key: bytes) -> Reply:
    """Describe the hash table of a value."""
    value = _existing(ctx, key)
    table: dict[bytes, Any] | None = None
    if encoding_name(value, ctx.config) in (b"hashtable", b"skiplist"):
        if isinstance(value, Hash):
            table = value.fields
        elif isinstance(value, Set):
            table = value.members
        elif isinstance(value, ZSet):
            table = value.scores
    if table is None:
        raise Error(
            "ERR The value stored at the specified key is not represented using an hash table"
        )
    return Verbatim(_table_stats(table).encode())


def _table_stats(table: dict[bytes, Any]) -> str:
    """What can be said of a dict from outside; how its keys collide cannot."""
    if not table:
        return "No stats available for empty dictionaries\n"
    return (
        "Hash table 0 stats (main hash table):\n"
        f" table size: {table_slots(table)}\n"
        f" number of elements: {len(table)}\n"
    )


def table_slots(table: dict[bytes, Any]) -> int:
    """How many slots a dict's hash table has, worked out from its size in bytes. Nothing changes.

    CPython holds a head of 32 bytes, a table of slots, each 1 to 8 bytes as needed to number
    the entries, and room for entries of 24 bytes in two thirds of that number.
    """
    size = sys.getsizeof(table) - sys.getsizeof({}) - 32
    slots = 8
    while slots < 1 << 40:
        bits = slots.bit_length() - 1
        width = 1 if bits < 8 else 2 if bits < 16 else 4 if bits < 32 else 8
        if slots * width + (slots * 2 // 3) * 24 >= size:
            break
        slots *= 2
    return slots


# Protocol


@_sub("ERROR", 1, usage="<string>")
def _error(ctx: Context, text: bytes) -> Reply:
    """Reply with this error."""
    return Error(text)


@_sub("STRINGMATCH-LEN", 2, usage="<pattern> <string>")
def _stringmatch_len(ctx: Context, pattern: bytes, text: bytes) -> Reply:
    """Reply with 1 if the string matches the glob, else with 0."""
    return int(compile_glob(pattern)(text))


_SAMPLES: Final[dict[bytes, Reply]] = {
    b"string": b"Hello World",
    b"integer": 12345,
    b"double": 3.141,
    b"bignum": BigNumber(1234567999999999999999999999999999999),
    b"null": None,
    b"array": [0, 1, 2],
    b"set": SetReply([0, 1, 2]),
    b"map": {0: False, 1: True, 2: False},
    b"attrib": Attributed(
        {b"key-popularity": [b"key:123", 90]}, b"Some real reply following the attribute"
    ),
    b"push": Replies(
        [PushReply([b"server-cpu-usage", 42]), b"Some real reply following the push reply"]
    ),
    b"verbatim": Verbatim(b"This is a verbatim\nstring"),
    b"true": True,
    b"false": False,
}


@_sub("PROTOCOL", 1, usage="<type>")
def _protocol(ctx: Context, kind: bytes) -> Reply:
    """Reply with a sample of a type: string, integer, double, bignum, null, array, set, map,
    attrib, push, verbatim, true or false."""
    name = kind.lower()
    if name not in _SAMPLES:
        names = "|".join(each.decode() for each in _SAMPLES)
        raise Error(f"ERR Wrong protocol type name. Please use one of the following: {names}")
    if name == b"push" and not ctx.resp3:
        raise Error("ERR RESP2 is not supported by this command")
    return _SAMPLES[name]
