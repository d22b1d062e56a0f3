"""What the log says about conversations. Each event carries the whole conversation."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from inbox.conversations.schemas import ConversationView
from inbox.kernel.eventlog import Event


@dataclass(frozen=True, slots=True)
class ConversationCreated:
    conversation: ConversationView


@dataclass(frozen=True, slots=True)
class ConversationUpdated:
    conversation: ConversationView


@dataclass(frozen=True, slots=True)
class ConversationMerged:
    """The thread ``merged`` became part of ``conversation``: its messages have new numbers, read them again."""

    conversation: ConversationView
    merged: UUID


@dataclass(frozen=True, slots=True)
class ConversationRead:
    """An agent has read up to message ``number``."""

    conversation_id: UUID
    agent_id: UUID
    number: int


EVENTS: dict[str, type] = {
    "conversation.created": ConversationCreated,
    "conversation.updated": ConversationUpdated,
    "conversation.merged": ConversationMerged,
    "conversation.read": ConversationRead,
}


def created(workspace_id: UUID, conversation: ConversationView) -> Event:
    return _event(workspace_id, "conversation.created", ConversationCreated(conversation), conversation)


def updated(workspace_id: UUID, conversation: ConversationView) -> Event:
    return _event(workspace_id, "conversation.updated", ConversationUpdated(conversation), conversation)


def merged(workspace_id: UUID, conversation: ConversationView, other: UUID) -> Event:
    return _event(workspace_id, "conversation.merged", ConversationMerged(conversation, other), conversation)


def read(workspace_id: UUID, conversation_id: UUID, agent_id: UUID, number: int) -> Event:
    data = ConversationRead(conversation_id, agent_id, number)
    return Event.of(workspace_id, "conversation.read", data, conversation_id)


def holder_of(conversation: ConversationView) -> UUID | None:
    """The bot whose turn it is."""
    responder = conversation.responder
    return None if responder is None or responder.paused else responder.bot_id


def _event(workspace_id: UUID, kind: str, data: object, conversation: ConversationView) -> Event:
    return Event.of(workspace_id, kind, data, conversation.id, holder_id=holder_of(conversation))
