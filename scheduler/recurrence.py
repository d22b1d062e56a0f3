"""Recurrences: a cron rule on the wall clock of a time zone, resolved to instants one at a time. Pure.

Invariant: every local occurrence happens at most once and instants only grow. An occurrence that falls into the hour
which a change of daylight saving time skips happens when that hour ends; one that the clock shows twice happens the
first time. Days that a month does not have are passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from inbox.kernel.hours import UnknownZone, find_zone, resolve

WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""By the number that cron gives them. APScheduler counts from Monday, so it is told names only."""

_TEXT: Final = re.compile(r"[0-9a-z*,/ \-]{9,200}")
_STEP: Final = re.compile(r"(?P<range>\*|[0-9a-z]+(?:-[0-9a-z]+)?)(?:/(?P<step>[0-9]{1,2}))?")
_HORIZON: Final = timedelta(days=366 * 41)
"""The rarest rule, a weekday on 29 February, repeats after 28 years, or 40 across a century without a leap day."""


class InvalidRecurrence(ValueError):
    """The rule cannot be understood, or never happens. The text is meant for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """``local``: what the wall clock shows (naive), the name of this occurrence within its schedule. ``at``: UTC."""

    local: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class Recurrence:
    """``cron``: minute hour day month weekday, as crontab(5) reads them. ``zone``: an IANA name.

    As in cron, when day and weekday are both restricted, either is enough. ``last`` is the last day of a month.
    Raises ``InvalidRecurrence``.
    """

    cron: str
    zone: str
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)
    _rules: tuple[CronTrigger, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_zone", _zone(self.zone))
        object.__setattr__(self, "_rules", _rules(self.cron))
        if self._next_local(datetime(2024, 1, 1)) is None:
            raise InvalidRecurrence(f"{self.cron!r} never happens")

    def next_after(self, instant: datetime) -> Occurrence:
        """The first occurrence strictly later than ``instant`` (aware)."""
        local = instant.astimezone(self._zone).replace(tzinfo=None)
        while (found := self._next_local(local)) is not None:
            at = resolve(found, self._zone)
            if at > instant:
                return Occurrence(found, at)
            # The hour that is shown twice: this one happened when it was shown first.
            local = found
        raise AssertionError("a rule that happens once happens again")

    def _next_local(self, after: datetime) -> datetime | None:
        """Wall time is reckoned as if it were UTC, where no hour is missing or doubled."""
        start = after.replace(tzinfo=UTC) + timedelta(microseconds=1)
        found = [rule.get_next_fire_time(None, start) for rule in self._rules]
        times: list[datetime] = [one for one in found if one is not None]
        if not times or min(times) - start > _HORIZON:
            return None
        return min(times).replace(tzinfo=None)


def _zone(name: str) -> ZoneInfo:
    try:
        return find_zone(name)
    except UnknownZone as error:
        raise InvalidRecurrence(str(error)) from error


def _rules(cron: str) -> tuple[CronTrigger, ...]:
    fields = cron.lower().split()
    if len(fields) != 5 or not _TEXT.fullmatch(" ".join(fields)):
        raise InvalidRecurrence(f"{cron!r} is not a rule of five fields: minute hour day month weekday")
    minute, hour, day, month, weekday = fields
    days = [(day, _weekdays(weekday))]
    if not day.startswith("*") and not weekday.startswith("*"):
        days = [(day, "*"), ("*", _weekdays(weekday))]
    try:
        return tuple(
            CronTrigger(
                minute=minute,
                hour=hour,
                day=day,
                month=month,
                day_of_week=weekday,
                timezone=UTC,
                end_date=datetime(2024, 1, 1, tzinfo=UTC) + 6 * _HORIZON,
            )
            for day, weekday in days
        )
    except ValueError as error:
        raise InvalidRecurrence(f"{cron!r}: {error}") from error


def _weekdays(text: str) -> str:
    """A weekday field with names in place of cron's numbers (0 and 7 are Sunday) and every range written out."""
    if text == "*":
        return text
    chosen: set[int] = set()
    for part in text.split(","):
        match = _STEP.fullmatch(part)
        if match is None:
            raise InvalidRecurrence(f"{part!r} is not a weekday")
        first, last = _span(match["range"], stepped=match["step"] is not None)
        step = int(match["step"] or 1)
        if step == 0 or first > last:
            raise InvalidRecurrence(f"{part!r} is not a range of weekdays")
        chosen.update(number % 7 for number in range(first, last + 1, step))
    return ",".join(WEEKDAYS[number] for number in sorted(chosen))


def _span(text: str, *, stepped: bool) -> tuple[int, int]:
    if text == "*":
        return 0, 6
    first, dash, last = text.partition("-")
    low = _weekday(first)
    if not dash:
        return low, 6 if stepped else low
    high = _weekday(last)
    # "fri-sun" and "5-7" mean the same; Sunday as the end of a range is the seventh day.
    return low, 7 if high == 0 and low > 0 else high


def _weekday(text: str) -> int:
    if text in WEEKDAYS:
        return WEEKDAYS.index(text)
    if text.isdigit() and int(text) <= 7:
        return int(text)
    raise InvalidRecurrence(f"{text!r} is not a weekday")
