"""ACL: users and their rights, looked at and changed at run time.

What rules mean stands in `pyredis.acl_rules`, who is affected by changes in
`pyredis.acl_guard`. Arguments that could give away users or passwords are kept out of the
slow log.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from pyredis.acl import DEFAULT, AclError
from pyredis.acl_guard import denial_text
from pyredis.acl_log import Refusal
from pyredis.acl_rules import CATEGORIES, Selector
from pyredis.acl_user import User
from pyredis.commands.args import c_string, integer, subcommand_error
from pyredis.commands.help import help_reply
from pyredis.commands.registry import Entry, Group
from pyredis.config_types import encode
from pyredis.context import Context
from pyredis.resp import OK, Error, Reply, SetReply

command = Group("server")

_PASSWORD_BITS: Final = 256
_PASSWORD_BITS_MAX: Final = 4096
_LOG_COUNT: Final = 10


def _error(reason: object) -> Error:
    return Error(b"ERR " + encode(str(reason)))


@command("ACL", arity=-2, since="6.0.0", complexity="Depends on subcommand.")
def acl(ctx: Context) -> Reply:
    """Manages users and what they are allowed to do."""
    raise Error("ERR wrong number of arguments for 'acl' command")


# Users


@command(
    "ACL SETUSER",
    arity=-3,
    flags="admin noscript loading stale",
    tips="request_policy:all_nodes response_policy:all_succeeded",
    since="6.0.0",
    complexity="O(N). Where N is the number of rules provided.",
    usage="username [rule [rule ...]]",
    history=[
        ("6.2.0", "Knows rules for channels."),
        ("7.0.0", "Knows selectors and rights to only read or write keys."),
    ],
)
def acl_setuser(ctx: Context, name: bytes, *rules: bytes) -> Reply:
    """Creates a user or changes one by rules: all of them, or none and an error."""
    ctx.redact(*range(2, len(rules) + 3))
    try:
        user = ctx.engine.acl.changed_user(name, rules)
    except AclError as error:
        raise _error(error) from error
    ctx.engine.guard.install([user])
    return OK


@command(
    "ACL DELUSER",
    arity=-3,
    flags="admin noscript loading stale",
    tips="request_policy:all_nodes response_policy:all_succeeded",
    since="6.0.0",
    complexity="O(1) amortized time considering the typical user.",
    usage="username [username ...]",
)
def acl_deluser(ctx: Context, *names: bytes) -> Reply:
    """Deletes users and closes their connections; returns how many users there were."""
    ctx.redact(*range(2, len(names) + 2))
    if DEFAULT in names:
        raise Error("ERR The 'default' user cannot be removed")
    return ctx.engine.guard.remove(names)


@command(
    "ACL GETUSER",
    arity=3,
    flags="admin noscript loading stale",
    since="6.0.0",
    complexity="O(N). Where N is the number of password, command and pattern rules that the "
    "user has.",
    usage="username",
    history=[
        ("6.2.0", "Shows the patterns of channels."),
        ("7.0.0", "Shows selectors; keys and channels are shown as rules."),
    ],
)
def acl_getuser(ctx: Context, name: bytes) -> Reply:
    """Returns the flags, password hashes and rules of a user, null if there is none."""
    ctx.redact(2)
    user = ctx.engine.acl.users.get(name)
    if user is None:
        return None
    root, *others = user.selectors
    return {
        b"flags": SetReply(user.flags()),
        b"passwords": list(user.passwords),
        **_selector(root),
        b"selectors": [_selector(selector) for selector in others],
    }


def _selector(selector: Selector) -> dict[bytes, Reply]:
    return {
        b"commands": selector.describe_commands(),
        b"keys": selector.describe_keys(),
        b"channels": selector.describe_channels(),
    }


@command(
    "ACL LIST",
    arity=2,
    flags="admin noscript loading stale",
    since="6.0.0",
    complexity="O(N). Where N is the number of configured users.",
)
def acl_list(ctx: Context) -> Reply:
    """Returns the users with their rules, as lines of an ACL file."""
    users = ctx.engine.acl.users
    return [users[name].describe() for name in ctx.engine.acl.names()]


@command(
    "ACL USERS",
    arity=2,
    flags="admin noscript loading stale",
    since="6.0.0",
    complexity="O(N). Where N is the number of configured users.",
)
def acl_users(ctx: Context) -> Reply:
    """Returns the names of all users."""
    return list(ctx.engine.acl.names())


@command("ACL WHOAMI", arity=2, flags="noscript loading stale", since="6.0.0", complexity="O(1)")
def acl_whoami(ctx: Context) -> Reply:
    """Returns the name of the user that the connection is authenticated as."""
    return ctx.session.user


# What users may do


@command(
    "ACL CAT",
    arity=-2,
    flags="noscript loading stale",
    since="6.0.0",
    complexity="O(1) since the categories and commands are a fixed set.",
    usage="[category]",
)
def acl_cat(ctx: Context, *category: bytes) -> Reply:
    """Returns the categories, or the commands of one of them."""
    if len(category) > 1:
        subcommand_error(ctx)
    if not category:
        return [name.encode() for name in CATEGORIES]
    wanted = category[0].lower()
    if wanted not in ctx.engine.acl.vocabulary.categories:
        raise Error(b"ERR Unknown category '%b'" % category[0][:128])
    word = wanted.decode()
    entries = ctx.engine.table.all()
    return [entry.name.encode() for entry in entries if word in entry.spec.categories]


@command(
    "ACL DRYRUN",
    arity=-4,
    flags="admin noscript loading stale",
    since="7.0.0",
    complexity="O(1).",
    usage="username command [arg [arg ...]]",
)
def acl_dryrun(ctx: Context, name: bytes, *argv: bytes) -> Reply:
    """Tells whether a user may run a command, without running it: OK or the reason."""
    user = _user(ctx, name)
    entry = _dry_entry(ctx, argv)
    denial = user.denies(entry, argv)
    return OK if denial is None else denial_text(name, denial, entry, argv, verbose=True)


def _user(ctx: Context, name: bytes) -> User:
    user = ctx.engine.acl.users.get(name)
    if user is None:
        raise Error(b"ERR User '%b' not found" % c_string(name))
    return user


def _dry_entry(ctx: Context, argv: tuple[bytes, ...]) -> Entry:
    entry = ctx.engine.table.find(argv)
    if entry is None or (entry.children and len(argv) > 1):
        raise Error(b"ERR Command '%b' not found" % c_string(argv[0]))
    if not entry.arity_min <= len(argv) <= entry.arity_max:
        raise Error(f"ERR wrong number of arguments for '{entry.name}' command")
    return entry


# The log of refusals


@command(
    "ACL LOG",
    arity=-2,
    flags="admin noscript loading stale",
    since="6.0.0",
    complexity="O(N) with N being the number of entries shown.",
    usage="[count | RESET]",
    history=[("7.2.0", "Entries have an ID and the times of their first and last event.")],
)
def acl_log(ctx: Context, *option: bytes) -> Reply:
    """Returns the last refusals, newest first, or forgets all of them."""
    if len(option) > 1:
        subcommand_error(ctx)
    log = ctx.engine.guard.log
    if option and option[0].upper() == b"RESET":
        log.clear()
        return OK
    count = max(0, integer(option[0])) if option else _LOG_COUNT
    return [_log_entry(ctx, entry) for entry in islice(log.entries, min(count, len(log.entries)))]


def _log_entry(ctx: Context, entry: Refusal) -> dict[bytes, Reply]:
    return {
        b"count": entry.count,
        b"reason": entry.reason.encode(),
        b"context": entry.context.encode(),
        b"object": entry.object,
        b"username": entry.user,
        b"age-seconds": (ctx.now_ms - entry.updated_ms) / 1000,
        b"client-info": entry.client,
        b"entry-id": entry.number,
        b"timestamp-created": entry.created_ms,
        b"timestamp-last-updated": entry.updated_ms,
    }


# The ACL file


@command(
    "ACL LOAD",
    arity=2,
    flags="admin noscript loading stale",
    since="6.0.0",
    complexity="O(N). Where N is the number of configured users.",
)
def acl_load(ctx: Context) -> Reply:
    """Reads the users from the ACL file again: all of them, or none and an error."""
    try:
        ctx.engine.guard.load()
    except AclError as error:
        raise _error(error) from error
    return OK


@command(
    "ACL SAVE",
    arity=2,
    flags="admin noscript loading stale",
    tips="request_policy:all_nodes response_policy:all_succeeded",
    since="6.0.0",
    complexity="O(N). Where N is the number of configured users.",
)
def acl_save(ctx: Context) -> Reply:
    """Writes the users to the ACL file."""
    try:
        ctx.engine.guard.save()
    except AclError as error:
        raise _error(error) from error
    return OK


@command(
    "ACL GENPASS",
    arity=-2,
    flags="noscript loading stale",
    since="6.0.0",
    complexity="O(1)",
    usage="[bits]",
)
def acl_genpass(ctx: Context, *bits: bytes) -> Reply:
    """Makes up a password of that many random bits, as hexadecimal digits."""
    if len(bits) > 1:
        subcommand_error(ctx)
    count = integer(bits[0]) if bits else _PASSWORD_BITS
    if not 0 < count <= _PASSWORD_BITS_MAX:
        raise Error(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a "
            f"positive number up to {_PASSWORD_BITS_MAX}"
        )
    digits = (count + 3) // 4
    return ctx.engine.random_bytes((digits + 1) // 2).hex()[:digits].encode()


@command("ACL HELP", arity=2, flags="loading stale", since="6.0.0", complexity="O(1)")
def acl_help(ctx: Context) -> Reply:
    """Describes the subcommands."""
    return help_reply(ctx, "ACL")
