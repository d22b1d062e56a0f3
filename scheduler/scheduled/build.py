"""Puts this room together for a process."""

from __future__ import annotations

from typing import Final, Protocol

from inbox.connections.directory import Directory
from inbox.conversations.service import Conversations
from inbox.delivery.service import Deliveries
from inbox.kernel.database import Database
from inbox.kernel.eventlog import EventLog
from inbox.kernel.reactions import Reactions
from inbox.kernel.timers_firing import TimerFiring
from inbox.messages.sending import Sending
from inbox.templates.service import Templates
from scheduler.metrics import ScheduledMetrics
from scheduler.scheduled import repository as rows
from scheduler.scheduled.changing import Changes
from scheduler.scheduled.drafting import Drafts, Files
from scheduler.scheduled.firing import REZONE, Firing
from scheduler.scheduled.following import Following
from scheduler.scheduled.handing import KIND, HandOver
from scheduler.scheduled.paused import PausedMessages
from scheduler.scheduled.service import Scheduling
from scheduler.ties import Ties

IN_ONE: Final = 16
"""Messages that are handed over in one transaction: it holds their conversations, and customers go on writing."""


class Parts(Protocol):
    """What a process has by then."""

    @property
    def database(self) -> Database: ...
    @property
    def event_log(self) -> EventLog: ...
    @property
    def directory(self) -> Directory: ...
    @property
    def conversations(self) -> Conversations: ...
    @property
    def sending(self) -> Sending: ...
    @property
    def reactions(self) -> Reactions: ...


class ScheduledMessages:
    """``service`` and ``changes`` are for whoever takes requests, ``paused`` for blocking."""

    def __init__(self, service: Scheduling, changes: Changes, paused: PausedMessages, firing: Firing) -> None:
        self.service = service
        self.changes = changes
        self.paused = paused
        self._firing = firing

    def register(self, firing: TimerFiring) -> None:
        """The handlers of its timers, where a process has a clock."""
        firing.register(KIND, self._firing.fire, batch=IN_ONE)
        firing.register(REZONE, self._firing.rezone, batch=1)


def build_scheduled(
    parts: Parts, *, files: Files, templates: Templates, deliveries: Deliveries, ties: Ties, metrics: ScheduledMetrics
) -> ScheduledMessages:
    """Its reactions listen from here on, in every process."""
    hand_over = HandOver(
        parts.sending, parts.conversations, parts.directory, Drafts(files, templates), ties, metrics.handed_over
    )
    ties.add(rows.waits_in)
    Following(hand_over).register(parts.reactions)
    changes = Changes(parts.database, hand_over, deliveries)
    return ScheduledMessages(
        Scheduling(parts.database, parts.event_log, hand_over),
        changes,
        PausedMessages(parts.database, changes, hand_over),
        Firing(hand_over),
    )
