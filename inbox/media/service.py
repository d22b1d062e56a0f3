"""What agents and the way out ask of files: look, link, try again, upload, send.

Who may see a file: whoever may see one of its messages; an upload that no message uses yet, its uploader. The id of a
file is a name and never a permission.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from channels.adapter import OutboundFile
from channels.content import MediaKind
from inbox.agents.principal import Principal
from inbox.kernel.database import Contended, Database, UnitOfWork
from inbox.kernel.errors import Conflict, InboxError, NotFound, TooLarge, Unavailable
from inbox.kernel.ids import new_id
from inbox.kernel.jobs import Jobs
from inbox.media import repository as rows
from inbox.media import upkeep
from inbox.media.attachments import fetch_job
from inbox.media.content import kind_of, name_for, real_type, safe_name
from inbox.media.fetching import ContentFault, Showing, examine
from inbox.media.links import Links
from inbox.media.repository import Access, Facts, StoredFile
from inbox.media.schemas import MediaOut, MediaView, RetentionView
from inbox.media.spool import Spool, Spooled, TooMuch
from inbox.media.store import NoSuchObject, Store, StoreError, key_of


class MediaUnknown(NotFound):
    code = "media_not_found"


class NothingToRetry(Conflict):
    """The file did not fail, or where it came from is not known any more."""

    code = "media_not_failed"


class FileRefused(InboxError):
    """The content is not what it is said to be, or a program. ``reason`` is for programs."""

    status, code, title = 422, "media_refused", "This file is not accepted"


class StoreAway(Unavailable):
    code = "media_store_unavailable"


class ChannelUnknown(NotFound):
    code = "channel_not_found"


class Messages(Showing, Protocol):
    """What messages know that stand above this room."""

    async def visible(self, unit: UnitOfWork, caller: Principal, message_ids: Sequence[UUID]) -> bool:
        """Whether the caller may see one of these messages."""
        ...


class Media:
    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        store: Store,
        spool: Spool,
        links: Links,
        messages: Messages,
        *,
        max_bytes: int,
        default_days: int | None,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._store = store
        self._spool = spool
        self._links = links
        self._messages = messages
        self._default_days = default_days
        self.max_bytes = max_bytes

    # --- looking ------------------------------------------------------------------------------------------------------

    async def read(self, caller: Principal, media_id: UUID, base_url: str) -> MediaOut:
        """Raises ``Forbidden``, ``MediaUnknown``."""
        caller.require("conversations.read")
        async with self._database.transaction(readonly=True) as unit:
            found = await self._access(unit, caller, media_id)
        return self._out(caller.workspace_id, found.view, base_url)

    async def retry(self, caller: Principal, media_id: UUID, base_url: str) -> MediaOut:
        """Fetch a failed file again. Raises ``Forbidden``, ``MediaUnknown``, ``NothingToRetry``."""
        caller.require("conversations.write")
        workspace_id = caller.workspace_id

        async def write(unit: UnitOfWork) -> MediaView | None:
            found = await self._access(unit, caller, media_id)
            await self._messages.hold(unit, workspace_id, list(found.message_ids))
            view = await rows.want_again(unit, workspace_id, media_id)
            if view is not None:
                await self._messages.show(unit, workspace_id, list(found.message_ids), [view])
                await self._jobs.enqueue_all(unit, [fetch_job(workspace_id, media_id)])
            return view

        view = await self._database.retrying(write)
        if view is None:
            raise NothingToRetry("only a file whose fetch failed can be fetched again")
        return self._out(workspace_id, view, base_url)

    async def _access(self, unit: UnitOfWork, caller: Principal, media_id: UUID) -> Access:
        found = (await rows.find_access(unit, caller.workspace_id, [media_id])).get(media_id)
        if found is None or not await self._may_see(unit, caller, found):
            raise MediaUnknown("there is no such file")
        return found

    async def _may_see(self, unit: UnitOfWork, caller: Principal, found: Access) -> bool:
        if found.uploaded_by == caller.agent_id:
            return True
        return bool(found.message_ids) and await self._messages.visible(unit, caller, found.message_ids)

    def _out(self, workspace_id: UUID, view: MediaView, base_url: str) -> MediaOut:
        if view.state != "stored":
            return MediaOut(view, None, None)
        link = self._links.make(workspace_id, view.id)
        return MediaOut(view, f"{base_url}{link.path}", link.expires_at)

    # --- uploading ----------------------------------------------------------------------------------------------------

    async def upload(
        self,
        caller: Principal,
        chunks: AsyncIterator[bytes],
        *,
        claimed: str | None,
        filename: str | None,
        kind: MediaKind | None,
        base_url: str,
    ) -> MediaOut:
        """Raises ``Forbidden``, ``TooLarge``, ``FileRefused``, ``StoreAway``, and whatever ``chunks`` raises."""
        caller.require("messages.send")
        workspace_id, media_id = caller.workspace_id, new_id()
        try:
            async with self._spool.take(chunks, limit=self.max_bytes) as file:
                kind, facts = self._judge(file, kind, claimed, key_of(workspace_id, media_id))
                async with self._database.transaction() as unit:
                    await rows.insert_upload(unit, workspace_id, media_id, kind, caller.agent_id)
                await self._store.put(facts.store_key, file.path)
        except TooMuch as error:
            raise TooLarge(f"a file may hold at most {error.limit} bytes", limit=error.limit) from None
        except (StoreError, OSError) as error:
            raise StoreAway("the file cannot be stored now", retry_after=30) from error
        async with self._database.transaction() as unit:
            view = await rows.keep(unit, workspace_id, media_id, facts, safe_name(filename))
        if view is None:
            raise StoreAway("the upload took too long", retry_after=1)
        return self._out(workspace_id, view, base_url)

    @staticmethod
    def _judge(file: Spooled, kind: MediaKind | None, claimed: str | None, store_key: str) -> tuple[MediaKind, Facts]:
        chosen = kind or kind_of(real_type(file.head, claimed, None))
        try:
            return chosen, examine(file, chosen, store_key, claimed)
        except ContentFault as refused:
            raise FileRefused(refused.fault.reason, reason=refused.fault.code) from None

    # --- sending ------------------------------------------------------------------------------------------------------

    async def outgoing(
        self, unit: UnitOfWork, workspace_id: UUID, media_ids: Collection[UUID], *, caller: Principal | None
    ) -> dict[UUID, MediaView]:
        """Those of these files that may be sent: stored, and the caller's to see, where somebody is calling."""
        if not media_ids:
            return {}
        found = await rows.find_access(unit, workspace_id, sorted(set(media_ids)))
        return {
            media_id: access.view
            for media_id, access in found.items()
            if access.view.state == "stored" and (caller is None or await self._may_see(unit, caller, access))
        }

    async def keep_until(
        self, unit: UnitOfWork, workspace_id: UUID, media_ids: Collection[UUID], until: datetime
    ) -> bool:
        """Let no retention delete what will be sent later: it counts as used at that time. ``False``: one is gone."""
        return not media_ids or await rows.keep_until(unit, workspace_id, sorted(set(media_ids)), until)

    async def attach(
        self, unit: UnitOfWork, workspace_id: UUID, media_ids: Collection[UUID], message_id: UUID, channel_id: UUID
    ) -> None:
        """A message that is being sent takes these files along. Raises ``Contended`` when one vanished meanwhile."""
        if media_ids and not await rows.add_uses(unit, workspace_id, sorted(set(media_ids)), message_id, channel_id):
            raise Contended("a file was deleted by another transaction")

    async def outbound(self, workspace_id: UUID, media_id: str) -> OutboundFile:
        """The bytes to send. Raises ``LookupError`` when they are not here any more, ``StoreError``."""
        found = await self.find_stored(workspace_id, UUID(media_id))
        if found is None:
            raise LookupError(media_id)
        try:
            data = b"".join([chunk async for chunk in self._store.read(found.store_key)])
        except NoSuchObject:
            raise LookupError(media_id) from None
        return OutboundFile(found.filename or name_for(found.kind, found.mime_type), found.mime_type, data)

    async def find_stored(self, workspace_id: UUID, media_id: UUID) -> StoredFile | None:
        async with self._database.transaction(readonly=True) as unit:
            return await rows.find_stored(unit, workspace_id, media_id)

    # --- retention ----------------------------------------------------------------------------------------------------

    async def retention(self, caller: Principal, channel_id: UUID) -> RetentionView:
        """Raises ``Forbidden``, ``ChannelUnknown``."""
        caller.require("channels.read")
        async with self._database.transaction(readonly=True) as unit:
            return await self._retention(unit, caller.workspace_id, channel_id)

    async def set_retention(self, caller: Principal, channel_id: UUID, days: int | None) -> RetentionView:
        """Raises ``Forbidden``, ``ChannelUnknown``."""
        caller.require("channels.write")
        async with self._database.transaction() as unit:
            await self._retention(unit, caller.workspace_id, channel_id)
            await upkeep.set_retention(unit, caller.workspace_id, channel_id, days)
            return await self._retention(unit, caller.workspace_id, channel_id)

    async def clear_retention(self, caller: Principal, channel_id: UUID) -> RetentionView:
        """Raises ``Forbidden``, ``ChannelUnknown``."""
        caller.require("channels.write")
        async with self._database.transaction() as unit:
            await self._retention(unit, caller.workspace_id, channel_id)
            await upkeep.clear_retention(unit, caller.workspace_id, [channel_id])
            return await self._retention(unit, caller.workspace_id, channel_id)

    async def _retention(self, unit: UnitOfWork, workspace_id: UUID, channel_id: UUID) -> RetentionView:
        found = await upkeep.find_retention(unit, workspace_id, channel_id, self._default_days)
        if found is None:
            raise ChannelUnknown("this workspace has no such channel")
        return found
