"""When a message is to be sent, as it was asked for, and which instant that is. Pure.

Invariant: wall time, zone and rule are the plan; instants follow from them for the zone that counts at the moment. A
plan without a zone of its own follows the contact. However the zone changes, an occurrence comes at most once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from inbox.kernel.hours import find_zone, resolve
from scheduler.recurrence import Recurrence

MINUTE: Final = "%Y-%m-%dT%H:%M"
FORGIVEN: Final = timedelta(minutes=1)
"""A time that has just passed is meant as soon as possible: people type, and networks take their time."""
MOST_PASSED: Final = 100
"""What is held for long and recurs often has missed more than anybody wants to read."""
FARTHEST: Final = timedelta(days=5 * 366)


@dataclass(frozen=True, slots=True)
class AtInstant:
    """An instant, wherever the contact is."""

    at: datetime
    type: Literal["at"] = "at"


@dataclass(frozen=True, slots=True)
class AtWallTime:
    """What a clock on the wall shows. ``zone`` null: on the contact's wall."""

    local: str
    zone: str | None = None
    type: Literal["local"] = "local"


@dataclass(frozen=True, slots=True)
class AgainAndAgain:
    """``cron`` on the wall clock of ``zone``, or of the contact; not before ``start``, not after ``until``, at most
    ``count`` times."""

    cron: str
    zone: str | None = None
    start: datetime | None = None
    until: datetime | None = None
    count: int | None = None
    type: Literal["recurring"] = "recurring"


Plan: TypeAlias = AtInstant | AtWallTime | AgainAndAgain


@dataclass(frozen=True, slots=True)
class Due:
    """``local`` and ``zone`` name the occurrence; null for an instant."""

    at: datetime
    local: str | None = None
    zone: str | None = None


def zone_for(plan: Plan, contact_zone: str) -> str | None:
    """The zone that counts now. ``contact_zone``: the contact's, or else the workspace's."""
    return None if isinstance(plan, AtInstant) else plan.zone or contact_zone


def first(plan: Plan, contact_zone: str, now: datetime) -> Due | None:
    """``None``: it recurs never again."""
    match plan:
        case AtInstant(at=at):
            return Due(at)
        case AtWallTime(local=local):
            return _due(local, plan.zone or contact_zone)
        case AgainAndAgain():
            after = now if plan.start is None else max(now, plan.start)
            return _occurrence(plan, contact_zone, after, None)


def again(due: Due, plan: Plan, contact_zone: str) -> Due:
    """The same occurrence, reckoned by the zone that counts now."""
    zone = zone_for(plan, contact_zone)
    if due.local is None or zone is None or zone == due.zone:
        return due
    return _due(due.local, zone)


def following(plan: Plan, contact_zone: str, last: str | None, now: datetime, made: int) -> Due | None:
    """The next occurrence after ``now`` that is not ``last`` or earlier on the wall clock.

    What was missed in between is passed over, so that nothing comes in a burst. ``made``: how many there were.
    """
    if not isinstance(plan, AgainAndAgain) or (plan.count is not None and made >= plan.count):
        return None
    return _occurrence(plan, contact_zone, now, last)


def passed(plan: Plan, contact_zone: str, due: Due, now: datetime) -> list[Due]:
    """``due`` and the occurrences after it that have come by ``now``; ``MOST_PASSED`` at most."""
    found: list[Due] = []
    following: Due | None = due
    while following is not None and following.at <= now and len(found) < MOST_PASSED:
        found.append(following)
        assert isinstance(plan, AgainAndAgain), "nothing else comes again"
        following = _occurrence(plan, contact_zone, following.at, following.local)
    return found


def _occurrence(plan: AgainAndAgain, contact_zone: str, after: datetime, last: str | None) -> Due | None:
    zone = plan.zone or contact_zone
    rule = Recurrence(plan.cron, zone)
    found = rule.next_after(after)
    # Who moved west meets the same hour again; it has been.
    while last is not None and found.local.strftime(MINUTE) <= last:
        found = rule.next_after(found.at)
    if plan.until is not None and found.at > plan.until:
        return None
    return Due(found.at, found.local.strftime(MINUTE), zone)


def _due(local: str, zone: str) -> Due:
    return Due(resolve(datetime.fromisoformat(local), find_zone(zone)), local, zone)


def stored(plan: Plan) -> dict[str, object]:
    match plan:
        case AtInstant():
            return {"type": plan.type, "at": plan.at.isoformat()}
        case AtWallTime():
            return {"type": plan.type, "local": plan.local, "zone": plan.zone}
        case AgainAndAgain():
            ends = {"start": plan.start, "until": plan.until}
            times = {name: None if at is None else at.isoformat() for name, at in ends.items()}
            return {"type": plan.type, "cron": plan.cron, "zone": plan.zone, "count": plan.count, **times}


def of(given: Mapping[str, Any]) -> Plan:
    """What ``stored`` made."""
    match given["type"]:
        case "at":
            return AtInstant(datetime.fromisoformat(given["at"]))
        case "local":
            return AtWallTime(given["local"], given["zone"])
        case _:
            plan = AgainAndAgain(given["cron"], given["zone"], count=given["count"])
            start, until = given["start"], given["until"]
            return replace(
                plan,
                start=None if start is None else datetime.fromisoformat(start),
                until=None if until is None else datetime.fromisoformat(until),
            )
