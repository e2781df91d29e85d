"""The active expire cycle: deleting keys past their time that nobody asks for.

Lazy expiry alone would keep such keys for ever. Looking at every key with a TTL would take
too long, so the cycle looks at a few at a time and lets what it finds decide how long it
goes on:

    take a page of keys with a TTL, delete those past their time;
    repeat with the same database while more than a tolerated share of the page was dead.

So the share of dead keys that stay in memory settles near that tolerance (10 % at effort 1),
and little is spent where little expires. The *slow* cycle runs `hz` times a second and may
take a quarter of the CPU; where it runs out of time it stops and goes on later, in the next
database. Then, or while the estimate of dead keys is above the tolerance, *fast* cycles of
1 ms run between batches of commands, with twice that time between their starts.
Each step of `active-expire-effort` makes the pages larger, the cycles longer and the
tolerance smaller.

Pages come from the cursor of a `KeyIndex` over the keys with a TTL, so keys are not drawn by
lot: every key is looked at once a round. Each deletion is a unit of its own: it is announced
and propagated before the next.

Fields of hashes are simpler: ``Database.volatile`` tells which hash is next to lose one, so
nothing is looked at in vain. A quarter of a cycle's time is theirs at least; a large hash is
put back into the queue after each page of fields. Where fields are left over, fast cycles
follow. The HDEL of each field is propagated by itself, and one event announces the page.

Source: Redis' design, as its documentation of EXPIRE and redis.conf describe it; the numbers
are Redis'. Departures: Redis walks the slots of its hash table, which may be empty; an index
has none, so no page is skipped for being too thinly filled. And the clock is read after each
page, since a page takes longer here, and reading the clock does not.

Cost: O(keys per page) a page, about 2 us a deletion, bounded by the budget of the cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from pyredis.field_expiry import announce_past
from pyredis.types.hashes import Hash

if TYPE_CHECKING:
    from pyredis.keyspace import Database, Keyspace
    from pyredis.ports import Clock

Kind = Literal["slow", "fast"]

PAGE_KEYS: Final = 20
FAST_US: Final = 1000
SLOW_CPU_PERCENT: Final = 25
STALE_PERCENT: Final = 10
DBS_PER_CYCLE: Final = 16
PAGE_FIELDS: Final = 64
FIELDS_SHARE: Final = 4  # the part of a cycle's time that fields have for sure


class ActiveExpire:
    """The cycle's state and statistics. One a server."""

    def __init__(self, ks: Keyspace, clock: Clock, close_unit: Callable[[], None]) -> None:
        """``close_unit`` is called after each deletion."""
        self.ks = ks
        self.clock = clock
        self.close_unit = close_unit
        self.enabled = True  # DEBUG SET-ACTIVE-EXPIRE
        self.stale_share = 0.0  # running estimate of the dead among keys with a TTL, 0 to 1
        self.time_cap_reached = 0  # cycles that ran out of time
        self.spent_ns = 0
        self.pressed = False  # whether fast cycles are called for
        self._cut_short = False  # the last cycle ran out of time
        self._fast_start_ns = -(1 << 62)
        self._db_next = 0

    @property
    def stale_percent(self) -> float:
        """expired_stale_perc in INFO."""
        return self.stale_share * 100

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        self.stale_share = 0.0
        self.time_cap_reached = 0

    def run(self, kind: Kind, hz: int, effort: int) -> int:
        """Run one cycle if it is due; returns how many keys it deleted.

        ``hz`` is how often the slow cycle runs, ``effort`` 1 to 10.
        """
        if not self.enabled or not self.ks.may_expire:
            return 0
        extra = effort - 1
        fast_us = FAST_US + FAST_US // 4 * extra
        tolerated = (STALE_PERCENT - extra) / 100
        start_ns = self.clock.steady_ns()
        if kind == "fast":
            if not self._cut_short and self.stale_share < tolerated:
                return 0
            if start_ns < self._fast_start_ns + 2 * fast_us * 1000:
                return 0
            self._fast_start_ns = start_ns
            budget_us = fast_us
        else:
            budget_us = (SLOW_CPU_PERCENT + 2 * extra) * 1_000_000 // hz // 100
        page_keys = PAGE_KEYS + PAGE_KEYS // 4 * extra
        budget_ns = max(1, budget_us) * 1000
        dead, seen = self._walk(page_keys, tolerated, start_ns + budget_ns)
        self._walk_fields(start_ns, budget_ns)
        self.stale_share += (dead / seen if seen else 0.0) * 0.05 - self.stale_share * 0.05
        self.pressed = self._cut_short or self.stale_share >= tolerated
        self.spent_ns += self.clock.steady_ns() - start_ns
        return dead

    def _walk(self, page_keys: int, tolerated: float, end_ns: int) -> tuple[int, int]:
        """Go through the databases until the time is over; how many keys were dead, of how many."""
        dbs = self.ks.dbs
        size = len(dbs)
        # After a cycle without enough time no database waits longer than one round.
        count = size if self._cut_short else min(DBS_PER_CYCLE, size)
        self._cut_short = False
        dead_all = seen_all = 0
        for _ in range(count):
            db = dbs[self._db_next]
            self._db_next = (self._db_next + 1) % size
            while db.expires:
                dead, seen = self._page(db, page_keys)
                dead_all += dead
                seen_all += seen
                if self.clock.steady_ns() > end_ns:
                    self._cut_short = True
                    self.time_cap_reached += 1
                    return dead_all, seen_all
                if seen and dead <= seen * tolerated:
                    break
            else:
                db.ttl_mean_ms = 0.0
        return dead_all, seen_all

    def _walk_fields(self, start_ns: int, budget_ns: int) -> None:
        """Remove the fields past their time, until the time for that is over."""
        end_ns = max(start_ns + budget_ns, self.clock.steady_ns() + budget_ns // FIELDS_SHARE)
        now_ms = self.ks.now_ms
        for db in self.ks.dbs:
            while db.volatile.when and (next_ms := db.volatile.next_ms()) is not None:
                if next_ms > now_ms:
                    break
                if self.clock.steady_ns() > end_ns:
                    self._cut_short = True
                    self.time_cap_reached += 1
                    return
                for key in db.volatile.due(now_ms, 1):
                    self._page_of_fields(db, key)

    def _page_of_fields(self, db: Database, key: bytes) -> None:
        """Remove the next fields of a hash, if it still is one and they are past their time."""
        ks = self.ks
        value = db.data.get(key)
        if type(value) is not Hash or value.deadlines is None:
            return  # written over since it was listed
        gone = value.deadlines.due(ks.now_ms, PAGE_FIELDS)
        for field in gone:
            value.remove(field)
            if ks.feeds:
                ks.propagate(db.index, (b"HDEL", key, field), implied=True)
                self.close_unit()
        db.schedule(key, value)
        if gone:
            ks.expired_fields += len(gone)
            announce_past(db, key, value)
            if ks.after:
                self.close_unit()

    def _page(self, db: Database, count: int) -> tuple[int, int]:
        """Look at the next keys of a database; how many were dead, of how many."""
        ks = self.ks
        now_ms = ks.now_ms
        dead = alive = left_ms = 0
        db.expires_cursor, page = db.expiring().scan(db.expires_cursor, count)
        for key in page:
            when_ms = db.expires.get(key)
            if when_ms is None:
                continue  # gone through what the deletion of another set off
            if when_ms > now_ms:
                alive += 1
                left_ms += when_ms - now_ms
                continue
            dead += 1
            db.delete_expired(key)
            if ks.after:
                self.close_unit()
        if alive:
            mean_ms = left_ms / alive
            if db.ttl_mean_ms:
                mean_ms = db.ttl_mean_ms * 0.98 + mean_ms * 0.02
            db.ttl_mean_ms = mean_ms
        return dead, dead + alive
