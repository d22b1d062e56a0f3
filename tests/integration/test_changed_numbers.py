"""Numbers and ids change hands: the contact follows the person, and the number's next owner is somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from delivery_world import World, make_world, other_node

from channels.content import TextPart
from channels.inbound import IdentityChanged, MessageReceived, StatusReported
from channels.types import Address, Fault, Person
from contacts import repository as contact_rows
from inbox.conversations.repository import find as find_thread

OLD, NEW, THIRD = "15551230001", "15551230777", "15551230888"
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as world:
        yield world


def phone(number: str) -> Address:
    return Address("whatsapp_phone", "", number)


def user(name: str) -> Address:
    return Address("whatsapp_user", "", name)


def says(number: str | None, external_id: str, at: datetime, *others: Address, name: str = "Ann") -> MessageReceived:
    addresses = ((phone(number),) if number else ()) + others
    person = Person(addresses, name=name, phone=f"+{number}" if number else None)
    return MessageReceived("111", external_id, person, (TextPart(external_id),), at)


def moves(old: str, new: str, at: datetime) -> IdentityChanged:
    return IdentityChanged("111", (phone(old),), (phone(new),), at, f"+{new}")


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


async def phones(world: World) -> list[str | None]:
    rows = await world.node.fetch("SELECT phone FROM contacts WHERE merged_into IS NULL ORDER BY created_at, id")
    return [row[0] for row in rows]


async def by_contact(world: World) -> list[set[str]]:
    """What each contact has said, oldest contact first."""
    rows = await world.node.fetch(
        """SELECT array_agg(m.external_id) FROM messages m JOIN conversations v ON v.id = m.conversation_id
           GROUP BY v.contact_id ORDER BY v.contact_id"""
    )
    return [set(row[0]) for row in rows]


async def sets_phone(world: World, number: str | None) -> None:
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE contacts SET phone = $1", number)


async def test_the_phone_of_the_contact_follows_the_change(world: World) -> None:
    await world.receive(says(OLD, "in.1", after(0)))
    for _ in range(2):
        await world.receive(moves(OLD, NEW, after(5)))
    assert await phones(world) == [f"+{NEW}"]
    kinds = [row[0] for row in await world.node.fetch("SELECT kind FROM events WHERE kind = 'contact.updated'")]
    assert len(kinds) == 1


async def test_a_number_set_by_hand_stays(world: World) -> None:
    await world.receive(says(OLD, "in.1", after(0)))
    await sets_phone(world, "+4915112345678")
    await world.receive(moves(OLD, NEW, after(5)), says(NEW, "in.2", after(6)))
    assert await phones(world) == ["+4915112345678"]


async def test_a_contact_without_a_phone_takes_the_first_it_is_seen_with(world: World) -> None:
    await world.receive(says(None, "in.1", after(0), user("US.1")))
    await world.receive(says(OLD, "in.2", after(1), user("US.1")))
    assert await phones(world) == [f"+{OLD}"]


async def test_another_number_beside_the_same_id_is_the_new_number(world: World) -> None:
    await world.receive(says(OLD, "in.1", after(0), user("US.1")))
    await world.receive(says(NEW, "in.2", after(1), user("US.1")))
    assert await phones(world) == [f"+{NEW}"]
    await world.receive(says(OLD, "in.1", after(0), user("US.1")))
    assert await phones(world) == [f"+{NEW}"], "a webhook that comes again brings no old number back"


async def test_a_stranger_who_gets_the_old_number_is_another_contact(world: World) -> None:
    await world.receive(says(OLD, "ann.1", after(0)))
    await world.receive(moves(OLD, NEW, after(5)))
    await world.receive(says(NEW, "ann.2", after(6)))
    await world.receive(says(OLD, "ben.1", after(60 * 24 * 90), name="Ben"))
    assert await by_contact(world) == [{"ann.1", "ann.2"}, {"ben.1"}]
    assert await phones(world) == [f"+{NEW}", f"+{OLD}"]
    await world.receive(says(OLD, "ben.2", after(60 * 24 * 91), name="Ben"))
    assert await by_contact(world) == [{"ann.1", "ann.2"}, {"ben.1", "ben.2"}]


async def test_what_was_said_before_the_change_and_comes_late_is_still_theirs(world: World) -> None:
    await world.receive(says(OLD, "ann.1", after(0)))
    await world.receive(moves(OLD, NEW, after(5)))
    for late in ("ann.1", "ann.late", "ann.late"):
        await world.receive(says(OLD, late, after(4)))
    assert await by_contact(world) == [{"ann.1", "ann.late"}]
    assert await phones(world) == [f"+{NEW}"]


async def test_receipts_for_what_went_to_the_old_number_change_nobody(world: World) -> None:
    await world.receive(says(OLD, "ann.1", after(0), user("US.1")))
    await world.receive(moves(OLD, NEW, after(5)))
    person = Person((phone(OLD), user("US.1")))
    await world.receive(StatusReported("111", "sent.1", "read", after(6), peer=person))
    assert await world.node.fetchval("SELECT retired_at FROM addresses WHERE value = $1", OLD) == after(5)


async def test_there_and_back_again(world: World) -> None:
    await world.receive(says(OLD, "ann.1", after(0)))
    changes = [moves(OLD, NEW, after(5)), moves(NEW, OLD, after(10))]
    for change in (*changes, *changes):
        await world.receive(change)
    live = await world.node.fetch("SELECT value FROM addresses WHERE retired_at IS NULL")
    assert [row[0] for row in live] == [OLD]
    assert await phones(world) == [f"+{OLD}"]


async def test_a_number_that_comes_from_a_stranger_brings_no_stranger_along(world: World) -> None:
    await world.receive(says(NEW, "ben.1", after(0), name="Ben"))
    await world.receive(moves(NEW, THIRD, after(1)))
    await world.receive(says(OLD, "ann.1", after(2)))
    await world.receive(moves(OLD, NEW, after(5)))
    await world.receive(says(NEW, "ann.2", after(6)), says(THIRD, "ben.2", after(7), name="Ben"))
    assert await by_contact(world) == [{"ben.1", "ben.2"}, {"ann.1", "ann.2"}]


async def test_what_is_sent_goes_to_the_newest_address_alone(world: World) -> None:
    await world.receive(says(OLD, "ann.1", datetime.now(UTC)))
    await world.receive(moves(OLD, NEW, datetime.now(UTC)))
    conversation_id: UUID = await world.node.fetchval("SELECT id FROM conversations")
    async with world.node.database.transaction() as unit:
        thread = await find_thread(unit, world.workspace_id, conversation_id)
    assert thread is not None
    await world.queue(thread)
    await world.run_until_idle()
    assert [address.value for address in world.adapter.sent[0].recipient] == [NEW]


async def test_the_contact_shows_which_number_is_no_longer_theirs(world: World) -> None:
    await world.receive(says(OLD, "ann.1", after(0)))
    await world.receive(moves(OLD, NEW, after(5)))
    async with world.node.database.transaction(readonly=True) as unit:
        [contact_id] = [row[0] for row in await unit.fetch("SELECT id FROM contacts")]
        (identity,) = await contact_rows.identities(unit, world.workspace_id, contact_id)
    assert {one.value: one.retired_at for one in identity.addresses} == {OLD: after(5), NEW: None}


async def test_a_group_that_moved_leaves_its_old_address(database_url: str) -> None:
    async with make_world(database_url, kind="telegram", window=None) as world:
        world.adapter.script = [Fault("recipient_unavailable", "Moved.", moved_to="-1007")]
        await world.queue(await world.conversation())
        await world.run_until_idle()
        rows = await world.node.fetch("SELECT value, retired_at IS NULL FROM addresses ORDER BY value")
        assert [tuple(row) for row in rows] == [("-1", False), ("-1007", True)]


async def test_two_nodes_that_meet_the_new_owner_at_once_make_one_contact(world: World) -> None:
    other = await other_node(world)
    try:
        for round_ in range(5):
            old, new = f"1555200{round_:04}", f"1555300{round_:04}"
            await world.receive(says(old, f"ann.{round_}", after(0)))
            await world.receive(moves(old, new, after(5)))
            first = says(old, f"ben.{round_}.1", after(100), name="Ben")
            second = replace(first, external_id=f"ben.{round_}.2")
            await asyncio.gather(world.receive(first), world.receive(second, node=other))
    finally:
        await other.database.stop()
    assert len(await phones(world)) == 10
