"""The example bot of the documentation, as a process of its own, at a real node; and nodes killed while it answers."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from builders import whatsapp_body, whatsapp_text
from processes import ACCOUNTS, Api, Installation, Json, Refused, installation
from replica import snapshot
from test_snapshots import Client
from webhooks import headers_for

from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

SETTLED = """SELECT NOT EXISTS (SELECT FROM pending_deliveries) AND NOT EXISTS (SELECT FROM subscription_lanes)
    AND (SELECT bool_and(cursor = head) FROM subscriptions, event_logs)"""
EXAMPLE = Path(__file__).parents[2] / "docs" / "example_bot" / "bot.py"


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        SimulatorServer() as server,
        SimulatorClient(server.base_url) as simulator,
        installation(database_url, tmp_path, simulator_url=server.base_url, send_timeout=5) as made,
    ):
        await made.join(simulator)
        me = (await made.api.get("/v1/me"))["agent"]["id"]
        yield Client(made, simulator, await snapshot(made.api, me))
        made.check_logs()


@asynccontextmanager
async def example_bot(made: Installation, **fields: Any) -> AsyncIterator[Json]:
    """Registered, and running. What the registration answered."""
    port = made.node.port + 1
    for _ in range(50):
        try:
            probe = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
        except OSError:
            port += 1
            continue
        probe.close()
        await probe.wait_closed()
        break
    registered: Json = await made.api.post(
        "/v1/bots",
        {"name": "Example", "url": f"http://127.0.0.1:{port}/", "mode": "first_responder", **fields},
    )
    made.secrets |= {registered["secret"], registered["token"]}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLE),
        str(port),
        env={
            "BOT_SECRET": registered["secret"],
            "BOT_TOKEN": registered["token"],
            "INBOX_URL": made.node.url,
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            assert b"listening" in await process.stdout.readline()
        yield registered
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def words(made: Installation, thread: str) -> list[str]:
    """What the bot said, as far as the provider has it."""
    rows = await made.fetch(
        """SELECT parts FROM messages WHERE conversation_id = $1 AND author_kind = 'bot'
           AND status IN ('sent', 'delivered', 'read') ORDER BY number""",
        thread,
    )
    return [part["text"] for row in rows for part in orjson.loads(row[0])]


async def until_said(made: Installation, thread: str, *expected: str) -> None:
    await made.until(
        """SELECT count(*) >= $2 FROM messages WHERE conversation_id = $1 AND author_kind = 'bot'
           AND status IN ('sent', 'delivered', 'read')""",
        thread,
        len(expected),
    )
    assert await words(made, thread) == list(expected)


async def test_the_example_bot_answers_hands_off_and_is_overtaken(client: Client) -> None:
    made, api = client.made, client.made.api
    async with example_bot(made) as registered:
        bot = Api(made.session, made.node.url, registered["token"])
        await client.say("telegram", "text", text="What are your hours?")
        thread = await made.until("SELECT id::text FROM conversations")
        hours = "We are here from Monday to Friday, 9 to 17."
        await until_said(made, thread, hours)
        await client.check("an answer of the bot")
        assert client.replica.conversations[thread]["status"] == "pending"
        assert client.replica.conversations[thread]["responder"]["bot_id"] == registered["bot"]["id"]
        run_id = client.replica.conversations[thread]["responder"]["run_id"]

        await client.say("telegram", "text", text="Where is my order?")
        looking, found = "One moment, I am looking it up …", "Your order is on its way."
        await until_said(made, thread, hours, looking, found)
        await client.check("an answer by REST")

        await client.say("telegram", "text", text="I want a person")
        await until_said(made, thread, hours, looking, found, "I will get somebody for you.")
        await client.check("a hand-off")
        assert client.replica.conversations[thread]["status"] == "open"
        assert client.replica.conversations[thread]["responder"] is None
        assert client.replica.runs[run_id]["note"] == "Asked for a person: 'i want a person'"
        with pytest.raises(Refused) as late:
            await bot.send(thread, "One more thing")
        assert late.value.status == 409
        assert orjson.loads(str(late.value).partition(": ")[2])["what_happened"] == "by_bot"

        path = f"/v1/workflows/{run_id}"
        await api.send(thread, "Here I am")
        await client.check("a person answers")
        await api.post(f"{path}/hand-back", {"note": "All clear"})
        await client.check("handed back")
        await client.say("telegram", "text", text="Your order number?")
        await made.until("SELECT waiting_since IS NULL FROM workflow_runs")
        await api.post(f"{path}/pause", {})
        await client.check("paused")
        await api.post(f"{path}/resume", {})
        await client.check("resumed")
        await client.say("telegram", "text", text="bye")
        await made.until("SELECT state = 'ended' FROM workflow_runs")
        await client.check("ended and closed by the bot")
        assert client.replica.conversations[thread]["status"] == "closed"

        other = await client.say("messenger", "text", text="hello")
        assert other is not None
        await client.check("another conversation")
        contact = client.replica.conversations[await client.thread("messenger")]["contact_id"]
        await api.post(f"/v1/contacts/{contact}/block", {"reason": "spam"})
        await client.check("a block")
        (item,) = (await api.post(f"/v1/contacts/{contact}/unblock"))["paused"]
        assert item["kind"] == "workflow"
        await api.post(f"/v1/contacts/{contact}/paused/resume", {})
        await client.check("resumed after the block")
        assert client.replica.runs[item["id"]]["state"] == "active"

        for refused in (f"/v1/conversations/{thread}", "/v1/contacts", "/v1/bots", "/v1/agents"):
            with pytest.raises(Refused) as forbidden:
                await bot.get(refused)
            assert forbidden.value.status in (403, 404)
        events = await bot.get("/v1/events?after=0&epoch=" + client.replica.epoch + "&limit=500")
        assert {event["conversation_id"] for event in events["events"]} <= client.replica.conversations.keys()
        assert {event["kind"].partition(".")[0] for event in events["events"]} <= {
            "message",
            "workflow",
            "conversation",
        }

        await api.patch(f"/v1/bots/{registered['bot']['id']}", {"name": "Renamed", "answer_within": 30})
        await client.check("a changed bot")
        await api.patch(f"/v1/bots/{registered['bot']['id']}", {"enabled": False})
        await made.until("SELECT NOT EXISTS (SELECT FROM workflow_runs WHERE state IN ('active', 'paused'))")
        await client.check("a disabled bot")
        await api.call("DELETE", f"/v1/bots/{registered['bot']['id']}")
        await client.check("a deleted bot")
    metrics = await (await made.session.get(f"{made.node.url}/metrics")).text()
    assert 'inbox_event_deliveries_total{outcome="delivered",purpose="event"}' in metrics
    assert {"bot.created", "bot.updated", "bot.deleted", "workflow.created", "workflow.updated"} <= client.heard.keys()


async def test_a_bot_that_says_nothing_is_relieved_in_time(client: Client) -> None:
    """Its webhook answers, but never says a word: after its time people have the conversation."""
    made = client.made
    async with example_bot(made, answer_within=5, kinds=["workflow.*"]):
        await client.say("telegram", "text", text="Hello?")
        await made.until("SELECT state = 'handed_off' AND reason = 'timed_out' FROM workflow_runs", within=15)
        await client.check("the time was over")
        (conversation,) = client.replica.conversations.values()
        assert (conversation["status"], conversation["responder"]) == ("open", None)


@dataclass
class Forgetful:
    """A bot that answers every message, slowly at times, and remembers which events it has seen."""

    chance: random.Random
    seen: dict[str, int] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.Response:
        event = orjson.loads(await request.read())
        identifier = request.headers["webhook-id"]
        self.seen[identifier] = self.seen.get(identifier, 0) + 1
        await asyncio.sleep(self.chance.uniform(0, 0.05))
        message = event["data"].get("message")
        if message is None or message["direction"] != "in":
            return web.Response()
        text = f"re: {message['parts'][0]['text']}"
        return web.json_response({"messages": [{"parts": [{"type": "text", "text": text}]}]})


async def test_nodes_killed_while_a_bot_answers_lose_nothing_and_say_nothing_twice(
    database_url: str, tmp_path: Path
) -> None:
    chance = random.Random(7)
    bot = Forgetful(chance)
    app = web.Application()
    app.router.add_post("/", bot.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        async with installation(database_url, tmp_path, webhook_lease=2) as made:
            fields = {"name": "Echo", "url": url, "mode": "first_responder", "kinds": ["message.created"]}
            await made.api.post("/v1/bots", {**fields, "answer_within": 600})
            said = await customers_write_while_the_node_dies(made, chance)
            await made.until(SETTLED, within=60)
            rows = await made.fetch(
                """SELECT conversation_id, parts FROM messages WHERE author_kind = 'bot'
                   ORDER BY conversation_id, number"""
            )
            answers = [orjson.loads(row[1])[0]["text"] for row in rows]
            assert sorted(answers) == sorted(f"re: {text}" for text in said), "each once, none missing"
            again = sum(count - 1 for count in bot.seen.values())
            print(f"\n{made.node.kills} kills, {len(said)} messages, {again} repeated deliveries")
            assert again > 0, "a kill came between an answer and its place in the log"
            made.check_logs()
    finally:
        await runner.cleanup()


async def customers_write_while_the_node_dies(made: Installation, chance: random.Random) -> list[str]:
    said: list[str] = []
    for kill in range(6):
        for number in range(12):
            text = f"{kill}-{number}"
            message = whatsapp_text(f"1555200{number % 4:04}", f"wamid.{text}", text, int(time.time()))
            body = whatsapp_body(ACCOUNTS["whatsapp"], message)
            path = made.node.url + made.paths["whatsapp"]
            async with made.session.post(path, data=body, headers=headers_for("whatsapp", body)) as answer:
                assert answer.status == 200
            said.append(text)
        await asyncio.sleep(chance.uniform(0.02, 0.4))
        await made.node.kill()
        # Its lease on the events has to run out before another may go on: shortened here, not waited for.
        await made.fetch("UPDATE subscriptions SET leased_until = now() WHERE leased_until > now()")
        await made.node.start()
    return said
