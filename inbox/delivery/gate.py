"""The last gate: whether a delivery may go out, decided in the transaction that claims it (P8).

``decide`` is pure: its facts are read, under locks, by ``repository.load_facts`` in that same transaction, so whoever
blocks a contact, disables a channel or takes over a conversation either commits first and is seen here, or waits for
this claim and then finds the delivery in the air. A new condition is one function in ``CONDITIONS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from channels.capabilities import WindowRule
from inbox.conversations.window import sending_until
from inbox.kernel.hours import Quiet

PAUSED_RECHECK: Final = timedelta(seconds=60)
"""When to look again at a channel that its provider has paused."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the decision rests on, as it stands in the claiming transaction. ``now`` is the database's."""

    now: datetime
    purpose: str
    bulk: bool
    template: bool
    deadline: datetime
    lease_epoch: int | None
    """Of the responder who queued it (bots); ``None``: nobody's lease."""
    conversation_epoch: int
    conversation_status: str
    hold_after_number: int | None
    """Not to be sent once the customer has written a message of a higher number."""
    last_inbound_number: int
    stop_when_closed: bool
    quiet: Quiet | None
    """Not to be sent in this time of the day."""
    blocked: bool
    unreachable: str | None
    marketing_stopped: bool
    channel_state: str
    channel_health: str
    window_opened_at: datetime | None
    window_closed_at: datetime | None
    window: WindowRule | None
    """The channel's rule; ``None``: it has no window."""


@dataclass(frozen=True, slots=True)
class Go:
    pass


@dataclass(frozen=True, slots=True)
class Refused:
    """Never to be sent as it stands. ``state``: ``cancelled`` where we took it back, ``failed`` where it cannot go."""

    code: str
    reason: str
    state: Literal["failed", "cancelled"] = "failed"


@dataclass(frozen=True, slots=True)
class Later:
    until: datetime
    reason: str


Verdict: TypeAlias = Go | Refused | Later
Condition: TypeAlias = Callable[[Facts], Refused | Later | None]

GO: Final = Go()
CONTACT_BLOCKED: Final = Refused("contact_blocked", "Not sent: the contact is blocked.", "cancelled")
"""Also what a block says of everything that was queued."""


def decide(facts: Facts) -> Verdict:
    """The first condition that objects decides; refusals come before postponements."""
    for condition in CONDITIONS:
        objection = condition(facts)
        if objection is not None:
            return objection
    return GO


def blocked(facts: Facts) -> Refused | None:
    return CONTACT_BLOCKED if facts.blocked else None


def superseded(facts: Facts) -> Refused | None:
    """A bot's answer whose lease somebody took over (P9)."""
    if facts.lease_epoch is not None and facts.lease_epoch != facts.conversation_epoch:
        return Refused("superseded", "Not sent: somebody else has answered since.", "cancelled")
    return None


def replied(facts: Facts) -> Refused | None:
    if facts.hold_after_number is not None and facts.last_inbound_number > facts.hold_after_number:
        return Refused("replied", "Not sent: the customer has written since.", "cancelled")
    return None


def conversation_closed(facts: Facts) -> Refused | None:
    if facts.stop_when_closed and facts.conversation_status == "closed":
        return Refused("conversation_closed", "Not sent: the conversation was closed.", "cancelled")
    return None


def expired(facts: Facts) -> Refused | None:
    if facts.now >= facts.deadline:
        return Refused("expired", "Not sent: it could not go out before its deadline.")
    return None


def unreachable(facts: Facts) -> Refused | None:
    if facts.unreachable is not None:
        return Refused("recipient_unreachable", f"Not sent: this person cannot be reached ({facts.unreachable}).")
    return None


def opted_out(facts: Facts) -> Refused | None:
    if facts.marketing_stopped and (facts.bulk or facts.purpose == "marketing"):
        return Refused("opted_out", "Not sent: this person has stopped marketing messages.")
    return None


def channel_disabled(facts: Facts) -> Refused | None:
    if facts.channel_state != "enabled":
        return Refused("channel_disabled", "Not sent: the channel is disabled.")
    return None


def channel_unauthorised(facts: Facts) -> Refused | None:
    if facts.channel_health == "reauthorise":
        return Refused("channel_unauthorised", "Not sent: the channel has to be connected again first.")
    return None


def window_closed(facts: Facts) -> Refused | None:
    """The refusal, where the messaging window is shut; templates may pass where the channel says so."""
    rule = facts.window
    if rule is None or (facts.template and rule.templates_outside):
        return None
    until = sending_until(rule, facts.purpose, facts.window_opened_at, facts.window_closed_at)
    if until is not None and facts.now < until:
        return None
    return Refused("window_closed", "Not sent: the messaging window is closed; the customer has to write first.")


def channel_paused(facts: Facts) -> Later | None:
    if facts.channel_health == "paused":
        return Later(facts.now + PAUSED_RECHECK, "the provider has paused this channel")
    return None


def quiet_hours(facts: Facts) -> Later | None:
    """Past the deadline too, if need be: then it expires meanwhile, and says so."""
    until = None if facts.quiet is None else facts.quiet.ends(facts.now)
    return None if until is None else Later(until, "these are quiet hours")


CONDITIONS: Final[tuple[Condition, ...]] = (
    blocked,
    superseded,
    replied,
    conversation_closed,
    expired,
    unreachable,
    opted_out,
    channel_disabled,
    channel_unauthorised,
    window_closed,
    channel_paused,
    quiet_hours,
)
