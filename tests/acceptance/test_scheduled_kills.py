"""A process that dies in any state of a scheduled message: nothing is lost, nothing goes out twice (P5, P6).

The states are reached for certain, not by chance: a row that somebody holds stops the clock in the middle of its
transaction, a disabled role keeps deliveries queued, a provider that does not answer keeps them in the air.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from processes import ACCOUNTS, Installation, Json, installation

from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(150)]


@asynccontextmanager
async def stage(dsn: str, folder: Path) -> AsyncIterator[tuple[Installation, SimulatorClient, dict[str, str]]]:
    """With a conversation on WhatsApp, which can be reconciled, and one on Telegram, which cannot."""
    async with (
        SimulatorServer(retry_scale=0.1) as server,
        SimulatorClient(server.base_url) as simulator,
        installation(
            dsn, folder, simulator_url=server.base_url, send_timeout=1.5, uncertain_after=0.5, webhook_lease=1
        ) as made,
    ):
        await made.join(simulator)
        for kind in ("whatsapp", "telegram"):
            await simulator.say(ACCOUNTS[kind], {"name": f"Customer of {kind}"}, "Hello")
        await made.until("SELECT count(*) = 2 FROM conversations")
        rows = await made.fetch("SELECT c.kind, v.id FROM conversations v JOIN channels c ON c.id = v.channel_id")
        yield made, simulator, {row[0]: str(row[1]) for row in rows}


async def schedule(made: Installation, thread: str, text: str, seconds: float) -> str:
    at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    body: Json = {"parts": [{"type": "text", "text": text}], "when": {"type": "at", "at": at}}
    made_ = await made.api.post(f"/v1/conversations/{thread}/scheduled-messages", body)
    return str(made_["id"])


async def received(simulator: SimulatorClient, kind: str) -> list[object]:
    return [message["text"] for message in await simulator.inbox(ACCOUNTS[kind])]


async def until_state(made: Installation, scheduled_id: str, state: str, within: float = 25) -> None:
    await made.until("SELECT state = $2 FROM scheduled_messages WHERE id = $1", scheduled_id, state, within=within)


async def test_killed_while_it_waits_it_goes_out_once_and_late(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as (made, simulator, threads):
        waiting = await schedule(made, threads["whatsapp"], "once", 1.0)
        await made.node.kill()
        await asyncio.sleep(1.5)  # its time passes while nobody is there
        assert await made.fetchval("SELECT state FROM scheduled_messages") == "scheduled"
        await made.node.start()
        await until_state(made, waiting, "sent")
        assert await received(simulator, "whatsapp") == ["once"]
        assert await made.fetchval("SELECT lateness_ms FROM scheduled_messages") > 400
        made.check_logs()


async def test_killed_in_the_middle_of_firing_nothing_has_happened_yet(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as (made, simulator, threads):
        firing = await schedule(made, threads["whatsapp"], "once", 0.8)
        holder = await asyncpg.connect(database_url)
        try:
            transaction = holder.transaction()
            await transaction.start()
            await holder.execute("SELECT FROM conversations FOR UPDATE")
            # The clock has claimed the timer and waits for the conversation.
            await made.until(
                """SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                   AND query LIKE '%conversations%FOR UPDATE%' AND pid <> pg_backend_pid())"""
            )
            assert await made.fetchval("SELECT count(*) FROM timers WHERE kind = 'scheduled.message'") == 1
            await made.node.kill()
            await transaction.rollback()
        finally:
            await holder.close()
        assert await made.fetchval("SELECT state FROM scheduled_messages") == "scheduled"
        assert await made.fetchval("SELECT count(*) FROM messages WHERE direction = 'out'") == 0
        await made.node.start()
        await until_state(made, firing, "sent")
        assert await received(simulator, "whatsapp") == ["once"]
        assert await made.fetchval("SELECT count(*) FROM messages WHERE direction = 'out'") == 1
        made.check_logs()


async def test_killed_when_it_is_handed_over_and_nothing_has_left(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as (made, simulator, threads):
        # The bucket of the channel is held: the dispatcher claims nothing.
        await made.db.execute(
            """INSERT INTO rate_buckets (workspace_id, channel_id, key, tokens, filled_at, paused_until)
               SELECT workspace_id, id, 'channel', 100, now(), now() + interval '6 seconds' FROM channels
               ON CONFLICT (workspace_id, channel_id, key) DO UPDATE SET paused_until = now() + interval '6 seconds'"""
        )
        due = await schedule(made, threads["whatsapp"], "once", 0.3)
        cancelled = await schedule(made, threads["telegram"], "never", 0.3)
        for one in (due, cancelled):
            await until_state(made, one, "due")
        await made.node.kill()
        states = await made.fetch("SELECT DISTINCT state FROM deliveries")
        assert [row[0] for row in states] == ["queued"]
        await made.node.start()
        answer = await made.api.call("DELETE", f"/v1/scheduled-messages/{cancelled}")
        assert answer["state"] == "cancelled"
        await until_state(made, due, "sent")
        assert await received(simulator, "whatsapp") == ["once"]
        assert await received(simulator, "telegram") == []
        made.check_logs()


async def test_killed_while_it_is_in_the_air_it_is_settled_or_uncertain_and_never_repeated(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as (made, simulator, threads):
        await simulator.fault("webhooks", "down")
        await simulator.fault("api", "timeout_after_accept", seconds=60)
        air = {kind: await schedule(made, thread, f"once on {kind}", 0.3) for kind, thread in threads.items()}
        async with asyncio.timeout(15):
            for kind in air:
                while await received(simulator, kind) != [f"once on {kind}"]:
                    await asyncio.sleep(0.05)
        await made.node.kill()  # accepted there, unknown here
        await simulator.clear_faults()
        await simulator.fault("webhooks", "down")
        await made.node.start()
        await made.until("SELECT count(*) = 2 FROM scheduled_messages WHERE state = 'due' AND uncertain", within=15)
        await simulator.fault("webhooks", "up")
        await until_state(made, air["whatsapp"], "sent")
        shown = (await made.api.get(f"/v1/scheduled-messages/{air['telegram']}"))["scheduled_message"]
        assert (shown["state"], shown["uncertain"]) == ("due", True), "nobody can know"
        for kind in air:
            assert await received(simulator, kind) == [f"once on {kind}"]
        assert await made.fetchval("SELECT count(*) FROM delivery_attempts") == 2
        assert await made.fetchval("SELECT count(*) FROM timers WHERE kind = 'scheduled.message'") == 0
        made.check_logs()
