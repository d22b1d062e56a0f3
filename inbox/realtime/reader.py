"""A cursor that is read by asking, not pushed to: what the long poll and server-sent events stand on."""

from __future__ import annotations

import asyncio
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.kernel.errors import BadRequest, Conflict
from inbox.realtime.catchup import TURN_BYTES
from inbox.realtime.hub import Hub
from inbox.realtime.protocol import Reset
from inbox.realtime.session import HoleInLog, Replay, View
from inbox.realtime.tail import Tail


class ResetRequired(Conflict):
    """The cursor is of no use. Facts: ``epoch`` and ``position`` of the log now, and the ``reason``."""

    code, title = "reset_required", "The cursor cannot be resumed: fetch a snapshot and go on from its position"

    def __init__(self, reset: Reset) -> None:
        super().__init__("", epoch=str(reset.epoch), position=reset.position, reason=reset.reason)
        self.reset = reset


class Reader:
    """``begin`` makes one. ``position`` is the cursor to give back to the client."""

    def __init__(self, hub: Hub, tail: Tail, epoch: UUID, replay: Replay) -> None:
        self.epoch = epoch
        self._hub = hub
        self._tail = tail
        self._log = tail.room.state()
        self._replay = replay

    @classmethod
    async def begin(cls, hub: Hub, principal: Principal, epoch: UUID | None, after: int | None, view: View) -> Reader:
        """Raises ``ResetRequired``, ``BadRequest`` for half a cursor, ``Unavailable``."""
        if (epoch is None) != (after is None):
            raise BadRequest("a cursor is an epoch and a position: send both or neither")
        tail = hub.tails.of(principal.workspace_id)
        start = await hub.catch_up.start_of(tail, epoch, after)
        if isinstance(start, Reset):
            raise ResetRequired(start)
        return cls(hub, tail, tail.room.log.epoch, Replay(start, view))

    @property
    def position(self) -> int:
        return self._replay.cursor

    async def read(self, most: int) -> list[tuple[int, bytes]]:
        """Position and document of what is there: ``most`` events, about ``TURN_BYTES``. Raises ``ResetRequired``."""
        documents: list[tuple[int, bytes]] = []
        size = 0
        try:
            while len(documents) < most and size < TURN_BYTES:
                events = await self._hub.catch_up.next_events(self._tail.room, self._log, self._replay.cursor)
                if not events:
                    break
                for event, previous in self._replay.take(events, TURN_BYTES - size, most - len(documents)):
                    documents.append((event.position, event.document(previous)))
                    size += event.size
                await asyncio.sleep(0)
        except HoleInLog:
            raise self._reset() from None
        return documents

    async def wait(self, seconds: float) -> None:
        """Until something is behind the cursor, the log was rebuilt, the node stops, or the time is over."""
        room = self._tail.room
        moved = asyncio.Event()
        room.watchers.add(moved.set)
        self._hub.on_stop.add(moved.set)
        try:
            if room.head <= self.position and room.log.epoch == self.epoch and not self._hub.stopping:
                await asyncio.wait_for(moved.wait(), seconds)
        except TimeoutError:
            return
        finally:
            room.watchers.discard(moved.set)
            self._hub.on_stop.discard(moved.set)

    def _reset(self) -> ResetRequired:
        log = self._tail.room.state()
        return ResetRequired(
            Reset(log.epoch, log.head, "log_rebuilt" if log.epoch != self.epoch else "beyond_retention")
        )
