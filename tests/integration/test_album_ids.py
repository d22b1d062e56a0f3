"""An album is one message of ours and several of the provider: each of its ids leads back to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from delivery_world import World, make_world

from channels.content import TextPart
from channels.inbound import MessageEdited, MessageReceived, ReactionChanged
from channels.outbound import Accepted
from channels.types import Address, Person
from inbox.messages.receiving import TargetUnknown

FILES = ("file.1", "file.2", "file.3")
ANN = Person((Address("whatsapp_phone", "", "15551230001"),))


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as world:
        world.adapter.script = [Accepted(FILES)]
        yield world


@pytest.mark.parametrize("file", FILES)
async def test_a_reaction_to_any_file_is_one_to_the_message(world: World, file: str) -> None:
    message_id = await world.queue(await world.conversation())
    await world.run_until_idle()
    await world.receive(ReactionChanged("111", file, ANN, "👍", datetime.now(UTC)))
    found = await world.node.fetch("SELECT message_id, emoji FROM reactions")
    assert [tuple(row) for row in found] == [(message_id, "👍")]


@pytest.mark.parametrize("file", FILES)
async def test_a_quote_of_any_file_is_one_of_the_message(world: World, file: str) -> None:
    message_id = await world.queue(await world.conversation())
    await world.run_until_idle()
    quote = MessageReceived("111", "in.1", ANN, (TextPart("This one"),), datetime.now(UTC), reply_to=file)
    await world.receive(quote)
    assert await world.node.fetchval("SELECT reply_to_id FROM messages WHERE external_id = 'in.1'") == message_id


async def test_an_edit_of_one_file_does_not_replace_the_whole_message(world: World) -> None:
    await world.queue(await world.conversation())
    await world.run_until_idle()
    with pytest.raises(TargetUnknown):
        await world.receive(MessageEdited("111", "file.2", ANN, (TextPart("Other"),), datetime.now(UTC)))


async def test_other_ids_lead_nowhere(world: World) -> None:
    await world.queue(await world.conversation())
    await world.run_until_idle()
    with pytest.raises(TargetUnknown):
        await world.receive(ReactionChanged("111", "file.9", ANN, "👍", datetime.now(UTC)))
