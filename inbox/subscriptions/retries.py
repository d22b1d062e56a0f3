"""When a failed delivery is tried again, and when a receiver or an event is given up. Pure.

The waits add up to four days; each is spread, so that what failed together does not come back together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

WAITS: Final = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 43_200, 86_400, 86_400, 86_400)
SPREAD: Final = 0.2
LONGEST_RETRY_AFTER: Final = timedelta(days=1)
PROBE: Final = timedelta(minutes=10)
"""A receiver that seems to be down is asked at least this often, so that it is found when it is back."""
GIVE_UP_EVENT: Final = timedelta(days=4)
DISABLE: Final = timedelta(days=3)
FEWEST_FAILURES: Final = 10
"""Time alone gives nothing up: a quiet subscription with one failure a week ago is not failing."""


@dataclass(frozen=True, slots=True)
class Retries:
    """``uniform``: as ``random.uniform``."""

    uniform: Callable[[float, float], float] = random.uniform

    def next_at(self, now: datetime, attempts: int, *, not_before: datetime | None = None) -> datetime:
        """After failure number ``attempts``. The receiver's own ``Retry-After`` is never undercut."""
        wait = WAITS[min(attempts, len(WAITS)) - 1] * self.uniform(1 - SPREAD, 1 + SPREAD)
        at = now + timedelta(seconds=wait)
        return at if not_before is None else max(at, not_before)


def gives_up_event(now: datetime, failing_since: datetime, attempts: int) -> bool:
    return attempts >= FEWEST_FAILURES and now - failing_since >= GIVE_UP_EVENT


def gives_up_receiver(now: datetime, failing_since: datetime, failures: int) -> bool:
    return failures >= FEWEST_FAILURES and now - failing_since >= DISABLE


def retry_after(header: str | None, now: datetime) -> datetime | None:
    """The instant that a ``Retry-After`` (RFC 9110, section 10.2.3) names; nonsense and the past are None."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        at = now + timedelta(seconds=min(int(text[:9]), LONGEST_RETRY_AFTER.total_seconds()))
    else:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(at, now + LONGEST_RETRY_AFTER) if at > now else None
