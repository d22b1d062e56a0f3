"""Starting a conversation on another channel of a contact (row B2).

Offered are the enabled channels that let a business speak first, whose provider knows the contact under a live address,
and where no conversation with them is. What is offered is asked again in the transaction that starts it. Under the
locks of a new conversation a block either comes first and is seen, or finds the conversation and closes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contacts import repository as contact_rows
from contacts.reach_rows import reach as reach_of
from contacts.service import ContactUnknown
from inbox.agents.principal import Principal
from inbox.connections.directory import Channel, Directory
from inbox.conversations import starting_rows as rows
from inbox.conversations.composer import Standing
from inbox.conversations.schemas import ConversationView
from inbox.conversations.service import Conversations
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Conflict

SCOPELESS: Final = ""
"""Of addresses that every channel of their provider knows, such as phone numbers."""


class CannotStart(Conflict):
    """``reason``: ``conversation_exists`` (with ``conversation_id``), ``channel_disabled``, ``channel_unauthorised``,
    ``contact_blocked``, ``unreachable``, ``not_reachable_here``, ``customer_speaks_first``."""

    code, title = "cannot_start", "A conversation cannot be started on this channel"


class StartIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    channel_id: UUID


@dataclass(frozen=True, slots=True)
class ChannelOffer:
    """``templates_only``: until the customer answers, nothing but a template may be sent."""

    channel_id: UUID
    kind: str
    name: str
    templates_only: bool


@dataclass(frozen=True, slots=True)
class ChannelOffers:
    """``detail`` says why there is none, for a person; null where there are some."""

    items: list[ChannelOffer]
    detail: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    channel: Channel
    identity_id: UUID


async def find_identity(unit: UnitOfWork, contact_id: UUID, channel: Channel) -> UUID | None:
    """Whom this channel would write to when it wrote to the contact."""
    scopes = [SCOPELESS, channel.account.account_id, channel.owner]
    return await rows.find_identity(unit, channel.workspace_id, contact_id, channel.kind, scopes)


class Starting:
    def __init__(self, database: Database, directory: Directory, conversations: Conversations) -> None:
        self._database = database
        self._directory = directory
        self._conversations = conversations

    async def offers(self, caller: Principal, contact_id: UUID) -> ChannelOffers:
        """Raises ``ContactUnknown``, ``Forbidden``."""
        caller.require("conversations.write")
        items, refusals = [], []
        async with self._database.snapshot() as unit:
            contact_id = await _contact(unit, caller.workspace_id, contact_id)
            kinds = list(self._directory.kinds)
            for channel_id, _ in await rows.enabled_channels(unit, caller.workspace_id, [], kinds):
                channel = await self._directory.get(caller.workspace_id, channel_id)
                try:
                    await self._place(unit, contact_id, channel)
                except CannotStart as refused:
                    refusals.append(refused)
                else:
                    only_templates = channel.capabilities.window is not None
                    items.append(ChannelOffer(channel.id, channel.kind, channel.name, only_templates))
        return ChannelOffers(items, None if items else _why_none(refusals))

    async def start(self, caller: Principal, contact_id: UUID, channel_id: UUID) -> ConversationView:
        """Raises ``CannotStart``, ``ChannelUnknown``, ``ContactUnknown``, ``Forbidden``."""
        caller.require("conversations.write")
        channel = await self._directory.get(caller.workspace_id, channel_id)

        async def work(unit: UnitOfWork) -> ConversationView:
            known_id = await _contact(unit, caller.workspace_id, contact_id)
            place = await self._place(unit, known_id, channel)
            wanted = [(channel.id, place.identity_id, known_id)]
            (thread,) = await self._conversations.open_for(unit, caller.workspace_id, wanted)
            if not thread.fresh:
                raise _exists(thread.id)
            # Again, now that nobody can block the contact without waiting for us.
            await self._allow(unit, channel, place.identity_id)
            await self._conversations.record_created(unit, caller.workspace_id, thread)
            return await self._conversations.view(caller.workspace_id, thread)

        return await self._database.retrying(work)

    async def _place(self, unit: UnitOfWork, contact_id: UUID, channel: Channel) -> _Place:
        taken = await rows.conversations_by_channel(unit, channel.workspace_id, contact_id)
        if channel.id in taken:
            raise _exists(taken[channel.id])
        if not channel.capabilities.starts_conversations:
            raise CannotStart("on this channel the customer has to write first", reason="customer_speaks_first")
        identity_id = await find_identity(unit, contact_id, channel)
        if identity_id is None:
            raise CannotStart("this channel knows no address of the contact", reason="not_reachable_here")
        await self._allow(unit, channel, identity_id)
        return _Place(channel, identity_id)

    async def _allow(self, unit: UnitOfWork, channel: Channel, identity_id: UUID) -> None:
        """What would keep even a template from going out keeps the conversation from being started."""
        state, health = await self._directory.state_and_health(unit.connection, channel.workspace_id, channel.id)
        reach = await reach_of(unit, channel.workspace_id, identity_id)
        standing = Standing(state, health, reach, None, None, None)
        refusal = standing.refusal(await unit.time(), template=True)
        if refusal is not None:
            raise CannotStart(refusal.detail, reason=refusal.reason)


async def _contact(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> UUID:
    contact = await contact_rows.find(unit, workspace_id, contact_id)
    if contact is None:
        raise ContactUnknown("there is no such contact")
    return contact.id


def _exists(conversation_id: UUID) -> CannotStart:
    return CannotStart(
        "there is a conversation with this contact on the channel already",
        reason="conversation_exists",
        conversation_id=conversation_id,
    )


def _why_none(refusals: list[CannotStart]) -> str:
    if not refusals:
        return "no channel is connected and enabled"
    return "on none of the channels: " + "; ".join(sorted({str(refused) for refused in refusals}))
