"""Puts this room together for a process."""

from __future__ import annotations

from typing import Protocol

from channels.adapter import Http
from inbox.blocking.at_provider import AtProvider
from inbox.blocking.paused import Paused
from inbox.blocking.service import TIMER, Blocks
from inbox.blocking.silence import Silence
from inbox.connections.directory import Directory
from inbox.conversations.service import Conversations
from inbox.kernel.database import Database
from inbox.kernel.jobs import Jobs
from inbox.kernel.jobs_worker import Worker
from inbox.kernel.reactions import Reactions
from inbox.kernel.timers_firing import TimerFiring


class Parts(Protocol):
    """What blocking needs of a process."""

    @property
    def database(self) -> Database: ...
    @property
    def directory(self) -> Directory: ...
    @property
    def conversations(self) -> Conversations: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def http(self) -> Http: ...
    @property
    def worker(self) -> Worker: ...
    @property
    def reactions(self) -> Reactions: ...


class Blocking:
    """``paused.register`` is for the rooms above; ``register_timers`` for the clock."""

    def __init__(self, parts: Parts) -> None:
        at_provider = AtProvider(parts.database, parts.directory, parts.jobs, parts.http)
        at_provider.register(parts.worker)
        self.service = Blocks(parts.database, Silence(parts.conversations), at_provider)
        self.paused = Paused(parts.database)
        parts.reactions.on("contact.merged", self.service.follow_merge)

    def register_timers(self, firing: TimerFiring) -> None:
        firing.register(TIMER, self.service.expire)
