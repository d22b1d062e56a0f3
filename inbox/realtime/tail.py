"""Keeps the rooms of one process at the head of their logs.

Three sources, each enough to be quick or to be safe: events that this process committed are handed over directly; a
wake-up says that another node committed; a poll of all heads, at least once a second, finds whatever the other two
missed. What is handed over behind a gap waits a moment for the gap to close by itself, then the database is read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

from inbox.kernel.database import Database
from inbox.kernel.errors import Unavailable
from inbox.kernel.eventlog import EventLog, LogState, StoredEvent
from inbox.kernel.wakeup import Wakeup
from inbox.realtime.protocol import MOST_BEHIND
from inbox.realtime.repository import log_states
from inbox.realtime.room import Room

TOPIC: Final = "events"
POLL_SECONDS: Final = 0.9
GAP_SECONDS: Final = 0.002
LINGER_SECONDS: Final = 30.0
READ_EVENTS: Final = 500

log = logging.getLogger(__name__)


class CommitAnnouncer:
    """Wakes other nodes, and the other readers of this one, when this process committed events.

    Every process that appends to the log has one. ``announcing`` is true while the wake-up is one's own, so that a
    tail, which was handed the events already, does not go and read them.
    """

    def __init__(self, event_log: EventLog, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self.announcing = False
        event_log.listen(self._committed)

    def _committed(self, workspace_id: UUID, _events: list[StoredEvent]) -> None:
        self.announcing = True
        try:
            self._wakeup.publish(TOPIC, workspace_id)
        finally:
            self.announcing = False


class Tail:
    """Reads one log into its room whenever it is asked to; one read at a time, whatever the number of askers."""

    def __init__(self, room: Room, database: Database, event_log: EventLog, *, gap_seconds: float) -> None:
        self.room = room
        self.idle_since: float | None = None
        self._database = database
        self._event_log = event_log
        self._gap_seconds = gap_seconds
        self._asked = asyncio.Event()
        self._state_wanted = True
        self._waiters: list[asyncio.Future[None]] = []
        self._gap_timer: asyncio.TimerHandle | None = None
        self._task = asyncio.create_task(self._run(), name=f"tail {room.workspace_id}")
        self._asked.set()

    def offer(self, events: list[StoredEvent]) -> None:
        self.room.offer(events)
        if self.room.gap and self._gap_timer is None:
            self._gap_timer = asyncio.get_running_loop().call_later(self._gap_seconds, self._look_at_gap)

    def ask(self) -> None:
        """There may be something behind the head."""
        self._asked.set()

    def observe(self, state: LogState) -> None:
        """A poll saw the log at this state."""
        room = self.room
        if not room.opened or state.epoch != room.log.epoch or state.head < room.log.head:
            self._state_wanted = True
            self._asked.set()
        elif state.head > room.head:
            self._asked.set()
        else:
            room.log = LogState(epoch=room.log.epoch, head=room.log.head, floor=state.floor)

    async def refreshed(self) -> None:
        """Wait until the room has all that was committed before this call. Raises ``Unavailable``."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._state_wanted = True
        self._asked.set()
        await waiter

    async def stop(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        if self._gap_timer is not None:
            self._gap_timer.cancel()
        self._fail(self._waiters, Unavailable("the live stream stops", retry_after=1))

    def _look_at_gap(self) -> None:
        self._gap_timer = None
        if self.room.gap:
            self._asked.set()

    async def _run(self) -> None:
        quiet = True
        while True:
            await self._asked.wait()
            self._asked.clear()
            with_state, self._state_wanted = self._state_wanted, False
            waiters, self._waiters = self._waiters, []
            try:
                await self._read(with_state)
            except asyncio.CancelledError:
                self._fail(waiters, Unavailable("the live stream stops", retry_after=1))
                raise
            except Exception as error:
                # The next poll asks again. One line for an outage, not one a second.
                if quiet:
                    log.warning("the event log cannot be read: %s", error, exc_info=not isinstance(error, Unavailable))
                quiet = False
                self._state_wanted |= with_state
                self._fail(waiters, Unavailable("the event log cannot be read now", retry_after=1))
                await asyncio.sleep(0.1)
            else:
                quiet = True
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(None)

    async def _read(self, with_state: bool) -> None:
        async with self._database.session() as connection:
            if with_state:
                self._apply(await self._event_log.state(connection, self.room.workspace_id))
            while True:
                after = self.room.head
                events = await self._event_log.read(connection, self.room.workspace_id, after=after, limit=READ_EVENTS)
                self.room.offer(events)
                if events and self.room.head < events[-1].position:
                    # The log is dense, so what is missing was removed by retention before it was read here.
                    log.warning("events behind position %d were removed before they were streamed", self.room.head)
                    state = await self._event_log.state(connection, self.room.workspace_id)
                    self.room.rebuild(state, "beyond_retention")
                if len(events) < READ_EVENTS:
                    return

    def _apply(self, state: LogState) -> None:
        room = self.room
        if not room.opened:
            room.open(state)
        elif state.epoch != room.log.epoch or state.head < room.log.head:
            room.rebuild(state, "log_rebuilt")
        elif state.head - room.head > MOST_BEHIND or state.floor > room.head:
            room.rebuild(state, "too_far_behind")
        else:
            room.log = state

    @staticmethod
    def _fail(waiters: list[asyncio.Future[None]], error: Unavailable) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)


class Tails:
    """The tails of a process: one for each workspace that is read live here, dropped when nobody did for a while."""

    def __init__(
        self,
        database: Database,
        event_log: EventLog,
        wakeup: Wakeup,
        *,
        make_room: Callable[[UUID], Room],
        announcer: CommitAnnouncer | None = None,
        poll_seconds: float = POLL_SECONDS,
        gap_seconds: float = GAP_SECONDS,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._database = database
        self._event_log = event_log
        self._wakeup = wakeup
        self._make_room = make_room
        self._announcer = announcer
        self._poll_seconds = poll_seconds
        self._gap_seconds = gap_seconds
        self._linger_seconds = linger_seconds
        self._tails: dict[UUID, Tail] = {}
        self._poller: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._poll_now = asyncio.Event()
        event_log.listen(self._handed_over)

    async def start(self) -> None:
        self._unsubscribe = self._wakeup.subscribe(TOPIC, self._woken)
        self._poller = asyncio.create_task(self._poll(), name="tails poll")

    async def stop(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._poller is not None:
            self._poller.cancel()
            with suppress(asyncio.CancelledError):
                await self._poller
        tails, self._tails = list(self._tails.values()), {}
        for tail in tails:
            await tail.stop()

    def of(self, workspace_id: UUID) -> Tail:
        """The tail of this workspace, which begins to follow the log with this call."""
        tail = self._tails.get(workspace_id)
        if tail is None:
            tail = self._tails[workspace_id] = Tail(
                self._make_room(workspace_id), self._database, self._event_log, gap_seconds=self._gap_seconds
            )
        tail.idle_since = None
        return tail

    def rooms(self) -> list[Room]:
        return [tail.room for tail in self._tails.values()]

    def find_room(self, workspace_id: UUID) -> Room | None:
        tail = self._tails.get(workspace_id)
        return tail.room if tail else None

    def _handed_over(self, workspace_id: UUID, events: list[StoredEvent]) -> None:
        if tail := self._tails.get(workspace_id):
            tail.offer(events)

    def _woken(self, workspace_id: UUID | None, *, full: bool) -> None:
        if self._announcer is not None and self._announcer.announcing:
            return
        if full or workspace_id is None:
            self._poll_now.set()
        elif tail := self._tails.get(workspace_id):
            tail.ask()

    async def _poll(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._poll_now.wait(), self._poll_seconds)
            self._poll_now.clear()
            await self._drop_idle()
            if not self._tails:
                continue
            try:
                async with self._database.session() as connection:
                    states = await log_states(connection, list(self._tails))
            except Exception as error:
                log.debug("the heads of the logs cannot be read: %s", error)  # every tail tells of the outage itself
                states = {}
                for tail in self._tails.values():
                    tail.ask()
            for workspace_id, state in states.items():
                if (polled := self._tails.get(workspace_id)) is not None:
                    polled.observe(state)

    async def _drop_idle(self) -> None:
        now = asyncio.get_running_loop().time()
        for workspace_id, tail in list(self._tails.items()):
            if tail.room.sessions or tail.room.watchers:
                tail.idle_since = None
            elif tail.idle_since is None:
                tail.idle_since = now
            elif now - tail.idle_since > self._linger_seconds:
                del self._tails[workspace_id]
                await tail.stop()
