"""A clock that only moves when a test says so."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""A Monday morning, far from any change of daylight saving time."""


class FakeClock:
    """Stands in for `inbox.kernel.clock.SystemClock`; wall time and monotonic time move together."""

    def __init__(self, at: datetime = START) -> None:
        if at.tzinfo is None:
            raise ValueError("a clock needs an aware datetime")
        self._now = at.astimezone(UTC)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, by: timedelta | float) -> datetime:
        """Move on by a duration or a number of seconds; answers the new instant."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta(0):
            raise ValueError("monotonic time does not go back; use set_wall")
        self._now += step
        self._monotonic += step.total_seconds()
        return self._now

    def set_wall(self, at: datetime) -> None:
        """Step the wall clock as an administrator or NTP would; monotonic time stays."""
        if at.tzinfo is None:
            raise ValueError("a clock needs an aware datetime")
        self._now = at.astimezone(UTC)
