"""Queuing a message on a real PostgreSQL: one message for one client token, however often and wherever it is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from delivery_world import World, make_world

from inbox.conversations.repository import Thread
from inbox.kernel.ids import new_id
from inbox.messages.schemas import SendIn
from inbox.messages.sending import Sending, Sent, TokenReused


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


def order(text: str = "Hello", token: str | None = "token") -> SendIn:
    return SendIn.model_validate({"parts": [{"type": "text", "text": text}], "client_token": token})


async def send(world: World, thread: Thread, wanted: SendIn) -> Sent:
    return await sending(world).send(world.caller, thread.id, wanted)


async def test_the_same_token_makes_one_message(world: World) -> None:
    thread = await world.conversation()
    first, again = await send(world, thread, order()), await send(world, thread, order())
    assert (first.replayed, again.replayed) == (False, True)
    assert again.message.id == first.message.id
    with pytest.raises(TokenReused):
        await send(world, thread, order("something else"))
    assert await world.node.fetchval("SELECT count(*) FROM deliveries") == 1


async def test_the_same_token_in_the_same_moment_makes_one_message(world: World) -> None:
    thread = await world.conversation()
    sent = await asyncio.gather(*(send(world, thread, order()) for _ in range(6)))
    assert len({one.message.id for one in sent}) == 1
    assert sum(not one.replayed for one in sent) == 1


async def test_a_token_that_is_used_in_another_conversation_in_the_same_moment_is_refused(world: World) -> None:
    """The conversations are not the same, so no lock of theirs keeps the two apart: the constraint does."""
    here, there = await world.conversation(), await world.conversation()
    async with world.node.database.transaction() as unit:
        await unit.execute(
            """INSERT INTO messages (workspace_id, id, conversation_id, channel_id, number, direction, author_kind,
                   author_id, status, client_token, fingerprint, occurred_at)
               VALUES ($1, $2, $3, $4, 1, 'out', 'agent', $5, 'queued', 'token', 'x', now())""",
            world.workspace_id,
            new_id(),
            there.id,
            there.channel_id,
            world.caller.agent_id,
        )
        late = asyncio.create_task(send(world, here, order()))
        await world.wait_for("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid')")
    with pytest.raises(TokenReused):
        await late
    assert await messages_of(world, here.id) == 0


async def messages_of(world: World, conversation_id: UUID) -> Any:
    return await world.node.fetchval("SELECT count(*) FROM messages WHERE conversation_id = $1", conversation_id)
