"""How conversations look to clients: in answers and in events alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contacts.schemas import ContactView
from inbox.conversations.composer import ComposerView

Status = Literal["open", "pending", "snoozed", "closed"]


@dataclass(frozen=True, slots=True)
class ResponderView:
    """The bot that answers here under the present ``responder_epoch``. ``paused``: it does not, until it is resumed."""

    kind: Literal["bot"]
    bot_id: UUID
    run_id: UUID
    paused: bool


@dataclass(frozen=True, slots=True)
class ConversationView:
    """``last_number`` is the number of the newest message; messages of a thread are numbered from 1.

    ``responder_epoch`` grows whenever somebody takes over: a bot that answers with an older one is refused.
    ``responder``: the bot that holds it, which is then `pending`; null while people answer.
    ``automated``: something is scheduled or running here.
    ``window_expires_at``: until when free messages may go out; null where the channel has no window or it never opened.
    """

    id: UUID
    channel_id: UUID
    contact_id: UUID
    status: Status
    assignee_id: UUID | None
    priority: int
    last_number: int
    inbound_count: int
    last_message_at: datetime | None
    last_message_preview: str | None
    last_message_direction: Literal["in", "out"] | None
    window_expires_at: datetime | None
    responder: ResponderView | None
    responder_epoch: int
    automated: bool
    version: int
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """A snapshot: ``position`` in the log of ``epoch`` up to which it is complete. ``contacts`` of the items, once."""

    epoch: UUID
    position: int
    items: list[ConversationView]
    contacts: list[ContactView]
    unread: dict[str, int]
    """Inbound messages that the caller has not read, by conversation id."""
    next: str | None


@dataclass(frozen=True, slots=True)
class ConversationDetail:
    epoch: UUID
    position: int
    conversation: ConversationView
    contact: ContactView
    composer: ComposerView
    unread: int


class ConversationQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: list[Status] = Field(default_factory=list, description="Any of these; none given: all.")
    channel_id: UUID | None = None
    contact_id: UUID | None = None
    assignee_id: UUID | None = None
    after: str | None = Field(default=None, max_length=400, description="The `next` of the page before.")
    limit: int = Field(default=50, ge=1, le=200)


class ConversationPatch(BaseModel):
    """What is left out stays as it is. ``assignee_id: null`` unassigns."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["open", "pending", "closed"] | None = None
    assignee_id: UUID | None = None
    priority: int | None = Field(default=None, ge=0, le=4)


class ReadIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: int = Field(ge=0, description="Number of the last message that was read; lower than before: mark unread.")
    receipt: bool = Field(default=True, description="Also tell the provider, where the channel can.")


@dataclass(frozen=True, slots=True)
class ReadOut:
    number: int
    unread: int
