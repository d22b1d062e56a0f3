"""What came of a try, and what follows from it: pure, and by facts only, never by provider.

Only a try that certainly was not accepted may be made again: the provider refused it, or it never left. Whatever else
happens, the fate of the message is unknown and a person or a late receipt decides, not a retry (P5).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from channels.outbound import Accepted
from channels.types import Fault

MOST_TRIES: Final = 6
BACK_OFF: Final = (2.0, 10.0, 30.0, 120.0, 600.0)
"""Seconds before the second, third, … try."""
JITTER: Final = 0.2
PAUSE: Final = 4.0
"""Seconds that a throttled bucket rests where the provider names no time."""
PAUSE_FOR_GOOD: Final = 60.0
"""The same after a refusal that a wait does not cure (a locked account): the bucket only keeps the crowd away."""
GROWTH: Final = 4.0
"""By which each rest that follows another is longer."""
LONGEST_PAUSE: Final = 600.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """The provider said no: nothing was accepted."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request never left us."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Unknown:
    """It left, or may have left, and no answer tells what became of it."""

    fault: Fault


Outcome: TypeAlias = Accepted | Refusal | NotSent | Unknown

OUTCOME_UNKNOWN: Final = "outcome_unknown"
"""Fault code with which an adapter says that an answer does not tell whether the message was taken."""

LOST: Final = Fault(
    OUTCOME_UNKNOWN,
    "It is not known whether this message arrived: the connection ended before the provider answered. "
    "Ask the customer, or send it again if a double does no harm.",
)


@dataclass(frozen=True, slots=True)
class Pause:
    scope: Literal["channel", "recipient"]
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Next:
    """``state`` is the delivery's; for ``queued``, ``due_at`` says when it may go again.

    ``counts`` is false for a throttle: waiting in a queue is no failed try.
    """

    state: Literal["sent", "queued", "failed", "uncertain"]
    fault: Fault | None = None
    due_at: datetime | None = None
    counts: bool = True
    pause: Pause | None = field(default=None)


def follow(outcome: Outcome, *, tries: int, now: datetime, deadline: datetime, strikes: int = 1) -> Next:
    """``tries``: how many counted, this one included. No retry is planned for after the deadline.

    ``strikes``: how many throttles came one after the other, this one included.
    """
    match outcome:
        case Accepted():
            return Next("sent")
        case Unknown(fault):
            return Next("uncertain", fault)
        case Refusal(fault) if fault.code == OUTCOME_UNKNOWN:
            return Next("uncertain", fault, pause=pause_of(fault, now, strikes))
        case Refusal(fault) | NotSent(fault):
            return _again_or_never(fault, tries, now, deadline, strikes)


def _again_or_never(fault: Fault, tries: int, now: datetime, deadline: datetime, strikes: int) -> Next:
    pause = pause_of(fault, now, strikes)
    if not fault.retryable:
        return Next("failed", fault, pause=pause)
    throttled = pause is not None
    if fault.moved_to is not None:
        due_at = now
    elif pause is not None:
        due_at = pause.until
    else:
        due_at = now + _jittered(max(BACK_OFF[min(tries, len(BACK_OFF)) - 1], fault.retry_after or 0.0))
    if due_at >= deadline or (not throttled and tries >= MOST_TRIES):
        return Next("failed", fault, pause=pause)
    return Next("queued", fault, due_at, counts=not throttled, pause=pause)


def named_time(fault: Fault) -> bool:
    """Whether the provider says how long to wait; then nothing has to be guessed, or counted."""
    return fault.retry_after is not None


def pause_of(fault: Fault, now: datetime, strikes: int = 1) -> Pause | None:
    """How long the bucket rests that a fault throttles; ``strikes``: throttles in a row, this one included."""
    # A dead token stops the channel by its health, at the gate, and a new token starts it again at once.
    if fault.pauses is None or fault.reauthorise:
        return None
    seconds = fault.retry_after
    if seconds is None:
        first = PAUSE if fault.retryable else PAUSE_FOR_GOOD
        seconds = min(first * GROWTH ** min(max(strikes, 1) - 1, 10), LONGEST_PAUSE)
    return Pause(fault.pauses, now + _jittered(max(seconds, 0.05)), fault.reason)


def _jittered(seconds: float) -> timedelta:
    """Only ever later: the provider's own time is a minimum."""
    return timedelta(seconds=seconds * (1 + JITTER * random.random()))  # noqa: S311
