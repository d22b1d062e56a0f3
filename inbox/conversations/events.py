"""What the log says about conversations. Each event carries the whole conversation."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from inbox.conversations.schemas import ConversationView
from inbox.kernel.encoding import encode
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
    payload = encode(ConversationCreated(conversation))
    return Event(workspace_id, "conversation.created", payload, conversation.id)


def updated(workspace_id: UUID, conversation: ConversationView) -> Event:
    payload = encode(ConversationUpdated(conversation))
    return Event(workspace_id, "conversation.updated", payload, conversation.id)


def merged(workspace_id: UUID, conversation: ConversationView, other: UUID) -> Event:
    payload = encode(ConversationMerged(conversation, other))
    return Event(workspace_id, "conversation.merged", payload, conversation.id)


def read(workspace_id: UUID, conversation_id: UUID, agent_id: UUID, number: int) -> Event:
    payload = encode(ConversationRead(conversation_id, agent_id, number))
    return Event(workspace_id, "conversation.read", payload, conversation_id)
