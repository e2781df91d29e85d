"""ACL LOG: the last requests that were refused, for lack of rights or of the right password.

Entries that tell the same (who, why, what, in which context) become one with a count, if the
earlier is among the last few and at most a minute old. A script that fails in a loop thus
does not push everything else out.

Source: redis.io, "ACL LOG". Adding costs O(1).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Final

_LOOKED_AT: Final = 10
_GROUPED_MS: Final = 60_000


@dataclass(slots=True)
class Refusal:
    """One entry. ``reason``: command, key, channel or auth; ``context``: toplevel, multi, lua."""

    number: int
    reason: str
    context: str
    object: bytes
    user: bytes
    client: bytes  # as CLIENT LIST shows it
    created_ms: int
    updated_ms: int
    count: int = 1

    def repeats(self, other: Refusal) -> bool:
        """Whether both tell the same, within the time in which that counts."""
        return (self.reason, self.context, self.object, self.user) == (
            other.reason,
            other.context,
            other.object,
            other.user,
        ) and self.updated_ms - other.updated_ms <= _GROUPED_MS


class AclLog:
    """The entries, newest first."""

    __slots__ = ("entries", "next")

    def __init__(self) -> None:
        self.entries: deque[Refusal] = deque()
        self.next = 0

    def add(
        self,
        now_ms: int,
        reason: str,
        context: str,
        what: bytes,
        user: bytes,
        client: bytes,
        entries_max: int,
    ) -> None:
        """Note a refusal. Entries beyond ``entries_max`` are dropped, the oldest first."""
        new = Refusal(self.next, reason, context, what, user, client, now_ms, now_ms)
        for old in islice(self.entries, _LOOKED_AT):
            if new.repeats(old):
                self.entries.remove(old)
                old.count += 1
                old.updated_ms, old.client = now_ms, client
                new = old
                break
        else:
            self.next += 1
        self.entries.appendleft(new)
        while len(self.entries) > entries_max:
            self.entries.pop()

    def clear(self) -> None:
        """ACL LOG RESET."""
        self.entries.clear()
