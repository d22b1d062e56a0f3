"""Order and progress of one subscription, without any I/O.

Invariants: of one conversation at most one event is in the air, and the next follows only when it is settled; every
position up to ``cursor`` is settled or belongs to a parked lane that begins at or below it. So after a crash nothing is
missing, and whatever comes twice comes in the same order with the same id.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from inbox.kernel.eventlog import StoredEvent

NO_CONVERSATION: Final = UUID(int=0)
"""The lane of events about the workspace: agents, channels, contacts."""
WINDOW: Final = 256
"""Events of one subscription held in memory."""
MOST_PARKED: Final = 256
"""Conversations that may wait behind a failure; with that many, reading stops until the receiver is well again."""


def lane_of(event: StoredEvent) -> UUID:
    return event.conversation_id or NO_CONVERSATION


@dataclass(slots=True)
class Parked:
    """A lane that waits. ``last``: the last position known to be in it. ``upto`` is set for a replay."""

    lane: UUID
    position: int
    next_at: datetime
    upto: int | None = None
    attempts: int = 0
    tried_at: datetime | None = None
    failing_since: datetime | None = None
    last: int = 0
    busy: bool = False

    @property
    def drained(self) -> bool:
        return self.position > self.last


class Lanes:
    def __init__(self, cursor: int, parked: Iterable[Parked] = (), *, window: int = WINDOW) -> None:
        self.read_to = cursor
        self._window = window
        self._open: dict[int, None] = {}  # ascending, because events are offered in order
        self._queues: dict[UUID, deque[StoredEvent]] = {}
        self._ready: deque[UUID] = deque()
        self.parked: dict[UUID, Parked] = {}
        for one in parked:
            self.adopt(one)

    @property
    def cursor(self) -> int:
        return next(iter(self._open)) - 1 if self._open else self.read_to

    @property
    def room(self) -> int:
        return self._window - len(self._open)

    @property
    def crowded(self) -> bool:
        return len(self.parked) >= MOST_PARKED

    @property
    def ready(self) -> bool:
        return bool(self._ready)

    def jobs(self, now: datetime) -> int:
        """Requests that could be in the air now, with those that are."""
        due = sum(1 for one in self.parked.values() if one.busy or one.next_at <= now)
        return len(self._queues) + due

    def adopt(self, parked: Parked) -> None:
        """A lane as it was stored. What is in it is known only once it was looked up."""
        parked.last = parked.upto if parked.upto is not None else max(self.read_to, parked.position)
        self.parked[parked.lane] = parked

    def offer(self, events: Sequence[StoredEvent], wanted: Callable[[StoredEvent], bool]) -> None:
        """The next events of the log, all of them: those not wanted are settled with this."""
        for event in events:
            self.read_to = event.position
            if not wanted(event):
                continue
            lane = lane_of(event)
            if waiting := self.parked.get(lane):
                waiting.last = max(waiting.last, event.position)
                continue
            self._open[event.position] = None
            queue = self._queues.get(lane)
            if queue is None:
                self._queues[lane] = deque((event,))
                self._ready.append(lane)
            else:
                queue.append(event)

    def take(self) -> StoredEvent | None:
        """The first event of a lane that has none in the air; settle or park it."""
        return self._queues[self._ready.popleft()][0] if self._ready else None

    def settle(self, event: StoredEvent) -> None:
        lane = lane_of(event)
        queue = self._queues[lane]
        queue.popleft()
        del self._open[event.position]
        if queue:
            self._ready.append(lane)
        else:
            del self._queues[lane]

    def park(self, event: StoredEvent, now: datetime, next_at: datetime) -> Parked:
        """The event failed: it and all that follows in its conversation wait, and the cursor may pass them."""
        lane = lane_of(event)
        queue = self._queues.pop(lane)
        for one in queue:
            del self._open[one.position]
        parked = Parked(lane, event.position, next_at, attempts=1, tried_at=now, failing_since=now)
        parked.last = queue[-1].position
        self.parked[lane] = parked
        return parked

    def unpark(self, parked: Parked) -> None:
        del self.parked[parked.lane]

    def due(self, now: datetime) -> Parked | None:
        """The parked lane that is longest due and not being worked on."""
        waiting = [one for one in self._idle() if one.next_at <= now]
        return min(waiting, key=lambda one: one.next_at) if waiting else None

    def next_due(self) -> datetime | None:
        return min((one.next_at for one in self._idle()), default=None)

    def _idle(self) -> Iterator[Parked]:
        return (one for one in self.parked.values() if not one.busy)
