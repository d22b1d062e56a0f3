"""REST of the way out: try a failed message again, take a queued one back, show that somebody types."""

from __future__ import annotations

from uuid import UUID

from inbox.agents.principal import Principal
from inbox.conversations.service import ConversationUnknown
from inbox.delivery.service import Deliveries, NothingToRetry, TooLate
from inbox.delivery.signals import Signals
from inbox.kernel.errors import Forbidden
from inbox.kernel.web import post
from inbox.messages.schemas import MessageView
from inbox.messages.service import MessageUnknown


class DeliveryRoutes:
    def __init__(self, deliveries: Deliveries, signals: Signals) -> None:
        self._deliveries = deliveries
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

    @post("/v1/conversations/{conversation_id}/typing", tag="conversations", errors=(ConversationUnknown,))
    async def typing(self, caller: Principal, conversation_id: UUID) -> None:
        """Show the customer that somebody types, where the channel can. Repeat it every few seconds while typing."""
        caller.require("messages.send")
        await self._signals.typing(caller, conversation_id)
