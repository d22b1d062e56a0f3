"""P5 on real processes: a send whose answer was lost is never repeated, and settled by what the provider says later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from processes import ACCOUNTS, Installation, installation

from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer

pytestmark = pytest.mark.acceptance

REACHED = ("sent", "delivered", "read")


@asynccontextmanager
async def stage(dsn: str, folder: Path) -> AsyncIterator[tuple[Installation, SimulatorClient, dict[str, str]]]:
    """With a conversation on each channel, by kind."""
    async with (
        SimulatorServer(retry_scale=0.1) as server,
        SimulatorClient(server.base_url) as simulator,
        installation(
            dsn, folder, simulator_url=server.base_url, send_timeout=1.5, uncertain_after=0.5, webhook_lease=1
        ) as made,
    ):
        await made.join(simulator)
        for kind, account in ACCOUNTS.items():
            await simulator.say(account, {"name": f"Customer of {kind}"}, "Hello")
        await made.until("SELECT count(*) = 4 FROM conversations")
        rows = await made.fetch("SELECT c.kind, v.id FROM conversations v JOIN channels c ON c.id = v.channel_id")
        yield made, simulator, {row[0]: str(row[1]) for row in rows}


async def received(simulator: SimulatorClient) -> dict[str, list[object]]:
    """What customers have of us, by kind."""
    return {kind: [message["text"] for message in await simulator.inbox(account)] for kind, account in ACCOUNTS.items()}


async def test_a_process_that_dies_in_the_middle_of_a_send_never_sends_twice(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as (made, simulator, threads):
        await simulator.fault("webhooks", "down")
        await simulator.fault("api", "timeout_after_accept", seconds=60)
        ids = {kind: (await made.api.send(thread, f"once on {kind}"))["id"] for kind, thread in threads.items()}
        once = {kind: [f"once on {kind}"] for kind in threads}
        await _until_received(made, simulator, once)
        await made.node.kill()  # accepted there, unknown here
        states = await made.fetch("SELECT DISTINCT state FROM deliveries")
        assert [row[0] for row in states] == ["sending"]

        await simulator.clear_faults()
        await simulator.fault("webhooks", "down")  # no news yet; sends would be answered at once
        await made.node.start()
        await made.until("SELECT count(*) = 4 FROM messages WHERE status = 'uncertain'", within=15)
        assert await received(simulator) == once

        await simulator.fault("webhooks", "up")
        await made.until(
            """SELECT count(*) = 3 FROM messages m JOIN channels c ON c.id = m.channel_id
               WHERE m.direction = 'out' AND m.status = ANY($1) AND c.kind <> 'telegram'""",
            list(REACHED),
        )
        inferred = await made.fetch(
            """SELECT c.kind, d.inferred FROM deliveries d JOIN channels c ON c.id = d.channel_id
               WHERE d.external_id IS NOT NULL"""
        )
        assert dict(map(tuple, inferred)) == {"whatsapp": False, "messenger": False, "instagram": True}
        shown = await made.api.get(f"/v1/messages/{ids['telegram']}")
        assert (shown["status"], shown["fault"]["code"]) == ("uncertain", "outcome_unknown"), "nobody can know"

        assert await received(simulator) == once
        assert await made.fetchval("SELECT count(*) FROM delivery_attempts") == 4
        assert await made.fetchval("SELECT count(*) FROM messages WHERE direction = 'out'") == 4

        await made.api.post(f"/v1/messages/{ids['telegram']}/retry")  # a person takes the risk
        await made.until("SELECT status = ANY($2) FROM messages WHERE id = $1", ids["telegram"], list(REACHED))
        assert await received(simulator) == {**once, "telegram": ["once on telegram"] * 2}
        made.check_logs()


async def test_an_answer_that_never_comes_is_settled_by_receipts_and_echoes(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as (made, simulator, threads):
        await simulator.fault("webhooks", "down")
        await simulator.fault("api", "timeout_after_accept", seconds=60)
        for kind, thread in threads.items():
            await made.api.send(thread, f"once on {kind}")
        await made.until("SELECT count(*) = 4 FROM messages WHERE status = 'uncertain'", within=10)
        await simulator.clear_faults()
        await made.until("SELECT count(*) = 3 FROM messages WHERE status = ANY($1)", list(REACHED))
        statuses = await made.fetch(
            "SELECT c.kind, m.status FROM messages m JOIN channels c ON c.id = m.channel_id WHERE m.direction = 'out'"
        )
        assert dict(map(tuple, statuses))["telegram"] == "uncertain"
        assert await received(simulator) == {kind: [f"once on {kind}"] for kind in threads}
        made.check_logs()


async def test_what_the_provider_refused_for_now_goes_out_once_and_what_it_refused_for_good_says_why(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as (made, simulator, threads):
        telegram = ACCOUNTS["telegram"]  # Meta's throttles name no time: sending rests for half a minute
        await simulator.fault("api", "throttle", account_id=telegram, count=2, retry_after=1)
        slowly = (await made.api.send(threads["telegram"], "slowly"))["id"]
        await made.until("SELECT status = ANY($2) FROM messages WHERE id = $1", slowly, list(REACHED))
        assert (await received(simulator))["telegram"] == ["slowly"]
        assert await made.fetchval("SELECT count(*) FROM delivery_attempts") == 3

        await simulator.fault("api", "down")
        sent = {kind: (await made.api.send(thread, f"later on {kind}"))["id"] for kind, thread in threads.items()}
        await made.until(
            "SELECT count(DISTINCT delivery_id) = 5 FROM delivery_attempts WHERE outcome IS NOT NULL", within=10
        )
        await simulator.clear_faults()
        await made.until(
            "SELECT count(*) = 5 FROM messages WHERE direction = 'out' AND status NOT IN ('queued', 'sending')",
            within=30,
        )
        for kind, message_id in sent.items():
            shown = await made.api.get(f"/v1/messages/{message_id}")
            times = (await received(simulator))[kind].count(f"later on {kind}")
            assert times == (1 if shown["status"] in REACHED else 0), (kind, shown)
            print(f"\n{kind} was down for a moment: {shown['status']}", end="")

        await simulator.fault("api", "fail", account_id=ACCOUNTS["whatsapp"], count=1, code=131026)
        failing = (await made.api.send(threads["whatsapp"], "never"))["id"]
        await made.until("SELECT status = 'failed' FROM messages WHERE id = $1", failing)
        shown = await made.api.get(f"/v1/messages/{failing}")
        assert shown["fault"]["provider_code"] == "131026"
        assert "never" not in (await received(simulator))["whatsapp"]
        made.check_logs()


async def _until_received(made: Installation, simulator: SimulatorClient, wanted: dict[str, list[str]]) -> None:
    async with asyncio.timeout(10):
        while await received(simulator) != wanted:
            await asyncio.sleep(0.05)
