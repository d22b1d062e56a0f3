"""Having the provider itself keep a person from writing to us, where it can: an option, and done after the block.

Invariant: the last word asked for is what the provider is told in the end. Each (channel, identity) has one row with
that word and one job that brings it there; a run that was overtaken by another word writes nothing, and the job runs
again. Both requests say what shall be, so doing one twice does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal
from uuid import UUID

from channels.abilities import Moderates
from channels.adapter import Http
from channels.errors import SendError
from channels.types import Fault
from contacts import blocks, events
from contacts import repository as contact_rows
from contacts.schemas import ProviderBlockView
from inbox.blocking import repository as rows
from inbox.connections.directory import Channel, ChannelUnknown, Directory
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.http_errors import HttpError
from inbox.kernel.jobs import Job, Jobs, NewJob
from inbox.kernel.jobs_worker import RetryLater, Worker

QUEUE: Final = "contact.block_at_provider"
SECONDS: Final = 60.0
MOST_TRIES: Final = 8
AGAIN_SECONDS: Final = 30.0


class AtProvider:
    def __init__(self, database: Database, directory: Directory, jobs: Jobs, http: Http) -> None:
        self._database = database
        self._directory = directory
        self._jobs = jobs
        self._http = http

    def register(self, worker: Worker) -> None:
        worker.register(QUEUE, self.carry_out, concurrency=2, time_limit=SECONDS)

    async def block(self, unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> list[ProviderBlockView]:
        """Ask it of every channel that the contact has a conversation on and that can."""
        places = [
            (channel_id, identity_id)
            for channel_id, identity_id in await rows.places(unit, workspace_id, contact_id)
            if await self._can(workspace_id, channel_id)
        ]
        return await self._ask(unit, workspace_id, places, "blocked")

    async def unblock(
        self, unit: UnitOfWork, workspace_id: UUID, contact_ids: Sequence[UUID]
    ) -> list[ProviderBlockView]:
        """Take back what was asked, done or not."""
        asked = await blocks.asked_of(unit, workspace_id, contact_ids)
        places = [(one.channel_id, one.identity_id) for one in asked if one.wanted == "blocked"]
        return await self._ask(unit, workspace_id, places, "unblocked")

    async def _ask(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        places: Sequence[tuple[UUID, UUID]],
        wanted: Literal["blocked", "unblocked"],
    ) -> list[ProviderBlockView]:
        if not places:
            return []
        asked = await blocks.ask(unit, workspace_id, places, wanted)
        unit.record_all([events.block_at_provider(workspace_id, one) for one in asked])
        await self._jobs.enqueue_all(unit, [_job(workspace_id, one) for one in asked])
        return asked

    async def _can(self, workspace_id: UUID, channel_id: UUID) -> bool:
        channel = await self._channel(workspace_id, channel_id)
        return channel is not None and isinstance(channel.adapter, Moderates) and channel.capabilities.blocks_people

    async def _channel(self, workspace_id: UUID, channel_id: UUID) -> Channel | None:
        try:
            return await self._directory.get(workspace_id, channel_id)
        except ChannelUnknown:
            return None

    # --- the job ------------------------------------------------------------------------------------------------------

    async def carry_out(self, job: Job) -> None:
        """Raises ``RetryLater`` while the provider may still take it."""
        channel_id, identity_id = UUID(str(job.payload["channel_id"])), UUID(str(job.payload["identity_id"]))
        async with self._database.transaction(readonly=True) as unit:
            asked = await blocks.find_asked(unit, job.workspace_id, channel_id, identity_id)
            peer = await contact_rows.addresses_of(unit, job.workspace_id, identity_id)
        if asked is None or asked.state != "pending":
            return
        channel = await self._channel(job.workspace_id, channel_id)
        if channel is None or not isinstance(channel.adapter, Moderates):
            await self._settle(job, asked, Fault("channel_unavailable", "This channel cannot be used any more."))
            return
        request = channel.adapter.block if asked.wanted == "blocked" else channel.adapter.unblock
        try:
            await request(self._http, channel.account, peer)
        except SendError as error:
            await self._failed(job, asked, error.fault)
        except HttpError as error:
            reason = f"The provider cannot be reached: {error.reason}."
            await self._failed(job, asked, Fault("provider_unreachable", reason, retryable=True))
        else:
            await self._settle(job, asked, None)

    async def _failed(self, job: Job, asked: ProviderBlockView, fault: Fault) -> None:
        if fault.retryable and job.attempts < job.max_attempts:
            raise RetryLater(fault.retry_after or AGAIN_SECONDS, fault.reason)
        await self._settle(job, asked, fault)

    async def _settle(self, job: Job, asked: ProviderBlockView, fault: Fault | None) -> None:
        async def work(unit: UnitOfWork) -> None:
            settled = await blocks.settle(
                unit,
                job.workspace_id,
                asked,
                state="done" if fault is None else "failed",
                fault=None if fault is None else fault.code,
                reason=None if fault is None else fault.reason,
            )
            if settled is not None:
                unit.record(events.block_at_provider(job.workspace_id, settled))

        await self._database.retrying(work)


def _job(workspace_id: UUID, asked: ProviderBlockView) -> NewJob:
    payload = {"channel_id": str(asked.channel_id), "identity_id": str(asked.identity_id)}
    key = f"{asked.channel_id}:{asked.identity_id}"
    return NewJob(workspace_id, QUEUE, payload, key=key, max_attempts=MOST_TRIES)
