"""Blocking against everything that happens in the same moment: real transactions on a real PostgreSQL, many times.

Each race is run with the two starting at slightly different times, so that each side is first now and then; a test says
so when one side never was.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from uuid import UUID

import pytest
from blocking_world import Blocked, join, make_blocked, said, soon
from delivery_world import World, other_node

from inbox.blocking.schemas import BlockOut
from inbox.blocking.service import NotBlocked
from inbox.conversations.repository import Thread
from inbox.messages.sending import ComposerRefused

ROUNDS = 60


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[Blocked]:
    async with make_blocked(database_url) as house:
        yield house


@pytest.fixture
def world(house: Blocked) -> World:
    return house.world


async def together(*work: Awaitable[object], jitter: float = 0.012) -> list[object]:
    """Start them within a few milliseconds, in any order. Exceptions are results."""

    async def later(one: Awaitable[object]) -> object:
        await asyncio.sleep(random.uniform(0, jitter))
        return await one

    return await asyncio.gather(*(later(one) for one in work), return_exceptions=True)


async def threads(world: World, count: int = ROUNDS) -> list[Thread]:
    return [await world.conversation() for _ in range(count)]


async def test_block_against_claim_nothing_leaves_afterwards_that_was_not_named(house: Blocked, world: World) -> None:
    """Two dispatchers send to many; each is blocked at some moment. What the provider got later was named."""
    targets = await threads(world)
    received: dict[str, list[tuple[float, str]]] = {}
    loop = asyncio.get_running_loop()

    async def play(account: object, envelope: object) -> None:
        number = envelope.recipient[0].value  # type: ignore[attr-defined]
        received.setdefault(number, []).append((loop.time(), envelope.piece.text))  # type: ignore[attr-defined]
        await asyncio.sleep(random.uniform(0, 0.02))

    world.adapter.play = play
    outcomes: Counter[str] = Counter()

    async def block_one(thread: Thread) -> tuple[Thread, float, BlockOut]:
        await asyncio.sleep(random.uniform(0, 1.2))
        done = await house.block(thread.contact_id)
        return thread, loop.time(), done

    async with AsyncExitStack() as stack:
        second = await other_node(world)
        stack.push_async_callback(second.database.stop)
        async with world.running(world.dispatcher(), world.dispatcher(second)):

            async def feed() -> dict[UUID, list[UUID]]:
                sent: dict[UUID, list[UUID]] = {}
                for turn in range(3):
                    for thread in targets:
                        try:
                            message = (await house.send(thread, f"{turn}")).message
                        except ComposerRefused as refused:
                            outcomes[f"refused: {refused.facts['reason']}"] += 1
                        else:
                            sent.setdefault(thread.id, []).append(message.id)
                return sent

            feeding = asyncio.create_task(feed())
            blocked = await asyncio.gather(*(block_one(thread) for thread in targets))
            fed = await feeding
            await asyncio.sleep(0.5)

    for thread, returned_at, done in blocked:
        value = await world.node.fetchval("SELECT value FROM addresses WHERE identity_id = $1", thread.identity_id)
        late = [text for at, text in received.get(value, ()) if at > returned_at]
        assert late == [], "after the answer the provider hears nothing"
        named = {one.message_id for one in done.in_the_air}
        outcomes["named"] += len(named)
        for message_id in fed.get(thread.id, ()):
            status = await world.status(message_id)
            outcomes[status] += 1
            assert status in ("sent", "cancelled")
        assert {one.outcome for one in done.in_the_air} <= {"sent"}
    assert outcomes["sent"] > 0, outcomes
    assert outcomes["cancelled"] + outcomes["refused: contact_blocked"] > 0, outcomes


async def test_what_left_while_the_block_began_was_named(database_url: str) -> None:
    """Claim and block at once: the message is either cancelled, or in the air and in the answer."""
    async with make_blocked(database_url, patience=0) as house:
        await claim_and_block(house, house.world)


async def claim_and_block(house: Blocked, world: World) -> None:
    seen: Counter[str] = Counter()
    for thread in await threads(world):
        message_id = await world.queue(thread)
        done, claimed = await together(house.block(thread.contact_id), world.claim(), jitter=0.008)
        assert isinstance(done, BlockOut), done
        assert isinstance(claimed, list), claimed
        (state,) = await world.states(message_id)
        named = [one.message_id for one in done.in_the_air]
        assert (state, bool(claimed), named) in (("sending", True, [message_id]), ("cancelled", False, []))
        seen[state] += 1
        # What is in the air ends somehow; the next round has its own conversation.
        await world.node.fetchval("UPDATE deliveries SET state = 'sent' WHERE state = 'sending' RETURNING 1")
    assert min(seen["sending"], seen["cancelled"]) > 0, seen


COUNTED = """
SELECT bool_and(v.last_number = (SELECT count(*) FROM messages m WHERE m.conversation_id = v.id)) FROM conversations v
"""
"""Nobody's writing to a conversation was lost to somebody who wrote what they had read before."""


async def test_block_against_a_send(house: Blocked, world: World) -> None:
    """A send is either refused, or its message cancelled; never queued after the block."""
    seen: Counter[str] = Counter()
    for thread in await threads(world):
        _, sent = await together(house.block(thread.contact_id), house.send(thread))
        if isinstance(sent, ComposerRefused):
            assert sent.facts["reason"] == "contact_blocked"
            seen["refused"] += 1
        else:
            assert not isinstance(sent, BaseException), sent
            seen["cancelled"] += 1
        assert await world.node.fetchval("SELECT count(*) FROM deliveries WHERE state <> 'cancelled'") == 0
        assert await world.node.fetchval("SELECT status FROM conversations WHERE id = $1", thread.id) == "closed"
    assert await world.node.fetchval(COUNTED)
    assert min(seen["refused"], seen["cancelled"]) > 0, seen


async def test_block_while_inbound_arrives(house: Blocked, world: World) -> None:
    """A message is either in the thread, which the block then closed, or set aside; never both."""
    seen: Counter[str] = Counter()
    for number, thread in enumerate(await threads(world), 1):
        text = f"message {number}"
        results = await together(house.block(thread.contact_id), house.hear(text, customer=number))
        assert not [one for one in results if isinstance(one, BaseException)], results
        shown, aside = text in await house.shown(), text in await house.aside()
        assert shown != aside
        seen["shown" if shown else "aside"] += 1
        assert await world.node.fetchval("SELECT status FROM conversations WHERE id = $1", thread.id) == "closed"
    assert await world.node.fetchval(COUNTED)
    assert min(seen["shown"], seen["aside"]) > 0, seen


async def test_block_while_a_known_contact_first_writes_on_another_channel(house: Blocked, world: World) -> None:
    """There is no thread to lock yet: the row of the contact serialises the two."""
    other = await world.add_channel("whatsapp", "222")
    seen: Counter[str] = Counter()
    for number, thread in enumerate(await threads(world), 1):
        inbound = said(world, f"message {number}", customer=number)
        results = await together(house.block(thread.contact_id), world.receive(inbound, channel=other))
        assert not [one for one in results if isinstance(one, BaseException)], results
        shown, aside = inbound.external_id in await house.shown(), inbound.external_id in await house.aside()
        assert shown != aside
        seen["shown" if shown else "aside"] += 1
        states = await world.node.fetch("SELECT status FROM conversations WHERE contact_id = $1", thread.contact_id)
        assert {row[0] for row in states} == {"closed"}
    assert min(seen["shown"], seen["aside"]) > 0, seen


async def test_unblock_while_inbound_arrives(house: Blocked, world: World) -> None:
    seen: Counter[str] = Counter()
    for number, thread in enumerate(await threads(world), 1):
        await house.block(thread.contact_id)
        text = f"message {number}"
        results = await together(house.unblock(thread.contact_id), house.hear(text, text, customer=number))
        assert not [one for one in results if isinstance(one, BaseException)], results
        await house.hear(text, customer=number)
        shown, aside = text in await house.shown(), text in await house.aside()
        assert shown != aside
        seen["shown" if shown else "aside"] += 1
    assert min(seen["shown"], seen["aside"]) > 0, seen


async def test_unblock_against_expiry_has_one_winner(house: Blocked, world: World) -> None:
    seen: Counter[str] = Counter()
    for thread in await threads(world):
        await house.block(thread.contact_id, until=soon(0.03))
        await asyncio.sleep(0.028)

        async def expire() -> None:
            for _ in range(5):
                await house.firing.fire_due()
                await asyncio.sleep(0.001)

        unblocked, expired = await together(house.unblock(thread.contact_id), expire())
        assert not isinstance(expired, BaseException), expired
        assert unblocked is None or isinstance(unblocked, NotBlocked), unblocked
        seen["lost" if isinstance(unblocked, NotBlocked) else "won"] += 1
        told = [
            one for one in await house.events("contact.unblocked") if one["contact"]["id"] == str(thread.contact_id)
        ]
        assert [one["expired"] for one in told] == [isinstance(unblocked, NotBlocked)]
        assert not await house.is_blocked(thread.contact_id)
    assert min(seen["won"], seen["lost"]) > 0, seen


async def test_a_new_block_against_the_expiry_of_the_old_one_stays(house: Blocked, world: World) -> None:
    """Whoever is first: the block that was answered last holds, with its own end."""
    seen: Counter[str] = Counter()
    for thread in await threads(world):
        await house.block(thread.contact_id, until=soon(0.02))
        await asyncio.sleep(0.02)
        until = soon()
        results = await together(house.block(thread.contact_id, until=until), house.firing.fire_due())
        assert not [one for one in results if isinstance(one, BaseException)], results
        await house.firing.fire_due()
        found = await world.node.fetchval("SELECT blocked_until FROM contacts WHERE id = $1", thread.contact_id)
        assert found == until
        key = str(thread.contact_id)
        assert await world.node.fetchval("SELECT due_at FROM timers WHERE key = $1", key) == until
        told = [one for one in await house.events("contact.unblocked") if one["contact"]["id"] == key]
        seen["expired first" if told else "prolonged"] += 1
    assert min(seen["expired first"], seen["prolonged"]) > 0, seen


async def test_two_blocks_and_an_unblock_at_once(house: Blocked, world: World) -> None:
    """The answers fit an order in which they happened: the last event says how the contact stands."""
    for thread in await threads(world):
        results = await together(
            house.block(thread.contact_id, reason="first"),
            house.block(thread.contact_id, reason="second", until=soon()),
            house.unblock(thread.contact_id),
        )
        assert all(not isinstance(one, BaseException) or isinstance(one, NotBlocked) for one in results), results
        last = [
            one
            for one in await house.events("contact.blocked", "contact.unblocked")
            if one["contact"]["id"] == str(thread.contact_id)
        ][-1]
        row = (
            await world.node.fetch(
                "SELECT blocked_reason, blocked_until, version FROM contacts WHERE id = $1", thread.contact_id
            )
        )[0]
        said_last = last["contact"]["blocked"]
        assert row["blocked_reason"] == (None if said_last is None else said_last["reason"])
        assert row["version"] == last["contact"]["version"]
        timer = await world.node.fetchval("SELECT due_at FROM timers WHERE key = $1", str(thread.contact_id))
        # One that is left over is harmless: it fires for a block that has no end, and does nothing.
        assert row["blocked_until"] in (None, timer)


async def test_block_while_two_contacts_become_one(house: Blocked, world: World) -> None:
    """The block of one of them holds for what they have become, whoever was first."""
    seen: Counter[str] = Counter()
    for number in range(1, ROUNDS, 2):
        older, newer = await world.conversation(), await world.conversation()
        results = await together(
            house.block(newer.contact_id, until=soon()), join(house, number, number + 1), jitter=0.05
        )
        assert not [one for one in results if isinstance(one, BaseException)], results
        assert await house.is_blocked(older.contact_id)
        states = await world.node.fetch("SELECT status FROM conversations WHERE contact_id = $1", older.contact_id)
        assert {row[0] for row in states} == {"closed"}
        told = len(await house.events("contact.blocked"))
        seen["block first" if told - sum(seen.values()) - seen["block first"] == 2 else "merge first"] += 1
    assert len(seen) > 1, seen
