"""Until when free messages may go out, by rule, purpose, and what the provider said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from channels.capabilities import WindowRule
from inbox.conversations.window import sending_until

OPENED = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY, WEEK = timedelta(hours=24), timedelta(days=7)
WHATSAPP = WindowRule(hours=24, templates_outside=True)
MESSENGER = WindowRule(hours=24, human_agent_hours=168)


@pytest.mark.parametrize(
    ("label", "rule", "purpose", "opened", "closed", "until"),
    [
        ("never opened", WHATSAPP, "reply", None, None, None),
        ("a day after the customer wrote", WHATSAPP, "reply", OPENED, None, OPENED + DAY),
        ("no longer hours for people here", WHATSAPP, "human_agent", OPENED, None, OPENED + DAY),
        ("a week for people", MESSENGER, "human_agent", OPENED, None, OPENED + WEEK),
        ("closed early by the provider", MESSENGER, "reply", OPENED, OPENED + DAY / 2, OPENED + DAY / 2),
        ("which leaves people their week", MESSENGER, "human_agent", OPENED, OPENED + DAY / 2, OPENED + WEEK),
        ("closed to people as well", MESSENGER, "human_agent", OPENED, OPENED + 2 * DAY, OPENED + 2 * DAY),
        ("opened again since", MESSENGER, "reply", OPENED, OPENED - DAY, OPENED + DAY),
    ],
)
def test_until_when(
    label: str,
    rule: WindowRule,
    purpose: str,
    opened: datetime | None,
    closed: datetime | None,
    until: datetime | None,
) -> None:
    assert sending_until(rule, purpose, opened, closed) == until, label
