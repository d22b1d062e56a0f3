"""What becomes of a scheduled message at its time, as a pure decision: each condition has a case that needs it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from channels.capabilities import WindowRule
from contacts.reach_rows import Reach
from inbox.conversations.composer import Standing
from inbox.kernel.hours import Hours, Quiet, Span
from scheduler.scheduled import deciding
from scheduler.scheduled.deciding import CONDITIONS, Facts, Go, Ignore, Later, Outcome, Stop, Verdict, decide, outcome

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""A Monday."""
FREE = Standing(
    channel_state="enabled",
    channel_health="healthy",
    reach=Reach(blocked=False, unreachable=None, marketing_stopped=False, by_phone=True),
    window=WindowRule(24, 168, True),
    window_opened_at=NOW - timedelta(hours=1),
    window_closed_at=None,
)
SHUT = replace(FREE, window_opened_at=NOW - timedelta(hours=25))
NIGHT = Quiet("UTC", 11 * 60, 13 * 60)
MORNINGS = Hours("UTC", tuple((Span(9 * 60, 10 * 60),) for _ in range(7)))
AT_LUNCH = Hours("UTC", tuple((Span(12 * 60, 13 * 60),) for _ in range(7)))


def facts(**given: Any) -> Facts:
    usual = Facts(
        now=NOW,
        state="scheduled",
        meant=True,
        due_at=NOW,
        catch_up="send",
        late_after=timedelta(minutes=15),
        hold_after_number=None,
        last_inbound_number=3,
        conversation_status="open",
        when_closed="send",
        quiet=None,
        business=None,
        standing=FREE,
        purpose="reply",
        template=False,
        fallback=False,
    )
    return replace(usual, **given)


def standing(**given: Any) -> Standing:
    reach = {name: given.pop(name) for name in ("blocked", "unreachable", "marketing_stopped") if name in given}
    return replace(FREE, reach=replace(FREE.reach, **reach), **given)


CASES: list[tuple[str, Facts, Verdict]] = [
    ("now", facts(), Go()),
    ("another timer is meant", facts(meant=False), Ignore()),
    ("held meanwhile", facts(state="held"), Ignore()),
    ("cancelled meanwhile", facts(state="cancelled"), Ignore()),
    ("not yet, elsewhere", facts(due_at=NOW + timedelta(hours=6)), Later(NOW + timedelta(hours=6), None)),
    ("blocked", facts(standing=standing(blocked=True)), Stop("held", "blocked")),
    ("written since", facts(hold_after_number=2), Stop("held", "replied")),
    ("not written since", facts(hold_after_number=3), Go()),
    ("closed, never mind", facts(conversation_status="closed"), Go()),
    (
        "closed, skip",
        facts(conversation_status="closed", when_closed="skip"),
        Stop("skipped", "conversation_closed"),
    ),
    ("closed, hold", facts(conversation_status="closed", when_closed="hold"), Stop("held", "conversation_closed")),
    ("late, never mind", facts(due_at=NOW - timedelta(days=3)), Go()),
    ("late, skip", facts(due_at=NOW - timedelta(minutes=16), catch_up="skip"), Stop("skipped", "late")),
    ("late, hold", facts(due_at=NOW - timedelta(minutes=16), catch_up="hold"), Stop("held", "late")),
    ("just in time", facts(due_at=NOW - timedelta(minutes=15), catch_up="hold"), Go()),
    ("quiet", facts(quiet=NIGHT), Later(NOW + timedelta(hours=1), "quiet_hours")),
    ("out of hours", facts(business=MORNINGS), Later(NOW + timedelta(hours=21), "business_hours")),
    ("open", facts(business=AT_LUNCH), Go()),
    ("open only when quiet", facts(business=AT_LUNCH, quiet=NIGHT), Stop("held", "never_open")),
    ("both", facts(business=MORNINGS, quiet=NIGHT), Later(NOW + timedelta(hours=21), "quiet_hours")),
    (
        "never open",
        facts(business=Hours("UTC", ((),) * 7)),
        Stop("held", "never_open"),
    ),
    ("disabled", facts(standing=standing(channel_state="disabled")), Stop("held", "channel_disabled")),
    ("unauthorised", facts(standing=standing(channel_health="reauthorise")), Stop("held", "channel_unauthorised")),
    ("unreachable", facts(standing=standing(unreachable="blocked_us")), Stop("held", "unreachable")),
    (
        "marketing stopped",
        facts(standing=standing(marketing_stopped=True), purpose="marketing"),
        Stop("held", "opted_out"),
    ),
    ("no marketing", facts(standing=standing(marketing_stopped=True)), Go()),
    ("window closed", facts(standing=SHUT), Stop("held", "window_closed")),
    ("window closed, a person's", facts(standing=SHUT, purpose="human_agent"), Go()),
    ("window closed, a template", facts(standing=SHUT, template=True), Go()),
    ("window closed, fallback", facts(standing=SHUT, fallback=True), Go(fallback=True)),
    ("window open, fallback", facts(fallback=True), Go()),
    (
        "no templates outside",
        facts(standing=replace(SHUT, window=WindowRule(24, None, False)), fallback=True),
        Stop("held", "window_closed"),
    ),
    # Which of two objections counts.
    (
        "late and blocked",
        facts(due_at=NOW - timedelta(days=1), catch_up="skip", standing=standing(blocked=True)),
        Stop("held", "blocked"),
    ),
    (
        "replied and closed",
        facts(hold_after_number=1, conversation_status="closed", when_closed="skip"),
        Stop("held", "replied"),
    ),
    ("quiet and closed window", facts(quiet=NIGHT, standing=SHUT), Later(NOW + timedelta(hours=1), "quiet_hours")),
    ("blocked and quiet", facts(quiet=NIGHT, standing=standing(blocked=True)), Stop("held", "blocked")),
]


@pytest.mark.parametrize(("given", "wanted"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_the_decision(given: Facts, wanted: Verdict) -> None:
    assert decide(given) == wanted


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.__name__)
def test_without_any_one_condition_some_case_comes_out_wrong(
    monkeypatch: pytest.MonkeyPatch, condition: deciding.Condition
) -> None:
    monkeypatch.setattr(deciding, "CONDITIONS", tuple(one for one in CONDITIONS if one is not condition))
    assert any(decide(given) != wanted for _, given, wanted in CASES)


def test_whatever_else_there_is_what_nobody_wants_any_more_is_left_alone() -> None:
    for _, given, _ in CASES:
        assert decide(replace(given, state="cancelled")) == decide(replace(given, meant=False)) == Ignore()


OUTCOMES: list[tuple[str, str | None, dict[str, str], Outcome]] = [
    ("queued", None, {}, Outcome("due")),
    ("sending", None, {}, Outcome("due")),
    ("uncertain", "outcome_unknown", {}, Outcome("due", uncertain=True)),
    ("sent", None, {}, Outcome("sent")),
    ("delivered", None, {}, Outcome("sent")),
    ("read", None, {}, Outcome("sent")),
    ("played", None, {}, Outcome("sent")),
    ("cancelled", "withdrawn", {}, Outcome("cancelled")),
    ("cancelled", "replied", {}, Outcome("held", "replied")),
    ("cancelled", "contact_blocked", {}, Outcome("held", "blocked")),
    ("cancelled", "superseded", {}, Outcome("held", "superseded")),
    ("cancelled", "conversation_closed", {"when_closed": "skip"}, Outcome("skipped", "conversation_closed")),
    ("cancelled", "conversation_closed", {"when_closed": "hold"}, Outcome("held", "conversation_closed")),
    ("failed", "window_closed", {}, Outcome("held", "window_closed")),
    ("failed", "channel_disabled", {}, Outcome("held", "channel_disabled")),
    ("failed", "recipient_unreachable", {}, Outcome("held", "unreachable")),
    ("failed", "expired", {"catch_up": "send"}, Outcome("failed", "expired")),
    ("failed", "expired", {"catch_up": "skip"}, Outcome("skipped", "late")),
    ("failed", "expired", {"catch_up": "hold"}, Outcome("held", "late")),
    ("failed", "policy", {}, Outcome("failed", "policy")),
    ("failed", None, {}, Outcome("failed", "failed")),
]


@pytest.mark.parametrize(("status", "fault", "given", "wanted"), OUTCOMES)
def test_how_it_stands_by_its_message(status: str, fault: str | None, given: dict[str, Any], wanted: Outcome) -> None:
    options: dict[str, Any] = {"when_closed": "send", "catch_up": "send", **given}
    assert outcome(status, fault, **options) == wanted
