"""The messaging window: how long after the customer's last opening event free messages may go out (row A6)."""

from __future__ import annotations

from datetime import datetime, timedelta

from channels.capabilities import WindowRule


def window_expiry(hours: int | None, opened_at: datetime | None, closed_at: datetime | None) -> datetime | None:
    """When the window ends or ended. ``None``: this channel has no window, or it was never open.

    ``closed_at``: the provider refused although our clock said open; only a later opening event counts again.
    """
    if hours is None or opened_at is None:
        return None
    if closed_at is not None and closed_at > opened_at:
        return closed_at
    return opened_at + timedelta(hours=hours)


def sending_until(
    rule: WindowRule, purpose: str, opened_at: datetime | None, closed_at: datetime | None
) -> datetime | None:
    """Until when free messages of this purpose may go out; ``None``: the window was never open.

    ``human_agent`` has longer hours on some channels, and what the provider refused within the ordinary hours says
    nothing about them.
    """
    if purpose != "human_agent" or rule.human_agent_hours is None:
        return window_expiry(rule.hours, opened_at, closed_at)
    ordinary = window_expiry(rule.hours, opened_at, None)
    if closed_at is not None and ordinary is not None and closed_at < ordinary:
        closed_at = None
    return window_expiry(rule.human_agent_hours, opened_at, closed_at)
