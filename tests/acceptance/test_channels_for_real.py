"""Connecting, templates, edits and health through a real process, against the simulated providers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from processes import ACCOUNTS, Installation, Refused, installation

from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer

pytestmark = pytest.mark.acceptance

WABA = "9111"
"""The simulated owner of the number 111."""
VALUES = {"body": {"1": "Ann", "2": "A-42"}, "buttons": {"1": "A-42"}}
WORDS = "Hi Ann, your order A-42 is on its way."


async def test_accounts_are_connected_and_can_do_what_only_they_can(database_url: str, tmp_path: Path) -> None:
    async with (
        SimulatorServer() as simulator,
        SimulatorClient(simulator.base_url) as customers,
        installation(database_url, tmp_path, simulator_url=simulator.base_url) as house,
    ):
        await house.join(customers)
        with pytest.raises(Refused, match="public_url_unset"):
            await house.api.post(f"/v1/channels/{house.channels['telegram']}/connect")
        await house.node.stop()
        house.node._environment["INBOX_PUBLIC_URL"] = house.node.url
        await house.node.start()
        await house.api.patch(f"/v1/channels/{house.channels['whatsapp']}", {"options": {"waba_id": WABA}})
        for kind in ACCOUNTS:
            await _connects(house, kind)
        await _sends_a_template(house, customers)
        await _is_told_of_a_judgement(house, customers)
        await _edits_and_takes_back(house, customers)
        house.check_logs()


async def _connects(house: Installation, kind: str) -> None:
    made = await house.api.post(f"/v1/channels/{house.channels[kind]}/connect")
    assert made["fault"] is None, (kind, made)
    assert made["webhook_url"] == house.node.url + house.paths[kind]
    checked = await house.api.post(f"/v1/channels/{house.channels[kind]}/check")
    assert checked["ok"], (kind, checked)
    assert checked["findings"], kind


async def _wrote(house: Installation, customers: SimulatorClient, kind: str) -> str:
    await customers.say(ACCOUNTS[kind], {"id": "15551230001", "name": "Ann"}, "Hello")
    found = await house.until("SELECT id::text FROM conversations WHERE channel_id::text = $1", house.channels[kind])
    return str(found)


async def _sent(house: Installation, conversation_id: str, part: dict[str, Any]) -> str:
    made = await house.api.post(f"/v1/conversations/{conversation_id}/messages", {"parts": [part]})
    await house.until("SELECT status IN ('sent', 'delivered', 'read') FROM messages WHERE id::text = $1", made["id"])
    return str(made["id"])


async def _sends_a_template(house: Installation, customers: SimulatorClient) -> None:
    await house.until("SELECT count(*) > 3 FROM templates")  # asked for when it was connected
    path = f"/v1/channels/{house.channels['whatsapp']}/templates"
    listed = (await house.api.get(f"{path}?status=approved&name=order_update&language=en_US"))["items"]
    assert [one["name"] for one in listed] == ["order_update"]
    shown = await house.api.post(f"/v1/templates/{listed[0]['id']}/preview", VALUES)
    assert shown["body"] == WORDS
    assert (await house.api.post(f"{path}/sync"))["created"] == 0
    conversation_id = await _wrote(house, customers, "whatsapp")
    part = {"type": "template", "name": "order_update", "language": "en_US", **VALUES}
    message_id = await _sent(house, conversation_id, part)
    (received,) = await customers.inbox("111")
    assert WORDS in str(received["text"])
    assert (await house.api.get(f"/v1/messages/{message_id}"))["parts"][0]["text"] == WORDS
    with pytest.raises(Refused, match="template_variables"):
        await _sent(house, conversation_id, {**part, "body": {"1": "Ann"}})


async def _is_told_of_a_judgement(house: Installation, customers: SimulatorClient) -> None:
    await customers.event("111", "template_status", name="order_update", language="en_US", status="PAUSED")
    await house.until(
        "SELECT count(*) = 1 FROM templates WHERE name = 'order_update' AND language = 'en_US' AND status = 'paused'"
    )


async def _edits_and_takes_back(house: Installation, customers: SimulatorClient) -> None:
    conversation_id = await _wrote(house, customers, "telegram")
    message_id = await _sent(house, conversation_id, {"type": "text", "text": "Until eigth."})
    edited = await house.api.patch(f"/v1/messages/{message_id}", {"part": {"type": "text", "text": "Until eight."}})
    assert (edited["versions"], edited["parts"][0]["text"]) == (2, "Until eight.")
    (before,) = (await house.api.get(f"/v1/messages/{message_id}/versions"))["items"]
    assert (before["version"], before["parts"][0]["text"]) == (1, "Until eigth.")
    listed = await house.api.get(f"/v1/conversations/{conversation_id}")
    assert listed["conversation"]["last_message_preview"] == "Until eight."
    assert [one["text"] for one in await customers.inbox(ACCOUNTS["telegram"])] == ["Until eight."]
    gone = await house.api.call("DELETE", f"/v1/messages/{message_id}")
    assert gone["unsent_at"] is not None
    assert (await house.api.get(f"/v1/messages/{message_id}/versions"))["items"] == []
    assert [one["deleted"] for one in await customers.inbox(ACCOUNTS["telegram"])] == [True]
    states = [one["state"] for one in await house.api.get(f"/v1/messages/{message_id}/changes")]
    assert states == ["done", "done"]
    whatsapp = await house.fetchval("SELECT id::text FROM messages WHERE direction = 'out' ORDER BY id LIMIT 1")
    with pytest.raises(Refused, match="not_offered"):
        await house.api.call("DELETE", f"/v1/messages/{whatsapp}")
