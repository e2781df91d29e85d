"""Serving clients that wait: for keys, for a time, for replicas, for the end of a pause.

Who waits for what is kept in ``blocking.py``; here their commands run again. That happens in the
turn of whoever made the key, or at the end of a batch; what a client had sent behind a
command that had to wait is taken up at the end of the batch, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyredis.gates import POSTPONED
from pyredis.resp import Error
from pyredis.session import Block, Session

if TYPE_CHECKING:
    from pyredis.commands.registry import Entry
    from pyredis.engine import Engine


class Serving:
    """The waiting clients of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.busy = False  # clients that wait for keys are being served
        self.resumed: list[Session] = []  # whose wait is over, with input to take up
        self.pause_lifted = False

    # At the end of a batch

    def serve_times(self) -> None:
        """Those whose time has come: their deadline, one at which to try again, work to be done."""
        waiters, now_ms = self._engine.waiters, self._engine.now_ms
        if self._engine.lazyfree.awaited:
            self._free_on()
        for session in waiters.alarmed(now_ms):
            if session.blocked is not None:
                self.retry(session)
        for session in waiters.expired(now_ms):
            self.unblock(session)

    def _free_on(self) -> None:
        """Those who wait until flushed databases have been freed; some of that is done here."""
        engine = self._engine
        lazyfree = engine.lazyfree
        lazyfree.run()
        lazyfree.awaited = False
        for session in list(engine.waiters.blocked):
            state = session.blocked
            if state is None or not state.block.freed:
                continue
            if state.block.freed > lazyfree.done:
                lazyfree.awaited = True
            else:
                self.unblock(session)

    def serve_paused(self) -> None:
        """Those whom a pause held up, if it is over."""
        pause = self._engine.pause
        if self.pause_lifted or (pause.active and pause.expire(self._engine.now_ms)):
            self._resume_paused()

    def resume(self) -> None:
        """Take up what clients have sent while they waited."""
        engine = self._engine
        while self.resumed:
            session = self.resumed.pop(0)
            if not session.closing and session.blocked is None:
                engine.drain(session)
                engine.queue_output(session)

    def park(self, session: Session, block: Block, entry: Entry, argv: list[bytes]) -> None:
        """Let a client wait; its input is kept until the wait ends.

        Our primary's session and the log's never wait, as nobody could do anything about it.
        """
        engine = self._engine
        if session.inner:
            engine.reply(session, block.given_up())
            return
        session.postponed = block is POSTPONED
        session.last_command = entry
        engine.waiters.block(session, block, entry, argv, engine.clock_ns())
        engine.ks.unit.begin_command(engine.ks.dirty)

    def serve_ready(self) -> None:
        """Let clients that wait for keys try again, key by key, first come, first served.

        Keys that become ready meanwhile (BLMOVE's destination) have their turn afterwards.
        The time is read anew: a long unit may have outlived what it made.
        """
        engine = self._engine
        ks = engine.ks
        ks.set_time(engine.clock.now_ms())
        waiters = engine.waiters
        # A gate that makes room gets here before the command of its own client runs.
        ctx, running = engine.ctx, engine.running
        outer = ctx.session, ctx.db, ctx.argv
        engine.flush_deferred()  # what the running client is owed so far comes first
        self.busy = True
        while ks.ready:
            ready = list(ks.ready)
            ks.ready.clear()
            for db, key in ready:
                for session in waiters.queue(db, key):
                    # Looked at without deleting: a key born past its time stays for now.
                    value = None if db.is_expired(key) else db.data.get(key)
                    if waiters.may_serve(session, value):
                        self.retry(session)
                    elif waiters.none_served_by(value):
                        break
        self.busy = False
        engine.running = running
        ctx.session, ctx.db, ctx.argv = outer

    def retry(self, session: Session) -> None:
        """Run a blocked client's command again; it stays in its place if it still must wait.

        It is admitted anew: memory, rights and roles may have changed since. The run is a
        unit of its own, inside the turn of the client that made the key.
        """
        engine = self._engine
        state = session.blocked
        assert state is not None
        ctx = engine.ctx
        ctx.session = engine.running = session
        ctx.db = session.db
        reply = engine.admit(session, state.argv)[1] if session.gates else None
        if reply is None:
            reply = engine.call(session, state.entry, state.argv, again=True)
        if reply is POSTPONED:  # a pause has begun: it will start afresh when that ends
            engine.waiters.release(session)
            self.park(session, reply, state.entry, state.argv)
        elif type(reply) is Block:
            engine.ks.unit.begin_command(engine.ks.dirty)
            engine.waiters.set_alarm(session, reply.again_ms)
        else:
            engine.waiters.release(session)
            engine.reply(session, reply)
            self.resumed.append(session)
            engine.queue_output(session)
        if engine.ks.after:
            engine.close_unit()
            if engine.deferred:
                engine.flush_deferred()
        engine.running = None
        if session.tracker is not None:
            engine.tracking.command_over(session, state.entry)

    def unblock(self, session: Session, error: str = "") -> bool:
        """End a wait from outside: with the timeout reply or an error. False if none was.

        A client that is only postponed by a pause is left alone. The command counts as run.
        """
        engine = self._engine
        state = session.blocked
        if state is None or session.postponed:
            return False
        engine.waiters.release(session)
        state.entry.latency[0] += 1
        if error:
            problem = Error(error)
            state.entry.failed += 1
            engine.stats.count_error(problem)
            engine.reply(session, problem)
        else:
            engine.reply(session, state.block.given_up())
        if session.tracker is not None:
            engine.tracking.command_over(session, state.entry)
        self.resumed.append(session)
        engine.queue_output(session)
        return True

    def set_pause(self, reason: str, until_ms: int, all_commands: bool) -> None:
        """Hold up commands (or only writes) of all clients until then."""
        engine = self._engine
        engine.pause.set(reason, until_ms, all_commands)
        engine.refresh_all()

    def lift_pause(self, reason: str) -> None:
        """End the pause for a reason; commands held up run at the end of the batch."""
        engine = self._engine
        engine.pause.clear(reason)
        self.pause_lifted = True
        engine.refresh_all()

    def _resume_paused(self) -> None:
        """Let the commands that were held up try again, in the order of their coming."""
        engine = self._engine
        self.pause_lifted = False
        engine.refresh_all()
        for session in [each for each in engine.waiters.blocked if each.postponed]:
            state = engine.waiters.release(session)
            if state is not None:
                session.postponed = False
                engine.execute(session, state.argv)
                self.resumed.append(session)
                engine.queue_output(session)
        engine.replication.pause_over()

    def retry_waiting(self) -> None:
        """Clients that wait for confirmations of replicas and of the disk look again."""
        engine = self._engine
        for session in list(engine.waiters.blocked):
            state = session.blocked
            if state is not None and state.block.on_ack:
                self.retry(session)
