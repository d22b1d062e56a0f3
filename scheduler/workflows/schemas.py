"""How bots and their runs look to clients, in answers and in events alike, and what clients and bots send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from inbox.agents.schemas import Name
from inbox.kernel.pages import ListQuery
from inbox.messages.schemas import AuthorView, PartIn
from inbox.subscriptions.schemas import Kinds, Reason, State, Url

Mode: TypeAlias = Literal["first_responder", "on_hand_off", "on_request"]
RunState: TypeAlias = Literal["active", "paused", "handed_off", "ended"]
RunReason: TypeAlias = Literal[
    "requested",
    "first_contact",
    "handed_back",
    "resumed",
    "by_hand",
    "by_bot",
    "timed_out",
    "human_reply",
    "native_app",
    "assigned",
    "closed",
    "reopened",
    "blocked",
    "changed",
    "bot_disabled",
    "merged",
]
Note: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]

DEFAULT_KINDS: Final = ("message.created", "workflow.*")
DEFAULT_ANSWER_WITHIN: Final = 60


# --- bots -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BotView:
    """A program that answers. Its ``id`` is that of an agent; ``subscription_id`` leads to its delivery log.

    ``delivery`` and ``delivery_reason``: whether events reach it, as its subscription says. While they do not, a
    first responder takes no conversations.
    """

    id: UUID
    name: str
    enabled: bool
    mode: Mode
    channels: Sequence[UUID] | None
    answer_within: int
    kinds: Sequence[str] | None
    url: str | None = field(repr=False)
    origin: str
    subscription_id: UUID
    delivery: State
    delivery_reason: Reason | None
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class BotCreated:
    """``secret`` verifies what is sent to the bot, ``token`` is what it calls the API with. Both are shown this one
    time."""

    bot: BotView
    secret: str = field(repr=False)
    token: str = field(repr=False)


Channels: TypeAlias = Annotated[
    list[UUID], Field(min_length=1, max_length=500, description="Null: all channels of the workspace.")
]
AnswerWithin: TypeAlias = Annotated[
    int,
    Field(ge=5, le=86_400, description="Seconds from a message of the customer until it is handed to people instead."),
]


class BotIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    url: Url = Field(description="https://…; http only where the installation allows private networks.")
    mode: Mode = Field(
        default="on_request",
        description="`first_responder`: takes new and reopened conversations by itself. `on_hand_off`: other bots may "
        "hand conversations to it, too. Every bot may be given conversations by people.",
    )
    channels: Channels | None = None
    answer_within: AnswerWithin = DEFAULT_ANSWER_WITHIN
    kinds: Kinds | None = Field(
        default=list(DEFAULT_KINDS),
        description="Kinds of events that it gets, of conversations that it holds. Null: all.",
    )


class BotPatch(BaseModel):
    """What is left out or null stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    url: Url | None = None
    mode: Mode | None = None
    channels: Channels | None = None
    all_channels: Literal[True] | None = None
    answer_within: AnswerWithin | None = None
    kinds: Kinds | None = None
    enabled: bool | None = Field(
        default=None, description="Disabled, it holds nothing and its tokens do not work; enabled, it begins anew."
    )

    @model_validator(mode="after")
    def _one_choice(self) -> BotPatch:
        if self.channels is not None and self.all_channels:
            raise ValueError("give channels or all_channels")
        return self


# --- runs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunView:
    """One hold of one bot on a conversation.

    ``state``: *active* while the bot answers, under ``epoch``; *paused* until somebody resumes or ends it; *handed_off*
    to people; *ended*. ``reason`` says how the state came about, ``by`` through whom (null: by itself), ``note`` what
    was said with it.
    """

    id: UUID
    conversation_id: UUID
    bot_id: UUID
    state: RunState
    reason: RunReason | None
    note: str | None
    by: AuthorView | None
    epoch: int
    version: int
    created_at: datetime
    updated_at: datetime


class RunQuery(ListQuery):
    pass


class StartIn(BaseModel):
    """Give the conversation to a bot. ``note`` is for the bot."""

    model_config = ConfigDict(extra="forbid")

    bot_id: UUID
    note: Note | None = None


class NoteIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    note: Note | None = Field(default=None, description="For whoever goes on.")


class HandOffIn(NoteIn):
    bot_id: UUID | None = Field(default=None, description="Another bot, of the mode `on_hand_off`. Null: people.")


# --- what a bot answers to its webhook --------------------------------------------------------------------------------


class AnswerMessage(BaseModel):
    model_config = ConfigDict(extra="forbid")

    parts: list[PartIn] = Field(min_length=1, max_length=10)
    reply_to_id: UUID | None = None


class EndIn(NoteIn):
    close: bool = Field(default=False, description="Also close the conversation.")


class BotAnswer(BaseModel):
    """The body with which a bot may answer an event: messages in order, then a hand-off or the end of its run."""

    model_config = ConfigDict(extra="forbid")

    messages: list[AnswerMessage] = Field(default_factory=list, max_length=10)
    hand_off: HandOffIn | None = None
    end: EndIn | None = None

    @model_validator(mode="after")
    def _one_way(self) -> BotAnswer:
        if self.hand_off is not None and self.end is not None:
            raise ValueError("give hand_off or end")
        return self

    @property
    def empty(self) -> bool:
        return not self.messages and self.hand_off is None and self.end is None
