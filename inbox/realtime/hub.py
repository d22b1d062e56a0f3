"""Everything live in one process: sessions and their rooms, ticks, heartbeats, presence, typing, revocation.

A reader registers, which makes its workspace's tail follow the log, before the log is read for it; it becomes live in
the step in which it has everything. Sockets are never awaited here, except by a reader's own replay.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from inbox.agents.authentication import TOKENS_TOPIC
from inbox.agents.principal import Principal
from inbox.kernel.clock import Clock
from inbox.kernel.errors import Unavailable
from inbox.kernel.ids import NewId
from inbox.kernel.wakeup import Wakeup
from inbox.realtime.catchup import CatchUp
from inbox.realtime.closing import CloseCode
from inbox.realtime.notices import Notices
from inbox.realtime.protocol import Filter, Filtered, Hello, Resume, framed
from inbox.realtime.room import Room
from inbox.realtime.session import Outlet, Replay, Session, View
from inbox.realtime.tail import Tails

TICK_SECONDS: Final = 0.002
CHECKS_AT_ONCE: Final = 4
"""Published with a workspace's id when a token, session or agent of it is revoked: every node checks its sockets."""

log = logging.getLogger(__name__)

StillValid = Callable[[Principal], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Pace:
    """Durations in seconds. ``tick``: how long frames wait to share one write with their followers.

    ``presence_grace``: how long an agent without a socket still counts as online; most of them only reconnect.
    """

    heartbeat: float = 15.0
    tick: float = TICK_SECONDS
    presence_grace: float = 5.0
    queue_bytes: int = 1024 * 1024


class Hub:
    """``tails`` makes its rooms with ``ticker.flush_soon`` and our ``catch_up_again``; see ``build.py``."""

    def __init__(
        self,
        tails: Tails,
        catch_up: CatchUp,
        notices: Notices,
        wakeup: Wakeup,
        *,
        still_valid: StillValid,
        pace: Pace,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self.tails = tails
        self.catch_up = catch_up
        self.notices = notices
        self._wakeup = wakeup
        self._still_valid = still_valid
        self._pace = pace
        self._clock = clock
        self._new_id = new_id
        self._tasks: set[asyncio.Task[None]] = set()
        self._checks = asyncio.Semaphore(CHECKS_AT_ONCE)
        self._unsubscribe: Callable[[], None] | None = None
        self.stopping = False
        catch_up.on_live = notices.newcomer
        self.on_stop: set[Callable[[], None]] = set()

    async def start(self) -> None:
        await self.tails.start()
        self._unsubscribe = self._wakeup.subscribe(TOKENS_TOPIC, self._tokens_changed)
        self._spawn(self._beat(), "hub heartbeat")

    async def stop(self) -> None:
        """Send every socket away, by name, then stop following the logs."""
        self.stopping = True
        for callback in tuple(self.on_stop):
            callback()
        if self._unsubscribe is not None:
            self._unsubscribe()
        for session in list(self._sessions()):
            session.room.flush()
            session.outlet.hang_up(CloseCode.GOING_AWAY)
            self.disconnect(session)
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.notices.stop()
        await self.tails.stop()

    # --- one socket ---------------------------------------------------------------------------------------------------

    async def connect(self, principal: Principal, outlet: Outlet) -> Session:
        """Register a socket and greet it. Raises ``Unavailable``; the caller disconnects what it connected."""
        if self.stopping:
            raise Unavailable("this node stops", retry_after=1)
        tail = self.tails.of(principal.workspace_id)
        session = Session(self._new_id(), principal, outlet, tail.room)
        tail.room.sessions.add(session)
        try:
            if not tail.room.opened:
                await tail.refreshed()
        except BaseException:
            tail.room.sessions.discard(session)
            raise
        self.notices.arrived(session)
        state = tail.room.state()
        hello = Hello(
            session=session.id,
            agent_id=principal.agent_id,
            epoch=state.epoch,
            position=state.head,
            heartbeat_seconds=self._pace.heartbeat,
        )
        tail.room.send([session], framed(hello))
        return session

    def disconnect(self, session: Session) -> None:
        """Forget a socket; harmless when that was done before."""
        if session not in session.room.sessions:
            return
        session.room.sessions.discard(session)
        session.room.leave(session)
        if session.replaying is not None:
            session.replaying.cancel()
        self.notices.left(session)

    def resume(self, session: Session, asked: Resume) -> None:
        """Begin to catch up; a second call starts over."""
        if session.replaying is not None:
            session.replaying.cancel()
        session.room.leave(session)
        session.view = View.of(session.principal, asked.filter)
        tail = self.tails.of(session.principal.workspace_id)
        session.replay = None
        run = partial(self.catch_up.run, session, tail, asked.epoch, asked.after)
        session.replaying = self._spawn(self._catch_up(session, run), "replay")

    def catch_up_again(self, session: Session, replay: Replay) -> None:
        """Bring a live reader back that fell behind in its room."""
        tail = self.tails.of(session.principal.workspace_id)
        follow = partial(self.catch_up.follow, session, tail, tail.room.state(), replay)
        session.replaying = self._spawn(self._catch_up(session, follow), "replay of a burst")

    def refilter(self, session: Session, wanted: Filter | None) -> None:
        """Another filter from here on. Before ``resume`` it has no effect: that brings a filter of its own."""
        room = session.room
        room.flush()
        session.view = View.of(session.principal, wanted)
        if session.replay is not None:
            session.replay.view = session.view
            room.send([session], framed(Filtered(session.replay.cursor)))
        elif session.lane is not None:
            room.leave(session)
            room.send([session], framed(Filtered(room.head)))
            room.join(session, session.view)
        else:
            room.send([session], framed(Filtered(0)))

    async def _catch_up(self, session: Session, replay: Callable[[], Awaitable[None]]) -> None:
        try:
            await replay()
        except Unavailable:
            session.outlet.hang_up(CloseCode.INTERNAL, "the event log cannot be read now")
        except Exception:
            log.exception("a replay failed")
            session.outlet.hang_up(CloseCode.INTERNAL)

    # --- all sockets --------------------------------------------------------------------------------------------------

    def revoke(self, token_id: UUID) -> None:
        """Close the sockets of this token on this node, now. Other nodes: publish ``TOKENS_TOPIC``."""
        self._end(session for session in self._sessions() if session.principal.token_id == token_id)

    def counts(self) -> dict[str, int]:
        """For metrics: sockets, and how many of them are live."""
        sessions = list(self._sessions())
        return {"sockets": len(sessions), "live": sum(1 for session in sessions if session.lane is not None)}

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._pace.heartbeat)
            try:
                for room in self.tails.rooms():
                    room.heartbeat()
                self.notices.repeat()
                self._spawn(self._check(list(self._sessions())), "token check")
            except Exception:
                log.exception("a heartbeat failed; the next one comes")

    def _tokens_changed(self, workspace_id: UUID | None, *, full: bool) -> None:
        concerned = [
            session
            for session in self._sessions()
            if full or workspace_id is None or session.principal.workspace_id == workspace_id
        ]
        if concerned:
            self._spawn(self._check(concerned), "token check")

    async def _check(self, sessions: Iterable[Session]) -> None:
        """Close the sockets of callers who are not what they were. A database that is away revokes nobody."""
        by_caller: dict[Principal, list[Session]] = {}
        for session in sessions:
            by_caller.setdefault(session.principal, []).append(session)
        for principal, concerned in by_caller.items():
            async with self._checks:
                try:
                    valid = await self._still_valid(principal)
                except Unavailable:
                    return
            if not valid:
                self._end(concerned)

    def _end(self, sessions: Iterable[Session]) -> None:
        for session in list(sessions):
            session.room.leave(session)
            session.outlet.hang_up(CloseCode.REVOKED)
            self.disconnect(session)

    def _sessions(self) -> Iterable[Session]:
        for room in self.tails.rooms():
            yield from tuple(room.sessions)

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)


class Ticker:
    """Decides when a room is flushed: at once after a pause, else when its tick is over, so that bursts are joined."""

    def __init__(self, tick: float) -> None:
        self._tick = tick

    def flush_soon(self, room: Room) -> None:
        loop = asyncio.get_running_loop()
        left = room.flushed_at + self._tick - time.monotonic()  # a loop's own clock may stand still during a flush
        if left <= 0:
            loop.call_soon(self._flush, room)
        else:
            loop.call_later(left, self._flush, room)

    @staticmethod
    def _flush(room: Room) -> None:
        # From the beginning of a flush: one that takes longer than a tick is followed by the next without a pause.
        room.flushed_at = time.monotonic()
        room.flush()
