"""The messaging window: how long after the customer's last opening event free messages may go out (row A6)."""

from __future__ import annotations

from datetime import datetime, timedelta


def window_expiry(hours: int | None, opened_at: datetime | None, closed_at: datetime | None) -> datetime | None:
    """When the window ends or ended. ``None``: this channel has no window, or it was never open.

    ``closed_at``: the provider refused although our clock said open; only a later opening event counts again.
    """
    if hours is None or opened_at is None:
        return None
    if closed_at is not None and closed_at > opened_at:
        return closed_at
    return opened_at + timedelta(hours=hours)


def window_is_open(hours: int | None, opened_at: datetime | None, closed_at: datetime | None, now: datetime) -> bool:
    if hours is None:
        return True
    expiry = window_expiry(hours, opened_at, closed_at)
    return expiry is not None and now < expiry
