"""Puts this room together for a process."""

from __future__ import annotations

from typing import Protocol

from inbox.connections.directory import Directory
from inbox.conversations.service import Conversations
from inbox.kernel.database import Database
from inbox.kernel.jobs import Jobs
from inbox.kernel.jobs_worker import Worker
from inbox.kernel.reactions import Reactions
from inbox.kernel.timers_firing import TimerFiring
from inbox.messages.sending import Sending
from scheduler.workflows.answers import Answers
from scheduler.workflows.firing import Firing
from scheduler.workflows.following import Following
from scheduler.workflows.handing import Handing
from scheduler.workflows.moves import Moves
from scheduler.workflows.pausing import PausedRuns
from scheduler.workflows.service import Workflows


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
    @property
    def jobs(self) -> Jobs: ...


class Running:
    """``service`` is for whoever takes requests, ``answers`` for who delivers events, ``paused`` for blocking."""

    def __init__(self, service: Workflows, answers: Answers, paused: PausedRuns, firing: Firing) -> None:
        self.service = service
        self.answers = answers
        self.paused = paused
        self._firing = firing

    def register(self, firing: TimerFiring, worker: Worker) -> None:
        """What ends by itself, where a process has a clock and works off jobs."""
        self._firing.register(firing, worker)


def build_workflows(parts: Parts, moves: Moves) -> Running:
    """Its reactions listen from here on, in every process. ``moves``: as the way in has them, too."""
    handing = Handing(parts.directory, parts.conversations, moves)
    Following(moves, parts.jobs).register(parts.reactions)
    return Running(
        Workflows(parts.database, parts.conversations, handing),
        Answers(parts.database, parts.directory, parts.conversations, parts.sending, handing),
        PausedRuns(parts.database, handing),
        Firing(parts.database, moves),
    )
