"""What providers say when somebody blocks us or opts out, as they say it: from the webhook to a refusal by the gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import orjson
import pytest
from builders import make_app, make_channel, make_workspace, start_node
from delivery_world import ScriptedAdapter, World

from inbox.agents.principal import Principal
from inbox.conversations.repository import find as find_thread
from inbox.ingest.repository import RawDelivery, accept
from inbox.kernel.ids import new_id

NOW = int(datetime.now(UTC).timestamp())
BOT = "4242"
Json = dict[str, Any]


@dataclass
class Line:
    """One channel of a kind, with its customer of one message."""

    world: World
    app_id: Any

    async def feed(self, body: Json) -> None:
        raw = RawDelivery(new_id(), datetime.now(UTC), self.app_id, orjson.dumps(body))
        async with self.world.node.database.session() as connection:
            await accept(connection, [(raw.id, raw.app_id, raw.body)], raw.received_at, 30)
        await self.world.node.processor.process([raw])

    async def identity(self) -> Any:
        return (await self.world.node.fetch("SELECT * FROM identities"))[0]

    async def refused(self, purpose: str) -> str | None:
        """What the gate says of a message that is queued now; ``None``: it is in the air."""
        node = self.world.node
        conversation_id = await node.fetchval("SELECT id FROM conversations")
        async with node.database.transaction(readonly=True) as unit:
            thread = await find_thread(unit, self.world.workspace_id, conversation_id)
        assert thread is not None
        message_id = await self.world.queue(thread, purpose=purpose)
        await self.world.claim()
        delivery = await self.world.delivery(message_id)
        await node.fetchval("UPDATE deliveries SET state = 'sent' WHERE state = 'sending' RETURNING 1")
        return None if delivery["state"] == "sending" else str(delivery["fault"]["code"])


def whatsapp(**value: Any) -> Json:
    field = value.pop("field", "messages")
    metadata = {"display_phone_number": "15550000001", "phone_number_id": "111"}
    value = {"messaging_product": "whatsapp", "metadata": metadata, **value}
    changes = [{"field": field, "value": value}]
    return {"object": "whatsapp_business_account", "entry": [{"id": "999", "changes": changes}]}


def page(**item: Any) -> Json:
    messaging = {"sender": {"id": "psid-1"}, "recipient": {"id": "222"}, "timestamp": NOW * 1000, **item}
    return {"object": "page", "entry": [{"id": "222", "time": NOW * 1000, "messaging": [messaging]}]}


def telegram(number: int, **update: Any) -> Json:
    return {"update_id": number, **update}


ANN = {"id": 77, "is_bot": False, "first_name": "Ann"}
CHAT = {"id": 77, "type": "private", "first_name": "Ann"}
FIRST = {
    "whatsapp": whatsapp(
        contacts=[{"profile": {"name": "Ann"}, "wa_id": "15551230001"}],
        messages=[
            {"from": "15551230001", "id": "wamid.1", "timestamp": str(NOW), "type": "text", "text": {"body": "Hello"}}
        ],
    ),
    "messenger": page(message={"mid": "m_1", "text": "Hello"}),
    "telegram": telegram(1, message={"message_id": 1, "from": ANN, "chat": CHAT, "date": NOW, "text": "Hello"}),
}
ACCOUNTS = {"whatsapp": "111", "messenger": "222", "telegram": BOT}


@pytest.fixture
async def line(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    kind: str = request.param
    node = await start_node(database_url)
    workspace_id = await make_workspace(node)
    bot = kind == "telegram"
    app_id = await make_app(node, workspace_id, "telegram" if bot else "meta", account_id=BOT if bot else None)
    channel = await make_channel(node, workspace_id, app_id, kind, ACCOUNTS[kind])
    caller = Principal(workspace_id, uuid4(), "Ada", "agent", uuid4())
    line = Line(World(node, database_url, workspace_id, cast(ScriptedAdapter, None), channel, caller), app_id)
    await line.feed(FIRST[kind])
    yield line
    await node.database.stop()


def preference(value: str) -> Json:
    said = {
        "wa_id": "15551230001", "detail": "said so", "category": "marketing_messages", "value": value,
        "timestamp": NOW,
    }  # fmt: skip
    return whatsapp(field="user_preferences", user_preferences=[said])


@pytest.mark.parametrize("line", ["whatsapp"], indirect=True)
async def test_a_preference_stops_marketing_and_brings_it_back(line: Line) -> None:
    await line.feed(preference("stop"))
    stopped = await line.identity()
    assert (stopped["marketing_stopped_reason"], stopped["marketing_stopped_at"] is None) == ("asked", False)
    assert await line.refused("bulk") == "opted_out"
    assert await line.refused("reply") is None, "who stops advertising may still be answered"
    await line.feed(preference("resume"))
    assert (await line.identity())["marketing_stopped_at"] is None
    assert await line.refused("bulk") is None


def optin(status: str) -> Json:
    told = {"type": "notification_messages", "notification_messages_status": status, "title": "News"}
    return page(optin=told)


@pytest.mark.parametrize("line", ["messenger"], indirect=True)
async def test_stopped_notifications_stop_marketing(line: Line) -> None:
    await line.feed(optin("STOP_NOTIFICATIONS"))
    stopped = await line.identity()
    assert (stopped["marketing_stopped_reason"], stopped["marketing_stopped_at"] is None) == ("asked", False)
    assert await line.refused("bulk") == "opted_out"
    await line.feed(optin("RESUME_NOTIFICATIONS"))
    assert (await line.identity())["marketing_stopped_at"] is None


def membership(number: int, status: str) -> Json:
    bot = {"id": int(BOT), "is_bot": True, "first_name": "Bot"}
    change = {"chat": CHAT, "from": ANN, "date": NOW, "old_chat_member": {"user": bot, "status": "member"}}
    return telegram(number, my_chat_member={**change, "new_chat_member": {"user": bot, "status": status}})


@pytest.mark.parametrize("line", ["telegram"], indirect=True)
async def test_a_bot_that_was_stopped_reaches_nobody_until_it_is_started(line: Line) -> None:
    await line.feed(membership(2, "kicked"))
    gone = await line.identity()
    assert (gone["unreachable"], gone["unreachable_at"] is None) == ("blocked", False)
    assert await line.refused("reply") == "recipient_unreachable"
    await line.feed(membership(3, "member"))
    assert (await line.identity())["unreachable"] is None
    assert await line.refused("reply") is None
    kinds = await line.world.node.fetch("SELECT kind FROM events WHERE kind = 'contact.reachability'")
    assert len(kinds) == 2
