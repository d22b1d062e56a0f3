"""REST of the way out: try a failed message again, take one back, edit it, show that somebody types."""

from __future__ import annotations

from uuid import UUID

from inbox.agents.principal import Principal
from inbox.connections.asking import ProviderRefused
from inbox.conversations.service import ConversationUnknown
from inbox.delivery.changes import MessageChanges, NotChangeable, OutcomeUnknown
from inbox.delivery.schemas import ChangeView, EditIn
from inbox.delivery.service import Deliveries, NothingToRetry, TooLate
from inbox.delivery.signals import Signals
from inbox.kernel.errors import Forbidden, Unavailable
from inbox.kernel.web import delete, get, patch, post
from inbox.messages.composing import ContentTooLarge
from inbox.messages.schemas import MessageView
from inbox.messages.sending import ComposerRefused
from inbox.messages.service import MessageUnknown


class DeliveryRoutes:
    def __init__(self, deliveries: Deliveries, changes: MessageChanges, signals: Signals) -> None:
        self._deliveries = deliveries
        self._changes = changes
        self._signals = signals

    @post(
        "/v1/messages/{message_id}/retry",
        tag="messages",
        status=202,
        errors=(Forbidden, MessageUnknown, NothingToRetry),
    )
    async def retry(self, caller: Principal, message_id: UUID) -> MessageView:
        """Send the failed or uncertain pieces of a message again.

        Pieces that the provider accepted are never repeated. For an uncertain piece, this is a person's decision to
        risk that the customer reads it twice; bots may not take it.
        """
        return await self._deliveries.retry(caller, message_id)

    @post("/v1/messages/{message_id}/cancel", tag="messages", status=200, errors=(MessageUnknown, TooLate))
    async def cancel(self, caller: Principal, message_id: UUID) -> MessageView:
        """Take back what is still queued. Refused once sending has begun."""
        return await self._deliveries.cancel(caller, message_id)

    @patch(
        "/v1/messages/{message_id}",
        tag="messages",
        errors=(
            Forbidden,
            MessageUnknown,
            NotChangeable,
            ComposerRefused,
            ContentTooLarge,
            ProviderRefused,
            OutcomeUnknown,
            Unavailable,
        ),
    )
    async def edit(self, caller: Principal, message_id: UUID, body: EditIn) -> MessageView:
        """Edit a message that was sent, at the provider first; the words before it are kept as a version.

        Answers when the provider has answered. A refusal changes nothing.
        """
        return await self._changes.edit(caller, message_id, body)

    @delete(
        "/v1/messages/{message_id}",
        tag="messages",
        status=200,
        errors=(
            Forbidden,
            MessageUnknown,
            NotChangeable,
            ComposerRefused,
            ProviderRefused,
            OutcomeUnknown,
            Unavailable,
        ),
    )
    async def take_back(self, caller: Principal, message_id: UUID) -> MessageView:
        """Take a sent message back for both sides, where the channel can; the mark that it was there stays."""
        return await self._changes.delete(caller, message_id)

    @get("/v1/messages/{message_id}/changes", tag="messages", errors=(MessageUnknown,))
    async def changes(self, caller: Principal, message_id: UUID) -> list[ChangeView]:
        """What was asked of the provider about a sent message, newest first, with what came of it."""
        return await self._changes.list(caller, message_id)

    @post("/v1/conversations/{conversation_id}/typing", tag="conversations", errors=(ConversationUnknown,))
    async def typing(self, caller: Principal, conversation_id: UUID) -> None:
        """Show the customer that somebody types, where the channel can. Repeat it every few seconds while typing."""
        await self._signals.typing(caller, conversation_id)
