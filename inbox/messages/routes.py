"""REST of messages: read a thread, send into it, look at one message."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.conversations.service import ConversationUnknown
from inbox.kernel.web import Answer, Header, Query, get, post
from inbox.messages.composing import ContentTooLarge
from inbox.messages.schemas import MessagePage, MessageQuery, MessageVersions, MessageView, SendIn
from inbox.messages.sending import ComposerRefused, Sending, TokenReused
from inbox.messages.service import Messages, MessageUnknown

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=128, description="The same send repeated with the same key happens once."),
]


class MessageRoutes:
    def __init__(self, messages: Messages, sending: Sending) -> None:
        self._messages = messages
        self._sending = sending

    @get("/v1/conversations/{conversation_id}/messages", tag="messages", errors=(ConversationUnknown,))
    async def list(
        self, caller: Principal, conversation_id: UUID, query: Annotated[MessageQuery, Query()]
    ) -> MessagePage:
        """The messages of a conversation, oldest first, with the log position at which the answer is valid.

        Without `before` and `after`: the newest ones.
        """
        return await self._messages.page(caller, conversation_id, query)

    @post(
        "/v1/conversations/{conversation_id}/messages",
        tag="messages",
        status=202,
        errors=(ConversationUnknown, ComposerRefused, ContentTooLarge, TokenReused),
        also={200: "The key was used before: this is the message that it made."},
        headers={"Idempotent-Replayed": "`true` when the key was used before"},
    )
    async def send(
        self, caller: Principal, conversation_id: UUID, body: SendIn, idempotency_key: IdempotencyKey = None
    ) -> Answer[MessageView]:
        """Queue a message. Its way out shows in `message.status` events and in its `status`.

        A refusal says why in `reason`: `channel_disabled`, `channel_unauthorised`, `contact_blocked`, `unreachable`,
        `window_closed` (with the `templates` that may be sent instead) or `superseded`.
        """
        if idempotency_key is not None:
            body = body.model_copy(update={"client_token": idempotency_key})
        sent = await self._sending.send(caller, conversation_id, body)
        if sent.replayed:
            return Answer(sent.message, status=200, headers={"Idempotent-Replayed": "true"})
        return Answer(sent.message)

    @get("/v1/messages/{message_id}", tag="messages", errors=(MessageUnknown,))
    async def read(self, caller: Principal, message_id: UUID) -> MessageView:
        """One message."""
        return await self._messages.read(caller, message_id)

    @get("/v1/messages/{message_id}/versions", tag="messages", errors=(MessageUnknown,))
    async def versions(self, caller: Principal, message_id: UUID) -> MessageVersions:
        """What the message said before each of its edits. Nothing that a customer wrote is silently rewritten."""
        return await self._messages.versions(caller, message_id)
