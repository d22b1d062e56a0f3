"""P3 for what is scheduled: over the API, snapshot + events == fresh snapshot after everything that can be done."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from processes import ACCOUNTS, Installation, Json, Refused, installation
from replica import Replica, snapshot

from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

UNSETTLED = """SELECT (SELECT count(*) FROM pending_deliveries)
    + (SELECT count(*) FROM deliveries WHERE state = 'sending' OR state = 'queued' AND due_at < now())
    + (SELECT count(*) FROM timers WHERE next_at < now() + interval '2 seconds')"""


class Client:
    """What lives on events."""

    def __init__(self, made: Installation, simulator: SimulatorClient, replica: Replica) -> None:
        self.made, self.simulator, self.replica = made, simulator, replica

    async def check(self, action: str) -> None:
        """Once the action has had all its effects."""
        calm, head = 0, -1
        async with asyncio.timeout(30):
            while calm < 5:
                await self.simulator.flush(0.3)
                now = await self.made.fetchval("SELECT max(head) FROM event_logs")
                unsettled = await self.made.fetchval(UNSETTLED)
                calm = calm + 1 if now == head and unsettled == 0 else 0
                head = now
                await asyncio.sleep(0.05)
        fresh = await snapshot(self.made.api, self.replica.me)
        kinds = await self.replica.catch_up(self.made.api, fresh.position)
        differences = self.replica.differences(fresh)
        assert not differences, f"after {action} ({kinds}): {differences}"

    def state(self, scheduled: Json) -> str:
        return str(self.replica.scheduled[scheduled["id"]]["state"])


def soon(seconds: float) -> Json:
    return {"type": "at", "at": (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()}


def message(text: str, when: Json, **more: Any) -> Json:
    return {"parts": [{"type": "text", "text": text}], "when": when, **more}


async def test_everything_that_can_be_done_with_a_scheduled_message(database_url: str, tmp_path: Path) -> None:
    async with (
        SimulatorServer() as server,
        SimulatorClient(server.base_url) as simulator,
        installation(database_url, tmp_path, simulator_url=server.base_url, send_timeout=5) as made,
    ):
        await made.join(simulator)
        await simulator.receipts(delivered_after=0.02, read_after=0.05)
        api, account = made.api, ACCOUNTS["whatsapp"]
        await simulator.say(account, {"name": "A customer"}, "Hello")
        thread = str(await made.until("SELECT id FROM conversations"))
        contact = str(await made.fetchval("SELECT contact_id FROM conversations"))
        path = f"/v1/conversations/{thread}/scheduled-messages"
        client = Client(made, simulator, await snapshot(api, (await api.get("/v1/me"))["agent"]["id"]))

        quick = await api.post(path, message("right now", soon(0.3)))
        await client.check("one that goes out")
        assert client.state(quick) == "sent"
        assert [one["text"] for one in await simulator.inbox(account)] == ["right now"]

        local = (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT09:00")
        follows = await api.post(path, message("on your clock", {"type": "local", "local": local}))
        careful = await api.post(path, message("still there?", soon(3600), hold_on_reply=True))
        weekly = await api.post(path, message("weekly", {"type": "recurring", "cron": "0 9 * * mon", "count": 5}))
        await client.check("three more")
        assert client.replica.conversations[thread]["automated"]

        key = {"Idempotency-Key": "once"}
        twice = [
            await api.post(path, message("once", {"type": "at", "at": "2030-01-01T09:00:00Z"}), **key) for _ in "ab"
        ]
        assert twice[0] == twice[1]
        await client.check("a repeated request")

        await api.patch(f"/v1/contacts/{contact}", {"time_zone": "Asia/Tokyo"})
        await client.check("a contact who moved")
        assert client.replica.scheduled[follows["id"]]["due_at"].endswith("T00:00:00Z")

        await api.patch(f"/v1/scheduled-messages/{follows['id']}", {"parts": [{"type": "text", "text": "edited"}]})
        with pytest.raises(Refused) as stale:
            await api.call(
                "PATCH", f"/v1/scheduled-messages/{follows['id']}", {"when_closed": "skip"}, **{"If-Match": '"1"'}
            )
        assert stale.value.status == 412
        await client.check("an edit")

        await simulator.say(account, {"name": "A customer"}, "I am back")
        await client.check("a reply")
        assert client.state(careful) == "held"
        await api.post(f"/v1/scheduled-messages/{careful['id']}/resume", {"when": soon(0.3)})
        await client.check("a resumed one")
        assert client.state(careful) == "sent"
        with pytest.raises(Refused) as late:
            await api.call("DELETE", f"/v1/scheduled-messages/{careful['id']}")
        assert late.value.status == 409

        await api.post(f"/v1/scheduled-messages/{weekly['id']}/send-now")
        await client.check("one more in between")
        history = await api.get(f"/v1/scheduled-messages/{weekly['id']}/history")
        assert [one["state"] for one in history["occurrences"]] == ["sent"]
        detail = await api.get(f"/v1/scheduled-messages/{weekly['id']}")
        assert detail["parts"][0]["text"] == "weekly"

        await api.post(f"/v1/contacts/{contact}/block", {"reason": "a quarrel"})
        await client.check("a block")
        assert {client.state(one) for one in (follows, weekly)} == {"held"}
        await api.post(f"/v1/contacts/{contact}/unblock")
        paused = await api.get(f"/v1/contacts/{contact}/paused")
        assert {one["id"] for one in paused["items"]} == {follows["id"], weekly["id"], twice[0]["id"]}
        await api.post(
            f"/v1/contacts/{contact}/paused/resume", {"items": [{"kind": "scheduled_message", "id": weekly["id"]}]}
        )
        await client.check("an unblocking")
        assert client.state(weekly) == "scheduled"
        await api.call("DELETE", f"/v1/scheduled-messages/{weekly['id']}")
        await client.check("a cancel")
        assert client.state(weekly) == "cancelled"
        assert not client.replica.conversations[thread]["automated"]

        listed = await api.get(f"/v1/contacts/{contact}/scheduled-messages?state=held")
        assert len(listed["items"]) == 2
        made.check_logs()
