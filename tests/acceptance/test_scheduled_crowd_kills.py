"""A thousand scheduled messages due at once, two clocks, and nodes that are killed while they fire (P5, P6).

What the provider counts, what the rows say and what remains unknown add up: each message is sent once, or it is told
that nobody knows, and then it is not sent again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from processes import ACCOUNTS, Installation, ServerProcess, installation

from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer
from channels.types import JsonObject

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(280)]

EACH = 250
"""Customers of each account; every one of them gets one message."""
AT_ONCE = 16


async def test_killed_while_a_thousand_are_due_each_goes_out_once_or_is_uncertain(
    database_url: str, tmp_path: Path
) -> None:
    async with (
        SimulatorServer(retry_scale=0.1) as server,
        SimulatorClient(server.base_url) as simulator,
        installation(
            database_url,
            tmp_path,
            nodes=2,
            simulator_url=server.base_url,
            send_timeout=3,
            uncertain_after=2,
            webhook_lease=2,
        ) as made,
    ):
        await made.join(simulator)
        texts = await scheduled_for_later(made, simulator)
        await made.db.execute("UPDATE scheduled_messages SET due_at = now(), by_hand = true")
        await made.db.execute("UPDATE timers SET due_at = now(), next_at = now() WHERE kind = 'scheduled.message'")

        first, second = made.nodes
        handed_over = "SELECT count(*) > $1 FROM scheduled_messages WHERE state <> 'scheduled'"
        for share, node in ((0.1, first), (0.35, second), (0.6, first)):
            await made.until(handed_over, int(share * len(texts)), within=90)
            await killed_and_back(node)
        await made.until("SELECT count(*) = 0 FROM scheduled_messages WHERE state = 'scheduled'", within=90)
        await made.until("SELECT count(*) = 0 FROM deliveries WHERE state = 'queued' OR state = 'sending'", within=90)
        await simulator.flush(20)
        await made.until("SELECT count(*) = 0 FROM pending_deliveries", within=30)

        rows = await made.fetch(
            """SELECT m.parts #>> '{0,text}', s.state, s.uncertain FROM scheduled_messages s
               JOIN messages m ON m.workspace_id = s.workspace_id AND m.id = s.message_id"""
        )
        assert Counter(text for text, *_ in rows) == Counter(texts), "each was queued once"
        inboxes = [await simulator.inbox(account) for account in ACCOUNTS.values()]
        reached = Counter(message["text"] for inbox in inboxes for message in inbox)
        assert max(reached.values()) == 1, "nothing reached anybody twice"
        told = Counter("uncertain" if uncertain else state for _, state, uncertain in rows)
        print(f"\n{dict(told)}; reached {len(reached)}; kills {[node.kills for node in made.nodes]}", end="")
        assert set(told) <= {"sent", "uncertain"}
        for text, state, uncertain in rows:
            assert uncertain or (state == "sent" and reached[text] == 1), (text, state)
        assert await made.fetchval("SELECT count(*) FROM timers WHERE kind = 'scheduled.message'") == 0
        assert told["uncertain"] < 3 * 64, "no more than was in the air when a node died"
        stuck = await made.api.get("/v1/operations/stuck")
        assert stuck == {"items": [], "timers": 0, "jobs": 0}
        made.check_logs()


async def scheduled_for_later(made: Installation, simulator: SimulatorClient) -> list[str]:
    for account in ACCOUNTS.values():
        wishes: list[JsonObject] = [
            {"account_id": account, "customer": {"name": f"Customer {number:03}"}, "kind": "text", "text": "Hello"}
            for number in range(EACH)
        ]
        await simulator.say_many(wishes)
    await made.until("SELECT count(*) = $1 FROM conversations", EACH * len(ACCOUNTS), within=60)
    threads = [str(row[0]) for row in await made.fetch("SELECT id FROM conversations ORDER BY id")]
    texts = [f"planned {number:04}" for number in range(len(threads))]
    at = (await made.fetchval("SELECT now() + interval '1 hour'")).isoformat()
    places = asyncio.Semaphore(AT_ONCE)

    async def schedule(number: int) -> None:
        body = {"parts": [{"type": "text", "text": texts[number]}], "when": {"type": "at", "at": at}}
        async with places:
            api = made.api.at(made.nodes[number % 2])
            await api.post(f"/v1/conversations/{threads[number]}/scheduled-messages", body)

    await asyncio.gather(*(schedule(number) for number in range(len(threads))))
    return texts


async def killed_and_back(node: ServerProcess) -> None:
    await node.kill()
    await node.start()
