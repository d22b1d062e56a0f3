"""The live readers of one workspace and the dense stream they share. No I/O but handing bytes to sockets.

Readers with the same view form a lane: they were all sent the same, so every frame and every join of frames is made
once a lane. A reader enters a lane only when it has everything up to the head (``join``); from then on ``flush`` brings
it every event that its view shows, in order, and a heartbeat never overtakes an event. A socket that does not keep up
is closed, never awaited: its cursor is the client's. What comes at once is no fault of the reader: behind a burst it
goes on by replay, which writes as fast as it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from uuid import UUID

from inbox.kernel.eventlog import LogState, StoredEvent
from inbox.realtime.closing import CloseCode
from inbox.realtime.protocol import EncodedEvent, Heartbeat, Reset, ResetReason, framed
from inbox.realtime.sequence import MOST_PARKED, Ring, Sequencer
from inbox.realtime.session import LITTLE, Replay, Session, View

RING_EVENTS = 2048
RING_BYTES = 4 * 1024 * 1024


class Lane:
    """Live readers who see the same. Whatever is at or below ``sent`` and shown was handed to each of them."""

    __slots__ = ("readers", "sent", "view")

    def __init__(self, view: View, sent: int) -> None:
        self.view = view
        self.sent = sent
        self.readers: dict[Session, Callable[[bytes, int], bool]] = {}

    def take(self, events: Iterable[EncodedEvent]) -> list[bytes]:
        frames: list[bytes] = []
        shows = self.view.shows
        for event in events:
            if shows(event):
                frames.append(event.frame_after(self.sent))
                self.sent = event.position
        return frames


class Room:
    """``on_pending`` is called when events begin to wait for a ``flush``; ``queue_bytes`` is the limit of a socket.

    ``on_behind`` takes over a reader that left its lane because of a burst, and brings it back by this replay.
    """

    def __init__(
        self,
        workspace_id: UUID,
        *,
        queue_bytes: int,
        on_pending: Callable[[Room], None],
        on_behind: Callable[[Session, Replay], None],
        ring_events: int = RING_EVENTS,
        ring_bytes: int = RING_BYTES,
    ) -> None:
        self.workspace_id = workspace_id
        self.sessions: set[Session] = set()
        self.log = LogState(epoch=UUID(int=0), head=0, floor=0)
        self.watchers: set[Callable[[], None]] = set()
        self.flushed_at = 0.0
        self._opened = False
        self._queue_bytes = queue_bytes
        self._on_pending = on_pending
        self._on_behind = on_behind
        self._sequencer = Sequencer(0)
        self._early: list[StoredEvent] = []
        self._ring = Ring(most=ring_events, most_bytes=ring_bytes)
        self._pending: list[EncodedEvent] = []
        self._lanes: dict[View, Lane] = {}

    @property
    def head(self) -> int:
        """The last position of the dense stream so far; the log itself may be a little ahead."""
        return self._sequencer.head

    @property
    def opened(self) -> bool:
        return self._opened

    @property
    def gap(self) -> bool:
        return self._sequencer.gap

    @property
    def waiting(self) -> int:
        """Events that the next flush will hand to the live readers."""
        return len(self._pending)

    def state(self) -> LogState:
        return LogState(epoch=self.log.epoch, head=self.head, floor=self.log.floor)

    # --- the stream ---------------------------------------------------------------------------------------------------

    def open(self, log: LogState) -> None:
        """Begin behind the head of the log. What was handed over before counts from there."""
        self.log = log
        self._sequencer = Sequencer(log.head)
        self._opened = True
        early, self._early = self._early, []
        self.offer(early)

    def offer(self, events: Iterable[StoredEvent]) -> None:
        """Events of this workspace's log, committed, from whatever source and in any order."""
        if not self._opened:
            self._early.extend(events)
            del self._early[:-MOST_PARKED]
            return
        ready = self._sequencer.offer(events)
        if not ready:
            return
        was_empty = not self._pending
        for event in ready:
            encoded = EncodedEvent(event)
            self._ring.append(encoded)
            self._pending.append(encoded)
        if was_empty:
            self._on_pending(self)
        for watcher in tuple(self.watchers):
            watcher()

    def recent(self, after: int, limit: int) -> Sequence[EncodedEvent] | None:
        """The next events behind ``after`` from memory; None when they are not there any more."""
        return self._ring.after(after, limit)

    def before_memory(self) -> int:
        """The last position that ``recent`` does not reach; what is above it need not be read again."""
        begins = self._ring.begins
        return self.head if begins is None else begins - 1

    def rebuild(self, log: LogState, reason: ResetReason) -> None:
        """The numbering changed, or the stream cannot be continued: every reader has to start from a snapshot."""
        self.flush()
        self._ring.clear()
        self.log = log
        self._sequencer = Sequencer(log.head)
        readers = list(self._live())
        self._lanes.clear()
        for session in readers:
            session.lane = None
        self.send(readers, framed(Reset(log.epoch, log.head, reason)))
        for watcher in tuple(self.watchers):
            watcher()

    # --- live readers -------------------------------------------------------------------------------------------------

    def join(self, session: Session, view: View) -> None:
        """Make a reader live that has everything up to the head, and tell it so: later frames build on that."""
        self.flush()
        if not session.outlet.offer(framed(Heartbeat(self.head)), self._queue_bytes):
            self.drop(session)
            return
        lane = self._lanes.get(view)
        if lane is None:
            lane = self._lanes[view] = Lane(view, self.head)
        session.view = view
        session.lane = lane
        lane.readers[session] = session.outlet.offer

    def leave(self, session: Session) -> None:
        lane, session.lane = session.lane, None
        if lane is None:
            return
        lane.readers.pop(session, None)
        if not lane.readers and self._lanes.get(lane.view) is lane:
            del self._lanes[lane.view]

    def flush(self) -> None:
        """Hand what came since the last flush to every live reader: one write a socket, however many events."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        for lane in tuple(self._lanes.values()):
            sent = lane.sent
            frames = lane.take(pending)
            if not frames:
                continue
            joined = frames[0] if len(frames) == 1 else b"".join(frames)
            if len(frames) > 1 and len(joined) > self._queue_bytes:
                refused = list(lane.readers)
            else:
                refused = self._write(lane, joined)
            # A socket is slow by what it left unread. That a burst did not fit says nothing about it.
            is_burst = len(joined) > self._queue_bytes // LITTLE
            for session in refused:
                if is_burst:
                    self._fall_behind(session, Replay(pending[0].position - 1, lane.view, sent))
                else:
                    self.drop(session)

    def heartbeat(self) -> None:
        self.flush()
        head = self.head
        frame = framed(Heartbeat(head))
        for lane in tuple(self._lanes.values()):
            lane.sent = head
            for session in self._write(lane, frame):
                self.drop(session)

    def send(self, sessions: Iterable[Session], frames: bytes) -> None:
        """Frames that belong to no lane, to these readers. Whoever cannot take them is closed."""
        for session in sessions:
            if not session.outlet.offer(frames, self._queue_bytes):
                self.drop(session)

    def whisper(
        self, frames: bytes, conversation_id: UUID | None = None, *, but: Collection[Session] = ()
    ) -> list[Session]:
        """An ephemeral notice: only for live readers it concerns, and the first thing a busy socket goes without.

        Answers those who had to.
        """
        missed: list[Session] = []
        for lane in tuple(self._lanes.values()):
            if conversation_id is None or lane.view.concerns(conversation_id):
                readers = [session for session in lane.readers if session not in but] if but else lane.readers
                missed += [session for session in readers if not self.whisper_to(session, frames)]
        return missed

    def whisper_to(self, session: Session, frames: bytes) -> bool:
        return session.outlet.offer(frames, self._queue_bytes // 4)

    def drop(self, session: Session) -> None:
        self.leave(session)
        session.outlet.hang_up(CloseCode.SLOW_CONSUMER)

    def _write(self, lane: Lane, frames: bytes) -> list[Session]:
        """Answers the readers that did not take it."""
        limit = self._queue_bytes
        return [session for session, offer in lane.readers.items() if not offer(frames, limit)]

    def _fall_behind(self, session: Session, replay: Replay) -> None:
        self.leave(session)
        session.replay = replay
        self._on_behind(session, replay)

    def _live(self) -> Iterator[Session]:
        for lane in self._lanes.values():
            yield from lane.readers
