"""What becomes of an enrollment when the time of its next step has come. Pure.

``decide`` asks its conditions in order, on facts that are read under locks in the transaction of the timer. What it
lets go is asked again by the last gate when it leaves (``delivery.gate``), with the conditions that are stored there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias
from uuid import UUID

from scheduler.sequences.definition import (
    ChannelChoice,
    Condition,
    FieldCondition,
    RepliedCondition,
    StatusCondition,
    StepIn,
    StopIn,
    TagCondition,
    WindowCondition,
    templates_only,
)

State = Literal["active", "paused", "finished", "stopped", "left"]
LatePolicy = Literal["send", "skip", "hold"]

LOOK_AGAIN: Final = timedelta(seconds=60)
"""When to look again at an earlier try that somebody is sending by hand."""
RETRIED: Final = ("queued", "sending")
ARRIVED: Final = ("uncertain", "sent", "delivered", "read", "played")


@dataclass(frozen=True, slots=True)
class Option:
    """One way to the contact. ``conversation_id`` null: it would be started. ``free`` and ``template``: why a message,
    or a template, would be refused there now; null where it would not."""

    channel_id: UUID
    kind: str
    identity_id: UUID
    conversation_id: UUID | None
    status: str
    free: str | None
    template: str | None


@dataclass(frozen=True, slots=True)
class Way:
    """``fallback``: by the template in place of the content."""

    option: Option
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """What conditions ask about the contact. ``fields`` holds those of its own under `custom.…`."""

    tags: Collection[str] = ()
    fields: Mapping[str, object] = field(default_factory=dict)
    replied: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """``now`` is the database's. ``meant``: the timer is the row's own. ``step`` null: there is none left.

    ``ends``: when the wait is over by the zone that counts now, null where the time was set by hand or leaves no room.
    ``allowed``: ``now``, or the next instant at which the step may go by its hours. ``earlier``: the status of the last
    try of this step, if there was one. ``options``: in the order in which they are to be tried.
    """

    now: datetime
    state: State
    meant: bool
    archived: bool
    due_at: datetime
    ends: datetime | None
    allowed: datetime | None
    late: LatePolicy
    late_after: timedelta
    stop: StopIn
    step: StepIn | None
    blocked: bool
    opted_out: bool
    closed: bool
    person: Person
    earlier: str | None
    options: Sequence[Option]


@dataclass(frozen=True, slots=True)
class Ignore:
    """Whoever changed the enrollment since does not want this timer."""


@dataclass(frozen=True, slots=True)
class Later:
    until: datetime


@dataclass(frozen=True, slots=True)
class Send:
    """On the first of these that takes the content."""

    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Skip:
    """``reason`` null: the step has reached them already."""

    reason: str | None


@dataclass(frozen=True, slots=True)
class Fail:
    """It can be sent nowhere: the policy for failures decides."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    state: Literal["finished", "stopped"]
    reason: str | None = None


Verdict: TypeAlias = Ignore | Later | Send | Skip | Fail | Pause | End


def decide(facts: Facts) -> Verdict:
    """The first condition with an opinion decides."""
    for condition in CONDITIONS:
        verdict = condition(facts)
        if verdict is not None:
            return verdict
    return choose(facts)


def unwanted(facts: Facts) -> Verdict | None:
    return None if facts.meant and facts.state == "active" else Ignore()


def blocked(facts: Facts) -> Verdict | None:
    if not facts.blocked:
        return None
    return Pause("blocked") if facts.stop.block == "pause" else End("stopped", "block")


def archived(facts: Facts) -> Verdict | None:
    return End("stopped", "archived") if facts.archived else None


def over(facts: Facts) -> Verdict | None:
    return End("finished") if facts.step is None else None


def tagged(facts: Facts) -> Verdict | None:
    return End("stopped", "tag") if set(facts.stop.tags) & set(facts.person.tags) else None


def opted_out(facts: Facts) -> Verdict | None:
    return End("stopped", "opt_out") if facts.stop.opt_out and facts.opted_out else None


def closed(facts: Facts) -> Verdict | None:
    return End("stopped", "closed") if facts.stop.closed and facts.closed else None


def not_due(facts: Facts) -> Verdict | None:
    """By the zone that counts now it may be later than it was by the one that counted when the wait began."""
    return Later(facts.ends) if facts.ends is not None and facts.ends > facts.now else None


def already_there(facts: Facts) -> Verdict | None:
    """Somebody has sent the failed try again by hand."""
    if facts.earlier in RETRIED:
        return Later(facts.now + LOOK_AGAIN)
    return Skip(None) if facts.earlier in ARRIVED else None


def late(facts: Facts) -> Verdict | None:
    promised = facts.due_at if facts.ends is None else max(facts.due_at, facts.ends)
    if facts.now - promised <= facts.late_after:
        return None
    match facts.late:
        case "send":
            return None
        case "skip":
            return Skip("late")
        case "hold":
            return Pause("late")


def hours(facts: Facts) -> Verdict | None:
    if facts.allowed is None:
        return Pause("never_open")
    return Later(facts.allowed) if facts.allowed > facts.now else None


def unmet(facts: Facts) -> Verdict | None:
    """Asked of the way that the step would take."""
    assert facts.step is not None, "a step that is not there was answered for"
    ways = sendable(facts.step, facts.options)
    place = ways[0].option if ways else next(iter(facts.options), None)
    if all(holds(condition, facts.person, place) for condition in facts.step.conditions):
        return None
    return Skip("condition") if facts.step.unless_met == "skip" else End("stopped", "condition")


CONDITIONS: Final[tuple[Callable[[Facts], Verdict | None], ...]] = (
    unwanted,
    blocked,
    archived,
    over,
    tagged,
    opted_out,
    closed,
    already_there,
    not_due,
    late,
    hours,
    unmet,
)


def choose(facts: Facts) -> Verdict:
    assert facts.step is not None, "a step that is not there was answered for"
    ways = sendable(facts.step, facts.options)
    if ways:
        return Send(ways)
    return Fail(next((reason for option in facts.options if (reason := option.free)), "no_channel"))


def sendable(step: StepIn, options: Sequence[Option]) -> tuple[Way, ...]:
    """The content where it may go, the template in its place where only that may."""
    ways = []
    for option in options:
        refusal = option.template if templates_only(step) else option.free
        if refusal is None:
            ways.append(Way(option))
        elif step.fallback is not None and option.template is None:
            ways.append(Way(option, fallback=True))
    return tuple(ways)


def in_order(step: StepIn, options: Sequence[Option], tied: UUID | None) -> list[Option]:
    """``options``: those with a conversation by when the contact wrote or was written to there, the latest first, then
    those that could be started. ``tied``: the conversation in which the sequence talks with them."""
    if not step.channels:
        there = [option for option in options if option.conversation_id is not None]
        return [option for option in there if option.conversation_id == tied] or there
    found: list[Option] = []
    for choice in step.channels:
        for option in options:
            started = option.conversation_id is not None or step.may_start
            if started and is_choice(choice, option) and option not in found:
                found.append(option)
    return found


def is_choice(choice: ChannelChoice, option: Option) -> bool:
    return choice.channel_id == option.channel_id if choice.kind is None else choice.kind == option.kind


# --- conditions of a step ---------------------------------------------------------------------------------------------


def holds(condition: Condition, person: Person, place: Option | None) -> bool:
    match condition:
        case TagCondition(tag=tag, present=present):
            return (tag in person.tags) == present
        case RepliedCondition(replied=replied):
            return person.replied == replied
        case StatusCondition(any_of=wanted):
            return ("open" if place is None else place.status) in wanted
        case WindowCondition(open=wanted_open):
            return (place is not None and place.free != "window_closed") == wanted_open
        case FieldCondition():
            return _compare(condition, person.fields.get(condition.field))


def _compare(condition: FieldCondition, found: object) -> bool:
    wanted = condition.value
    match condition.operator:
        case "known":
            return found not in (None, "")
        case "unknown":
            return found in (None, "")
        case "is":
            return _same(found, wanted)
        case "is_not":
            return not _same(found, wanted)
        case "contains":
            return isinstance(found, str) and isinstance(wanted, str) and wanted.casefold() in found.casefold()
        case "above":
            return _is_number(found) and _is_number(wanted) and found > wanted  # type: ignore[operator]
        case "below":
            return _is_number(found) and _is_number(wanted) and found < wanted  # type: ignore[operator]


def _same(found: object, wanted: object) -> bool:
    """Text without regard to case; true is not 1."""
    if isinstance(found, str) and isinstance(wanted, str):
        return found.casefold() == wanted.casefold()
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
