"""Reading positions on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from builders import whatsapp_body, whatsapp_text
from delivery_world import World, make_world

from inbox.agents.repository import insert
from inbox.conversations.schemas import ConversationQuery
from inbox.ingest.repository import RawDelivery
from inbox.kernel.ids import new_id


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as world:
        async with world.node.database.transaction() as unit:
            await insert(unit, world.workspace_id, world.caller.agent_id, name="Ada", role="agent")
        yield world


async def test_unread_counts_what_came_in_above_the_position(world: World) -> None:
    app_id = await world.node.fetchval("SELECT id FROM provider_apps")
    texts = [whatsapp_text("15551230001", f"wamid.{n}", f"text {n}") for n in range(1, 5)]
    raw = RawDelivery(new_id(), await world.node.fetchval("SELECT now()"), app_id, whatsapp_body("111", *texts))
    await world.node.processor.process([raw])
    conversations, caller = world.node.conversations, world.caller
    conversation_id = await world.node.fetchval("SELECT id FROM conversations")

    async def unread(who: object = caller) -> int:
        page = await conversations.page(who, ConversationQuery())  # type: ignore[arg-type]
        return page.unread.get(str(conversation_id), 0)

    assert await unread() == 4, "nothing was read yet"
    for number, left in ((1, 3), (4, 0), (2, 2), (0, 4)):
        position, moved = await conversations.mark_read(caller, conversation_id, number)
        assert (position.number, position.unread, moved) == (number, left, True)
        assert await unread() == left
    assert await unread(replace(caller, agent_id=new_id())) == 4, "positions are each agent's own"
