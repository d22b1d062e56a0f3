"""A provider that says it takes longer gets the time; nobody else waits for it, and the sweeper knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from delivery_world import World, make_world

from channels.adapter import OutboundFile
from channels.outbound import Piece
from inbox.delivery.dispatcher import time_allowed


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as world:
        yield world


@pytest.mark.parametrize(
    ("piece", "seconds"),
    [
        pytest.param(Piece({}), 20, id="a request"),
        pytest.param(Piece({}, patience=90), 90, id="a linked video"),
        pytest.param(Piece({}, patience=5), 20, id="never less"),
        pytest.param(Piece({}, media_ids=("a",)), 20, id="one file"),
        pytest.param(Piece({}, media_ids=("a", "b", "c")), 60, id="an album of three"),
    ],
)
def test_how_long_a_send_may_take(piece: Piece, seconds: float) -> None:
    assert time_allowed(piece, 20) == seconds


async def takes(world: World, message_id: UUID, more: str) -> None:
    async with world.node.database.session() as connection:
        await connection.execute(f"UPDATE deliveries SET piece = piece || '{more}' WHERE message_id = $1", message_id)


class _Files:
    async def outbound(self, workspace_id: UUID, media_id: str) -> OutboundFile:
        return OutboundFile("a.png", "image/png", b"")


@pytest.mark.parametrize("more", ['{"patience": 5}', '{"media_ids": ["a", "b", "c", "d"]}'])
async def test_a_slow_one_is_awaited_and_the_quick_are_not(world: World, more: str) -> None:
    async def slow(*_: Any) -> None:
        await asyncio.sleep(0.5)

    world.adapter.play = slow
    patient, hurried = await world.queue(await world.conversation()), await world.queue(await world.conversation())
    await takes(world, patient, more)
    await world.run_until_idle(world.dispatcher(timeout=0.2, files=_Files()))
    assert (await world.status(patient), await world.status(hurried)) == ("sent", "uncertain")


async def test_the_sweeper_takes_nobody_for_dead_who_may_still_wait(world: World) -> None:
    asked = [await world.queue(await world.conversation()) for _ in range(3)]
    await takes(world, asked[1], '{"patience": 90}')
    await takes(world, asked[2], '{"media_ids": ["a", "b", "c", "d", "e"]}')
    assert len(await world.claim()) == 3
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE deliveries SET sending_since = now() - interval '85 seconds'")
    assert (await world.sweeper(uncertain_after=60, send_timeout=20).sweep()).uncertain == 1
    assert [await world.status(one) for one in asked] == ["uncertain", "sending", "sending"]
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE deliveries SET sending_since = now() - interval '161 seconds'")
    assert (await world.sweeper(uncertain_after=60, send_timeout=20).sweep()).uncertain == 2
