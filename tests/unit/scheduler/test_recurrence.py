"""Recurrences as tables: each row says a rule, a zone, a start, and the wall times and instants that follow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inbox.kernel.hours import resolve
from scheduler.recurrence import InvalidRecurrence, Recurrence


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def following(cron: str, zone: str, start: str, count: int) -> list[tuple[str, str]]:
    rule, instant, found = Recurrence(cron, zone), at(start), []
    for _ in range(count):
        one = rule.next_after(instant)
        found.append((one.local.strftime("%a %Y-%m-%d %H:%M"), one.at.strftime("%d %H:%M")))
        instant = one.at
    return found


@pytest.mark.parametrize(
    ("cron", "zone", "start", "expected"),
    [
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T00:00",
            [
                ("Sat 2026-03-28 02:30", "28 01:30"),
                ("Sun 2026-03-29 02:30", "29 01:00"),
                ("Mon 2026-03-30 02:30", "30 00:30"),
            ],
            id="a time that spring skips happens when the gap ends",
        ),
        pytest.param(
            "*/20 1-3 * * *",
            "Europe/Berlin",
            "2026-03-29T00:20",
            [
                ("Sun 2026-03-29 01:40", "29 00:40"),
                ("Sun 2026-03-29 02:00", "29 01:00"),
                ("Sun 2026-03-29 03:20", "29 01:20"),
            ],
            id="skipped times do not pile up at the end of the gap",
        ),
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00",
            [("Sun 2026-10-25 02:30", "25 00:30"), ("Mon 2026-10-26 02:30", "26 01:30")],
            id="the hour that autumn repeats counts once",
        ),
        pytest.param(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:10",
            [("Sun 2026-10-25 02:30", "25 00:30"), ("Sun 2026-10-25 03:00", "25 02:00")],
            id="many a day: the repeated hour is dropped",
        ),
        pytest.param(
            "15 2 * * *",
            "Europe/Berlin",
            "2026-10-25T01:10",
            [("Mon 2026-10-26 02:15", "26 01:15")],
            id="asked within the repeated hour",
        ),
        pytest.param(
            "30 2 * * *",
            "America/New_York",
            "2026-03-07T12:00",
            [("Sun 2026-03-08 02:30", "08 07:00"), ("Mon 2026-03-09 02:30", "09 06:30")],
            id="the other side of the ocean",
        ),
        pytest.param(
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00",
            [("Sun 2026-10-04 02:15", "03 15:30"), ("Mon 2026-10-05 02:15", "04 15:15")],
            id="a gap of half an hour",
        ),
        pytest.param(
            "0 9 * * *",
            "Pacific/Apia",
            "2011-12-29T12:00",
            [
                ("Thu 2011-12-29 09:00", "29 19:00"),
                ("Fri 2011-12-30 09:00", "30 10:00"),
                ("Sat 2011-12-31 09:00", "30 19:00"),
            ],
            id="a day that a country left out",
        ),
        pytest.param(
            "0 9 * * *",
            "Europe/Berlin",
            "2026-03-27T12:00",
            [("Sat 2026-03-28 09:00", "28 08:00"), ("Sun 2026-03-29 09:00", "29 07:00")],
            id="nine in the morning stays nine",
        ),
        pytest.param(
            "0 0 29 2 *",
            "UTC",
            "2026-01-01T00:00",
            [("Tue 2028-02-29 00:00", "29 00:00"), ("Sun 2032-02-29 00:00", "29 00:00")],
            id="leap day",
        ),
        pytest.param(
            "0 0 29 2 *",
            "UTC",
            "2096-03-01T00:00",
            [("Fri 2104-02-29 00:00", "29 00:00")],
            id="a century without a leap day",
        ),
        pytest.param(
            "0 8 31 * *",
            "UTC",
            "2026-01-31T08:00",
            [("Tue 2026-03-31 08:00", "31 08:00"), ("Sun 2026-05-31 08:00", "31 08:00")],
            id="months without a 31st are passed over",
        ),
        pytest.param(
            "0 8 last * *",
            "UTC",
            "2028-01-31T08:00",
            [("Tue 2028-02-29 08:00", "29 08:00"), ("Fri 2028-03-31 08:00", "31 08:00")],
            id="the last day of a month",
        ),
        pytest.param(
            "0 8 13 * fri",
            "UTC",
            "2026-03-07T00:00",
            [
                ("Fri 2026-03-13 08:00", "13 08:00"),
                ("Fri 2026-03-20 08:00", "20 08:00"),
                ("Fri 2026-03-27 08:00", "27 08:00"),
                ("Fri 2026-04-03 08:00", "03 08:00"),
                ("Fri 2026-04-10 08:00", "10 08:00"),
                ("Mon 2026-04-13 08:00", "13 08:00"),
            ],
            id="day or weekday, as cron has it",
        ),
        pytest.param(
            "0 8 */2 * mon",
            "UTC",
            "2026-03-01T00:00",
            [("Mon 2026-03-09 08:00", "09 08:00"), ("Mon 2026-03-23 08:00", "23 08:00")],
            id="day and weekday when one begins with a star",
        ),
    ],
)
def test_what_follows(cron: str, zone: str, start: str, expected: list[tuple[str, str]]) -> None:
    assert following(cron, zone, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("0", "Sun"),
        ("7", "Sun"),
        ("1", "Mon"),
        ("6", "Sat"),
        ("sun", "Sun"),
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("5-7", "Fri Sat Sun"),
        ("fri-sun", "Fri Sat Sun"),
        ("0-2", "Mon Tue Sun"),
        ("*/2", "Tue Thu Sat Sun"),
        ("1-6/2", "Mon Wed Fri"),
        ("3/2", "Wed Fri"),
        ("mon,3,SAT", "Mon Wed Sat"),
        ("*", "Mon Tue Wed Thu Fri Sat Sun"),
    ],
)
def test_weekdays_are_those_of_cron(field: str, days: str) -> None:
    monday = "2026-03-01T23:00"
    count = len(days.split())
    assert " ".join(local[:3] for local, _ in following(f"0 12 * * {field}", "UTC", monday, count)) == days
    week_later = following(f"0 12 * * {field}", "UTC", monday, count + 1)[-1][0][:3]
    assert week_later == days.split()[0]


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("", "UTC"),
        ("* * * *", "UTC"),
        ("* * * * * *", "UTC"),
        ("61 * * * *", "UTC"),
        ("* 24 * * *", "UTC"),
        ("* * 32 * *", "UTC"),
        ("* * 0 * *", "UTC"),
        ("* * * 13 *", "UTC"),
        ("* * * * 8", "UTC"),
        ("* * * * 5-1", "UTC"),
        ("* * * * */0", "UTC"),
        ("* * * * fun", "UTC"),
        ("@daily", "UTC"),
        ("0 0 31 2 *", "UTC"),
        ("0 0 30 feb *", "UTC"),
        ("0 0 31 4,6,9,11 *", "UTC"),
        ("0 9 * * *", "Mars/Olympus"),
        ("0 9 * * *", "../../etc/passwd"),
        ("0 9 * * *", ""),
    ],
)
def test_what_makes_no_sense_is_refused(cron: str, zone: str) -> None:
    with pytest.raises(InvalidRecurrence):
        Recurrence(cron, zone)


def test_a_gap_ends_at_the_first_second_that_exists() -> None:
    zone = ZoneInfo("Europe/Berlin")
    for minute in (0, 1, 30, 59):
        assert resolve(datetime(2026, 3, 29, 2, minute), zone) == at("2026-03-29T01:00")
    assert resolve(datetime(2026, 3, 29, 3, 0), zone) == at("2026-03-29T01:00")
    assert resolve(datetime(2026, 3, 29, 1, 59), zone) == at("2026-03-29T00:59")


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "UTC")
CRONS = ("*/15 * * * *", "30 2 * * *", "0 0 * * *", "5 1-3 * * 0", "0 9 31 * *", "45 23 * * fri")


@settings(max_examples=60, deadline=None)
@given(
    cron=st.sampled_from(CRONS),
    zone=st.sampled_from(ZONES),
    start=st.datetimes(datetime(2025, 1, 1), datetime(2028, 12, 31)),
)
def test_time_only_goes_forward_and_no_local_time_comes_twice(cron: str, zone: str, start: datetime) -> None:
    rule, instant, seen = Recurrence(cron, zone), start.replace(tzinfo=UTC), set[datetime]()
    for _ in range(20):
        one = rule.next_after(instant)
        assert one.at > instant
        assert one.local not in seen
        # Whatever lies in between is not skipped: the same occurrence follows from just before it.
        assert rule.next_after(one.at - timedelta(microseconds=1)) == one
        seen.add(one.local)
        instant = one.at
