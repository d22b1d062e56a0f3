"""REST of conversations: the inbox list, one conversation, its state, and reading positions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from contacts.service import ContactUnknown
from inbox.agents.principal import Principal
from inbox.connections.directory import ChannelUnknown
from inbox.conversations.schemas import (
    ConversationDetail,
    ConversationPage,
    ConversationPatch,
    ConversationQuery,
    ConversationView,
    ReadIn,
    ReadOut,
)
from inbox.conversations.service import Conversations, ConversationUnknown
from inbox.conversations.starting import CannotStart, ChannelOffers, StartIn, Starting
from inbox.kernel.errors import Forbidden
from inbox.kernel.versions import ETAG, IfMatch, VersionChanged, etag, wanted_version
from inbox.kernel.web import Answer, Query, get, patch, post, put

OnRead = Callable[[Principal, UUID], Awaitable[None]]
"""Tell the provider that the conversation was read."""


class ConversationRoutes:
    def __init__(self, conversations: Conversations, on_read: OnRead) -> None:
        self._conversations = conversations
        self._on_read = on_read

    @get("/v1/conversations/{conversation_id}", tag="conversations", errors=(ConversationUnknown,), headers=ETAG)
    async def read(self, caller: Principal, conversation_id: UUID) -> Answer[ConversationDetail]:
        """One conversation with its contact, and the log position at which this is valid."""
        detail = await self._conversations.read(caller, conversation_id)
        return Answer(detail, headers=etag(detail.conversation.version))

    @patch(
        "/v1/conversations/{conversation_id}",
        tag="conversations",
        errors=(ConversationUnknown, VersionChanged),
        headers=ETAG,
    )
    async def change(
        self, caller: Principal, conversation_id: UUID, body: ConversationPatch, if_match: IfMatch = None
    ) -> Answer[ConversationView]:
        """Change status, assignee or priority."""
        version = wanted_version(if_match)
        changed = await self._conversations.change(caller, conversation_id, body, version=version)
        return Answer(changed, headers=etag(changed.version))

    @put("/v1/conversations/{conversation_id}/reading-position", tag="conversations", errors=(ConversationUnknown,))
    async def mark_read(self, caller: Principal, conversation_id: UUID, body: ReadIn) -> ReadOut:
        """Say how far you have read; a lower number than before marks as unread again."""
        position, moved = await self._conversations.mark_read(caller, conversation_id, body.number)
        if moved and body.receipt and position.unread == 0:
            await self._on_read(caller, conversation_id)
        return position

    @get("/v1/conversations", tag="conversations")
    async def list(self, caller: Principal, query: Annotated[ConversationQuery, Query()]) -> ConversationPage:
        """The inbox: conversations by their last message, newest first, as a snapshot to stream on from."""
        return await self._conversations.page(caller, query)


class StartRoutes:
    def __init__(self, starting: Starting) -> None:
        self._starting = starting

    @get("/v1/contacts/{contact_id}/channel-offers", tag="conversations", errors=(ContactUnknown, Forbidden))
    async def offers(self, caller: Principal, contact_id: UUID) -> ChannelOffers:
        """Channels on which a conversation with this contact can be started: reachable there, and none yet."""
        return await self._starting.offers(caller, contact_id)

    @post(
        "/v1/contacts/{contact_id}/conversations",
        tag="conversations",
        status=201,
        errors=(ContactUnknown, ChannelUnknown, CannotStart, Forbidden),
    )
    async def start(self, caller: Principal, contact_id: UUID, body: StartIn) -> ConversationView:
        """Start a conversation on another channel. A refusal says why in `reason`."""
        return await self._starting.start(caller, contact_id, body.channel_id)
