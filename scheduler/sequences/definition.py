"""What a sequence consists of, as it is written by clients, kept in versions and read by whoever runs it.

A version is never changed, so what is read here was valid when it was published.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from contacts.schemas import EventName, Tag
from inbox.kernel.hours import WEEKDAYS, minutes
from inbox.kernel.hours_input import TimeOfDay, Weekday
from inbox.messages.schemas import PartIn, ReactionIn, SendIn, TemplateIn
from scheduler.waiting import EVERY_DAY, Wait

MOST_STEPS: Final = 50
MOST_CONDITIONS: Final = 20
MOST_RETRIES: Final = 10
UNITS: Final = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
LONGEST: Final = timedelta(days=730)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Delay(_Part):
    """Days pass on the calendar: a day later is the same time of the next day, whatever the clocks do."""

    value: int = Field(ge=0, le=100_000)
    unit: Literal["seconds", "minutes", "hours", "days"]

    @model_validator(mode="after")
    def bounded(self) -> Delay:
        if self.span > LONGEST:
            raise PydanticCustomError("delay", "that is longer than two years")
        return self

    @property
    def span(self) -> timedelta:
        return timedelta(seconds=self.value * UNITS[self.unit])


class WaitIn(_Part):
    """From the step before (or the enrolment) on; then for the time of day, a weekday, and hours that are not quiet.

    Times are on the contact's own wall clock, or on that of the workspace where the contact's is not known.
    """

    delay: Delay | None = None
    time_of_day: TimeOfDay | None = None
    weekdays: list[Weekday] = Field(default_factory=list, max_length=7, description="None given: every day.")
    quiet_hours: bool = Field(default=True, description="Wait for the end of the workspace's quiet hours.")
    business_hours: bool = Field(default=False, description="Wait for the business hours of the workspace.")

    def wait(self) -> Wait:
        days = self.delay.value if self.delay is not None and self.delay.unit == "days" else 0
        seconds = 0 if self.delay is None or days else int(self.delay.span.total_seconds())
        return Wait(
            days,
            seconds,
            None if self.time_of_day is None else minutes(self.time_of_day),
            frozenset(WEEKDAYS.index(day) for day in self.weekdays) or EVERY_DAY,
        )


# --- conditions -------------------------------------------------------------------------------------------------------


class TagCondition(_Part):
    type: Literal["tag"]
    tag: Tag
    present: bool = True


FieldName: TypeAlias = Annotated[
    str,
    StringConstraints(
        pattern=r"^(name|first_name|last_name|email|phone|language|time_zone|custom\..{1,100})$", max_length=107
    ),
    Field(description="A field of the contact, or `custom.` and the name of one of yours."),
]


class FieldCondition(_Part):
    """A field that is missing or null is not equal to anything, contains nothing, and is neither above nor below."""

    type: Literal["field"]
    field: FieldName
    operator: Literal["is", "is_not", "contains", "above", "below", "known", "unknown"]
    value: str | int | float | bool | None = Field(default=None, description="For all but `known` and `unknown`.")

    @model_validator(mode="after")
    def comparable(self) -> FieldCondition:
        needs = self.operator not in ("known", "unknown")
        if needs != (self.value is not None):
            raise PydanticCustomError(
                "condition", "this operator takes {what}", {"what": "a value" if needs else "none"}
            )
        if self.operator in ("above", "below") and (
            isinstance(self.value, bool) or not isinstance(self.value, int | float)
        ):
            raise PydanticCustomError("condition", "this operator takes a number")
        if self.operator == "contains" and not isinstance(self.value, str):
            raise PydanticCustomError("condition", "this operator takes a text")
        return self


class StatusCondition(_Part):
    """Of the conversation that the step would go to; a conversation that is not there yet counts as open."""

    type: Literal["conversation_status"]
    any_of: list[Literal["open", "pending", "snoozed", "closed"]] = Field(min_length=1, max_length=4)


class RepliedCondition(_Part):
    """Whether the contact has written, in any conversation, since they were enrolled."""

    type: Literal["replied"]
    replied: bool = True


class WindowCondition(_Part):
    """Whether a free message may go out there now; where the channel has no window, it always may."""

    type: Literal["window"]
    open: bool = True


Condition: TypeAlias = Annotated[
    TagCondition | FieldCondition | StatusCondition | RepliedCondition | WindowCondition, Field(discriminator="type")
]


# --- steps ------------------------------------------------------------------------------------------------------------


class ChannelChoice(_Part):
    """One channel, or any of a kind."""

    channel_id: UUID | None = None
    kind: str | None = Field(default=None, min_length=1, max_length=32, examples=["whatsapp"])

    @model_validator(mode="after")
    def one(self) -> ChannelChoice:
        if (self.channel_id is None) == (self.kind is None):
            raise PydanticCustomError("channel", "give either channel_id or kind")
        return self


StepKey: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$"), Field(examples=["first-nudge"])
]


class StepIn(_Part):
    """``key`` names the step across versions: who got it under one version does not get it again under another."""

    key: StepKey
    wait: WaitIn = Field(default_factory=WaitIn)
    channels: list[ChannelChoice] = Field(
        default_factory=list,
        max_length=10,
        description="In this order, the first on which the contact can be reached now. None given: where the sequence "
        "talks with them already, or else where they wrote last.",
    )
    may_start: bool = Field(
        default=True,
        description="On a channel of the list with which the contact has no conversation yet, one may be started.",
    )
    parts: list[PartIn] = Field(min_length=1, max_length=10)
    fallback: TemplateIn | None = Field(
        default=None, description="Sent in place of `parts` where the window is closed."
    )
    conditions: list[Condition] = Field(default_factory=list, max_length=MOST_CONDITIONS, description="All of them.")
    unless_met: Literal["skip", "stop"] = "skip"

    @model_validator(mode="after")
    def sendable(self) -> StepIn:
        if any(isinstance(part, ReactionIn) for part in self.parts):
            raise PydanticCustomError("step", "a step cannot be a reaction to one message")
        return self


class StopIn(_Part):
    """What ends it for a contact, besides its last step."""

    reply: bool = Field(default=True, description="They write, in any conversation.")
    opt_out: bool = Field(default=True, description="They stop marketing messages, on any channel.")
    block: Literal["pause", "stop"] = Field(
        default="pause", description="Nothing goes out to a blocked contact; what is paused can be resumed afterwards."
    )
    closed: bool = Field(default=False, description="The conversation in which it talks with them is closed.")
    assigned: bool = Field(default=False, description="That conversation is given to somebody else.")
    agent_reply: bool = Field(default=False, description="A person writes to them from the inbox.")
    native_app: bool = Field(default=False, description="Somebody writes to them from the provider's own app.")
    tags: list[Tag] = Field(default_factory=list, max_length=20, description="They have one of these.")
    events: list[EventName] = Field(default_factory=list, max_length=20, description="One of these happens to them.")


class FailureIn(_Part):
    """When a step cannot be sent on any of its channels, or its message fails."""

    policy: Literal["retry", "skip", "stop"] = "stop"
    retries: int = Field(default=2, ge=1, le=MOST_RETRIES, description="For `retry`; after the last one it stops.")
    after: Delay = Delay(value=1, unit="hours")


class LateIn(_Part):
    """When a step comes up later than ``after`` behind its time, as after a downtime."""

    policy: Literal["send", "skip", "hold"] = "send"
    after: Delay = Delay(value=1, unit="hours")


class Definition(_Part):
    steps: list[StepIn] = Field(default_factory=list, max_length=MOST_STEPS)
    stop: StopIn = Field(default_factory=StopIn)
    failure: FailureIn = Field(default_factory=FailureIn)
    late: LateIn = Field(default_factory=LateIn)
    several: bool = Field(default=False, description="One contact may be in it several times at once.")
    purpose: Literal["reply", "marketing"] = Field(
        default="reply",
        description="`marketing` goes to nobody who has stopped marketing messages, and behind replies.",
    )

    @model_validator(mode="after")
    def named(self) -> Definition:
        keys = [step.key for step in self.steps]
        if len(keys) != len(set(keys)):
            raise PydanticCustomError("steps", "every step has a key of its own")
        return self

    def order(self, step: StepIn, *, fallback: bool) -> SendIn:
        parts = [step.fallback] if fallback and step.fallback is not None else step.parts
        return SendIn(parts=list(parts), purpose=self.purpose)

    def stored(self) -> dict[str, Any]:
        dumped: dict[str, Any] = self.model_dump(mode="json")
        return dumped


def templates_only(step: StepIn) -> bool:
    return all(isinstance(part, TemplateIn) for part in step.parts)
