"""CLIENT TRACKING and its like: server-assisted client-side caching. See ``tracking.py``."""

from __future__ import annotations

from typing import NoReturn

from pyredis.commands.args import integer, syntax_error
from pyredis.commands.registry import Group
from pyredis.context import Context
from pyredis.resp import OK, Error, Reply, SetReply
from pyredis.tracking import Mode, Tracker

command = Group("connection", acl="connection")

_MODES = {b"BCAST": Mode.BCAST, b"OPTIN": Mode.OPTIN, b"OPTOUT": Mode.OPTOUT}


@command(
    "CLIENT TRACKING",
    arity=-3,
    flags="noscript loading stale",
    since="6.0.0",
    complexity="O(1). Some options may introduce additional complexity.",
    usage="status=<ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] "
    "[OPTIN] "
    "[OPTOUT] [NOLOOP]",
)
def client_tracking(ctx: Context, status: bytes, *options: bytes) -> Reply:
    """Has the server tell this client which keys it may no longer keep copies of.

    Options are all read, and their values judged, before ON or OFF is.
    """
    redirect, noloop = 0, False
    modes: set[Mode] = set()
    prefixes: list[bytes] = []
    at = 0
    while at < len(options):
        word = options[at].upper()
        value = options[at + 1] if at + 1 < len(options) else None
        at += 1
        if word == b"REDIRECT" and value is not None:
            if redirect:
                raise Error("ERR A client can only redirect to a single other client")
            redirect = integer(value)
            if redirect not in ctx.engine.sessions:
                raise Error("ERR The client ID you want redirect to does not exist")
            at += 1
        elif word == b"PREFIX" and value is not None:
            prefixes.append(value)
            at += 1
        elif word == b"NOLOOP":
            noloop = True
        elif word in _MODES:
            modes.add(_MODES[word])
        else:
            syntax_error()
    session, engine = ctx.session, ctx.engine
    if status.upper() == b"OFF":
        engine.untrack(session)
        return OK
    if status.upper() != b"ON":
        syntax_error()
    mode = _compatible(session.tracker, modes, prefixes)
    engine.tracking.enable(session, mode, redirect=redirect, noloop=noloop, prefixes=prefixes)
    engine.observe()
    engine.refresh(session)
    return OK


def _compatible(tracker: Tracker | None, modes: set[Mode], prefixes: list[bytes]) -> Mode:
    """The mode that the options ask for, or the error why it cannot be had."""
    bcast = Mode.BCAST in modes
    before = tracker.mode if tracker is not None else None
    if prefixes and not bcast:
        raise Error("ERR PREFIX option requires BCAST mode to be enabled")
    if before is not None and (before is Mode.BCAST) != bcast:
        _no_switch("BCAST mode on/off")
    if bcast and len(modes) > 1:
        raise Error("ERR OPTIN and OPTOUT are not compatible with BCAST")
    if len(modes) > 1:
        raise Error("ERR You can't specify both OPTIN mode and OPTOUT mode")
    mode = modes.pop() if modes else Mode.ALL
    if {mode, before} == {Mode.OPTIN, Mode.OPTOUT}:
        _no_switch("OPTIN/OPTOUT mode")
    if tracker is not None:
        _check_prefixes(prefixes, sorted(tracker.prefixes))
    else:
        _check_prefixes(prefixes, [])
    return mode


def _no_switch(what: str) -> NoReturn:
    raise Error(
        f"ERR You can't switch {what} before disabling tracking for this client, and then "
        "re-enabling it with a different mode."
    )


def _check_prefixes(prefixes: list[bytes], existing: list[bytes]) -> None:
    """No key may begin with two prefixes of one client: it would be told twice."""
    for at, prefix in enumerate(prefixes):
        for kind, others in ((b"an existing", existing), (b"another provided", prefixes[at + 1 :])):
            for other in others:
                if prefix.startswith(other) or other.startswith(prefix):
                    raise Error(
                        b"ERR Prefix '%b' overlaps with %b prefix '%b'. Prefixes for a single "
                        b"client must not overlap." % (prefix, kind, other)
                    )


@command(
    "CLIENT CACHING",
    arity=3,
    flags="noscript loading stale",
    since="6.0.0",
    complexity="O(1)",
    usage="<YES | NO>",
)
def client_caching(ctx: Context, mode: bytes) -> Reply:
    """Says whether the keys of the next command are to be tracked."""
    tracker = ctx.session.tracker
    if tracker is None:
        raise Error(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with "
            "OPTIN or OPTOUT mode enabled"
        )
    word = mode.upper()
    needed = {b"YES": Mode.OPTIN, b"NO": Mode.OPTOUT}.get(word)
    if needed is None:
        syntax_error()
    if tracker.mode is not needed:
        raise Error(
            f"ERR CLIENT CACHING {word.decode()} is only valid when tracking is enabled in "
            f"{needed.name} mode."
        )
    tracker.caching = True
    return OK


@command(
    "CLIENT GETREDIR",
    arity=2,
    flags="noscript loading stale",
    since="6.0.0",
    complexity="O(1)",
)
def client_getredir(ctx: Context) -> Reply:
    """Returns the client that is told instead of this one: 0 if none, -1 without tracking."""
    return _redirect(ctx.session.tracker)


def _redirect(tracker: Tracker | None) -> int:
    return tracker.redirect if tracker is not None else -1


@command(
    "CLIENT TRACKINGINFO",
    arity=2,
    flags="noscript loading stale",
    since="6.2.0",
    complexity="O(1)",
)
def client_trackinginfo(ctx: Context) -> Reply:
    """Returns how this client tracks."""
    tracker = ctx.session.tracker
    return {
        b"flags": SetReply(_flags(tracker)),
        b"redirect": _redirect(tracker),
        b"prefixes": sorted(tracker.prefixes) if tracker is not None else [],
    }


def _flags(tracker: Tracker | None) -> list[bytes]:
    if tracker is None:
        return [b"off"]
    flags = [b"on"]
    if tracker.mode is not Mode.ALL:
        flags.append(tracker.mode.value.encode())
    if tracker.caching and tracker.mode is Mode.OPTIN:
        flags.append(b"caching-yes")
    if tracker.caching and tracker.mode is Mode.OPTOUT:
        flags.append(b"caching-no")
    if tracker.noloop:
        flags.append(b"noloop")
    if tracker.broken:
        flags.append(b"broken_redirect")
    return flags
