"""Sequences over the API of real processes: snapshot + events == fresh snapshot (P3), roles, `kill -9` around a step.

The states in which a process dies are reached for certain, not by chance: a row that somebody holds stops the clock in
the middle of its transaction, a paused channel keeps deliveries queued, a provider that does not answer keeps them in
the air.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from processes import ACCOUNTS, Installation, Json, Refused, installation
from replica import Replica, snapshot

from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(150)]

UNSETTLED = """SELECT (SELECT count(*) FROM pending_deliveries)
    + (SELECT count(*) FROM deliveries WHERE state = 'sending' OR state = 'queued' AND due_at < now())
    + (SELECT count(*) FROM timers WHERE next_at < now() + interval '2 seconds')"""


def step(key: str, seconds: float = 0, **given: Any) -> Json:
    wait = {"delay": {"value": seconds, "unit": "seconds"}, "quiet_hours": False}
    return {"key": key, "parts": [{"type": "text", "text": key}], "wait": wait, **given}


@asynccontextmanager
async def stage(dsn: str, folder: Path) -> AsyncIterator[tuple[Installation, SimulatorClient, dict[str, str]]]:
    """With a contact on WhatsApp, which can be reconciled, and one on Telegram, which cannot."""
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
        rows = await made.fetch(
            "SELECT c.kind, v.contact_id FROM conversations v JOIN channels c ON c.id = v.channel_id"
        )
        yield made, simulator, {row[0]: str(row[1]) for row in rows}


async def publish(made: Installation, *steps: Json, **given: Any) -> str:
    draft = {"steps": list(steps), **given}
    sequence = await made.api.post("/v1/sequences", {"name": "Welcome", "draft": draft})
    await made.api.post(f"/v1/sequences/{sequence['id']}/publish")
    return str(sequence["id"])


async def enrol(made: Installation, sequence: str, contact: str) -> str:
    answer = await made.api.post(f"/v1/sequences/{sequence}/enrollments", {"contact_ids": [contact]})
    assert answer["items"][0]["outcome"] == "enrolled", answer
    return str(answer["items"][0]["enrollment_id"])


async def received(simulator: SimulatorClient, kind: str) -> list[object]:
    return [message["text"] for message in await simulator.inbox(ACCOUNTS[kind])]


async def until_state(made: Installation, enrollment: str, state: str, within: float = 25) -> None:
    await made.until("SELECT state = $2 FROM enrollments WHERE id = $1", enrollment, state, within=within)


# --- the API ----------------------------------------------------------------------------------------------------------


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

    def state(self, enrollment: str) -> str:
        return str(self.replica.enrollments[enrollment]["state"])


async def test_everything_that_can_be_done_with_a_sequence(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as (made, simulator, contacts):
        api, contact = made.api, contacts["whatsapp"]
        client = Client(made, simulator, await snapshot(api, (await api.get("/v1/me"))["agent"]["id"]))

        with pytest.raises(Refused) as empty:
            await publish(made)
        assert empty.value.status == 422
        sequence = await publish(made, step("one"), step("two"), step("three", 3600), stop={"tags": ["customer"]})
        running = await enrol(made, sequence, contact)
        await made.until("SELECT position = 2 FROM enrollments WHERE id = $1", running)
        await client.check("two steps")
        assert await received(simulator, "whatsapp") == ["one", "two"]
        assert client.replica.enrollments[running]["next"]["step_key"] == "three"

        path = f"/v1/enrollments/{running}"
        for action, body in (("pause", None), ("resume", {"now": False}), ("move", {"follows": True}), ("skip", None)):
            await api.post(f"{path}/{action}", body)
            await client.check(action)
        assert client.state(running) == "finished"
        with pytest.raises(Refused) as late:
            await api.post(f"{path}/pause")
        assert late.value.status == 409

        draft = {"steps": [step("one"), step("four", 3600)]}
        changed = await api.patch(f"/v1/sequences/{sequence}", {"draft": draft})
        assert (changed["changed"], changed["published"]) == (True, 1)
        with pytest.raises(Refused) as stale:
            await api.call("POST", f"/v1/sequences/{sequence}/publish", None, **{"If-Match": '"1"'})
        assert stale.value.status == 412
        await api.post(f"/v1/sequences/{sequence}/publish")
        await client.check("a new version")
        assert len((await api.get(f"/v1/sequences/{sequence}/versions"))["items"]) == 2

        second = await enrol(made, sequence, contact)
        await made.until("SELECT position = 1 FROM enrollments WHERE id = $1", second)
        await api.post(f"/v1/contacts/{contact}/block", {"reason": "a quarrel"})
        await client.check("a block")
        assert client.state(second) == "paused"
        await api.post(f"/v1/contacts/{contact}/unblock")
        paused = await api.get(f"/v1/contacts/{contact}/paused")
        assert [(one["kind"], one["id"]) for one in paused["items"]] == [("enrollment", second)]
        await api.post(f"/v1/contacts/{contact}/paused/resume", {"items": [{"kind": "enrollment", "id": second}]})
        await client.check("a resumed one")
        assert client.state(second) == "active"

        await simulator.say(ACCOUNTS["whatsapp"], {"name": "Customer of whatsapp"}, "I am back")
        await client.check("a reply")
        assert client.replica.enrollments[second]["reason"] == "reply"
        counts = await api.get(f"/v1/sequences/{sequence}/counts")
        assert counts["enrollments"] == {"finished": 1, "stopped": 1}
        assert {one["key"]: one["sent"] for one in counts["steps"]} == {"one": 2, "two": 1, "three": 0, "four": 0}
        mine = await api.get(f"/v1/contacts/{contact}/enrollments?state=stopped")
        assert [one["id"] for one in mine["items"]] == [second]

        agent = await made.agent("Kay")
        assert [one["id"] for one in (await agent.get("/v1/sequences?state=active"))["items"]] == [sequence]
        with pytest.raises(Refused) as forbidden:
            await agent.patch(f"/v1/sequences/{sequence}", {"name": "Mine"})
        assert forbidden.value.status == 403
        third = await agent.post(f"/v1/sequences/{sequence}/enrollments", {"contact_ids": [contact]})
        assert third["items"][0]["outcome"] == "enrolled"
        await api.post(f"/v1/sequences/{sequence}/archive")
        await client.check("an archived one")
        made.check_logs()


# --- kill -9 ----------------------------------------------------------------------------------------------------------


async def test_killed_while_a_step_waits_it_goes_out_once_and_late(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as (made, simulator, contacts):
        sequence = await publish(made, step("one"), step("two", 1))
        running = await enrol(made, sequence, contacts["whatsapp"])
        await made.until("SELECT position = 1 FROM enrollments")
        await made.node.kill()
        await asyncio.sleep(1.5)  # its time passes while nobody is there
        await made.node.start()
        await until_state(made, running, "finished")
        assert await received(simulator, "whatsapp") == ["one", "two"]
        assert await made.fetchval("SELECT max(lateness_ms) FROM enrollment_steps") > 400
        made.check_logs()


async def test_killed_in_the_middle_of_a_step_nothing_has_happened_yet(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as (made, simulator, contacts):
        sequence = await publish(made, step("one", 1), step("two"))
        running = await enrol(made, sequence, contacts["whatsapp"])
        holder = await asyncpg.connect(database_url)
        try:
            transaction = holder.transaction()
            await transaction.start()
            await holder.execute("SELECT FROM enrollments FOR UPDATE")
            # The clock has claimed the timer, holds the conversations, and waits for the row.
            await made.until(
                """SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                   AND query LIKE '%enrollments%FOR UPDATE%' AND pid <> pg_backend_pid())"""
            )
            await made.node.kill()
            await transaction.rollback()
        finally:
            await holder.close()
        assert await made.fetchval("SELECT count(*) FROM enrollment_steps") == 0
        assert await made.fetchval("SELECT count(*) FROM timers WHERE kind = 'sequence.step'") == 1
        await made.node.start()
        await until_state(made, running, "finished")
        assert await received(simulator, "whatsapp") == ["one", "two"]
        made.check_logs()


async def test_killed_when_a_step_is_queued_it_leaves_once_and_a_reply_meanwhile_keeps_it(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as (made, simulator, contacts):
        await made.db.execute(
            """INSERT INTO rate_buckets (workspace_id, channel_id, key, tokens, filled_at, paused_until)
               SELECT workspace_id, id, 'channel', 100, now(), now() + interval '6 seconds' FROM channels
               ON CONFLICT (workspace_id, channel_id, key) DO UPDATE SET paused_until = now() + interval '6 seconds'"""
        )
        sequence = await publish(made, step("one"))
        goes, stops = [await enrol(made, sequence, contacts[kind]) for kind in ("whatsapp", "telegram")]
        await made.until("SELECT count(*) = 2 FROM deliveries WHERE state = 'queued'")
        await made.node.kill()
        await made.node.start()
        await simulator.say(ACCOUNTS["telegram"], {"name": "Customer of telegram"}, "Wait")
        await until_state(made, stops, "stopped")
        await until_state(made, goes, "finished")
        assert await received(simulator, "whatsapp") == ["one"]
        assert await received(simulator, "telegram") == []
        made.check_logs()


async def test_killed_while_a_step_is_in_the_air_it_is_never_repeated(database_url: str, tmp_path: Path) -> None:
    """WhatsApp's is reconciled; nobody can know of Telegram's. Both go on with the step after it."""
    async with stage(database_url, tmp_path) as (made, simulator, contacts):
        failure = {"policy": "retry", "retries": 5, "after": {"value": 0, "unit": "seconds"}}
        sequence = await publish(made, step("one"), step("two"), failure=failure)
        await simulator.fault("webhooks", "down")
        await simulator.fault("api", "timeout_after_accept", seconds=60)
        running = {kind: await enrol(made, sequence, contact) for kind, contact in contacts.items()}
        async with asyncio.timeout(15):
            for kind in running:
                while await received(simulator, kind) != ["one"]:
                    await asyncio.sleep(0.05)
        await made.node.kill()  # accepted there, unknown here
        await simulator.clear_faults()
        await made.node.start()
        await simulator.fault("webhooks", "up")
        for enrollment in running.values():
            await until_state(made, enrollment, "finished")
        for kind in running:
            assert await received(simulator, kind) == ["one", "two"]
        made.check_logs()
