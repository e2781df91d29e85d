"""What a client may take or send before it is cut off: output, input, and plain nonsense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyredis.client_memory import NOTABLE_BYTES
from pyredis.resp import Error, ProtocolError

if TYPE_CHECKING:
    from pyredis.engine import Engine
    from pyredis.session import Session

ATTACK_LOG_MS: Final = 60_000
_STRANGER_MAX_BYTES: Final = 17 << 10
"""What may wait to be sent to a client that has not given its password."""
_ELEMENT_BYTES_MIN: Final = 6  # an empty string in a reply


def check_output(engine: Engine, session: Session) -> None:
    """Close a client whose unsent replies exceed the limits of its class."""
    limits = engine.config.client_output_buffer_limit
    kind = session.kind
    if kind == "master":
        return
    hard, soft, soft_s = getattr(limits, kind)
    if not session.authenticated and not engine.acl.open:
        hard = min(hard or _STRANGER_MAX_BYTES, _STRANGER_MAX_BYTES)
    if not hard and not soft:
        return
    if kind == "replica" and hard:
        # A replica that comes back gets so much at once.
        hard = max(hard, engine.config.repl_backlog_size)
    now_ms = engine.now_ms
    held = session.unsent_bytes + session.output_bytes()
    if session.replica is not None:
        held += session.replica.held_bytes
    over_soft = bool(soft) and held > soft
    if over_soft and not session.obuf_soft_since_ms:
        session.obuf_soft_since_ms = now_ms
    elif not over_soft:
        session.obuf_soft_since_ms = 0
    too_long = over_soft and now_ms - session.obuf_soft_since_ms > soft_s * 1000
    if (hard and held > hard) or too_long:
        engine.stats.output_limit_disconnections += 1
        engine.log(
            "warning",
            f"Client id={session.id} addr={session.address.peer} scheduled to be closed "
            "ASAP for overcoming of output buffer limits.",
        )
        session.out.clear()
        engine.close(session, "now")


def elements_wanted(engine: Engine, session: Session, count: int) -> int:
    """How many of so many elements to reply with: more than closes the client would be in vain.

    The reply to a huge count is cut off behind the client's limit, for which it is closed.
    """
    if session is engine.scripting.session or session.from_primary:
        return count  # the script may do with them what it likes
    hard: int = getattr(engine.config.client_output_buffer_limit, session.kind)[0]
    return min(count, hard // _ELEMENT_BYTES_MIN + 1) if hard else count


def check_input(engine: Engine, session: Session) -> None:
    """Close a client whose unfinished request exceeds client-query-buffer-limit."""
    if session.from_primary or session.closing:
        return  # what our primary has taken has to be taken here
    held = session.reader.held_bytes
    session.query_peak_bytes = max(session.query_peak_bytes, held)
    if held >= NOTABLE_BYTES and engine.client_memory.on:
        engine.client_memory.stale[session] = None
    if held > engine.config.client_query_buffer_limit:
        engine.stats.query_limit_disconnections += 1
        engine.log(
            "warning",
            f"Closing client that reached max query buffer length: id={session.id} "
            f"addr={session.address.peer} qbuf={held}",
        )
        engine.close(session, "now")


def refuse(engine: Engine, session: Session, error: ProtocolError) -> None:
    """Answer input that is no request with its error, and close."""
    engine.log(
        "warning" if session.from_primary else "verbose",
        f"Protocol error ({error.text}) from client: id={session.id} addr={session.address.peer}",
    )
    problem = Error(f"ERR Protocol error: {error.text}".encode("latin-1"))
    engine.stats.count_error(problem)
    engine.reply(session, problem)
    engine.close(session)


def abort_attack(engine: Engine, session: Session) -> None:
    """A web page has a browser talk HTTP to us: drop the client before worse follows."""
    if engine.now_ms - engine.attack_logged_ms > ATTACK_LOG_MS:
        engine.attack_logged_ms = engine.now_ms
        engine.log(
            "warning",
            "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or "
            "Host: commands to Redis: what a browser sends when a web page tries to abuse "
            f"the server. Connection from {session.address.peer} aborted.",
        )
    session.out.clear()
    engine.close(session, "now")
