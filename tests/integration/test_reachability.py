"""Who cannot or does not want to be written to: the date, the reason, and one event for each change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from delivery_world import World, customer_address, make_world

from channels.inbound import PreferenceChanged, ReachabilityChanged
from channels.types import Fault, Person
from contacts import repository as contact_rows
from inbox.conversations.repository import Thread


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as world:
        yield world


async def told(world: World) -> list[dict[str, Any]]:
    rows = await world.node.fetch("SELECT payload FROM events WHERE kind = 'contact.reachability' ORDER BY position")
    return [orjson.loads(row[0])["reach"] for row in rows]


async def says(world: World, *, wanted: bool) -> None:
    person = Person((customer_address(world.channel, 1),))
    await world.receive(PreferenceChanged("111", person, "marketing", wanted, datetime.now(UTC)))


async def identity(world: World, thread: Thread) -> Any:
    async with world.node.database.transaction(readonly=True) as unit:
        (found,) = await contact_rows.identities(unit, world.workspace_id, thread.contact_id)
    return found


async def test_who_stops_and_resumes_marketing_is_told_once_each(world: World) -> None:
    thread = await world.conversation()
    for wanted in (False, False, True, True):
        await says(world, wanted=wanted)
    stopped, resumed = await told(world)
    assert (stopped["identity_id"], stopped["contact_id"]) == (str(thread.identity_id), str(thread.contact_id))
    assert (stopped["marketing_stopped_reason"], stopped["marketing_stopped_at"] is None) == ("asked", False)
    assert (resumed["marketing_stopped_reason"], resumed["marketing_stopped_at"]) == (None, None)


async def test_a_refusal_of_the_provider_stops_marketing_too(world: World) -> None:
    thread = await world.conversation()
    world.adapter.script = [Fault("opted_out", "The person has stopped marketing.", ends_contact="opted_out")]
    await world.queue(thread)
    await world.run_until_idle()
    assert [one["marketing_stopped_reason"] for one in await told(world)] == ["refused"]
    await says(world, wanted=False)
    shown = await identity(world, thread)
    assert shown.marketing_stopped_reason == "refused", "the first date and reason stay"
    assert shown.unreachable is None


async def test_who_blocks_us_is_unreachable_until_they_come_back(world: World) -> None:
    thread = await world.conversation()
    person = Person((customer_address(world.channel, 1),))
    for reachable in (False, False, True):
        reason = "" if reachable else "blocked_us"
        await world.receive(ReachabilityChanged("111", person, reachable, reason, datetime.now(UTC)))
    gone, back = await told(world)
    assert (gone["unreachable"], gone["unreachable_at"] is None) == ("blocked_us", False)
    assert (back["unreachable"], back["unreachable_at"]) == (None, None)
    assert (await identity(world, thread)).unreachable is None


async def test_joining_two_identities_forgets_no_stop(world: World) -> None:
    await world.conversation()
    second = await world.conversation()
    both = tuple(customer_address(world.channel, number) for number in (1, 2))
    person = Person((both[1],))
    await world.receive(PreferenceChanged("111", person, "marketing", False, datetime.now(UTC)))
    await world.receive(ReachabilityChanged("111", Person(both), True, "", datetime.now(UTC)))
    rows = await world.node.fetch("SELECT id, marketing_stopped_reason FROM identities")
    assert [row[1] for row in rows] == ["asked"]
    assert rows[0][0] != second.identity_id
    assert [one["identity_id"] for one in await told(world)] == [str(second.identity_id), str(rows[0][0])]
