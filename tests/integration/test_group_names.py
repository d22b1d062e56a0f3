"""A WhatsApp group is called what its subject says, on a real PostgreSQL: messages of its members never name it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from delivery_world import World, make_world

from channels.content import TextPart
from channels.inbound import MessageReceived, PersonNamed
from channels.types import Address, Person

GROUP = Address("whatsapp_group", "", "120@g.us")
MEMBER = Person((Address("whatsapp_phone", "", "15551230001"),), name="Ann")


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as world:
        yield world


def called(name: str) -> PersonNamed:
    return PersonNamed("111", Person((GROUP,), name=name, is_group=True), datetime.now(UTC))


async def names(world: World) -> list[str | None]:
    return [row[0] for row in await world.node.fetch("SELECT name FROM contacts ORDER BY id")]


async def test_a_group_is_named_before_anybody_writes_and_follows_its_subject(world: World) -> None:
    await world.receive(called("Cycling"))
    assert await names(world) == ["Cycling"]
    assert await world.node.fetchval("SELECT count(*) FROM conversations") == 0
    said = MessageReceived("111", "in.1", Person((GROUP,), is_group=True), (TextPart("Hi"),), datetime.now(UTC), MEMBER)
    await world.receive(said)
    await world.receive(called("Walking"))
    assert await names(world) == ["Walking"]
    thread = "SELECT c.name FROM conversations t JOIN contacts c ON c.id = t.contact_id"
    assert await world.node.fetchval(thread) == "Walking"
