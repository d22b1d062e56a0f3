"""From hand-overs in any order, with gaps and repeats, to one strictly dense sequence, the newest of it in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inbox.kernel.eventlog import StoredEvent
from inbox.realtime.protocol import EncodedEvent

MOST_PARKED = 10_000


class Sequencer:
    """Lets an event through when every one before it went through. ``head`` is the last that did."""

    __slots__ = ("_parked", "head")

    def __init__(self, head: int) -> None:
        self.head = head
        self._parked: dict[int, StoredEvent] = {}

    @property
    def gap(self) -> bool:
        """Whether something came that what is missing holds back: read the log after ``head``."""
        return bool(self._parked)

    def offer(self, events: Iterable[StoredEvent]) -> list[StoredEvent]:
        """What may go through now, in order and never twice."""
        ready: list[StoredEvent] = []
        head = self.head
        for event in events:
            if event.position == head + 1:
                ready.append(event)
                head += 1
            elif event.position > head:
                self._parked[event.position] = event
        if self._parked:
            while following := self._parked.pop(head + 1, None):
                ready.append(following)
                head += 1
            for stale in [position for position in self._parked if position <= head]:
                del self._parked[stale]
            if len(self._parked) > MOST_PARKED:
                # The database has them all; one stays behind to show that there is a gap.
                last = max(self._parked)
                self._parked = {last: self._parked[last]}
        self.head = head
        return ready


class Ring:
    """The newest events of one log, dense, encoded, bounded in count and bytes: what most resumes are served from."""

    __slots__ = ("_bytes", "_events", "_most", "_most_bytes", "_start")

    def __init__(self, *, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._events: list[EncodedEvent] = []
        self._bytes = 0
        self._start = 0  # index of the oldest event that still counts; the list is cut now and then

    def append(self, event: EncodedEvent) -> None:
        self._events.append(event)
        self._bytes += event.size
        while self._bytes > self._most_bytes or len(self._events) - self._start > self._most:
            self._bytes -= self._events[self._start].size
            self._start += 1
        if self._start * 4 > len(self._events):
            del self._events[: self._start]
            self._start = 0

    @property
    def begins(self) -> int | None:
        """The oldest position in memory."""
        return self._events[self._start].position if self._start < len(self._events) else None

    def clear(self) -> None:
        self._events.clear()
        self._bytes = self._start = 0

    def after(self, position: int, limit: int) -> Sequence[EncodedEvent] | None:
        """The next ``limit`` events behind ``position``; None when the ring begins later than that."""
        if self._start == len(self._events):
            return None
        at = position + 1 - self._events[self._start].position
        if at < 0:
            return None
        at += self._start
        return self._events[at : at + limit]
