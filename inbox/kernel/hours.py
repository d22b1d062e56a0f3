"""Wall-clock hours: when something is open by the week, and when it has to be quiet. Pure.

Invariant: whether an instant is open or quiet is what a clock on the wall there would say at that instant; when that
changes next is found among the instants at which the wall clock shows a border, or jumps. So a night in which an hour
is missing or comes twice needs no rule of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""By ``date.weekday()``."""
DAY: Final = 24 * 60
_HORIZON: Final = 400
"""Days that ``next_open`` looks ahead: a year of holidays and some more."""


NO_ZONES: Final = frozenset({"Factory", "localtime", "posixrules"})
"""Files that lie beside those of the zones. What they say depends on the machine, or they say nothing."""


class UnknownZone(ValueError):
    """Not the name of a time zone."""


@cache
def zone_names() -> frozenset[str]:
    """All that IANA names, links included."""
    return frozenset(available_timezones() - NO_ZONES)


def find_zone(name: str) -> ZoneInfo:
    """By its IANA name. Raises ``UnknownZone``."""
    if name not in zone_names():
        raise UnknownZone(f"{name!r} is not a time zone")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownZone(f"{name!r} is not a time zone") from error


def resolve(local: datetime, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which the wall clock of ``zone`` first shows ``local`` (naive), or jumps over it."""
    at = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == local:
        return at
    # In a gap the two folds name instants on either side of the change; it lies between them.
    jump = _change(zone, local.replace(tzinfo=zone, fold=1).astimezone(UTC), at)
    return at if jump is None else jump


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes of a day, from midnight; ``end`` is not part of it and at most 1440."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= DAY:
            raise ValueError("a span begins before it ends, on the same day")


@dataclass(frozen=True, slots=True)
class Hours:
    """Open in the spans of each weekday (Monday first), but not on holidays, on the wall clock of ``zone``."""

    zone: str
    weekly: tuple[tuple[Span, ...], ...]
    holidays: frozenset[date] = frozenset()
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.weekly) != len(WEEKDAYS):
            raise ValueError("a week has seven days")
        object.__setattr__(self, "_zone", find_zone(self.zone))

    @classmethod
    def of(cls, zone: str, stored: Mapping[str, Any]) -> Hours:
        """``stored``: ``{"weekly": {"mon": [{"from": "09:00", "to": "17:00"}], …}, "holidays": ["2026-12-25"]}``."""
        weekly = stored.get("weekly", {})
        spans = tuple(
            tuple(Span(minutes(span["from"]), minutes(span["to"])) for span in weekly.get(day, ())) for day in WEEKDAYS
        )
        return cls(zone, spans, frozenset(date.fromisoformat(day) for day in stored.get("holidays", ())))

    def is_open(self, at: datetime) -> bool:
        local = at.astimezone(self._zone)
        minute = local.hour * 60 + local.minute
        return any(span.start <= minute < span.end for span in self._spans(local.date()))

    def next_open(self, at: datetime) -> datetime | None:
        """``at`` itself when it is open then, otherwise the next instant (UTC). ``None``: not within a year."""
        if self.is_open(at):
            return at
        today = at.astimezone(self._zone).date()
        for offset in range(_HORIZON):
            day = today + timedelta(days=offset)
            borders = _instants(self._zone, day, [span.start for span in self._spans(day)])
            found = [instant for instant in borders if instant > at and self.is_open(instant)]
            if found:
                return min(found)
        return None

    def _spans(self, day: date) -> tuple[Span, ...]:
        return () if day in self.holidays else self.weekly[day.weekday()]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing between ``start`` and ``end``, minutes of the day, over midnight where the end is the smaller one.

    ``days``: weekdays (Monday is 0) on which such a time begins; all of them unless said otherwise.
    """

    zone: str
    start: int
    end: int
    days: frozenset[int] = frozenset(range(7))
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (0 <= self.start < DAY and 0 <= self.end < DAY) or self.start == self.end:
            raise ValueError("a quiet time begins and ends at different times of the day")
        object.__setattr__(self, "_zone", find_zone(self.zone))

    @classmethod
    def of(cls, stored: Mapping[str, Any], zone: str | None = None) -> Quiet:
        """``stored``: ``{"from": "21:00", "to": "08:00", "days": ["mon", …], "zone": "Europe/Berlin"}``.

        ``zone`` counts before the one that is stored, ``days`` may be missing.
        """
        days = stored.get("days")
        chosen = frozenset(range(7)) if days is None else frozenset(WEEKDAYS.index(day) for day in days)
        return cls(zone or stored["zone"], minutes(stored["from"]), minutes(stored["to"]), chosen)

    def stored(self) -> dict[str, object]:
        """What ``of`` reads."""
        days = [WEEKDAYS[day] for day in sorted(self.days)]
        return {"zone": self.zone, "from": _text(self.start), "to": _text(self.end), "days": days}

    def is_quiet(self, at: datetime) -> bool:
        local = at.astimezone(self._zone)
        minute, weekday = local.hour * 60 + local.minute, local.weekday()
        if self.start < self.end:
            return weekday in self.days and self.start <= minute < self.end
        if minute >= self.start:
            return weekday in self.days
        return minute < self.end and (weekday - 1) % 7 in self.days

    def ends(self, at: datetime) -> datetime | None:
        """When the quiet time in which ``at`` lies is over (UTC). ``None``: it lies in none."""
        if not self.is_quiet(at):
            return None
        today = at.astimezone(self._zone).date()
        ends = [
            instant
            for offset in range(3)
            for instant in _instants(self._zone, today + timedelta(days=offset), [self.end])
            if instant > at and not self.is_quiet(instant)
        ]
        return min(ends)


def minutes(text: str) -> int:
    """``09:30`` is 570, and ``24:00`` the end of the day. Raises ``ValueError``."""
    if text == "24:00":
        return DAY
    given = time.fromisoformat(text)
    if given.second or given.microsecond or given.tzinfo is not None or len(text) != 5:
        raise ValueError("a time of day is hours and minutes, as in 09:30")
    return given.hour * 60 + given.minute


def _text(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _instants(zone: ZoneInfo, day: date, borders: list[int]) -> Iterator[datetime]:
    """When the wall clock shows these minutes of the day, each time that it does, and when it jumps on that day."""
    midnight = datetime.combine(day, time())
    for border in borders:
        local = midnight + timedelta(minutes=border)
        yield resolve(local, zone)
        yield local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    # The first and the last minute that this date can have, however the clock is changed at midnight.
    first = (midnight - timedelta(hours=2)).replace(tzinfo=zone).astimezone(UTC)
    last = (midnight + timedelta(days=1, hours=2)).replace(tzinfo=zone).astimezone(UTC)
    jump = _change(zone, first, last)
    if jump is not None:
        yield jump


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime | None:
    """The first instant with the later offset, if the offset of ``zone`` differs between these two."""
    offset = after.astimezone(zone).utcoffset()
    if before.astimezone(zone).utcoffset() == offset:
        return None
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after
