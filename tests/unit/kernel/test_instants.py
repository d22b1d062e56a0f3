"""What clients may give as a time, at the ends of what can be reckoned with; and what is no zone of anybody."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from inbox.agents.schemas import TokenIn
from inbox.blocking.schemas import BlockIn
from inbox.kernel.hours import UnknownZone, find_zone
from inbox.kernel.hours_input import TimeZone
from inbox.kernel.instants import Instant
from scheduler.scheduled.schemas import AtIn, RecurringIn, ScheduledQuery

NEVER = ["9999-12-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "2200-01-01T00:00:00Z"]
WEEKLY = {"type": "recurring", "cron": "0 9 * * mon"}
ROOMS: list[tuple[type[BaseModel], dict[str, Any], str]] = [
    (RecurringIn, WEEKLY, "start"),
    (RecurringIn, WEEKLY, "until"),
    (AtIn, {"type": "at"}, "at"),
    (ScheduledQuery, {}, "due_from"),
    (ScheduledQuery, {}, "due_before"),
    (BlockIn, {}, "until"),
    (TokenIn, {"name": "x"}, "expires_at"),
]


@pytest.mark.parametrize("text", NEVER)
@pytest.mark.parametrize(("room", "rest", "name"), ROOMS, ids=[f"{room.__name__}.{name}" for room, _, name in ROOMS])
def test_times_that_nobody_lives_to_see_are_refused_where_they_stand(
    room: type[BaseModel], rest: dict[str, Any], name: str, text: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        room.model_validate({**rest, name: text})
    assert [(error["loc"], error["type"]) for error in refused.value.errors()] == [((name,), "instant")]


def test_an_instant_is_known_by_utc_whatever_zone_it_was_given_in() -> None:
    at = TypeAdapter[datetime](Instant).validate_python("2199-12-31T23:59:59+14:00")
    assert at == datetime(2199, 12, 31, 9, 59, 59, tzinfo=UTC)
    assert at.tzinfo is UTC


@pytest.mark.parametrize("name", ["localtime", "posixrules", "Factory", "Nowhere/City"])
def test_files_beside_the_zones_are_no_zones(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter[str](TimeZone).validate_python(name)
    with pytest.raises(UnknownZone):
        find_zone(name)


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "Asia/Calcutta", "Etc/GMT+5"])
def test_zones_and_their_older_names_are(name: str) -> None:
    assert TypeAdapter[str](TimeZone).validate_python(name) == find_zone(name).key
