"""Nodes whose clocks are minutes off, in both directions: the database's time decides, so nothing is early or late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from processes import ACCOUNTS, Api, Installation, Json, Refused, installation

from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(150)]

OFF = 300.0
AHEAD = 3.0
"""Seconds until something is due."""
LATE = 60.0
"""What a loaded machine may need; a fifth of what the clocks are off."""


@asynccontextmanager
async def stage(dsn: str, folder: Path) -> AsyncIterator[tuple[Installation, str]]:
    """The first node five minutes ahead, the second five minutes behind; and a conversation."""
    async with (
        SimulatorServer() as server,
        SimulatorClient(server.base_url) as simulator,
        installation(dsn, folder, nodes=2, simulator_url=server.base_url) as made,
    ):
        for node, off in zip(made.nodes, (OFF, -OFF), strict=True):
            await node.kill()
            node.clock_is_off(off)
        await asyncio.gather(*(node.start() for node in made.nodes))
        await made.join(simulator)
        await simulator.say(ACCOUNTS["whatsapp"], {"name": "Customer"}, "Hello")
        await made.until("SELECT count(*) = 1 FROM conversations")
        yield made, str(await made.fetchval("SELECT id FROM conversations"))


async def soon(made: Installation, seconds: float = AHEAD) -> str:
    at: datetime = await made.fetchval("SELECT now() + make_interval(secs => $1)", seconds)
    return at.isoformat()


async def schedule(made: Installation, api: Api, thread: str, text: str, **more: Any) -> Json:
    body = {"parts": [{"type": "text", "text": text}], "when": {"type": "at", "at": await soon(made)}, **more}
    planned: Json = await api.post(f"/v1/conversations/{thread}/scheduled-messages", body)
    return planned


async def test_what_is_scheduled_goes_out_at_its_time_whichever_node_takes_it(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as (made, thread):
        nodes = [made.api.at(node) for node in made.nodes]
        for api, off in zip(nodes, (OFF, -OFF), strict=True):
            sent = await api.send(thread, "now")
            moved = datetime.fromisoformat(sent["created_at"]) - await made.fetchval("SELECT now()")
            assert abs(moved.total_seconds() - off) < LATE, "the clocks of the nodes are wrong indeed"

        planned = [await schedule(made, api, thread, f"from node {at}") for at, api in enumerate(nodes)]
        # Each node alone, too: what it is late or early with, no other makes good.
        await made.until("SELECT count(*) = 2 FROM scheduled_messages WHERE state = 'sent'", within=LATE)
        catch_up = {"policy": "hold", "late_after": int(LATE)}
        for down, up in (made.nodes, made.nodes[::-1]):
            await down.kill()
            planned.append(await schedule(made, made.api.at(up), thread, f"by {up.name} alone", catch_up=catch_up))
            await made.until(
                "SELECT count(*) = $1 FROM scheduled_messages WHERE state = 'sent'", len(planned), within=LATE
            )
            await down.start()

        rows = await made.fetch(
            """SELECT s.due_at, s.handed_at, s.lateness_ms, a.started_at FROM scheduled_messages s
               JOIN deliveries d ON d.workspace_id = s.workspace_id AND d.message_id = s.message_id
               JOIN delivery_attempts a ON a.workspace_id = d.workspace_id AND a.delivery_id = d.id"""
        )
        assert len(rows) == len(planned)
        late = timedelta(seconds=LATE)
        for due_at, handed_at, lateness_ms, started_at in rows:
            assert due_at <= handed_at <= due_at + late
            assert due_at <= started_at <= due_at + late
            assert 0 <= lateness_ms <= LATE * 1000
        print(f"\nlate by {[row[2] for row in rows]} ms", end="")
        made.check_logs()


async def test_a_block_ends_at_its_time_and_the_past_is_the_past_of_the_database(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as (made, thread):
        contact_id = await made.fetchval("SELECT contact_id FROM conversations")
        ahead, behind = (made.api.at(node) for node in made.nodes)
        minutes_ago = await soon(made, -120)
        late = {"parts": [{"type": "text", "text": "late"}], "when": {"type": "at", "at": minutes_ago}}
        for api in (ahead, behind):
            for path, body in (
                (f"/v1/conversations/{thread}/scheduled-messages", late),
                (f"/v1/contacts/{contact_id}/block", {"until": minutes_ago}),
            ):
                with pytest.raises(Refused, match=r"^422"):
                    await api.post(path, body)
            until = await soon(made)
            await api.post(f"/v1/contacts/{contact_id}/block", {"until": until})
            await made.until("SELECT blocked_at IS NULL FROM contacts", within=LATE)
            ended = await made.fetchval("SELECT max(created_at) FROM audit_entries WHERE action = 'contact.unblocked'")
            assert timedelta(0) <= ended - datetime.fromisoformat(until) <= timedelta(seconds=LATE)
        made.check_logs()
