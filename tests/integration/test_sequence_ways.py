"""Which way a step takes to a contact, when, and what becomes of enrollments whose contact changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from delivery_world import customer_address
from sequence_world import Json, Stage, make_stage, step

from channels.types import Person
from contacts.resolution import Resolver, Sighting
from contacts.schemas import ContactIn
from inbox.blocking.pausable import APART, Slots
from inbox.blocking.schemas import BlockIn
from inbox.conversations.repository import Thread
from inbox.messages.joining import ThreadJoiner

RAW: Json = {"type": "template", "name": "hello", "language": "en", "components": [{"type": "body", "parameters": []}]}


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with make_stage(database_url, templates="given", starts_conversations=True) as stage:
        yield stage


async def kinds_sent(stage: Stage, thread: Thread) -> list[tuple[str, str]]:
    """(channel, type of the first part) of what was queued for this contact."""
    found = await stage.world.node.fetch(
        """SELECT c.kind, m.parts->0->>'type' FROM messages m JOIN conversations v ON v.id = m.conversation_id
           JOIN channels c ON c.id = v.channel_id WHERE v.contact_id = $1 AND m.origin_kind = 'sequence'
           ORDER BY m.created_at, m.id""",
        thread.contact_id,
    )
    return [(row[0], row[1]) for row in found]


# --- ways -------------------------------------------------------------------------------------------------------------


async def test_the_first_channel_of_the_list_that_can_take_it_gets_it(stage: Stage) -> None:
    telegram = await stage.world.add_channel("telegram", "222")
    thread = await stage.world.conversation(window_opened=timedelta(days=3))
    await stage.second(thread, telegram)
    wanted = [{"channel_id": str(stage.world.channel.id)}, {"kind": "telegram"}]
    sequence = await stage.sequence(step("one", channels=wanted))
    enrollment = await stage.enrol(sequence, thread)
    await stage.set_window(await stage.thread(thread), timedelta(days=3))
    await stage.execute("UPDATE conversations SET window_opened_at = now() WHERE channel_id = $1", telegram.id)
    await stage.fire()
    assert await kinds_sent(stage, thread) == [("telegram", "text")]
    assert (await stage.read(enrollment)).conversation_id != thread.id


async def test_outside_of_the_window_the_template_goes_in_its_place(stage: Stage) -> None:
    thread = await stage.world.conversation(window_opened=timedelta(days=3))
    enrollment = await stage.enrol(await stage.sequence(step("one", fallback=RAW)), thread)
    await stage.fire()
    await stage.deliver()
    assert await kinds_sent(stage, thread) == [("whatsapp", "template")]
    view = await stage.read(enrollment)
    assert [(one.state, one.fell_back) for one in view.steps] == [("sent", True)]


async def test_without_a_template_it_cannot_go(stage: Stage) -> None:
    thread = await stage.world.conversation(window_opened=None)
    enrollment = await stage.enrol(await stage.sequence(step("one")), thread)
    await stage.fire()
    assert await stage.steps(enrollment) == [("one", 1, "failed", "window_closed")]
    assert await stage.state(enrollment) == ("stopped", "failed")


async def test_a_conversation_is_started_where_there_is_none(stage: Stage) -> None:
    """On another number, with a template; and the sequence goes on there."""
    second = await stage.world.add_channel("whatsapp", "112")
    thread = await stage.world.conversation()
    wanted = [{"channel_id": str(second.id)}]
    sequence = await stage.sequence(step("one", channels=wanted, fallback=RAW), step("two", days=1))
    enrollment = await stage.enrol(sequence, thread)
    await stage.fire()
    there = await stage.conversations(thread.contact_id)
    assert len(there) == 2
    assert all(row["automated"] for row in there)
    assert (await stage.read(enrollment)).conversation_id == next(
        row["id"] for row in there if row["channel_id"] == second.id
    )
    assert [event["conversation"]["channel_id"] for event in await stage.events("conversation.created")] == [
        str(second.id)
    ]


async def test_none_is_started_where_that_is_not_wanted_or_nobody_is_known(stage: Stage) -> None:
    second = await stage.world.add_channel("whatsapp", "112")
    messenger = await stage.world.add_channel("messenger", "333")
    thread = await stage.world.conversation()
    for given in (
        {"channels": [{"channel_id": str(second.id)}], "may_start": False},
        {"channels": [{"channel_id": str(messenger.id)}]},
    ):
        enrollment = await stage.enrol(await stage.sequence(step("one", fallback=RAW, **given)), thread)
        await stage.fire()
        assert await stage.steps(enrollment) == [("one", 1, "failed", "no_channel")]
    assert len(await stage.conversations(thread.contact_id)) == 1


async def test_a_contact_without_any_conversation_gets_a_template_first(stage: Stage) -> None:
    thread = await stage.world.conversation()
    await stage.execute("DELETE FROM conversations WHERE id = $1", thread.id)
    sequence = await stage.sequence(step("one", parts=[RAW], channels=[{"kind": "whatsapp"}]))
    enrollment = (await stage.verdict(sequence, thread.contact_id)).enrollment_id
    assert enrollment is not None
    await stage.fire()
    await stage.deliver()
    assert await stage.state(enrollment) == ("finished", None)
    assert await kinds_sent(stage, thread) == [("whatsapp", "template")]


# --- time -------------------------------------------------------------------------------------------------------------


async def test_a_time_of_day_is_the_contacts_and_follows_their_zone(stage: Stage) -> None:
    thread = await stage.world.conversation()

    async def move_to(zone: str) -> None:
        await stage.contacts.change(
            stage.world.workspace_id, thread.contact_id, ContactIn(time_zone=zone), version=None
        )

    await move_to("Europe/Berlin")
    wait = {"delay": {"value": 2, "unit": "days"}, "time_of_day": "10:00", "quiet_hours": False}
    enrollment = await stage.enrol(await stage.sequence({**step("one"), "wait": wait}), thread)
    for zone in ("Europe/Berlin", "Asia/Tokyo", "America/New_York"):
        await move_to(zone)
        following = (await stage.read(enrollment)).next
        assert following is not None
        assert following.due_at is not None
        local = following.due_at.astimezone(ZoneInfo(zone))
        assert (local.hour, local.minute) == (10, 0)
    keys = [key for key, _ in await stage.timers(enrollment)]
    assert len(keys) == 3, "timers that are not meant any more stay, and do nothing"
    await stage.execute("UPDATE timers SET due_at = now(), next_at = now() WHERE key = ANY($1)", keys[:1])
    await stage.fire()
    assert await stage.steps(enrollment) == []


async def test_quiet_hours_and_weekdays_are_waited_for(stage: Stage) -> None:
    thread = await stage.world.conversation()
    now = await stage.world.node.fetchval("SELECT now() AT TIME ZONE 'UTC'")
    quiet = {"from": f"{(now.hour - 1) % 24:02}:00", "to": f"{(now.hour + 3) % 24:02}:00"}
    await stage.execute("UPDATE workspaces SET quiet_hours = $1", quiet)
    enrollment = await stage.enrol(await stage.sequence({**step("one"), "wait": {}}), thread)
    assert await stage.fire() == 0
    following = (await stage.read(enrollment)).next
    assert following is not None
    assert following.due_at is not None
    assert following.due_at.hour == (now.hour + 3) % 24
    # Somebody sets its timer off all the same: it waits again.
    await stage.execute("UPDATE timers SET due_at = now(), next_at = now()")
    await stage.fire()
    assert await stage.steps(enrollment) == []
    assert (await stage.timers(enrollment))[0][1] == following.due_at


# --- blocks -----------------------------------------------------------------------------------------------------------


async def test_what_a_block_paused_is_shown_and_resumed_one_after_the_other(stage: Stage) -> None:
    thread = await stage.world.conversation()
    sequences = [await stage.sequence(step("one"), step("two", days=1), name=f"Number {n}") for n in range(3)]
    enrollments = [await stage.enrol(sequence, thread) for sequence in sequences]
    kept = await stage.enrol(await stage.sequence(step("late", days=3), name="Later"), thread)
    await stage.blocks.block(stage.caller, thread.contact_id, BlockIn())
    assert await stage.fire() >= 0
    room = stage.room.paused
    async with stage.world.node.database.transaction(readonly=True) as unit:
        items = await room.list(unit, stage.world.workspace_id, thread.contact_id)
    assert {(item.id, item.title) for item in items} == {
        *((one, f"Number {n}") for n, one in enumerate(enrollments)),
        (kept, "Later"),
    }
    now = await stage.world.node.fetchval("SELECT now()")
    refused = await room.resume(stage.caller, thread.contact_id, None, Slots(now))
    assert {one.outcome for one in refused} == {"refused"}, "they are still blocked"
    await stage.blocks.unblock(stage.caller, thread.contact_id)
    before = (await stage.read(kept)).state
    assert before == "paused", "nothing goes on by itself"
    settled = await room.resume(stage.caller, thread.contact_id, [*enrollments, kept], Slots(now + APART))
    due = {one.id: one.due_at for one in settled}
    assert sorted(str(due[one]) for one in enrollments) == [str(now + APART * n) for n in (1, 2, 3)]
    later = due[kept]
    assert later is not None
    assert later > now + timedelta(days=2)
    assert await stage.fire() == 0
    again = await room.resume(stage.caller, thread.contact_id, enrollments[:1], Slots(now))
    assert [one.outcome for one in again] == ["refused"]
    assert len(await stage.timers(enrollments[0])) >= 1, "who was refused did not lose the timer"


@pytest.mark.parametrize("now", [False, True])
async def test_what_a_block_paused_goes_on_a_minute_apart_one_by_one_too(stage: Stage, now: bool) -> None:
    thread = await stage.world.conversation()
    sequences = [await stage.sequence(step("one"), name=f"Number {n}") for n in range(3)]
    enrollments = [await stage.enrol(sequence, thread) for sequence in sequences]
    await stage.blocks.block(stage.caller, thread.contact_id, BlockIn())
    await stage.blocks.unblock(stage.caller, thread.contact_id)
    before = await stage.world.node.fetchval("SELECT now()")
    due = []
    for one in enrollments:
        resumed = await stage.room.enrollments.resume(stage.caller, one, now=now)
        assert resumed.next is not None
        assert resumed.next.due_at is not None
        due.append(resumed.next.due_at)
    assert due[0] >= before + APART
    assert [later - earlier >= APART for earlier, later in pairwise(due)] == [True, True]


async def test_what_a_block_paused_can_be_ended_while_it_lasts(stage: Stage) -> None:
    thread = await stage.world.conversation()
    enrollment = await stage.enrol(await stage.sequence(), thread)
    await stage.blocks.block(stage.caller, thread.contact_id, BlockIn())
    (settled,) = await stage.room.paused.cancel(stage.caller, thread.contact_id, None)
    assert (settled.outcome, settled.state) == ("cancelled", "left")
    assert await stage.room.paused.cancel(stage.caller, thread.contact_id, None) == []
    assert await stage.state(enrollment) == ("left", None)


# --- people who become one --------------------------------------------------------------------------------------------


async def test_enrollments_follow_a_contact_that_becomes_another_and_none_runs_twice(stage: Stage) -> None:
    first, second = [await stage.world.conversation() for _ in range(2)]
    both, only = await stage.sequence(step("one", days=1)), await stage.sequence(step("one", days=1))
    stays, ends = await stage.enrol(both, first), await stage.enrol(both, second)
    moves = await stage.enrol(only, second, conversation_id=second.id)
    addresses = tuple(customer_address(stage.world.channel, number) for number in (1, 2))
    node = stage.world.node
    resolver = Resolver(ThreadJoiner(node.conversations).join)
    async with node.database.transaction() as unit:
        await resolver.resolve(unit, stage.world.workspace_id, [Sighting("whatsapp", Person(addresses))])
    assert await stage.state(stays) == ("active", None)
    assert await stage.state(ends) == ("stopped", "merged")
    moved = await stage.read(moves)
    assert (moved.state, moved.contact_id, moved.conversation_id) == ("active", first.contact_id, first.id)
    await stage.reply(2)
    assert await stage.state(moves) == ("stopped", "reply")
    assert await stage.state(stays) == ("stopped", "reply")
