"""Asking the channel who somebody is, where webhooks do not say (Messenger and Instagram give an id alone).

A durable job, because the webhook must not wait for it and a crash must not forget it. What the channel says fills the
identity, and the contact where nobody has typed anything else.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from channels.adapter import Http
from channels.content import MediaRef
from channels.errors import FetchError
from contacts import events as contact_events
from contacts import pictures
from contacts import repository as contact_rows
from inbox.connections.directory import Channel, ChannelUnknown, Directory
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.http_errors import HttpError
from inbox.kernel.jobs import Job, Jobs, NewJob
from inbox.kernel.jobs_worker import GiveUp, RetryLater, Worker
from inbox.media.avatars import Avatars
from inbox.media.store import StoreError

log = logging.getLogger(__name__)

QUEUE: Final = "profile.fetch"
AT_ONCE: Final = 4
SECONDS: Final = 30.0
AGAIN_SECONDS: Final = 60.0


class ProfileRequests:
    """Used inside the transaction that met a stranger."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def ask(self, unit: UnitOfWork, workspace_id: UUID, nameless: Sequence[tuple[Channel, UUID]]) -> None:
        """``nameless``: (channel, identity)."""
        wanted = [
            NewJob(workspace_id, QUEUE, {"channel_id": str(channel.id), "identity_id": str(identity)}, str(identity))
            for channel, identity in nameless
        ]
        if wanted:
            await self._jobs.enqueue_all(unit, wanted)


class ProfileFetcher:
    def __init__(self, database: Database, directory: Directory, http: Http, avatars: Avatars) -> None:
        self._database = database
        self._directory = directory
        self._http = http
        self._avatars = avatars

    def register(self, worker: Worker) -> None:
        worker.register(QUEUE, self.run, concurrency=AT_ONCE, time_limit=SECONDS)

    async def run(self, job: Job) -> None:
        """A job handler: ask the provider who somebody is. Raises ``GiveUp``, ``RetryLater``."""
        workspace_id = job.workspace_id
        identity_id = UUID(str(job.payload["identity_id"]))
        try:
            channel = await self._directory.get(workspace_id, UUID(str(job.payload["channel_id"])))
        except ChannelUnknown as error:
            raise GiveUp("the channel is gone") from error
        async with self._database.transaction(readonly=True) as unit:
            addresses = await contact_rows.addresses_of(unit, workspace_id, identity_id)
        if not addresses:
            raise GiveUp("the identity became another one")
        try:
            person = await channel.adapter.profile(self._http, channel.account, addresses)
        except FetchError as error:
            if error.fault.retryable:
                raise RetryLater(error.fault.retry_after or AGAIN_SECONDS, error.fault.reason) from error
            raise GiveUp(error.fault.reason) from error
        except HttpError as error:
            raise RetryLater(AGAIN_SECONDS, str(error)) from error
        if person is None:
            return
        async with self._database.transaction() as unit:
            known = await contact_rows.find_addresses(unit, workspace_id, addresses)
            if known and await contact_rows.refresh_identity(unit, workspace_id, known[addresses[0]], person):
                for contact in await contact_rows.views(unit, workspace_id, [known[addresses[0]].contact_id]):
                    unit.record(contact_events.updated(workspace_id, contact))
        if person.avatar_url is not None:
            await self._picture(channel, identity_id, MediaRef(url=person.avatar_url))

    async def _picture(self, channel: Channel, identity_id: UUID, ref: MediaRef) -> None:
        """A picture that cannot be had now is asked for again another day."""
        try:
            async with channel.adapter.fetch(self._http, channel.account, ref) as stream:
                media_id = await self._avatars.keep(channel.workspace_id, identity_id, channel.id, stream)
        except (FetchError, HttpError, StoreError) as error:
            log.info("a picture of a person cannot be had: %s", type(error).__name__)
            return
        if media_id is not None:
            async with self._database.transaction() as unit:
                await pictures.show(unit, channel.workspace_id, identity_id, str(media_id)[-12:])
