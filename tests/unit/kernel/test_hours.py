"""Hours as tables, and against a clock that is looked at every minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inbox.kernel.hours import DAY, WEEKDAYS, Hours, Quiet, Span, UnknownZone, find_zone, minutes

OFFICE = {"weekly": {day: [{"from": "09:00", "to": "12:00"}, {"from": "13:00", "to": "17:00"}] for day in WEEKDAYS[:5]}}
NIGHT = {"weekly": {"sun": [{"from": "02:15", "to": "02:45"}]}}
ALWAYS = {"weekly": {day: [{"from": "00:00", "to": "24:00"}] for day in WEEKDAYS}}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NEXT_OPEN: list[tuple[str, str, dict[str, Any], str, str | None]] = [
    ("open: now", "Europe/Berlin", OFFICE, "2026-01-05T08:30", "2026-01-05T08:30"),
    ("before the first span", "Europe/Berlin", OFFICE, "2026-01-05T05:00", "2026-01-05T08:00"),
    ("at the first minute", "Europe/Berlin", OFFICE, "2026-01-05T08:00", "2026-01-05T08:00"),
    ("the end is not part of it", "Europe/Berlin", OFFICE, "2026-01-05T11:00", "2026-01-05T12:00"),
    ("over the weekend", "Europe/Berlin", OFFICE, "2026-01-09T16:00", "2026-01-12T08:00"),
    ("in summer an hour earlier", "Europe/Berlin", OFFICE, "2026-07-06T05:00", "2026-07-06T07:00"),
    ("local Monday, UTC Sunday", "Asia/Tokyo", OFFICE, "2026-01-04T23:30", "2026-01-05T00:00"),
    (
        "holidays are passed over",
        "Europe/Berlin",
        {**OFFICE, "holidays": ["2026-12-24", "2026-12-25"]},
        "2026-12-23T17:00",
        "2026-12-28T08:00",
    ),
    ("a gap hides the span: next week", "Europe/Berlin", NIGHT, "2026-03-28T12:00", "2026-04-05T00:15"),
    ("shown twice: the first time", "Europe/Berlin", NIGHT, "2026-10-24T12:00", "2026-10-25T00:15"),
    ("shown twice: and the second time", "Europe/Berlin", NIGHT, "2026-10-25T00:50", "2026-10-25T01:15"),
    (
        "a span over the gap begins when the gap ends",
        "Europe/Berlin",
        {"weekly": {"sun": [{"from": "02:30", "to": "05:00"}]}},
        "2026-03-28T12:00",
        "2026-03-29T01:00",
    ),
    (
        "open again because the clock goes back into the span",
        "Europe/Berlin",
        {"weekly": {"sun": [{"from": "01:00", "to": "02:30"}]}},
        "2026-10-25T00:45",
        "2026-10-25T01:00",
    ),
    ("around the clock", "UTC", ALWAYS, "2026-01-04T23:59:59", "2026-01-04T23:59:59"),
    ("never", "UTC", {"weekly": {}}, "2026-01-04T12:00", None),
    ("a day that a zone left out", "Pacific/Apia", ALWAYS, "2011-12-30T09:59", "2011-12-30T09:59"),
]


@pytest.mark.parametrize(
    ("zone", "stored", "now", "expected"), [pytest.param(*row[1:], id=row[0]) for row in NEXT_OPEN]
)
def test_when_it_opens_next(zone: str, stored: dict[str, Any], now: str, expected: str | None) -> None:
    assert Hours.of(zone, stored).next_open(at(now)) == (None if expected is None else at(expected))


ENDS: list[tuple[str, dict[str, Any], str, str | None]] = [
    (
        "in the evening",
        {"zone": "Europe/Berlin", "from": "21:00", "to": "08:00"},
        "2026-01-05T20:00",
        "2026-01-06T07:00",
    ),
    (
        "in the morning",
        {"zone": "Europe/Berlin", "from": "21:00", "to": "08:00"},
        "2026-01-06T06:59",
        "2026-01-06T07:00",
    ),
    ("at the end", {"zone": "Europe/Berlin", "from": "21:00", "to": "08:00"}, "2026-01-06T07:00", None),
    ("by day", {"zone": "Europe/Berlin", "from": "21:00", "to": "08:00"}, "2026-01-06T12:00", None),
    ("a siesta", {"zone": "Europe/Madrid", "from": "14:00", "to": "16:00"}, "2026-07-06T12:30", "2026-07-06T14:00"),
    (
        "begun on a chosen day, it lasts into the next",
        {"zone": "UTC", "from": "22:00", "to": "06:00", "days": ["fri"]},
        "2026-01-10T05:00",
        "2026-01-10T06:00",
    ),
    (
        "the morning of a chosen day belongs to the night before",
        {"zone": "UTC", "from": "22:00", "to": "06:00", "days": ["fri"]},
        "2026-01-09T05:00",
        None,
    ),
    ("to midnight", {"zone": "UTC", "from": "22:00", "to": "00:00"}, "2026-01-09T23:30", "2026-01-10T00:00"),
    (
        "the night that has an hour less",
        {"zone": "America/New_York", "from": "21:00", "to": "08:00"},
        "2026-03-08T06:30",
        "2026-03-08T12:00",
    ),
    (
        "the end is in the hour that is missing",
        {"zone": "America/New_York", "from": "21:00", "to": "02:30"},
        "2026-03-08T06:30",
        "2026-03-08T07:00",
    ),
    (
        "the end is shown twice: quiet until the first, and again when the clock goes back",
        {"zone": "America/New_York", "from": "21:00", "to": "01:30"},
        "2026-11-01T06:10",
        "2026-11-01T06:30",
    ),
]


@pytest.mark.parametrize(("stored", "now", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ENDS])
def test_when_a_quiet_time_ends(stored: dict[str, Any], now: str, expected: str | None) -> None:
    quiet = Quiet.of(stored)
    assert quiet.ends(at(now)) == (None if expected is None else at(expected))
    assert Quiet.of(quiet.stored()) == quiet


def test_the_zone_of_the_person_counts_before_the_stored_one() -> None:
    assert Quiet.of({"zone": "UTC", "from": "21:00", "to": "08:00"}, "Asia/Tokyo").zone == "Asia/Tokyo"


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo")
CHANGES = (
    "2026-03-29",
    "2026-10-25",
    "2026-03-08",
    "2026-11-01",
    "2026-04-05",
    "2026-10-04",
    "2018-11-04",
    "2018-02-17",
)
"""Days on which one of the zones changes its clock; Brazil did so at midnight."""

instants = st.builds(
    lambda day, minute: at(day) + timedelta(minutes=minute), st.sampled_from(CHANGES), st.integers(-DAY, 2 * DAY)
)
spans = st.builds(
    lambda start, length: Span(start, min(DAY, start + length)), st.integers(0, DAY - 1), st.integers(1, 300)
)


def scan(start: datetime, days: int) -> list[datetime]:
    return [start + timedelta(minutes=minute) for minute in range(1, days * DAY)]


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(ZONES), st.lists(st.lists(spans, max_size=2), min_size=7, max_size=7), instants)
def test_opening_is_what_somebody_sees_who_looks_every_minute(
    zone: str, weekly: list[list[Span]], now: datetime
) -> None:
    hours = Hours(zone, tuple(tuple(day) for day in weekly), frozenset({date(2026, 3, 29)}))
    found = hours.next_open(now)
    if hours.is_open(now):
        assert found == now
        return
    seen = next((instant for instant in scan(now, 3) if hours.is_open(instant)), None)
    if seen is None:
        assert found is None or found >= now + timedelta(days=3)
    else:
        assert found == seen


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.integers(0, DAY - 1),
    st.integers(1, DAY - 1),
    st.frozensets(st.integers(0, 6), min_size=1),
    instants,
)
def test_quiet_ends_when_somebody_sees_it_who_looks_every_minute(
    zone: str, start: int, length: int, days: frozenset[int], now: datetime
) -> None:
    quiet = Quiet(zone, start, (start + length) % DAY, days)
    found = quiet.ends(now)
    if not quiet.is_quiet(now):
        assert found is None
        return
    assert found == next(instant for instant in scan(now, 3) if not quiet.is_quiet(instant))


@pytest.mark.parametrize("text", ["9:00", "24:01", "25:00", "09:00:30", "nine", "09:00+01:00", ""])
def test_what_is_no_time_of_the_day(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the kind is the contract, the words are not
        minutes(text)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_what_is_no_zone(name: str) -> None:
    with pytest.raises(UnknownZone):
        find_zone(name)


@pytest.mark.parametrize(("start", "end"), [(10, 10), (20, 10), (-1, 5), (0, DAY + 1)])
def test_what_is_no_span(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="begins before it ends"):
        Span(start, end)


def test_quiet_that_never_ends_is_refused() -> None:
    with pytest.raises(ValueError, match="different times"):
        Quiet("UTC", 60, 60)
