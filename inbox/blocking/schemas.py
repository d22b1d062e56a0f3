"""Blocking as clients see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contacts.schemas import ContactView, ProviderBlockView
from inbox.blocking.pausable import PausedItem, PausedKind, Settled
from inbox.kernel.instants import Instant
from inbox.kernel.pages import ListQuery
from inbox.messages.schemas import MessageStatus


class BlockIn(BaseModel):
    """Repeated for a contact who is blocked, it changes the reason and the end."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(default=None, min_length=1, max_length=500)
    until: Instant | None = Field(default=None, description="When it ends by itself; null: when it is lifted.")
    at_provider: bool = Field(
        default=False, description="Also have the provider keep them from writing, where a channel `blocks_people`."
    )


@dataclass(frozen=True, slots=True)
class InTheAirView:
    """A request that was at the provider already when the block began.

    ``outcome`` is how it ended: of a send, a message status (`sending`: it still had not, after three seconds;
    `cancelled`: the provider had not taken it, and it is not tried again); of an edit or a deletion, `done`, `refused`,
    `not_sent`, `unknown` or `sending`.
    """

    message_id: UUID
    conversation_id: UUID
    request: Literal["send", "edit", "delete"]
    outcome: MessageStatus | Literal["done", "refused", "not_sent", "unknown"]


@dataclass(frozen=True, slots=True)
class BlockOut:
    """``in_the_air`` is all that may still have reached them: nothing else leaves after this answer."""

    contact: ContactView
    in_the_air: list[InTheAirView]
    at_provider: list[ProviderBlockView]


@dataclass(frozen=True, slots=True)
class UnblockOut:
    """``paused`` is what the block held up: it stays so until somebody resumes or cancels it."""

    contact: ContactView
    paused: list[PausedItem]
    at_provider: list[ProviderBlockView]


@dataclass(frozen=True, slots=True)
class PausedOut:
    """``at_provider``: what providers were asked about this contact, and how they took it."""

    contact: ContactView
    items: list[PausedItem]
    at_provider: list[ProviderBlockView]


class PausedRef(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: PausedKind
    id: UUID


class SettleIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    items: list[PausedRef] | None = Field(
        default=None, min_length=1, max_length=1000, description="Left out: all that the block paused."
    )


@dataclass(frozen=True, slots=True)
class SettledOut:
    items: list[Settled]


class SetAsideQuery(ListQuery):
    """Newest first."""
