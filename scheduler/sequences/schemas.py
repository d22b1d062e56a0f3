"""How sequences and enrollments look to clients, in answers and in events alike, and what a client asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from inbox.kernel.pages import ListQuery
from scheduler.sequences.deciding import State
from scheduler.sequences.definition import Definition
from scheduler.sequences.progress import StepState

MOST_AT_ONCE: Final = 1000

SequenceState = Literal["draft", "active", "archived"]
SequenceName: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
StoredDefinition = Annotated[
    Any, WithJsonSchema({"type": "object", "description": "As it was given: a `Definition` with its defaults."})
]


# --- what is shown ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SequenceView:
    """``draft`` is what is being written; contacts get what was published, version ``published``. ``changed``: the
    draft says something else. Nobody is enrolled in an archived one, and who was is stopped at their next step."""

    id: UUID
    name: str
    state: SequenceState
    draft: StoredDefinition
    published: int | None
    changed: bool
    created_by: UUID
    version: int
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class VersionView:
    number: int
    definition: StoredDefinition
    published_by: UUID
    published_by_name: str
    published_at: datetime


@dataclass(frozen=True, slots=True)
class StepCount:
    """``waiting``: contacts whose next step it is. The others count what came of it, every try on its own."""

    key: str
    waiting: int
    queued: int
    sent: int
    uncertain: int
    failed: int
    cancelled: int
    skipped: int


@dataclass(frozen=True, slots=True)
class SequenceCounts:
    """``enrollments`` by state. ``steps``: of the newest version in their order, then those of earlier ones."""

    enrollments: dict[str, int]
    steps: list[StepCount]


@dataclass(frozen=True, slots=True)
class StepView:
    """What came of one try of a step. ``state`` `sent`: the message says how far it got."""

    number: int
    step_key: str
    attempt: int
    state: StepState
    reason: str | None
    message_id: UUID | None
    conversation_id: UUID | None
    channel_id: UUID | None
    fell_back: bool
    lateness_ms: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class NextView:
    """What comes next. ``due_at`` null: its message is on its way, or everything is paused."""

    step_key: str
    position: int
    attempt: int
    due_at: datetime | None
    message_id: UUID | None


@dataclass(frozen=True, slots=True)
class ByView:
    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class EnrollmentView:
    """Where a contact stands. ``reason`` says why it is paused or was stopped. ``next`` is null once it has ended.

    ``sequence_version`` is the one it runs on; ``follows``: it moves to the newest one by itself, with its next step.
    """

    id: UUID
    sequence_id: UUID
    sequence_name: str
    sequence_version: int
    follows: bool
    contact_id: UUID
    conversation_id: UUID | None
    state: State
    reason: str | None
    state_at: datetime
    next: NextView | None
    steps: list[StepView]
    replied_at: datetime | None
    enrolled_by: ByView
    enrolled_at: datetime
    ended_at: datetime | None
    version: int


Outcome: TypeAlias = Literal[
    "enrolled", "already_enrolled", "contact_unknown", "contact_blocked", "opted_out", "tagged", "conversation_closed"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class VerdictView:
    """What became of one of those who were to be enrolled. ``enrollment_id``: the new or the running one."""

    contact_id: UUID
    outcome: Outcome
    enrollment_id: UUID | None


@dataclass(frozen=True, slots=True)
class EnrolView:
    """One verdict for each contact that was given, in order."""

    items: list[VerdictView]


# --- what is asked for ------------------------------------------------------------------------------------------------


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SequenceIn(_Asked):
    """A draft: nobody gets it before it is published."""

    name: SequenceName
    draft: Definition = Field(default_factory=Definition)


class SequencePatch(_Asked):
    """What is left out stays as it is."""

    name: SequenceName | None = None
    draft: Definition | None = None


class EnrolIn(_Asked):
    """``conversation_id``: in which it is to begin, for one contact only."""

    contact_ids: list[UUID] = Field(min_length=1, max_length=MOST_AT_ONCE)
    conversation_id: UUID | None = None
    follows: bool = Field(default=False, description="Move to each newer version, once it is published, by itself.")


class ResumeIn(_Asked):
    now: bool = Field(
        default=False, description="The next step at once; otherwise a step whose time has passed waits anew."
    )


class MoveIn(_Asked):
    """``follows`` left out: as it was."""

    follows: bool | None = None


class EnrollmentQuery(ListQuery):
    """In the order of enrolment."""

    state: list[State] = Field(default_factory=list, description="Any of these; none given: all.")
