"""What blocked contacts send: for supervisors alone, once, and never in a thread, also not after the block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from blocking_world import Blocked, join, make_blocked, said
from delivery_world import World, customer_address

from channels.content import ChoicePart, MediaPart, MediaRef, TextPart
from channels.inbound import Echo, MessageEdited, MessageUnsent, ReactionChanged
from channels.types import Person
from inbox.conversations.repository import Thread
from inbox.conversations.schemas import ConversationQuery
from inbox.kernel.eventlog import EVERYONE, SUPERVISORS
from inbox.kernel.ids import new_id
from inbox.media import repository as media_rows
from inbox.media.schemas import MediaView
from inbox.messages import set_aside_rows
from inbox.messages.media_parts import MediaParts
from inbox.messages.set_aside_schemas import SetAsideView


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[Blocked]:
    async with make_blocked(database_url) as house:
        yield house


@pytest.fixture
def world(house: Blocked) -> World:
    return house.world


@pytest.fixture
async def thread(house: Blocked) -> Thread:
    """Of a customer who has written `before` and is blocked."""
    thread = await house.world.conversation()
    await house.hear("before")
    await house.block(thread.contact_id)
    return thread


async def read(house: Blocked, contact_id: UUID) -> list[SetAsideView]:
    async with house.database.transaction(readonly=True) as unit:
        return await set_aside_rows.page(unit, house.world.workspace_id, contact_id, after=None, limit=50)


async def last_position(world: World) -> int:
    position: int = await world.node.fetchval("SELECT max(position) FROM events")
    return position


def person(world: World, customer: int = 1) -> Person:
    return Person((customer_address(world.channel, customer),), name=f"Customer {customer}")


async def test_it_is_in_no_thread_and_only_supervisors_are_told(house: Blocked, world: World, thread: Thread) -> None:
    position = await last_position(world)
    await house.hear("one", "two")
    assert (await house.shown(), await house.aside()) == (["before"], ["one", "two"])
    rows = await world.node.fetch("SELECT kind, audience FROM events WHERE position > $1", position)
    assert [tuple(row) for row in rows] == [("set_aside.created", SUPERVISORS)] * 2
    after = (await world.node.fetch("SELECT * FROM conversations"))[0]
    assert (after["status"], after["last_number"], after["inbound_count"]) == ("closed", 1, 1)
    two, one = await read(house, thread.contact_id)
    assert [part["text"] for part in (*one.parts, *two.parts)] == ["one", "two"]
    assert (one.contact_id, one.author_name, one.kind) == (thread.contact_id, "Customer 1", "message")
    page = await world.node.conversations.page(world.caller, ConversationQuery())
    assert page.unread == {str(thread.id): 1}


async def test_a_contact_without_a_thread_gets_none(house: Blocked, world: World, thread: Thread) -> None:
    other = await world.add_channel("whatsapp", "222")
    inbound = replace(said(world, "elsewhere"), account_id="222")
    await world.receive(inbound, channel=other)
    assert await house.aside() == ["elsewhere"]
    assert await world.node.fetchval("SELECT count(*) FROM conversations") == 1


async def test_others_in_the_same_batch_are_not_concerned(house: Blocked, world: World, thread: Thread) -> None:
    await world.receive(said(world, "mine"), said(world, "theirs", customer=7), said(world, "mine again"))
    assert (await house.shown(), await house.aside()) == (["before", "theirs"], ["mine", "mine again"])


async def test_each_stands_in_one_place_whenever_it_comes_again(house: Blocked, world: World, thread: Thread) -> None:
    await house.hear("during", "before", "during")
    await house.hear("during")
    assert (await house.shown(), await house.aside()) == (["before"], ["during"])
    await house.unblock(thread.contact_id)
    await house.hear("during", "before", "after")
    assert (await house.shown(), await house.aside()) == (["before", "after"], ["during"])
    assert len(await house.events("set_aside.created")) == 1


async def test_the_window_opens_but_nobody_hears_of_it_before_the_end(house: Blocked, world: World) -> None:
    thread = await world.conversation(window_opened=timedelta(hours=30))
    await house.block(thread.contact_id)
    at = datetime.now(UTC) - timedelta(hours=1)
    position = await last_position(world)
    await house.hear("during", occurred_at=at)
    assert await world.node.fetchval("SELECT count(*) FROM events WHERE position > $1 AND audience = 0", position) == 0
    await house.unblock(thread.contact_id)
    assert await world.node.fetchval("SELECT window_opened_at FROM conversations") == at
    told = await house.events("conversation.updated")
    assert told[-1]["conversation"]["window_expires_at"] is not None
    await house.send(thread)


async def test_an_edit_and_an_unsend_of_what_was_set_aside(house: Blocked, world: World, thread: Thread) -> None:
    await house.hear("during")
    now = datetime.now(UTC)
    edit = MessageEdited("111", "during", person(world), (TextPart("changed"),), now)
    await world.receive(edit, edit)
    (one,) = await read(house, thread.contact_id)
    assert (one.parts[0]["text"], one.edited_at) == ("changed", now)
    await house.unblock(thread.contact_id)
    unsent = MessageUnsent("111", "during", person(world), now + timedelta(seconds=1))
    await world.receive(unsent, unsent)
    await world.receive(replace(edit, occurred_at=now + timedelta(seconds=2)))
    (one,) = await read(house, thread.contact_id)
    assert (one.parts, one.unsent_at) == ([], now + timedelta(seconds=1))
    assert len(await house.events("set_aside.updated")) == 2
    assert await house.shown() == ["before"]


async def test_later_words_about_the_thread_do_not_change_it(house: Blocked, world: World, thread: Thread) -> None:
    position = await last_position(world)
    now = datetime.now(UTC)
    edit = MessageEdited("111", "before", None, (TextPart("rude words"),), now)
    reaction = ReactionChanged("111", "before", person(world), "👎", now)
    await world.receive(edit, reaction, edit, reaction)
    await world.receive(edit, reaction)
    assert await house.shown() == ["before"]
    assert await world.node.fetchval("SELECT count(*) FROM reactions") == 0
    reacted, edited = await read(house, thread.contact_id)
    message_id = await world.node.fetchval("SELECT id FROM messages WHERE external_id = 'before'")
    assert (edited.kind, edited.about, edited.parts[0]["text"]) == ("edit", message_id, "rude words")
    assert (reacted.kind, reacted.about, reacted.parts[0]["emoji"]) == ("reaction", message_id, "👎")
    assert await world.node.fetchval("SELECT count(*) FROM events WHERE position > $1 AND audience = 0", position) == 0


async def test_an_unsend_removes_the_content_wherever_it_stands(house: Blocked, world: World, thread: Thread) -> None:
    now = datetime.now(UTC)
    await world.receive(MessageEdited("111", "before", None, (TextPart("rude words"),), now))
    await world.receive(MessageUnsent("111", "before", person(world), now))
    assert await world.node.fetchval("SELECT parts FROM messages WHERE external_id = 'before'") == []
    assert [one.parts for one in await read(house, thread.contact_id)] == [[]]


async def test_a_reaction_to_what_was_set_aside_is_set_aside(house: Blocked, world: World, thread: Thread) -> None:
    await house.hear("during")
    await world.receive(ReactionChanged("111", "during", person(world), "👍", datetime.now(UTC)))
    reacted, message = await read(house, thread.contact_id)
    assert (reacted.kind, reacted.about) == ("reaction", message.id)


async def test_what_the_business_writes_in_its_own_app_is_in_the_thread(
    house: Blocked, world: World, thread: Thread
) -> None:
    await world.receive(said(world, "from the app", echo=Echo(), opens_window=False))
    shown = await world.node.fetch("SELECT author_kind FROM messages ORDER BY number")
    assert [row[0] for row in shown] == ["contact", "native_app"]
    assert await house.aside() == []
    assert await world.node.fetchval("SELECT status FROM conversations") == "closed"


async def test_a_tap_is_not_acknowledged(house: Blocked, world: World, thread: Thread) -> None:
    tap = ChoicePart("callback", "Yes", "yes", acknowledge="token")
    await world.receive(replace(said(world, "tap"), parts=(tap,)))
    assert world.node.tapped == []


async def test_files_are_fetched_and_seen_by_supervisors_alone(house: Blocked, world: World, thread: Thread) -> None:
    ref = MediaRef(id="provider-file", mime_type="image/jpeg")
    await world.receive(replace(said(world, "picture"), parts=(MediaPart("image", ref),)))
    (one,) = await read(house, thread.contact_id)
    media = one.parts[0]["media"]
    assert media["state"] == "pending"
    assert await world.node.fetchval("SELECT payload->>'media_id' FROM jobs WHERE queue = 'media.fetch'") == media["id"]

    shown = MediaParts(world.node.conversations)
    supervisor = replace(world.caller, role="supervisor")
    async with house.database.transaction() as unit:
        access = (await media_rows.find_access(unit, world.workspace_id, [UUID(media["id"])]))[UUID(media["id"])]
        ids = list(access.message_ids)
        assert not await shown.visible(unit, world.caller, ids)
        assert await shown.visible(unit, supervisor, ids)
        assert not await shown.visible(unit, replace(supervisor, workspace_id=new_id()), ids)
        stored: Any = {**media, "id": UUID(media["id"]), "state": "stored", "size": 3}
        await shown.hold(unit, world.workspace_id, ids)
        await shown.show(unit, world.workspace_id, ids, [MediaView(**stored)])
    (one,) = await read(house, thread.contact_id)
    assert one.parts[0]["media"]["state"] == "stored"
    (told,) = await house.events("set_aside.updated")
    assert told["audience"] == SUPERVISORS != EVERYONE

    await world.receive(MessageUnsent("111", "picture", person(world), datetime.now(UTC)))
    assert await world.node.fetchval("SELECT state FROM media") == "deleted"


async def test_it_follows_a_contact_that_becomes_another(house: Blocked, world: World) -> None:
    older, newer = await world.conversation(), await world.conversation()
    await house.block(newer.contact_id)
    await house.hear("during", customer=2)
    await join(house, 1, 2)
    assert [one.contact_id for one in await read(house, older.contact_id)] == [older.contact_id]
    await house.hear("during", customer=1)
    await house.hear("more", customer=1)
    assert await house.aside() == ["during", "more"]
