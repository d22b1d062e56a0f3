"""What happens by itself becomes lines in plain words: each change once, and nothing where nobody needs to know."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from inbox.demo.automation import Automation
from inbox.demo.board import Board
from inbox.realtime.client import ClientEvent

AT = "2026-11-22T10:00:00+00:00"
DUE, LATER = "2026-11-22T10:05:07+00:00", "2026-11-22T10:09:00+00:00"
CHANNEL, CONTACT, THREAD, THING = UUID(int=10), UUID(int=20), UUID(int=30), UUID(int=50)
MAYA, BOT = UUID(int=1), UUID(int=2)
NAMES = {MAYA: "Maya", BOT: "Helper"}


def told(automation: Automation, kind: str, **data: Any) -> list[str]:
    return [news.said[0] for news in automation.apply(ClientEvent(1, kind, AT, THREAD, data), NAMES)]


def scheduled(**fields: Any) -> dict[str, Any]:
    return {
        "id": str(THING), "conversation_id": str(THREAD), "contact_id": str(CONTACT), "channel_id": str(CHANNEL),
        "author": {"id": str(MAYA), "name": "Maya"}, "state": "scheduled", "reason": None, "state_at": AT,
        "uncertain": False, "preview": "How did it go?",
        "content": {"parts": [{"type": "text", "text": "How did it go?"}], "reply_to_id": None, "purpose": "reply"},
        "fallback": None, "when": {"type": "at", "at": DUE}, "due_at": DUE, "local": None, "zone": None,
        "hold_on_reply": False, "quiet_hours": False, "business_hours": False, "when_closed": "send",
        "catch_up": {"policy": "send", "late_after": 900}, "occurrences": 0, "message_id": None, "fell_back": False,
        "handed_at": None, "lateness_ms": None, "client_token": None, "version": 1, "created_at": AT,
        "updated_at": None, **fields,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def in_utc() -> Iterator[None]:
    """Times are shown on the wall clock of whoever reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"state": "due"}, None),
        ({"state": "due", "uncertain": True},
         "sent as scheduled, and nobody knows whether it arrived: “How did it go?”"),
        ({"state": "sent"}, "sent as scheduled: “How did it go?”"),
        ({"state": "held", "reason": "replied"},
         "held back (the customer wrote first), for a person to decide: “How did it go?”"),
        ({"state": "held", "reason": "something_new"},
         "held back (something new), for a person to decide: “How did it go?”"),
        ({"state": "skipped", "reason": "late"}, "left out (its time was missed): “How did it go?”"),
        ({"state": "cancelled"}, "not to be sent any more: “How did it go?”"),
        ({"state": "failed", "reason": "unknown"}, "could not be sent as scheduled (unknown): “How did it go?”"),
        ({"due_at": LATER}, "moved to 10:09: “How did it go?”"),
        ({"due_at": "2026-11-23T09:00:00+00:00", "reason": "quiet_hours"},
         "moved to 2026-11-23 09:00 (it waits for the end of the quiet hours): “How did it go?”"),
        ({"occurrences": 1, "due_at": LATER}, "sent as scheduled, and again at 10:09: “How did it go?”"),
        ({"version": 2}, None),
    ],
)  # fmt: skip
def test_a_scheduled_message(change: dict[str, Any], text: str | None) -> None:
    automation = Automation()
    first = told(automation, "scheduled_message.created", scheduled_message=scheduled())

    assert first == ["scheduled for 10:05:07 by Maya: “How did it go?”"]
    assert told(automation, "scheduled_message.updated", scheduled_message=scheduled(**change)) == (
        [] if text is None else [text]
    )
    assert told(automation, "scheduled_message.updated", scheduled_message=scheduled(**change)) == []


def enrollment(**fields: Any) -> dict[str, Any]:
    return {
        "id": str(THING), "sequence_id": str(UUID(int=60)), "sequence_name": "Welcome", "sequence_version": 1,
        "follows": False, "contact_id": str(CONTACT), "conversation_id": str(THREAD), "state": "active",
        "reason": None, "state_at": AT, "next": following("hello", DUE), "steps": [], "replied_at": None,
        "enrolled_by": {"id": str(MAYA), "name": "Maya"}, "enrolled_at": AT, "ended_at": None, "version": 1, **fields,
    }  # fmt: skip


def following(key: str, due_at: str) -> dict[str, Any]:
    return {"step_key": key, "position": 0, "attempt": 1, "due_at": due_at, "message_id": None}


def step(state: str, reason: str | None = None) -> dict[str, Any]:
    return {
        "number": 1, "step_key": "hello", "attempt": 1, "state": state, "reason": reason, "message_id": None,
        "conversation_id": None, "channel_id": None, "fell_back": False, "lateness_ms": 3, "at": AT,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        ({"steps": [step("queued")]}, []),
        ({"steps": [step("sent")], "next": following("tips", LATER)},
         ["“Welcome”: the step “hello” is sent; next is “tips” at 10:09"]),
        ({"steps": [step("failed", "unreachable")], "next": None, "state": "stopped", "reason": "failed"},
         ["“Welcome”: the step “hello” could not be sent (the customer cannot be reached)",
          "“Welcome” is stopped (failed)"]),
        ({"state": "paused", "reason": "blocked"}, ["“Welcome” is paused (the contact is blocked)"]),
        ({"state": "finished", "next": None}, ["“Welcome” is over"]),
    ],
)  # fmt: skip
def test_a_sequence(change: dict[str, Any], texts: list[str]) -> None:
    automation = Automation()
    first = told(automation, "enrollment.created", enrollment=enrollment())

    assert first == ["in the sequence “Welcome” from now on, by Maya; next is “hello” at 10:05:07"]
    assert told(automation, "enrollment.updated", enrollment=enrollment(**change)) == texts
    assert told(automation, "enrollment.updated", enrollment=enrollment(**change)) == []


def test_a_sequence_that_is_met_half_way() -> None:
    automation = Automation()
    half = enrollment(steps=[step("sent")], state="paused", reason="by_hand")

    assert told(automation, "enrollment.updated", enrollment=half) == [
        "“Welcome”: the step “hello” is sent",
        "“Welcome” is paused (by hand)",
    ]
    assert told(automation, "enrollment.updated", enrollment=enrollment(steps=[step("sent")])) == [
        "“Welcome” goes on; next is “hello” at 10:05:07"
    ]


def run(state: str, reason: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": str(THING), "conversation_id": str(THREAD), "bot_id": str(BOT), "state": state, "reason": reason,
        "note": None, "by": None, "epoch": 3, "version": 1, "created_at": AT, "updated_at": AT, **fields,
    }  # fmt: skip


def test_a_bot_comes_answers_and_goes() -> None:
    automation = Automation()
    maya = {"kind": "agent", "id": str(MAYA), "name": "Maya"}

    def moved(state: str, reason: str, **fields: Any) -> list[str]:
        return told(automation, "workflow.updated", run=run(state, reason, **fields))

    assert told(automation, "workflow.created", run=run("active", "first_contact")) == ["the bot Helper answers here"]
    assert moved("active", "first_contact", epoch=4) == [], "a new lease is nobody's affair"
    assert moved("handed_off", "by_bot", note="Wants a person") == [
        "the bot Helper handed off to people: “Wants a person”"
    ]
    assert moved("active", "handed_back", by=maya) == ["handed back to the bot Helper by Maya"]
    assert moved("paused", "blocked") == ["the bot Helper is paused (the contact is blocked)"]
    assert moved("active", "resumed", by=maya) == ["the bot Helper goes on"]
    assert moved("handed_off", "timed_out") == ["people go on in place of the bot Helper (no answer in time)"]
    assert moved("ended", "closed") == ["the bot Helper is done here (the conversation was closed)"]


def contact(blocked: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": str(CONTACT), "name": "Ann", "first_name": None, "last_name": None, "email": None, "phone": None,
        "language": None, "time_zone": None, "avatar_url": None, "custom": {}, "tags": [], "version": 1,
        "blocked": blocked, "merged_into": None, "created_at": AT, "updated_at": None,
    }  # fmt: skip


def aside(text: str) -> dict[str, Any]:
    return {
        "id": str(UUID(int=70)), "contact_id": str(CONTACT), "channel_id": str(CHANNEL), "kind": "message",
        "about": None, "author_name": "Ann", "parts": [{"type": "text", "text": text}], "occurred_at": AT,
        "created_at": AT, "edited_at": None, "unsent_at": None,
    }  # fmt: skip


def test_a_block_is_told_with_what_it_set_aside() -> None:
    """By the board, which knows the contact; with no conversation at hand there is no number."""
    board = Board(channels={CHANNEL: ("instagram", "@shop")}, agents=dict(NAMES))

    def lines(kind: str, **data: Any) -> list[tuple[int | None, str, str, str]]:
        event = ClientEvent(1, kind, AT, None, data)
        return [(line.number, line.channel, line.who, line.text) for line in board.apply(event)]

    block = {"at": AT, "by": str(MAYA), "reason": "spam", "until": DUE}
    assert lines("contact.blocked", contact=contact(block)) == [
        (None, "", "Ann", "blocked until 10:05:07 by Maya: “spam”")
    ]
    assert lines("set_aside.created", set_aside=aside("Hey")) == [
        (None, "instagram", "Ann", "set aside, for supervisors alone (1 so far): “Hey”")
    ]
    assert lines("set_aside.created", set_aside=aside("You")) == [
        (None, "instagram", "Ann", "set aside, for supervisors alone (2 so far): “You”")
    ]
    assert lines("contact.unblocked", contact=contact(None), expired=True) == [
        (
            None,
            "",
            "Ann",
            "not blocked any more, its time was over; 2 messages set aside meanwhile; "
            "what was held back stays so until somebody resumes it",
        )
    ]


def test_what_names_a_contact_by_its_id_alone_makes_the_board_ask_for_it() -> None:
    board = Board()

    assert board.unknown_contact(ClientEvent(1, "set_aside.created", AT, None, {"set_aside": aside("Hey")})) == CONTACT
    board.apply(ClientEvent(1, "contact.created", AT, None, {"contact": contact(None)}))
    assert board.unknown_contact(ClientEvent(1, "set_aside.created", AT, None, {"set_aside": aside("Hey")})) is None
