"""What follows from the fate of a step's message. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from scheduler.sequences.definition import Definition
from scheduler.sequences.progress import Again, Hold, Move, Next, Stay, Stop, after_current, after_earlier, step_state

HOUR = timedelta(hours=1)


def definition(**given: Any) -> Definition:
    return Definition.model_validate(given)


RETRY = {"failure": {"policy": "retry", "retries": 2}}

CURRENT: list[tuple[str, Any, str | None, dict[str, Any], dict[str, Any], Move]] = [
    ("on its way", "queued", None, {}, {}, Stay()),
    ("sent", "sent", None, {}, {}, Next()),
    ("unknown", "uncertain", "outcome_unknown", RETRY, {}, Next()),
    ("failed", "failed", "invalid", {}, {}, Stop("failed")),
    ("failed, skip", "failed", "invalid", {"failure": {"policy": "skip"}}, {}, Next()),
    ("failed, again", "failed", "invalid", RETRY, {"retries": 1}, Again(HOUR)),
    ("failed too often", "failed", "invalid", RETRY, {"retries": 2}, Stop("failed")),
    ("opted out", "failed", "opted_out", RETRY, {}, Stop("opt_out")),
    ("opted out, nobody minds", "failed", "opted_out", {"stop": {"opt_out": False}}, {}, Stop("failed")),
    ("window", "failed", "window_closed", RETRY, {"has_fallback": True}, Again(timedelta(0), counts=False)),
    ("closed when it was to be queued", "failed", "conversation_closed", RETRY, {}, Stop("closed")),
    ("window, no template", "failed", "window_closed", {}, {}, Stop("failed")),
    ("they wrote", "cancelled", "replied", {}, {}, Stop("reply")),
    ("closed", "cancelled", "conversation_closed", {}, {}, Stop("closed")),
    ("blocked", "cancelled", "contact_blocked", {}, {}, Hold("blocked")),
    ("blocked for good", "cancelled", "contact_blocked", {"stop": {"block": "stop"}}, {}, Stop("block")),
    ("somebody took this one back", "cancelled", "withdrawn", {}, {}, Next()),
    ("who paused took it back", "cancelled", "withdrawn", {}, {"active": False}, Again(timedelta(0), counts=False)),
]


@pytest.mark.parametrize(
    ("state", "fault", "written", "given", "move"), [pytest.param(*row[1:], id=row[0]) for row in CURRENT]
)
def test_the_message_that_it_waits_for(
    state: Any, fault: str | None, written: dict[str, Any], given: dict[str, Any], move: Move
) -> None:
    stands = {"active": True, "retries": 0, "has_fallback": False, **given}
    assert after_current(state, fault, definition(**written), **stands) == move


EARLIER: list[tuple[str, Any, dict[str, Any], bool, bool, Move]] = [
    ("it failed after all", "failed", {}, False, True, Stop("failed")),
    ("it failed after all, again", "failed", RETRY, False, True, Again(HOUR)),
    ("it failed after all, nobody minds", "failed", {"failure": {"policy": "skip"}}, False, True, Stay()),
    ("it failed after all, but more was sent since", "failed", RETRY, False, False, Stay()),
    ("it arrived after all, before it was repeated", "sent", RETRY, True, False, Next()),
    ("it arrived after all, and was repeated", "sent", RETRY, False, False, Stay()),
]


@pytest.mark.parametrize(
    ("state", "written", "waits_again", "went_on", "move"), [pytest.param(*row[1:], id=row[0]) for row in EARLIER]
)
def test_a_message_that_it_no_longer_waits_for(
    state: Any, written: dict[str, Any], waits_again: bool, went_on: bool, move: Move
) -> None:
    given = definition(**written)
    assert after_earlier(state, given, retries=0, waits_again=waits_again, went_on=went_on) == move


def test_what_is_sent_again_by_hand_is_not_under_way_in_the_sequence() -> None:
    assert step_state("queued", "failed", current=False) == "failed"
    assert step_state("sending", "queued", current=True) == "queued"
    assert step_state("read", "failed", current=False) == "sent"


TEXT = [{"type": "text", "text": "Hello"}]


@pytest.mark.parametrize(
    "written",
    [
        pytest.param({"steps": [{"key": "a", "parts": TEXT}] * 2}, id="two of one key"),
        pytest.param({"steps": [{"key": "A b", "parts": TEXT}]}, id="no key"),
        pytest.param({"steps": [{"key": "a", "parts": []}]}, id="nothing to send"),
        pytest.param({"steps": [{"key": "a", "parts": TEXT, "channels": [{}]}]}, id="no channel"),
        pytest.param(
            {"steps": [{"key": "a", "parts": TEXT, "wait": {"delay": {"value": 1000, "unit": "days"}}}]}, id="too long"
        ),
        pytest.param(
            {
                "steps": [
                    {"key": "a", "parts": TEXT, "conditions": [{"type": "field", "field": "name", "operator": "is"}]}
                ]
            },
            id="compared with nothing",
        ),
        pytest.param(
            {
                "steps": [
                    {
                        "key": "a",
                        "parts": [
                            {"type": "reaction", "message_id": "00000000-0000-0000-0000-000000000001", "emoji": "x"}
                        ],
                    }
                ]
            },
            id="a reaction",
        ),
    ],
)
def test_what_is_no_sequence(written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        definition(**written)


def test_what_is_stored_is_read_back() -> None:
    written = definition(steps=[{"key": "a", "parts": TEXT, "wait": {"time_of_day": "09:30", "weekdays": ["mon"]}}])
    assert Definition.model_validate(written.stored()) == written
