"""A quote or a tap that overtakes our record of the message it refers to finds it afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from delivery_world import World, make_world

from channels.content import TextPart
from channels.inbound import Echo, MessageReceived, StatusReported
from channels.types import Address, Person

OURS = "whatsapp.111.1"
ADDRESS = Address("whatsapp_phone", "", "15551230001")


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as world:
        yield world


def quote(external_id: str = "in.1", of: str = OURS) -> MessageReceived:
    return MessageReceived("111", external_id, Person((ADDRESS,)), (TextPart("Yes"),), datetime.now(UTC), reply_to=of)


async def linked(world: World) -> list[Any]:
    rows = await world.node.fetch("SELECT reply_to_id FROM messages WHERE external_id LIKE 'in.%' ORDER BY external_id")
    return [row[0] for row in rows]


async def updates(world: World) -> list[dict[str, Any]]:
    rows = await world.node.fetch("SELECT payload FROM events WHERE kind = 'message.updated' ORDER BY position")
    return [orjson.loads(row[0])["message"] for row in rows]


async def test_a_quote_that_comes_before_the_answer_to_our_send(world: World) -> None:
    message_id = await world.queue(await world.conversation())

    async def quoted_meanwhile(*_: Any) -> None:
        await world.receive(quote())

    world.adapter.play = quoted_meanwhile
    await world.run_until_idle()
    assert await linked(world) == [message_id]
    (told,) = await updates(world)
    assert told["reply_to_id"] == str(message_id)


@pytest.mark.parametrize("by", ["echo", "receipt"])
async def test_a_quote_that_comes_before_we_learn_the_id_in_another_way(world: World, by: str) -> None:
    thread = await world.conversation()
    message_id = await world.queue(thread)
    world.adapter.script = [TimeoutError()]
    await world.run_until_idle()
    await world.receive(quote())
    correlation, now = str((await world.delivery(message_id))["id"]), datetime.now(UTC)
    if by == "receipt":
        await world.receive(StatusReported("111", OURS, "sent", now, correlation=correlation))
    else:
        echo = MessageReceived("111", OURS, Person((ADDRESS,)), (), now, echo=Echo(correlation), opens_window=False)
        await world.receive(echo)
    assert await linked(world) == [message_id]


async def test_what_quotes_something_else_stays_as_it_is(world: World) -> None:
    await world.queue(await world.conversation())
    await world.receive(quote(of="never.seen"))
    await world.run_until_idle()
    assert await linked(world) == [None]
    assert await updates(world) == []


async def test_whoever_comes_second_sees_the_first(world: World) -> None:
    """The quote looks before it has the lock of the conversation; the send is recorded while it waits for that."""
    message_id = await world.queue(await world.conversation())
    answered = asyncio.Event()

    async def quoted_at_the_same_time(*_: Any) -> None:
        answered.set()

    world.adapter.play = quoted_at_the_same_time

    async def customer() -> None:
        await answered.wait()
        await asyncio.gather(*(world.receive(quote(f"in.{number}")) for number in range(6)))

    await asyncio.gather(world.run_until_idle(), customer())
    assert await linked(world) == [message_id] * 6
