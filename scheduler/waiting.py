"""When something that waits may happen: a delay, a time of day, weekdays, hours that are open or quiet. Pure.

Invariant: what is found is an instant at which every rule says yes by the clock on the wall it belongs to, and none
before it (from where the wait begins) was one at which the rules named it. Rules that leave no room find nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from inbox.kernel.hours import Hours, Quiet, find_zone, resolve

EVERY_DAY: Final = frozenset(range(7))
_STEPS: Final = 60
"""How often quiet time, business hours and weekdays may push each other on before it is plain that there is no room."""


def first_allowed(at: datetime, quiet: Quiet | None, business: Hours | None) -> datetime | None:
    """``at``, or the next instant that is neither quiet nor outside of business hours. ``None``: there is none."""
    for _ in range(_STEPS):
        after_quiet = (None if quiet is None else quiet.ends(at)) or at
        opens = after_quiet if business is None else business.next_open(after_quiet)
        if opens is None or opens == at:
            return opens
        at = opens
    return None


@dataclass(frozen=True, slots=True)
class Wait:
    """``days`` pass on the calendar of the zone, ``seconds`` on any clock; then ``minute`` of the day, if it is given.

    With ``minute`` and whole days it is that time of that day. ``weekdays``: Monday is 0.
    """

    days: int = 0
    seconds: int = 0
    minute: int | None = None
    weekdays: frozenset[int] = EVERY_DAY

    def ends(self, since: datetime, zone: str, quiet: Quiet | None, business: Hours | None) -> datetime | None:
        """The first instant (UTC) at which this wait, begun at ``since``, is over. ``None``: there is no room."""
        there = find_zone(zone)
        return self._allowed(self._earliest(since, there), there, quiet, business)

    def allows(self, now: datetime, zone: str, quiet: Quiet | None, business: Hours | None) -> datetime | None:
        """``now``, or the next instant at which what has waited long enough may happen. ``None``: there is none."""
        return self._allowed(now, find_zone(zone), quiet, business)

    def _allowed(self, at: datetime, zone: ZoneInfo, quiet: Quiet | None, business: Hours | None) -> datetime | None:
        for _ in range(_STEPS):
            allowed = first_allowed(at, quiet, business)
            if allowed is None:
                return None
            if allowed.astimezone(zone).weekday() in self.weekdays:
                return allowed
            at = self._next_weekday(allowed, zone)
        return None

    def _earliest(self, since: datetime, zone: ZoneInfo) -> datetime:
        local = since.astimezone(zone).replace(tzinfo=None)
        # No day is added to an instant by way of the wall: in the doubled hour that would lead back.
        at = resolve(local + timedelta(days=self.days), zone) if self.days else since.astimezone(UTC)
        at += timedelta(seconds=self.seconds)
        if self.minute is None:
            return at
        on_the_day = bool(self.days) and not self.seconds
        day = at.astimezone(zone).date()
        while True:
            found = resolve(datetime.combine(day, time()) + timedelta(minutes=self.minute), zone)
            if found > since if on_the_day else found >= at:
                return found
            day += timedelta(days=1)

    def _next_weekday(self, at: datetime, zone: ZoneInfo) -> datetime:
        """The same time of the day, or the one that was asked for, on the next day that is allowed."""
        local = at.astimezone(zone).replace(tzinfo=None)
        for offset in range(1, 8):
            day = local.date() + timedelta(days=offset)
            if day.weekday() not in self.weekdays:
                continue
            wall = local.time() if self.minute is None else time(*divmod(self.minute, 60))
            return resolve(datetime.combine(day, wall), zone)
        raise AssertionError("at least one weekday is allowed")
