"""Starting a conversation on another channel of a contact (row B2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
from delivery_world import World, make_world

from contacts.service import ContactUnknown
from inbox.connections.directory import Channel, ChannelUnknown
from inbox.conversations.schemas import ConversationView
from inbox.conversations.starting import CannotStart, Starting
from inbox.kernel.errors import Forbidden
from inbox.kernel.ids import new_id


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as world:
        world.adapter.capabilities = replace(world.adapter.capabilities, starts_conversations=True)
        yield world


def starting(world: World) -> Starting:
    return Starting(world.node.database, world.node.directory, world.node.conversations)


async def contact_of(world: World) -> UUID:
    """Somebody who wrote to the first number."""
    return (await world.conversation()).contact_id


async def second_number(world: World) -> Channel:
    return await world.add_channel("whatsapp", "222")


async def reason(world: World, contact_id: UUID, channel_id: UUID) -> object:
    with pytest.raises(CannotStart) as refused:
        await starting(world).start(world.caller, contact_id, channel_id)
    return refused.value.facts["reason"]


async def test_a_channel_without_a_conversation_is_offered_and_started_once(world: World) -> None:
    contact_id, channel = await contact_of(world), await second_number(world)
    offered = await starting(world).offers(world.caller, contact_id)
    assert [(offer.channel_id, offer.templates_only) for offer in offered.items] == [(channel.id, True)]
    assert offered.detail is None

    begun = [starting(world).start(world.caller, contact_id, channel.id) for _ in range(5)]
    outcomes = await asyncio.gather(*begun, return_exceptions=True)
    (made,) = [one for one in outcomes if isinstance(one, ConversationView)]
    refused = [one.facts["reason"] for one in outcomes if isinstance(one, CannotStart)]
    assert refused == ["conversation_exists"] * 4
    assert (made.channel_id, made.contact_id) == (channel.id, contact_id)
    assert await world.node.fetchval("SELECT count(*) FROM events WHERE kind = 'conversation.created'") == 1

    offered = await starting(world).offers(world.caller, contact_id)
    assert offered.items == []
    assert offered.detail is not None
    assert "already" in offered.detail


async def test_whoever_has_no_address_there_or_has_to_write_first_is_not_offered(world: World) -> None:
    contact_id = await contact_of(world)
    telegram = await world.add_channel("telegram", "42")
    assert (await starting(world).offers(world.caller, contact_id)).items == []
    assert await reason(world, contact_id, telegram.id) == "not_reachable_here"
    channel = await second_number(world)
    world.adapter.capabilities = replace(world.adapter.capabilities, starts_conversations=False)
    world.node.directory.forget()
    assert await reason(world, contact_id, channel.id) == "customer_speaks_first"
    assert (await starting(world).offers(world.caller, contact_id)).items == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE contacts SET blocked_at = now()", "contact_blocked"),
        ("UPDATE identities SET unreachable = 'blocked_us', unreachable_at = now()", "unreachable"),
        ("UPDATE channels SET state = 'disabled'", "channel_disabled"),
        ("UPDATE channels SET health = 'reauthorise'", "channel_unauthorised"),
        ("UPDATE addresses SET retired_at = now()", "not_reachable_here"),
    ],
)
async def test_what_would_stop_every_message_stops_the_start(world: World, change: str, expected: str) -> None:
    contact_id, channel = await contact_of(world), await second_number(world)
    async with world.node.database.session() as connection:
        await connection.execute(change)
    assert await reason(world, contact_id, channel.id) == expected
    assert (await starting(world).offers(world.caller, contact_id)).items == []
    assert await world.node.fetchval("SELECT count(*) FROM conversations") == 1


async def test_others_contacts_and_channels_are_unknown_and_bots_may_not(world: World) -> None:
    contact_id, channel = await contact_of(world), await second_number(world)
    with pytest.raises(ContactUnknown):
        await starting(world).start(world.caller, new_id(), channel.id)
    with pytest.raises(ChannelUnknown):
        await starting(world).start(world.caller, contact_id, new_id())
    stranger = replace(world.caller, workspace_id=new_id())
    with pytest.raises(ContactUnknown):
        await starting(world).offers(stranger, contact_id)
    with pytest.raises(Forbidden):
        await starting(world).offers(replace(world.caller, role="bot"), contact_id)
