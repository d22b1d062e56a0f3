"""Two server processes that share nothing but PostgreSQL."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
from processes import ACCOUNTS, Installation, installation
from watching import Watcher, expected
from webhooks import KINDS, Post, Providers, audit, text_body

from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer

pytestmark = pytest.mark.acceptance

ROUNDS = 15


async def test_what_one_node_accepts_is_seen_through_the_other(database_url: str, tmp_path: Path) -> None:
    async with installation(database_url, tmp_path, nodes=2) as made:
        providers = Providers(made, random.Random(1))
        screen = Watcher(made, made.api, await made.api.get("/v1/conversations"))
        screen.connect(made.nodes[1])
        await screen.live()
        posted: dict[str, float] = {}
        async with aiohttp.ClientSession() as session:
            for number in range(60):
                kind = KINDS[number % 4]
                post = Post(kind, text_body(kind, number % 5, 1000 + number, f"text {number}"), (f"text {number}",))
                posted[f"text {number}"] = time.monotonic()
                assert await providers.post(session, post, node=0) == 200
                await asyncio.sleep(0.03)
        async with asyncio.timeout(10):
            while len(screen.arrived) < 60:
                await asyncio.sleep(0.02)
        taken = sorted(screen.arrived[text] - posted[text] for text in posted)
        print(f"\nwebhook at one node to socket at the other: median {statistics.median(taken) * 1000:.0f} ms,", end="")
        print(f" 95 % {taken[56] * 1000:.0f} ms, most {taken[-1] * 1000:.0f} ms")
        assert statistics.median(taken) < 0.4, "by the poll of a second alone the median would be above it"
        await screen.drop()
        made.check_logs()


async def test_either_node_may_die_and_clients_go_on_at_the_other(database_url: str, tmp_path: Path) -> None:
    async with installation(database_url, tmp_path, nodes=2, webhook_lease=1, heartbeat_seconds=1) as made:
        providers = Providers(made, random.Random(2), pause=0.06)
        screen = Watcher(made, made.api, await made.api.get("/v1/conversations"))
        stop = asyncio.Event()
        load = asyncio.create_task(providers.run(stop, connections=4))
        for dying, other in ((made.nodes[0], made.nodes[1]), (made.nodes[1], made.nodes[0])):
            screen.connect(dying)
            await asyncio.sleep(1)
            seen = len(screen.events)
            await dying.kill()
            await screen.drop()
            screen.connect(other)
            await asyncio.sleep(1)
            assert len(screen.events) > seen, "the other node goes on"
            await screen.drop()
            await dying.start()
        stop.set()
        await load
        await audit(made, providers)
        screen.connect(made.nodes[0])
        await screen.until(await made.fetchval("SELECT max(head) FROM event_logs"))
        await screen.drop()
        assert screen.positions == await expected(made, screen)
        made.check_logs()


async def test_a_new_customer_at_both_nodes_in_one_instant_is_one_person(database_url: str, tmp_path: Path) -> None:
    async with installation(database_url, tmp_path, nodes=2) as made:
        providers = Providers(made, random.Random(3))
        async with aiohttp.ClientSession() as session:
            for round_ in range(ROUNDS):
                posts = []
                for kind in KINDS:
                    providers.people.add((kind, round_))
                    for node in (0, 1):
                        text = f"{kind} {round_} {node}"
                        body = text_body(kind, round_, 2 * round_ + node + 1, text)
                        posts.append(providers.post(session, Post(kind, body, (text,)), node=node))
                        # and the first message of all, redelivered to the other node
                        body = text_body(kind, round_, 500_000 + round_, f"{kind} {round_} both")
                        posts.append(providers.post(session, Post(kind, body, (f"{kind} {round_} both",)), node=node))
                assert set(await asyncio.gather(*posts)) == {200}
        await audit(made, providers)
        made.check_logs()


async def test_what_is_sent_through_either_node_goes_out_once(database_url: str, tmp_path: Path) -> None:
    async with (
        SimulatorServer() as server,
        SimulatorClient(server.base_url) as simulator,
        installation(database_url, tmp_path, nodes=2, simulator_url=server.base_url) as made,
    ):
        await made.join(simulator)
        for kind, account in ACCOUNTS.items():
            for number in (1, 2):
                await simulator.say(account, {"name": f"{kind} {number}"}, "Hello")
        await made.until("SELECT count(*) = 8 FROM conversations")
        threads = [str(row[0]) for row in await made.fetch("SELECT id FROM conversations ORDER BY id")]

        sends = []
        for number in range(40):
            text, thread = f"answer {number}", threads[number % len(threads)]
            for node in made.nodes:  # the same key at both nodes at once, as a client that lost an answer would
                sends.append(made.api.at(node).send(thread, text, key=f"key-{number}"))
        answers = await asyncio.gather(*sends)
        assert len({answer["id"] for answer in answers}) == 40

        await made.until(
            "SELECT count(*) = 0 FROM messages WHERE direction = 'out' AND status IN ('queued', 'sending')", within=30
        )
        reached = [message for account in ACCOUNTS.values() for message in await simulator.inbox(account)]
        assert Counter(message["text"] for message in reached) == {f"answer {number}": 1 for number in range(40)}
        for thread in threads:
            rows = await made.fetch(
                """SELECT parts -> 0 ->> 'text' FROM messages WHERE direction = 'out' AND conversation_id = $1
                   ORDER BY number""",
                thread,
            )
            texts = [row[0] for row in rows]
            (customer,) = {message["customer"] for message in reached if message["text"] == texts[0]}
            got = [message["text"] for message in reached if message["customer"] == customer]
            assert got == texts, [(m["text"], m["customer"]) for m in reached]
        states = {row[0] for row in await made.fetch("SELECT DISTINCT status FROM messages WHERE direction = 'out'")}
        assert states <= {"sent", "delivered", "read"}
        nodes = [tuple(row) for row in await made.fetch("SELECT node, count(*) FROM delivery_attempts GROUP BY node")]
        print(f"\nattempts by node: {nodes}")
        assert sum(count for _, count in nodes) == 40
        made.check_logs()


async def test_typing_crosses_the_nodes(database_url: str, tmp_path: Path) -> None:
    async with installation(database_url, tmp_path, nodes=2) as made:
        thread = await _one_thread(made)
        grace = await made.agent("Grace")
        snapshot = await made.api.get("/v1/conversations")
        ada, other = Watcher(made, made.api, snapshot), Watcher(made, grace, snapshot)
        ada.connect(made.nodes[0])
        other.connect(made.nodes[1])
        await ada.live()
        await other.live()
        assert other.client is not None
        async with asyncio.timeout(10):
            while not [note for note in ada.notices if note.get("kind") == "typing"]:
                await other.client.say({"type": "typing", "conversation_id": thread})
                await asyncio.sleep(0.3)
        note = next(note for note in ada.notices if note.get("kind") == "typing")
        assert (note["conversation_id"], note["on"]) == (thread, True)
        await ada.drop()
        await other.drop()
        made.check_logs()


async def _one_thread(made: Installation) -> str:
    async with aiohttp.ClientSession() as session:
        post = Post("whatsapp", text_body("whatsapp", 1, 1, "Hello"), ("Hello",))
        assert await Providers(made, random.Random(4)).post(session, post) == 200
    return str(await made.until("SELECT id FROM conversations"))
