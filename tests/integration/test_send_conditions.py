"""What has to hold still when a queued message is taken into the air: asked on real rows, in the claiming transaction.

And the way in for whoever sends in somebody's name: ``Sending.queue`` inside a transaction of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from delivery_world import World, customer_address, make_world

from channels.content import TextPart
from channels.inbound import MessageReceived
from channels.types import Person
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.conversations.schemas import ConversationPatch
from inbox.kernel.database import UnitOfWork
from inbox.kernel.eventlog import Event
from inbox.kernel.hours import Quiet
from inbox.kernel.ids import new_id
from inbox.kernel.reactions import Reactions
from inbox.messages.events import MessageCreated, MessageStatusChanged
from inbox.messages.joining import ThreadJoiner
from inbox.messages.outgoing import Author, SendConditions
from inbox.messages.schemas import MessageView, OriginView, SendIn
from inbox.messages.sending import ComposerRefused, Sending


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as world:
        yield world


class NoFiles:
    async def outgoing(self, *_: object, **__: object) -> dict[str, Any]:
        return {}

    async def attach(self, *_: object) -> None:
        return None


def sending(world: World) -> Sending:
    node = world.node
    return Sending(node.database, node.directory, node.conversations, NoFiles(), node.templates, world.wake)  # type: ignore[arg-type]


def order(text: str = "Hello", **given: Any) -> SendIn:
    return SendIn.model_validate({"parts": [{"type": "text", "text": text}], **given})


def sequence(world: World) -> Author:
    return Author(world.workspace_id, "system", None, "Welcome sequence")


async def queue(world: World, thread: Thread, author: Author | None = None, **given: Any) -> MessageView:
    wanted = given.pop("order", order())
    async with world.node.database.transaction() as unit:
        (locked,) = await thread_rows.lock_many(unit, world.workspace_id, [], [thread.id])
        return await sending(world).queue(unit, author or sequence(world), locked, world.channel, wanted, **given)


async def thread_now(world: World, thread: Thread) -> Thread:
    async with world.node.database.transaction(readonly=True) as unit:
        found = await thread_rows.find(unit, world.workspace_id, thread.id)
    assert found is not None
    return found


async def reply(world: World, number: int = 1) -> None:
    """What the customer of the world's first conversation (or the given one) writes."""
    address = customer_address(world.channel, number)
    now = datetime.now(UTC)
    message = MessageReceived("111", f"in-{new_id()}", Person((address,)), (TextPart("Wait"),), now)
    await world.receive(message)


async def close(world: World, thread: Thread) -> None:
    await world.node.conversations.change(world.caller, thread.id, ConversationPatch(status="closed"), version=None)


async def answer(world: World, thread: Thread) -> None:
    """A person answers by hand."""
    await sending(world).send(world.caller, thread.id, order("I am on it"))


def nothing(world: World, thread: Thread) -> Awaitable[None]:
    async def nobody() -> None: ...

    return nobody()


Change = Callable[[World, Thread], Awaitable[None]]
MEANWHILE: list[tuple[str, dict[str, Any], Change, str | None]] = [
    ("nothing happened", {"hold": True, "stop_when_closed": True, "lease": True}, nothing, None),
    ("the customer wrote", {"hold": True}, lambda world, thread: reply(world), "replied"),
    ("the customer wrote, nobody minds", {}, lambda world, thread: reply(world), None),
    ("it was closed", {"stop_when_closed": True}, close, "conversation_closed"),
    ("it was closed, nobody minds", {}, close, None),
    ("a person took over", {"lease": True}, answer, "superseded"),
    ("a person answered, nobody minds", {}, answer, None),
]


@pytest.mark.parametrize(("asked", "change", "code"), [pytest.param(*row[1:], id=row[0]) for row in MEANWHILE])
async def test_what_happened_between_queue_and_claim(
    world: World, asked: dict[str, Any], change: Change, code: str | None
) -> None:
    thread = await world.conversation()
    conditions = SendConditions(
        hold_after_number=thread.last_inbound_number if asked.get("hold") else None,
        stop_when_closed=asked.get("stop_when_closed", False),
    )
    message = await queue(
        world, thread, conditions=conditions, lease_epoch=thread.epoch if asked.get("lease") else None
    )
    await change(world, thread)
    claimed = [claim.message_id for claim in await world.claim()]
    if code is None:
        assert message.id in claimed
    else:
        assert message.id not in claimed
        assert (await world.status(message.id), (await world.fault(message.id))["code"]) == ("cancelled", code)


REFUSED: list[tuple[str, Change, dict[str, Any], str]] = [
    ("written since", lambda world, thread: reply(world), {"conditions": SendConditions(0)}, "replied"),
    ("closed", close, {"conditions": SendConditions(stop_when_closed=True)}, "conversation_closed"),
    ("taken over", answer, {"lease_epoch": 1}, "superseded"),
]


@pytest.mark.parametrize(("change", "given", "reason"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
async def test_what_cannot_go_out_any_more_is_not_queued(
    world: World, change: Change, given: dict[str, Any], reason: str
) -> None:
    thread = await world.conversation()
    await change(world, thread)
    before = await world.node.fetchval("SELECT count(*) FROM messages")
    with pytest.raises(ComposerRefused) as refused:
        await queue(world, thread, **given)
    assert refused.value.facts["reason"] == reason
    assert await world.node.fetchval("SELECT count(*) FROM messages") == before


@pytest.mark.parametrize("given", [{"conditions": SendConditions(bulk=True)}, {"order": order(purpose="marketing")}])
async def test_marketing_is_refused_to_who_stopped_it_when_queued_and_at_the_gate(
    world: World, given: dict[str, Any]
) -> None:
    thread = await world.conversation()
    message = await queue(world, thread, **given)
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE identities SET marketing_stopped_at = now()")
    assert await world.claim() == []
    assert (await world.fault(message.id))["code"] == "opted_out"
    with pytest.raises(ComposerRefused) as refused:
        await queue(world, thread, **given)
    assert refused.value.facts["reason"] == "opted_out"
    assert await queue(world, thread), "what is no marketing may go"


def quiet_now(minutes: int = 60) -> Quiet:
    """A quiet time that began an hour ago and lasts some more minutes."""
    now = datetime.now(UTC)
    minute = now.hour * 60 + now.minute
    return Quiet("UTC", (minute - 60) % 1440, (minute + minutes) % 1440)


async def test_in_a_quiet_time_it_waits_until_that_is_over(world: World) -> None:
    quiet = quiet_now()
    thread = await world.conversation()
    message = await queue(world, thread, conditions=SendConditions(quiet=quiet))
    assert await world.claim() == []
    delivery = await world.delivery(message.id)
    assert (delivery["state"], delivery["due_at"]) == ("queued", quiet.ends(datetime.now(UTC)))


async def test_what_sleeps_does_not_keep_a_person_from_answering(world: World) -> None:
    thread = await world.conversation()
    sleeping = await queue(world, thread, conditions=SendConditions(quiet=quiet_now()))
    assert await world.claim() == []
    for text in ("first", "second"):
        await sending(world).send(world.caller, thread.id, order(text))
    await world.run_until_idle()
    assert len(world.adapter.sent) == 2
    assert await world.status(sleeping.id) == "queued"
    async with world.node.database.session() as connection:
        await connection.execute(
            "UPDATE deliveries SET due_at = now(), quiet = NULL WHERE message_id = $1", sleeping.id
        )
    await world.run_until_idle()
    assert await world.status(sleeping.id) == "sent"


async def test_a_later_piece_does_not_overtake_the_one_that_sleeps(world: World) -> None:
    thread = await world.conversation()
    parts = [{"type": "text", "text": text} for text in ("one", "two")]
    wanted = SendIn.model_validate({"parts": parts})
    message = await queue(world, thread, order=wanted, conditions=SendConditions(quiet=quiet_now()))
    await world.claim()
    await sending(world).send(world.caller, thread.id, order("from a person"))
    await world.run_until_idle()
    assert len(world.adapter.sent) == 1
    assert await world.states(message.id) == ["queued", "queued"]
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE deliveries SET quiet = NULL WHERE message_id = $1", message.id)
        await connection.execute(
            "UPDATE deliveries SET due_at = now() WHERE message_id = $1 AND ordinal = 0", message.id
        )
    await world.run_until_idle()
    assert await world.states(message.id) == ["sent", "sent"]


async def test_a_retry_by_hand_asks_no_conditions_any_more(world: World) -> None:
    thread = await world.conversation()
    conditions = SendConditions(hold_after_number=0, stop_when_closed=True, quiet=None)
    message = await queue(world, thread, conditions=conditions, lease_epoch=thread.epoch)
    await reply(world)
    assert await world.claim() == []
    await world.service.retry(world.caller, message.id)
    assert [claim.message_id for claim in await world.claim()] == [message.id]


async def test_origin_and_author_are_shown_wherever_the_message_is(world: World) -> None:
    thread, origin = await world.conversation(), OriginView("sequence", new_id())
    message = await queue(world, thread, origin=origin)
    assert (message.origin, message.author.kind, message.author.id) == (origin, "system", None)
    assert (await thread_now(world, thread)).epoch == thread.epoch, "nobody has taken over"
    payload = await world.node.fetchval("SELECT payload->'message'->'origin'->>'id' FROM events ORDER BY position")
    assert payload == str(origin.id)
    ada = Author(world.workspace_id, "agent", world.caller.agent_id, "Ada")
    scheduled = await queue(world, thread, ada, origin=OriginView("scheduled", new_id()), takes_over=True)
    assert (scheduled.author.kind, scheduled.author.name) == ("agent", "Ada")
    assert (await thread_now(world, thread)).epoch == thread.epoch + 1


async def test_what_becomes_of_it_says_where_it_came_from(world: World) -> None:
    """So a reaction in the recording transaction need not look anything up."""
    heard: list[object] = []

    async def note(unit: UnitOfWork, events: Sequence[Event]) -> None:
        heard.extend(event.data for event in events)

    reactions = Reactions()
    for kind in ("message.created", "message.status"):
        reactions.on(kind, note)
    world.node.database._reactions = reactions
    origin = OriginView("scheduled", new_id())
    thread = await world.conversation()
    await queue(world, thread, origin=origin)
    await world.run_until_idle()
    await reply(world)
    created, *changes, received = heard
    assert isinstance(created, MessageCreated)
    assert created.message.origin == origin
    told = [(change.status, change.origin) for change in changes if isinstance(change, MessageStatusChanged)]
    assert told == [("sending", origin), ("sent", origin)]
    assert isinstance(received, MessageCreated)
    assert (received.message.direction, received.conversation.automated) == ("in", False)


async def test_automated_is_a_fact_of_the_conversation_and_of_its_events(world: World) -> None:
    thread = await world.conversation()
    for automated in (True, True, False):
        async with world.node.database.transaction() as unit:
            (locked,) = await thread_rows.lock_many(unit, world.workspace_id, [], [thread.id])
            await world.node.conversations.set_automated(unit, world.workspace_id, locked, automated)
    told = await world.node.fetch("SELECT payload->'conversation'->>'automated' FROM events ORDER BY position")
    assert [row[0] for row in told] == ["true", "false"], "only what is new is told"


async def test_a_joined_thread_keeps_waiting_for_the_customers_silence(world: World) -> None:
    """Numbers change when two threads become one; what counts as a reply must not."""
    first, second = await world.conversation(), await world.conversation()
    for _ in range(3):
        await reply(world, 1)
    answered = await queue(world, first, conditions=SendConditions(hold_after_number=3))
    await reply(world, 1)
    waiting = await queue(world, second, conditions=SendConditions(hold_after_number=0))
    async with world.node.database.transaction() as unit:
        join = ThreadJoiner(world.node.conversations).join
        await join(unit, world.workspace_id, second.identity_id, [first.identity_id])
    holds = {row[0]: row[1] for row in await world.node.fetch("SELECT message_id, hold_after_number FROM deliveries")}
    assert holds == {answered.id: 0, waiting.id: 6}
    while await world.status(answered.id) == "queued":
        claimed = [claim.message_id for claim in await world.claim()]
    assert ((await world.fault(answered.id))["code"], claimed) == ("replied", [])
    assert [claim.message_id for claim in await world.claim()] == [waiting.id]
