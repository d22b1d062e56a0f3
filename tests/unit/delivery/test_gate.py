"""Every condition of the last gate, with a check that it is this condition and no other that decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from channels.capabilities import WindowRule
from inbox.delivery import gate
from inbox.delivery.gate import CONDITIONS, GO, Condition, Facts, Later, Refused, decide
from inbox.kernel.hours import Quiet

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RULE = WindowRule(hours=24, human_agent_hours=168, templates_outside=True)
FREE = Facts(
    now=NOW,
    purpose="reply",
    bulk=False,
    template=False,
    deadline=NOW + timedelta(hours=1),
    lease_epoch=None,
    conversation_epoch=3,
    conversation_status="open",
    hold_after_number=None,
    last_inbound_number=7,
    stop_when_closed=False,
    quiet=None,
    blocked=False,
    unreachable=None,
    marketing_stopped=False,
    channel_state="enabled",
    channel_health="ok",
    window_opened_at=NOW - timedelta(hours=1),
    window_closed_at=None,
    window=RULE,
)


def hours_ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


OBJECTIONS: list[tuple[str, Condition, dict[str, Any], str, str]] = [
    ("blocked", gate.blocked, {"blocked": True}, "contact_blocked", "cancelled"),
    ("blocked, template", gate.blocked, {"blocked": True, "template": True}, "contact_blocked", "cancelled"),
    ("taken over", gate.superseded, {"lease_epoch": 2}, "superseded", "cancelled"),
    ("written since", gate.replied, {"hold_after_number": 6}, "replied", "cancelled"),
    (
        "closed since",
        gate.conversation_closed,
        {"stop_when_closed": True, "conversation_status": "closed"},
        "conversation_closed",
        "cancelled",
    ),
    ("at the deadline", gate.expired, {"deadline": NOW}, "expired", "failed"),
    ("unreachable", gate.unreachable, {"unreachable": "blocked_us"}, "recipient_unreachable", "failed"),
    ("opted out", gate.opted_out, {"bulk": True, "marketing_stopped": True}, "opted_out", "failed"),
    (
        "marketing to somebody who stopped it",
        gate.opted_out,
        {"purpose": "marketing", "marketing_stopped": True},
        "opted_out",
        "failed",
    ),
    (
        "a marketing template",
        gate.opted_out,
        {"purpose": "marketing", "template": True, "marketing_stopped": True},
        "opted_out",
        "failed",
    ),
    ("disabled", gate.channel_disabled, {"channel_state": "disabled"}, "channel_disabled", "failed"),
    (
        "dead token",
        gate.channel_unauthorised,
        {"channel_health": "reauthorise"},
        "channel_unauthorised",
        "failed",
    ),
    ("never wrote", gate.window_closed, {"window_opened_at": None}, "window_closed", "failed"),
    ("wrote 24 h ago", gate.window_closed, {"window_opened_at": hours_ago(24)}, "window_closed", "failed"),
    ("closed by the provider", gate.window_closed, {"window_closed_at": hours_ago(0.5)}, "window_closed", "failed"),
    (
        "template where those need the window too",
        gate.window_closed,
        {"window_opened_at": None, "template": True, "window": WindowRule(hours=24)},
        "window_closed",
        "failed",
    ),
    (
        "human agent after seven days",
        gate.window_closed,
        {"purpose": "human_agent", "window_opened_at": hours_ago(168)},
        "window_closed",
        "failed",
    ),
    (
        "human agent where there are no longer hours",
        gate.window_closed,
        {"purpose": "human_agent", "window_opened_at": hours_ago(30), "window": WindowRule(hours=24)},
        "window_closed",
        "failed",
    ),
    (
        "human agent, refused by the provider within the longer hours",
        gate.window_closed,
        {"purpose": "human_agent", "window_opened_at": hours_ago(100), "window_closed_at": hours_ago(2)},
        "window_closed",
        "failed",
    ),
]


POSTPONEMENTS: list[tuple[str, Condition, dict[str, Any], timedelta]] = [
    ("paused", gate.channel_paused, {"channel_health": "paused"}, gate.PAUSED_RECHECK),
    ("at night", gate.quiet_hours, {"quiet": Quiet("Europe/Berlin", 21 * 60, 12 * 60)}, timedelta(hours=2)),
]
SCENARIOS = [(row[0], row[1], row[2]) for row in OBJECTIONS] + [(row[0], row[1], row[2]) for row in POSTPONEMENTS]


@pytest.mark.parametrize(("facts", "code", "state"), [pytest.param(*row[2:], id=row[0]) for row in OBJECTIONS])
def test_what_the_gate_refuses(facts: dict[str, Any], code: str, state: str) -> None:
    verdict = decide(replace(FREE, **facts))
    assert isinstance(verdict, Refused)
    assert (verdict.code, verdict.state) == (code, state)
    assert verdict.reason.startswith("Not sent: ")


@pytest.mark.parametrize(("facts", "pause"), [pytest.param(*row[2:], id=row[0]) for row in POSTPONEMENTS])
def test_what_the_gate_postpones(facts: dict[str, Any], pause: timedelta) -> None:
    verdict = decide(replace(FREE, **facts))
    assert isinstance(verdict, Later)
    assert verdict.until == NOW + pause


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.__name__)
def test_without_any_one_condition_something_goes_out_that_must_not(
    condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate as it would be had somebody removed the condition: each of its scenarios has to notice."""
    scenarios = [(label, facts) for label, owner, facts in SCENARIOS if owner is condition]
    assert scenarios, f"{condition.__name__} has no scenario: it could be removed and no test would fail"
    monkeypatch.setattr(gate, "CONDITIONS", tuple(one for one in CONDITIONS if one is not condition))
    kept = [label for label, facts in scenarios if decide(replace(FREE, **facts)) is not GO]
    assert kept == [], "another condition hides the absence of this one"


def test_a_refusal_comes_before_a_postponement() -> None:
    assert isinstance(decide(replace(FREE, channel_health="paused", blocked=True)), Refused)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({}, id="nothing special"),
        pytest.param({"lease_epoch": 3}, id="the lease still holds"),
        pytest.param({"marketing_stopped": True}, id="a reply to somebody who stopped marketing"),
        pytest.param({"hold_after_number": 7}, id="nobody wrote since"),
        pytest.param({"conversation_status": "closed"}, id="a reply into a closed conversation"),
        pytest.param({"stop_when_closed": True, "conversation_status": "snoozed"}, id="snoozed is not closed"),
        pytest.param({"quiet": Quiet("Europe/Berlin", 21 * 60, 10 * 60)}, id="at the end of the night"),
        pytest.param({"purpose": "marketing"}, id="marketing to somebody who did not stop it"),
        pytest.param({"bulk": True}, id="bulk to somebody who did not"),
        pytest.param({"window": None, "window_opened_at": None}, id="a channel without a window"),
        pytest.param({"window_opened_at": None, "template": True}, id="a template outside of the window"),
        pytest.param({"window_opened_at": hours_ago(23.99)}, id="just inside"),
        pytest.param({"window_closed_at": hours_ago(2)}, id="closed before it was opened again"),
        pytest.param({"purpose": "human_agent", "window_opened_at": hours_ago(100)}, id="a human within seven days"),
        pytest.param(
            {"purpose": "human_agent", "window_opened_at": hours_ago(30), "window_closed_at": hours_ago(8)},
            id="a human, after the ordinary window was refused",
        ),
        pytest.param({"channel_health": "degraded"}, id="a degraded channel"),
    ],
)
def test_what_may_go(facts: dict[str, Any]) -> None:
    assert decide(replace(FREE, **facts)) is GO
