"""What the fate of a step's message means for its enrollment. Pure.

Invariant: a step is tried again only after a try that failed for certain or was taken back; one whose fate is unknown
counts as sent, for nobody may get a message twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from scheduler.sequences.definition import Definition

StepState = Literal["queued", "sent", "uncertain", "failed", "cancelled", "skipped"]

NOW = timedelta(0)


@dataclass(frozen=True, slots=True)
class Stay:
    """Nothing follows from it."""


@dataclass(frozen=True, slots=True)
class Next:
    """The next step begins to wait."""


@dataclass(frozen=True, slots=True)
class Again:
    """The same step once more. ``counts``: as one of the tries that the policy allows."""

    after: timedelta
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Stop:
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    reason: str


Move: TypeAlias = Stay | Next | Again | Stop | Hold


def step_state(status: str, before: StepState, *, current: bool) -> StepState:
    """``current``: the enrollment waits for this message. One that it does not wait for is not under way again,
    whatever a person does with it, until it arrives."""
    match status:
        case "queued" | "sending":
            return "queued" if current else before
        case "uncertain" | "failed" | "cancelled":
            return status
        case _:
            return "sent"


def after_current(
    state: StepState, fault: str | None, definition: Definition, *, active: bool, retries: int, has_fallback: bool
) -> Move:
    """The message that the enrollment waits for. ``active``: nobody has paused or ended the enrollment meanwhile.

    ``has_fallback``: a template that was not tried yet.
    """
    match state:
        case "queued":
            return Stay()
        case "sent" | "uncertain" | "skipped":
            return Next()
        case "cancelled" if not active:
            return Again(NOW, counts=False)  # whoever paused it took it back; it goes out when they resume it
        case "cancelled":
            return _taken_back(fault, definition)
        case "failed":
            if fault == "window_closed" and has_fallback:
                return Again(NOW, counts=False)
            return failure(fault, definition, retries=retries)


def after_earlier(state: StepState, definition: Definition, *, retries: int, waits_again: bool, went_on: bool) -> Move:
    """A message that the enrollment no longer waits for. ``waits_again``: the same step waits for another try;
    ``went_on``: the next step waits, and nothing was sent since."""
    if state == "sent" and waits_again:
        return Next()
    if state == "failed" and went_on:
        move = failure(None, definition, retries=retries)
        return Stay() if isinstance(move, Next) else move
    return Stay()


def failure(fault: str | None, definition: Definition, *, retries: int) -> Move:
    if fault == "opted_out" and definition.stop.opt_out:
        return Stop("opt_out")
    if fault == "conversation_closed":
        return Stop("closed")
    if fault == "contact_blocked":
        return _blocked(definition)
    match definition.failure.policy:
        case "skip":
            return Next()
        case "retry" if retries < definition.failure.retries:
            return Again(definition.failure.after.span)
        case _:
            return Stop("failed")


def _taken_back(fault: str | None, definition: Definition) -> Move:
    match fault:
        case "replied":
            return Stop("reply")
        case "conversation_closed":
            return Stop("closed")
        case "contact_blocked":
            return _blocked(definition)
        case _:
            return Next()  # a person took this one message back


def _blocked(definition: Definition) -> Move:
    return Hold("blocked") if definition.stop.block == "pause" else Stop("block")
