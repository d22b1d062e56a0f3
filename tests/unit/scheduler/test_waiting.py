"""Waits against somebody who looks at the clock every few minutes, and the nights when the clock is changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inbox.kernel.hours import Hours, Quiet
from scheduler.waiting import Wait, first_allowed

BERLIN = "Europe/Berlin"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def office(zone: str = BERLIN) -> Hours:
    spans = [{"from": "09:00", "to": "17:00"}]
    return Hours.of(zone, {"weekly": dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), spans)})


NIGHT = Quiet(BERLIN, 21 * 60, 8 * 60)

CASES: list[tuple[str, Wait, datetime, Quiet | None, Hours | None, datetime | None]] = [
    ("nothing to wait for", Wait(), utc(2026, 3, 2, 10), None, None, utc(2026, 3, 2, 10)),
    ("two hours", Wait(seconds=7200), utc(2026, 3, 2, 10), None, None, utc(2026, 3, 2, 12)),
    ("two hours lead into the night", Wait(seconds=7200), utc(2026, 3, 2, 19), NIGHT, None, utc(2026, 3, 3, 7)),
    ("a day is a day on the wall", Wait(days=1), utc(2026, 3, 28, 11), None, None, utc(2026, 3, 29, 10)),
    ("three days later at ten", Wait(days=3, minute=600), utc(2026, 3, 2, 15), None, None, utc(2026, 3, 5, 9)),
    ("today at ten", Wait(minute=600), utc(2026, 3, 2, 8), None, None, utc(2026, 3, 2, 9)),
    ("ten has passed today", Wait(minute=600), utc(2026, 3, 2, 10), None, None, utc(2026, 3, 3, 9)),
    ("five hours, then ten", Wait(seconds=18000, minute=600), utc(2026, 3, 2, 5), None, None, utc(2026, 3, 3, 9)),
    ("only on a Monday", Wait(days=1, weekdays=frozenset({0})), utc(2026, 3, 2, 12), None, None, utc(2026, 3, 9, 12)),
    ("the office opens on Monday", Wait(seconds=60), utc(2026, 3, 6, 16, 30), None, office(), utc(2026, 3, 9, 8)),
    ("in the missing hour", Wait(days=1, minute=150), utc(2026, 3, 28, 12), None, None, utc(2026, 3, 29, 1)),
    ("in the doubled hour", Wait(days=1, minute=150), utc(2026, 10, 24, 12), None, None, utc(2026, 10, 25, 0, 30)),
    ("no room", Wait(weekdays=frozenset({6})), utc(2026, 3, 2, 12), None, office(), None),
]


@pytest.mark.parametrize(("wait", "since", "quiet", "business", "ends"), [pytest.param(*c[1:], id=c[0]) for c in CASES])
def test_when_a_wait_ends(
    wait: Wait, since: datetime, quiet: Quiet | None, business: Hours | None, ends: datetime | None
) -> None:
    assert wait.ends(since, BERLIN, quiet, business) == ends


def test_somebody_in_the_doubled_hour_does_not_go_back_in_time() -> None:
    second = utc(2026, 10, 25, 1, 30)  # 02:30 is shown for the second time
    assert Wait().ends(second, BERLIN, None, None) == second


minutes_of_the_day = st.integers(0, 1439)
instants = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(lambda at: at.replace(tzinfo=UTC))
zones = st.sampled_from(["UTC", BERLIN, "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
quiets = (
    st.tuples(zones, minutes_of_the_day, minutes_of_the_day).filter(lambda q: q[1] != q[2]).map(lambda q: Quiet(*q))
)
waits = st.builds(
    Wait,
    days=st.integers(0, 40),
    seconds=st.integers(0, 200_000),
    minute=st.none() | minutes_of_the_day,
    weekdays=st.frozensets(st.integers(0, 6), min_size=1),
)


@given(waits, instants, zones, st.none() | quiets, st.none() | zones.map(office))
def test_what_is_found_is_allowed_and_not_before_the_delay(
    wait: Wait, since: datetime, zone: str, quiet: Quiet | None, business: Hours | None
) -> None:
    found = wait.ends(since, zone, quiet, business)
    if found is None:
        return
    assert found >= since
    assert found.astimezone(ZoneInfo(zone)).weekday() in wait.weekdays
    assert quiet is None or not quiet.is_quiet(found)
    assert business is None or business.is_open(found)
    if wait.minute is None or wait.seconds:
        assert found >= since + timedelta(days=wait.days) - timedelta(hours=2)
    assert wait.allows(found, zone, quiet, business) == found


@given(instants, st.none() | quiets, st.none() | zones.map(office))
def test_the_first_allowed_instant_is_the_first(at: datetime, quiet: Quiet | None, business: Hours | None) -> None:
    def allowed(moment: datetime) -> bool:
        return not (quiet and quiet.is_quiet(moment)) and (business is None or business.is_open(moment))

    found = first_allowed(at, quiet, business)
    end = found if found is not None else at + timedelta(days=8)
    moment = at
    while moment < end:
        assert not allowed(moment)
        moment += timedelta(minutes=7)
    assert found is None or allowed(found)
