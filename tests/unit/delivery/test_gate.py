"""Every condition of the last gate, with a check that it is this condition and no other that decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from channels.capabilities import WindowRule
from inbox.delivery import gate
from inbox.delivery.gate import CONDITIONS, GO, Condition, Facts, Later, Refused, decide

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
    ("at the deadline", gate.expired, {"deadline": NOW}, "expired", "failed"),
    ("unreachable", gate.unreachable, {"unreachable": "blocked_us"}, "recipient_unreachable", "failed"),
    ("opted out", gate.opted_out, {"bulk": True, "marketing_stopped": True}, "opted_out", "failed"),
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


@pytest.mark.parametrize(
    ("condition", "facts", "code", "state"),
    [pytest.param(*row[1:], id=row[0]) for row in OBJECTIONS],
)
def test_what_the_gate_refuses_and_which_condition_does(
    condition: Condition, facts: dict[str, Any], code: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = decide(replace(FREE, **facts))
    assert isinstance(verdict, Refused)
    assert (verdict.code, verdict.state) == (code, state)
    assert verdict.reason.startswith("Not sent: ")
    monkeypatch.setattr(gate, "CONDITIONS", tuple(one for one in CONDITIONS if one is not condition))
    assert decide(replace(FREE, **facts)) is GO, "another condition hides the absence of this one"


def test_a_paused_channel_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = decide(replace(FREE, channel_health="paused"))
    assert verdict == Later(NOW + gate.PAUSED_RECHECK, "the provider has paused this channel")
    monkeypatch.setattr(gate, "CONDITIONS", tuple(one for one in CONDITIONS if one is not gate.channel_paused))
    assert decide(replace(FREE, channel_health="paused")) is GO


def test_a_refusal_comes_before_a_postponement() -> None:
    assert isinstance(decide(replace(FREE, channel_health="paused", blocked=True)), Refused)


def test_every_condition_has_a_row_here() -> None:
    assert {row[1] for row in OBJECTIONS} | {gate.channel_paused} == set(CONDITIONS)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({}, id="nothing special"),
        pytest.param({"lease_epoch": 3}, id="the lease still holds"),
        pytest.param({"marketing_stopped": True}, id="a reply to somebody who stopped marketing"),
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
