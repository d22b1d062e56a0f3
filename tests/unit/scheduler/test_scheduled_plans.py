"""Plans on wall clocks: both nights of daylight saving, zones that change, months that are short."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from scheduler.scheduled.plans import (
    AgainAndAgain,
    AtInstant,
    AtWallTime,
    Due,
    Plan,
    again,
    first,
    following,
    of,
    stored,
)

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


LOCAL: list[tuple[str, AtWallTime, str, str]] = [
    ("winter", AtWallTime("2026-01-15T09:00"), "Europe/Berlin", "2026-01-15T08:00"),
    ("summer", AtWallTime("2026-07-15T09:00"), "Europe/Berlin", "2026-07-15T07:00"),
    (
        "a named zone counts before the contact's",
        AtWallTime("2026-07-15T09:00", "Asia/Tokyo"),
        "Europe/Berlin",
        "2026-07-15T00:00",
    ),
    ("in the hour that is skipped", AtWallTime("2026-03-29T02:30"), "Europe/Berlin", "2026-03-29T01:00"),
    ("in the hour that comes twice", AtWallTime("2026-10-25T02:30"), "Europe/Berlin", "2026-10-25T00:30"),
    ("skipped in New York", AtWallTime("2026-03-08T02:30"), "America/New_York", "2026-03-08T07:00"),
    ("a skip of half an hour", AtWallTime("2026-10-04T02:15"), "Australia/Lord_Howe", "2026-10-03T15:30"),
    ("a day that did not exist", AtWallTime("2011-12-30T12:00"), "Pacific/Apia", "2011-12-30T10:00"),
    ("leap day", AtWallTime("2028-02-29T23:59"), "Pacific/Auckland", "2028-02-29T10:59"),
]


@pytest.mark.parametrize(("plan", "contact", "wanted"), [pytest.param(*row[1:], id=row[0]) for row in LOCAL])
def test_a_wall_time_is_one_instant(plan: AtWallTime, contact: str, wanted: str) -> None:
    due = first(plan, contact, utc("2010-01-01T00:00"))
    assert due == Due(utc(wanted), plan.local, plan.zone or contact)


@pytest.mark.parametrize(
    ("plan", "moved_to", "wanted"),
    [
        (AtWallTime("2026-07-15T09:00"), "America/New_York", "2026-07-15T13:00"),
        (AtWallTime("2026-07-15T09:00"), "Asia/Tokyo", "2026-07-15T00:00"),
        (AtWallTime("2026-07-15T09:00", "Europe/Berlin"), "America/New_York", "2026-07-15T07:00"),
        (AtInstant(utc("2026-07-15T07:00")), "America/New_York", "2026-07-15T07:00"),
        (AgainAndAgain("0 9 15 * *"), "America/New_York", "2026-01-15T14:00"),
    ],
)
def test_who_moved_gets_it_by_the_clock_that_is_theirs_now(plan: Plan, moved_to: str, wanted: str) -> None:
    due = first(plan, "Europe/Berlin", JANUARY)
    assert due is not None
    moved = again(due, plan, moved_to)
    assert moved.at == utc(wanted)
    assert moved.local == due.local


def times(plan: AgainAndAgain, zone: str, start: datetime, count: int) -> list[str]:
    """Local times of the first occurrences, each reckoned a second after the one before was due."""
    found: list[str] = []
    due = first(plan, zone, start)
    while due is not None and len(found) < count:
        found.append(f"{due.local} {due.at:%dT%H:%M}Z")
        due = following(plan, zone, due.local, due.at + timedelta(seconds=1), len(found))
    return found


RECURRENCES: list[tuple[str, AgainAndAgain, str, str, list[str]]] = [
    ("over the spring night", AgainAndAgain("30 2 * * *"), "Europe/Berlin", "2026-03-28T00:00",
     ["2026-03-28T02:30 28T01:30Z", "2026-03-29T02:30 29T01:00Z", "2026-03-30T02:30 30T00:30Z"]),
    ("over the autumn night", AgainAndAgain("30 2 * * *"), "Europe/Berlin", "2026-10-24T00:00",
     ["2026-10-24T02:30 24T00:30Z", "2026-10-25T02:30 25T00:30Z", "2026-10-26T02:30 26T01:30Z"]),
    ("on the 31st", AgainAndAgain("0 9 31 * *"), "Europe/Berlin", "2026-01-01T00:00",
     ["2026-01-31T09:00 31T08:00Z", "2026-03-31T09:00 31T07:00Z", "2026-05-31T09:00 31T07:00Z"]),
    ("on the last day", AgainAndAgain("0 9 last * *"), "UTC", "2026-01-01T00:00",
     ["2026-01-31T09:00 31T09:00Z", "2026-02-28T09:00 28T09:00Z", "2026-03-31T09:00 31T09:00Z"]),
    ("on leap days", AgainAndAgain("0 9 29 2 *"), "UTC", "2026-01-01T00:00",
     ["2028-02-29T09:00 29T09:00Z", "2032-02-29T09:00 29T09:00Z"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("plan", "zone", "start", "wanted"), [pytest.param(*row[1:], id=row[0]) for row in RECURRENCES]
)
def test_recurrences_on_the_wall_clock(plan: AgainAndAgain, zone: str, start: str, wanted: list[str]) -> None:
    assert times(plan, zone, utc(start), len(wanted)) == wanted


def test_who_moves_west_does_not_get_the_same_occurrence_again() -> None:
    plan = AgainAndAgain("0 9 * * *")
    due = first(plan, "Europe/Berlin", utc("2026-06-10T00:00"))
    assert due is not None
    after = following(plan, "America/New_York", due.local, due.at + timedelta(seconds=1), 1)
    assert after is not None
    assert after.local == "2026-06-11T09:00", "nine o'clock of the tenth has been, and comes again over there"


def test_what_a_downtime_missed_is_passed_over() -> None:
    plan = AgainAndAgain("0 * * * *")
    after = following(plan, "UTC", "2026-06-10T01:00", utc("2026-06-10T09:30"), 1)
    assert after is not None
    assert after.local == "2026-06-10T10:00"


def test_it_ends_by_count_and_by_date() -> None:
    assert len(times(AgainAndAgain("0 9 * * *", count=3), "UTC", JANUARY, 10)) == 3
    assert len(times(AgainAndAgain("0 9 * * *", until=utc("2026-01-02T09:00")), "UTC", JANUARY, 10)) == 2
    later = times(AgainAndAgain("0 9 * * *", start=utc("2026-05-01T09:00")), "UTC", JANUARY, 1)
    assert later == ["2026-05-02T09:00 02T09:00Z"], "strictly after its start"
    assert following(AtWallTime("2026-07-15T09:00"), "UTC", "2026-07-15T09:00", JANUARY, 1) is None


@pytest.mark.parametrize(
    "plan",
    [
        AtInstant(utc("2026-07-15T07:00")),
        AtWallTime("2026-07-15T09:00"),
        AtWallTime("2026-07-15T09:00", "Asia/Tokyo"),
        AgainAndAgain("0 9 * * mon"),
        AgainAndAgain("0 9 * * mon", "Asia/Tokyo", utc("2026-07-15T07:00"), utc("2027-07-15T07:00"), 7),
    ],
)
def test_a_plan_is_what_was_stored(plan: Plan) -> None:
    assert of(stored(plan)) == plan
