"""P3: snapshot + events == fresh snapshot, for every action that changes what a client sees.

A client reads its snapshot once, at the beginning, and lives on events from then on. After each action its memory is
compared with a snapshot that was just taken.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from builders import whatsapp_body, whatsapp_text
from processes import ACCOUNTS, PASSWORD, Installation, Refused, installation
from replica import Replica, snapshot
from webhooks import headers_for

from channels.simulator.client import SimulatorClient, SimulatorError
from channels.simulator.schemas import SayKind
from channels.simulator.server import SimulatorServer

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

BSUID = "US.13491208655302741918"
TARGETED = {"reaction", "unreact", "edit", "unsend", "button", "list_reply", "quick_reply", "callback"}
UNSETTLED = """SELECT (SELECT count(*) FROM pending_deliveries)
    + (SELECT count(*) FROM deliveries WHERE state = 'sending' OR state = 'queued' AND due_at < now())"""


class Client:
    """What lives on events, and the hands that act."""

    def __init__(self, made: Installation, simulator: SimulatorClient, replica: Replica) -> None:
        self.made, self.simulator, self.replica = made, simulator, replica
        self.heard: Counter[str] = Counter()

    async def check(self, action: str) -> None:
        """Once the action has had all its effects."""
        await self._rest()
        fresh = await snapshot(self.made.api, self.replica.me)
        kinds = await self.replica.catch_up(self.made.api, fresh.position)
        self.heard.update(kinds)
        differences = self.replica.differences(fresh)
        assert not differences, f"after {action} ({kinds}): {differences}"

    async def _rest(self) -> None:
        calm = 0
        head = -1
        async with asyncio.timeout(30):
            while calm < 4:
                await self.simulator.flush(0.5)
                now = await self.made.fetchval("SELECT max(head) FROM event_logs")
                unsettled = await self.made.fetchval(UNSETTLED)
                calm = calm + 1 if now == head and unsettled == 0 else 0
                head = now
                await asyncio.sleep(0.05)

    async def thread(self, kind: str) -> str:
        found = await self.made.fetchval(
            """SELECT v.id FROM conversations v JOIN channels c ON c.id = v.channel_id WHERE c.kind = $1
               ORDER BY v.id LIMIT 1""",
            kind,
        )
        return str(found)

    async def say(self, kind: str, act: str, **more: Any) -> dict[str, Any] | None:
        """``None`` where the channel has no such act."""
        try:
            return await self.simulator.say(ACCOUNTS[kind], {"name": f"Customer of {kind}"}, kind=act, **more)
        except SimulatorError as error:
            if error.status != 400:
                raise
            return None

    async def post(self, body: bytes) -> None:
        url = self.made.node.url + self.made.paths["whatsapp"]
        async with self.made.session.post(url, data=body, headers=headers_for("whatsapp", body)) as answer:
            assert answer.status == 200


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        SimulatorServer() as server,
        SimulatorClient(server.base_url) as simulator,
        installation(database_url, tmp_path, simulator_url=server.base_url, send_timeout=5) as made,
    ):
        await made.join(simulator)
        await simulator.receipts(delivered_after=0.02, read_after=0.05)
        me = (await made.api.get("/v1/me"))["agent"]["id"]
        yield Client(made, simulator, await snapshot(made.api, me))
        made.check_logs()


async def test_every_kind_of_inbound(client: Client) -> None:
    texts = {kind: await client.say(kind, "text", text="Hello") for kind in ACCOUNTS}
    await client.check("the first messages")
    for act in get_args(SayKind):
        done = []
        for kind in ACCOUNTS:
            said = texts[kind]
            assert said is not None
            more: dict[str, Any] = {"message_id": said["id"]} if act in TARGETED else {}
            if act in ("text", "edit"):
                more["text"] = f"{act} it is"
            if act != "raw" and await client.say(kind, act, **more) is not None:
                done.append(kind)
        await client.check(f"{act} on {done}")
    assert {"contact.created", "conversation.created", "message.created", "message.updated"} <= client.heard.keys()
    print(f"\n{dict(client.heard)}")


async def test_everything_an_agent_does(client: Client) -> None:
    made, api, simulator = client.made, client.made.api, client.simulator
    for kind in ACCOUNTS:
        await client.say(kind, "text", text="Hello")
    await client.check("the first messages")

    for kind in ACCOUNTS:
        await api.send(await client.thread(kind), f"Hello on {kind}")
    await client.check("sends with their receipts")
    for kind, account in ACCOUNTS.items():
        with suppress(SimulatorError):
            await simulator.native(account, {"name": f"Customer of {kind}"}, "from the provider's own app")
    await client.check("messages from the providers' own apps")

    thread = await client.thread("whatsapp")
    path = f"/v1/conversations/{thread}"
    grace = (
        await api.post("/v1/agents", {"role": "agent", "name": "Grace", "email": "g@e.com", "password": PASSWORD})
    )["id"]
    await client.check("a new agent")
    await api.patch(f"/v1/agents/{grace}", {"name": "Grace H."})
    await client.check("a renamed agent")
    for change in (
        {"assignee_id": grace},
        {"status": "pending", "priority": 3},
        {"assignee_id": None},
        {"status": "closed"},
        {"status": "open"},
        {"status": "closed"},
    ):
        await api.patch(path, change)
        await client.check(f"change {change}")
    await client.say("whatsapp", "text", text="One more thing")
    await client.check("a message into a closed conversation")

    last = client.replica.conversations[thread]["last_number"]
    for number in (last, 1, 0, last):
        await api.call("PUT", f"{path}/reading-position", {"number": number, "receipt": True})
        await client.check(f"read up to {number}")

    inbound = next(m for m in client.replica.messages[thread].values() if m["direction"] == "in")
    reaction = {"type": "reaction", "message_id": inbound["id"], "emoji": "👍"}
    await api.post(f"{path}/messages", {"parts": [reaction]})
    await client.check("our reaction")
    await api.post(f"{path}/messages", {"parts": [{**reaction, "emoji": None}]})
    await client.check("our reaction taken back")
    reply = {"parts": [{"type": "text", "text": "That one"}], "reply_to_id": inbound["id"]}
    await api.post(f"{path}/messages", reply)
    await client.check("a reply that quotes")
    parts = [{"type": "text", "text": "x" * 9000}, {"type": "location", "latitude": 52.5, "longitude": 13.4}]
    await api.post(f"{path}/messages", {"parts": parts})
    await client.check("a message of several pieces")

    contact = client.replica.conversations[thread]["contact_id"]
    await api.patch(f"/v1/contacts/{contact}", {"name": "Renamed", "email": "new@example.com", "custom": {"vip": True}})
    await client.check("a changed contact")
    channel = made.channels["instagram"]
    for change in ({"name": "Another name"}, {"state": "disabled"}, {"state": "enabled"}):
        await api.patch(f"/v1/channels/{channel}", change)
        await client.check(f"channel {change}")

    await simulator.fault("api", "fail", account_id=ACCOUNTS["whatsapp"], count=1, code=100)
    failed = (await api.send(thread, "This fails"))["id"]
    await client.check("a failed send")
    assert client.replica.messages[thread][failed]["status"] == "failed"
    await api.post(f"/v1/messages/{failed}/retry")
    await client.check("a retry")
    await simulator.fault("api", "fail_later", account_id=ACCOUNTS["whatsapp"], count=1, code=131049)
    await api.send(thread, "This fails later")
    await client.check("a send that fails after it was accepted")

    telegram = await client.thread("telegram")
    await simulator.fault("api", "throttle", account_id=ACCOUNTS["telegram"], count=1, retry_after=30)
    waiting = (await api.send(telegram, "This waits"))["id"]
    await client.check("a throttled send")
    await api.post(f"/v1/messages/{waiting}/cancel")
    await client.check("a cancelled send")
    assert client.replica.messages[telegram][waiting]["status"] == "cancelled"
    print(f"\n{dict(client.heard)}")


async def test_two_people_who_prove_to_be_one(client: Client) -> None:
    account = ACCOUNTS["whatsapp"]
    for number in range(3):
        await client.post(
            whatsapp_body(account, whatsapp_text("15551239999", f"wamid.p{number}", f"by phone {number}"))
        )
        by_id = {**whatsapp_text("", f"wamid.b{number}", f"by id {number}"), "from_user_id": BSUID}
        del by_id["from"]
        body = orjson.loads(whatsapp_body(account, by_id))
        body["entry"][0]["changes"][0]["value"]["contacts"] = [{"profile": {"name": "By id"}, "user_id": BSUID}]
        await client.post(orjson.dumps(body))
    await client.check("two strangers")
    assert len(client.replica.conversations) == 2

    both = {**whatsapp_text("15551239999", "wamid.both", "it was me all along"), "from_user_id": BSUID}
    await client.post(whatsapp_body(account, both))
    await client.check("one who is both")
    assert len(client.replica.conversations) == 1
    assert client.heard["conversation.merged"] == 1
    (thread,) = client.replica.messages.values()
    assert sorted(message["number"] for message in thread.values()) == list(range(1, 8))


async def test_blocking_and_unblocking_a_contact(client: Client) -> None:
    """Over HTTP, with the provider of the simulator, and as an agent and a supervisor see it."""
    api = client.made.api
    for kind in ACCOUNTS:
        await client.say(kind, "text", text="Hello")
    await client.check("the first messages")
    grace = await client.made.agent("Grace")
    await client.check("a new agent")

    for kind in ACCOUNTS:
        thread = await client.thread(kind)
        contact = client.replica.conversations[thread]["contact_id"]
        path = f"/v1/contacts/{contact}"
        done = await grace.post(f"{path}/block", {"reason": "spam", "at_provider": True})
        assert done["contact"]["blocked"]["reason"] == "spam"
        assert done["in_the_air"] == []
        await client.check(f"a block on {kind}")
        assert [one["state"] for one in client.replica.provider_blocks.values() if one["contact_id"] == contact] == (
            ["done"] if kind in ("whatsapp", "messenger") else []
        )
        before = client.replica.conversations[thread]
        assert before["status"] == "closed"
        with pytest.raises(Refused) as refused:
            await grace.send(thread, "One more thing")
        assert refused.value.status == 409
        assert "contact_blocked" in str(refused.value)

        # At the provider they cannot write; what they send is set aside where it is not asked.
        await grace.post(f"{path}/unblock")
        await grace.post(f"{path}/block", {})
        await client.check(f"another block on {kind}")
        written = await client.say(kind, "text", text="You will hear from me")
        assert written is not None
        await client.say(kind, "reaction", message_id=written["id"])
        await client.say(kind, "image")
        await client.check(f"what is set aside on {kind}")
        aside = [one for one in client.replica.set_aside.values() if one["contact_id"] == contact]
        assert {"message"} <= {one["kind"] for one in aside}
        assert client.replica.conversations[thread]["last_number"] == before["last_number"]
        with pytest.raises(Refused) as forbidden:
            await grace.get(f"{path}/set-aside")
        assert forbidden.value.status == 403
        if kind != "whatsapp":
            await client.say(kind, "unsend", message_id=written["id"])
            await client.check(f"what was set aside on {kind} is unsent")

        shown = await grace.post(f"{path}/unblock")
        assert shown["paused"] == []
        await client.check(f"the end of the block on {kind}")
        await client.say(kind, "text", text="Sorry")
        await client.check(f"a message after the block on {kind}")
        assert client.replica.conversations[thread]["status"] == "open"
        assert client.replica.conversations[thread]["last_number"] == before["last_number"] + 1
        await api.send(thread, "Never mind")
        await client.check(f"an answer after the block on {kind}")

    until = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    await grace.post(f"{path}/block", {"until": until})
    await client.check("a block for a while")
    await client.made.until("SELECT NOT EXISTS (SELECT FROM contacts WHERE blocked_at IS NOT NULL)")
    await client.check("a block that ended by itself")
    audited = await api.get(f"/v1/audit?subject_id={contact}")
    assert [(one["action"], one["actor"]["kind"]) for one in audited["items"][:2]] == [
        ("contact.unblocked", "system"),
        ("contact.blocked", "agent"),
    ]
    assert {"contact.blocked", "contact.unblocked", "contact.block_at_provider"} <= client.heard.keys()
    assert {"set_aside.created", "set_aside.updated"} <= client.heard.keys()
