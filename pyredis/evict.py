"""Eviction: which keys go when the memory is full, and when.

``maxmemory`` limits what the server uses by its own account (``account.py``, ``memory.py``).
When a batch, or a unit within it that took a lot, has left more than that, keys are deleted
until it fits, the worst first. A policy says which keys may go and which is the worst:

    allkeys-...    any key          -lru     the one that was not used for the longest time
    volatile-...   keys with a TTL  -lfu     the one that is used most rarely
                                    -random  any
    noeviction     none             -ttl     the one that would expire first

Finding the worst of all keys would need them ordered. A few (``maxmemory-samples`` in each
database) are drawn by lot, and the best candidates among them stay in a *pool* of 16 from one
time to the next, so that after a while the pool holds keys about as bad as there are.

A *rank* tells how much a key deserves to stay: the time of its last use, its use counter, the
time of its expiry. The lowest goes first.

Evicting takes at most the time that ``maxmemory-eviction-tenacity`` gives it; then commands run
again, and it goes on in the next turn of the loop. If nothing is left that may go, the server is
*full*: commands that may take memory (flag denyoom) are refused by the gate ``out_of_memory``,
which stands among the engine's gates as long as that is so, and tries again each time.

Source: Redis' redis.conf and documentation, "Key eviction"; the numbers are Redis'. Departures,
all for speed in Python: when several keys must go, candidates for up to 64 of them are drawn and
sorted at once. The pool's ranks are taken anew each time, so a key that was used meanwhile is
not punished for its past. And Redis evicts before each command, this server after a batch of
them, or as soon as a batch has taken SLACK_BYTES more than it may; under noeviction at once.

Cost: 3 to 5 us a key, most of it waiting for memory: samples lie all over the heap.
"""

from __future__ import annotations

from enum import Enum
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from pyredis.account import NO_LIMIT
from pyredis.gates import flags_of
from pyredis.resp import Error

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.engine import Engine
    from pyredis.session import Session

POOL_MAX: Final = 16
SLACK_BYTES: Final = 256 * 1024

_BATCH_MAX: Final = 64  # victims that are looked for at once
_SPARE_SHARE: Final = 1000  # one key in so many ...
_SPARE_MAX: Final = 15  # ... and up to so many may go before they must
_CENSUS_NS: Final = 5_000_000
_LIMIT_US_BASE: Final = 50  # of time, a step of tenacity up to 10
_LIMIT_GROWTH: Final = 1.15  # for each step beyond 10
OOM: Final = "OOM command not allowed when used memory > 'maxmemory'."
_LEAVES_MULTI: Final = frozenset(("EXEC", "DISCARD", "QUIT", "RESET"))

Candidate = tuple[int, bytes, int, Any]
"""Rank, key, place in the index it was drawn from, ``Accounted`` database."""

_rank = itemgetter(0)
_database = itemgetter(3)


class Outcome(Enum):
    """How an attempt to make room has ended."""

    FITS = "fits"
    UNFINISHED = "unfinished"
    FULL = "full"


def time_limit_ns(tenacity: int) -> int:
    """How long evicting may take in one go: 0 to 500 us, then exponentially up to for ever."""
    if tenacity <= 10:
        return _LIMIT_US_BASE * tenacity * 1000
    if tenacity < 100:
        return int(_LIMIT_US_BASE * 10 * _LIMIT_GROWTH ** (tenacity - 10)) * 1000
    return NO_LIMIT


class Evictor:
    """The evictor of one server, and its statistics."""

    __slots__ = (
        "_clients_bytes",
        "_db_next",
        "_engine",
        "_exceeded_since_ns",
        "_exceeded_total_ns",
        "_pool",
        "evicted_keys",
        "full",
        "on",
        "unfinished",
    )

    def __init__(self, engine: Engine) -> None:
        """Does nothing until ``follow`` finds a limit."""
        self._engine = engine
        self._pool: list[Candidate] = []
        self._db_next = 0
        self._clients_bytes = 0  # what clients took when the limit was looked at last
        self._exceeded_since_ns: int | None = None
        self._exceeded_total_ns = 0
        self.evicted_keys = 0
        self.on = False  # a limit is set
        self.full = False  # the last attempt has found nothing to evict
        self.unfinished = False  # there is more to be done in the next turn

    # Settings

    def follow(self) -> None:
        """Apply maxmemory and its policy: at start, and whenever they have been set."""
        engine = self._engine
        self._pool = []
        self.on = engine.config.maxmemory > 0
        if self.on:
            engine.account.keep()
            self.unfinished = True
        elif engine.account.kept:
            engine.account.drop()
            self._done(Outcome.FITS)

    def warn(self) -> None:
        """CONFIG SET maxmemory: tell the log when that is less than what is used now."""
        engine = self._engine
        limit = engine.config.maxmemory
        used = engine.memory.used_bytes() - engine.memory.not_counted_bytes()
        if 0 < limit < used:
            engine.log(
                "warning",
                f"WARNING: the new maxmemory value set via CONFIG SET ({limit}) is smaller than "
                f"the current memory usage ({used}). This will result in key eviction and/or the "
                "inability to accept new write commands depending on the maxmemory-policy.",
            )

    # Turns

    def turn(self) -> None:
        """What is due between batches: go on weighing, then make room if something was added."""
        account, clients = self._engine.account, self._engine.client_memory
        if clients.stale:
            clients.measure_stale()
        grown = clients.total > self._clients_bytes + SLACK_BYTES or account.grown()
        due = grown or self.unfinished or self.full
        if due and (account.complete or account.census(_CENSUS_NS)):
            self.make_room()

    def tick(self) -> None:
        """A job of the cron: what grows without commands (buffers) is looked at, too."""
        if self.on:
            self.unfinished = True
            self.turn()

    def make_room(self) -> Outcome:
        """Evict keys until the data fit, as long as that may take."""
        engine = self._engine
        ks, clock_ns = engine.ks, engine.clock_ns
        if ks.unit.depth:
            return Outcome.FULL if self.full else Outcome.FITS
        if not self.on or not engine.account.complete or not self._is_allowed():
            return self._done(Outcome.FITS)
        config = engine.config
        self._clients_bytes = engine.client_memory.total
        excess = engine.memory.excess_bytes(config.maxmemory)
        if excess <= 0:
            slack = 0 if config.maxmemory_policy == "noeviction" else SLACK_BYTES
            engine.account.allow(-excess, slack - excess)
            return self._done(Outcome.FITS)
        if config.maxmemory_policy == "noeviction":
            return self._done(Outcome.FULL)
        start_ns = clock_ns()
        running, engine.running = engine.running, None
        outcome = self._evict(excess)
        engine.running = running
        engine.latency.add("eviction-cycle", clock_ns() - start_ns, engine.now_ms)
        return self._done(outcome)

    def _is_allowed(self) -> bool:
        """Not while writes are paused, and not on a replica that leaves it to its primary."""
        engine = self._engine
        if engine.role == "replica" and engine.config.replica_ignore_maxmemory:
            return False
        return not engine.pause.pauses_writes

    def _done(self, outcome: Outcome) -> Outcome:
        """Note how it ended, keep the time of being over the limit, set or lift the gate."""
        engine = self._engine
        self.unfinished = outcome is Outcome.UNFINISHED
        self.full = outcome is Outcome.FULL
        if outcome is Outcome.FITS:
            self._exceeded_total_ns += self.exceeded_now_ns
            self._exceeded_since_ns = None
        elif self._exceeded_since_ns is None:
            self._exceeded_since_ns = engine.clock_ns()
        standing = out_of_memory in engine.gates
        if self.full and not standing:
            engine.gates.insert(0, out_of_memory)
            engine.refresh_all()
        elif standing and not self.full and engine.running is None:
            engine.gates.remove(out_of_memory)  # not by the gate itself: it may be closed again
            engine.refresh_all()
        return outcome

    # Victims

    def _evict(self, excess: int) -> Outcome:
        """Delete keys until so many bytes are free, and a few more where there are many keys."""
        engine = self._engine
        config, clock_ns = engine.config, engine.clock_ns
        end_ns = clock_ns() + time_limit_ns(config.maxmemory_eviction_tenacity)
        by_lot = config.maxmemory_policy.endswith("random")
        volatile = config.maxmemory_policy.startswith("volatile")
        keys = sum([len(db.data) for db in engine.ks.dbs])
        mean_bytes = engine.account.settled_bytes() // (keys or 1) or 1
        spare = mean_bytes * min(_SPARE_MAX, keys // _SPARE_SHARE)
        while excess > 0:
            wanted = min(-(-(excess + spare) // mean_bytes), _BATCH_MAX)
            candidates = self._drawn(wanted) if by_lot else self._ranked(wanted)
            if not candidates:
                return Outcome.FULL
            excess -= self._delete(candidates[:wanted], volatile)
            if not by_lot:
                self._pool = candidates[wanted : wanted + POOL_MAX]
            if excess > 0 and clock_ns() > end_ns:
                return Outcome.UNFINISHED
        engine.account.allow(-excess, SLACK_BYTES - excess)
        return Outcome.FITS

    def _ranked(self, wanted: int) -> list[Candidate]:
        """Some of the pool and of new samples, the worst first: so many, and a new pool's worth."""
        engine = self._engine
        policy = engine.config.maxmemory_policy
        by_ttl = policy == "volatile-ttl"
        volatile = policy.startswith("volatile")
        kept = wanted + POOL_MAX
        found: list[Candidate] = []
        for _, key, place, db in self._pool:
            table: Any = db.expires if volatile else db.data
            if key in table:
                rank = table[key] if by_ttl else db.use_ranks((hash(key),))[0]
                found.append((rank, key, place, db))
        tables = 0
        for db in engine.ks.dbs:
            table = db.expires if volatile else db.data
            if not table:
                continue
            tables += 1
            index = db.expiring() if volatile else db.indexed()
            places = index.draw(engine.rng, engine.config.maxmemory_samples * wanted)
            order = index.order
            if by_ttl:
                ranks = [table[order[place]] for place in places]
            else:
                ranks = db.use_ranks(index.numbers_at(places))
            worst = sorted(ranks)[kept - 1 : kept]
            bound = worst[0] if worst else max(ranks)
            found += [
                (rank, order[place], place, db)
                for rank, place in zip(ranks, places, strict=True)
                if rank <= bound
            ]
        if tables > 1:
            engine.rng.shuffle(found)  # no database shall give first
        # Sorting keeps the order of equal ones: the pool's first, then as they were drawn.
        found.sort(key=_rank)
        return found[:kept]

    def _drawn(self, wanted: int) -> list[Candidate]:
        """Keys by lot, from one database after the other."""
        engine = self._engine
        volatile = engine.config.maxmemory_policy.startswith("volatile")
        dbs = engine.ks.dbs
        for _ in dbs:
            db = dbs[self._db_next % len(dbs)]
            self._db_next += 1
            if db.expires if volatile else db.data:
                index = db.expiring() if volatile else db.indexed()
                places = index.draw(engine.rng, wanted)
                return [(0, index.order[place], place, db) for place in places]
        return []

    def _delete(self, victims: list[Candidate], volatile: bool) -> int:
        """Delete keys, each as a unit of its own; returns how many bytes that freed."""
        engine = self._engine
        ks = engine.ks
        lazy = engine.config.lazyfree_lazy_eviction
        free = ks.free if lazy else None
        measured = engine.latency.threshold_ms > 0
        freed = 0
        if not (ks.observed or ks.feeds or measured or volatile):
            # All of a database's in one go: nobody could tell the difference.
            for db, group in groupby(victims, key=_database):
                count, size = db.evict([(key, place) for _, key, place, _ in group], free)
                self.evicted_keys += count
                freed += size
            if ks.after:
                engine.close_unit()
            return freed
        for _, key, place, db in victims:
            if volatile and key not in db.expires:
                continue  # got another life since it came into the pool
            start_ns = engine.clock_ns()
            count, size = db.evict([(key, -1 if volatile else place)], free)
            if measured:
                engine.latency.add("eviction-del", engine.clock_ns() - start_ns, engine.now_ms)
            if not count:
                continue  # gone since
            self.evicted_keys += 1
            freed += size
            if ks.observed:
                ks.unit.changes.append((db, key, "evicted"))
                ks.after = True
            if ks.feeds:
                ks.propagate(db.index, (b"UNLINK" if lazy else b"DEL", key), implied=True)
            if ks.after:
                engine.close_unit()
        return freed

    # Statistics

    @property
    def exceeded_now_ns(self) -> int:
        """Since when the limit has been exceeded without a break."""
        since_ns = self._exceeded_since_ns
        return 0 if since_ns is None else self._engine.clock_ns() - since_ns

    @property
    def exceeded_total_ns(self) -> int:
        """How long the limit has been exceeded in all."""
        return self._exceeded_total_ns + self.exceeded_now_ns

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        self.evicted_keys = 0
        self._exceeded_total_ns = 0
        self._exceeded_since_ns = None


def out_of_memory(engine: Engine, session: Session, entry: Entry, argv: list[bytes]) -> Any:
    """The gate of a full server. What makes room is let through, so is what takes none.

    Inside MULTI, queueing itself takes memory, so every command is refused. A script is judged
    by the state at its start, and may go on once it has written.
    """
    evictor = engine.evictor
    if session is engine.scripting.session:
        run = engine.scripting.run
        refused = evictor.full and run is not None and not run.allow_oom and not run.wrote
        return Error(OOM) if refused and "denyoom" in entry.spec.flags else None
    if engine.scripting.busy:
        return None
    if evictor.make_room() is not Outcome.FULL:
        return None
    grows = "denyoom" in flags_of(engine, session, entry, argv)
    if grows or (session.multi is not None and entry.spec.name not in _LEAVES_MULTI):
        return Error(OOM)
    return None
