"""What was unsent is gone from the event log: also what lists and supervisors were told, and from joined threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from builders import Node, make_app, make_channel, make_workspace, start_node

from channels.content import TextPart
from channels.inbound import IdentityChanged, Inbound, MessageEdited, MessageReceived, MessageUnsent
from channels.types import Address, Person
from inbox.connections.directory import Channel
from inbox.kernel.backoff import BackOff
from inbox.kernel.jobs import Jobs
from inbox.kernel.jobs_worker import Worker
from inbox.kernel.reactions import Reactions
from inbox.kernel.wakeup import Wakeup
from inbox.messages import forgetting_rows as rows
from inbox.messages.forgetting import Forgetting
from inbox.messages.receiving import Item

ADA = Person((Address("phone", "", "15551230001"),), name="Ada")
ADA_AGAIN = Person((Address("bsuid", "", "DE.1"),), name="Ada")
AT = datetime(2026, 9, 21, tzinfo=UTC)


class Log:
    """A workspace with one number, what its log says, and the worker that forgets."""

    def __init__(self, node: Node, forgetting: Forgetting, channel: Channel) -> None:
        self.node, self.forgetting, self.channel = node, forgetting, channel

    async def receive(self, *inbound: Inbound) -> None:
        items = [Item(self.channel, one, datetime.now(UTC)) for one in inbound]
        await self.node.database.retrying(
            lambda unit: self.node.receiver.receive(unit, self.channel.workspace_id, items)
        )

    async def forget(self) -> None:
        worker = Worker(self.node.database, Wakeup(), poll_seconds=0.02, back_off=BackOff(0.02, 0.05))
        self.forgetting.register(worker)
        async with asyncio.timeout(10):
            running = asyncio.create_task(worker.run())
            while await self.node.fetchval("SELECT count(*) FROM jobs WHERE queue = 'messages.forget'"):
                await asyncio.sleep(0.01)
            worker.stop()
            await running

    async def events(self) -> list[tuple[int, str, dict[str, Any]]]:
        rows = await self.node.fetch("SELECT position, kind, payload FROM events ORDER BY position")
        return [(row[0], row[1], orjson.loads(row[2])) for row in rows]

    async def stored(self) -> str:
        """Everything in the log, as it is stored."""
        return "\n".join(row[0] for row in await self.node.fetch("SELECT payload::text FROM events"))


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[Log]:
    reactions = Reactions()
    node = await start_node(database_url, reactions=reactions)
    forgetting = Forgetting(node.database, Jobs(Wakeup()))
    forgetting.listen(reactions)
    workspace_id = await make_workspace(node)
    app_id = await make_app(node, workspace_id, "meta")
    channel = await make_channel(node, workspace_id, app_id, "whatsapp", "111")
    yield Log(node, forgetting, channel)
    await node.database.stop()


def said(external_id: str, text: str, peer: Person = ADA) -> MessageReceived:
    return MessageReceived("111", external_id, peer, (TextPart(text),), AT)


def edited(external_id: str, text: str) -> MessageEdited:
    return MessageEdited("111", external_id, ADA, (TextPart(text),), AT + timedelta(seconds=1))


def unsent(external_id: str) -> MessageUnsent:
    return MessageUnsent("111", external_id, ADA, AT + timedelta(seconds=2))


async def test_the_log_forgets_what_was_unsent_and_keeps_its_order(log: Log) -> None:
    await log.receive(said("first", "stays"))
    await log.receive(said("second", "secret one"))
    await log.receive(edited("second", "secret two"))
    before = await log.events()
    await log.receive(unsent("second"))
    assert "secret" in await log.stored()
    await log.forget()

    assert "secret" not in await log.stored()
    after = await log.events()
    assert [(place, kind) for place, kind, _ in after[: len(before)]] == [(place, kind) for place, kind, _ in before]
    told = [data["message"] for _, kind, data in after if kind in ("message.created", "message.updated")]
    assert [(one["number"], len(one["parts"])) for one in told] == [(1, 1), (2, 0), (2, 0), (2, 0)]
    assert {one["unsent_at"] is None for one in told[1:]} == {False}
    previews = [data["conversation"]["last_message_preview"] for _, _, data in after if "conversation" in data]
    assert set(previews) == {"stays", "[unsent]"}
    (message,) = await log.node.fetch("SELECT unsent_at FROM messages WHERE external_id = 'second'")
    assert datetime.fromisoformat(told[1]["unsent_at"]) == message["unsent_at"]


async def test_what_came_and_went_in_one_batch_is_forgotten_too(log: Log) -> None:
    await log.receive(said("1", "secret"), unsent("1"))
    await log.forget()
    assert "secret" not in await log.stored()


async def test_a_message_that_stays_is_not_forgotten(log: Log) -> None:
    await log.receive(said("1", "stays"), edited("1", "stays, better"))
    assert await log.node.fetch("SELECT 1 FROM jobs WHERE queue = 'messages.forget'") == []
    (message_id,) = [row[0] for row in await log.node.fetch("SELECT id FROM messages")]
    async with log.node.database.transaction() as unit:
        assert await rows.forget_message(unit, log.channel.workspace_id, message_id, "[unsent]") == 0
    assert "stays, better" in await log.stored()


async def test_events_of_a_thread_that_was_joined_into_another_are_found(log: Log) -> None:
    await log.receive(said("old", "secret", ADA_AGAIN))
    await log.receive(said("new", "stays"))
    await log.receive(IdentityChanged("111", ADA_AGAIN.addresses, (*ADA.addresses, *ADA_AGAIN.addresses), AT))
    assert await log.node.fetchval("SELECT count(*) FROM conversations") == 1
    await log.receive(unsent("old"))
    await log.forget()
    assert "secret" not in await log.stored()
    assert "stays" in await log.stored()


async def test_what_was_set_aside_is_forgotten_too(log: Log) -> None:
    await log.receive(said("before", "stays"))
    await log.node.fetch("UPDATE contacts SET blocked_at = now()")
    await log.receive(said("during", "secret"), edited("before", "secret edit"))
    assert (await log.stored()).count("secret") == 2
    await log.receive(unsent("during"))
    await log.receive(unsent("before"))
    await log.forget()
    stored = await log.stored()
    assert "secret" not in stored
    assert "stays" not in stored
