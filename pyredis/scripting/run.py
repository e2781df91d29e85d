"""The run of one script: who runs what, what it may do, and what it has done."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyredis.session import Session

REPLICATE_AOF, REPLICATE_REPLICAS = 1, 2
REPLICATE_ALL = REPLICATE_AOF | REPLICATE_REPLICAS

PLAIN, WIRE, REPLIED, FAILED = range(4)
"""How a script has ended: with a plain value, a reply encoded already, an error that it returned,
or one that it raised."""


class Run:
    """State of a script from its first instruction to its last.

    ``name`` is the script's SHA1 or the function's name, ``argv`` the request, for FUNCTION
    STATS. ``flags`` is None in the mode without a shebang.
    """

    __slots__ = (
        "allow_oom",
        "argv",
        "caller",
        "condemned",
        "errors",
        "is_function",
        "name",
        "read_only",
        "replicate",
        "resp3",
        "started_ns",
        "wrote",
    )

    def __init__(
        self,
        name: bytes,
        caller: Session,
        is_function: bool,
        read_only: bool,
        allow_oom: bool,
        started_ns: int,
        argv: tuple[bytes, ...] = (),
    ) -> None:
        self.name = name
        self.caller = caller
        self.is_function = is_function
        self.read_only = read_only
        self.allow_oom = allow_oom
        self.started_ns = started_ns
        self.argv = argv
        self.resp3 = False  # what redis.setresp chose
        self.replicate = REPLICATE_ALL  # what redis.set_repl chose
        self.wrote = False  # a write command ran: the script cannot be killed any more
        self.errors: list[bool] = []  # in the reply: whether each had been counted before
        self.condemned = b""  # the text it is to end with
