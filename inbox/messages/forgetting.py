"""What was unsent goes from the event log too, where clients and subscriptions could still read it for weeks.

Invariant: the job exists exactly when the unsend does, for a reaction to what the log says of it asks for it in that
transaction, whoever unsent it; run twice it changes nothing. It runs after the commit, so it finds the events of
that very transaction as well, and no later one brings the words back: whoever tells of a thread holds its lock.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.eventlog import Event
from inbox.kernel.jobs import Job, Jobs, NewJob
from inbox.kernel.jobs_worker import Worker
from inbox.kernel.reactions import Reactions
from inbox.messages import forgetting_rows as rows
from inbox.messages.events import MessageUpdated
from inbox.messages.preview import UNSENT
from inbox.messages.set_aside_schemas import SetAsideUpdated

QUEUE: Final = "messages.forget"
SECONDS: Final = 60.0
ATTEMPTS: Final = 16

log = logging.getLogger(__name__)


class Forgetting:
    def __init__(self, database: Database, jobs: Jobs) -> None:
        self._database = database
        self._jobs = jobs

    def listen(self, reactions: Reactions) -> None:
        reactions.on("message.updated", self.follow)
        reactions.on("set_aside.updated", self.follow)

    def register(self, worker: Worker) -> None:
        worker.register(QUEUE, self.run, concurrency=1, time_limit=SECONDS)

    async def follow(self, unit: UnitOfWork, events: Sequence[Event]) -> None:
        """A reaction."""
        wanted: list[NewJob] = []
        for event in events:
            match event.data:
                case MessageUpdated(message=view) if view.unsent_at is not None:
                    wanted.append(_job(event.workspace_id, "message_id", view.id))
                case SetAsideUpdated(set_aside=aside) if aside.unsent_at is not None:
                    wanted.append(_job(event.workspace_id, "set_aside_id", aside.id))
        await self._jobs.enqueue_all(unit, wanted)

    async def run(self, job: Job) -> None:
        """A job handler."""

        async def work(unit: UnitOfWork) -> int:
            if "set_aside_id" in job.payload:
                return await rows.forget_set_aside(unit, job.workspace_id, UUID(str(job.payload["set_aside_id"])))
            return await rows.forget_message(unit, job.workspace_id, UUID(str(job.payload["message_id"])), UNSENT)

        changed = await self._database.retrying(work)
        log.debug("content was taken out of %d events", changed)


def _job(workspace_id: UUID, name: str, of: UUID) -> NewJob:
    return NewJob(workspace_id, QUEUE, {name: str(of)}, key=str(of), max_attempts=ATTEMPTS)
