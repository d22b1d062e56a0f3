"""Files through a real process: every channel's simulated provider hands one out, and is handed one."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from processes import ACCOUNTS, Installation, installation

from channels.simulator.client import SimulatorClient
from channels.simulator.samples import sample
from channels.simulator.server import SimulatorServer

pytestmark = pytest.mark.acceptance

PNG = sample("image")
STORED = """SELECT m.id FROM media m JOIN channels c ON c.id = m.channel_id
            WHERE c.kind = $1 AND m.state = 'stored' AND m.uploaded_by IS NULL"""


async def test_a_picture_comes_in_and_goes_out_on_every_channel(database_url: str, tmp_path: Path) -> None:
    async with (
        SimulatorServer() as simulator,
        SimulatorClient(simulator.base_url) as customers,
        installation(database_url, tmp_path, simulator_url=simulator.base_url) as house,
    ):
        await house.join(customers)
        for account_id in ACCOUNTS.values():
            data = base64.b64encode(PNG).decode()
            await customers.say(account_id, {"name": "Ann"}, kind="image", data=data, mime_type="image/png")
        for kind in ACCOUNTS:
            await _came_in(house, kind)
            await _goes_out(house, customers, kind)
        house.check_logs()


async def _came_in(house: Installation, kind: str) -> None:
    media_id = await house.until(STORED, kind)
    found = await house.api.get(f"/v1/media/{media_id}")
    async with house.session.get(found["url"]) as answer:
        assert (answer.status, await answer.read()) == (200, PNG), kind
    facts = (found["media"]["width"], found["media"]["height"], found["media"]["mime_type"])
    assert facts == (160, 100, "image/png"), kind
    digest = await house.fetchval("SELECT sha256 FROM media WHERE id = $1", media_id)
    assert digest == hashlib.sha256(PNG).digest()


async def _goes_out(house: Installation, customers: SimulatorClient, kind: str) -> None:
    headers = {"Authorization": f"Bearer {house.api.token}", "Content-Type": "image/png"}
    async with house.session.post(f"{house.node.url}/v1/media", data=PNG, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        media_id = (await answer.json())["media"]["id"]
    conversation_id = await house.fetchval(
        "SELECT id FROM conversations WHERE channel_id::text = $1", house.channels[kind]
    )
    part = {"type": "media", "kind": "image", "media_id": media_id}
    sent = await house.api.post(f"/v1/conversations/{conversation_id}/messages", {"parts": [part]})
    await house.until("SELECT status IN ('sent', 'delivered', 'read') FROM messages WHERE id::text = $1", sent["id"])
    received = await customers.inbox(ACCOUNTS[kind])
    assert [message["kind"] for message in received] == ["image"], (kind, received)
