"""How subscriptions and their delivery log look to clients: in answers and in events alike.

``url`` is null in events and for callers without subscriptions.write, because the address of a webhook is often a
credential; ``origin`` says where it leads. A secret is shown once, when it is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, Literal, Self, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from inbox.agents.schemas import Name
from inbox.kernel.pages import ListQuery

State = Literal["enabled", "disabled"]
Reason = Literal["paused", "gone", "failing", "owner_disabled"]
Purpose = Literal["event", "replay", "ping"]
Outcome = Literal["delivered", "failed", "abandoned"]

MOST_KINDS: Final = 100
DEFAULT_OVERLAP_HOURS: Final = 24

Url: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Kind: TypeAlias = Annotated[str, StringConstraints(max_length=100, pattern=r"^[a-z_]+\.([a-z_]+|\*)$")]
Kinds: TypeAlias = Annotated[
    list[Kind],
    Field(
        min_length=1,
        max_length=MOST_KINDS,
        description="Kinds of events, such as `message.created`, or `message.*`. Null: all of them.",
    ),
]
Position: TypeAlias = Annotated[int, Field(ge=1, le=2**63 - 1)]


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """``position``: everything up to here is delivered or waits behind a failure. ``reason`` says why it is disabled:
    ``paused`` by a person, ``gone`` (the receiver answered 410), ``failing`` for days, ``owner_disabled``."""

    id: UUID
    agent_id: UUID
    name: str
    url: str | None = field(repr=False)
    origin: str
    kinds: Sequence[str] | None
    state: State
    reason: Reason | None
    failures: int
    failing_since: datetime | None
    epoch: UUID
    position: int
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class SubscriptionCreated:
    """``secret`` verifies what is sent, and is shown this one time."""

    subscription: SubscriptionView
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SecretRotated:
    """Until ``previous_until`` every message carries a signature for the previous secret too."""

    secret: str = field(repr=False)
    previous_until: datetime


class SubscriptionIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    url: Url = Field(description="https://…; http only where the installation allows private networks.")
    kinds: Kinds | None = None
    agent_id: UUID | None = Field(
        default=None, description="It receives what this agent or bot may see. Left out: the caller."
    )


class SubscriptionPatch(BaseModel):
    """What is left out or null stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    url: Url | None = None
    kinds: Kinds | None = None
    all_kinds: Literal[True] | None = Field(default=None, description="Drop the filter.")
    state: Literal["disabled"] | None = Field(default=None, description="To enable it again there is `/enable`.")

    @model_validator(mode="after")
    def _one_filter(self) -> Self:
        if self.kinds is not None and self.all_kinds:
            raise ValueError("give kinds or all_kinds")
        return self


class RotateIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    overlap_hours: int = Field(
        default=DEFAULT_OVERLAP_HOURS, ge=0, le=24 * 7, description="0: the previous secret is void at once."
    )


class EnableIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    skip: bool = Field(default=False, description="Begin now. Otherwise everything that waited is delivered first.")


class ReplayIn(BaseModel):
    """One event (`position`) or a range (`from`, `to`), sent again in order under the ids they had."""

    model_config = ConfigDict(extra="forbid", validate_by_name=True)

    position: Position | None = None
    first: Position | None = Field(default=None, alias="from")
    last: Position | None = Field(default=None, alias="to")

    @model_validator(mode="after")
    def _one_or_range(self) -> Self:
        one = self.position is not None and self.first is None and self.last is None
        several = self.position is None and self.first is not None and self.last is not None
        if not (one or (several and (self.first or 0) <= (self.last or 0))):
            raise ValueError("give position, or from and to in that order")
        return self

    @property
    def bounds(self) -> tuple[int, int]:
        first, last = self.first or self.position, self.last or self.position
        assert first is not None
        assert last is not None
        return first, last


@dataclass(frozen=True, slots=True)
class ReplayView:
    id: UUID
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One request. ``answer`` is how the answer began; ``next_at`` when it is tried again."""

    id: UUID
    attempted_at: datetime
    purpose: Purpose
    message_id: str
    position: int | None
    kind: str
    conversation_id: UUID | None
    attempt: int
    outcome: Outcome
    status: int | None
    error: str | None
    milliseconds: int
    bytes: int
    answer: str
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class RequestView:
    """The request as it was sent. ``body`` is null when the event is not kept any more, or was a ping."""

    method: str
    origin: str
    headers: Mapping[str, str]
    body: str | None


@dataclass(frozen=True, slots=True)
class AttemptDetail:
    attempt: AttemptView
    request: RequestView


class AttemptQuery(ListQuery):
    outcome: Outcome | None = None
