"""What is stuck, as operators see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Settlement = Literal["retried", "discarded", "not_stuck", "waits_already"]


@dataclass(frozen=True, slots=True)
class StuckTimerView:
    """Something whose time came and which failed each time it was tried. ``due_at`` is when it should have been."""

    type: Literal["timer"]
    kind: str
    key: str
    due_at: datetime
    attempts: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class StuckJobView:
    """Work in the background that was given up, after its last attempt or because it cannot succeed."""

    type: Literal["job"]
    id: UUID
    queue: str
    key: str | None
    created_at: datetime
    attempts: int
    last_error: str | None


StuckView: TypeAlias = StuckTimerView | StuckJobView


@dataclass(frozen=True, slots=True)
class StuckOut:
    """``items``: the oldest of each type. ``timers``, ``jobs``: how many there are in all."""

    items: list[StuckView]
    timers: int
    jobs: int


class TimerRef(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["timer"]
    kind: str = Field(min_length=1, max_length=200)
    key: str = Field(min_length=1, max_length=500)


class JobRef(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["job"]
    id: UUID


StuckRef: TypeAlias = Annotated[TimerRef | JobRef, Field(discriminator="type")]


class StuckIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    items: list[StuckRef] = Field(min_length=1, max_length=1000)


@dataclass(frozen=True, slots=True)
class SettledStuck:
    """``not_stuck``: it was settled before, or never was. ``waits_already``: a newer job of its key stands in the queue
    and does the same; discard this one.

    ``kind`` and ``key`` name a timer, ``id`` a job.
    """

    type: Literal["timer", "job"]
    kind: str | None
    key: str | None
    id: UUID | None
    outcome: Settlement


@dataclass(frozen=True, slots=True)
class SettledStuckOut:
    items: list[SettledStuck]
