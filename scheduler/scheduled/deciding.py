"""What becomes of a scheduled message when its time has come, and of one whose message was queued. Pure.

``decide`` asks its conditions in order, on facts that are read under locks in the transaction of the timer; what it
lets go is asked again by the last gate when it leaves (``delivery.gate``), with the conditions stored there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from inbox.conversations.composer import Standing
from inbox.kernel.hours import Hours, Quiet

State = Literal["scheduled", "due", "sent", "held", "skipped", "cancelled", "failed"]
Policy = Literal["send", "skip", "hold"]

_STEPS: Final = 60
"""How often quiet time and business hours may push each other on before it is plain that they leave no room."""


@dataclass(frozen=True, slots=True)
class Facts:
    """``now`` is the database's. ``due_at``: by the zone that counts now. ``meant``: the timer is the row's own."""

    now: datetime
    state: State
    meant: bool
    due_at: datetime
    catch_up: Policy
    late_after: timedelta
    hold_after_number: int | None
    last_inbound_number: int
    conversation_status: str
    when_closed: Policy
    quiet: Quiet | None
    business: Hours | None
    standing: Standing
    purpose: str
    template: bool
    """It is made of templates only."""
    fallback: bool
    """There is a template to send in its place."""


@dataclass(frozen=True, slots=True)
class Go:
    """``fallback``: the template in its place."""

    fallback: bool = False


@dataclass(frozen=True, slots=True)
class Ignore:
    """Whoever changed the message since does not want this timer."""


@dataclass(frozen=True, slots=True)
class Later:
    """``reason`` null: it is simply not due yet, by the zone that counts now."""

    until: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class Stop:
    state: Literal["held", "skipped"]
    reason: str


Verdict: TypeAlias = Go | Ignore | Later | Stop
Condition: TypeAlias = Callable[[Facts], Verdict | None]

HELD: Final = {
    "contact_blocked": "blocked",
    "unreachable": "unreachable",
    "recipient_unreachable": "unreachable",
    "opted_out": "opted_out",
    "channel_disabled": "channel_disabled",
    "channel_unauthorised": "channel_unauthorised",
    "window_closed": "window_closed",
    "replied": "replied",
}
"""Refusals of the composer and faults of the gate that a person can do something about; and the reason that is shown.
"""


def decide(facts: Facts) -> Verdict:
    """The first condition with an opinion decides."""
    for condition in CONDITIONS:
        verdict = condition(facts)
        if verdict is not None:
            return verdict
    return Go()


def unwanted(facts: Facts) -> Verdict | None:
    return None if facts.meant and facts.state == "scheduled" else Ignore()


def not_due(facts: Facts) -> Verdict | None:
    return Later(facts.due_at, None) if facts.due_at > facts.now else None


def blocked(facts: Facts) -> Verdict | None:
    return Stop("held", "blocked") if facts.standing.reach.blocked else None


def replied(facts: Facts) -> Verdict | None:
    if facts.hold_after_number is not None and facts.last_inbound_number > facts.hold_after_number:
        return Stop("held", "replied")
    return None


def closed(facts: Facts) -> Verdict | None:
    return None if facts.conversation_status != "closed" else _by(facts.when_closed, "conversation_closed")


def late(facts: Facts) -> Verdict | None:
    return too_late(facts.now, facts.due_at, facts.late_after, facts.catch_up)


def too_late(now: datetime, due_at: datetime, late_after: timedelta, catch_up: Policy) -> Stop | None:
    """What its policy makes of lateness, if it is late and the policy is not to send it."""
    return None if now - due_at <= late_after else _by(catch_up, "late")


def hours(facts: Facts) -> Verdict | None:
    """The first instant that is neither quiet nor outside of business hours."""
    at = facts.now
    for _ in range(_STEPS):
        after_quiet = (facts.quiet.ends(at) if facts.quiet is not None else None) or at
        opens = after_quiet if facts.business is None else facts.business.next_open(after_quiet)
        if opens is None:
            return Stop("held", "never_open")
        if opens == at:
            break
        at = opens
    else:
        return Stop("held", "never_open")
    if at == facts.now:
        return None
    quiet = facts.quiet is not None and facts.quiet.is_quiet(facts.now)
    return Later(at, "quiet_hours" if quiet else "business_hours")


def refused(facts: Facts) -> Verdict | None:
    """What the composer would say to whoever sent it by hand now."""
    standing = facts.standing
    refusal = standing.refusal(
        facts.now, purpose=facts.purpose, template=facts.template, marketing=facts.purpose == "marketing"
    )
    if refusal is None:
        return None
    if refusal.reason == "window_closed" and facts.fallback and standing.templates_outside:
        return Go(fallback=True)
    return Stop("held", HELD[refusal.reason])


CONDITIONS: Final[tuple[Condition, ...]] = (unwanted, not_due, blocked, replied, closed, late, hours, refused)


def _by(policy: Policy, reason: str) -> Stop | None:
    match policy:
        case "send":
            return None
        case "skip":
            return Stop("skipped", reason)
        case "hold":
            return Stop("held", reason)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scheduled message stands, by the status of the message that it became."""

    state: State
    reason: str | None = None
    uncertain: bool = False


def outcome(status: str, fault: str | None, *, when_closed: Policy, catch_up: Policy) -> Outcome:
    """``fault``: the code of what stopped it. An uncertain one stays due: nobody knows, and nobody repeats it."""
    match status:
        case "queued" | "sending":
            return Outcome("due")
        case "uncertain":
            return Outcome("due", uncertain=True)
        case "cancelled" if fault == "withdrawn":
            return Outcome("cancelled")
        case "failed" | "cancelled":
            return _stopped(status, fault or status, when_closed, catch_up)
        case _:
            return Outcome("sent")


def _stopped(status: str, fault: str, when_closed: Policy, catch_up: Policy) -> Outcome:
    if fault in HELD:
        return Outcome("held", HELD[fault])
    if fault == "conversation_closed":
        return Outcome("skipped" if when_closed == "skip" else "held", fault)
    if fault == "expired" and catch_up != "send":
        return Outcome("skipped" if catch_up == "skip" else "held", "late")
    return Outcome("failed" if status == "failed" else "held", fault)
