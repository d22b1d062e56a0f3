"""P3 on real processes: clients that drop, resume and change nodes while nodes die see each event once and in order."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest
from processes import Installation, installation
from watching import Watcher, expected
from webhooks import Providers, audit

pytestmark = pytest.mark.acceptance


async def test_every_reader_gets_each_event_once_and_in_order(database_url: str, tmp_path: Path) -> None:
    chance = random.Random(time.time_ns())
    async with installation(database_url, tmp_path, nodes=2, webhook_lease=2, heartbeat_seconds=1) as made:
        agent = await made.agent("Grace")
        snapshot = await made.api.get("/v1/conversations")
        messages_only = {"kinds": ["message.created"]}
        people = {
            "admin": Watcher(made, made.api, snapshot),
            "another screen": Watcher(made, made.api, snapshot),
            "agent": Watcher(made, agent, snapshot),
            "messages only": Watcher(made, agent, snapshot, wanted=messages_only),
            "one who sees nothing": Watcher(made, agent, snapshot, wanted={"kinds": ["agent.updated"]}),
        }
        providers = Providers(made, chance, pause=0.06)
        stop, done = asyncio.Event(), asyncio.Event()
        load = asyncio.create_task(providers.run(stop, connections=6))
        restless = [asyncio.create_task(_wander(made, one, chance, done)) for one in people.values()]

        for node in (made.nodes[1], made.nodes[0]):
            await asyncio.sleep(chance.uniform(1, 2))
            await node.kill()
            await asyncio.sleep(chance.uniform(0.5, 1))
            await node.start()
        await asyncio.sleep(1)
        stop.set()
        await load
        await audit(made, providers)
        done.set()
        await asyncio.gather(*restless)

        head = await made.fetchval("SELECT head FROM event_logs WHERE workspace_id = $1", made.workspace_id)
        for name, one in people.items():
            await one.until(head)
            assert one.positions == await expected(made, one, agent=name != "admin"), name
            await one.drop()
        assert people["admin"].positions == list(range(people["admin"].after + 1, head + 1))
        assert people["one who sees nothing"].events == []
        reads = {name: one.reads for name, one in people.items()}
        print(f"\n{head} events, 2 kills, sockets: {reads}, {dict(providers.answers)}")
        assert min(reads.values()) > 3
        made.check_logs()


async def _wander(made: Installation, one: Watcher, chance: random.Random, done: asyncio.Event) -> None:
    """In the end connected to a living node."""
    while True:
        one.connect(chance.choice(made.nodes))
        if done.is_set():
            return
        await asyncio.sleep(chance.uniform(0.1, 1.0))
        await one.drop()
