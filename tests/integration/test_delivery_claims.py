"""Claiming on a real PostgreSQL: no delivery twice, order in a conversation, the gate's facts, rates, fairness."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from builders import make_app, make_channel, make_workspace
from delivery_world import World, make_world, other_node

from channels.capabilities import RateRule
from channels.outbound import Envelope
from channels.types import Account, Fault
from inbox.delivery.claims import Claims
from inbox.delivery.repository import waiting
from inbox.kernel.database import Contended, UnitOfWork
from inbox.messages.outgoing import BULK_PRIORITY


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as world:
        yield world


class Witness:
    """Watches every send: what is in the air per conversation, and in which order things left."""

    def __init__(self) -> None:
        self.in_air: Counter[str] = Counter()
        self.order: dict[str, list[str]] = {}
        self.worst = 0

    async def __call__(self, account: Account, envelope: Envelope) -> None:
        who = envelope.recipient[0].value
        self.in_air[who] += 1
        self.worst = max(self.worst, self.in_air[who])
        self.order.setdefault(who, []).append(envelope.piece.text or "")
        await asyncio.sleep(0.001)
        self.in_air[who] -= 1


async def test_two_dispatchers_on_one_queue_share_it_without_overlap(world: World) -> None:
    witness = Witness()
    world.adapter.play = witness
    async with AsyncExitStack() as stack:
        nodes = [world.node]
        for _ in range(2):
            node = await other_node(world)
            stack.push_async_callback(node.database.stop)
            nodes.append(node)
        for round_number in range(5):
            threads = [await world.conversation() for _ in range(12)]
            for number in range(5):
                for thread in threads:
                    await world.queue(thread, f"{number}a", f"{number}b")
            sent_before = len(world.adapter.sent)
            await world.run_until_idle(*[world.dispatcher(node, most=8) for node in nodes])
            assert len(world.adapter.sent) - sent_before == 12 * 5 * 2, f"round {round_number}"

    correlations = Counter(envelope.correlation for envelope in world.adapter.sent)
    assert max(correlations.values()) == 1
    assert witness.worst == 1
    assert set(map(tuple, witness.order.values())) == {tuple(f"{n}{part}" for n in range(5) for part in "ab")}
    assert await world.node.fetchval("SELECT count(DISTINCT node) FROM delivery_attempts") > 1
    assert await world.node.fetchval("SELECT count(*) FROM delivery_attempts WHERE outcome <> 'accepted'") == 0


async def test_the_index_alone_forbids_two_requests_in_one_conversation(world: World) -> None:
    thread = await world.conversation()
    await world.queue(thread, "one", "two")
    with pytest.raises(Exception, match="uq_deliveries_in_flight"):
        async with world.node.database.session() as connection:
            await connection.execute("UPDATE deliveries SET state = 'sending'")


# --- The gate, with facts from rows -----------------------------------------------------------------------------------

GATE: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("blocked", "UPDATE contacts SET blocked_at = now()", {}, "contact_blocked", "cancelled"),
    ("unreachable", "UPDATE identities SET unreachable = 'blocked_us'", {}, "recipient_unreachable", "failed"),
    ("disabled", "UPDATE channels SET state = 'disabled'", {}, "channel_disabled", "failed"),
    ("dead token", "UPDATE channels SET health = 'reauthorise'", {}, "channel_unauthorised", "failed"),
    ("never wrote", "UPDATE conversations SET window_opened_at = NULL", {}, "window_closed", "failed"),
    (
        "wrote a day ago",
        "UPDATE conversations SET window_opened_at = now() - interval '24 hours'",
        {},
        "window_closed",
        "failed",
    ),
    ("refused by the provider", "UPDATE conversations SET window_closed_at = now()", {}, "window_closed", "failed"),
    ("taken over", "UPDATE conversations SET epoch = 2", {"epoch": 1}, "superseded", "cancelled"),
    ("expired", "SELECT", {"expires_at": datetime.now(UTC) - timedelta(seconds=1)}, "expired", "failed"),
    ("queued a day ago", "SELECT", {"created_at": datetime.now(UTC) - timedelta(hours=24)}, "expired", "failed"),
    (
        "bulk by purpose, opted out",
        "UPDATE identities SET marketing_stopped_at = now()",
        {"purpose": "bulk"},
        "opted_out",
        "failed",
    ),
    (
        "bulk by priority, opted out",
        "UPDATE identities SET marketing_stopped_at = now()",
        {"purpose": "template", "priority": BULK_PRIORITY},
        "opted_out",
        "failed",
    ),
]


@pytest.mark.parametrize(("change", "queued", "code", "status"), [pytest.param(*row[1:], id=row[0]) for row in GATE])
async def test_what_changed_since_it_was_queued_is_seen_at_the_claim(
    world: World, change: str, queued: dict[str, Any], code: str, status: str
) -> None:
    thread = await world.conversation()
    message_id = await world.queue(thread, "one", "two", **queued)
    async with world.node.database.session() as connection:
        await connection.execute(change)

    await world.run_until_idle()

    assert world.adapter.sent == []
    assert await world.status(message_id) == status
    assert (await world.fault(message_id))["code"] == code
    assert await world.history(message_id) == [status]


@pytest.mark.parametrize(
    ("change", "queued"),
    [
        pytest.param("SELECT", {"epoch": 1}, id="a lease that holds"),
        pytest.param("UPDATE conversations SET window_opened_at = NULL", {"purpose": "template"}, id="template"),
        pytest.param(
            "UPDATE conversations SET window_opened_at = NULL", {"part_type": "template"}, id="template by its parts"
        ),
        pytest.param(
            "UPDATE conversations SET window_opened_at = now() - interval '100 hours'",
            {"purpose": "human_agent"},
            id="a human within seven days",
        ),
        pytest.param("UPDATE identities SET marketing_stopped_at = now()", {}, id="a reply to an opted-out person"),
        pytest.param("UPDATE channels SET health = 'degraded'", {}, id="a degraded channel"),
    ],
)
async def test_what_may_go_out(world: World, change: str, queued: dict[str, Any]) -> None:
    message_id = await world.queue(await world.conversation(), **queued)
    async with world.node.database.session() as connection:
        await connection.execute(change)
    await world.run_until_idle()
    assert await world.status(message_id) == "sent"


async def test_the_purpose_reaches_the_adapter(world: World) -> None:
    await world.queue(await world.conversation(), purpose="human_agent")
    await world.run_until_idle()
    assert world.adapter.sent[0].purpose == "human_agent"


async def test_a_paused_channel_keeps_its_messages_queued(world: World) -> None:
    message_id = await world.queue(await world.conversation())
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE channels SET health = 'paused'")
    await world.run_until_idle()
    assert await world.status(message_id) == "queued"
    assert (await world.delivery(message_id))["due_at"] > datetime.now(UTC) + timedelta(seconds=50)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE contacts SET blocked_at = now()", "contact_blocked"),
        ("UPDATE identities SET unreachable = 'gone'", "recipient_unreachable"),
        ("UPDATE channels SET state = 'disabled'", "channel_disabled"),
        ("UPDATE conversations SET epoch = epoch + 1", "superseded"),
    ],
)
async def test_a_change_that_is_not_committed_yet_holds_the_claim_back(world: World, statement: str, code: str) -> None:
    """Once the change's transaction has begun to write, nothing goes out before its end, and then it counts."""
    message_id = await world.queue(await world.conversation(), epoch=1)
    async with world.running():
        async with world.node.database.transaction() as unit:
            await unit.execute(statement)
            dispatcher = world.dispatcher()
            async with world.running(dispatcher):
                await asyncio.sleep(0.15)
            assert world.adapter.sent == []
        await world.wait_for("SELECT fault IS NOT NULL FROM messages WHERE id = $1", message_id)
    assert world.adapter.sent == []
    assert (await world.fault(message_id))["code"] == code


async def test_a_claim_makes_a_block_wait_and_then_show_what_is_in_the_air(world: World) -> None:
    """The other side of P7: whoever blocks finds every request that the gate let through."""
    message_id = await world.queue(await world.conversation())
    async with world.running():
        await world.wait_for("SELECT state <> 'queued' FROM deliveries WHERE message_id = $1", message_id)
        async with world.node.database.transaction() as unit:
            await unit.execute("UPDATE contacts SET blocked_at = now()")
            left = await unit.fetchval("SELECT count(*) FROM deliveries WHERE state = 'queued'")
    assert left == 0


# --- Lines ------------------------------------------------------------------------------------------------------------


async def test_what_is_in_the_air_holds_up_its_own_conversation_only(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Also for a delivery that comes back before the one in the air (a retry may have any place in line)."""
    thread = await world.conversation()
    await world.queue(thread, "first", "second")
    assert [claim.piece.text for claim in await world.claim()] == ["first"]
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE deliveries SET due_at = now() WHERE state = 'queued'")
    other = await world.queue(await world.conversation(), "other")

    assert [claim.message_id for claim in await world.claim()] == [other]
    assert not caplog.records, "the constraint is a last resort, not the way"


async def test_a_long_line_costs_each_member_one_look_and_holds_up_nobody(world: World) -> None:
    gate = asyncio.Event()

    async def first_hangs(_: Account, envelope: Envelope) -> None:
        if envelope.piece.text == "0":
            await gate.wait()

    world.adapter.play = first_hangs
    crowded = await world.conversation()
    for number in range(150):
        await world.queue(crowded, str(number))
    other = await world.queue(await world.conversation(), "other")
    async with world.running(world.dispatcher(most=8)):
        await world.wait_for("SELECT status = 'sent' FROM messages WHERE id = $1", other, within=5)
        await world.wait_for("SELECT count(*) = 149 FROM deliveries WHERE due_at = 'infinity' AND state = 'queued'")
        async with world.node.database.session() as connection:
            assert await waiting(connection) == []
        gate.set()
        await world.wait_for("SELECT count(*) = 151 FROM deliveries WHERE state = 'sent'", within=30)
    assert [word for word in world.adapter.words if word != "other"] == [str(number) for number in range(150)]


async def test_who_was_forgotten_in_line_is_called_by_the_sweeper(world: World) -> None:
    thread = await world.conversation()
    first, second = await world.queue(thread, "one"), await world.queue(thread, "two")
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE deliveries SET due_at = 'infinity' WHERE message_id = $1", second)
    assert (await world.sweeper().sweep()).called == 0, "one still stands before it"
    async with world.node.database.session() as connection:
        await connection.execute("DELETE FROM messages WHERE id = $1", first)
    assert (await world.sweeper().sweep()).called == 1

    await world.run_until_idle()
    assert world.adapter.words == ["two"]


async def test_a_stranded_head_is_called_by_whoever_meets_its_line(world: World) -> None:
    thread = await world.conversation()
    first = await world.queue(thread, "one")
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE deliveries SET due_at = 'infinity' WHERE message_id = $1", first)
    await world.queue(thread, "two")
    await world.run_until_idle()
    assert world.adapter.words == ["one", "two"]


# --- Rates ------------------------------------------------------------------------------------------------------------


async def test_a_channel_never_gets_more_than_its_bucket_on_any_number_of_nodes(database_url: str) -> None:
    async with make_world(database_url, rates=(RateRule("channel", 40, 1, 10),)) as world, AsyncExitStack() as stack:
        node = await other_node(world)
        stack.push_async_callback(node.database.stop)
        for _ in range(45):
            await world.queue(await world.conversation())
        started = time.monotonic()
        await world.run_until_idle(world.dispatcher(), world.dispatcher(node))
        elapsed = time.monotonic() - started
        assert len(world.adapter.sent) == 45
        begun = [row[0] for row in await world.node.fetch("SELECT started_at FROM delivery_attempts ORDER BY 1")]
        for index, at in enumerate(begun):
            assert index + 1 <= 10 + 40 * (at - begun[0]).total_seconds() + 1
        assert elapsed >= 35 / 40


async def test_a_recipient_waits_for_its_own_bucket_and_nobody_else_does(database_url: str) -> None:
    async with make_world(database_url, rates=(RateRule("recipient", 1, 1, 2),)) as world:
        chatty, other = await world.conversation(), await world.conversation()
        for number in range(3):
            await world.queue(chatty, f"chatty {number}")
        await world.queue(other, "other")
        async with world.running():
            await world.wait_for("SELECT count(*) = 3 FROM deliveries WHERE state = 'sent'", within=3)
            assert sorted(world.adapter.words) == ["chatty 0", "chatty 1", "other"]
            await world.wait_for("SELECT count(*) = 4 FROM deliveries WHERE state = 'sent'", within=3)
        times = [row[0] for row in await world.node.fetch("SELECT started_at FROM delivery_attempts ORDER BY 1")]
        assert (times[-1] - times[0]).total_seconds() >= 0.9


async def test_a_lane_has_its_own_rate(database_url: str) -> None:
    rates = (RateRule("channel", 100, 1, 100), RateRule("channel", 5, 1, 2, lane="media"))
    async with make_world(database_url, rates=rates) as world:
        for number in range(6):
            await world.queue(await world.conversation(), f"file {number}", lane="media")
        for number in range(6):
            await world.queue(await world.conversation(), f"text {number}")
        await world.run_until_idle()
        texts = [index for index, word in enumerate(world.adapter.words) if word.startswith("text")]
        assert max(texts) < 8 + 1, "texts wait behind no file"
        files = await world.node.fetch(
            "SELECT a.started_at FROM delivery_attempts a JOIN deliveries d ON d.id = a.delivery_id"
            " WHERE d.piece->>'lane' = 'media' ORDER BY 1"
        )
        assert (files[-1][0] - files[0][0]).total_seconds() >= 0.7


async def test_a_throttle_pauses_exactly_its_channel(world: World) -> None:
    other_channel = await world.add_channel("whatsapp", "222")
    throttle = Fault("rate_limited", "Slow down.", retryable=True, retry_after=0.6, pauses="channel")
    refused: list[str] = []

    def first_is_throttled(account: Account, envelope: Envelope) -> Fault | None:
        if account.account_id == "111" and not refused:
            refused.append(envelope.correlation)
            return throttle
        return None

    world.adapter.play = first_is_throttled
    throttled = await world.queue(await world.conversation(), "throttled")
    async with world.running():
        await world.wait_for("SELECT count(*) = 1 FROM rate_buckets WHERE paused_until > now()")
        waits = await world.queue(await world.conversation(), "waits")
        free = await world.queue(await world.conversation(other_channel), "free")
        await world.wait_for("SELECT status = 'sent' FROM messages WHERE id = $1", free, within=0.5)
        assert (await world.status(throttled), await world.status(waits)) == ("queued", "queued")
        await world.wait_for("SELECT count(*) = 3 FROM messages WHERE status = 'sent'", within=3)
    assert (await world.delivery(throttled))["attempts"] == 1, "a throttled try does not count"
    started = await world.node.fetch("SELECT number, started_at FROM delivery_attempts ORDER BY started_at")
    assert (started[-1][1] - started[0][1]).total_seconds() >= 0.6


async def test_a_throttle_of_one_recipient_pauses_only_them(world: World) -> None:
    throttle = Fault("rate_limited", "Too many.", retryable=True, retry_after=0.5, pauses="recipient")
    pending = {"0"}

    def once(_: Account, envelope: Envelope) -> Fault | None:
        if envelope.piece.text not in pending:
            return None
        pending.remove(envelope.piece.text)
        return throttle

    world.adapter.play = once
    thread = await world.conversation()
    await world.queue(thread, "0")
    await world.queue(thread, "1")
    await world.queue(await world.conversation(), "other")
    await world.run_until_idle()
    assert world.adapter.words[-2:] == ["0", "1"]
    assert sorted(world.adapter.words[:2]) == ["0", "other"]


async def test_any_number_of_throttles_is_no_failure(world: World) -> None:
    world.adapter.script = [
        Fault("rate_limited", "Slow down.", retryable=True, retry_after=0.01, pauses="recipient") for _ in range(9)
    ]
    message_id = await world.queue(await world.conversation())
    await world.run_until_idle()
    assert await world.status(message_id) == "sent"
    assert await world.node.fetchval("SELECT max(number) FROM delivery_attempts") == 10


async def test_a_channel_that_hangs_leaves_places_for_the_others(world: World) -> None:
    slow = world.channel
    quick = await world.add_channel("whatsapp", "222")
    release = asyncio.Event()

    async def hang(account: Account, _: Envelope) -> None:
        if account.account_id == slow.account.account_id:
            await release.wait()

    world.adapter.play = hang
    for _ in range(40):
        await world.queue(await world.conversation(slow))
    async with world.running(world.dispatcher(most=16, timeout=30)):
        await world.wait_for("SELECT count(*) >= 8 FROM deliveries WHERE state = 'sending'")
        for _ in range(20):
            await world.queue(await world.conversation(quick))
        await world.wait_for(
            "SELECT count(*) = 20 FROM deliveries WHERE state = 'sent' AND channel_id = $1", quick.id, within=5
        )
        assert await world.node.fetchval("SELECT count(*) FROM deliveries WHERE state = 'sending'") < 16
        release.set()
        await world.wait_for("SELECT count(*) = 60 FROM deliveries WHERE state = 'sent'")


async def test_unused_buckets_of_recipients_are_dropped(database_url: str) -> None:
    async with make_world(database_url, rates=(RateRule("recipient", 1, 1, 2),)) as world:
        await world.queue(await world.conversation())
        await world.run_until_idle()
        await world.sweeper().sweep()
        assert await world.node.fetchval("SELECT count(*) FROM rate_buckets WHERE key LIKE 'recipient:%'") == 1
        async with world.node.database.session() as connection:
            await connection.execute("UPDATE rate_buckets SET filled_at = now() - interval '2 hours'")
        await world.sweeper().sweep()
        assert [row[0] for row in await world.node.fetch("SELECT key FROM rate_buckets")] == ["channel"]


# --- One workspace in trouble -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Contended("others were first"), TypeError("a row of another version")])
async def test_what_one_workspace_has_in_the_air_is_sent_though_the_next_cannot_be_claimed(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    other_id = await make_workspace(world.node)
    app_id = await make_app(world.node, other_id, "meta")
    channel = await make_channel(world.node, other_id, app_id, "whatsapp", "222")
    other = replace(world, workspace_id=other_id, channel=channel)
    await world.queue(await world.conversation())
    await other.queue(await other.conversation())

    claims = Claims(world.node.database, world.node.directory, node="test")
    take, asked = claims._take, []

    async def second_fails(unit: UnitOfWork, workspace_id: UUID, *rest: Any) -> Any:
        asked.append(workspace_id)
        if len(asked) == 2:
            raise error
        return await take(unit, workspace_id, *rest)

    monkeypatch.setattr(claims, "_take", second_fails)
    claimed = (await claims.claim(64, {})).claims
    assert set(asked) == {world.workspace_id, other_id}
    assert [claim.workspace_id for claim in claimed] == asked[:1]
    assert await world.node.fetchval("SELECT count(*) FROM deliveries WHERE state = 'sending'") == 1
