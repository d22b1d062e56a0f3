"""Brings a reader from its cursor to the head of its room: from memory where it reaches, else from shared pages.

Few readers take a turn at the same time and a turn is short, so a thousand who come back at once neither hold up the
live ones nor the database. A slow socket waits outside its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from inbox.kernel.eventlog import LogState
from inbox.realtime.history import History
from inbox.realtime.protocol import MOST_BEHIND, EncodedEvent, Reset, ResetReason, Resumed, framed, start_of
from inbox.realtime.room import Room
from inbox.realtime.session import HoleInLog, Replay, Session
from inbox.realtime.tail import Tail

TURNS: Final = 32
TURN_BYTES: Final = 64 * 1024
TURN_EVENTS: Final = 256
DRAIN_SECONDS: Final = 30.0


class CatchUp:
    """``queue_bytes`` is the limit of a socket. ``most_behind`` counts events."""

    def __init__(self, history: History, *, queue_bytes: int, most_behind: int = MOST_BEHIND) -> None:
        self._history = history
        self._queue_bytes = queue_bytes
        self._turn_bytes = min(TURN_BYTES, queue_bytes // 2)
        self._most_behind = most_behind
        self._turns = asyncio.Semaphore(TURNS)
        self.on_live: Callable[[Session], None] = lambda _: None

    @property
    def reads(self) -> int:
        """Pages that were read from the database so far."""
        return self._history.reads

    async def start_of(self, tail: Tail, epoch: UUID | None, after: int | None) -> int | Reset:
        """Where this cursor goes on. Raises ``Unavailable``."""
        room = tail.room
        served = room.opened and epoch == room.log.epoch and after is not None and after <= room.head
        if not served or room.recent(after or 0, 1) is None:
            # Another node may have shown the client more than this one has, or the floor may have moved.
            await tail.refreshed()
        return start_of(epoch, after, room.state(), most_behind=self._most_behind)

    async def next_events(self, room: Room, log: LogState, cursor: int) -> Sequence[EncodedEvent]:
        """What follows ``cursor``: something, when it is below the head. Raises ``HoleInLog``, ``Unavailable``."""
        if room.log.epoch != log.epoch:
            raise HoleInLog("the log was rebuilt")
        if cursor >= room.head:
            return ()
        recent = room.recent(cursor, TURN_EVENTS)
        if recent is not None:
            return recent
        events = await self._history.after(room.workspace_id, log.epoch, cursor, room.before_memory())
        if room.log.epoch != log.epoch or not events or events[0].position != cursor + 1:
            raise HoleInLog(f"nothing behind position {cursor}")
        return events

    async def run(self, session: Session, tail: Tail, epoch: UUID | None, after: int | None) -> None:
        """Replay, then join. Ends with the reader live, told to reset, or closed. Raises ``Unavailable``."""
        room = tail.room
        start = await self.start_of(tail, epoch, after)
        if isinstance(start, Reset):
            room.send([session], framed(start))
            return
        log = room.state()
        room.send([session], framed(Resumed(log.epoch, start, log.head)))
        session.replay = Replay(start, session.view)
        await self.follow(session, tail, log, session.replay)

    async def follow(self, session: Session, tail: Tail, log: LogState, replay: Replay) -> None:
        """Go on with a replay that began at this state of the log. Ends as ``run`` does."""
        room = tail.room
        try:
            await self._replay(session, room, log, replay)
        except HoleInLog:
            await tail.refreshed()
            now = room.state()
            reason: ResetReason = "log_rebuilt" if now.epoch != log.epoch else "beyond_retention"
            room.send([session], framed(Reset(now.epoch, now.head, reason)))
        finally:
            if session.replay is replay:  # a second resume may have begun another
                session.replay = None

    async def _replay(self, session: Session, room: Room, log: LogState, replay: Replay) -> None:
        while True:
            async with self._turns:
                if room.log.epoch == log.epoch and replay.cursor == room.head:
                    room.join(session, replay.view)
                    self.on_live(session)
                    return
                events = await self.next_events(room, log, replay.cursor)
                taken = replay.take(events, self._turn_bytes)
                frames = b"".join([event.frame_after(previous) for event, previous in taken])
                if frames and not session.outlet.offer(frames, self._queue_bytes):
                    room.drop(session)
                    return
            try:
                await asyncio.wait_for(session.outlet.drained(), DRAIN_SECONDS)
            except TimeoutError:
                room.drop(session)
                return
