"""Waits, Retry-After, and when something is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from inbox.subscriptions.retries import (
    DISABLE,
    FEWEST_FAILURES,
    GIVE_UP_EVENT,
    WAITS,
    Retries,
    gives_up_event,
    gives_up_receiver,
    retry_after,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_waits_grow_over_four_days() -> None:
    assert list(WAITS) == sorted(WAITS)
    assert timedelta(days=4) <= timedelta(seconds=sum(WAITS)) < timedelta(days=5)
    assert len(WAITS) >= FEWEST_FAILURES
    assert DISABLE < GIVE_UP_EVENT, "a receiver that is down as a whole is disabled before an event is given up"


def test_spread_around_the_table() -> None:
    seen = {(Retries().next_at(NOW, 4) - NOW).total_seconds() for _ in range(200)}
    assert len(seen) > 100
    assert min(seen) >= 480
    assert max(seen) <= 720
    last = (Retries(lambda least, most: most).next_at(NOW, 99) - NOW).total_seconds()
    assert last == WAITS[-1] * 1.2


def test_retry_after_is_never_undercut() -> None:
    calm = Retries(lambda least, most: 1.0)
    assert calm.next_at(NOW, 1, not_before=NOW + timedelta(hours=1)) == NOW + timedelta(hours=1)
    assert calm.next_at(NOW, 5, not_before=NOW + timedelta(seconds=1)) == NOW + timedelta(seconds=1800)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", None),
        ("-5", None),
        ("soon", None),
        ("1.5", None),
        ("١٢٠", None),
        (" 120 ", 120),
        ("99999999999999999999", 86400),
        ("Mon, 02 Mar 2026 09:02:00 GMT", 120),
        ("Mon, 02 Mar 2026 08:59:59 GMT", None),
        ("Mon, 02 Mar 2126 09:00:00 GMT", 86400),
        ("Mon, 99 Mar 2026 09:00:00 GMT", None),
        ("Mon, 02 Mar 99999999999999999999 09:00:00 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: int | None) -> None:
    assert retry_after(header, NOW) == (None if seconds is None else NOW + timedelta(seconds=seconds))


def test_giving_up_needs_time_and_tries() -> None:
    assert not gives_up_receiver(NOW, NOW - timedelta(days=30), FEWEST_FAILURES - 1)
    assert not gives_up_receiver(NOW, NOW - timedelta(days=2, hours=23), 1000)
    assert gives_up_receiver(NOW, NOW - timedelta(days=3), FEWEST_FAILURES)
    assert not gives_up_event(NOW, NOW - timedelta(days=3, hours=23), 1000)
    assert gives_up_event(NOW, NOW - timedelta(days=4), FEWEST_FAILURES)
