"""The settings of a workspace over HTTP: its zone, its hours, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from served_app import Node, User, serve

from inbox.agents.workspaces import find_times
from inbox.kernel.hours import Quiet

OFFICE = {"weekly": {"mon": [{"from": "09:00", "to": "24:00"}]}, "holidays": ["2026-12-25"]}


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[Node]:
    async with serve(database_url) as node:
        yield node


@pytest.fixture
async def admin(node: Node) -> User:
    return await node.admin()


async def change(user: User, **fields: Any) -> Any:
    answer = await user.patch("/v1/workspace", fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_is_changed_read_and_told(node: Node, admin: User) -> None:
    before = (await admin.get("/v1/workspace")).json()
    assert (before["time_zone"], before["business_hours"], before["quiet_hours"]) == ("UTC", None, None)
    quiet = {"from": "21:00", "to": "08:00"}
    changed = await change(admin, time_zone="Europe/Berlin", business_hours=OFFICE, quiet_hours=quiet)
    assert changed == {**before, "time_zone": "Europe/Berlin", "business_hours": OFFICE, "quiet_hours": quiet}
    assert (await admin.get("/v1/workspace")).json() == changed
    workspace_id = UUID(changed["id"])
    told = [data for kind, data in await node.events(workspace_id) if kind == "workspace.updated"]
    assert told == [{"workspace": changed}]
    async with node.database.transaction() as unit:
        times = await find_times(unit, workspace_id)
    assert times.business is not None
    assert times.business.zone == "Europe/Berlin"
    assert times.quiet() == Quiet("Europe/Berlin", 21 * 60, 8 * 60)
    assert times.quiet("Asia/Tokyo") == Quiet("Asia/Tokyo", 21 * 60, 8 * 60)


async def test_null_empties_hours_and_leaves_the_rest(admin: User) -> None:
    await change(admin, time_zone="Asia/Tokyo", business_hours=OFFICE)
    changed = await change(admin, time_zone=None, business_hours=None)
    assert (changed["time_zone"], changed["business_hours"]) == ("Asia/Tokyo", None)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"time_zone": "Mars/Olympus"}, "/body/time_zone"),
        ({"quiet_hours": {"from": "21:00", "to": "21:00"}}, "/body/quiet_hours"),
        ({"quiet_hours": {"from": "21:00", "to": "24:00"}}, "/body/quiet_hours/to"),
        ({"quiet_hours": {"from": "21:00", "to": "08:00", "days": ["noday"]}}, "/body/quiet_hours/days/0"),
        ({"quiet_hours": {"from": "21:00", "to": "08:00", "zone": "UTC"}}, "/body/quiet_hours/zone"),
        (
            {"business_hours": {"weekly": {"mon": [{"from": "10:00", "to": "09:00"}]}}},
            "/body/business_hours/weekly/mon/0",
        ),
        ({"business_hours": {"weekly": {}, "holidays": ["2026-02-30"]}}, "/body/business_hours/holidays/0"),
        ({"business_hours": {"holidays": []}}, "/body/business_hours/weekly"),
    ],
)
async def test_what_is_refused_says_where(admin: User, fields: dict[str, Any], pointer: str) -> None:
    answer = await admin.patch("/v1/workspace", fields)
    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["faults"]] == [pointer]


async def test_only_admins_change_it_and_everybody_reads_it(admin: User) -> None:
    agent = await admin.colleague("supervisor", "bob@example.com")
    assert (await agent.get("/v1/workspace")).status_code == 200
    refused = await agent.patch("/v1/workspace", {"time_zone": "Asia/Tokyo"})
    assert (refused.status_code, refused.json()["permission"]) == (403, "workspace.write")
