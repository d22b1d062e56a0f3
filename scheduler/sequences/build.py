"""Puts this room together for a process."""

from __future__ import annotations

from typing import Protocol

from inbox.connections.directory import Directory
from inbox.conversations.service import Conversations
from inbox.kernel.database import Database
from inbox.kernel.reactions import Reactions
from inbox.kernel.timers_firing import TimerFiring
from inbox.messages.sending import Sending
from scheduler.metrics import SequenceMetrics
from scheduler.sequences import enrollment_rows as rows
from scheduler.sequences.enrolling import Enrolling
from scheduler.sequences.firing import Firing
from scheduler.sequences.leading import Enrollments
from scheduler.sequences.pausing import PausedEnrollments
from scheduler.sequences.reacting import Reacting
from scheduler.sequences.service import Files, Sequences
from scheduler.sequences.walking import KIND, Walking
from scheduler.ties import Ties


class Parts(Protocol):
    """What a process has by then."""

    @property
    def database(self) -> Database: ...
    @property
    def directory(self) -> Directory: ...
    @property
    def conversations(self) -> Conversations: ...
    @property
    def sending(self) -> Sending: ...
    @property
    def reactions(self) -> Reactions: ...


class SequencesRoom:
    """``sequences``, ``enrolling`` and ``enrollments`` are for whoever takes requests, ``paused`` for blocking."""

    def __init__(self, parts: Parts, files: Files, walking: Walking, metrics: SequenceMetrics) -> None:
        self.sequences = Sequences(parts.database, files, parts.directory.kinds)
        self.enrolling = Enrolling(parts.database, walking)
        self.enrollments = Enrollments(parts.database, walking)
        self.paused = PausedEnrollments(parts.database, self.enrollments)
        self._firing = Firing(parts.sending, parts.conversations, parts.directory, walking, metrics.handed_over)

    def register(self, firing: TimerFiring) -> None:
        """The handler of its timers, where a process has a clock."""
        firing.register(KIND, self._firing.fire)


def build_sequences(parts: Parts, *, files: Files, ties: Ties, metrics: SequenceMetrics) -> SequencesRoom:
    """Its reactions listen from here on, in every process."""
    walking = Walking(ties)
    ties.add(rows.is_tied)
    Reacting(walking).register(parts.reactions)
    return SequencesRoom(parts, files, walking, metrics)
