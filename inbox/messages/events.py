"""What the log says about messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from inbox.conversations.events import holder_of
from inbox.conversations.schemas import ConversationView
from inbox.kernel.eventlog import Event
from inbox.messages.schemas import FaultView, MessageStatus, MessageView, OriginView


@dataclass(frozen=True, slots=True)
class MessageCreated:
    """A message came in or was queued; ``conversation`` is how its thread stands with it."""

    message: MessageView
    conversation: ConversationView


@dataclass(frozen=True, slots=True)
class MessageUpdated:
    """Edited, unsent, reacted to, or found to be the answer to a message that is known only now."""

    message: MessageView


@dataclass(frozen=True, slots=True)
class MessageRemoved:
    """The message was an echo of another one in the thread, and is shown there alone. Its number stays unused."""

    message_id: UUID
    conversation_id: UUID


@dataclass(frozen=True, slots=True)
class MessageStatusChanged:
    message_id: UUID
    conversation_id: UUID
    status: MessageStatus
    status_at: datetime | None
    fault: FaultView | None
    origin: OriginView | None


EVENTS: dict[str, type] = {
    "message.created": MessageCreated,
    "message.updated": MessageUpdated,
    "message.status": MessageStatusChanged,
    "message.removed": MessageRemoved,
}


def created(workspace_id: UUID, message: MessageView, conversation: ConversationView) -> Event:
    return Event.of(
        workspace_id,
        "message.created",
        MessageCreated(message, conversation),
        conversation.id,
        holder_id=holder_of(conversation),
    )


def updated(workspace_id: UUID, message: MessageView, holder_id: UUID | None = None) -> Event:
    """``holder_id``: the bot whose turn it is."""
    return Event.of(
        workspace_id, "message.updated", MessageUpdated(message), message.conversation_id, holder_id=holder_id
    )


def status_changed(workspace_id: UUID, change: MessageStatusChanged, bot_id: UUID | None = None) -> Event:
    """``bot_id``: the bot that wrote it, which is told what becomes of it whoever answers by then."""
    return Event.of(workspace_id, "message.status", change, change.conversation_id, holder_id=bot_id)


def removed(workspace_id: UUID, message_id: UUID, conversation_id: UUID) -> Event:
    return Event.of(workspace_id, "message.removed", MessageRemoved(message_id, conversation_id), conversation_id)
