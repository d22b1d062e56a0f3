"""How scheduled messages look to clients, in answers and in events alike, and what a client asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from inbox.audit.schemas import AuditView
from inbox.kernel.hours_input import TimeZone
from inbox.kernel.instants import Instant
from inbox.kernel.pages import decode_cursor
from inbox.messages.schemas import PartIn, SendIn, StoredPart, TemplateIn
from scheduler.recurrence import InvalidRecurrence, Recurrence
from scheduler.scheduled.deciding import Policy, State
from scheduler.scheduled.plans import AgainAndAgain, AtInstant, AtWallTime, Plan

LATE_AFTER: Final = 900
"""Seconds. What is older than that when its turn comes has met a downtime, and its policy decides."""
LONGEST_LATE: Final = 30 * 86_400


# --- what is shown ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ByView:
    """The person who wrote it, and in whose name it goes out."""

    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class ContentView:
    """As it was given, to be edited."""

    parts: list[StoredPart]
    reply_to_id: UUID | None
    purpose: Literal["reply", "human_agent", "marketing"]


@dataclass(frozen=True, slots=True)
class CatchUpView:
    policy: Policy
    late_after: int


@dataclass(frozen=True, slots=True)
class ScheduledView:
    """``when`` is what was asked for; ``due_at`` the instant that follows from it, ``local`` and ``zone`` what the wall
    clock shows then. Hours and people may have moved ``due_at``; ``reason`` says so then, and why it is held, skipped
    or failed otherwise. ``uncertain``: it was sent, and nobody knows whether it arrived. ``preview``: its first words.

    A recurring one is `scheduled` until its last occurrence; ``occurrences`` counts those that came; ``message_id``,
    ``handed_at`` and ``lateness_ms`` (from due to handed over for sending) are of the last of them.
    """

    id: UUID
    conversation_id: UUID
    contact_id: UUID
    channel_id: UUID
    author: ByView
    state: State
    reason: str | None
    state_at: datetime
    uncertain: bool
    preview: str
    content: ContentView
    fallback: StoredPart | None
    when: Plan
    due_at: datetime
    local: str | None
    zone: str | None
    hold_on_reply: bool
    quiet_hours: bool
    business_hours: bool
    when_closed: Policy
    catch_up: CatchUpView
    occurrences: int
    message_id: UUID | None
    fell_back: bool
    handed_at: datetime | None
    lateness_ms: int | None
    client_token: str | None
    version: int
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class OccurrenceView:
    """One time that a recurring message came due. ``local`` is null for one that somebody sent in between by hand."""

    number: int
    local: str | None
    due_at: datetime
    state: State
    reason: str | None
    uncertain: bool
    message_id: UUID | None
    fell_back: bool
    handed_at: datetime | None
    lateness_ms: int | None


@dataclass(frozen=True, slots=True)
class ScheduledDetail:
    """``parts``: as the thread would show them if it were sent now; null, with the ``problem``, if it could not be."""

    epoch: UUID
    position: int
    scheduled_message: ScheduledView
    parts: list[StoredPart] | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class ScheduledPage:
    """A snapshot: ``position`` in the log of ``epoch`` up to which it is complete."""

    epoch: UUID
    position: int
    items: list[ScheduledView]
    next: str | None


@dataclass(frozen=True, slots=True)
class HistoryView:
    """``entries``: who did what to it, newest first. ``occurrences``: of a recurring one, the last ones first."""

    entries: list[AuditView]
    occurrences: list[OccurrenceView]


# --- what is asked for ------------------------------------------------------------------------------------------------


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


_WALL: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}")


def _wall(text: str) -> str:
    try:
        if not _WALL.fullmatch(text):
            raise ValueError
        at = datetime.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("local", "it is a date and time without zone, as in 2026-12-24T09:00") from None
    if not 2000 <= at.year <= 2200:
        raise PydanticCustomError("local", "that is not a time that anybody lives to see")
    return text


class AtIn(_Asked):
    """At an instant."""

    type: Literal["at"]
    at: Instant

    def plan(self) -> Plan:
        return AtInstant(self.at)


class LocalIn(_Asked):
    """At a wall time. A time that the clock skips is the moment at which it jumps; one shown twice, the first."""

    type: Literal["local"]
    local: Annotated[str, Field(max_length=16, examples=["2026-12-24T09:00"]), AfterValidator(_wall)]
    zone: TimeZone | None = Field(default=None, description="Null: the contact's own, whatever it is by then.")

    def plan(self) -> Plan:
        return AtWallTime(self.local, self.zone)


def _cron(rule: str) -> str:
    try:
        Recurrence(rule, "UTC")
    except InvalidRecurrence as error:
        raise PydanticCustomError("recurrence", "{why}", {"why": str(error)}) from None
    return rule


class RecurringIn(_Asked):
    """Again and again, on a wall clock. ``until`` and ``count``: whichever comes first ends it."""

    type: Literal["recurring"]
    cron: Annotated[str, Field(min_length=9, max_length=200, examples=["0 9 * * mon"]), AfterValidator(_cron)] = Field(
        description="Minute, hour, day of month, month, day of week. `last` is the last day of a month."
    )
    zone: TimeZone | None = Field(default=None, description="Null: the contact's own, whatever it is by then.")
    start: Instant | None = None
    until: Instant | None = None
    count: int | None = Field(default=None, ge=1, le=10_000)

    def plan(self) -> Plan:
        return AgainAndAgain(self.cron, self.zone, self.start, self.until, self.count)


WhenIn: TypeAlias = Annotated[AtIn | LocalIn | RecurringIn, Field(discriminator="type")]


class CatchUpIn(_Asked):
    """What to do when its turn comes later than ``late_after`` seconds after its time, as after a downtime."""

    policy: Policy = "send"
    late_after: int = Field(default=LATE_AFTER, ge=1, le=LONGEST_LATE)


Parts: TypeAlias = Annotated[list[PartIn], Field(min_length=1, max_length=10)]
Purpose: TypeAlias = Literal["reply", "human_agent", "marketing"]


class ScheduleIn(_Asked):
    """A message for later. Everything that can be sent can be scheduled."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "parts": [{"type": "text", "text": "How did it go?"}],
                    "when": {"type": "local", "local": "2026-12-24T09:00"},
                    "hold_on_reply": True,
                }
            ]
        },
    )

    parts: Parts
    reply_to_id: UUID | None = None
    purpose: Purpose = "reply"
    when: WhenIn
    fallback: TemplateIn | None = Field(
        default=None, description="Sent in its place when the messaging window is closed by then."
    )
    hold_on_reply: bool = Field(default=False, description="Hold it for a person when the customer writes first.")
    quiet_hours: bool = Field(default=False, description="Wait for the end of the workspace's quiet hours.")
    business_hours: bool = Field(default=False, description="Wait for the business hours of the workspace.")
    when_closed: Policy = Field(default="send", description="When the conversation is closed by then.")
    catch_up: CatchUpIn = Field(default_factory=CatchUpIn)
    client_token: str | None = Field(
        default=None, min_length=1, max_length=128, description="Same as the header Idempotency-Key."
    )

    def content(self) -> SendIn:
        return SendIn(parts=self.parts, reply_to_id=self.reply_to_id, purpose=self.purpose)


class SchedulePatch(_Asked):
    """What is left out stays as it is; null empties `reply_to_id` and `fallback`."""

    parts: Parts | None = None
    reply_to_id: UUID | None = None
    purpose: Purpose | None = None
    when: WhenIn | None = None
    fallback: TemplateIn | None = None
    hold_on_reply: bool | None = None
    quiet_hours: bool | None = None
    business_hours: bool | None = None
    when_closed: Policy | None = None
    catch_up: CatchUpIn | None = None


class ResumeIn(_Asked):
    """``when`` left out: at its own time, or at once where that has passed; a recurring one at its next time.

    What a block held up, and what is overdue by then, goes out a minute later at the earliest, one at a time.
    """

    when: WhenIn | None = None


class ByTimeQuery(_Asked):
    """In the order of their times, the earliest first."""

    state: list[State] = Field(default_factory=list, description="Any of these; none given: all.")
    after: str | None = Field(default=None, max_length=400, description="The `next` of the page before.")
    limit: int = Field(default=50, ge=1, le=200)

    def last(self) -> tuple[datetime, UUID] | None:
        """The last item of the page before. Raises ``Invalid``."""
        return None if self.after is None else decode_cursor(self.after, tuple[datetime, UUID])

    def whole(self) -> ScheduledQuery:
        """The same question with none of the further conditions."""
        return ScheduledQuery(state=self.state, after=self.after, limit=self.limit)


class ScheduledQuery(ByTimeQuery):
    """Of a whole workspace."""

    contact_id: UUID | None = None
    channel_id: UUID | None = None
    author_id: UUID | None = None
    due_from: Instant | None = None
    due_before: Instant | None = None


def stored_content(order: SendIn) -> dict[str, Any]:
    dumped: dict[str, Any] = order.model_dump(mode="json", include={"parts", "reply_to_id", "purpose"})
    return dumped


def content_of(stored: dict[str, Any]) -> SendIn:
    """What ``stored_content`` made; also of an earlier version of the product."""
    return SendIn.model_validate(stored)
