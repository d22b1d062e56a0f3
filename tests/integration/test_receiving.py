"""Webhook bodies through the processor on a real PostgreSQL: stored once, in order, in the log, whatever happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from builders import (
    Node,
    make_app,
    make_channel,
    make_workspace,
    start_node,
    whatsapp_body,
    whatsapp_status,
    whatsapp_text,
)

from inbox.agents.principal import Principal
from inbox.connections.directory import Channel
from inbox.conversations import repository as thread_rows
from inbox.ingest.replay import Replay
from inbox.ingest.repository import RawDelivery, accept
from inbox.ingest.routes import QuarantineRoutes, Replayed
from inbox.kernel.ids import new_id
from inbox.messages import receiving
from inbox.messages.preview import preview_of


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[Node]:
    node = await start_node(database_url)
    yield node
    await node.database.stop()


class Line:
    """A workspace with one WhatsApp number, and a way to feed it bodies."""

    def __init__(self, node: Node, workspace_id: UUID, app_id: UUID, channel: Channel) -> None:
        self.node, self.workspace_id, self.app_id, self.channel = node, workspace_id, app_id, channel

    async def keep(self, body: bytes) -> RawDelivery:
        raw = RawDelivery(new_id(), datetime.now(UTC), self.app_id, body)
        async with self.node.database.session() as connection:
            await accept(connection, [(raw.id, raw.app_id, body)], raw.received_at, 30)
        return raw

    async def feed(self, *bodies: bytes, node: Node | None = None) -> None:
        await (node or self.node).processor.process([await self.keep(body) for body in bodies])

    async def messages(self) -> list[Any]:
        return await self.node.fetch("SELECT * FROM messages ORDER BY conversation_id, number")

    async def events(self) -> list[tuple[int, str, dict[str, Any]]]:
        rows = await self.node.fetch("SELECT position, kind, payload FROM events ORDER BY position")
        return [(row[0], row[1], orjson.loads(row[2])) for row in rows]


@pytest.fixture
async def line(node: Node) -> Line:
    workspace_id = await make_workspace(node)
    app_id = await make_app(node, workspace_id, "meta")
    channel = await make_channel(node, workspace_id, app_id, "whatsapp", "111")
    return Line(node, workspace_id, app_id, channel)


async def test_a_first_message_makes_contact_conversation_message_and_events(line: Line) -> None:
    await line.feed(whatsapp_body("111", whatsapp_text("15551230001", "wamid.1", "Hello")))

    (message,) = await line.messages()
    assert message["parts"] == [{"text": "Hello", "entities": [], "type": "text"}]
    assert (message["number"], message["direction"], message["status"]) == (1, "in", None)
    assert [(position, kind) for position, kind, _ in await line.events()] == [
        (1, "contact.created"),
        (2, "conversation.created"),
        (3, "message.created"),
    ]
    assert await line.node.fetchval("SELECT phone FROM contacts") == "+15551230001"
    assert await line.node.fetchval("SELECT count(*) FROM pending_deliveries") == 0


async def test_redelivery_and_repeats_in_a_batch_make_one_message(line: Line) -> None:
    body = whatsapp_body("111", *[whatsapp_text("15551230001", "wamid.1", "Hello")] * 3)
    await line.feed(body, body)
    await line.feed(body)

    assert len(await line.messages()) == 1
    assert len(await line.events()) == 3


async def test_numbers_of_a_thread_are_dense_and_follow_acceptance(line: Line) -> None:
    bodies = [whatsapp_body("111", whatsapp_text(f"1555123000{n % 3}", f"wamid.{n}", f"text {n}")) for n in range(30)]
    await line.feed(*bodies[:17])
    await line.feed(*bodies[17:])

    threads: dict[UUID, list[Any]] = {}
    for message in await line.messages():
        threads.setdefault(message["conversation_id"], []).append(message)
    assert len(threads) == 3
    for thread in threads.values():
        assert [message["number"] for message in thread] == list(range(1, 11))
        order = [int(message["external_id"].removeprefix("wamid.")) for message in thread]
        assert order == sorted(order)


async def test_two_nodes_and_one_new_customer_make_one_contact(line: Line, database_url: str) -> None:
    other = await start_node(database_url)
    try:
        for round_ in range(25):
            phone = f"1555124{round_:04d}"
            first = whatsapp_body("111", whatsapp_text(phone, f"a.{round_}", "one"))
            second = whatsapp_body("111", whatsapp_text(phone, f"b.{round_}", "two"))
            await asyncio.gather(line.feed(first), line.feed(second, node=other))
        counts = await line.node.fetch(
            "SELECT (SELECT count(*) FROM contacts), (SELECT count(*) FROM identities),"
            " (SELECT count(*) FROM conversations), (SELECT count(*) FROM messages), (SELECT head FROM event_logs)"
        )
        assert tuple(counts[0]) == (25, 25, 25, 50, 100)
        assert await line.node.fetchval("SELECT count(*) FROM quarantine") == 0
    finally:
        await other.database.stop()


async def test_phone_and_business_scoped_id_met_apart_join_when_seen_together(line: Line) -> None:
    def from_user(user_id: str, external_id: str, **more: str) -> bytes:
        message = {
            "from_user_id": user_id,
            "id": external_id,
            "timestamp": "1790000000",
            "type": "text",
            "text": {"body": external_id},
            **more,
        }
        contact = {"profile": {"name": "Ann"}, "user_id": user_id}
        if "from" in more:
            contact["wa_id"] = more["from"]
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"phone_number_id": "111"},
            "contacts": [contact],
            "messages": [message],
        }
        entry = {"id": "WABA", "changes": [{"field": "messages", "value": value}]}
        return orjson.dumps({"object": "whatsapp_business_account", "entry": [entry]})

    await line.feed(whatsapp_body("111", whatsapp_text("15551230001", "phone.1", "by phone")))
    await line.feed(from_user("US.13491208655302741918", "user.1"))
    assert await line.node.fetchval("SELECT count(*) FROM conversations") == 2

    together = from_user("US.13491208655302741918", "both.1", **{"from": "15551230001"})
    await line.feed(together)

    assert await line.node.fetchval("SELECT count(*) FROM conversations") == 1
    assert await line.node.fetchval("SELECT count(*) FROM contacts WHERE merged_into IS NULL") == 1
    messages = await line.messages()
    assert [(m["number"], m["external_id"]) for m in messages] == [(1, "phone.1"), (2, "user.1"), (3, "both.1")]
    kinds = [kind for _, kind, _ in await line.events()]
    assert [kind for kind in kinds if "merged" in kind] == ["contact.merged", "conversation.merged"]
    assert kinds[-1] == "message.created"


async def test_an_unknown_account_waits_visible_and_is_replayed_once_connected(line: Line) -> None:
    await line.feed(whatsapp_body("222", whatsapp_text("15551230001", "wamid.1", "too early")))
    assert await line.messages() == []
    assert await line.node.fetchval("SELECT reason FROM quarantine WHERE released_at IS NULL") == "unknown_account"

    await make_channel(line.node, line.workspace_id, line.app_id, "whatsapp", "222")
    raw = await line.node.fetch("SELECT id, received_at, app_id, body FROM raw_deliveries")
    await line.node.processor.process([RawDelivery(*raw[0])], replay=True)
    assert len(await line.messages()) == 1
    assert await line.node.fetchval("SELECT count(*) FROM quarantine WHERE released_at IS NULL") == 0


async def test_a_replay_says_how_many_ran_and_how_many_entries_are_still_open(line: Line) -> None:
    replay = Replay(line.node.database, line.node.processor)
    caller = Principal(line.workspace_id, new_id(), "Ada", "admin", new_id())
    stranger = Principal(await make_workspace(line.node), new_id(), "Eve", "admin", new_id())
    for account in ("222", "333"):
        await line.feed(whatsapp_body(account, whatsapp_text("15551230001", f"wamid.{account}", "too early")))

    assert await QuarantineRoutes(replay).replay(caller) == Replayed(bodies=2, still_open=2)
    await make_channel(line.node, line.workspace_id, line.app_id, "whatsapp", "222")
    assert await QuarantineRoutes(replay).replay(caller) == Replayed(bodies=2, still_open=1)
    assert await QuarantineRoutes(replay).replay(stranger) == Replayed(bodies=0, still_open=0)
    assert await replay.still_open(None) == 1


async def test_an_app_whose_secrets_cannot_be_read_costs_its_own_bodies_only(line: Line) -> None:
    lost = await make_app(line.node, line.workspace_id, "meta")
    async with line.node.database.session() as connection:
        await connection.execute("UPDATE provider_apps SET secrets = 'sealed with a lost key' WHERE id = $1", lost)
    good = await line.keep(whatsapp_body("111", whatsapp_text("15551230001", "wamid.1", "Hello")))
    bad = await Line(line.node, line.workspace_id, lost, line.channel).keep(whatsapp_body("111"))

    await line.node.processor.process([bad, good])
    assert len(await line.messages()) == 1
    assert await line.node.fetchval("SELECT count(*) FROM pending_deliveries") == 0
    entries = await line.node.fetch("SELECT raw_id, reason, detail FROM quarantine")
    assert [tuple(entry) for entry in entries] == [(bad.id, "unstorable", "CannotOpen")]


async def test_an_item_that_cannot_be_stored_does_not_cost_its_neighbours(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(parts: Any) -> str:
        if getattr(parts[0], "text", "") == "poison":
            raise ZeroDivisionError
        return preview_of(parts)

    monkeypatch.setattr(receiving, "preview_of", poisoned)
    texts = ["one", "poison", "two"]
    await line.feed(
        whatsapp_body("111", *[whatsapp_text("15551230001", f"wamid.{text}", text) for text in texts]),
        whatsapp_body("111", whatsapp_text("15551230002", "wamid.other", "other")),
    )
    assert {m["external_id"] for m in await line.messages()} == {"wamid.one", "wamid.two", "wamid.other"}
    (entry,) = await line.node.fetch("SELECT item, reason, detail FROM quarantine")
    assert tuple(entry) == (1, "unstorable", "ZeroDivisionError")

    monkeypatch.undo()
    raw = await line.node.fetch(
        "SELECT r.id, r.received_at, r.app_id, r.body FROM raw_deliveries r JOIN quarantine q ON q.raw_id = r.id"
    )
    await line.node.processor.process([RawDelivery(*raw[0])], replay=True)
    assert len(await line.messages()) == 4


async def test_edits_reactions_and_unsends_keep_what_must_be_kept(line: Line) -> None:
    def modifier(**more: Any) -> dict[str, Any]:
        return {"from": "15551230001", "timestamp": "1790000050", **more}

    edit = {
        "original_message_id": "wamid.1",
        "message": {"type": "text", "text": {"body": "better"}},
    }
    await line.feed(whatsapp_body("111", whatsapp_text("15551230001", "wamid.1", "worse")))
    await line.feed(whatsapp_body("111", modifier(id="wamid.2", type="edit", edit=edit)))
    await line.feed(whatsapp_body("111", modifier(id="wamid.2", type="edit", edit=edit)))
    (message,) = await line.messages()
    assert (message["parts"][0]["text"], message["versions"]) == ("better", 2)
    assert await line.node.fetchval("SELECT parts->0->>'text' FROM message_versions") == "worse"
    assert await line.node.fetchval("SELECT last_message_preview FROM conversations") == "better"

    react = modifier(id="wamid.3", type="reaction", reaction={"message_id": "wamid.1", "emoji": "👍"})
    await line.feed(whatsapp_body("111", react))
    assert await line.node.fetchval("SELECT emoji FROM reactions") == "👍"
    gone = modifier(id="wamid.4", type="reaction", reaction={"message_id": "wamid.1"})
    gone["timestamp"] = "1790000060"
    await line.feed(whatsapp_body("111", gone))
    assert await shown_reactions(line) == []

    revoke = modifier(id="wamid.5", type="revoke", revoke={"original_message_id": "wamid.1"})
    await line.feed(whatsapp_body("111", revoke))
    (message,) = await line.messages()
    assert message["parts"] == []
    assert message["unsent_at"] is not None
    assert await line.node.fetchval("SELECT count(*) FROM message_versions") == 0
    assert "better" not in await line.node.fetchval("SELECT last_message_preview FROM conversations")


async def shown_reactions(line: Line) -> list[str]:
    """As the last event about the message told them."""
    shown = [data["message"] for _, kind, data in await line.events() if kind == "message.updated"]
    return [reaction["emoji"] for reaction in shown[-1]["reactions"]] if shown else []


async def test_a_webhook_that_comes_again_brings_no_older_state_back(line: Line) -> None:
    def later(seconds: int, **more: Any) -> bytes:
        return whatsapp_body("111", {"from": "15551230001", "timestamp": str(1790000000 + seconds), **more})

    def edit(seconds: int, text: str) -> bytes:
        message = {"type": "text", "text": {"body": text}}
        return later(
            seconds, id=f"e{seconds}", type="edit", edit={"original_message_id": "wamid.1", "message": message}
        )

    def react(seconds: int, **emoji: str) -> bytes:
        return later(seconds, id=f"r{seconds}", type="reaction", reaction={"message_id": "wamid.1", **emoji})

    await line.feed(whatsapp_body("111", whatsapp_text("15551230001", "wamid.1", "first")))
    await line.feed(edit(10, "second"), edit(20, "third"), react(30, emoji="👍"), react(40))
    told = len(await line.events())
    await line.feed(edit(10, "second"), react(30, emoji="👍"), react(40))

    (message,) = await line.messages()
    assert (message["parts"][0]["text"], message["versions"]) == ("third", 3)
    assert await shown_reactions(line) == []
    assert len(await line.events()) == told
    await line.feed(react(50, emoji="👍"))
    assert await shown_reactions(line) == ["👍"]


async def test_an_edit_that_overtakes_its_message_is_tried_again(line: Line) -> None:
    edit = {
        "from": "15551230001", "id": "wamid.2", "timestamp": "1790000050", "type": "edit",
        "edit": {"original_message_id": "wamid.1", "message": {"type": "text", "text": {"body": "better"}}},
    }  # fmt: skip
    await line.feed(whatsapp_body("111", edit))
    (entry,) = await line.node.fetch("SELECT raw_id, reason, retry_at IS NOT NULL FROM quarantine")
    assert tuple(entry)[1:] == ("target_unknown", True)
    await line.feed(whatsapp_body("111", whatsapp_text("15551230001", "wamid.1", "worse")))
    raw = await line.node.fetch("SELECT id, received_at, app_id, body FROM raw_deliveries WHERE id = $1", entry[0])
    await line.node.processor.process([RawDelivery(*raw[0])], replay=True)
    (message,) = await line.messages()
    assert message["parts"][0]["text"] == "better"
    assert await line.node.fetchval("SELECT count(*) FROM quarantine WHERE released_at IS NULL") == 0


LAST_TRY = 6


async def test_an_edit_whose_message_never_comes_becomes_it(line: Line) -> None:
    edit = {
        "from": "15551230001", "id": "wamid.2", "timestamp": "1790000050", "type": "edit",
        "edit": {"original_message_id": "wamid.1", "message": {"type": "text", "text": {"body": "better"}}},
    }  # fmt: skip
    raw = await line.keep(whatsapp_body("111", edit))
    await line.node.processor.process([replace(raw, retries=LAST_TRY - 1)], replay=True)
    assert await line.messages() == []
    await line.node.processor.process([replace(raw, retries=LAST_TRY)], replay=True)
    assert await line.node.fetchval("SELECT count(*) FROM quarantine WHERE released_at IS NULL") == 0
    (message,) = await line.messages()
    assert (message["parts"][0]["text"], message["versions"], message["external_id"]) == ("better", 1, "wamid.1")
    assert message["edited_at"] == datetime.fromtimestamp(1790000050, UTC)
    created = [data["message"] for _, kind, data in await line.events() if kind == "message.created"]
    assert [datetime.fromisoformat(one["edited_at"]) for one in created] == [message["edited_at"]]
    assert await line.node.fetchval("SELECT window_opened_at FROM conversations") is None

    await line.feed(whatsapp_body("111", whatsapp_text("15551230001", "wamid.1", "worse")))
    await line.node.processor.process([raw])
    assert [row["parts"][0]["text"] for row in await line.messages()] == ["better"]
    assert await line.node.fetchval("SELECT count(*) FROM message_versions") == 0


async def test_what_else_lacks_its_message_stays_in_quarantine(line: Line) -> None:
    revoke = {"from": "15551230001", "id": "wamid.2", "timestamp": "1790000050", "type": "revoke"}
    raw = await line.keep(whatsapp_body("111", {**revoke, "revoke": {"original_message_id": "wamid.1"}}))
    await line.node.processor.process([replace(raw, retries=LAST_TRY)], replay=True)
    (entry,) = await line.node.fetch("SELECT reason, retry_at FROM quarantine WHERE released_at IS NULL")
    assert tuple(entry) == ("target_unknown", None)
    assert await line.messages() == []


async def test_receipts_of_unknown_messages_are_parked(line: Line) -> None:
    body = whatsapp_body("111", statuses=[whatsapp_status("wamid.out", s) for s in ("read", "delivered")])
    await line.feed(body, body)
    rows = await line.node.fetch("SELECT external_id, status FROM parked_receipts ORDER BY status")
    assert [tuple(row) for row in rows] == [("wamid.out", "delivered"), ("wamid.out", "read")]
    assert await line.node.fetchval("SELECT count(*) FROM contacts") == 0


async def test_concurrent_writers_leave_no_gap_and_no_double(line: Line, database_url: str) -> None:
    """P2 and P3 under load: shuffled, repeated bodies through two nodes; the log is dense, the threads are."""
    other = await start_node(database_url)
    chance = random.Random(7)
    bodies = [whatsapp_body("111", whatsapp_text(f"1555199000{n % 7}", f"wamid.{n}", f"text {n}")) for n in range(140)]
    doubled = bodies * 2
    chance.shuffle(doubled)
    batches = [doubled[start : start + 10] for start in range(0, len(doubled), 10)]
    try:
        for pair in zip(batches[::2], batches[1::2], strict=True):
            await asyncio.gather(line.feed(*pair[0]), line.feed(*pair[1], node=other))
    finally:
        await other.database.stop()
    messages = await line.messages()
    assert sorted(m["external_id"] for m in messages) == sorted(f"wamid.{n}" for n in range(140))
    numbers: dict[UUID, list[int]] = {}
    for message in messages:
        numbers.setdefault(message["conversation_id"], []).append(message["number"])
    assert all(thread == list(range(1, 21)) for thread in numbers.values())
    assert [position for position, _, _ in await line.events()] == list(range(1, 7 * 2 + 140 + 1))


async def test_a_stranger_without_a_name_is_asked_for_once(node: Node) -> None:
    workspace_id = await make_workspace(node)
    app_id = await make_app(node, workspace_id, "meta")
    await make_channel(node, workspace_id, app_id, "messenger", "222")
    line = Line(node, workspace_id, app_id, await make_channel(node, workspace_id, app_id, "whatsapp", "111"))

    def message(mid: str) -> bytes:
        item = {"sender": {"id": "psid-1"}, "recipient": {"id": "222"}, "timestamp": 1_790_000_000_000}
        entry = {"id": "222", "time": 1_790_000_000_000, "messaging": [{**item, "message": {"mid": mid, "text": "Hi"}}]}
        return orjson.dumps({"object": "page", "entry": [entry]})

    await line.feed(message("m_1"), message("m_2"))
    await line.feed(message("m_3"), whatsapp_body("111", whatsapp_text("15551230001", "wamid.1", "named")))
    jobs = await node.fetch("SELECT queue, payload->>'identity_id' FROM jobs")
    assert [row[0] for row in jobs] == ["profile.fetch"]
    assert UUID(jobs[0][1]) == await node.fetchval("SELECT id FROM identities WHERE provider = 'messenger'")


def by_user(user_id: str, external_id: str, phone: str | None = None) -> bytes:
    """A text of somebody whom WhatsApp names by the business-scoped id, and by phone if given."""
    message: dict[str, Any] = {
        "from_user_id": user_id, "id": external_id, "timestamp": "1790000000", "type": "text",
        "text": {"body": external_id},
    }  # fmt: skip
    if phone:
        message["from"] = phone
    contact = {"profile": {"name": "Ann"}, "user_id": user_id} | ({"wa_id": phone} if phone else {})
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"phone_number_id": "111"},
        "contacts": [contact],
        "messages": [message],
    }
    entry = {"id": "WABA", "changes": [{"field": "messages", "value": value}]}
    return orjson.dumps({"object": "whatsapp_business_account", "entry": [entry]})


BSUID = "US.13491208655302741918"


async def make_agent(line: Line) -> UUID:
    agent_id = new_id()
    async with line.node.database.session() as connection:
        await connection.execute(
            "INSERT INTO agents (workspace_id, id, name, role) VALUES ($1, $2, 'Agent', 'agent')",
            line.workspace_id,
            agent_id,
        )
    return agent_id


async def test_a_join_leaves_nobodys_unread_messages_read(line: Line) -> None:
    await line.feed(whatsapp_body("111", whatsapp_text("15551230001", "phone.1", "read")))
    await line.feed(by_user(BSUID, "user.1"))
    await line.feed(whatsapp_body("111", whatsapp_text("15551230001", "phone.2", "read as well")))
    agent_id = await make_agent(line)
    (phone_thread,) = await line.node.fetch("SELECT conversation_id FROM messages WHERE external_id = 'phone.1'")
    async with line.node.database.transaction() as unit:
        await thread_rows.set_reading_position(unit, line.workspace_id, phone_thread[0], agent_id, 2)

    await line.feed(by_user(BSUID, "both.1", "15551230001"))
    (conversation,) = await line.node.fetch("SELECT id FROM conversations")
    async with line.node.database.transaction() as unit:
        unread = await thread_rows.unread(unit, line.workspace_id, agent_id, [conversation[0]])
    # phone.1 was read; user.1 was not, so everything from there on counts, once.
    assert await line.node.fetchval("SELECT number FROM reading_positions") == 1
    assert unread == {conversation[0]: 3}


async def test_a_join_waits_for_requests_that_are_in_the_air_in_both_threads(line: Line) -> None:
    await line.feed(whatsapp_body("111", whatsapp_text("15551230001", "phone.1", "one")), by_user(BSUID, "user.1"))
    async with line.node.database.session() as connection:
        await connection.execute(
            """
            INSERT INTO messages (workspace_id, id, conversation_id, channel_id, number, direction, author_kind, status,
                occurred_at)
            SELECT workspace_id, gen_random_uuid(), id, channel_id, 2, 'out', 'agent', 'sending', now()
            FROM conversations
            """
        )
        await connection.execute(
            """
            INSERT INTO deliveries (workspace_id, id, message_id, conversation_id, channel_id, ordinal, state, due_at,
                sending_since)
            SELECT workspace_id, gen_random_uuid(), id, conversation_id, channel_id, 0, 'sending', now(), now()
            FROM messages WHERE direction = 'out'
            """
        )
    both = by_user(BSUID, "both.1", "15551230001")
    await line.feed(both)
    assert await line.node.fetchval("SELECT reason FROM quarantine WHERE retry_at IS NOT NULL") == "busy"

    async with line.node.database.session() as connection:
        await connection.execute("UPDATE deliveries SET state = 'sent'")
    raw = await line.node.fetch(
        "SELECT r.id, r.received_at, r.app_id, r.body FROM raw_deliveries r JOIN quarantine q ON q.raw_id = r.id"
    )
    await line.node.processor.process([RawDelivery(*raw[0])], replay=True)
    assert await line.node.fetchval("SELECT count(*) FROM conversations") == 1
    assert await line.node.fetchval("SELECT count(*) FROM quarantine WHERE released_at IS NULL") == 0


async def test_notices_of_an_account_go_to_its_own_workspace_only(line: Line) -> None:
    """The options of a channel are its owner's free words: on a shared app they must not draw others' notices."""
    shared = await make_app(line.node, None, "meta")
    await make_channel(line.node, line.workspace_id, shared, "whatsapp", "999", options={"waba_id": "THEIRS"})
    assert await line.node.directory.find_account(shared, "THEIRS") is None
    own = await make_channel(line.node, line.workspace_id, line.app_id, "whatsapp", "888", options={"waba_id": "OURS"})
    assert await line.node.directory.find_account(line.app_id, "OURS") == own
