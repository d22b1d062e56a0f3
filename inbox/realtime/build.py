"""Puts the live stream of one process together, from what it needs of the rest."""

from __future__ import annotations

from uuid import UUID

from inbox.kernel.clock import Clock, SystemClock
from inbox.kernel.database import Database
from inbox.kernel.eventlog import EventLog
from inbox.kernel.ids import NewId, new_id
from inbox.kernel.wakeup import Wakeup
from inbox.realtime.catchup import CatchUp
from inbox.realtime.history import History
from inbox.realtime.hub import Hub, Pace, StillValid, Ticker
from inbox.realtime.notices import Notices
from inbox.realtime.presence import Presence
from inbox.realtime.protocol import MOST_BEHIND
from inbox.realtime.relay import Relay
from inbox.realtime.room import RING_BYTES, RING_EVENTS, Room
from inbox.realtime.tail import POLL_SECONDS, CommitAnnouncer, Tails

BEATS_UNTIL_FORGOTTEN = 3


def build_hub(
    database: Database,
    event_log: EventLog,
    wakeup: Wakeup,
    *,
    still_valid: StillValid,
    announcer: CommitAnnouncer | None = None,
    relay: Relay | None = None,
    pace: Pace | None = None,
    poll_seconds: float = POLL_SECONDS,
    most_behind: int = MOST_BEHIND,
    ring_events: int = RING_EVENTS,
    ring_bytes: int = RING_BYTES,
    clock: Clock | None = None,
    make_id: NewId = new_id,
) -> Hub:
    """Not started. Build the hub before the announcer's first commit; ``relay`` None keeps notices on this node."""
    pace = pace or Pace()
    clock = clock or SystemClock()
    ticker = Ticker(pace.tick)

    def make_room(workspace_id: UUID) -> Room:
        return Room(
            workspace_id,
            queue_bytes=pace.queue_bytes,
            on_pending=ticker.flush_soon,
            on_behind=lambda session, replay: hub.catch_up_again(session, replay),
            ring_events=ring_events,
            ring_bytes=ring_bytes,
        )

    tails = Tails(database, event_log, wakeup, make_room=make_room, announcer=announcer, poll_seconds=poll_seconds)
    presence = Presence(clock, expires=pace.heartbeat * BEATS_UNTIL_FORGOTTEN)
    hub = Hub(
        tails,
        CatchUp(History(database, event_log), queue_bytes=pace.queue_bytes, most_behind=most_behind),
        Notices(tails, presence, relay, clock, node=make_id().hex, grace=pace.presence_grace),
        wakeup,
        still_valid=still_valid,
        pace=pace,
        clock=clock,
        new_id=make_id,
    )
    return hub
