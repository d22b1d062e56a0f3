"""REST of blocking: block, unblock, what was paused, what was set aside."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from contacts.service import ContactUnknown
from inbox.agents.principal import Principal
from inbox.blocking.paused import Paused, StillBlocked
from inbox.blocking.schemas import BlockIn, BlockOut, PausedOut, SetAsideQuery, SettledOut, SettleIn, UnblockOut
from inbox.blocking.service import Blocks, NotBlocked
from inbox.kernel.errors import Forbidden
from inbox.kernel.pages import Page
from inbox.kernel.web import Query, get, post
from inbox.messages.set_aside_schemas import SetAsideView


class BlockingRoutes:
    """Contacts to whom nothing goes out, and whose messages interrupt nobody."""

    def __init__(self, blocks: Blocks, paused: Paused) -> None:
        self._blocks = blocks
        self._paused = paused

    @post("/v1/contacts/{contact_id}/block", tag="blocking", status=200, errors=(Forbidden, ContactUnknown))
    async def block(self, caller: Principal, contact_id: UUID, body: BlockIn) -> BlockOut:
        """Block a contact; or, where they are, change the reason and the end.

        Their conversations are closed, queued messages cancelled, responders lose their leases, and scheduled messages,
        sequences and workflows are paused. When this answers, nothing more goes out to them: a request that was at the
        provider already is awaited for at most three seconds and named in `in_the_air`. What they send from now on is
        set aside for supervisors.
        """
        return await self._blocks.block(caller, contact_id, body)

    @post(
        "/v1/contacts/{contact_id}/unblock",
        tag="blocking",
        status=200,
        errors=(Forbidden, ContactUnknown, NotBlocked),
    )
    async def unblock(self, caller: Principal, contact_id: UUID) -> UnblockOut:
        """Unblock a contact. What the block `paused` stays so until somebody resumes or cancels it.

        Refused when nothing blocks them (any more): of several who unblock, and the end that was set, one is first.
        """
        contact, at_provider = await self._blocks.unblock(caller, contact_id)
        return UnblockOut(contact, await self._paused.left(caller.workspace_id, contact.id), at_provider)

    @get("/v1/contacts/{contact_id}/paused", tag="blocking", errors=(Forbidden, ContactUnknown))
    async def paused(self, caller: Principal, contact_id: UUID) -> PausedOut:
        """What a block paused and nobody has decided about yet."""
        return await self._paused.read(caller, contact_id)

    @post(
        "/v1/contacts/{contact_id}/paused/resume",
        tag="blocking",
        status=200,
        errors=(Forbidden, ContactUnknown, StillBlocked),
    )
    async def resume(self, caller: Principal, contact_id: UUID, body: SettleIn) -> SettledOut:
        """Let paused items go on, some or all. What is overdue goes out one at a time, at least a minute apart."""
        return await self._paused.resume(caller, contact_id, body.items)

    @post("/v1/contacts/{contact_id}/paused/cancel", tag="blocking", status=200, errors=(Forbidden, ContactUnknown))
    async def cancel(self, caller: Principal, contact_id: UUID, body: SettleIn) -> SettledOut:
        """End paused items, some or all."""
        return await self._paused.cancel(caller, contact_id, body.items)

    @get("/v1/contacts/{contact_id}/set-aside", tag="blocking", errors=(Forbidden, ContactUnknown))
    async def set_aside(
        self, caller: Principal, contact_id: UUID, query: Annotated[SetAsideQuery, Query()]
    ) -> Page[SetAsideView]:
        """What a contact sent while they were blocked, newest first; for supervisors and admins."""
        found = await self._blocks.set_aside(caller, contact_id, after=query.last_id(), limit=query.limit + 1)
        return query.page(found)
