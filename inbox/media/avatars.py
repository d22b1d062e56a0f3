"""Pictures of people, copied from their channels and handed out by our own links: a provider's link tells the provider
who looks at whom, and runs out.

Invariant: a person has at most one picture here, and its former one is deleted when another comes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from channels.adapter import HttpStream
from inbox.agents.origin import BaseUrl
from inbox.agents.principal import Principal
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Forbidden, NotFound
from inbox.kernel.ids import new_id
from inbox.kernel.jobs import Jobs
from inbox.kernel.web import get
from inbox.media import avatar_rows as rows
from inbox.media import repository as media_rows
from inbox.media.attachments import remove_job
from inbox.media.fetching import ContentFault, examine
from inbox.media.links import Links
from inbox.media.spool import Spool, TooMuch
from inbox.media.store import Store, key_of

log = logging.getLogger(__name__)

MOST_BYTES: Final = 4 * 1024 * 1024


class AvatarUnknown(NotFound):
    """There is no such contact, or no picture of them."""

    code = "avatar_not_found"


@dataclass(frozen=True, slots=True)
class AvatarOut:
    """``url`` opens the picture to whoever has it, until it expires."""

    url: str
    expires_at: datetime


class Avatars:
    def __init__(self, database: Database, jobs: Jobs, store: Store, spool: Spool, links: Links) -> None:
        self._database = database
        self._jobs = jobs
        self._store = store
        self._spool = spool
        self._links = links

    async def keep(self, workspace_id: UUID, identity_id: UUID, channel_id: UUID, stream: HttpStream) -> UUID | None:
        """The id of the new picture; ``None`` when it is the one we have, or none that is kept.

        Raises ``StoreError``, and what the stream raises; then the former picture stays.
        """
        media_id = new_id()
        key = key_of(workspace_id, media_id)
        try:
            async with self._spool.take(stream.chunks(), limit=MOST_BYTES) as file:
                facts = examine(file, "image", key, None)
                async with self._database.transaction() as unit:
                    if await rows.same(unit, workspace_id, identity_id, facts.sha256):
                        return None
                    await rows.expect(unit, workspace_id, media_id, channel_id)
                await self._store.put(key, file.path)
        except (ContentFault, TooMuch) as error:
            log.info("a picture of a person is not kept (%s)", type(error).__name__)
            return None

        async def write(unit: UnitOfWork) -> None:
            await media_rows.keep(unit, workspace_id, media_id, facts, None)
            former = await rows.replace(unit, workspace_id, identity_id, media_id)
            if former is not None:
                await self._jobs.enqueue_all(unit, [remove_job(workspace_id, former)])

        await self._database.retrying(write)
        return media_id

    async def read(self, caller: Principal, contact_id: UUID, base_url: str) -> AvatarOut:
        """Raises ``AvatarUnknown``."""
        caller.require("contacts.read")
        async with self._database.transaction(readonly=True) as unit:
            media_id = await rows.of_contact(unit, caller.workspace_id, contact_id)
        if media_id is None:
            raise AvatarUnknown("there is no picture of such a contact")
        link = self._links.make(caller.workspace_id, media_id)
        return AvatarOut(f"{base_url}{link.path}", link.expires_at)


class AvatarRoutes:
    def __init__(self, avatars: Avatars) -> None:
        self._avatars = avatars

    @get("/v1/contacts/{contact_id}/avatar", tag="contacts", errors=(Forbidden, AvatarUnknown))
    async def read(self, caller: Principal, base_url: BaseUrl, contact_id: UUID) -> AvatarOut:
        """A short-lived link to the picture of a contact, as their channel has it. `avatar_url` of a contact names
        this address where there is one, and changes when the picture does."""
        return await self._avatars.read(caller, contact_id, base_url)
