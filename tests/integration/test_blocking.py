"""Blocking a contact on a real PostgreSQL: what stops, what is told, what ends it, and what stays for a person."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

import pytest
from blocking_world import Blocked, join, make_blocked, soon
from delivery_world import World, customer_address

from channels.adapter import Http
from channels.outbound import Envelope
from channels.types import Account, Fault
from contacts.service import ContactUnknown
from inbox.agents.principal import Principal
from inbox.blocking.pausable import APART, PausedItem, PausedKind, Settled, Slots
from inbox.blocking.paused import StillBlocked
from inbox.blocking.schemas import BlockIn, PausedRef
from inbox.blocking.service import NotBlocked
from inbox.delivery.signals import Signals
from inbox.kernel.database import UnitOfWork
from inbox.kernel.errors import Forbidden, Invalid
from inbox.kernel.jobs_worker import Worker
from inbox.kernel.supervisor import Supervisor
from inbox.messages.sending import ComposerRefused


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[Blocked]:
    async with make_blocked(database_url) as house:
        yield house


@pytest.fixture
def world(house: Blocked) -> World:
    return house.world


# --- The block --------------------------------------------------------------------------------------------------------


async def test_a_block_closes_cancels_ends_leases_and_says_so(house: Blocked, world: World) -> None:
    thread, other = await world.conversation(), await world.conversation()
    queued, theirs = await world.queue(thread, "one", "two"), await world.queue(other)
    until = soon()

    done = await house.block(thread.contact_id, reason="spam", until=until)

    assert done.contact.blocked is not None
    assert (done.contact.blocked.reason, done.contact.blocked.until) == ("spam", until)
    assert done.contact.blocked.by == world.caller.agent_id
    assert done.in_the_air == []
    assert await world.states(queued) == ["cancelled", "cancelled"]
    assert (await world.fault(queued))["code"] == "contact_blocked"
    assert await world.history(queued) == ["cancelled"]
    status, epoch = (await world.node.fetch("SELECT status, epoch FROM conversations WHERE id = $1", thread.id))[0]
    assert (status, epoch) == ("closed", thread.epoch + 1)
    kinds = [one["kind"] for one in await house.events("contact.blocked", "conversation.updated", "message.status")]
    assert kinds == ["contact.blocked", "conversation.updated", "message.status"], "rooms hear of the block first"
    assert await house.audited() == ["agent contact.blocked"]

    assert await world.status(theirs) == "queued"
    await world.run_until_idle()
    assert len(world.adapter.sent) == 1, "nobody else is concerned"


async def test_the_composer_refuses_and_so_does_a_second_thread(house: Blocked, world: World) -> None:
    thread = await world.conversation()
    await house.block(thread.contact_id)
    with pytest.raises(ComposerRefused) as refused:
        await house.send(thread)
    assert refused.value.facts["reason"] == "contact_blocked"


async def test_blocking_again_changes_why_and_until_when_and_keeps_since(house: Blocked, world: World) -> None:
    thread = await world.conversation()
    first = await house.block(thread.contact_id, reason="spam", until=soon())
    again = await house.block(thread.contact_id, reason="threats")
    assert first.contact.blocked is not None
    assert again.contact.blocked is not None
    assert (again.contact.blocked.at, again.contact.blocked.reason) == (first.contact.blocked.at, "threats")
    assert again.contact.blocked.until is None
    assert await world.node.fetchval("SELECT count(*) FROM timers") == 0
    assert len(await house.events("conversation.updated")) == 1, "what is closed is not closed again"


async def test_who_reopened_a_conversation_has_it_closed_by_the_next_block(house: Blocked, world: World) -> None:
    thread = await world.conversation()
    await house.block(thread.contact_id)
    await world.node.fetchval("UPDATE conversations SET status = 'open' RETURNING 1")
    await house.block(thread.contact_id)
    assert await world.node.fetchval("SELECT status FROM conversations") == "closed"


async def test_refusals(house: Blocked, world: World) -> None:
    thread = await world.conversation()
    with pytest.raises(ContactUnknown):
        await house.block(uuid4())
    with pytest.raises(Invalid):
        await house.block(thread.contact_id, until=soon(-1))
    with pytest.raises(NotBlocked):
        await house.unblock(thread.contact_id)
    bot = replace(world.caller, role="bot")
    with pytest.raises(Forbidden):
        await house.blocks.block(bot, thread.contact_id, BlockIn())
    with pytest.raises(Forbidden):
        await house.blocks.unblock(bot, thread.contact_id)
    elsewhere = replace(world.caller, workspace_id=uuid4())
    with pytest.raises(ContactUnknown):
        await house.blocks.block(elsewhere, thread.contact_id, BlockIn())
    assert not await house.is_blocked(thread.contact_id)
    assert await house.events("contact.blocked") == []


async def test_neither_typing_nor_reading_is_told_to_who_is_blocked(house: Blocked, world: World) -> None:
    thread = await world.conversation()
    await house.hear("before")
    supervisor = Supervisor()
    node = world.node
    signals = Signals(house.database, node.directory, node.conversations, cast(Http, None), supervisor)

    async def signal() -> list[str]:
        await signals.typing(world.caller, thread.id)
        await signals.read(world.caller, thread.id)
        await supervisor.settle(within=5)
        told = sorted(house.adapter.signals)
        house.adapter.signals.clear()
        return told

    assert await signal() == ["read", "typing"]
    signals._typed_at.clear()  # the sign has faded
    await house.block(thread.contact_id)
    assert await signal() == []


# --- What was in the air ----------------------------------------------------------------------------------------------


async def test_a_request_in_the_air_is_awaited_and_named_with_its_fate(house: Blocked, world: World) -> None:
    thread = await world.conversation()
    left = asyncio.Event()

    async def slow(account: Account, envelope: Envelope) -> None:
        left.set()
        await asyncio.sleep(0.3)

    world.adapter.play = slow
    message_id = await world.queue(thread, "first", "second")
    async with world.running():
        await asyncio.wait_for(left.wait(), 5)
        done = await house.block(thread.contact_id)
        (named,) = done.in_the_air
        assert (named.message_id, named.conversation_id) == (message_id, thread.id)
        assert (named.request, named.outcome) == ("send", "sent")
        await asyncio.sleep(0.2)
    assert world.adapter.words == ["first"], "its second piece had not left and never does"
    assert await world.states(message_id) == ["sent", "cancelled"]


async def test_a_refusal_in_the_air_is_not_tried_again(house: Blocked, world: World) -> None:
    thread = await world.conversation()
    left = asyncio.Event()

    async def refuse(account: Account, envelope: Envelope) -> Fault:
        left.set()
        await asyncio.sleep(0.2)
        return Fault("busy", "Try again.", retryable=True)

    world.adapter.play = refuse
    message_id = await world.queue(thread)
    async with world.running():
        await asyncio.wait_for(left.wait(), 5)
        done = await house.block(thread.contact_id)
    assert [one.outcome for one in done.in_the_air] == ["cancelled"]
    assert await world.states(message_id) == ["cancelled"]
    assert (await world.fault(message_id))["code"] == "contact_blocked"


async def test_the_wait_ends_and_says_what_is_not_known_yet(database_url: str) -> None:
    async with make_blocked(database_url, patience=0.2) as house:
        thread = await house.world.conversation()
        message_id = await house.world.queue(thread)
        assert len(await house.world.claim()) == 1
        done = await house.block(thread.contact_id)
        assert [(one.message_id, one.outcome) for one in done.in_the_air] == [(message_id, "sending")]


async def test_an_edit_in_the_air_is_named_too(database_url: str) -> None:
    async with make_blocked(database_url, patience=0.1) as house:
        thread = await house.world.conversation()
        message_id = await house.world.queue(thread)
        await house.world.run_until_idle()
        await house.world.node.fetchval(
            """INSERT INTO message_changes (workspace_id, id, message_id, kind, asked_by)
               VALUES ($1, $2, $3, 'edit', $4) RETURNING 1""",
            house.world.workspace_id, uuid4(), message_id, house.world.caller.agent_id,
        )  # fmt: skip
        done = await house.block(thread.contact_id)
        assert [(one.message_id, one.request, one.outcome) for one in done.in_the_air] == [
            (message_id, "edit", "sending")
        ]


# --- The end of a block -----------------------------------------------------------------------------------------------


async def test_a_block_ends_by_itself_when_its_time_has_come(house: Blocked, world: World) -> None:
    thread = await world.conversation()
    await house.block(thread.contact_id, until=soon(0.3))
    assert await house.firing.fire_due() == 0
    await asyncio.sleep(0.35)
    assert await house.firing.fire_due() == 1
    (told,) = await house.events("contact.unblocked")
    assert (told["contact"]["id"], told["contact"]["blocked"], told["expired"]) == (str(thread.contact_id), None, True)
    assert await house.audited() == ["agent contact.blocked", "system contact.unblocked"]
    assert await world.node.fetchval("SELECT status FROM conversations") == "closed", "nothing opens by itself"
    with pytest.raises(NotBlocked):
        await house.unblock(thread.contact_id)


async def test_unblocking_takes_the_timer_back_and_lets_people_write_again(house: Blocked, world: World) -> None:
    thread = await world.conversation()
    queued = await world.queue(thread)
    await house.block(thread.contact_id, until=soon())
    await house.unblock(thread.contact_id)
    assert await world.node.fetchval("SELECT count(*) FROM timers") == 0
    assert await house.audited() == ["agent contact.blocked", "agent contact.unblocked"]
    await world.run_until_idle()
    assert (world.adapter.sent, await world.status(queued)) == ([], "cancelled"), "nothing is fired by itself"
    await house.send(thread)
    await world.run_until_idle()
    assert len(world.adapter.sent) == 1


async def test_a_timer_of_a_block_that_was_prolonged_does_nothing(house: Blocked, world: World) -> None:
    thread = await world.conversation()
    await house.block(thread.contact_id, until=soon(0.2))
    await world.node.fetchval("UPDATE contacts SET blocked_until = now() + interval '1 hour' RETURNING 1")
    await asyncio.sleep(0.25)
    assert await house.firing.fire_due() == 1
    assert await house.is_blocked(thread.contact_id)


# --- Merged contacts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("older_is_blocked", [True, False])
async def test_of_two_contacts_that_become_one_the_block_stays(house: Blocked, older_is_blocked: bool) -> None:
    world = house.world
    older, newer = await world.conversation(), await world.conversation()
    await world.node.fetchval("UPDATE conversations SET window_opened_at = now() WHERE id = $1 RETURNING 1", older.id)
    blocked, free = (older, newer) if older_is_blocked else (newer, older)
    queued = await world.queue(free)
    await house.block(blocked.contact_id, reason="spam", until=soon(0.5))
    await join(house, 1, 2)

    assert await house.is_blocked(older.contact_id)
    assert [row[0] for row in await world.node.fetch("SELECT status FROM conversations")] == ["closed"]
    assert await world.states(queued) == ["cancelled"]
    told = await house.events("contact.blocked")
    assert told[-1]["contact"]["id"] == str(older.contact_id)
    assert told[-1]["contact"]["blocked"]["reason"] == "spam"
    assert len(told) == 2
    await asyncio.sleep(0.6)
    await house.firing.fire_due()
    assert not await house.is_blocked(older.contact_id), "its end came along"
    assert [one["contact"]["id"] for one in await house.events("contact.unblocked")] == [str(older.contact_id)]


@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [(None, 60, None), (60, None, None), (60, 7200, 7200), (7200, 60, 7200)],
    ids=["for good", "for good, the other", "longer", "longer, the other"],
)
async def test_the_stricter_of_two_blocks_stays(
    house: Blocked, first: int | None, second: int | None, stays: int | None
) -> None:
    threads = [await house.world.conversation(), await house.world.conversation()]
    ends = [None if seconds is None else soon(seconds) for seconds in (first, second)]
    for number, (thread, end) in enumerate(zip(threads, ends, strict=True)):
        await house.block(thread.contact_id, reason=f"block {number}", until=end)
    await join(house, 1, 2)
    until, reason = (
        await house.world.node.fetch(
            "SELECT blocked_until, blocked_reason FROM contacts WHERE id = $1", threads[0].contact_id
        )
    )[0]
    which = ends.index(None) if stays is None else [first, second].index(stays)
    assert (until, reason) == (ends[which], f"block {which}")
    assert len(await house.events("contact.blocked")) == 2, "both were blocked before: no news"


# --- At the provider --------------------------------------------------------------------------------------------------


async def carry_out(house: Blocked) -> list[str]:
    """Run the jobs that wait, as the worker does; how each request stands."""
    worker = Worker(house.database, house.world.wakeup, poll_seconds=0.05)
    house.at_provider.register(worker)
    running = asyncio.create_task(worker.run())
    await house.world.wait_for("SELECT NOT EXISTS (SELECT FROM jobs WHERE run_at <= now())")
    worker.stop()
    await running
    rows = await house.world.node.fetch("SELECT wanted, state, fault FROM provider_blocks")
    return [" ".join(filter(None, row)) for row in rows]


async def test_the_provider_is_asked_after_the_block_and_again_at_its_end(house: Blocked, world: World) -> None:
    thread = await world.conversation()
    done = await house.block(thread.contact_id, at_provider=True, until=soon(0.5))
    assert [(one.wanted, one.state) for one in done.at_provider] == [("blocked", "pending")]
    assert house.adapter.asked == [], "not inside the transaction"
    assert await carry_out(house) == ["blocked done"]
    await asyncio.sleep(0.5)
    await house.firing.fire_due()
    assert await carry_out(house) == ["unblocked done"]
    peer = (customer_address(world.channel, 1),)
    assert house.adapter.asked == [("block", peer), ("unblock", peer)]
    told = [one["block"] for one in await house.events("contact.block_at_provider")]
    assert [(one["wanted"], one["state"]) for one in told] == [
        ("blocked", "pending"), ("blocked", "done"), ("unblocked", "pending"), ("unblocked", "done"),
    ]  # fmt: skip


async def test_a_provider_that_refuses_is_shown_with_its_reason(house: Blocked, world: World) -> None:
    thread = await world.conversation()
    house.adapter.refusals = [Fault("not_allowed", "Only within 24 hours of their last message.")]
    await house.block(thread.contact_id, at_provider=True)
    assert await carry_out(house) == ["blocked failed not_allowed"]
    shown = await house.paused.read(world.caller, thread.contact_id)
    assert [one.reason for one in shown.at_provider] == ["Only within 24 hours of their last message."]
    assert await house.is_blocked(thread.contact_id)


async def test_without_the_option_no_provider_is_asked(house: Blocked, world: World) -> None:
    thread = await world.conversation()
    await house.block(thread.contact_id)
    await house.unblock(thread.contact_id)
    assert await world.node.fetchval("SELECT count(*) FROM jobs") == 0


# --- What was paused --------------------------------------------------------------------------------------------------


class Room:
    """Items that are overdue since yesterday, except where ``due`` says otherwise."""

    kind: PausedKind = "scheduled_message"

    def __init__(self, count: int) -> None:
        self.items = {uuid4(): datetime.now(UTC) - timedelta(days=1) for _ in range(count)}
        self.resumed: list[datetime] = []

    async def list(self, unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> list[PausedItem]:
        now = datetime.now(UTC)
        return [PausedItem(self.kind, one, None, "Hello", "held", due, now) for one, due in self.items.items()]

    async def resume(self, caller: Principal, contact_id: UUID, ids: object, slots: Slots) -> tuple[Settled, ...]:
        chosen = list(self.items) if ids is None else [one for one in self.items if one in ids]  # type: ignore[operator]
        for one in chosen:
            del self.items[one]
            self.resumed.append(slots.take())
        return tuple(Settled(self.kind, one, "resumed", "scheduled") for one in chosen)

    async def cancel(self, caller: Principal, contact_id: UUID, ids: object) -> tuple[Settled, ...]:
        chosen = list(self.items) if ids is None else [one for one in self.items if one in ids]  # type: ignore[operator]
        for one in chosen:
            del self.items[one]
        return tuple(Settled(self.kind, one, "cancelled", "cancelled") for one in chosen)


async def test_what_is_resumed_never_makes_a_burst_however_it_is_asked_for(house: Blocked, world: World) -> None:
    thread, room = await world.conversation(), Room(9)
    house.paused.register(room)
    begun = datetime.now(UTC)
    refs = [PausedRef(kind=room.kind, id=one) for one in room.items]
    await asyncio.gather(*(house.paused.resume(world.caller, thread.contact_id, [ref]) for ref in refs[:4]))
    await house.paused.resume(world.caller, thread.contact_id, None)
    assert room.items == {}
    times = sorted(room.resumed)
    assert len(times) == 9
    assert times[0] >= begun + APART
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= APART


async def test_nothing_is_resumed_while_they_are_blocked_but_it_can_be_ended(house: Blocked, world: World) -> None:
    thread, room = await world.conversation(), Room(2)
    house.paused.register(room)
    await house.block(thread.contact_id)
    with pytest.raises(StillBlocked):
        await house.paused.resume(world.caller, thread.contact_id, None)
    shown = await house.paused.read(world.caller, thread.contact_id)
    assert {item.id for item in shown.items} == set(room.items)
    settled = await house.paused.cancel(
        world.caller, thread.contact_id, [PausedRef(kind=room.kind, id=shown.items[0].id)]
    )
    assert [one.outcome for one in settled.items] == ["cancelled"]
    assert len(room.items) == 1
